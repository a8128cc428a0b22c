"""Hands the calls under way from node to node, in process and outside the state.

They are held by the identity of a part of the state (the `id` of the plan's message, which a copy of the message has
too; the round a plan was written in, if the joiner wrote it): whoever has that very object can take them over. If
nobody did by the end of the run (it was cancelled or paused between the nodes), they are cancelled; if the run goes on
later, or in another process, the tasks are simply run again. LangChain's callbacks tell when a run ends, however it
does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from langchain_core.callbacks import BaseCallbackManager
from langgraph.config import get_config

from llmcompiler_graph.models.streaming import NodeHandler

__all__ = ("InFlight", "Work")

_REMEMBERED = 1000


class Work(Protocol):
    """What is under way: an executor, or what has one."""

    def cancel(self) -> None:
        """Cancel the calls under way."""


class _Handed(NamedTuple):
    key: object
    work: Work
    loop: asyncio.AbstractEventLoop
    run: UUID | None

    def cancel(self) -> None:
        """Cancel the work, from whatever thread."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.work.cancel)


class InFlight(NodeHandler):
    """The calls under way between two nodes, of all runs of one graph. A callback handler of the graph."""

    run_inline = True
    ignore_llm = ignore_chat_model = ignore_retriever = ignore_agent = ignore_retry = ignore_custom_event = True

    def __init__(self) -> None:
        self._handed: dict[int, _Handed] = {}  # by the identity of the key
        self._runs: dict[UUID, UUID] = {}  # a run under way -> the outermost one it is part of
        self._parts: dict[UUID, set[UUID]] = {}  # an outermost run -> those under way in it
        # the last runs that have ended: to look one up in the set is safe while other threads add some
        self._ended, self._order = set[UUID](), deque[UUID]()

    def hand_over(self, key: object, work: Work) -> None:
        """Leave work for the next node, with a part of the state. Call it in the node, on the work's loop."""
        self._handed[id(key)] = _Handed(key, work, asyncio.get_running_loop(), self.run())

    def run(self) -> UUID | None:
        """The outermost run that the node is in which this is called; `None` if that is not known."""
        callbacks = get_config().get("callbacks")
        parent = callbacks.parent_run_id if isinstance(callbacks, BaseCallbackManager) else None
        return None if parent is None else self._runs.get(parent)

    def take_over(self, key: object) -> Work | None:
        """Take what was left with that very object; `None` if there is nothing. Call it in the node.

        Work on another loop, which is blocked, is given up.
        """
        handed = self._handed.pop(id(key), None)
        if handed is None or handed.loop is asyncio.get_running_loop():
            return None if handed is None else handed.work
        handed.cancel()
        return None

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **_: Any
    ) -> None:
        """Note that a run begins."""
        if parent_run_id not in self._runs and parent_run_id in self._ended:  # of what was cancelled, some begins late
            return
        root = self._runs[run_id] = run_id if parent_run_id is None else self._runs.get(parent_run_id, run_id)
        self._parts.setdefault(root, set()).add(run_id)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """Cancel what nobody took over in a run that ended."""
        self._note_end(run_id)
        root = self._runs.pop(run_id, None)
        if root is not None and root != run_id:
            self._parts.get(root, set()).discard(run_id)
        if root != run_id:
            return
        for part in list(self._parts.pop(run_id, ())):  # nobody says of all of them that they have ended
            self._runs.pop(part, None)
            self._note_end(part)
        for handed in list(self._handed.values()):  # other runs may change it meanwhile, in their threads
            if handed.run == run_id and self._handed.pop(id(handed.key), None) is not None:
                handed.cancel()

    def _note_end(self, run: UUID) -> None:
        self._ended.add(run)
        self._order.append(run)
        if len(self._order) > _REMEMBERED:
            self._ended.discard(self._order.popleft())

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Do the same for a run that was ended."""
        self.on_chain_end(None, run_id=run_id)
