r"""What stands behind a call besides the tasks that it waits for: its guard and its repetition, as text.

>>> behind = conditions('when $1 > 2 until ${3.state} == "until" max 3  # a comment', 0)
>>> behind.when, behind.until
(('$1 > 2', 5), ('${3.state} == "until" max 3', 18))

They end with the line, with a comment, or before the next task on the line. A condition that is written in another
way, `if $1 > 2`, `unless $1`, `(only when $1 > 2)`, or in a comment, is read as far as it can be: what is left makes it
an error, for a call whose condition is passed over would be made in any case. Words behind `when` or `until` that name
no task, no number and no comparison are a comment.

May know: `labels`, `lines`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llmcompiler_graph.core.language import lines
from llmcompiler_graph.core.language.labels import begun
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Conditions", "conditions", "could_have_conditions", "ends_call", "names_condition")

_BEFORE = r"(?:[ \t\u3000,;]|\*\*|__|`){0,40}+"
_COMMENT_MARK = r"(?:#+|//|--|[—–→])"
_OPENING = r"[(\[{（【]?[ \t]{0,9}+"
_FIRST_WORDS = (
    *("when", "if", "until", "only", "repeat", "repeated", "unless", "while", "as", "provided", "in", "max", "every"),
    *("otherwise", "else", "and", "or"),
)
_FIRST = lazy_pattern(
    rf"{_BEFORE}(?P<comment>{_COMMENT_MARK}{_BEFORE})?(?P<opening>{_OPENING})"
    r"(?:(?:only[ \t]{1,9}+)?(?P<own>when|if)|(?:repeat(?:ed)?[ \t]{1,9}+)?(?P<repeated>until)|unless|while|provided"
    r"|as[ \t]{1,9}+long[ \t]{1,9}+as|in[ \t]{1,9}+case|(?:max|every)(?=[ \t:=]{0,9}+\d)"
    r"|(?P<joined>otherwise|else|and|or))\b",
    re.IGNORECASE,
)
_COULD_BE_FIRST = lazy_pattern(
    rf"{_BEFORE}(?:{_COMMENT_MARK}|/|-)?{_BEFORE}{_OPENING}(?:{begun(_FIRST_WORDS)}\Z|(?:{'|'.join(_FIRST_WORDS)})\b)",
    re.IGNORECASE,
)
_LONGEST = 4000  # characters that are read of both
_HEAD = lazy_pattern(r"[ \t;,|]+(?=\d{1,9}\.[ \t]*[^\W\d][\w.\-/]*[(（])")
_COMMENT = lazy_pattern(rf"[ \t]+{_COMMENT_MARK}(?:[ \t]|\Z)")
_ORDER = lazy_pattern(r"[ \t,;]+after[ \t]+(?=[$＄])", re.IGNORECASE)
_STRING = lazy_pattern(lines.QUOTED)
_WORD = lazy_pattern(
    r"(?<![\w.$])(?:(?:only|repeat(?:ed)?)[ \t]{1,9}+)?(?P<word>when|if|until)\b[ \t:]{0,40}+", re.IGNORECASE
)
_KINDS = {"when": "when", "if": "when", "until": "until"}
_COMPARES = lazy_pattern(r"[=!]=|(?<![-=<>])[<>](?![-<>])|[≤≥≠]")
_HASHED = lazy_pattern(r"[ \t]*(?:#|//|--[ \t])")
_NUMBER = lazy_pattern(r"\d")
_DONE = lazy_pattern(
    r"\d\s+(?:(?:is|are|has|have|was|were)\s+)?(?:been\s+)?(?:done|ready|known|there|available|complete|finish|return|end)",
    re.IGNORECASE,
)
"""What names a task and says only that it is done."""
_CONSTANTS = ("false", "true")  # the guard of an inlined call may be one
_CLOSERS = (")", "]", "}", "）", "】")
_MARKS = "\r \t`*;,.。"


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
    first = closers and _FIRST.match(text, closers.end())
    if closers is None or first is None:
        return False
    own = (first["own"] or first["repeated"] or "").lower() in ("when", "until")
    return own or conditions(text, closers.end()) is not None


def names_condition(text: str) -> bool:
    """Whether a text, which is no comment, compares what a task returned: a condition, in whatever words."""
    return "$" in text and _COMPARES.search(text) is not None and not _HASHED.match(text)


def _is_meant(written: str, first: re.Match[str]) -> bool:
    """Whether what begins as a condition is one, and no comment."""
    compares = _COMPARES.search(_masked(written)) is not None
    if first["comment"] or first["joined"]:
        return compares and lines.LISTED.search(written) is not None
    return compares or "$" in written or (_NUMBER.search(written) is not None and _DONE.search(written) is None)


def _masked(text: str) -> str:
    """A text without what stands in quotes, as long as it was."""
    return _STRING.sub(lambda string: '"' * len(string[0]), text)


def _parts(masked: str, begin: int, *, known: str | None) -> Iterator[tuple[str, int, int, int]]:
    """Yield for each condition `when` or `until`, where its word begins and ends, and where the condition ends."""
    words = [(_KINDS[word["word"].lower()], word.start(), word.end()) for word in _WORD.finditer(masked, begin)]
    if not known:  # the language does not have the first word: it is part of the condition
        words = [("when", begin, begin), *words]
    for (kind, start, end), following in zip(words, [*(each[1] for each in words[1:]), len(masked)], strict=True):
        yield kind, start, end, following


def conditions(text: str, position: int, longest: int = _LONGEST) -> Conditions | None:
    """The guard and the repetition that stand behind a call; `None` if neither does.

    Args:
        text: The text.
        position: Where the call ends.
        longest: How many characters are read of both.
    """
    first = _FIRST.match(text, position)
    if first is None:
        return None
    end = text.find("\n", position, position + longest)
    cut = end < 0 and len(text) > position + longest
    region = text[position : position + longest if end < 0 else end]
    masked = _masked(region)
    region = region[: head.start() if (head := _HEAD.search(masked)) else None]
    end = position + len(region)
    begin = first.start("opening") - position
    if comment := _COMMENT.search(masked, begin, len(region)):
        region, cut = region[: comment.start()], False
    if (first["comment"] or first["joined"]) and not _is_meant(region[begin:], first):
        return None
    found: dict[str, tuple[str, int]] = {}
    after: list[lines.Waits] = []
    for word, whole, start, following in _parts(masked[: len(region)], begin, known=first["own"] or first["repeated"]):
        order = _ORDER.search(masked, start, following)
        clause = lines.waits_for(text, position + order.start()) if order else None
        after += [clause] if clause else []
        written = region[start : order.start() if order and clause else following].rstrip(_MARKS)
        if first["opening"].strip() and written.endswith(_CLOSERS):
            written = written[:-1].rstrip(_MARKS)
        place = position + start
        if word in found:  # the first is none, then
            written, place = f"{found[word][0]} {region[whole:start]}{written}", found[word][1]
        if written.lower() in _CONSTANTS or _is_meant(written, first):
            found[word] = written + " …" * cut, place  # what is cut is no guard
    return Conditions(found.get("when"), found.get("until"), after, end) if found else None
