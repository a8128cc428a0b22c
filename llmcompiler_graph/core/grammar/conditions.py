"""Conditions as rules: what guards and repetitions may compare.

Numbers have an order, texts are equal or not, truth values stand alone. Comparisons are joined by `and` and `or`, a few
of them at most. What may be referred to in each place is decided where it is known which tasks there are.

May know: `guard_types`, `kinds`, `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmcompiler_graph.core.checking.guard_types import compared_types
from llmcompiler_graph.core.grammar.kinds import Typed, paths
from llmcompiler_graph.core.grammar.rules import Alt, Chars, Node, Repeat, Seq, optional

__all__ = ("TYPES", "comparable", "guard", "until")

_DIGIT = Chars("0-9")
_NUMBER = Seq(
    (
        optional("-"),
        Alt(("0", Seq((Chars("1-9"), Repeat(_DIGIT, 0, 8))))),
        optional(Seq((".", Repeat(_DIGIT, 1, 6)))),
    )
)
_TEXT = Seq(('"', Repeat(Chars(r'^"\\$\x00-\x1f'), 0, 60), '"'))
_MOST = 3  # comparisons
_BEHIND: Mapping[str, Node] = {
    "number": Seq((Alt((" == ", " != ", " < ", " <= ", " > ", " >= ")), _NUMBER)),
    "string": Seq((Alt((" == ", " != ")), _TEXT)),
    "boolean": "",
}
"""What follows a reference to a value of a type."""


TYPES = tuple(_BEHIND)
"""The types of what may be compared."""


def comparable(kind: Typed) -> dict[str, frozenset[Node]]:
    """The paths that lead to a value of a type in an observation, by type."""
    return {name: _leading(kind, name) for name in TYPES}


def _leading(kind: Typed, name: str) -> frozenset[Node]:
    return frozenset(path for path, schema in paths(kind) if compared_types(schema, kind.definitions) <= {name})


def guard(references: Mapping[str, Node]) -> Node:
    """A guard.

    Args:
        references: What may be compared, by type.
    """
    return Seq((" when ", _joined(references)))


def until(references: Mapping[str, Node]) -> Node:
    """A repetition.

    Args:
        references: To the task itself, by type.
    """
    most = Seq((Chars("1-9"), Repeat(_DIGIT, 0, 2)))
    every = optional(Seq((" every ", Chars("1-9"), Repeat(_DIGIT, 0, 3))))
    return Seq((" until ", _joined(references), " max ", most, every))


def _joined(references: Mapping[str, Node]) -> Node:
    comparison = Alt(tuple(Seq((reference, _BEHIND[name])) for name, reference in references.items()))
    return Seq((comparison, Repeat(Seq((Alt((" and ", " or ")), comparison)), 0, _MOST - 1)))
