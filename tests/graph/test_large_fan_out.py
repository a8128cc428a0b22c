"""Tasks that fan out to so many calls that these are made in groups: each is persisted by itself all the same."""

import asyncio
import re
import threading
import time
from collections import Counter
from typing import Any

import pytest
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests.graph.test_durability import QUESTION, THREAD, both_ways, do, saver_at
from tests.graph.test_large_plans import die_half_done, killed, numbers, returned, say

N = 75
PLAN = "1. numbers(count={n})\n2. {name}(n=${{1[*]}})\n3. join()"


def plan(name: str, n: int = N) -> str:
    """A tool called for each of some numbers."""
    return PLAN.format(name=name, n=n)


async def kept(saver: Any, *, sync: bool) -> set[int]:
    """The numbers of the calls whose results are persisted."""
    results = [each for value in await returned(saver, sync=sync) for each in value.get("results", [value])]
    done = [result["tool_call_id"] for result in results if result["status"] == "done"]
    return {int(found[1]) + 1 for call in done if (found := re.search(r"_2_(\d+)$", call))}


def die(store: str, sync: bool, first: bool) -> None:
    """Run a fan-out; the first time, end the process once some of it is persisted; then go on with it."""
    begun, lock = Counter[int](), threading.Lock()

    def pause(n: int) -> float:
        with lock:
            say("ran", n)
            begun[n] += 1
            return 0.005 if not first or begun.total() <= 50 else 99

    def work(n: int) -> int:
        """Work."""
        time.sleep(pause(n))
        return n + 1

    async def awaited(n: int) -> int:
        """Work."""
        await asyncio.sleep(pause(n))
        return n + 1

    async def main() -> None:
        tools = [tool("work")(work if sync else awaited), numbers]
        async with saver_at(store, sync=sync) as saver:
            model = ScriptedModel([plan("work")] if first else ["Finish: ok"])
            options: Any = {"interrupt_before": ["task_fetching_unit"], "max_concurrency": 4}
            graph = create_llm_compiler(model, tools, checkpointer=saver, **options)
            if first:
                await die_half_done(graph, begun, lambda: kept(saver, sync=sync), sync=sync)
            final = await do(graph, "invoke", None, THREAD, sync=sync)
            say("values", *final["tasks"][1]["value"])

    asyncio.run(main())


@both_ways
def test_a_process_that_dies(store: str, sync: bool) -> None:
    """No call whose result is persisted is made again, though the process died within several groups."""
    known, ran, values = killed(die, store, sync=sync)
    assert ran <= Counter(n for n in range(1, N + 1) if n not in known)  # more was persisted while it died
    assert values == list(range(2, N + 2))


@both_ways
@pytest.mark.parametrize("nested", [False, True], ids=["alone", "in a large plan"])
@pytest.mark.parametrize("n", [31, 32, 33, 64, 65, 200])
async def test_each_element_once(n: int, nested: bool, sync: bool) -> None:
    """Any number of calls is made, each once, and their results are in order."""
    ran: Counter[int] = Counter()

    @tool
    def look(n: int) -> int:
        """Look."""
        ran[n] += 1
        time.sleep(0)
        return -n

    more = "".join(f"\n{k}. numbers(count={k})" for k in range(3, 43)) if nested else ""
    model = ScriptedModel([f"1. numbers(count={n})\n2. look(n=${{1[*]}}){more}", "Finish: done"])
    graph = create_llm_compiler(model, [look, numbers], checkpointer=InMemorySaver())
    final = await do(graph, "invoke", QUESTION, THREAD, sync=sync)
    assert final["tasks"][1]["value"] == [-k for k in range(1, n + 1)]
    assert ran == dict.fromkeys(range(1, n + 1), 1)


def slow(seconds: dict[int, float], otherwise: float) -> list[BaseTool]:
    """A tool that takes its time, and one that counts."""

    @tool
    async def look(n: int) -> int:
        """Look."""
        await asyncio.sleep(seconds.get(n, otherwise))
        return n

    return [look, numbers]


def persisted(tools: list[BaseTool], after: float, **given: Any) -> list[Any]:
    """What `@task`s have returned by then."""

    async def main() -> list[Any]:
        saver = InMemorySaver()
        graph = create_llm_compiler(ScriptedModel([plan("look")]), tools, checkpointer=saver, **given)
        run = asyncio.create_task(graph.ainvoke(QUESTION, THREAD))
        await asyncio.sleep(after)
        found = await returned(saver)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return found

    return run_virtual(main)


def numbers_in(values: list[Any]) -> set[int]:
    """The numbers of the calls that are done."""
    results = [each for value in values for each in value.get("results", [value])]
    return {int(each["tool_call_id"].rpartition("_")[2]) + 1 for each in results if each["status"] == "done"} - {2}


def test_what_is_waited_for_is_persisted_soon() -> None:
    """A slow call keeps no result of others from being persisted for more than a second."""
    found = numbers_in(persisted(slow({40: 99}, 0.1), after=1.2))
    assert found | {2} == {*range(1, N + 1)} - {40}


def test_quick_calls_are_persisted_in_groups() -> None:
    """Calls that have returned when their plan is complete need no `@task`s of their own."""
    found = persisted(slow({75: 99}, 0.001), after=1.5)
    assert [len(value["results"]) for value in found if len(value.get("results", [])) > 1] == [32, 32]


def test_slow_calls_are_persisted_in_groups_once_they_return() -> None:
    """As long as none has returned there is nothing to persist: calls that return together need no `@task`s either."""
    found = persisted(slow({75: 99}, 20), after=21.5)
    assert [len(value["results"]) for value in found if len(value.get("results", [])) > 1] == [32, 32]


@pytest.mark.parametrize("after", [4.5, 10.0, 20.0])
def test_calls_that_return_one_after_another(after: float) -> None:
    """Each is persisted within a second, whichever group it is of: here they return last to first, 0.3 s apart."""
    seconds = {n: 0.3 * (N + 1 - n) for n in range(1, N + 1)}
    found = numbers_in(persisted(slow(seconds, 0), after=after))
    assert found >= {n for n, ends in seconds.items() if ends <= after - 1} - {2}


@tool("numbers")
async def late(count: int) -> list[int]:
    """Count."""
    await asyncio.sleep(2)
    return list(range(1, count + 1))


def test_quick_calls_with_a_late_list_are_persisted_in_groups() -> None:
    """Calls begin by themselves once the list is there, also after the plan: those that return soon are one group."""
    found = persisted([slow({75: 99}, 0.001)[0], late], after=3.5)
    assert [len(value["results"]) for value in found if len(value.get("results", [])) > 1] == [32, 32]


def test_a_slow_call_with_a_late_list() -> None:
    """A slow call keeps no result of others from being persisted for more than a second, if the list comes late."""
    found = numbers_in(persisted([slow({40: 99}, 0.1)[0], late], after=3.2))
    assert found | {2} == {*range(1, N + 1)} - {40}
