"""Compares two files of records, question by question: before and after a change, two models, or two systems.

    $ python -m llmcompiler_graph.evaluation compare runs/before.jsonl runs/after.jsonl

Only questions that both files have count. The tables are those of `report`, with the files' names as the systems'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from llmcompiler_graph import ConfigurationError
from llmcompiler_graph.evaluation import report
from llmcompiler_graph.evaluation.pairs import RIGHT, per_example
from llmcompiler_graph.evaluation.records import Record, Setting

__all__ = ("Compared", "compare", "markdown")

_LISTED = 50  # questions, in the list of those that changed


class Compared(NamedTuple):
    """Two files of records, as far as they are of the same questions."""

    names: tuple[str, str]
    """What the files are called."""
    systems: tuple[str, str]
    """Which system and model each is of."""
    records: list[Record]
    """Those of both, with the files' names as the systems'."""
    tables: list[report.Table]
    """One for each tier and benchmark."""


def compare(first: Path, second: Path) -> Compared:
    """Read two files of records.

    Raises:
        ValueError: A line is not a record.
        ConfigurationError: A file has records of several systems, or the two have no question in common.
    """
    sides = [report.read_all([path]) for path in (first, second)]
    before, after = _names(first, second)
    systems = _system(first, sides[0]), _system(second, sides[1])
    keys = [{_question(record) for record in side} for side in sides]
    records = [
        replace(record, system=name, model=_either(systems[0][1], systems[1][1]), seed=None, temperature=None)
        for name, side in zip((before, after), sides, strict=True)
        for record in side
        if _question(record) in keys[0] & keys[1]
    ]
    if not records:
        msg = f"{str(first)!r} and {str(second)!r} have no question in common"
        raise ConfigurationError(msg)
    described = [f"{system}, {model}" for system, model in systems]
    return Compared((before, after), (described[0], described[1]), records, report.tables(records, before))


def markdown(compared: Compared) -> str:
    """Write the comparison as Markdown."""
    before, after = compared.names
    sides = "\n".join(f"- `{name}`: {of}" for name, of in zip(compared.names, compared.systems, strict=True))
    parts = [
        report.markdown(compared.tables).replace("# Evaluation report", f"# `{after}` against `{before}`\n\n{sides}", 1)
    ]
    parts += [_changes(table.setting, compared) for table in compared.tables]
    return "\n".join(filter(None, parts))


def _changes(of: Setting, compared: Compared) -> str:
    """Which questions were answered right by one of both alone."""
    before, after = (_right(compared.records, of, name) for name in compared.names)
    turned_right = sorted((each for each in before if after[each] and not before[each]), key=_natural)
    turned_wrong = sorted((each for each in before if before[each] and not after[each]), key=_natural)
    both = sum(before[each] and after[each] for each in before)
    neither = len(before) - both - len(turned_right) - len(turned_wrong)
    return (
        f"## {of.heading}: which questions\n\n"
        f"| | questions | which |\n| --- | --- | --- |\n"
        f"| right in both | {both} | |\n"
        f"| right in `{compared.names[1]}` alone | {len(turned_right)} | {_listed(turned_right)} |\n"
        f"| right in `{compared.names[0]}` alone | {len(turned_wrong)} | {_listed(turned_wrong)} |\n"
        f"| right in neither | {neither} | |\n"
    )


def _right(records: Sequence[Record], of: Setting, name: str) -> dict[str, bool]:
    own = [record for record in records if record.setting == of and record.system == name]
    scores = per_example(own, lambda record: record.correct)
    return {example: score >= RIGHT for example, score in scores.items()}


def _listed(examples: Sequence[str]) -> str:
    return ", ".join(examples[:_LISTED]) + ", …" * (len(examples) > _LISTED)


def _natural(example: str) -> tuple[int, str]:
    """Sorts `9` before `10`."""
    return len(example), example


def _names(first: Path, second: Path) -> tuple[str, str]:
    """The files' names, with those of their folders where they are the same."""
    if first.stem != second.stem:
        return first.stem, second.stem
    names = f"{first.parent.name}/{first.stem}", f"{second.parent.name}/{second.stem}"
    return names if names[0] != names[1] else (f"{names[0]} (A)", f"{names[1]} (B)")


def _system(path: Path, records: Sequence[Record]) -> tuple[str, str]:
    """The system and model that a file is of."""
    found = sorted({(record.system, record.model) for record in records})
    if len(found) != 1:
        named = "; ".join(f"{system}, {model}" for system, model in found) or "none"
        msg = f"{str(path)!r} must have records of one system and model to be compared, not of {named}"
        raise ConfigurationError(msg)
    return found[0]


def _question(record: Record) -> tuple[str, str, bool, str]:
    return record.tier, record.benchmark, record.plan_only, record.id


def _either(first: str, second: str) -> str:
    return first if first == second else f"{first} / {second}"
