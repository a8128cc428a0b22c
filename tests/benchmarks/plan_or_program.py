"""Twelve tasks as plans (procedures, guards, repetition) and as programs in the evaluation's sandbox, also disturbed.

python -m tests.benchmarks.plan_or_program

No model: plans and programs are written by hand, what is compared is what becomes of them. A program runs in a
LangGraph node with a checkpointer, as a plan does. Its tools ask for approvals by `interrupt()`, the only way there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.evaluation.records import Benchmark, Sample, Score
from llmcompiler_graph.evaluation.systems.programmatic import programmatic
from llmcompiler_graph.testing import ScriptedModel, run_virtual

PROCEDURE = '''pay_back(id: int):
  """Refund an order if it is large."""
  1. order("${id}")
  2. refund("${id}", "${1.total}") when ${1.total} > 100
'''


FOR_ALL = '''pay_in_full(id: int):
  """Refund an order."""
  1. order("${id}")
  2. refund("${id}", "${1.total}")
'''


class Task(NamedTuple):
    """One task, both ways."""

    title: str
    plan: str
    program: str
    wrong: tuple[str, str, str | None]
    """What of the plan is replaced by a value of a wrong type, what of the program, and by what."""


TASKS = [
    Task(
        "a sum",
        "1. order(1)\n2. order(2)\n3. add(${1.total}, ${2.total})",
        "a, b = await asyncio.gather(order(1), order(2))\nprint(await add(a['total'], b['total']))",
        ("add(${1.total}, ", "add(a['total'], ", "add('many', "),
    ),
    Task(
        "a refund",
        "1. order(3)\n2. refund(3, ${1.total})",
        "a = await order(3)\nprint(await refund(3, a['total']))",
        ("refund(3, ${1.total})", "refund(3, a['total'])", "refund(3, 'all')"),
    ),
    Task(
        "a condition that holds",
        "1. order(3)\n2. refund(3, ${1.total}) when ${1.total} > 100\n3. note('paid')",
        "a = await order(3)\nif a['total'] > 100:\n    print(await refund(3, a['total']))\nprint(await note('paid'))",
        ("refund(3, ${1.total})", "refund(3, a['total'])", "refund(3, 'all')"),
    ),
    Task(
        "a condition that does not",
        "1. order(1)\n2. refund(1, ${1.total}) when ${1.total} > 100\n3. add(1, 2)",
        "a = await order(1)\nif a['total'] > 100:\n    print(await refund(1, a['total']))\nprint(await add(1, 2))",
        ("add(1, 2)", "add(1, 2)", "add('one', 2)"),
    ),
    Task(
        "every element",
        "1. ids()\n2. order(${1[*]})",
        "print(await asyncio.gather(*[order(n) for n in await ids()]))",
        ("order(${1[*]})", "[order(n) for n in await ids()]", None),
    ),
    Task(
        "every element, then an effect",
        "1. ids()\n2. order(${1[*]})\n3. refund(1, ${2[0].total})",
        "a = await asyncio.gather(*[order(n) for n in await ids()])\nprint(a, await refund(1, a[0]['total']))",
        ("refund(1, ${2[0].total})", "refund(1, a[0]['total'])", "refund(1, 'all')"),
    ),
    Task(
        "a chain",
        "1. add(1, 2)\n2. add($1, 3)\n3. add($2, 4)\n4. order(1)\n5. add($3, ${4.total})",
        "b = await order(1)\nprint(await add(await add(await add(await add(1, 2), 3), 4), b['total']))",
        ("add($3, ${4.total})", "4), b['total'])", "add($3, 'b')"),
    ),
    Task(
        "a procedure",
        "1. pay_back(3)\n2. note('done') after $1",
        "async def pay_back(n):\n    a = await order(n)\n"
        "    if a['total'] > 100:\n        return await refund(n, a['total'])\n"
        "print(await pay_back(3), await note('done'))",
        ("pay_back(3)", "pay_back(3)", "pay_back('three')"),
    ),
    Task(
        "a procedure for every element",
        "1. pay_in_full([3, 4, 5][*])",
        "async def pay_in_full(n):\n    a = await order(n)\n    return await refund(n, a['total'])\n"
        "print(await asyncio.gather(*[pay_in_full(n) for n in [3, 4, 5]]))",
        ("[3, 4, 5]", "[3, 4, 5]", "[3, 'four', 5]"),
    ),
    Task(
        "asked until it is done",
        "1. order(3)\n2. status(3) until ${2.state} == 'done' max 9 every 5\n3. refund(3, ${1.total}) after $2",
        "a = await order(3)\nfor _ in range(9):\n    s = await status(3)\n    if s['state'] == 'done':\n        break\n"
        "print(await refund(3, a['total']))",
        ("refund(3, ${1.total})", "refund(3, a['total'])", "refund(3, 'all')"),
    ),
    Task(
        "two effects in order",
        "1. order(3)\n2. order(4)\n3. refund(3, ${1.total})\n4. refund(4, ${2.total})",
        "a, b = await asyncio.gather(order(3), order(4))\n"
        "print(await refund(3, a['total']), await refund(4, b['total']))",
        ("refund(4, ${2.total})", "refund(4, b['total'])", "refund(4, 'all')"),
    ),
    Task(
        "a sum of elements, noted",
        "1. ids()\n2. order(${1[*]})\n3. add(${2[0].total}, ${2[4].total})\n4. note('$3')",
        "a = await asyncio.gather(*[order(n) for n in await ids()])\n"
        "print(await note(str(await add(a[0]['total'], a[4]['total']))))",
        ("add(${2[0].total}, ", "add(a[0]['total'], ", "add('many', "),
    ),
]


class Tools:
    """The tools, and what was called."""

    def __init__(self) -> None:
        self.begun = 0
        self.calls: list[str] = []
        self.effects: list[str] = []
        self.polls = 0
        self.asks = False  # whether effects ask a human themselves
        self.fails = 0  # the order whose look-up fails
        self.on_call: Callable[[], None] = lambda: None

    async def _called(self, what: str) -> None:
        self.begun += 1
        await asyncio.sleep(1)
        self.calls.append(what)
        self.on_call()

    def made(self) -> list[BaseTool]:
        """Make them."""

        async def ids() -> list[int]:
            await self._called("ids")
            return [1, 2, 3, 4, 5]

        async def order(id: int) -> dict[str, float]:
            await self._called(f"order {id}")
            if id == self.fails:
                raise ConnectionError(f"order {id}")
            return {"total": 60.0 * id}

        async def status(id: int) -> dict[str, str]:
            await self._called(f"status {id}")
            self.polls += 1
            return {"state": "done" if self.polls > 2 else "open"}

        async def add(a: float, b: float) -> float:
            await self._called(f"add {a} {b}")
            return a + b

        async def refund(id: int, amount: float) -> str:
            return await self._effect(f"refund {id} {amount}")

        async def note(text: str) -> str:
            return await self._effect(f"note {text}")

        made = []
        for function, hints in (
            (ids, True),
            (order, True),
            (status, True),
            (add, True),
            (refund, False),
            (note, False),
        ):
            metadata = {"readOnlyHint": True} if hints else {"destructiveHint": True}
            description = function.__name__
            made.append(StructuredTool.from_function(coroutine=function, description=description, metadata=metadata))
        return list(made)

    async def _effect(self, what: str) -> str:
        if self.asks:
            interrupt(what)
        await self._called(what)
        self.effects.append(what)
        return what


class Ended(NamedTuple):
    """What became of a run."""

    calls: int
    before: int
    """Calls begun by the time that something wrong was found."""
    kept: int
    """Results that reach the model that answers."""
    right: bool
    """Whether all was done, once."""


class State(TypedDict, total=False):
    """The state of the graph around a program."""

    output: str


def as_plan(tools: Tools, plan: str, *, approve: bool = False) -> Any:
    """A graph that runs the plan."""
    effects: Any = {"refund": True, "note": True} if approve else None
    model = ScriptedModel([plan, "Finish: done"])
    return create_llm_compiler(
        model,
        tools.made(),
        procedures=[PROCEDURE, FOR_ALL],
        max_repairs=0,
        interrupt_on=effects,
        checkpointer=InMemorySaver(),
    )


def as_program(task: Task, tools: Tools, program: str, *, approve: bool = False) -> Any:
    """A graph that runs the program."""
    tools.asks = approve
    system = programmatic()

    async def node(state: State) -> State:
        given = {"name": "tasks", "load": lambda _: [], "score": lambda *_: Score(0, 0)}
        benchmark = Benchmark(tools=lambda *_: tools.made(), **given)  # type: ignore[arg-type]
        seen: list[str] = []

        def end(messages: Any) -> AIMessage:
            seen.append(str(messages[-1].content))
            return AIMessage("Answer: done")

        model = ScriptedModel([f"```python\nimport asyncio\n{program}\n```", end])
        answer = await system.answer(Sample("1", task.title, None), benchmark, model)
        return {"output": f"{answer.errors or ''}{seen[0]}"}

    graph = StateGraph(State)
    graph.add_node("program", node)
    graph.add_edge(START, "program")
    graph.add_edge("program", END)
    return graph.compile(checkpointer=InMemorySaver())


CONFIG: Any = {"configurable": {"thread_id": "1"}}


async def run(graph: Any, given: Any) -> Any:
    """Run a graph to its end, approving all it asks for; give the final state."""
    final = await graph.ainvoke(given, CONFIG)
    while waiting := final.get("__interrupt__"):
        value = waiting[0].value
        size = len(value["action_requests"]) if isinstance(value, dict) else 1
        answer: Any = {"decisions": [{"type": "approve"}] * size} if isinstance(value, dict) else True
        final = await graph.ainvoke(Command(resume=answer), CONFIG)
    return final


async def watched(graph: Any, given: Any, tools: Tools) -> tuple[Any, int]:
    """Run a graph that asks nobody; give the final state, and how many calls had begun when something failed."""
    before: int | None = None
    async for mode, item in graph.astream(given, CONFIG, stream_mode=["custom", "values"]):
        if mode == "values":
            final = item
        elif before is None and item["event"] == "failed":
            before = tools.begun
    return final, tools.begun if before is None else before


def ended(task: Task, way: str, disturbance: str) -> Ended:
    """Run a task one way, disturbed."""
    tools = Tools()
    text = task.plan if way == "plan" else task.program
    if disturbance == "type" and task.wrong[2] is not None:
        target = task.wrong[0] if way == "plan" else task.wrong[1]
        new = task.wrong[2]
        if way == "program" and task.title == "a chain":
            new = "4), 'b')"
        assert target in text, (task.title, way)
        text = text.replace(target, new, 1)
    if disturbance == "failure":
        tools.fails = 3 if "order(3)" in task.plan or "pay_" in task.plan else (2 if "ids()" in task.plan else 1)
    question: Any = {"messages": [("user", task.title)]} if way == "plan" else {"output": ""}

    async def main() -> tuple[Any, int]:
        approve = disturbance == "approval"
        graph = (
            as_plan(tools, text, approve=approve) if way == "plan" else as_program(task, tools, text, approve=approve)
        )
        if disturbance == "type":
            return await watched(graph, question, tools)
        if disturbance != "crash":
            return await run(graph, question), 0
        going = asyncio.ensure_future(run(graph, question))
        half = max(1, len(_expected(task)) // 2)

        def kill() -> None:
            if len(tools.calls) == half:
                asyncio.get_running_loop().call_later(0.5, going.cancel)

        tools.on_call = kill
        with suppress(asyncio.CancelledError):
            return await going, 0
        return await run(graph, None), 0

    final, before = run_virtual(main)
    if way == "plan":
        tasks = final["tasks"]
        values = [each["value"] if isinstance(each["value"], list) else [each["value"]] for each in tasks]
        kept = sum(value is not None for each in values for value in each)
    else:  # it prints at its end, or its error is all that there is
        kept = 0 if "error" in final["output"] or "Error" in final["output"] else len(tools.calls)
    return Ended(len(tools.calls), before, kept, sorted(tools.effects) == _effects(task))


_known: dict[str, tuple[list[str], list[str]]] = {}


def _expected(task: Task) -> list[str]:
    """The calls of the plan that is not disturbed."""
    if task.title not in _known:
        tools = Tools()

        async def main() -> None:
            await run(as_plan(tools, task.plan), {"messages": [("user", task.title)]})

        run_virtual(main)
        _known[task.title] = tools.calls, sorted(tools.effects)
    return _known[task.title][0]


def _effects(task: Task) -> list[str]:
    _expected(task)
    return _known[task.title][1]


def table() -> list[tuple[str, str, str]]:
    """What is measured, with plans and with programs, over all tasks."""
    ways = ("plan", "program")
    runs = {
        (way, what): [ended(task, way, what) for task in TASKS]
        for way in ways
        for what in ("none", "approval", "crash", "type", "failure")
    }
    usual = [len(_expected(task)) for task in TASKS]

    def total(values: Iterable[int]) -> str:
        return str(sum(values))

    def again(way: str, what: str) -> str:
        return total(each.calls - n for each, n in zip(runs[way, what], usual, strict=True))

    def right(way: str, what: str) -> str:
        return total(each.right for each in runs[way, what])

    def wrong(way: str) -> list[Ended]:
        return [each for each, task in zip(runs[way, "type"], TASKS, strict=True) if task.wrong[2]]

    rows: list[tuple[str, Callable[[str], str]]] = [
        ("undisturbed: tasks right", lambda way: right(way, "none")),
        ("approvals: tasks right, each effect once", lambda way: right(way, "approval")),
        ("approvals: calls made again", lambda way: again(way, "approval")),
        ("crash: tasks right, each effect once", lambda way: right(way, "crash")),
        ("crash: calls made again", lambda way: again(way, "crash")),
        (
            "wrong type: found before any call",
            lambda way: f"{sum(e.before == 0 for e in wrong(way))} of {len(wrong(way))}",
        ),
        ("wrong type: calls begun by then", lambda way: total(each.before for each in wrong(way))),
        ("a failing look-up: results that reach the answer", lambda way: total(e.kept for e in runs[way, "failure"])),
    ]
    return [(name, measure("plan"), measure("program")) for name, measure in rows]


def main() -> None:
    """Print the table."""
    print("| 12 tasks | plans | programs |\n|---|---|---|")
    for row in table():
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
