"""The lines of a plan, one below the other: each leads to the next, and notes its kind in the grammar's state.

May know: `rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from llmcompiler_graph.core.grammar.rules import Alt, Node, Seq, Use, optional

__all__ = ("Called", "State", "bare_lines", "joined_lines")


class State(NamedTuple):
    """What the grammar's state notes: the kind of each line."""

    width: int
    """How many bits a kind takes."""
    noted: int
    """How many lines are noted."""

    def after(self, line: int, kind: int) -> int:
        """The bits that say that a line is of a kind."""
        return kind + 1 << line * self.width if line < self.noted else 0


Called: TypeAlias = Callable[[int, int], tuple[Node, ...]]
"""Gives what a line may be of a kind: its parts, one after the other."""


def joined_lines(
    kinds: int, indices: Sequence[int], state: State, called: Called, *, phased: bool, joins: Sequence[str]
) -> dict[str, Node]:
    """The lines of a plan; the first ones note their kinds in the state.

    `joins` is what may stand in place of each line, and at last what follows all of them. Without any, the plan has
    all lines.
    """

    def name(line: int, kind: int) -> str:
        return f"line-{line}-{kind}" if phased else f"line-{line}"

    def following(line: int, kind: int) -> tuple[Node, ...]:
        if line == len(indices) - 1 and not joins:
            return ()
        return "\n", Use(name(line + 1, kind), state.after(line, kind))

    def states(line: int) -> range:
        """The kinds that may have come before a line, as far as its rule depends on them."""
        return range(kinds if phased and line else 1)

    found: dict[str, Node] = {}
    for line in range(len(indices)):
        for least in states(line):
            calls = (Seq((*called(line, n), *following(line, n))) for n in range(least, kinds))
            found[name(line, least)] = Alt((*calls, *joins[line : line + 1]))
    if joins:
        found |= {name(len(indices), least): joins[-1] for least in states(len(indices))}
    return found


def bare_lines(kinds: int, indices: Sequence[int], state: State, called: Called, *, phased: bool) -> dict[str, Node]:
    """The lines of a plan that may end behind each of them."""
    found: dict[str, Node] = {}
    for line in range(len(indices)):
        for least in range(kinds if phased and line else 1):
            calls: list[Node] = []
            for kind in range(least, kinds):
                following = Use(f"line-{line + 1}-{kind}" if phased else f"line-{line + 1}", state.after(line, kind))
                more = [optional(Seq(("\n", following)))] if line + 1 < len(indices) else []
                calls.append(Seq((*called(line, kind), *more)))
            found[f"line-{line}-{least}" if phased else f"line-{line}"] = Alt(tuple(calls))
    return found or {"line-0": "join()"}
