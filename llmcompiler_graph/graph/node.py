"""Nodes that can be called in both ways, and the paths of conditional edges.

LangGraph takes any runnable for these. Of a plain function it makes one that is called in a thread where the graph is
called asynchronously, and a `RunnableLambda` is a run of its own for tracers, within that of the node.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from llmcompiler_graph.concurrency.background import run_in_background

__all__ = ("Node", "both_ways", "path")


class Node(Runnable[Any, Any]):
    """A node.

    Args:
        name: Its name.
        call: What it does with the state, for a synchronous caller.
        acall: The same for others.
    """

    def __init__(self, name: str, call: Callable[[Any], Any], acall: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
        self.name = name
        self._call = call
        self._acall = acall

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:
        """Run it for a synchronous caller."""
        return self._call(input)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:
        """Run it."""
        return await self._acall(input)


def both_ways(
    run: Callable[..., Coroutine[Any, Any, Any]], patience: float
) -> tuple[Callable[[Any], Any], Callable[[Any], Coroutine[Any, Any, Any]]]:
    """A node's coroutine for both worlds: synchronous callers run it in the background.

    Args:
        run: The coroutine function.
        patience: How long these wait for an event loop that is blocked, in seconds.
    """

    def call(state: Any) -> Any:
        return run_in_background(run(state, sync=True), patience=patience)

    return call, partial(run, sync=False)


def path(pick: Callable[[Any], str]) -> Node:
    """The path of a conditional edge, of a function that says where the state leads."""

    async def apick(state: Any) -> str:
        return pick(state)

    return Node("path", pick, apick)
