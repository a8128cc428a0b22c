"""The optimiser: passes over the calls that are ready, applied each time some become ready.

Plans arrive task by task and arguments are known only when the tasks they come from are done, so the passes work on
*ready calls* (their arguments resolved), like a just-in-time compiler's, and see more than a pass over plan text could:
two calls are equal if what they are called with is equal, however it was written, whether alone or as one of a fan-out,
and across replans.

>>> arguments = {"q": "K2"}
>>> ready = [ReadyCall(n, None, "search", arguments, call_key("search", arguments)) for n in (1, 2)]
>>> share_equal_calls(ready, Known({}, {}))[1].same_as
(1, None)

May know: `references`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from llmcompiler_graph.core.language.references import JSON

__all__ = (
    "PASSES",
    "CallId",
    "Known",
    "Pass",
    "ReadyCall",
    "call_key",
    "critical_path_first",
    "heights",
    "share_equal_calls",
)

CallId: TypeAlias = tuple[int, int | None]
"""A task, and which of its calls: the element, from 0, if it fans out."""


@dataclass(frozen=True, slots=True)
class ReadyCall:
    """A call whose inputs exist."""

    index: int
    """The task."""
    element: int | None
    """Which of the calls of a task that fans out, from 0; `None` for a task of one call."""
    tool: str
    """The tool to call."""
    arguments: Mapping[str, JSON]
    """Resolved arguments."""
    key: str = ""
    """Equal for calls of which one is as good as two; empty if every call counts (see `call_key`)."""
    same_as: CallId | None = None
    """An equal call that is made instead: what it returns serves this one too."""

    @property
    def id(self) -> CallId:
        """Which call it is."""
        return self.index, self.element


@dataclass(frozen=True, slots=True)
class Known:
    """What passes may look at besides the calls."""

    made: Mapping[str, CallId]
    """The calls made or being made, by key, over all plans of the question."""
    height: Mapping[int, int]
    """`{index: n}`: the length, in tasks, of the longest chain of tasks that wait for it."""


def call_key(tool: str, arguments: Mapping[str, JSON]) -> str:
    """Name a call by what it is: equal calls have equal keys, however they were written."""
    return json.dumps([tool, arguments], sort_keys=True, ensure_ascii=False)


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
    here: dict[str, CallId] = {}
    calls: list[ReadyCall] = []
    for call in ready:
        first = call.id
        if call.key:
            first = known.made.get(call.key) or here.setdefault(call.key, call.id)
        same_as = None if first == call.id else first
        calls.append(call if same_as == call.same_as else replace(call, same_as=same_as))
    return calls


def critical_path_first(ready: Sequence[ReadyCall], known: Known) -> list[ReadyCall]:
    """Put the calls first on which the longest chains wait; ties keep plan order, then that of the elements."""
    return sorted(ready, key=lambda call: (-known.height.get(call.index, 0), call.index, call.element or 0))


Pass: TypeAlias = Callable[[Sequence[ReadyCall], Known], list[ReadyCall]]
"""Takes the calls that are ready; returns them in the order they are to be made, marked where one serves another."""

PASSES: tuple[Pass, ...] = (share_equal_calls, critical_path_first)
"""The passes, in order."""
