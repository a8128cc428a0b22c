import pytest

from llmcompiler_graph.core.checking.schema import (
    MissingField,
    Schema,
    alternatives,
    at_path,
    describe,
    fit_text,
    fits,
    has,
    literals,
    mismatch,
)
from llmcompiler_graph.core.language.references import ALL, JSON, Path

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}
LIST: Schema = {"type": "array"}
DICT: Schema = {"type": "object"}
POINT: Schema = {"$ref": "#/$defs/Point"}
TREE: Schema = {"$ref": "#/$defs/Tree"}
LOOP: Schema = {"$ref": "#/$defs/Loop"}
DEFINITIONS: dict[str, JSON] = {
    "#/$defs/Point": {"type": "object", "properties": {"x": NUMBER, "y": NUMBER}, "required": ["x", "y"]},
    "#/$defs/Tree": {
        "type": "object",
        "properties": {"name": STRING, "children": {"type": "array", "items": TREE}},
        "required": ["name"],
    },
    "#/$defs/Loop": {"anyOf": [LOOP, INTEGER]},
}
ANYTHING: list[Schema] = [None, True, {}, {"title": "X"}, {"anyOf": [STRING, {}]}, {"$ref": "#/$defs/Unknown"}]


def list_of(items: Schema) -> Schema:
    """The schema of a list."""
    return {"type": "array", "items": items}


def optional(schema: Schema) -> Schema:
    """The schema of a value that may be null."""
    return {"anyOf": [schema, NULL]}


def record(*required: str, **properties: Schema) -> Schema:
    """The schema of an object."""
    return {"type": "object", "properties": dict(properties), "required": list(required)}


@pytest.mark.parametrize("schema", ANYTHING)
def test_a_schema_that_says_nothing_fits_everything(schema: Schema) -> None:
    """A schema that says nothing fits every schema and constant both ways, and every path may be there."""
    assert alternatives(schema) == literals(schema) == []
    assert describe(schema) == "Any"
    assert fits(schema, NUMBER)
    assert fits(STRING, schema)
    assert at_path(schema, ("a", 0, ALL)) is None
    assert not has(schema, ("a",))
    assert mismatch({"a": [None]}, schema) is None
    assert fit_text(1, schema) == 1


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        (STRING, ["string"]),
        (optional(INTEGER), ["integer", "null"]),
        ({"oneOf": [STRING, NUMBER]}, ["string", "number"]),
        ({"allOf": [NUMBER]}, ["number"]),
        ({"type": ["string", "null"]}, ["string", "null"]),
        (
            {"enum": ["a", 1, 1.5, True, None, [], {}]},
            ["string", "integer", "number", "boolean", "null", "array", "object"],
        ),
        ({"const": 3}, ["integer"]),
        ({"anyOf": [STRING, {"const": "x"}, {"anyOf": [STRING]}]}, ["string", "string", "string"]),
        (POINT, ["object"]),
        (LOOP, ["integer"]),
    ],
)
def test_types_are_those_of_every_alternative(schema: Schema, names: list[str]) -> None:
    """In the order written; a definition that refers to itself ends."""
    assert [option["type"] for option in alternatives(schema, DEFINITIONS)] == names


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (STRING, []),
        ({"enum": ["m", "ft"], "type": "string"}, ["m", "ft"]),
        ({"enum": ["m", 1, None]}, ["m", 1, None]),
        ({"const": "m"}, ["m"]),
        ({"const": "m", "type": "string"}, ["m"]),
        ({"anyOf": [{"const": 1}, {"enum": [2, 3], "type": "integer"}]}, [1, 2, 3]),
        (optional({"enum": ["m"]}), []),
        ({"anyOf": [{"enum": ["m"]}, STRING]}, []),
    ],
)
def test_literals_are_listed_only_if_there_is_nothing_else(schema: Schema, values: list[JSON]) -> None:
    """A schema with one open alternative has no list of literals."""
    assert literals(schema) == values


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (STRING, "str"),
        (INTEGER, "int"),
        (NUMBER, "float"),
        (BOOLEAN, "bool"),
        (NULL, "None"),
        (LIST, "list"),
        (DICT, "dict"),
        (list_of(list_of(NUMBER)), "list[list[float]]"),
        (list_of({"enum": ["a", "b"]}), "list['a' | 'b']"),
        (optional(STRING), "str | None"),
        ({"type": ["integer", "null"]}, "int | None"),
        ({"type": "string", "enum": ["m", "ft"]}, "'m' | 'ft'"),
        ({"const": True}, "True"),
        ({"anyOf": [STRING, STRING]}, "str"),
        (record("a", a=STRING, b=list_of(INTEGER), c={}), "{a: str, b?: list[int], c?: Any}"),
        ({"type": "object", "properties": {"a": STRING}}, "{a?: str}"),
        ({"type": "object", "properties": {}}, "dict"),
        ({"type": "file"}, "file"),
        (POINT, "{x: float, y: float}"),
        (TREE, "{name: str, children?: list[{name: str, children?: list[…]}]}"),
    ],
)
def test_schemas_are_described_as_annotations(schema: Schema, text: str) -> None:
    """Schemas are described as Python annotations; types that hold themselves are cut short."""
    assert describe(schema, DEFINITIONS) == text


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (STRING, STRING, True),
        (STRING, NUMBER, False),
        (STRING, INTEGER, False),
        (STRING, BOOLEAN, False),
        (STRING, LIST, False),
        (STRING, DICT, False),
        (NUMBER, STRING, True),
        (BOOLEAN, STRING, True),
        (LIST, STRING, True),
        (DICT, STRING, True),
        (NULL, STRING, False),
        (NULL, NUMBER, False),
        (NULL, optional(NUMBER), True),
        (optional(STRING), STRING, True),
        (optional(STRING), NUMBER, False),
        (STRING, {"anyOf": [NUMBER, STRING]}, True),
        (INTEGER, NUMBER, True),
        (NUMBER, INTEGER, True),
        (BOOLEAN, NUMBER, True),
        (NUMBER, LIST, False),
        (LIST, NUMBER, False),
        (LIST, DICT, False),
        (LIST, list_of(NUMBER), True),
        (list_of(STRING), LIST, True),
        (list_of(STRING), list_of(NUMBER), False),
        (list_of(NUMBER), list_of(STRING), True),
        (list_of(list_of(STRING)), list_of(list_of(NUMBER)), False),
        (DICT, POINT, True),
        (record(x=NUMBER), POINT, False),
        (record(x=NUMBER, y=NUMBER, z=NUMBER), POINT, True),
        ({"type": "object", "properties": {"x": NUMBER}, "additionalProperties": True}, POINT, True),
        (POINT, DICT, True),
        (POINT, NUMBER, False),
        (TREE, TREE, True),
        (LOOP, STRING, True),
        (LOOP, LIST, False),
    ],
)
def test_only_what_cannot_work_does_not_fit(source: Schema, target: Schema, expected: bool) -> None:
    """Anything can become text, text never becomes a number, numbers mix."""
    assert fits(source, target, DEFINITIONS) is expected


