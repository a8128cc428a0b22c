"""Passes on arguments of a tool that are called as what LangChain and LangGraph themselves give tools.

A tool may well have an argument `config` or `runtime` of its own. LangChain would put its `RunnableConfig` there, a
`run_manager` or its `self`, LangGraph its `ToolRuntime`: the tool would get that, or nothing, and not what the plan
says. So what the plan says is set aside before LangChain sees it, and given to the tool's function at last.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager, BaseRunManager
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg
from langgraph.prebuilt import ToolRuntime
from pydantic import BaseModel
from pydantic.json_schema import SkipJsonSchema

from llmcompiler_graph.calls.introspection import (
    argument_annotations,
    function_annotations,
    function_of,
    is_of_function,
    looked_at_once,
    mentions,
    runs_in_executor,
)
from llmcompiler_graph.core.errors import ConfigurationError

__all__ = ("own_arguments", "passing_on", "set_aside")

_TAKEN = frozenset({"config", "run_manager", "runtime", "self"})
_LEFT_OUT = ("callbacks", "run_manager", "args", "kwargs")  # of the arguments that LangChain reads from a function
_THEIRS = (InjectedToolArg, ToolRuntime, BaseCallbackManager, BaseCallbackHandler, BaseRunManager)
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def own_arguments(tool: BaseTool) -> frozenset[str]:
    """The arguments of a tool that are its own and are called as LangChain's.

    Raises:
        ConfigurationError: It has one that cannot be passed on; the message says why.
    """
    function = function_of(tool)
    annotations = function_annotations(function)
    written = argument_annotations(tool)
    schema = tool.args_schema
    listed = schema.get("properties") or {} if isinstance(schema, dict) else written
    hidden = _hidden(schema)
    own = frozenset(name for name in _TAKEN.intersection(listed) - hidden if not _is_theirs(written.get(name)))
    if is_of_function(tool):
        parameters = inspect.signature(function).parameters
        for name in own:
            if name in parameters and _is_theirs(annotations.get(name)):
                _refuse(tool, name, "its function has a parameter of that name for what LangChain gives it")
        for name in _LEFT_OUT:
            wanted = name in annotations and name in parameters and parameters[name].kind not in _VARIABLE
            if wanted and name not in listed and not _is_theirs(annotations[name]):
                _refuse(tool, name, "LangChain leaves it out of the arguments that it reads from the function")
    if own and runs_in_executor(tool):
        _refuse(tool, min(own), "its executor gets LangChain's own there")
    return own


def _hidden(schema: Any) -> frozenset[str]:
    """The arguments that a model leaves out of its JSON Schema: nobody who calls the tool is to give them."""
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return frozenset()
    skips: Any = SkipJsonSchema
    fields = schema.model_fields.items()
    return frozenset(name for name, field in fields if any(isinstance(each, skips) for each in field.metadata))


def _is_theirs(annotation: Any) -> bool:
    """Whether an annotation asks for what LangChain or LangGraph gives."""
    return annotation in (RunnableConfig, Any) or mentions(annotation, *_THEIRS)


def _refuse(tool: BaseTool, argument: str, why: str) -> None:
    msg = f"the argument {argument!r} of the tool {tool.name!r} cannot be passed on: {why}; call it something else"
    raise ConfigurationError(msg)


def set_aside(
    tool: BaseTool,
    own: frozenset[str],
    given: Callable[[], Mapping[str, Any]],
    keep: Callable[[Mapping[str, Any]], None],
) -> Callable[..., Any]:
    """Make what LangChain is to call to read a tool's input: it leaves out the arguments that are the tool's own.

    Args:
        tool: The tool.
        own: Its arguments of that kind.
        given: The arguments as the plan has them: LangGraph may have put its runtime there since.
        keep: Told the arguments that are left out, as the tool's schema reads them.
    """
    read = tool._to_args_and_kwargs

    def read_without(tool_input: Any, tool_call_id: str | None) -> Any:
        if isinstance(tool_input, dict):
            planned = given()
            others = {name: value for name, value in tool_input.items() if name not in own}
            tool_input = {**others, **{name: planned[name] for name in own if name in planned}}
        positional, named = read(tool_input, tool_call_id)
        keep({name: named.pop(name) for name in own if name in named})
        return positional, named

    return read_without


def passing_on(tool: BaseTool, kept: Callable[[], Mapping[str, Any]]) -> BaseTool:
    """A copy of a tool that is made of functions, which are given what was set aside."""

    def with_kept(name: str) -> Callable[..., Any] | None:
        function = getattr(tool, name, None)
        if function is None:
            return None

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(tool, name)(*args, **kwargs, **kept())

        return looked_at_once(call)

    return tool.model_copy(update={name: with_kept(name) for name in ("func", "coroutine")})
