"""LLMCompiler as a system: what its answers say of its plans and calls."""

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.tools import BaseTool, tool

from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.evaluation.benchmarks import metrics
from llmcompiler_graph.evaluation.benchmarks.plan_checks import searches_exactly
from llmcompiler_graph.evaluation.records import Benchmark, Sample
from llmcompiler_graph.evaluation.systems.llm_compiler import llm_compiler, without_return_types
from llmcompiler_graph.testing import ScriptedModel, run_virtual

CALLED: list[str] = []


@tool
async def search(entity: str) -> dict[str, float]:
    """Search."""
    CALLED.append(entity)
    if entity == "nowhere":
        msg = "not found"
        raise ValueError(msg)
    return {"height_m": float(len(entity))}


@tool
def calculate(expression: str) -> float:
    """Calculate."""
    CALLED.append(expression)
    return 1.0


def tools(sample: Sample, model: Any) -> list[BaseTool]:
    """The tools of every sample."""
    return [search, calculate]


BENCHMARK = Benchmark(
    name="tiny",
    load=lambda data: [],
    tools=tools,
    score=lambda answer, sample: metrics.score(answer, str(sample.gold)),
    instructions="One word.",
    check_plan=lambda plan, sample: searches_exactly(plan, sample.entities),
)
SAMPLE = Sample("1", "Which is higher?", "a", entities=("a", "b"))
PLAN = (
    '1. search(entity="a")\n2. search(entity="b")\n3. calculate(expression="${1.height_m} - ${2.height_m}")\n4. join()'
)


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    CALLED.clear()


async def test_an_answer_says_what_was_planned_and_called() -> None:
    """Calls, width, depth, plan text, timeline and the two marks of the plan are there; the question says its form."""
    model = ScriptedModel([PLAN, "Finish: a"])
    answer = await llm_compiler().answer(SAMPLE, BENCHMARK, model)
    assert (answer.text, answer.tasks, answer.width, answer.depth, answer.replans) == ("a", 3, 2, 2, 0)
    assert (answer.parsed, answer.references_right, answer.errors, answer.diagnostics) == (True, True, (), ())
    assert answer.plan == PLAN
    assert [span["name"] for span in answer.timeline] == ["1. search", "2. search", "3. calculate"]
    assert "Which is higher?\n\nOne word." in model.calls[0][-1].text


async def test_what_went_wrong_is_told() -> None:
    """Failed calls and diagnostics are in the answer, and an unreadable plan is neither parsed nor right."""
    model = ScriptedModel(['1. search(entity="nowhere")\n2. serch(entity="b")\n3. join()', "Finish: b"])
    answer = await llm_compiler(max_repairs=0).answer(SAMPLE, BENCHMARK, model)
    assert any("not found" in error for error in answer.errors)
    assert any("no tool is named 'serch'" in each for each in answer.diagnostics)
    assert (answer.parsed, answer.references_right) == (False, False)


async def test_what_was_repaired_is_told() -> None:
    """A plan that was repaired is parsed and right, and the answer says what was wrong with it at first."""
    broken = PLAN.replace("2. search", "2. serch")
    model = ScriptedModel([broken, '2. search(entity="b")', "Finish: b"])
    answer = await llm_compiler().answer(SAMPLE, BENCHMARK, model)
    assert (answer.parsed, answer.references_right, answer.diagnostics) == (True, True, ())
    assert any("no tool is named 'serch'" in each for each in answer.repaired)
    assert answer.plan.endswith('2. search(entity="b")')


async def test_only_planned_is_not_run() -> None:
    """The model is asked once, no tool is called, and the plan is judged."""
    model = ScriptedModel([PLAN])
    answer = await llm_compiler(plan_only=True).answer(SAMPLE, BENCHMARK, model)
    assert not CALLED
    assert (answer.text, answer.tasks, answer.parsed, answer.references_right) == ("", 3, True, True)


async def test_replans_are_counted_and_need_to_be_allowed() -> None:
    """The benchmark's budget holds unless the option says otherwise."""
    replies = [PLAN, "Replan: again", '4. search(entity="c")\n5. join()', "Finish: a"]
    answer = await llm_compiler(max_replans=1).answer(SAMPLE, BENCHMARK, ScriptedModel(replies))
    assert (answer.replans, answer.tasks) == (1, 4)
    answer = await llm_compiler().answer(SAMPLE, BENCHMARK, ScriptedModel([PLAN, "Finish: a"]))
    assert answer.replans == 0


@pytest.mark.parametrize(("stream", "begun"), [(True, 1), (False, 4)])
def test_unstreamed_plans_start_nothing_early(stream: bool, begun: float) -> None:
    """A plan of three lines takes 4 s: streamed, the first call starts after its line; unstreamed, after them all."""

    async def main() -> float:
        model = ScriptedModel([PLAN, "Finish: a"], chunk_size=0, seconds_per_reply=4)
        answer = await llm_compiler(stream=stream).answer(SAMPLE, BENCHMARK, model)
        start = answer.timeline[0]["start"]
        assert isinstance(start, float)
        return start

    assert run_virtual(main) == pytest.approx(begun)


def test_tools_can_be_kept_from_saying_what_they_return() -> None:
    """Without return types a tool's specification loses that and nothing else."""
    typed, untyped = tool_spec(search), tool_spec(without_return_types(search))
    assert typed.returns is not None
    assert untyped.returns is None
    assert untyped.parameters == typed.parameters


async def test_untyped_tools_still_run() -> None:
    """Without return types the same plan has the same answer."""
    answer = await llm_compiler(return_types=False).answer(SAMPLE, BENCHMARK, ScriptedModel([PLAN, "Finish: a"]))
    assert answer.errors == ()
    assert len(CALLED) == 3


def test_the_name_tells_the_options() -> None:
    """Systems with other options have other names, so that their records are kept apart."""
    assert llm_compiler().name == "llm_compiler"
    assert llm_compiler(stream=False, max_replans=1).name == "llm_compiler[stream=false,max_replans=1]"


def test_an_unknown_option_is_an_error_at_once() -> None:
    """An option that the system does not have is an error at once, not a column of failed examples."""
    with pytest.raises(ConfigurationError, match="no option 'max_replan'"):
        llm_compiler(max_replan=1)


async def test_the_width_counts_the_calls_of_a_task_that_fans_out() -> None:
    """One task that makes ten calls at the same time has a width of ten."""

    @tool
    async def names() -> list[str]:
        """Name ten."""
        return list("abcdefghij")

    benchmark = replace(BENCHMARK, tools=lambda *_: [names, search])
    model = ScriptedModel(["1. names()\n2. search(entity=${1[*]})\n3. join()", "Finish: a"])
    answer = await llm_compiler().answer(SAMPLE, benchmark, model)
    assert (answer.tasks, answer.width, answer.depth) == (11, 10, 2)
