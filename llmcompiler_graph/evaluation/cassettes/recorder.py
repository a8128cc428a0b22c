"""Recording: a model and tools that do what the real ones do, and note what was said when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic_core import to_jsonable_python

from llmcompiler_graph.evaluation.cassettes.stand_ins import StandInModel, function_of, with_function
from llmcompiler_graph.evaluation.cassettes.tape import TOOL_NAMES, Take, asked_model, asked_tool

__all__ = ("RecordingModel", "recording_tool")


# inside a recorded tool: its entry, so that a model asked from there can mark it
_tool_entry: ContextVar[dict[str, Any] | None] = ContextVar("cassette_tool_entry", default=None)


class RecordingModel(StandInModel):
    """Asks another model, and notes what it says when."""

    inner: BaseChatModel
    """The model that is asked."""
    entries: Any
    """The take's entries."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind what the other model makes of the tools."""
        bound = getattr(self.inner.bind_tools(tools, **kwargs), "kwargs", {})
        return self.bind(**bound, **{TOOL_NAMES: [convert_to_openai_tool(tool)["function"]["name"] for tool in tools]})

    def _begin(
        self, messages: list[BaseMessage], stop: list[str] | None, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        entry = {"kind": "model", "asked": asked_model(messages, stop, settings)}
        self.entries.append(entry)
        if (tool := _tool_entry.get()) is not None:
            tool["runs"] = True
        return entry

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        entry = self._begin(messages, stop, kwargs)
        began = asyncio.get_running_loop().time()
        with _failing(entry, began):
            result = await self.inner._agenerate(messages, stop=stop, **kwargs)
        message = result.generations[0].message
        assert isinstance(message, AIMessage)
        entry |= {"seconds": _since(began), **_reply(message)}
        return result

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        entry = self._begin(messages, stop, kwargs)
        began = asyncio.get_running_loop().time()
        whole: AIMessageChunk | None = None
        entry |= {"pieces": [], "given_up": True}
        with _failing(entry, began):
            async for chunk in self.inner._astream(messages, stop=stop, **kwargs):
                assert isinstance(chunk.message, AIMessageChunk)
                # noted piece by piece: who reads may stop in the middle
                entry["seconds"] = _since(began)
                if chunk.message.text or chunk.message.tool_call_chunks:
                    called = [chunk.message.tool_call_chunks] if chunk.message.tool_call_chunks else []
                    entry["pieces"].append([entry["seconds"], chunk.message.text, *called])
                whole = chunk.message if whole is None else whole + chunk.message
                entry |= _reply(whole)
                yield chunk
        entry["seconds"] = _since(began)
        del entry["given_up"]


@contextmanager
def _failing(entry: dict[str, Any], began: float) -> Iterator[None]:
    """Note what a model raises, with its HTTP status: a system may ask again, in another way."""
    try:
        yield
    except Exception as error:
        status = getattr(error, "status_code", None)
        entry |= {"error": [type(error).__name__, str(error), status], "seconds": _since(began)}
        entry.pop("given_up", None)
        raise


def _reply(message: AIMessage) -> dict[str, Any]:
    calls = [{"name": call["name"], "args": call["args"]} for call in message.tool_calls]
    return {"content": message.content, "calls": calls, "usage": message.usage_metadata}


def recording_tool(tool: BaseTool, take: Take) -> BaseTool:
    """The same tool, noting what it returned or raised, and when."""
    call = function_of(tool)

    async def recorded(**arguments: Any) -> Any:
        entry: dict[str, Any] = {
            "kind": "tool",
            "asked": asked_tool(tool.name, arguments),
            "name": tool.name,
            "arguments": to_jsonable_python(arguments, fallback=str),
        }
        take.entries.append(entry)
        began = asyncio.get_running_loop().time()
        with _inside(entry):
            try:
                value = await call(**arguments)
            except Exception as error:
                entry |= {"error": [type(error).__name__, str(error)], "seconds": _since(began)}
                raise
        entry |= {"value": to_jsonable_python(value, fallback=str), "seconds": _since(began)}
        return value

    return with_function(tool, recorded)


@contextmanager
def _inside(entry: dict[str, Any]) -> Iterator[None]:
    token = _tool_entry.set(entry)
    try:
        yield
    finally:
        _tool_entry.reset(token)


def _since(began: float) -> float:
    """Seconds since then, to the nanosecond."""
    return round(asyncio.get_running_loop().time() - began, 9)
