import itertools
import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.errors import Diagnostic, ObservationPathError
from llmcompiler_graph.core.language.guard_reader import read_guard
from llmcompiler_graph.core.language.guards import (
    All,
    AnyOf,
    Comparison,
    Guard,
    Not,
    Truth,
    guard_references,
    holds,
    unmet,
)
from llmcompiler_graph.core.language.parser import PlanParser, parse_plan
from llmcompiler_graph.core.language.plan import Plan, Task
from llmcompiler_graph.core.language.references import JSON, Reference
from llmcompiler_graph.core.language.tasks import Event
from llmcompiler_graph.state import new_record, task_from_record


def read(text: str) -> Guard:
    """Read a guard that may refer to any task."""
    return read_guard(text, is_task=lambda index: True)


@pytest.mark.parametrize(("a", "b", "c"), [*itertools.product([True, False], repeat=3)])
def test_truth_table(a: bool, b: bool, c: bool) -> None:
    """`and`, `or`, `not` and parentheses mean what they mean in Python."""
    values: dict[int, JSON] = {1: a, 2: b, 3: c}
    for text in (
        "$1 and $2 or $3",
        "$1 or $2 and $3",
        "not $1 and $2 or $3",
        "not ($1 and $2) or not $3",
        "($1 or $2) and ($2 or $3) and not ($1 and $3)",
        "not not $1 or $2 == $3",
        "$1 != $2 and $3",
    ):
        python = text.replace("$1", str(a)).replace("$2", str(b)).replace("$3", str(c))
        assert holds(read(text), values) == eval(python), text


ORDERED = [-1, 0, 0.5, 1, 2, 10**20]


@pytest.mark.parametrize(("left", "right"), [*itertools.product(ORDERED, repeat=2), ("a", "b"), ("b", "a"), ("", "")])
def test_comparisons(left: Any, right: Any) -> None:
    """Two numbers, or two texts, compare as in Python."""
    for written, function in (
        ("==", operator.eq),
        ("!=", operator.ne),
        ("<", operator.lt),
        ("<=", operator.le),
        (">", operator.gt),
        (">=", operator.ge),
    ):
        assert holds(read(f"$1 {written} $2"), {1: left, 2: right}) == function(left, right)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("$1 == 1", True, False),
        ("$1 == true", 1, False),
        ("$1 == 1", 1.0, True),
        ("$1 == null", None, True),
        ("$1 != null", 0, True),
        ('$1 == "1"', 1, False),
        ("$1 in [1, 2]", 2.0, True),
        ("$1 in [1, 2]", True, False),
        ('$1 not in ["a"]', "b", True),
        ('"a" in $1', ["b", "a"], True),
        ('"a" in $1', "banana", True),
        ("${1.x[0].y} == 2", {"x": [{"y": 2}]}, True),
        ('${1.x} == "y"', '{"x": "y"}', True),
        ("$1 == $1", {"a": [1, {"b": None}]}, True),
    ],
)
def test_values_are_json(text: str, value: JSON, expected: bool) -> None:
    """Equality is that of JSON: `true` is not 1, and text is no number."""
    assert holds(read(text), {1: value}) is expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$1 > 1", "2"),
        ("$1 < 1", None),
        ("$1 >= true", True),
        ("$1", 1),
        ("$1", "yes"),
        ("1 in $1", {}),
        ("1 in $1", "1"),
        ("${1.x} == 1", {"y": 1}),
    ],
)
def test_what_cannot_be_told(text: str, value: JSON) -> None:
    """Values that do not compare so are an error, never a guess."""
    with pytest.raises(ObservationPathError):
        holds(read(text), {1: value})


def test_what_decides_comes_first() -> None:
    """A part behind the one that decides is not looked at: what it needs may be missing."""
    assert not holds(read("${1.ok} and ${1.total} > 100"), {1: {"ok": False}})
    assert holds(read("${1.ok} or ${1.total} > 100"), {1: {"ok": True}})


def test_it_is_said_why() -> None:
    """What does not hold is told with the values that were looked at."""
    said = unmet(read('${1.total} > 100 and $2 == "open"'), {1: {"total": 40}, 2: "open"})
    assert said == '`${1.total} > 100 and $2 == "open"` does not hold (${1.total} is 40, $2 is "open")'


constants = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
references = st.builds(
    Reference, st.integers(1, 9), st.lists(st.text(min_size=1) | st.integers(-3, 3), max_size=3).map(tuple)
)
comparisons = st.builds(
    Comparison,
    references,
    st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]),
    references | constants | st.lists(constants, max_size=3),
)
guards: st.SearchStrategy[Guard] = st.recursive(
    comparisons | st.builds(Truth, references),
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(All, st.lists(inner, min_size=2, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=8,
)


@given(guard=guards, after=st.lists(st.integers(1, 9), unique=True, max_size=2), text=st.text())
@settings(max_examples=300, deadline=None)
def test_what_is_printed_is_read(guard: Guard, after: list[int], text: str) -> None:
    """Every guard is printed as text that reads as itself, in a plan, in any pieces, and in a task's record."""
    text = text.encode("utf-8", "replace").decode().replace("\0", "")
    task = Task(10, "t", {"x": text}, tuple(after), when=guard)
    plan = Plan((*(Task(n, "s") for n in range(1, 10)), task))
    assert parse_plan(str(plan)) == plan
    assert task_from_record(new_record(task, 0, "call")) == task
    assert {reference.index for reference in guard_references(guard)} <= set(task.dependencies)
    parser = PlanParser()
    pieces = [event for n in range(0, len(str(plan)), 3) for event in parser.feed(str(plan)[n : n + 3])]
    assert [*pieces, *parser.close()] == [*plan]


@pytest.mark.parametrize("chunk", [1, 7, 4096, 10**6])
def test_a_guard_that_is_too_long(chunk: int) -> None:
    """What is not read to its end is no guard, however the text was cut, and the next line is read."""
    text = "1. a()\n2. b() when $1 == 1" + " or $1 == 1" * 500 + "\n3. c()"
    parser = PlanParser()
    events = [event for n in range(0, len(text), chunk) for event in parser.feed(text[n : n + chunk])]
    every: list[Event] = [*events, *parser.close()]
    first, problem, last = every
    assert isinstance(problem, Diagnostic)
    assert (problem.code, problem.index) == ("guard", 2)
    assert [first, last] == [Task(1, "a"), Task(3, "c")]


def test_a_task_before_does_not_wait() -> None:
    """A task without a guard is complete at the next character that begins none."""
    parser = PlanParser()
    assert len(parser.feed("1. a()\n")) == 1
    assert parser.feed("2. b() wh") == []
    assert parser.feed("en $1 == 1") == []
    assert len(parser.feed("\n")) == 1
    assert len(parser.feed("3. c() we")) == 1
