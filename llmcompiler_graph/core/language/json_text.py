"""JSON text, read within limits: text that a tool, a human or a model wrote may be nested without end.

>>> read_json('{"height_m": 8611}')
{'height_m': 8611}
>>> read_json("[" * 101 + "]" * 101)
Traceback (most recent call last):
ValueError: JSON nested more than 100 deep

May know: nothing else of the package.
"""

from __future__ import annotations

import json
from typing import TypeAlias

__all__ = ("JSON", "MAX_DEPTH", "is_too_deep", "read_json")

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
"""A JSON value: what observations and resolved arguments are."""

MAX_DEPTH = 100
"""How deep lists and objects of an observation may be nested: a checkpoint holds about 250 levels, Python's own stack
about as many."""


def read_json(text: str, *, strict: bool = True) -> JSON:
    """Read JSON text.

    Args:
        text: The text.
        strict: Whether control characters in strings are errors, as in `json.loads`.

    Raises:
        ValueError: It is no JSON, or is nested more than `MAX_DEPTH` deep.
    """
    try:
        value: JSON = json.loads(text, strict=strict)
    except RecursionError:
        too_deep = True
    else:
        too_deep = text.count("[") + text.count("{") > MAX_DEPTH and is_too_deep(value)
    if too_deep:
        msg = f"JSON nested more than {MAX_DEPTH} deep"
        raise ValueError(msg)
    return value


def is_too_deep(value: JSON) -> bool:
    """Whether a value is nested more than `MAX_DEPTH` deep."""
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for holder in level
            for inner in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(inner, list | dict)
        ]
        if not level:
            return False
    return True
