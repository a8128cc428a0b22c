"""A timeline as a drawing for papers and READMEs: SVG or PNG, by matplotlib (extra `plots`)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.timeline.model import Phase, TaskBar, Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ("png", "svg")

_LIGHT = {
    "ink": "#1c2024",
    "grid": "#e3e7ec",
    "planner": "#3767b1",
    "repair": "#b45309",
    "joiner": "#7a3fa8",
    "early": "#0ea5b7",
    "done": "#2f855a",
    "failed": "#c0281b",
    "skipped": "#64748b",
    "running": "#64748b",
    "wait": "#b6bec9",
    "approval": "#b7791f",
    "mark": "#e0620d",
}
_DARK = {
    "ink": "#e6e9ed",
    "grid": "#2b323b",
    "planner": "#6f9fec",
    "repair": "#f0a050",
    "joiner": "#c092ef",
    "early": "#67e0ef",
    "done": "#4db883",
    "failed": "#ff7b6e",
    "skipped": "#94a3b8",
    "running": "#94a3b8",
    "wait": "#566070",
    "approval": "#f2c14e",
    "mark": "#ff9b45",
}
_MOST_LABEL = 48  # characters


def svg(timeline: Timeline, *, dark: bool = False) -> str:
    """Draw a timeline as SVG."""
    return _saved(timeline, "svg", dark).decode()


def png(timeline: Timeline, *, dark: bool = False) -> bytes:
    """Draw a timeline as PNG."""
    return _saved(timeline, "png", dark)


def _saved(timeline: Timeline, form: str, dark: bool) -> bytes:
    try:
        import matplotlib as mpl
    except ImportError as error:
        msg = "drawings need matplotlib: pip install 'llmcompiler-graph[plots]'"
        raise ConfigurationError(msg) from error
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "llmcompiler_graph", "font.family": "sans-serif"}):
        drawing, buffer = _figure(timeline, _DARK if dark else _LIGHT), io.BytesIO()
        metadata: dict[str, Any] = {"Date": None} if form == "svg" else {}
        drawing.savefig(buffer, format=form, bbox_inches="tight", metadata=metadata, dpi=150, transparent=form == "svg")
    return buffer.getvalue()


def _figure(timeline: Timeline, colors: Mapping[str, str]) -> Figure:
    from matplotlib.figure import Figure

    rows = _rows(timeline)
    figure = Figure(figsize=(10, 1.1 + 0.3 * max(len(rows), 1)), facecolor="#14171b" if colors is _DARK else "white")
    axes = figure.subplots()
    axes.set_facecolor("none")
    ends = timeline.planned_until
    for n, row in enumerate(rows):
        stop = timeline.end if row.finished is None else row.finished
        if isinstance(row, Phase):
            axes.barh(n, stop - row.started, left=row.started, height=0.6, color=colors[row.kind])
        else:
            _task(
                axes, n, row, stop=stop, planned_until=ends[row.round] if row.round < len(ends) else 0.0, colors=colors
            )
    if timeline.bound:
        axes.axvline(timeline.bound, color=colors["mark"], linestyle="--", linewidth=1.2)
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=9, family="monospace", parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, max(timeline.end, timeline.bound or 0.0) * 1.01 or 1.0)
    axes.set_xlabel("seconds", color=colors["ink"])
    axes.set_title(_title(timeline), fontsize=10, loc="left", color=colors["ink"], parse_math=False)
    axes.tick_params(colors=colors["ink"], length=0)
    axes.grid(axis="x", color=colors["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    return figure


def _task(axes: Axes, n: int, task: TaskBar, *, stop: float, planned_until: float, colors: Mapping[str, str]) -> None:
    """Draw what a task waited, what it did while the plan was still being written, and the rest."""
    written = task.planned if task.planned is not None else task.released
    begun = stop if task.started is None else task.started
    if written is not None and begun > written:
        kind = "approval" if task.status == "approval" else "wait"
        axes.barh(n, begun - written, left=written, height=0.1, color=colors[kind])
    if task.started is None:
        return
    early = min(planned_until, stop) if task.status == "done" else task.started
    if early > task.started:
        axes.barh(n, early - task.started, left=task.started, height=0.6, color=colors["early"])
    rest = max(early, task.started)
    axes.barh(n, stop - rest, left=rest, height=0.6, color=colors[task.status])
    axes.vlines(task.attempts, n - 0.3, n + 0.3, color=colors["ink"], linewidth=1.5)
    if task.critical:
        axes.barh(n, stop - begun, left=begun, height=0.78, fill=False, edgecolor=colors["mark"], linewidth=1.6)


def _title(timeline: Timeline) -> str:
    return f"{timeline.question[:80]}\n{timeline}" if timeline.question else str(timeline)


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
