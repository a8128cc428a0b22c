"""JSON Schema as the compiler's type system: what a value, a path and a reference may be.

Only what tool schemas use is understood (`type`, `enum`, `const`, `items`, `properties`, `additionalProperties`,
`required`, `anyOf`, `oneOf`, `allOf`, `$ref`, OpenAPI's `nullable`); anything else says nothing, and a schema that says
nothing fits everything.

>>> fits({"type": "string"}, {"type": "number"})
False
>>> at_path({"type": "object", "properties": {"height_m": {"type": "number"}}}, ("height_m",))
{'type': 'number'}

May know: `json_text`, `references`, `substitution`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from llmcompiler_graph.core.language.json_text import read_json
from llmcompiler_graph.core.language.references import ALL, JSON, Path
from llmcompiler_graph.core.language.substitution import as_text

__all__ = (
    "MissingField",
    "Schema",
    "alternatives",
    "at_path",
    "describe",
    "fields_of",
    "fit_text",
    "fits",
    "has",
    "literals",
    "mismatch",
    "read_text",
    "type_of",
)

Schema = JSON
"""A JSON Schema: an object, or `None`/`True`/`{}` for "anything"."""

_NO_DEFINITIONS: Mapping[str, JSON] = {}


class MissingField(Exception):
    """A path leads to a field that its schema does not have.

    Attributes:
        fields: The fields there are.
    """

    def __init__(self, field: str, fields: Iterable[str]) -> None:
        self.fields = tuple(fields)
        super().__init__(field)


def alternatives(
    schema: Schema, definitions: Mapping[str, JSON] = _NO_DEFINITIONS, known: _Known | None = None
) -> list[dict[str, JSON]]:
    """The schemas one of which a value must fit, `$ref`s and unions resolved; `[]` if anything fits.

    Args:
        schema: The schema.
        definitions: What `$ref`s point to.
        known: What parts of it are together that were read already.
    """
    if isinstance(schema, dict) and isinstance(schema.get("type"), str) and _SAYS_MORE.isdisjoint(schema):
        return [schema]
    known = {} if known is None else known
    pending, found, seen = [schema], list[dict[str, JSON]](), set[str]()
    while pending:
        match pending.pop(0):
            case {"$ref": str() as pointer}:
                if pointer not in seen:
                    seen.add(pointer)
                    pending.append(definitions.get(pointer))
            case dict() as union if (options := _options(union)) is not None:
                pending += options
            case dict() as of_all if whole := _together(of_all, definitions, known):
                found.append(whole)
            case dict() as union if isinstance(types := union.get("type"), list):
                pending += [{**union, "type": name} for name in types]
            case dict() as plain if isinstance(plain.get("type"), str):
                found.append(plain)
            case {"enum": list() as values}:
                found += [{"type": type_of(value), "const": value} for value in values]
            case {"const": value}:
                found.append({"type": type_of(value), "const": value})
            case _:
                return []
    return found


def _options(schema: Mapping[str, JSON]) -> list[JSON] | None:
    """The schemas that a union consists of; `None` if it is none."""
    match schema:
        case {"nullable": True}:  # OpenAPI's
            return [_without("nullable", schema), {"type": "null"}]
        case {"anyOf": list() as options} | {"oneOf": list() as options}:
            return options
        case {"allOf": [only]}:
            return [only]
        case _:
            return None


_SAYS_MORE = frozenset({"$ref", "allOf", "anyOf", "oneOf", "nullable"})
_SAYS_WHAT = _SAYS_MORE | {"type", "enum", "const"}

_OF_OBJECTS = frozenset({"properties", "required", "additionalProperties"})


_MOST_PARTS = 100
"""How many `allOf`s of one schema are read: beyond, it says nothing."""
_Known: TypeAlias = dict[int, tuple[object, dict[str, JSON] | None]]
"""By the identity of a schema with `allOf`: the schema, and what its parts are together."""


def _together(schema: Mapping[str, JSON], definitions: Mapping[str, JSON], known: _Known) -> dict[str, JSON] | None:
    """One schema of those that an object must all fit (`allOf`); `None` if there are none, or not all of objects."""
    if not isinstance(listed := schema.get("allOf"), list):
        return None
    if id(schema) not in known and len(known) < _MOST_PARTS:  # there may be more ways to a part than anybody can go
        known[id(schema)] = schema, None  # what it says of itself while it is read
        known[id(schema)] = schema, _of_all(schema, listed, definitions, known)
    return known[id(schema)][1] if id(schema) in known else None


def _of_all(
    schema: Mapping[str, JSON], listed: list[JSON], definitions: Mapping[str, JSON], known: _Known
) -> dict[str, JSON] | None:
    parts = [part for part in (_without("allOf", schema), *listed) if isinstance(part, dict)]
    options = [found for part in parts if (found := _of_objects(part, definitions, known)) is not None]
    if not options or any(len(each) != 1 or each[0]["type"] != "object" for each in options):
        return None
    return _merged([each[0] for each in options])


def _of_objects(part: dict[str, JSON], definitions: Mapping[str, JSON], known: _Known) -> list[dict[str, JSON]] | None:
    """What a part of `allOf` allows; `None` if it says nothing. One that names no type is of objects."""
    if not _SAYS_WHAT.isdisjoint(part):
        return alternatives(part, definitions, known)
    return None if _OF_OBJECTS.isdisjoint(part) else [{**part, "type": "object"}]


def _merged(objects: Iterable[Mapping[str, JSON]]) -> dict[str, JSON]:
    """One schema of objects, of all that they must fit."""
    whole: dict[str, JSON] = {}
    properties: dict[str, JSON] = {}
    required: list[JSON] = []
    for schema in objects:
        whole |= schema
        properties |= fields_of(schema)
        if isinstance(needed := schema.get("required"), list):
            required += [each for each in needed if each not in required]
    return {**whole, "properties": properties, "required": required}


def _without(key: str, schema: Mapping[str, JSON]) -> dict[str, JSON]:
    return {name: each for name, each in schema.items() if name != key}


def type_of(value: JSON) -> str:
    """The name that JSON Schema gives the type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def literals(schema: Schema, definitions: Mapping[str, JSON] = _NO_DEFINITIONS) -> list[JSON]:
    """The values a schema allows, if it lists them all; else `[]`.

    >>> literals({"enum": ["m", "ft"], "type": "string"})
    ['m', 'ft']
    """
    values: list[JSON] = []
    for option in alternatives(schema, definitions):
        if "const" in option:
            values.append(option["const"])
        elif isinstance(listed := option.get("enum"), list):
            values += listed
        else:
            return []
    return values


