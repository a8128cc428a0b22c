"""A procedure that is called does what its plan does, written out: the same calls, observations and times."""

import asyncio
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.checking.checker import check_plan
from llmcompiler_graph.core.checking.procedures import check_procedures
from llmcompiler_graph.core.language.parser import PlanParser, parse_plan
from llmcompiler_graph.core.language.plan import Observation, Plan, Task, ToolSpec
from llmcompiler_graph.core.language.procedures import parse_procedure
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.schedule.executor import run_plan
from llmcompiler_graph.core.schedule.instructions import Start
from llmcompiler_graph.core.schedule.unit import TaskFetchingUnit
from llmcompiler_graph.testing import run_virtual

TOOLS = (
    ToolSpec("get", {"x": {}, "y": {}}, frozenset({"x"}), read_only=True),
    ToolSpec("put", {"x": {}, "y": {}}, frozenset({"x"}), destructive=True),
    ToolSpec("all", {}, frozenset(), {"type": "array"}, read_only=True),
)
SPECS = {tool.name: tool for tool in TOOLS}
Ran = tuple[dict[int, tuple[Observation, float]], list[tuple[str, str]]]


def run(plan: Plan) -> Ran:
    """Run a plan on the virtual clock; give what each task returned and when, and the calls with effects in order."""

    async def main() -> Ran:
        loop = asyncio.get_running_loop()
        effects: list[tuple[str, str]] = []
        ended: dict[int, float] = {}

        async def call(start: Start) -> Observation:
            tool = next(task.tool for task in plan if task.index == start.index)
            if tool == "put":
                effects.append((tool, repr(start.arguments)))
            said: JSON = ["a", "b", "c"] if tool == "all" else repr((tool, sorted(start.arguments.items())))
            await asyncio.sleep(1 + len(str(said)) % 5)
            if "fail" in str(start.arguments.get("x")):
                return Observation("failed", error="it fails")
            return Observation("done", said)

        def note(moment: str, index: int) -> None:
            if moment in ("done", "failed", "skipped"):
                ended[index] = loop.time()

        seen = await run_plan(plan, call, TaskFetchingUnit(TOOLS), on_event=note)
        return {index: (each, ended[index]) for index, each in seen.items()}, effects

    return run_virtual(main)


@st.composite
def bodies(draw: st.DrawFn) -> list[tuple[str, list[str], list[int]]]:
    """Tasks of a procedure of two parameters: each its tool, its arguments, and what it comes after."""
    tasks = []
    for index in range(1, draw(st.integers(1, 6)) + 1):
        values = ["${a}", "${b}", '"text ${a} and ${b}"', "7", '["${a}", 1]', *(f"${{{n}}}" for n in range(1, index))]
        count = draw(st.integers(1, 2))
        arguments = [draw(st.sampled_from(values)) for _ in range(count)]
        after = draw(st.lists(st.integers(1, index - 1), unique=True, max_size=2)) if index > 1 else []
        tasks.append((draw(st.sampled_from(["get", "get", "put"])), arguments, after))
    tasks.append(("get", ["${a}", "${b}"], []))  # both parameters are used
    return tasks


def written(body: list[tuple[str, list[str], list[int]]], first: int, values: Mapping[str, str]) -> list[str]:
    """The lines of a body from a number on, with other text for the parameters."""
    lines = []
    for offset, (tool, arguments, after) in enumerate(body):
        text = ", ".join(arguments)
        for n in range(len(body), 0, -1):
            text = text.replace(f"${{{n}}}", f"${{T{n}}}")
        for name, value in values.items():
            text = text.replace(f"${{{name}}}", value)
        for n in range(len(body), 0, -1):
            text = text.replace(f"${{T{n}}}", f"${{{first + n - 1}}}")
        behind = f" after {', '.join(f'${first + n - 1}' for n in after)}" if after else ""
        lines.append(f"{first + offset}. {tool}({text}){behind}")
    return lines


