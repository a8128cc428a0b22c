import asyncio
import json
from typing import Any, Literal

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import BaseTool, StructuredTool, tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, SecretStr

from llmcompiler_graph import ConfigurationError, PlanExample, create_llm_compiler
from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.models.dialects import ToolCallDialect, function_schemas
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests.scripted_server import ScriptedServer

QUESTION: Any = {"messages": [HumanMessage("How much taller?")]}
HEIGHTS = {"Everest": 8849.0, "K2": 8611.0}


@tool
async def height(of: str) -> dict[str, float]:
    """The height of a mountain."""
    await asyncio.sleep(0.01)
    return {"metres": HEIGHTS[of]}


@tool
async def subtract(a: float, b: float) -> float:
    """Subtract b from a."""
    await asyncio.sleep(0.01)
    return a - b


TOOLS: list[BaseTool] = [height, subtract]


def calling(*calls: tuple[str, dict[str, Any]], content: str = "") -> AIMessage:
    """A reply that calls tools."""
    listed = [{"name": name, "args": args, "id": f"id{n}"} for n, (name, args) in enumerate(calls)]
    return AIMessage(content, tool_calls=listed)


EVEREST = ("height", {"task": 1, "of": "Everest"})
K2 = ("height", {"task": 2, "of": "K2"})
DIFFERENCE = ("subtract", {"task": 3, "a": "${1.metres}", "b": "$2.metres"})
PLAN = calling(EVEREST, K2, DIFFERENCE)
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


def run(
    replies: list[Any] | ScriptedModel, tools: list[BaseTool] = TOOLS, sync: bool = False, **settings: Any
) -> dict[str, Any]:
    """Run a graph whose planner calls tools, on a virtual clock if it is asked asynchronously."""
    model = replies if isinstance(replies, ScriptedModel) else ScriptedModel(replies)
    graph = create_llm_compiler(model, tools, plan_format="tools", **settings)
    final: dict[str, Any] = graph.invoke(QUESTION) if sync else run_virtual(lambda: graph.ainvoke(QUESTION))
    return final


def outcome(final: dict[str, Any]) -> list[tuple[int, str, Any]]:
    """What became of each task."""
    return [(each["index"], each["status"], each["value"] or each["error"]) for each in final["tasks"]]


# -- plans -------------------------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("chunk_size", [0, 1, 7, 1000])
def test_a_plan_of_tool_calls(sync: bool, chunk_size: int) -> None:
    """Native calls are tasks: references pass values with their types, and the state is the one any plan gives."""
    model = ScriptedModel([PLAN, "Finish: 238 m"], chunk_size=chunk_size)
    final = run(model, sync=sync)
    assert outcome(final) == [
        (1, "done", {"metres": 8849.0}),
        (2, "done", {"metres": 8611.0}),
        (3, "done", 238.0),
    ]
    question, plan, *results, answer = final["messages"]
    assert [call["name"] for call in plan.tool_calls] == ["height", "height", "subtract"]
    assert [each.tool_call_id for each in results] == [call["id"] for call in plan.tool_calls]
    assert (question.content, answer.content) == ("How much taller?", "238 m")
    assert final["rounds"][0]["plan"] == (
        '1. height(of="Everest")\n2. height(of="K2")\n3. subtract(a="${1.metres}", b="${2.metres}")\n'
    )


def test_calls_start_while_others_are_written() -> None:
    """A call starts at the brace that closes its arguments, to the character."""

    async def main() -> dict[str, Any]:
        model = ScriptedModel([PLAN, "Finish: ok"], chunk_size=1, seconds_per_reply=100)
        result: dict[str, Any] = await create_llm_compiler(model, TOOLS, plan_format="tools").ainvoke(QUESTION)
        return result

    lengths = [len(json.dumps(call["args"])) for call in PLAN.tool_calls]
    per_character = 100 / sum(lengths)
    timeline = run_virtual(main)["timeline"]
    starts = [per_character * sum(lengths[:n]) for n in (1, 2, 3)]
    assert [each["started"] for each in timeline] == pytest.approx(starts, abs=1e-4)
    assert all(each["early"] for each in timeline)


