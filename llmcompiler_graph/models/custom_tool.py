"""Grammars on OpenAI's servers: a reply is the input of one custom tool, whose format is the grammar.

Such tools are called through the Responses API, which langchain-openai takes by itself when it sees one. Of a streamed
call it passes on the complete input only, so the pieces are turned into pieces of text before it reads them. None of
this was tried on OpenAI's servers, only on a local one that answers as theirs are documented to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from inspect import isawaitable
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBinding
from langchain_openai.chat_models.base import BaseChatOpenAI
from openai.types.responses import ResponseTextDeltaEvent

from llmcompiler_graph.models.lazy import ChatModel

__all__ = ("reply_tool", "tool_input", "with_streamed_input")

_NAME = "reply"


def reply_tool(syntax: str, grammar: str) -> dict[str, Any]:
    """What to call a model with, so that its reply is held to a grammar.

    Args:
        syntax: `"lark"` or `"regex"`.
        grammar: Written so.
    """
    tool = {
        "type": "custom",
        "name": _NAME,
        "description": "Takes your whole reply, as it is.",
        "format": {"type": "grammar", "syntax": syntax, "definition": grammar},
    }
    choice = {"type": "custom", "name": _NAME}
    return {"tools": [tool], "tool_choice": choice, "parallel_tool_calls": False}


def tool_input(message: AIMessage) -> str:
    """The reply, where the tool's input comes whole."""
    inputs = (call["args"].get("__arg1") for call in message.tool_calls if call["name"] == _NAME)  # LangChain's key
    return "".join(each for each in inputs if isinstance(each, str))


def with_streamed_input(model: ChatModel) -> ChatModel:
    """Let an OpenAI model stream the tool's input as text; any other model is left as it is."""
    inner = model.bound if isinstance(model, RunnableBinding) else model  # bound to tools, which the reply's replaces
    if not isinstance(inner, BaseChatOpenAI):
        return model
    clients = {"root_client": _Client(inner.root_client), "root_async_client": _Client(inner.root_async_client)}
    return inner.model_copy(update=clients)


class _Client:
    """An OpenAI client of either kind."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.responses = _Responses(client)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class _Responses:
    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client.responses, name)

    def create(self, **request: Any) -> Any:
        made = self._client.responses.create(**request)
        if not request.get("stream"):
            return made
        return _awaited(made) if isawaitable(made) else _Events(made)


async def _awaited(made: Awaitable[Any]) -> _Events:
    return _Events(await made)


class _Events:
    """A streamed response."""

    def __init__(self, events: Any) -> None:
        self._events = events

    def __enter__(self) -> _Events:
        self._events.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._events.__exit__(*error)

    def __iter__(self) -> Iterator[Any]:
        for event in self._events:
            yield from _read(event)

    async def __aenter__(self) -> _Events:
        await self._events.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._events.__aexit__(*error)

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for event in self._events:
            for each in _read(event):
                yield each


def _read(event: Any) -> Iterator[Any]:
    """Read a piece of the tool's input as a piece of text; the whole input is the same once more."""
    if event.type == "response.custom_tool_call_input.delta":
        yield ResponseTextDeltaEvent(
            type="response.output_text.delta",
            delta=event.delta,
            item_id=event.item_id,
            output_index=event.output_index,
            content_index=0,
            sequence_number=event.sequence_number,
            logprobs=[],
        )
    elif not (event.type == "response.output_item.done" and event.item.type == "custom_tool_call"):
        yield event
