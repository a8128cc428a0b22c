"""Calls that are made as one, where a tool names another one that takes many."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from langchain_core.tools import BaseTool, tool
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import InjectedState
from langgraph.types import CachePolicy, Command, RetryPolicy, interrupt

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.procedures import parse_procedure
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from llmcompiler_graph.timeline import timeline_of

QUESTION: Any = {"messages": [("user", "?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
SEVERAL = '1. look("a")\n2. look("b")\n3. look("c")'
FANNED = '1. look(["a", "b", "c"][*])'


class Service:
    """What is asked for many things at once, a second each time."""

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []
        self.at: list[float] = []
        self.answers: dict[str, Any] = {}  # in place of the usual ones
        self.raises: list[Exception] = []  # of the calls to come

    def tools(self, **metadata: Any) -> list[BaseTool]:
        """The tools."""

        @tool
        def look(what: str) -> dict[str, str]:
            """Look one thing up."""
            raise AssertionError

        @tool
        async def look_many(things: list[str]) -> list[dict[str, str]]:
            """Look things up."""
            self.asked.append(things)
            self.at.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1)
            if self.raises:
                raise self.raises.pop()
            return [self.answers.get(thing, {"name": thing.upper()}) for thing in things]

        @tool
        def things(n: int) -> list[str]:
            """List things."""
            return [str(each) for each in range(n)]

        look.metadata = {"readOnlyHint": True, "batch": "look_many", **metadata}
        return [look, look_many, things]

    def graph(self, *replies: str, metadata: Any = None, **options: Any) -> Any:
        """A graph over them."""
        self.model = ScriptedModel([*replies, "Finish: so"])
        return create_llm_compiler(self.model, self.tools(**(metadata or {})), **options)

    def run(self, *replies: str, **options: Any) -> tuple[Any, float]:
        """Run a turn on the virtual clock; give its final state and how long it took."""

        async def main() -> tuple[Any, float]:
            final = await self.graph(*replies, **options).ainvoke(QUESTION)
            return final, asyncio.get_running_loop().time()

        return run_virtual(main)


def values(final: Any) -> list[Any]:
    """What the tasks gave."""
    return [task["value"] for task in final["tasks"]]


def errors(final: Any) -> list[str]:
    """What went wrong in them."""
    return [task["error"] for task in final["tasks"]]


ALL = [{"name": "A"}, {"name": "B"}, {"name": "C"}]


@pytest.mark.parametrize(("plan", "expected"), [(SEVERAL, ALL), (FANNED, [ALL])])
def test_calls_that_are_ready_together(plan: str, expected: list[Any]) -> None:
    """Tasks, and elements of a task, are one call; results are dealt back by position."""
    service = Service()
    final, seconds = service.run(plan)
    assert values(final) == expected
    assert (service.asked, seconds) == ([["a", "b", "c"]], 1.01)


def test_equal_calls_and_what_comes_later() -> None:
    """Equal calls are one element; what becomes ready later is another call; tasks and fan-outs mix."""
    service = Service()
    plan = '1. look("a")\n2. look(["a", "b"][*])\n3. look("${1.name}")\n4. look("${2[1].name}")\n'
    plan += '5. things(2)\n6. look("${5[*]}")'
    final, seconds = service.run(plan)
    assert [task["status"] for task in final["tasks"]] == ["done"] * 6
    assert [sorted(each) for each in service.asked] == [["0", "1", "a", "b"], ["A", "B"]]
    assert seconds == 2.02


@pytest.mark.parametrize("failed", [ValueError("no b"), {"error": "no b"}, SystemExit("no b")])
@pytest.mark.parametrize("plan", [SEVERAL, FANNED])
def test_an_element_fails(failed: Any, plan: str) -> None:
    """An exception, or an error alone, among the results is that element's own failure."""
    service = Service()
    service.answers["b"] = failed
    final, _ = service.run(plan)
    if plan == SEVERAL:
        assert values(final) == [{"name": "A"}, None, {"name": "C"}]
        assert "no b" in errors(final)[1]
    else:
        assert values(final) == [[{"name": "A"}, None, {"name": "C"}]]
        assert errors(final)[0].startswith("1 of 3 calls failed, the first on element 1: ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (ValueError("the service is down"), "the service is down"),
        ([{}], "'look_many' was called with 3 calls and returned 1 results"),
        ({"a": 1}, "'look_many' was called with 3 calls and returned dict"),
        (None, "'look_many' was called with 3 calls and returned NoneType"),
        ({"x", "y", "z"}, "which has no order"),
    ],
)
def test_a_batch_fails(given: Any, said: str) -> None:
    """If the call raises, or gives anything but a result for each element, all its elements have failed; no other."""
    one, many, _ = Service().tools()

    @tool
    def look_many(things: list[str]) -> Any:
        """Look things up."""
        if isinstance(given, Exception):
            raise given
        return given

    model = ScriptedModel([SEVERAL, "Finish: so"])
    final = run_virtual(lambda: create_llm_compiler(model, [one, look_many]).ainvoke(QUESTION))
    assert all(said in error for error in errors(final))
    assert many.name == look_many.name


