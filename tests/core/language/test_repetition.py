import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.language.guards import Guard, Truth, guard_references
from llmcompiler_graph.core.language.parser import PlanParser, parse_plan
from llmcompiler_graph.core.language.plan import Plan, Task
from llmcompiler_graph.core.language.references import JSON, Reference
from llmcompiler_graph.core.language.repetition import Repetition, read_repetition
from llmcompiler_graph.state import new_record, task_from_record
from tests.core.language.test_guards import guards

repetitions = st.builds(
    Repetition, guards, st.integers(1, 1000), st.integers(0, 86_400) | st.floats(0, 86_400, exclude_max=True)
)


def read(text: str) -> Repetition:
    """Read a repetition that may refer to any task."""
    return read_repetition(text, is_task=lambda index: True)


@given(until=repetitions, when=st.none() | guards, after=st.lists(st.integers(1, 8), unique=True, max_size=2))
@settings(max_examples=300, deadline=None)
def test_what_is_printed_is_read(until: Repetition, when: Guard | None, after: list[int]) -> None:
    """Every repetition is printed as text that reads as itself, beside a guard, in any pieces, and in a record."""
    indices = {reference.index for reference in guard_references(when)} if when is not None else set()
    own = 9 if 9 not in indices else 10
    task = Task(own, "t", {"x": "until $$1 max 2"}, tuple(after), when=when, until=until)
    plan = Plan((*(Task(n, "s") for n in range(1, own)), task))
    assert parse_plan(str(plan)) == plan
    assert task_from_record(new_record(task, 0, "call")) == task
    parser = PlanParser()
    pieces = [event for n in range(0, len(str(plan)), 3) for event in parser.feed(str(plan)[n : n + 3])]
    assert [*pieces, *parser.close()] == [*plan]


def test_a_task_does_not_wait_for_itself() -> None:
    """A task refers to itself in its repetition only, and waits for the others that stand there."""
    first, task = parse_plan("1. a()\n2. b() until ${2.n} >= ${1.n} or $2 == 3 max 4")
    assert first.dependencies == ()
    assert (task.dependencies, task.reads) == ((1,), {1})


def test_under_other_numbers() -> None:
    """A plan that starts at 1 again is shifted, and a task that is renumbered goes on to refer to itself."""
    parser = PlanParser(used=[1, 2])
    (task,) = parser.feed("1. a() until ${1.ok} and $2 max 3\n")
    assert str(task) == "3. a() until ${3.ok} and $2 max 3"
    assert isinstance(task, Task)
    assert str(task.renumbered({3: 7, 2: 5})) == "7. a() until ${7.ok} and $5 max 3"


def test_lines_without_numbers() -> None:
    """Lines that count have the number that they are referred to by, in their own repetition too."""
    plan = parse_plan('start("a")\nstatus($1) until ${2.ok} max 3\nstatus($2) until ${3.ok} max 3\nnote($3)')
    assert [str(task.until) for task in plan.tasks[1:3]] == ["until ${2.ok} max 3", "until ${3.ok} max 3"]


@pytest.mark.parametrize(
    ("value", "met"), [({"ok": True}, True), ({"ok": False}, False), ({}, False), (None, False), ({"ok": 1}, False)]
)
def test_what_is_not_there_does_not_hold_yet(value: JSON, met: bool) -> None:
    """A value that is not there, or cannot be told, is one to wait for."""
    assert read("${1.ok} max 2").met({1: value}) is met


def test_it_is_said_why() -> None:
    """What does not hold after the last attempt is told with what was looked at; what is not there, too."""
    assert read("${1.n} > 3 max 2").unmet({1: {"n": 2}}) == "after 2 attempts, `${1.n} > 3` does not hold (${1.n} is 2)"
    told = read("${1.n} > 3 max 1").unmet({1: {"m": 2}})
    assert re.match(r"after 1 attempt, `\$\{1\.n\} > 3` cannot be told: .*n", told)


@pytest.mark.parametrize(("attempts", "every"), [(0, 0), (-1, 0), (1001, 0), (1, -1), (1, 86_401), (1, float("nan"))])
def test_bounds(attempts: int, every: float) -> None:
    """A repetition by hand is bounded too."""
    with pytest.raises(ValueError, match="is a number"):
        Repetition(Truth(Reference(1)), attempts, every)
