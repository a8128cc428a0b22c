import asyncio
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langchain_core.tools import tool

from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.examples import PlanExample
from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.evaluation.benchmarks.hotpotqa import HOTPOTQA_BRIDGE
from llmcompiler_graph.evaluation.records import Benchmark, Score
from llmcompiler_graph.evaluation.systems.plan_and_execute import plan_and_execute
from llmcompiler_graph.evaluation.systems.programmatic import programmatic
from llmcompiler_graph.evaluation.systems.rewoo import rewoo
from llmcompiler_graph.evaluation.systems.skeleton_of_thought import skeleton_of_thought
from llmcompiler_graph.evaluation.systems.tree_of_thoughts import tree_of_thoughts
from llmcompiler_graph.testing import ScriptedModel
from tests.evaluation.tiny import BENCHMARK, SAMPLE, TextModel, answered

PLAN = """\
Plan: the first height
#E1 = lookup("Everest")
Plan: the second height
#E2 = lookup(entity="K2")
Plan: their difference
#E3 = subtract(#E1, #E2)"""


def test_rewoo_calls_tools_one_after_another_between_two_model_calls() -> None:
    """One plan, its calls in sequence, one solver: two model calls and the sum of all times."""
    model = ScriptedModel([PLAN, "Thought: done\nAnswer: 238"], seconds_per_reply=1)
    answer, seconds = answered(rewoo(), model)
    assert answer.text == "238"
    assert len(model.calls) == 2
    assert seconds == 1 + 2 + 2 + 1 + 1
    assert (answer.tasks, answer.width, answer.depth, answer.errors) == (3, 2, 2, ())
    assert (answer.plan, answer.parsed) == (PLAN, True)
    assert "#E1 = 8849\n#E2 = 8611\n#E3 = 238" in model.calls[1][-1].text


def test_rewoo_is_shown_the_benchmarks_plans_in_its_own_form() -> None:
    """The same examples as LLMCompiler has, with references as `#E1`."""
    model = ScriptedModel([PLAN, "238"])
    answered(rewoo(), model)
    assert (
        "Task: How much is Elbrus above Denali?\n"
        '#E1 = lookup("Elbrus")\n#E2 = lookup("Denali")\n#E3 = subtract(#E2, #E1)'
    ) in model.calls[0][0].text


def test_rewoo_solves_with_the_errors_it_has() -> None:
    """A step that cannot be run, and one whose evidence is no number, become evidence of that; nothing is raised."""
    plan = '#E1 = lookup("K3")\n#E2 = find("K2")\n#E3 = subtract(#E1.height, 1)\n#E4 = subtract(#E2, 1)'
    model = ScriptedModel([plan, "Answer: unknown"])
    answer, _ = answered(rewoo(), model)
    assert answer.text == "unknown"
    assert answer.parsed is False
    assert "no tool is named 'find'" in answer.diagnostics[0]
    evidence = model.calls[1][-1].text
    assert "#E1 = error: ToolException: no facts for 'K3'" in evidence
    assert "#E2 = error: no tool is named 'find'" in evidence
    assert "#E3 = error: " in evidence
    assert "#E4 = error: ValidationError" in evidence


def test_plan_and_execute_runs_an_agent_for_each_step() -> None:
    """A plan, then an agent and a look at the plan for each step; nothing overlaps."""
    model = TextModel(
        [
            "1. Find Everest's height\n2. Find K2's height and subtract",
            'Action: lookup("Everest")',
            "Answer: 8849",
            "1. Find K2's height and subtract it from 8849",
            'Action: lookup("K2")',
            "Action: subtract(8849, 8611)",
            "Answer: 238",
            "Thought: that is it\nAnswer: 238",
        ],
        seconds_per_reply=1,
    )
    answer, seconds = answered(plan_and_execute(), model, replace(BENCHMARK, max_steps=10))
    assert answer.text == "238"
    assert len(model.calls) == 8
    assert seconds == 8 * 1 + 2 + 2 + 1
    assert (answer.tasks, answer.width, answer.depth, answer.replans) == (3, 1, 3, 2)
    assert model.calls[4][-1].text == (
        "Step: Find K2's height and subtract it from 8849\n\nDone so far:\n1. Find Everest's height\nResult: 8849"
    )


