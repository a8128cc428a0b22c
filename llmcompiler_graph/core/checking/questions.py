"""What a question asks for, as far as its English wording says so for certain: a name, a number, or yes or no.

>>> asked_for("If Lhotse were 6% lower, which of the two mountains would be higher?")
'name'
>>> asked_for("What is the ratio of their depths?"), asked_for("Would Lhotse still be higher?")
('number', 'truth')
>>> asked_for("Which is higher, and by how many metres?") is None
True
>>> [str(number) for number in numbers_in("K2 grows by 5%, Lhotse doubles. Answer in millions.")]
['5%', 'doubles', 'in millions']

Where the wording is not certain, or of another language, nothing is said.

May know: nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = (
    "MEASURES",
    "AnswerKind",
    "Number",
    "asked_for",
    "asks_for_extreme",
    "asks_to_calculate",
    "has_other_numbers",
    "is_negated",
    "numbers_in",
    "only_asked",
    "sentences_of",
    "unit_number",
)

AnswerKind: TypeAlias = Literal["name", "number", "truth"]
"""What an answer is: one name, one number, or yes or no."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number that a question gives for a calculation."""

    text: str
    """As it is written."""
    accepted: frozenset[float]
    """The constants of which one accounts for it."""
    hint: str = ""
    """How it is mostly written."""
    percent: float | None = None
    """The percentage, if it is one: that accounts for it only beside a division by 100, or outside calculations."""

    converts: bool = False
    """Whether it converts the result to the unit that is asked for."""
    place: int = -1
    """Where it begins in the question."""
    end: int = -1
    """Where it ends there: it may be written longer than `text`, as `5 percent`."""

    def __str__(self) -> str:
        """As it is written."""
        return self.text

    def is_compared_in(self, question: str) -> bool:
        """Whether it is a share that something is compared with, as in `less than half of it`."""
        return question[: max(self.place, 0)].casefold().endswith("than ")


