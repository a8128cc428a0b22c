import asyncio
import inspect
import json
import os
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, NotRequired, get_args, get_overloads, get_type_hints

import pytest
from inline_snapshot import snapshot
from langchain.agents import AgentState
from langchain.agents.middleware.types import OmitFromInput, OmitFromOutput, PrivateStateAttr
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import BaseTool, InjectedToolCallId, tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import InjectedState, ToolRuntime
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from pydantic import BaseModel, Field, ValidationError
from typing_extensions import TypedDict

from llmcompiler_graph import ConfigurationError, LLMCompilerState, PlanExample, create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel


@tool
async def search(query: str) -> str:
    """Search."""
    return f"found {query}"


@tool
def combine(a: str, b: str) -> str:
    """Combine."""
    return f"{a} + {b}"


TOOLS: list[BaseTool] = [search, combine]
PLAN = '1. search("x")\n2. search("y")\n3. combine($1, $2)\n4. join()'
FINISH = "Thought: both are there.\nFinish: it is x + y"
QUESTION: Any = {"messages": [HumanMessage("what is x + y?")]}


def thread(name: str = "1") -> Any:
    """Make the config of a thread."""
    return {"configurable": {"thread_id": name}}


# -- ways to call it ---------------------------------------------------------------------------------------------------


def check_final(final: dict[str, Any]) -> None:
    """Compare a final state with the one expected of `PLAN` and `FINISH`."""
    question, plan, one, two, three, answer = final["messages"]
    assert question.content == "what is x + y?"
    assert [call["name"] for call in plan.tool_calls] == ["search", "search", "combine"]
    assert [m.tool_call_id for m in (one, two, three)] == [call["id"] for call in plan.tool_calls]
    assert [m.content for m in (one, two, three)] == ["found x", "found y", "found x + found y"]
    assert (type(answer), answer.content, answer.name) == (AIMessage, "it is x + y", "joiner")
    assert [task["value"] for task in final["tasks"]] == ["found x", "found y", "found x + found y"]
    assert final["tasks"][2]["arguments"] == [{"a": "found x", "b": "found y"}]
    assert [entry["status"] for entry in final["timeline"]] == ["done"] * 3
    assert [(one["plan"], one["reply"], one["diagnostics"]) for one in final["rounds"]] == [(PLAN, FINISH, [])]


def test_invoke() -> None:
    """A synchronous caller gets the answer, the tasks and their messages."""
    check_final(create_llm_compiler(ScriptedModel([PLAN, FINISH]), TOOLS).invoke(QUESTION))


async def test_invoke_inside_a_running_loop() -> None:
    """`invoke` works where an event loop runs already, as in a notebook."""
    check_final(create_llm_compiler(ScriptedModel([PLAN, FINISH]), TOOLS).invoke(QUESTION))


async def test_ainvoke() -> None:
    """`ainvoke` gives the same as `invoke`."""
    check_final(await create_llm_compiler(ScriptedModel([PLAN, FINISH]), TOOLS).ainvoke(QUESTION))


def test_stream() -> None:
    """`stream` yields an update for each node, in order."""
    graph = create_llm_compiler(ScriptedModel([PLAN, FINISH]), TOOLS)
    nodes = [node for update in graph.stream(QUESTION, stream_mode="updates") for node in update if node in graph.nodes]
    assert nodes == ["planner", "task_fetching_unit", "joiner"]


async def test_astream() -> None:
    """`astream` yields an update for each node; and one for each task as it is persisted, if they take their time."""
    graph = create_llm_compiler(ScriptedModel([PLAN, FINISH]), TOOLS)
    names = [name async for update in graph.astream(QUESTION, stream_mode="updates") for name in update]
    assert names == ["planner", "task_fetching_unit", "joiner"]

    @tool
    async def combine(a: str, b: str) -> str:
        """Combine, slowly."""
        await asyncio.sleep(0.3)
        return f"{a} + {b}"

    graph = create_llm_compiler(ScriptedModel([PLAN, FINISH]), [search, combine])
    names = [name async for update in graph.astream(QUESTION, stream_mode="updates") for name in update]
    assert names == ["planner", "search", "search", "combine", "task_fetching_unit", "joiner"]


async def test_a_graph_serves_many_runs_at_a_time() -> None:
    """Runs of one graph share nothing: each gets its own tasks and answer."""

    def reply(messages: list[Any]) -> str:
        text = messages[1].text
        name = text[text.index("<") + 1 : text.index(">")]
        return f'1. search("{name}")' if len(messages) == 2 else f"Finish: {messages[-1].text.split('found ')[1][:2]}"

    graph = create_llm_compiler(ScriptedModel([reply] * 40), TOOLS)
    finals = await graph.abatch([{"messages": [("user", f"<q{n}>")]} for n in range(10)])
    assert [final["messages"][-1].content for final in finals] == [f"q{n}" for n in range(10)]
    assert [len(final["tasks"]) for final in finals] == [1] * 10


