"""AsyncHow with a planner, live: everyday tasks with durations and an order, planned by the embedded model.

    python -m tests.benchmarks.asynchow_planner ask plan react --data DIR --n 40 --out runs/asynchow.jsonl
    python -m tests.benchmarks.asynchow_planner table --data DIR runs/asynchow.jsonl

A question lists the steps of a task, how long each takes, and which must be finished before which. `plan` is the first
plan of our planner, with its default grammar: each step is a call that takes what the steps before it returned. `react`
makes one call after the other. Both have the same two worked examples. Systems take turns on each question; the same
command goes on where it was stopped.

Columns: plans that could be used whole; each step once and none before what it needs (*valid*); the order exactly that
of the question, by what comes before what (*edges right*); and of those that are valid, the time that the steps take
(of plans: run through the graph on a virtual clock) over the shortest possible. A sequential agent that does
everything right takes the sum of all durations: the last column, for the same questions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import Plan, PlanExample, Task, create_llm_compiler
from llmcompiler_graph.evaluation.benchmarks.react_prompt import REACT
from llmcompiler_graph.evaluation.deterministic import asynchow
from llmcompiler_graph.evaluation.deterministic.asynchow import StepGraph
from llmcompiler_graph.evaluation.deterministic.on_virtual_clock import run_plans
from llmcompiler_graph.evaluation.records import Benchmark, Sample, Score
from llmcompiler_graph.evaluation.systems.react import react
from llmcompiler_graph.evaluation.usage import measured
from llmcompiler_graph.state import task_from_record

FILE = "asynchow/async_dags.jsonl"
Before = set[tuple[str, str]]
"""`{(a, b)}`: a comes before b, directly or not."""


def question(graph: StepGraph, title: str) -> str:
    """The question, with each step and the order.

    >>> cake = StepGraph("0", {"1": "stir", "2": "bake"}, {"1": 60.0, "2": 1800.0}, {"2": ["1"]}, 1860, 1860)
    >>> print(question(cake, "How to make a cake"))
    How to make a cake:
    Step 1. stir
    Step 2. bake
    Step 1 must be finished before step 2.
    Do each step once, as early as possible.
    """
    steps = [f"Step {n}. {name}" for n, name in graph.steps.items()]
    followed = {n: [b for b, needs in graph.needs.items() if n in needs] for n in graph.steps}
    order = [f"Step {a} must be finished before {named(bs)}." for a, bs in followed.items() if bs]
    return "\n".join([f"{title}:", *steps, *order, "Do each step once, as early as possible."])


def named(steps: Sequence[str]) -> str:
    """Name steps: `step 1`, or `steps 1, 2 and 3`."""
    *most, last = steps
    return f"steps {', '.join(most)} and {last}" if most else f"step {last}"


def do(step: int, needs: list[str]) -> str:
    """Do a step; `needs` are what the calls returned that do the steps before it."""
    return f"step {step} is done"


EXAMPLES = (
    PlanExample(
        "How to paint a fence:\nStep 1. buy paint\nStep 2. clean the fence\nStep 3. paint it\nStep 4. let it dry\n"
        "Step 1 must be finished before step 3.\nStep 2 must be finished before step 3.\n"
        "Step 3 must be finished before step 4.\nDo each step once, as early as possible.",
        "Thought: 1 and 2 need nothing, 3 needs 1 and 2, 4 needs 3.\n1. do(step=1, needs=[])\n2. do(step=2, needs=[])\n"
        '3. do(step=3, needs=["$1", "$2"])\n4. do(step=4, needs=["$3"])\n5. join()',
    ),
    PlanExample(
        "How to serve tea:\nStep 1. pour the tea\nStep 2. boil water\nStep 3. lay the table\nStep 4. carry it in\n"
        "Step 5. add water to the leaves\nStep 1 must be finished before step 4.\n"
        "Step 2 must be finished before step 5.\nStep 3 must be finished before step 4.\n"
        "Step 5 must be finished before step 1.\nDo each step once, as early as possible.",
        "Thought: 2 and 3 need nothing, 5 needs 2, 1 needs 5, 4 needs 1 and 3.\n1. do(step=2, needs=[])\n"
        '2. do(step=3, needs=[])\n3. do(step=5, needs=["$1"])\n4. do(step=1, needs=["$3"])\n'
        '5. do(step=4, needs=["$4", "$2"])\n6. join()',
    ),
)


def as_turns(example: PlanExample) -> str:
    """An example as ReAct has it."""
    thought, *calls, _ = example.plan.splitlines()
    steps = [call.partition("step=")[2].partition(",")[0] for call in calls]
    turns = [f"Action: do(step={step})\nObservation: step {step} is done" for step in steps]
    return f"\nQuestion: {example.question}\n{thought}\n" + "\n".join(turns) + "\nAnswer: done\n"


async def planned(graph: StepGraph, text: str, model: Any) -> dict[str, Any]:
    """Our planner's first plan."""
    agent = create_llm_compiler(
        model, [do], examples=EXAMPLES, interrupt_after=["planner"], checkpointer=InMemorySaver()
    )
    final = await agent.ainvoke({"messages": [("user", text)]}, {"configurable": {"thread_id": graph.id}})
    tasks = [task_from_record(record) for record in final["tasks"] if record["text"]]
    problems = [each["message"] for one in final["rounds"] for each in one["diagnostics"]]
    return {"plan": str(Plan(tuple(tasks))), "steps": steps_of(tasks), "needs": needs_of(tasks), "problems": problems}


