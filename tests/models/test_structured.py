import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Union

import pytest
from langchain.agents.structured_output import (
    AutoStrategy,
    ProviderStrategy,
    StructuredOutputError,
    StructuredOutputValidationError,
    ToolStrategy,
)
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, Field, RootModel, SecretStr
from typing_extensions import TypedDict

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from tests.scripted_server import ScriptedServer

QUESTION: Any = {"messages": [HumanMessage("How high is K2?")]}
WORK = ['1. look("K2")\n2. join()', "Finish: K2 is 8611 m high"]


@tool
async def look(text: str) -> str:
    """Look."""
    return f"saw {text}"


class Height(BaseModel):
    """A height."""

    metres: float = Field(ge=0)


class Unknown(BaseModel):
    """No height."""

    why: str


@dataclass
class Metres:
    """A height."""

    metres: float


class Typed(TypedDict):
    """A height."""

    metres: float


TITLED = {
    "title": "Height of a mountain",
    "type": "object",
    "properties": {"metres": {"$ref": "#/$defs/Metres"}},
    "required": ["metres"],
    "$defs": {"Metres": {"type": "number"}},
}
UNTITLED = {"type": "object", "properties": {"metres": {"type": "number"}}, "required": ["metres"]}
VALUE = {"metres": 8611.0}


def call(name: str, id_: str = "1", **arguments: Any) -> dict[str, Any]:
    """A tool call."""
    return {"name": name, "args": arguments, "id": id_, "type": "tool_call"}


def calling(*calls: dict[str, Any]) -> AIMessage:
    """A reply that calls tools."""
    return AIMessage("", tool_calls=list(calls))


async def run(form: Any, *replies: Any, sync: bool = False) -> tuple[dict[str, Any], ScriptedModel]:
    """Run a graph whose model gives these replies when it is asked for a form."""
    model = ScriptedModel([*WORK, *replies])
    graph = create_llm_compiler(model, [look], response_format=form)
    final = await asyncio.to_thread(graph.invoke, QUESTION) if sync else await graph.ainvoke(QUESTION)
    assert final["messages"][-1].text == "K2 is 8611 m high"
    assert final["tasks"][0]["value"] == "saw K2"
    return final, model


# -- forms -------------------------------------------------------------------------------------------------------------

FORMS: list[tuple[Any, str, Any]] = [
    (Height, "Height", Height(metres=8611)),
    (Metres, "Metres", Metres(metres=8611)),
    (Typed, "Typed", VALUE),
    (TITLED, "Height_of_a_mountain", VALUE),
    (UNTITLED, "Answer", VALUE),
    (Height | Unknown, "Height", Height(metres=8611)),
    (Union[Unknown, Metres], "Metres", Metres(metres=8611)),  # noqa: UP007
    ({"oneOf": [{"title": "No", "type": "object", "properties": {}}, TITLED]}, "Height_of_a_mountain", VALUE),
]


STRATEGIES = [None, ToolStrategy, AutoStrategy]
CASES: list[Any] = [(strategy, *form) for form in FORMS for strategy in STRATEGIES]
CASES += [(ProviderStrategy, *form) for form in FORMS[:4]]  # takes one form, with a name


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
@pytest.mark.parametrize(("strategy", "form", "name", "value"), CASES, ids=lambda each: str(each)[:20])
async def test_forms(form: Any, name: str, value: Any, strategy: Any, sync: bool) -> None:
    """All that `create_agent` takes is taken; a tool call gives the value, and so does JSON in text."""
    given = form if strategy is None else strategy(form)
    if strategy is ToolStrategy and form is UNTITLED:  # LangChain gives it a name by chance
        name = given.schema_specs[0].name
    for reply in (calling(call(name, metres=8611)), '{"metres": 8611}'):
        final, model = await run(given, reply, sync=sync)
        assert final["structured_response"] == value
        assert "structured_error" not in final["rounds"][-1]
        assert model.calls[2][: len(model.calls[1])] == model.calls[1]
        settings = model.settings[2]
        if strategy is ProviderStrategy:
            assert settings["response_format"]["type"] == "json_schema"
        else:
            assert settings["tool_choice"] == "any"
            assert name in [each["function"]["name"] for each in settings["tools"]]


class Arbitrary(BaseModel):
    """Has no JSON Schema."""

    call: Callable[[], int]


REFUSED: list[Any] = [
    *(int, str, list[int], int | str, 5, "Height", object(), [Height], {"type": "array"}, {"type": "string"}, {}),
    *(RootModel[list[int]], Arbitrary, Height | int, {"oneOf": [TITLED, TITLED]}),
    *(ToolStrategy({"type": "string", "title": "a"}), ProviderStrategy({"type": "array", "title": "a"})),
]


@pytest.mark.parametrize("form", REFUSED, ids=lambda form: str(form)[:20])
def test_forms_that_cannot_work(form: Any) -> None:
    """They are refused when the graph is made, and the reason is said."""
    with pytest.raises(ConfigurationError, match="response_format"):
        create_llm_compiler(ScriptedModel(), [look], response_format=form)


