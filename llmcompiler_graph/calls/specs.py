"""What the compiler may know of a LangChain tool: its parameters, return type and MCP hints, as a `ToolSpec`.

>>> from langchain_core.tools import tool
>>> @tool
... def height(mountain: str, unit: str = "m") -> float:
...     '''The height of a mountain.'''
...     return 8611.0
>>> spec = tool_spec(height)
>>> spec.parameters["mountain"], sorted(spec.required), spec.returns
({'title': 'Mountain', 'type': 'string'}, ['mountain'], {'type': 'number'})

Hints are found in `tool.metadata`, wherever an adapter has put them (see `hints`); a return schema in `outputSchema`
there, else in the return annotation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool, InjectedToolArg, Tool
from langchain_core.tools import tool as as_tool
from langgraph.prebuilt import InjectedState, ToolRuntime
from langgraph.types import Command
from pydantic import (
    AliasChoices,
    BaseModel,
    PydanticInvalidForJsonSchema,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from llmcompiler_graph.calls.finite_schemas import with_finite_values
from llmcompiler_graph.calls.hints import hints, named_like_an_action
from llmcompiler_graph.calls.introspection import (
    argument_annotations,
    field_annotation,
    function_annotations,
    function_of,
    mentions,
    with_readable_typed_dicts,
)
from llmcompiler_graph.calls.json_schemas import read_arguments, read_value, unwrapped
from llmcompiler_graph.calls.names import plan_names
from llmcompiler_graph.calls.own_arguments import own_arguments
from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.core.language.references import JSON

__all__ = ("as_tools", "is_given_state", "tool_spec", "tool_specs")


def as_tools(tools: Sequence[BaseTool | Callable[..., Any] | dict[str, Any]]) -> list[BaseTool]:
    """Make LangChain tools of documented callables, and refuse what cannot be called from here.

    Raises:
        ConfigurationError: A tool is neither, or is named like another.
    """
    made: dict[str, BaseTool] = {}
    listed: Any = tools
    if isinstance(listed, BaseTool) or not isinstance(listed, Iterable):  # a tool can be iterated over: its fields
        raise refused("tools", "a list of tools", listed)
    for given in listed:
        if isinstance(given, dict) or not (isinstance(given, BaseTool) or callable(given)):
            msg = f"a tool must be a LangChain tool or a documented callable, not {type(given).__name__}: {given!r:.80}"
            raise ConfigurationError(msg)
        each = given if isinstance(given, BaseTool) else _tool_of(given)
        if each.name in made:
            msg = f"two tools are named {each.name!r}"
            raise ConfigurationError(msg)
        made[each.name] = each
    return list(made.values())


def _tool_of(function: Callable[..., Any]) -> BaseTool:
    try:
        return as_tool(function)
    except (ValueError, TypeError, NameError, PydanticUserError) as error:
        msg = f"{getattr(function, '__qualname__', None) or function!r} cannot be made a tool: {error}"
        raise ConfigurationError(msg) from error


def tool_specs(tools: Sequence[BaseTool]) -> list[ToolSpec]:
    """Read what tools say of themselves, and name them as plans can write it.

    Raises:
        ConfigurationError: The arguments of one have no JSON Schema.
    """
    names = plan_names([tool.name for tool in tools])
    return [tool_spec(tool, name) for tool, name in zip(tools, names, strict=True)]


def tool_spec(tool: BaseTool, name: str = "") -> ToolSpec:
    """Read what a tool says of itself.

    Args:
        tool: The tool.
        name: What plans call it; its own name if not given.

    Raises:
        ConfigurationError: Its arguments have no JSON Schema.
    """
    metadata = tool.metadata or {}
    said = hints(metadata)
    own, arguments = tool.args_schema, tool.tool_call_schema
    if isinstance(tool, Tool) and own is None:  # of one text; its own schema is that of `*args, **kwargs`
        arguments = {"properties": tool.args, "required": list(tool.args)}
    if isinstance(arguments, dict):
        read = read_arguments(arguments)
    elif _is_model(own) and any(map(_alias, own.model_fields.values())):
        arguments, read = own, read_arguments(_written_with_aliases(own, tool.name))
    else:
        read = read_arguments(_written(arguments, tool.name))
    read, left_out = with_finite_values(read)
    if left_out:
        what = " and ".join(dict.fromkeys(left_out[:3]))
        msg = (
            f"in the arguments of the tool {tool.name!r}, {what} would have to hold itself: it may be left out, since "
        )
        warnings.warn(f"{msg}no finite value fits it", stacklevel=2)
    returns, definitions = _returns(tool, metadata)
    return ToolSpec(
        name=name or tool.name,
        own_name="" if name in ("", tool.name) else tool.name,
        parameters=read.properties,
        required=read.required,
        returns=returns,
        definitions={**read.definitions, **definitions},
        open_arguments=read.open or _allows_extra(tool.args_schema),
        description=tool.description,
        read_only=said.read_only,
        idempotent=said.idempotent,
        destructive=said.destructive,
        acts=not (said.read_only or said.idempotent) and named_like_an_action(tool.name),
        sees_state=_sees_state(tool),
        validate=None if isinstance(arguments, dict) else _validator(arguments, tool.args_schema),
    )


def _written_with_aliases(arguments: type[BaseModel], tool: str) -> dict[str, Any]:
    """The schema of a model as its author wrote it, without what is injected: LangChain's own loses the aliases."""
    schema = _written(arguments, tool)
    for name, field in arguments.model_fields.items():
        if mentions(field_annotation(field), InjectedToolArg, ToolRuntime):
            schema.get("properties", {}).pop(_alias(field) or name, None)
    return schema


