import sys
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Any

import pytest

from llmcompiler_graph.core.language.plan import Observation, Task, ToolSpec
from llmcompiler_graph.core.language.references import ALL, JSON, Reference, Template, Value
from llmcompiler_graph.core.schedule.instructions import Finished, Instruction, Release, Stalled, Start
from llmcompiler_graph.core.schedule.unit import TaskFetchingUnit

TOOLS = (
    ToolSpec("read", read_only=True),
    ToolSpec("send", destructive=True),
    ToolSpec("write", read_only=False),
    ToolSpec("echo", {"text": {"type": "string"}}),
)


def task(index: int, *needs: int, tool: str = "tool", **arguments: Value) -> Task:
    """A task that needs others without taking data from them, unless its arguments do."""
    return Task(index, tool, arguments, after=needs)


def done(value: JSON = None) -> Observation:
    """What a call that returned gives."""
    return Observation("done", value)


def failed(error: str = "boom") -> Observation:
    """What a call that raised gives."""
    return Observation("failed", error=error)


def skipped(cause: int, fate: str = "failed") -> Observation:
    """What a task that needs a lost one gets."""
    return Observation("skipped", error=f"not run: it needs task {cause}, which {fate}")


def start(index: int, element: int | None = None, **arguments: JSON) -> Start:
    """The call of a task."""
    return Start(index, element, arguments)


def add_all(unit: TaskFetchingUnit, tasks: Iterable[Task]) -> list[Instruction]:
    """Add tasks one by one; return all the instructions."""
    return [instruction for each in tasks for instruction in unit.add(each)]


def started(instructions: Iterable[Instruction]) -> list[int]:
    """The tasks whose calls are to be made, in order."""
    return [each.index for each in instructions if isinstance(each, Start)]


@pytest.fixture(params=[(1, 2, 3, 4, 5), (3, 10, 21, 22, 900), (50, 40, 30, 20, 10)], ids=["dense", "gaps", "reversed"])
def abcde(request: pytest.FixtureRequest) -> tuple[int, ...]:
    """Indices of five tasks in plan order: what is released must not depend on how they are numbered."""
    numbering: tuple[int, ...] = request.param
    return numbering


# -- release ------------------------------------------------------------------------------------------------------


def test_independent_tasks_start_at_once(abcde: tuple[int, ...]) -> None:
    """`a  b`: each task is released and started by its own `add`."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit()
    assert unit.add(task(a, x=1)) == [Release(a), start(a, x=1)]
    assert unit.add(task(b, x=2)) == [Release(b), start(b, x=2)]
    assert unit.finished(b, None, done("B")) == [Finished(b, done("B"))]
    assert unit.finished(a, None, done("A")) == [Finished(a, done("A"))]


def test_diamond(abcde: tuple[int, ...]) -> None:
    """`a → b, a → c, (b, c) → d`: each starts with the last of its dependencies, with the values of all."""
    a, b, c, d, _ = abcde
    unit = TaskFetchingUnit()
    graph = [task(a), task(b, x=Reference(a)), task(c, x=Reference(a)), task(d, x=[Reference(b), Reference(c)])]
    assert add_all(unit, graph) == [Release(a), start(a)]
    after_a = unit.finished(a, None, done("A"))
    assert after_a[:3] == [Finished(a, done("A")), Release(b), Release(c)]
    assert sorted(after_a[3:], key=lambda each: each.index) == [start(n, x="A") for n in sorted((b, c))]
    assert unit.finished(c, None, done("C")) == [Finished(c, done("C"))]
    assert unit.finished(b, None, done("B")) == [Finished(b, done("B")), Release(d), start(d, x=["B", "C"])]


def test_stairs(abcde: tuple[int, ...]) -> None:
    """`a, b → c, c → d, e`: a slow task beside a chain holds nothing up (no levels)."""
    a, b, c, d, e = abcde
    unit = TaskFetchingUnit()
    add_all(unit, [task(a), task(b), task(c, b), task(d, c), task(e)])
    assert unit.finished(b, None, done()) == [Finished(b, done()), Release(c), start(c)]
    assert unit.finished(c, None, done()) == [Finished(c, done()), Release(d), start(d)]
    assert unit.finished(d, None, done()) == [Finished(d, done())]
    assert unit.finished(a, None, done()) == [Finished(a, done())]


def test_fan_in(abcde: tuple[int, ...]) -> None:
    """(a, b, c, d) → e: the last one to finish releases it, whichever that is."""
    *needs, e = abcde
    unit = TaskFetchingUnit()
    add_all(unit, [*map(task, needs), task(e, *needs)])
    for n in needs[:-1]:
        assert unit.finished(n, None, done()) == [Finished(n, done())]
    assert unit.finished(needs[-1], None, done()) == [Finished(needs[-1], done()), Release(e), start(e)]


def test_added_after_its_dependency_finished(abcde: tuple[int, ...]) -> None:
    """`a → b, b written once a is done`: b starts with its `add`."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit()
    add_all(unit, [task(a)])
    unit.finished(a, None, done(7))
    assert unit.add(task(b, x=Template(("<", Reference(a), ">")))) == [Release(b), start(b, x="<7>")]


def test_depends_on_unknown_task_that_comes_later(abcde: tuple[int, ...]) -> None:
    """`a → b, a restored after b was added`: b starts then."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit()
    assert unit.add(task(b, x=Reference(a))) == []
    assert unit.restore(a, done("old")) == [Finished(a, done("old")), Release(b), start(b, x="old")]


def test_same_task_twice_is_the_callers_mistake() -> None:
    """A task is added once, and not after it was restored."""
    unit = TaskFetchingUnit()
    unit.add(task(1))
    with pytest.raises(AssertionError, match="task 1 was added before"):
        unit.add(task(1))
    unit.restore(2, done())
    with pytest.raises(AssertionError, match="task 2 was finished before it was added"):
        unit.add(task(2))


def test_texts_are_fitted_to_the_schema() -> None:
    """Numbers that reach a `str` parameter through a reference arrive as text; unknown tools take them as they are."""
    unit = TaskFetchingUnit(TOOLS)
    unit.restore(1, done(42))
    assert unit.add(task(2, tool="echo", text=Reference(1), other=Reference(1)))[1] == start(2, text="42", other=42)
    assert unit.add(task(3, tool="nobody", text=Reference(1)))[1] == start(3, text=42)
    assert unit.arguments == {1: (), 2: ({"text": "42", "other": 42},), 3: ({"text": 42},)}


def test_powers_of_negative_observations() -> None:
    """In an arithmetic expression, `$1 ** 2` is the square of what task 1 returned."""
    expression: JSON = {"type": "string", "format": "arithmetic"}
    unit = TaskFetchingUnit([ToolSpec("calculate", {"of": expression}, frozenset({"of"}))])
    unit.restore(1, done(-3.5))
    squared = task(2, tool="calculate", of=Template((Reference(1), " ** 2")))
    assert unit.add(squared)[1] == start(2, of="(-3.5) ** 2")


# -- failure ------------------------------------------------------------------------------------------------------


def test_failure_skips_exactly_the_transitive_dependents(abcde: tuple[int, ...]) -> None:
    """`a ✗ → b → c, d → e`: b and c are skipped, each naming the nearest cause; d and e go on."""
    a, b, c, d, e = abcde
    unit = TaskFetchingUnit()
    add_all(unit, [task(a), task(b, a), task(d), task(c, b), task(e, d)])
    assert unit.finished(a, None, failed()) == [
        Finished(a, failed()),
        Finished(b, skipped(a)),
        Finished(c, skipped(b, "was not run either")),
    ]
    assert unit.finished(d, None, done()) == [Finished(d, done()), Release(e), start(e)]


def test_failure_skips_without_waiting_for_the_others(abcde: tuple[int, ...]) -> None:
    """`a ✗, b (running) → c`: c is skipped at once, and b's end changes nothing."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit()
    add_all(unit, [task(a), task(b), task(c, a, b)])
    assert unit.finished(a, None, failed()) == [Finished(a, failed()), Finished(c, skipped(a))]
    assert unit.finished(b, None, done()) == [Finished(b, done())]


