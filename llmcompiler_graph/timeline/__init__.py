"""The picture of a run: from what the graph returned to HTML, SVG, PNG and trace files.

    timeline_of(final).to_html()          of a turn that has ended, was paused or has failed
    with timeline_report("run.html"): …   of all turns that run inside the block

Knows the state and the plan language; nothing else of the package. Others may use the names below.
"""

from llmcompiler_graph.timeline.model import Phase, Prices, Redact, TaskBar, Timeline, timeline_of, timeline_of_events
from llmcompiler_graph.timeline.report import timeline_report

__all__ = (
    "Phase",
    "Prices",
    "Redact",
    "TaskBar",
    "Timeline",
    "timeline_of",
    "timeline_of_events",
    "timeline_report",
)
