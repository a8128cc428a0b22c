"""By what a question changes a thing that was looked up, where its wording is certain.

>>> number = next(numbers_in("Lhotse shrinks by 6% and Makalu doubles."))
>>> factor("Lhotse shrinks by 6% and Makalu doubles.", number, ["Lhotse", "Makalu"])
('Lhotse', '0.94')

May know: `questions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from llmcompiler_graph.core.checking.questions import MEASURES, Number, is_negated, numbers_in, sentences_of
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("factor", "is_named", "is_of_other_measure", "name_in_full", "places")

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
_BOTH_ALIKE = lazy_pattern(r"\b(?:each|all|both|respectively|same|every|together|between)\b", re.I)
_CLAUSE = lazy_pattern(r"[,;:?!]|\.(?=\s|$)|\b(?:and|while|but|whereas|or|if|when|after|suppose|with)\b", re.I)
_RISES, _FALLS = (lazy_pattern(rf"\b(?:{words})\b", re.I) for words in (_UP, _DOWN))
_NOW = r"(?:it|its|they|their|now|today|before|at present|usual)\b"
_INEXACT = lazy_pattern(
    r"\b(?:to|at|of|under|over|almost|at least|at most|more than|less than|up to|only|again)"
    r"(?: (?:only|just|about|some|roughly|nearly|a|the|its))*\s*$",
    re.I,
)
_MEASURE = rf"(?:{MEASURES}|deep|high|tall|long|large|fast|people|inhabitants|residents|level)"
_SHARE = lazy_pattern(
    rf"(?:\s*times)?\s+(?:of (?!its\b|their\b)|again\b|(?:[\w']+ ){{1,4}}than (?!{_NOW})|as \w+ as (?!{_NOW})"
    rf"|(?:of )?(?:its|their) (?!(?:\w+ )?{_MEASURE}s?\b)|as an?\b|times (?:an?|per|each|every)\b)",
    re.I,
)
_OTHER_MEASURE = lazy_pattern(
    rf"\b(?:more|fewer|less) (?!than\b|{_MEASURE}s?\b)[a-z]"
    rf"|\w's (?:(?:own|total|current|present|maximum|top|average|surface|mean) )*"
    rf"(?!(?:{_MEASURE}s?|{_UP}|{_DOWN}|ha[sd]|have|is|was|were|by)\b)[a-z]"
    rf"|\b(?:price|cost|number|share|value|rate|temperature|pressure)s?\b|\b(?:weigh|cost|earn|pa[iy])(?:s|ed|d)?\b",
)
_MEASURED = (
    (("depth",), lazy_pattern(r"\b(?:deep|depth)\w*", re.I)),
    (("height", "elevation", "altitude"), lazy_pattern(r"\b(?:high|height|tall|elevation|altitude)\w*", re.I)),
    (("length", "distance"), lazy_pattern(r"\b(?:length|long|distance)\w*", re.I)),
    (("area", "size", "surface"), lazy_pattern(r"\b(?:area|surface)s?\b", re.I)),
    (("population", "inhabitants"), lazy_pattern(r"\b(?:populat|populous|people|inhabitant|resident)\w*", re.I)),
    (("speed", "velocity"), lazy_pattern(r"\b(?:fast|slow|speed|quick|velocit)\w*", re.I)),
    (("width",), lazy_pattern(r"\b(?:wid(?:e|th)|narrow)\w*", re.I)),
    (("weight", "mass"), lazy_pattern(r"\b(?:heav(?:y|ier)|light(?:er)?\b|weigh|mass)\w*", re.I)),
    (("volume",), lazy_pattern(r"\bvolumes?\b", re.I)),
)  # how fields are named, and what tells of them
_ADJECTIVE = (
    r"(?:large|big|great|high|tall|long|deep|fast|quick|speedy|wide|heavy|populous|dense|small|short|low|shallow|slow)"
)
_BARE = lazy_pattern(r"half|twice|thrice|double|triple|treble|quadruple|\w+fold|\w+ times", re.I)
_AS_LITTLE = lazy_pattern(r"\s+as (?:small|short|low|shallow|slow|light|narrow|few|little)\b", re.I)
_OWN_MEASURE = lazy_pattern(rf"\s+(?:as {_ADJECTIVE}|(?:of )?(?:its|their|the) (?:\w+ )?{_MEASURE})\b", re.I)
_ASIDE = lazy_pattern(r"\b(?:than|which|who|that|like|as)\b", re.I)
_LISTED = lazy_pattern(r"\b(?:and|or)\s*$", re.I)
_WITHIN = lazy_pattern(
    r"(?:\w (?<!factoring )(?:of|to|for|from|about)|who \w+"
    r"|(?:^\s*|\w )(?<!factoring )(?:in|on|at|around|near|inside|along|up)) (?:the |a )?$",
    re.I,
)
_OF_ITS = lazy_pattern(rf"\b(?:{MEASURES}|size|city|state|island|country|town)s? of (?:the |a )?$", re.I)
_SENTENCE_END = lazy_pattern(r"[.?!](?=\s)|\n")
_CLAIMED = lazy_pattern(
    r"\b(?:claim\w*|think\w*|believe\w*|lie|myth|rumou?r\w*|allegedly|supposedly|says?|said)\b"
    r"|\b(?:too|also|likewise|as well|similarly|equally|like|(?:in|on|at|near|around|with) (?:it|them))\b"
    r"|\bso (?:did|does|do|would|has|had)\b",
    re.I,
)
_POINTING = lazy_pattern(r"\b(?:former|latter|first|second|third|last|others?|either|everyone|everything|rest)\b", re.I)
_GOES_ON = lazy_pattern(
    rf"\s*(?:(?:it|its|it's|which|that|is|was|were|be|been|being|has|had|have|would|becomes?|became|gets?|got|then|now|by|a"
    rf"|an|in|to|the|one|{_UP}|{_DOWN}|{MEASURES}|lake|mountain|river|sea)\b\s*)*",
    re.I,
)
_ANOTHER_TIME = lazy_pattern(
    r"\b(?:next|last|previous|past|yesterday|tomorrow|tonight|since|until|ago|later|online|(?:by|in|from) \d{4})\b",
    re.I,
)
_WORD = lazy_pattern(r"[^\W\d_]+")
_PLAIN = lazy_pattern(
    rf"{_UP}|{_DOWN}|{_ADJECTIVE}|{_MEASURE}s?|chang\w*|adjust\w*|becom\w+|became|g[eo]ts?|got|goes|go|mak\w+|made"
    r"|doubl\w+|tripl\w+|quadrupl\w+|halv\w+|half|twice|thrice|times|fold|percent|per|cent|by|the|s|of|a|an|in|its|it|their"
    r"|they|is|was|are|were|be|been|being|will|would|should|could|can|has|have|had|that|than|as|to|we|us|with|for|from|at|on"
    r"|given|assum\w+|suppos\w+|imagin\w+|say|let|take|where|upon|factoring|consider\w*|account\w*|now|then|also|so|only|just"
    r"|further|another|extra|additional\w*|about|again|added|new|usual|top|maximum|current|present|original|total|overall"
    r"|own|sprint\w*|flight|running|runs?|hops?|dug|sped|speed\w*|kilomet\w+|met(?:er|re)s?|km|m|square|people|inhabitants"
    r"|residents|city|country|state|mountain|river|lake|island|building|tower|statue|animal|what|which|how|much|many",
    re.I,
)  # the words of a change, and those that say nothing of what changes


def factor(question: str, number: Number, names: Iterable[str]) -> tuple[str, str] | None:
    """Which of the named things a question changes by a number, and by what factor; `None` if that is not certain.

    Shares, what is compared with another thing, and changes of other things than measures are not certain:

    >>> text = "K2 shrinks to 5%. Lhotse is 5% higher than K2. It has 5% more guests. He climbs up 5% of K2."
    >>> [factor(text, number, ["K2", "Lhotse"]) for number in numbers_in(text)]
    [None, None, None, None]
    """
    if number.place < 0 or number.converts or number.is_compared_in(question) or "respectively" in question.casefold():
        return None
    begin, end = _clause(question, number.place)
    place, listed = (begin, number.place, end), list(dict.fromkeys(names))
    if not _is_change(question, number, place, listed):
        return None
    clause, named = question[begin:end], _changed_thing(question, place, listed)
    by = _by(clause, number) or _by_as_before(question[:begin], clause, number)
    if len(named) != 1 or not by or _says_more(question[begin : number.place], question[number.end : end], named[0]):
        return None
    return named[0], by


def _is_change(question: str, number: Number, place: tuple[int, int, int], names: Sequence[str]) -> bool:
    """Whether a number changes a single thing's measure, and is no share and no comparison.

    Args:
        question: The question.
        number: The number.
        place: Where its clause begins, where it stands, and where the clause ends.
        names: The things that were looked up.
    """
    begin, start, end = place
    clause, before, behind = question[begin:end], question[begin:start], question[number.end : end]
    if _BOTH_ALIKE.search(clause) or sum(1 for _ in numbers_in(clause)) != 1 or _is_denied(question, number):
        return False
    if _INEXACT.search(before) or _SHARE.match(behind) or _OTHER_MEASURE.search(clause):
        return False
    if not _BARE.fullmatch(number.text):
        return True
    return not _named_in(behind, names) and _changes_itself(before, number, behind)


def _says_more(before: str, behind: str, name: str) -> bool:
    """Whether a clause says more than that a thing changes: what of it, or when.

    Args:
        before: The clause up to the number.
        behind: The clause behind it.
        name: The thing.
    """
    if _ANOTHER_TIME.search(before + behind):
        return True
    if named := places(before, name):
        said = f"{before[named[-1] + len(name) :]} {behind}"
    else:
        named = places(behind, name)
        said = behind[: named[0]] if named else f"{before} {behind}"
    own = set(_WORD.findall(name.casefold()))
    return any(not (word in own or _PLAIN.fullmatch(word)) for word in _WORD.findall(said.casefold()))


def _is_denied(question: str, number: Number) -> bool:
    """Whether the sentence that a number stands in says that something is not so, is only claimed, or so of others."""
    before = question[: number.place]
    end = _SENTENCE_END.search(question, number.place)
    sentence = question[before.rfind(sentences_of(before)[-1]) : end.start() if end else len(question)]
    return is_negated(sentence) or bool(_CLAIMED.search(sentence))


def _changes_itself(before: str, number: Number, behind: str) -> bool:
    """Whether a `half` or `twice` is that of a thing's own measure: `half its area`, `twice as high`, `cut by half`."""
    said = number.text.casefold()
    if said == "half":
        return not _RISES.search(before) and bool(_FALLS.search(before) or _OWN_MEASURE.match(behind))
    if said.endswith(" times"):  # as in `four times smaller`
        return not _AS_LITTLE.match(behind) and bool(_CHANGES.search(before + behind) or _OWN_MEASURE.match(behind))
    falls = _FALLS.search(before + behind) or _AS_LITTLE.match(behind)
    return not falls and bool(_RISES.search(before) or _OWN_MEASURE.match(behind))


