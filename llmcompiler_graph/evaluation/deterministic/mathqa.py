"""MathQA-DAG: word problems with gold call graphs; run as plans with real tools, do they give the gold answer?

Each graph becomes plan text: `3. divide($2, $1)`. Every call takes one second on the virtual clock, so that the time of
a plan is its depth and the number of its calls is what a sequential agent would take. An answer counts as solved within
1 % of the gold answer or of the option it stands for (source: MathQA, Apache-2.0).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_core.tools import BaseTool, StructuredTool

from llmcompiler_graph.evaluation.data import json_lines_of
from llmcompiler_graph.evaluation.deterministic.on_virtual_clock import run_plans
from llmcompiler_graph.evaluation.deterministic.rows import Row

__all__ = ("OPERATIONS", "Problem", "operation_tools", "plan_text", "read", "rows")

SECONDS_PER_CALL = 1.0

OPERATIONS: Mapping[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "sqrt": math.sqrt,
    "floor": math.floor,
    "log": math.log,
    "inverse": lambda a: 1 / a,
    "negate": lambda a: -a,
    "min": min,
    "max": max,
    "reminder": lambda a, b: a % b,
    "factorial": lambda a: math.factorial(_whole(a)),
    "choose": lambda a, b: math.comb(_whole(a), _whole(b)),
    "permutation": lambda a, b: math.perm(_whole(a), _whole(b)),
    "gcd": lambda a, b: math.gcd(_whole(a), _whole(b)),
    "lcm": lambda a, b: math.lcm(_whole(a), _whole(b)),
    "speed": lambda distance, time: distance / time,
    "stream_speed": lambda downstream, upstream: (downstream + upstream) / 2,
    "square_area": lambda side: side**2,
    "rectangle_area": lambda a, b: a * b,
    "rectangle_perimeter": lambda a, b: 2 * (a + b),
    "triangle_area": lambda base, height: base * height / 2,
    "quadrilateral_area": lambda diagonal, a, b: diagonal * (a + b) / 2,
    "circle_area": lambda radius: math.pi * radius**2,
    "circumface": lambda radius: 2 * math.pi * radius,
    "surface_cube": lambda edge: 6 * edge**2,
    "surface_rectangular_prism": lambda a, b, c: 2 * (a * b + b * c + a * c),
    "surface_cylinder": lambda radius, height: 2 * math.pi * radius * (radius + height),
    "volume_cube": lambda edge: edge**3,
    "volume_rectangular_prism": lambda a, b, c: a * b * c,
    "volume_cylinder": lambda radius, height: math.pi * radius**2 * height,
    "cube_edge_by_volume": lambda volume: volume ** (1 / 3),
}
"""What the dataset's operations do, by its own names for them (`circumface` is a circle's circumference, `stream_speed`
the speed in still water)."""


def _whole(number: float) -> int:
    if number != round(number):
        msg = f"takes whole numbers, not {number}"
        raise ValueError(msg)
    return round(number)


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of the dataset."""

    id: str
    """Its id."""
    calls: Sequence[tuple[str, Sequence[float | str]]]
    """Its call graph: `(operation, arguments)`, where `"#k"` is what call `k` (from 0) gave."""
    answers: Sequence[float]
    """What counts as right: the gold answer, and the option it stands for."""


def read(path: Path) -> list[Problem]:
    """Read the problems of a JSONL file."""
    return [
        Problem(
            each["id"],
            [(call["op"], call["args"]) for call in each["calls"]],
            [float(each["gold_answer"]), float(each["option_value"])],
        )
        for each in json_lines_of(path)
    ]


def plan_text(problem: Problem) -> str:
    """Write a call graph as plan text.

    >>> print(plan_text(Problem("0", [("add", [1.0, 2.0]), ("divide", ["#0", 4.0])], [0.75])))
    1. add(1.0, 2.0)
    2. divide($1, 4.0)
    """
    lines = []
    for index, (operation, arguments) in enumerate(problem.calls, 1):
        written = [f"${int(each[1:]) + 1}" if isinstance(each, str) else repr(each) for each in arguments]
        lines.append(f"{index}. {operation}({', '.join(written)})")
    return "\n".join(lines)


def operation_tools() -> list[BaseTool]:
    """Every operation as a LangChain tool of numbers; a call takes a second."""
    return [_tool(name, operation) for name, operation in OPERATIONS.items()]


def _tool(name: str, operation: Callable[..., float]) -> BaseTool:
    parameters = _PARAMETERS.get(name) or operation.__code__.co_varnames[: operation.__code__.co_argcount]

    async def call(**given: float) -> float:
        await asyncio.sleep(SECONDS_PER_CALL)
        return operation(*given.values())

    schema = {
        "type": "object",
        "properties": {parameter: {"type": "number"} for parameter in parameters},
        "required": list(parameters),
    }
    return StructuredTool(
        name=name,
        description=f"{name} of {', '.join(parameters)}.",
        args_schema=schema,
        coroutine=call,
        metadata={"outputSchema": {"type": "number"}, "readOnlyHint": True},
    )


_PARAMETERS = {"sqrt": ("a",), "floor": ("a",), "log": ("a",), "min": ("a", "b"), "max": ("a", "b")}


def rows(problems: Iterable[Problem]) -> list[Row]:
    """Run all problems: how many are solved, the width reached, and the time against one call after another."""
    listed = list(problems)
    ran = run_plans(operation_tools(), map(plan_text, listed))
    n, solved, widths, reached, short = len(listed), 0, 0, 0, 0
    one_by_one = parallel = 0.0
    for problem, one in zip(listed, ran, strict=True):
        value = one.tasks[-1]["value"]
        solved += not one.problems and any(_near(value, answer) for answer in problem.answers)
        calls, width, depth = _shape(problem)
        widths += width
        reached += min(one.peak, width)
        short += one.makespan <= depth * SECONDS_PER_CALL * (1 + 1e-9)
        one_by_one += calls * SECONDS_PER_CALL
        parallel += one.makespan
    note = "calls that are equal, or turn out to be, are made once, on both sides where the graph shows it"
    return [
        Row("MathQA-DAG", "gold", n, "solved (within 1 %)", solved, n, "goal"),
        Row("MathQA-DAG", "gold", n, "no longer than the longest chain", short, n, "goal"),
        Row("MathQA-DAG", "gold", n, "calls at the same time / width of the graph", reached / widths, 1.0, "goal"),
        Row("MathQA-DAG", "gold", n, "one by one / ours, total time", one_by_one / parallel, note=note),
    ]


def _near(value: object, answer: float) -> bool:
    return isinstance(value, int | float) and abs(value - answer) <= 0.01 * abs(answer) + 1e-9


def _shape(problem: Problem) -> tuple[int, int, int]:
    """The calls that have to be made (equal ones are one), the most of one depth, and those of the longest chain."""
    made: list[str] = []
    depths: dict[str, int] = {}
    for operation, arguments in problem.calls:
        needs = [made[int(each[1:])] for each in arguments if isinstance(each, str)]
        written = [made[int(each[1:])] if isinstance(each, str) else repr(each) for each in arguments]
        made.append(f"{operation}({', '.join(written)})")
        depths[made[-1]] = 1 + max((depths[need] for need in needs), default=0)
    levels = list(depths.values())
    return len(levels), max(map(levels.count, levels)), max(levels)
