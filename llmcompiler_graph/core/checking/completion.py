"""The last step of a plan that stops short of its question, written in code where question and plan leave no choice.

The model has named the things and looked them up; what it was asked for says how to make one answer of them:

>>> terms = [Term("Lhotse", "${1.m} * 0.94"), Term("Makalu", "$2")]
>>> last_step("If Lhotse were 6% lower, which of the two would be the higher one?", "name", terms)
"argmax({'Lhotse': ${1.m} * 0.94, 'Makalu': $2})"
>>> last_step("What is the ratio of the highest to the lowest?", "number", terms)
'max(${1.m} * 0.94, $2) / min(${1.m} * 0.94, $2)'
>>> last_step("Which of the two would you choose?", "name", terms) is None
True

A change that the question tells of one thing, and the plan has left out, is put in in the same way:

>>> number = next(numbers_in("Lhotse shrinks by 6% and Makalu doubles."))
>>> factor("Lhotse shrinks by 6% and Makalu doubles.", number, ["Lhotse", "Makalu"])
('Lhotse', '0.94')

May know: `questions`, `terms`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from llmcompiler_graph.core.checking.questions import AnswerKind, Number, numbers_in
from llmcompiler_graph.core.checking.terms import OPERATORS, Term, split
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = (
    "asking_part",
    "asks_for_change",
    "averaged",
    "extreme_words",
    "extremes",
    "factor",
    "in_full",
    "is_reversed",
    "last_step",
)


_UP = (
    r"increas\w*|gr[eo]w\w*|rais\w*|ris(?:e|es|en|ing)|gain\w*|higher|taller|longer|larger|deeper|faster|speedier|wider|heavier"
    r"|more|deepen\w*|widen\w*|stretch\w*|exten\w*|expan\w*|enlarg\w*|lengthen\w*|swell\w*|magnif\w*|improv\w*"
    r"|enhanc\w*|bigger|greater|boost\w*|up"
)
_DOWN = (
    r"decreas\w*|reduc\w*|shr[iau]nk\w*|los[et]s?|losing|lower\w*|short\w*|smaller|shallower|slow\w*|less|cuts?|cutting"
    r"|drop\w*|f[ae]ll\w*|declin\w*|contract\w*|down|subtract\w*|fewer|lighter|narrower"
)
_CHANGES = lazy_pattern(rf"\b(?:{_UP}|{_DOWN})\b", re.I)
_CHANGE_ITSELF = lazy_pattern(
    r"\b(?:changes?|increases?|decreases?|gr[eo]ws?|gains?|gained|shr[iau]nks?|los[et]s?|added|lost|rises?|falls?)\b",
    re.I,
)
_BOTH_ALIKE = lazy_pattern(r"\b(?:each|all|both|respectively|same|every|together|between)\b", re.I)
_CLAUSE = lazy_pattern(r"[,;:?!]|\.(?=\s|$)|\b(?:and|while|but|whereas|or|if|when|after|suppose|with)\b", re.I)
_ASKING = lazy_pattern(r"\b(?:which|who|whose|what|how|by how|calculate|determine|identify|find|compute|name)\b", re.I)
_MOST = lazy_pattern(
    r"\b(?:(?:tall|larg|long|high|deep|fast|quick|bigg|great|heavi|old|far|farth|furth|wid|warm|hott|strong|rich|dens"
    r"|expensiv|speedi|lengthi)(?:er|est)|more|most|maximum|highest|biggest)\b",
    re.I,
)
_LEAST = lazy_pattern(
    r"\b(?:(?:small|short|low|shallow|slow|light|young|near|clos|cheap|narrow|cold|weak|poor|few|tini)(?:er|est)|less"
    r"|least|minimum)\b",
    re.I,
)
_RATIO = lazy_pattern(r"\b(?:ratio|divide[ds]?|factor|times as|how many times|quotient)\b", re.I)
_DIFFERENCE = lazy_pattern(r"\b(?:difference|how much|how many|than)\b", re.I)
_AVERAGE = lazy_pattern(r"\b(?:average|mean)\b", re.I)
_NEGATED = lazy_pattern(r"\b(?:no|not|never|neither)\b|n't\b", re.I)
_SUM = lazy_pattern(r"\b(?:sum|total|combined|altogether)\b", re.I)
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
    if asked == "name":
        return _choice(begun, terms)
    if asked == "truth":
        return _comparison(question, terms)
    if _MEASURED_APART.search(begun):
        return None
    values = ", ".join(term.text for term in terms)
    return _extreme(begun, values) if combined else _reduction(begun, values)


def _choice(asking: str, terms: Sequence[Term]) -> str | None:
    """The name of the thing that has the most or the least."""
    most, least = extremes(asking)
    names = [term.name for term in terms]
    if most == least or len(set(names)) != len(names) or any(set(name) & set("'\"\\$\n") for name in names):
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
    named = _places(after, other.name)
    shares = [
        number for number in numbers_in(after) if not any(0 <= number.place - at < len(other.name) for at in named)
    ]
    most, _ = extremes(before)
    text = other.text
    if shares:
        by = f"{shares[0].percent / 100:.10g}" if shares[0].percent is not None else shares[0].hint.strip("`* ")
        if len(shares) != 1 or shares[0].place or not by:
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
    sentence = next((each for each in re.split(r"(?<=[.?!])\s+|\n+", question) if each.endswith("?")), "")
    before, _, after = sentence.partition(" than ")
    most, least = extremes(before)
    first = [term for term in terms if _mentions(before, term.name) and not _mentions(after, term.name)]
    other = [term for term in terms if _mentions(after, term.name) and not _mentions(before, term.name)]
    if _NEGATED.search(before):
        return None
    if most == least or len(first) != 1 or len(other) != 1 or len(terms) != 2:
        return None
    return before, after, first[0], other[0]


def averaged(question: str, expression: str) -> str | None:
    """An expression whose one sum is averaged, if a question asks for an average and for no sum.

    >>> averaged("What is the ratio of the average of both to the third?", "(${1.m} + ${2.m}) / $3")
    'mean(${1.m}, ${2.m}) / $3'
    """
    if not _AVERAGE.search(question) or _SUM.search(question):
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
    if most or least:
        return _extreme(asking, values)
    wanted = [name for name, pattern in (("mean", _AVERAGE), ("sum", _SUM)) if pattern.search(asking)]
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
    return bool(_CHANGE_ITSELF.search(re.split(r"[,;:]|\b(?:if|when|after)\b", asking_part(question))[0]))


def asking_part(question: str) -> str:
    """The part of a question that asks: from its last word that does to the end of the sentence.

    >>> asking_part("If K2 grew by 5%, what would be the difference to Lhotse? Answer in metres.")
    'what would be the difference to Lhotse?'
    """
    sentences = re.split(r"(?<=[.?!])\s+|\n+", question)
    asking = [each for each in sentences if each.endswith("?")] or [each for each in sentences if _ASKING.search(each)]
    sentence = asking[0] if asking else question
    begun = [match.start() for match in _ASKING.finditer(sentence)]
    return sentence[begun[-1] :] if begun else sentence


_ADDED = lazy_pattern(r"(?<!\w)\(([^()]*\+[^()]*)\)(?! / \d)")


def factor(question: str, number: Number, names: Iterable[str]) -> tuple[str, str] | None:
    """Which of the named things a question changes by a number, and by what factor; `None` if that is not certain."""
    listed = list(dict.fromkeys(names))
    start = number.place
    if start < 0 or number.converts or number.is_compared_in(question) or "respectively" in question.casefold():
        return None
    begin, end = _clause(question, start)
    clause = question[begin:end]
    if _BOTH_ALIKE.search(clause) or sum(1 for _ in numbers_in(clause)) != 1:
        return None
    named = (
        _last_mentioned(question[begin:start], listed)
        or [name for name in listed if _mentions(question[start:end], name)]
        or _last_mentioned(_clause_before(question, begin), listed)
    )
    by = _by(clause, number) or _by_as_before(question[:begin], clause, number)
    return (named[0], by) if len(named) == 1 and by else None


def in_full(question: str, name: str) -> str:
    """A name as the question has it in full.

    >>> in_full("The Sahara Desert's area doubles.", "Sahara"), in_full("Is K2 higher than Lhotse?", "K2")
    ('Sahara Desert', 'K2')
    """
    found = re.search(rf"(?<!\w){re.escape(name)}(?: [A-Z]\w+){{0,3}}", question)
    return found[0] if found else name


def _by(clause: str, number: Number) -> str | None:
    by = number.hint.removeprefix("`* ").removesuffix("`") if number.percent is None else ""
    if by and (not number.text.endswith("times") or f"{number.text} as" in clause):
        return by
    up, down = (re.search(rf"\b(?:{words})\b", clause, re.I) for words in (_UP, _DOWN))
    if bool(up) == bool(down):
        return None
    if number.percent is not None:
        return f"{1 + number.percent / 100 if up else 1 - number.percent / 100:.10g}"
    said = re.search(rf"{re.escape(number.text.removesuffix(' times'))} times\b(?! as\b)", clause)
    if said is None or re.search(r"\bthan\b", clause, re.I):  # else it compares two things
        return by or None
    times = by or number.text.replace(",", "")
    return times if up else f"{1 / float(times):.10g}"


def _by_as_before(before: str, clause: str, number: Number) -> str | None:
    """The factor where the clause leaves out its verb, as in `A grew by 3%, B by 4%`."""
    if _CHANGES.search(clause) or not re.search(r"\bby\b", clause, re.I):
        return None
    verbs = list(_CHANGES.finditer(before))
    return _by(verbs[-1][0], number) if verbs else None


def _clause(text: str, place: int) -> tuple[int, int]:
    """Where the clause begins and ends that a place is in."""
    ends = [match for match in _CLAUSE.finditer(text) if match.end() <= place]
    following = _CLAUSE.search(text, place)
    return ends[-1].end() if ends else 0, following.start() if following else len(text)


def _clause_before(text: str, begin: int) -> str:
    """The clause that ends where another begins."""
    before = text[: max(begin - 1, 0)].rstrip(" ,;")
    return before[_clause(before, len(before))[0] :]


def _places(text: str, name: str) -> list[int]:
    return [match.start() for match in re.finditer(rf"(?<!\w){re.escape(name)}(?:'s)?(?!\w)", text, re.I)]


def _mentions(text: str, name: str) -> bool:
    return bool(name and _places(text, name))


def _last_mentioned(text: str, names: Sequence[str]) -> list[str]:
    """The thing that a text names last; of two that are one within the other, the longer."""
    named = {name: _places(text, name)[-1] + len(name) for name in names if _mentions(text, name)}
    last = [name for name, place in named.items() if place == max(named.values())]
    return sorted(last, key=len)[-1:]
