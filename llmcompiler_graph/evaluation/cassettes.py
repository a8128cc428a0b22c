"""Cassettes: what models and tools said to a system and how long they took, to be played again on a virtual clock.

    system, cassette  --recording-->  the same system, live; each answer adds a take to the file
    system, cassette  --replaying-->  the same system, asking the cassette alone; its answers say their virtual seconds

A cassette is a JSONL file. A take is all that was asked for one answer of one system: a line that says which, then a
line for each reply of the model and each result of a tool, in the order they were asked for, written together once the
answer is there. The last take for a sample counts.

Replies are found by what was asked: the messages without their ids, the names of the tools, stop words and settings
such as a grammar; results by tool and arguments. What is asked several times is answered in the order of the recording.
Streamed replies are streamed again, each piece at its time. A tool that asked the model itself is run again, its model
being the cassette: so its calls and tokens count. Nothing else is run, and no network is needed.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic_core import to_jsonable_python

from llmcompiler_graph.errors import ConfigurationError, LLMCompilerError
from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.models import LazyModel, is_local
from llmcompiler_graph.references import JSON
from llmcompiler_graph.testing import run_virtual

__all__ = ("Cassette", "CassetteError", "recording", "replaying")


class CassetteError(LLMCompilerError, LookupError):
    """What is asked now was not asked when the cassette was recorded; the message says what."""


@dataclass(frozen=True, slots=True)
class _Take:
    """One recorded answer."""

    model: Mapping[str, Any]
    """Of the model: `{"name", "local", "native_calls"}`."""
    entries: list[dict[str, Any]] = field(default_factory=list)
    """What was said, in the order it was asked for: `{"kind", "asked", …, "seconds"}`."""


class Cassette:
    """A file of takes.

    Args:
        path: The file; it need not be there before something is recorded.

    Raises:
        CassetteError: A line cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._takes: dict[tuple[str, str, str], _Take] = {}
        takes: dict[str, _Take] = {}
        for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else (), 1):
            try:
                entry = json.loads(line)
                if entry["kind"] == "take":
                    scope = entry["benchmark"], entry["sample"], entry["system"]
                    self._takes[scope] = takes[entry["take"]] = _Take(entry["model"])
                else:
                    takes[entry["take"]].entries.append(entry)
            except (ValueError, KeyError, TypeError) as error:
                msg = f"{str(path)!r}, line {number}, is no line of a cassette: {error!r}"
                raise CassetteError(msg) from error

    def __len__(self) -> int:
        """How many answers are recorded."""
        return len(self._takes)

    def take(self, system: System, benchmark: Benchmark, sample: Sample) -> _Take:
        """What was recorded for an answer.

        Raises:
            CassetteError: Nothing was.
        """
        try:
            return self._takes[benchmark.name, sample.id, system.name]
        except KeyError:
            msg = f"{str(self.path)!r} has no answer of {system.name!r} to {benchmark.name} {sample.id!r}: record it"
            raise CassetteError(msg) from None

    def add(self, take: _Take, system: System, benchmark: Benchmark, sample: Sample) -> None:
        """Write a take to the end of the file."""
        key = uuid4().hex[:12]
        head = {
            "kind": "take",
            "take": key,
            "benchmark": benchmark.name,
            "sample": sample.id,
            "system": system.name,
            "model": dict(take.model),
        }
        lines = [head, *({"kind": entry["kind"], "take": key, **entry} for entry in take.entries)]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines))
        self._takes[benchmark.name, sample.id, system.name] = take


def recording(system: System, cassette: Cassette) -> System:
    """The same system, each answer of which adds a take to a cassette; an answer that fails adds nothing."""

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        inner = await LazyModel(model).aget()
        native = getattr(inner, "native_calls", type(inner).bind_tools is not BaseChatModel.bind_tools)
        name = model if isinstance(model, str) else getattr(inner, "model_name", type(inner).__name__)
        take = _Take({"name": name, "local": is_local(model), "native_calls": native})
        recorder = _RecordingModel(inner=inner, local=is_local(model), native_calls=native, entries=take.entries)

        def tools(sample: Sample, model: Model) -> list[BaseTool]:
            return [_recording_tool(tool, take) for tool in benchmark.tools(sample, model)]

        given = await system.answer(sample, replace(benchmark, tools=tools), recorder)
        cassette.add(take, system, benchmark, sample)
        return given

    return System(system.name, answer)


