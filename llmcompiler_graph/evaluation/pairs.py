"""Two systems over the examples that both answered: how often they are right, how long they take, how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import NamedTuple

from llmcompiler_graph.evaluation.records import Record
from llmcompiler_graph.evaluation.statistics import Interval, mcnemar, paired_difference, paired_ratio

__all__ = ("RIGHT", "Averages", "Comparison", "compare", "latency", "per_example")

RIGHT = 0.5
"""Which share of the runs of a question must be right, at least, for it to count as right."""


class Averages(NamedTuple):
    """Means and medians of a system and of the baseline, over the same examples."""

    examples: int
    """How many these are."""
    mean_s: tuple[float, float]
    """Seconds from question to answer."""
    median_s: tuple[float, float]
    """The same, the median."""
    mean_tokens: tuple[float, float] | None
    """Tokens, prompt and written; `None` if some calls were not metered."""
    median_tokens: tuple[float, float] | None
    """The same, the median."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A system against the baseline, over the examples that both answered."""

    system: str
    """The system."""
    baseline: str
    """What it is compared with."""
    shares: tuple[float, float]
    """The shares of right answers by the paper's metric, of the system and of the baseline."""
    correct: Interval
    """Their difference; above 0 the system is better."""
    mcnemar: float | None
    """How likely chance alone makes such a difference (exact, two-sided); `None` for scores between wrong and right."""
    shares_lenient: tuple[float, float]
    """The shares by the forgiving metric."""
    lenient: Interval
    """Their difference."""
    mcnemar_lenient: float | None
    """The same test by the forgiving metric."""
    speedup: Interval | None
    """The baseline's mean latency over the system's; above 1 the system is faster."""
    tokens: Interval | None
    """The baseline's tokens (prompt and written) over the system's; above 1 the system needs fewer."""
    averages: Averages
    """Means and medians over all of these examples."""
    within_limits: Averages | None
    """Those over the examples that both answered within their limits; `None` if there are none.

    A system that loops until it is stopped has a mean of its limit rather than of its speed.
    """


def latency(record: Record) -> float:
    """Seconds from question to answer: virtual where the clock was, else real."""
    return record.wall_s if record.virtual_s is None else record.virtual_s


def per_example(records: Iterable[Record], figure: Callable[[Record], float]) -> dict[str, float]:
    """A figure by example: the mean over its runs."""
    values: dict[str, list[float]] = {}
    for record in records:
        values.setdefault(record.id, []).append(figure(record))
    return {example: fmean(each) for example, each in values.items()}


def compare(system: str, records: Sequence[Record], baseline: str, others: Sequence[Record]) -> Comparison | None:
    """Compare two systems; `None` if no example is common to both.

    Args:
        system: The name of the first.
        records: Its records.
        baseline: The name of the second.
        others: Its records.
    """
    examples = {record.id for record in records} & {record.id for record in others}
    if not examples:
        return None
    stopped = {record.id for record in (*records, *others) if not record.within_limits}
    paired = _Paired(records, others)
    right, lenient = (
        paired.values(examples, figure) for figure in (lambda each: each.correct, lambda each: each.lenient)
    )
    times = paired.values(examples, latency)
    tokens = paired.values(examples, _tokens) if paired.is_metered else None
    return Comparison(
        system=system,
        baseline=baseline,
        shares=(fmean(right[0]), fmean(right[1])),
        correct=paired_difference(*right),
        mcnemar=paired.mcnemar(right, lambda record: record.correct),
        shares_lenient=(fmean(lenient[0]), fmean(lenient[1])),
        lenient=paired_difference(*lenient),
        mcnemar_lenient=paired.mcnemar(lenient, lambda record: record.lenient),
        speedup=paired_ratio(times[1], times[0]),
        tokens=None if tokens is None else paired_ratio(tokens[1], tokens[0]),
        averages=paired.averages(examples),
        within_limits=paired.averages(examples - stopped) if examples - stopped else None,
    )


def _tokens(record: Record) -> float:
    return record.tokens_in + record.tokens_out


_Both = tuple[list[float], list[float]]
"""A figure of the same examples, of the system and of the baseline."""


class _Paired(NamedTuple):
    """The records of two systems."""

    records: Sequence[Record]
    others: Sequence[Record]

    @property
    def is_metered(self) -> bool:
        return not any(record.unmetered_calls for record in (*self.records, *self.others))

    def values(self, examples: set[str], figure: Callable[[Record], float]) -> _Both:
        mine, theirs = per_example(self.records, figure), per_example(self.others, figure)
        common = [example for example in mine if example in examples]
        return [mine[each] for each in common], [theirs[each] for each in common]

    def mcnemar(self, values: _Both, score: Callable[[Record], float]) -> float | None:
        if any(score(record) not in {0, 1} for record in (*self.records, *self.others)):
            return None
        return mcnemar(*([value >= RIGHT for value in side] for side in values))

    def averages(self, examples: set[str]) -> Averages:
        times, tokens = self.values(examples, latency), self.values(examples, _tokens)

        def both(of: Callable[[list[float]], float], values: _Both) -> tuple[float, float]:
            return of(values[0]), of(values[1])

        return Averages(
            examples=len(examples),
            mean_s=both(fmean, times),
            median_s=both(median, times),
            mean_tokens=both(fmean, tokens) if self.is_metered else None,
            median_tokens=both(median, tokens) if self.is_metered else None,
        )
