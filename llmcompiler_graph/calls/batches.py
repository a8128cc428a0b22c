"""Makes one call of calls that are ready together, where a tool says which other tool takes many.

`metadata={"batch": "lookup_many"}` of a tool `lookup` names another one, which takes a list and returns the list of the
results, in order. Of a tool of one parameter that list holds its values, else objects of its arguments. In the result
an exception, or `{"error": "…"}` alone, is an element that has failed, and no other has. If the call raises, or returns
anything else, all its elements have failed.

Batching begins where a call would reach its tool: all that is about a call (approvals, wrappers, limits, the cache,
retries, timeouts, what is persisted) is about each element by itself. Calls are of one batch if they come from one run,
none more than a moment after the one before.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import uuid4

from langchain_core.tools import BaseTool, ToolException
from langgraph.errors import GraphBubbleUp

from llmcompiler_graph.calls.own_arguments import own_arguments
from llmcompiler_graph.calls.specs import is_given_state, tool_spec
from llmcompiler_graph.core.arguments import check_count
from llmcompiler_graph.core.checking.schema import describe, fits
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.core.language.references import JSON

__all__ = ("BatchForm", "Gathering", "with_batch_forms")

MOMENT, MOMENT_OF_THREADS = 0.01, 0.05
"""How long a batch waits for a further call, in seconds, where calls begin on the event loop or in threads."""

Many: TypeAlias = Callable[[BaseTool, Mapping[str, JSON]], Awaitable[Sequence[Any]]]
"""Calls a batch form with its arguments; gives a value or an exception for each element."""


@dataclass(frozen=True, slots=True)
class BatchForm:
    """What takes many calls of a tool at once."""

    tool: BaseTool
    """It."""
    parameter: str
    """The argument that takes the list."""
    of: ToolSpec
    """The tool of which it takes many."""
    size: int | None
    """How many calls it takes at most."""

    def arguments(self, calls: Iterable[Mapping[str, Any]]) -> dict[str, JSON]:
        """What it is called with, for calls with these arguments."""
        listed: list[Any] = [dict(call) for call in calls]
        if len(self.of.parameters) == 1:
            ((name, schema),) = self.of.parameters.items()
            default = schema.get("default") if isinstance(schema, dict) else None
            listed = [call.get(name, default) for call in listed]
        return {self.parameter: listed}


def with_batch_forms(tools: Sequence[BaseTool]) -> tuple[list[BaseTool], dict[str, BatchForm]]:
    """Find the batch forms that tools name: the tools without them, and they by the name of the tool.

    Raises:
        ConfigurationError: One cannot be the batch form of the other.
    """
    named = {tool.name: tool for tool in tools}
    forms: dict[str, BatchForm] = {}
    for tool in tools:
        given = (tool.metadata or {}).get("batch")
        if given is None:
            continue
        many = named.get(given) if isinstance(given, str) else None
        if many is None or many is tool or "batch" in (many.metadata or {}):
            msg = f'metadata["batch"] of {tool.name!r} must be the name of another of the tools, not {given!r:.80}'
            raise ConfigurationError(msg)
        size = (tool.metadata or {}).get("batch_size")
        if size is not None:
            check_count(f'metadata["batch_size"] of {tool.name!r}', size, 1)
        forms[tool.name] = _form(tool, many, size)
    many_names = {form.tool.name for form in forms.values()}
    return [tool for tool in tools if tool.name not in many_names], forms


def _form(tool: BaseTool, many: BaseTool, size: int | None) -> BatchForm:
    one, form = tool_spec(tool), tool_spec(many)
    for each in (tool, many):
        if is_given_state(each) or own_arguments(each):
            msg = (
                f"{many.name!r} cannot take many calls of {tool.name!r}: {each.name!r} is given more than its arguments"
            )
            raise ConfigurationError(msg)
    needed = [name for name in form.parameters if name in form.required] or [*form.parameters][:1]
    parameter = needed[0] if len(needed) == 1 else ""
    element: JSON = next(iter(one.parameters.values())) if len(one.parameters) == 1 else {"type": "object"}
    schema = form.parameters.get(parameter)
    listed: JSON = {"type": "array", "items": element}
    if not parameter or not fits(listed, schema, form.definitions, one.definitions):
        takes = ", ".join(f"{n}: {describe(s, form.definitions)}" for n, s in form.parameters.items()) or "nothing"
        wanted = describe(listed, one.definitions)
        msg = f"{many.name!r} cannot take many calls of {tool.name!r}: it must take one {wanted}, and it takes {takes}"
        raise ConfigurationError(msg)
    if form.returns is not None and not fits(form.returns, {"type": "array"}, {}, form.definitions):
        returns = describe(form.returns, form.definitions)
        msg = f"{many.name!r} cannot take many calls of {tool.name!r}: it must return a list, and it returns {returns}"
        raise ConfigurationError(msg)
    return BatchForm(many, parameter, one, size)


@dataclass(slots=True)
class _Batch:
    """Calls that are to be made as one."""

    run: object
    """What they belong to."""
    context: contextvars.Context
    """That of the first of them."""
    calls: list[tuple[Mapping[str, Any], asyncio.Future[Any]]] = field(default_factory=list)
    """Their arguments, and who waits for what each gives."""
    timer: asyncio.TimerHandle | None = None
    """Begins it."""
    name: str = ""
    """Names it."""


class Gathering:
    """Gathers the calls of one tool.

    Args:
        form: Takes many of them.
        many: Makes its call.
    """

    def __init__(self, form: BatchForm, many: Many) -> None:
        self._form = form
        self._many = many
        self._open: dict[tuple[int, int], _Batch] = {}  # by the event loop and the run

    def add(self, arguments: Mapping[str, Any], run: object, moment: float = MOMENT) -> tuple[asyncio.Future[Any], str]:
        """Take a call, to make it with others of the run if there are some; give its future value and the batch's name.

        Args:
            arguments: Those of the call.
            run: What it is of.
            moment: How long to wait for another.
        """
        loop = asyncio.get_running_loop()
        key = id(loop), id(run)
        if (batch := self._open.get(key)) is None:
            batch = self._open[key] = _Batch(run, copy_context(), name=f"{self._form.tool.name} {uuid4().hex[:8]}")
        future: asyncio.Future[Any] = loop.create_future()
        batch.calls.append((arguments, future))
        if batch.timer is not None:
            batch.timer.cancel()
        full = len(batch.calls) == self._form.size
        batch.timer = loop.call_later(0 if full else moment, self._begin, key, batch)
        if full:
            del self._open[key]
        return future, batch.name

    def _begin(self, key: tuple[int, int], batch: _Batch) -> None:
        if self._open.get(key) is batch:
            del self._open[key]
        batch.calls = [(arguments, future) for arguments, future in batch.calls if not future.done()]
        if not batch.calls:
            return
        call = asyncio.get_running_loop().create_task(self._make(batch), context=batch.context)

        def given_up(_: object) -> None:
            if all(future.cancelled() for _, future in batch.calls):
                call.cancel()

        for _, future in batch.calls:
            future.add_done_callback(given_up)

    async def _make(self, batch: _Batch) -> None:
        """Make one call of a batch, and deal out what it gave."""
        results: Sequence[Any]
        try:
            results = await self._many(self._form.tool, self._form.arguments(given for given, _ in batch.calls))
        except GraphBubbleUp:
            what = f"the batch form {self._form.tool.name!r} called interrupt(): use interrupt_on for the tool itself"
            results = [ToolException(what)] * len(batch.calls)
        except Exception as error:
            results = [error] * len(batch.calls)
        for (_, future), result in zip(batch.calls, self._dealt(results, len(batch.calls)), strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _dealt(self, results: Sequence[Any], calls: int) -> Sequence[Any]:
        """A value or an exception for each call."""
        name = self._form.tool.name
        if not isinstance(results, list) or len(results) != calls:
            what = f"{len(results)} results" if isinstance(results, list) else type(results).__name__
            return [ToolException(f"{name!r} was called with {calls} calls and returned {what}")] * calls
        return [ToolException(str(each["error"])) if _is_error(each) else each for each in results]


def _is_error(result: Any) -> bool:
    return isinstance(result, dict) and result.keys() == {"error"} and isinstance(result["error"], str)
