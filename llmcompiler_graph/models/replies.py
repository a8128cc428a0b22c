"""How the models are asked, and what they say: a reply as it is streamed, without what was thought before it."""

from __future__ import annotations

import asyncio
import random
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.retry import RunnableRetry

from llmcompiler_graph.concurrency.background import iterate_in_thread
from llmcompiler_graph.concurrency.giving_up import leaving
from llmcompiler_graph.core.language.substitution import joined_surrogates
from llmcompiler_graph.core.language.thinking import WithoutThinking
from llmcompiler_graph.models.lazy import ChatModel, LazyModel, innermost
from llmcompiler_graph.models.observations import takes_images, without_images
from llmcompiler_graph.models.prompts import sendable
from llmcompiler_graph.models.streaming import unstreamed_config

__all__ = ("ReplyPiece", "Restart", "WrappedModel", "model_chunks", "reply_stream", "visible_text")


class Restart(AIMessageChunk):
    """Among the chunks of a reply: what came before does not count."""


class WrappedModel(ABC):
    """A model with something around it that changes what is asked and what is replied."""

    enough: bool
    """Whether no more of the reply is needed; what is around the model still has its say."""

    @abstractmethod
    def chunks(self, prompt: list[BaseMessage], grammar: Mapping[str, Any]) -> AsyncIterator[AIMessage]:
        """Give the reply as it is streamed, and a `Restart` where it begins anew."""


class ReplyPiece(NamedTuple):
    """A piece of a reply."""

    message: AIMessage
    """What the model says, without what it thinks."""
    given: AIMessage | None
    """The same as it came; `None` for text that was held back up to the end of the reply."""
    restart: bool = False
    """Whether what came before does not count."""
    unopened: str | None = None
    """What ended a thought of which all belongs that came before (see `thinking`), if something did."""

    @property
    def think_tag(self) -> str:
        """The tag at the end of it."""
        return (self.unopened or "").rpartition("\n")[2].strip()


async def visible_text(
    chunks: AsyncIterator[AIMessage], thinking_tags: Iterable[tuple[str, str]], *, answers: bool = False
) -> AsyncIterator[ReplyPiece]:
    """Make the text of a reply's chunks what the model says, without what it thinks.

    Args:
        chunks: The reply.
        thinking_tags: What stands before and after a thought.
        answers: Whether it is the joiner's reply.
    """
    reply, pieces = WithoutThinking(thinking_tags, answers=answers), _Pieces()
    async with aclosing(chunks):  # type: ignore[type-var]
        async for chunk in chunks:
            if isinstance(chunk, Restart):
                reply, pieces = WithoutThinking(thinking_tags, answers=answers), _Pieces()
                yield ReplyPiece(chunk, None, restart=True)
                continue
            said = chunk.text  # made anew each time
            text = reply.feed(pieces.cleaned(said))
            message = chunk if text == said else chunk.model_copy(update={"content": text})
            yield ReplyPiece(message, chunk, unopened=reply.unopened)
    rest = reply.close()
    if rest or reply.unopened is not None:
        yield ReplyPiece(AIMessageChunk(content=rest), None, unopened=reply.unopened)


class _Pieces:
    """Joins halves of characters that come in two pieces; no half alone, and no NUL, is any model's word."""

    def __init__(self) -> None:
        self._half = ""

    def cleaned(self, text: str) -> str:
        if self._half or not text.isascii() or "\0" in text:
            text = (self._half + text).replace("\0", "\ufffd")
            self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
            text = joined_surrogates(text.removesuffix(self._half) if self._half else text)
        return text


