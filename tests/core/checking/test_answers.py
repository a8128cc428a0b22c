import json
import re
from importlib.resources import files
from typing import Any

import pytest

from llmcompiler_graph.calls.specs import tool_specs
from llmcompiler_graph.core.checking.answers import AnswerCheck, AnswerDoubt
from llmcompiler_graph.core.checking.checker import Checker, collect
from llmcompiler_graph.core.checking.said_answers import unsaid
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.evaluation.benchmarks.parallelqa import PARALLELQA
from llmcompiler_graph.evaluation.records import Sample
from llmcompiler_graph.tools import calculate
from llmcompiler_graph.tools.facts import load_index
from llmcompiler_graph.tools.lookup import find

TOOLS = tool_specs(PARALLELQA.tools(Sample("1", "", "", {"facts": {}}), "none"))
LOOKUPS = '1. search(entity="Lake Erie")\n2. search(entity="Lake Onega")\n3. search(entity="Dead Sea")\n'


FIELD = re.compile(r"\{([^{}':]+)\.(\w+)\}")
FIELD_OF = re.compile(r"\$\{(\d+)\.(\w+)\}")


def own_questions() -> list[dict[str, Any]]:
    """Our own questions, with a program for each answer."""
    text = files("llmcompiler_graph.evaluation.benchmarks").joinpath("reasoning.json").read_text(encoding="utf-8")
    questions: list[dict[str, Any]] = json.loads(text)
    return questions


def value(program: str, measures: list[dict[str, Any]]) -> Any:
    """What a calculation comes to."""
    return calculate.invoke(FIELD_OF.sub(lambda match: str(measures[int(match[1]) - 1][match[2]]), program))


def doubted(question: str, plan: str, tools: Any = TOOLS) -> AnswerDoubt | None:
    """Doubt a plan, as a draft does once it is whole."""
    parser = PlanParser(tools={spec.name: tuple(spec.parameters) for spec in tools})
    events = [*parser.feed(plan), *parser.close()]
    found, problems = collect(events, Checker(tools))
    assert not problems
    return AnswerCheck(question, tools).doubt(list(found))


def lookups_for(plan: str) -> str:
    """The lookups that a calculation refers to."""
    return "".join(line for line in LOOKUPS.splitlines(keepends=True) if f"${{{line[0]}" in plan)


@pytest.mark.parametrize(
    ("question", "plan", "completed"),
    [
        (
            "Lake Erie grows by 5%, Lake Onega shrinks by 10%. Which lake is smaller then?",
            'calculate("${1.area_km2} * 1.05 - ${2.area_km2} * 0.9")',
            "argmin({'Lake Erie': ${1.area_km2} * 1.05, 'Lake Onega': ${2.area_km2} * 0.9})",
        ),
        (
            "What is the area of the largest of the three?",
            "calculate(\"argmax({'a': ${1.area_km2}, 'b': ${2.area_km2}, 'c': ${3.area_km2}})\")",
            "max(${1.area_km2}, ${2.area_km2}, ${3.area_km2})",
        ),
        (
            "What is the average area of Lake Erie, Lake Onega and the Dead Sea, in millions of square kilometres?",
            'calculate("${1.area_km2} + ${2.area_km2} + ${3.area_km2}")',
            "(mean(${1.area_km2}, ${2.area_km2}, ${3.area_km2})) / 1000000",
        ),
        (
            "What is the ratio of the largest to the smallest of the three?",
            'calculate("${1.area_km2} / ${2.area_km2} / ${3.area_km2}")',
            "max(${1.area_km2}, ${2.area_km2}, ${3.area_km2}) / min(${1.area_km2}, ${2.area_km2}, ${3.area_km2})",
        ),
        (
            "If Lake Erie grew by 7% and Lake Onega doubled, how large would all three be together?",
            'calculate("sum(${1.area_km2}, ${2.area_km2}, ${3.area_km2})")',
            "sum((${1.area_km2} * 1.07), (${2.area_km2} * 2), ${3.area_km2})",
        ),
        (
            "If Lake Erie grew by 7%, how much larger would it be than Lake Onega?",
            'calculate("${1.area_km2} * 7 - ${2.area_km2}")',
            "${1.area_km2} * 1.07 - ${2.area_km2}",
        ),
        (
            "If Lake Erie grew by 7%, how much larger would it be than Lake Onega?",
            'calculate("${1.area_km2} * 0.07 - ${2.area_km2}")',
            "${1.area_km2} * 1.07 - ${2.area_km2}",
        ),
        (
            "What is the mean of the areas of Lake Erie and Lake Onega?",
            'calculate("${1.area_km2} / ${2.area_km2}")',
            "mean(${1.area_km2}, ${2.area_km2})",
        ),
        (
            "Lake Erie grows by 30%, Lake Onega by 100%, the Dead Sea shrinks by 40%. What is the area of the largest?",
            'calculate("max(${1.area_km2}, ${2.area_km2}, ${3.area_km2})")',
            "max((${1.area_km2} * 1.3), (${2.area_km2} * 2), (${3.area_km2} * 0.6))",
        ),
        (
            "How many times as large as the smallest is the largest of the three?",
            "calculate(\"argmax({'a': ${1.area_km2}, 'b': ${2.area_km2}, 'c': ${3.area_km2}})\")",
            "max(${1.area_km2}, ${2.area_km2}, ${3.area_km2}) / min(${1.area_km2}, ${2.area_km2}, ${3.area_km2})",
        ),
        (
            "What is the difference between the areas of Lake Erie and Lake Onega?",
            'calculate("${2.area_km2} - ${1.area_km2}")',
            "abs(${2.area_km2} - ${1.area_km2})",
        ),
        (
            "By how many kilometres is Lake Erie deeper than Lake Onega?",
            'calculate("${1.depth_m} - ${2.depth_m}")',
            "(${1.depth_m} - ${2.depth_m}) / 1000",
        ),
    ],
)
def test_one_last_task_is_completed(question: str, plan: str, completed: str) -> None:
    """A last calculation that gives something else, or leaves out a number, is completed where there is no choice."""
    doubt = doubted(question, lookups_for(plan) + f"4. {plan}\n5. join()")
    assert doubt is not None
    assert (doubt.task, doubt.line) == (4, f'4. calculate(expression="{completed}")')


