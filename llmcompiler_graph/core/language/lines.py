r"""What the lines of plan text look like, in all the ways that models write them, as patterns.

>>> head = head_at("- **Step 2.** search(query)", 0)
>>> head["index"], head["tool"]
('2', 'search')

May know: nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = (
    "AFTER",
    "CLOSERS",
    "COULD_BE_HEAD",
    "EXPRESSION",
    "JOIN",
    "LISTED",
    "LONGEST_HEAD",
    "NUMBERED",
    "THOUGHT",
    "UNNUMBERED",
    "head_at",
    "heads_within",
)

_MARKS = r"[ \t]*(?:(?:[-*+•>|]|#{1,6})[ \t]+)*(?:\*\*|__|`{1,3})?(?:(?:task|step)[ \t]+)?"
_INDEX = _MARKS + r"\$?(?P<index>\d{1,9})(?:\*\*|__|`)?[ \t]*\\?[.):]{1,2}(?!\d)[ \t]*+(?:\*\*|`|__(?=[ \t]))?+[ \t]*+"

_HEAD = re.compile(_INDEX + r"(?P<tool>[^\W\d][\w.\-/]*)(?:\*\*|`)?[ \t]*\(", re.IGNORECASE)
LONGEST_HEAD = 300
"""How much of a line is looked at for one, in characters."""
COULD_BE_HEAD = re.compile(r"[ \t]*(?:(?:[-*+•>|]|#{1,6})(?:[ \t]+|$))*(?:\*|_|`|\$|\d|t|s|$)", re.IGNORECASE)
"""What may become one when more of the line is there."""
NUMBERED = re.compile(_INDEX + r"(?P<rest>\S.*)", re.IGNORECASE)
"""Any line with a number."""
JOIN = re.compile(r"(?:" + _INDEX + r"|" + _MARKS + r")join(?:\(|[ \t]*\([ \t]*[)$]|\W*$)", re.IGNORECASE)
"""The end of the plan, not `2. Join (combine) both`."""
UNNUMBERED = re.compile(r"[\W\d]*(?:(?:task|step|action)\b[\W\d]*)?(?P<tool>[^\W\d][\w.\-/]*)\(", re.IGNORECASE)
"""A call without a number."""
THOUGHT = re.compile(
    r"[ \t]*(?:[-*+•>|][ \t]+)*(?:\*\*|__)?thought(?:\*\*|__)?[ \t]*:(?:\*\*|__)?(?P<thought>.*)", re.IGNORECASE
)
"""A `Thought:`."""

CLOSERS = re.compile(r"(?:[ \t`;,]|\*\*|__|(?<=[ \t])[(\[](?=after\b))*", re.IGNORECASE)
"""Marks that may stand behind a call, also the bracket of `(after $1)`."""
EXPRESSION = re.compile(r"\.[^\W\d]|[(\[]|[ \t]*(?:[+%]|\*(?!\*)|/(?!/))")
"""What behind a call makes it part of an expression."""
_ONE = r"(?:\$\{\d{1,9}[^{}\n]*\}|\$?\d{1,9}\b(?![ \t]*[.):][ \t]*[^\W\d][\w.\-/]*[ \t]*\())"  # no head of a task
AFTER = re.compile(
    rf"after\b[ \t:]*(?:(?:task|step)s?[ \t]+)?(?P<list>{_ONE}(?:(?:[ \t,&]|and\b)*{_ONE})*)", re.IGNORECASE
)
"""The clause that names tasks to wait for, behind a call."""
LISTED = re.compile(r"\$\{(\d{1,9})[^{}\n]*\}|\$?(\d{1,9})")
"""One task in its list."""


def head_at(text: str, position: int) -> re.Match[str] | None:
    """The head of a task, `INDEX. tool(`, if one stands at a position."""
    return _HEAD.match(text, position, position + LONGEST_HEAD)


def heads_within(text: str, position: int) -> Iterator[re.Match[str]]:
    """The heads of tasks in the rest of a line, each behind a blank and with its bracket at the tool's name."""
    starts = (i for i in range(position, len(text)) if text[i - 1 : i] in {"", " ", "\t"})
    return (head for i in starts if (head := head_at(text, i)) and text[head.end() - 2] not in " \t")
