"""Each of LangChain's middleware around `create_agent` and around `create_llm_compiler`, with the same script."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import middleware as theirs
from langchain.agents.middleware import AgentMiddleware
from langchain_core.decisions import BaseDecisionModel, ChoiceAnswer, ClassifierResponse, NoulAnswer
from langchain_core.exceptions import ModelRefusalError
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.testing import ScriptedModel
from tests.test_swap import ANSWER, LOOK, THREAD, Call, Maker, both_ways, look, run


@pytest.fixture(params=["create_agent", "create_llm_compiler"])
def make(request: pytest.FixtureRequest) -> Maker:
    """Either of them."""
    return Maker(request.param == "create_llm_compiler")


def told(final: Any) -> list[str]:
    """What the tools' messages say."""
    return [message.text for message in final["messages"] if message.type == "tool"]


class Classifier(BaseDecisionModel):
    """Says that letters are risky, and that questions are hard."""

    model: str = "scripted"

    @property
    def _provider(self) -> str:
        return "scripted"

    def _classify(self, state: Any, questions: Any) -> ClassifierResponse:
        answers: dict[str, Any] = {}
        for name, question in questions.items():
            if type(question).__name__ == "Noul":
                answers[name] = NoulAnswer(type="noul", noul=0.9 if "send" in str(state) else 0.1)
            else:
                answers[name] = ChoiceAnswer(
                    type="choice", choice="hard", probabilities={"hard": 1.0, "easy": 0.0}, confidence=1.0
                )
        return ClassifierResponse(model=self.model, answers=answers)


@tool
def send(to: str) -> str:
    """Send a letter."""
    return f"sent to {to}"


@both_ways
async def test_auto_mode(make: Maker, sync: bool) -> None:
    """Calls that a classifier finds risky are not made, others are."""
    auto = theirs.AutoModeMiddleware(tools=["send"], classifier=Classifier())
    final = await run(make([send, look], [("send", {"to": "ann"}), *LOOK], middleware=[auto]), sync=sync)
    blocked, found = told(final)
    assert "sent" not in blocked
    assert found == "K2 found"
    assert final["messages"][-1].text == ANSWER


async def test_context_editing(make: Maker) -> None:
    """What the model is shown of results is cleared; the state keeps them."""
    edit = theirs.ClearToolUsesEdit(trigger=1, keep=0, placeholder="[cleared]")
    model = ScriptedModel(make.replies(LOOK))
    final = await run(make([look], model=model, middleware=[theirs.ContextEditingMiddleware(edits=[edit])]))
    assert told(final) == ["K2 found"]
    assert "[cleared]" in str(model.calls[1])
    assert "K2 found" not in str(model.calls[1])


async def test_file_search(make: Maker, tmp_path: Path) -> None:
    """The tools that it brings along are called."""
    (tmp_path / "notes.txt").write_text("K2")
    searching = theirs.FilesystemFileSearchMiddleware(root_path=str(tmp_path))
    final = await run(make([], [("glob_search", {"pattern": "*.txt"})], middleware=[searching]))
    assert "notes.txt" in told(final)[0]


@both_ways
async def test_tool_emulator(make: Maker, sync: bool) -> None:
    """A model answers in a tool's place."""
    emulating = theirs.LLMToolEmulator(model=ScriptedModel(["made up"]))
    assert told(await run(make([look], middleware=[emulating]), sync=sync)) == ["made up"]


async def test_tool_selector(make: Maker) -> None:
    """A model picks the tools that the agent's model is shown."""
    call = {"name": "ToolSelectionResponse", "args": {"tools": ["look"]}, "id": "1", "type": "tool_call"}
    picking = ScriptedModel([AIMessage("", tool_calls=[call])] * 2)
    model = ScriptedModel(make.replies(LOOK))
    middleware = [theirs.LLMToolSelectorMiddleware(model=picking)]
    final = await run(make([look, send], model=model, middleware=middleware))
    assert final["messages"][-1].text == ANSWER
    shown = model.calls[0][0].text if make.ours else str(model.settings[0]["tools"])
    assert "look" in shown
    assert "Send a letter" not in shown


