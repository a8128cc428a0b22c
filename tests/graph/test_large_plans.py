"""Plans of so many tasks that these are run in groups: durable as small ones, and cheaper."""

import asyncio
import os
import re
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests import processes
from tests.graph.test_durability import QUESTION, THREAD, both_ways, do, saver_at

N = 75


def plan(name: str) -> str:
    """Each task needs the one eight before it."""
    return "\n".join(f"{n}. {name}(n={f'${n - 8}' if n > 8 else n})" for n in range(1, N + 1))


async def returned(saver: Any, *, sync: bool = False) -> list[Any]:
    """What the `@task`s in the checkpoints of the thread gave."""
    everywhere: Any = {"configurable": {"thread_id": "1"}}
    if sync:
        steps = await asyncio.to_thread(lambda: list(saver.list(everywhere)))
    else:
        steps = [each async for each in saver.alist(everywhere)]
    written = [value for step in steps for _, channel, value in step.pending_writes or () if channel == "__return__"]
    return [value for value in written if isinstance(value, dict)]


async def kept(saver: Any, *, sync: bool) -> set[int]:
    """The numbers of the finished tasks in the checkpoints of the thread."""
    results = [result for value in await returned(saver, sync=sync) for result in value.get("results", [value])]
    return {int(result["tool_call_id"].rpartition("_")[2]) for result in results if result["status"] == "done"}


def die(store: str, sync: bool, first: bool) -> None:
    """Run a plan; the first time, end the process once some of it is persisted; then go on with it."""
    begun = Counter[int]()

    @tool
    async def work(n: int) -> int:
        """Work."""
        say("ran", n)
        begun[n] += 1
        await asyncio.sleep(0.005 if not first or begun.total() <= 50 else 99)
        return n + 1

    async def main() -> None:
        async with saver_at(store, sync=sync) as saver:
            model = ScriptedModel([plan("work")] if first else ["Finish: ok"])
            graph = create_llm_compiler(model, [work], checkpointer=saver, interrupt_before=["task_fetching_unit"])
            if first:
                await die_half_done(graph, begun, lambda: kept(saver, sync=sync), sync=sync)
            final = await do(graph, "invoke", None, THREAD, sync=sync)
            say("values", *[task["value"] for task in final["tasks"]])

    asyncio.run(main())


def say(*what: object) -> None:
    """Write a line in one piece: other threads write some too."""
    sys.stdout.write(" ".join(map(str, what)) + "\n")
    sys.stdout.flush()


async def die_half_done(
    graph: Any, begun: Counter[int], kept: Callable[[], Awaitable[set[int]]], *, sync: bool
) -> None:
    """Run a graph that stops before its calls; end the process once 50 have begun and more than 20 are persisted."""
    await do(graph, "invoke", QUESTION, THREAD, sync=sync)
    run = asyncio.create_task(do(graph, "invoke", None, THREAD, sync=sync))
    async with asyncio.timeout(30):  # results are written in the background
        while begun.total() < 50 or len(await kept()) <= 20:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    assert not run.done()
    say("kept", *sorted(await kept()))
    os._exit(7)


def killed(
    die: Callable[[str, bool, bool], None], store: str, *, sync: bool
) -> tuple[set[int], Counter[int], list[int]]:
    """What was persisted when a process died, what ran in the one that went on, and what came of all."""
    first, second = (processes.run(die, store, sync, first) for first in (True, False))
    assert (first.code, first.err, second.code, second.err) == (7, "", 0, "")
    known = {int(n) for n in re.findall(r"\d+", first.out.partition("kept")[2].partition("\n")[0])}
    assert 20 < len(known) < N
    ran = Counter(int(n) for n in re.findall(r"ran (\d+)", second.out))
    return known, ran, [int(n) for n in re.findall(r"\d+", second.out.partition("values")[2])]


