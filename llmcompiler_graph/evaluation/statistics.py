"""What the records of a system say, with how sure that is: means with intervals, and paired tests of two systems.

Bootstrap intervals are percentiles over resampled examples, with a fixed seed, so a report is the same each time it is
made. Paired means that both systems answered the same examples: only those count.

>>> interval([1, 1, 1, 0]).mean
0.75
>>> mcnemar([1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0])
0.03125
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import NamedTuple

import numpy as np

__all__ = ("Interval", "interval", "mcnemar", "paired_difference", "paired_ratio")

_RESAMPLES = 5_000
_AT_ONCE = 100
_LEVEL = 0.95


class Interval(NamedTuple):
    """A figure and the interval that holds it with 95 % confidence."""

    mean: float
    """The figure itself."""
    low: float
    """The interval's lower end."""
    high: float
    """Its upper end."""


def interval(values: Sequence[float]) -> Interval:
    """The mean with its bootstrap interval.

    Raises:
        ValueError: There are no values.
    """
    return _bootstrap(values, [1.0] * len(values))


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Interval:
    """The mean of `first - second` over the same examples, with its interval.

    Raises:
        ValueError: They are not of one length, or empty.
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    return interval(differences)


def paired_ratio(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """The ratio of the means over the same examples, with its interval; `None` if the second mean is 0.

    Raises:
        ValueError: They are not of one length, or empty.
    """
    if len(first) != len(second):
        msg = f"paired values are as many on both sides, not {len(first)} and {len(second)}"
        raise ValueError(msg)
    if not any(second):
        return None
    return _bootstrap(first, second)


def mcnemar(first: Sequence[float], second: Sequence[float]) -> float:
    """McNemar's exact test: how likely two equally good systems differ so much or more, two-sided.

    Args:
        first: 1 where the first system was right, else 0.
        second: The same for the second, in the same order.

    Raises:
        ValueError: They are not of one length.
    """
    pairs = [(bool(a), bool(b)) for a, b in zip(first, second, strict=True)]
    only_first, only_second = pairs.count((True, False)), pairs.count((False, True))
    discordant = only_first + only_second
    tail: int = sum(comb(discordant, k) for k in range(min(only_first, only_second) + 1))
    both_tails: float = 2 * tail / 2**discordant  # of integers: floats end at 2**1024
    return min(1.0, both_tails)


def _bootstrap(above: Sequence[float], below: Sequence[float]) -> Interval:
    """The ratio of two means, resampled together."""
    if not above:
        msg = "there is no mean of no values"
        raise ValueError(msg)
    pairs = np.array([above, below], dtype=float)
    chance = np.random.default_rng(0)
    chosen = (chance.integers(len(above), size=(_AT_ONCE, len(above))) for _ in range(_RESAMPLES // _AT_ONCE))
    sums = np.concatenate([pairs[:, each].sum(axis=2) for each in chosen], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.nan_to_num(sums[0] / sums[1], nan=0.0, posinf=np.inf)
    low, high = np.quantile(ratios, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], method="nearest")
    mean = float(pairs[0].sum() / pairs[1].sum())
    return Interval(mean, min(float(low), mean), max(float(high), mean))  # sums of equal values differ by their order
