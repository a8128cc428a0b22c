import asyncio
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.prebuilt import InjectedState, ToolRuntime
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual

QUESTION: Any = {"messages": [HumanMessage("?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
FINISH = "Finish: ok"


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("given", [{}, {"max_tasks": 5}, {"max_fan_out": 1500}])
def test_a_fan_out_has_a_limit(given: Any, sync: bool) -> None:
    """Whatever a tool gives, a task makes 1,000 calls at most by default; one that would make more makes none."""
    calls: list[int] = []

    @tool
    async def found() -> list[int]:
        """Find far too much."""
        return list(range(given.get("max_fan_out", 1000) + 1))

    @tool
    async def look(at: int) -> int:
        """Look at something."""
        calls.append(at)
        return at

    model = ScriptedModel(['1. found()\n2. look(${1[*]})\n3. work("$2")', FINISH])
    graph: Any = create_llm_compiler(model, [found, look, work], **given)
    final = graph.invoke(QUESTION) if sync else run_virtual(lambda: graph.ainvoke(QUESTION))
    most = given.get("max_fan_out", 1000)
    assert calls == []
    assert [task["status"] for task in final["tasks"]] == ["done", "failed", "skipped"]
    assert f"${{1[*]}} has {most + 1} elements, and max_fan_out allows {most} calls" in final["tasks"][1]["error"]
    assert final["messages"][-1].text == "ok"


@tool
async def work(text: str = "") -> str:
    """Take a second."""
    await asyncio.sleep(1)
    return f"work({text})"


@tool
async def numbers(n: int) -> list[dict[str, int]]:
    """Count."""
    return [{"n": i} for i in range(n)]


def values(final: dict[str, Any]) -> list[Any]:
    """Pick what the tasks returned."""
    return [task["value"] for task in final["tasks"]]


def statuses(final: dict[str, Any]) -> list[str]:
    """Pick what became of the tasks."""
    return [task["status"] for task in final["tasks"]]


async def ask(graph: Any, given: Any, *, sync: bool, config: Any = None) -> Any:
    """Run a graph either way; a synchronous run gets a thread of its own, as it has in a program."""
    if sync:
        return await asyncio.to_thread(graph.invoke, given, config)
    return await graph.ainvoke(given, config)


async def listen(graph: Any, given: Any, *, sync: bool, config: Any = None) -> list[Any]:
    """Stream a graph's task events either way."""
    if sync:
        return await asyncio.to_thread(lambda: list(graph.stream(given, config, stream_mode="custom")))
    return [event async for event in graph.astream(given, config, stream_mode="custom")]


both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "run", "end"), [(None, None, 1), (2, None, 3), (None, 2, 3), (3, 2, 3), (2, 9, 3), (1, 1, 6)]
)
def test_max_concurrency(own: int | None, run: int | None, end: float) -> None:
    """The graph's limit and the run's both hold: six calls of one second take as long as they must, no longer."""

    async def main() -> float:
        plan = "\n".join(f'{n}. work("{n}")' for n in range(1, 7))
        graph = create_llm_compiler(ScriptedModel([plan, FINISH]), [work], max_concurrency=own)
        final = await graph.ainvoke(QUESTION, {"max_concurrency": run} if run else None)
        assert statuses(final) == ["done"] * 6
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == end


def test_the_critical_path_comes_first() -> None:
    """Where there is no room for all, the call goes first on which the longest chain waits."""

    async def main() -> float:
        plan = '1. work("a")\n2. work("b")\n3. work("c")\n4. work("$3")\n5. work("$4")'
        graph = create_llm_compiler(ScriptedModel([plan, FINISH], chunk_size=0), [work], max_concurrency=2)
        await graph.ainvoke(QUESTION)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 4  # 1 and 2; then 3, 4, 5 one after the other


def test_fan_out_takes_a_place_per_element() -> None:
    """A task that fans out makes its calls in parallel, as far as the limit allows, in order."""

    @tool
    async def twice(n: int) -> int:
        """Double, the later elements faster."""
        await asyncio.sleep(1 if n < 2 else 0.5)
        return 2 * n

    async def main() -> tuple[dict[str, Any], float]:
        plan = "1. numbers(4)\n2. twice(${1[*].n})"
        graph = create_llm_compiler(ScriptedModel([plan, FINISH]), [numbers, twice], max_concurrency=2)
        return await graph.ainvoke(QUESTION), asyncio.get_running_loop().time()

    final, end = run_virtual(main)
    assert values(final)[1] == [0, 2, 4, 6]
    assert end == 1.5


@pytest.mark.parametrize(
    ("limit", "sync"),  # LangGraph cannot stream any graph synchronously with one thread
    [(1, False), (2, False), (3, False), (20, False), (2, True), (3, True), (20, True)],
)
async def test_no_limit_deadlocks(limit: int, sync: bool) -> None:
    """Whatever few places LangGraph gives, and whichever tasks wait for which, every run ends."""

    @tool
    async def quick(text: str) -> str:
        """Return at once."""
        return text

    @tool
    def blocking(text: str) -> str:
        """Hold a thread."""
        time.sleep(0.005)
        return text

    send = blocking.model_copy(update={"name": "send", "metadata": {"destructiveHint": True}})
    plan = """
    4. quick("a")
    2. blocking("$4")
    1. send("$2")
    3. send("b")
    9. quick("$3")
    10. blocking("c")
    11. quick("$10 $9")
    12. send("d") after $10
    """
    for config in ({}, {"max_concurrency": limit}):
        for own in (None, limit):
            saver = InMemorySaver()
            graph = create_llm_compiler(
                ScriptedModel([plan, FINISH] * 2), [quick, blocking, send], max_concurrency=own, checkpointer=saver
            )
            events = await listen(graph, QUESTION, sync=sync, config={**config, **THREAD})
            assert len([event for event in events if event["event"] == "done"]) == 8
            # resumed, where nothing was started early
            graph = create_llm_compiler(
                ScriptedModel([plan, FINISH]),
                [quick, blocking, send],
                max_concurrency=own,
                checkpointer=InMemorySaver(),
                interrupt_before=["task_fetching_unit"],
            )
            await ask(graph, QUESTION, sync=sync, config={**config, **THREAD})
            assert statuses(await ask(graph, None, sync=sync, config={**config, **THREAD})) == ["done"] * 8


def test_equal_calls_that_wait_do_not_deadlock() -> None:
    """With few places, calls whose equal one is not claimed yet do not hold the places that its claim needs."""
    plan = '1. slow("a")\n2. work("b")\n3. look($1)\n4. look($1)\n5. look($2)'

    @tool
    async def slow(text: str) -> str:
        """Take longer, and give what `work` gives."""
        await asyncio.sleep(4)
        return "work(b)"

    @tool
    async def look(text: str) -> str:
        """Look."""
        return text

    look.metadata = {"readOnlyHint": True}

    async def main() -> Any:
        pause: Any = {"checkpointer": InMemorySaver(), "interrupt_before": ["task_fetching_unit"]}
        graph = create_llm_compiler(ScriptedModel([plan, FINISH]), [slow, work, look], **pause)
        config: Any = {**THREAD, "max_concurrency": 2}
        await graph.ainvoke(QUESTION, config)
        return await asyncio.wait_for(graph.ainvoke(None, config), 60)

    assert values(run_virtual(main)) == ["work(b)"] * 5


def test_equal_calls_of_one_that_asks_do_not_deadlock() -> None:
    """With few places, an early call that asks keeps nobody waiting for its task, which comes last; it asks once."""
    plan = '1. work()\n2. confirm($1)\n3. work("later")\n4. confirm("work()")\n5. join()'

    @tool
    async def confirm(text: str) -> str:
        """Ask."""
        return f"{text}: {interrupt(text)}"

    confirm.metadata = {"readOnlyHint": True}

    async def main() -> None:
        model = ScriptedModel([plan, FINISH], seconds_per_reply=10, chunk_size=0)
        graph = create_llm_compiler(model, [work, confirm], checkpointer=InMemorySaver())
        config: Any = {**THREAD, "max_concurrency": 2}
        given: Any = QUESTION
        for asked in (["work()"], []):
            async for _ in graph.astream(given, config, stream_mode="custom"):  # which takes a place, too
                pass
            state = await graph.aget_state(config)
            assert [each.value for each in state.interrupts] == asked
            given = Command(resume="yes")
        assert values(state.values) == ["work()", "work(): yes", "work(later)", "work(): yes"]

    run_virtual(lambda: asyncio.wait_for(main(), 60))


def test_waiting_tasks_hold_no_threads() -> None:
    """In a synchronous run, many synchronous tools run at a time, and a deep chain behind them ends."""
    gathered = threading.Barrier(20)

    @tool
    def meet(name: str) -> str:
        """Wait until twenty calls run at the same time."""
        gathered.wait(10)
        return name

    @tool
    def chain(text: str) -> str:
        """Add a letter."""
        return text + "x"

    plan = [f'{n}. chain("{"" if n == 1 else f"${n - 1}"}")' for n in range(1, 41)]
    plan += [f'{n}. meet("{n}")' for n in range(41, 61)]
    final = create_llm_compiler(ScriptedModel(["\n".join(plan), FINISH]), [meet, chain]).invoke(QUESTION)
    assert statuses(final) == ["done"] * 60
    assert final["tasks"][39]["value"] == "x" * 40


def test_waiting_tasks_keep_no_thread_from_a_resumed_run() -> None:
    """Forty tasks wait for one that waits for two others, written last: in a resumed run these find threads, too."""
    met, gathered = threading.Barrier(2), threading.Event()

    @tool
    def gate() -> str:
        """Wait until the two have met."""
        assert gathered.wait(10)
        return "open"

    @tool
    def meet() -> str:
        """Wait until two calls run at the same time."""
        met.wait(10)
        gathered.set()
        return "met"

    @tool
    def late() -> str:
        """Return at once."""
        return "late"

    plan = "\n".join(["1. gate()", *(f"{n}. late() after $1" for n in range(2, 42)), "42. meet()", "43. meet()"])
    graph = create_llm_compiler(
        ScriptedModel([plan, FINISH]),
        [gate, meet, late],
        checkpointer=InMemorySaver(),
        interrupt_before=["task_fetching_unit"],
    )
    graph.invoke(QUESTION, THREAD)
    assert statuses(graph.invoke(None, THREAD)) == ["done"] * 43


@both_ways
async def test_effects_keep_plan_order(sync: bool) -> None:
    """Tools with effects run one after the other, in plan order, whatever they wait for."""
    log: list[str] = []

    @tool
    async def send(text: str) -> str:
        """Send."""
        log.append(f"{text} begins")
        await asyncio.sleep(0.01)
        log.append(f"{text} ends")
        return text

    send.metadata = {"readOnlyHint": False}
    plan = '1. quick("a")\n2. send("$1")\n3. send("b")\n4. send("c") after $1'

    @tool
    async def quick(text: str) -> str:
        """Take a while."""
        await asyncio.sleep(0.02)
        return text

    await ask(create_llm_compiler(ScriptedModel([plan, FINISH]), [send, quick]), QUESTION, sync=sync)
    assert log == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


# -- one call for several tasks ----------------------------------------------------------------------------------------


def counted(calls: list[str], **hints: bool) -> Any:
    """Make a tool that remembers its calls."""

    @tool
    async def look(text: str) -> str:
        """Look."""
        calls.append(text)
        await asyncio.sleep(0.01)
        if text == "bad":
            msg = "no such thing"
            raise ValueError(msg)
        return f"saw {text}"

    look.metadata = dict(hints)
    return look


class Counted(TypedDict):
    """A key of the caller's."""

    count: int


@both_ways
async def test_tools_that_see_the_state_are_called_each_time(sync: bool) -> None:
    """What was read of the state for one plan does not serve the next: the state has changed by then."""

    @tool
    def add(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Count."""
        return Command(update={"count": 2, "messages": [ToolMessage("added", tool_call_id=tool_call_id)]})

    @tool
    def count(count: Annotated[int, InjectedState("count")]) -> int:
        """Tell the count."""
        return count

    @tool
    def messages(runtime: ToolRuntime[Any, Any]) -> int:
        """Count the messages."""
        return len(runtime.state["messages"])

    count.metadata = messages.metadata = {"readOnlyHint": True}
    plans = ["1. count()\n2. messages()\n3. add()\n4. join()", "5. count()\n6. messages()\n7. join()"]
    model = ScriptedModel([plans[0], "Replan: again", plans[1], FINISH])
    graph = create_llm_compiler(model, [add, count, messages], state_schema=Counted)
    assert values(await ask(graph, {**QUESTION, "count": 1}, sync=sync)) == [1, 2, "added", 2, 6]


@both_ways
async def test_equal_calls_across_replans(sync: bool) -> None:
    """A replan that repeats finished work of a read-only tool costs no call, however it is written."""
    calls: list[str] = []
    replies = [
        '1. look("a")\n2. look(text="a")\n3. look("$1")',
        "Replan: more",
        '4. look("saw a")\n5. look("b")',
        FINISH,
    ]
    graph = create_llm_compiler(
        ScriptedModel(replies), [counted(calls, readOnlyHint=True)], checkpointer=InMemorySaver()
    )
    final = await ask(graph, QUESTION, sync=sync, config=THREAD)
    assert values(final) == ["saw a", "saw a", "saw saw a", "saw saw a", "saw b"]
    assert calls == ["a", "saw a", "b"]
    started = {each["index"]: each["started"] is not None for each in final["timeline"]}
    assert started == {1: True, 2: False, 3: True, 4: False, 5: True}


async def test_unknown_tools_are_called_each_time() -> None:
    """Nothing is assumed of a tool that does not say it is read-only."""
    calls: list[str] = []
    graph = create_llm_compiler(ScriptedModel(['1. look("a")\n2. look("a")', FINISH]), [counted(calls)])
    assert values(await graph.ainvoke(QUESTION)) == ["saw a", "saw a"]
    assert calls == ["a", "a"]


async def test_failures_are_not_remembered() -> None:
    """A replan may try a call again that failed."""
    calls: list[str] = []
    replies = ['1. look("bad")', "Replan: again", '2. look("bad")', FINISH]
    final = await create_llm_compiler(ScriptedModel(replies), [counted(calls, readOnlyHint=True)]).ainvoke(QUESTION)
    assert statuses(final) == ["failed", "failed"]
    assert calls == ["bad", "bad"]


# -- fan-out -----------------------------------------------------------------------------------------------------------


@both_ways
async def test_fan_out(sync: bool) -> None:
    """A task with `[*]` runs once per element; its observation is the list, and can be fanned out again."""

    @tool
    def twice(n: int) -> int:
        """Double."""
        return 2 * n

    @tool
    def total(ns: list[int]) -> int:
        """Add up."""
        return sum(ns)

    plan = "1. numbers(4)\n2. twice(${1[*].n})\n3. twice(${2[*]})\n4. total($3)\n"
    plan += "5. numbers(0)\n6. twice(${5[*].n})\n7. total($6)"
    graph = create_llm_compiler(ScriptedModel([plan, FINISH]), [numbers, twice, total])
    final = await ask(graph, QUESTION, sync=sync)
    assert values(final)[1:] == [[0, 2, 4, 6], [0, 4, 8, 12], 24, [], [], 0]
    assert final["tasks"][1]["arguments"] == [{"n": n} for n in range(4)]
    messages = [m for m in final["messages"] if isinstance(m, ToolMessage)]
    assert [m.content for m in messages][1] == "[0, 2, 4, 6]"
    assert len(messages) == 7


async def test_fan_out_with_a_failure() -> None:
    """One failed call fails the task, says which element, and keeps what the others returned."""

    @tool
    def half(n: int) -> int:
        """Halve an even number."""
        if n % 2:
            msg = f"{n} is odd"
            raise ValueError(msg)
        return n // 2

    model = ScriptedModel(["1. numbers(3)\n2. half(${1[*].n})\n3. half($2)", FINISH])
    final = await create_llm_compiler(model, [numbers, half], max_repairs=0).ainvoke(QUESTION)
    assert statuses(final) == ["done", "failed", "failed"] or statuses(final) == ["done", "failed", "skipped"]
    assert (
        final["tasks"][1]["error"]
        == "1 of 3 calls failed, the first on element 1: ValueError: 1 is odd; results: [0, null, 1]"
    )


# -- commands ----------------------------------------------------------------------------------------------------------


class Notes(TypedDict):
    """A state with the notes that tools take."""

    notes: Annotated[list[str], lambda old, new: old + new]


@tool
def note(text: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Write to the state."""
    message = ToolMessage(f"noted {text}", tool_call_id=tool_call_id)
    return Command(update={"notes": [text], "messages": [message]})


@both_ways
async def test_tools_that_return_commands(sync: bool) -> None:
    """A tool's `Command` updates the state; its message is the task's, once, and its text the task's value."""
    model = ScriptedModel(['1. note("a")\n2. note("$1")', FINISH])
    graph = create_llm_compiler(model, [note], state_schema=Notes, checkpointer=InMemorySaver())
    final = await ask(graph, {**QUESTION, "notes": ["old"]}, sync=sync, config=THREAD)
    assert final["notes"] == ["old", "a", "noted a"]
    assert values(final) == ["noted a", "noted noted a"]
    assert [m.content for m in final["messages"]] == ["?", "", "noted a", "noted noted a", "ok"]
    assert [m.tool_call_id for m in final["messages"][2:4]] == [each["tool_call_id"] for each in final["tasks"]]


@both_ways
async def test_commands_of_a_task_that_fans_out(sync: bool) -> None:
    """All commands are carried out; the conversation has one message for the one tool call."""
    model = ScriptedModel(["1. names()\n2. note(${1[*]})", FINISH])

    @tool
    def names() -> list[str]:
        """List."""
        return ["a", "b"]

    graph = create_llm_compiler(model, [names, note], state_schema=Notes)
    final = await ask(graph, {**QUESTION, "notes": []}, sync=sync)
    assert sorted(final["notes"]) == ["a", "b"]
    calls = [call["id"] for call in final["messages"][1].tool_calls]
    assert [m.tool_call_id for m in final["messages"] if isinstance(m, ToolMessage)] == calls


@pytest.mark.parametrize("checkpointer", [None, InMemorySaver()])
async def test_a_command_whose_message_has_an_id(checkpointer: Any) -> None:
    """A message with an id that a tool's `Command` holds keeps it, and is there once."""

    @tool
    def own(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Make a message with an id."""
        return Command(update={"messages": [ToolMessage("mine", tool_call_id=tool_call_id, id="own-id")]})

    graph = create_llm_compiler(ScriptedModel(["1. own()", FINISH]), [own], checkpointer=checkpointer)
    final = await graph.ainvoke(QUESTION, THREAD)
    assert [m.id for m in final["messages"] if isinstance(m, ToolMessage)] == ["own-id"]


async def test_a_command_that_writes_a_question() -> None:
    """A user message that a tool adds does not begin a new turn: the replan goes on, and its budget holds."""

    @tool
    def hint(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Put words in the user's mouth."""
        return Command(update={"messages": [ToolMessage("hinted", tool_call_id=tool_call_id), HumanMessage("hint!")]})

    model = ScriptedModel(["1. hint()", "Replan: more", "2. hint()", "Replan: more", "3. hint()", FINISH])
    final = await create_llm_compiler(model, [hint], max_replans=2).ainvoke(QUESTION)
    assert len(final["rounds"]) == 3
    assert [task["index"] for task in final["tasks"]] == [1, 2, 3]
    assert len(model.calls) == 6
    for one, following in zip(model.calls, model.calls[1:], strict=False):
        assert [m.content for m in following[: len(one)]] == [m.content for m in one]


# -- interrupts, crashes, cancellation ---------------------------------------------------------------------------------


@both_ways
async def test_several_approvals_in_one_plan(sync: bool) -> None:
    """All interrupts of a plan surface together; once they are answered, no finished task runs again."""
    calls: list[str] = []

    @tool
    def approve(what: str) -> str:
        """Ask a human."""
        return f"{what}: {interrupt(what)}"

    look = counted(calls)
    model = ScriptedModel(['1. look("x")\n2. approve("a")\n3. approve("b")\n4. look("$2")', FINISH])
    graph = create_llm_compiler(model, [look, approve], checkpointer=InMemorySaver())
    state = await ask(graph, QUESTION, sync=sync, config=THREAD)
    asked = {each.value: each.id for each in state["__interrupt__"]}
    assert sorted(asked) == ["a", "b"]
    final = await ask(graph, Command(resume={asked["a"]: "yes", asked["b"]: "no"}), sync=sync, config=THREAD)
    assert values(final) == ["saw x", "a: yes", "b: no", "saw a: yes"]
    assert calls == ["x", "a: yes"]


@pytest.mark.parametrize(("sync", "config"), [(True, {}), (False, {"max_concurrency": 8}), (False, {})])
async def test_each_answer_goes_to_the_call_that_asked(sync: bool, config: Any) -> None:
    """Whichever call of a fan-out asks first; all are asked for at once."""
    others: set[str] = set()
    all_have = threading.Event()

    @tool
    def names() -> list[str]:
        """Name some."""
        return list("abcd")

    @tool
    def ask_a_human(name: str) -> str:
        """Ask."""
        if name == "a":
            assert all_have.wait(20)
        others.add(name)
        if others >= {"b", "c", "d"}:
            all_have.set()
        return f"{name}: {interrupt(name)}" if name != "c" else "c"

    model = ScriptedModel(['1. names()\n2. ask_a_human("${1[*]}")\n3. join()', FINISH])
    graph = create_llm_compiler(model, [names, ask_a_human], checkpointer=InMemorySaver())
    given, seen = QUESTION, []
    while questions := (state := await ask(graph, given, sync=sync, config={**THREAD, **config})).get("__interrupt__"):
        seen.append([each.value for each in questions])
        given = Command(resume={each.id: f"yes, {each.value}" for each in questions})
    assert len(seen) == 1
    assert sorted(each for one in seen for each in one) == ["a", "b", "d"]
    assert values(state)[1] == ["a: yes, a", "b: yes, b", "c", "d: yes, d"]


@pytest.mark.parametrize(("sync", "config"), [(True, {}), (False, {"max_concurrency": 8})])
async def test_each_answer_goes_to_the_call_that_asked_where_none_is_approved(sync: bool, config: Any) -> None:
    """A tool that may need approval asks by itself: no answer is taken for an approval that nobody was asked for."""

    @tool
    def names() -> list[str]:
        """Name some."""
        return ["a", "b"]

    @tool
    async def ask_a_human(name: str) -> str:
        """Ask, the first of them last."""
        for _ in range(100 if name == "a" else 0):
            await asyncio.sleep(0)
        return f"{name}: {interrupt(name)}"

    on: Any = {"ask_a_human": {"allowed_decisions": ["approve"], "when": lambda request: False}}
    model = ScriptedModel(['1. names()\n2. ask_a_human("${1[*]}")\n3. join()', FINISH])
    graph = create_llm_compiler(model, [names, ask_a_human], interrupt_on=on, checkpointer=InMemorySaver())
    given: Any = QUESTION
    while questions := (state := await ask(graph, given, sync=sync, config={**THREAD, **config})).get("__interrupt__"):
        given = Command(resume={each.id: f"yes, {each.value}" for each in questions})
    assert values(state)[1] == ["a: yes, a", "b: yes, b"]


@both_ways
async def test_approvals_one_by_one(sync: bool) -> None:
    """Interrupts can be answered one by one; what one answer sets free runs before the next."""
    calls: list[str] = []

    @tool
    def approve(what: str) -> str:
        """Ask a human."""
        return f"{what}: {interrupt(what)}"

    model = ScriptedModel(['1. approve("a")\n2. approve("b")\n3. look("$1")\n4. look("$2")', FINISH])
    graph = create_llm_compiler(model, [counted(calls), approve], checkpointer=InMemorySaver())
    state = await ask(graph, QUESTION, sync=sync, config=THREAD)
    asked = {each.value: each.id for each in state["__interrupt__"]}
    state = await ask(graph, Command(resume={asked["b"]: "no"}), sync=sync, config=THREAD)
    assert [each.value for each in state["__interrupt__"]] == ["a"]
    assert calls == ["b: no"]
    final = await ask(graph, Command(resume={asked["a"]: "yes"}), sync=sync, config=THREAD)
    assert values(final) == ["a: yes", "b: no", "saw a: yes", "saw b: no"]
    assert calls == ["b: no", "a: yes"]


@pytest.mark.parametrize(("sync", "limit"), [(False, 1), (True, 2)])
async def test_each_answer_goes_to_the_task_that_asked(sync: bool, limit: int) -> None:
    """Under a tight limit, a task that an answer sets free does not take the next one's answer."""

    @tool
    async def confirm(what: str, after: str = "") -> str:
        """Ask a human."""
        return f"{what}: {interrupt(what)}"

    plan = '1. confirm("a")\n2. confirm("b")\n3. confirm("c", $1)\n4. confirm("d", $3)'
    graph = create_llm_compiler(ScriptedModel([plan, FINISH]), [confirm], checkpointer=InMemorySaver())
    config = {**THREAD, "max_concurrency": limit}
    given, seen = QUESTION, []
    while questions := (state := await ask(graph, given, sync=sync, config=config)).get("__interrupt__"):
        seen += [each.value for each in questions]
        given = Command(resume={each.id: f"yes, {each.value}" for each in questions})
    assert sorted(seen[:2]) == ["a", "b"]
    assert seen[2:] == ["c", "d"]
    assert values(state) == ["a: yes, a", "b: yes, b", "c: yes, c", "d: yes, d"]


def test_a_limit_is_for_calls() -> None:
    """As many calls run at a time as the config's `max_concurrency` says, whatever else LangGraph counts with it."""
    both = threading.Barrier(2)

    @tool
    def meet(what: str) -> str:
        """Wait for the other."""
        both.wait(timeout=30)
        return what

    graph = create_llm_compiler(ScriptedModel(['1. meet("a")\n2. meet("b")', FINISH]), [meet])
    assert values(graph.invoke(QUESTION, {"max_concurrency": 2})) == ["a", "b"]


@pytest.mark.parametrize(("sync", "config"), [(True, {}), (False, {"max_concurrency": 8})])
@pytest.mark.parametrize("approved", ["names", "meet"])
async def test_an_answer_that_was_taken_holds_up_nobody(sync: bool, config: Any, approved: str) -> None:
    """Calls of a fan-out that share a `@task` run in parallel once the answer without an interrupt id is taken."""
    both = threading.Barrier(2)

    @tool
    def names() -> list[str]:
        """Name some."""
        return ["a", "b"]

    @tool
    def meet(name: str) -> str:
        """Wait for the other."""
        both.wait(timeout=30)
        return name

    model = ScriptedModel(['1. names()\n2. meet("${1[*]}")\n3. join()', FINISH])
    graph = create_llm_compiler(model, [names, meet], interrupt_on={approved: True}, checkpointer=InMemorySaver())
    config = {**THREAD, **config}
    state = await ask(graph, QUESTION, sync=sync, config=config)
    (question,) = state["__interrupt__"]
    yes = {"decisions": [{"type": "approve"}] * len(question.value["action_requests"])}
    assert values(await ask(graph, Command(resume=yes), sync=sync, config=config)) == [["a", "b"], ["a", "b"]]


@both_ways
async def test_an_answer_is_given_once(sync: bool) -> None:
    """An answer without an interrupt id is not given to another, when the run goes on with answers that have ids."""

    @tool
    def approve(what: str) -> str:
        """Ask a human."""
        return f"{what}: {interrupt(what)}"

    model = ScriptedModel(['1. approve("a")\n2. approve("b") after $1\n3. approve("c") after $1', FINISH])
    graph = create_llm_compiler(model, [approve], checkpointer=InMemorySaver())
    await ask(graph, QUESTION, sync=sync, config=THREAD)
    state = await ask(graph, Command(resume="yes"), sync=sync, config=THREAD)
    asked = {each.value: each.id for each in state["__interrupt__"]}
    state = await ask(graph, Command(resume={asked["b"]: "no"}), sync=sync, config=THREAD)
    assert [each.value for each in state["__interrupt__"]] == ["c"]
    final = await ask(graph, Command(resume="never"), sync=sync, config=THREAD)
    assert values(final) == ["a: yes", "b: no", "c: never"]


@both_ways
@pytest.mark.parametrize("node", ["planner", "task_fetching_unit", "joiner"])
@pytest.mark.parametrize("when", ["interrupt_before", "interrupt_after"])
async def test_pausing_at_a_node(node: str, when: str, sync: bool) -> None:
    """A run paused before or after any node goes on from its checkpoint, in every round."""
    replies = ['1. work("a")', "Replan: more", '2. quick("$1")\n3. quick("$2")', FINISH]

    @tool
    async def quick(text: str) -> str:
        """Return at once."""
        return text

    pause: Any = {when: [node]}
    work = quick.model_copy(update={"name": "work"})
    graph = create_llm_compiler(ScriptedModel(replies), [work, quick], checkpointer=InMemorySaver(), **pause)
    state = await ask(graph, QUESTION, sync=sync, config=THREAD)
    pauses = 0
    while (await graph.aget_state(THREAD)).next:
        pauses += 1
        state = await ask(graph, None, sync=sync, config=THREAD)
    assert pauses == (1 if (when, node) == ("interrupt_after", "joiner") else 2)
    assert values(state) == ["a", "a", "a"]
    assert state["messages"][-1].text == "ok"
    assert [each["index"] for each in state["timeline"]] == [1, 2, 3]


@both_ways
@pytest.mark.parametrize("pause", [{"interrupt_before": ["task_fetching_unit"]}, {"interrupt_after": "*"}])
async def test_a_pause_before_running_the_plan(pause: Any, sync: bool) -> None:
    """Who pauses between planning and running sees the plan before any tool is called."""
    calls: list[str] = []
    model = ScriptedModel(['1. look("a")\n2. look("$1")', FINISH])
    graph = create_llm_compiler(model, [counted(calls)], checkpointer=InMemorySaver(), **pause)
    state = await ask(graph, QUESTION, sync=sync, config=THREAD)
    assert [task["status"] for task in state["tasks"]] == ["planned"] * 2
    assert calls == []
    assert values(await ask(graph, None, sync=sync, config=THREAD)) == ["saw a", "saw saw a"]
    assert calls == ["a", "saw a"]


@both_ways
async def test_going_on_after_an_error(sync: bool) -> None:
    """With `handle_tool_errors=False` a tool's error ends the run; going on runs only what was not finished."""
    calls: list[str] = []

    @tool
    def flaky(text: str) -> str:
        """Fail the first time."""
        calls.append(f"flaky {text}")
        if calls.count(f"flaky {text}") == 1:
            msg = "try again"
            raise TimeoutError(msg)
        return text

    plan = '1. look("price $4")\n2. look("a")\n3. flaky("b")\n4. look("$3")\n5. look("$2")'
    graph = create_llm_compiler(
        ScriptedModel([plan, FINISH]), [flaky, counted(calls)], handle_tool_errors=False, checkpointer=InMemorySaver()
    )
    with pytest.raises(TimeoutError, match="try again"):
        await ask(graph, QUESTION, sync=sync, config=THREAD)
    before = [call for call in calls if call != "price $4"]  # found to refer ahead once line 4 was there
    assert sorted(before) == ["a", "flaky b", "saw a"]
    final = await ask(graph, None, sync=sync, config=THREAD)
    assert statuses(final) == ["failed", "done", "done", "done", "done"]
    assert values(final)[1:] == ["saw a", "b", "saw b", "saw saw a"]
    assert [call for call in calls if call != "price $4"][3:] == ["flaky b", "b"]
    assert final["timeline"][1]["finished"] is not None


def test_cancelling_a_run_cancels_its_tools() -> None:
    """A cancelled run leaves no call and no asyncio task behind."""
    cancelled: list[str] = []

    @tool
    async def slow(text: str) -> str:
        """Take long."""
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.append(text)
            raise
        return text

    slow_effect = slow.model_copy(update={"name": "effect", "metadata": {"destructiveHint": True}})

    async def main() -> None:
        model = ScriptedModel(['1. slow("a")\n2. effect("b")\n3. slow("$2")', FINISH], seconds_per_reply=1)
        run = asyncio.create_task(create_llm_compiler(model, [slow, slow_effect]).ainvoke(QUESTION))
        await asyncio.sleep(5)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert sorted(cancelled) == ["a", "b"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


def test_a_run_with_a_time_limit() -> None:
    """`asyncio.timeout` around a run is a deadline for all of it."""

    async def main() -> float:
        graph = create_llm_compiler(ScriptedModel(['1. work("a")\n2. work("$1")\n3. work("$2")', FINISH]), [work])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await graph.ainvoke(QUESTION)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 2.5


async def test_a_tool_that_cancels_itself() -> None:
    """A call that was cancelled from inside is a failed task, not a cancelled run."""

    @tool
    async def quitting() -> str:
        """Give up."""
        raise asyncio.CancelledError

    @tool
    async def halving(n: int) -> int:
        """Give up on odd numbers."""
        if n % 2:
            raise asyncio.CancelledError
        return n

    halving.metadata = {"readOnlyHint": False}  # not called early: in a `@task` of its own
    plan = "1. quitting()\n2. numbers(3)\n3. halving(${2[*].n})\n4. join()"
    final = await create_llm_compiler(ScriptedModel([plan, FINISH]), [quitting, numbers, halving]).ainvoke(QUESTION)
    assert statuses(final) == ["failed", "done", "failed"]
    assert values(final)[2] == [0, None, 2]


# -- times -------------------------------------------------------------------------------------------------------------


def test_timeline() -> None:
    """The timeline says, per task, when it was released, started and finished, in seconds of the turn."""

    async def main() -> Any:
        model = ScriptedModel(
            ['1. work("a")\n2. work("$1")\n3. nothing()', "Replan: more", "4. work($2)", FINISH],
            chunk_size=0,
            seconds_per_reply=3,
        )
        graph = create_llm_compiler(model, [work], checkpointer=InMemorySaver(), max_repairs=0)
        await asyncio.sleep(100)  # the turn begins when it is asked
        return await graph.ainvoke(QUESTION, THREAD)

    keys = ("index", "tool", "released", "started", "finished", "early", "status")
    assert [tuple(each[key] for key in keys) for each in run_virtual(main)["timeline"]] == [
        (1, "work", 1, 1, 2, True, "done"),
        (2, "work", 2, 2, 3, True, "done"),
        (3, "nothing", None, None, None, False, "failed"),
        (4, "work", 9, 9, 10, True, "done"),
    ]


def test_the_clock_of_a_turn_that_goes_on_elsewhere() -> None:
    """A turn that goes on on another event loop goes on with its time: that of the pause does not count."""
    saver = InMemorySaver()

    async def begin() -> None:
        model = ScriptedModel(['1. work("a")'], chunk_size=0, seconds_per_reply=3)
        graph = create_llm_compiler(model, [work], checkpointer=saver)
        await graph.ainvoke(QUESTION, THREAD, interrupt_before=["task_fetching_unit"])

    async def go_on() -> Any:
        await asyncio.sleep(100)
        graph = create_llm_compiler(ScriptedModel([FINISH]), [work], checkpointer=saver)
        return await graph.ainvoke(None, THREAD)

    run_virtual(begin)
    (entry,) = run_virtual(go_on)["timeline"]
    assert (entry["released"], entry["started"], entry["finished"]) == (3, 3, 4)


def test_the_state_of_a_turn_in_sqlite(tmp_path: Path) -> None:
    """What a synchronous run leaves in a file can be read back by another graph."""
    with SqliteSaver.from_conn_string(str(tmp_path / "db")) as saver:
        model = ScriptedModel(["1. numbers(2)\n2. numbers(${1[*].n})", FINISH])
        final = create_llm_compiler(model, [numbers], checkpointer=saver).invoke(QUESTION, THREAD)
    with SqliteSaver.from_conn_string(str(tmp_path / "db")) as saver:
        graph = create_llm_compiler(ScriptedModel(), [numbers], checkpointer=saver)
        assert graph.get_state(THREAD).values.items() >= final.items()


@pytest.mark.parametrize(
    ("returned", "text", "outcome"),
    [
        ({"height": 8611}, "$1.height", ("done", "8611")),
        ({"height": 8611}, "it is $1.height m", ("done", "it is 8611 m")),
        ('```json\n{"height": 8611}\n```', "$1.height", ("done", "8611")),
        ({"height": 8611}, "$1.width", ("failed", "${1.width} leads nowhere")),
        ("a mountain", "it is $1.height m", ("failed", "${1.height} leads nowhere")),
        ("notes", "$1.txt", ("done", "notes.txt")),
    ],
)
async def test_a_path_within_a_string(returned: Any, text: str, outcome: tuple[str, str]) -> None:
    """A path within a string is followed whatever the tool says it returns; one that leads nowhere is a failed task."""

    @tool
    def get() -> dict[str, Any]:
        """Get something."""
        return returned  # type: ignore[no-any-return]

    @tool
    def say(text: str) -> str:
        """Say something."""
        return text

    model = ScriptedModel([f'1. get()\n2. say("{text}")\n3. join()', "Finish: ok"])
    final = await create_llm_compiler(model, [get, say]).ainvoke({"messages": [("user", "?")]})
    _, said = final["tasks"]
    assert said["status"] == outcome[0]
    assert outcome[1] in (said["value"] if said["status"] == "done" else said["error"])