def test_plan_and_execute_stops_with_an_answer() -> None:
    """Once the steps have had as many turns as one loop may, the planner must answer with what there is."""
    model = TextModel(["1. Think", *["Answer: nothing", "1. Think"] * 3, "Answer: nothing", "Answer: 0"])
    answer, _ = answered(plan_and_execute(), model)
    assert answer.text == "0"
    assert len(model.calls) == 1 + BENCHMARK.max_steps * 2
    assert "No further step is possible." in model.calls[-1][-1].text
    assert "No further step is possible." not in model.calls[-3][-1].text


PROGRAM = """\
import asyncio
everest, k2 = await asyncio.gather(lookup("Everest"), lookup(entity="K2"))
print(await subtract(everest, k2))"""


def test_programs_run_calls_at_the_same_time_and_show_what_they_print() -> None:
    """Gathered calls overlap; only what is printed reaches the prompt; two model calls."""
    model = ScriptedModel([f"I look.\n```python\n{PROGRAM}\n```\nOutput:\n1", "Answer: 238"], seconds_per_reply=1)
    answer, seconds = answered(programmatic(), model)
    assert answer.text == "238"
    assert len(model.calls) == 2
    assert seconds == 1 + 2 + 1 + 1
    assert (answer.tasks, answer.width, answer.depth, answer.errors) == (3, 2, 2, ())
    assert [each.text for each in model.calls[1][1:]] == [
        "How much taller is Everest than K2?",
        f"I look.\n```python\n{PROGRAM}\n```",
        "Output:\n238\n",
    ]


def test_example_programs_show_what_comes_after_them() -> None:
    """The benchmark's plans as programs, with the output and the answer that the ReAct prompt has for them."""
    model = ScriptedModel(["Answer: 238"])
    answered(programmatic(), model)
    assert model.calls[0][0].text.endswith(
        """\
# Examples
Question: How much is Elbrus above Denali?
```python
import asyncio
r1, r2 = await asyncio.gather(lookup('Elbrus'), lookup('Denali'))
r3 = await subtract(r2, r1)
print(r3)
```
Output:
548
Thought: It is lower.
Answer: -548"""
    )


def test_example_programs_go_on_after_a_replan() -> None:
    """The plan that follows is a second program, after the output of the first and the thought that asked for it."""
    model = ScriptedModel(["Answer: 238"])
    answered(programmatic(), model, replace(HOTPOTQA_BRIDGE, tools=BENCHMARK.tools))
    assert model.calls[0][0].text.endswith(
        """\
r1 = await search(entity='Fallingwater')
print(r1)
```
Output:
Fallingwater is a house designed by the architect Frank Lloyd Wright in 1935.
Thought: The architect is Frank Lloyd Wright; where he was born is not known yet.
```python
import asyncio
r2 = await search(entity='Frank Lloyd Wright')
print(r2)
```
Output:
Frank Lloyd Wright was an American architect, born in Richland Center, Wisconsin.
Thought: Wisconsin is in the United States.
Answer: the United States"""
    )


@tool
async def peaks(area: str) -> list[dict[str, str]]:
    """List the peaks of an area."""
    return [{"name": "Everest"}, {"name": "K2"}]


MANY = replace(
    BENCHMARK,
    tools=lambda *_: [*BENCHMARK.tools(SAMPLE, "local"), peaks],
    examples=(PlanExample("Peaks?", '1. peaks("Asia")\n2. lookup(${1[*].name})\n3. lookup(${1[0].name})\n4. join()'),),
)