def test_each_side_has_its_own_definitions() -> None:
    """A pointer is looked up in the definitions of its own tool, though another tool has it too."""
    other: dict[str, JSON] = {"#/$defs/Point": STRING}
    assert fits(POINT, POINT, DEFINITIONS)
    assert not fits(POINT, POINT, DEFINITIONS, other)
    assert fits(POINT, POINT, other, DEFINITIONS)


def test_a_list_of_itself_ends() -> None:
    """A type that holds itself without end fits at a depth no value has."""
    nested: dict[str, JSON] = {"#/n": {"type": "array", "items": {"$ref": "#/n"}}}
    assert fits({"$ref": "#/n"}, {"$ref": "#/n"}, nested)


@pytest.mark.parametrize(
    ("schema", "path", "expected"),
    [
        (STRING, (), STRING),
        (record(a=NUMBER), ("a",), NUMBER),
        (list_of(NUMBER), (0,), NUMBER),
        (list_of(NUMBER), (-1,), NUMBER),
        (list_of(record(id=STRING)), (ALL, "id"), STRING),
        (LIST, (0,), None),
        (DICT, ("a",), None),
        ({"type": "object", "additionalProperties": NUMBER}, ("any",), NUMBER),
        ({"type": "object", "properties": {"a": STRING}, "additionalProperties": True}, ("b",), None),
        ({"type": "object", "properties": {}}, ("b",), None),
        (STRING, ("a",), None),
        (optional(record(a=NUMBER)), ("a",), NUMBER),
        ({"anyOf": [record(a=NUMBER), record(a=STRING)]}, ("a",), {"anyOf": [NUMBER, STRING]}),
        ({"anyOf": [record(a=NUMBER), record(a={})]}, ("a",), None),
        ({"anyOf": [record(a=NUMBER), record(b=STRING)]}, ("b",), STRING),
        ({"anyOf": [record(a=NUMBER), STRING]}, ("b",), None),
        (POINT, ("x",), NUMBER),
        (TREE, ("children", 0, "children", ALL, "name"), STRING),
    ],
)
def test_a_path_selects_a_schema(schema: Schema, path: Path, expected: Schema) -> None:
    """A path selects the schema of what it leads to, `[*]` that of one element; fields of text are unknown."""
    assert at_path(schema, path, DEFINITIONS) == expected


@pytest.mark.parametrize(
    ("schema", "path", "field", "fields"),
    [
        (record(a=NUMBER, b=NUMBER), ("c",), "c", ("a", "b")),
        (record(a=record(b=NUMBER)), ("a", "c"), "c", ("b",)),
        ({"anyOf": [record(a=NUMBER), record(a=NUMBER, b=STRING)]}, ("c",), "c", ("a", "b")),
        (POINT, ("z",), "z", ("x", "y")),
        (POINT, (0,), "[0]", ()),
        (NUMBER, ("a",), "a", ()),
        ({"anyOf": [NUMBER, STRING]}, ("a",), "a", ()),
        (list_of(POINT), ("x",), "x", ()),
        (DICT, (ALL,), "[*]", ()),
        (NULL, (-1,), "[-1]", ()),
    ],
)
def test_a_path_that_cannot_be_is_missing(schema: Schema, path: Path, field: str, fields: tuple[str, ...]) -> None:
    """A path that cannot be is an error that names the field and those there are."""
    with pytest.raises(MissingField) as caught:
        at_path(schema, path, DEFINITIONS)
    assert str(caught.value) == field
    assert caught.value.fields == fields


