"""The answer in a form: LangChain's strategies for structured output, for one more call of the joiner's model.

    ToolStrategy      the model calls a tool of that form, with the strategy's `handle_errors`
    ProviderStrategy  the provider holds the reply to the form
    a form alone      the provider, if it can; where it refuses, or for a union of forms, as `ToolStrategy`

What the model gives is read in either way it may come, as a tool call or as JSON in its text, also behind a thought or
in a code fence. A value that does not fit is asked for again with the error. The work is done by then, and the answer
written: if no try gives a value, the answer stands, and the error is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from types import UnionType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, Union, cast, get_origin

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.errors import GraphBubbleUp
from typing_extensions import TypeVar

from llmcompiler_graph.concurrency.threads import in_thread
from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.checking.schema import mismatch
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.language.json_text import JSON
from llmcompiler_graph.core.language.thinking import WithoutThinking
from llmcompiler_graph.models.lazy import ChatModel, LazyModel, has_structured_output, innermost, with_tools
from llmcompiler_graph.models.streaming import unstreamed_config

if TYPE_CHECKING:
    from langchain.agents.structured_output import OutputToolBinding

__all__ = ("AnswerForm", "Ask", "Formed", "Strategy", "Way", "answer_form", "invoked", "plainly")

ResponseT_co = TypeVar("ResponseT_co", covariant=True, default=Any)

_ASK = "Give the answer in the form asked for."
_AGAIN = "Error: {error}\n Please fix your mistakes."  # as LangChain's agent says it
_TRIES = 3
_CANDIDATES = 100  # places in a text where JSON may begin
_TAKES = "a pydantic model, dataclass, TypedDict or JSON Schema of an object, a union of them, or a strategy of these"


class Strategy(Protocol[ResponseT_co]):
    """How an answer gets its form: LangChain's `ToolStrategy`, `ProviderStrategy` or `AutoStrategy`."""

    @property
    def schema(self) -> type[ResponseT_co] | UnionType | dict[str, Any]:
        """The form."""


class Formed(NamedTuple):
    """What came of asking for a form."""

    value: Any
    """The answer in that form; `None` if no try gave one."""
    error: str
    """Why there is no value."""
    usage: UsageMetadata | None
    """The tokens of all tries, if they are counted."""
    messages: list[BaseMessage]
    """The tool call and its message, if the strategy says what that is to say."""


def answer_form(response_format: object) -> AnswerForm | None:
    """Read what form an answer is to have.

    Raises:
        ConfigurationError: No model can be asked for it.
    """
    return None if response_format is None else AnswerForm(response_format)


Way: TypeAlias = Callable[[ChatModel], ChatModel]
"""Gives a model what makes it reply in a form."""

Ask: TypeAlias = Callable[[Way, list[BaseMessage]], Awaitable[tuple[AIMessage, Any]]]
"""Asks a model in some way; gives its reply, and the value if somebody else has read it already."""


def plainly(model: ChatModel, *, sync: bool) -> Ask:
    """Make what asks a model that has nothing around it.

    Args:
        model: The model.
        sync: Whether the graph was called synchronously.
    """

    async def ask(way: Way, messages: list[BaseMessage]) -> tuple[AIMessage, Any]:
        return await invoked(way(model), messages, sync=sync), None

    return ask


async def invoked(model: ChatModel, messages: list[BaseMessage], *, sync: bool) -> AIMessage:
    """Ask a model, hidden from streams.

    Args:
        model: The model.
        messages: What it is asked.
        sync: Whether the graph was called synchronously.
    """
    config = unstreamed_config()
    if sync:
        return await in_thread("a model", model.invoke, messages, config)
    return await model.ainvoke(messages, config)


