"""The last step of a plan that stops short of its question, written in code where question and plan leave no choice.

The model has named the things and looked them up; what it was asked for says how to make one answer of them:

>>> terms = [Term("Lhotse", "${1.m} * 0.94"), Term("Makalu", "$2")]
>>> last_step("If Lhotse were 6% lower, which of the two would be the higher one?", "name", terms)
"argmax({'Lhotse': ${1.m} * 0.94, 'Makalu': $2})"
>>> last_step("What is the ratio of the highest to the lowest?", "number", terms)
'max(${1.m} * 0.94, $2) / min(${1.m} * 0.94, $2)'
>>> last_step("Which of the two would you choose?", "name", terms) is None
True

May know: `factors`, `questions`, `terms`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmcompiler_graph.core.checking.factors import is_named, places
from llmcompiler_graph.core.checking.questions import (
    AVERAGE,
    AnswerKind,
    asks_for_extreme,
    is_negated,
    numbers_in,
    sentences_of,
)
from llmcompiler_graph.core.checking.terms import OPERATORS, Term, split
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = (
    "asking_part",
    "asking_sentence",
    "asks_for_change",
    "averaged",
    "extreme_words",
    "extremes",
    "is_reversed",
    "last_step",
    "points_back",
)


_CHANGE_ITSELF = lazy_pattern(
    r"\b(?:changes?|increases?|decreases?|gr[eo]ws?|gains?|gained|shr[iau]nks?|los[et]s?|added|lost|rises?|falls?)\b",
    re.I,
)
_PART_OF_IT = lazy_pattern(
    r"\b(?:saves?|saved|savings?|gone|missing|removed|broke off|dr(?:y|ied)|(?:is|was) (?:that|this)"
    r"|before|originally|used to be)\b",
    re.I,
)
_HOW_MUCH_MORE = lazy_pattern(r"\bhow (?:much|many) (?:more|less|fewer|\w+er)\b", re.I)
_POINTS_BACK = lazy_pattern(
    r"\b(?:its?|their|they|them|both|each|all|these|those|every|any)\b"
    r"|\bthe (?:two|three|four|five|six|others?|\w+est)\b(?! of)",
    re.I,
)
_ASKING = lazy_pattern(r"\b(?:which|who|whose|what|how|by how|calculate|determine|identify|find|compute|name)\b", re.I)
_MOST = lazy_pattern(
    r"\b(?:(?:tall|larg|long|high|deep|fast|quick|bigg|great|heavi|old|far|farth|furth|wid|warm|hott|strong|rich|dens"
    r"|expensiv|speedi|lengthi)(?:er|est)|more|most|maximum|highest|biggest"
    r"|(?:surpass|exceed|top)(?:es|s)? (?:all )?the (?:others|rest))\b",
    re.I,
)
_LEAST = lazy_pattern(
    r"\b(?:(?:small|short|low|shallow|slow|light|young|near|clos|cheap|narrow|cold|weak|poor|few|tini)(?:er|est)|less"
    r"|least|minimum)\b",
    re.I,
)
_RATIO = lazy_pattern(r"\b(?:ratios?|divide[ds]?|factor|times as|how many times|quotients?)\b", re.I)
_DIFFERENCE = lazy_pattern(r"\b(?:differences?|gap|how much|how many|than)\b", re.I)
_ORDINAL = r"(?:one of|among|amongst|some of|two|second|third|fourth|fifth|next|2nd|3rd|\dth)"
_UNCLEAR_EXTREME = lazy_pattern(
    rf"\b{_ORDINAL}[- ](?:the )?(?:most|least|\w+est)\b"
    r"|\b(?:more|most|less|least) (?:small|short|low|shallow|slow|light|young|narrow|cheap)\b"
    r"|\b(?:near|clos)(?:er|est)\b|\bat (?:least|most)\b|\bmost of\b",
    re.I,
)
_UNCLEAR_CHOICE = lazy_pattern(
    r"\bthan (?!the others?\b)|\bas \w+ as\b"
    r"|\b(?:together|total|sum|combined|difference|differs?|average|mean|pairs?|ratio)\b",
    re.I,
)
_OTHER_MEAN = lazy_pattern(
    r"\b(?:geometric|harmonic|weight(?:ed|s)|quadratic)\b"
    r"|\b(?:average|mean)s?\b[^.?!]{0,25}\b(?:ratio|difference|quotient|sum|densitie|product)s\b",
    re.I,
)
_OTHER_THINGS = lazy_pattern(
    r"\b(?:sum|total|average|mean|median|difference|ratio|combined|together|plus|minus|square|product|either|both)\b",
    re.I,
)
_OF_IT = lazy_pattern(
    r"(?: times)?\s+(?:of|the|that of|as (?!small|short|low|shallow|slow|light|narrow)\w+ as)\b", re.I
)
_SUM = lazy_pattern(
    r"\b(?:sum|total|combined|altogether|together|overall|in all|at once|stacked|bundle|needed to|end to end)\b", re.I
)
_LEFT_OUT = lazy_pattern(
    r"\b(?:is|are|was|were|comes?|goes|with) (?:\w+ )?(?:free|at no cost|off|out|closed|shut|retired|cancelled|sold)\b"
    r"|\bstill \w+ing\b",
    re.I,
)
_SOME_ONLY = lazy_pattern(r"\b(?:remaining|remains?|rest|the others?|free|\w+'s (?:total|sum|bill))\b", re.I)
_RELATION = lazy_pattern(r"\b(?:ratio|difference|average|mean|sum|total|quotient|product)s?\b", re.I)
_MEASURED_APART = lazy_pattern(r"\b(?:percentage|percent|density|densities|per|median|product)\b", re.I)


def last_step(question: str, asked: AnswerKind, terms: Sequence[Term], *, combined: bool = False) -> str | None:
    """The calculation that makes the answer of several terms; `None` if the question leaves a choice.

    Args:
        question: The question.
        asked: What it asks for.
        terms: The terms.
        combined: Whether each is made of several things: then it is a ratio, a difference or an average already.
    """
    begun = asking_part(question)
    if _UNCLEAR_EXTREME.search(question) or is_negated(asking_sentence(question)) or _LEFT_OUT.search(question):
        return None
    if _is_of_others(begun, terms):
        return None
    if asked == "name":
        return _choice(begun, terms)
    if asked == "truth":
        return _comparison(question, terms)
    is_of_relations = not combined and _RELATION.search(asking_sentence(question).removesuffix(begun))
    if _MEASURED_APART.search(begun) or is_of_relations:
        return None
    values = ", ".join(term.text for term in terms)
    return _extreme(begun, values) if combined else _reduction(begun, values)


def _is_of_others(asking: str, terms: Sequence[Term]) -> bool:
    """Whether a question asks of some of the things by name, and so not of the others.

    >>> _is_of_others("What is the sum of K2 and Makalu?", [Term(name, "") for name in ("Lhotse", "K2", "Makalu")])
    True
    """
    named = [is_named(asking, term.name) for term in terms if term.name]
    return any(named) and not all(named) and not points_back(asking)


def _choice(asking: str, terms: Sequence[Term]) -> str | None:
    """The name of the thing that has the most or the least."""
    most, least = extremes(asking)
    names = [term.name for term in terms]
    if most == least or _UNCLEAR_CHOICE.search(asking):
        return None
    if len(set(names)) != len(names) or any(set(name) & set("'\"\\$\n") for name in names):
        return None
    pairs = ", ".join(f"'{term.name}': {term.text}" for term in terms)
    return f"{'argmax' if most else 'argmin'}({{{pairs}}})"


def _comparison(question: str, terms: Sequence[Term]) -> str | None:
    """Whether one thing has more, or less, than another, or than a share of it.

    >>> _comparison("Is Erie smaller than half of Onega?", [Term("Onega", "$1"), Term("Erie", "$2")])
    '$2 < $1 * 0.5'
    """
    compared = _compared(question, terms)
    if compared is None:
        return None
    before, after, first, other = compared
    named = places(after, other.name)
    shares = [
        number for number in numbers_in(after) if not any(0 <= number.place - at < len(other.name) for at in named)
    ]
    most, _ = extremes(before)
    text = other.text
    if shares:
        by = f"{shares[0].percent / 100:.10g}" if shares[0].percent is not None else shares[0].hint.strip("`* ")
        end = shares[0].end
        if len(shares) != 1 or shares[0].place or not by or not (_OF_IT.match(after, end) or end + 1 in named):
            return None
        text = text.removesuffix(" * 100")
        text = f"({text}) * {by}" if len(split(text, OPERATORS)) > 1 else f"{text} * {by}"
    return f"{first.text} {'>' if most else '<'} {text}"


def is_reversed(question: str, terms: Sequence[Term]) -> bool:
    """Whether the second of two terms is to be the larger, as the question has it, so that the first is less.

    >>> terms = [Term("Onega", "$1"), Term("Erie", "$2")]
    >>> is_reversed("How much larger is Erie than Onega?", terms)
    True
    >>> is_reversed("How much larger is Onega than Erie?", terms)
    False
    """
    compared = _compared(question, terms)
    return compared is not None and (compared[2] == terms[0]) != extremes(compared[0])[0]


def _compared(question: str, terms: Sequence[Term]) -> tuple[str, str, Term, Term] | None:
    """What stands before and behind the `than` of a question, and the terms that it compares."""
    sentence = asking_sentence(question)
    if is_negated(sentence) or asks_for_extreme(sentence) or _OTHER_THINGS.search(sentence) or len(terms) != 2:
        return None
    for text in (asking_part(question), sentence):  # what is said before it asks may name both
        before, _, after = text.partition(" than ")
        most, least = extremes(before)
        first = [term for term in terms if is_named(before, term.name) and not is_named(after, term.name)]
        other = [term for term in terms if is_named(after, term.name) and not is_named(before, term.name)]
        if most != least and len(first) == len(other) == 1 and " than " not in after:
            return before, after, first[0], other[0]
    return None


def averaged(question: str, expression: str) -> str | None:
    """An expression whose one sum is averaged, if a question asks for an average and for no sum.

    >>> averaged("What is the ratio of the average of both to the third?", "(${1.m} + ${2.m}) / $3")
    'mean(${1.m}, ${2.m}) / $3'
    """
    if not AVERAGE.search(question) or _SUM.search(question) or _OTHER_MEAN.search(question):
        return None
    sums = [match for match in _ADDED.finditer(expression) if len(split(match[1], (" + ",))) > 1]
    if len(sums) != 1 or expression.count(" + ") != sums[0][0].count(" + "):
        return None
    parts = ", ".join(part.strip() for part in split(sums[0][1], (" + ",)))
    return f"{expression[: sums[0].start()]}mean({parts}){expression[sums[0].end() :]}"


def _reduction(asking: str, values: str) -> str | None:
    """The number that is made of several."""
    most, least = extremes(asking)
    ratio = bool(_RATIO.search(asking))
    difference = not ratio and bool(_DIFFERENCE.search(asking))
    if most and least and ratio != difference:
        return f"max({values}) {'/' if ratio else '-'} min({values})"
    if ratio or difference:
        return None
    wanted = [name for name, pattern in (("mean", AVERAGE), ("sum", _SUM)) if pattern.search(asking)]
    if wanted and _SOME_ONLY.search(asking):
        return None
    if most or least:
        return None if wanted else _extreme(asking, values)
    return f"{wanted[0]}({values})" if len(wanted) == 1 else None


def _extreme(asking: str, values: str) -> str | None:
    most, least = extremes(asking)
    return f"{'max' if most else 'min'}({values})" if most != least else None


def extreme_words(asking: str) -> list[re.Match[str]]:
    """Where a question says that it asks for the largest or the smallest."""
    return [*_MOST.finditer(asking), *_LEAST.finditer(asking)]


def extremes(asking: str) -> tuple[bool, bool]:
    """Whether a question asks for the largest, and whether for the smallest."""
    return bool(_MOST.search(asking)), bool(_LEAST.search(asking))


def asks_for_change(question: str) -> bool:
    """Whether a question asks for a change itself.

    >>> asks_for_change("How much is lost if K2 shrinks by 5%?"), asks_for_change("How high is K2 if it grows by 5%?")
    (True, False)
    """
    asking = asking_part(question)
    if (_HOW_MUCH_MORE.search(asking) and " than " not in asking) or _PART_OF_IT.search(asking):
        return True
    return bool(_CHANGE_ITSELF.search(re.split(r"[,;:]|\b(?:if|when|after)\b", asking)[0]))


def asking_sentence(question: str) -> str:
    """The sentence of a question that asks."""
    sentences = sentences_of(question)
    asking = [each for each in sentences if each.endswith("?")] or [each for each in sentences if _ASKING.search(each)]
    return asking[0] if asking else question


def points_back(asking: str) -> bool:
    """Whether the part of a question that asks points back to things that were named before."""
    return bool(_POINTS_BACK.search(asking))


def asking_part(question: str) -> str:
    """The part of a question that asks: from its last word that does to the end of the sentence.

    >>> asking_part("If K2 grew by 5%, what would be the difference to Lhotse? Answer in metres.")
    'what would be the difference to Lhotse?'
    """
    sentence = asking_sentence(question)
    begun = [match.start() for match in _ASKING.finditer(sentence)]
    return sentence[begun[-1] :] if begun else sentence


_ADDED = lazy_pattern(r"(?<!\w)\(([^()]*\+[^()]*)\)(?! / \d)")
