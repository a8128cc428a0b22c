"""A timeline as a drawing for papers and READMEs: SVG or PNG, by matplotlib (extra `plots`)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.timeline.model import Phase, TaskBar, Timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ("png", "svg")

_COLORS = {
    "planner": "#3767b1",
    "repair": "#a35200",
    "joiner": "#7a3fa8",
    "early": "#0b7285",
    "done": "#1d7a46",
    "failed": "#b42318",
    "skipped": "#6b7280",
    "running": "#3767b1",
    "planned": "#c4c9d2",
}
_MOST_LABEL = 48  # characters


def svg(timeline: Timeline) -> str:
    """Draw a timeline as SVG."""
    return _saved(timeline, "svg").decode()


def png(timeline: Timeline) -> bytes:
    """Draw a timeline as PNG."""
    return _saved(timeline, "png")


def _saved(timeline: Timeline, form: str) -> bytes:
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "llmcompiler_graph", "font.family": "sans-serif"}):
        drawing, buffer = _figure(timeline), io.BytesIO()
        metadata: dict[str, Any] = {"Date": None} if form == "svg" else {}
        drawing.savefig(buffer, format=form, bbox_inches="tight", metadata=metadata, dpi=150)
    return buffer.getvalue()


def _figure(timeline: Timeline) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "drawings need matplotlib: pip install 'llmcompiler-graph[plots]'"
        raise ConfigurationError(msg) from error
    rows = _rows(timeline)
    figure = Figure(figsize=(10, 1.0 + 0.28 * max(len(rows), 1)))
    axes = figure.subplots()
    for n, row in enumerate(rows):
        stop = timeline.end if row.finished is None else row.finished
        if isinstance(row, Phase):
            axes.barh(n, stop - row.started, left=row.started, height=0.62, color=_COLORS[row.kind])
            continue
        written = row.planned if row.planned is not None else row.released
        begun = stop if row.started is None else row.started
        if written is not None and begun > written:
            axes.barh(n, begun - written, left=written, height=0.12, color=_COLORS["planned"])
        if row.started is not None:
            kind = "early" if row.early and row.status == "done" else row.status
            edge: Any = {"edgecolor": "#d97706", "linewidth": 1.6} if row.critical else {}
            axes.barh(n, stop - row.started, left=row.started, height=0.62, color=_COLORS[kind], **edge)
    if timeline.bound:
        axes.axvline(timeline.bound, color="#d97706", linestyle="--", linewidth=1.2)
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=8, family="monospace", parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, max(timeline.end, timeline.bound or 0.0) * 1.02 or 1.0)
    axes.set_xlabel("seconds")
    axes.set_title(str(timeline), fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _rows(timeline: Timeline) -> list[Phase | TaskBar]:
    rows: list[Phase | TaskBar] = []
    for number in sorted({*(p.round for p in timeline.phases), *(t.round for t in timeline.tasks)}):
        phases = [phase for phase in timeline.phases if phase.round == number]
        rows += [phase for phase in phases if phase.kind != "joiner"]
        rows += [task for task in timeline.tasks if task.round == number]
        rows += [phase for phase in phases if phase.kind == "joiner"]
    return rows


def _label(row: Phase | TaskBar) -> str:
    text = row.kind if isinstance(row, Phase) else row.text or f"{row.index}. …"
    return text if len(text) <= _MOST_LABEL else text[: _MOST_LABEL - 1] + "…"
