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

from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("JSON", "MAX_CHARACTERS", "MAX_DEPTH", "as_json", "cut", "is_too_deep", "read_json", "write_json")

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
"""A JSON value: what observations and resolved arguments are."""

MAX_DEPTH = 100
"""How deep lists and objects of an observation may be nested: a checkpoint holds about 250 levels, Python's own stack
about as many."""

MAX_CHARACTERS = 10_000_000
"""How many characters the texts of an observation may have together, and a text that is put together of some."""


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


_UNSEEN = lazy_pattern("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


as_json = json.JSONEncoder(ensure_ascii=False).encode
"""Writes a value as JSON; `json.dumps` would make an encoder in each call."""


def write_json(value: JSON) -> str:
    r"""Write a value as JSON text on one line, in whatever way lines are told: no character in it ends one.

    >>> print(write_json("café\u2028\x85"))
    "café\u2028\u0085"
    """
    text = as_json(value)
    return text if text.isascii() and "\x7f" not in text else _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


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


def cut(text: str, most: int) -> str:
    """Cut a text that is longer than so many characters, and say so.

    >>> cut("abc", 3), cut("abcd", 3)
    ('abc', 'abc… [cut: 3 of 4 characters]')
    """
    return text if len(text) <= most else f"{text[:most]}… [cut: {most} of {len(text)} characters]"
