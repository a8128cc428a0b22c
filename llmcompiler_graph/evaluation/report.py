"""Turns records into a report: Markdown and JSON, one table for each tier, benchmark, model, temperature and seed.

Tiers are never mixed: a table says which it is of, and its latencies are virtual seconds in the recorded tier,
wall-clock seconds in the live one. Every mean has its 95 % bootstrap interval; systems are compared with the baseline
over the examples that both have answered. An example that was asked several times counts once, as the mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from llmcompiler_graph import ConfigurationError
from llmcompiler_graph.evaluation.pairs import Averages, Comparison, compare, latency, per_example
from llmcompiler_graph.evaluation.records import Record, Setting
from llmcompiler_graph.evaluation.runner import read_records
from llmcompiler_graph.evaluation.statistics import Interval, interval
from llmcompiler_graph.models.lazy import is_local

__all__ = ("Row", "Table", "markdown", "read_all", "tables", "write")

_BASELINES = ("react_dagger", "react", "tree_of_thoughts")  # the paper's, in this order


@dataclass(frozen=True, slots=True)
class Row:
    """One system of a table."""

    system: str
    """Its name."""
    examples: int
    """How many it answered."""
    runs: int
    """How often each was asked, at most."""
    correct: Interval
    """The share of right answers by the paper's metric; of right plans, where there are only plans."""
    lenient: Interval
    """The same by the forgiving metric."""
    latency_s: Interval
    """Seconds from question to answer."""
    tokens_in: Interval | None
    """Prompt tokens per example; `None` if some calls were not metered."""
    tokens_out: Interval | None
    """Tokens written per example; `None` if some calls were not metered."""
    tokens_cached: float | None
    """Prompt tokens per example that came from a cache."""
    model_calls: float
    """Calls of the model per example."""
    usd_per_1000: float | None
    """US dollars per 1,000 examples; `None` if the model has no price."""
    tasks: float
    """Tool calls per example."""
    width: float
    """As in `Record`, the mean, and so on."""
    depth: float
    replans: float
    failed: int
    """Examples in which something went wrong."""
    parsed: float | None
    """The share of first plans that could be used whole; `None` for systems without plans."""
    references_right: float | None
    """The share of plans of the right structure, of those where it is known."""


@dataclass(frozen=True, slots=True)
class Table:
    """What can be compared."""

    setting: Setting
    """What the records have in common."""
    rows: tuple[Row, ...]
    """The systems."""
    comparisons: tuple[Comparison, ...]
    """Each but the baseline against it; empty if there is no baseline."""
    held: tuple[Comparison, ...]
    """Each system whose replies are held to a grammar against itself with free replies, where there are both."""
    prices: tuple[str, ...]
    """When and by whom the prices were said that costs are by."""


def read_all(paths: Iterable[Path]) -> list[Record]:
    """Read records from files; of several with one key, the last counts.

    Raises:
        ValueError: A line is not a record.
    """
    return list({record.key: record for path in paths for record in read_records(path)}.values())


def tables(records: Iterable[Record], baseline: str | None = None) -> list[Table]:
    """Summarise records.

    Args:
        records: In any order.
        baseline: The name of the system to compare with; the paper's, if not given and there.

    Raises:
        ConfigurationError: No record is of the baseline that is given.
    """
    groups: dict[Setting, dict[str, list[Record]]] = {}
    for record in records:
        groups.setdefault(record.setting, {}).setdefault(record.system, []).append(record)
    systems = sorted({system for group in groups.values() for system in group})
    if baseline is not None and baseline not in systems:
        msg = f"no record is of {baseline!r}: the systems are {', '.join(systems) or 'none'}"
        raise ConfigurationError(msg)
    in_order = sorted(groups, key=lambda setting: [(value is not None, value or 0) for value in setting])
    return [_table(setting, groups[setting], baseline) for setting in in_order]


def _table(setting: Setting, systems: Mapping[str, Sequence[Record]], baseline: str | None) -> Table:
    rows = tuple(_row(system, records) for system, records in sorted(systems.items()))
    base = next((name for name in ((baseline,) if baseline else _BASELINES) if name in systems), None)
    others = [] if base is None else [(name, base) for name in sorted(systems) if name != base]

    def compared(pairs: Iterable[tuple[str, str]]) -> tuple[Comparison, ...]:
        made = (compare(name, systems[name], other, systems[other]) for name, other in pairs)
        return tuple(each for each in made if each is not None)

    prices = sorted({record.price for records in systems.values() for record in records if record.price})
    return Table(setting, rows, compared(others), compared(_held(systems, setting)), tuple(prices))


