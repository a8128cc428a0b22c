"""The shipped fakes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata

from llmcompiler_graph.testing import ScriptedModel, run_virtual


def test_time_jumps() -> None:
    """An hour of sleep takes no time on the virtual clock, and is an hour on it."""
    began = time.monotonic()

    async def main() -> float:
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(60))
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 3600
    assert time.monotonic() - began < 60


def test_time_jumps_over_centuries() -> None:
    """Timers of years and of seconds are due in time, however far the clock has gone."""

    async def main() -> float:
        for _ in range(3):
            await asyncio.gather(asyncio.sleep(3e9 + 0.1), asyncio.sleep(0.3))
            await asyncio.sleep(7)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == pytest.approx(9e9 + 21.3)


def test_threads_still_work() -> None:
    """Work in a thread is waited for really, and takes no virtual time."""

    async def main() -> tuple[int, float]:
        return await asyncio.to_thread(sum, [1, 2]), asyncio.get_running_loop().time()

    assert run_virtual(main) == (3, 0)


def test_time_stands_still_for_threads() -> None:
    """A timer does not go off while work in a thread is waited for; after it, it does."""

    async def main() -> tuple[int, float]:
        async with asyncio.timeout(60):
            total = await asyncio.to_thread(sum, range(10**6))
        await asyncio.sleep(90)
        return total, asyncio.get_running_loop().time()

    assert run_virtual(main) == (499_999_500_000, 90)


@pytest.mark.parametrize("chunk_size", [0, 1, 5, 100])
def test_streams_evenly(chunk_size: int) -> None:
    """A reply is streamed in pieces over its time, the last one at its end, and is whole."""
    reply = "one\ntwo\nthree"

    async def main() -> tuple[str, float]:
        model = ScriptedModel([reply], chunk_size=chunk_size, seconds_per_reply=3)
        text = "".join([chunk.text async for chunk in model.astream("?")])
        return text, asyncio.get_running_loop().time()

    assert run_virtual(main) == (reply, 3)


def test_replies() -> None:
    """Replies are text, functions of the messages, or exceptions; every call is remembered."""

    def reply(messages: list[BaseMessage]) -> str:
        return f"you said {messages[-1].content}"

    model = ScriptedModel(["hello", reply, ValueError("no")])
    assert model.invoke("hi").content == "hello"
    assert "".join(chunk.text for chunk in model.stream("hi")) == "you said hi"
    with pytest.raises(ValueError, match="no"):
        model.invoke("hi")
    assert model.calls == [[HumanMessage("hi")]] * 3


@pytest.mark.parametrize("text", ["", "hello"])
def test_tokens_of_a_message_are_kept(text: str) -> None:
    """The `usage_metadata` of a scripted message comes with the reply; streamed, in one piece of it."""
    usage = UsageMetadata(input_tokens=5, output_tokens=2, total_tokens=7)
    model = ScriptedModel([AIMessage(text, usage_metadata=usage)] * 2, chunk_size=2)
    assert model.invoke("hi").usage_metadata == usage
    pieces = [chunk.usage_metadata for chunk in model.stream("hi")]
    assert [each for each in pieces if each] == [usage]


def test_script_runs_out() -> None:
    """A call past the end of the script is an error that says so."""
    with pytest.raises(AssertionError, match="the script has 0 replies, this is call 1"):
        ScriptedModel().invoke("hi")


def test_waits_also_where_it_does_not_stream() -> None:
    """A reply that is not streamed takes its time too."""

    async def main() -> float:
        await ScriptedModel(["x"], seconds_per_reply=2)._agenerate([])
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 2


def test_an_empty_reply_is_streamed_too() -> None:
    """An empty reply is streamed as one empty piece, after its time."""

    async def main() -> tuple[list[str], float]:
        model = ScriptedModel(["", ""], seconds_per_reply=2)
        pieces = [str(chunk.text) async for chunk in model.astream("?")]
        return pieces, asyncio.get_running_loop().time()

    pieces, seconds = run_virtual(main)
    assert ("".join(pieces), seconds) == ("", 2)
    assert "".join(chunk.text for chunk in ScriptedModel([""], chunk_size=0).stream("?")) == ""


@pytest.mark.parametrize("chunk_size", [1, 3])
def test_tokens_reach_callbacks(chunk_size: int) -> None:
    """Each piece is told as a new token, streamed synchronously or not, as LangChain's own models do."""
    told: list[str] = []

    class Listener(BaseCallbackHandler):
        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            told.append(token)

    model = ScriptedModel(["abcd", "abcd"], chunk_size=chunk_size)

    async def main() -> None:
        async for _ in model.astream("?", {"callbacks": [Listener()]}):
            pass

    run_virtual(main)
    asynchronously = [*told]
    told.clear()
    for _ in model.stream("?", {"callbacks": [Listener()]}):
        pass
    assert "".join(told) == "abcd"
    assert told == asynchronously


def test_pieces_come_evenly() -> None:
    """Four pieces over two seconds come half a second apart, whatever the reader does between them."""

    async def main() -> list[float]:
        times: list[float] = []
        async for chunk in ScriptedModel(["abcd"], chunk_size=1, seconds_per_reply=2).astream("?"):
            if chunk.text:
                times.append(asyncio.get_running_loop().time())
                await asyncio.sleep(0.3)
        return times

    assert run_virtual(main) == [0.5, 1, 1.5, 2]


def test_timers_end_in_order_and_on_time() -> None:
    """Timers fire in the order of their times; sums of decimal fractions do not drift."""

    async def main() -> tuple[list[int], float]:
        order: list[int] = []

        async def timer(n: int, seconds: float) -> None:
            await asyncio.sleep(seconds)
            order.append(n)

        await asyncio.gather(timer(1, 0.3), timer(2, 0.1), timer(3, 0.2), timer(4, 0))
        for _ in range(10):
            await asyncio.sleep(0.1)
        await asyncio.sleep(3 * 86_400)  # longer than a loop waits at once
        return order, asyncio.get_running_loop().time()

    assert run_virtual(main) == ([4, 2, 3, 1], 3 * 86_400 + 1.3)


def test_each_run_has_a_clock_of_its_own() -> None:
    """The virtual clock starts at 0 in each run, and what `main` raises is raised."""

    async def main() -> float:
        await asyncio.sleep(5)
        return asyncio.get_running_loop().time()

    async def fail() -> None:
        await asyncio.sleep(1)
        raise LookupError("no such thing")

    assert [run_virtual(main), run_virtual(main)] == [5, 5]
    with pytest.raises(LookupError, match="no such thing"):
        run_virtual(fail)