def _changed_thing(question: str, place: tuple[int, int, int], names: Sequence[str]) -> list[str]:
    """The thing that a clause says to change; several if it may be either.

    Args:
        question: The question.
        place: Where the clause begins, where its number stands, and where the clause ends.
        names: The things.
    """
    begin, start, end = place
    before = question[begin:start]
    if named := _named_in(before, names):
        is_of_several = _ends_a_list(question[:begin], names) or _named_in(question[start:end], names)
        return [] if is_of_several else _meant_in(before, named)
    if _POINTING.search(before):
        return []
    if named := _named_in(question[start:end], names):
        return _meant_in(question[start:end], named)
    first, last = _clause_before(question, begin)
    earlier = question[first:last]
    if not _GOES_ON.fullmatch(before) or _ASIDE.search(earlier) or _ends_a_list(question[:first], names):
        return []
    return _meant_in(earlier, _named_in(earlier, names))


def _ends_a_list(text: str, names: Sequence[str]) -> bool:
    """Whether a text ends with a thing and `and`, so that what follows is also of that thing."""
    listed = _LISTED.search(text)
    before = text[: listed.start()].rstrip() if listed else ""
    return any(before.endswith((name, f"{name}'s")) for name in names)


def _meant_in(text: str, names: Sequence[str]) -> list[str]:
    """The things named in a text, if all are meant themselves, or their measures, and not something of them.

    >>> [_meant_in(text, ["Erie"]) for text in ("if Erie", "the area of Erie", "the fish in Erie", "a picture of Erie")]
    [['Erie'], ['Erie'], [], []]
    """
    before = [text[: places(text, name)[-1]] for name in names]
    return list(names) if all(not _WITHIN.search(part) or _OF_ITS.search(part) for part in before) else []


