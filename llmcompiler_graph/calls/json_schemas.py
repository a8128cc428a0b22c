"""Reads the JSON Schemas of tools in every form that servers and pydantic write into the one the compiler knows.

That is: a property for each argument, and every `$ref` one to a definition by its name.

>>> given = {
...     "allOf": [{"$ref": "#/definitions/Base"}, {"properties": {"n": {"$ref": "#/definitions/Base/properties/id"}}}],
...     "definitions": {"Base": {"properties": {"id": {"type": "integer"}}, "required": ["id"]}},
... }
>>> read = read_arguments(given)
>>> read.properties, sorted(read.required), read.definitions
({'id': {'type': 'integer'}, 'n': {'$ref': '#/$defs/id'}}, ['id'], {'#/$defs/id': {'type': 'integer'}})
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast
from urllib.parse import unquote

from llmcompiler_graph.core.language.references import JSON

__all__ = ("Arguments", "read_arguments", "read_value", "unwrapped")

_DEEPEST = 40  # beyond, a schema says nothing
_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_ONE = frozenset({"items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"})
_OPEN = ("additionalProperties", "unevaluatedProperties", "patternProperties")
_DEFINITIONS = frozenset({"$defs", "definitions"})
_TYPES = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a schema says of a tool's arguments."""

    properties: dict[str, JSON] = field(default_factory=dict)
    """The schema of each, by name."""
    required: frozenset[str] = frozenset()
    """Those that must be given."""
    open: bool = False
    """Whether there may be others."""
    definitions: dict[str, JSON] = field(default_factory=dict)
    """What `$ref`s point to, by pointer."""


def read_arguments(schema: Mapping[str, Any]) -> Arguments:
    """Read the schema of a tool's arguments, whose properties may stand in several parts of it."""
    reader = _Reader(schema, "#/$defs/")
    properties, required, is_open = reader.fields(schema, 0)
    return Arguments(properties, frozenset(required), is_open, reader.definitions)


def read_value(schema: Mapping[str, Any], prefix: str) -> tuple[JSON, dict[str, JSON]]:
    """Read the schema of a value; return it and its definitions by pointer.

    Args:
        schema: The schema.
        prefix: What the pointers begin with, such as `#/$returns/`.
    """
    reader = _Reader(schema, prefix)
    return reader.read(schema, 0), reader.definitions


_FUNCTIONS_OUTPUT = re.compile(r"[a-z_]\w*Output")