def describe(schema: Schema, definitions: Mapping[str, JSON] = _NO_DEFINITIONS) -> str:
    """Name a schema the way Python annotations do, for prompts and messages.

    >>> describe({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]})
    'list[int] | None'
    """
    left = [_MOST_DESCRIBED]
    names = [_describe_one(option, definitions, 0, left) for option in alternatives(schema, definitions)]
    return " | ".join(dict.fromkeys(names)) or "Any"


_PYTHON = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None", "object": "dict"}


_MOST_DESCRIBED = 300
"""How many types a description may have within it: a schema that refers to itself in many places has millions."""


def _describe_one(option: Mapping[str, JSON], definitions: Mapping[str, JSON], depth: int, left: list[int]) -> str:
    def inner(schema: Schema) -> str:
        left[0] -= 1
        if depth > 2 or left[0] < 0:
            return "…"
        names = [_describe_one(one, definitions, depth + 1, left) for one in alternatives(schema, definitions)]
        return " | ".join(dict.fromkeys(names)) or "Any"

    match option:
        case {"const": value}:
            return repr(value)
        case {"enum": list() as values}:
            return " | ".join(map(repr, values))
        case {"type": "array"}:
            items = option.get("items")
            return f"list[{inner(items)}]" if items else "list"
        case {"type": "object", "properties": dict() as properties} if properties:
            optional = _optional(option)
            fields = (f"{name}{'?' * (name in optional)}: {inner(of)}" for name, of in properties.items())
            return "{" + ", ".join(fields) + "}"
        case _:
            name = str(option["type"])
            return _PYTHON.get(name, name)


def _optional(option: Mapping[str, JSON]) -> set[str]:
    """The fields of an object that may be missing."""
    required = option.get("required")
    return set(fields_of(option)).difference(required if isinstance(required, list) else ())


