"""Tools that a human must approve: nothing waiting runs, everything else does, and nothing is done twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain.agents.middleware import InterruptOnConfig as LangChainConfig
from langchain_core.messages import ToolCall
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.approval import InterruptOnConfig
from llmcompiler_graph.testing import ScriptedModel

PLAN = """\
1. send(to="a")
2. find(what="1")
3. send(to="b")
4. find(what="2")
5. find(what="3")
6. send(to="c")
7. find(what="4")
8. find(what="$2")
9. join()"""
CONFIG: Any = {"configurable": {"thread_id": "1"}}
QUESTION: Any = {"messages": [("user", "Send three letters.")]}


class Desk:
    """Two tools, counted: `send` needs a human, `find` does not."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.found: Any = None

    def tools(self) -> list[BaseTool]:
        """The tools."""

        @tool
        async def send(to: str) -> str:
            """Send a letter."""
            self.ran[f"send {to}"] += 1
            return f"sent to {to}"

        @tool
        def find(what: str) -> Any:
            """Find something."""
            self.ran[f"find {what}"] += 1
            return self.found or what

        return [send, find]

    def graph(
        self,
        plan: str = PLAN,
        interrupt_on: Any = None,
        answer: str = "Finish: done",
        checkpointer: Any = None,
        **kwargs: Any,
    ) -> Any:
        """An agent with these tools."""
        on = {"send": True} if interrupt_on is None else interrupt_on
        model = ScriptedModel([plan, answer])
        saver = InMemorySaver() if checkpointer is None else checkpointer or None
        return create_llm_compiler(model, self.tools(), interrupt_on=on, checkpointer=saver, **kwargs)


async def through_async(graph: Any, given: Any) -> Any:
    """Run asynchronously."""
    return await graph.ainvoke(given, CONFIG)


async def through_sync(graph: Any, given: Any) -> Any:
    """Run synchronously, in a thread."""
    return await asyncio.to_thread(graph.invoke, given, CONFIG)


BOTH = pytest.mark.parametrize("run", [through_async, through_sync])
Run = Callable[[Any, Any], Awaitable[Any]]
FREE = {"find 1": 2, "find 2": 1, "find 3": 1, "find 4": 1}


@BOTH
@pytest.mark.anyio
async def test_answered_together(run: Run) -> None:
    """Three calls wait and five do not: one pause with one question, five done; one answer; each runs once."""
    desk = Desk()
    graph = desk.graph()
    paused = await run(graph, QUESTION)
    assert desk.ran == FREE
    (question,) = paused["__interrupt__"]
    assert [request["args"]["to"] for request in question.value["action_requests"]] == ["a", "b", "c"]
    told = {message.text for message in paused["messages"] if message.type == "tool"}
    assert told == {"1", "2", "3", "4"}, "what is finished is not shown while the run is paused"
    final = await run(graph, Command(resume={"decisions": [{"type": "approve"}] * 3}))
    assert final["messages"][-1].content == "done"
    assert desk.ran == {**FREE, "send a": 1, "send b": 1, "send c": 1}


@BOTH
@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["batched", "per_call"])
async def test_asked_in_the_plan_s_order(run: Run, mode: Any) -> None:
    """A human is asked in the order of the plan, however much of it each call has to wait for."""
    plan = '1. find("a")\n2. find("$1")\n3. send("$2")\n4. send("b")\n5. send("$1")\n6. join()'
    paused = await run(Desk().graph(plan, interrupt_mode=mode), QUESTION)
    requests = [each.value.get("action_requests", [each.value]) for each in paused["__interrupt__"]]
    assert [request["args"]["to"] for each in requests for request in each] == ["a", "b", "a"]


@BOTH
@pytest.mark.anyio
async def test_answered_one_by_one(run: Run) -> None:
    """Asked one by one: each answer runs one call, and nothing that was done is done again."""
    desk = Desk()
    graph = desk.graph(interrupt_mode="per_call")
    state = await run(graph, QUESTION)
    for left in (3, 2, 1):
        waiting = state["__interrupt__"]
        assert len(waiting) == left
        assert {each.value["type"] for each in waiting} == {"tool_approval"}
        assert "oneOf" in waiting[0].response_schema
        state = await run(graph, Command(resume={waiting[0].id: {"type": "approve"}}))
        assert sum(desk.ran[f"send {to}"] for to in "abc") == 4 - left
    assert state["messages"][-1].content == "done"
    assert desk.ran == {**FREE, "send a": 1, "send b": 1, "send c": 1}