@pytest.mark.parametrize(
    ("steps", "completed"),
    [
        ('4. calculate("${1.depth_m} * 1.7 / ${2.depth_m}")', "${1.depth_m} * 1.07 / ${2.depth_m}"),
        (
            '4. calculate("${1.depth_m} * 0.7")\n5. calculate("$4 / ${2.depth_m}")',
            "(${1.depth_m} * 1.07) / ${2.depth_m}",
        ),
        ('4. calculate("${1.depth_m} * 1000 / ${2.depth_m}")', "(${1.depth_m} * 1.07) * 1000 / ${2.depth_m}"),
        ('4. calculate("(${1.depth_m} + ${2.depth_m}) / 2")', "((${1.depth_m} * 1.07) + ${2.depth_m}) / 2"),
    ],
)
def test_a_change_that_was_got_wrong_is_put_right(steps: str, completed: str) -> None:
    """A factor that the question does not tell of gives way to the one that is missing; a conversion stays."""
    plan = "".join(LOOKUPS.splitlines(keepends=True)[:2]) + steps
    asked = "mean" if "+" in steps else "ratio"
    doubt = doubted(f"If Lake Erie became 7% deeper, what would be the {asked} of its depth and Lake Onega's?", plan)
    assert doubt is not None
    assert doubt.line.endswith(f'calculate(expression="{completed}")')


