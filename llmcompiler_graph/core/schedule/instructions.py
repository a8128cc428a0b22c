"""What the task fetching unit says is to be done, or has come of it.

May know: `plan`, `references`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from llmcompiler_graph.core.language.plan import Observation
from llmcompiler_graph.core.language.references import JSON

__all__ = ("Finished", "Instruction", "Release", "Stalled", "Start")


@dataclass(frozen=True, slots=True)
class Release:
    """The task's inputs exist."""

    index: int
    """The task."""


@dataclass(frozen=True, slots=True)
class Start:
    """Call the task's tool now."""

    index: int
    """The task."""
    element: int | None
    """Which of the calls of a task that fans out, from 0; `None` for a task of one call."""
    arguments: Mapping[str, JSON]
    """What to call it with."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The task has an observation."""

    index: int
    """The task."""
    observation: Observation
    """Its observation."""


@dataclass(frozen=True, slots=True)
class Stalled:
    """The task cannot have an observation: a call that it waits for was abandoned."""

    index: int
    """The task."""
    cause: int
    """The task of that call."""


Instruction: TypeAlias = Release | Start | Finished | Stalled