async def test_model_call_limit(make: Maker) -> None:
    """After so many model calls the run ends, with a message that says so."""
    limit = theirs.ModelCallLimitMiddleware(run_limit=1, exit_behavior="end")
    final = await run(make([look], middleware=[limit]))
    assert told(final) == ["K2 found"]
    assert "limit" in final["messages"][-1].text


@both_ways
async def test_model_fallback(make: Maker, sync: bool) -> None:
    """Another model goes on where one fails."""
    script = make.replies(LOOK)
    model = ScriptedModel([ConnectionError("down"), script[1]])
    fallback = theirs.ModelFallbackMiddleware(ScriptedModel([script[0]]))
    final = await run(make([look], model=model, middleware=[fallback]), sync=sync)
    assert told(final) == ["K2 found"]
    assert final["messages"][-1].text == ANSWER


@both_ways
async def test_model_refusal(make: Maker, sync: bool) -> None:
    """A reply that its provider marks as a refusal is an error."""
    refusing = AIMessage([{"type": "refusal", "refusal": "No."}])
    graph = make([look], model=ScriptedModel([refusing]), middleware=[theirs.ModelRefusalMiddleware()])
    with pytest.raises(ModelRefusalError):
        await run(graph, sync=sync)


@both_ways
async def test_model_retry(make: Maker, sync: bool) -> None:
    """A model that fails is asked again."""
    script = make.replies(LOOK)
    model = ScriptedModel([ConnectionError("down"), script[0], ConnectionError("down"), script[1]])
    retry = theirs.ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)
    final = await run(make([look], model=model, middleware=[retry]), sync=sync)
    assert told(final) == ["K2 found"]
    assert final["messages"][-1].text == ANSWER


@pytest.mark.filterwarnings("ignore:The middleware `ModelRouterMiddleware` is in beta")
@both_ways
async def test_model_router(make: Maker, sync: bool) -> None:
    """A classifier picks the model of the turn."""
    picked = ScriptedModel(make.replies(LOOK))
    choices = {
        "easy": theirs.ModelChoice(model=ScriptedModel([]), criteria="Easy."),
        "hard": theirs.ModelChoice(model=picked, criteria="Hard."),
    }
    router = theirs.ModelRouterMiddleware(choices=choices, instructions="Pick.", classifier=Classifier())
    final = await run(make([look], model=ScriptedModel([]), middleware=[router]), sync=sync)
    assert final["messages"][-1].text == ANSWER
    assert len(picked.calls) == 2


@both_ways
async def test_pii(make: Maker, sync: bool) -> None:
    """Questions, results and answers are redacted."""

    @tool
    def mail(of: str) -> str:
        """Look an address up."""
        return "ann@example.org"

    hiding = theirs.PIIMiddleware("email", apply_to_output=True, apply_to_tool_results=True)
    replies = make.replies([("mail", {"of": "ann"})], "It is ann@example.org.")
    model = ScriptedModel(replies)
    graph = make([mail], model=model, middleware=[hiding])
    final = await run(graph, {"messages": [("user", "Is it eve@example.org?")]}, sync=sync)
    assert "example.org" not in str(final["messages"])
    assert "example.org" not in str([call[1:] for call in model.calls])


# LangChain leaves the pipes of its shells to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@both_ways
async def test_shell(make: Maker, sync: bool) -> None:
    """Commands are run in a shell."""
    shell = theirs.ShellToolMiddleware(execution_policy=theirs.HostExecutionPolicy())
    final = await run(make([], [("shell", {"command": "echo one"})], middleware=[shell]), sync=sync)
    assert told(final)[0].strip() == "one"
    gc.collect()


