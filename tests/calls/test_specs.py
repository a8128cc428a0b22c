import json
import sys
import typing
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool, Tool, tool
from langgraph.prebuilt import InjectedState, ToolRuntime
from langgraph.types import Command
from pydantic import BaseModel, Field, field_validator, model_validator
from typing_extensions import TypedDict

from llmcompiler_graph import ConfigurationError
from llmcompiler_graph.calls.specs import as_tools, tool_spec, tool_specs
from llmcompiler_graph.core.checking.schema import describe


class Place(BaseModel):
    """A place."""

    name: str
    metres: float | None = None


class Hit(TypedDict):
    """A hit."""

    id: int
    place: Place


def hits(query: str, limit: Annotated[int, Field(ge=1, le=50)] = 10) -> list[Hit]:
    """Search."""
    return []


# -- tools -------------------------------------------------------------------------------------------------------------


def test_callables_become_tools() -> None:
    """Tools stay what they are; documented functions become tools."""
    given = tool(hits)
    assert as_tools([given])[0] is given
    (made,) = as_tools([hits])
    assert (made.name, made.description) == ("hits", "Search.")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"type": "web_search"}], "a tool must be a LangChain tool or a documented callable, not dict"),
        (["search"], "a tool must be a LangChain tool or a documented callable, not str"),
        ([hits, tool(hits)], "two tools are named 'hits'"),
        ([lambda x: x], "^'<lambda>' cannot be made a tool: Function must have a docstring"),
        (hits, "^tools must be a list of tools, not <function hits"),
        (tool(hits), "^tools must be a list of tools, not StructuredTool"),
    ],
)
def test_what_is_no_tool(given: Any, message: str) -> None:
    """What plans could not call is refused at once, and named."""
    with pytest.raises(ConfigurationError, match=message):
        as_tools(given)


class Called(BaseModel):
    """Arguments that no JSON can be."""

    a: Callable[[], int]


def check_without_a_schema(arguments: Any, message: str) -> None:
    """Check that a tool with such arguments is refused, by its name."""
    given = StructuredTool.from_function(lambda a: a, name="look", description="Look.", args_schema=arguments)
    with pytest.raises(ConfigurationError, match=f"the arguments of the tool 'look' .*{message}"):
        tool_spec(given)


def test_arguments_without_a_schema() -> None:
    """A tool whose arguments have no JSON Schema is refused by name."""
    check_without_a_schema(Called, "Cannot generate a JsonSchema")


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pydantic.v1 is not there for this Python")
def test_arguments_of_the_old_pydantic() -> None:
    """Arguments that are a model of pydantic.v1 are refused, and called that."""
    from pydantic.v1 import create_model

    check_without_a_schema(create_model("Old", a=(str, ...)), "are a model of pydantic.v1, which is not supported")


@pytest.mark.parametrize("name", ["search", "github-api.list/all", "Größe", "_x1"])
def test_names(name: str) -> None:
    """Every name that plan text can hold is the tool's in plans too."""
    (spec,) = tool_specs(as_tools([tool(name)(hits)]))
    assert (spec.name, spec.called) == (name, name)


# -- specs -------------------------------------------------------------------------------------------------------------


def test_parameters() -> None:
    """Parameters, in order, with their schemas; those with a default are optional."""
    spec = tool_spec(tool(hits))
    assert list(spec.parameters) == ["query", "limit"]
    assert spec.required == {"query"}
    assert spec.parameters["limit"] == {"default": 10, "maximum": 50, "minimum": 1, "title": "Limit", "type": "integer"}
    assert not spec.open_arguments


def test_returns() -> None:
    """The return annotation says what references to a task will be."""
    spec = tool_spec(tool(hits))
    assert spec.returns == {"items": {"$ref": "#/$returns/Hit"}, "type": "array"}
    assert spec.definitions["#/$returns/Hit"]["properties"]["place"] == {"$ref": "#/$returns/Place"}  # type: ignore[index, call-overload]