def called(body: list[tuple[str, list[str], list[int]]], text: str) -> Plan:
    """The plan of a text that calls the procedure `p`, inlined."""
    head = "\n".join(["p(a: Any, b: Any):", *(f"  {line}" for line in written(body, 1, {}))])
    checked = check_procedures([parse_procedure(head)], TOOLS)["p"]
    parser = PlanParser(procedures={"p": checked.width})
    tasks: list[Task] = []
    for event in [*parser.feed(text), *parser.close()]:
        assert isinstance(event, Task)
        if event.tool == "p":
            call = Task(event.index, "p", dict(zip("ab", event.positional, strict=True)), reserved=event.reserved)
            tasks += checked.inlined(call, SPECS)
        else:
            tasks.append(event)
    return check_plan(Plan(tuple(tasks)), TOOLS)


@given(body=bodies(), a=st.sampled_from(["3", "x y", "fail", "${1}"]), b=st.sampled_from(["4", "K2", "${1}"]))
@settings(max_examples=150, deadline=None)
def test_a_call_is_its_plan_written_out(body: list[tuple[str, list[str], list[int]]], a: str, b: str) -> None:
    """Numbers, arguments, order of effects, failures, times: the inlined plan is the one that a model would write."""

    def quoted(value: str) -> str:
        return value if value.startswith("$") else f'"{value}"'

    inlined = called(body, f'1. get("first")\n2. p({quoted(a)}, {quoted(b)})\n3. put("$2")\n4. join()')
    quoting = [(tool, [_quote(each) for each in given], after) for tool, given, after in body]
    lines = ['1. get("first")', *written(quoting, 2, {"a": a, "b": b})]
    last = len(body) + 1
    plan = check_plan(parse_plan("\n".join([*lines, f'{last + 1}. put("${last}")'])), TOOLS)
    assert str(inlined) == str(plan)
    assert run(inlined) == run(plan)


def _quote(argument: str) -> str:
    """An argument as text where a parameter's text is put in: a reference that is all of a string keeps its type."""
    return f'"{argument}"' if argument in ("${a}", "${b}") else argument


@given(body=bodies())
@settings(max_examples=50, deadline=None)
def test_a_call_for_every_element(body: list[tuple[str, list[str], list[int]]]) -> None:
    """Of a list, each element has what a call for it alone returns."""
    reading = [("get", given, after) for _, given, after in body]
    inlined = called(reading, '1. all()\n2. p("${1[*]}", "K2")')
    seen, _ = run(inlined)
    results = []
    for element in "abc":
        alone, _ = run(called(reading, f'1. p("{element}", "K2")'))
        results.append(alone[len(body)][0].value)
    assert seen[len(body) + 1][0].value == results


@given(body=bodies(), chunk=st.integers(1, 7))
@settings(max_examples=50, deadline=None)
def test_numbers_do_not_depend_on_the_chunks(body: list[tuple[str, list[str], list[int]]], chunk: int) -> None:
    """However a plan with calls of procedures is cut, its tasks have the same numbers, and none has one twice."""
    text = '1. p(1, 2)\n5. get("$1")\n3. p("$5", "$1")\n4. p("$3", 1)\n6. get(["$5", "$4", "$3", "$1"])'
    whole = PlanParser(procedures={"p": len(body)})
    events = [*whole.feed(text), *whole.close()]
    parser = PlanParser(procedures={"p": len(body)})
    pieces = [event for n in range(0, len(text), chunk) for event in parser.feed(text[n : n + chunk])]
    assert [*pieces, *parser.close()] == events
    tasks = [event for event in events if isinstance(event, Task)]
    numbers = [n for task in tasks for n in (*task.reserved, task.index)]
    assert len(set(numbers)) == len(numbers) == 3 * len(body) + 2
    assert tasks[-1].dependencies == tuple(sorted(task.index for task in tasks[:-1]))
