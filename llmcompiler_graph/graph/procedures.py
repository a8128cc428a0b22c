"""Procedures as callers give them: read and checked, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.checking.procedures import CheckedProcedure, check_procedures
from llmcompiler_graph.core.errors import ConfigurationError, PlanError
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.core.language.procedures import Procedure, parse_procedures

__all__ = ("checked_procedures",)


def checked_procedures(procedures: Iterable[Procedure | str], tools: Sequence[ToolSpec]) -> dict[str, CheckedProcedure]:
    """Read and check procedures; give them by name.

    Raises:
        ConfigurationError: One cannot be used; the message has every diagnostic.
    """
    given: object = procedures
    if isinstance(given, str | Procedure) or not isinstance(given, Iterable):
        raise refused("procedures", "a list of procedures or their texts", procedures)
    read: list[Procedure] = []
    for number, each in enumerate(given, 1):
        if isinstance(each, Procedure):
            read.append(each)
        elif isinstance(each, str):
            try:
                read += parse_procedures(each)
            except PlanError as error:
                msg = f"the text of procedures {number} cannot be read:\n{error}"
                raise ConfigurationError(msg) from error
        else:
            raise refused(f"procedures[{number - 1}]", "a Procedure or its text", each)
    try:
        return check_procedures(read, tools)
    except PlanError as error:
        msg = f"procedures cannot be used:\n{error}"
        raise ConfigurationError(msg) from error
