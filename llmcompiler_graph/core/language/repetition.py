r"""Bounded repetition: a call made again until something holds, `until ${2.state} == "done" max 10 every 5`.

>>> repetition = read_repetition('${2.state} == "done" max 10 every 5', is_task=lambda n: n <= 2)
>>> print(repetition)
until ${2.state} == "done" max 10 every 5
>>> repetition.met({2: {"state": "running"}})
False

The condition is a guard that may also refer to the task's own observation: to that of the last attempt. So a plan polls
without a model call, and it is known before it runs how often at most.

May know: `call_syntax`, `errors`, `guard_reader`, `guards`, `lines`, `references`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llmcompiler_graph.core.errors import ObservationPathError
from llmcompiler_graph.core.language.call_syntax import CallSyntaxError
from llmcompiler_graph.core.language.guard_reader import read_guard
from llmcompiler_graph.core.language.guards import Guard, holds, unmet
from llmcompiler_graph.core.language.lines import QUOTED
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Repetition", "read_repetition")

_MOST_ATTEMPTS = 1000
_LONGEST_WAIT = 86_400  # seconds, between two of them


@dataclass(frozen=True, slots=True)
class Repetition:
    """Until what holds a call is made again, and how often at most."""

    condition: Guard
    """What must hold."""
    attempts: int
    """How many calls there are at most, 1 to 1,000."""
    every: float = 0
    """How long after the end of an attempt the next one begins, in seconds, a day at most."""

    def __post_init__(self) -> None:
        """Refuse numbers that bound nothing.

        Raises:
            ValueError: One of them is out of its range.
        """
        if not 1 <= self.attempts <= _MOST_ATTEMPTS:
            msg = f"`max` is a number from 1 to {_MOST_ATTEMPTS:,}, not {self.attempts}"
            raise ValueError(msg)
        if not 0 <= self.every <= _LONGEST_WAIT:
            msg = f"`every` is a number of seconds from 0 to {_LONGEST_WAIT:,}, not {self.every:g}"
            raise ValueError(msg)

    def __str__(self) -> str:
        return f"until {self.condition} max {self.attempts}" + (f" every {self.every!r}" if self.every else "")

    def met(self, observations: Mapping[int, JSON]) -> bool:
        """Whether the condition holds; one that cannot be told yet, since a value is not there, does not."""
        try:
            return holds(self.condition, observations)
        except ObservationPathError:
            return False

    def unmet(self, observations: Mapping[int, JSON]) -> str:
        """Say that all attempts were made and the condition does not hold, and why."""
        try:
            holds(self.condition, observations)
            why = unmet(self.condition, observations)
        except ObservationPathError as error:
            why = f"`{self.condition}` cannot be told: {error}"
        return f"after {self.attempts} attempt{'s' * (self.attempts > 1)}, {why}"


_BOUND = lazy_pattern(rf"(?P<text>{QUOTED})|(?<![\w.$])(?:max|every)\b", re.IGNORECASE)
_BOUNDS = lazy_pattern(
    r"""[ \t,;]*+(?:
      max[ \t:=]*+(?P<max>[0-9]{1,9})(?![\w.])(?:[ \t]*+(?:times|attempts?|tries|x)\b)?
    | every[ \t:=]*+(?P<every>[0-9]{1,9}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,3})?)
      (?:[ \t]*+(?P<unit>ms|s|secs?|seconds?|m|mins?|minutes?|h|hours?))?(?![\w.])
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_HOW = 'write it as in `until ${2.state} == "done" max 10 every 5`: 10 attempts at most, 5 seconds apart'


def read_repetition(
    text: str, *, is_task: Callable[[int], bool], rename: Callable[[int], int] = lambda index: index
) -> Repetition:
    """Read what stands behind `until`.

    Args:
        text: It.
        is_task: Whether an index, as written, names a task that may be referred to here, or the task itself.
        rename: The index a written one stands for.

    Raises:
        CallSyntaxError: It is no bounded repetition; `offset` says where.
    """
    start = next((found.start() for found in _BOUND.finditer(text) if found["text"] is None), len(text))
    condition = read_guard(text[:start].rstrip(" \t,;"), is_task=is_task, rename=rename, what="repetition", hint=_HOW)
    attempts: int | None = None
    every: float | None = None
    position = start
    while (bound := _BOUNDS.match(text, position)) is not None:
        if (attempts if bound["max"] else every) is not None:
            break
        if bound["max"]:
            attempts = int(bound["max"])
        else:
            unit = (bound["unit"] or "s").lower()
            every = _number(bound["every"]) * _SECONDS[unit if unit in _SECONDS else unit[0]]
        position = bound.end()
    if rest := text[position:].strip():
        raise _error(f"{rest[:20]!r} does not belong to it", position)
    if attempts is None:
        raise _error("`max` is missing", position)
    try:
        return Repetition(condition, attempts, every or 0)
    except ValueError as error:
        raise _error(str(error), start) from None


def _number(written: str) -> float:
    return int(written) if written.isdigit() else float(written)


def _error(what: str, offset: int) -> CallSyntaxError:
    return CallSyntaxError("repetition", f"the repetition cannot be read: {what}", offset, _HOW)