# -- the factory -------------------------------------------------------------------------------------------------------


def test_mermaid() -> None:
    """The graph is drawn as it is designed: three nodes, a conditional edge back, and one for answers without tools."""
    graph = create_llm_compiler(ScriptedModel(), TOOLS)
    assert graph.name == "LangGraph"  # as of `create_agent`: servers then call it by the id they serve it under
    assert graph.get_graph().draw_mermaid(with_styles=False) == snapshot("""\
graph TD;
	__start__ --> planner;
	joiner -. &nbsp;finish&nbsp; .-> __end__;
	joiner -. &nbsp;replan&nbsp; .-> planner;
	planner -. &nbsp;finish&nbsp; .-> __end__;
	planner -. &nbsp;plan&nbsp; .-> task_fetching_unit;
	task_fetching_unit --> joiner;
""")


class Answer(BaseModel):
    """The form of an answer."""

    text: str


class Other(BaseModel):
    """Another form."""

    number: int


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_replans": -1}, "max_replans must be a whole number, 0 or more, not -1"),
        ({"max_repairs": None}, "max_repairs must be a whole number, 0 or more, not None"),
        ({"max_tasks": 2.5}, "max_tasks must be a whole number, 1 or more, not 2.5"),
        ({"max_tasks": True}, "max_tasks must be a whole number, 1 or more, not True"),
        ({"max_observation_chars": 0}, "max_observation_chars must be a whole number, 1 or more, not 0"),
        ({"max_concurrency": "4"}, "max_concurrency must be a whole number, 1 or more, not '4'"),
        ({"tool_concurrency": 3}, "tool_concurrency must be numbers by tool name, not 3"),
        ({"tool_concurrency": {"search": 0}}, r"tool_concurrency\['search'\] must be a whole number, 1 or more, not 0"),
        ({"tool_concurrency": {"serch": 1}}, "names 'serch', but there is no such tool, only 'search', "),
        (
            {"interrupt_on": ["search"]},
            r"interrupt_on must be True, False or an InterruptOnConfig by tool name, not \['search'\]",
        ),
        ({"system_prompt": ["Be brief."]}, r"system_prompt must be text or a SystemMessage, not \['Be brief.'\]"),
        ({"examples": [("?", "1. join()")]}, "example 1 must be a PlanExample, not "),
        (
            {"response_format": Answer | None},
            r"response_format must be a pydantic model, dataclass, TypedDict or .*, not .*Answer \| None",
        ),
        ({"interrupt_before": "planner"}, r"interrupt_before must be '\*' or a list of nodes, .*, not 'planner'"),
        ({"interrupt_after": ["tools"]}, r"'planner', 'task_fetching_unit', 'joiner', not \['tools'\]"),
        ({"state_schema": dict}, "state_schema must be a TypedDict or a pydantic model, not <class 'dict'>"),
        ({"state_schema": Answer(text="")}, "state_schema must be a TypedDict or a pydantic model, not Answer"),
    ],
)
def test_unusable_arguments(arguments: dict[str, Any], message: str) -> None:
    """An argument that cannot be used is refused when the graph is made, and named."""
    with pytest.raises(ConfigurationError, match=message):
        create_llm_compiler(ScriptedModel(), TOOLS, **arguments)


def test_bad_example() -> None:
    """An example whose plan does not fit the tools is refused, with the place of every fault."""
    bad = PlanExample("How high is K2?", '1. serch("K2")\n2. combine("$1")\n3. join()')
    with pytest.raises(ConfigurationError) as caught:
        create_llm_compiler(ScriptedModel(), TOOLS, examples=[PlanExample("ok?", PLAN), bad])
    assert str(caught.value) == snapshot("""\
example 2 ('How high is K2?') cannot be used:
line 1, column 1: no tool is named 'serch'; did you mean 'search'? [unknown-tool]
line 2, column 1: 'combine' needs `b` (str) [missing-argument]\
""")


async def test_examples_are_in_the_prompt() -> None:
    """Examples are shown to the model as they were given."""
    model = ScriptedModel([PLAN, FINISH])
    graph = create_llm_compiler(model, TOOLS, examples=[PlanExample("How high is K2?", '1. search("K2")\n2. join()')])
    await graph.ainvoke(QUESTION)
    _, asked, following = model.calls[0][0].text.partition("How high is K2?")
    assert asked
    assert following.startswith('\n\nWrite the plan.\nsearch("K2")\n')


@pytest.mark.parametrize("made", [str, SystemMessage])
async def test_system_prompt_comes_first(made: Any) -> None:
    """The caller's system prompt, text or a message, opens the system message of every call."""
    model = ScriptedModel([PLAN, FINISH])
    prompt = made("  You are terse. {braces} stay.\n")
    await create_llm_compiler(model, TOOLS, system_prompt=prompt).ainvoke(QUESTION)
    assert all(str(call[0].content).startswith("You are terse. {braces} stay.\n\n") for call in model.calls)


