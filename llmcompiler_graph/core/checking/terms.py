"""Expressions as text: the parts that they compare or combine, each of which is about one thing or several.

May know: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("OPERATORS", "Term", "is_difference", "split", "terms_of", "terms_of_extreme")


class Term(NamedTuple):
    """A part of a calculation that is about one thing."""

    name: str
    """The thing."""
    text: str
    """How it is calculated."""


_EXTREME_CALL = lazy_pattern(r"(?:arg)?(?:max|min)(?=\()")
_CALL = lazy_pattern(r"(?:abs|max|min|sum|mean|argmax|argmin)(?=\()")
_DEEPEST = 50  # brackets and calls around an expression that are looked into
_RANKS = (" > ", " < "), (" - ", " + "), (" / ",), (" * ",)
OPERATORS = tuple(each for rank in _RANKS[:-1] for each in rank)
"""What may stand between the parts of an expression, but for products."""
_SEPARATING = lazy_pattern(r"\$\{[^{}]*\}|'[^']*'|\"[^\"]*\"|[()\[\]{},]| [-+*/<>] ")
_LABEL = lazy_pattern(r"^\s*(?:'([^']*)'|\"([^\"]*)\")\s*:\s*")


def terms_of_extreme(expression: str) -> list[str]:
    """The parts of which an expression takes the largest or the smallest; none if it does not.

    >>> terms_of_extreme("max($1, $2 * 2) / min($1, $2 * 2)"), terms_of_extreme("$1 / $2")
    (['$1', '$2 * 2'], [])
    """
    expression = _bare(expression)
    called = _EXTREME_CALL.match(expression)
    end = _closing(expression, called.end()) if called else -1
    return terms_of(expression[: end + 1]) if end > 0 else []


def terms_of(expression: str) -> list[str]:
    """The parts that an expression compares or combines, of equal rank; only itself if there are none.

    >>> terms_of("$1 * 2 / 3 - $2 / 4")
    ['$1 * 2 / 3', '$2 / 4']
    >>> terms_of("abs(${1.m} * 0.9 - ($2 + 1) * 1.1)"), terms_of("argmin({'a': $1, 'b': $2 / 2})"), terms_of("$1 * 2")
    (['${1.m} * 0.9', '($2 + 1) * 1.1'], ['$1', '$2 / 2'], ['$1 * 2'])
    """
    expression, labels = _bare(expression), False
    for _ in range(_DEEPEST):
        call = _CALL.match(expression)
        if call is None or _closing(expression, call.end()) != len(expression) - 1:
            break
        expression, labels = _bare(expression[call.end() :]), True
        if len(listed := split(expression, (",",))) > 1:
            return [_without_label(part) for part in listed]
    parts = _of_equal_rank(expression)
    return [_without_label(_bare(part)) if labels else _bare(part) for part in parts]


def _of_equal_rank(expression: str) -> list[str]:
    """The parts between the operators that bind least; what is divided or multiplied by a number is one part."""
    for operators in _RANKS:
        parts = split(expression, operators)
        if len(parts) > 1 and all("$" in part for part in parts):
            return parts
    return [expression]


def _without_label(part: str) -> str:
    return _LABEL.sub("", part).strip()


def is_difference(expression: str) -> bool:
    """Whether an expression subtracts one thing from another, so that its sign depends on their order."""
    expression = _bare(expression)
    parts = split(expression, (" - ",))
    return len(parts) == 2 and len(terms_of(expression)) == 2 and not parts[0].lstrip().startswith("max(")


def _bare(text: str) -> str:
    """A text without brackets around all of it."""
    text = text.strip()
    for _ in range(_DEEPEST):
        if text[:1] not in ("(", "[", "{") or not text or _closing(text, 0) != len(text) - 1:
            break
        text = text[1:-1].strip()
    return text


def _closing(text: str, start: int) -> int:
    """Where the bracket closes that opens at a place; -1 if it does not."""
    depth = 0
    for match in _SEPARATING.finditer(text, start):
        depth += (match[0] in ("(", "[", "{")) - (match[0] in (")", "]", "}"))
        if depth == 0:
            return match.start()
    return -1


def split(text: str, separators: Sequence[str]) -> list[str]:
    """Split a text at separators that stand in no brackets."""
    depth, start, parts = 0, 0, []
    for match in _SEPARATING.finditer(text):
        depth += (match[0] in ("(", "[", "{")) - (match[0] in (")", "]", "}"))
        if depth == 0 and match[0] in separators:
            parts.append(text[start : match.start()])
            start = match.end()
    return [*parts, text[start:]]
