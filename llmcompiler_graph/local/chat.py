"""A model's name to a LangChain chat model that talks to a local server.

Servers are shared: one per file of weights and process, started at first use, stopped when the process ends.
"""

import threading
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import openai
from langchain_openai import ChatOpenAI
from pydantic import PrivateAttr

from llmcompiler_graph.local.catalog import DEFAULT_MODEL
from llmcompiler_graph.local.server import LocalServer, require_runtime, start_server
from llmcompiler_graph.local.weights import find_weights

__all__ = ("local_chat_model",)

TIMEOUT = 600.0  # seconds; a call may have to wait for others, and a CPU takes minutes over a long prompt

# {weights: the server that has them loaded}
_servers: dict[Path, LocalServer] = {}
_lock = threading.Lock()


class _LocalChat(ChatOpenAI):
    """A chat model that knows its server."""

    local: ClassVar[bool] = True  # `is_local` asks for it

    _server: LocalServer = PrivateAttr()

    def is_running(self) -> bool:
        """Whether it can be asked; if not, another must be made."""
        return self._server.is_running()


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
        server = _servers.get(path)
        if server is None or not server.is_running():
            server = _servers[path] = start_server(path)
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
    # Newer versions give up after 120 s without a token, and warn about proxies if they tune sockets themselves.
    newer = {"stream_chunk_timeout": TIMEOUT, "http_socket_options": ()}
    settings |= {field: value for field, value in newer.items() if field in ChatOpenAI.model_fields}
    model = _LocalChat(**{**settings, **kwargs})
    model._server = server
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
