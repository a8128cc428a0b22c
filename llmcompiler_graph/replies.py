"""How the models are asked, and what they say: a reply as it is streamed, without what was thought before it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import openai
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables.config import merge_configs
from langgraph.config import get_config
from langgraph.constants import TAG_NOSTREAM

from llmcompiler_graph.background import iterate_in_thread
from llmcompiler_graph.errors import ConfigurationError
from llmcompiler_graph.models import ChatModel
from llmcompiler_graph.thinking import WithoutThinking

__all__ = ("reply_stream", "spoken")


async def spoken(chunks: AsyncIterator[AIMessage]) -> AsyncIterator[AIMessage]:
    """Take a reply's thinking out of the text of its chunks."""
    reply = WithoutThinking()
    async with aclosing(chunks):  # type: ignore[type-var]
        async for chunk in chunks:
            text = reply.feed(chunk.text)
            yield chunk if text == chunk.text else chunk.model_copy(update={"content": text})
    if rest := reply.close():
        yield AIMessageChunk(content=rest)


_TOO_LONG = re.compile("context.(size|length|window)")  # what servers say whose errors LangChain does not know


async def reply_stream(
    model: ChatModel, prompt: list[BaseMessage], *, sync: bool, settings: Mapping[str, Any]
) -> AsyncIterator[AIMessage]:
    """Stream a model's reply, hidden from `stream_mode="messages"`.

    Args:
        model: The model; for a synchronous caller it is streamed in a thread.
        prompt: What it is asked.
        sync: Whether the graph was called synchronously.
        settings: Passed to the model.

    Raises:
        ConfigurationError: The server refuses a request with a grammar, and not because the prompt is too long; what it
            said is in the message.
    """
    config = merge_configs(get_config(), {"tags": [TAG_NOSTREAM]})
    stream: AsyncIterator[AIMessage]
    if sync:
        stream = iterate_in_thread(lambda: model.stream(prompt, config, **settings))
    else:
        stream = model.astream(prompt, config, **settings)
    try:
        async with aclosing(spoken(stream)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                yield chunk
    except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
        too_long = isinstance(error, ContextOverflowError) or _TOO_LONG.search(error.message)
        if too_long or (sent := settings.get("extra_body")) is None:
            raise
        what = " and ".join(map(repr, sent))
        msg = f"the server refused a request with {what}; if it takes no grammar, use constrain=None: {error.message}"
        raise ConfigurationError(msg) from error