def test_several_causes_name_the_first_index() -> None:
    """(1 ✗, 2 ✗) → 3: the error of 3 names the lowest index that was lost."""
    unit = TaskFetchingUnit()
    unit.restore(2, failed())
    unit.restore(1, failed())
    assert unit.add(task(3, 2, 1)) == [Finished(3, skipped(1))]


def test_added_after_its_dependency_failed(abcde: tuple[int, ...]) -> None:
    """`a ✗ → b, b written later`: b is skipped by its `add`."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit()
    unit.add(task(a))
    unit.finished(a, None, failed())
    assert unit.add(task(b, a)) == [Finished(b, skipped(a))]


def test_path_that_leads_nowhere_fails_the_task(abcde: tuple[int, ...]) -> None:
    """`a → b[.height] → c`: if a has no height, b fails without a call and c is skipped."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit()
    add_all(unit, [task(a), task(b, x=Reference(a, ("height",))), task(c, b)])
    error = f"${{{a}.height}} leads nowhere: ${a} has no .height, it is an object with 'name'"
    assert unit.finished(a, None, done({"name": "K2"})) == [
        Finished(a, done({"name": "K2"})),
        Release(b),
        Finished(b, failed(error)),
        Finished(c, skipped(b)),
    ]


def test_rejected_before_it_came(abcde: tuple[int, ...]) -> None:
    """`a (unusable) → b`: what refers to a line that could not be read is skipped."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit()
    assert unit.reject(a, "not a call") == [Finished(a, failed("not a call"))]
    assert unit.reject(a, "again") == []
    assert unit.add(task(b, a)) == [Finished(b, skipped(a))]


def test_rejected_and_then_replaced(abcde: tuple[int, ...]) -> None:
    """`a (unusable, then usable) → b`: what comes after the repair runs."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit()
    unit.reject(a, "not a call")
    assert unit.add(task(a)) == [Release(a), start(a)]
    assert unit.add(task(b, a)) == []
    assert unit.finished(a, None, done()) == [Finished(a, done()), Release(b), start(b)]


def test_rejected_while_it_runs(abcde: tuple[int, ...]) -> None:
    """`a (running, then unusable) → b`: b is skipped at once, a's late result is dropped, its slot is free again."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(max_concurrency=1)
    add_all(unit, [task(a), task(b, a), task(c)])
    assert unit.reject(a, "bad") == [Finished(a, failed("bad")), Finished(b, skipped(a))]
    assert unit.finished(a, None, done()) == [start(c)]
    assert unit.observations[a] == failed("bad")


def test_rejected_while_it_waits_for_a_slot(abcde: tuple[int, ...]) -> None:
    """`a ∥ b with one slot`: b, rejected while waiting, never starts."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(max_concurrency=1)
    add_all(unit, [task(a), task(b)])
    unit.reject(b, "bad")
    assert unit.finished(a, None, done()) == [Finished(a, done())]
    assert unit.claim(b) == []


# -- fan-out ------------------------------------------------------------------------------------------------------


def test_fan_out(abcde: tuple[int, ...]) -> None:
    """`a[*] → b → c`: b makes a call per element, its observation is the list in order, c takes the list."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit()
    add_all(unit, [task(a), task(b, x=Reference(a, (ALL,))), task(c, x=Reference(b))])
    assert unit.finished(a, None, done(["p", "q"])) == [
        Finished(a, done(["p", "q"])),
        Release(b),
        start(b, 0, x="p"),
        start(b, 1, x="q"),
    ]
    assert unit.finished(b, 1, Observation("done", "Q", attachment="second")) == []
    ended = unit.finished(b, 0, Observation("done", "P", attachment="first"))
    assert ended == [Finished(b, done(["P", "Q"])), Release(c), start(c, x=["P", "Q"])]
    assert unit.observations[b].attachment == ("first", "second")


def test_fan_out_over_nothing(abcde: tuple[int, ...]) -> None:
    """`a[*] → b → c with an empty list`: b is done with an empty list, without a call."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit()
    add_all(unit, [task(a), task(b, x=Reference(a, (ALL,))), task(c, x=Reference(b))])
    assert unit.finished(a, None, done([])) == [
        Finished(a, done([])),
        Release(b),
        Finished(b, done([])),
        Release(c),
        start(c, x=[]),
    ]


def test_fan_out_over_one_is_still_a_list() -> None:
    """A list of one element gives a list of one observation."""
    unit = TaskFetchingUnit()
    unit.restore(1, done(["only"]))
    assert unit.add(task(2, x=Reference(1, (ALL,)))) == [Release(2), start(2, 0, x="only")]
    assert unit.finished(2, 0, done("seen")) == [Finished(2, done(["seen"]))]


def test_fan_out_fails_with_all_that_was_found() -> None:
    """If some calls fail, the others are still waited for, and what they gave is kept, also in the error."""
    unit = TaskFetchingUnit()
    unit.restore(1, done([0, 1, 2]))
    unit.add(task(2, x=Reference(1, (ALL,))))
    unit.add(task(3, 2))
    assert unit.finished(2, 1, failed("no")) == []
    assert unit.finished(2, 0, done("null")) == []
    error = 'the first on element 1: no; results: ["null", null, "ü"]'
    assert unit.finished(2, 2, done("ü")) == [
        Finished(2, Observation("failed", ["null", None, "ü"], f"1 of 3 calls failed, {error}")),
        Finished(3, skipped(2)),
    ]


def test_a_fan_out_of_which_all_calls_fail_has_no_value() -> None:
    """Nothing came of it: there is no list to make something of."""
    unit = TaskFetchingUnit()
    unit.restore(1, done([0, 1]))
    unit.add(task(2, x=Reference(1, (ALL,))))
    unit.finished(2, 0, failed("no"))
    unit.finished(2, 1, failed("no"))
    assert (unit.observations[2].status, unit.observations[2].value) == ("failed", None)


