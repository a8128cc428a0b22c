"""Providers that fail over HTTP in any way, and checkpointers that fail at any call: nothing hangs, nothing is lost.

python -m tests.hostile.faults
"""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from tests.hostile.turns import whole_conversation
from tests.scripted_server import ScriptedServer

__all__ = ("PROVIDER_FAULTS", "STORE_FAULTS", "provider_fault", "store_fault")

SECONDS = 30  # after which a run hangs
PLAN = '1. look("a")\n2. look("b$1")\n3. send("$2")\n4. join()'
QUESTION: Any = {"messages": [("user", "?")]}
CONFIG: Any = {"configurable": {"thread_id": "1"}}


def tools_of(made: Counter[str]) -> list[BaseTool]:
    """Tools that count what is done."""

    @tool
    async def look(what: str) -> str:
        """Look."""
        made[f"look {what}"] += 1
        return what

    @tool
    def send(what: str) -> str:
        """Send."""
        made[f"send {what}"] += 1
        return f"sent {what}"

    send.metadata = {"destructiveHint": True}
    return [look, send]


async def run(graph: Any, given: Any, *, sync: bool) -> Any:
    """Run a turn, but not for ever."""
    called = asyncio.to_thread(graph.invoke, given, CONFIG) if sync else graph.ainvoke(given, CONFIG)
    return await asyncio.wait_for(called, SECONDS)


# -- providers ---------------------------------------------------------------------------------------------------------


def _event(delta: Any, **more: Any) -> bytes:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return b"data: " + json.dumps({**chunk, "choices": [{"index": 0, "delta": delta, **more}]}).encode() + b"\n\n"


_BEGUN = _event({"role": "assistant", "content": '1. look("a")\n2. lo'})
_DONE = b"data: [DONE]\n\n"
PROVIDER_FAULTS: dict[str, Any] = {
    **{f"status {n}": n for n in (400, 401, 403, 404, 408, 409, 413, 418, 422, 429, 500, 502, 503, 504, 529)},
    "an error of the server": RuntimeError("overloaded"),
    "nothing": b"",
    "nothing but the end": _DONE,
    "a page of a proxy": b"<html><body>502 Bad Gateway</body></html>",
    "JSON instead of a stream": b'{"choices": [{"message": {"content": "hi"}}]}',
    "broken off at once": _BEGUN[:30],
    "broken off in an event": _BEGUN + _BEGUN[:50],
    "broken off between events": _BEGUN,
    "broken JSON": _BEGUN + b"data: {nonsense}\n\n" + _DONE,
    "no JSON object": _BEGUN + b"data: [1, 2]\n\n" + _DONE,
    "null": b"data: null\n\n" + _DONE,
    "an error in the stream": _BEGUN + b'data: {"error": {"message": "overloaded", "code": 529}}\n\n',
    "no choices": b'data: {"id": "x", "choices": []}\n\n' + _DONE,
    "null choices": b'data: {"id": "x", "choices": null}\n\n' + _DONE,
    "a null delta": _event(None) + _DONE,
    "null content": _event({"content": None}) + _event({"content": None}, finish_reason="stop") + _DONE,
    "a refusal": _event({"refusal": "I cannot."}) + _event({}, finish_reason="stop") + _DONE,
    "filtered content": _BEGUN + _event({}, finish_reason="content_filter") + _DONE,
    "cut off": _BEGUN + _event({}, finish_reason="length") + _DONE,
    "an unknown reason": _BEGUN + _event({}, finish_reason="tired") + _DONE,
    "an unknown role": _event({"role": "wizard", "content": "Finish: x"}) + _DONE,
    "bytes that are no text": b"data: \xff\xfe\n\n" + _DONE,
    "half characters": _event({"content": "\ud83d"}) + _event({"content": "\ude00 Finish: x"}) + _DONE,
    "a call without a function": _event({"tool_calls": [{"index": 0, "id": "1"}]}) + _DONE,
    "a call with broken arguments": _event(
        {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "look", "arguments": '{"what'}}]}
    )
    + _DONE,
    "a call of no tool": _event(
        {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "nope", "arguments": "{}"}}]}
    )
    + _DONE,
    "null calls": _event({"content": "hi", "tool_calls": None}) + _DONE,
    "comments and blank lines": b": ping\n\n\n\n: ping\n\n" + _BEGUN + _DONE,
    "the end twice": _BEGUN + _DONE + _DONE,
    "text behind the end": _BEGUN + _DONE + _event({"content": '\n3. send("x")'}),
    "a megabyte in one event": _event({"content": "word " * 200_000}) + _DONE,
    "two choices": b'data: {"id": "x", "choices": [{"index": 0, "delta": {"content": "a"}}, '
    b'{"index": 1, "delta": {"content": "b"}}]}\n\n' + _DONE,
}