def test_what_the_model_is_told() -> None:
    """Tools are bound with widened schemas and not listed in the prompt, which says how calls refer to each other."""
    model = ScriptedModel([PLAN, "Finish: ok"])
    run(model, examples=[PlanExample("How tall is K2?", '1. height("K2")\n2. join()')])
    planner, joiner = model.settings
    parameters = planner["tools"][1]["function"]["parameters"]
    assert [*parameters["properties"]] == ["task", "a", "b", "after"]
    assert parameters["properties"]["a"] == {"anyOf": [{"type": "number"}, {"type": "string"}]}
    assert parameters["required"] == ["task", "a", "b"]
    assert planner["tools"][1]["function"]["description"] == "Subtract b from a.\nReturns: float"
    assert "tools" not in joiner
    system = model.calls[0][0].text
    assert "`task` numbers the calls" in system
    assert "Subtract b" not in system
    assert 'How tall is K2?\n\nCall the tools that are needed.\n1. height("K2")' in system
    assert model.calls[1][: len(model.calls[0])] == model.calls[0]  # one conversation that only grows


def test_indices_by_order() -> None:
    """Calls without an index are numbered in their order."""
    final = run([calling(("height", {"of": "K2"}), ("subtract", {"a": "$1.metres", "b": 11})), "Finish: ok"])
    assert outcome(final) == [(1, "done", {"metres": 8611.0}), (2, "done", 8600.0)]


def test_thoughts() -> None:
    """What is said beside the calls is a thought, numbered lines in it are no tasks."""
    final = run([calling(EVEREST, content="I will:\n1. look it up\n2. answer"), "Finish: ok"])
    assert outcome(final) == [(1, "done", {"metres": 8849.0})]
    assert final["rounds"][0]["diagnostics"] == []
    assert final["rounds"][0]["plan"].startswith("Thought: I will:\nThought: 1. look it up\n")


@pytest.mark.parametrize("reply", ["It is 238 m.", "1. Everest\n2. K2", "", "1. join()"])
def test_no_calls(reply: str) -> None:
    """A reply without calls is a plan without tasks: the joiner answers."""
    final = run([reply, "Finish: ok"])
    assert (final["tasks"], final["rounds"][0]["diagnostics"]) == ([], [])
    assert final["messages"][-1].content == "ok"


def test_plan_text_all_the_same() -> None:
    """A model that writes plan text instead is understood."""
    final = run(['I plan:\n1. height("K2")\n2. subtract(${1.metres}, 11)\n3. join()', "Finish: ok"])
    assert outcome(final)[1] == (2, "done", 8600.0)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_a_replan() -> None:
    """Indices go on, earlier observations are referable, and a model that restarts at 1 is shifted."""
    final = run(
        [
            calling(EVEREST, ("subtract", {"task": 2, "a": "${1.metres}", "b": 0})),
            "Replan: K2",
            calling(("height", {"task": 1, "of": "K2"}), ("subtract", {"task": 2, "a": "$2", "b": "${1.metres}"})),
            "Replan: more",
            calling(("subtract", {"a": "$2", "b": "${3.metres}"})),
            "Finish: ok",
        ],
        max_repairs=0,
    )
    assert outcome(final)[2:] == [
        (3, "done", {"metres": 8611.0}),
        (4, "done", 238.0),
        (5, "done", 238.0),
    ]


def test_wrong_calls_are_diagnosed() -> None:
    """Every call that cannot be used has a diagnostic with its index, located at its line; the others run."""
    reply = calling(
        ("heigth", {"task": 1, "of": "K2"}),
        ("height", {"task": 2}),
        ("subtract", {"task": 3, "a": "eight", "b": 1}),
        ("height", {"task": 4, "of": "K2"}),
        ("subtract", {"task": 5, "a": "$4", "b": "$9"}),
        ("height", {"task": 4, "of": "Everest"}),
    )
    final = run([reply, "Finish: ok"], max_repairs=0)
    found = [(each["index"], each["line"], each["code"]) for each in final["rounds"][0]["diagnostics"]]
    assert found == [
        (1, 1, "unknown-tool"),
        (2, 2, "missing-argument"),
        (3, 3, "argument-type"),
        (5, 5, "reference-type"),
        (5, 5, "argument-type"),
        (None, 6, "duplicate-index"),
    ]
    assert [each["status"] for each in final["tasks"]] == ["failed", "failed", "failed", "done", "failed"]


