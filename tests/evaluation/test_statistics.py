import random
from math import comb

import pytest

from llmcompiler_graph.evaluation.statistics import interval, mcnemar, paired_difference, paired_ratio


def test_an_interval_holds_its_mean_and_shrinks_with_more_values() -> None:
    """An interval holds its mean, and four times the values about halve its width."""
    few = interval([0, 1] * 20)
    many = interval([0, 1] * 80)
    assert few.low < few.mean == 0.5 < few.high
    assert many.high - many.low == pytest.approx((few.high - few.low) / 2, rel=0.2)


@pytest.mark.parametrize(("value", "count"), [(0.1, 10), (0.4, 57), (1.1, 113), (3.5, 20), (7.3, 50)])
def test_an_interval_holds_its_mean_to_the_last_bit(value: float, count: int) -> None:
    """Equal values too, whose sums differ by the order they are added in."""
    given = interval([value] * count)
    assert given.low <= given.mean <= given.high


def test_mcnemar_of_a_thousand_discordant_pairs() -> None:
    """With a thousand pairs more one way than the other, chance is next to nothing, and no error."""
    assert 0 < mcnemar([1.0] * 1060 + [0.0] * 40, [0.0] * 1060 + [1.0] * 40) < 1e-200


def test_an_interval_of_fair_coins_is_that_of_the_normal_distribution() -> None:
    """100 throws: 0.5 give or take 0.098, as the textbook says."""
    given = interval([0, 1] * 50)
    assert given.low == pytest.approx(0.402, abs=0.015)
    assert given.high == pytest.approx(0.598, abs=0.015)


def test_equal_values_have_no_spread_and_no_values_no_mean() -> None:
    """The interval of a constant is that constant; of nothing there is none."""
    assert interval([3.0] * 5) == (3, 3, 3)
    with pytest.raises(ValueError, match="no mean of no values"):
        interval([])


def test_intervals_are_the_same_each_time() -> None:
    """A report does not change by itself, and other random numbers do not change it."""
    values = [random.random() for _ in range(30)]
    assert interval(values) == interval(values)


def test_pairs_take_out_what_the_examples_have_in_common() -> None:
    """Times that differ widely by example, and always by one between the systems: the difference is exact."""
    slow = [1.0, 10.0, 100.0, 1000.0]
    assert paired_difference([each + 1 for each in slow], slow) == (1, 1, 1)
    assert paired_ratio([each * 2 for each in slow], slow) == (2, 2, 2)


def test_a_ratio_to_nothing_is_none() -> None:
    """No tokens on the other side: there is no ratio; different lengths are an error."""
    assert paired_ratio([1, 2], [0, 0]) is None
    with pytest.raises(ValueError, match="2 and 1"):
        paired_ratio([1, 2], [1])


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (5, 0), (9, 2), (3, 3), (1, 20)])
def test_mcnemar_is_the_exact_binomial_test_of_the_discordant_pairs(only_first: int, only_second: int) -> None:
    """Examples on which both agree count for nothing."""
    first = [1.0] * only_first + [0.0] * only_second + [1.0] * 10 + [0.0] * 10
    second = [0.0] * only_first + [1.0] * only_second + [1.0] * 10 + [0.0] * 10
    n, k = only_first + only_second, min(only_first, only_second)
    expected = min(1.0, sum(comb(n, i) for i in range(k + 1)) * 2 / 2**n)
    assert mcnemar(first, second) == pytest.approx(expected)
    assert mcnemar(second, first) == mcnemar(first, second)