def test_fan_out_takes_a_place_per_call() -> None:
    """With two slots, the third element waits; a later task waits behind it."""
    unit = TaskFetchingUnit(max_concurrency=2)
    unit.restore(1, done([0, 1, 2]))
    assert unit.add(task(2, x=Reference(1, (ALL,)))) == [Release(2), start(2, 0, x=0), start(2, 1, x=1)]
    assert unit.add(task(3)) == [Release(3)]
    assert unit.finished(2, 1, done()) == [start(2, 2, x=2)]
    assert unit.finished(2, 2, done()) == [start(3)]


@pytest.mark.parametrize(
    ("value", "given"),
    [
        (list(range(4)), {"x": Reference(1, (ALL,))}),
        ("[0, 1, 2, 3]", {"x": Reference(1, (ALL,))}),
        ([{"ids": [1, 2]}, {"ids": [3, 4]}], {"x": Reference(1, (ALL, "ids", ALL))}),
        (list(range(4)), {"x": Template(("no. ", Reference(1, (ALL,))))}),
        (list(range(4)), {"x": [{"y": Reference(1, (ALL,))}], "z": Reference(1)}),
        ({"a": list(range(4)), "b": list("abcd")}, {"x": Reference(1, ("a", ALL)), "y": Reference(1, ("b", ALL))}),
    ],
)
def test_fan_out_has_a_limit(value: Any, given: dict[str, Any]) -> None:
    """A task that would make more calls than `max_fan_out` makes none and fails; one that makes as many runs."""
    unit = TaskFetchingUnit(max_fan_out=3)
    unit.restore(1, done(value))
    unit.add(Task(3, "f", {"x": Reference(2)}))
    released, finish = unit.add(Task(2, "f", given))[:2]
    assert released == Release(2)
    assert isinstance(finish, Finished)
    assert finish.observation.status == "failed"
    assert finish.observation.error.startswith("no call was made: ${1")
    assert "has 4 elements, and max_fan_out allows 3 calls; get fewer elements, or" in finish.observation.error
    assert unit.observations[3].status == "skipped"
    unit = TaskFetchingUnit(max_fan_out=4)
    unit.restore(1, done(value))
    assert len(unit.add(Task(2, "f", given))) == 1 + 4


def test_fan_out_with_lists_of_different_length_fails() -> None:
    """Two `[*]` references that cannot go in step fail the task, and nothing is called."""
    unit = TaskFetchingUnit()
    unit.restore(1, done([1]))
    unit.restore(2, done([1, 2]))
    released, finish = unit.add(task(3, x=Reference(1, (ALL,)), y=Reference(2, (ALL,))))
    assert released == Release(3)
    assert isinstance(finish, Finished)
    assert finish.observation.status == "failed"


# -- concurrency --------------------------------------------------------------------------------------------------


def test_limit_starts_the_critical_path_first() -> None:
    """1 (running), 2, 3 → 4 → 5, 6 → 7 with one slot: 3 before 6 before 2."""
    unit = TaskFetchingUnit(max_concurrency=1)
    add_all(unit, [task(1), task(2), task(3), task(4, 3), task(5, 4), task(6), task(7, 6)])
    order = [1]
    while order[-1] in unit.tasks and (begun := started(unit.finished(order[-1], None, done()))):
        order += begun
    assert order == [1, 3, 4, 6, 2, 5, 7]


def test_limit_looks_at_what_was_added_since() -> None:
    """1 (running), 2, 3, 4 with one slot: a chain written behind 4 moves it before 3, sorted already or not."""
    unit = TaskFetchingUnit(max_concurrency=1)
    add_all(unit, [task(n) for n in range(1, 5)])
    assert started(unit.finished(1, None, done())) == [2]
    add_all(unit, [task(5, 4), task(6, 3), task(7, 5)])
    assert started(unit.finished(2, None, done())) == [4]


def test_limit_of_one_tool_leaves_others_alone() -> None:
    """Two calls of a tool limited to one run in turn; another tool's calls pass them."""
    unit = TaskFetchingUnit(tool_concurrency={"slow": 1})
    begun = add_all(unit, [task(1, tool="slow"), task(2, tool="slow"), task(3), task(4, tool="slow")])
    assert started(begun) == [1, 3]
    assert started(unit.finished(3, None, done())) == []
    assert started(unit.finished(1, None, done())) == [2]
    assert started(unit.finished(2, None, done())) == [4]


def test_both_limits_hold() -> None:
    """Two slots, one of them of the slow tool: the free slot goes to another tool."""
    unit = TaskFetchingUnit(max_concurrency=2, tool_concurrency={"slow": 1})
    assert started(add_all(unit, [task(1, tool="slow"), task(2, tool="slow"), task(3), task(4)])) == [1, 3]
    assert started(unit.finished(3, None, done())) == [4]
    assert started(unit.finished(4, None, done())) == []
    assert started(unit.finished(1, None, done())) == [2]


def test_a_shared_call_counts_the_chains_of_all_it_serves() -> None:
    """1 (running), 2 ≡ 3 → 4 → 5, 6 → 7 with one slot: 2 goes before 6, because its call serves 3."""
    unit = TaskFetchingUnit(TOOLS, max_concurrency=1)
    shared = [task(2, tool="read"), task(3, tool="read"), task(4, 3), task(5, 4)]
    add_all(unit, [task(1), *shared, task(6), task(7, 6)])
    assert started(unit.finished(1, None, done())) == [2]


def test_a_call_that_turns_out_to_be_shared_gains_its_chain() -> None:
    """`9 (running), 1 → 6 ≡ 2, 6 → 7 → 8, 3 → 4`, room for one: once 6 is known to be 2's call, 2 goes before 3."""
    unit = TaskFetchingUnit(TOOLS, max_concurrency=1)
    add_all(unit, [task(9), task(1), task(2, tool="read", q="x"), task(3), task(4, 3)])
    add_all(unit, [task(6, tool="read", q=Reference(1)), task(7, 6), task(8, 7)])
    assert started(unit.finished(9, None, done())) == [1]
    assert started(unit.finished(1, None, done("x"))) == [2]


def test_effects_in_turn_count_as_a_chain() -> None:
    """1 (running), 2, 3 send, 4 send, with one slot: 3 goes before 2, because 4 waits for it."""
    unit = TaskFetchingUnit(TOOLS, max_concurrency=1)
    add_all(unit, [task(1), task(2), task(3, tool="send"), task(4, tool="send")])
    unit.claim(3)
    assert started(unit.finished(1, None, done())) == [3]


# -- held, effects, claims ----------------------------------------------------------------------------------------


