"""The forms that rival systems are held to by `constrain=true`, as a grammar engine reads them."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, ClassVar

import pytest
from langchain_core.tools import tool

from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.grammar.forms import write
from llmcompiler_graph.core.grammar.rules import Form, Rules
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.evaluation.benchmarks.hotpotqa import HOTPOTQA, HOTPOTQA_BRIDGE
from llmcompiler_graph.evaluation.benchmarks.movie import MOVIE
from llmcompiler_graph.evaluation.benchmarks.parallelqa import PARALLELQA
from llmcompiler_graph.evaluation.benchmarks.reasoning import REASONING
from llmcompiler_graph.evaluation.benchmarks.webshop import WEBSHOP
from llmcompiler_graph.evaluation.records import Benchmark, System
from llmcompiler_graph.evaluation.systems.forms import conclusion, evidence_plan, fenced_program, steps, turn
from llmcompiler_graph.evaluation.systems.parallel_calls import parallel_calls
from llmcompiler_graph.evaluation.systems.plan_and_execute import plan_and_execute
from llmcompiler_graph.evaluation.systems.programmatic import programmatic
from llmcompiler_graph.evaluation.systems.react import react
from llmcompiler_graph.evaluation.systems.rewoo import rewoo
from llmcompiler_graph.evaluation.systems.toolbox import ToolCalls, answer_in, read_call
from llmcompiler_graph.testing import run_virtual
from tests.evaluation.tiny import BENCHMARK, SAMPLE, TextModel, answered
from tests.grammar_engine import accepts, sentence

BENCHMARKS = pytest.mark.parametrize(
    "benchmark", [HOTPOTQA, HOTPOTQA_BRIDGE, MOVIE, PARALLELQA, REASONING, WEBSHOP], ids=lambda each: each.name
)
MAKERS: tuple[Callable[..., System], ...] = (react, parallel_calls, plan_and_execute, rewoo, programmatic)


class LocalModel(TextModel):
    """A scripted model that stands for the embedded one, whose replies can be held to a grammar."""

    local: ClassVar[bool] = True

    def __init__(self, replies: Sequence[str]) -> None:
        super().__init__(replies)


def tools_of(benchmark: Benchmark) -> list[ToolSpec]:
    """The tools of a benchmark, for a sample that nothing can be found for."""
    nothing: dict[str, Any] = {"facts": {}, "observations": {}, "shop": None, "engine": None}
    return [tool_spec(each) for each in benchmark.tools(replace(SAMPLE, metadata=nothing), "local")]


TOOLS = [tool_spec(each) for each in BENCHMARK.tools(SAMPLE, "local")]


def refused(rules: Rules, texts: Sequence[str], form: Form = "lark") -> list[str]:
    """The texts that a grammar does not accept."""
    grammar = write(rules, form)
    return [text for text in texts if not accepts(grammar, form, text)]


def prompt_of(make: Callable[..., System], benchmark: Benchmark, replies: Sequence[str] = ("Answer: 0",) * 2) -> str:
    """What a system is told before the question."""
    model = TextModel(list(replies))
    answered(make(), model, replace(benchmark, tools=BENCHMARK.tools))
    return model.calls[0][0].text


def examples_in(prompt: str) -> list[str]:
    """The worked examples of a prompt, each without its question."""
    begin = re.compile(r"^(?:Thought: |Action: |#E1 = |1\. |```)", re.M)
    shown = re.split(r"^(?:Question|Task): ", prompt, flags=re.M)[1:]
    return [each[match.start() :].strip() for each in shown if (match := begin.search(each))]


def turns_in(prompt: str, observed: str = "Observation: ") -> list[str]:
    """What the model says in the examples of a prompt, turn by turn."""
    parts = (re.split(rf"^(?:{observed}.*\n?)+", each, flags=re.M) for each in examples_in(prompt))
    return [turn.strip() for turns in parts for turn in turns if turn.strip()]


@BENCHMARKS
def test_the_turns_of_a_prompt_have_the_form_of_turns(benchmark: Benchmark) -> None:
    """Every turn of ReAct's examples and of those with parallel calls is accepted, with the benchmark's tools."""
    specs = tools_of(benchmark)
    sequential, parallel = turns_in(prompt_of(react, benchmark)), turns_in(prompt_of(parallel_calls, benchmark))
    assert min(len(sequential), len(parallel)) >= 2
    forms: list[Form] = ["lark", "gbnf"]
    for form in forms:
        assert refused(turn(specs, one_call=True), sequential, form) == []
        assert refused(turn(specs, one_call=False), parallel, form) == []


@BENCHMARKS
def test_the_plans_of_a_prompt_have_the_form_of_plans(benchmark: Benchmark) -> None:
    """Every example of ReWOO, of plan-and-execute and of programs is accepted, with the benchmark's tools."""
    specs = tools_of(benchmark)
    assert refused(evidence_plan(specs), examples_in(prompt_of(rewoo, benchmark))) == []
    assert refused(steps(), examples_in(prompt_of(plan_and_execute, benchmark))) == []
    shown = [re.split(r"^Output:\n.*\n", each, flags=re.M) for each in examples_in(prompt_of(programmatic, benchmark))]
    assert refused(fenced_program(is_first=True), [turns[0].strip() for turns in shown]) == []
    assert refused(fenced_program(is_first=False), [each.strip() for turns in shown for each in turns]) == []


