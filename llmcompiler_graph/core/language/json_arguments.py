"""JSON arguments as plan text: what a model wrote as JSON reads as if it had written a plan's call.

>>> arguments_text({"query": "height of $1", "limit": 2})
'query="height of $1", limit=2'
>>> loaded('{"query": "K2"}')
{'query': 'K2'}

May know: `json_text`, `references`, `substitution`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llmcompiler_graph.core.language.json_text import read_json
from llmcompiler_graph.core.language.references import IDENTIFIER
from llmcompiler_graph.core.language.substitution import joined_surrogates
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("UNREADABLE", "arguments_text", "json_argument", "loaded")

UNREADABLE = object()
"""What `loaded` gives for text that is no JSON."""

_BARE_PATH = lazy_pattern(r"\$(\d{1,9})((?:\.[^\W\d]\w*|\[(?:-?\d{1,9}|\*|\"[^\"\\]*\"|'[^'\\]*')\])+)")


def loaded(text: str) -> Any:
    """Read JSON in which strings may hold line breaks; `UNREADABLE` if it is none."""
    try:
        return read_json(text, strict=False)
    except ValueError:
        return UNREADABLE


def arguments_text(arguments: Mapping[str, Any]) -> str:
    """Write arguments by name; as one dict if a name is none that call syntax can have."""
    if all(map(IDENTIFIER.fullmatch, arguments)):
        return ", ".join(f"{name}={json_argument(value)}" for name, value in arguments.items())
    return json_argument(arguments)


def json_argument(value: Any) -> str:
    """Write a JSON value; `"$1.id"` alone is a reference with a path, as it is where it stands bare."""
    match value:
        case str():
            path = _BARE_PATH.fullmatch(value)
            return _quoted(f"${{{path[1]}{path[2]}}}" if path else value)
        case list():
            return f"[{', '.join(map(json_argument, value))}]"
        case Mapping():
            return "{" + ", ".join(f"{_quoted(key)}: {json_argument(element)}" for key, element in value.items()) + "}"
        case _:
            return json.dumps(value)


def _quoted(text: str) -> str:
    return joined_surrogates(json.dumps(text, ensure_ascii=False))  # a half alone cannot stand in a plan
