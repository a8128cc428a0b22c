"""Plans with examples made from the tools, and with none, live: are the right calls planned?

python tests/benchmarks/made_examples.py [--model local]

A plan is right if it has no diagnostics, its calls of the reading tool are those of the things asked about and no
others (none copied from an example), and its last call is of the tool expected, which depends on all of them.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from typing_extensions import TypedDict

from llmcompiler_graph import Plan, PlanExample, create_llm_compiler
from llmcompiler_graph.state import Round, task_from_record


class Product(TypedDict):
    """What is known of a product."""

    name: str
    price: float
    weight_kg: float


def temperature(city: str) -> float:
    """The temperature in a city, in degrees Celsius."""
    return 0.0


def difference(a: float, b: float) -> float:
    """How much larger a is than b."""
    return a - b


def product(name: str) -> Product:
    """Price and weight of a product in the shop."""
    return {"name": name, "price": 0.0, "weight_kg": 0.0}


def total(amounts: list[float]) -> float:
    """Add numbers up."""
    return sum(amounts)


def find_user(name: str) -> dict[str, int]:
    """Find a user by name: the user's `id`."""
    return {"id": 1}


def balance(user_id: int) -> float:
    """The balance of a user's account."""
    return 0.0


class Question(NamedTuple):
    """A question, the tools for it, and the plan wanted."""

    text: str
    tools: Sequence[Callable[..., Any]]
    reads: str
    """The tool that reads."""
    things: set[str]
    """What it is called with."""
    last: str
    """The tool called last."""


WEATHER, SHOP, BANK = (temperature, difference), (product, total), (find_user, balance)
QUESTIONS = [
    Question(
        "How much warmer is it in Lisbon than in Bergen?", WEATHER, "temperature", {"Lisbon", "Bergen"}, "difference"
    ),
    Question(
        "Is it colder in Quito or in Nairobi, and by how much?",
        WEATHER,
        "temperature",
        {"Quito", "Nairobi"},
        "difference",
    ),
    Question("What do a lamp, a chair and a rug cost together?", SHOP, "product", {"lamp", "chair", "rug"}, "total"),
    Question("How heavy are a kettle and a toaster together?", SHOP, "product", {"kettle", "toaster"}, "total"),
    Question("How much money does Ines have?", BANK, "find_user", {"Ines"}, "balance"),
    Question("What is the temperature in Cusco?", WEATHER, "temperature", {"Cusco"}, "temperature"),
]


def is_right(question: Question, plan: Plan) -> bool:
    """Whether a plan without diagnostics has the calls it should have."""
    called = [str(v) for task in plan if task.tool == question.reads for v in task.arguments.values()]
    needs: dict[int, set[int]] = {}
    for task in plan:
        needs[task.index] = {task.index}.union(*(needs.get(n, set()) for n in task.dependencies))
    last = plan.tasks[-1] if plan.tasks else None
    wanted = {each.lower() for each in question.things}
    return (
        last is not None
        and last.tool == question.last
        and sorted(each.lower() for each in called) == sorted(wanted)
        and {task.index for task in plan if task.tool == question.reads} <= needs[last.index]
    )


async def planned(question: Question, model: str, examples: tuple[PlanExample, ...] | None) -> tuple[Round, Plan]:
    """Let the planner plan once, and run nothing."""
    graph = create_llm_compiler(model, question.tools, examples=examples, max_repairs=0, interrupt_after=["planner"])
    final = await graph.ainvoke({"messages": [("user", question.text)]})
    return final["rounds"][-1], Plan(tuple(task_from_record(task) for task in final["tasks"] if task["text"]))


async def main() -> None:
    """Plan for every question, with and without made examples."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="local")
    given = arguments.parse_args()
    ways: dict[str, tuple[PlanExample, ...] | None] = {"made": None, "none": ()}
    right = dict.fromkeys(ways, 0)
    for question in QUESTIONS:
        for way, examples in ways.items():
            written, plan = await planned(question, given.model, examples)
            good = not written["diagnostics"] and is_right(question, plan)
            right[way] += good
            shown = written["plan"].strip().replace("\n", " ⏎ ")
            print(f"{'✓' if good else '✗'} {way:4} {question.text} → {shown}", flush=True)
    for way, count in right.items():
        print(f"{given.model}, examples {way}: {count} of {len(QUESTIONS)} plans right")


if __name__ == "__main__":
    asyncio.run(main())
