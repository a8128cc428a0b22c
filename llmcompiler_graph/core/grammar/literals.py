"""What constants a schema allows, as parts of a grammar: texts, numbers in a range, dates, listed values.

May know: `rules`, `references`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from llmcompiler_graph.core.grammar.rules import Alt, Chars, Node, Repeat, Seq, optional
from llmcompiler_graph.core.language.references import JSON

__all__ = (
    "BOOLEAN",
    "DECIMALS",
    "ESCAPE",
    "FORMATS",
    "INTEGER",
    "KEY",
    "NUMBER",
    "WHOLE",
    "constant",
    "figure",
    "literal_text",
    "members",
    "separated",
    "string",
)

ESCAPE = Seq(("\\", Chars(r'"\\nt')))
KEY = Alt((Chars(r'^"\\\x00-\x1f'), ESCAPE))  # or of any text in which no character begins a reference
WHOLE = Alt(("0", Seq((Chars("1-9"), Repeat(Chars("0-9"), 0, 19)))))  # more than 64 bits hold
DECIMALS = Seq((".", Repeat(Chars("0-9"), 1, 17)))  # all of a double's
INTEGER = Seq((optional("-"), WHOLE))
NUMBER = Seq((optional("-"), WHOLE, optional(DECIMALS)))
BOOLEAN = Alt(("True", "False"))
_D = Chars("0-9")
_TO_28 = Alt((Seq(("0", Chars("1-9"))), Seq(("1", _D)), Seq(("2", Chars("0-8")))))
_TO_30 = Alt((_TO_28, "29", "30"))
_DAYS = Alt(
    (
        Seq((Alt(("01", "03", "05", "07", "08", "10", "12")), "-", Alt((_TO_30, "31")))),
        Seq((Alt(("04", "06", "09", "11")), "-", _TO_30)),
        Seq(("02-", _TO_28)),
    )
)
_LEAP = Alt((Seq(("0", Chars("48"))), Seq((Chars("2468"), Chars("048"))), Seq((Chars("13579"), Chars("26")))))
_LEAPS = Alt((Seq((Chars("12"), _D, _LEAP)), Seq((Alt(("12", "16", "20", "24", "28")), "00"))))  # years
_DATE = Alt((Seq((Chars("12"), Repeat(_D, 3, 3), "-", _DAYS)), Seq((_LEAPS, "-02-29"))))
_HOURS = Alt((Seq((Chars("01"), _D)), Seq(("2", Chars("0-3")))))
_SIXTY = Seq((Chars("0-5"), _D))
_CLOCK = Seq((_HOURS, ":", _SIXTY, ":", _SIXTY, optional(Seq((".", Repeat(_D, 1, 6))))))
_ZONE = Alt(("Z", Seq((Chars("+-"), _HOURS, ":", _SIXTY))))
_HEX = Chars("0-9a-f")
FORMATS: Mapping[str, Node] = {
    "date": _DATE,
    "time": _CLOCK,
    "date-time": Seq((_DATE, "T", _CLOCK, optional(_ZONE))),
    "uuid": Seq(
        (
            Repeat(_HEX, 8, 8),
            "-",
            Repeat(_HEX, 4, 4),
            "-4",
            Repeat(_HEX, 3, 3),
            "-",
            Chars("89ab"),
            Repeat(_HEX, 3, 3),
            "-",
            Repeat(_HEX, 12, 12),
        )
    ),
}


def string(inside: Node) -> Node:
    """Put it in double quotes."""
    return Seq(('"', inside, '"'))


def separated(node: Node, least: int, most: int | None) -> Node:
    """The node so many times, with commas."""
    if most == 0:
        return Seq(())
    more = None if most is None else most - 1
    several = node if most == 1 else Seq((node, Repeat(Seq((", ", node)), max(0, least - 1), more)))
    return several if least else optional(several)


def members(required: Sequence[Node], others: Sequence[Node]) -> tuple[Node, ...]:
    """The required ones in order, then any of the others in order, with commas."""
    found: list[Node] = []
    for number, one in enumerate(required):
        found += [", ", one] if number else [one]
    if required:
        found += [optional(Seq((", ", one))) for one in others]
    elif others:  # each may be the first: then no comma stands before it
        firsts = (Seq((one, *(optional(Seq((", ", o))) for o in others[n:]))) for n, one in enumerate(others, 1))
        found.append(optional(Alt(tuple(firsts))))
    return tuple(found)


def literal_text(text: str) -> str:
    """Write text as a plan has it, in quotes."""
    return json.dumps(text, ensure_ascii=False)


def constant(value: JSON, escape: Callable[[str], str]) -> str:
    """Write a value as a plan has it.

    Args:
        value: The value.
        escape: Writes a text so that it holds no reference.
    """
    match value:
        case str():
            return literal_text(escape(value))
        case list():
            return "[" + ", ".join(constant(each, escape) for each in value) + "]"
        case dict():
            return "{" + ", ".join(f"{literal_text(k)}: {constant(v, escape)}" for k, v in value.items()) + "}"
        case _:
            return repr(value)


_LARGEST = Decimal(10**20 - 1)  # of `WHOLE`
_PLACES = 9  # of a bound, that count


def figure(option: Mapping[str, JSON], *, whole: bool) -> Node:
    """The numbers a schema allows."""

    def bounds(closed: str, opened: str) -> list[tuple[Decimal, bool]]:
        """Those there are, with whether they are excluded."""
        given = (option.get(closed), False), (option.get(opened), True)
        return [
            (max(-_LARGEST, min(Decimal(str(value)), _LARGEST)), excluded)
            for value, excluded in given
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]

    lower, upper = bounds("minimum", "exclusiveMinimum"), bounds("maximum", "exclusiveMaximum")
    if not lower and not upper:
        return INTEGER if whole else NUMBER
    low = max(lower, default=(-_LARGEST, False))
    high = min(upper, key=lambda bound: (bound[0], not bound[1]), default=(_LARGEST, False))
    negative = _figures((-high[0], high[1]), (-low[0], low[1]), whole=whole)
    found = *(Seq(("-", each)) for each in negative), *_figures(low, high, whole=whole)
    return Alt(found or (f"{low[0]:f}",))  # there must be a way to go on, even if no number is right


def _figures(low: tuple[Decimal, bool], high: tuple[Decimal, bool], *, whole: bool) -> list[Node]:
    """The numbers from 0 up between bounds, each of which may be excluded."""
    (least, above), (most, below) = max(low, (Decimal(0), False)), high
    if most < least:
        return []

    def with_decimals(n: int) -> list[Node]:
        """The numbers that have so many decimals."""
        start, end = least.scaleb(n), most.scaleb(n)
        first, last = math.ceil(start), math.floor(end)
        return _integers(first + (above and first == start), last - (below and last == end), n)

    if whole:
        return with_decimals(0)
    places = next((n for n in range(_PLACES) if _is_whole(least.scaleb(n)) and _is_whole(most.scaleb(n))), _PLACES)
    zeros = Repeat("0", 1, 8)
    more_zeros = optional(zeros if places else Seq((".", zeros)))
    # with more decimals than the bounds have, between two neighbours
    between = Seq((*(() if places else (".",)), Repeat(_D, 0, 16 - places), Chars("1-9"), Repeat("0", 0, 8)))
    first, last = math.ceil(least.scaleb(places)), math.floor(most.scaleb(places))
    return [
        *(number for n in range(places) for number in with_decimals(n)),
        *(Seq((number, more_zeros)) for number in with_decimals(places)),
        *(Seq((number, between)) for number in _integers(first, last - 1, places)),
    ]


def _is_whole(number: Decimal) -> bool:
    return number == round(number)


def _integers(least: int, most: int, places: int) -> list[Node]:
    """The integers of a range from 0 up, in decimal, with a point before the last so many digits."""
    found: list[Node] = []
    while least <= most:
        length = max(len(str(least)), places + 1)
        end = min(most, 10**length - 1)
        found.append(_same_length(str(least).zfill(length), str(end).zfill(length), places))
        least = end + 1
    return found


def _same_length(low: str, high: str, places: int) -> Node:
    if not low:
        return ""
    rest = len(low) - 1

    def then(digit: Node, low: str, high: str) -> Node:
        point = "." if places and rest == places else ""
        return Seq(tuple(each for each in (digit, point, _same_length(low, high, places)) if each != ""))

    if low == "0" * len(low) and high == "9" * len(high):
        before = len(low) - places
        if not places or before <= 0:
            return Repeat(_D, len(low), len(low))
        return Seq((Repeat(_D, before, before), ".", Repeat(_D, places, places)))
    if low[0] == high[0]:
        return then(low[0], low[1:], high[1:])
    found: list[Node] = []
    start, stop = int(low[0]), int(high[0])
    if low[1:] != "0" * rest:
        found.append(then(low[0], low[1:], "9" * rest))
        start += 1
    if high[1:] != "9" * rest:
        found.append(then(high[0], "0" * rest, high[1:]))
        stop -= 1
    if start <= stop:
        found.append(then(Chars(f"{start}-{stop}"), "0" * rest, "9" * rest))
    return Alt(tuple(found))
