"""What a LangChain tool says of itself in code: its functions, and the annotations of what it takes and gives.

>>> from langchain_core.tools import tool
>>> from langgraph.prebuilt import InjectedState
>>> from langgraph.types import Command
>>> @tool
... def note(text: str, state: Annotated[dict, InjectedState]) -> Command:
...     '''Note a text.'''
...     return Command()
>>> written = function_annotations(function_of(note))
>>> mentions(written["state"], InjectedState), mentions(written["return"], Command)
(True, True)
>>> has_sync_side(note), has_async_side(note), is_of_function(note)
(True, False, True)

What an MCP server says of its tools is read in `hints`.
"""

from __future__ import annotations

import functools
import inspect
import operator
import sys
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

import typing_extensions
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, Tool
from pydantic import BaseModel
from pydantic.fields import FieldInfo

__all__ = (
    "argument_annotations",
    "field_annotation",
    "function_annotations",
    "function_of",
    "functions_of",
    "has_async_side",
    "has_sync_side",
    "is_of_function",
    "looked_at_once",
    "mentions",
    "runs_in_executor",
    "shown_arguments",
    "sync_function_of",
    "with_own_arun",
    "with_readable_typed_dicts",
)

F = TypeVar("F", bound=Callable[..., Any])


def is_of_function(tool: BaseTool) -> bool:
    """Whether a tool is made of functions, as `@tool` makes it, and has no `_run` of its own."""
    return type(tool)._run in (StructuredTool._run, Tool._run)


def has_sync_side(tool: BaseTool) -> bool:
    """Whether a tool can be called synchronously."""
    return getattr(tool, "func", tool) is not None


def has_async_side(tool: BaseTool) -> bool:
    """Whether a tool is called on the event loop; LangChain calls any other in a thread there."""
    return type(tool)._arun is not BaseTool._arun and getattr(tool, "coroutine", tool) is not None


def runs_in_executor(tool: BaseTool) -> bool:
    """Whether a tool is one that `with_own_arun` made: what runs is elsewhere, and awaited here."""
    return "_arun" in vars(tool)


def with_own_arun(tool: BaseTool, arun: Callable[..., Any]) -> BaseTool:
    """A copy of a tool with another `_arun`, which awaits what runs elsewhere."""
    # its function stands in for a coroutine, so that LangChain calls `_arun` and still finds what it injects
    function = getattr(tool, "func", None)
    copy = tool.model_copy(update={"func": None, "coroutine": function} if function is not None else {})
    copy.__dict__["_arun"] = arun
    return copy


def function_of(tool: BaseTool) -> Callable[..., Any]:
    """The function that a tool calls: the asynchronous one if there are two."""
    return getattr(tool, "coroutine", None) or sync_function_of(tool)


def sync_function_of(tool: BaseTool) -> Callable[..., Any]:
    """The function that a tool calls synchronously: the one it is made of, else its `_run`."""
    return getattr(tool, "func", None) or tool._run


def functions_of(tool: BaseTool) -> list[Callable[..., Any]]:
    """All functions that a tool may call: those it is made of, and its own methods."""
    functions = [getattr(tool, "coroutine", None), getattr(tool, "func", None)]
    if not is_of_function(tool):
        functions.append(tool._run)
    if type(tool)._arun not in (StructuredTool._arun, Tool._arun, BaseTool._arun):
        functions.append(tool._arun)
    return [function for function in functions if function is not None]


def function_annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, `return` among them; none if some are names that only a type checker knows."""
    try:
        return get_type_hints(inspect.unwrap(function), include_extras=True)
    except (NameError, TypeError):  # TypeError: a partial or a callable object
        return {}


def looked_at_once(function: F) -> F:
    """Spare LangChain to look at a function anew in each call, which takes it longer than all else of a call.

    It asks for the parameters' names, and for the one that is annotated as `RunnableConfig`. Other annotations are gone
    then; if they cannot be read, all stay as they are.
    """
    with suppress(ValueError, TypeError):  # some built-in functions have none
        function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    with suppress(Exception):  # whatever the annotations raise
        hints = get_type_hints(function)
        function.__annotations__ = {name: hint for name, hint in hints.items() if hint is RunnableConfig}
    return function


def shown_arguments(tool: BaseTool) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What LangChain is to call for the arguments that callbacks are told of: all but what is injected.

    It would look through the tool's schema in each call. Which arguments are left out depends on their names alone.
    """

    @functools.lru_cache(maxsize=64)
    def shown(names: tuple[str, ...]) -> frozenset[str]:
        return frozenset(tool._filter_injected_args(dict.fromkeys(names)))

    def filtered(given: dict[str, Any]) -> dict[str, Any]:
        names = shown(tuple(given))
        return {name: value for name, value in given.items() if name in names}

    return filtered


def argument_annotations(tool: BaseTool) -> dict[str, Any]:
    """The annotations of a tool's argument schema, by argument; what is injected may stand there or in the function."""
    fields = cast("type[BaseModel]", tool.get_input_schema()).model_fields
    return {name: field_annotation(field) for name, field in fields.items()}


def field_annotation(field: FieldInfo) -> Any:
    """A field's annotation as it was written: pydantic keeps apart what `Annotated` added to it."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def mentions(annotation: Any, *kinds: type) -> bool:
    """Whether an annotation is one of these classes, or holds one, or an instance of one.

    >>> mentions(list[int | None], int), mentions(Annotated[str, 7], int), mentions(list[str], int)
    (True, True, False)
    """
    kind = get_origin(annotation) or annotation
    if isinstance(annotation, kinds) or (isinstance(kind, type) and issubclass(kind, kinds)):
        return True
    return any(mentions(part, *kinds) for part in get_args(annotation))


def with_readable_typed_dicts(annotation: Any) -> Any:
    """Replace the `typing.TypedDict`s in an annotation, which pydantic refuses before Python 3.12, by equal ones.

    One that holds itself holds `Any` there.
    """
    return annotation if sys.version_info >= (3, 12) else _readable(annotation, {})


def _readable(annotation: Any, inside: Mapping[Any, Any]) -> Any:
    if is_typeddict(annotation) and type(annotation).__module__ == "typing":
        if annotation in inside:
            return Any
        fields: dict[str, Any] = {}
        for name, field in get_type_hints(annotation).items():
            readable = _readable(field, {**inside, annotation: None})
            required = name in annotation.__required_keys__
            fields[name] = readable if required else typing_extensions.NotRequired[readable]
        made = typing_extensions.TypedDict(annotation.__name__, fields)  # type: ignore[misc]
        made.__doc__ = annotation.__doc__
        return made
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, [_readable(part, inside) for part in parts])
    if origin is Annotated:
        return Annotated[(_readable(parts[0], inside), *parts[1:])]
    if isinstance(origin, type) and any(is_typeddict(get_origin(part) or part) or get_args(part) for part in parts):
        with suppress(TypeError):  # a generic that cannot be written again with other parts
            return origin[tuple(_readable(part, inside) for part in parts)]  # type: ignore[index]
    return annotation