@both_ways
def test_a_process_that_dies(store: str, sync: bool) -> None:
    """No task whose result is persisted runs again, though the process died within several groups."""
    known, ran, values = killed(die, store, sync=sync)
    chain = [(n - 1) // 8 for n in range(1, N + 1)]
    given = {n: (n - 1) % 8 + 1 + chain[n - 1] for n in range(1, N + 1)}  # what task n is called with
    assert ran <= Counter(given[n] for n in given if n not in known)  # more was persisted while it died
    assert values == [g + 1 for g in given.values()]


def asking(ran: Counter[int], *about: int) -> list[BaseTool]:
    """A tool that asks a human about some numbers."""

    @tool
    async def look(n: int) -> str:
        """Look."""
        if n in about:
            answer = interrupt(n)
            ran[n] += 1
            return f"{n}: {answer}"
        ran[n] += 1
        await asyncio.sleep(0.001 * (n % 3))
        return str(n)

    return [look]


TEXTS = {
    "plan": "\n".join(f"{n}. look(n={n})" for n in range(1, N + 1)),
    "fan-out": f"1. numbers(count={N})\n2. look(n=${{1[*]}})\n3. join()",
}
shapes = pytest.mark.parametrize("shape", TEXTS)


@tool
async def numbers(count: int) -> list[int]:
    """Count from 1."""
    return list(range(1, count + 1))


def values(final: Any, shape: str) -> list[Any]:
    """What all calls gave, in order."""
    return final["tasks"][1]["value"] if shape == "fan-out" else [task["value"] for task in final["tasks"]]


@both_ways
@shapes
@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
async def test_tools_that_ask(store: str, shape: str, sync: bool, together: bool) -> None:
    """Calls in several groups ask: all questions come at once, each is answered once, and no other call runs again."""
    ran: Counter[int] = Counter()
    async with saver_at(store, sync=sync) as saver:
        model = ScriptedModel([TEXTS[shape], "Finish: done"])
        graph = create_llm_compiler(model, [*asking(ran, 5, 6, 70), numbers], checkpointer=saver)
        final = await do(graph, "invoke", QUESTION, THREAD, sync=sync)
        assert sorted(each.value for each in final["__interrupt__"]) == [5, 6, 70]
        while questions := final.get("__interrupt__"):
            answers = {each.id: f"yes {each.value}" for each in (questions if together else questions[:1])}
            final = await do(graph, "invoke", Command(resume=answers), THREAD, sync=sync)
    asked = {5: "5: yes 5", 6: "6: yes 6", 70: "70: yes 70"}
    assert values(final, shape) == [asked.get(n, str(n)) for n in range(1, N + 1)]
    assert ran == dict.fromkeys(range(1, N + 1), 1)


@both_ways
@shapes
async def test_an_answer_without_an_id(shape: str, sync: bool) -> None:
    """The one question of a large plan, or of many calls, is answered without the interrupt's id."""
    ran: Counter[int] = Counter()
    model = ScriptedModel([TEXTS[shape], "Finish: done"])
    graph = create_llm_compiler(model, [*asking(ran, 40), numbers], checkpointer=InMemorySaver())
    await do(graph, "invoke", QUESTION, THREAD, sync=sync)
    final = await do(graph, "invoke", Command(resume="yes"), THREAD, sync=sync)
    assert values(final, shape)[39] == "40: yes"
    assert ran == dict.fromkeys(range(1, N + 1), 1)


@both_ways
@shapes
async def test_errors_that_are_not_handled(shape: str, sync: bool) -> None:
    """What a call raises ends the run, wherever in a large plan it stands; what was done stays done."""
    ran: Counter[int] = Counter()
    seconds = {"plan": 0.02, "fan-out": 0.6}[shape]

    @tool
    async def look(n: int) -> int:
        """Look."""
        ran[n] += 1
        await asyncio.sleep(seconds if n == 50 else 0)
        if n == 50 and ran[n] == 1:
            raise OSError(n)
        return n

    model = ScriptedModel([TEXTS[shape], "Finish: done"])
    graph = create_llm_compiler(model, [look, numbers], checkpointer=InMemorySaver(), handle_tool_errors=False)
    with pytest.raises(OSError, match="50"):
        await do(graph, "invoke", QUESTION, THREAD, sync=sync)
    final = await do(graph, "invoke", None, THREAD, sync=sync)
    assert values(final, shape) == list(range(1, N + 1))
    assert {n for n in ran if ran[n] > 1} == {50}


def sizes_of_groups(look: BaseTool, argument: Callable[[int], str]) -> list[int]:
    """How many results each `@task` gives of a hundred calls, which return 1 to 100."""

    async def main() -> list[int]:
        saver = InMemorySaver()
        text = "\n".join(f"{n}. look(n={argument(n)})" for n in range(1, 101))
        graph = create_llm_compiler(ScriptedModel([text, "Finish: done"]), [look], checkpointer=saver)
        final = await graph.ainvoke(QUESTION, THREAD)
        assert [task["value"] for task in final["tasks"]] == list(range(1, 101))
        return [len(value["results"]) for value in await returned(saver)]

    return run_virtual(main)


def test_what_finished_early_is_persisted_in_groups() -> None:
    """Groups of tasks that finish a moment after their plan need no `@task`s of their own."""

    @tool
    async def look(n: int) -> int:
        """Look."""
        await asyncio.sleep(0.2 if n > 96 else 0)
        return n

    assert sizes_of_groups(look, str) == [32, 32, 32, 4]


def test_quick_tasks_are_waited_for() -> None:
    """A chain of quick tasks, which goes on when its plan is complete, needs no `@task`s of its own either."""

    @tool
    async def look(n: int) -> int:
        """Look."""
        await asyncio.sleep(0.002)
        return n + 1

    assert sizes_of_groups(look, lambda n: f"${n - 1}" if n > 1 else "0") == [32, 32, 32, 4]


def test_what_is_waited_for_is_persisted_soon() -> None:
    """A slow task keeps no result of others from being persisted for more than a moment."""

    @tool
    async def look(n: int) -> int:
        """Look."""
        await asyncio.sleep(99 if n == 40 else 0.4)
        return n

    async def main() -> set[int]:
        saver = InMemorySaver()
        text = "\n".join(f"{n}. look(n={n})" for n in range(1, N + 1))
        graph = create_llm_compiler(ScriptedModel([text]), [look], checkpointer=saver)
        run = asyncio.create_task(graph.ainvoke(QUESTION, THREAD))
        await asyncio.sleep(0.8)
        found = await kept(saver, sync=False)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return found

    assert run_virtual(main) == {*range(1, N + 1)} - {40}


def test_results_wait_a_moment_in_all_for_the_tasks_before_them() -> None:
    """Tasks that take a moment each are waited for while later ones have finished, but not one moment after another."""

    @tool
    async def look(n: int) -> int:
        """Look."""
        await asyncio.sleep({1: 0.1, 33: 0.2, 65: 9}.get(n, 0))
        return n

    async def main() -> tuple[set[int], list[int]]:
        saver = InMemorySaver()
        text = "\n".join(f"{n}. look(n={n})" for n in range(1, 129))
        graph = create_llm_compiler(ScriptedModel([text, "Finish: done"]), [look], checkpointer=saver)
        run = asyncio.create_task(graph.ainvoke(QUESTION, THREAD))
        await asyncio.sleep(0.26)
        found = await kept(saver, sync=False)
        await run
        return found, sorted(len(value["results"]) for value in await returned(saver) if "results" in value)

    found, groups = run_virtual(main)
    assert found == {*range(1, 129)} - {65}
    assert groups == [32, 32, 32, 32]


@pytest.mark.parametrize("limit", [None, 2])
def test_a_large_plan_that_is_left(limit: int | None) -> None:
    """The next question finds what the tasks of a large plan had returned, also in groups that had not finished."""

    @tool
    async def look(n: int) -> str:
        """Look."""
        await asyncio.sleep(99 if n % 10 == 9 else 0.5)
        return f"saw {n}"

    async def main() -> list[Any]:
        text = "\n".join(f"{n}. look(n={n})" for n in range(1, N + 1) if n % 10 != 9 or not limit)
        model = ScriptedModel([text, "1. join()", "Finish: hello"])
        graph = create_llm_compiler(model, [look], checkpointer=InMemorySaver())
        config: Any = THREAD | ({"max_concurrency": limit} if limit else {})
        run = asyncio.create_task(graph.ainvoke(QUESTION, config))
        await asyncio.sleep(10.2)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        final = await graph.ainvoke({"messages": [HumanMessage("never mind", id="next")]}, config)
        return [each.text for each in final["messages"] if isinstance(each, ToolMessage)]

    told = run_virtual(main)
    kept = [text for text in told if text.startswith("saw")]
    assert len(kept) == (40 if limit else len(told) - 7)
    assert all(text.startswith(("saw", "cancelled")) for text in told)


@both_ways
async def test_every_update_has_messages(sync: bool) -> None:
    """In `stream_mode="updates"`, each update of a large plan has `messages`; a group's are its `ToolMessage`s."""

    @tool
    async def look(n: int) -> int:
        """Look."""
        await asyncio.sleep(0.3 if n == N else 0)
        return n

    text = "\n".join(f"{n}. look(n={n})" for n in range(1, N + 1))
    graph = create_llm_compiler(ScriptedModel([text, "Finish: done"]), [look])
    if sync:
        parts = await asyncio.to_thread(lambda: list(graph.stream(QUESTION, stream_mode="updates")))
    else:
        parts = [part async for part in graph.astream(QUESTION, stream_mode="updates")]
    told = [(name, update["messages"]) for part in parts for name, update in part.items()]
    groups = [messages for name, messages in told if name == "tasks"]
    assert sorted(message.text for messages in groups for message in messages) == sorted(map(str, range(1, N + 1)))