def is_of_other_measure(question: str, number: Number, fields: Iterable[str]) -> bool:
    """Whether a question changes another measure of a thing than those that a plan calculates with.

    >>> text = "Erie gets 5% deeper. Which lake is larger?"
    >>> number = next(numbers_in(text))
    >>> is_of_other_measure(text, number, ["area_km2"]), is_of_other_measure(text, number, ["depth_m"])
    (True, False)
    """
    begin, end = _clause(question, number.place)
    told = {names for names, words in _MEASURED if words.search(question, begin, end)}
    used = {names for names, _ in _MEASURED for field in fields if set(names) & set(re.split(r"[\W_]+", field))}
    return bool(told and used and not told & used)


_KIND = (
    r"(?:Rivers?|Lakes?|Deserts?|Mountains?|Mount|Peak|Volcano|Seas?|Ocean|Islands?|Rain[Ff]orests?|Forests?|Towers?"
    r"|Buildings?|Bridges?|Canal|Trench|Falls|Valley|Canyon|Straits?|Bay|Gulf|Channel|Peninsula|City|State|Dam|Airport"
    r"|Station|Stadium|Park|Glacier|Range|Plateau|Basin|Delta|Reef|Cathedral|Temple|Palace|Castle|Monument|Wall|Statue)"
)  # what the name of a place, or of something built, ends with
_BEGINS = lazy_pattern(r"Mount|Mt\.?|Monte?|Lake|Cape|River|Gulf|Isle|Fort|Port|Saint|St\.?")  # or begins with


