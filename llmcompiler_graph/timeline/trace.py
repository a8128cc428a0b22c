"""A timeline as Chrome trace events (the "Trace Event Format"), which Perfetto and `chrome://tracing` open."""

from __future__ import annotations

from typing import Any

from llmcompiler_graph.timeline.model import Timeline

__all__ = ("trace",)

_MODELS = 0  # the row of the model calls


def trace(timeline: Timeline) -> dict[str, Any]:
    """Write a timeline as `{"traceEvents": […]}`, times in microseconds; tasks that overlap are on several rows."""
    events: list[dict[str, Any]] = [_named(_MODELS, "models")]
    for phase in timeline.phases:
        stop = timeline.end if phase.finished is None else phase.finished
        told: dict[str, Any] = {"input_tokens": phase.input_tokens, "output_tokens": phase.output_tokens}
        events.append(_event(phase.kind, _MODELS, phase.started, stop, told))
    free: list[float] = []  # when each row of tasks is free again
    for task in sorted((t for t in timeline.tasks if t.started is not None), key=lambda t: (t.started, t.index)):
        assert task.started is not None
        stop = timeline.end if task.finished is None else task.finished
        row = next((n for n, at in enumerate(free) if at <= task.started), len(free))
        free[row : row + 1] = [stop]
        told = {"call": task.text, "status": task.status, "needs": list(task.needs), "unlocks": list(task.unlocks)}
        if task.attempts:
            told["attempts"] = len(task.attempts) + 1
        events.append(_event(f"{task.index}. {task.tool}", row + 1, task.started, stop, told))
    events += [_named(n + 1, f"tasks {n + 1}") for n in range(len(free))]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _named(row: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": "thread_name", "pid": 1, "tid": row, "args": {"name": name}}


def _event(name: str, row: int, start: float, stop: float, told: dict[str, Any]) -> dict[str, Any]:
    microseconds = round((stop - start) * 1e6)
    at = round(start * 1e6)
    return {
        "ph": "X",
        "name": name,
        "cat": "task" if row else "model",
        "pid": 1,
        "tid": row,
        "ts": at,
        "dur": microseconds,
        "args": told,
    }
