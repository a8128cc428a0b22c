"""Schemas in every shape that MCP servers and pydantic write."""

from typing import Annotated, Any, Literal, cast

import pytest
from langchain_core.tools import BaseTool, StructuredTool, tool
from pydantic import BaseModel, ConfigDict, Field

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.calls.json_schemas import read_arguments, read_value, unwrapped
from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.core.checking.checker import Checker
from llmcompiler_graph.core.checking.schema import at_path, describe
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.language.references import Reference, Value
from llmcompiler_graph.models.system import signature
from llmcompiler_graph.testing import ScriptedModel

POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
ID = {"type": "integer"}


def served(schema: Any, got: dict[str, Any] | None = None, **more: Any) -> StructuredTool:
    """A tool as MCP adapters make it."""

    async def call(**given: Any) -> Any:
        if got is not None:
            got.update(given)
        return "ok"

    return StructuredTool(name="t", description="Do.", args_schema=schema, coroutine=call, **more)


@pytest.mark.parametrize(
    ("schema", "declared"),
    [
        (
            {"type": "object", "properties": {"at": {"$ref": "#/$defs/P"}}, "$defs": {"P": POINT}},
            "t(at: {x: float} = None)",
        ),
        ({"properties": {"at": {"$ref": "#/definitions/P"}}, "definitions": {"P": POINT}}, "t(at: {x: float} = None)"),
        (
            {"properties": {"a": POINT, "b": {"$ref": "#/properties/a"}}, "required": ["a", "b"]},
            "t(a: {x: float}, b: {x: float})",
        ),
        (
            {
                "properties": {"at": {"$ref": "#/$defs/Q"}},
                "$defs": {"Q": {"$ref": "#/$defs/geo/$defs/P"}, "geo": {"$defs": {"P": POINT}}},
            },
            "t(at: {x: float} = None)",
        ),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/one/P"}, "b": {"$ref": "#/$defs/two/P"}},
                "$defs": {"one": {"P": ID}, "two": {"P": POINT}},
            },
            "t(a: int = None, b: {x: float} = None)",
        ),
        ({"properties": {"a": {"$ref": "#/$defs/a~1b%20c~0"}}, "$defs": {"a/b c~": ID}}, "t(a: int = None)"),
        ({"properties": {"a": {"$ref": "#id"}}, "$defs": {"I": {"$anchor": "id", **ID}}}, "t(a: int = None)"),
        (
            {"properties": {"a": {"$ref": "#/$defs/U/anyOf/1"}}, "$defs": {"U": {"anyOf": [POINT, ID]}}},
            "t(a: int = None)",
        ),
        ({"properties": {"a": {"$ref": "#/$defs/Gone"}}}, "t(a: Any = None)"),
        ({"properties": {"a": {"$ref": "https://example.com/p.json"}}}, "t(a: Any = None)"),
        (
            {"properties": {"a": {"$ref": "#/$defs/P", "description": "A"}}, "$defs": {"P": POINT}},
            "t(a: {x: float} = None)",
        ),
        (
            {
                "properties": {"node": {"$ref": "#/$defs/N"}},
                "$defs": {"N": {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}},
            },
            "t(node: {next?: {next?: {next?: {next?: …}}}} = None)",
        ),
        (
            {"properties": {"tree": {"$ref": "#"}}, "type": "object"},
            "t(tree: {tree?: {tree?: {tree?: {tree?: …}}}} = None)",
        ),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"n": ID}, "required": ["n"]}}}, "t(n: int)"),
        (
            {"allOf": [{"properties": {"n": ID}, "required": ["n"]}, {"properties": {"m": ID}}]},
            "t(n: int, m: int = None)",
        ),
        (
            {
                "properties": {"k": ID},
                "allOf": [{"$ref": "#/$defs/B"}],
                "$defs": {"B": {"properties": {"n": ID}, "required": ["n"]}},
            },
            "t(k: int = None, n: int)",
        ),
        (
            {
                "anyOf": [
                    {"properties": {"n": ID, "m": ID}, "required": ["n", "m"]},
                    {"properties": {"n": {"type": "string"}}, "required": ["n"]},
                ]
            },
            "t(n: int | str, m: int = None)",
        ),
        (
            {"oneOf": [{"properties": {"n": ID}, "required": ["n"]}, {"properties": {"m": ID}, "required": ["m"]}]},
            "t(n: int = None, m: int = None)",
        ),
        (
            {"properties": {"n": ID, "m": ID}, "anyOf": [{"required": ["n"]}, {"required": ["m"]}]},
            "t(n: int = None, m: int = None)",
        ),
        ({"anyOf": [{"properties": {"n": ID}, "required": ["n"]}, {"type": "null"}]}, "t(n: int)"),
        ({"properties": {"n": {"type": ["integer", "null"]}}}, "t(n: int | None = None)"),
        ({"type": ["object", "null"], "properties": {"n": {"type": ["string", "number"]}}}, "t(n: str | float = None)"),
        ({"properties": {"n": {"type": "string", "nullable": True}}}, "t(n: str | None = None)"),
        (
            {"properties": {"n": {"allOf": [POINT, {"properties": {"y": ID}}], "description": "N"}}},
            "t(n: {x: float, y?: int} = None)",
        ),
        (
            {"properties": {"n": {"allOf": [POINT, {"type": "object", "properties": {"y": ID}}], "description": "N"}}},
            "t(n: {x: float, y?: int} = None)",
        ),
        ({"properties": {"n": True, "m": {}}}, "t(n: Any = None, m: Any = None)"),
        (
            {"properties": {"$ref": {"type": "string"}, "default": ID, "$defs": ID}},
            "t($ref: str = None, default: int = None, $defs: int = None)",
        ),
        (
            {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}, "m": {"type": ["String"]}}},
            "t(n: int = None, m: str = None)",
        ),
        (
            {"properties": {"n": {"type": "any"}, "m": {"type": []}, "k": {"type": ["int", "null"]}}},
            "t(n: Any = None, m: Any = None, k: Any = None)",
        ),
        ({"type": "object"}, "t()"),
        ({}, "t()"),
        ({"type": "object", "properties": {}, "required": None, "additionalProperties": False}, "t()"),
        ({"type": "object", "properties": None}, "t()"),
    ],
)
def test_arguments(schema: dict[str, Any], declared: str) -> None:
    """The planner is told of every argument, whichever part of the schema it stands in; a graph can be made."""
    assert signature(tool_spec(served(schema))) == declared
    for plan_format in ("text", "tools"):
        create_llm_compiler(ScriptedModel(), [served(schema)], plan_format=plan_format)