def steps_of(tasks: Iterable[Task]) -> list[str]:
    """The steps that a plan does, in its order."""
    return [str(task.arguments.get("step")) for task in tasks]


def needs_of(tasks: Sequence[Task]) -> dict[str, list[str]]:
    """`{step: the steps that the plan lets it wait for}`."""
    step = {task.index: str(task.arguments.get("step")) for task in tasks}
    return {step[task.index]: [step[index] for index in task.dependencies if index in step] for task in tasks}


async def acted(graph: StepGraph, text: str, model: Any) -> dict[str, Any]:
    """ReAct's calls, one after the other."""
    steps: list[str] = []

    def do(step: int) -> str:
        """Do a step; the steps before it must be done."""
        steps.append(str(step))
        return f"step {step} is done"

    def tools(_: Sample, __: Any) -> list[BaseTool]:
        return [StructuredTool.from_function(do)]

    benchmark = Benchmark(
        "asynchow",
        load=lambda _: [],
        tools=tools,
        score=lambda *_: Score(0, 0),
        react_prompt=REACT + "".join(map(as_turns, EXAMPLES)),
        max_steps=2 * len(graph.steps) + 2,
    )
    answer = await react().answer(Sample(graph.id, text, ""), benchmark, model)
    return {"steps": steps, "problems": list(answer.errors)}


def closure(needs: Mapping[str, Sequence[str]]) -> Before:
    """What comes before what."""
    pairs = {(a, b) for b, before in needs.items() for a in before}
    while more := {(a, d) for a, b in pairs for c, d in pairs if b == c} - pairs:
        pairs |= more
    return pairs


def judged(graph: StepGraph, record: Mapping[str, Any]) -> dict[str, Any]:
    """What is right in a record, and how long its steps take."""
    wanted, steps = closure(graph.needs), record["steps"]
    once = sorted(steps) == sorted(graph.steps)
    if record["system"] == "react":
        place = {step: n for n, step in enumerate(steps)}
        valid = once and all(place[a] < place[b] for a, b in wanted)
        return {"valid": valid, "edges": False, "seconds": graph.one_by_one if valid else None}
    had = closure(record["needs"])
    valid = once and not record["problems"] and wanted <= had
    return {"valid": valid, "edges": valid and wanted == had, "seconds": took(graph, record) if valid else None}