RIGHT_AND_WRONG: dict[str, tuple[Rules, list[str], list[str]]] = {
    "ReAct": (
        turn(TOOLS, one_call=True),
        [
            'Thought: a\nAction: lookup(entity="")',
            "Thought: a\nAction: subtract(left=1, right=-2)",
            "Thought: a\nAnswer: 1",
        ],
        [
            "",
            "Answer: 1",
            "Thought: a",
            "Thought: \nAnswer: 1",
            "Thought: a\nAnswer: ",
            "Thought: a\nAnswer: 1\n",
            "Thought: a\nAnswer: 1\n2",
            'Thought: a\nAction: find(entity="K2")',
            'Thought: a\nAction: lookup(name="K2")',
            "Thought: a\nAction: lookup()",
            "Thought: a\nAction: lookup(entity=2)",
            'Thought: a\nAction: lookup(entity="$1")',
            'Thought: a\nAction: subtract(left="1", right=2)',
            "Thought: a\nAction: subtract(left=$1, right=2)",
            'Thought: a\nAction: lookup(entity="K2")\nObservation: 8611',
            'Thought: a\nAction: lookup(entity="K2")\nAction: lookup(entity="K2")',
            f"Thought: {'a' * 241}\nAnswer: 1",
        ],
    ),
    "parallel calls": (
        turn(TOOLS, one_call=False),
        [
            'Action: lookup(entity="K2")',
            'Thought: a\nAction: lookup(entity="K2")\nAction: subtract(left=1, right=2)',
            "\n".join(['Action: lookup(entity="K2")'] * 16),
            "Answer: 1",
            "Thought: a\nAnswer: 1",
        ],
        [
            'Action: lookup(entity="K2")\nAnswer: 1',
            'Action: lookup(entity="K2")\nThought: a\nAction: lookup(entity="K2")',
            "\n".join(['Action: lookup(entity="K2")'] * 17),
            "Thought: a",
        ],
    ),
    "ReWOO": (
        evidence_plan(TOOLS),
        [
            '#E1 = lookup(entity="K2")',
            'Plan: a\n#E1 = lookup(entity="K2")\nPlan: b\n#E2 = subtract(left=#E1, right=1)',
            '#E1 = lookup(entity="K2")\n#E2 = lookup(entity="#E1")\n#E3 = lookup(entity="#E1, or #E2. C#, #1: $2.")',
            '#E1 = lookup(entity="K2")\n#E2 = lookup(entity=#E1)',
        ],
        [
            "",
            "Plan: a",
            "Answer: 1",
            '1. lookup(entity="K2")',
            '#E2 = lookup(entity="K2")',
            '#E1 = lookup(entity="K2")\n#E3 = lookup(entity="K2")',
            '#E1 = lookup(entity="K2")\nPlan: the end',
            '#E1 = lookup(entity="#E1")',
            '#E1 = lookup(entity="K2")\n#E2 = lookup(entity="#E12")',
            '#E1 = lookup(entity="K2")\n#E2 = lookup(entity="#E1.name")',
            '#E1 = lookup(entity="K2")\n#E2 = lookup(entity="#E1s")',
            '#E1 = lookup(entity="K2")\n#E2 = subtract(left=#E1.height_m, right=1)',
            "#E1 = find()",
            '#E1 = lookup(entity="K2")\njoin()',
        ],
    ),
    "steps": (
        steps(),
        ["1. a", "1. a\n2. b", "3. what remains\n4. and then", "Answer: 1"],
        ["", "a", "1. ", "1.a", "1. a\n", "1. a\nAnswer: 1", "- a", "0. a", "Thought: a\nAnswer: 1"],
    ),
    "the last answer": (steps(may_go_on=False), ["Answer: 1"], ["1. a", ""]),
    "the first program": (
        fenced_program(is_first=True),
        ["```python\n\n```", "```python\nprint(1)\n```", "Thought: a\n```python\nif 1:\n    print('```')\n```"],
        [
            "",
            "Answer: 1",
            "Thought: a\nAnswer: 1",
            "print(1)",
            "```\nprint(1)\n```",
            "```python\nprint(1)",
            "```python\nprint(1)\n```\nOutput:",
            "```python\n```\nprint(1)\n```",
        ],
    ),
    "a further program": (
        fenced_program(is_first=False),
        ["```python\nprint(1)\n```", "Thought: a\n```python\nprint(1)\n```", "Thought: a\nAnswer: 1"],
        ["Answer: 1", "Thought: a", "Thought: ```\nAnswer: 1", "```python\nprint(1)\n```\nAnswer: 1"],
    ),
    "a turn without tools": (
        turn([], one_call=True),
        ["Thought: a\nAnswer: 1"],
        ["Thought: a\nAction: f()", "Answer: 1"],
    ),
    "ReWOO without tools": (evidence_plan([]), ["Plan: a"], ["", "join()", "#E1 = f()"]),
    "conclusion": (conclusion(), ["Thought: a\nAnswer: 1"], ["Answer: 1", "Thought: a", "Thought: a\nb\nAnswer: 1"]),
}


