"""The table of the deterministic tier: a row per figure, with what it was measured on and is to be held against.

>>> print(table([Row("AsyncHow", "gold", 799, "time / optimum, mean", 1.0, 1.0, "optimum")]))
| benchmark | basis | n | measure | ours | reference |
|---|---|---|---|---|---|
| AsyncHow | gold | 799 | time / optimum, mean | 1.000 | 1.000 (optimum) |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ("Basis", "Row", "table")

Basis: TypeAlias = Literal["gold", "recorded", "rules", "modelled"]
"""What stands in the model's place: gold plans, a recorded run, fixed rules, or replies that only take their time."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    benchmark: str
    """What was run."""
    basis: Basis
    """What stood in the model's place."""
    n: int
    """How many examples."""
    measure: str
    """What the figure is, with its unit."""
    ours: float
    """The figure."""
    reference: float | None = None
    """What it is to be held against; `None` if nothing."""
    reference_is: str = ""
    """What the reference is: a goal, an optimum, the paper's figure."""
    note: str = ""
    """What was assumed."""


def table(rows: Iterable[Row]) -> str:
    """Write rows as a Markdown table, and their notes below it."""
    lines = ["| benchmark | basis | n | measure | ours | reference |", "|---|---|---|---|---|---|"]
    notes: dict[str, None] = {}
    for row in rows:
        reference = "" if row.reference is None else f"{_written(row.reference)} ({row.reference_is})"
        cells = (row.benchmark, row.basis, f"{row.n:,}", row.measure, _written(row.ours), reference)
        lines.append(f"| {' | '.join(cells)} |")
        if row.note:
            notes[f"- {row.benchmark}: {row.note}"] = None
    return "\n".join([*lines, *([""] if notes else []), *notes])


def _written(figure: float) -> str:
    return (
        f"{int(figure):,}"
        if isinstance(figure, int) or abs(figure) >= 1000
        else f"{figure:.{3 if figure < 10 else 1}f}"
    )
