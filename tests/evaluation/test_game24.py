import asyncio
import re
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langchain_openai import ChatOpenAI

from llmcompiler_graph.evaluation.benchmarks.game24 import GAME24
from llmcompiler_graph.evaluation.records import Answer, Sample, System
from llmcompiler_graph.evaluation.systems.llm_compiler import llm_compiler
from llmcompiler_graph.evaluation.systems.tree_of_thoughts import tree_of_thoughts
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests.scripted_server import ScriptedServer
from tests.shared import shared

SAMPLE = Sample("901", "4 5 6 10", 24)
NEXT = {
    "4 5 6 10": "4 * 5 = 20 (left: 6 10 20)\n10 - 6 = 4 (left: 4 4 5)",
    "6 10 20": "10 - 6 = 4 (left: 4 20)\n20 - 6 = 14 (left: 10 14)",
    "4 4 5": "4 + 4 = 8 (left: 5 8)",
    "4 20": "4 + 20 = 24 (left: 24)",
    "10 14": "10 + 14 = 24 (left: 24)",
    "5 8": "5 * 8 = 40 (left: 40)",
}


def reply(messages: list[BaseMessage]) -> str:
    """What a good player would say."""
    text = messages[-1].text
    if "Write the plan." in text:
        return GAME24.examples[0].plan.replace("2 8 8 14", SAMPLE.question)
    if "Observations:" in text:
        found = re.findall(r"Answer: ([^=\\]+) = 24", text)
        return f"Finish: {found[-1] if found else 'none'}"
    left = re.findall(r"Numbers: (.+)", text)[-1]
    if text.startswith("Write some"):
        return NEXT.get(left, "")
    if text.startswith("Write the steps"):
        return "Answer: 4 * 5 + 10 - 6 = 24" if "20 = 24" in text else "Answer: 4 * 5 - 6 + 10 = 24"
    if text.startswith("Is the expression"):
        return "sure"
    return "likely" if left in NEXT or left == "24" else "impossible"


def played(system: System) -> tuple[Answer, float, int]:
    """The answer, the virtual seconds it took, and the model calls."""
    model = ScriptedModel([reply] * 500, seconds_per_reply=1, chunk_size=0)

    async def main() -> tuple[Answer, float, int]:
        answer = await system.answer(SAMPLE, GAME24, model)
        return answer, asyncio.get_running_loop().time(), len(model.calls)

    return run_virtual(main)


def test_judgements_are_three_samples_with_a_seed_too() -> None:
    """A seeded model is asked with three seeds for its three judgements: with one they would be the same."""
    with ScriptedServer(["sure", "likely", "sure", "steps"]) as server:
        model = ChatOpenAI(model="scripted", seed=7, base_url=server.base_url, api_key="none")  # type: ignore[arg-type]
        propose, evaluate, _ = GAME24.tools(SAMPLE, model)

        async def main() -> list[float]:
            found: list[float] = await evaluate.ainvoke({"puzzle": SAMPLE.question, "states": ["(left: 4 20)"]})
            await propose.ainvoke({"puzzle": SAMPLE.question, "state": ""})
            return found

        assert asyncio.run(main()) == [41]
        assert sorted(request["seed"] for request in server.requests) == [7, 7, 8, 9]
        assert {request["temperature"] for request in server.requests} == {0.7}


def test_the_puzzles_are_those_of_the_papers() -> None:
    """The puzzles of Game of 24 are a hundred, from the 901st on, as in the papers."""
    samples = GAME24.load(shared("data", "game24", "24.csv").parents[1])
    assert len(samples) == 100
    assert (samples[0].id, samples[0].question) == ("901", "4 5 6 10")


def test_both_searches_find_the_same_tree_in_other_times() -> None:
    """Tree of Thoughts asks one call after another; LLMCompiler's one plan asks each round at once."""
    tot, sequential, tot_calls = played(tree_of_thoughts())
    compiled, parallel, calls = played(llm_compiler())
    assert GAME24.score(tot.text, SAMPLE).paper == 1.0
    assert GAME24.score(compiled.text, SAMPLE).paper == 1.0
    assert compiled.errors == ()
    assert calls == tot_calls + 2  # the plan and the join
    assert sequential == 18  # as many prompts, one after another
    assert 9 < parallel < 10  # the plan, in whose first line the first round starts, seven more rounds, the join
    assert (tot.width, compiled.replans) == (1, 0)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("(10 - 6) * 5 + 4 = 24", 1.0),
        ("4 * 5 + 10 - 6", 1.0),
        ("no\nAnswer: 4 * 5 - 6 + 10 = 24", 1.0),
        ("The answer is 4 * 5 - 6 + 10.", 1.0),
        ("4 * 6 = 24", 0.0),
        ("4 * 6 * (10 - 5 - 4) = 24", 0.0),
        ("4 + 5 + 6 + 10 = 24", 0.0),
        ("4 ** 5 / (6 - 6) * 10", 0.0),
        ("(4 + 5 + 6 + 10", 0.0),
        ("none", 0.0),
    ],
)
def test_an_expression_must_use_each_number_once_and_make_24(answer: str, right: Any) -> None:
    """Any line may be the expression; numbers and value are checked exactly."""
    assert GAME24.score(answer, SAMPLE).paper == right


def test_states_are_judged_three_times_and_equal_rests_once() -> None:
    """Values add up; a state without an answer after four steps is worth nothing, and asks nobody."""
    model = ScriptedModel(["sure", "It is sure to be\nlikely", "nothing"])
    tools = {tool.name: tool for tool in GAME24.tools(SAMPLE, model)}
    states = ["a (left: 4 6)\n", "b (left: 4 6)\n", "a\nb\nc\nd (left: 3)\n"]

    async def main() -> Any:
        return await tools["state_evaluator"].ainvoke({"puzzle": SAMPLE.question, "states": states})

    assert run_virtual(main) == [21.0, 21.0, 0.0]
    assert len(model.calls) == 3


def test_the_best_five_are_kept_in_order() -> None:
    """Ties keep the order of the proposals, a state that was proposed twice counts once."""
    (select,) = [tool for tool in GAME24.tools(SAMPLE, ScriptedModel()) if tool.name == "top_k_select"]

    async def main() -> Any:
        given = {"proposals": [["a", "b", "c"], ["d", "a", "e", "f"]], "values": [[1, 3, 1], [3, 9, 1, 0]]}
        return await select.ainvoke(given)

    assert run_virtual(main) == ["b", "d", "a", "c", "e"]