@pytest.mark.parametrize("name", RIGHT_AND_WRONG)
def test_a_form_accepts_what_it_is_and_nothing_else(name: str) -> None:
    """The shortest replies and whole ones are accepted; what is not the form is refused."""
    rules, right, wrong = RIGHT_AND_WRONG[name]
    assert refused(rules, right) == []
    assert refused(rules, wrong) == wrong


@pytest.mark.parametrize("name", ["ReAct", "parallel calls", "steps", "the first program", "conclusion"])
def test_a_form_is_the_same_in_gbnf(name: str) -> None:
    """Forms without references are accepted and refused alike in both written forms."""
    rules, right, wrong = RIGHT_AND_WRONG[name]
    assert refused(rules, right, "gbnf") == []
    assert refused(rules, wrong, "gbnf") == wrong


@tool
async def peaks(area: str, most: int = 3) -> list[dict[str, Any]]:
    """List the peaks of an area."""
    return [{"name": "Everest", "height": 8849, "first ascent": 1953}]


MORE_TOOLS = [*TOOLS, tool_spec(peaks), *tools_of(PARALLELQA)[1:]]


def random_texts(rules: Rules, count: int) -> Iterator[str]:
    """What a random model writes, held to a grammar."""
    grammar = write(rules, "lark")
    return (sentence(grammar, "lark", Random(seed)) for seed in range(count))