@pytest.mark.parametrize("select_tools", [None, lambda question: ["search"]])
async def test_blocks_of_a_system_prompt_are_kept(select_tools: Any) -> None:
    """The content blocks of a system message come first, as they are; ours follows as one block of text."""
    model = ScriptedModel([PLAN, FINISH])
    block: Any = {"type": "text", "text": "You are terse.", "cache_control": {"type": "ephemeral"}}
    prompt = SystemMessage([block, "Be kind."])
    await create_llm_compiler(model, TOOLS, system_prompt=prompt, select_tools=select_tools).ainvoke(QUESTION)
    for call in model.calls:
        *given, ours = list(call[0].content)
        assert given == [block, "Be kind."]
        assert isinstance(ours, dict)
        assert ours["type"] == "text"
        assert "# Answers" in ours["text"]
    assert len(prompt.content) == 2


async def test_separate_models() -> None:
    """`planner_model` plans and `joiner_model` joins; `model` is what is left over."""
    planner, joiner, unused = ScriptedModel([PLAN]), ScriptedModel([FINISH]), ScriptedModel()
    graph = create_llm_compiler(unused, TOOLS, planner_model=planner, joiner_model=joiner)
    check_final(await graph.ainvoke(QUESTION))
    assert [len(model.calls) for model in (planner, joiner, unused)] == [1, 1, 0]


def test_the_model_is_made_when_it_is_needed() -> None:
    """A graph over a model that cannot be had is built and drawn; only asking it fails."""
    graph = create_llm_compiler("nobody:knows-this", TOOLS)
    assert graph.get_graph().nodes
    with pytest.raises((ConfigurationError, ValueError), match="nobody"):
        graph.invoke(QUESTION)


def test_callables_are_tools() -> None:
    """A function with a docstring can be given as a tool."""

    def shout(text: str) -> str:
        """Say it loud."""
        return text.upper()

    graph = create_llm_compiler(ScriptedModel(['1. shout("hi")', "Finish: done"]), [shout])
    assert graph.invoke(QUESTION)["tasks"][0]["value"] == "HI"


async def test_state_schema() -> None:
    """Further state keys of the caller's are kept, with their reducers, and tools see them."""

    class State(TypedDict):
        user: str
        notes: Annotated[list[str], lambda old, new: old + new]

    @tool
    def whoami(runtime: ToolRuntime) -> str:
        """Name the user."""
        return f"{runtime.state['user']} of {len(runtime.state['messages'])}"

    graph = create_llm_compiler(ScriptedModel(["1. whoami()", "Finish: ok"]), [whoami], state_schema=State)
    final = await graph.ainvoke({**QUESTION, "user": "ann", "notes": ["a"]})
    assert (final["user"], final["notes"], final["tasks"][0]["value"]) == ("ann", ["a"], "ann of 2")


def test_without_tools() -> None:
    """A graph without tools answers, signed with the graph's name, and with what the provider said of the answer."""
    said = AIMessage("Finish: hello", response_metadata={"finish_reason": "length", "model_name": "m"})
    graph = create_llm_compiler(ScriptedModel(["1. join()", said]), name="greeter")
    answer = graph.invoke(QUESTION)["messages"][-1]
    assert (answer.content, answer.name) == ("hello", "greeter")
    assert answer.response_metadata == {"finish_reason": "length", "model_name": "m"}


def test_a_state_schema_with_a_key_of_ours() -> None:
    """A state schema with a key of ours is refused: the nodes would write another type there."""

    class State(TypedDict):
        turn: int

    with pytest.raises(ConfigurationError, match="state_schema cannot have a key 'turn' of its own"):
        create_llm_compiler(ScriptedModel(), TOOLS, state_schema=State)


@pytest.mark.parametrize("sync", [True, False])
async def test_state_schema_with_a_reducer_of_its_own(sync: bool) -> None:
    """The caller's `messages` reducer counts; one that copies messages does not make calls anew."""
    calls: list[str] = []

    class State(TypedDict):
        messages: Annotated[list[Any], lambda old, new: [m.model_copy() for m in add_messages(old, new)][-4:]]

    @tool
    def shout(text: str) -> str:
        """Say it loud."""
        calls.append(text)
        return text.upper()

    model = ScriptedModel(['1. shout("a")\n2. shout("b")\n3. join()', FINISH])
    graph = create_llm_compiler(model, [shout], state_schema=State)
    final = graph.invoke(QUESTION) if sync else await graph.ainvoke(QUESTION)
    assert sorted(calls) == ["a", "b"]
    assert [each.type for each in final["messages"]] == ["ai", "tool", "tool", "ai"]


