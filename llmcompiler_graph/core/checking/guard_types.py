"""Do the values fit that a guard compares? Only what can never hold, or never be told, is complained about.

May know: `guards`, `json_text`, `references`, `schema`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from llmcompiler_graph.core.checking.schema import Schema, alternatives, describe, type_of
from llmcompiler_graph.core.language.guards import All, AnyOf, Comparison, Guard, Not, Operand, Truth
from llmcompiler_graph.core.language.json_text import write_json
from llmcompiler_graph.core.language.references import JSON, Reference

__all__ = ("compared_types", "misfits")

Source = Callable[[Reference], tuple[Schema, Mapping[str, JSON]]]
"""Gives the schema of a reference's value, and its definitions."""


def misfits(guard: Guard, source: Source) -> Iterator[str]:
    """Say what is wrong with the types of a guard."""
    match guard:
        case Comparison():
            yield from _of_comparison(guard, source)
        case Truth(Reference() as value):
            kinds, said = _kinds(value, source)
            if kinds and "boolean" not in kinds:
                yield f"`{guard}` is to be true or false, but it is {said}"
        case Not(part):
            yield from misfits(part, source)
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from misfits(part, source)


def _of_comparison(guard: Comparison, source: Source) -> Iterator[str]:
    (left, one), (right, other) = _kinds(guard.left, source), _kinds(guard.right, source)
    match guard.operator:
        case "in" | "not in":
            fits = not right or "array" in right or ("string" in right and (not left or "string" in left))
            if not fits:
                yield f"`{guard}` looks for {one} in {other}"
        case "==" | "!=":
            if left and right and left.isdisjoint(right):
                yield f"`{guard}` compares {one} with {other}, which are never equal"
        case _:
            both = ("number", "string")
            if not any((not left or kind in left) and (not right or kind in right) for kind in both):
                yield f"`{guard}` compares {one} with {other}: only two numbers, or two texts, have an order"


def _kinds(operand: Operand, source: Source) -> tuple[set[str], str]:
    """What an operand may be, in JSON's words, and how to say that; nothing if anything."""
    if isinstance(operand, Reference):
        schema, definitions = source(operand)
        return compared_types(schema, definitions), describe(schema, definitions)
    return _numbered({type_of(operand)}), write_json(operand)


def compared_types(schema: Schema, definitions: Mapping[str, JSON]) -> set[str]:
    """What values of a schema may be where they are compared, in JSON's words; nothing if anything."""
    return _numbered({str(option["type"]) for option in alternatives(schema, definitions)})


def _numbered(kinds: set[str]) -> set[str]:
    return {"number" if kind == "integer" else kind for kind in kinds}