_CONSTRAIN = re.compile(r",?\bconstrain=(?P<value>true|null)(?=[,\]])")


def _held(systems: Iterable[str], setting: Setting) -> Iterator[tuple[str, str]]:
    """The names of systems that are held to a grammar, each with that of the same system with free replies.

    LLMCompiler holds the embedded model by default, and has free replies with `constrain=null`.
    """
    names = set(systems)
    for name in sorted(names):
        if match := _CONSTRAIN.search(name):
            rest = name.replace(match[0], "", 1).replace("[,", "[").replace("[]", "")
            if rest in names and (match["value"] == "true" or is_local(setting.model)):
                yield (name, rest) if match["value"] == "true" else (rest, name)


def _row(system: str, records: Sequence[Record]) -> Row:
    def mean(figure: Callable[[Record], float]) -> Interval:
        return interval(list(per_example(records, figure).values()))

    metered = not any(record.unmetered_calls for record in records)
    costs = [record.cost_usd for record in records if record.cost_usd is not None]
    parsed = [record.parsed for record in records if record.parsed is not None]
    right = [record.references_right for record in records if record.references_right is not None]
    examples = len({record.id for record in records})
    return Row(
        system=system,
        examples=examples,
        runs=1 + max(record.repeat for record in records),
        correct=mean(lambda record: record.correct),
        lenient=mean(lambda record: record.lenient),
        latency_s=mean(latency),
        tokens_in=mean(lambda record: record.tokens_in) if metered else None,
        tokens_out=mean(lambda record: record.tokens_out) if metered else None,
        tokens_cached=fmean(record.tokens_cached for record in records) if metered else None,
        model_calls=fmean(record.model_calls for record in records),
        usd_per_1000=1000 * fmean(costs) if metered and len(costs) == len(records) else None,
        tasks=fmean(record.tasks for record in records),
        width=fmean(record.width for record in records),
        depth=fmean(record.depth for record in records),
        replans=fmean(record.replans for record in records),
        failed=len({record.id for record in records if record.errors}),
        parsed=fmean(parsed) if parsed else None,
        references_right=fmean(right) if right else None,
    )


def markdown(made: Iterable[Table]) -> str:
    """Write tables as Markdown."""
    parts = ["# Evaluation report"]
    for table in made:
        of = table.setting
        parts.append(f"## {of.heading}")
        parts.append(
            f"Tier: **{of.tier}**. Model: {', '.join([f'`{of.model}`', *of.asked_with])}. Latency in {of.clock}. "
            "Intervals: 95 %, bootstrap over examples."
        )
        parts.append(_grid(_PLAN_COLUMNS if of.plan_only else _COLUMNS, table.rows))
        if table.prices and not of.plan_only:
            parts.append(f"Prices: {'; '.join(table.prices)}.")
        if table.comparisons:
            base = table.comparisons[0].baseline
            parts.append(f"Against `{base}`, over the examples that both answered (system / `{base}`):")
            parts.append(_grid(_COMPARED, table.comparisons))
            parts.append(
                "Their seconds and tokens, over all of these examples and over those that both answered within their "
                "limits (a system that loops until it is stopped has a mean of its limit rather than of its speed):"
            )
            parts.append(_grid(_SPENT, table.comparisons))
        if table.held:
            parts.append(
                "What a grammar changes: held to one / with free replies, over the examples that both answered:"
            )
            parts.append(_grid({**_COMPARED, **_RATIOS}, table.held))
    return "\n\n".join(parts) + "\n"


def _percent(given: Interval) -> str:
    return f"{100 * given.mean:.1f} [{100 * given.low:.1f}, {100 * given.high:.1f}]"


def _seconds(given: Interval) -> str:
    return f"{given.mean:.2f} [{given.low:.2f}, {given.high:.2f}]"


def _times(given: Interval | None) -> str:
    return "—" if given is None else f"{given.mean:.2f}x [{given.low:.2f}, {given.high:.2f}]"


def _both(given: tuple[float, float] | None, form: str, times: float = 1) -> str:
    return "—" if given is None else f"{times * given[0]:{form}} / {times * given[1]:{form}}"