@pytest.mark.parametrize(
    ("schema", "is_open"),
    [
        ({"additionalProperties": True}, True),
        ({"additionalProperties": {}}, True),
        ({"additionalProperties": {"type": "string"}}, True),
        ({"unevaluatedProperties": True}, True),
        ({"patternProperties": {"^x-": {"type": "string"}}}, True),
        ({"allOf": [{"additionalProperties": True}]}, True),
        ({"additionalProperties": False}, False),
        ({"properties": {"n": {"type": "object", "additionalProperties": True}}}, False),
        ({}, False),
    ],
)
def test_open_arguments(schema: dict[str, Any], is_open: bool) -> None:
    """A schema that allows arguments it does not name, in any way, is one of an open tool."""
    assert read_arguments(schema).open == is_open


@pytest.mark.parametrize("key", ["anyOf", "oneOf", "allOf", "prefixItems", "properties", "patternProperties", "items"])
@pytest.mark.parametrize("held", [None, "x", 3, [], {}, {"a": 1}, [None], ["x"]], ids=repr)
def test_keywords_that_hold_something_else(key: str, held: Any) -> None:
    """They say nothing; the graph is made in both formats."""
    tool = served({"type": "object", "properties": {"x": {key: held}}})
    for plan_format in ("text", "tools"):
        create_llm_compiler(ScriptedModel(), [tool], plan_format=plan_format)
    for value in (1, [1], {"a": 1}):
        Checker([tool_spec(tool)]).check(Task(1, "t", {"x": cast("Value", value)}))


@pytest.mark.parametrize("name", ["any", "int", "float", "date", "object|null", "", 3, [], ["any", "null"], {"a": 1}])
def test_types_that_json_schema_has_not(name: Any) -> None:
    """They say nothing: whatever is given for such an argument is for the tool to judge."""
    spec = tool_spec(served({"properties": {"x": {"type": name, "description": "X"}}, "required": ["x"]}))
    values: list[Value] = [1, "a", [1], {"b": 1}, None]
    for value in values:
        assert Checker([spec]).check(Task(1, "t", {"x": value})).diagnostics == []


