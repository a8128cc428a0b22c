"""Checks what callers give: an error names the argument, and says what it takes and what it was given.

May know: `errors`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from llmcompiler_graph.core.errors import ConfigurationError

__all__ = ("check_count", "check_names", "refused", "seconds")

_LISTED = 20  # names; more would hide what is wrong


def refused(what: str, takes: str, given: object) -> ConfigurationError:
    """Make the error that says that an argument cannot be what it is."""
    return ConfigurationError(f"{what} must be {takes}, not {given!r:.80}")


def check_count(what: str, given: object, least: int) -> None:
    """Check that an argument is a whole number, and not too small.

    Raises:
        ConfigurationError: It is not.
    """
    if not isinstance(given, int) or isinstance(given, bool) or given < least:
        raise refused(what, f"a whole number, {least} or more", given)


def check_names(what: str, given: Iterable[str], tools: Iterable[str]) -> None:
    """Check that an argument names only tools that there are.

    Raises:
        ConfigurationError: It names others.
    """
    known = list(tools)
    if unknown := [name for name in given if name not in known]:
        there = f", only {', '.join(map(repr, known))}" if 0 < len(known) <= _LISTED else ""
        msg = f"{what} names {', '.join(map(repr, unknown))}, but there is no such tool{there}"
        raise ConfigurationError(msg)


def seconds(what: str, given: object) -> float:
    """Read how long something may take.

    Raises:
        ConfigurationError: It is no length of time, or none at all.
    """
    limit = given.total_seconds() if isinstance(given, timedelta) else given
    if not isinstance(limit, int | float) or isinstance(limit, bool) or not limit > 0:  # nor NaN
        raise refused(what, "more than 0 seconds, as a number or a timedelta", given)
    try:
        return float(limit)
    except OverflowError:
        raise refused(what, "more than 0 seconds, as a number or a timedelta", given) from None