def test_held_tasks_wait_for_their_claim(abcde: tuple[int, ...]) -> None:
    """`a (held) → b, c`: a is released but starts when claimed; c, not held, is not concerned."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(held=["ask"])
    assert add_all(unit, [task(a, tool="ask"), task(b, a), task(c)]) == [Release(a), Release(c), start(c)]
    assert unit.claim(b) == []
    assert unit.claim(a) == [start(a)]
    assert unit.claim(a) == []
    assert unit.finished(a, None, done()) == [Finished(a, done()), Release(b), start(b)]


def test_claimed_before_it_was_added_or_released() -> None:
    """A claim holds good for later: the task starts as soon as it can."""
    unit = TaskFetchingUnit(held=["ask"])
    assert unit.claim(1) == []
    assert unit.add(task(1, tool="ask")) == [Release(1), start(1)]
    unit.add(task(2, 1, tool="ask"))
    assert unit.claim(2) == []
    assert unit.finished(1, None, done()) == [Finished(1, done()), Release(2), start(2)]


def test_claimed_without_a_slot_waits(abcde: tuple[int, ...]) -> None:
    """A claim does not go over the limit."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(held=["ask"], max_concurrency=1)
    add_all(unit, [task(a), task(b, tool="ask")])
    assert unit.claim(b) == []
    assert unit.finished(a, None, done()) == [Finished(a, done()), start(b)]


def test_effects_keep_plan_order(abcde: tuple[int, ...]) -> None:
    """`a send, b write, c read`: a and b in turn, although nothing is passed, and c beside them."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    added = add_all(unit, [task(a, tool="send"), task(b, tool="write"), task(c, tool="read")])
    assert added == [Release(a), Release(c), start(c)]
    assert unit.claim(b) == []
    assert unit.claim(a) == [start(a)]
    assert unit.finished(a, None, failed()) == [Finished(a, failed()), Release(b), start(b)]


def test_a_skipped_effect_does_not_let_the_next_pass(abcde: tuple[int, ...]) -> None:
    """`a send (running), b ✗ → c send (skipped), d send`: d still waits for a, and so does what is written later."""
    a, b, c, d, e = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a, tool="send"), task(b), task(c, b, tool="send"), task(d, tool="send")])
    assert [instruction for n in abcde for instruction in unit.claim(n)] == [start(a)]
    assert unit.finished(b, None, failed()) == [Finished(b, failed()), Finished(c, skipped(b))]
    assert unit.add(task(e, tool="write")) == []
    assert unit.finished(a, None, done()) == [Finished(a, done()), Release(d), start(d)]
    assert unit.finished(d, None, done()) == [Finished(d, done()), Release(e), start(e)]


def test_an_effect_that_needs_another_is_released_once(abcde: tuple[int, ...]) -> None:
    """`a send → b send`: a's end is both the turn and the data of b, and releases it once."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a, tool="send"), task(b, tool="send", x=Reference(a))])
    unit.claim(a)
    unit.claim(b)
    assert unit.finished(a, None, done(1)) == [Finished(a, done(1)), Release(b), start(b, x=1)]


def test_a_rejected_or_restored_effect_gives_its_turn_away(abcde: tuple[int, ...]) -> None:
    """`a send (rejected), b send (restored), c send`: c's turn comes when both are finished."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(n, tool="send") for n in (a, b, c)])
    unit.claim(c)
    assert unit.restore(b, done()) == [Finished(b, done())]
    assert unit.reject(a, "bad") == [Finished(a, failed("bad")), Release(c), start(c)]


# -- equal calls --------------------------------------------------------------------------------------------------


def test_equal_calls_of_read_only_tools_are_made_once(abcde: tuple[int, ...]) -> None:
    """`a ≡ b ≡ c (read), d (unknown tool) twice`: one call serves a, b and c; d's are both made."""
    a, b, c, d, e = abcde
    unit = TaskFetchingUnit(TOOLS)
    equal = [task(n, tool="read", q="K2") for n in (a, b, c)]
    assert started(add_all(unit, [*equal, task(d, q="K2"), task(e, q="K2")])) == [a, d, e]
    assert unit.finished(a, None, done(8611)) == [
        Finished(a, done(8611)),
        Finished(b, done(8611)),
        Finished(c, done(8611)),
    ]


def test_equal_to_a_finished_call(abcde: tuple[int, ...]) -> None:
    """`a done, b ≡ a`: b is done by its `add`, even without a slot."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS, max_concurrency=1)
    unit.add(task(a, tool="read", q="K2"))
    unit.finished(a, None, done(8611))
    unit.add(task(c))
    assert unit.add(task(b, tool="read", q="K2")) == [Release(b), Finished(b, done(8611))]


def test_equal_once_their_references_are_resolved(abcde: tuple[int, ...]) -> None:
    """`a → c[$a], b → d[$b] with equal values`: c and d are equal, though written differently."""
    a, b, c, d, _ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a), task(b)])
    add_all(unit, [task(c, tool="read", q=Reference(a)), task(d, tool="read", q=Reference(b))])
    unit.finished(a, None, done("x"))
    assert unit.finished(b, None, done("x")) == [Finished(b, done("x")), Release(d)]
    assert unit.finished(c, None, done("y")) == [Finished(c, done("y")), Finished(d, done("y"))]


def test_equal_calls_share_a_failure(abcde: tuple[int, ...]) -> None:
    """`a ≡ b, b → c`: if the one call fails, both fail, and what needs either is skipped."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a, tool="read"), task(b, tool="read"), task(c, b)])
    assert unit.finished(a, None, failed()) == [
        Finished(a, failed()),
        Finished(b, failed()),
        Finished(c, skipped(b)),
    ]


def test_a_rejected_task_serves_nobody(abcde: tuple[int, ...]) -> None:
    """`a ≡ b ≡ c`: if a is rejected while it runs, b makes the call and serves c; later ones ask b, too."""
    a, b, c, d, _ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(n, tool="read") for n in (a, b, c)])
    assert unit.reject(a, "bad") == [Finished(a, failed("bad")), start(b)]
    assert unit.add(task(d, tool="read")) == [Release(d)]
    assert unit.finished(a, None, done("late")) == []
    assert unit.finished(b, None, done("now")) == [
        Finished(b, done("now")),
        Finished(c, done("now")),
        Finished(d, done("now")),
    ]


def test_a_task_that_shares_can_be_rejected(abcde: tuple[int, ...]) -> None:
    """`a ≡ b ≡ c`: rejecting b while it waits leaves a and c alone, also if a is rejected after it."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(n, tool="read") for n in (a, b, c)])
    assert unit.reject(b, "bad") == [Finished(b, failed("bad"))]
    assert unit.reject(a, "bad") == [Finished(a, failed("bad")), start(c)]
    assert unit.finished(c, None, done()) == [Finished(c, done())]


def test_calls_are_equal_alone_and_in_a_fan_out(abcde: tuple[int, ...]) -> None:
    """`a[*] → b, c ≡ b[0], d = b`: one call for each value; c gets b's element, d the same list, with its own third."""
    a, b, c, d, e = abcde
    unit = TaskFetchingUnit(TOOLS)
    unit.restore(a, done(["x", "y"]))
    unit.restore(e, done(["y", "x", "z"]))
    spread = Reference(a, (ALL,))
    assert unit.add(task(b, tool="read", q=spread)) == [Release(b), start(b, 0, q="x"), start(b, 1, q="y")]
    assert unit.finished(b, 1, done("Y")) == []
    assert unit.add(task(c, tool="read", q="x")) == [Release(c)]
    assert unit.add(task(d, tool="read", q=Reference(e, (ALL,)))) == [Release(d), start(d, 2, q="z")]
    assert unit.finished(d, 2, done("Z")) == []
    assert unit.finished(b, 0, done("X")) == [
        Finished(b, done(["X", "Y"])),
        Finished(c, done("X")),
        Finished(d, done(["Y", "X", "Z"])),
    ]


