"""LangGraph `@task`s, called one after another, and graphs of their own for them, inside a node or a `@task`.

What a `@task` costs LangGraph grows with the number of those that one graph has called. So many of them are called in
groups, each in a graph of its own. A graph of its own also has as many slots as its `@task`s need.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt
from langgraph.func import entrypoint
from langgraph.func import task as langgraph_task

from llmcompiler_graph.graph.human_answers import one_interrupt
from llmcompiler_graph.state import TaskResult

__all__ = ("IN_ONE_GROUP", "OwnTask", "acall_each", "acall_inside", "all_ended", "call_each", "call_inside", "called")

IN_ONE_GROUP = 32
"""How many `@task`s one graph calls."""

_UNLIMITED: RunnableConfig = {"max_concurrency": 2**31 - 1}  # a missing limit would be taken from the run's own config
_NO_PARAMETERS = inspect.Signature()


class OwnTask(NamedTuple):
    """A `@task` that is to be called."""

    name: str
    """Its name."""
    body: Callable[[], Any]
    """What it does: a coroutine function, but for a synchronous caller."""
    done: Callable[[Any], None]
    """Given its future once that is done, in whatever thread."""


def called(name: str, body: Callable[[], Any]) -> Any:
    """Call a `@task`; return its future."""
    function = partial(body)
    function.__signature__ = _NO_PARAMETERS  # type: ignore[attr-defined]  # LangGraph would look for it in each call
    return langgraph_task(name=name)(function)()


async def acall_each(tasks: Iterable[OwnTask]) -> list[TaskResult | BaseException]:
    """Call `@task`s; return what each gives or raises."""
    return list(await asyncio.gather(*map(_called, tasks), return_exceptions=True))


def call_each(tasks: Iterable[OwnTask]) -> list[TaskResult | BaseException]:
    """Do the same for a synchronous caller."""
    futures = list(map(_called, tasks))
    concurrent.futures.wait(futures)
    return [future.exception() or future.result() for future in futures]


def _called(task: OwnTask) -> Any:
    future = called(task.name, task.body)
    future.add_done_callback(task.done)
    return future


def all_ended(
    groups: Iterable[Sequence[TaskResult | BaseException] | BaseException], unanswered: Sequence[BaseException] = ()
) -> list[TaskResult]:
    """Return what `@task`s gave, once all have ended.

    Args:
        groups: What they gave or raised, by group; or what a whole group raised.
        unanswered: Questions that humans have not answered yet.

    Raises:
        GraphInterrupt: Some ask humans: all their questions at once.
        BaseException: What one raised otherwise.
    """
    given = [each for group in groups for each in ([group] if isinstance(group, BaseException) else group)]
    errors = [each for each in given if isinstance(each, BaseException)]
    for error in errors:
        if not isinstance(error, GraphInterrupt):
            raise error
    if errors or unanswered:
        raise one_interrupt([*unanswered, *errors])
    return [each for each in given if not isinstance(each, BaseException)]


# -- a graph of their own ----------------------------------------------------------------------------------------------

_calls: ContextVar[Callable[[], Any]] = ContextVar("llmcompiler_calls")


@contextmanager
def _current(calls: Callable[[], Any]) -> Iterator[None]:
    """Let the graph inside find what it calls: what is under way cannot be its input, which is persisted."""
    token = _calls.set(calls)
    try:
        yield
    except GraphInterrupt as error:
        raise one_interrupt([error]) from None
    finally:
        _calls.reset(token)


@entrypoint()
async def _ainside(named: str) -> list[TaskResult]:
    return cast("list[TaskResult]", await _calls.get()())


@entrypoint()
def _inside(named: str) -> list[TaskResult]:
    return cast("list[TaskResult]", _calls.get()())


# not called by the node's own function: LangGraph would draw the graph inside in place of the node


async def acall_inside(named: str, calls: Callable[[], Coroutine[Any, Any, list[TaskResult]]]) -> list[TaskResult]:
    """Call `@task`s in a graph of their own.

    Args:
        named: What they are for; the graph's input.
        calls: Calls them.
    """
    with _current(calls):
        return cast("list[TaskResult]", await _ainside.ainvoke(named, _UNLIMITED))


def call_inside(named: str, calls: Callable[[], list[TaskResult]], *, unlimited: bool) -> list[TaskResult]:
    """Do the same for a synchronous caller.

    Args:
        named: What they are for; the graph's input.
        calls: Calls them.
        unlimited: Whether there are threads for all at once: as is needed where they wait for others of their own.
    """
    with _current(calls):
        return cast("list[TaskResult]", _inside.invoke(named, _UNLIMITED if unlimited else None))