async def provider_fault(name: str, *, at: int, sync: bool, plan_format: Any = "text") -> str:
    """Let one reply of the provider fail; return what the user got. The thread must go on when the provider does."""
    others = asyncio.all_tasks()
    script: list[Any] = [PLAN, "Finish: done"]
    script.insert(at, PROVIDER_FAULTS[name])
    made = Counter[str]()
    with ScriptedServer([*script[: at + 1]] * 4, chunk_size=20) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = ChatOpenAI(
            model="m", base_url=server.base_url, api_key=SecretStr("sk-x"), max_retries=0, timeout=SECONDS
        )
        graph: Any = create_llm_compiler(
            model, tools_of(made), checkpointer=InMemorySaver(), max_replans=0, max_repairs=0, plan_format=plan_format
        )
        hangs = False
        try:
            got = str((await run(graph, QUESTION, sync=sync))["messages"][-1].text[:40])
        except Exception as error:
            got = f"{type(error).__module__}.{type(error).__name__}"
            hangs = isinstance(error, TimeoutError)
    assert not hangs
    await _nothing_left(others)
    assert not [call for call, count in made.items() if count > 1], f"made twice: {made}"
    recovered: Any = ScriptedModel([PLAN, "Finish: done", "Finish: done"])
    again: Any = create_llm_compiler(recovered, tools_of(Counter()), checkpointer=graph.checkpointer)
    recovered.replies = [_sensible] * 4
    final = await run(again, {"messages": [("user", "and now?")]}, sync=sync)
    whole_conversation(final["messages"])
    assert final["messages"][-1].text == "done"
    return got


async def _nothing_left(others: set[asyncio.Task[Any]]) -> None:
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - others
    assert not left, f"left running: {left}"


def _sensible(messages: Any) -> AIMessage:
    return AIMessage("Finish: done" if "Observations" in str(messages[-1].content) else PLAN)


# -- checkpointers -----------------------------------------------------------------------------------------------------

STORE_FAULTS = (ConnectionError, TimeoutError, OSError, ValueError)


class Failing(InMemorySaver):
    """A checkpointer of which one call fails."""

    def __init__(self, method: str, number: int, error: type[Exception]) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._fails, self._error = (method, number), error

    def _count(self, method: str) -> None:
        self.calls[method] += 1
        if (method, self.calls[method]) == self._fails:
            msg = "the database is gone"
            raise self._error(msg)

    def put(self, *args: Any, **kwargs: Any) -> Any:
        """Write a checkpoint."""
        self._count("put")
        return super().put(*args, **kwargs)

    def put_writes(self, *args: Any, **kwargs: Any) -> Any:
        """Write what a task gave."""
        self._count("put_writes")
        return super().put_writes(*args, **kwargs)

    def get_tuple(self, *args: Any, **kwargs: Any) -> Any:
        """Read a checkpoint."""
        self._count("get_tuple")
        return super().get_tuple(*args, **kwargs)

    async def aput(self, *args: Any, **kwargs: Any) -> Any:
        """Write a checkpoint."""
        self._count("put")
        return InMemorySaver.put(self, *args, **kwargs)

    async def aput_writes(self, *args: Any, **kwargs: Any) -> Any:
        """Write what a task gave."""
        self._count("put_writes")
        return InMemorySaver.put_writes(self, *args, **kwargs)

    async def aget_tuple(self, *args: Any, **kwargs: Any) -> Any:
        """Read a checkpoint."""
        self._count("get_tuple")
        return InMemorySaver.get_tuple(self, *args, **kwargs)


def store_faults() -> Iterator[tuple[str, int]]:
    """Which calls fail: every one of a turn."""
    for method, most in (("put", 6), ("put_writes", 16), ("get_tuple", 3)):
        yield from ((method, number) for number in range(1, most + 1))


async def store_fault(method: str, number: int, error: type[Exception], *, sync: bool) -> str:
    """Let one call of the checkpointer fail; the turn goes on from there, and what was done is done once."""
    others = asyncio.all_tasks()
    made, saver = Counter[str](), Failing(method, number, error)
    model = ScriptedModel([_sensible] * 8, chunk_size=20)
    graph: Any = create_llm_compiler(model, tools_of(made), checkpointer=saver)
    got = "answer"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            final = await run(graph, QUESTION, sync=sync)
        except error:
            got = error.__name__
            state = (await graph.aget_state(CONFIG)).values
            final = await run(graph, None if state.get("messages") else QUESTION, sync=sync)
    whole_conversation(final["messages"])
    assert final["messages"][-1].text == "done"
    assert [task["status"] for task in final["tasks"]] == ["done"] * 3
    # a call whose result could not be written is made again, if the run was ended by that
    assert all(count <= 1 + (got != "answer") for count in made.values()), f"made {made}"
    await _nothing_left(others)
    return got


def main() -> None:
    """Try all, and say how many held."""
    outcomes, failed, begun = Counter[str](), 0, time.perf_counter()
    trials: list[tuple[str, Any]] = [
        (f"{name}, reply {at + 1}, {'sync' if sync else 'async'}, {form}",
         (lambda name=name, at=at, sync=sync, form=form: provider_fault(name, at=at, sync=sync, plan_format=form)))
        for name in PROVIDER_FAULTS for at in (0, 1) for sync in (False, True) for form in ("text", "tools")
    ]  # fmt: skip
    count = len(trials)
    trials += [
        (f"{method} {number}, {error.__name__}, {'sync' if sync else 'async'}",
         (lambda m=method, n=number, e=error, s=sync: store_fault(m, n, e, sync=s)))
        for method, number in store_faults() for error in STORE_FAULTS for sync in (False, True)
    ]  # fmt: skip
    for name, trial in trials:
        try:
            outcomes[asyncio.run(trial())] += 1
        except Exception as error:
            failed += 1
            print(f"{name}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    print(f"{count} faults of providers, {len(trials) - count} of checkpointers: {len(trials) - failed} held")
    print(f"{time.perf_counter() - begun:.0f} s; the user got {dict(outcomes)}")


if __name__ == "__main__":
    main()
