"""The two ways a model may write a plan: as plan text, or as native tool calls. Both become plan text.

A dialect says what the model must be bound to, and makes the reader of a reply: pieces of a message in, plan text out.
Earlier plans stand in prompts as that text, whoever wrote them: no provider is shown tool calls that it did not make or
that lack an answer, and what was wrong with a call can be said of its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

from langchain_core.messages import AIMessage, AIMessageChunk

from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.checking.schema import describe
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.language.native_calls import Piece, ToolCallText
from llmcompiler_graph.core.language.notations.calls import is_nearly_tool
from llmcompiler_graph.core.language.notations.heads import plain_head
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import Task, ToolSpec
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.models.lazy import ChatModel, speaks_openai, with_tools
from llmcompiler_graph.models.wording import PlanFormat

__all__ = ("Dialect", "Reader", "TextDialect", "ToolCallDialect", "dialect_for", "function_schemas")


class Reader(Protocol):
    """Reads one reply as it arrives."""

    cut: bool
    """Whether the model was not allowed to write more, as its provider says."""

    def feed(self, chunk: AIMessage) -> str:
        """Take a piece of the reply; return the plan text it completes."""

    def close(self) -> str:
        """Say that the reply is complete; return what was left."""


class Dialect(Protocol):
    """How a model writes plans."""

    @property
    def numbered_by(self) -> tuple[str, str]:
        """The arguments of a native call that hold its index and the tasks it waits for."""

    def bind(self, model: ChatModel, tools: Iterable[ToolSpec]) -> ChatModel:
        """Give the model what it needs to plan with these tools."""

    def bind_without_calling(self, model: ChatModel, tools: Iterable[ToolSpec]) -> ChatModel:
        """Give the model what keeps the beginning of a joiner's prompt that of the planner's."""

    def reader(self, first: int) -> Reader:
        """Make the reader of one reply, whose first task is expected to have this index."""


def dialect_for(plan_format: PlanFormat, tools: Iterable[ToolSpec]) -> Dialect:
    """Make what reads a model's plans.

    Raises:
        ConfigurationError: There is no such format.
    """
    match plan_format:
        case "text":
            return TextDialect()
        case "tools":
            return ToolCallDialect(tools)
        case _:
            raise refused("plan_format", "'text' or 'tools'", plan_format)


class TextDialect:
    """The model writes plan text; its prompt says all it needs."""

    numbered_by = ("", "")

    def bind(self, model: ChatModel, tools: Iterable[ToolSpec]) -> ChatModel:
        """Leave the model as it is."""
        return model

    bind_without_calling = bind

    def reader(self, first: int) -> Reader:
        """Make a reader that takes the reply's text."""
        return _TextReader()


class _TextReader:
    def __init__(self) -> None:
        self.cut = False

    def feed(self, chunk: AIMessage) -> str:
        self.cut = self.cut or _is_cut(chunk)
        return str(chunk.text)

    def close(self) -> str:
        return ""


class ToolCallDialect:
    """The model calls the tools natively, all in one reply, with references for arguments.

    Args:
        tools: All tools there are: the arguments `task` and `after` get other names if one of them has such.
    """

    def __init__(self, tools: Iterable[ToolSpec]) -> None:
        listed = list(tools)
        taken = {name for tool in listed for name in tool.parameters}
        self.numbered_by = _free("task", taken), _free("after", taken)
        self._parameters = {tool.name: tuple(tool.parameters) for tool in listed}
        self._names: dict[str, str] = {}  # what providers let a tool be called -> its name
        for tool in listed:
            self._names[_free(re.sub(r"[^a-zA-Z0-9_-]", "_", tool.name)[:60], self._names)] = tool.name

    def bind(self, model: ChatModel, tools: Iterable[ToolSpec]) -> ChatModel:
        """Bind the model to the tools, their schemas widened.

        Raises:
            ConfigurationError: The model cannot call tools.
        """
        schemas = self._schemas(tools)
        try:
            return with_tools(model, schemas) if schemas else model
        except NotImplementedError as error:
            msg = f"plan_format='tools' needs a model that calls tools, not {type(model).__name__}; leave it at 'text'"
            raise ConfigurationError(msg) from error

    def bind_without_calling(self, model: ChatModel, tools: Iterable[ToolSpec]) -> ChatModel:
        """Bind the model to the same tools, but let it call none; only OpenAI's interface can surely say that."""
        schemas = self._schemas(tools) if speaks_openai(model) else []
        return with_tools(model, schemas, tool_choice="none") if schemas else model

    def _schemas(self, tools: Iterable[ToolSpec]) -> list[dict[str, Any]]:
        shown = {tool: name for name, tool in self._names.items()}
        return function_schemas(tools, *self.numbered_by, shown=shown)

    def reader(self, first: int) -> Reader:
        """Make a reader that writes each call as a line of plan text."""
        return _ToolCallReader(
            ToolCallText(first, *self.numbered_by, names=self._names, parameters=self._parameters), self._parameters
        )


class _ToolCallReader:
    def __init__(self, calls: ToolCallText, parameters: Mapping[str, Collection[str]]) -> None:
        self._calls = calls
        self._parameters = parameters
        self._said = ""  # text that was not returned yet: a thought, if calls follow
        self._called = False
        self.cut = False

    def feed(self, chunk: AIMessage) -> str:
        self.cut = self.cut or _is_cut(chunk)
        self._said += chunk.text
        return self._with_thoughts("".join(map(self._call, _pieces(chunk))))

    def close(self) -> str:
        if not self._called and _holds_tasks(self._said, self._parameters):  # a model that rather writes plan text
            return self._said
        lines = self._calls.close()
        return self._with_thoughts(lines) or _thoughts(self._said)

    def _call(self, piece: Piece) -> str:
        self._called = True
        return self._calls.feed(piece)

    def _with_thoughts(self, lines: str) -> str:
        if not lines:
            return ""
        lines, self._said = _thoughts(self._said) + lines, ""
        return lines


