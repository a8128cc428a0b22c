"""The optimiser: passes over the calls that are ready, applied each time some become ready.

Plans arrive task by task and arguments are known only when the tasks they come from are done, so the passes work on
*ready calls* (their arguments resolved), like a just-in-time compiler's, and see more than a pass over plan text could:
two calls are equal if what they are called with is equal, however it was written, and across replans.

>>> arguments = ({"q": "K2"},)
>>> ready = [ReadyCall(n, "search", arguments, key=call_key("search", False, arguments)) for n in (1, 2)]
>>> share_equal_calls(ready, Known({}, {}))[1].same_as
1

May know: `references`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from llmcompiler_graph.references import JSON

__all__ = ("PASSES", "Known", "Pass", "ReadyCall", "call_key", "critical_path_first", "heights", "share_equal_calls")


@dataclass(frozen=True, slots=True)
class ReadyCall:
    """A task whose inputs exist."""

    index: int
    """The task."""
    tool: str
    """The tool to call."""
    arguments: tuple[Mapping[str, JSON], ...]
    """Resolved arguments, one per call: several if the task fans out over a list."""
    fans_out: bool = False
    """Whether the observation is the list of what the calls return."""
    key: str = ""
    """Equal for calls of which one is as good as two; empty if every call counts (see `call_key`)."""
    same_as: int | None = None
    """An earlier task that makes the same calls: its observation serves this one too."""


@dataclass(frozen=True, slots=True)
class Known:
    """What passes may look at besides the calls."""

    made: Mapping[str, int]
    """`{key: index}` of the calls made or being made, over all plans of the question."""
    height: Mapping[int, int]
    """`{index: n}`: the length, in tasks, of the longest chain of tasks that wait for it."""


def call_key(tool: str, fans_out: bool, arguments: Iterable[Mapping[str, JSON]]) -> str:
    """Name the calls of a task by what they are: equal calls have equal keys, however they were written."""
    return json.dumps([tool, fans_out, *arguments], sort_keys=True, ensure_ascii=False)


def heights(
    tasks: Sequence[int],
    needs: Mapping[int, Iterable[int]],
    in_turn: Container[int] = (),
    sharing: Mapping[int, Iterable[int]] | None = None,
) -> dict[int, int]:
    """Measure how long a chain of tasks waits for each.

    >>> heights([1, 2, 3, 4], {1: (), 2: (1,), 3: (2,), 4: (1,)}) == {1: 2, 2: 1, 3: 0, 4: 0}
    True

    Args:
        tasks: The unfinished ones, each after those it needs.
        needs: The tasks each needs.
        in_turn: Those of them that wait for the one before.
        sharing: `{index: tasks}` that wait for its call.
    """
    found: dict[int, int] = {}
    next_in_turn: int | None = None
    for index in reversed(tasks):
        height = found.setdefault(index, 0)
        if index in in_turn:
            if next_in_turn is not None:
                height = found[index] = max(height, found[next_in_turn] + 1)
            next_in_turn = index
        for need in needs[index]:
            found[need] = max(found.get(need, 0), height + 1)
    for first, served in (sharing or {}).items():
        found[first] = max(found.get(n, 0) for n in (first, *served))
    return found


def share_equal_calls(ready: Sequence[ReadyCall], known: Known) -> list[ReadyCall]:
    """Let one call serve all equal ones of read-only tools (common-subexpression elimination)."""
    here: dict[str, int] = {}
    calls: list[ReadyCall] = []
    for call in ready:
        first = known.made.get(call.key) or here.setdefault(call.key, call.index) if call.key else call.index
        calls.append(replace(call, same_as=None if first == call.index else first))
    return calls


def critical_path_first(ready: Sequence[ReadyCall], known: Known) -> list[ReadyCall]:
    """Put the calls first on which the longest chains wait; ties keep plan order."""
    return sorted(ready, key=lambda call: (-known.height.get(call.index, 0), call.index))


Pass: TypeAlias = Callable[[Sequence[ReadyCall], Known], list[ReadyCall]]
"""Takes the calls that are ready; returns them in the order they are to be made, marked where one serves another."""

PASSES: tuple[Pass, ...] = (share_equal_calls, critical_path_first)
"""The passes, in order."""
