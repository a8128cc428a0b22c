from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.schedule.passes import ReadyCall, call_key, share_equal_calls


def call(index: int, key: str = "") -> ReadyCall:
    """A ready call of which nothing but its number and key matters."""
    return ReadyCall(index, None, "f", {"n": index}, key)


@pytest.mark.parametrize(
    ("keys", "made", "shared"),
    [
        ({}, {}, {}),
        ({1: "a"}, {}, {1: None}),
        ({1: "a", 2: "b"}, {}, {1: None, 2: None}),
        ({1: "a", 2: "a", 3: "a"}, {}, {1: None, 2: 1, 3: 1}),
        ({1: "a", 2: "b", 3: "a", 4: "b"}, {}, {1: None, 2: None, 3: 1, 4: 2}),
        ({1: "", 2: ""}, {}, {1: None, 2: None}),
        ({5: "a", 6: "a"}, {"a": 2}, {5: 2, 6: 2}),
        ({5: "b"}, {"a": 2}, {5: None}),
        ({5: ""}, {"": 2}, {5: None}),
        ({5: "a", 6: "a"}, {"a": 5}, {5: None, 6: 5}),
    ],
)
def test_equal_calls_are_made_once(
    keys: Mapping[int, str], made: Mapping[str, int], shared: Mapping[int, int | None]
) -> None:
    """The first call serves the others, also one of an earlier plan; calls without a key are all made."""
    found = share_equal_calls(
        [call(index, key) for index, key in keys.items()], {key: (index, None) for key, index in made.items()}
    )
    assert {each.index: each.same_as and each.same_as[0] for each in found} == shared


def test_sharing_changes_nothing_else() -> None:
    """Sharing keeps calls' order, tool and arguments, and forgets what was said of them before."""
    ready = [replace(call(3, "a"), same_as=(9, None)), call(1, "b"), call(2, "a")]
    found = share_equal_calls(ready, {})
    assert [each.same_as for each in found] == [None, None, (3, None)]
    assert [(each.index, each.tool, each.arguments, each.key) for each in found] == [
        (each.index, each.tool, each.arguments, each.key) for each in ready
    ]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (("f", {"a": 1, "b": 2}), ("f", {"b": 2, "a": 1}), True),
        (("f", {"a": {"x": 1, "y": 2}}), ("f", {"a": {"y": 2, "x": 1}}), True),
        (("f", {"a": 1}), ("g", {"a": 1}), False),
        (("f", {"a": 1}), ("f", {"a": "1"}), False),
        (("f", {"a": 1}), ("f", {"a": True}), False),
        (("f", {"a": None}), ("f", {}), False),
        (("f", {"a": [1, 2]}), ("f", {"a": [2, 1]}), False),
    ],
)
def test_keys_are_equal_for_equal_calls_only(
    one: tuple[str, dict[str, JSON]], other: tuple[str, dict[str, JSON]], equal: bool
) -> None:
    """The order of names does not matter; tool, values, their types and their order do."""
    assert (call_key(*one) == call_key(*other)) is equal


@settings(max_examples=100)
@given(st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=12))
def test_sharing_loses_no_call_and_shares_backwards(ready: list[str]) -> None:
    """Every call comes out once; what serves another is itself made, earlier in the plan, and has its key."""
    calls = share_equal_calls([call(index, key) for index, key in enumerate(ready, 1)], {})
    by_index = {each.index: each for each in calls}
    assert sorted(by_index) == list(range(1, len(ready) + 1))
    assert len(calls) == len(ready)
    for each in calls:
        if each.same_as is not None:
            first = by_index[each.same_as[0]]
            assert first.same_as is None
            assert first.index < each.index
            assert first.key == each.key != ""
