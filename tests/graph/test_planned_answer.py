"""An answer in place of a plan: one model call where no tool is needed, and never a plan that failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from langchain.agents.middleware import AgentMiddleware, PIIMiddleware, wrap_model_call
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, create_model

from llmcompiler_graph import PlanExample, create_llm_compiler
from llmcompiler_graph.models.constraints import Constraint
from llmcompiler_graph.testing import ScriptedModel
from tests.replies.test_replies import HERE, _replies
from tests.replies.test_replies import TOOLS as TOOLS_OF_THE_WILD

QUESTION: Any = {"messages": [("user", "Hello!")]}
ANSWER = "1. join()\nFinish: Good morning! What can I do?"
SAID = "Good morning! What can I do?"
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
chunked = pytest.mark.parametrize("chunk_size", [1, 3, 7, 1000])


@tool
def lookup(entity: str) -> str:
    """Look something up."""
    return f"{entity} found"


TOOLS: list[BaseTool] = [lookup]


def usage(tokens: int) -> Any:
    """Tokens used."""
    return {"input_tokens": tokens, "output_tokens": tokens, "total_tokens": 2 * tokens}


async def run(graph: Any, given: Any = QUESTION, *, sync: bool = False, config: Any = None) -> Any:
    """Run the graph either way."""
    if sync:
        return await asyncio.to_thread(graph.invoke, given, config)
    return await graph.ainvoke(given, config)


@both_ways
@chunked
async def test_a_greeting_costs_one_model_call(sync: bool, chunk_size: int) -> None:
    """The planner's answer is the last message, with the tokens it took; nothing else is asked or run."""
    model = ScriptedModel([AIMessage(ANSWER, usage_metadata=usage(7))], chunk_size=chunk_size)
    final = await run(create_llm_compiler(model, TOOLS, name="greeter"), sync=sync)
    assert len(model.calls) == 1
    (answer,) = final["messages"][1:]
    assert (answer.text, answer.name, answer.usage_metadata) == (SAID, "greeter", usage(7))
    assert final["tasks"] == []
    (round_,) = final["rounds"]
    assert (round_["plan"], round_["reply"], round_["usage"]) == (ANSWER, SAID, {"planner": usage(7)})
    assert round_["planning"]["finished"] >= round_["planning"]["started"]


@chunked
async def test_it_is_streamed_while_it_is_written(chunk_size: int) -> None:
    """Streams show the answer in pieces and nothing of plan and thoughts, under the id of its message."""
    text = "<think>No tool.</think>Thought: a greeting\n" + ANSWER
    model = ScriptedModel([text], chunk_size=chunk_size)
    graph = create_llm_compiler(model, TOOLS)
    pieces = [part async for part, _ in graph.astream(QUESTION, stream_mode="messages")]
    shown = [piece for piece in pieces if isinstance(piece, AIMessageChunk)]
    assert "".join(piece.text for piece in shown) == SAID
    if chunk_size < 8:
        assert len([piece for piece in shown if piece.text]) > 2, "the answer comes in one piece"
    assert len({piece.id for piece in shown}) == 1


@pytest.mark.parametrize(
    "reply",
    [
        "1. join()\nFinish: Good morning! What can I do?",
        "join()\n\nFinish: Good morning! What can I do?",
        "Thought: no tool, so join() at once.\n1. join()\nFinish: Good morning! What can I do?",
        "```\n1. join()\n```\nFinish: Good morning! What can I do?",
        "**1. join()**\n**Finish:** Good morning! What can I do?",
        "1. join()\nAction: Finish(Good morning! What can I do?)<END_OF_RESPONSE>",
        "1. join()\nThought: be kind.\nFinish: Good morning! What can I do?",
        "1. join()  <END_OF_PLAN>\nFINISH: Good morning! What can I do?",
    ],
)
@chunked
async def test_forms_of_an_answer(reply: str, chunk_size: int) -> None:
    """Marks, fences and thoughts around it, and the paper's form, are understood as in the joiner's reply."""
    model = ScriptedModel([reply], chunk_size=chunk_size)
    final = await create_llm_compiler(model, TOOLS).ainvoke(QUESTION)
    assert final["messages"][-1].text == SAID
    assert len(model.calls) == 1