async def test_summarization(make: Maker) -> None:
    """A long conversation is replaced by a summary before the model is asked."""
    summing = theirs.SummarizationMiddleware(ScriptedModel(["all that"]), trigger=("messages", 5), keep=("messages", 1))
    model = ScriptedModel(make.replies(LOOK))
    earlier = [("user", "one"), ("ai", "1"), ("user", "two"), ("ai", "2")]
    final = await run(make([look], model=model, middleware=[summing]), {"messages": [*earlier, ("user", "three")]})
    assert "all that" in str(model.calls[0])
    assert "'one'" not in str(model.calls[0])
    assert final["messages"][-1].text == ANSWER


@both_ways
async def test_tool_call_limit(make: Maker, sync: bool) -> None:
    """Calls beyond the limit are not made, and the model is told."""
    calls: Sequence[Call] = [("look", {"what": "K2"}), ("look", {"what": "K3"})]
    limit = theirs.ToolCallLimitMiddleware(run_limit=1)
    final = await run(make([look], calls, middleware=[limit]), sync=sync)
    assert sorted("found" in text for text in told(final)) == [False, True]
    assert final["messages"][-1].text == ANSWER


class Flaky:
    """A tool that fails the first time."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def tool(self) -> BaseTool:
        """Make the tool."""

        @tool
        def flaky(what: str) -> str:
            """Fail the first time."""
            self.calls[what] += 1
            if self.calls[what] == 1:
                msg = "not yet"
                raise OSError(msg)
            return f"{what} found"

        return flaky


@both_ways
async def test_tool_retry(make: Maker, sync: bool) -> None:
    """A tool that raises is called again."""
    retry = theirs.ToolRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)
    final = await run(make([Flaky().tool()], [("flaky", {"what": "K2"})], middleware=[retry]), sync=sync)
    assert told(final) == ["K2 found"]


@both_ways
async def test_tool_error(make: Maker, sync: bool) -> None:
    """What a tool raises becomes what the middleware says."""
    handling = theirs.ToolErrorMiddleware(lambda error, request: f"sorry: {error}")
    final = await run(make([Flaky().tool()], [("flaky", {"what": "K2"})], middleware=[handling]), sync=sync)
    assert "sorry: not yet" in told(final)[0]
    assert final["messages"][-1].text == ANSWER


@pytest.mark.parametrize("refused", [theirs.TodoListMiddleware(), theirs.ProviderToolSearchMiddleware()])
def test_what_is_refused_here(refused: AgentMiddleware[Any, Any]) -> None:
    """It has no place in a graph of plans: said when the graph is made, with the reason."""
    Maker(ours=False)([look], middleware=[refused])
    with pytest.raises(ConfigurationError, match=refused.name):
        Maker(ours=True)([look], middleware=[refused])


class Keeping(theirs.AgentState[Any]):
    """A key of the middleware's."""

    seen: list[str]


