"""The phases of a plan's tasks while it is written and mended."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph

from llmcompiler_graph.approval import Approval
from llmcompiler_graph.calls.policy import ToolPolicy
from llmcompiler_graph.calls.runner import ToolRunner
from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.language.references import Reference
from llmcompiler_graph.graph.clock import new_clock
from llmcompiler_graph.graph.context import Settings, Shared
from llmcompiler_graph.graph.draft import Draft
from llmcompiler_graph.graph.draft_tasks import DraftTask, DraftTasks
from llmcompiler_graph.graph.plan_approval import PlanApproval
from llmcompiler_graph.state import LLMCompilerState, new_record
from llmcompiler_graph.testing import run_virtual
from tests.graph.test_draft import DOUBTED, texts
from tests.graph.test_planner import sleeper

PROBLEM = Diagnostic("not-a-call", "it cannot be used", 1, 1, "", 1)


def drafted(use: Callable[[Draft], Awaitable[None]], max_repairs: int = 1) -> None:
    """Use a draft of the tools `work` and `send` where nodes use theirs: inside a graph."""

    async def node(state: LLMCompilerState) -> dict[str, Any]:
        tools = [sleeper("work", 0.1, readOnlyHint=True), sleeper("send", 0.1, destructiveHint=True)]
        specs = [tool_spec(each) for each in tools]
        configured = Settings(
            specs=specs,
            runner=ToolRunner(tools),
            system=SystemMessage(""),
            policy=ToolPolicy(specs),
            approval=Approval({}, [each.name for each in specs]),
            approve_plans=PlanApproval(False, specs),
            interrupt_mode="batched",
            max_replans=0,
            fuse_replan=False,
            max_repairs=max_repairs,
            check_answers=False,
            plan_format="text",
            brief=False,
            max_tasks=None,
            max_fan_out=None,
            max_concurrency=None,
            max_observation_chars=4000,
            max_history_chars=None,
            deadline=None,
            deadline_grace=30,
            held=frozenset(),
            tool_concurrency={},
            selection=None,
            keys_of_one_value=frozenset(),
        )
        shared = Shared()
        turn = LLMCompilerState(messages=state["messages"], tasks=[], rounds=[], clock=new_clock(shared.inflight))
        draft = Draft(configured, shared, turn, sync=False)
        try:
            await use(draft)
        finally:
            await draft.executor.aclose()
        return {}

    graph = StateGraph(LLMCompilerState)
    graph.add_node("planner", node)
    graph.add_edge(START, "planner")
    graph.add_edge("planner", END)
    question: Any = {"messages": [HumanMessage("?")]}

    async def run() -> None:
        await graph.compile().ainvoke(question)

    run_virtual(run)


# -- whatever is written -----------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(texts, st.lists(texts, min_size=2, max_size=2), st.integers(0, 2), st.booleans())
@example(DOUBTED, ["3. work($4)", "3. work($4)"], 2, False)
@example('5. work("c") after $1\n1. work($5)\n5. work($1)', ["", ""], 0, False)
@example('5. work($1)\n1. work("c") after $5\n5. wrok("a")', ["", ""], 0, False)
@example('1. work("$2")\n2. work("b")\n3. work($1)', ["", ""], 0, True)
@example('1. wrok("a")\n2. send($1)\n3. send("c")', ["1. work($3)", "1. work()"], 2, False)
def test_what_always_holds(plan: str, repairs: list[str], max_repairs: int, slowly: bool) -> None:
    """After every event each task is in one phase, waits for what is not decided, and stands behind what it needs."""

    async def use(draft: Draft) -> None:
        async def write(text: str) -> None:
            for line in text.splitlines(keepends=True):
                draft.feed(line)
                draft.validate()
                await asyncio.sleep(0.15 * slowly)
            draft.close()
            draft.validate()

        await write(plan)
        for repair in repairs:
            if not draft.mend():
                break
            draft.validate()
            await write(repair)
        draft.settle()
        draft.validate()
        assert {record["status"] for record in draft.records} <= {"planned", "failed", "skipped"}
        failed = {problem.index for problem in draft.diagnostics if problem.index is not None}
        assert failed == {record["index"] for record in draft.records if record["status"] == "failed"}
        assert all(draft.executor.has(each["index"]) for each in draft.records if each["status"] == "planned")

    drafted(use, max_repairs)


def test_only_the_table_s_transitions() -> None:
    """A task that is in the executor's hands can only end: it is not refused, doubted, put off or written again."""
    tasks = DraftTasks(set())
    entry = written(tasks, 1)
    tasks.schedule(entry)
    events: list[Callable[[], Any]] = [
        lambda: tasks.refuse(entry, [PROBLEM]),
        lambda: tasks.doubt(entry, [PROBLEM]),
        lambda: tasks.wait(entry),
        lambda: tasks.schedule(entry),
        lambda: tasks.write(1),
    ]
    for event in events:
        with pytest.raises(AssertionError, match=r"a scheduled task cannot .*: task 1"):
            event()
    tasks.validate()


