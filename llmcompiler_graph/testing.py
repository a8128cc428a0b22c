r"""Fakes for tests, yours and ours: a scripted chat model, tools that take a known time, a virtual clock.

>>> from langchain_core.tools import tool
>>> from llmcompiler_graph import create_llm_compiler
>>> @tool
... async def search(query: str) -> str:
...     '''Search.'''
...     await asyncio.sleep(2)
...     return query.upper()
>>> async def main():
...     model = ScriptedModel(['1. search("k2")\n2. join()', "Finish: done"], chunk_size=0, seconds_per_reply=1)
...     graph = create_llm_compiler(model, [search])
...     final = await graph.ainvoke({"messages": [("user", "?")]})
...     return final["messages"][-1].content, asyncio.get_running_loop().time()
>>> run_virtual(main)  # takes no time
('done', 3.5)
"""

from __future__ import annotations

import asyncio
import json
import math
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

__all__ = ("ScriptedModel", "VirtualClockLoop", "run_virtual")

Reply = str | AIMessage | Exception | Callable[[list[BaseMessage]], "str | AIMessage"]
T = TypeVar("T")


class ScriptedModel(BaseChatModel):
    """A chat model that replies from a script and remembers what it was asked.

    Replies are streamed in pieces, evenly over `seconds_per_reply`, the last piece at its end. A reply may be an
    `AIMessage` with content blocks, tool calls and `usage_metadata`, an exception, which is raised, or a function of
    the messages. A script that ran out is an error.
    """

    replies: list[Any] = Field(default_factory=list)
    """The replies, in order: text, messages, exceptions, or functions from the messages to text or a message."""
    seconds_per_reply: float = 0
    """How long a reply takes, in seconds, streamed or not; synchronous calls take no time."""
    chunk_size: int = 4
    """Characters per streamed piece; 0 streams each reply line by line, and call by call."""
    _calls: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _settings: list[dict[str, Any]] = PrivateAttr(default_factory=list)

    def __init__(self, replies: Sequence[Reply] = (), **kwargs: Any) -> None:
        super().__init__(**{"replies": list(replies), **kwargs})

    @property
    def calls(self) -> list[list[BaseMessage]]:
        """The messages of every call so far, in order."""
        return self._calls

    @property
    def settings(self) -> list[dict[str, Any]]:
        """What each call was bound to or given besides its messages, in order: `tools`, `stop`, …."""
        return self._settings

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind the model to tools, in OpenAI's form: it replies from its script all the same."""
        choice = {} if tool_choice is None else {"tool_choice": tool_choice}
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **choice, **kwargs)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _reply(self, messages: list[BaseMessage], settings: dict[str, Any]) -> AIMessage:
        number = len(self._calls)
        self._calls.append(list(messages))
        self._settings.append(settings)
        if number >= len(self.replies):
            msg = f"the script has {len(self.replies)} replies, this is call {number + 1}"
            raise AssertionError(msg)
        reply = self.replies[number]
        if isinstance(reply, Exception):
            raise reply
        said = reply(messages) if callable(reply) else reply
        return said if isinstance(said, AIMessage) else AIMessage(str(said))

    def _pieces(self, reply: AIMessage) -> list[AIMessageChunk]:
        if isinstance(reply.content, str):
            pieces = [AIMessageChunk(content=piece) for piece in self._cut(reply.content)]
        else:
            blocks = [{"type": "text", "text": each} if isinstance(each, str) else each for each in reply.content]
            pieces = [piece for index, block in enumerate(blocks) for piece in self._block_pieces(block, index)]
        for position, call in enumerate(reply.tool_calls):
            name: str | None = call["name"]
            for piece in self._cut(json.dumps(call["args"], ensure_ascii=False)):
                chunk = tool_call_chunk(name=name, args=piece, id=call["id"] if name else None, index=position)
                pieces.append(AIMessageChunk(content="", tool_call_chunks=[chunk]))
                name = None
        pieces = pieces or [AIMessageChunk(content="")]
        pieces[-1].usage_metadata = reply.usage_metadata
        pieces[-1].response_metadata = reply.response_metadata
        pieces[-1].additional_kwargs = reply.additional_kwargs
        return pieces

    def _block_pieces(self, block: dict[Any, Any], index: int) -> list[AIMessageChunk]:
        """Cut the text of a content block as providers do: what else it has comes with the last piece."""
        if block.get("type") != "text":
            return [AIMessageChunk(content=[{**block, "index": index}])]
        contents = [{"type": "text", "text": piece, "index": index} for piece in self._cut(block["text"])]
        if contents:
            contents[-1] |= {key: value for key, value in block.items() if key not in contents[-1]}
        return [AIMessageChunk(content=[each]) for each in contents]

    def _cut(self, text: str) -> list[str]:
        if self.chunk_size == 0:
            return text.splitlines(keepends=True)
        return [text[i : i + self.chunk_size] for i in range(0, len(text), self.chunk_size)]

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return _result(self._reply(messages, kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = self._reply(messages, kwargs)
        await asyncio.sleep(self.seconds_per_reply)
        return _result(reply)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for piece in self._pieces(self._reply(messages, kwargs)):
            yield ChatGenerationChunk(message=piece)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        pieces = self._pieces(self._reply(messages, kwargs))
        start = asyncio.get_running_loop().time()
        for number, piece in enumerate(pieces, 1):
            due = start + self.seconds_per_reply * number / len(pieces)
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            yield ChatGenerationChunk(message=piece)


def _result(reply: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=reply)])


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that never waits: where a real one would sleep, the clock jumps."""

    clock = 0.0
    threads = 0  # whose results are awaited

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self.threads:
            # with no timer to jump to, only the outside (a socket, a thread) can wake the loop: really wait for it
            return super().select(None)
        self.clock += timeout
        return ready


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer instead of passing: an hour of `asyncio.sleep` takes no time.

    For asynchronous code only: work in threads takes no virtual time, and sockets are not waited for.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """The virtual time, in seconds since the loop was made."""
        now = round(self._jumping.clock, 9)
        # years from the start, doubles are further apart than a nanosecond: a timer due now must count as due
        self._clock_resolution = max(1e-9, math.ulp(now))
        return now

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Call in a thread; time stands still until it returns."""
        future = super().run_in_executor(executor, func, *args)
        self._jumping.threads += 1
        future.add_done_callback(self._returned)
        return future

    def _returned(self, _: asyncio.Future[Any]) -> None:
        self._jumping.threads -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 (asyncio's own)
        """Wait for the threads, which take real time: a virtual deadline would be over at once."""
        await super().shutdown_default_executor()


def run_virtual(main: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine function on a virtual clock that starts at 0."""

    async def awaited() -> T:
        return await main()

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(awaited())