class AnswerForm:
    """The form that an answer is to have.

    Args:
        response_format: As `create_agent` takes it.

    Raises:
        ConfigurationError: No model can be asked for it.
    """

    def __init__(self, response_format: object) -> None:
        from langchain.agents.structured_output import AutoStrategy, OutputToolBinding, ProviderStrategy, ToolStrategy

        given = response_format
        is_form = isinstance(given, type | Mapping) or get_origin(given) in (Union, UnionType)
        self.schema: Any = given if is_form else getattr(given, "schema", given)
        """The form alone."""
        form: Any = {"title": "Answer", **self.schema} if isinstance(self.schema, Mapping) else self.schema
        try:
            tools = given if isinstance(given, ToolStrategy) else ToolStrategy(form)
            self._provider = given if isinstance(given, ProviderStrategy) else None
            bindings = [OutputToolBinding.from_schema_spec(spec) for spec in tools.schema_specs]
        except Exception as error:  # pydantic raises several, for types that have no JSON Schema
            raise ConfigurationError(f"{refused('response_format', _TAKES, self.schema)}: {error}") from error
        strategies = (ToolStrategy, ProviderStrategy, AutoStrategy)
        self.strategy: Any = given if isinstance(given, strategies) else AutoStrategy(form)
        """How to get it, as LangChain has it."""
        self._is_tool = isinstance(given, ToolStrategy) or len(bindings) > 1
        self._handle_errors = tools.handle_errors
        self._says = tools.tool_message_content if isinstance(given, ToolStrategy) else None
        self._bindings: dict[str, OutputToolBinding[Any]] = {}
        for binding in bindings:
            schema = _schema_of(binding)
            if not ({"properties", "$ref"} & schema.keys() or schema.get("type") == "object"):
                raise refused("response_format", _TAKES, binding.schema)
            binding.tool.name = re.sub(r"[^a-zA-Z0-9_-]", "_", binding.tool.name)[:64]
            if binding.tool.name in self._bindings:
                msg = f"response_format has two forms that are called {binding.tool.name!r}: give them other names"
                raise ConfigurationError(msg)
            self._bindings[binding.tool.name] = binding

    def check(self, model: ChatModel) -> None:
        """Check that a model can be asked for it.

        Raises:
            ConfigurationError: It cannot.
        """
        try:
            self._ways(model)[0](model)
        except NotImplementedError as error:
            msg = f"response_format needs a model that calls tools, {type(innermost(model)).__name__} does not"
            raise ConfigurationError(msg) from error

    async def ask(self, model: ChatModel, prompt: Sequence[BaseMessage], source: LazyModel, ask: Ask) -> Formed:
        """Ask a model for the answer in this form.

        Args:
            model: The model.
            prompt: The conversation, the answer last.
            source: What the model was got from.
            ask: Asks it.

        Raises:
            StructuredOutputError: The value is wrong, and the strategy says not to handle that.
        """
        ways = self._ways(model)
        messages, error = [*prompt, HumanMessage(_ASK)], ""
        usage: UsageMetadata | None = None
        for _ in range(_TRIES):
            try:
                reply, given = await ask(ways[0], messages)
            except GraphBubbleUp:
                raise
            except Exception as failure:  # the answer stands, whatever happens to the call that gives it a form
                error = f"{type(failure).__name__}: {failure}"
                if len(ways) > 1 and getattr(failure, "status_code", None) in (400, 404, 422):
                    ways = ways[1:]
                    continue
                break
            usage = add_usage(usage, reply.usage_metadata) if reply.usage_metadata else usage
            value, wrong = (given, None) if given is not None else self._read(reply, source)
            if wrong is None:
                return Formed(value, "", usage, self._told(reply))
            error = str(wrong)
            request = self._handled(wrong)
            if request is None:
                raise wrong
            messages += _asked_again(reply, request)
        return Formed(None, error, usage, [])

    def _ways(self, model: ChatModel) -> list[Way]:
        """How a model may be asked, the best way first."""
        if self._provider is not None:
            return [partial(_bound, settings=self._provider.to_model_kwargs())]
        tools = [convert_to_openai_tool(binding.tool) for binding in self._bindings.values()]
        by_tools: Way = partial(with_tools, tools=tools, tool_choice="any")
        if self._is_tool or not has_structured_output(model):
            return [by_tools]
        (name,) = self._bindings
        form = {"name": name, "schema": _schema_of(self._bindings[name])}
        by_provider = partial(_bound, settings={"response_format": {"type": "json_schema", "json_schema": form}})
        return [by_provider, by_tools]

    def _read(self, reply: AIMessage, source: LazyModel) -> tuple[Any, Exception | None]:
        """The value that a reply gives, or what is wrong with it."""
        from langchain.agents.structured_output import MultipleStructuredOutputsError, StructuredOutputValidationError

        calls = [call for call in reply.tool_calls if call["name"] in self._bindings]
        if len(calls) > 1:
            return None, MultipleStructuredOutputsError([call["name"] for call in calls], reply)
        if calls:
            name, candidates = calls[0]["name"], [(calls[0]["name"], calls[0]["args"])]
        else:
            name = next(iter(self._bindings))
            texts = [str(call["args"] or "") for call in reply.invalid_tool_calls] or [_visible(reply, source)]
            found = [value for text in texts for value in _objects(text)]
            candidates = [(each, value) for value in reversed(found) for each in self._bindings]
        wrong: Exception = ValueError("the reply has neither a tool call nor JSON of that form")
        for each, value in candidates:
            try:
                return self._parsed(each, value), None
            except ValueError as error:
                name, wrong = each, error
        return None, StructuredOutputValidationError(name, wrong, reply)

    def _parsed(self, name: str, value: dict[str, Any]) -> Any:
        """Make the value of a form of what the model gave.

        Raises:
            ValueError: It does not fit.
        """
        binding = self._bindings[name]
        if binding.schema_kind == "json_schema":  # which LangChain does not check
            schema = _schema_of(binding)
            if (problem := mismatch(value, cast("JSON", schema), _definitions(schema))) is not None:
                raise ValueError(problem)
        return binding.parse(value)

    def _handled(self, error: Exception) -> str | None:
        """What the model is told of an error, as `handle_errors` says; `None` if it is to be raised."""
        match self._handle_errors:
            case False:
                return None
            case True:
                return _AGAIN.format(error=error)
            case str(message):
                return message
            case type() | tuple() as kinds:
                return _AGAIN.format(error=error) if isinstance(error, kinds) else None
            case handle:
                return str(handle(error))

    def _told(self, reply: AIMessage) -> list[BaseMessage]:
        if self._says is None or not reply.tool_calls:
            return []
        call = reply.tool_calls[0]
        return [
            AIMessage("", tool_calls=[call]),
            ToolMessage(self._says, tool_call_id=str(call["id"]), name=call["name"]),
        ]


