"""Tells the user of observations, and of threads, that have grown large: every checkpoint keeps them.

May know: `state`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from llmcompiler_graph.state import TaskRecord

__all__ = ("LARGE_OBSERVATION", "LARGE_STATE", "tell_of_size")

LARGE_OBSERVATION = 1_000_000
"""The size of an observation above which the user is told, in characters."""
LARGE_STATE = 10_000_000
"""The size of a thread's messages and observations above which the user is told, in characters."""


def tell_of_size(
    tasks: Iterable[TaskRecord], observations: Sequence[TaskRecord], messages: Sequence[BaseMessage]
) -> None:
    """Warn of what is large.

    Args:
        tasks: Those that have just ended.
        observations: All tasks of the turn.
        messages: All messages of the thread.
    """
    for task in tasks:
        if (size := _size(task["value"], LARGE_STATE)) > LARGE_OBSERVATION:
            _warn(f"task {task['index']} ({task['tool']!r}) returned {_about(size)}")
    told, found = _size([message.content for message in messages], LARGE_STATE), 0
    if told <= LARGE_STATE:
        found = _size([task["value"] for task in observations], LARGE_STATE)
    if told + found > LARGE_STATE:
        _warn(f"the thread's {len(messages)} messages and the turn's observations hold {_about(told + found)}")


def _warn(what: str) -> None:
    warnings.warn(f"{what}: every checkpoint keeps it; let tools return less, or where it is found", stacklevel=4)


def _about(size: int) -> str:
    return f"more than {LARGE_STATE:,} characters" if size > LARGE_STATE else f"about {size:,} characters"


def _size(value: Any, most: int) -> int:
    """How many characters a JSON value has, counted to a little more than `most`."""
    size, pending = 0, [value]
    while pending and size <= most:
        match pending.pop():
            case str() as text:
                size += len(text)
            case list() as elements:
                size += len(elements)
                pending += elements
            case dict() as fields:
                size += len(fields)
                pending += fields
                pending += fields.values()
            case _:
                size += 4
    return size
