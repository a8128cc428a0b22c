"""A model's name to a LangChain chat model that talks to a local server.

Servers are shared: one per file of weights and process, started at first use, stopped when the process ends. One that
has ended before is started again by the next call.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import openai
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import PrivateAttr

from llmcompiler_graph.models.local.catalog import DEFAULT_MODEL
from llmcompiler_graph.models.local.progress import prompt_progress
from llmcompiler_graph.models.local.server import LocalServer, require_runtime, start_server
from llmcompiler_graph.models.local.template_tokens import with_plain_contents
from llmcompiler_graph.models.local.weights import find_weights

__all__ = ("local_chat_model",)

TIMEOUT = 600.0  # seconds; a call may have to wait for others, and a CPU takes minutes over a long prompt

# {weights: the server that has them loaded}
_servers: dict[Path, LocalServer] = {}
_lock = threading.Lock()


class _LocalChat(ChatOpenAI):
    """A chat model that knows its server, and starts another if that has ended."""

    local: ClassVar[bool] = True  # `is_local` asks for it

    _server: LocalServer = PrivateAttr()
    _weights: Path = PrivateAttr()

    def is_running(self) -> bool:
        """Whether it can be asked at once."""
        return self._server.is_running()

    def _revive(self) -> None:
        if not self.is_running() and self.openai_api_base == self._server.base_url:  # else it asks another server
            with _lock:
                server = _running_server(self._weights)
            for client in (self.root_client, self.root_async_client):  # also those of copies
                client.base_url, client.api_key = server.base_url, server.api_key.get_secret_value()
            self.openai_api_base, self.openai_api_key = server.base_url, server.api_key
            self._server = server  # last: from now on other threads ask at once

    def _get_request_payload(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(*args, **kwargs)
        if payload.get("stream") and prompt_progress.get():
            payload["extra_body"] = {**payload.get("extra_body", {}), "return_progress": True}
        return {**payload, "messages": with_plain_contents(payload["messages"])}

    def _convert_chunk_to_generation_chunk(self, chunk: dict[str, Any], *args: Any) -> ChatGenerationChunk | None:
        match chunk.get("prompt_progress"), prompt_progress.get():
            case {"processed": int(read), "total": int(total)}, tell if tell is not None:
                tell(read, total)
        return super()._convert_chunk_to_generation_chunk(chunk, *args)

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self._revive()
        return super()._generate(messages, stop, run_manager, **kwargs)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        self._revive()
        yield from super()._stream(*args, **kwargs)

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        await asyncio.to_thread(self._revive)
        return await super()._agenerate(messages, stop, run_manager, **kwargs)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        await asyncio.to_thread(self._revive)
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk


def _running_server(path: Path) -> LocalServer:
    """The server of a file of weights, started if it does not run; to be called with `_lock`."""
    server = _servers.get(path)
    if server is None or not server.is_running():
        server = _servers[path] = start_server(path)
    return server


def local_chat_model(
    name: str = DEFAULT_MODEL, *, temperature: float = 0.0, max_tokens: int | None = 1024, **kwargs: Any
) -> ChatOpenAI:
    """Make a chat model that runs on this machine's CPU, without an API key.

    The first call for a model blocks while the model loads (seconds), and the very first while it downloads (minutes);
    in a coroutine, call it through `asyncio.to_thread`. A grammar (GBNF) holds the answer to a form:
    `local_chat_model().bind(extra_body={"grammar": 'root ::= "yes" | "no"'})`.

    Args:
        name: One of `WEIGHTS`, or any label if `LLMCOMPILER_MODEL_PATH` says which file to load.
        temperature: 0 for the likeliest token each time.
        max_tokens: Tokens an answer may have; `None` for as many as the context holds.
        **kwargs: Passed on to `ChatOpenAI`, where they override what is set here.

    Raises:
        LocalModelError: The weights cannot be had, or their server does not start.
    """
    require_runtime()  # before a long download
    with _lock:
        path = find_weights(name).resolve()
        server = _running_server(path)
    settings: dict[str, Any] = {
        "model": name,
        "base_url": server.base_url,
        "api_key": server.api_key,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "stream_usage": True,
        "timeout": TIMEOUT,
        "max_retries": 1,
        "use_responses_api": False,
        "openai_proxy": "",
        **_http_clients(),
    }
    # Newer versions give up after 120 s without a token, warn about proxies if they tune sockets themselves, and say
    # what a model takes.
    newer: dict[str, Any] = {"stream_chunk_timeout": TIMEOUT, "http_socket_options": ()}
    newer["profile"] = {"text_inputs": True, "image_inputs": False}
    settings |= {field: value for field, value in newer.items() if field in ChatOpenAI.model_fields}
    model = _LocalChat(**{**settings, **kwargs})
    model._server, model._weights = server, path
    return model


@cache
def _http_clients() -> dict[str, Any]:
    """Make clients that ask no proxy for a server on this machine, and leave no idle connection behind.

    An idle connection belongs to the event loop it was opened in, and outlives it.
    """
    close = {"Connection": "close"}
    return {
        "http_client": openai.DefaultHttpxClient(trust_env=False, headers=close),
        "http_async_client": openai.DefaultAsyncHttpxClient(trust_env=False, headers=close),
    }
