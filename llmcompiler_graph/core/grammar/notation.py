r"""How a plan is spelled: what begins its lines, and how a call refers to what an earlier one returned.

`PLAN` is the plan language. Others that number their calls, such as `#E1 = search("K2")` of ReWOO, have the same
grammar in their own spelling.

May know: `literals`, `rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llmcompiler_graph.core.grammar.literals import ESCAPE
from llmcompiler_graph.core.grammar.rules import Alt, Chars, Node, Seq

__all__ = ("PLAN", "Notation")


def _numbered(index: int) -> Node:
    return f"{index}. "


def _doubled(text: str) -> str:
    return text.replace("$", "$$")


_GOES_NOT_ON = Alt((Chars(r'^0-9.,\["\\$\x00-\x1f'), Seq((Chars(".,"), " "))))


@dataclass(frozen=True, slots=True)
class Notation:
    """The spelling of lines and references."""

    begin: Callable[[int], Node] = _numbered
    """What stands before the call of an index."""
    joins: bool = True
    """Whether plans end with `join()`; if not, they may end behind any call."""
    mark: str = "$"
    """The character that begins a reference."""
    bare: str = "$"
    """What stands before the index of a reference without a path."""
    opening: str = "${"
    """What stands before the index of one with a path."""
    closing: str = "}"
    """What ends one with a path; if nothing does, `after` holds behind it too."""
    after: Node = _GOES_NOT_ON
    """What may follow a reference that nothing ends, in a text: it must not go on with it."""
    literal: Node = "$$"
    """How a text has the mark where it begins no reference."""
    escape: Callable[[str], str] = _doubled
    """Write a constant text so that it holds no reference."""

    @property
    def letter(self) -> Node:
        """A character of a text, but the mark."""
        return Alt((Chars(rf'^"\\{self.mark}\x00-\x1f'), ESCAPE))


PLAN = Notation()
"""The plan language's."""