@pytest.mark.parametrize(
    ("decision", "ran", "status", "value", "error"),
    [
        ({"type": "approve"}, ["send a"], "done", "sent to a", ""),
        (
            {"type": "edit", "edited_action": {"name": "send", "args": {"to": "z"}}},
            ["send z"],
            "done",
            "sent to z",
            "",
        ),
        ({"type": "edit", "edited_action": {"args": {"to": "z"}}}, ["send z"], "done", "sent to z", ""),
        ({"type": "reject", "message": "too dear"}, [], "failed", None, "a human rejected it: too dear"),
        ({"type": "respond", "message": "I did it myself"}, [], "done", "I did it myself", ""),
    ],
)
@pytest.mark.anyio
async def test_decisions(decision: dict[str, Any], ran: list[str], status: str, value: str | None, error: str) -> None:
    """A human approves, edits, rejects or responds; what needs a rejected task is skipped."""
    desk = Desk()
    graph = desk.graph('1. send(to="a")\n2. find(what="$1")\n3. join()')
    paused = await graph.ainvoke(QUESTION, CONFIG)
    assert paused["__interrupt__"][0].value["review_configs"] == [
        {"action_name": "send", "allowed_decisions": ["approve", "edit", "reject", "respond"]}
    ]
    final = await graph.ainvoke(Command(resume={"decisions": [decision]}), CONFIG)
    task, dependent = final["tasks"]
    assert (task["status"], task["value"], task["error"]) == (status, value, error)
    assert dependent["status"] == ("skipped" if status == "failed" else "done")
    assert [each for each in desk.ran if each.startswith("send")] == ran
    assert final["messages"][2].status == ("error" if status == "failed" else "success")
    if ran == ["send z"]:
        assert task["arguments"] == [{"to": "z"}]


@pytest.mark.anyio
async def test_fan_out_asks_once() -> None:
    """A task that fans out asks once for all its calls, before the first of them."""
    desk = Desk()
    graph = desk.graph('1. find(what=\'["x", "y"]\')\n2. send(to="${1[*]}")\n3. join()'.replace("${1[*]}", "$1"))
    paused = await graph.ainvoke(QUESTION, CONFIG)
    assert len(paused["__interrupt__"][0].value["action_requests"]) == 1

    @tool
    def names() -> list[str]:
        """Names."""
        return ["x", "y"]

    tools = [*desk.tools(), names]
    model = ScriptedModel(["1. names()\n2. send(to=${1[*]})\n3. join()", "Finish: done"])
    graph = create_llm_compiler(model, tools, interrupt_on={"send": True}, checkpointer=InMemorySaver())
    paused = await graph.ainvoke(QUESTION, CONFIG)
    assert [each["args"] for each in paused["__interrupt__"][0].value["action_requests"]] == [{"to": "x"}, {"to": "y"}]
    assert not [each for each in desk.ran if each.startswith("send")]
    decisions = [{"type": "approve"}, {"type": "respond", "message": "no need"}]
    final = await graph.ainvoke(Command(resume={"decisions": decisions}), CONFIG)
    assert final["tasks"][1]["value"] == ["sent to x", "no need"]
    assert desk.ran["send x"] == 1
    assert desk.ran["send y"] == 0


@pytest.mark.anyio
async def test_wrong_answers_are_asked_again() -> None:
    """An answer that is no decision, or not an allowed one, is asked for again, with what is wrong; nothing is lost."""
    desk = Desk()
    plan = '1. send(to="a")\n2. find(what="1")\n3. join()'
    graph = desk.graph(plan, {"send": {"allowed_decisions": ["approve", "edit"]}})
    await graph.ainvoke(QUESTION, CONFIG)
    edited = {"name": "find", "args": {"what": "a"}}
    needs = "the decision 'edit' about 'send' needs edited_action: {'name': 'send', 'args': {…}}"
    for wrong, error in (
        ("yes", 'expected {"decisions": [{"type": "approve"}, …]} with 1 decisions, not \'yes\''),
        ({"type": "reject"}, "the decision about 'send' must be one of approve, edit, not 'reject'"),
        ({"type": "edit"}, f"{needs}, not None"),
        ({"type": "edit", "edited_action": {"name": "send"}}, f"{needs}, not {{'name': 'send'}}"),
        ({"type": "edit", "edited_action": edited}, f"{needs}, not {edited}"),
    ):
        state = await graph.ainvoke(Command(resume=wrong), CONFIG)
        assert state["__interrupt__"][0].value["error"] == error
    final = await graph.ainvoke(Command(resume=True), CONFIG)
    assert final["tasks"][0]["value"] == "sent to a"
    assert desk.ran == {"find 1": 1, "send a": 1}


class Names:
    """A plan that writes to three people at once, whom a tool names."""

    def __init__(self, config: InterruptOnConfig) -> None:
        self.desk = Desk()

        @tool
        def names() -> list[str]:
            """Names."""
            return ["a", "b", "c"]

        model = ScriptedModel(["1. names()\n2. send(to=${1[*]})\n3. join()", "Finish: done"])
        tools = [*self.desk.tools(), names]
        self.graph: Any = create_llm_compiler(
            model, tools, interrupt_on={"send": config}, checkpointer=InMemorySaver(), context_schema=dict
        )


