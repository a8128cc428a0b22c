r"""What stands behind a call besides the tasks that it waits for: its guard and its repetition, as text.

>>> behind = conditions('when $1 > 2 until ${3.state} == "until" max 3  # a comment', 0)
>>> behind.when, behind.until
(('$1 > 2', 5), ('${3.state} == "until" max 3', 18))

They end with the line, with a comment, or before the next task on the line. Words behind `when` or `until` that refer
to no task are a comment too.

May know: `lines`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from llmcompiler_graph.core.language import lines
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Conditions", "conditions", "could_have_conditions", "ends_call")

_BEFORE = r"(?:[ \t\u3000,;]|\*\*|__|`){0,40}+"
_FIRST = lazy_pattern(_BEFORE + r"(?:when|until)\b", re.IGNORECASE)
_COULD_BE_FIRST = lazy_pattern(
    _BEFORE + r"(?:(?:w(?:h(?:e(?:n)?)?)?|u(?:n(?:t(?:i(?:l)?)?)?)?)?\Z|(?:when|until)\b)", re.IGNORECASE
)
_LONGEST = 4000  # characters that are read of both
_HEAD = lazy_pattern(r"[ \t;,|]+(?=\d{1,9}\.[ \t]*[^\W\d][\w.\-/]*[(（])")
_COMMENT = lazy_pattern(r"[ \t]+(?:#|//|--|[—–→])(?:[ \t]|\Z)")
_ORDER = lazy_pattern(r"[ \t,;]+after[ \t]+(?=[$＄])", re.IGNORECASE)
_STRING = lazy_pattern(lines.QUOTED)
_WORD = lazy_pattern(r"(?<![\w.$])(?P<word>when|until)\b[ \t:]{0,40}+", re.IGNORECASE)
_CONSTANTS = ("false", "true")  # the guard of an inlined call may be one


class Conditions(NamedTuple):
    """The guard and the repetition behind a call, each with its place in the text."""

    when: tuple[str, int] | None
    """What must hold for the call to be made."""
    until: tuple[str, int] | None
    """What must hold for it not to be made again, and how often it is made at most."""
    after: Sequence[lines.Waits]
    """What the call waits for, where that stands behind these."""
    end: int
    """Where the last of them ends."""


def could_have_conditions(text: str, position: int) -> bool:
    """Whether what stands behind a call may be, or become, a guard or a repetition."""
    return len(text) - position < _LONGEST + lines.LONGEST_HEAD and _COULD_BE_FIRST.match(text, position) is not None


def ends_call(text: str, position: int) -> bool:
    """Whether there is nothing more on a line than marks, a comment, a guard or a repetition."""
    if lines.NOTHING_ELSE.match(text, position):
        return True
    closers = lines.CLOSERS.match(text, position, position + lines.LONGEST_HEAD)
    return closers is not None and _FIRST.match(text, closers.end()) is not None


def conditions(text: str, position: int, longest: int = _LONGEST) -> Conditions | None:
    """The guard and the repetition that stand behind a call; `None` if neither does.

    Args:
        text: The text.
        position: Where the call ends.
        longest: How many characters are read of both.
    """
    if _FIRST.match(text, position) is None:
        return None
    end = text.find("\n", position, position + longest)
    cut = end < 0 and len(text) > position + longest
    region = text[position : position + longest if end < 0 else end]
    masked = _STRING.sub(lambda string: "_" * len(string[0]), region)
    region = region[: head.start() if (head := _HEAD.search(masked)) else None]
    end = position + len(region)
    if comment := _COMMENT.search(masked, 0, len(region)):
        region, cut = region[: comment.start()], False
    parts = [*_WORD.finditer(masked, 0, len(region))]
    found: dict[str, tuple[str, int]] = {}
    after: list[lines.Waits] = []
    for part, following in zip(parts, [*(each.start() for each in parts[1:]), len(region)], strict=True):
        order = _ORDER.search(masked, part.end(), following)
        clause = lines.waits_for(text, position + order.start()) if order else None
        after += [clause] if clause else []
        written = (
            region[part.end() : order.start() if order and clause else following].rstrip("\r \t`*;,") + " …" * cut
        )  # what is cut is no guard
        word, place = part["word"].lower(), position + part.end()
        if word in found:  # the first is none, then
            written, place = f"{found[word][0]} {part[0]}{written}", found[word][1]
        if "$" in written or written.lower() in _CONSTANTS:
            found[word] = written, place
    return Conditions(found.get("when"), found.get("until"), after, end) if found else None