BOMBS: dict[str, dict[str, Any]] = {
    "all of itself": {"type": "object", "allOf": [{"$ref": "#"}, {"$ref": "#"}]},
    "all of two that are": {
        "$ref": "#/$defs/A0",
        "$defs": {
            **{f"A{n}": {"allOf": [{"$ref": f"#/$defs/A{n + 1}"}, {"$ref": f"#/$defs/A{n + 1}"}]} for n in range(30)},
            "A30": POINT,
        },
    },
    "one of itself": {"type": "object", "anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"properties": {"x": {"$ref": "#"}}}]},
    "itself in forty fields": {
        "properties": {"x": {"$ref": "#/$defs/M"}},
        "$defs": {"M": {"type": "object", "properties": {f"p{n}": {"$ref": "#/$defs/M"} for n in range(40)}}},
    },
    "a union of objects that hold it": {
        "properties": {"x": {"$ref": "#/$defs/M"}},
        "$defs": {
            "M": {
                "anyOf": [
                    {"type": "object", "properties": {"a": {"$ref": "#/$defs/M"}, f"k{n}": ID}, "required": ["a"]}
                    for n in range(12)
                ]
            }
        },
    },
    "allOf within allOf": {
        "properties": {"x": {"$ref": "#/$defs/M"}},
        "$defs": {
            "M": {"allOf": [{"$ref": "#/$defs/M"}, *({"allOf": [{"$ref": "#/$defs/M"}, POINT]} for _ in range(9))]}
        },
    },
}


@pytest.mark.parametrize("schema", BOMBS.values(), ids=BOMBS)
@pytest.mark.timeout(30)
@pytest.mark.filterwarnings("ignore:in the arguments of the tool .* would have to hold itself")
def test_a_schema_that_multiplies(schema: dict[str, Any]) -> None:
    """However many ways lead to its parts, it is read, described and checked in no time, also as what is returned."""
    tool = served(schema, metadata={"outputSchema": schema})
    spec = tool_spec(tool)
    assert len(signature(spec)) < 20_000
    value: Value = 1
    for _ in range(20):
        value = {"a": value}
    checker = Checker([spec])
    for task in (
        Task(1, "t", {"x": value}),
        Task(2, "t", {"x": Reference(1)}),
        Task(3, "t", {"x": Reference(1, ("x",))}),
    ):
        checker.check(task)
    create_llm_compiler(ScriptedModel(), [tool], plan_format="tools")


def test_a_schema_without_end() -> None:
    """A schema that is nested without end, or refers to itself in `allOf`, says nothing from some depth on."""
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(900):
        deep = {"type": "array", "items": deep}
    assert signature(tool_spec(served({"properties": {"a": deep}}))) == "t(a: list[list[list[list[…]]]] = None)"
    for _ in range(900):
        deep = {"allOf": [deep]}
    assert read_arguments(deep).properties == {}
    itself = {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}, POINT]}}}
    assert signature(tool_spec(served(itself))) == "t(a: Any = None)"
    assert read_arguments({"$ref": "#", "properties": {"a": ID}}).properties == {"a": ID}


def test_what_is_no_schema_stays_as_it_is() -> None:
    """Defaults, examples and constants that look like references or definitions are data."""
    given = {"default": {"$ref": "#/x", "definitions": 1}, "const": {"$defs": 2}, "examples": [{"$ref": "#/y"}]}
    assert read_value(given, "#/$returns/") == (given, {})


class Extra(BaseModel):
    """Arguments of any name."""

    model_config = ConfigDict(extra="allow")
    city: str


class ByKind(BaseModel):
    """Arguments with a union by a field, and with aliases."""

    shape: Annotated[Annotated["Circle", Field()] | Annotated["Square", Field()], Field(discriminator="kind")]
    from_: int = Field(alias="from")


class Circle(BaseModel):
    """A circle."""

    kind: Literal["circle"]
    radius: float


class Square(BaseModel):
    """A square."""

    kind: Literal["square"]
    side: float


class Node(BaseModel):
    """A node of a tree."""

    children: list["Node"] = []


def call(tools: list[BaseTool], plan: str) -> list[Any]:
    """Run a plan; return the values, or the errors."""
    graph: Any = create_llm_compiler(ScriptedModel([plan, "Finish: ok"]), tools, max_repairs=0)
    final = graph.invoke({"messages": [("user", "?")]})
    return [task["error"] or task["value"] for task in final["tasks"]]