def test_what_a_tool_turns_into_something_else_is_not_checked() -> None:
    """A constant that a validator of the tool's own may still change is let pass, any other is checked."""

    class Tags(BaseModel):
        tags: list[str]
        limit: int

        @field_validator("tags", mode="before")
        @classmethod
        def split(cls, value: Any) -> Any:
            """Split text at commas."""
            return value.split(",") if isinstance(value, str) else value

    class Anything(Tags):
        @model_validator(mode="before")
        @classmethod
        def take(cls, value: Any) -> Any:
            """Take anything."""
            return {**value, "limit": 5}

    for schema, complaint in ((Tags, True), (Anything, False)):

        @tool(args_schema=schema)
        def find(tags: list[str], limit: int) -> list[str]:
            """Find."""
            return tags[:limit]

        validate = tool_spec(find).validate
        assert validate is not None
        assert validate("tags", "a,b") is None
        assert (validate("limit", "many") is not None) == complaint


def test_constants_are_validated_as_the_tool_does() -> None:
    """Single constants are checked against the tool's own schema, constraints and coercions included."""
    validate = tool_spec(tool(hits)).validate
    assert validate is not None
    assert validate("limit", 50) is None
    assert validate("limit", "7") is None
    assert validate("unknown", "x") is None
    assert validate("limit", 51) == "input should be less than or equal to 50, not 51"
    assert "not 'many'" in str(validate("limit", "many"))


def test_nested_constants() -> None:
    """Of a fault inside a nested constant, the diagnostic says where it is."""

    @tool
    def put(places: list[Place]) -> None:
        """Put."""

    validate = tool_spec(put).validate
    assert validate is not None
    assert validate("places", [{"name": "K2"}]) is None
    assert validate("places", [{"name": "K2", "metres": "high"}]) == (
        "input should be a valid number, unable to parse string as a number, not 'high' at [0]['metres']"
    )


def test_injected_arguments_are_not_parameters() -> None:
    """What LangGraph injects is not the planner's business."""

    @tool
    def look(
        text: str, runtime: ToolRuntime, state: Annotated[dict[str, Any], InjectedState], config: RunnableConfig
    ) -> str:
        """Look."""
        return text

    assert list(tool_spec(look).parameters) == ["text"]


class Sought(BaseModel):
    """Arguments without what is injected."""

    text: str


def test_tools_that_see_the_state() -> None:
    """A tool sees the state by its arguments, or by its function's where the arguments are given by themselves."""

    def look(text: str) -> str:
        return text

    def look_around(text: str, tasks: Annotated[list[Any], InjectedState("tasks")]) -> str:
        return text

    async def look_up(text: str, around: ToolRuntime[Any, Any]) -> str:
        return text

    async def ask_server(runtime: Annotated[object | None, InjectedToolArg()] = None, **arguments: Any) -> str:
        return "as MCP's adapters do"

    def sees(**function: Any) -> bool:
        tools = [
            StructuredTool.from_function(name="look", description="Look.", args_schema=form, **function)
            for form in (None, Sought, Sought.model_json_schema())
        ]
        found = {tool_spec(each).sees_state for each in tools}
        assert len(found) == 1
        return found.pop()

    assert not sees(func=look)
    assert sees(func=look_around)
    assert sees(coroutine=look_up)
    served = StructuredTool(
        name="ask", description="Ask.", coroutine=ask_server, args_schema=Sought.model_json_schema()
    )
    assert not tool_spec(served).sees_state


def test_hints() -> None:
    """MCP's annotation names in the metadata say what may be done with a tool."""
    made = tool(hits)
    assert not tool_spec(made).repeatable
    assert not tool_spec(made).has_effects
    made.metadata = {"readOnlyHint": True, "idempotentHint": True}
    assert tool_spec(made).repeatable
    made.metadata = {"destructiveHint": True}
    assert tool_spec(made).has_effects
    made.metadata = {"readOnlyHint": False}
    assert tool_spec(made).has_effects


def test_output_schema() -> None:
    """An `outputSchema` in the metadata counts more than the annotation."""
    made = tool(hits)
    made.metadata = {"outputSchema": {"$ref": "#/$defs/P", "$defs": {"P": {"type": "number"}}}}
    spec = tool_spec(made)
    assert describe(spec.returns, spec.definitions) == "float"


