"""Types of parameters as Python annotations write them, to JSON Schema.

>>> read_annotation("list[int] | None")
{'anyOf': [{'type': 'array', 'items': {'type': 'integer'}}, {'type': 'null'}]}
>>> read_annotation("'m' | 'ft'")
{'enum': ['m', 'ft']}

May know: `references`.
"""

from __future__ import annotations

import ast

from llmcompiler_graph.core.language.references import JSON

__all__ = ("AnnotationError", "read_annotation")

_TYPES: dict[str, JSON] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "list": {"type": "array"},
    "dict": {"type": "object"},
    "None": {"type": "null"},
    "Any": None,
}


class AnnotationError(ValueError):
    """A text is no type that is understood."""


def read_annotation(text: str) -> JSON:
    """Make the JSON Schema of a type.

    Args:
        text: `str`, `int`, `float`, `bool`, `list`, `dict`, `None` or `Any`; `list[…]`, `dict[str, …]`; constants; and
            unions of these with `|`.

    Raises:
        AnnotationError: It is none of these.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        options = [_schema(option) for option in _options(node)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        listed = ", ".join(_TYPES)
        msg = (
            f"{text.strip()!r:.80} is not a type: use {listed}, list[…], dict[str, …], constants, and `|` between them"
        )
        raise AnnotationError(msg) from None
    constants = [option["const"] for option in options if isinstance(option, dict) and "const" in option]
    if len(constants) == len(options):
        return {"enum": constants}
    if not all(options):
        return None
    return options[0] if len(options) == 1 else {"anyOf": options}


def _options(node: ast.expr) -> list[ast.expr]:
    options: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        options.append(node.right)
        node = node.left
    return [node, *reversed(options)]


def _schema(node: ast.expr) -> JSON:
    match node:
        case ast.Name(id=name) if name in _TYPES:
            return _TYPES[name]
        case ast.Constant(value=None):
            return _TYPES["None"]
        case ast.Constant(value=str() | bool() | int() as constant):
            return {"const": constant}
        case ast.Subscript(value=ast.Name(id="list"), slice=items):
            return {"type": "array", "items": read_annotation(ast.unparse(items))}
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[ast.Name(id="str"), values])):
            return {"type": "object", "additionalProperties": read_annotation(ast.unparse(values))}
        case _:
            raise ValueError