@pytest.mark.parametrize("sync", [True, False])
async def test_state_schema_that_is_a_model(sync: bool) -> None:
    """A pydantic model's keys are the state's; tools see its conversions and defaults, which are written nowhere."""

    class State(BaseModel):
        messages: Annotated[list[AnyMessage], add_messages]
        year: int
        user: Annotated[str, Field(max_length=5)] = Field("ann", description="Who asks.")
        notes: Annotated[list[str], lambda old, new: old + new] = []

    @tool
    def tell(runtime: ToolRuntime, notes: Annotated[list[str], InjectedState("notes")]) -> str:
        """Tell the state."""
        return f"{runtime.state['year'] + 1} {runtime.state['user']} {notes}"

    model = ScriptedModel(["1. tell()\n2. join()", FINISH] * 3)
    graph = create_llm_compiler(model, [tell], state_schema=State, checkpointer=InMemorySaver())

    async def ask(**given: Any) -> dict[str, Any]:
        asked: Any = {"messages": [("user", "?")], **given}
        return graph.invoke(asked, thread()) if sync else await graph.ainvoke(asked, thread())

    assert set(graph.get_input_jsonschema()["required"]) == {"messages", "year"}
    with pytest.raises(ValidationError, match="year"):
        await ask(year="soon")
    assert model.calls == []
    assert (await ask(year="2025"))["tasks"][0]["value"] == "2026 ann []"
    final = await ask(user="bob", notes=["a"])
    assert (final["tasks"][0]["value"], final["year"]) == ("2026 bob ['a']", "2025")
    final = await ask(notes=["b"])
    assert (final["tasks"][0]["value"], final["user"]) == ("2026 bob ['a', 'b']", "bob")


async def test_state_schema_of_the_whole_state() -> None:
    """A schema that extends `LLMCompilerState` works the same."""

    class State(LLMCompilerState):
        user: str

    graph = create_llm_compiler(ScriptedModel([PLAN, FINISH]), TOOLS, state_schema=State)
    final = await graph.ainvoke({**QUESTION, "user": "ann"})
    check_final(final)
    assert final["user"] == "ann"


@pytest.mark.parametrize("sync", [False, True])
async def test_context_and_store(sync: bool) -> None:
    """Tools get the run's context and the graph's store, whether they run early or not."""

    class Context(TypedDict):
        tenant: str

    @tool
    async def count(name: str, runtime: ToolRuntime[Context, Any]) -> int:
        """Count calls."""
        store = runtime.store
        assert store is not None
        namespace = (runtime.context["tenant"],)
        item = store.get(namespace, name)
        n = 1 + int(item.value["n"] if item else 0)
        store.put(namespace, name, {"n": n})
        return n

    store = InMemoryStore()
    plan = '1. count("a")\n2. count("a") after $1\n3. join()'
    model = ScriptedModel([plan, "Finish: ok"])
    graph = create_llm_compiler(model, [count], context_schema=Context, store=store)
    context = Context(tenant="t")
    final: dict[str, Any] = (
        graph.invoke(QUESTION, context=context) if sync else await graph.ainvoke(QUESTION, context=context)
    )
    assert [task["value"] for task in final["tasks"]] == [1, 2]
    item = store.get(("t",), "a")
    assert item is not None
    assert item.value == {"n": 2}


# -- threads -----------------------------------------------------------------------------------------------------------