def test_what_waited_is_given_once_and_in_order() -> None:
    """A task with effects waits until nothing is open, others until what they need is decided."""
    tasks = DraftTasks({"send"})
    broken = written(tasks, 1)
    tasks.refuse(broken, [PROBLEM])
    for index, tool, needs in ((2, "send", ()), (3, "work", (1,)), (4, "send", (3,)), (5, "send", (1,))):
        entry = written(tasks, index, *needs, tool=tool)
        assert tasks.must_wait(entry)
        tasks.wait(entry)
        tasks.validate()
    assert tasks.next_ready() is None
    tasks.schedule(written(tasks, 1))
    given = []
    while (entry_or_none := tasks.next_ready()) is not None:
        given.append(entry_or_none.index)
        tasks.schedule(entry_or_none)
        tasks.validate()
    assert given == [2, 3, 4, 5]


def written(tasks: DraftTasks, index: int, *needs: int, tool: str = "work") -> DraftTask:
    """Write a task, for the first time or again."""
    task = Task(index, tool, {"text": [Reference(n) for n in needs]})
    entry = tasks.write(index, in_place=True)
    tasks.take(entry, task, task, new_record(task, 0, f"call_{index}"))
    return entry


# -- however many ------------------------------------------------------------------------------------------------------

MANY = 5000


@pytest.mark.parametrize("forwards", [True, False], ids=["forwards", "backwards"])
def test_a_long_chain_that_is_written_again(forwards: bool) -> None:
    """A chain of thousands of tasks is mended, in whichever order it is written again and stood before."""

    async def use(draft: Draft) -> None:
        first = range(1, MANY + 1)
        draft.feed("\n".join(f'{n}. wrok("a")' for n in first))
        draft.close()
        assert len(draft.mend()) == MANY
        again = first if forwards else reversed(first)
        # the first to be written needs the last one, and so on down to the first
        lines = [f"{n}. work(${n + 1})" if n < MANY else f'{n}. work("a")' for n in again]
        draft.feed("\n".join(lines))
        draft.close()
        draft.settle()
        draft.validate()
        assert [record["index"] for record in draft.records] == list(reversed(first))
        assert {record["status"] for record in draft.records} == {"planned"}

    drafted(use)


WRITTEN: dict[str, tuple[Callable[[int], str], Callable[[int], str]]] = {
    "broken, then mended one by one": (
        lambda n: "\n".join(f'{i}. wrok("a")' for i in range(1, n + 1)),
        lambda n: "\n".join(f"{i}. work(${i - 1})" if i > 1 else f'{i}. work("a")' for i in range(1, n + 1)),
    ),
    "all wait for the first": (
        lambda n: "\n".join(["1. wrok()", *(f"{i}. work(${i - 1})" for i in range(2, n + 1))]),
        lambda n: '1. work("a")',
    ),
    "effects wait for the first": (
        lambda n: "\n".join(["1. wrok()", *(f"{i}. send()" for i in range(2, n + 1))]),
        lambda n: '1. work("a")',
    ),
    "effects wait for many": (
        lambda n: "\n".join([f"{i}. {'send' if i % 2 else 'wrok'}()" for i in range(1, n + 1)]),
        lambda n: "\n".join(f"{i}. work()" for i in range(2, n + 1, 2)),
    ),
    "prose, then the task": (
        lambda n: "\n".join(f"{i}. The next one\n{i}. work()" for i in range(1, n + 1)),
        lambda n: "",
    ),
    "calls without a number": (
        lambda n: "\n".join(f'work("{i}")' for i in range(1, n + 1)),
        lambda n: "",
    ),
    "written twice": (
        lambda n: "\n".join(f'{i}. work("{i}")' for i in range(1, n // 2 + 1)) * 2,
        lambda n: "",
    ),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_time_grows_with_the_text(kind: str) -> None:
    """Four times as many tasks take a few times as long to draft, not sixteen times, however broken they are."""
    plan, repair = WRITTEN[kind]
    seconds: list[float] = []

    async def use(draft: Draft) -> None:
        n = 300 * 4 ** (len(seconds) // 3)
        began = time.process_time()
        draft.feed(plan(n))
        draft.close()
        draft.mend()
        draft.feed(repair(n))
        draft.close()
        draft.settle()
        seconds.append(time.process_time() - began)

    for _ in range(6):
        drafted(use)
    small, large = min(seconds[:3]), min(seconds[3:])
    assert large < 10 * small


def test_a_plan_in_small_pieces() -> None:
    """What a piece of the text costs does not grow with the text before it."""
    seconds: list[float] = []

    async def use(draft: Draft) -> None:
        pieces = 20_000 * 8 ** (len(seconds) // 3)
        began = time.process_time()
        for _ in range(pieces):
            draft.feed("word ")
        seconds.append(time.process_time() - began)

    for _ in range(6):
        drafted(use)
    small, large = min(seconds[:3]), min(seconds[3:])
    assert large < 20 * small