@pytest.mark.parametrize(
    ("question", "plan", "completed"),
    [
        (
            "With Lake Erie grown by 20%, Lake Onega grown by 20%, the Dead Sea 4 times smaller, which is the largest?",
            'calculate("max(${1.area_km2}, ${2.area_km2}, ${3.area_km2})")',
            "argmax({'Lake Erie': (${1.area_km2} * 1.2), 'Lake Onega': (${2.area_km2} * 1.2), "
            "'Dead Sea': (${3.area_km2} * 0.25)})",
        ),
        (
            "If Lake Erie were enlarged by 2.5 times and Lake Onega cut by 10%, which lake would be the smaller one?",
            'calculate("${1.area_km2} - ${2.area_km2}")',
            "argmin({'Lake Erie': ${1.area_km2} * 2.5, 'Lake Onega': ${2.area_km2} * 0.9})",
        ),
        (
            "Suppose Lake Erie were three times as large, Lake Onega four times smaller. Which lake would be smaller?",
            'calculate("${1.area_km2} - ${2.area_km2}")',
            "argmin({'Lake Erie': ${1.area_km2} * 3, 'Lake Onega': ${2.area_km2} * 0.25})",
        ),
        (
            "What is the ratio of the depth of Lake Erie, deepened by 7%, to that of Lake Onega?",
            'calculate("${1.depth_m} / ${2.depth_m}")',
            "(${1.depth_m} * 1.07) / ${2.depth_m}",
        ),
        (
            "Lake Erie is 40% smaller and Lake Onega 30% larger now. Which lake is the larger one?",
            'calculate("0.4 * ${1.area_km2} - 0.3 * ${2.area_km2}")',
            "argmax({'Lake Erie': ${1.area_km2} * 0.6, 'Lake Onega': ${2.area_km2} * 1.3})",
        ),
        (
            "If Lake Erie shrank four times and Lake Onega grew by 5%, which lake would be the larger one?",
            'calculate("${1.area_km2} - ${2.area_km2}")',
            "argmax({'Lake Erie': ${1.area_km2} * 0.25, 'Lake Onega': ${2.area_km2} * 1.05})",
        ),
        (
            "Lake Erie doubles and Lake Onega doubles. Which of the two lakes is the larger one?",
            'calculate("${1.area_km2} - ${2.area_km2}")',
            "argmax({'Lake Erie': ${1.area_km2} * 2, 'Lake Onega': ${2.area_km2} * 2})",
        ),
        (
            "How many times would the shallowest of the three go into the deepest if Lake Erie were 10% deeper?",
            'calculate("(${1.depth_m} * 1.1) * ${2.depth_m} * ${3.depth_m}")',
            "max(${1.depth_m} * 1.1, ${2.depth_m}, ${3.depth_m}) / min(${1.depth_m} * 1.1, ${2.depth_m}, ${3.depth_m})",
        ),
        (
            "Lake Erie grows by 20% and Lake Onega shrinks by 3%. What is their combined area in millions?",
            'calculate("(${1.area_km2} * 0.2) + (${2.area_km2} * -0.03)")',
            "((${1.area_km2} * 1.2) + (${2.area_km2} * 0.97)) / 1000000",
        ),
    ],
)
def test_changes_by_equal_numbers_by_times_and_as_shares(question: str, plan: str, completed: str) -> None:
    """Things are told apart by where their numbers stand; `n times` multiplies or divides; a share becomes a change."""
    doubt = doubted(question, lookups_for(plan) + f"4. {plan}\n5. join()")
    assert doubt is not None
    assert doubt.line == f'4. calculate(expression="{completed}")'


def test_several_ends_are_joined() -> None:
    """A plan that ends with several numbers is given the step that makes one answer of them."""
    plan = f'{LOOKUPS}4. calculate("${{1.area_km2}} * 2")\n5. calculate("${{2.area_km2}} * 3")\n6. join()'
    doubt = doubted("Lake Erie doubles, Lake Onega trebles. Which of the three is the largest lake?", plan)
    assert doubt is not None
    assert doubt.line == (
        "6. calculate(expression=\"argmax({'Dead Sea': ${3.area_km2}, 'Lake Erie': $4, 'Lake Onega': $5})\")"
    )


def test_what_an_extreme_leaves_out_is_put_in() -> None:
    """What was looked up, and is not among those of which the largest and the smallest are taken, is put in."""
    plan = (
        f'{LOOKUPS}4. calculate("max(${{1.area_km2}} * 0.9, ${{2.area_km2}}) / min(${{1.area_km2}}, ${{2.area_km2}})")'
    )
    doubt = doubted("Lake Erie shrinks by 10%. What is the ratio of the largest to the smallest of the three?", plan)
    assert doubt is not None
    terms = "${3.area_km2}, ${1.area_km2} * 0.9, ${2.area_km2}"
    assert f"max({terms}) / min({terms})" in doubt.line


