"""What the benchmark of plans for AsyncHow's tasks takes for right."""

import asyncio
from typing import Any

import pytest

from llmcompiler_graph.evaluation.deterministic.asynchow import StepGraph
from llmcompiler_graph.testing import ScriptedModel
from tests.benchmarks.asynchow_planner import judged, planned, question

SECONDS = {"1": 10.0, "2": 60.0, "3": 5.0, "4": 30.0}
GRAPH = StepGraph(
    "0", dict.fromkeys(SECONDS, "work"), SECONDS, {"1": [], "2": [], "3": ["1", "2"], "4": ["1"]}, 65, 105
)
FIRST = "1. do(step=1, needs=[])\n2. do(step=2, needs=[])\n"


def judge(plan: str) -> dict[str, Any]:
    """Judge a reply of the planner."""
    record = asyncio.run(planned(GRAPH, question(GRAPH, "How to work"), ScriptedModel([plan, "Finish: done"])))
    return judged(GRAPH, {"system": "plan", **record})


@pytest.mark.parametrize(
    ("rest", "verdict"),
    [
        (
            '3. do(step=3, needs=["$1", "$2"])\n4. do(step=4, needs=["$1"])',
            {"valid": True, "edges": True, "seconds": 65},
        ),
        (
            '3. do(step=4, needs=["$1"])\n4. do(step=3, needs=["$2", "$3"])',
            {"valid": True, "edges": False, "seconds": 65},
        ),
        (
            '3. do(step=4, needs=["$1", "$2"])\n4. do(step=3, needs=["$2", "$1"])',
            {"valid": True, "edges": False, "seconds": 90},
        ),
        ('3. do(step=3, needs=["$2"])\n4. do(step=4, needs=["$1"])', {"valid": False, "edges": False, "seconds": None}),
        ('3. do(step=3, needs=["$1", "$2"])', {"valid": False, "edges": False, "seconds": None}),
        ("I cannot.", {"valid": False, "edges": False, "seconds": None}),
    ],
)
def test_plans_are_judged_by_their_order(rest: str, verdict: dict[str, Any]) -> None:
    """A missing order or step makes a plan invalid; an order too many may make it slower."""
    assert judge(FIRST + rest) == verdict


@pytest.mark.parametrize(
    ("steps", "valid"), [(["1", "4", "2", "3"], True), (["1", "3", "2", "4"], False), (["1", "2", "3"], False)]
)
def test_calls_one_after_the_other_take_the_sum(steps: list[str], valid: bool) -> None:
    """A sequential agent that keeps the order takes all durations together."""
    verdict = judged(GRAPH, {"system": "react", "steps": steps, "problems": []})
    assert (verdict["valid"], verdict["seconds"]) == (valid, 105 if valid else None)
