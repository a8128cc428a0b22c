"""Hands the calls under way from the planner node to the task fetching unit node, in process and outside the state.

They are held by the identity of the plan's message: whoever has that very object can take them over. If nobody does
(the run ended between the nodes, or goes on in another process) they are cancelled, at the latest when patience is at
its end, and the tasks are simply run again.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import NamedTuple

from langchain_core.messages import BaseMessage

from llmcompiler_graph.executor import Executor

__all__ = ("PATIENCE", "hand_over", "take_over")

PATIENCE = 60.0
"""How long nobody may take over, in seconds; checkpoints are written meanwhile."""

_inflight: dict[int, _Handed] = {}


class _Handed(NamedTuple):
    executor: Executor
    loop: asyncio.AbstractEventLoop
    deadline: asyncio.TimerHandle


def hand_over(plan: BaseMessage, executor: Executor) -> None:
    """Leave an executor for the next node. Call it on the executor's loop."""
    key, loop = id(plan), asyncio.get_running_loop()
    _inflight[key] = _Handed(executor, loop, loop.call_later(PATIENCE, _abandon, key))
    weakref.finalize(plan, _abandon, key).atexit = False


def take_over(plan: BaseMessage) -> Executor | None:
    """Take what was left with a plan's message; `None` if there is nothing. Call it on the executor's loop."""
    if (handed := _inflight.pop(id(plan), None)) is None:
        return None
    handed.deadline.cancel()
    return handed.executor


def _abandon(key: int) -> None:
    if (handed := _inflight.pop(key, None)) is not None and not handed.loop.is_closed():
        handed.loop.call_soon_threadsafe(_give_up, handed)


def _give_up(handed: _Handed) -> None:
    handed.deadline.cancel()
    handed.executor.cancel()