def test_what_the_form_of_a_turn_accepts_is_a_call_or_an_answer() -> None:
    """Whatever a model writes in the form, the loop reads a call of a tool in it, or an answer."""

    async def main() -> None:
        calls = ToolCalls([*BENCHMARK.tools(SAMPLE, "local"), peaks])
        for text in random_texts(turn(calls.specs, one_call=True), 60):
            _, _, said = text.partition("\n")
            kind, _, rest = said.partition(": ")
            if kind == "Action":
                assert read_call(rest, calls)[0] in calls.tools
            else:
                assert rest.strip() in answer_in(text)

    run_virtual(main)


def test_what_the_form_of_evidence_accepts_has_no_fault() -> None:
    """Whatever plan a model writes in ReWOO's form is read whole, and everything in it fits."""
    from llmcompiler_graph.evaluation.systems.rewoo import _read

    class Known:
        specs = MORE_TOOLS

    for text in random_texts(evidence_plan(MORE_TOOLS), 60):
        plan, diagnostics = _read(text, Known())  # type: ignore[arg-type]
        assert (len(plan.tasks), diagnostics) == (len(re.findall(r"^#E\d+ = ", text, re.M)), [])


SCRIPTS: dict[str, list[str]] = {
    "react": ['Thought: a\nAction: lookup(entity="K2")', "Thought: a\nAnswer: 8611"],
    "parallel_calls": ['Action: lookup(entity="K2")\nAction: lookup(entity="Everest")', "Thought: a\nAnswer: 8611"],
    "plan_and_execute": [
        "1. Look",
        'Thought: a\nAction: lookup(entity="K2")',
        "Thought: a\nAnswer: 8611",
        "Answer: 8611",
    ],
    "rewoo": ['Plan: a\n#E1 = lookup(entity="K2")', "Thought: a\nAnswer: 8611"],
    "programmatic": ['```python\nprint(await lookup("K2"))\n```', "Thought: a\nAnswer: 8611"],
}


@pytest.mark.parametrize("make", MAKERS, ids=lambda each: each.__name__)
def test_every_reply_of_a_system_is_held_to_its_form(make: Callable[..., System]) -> None:
    """With `constrain` each call brings the grammar of what is to be written then; without it none does."""
    script = SCRIPTS[make.__name__]
    bound, free = LocalModel(script), LocalModel(script)
    assert answered(make(constrain=True), bound)[0] == answered(make(), free)[0]
    assert len(bound.settings) == len(script)
    for settings, reply in zip(bound.settings, script, strict=True):
        grammar = settings["extra_body"]["grammar"]
        assert accepts(grammar, "lark", reply)
        assert not accepts(grammar, "lark", f"Sure!\n{reply}")
    assert not any("extra_body" in settings for settings in free.settings)


@pytest.mark.parametrize("make", MAKERS, ids=lambda each: each.__name__)
def test_a_system_held_to_a_form_says_so_in_its_name(make: Callable[..., System]) -> None:
    """Records of both are told apart by the system's name."""
    assert make(constrain=True).name == f"{make.__name__}[constrain=true]"
    assert make(constrain=False).name == make().name == make.__name__


@pytest.mark.parametrize("make", MAKERS, ids=lambda each: each.__name__)
def test_a_model_that_takes_no_grammar_is_refused(make: Callable[..., System]) -> None:
    """Before anything is asked, the error says what to do."""
    model = TextModel(SCRIPTS[make.__name__])
    with pytest.raises(ConfigurationError, match="--model local"):
        answered(make(constrain=True), model)
    assert model.calls == []


def test_no_step_is_left_after_the_last_turn() -> None:
    """Where plan-and-execute must answer, its grammar lets it do nothing else."""
    script = ["1. Look", "Thought: a\nAnswer: nothing"] + ["1. Look", "Thought: a\nAnswer: nothing"] * 3 + ["Answer: 0"]
    model = LocalModel(script)
    answered(plan_and_execute(constrain=True), model)
    grammars = [settings["extra_body"]["grammar"] for settings in model.settings]
    assert accepts(grammars[-3], "lark", "1. Look")
    assert not accepts(grammars[-1], "lark", "1. Look")