def test_schemas_of_pydantic() -> None:
    """`extra="allow"`, unions by a field, aliases and recursive models are checked, passed on and shown."""
    ByKind.model_rebuild()

    @tool(args_schema=Extra)
    def extra(**given: Any) -> Any:
        """Take anything."""
        return given

    @tool(args_schema=ByKind)
    def by_kind(**given: Any) -> str:
        """Take a shape."""
        return str(given)

    @tool(args_schema=Node)
    def tree(children: list[Node]) -> int:
        """Count."""
        return len(children)

    assert call([extra], '1. extra(city="Rome", unit="C")\n2. extra(unit="C")') == [
        {"city": "Rome", "unit": "C"},
        "'extra' needs `city` (str)",
    ]
    shapes = call(
        [by_kind], '1. by_kind(shape={"kind": "circle", "radius": 2}, from=1)\n2. by_kind({"kind": "cube"}, 1)'
    )
    assert "radius=2.0" in shapes[0]
    assert "shape" in shapes[1]
    assert call([tree], "1. tree([{'children': [{'children': []}]}, {'children': []}])") == [2]


@pytest.mark.parametrize("arguments", ["", "{}", "null", "None"])
@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": {}}, {"properties": {"n": ID}}])
def test_no_arguments(arguments: str, schema: dict[str, Any]) -> None:
    """A tool that needs no arguments may be called with nothing, an empty object or `null`."""
    assert call([served(schema)], f"1. t({arguments})") == ["ok"]


def test_no_arguments_of_a_function() -> None:
    """So may a function without parameters; what takes an object gets it, what needs something says so."""

    @tool
    def now() -> str:
        """Tell the time."""
        return "noon"

    @tool
    def size(of: dict[str, Any]) -> int:
        """Count."""
        return len(of)

    @tool
    def root(n: float) -> float:
        """Take the root."""
        return float(n**0.5)

    plan = "1. now({})\n2. now(null)\n3. now()\n4. size({})\n5. root({})\n6. now(1)"
    *values, missing, many = call([now, size, root], plan)
    assert values == ["noon", "noon", "noon", 0]
    assert missing == "'root' needs `n` (float)"
    assert "takes no arguments" in many


def test_arguments_as_one_object_of_an_open_tool() -> None:
    """A tool that takes any arguments takes them as one JSON object too."""
    got: dict[str, Any] = {}
    assert call([served({"additionalProperties": True}, got)], '1. t({"a": 1, "b": [2]})') == ["ok"]
    assert got == {"a": 1, "b": [2]}


def test_references_into_what_a_tool_returns() -> None:
    """An output schema in any shape lets references be checked; what it means is apart from the input's."""
    output = {
        "allOf": [
            {"$ref": "#/definitions/Base"},
            {"type": "object", "properties": {"at": {"$ref": "#/definitions/P"}}},
        ],
        "definitions": {"Base": {"type": "object", "properties": {"id": ID}, "required": ["id"]}, "P": POINT},
    }
    given = {"properties": {"p": {"$ref": "#/definitions/P"}}, "definitions": {"P": ID}}
    spec = tool_spec(served(given, metadata={"outputSchema": output}))
    assert describe(spec.parameters["p"], spec.definitions) == "int"
    assert describe(spec.returns, spec.definitions) == "{id: int, at?: {x: float}}"
    assert describe(at_path(spec.returns, ("at", "x"), spec.definitions), spec.definitions) == "float"


@pytest.mark.parametrize(
    ("schema", "inner"),
    [
        ({"properties": {"result": ID}, "x-fastmcp-wrap-result": True}, ID),
        ({"properties": {"result": ID}, "required": ["result"], "title": "priceOutput"}, ID),
        (
            {"properties": {"result": {"$ref": "#/$defs/P"}}, "$defs": {"P": POINT}, "x-fastmcp-wrap-result": True},
            POINT,
        ),
        ({"properties": {"result": True}, "x-fastmcp-wrap-result": True}, {}),
        ({"properties": {"result": ID}, "required": ["result"], "title": "SumOutput"}, None),
        ({"properties": {"result": ID}, "required": ["result"]}, None),
        ({"properties": {"result": ID, "unit": ID}, "x-fastmcp-wrap-result": True}, None),
        ({"type": "object"}, None),
    ],
)
def test_what_fastmcp_wraps(schema: dict[str, Any], inner: Any) -> None:
    """A value that FastMCP wrapped, by its mark, is what plans see; an object of the author's stays an object."""
    made = unwrapped(schema)
    assert (made is None) == (inner is None)
    if made is not None:
        value, definitions = read_value(made, "#/$returns/")
        assert describe(value, definitions) == describe(inner)