def replaying(system: System, cassette: Cassette) -> System:
    """The same system, asking nobody but the cassette; the model it is given does not matter.

    Each answer runs on a virtual clock of its own, in a thread. It holds the seconds that passed there, and in its
    timeline when the model was asked.
    """

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        player = _Player(cassette, system, benchmark, sample)

        def tools(sample: Sample, model: Model) -> list[BaseTool]:
            return [_replaying_tool(tool, player) for tool in benchmark.tools(sample, model)]

        async def main() -> Answer:
            given = await system.answer(sample, replace(benchmark, tools=tools), player.model())
            if player.missing:  # said again: a system may have made an observation of it
                raise CassetteError(player.missing)
            timeline = (*given.timeline, *player.asked)
            return replace(given, timeline=timeline, virtual_s=asyncio.get_running_loop().time())

        return await asyncio.to_thread(run_virtual, main)

    return System(system.name, answer)


_TOOL_NAMES = "cassette_tool_names"  # bound to the model, for the key: providers have tools in forms of their own


def _asked(what: Any) -> str:
    """The key of what is asked."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:24]


def _asked_model(messages: Sequence[BaseMessage], stop: Sequence[str] | None, settings: Mapping[str, Any]) -> str:
    shown = [
        {
            "type": message.type,
            "content": message.content,
            "calls": [{"name": call["name"], "args": call["args"]} for call in getattr(message, "tool_calls", ())],
            "failed": isinstance(message, ToolMessage) and message.status == "error",
        }
        for message in messages
    ]
    return _asked(
        [to_jsonable_python(shown), list(stop or ()), settings.get(_TOOL_NAMES, ()), settings.get("extra_body")]
    )


def _asked_tool(name: str, arguments: Mapping[str, Any]) -> str:
    return _asked([name, to_jsonable_python(dict(arguments), fallback=str)])


def _since(began: float) -> float:
    """Seconds since then, to the nanosecond."""
    return round(asyncio.get_running_loop().time() - began, 9)


# inside a recorded tool: its entry, so that a model asked from there can mark it
_tool_entry: ContextVar[dict[str, Any] | None] = ContextVar("cassette_tool_entry", default=None)


class _AsyncModel(BaseChatModel):
    """What recording and replaying models have in common: how systems see them."""

    local: bool
    """Whether it stands for the embedded model: `is_local` asks for it."""
    native_calls: bool
    """Whether the model behind it calls tools by its provider's means."""

    @property
    def _llm_type(self) -> str:
        return "cassette"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        msg = "a model behind a cassette is asked asynchronously: `ainvoke` or `astream`"
        raise NotImplementedError(msg)


class _RecordingModel(_AsyncModel):
    """Asks another model, and notes what it says when."""

    inner: BaseChatModel
    """The model that is asked."""
    entries: Any
    """The take's entries."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind what the other model makes of the tools."""
        bound = getattr(self.inner.bind_tools(tools, **kwargs), "kwargs", {})
        return self.bind(**bound, **{_TOOL_NAMES: [convert_to_openai_tool(tool)["function"]["name"] for tool in tools]})

    def _begin(
        self, messages: list[BaseMessage], stop: list[str] | None, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        entry = {"kind": "model", "asked": _asked_model(messages, stop, settings)}
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
        entry |= {"seconds": 0.0, "pieces": []}
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


class _ReplayingModel(_AsyncModel):
    """Says what was recorded, when it was said."""

    player: Any
    """Finds the entries."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind the tools' names, which are part of what is asked."""
        return self.bind(**{_TOOL_NAMES: [convert_to_openai_tool(tool)["function"]["name"] for tool in tools]})

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        entry = self.player.reply(messages, stop, kwargs)
        await asyncio.sleep(entry["seconds"])
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
        for seconds, text, *called in entry.get("pieces") or [_piece(entry)]:
            await asyncio.sleep(max(0.0, began + seconds - clock()))
            yield ChatGenerationChunk(
                message=AIMessageChunk(content=text, tool_call_chunks=called[0] if called else [])
            )
        await asyncio.sleep(max(0.0, began + entry["seconds"] - clock()))
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", usage_metadata=entry["usage"], chunk_position="last")
        )