def test_definitions_of_one_name() -> None:
    """What a name means in the output's schema is not what it means in the input's, however deep it is used."""

    def schema(name: str) -> dict[str, Any]:
        item = {"type": "object", "properties": {name: {"$ref": "#/$defs/Name"}}, "required": [name]}
        defs = {"Item": item, "Name": {"type": "integer" if name == "id" else "string"}}
        return {"type": "object", "properties": {"item": {"$ref": "#/$defs/Item"}}, "required": ["item"], "$defs": defs}

    made = StructuredTool(
        name="create",
        description="Create.",
        args_schema=schema("name"),
        func=dict,
        metadata={"outputSchema": schema("id")},
    )
    spec = tool_spec(made)
    assert describe(spec.parameters["item"], spec.definitions) == "{name: str}"
    assert describe(spec.returns, spec.definitions) == "{item: {id: int}}"


def test_schemas_given_as_json() -> None:
    """A tool whose arguments are a JSON Schema (an MCP tool) is read the same."""

    async def call(**kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
        return [], {}

    schema = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/At"}, "n": {"type": "integer"}},
        "required": ["at"],
        "additionalProperties": True,
        "$defs": {"At": {"type": "object", "properties": {"x": {"type": "number"}}}},
    }
    made = StructuredTool(
        name="mcp", description="x", args_schema=schema, coroutine=call, response_format="content_and_artifact"
    )
    spec = tool_spec(made)
    assert (list(spec.parameters), set(spec.required), spec.open_arguments) == (["at", "n"], {"at"}, True)
    assert spec.definitions["#/$defs/At"] == schema["$defs"]["At"]  # type: ignore[index]
    assert (spec.returns, spec.validate) == (None, None)


def test_tools_of_one_text() -> None:
    """LangChain's single-input `Tool` has one parameter."""
    spec = tool_spec(Tool(name="echo", description="Echo.", func=lambda text: text))
    assert list(spec.parameters) == ["tool_input"]


class Custom(BaseTool):
    """A tool that is a class."""

    name: str = "custom"
    description: str = "Do something."

    def _run(self, n: int, factor: float = 2.0) -> float:
        return n * factor


def test_tools_that_are_classes() -> None:
    """A tool that is a class takes and returns what its `_run` says."""
    spec = tool_spec(Custom())
    assert (list(spec.parameters), set(spec.required), spec.returns) == (["n", "factor"], {"n"}, {"type": "number"})


def _message(x: int) -> ToolMessage:
    """Do."""
    return ToolMessage("", tool_call_id="")


def _command(x: int) -> Command[Any]:
    """Do."""
    return Command()


def _either(x: int) -> list[str | Command[Any]]:
    """Do."""
    return []


def _any(x: int) -> Any:
    """Do."""


def _unsaid(x: int):  # type: ignore[no-untyped-def]
    """Do."""


def _inexpressible(x: int) -> type[Any] | object:
    """Do."""
    return object


@pytest.mark.parametrize("function", [_message, _command, _either, _any, _unsaid])
def test_unknown_returns(function: Any) -> None:
    """Where it is not known what a tool returns, nothing is assumed."""
    assert tool_spec(tool(function)).returns is None


def test_unresolvable_returns() -> None:
    """A return annotation that only a type checker can resolve says nothing of what is returned."""

    def search(query: str) -> "Nowhere":  # type: ignore[name-defined]  # noqa: F821
        return query

    class Query(BaseModel):
        query: str

    made = StructuredTool(name="search", description="Search.", func=search, args_schema=Query)
    assert tool_spec(made).returns is None


def test_inexpressible_returns() -> None:
    """A return type that JSON Schema cannot say is unknown, and no error."""
    assert tool_spec(tool(_inexpressible)).returns in (None, {})


class Spot(typing.TypedDict):
    """A spot, as the standard library writes it."""

    name: str


class Hill(Spot, total=False):
    """One that is inherited, with keys that may be missing, others like it inside, and itself."""

    height_m: float
    near: list[Spot]
    also: dict[str, Spot] | None
    higher: "Hill"


@pytest.mark.parametrize("annotation", [Hill, list[Hill], Hill | None, Annotated[list[Hill], "hills"], dict[str, Hill]])
def test_typed_dicts_of_the_standard_library(annotation: Any) -> None:
    """What a tool returns is known from a `typing.TypedDict` too, which pydantic does not read before Python 3.12."""

    def hill() -> Any:
        """A hill."""

    hill.__annotations__["return"] = annotation
    spec = tool_spec(StructuredTool.from_function(hill))
    written = json.dumps([spec.returns, spec.definitions])
    assert all(f'"{name}"' in written for name in ("name", "height_m", "near", "also"))
    assert '"required": ["name"]' in written