def check_two_turns(model: ScriptedModel, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Check what must hold of two turns on one thread."""
    assert [task["text"] for task in first["tasks"]] == ['1. search(query="x")']
    assert [task["text"] for task in second["tasks"]] == ['1. search(query="y")', "2. search(query=$1)"]
    assert [task["value"] for task in second["tasks"]] == ["found y", "found found y"]
    assert [entry["index"] for entry in second["timeline"]] == [1, 2]
    assert len(second["rounds"]) == 1
    assert [m.content for m in second["messages"] if m.name == "joiner"] == ["first answer", "second answer"]
    ids = [m.id for m in second["messages"]]
    assert len(set(ids)) == len(ids) == 4 + 5
    planner, joiner = model.calls[2:]
    assert [type(m) for m in planner] == [SystemMessage, HumanMessage, AIMessage, HumanMessage]
    found = 'first?\n\nFound for it:\nsearch(query="x") = "found x"'
    assert [planner[1].text, planner[2].text] == [found, "first answer"]
    assert "found y" in joiner[-1].text
    assert "found x" not in joiner[-1].text


TWO_TURNS = [
    '1. search("x")\n2. join()',
    "Finish: first answer",
    '1. search("y")\n2. search($1)',
    "Finish: second answer",
]


def test_two_turns() -> None:
    """The second turn of a thread sees its own results and the first turn's conversation; its tasks start anew."""
    with SqliteSaver.from_conn_string(":memory:") as sqlite:
        savers: list[BaseCheckpointSaver[Any]] = [InMemorySaver(), sqlite]
        for saver in savers:
            model = ScriptedModel(TWO_TURNS)
            graph = create_llm_compiler(model, TOOLS, checkpointer=saver)
            first = graph.invoke({"messages": [("user", "first?")]}, thread())
            second = graph.invoke({"messages": [("user", "second?")]}, thread())
            check_two_turns(model, first, second)
            assert graph.get_state(thread()).values.items() >= second.items()


async def test_two_turns_asynchronously() -> None:
    """A second asynchronous turn sees the first one's question and answer, and numbers tasks anew."""
    async with AsyncSqliteSaver.from_conn_string(":memory:") as sqlite:
        savers: list[BaseCheckpointSaver[Any]] = [InMemorySaver(), sqlite]
        for saver in savers:
            model = ScriptedModel(TWO_TURNS)
            graph = create_llm_compiler(model, TOOLS, checkpointer=saver)
            first = await graph.ainvoke({"messages": [("user", "first?")]}, thread())
            second = await graph.ainvoke({"messages": [("user", "second?")]}, thread())
            check_two_turns(model, first, second)
            assert (await graph.aget_state(thread())).values.items() >= second.items()


async def test_what_later_turns_see_of_typed_results() -> None:
    """They see values as the plan language does, not as Python writes them, and what came of a fan-out that failed."""

    class Item(BaseModel):
        price: Decimal

    @tool
    def item(price: float) -> Item:
        """Tell of an item."""
        return Item(price=Decimal(str(price)))

    @tool
    def halve(n: int) -> Fraction:
        """Halve an odd number."""
        if n % 2 == 0:
            raise ValueError(n)
        return Fraction(n, 2)

    @tool
    def numbers() -> set[int]:
        """Give numbers."""
        return {1}

    @tool
    def batch() -> tuple[int, ...]:
        """Give more numbers."""
        return 1, 2

    plan = "1. item(0.5)\n2. numbers()\n3. halve(${2[*]})\n4. batch()\n5. halve(${4[*]})\n6. halve(2)"

    model = ScriptedModel([plan, "Finish: done", "1. join()", "Finish: done"])
    graph = create_llm_compiler(model, [item, numbers, halve, batch], checkpointer=InMemorySaver())
    first = await graph.ainvoke({"messages": [("user", "first?")]}, thread())
    await graph.ainvoke({"messages": [("user", "second?")]}, thread())
    assert first["messages"][2].content == '{"price": 0.5}'
    assert model.calls[2][1].text.splitlines() == [
        "first?",
        "",
        "Found for it:",
        'item(price=0.5) = {"price": 0.5}',
        "numbers() = [1]",
        'halve(n=…) = ["1/2"]',
        "batch() = [1, 2]",
        'halve(n=…) = ["1/2", null] (null: that call failed)',
    ]


async def test_a_turn_after_a_crash() -> None:
    """A question asked after a turn that broke down is answered on its own."""
    model = ScriptedModel(['1. search("x")', ConnectionError("down"), '1. search("y")', "Finish: y"])
    graph = create_llm_compiler(model, TOOLS, checkpointer=InMemorySaver())
    with pytest.raises(ConnectionError):
        await graph.ainvoke({"messages": [("user", "first?")]}, thread())
    final = await graph.ainvoke({"messages": [("user", "second?")]}, thread())
    assert final["messages"][-1].content == "y"
    assert [task["value"] for task in final["tasks"]] == ["found y"]


async def test_a_turn_after_a_crash_in_the_middle_of_a_plan() -> None:
    """A question asked after a plan that was left half run takes nothing of it for its own plan's."""

    @tool
    async def flaky(text: str) -> str:
        """Fail on request."""
        if text == "bad":
            raise ConnectionError
        return text

    model = ScriptedModel(['1. flaky("x")\n2. flaky("bad")', '1. flaky("y")\n2. flaky("z")', "Finish: y, z"])
    graph = create_llm_compiler(model, [flaky], checkpointer=InMemorySaver(), handle_tool_errors=False)
    with pytest.raises(ConnectionError):
        await graph.ainvoke({"messages": [("user", "first?")]}, thread())
    final = await graph.ainvoke({"messages": [("user", "second?")]}, thread())
    assert [task["value"] for task in final["tasks"]] == ["y", "z"]
    assert final["messages"][-1].content == "y, z"


async def test_resume_after_a_crash() -> None:
    """A turn whose joiner broke down goes on where it stood: no tool is called again."""
    calls: list[str] = []

    @tool
    def note(text: str) -> str:
        """Note."""
        calls.append(text)
        return text

    model = ScriptedModel(['1. note("x")\n2. note("y")', ConnectionError("down"), "Finish: ok"])
    graph = create_llm_compiler(model, [note], checkpointer=InMemorySaver())
    with pytest.raises(ConnectionError):
        await graph.ainvoke(QUESTION, thread())
    final = await graph.ainvoke(None, thread())
    assert final["messages"][-1].content == "ok"
    assert sorted(calls) == ["x", "y"]


async def test_a_turn_without_a_tool() -> None:
    """A turn whose plan is empty leaves nothing but its answer in the conversation."""
    model = ScriptedModel(["1. join()", "Finish: hello", "1. join()", "Finish: bye"])
    graph = create_llm_compiler(model, TOOLS, checkpointer=InMemorySaver())
    await graph.ainvoke({"messages": [("user", "hi")]}, thread())
    final = await graph.ainvoke({"messages": [("user", "ciao")]}, thread())
    assert [m.text for m in final["messages"]] == ["hi", "hello", "ciao", "bye"]
    assert [m.text for m in model.calls[2][1:-1]] == ["hi", "hello"]


async def test_nothing_to_answer() -> None:
    """A run without a message is refused in clear words."""
    with pytest.raises(ValueError, match="`messages` is empty"):
        await create_llm_compiler(ScriptedModel(), TOOLS).ainvoke({"messages": []})


# -- what the state and the prompts are made of ------------------------------------------------------------------------


def assert_plain(value: Any, where: str = "state") -> None:
    """Check that a value is made of JSON types, and messages, only."""
    match value:
        case None | bool() | int() | float() | str():
            assert type(value) in (type(None), bool, int, float, str), where
        case list():
            for n, each in enumerate(value):
                assert_plain(each, f"{where}[{n}]")
        case dict():
            for key, each in value.items():
                assert type(key) is str, where
                assert_plain(each, f"{where}.{key}")
        case _:
            assert type(value) in (HumanMessage, AIMessage, ToolMessage), f"{where}: {type(value)}"


async def test_the_state_is_plain_data() -> None:
    """The state holds messages and JSON types only, and survives a checkpoint unchanged."""
    model = ScriptedModel(
        ['1. search("x")\n2. nothing(3)\n3. search()', "3. search()", "Replan: more", '4. combine("$1", "$1")', FINISH]
    )
    graph = create_llm_compiler(model, TOOLS, checkpointer=InMemorySaver())
    final = await graph.ainvoke(QUESTION, thread())
    assert_plain(final)
    assert (await graph.aget_state(thread())).values.items() >= final.items()
    json.dumps({key: value for key, value in final.items() if key != "messages"})


STRICT = """
import asyncio
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

@tool
async def search(query: str) -> dict[str, str]:
    '''Search.'''
    return {"found": query}

async def main():
    model = ScriptedModel(
        ['1. search("x")', "Replan: more", '2. search("${1.found}")', "Finish: one", '1. search("z")', "Finish: two"]
    )
    graph = create_llm_compiler(model, [search], checkpointer=InMemorySaver(), interrupt_before=["task_fetching_unit"])
    config = {"configurable": {"thread_id": "1"}}
    for question in ("a", "b"):
        state = await graph.ainvoke({"messages": [("user", question)]}, config)
        while (await graph.aget_state(config)).next:
            state = await graph.ainvoke(None, config)
        print(state["messages"][-1].content, [task["value"] for task in state["tasks"]])

asyncio.run(main())
"""


def test_strict_msgpack() -> None:
    """Everything in the state survives checkpoints that hold known types only."""
    env = {**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true"}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", STRICT], env=env, capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.stderr) == ("one [{'found': 'x'}, {'found': 'x'}]\ntwo [{'found': 'z'}]\n", "")