def _piece(entry: Mapping[str, Any]) -> list[Any]:
    """A reply that was not streamed, as the one piece of a stream."""
    called = [
        tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index)
        for index, call in enumerate(_calls(entry))
    ]
    return [entry["seconds"], AIMessage(entry["content"]).text, called]


def _reply(message: AIMessage) -> dict[str, Any]:
    calls = [{"name": call["name"], "args": call["args"]} for call in message.tool_calls]
    return {"content": message.content, "calls": calls, "usage": message.usage_metadata}


def _calls(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {**call, "id": f"call_{entry['asked'][:8]}_{number}", "type": "tool_call"}
        for number, call in enumerate(entry["calls"])
    ]


class _Player:
    """One answer that is played again."""

    def __init__(self, cassette: Cassette, system: System, benchmark: Benchmark, sample: Sample) -> None:
        self.missing = ""
        """What was asked and is not there; empty if all was."""
        self.asked: list[Mapping[str, JSON]] = []
        """When the model was asked, as in `Answer.timeline`."""
        self._where = f"{str(cassette.path)!r}, {system.name} on {benchmark.name} {sample.id!r}"
        self._take = cassette.take(system, benchmark, sample)
        self._heard: Counter[str] = Counter()
        self._entries: dict[str, list[dict[str, Any]]] = {}
        for entry in self._take.entries:
            if "seconds" in entry:  # else it was given up before it was answered
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
        entry = self._next("model", _asked_model(messages, stop, settings), what)
        start = asyncio.get_running_loop().time()
        span = {
            "kind": "model",
            "name": "model",
            "start": round(start, 6),
            "finish": round(start + entry["seconds"], 6),
        }
        self.asked.append(span)
        return entry

    def result(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The tool's next result for this."""
        return self._next(
            "tool", _asked_tool(tool, arguments), f"{tool} with {json.dumps(arguments, default=str):.200}"
        )

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


def _recording_tool(tool: BaseTool, take: _Take) -> BaseTool:
    call = _function_of(tool)

    async def recorded(**arguments: Any) -> Any:
        entry: dict[str, Any] = {
            "kind": "tool",
            "asked": _asked_tool(tool.name, arguments),
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

    return _with_function(tool, recorded)


def _replaying_tool(tool: BaseTool, player: _Player) -> BaseTool:
    call = _function_of(tool)

    async def replayed(**arguments: Any) -> Any:
        entry = player.result(tool.name, arguments)
        if entry.get("runs"):
            return await call(**arguments)
        await asyncio.sleep(entry["seconds"])
        if error := entry.get("error"):
            raise type(error[0], (ToolException,), {})(error[1])
        return entry["value"]

    return _with_function(tool, replayed)


@contextmanager
def _inside(entry: dict[str, Any]) -> Iterator[None]:
    token = _tool_entry.set(entry)
    try:
        yield
    finally:
        _tool_entry.reset(token)


def _function_of(tool: BaseTool) -> Callable[..., Any]:
    """What a tool calls, as a coroutine function of named arguments."""
    if not isinstance(tool, StructuredTool):
        msg = f"the tool {tool.name!r} cannot be recorded: it is not made of a function with named arguments"
        raise ConfigurationError(msg)
    if tool.coroutine is not None:
        return tool.coroutine
    assert tool.func is not None
    return functools.partial(asyncio.to_thread, tool.func)


def _with_function(tool: BaseTool, call: Callable[..., Any]) -> BaseTool:
    """The same tool, its return annotation too, with another function in it."""
    assert isinstance(tool, StructuredTool)
    original = tool.coroutine or tool.func
    assert original is not None
    return tool.model_copy(update={"func": None, "coroutine": functools.wraps(original)(call)})