def _share(given: float | None) -> str:
    return "—" if given is None else f"{100 * given:.1f}"


def _chance(given: float | None) -> str:
    return "—" if given is None else "< 0.001" if given < 0.001 else f"{given:.3f}"


def _tokens(row: Row) -> str:
    if row.tokens_in is None or row.tokens_out is None:
        return "—"
    return f"{row.tokens_in.mean:.0f} / {row.tokens_out.mean:.0f} / {row.tokens_cached:.0f}"


_COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "system": lambda row: f"`{row.system}`",
    "examples": lambda row: f"{row.examples}" + (f" x {row.runs}" if row.runs > 1 else ""),
    "right, paper's metric, %": lambda row: _percent(row.correct),
    "right, lenient, %": lambda row: _percent(row.lenient),
    "latency": lambda row: _seconds(row.latency_s),
    "tokens in / out / cached": _tokens,
    "$ per 1,000": lambda row: "—" if row.usd_per_1000 is None else f"{row.usd_per_1000:.2f}",
    "model calls": lambda row: f"{row.model_calls:.1f}",
    "tool calls": lambda row: f"{row.tasks:.1f}",
    "width": lambda row: f"{row.width:.1f}",
    "depth": lambda row: f"{row.depth:.1f}",
    "replans": lambda row: f"{row.replans:.2f}",
    "with errors": lambda row: f"{row.failed}",
    "plans parsed, %": lambda row: _share(row.parsed),
    "plans right, %": lambda row: _share(row.references_right),
}
_PLAN_COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "system": lambda row: f"`{row.system}`",
    "plans": lambda row: f"{row.examples}",
    "parsed, %": lambda row: _share(row.parsed),
    "structure right, %": lambda row: _percent(row.correct),
    "latency": lambda row: _seconds(row.latency_s),
    "tokens in / out / cached": _tokens,
    "tasks": lambda row: f"{row.tasks:.1f}",
    "width": lambda row: f"{row.width:.1f}",
    "depth": lambda row: f"{row.depth:.1f}",
}
_COMPARED: Mapping[str, Callable[[Comparison], str]] = {
    "system": lambda each: f"`{each.system}`",
    "examples": lambda each: f"{each.averages.examples}",
    "right, paper's metric, %": lambda each: _both(each.shares, ".1f", 100),
    "difference, points": lambda each: _percent(each.correct),
    "McNemar p": lambda each: _chance(each.mcnemar),
    "right, lenient, %": lambda each: _both(each.shares_lenient, ".1f", 100),
    "lenient: difference, points": lambda each: _percent(each.lenient),
    "lenient: McNemar p": lambda each: _chance(each.mcnemar_lenient),
}
_RATIOS: Mapping[str, Callable[[Comparison], str]] = {
    "speedup": lambda each: _times(each.speedup),
    "tokens saved": lambda each: _times(each.tokens),
}
_SPENT: Mapping[str, Callable[[Comparison], str]] = {
    "system": lambda each: f"`{each.system}`",
    "mean s": lambda each: _both(each.averages.mean_s, ".1f"),
    "median s": lambda each: _both(each.averages.median_s, ".1f"),
    **_RATIOS,
    "median tokens": lambda each: _both(each.averages.median_tokens, ".0f"),
    "within limits": lambda each: f"{each.within_limits.examples if each.within_limits else 0}",
    "… mean s": lambda each: _both(each.within_limits and each.within_limits.mean_s, ".1f"),
    "… median s": lambda each: _both(each.within_limits and each.within_limits.median_s, ".1f"),
    "… mean tokens": lambda each: _both(each.within_limits and each.within_limits.mean_tokens, ".0f"),
    "… median tokens": lambda each: _both(each.within_limits and each.within_limits.median_tokens, ".0f"),
}


def _grid(columns: Mapping[str, Callable[[Any], str]], rows: Iterable[Row | Comparison]) -> str:
    lines = [list(columns), ["---"] * len(columns), *([write(row) for write in columns.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(made: Sequence[Table], directory: Path) -> None:
    """Write `report.md` and `report.json`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "report.md").write_text(markdown(made), encoding="utf-8")
    data = [_plain(asdict(table)) for table in made]
    (directory / "report.json").write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    match value:
        case Interval() | Setting() | Averages():
            return value._asdict()
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value