def _asked_again(reply: AIMessage, request: str) -> list[BaseMessage]:
    """The reply, and what is wrong with it."""
    if not reply.tool_calls:
        return [AIMessage(reply.text or "(nothing)"), HumanMessage(request)]
    answers = [ToolMessage(request, tool_call_id=str(call["id"]), name=call["name"]) for call in reply.tool_calls]
    return [AIMessage(reply.text, tool_calls=reply.tool_calls), *answers]


def _bound(model: ChatModel, settings: Mapping[str, Any]) -> ChatModel:
    return model.bind(**settings)


def _schema_of(binding: OutputToolBinding[Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", binding.tool.args_schema)


def _definitions(schema: Mapping[str, Any]) -> dict[str, JSON]:
    """What `$ref`s point to, by pointer."""
    return {f"#/{key}/{name}": each for key in ("$defs", "definitions") for name, each in schema.get(key, {}).items()}


def _visible(reply: AIMessage, source: LazyModel) -> str:
    """The text of a reply without thoughts."""
    reader = WithoutThinking(source.thinking_tags)
    return reader.feed(str(reply.text)) + reader.close()


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, in order."""
    decoder, at = json.JSONDecoder(), 0
    for _ in range(_CANDIDATES):
        at = text.find("{", at)
        if at < 0:
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
        else:
            yield value