def name_in_full(question: str, name: str) -> str:
    """A name as a question has it in full, if that says what the thing is, and is the only form in it.

    >>> name_in_full("Is the Niger River longer than the Po?", "Niger")
    'Niger River'
    >>> name_in_full("Is Niger larger than the Niger River's basin?", "Niger")
    'Niger'
    >>> name_in_full("Is Niger Chad's neighbour?", "Niger")
    'Niger'
    """
    rest = r" [A-Z][\w-]*" if _BEGINS.fullmatch(name) else rf"(?: [A-Z][\w-]*){{0,2}} {_KIND}\b"
    said = rf"(?<![\w'-]){re.escape(name)}(?:{rest})?(?!\w)"
    found = {match[0] for match in re.finditer(said, question)}
    return found.pop() if len(found) == 1 else name


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


def _clause_before(text: str, begin: int) -> tuple[int, int]:
    """Where the clause begins and ends that is before another one."""
    ends = [match.span() for match in _CLAUSE.finditer(text) if match.end() <= begin]
    last = ends[-1][0] if ends else begin
    return (ends[-2][1] if len(ends) > 1 else 0), last


def places(text: str, name: str) -> list[int]:
    """Where a text names a thing."""
    return [match.start() for match in re.finditer(rf"(?<!\w){re.escape(name)}(?:'s)?(?!\w)", text, re.I)]


def is_named(text: str, name: str) -> bool:
    """Whether a text names a thing."""
    return bool(name and places(text, name))


def _named_in(text: str, names: Sequence[str]) -> list[str]:
    """The things that a text names; of two that are one within the other, the longer."""
    named = [name for name in names if is_named(text, name)]
    return [name for name in named if not any(name != other and name in other for other in named)]
