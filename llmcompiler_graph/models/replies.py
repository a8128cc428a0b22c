"""How the models are asked, and what they say: a reply as it is streamed, without what was thought before it."""

from __future__ import annotations

import re
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables.config import merge_configs
from langgraph.config import get_config
from langgraph.constants import TAG_NOSTREAM

from llmcompiler_graph.core.language.thinking import WithoutThinking
from llmcompiler_graph.models.background import iterate_in_thread
from llmcompiler_graph.models.lazy import ChatModel, LazyModel

__all__ = ("reply_stream", "visible_text")


async def visible_text(chunks: AsyncIterator[AIMessage], source: LazyModel) -> AsyncIterator[AIMessage]:
    """Make the text of a reply's chunks what the model says, without what it thinks.

    Args:
        chunks: The reply.
        source: What the model was got from; it is noted there if its thoughts begin before its replies.
    """
    reply = WithoutThinking(opened=source.think_tag_in_prompt)
    async with aclosing(chunks):  # type: ignore[type-var]
        async for chunk in chunks:
            text = reply.feed(chunk.text)
            source.think_tag_in_prompt |= reply.opened  # other replies may be under way
            yield chunk if text == chunk.text else chunk.model_copy(update={"content": text})
    if rest := reply.close():
        yield AIMessageChunk(content=rest)


async def reply_stream(
    model: ChatModel, prompt: list[BaseMessage], *, sync: bool, grammar: Mapping[str, Any], source: LazyModel
) -> AsyncIterator[AIMessage]:
    """Stream a model's reply, hidden from `stream_mode="messages"`.

    A server that refuses what holds the reply to a grammar is asked again without it. A warning says so.

    Args:
        model: The model; for a synchronous caller it is streamed in a thread.
        prompt: What it is model.
        sync: Whether the graph was called synchronously.
        grammar: What holds the reply to a grammar, passed to the model; empty if nothing does.
        source: What the model was got from; it is noted there that its server takes no grammars, or how it thinks.
    """
    config = merge_configs(get_config(), {"tags": [TAG_NOSTREAM]})

    own = getattr(model, "extra_body", None)
    if own and "extra_body" in grammar:  # what the call says would replace what the model's maker said
        grammar = {**grammar, "extra_body": {**own, **grammar["extra_body"]}}

    def ask(grammar: Mapping[str, Any]) -> AsyncIterator[AIMessage]:
        if sync:
            return visible_text(iterate_in_thread(lambda: model.stream(prompt, config, **grammar)), source)
        return visible_text(model.astream(prompt, config, **grammar), source)

    begun = False
    try:
        async with aclosing(ask(grammar)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                begun = True
                yield chunk
    except Exception as error:
        if begun or not grammar or not _may_refuse_grammar(error):
            raise
        refusal = f"a model's server refused a request with a grammar, it is asked without one from now on: {error}"
    else:
        return
    async with aclosing(ask({})) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            if source.takes_grammars:  # else it was not the grammar that was refused
                source.takes_grammars = False
                warnings.warn(refusal, stacklevel=2)
            yield chunk


_TOO_LONG = re.compile("context.(size|length|window)")  # what servers say whose errors LangChain does not know


def _may_refuse_grammar(error: Exception) -> bool:
    """Whether a server, or a client that knows no such argument, may have refused a grammar and not a long prompt."""
    if isinstance(error, ContextOverflowError) or _TOO_LONG.search(str(error)):
        return False
    return isinstance(error, TypeError) or getattr(error, "status_code", None) in (400, 422)
