r"""Schemas that no finite value fits, since a part that must be there refers to the whole: that part may be left out.

Pydantic writes such a schema of `class Node: next: Node`. No model could ever call the tool, and one that is held to a
grammar would write for ever.

>>> node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}, "required": ["next"]}
>>> read = Arguments({"first": {"$ref": "#/$defs/Node"}}, frozenset({"first"}), False, {"#/$defs/Node": node})
>>> given, left_out = with_finite_values(read)
>>> given.definitions["#/$defs/Node"]["required"], left_out
([], ["'next' of #/$defs/Node"])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from llmcompiler_graph.calls.json_schemas import Arguments
from llmcompiler_graph.core.language.references import JSON

__all__ = ("with_finite_values",)

_UNIONS, _TOGETHER = ("anyOf", "oneOf"), "allOf"
_BY_NAME = ("properties",)
_LISTS = (*_UNIONS, _TOGETHER, "prefixItems")
_ONE = ("items", "additionalProperties")


def with_finite_values(read: Arguments) -> tuple[Arguments, list[str]]:
    """Let what has no finite value be left out; return what was read then, and what may be left out in it."""
    finite = _finite(read.definitions)
    if len(finite) == len(read.definitions):
        return read, []
    relaxed = _Relaxed(finite)
    definitions = {pointer: relaxed.read(each, pointer) for pointer, each in read.definitions.items()}
    properties = {name: relaxed.read(each, f"{name!r}") for name, each in read.properties.items()}
    return replace(read, properties=properties, definitions=definitions), relaxed.left_out


def _finite(definitions: Mapping[str, JSON]) -> set[str]:
    """The pointers to what some finite value fits."""
    finite, before = _hollow(definitions), -1
    while len(finite) > before:
        before = len(finite)
        finite |= {pointer for pointer, each in definitions.items() if pointer not in finite and _fits(each, finite)}
    return finite


def _hollow(definitions: Mapping[str, JSON]) -> set[str]:
    """The pointers to what is nothing but itself, and so says nothing."""
    leads = {pointer: direct for pointer, each in definitions.items() if (direct := _direct(each))}
    found = set[str]()
    for pointer, direct in leads.items():
        pending, seen = [*direct], set[str]()
        while pending and pointer not in seen:
            following = pending.pop()
            if following not in seen:
                seen.add(following)
                pending += leads.get(following, ())
        found |= {pointer} & seen
    return found


def _direct(schema: JSON) -> list[str]:
    """The pointers that a schema has in its own place."""
    if not isinstance(schema, dict):
        return []
    parts = schema.get(_TOGETHER)
    direct = [pointer for part in (parts if isinstance(parts, list) else []) for pointer in _direct(part)]
    return [*direct, pointer] if isinstance(pointer := schema.get("$ref"), str) else direct


def _fits(schema: JSON, finite: set[str]) -> bool:
    """Whether some finite value fits a schema, given the pointers to what it does fit."""
    if not isinstance(schema, dict):
        return True
    if isinstance(pointer := schema.get("$ref"), str):
        return pointer in finite
    parts = schema.get(_TOGETHER)
    if isinstance(parts, list) and not all(_fits(part, finite) for part in parts):
        return False
    for key in _UNIONS:
        options = schema.get(key)
        if isinstance(options, list) and options and not any(_fits(option, finite) for option in options):
            return False
    if not _must_be(schema, "object", "array"):
        return True
    return not (_endless_fields(schema, finite) or _endless_rest(schema, finite) or _endless_elements(schema, finite))


def _must_be(schema: Mapping[str, JSON], *types: str) -> bool:
    """Whether a value is of one of these types, or of none that is named."""
    named = schema.get("type")
    names = named if isinstance(named, list) else [named] if isinstance(named, str) else [*types]
    return bool(names) and all(name in types for name in names) and "enum" not in schema and "const" not in schema


def _endless_fields(schema: Mapping[str, JSON], finite: set[str]) -> list[str]:
    """The required fields that no finite value fits."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return []
    return [name for name in required if isinstance(name, str) and not _fits(properties.get(name), finite)]


def _endless_rest(schema: Mapping[str, JSON], finite: set[str]) -> bool:
    return bool(schema.get("minProperties")) and not _fits(schema.get("additionalProperties"), finite)


def _endless_elements(schema: Mapping[str, JSON], finite: set[str]) -> bool:
    places = schema.get("prefixItems")
    endless = isinstance(places, list) and not all(_fits(place, finite) for place in places)
    return endless or (bool(schema.get("minItems")) and not _fits(schema.get("items"), finite))


class _Relaxed:
    """Reads schemas anew, without what makes them endless.

    Args:
        finite: The pointers to what some finite value fits.
    """

    def __init__(self, finite: set[str]) -> None:
        self.left_out: list[str] = []
        """What may be left out in them."""
        self._finite = finite

    def read(self, schema: JSON, name: str) -> JSON:
        """Read one that is called so."""
        if not isinstance(schema, dict):
            return schema
        read = dict(schema)
        for key in _BY_NAME:
            if isinstance(named := schema.get(key), dict):
                read[key] = {each: self.read(inner, f"{each!r} of {name}") for each, inner in named.items()}
        for key in _LISTS:
            if isinstance(listed := schema.get(key), list):
                read[key] = [self.read(each, name) for each in listed]
        for key in _ONE:
            if isinstance(schema.get(key), dict):
                read[key] = self.read(schema[key], f"the parts of {name}")
        if endless := _endless_fields(schema, self._finite):
            read["required"] = [each for each in cast("list[JSON]", schema["required"]) if each not in endless]
            self.left_out += [f"{each!r} of {name}" for each in endless]
        if _endless_rest(schema, self._finite):
            del read["minProperties"]
            self.left_out.append(f"the fields of {name}")
        if _endless_elements(schema, self._finite):
            read.pop("minItems", None)
            read.pop("prefixItems", None)
            self.left_out.append(f"the elements of {name}")
        return read
