"""Gold plans of AsyncHow, MathQA-DAG, NesTools and BFCL through the real parser, checker and graph."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.evaluation.deterministic import asynchow, gold_calls, mathqa
from llmcompiler_graph.evaluation.deterministic.asynchow import StepGraph
from llmcompiler_graph.evaluation.deterministic.gold_calls import GoldCalls
from llmcompiler_graph.evaluation.deterministic.mathqa import Problem
from llmcompiler_graph.evaluation.deterministic.rows import Row
from tests.shared import shared

DIAMOND = StepGraph(
    "0",
    {"1": "boil water", "2": "cut", "3": "cook", "4": "serve"},
    {"1": 600.0, "2": 300.0, "3": 900.0, "4": 60.0},
    {"3": ["1"], "4": ["2", "3"]},
    1560.0,
    1860.0,
)


def figures(rows: Iterable[Row]) -> dict[str, float]:
    """The figures by what they measure."""
    return {row.measure: row.ours for row in rows}


def test_steps_take_as_long_as_the_longest_chain() -> None:
    """A graph of steps runs in its optimum, and the speedup is against the sum of all steps."""
    found = figures(asynchow.rows([DIAMOND]))
    assert found["time / optimum, worst"] == pytest.approx(1)
    assert found["one by one / ours, mean"] == pytest.approx(1860 / 1560)


def test_steps_of_years_are_at_the_optimum() -> None:
    """Steps of years are as exact as those of seconds."""
    years = StepGraph("0", {"1": "grow", "2": "wait"}, {"1": 3e9, "2": 7.0}, {"2": ["1"]}, 3e9 + 7, 3e9 + 7)
    assert figures(asynchow.rows([years, DIAMOND, years]))["at the optimum (within 1e-6)"] == 3


def test_a_step_that_cannot_run_is_no_figure() -> None:
    """A graph whose plan cannot be run whole is an error, not a good time."""
    broken = StepGraph("7", {"1": "wait"}, {"1": "long"}, {}, 1.0, 1.0)  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="AsyncHow 7"):
        asynchow.rows([broken])


def test_some_graphs_of_asynchow_are_at_the_optimum() -> None:
    """Every graph of a sample of the dataset takes exactly its optimum."""
    graphs = asynchow.read(shared("data", "asynchow", "async_dags.jsonl"))[::40]
    found = figures(asynchow.rows(graphs))
    assert found["at the optimum (within 1e-6)"] == len(graphs) == 20


def test_call_graphs_are_solved_in_parallel() -> None:
    """Calls that do not need each other run at the same time, and the last one's value is the answer."""
    problem = Problem("0", [("add", [1.0, 2.0]), ("multiply", [2.0, 2.0]), ("divide", ["#0", "#1"])], [0.75])
    wrong = Problem("1", [("add", [1.0, 2.0])], [4.0])
    found = figures(mathqa.rows([problem, wrong]))
    assert found["solved (within 1 %)"] == 1
    assert found["no longer than the longest chain"] == 2
    assert found["one by one / ours, total time"] == pytest.approx(4 / 3)


def test_some_problems_of_mathqa_are_solved() -> None:
    """Every problem of a sample of the dataset gives its gold answer."""
    problems = mathqa.read(shared("data", "mathqa_dag", "mathqa_exec_dags.jsonl"))[::50]
    found = figures(mathqa.rows(problems))
    assert found["solved (within 1 %)"] == len(problems) == 19
    assert found["calls at the same time / width of the graph"] == 1


def test_operations_want_whole_numbers_where_the_mathematics_does() -> None:
    """A factorial of a fraction is an error, and the problem is not solved."""
    assert figures(mathqa.rows([Problem("0", [("factorial", [2.5])], [3.3])]))["solved (within 1 %)"] == 0


def test_gold_calls_are_read_back_and_checked() -> None:
    """A gold plan is read back the same; one that breaks its own tool's schema is refused and told."""
    words: JSON = {"type": "array", "items": {"type": "string"}}
    tools = [ToolSpec("count", {"what": words}, frozenset({"what"}), {"type": "integer"})]
    good = GoldCalls("good", tools, parse_plan('1. count(what=["$5 notes", "\\"new\\""])'), frozenset())
    bad = GoldCalls("bad", tools, parse_plan('1. count(what=["a"])\n2. count(what=$1)'), frozenset({(1, 2)}))
    found = figures(gold_calls.rows("ours", [good, bad]))
    assert found["read back as the same plan"] == found["dependencies as in the gold calls"] == 2
    assert found["accepted by the checker"] == 1
    (refused,) = gold_calls.refused([good, bad])
    assert refused.id == "bad"
    assert "reference-type" in refused.why


def test_all_of_nestools_is_plan_text() -> None:
    """Every gold call graph of NesTools is read back, has the gold dependencies, and passes the checker."""
    samples = gold_calls.read_nestools(shared("data", "nestools", "test_data.jsonl"))
    assert set(figures(gold_calls.rows("NesTools", samples)).values()) == {500}


def test_bfcl_is_plan_text() -> None:
    """Every gold answer of BFCL's parallel categories is read back; only those that break their schemas are refused."""
    samples = gold_calls.read_bfcl(shared("data", "bfcl", "ast"))
    found = figures(gold_calls.rows("BFCL", samples))
    assert found["read back as the same plan"] == 440
    assert {each.id for each in gold_calls.refused(samples)} == {
        "parallel_multiple_12",
        "parallel_multiple_21",
        "parallel_multiple_26",
        "parallel_multiple_94",
        "live_parallel_15-11-0",
        "live_parallel_multiple_2-2-0",
        "live_parallel_multiple_21-18-0",
    }
