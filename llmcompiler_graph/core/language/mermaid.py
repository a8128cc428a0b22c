"""A plan as a Mermaid flowchart: a box per task, an arrow per dependency.

>>> print(flowchart([Box(1, "search", False), Box(2, "note", True)], [Arrow(1, 2, ordered=False)]))
graph TD
  t1["1. search"]
  t2[["2. note"]]
  t1 --> t2

May know: nothing of the package.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ("Arrow", "Box", "flowchart")


@dataclass(frozen=True, slots=True)
class Box:
    """A task."""

    index: int
    """Its index."""
    text: str
    """What is written on it, after the index."""
    fans_out: bool
    """Whether it makes one call per element: it is drawn with a double border."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """A dependency."""

    source: int
    """The task that is waited for."""
    target: int
    """The task that waits."""
    ordered: bool
    """Whether it only waits, without taking data: the arrow is dotted."""


def flowchart(boxes: Iterable[Box], arrows: Iterable[Arrow]) -> str:
    """Write the chart."""
    lines = ["graph TD"]
    for box in boxes:
        text = f'"{_escaped(f"{box.index}. {box.text}")}"'
        lines.append(f"  t{box.index}[[{text}]]" if box.fans_out else f"  t{box.index}[{text}]")
    lines += [f"  t{each.source} {'-.->' if each.ordered else '-->'} t{each.target}" for each in arrows]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Write a text so that Mermaid shows it as it is: it knows HTML's character references, with `#` for `&`."""
    return "".join(char if char.isalnum() or char in " .,_()=$+-*/:" else f"#{ord(char)};" for char in text)