def took(graph: StepGraph, record: Mapping[str, Any]) -> float:
    """How long a plan takes in the graph, on a virtual clock."""
    as_planned = StepGraph(graph.id, graph.steps, graph.seconds, record["needs"], graph.optimum, graph.one_by_one)
    return run_plans([asynchow.step], [asynchow.plan_text(as_planned)])[0].makespan


def chosen(data: Path, n: int | None, seed: int) -> list[tuple[StepGraph, str]]:
    """Graphs at random, with their titles."""
    titles = {str(each["id"]): each["title"] for each in map(json.loads, (data / FILE).read_text().splitlines())}
    graphs = asynchow.read(data / FILE)
    random.Random(seed).shuffle(graphs)
    return [(graph, titles[graph.id]) for graph in graphs[:n]]


def records_of(path: Path) -> list[dict[str, Any]]:
    """Read JSONL."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def ask(given: argparse.Namespace) -> None:
    """Ask for what the file does not have."""
    known = {(each["id"], each["system"]) for each in records_of(given.out)}
    for graph, title in chosen(given.data, given.n, given.seed):
        for system in given.systems:
            if (graph.id, system) in known:
                continue
            way, began = planned if system == "plan" else acted, time.monotonic()
            with measured() as usage:
                try:
                    found = await way(graph, question(graph, title), given.model)
                except Exception as error:  # of one question: the others are asked all the same
                    found = {"steps": [], "needs": {}, "problems": [f"{type(error).__name__}: {error}"[:500]]}
            record = {
                "id": graph.id,
                "system": system,
                **found,
                "wall_s": round(time.monotonic() - began, 2),
                "model_calls": usage.model_calls,
                "tokens": [usage.tokens_in, usage.tokens_out],
            }
            with given.out.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(system, graph.id, f"{record['wall_s']} s", record["steps"], record["problems"], flush=True)


def table(given: argparse.Namespace) -> None:
    """Print a row for each system, and one for a sequential agent that does everything right."""
    graphs = {graph.id: graph for graph, _ in chosen(given.data, None, 0)}
    records = [record for path in given.files for record in records_of(path)]
    print(
        "| system | asked | read | valid | edges right | time / optimum | model calls | tokens in / out | one by one |"
    )
    print(f"|{' --- |' * 9}")
    for system in dict.fromkeys(record["system"] for record in records):
        rows = [record for record in records if record["system"] == system]
        found = [(graphs[row["id"]], judged(graphs[row["id"]], row)) for row in rows]
        ratios = [one["seconds"] / graph.optimum for graph, one in found if one["valid"]]
        alone = [graph.one_by_one / graph.optimum for graph, one in found if one["valid"]]
        read = sum(not row["problems"] for row in rows)
        valid, edges = (sum(bool(one[what]) for _, one in found) for what in ("valid", "edges"))
        tokens = " / ".join(f"{mean([row['tokens'][side] for row in rows]):,.0f}" for side in (0, 1))
        print(
            f"| {system} | {len(rows)} | {read} | {valid} | {edges} | {mean(ratios):.3f} | "
            f"{mean([row['model_calls'] for row in rows]):.1f} | {tokens} | {mean(alone):.3f} |"
        )


def mean(numbers: Sequence[float]) -> float:
    """The mean; 0 of none."""
    return sum(numbers) / len(numbers) if numbers else 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    asking = commands.add_parser("ask")
    asking.add_argument("systems", nargs="+", choices=("plan", "react"))
    asking.add_argument("--data", type=Path, required=True)
    asking.add_argument("--out", type=Path, required=True)
    asking.add_argument("--n", type=int, default=40)
    asking.add_argument("--seed", type=int, default=7)
    asking.add_argument("--model", default="local")
    asking.set_defaults(do=lambda given: asyncio.run(ask(given)))
    printing = commands.add_parser("table")
    printing.add_argument("files", nargs="+", type=Path)
    printing.add_argument("--data", type=Path, required=True)
    printing.set_defaults(do=table)
    arguments = parser.parse_args()
    arguments.do(arguments)
