"""A plan as a Mermaid flowchart: a box per task, an arrow per dependency.

>>> print(flowchart([Box(1, ["search"], False), Box(2, ["note", "when $1"], True)], [Arrow(1, 2, Kind.CONDITION)]))
graph TD
  t1["1. search"]
  t2[["2. note<br/>when $1"]]
  t1 -- if --> t2

May know: nothing of the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = ("Arrow", "Box", "Kind", "flowchart")


@dataclass(frozen=True, slots=True)
class Box:
    """A task."""

    index: int
    """Its index."""
    lines: Sequence[str]
    """What is written on it, after the index."""
    fans_out: bool
    """Whether it makes one call per element: it is drawn with a double border."""


class Kind(Enum):
    """What a task waits for another for, as its arrow."""

    DATA = "-->"
    """It takes data."""
    CONDITION = "-- if -->"
    """Only its guard or its repetition does."""
    ORDER = "-.->"
    """It takes none."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """A dependency."""

    source: int
    """The task that is waited for."""
    target: int
    """The task that waits."""
    kind: Kind
    """What for."""


def flowchart(boxes: Iterable[Box], arrows: Iterable[Arrow]) -> str:
    """Write the chart."""
    lines = ["graph TD"]
    for box in boxes:
        text = f'"{box.index}. {"<br/>".join(map(_escaped, box.lines))}"'
        lines.append(f"  t{box.index}[[{text}]]" if box.fans_out else f"  t{box.index}[{text}]")
    lines += [f"  t{each.source} {each.kind.value} t{each.target}" for each in arrows]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Write a text so that Mermaid shows it as it is: it knows HTML's character references, with `#` for `&`."""
    return "".join(char if char.isalnum() or char in " .,_()=$+-*/:" else f"#{ord(char)};" for char in text)
