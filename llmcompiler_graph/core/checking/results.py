"""What a calculation lacks for being what a question asks for: an average, a size without sign, percent, an extreme.

Only the wording of the question and the calculations' text are looked at. Where either leaves a doubt, nothing lacks.

>>> lacks_percent("What percentage of K2's height is Lhotse's?", "$2 / $1"), lacks_percent("How high is K2?", "$1")
(True, False)

May know: `completion`, `questions`, `terms`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from llmcompiler_graph.core.checking.completion import asking_part, asking_sentence
from llmcompiler_graph.core.checking.questions import AVERAGE, DIFFERENCE, AnswerKind, Number, asks_for_extreme
from llmcompiler_graph.core.checking.terms import is_difference
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = (
    "Wanting",
    "asks_for_ratio",
    "given",
    "is_difference_without_sign",
    "is_scaled",
    "lacks_average",
    "lacks_extreme",
    "lacks_percent",
    "left_out",
    "put_around",
)


_OTHER_MEAN = lazy_pattern(r"\b(?:weight(?:ed|s)|geometric|harmonic|quadratic)\b", re.I)
_AVERAGED = lazy_pattern(  # by a number, or one of a thing's fields by another
    r"/ ?\(?\d|\b(?:mean|median)\b|\$\{(\d+)\.[^/]*/ \(?\$\{\1\."
)
_SIGNED = lazy_pattern(
    r"\b(?:signed?|negative|minus|net|change|subtract(?:ed|ing)?|below zero|relative to|ahead|behind|goals?"
    r"|points?|potential|surplus|deficit|balance|profit|less)\b",
    re.I,
)
_PERCENTAGE = lazy_pattern(r"\b(?:what|by how many|how many) (?:percentage|percent|per cent)\b", re.I)
_MORE_PERCENT = lazy_pattern(r"\bby (?:what|how many) per|\bper(?:centage|cent| cent) (?:\w+er|more|less)\b", re.I)
_FRACTION = lazy_pattern(r"\b(?:fraction|decimal)\b", re.I)
_BY_HUNDRED = lazy_pattern(r"\b(?:100|200|50|10 ?\*\* ?2|1e2)\b|(?<!\d)\.01\b|\b0\.01\b|percent|pct")
_RATIO = lazy_pattern(
    r"\b(?:ratio|quotient|factor|how many times|times as|what percentage|percentage of|fraction|proportion|share)\b",
    re.I,
)
_SCALED = lazy_pattern(r"thousand|million|billion|(?:^|_)(?:mln|bn|mio)(?:_|$)", re.I)
_LABEL_CHOICE = lazy_pattern(r"['\"][^'\"]*['\"] if .* else ")
_COMPARISON = lazy_pattern(r"[<>]|[=!]=")
_CHOSEN = lazy_pattern(r"(?:max|min)\(| if ")


class Wanting(NamedTuple):
    """One thing that is wanting in a plan."""

    message: str
    around: str = ""
    """What is put around the calculation, if that alone is wanting: `abs({})`."""


def left_out(number: Number) -> Wanting:
    """That no task calculates with a number of the question."""
    around = f"({{}}) {number.hint.strip('`')}" if number.converts else ""
    return Wanting(f"the question says {str(number)!r}, but no task calculates with that", around)


def given(text: str, asked: AnswerKind | None, selectors: Iterable[str]) -> AnswerKind | None:
    """What a calculation gives, as its text shows: a label is what the question asks for.

    Args:
        text: The calculation's text.
        asked: What the question asks for.
        selectors: The functions that give a name.
    """
    text = text.strip()
    if text.startswith(tuple(f"{name}(" for name in selectors)):
        return "name"
    if " if " in text:
        return asked if _LABEL_CHOICE.search(text) else "number"
    return "truth" if _COMPARISON.search(text) else "number"


def put_around(text: str | None, wanting: Iterable[Wanting]) -> str | None:
    """A calculation with what is put around it, from the inside to the outside.

    >>> put_around("$1 - $2", [Wanting("no unit", "({}) / 1000"), Wanting("a sign", "abs({})")])
    'abs(($1 - $2) / 1000)'
    """
    for each in wanting:
        text = text and (each.around or "{}").format(text)
    return text


def lacks_average(question: str, expressions: str) -> bool:
    """Whether a question asks for the arithmetic mean, and no calculation makes one.

    >>> lacks_average("What is the average of both?", "$1 + $2"), lacks_average("What is the weighted mean?", "$1 + $2")
    (True, False)
    """
    if _OTHER_MEAN.search(question) or _AVERAGED.search(expressions):
        return False
    return bool(AVERAGE.search(asking_sentence(question)))


def is_difference_without_sign(question: str, expression: str, *, is_reversed: bool) -> bool:
    """Whether a question asks for a difference's size, and the calculation may be negative.

    Args:
        question: The question.
        expression: The last calculation.
        is_reversed: Whether it subtracts what is more from what is less.
    """
    asks = bool(DIFFERENCE.search(question)) or is_reversed
    return asks and not _SIGNED.search(question) and is_difference(expression)


def lacks_percent(question: str, expressions: str) -> bool:
    """Whether a question asks for percent, and the calculations end with a ratio.

    By what percentage a thing is more than another one is no ratio of the two:

    >>> lacks_percent("By what percentage is K2 higher than Lhotse?", "$1 / $2")
    False
    """
    if not _PERCENTAGE.search(question) or _BY_HUNDRED.search(expressions) or _FRACTION.search(question):
        return False
    return " / " in expressions and (" - " in expressions or not _MORE_PERCENT.search(question))


def lacks_extreme(question: str, expressions: str) -> bool:
    """Whether a question has a superlative, and no calculation takes the largest or the smallest."""
    return asks_for_extreme(question) and not _CHOSEN.search(expressions)


def is_scaled(fields: Iterable[str]) -> bool:
    """Whether fields hold thousands, millions or billions of what they are named after.

    >>> is_scaled(["revenue_millions"]), is_scaled(["population"])
    (True, False)
    """
    return any(_SCALED.search(field) for field in fields)


def asks_for_ratio(question: str) -> bool:
    """Whether a question asks for a ratio, which has no unit."""
    return bool(_RATIO.search(asking_part(question)))