@pytest.mark.parametrize("form", [Height, ToolStrategy(Height), Height | Unknown])
def test_a_model_that_cannot_be_asked(form: Any) -> None:
    """A model without tools is refused too; where its provider holds it to the form, it is not needed to call any."""
    model = FakeListChatModel(responses=["x"])
    with pytest.raises(ConfigurationError, match="needs a model that calls tools, FakeListChatModel does not"):
        create_llm_compiler(ScriptedModel(), [look], joiner_model=model, response_format=form)
    create_llm_compiler(ScriptedModel(), [look], joiner_model=model, response_format=ProviderStrategy(Height))


# -- what models give --------------------------------------------------------------------------------------------------

INVALID = AIMessage("", invalid_tool_calls=[invalid_tool_call(name="Height", args='{"metres": 8611}\n', id="1")])


@pytest.mark.parametrize(
    "reply",
    [
        '<think>It says {"metres": 1}.</think>\n{"metres": 8611}',
        '[THINK]{"metres": 1}[/THINK]{"metres": 8611}',
        '```json\n{"metres": 8611}\n```',
        '<thinking>\n{"metres": 1}\n</thinking>\n```\n{"metres": 8611}\n```\nI hope that helps.',
        'Here {it} is: {"metres": 8611} as asked for.',
        'Not {"feet": 28251} but {"metres": 8611}',
        '{"metres": "8611"}',
        AIMessage([{"type": "text", "text": '{"metres": 8611}'}]),
        INVALID,
        AIMessage("I call it.", tool_calls=[call("Height", metres=8611)]),
    ],
    ids=lambda reply: str(reply)[:30],
)
@pytest.mark.parametrize("form", [Height, ToolStrategy(Height), ProviderStrategy(Height)], ids=["", "tool", "provider"])
async def test_what_is_read(reply: Any, form: Any) -> None:
    """Thoughts, fences and words around the value are left out, whatever the strategy."""
    final, model = await run(form, reply)
    assert final["structured_response"] == Height(metres=8611)
    assert len(model.calls) == 3