@BOTH
@pytest.mark.anyio
async def test_only_some_calls_need_a_human(run: Run) -> None:
    """`when` says which calls are asked about; of a fan-out the others wait for them, and no call is made twice."""
    requests: list[ToolCallRequest] = []

    def when(request: ToolCallRequest) -> bool:
        requests.append(request)
        return bool(request.tool_call["args"]["to"] == "b")

    names = Names({"allowed_decisions": ["reject"], "when": when})
    state = await run(names.graph, QUESTION)
    (paused,) = state["__interrupt__"]
    assert [each["args"] for each in paused.value["action_requests"]] == [{"to": "b"}]
    assert not names.desk.ran
    assert len(requests) == 3, "asked about each call more than once"
    request = requests[1]
    assert request.tool is None
    assert request.runtime.tool_call_id == request.tool_call["id"]
    assert request.state["messages"] == request.runtime.state["messages"] == state["messages"][:2]
    final = await run(names.graph, Command(resume={"decisions": [{"type": "reject", "message": "no"}]}))
    assert "on element 1: a human rejected it: no" in final["tasks"][1]["error"]
    assert names.desk.ran == {"send a": 1, "send c": 1}


@BOTH
@pytest.mark.anyio
async def test_no_call_needs_a_human(run: Run) -> None:
    """If `when` holds for none, the run does not pause."""
    names = Names({"allowed_decisions": ["approve"], "when": lambda request: False})
    final = await run(names.graph, QUESTION)
    assert final["tasks"][1]["value"] == ["sent to a", "sent to b", "sent to c"]


@BOTH
@pytest.mark.anyio
async def test_what_the_human_is_told(run: Run) -> None:
    """`description` gets the call, the graph's state and its runtime; each call's review config holds the schema."""

    def describe(tool_call: ToolCall, state: Any, runtime: Runtime[Any]) -> str:
        call_id, asked = str(tool_call["id"]), state["messages"][0].text
        return f"{tool_call['name']} {tool_call['args']['to']} {call_id[-2:]} {asked} {runtime.execution_info}"

    schema = {"type": "object", "properties": {"to": {"type": "string"}}}
    names = Names({"allowed_decisions": ["approve"], "description": describe, "args_schema": schema})
    paused = (await run(names.graph, QUESTION))["__interrupt__"][0].value
    told = [each["description"] for each in paused["action_requests"]]
    assert [each[:9] for each in told] == ["send a _0", "send b _1", "send c _2"]
    assert all("Send three letters. ExecutionInfo(" in each for each in told)
    assert (
        paused["review_configs"]
        == [{"action_name": "send", "allowed_decisions": ["approve"], "args_schema": schema}] * 3
    )


@pytest.mark.parametrize(
    ("interrupt_on", "message"),
    [
        ({"mail": True}, "interrupt_on names 'mail', but there is no such tool, only 'send', 'find'"),
        (
            {"send": {"allowed_decisions": ["maybe"]}},
            "interrupt_on['send']: allowed_decisions must be some of approve, edit, reject, respond, not ['maybe']",
        ),
        (
            {"send": {"description": "?"}},
            "interrupt_on['send']: allowed_decisions must be some of approve, edit, reject, respond, not []",
        ),
        (
            {"send": {"allowed_decisions": ["approve"], "whenn": bool}},
            "interrupt_on['send']: keys must be some of allowed_decisions, description, args_schema, when, not "
            "['whenn']",
        ),
    ],
)
def test_configuration(interrupt_on: Any, message: str) -> None:
    """Unknown tools, decisions and keys are refused when the graph is made."""
    with pytest.raises(ConfigurationError) as caught:
        Desk().graph(interrupt_on=interrupt_on)
    assert str(caught.value) == message


def test_langchains_own_configuration_is_taken() -> None:
    """Every key of LangChain's `InterruptOnConfig` is known; older versions have not all of them."""
    assert InterruptOnConfig.__annotations__.keys() >= LangChainConfig.__annotations__.keys()


@BOTH
@pytest.mark.anyio
async def test_a_fan_out_asks_call_by_call(run: Run) -> None:
    """In the mode `per_call` each call of a fan-out is a question; a rejected one does not hold the others up."""
    desk = Desk()
    graph = desk.graph('1. find("xyz")\n2. send(to="${1[*]}")\n3. join()', interrupt_mode="per_call")
    desk.found = ["x", "y", "z"]
    state = await run(graph, QUESTION)
    asked = {each.value["args"]["to"]: each.id for each in state["__interrupt__"]}
    assert sorted(asked) == ["x", "y", "z"]
    assert len({each.value["tool_call_id"] for each in state["__interrupt__"]}) == 3
    answers = {asked["x"]: {"type": "approve"}, asked["y"]: {"type": "reject", "message": "no"}}
    state = await run(graph, Command(resume=answers))
    assert desk.ran["send x"] == 1
    final = await run(graph, Command(resume={asked["z"]: {"type": "approve"}}))
    assert "on element 1: a human rejected it: no" in final["tasks"][1]["error"]
    assert desk.ran == {"find xyz": 1, "send x": 1, "send z": 1}


