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

May know: `questions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from llmcompiler_graph.core.checking.questions import AnswerKind, Number, numbers_in
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Term", "asks_for_change", "factor", "in_full", "is_difference", "last_step", "terms_of", "terms_of_extreme")


class Term(NamedTuple):
    """A part of a calculation that is about one thing."""

    name: str
    """The thing."""
    text: str
    """How it is calculated."""


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
    begun = _asking(question)
    if asked == "name":
        return _choice(begun, terms)
    if asked != "number" or _MEASURED_APART.search(begun):
        return None
    values = ", ".join(term.text for term in terms)
    return _extreme(begun, values) if combined else _reduction(begun, values)


def _choice(asking: str, terms: Sequence[Term]) -> str | None:
    """The name of the thing that has the most or the least."""
    most, least = _extremes(asking)
    names = [term.name for term in terms]
    if most == least or len(set(names)) != len(names) or any(set(name) & set("'\"\\$\n") for name in names):
        return None
    pairs = ", ".join(f"'{term.name}': {term.text}" for term in terms)
    return f"{'argmax' if most else 'argmin'}({{{pairs}}})"


def _reduction(asking: str, values: str) -> str | None:
    """The number that is made of several."""
    most, least = _extremes(asking)
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
    most, least = _extremes(asking)
    return f"{'max' if most else 'min'}({values})" if most != least else None


def _extremes(asking: str) -> tuple[bool, bool]:
    """Whether a question asks for the largest, and whether for the smallest."""
    return bool(_MOST.search(asking)), bool(_LEAST.search(asking))


def terms_of_extreme(expression: str) -> list[str]:
    """The parts of which an expression takes the largest or the smallest; none if it does not.

    >>> terms_of_extreme("max($1, $2 * 2) / min($1, $2 * 2)"), terms_of_extreme("$1 / $2")
    (['$1', '$2 * 2'], [])
    """
    expression = _bare(expression)
    called = _EXTREME_CALL.match(expression)
    end = _closing(expression, called.end()) if called else -1
    return terms_of(expression[: end + 1]) if end > 0 else []


def asks_for_change(question: str) -> bool:
    """Whether a question asks for a change itself.

    >>> asks_for_change("How much is lost if K2 shrinks by 5%?"), asks_for_change("How high is K2 if it grows by 5%?")
    (True, False)
    """
    return bool(_CHANGE_ITSELF.search(re.split(r"[,;:]|\b(?:if|when|after)\b", _asking(question))[0]))


def _asking(question: str) -> str:
    """The part of a question that asks: from its last word that does to the end of the sentence."""
    sentences = [sentence for sentence in re.split(r"(?<=[.?!])\s+|\n+", question) if sentence.endswith("?")]
    sentence = sentences[0] if sentences else question
    asking = [match.start() for match in _ASKING.finditer(sentence)]
    return sentence[asking[-1] :] if asking else sentence


_EXTREME_CALL = lazy_pattern(r"(?:max|min)(?=\()")
_CALL = lazy_pattern(r"(?:abs|max|min|sum|mean|argmax|argmin)(?=\()")
_DEEPEST = 50  # brackets and calls around an expression that are looked into
_OPERATORS = (" - ", " + ", " / ", " > ", " < ")
_SEPARATING = lazy_pattern(r"\$\{[^{}]*\}|'[^']*'|\"[^\"]*\"|[()\[\]{},]| [-+*/<>] ")
_LABEL = lazy_pattern(r"^\s*(?:'([^']*)'|\"([^\"]*)\")\s*:\s*")


def terms_of(expression: str) -> list[str]:
    """The parts that an expression compares or combines, of equal rank; only itself if there are none.

    >>> terms_of("abs(${1.m} * 0.9 - ($2 + 1) * 1.1)"), terms_of("argmin({'a': $1, 'b': $2 / 2})"), terms_of("$1 * 2")
    (['${1.m} * 0.9', '($2 + 1) * 1.1'], ['$1', '$2 / 2'], ['$1 * 2'])
    """
    expression, labels = _bare(expression), False
    for _ in range(_DEEPEST):
        call = _CALL.match(expression)
        if call is None or _closing(expression, call.end()) != len(expression) - 1:
            break
        expression, labels = _bare(expression[call.end() :]), True
        if len(listed := _split(expression, (",",))) > 1:
            return [_without_label(part) for part in listed]
    parts = _split(expression, _OPERATORS)
    factors = _split(expression, (" * ",))
    if len(parts) == 1 and all("$" in each for each in factors):
        parts = factors
    return [_without_label(_bare(part)) if labels else _bare(part) for part in parts]


def _without_label(part: str) -> str:
    return _LABEL.sub("", part).strip()


def is_difference(expression: str) -> bool:
    """Whether an expression subtracts one thing from another, so that its sign depends on their order."""
    expression = _bare(expression)
    parts = _split(expression, (" - ",))
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


def _split(text: str, separators: Sequence[str]) -> list[str]:
    """Split a text at separators that stand in no brackets."""
    depth, start, parts = 0, 0, []
    for match in _SEPARATING.finditer(text):
        depth += (match[0] in ("(", "[", "{")) - (match[0] in (")", "]", "}"))
        if depth == 0 and match[0] in separators:
            parts.append(text[start : match.start()])
            start = match.end()
    return [*parts, text[start:]]


def factor(question: str, number: Number, names: Iterable[str]) -> tuple[str, str] | None:
    """Which of the named things a question changes by a number, and by what factor; `None` if that is not certain."""
    listed = list(dict.fromkeys(names))
    start = number.place
    if start < 0 or number.converts or "respectively" in question.casefold():
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
    return bool(_places(text, name))


def _last_mentioned(text: str, names: Sequence[str]) -> list[str]:
    """The thing that a text names last; of two that are one within the other, the longer."""
    named = {name: _places(text, name)[-1] + len(name) for name in names if _mentions(text, name)}
    last = [name for name, place in named.items() if place == max(named.values())]
    return sorted(last, key=len)[-1:]