_LONGEST = 4_000  # characters; what is longer is no question of one answer
_SENTENCE = lazy_pattern(r"(?<=[.?!])\s+|\n+")
_SAID: tuple[tuple[AnswerKind, re.Pattern[str]], ...] = (
    ("truth", lazy_pattern(r"\banswer (?:with |only )?(?:just )?['\"]?yes['\"]? or ['\"]?no\b", re.I)),
    ("name", lazy_pattern(r"\banswer (?:with |only )?(?:the )?(?:[\w']+ )?name\b|^name the\b", re.I)),
    (
        "number",
        lazy_pattern(
            r"\b(?:answer (?:with |only )?|give (?:only |just )?)(?:the|a) (?:value|number)\b"
            r"|\banswer in (?!one\b|an?\b)",
            re.I,
        ),
    ),
)
MEASURES = (
    "ratio|difference|gap|average|mean|median|sum|total|product|quotient|density|percentage|percent|proportion|share|number"
    "|value|factor|result|height|length|depth|area|size|speed|velocity|population|distance|weight|mass|price|cost"
    "|temperature|elevation|width|age|surface|volume|amount"
)
"""What is measured or calculated, as an alternation of a regular expression."""
AVERAGE = lazy_pattern(
    r"\b(?:average|(?-i:mean))\b"
    r"(?! (?:for|that|to|by|year|month|week|day|person|man|woman|family|household)\b|(?-i: [A-Z]))",
    re.I,
)
"""How a question names an average."""
DIFFERENCE = lazy_pattern(r"\bdifference\b", re.I)
"""How a question names a difference."""
_DEGREES = (
    "tall|larg|small|long|short|high|low|deep|shallow|fast|slow|quick|bigg|great|heavi|light|old|young|near|clos|far"
    "|farth|furth|cheap|expensiv|wid|narrow|warm|cold|hott|strong|weak|rich|poor|dens|tini|lengthi|speedi"
)
_COMPARED = lazy_pattern(rf"\b(?:(?:{_DEGREES})(?:er|est)|most|least|fewest|more|less|fewer|biggest)\b", re.I)
_EXTREME = lazy_pattern(rf"\b(?:(?:{_DEGREES})est|biggest|most|least|fewest|maximum|minimum)\b", re.I)
_SUPERLATIVE = lazy_pattern(
    rf"\bwhat (?:is|was|are|would be|will be) the (?:{_DEGREES}|bigg)est (?!of\b)(?P<noun>\w+)", re.I
)
_THINGS = (
    "mountain|peak|summit|volcano|hill|river|stream|lake|sea|ocean|island|desert|forest|rainforest|jungle|country|nation"
    "|state|province|region|county|city|town|village|continent|planet|moon|star|animal|mammal|bird|fish|reptile|insect|cat"
    "|tree|building|tower|skyscraper|structure|bridge|dam|canal|tunnel|stadium|trench|canyon|gorge|valley|waterfall|fall"
    "|glacier|peninsula|gulf|bay|strait|reef|place|landmark|monument|statue|one|thing|item|object|car|vehicle|ship|plane"
    "|aircraft|train|rocket|species"
)
_WHAT_THING = lazy_pattern(
    rf"\bwhat(?:'s| is| was| would be| will be) the (?:[\w-]+ ){{0,2}}?(?:name|buy|deal|choice|option|{_THINGS})"
    r" (?:of|with|that|by|in|having)\b",
    re.I,
)
_ATTRIBUTE = lazy_pattern(
    r"\b(?:capital|currency|president|mayor|king|queen|language|author|founder|owner|ceo|flag)\b", re.I
)
_ROUNDED = lazy_pattern(r"\bround(?:ed|ing)? (?:it )?(?:up|down)\b|\b(?:full|whole) \w+s\b", re.I)
_SEVERAL = lazy_pattern(rf"\bwhat (?:are|were) the (?:\w+ )?(?:{MEASURES})s\b", re.I)
_HOW_MUCH = lazy_pattern(
    r"\bhow (?:many|much|long|high|deep|large|fast|tall|far|big|old|heavy|wide)\b|\bby what (?:factor|percentage)\b",
    re.I,
)
_WHAT_MEASURE = lazy_pattern(
    rf"\bwhat(?:'s| is| are| was| were| would| will)\b(?!.*\b(?:which|who|whose)\b).*\b(?:{MEASURES})s?\b"
    r"|\bwhat percentage\b",
    re.I | re.S,
)
_COMPUTE = lazy_pattern(
    rf"^(?:please )?(?:calculate|compute|determine|identify|find|give|state) (?!which|who|what).*\b(?:{MEASURES})s?\b",
    re.I | re.S,
)
_NAMED_MEASURE = lazy_pattern(
    rf"^(?:(?:and|then|now|please),? )?(?:the )?(?:(?:{_DEGREES})(?:er|est)|maximum|minimum) (?:(?:{MEASURES})s?\b)",
    re.I,
)
_WHICH_MEASURE = lazy_pattern(rf"\bwhich (?:of (?:these|the) )?(?:{MEASURES})s?\b", re.I)
_WHICH_OTHER = lazy_pattern(
    r"\b(?:in|on|at|by|to|from) which\b"
    r"|\bwhich (?:\w+ )?(?:year|month|week|day|date|floor|score|salary|wage|time|figure)s?\b",
    re.I,
)
_WHICH = lazy_pattern(r"\b(?:which|who|whose)\b", re.I)
_AUXILIARY = lazy_pattern(
    r"(?:^|[,;:] ?(?:then |and )?)"
    r"(?:is|are|was|were|does|do|did|would|will|can|could|has|have|had|should)\b(?! (?:the )?which)",
    re.I,
)
_WHAT = lazy_pattern(r"what\b", re.I)
_RELATIVE = lazy_pattern(r", which\b")
_WH = lazy_pattern(r"\b(?:what|which|who|whose|whom|how|when|where|why)\b", re.I)
_CALCULATED = lazy_pattern(
    r"\b(?:ratio|difference|gap|average|mean|median|sum|total|combined|together|density|densities|percentage|percent|product"
    r"|divided?|factor|times as|than|per|add(?:ed)? up)\b|%",
    re.I,
)

_ONLY = lazy_pattern(r"\b(?:and|with|but) nothing else\b|\b(?:only|just) (?:the|a|one) (?:name|number|value)\b", re.I)