@pytest.mark.parametrize(
    ("question", "plan"),
    [
        ("Which lake is larger by far, and which is best for you?", f"{LOOKUPS}4. join()"),
        ("What is the greater ratio of the areas, of the first to the second or of that to the third?", LOOKUPS),
        (
            "If all three grew by 5% each, how large would they be in total?",
            f'{LOOKUPS}4. calculate("${{1.area_km2}}")',
        ),
        ("Is Lake Erie larger than Lake Onega?", f'{LOOKUPS}4. calculate("${{1.area_km2}} - ${{2.area_km2}}")'),
        (
            "How much area is lost if Lake Erie shrinks by 10%?",
            f'{LOOKUPS.splitlines()[0]}\n4. calculate("${{1.area_km2}} * 0.1")',
        ),
        ("How many people live per square kilometre there?", '1. search(entity="Bangladesh")'),
    ],
)
def test_where_there_is_a_choice_nothing_is_doubted(question: str, plan: str) -> None:
    """Nothing is completed where the question leaves a choice."""
    assert doubted(question, plan) is None


@pytest.mark.parametrize(
    ("question", "plan"),
    [
        (
            "Lake Erie grows by 5%. Which is larger then, Lake Erie or Lake Onega?",
            "4. calculate(\"argmax({'a': ${1.area_km2} * 1.05, 'b': ${2.area_km2}})\")",
        ),
        ("What is 30% of Lake Erie's area?", '4. calculate("${1.area_km2} * 30 / 100")'),
        ("Lake Erie shrinks by a half: how large is it?", '4. calculate("${1.area_km2} / 2")'),
        (
            "Lake Erie grows by 5%. How large is it?",
            '4. calculate("${1.area_km2} + ${1.area_km2} * 0.05")',
        ),
        ("By how much do the 5% change Lake Erie?", '4. calculate("${1.area_km2} * 0.05")'),
        ("Is Lake Erie larger than Lake Onega?", '4. calculate("${1.area_km2} > ${2.area_km2}")'),
        ("What is the area of Lake Erie?", ""),
        ("Where is Lake Erie?", '4. calculate("${1.area_km2}")'),
        (
            "Which is larger, Lake Erie or the Dead Sea?",
            "4. calculate(\"'Erie' if ${1.area_km2} > ${3.area_km2} else 'Dead'\")",
        ),
        (
            "What is the average of the three areas?",
            '4. calculate("(${1.area_km2} + ${2.area_km2} + ${3.area_km2}) / 3")',
        ),
    ],
)
def test_good_plans_are_not_doubted(question: str, plan: str) -> None:
    """A plan that gives what is asked for, with every number, is taken as it stands."""
    assert doubted(question, (lookups_for(plan) or '1. search(entity="Lake Erie")\n') + plan) is None


def test_without_a_tool_that_calculates_nothing_is_doubted() -> None:
    """Plans of tools that do not calculate have no last step that could be wanting."""
    tools = [spec for spec in TOOLS if spec.name == "search"]
    assert doubted("Which of the three is the largest lake?", LOOKUPS, tools) is None


@pytest.mark.parametrize(
    ("value", "answer", "is_unsaid"),
    [
        (237.86, "237.86 m", False),
        (237.86, "about 238 metres", False),
        (1_578_282_800, "1.578 billion", False),
        (0.25, "25 %", False),
        (-109.93, "109.93", False),
        (237.86, "2378.6", True),
        (237.86, "Everest", True),
        (True, "3", False),
    ],
)
def test_numbers_of_an_answer(value: float, answer: str, *, is_unsaid: bool) -> None:
    """A number is said rounded, in thousands and so on, or in percent; ten times as much is another number."""
    assert unsaid("number", value, answer) is is_unsaid