def test_a_tuple_is_a_list() -> None:
    """The results may be a tuple; an exception in it is its element's failure."""
    one, _, _ = Service().tools()

    @tool
    def look_many(things: list[str]) -> Any:
        """Look things up."""
        return (*things[:-1], ValueError("down"))

    model = ScriptedModel([SEVERAL, "Finish: so"])
    final = run_virtual(lambda: create_llm_compiler(model, [one, look_many]).ainvoke(QUESTION))
    assert values(final) == ["a", "b", None]
    assert "down" in errors(final)[2]


def test_retries_are_of_elements() -> None:
    """An element that has failed is called again, with no other that has not."""
    service = Service()
    service.answers["b"] = TimeoutError("busy")

    async def main() -> Any:
        policy = RetryPolicy(max_attempts=2, initial_interval=1, jitter=False, retry_on=TimeoutError)
        run = asyncio.ensure_future(service.graph(SEVERAL, tool_retry_policy=policy).ainvoke(QUESTION))
        await asyncio.sleep(1.5)
        service.answers.clear()
        return await run

    assert values(run_virtual(main)) == ALL
    assert service.asked == [["a", "b", "c"], ["b"]]


def test_several_arguments() -> None:
    """Of a tool of several parameters, objects of its arguments are given; defaults are left to what takes them."""
    asked: list[Any] = []

    @tool
    def convert(amount: float, to: str = "EUR") -> float:
        """Convert."""
        raise AssertionError

    @tool
    def convert_many(conversions: list[dict[str, Any]], rate: float = 2) -> list[float]:
        """Convert many."""
        asked.append(conversions)
        return [rate * each["amount"] for each in conversions]

    convert.metadata = {"batch": "convert_many"}
    model = ScriptedModel(['1. convert(1)\n2. convert(2, to="USD")', "Finish: so"])
    final = run_virtual(lambda: create_llm_compiler(model, [convert, convert_many]).ainvoke(QUESTION))
    assert asked == [[{"amount": 1}, {"amount": 2, "to": "USD"}]]
    assert values(final) == [2, 4]


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"metadata": {"batch_size": 3}}, [3, 3, 1]),
        ({"max_concurrency": 4}, [4, 3]),
        ({"tool_concurrency": {"look": 5}}, [5, 2]),
        ({}, [7]),
    ],
)
def test_limits_count_elements(options: Any, sizes: list[int]) -> None:
    """A batch is of no more calls than it may have, nor than may run at a time."""
    service = Service()
    final, _ = service.run('1. things(7)\n2. look("${1[*]}")', **options)
    assert [len(each) for each in service.asked] == sizes
    assert values(final)[1] == [{"name": str(n)} for n in range(7)]


def test_other_limits_count_elements() -> None:
    """Neither `max_tasks` nor `max_fan_out` takes a batch for one call."""
    final, _ = Service().run('1. things(7)\n2. look("${1[*]}")', max_fan_out=6)
    assert "7" in errors(final)[1]
    assert errors(Service().run(SEVERAL, max_tasks=2, max_repairs=0)[0])[2]


def test_wrappers_see_elements() -> None:
    """What is wrapped around tool calls sees, changes and refuses each by itself, and never the batch."""
    service = Service()
    seen: list[Any] = []

    async def wrap(request: Any, execute: Any) -> Any:
        seen.append((request.tool_call["name"], request.tool_call["args"]["what"]))
        if request.tool_call["args"]["what"] == "b":
            raise PermissionError("not b")
        request.tool_call["args"]["what"] += "!"
        return await execute(request)

    final, _ = service.run(SEVERAL, awrap_tool_call=wrap)
    assert seen == [("look", "a"), ("look", "b"), ("look", "c")]
    assert service.asked == [["a!", "c!"]]
    assert "not b" in errors(final)[1]


def test_approvals_are_of_elements() -> None:
    """A human decides about each call; those that are approved are one call."""
    service = Service()

    async def main() -> Any:
        graph = service.graph(FANNED, interrupt_on={"look": True}, checkpointer=InMemorySaver())
        paused = await graph.ainvoke(QUESTION, THREAD)
        assert len(paused["__interrupt__"][0].value["action_requests"]) == 3
        edit = {"type": "edit", "edited_action": {"name": "look", "args": {"what": "d"}}}
        return await graph.ainvoke(
            Command(resume={"decisions": [{"type": "approve"}, {"type": "reject"}, edit]}), THREAD
        )

    final = run_virtual(main)
    assert service.asked == [["a", "d"]]
    assert values(final) == [[{"name": "A"}, None, {"name": "D"}]]


