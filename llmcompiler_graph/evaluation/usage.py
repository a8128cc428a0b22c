"""Counts what a question costs, for every system alike: model calls, tokens, and when models and tools ran.

LangChain asks the context of a call for callbacks, so nothing need be passed to the system that is measured.

>>> from llmcompiler_graph.testing import ScriptedModel
>>> with measured() as usage:
...     reply = ScriptedModel(["hello"]).invoke("hi")
>>> usage.model_calls, usage.unmetered_calls, [span["kind"] for span in usage.spans]
(1, 1, ['model'])
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.tracers.context import register_configure_hook

from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.testing import VirtualClockLoop

__all__ = ("Usage", "measured")


class Usage(BaseCallbackHandler):
    """What was used so far."""

    run_inline = True  # in the order of the calls, on the caller's thread

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._open: dict[UUID, tuple[str, str, float]] = {}
        self.model_calls = 0
        """Calls of chat models that replied, in part at least."""
        self.unmetered_calls = 0
        """Those of them that came without a count of tokens."""
        self.tokens_in = 0
        """Prompt tokens, cached ones included."""
        self.tokens_out = 0
        """Tokens written."""
        self.tokens_cached = 0
        """Prompt tokens read from a cache."""
        self.model_errors: list[BaseException] = []
        """What models raised, also where a tool or a system caught it."""
        self.spans: list[Mapping[str, JSON]] = []
        """`{"kind": "model" | "tool", "name", "start", "finish"}`, in seconds since the beginning, as they finished."""

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Note when a model was asked."""
        with self._lock:
            self._open[run_id] = "model", str(kwargs.get("name") or "model"), self._seconds()

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Count a reply."""
        self._count(response)
        self._close(run_id)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Count a reply that was not read to its end, as far as it came; one that never began costs nothing."""
        response = kwargs.get("response")
        # LangChain makes a whole message of the body of a refusal; what was streamed is a chunk
        if isinstance(response, LLMResult) and any(
            isinstance(each, ChatGenerationChunk) for one in response.generations for each in one
        ):
            self._count(response)
        with self._lock:
            self.model_errors.append(error)
        self._close(run_id)

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, *, run_id: UUID, **kwargs: Any) -> None:
        """Note when a tool was called."""
        with self._lock:
            self._open[run_id] = (
                "tool",
                str((serialized or {}).get("name") or kwargs.get("name") or ""),
                self._seconds(),
            )

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note when it returned."""
        self._close(run_id)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Note when it failed."""
        self._close(run_id)

    def _close(self, run_id: UUID) -> None:
        with self._lock:
            if (begun := self._open.pop(run_id, None)) is not None:
                kind, name, start = begun
                self.spans.append({"kind": kind, "name": name, "start": start, "finish": self._seconds()})

    def _seconds(self) -> float:
        """Since the beginning; a virtual clock is one answer's own, and begins with it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        return round(loop.time() if isinstance(loop, VirtualClockLoop) else time.monotonic() - self._began, 6)

    def _count(self, response: LLMResult) -> None:
        messages = [each.message for one in response.generations for each in one if isinstance(each, ChatGeneration)]
        counts = [each.usage_metadata for each in messages if isinstance(each, AIMessage) and each.usage_metadata]
        with self._lock:
            self.model_calls += 1
            self.unmetered_calls += not counts
            for each in counts:
                self.tokens_in += each["input_tokens"]
                self.tokens_out += each["output_tokens"]
                self.tokens_cached += each.get("input_token_details", {}).get("cache_read", 0)


_current: ContextVar[Usage | None] = ContextVar("evaluation_usage", default=None)
register_configure_hook(_current, inheritable=True)


@contextmanager
def measured() -> Iterator[Usage]:
    """Count everything that is called within, in this context and in the tasks and threads it starts."""
    usage = Usage()
    token = _current.set(usage)
    try:
        yield usage
    finally:
        _current.reset(token)