@pytest.mark.parametrize(
    ("question", "steps", "completed"),
    [
        (
            "Is Lake Erie, grown by 7%, still smaller than Lake Onega?",
            '4. calculate("${1.area_km2} * 1.07 - ${2.area_km2}")',
            "${1.area_km2} * 1.07 < ${2.area_km2}",
        ),
        (
            "Is the area of Lake Onega more than 40% of that of Lake Erie?",
            '4. calculate("${2.area_km2} / ${1.area_km2} * 100")',
            "${2.area_km2} > ${1.area_km2} * 0.4",
        ),
        (
            "By how many metres is Lake Onega deeper than Lake Erie?",
            '4. calculate("${1.depth_m} - ${2.depth_m}")',
            "abs(${1.depth_m} - ${2.depth_m})",
        ),
        (
            "By how many kilometres would Lake Erie, 7% deeper, be deeper than Lake Onega?",
            '4. calculate("${1.depth_m} * 1.07")\n5. calculate("${2.depth_m} - $4")',
            "abs((${2.depth_m} - $4) / 1000)",
        ),
        (
            "What is the ratio of the average area of Lake Erie and Lake Onega to the Dead Sea's?",
            '4. calculate("(${1.area_km2} + ${2.area_km2}) / ${3.area_km2}")',
            "mean(${1.area_km2}, ${2.area_km2}) / ${3.area_km2}",
        ),
        (
            "Lake Erie grows by 7%. What is the ratio of the largest to the smallest of the three?",
            '4. calculate("${1.area_km2} * 1.07 / ${2.area_km2}")',
            "max(${3.area_km2}, ${1.area_km2} * 1.07, ${2.area_km2})"
            " / min(${3.area_km2}, ${1.area_km2} * 1.07, ${2.area_km2})",
        ),
        (
            "What is the larger ratio of the depth of Lake Erie to Lake Onega, and Lake Onega to the Dead Sea?",
            '4. calculate("${1.depth_m} / ${2.depth_m}")',
            "max(${1.depth_m} / ${2.depth_m}, ${2.depth_m} / ${3.depth_m})",
        ),
        (
            "What is the larger ratio of the depth of Lake Erie to Lake Onega, and Lake Onega to the Dead Sea?",
            "",
            "max(${1.depth_m} / ${2.depth_m}, ${2.depth_m} / ${3.depth_m})",
        ),
        (
            "Lake Erie shrinks by 7%, Lake Onega doubles. What is the difference between the largest and the smallest?",
            "4. calculate(\"argmax({'Lake Erie': ${1.area_km2} * 0.93, 'Lake Onega': ${2.area_km2} * 2, "
            '\'Dead Sea\': ${3.area_km2}})")\n5. calculate("${1.area_km2} * 0.93 - ${2.area_km2} * 2.5")',
            "max(${1.area_km2} * 0.93, ${2.area_km2} * 2, ${3.area_km2})"
            " - min(${1.area_km2} * 0.93, ${2.area_km2} * 2, ${3.area_km2})",
        ),
        (
            "Lake Erie shrinks by 7%. Which lake surpasses the others in area?",
            '4. calculate("${1.area_km2} * 0.93")',
            "argmax({'Lake Onega': ${2.area_km2}, 'Dead Sea': ${3.area_km2}, 'Lake Erie': $4})",
        ),
        (
            "Largest ratio of depths, please: Lake Erie to Lake Onega, or Lake Onega to the Dead Sea?",
            "",
            "max(${1.depth_m} / ${2.depth_m}, ${2.depth_m} / ${3.depth_m})",
        ),
        (
            "Which is the larger ratio: Lake Erie's depth to Lake Onega's, or Lake Onega's to the Dead Sea's? "
            "Give the number.",
            '4. calculate("${1.depth_m} / ${2.depth_m} / ${3.depth_m}")',
            "max(${1.depth_m} / ${2.depth_m}, ${2.depth_m} / ${3.depth_m})",
        ),
        (
            "Lake Erie lost a third of its area, Lake Onega gained a quarter. Which is smaller?",
            '4. calculate("${1.area_km2} * 2 / 3 - ${2.area_km2} * 1.25")',
            "argmin({'Lake Erie': ${1.area_km2} * 2 / 3, 'Lake Onega': ${2.area_km2} * 1.25})",
        ),
        (
            "What is the smaller difference in depth in kilometres between Lake Erie and Lake Onega, and Lake Onega "
            "and the Dead Sea?",
            "",
            "(min(abs(${1.depth_m} - ${2.depth_m}), abs(${2.depth_m} - ${3.depth_m}))) / 1000",
        ),
    ],
)
def test_several_things_are_put_right_at_once(question: str, steps: str, completed: str) -> None:
    """What is completed is looked at again; comparisons, pairs, averages and signs are as the question says."""
    lookups = lookups_for(steps) if steps and not re.search("three|larger|smallest|others", question) else LOOKUPS
    doubt = doubted(question, f"{lookups}{steps}")
    assert doubt is not None
    assert doubt.text == completed