_FIGURE = lazy_pattern(r"(?<![\w.$,/-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w/-]|\.\d|,\d{3})(?P<percent>\s?%|\s+per ?cent\b)?")
_YEAR = range(1000, 3000)
_ENUMERATED = lazy_pattern(r"[.):]\s")
_WORDS: dict[str, tuple[tuple[float, ...], str]] = {
    r"doubl\w+|twice|twofold": ((2, 200), "* 2"),
    r"tripl\w+|trebl\w+|thrice|threefold|three times": ((3, 300), "* 3"),
    r"quadrupl\w+|fourfold|four times": ((4, 400), "* 4"),
    r"halv\w+|half": ((2, 0.5, 50, 1.5, 150), "* 0.5"),
}
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_UNITS = {
    "m": ("met(?:re|er)s?", 1.0, "length"),
    "cm": ("centimet(?:re|er)s?", 0.01, "length"),
    "km": ("kilomet(?:re|er)s?", 1000.0, "length"),
    "km_h": ("km/h|kmh|kilomet(?:re|er)s per hour", 1 / 3.6, "speed"),
    "m_s": ("m/s|met(?:re|er)s per second", 1.0, "speed"),
    "kg": ("kilograms?|kg", 1.0, "mass"),
    "t": ("tonnes?|metric tons?", 1000.0, "mass"),
    "min": ("minutes?", 60.0, "time"),
    "h": ("hours?", 3600.0, "time"),
    "s": ("seconds?", 1.0, "time"),
}  # what fields are in, as their names end: how questions say it, how much it is, and of what
_TELLS = lazy_pattern(
    r"(?:please )?(?:answer|give|state|express|write|report|tell|calculate|compute|determine|find)\b", re.I
)
_ASKED_IN = r"\b(?:in|how many|answer in) (?:{words})\b(?! per|/| squared)"
_NEGATED = lazy_pattern(
    r"\b(?:no|not|never|neither|nor|none|cannot|without|unless|unlike|false|untrue|wrong|wrongly|incorrect|fail(?:s|ed)?"
    r"|hardly|barely|except|excluding|excluded|ignoring|besides|apart from|aside from|instead|other than|rather than"
    r"|all but|leaving|left out|leave out|aside|omit\w*|disregard\w*)\b|n't\b",
    re.I,
)
_CARDINAL = (
    r"(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|seventy"
    r"|eighty|ninety|hundred|thousand)"
)
_PARTS = r"(?:third|quarter|fifth|sixth|seventh|eighth|ninth|tenth|hundredth)"
_OTHER_NUMBER = lazy_pattern(
    rf"\b(?:an?|one|{_CARDINAL})[ -]{_PARTS}s?\b|\b(?:one|{_CARDINAL})[ -](?:percent|per cent|fold)\b"
    r"|\b(?:five|six|seven|eight|nine|ten|twelve|twenty|hundred)(?: times|fold)\b|\band a half\b"
    r"|\d+(?:\.\d+)?(?:x\b|/\d)|[\u00bc-\u00be\u2150-\u215e]",
    re.I,
)
_IN_SCALE = lazy_pattern(
    r"\bin (?P<scale>thousand|million|billion)s?\b(?! (?:to|on|into|at|from)\b)",  # not `they come in millions to it`
    re.I,
)


def asked_for(question: str) -> AnswerKind | None:
    """What kind of answer a question asks for; `None` where that is not certain."""
    if len(question) > _LONGEST:
        return None
    sentences = sentences_of(question)
    said = {kind for kind, pattern in _SAID for sentence in sentences if pattern.search(sentence)}
    if said:
        return said.pop() if len(said) == 1 else None
    asked = [sentence for sentence in sentences if sentence.endswith("?")]
    if not asked:
        return "number" if any(map(_COMPUTE.search, sentences)) else None
    return _asked_in(asked[0]) if len(asked) == 1 else None


def _asked_in(sentence: str) -> AnswerKind | None:
    if any(each.search(sentence) for each in (_WHAT_THING, _ATTRIBUTE, _ROUNDED, _SEVERAL, _WHICH_OTHER)):
        return None
    kinds: set[AnswerKind] = set()
    superlative = _SUPERLATIVE.search(sentence)
    if superlative and re.fullmatch(rf"(?:{_THINGS})s?", superlative["noun"], re.I):
        kinds.add("name")
    elif superlative and not re.fullmatch(rf"(?:{MEASURES})s?", superlative["noun"], re.I):
        return None
    elif any(pattern.search(sentence) for pattern in (_HOW_MUCH, _WHAT_MEASURE, _NAMED_MEASURE)):
        kinds.add("number")
    if _WHICH.search(sentence):
        kinds.add("number" if _WHICH_MEASURE.search(sentence) else "name")
    if _RELATIVE.search(sentence) and (_AUXILIARY.search(sentence) or _WHAT.match(sentence)):  # it may ask nothing
        return None
    if not kinds and _AUXILIARY.search(sentence) and not _WH.search(sentence):
        return None if re.search(r"\bor\b", sentence, re.I) else "truth"
    return kinds.pop() if len(kinds) == 1 else None


