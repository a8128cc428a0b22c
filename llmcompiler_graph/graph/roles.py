"""The models that plan and join, as given and as they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.models.dialects import Dialect
from llmcompiler_graph.models.lazy import LazyModel, ModelLike, is_local

__all__ = ("Roles", "roles_of")

_HISTORY, _HISTORY_LOCAL = 100_000, 20_000  # characters of earlier turns


class Roles(NamedTuple):
    """The models that plan and join, as given and as they are asked."""

    planner: ModelLike
    """What plans, as given."""
    joiner: ModelLike
    """What joins, as given."""
    planning: LazyModel
    """What is asked for plans."""
    joining: LazyModel
    """What is asked for decisions: the same object as `planning`, if they are one model."""

    @property
    def any_local(self) -> bool:
        """Whether one of them is the embedded model."""
        return is_local(self.planner) or is_local(self.joiner)

    @property
    def history(self) -> int:
        """How many characters of earlier turns they are shown if nothing else is said."""
        return _HISTORY_LOCAL if self.any_local else _HISTORY

    def check(self, dialect: Dialect, specs: Sequence[ToolSpec]) -> None:
        """Refuse a planner that cannot write plans so, now rather than in a run.

        Raises:
            ConfigurationError: It cannot.
        """
        if not isinstance(self.planner, str):
            dialect.bind(self.planner, specs[:1])


def roles_of(
    model: ModelLike, planner: ModelLike | None, joiner: ModelLike | None, tags: Sequence[tuple[str, str]]
) -> Roles:
    """Say who plans and who joins.

    Args:
        model: Does what no other is given for.
        planner: Plans.
        joiner: Joins.
        tags: What else models write around their thoughts.
    """
    planner = model if planner is None else planner
    joiner = model if joiner is None else joiner
    planning = LazyModel(planner, tags)
    same = planner is joiner or (isinstance(planner, str) and planner == joiner)
    return Roles(planner, joiner, planning, planning if same else LazyModel(joiner, tags))
