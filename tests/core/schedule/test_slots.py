from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.schedule.passes import ReadyCall, critical_path_first
from llmcompiler_graph.core.schedule.slots import Slots


def call(index: int, element: int | None = None, tool: str = "f") -> ReadyCall:
    """A call of which nothing but its task, element and tool matters."""
    return ReadyCall(index, element, tool, {})


def take_all(slots: Slots) -> list[int]:
    """The tasks of the calls that begin, one after another."""
    order: list[int] = []
    while (taken := slots.take()) is not None:
        slots.give_back(taken.tool)
        order.append(taken.index)
    return order


@pytest.mark.parametrize(
    ("ready", "height", "order"),
    [
        ([], {}, []),
        ([1, 2, 3], {}, [1, 2, 3]),
        ([3, 1, 2], {}, [1, 2, 3]),
        ([1, 2, 3], {1: 0, 2: 2, 3: 1}, [2, 3, 1]),
        ([1, 2, 3, 4], {2: 1, 4: 1}, [2, 4, 1, 3]),
    ],
)
def test_the_longest_chain_goes_first(ready: Sequence[int], height: Mapping[int, int], order: Sequence[int]) -> None:
    """Ties keep plan order; what nothing is known of waits for nothing."""
    slots = Slots(1, {}, critical_path_first)
    for index in ready:
        slots.wait(call(index), height.get(index, 0))
    assert take_all(slots) == order


def test_a_task_that_rises_goes_before_those_that_do_not() -> None:
    """A height that is learnt while calls wait counts for all calls of the task, and for no other task."""
    slots = Slots(1, {}, critical_path_first)
    for each in (call(1), call(2, 1), call(2, 0), call(3)):
        slots.wait(each, 0)
    slots.rise(2, 1)
    slots.rise(4, 9)
    assert [slots.take(), slots.take()] == [call(2, 0), None]
    slots.give_back("f")
    assert slots.take() == call(2, 1)


def test_what_leaves_does_not_begin() -> None:
    """A call that is not wanted any more takes no slot, whether it was first or not."""
    slots = Slots(1, {}, critical_path_first)
    for each in (call(1), call(2), call(3)):
        slots.wait(each, 0)
    slots.leave(call(1))
    slots.leave(call(3))
    assert take_all(slots) == [2]


operations = st.one_of(
    st.tuples(st.just("wait"), st.integers(0, 4), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("leave"), st.integers(0, 99), st.just(0), st.just(0)),
    st.tuples(st.just("rise"), st.integers(0, 4), st.just(0), st.just(0)),
    st.tuples(st.just("give back"), st.integers(0, 99), st.just(0), st.just(0)),
)


@settings(max_examples=200)
@given(st.lists(operations, max_size=40), st.none() | st.integers(1, 3), st.none() | st.integers(1, 2))
def test_the_first_that_may_begin_does(
    operations: list[tuple[str, int, int, int]], limit: int | None, of_one_tool: int | None
) -> None:
    """After anything that happens, the calls that begin are the first by height, index and element that may."""
    tools = "fghij"
    limits = {} if of_one_tool is None else {"f": of_one_tool, "g": 1}
    slots = Slots(limit, limits, critical_path_first)
    heights: Counter[int] = Counter()
    waiting: list[ReadyCall] = []
    begun: list[ReadyCall] = []

    def first() -> ReadyCall | None:
        of_tool = Counter(each.tool for each in begun)
        free = [each for each in waiting if of_tool[each.tool] < limits.get(each.tool, 99)]
        full = limit is not None and len(begun) >= limit
        key = sorted((-heights[each.index], each.index, each.element or 0) for each in free)
        return None if full or not key else call(key[0][1], key[0][2], tools[key[0][1]])

    for what, which, element, height in operations:
        new = call(which, element, tools[which % 5])
        match what:
            case "wait" if new not in waiting:
                heights[which] = max(heights[which], height)
                slots.rise(which, heights[which])
                slots.wait(new, heights[which])
                waiting.append(new)
            case "leave" if waiting:
                slots.leave(waiting.pop(which % len(waiting)))
            case "rise":
                heights[which] += 1
                slots.rise(which, heights[which])
            case "give back" if begun:
                slots.give_back(begun.pop(which % len(begun)).tool)
        while (expected := first()) is not None:
            assert slots.take() == expected
            waiting.remove(expected)
            begun.append(expected)
        assert slots.take() is None
        slots.validate(Counter(each.tool for each in begun), {(each.index, each.element or 0) for each in waiting})