@pytest.mark.parametrize(
    ("question", "plan"),
    [
        ("Is Lake Erie no larger than Lake Onega?", '4. calculate("${1.area_km2} - ${2.area_km2}")'),
        ("Is Lake Erie larger than Lake Onega by 30%?", '4. calculate("${1.area_km2} / ${2.area_km2}")'),
        ("How much smaller is Lake Onega than Lake Erie?", '4. calculate("${1.area_km2} - ${2.area_km2}")'),
        (
            "What is the larger ratio of the depth of Lake Erie to Lake Onega, and Lake Onega to the Dead Sea?",
            '4. calculate("${1.depth_m} / ${2.depth_m}")\n5. calculate("${2.depth_m} / ${3.depth_m}")\n'
            '6. calculate("max($4, $5)")',
        ),
    ],
)
def test_what_is_right_or_unclear_is_not_doubted(question: str, plan: str) -> None:
    """A plan that is right in other words is left as it is, and so is one for a question that leaves a choice."""
    assert doubted(question, (LOOKUPS if "larger ratio" in question else lookups_for(plan)) + plan) is None


def test_no_plan_that_is_right_is_made_wrong() -> None:
    """The programs of our own questions, as plans, come to the same answers after the check."""
    index, questions = load_index(), own_questions()
    for question in questions:
        names = list(dict.fromkeys(name for name, _ in FIELD.findall(question["program"])))
        program = question["program"]
        for n, name in enumerate(names, 1):
            program = program.replace(f"{{{name}.", f"${{{n}.")
        looked_up = "".join(f"{n}. search(entity={json.dumps(name)})\n" for n, name in enumerate(names, 1))
        plan = f"{looked_up}{len(names) + 1}. calculate(expression={json.dumps(program)})"
        doubt = doubted(f"{question['question']}\n\n{PARALLELQA.instructions}", plan)
        measures = [dict(find(name, index)) for name in names]
        right, completed = (value(text, measures) for text in (program, doubt.text if doubt else program))
        assert right == pytest.approx(completed), question
    assert len(questions) > 100


@pytest.mark.parametrize(
    ("question", "plan", "wanting"),
    [
        (
            "After the Dead Sea falls by 5%, what is the ratio of the deepest to the shallowest of the three?",
            '4. calculate("${1.depth_m} / ${2.depth_m}")',
            ["Dead Sea"],
        ),
        (
            "What is the larger ratio of depths: Lake Erie's to Lake Onega's, or Lake Onega's to Lake Ladoga's?",
            "",
            ["Lake Ladoga"],
        ),
        ("After Easter, Lake Erie grew by 5%. How large is it?", '4. calculate("${1.area_km2}")', []),
        ("In Canada, Lake Erie grew by 5%. How much larger is it than Lake Onega?", "", []),
        ("Lake Erie grew by 5%, the United Nations say. Which lake is larger, it or Lake Onega?", "", []),
    ],
)
def test_what_was_not_looked_up_is_wanting(question: str, plan: str, wanting: list[str]) -> None:
    """What the question changes or compares in pairs is looked up; other names in it are not."""
    lookups = "".join(LOOKUPS.splitlines(keepends=True)[:2])
    doubt = doubted(question, f"{lookups}{plan}")
    assert [task.arguments["entity"] for task in (doubt.before if doubt else ())] == wanting


def test_a_name_that_was_cut_short_is_written_in_full() -> None:
    """What is looked up is the thing that the question names, if the question has its name in one way only."""
    check = AnswerCheck("Is the Niger River longer than the Po?", TOOLS)
    tasks = [Task(1, "search", {"entity": name}) for name in ("Niger", "Po", "Rhine")]
    assert [check.in_full(task).arguments["entity"] for task in tasks] == ["Niger River", "Po", "Rhine"]
    for question, name, full in (
        ("Is the Empire State Building higher than K2?", "Empire", "Empire State Building"),
        ("Is Anna 3 inches taller than Ben?", "Anna", "Anna"),
        ("Is K2 Asia's highest mountain, higher than Lhotse?", "K2", "K2"),
        ("Instead of the Laptop I take the Phone. How much do I save?", "Laptop", "Laptop"),
        ("HOW MUCH LARGER IS PERU THAN CHILE?", "PERU", "PERU"),
        ("With the Dead Sea 4 times smaller, which is the largest?", "Dead Sea", "Dead Sea"),
        ("With K2 300 m lower, which is the highest?", "K2", "K2"),
    ):
        assert AnswerCheck(question, TOOLS).in_full(Task(1, "search", {"entity": name})).arguments["entity"] == full
    calculation = Task(4, "calculate", {"expression": "Niger"})
    assert check.in_full(calculation) is calculation