def test_the_program_of_a_plan_with_many_calls_of_a_task_runs() -> None:
    """`[*]` becomes a loop, whose calls and those beside them run at the same time."""
    shown = ScriptedModel(["Answer: 0"])
    answered(programmatic(), shown, MANY)
    program = shown.calls[0][0].text.rpartition("```python\n")[2].partition("```")[0]
    answer, seconds = answered(programmatic(), ScriptedModel([f"```python\n{program}```", "Answer: 0"]), MANY)
    assert (answer.tasks, answer.errors, seconds) == (4, (), 2)


def test_what_a_program_prints_is_shown_whole() -> None:
    """The model is shown all that its program prints, as LLMCompiler is shown its observations."""
    model = ScriptedModel(["```python\nprint('a' * 20_000)\n```", "Answer: 0"])
    answered(programmatic(), model)
    assert model.calls[1][-1].text == f"Output:\n{'a' * 20_000}\n"


def test_rewoo_makes_all_calls_of_a_step() -> None:
    """`#E1[*]` is every element of evidence, one call after another, as its examples have it."""
    model = ScriptedModel(['#E1 = peaks("Asia")\n#E2 = lookup(entity=#E1[*].name)', "Answer: 0"])
    answer, seconds = answered(rewoo(), model, MANY)
    assert "#E2 = lookup(#E1[*].name)" in model.calls[0][0].text
    assert "#E2 = [8849, 8611]" in model.calls[1][-1].text
    assert (answer.tasks, answer.errors, seconds) == (3, (), 4)


def test_the_steps_of_plan_and_execute_say_each_in_words() -> None:
    """In the examples of plan-and-execute, references between steps are words."""
    model = TextModel(["Answer: 0"])
    answered(plan_and_execute(), model, MANY)
    assert "2. lookup((name of each of the results of step 1))" in model.calls[0][0].text


def test_chains_in_a_program_do_not_wait_for_each_other() -> None:
    """A call that is ready starts while others still run, at the exact time, whatever the sandbox takes."""
    code = """\
import asyncio
async def both(a, b):
    return await subtract(await lookup(a), b)
async def slow():
    await subtract(1, 1)
    await subtract(1, 1)
    return await subtract(1, 1)
print(await asyncio.gather(both("Everest", 1), slow()))"""
    model = ScriptedModel([f"```python\n{code}\n```", "Answer: 1"])
    answer, seconds = answered(programmatic(), model)
    assert seconds == 3
    assert [(each["name"], each["start"], each["finish"]) for each in answer.timeline] == [
        ("subtract", 0, 1),
        ("lookup", 0, 2),
        ("subtract", 1, 2),
        ("subtract", 2, 3),
        ("subtract", 2, 3),
    ]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ('await lookup("K3")', "RuntimeError: no facts for 'K3'"),
        ("1 / 0", "ZeroDivisionError"),
        ("print(1", "error: "),
        ("await find('K2')", "NameError: name 'find' is not defined"),
        ("open('/etc/passwd').read()", "PermissionError"),
        ("import os\nos.system('true')", "AttributeError"),
        ("await lookup(1, 2, 3)", "error: RuntimeError"),
        ("x = 'x' * 10**9", "MemoryError"),
        ('print("a")\nraise ValueError("b")', "a\nerror: ValueError: b"),
    ],
)
def test_what_goes_wrong_in_a_program_is_its_output(code: str, said: str) -> None:
    """Exceptions, what the sandbox forbids and what tools raise are shown to the model; the loop goes on."""
    model = ScriptedModel([f"```python\n{code}\n```", "Answer: 238"])
    answer, _ = answered(programmatic(), model)
    assert answer.text == "238"
    assert said in model.calls[1][-1].text
    assert answer.errors


