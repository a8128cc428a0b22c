import pytest

from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.core.language.plan import (
    Observation,
    Plan,
    Task,
    ToolSpec,
    render_call,
    render_value,
)
from llmcompiler_graph.core.language.references import ALL, Reference, Template, Value


def test_a_plan_is_a_sequence_of_its_tasks() -> None:
    """A plan's tasks can be iterated and counted, in the order written."""
    plan = Plan((Task(2, "g"), Task(1, "f")))
    assert [task.index for task in plan] == [2, 1]
    assert len(plan) == 2


def test_join_is_numbered_past_every_task() -> None:
    """A plan's text ends with a join whose number no task has."""
    assert str(Plan(())) == "1. join()"
    assert str(Plan((Task(7, "f"), Task(3, "g")))) == "7. f()\n3. g()\n8. join()"


def test_dependencies_come_from_everywhere_once_and_ascending() -> None:
    """References at any depth, templates, positions and `after` all count."""
    task = Task(
        9,
        "f",
        {"a": [{"b": Reference(3)}], "c": Template(("x", Reference(5), Reference(3)))},
        after=(8, 1),
        positional=(Reference(2, ("k",)), "$4"),
    )
    assert task.dependencies == (1, 2, 3, 5, 8)
    assert Task(1, "f", {"a": "$7"}).dependencies == ()


def test_a_task_is_written_with_thought_arguments_and_after() -> None:
    """Thoughts come first, a line each; positions come before names; `after` comes last."""
    task = Task(3, "f", {"a": 1}, (1, 2), ("x",), "first\n\nlast")
    assert str(task) == 'Thought: first\nThought: \nThought: last\n3. f("x", a=1) after $1, $2'


def test_a_thought_is_broken_at_newlines_only() -> None:
    """What else Unicode takes for a line break stays in the line, so the thought reads back."""
    plan = Plan((Task(1, "f", thought="a\u2028b\x0bc\x85d"),))
    assert str(plan).count("Thought:") == 1
    assert parse_plan(str(plan)) == plan


def test_where_a_task_stands_does_not_make_it_another() -> None:
    """Tasks compare by what they do, not by where they stand in the text."""
    assert Task(1, "f", line=3, column=9) == Task(1, "f")
    assert Task(1, "f", thought="x") != Task(1, "f")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (-1.5, "-1.5"),
        (1e300, "1e+300"),
        ("", '""'),
        ('a "b" \\ \n\t é', '"a \\"b\\" \\\\ \\n\\t é"'),
        ("$1 $ ${2}", '"$$1 $$ $${2}"'),
        (Reference(1), "$1"),
        (Reference(1, ("a", -1, ALL, "b c")), '${1.a[-1][*]["b c"]}'),
        ([1, [Reference(2)], {}], "[1, [$2], {}]"),
        ({"$1": "$1", 'q"': Reference(1)}, '{"$1": "$$1", "q\\"": $1}'),
        (Template(("a ", Reference(1), " b")), '"a $1 b"'),
        (Template((Reference(1), Reference(2))), '"$1$2"'),
        (Template((Reference(1), "0")), '"${1}0"'),
        (Template((Reference(1), ".5")), '"${1}.5"'),
        (Template((Reference(1), ",000")), '"${1},000"'),
        (Template((Reference(1), "{a}")), '"$1{a}"'),
        (Template((Reference(1, ("a",)), "x")), '"${1.a}x"'),
        (Template(("$", Reference(1))), '"$$$1"'),
        (Template(("a", Reference(1, ('"',)))), '"a${1[\\"\\\\\\"\\"]}"'),
    ],
)
def test_values_are_written_as_plan_text(value: Value, text: str) -> None:
    """Canonical: double quotes, doubled dollars, braces only where they are needed."""
    assert render_value(value) == text


def test_a_call_is_written_positions_first() -> None:
    """`render_call` is the task without its number."""
    assert render_call("f", {"b": Reference(1)}, (1, "x")) == 'f(1, "x", b=$1)'
    assert render_call("f", {}) == "f()"


def test_an_observation_compares_by_what_was_observed() -> None:
    """What the caller attached does not make it another."""
    assert Observation("done", 1, attachment=object()) == Observation("done", 1)
    assert Observation("done", 1) != Observation("done", 2)


@pytest.mark.parametrize(
    ("read_only", "destructive", "effects", "repeatable"),
    [
        (None, None, False, False),
        (True, None, False, True),
        (True, False, False, True),
        (False, None, True, False),
        (None, True, True, False),
        (None, False, False, False),
        (True, True, True, False),
        (False, False, True, False),
    ],
)
def test_hints_decide_what_may_run_early_and_twice(
    read_only: bool | None, destructive: bool | None, effects: bool, repeatable: bool
) -> None:
    """Only what says it is destructive or not read-only has effects; only what says it is read-only is repeatable."""
    tool = ToolSpec("f", read_only=read_only, destructive=destructive)
    assert (tool.has_effects, tool.repeatable) == (effects, repeatable)
