"""Whether an answer is right: by the paper's metric, and by one that forgives form.

The paper's (section 5 and its code): a numeric label wants an answer that is a number and nothing else, strictly
within 10 % of it; any other label wants the same text after SQuAD's normalisation.

>>> paper_match("5,931 m", "5931.80"), lenient_match("It would be 5,931 m deeper.", "5931.80")
(False, True)
>>> lenient_match("Mount Everest is taller than K2.", "K2", others=["Mount Everest"])
False
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

from llmcompiler_graph.evaluation.records import Score

__all__ = ("lenient_match", "normalise", "paper_match", "score")

_NUMBER = re.compile(
    r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?:\s*(?P<scale>thousand|million|billion|trillion)\b)?",
    re.IGNORECASE,
)
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}


def normalise(text: str) -> str:
    """SQuAD's normalisation: lower case, without punctuation, articles and superfluous spaces.

    >>> normalise("The  Motherland-Calls!")
    'motherlandcalls'
    """
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def paper_match(answer: str, label: str) -> bool:
    """Whether an answer is right by the paper's metric; an empty one never is, whatever the label normalises to."""
    if not answer.strip():
        return False
    expected = _float(label)
    if expected is None:
        return normalise(answer) == normalise(label)
    given = _float(answer)
    return given is not None and _close(given, expected)


def lenient_match(answer: str, label: str, others: Iterable[str] = ()) -> bool:
    """Whether an answer holds the right one: a number within 10 %, or the label before any of the other candidates.

    Args:
        answer: A word or a sentence.
        label: The right answer.
        others: What else could have been answered; naming one of these first is wrong.
    """
    expected = _float(label)
    if expected is not None:
        return any(_close(number, expected) for number in _numbers(answer))
    if not answer.strip():
        return False
    given, wanted = f" {_words(answer)} ", f" {_words(label)} "
    if wanted.strip() in {"yes", "no"}:
        others = {"yes", "no"} - {wanted.strip()}
    found = given.find(wanted)
    if found < 0:
        return False
    places = (given.find(f" {_words(other)} ") for other in others if f" {_words(other)} " not in wanted)
    return all(place < 0 or place > found for place in places)


def score(answer: str, label: str, others: Iterable[str] = ()) -> Score:
    """Judge an answer by both metrics."""
    return Score(float(paper_match(answer, label)), float(lenient_match(answer, label, others)), f"expected {label!r}")


def _close(given: float, expected: float) -> bool:
    low, high = sorted((0.9 * expected, 1.1 * expected))
    return low < given < high


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _numbers(text: str) -> Iterable[float]:
    for match in _NUMBER.finditer(text):
        scale = match["scale"]
        number = float(match[0].removesuffix(scale or "").strip().replace(",", ""))
        yield number
        if scale:
            yield number * _SCALES[scale.lower()]


def _words(text: str) -> str:
    """As `normalise`, but punctuation separates words."""
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", re.sub(r"[\W_]+", " ", text.lower())).split())
