"""Arithmetic expressions: text in which references are numbers, but for those in quotes.

>>> list(spelled(Template(('"', Reference(1), '"*', Reference(2)))))
[(Reference(index=1, path=()), True), ('*', False), (Reference(index=2, path=()), False)]

May know: `references`, `schema`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llmcompiler_graph.core.checking.schema import Schema, alternatives
from llmcompiler_graph.core.language.references import JSON, Reference, Spread, Template, Value, as_template

__all__ = ("arithmetic", "grouped", "spelled")


def arithmetic(schema: Schema, definitions: Mapping[str, JSON]) -> bool:
    """Whether text for a parameter is an arithmetic expression: references in it, but for those in quotes, are numbers.

    A tool says so with the format `arithmetic`. It may add `functions`, an object of names and how many arguments each
    takes at most (`null` for any number), and `selectors`, the names of functions of one dict of numbers by name; a
    grammar then offers them. Where it has `gives`, a grammar offers only what gives a `"name"`, a `"number"` or a
    `"truth"`. Where other text may stand there too, none of it has to be arithmetic.

    >>> arithmetic({"type": "string", "format": "arithmetic", "functions": {"abs": 1, "max": None}}, {})
    True
    >>> arithmetic({"anyOf": [{"type": "string", "format": "arithmetic"}, {"type": "string"}]}, {})
    False
    """
    texts = [option for option in alternatives(schema, definitions) if option["type"] == "string"]
    return bool(texts) and all(option.get("format") == "arithmetic" for option in texts)


def grouped(value: Value, schema: Schema, definitions: Mapping[str, JSON]) -> Value:
    """Put a reference that is raised to a power in parentheses, in an arithmetic expression: it may be negative.

    >>> grouped(Template((Reference(1), " ** 2")), {"type": "string", "format": "arithmetic"}, {}).parts
    ('(', Reference(index=1, path=()), ') ** 2')
    """
    if isinstance(value, Spread):
        return Spread(tuple(grouped(element, schema, definitions) for element in value))
    if not isinstance(value, Template) or not arithmetic(schema, definitions):
        return value
    parts: list[str | Reference] = []
    for part, following in zip(value.parts, (*value.parts[1:], ""), strict=True):
        raised = isinstance(following, str) and following.lstrip().startswith(("**", "^"))
        parts += ["(", part, ")"] if raised and isinstance(part, Reference) else [part]
    return as_template(parts)


def spelled(value: Reference | Template | str) -> Iterator[tuple[str | Reference, bool]]:
    """Yield each reference and character of an expression, but the quotes, and whether it stands in quotes."""
    quote = ""
    for part in value.parts if isinstance(value, Template) else (value,):
        for each in part if isinstance(part, str) else (part,):
            if each in ('"', "'") and quote in ("", each):
                quote = "" if quote else str(each)
            else:
                yield each, bool(quote)
