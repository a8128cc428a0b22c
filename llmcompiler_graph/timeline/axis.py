"""Where the marks of a time axis stand."""

from __future__ import annotations

__all__ = ("ticks",)

_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_MOST = 10


def ticks(span: float) -> list[tuple[float, str]]:
    """Choose at most ten marks for an axis of so many seconds: where, and what is written there.

    >>> ticks(2.1)
    [(0.0, '0'), (0.5, '0.5'), (1.0, '1'), (1.5, '1.5'), (2.0, '2')]
    """
    step = next((step for step in _STEPS if span / step <= _MOST), span / _MOST)
    return [(n * step, f"{n * step:g}") for n in range(int(span / step + 1e-9) + 1)]