async def test_the_prompt_only_grows() -> None:
    """Within a turn, each model call's messages begin with the previous call's, byte for byte."""
    model = ScriptedModel(
        [PLAN, "Thought: no.\nReplan: more", '5. search("$3")', "Replan: still more", "7. join()", FINISH]
    )
    await create_llm_compiler(model, TOOLS, checkpointer=InMemorySaver()).ainvoke(QUESTION, thread())
    assert len(model.calls) == 6
    for one, following in zip(model.calls, model.calls[1:], strict=False):
        assert [(m.type, m.content) for m in following[: len(one)]] == [(m.type, m.content) for m in one]
        assert len(following) == len(one) + 2


async def test_the_system_message_is_the_same_for_every_question() -> None:
    """One graph has one system message, so provider caches hit across questions and threads."""
    model = ScriptedModel([PLAN, FINISH] * 2)
    graph = create_llm_compiler(model, TOOLS)
    await graph.ainvoke(QUESTION)
    await graph.ainvoke({"messages": [("user", "another?")]})
    assert len({call[0].text for call in model.calls}) == 1


# -- composition -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [False, True])
async def test_as_a_subgraph(sync: bool) -> None:
    """The graph is a node of another that shares `messages`; its own keys stay inside."""
    inner = create_llm_compiler(ScriptedModel([PLAN, FINISH]), TOOLS, name="facts")
    parent = StateGraph(MessagesState)
    parent.add_node("facts", inner)
    parent.add_node("polish", lambda state: {"messages": [AIMessage(f"So, {state['messages'][-1].text}.")]})
    parent.add_edge(START, "facts")
    parent.add_edge("facts", "polish")
    parent.add_edge("polish", END)
    graph = parent.compile(checkpointer=InMemorySaver())
    final: dict[str, Any] = graph.invoke(QUESTION, thread()) if sync else await graph.ainvoke(QUESTION, thread())
    assert [m.text for m in final["messages"][-2:]] == ["it is x + y", "So, it is x + y."]
    assert set(final) == {"messages"}