@pytest.mark.parametrize(
    "reply",
    [
        "1. join()",
        "1. join()\nGood morning!",
        "1. join()\nFinish:",
        "1. join()\nReplan: look it up",
        "Finish: Good morning!",
        "Good morning! I can look things up with lookup.",
        "Thought: I could join() here.\nFinish: It is 5.",
        '1. join()\nFinish: 1. lookup("K2")',
        '1. join()\nFinish:\n1. lookup("K2")\n2. join()',
        "1. join()\nFinish: I will call lookup to find it.",
        '1. join()\nFinish: {"name": "lookup", "arguments": {"entity": "K2"}}',
    ],
)
@chunked
async def test_anything_else_is_left_to_the_joiner(reply: str, chunk_size: int) -> None:
    """An empty plan without an answer, an answer without the plan, one that calls tools: the joiner has its say."""
    model = ScriptedModel([reply, "Finish: asked", "Finish: asked"], chunk_size=chunk_size)
    final = await create_llm_compiler(model, TOOLS, max_repairs=0).ainvoke(QUESTION)
    assert final["messages"][-1].text == "asked"


@pytest.mark.parametrize(
    "reply",
    [
        'I will use the lookup tool.\nAction: lookup["K2"]\n1. join()\nFinish: it was found',
        'Schritt eins: lookup("K2")\n1. join()\nFinish: it was found',
        "1. lookup(K2\n2. join()\nFinish: it was found",
        '1. lokup("K2")\n2. join()\nFinish: it was found',
        "1. Mount Everest\n2. join()\nFinish: it was found",
    ],
)
@chunked
async def test_a_failed_plan_is_never_the_answer(reply: str, chunk_size: int) -> None:
    """Where anything in the reply is, or looks like, a call, `Finish` below it is none: the plan is mended and run."""

    def answer(messages: list[Any]) -> str:
        return "Finish: K2 found" if "Observations:" in messages[-1].text else '1. lookup("K2")'

    model = ScriptedModel([reply, answer, answer], chunk_size=chunk_size)
    final = await create_llm_compiler(model, TOOLS).ainvoke(QUESTION)
    assert final["messages"][-1].text == "K2 found"
    assert [task["value"] for task in final["tasks"]] == ["K2 found"]


async def test_a_plan_with_tasks_ends_at_its_join() -> None:
    """What a model makes up below a plan of calls is not read: the joiner answers from what they returned."""
    model = ScriptedModel(
        ['1. lookup("K2")\n2. join()\nFinish: made up, and long enough to be cut', "Finish: K2 found"]
    )
    final = await create_llm_compiler(model, TOOLS).ainvoke(QUESTION)
    assert final["messages"][-1].text == "K2 found"
    assert [m.text for m in final["messages"] if isinstance(m, ToolMessage)] == ["K2 found"]


async def test_native_calls() -> None:
    """With `plan_format="tools"` the model calls none and writes `Finish: …`; without the label it is no answer."""
    for reply, calls, said in (
        ("Finish: Good morning!", 1, "Good morning!"),
        ("1. join()\nFinish: Good morning!", 1, "Good morning!"),
        ("I will look it up.", 2, "asked"),
        ('Finish: lookup("K2")', 2, "asked"),
    ):
        model = ScriptedModel([reply, "Finish: asked"], chunk_size=3)
        graph = create_llm_compiler(model, TOOLS, plan_format="tools", max_repairs=0)
        final = await graph.ainvoke(QUESTION)
        assert (len(model.calls), final["messages"][-1].text) == (calls, said), reply
    called = AIMessage("Finish: soon", tool_calls=[{"name": "lookup", "args": {"task": 1, "entity": "K2"}, "id": "a"}])
    model = ScriptedModel([called, "Finish: K2 found"], chunk_size=3)
    final = await create_llm_compiler(model, TOOLS, plan_format="tools").ainvoke(QUESTION)
    assert final["messages"][-1].text == "K2 found"
    assert [task["value"] for task in final["tasks"]] == ["K2 found"]