def test_what_is_known_is_not_asked_for() -> None:
    """The cache answers elements, and keeps them; later turns ask for the others only."""
    service = Service()
    options: Any = {"cache": InMemoryCache(), "tool_cache_policy": CachePolicy()}

    async def main() -> Any:
        await service.graph('1. look(["a", "b"][*])', **options).ainvoke(QUESTION)
        return await service.graph(SEVERAL, **options).ainvoke(QUESTION)

    final = run_virtual(main)
    assert service.asked == [["a", "b"], ["c"]]
    assert [task.get("cached", 0) for task in final["tasks"]] == [1, 1, 0]
    assert ["batches" in task for task in final["tasks"]] == [False, False, True]


def test_the_plan_is_complete_first() -> None:
    """What a model writes one after the other is one call: such tools are not called early."""
    service = Service()
    model = ScriptedModel([SEVERAL, "Finish: so"], chunk_size=0, seconds_per_reply=3)
    run_virtual(lambda: create_llm_compiler(model, service.tools()).ainvoke(QUESTION))
    assert (service.asked, service.at) == ([["a", "b", "c"]], [3.01])


def test_a_large_plan() -> None:
    """Tasks of several groups are one call."""
    service = Service()
    final, _ = service.run("\n".join(f'{n}. look("{n}")' for n in range(1, 101)))
    assert [len(each) for each in service.asked] == [100]
    assert values(final) == [{"name": str(n)} for n in range(1, 101)]


def test_runs_are_not_mixed() -> None:
    """Runs of one graph at one time share no call: each has its own credentials and traces."""
    service = Service()

    async def main() -> None:
        graph = create_llm_compiler(ScriptedModel([SEVERAL, SEVERAL, "so", "so"]), service.tools())
        await asyncio.gather(graph.ainvoke(QUESTION), graph.ainvoke(QUESTION))

    run_virtual(main)
    assert service.asked == [["a", "b", "c"], ["a", "b", "c"]]


@pytest.mark.parametrize("plan", [SEVERAL, FANNED])
def test_the_deadline(plan: str) -> None:
    """The deadline ends the call, and all its elements."""
    service = Service()
    final, seconds = service.run(plan, deadline=0.5)
    assert seconds == 0.5
    assert all("deadline" in error for error in errors(final))


def test_a_time_limit_of_one_element() -> None:
    """A call is given up when nobody waits for it, not before."""
    final, seconds = Service().run(SEVERAL, tool_timeout=0.5)
    assert all("0.5" in error for error in errors(final))
    assert seconds == 0.5


@pytest.mark.parametrize("plan", [SEVERAL, FANNED])
def test_synchronously(plan: str) -> None:
    """A synchronous run makes one call too, also where what takes many is synchronous."""
    asked: list[Any] = []

    @tool
    def look_many(things: list[str]) -> list[dict[str, str]]:
        """Look things up."""
        asked.extend(things)
        return [{"name": thing.upper()} for thing in things]

    graph = create_llm_compiler(ScriptedModel([plan, "Finish: so"]), [Service().tools()[0], look_many])
    final = graph.invoke(QUESTION)
    assert values(final) in (ALL, [ALL])
    assert sorted(asked) == ["a", "b", "c"]


@pytest.mark.parametrize("plan", [SEVERAL, FANNED])
def test_a_crash_behind_a_batch(plan: str) -> None:
    """Each element is persisted: after a crash, none that had an observation is asked for again."""
    service = Service()
    crash: list[bool] = [True]

    @tool
    def then(of: Any) -> Any:
        """Crash once."""
        if crash and crash.pop():
            raise OSError("the power went out")
        return of

    async def main() -> Any:
        saver = InMemorySaver()
        tools = [*service.tools(), then]
        model = ScriptedModel([f"{plan}\n4. then($1)", "Finish: so"])
        graph = create_llm_compiler(model, tools, handle_tool_errors=False, checkpointer=saver)
        with pytest.raises(OSError, match="power"):
            await graph.ainvoke(QUESTION, THREAD)
        return await graph.ainvoke(None, THREAD)

    final = run_virtual(main)
    assert [task["status"] for task in final["tasks"]] == ["done"] * len(final["tasks"])
    assert service.asked == [["a", "b", "c"]]