class Everything(AgentMiddleware[Keeping, Any]):
    """All hooks and wrappers."""

    state_schema = Keeping

    def __init__(self) -> None:
        super().__init__()
        self.tools = [send]
        self.seen: list[str] = []

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """Note."""
        self.seen.append("before_agent")
        return {"seen": ["begun"]}

    def before_model(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.seen.append("before_model")

    def after_model(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.seen.append("after_model")

    def after_agent(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.seen.append("after_agent")

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        """Note."""
        self.seen.append(f"model {sorted(each.name for each in request.tools)} {request.state['seen']}")
        return handler(request)

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        """Note."""
        self.seen.append(f"tool {request.tool_call['name']}")
        return handler(request)


@both_ways
async def test_everything_that_middleware_has(make: Maker, sync: bool) -> None:
    """Hooks, wrappers, tools and state: the same calls in the same order."""
    if make.ours or sync:
        everything = Everything()
        final = await run(make([look], [("send", {"to": "ann"})], middleware=[everything]), sync=sync)
        model = ["before_model", "model ['look', 'send'] ['begun']", "after_model"]
        assert everything.seen == ["before_agent", *model, "tool send", *model, "after_agent"]
        assert final["seen"] == ["begun"]
        assert told(final) == ["sent to ann"]


@theirs.before_agent
def note_begin(state: Any, runtime: Any) -> dict[str, Any]:
    """Add a word."""
    return {"messages": [HumanMessage("Please.")]}


@theirs.before_model
def note_before(state: Any, runtime: Any) -> None:
    """Do nothing."""


@theirs.after_model
def note_after(state: Any, runtime: Any) -> None:
    """Do nothing."""


@theirs.after_agent
def note_end(state: Any, runtime: Any) -> dict[str, Any]:
    """Add a word."""
    return {"messages": [AIMessage("Bye.")]}


@theirs.wrap_model_call
async def around_model(request: Any, handler: Any) -> Any:
    """Do nothing."""
    return await handler(request)


@theirs.wrap_tool_call
async def around_tool(request: Any, handler: Any) -> Any:
    """Say it louder."""
    made = await handler(request)
    return made.model_copy(update={"content": made.text.upper()})


@theirs.dynamic_prompt
def polite(request: Any) -> str:
    """Say how to be."""
    return "Be polite."


@theirs.before_model(can_jump_to=["end"])
def leave(state: Any, runtime: Any) -> dict[str, Any]:
    """Leave."""
    return {"jump_to": "end", "messages": [AIMessage("closed")]}


async def test_decorators(make: Maker) -> None:
    """Functions that decorators make middleware of."""
    model = ScriptedModel(make.replies(LOOK))
    middleware = [note_begin, note_before, note_after, note_end, around_model, around_tool, polite]
    final = await run(make([look], model=model, middleware=middleware))
    assert told(final) == ["K2 FOUND"]
    assert final["messages"][-1].text == "Bye."
    assert model.calls[0][0].text.startswith("Be polite.")
    assert "Please." in str(model.calls[0])


async def test_jumping_to_the_end(make: Maker) -> None:
    """A hook may end the turn."""
    final = await run(make([look], middleware=[leave], model=ScriptedModel([])))
    assert final["messages"][-1].text == "closed"


@both_ways
async def test_commands_of_wrappers(make: Maker, sync: bool) -> None:
    """A wrapper of model calls writes to the state by `ExtendedModelResponse`."""

    class Writes(AgentMiddleware[Keeping, Any]):
        state_schema = Keeping

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            made = handler(request)
            return theirs.ExtendedModelResponse(made, command=Command(update={"seen": ["asked"]}))

    if make.ours or sync:
        final = await run(make([look], middleware=[Writes()]), sync=sync)
        assert final["seen"] == ["asked"]


async def test_a_tool_message_in_a_tool_s_place(make: Maker) -> None:
    """A wrapper of tool calls may answer itself; `ToolCallRequest.override` changes the call."""

    @theirs.wrap_tool_call
    async def answers(request: Any, handler: Any) -> Any:
        if request.tool_call["args"]["what"] == "K2":
            return ToolMessage("known", tool_call_id=request.tool_call["id"])
        call = {**request.tool_call, "args": {"what": "K4"}}
        return await handler(request.override(tool_call=call))

    calls: Sequence[Call] = [("look", {"what": "K2"}), ("look", {"what": "K3"})]
    final = await run(make([look], calls, middleware=[answers], checkpointer=InMemorySaver()), config=THREAD)
    assert sorted(told(final)) == ["K4 found", "known"]


async def test_trace_policies(make: Maker) -> None:
    """A policy for all middleware, or one of its own, changes nothing of a run."""

    class Traced(AgentMiddleware[Any, Any]):
        trace_policy = theirs.TracePolicy(process_inputs=theirs.omit_payload)

        def before_model(self, state: Any, runtime: Any) -> None:
            """Do nothing."""

    theirs.configure_trace_policy(theirs.TracePolicy(process_inputs=theirs.omit_payload))
    try:
        final = await run(make([look], middleware=[Traced()]))
    finally:
        theirs.configure_trace_policy(None)
    assert told(final) == ["K2 found"]
