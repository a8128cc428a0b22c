"""Middleware around the calls of planner and joiner: `wrap_model_call`."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NotRequired

import pytest
from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    ExtendedModelResponse,
    LLMToolSelectorMiddleware,
    ModelFallbackMiddleware,
    ModelRequest,
    ModelResponse,
    ModelRetryMiddleware,
    dynamic_prompt,
    wrap_model_call,
)
from langchain.agents.structured_output import AutoStrategy
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.types import Command
from pydantic import BaseModel

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.testing import ScriptedModel, run_virtual

Handler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
PLAN = '1. look("a")\n2. look("b")\n3. look($1)\n4. join()'
FINISH = "Finish: done"
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


@tool
async def look(what: str) -> str:
    """Look something up."""
    await asyncio.sleep(0.25)
    return f"seen {what}"


@tool
def other(what: str) -> str:
    """Do something else."""
    return what


async def asked(model: Any, middleware: Any, *, sync: bool = False, tools: Any = (look, other), **settings: Any) -> Any:
    """Ask a graph with middleware."""
    graph: Any = create_llm_compiler(model, list(tools), middleware=middleware, **settings)
    given = {"messages": [("user", "what is a?")]}
    return graph.invoke(given) if sync else await graph.ainvoke(given)


@wrap_model_call
async def nothing(request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
    """Do nothing."""
    return await handler(request)


@dynamic_prompt
def polite(request: ModelRequest[Any]) -> str:
    """Say how to be."""
    return "Be polite."


def retrying() -> ModelRetryMiddleware:
    """Ask again at once."""
    return ModelRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)


# -- what it costs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "middleware",
    [[nothing], [polite], [retrying()], [ModelFallbackMiddleware(ScriptedModel([]))], [retrying(), nothing]],
    ids=["no-op", "dynamic prompt", "retry", "fallback", "two"],
)
def test_tasks_start_as_early_as_without(middleware: Any) -> None:
    """Every task starts, and the turn ends, at the same time with middleware around a streamed plan as without."""

    async def times(given: Any) -> list[Any]:
        model = ScriptedModel([PLAN, FINISH], seconds_per_reply=1)
        final = await asked(model, given)
        return [(each["planned"], each["started"], each["finished"], each["early"]) for each in final["timeline"]]

    with_it, without = (run_virtual(partial(times, given)) for given in (middleware, ()))
    assert with_it == without
    assert without[0][1] < 0.5
    assert without[0][3]


@both_ways
async def test_prompts_are_those_without(sync: bool) -> None:
    """Middleware that changes nothing changes no byte of any prompt, in repairs, replans and structured calls too."""

    class Form(BaseModel):
        """A form."""

        answer: str

    replies = ['1. lok("a")\n2. join()', '1. look("a")', "Replan: look at b", '2. look("b")', FINISH, "{}"]
    prompts = []
    for middleware in ((), (nothing, retrying())):
        model = ScriptedModel(replies)
        await asked(model, middleware, sync=sync)
        prompts.append(model.calls)
    assert prompts[0] == prompts[1]
    assert len(prompts[0]) == 5


# -- what it can change ------------------------------------------------------------------------------------------------


@both_ways
async def test_a_dynamic_prompt(sync: bool) -> None:
    """It stands in the user's system prompt's place, before ours, for planner and joiner."""
    model = ScriptedModel([PLAN, FINISH])
    await asked(model, [polite], sync=sync, system_prompt="Be rude.")
    for prompt in model.calls:
        assert prompt[0].text.startswith("Be polite.\n\nYou answer questions by planning")
        assert "rude" not in str(prompt)


async def test_tools_are_selected() -> None:
    """The prompt shows the tools that middleware leaves in the request; the model may still be told of no others."""
    call = {"name": "ToolSelectionResponse", "args": {"tools": ["look"]}, "id": "1", "type": "tool_call"}
    picking = ScriptedModel([AIMessage("", tool_calls=[call])] * 2)
    model = ScriptedModel([PLAN, FINISH])
    await asked(model, [LLMToolSelectorMiddleware(model=picking)])
    assert "other(" not in model.calls[0][0].text
    assert "look(" in model.calls[0][0].text


async def test_another_model() -> None:
    """The model of the request is the one that is asked."""
    cheap = ScriptedModel([PLAN, FINISH])

    @wrap_model_call
    async def route(request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        return await handler(request.override(model=cheap))

    final = await asked(ScriptedModel([]), [route])
    assert (final["messages"][-1].text, len(cheap.calls)) == ("done", 2)


async def test_messages_behind_the_question() -> None:
    """What middleware adds to the conversation comes last in the prompt."""

    @wrap_model_call
    async def add(request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        return await handler(request.override(messages=[*request.messages, HumanMessage("context: c")]))

    model = ScriptedModel([PLAN, FINISH])
    await asked(model, [add])
    assert [prompt[-1].text for prompt in model.calls] == ["context: c"] * 2
    assert "what is a?" in model.calls[1][1].text


async def test_context_editing() -> None:
    """`ContextEditingMiddleware` changes what the joiner is shown of observations, and nothing in the state."""
    editing = ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=1, keep=1, placeholder="[cleared]")])
    model = ScriptedModel([PLAN, FINISH])
    final = await asked(model, [editing])
    assert model.calls[1][-1].text.count('"[cleared]"') == 2
    assert "[cleared]" not in str(final["tasks"])


async def test_the_request() -> None:
    """It has the conversation, the user's system message, the tools, the state and the runtime."""
    seen: list[ModelRequest[Any]] = []

    @wrap_model_call
    async def look_at(request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        seen.append(request)
        return await handler(request)

    model = ScriptedModel([PLAN, FINISH])
    await asked(model, [look_at], system_prompt="Be brief.")
    planner, joiner = seen
    assert planner.model is model
    assert planner.system_prompt == "Be brief."
    assert [message.type for message in planner.messages] == ["human"]
    assert [message.type for message in joiner.messages] == ["human", "ai", "tool", "tool", "tool"]
    assert [each.name for each in planner.tools] == ["look", "other"]  # type: ignore[union-attr]
    assert planner.state["messages"] == planner.messages
    assert planner.runtime is not None


# -- replies that do not count -----------------------------------------------------------------------------------------


async def test_a_model_that_fails_is_asked_again() -> None:
    """`ModelRetryMiddleware` and `ModelFallbackMiddleware` see what the model raises."""
    broken = ConnectionError("no line")
    retried = ScriptedModel([broken, PLAN, broken, FINISH])
    assert (await asked(retried, [retrying()]))["messages"][-1].text == "done"
    second = ScriptedModel([PLAN, FINISH])
    final = await asked(ScriptedModel([broken, broken]), [ModelFallbackMiddleware(second)])
    assert (final["messages"][-1].text, len(second.calls)) == ("done", 2)


@both_ways
@pytest.mark.parametrize("way", ["rewritten", "again", "itself"])
async def test_what_middleware_returns_counts(way: str, sync: bool) -> None:
    """A reply that is rewritten, asked for again or not asked for at all: what was begun before is dropped."""

    class Changing(AgentMiddleware[Any, Any]):
        """Changes the plan."""

        async def awrap_model_call(self, request: ModelRequest[Any], handler: Handler) -> Any:
            """Change the plan."""
            if len(request.messages) > 1:
                return await handler(request)
            if way == "itself":
                return AIMessage('1. look("c")\n2. join()')
            await handler(request)
            if way == "again":
                return await handler(request)
            return AIMessage('1. look("c")\n2. join()')

    plans = {"rewritten": [PLAN], "again": [PLAN, '1. look("c")\n2. join()'], "itself": []}
    final = await asked(ScriptedModel([*plans[way], FINISH]), [Changing()], sync=sync)
    assert [(task["text"], task["value"]) for task in final["tasks"]] == [('1. look(what="c")', "seen c")]
    assert [message.type for message in final["messages"]] == ["human", "ai", "tool", "ai"]
    assert final["messages"][-1].text == "done"


async def test_a_repair_is_read_when_it_counts() -> None:
    """The tasks of a repair that middleware rewrites are the rewritten ones."""

    @wrap_model_call
    async def louder(request: ModelRequest[Any], handler: Handler) -> Any:
        response = await handler(request)
        text = response.result[0].text
        return AIMessage(text.replace('"a"', '"A"')) if "lok" not in text else response

    final = await asked(ScriptedModel(['1. lok("a")\n2. look("b")\n3. join()', '1. look("a")', FINISH]), [louder])
    assert [task["value"] for task in final["tasks"]] == ["seen A", "seen b"]


async def test_an_answer_that_is_rewritten() -> None:
    """The answer is what middleware returns; in the streams, what did not count is a message of its own."""

    @wrap_model_call
    async def shorten(request: ModelRequest[Any], handler: Handler) -> Any:
        response = await handler(request)
        return AIMessage("Finish: short") if "long" in response.result[0].text else response

    graph: Any = create_llm_compiler(ScriptedModel([PLAN, "Finish: long"]), [look], middleware=[shorten])
    told: dict[str, str] = {}
    given = {"messages": [("user", "?")]}
    async for message, _ in graph.astream(given, stream_mode="messages"):
        if message.type != "tool" and not message.tool_calls:
            told[message.id] = told.get(message.id, "") + message.text
    assert list(told.values())[-1] == "short"


async def test_tasks_with_effects_do_not_begin_twice() -> None:
    """Where a plan is asked for twice, no tool with effects was called for the first."""
    sent: list[str] = []

    @tool
    async def send(to: str) -> str:
        """Send."""
        sent.append(to)
        return "sent"

    send.metadata = {"destructiveHint": True}

    @wrap_model_call
    async def twice(request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        if len(request.messages) == 1:
            await handler(request)
        return await handler(request)

    plans = ['1. send("first")\n2. join()', '1. send("second")\n2. join()']
    await asked(ScriptedModel([*plans, FINISH]), [twice], tools=[send])
    assert sent == ["second"]


# -- what else it may want ---------------------------------------------------------------------------------------------


async def test_commands() -> None:
    """A command beside the response is carried out; one that does more than write to the state is refused."""

    class Noted(AgentState[Any]):
        """With a note."""

        note: NotRequired[str]

    class Noting(AgentMiddleware[Any, Any]):
        """Notes."""

        state_schema = Noted
        update: Command[Any] = Command(update={"note": "noted"})

        async def awrap_model_call(self, request: ModelRequest[Any], handler: Handler) -> Any:
            """Note."""
            return ExtendedModelResponse(await handler(request), self.update)

    assert (await asked(ScriptedModel([PLAN, FINISH]), [Noting()]))["note"] == "noted"
    going = Noting()
    going.update = Command(goto="joiner")
    with pytest.raises(NotImplementedError, match="nothing else"):
        await asked(ScriptedModel([PLAN, FINISH]), [going])


async def test_structured_calls() -> None:
    """The call for the answer in a form is wrapped too, and says so in `response_format`, as LangChain's agent does."""
    forms: list[Any] = []

    class Form(BaseModel):
        """A form."""

        answer: str

    @wrap_model_call
    async def look_at(request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        forms.append(request.response_format)
        return await handler(request)

    call = {"name": "Form", "args": {"answer": "42"}, "id": "1", "type": "tool_call"}
    model = ScriptedModel([PLAN, FINISH, AIMessage("", tool_calls=[call])])
    final = await asked(model, [look_at], response_format=Form)
    assert final["structured_response"] == Form(answer="42")
    *others, form = forms
    assert others == [None, None]
    assert (type(form), form.schema) == (AutoStrategy, Form)


@pytest.mark.filterwarnings("ignore:the answer has no structured response")
async def test_another_form_of_the_answer() -> None:
    """A form that middleware puts in place of the graph's is refused by name, and not passed over."""

    class Other(BaseModel):
        """Another form."""

        answer: str

    @wrap_model_call
    async def change(request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        return await handler(request.override(response_format=AutoStrategy(Other)))

    @wrap_model_call
    async def change_form(request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        changed = request.override(response_format=AutoStrategy(Other)) if request.response_format else request
        return await handler(changed)

    told = "cannot change response_format"
    with pytest.raises(ConfigurationError, match=told):
        await asked(ScriptedModel([PLAN, FINISH]), [change])
    final = await asked(ScriptedModel([PLAN, FINISH]), [change_form], response_format=Other)
    assert final["messages"][-1].text == "done", "the answer stands"
    assert told in final["rounds"][0]["structured_error"]


async def test_tools_that_are_not_there() -> None:
    """A tool that middleware shows and the graph does not have is an error that names it."""

    @wrap_model_call
    async def add(request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        return await handler(request.override(tools=[*request.tools, {"type": "web_search"}]))

    with pytest.raises(ConfigurationError, match="web_search"):
        await asked(ScriptedModel([PLAN]), [add])


async def test_what_middleware_raises_ends_the_run() -> None:
    """An exception of middleware is the run's own, before, while and after the model is asked."""

    @wrap_model_call
    async def late(request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        await handler(request)
        msg = "late"
        raise KeyError(msg)

    with pytest.raises(KeyError, match="late"):
        await asked(ScriptedModel([PLAN]), [late])