def asks_to_calculate(question: str) -> bool:
    """Whether a question compares or combines several things."""
    return bool(_COMPARED.search(question) or _CALCULATED.search(question))


def has_other_numbers(question: str) -> bool:
    """Whether a question has numbers that `numbers_in` does not find.

    >>> [has_other_numbers(text) for text in ("a third of K2", "ten percent less", "5 times", "1/3", "2x", "5%")]
    [True, True, False, True, True, False]
    """
    return bool(_OTHER_NUMBER.search(question))


def is_negated(text: str) -> bool:
    """Whether a text says that something is not so, or leaves something out.

    >>> is_negated("which isn't the largest?"), is_negated("all but K2"), is_negated("which is the largest?")
    (True, True, False)
    """
    return bool(_NEGATED.search(text))


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, without the empty ones; at least one.

    >>> sentences_of("K2 grows. Is it higher?"), sentences_of("")
    (['K2 grows.', 'Is it higher?'], [''])
    """
    return [sentence.strip() for sentence in _SENTENCE.split(text) if sentence.strip()] or [text]


def only_asked(question: str) -> bool:
    """Whether a question asks for an answer without a word around it."""
    return bool(_ONLY.search(question))


def asks_for_extreme(question: str) -> bool:
    """Whether a question has a superlative in it, as the largest and the smallest."""
    return bool(_EXTREME.search(question))


def numbers_in(question: str) -> Iterator[Number]:
    """The numbers that a calculation must account for; years and the numbers of a list are none."""
    for match in _FIGURE.finditer(question):
        digits = match[0].removesuffix(match["percent"] or "").strip()
        value = float(digits.replace(",", ""))
        if match["percent"]:
            share = value / 100
            hint = f"{digits}% more is `* {_short(1 + share)}`, {digits}% less is `* {_short(1 - share)}`"
            accepted = {share, 1 + share, 1 - share, 100 + value, 100 - value, 1 / (1 + share)}
            yield Number(
                f"{digits}%", _rounded(accepted), hint, percent=round(value, 9), place=match.start(), end=match.end()
            )
        elif not (_ENUMERATED.match(question, match.end()) and match.end() < len(question)) and not _is_year(digits):
            accepted = {value, 1 / value if value else 0, 1 + value}
            yield Number(digits, _rounded(accepted), place=match.start(), end=match.start() + len(digits))
    for words, (accepted_, hint) in _WORDS.items():
        for match in re.finditer(rf"\b(?:{words})\b", question, re.I):
            yield Number(match[0], _rounded(set(accepted_)), f"`{hint}`", place=match.start(), end=match.end())
    if match_ := _IN_SCALE.search(question):
        scale = _SCALES[match_["scale"].lower()]
        yield Number(match_[0].lower(), _rounded({scale, 1 / scale}), f"`/ {scale:.0f}`", converts=True)


def unit_number(question: str, fields: Iterable[str]) -> Number | None:
    """The conversion that a question asks for: from the unit that all fields end with to another one.

    >>> unit_number("By how many kilometres is K2 higher?", ["height_m"]).hint
    '`/ 1000`'
    """
    units = {
        next((u for u in sorted(_UNITS, key=len, reverse=True) if field.endswith(f"_{u}")), "") for field in fields
    }
    if len(units) != 1 or not (unit := units.pop()):
        return None
    _, size, of = _UNITS[unit]
    asking = " ".join(each for each in sentences_of(question) if each.endswith("?") or _TELLS.match(each))
    found = [
        (match[0].lower(), other)
        for words, other, kind in _UNITS.values()
        if kind == of and (match := re.search(_ASKED_IN.format(words=words), asking, re.I))
    ]
    if len(found) != 1 or found[0][1] == size:
        return None
    by = size / found[0][1]
    hint = f"`* {_short(by)}`" if by > 1 else f"`/ {_short(1 / by)}`"
    return Number(
        f"in {found[0][0].removeprefix('how many ').removeprefix('in ')}", _rounded({by, 1 / by}), hint, converts=True
    )


def _is_year(digits: str) -> bool:
    return digits.isdecimal() and int(digits) in _YEAR


def _rounded(numbers: set[float]) -> frozenset[float]:
    return frozenset(round(number, 9) for number in numbers)


def _short(number: float) -> str:
    return f"{number:.6g}"
