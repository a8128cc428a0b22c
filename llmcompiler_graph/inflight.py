"""Hands the calls under way from the planner node to the task fetching unit node, in process and outside the state.

They are held by the identity of the plan's message: whoever has that very object can take them over. Where it is gone
(the run ended between the nodes, or goes on in another process) they are cancelled, and the tasks are simply run again.
"""

from __future__ import annotations

import asyncio
import weakref

from langchain_core.messages import BaseMessage

from llmcompiler_graph.executor import Executor

__all__ = ("hand_over", "take_over")

_inflight: dict[int, tuple[asyncio.AbstractEventLoop, Executor]] = {}


def hand_over(plan: BaseMessage, executor: Executor) -> None:
    """Leave an executor for the next node. Call it on the executor's loop."""
    key = id(plan)
    _inflight[key] = asyncio.get_running_loop(), executor
    weakref.finalize(plan, _abandon, key).atexit = False


def take_over(plan: BaseMessage) -> Executor | None:
    """Take the executor that was left with a plan's message; `None` if there is none."""
    _, executor = _inflight.pop(id(plan), (None, None))
    return executor


def _abandon(key: int) -> None:
    loop, executor = _inflight.pop(key, (None, None))
    if executor is not None and loop is not None and not loop.is_closed():
        loop.call_soon_threadsafe(executor.cancel)