def test_repair() -> None:
    """Calls that cannot be used are asked for again, by their numbers, with the same tools."""
    replies: list[Any] = [calling(EVEREST, ("heigth", {"task": 2, "of": "K2"}), DIFFERENCE), calling(K2), "Finish: ok"]
    model = ScriptedModel(replies)
    final = run(model)
    assert [each["status"] for each in final["tasks"]] == ["done"] * 3
    assert final["tasks"][2]["value"] == 238.0
    assert 'task 2, written as `2. heigth(of="K2")`' in model.calls[1][-1].text
    assert model.settings[0]["tools"] == model.settings[1]["tools"]


def test_arguments_that_are_no_json() -> None:
    """A model that writes bare references is understood; a call that breaks off is a diagnostic."""
    broken = [
        {"name": "subtract", "args": '{"task": 2, "a": $1.metres, "b": 11}', "id": "b", "error": None},
        {"name": "height", "args": '{"task": 3, "of": "Ev', "id": "c", "error": None},
    ]
    reply = AIMessage("", tool_calls=[{"name": "height", "args": {"of": "K2"}, "id": "a"}], invalid_tool_calls=broken)

    model = ScriptedModel([reply, "Finish: ok"], disable_streaming=True)
    final = run(model, max_repairs=0)
    assert outcome(final)[:2] == [(1, "done", {"metres": 8611.0}), (2, "done", 8600.0)]
    assert final["tasks"][2]["status"] == "failed"
    assert "is not closed" in final["tasks"][2]["error"]


def test_a_model_that_calls_no_tools() -> None:
    """`plan_format="tools"` with a model that calls none is refused when the graph is made."""
    with pytest.raises(ConfigurationError, match="needs a model that calls tools, not FakeListChatModel"):
        create_llm_compiler(FakeListChatModel(responses=[]), TOOLS, plan_format="tools")
    with pytest.raises(ConfigurationError, match="plan_format must be 'text' or 'tools', not 'gpt-5'"):
        create_llm_compiler(ScriptedModel(), TOOLS, plan_format="gpt-5")  # type: ignore[call-overload]
    assert run([AIMessage("nothing to do"), "Finish: ok"], tools=[])["tasks"] == []


# -- schemas -----------------------------------------------------------------------------------------------------------


class Point(BaseModel):
    """A point."""

    x: float
    title: str = ""


@tool
def draw(
    points: list[Point], style: Literal["line", "dots"] = "line", width: int | None = None, label: str = ""
) -> None:
    """Draw."""


def test_any_argument_may_be_a_reference() -> None:
    """At any depth, text is allowed beside the type; plain text stays as it is, titles are left out."""
    (schema,) = function_schemas([tool_spec(draw)])
    parameters = schema["function"]["parameters"]
    text = {"type": "string"}
    assert parameters["properties"]["points"] == {
        "anyOf": [{"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/Point"}, text]}}, text]
    }
    assert parameters["properties"]["style"] == {
        "default": "line",
        "anyOf": [{"enum": ["line", "dots"], "type": "string"}, text],
    }
    assert parameters["properties"]["width"] == {
        "default": None,
        "anyOf": [{"type": "integer"}, {"type": "null"}, text],
    }
    assert parameters["properties"]["label"] == {"default": "", "type": "string"}
    point = parameters["$defs"]["Point"]["properties"]
    assert point == {"x": {"anyOf": [{"type": "number"}, text]}, "title": {"default": "", "type": "string"}}
    assert parameters["required"] == ["task", "points"]


def test_tools_with_arguments_named_task_and_after() -> None:
    """The arguments for a call's index and order get names that no tool's argument has."""

    def remind(task: str, after: int) -> str:
        """Remind of a task."""
        return f"{task} in {after}"

    made: list[BaseTool] = [StructuredTool.from_function(remind)]
    reply = calling(
        ("remind", {"task_": 1, "task": "tea", "after": 5}), ("remind", {"task": "$1", "after": 1, "after_": [1]})
    )
    model = ScriptedModel([reply, "Finish: ok"])
    final = run(model, made)
    assert [each["value"] for each in final["tasks"]] == ["tea in 5", "tea in 5 in 1"]
    assert final["tasks"][1]["text"].endswith(" after $1")
    assert "`task_` numbers the calls" in model.calls[0][0].text