@BOTH
@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["batched", "per_call"])
async def test_approvals_that_follow_from_approvals(run: Run, mode: Any) -> None:
    """What an approved call sets free may need an approval in turn; nothing runs twice."""
    desk = Desk()
    graph = desk.graph('1. send("a")\n2. find("$1")\n3. send("$2")\n4. send("b")\n5. join()', interrupt_mode=mode)
    state, asked = await run(graph, QUESTION), 0
    while questions := state.get("__interrupt__"):
        asked += 1
        one = {"type": "approve"}
        answers = {
            each.id: one if mode == "per_call" else {"decisions": [one] * len(each.value["action_requests"])}
            for each in questions
        }
        state = await run(graph, Command(resume=answers))
    assert asked == 2
    assert state["messages"][-1].text == "done"
    assert set(desk.ran.values()) == {1}
    assert len(desk.ran) == 4
    assert [entry["index"] for entry in state["timeline"]] == sorted({entry["index"] for entry in state["timeline"]})


@BOTH
@pytest.mark.anyio
async def test_another_question_while_calls_wait(run: Run) -> None:
    """A thread that was left with open questions takes another message; the old calls are not asked about again."""
    desk = Desk()
    saver = InMemorySaver()
    await run(desk.graph('1. send("a")\n2. join()', checkpointer=saver), QUESTION)
    final = await run(desk.graph('1. find("b")\n2. join()', checkpointer=saver), QUESTION)
    assert "__interrupt__" not in final
    assert desk.ran == {"find b": 1}


@pytest.mark.anyio
async def test_as_a_subgraph_a_question_is_asked_once() -> None:
    """A parent shows the one question once, and passes the one answer on."""
    desk = Desk()
    parent: Any = StateGraph(MessagesState)
    parent.add_node("agent", desk.graph(checkpointer=False))
    parent.add_edge(START, "agent")
    graph = parent.compile(checkpointer=InMemorySaver())
    paused = await graph.ainvoke(QUESTION, CONFIG)
    (question,) = paused["__interrupt__"]
    assert len(question.value["action_requests"]) == 3
    final = await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}] * 3}), CONFIG)
    assert final["messages"][-1].text == "done"


@BOTH
@pytest.mark.anyio
async def test_a_tool_that_interrupts(run: Run) -> None:
    """A tool that calls `interrupt` itself pauses the run and goes on with the answer; others do not run again."""
    ran: Counter[str] = Counter()

    @tool
    def ask(question: str) -> str:
        """Ask the user."""
        return f"they said {interrupt(question)}"

    @tool
    def find(what: str) -> str:
        """Find something."""
        ran[what] += 1
        return what

    model = ScriptedModel(['1. find("x")\n2. ask("$1?")\n3. find("$2")\n4. find("y")\n5. join()', "Finish: done"])
    graph = create_llm_compiler(model, [ask, find], checkpointer=InMemorySaver())
    paused = await run(graph, QUESTION)
    assert [each.value for each in paused["__interrupt__"]] == ["x?"]
    final = await run(graph, Command(resume="yes"))
    assert final["tasks"][2]["value"] == "they said yes"
    assert ran == {"x": 1, "y": 1, "they said yes": 1}


@pytest.mark.anyio
async def test_a_tool_that_asked_is_not_called_early_again() -> None:
    """Once a tool has called `interrupt`, what it does before that is not done twice for an early call any more."""
    begun: list[str] = []

    @tool
    async def ask(question: str) -> str:
        """Ask the user."""
        begun.append(question)
        return f"they said {interrupt(question)}"

    model = ScriptedModel(['1. ask("a")\n2. join()', "Finish: one", '1. ask("b")\n2. join()', "Finish: two"])
    graph = create_llm_compiler(model, [ask], checkpointer=InMemorySaver())
    await graph.ainvoke(QUESTION, CONFIG)
    assert begun == ["a", "a"]  # early, and where its task was run
    await graph.ainvoke(Command(resume="yes"), CONFIG)
    await graph.ainvoke(QUESTION, CONFIG)
    assert begun == ["a", "a", "a", "b"]
    final = await graph.ainvoke(Command(resume="yes"), CONFIG)
    assert begun == ["a", "a", "a", "b", "b"]  # as LangGraph does it: from the start, with the answer
    assert final["tasks"][0]["value"] == "they said yes"
