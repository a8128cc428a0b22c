"""Timeouts and retries of tool calls, on a virtual clock."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from langchain_core.tools import BaseTool, tool
from langgraph.types import RetryPolicy, TimeoutPolicy

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.concurrency.giving_up import GRACE
from llmcompiler_graph.testing import ScriptedModel, run_virtual

RETRY = RetryPolicy(initial_interval=1, backoff_factor=2, max_attempts=3, jitter=False, retry_on=ConnectionError)


def flaky(metadata: dict[str, Any] | None = None, failures: int = 2, error: type[Exception] = ConnectionError) -> Any:
    """A tool that fails a few times before it works, and its calls."""
    calls: list[float] = []

    @tool
    async def fetch(what: str) -> str:
        """Fetch something."""
        calls.append(asyncio.get_running_loop().time())
        if len(calls) <= failures:
            raise error("down")
        return what

    fetch.metadata = metadata
    return fetch, calls


def run(tools: list[BaseTool], plan: str = '1. fetch("x")\n2. join()', **settings: Any) -> Any:
    """Run a plan; return its only task."""

    async def main() -> Any:
        graph = create_llm_compiler(ScriptedModel([plan, "Finish: done"]), tools, **settings)
        return (await graph.ainvoke({"messages": [("user", "?")]}))["tasks"][0]

    return run_virtual(main)


@pytest.mark.filterwarnings("ignore:tool_retry_policy is for no tool")
@pytest.mark.parametrize(
    ("metadata", "policy", "times"),
    [
        ({"readOnlyHint": True}, RETRY, [0, 1, 3]),
        ({"idempotentHint": True}, RETRY, [0, 1, 3]),
        (None, RETRY, [0]),
        ({"readOnlyHint": False}, RETRY, [0]),
        (None, {"fetch": RETRY}, [0, 1, 3]),
        ({"readOnlyHint": True}, None, [0]),
        ({"readOnlyHint": True}, RETRY._replace(retry_on=(LookupError, OSError)), [0, 1, 3]),
        ({"readOnlyHint": True}, RETRY._replace(retry_on=lambda error: "up" in str(error)), [0]),
        ({"readOnlyHint": True}, RETRY._replace(max_attempts=2), [0, 1]),
    ],
)
def test_retries(metadata: dict[str, Any] | None, policy: Any, times: list[float]) -> None:
    """A failed call is made again, after the policy's intervals, only where that is safe or the caller says so."""
    fetch, calls = flaky(metadata)
    task = run([fetch], tool_retry_policy=policy)
    assert calls == times
    assert task["status"] == ("done" if len(times) == 3 else "failed")


def test_a_policy_that_retries_nothing() -> None:
    """A policy for all tools warns where it is for none of them."""
    fetch, _ = flaky(None)
    with pytest.warns(UserWarning, match="tool_retry_policy is for no tool: none has readOnlyHint") as told:
        create_llm_compiler("openai:x", [fetch], tool_retry_policy=RETRY)
    assert told[0].filename == __file__


def test_retries_what_is_raised() -> None:
    """Errors that are raised, not observed, are retried as well, and raised in the end."""
    fetch, calls = flaky({"readOnlyHint": True}, failures=9)
    with pytest.raises(ConnectionError):
        run([fetch], tool_retry_policy=RETRY, handle_tool_errors=False)
    assert calls == [0, 1, 3]


@tool
async def slow(seconds: float) -> float:
    """Take some seconds."""
    await asyncio.sleep(seconds)
    return seconds


@pytest.mark.parametrize(
    "limit", [5, timedelta(seconds=5), TimeoutPolicy(run_timeout=5), {"slow": 5}, {"slow": timedelta(seconds=5)}]
)
def test_timeout(limit: Any) -> None:
    """A call that takes too long is a failed one, at its limit; others are as before."""
    late = run([slow], "1. slow(60)\n2. join()", tool_timeout=limit)
    assert (late["status"], late["error"]) == ("failed", "TimeoutError: no result within 5 s")
    assert run([slow], "1. slow(4)\n2. join()", tool_timeout=limit)["value"] == 4


@tool
async def stubborn() -> str:
    """Go on whatever happens."""
    for _ in range(1000):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
    return "late"


@tool
async def cleans_up() -> str:
    """Take an hour to clean up."""
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(3600)
    return "late"


