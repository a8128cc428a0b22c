import json
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.evaluation.benchmarks.hotpotqa import HOTPOTQA, HOTPOTQA_BRIDGE
from llmcompiler_graph.evaluation.benchmarks.movie import MOVIE
from llmcompiler_graph.evaluation.benchmarks.parallelqa import PARALLELQA
from llmcompiler_graph.evaluation.benchmarks.webshop import WEBSHOP
from llmcompiler_graph.evaluation.records import Benchmark, Sample, Score
from llmcompiler_graph.evaluation.systems.parallel_calls import parallel_calls, parallel_prompt
from llmcompiler_graph.evaluation.systems.plan_forms import worked
from llmcompiler_graph.evaluation.systems.react import react
from llmcompiler_graph.testing import ScriptedModel
from llmcompiler_graph.tools import calculate
from tests.evaluation.tiny import BENCHMARK, REACT_PROMPT, SAMPLE, TextModel, answered, lookup


class NativeModel(ScriptedModel):
    """A scripted model whose provider can be asked for one call at a time."""

    def __init__(self, replies: list[Any]) -> None:
        super().__init__(replies)

    def bind_tools(
        self, tools: Any, *, parallel_tool_calls: bool | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools, and whether a turn may make several calls."""
        return super().bind_tools(tools, parallel_tool_calls=parallel_tool_calls, **kwargs)


def called(*calls: tuple[str, dict[str, Any]]) -> AIMessage:
    """A turn with native calls."""
    ids = (f"call_{uuid4().hex}" for _ in calls)
    return AIMessage("", tool_calls=[{"name": n, "args": a, "id": i} for (n, a), i in zip(calls, ids, strict=True)])


EVEREST, K2 = ("lookup", {"entity": "Everest"}), ("lookup", {"entity": "K2"})
BOTH, SECOND = called(EVEREST, K2), called(K2)
REST = [called(("subtract", {"left": 8849, "right": 8611})), "Answer: 238"]
BOTH_TEXT = 'Thought: both\nAction: lookup("Everest")\nAction: lookup(entity="K2")'
REST_TEXT = ["Thought: subtract\nAction: subtract(8849, 8611)", "Thought: done\nAnswer: 238"]


@pytest.mark.parametrize("make", [lambda: NativeModel([BOTH, *REST]), lambda: TextModel([BOTH_TEXT, *REST_TEXT])])
def test_parallel_calls_of_one_turn_overlap(make: Callable[[], ScriptedModel]) -> None:
    """Two calls of one turn take as long as one; three model calls; width and depth are counted by turns."""
    model = make()
    model.seconds_per_reply = 1
    answer, seconds = answered(parallel_calls(), model)
    assert answer.text == "238"
    assert seconds == 3 * 1 + 2 + 1
    assert len(model.calls) == 3
    assert (answer.tasks, answer.width, answer.depth, answer.errors) == (3, 2, 2, ())
    assert [(call["name"], call["start"], call["finish"]) for call in answer.timeline] == [
        ("lookup", 1, 3),
        ("lookup", 1, 3),
        ("subtract", 4, 5),
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: NativeModel([BOTH, SECOND, *REST]),
        lambda: TextModel([BOTH_TEXT, 'Action: lookup["K2"]', *REST_TEXT]),
    ],
)
def test_react_makes_one_call_a_turn(make: Callable[[], ScriptedModel]) -> None:
    """A model that writes two calls in a turn gets one observation; calls do not overlap."""
    model = make()
    model.seconds_per_reply = 1
    answer, seconds = answered(react(), model)
    assert answer.text == "238"
    assert seconds == 4 * 1 + 2 + 2 + 1
    assert len(model.calls) == 4
    assert (answer.tasks, answer.width, answer.depth) == (3, 1, 3)
    assert [(call["start"], call["finish"]) for call in answer.timeline] == [(1, 3), (4, 6), (7, 8)]


def test_react_asks_providers_for_sequential_calls() -> None:
    """`parallel_tool_calls=False` is bound for ReAct, nothing for parallel calls."""
    sequential, parallel = NativeModel([BOTH, *REST]), NativeModel([BOTH, *REST])
    answered(react(), sequential)
    answered(parallel_calls(), parallel)
    assert {each["parallel_tool_calls"] for each in sequential.settings} == {False}
    assert {each["parallel_tool_calls"] for each in parallel.settings} == {None}


def test_text_calls_are_a_conversation_of_text() -> None:
    """The model sees tools, form, examples and observations as text, and what it wrote after its action is gone."""
    model = TextModel(['Thought: first\nAction: lookup("Everest")\nObservation: 1\nAction: Finish(1)', "Finish: 8849"])
    answer, _ = answered(react(), model)
    assert answer.text == "8849"
    system, *rest = model.calls[-1]
    assert "Answer with a number." in system.text
    assert "- lookup(entity: str)" in system.text
    assert REACT_PROMPT.strip() in system.text
    assert [(type(each).__name__, each.text, getattr(each, "tool_calls", [])) for each in rest] == [
        ("HumanMessage", SAMPLE.question, []),
        ("AIMessage", 'Thought: first\nAction: lookup("Everest")', []),
        ("HumanMessage", "Observation: 8849", []),
    ]
    assert isinstance(rest[0], HumanMessage)


def test_examples_of_parallel_calls_are_those_of_react_with_more_calls_a_turn() -> None:
    """What a plan runs at the same time is one turn, with its observations after it."""
    model = TextModel(["Finish: 238"])
    answered(parallel_calls(), model)
    assert model.calls[0][0].text.endswith(
        """\
# Examples
Question: How much is Elbrus above Denali?
Action: lookup("Elbrus")
Action: lookup("Denali")
Observation: 5642
Observation: 6190
Action: subtract(6190, 5642)
Observation: 548
Thought: It is lower.
Answer: -548"""
    )


def test_examples_of_parallel_calls_go_on_after_a_replan() -> None:
    """The plan that follows is further turns, after the thought that asked for it."""
    assert parallel_prompt(HOTPOTQA_BRIDGE).endswith(
        """\
Question: In which country was the architect of the Fallingwater house born?
Action: search(entity="Fallingwater")
Observation: Fallingwater is a house designed by the architect Frank Lloyd Wright in 1935.
Thought: The architect is Frank Lloyd Wright; where he was born is not known yet.
Action: search(entity="Frank Lloyd Wright")
Observation: Frank Lloyd Wright was an American architect, born in Richland Center, Wisconsin.
Thought: Wisconsin is in the United States.
Answer: the United States"""
    )


def test_examples_of_parallel_calls_make_all_calls_of_a_task() -> None:
    """A task with `[*]` is as many actions of one turn as it has observations."""
    _, turn = parallel_prompt(WEBSHOP).split("Action: explore", 1)
    assert re.findall(r"^(?:Action|Observation|Thought|Answer)", turn, re.MULTILINE) == [
        "Action",
        "Observation",
        "Observation",
        "Thought",
        "Answer",
    ]


def test_dagger_changes_the_prompt_alone() -> None:
    """ReAct† has a name and a prompt of its own."""
    model = TextModel(["Finish: 238"])
    system = react(dagger=True)
    answered(system, model)
    assert system.name == "react_dagger"
    assert "Never repeat a call." in model.calls[0][0].text


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ('lookup("K3")', "ToolException: no facts for 'K3'"),
        ('find("K2")', "no tool is named 'find'"),
        ("lookup(", "is no call"),
        ("lookup(height=3)", "height"),
        ("think harder", "is no call"),
        ('lookup("$1 and $$2")', "no facts for '$1 and $2'"),
        ("Lookup[K3]", "no facts for 'K3'"),
    ],
)
def test_errors_are_observations(action: str, said: str) -> None:
    """What cannot be called, and what a tool raises, is told to the model and noted; the loop goes on."""
    model = TextModel([f"Thought: try\nAction: {action}", "Finish: 238"])
    answer, _ = answered(react(), model)
    assert answer.text == "238"
    assert re.match(r"Observation: error: .*", model.calls[-1][-1].text)
    assert said in model.calls[-1][-1].text
    assert len(answer.errors) == 1


def test_a_loop_without_end_is_stopped() -> None:
    """After `max_steps` turns the loop ends with an error in the answer."""
    model = TextModel([f"Thought: again\nAction: lookup({'K2'!r})"] * 10)
    answer, _ = answered(react(), model)
    assert len(model.calls) == BENCHMARK.max_steps
    assert answer.errors == ("stopped after 4 turns",)
    assert answer.tasks == 4


def test_provider_errors_are_raised() -> None:
    """What is wrong with the provider is for the runner to try again."""
    with pytest.raises(ConnectionError, match="down"):
        answered(react(), TextModel([ConnectionError("down")]))


def test_tools_of_the_benchmark_are_asked_for_once() -> None:
    """Each answer makes the sample's tools once, with the model the system was given."""
    made: list[tuple[Sample, Any]] = []

    def tools(sample: Sample, model: Any) -> list[BaseTool]:
        made.append((sample, model))
        return [lookup]

    model = TextModel(["Finish: 1"])
    answered(react(), model, Benchmark("tiny", lambda _: [], tools, lambda *_: Score(0, 0)))
    assert made == [(SAMPLE, model)]


ALL = pytest.mark.parametrize(
    "benchmark", [HOTPOTQA, HOTPOTQA_BRIDGE, PARALLELQA, MOVIE, WEBSHOP], ids=lambda each: each.name
)


@ALL
def test_rivals_are_shown_all_the_examples_that_llmcompiler_is_shown(benchmark: Benchmark) -> None:
    """Each example with a plan is worked out in the ReAct prompt, with what its calculations really give."""
    shown = worked(benchmark)
    assert [each.question for each in shown] == [each.question for each in benchmark.examples]
    for example in shown:
        for task in (task for plan in example.plans for task in plan):
            assert example.steps[task.index]
            for call, observation in example.steps[task.index]:
                assert call.startswith(f"{task.tool}(")
                if task.tool == "calculate":
                    expression = parse_plan(f"1. {call}").tasks[0].arguments["expression"]
                    assert json.dumps(calculate.invoke({"expression": expression})) == observation


@ALL
def test_rivals_are_shown_what_llmcompiler_is_shown_to_have_observed(benchmark: Benchmark) -> None:
    """Every observation of an example stands in the ReAct prompts too, and no other calls."""
    shown = {each.question: each for each in worked(benchmark)}
    calls = sum(len(each) for example in shown.values() for each in example.steps.values())
    assert benchmark.react_prompt.count("\nAction: ") == parallel_prompt(benchmark).count("\nAction: ") == calls
    assert benchmark.react_dagger_prompt.startswith(benchmark.react_prompt)
    for example in benchmark.examples:
        for outcome in example.outcomes:
            for index, value in outcome.observations.items():
                observed = [observation for _, observation in shown[example.question].steps[index]]
                several = isinstance(value, list) and len(observed) > 1
                assert [_read(each) for each in observed] == (value if several else [value])


def _read(observation: str) -> Any:
    try:
        return json.loads(observation)
    except ValueError:
        return observation