def test_equal_elements_are_called_once(abcde: tuple[int, ...]) -> None:
    """`a[*] → b with equal elements`: each value is called with once, and does not wait for itself."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    unit.restore(a, done(["x", "y", "x"]))
    spread = task(b, tool="read", q=Reference(a, (ALL,)))
    assert unit.add(spread) == [Release(b), start(b, 0, q="x"), start(b, 1, q="y")]
    assert unit.waiting_for(b) == set()
    assert unit.finished(b, 0, failed()) == []
    (end,) = unit.finished(b, 1, done("Y"))
    assert unit.observations[b].value == [None, "Y", None]
    assert "2 of 3 calls failed" in unit.observations[b].error
    assert end == Finished(b, unit.observations[b])


def test_a_rejected_task_does_not_serve_itself(abcde: tuple[int, ...]) -> None:
    """`a[*] → b with equal elements, rejected while it runs; c ≡ b[0]`: c makes the call."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    unit.restore(a, done(["x", "x"]))
    unit.add(task(b, tool="read", q=Reference(a, (ALL,))))
    assert unit.reject(b, "bad") == [Finished(b, failed("bad"))]
    assert unit.add(task(c, tool="read", q="x")) == [Release(c), start(c, q="x")]


def test_every_call_of_an_unshared_tool_is_made(abcde: tuple[int, ...]) -> None:
    """`a ≡ b`, of a read-only tool about whose calls a human is asked: both are made."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(TOOLS, unshared=["read"])
    assert started(add_all(unit, [task(a, tool="read"), task(b, tool="read")])) == [a, b]


@pytest.mark.parametrize("added", [True, False], ids=["added", "of an earlier plan"])
def test_what_a_failed_fan_out_has_found_is_not_asked_for_again(abcde: tuple[int, ...], added: bool) -> None:
    """`a[*] → b (restored, element 1 failed), c = b`: only element 1 is called."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    unit.restore(a, done(["x", "y"]))
    if added:
        unit.add(task(b, tool="read", q=Reference(a, (ALL,))))
    unit.restore(b, Observation("failed", ["X", None], "boom"), [{"q": "x"}, {"q": "y"}], "read")
    assert unit.add(task(c, tool="read", q=Reference(a, (ALL,)))) == [Release(c), start(c, 1, q="y")]
    assert unit.finished(c, 1, done("Y")) == [Finished(c, done(["X", "Y"]))]


def test_held_equal_calls_start_with_the_first_claim(abcde: tuple[int, ...]) -> None:
    """`a ≡ b, held`: the call is made once, by the task that is claimed first; the other is served once claimed."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(TOOLS, held=["read"])
    add_all(unit, [task(a, tool="read"), task(b, tool="read")])
    assert unit.claim(b) == [start(b)]
    assert unit.claim(a) == []
    assert unit.finished(b, None, done()) == [Finished(b, done()), Finished(a, done())]


def test_reads_are_made_again_after_a_change(abcde: tuple[int, ...]) -> None:
    """`a, b changes something, c ≡ a after b, d ≡ c`: c reads anew and serves d; a value from before serves nobody."""
    a, b, c, d, e = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a, tool="read"), task(b, a, tool="write"), task(c, b, tool="read"), task(d, b, tool="read")])
    unit.claim(b)
    unit.finished(a, None, done(1))
    assert unit.finished(b, None, done()) == [Finished(b, done()), Release(c), Release(d), start(c)]
    assert unit.finished(c, None, done(2)) == [Finished(c, done(2)), Finished(d, done(2))]
    assert unit.add(task(e, tool="read")) == [Release(e), Finished(e, done(2))]


def test_a_read_that_waits_for_a_slot_serves_whom_comes_after_a_change(abcde: tuple[int, ...]) -> None:
    """`a changes something, b waits for its slot, c ≡ b after a`: b has read nothing yet, so it serves c too."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS, max_concurrency=1)
    add_all(unit, [task(a, tool="write")])
    unit.claim(a)
    add_all(unit, [task(b, tool="read"), task(c, a, tool="read")])
    assert unit.finished(a, None, done()) == [Finished(a, done()), Release(c), start(b)]


@pytest.mark.parametrize("change", [done(), failed()])
def test_restored_reads_serve_nobody_if_something_was_changed(abcde: tuple[int, ...], change: Observation) -> None:
    """`a, b (changed something), c, restored; d ≡ a, e ≡ c`: which of them read before the change is not known."""
    a, b, c, d, e = abcde
    unit = TaskFetchingUnit(TOOLS)
    unit.restore(a, done(1), [{"x": 1}], "read")
    unit.restore(b, change, [{}], "write")
    unit.restore(c, done(2), [{"x": 2}], "read")
    tasks = [task(d, tool="read", x=1), task(e, tool="read", x=2)]
    assert started(add_all(unit, tasks)) == [d, e]


def test_reads_that_are_restored_late_serve_nobody(abcde: tuple[int, ...]) -> None:
    """`a write; b read, restored once a has returned; c ≡ b after a`: b read before the change, c is called."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS, held=["read"])
    add_all(unit, [task(a, tool="write"), task(b, tool="read", x=1), Task(c, "read", {"x": 1}, after=(a,))])
    unit.claim(a)
    unit.finished(a, None, done())
    assert unit.restore(b, done("old"), [{"x": 1}], "read") == [Finished(b, done("old"))]
    assert unit.claim(c) == [start(c, x=1)]


def test_a_task_that_turns_out_unusable_after_it_was_done(abcde: tuple[int, ...]) -> None:
    """`a (done, rejected), b behind a and c, d behind a later, e ≡ a`: b and d are skipped, e makes the call."""
    a, b, c, d, e = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a, tool="read"), task(c), task(b, a, c)])
    unit.finished(a, None, done(1))
    assert unit.reject(a, "bad") == [Finished(b, skipped(a))]
    assert unit.observations[a] == failed("bad")
    assert unit.add(task(d, a)) == [Finished(d, skipped(a))]
    assert unit.add(task(e, tool="read")) == [Release(e), start(e)]


def test_a_rejected_task_serves_nobody_even_if_it_is_claimed(abcde: tuple[int, ...]) -> None:
    """`a (suspended, rejected, claimed), b ≡ a`: b makes the call itself."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    unit.add(task(a, tool="read"))
    unit.suspended(a, None)
    unit.reject(a, "bad")
    unit.claim(a)
    assert unit.add(task(b, tool="read")) == [Release(b), start(b)]


# -- suspension ---------------------------------------------------------------------------------------------------


