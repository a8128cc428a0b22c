"""Does an answer say what the last task of its plan gave? Of questions that ask for a name, a number, or yes or no.

May know: `questions`, `references`.
"""

from __future__ import annotations

import re

from llmcompiler_graph.core.checking.questions import AnswerKind
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("answer_of", "is_bare", "unsaid")

_TOO_LARGE = 10**300  # no float, or no number that anyone would write
_ANSWERED = lazy_pattern(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?", re.I)
_SHOWN_AS = (1.0, 1e-3, 1e-6, 1e-9, 100.0)  # thousands, millions, billions, percent


def unsaid(asked: AnswerKind | None, value: JSON, answer: str) -> bool:
    """Whether an answer does not say what the last task gave, which is of the kind that is asked for.

    >>> unsaid("number", 237.86, "It is 238 m higher."), unsaid("number", 237.86, "Mount Everest")
    (False, True)
    >>> unsaid("name", "K2", "k2."), unsaid("truth", True, "No"), unsaid("number", "K2", "Lhotse")
    (False, True, False)
    """
    said = answer_of(asked, value)
    match asked, value:
        case _ if said is None:
            return False
        case "number", int() | float():
            return not any(_says(match[0], float(value)) for match in _ANSWERED.finditer(answer))
        case "truth", _:
            words = set(re.findall(r"\w+", answer.casefold()))
            return not words & ({"yes", "true"} if value else {"no", "not", "false"})
        case _:
            return said.casefold() not in answer.casefold()


def answer_of(asked: AnswerKind | None, value: JSON) -> str | None:
    """What the last task gave, as an answer; `None` if it is of another kind than what is asked for.

    >>> answer_of("number", 237.86), answer_of("truth", False), answer_of("name", 3)
    ('237.86', 'no', None)
    """
    match asked, value:
        case "truth", bool():
            return "yes" if value else "no"
        case "number", int() | float() if not isinstance(value, bool) and abs(value) < _TOO_LARGE:
            return str(value)
        case "name", str() if value.strip():
            return value.strip()
        case _:
            return None


def is_bare(asked: AnswerKind | None, answer: str) -> bool:
    """Whether an answer of a kind has nothing around it that is told by its form.

    >>> is_bare("number", "1.88"), is_bare("number", "The ratio is 1.88."), is_bare("truth", "Yes, it is.")
    (True, False, False)
    """
    match asked:
        case "number":
            return _ANSWERED.fullmatch(answer.strip()) is not None
        case "truth":
            return answer.strip().casefold() in ("yes", "no")
        case _:
            return True


def _says(written: str, value: float) -> bool:
    """Whether a number as it is written is a value, rounded or in thousands, millions or percent."""
    digits = written.replace(",", "")
    number, decimals = abs(float(digits)), len(digits.partition(".")[2])
    rounded = 0.5 * 10.0**-decimals if "e" not in digits.lower() else 0.0
    close = (abs(number - abs(value) * scale) <= abs(value) * scale * 1e-3 + 1e-9 for scale in _SHOWN_AS)
    return any(close) or abs(number - abs(value)) <= rounded + 1e-9
