"""The optimiser: what is made once although it is asked for more often, and what is made first.

Plans arrive task by task and arguments are known only when the tasks they come from are done, so both are decided about
*ready calls* (their arguments resolved), as a just-in-time compiler does it, and see more than a pass over plan text
could: two calls are equal if what they are called with is equal, however it was written, whether alone or as one of a
fan-out, and across replans.

>>> arguments = {"q": "K2"}
>>> ready = [ReadyCall(n, None, "search", arguments, call_key("search", arguments)) for n in (1, 2)]
>>> share_equal_calls(ready, {})[1].same_as
(1, None)

May know: `references`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from llmcompiler_graph.core.language.references import JSON

__all__ = ("CallId", "Priority", "ReadyCall", "call_key", "critical_path_first", "share_equal_calls")

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
    id: CallId = field(init=False, compare=False, repr=False)
    """Which call it is."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", (self.index, self.element))


def call_key(tool: str, arguments: Mapping[str, JSON]) -> str:
    """Name a call by what it is: equal calls have equal keys, however they were written."""
    return json.dumps([tool, arguments], sort_keys=True, ensure_ascii=False)


def share_equal_calls(ready: Sequence[ReadyCall], made: Mapping[str, CallId]) -> list[ReadyCall]:
    """Let one call serve all equal ones of read-only tools (common-subexpression elimination).

    Args:
        ready: Calls that have become ready, in the order in which they did.
        made: The calls that are made already, by key, over all plans of the question.
    """
    here: dict[str, CallId] = {}
    calls: list[ReadyCall] = []
    for call in ready:
        first = call.id
        if call.key:
            first = made.get(call.key) or here.setdefault(call.key, call.id)
        same_as = None if first == call.id else first
        calls.append(call if same_as == call.same_as else replace(call, same_as=same_as))
    return calls


Priority: TypeAlias = Callable[[int, int], float]
"""Takes a task and its height (see `heights`); of tasks whose calls wait for a slot, the least is first."""


def critical_path_first(index: int, height: int) -> float:
    """Put the tasks first for which the longest chains wait."""
    return -height
