"""Draws records: accuracy against latency, the spread of latencies, and one example's timeline under each system.

Each drawing is of one tier, benchmark and model, and says so; each is written as PNG and SVG.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmcompiler_graph.evaluation.pairs import latency
from llmcompiler_graph.evaluation.records import Record, Setting
from llmcompiler_graph.evaluation.report import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ("accuracy_against_latency", "draw_all", "latencies", "timelines")


def draw_all(made: Iterable[Table], records: Sequence[Record], directory: Path) -> list[Path]:
    """Draw everything there is to draw; return the PNG files."""
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for table in made:
        of = table.setting
        mine = [record for record in records if record.setting == of]
        drawn = {"accuracy": accuracy_against_latency(table), "latency": latencies(table, mine)}
        if (figure := timelines(table, mine)) is not None:
            drawn["timeline"] = figure
        parts = [of.tier, of.benchmark, of.model, *["plans"] * of.plan_only, *of.asked_with]
        name = re.sub(r"[^\w.-]+", "-", "-".join(parts))
        for what, figure in drawn.items():
            for form in ("png", "svg"):
                figure.savefig(directory / f"{name}-{what}.{form}", dpi=150, bbox_inches="tight")
            files.append(directory / f"{name}-{what}.png")
    return files


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # optional; and no global state of pyplot

    return Figure(figsize=(width, height), layout="constrained")


def _colours(systems: int) -> list[tuple[float, ...]]:
    """As many colours as there are systems, up to twenty."""
    from matplotlib import colormaps

    chosen = colormaps["tab10" if systems <= 10 else "tab20"]
    return [chosen(number % chosen.N) for number in range(max(systems, 1))]


def _title(of: Setting) -> str:
    return f"{of.heading} ({', '.join([of.tier, of.model, *of.asked_with])})"


def accuracy_against_latency(table: Table) -> Figure:
    """A point for each system, with both intervals: up is better, left is faster."""
    figure = _figure(9.5, 4.5)
    axes = figure.subplots()
    axes.set_prop_cycle(color=_colours(len(table.rows)))
    for row in table.rows:
        right, time = row.correct, row.latency_s
        axes.errorbar(
            [time.mean],
            [100 * right.mean],
            xerr=[[time.mean - time.low], [time.high - time.mean]],
            yerr=[[100 * (right.mean - right.low)], [100 * (right.high - right.mean)]],
            fmt="o",
            capsize=3,
            label=f"{row.system} (n={row.examples})",
        )
    judged = "structure right, %" if table.setting.plan_only else "right, paper's metric, %"
    axes.set(xlabel=f"latency, {table.setting.clock}", ylabel=judged, title=_title(table.setting), ylim=(-2, 102))
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))  # beside: it would hide points
    return figure


def latencies(table: Table, records: Sequence[Record]) -> Figure:
    """The share of examples answered within so many seconds, for each system."""
    figure = _figure(9.5, 4.5)
    axes = figure.subplots()
    axes.set_prop_cycle(color=_colours(len(table.rows)))
    for row in table.rows:
        times = sorted(latency(record) for record in records if record.system == row.system)
        axes.ecdf(times, label=row.system)
    axes.set(xlabel=f"latency, {table.setting.clock}", ylabel="share of examples answered", title=_title(table.setting))
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))  # beside: it would hide points
    return figure


def timelines(table: Table, records: Sequence[Record]) -> Figure | None:
    """When models and tools ran, for the first example that every system answered; `None` if there is none."""
    by_system: dict[str, dict[str, Record]] = {}
    for record in records:
        if record.timeline:
            by_system.setdefault(record.system, {}).setdefault(record.id, record)
    if not by_system:
        return None
    everyone = list(by_system.values())
    common = [example for example in everyone[0] if all(example in each for each in everyone)]
    if not common:
        return None
    shown = {system: by_system[system][common[0]] for system in sorted(by_system)}
    spans = sum(len(record.timeline) for record in shown.values())
    visible = 0.005 * max(_finish(span) for record in shown.values() for span in record.timeline)
    figure = _figure(9, 1.2 * len(shown) + 0.18 * spans)
    all_axes = figure.subplots(
        len(shown), 1, sharex=True, squeeze=False, height_ratios=[len(record.timeline) for record in shown.values()]
    )
    for axes, (system, record) in zip(all_axes[:, 0], shown.items(), strict=True):
        ordered = sorted(record.timeline, key=_start)
        for place, span in enumerate(ordered):
            colour = "tab:blue" if span.get("kind") == "model" else "tab:orange"
            axes.barh(place, max(_finish(span) - _start(span), visible), left=_start(span), color=colour)
        axes.set_yticks(range(len(ordered)), [str(span["name"]) for span in ordered], fontsize="x-small")
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_title(f"{system}: {latency(record):.2f} s", fontsize="small", loc="left")
        axes.grid(axis="x", alpha=0.3)
    all_axes[-1, 0].set_xlabel(f"{table.setting.clock} (blue: model, orange: tools)")
    figure.suptitle(f"{_title(table.setting)}, example {common[0]}")
    return figure


def _start(span: Mapping[str, object]) -> float:
    start = span["start"]
    return start if isinstance(start, int | float) else 0.0


def _finish(span: Mapping[str, object]) -> float:
    finish = span["finish"]
    return finish if isinstance(finish, int | float) else _start(span)
