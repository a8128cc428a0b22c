"""Replaying: a model and tools that say what is on the cassette, when it was said."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool

from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.evaluation.cassettes.stand_ins import StandInModel, function_of, with_function
from llmcompiler_graph.evaluation.cassettes.tape import TOOL_NAMES, Cassette, CassetteError, asked_model, asked_tool
from llmcompiler_graph.evaluation.records import Benchmark, Sample, System

__all__ = ("Player", "replaying_tool")

_LONG = 1e9  # virtual seconds: longer than any deadline


class Player:
    """One answer that is played again."""

    def __init__(
        self, cassette: Cassette, system: System, benchmark: Benchmark, sample: Sample, model_name: str | None = None
    ) -> None:
        self.missing = ""
        """What was asked and is not there; empty if all was."""
        self.asked: list[Mapping[str, JSON]] = []
        """When the model was asked, as in `Answer.timeline`."""
        self._where = f"{str(cassette.path)!r}, {system.name} on {benchmark.name} {sample.id!r}"
        self._take = cassette.take(system, benchmark, sample, model_name)
        self._heard: Counter[str] = Counter()
        self._entries: dict[str, list[dict[str, Any]]] = {}
        for entry in self._take.entries:
            self._entries.setdefault(f"{entry['kind']} {entry['asked']}", []).append(entry)

    def model(self) -> _ReplayingModel:
        """The model that was recorded."""
        return _ReplayingModel(
            player=self, local=self._take.model["local"], native_calls=self._take.model["native_calls"]
        )

    def reply(
        self, messages: list[BaseMessage], stop: Sequence[str] | None, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The model's next reply to this."""
        what = f"{len(messages)} messages, the last of them {messages[-1].text[-200:]!r}"
        entry = self._next("model", asked_model(messages, stop, settings), what)
        start = asyncio.get_running_loop().time()
        span = {
            "kind": "model",
            "name": "model",
            "start": round(start, 6),
            "finish": round(start + entry.get("seconds", 0.0), 6),
        }
        self.asked.append(span)
        return entry

    def result(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The tool's next result for this."""
        return self._next("tool", asked_tool(tool, arguments), f"{tool} with {json.dumps(arguments, default=str):.200}")

    async def given_up(self, entry: Mapping[str, Any]) -> None:
        """Where an answer was given up before it was whole, wait until it is given up again."""
        if "seconds" not in entry or entry.get("given_up"):
            await asyncio.sleep(_LONG)
            self.missing = f"{self._where}: nobody gives up waiting for what was given up when it was recorded"
            raise CassetteError(self.missing)

    def _next(self, kind: str, asked: str, what: str) -> dict[str, Any]:
        entries = self._entries.get(f"{kind} {asked}", [])
        number = self._heard[f"{kind} {asked}"]
        self._heard[f"{kind} {asked}"] += 1
        if number < len(entries):
            return entries[number]
        times = f"only {len(entries)} times, this is once more" if entries else "never"
        self.missing = f"{self._where}: the {kind} was asked {times}: {what}. The system, its prompts or tools have \
changed since: record it again"
        raise CassetteError(self.missing)


class _ReplayingModel(StandInModel):
    """Says what was recorded, when it was said."""

    player: Any
    """Finds the entries."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind the tools' names, which are part of what is asked."""
        return self.bind(**{TOOL_NAMES: [convert_to_openai_tool(tool)["function"]["name"] for tool in tools]})

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        entry = self.player.reply(messages, stop, kwargs)
        await self.player.given_up(entry)
        await asyncio.sleep(entry["seconds"])
        _raise_failure(entry)
        message = AIMessage(entry["content"], tool_calls=_calls(entry), usage_metadata=entry["usage"])
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        entry = self.player.reply(messages, stop, kwargs)
        clock = asyncio.get_running_loop().time
        began = clock()
        pieces = entry.get("pieces") or ([] if "calls" not in entry else [_piece(entry)])
        for seconds, text, *called in pieces:
            await asyncio.sleep(max(0.0, began + seconds - clock()))
            yield ChatGenerationChunk(
                message=AIMessageChunk(content=text, tool_call_chunks=called[0] if called else [])
            )
        await self.player.given_up(entry)
        await asyncio.sleep(max(0.0, began + entry["seconds"] - clock()))
        _raise_failure(entry)
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", usage_metadata=entry["usage"], chunk_position="last")
        )


def _raise_failure(entry: Mapping[str, Any]) -> None:
    """Raise what the model raised, if it did."""
    if error := entry.get("error"):
        kind, message, status = error
        base = TypeError if kind == "TypeError" else Exception  # the former is how some refuse a grammar
        raise type(kind, (base,), {"status_code": status} if status else {})(message)


def _piece(entry: Mapping[str, Any]) -> list[Any]:
    """A reply that was not streamed, as the one piece of a stream."""
    called = [
        tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index)
        for index, call in enumerate(_calls(entry))
    ]
    return [entry["seconds"], AIMessage(entry["content"]).text, called]


def _calls(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {**call, "id": f"call_{entry['asked'][:8]}_{number}", "type": "tool_call"}
        for number, call in enumerate(entry["calls"])
    ]


def replaying_tool(tool: BaseTool, player: Player) -> BaseTool:
    """The same tool, returning or raising what was recorded, when it did."""
    call = function_of(tool)

    async def replayed(**arguments: Any) -> Any:
        entry = player.result(tool.name, arguments)
        if entry.get("runs"):
            return await call(**arguments)
        await player.given_up(entry)
        await asyncio.sleep(entry["seconds"])
        if error := entry.get("error"):
            raise type(error[0], (ToolException,), {})(error[1])
        return entry["value"]

    return with_function(tool, replayed)