def fits(
    source: Schema,
    target: Schema,
    definitions: Mapping[str, JSON] = _NO_DEFINITIONS,
    source_definitions: Mapping[str, JSON] | None = None,
) -> bool:
    """Whether some value of one type could be accepted where another is wanted.

    Optimistic: only what cannot work is refused. Anything can become text, text never becomes a number.

    Args:
        source: The type of what is given.
        target: The type of what is wanted.
        definitions: What `$ref`s point to.
        source_definitions: What those in `source` point to, if it is another tool's.
    """
    return _fits(source, target, definitions if source_definitions is None else source_definitions, definitions, 0)


_DEPTH = 8  # lists in lists: beyond, a type refers to itself
_NUMBERS = frozenset({"integer", "number", "boolean"})


def _fits(source: Schema, target: Schema, from_: Mapping[str, JSON], to: Mapping[str, JSON], depth: int) -> bool:
    sources, targets = alternatives(source, from_), alternatives(target, to)
    if not sources or not targets or depth == _DEPTH:
        return True
    return any(_fits_one(one, other, from_, to, depth) for one in sources for other in targets)


def _fits_one(
    source: Mapping[str, JSON],
    target: Mapping[str, JSON],
    from_: Mapping[str, JSON],
    to: Mapping[str, JSON],
    depth: int,
) -> bool:
    match one := source["type"], other := target["type"]:
        case _, "string":
            return one != "null"
        case "array", "array":
            return _fits(source.get("items"), target.get("items"), from_, to, depth + 1)
        case "object", "object":
            return _has_required(source, target)
        case _:
            return one == other or {one, other} <= _NUMBERS


def _has_required(source: Mapping[str, JSON], target: Mapping[str, JSON]) -> bool:
    """Whether objects of one type may have the fields that those of another need."""
    has, needs = source.get("properties"), target.get("required")
    if not isinstance(has, dict) or not isinstance(needs, list) or source.get("additionalProperties"):
        return True
    return all(name in has for name in needs)


_SCALARS = {"number", "integer", "boolean"}


def at_path(schema: Schema, path: Path, definitions: Mapping[str, JSON] = _NO_DEFINITIONS) -> Schema:
    """The schema of what a path selects (with `[*]`, of one element); `None` if unknown.

    Raises:
        MissingField: Every alternative is an object without that field.
    """
    for key in path:
        options = alternatives(schema, definitions)
        found = [inner for option in options for inner in _inside(option, key)]
        if _may_hold_json(options):
            found.append(None)
        if options and not found:
            raise _no_field(key, options)
        schema = _union(found)
    return schema


def _no_field(key: object, options: Iterable[Mapping[str, JSON]]) -> MissingField:
    if isinstance(key, str):
        return MissingField(key, dict.fromkeys(name for option in options for name in fields_of(option)))
    return MissingField(f"[{'*' if key is ALL else key}]", ())


def _union(schemas: list[Schema]) -> Schema:
    """A schema of what fits one of these; of anything, if one of them is."""
    if len(schemas) == 1:
        return schemas[0]
    return {"anyOf": schemas} if schemas and all(schemas) else None


def _inside(option: Mapping[str, JSON], key: object) -> list[Schema]:
    """The schema of what a key of a path selects: `None` for anything, `[]` if there is nothing."""
    match option["type"], key:
        case "object", str():
            return _field(option, key)
        case "array", _ if not isinstance(key, str):
            return [option.get("items")]
        case _:
            return []


def _field(option: Mapping[str, JSON], key: str) -> list[Schema]:
    fields, others = fields_of(option), option.get("additionalProperties")
    if key in fields:
        return [fields[key]]
    if not isinstance(option.get("properties"), dict):
        return [others]
    return [None] if others or not fields else []