def _is_model(given: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(given, type) and issubclass(given, BaseModel)


def _alias(field: FieldInfo) -> str:
    """The name a field is given by; empty if it is its own."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = next((each for each in alias.choices if isinstance(each, str)), None)
    return alias if isinstance(alias, str) else ""


def _allows_extra(arguments: Any) -> bool:
    """Whether a model takes fields it does not have; what LangChain makes of it for models does not say so."""
    return _is_model(arguments) and arguments.model_config.get("extra") == "allow"


def is_given_state(tool: BaseTool) -> bool:
    """Whether `ToolNode` gives a tool the graph's state, be it in a `runtime` that only an MCP interceptor looks at."""
    return _sees_state(tool) or "runtime" in function_annotations(function_of(tool))


def _sees_state(tool: BaseTool) -> bool:
    """Whether `ToolNode` gives a tool the graph's state, or a runtime that holds it.

    It looks at the arguments and, as these may be given without what is injected, at the function. A function's
    parameter that is only called `runtime` is not counted: all MCP tools have one, for their interceptors.
    """
    arguments = argument_annotations(tool)
    given = "runtime" in arguments and "runtime" not in own_arguments(tool)
    written = (*arguments.values(), *function_annotations(function_of(tool)).values())
    return given or any(mentions(each, InjectedState, ToolRuntime) for each in written)


def _written(arguments: type[Any], tool: str) -> dict[str, Any]:
    what = "they are a model of pydantic.v1, which is not supported"
    try:
        if issubclass(arguments, BaseModel):
            return TypeAdapter(arguments).json_schema()
    except PydanticUserError as error:  # of which the others are made
        what = error.message.splitlines()[0]
    msg = f"the arguments of the tool {tool!r} cannot be written as JSON Schema: {what}"
    raise ConfigurationError(msg)


def _validator(arguments: type[Any], own: Any) -> Callable[[str, JSON], str | None] | None:
    """A check of single constants against the tool's pydantic schema, the way the tool itself will validate them.

    Args:
        arguments: The schema, which has lost the validators that the tool's author wrote.
        own: The schema as the author wrote it; what its validators may turn into something else is not checked.
    """
    if not issubclass(arguments, BaseModel):
        return None
    written = own.__pydantic_decorators__ if _is_model(own) else None
    if written and any(each.info.mode != "after" for each in written.model_validators.values()):
        return lambda name, value: None
    early = [each.info for each in written.field_validators.values() if each.info.mode != "after"] if written else []
    unchecked = {name for info in early for name in info.fields}
    adapters: dict[str, TypeAdapter[Any]] = {}
    for name, field in arguments.model_fields.items():
        if not unchecked.isdisjoint((name, "*")):
            continue
        adapters[_alias(field) or name] = TypeAdapter(field_annotation(field))

    def validate(name: str, value: JSON) -> str | None:
        if (adapter := adapters.get(name)) is None:
            return None
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = "".join(f"[{part!r}]" for part in first["loc"])
            return f"{first['msg'][:1].lower()}{first['msg'][1:]}, not {first['input']!r:.80}{where and f' at {where}'}"
        return None

    return validate


def _returns(tool: BaseTool, metadata: Mapping[str, Any]) -> tuple[JSON, dict[str, JSON]]:
    """The schema of what a tool returns, with its definitions; `None` if it does not say."""
    declared = metadata.get("outputSchema")
    if isinstance(declared, dict):
        return read_value(unwrapped(declared) or declared, "#/$returns/")
    annotation = function_annotations(function_of(tool)).get("return", Any)
    if tool.response_format != "content" or annotation is Any:
        return None, {}
    if mentions(annotation, BaseMessage, Command):  # the observation is what the message says
        return None, {}
    try:
        readable = with_readable_typed_dicts(annotation)
        schema = TypeAdapter(readable).json_schema(mode="serialization", schema_generator=_Observed)
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError):
        return None, {}
    return read_value(schema, "#/$returns/")


class _Observed(GenerateJsonSchema):
    """As observations are: a `Decimal` is a number there."""

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        return {"type": "number"}
