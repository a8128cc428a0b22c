"""Whom calls are told to; of model calls streams show nothing of planner and joiner, and everything of the answer.

Streams that show model calls (`stream_mode="messages"`, `astream_events`, `stream_events`) are callback handlers, known
by a marker that LangGraph uses too. The calls of planner and joiner are made without these handlers; tracers and
counters of tokens still see them. The answer is read out of the joiner's reply, and is shown to these handlers alone as
the reply of a model that writes nothing but the answer. So every client that can show a chat model's reply shows it,
and nobody counts its tokens twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, BaseCallbackHandler, BaseCallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from langgraph.config import get_config
from langgraph.constants import TAG_NOSTREAM
from pydantic import PrivateAttr

__all__ = ("AnswerStream", "NodeHandler", "config_of_calls", "unstreamed_config")


class NodeHandler(BaseCallbackHandler):
    """A callback handler that is told of nodes: their models and tools are called without it.

    It would be told every token, and of every call.
    """


def config_of_calls(max_concurrency: int | None) -> RunnableConfig:
    """Make the config of the node or `@task` that this is called in into that of the tools it calls.

    Args:
        max_concurrency: That of the run's config.
    """
    config: RunnableConfig = {**get_config(), "max_concurrency": max_concurrency}
    callbacks = config.get("callbacks")
    if isinstance(callbacks, BaseCallbackManager):
        config["callbacks"] = _only(callbacks, _hears_calls)
    return config


def unstreamed_config() -> RunnableConfig:
    """Make the node's config for a model call that no stream shows."""
    config = get_config()
    config = {**config, "tags": sorted({*(config.get("tags") or ()), TAG_NOSTREAM})}
    callbacks = config.get("callbacks")
    if isinstance(callbacks, BaseCallbackManager) and not all(map(_hears_models, _all_of(callbacks))):
        config["callbacks"] = _only(callbacks, _hears_models)
    return config


class AnswerStream:
    """Shows an answer while it is written; nothing is done where nobody streams.

    Args:
        name: The name of the answer's message.
    """

    def __init__(self, name: str) -> None:
        run_id = uuid4()
        self.message_id = f"lc_run--{run_id}"
        """The id of the answer's message: LangChain names the message of a model run like this."""
        self._name = name
        self._pieces: asyncio.Queue[AIMessageChunk | None] = asyncio.Queue()
        self._shown: asyncio.Task[Any] | None = None
        config = get_config()
        callbacks = config.get("callbacks")
        self._config: RunnableConfig | None = None
        if isinstance(callbacks, BaseCallbackManager) and any(map(_streams, _all_of(callbacks))):
            self._config = {**config, "callbacks": _only(callbacks, _streams), "run_name": name, "run_id": run_id}

    def put(self, text: str) -> None:
        """Show more of the answer."""
        if self._config is None:
            return
        self._pieces.put_nowait(AIMessageChunk(content=text, id=self.message_id, name=self._name))
        if self._shown is None:
            writer = _Writer(cache=False)
            writer._pieces = self._pieces
            self._shown = asyncio.create_task(writer.ainvoke([], self._config))

    async def aclose(self, usage: UsageMetadata | None = None) -> None:
        """Say that the answer is complete, and wait until it has been shown.

        Args:
            usage: The tokens it took.
        """
        if self._shown is not None:
            if usage is not None:
                last = AIMessageChunk(content="", id=self.message_id, name=self._name, usage_metadata=usage)
                self._pieces.put_nowait(last)
            self._pieces.put_nowait(None)
            await self._shown

    async def abandon(self) -> None:
        """Stop: there will be no more of the answer."""
        if self._shown is not None:
            self._shown.cancel()
            await asyncio.gather(self._shown, return_exceptions=True)


class _Writer(BaseChatModel):
    """A model that writes what it is given."""

    _pieces: asyncio.Queue[AIMessageChunk | None] = PrivateAttr()

    @property
    def _llm_type(self) -> str:
        return "answer"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        while (chunk := await self._pieces.get()) is not None:
            piece = ChatGenerationChunk(message=chunk)
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=piece)
            yield piece


def _streams(handler: BaseCallbackHandler) -> bool:
    return issubclass(type(handler), _StreamingCallbackHandler)  # known by type, which is looked at once


def _hears_models(handler: BaseCallbackHandler) -> bool:
    return _hears_calls(handler) and not _streams(handler)


def _hears_calls(handler: BaseCallbackHandler) -> bool:
    return not isinstance(handler, NodeHandler)


def _all_of(callbacks: BaseCallbackManager) -> list[BaseCallbackHandler]:
    return [*callbacks.handlers, *callbacks.inheritable_handlers]


def _only(callbacks: BaseCallbackManager, wanted: Callable[[BaseCallbackHandler], bool]) -> BaseCallbackManager:
    copy = callbacks.copy()
    copy.handlers = [handler for handler in callbacks.handlers if wanted(handler)]
    copy.inheritable_handlers = [handler for handler in callbacks.inheritable_handlers if wanted(handler)]
    return copy
