"""Runs that end at any write of a checkpointer, with hooks around every node: they go on to the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from langchain.agents.middleware import AgentMiddleware, hook_config
from langchain_core.messages import BaseMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

CONFIG: Any = {"configurable": {"thread_id": "1"}}
QUESTION: Any = {"messages": [("user", "?")]}
WRITES = 25  # that a turn with these hooks makes


class Gone(Exception):
    """The process is not there any more."""


@dataclass
class End:
    """How a run ends at a write of its checkpointer: that is the last thing that is written."""

    at: int
    """The write's number; 0 for none."""
    leave: Callable[[], object] | None = None
    """What ends the run; `None` for an exception in it."""
    count: int = 0
    """The writes so far."""

    def do(self, write: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Write, or end the run."""
        self.count += 1
        if self.at and self.count > self.at:
            raise Gone
        if self.count != self.at:
            return write(*args, **kwargs)
        written = write(*args, **kwargs)
        if self.leave is None:
            raise Gone
        self.leave()
        return written


class Leaving(InMemorySaver):
    """A checkpointer at one write of which the run ends; LangGraph makes copies of it."""

    def __init__(self, end: End) -> None:
        super().__init__()
        self._end = end

    def put(self, *args: Any, **kwargs: Any) -> Any:
        """Write a checkpoint."""
        return self._end.do(super().put, *args, **kwargs)

    def put_writes(self, *args: Any, **kwargs: Any) -> Any:
        """Write what a task gave."""
        return self._end.do(super().put_writes, *args, **kwargs)

    async def aput(self, *args: Any, **kwargs: Any) -> Any:
        """Write a checkpoint."""
        return self._end.do(super().put, *args, **kwargs)

    async def aput_writes(self, *args: Any, **kwargs: Any) -> Any:
        """Write what a task gave."""
        return self._end.do(super().put_writes, *args, **kwargs)


class Hooked(AgentMiddleware[Any, Any]):
    """Has hooks of every kind, of which two may end the turn."""

    def before_agent(self, state: Any, runtime: Any) -> None:
        """Do nothing."""

    @hook_config(can_jump_to=["end"])
    def before_model(self, state: Any, runtime: Any) -> None:
        """Do nothing."""

    @hook_config(can_jump_to=["end"])
    def after_model(self, state: Any, runtime: Any) -> None:
        """Do nothing."""

    def after_agent(self, state: Any, runtime: Any) -> None:
        """Do nothing."""


@tool
def look(what: str) -> str:
    """Look."""
    return f"saw {what}"


def graph_on(saver: Leaving) -> Any:
    """A graph, made anew."""

    def reply(messages: list[BaseMessage]) -> str:
        seen = "Observations" in messages[-1].text
        return "Finish: done" if seen else '1. look("a")\n2. look("$1")\n3. join()'

    model = ScriptedModel([reply] * 8, chunk_size=50)
    return create_llm_compiler(model, [look], middleware=[Hooked()], checkpointer=saver)


def call(graph: Any, given: Any, *, sync: bool) -> Any:
    """Run it."""
    return asyncio.to_thread(graph.invoke, given, CONFIG) if sync else graph.ainvoke(given, CONFIG)


@pytest.mark.parametrize(
    ("sync", "cancelled"), [(False, True), (False, False), (True, False)], ids=["cancelled", "async", "sync"]
)
async def test_a_run_that_ends_at_any_write(sync: bool, cancelled: bool) -> None:
    """Whatever was written when the run ended, hooks and nodes go on from there to the answer, once."""
    for at in range(1, WRITES + 1):
        end = End(at)
        saver = Leaving(end)
        running = asyncio.ensure_future(call(graph_on(saver), QUESTION, sync=sync))
        if cancelled:
            end.leave = running.cancel
        with suppress(Gone, asyncio.CancelledError):
            await running
        assert end.count >= at
        end.at = 0
        graph = graph_on(saver)
        kept = (await graph.aget_state(CONFIG)).values.get("messages")
        final = await call(graph, None if kept else QUESTION, sync=sync)
        assert final["messages"][-1].text == "done", f"left at write {at}"
        assert [task["status"] for task in final["tasks"]] == ["done", "done"]
        assert len(final["messages"]) == 5
    end = End(0)
    await call(graph_on(Leaving(end)), QUESTION, sync=sync)
    assert end.count == WRITES
