"""Exact numbers of bounded size: what `arithmetic` computes with.

A number is a `Fraction` as long as it stays within `MAX_DIGITS` digits. What has no finite fraction (`PI`, `E`, most
roots) or too long a one (`1.001 ** 9999`) is rounded to `PRECISION` significant digits. What is too large is refused
before it is computed: the size of a power is estimated from logarithms.

>>> power(Fraction(27, 8), Fraction(1, 3))
Fraction(3, 2)
>>> float(power(Fraction(2), Fraction(1, 2)))
1.4142135623730951
"""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

MAX_DIGITS = 1_000
"""Decimal digits a number may have before or after the point."""
PRECISION = 60
"""Significant digits of what cannot be exact."""

PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494")
E = Fraction("2.71828182845904523536028747135266249775724709369995957496697")

_HUGE_EXPONENT = 10**15
"""Beyond it even the logarithm of a power says nothing."""


class CalculationError(ValueError):
    """An expression without a value; the message says what is wrong with it and what would be right."""


def bounded(number: Fraction) -> Fraction:
    """Return a number of bounded size: itself, or rounded if only its fraction is too long.

    Raises:
        CalculationError: if it is too large or too close to 0.
    """
    _check_magnitude(_magnitude(number))
    if max(_digits(number.numerator), _digits(number.denominator)) <= MAX_DIGITS:
        return number
    with localcontext(prec=PRECISION):
        return Fraction(_decimal(number))


def power(base: Fraction, exponent: Fraction) -> Fraction:
    """Raise to a power: exactly where the result is a fraction of bounded size, else rounded.

    Raises:
        CalculationError: if the result is not real, too large or too close to 0.
        ZeroDivisionError: for 0 to a negative power.
    """
    if base < 0 and exponent.denominator != 1:
        raise CalculationError("a root of a negative number is not real")
    if base == 0 and exponent < 0:
        raise ZeroDivisionError
    if exponent == 0:
        return Fraction(1)
    if abs(base) in {0, 1}:
        return abs(base) if exponent.numerator % 2 == 0 else base
    if abs(exponent) > _HUGE_EXPONENT:
        _check_magnitude(math.inf if (abs(base) > 1) == (exponent > 0) else -math.inf)
    _check_magnitude(_magnitude(base) * float(exponent))
    root = _exact_root(abs(base), exponent.denominator)
    digits = max(_digits(base.numerator), _digits(base.denominator)) * abs(exponent)
    if root is not None and digits <= MAX_DIGITS:
        return (root if base > 0 else -root) ** exponent.numerator
    with localcontext(prec=PRECISION):
        return Fraction(_decimal(base) ** _decimal(exponent))


def _exact_root(number: Fraction, degree: int) -> Fraction | None:
    """Take a root of a positive number if it is a fraction."""
    if degree == 1:
        return number
    parts = []
    for part in (number.numerator, number.denominator):
        with localcontext(prec=int(_digits(part) / degree) + 10):
            root = math.isqrt(part) if degree == 2 else round(Decimal(part) ** (Decimal(1) / degree))
        if root == 1 != part or root**degree != part:
            return None
        parts.append(root)
    return Fraction(*parts)


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / number.denominator


def _digits(integer: int) -> float:
    return math.log10(abs(integer)) if integer else 0


def _magnitude(number: Fraction) -> float:
    """Estimate the decimal logarithm; 0 counts as 1."""
    return _digits(number.numerator) - _digits(number.denominator)


def _check_magnitude(magnitude: float) -> None:
    if abs(magnitude) > MAX_DIGITS:
        size = "large" if magnitude > 0 else "close to 0"
        raise CalculationError(f"a number gets too {size}: the limit is {MAX_DIGITS} digits")
