"""Hands the calls under way from the planner node to the task fetching unit node, in process and outside the state.

They are held by the identity of the plan's message: whoever has that very object can take them over. If nobody did by
the end of the run (it was cancelled or paused between the nodes), they are cancelled; if the run goes on later, or in
another process, the tasks are simply run again. LangChain's callbacks tell when a run ends, however it does.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.messages import BaseMessage
from langgraph.config import get_config

from llmcompiler_graph.executor import Executor

__all__ = ("InFlight",)


class _Handed(NamedTuple):
    plan: BaseMessage
    executor: Executor
    loop: asyncio.AbstractEventLoop
    run: UUID | None


class InFlight(BaseCallbackHandler):
    """The calls under way between two nodes, of all runs of one graph. A callback handler of the graph."""

    run_inline = True
    ignore_llm = ignore_chat_model = ignore_retriever = ignore_agent = ignore_retry = ignore_custom_event = True

    def __init__(self) -> None:
        self._handed: dict[int, _Handed] = {}  # by the identity of the plan's message
        self._runs: dict[UUID, UUID] = {}  # a run under way -> the outermost one it is part of

    def hand_over(self, plan: BaseMessage, executor: Executor) -> None:
        """Leave an executor for the next node. Call it in the node, on the executor's loop."""
        callbacks = get_config().get("callbacks")
        parent = callbacks.parent_run_id if isinstance(callbacks, BaseCallbackManager) else None
        run = None if parent is None else self._runs.get(parent)
        self._handed[id(plan)] = _Handed(plan, executor, asyncio.get_running_loop(), run)

    def take_over(self, plan: BaseMessage) -> Executor | None:
        """Take what was left with a plan's message; `None` if there is nothing."""
        handed = self._handed.pop(id(plan), None)
        return None if handed is None else handed.executor

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **_: Any
    ) -> None:
        """Note that a run begins."""
        self._runs[run_id] = run_id if parent_run_id is None else self._runs.get(parent_run_id, run_id)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """Cancel what nobody took over in a run that ended."""
        if self._runs.pop(run_id, None) != run_id:
            return
        for handed in list(self._handed.values()):  # other runs may change it meanwhile, in their threads
            if handed.run == run_id and self.take_over(handed.plan) and not handed.loop.is_closed():
                handed.loop.call_soon_threadsafe(handed.executor.cancel)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Do the same for a run that was ended."""
        self.on_chain_end(None, run_id=run_id)
