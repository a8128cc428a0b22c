from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from langchain_core.messages import AnyMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, Tool, tool
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime
from langgraph.store.base import BaseStore
from langgraph.types import Command
from pydantic import BaseModel

from llmcompiler_graph.calls.introspection import (
    argument_annotations,
    function_annotations,
    function_of,
    has_async_side,
    has_sync_side,
    is_of_function,
    mentions,
    shown_arguments,
    sync_function_of,
)

if TYPE_CHECKING:
    from decimal import Decimal


def plain(text: str) -> str:
    """Repeat."""
    return text


async def later(text: str) -> str:
    """Repeat later."""
    return text


class Own(BaseTool):
    """A tool with a `_run`."""

    name: str = "own"
    description: str = "Repeats."

    def _run(self, text: str) -> str:
        return text


class OwnLater(Own):
    """A tool with both."""

    async def _arun(self, text: str) -> str:
        return text


BOTH = StructuredTool.from_function(plain, coroutine=later)


@pytest.mark.parametrize(
    ("made", "sync_side", "async_side", "of_function", "function"),
    [
        (tool(plain), True, False, True, plain),
        (tool(later), False, True, True, later),
        (BOTH, True, True, True, later),
        (Tool("one", plain, "Repeats."), True, False, True, plain),
        (Own(), True, False, False, None),
        (OwnLater(), True, True, False, None),
    ],
    ids=["sync", "async", "both", "of one text", "object", "object with both"],
)
def test_sides(
    made: BaseTool, sync_side: bool, async_side: bool, of_function: bool, function: Callable[..., Any] | None
) -> None:
    """Which sides a tool has, and which function it calls, whatever it is made of."""
    assert (has_sync_side(made), has_async_side(made), is_of_function(made)) == (sync_side, async_side, of_function)
    assert function_of(made) == (function or made._run)
    if sync_side:
        assert sync_function_of(made) == (plain if of_function else made._run)


@functools.wraps(plain)
def wrapping(*args: Any, **kwargs: Any) -> Any:
    """Stand for `plain`."""
    return plain(*args, **kwargs)


def unresolved(amount: Decimal) -> str:
    """Name what only a type checker knows."""
    return str(amount)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (plain, {"text": str, "return": str}),
        (wrapping, {"text": str, "return": str}),
        (functools.partial(plain, text="a"), {}),
        (unresolved, {}),
    ],
    ids=["plain", "wrapped", "partial", "unresolved"],
)
def test_annotations_of_functions(function: Callable[..., Any], expected: dict[str, Any]) -> None:
    """They are resolved, through decorators; where that cannot be done there are none."""
    assert function_annotations(function) == expected


class Arguments(BaseModel):
    """Arguments, one of them injected."""

    text: str
    state: Annotated[dict[str, Any], InjectedState]


def test_annotations_of_arguments() -> None:
    """They are those of the schema, with what is injected there, whatever the function says."""
    made = StructuredTool.from_function(lambda text, state: text, name="f", description="F.", args_schema=Arguments)
    assert argument_annotations(made) == {"text": str, "state": Annotated[dict[str, Any], InjectedState]}


@pytest.mark.parametrize(
    ("annotation", "kinds", "expected"),
    [
        (Command, (Command,), True),
        (Command[str], (Command,), True),
        (list[Command[str] | str], (Command,), True),
        (Annotated[BaseStore, InjectedStore()], (InjectedStore,), True),
        (Annotated[BaseStore, InjectedStore], (InjectedStore,), True),
        (Annotated[dict[str, Any], InjectedState("messages")] | None, (InjectedState,), True),
        (ToolRuntime[Any, Any], (InjectedState, ToolRuntime), True),
        (AnyMessage, (BaseMessage,), True),
        (ToolMessage | None, (Command, BaseMessage), True),
        (str, (Command, BaseMessage), False),
        (Annotated[str, "Command"], (Command,), False),
        (Any, (Command,), False),
    ],
    ids=[
        "command",
        "command-of-type",
        "command-in-union-in-list",
        "injected",
        "injected-class",
        "injected-optional",
        "runtime",
        "discriminated-union",
        "optional-message",
        "text",
        "name-only",
        "any",
    ],
)
def test_mentions(annotation: Any, kinds: tuple[type, ...], expected: bool) -> None:
    """A class is found as it is, parametrised, as an instance, and at any depth of an annotation."""
    assert mentions(annotation, *kinds) is expected


@tool
def with_runtime(text: str, runtime: ToolRuntime, callbacks: str = "") -> str:
    """Repeat."""
    return text


@tool(args_schema={"type": "object", "properties": {"text": {"type": "string"}}})
def with_json_schema(text: str, state: Annotated[dict[str, Any], InjectedState]) -> str:
    """Repeat."""
    return text


@pytest.mark.parametrize(
    "names", ["text", "text,state", "state", "runtime,text,other", "callbacks,run_manager,text", ""]
)
@pytest.mark.parametrize(
    "made",
    [
        with_runtime,
        with_json_schema,
        StructuredTool.from_function(lambda text, state: text, name="f", description="F.", args_schema=Arguments),
        Tool(name="plain", func=plain, description="Repeat."),
    ],
    ids=lambda made: made.name,
)
def test_arguments_that_callbacks_are_told_of(made: BaseTool, names: str) -> None:
    """They are those that LangChain itself finds, in each call with its own values."""
    shown = shown_arguments(made)
    for value in (1, 2):
        given = dict.fromkeys(filter(None, names.split(",")), value)
        assert list(shown(given).items()) == list(made._filter_injected_args(given).items())