@pytest.mark.parametrize(
    ("schema", "path", "expected"),
    [
        (POINT, ("x",), True),
        (POINT, ("z",), False),
        (POINT, (0,), False),
        (DICT, ("x",), False),
        (STRING, ("x",), False),
        (STRING, (0,), False),
        (LIST, (0,), True),
        (LIST, (ALL,), True),
        (LIST, ("x",), False),
        (list_of(POINT), (0, "y"), True),
        (optional(POINT), ("x",), True),
    ],
)
def test_only_what_is_named_is_there(schema: Schema, path: Path, expected: bool) -> None:
    """`has` knows of what the schema names, not of what merely could be there."""
    assert has(schema, path, DEFINITIONS) is expected


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ("a", STRING),
        (1, INTEGER),
        (2.0, INTEGER),
        (1, NUMBER),
        (1.5, NUMBER),
        (True, BOOLEAN),
        (None, NULL),
        (None, optional(STRING)),
        ("m", {"type": "string", "enum": ["m", "ft"]}),
        ("m", {"const": "m"}),
        ([], list_of(NUMBER)),
        ([1, 2.5], list_of(NUMBER)),
        ([1, "a"], LIST),
        ({}, DICT),
        ({"x": 1, "y": 2}, POINT),
        ({"x": 1, "y": 2, "more": "z"}, POINT),
        ({"a": 1}, {"type": "object", "additionalProperties": NUMBER}),
        ({"name": "a", "children": [{"name": "b"}]}, TREE),
    ],
)
def test_constants_that_fit(value: JSON, schema: Schema) -> None:
    """A constant that fits its schema is no mismatch."""
    assert mismatch(value, schema, DEFINITIONS) is None


@pytest.mark.parametrize(
    ("value", "schema", "problem"),
    [
        (1, STRING, "expected str, not 1"),
        ("9", NUMBER, "expected float, not '9'"),
        (1.5, INTEGER, "expected int, not 1.5"),
        (True, INTEGER, "expected int, not True"),
        (True, NUMBER, "expected float, not True"),
        (1, BOOLEAN, "expected bool, not 1"),
        (None, STRING, "expected str, not None"),
        (1, optional(STRING), "expected str | None, not 1"),
        ("km", {"type": "string", "enum": ["m", "ft"]}, "expected 'm' | 'ft', not 'km'"),
        (True, {"enum": [1]}, "expected 1, not True"),
        ("b", {"const": "a"}, "expected 'a', not 'b'"),
        (["a"], list_of(NUMBER), "expected list[float], not ['a']"),
        ("a", list_of(STRING), "expected list[str], not 'a'"),
        ([], DICT, "expected dict, not []"),
        ({"x": 1}, POINT, "expected {x: float, y: float}, not {'x': 1}"),
        ({"x": 1, "y": "2"}, POINT, "expected {x: float, y: float}, not {'x': 1, 'y': '2'}"),
        (
            {"a": "1"},
            {"type": "object", "additionalProperties": NUMBER},
            "expected dict, not {'a': '1'}",
        ),
    ],
)
def test_constants_that_do_not_fit(value: JSON, schema: Schema, problem: str) -> None:
    """A constant that does not fit leads to a complaint that says what was expected, and the value."""
    assert mismatch(value, schema, DEFINITIONS) == problem


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        (42, STRING, "42"),
        (1.5, STRING, "1.5"),
        (True, STRING, "true"),
        ("a", STRING, "a"),
        ([1, "é"], STRING, '[1, "é"]'),
        ({"a": None}, STRING, '{"a": null}'),
        (None, STRING, None),
        (42, optional(STRING), "42"),
        (None, optional(STRING), None),
        (42, {"anyOf": [STRING, INTEGER]}, 42),
        ("9", NUMBER, "9"),
        ([1, [2]], list_of(STRING), ["1", "[2]"]),
        ([1], LIST, [1]),
        ([1], optional(list_of(STRING)), ["1"]),
        ({"name": 1, "children": [{"name": 2}]}, TREE, {"name": "1", "children": [{"name": "2"}]}),
        ({"a": 1}, {"type": "object", "additionalProperties": STRING}, {"a": "1"}),
        (1, list_of(STRING), 1),
    ],
)
def test_values_become_text_where_only_text_is_taken(value: JSON, schema: Schema, expected: JSON) -> None:
    """At any depth; null is never text, and where something else is taken nothing changes."""
    fitted = fit_text(value, schema, DEFINITIONS)
    assert fitted == expected
    assert type(fitted) is type(expected)