def unwrapped(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema of a value that FastMCP has wrapped in `{"result": …}`, which MCP wants; `None` if it has not.

    The package `fastmcp` marks such schemas, the `mcp` package's own FastMCP names them after the function.
    """
    properties = schema.get("properties")
    if not isinstance(properties, dict) or set(properties) != {"result"}:
        return None
    if schema.get("x-fastmcp-wrap-result") is not True and not (
        schema.get("required") == ["result"] and _FUNCTIONS_OUTPUT.fullmatch(str(schema.get("title")))
    ):
        return None
    inner = properties["result"] if isinstance(properties["result"], dict) else {}
    return {**inner, **{key: schema[key] for key in _DEFINITIONS if key in schema}}


_Fields: TypeAlias = tuple[dict[str, JSON], set[str], bool]


class _Reader:
    """Reads one schema.

    Args:
        root: The whole of it, which pointers begin at.
        prefix: What those of the definitions are to begin with.
    """

    def __init__(self, root: Mapping[str, Any], prefix: str) -> None:
        self.definitions: dict[str, JSON] = {}
        self._root = root
        self._prefix = prefix
        self._fields: dict[int, _Fields] = {}  # by the identity of a part of the schema
        self._names: dict[str, str] = {}  # pointer, as it stands in the schema -> as it stands in what is read

    def read(self, schema: Any, depth: int) -> JSON:
        """Read a schema, its references to begin with the prefix."""
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return schema if isinstance(schema, bool) else {}
        if isinstance(pointer := schema.get("$ref"), str):
            others = {key: each for key, each in schema.items() if key != "$ref"}
            name = self._definition(pointer)
            return {**({"$ref": name} if name else {}), **cast("dict[str, JSON]", self.read(others, depth))}
        read = {key: self._keyword(key, each, depth) for key, each in schema.items() if key not in _DEFINITIONS}
        if "type" in read and not _is_type(read["type"]):
            del read["type"]  # `any`, `int` and the like: no JSON Schema, and says nothing that is sure
        return {key: each for key, each in read.items() if _is_keyword(key, each)}

    def _keyword(self, key: str, value: Any, depth: int) -> JSON:
        if key in _BY_NAME and isinstance(value, Mapping):
            return {name: self.read(each, depth + 1) for name, each in value.items()}
        if key in _LISTS and isinstance(value, list):
            return [self.read(each, depth + 1) for each in value]
        if key in _ONE and isinstance(value, Mapping):
            return self.read(value, depth + 1)
        if key == "type":  # Google writes them in capitals
            names = value if isinstance(value, list) else [value]
            lower = [name.lower() if isinstance(name, str) else name for name in names]
            return lower if isinstance(value, list) else lower[0]
        return cast("JSON", value)

    def _definition(self, pointer: str) -> str | None:
        """The pointer to a definition, read from where another pointer leads; `None` if that is nowhere."""
        if pointer not in self._names:
            target = self._target(pointer)
            if target is None:
                return None
            name = self._prefix + (pointer.rpartition("/")[2].lstrip("#") or "root")
            while name in self._names.values():
                name += "_"
            self._names[pointer] = name
            self.definitions[name] = None  # it may refer to itself
            self.definitions[name] = self.read(target, 0)
        return self._names[pointer]

    def _target(self, pointer: str) -> Any:
        if not pointer.startswith("#"):
            return None  # of another document
        if not pointer.startswith("#/") and pointer != "#":
            return next((each for each in _parts(self._root) if each.get("$anchor") == pointer[1:]), None)
        target: Any = self._root
        for key in map(unquote, pointer.split("/")[1:]):
            name = key.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and name.isdecimal() and int(name) < len(target):
                target = target[int(name)]
            elif isinstance(target, Mapping) and name in target:
                target = target[name]
            else:
                return None
        return target

    def fields(self, schema: Any, depth: int) -> _Fields:
        """The properties, the required ones, and whether others may be given, of all parts of a schema together.

        A part that stands in many others is read once: there may be more ways to it than anybody can go.
        """
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return {}, set(), False
        if id(schema) not in self._fields:
            self._fields[id(schema)] = {}, set(), False  # what it says of itself while it is read
            self._fields[id(schema)] = self._read_fields(schema, depth)
        properties, required, is_open = self._fields[id(schema)]
        return properties, set(required), is_open

    def _read_fields(self, schema: Mapping[str, Any], depth: int) -> _Fields:
        given = schema.get("properties")
        properties = {n: self.read(each, 1) for n, each in given.items()} if isinstance(given, Mapping) else {}
        required = set(schema["required"]) if isinstance(schema.get("required"), list) else set()
        is_open = any(schema.get(key) not in (None, False) for key in _OPEN)
        together = list(schema["allOf"]) if isinstance(schema.get("allOf"), list) else []
        if isinstance(pointer := schema.get("$ref"), str):
            together.insert(0, self._target(pointer))
        for part in together:
            more, needed, others = self.fields(part, depth + 1)
            properties = {**properties, **{name: each for name, each in more.items() if name not in properties}}
            required |= needed
            is_open = is_open or others
        for key in ("anyOf", "oneOf"):
            options = schema[key] if isinstance(schema.get(key), list) else []
            read = [self.fields(each, depth + 1) for each in options if each != {"type": "null"}]
            for name in dict.fromkeys(name for more, *_ in read for name in more):
                kinds = [more[name] for more, *_ in read if name in more]
                distinct = [kind for n, kind in enumerate(kinds) if kind not in kinds[:n]]
                properties.setdefault(name, distinct[0] if len(distinct) == 1 else {"anyOf": distinct})
            if read:
                required |= set.intersection(*(needed for _, needed, _ in read))
                is_open = is_open or any(others for *_, others in read)
        return properties, required, is_open


def _is_keyword(key: str, value: JSON) -> bool:
    """Whether a keyword holds what it may: what is no list of schemas, or no schemas by name, says nothing."""
    return isinstance(value, list) if key in _LISTS else isinstance(value, dict) if key in _BY_NAME else True


def _is_type(name: JSON) -> bool:
    """Whether it is a type of JSON Schema, or a list of some."""
    names = name if isinstance(name, list) else [name]
    return bool(names) and all(isinstance(each, str) and each in _TYPES for each in names)


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and all that it is made of."""
    pending = [schema]
    while pending:
        each = pending.pop()
        if isinstance(each, Mapping):
            yield each
            pending += each.values()
        elif isinstance(each, list):
            pending += each