def reply_stream(
    model: ChatModel | WrappedModel,
    prompt: list[BaseMessage],
    *,
    sync: bool,
    grammar: Mapping[str, Any],
    source: LazyModel,
    think_tag: str = "",
    answers: bool = False,
) -> AsyncIterator[ReplyPiece]:
    """Stream a model's reply, which no stream shows.

    A server that refuses what holds the reply to a grammar is asked again without it. A warning says so.

    Args:
        model: The model; for a synchronous caller it is streamed in a thread.
        prompt: What it is asked.
        sync: Whether the graph was called synchronously.
        grammar: What holds the reply to a grammar, passed to the model; empty if nothing does.
        source: What the model was got from; it is noted there that its server takes no grammars.
        think_tag: What ended a thought in this turn that had begun in the model's prompt, if one had.
        answers: Whether it is the joiner's reply.
    """
    tags = [*source.thinking_tags, *([("", think_tag)] if think_tag else [])]
    if isinstance(model, WrappedModel):
        chunks = model.chunks(prompt, grammar)
    else:
        chunks = model_chunks(model, prompt, sync=sync, grammar=grammar, source=source)
    return visible_text(chunks, tags, answers=answers)


async def model_chunks(
    model: ChatModel, prompt: list[BaseMessage], *, sync: bool, grammar: Mapping[str, Any], source: LazyModel | None
) -> AsyncIterator[AIMessage]:
    """Stream what a model writes, as it comes; the arguments are those of `reply_stream`."""
    config = unstreamed_config()
    own = getattr(innermost(model), "extra_body", None)
    if own and "extra_body" in grammar:  # what the call says would replace what the model's maker said
        grammar = {**grammar, "extra_body": {**own, **grammar["extra_body"]}}

    prompt = [sendable(message) for message in prompt]
    if not takes_images(model):
        prompt = without_images(prompt)

    def ask(grammar: Mapping[str, Any]) -> AsyncIterator[AIMessage]:
        if sync:
            return iterate_in_thread(lambda: model.stream(prompt, config, **grammar))
        return leaving(f"the model {_name(model)}", model.astream(prompt, config, **grammar))

    waits = _waits(model)
    refusal = ""
    while True:
        begun = False
        try:
            async with aclosing(ask(grammar)) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    if refusal and source is not None and source.takes_grammars:  # else it was not the grammar
                        source.takes_grammars = False
                        warnings.warn(refusal, stacklevel=2)
                    begun = True
                    yield chunk
        except Exception as error:
            if begun:
                raise
            if source is not None and grammar and _may_refuse_grammar(error):
                what = "a model's server refused a request with a grammar, it is asked without one from now on"
                refusal, grammar = f"{what}: {error}", {}
            elif (wait := waits(error)) is not None:
                await asyncio.sleep(wait)
            else:
                raise
        else:
            return


def _name(model: ChatModel) -> str:
    """A model's name, as far as it has one."""
    inner = innermost(model)
    return repr(getattr(inner, "model_name", None) or getattr(inner, "model", None) or type(inner).__name__)


def _waits(model: object) -> Callable[[Exception], float | None]:
    """How long to wait after an error before a model is asked again, as its `with_retry` says; `None` for not at all.

    LangChain's own retry leaves streams alone.
    """
    retry = model
    while isinstance(retry, RunnableBindingBase) and not isinstance(retry, RunnableRetry):
        retry = retry.bound
    attempts = 0

    def wait(error: Exception) -> float | None:
        nonlocal attempts
        attempts += 1
        if not isinstance(retry, RunnableRetry) or attempts >= retry.max_attempt_number:
            return None
        wanted = retry.retry_exception_types
        if not (isinstance(error, wanted) if isinstance(wanted, tuple) else wanted(error)):
            return None
        jitter = retry.exponential_jitter_params or {}
        seconds = min(jitter.get("initial", 1) * jitter.get("exp_base", 2) ** (attempts - 1), jitter.get("max", 60))
        return seconds + random.uniform(0, jitter.get("jitter", 1)) if retry.wait_exponential_jitter else 0

    return wait


_TOO_LONG = re.compile("context.(size|length|window)")  # what servers say whose errors LangChain does not know


def _may_refuse_grammar(error: Exception) -> bool:
    """Whether a server, or a client that knows no such argument, may have refused a grammar and not a long prompt."""
    if isinstance(error, ContextOverflowError) or _TOO_LONG.search(str(error)):
        return False
    return isinstance(error, TypeError) or getattr(error, "status_code", None) in (400, 422)