def test_suspended_calls_give_their_place_back(abcde: tuple[int, ...]) -> None:
    """`a (suspended) ∥ b with one slot`: b starts, and a again once it is claimed and b is done."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(max_concurrency=1)
    add_all(unit, [task(a, x=1), task(b)])
    assert unit.suspended(a, None) == [start(b)]
    assert unit.claim(a) == []
    assert unit.finished(b, None, done()) == [Finished(b, done()), start(a, x=1)]
    assert unit.finished(a, None, done()) == [Finished(a, done())]


def test_suspended_elements_are_made_again_alone(abcde: tuple[int, ...]) -> None:
    """b[0 ✓, 1 suspended, 2 waiting for a slot]: the claim brings back the second element only."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(max_concurrency=2)
    unit.restore(a, done(["p", "q", "r"]))
    unit.add(task(b, x=Reference(a, (ALL,))))
    assert unit.suspended(b, 1) == [start(b, 2, x="r")]
    assert unit.finished(b, 0, done("P")) == []
    assert unit.claim(b) == [start(b, 1, x="q")]
    assert unit.finished(b, 1, done("Q")) == []
    assert unit.finished(b, 2, done("R")) == [Finished(b, done(["P", "Q", "R"]))]


def test_suspended_while_elements_still_wait(abcde: tuple[int, ...]) -> None:
    """b[0 suspended and claimed, 1 running, 2 waiting]: each element is called once more or once, never twice."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(max_concurrency=1)
    unit.restore(a, done([0, 1, 2]))
    unit.add(task(b, x=Reference(a, (ALL,))))
    assert unit.suspended(b, 0) == [start(b, 1, x=1)]
    assert unit.claim(b) == []
    assert unit.finished(b, 1, done()) == [start(b, 0, x=0)]
    assert unit.finished(b, 0, done()) == [start(b, 2, x=2)]
    assert unit.add(task(c)) == [Release(c)]
    assert unit.finished(b, 2, done()) == [Finished(b, done([None, None, None])), start(c)]


def test_suspended_and_then_finished_otherwise(abcde: tuple[int, ...]) -> None:
    """A suspended task that was rejected or restored meanwhile is not started by its claim."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit()
    add_all(unit, [task(a), task(b)])
    unit.suspended(a, None)
    unit.suspended(b, None)
    unit.reject(a, "bad")
    unit.restore(b, done())
    assert unit.claim(a) == []
    assert unit.claim(b) == []


def test_a_suspended_call_serves_nobody(abcde: tuple[int, ...]) -> None:
    """`a ≡ b ≡ c, a suspended`: whoever is claimed first makes the call; it serves each other once claimed."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(n, tool="read") for n in (a, b, c)])
    assert unit.suspended(a, None) == []
    assert unit.claim(c) == [start(c)]
    assert unit.claim(a) == []
    assert unit.finished(c, None, done("it")) == [Finished(c, done("it")), Finished(a, done("it"))]
    assert unit.claim(b) == [Finished(b, done("it"))]


def test_whoever_is_claimed_makes_a_suspended_call_at_once(abcde: tuple[int, ...]) -> None:
    """`a ≡ b, b claimed, a suspended`: b makes the call without another claim."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a, tool="read"), task(b, tool="read")])
    unit.claim(b)
    assert unit.suspended(a, None) == [start(b)]


def test_suspended_after_its_task_has_ended(abcde: tuple[int, ...]) -> None:
    """`a (running, then unusable) ∥ b with one slot`: a's suspended call is not made again; b has its slot."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(max_concurrency=1)
    add_all(unit, [task(a), task(b)])
    unit.reject(a, "bad")
    assert unit.suspended(a, None) == [start(b)]
    assert unit.claim(a) == []
    unit.validate()


def test_equal_elements_of_a_suspended_call_wait_with_it(abcde: tuple[int, ...]) -> None:
    """`a[*] → b with equal elements, the first suspended`: the claim brings it back, for both."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    unit.restore(a, done([1, 1]))
    unit.add(task(b, tool="read", x=Reference(a, (ALL,))))
    assert unit.suspended(b, 0) == []
    assert unit.claim(b) == [start(b, 0, x=1)]
    assert unit.finished(b, 0, done("it")) == [Finished(b, done(["it", "it"]))]


# -- restore ------------------------------------------------------------------------------------------------------


def test_restored_tasks_are_not_run(abcde: tuple[int, ...]) -> None:
    """`a (restored) → b → c`: of an added chain whose start is known, only the rest runs."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(held=["ask"])
    add_all(unit, [task(a, tool="ask"), task(b, x=Reference(a)), task(c, b)])
    assert unit.restore(a, done("A"), [{}], "ask") == [Finished(a, done("A")), Release(b), start(b, x="A")]
    assert unit.arguments[a] == ({},)


@pytest.mark.parametrize(
    ("value", "arguments", "fans_out", "shared"),
    [
        ("v", [{"q": "x"}], False, True),
        (["v"], [{"q": "x"}], False, False),
        (["v"], [{"q": "x"}], True, False),
        (["v", "w"], [{"q": "x"}], False, True),
        (["v", "w"], [{"q": "x"}, {"q": "y"}], True, True),
        ("v", [{"q": "other"}], False, False),
    ],
)
def test_a_replan_that_repeats_finished_work_costs_nothing(
    value: JSON, arguments: list[dict[str, JSON]], fans_out: bool, shared: bool
) -> None:
    """A restored read-only call serves equal ones, unless its value could be a fanned-out list of one."""
    unit = TaskFetchingUnit(TOOLS)
    unit.restore(1, done(value), arguments, "read")
    unit.restore(2, done([*"xy"[: len(arguments)]]))
    added = unit.add(task(3, tool="read", q=Reference(2, (ALL,)) if fans_out else "x"))
    assert (added == [Release(3), Finished(3, done(value))]) == shared
    assert bool(started(added)) != shared


@pytest.mark.parametrize(("tool", "observation"), [("read", failed()), ("send", done()), ("nobody", done())])
def test_only_done_read_only_calls_serve_later_ones(tool: str, observation: Observation) -> None:
    """A restored failure, effect or unknown tool's call is made anew."""
    unit = TaskFetchingUnit(TOOLS)
    unit.restore(1, observation, [{"q": "x"}], tool)
    unit.claim(2)
    assert unit.add(task(2, tool=tool, q="x")) == [Release(2), start(2, q="x")]


def test_restored_while_it_waits_or_runs(abcde: tuple[int, ...]) -> None:
    """`a (running) and b (waiting for a slot), both restored`: a's late result is dropped, b never starts."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS, max_concurrency=1)
    add_all(unit, [task(a, tool="read"), task(b), task(c, tool="read")])
    assert unit.restore(a, done("old"), [{}], "read") == [Finished(a, done("old")), Finished(c, done("old"))]
    unit.restore(b, done())
    assert unit.finished(a, None, done("new")) == []
    assert unit.observations[a] == done("old")


# -- who waits ----------------------------------------------------------------------------------------------------


def test_waiting_for_follows_data_order_and_equal_calls(abcde: tuple[int, ...]) -> None:
    """`a → b send, c send → d, e unrelated`: b waits for a, c for b's turn, d for c."""
    a, b, c, d, e = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a), task(b, a, tool="send"), task(c, tool="send"), task(d, c), task(e)])
    assert unit.waiting_for(a) == {b, c, d}
    assert unit.waiting_for(c) == {d}
    assert unit.waiting_for(e) == set()