async def test_a_thread_goes_on() -> None:
    """The next turn sees the answer as any other; a turn that needs tools uses them."""
    model = ScriptedModel([ANSWER, '1. lookup("K2")\n2. join()', "Finish: K2 found", "1. join()\nFinish: Bye."])
    graph = create_llm_compiler(model, TOOLS, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    await run(graph, config=config)
    final = await run(graph, {"messages": [("user", "Where is K2?")]}, config=config)
    assert final["messages"][-1].text == "K2 found"
    assert [m.content for m in model.calls[1] if isinstance(m, AIMessage)] == [SAID]
    final = await run(graph, {"messages": [("user", "Bye")]}, config=config)
    assert final["messages"][-1].text == "Bye."
    assert final["tasks"] == []
    assert len(model.calls) == 4


async def test_only_the_first_plan_may_be_an_answer() -> None:
    """When the joiner has asked for another plan, or a plan is mended, an answer of the planner is not taken."""
    model = ScriptedModel(['1. lookup("K2")', "Replan: more", "1. join()\nFinish: enough", "Finish: asked"])
    final = await create_llm_compiler(model, TOOLS).ainvoke(QUESTION)
    assert final["messages"][-1].text == "asked"
    model = ScriptedModel(['1. lokup("K2")', "1. join()\nFinish: enough", "Finish: asked"])
    final = await create_llm_compiler(model, TOOLS).ainvoke(QUESTION)
    assert final["messages"][-1].text == "asked"


class Typed(BaseModel):
    """An answer's form."""

    text: str


@pytest.mark.parametrize(
    "given",
    [
        {"response_format": Typed},
        {"joiner_model": ScriptedModel(["Finish: asked"])},
        {"constrain": Constraint("llama.cpp")},
    ],
    ids=["response_format", "joiner_model", "constrain"],
)
async def test_where_the_joiner_answers_all_the_same(given: Any) -> None:
    """With a form to fill, a model of its own to join, or a grammar, the prompt offers no answer, and none is taken."""
    model = ScriptedModel([ANSWER, "Finish: asked", '{"text": "asked"}'])
    graph = create_llm_compiler(model, TOOLS, **given)
    final = await graph.ainvoke(QUESTION)
    assert final["messages"][-1].text == "asked"
    assert "Finish: Good morning" not in model.calls[0][0].text
    assert "on the next line" not in model.calls[0][0].text
    assert ("planner", "__end__") not in {(edge.source, edge.target) for edge in graph.get_graph().edges}


@both_ways
async def test_hooks(sync: bool) -> None:
    """Hooks see one model call: `after_model` gets the answer as its last message, `after_agent` ends the turn."""
    seen: list[str] = []

    class Hook(AgentMiddleware[Any, Any]):
        def before_model(self, state: Any, runtime: Any) -> None:
            seen.append("before")

        def after_model(self, state: Any, runtime: Any) -> None:
            seen.append(f"after {state['messages'][-1].text}")

        def after_agent(self, state: Any, runtime: Any) -> None:
            seen.append("end")

    model = ScriptedModel([ANSWER])
    await run(create_llm_compiler(model, TOOLS, middleware=[Hook()]), sync=sync)
    assert seen == ["before", f"after {SAID}", "end"]


@both_ways
async def test_wrappers_of_the_model_call(sync: bool) -> None:
    """A retry that comes in the middle of an answer begins it anew; redaction of the output is in the state."""

    @wrap_model_call
    async def twice(request: Any, handler: Any) -> Any:
        await handler(request)
        return await handler(request)

    model = ScriptedModel(["1. join()\nFinish: Good evening", ANSWER], chunk_size=3)
    final = await run(create_llm_compiler(model, TOOLS, middleware=[twice]))
    assert final["messages"][-1].text == SAID
    model = ScriptedModel(["1. join()\nFinish: Write to ann@example.org."], chunk_size=3)
    pii = PIIMiddleware("email", apply_to_output=True, apply_to_input=False)
    final = await run(create_llm_compiler(model, TOOLS, middleware=[pii]), sync=sync)
    assert final["messages"][-1].text == "Write to [REDACTED_EMAIL]."


async def test_an_answer_that_breaks_off_raises_and_shows_no_end() -> None:
    """A model that fails in the middle of an answer fails the run, as a joiner's does."""

    class Breaks(ScriptedModel):
        async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            async for chunk in super()._astream(messages, stop, run_manager, **kwargs):
                yield chunk
                if "orning" in chunk.message.text:
                    raise ConnectionError

    graph = create_llm_compiler(Breaks(replies=[ANSWER], chunk_size=12), TOOLS)
    pieces: list[Any] = []

    async def stream() -> None:
        async for part in graph.astream(QUESTION, stream_mode="messages"):
            pieces.append(part)

    with pytest.raises(ConnectionError):
        await stream()
    shown = "".join(piece.text for piece, _ in pieces)
    assert shown
    assert SAID.startswith(shown)


def test_the_prompt_grows_by_a_line() -> None:
    """What planners are told of it is short: below fifty tokens, the example included."""

    def prompt(**kwargs: Any) -> str:
        model = ScriptedModel([ANSWER, "Finish: x"])
        create_llm_compiler(model, TOOLS, **kwargs).invoke(QUESTION)
        return str(model.calls[0][0].text)

    grown = len(prompt()) - len(prompt(joiner_model=ScriptedModel(["Finish: x"])))
    assert 0 < grown < 120
    shown = prompt(examples=[PlanExample("Hi!", "1. join()\nFinish: Hi!")])
    assert "Hi!\n\nWrite the plan.\njoin()\nFinish: Hi!" in shown


# -- replies in the wild -----------------------------------------------------------------------------------------------

CALLING = [reply for path in sorted(HERE.glob("*.txt")) for reply in _replies(path) if reply.gives]
TALKING = [text.strip() for text in (HERE / "talk.txt").read_text(encoding="utf-8").split("\n----\n")]


def tools_of_the_wild() -> list[BaseTool]:
    """The tools that the replies in `tests/replies` call."""

    def made(name: str, parameters: Sequence[str]) -> BaseTool:
        def call(**_: Any) -> str:
            return "made"

        schema: dict[str, Any] = {parameter: (Any, None) for parameter in parameters}
        return StructuredTool.from_function(
            call, name=name, description="Do.", args_schema=create_model(name, **schema)
        )

    return [made(name, parameters) for name, parameters in TOOLS_OF_THE_WILD.items()]


class Answers:
    """What is answered if a model writes a reply for a plan."""

    def __init__(self, **kwargs: Any) -> None:
        self._reply = ""

        def write(messages: list[Any]) -> str:
            return "Finish: joined" if "Observations:" in messages[-1].text else self._reply

        model = ScriptedModel([write] * 1000, chunk_size=9)
        self._graph = create_llm_compiler(model, tools_of_the_wild(), max_repairs=0, **kwargs)

    async def to(self, reply: str) -> str:
        """Ask, and let the model reply so."""
        self._reply = reply
        final = await self._graph.ainvoke(QUESTION)
        return str(final["messages"][-1].text)


@pytest.mark.parametrize("plan_format", ["text", "tools"])
async def test_replies_that_call_are_no_answers(plan_format: Any) -> None:
    """Whatever notation a reply calls tools in, what it says it found out below that is not taken for the answer."""
    assert len(CALLING) > 100
    answers = Answers(plan_format=plan_format)
    for reply in CALLING:
        said = await answers.to(f"{reply.text.rstrip()}\n9. join()\nFinish: made up")
        assert said == "joined", reply.title


async def test_answers_that_call_are_none() -> None:
    """Nor is a call in the place of the answer, whatever its notation."""
    answers = Answers()
    for reply in CALLING:
        assert await answers.to(f"1. join()\nFinish: {reply.text}") == "joined", reply.title


async def test_answers_that_talk_of_tools_are_answers() -> None:
    """What merely talks of tools is said to the user."""
    assert len(TALKING) > 50
    answers = Answers()
    for text in TALKING:
        assert (await answers.to(f"1. join()\nFinish: {text}")).split() == text.split()


@pytest.mark.parametrize(
    ("said", "shown"),
    [("I can use lookup for facts.", "I can use lookup for facts."), ('Sure.\n1. lookup("K2")', f"Sure.\n1. {SAID}")],
)
async def test_what_names_a_tool_is_shown_once_it_counts(said: str, shown: str) -> None:
    """An answer that names a tool is shown in the end; what turns out to be a call never is."""
    model = ScriptedModel([f"1. join()\nFinish: {said}", f"Finish: {SAID}"], chunk_size=5)
    graph = create_llm_compiler(model, TOOLS)
    parts = [piece async for piece, _ in graph.astream(QUESTION, stream_mode="messages")]
    told = "".join(piece.text for piece in parts if isinstance(piece, AIMessageChunk))
    assert told == shown