@pytest.mark.parametrize("sync", [False, True])
async def test_keys_of_the_parent(sync: bool) -> None:
    """What the nodes note for each other is nobody else's; the tasks are the parent's if it has a key for them."""

    class Parent(MessagesState):
        turn: int
        decision: str
        clock: str
        structured_response: str
        tasks: list[Any]

    parent = StateGraph(Parent)
    parent.add_node("facts", create_llm_compiler(ScriptedModel([PLAN, FINISH]), TOOLS))
    parent.add_edge(START, "facts")
    own = {"turn": 7, "decision": "replan", "clock": "12:30", "structured_response": "mine"}
    asked: Any = {**QUESTION, **own, "tasks": ["old"]}
    final = parent.compile().invoke(asked) if sync else await parent.compile().ainvoke(asked)
    assert {key: final[key] for key in own} == own
    assert [task["value"] for task in final["tasks"]] == ["found x", "found y", "found x + found y"]
    assert final["messages"][-1].text == "it is x + y"


async def test_what_is_given_back() -> None:
    """The final state has the keys that are documented; the checkpoint has all."""
    graph = create_llm_compiler(ScriptedModel([PLAN, FINISH]), TOOLS, checkpointer=InMemorySaver())
    final = await graph.ainvoke(QUESTION, thread())
    assert set(final) == {"messages", "tasks", "rounds", "timeline", "plan_text"}
    assert (await graph.aget_state(thread())).values["decision"] == "finish"
    assert set(graph.get_output_jsonschema()["properties"]) == set(final)


@pytest.mark.parametrize("state_schema", [None, LLMCompilerState, "own", "create_agent's"])
@pytest.mark.parametrize("response_format", [None, Answer])
def test_what_is_asked_for(state_schema: Any, response_format: Any) -> None:
    """Forms, MCP tools and A2A cards ask for `messages` and the caller's own keys; marked keys are left out."""

    class Own(TypedDict):
        user: str
        seen: NotRequired[Annotated[int, OmitFromInput]]
        secret: NotRequired[Annotated[str, PrivateStateAttr]]
        note: Annotated[str, OmitFromOutput]

    class Agent(AgentState[Any]):
        user: str

    schema = {"own": Own, "create_agent's": Agent}.get(state_schema, state_schema)
    graph = create_llm_compiler(ScriptedModel(), TOOLS, state_schema=schema, response_format=response_format)
    taken, given = graph.get_input_jsonschema(), graph.get_output_jsonschema()
    own = {"own": ({"user", "note"}, {"user", "seen"}), "create_agent's": ({"user"}, {"user"})}.get(state_schema)
    asked, told = own or (set(), set())
    formed = {"structured_response"} if response_format else set()
    assert set(taken["properties"]) == {"messages"} | asked
    assert set(given["properties"]) == {"messages", "tasks", "rounds", "timeline", "plan_text"} | formed | told
    assert set(taken["required"]) == {"messages"} | asked
    if response_format:
        assert given["properties"]["structured_response"] == {"$ref": "#/$defs/Answer"}


async def test_what_is_not_asked_for_changes_nothing() -> None:
    """Keys of the graph's own in a run's input are none of its input."""
    graph = create_llm_compiler(ScriptedModel([PLAN, FINISH]), TOOLS, checkpointer=InMemorySaver())
    given: Any = {**QUESTION, "tasks": [{"index": 7}], "decision": "replan", "plan_text": '1. search("other")'}
    check_final(await graph.ainvoke(given, thread()))


def test_all_arguments_have_types() -> None:
    """The overloads, which type checkers read, take what the function takes."""
    taken = set(inspect.signature(create_llm_compiler).parameters)
    for overload in get_overloads(create_llm_compiler):
        hints = inspect.signature(overload).parameters
        (options,) = get_args(get_type_hints(overload)["options"])
        assert set(hints) - {"options"} | set(options.__annotations__) == taken