def test_waiting_for_an_equal_call(abcde: tuple[int, ...]) -> None:
    """`a ≡ b → c`: b and c wait for a's call, until they are finished."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a, tool="read"), task(b, tool="read"), task(c, b)])
    assert unit.waiting_for(a) == {b, c}
    unit.reject(c, "bad")
    assert unit.waiting_for(a) == {b}


# -- abandoned ----------------------------------------------------------------------------------------------------


def test_what_waits_for_a_call_that_raised_is_stalled(abcde: tuple[int, ...]) -> None:
    """`a (raised) → b → c, d → e`: a, b and c are stalled at once; d and e go on, and a's slot is free."""
    a, b, c, d, e = abcde
    unit = TaskFetchingUnit(max_concurrency=1)
    add_all(unit, [task(a), task(b, a), task(c, b), task(d), task(e, d)])
    assert unit.raised(a, None) == [Stalled(a, a), Stalled(b, a), Stalled(c, a), start(d)]
    assert unit.finished(d, None, done()) == [Finished(d, done()), Release(e), start(e)]


@pytest.mark.parametrize("end", ["abandoned", "finished"])
def test_a_task_is_stalled_once_its_other_calls_are_back(abcde: tuple[int, ...], end: str) -> None:
    """`a[0 abandoned, 1 running] → b`: both are stalled when the second call is back, however it ends."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit()
    unit.restore(c, done(["x", "y"]))
    add_all(unit, [task(a, x=Reference(c, (ALL,))), task(b, a)])
    assert unit.abandoned(a, 0) == []
    last = unit.abandoned(a, 1) if end == "abandoned" else unit.finished(a, 1, done())
    assert last == [Stalled(a, a), Stalled(b, a)]


def test_what_comes_to_wait_for_a_stalled_task_is_stalled(abcde: tuple[int, ...]) -> None:
    """`a (raised) ≡ b → c, d send after c → e send`: each is stalled when it comes, by data, sharing or turn."""
    a, b, c, d, e = abcde
    unit = TaskFetchingUnit(TOOLS)
    unit.add(task(a, tool="read"))
    assert unit.raised(a, None) == [Stalled(a, a)]
    assert unit.add(task(b, tool="read")) == [Release(b), Stalled(b, a)]
    assert unit.add(task(c, b)) == [Stalled(c, a)]
    assert unit.add(task(d, c, tool="send")) == [Stalled(d, a)]
    assert unit.add(task(e, tool="send")) == [Stalled(e, a)]


def test_a_call_serves_again_once_the_abandoned_one_is_rejected(abcde: tuple[int, ...]) -> None:
    """`a (abandoned) ≡ b, a rejected`: b makes the call; what comes to wait for b is not stalled any more."""
    a, b, c, d, _ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a, tool="read"), task(b, tool="read")])
    assert unit.abandoned(a, None) == [Stalled(a, a), Stalled(b, a)]
    assert unit.reject(a, "bad") == [Finished(a, failed("bad")), start(b)]
    assert unit.add(task(c, b)) == []
    assert unit.add(task(d, tool="read")) == [Release(d)]
    assert unit.finished(b, None, done())[:2] == [Finished(b, done()), Finished(d, done())]


def test_what_is_restored_serves_those_that_were_stalled_with_it(abcde: tuple[int, ...]) -> None:
    """`a (abandoned) ≡ b, a restored`: b has the value of a's call."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a, tool="read"), task(b, tool="read")])
    unit.abandoned(a, None)
    assert unit.restore(a, done("A"), [{}], "read") == [Finished(a, done("A")), Finished(b, done("A"))]
    unit.validate()


def test_who_makes_a_call_itself_waits_for_a_stalled_task_no_more(abcde: tuple[int, ...]) -> None:
    """`a[0 raised, 1 ≡ b], a[1] suspended`: b makes its call; what comes to wait for b is not stalled."""
    a, b, c, d, _ = abcde
    unit = TaskFetchingUnit(TOOLS)
    unit.restore(c, done(["x", "y"]))
    add_all(unit, [task(a, tool="read", q=Reference(c, (ALL,))), task(b, tool="read", q="y")])
    assert unit.raised(a, 0) == [Stalled(a, a), Stalled(b, a)]
    assert unit.suspended(a, 1) == []
    assert unit.claim(b) == [start(b, q="y")]
    assert unit.add(task(d, b)) == []
    unit.validate()


def test_a_call_that_comes_to_share_an_abandoned_one_is_over(abcde: tuple[int, ...]) -> None:
    """`a[0 running, 1 abandoned] ≡ b[0 asks, 1]`: b is stalled once it has asked: it waits for no call of its own."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    unit.restore(c, done(["x", "y"]))
    unit.add(task(a, tool="read", q=Reference(c, (ALL,))))
    assert unit.abandoned(a, 1) == []
    unit.restore(c + 1000, done(["z", "y"]))
    unit.add(task(b, tool="read", q=Reference(c + 1000, (ALL,))))
    unit.validate()
    assert unit.abandoned(b, 0) == [Stalled(b, b)]


def test_no_time_is_left_for_the_task_that_makes_a_call(abcde: tuple[int, ...]) -> None:
    """`a (running) ≡ b, no time left for a`: b makes the call itself."""
    a, b, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a, tool="read"), task(b, tool="read")])
    assert unit.expire({a: "late"}) == [Finished(a, failed("late")), start(b)]


def test_the_end_of_a_stalled_task_leaves_the_others_stalled(abcde: tuple[int, ...]) -> None:
    """`a (raised) → b, b rejected`: what comes to wait for a is stalled all the same."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit()
    add_all(unit, [task(a), task(b, a)])
    unit.raised(a, None)
    assert unit.reject(b, "bad") == [Finished(b, failed("bad"))]
    assert unit.add(task(c, a)) == [Stalled(c, a)]


def test_time_is_over_for_stalled_tasks_too(abcde: tuple[int, ...]) -> None:
    """`a (raised) ≡ b, c (running)`: all fail when the time is over; c's late result changes nothing."""
    a, b, c, *_ = abcde
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(a, tool="read"), task(b, tool="read"), task(c)])
    unit.raised(a, None)
    assert unit.expire({n: "late" for n in (a, b, c)}) == [Finished(n, failed("late")) for n in (a, b, c)]
    assert unit.finished(c, None, done()) == []


# -- size ---------------------------------------------------------------------------------------------------------


def chain(length: int) -> list[Task]:
    """Each task takes the value of the one before."""
    return [Task(n, "read", {"x": Reference(n - 1) if n > 1 else 0}) for n in range(1, length + 1)]


