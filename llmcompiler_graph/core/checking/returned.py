"""What tools return, as far as a calculation needs it: numbers, a name, and the field that a question is about.

>>> returns = {"type": "object", "properties": {"m": {"type": "number"}, "name": {"type": "string"}}}
>>> search = ToolSpec("search", {"of": {"type": "string"}}, returns=returns)
>>> has_numbers(search), may_be_number(search), number_fields(search)
(True, False, ['m'])

May know: `plan`, `references`, `schema`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from llmcompiler_graph.core.checking.schema import alternatives, fields_of
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.core.language.references import JSON

__all__ = ("fitting_field", "has_numbers", "may_be_number", "number_fields", "selectors")

_NUMBERS = {"number", "integer"}


def selectors(tool: ToolSpec, parameter: str) -> list[str]:
    """The functions of a tool's arithmetic that give a name."""
    found = (option.get("selectors") for option in alternatives(tool.parameters[parameter], tool.definitions))
    return [str(name) for names in found if isinstance(names, list) for name in names]


def may_be_number(tool: ToolSpec) -> bool:
    """Whether what a tool returns is a number itself, or may be."""
    kinds = alternatives(tool.returns, tool.definitions)
    return not kinds or any(kind["type"] != "object" for kind in kinds)


def has_numbers(tool: ToolSpec) -> bool:
    """Whether what a tool returns is a number or has one in it."""
    kinds = alternatives(tool.returns, tool.definitions)
    return bool(kinds) and all(_is_numeric(kind, tool.definitions) for kind in kinds)


def number_fields(tool: ToolSpec) -> list[str]:
    """The fields with numbers of what a tool returns."""
    options = alternatives(tool.returns, tool.definitions)
    fields = [item for option in options for item in fields_of(option).items()]
    return [name for name, schema in fields if _is_number(schema, tool.definitions)]


def fitting_field(fields: Collection[str], told: str) -> str | None:
    """The field that a text tells of by its name's first word; `None` if that is none, or one of several.

    >>> fitting_field(["area_km2", "depth_m"], "Which depths are larger?"), fitting_field(["area_km2"], "How wide?")
    ('depth_m', None)
    """
    fits = {field for field in fields if re.search(rf"\b{re.escape(field.split('_')[0])}s?\b", told, re.I)}
    return min(fits) if len(fits) == 1 else None


def _is_number(schema: JSON, definitions: Mapping[str, JSON]) -> bool:
    return any(kind["type"] in _NUMBERS for kind in alternatives(schema, definitions))


def _is_numeric(option: Mapping[str, JSON], definitions: Mapping[str, JSON]) -> bool:
    if option["type"] in _NUMBERS:
        return True
    return option["type"] == "object" and any(_is_number(schema, definitions) for schema in fields_of(option).values())