def test_a_program_can_catch_what_a_tool_raises_and_pass_tools_around() -> None:
    """Tools are functions like any other in there; the last expression's value is shown if nothing is printed."""
    code = """\
async def tried(tool, name):
    try:
        return await tool(name)
    except Exception as error:
        return str(error)
[await tried(lookup, each) for each in ("K2", "K3")]"""
    model = ScriptedModel([f"```python\n{code}\n```", "Answer: 1"])
    answered(programmatic(), model)
    assert model.calls[1][-1].text == """Output:\n[8611, "no facts for 'K3'"]"""


def test_programs_without_end_are_stopped() -> None:
    """After `max_steps` programs the loop ends, with an error in the answer."""
    model = ScriptedModel(["```python\nprint(1)\n```"] * 10)
    answer, _ = answered(programmatic(), model)
    assert len(model.calls) == BENCHMARK.max_steps
    assert answer.errors == ("stopped after 4 turns",)


def test_example_plans_are_programs_that_run() -> None:
    """A plan with fields, text and braces becomes a program that does the same."""
    from llmcompiler_graph.evaluation.systems.programmatic import _as_program

    plan = """1. lookup("K2")\n2. echo(text="{'a': '$1', \\"b\\": [0]}")\n3. echo(text="${2.text} $$5")\n4. join()"""

    @tool
    async def echo(text: str) -> dict[str, str]:
        """Say it again."""
        return {"text": text}

    said = {"text": """{'a': '8611', "b": [0]} $5"""}
    both = replace(BENCHMARK, tools=lambda *given: [*BENCHMARK.tools(*given), echo])
    model = ScriptedModel([f"```python\n{_as_program(parse_plan(plan))}\n```", "Answer: 1"])
    answered(programmatic(), model, both)
    assert model.calls[1][-1].text == f"Output:\n{said}\n"


@tool
async def thought_proposer(puzzle: str, state: str) -> list[str]:
    """Propose."""
    await asyncio.sleep(1)
    return [f"{state}{letter}" for letter in puzzle]


@tool
async def state_evaluator(puzzle: str, states: list[str]) -> list[float]:
    """Value."""
    await asyncio.sleep(1)
    return [state.count("b") for state in states]


def test_tree_of_thoughts_is_a_sequential_beam() -> None:
    """Each round proposes from each kept state and values each proposal, one call at a time; ties keep their order."""
    benchmark = Benchmark("abc", lambda _: [], lambda *_: [thought_proposer, state_evaluator], lambda *_: Score(0, 0))
    answer, seconds = answered(tree_of_thoughts(rounds=2, keep=2), ScriptedModel(), benchmark, question="abc")
    assert answer.text == "bb\nba"
    assert seconds == (1 + 3) + (2 + 6)
    assert (answer.tasks, answer.width) == (12, 1)
    assert tree_of_thoughts(rounds=2).name == "tree_of_thoughts[rounds=2]"
    assert tree_of_thoughts().name == "tree_of_thoughts"


def test_tree_of_thoughts_says_which_tools_it_needs() -> None:
    """A benchmark without a proposer and a valuer cannot be searched."""
    with pytest.raises(ConfigurationError, match="thought_proposer"):
        answered(tree_of_thoughts(), ScriptedModel())


def test_points_of_a_skeleton_are_written_at_the_same_time() -> None:
    """An outline, all points at once, an answer: three replies' time for five model calls."""

    def point(messages: list[BaseMessage]) -> str:
        return f"Sentence {messages[-1].text.split('point ')[1][0]}."

    replies: list[Any] = ["1. Height of Everest\n2. Height of K2\n3. Difference", point, point, point, "Answer: 238"]
    model = ScriptedModel(replies, seconds_per_reply=1)
    answer, seconds = answered(skeleton_of_thought(), model)
    assert answer.text == "238"
    assert (seconds, len(model.calls)) == (3, 5)
    assert "1. Height of Everest Sentence 1.\n2. Height of K2 Sentence 2." in model.calls[-1][0].text