def run_chain(length: int, **options: Any) -> TaskFetchingUnit:
    """Run a chain from end to end."""
    unit = TaskFetchingUnit(TOOLS, **options)
    add_all(unit, chain(length))
    for n in range(1, length + 1):
        unit.finished(n, None, done(n))
    return unit


def test_a_chain_of_20_000_tasks_runs() -> None:
    """1 → 2 → … → 20,000: no recursion limit is met."""
    unit = run_chain(20_000, max_concurrency=1)
    assert unit.observations[20_000] == done(20_000)
    assert len(unit.observations) == 20_000


def test_a_chain_of_20_000_tasks_is_skipped() -> None:
    """1 ✗ → 2 → … → 20,000: all are skipped by one event, and all were found to wait for it."""
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, chain(20_000))
    assert len(unit.waiting_for(1)) == 19_999
    assert len(unit.finished(1, None, failed())) == 20_000
    assert unit.observations[20_000] == skipped(19_999, "was not run either")


def opcodes(work: Callable[[], object]) -> int:
    """Count the bytecode instructions that some work takes: its cost, whatever the machine is doing."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    sys._getframe().f_trace_opcodes = True  # Python 3.12 traces none before some frame asks for it
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
        count = 0  # Python 3.13 does not trace all that runs for the first time
        work()
    finally:
        sys.settrace(before)
    return count


def run_wide(width: int, **options: Any) -> None:
    """Run tasks that need nothing."""
    unit = TaskFetchingUnit(TOOLS, **options)
    under_way = started(add_all(unit, (task(n, x=n) for n in range(1, width + 1))))
    while under_way:
        under_way += started(unit.finished(under_way.pop(0), None, done()))
    assert len(unit.observations) == width


def run_fan_in(width: int) -> None:
    """Run tasks that all feed one."""
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [*(task(n) for n in range(1, width)), task(width, *range(1, width))])
    for n in range(1, width + 1):
        unit.finished(n, None, done())


def run_fan_out(width: int) -> None:
    """Run a task that makes a call per element."""
    unit = TaskFetchingUnit(TOOLS, max_concurrency=3)
    unit.restore(1, done(list(range(width))))
    unit.add(task(2, x=Reference(1, (ALL,))))
    for n in range(width):
        unit.finished(2, n, done())


def run_effects(length: int) -> None:
    """Run tasks with effects, claimed last one first."""
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, [task(n, tool="send") for n in range(1, length + 1)])
    for n in range(length, 0, -1):
        unit.claim(n)
    for n in range(1, length + 1):
        unit.finished(n, None, done())


def skip_chain(length: int) -> None:
    """Skip a chain from end to end."""
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, chain(length))
    unit.reject(1, "bad")


def run_while_it_is_written(length: int, needs: Callable[[int], Sequence[int]], **options: Any) -> None:
    """Run tasks that come two by two while one ends, so that ever more of them wait for a slot."""
    unit = TaskFetchingUnit(TOOLS, **options)
    under_way: list[int] = []
    for n in range(1, length + 1):
        under_way += started(unit.add(task(n, *needs(n))))
        if n % 2 == 0 and under_way:
            under_way += started(unit.finished(under_way.pop(0), None, done()))
    while under_way:
        under_way += started(unit.finished(under_way.pop(0), None, done()))
    assert len(unit.observations) == length


def run_past_a_full_tool(length: int) -> None:
    """Run tasks of one tool while as many of another wait for its only slot."""
    unit = TaskFetchingUnit(TOOLS, tool_concurrency={"read": 1})
    add_all(unit, (task(n, tool="read", x=n) for n in range(1, length + 1)))
    for n in range(length + 1, 2 * length + 1):
        assert started(unit.add(task(n))) == [n]
        unit.finished(n, None, done())


def run_effects_past_reads(length: int) -> None:
    """Run tasks with effects while as many that read wait for a slot: none of these has read anything yet."""
    unit = TaskFetchingUnit(TOOLS, tool_concurrency={"read": 1})
    add_all(unit, (task(n, tool="read", x=n) for n in range(1, length + 1)))
    add_all(unit, (task(n, tool="send") for n in range(length + 1, 2 * length + 1)))
    for n in range(length + 1, 2 * length + 1):
        assert started(unit.claim(n)) == [n]
        unit.finished(n, None, done())


def raise_again_and_again(length: int) -> None:
    """Every other task raises, and tasks come that wait for it."""
    unit = TaskFetchingUnit(TOOLS)
    for n in range(1, length + 1, 2):
        unit.add(task(n, tool="read", x=n))
        assert unit.raised(n, None) == [Stalled(n, n)]
        assert unit.add(task(n + 1, n)) == [Stalled(n + 1, n)]


def stall_a_chain_while_it_is_written(length: int) -> None:
    """A task asks a human, and a chain that waits for it goes on and on."""
    unit = TaskFetchingUnit(TOOLS)
    unit.add(task(1, tool="read", x=0))
    assert unit.abandoned(1, None) == [Stalled(1, 1)]
    for n in range(2, length + 1):
        assert unit.add(task(n, n - 1)) == [Stalled(n, 1)]


def suspend_shared_calls(length: int) -> None:
    """Equal calls, of which one after another is made and suspended."""
    unit = TaskFetchingUnit(TOOLS)
    add_all(unit, (task(n, tool="read") for n in range(1, length + 1)))
    unit.suspended(1, None)
    for n in range(2, length + 1):
        assert started(unit.claim(n)) == [n]
        unit.suspended(n, None)


def tree(n: int) -> Sequence[int]:
    """The parent of a node in a tree that branches in two."""
    return (n // 2,) if n > 1 else ()


WORK: Sequence[tuple[str, Callable[[int], object]]] = (
    ("chain", run_chain),
    ("limited chain", lambda n: run_chain(n, max_concurrency=1)),
    ("skipped chain", skip_chain),
    ("wide", run_wide),
    ("limited wide", lambda n: run_wide(n, max_concurrency=3)),
    ("tool-limited wide", lambda n: run_wide(n, tool_concurrency={"tool": 3})),
    ("fan in", run_fan_in),
    ("fan out", run_fan_out),
    ("effects", run_effects),
    ("written wide", lambda n: run_while_it_is_written(n, lambda _: ())),
    ("written wide, limited", lambda n: run_while_it_is_written(n, lambda _: (), max_concurrency=3)),
    ("written tree", lambda n: run_while_it_is_written(n, tree)),
    ("written tree, limited", lambda n: run_while_it_is_written(n, tree, max_concurrency=3)),
    ("past a full tool", run_past_a_full_tool),
    ("effects past reads", run_effects_past_reads),
    ("raised", raise_again_and_again),
    ("stalled chain", stall_a_chain_while_it_is_written),
    ("suspended", suspend_shared_calls),
)


@pytest.mark.parametrize("work", [work for _, work in WORK], ids=[name for name, _ in WORK])
def test_work_grows_with_the_plan_and_not_faster(work: Callable[[int], object]) -> None:
    """Four times the tasks take about four times the work."""
    few, many = opcodes(lambda: work(60)), opcodes(lambda: work(240))
    assert many < 4.8 * few
