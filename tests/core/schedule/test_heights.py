from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.schedule.heights import Heights

Edges = Mapping[int, Sequence[tuple[int, int]]]


def heights_of(waits_for: Edges) -> dict[int, int]:
    """The heights of tasks, worked out at once."""
    heights = Heights(lambda index: waits_for.get(index, ()))
    for index in waits_for:
        heights.add(index)
    heights.update()
    heights.validate()
    return {index: heights[index] for index in waits_for}


@pytest.mark.parametrize(
    ("needs", "in_turn", "sharing", "expected"),
    [
        ({}, (), {}, {}),
        ({1: (), 2: ()}, (), {}, {1: 0, 2: 0}),
        ({1: (), 2: (1,), 3: (2,)}, (), {}, {1: 2, 2: 1, 3: 0}),
        ({1: (), 2: (), 3: (1, 2), 4: (2,), 5: (4,)}, (), {}, {1: 1, 2: 2, 3: 0, 4: 1, 5: 0}),
        ({1: (), 2: (), 3: ()}, (1, 3), {}, {1: 1, 2: 0, 3: 0}),
        ({1: (), 2: (), 3: (2,), 4: ()}, (1, 2, 4), {}, {1: 2, 2: 1, 3: 0, 4: 0}),
        ({5: (2,), 6: (5,)}, (), {}, {2: 2, 5: 1, 6: 0}),
        ({1: (), 2: (), 3: (2,)}, (), {1: [2]}, {1: 1, 2: 1, 3: 0}),
        ({3: (), 4: (3,)}, (), {1: [3]}, {1: 1, 3: 1, 4: 0}),
    ],
)
def test_a_height_is_the_longest_chain_that_waits(
    needs: Mapping[int, Sequence[int]],
    in_turn: Sequence[int],
    sharing: Mapping[int, Sequence[int]],
    expected: Mapping[int, int],
) -> None:
    """A chain goes through what is needed, through taking turns, and through calls that serve others."""
    waits_for = {index: [(n, 1) for n in needs[index]] for index in needs}
    for before, index in pairwise(in_turn):
        waits_for[index].append((before, 1))
    for maker, served in sharing.items():
        for index in served:
            waits_for[index].append((maker, 0))
    assert heights_of(waits_for) == {index: height for index, height in expected.items() if index in needs}


@settings(max_examples=200)
@given(st.data(), st.lists(st.booleans(), max_size=12))
def test_heights_are_the_same_however_often_they_are_asked_for(data: st.DataObject, asked: list[bool]) -> None:
    """Whatever has come when heights are updated, at the end they are those of a plan that comes at once."""
    waits_for: dict[int, list[tuple[int, int]]] = {}
    heights = Heights(lambda index: waits_for[index])
    indices = data.draw(st.permutations(range(len(asked))))
    for position, (index, update) in enumerate(zip(indices, asked, strict=True)):
        earlier = st.lists(st.sampled_from(indices[:position]), unique=True) if position else st.just([])
        waits_for[index] = [(n, 1) for n in data.draw(earlier)]
        heights.add(index)
        if update:
            before = {n: heights[n] for n in waits_for}
            risen = heights.update()
            assert risen == {n for n in waits_for if heights[n] != before[n]}
            heights.validate()
    heights.update()
    assert {n: heights[n] for n in waits_for} == {n: longest(n, waits_for) for n in waits_for}


def longest(index: int, waits_for: Edges) -> int:
    """The longest chain of tasks that waits for one, in another way."""
    waiting = [n for n in waits_for if (index, 1) in waits_for[n]]
    return max((1 + longest(n, waits_for) for n in waiting), default=0)


def test_a_chain_that_grows_is_looked_at_from_its_end() -> None:
    """No task is looked at twice in one update, however many chains pass through it."""
    seen: list[int] = []

    def waits_for(index: int) -> Iterator[tuple[int, int]]:
        seen.append(index)
        yield from ((n, 1) for n in range(max(index - 3, 0), index))

    heights = Heights(waits_for)
    for index in range(50):
        heights.add(index)
    heights.update()
    assert seen == list(range(49, -1, -1))
    assert heights[0] == 49