def test_repetition() -> None:
    """The attempts of several polls that are due together are one call."""
    service = Service()

    async def main() -> Any:
        plan = '1. look(["a", "b"][*]) until ${1.name} == "done" max 9 every 5\n2. look("c")'
        run = asyncio.ensure_future(service.graph(plan).ainvoke(QUESTION))
        await asyncio.sleep(3)
        service.answers["a"] = {"name": "done"}
        await asyncio.sleep(6)
        service.answers["b"] = {"name": "done"}
        return await run

    assert values(run_virtual(main))[0] == [{"name": "done"}] * 2
    assert [sorted(each) for each in service.asked] == [["a", "b", "c"], ["a", "b"], ["b"]]


def test_in_a_procedure() -> None:
    """A procedure as a graph makes one call as well."""
    service = Service()
    text = 'both(first: str):\n  1. look("${first}")\n  2. look("b")\n  3. things(2)\n  4. look("${3[*]}")'
    graph = parse_procedure(text).as_graph(service.tools())
    given: Any = {"arguments": {"first": "a"}}
    final = run_virtual(lambda: graph.ainvoke(given))
    assert final["result"] == [{"name": "0"}, {"name": "1"}]
    assert [sorted(each) for each in service.asked] in ([["a", "b"], ["0", "1"]], [["0", "1", "a", "b"]])


def test_it_is_shown() -> None:
    """Records, events and the picture of a run say which tasks share a call; models and plans know of one tool."""
    service = Service()

    async def main() -> tuple[Any, list[Any]]:
        graph = service.graph(SEVERAL + "\n4. look($1)")
        events = [each async for each in graph.astream(QUESTION, stream_mode="custom")]
        return await service.graph(SEVERAL + '\n4. look("${1.name}")').ainvoke(QUESTION), events

    final, events = run_virtual(main)
    first = final["tasks"][0]["batches"]
    assert first[0].startswith("look_many ")
    assert [task["batches"] == first for task in final["tasks"]] == [True, True, True, False]
    done = [event for event in events if event["event"] == "done"]
    assert len({tuple(event["batches"]) for event in done[:3]}) == 1
    page = timeline_of(final).to_html()
    assert "1 call of look_many, with those of tasks 2, 3" in page
    assert "look_many" not in str(service.model.calls[0])


@tool
def one(what: str) -> str:
    """Look."""
    raise AssertionError


@tool
def needs_state(things: list[str], state: Annotated[Any, InjectedState]) -> list[str]:
    """Look."""
    raise AssertionError


def many(written: Any) -> BaseTool:
    """A tool of a function."""
    return tool("many")(written)


def test_what_cannot_be_a_batch_form() -> None:
    """It must be another tool, that takes one list of what the tool takes, and returns a list, and needs no more."""

    def two(a: list[str], b: list[str]) -> list[str]:
        """Look."""
        raise AssertionError

    def numbers(a: list[int]) -> list[str]:
        """Look."""
        raise AssertionError

    def text(a: list[str]) -> str:
        """Look."""
        raise AssertionError

    def nothing() -> list[str]:
        """Look."""
        raise AssertionError

    cases: Sequence[tuple[Any, Sequence[BaseTool], str]] = [
        ("many", [], "must be the name of another of the tools, not 'many'"),
        ("one", [], "must be the name of another of the tools, not 'one'"),
        (3, [], "must be the name of another of the tools, not 3"),
        ("many", [many(two)], r"it must take one list\[str\], and it takes a: list\[str\], b: list\[str\]"),
        ("many", [many(numbers)], r"it must take one list\[str\], and it takes a: list\[int\]"),
        ("many", [many(nothing)], r"it must take one list\[str\], and it takes nothing"),
        ("many", [many(text)], "it must return a list, and it returns str"),
        ("needs_state", [needs_state], "'needs_state' is given more than its arguments"),
    ]
    for named, others, said in cases:
        each = one.model_copy(update={"metadata": {"batch": named}})
        with pytest.raises(ConfigurationError, match=said):
            create_llm_compiler(ScriptedModel(), [each, *others])
    each = one.model_copy(update={"metadata": {"batch": "needs_state", "batch_size": 0}})
    with pytest.raises(ConfigurationError, match="batch_size"):
        create_llm_compiler(ScriptedModel(), [each, needs_state])


def test_a_batch_form_does_not_ask() -> None:
    """An `interrupt()` there could not be answered for one element: its calls fail and say so."""

    def asks(things: list[str]) -> list[str]:
        """Look."""
        return [str(interrupt("?")) for _ in things]

    each = one.model_copy(update={"metadata": {"batch": "many"}})
    model = ScriptedModel(['1. one("a")\n2. one("b")', "Finish: so"])
    graph = create_llm_compiler(model, [each, many(asks)], checkpointer=InMemorySaver())
    final = run_virtual(lambda: graph.ainvoke(QUESTION, THREAD))
    assert all("use interrupt_on for the tool itself" in error for error in errors(final))