def test_names_that_providers_refuse() -> None:
    """A tool with a dot in its name is offered under one that every provider takes."""
    dialect = ToolCallDialect([ToolSpec("maps.find"), ToolSpec("maps_find"), ToolSpec("x" * 80)])
    bound: Any = dialect.bind(ScriptedModel(), [ToolSpec("maps.find"), ToolSpec("maps_find")])
    assert [each["function"]["name"] for each in bound.kwargs["tools"]] == ["maps_find", "maps_find_"]
    assert dialect.reader(1).feed(calling(("maps_find", {}), ("maps_find_", {}))) == "1. maps.find()\n2. maps_find()\n"


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("streaming", [True, False])
async def test_over_http(sync: bool, streaming: bool) -> None:
    """A real client of a real server: calls arrive in pieces or whole, and the tools it is given are the graph's."""
    with ScriptedServer([PLAN, "Finish: 238 m"], chunk_size=3) as server:
        model = ChatOpenAI(
            model="scripted",
            base_url=server.base_url,
            api_key=SecretStr("sk-scripted"),
            stream_usage=True,
            disable_streaming=not streaming,
        )
        graph = create_llm_compiler(model, TOOLS, plan_format="tools")
        final = await asyncio.to_thread(graph.invoke, QUESTION) if sync else await graph.ainvoke(QUESTION)
    assert final["tasks"][2]["value"] == 238.0
    first, second = server.requests
    assert [each["function"]["name"] for each in first["tools"]] == ["height", "subtract"]
    assert (second["tools"], second["tool_choice"]) == (first["tools"], "none")  # the same beginning, for caches
    assert "tool_choice" not in first
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert final["rounds"][0]["usage"]["planner"]["output_tokens"] > 0


def test_the_prompt_names_what_is_there() -> None:
    """Models are told of no tool that does not exist."""
    model = ScriptedModel([PLAN, "Finish: ok"])
    run(model, system_prompt="Be brief.")
    system = model.calls[0][0]
    assert isinstance(system, SystemMessage)
    assert system.text.startswith("Be brief.\n\nYou answer questions by planning tool calls.")
    assert "{task}" not in system.text


class Nested(BaseModel):
    """An argument that is an object."""

    where: Point = Field(description="where it is")


def test_references_inside_objects() -> None:
    """A reference deep in an argument passes its value."""

    def place(at: Nested) -> float:
        """Place."""
        return at.where.x

    reply = calling(("subtract", {"a": 3, "b": 1}), ("place", {"at": {"where": {"x": "$1"}}}))
    final = run([reply, "Finish: ok"], [subtract, StructuredTool.from_function(place)])
    assert final["tasks"][1]["value"] == 2.0


# -- what providers leave in the text ----------------------------------------------------------------------------------


TAGGED = '<tool_call>\n{"name": "height", "arguments": {"of": "K2"}}\n</tool_call>'


def test_calls_in_the_text() -> None:
    """Calls that a server left between tags in the text are read where there are no native ones."""
    assert outcome(run([TAGGED, "Finish: ok"])) == [(1, "done", {"metres": 8611.0})]


def test_calls_in_the_text_that_are_native_too() -> None:
    """Calls that a provider gives as native ones and leaves in the text are made once."""
    final = run([calling(("height", {"of": "K2"}), content=TAGGED), "Finish: ok"])
    assert outcome(final) == [(1, "done", {"metres": 8611.0})]
    assert final["rounds"][0]["diagnostics"] == []


def test_calls_in_the_text_beside_native_ones() -> None:
    """A call that was left in the text beside native ones of other tools is asked for."""
    native = calling(("subtract", {"a": 3, "b": 1}), content=TAGGED)
    final = run([native, calling(("height", {"task": 2, "of": "K2"})), "Finish: ok"])
    assert outcome(final) == [(1, "done", 2.0), (2, "done", {"metres": 8611.0})]


@pytest.mark.parametrize("chunk_size", [0, 7])
def test_a_reply_that_only_announces_calls(chunk_size: int) -> None:
    """A reply that says which tool it will use, and uses none, is asked for again, for native calls."""
    model = ScriptedModel(
        ["I will use the height tool for K2.", calling(("height", {"of": "K2"})), "Finish: ok"], chunk_size=chunk_size
    )
    final = run(model)
    assert outcome(final) == [(1, "done", {"metres": 8611.0})]
    assert model.calls[1][-1].text.endswith("Call the tools that are needed. If none is needed, say so.")