@pytest.mark.parametrize("late", [stubborn, cleans_up])
@pytest.mark.parametrize("limits", [{"tool_timeout": 5}, {"deadline": 5}, {"tool_timeout": 7, "deadline": 5}])
def test_a_tool_that_goes_on_when_it_is_cancelled(late: BaseTool, limits: Any) -> None:
    """A coroutine that catches its cancellation, or cleans up for long, fails in time; a warning names its tool."""

    async def main() -> tuple[Any, float]:
        plan = f"1. {late.name}()\n2. slow(8)\n3. join()"
        by_name: Any = {key: {late.name: value} if key == "tool_timeout" else value for key, value in limits.items()}
        graph = create_llm_compiler(ScriptedModel([plan, "Finish: done"]), [late, slow], **by_name)
        final = await graph.ainvoke({"messages": [("user", "?")]})
        return final, asyncio.get_running_loop().time()

    with pytest.warns(RuntimeWarning, match=rf"the tool '{late.name}' goes on although it was cancelled"):
        final, end = run_virtual(main)
    assert final["tasks"][0]["status"] == "failed"
    assert final["timeline"][0]["finished"] == 5
    assert final["messages"][-1].text == "done"
    assert end <= (8 if "deadline" not in limits else 5 + GRACE)


def test_a_retry_does_not_wait_for_what_goes_on() -> None:
    """A call that goes on after its limit is made again in time."""
    began: list[float] = []

    @tool
    async def fetch() -> str:
        """Hang, the first time."""
        began.append(asyncio.get_running_loop().time())
        if len(began) == 1:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)
            await asyncio.sleep(1000)
        return "fetched"

    task = run([fetch], "1. fetch()\n2. join()", tool_timeout=5, tool_retry_policy={"fetch": RETRY})
    assert (task["value"], began) == ("fetched", [0, 6])


def test_a_timeout_of_the_tools_own() -> None:
    """A `TimeoutError` that a tool raises itself is its own error, not that of `tool_timeout`."""
    fetch, _ = flaky(error=TimeoutError)
    assert run([fetch], tool_timeout=5)["error"] == "TimeoutError: down"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tool_timeout": {"nope": 1}}, "tool_timeout names 'nope', but there is no such tool"),
        ({"tool_retry_policy": {"nope": RETRY}}, "tool_retry_policy names 'nope', but there is no such tool"),
        ({"tool_timeout": TimeoutPolicy(idle_timeout=1)}, "calls have no idle_timeout"),
        ({"tool_timeout": 0}, "tool_timeout must be more than 0 seconds, as a number or a timedelta, not 0"),
        ({"tool_timeout": True}, "tool_timeout must be more than 0 seconds, .*, not True"),
        ({"tool_timeout": float("nan")}, "tool_timeout must be more than 0 seconds, .*, not nan"),
        ({"tool_timeout": TimeoutPolicy(run_timeout=-1)}, "tool_timeout.run_timeout must be more than 0 .*, not -1"),
        ({"tool_timeout": {"slow": "soon"}}, r"tool_timeout\['slow'\] must be more than 0 seconds, .*, not 'soon'"),
        ({"tool_retry_policy": [RETRY]}, r"tool_retry_policy must be a RetryPolicy .*, not \[RetryPolicy"),
        ({"tool_retry_policy": {"slow": 3}}, r"tool_retry_policy\['slow'\] must be a RetryPolicy .*, not 3"),
        ({"tool_retry_policy": {"slow": RETRY._replace(max_attempts=0)}}, "a RetryPolicy of 1 or more max_attempts"),
    ],
)
def test_configuration(settings: dict[str, Any], message: str) -> None:
    """Policies for tools that are not there, and what a call cannot do, are refused when the graph is made."""
    with pytest.raises(ConfigurationError, match=message):
        run([slow], **settings)


def test_tool_concurrency() -> None:
    """A limit on one tool keeps its calls apart, and no others."""

    @tool
    async def other(seconds: float) -> float:
        """Take some seconds."""
        await asyncio.sleep(seconds)
        return seconds

    async def main() -> float:
        plan = "1. slow(1)\n2. slow(2)\n3. other(3)\n4. other(3)\n5. join()"
        graph = create_llm_compiler(ScriptedModel([plan, "Finish: done"]), [slow, other], tool_concurrency={"slow": 1})
        await graph.ainvoke({"messages": [("user", "?")]})
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 3