_WHY_IT_ENDED = ("finish_reason", "stop_reason", "done_reason", "stopReason")
_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"})


def _is_cut(message: AIMessage) -> bool:
    """Whether a message, or the last piece of one, ends because its model may write no more."""
    if not (said := message.response_metadata):
        return False
    incomplete = said.get("incomplete_details")
    reasons = [said.get(key) for key in _WHY_IT_ENDED]
    reasons += [incomplete.get("reason")] if isinstance(incomplete, dict) else []
    return any(str(getattr(reason, "name", reason)).lower() in _CUT for reason in reasons)


def _pieces(message: AIMessage) -> Iterator[Piece]:
    """The pieces of tool calls in a piece of a message, or in a message that came whole."""
    if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
        for chunk in message.tool_call_chunks:
            yield Piece(chunk["name"] or "", _text(chunk["args"]), chunk["index"], chunk["id"] or "")
        return
    for call in message.tool_calls:
        yield Piece(call["name"], _text(call["args"]), None, call["id"] or "")
    for invalid in message.invalid_tool_calls:
        yield Piece(invalid["name"] or "?", _text(invalid["args"]), None, invalid["id"] or "")
    function = message.additional_kwargs.get("function_call")  # what OpenAI's interface had before tools
    if isinstance(function, dict) and not message.tool_calls:
        yield Piece(function.get("name") or "", _text(function.get("arguments")), 0)


def _text(arguments: Any) -> str:
    """Arguments as JSON; most providers stream them so."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _thoughts(said: str) -> str:
    return "".join(f"Thought: {line.strip()}\n" for line in said.splitlines() if line.strip())


def _holds_tasks(text: str, parameters: Mapping[str, Collection[str]]) -> bool:
    """Whether a text has lines that are meant as tasks; a numbered list of prose, or a formula, is an answer."""
    parser = PlanParser(tools=parameters)
    events = [*parser.feed(text), *parser.close()]
    written = text.split("\n")
    return any(
        event.tool in parameters
        or is_nearly_tool(event.tool, parameters)
        or plain_head(written[event.line - 1], 0, parameters) is None
        if isinstance(event, Task)
        else event.code not in {"not-a-call", "missing-index"}
        for event in events
    )


def _free(name: str, taken: Iterable[str]) -> str:
    while name in taken:
        name += "_"
    return name


def function_schemas(
    tools: Iterable[ToolSpec], task: str = "task", after: str = "after", *, shown: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Write tools as OpenAI function schemas in which any argument may also be a reference.

    >>> half = ToolSpec("half", {"of": {"type": "number"}}, frozenset({"of"}), {"type": "number"})
    >>> function_schemas([half])[0]["function"]["parameters"]["properties"]["of"]
    {'anyOf': [{'type': 'number'}, {'type': 'string'}]}

    Args:
        tools: The tools.
        task: The argument for a call's index.
        after: The argument for the tasks a call waits for.
        shown: What a tool is to be called, by its name, where these differ.
    """
    return [_function(tool, task, after, (shown or {}).get(tool.name, tool.name)) for tool in tools]


def _function(tool: ToolSpec, task: str, after: str, name: str) -> dict[str, Any]:
    returns = f"Returns: {describe(tool.returns, tool.definitions)}" if tool.returns is not None else ""
    parameters: dict[str, Any] = {
        "type": "object",
        "properties": {
            task: {"type": "integer", "description": "number of this call"},
            **{parameter: _widened(schema) for parameter, schema in tool.parameters.items()},
            after: {"type": "array", "items": {"type": "integer"}, "description": "calls to wait for"},
        },
        "required": [task, *(parameter for parameter in tool.parameters if parameter in tool.required)],
    }
    own = {pointer: schema for pointer, schema in tool.definitions.items() if pointer.startswith("#/$defs/")}
    if own:
        parameters["$defs"] = {pointer.removeprefix("#/$defs/"): _inside(schema) for pointer, schema in own.items()}
    description = "\n".join(filter(None, [tool.description.strip(), returns]))
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


_LIMITS_TEXT = frozenset({"enum", "const", "pattern", "format", "minLength", "maxLength"})
_TEXT: JSON = {"type": "string"}


def _widened(schema: JSON) -> JSON:
    """Let a value also be text, which may be a reference."""
    if not isinstance(schema, dict):
        return schema  # anything
    inner = _inside(schema)
    assert isinstance(inner, dict)
    if schema.get("type") == "string" and not _LIMITS_TEXT & schema.keys():
        return inner
    kept: dict[str, JSON] = {key: inner.pop(key) for key in ("description", "default") if key in inner}
    if not inner:
        return kept  # anything
    options = inner["anyOf"] if inner.keys() == {"anyOf"} else [inner]
    assert isinstance(options, list)
    return {**kept, "anyOf": [*(option for option in options if option != _TEXT), _TEXT]}


def _inside(schema: JSON) -> JSON:
    """Widen what is inside a list or an object, and leave titles out: they repeat the names."""
    if not isinstance(schema, dict):
        return schema
    inner = {key: value for key, value in schema.items() if key != "title"}
    if "items" in inner:
        inner["items"] = _widened(inner["items"])
    if isinstance(extra := inner.get("additionalProperties"), dict):
        inner["additionalProperties"] = _widened(extra)
    if isinstance(properties := inner.get("properties"), dict):
        inner["properties"] = {name: _widened(field) for name, field in properties.items()}
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if isinstance(options := inner.get(key), list):
            inner[key] = [_inside(option) for option in options]
    return inner