async def test_as_a_tool_of_another_agent() -> None:
    """The graph can be asked from inside a tool of another one, with its own thread of events."""

    def reply(messages: list[Any]) -> str:
        return PLAN if len(messages) == 2 else FINISH

    inner = create_llm_compiler(ScriptedModel([reply] * 4), TOOLS)

    @tool
    async def ask(question: str) -> str:
        """Ask the facts agent."""
        final = await inner.ainvoke({"messages": [("user", question)]})
        return str(final["messages"][-1].content)

    outer_plan = '1. ask("x?")\n2. ask("y?")\n3. combine($1, $2)'
    outer = create_llm_compiler(
        ScriptedModel([outer_plan, "Finish: done"]), [ask, combine], checkpointer=InMemorySaver()
    )
    final = await outer.ainvoke(QUESTION, thread())
    assert final["tasks"][2]["value"] == "it is x + y + it is x + y"
    assert [m.text for m in final["messages"] if m.name == "joiner"] == ["done"]


async def test_a_tool_that_hands_over() -> None:
    """A tool's `Command(graph=Command.PARENT)` leads the parent graph to another of its nodes."""

    @tool
    def transfer(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Transfer to a human."""
        message = ToolMessage("transferred", tool_call_id=tool_call_id)
        return Command(graph=Command.PARENT, goto="human", update={"messages": [message]})

    parent = StateGraph(MessagesState)
    parent.add_node("agent", create_llm_compiler(ScriptedModel(["1. transfer()"]), [transfer]), destinations=("human",))
    parent.add_node("human", lambda state: {"messages": [AIMessage("a human here")]})
    parent.add_edge(START, "agent")
    final = await parent.compile().ainvoke(QUESTION)
    assert [m.text for m in final["messages"]] == ["what is x + y?", "transferred", "a human here"]


async def test_a_tool_that_hands_over_the_conversation() -> None:
    """LangChain's documented hand-off works: a tool called early finds its own call in the last `AIMessage` too."""

    @tool
    def transfer(runtime: ToolRuntime) -> Command[Any]:
        """Transfer to sales."""
        last = next(m for m in reversed(runtime.state["messages"]) if isinstance(m, AIMessage))
        message = ToolMessage("transferred", tool_call_id=runtime.tool_call_id)
        return Command(graph=Command.PARENT, goto="sales", update={"messages": [last, message]})

    parent = StateGraph(MessagesState)
    model = ScriptedModel(["1. transfer()\n2. join()"])
    parent.add_node("agent", create_llm_compiler(model, [transfer]), destinations=("sales",))
    parent.add_node("sales", lambda state: {"messages": [AIMessage("sales here")]})
    parent.add_edge(START, "agent")
    _, call, message, last = (await parent.compile().ainvoke(QUESTION))["messages"]
    assert [each["id"] for each in call.tool_calls] == [message.tool_call_id]
    assert last.text == "sales here"


async def test_a_parent_that_sends_the_question_back() -> None:
    """What the parent says of the answer reaches the models on the second visit."""
    visits: list[str] = []

    def boss(state: MessagesState) -> Any:
        visits.append(state["messages"][-1].text)
        return {"messages": [AIMessage("Compare it with K2.", name="boss")]} if len(visits) == 1 else {}

    model = ScriptedModel(['1. search("a")', "Finish: first", '1. search("b")', "Finish: second"])
    parent = StateGraph(MessagesState)
    parent.add_node("facts", create_llm_compiler(model, TOOLS))
    parent.add_node("boss", boss)
    parent.add_edge(START, "facts")
    parent.add_edge("facts", "boss")
    parent.add_conditional_edges("boss", lambda _: "facts" if len(visits) == 1 else END, ["facts", END])
    await parent.compile().ainvoke(QUESTION)
    assert visits == ["first", "second"]
    for call in model.calls[2:]:
        assert "joiner: first\n\nboss: Compare it with K2.\n\nWrite the plan." in "".join(m.text for m in call)


def test_a_conversation_put_into_the_state() -> None:
    """`update_state(as_node="joiner")` of a thread without a turn ends it."""
    graph = create_llm_compiler(ScriptedModel(), TOOLS, checkpointer=InMemorySaver())
    said = {"messages": [HumanMessage("hello"), AIMessage("hello")]}
    config = graph.update_state(thread(), said, as_node="joiner")
    assert graph.get_state(config).next == ()


def test_as_a_tool_of_another_agent_synchronously() -> None:
    """The graph can be a synchronous tool of another agent, in a synchronous run."""
    inner = create_llm_compiler(ScriptedModel([PLAN, FINISH]), TOOLS)

    @tool
    def ask(question: str) -> str:
        """Ask the facts agent."""
        return str(inner.invoke({"messages": [("user", question)]})["messages"][-1].content)

    outer = create_llm_compiler(ScriptedModel(['1. ask("x?")', "Finish: done"]), [ask])
    assert outer.invoke(QUESTION)["tasks"][0]["value"] == "it is x + y"