WRONG: dict[str, Any] = {
    "a value out of range": calling(call("Height", metres=-1)),
    "a value out of range, as text": '{"metres": -1}',
    "a value of another type": '{"metres": "high"}',
    "another form": '{"feet": 28251}',
    "no JSON": "It is high.",
    "JSON that is cut": '{"metres": 86',
    "nothing": "",
    "nested without end": '{"a":' * 100_000,
    "two calls": calling(call("Height", metres=1), call("Height", "2", metres=2)),
    "another tool": calling(call("look", text="K2")),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("form", [Height, ToolStrategy(Height), ProviderStrategy(Height)], ids=["", "tool", "provider"])
async def test_a_value_that_does_not_fit(wrong: Any, form: Any) -> None:
    """It is asked for again, with the error; each call that was made is answered."""
    final, model = await run(form, wrong, calling(call("Height", "3", metres=8611)))
    assert final["structured_response"] == Height(metres=8611)
    again = model.calls[3]
    assert again[: len(model.calls[2])] == model.calls[2]
    assert again[-1].text.startswith("Error: ")
    reply = again[len(model.calls[2])]
    assert isinstance(reply, AIMessage)
    answers = [each.tool_call_id for each in again if isinstance(each, ToolMessage)]
    assert answers == [each["id"] for each in reply.tool_calls]
    assert reply.tool_calls or reply.text


async def test_a_json_schema_is_checked() -> None:
    """LangChain's agent does not check values of raw schemas; here a wrong one is asked for again."""
    final, model = await run(TITLED, '{"metres": "high"}', '{"metres": 8611}')
    assert final["structured_response"] == {"metres": 8611}
    assert "Height_of_a_mountain" in model.calls[3][-1].text


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_the_answer_stands(wrong: Any, sync: bool) -> None:
    """If no try gives a value, the answer and the work are kept, and the error is told."""
    with pytest.warns(UserWarning, match="the answer has no structured response"):
        final, model = await run(Height, wrong, wrong, wrong, sync=sync)
    assert final["structured_response"] is None
    assert final["rounds"][-1]["structured_error"]
    assert len(model.calls) == 5


async def test_a_call_that_breaks_down() -> None:
    """An error of the call that asks for the form costs the form, not the answer; the next turn has one again."""
    model = ScriptedModel([*WORK, ConnectionError("down"), "1. join()", "Finish: yes", '{"metres": 8611}'])
    graph = create_llm_compiler(model, [look], response_format=Height, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    with pytest.warns(UserWarning, match="ConnectionError: down"):
        final = await graph.ainvoke(QUESTION, thread)
    assert final["messages"][-1].text == "K2 is 8611 m high"
    assert final["rounds"][-1]["structured_error"] == "ConnectionError: down"
    final = await graph.ainvoke(QUESTION, thread)
    assert (final["structured_response"], "structured_error" in final["rounds"][-1]) == (Height(metres=8611), False)


def tokens(n: int) -> UsageMetadata:
    """So many."""
    return UsageMetadata(input_tokens=10, output_tokens=n, total_tokens=10 + n)


async def test_tokens_of_all_tries() -> None:
    """They count as the joiner's."""
    final, _ = await run(
        Height, AIMessage("x", usage_metadata=tokens(1)), AIMessage('{"metres": 1}', usage_metadata=tokens(2))
    )
    assert final["rounds"][-1]["usage"]["joiner"]["total_tokens"] == 23


# -- handle_errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handle_errors", "told"),
    [
        (True, "Error: Failed to parse structured output for tool 'Height'"),
        ("Give metres.", "Give metres."),
        (StructuredOutputValidationError, "Error: Failed to parse"),
        ((KeyError, StructuredOutputError), "Error: Failed to parse"),
        (lambda error: f"No: {type(error).__name__}", "No: StructuredOutputValidationError"),
    ],
)
async def test_errors_that_are_handled(handle_errors: Any, told: str) -> None:
    """As in LangChain's agent, the strategy says what the model is told."""
    strategy = ToolStrategy(Height, handle_errors=handle_errors)
    _, model = await run(strategy, calling(call("Height", metres=-1)), calling(call("Height", metres=1)))
    assert model.calls[3][-1].text.startswith(told)


@pytest.mark.parametrize("handle_errors", [False, KeyError, (KeyError, ZeroDivisionError)])
async def test_errors_that_are_not_handled(handle_errors: Any) -> None:
    """They are raised: the caller wants that."""
    with pytest.raises(StructuredOutputValidationError, match="Height"):
        await run(ToolStrategy(Height, handle_errors=handle_errors), calling(call("Height", metres=-1)))


async def test_the_message_of_the_call() -> None:
    """If the strategy says what it is, the call stands in the conversation, before the answer."""
    strategy = ToolStrategy(Height, tool_message_content="The height was noted.")
    final, _ = await run(strategy, calling(call("Height", metres=8611)))
    *_, made, told, answer = final["messages"]
    assert [each["name"] for each in made.tool_calls] == ["Height"]
    assert (told.text, told.tool_call_id) == ("The height was noted.", "1")
    assert answer.text == "K2 is 8611 m high"


# -- over HTTP ---------------------------------------------------------------------------------------------------------


def openai(server: ScriptedServer) -> ChatOpenAI:
    """A model on the server."""
    return ChatOpenAI(model="m", base_url=server.base_url, api_key=SecretStr("k"), max_retries=0)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_provider_is_asked_for_json(wrapped: bool) -> None:
    """A form alone is asked of the provider, if it can hold replies to one, also with wrappers around the model."""
    with ScriptedServer([*WORK, '{"metres": -1}', '{"metres": 8611}']) as server:
        model: Any = openai(server)
        model = model.with_retry().with_config(tags=["a"]) if wrapped else model
        final = await create_llm_compiler(model, [look], response_format=Height).ainvoke(QUESTION)
    assert final["structured_response"] == Height(metres=8611)
    assert server.requests[3]["response_format"]["json_schema"]["name"] == "Height"


async def test_a_provider_that_refuses() -> None:
    """Then a tool is asked for instead; with `ProviderStrategy` the answer stands and the error is told."""
    height = calling(call("Height", metres=8611))
    with ScriptedServer([*WORK, ValueError("no response_format"), height]) as server:
        final = await create_llm_compiler(openai(server), [look], response_format=Height).ainvoke(QUESTION)
    assert final["structured_response"] == Height(metres=8611)
    assert server.requests[3]["tools"][0]["function"]["name"] == "Height"
    with ScriptedServer([*WORK, ValueError("no response_format")]) as server:
        graph = create_llm_compiler(openai(server), [look], response_format=ProviderStrategy(Height))
        with pytest.warns(UserWarning, match="no response_format"):
            final = await graph.ainvoke(QUESTION)
    assert (final["structured_response"], final["messages"][-1].text) == (None, "K2 is 8611 m high")


async def test_a_tool_is_asked_for() -> None:
    """With `ToolStrategy` nothing else is."""
    with ScriptedServer([*WORK, calling(call("Height", metres=8611))]) as server:
        final = await create_llm_compiler(openai(server), [look], response_format=ToolStrategy(Height)).ainvoke(
            QUESTION
        )
    assert final["structured_response"] == Height(metres=8611)
    assert "response_format" not in server.requests[2]
    assert server.requests[2]["tool_choice"] == "required"


async def test_a_union_survives_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typed answer comes back from a checkpoint as it was, of whichever form it is."""
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "true")
    graph = create_llm_compiler(
        ScriptedModel([*WORK, calling(call("Unknown", why="fog"))]),
        [look],
        response_format=Height | Unknown,
        checkpointer=InMemorySaver(),
    )
    thread: Any = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke(QUESTION, thread)
    assert (await graph.aget_state(thread)).values["structured_response"] == Unknown(why="fog")