def fields_of(option: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """The named fields of an object."""
    match option:
        case {"type": "object", "properties": dict() as properties}:
            return properties
        case _:
            return {}


def _may_hold_json(options: Iterable[Mapping[str, JSON]]) -> bool:
    """Whether text may hold JSON: but not that of a tool that also gives plain numbers."""
    types = {option["type"] for option in options}
    return "string" in types and _SCALARS.isdisjoint(types)


def has(schema: Schema, path: Path, definitions: Mapping[str, JSON] = _NO_DEFINITIONS) -> bool:
    """Whether a schema names what the last element of a path selects: a property, or the elements of a list."""
    *outer, key = path
    options = alternatives(at_path(schema, tuple(outer), definitions), definitions)
    if not isinstance(key, str):
        return any(option["type"] == "array" for option in options)
    return any(isinstance(fields := option.get("properties"), dict) and key in fields for option in options)


def mismatch(value: JSON, schema: Schema, definitions: Mapping[str, JSON] = _NO_DEFINITIONS) -> str | None:
    """What is wrong with a constant for a parameter, or `None`."""
    if _takes(schema, value, definitions, {}):
        return None
    return f"expected {describe(schema, definitions)}, not {value!r}"


_Judged: TypeAlias = dict[tuple[int, int], tuple[object, object, bool]]
"""By the identities of a schema and of a value: both, and whether they fit."""


def _takes(schema: Schema, value: JSON, definitions: Mapping[str, JSON], judged: _Judged) -> bool:
    """Whether a value fits. Each part of one is judged once by a schema, however many unions lead there."""
    known = judged.get((id(schema), id(value)))
    if known is not None:
        return known[2]
    options = alternatives(schema, definitions)
    takes = not options or any(_accepts(option, value, definitions, judged) for option in options)
    if isinstance(value, dict | list):
        judged[id(schema), id(value)] = schema, value, takes
    return takes


def _accepts(option: Mapping[str, JSON], value: JSON, definitions: Mapping[str, JSON], judged: _Judged) -> bool:
    if not _is_of_type(value, str(option["type"])):
        return False
    match option:
        case {"const": only}:
            return only == value
        case {"enum": list() as allowed} if value not in allowed:
            return False
        case {"required": list() as required} if isinstance(value, dict) and set(required) - set(value):
            return False
    return all(_takes(schema, inner, definitions, judged) for inner, schema in _elements(option, value))


def _is_of_type(value: JSON, name: str) -> bool:
    found = type_of(value)
    if isinstance(value, float) and value.is_integer() and name == "integer":
        return True  # 2.0 is an integer in JSON
    return found == name or (name == "number" and found == "integer")


def _elements(option: Mapping[str, JSON], value: JSON) -> Iterator[tuple[JSON, Schema]]:
    """What stands in a value, with the schemas of it."""
    match value:
        case list():
            yield from ((element, option.get("items")) for element in value)
        case dict():
            fields, others = fields_of(option), option.get("additionalProperties")
            yield from ((element, fields.get(name, others)) for name, element in value.items())


def read_text(value: JSON, schema: Schema, definitions: Mapping[str, JSON] = _NO_DEFINITIONS) -> JSON:
    """Turn text into the JSON value that it stands for where a schema takes no text: forms give lists as text.

    >>> read_text('["Ann", "Bob"]', {"type": "array", "items": {"type": "string"}}), read_text("42", {"type": "string"})
    (['Ann', 'Bob'], '42')
    """
    options = alternatives(schema, definitions)
    if not isinstance(value, str) or not options or any(option["type"] == "string" for option in options):
        return value
    try:
        read = read_json(value)
    except ValueError:
        return value
    return read if mismatch(read, schema, definitions) is None else value


def fit_text(value: JSON, schema: Schema, definitions: Mapping[str, JSON] = _NO_DEFINITIONS) -> JSON:
    """Turn a value into text wherever its schema takes text only: `42` for a `str` parameter is `"42"`.

    >>> fit_text([1, "a"], {"type": "array", "items": {"type": "string"}})
    ['1', 'a']
    """
    options = [option for option in alternatives(schema, definitions) if option["type"] != "null"]
    if value is None or not options:
        return value
    if all(option["type"] == "string" for option in options):
        return as_text(value)
    match value, options:
        case (list(), [{"type": "array"} as only]) | (dict(), [{"type": "object"} as only]):
            fitted = [fit_text(element, inner, definitions) for element, inner in _elements(only, value)]
            return dict(zip(value, fitted, strict=True)) if isinstance(value, dict) else fitted
    return value
