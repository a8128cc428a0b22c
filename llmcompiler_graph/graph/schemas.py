"""What the graph's state holds, what a run takes and what it gives: the package's keys, and the caller's.

    state    all keys
    input    `messages` and the caller's keys: what a form, an MCP tool or an A2A card asks for
    output   the documented keys and the caller's: what a run returns, and what a parent graph may share

The caller's keys may be marked as in `create_agent`: `OmitFromInput`, `OmitFromOutput`, `PrivateStateAttr`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Required,
    TypeGuard,
    TypeVar,
    Union,
    cast,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel
from typing_extensions import TypedDict, is_typeddict

from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.state import LLMCompilerInput, LLMCompilerOutput, LLMCompilerState

__all__ = ("Schemas", "graph_schemas")

_RESPONSE = "structured_response"


class Schemas(NamedTuple):
    """What `StateGraph` takes: TypedDicts."""

    state: type[Any]
    """What the nodes share."""
    input: type[Any]
    """What a run takes."""
    output: type[Any]
    """What a run gives."""
    checked: Callable[[Any], Any]
    """Reads the state as the caller's pydantic model has it, if the schema is one: converted, with defaults."""


def graph_schemas(
    state_schema: type[Any] | None,
    form: Any,
    more: Iterable[type[Any]] = (),
) -> Schemas:
    """Make the schemas of a graph.

    Args:
        state_schema: The caller's keys; `messages` and `structured_response` among them count instead of the package's.
        form: The form of `structured_response`, if the graph gives one.
        more: Schemas of middleware; where keys are the same, the caller's count.

    Raises:
        ConfigurationError: It is neither a TypedDict nor a pydantic model, or has a key of the package's with another
            type.
    """
    state, given, returned = map(_hints, (LLMCompilerState, LLMCompilerInput, LLMCompilerOutput))
    state_schema = get_origin(state_schema) or state_schema  # `AgentState[Answer]`
    own = _own_keys("state_schema", state_schema, state)
    for each in more:
        theirs = _own_keys(f"middleware's {each.__name__}", get_origin(each) or each, state)
        own = {key: theirs[key] for key in theirs if key not in {"messages", _RESPONSE}} | own
    keys = {**state, **own}
    if (isinstance(form, type) or get_origin(form) in (Union, UnionType)) and isinstance(
        _bare(keys[_RESPONSE]), TypeVar
    ):
        keys[_RESPONSE] = NotRequired[form]  # checkpointers keep only types that the schema names
    if form is None:
        del returned[_RESPONSE]
    callers = own.keys() - state.keys()
    checked = _own_keys("state_schema", state_schema, state).keys() - state.keys()
    taken = {key for key in callers if not _omits(own[key], "input")} | given.keys()
    told = {key for key in callers if not _omits(own[key], "output")} | returned.keys()
    name = "LLMCompilerState" if state_schema is None else state_schema.__name__
    short = name.removesuffix("State")
    return Schemas(
        _typed_dict(name, keys),
        _typed_dict(f"{short}Input", {key: keys[key] for key in keys if key in taken}),
        _typed_dict(f"{short}Output", {key: keys[key] for key in keys if key in told}),
        _checked(state_schema, checked),
    )


def _own_keys(what: str, state_schema: type[Any] | None, state: Mapping[str, Any]) -> dict[str, Any]:
    if state_schema is None:
        return {}
    if not (is_typeddict(state_schema) or _is_model(state_schema)):
        raise refused(what, "a TypedDict or a pydantic model", state_schema)
    own = _hints(state_schema)
    for key in sorted(own.keys() & state.keys() - {"messages", _RESPONSE}):
        if own[key] != state[key]:
            msg = f"{what} cannot have a key {key!r} of its own: the graph has one"
            raise ConfigurationError(msg)
    return own


def _hints(schema: type[Any]) -> dict[str, Any]:
    """The keys of a schema with their types."""
    hints = get_type_hints(schema, include_extras=True)
    if is_typeddict(schema):
        return hints
    fields = schema.model_fields.items()
    return {key: hints[key] if field.is_required() else NotRequired[hints[key]] for key, field in fields}


def _checked(schema: type[Any] | None, keys: Collection[str]) -> Callable[[Any], Any]:
    if not _is_model(schema):
        return lambda state: state

    def checked(state: Mapping[str, Any]) -> dict[str, Any]:
        """Read the state. Raises `pydantic.ValidationError`, as LangGraph does for states that are models."""
        model = schema.model_validate({key: state[key] for key in schema.model_fields if key in state})
        return {**state, **{key: getattr(model, key) for key in keys}}

    return checked


def _is_model(schema: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(schema, type) and issubclass(schema, BaseModel)


def _typed_dict(name: str, keys: Mapping[str, Any]) -> type[Any]:
    return cast("type[Any]", TypedDict(name, dict(keys)))  # type: ignore[operator]


def _omits(hint: Any, side: Literal["input", "output"]) -> bool:
    """Whether a key is marked to be left out, by LangChain's `OmitFromSchema`."""
    marks = getattr(_in_dict(hint), "__metadata__", ())
    return any(type(mark).__name__ == "OmitFromSchema" and getattr(mark, side) for mark in marks)


def _bare(hint: Any) -> Any:
    """A key's type, without what is said of the key."""
    hint = _in_dict(hint)
    return hint.__origin__ if get_origin(hint) is Annotated else hint


def _in_dict(hint: Any) -> Any:
    return hint.__args__[0] if get_origin(hint) in (Required, NotRequired) else hint
