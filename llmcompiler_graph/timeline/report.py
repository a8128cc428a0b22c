"""Writes the timelines of all turns that run inside a `with` block into one HTML file, also if the block fails.

with timeline_report("run.html"):
graph.invoke({"messages": […]})
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook

from llmcompiler_graph.timeline.html import page
from llmcompiler_graph.timeline.model import Redact, Timeline, timeline_of

__all__ = ("timeline_report",)


class _Recorder(BaseCallbackHandler):
    """Collects the state of each turn from what its nodes write."""

    run_inline = True
    ignore_llm = ignore_chat_model = ignore_retriever = ignore_agent = ignore_retry = ignore_custom_event = True

    def __init__(self) -> None:
        self.turns: list[dict[str, Any]] = []
        self._turn_of: dict[UUID, dict[str, Any]] = {}

    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        """Note which turn a run belongs to: that of its parent, or a new one if it is a planner node's."""
        known = self._turn_of.get(parent_run_id) if parent_run_id else None
        if name in _NODES and isinstance(inputs, Mapping) and parent_run_id is not None:
            if known is None:
                known = {"state": {}, "note": ""}
                self.turns.append(known)
                self._turn_of[parent_run_id] = known
            known["state"] = {**known["state"], **inputs}
            self._turn_of[run_id] = known

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """Take what a node wrote."""
        turn = self._turn_of.pop(run_id, None)
        update = (
            next((each for each in outputs if isinstance(each, dict)), None) if isinstance(outputs, list) else outputs
        )
        if turn is not None and isinstance(update, Mapping):
            new = dict(update)
            if "messages" in new and not set(_FINAL) <= new.keys():
                new["messages"] = [*turn["state"].get("messages", ()), *new["messages"]]
            turn["state"] = {**turn["state"], **new}

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Note why a turn did not go on."""
        turn = self._turn_of.pop(run_id, None)
        if turn is not None and not turn["note"]:
            turn["note"] = f"{type(error).__name__}: {error}"[:500]

    def timelines(self, redact: Redact | None) -> list[Timeline]:
        """Make the timeline of every turn that has a plan."""
        states = [turn for turn in self.turns if turn["state"].get("rounds")]
        return [timeline_of(turn["state"], redact=redact, note=turn["note"]) for turn in states]


_NODES = ("planner", "task_fetching_unit", "joiner")
_FINAL = ("messages", "tasks", "rounds", "timeline", "plan_text")
_recorder: ContextVar[_Recorder | None] = ContextVar("llmcompiler_timeline", default=None)
register_configure_hook(_recorder, inheritable=True)


@contextmanager
def timeline_report(path: str | Path, *, redact: Redact | None = None) -> Iterator[None]:
    """Write the timelines of the turns that run inside the block into an HTML file.

    Args:
        path: The file; it is written when the block is left, also by an exception.
        redact: What may be shown of contents; everything if not given.
    """
    recorder = _Recorder()
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)
        Path(path).write_text(page(recorder.timelines(redact)), encoding="utf-8")
