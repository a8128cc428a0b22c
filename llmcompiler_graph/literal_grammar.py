"""What constants a schema allows, as parts of a grammar: texts, numbers in a range, dates, listed values.

May know: `grammar`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from llmcompiler_graph.grammar import Alt, Chars, Node, Repeat, Seq, optional
from llmcompiler_graph.references import JSON

__all__ = (
    "BOOLEAN",
    "DECIMALS",
    "FORMATS",
    "INTEGER",
    "LETTER",
    "NUMBER",
    "PLAIN",
    "WHOLE",
    "constant",
    "figure",
    "literal_text",
    "separated",
    "string",
)

LETTER = Alt((Chars(r'^"\\$\x00-\x1f'), Seq(("\\", Chars(r'"\\nt')))))
PLAIN = Alt((LETTER, "$$"))
WHOLE = Alt(("0", Seq((Chars("1-9"), Repeat(Chars("0-9"), 0, 11)))))
DECIMALS = Seq((".", Repeat(Chars("0-9"), 1, 9)))
INTEGER = Seq((optional("-"), WHOLE))
NUMBER = Seq((optional("-"), WHOLE, optional(DECIMALS)))
BOOLEAN = Alt(("True", "False"))
_D = Chars("0-9")
_DATE = Seq((Chars("12"), Repeat(_D, 3, 3), "-", Alt((Seq(("0", Chars("1-9"))), "10", "11", "12")), "-",
             Alt((Seq(("0", Chars("1-9"))), Seq(("1", _D)), Seq(("2", Chars("0-8")))))))  # fmt: skip
_CLOCK = Seq((Alt((Seq((Chars("01"), _D)), Seq(("2", Chars("0-3"))))), ":", Chars("0-5"), _D, ":", Chars("0-5"), _D))
_HEX = Chars("0-9a-f")
FORMATS: Mapping[str, Node] = {
    "date": _DATE,
    "time": _CLOCK,
    "date-time": Seq((_DATE, "T", _CLOCK, "Z")),
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


def literal_text(text: str) -> str:
    """Write text as a plan has it, in quotes."""
    return json.dumps(text, ensure_ascii=False)


def constant(value: JSON) -> Node:
    """Write a value as a plan has it."""
    match value:
        case str():
            return literal_text(value.replace("$", "$$"))
        case list():
            return "[" + ", ".join(str(constant(each)) for each in value) + "]"
        case dict():
            return "{" + ", ".join(f"{literal_text(k)}: {constant(v)}" for k, v in value.items()) + "}"
        case _:
            return repr(value)


def figure(option: Mapping[str, JSON], *, whole: bool) -> Node:
    """The numbers a schema allows."""

    def bound(name: str) -> float | None:
        value = option.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    least, most = bound("minimum"), bound("maximum")
    above, below = bound("exclusiveMinimum"), bound("exclusiveMaximum")
    if least is None and most is None and above is None and below is None:
        return INTEGER if whole else NUMBER
    floor = max(
        [-(10**12) + 1]
        + [math.ceil(v) for v in [least] if v is not None]
        + [math.floor(v) + 1 for v in [above] if v is not None]
    )
    ceiling = min(
        [10**12 - 1]
        + [math.floor(v) for v in [most] if v is not None]
        + [math.ceil(v) - 1 for v in [below] if v is not None]
    )
    found = [*_integers(floor, ceiling)]
    if not whole:
        # strictly between two integers that are both allowed, or were, had they not been excluded
        low = max(0, math.ceil(max((v for v in (least, above) if v is not None), default=0)))
        high = math.floor(min((v for v in (most, below) if v is not None), default=10**12)) - 1
        between = Seq((".", Repeat(_D, 0, 8), Chars("1-9")))
        found += [Seq((each, between)) for each in _integers(low, high)]
    return Alt(tuple(found) or (repr(least if least is not None else most),))


def _integers(least: int, most: int) -> list[Node]:
    """The integers of a range, in decimal."""
    found: list[Node] = []
    if least < 0:
        found += [Seq(("-", each)) for each in _integers(max(1, -most), -least)]
        least = 0
    while least <= most:
        length = len(str(least))
        end = min(most, 10**length - 1)
        found.append(_same_length(str(least), str(end)))
        least = end + 1
    return found


def _same_length(low: str, high: str) -> Node:
    if not low:
        return ""
    if low == "0" * len(low) and high == "9" * len(high):
        return Repeat(_D, len(low), len(low))
    if low[0] == high[0]:
        return Seq((low[0], _same_length(low[1:], high[1:])))
    found: list[Node] = []
    start, stop = int(low[0]), int(high[0])
    if low[1:] != "0" * (len(low) - 1):
        found.append(Seq((low[0], _same_length(low[1:], "9" * (len(low) - 1)))))
        start += 1
    if high[1:] != "9" * (len(high) - 1):
        found.append(Seq((high[0], _same_length("0" * (len(high) - 1), high[1:]))))
        stop -= 1
    if start <= stop:
        found.append(
            Seq(
                (Chars(f"{start}-{stop}"), Repeat(_D, len(low) - 1, len(low) - 1))
                if len(low) > 1
                else (Chars(f"{start}-{stop}"),)
            )
        )
    return Alt(tuple(found))
