"""A human changes a call before it is made: everyone is told of the call that was made."""

import asyncio
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.tools import BaseTool, InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from tests.graph.test_durability import saver_at

THREAD: Any = {"configurable": {"thread_id": "1"}}
QUESTION: Any = {"messages": [HumanMessage("mail them")]}
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


@tool
def send(to: str, body: str) -> str:
    """Send a message."""
    return f"sent to {to}"


@tool
def names() -> list[str]:
    """Whom to write to."""
    return ["ann", "bob"]


@tool
def forget(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Clear the conversation."""
    done = ToolMessage("forgotten", tool_call_id=tool_call_id)
    return Command(update={"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), done]})


class Mailer:
    """An agent that asks before it sends, and what becomes of the turn."""

    def __init__(self, plan: str, saver: Any = None, **kwargs: Any) -> None:
        self.model = ScriptedModel([plan, "Finish: sent", "1. join()", "Finish: to them"])
        self.tools: list[BaseTool] = [send, names, forget]
        self.graph: Any = create_llm_compiler(
            self.model, self.tools, interrupt_on={"send": True}, checkpointer=saver or InMemorySaver(), **kwargs
        )

    async def run(self, given: Any, *, sync: bool = False) -> Any:
        """Run the graph either way."""
        called = asyncio.to_thread(self.graph.invoke, given, THREAD) if sync else self.graph.ainvoke(given, THREAD)
        return await called

    async def edited(self, *arguments: dict[str, str] | None, sync: bool = False) -> Any:
        """Ask, change the calls to these arguments, approve those of `None`; return the turn's last state."""
        await self.run(QUESTION, sync=sync)
        decisions: list[Any] = [
            {"type": "approve"} if each is None else {"type": "edit", "edited_action": {"name": "send", "args": each}}
            for each in arguments
        ]
        return await self.run(Command(resume={"decisions": decisions}), sync=sync)

    async def later(self) -> str:
        """Ask something else; return what the planner is shown."""
        await self.run({"messages": [HumanMessage("to whom did it go?")]})
        return "\n".join(str(message.text) for message in self.model.calls[2])


def plan_of(state: Any) -> AIMessage:
    """The plan's message, of which there must be one."""
    (plan,) = [message for message in state["messages"] if getattr(message, "tool_calls", None)]
    assert isinstance(plan, AIMessage)
    return plan


NEW = {"to": "new@example.com", "body": "hello"}


@both_ways
async def test_all_are_told_of_the_call_that_was_made(sync: bool) -> None:
    """The record, the plan's message and text, the joiner and the next turn's planner know the changed call only."""
    mailer = Mailer('1. send(to="old@example.com", body="hello")\n2. join()')
    paused = await mailer.run(QUESTION, sync=sync)
    before = plan_of(paused)
    edit = {"type": "edit", "edited_action": {"name": "send", "args": NEW}}
    final = await mailer.run(Command(resume={"decisions": [edit]}), sync=sync)
    (task,) = final["tasks"]
    line = '1. send(to="new@example.com", body="hello")'
    assert (task["text"], task["arguments"], task["edited"]) == (line, [NEW], [0])
    assert final["plan_text"] == f"{line}\n2. join()"
    plan = plan_of(final)
    assert plan.id == before.id
    assert [call["args"] for call in plan.tool_calls] == [NEW]
    assert [call["id"] for call in plan.tool_calls] == [call["id"] for call in before.tool_calls]
    (result,) = [message for message in final["messages"] if isinstance(message, ToolMessage)]
    assert result.text == "sent to new@example.com"
    told = mailer.model.calls[1][-1].text
    assert f'{line} = "sent to new@example.com"\n  (a human changed this call before it was made)\n' in told
    later = await mailer.later()
    assert 'send(to="new@example.com", body="hello") = "sent to new@example.com"' in later
    assert "old@example.com" not in later


async def test_references_stay_where_nothing_was_changed() -> None:
    """What the human left as it was is still the reference; what was changed is the human's value, data all of it."""
    mailer = Mailer('1. names()\n2. send(to="${1[0]}", body="Dear ${1[1]}")\n3. join()'.replace('"${1[0]}"', "${1[0]}"))
    final = await mailer.edited({"to": "ann", "body": "I owe you $1"})
    task = final["tasks"][1]
    assert task["text"] == '2. send(to=${1[0]}, body="I owe you $$1")'
    assert task["arguments"] == [{"to": "ann", "body": "I owe you $1"}]
    assert plan_of(final).tool_calls[1]["args"] == {"to": "${1[0]}", "body": "I owe you $1"}
    assert '2. send(to="ann", body="I owe you $1") = "sent to ann"' in mailer.model.calls[1][-1].text


@both_ways
async def test_one_call_of_several_is_changed(sync: bool) -> None:
    """Of a task that fans out, the joiner, the task's message and the next turn are told which call was changed."""
    mailer = Mailer('1. names()\n2. send(to=${1[*]}, body="hello")\n3. join()')
    final = await mailer.edited(None, {"to": "eve", "body": "bye"}, sync=sync)
    task = final["tasks"][1]
    assert task["text"] == '2. send(to=${1[*]}, body="hello")'
    assert task["arguments"] == [{"to": "ann", "body": "hello"}, {"to": "eve", "body": "bye"}]
    assert task["edited"] == [1]
    note = 'a human changed the call of element 1 before it was made: send(to="eve", body="bye")'
    assert f'= ["sent to ann", "sent to eve"]\n  ({note})\n' in mailer.model.calls[1][-1].text
    result = next(m for m in final["messages"] if isinstance(m, ToolMessage) and m.name == "send")
    assert result.text == f'Note: {note}.\n\n["sent to ann", "sent to eve"]'
    assert "eve" in await mailer.later()


@pytest.mark.parametrize("plan", ['1. send(to="ann", body="hello")', '1. names()\n2. send(to=${1[*]}, body="hello")'])
async def test_an_edit_that_changes_nothing_is_no_edit(plan: str) -> None:
    """If the human gives back what was shown, nothing is said of a change."""
    mailer = Mailer(plan)
    final = await mailer.edited({"to": "ann", "body": "hello"}, *[None][: plan.count("names")])
    assert "edited" not in final["tasks"][-1]
    assert "human" not in mailer.model.calls[1][-1].text + final["messages"][-2].text


async def test_the_edit_of_a_call_that_fails() -> None:
    """A changed call that fails has its error beside the call that was tried."""

    @tool
    def divide(by: int) -> float:
        """Divide."""
        return 1 / by

    model = ScriptedModel(["1. divide(1)\n2. join()", "Finish: no"])
    graph = create_llm_compiler(model, [divide], interrupt_on={"divide": True}, checkpointer=InMemorySaver())
    await graph.ainvoke(QUESTION, THREAD)
    edit = {"type": "edit", "edited_action": {"name": "divide", "args": {"by": 0}}}
    final = await graph.ainvoke(Command(resume={"decisions": [edit]}), THREAD)
    assert (final["tasks"][0]["text"], final["tasks"][0]["status"]) == ("1. divide(by=0)", "failed")
    assert plan_of(final).tool_calls[0]["args"] == {"by": 0}


@both_ways
@pytest.mark.parametrize("mode", ["batched", "per_call"])
@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"to": "ann"}, "'send' needs `body`"),
        ({"to": "ann", "body": "hello", "boddy": "x"}, "'send' has no argument `boddy`; did you mean `body`?"),
        ({"to": ["ann"], "body": {"a": []}, "when": "x"}, "'send' has no argument `when`"),
    ],
)
async def test_an_edit_that_the_tool_does_not_take(sync: bool, mode: Any, given: dict[str, Any], error: str) -> None:
    """The human is asked again, and told why; nothing is made, and another decision counts."""
    mailer = Mailer('1. send(to="ann", body="hello")\n2. join()', interrupt_mode=mode)
    paused = await mailer.run(QUESTION, sync=sync)
    for decision in ({"type": "edit", "edited_action": {"name": "send", "args": given}}, {"type": "approve"}):
        (question,) = paused["__interrupt__"]
        resume = {question.id: decision} if mode == "per_call" else {"decisions": [decision]}
        paused = await mailer.run(Command(resume=resume), sync=sync)
        if decision["type"] == "edit":
            (again,) = paused["__interrupt__"]
            assert again.value["error"].startswith("the edit cannot be used: ")
            assert error in again.value["error"]
            assert "done" not in {task["status"] for task in paused["tasks"]}
    assert paused["tasks"][0]["arguments"] == [{"to": "ann", "body": "hello"}]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"to": '["ann", "bob"]'}, {"to": ["ann", "bob"]}),
        ({"count": "2", "urgent": "false"}, {"count": 2, "urgent": False}),
        ({"note": "3", "header": '{"a": 1}'}, {"note": "3", "header": {"a": 1}}),
        ({"either": "[1]"}, {"either": "[1]"}),  # text is what it takes
    ],
)
async def test_values_that_a_form_gives_as_text(given: dict[str, Any], made: dict[str, Any]) -> None:
    """Forms give what a human has changed as text: it is read as JSON where the tool takes no text."""

    @tool
    def letter(  # noqa: PLR0917 (what is tested)
        to: list[str], count: int, urgent: bool, note: str, header: dict[str, int], either: list[int] | str
    ) -> str:
        """Write."""
        return "written"

    plan = '1. letter(["ann"], 1, True, "n", {"b": 2}, "e")\n2. join()'
    model = ScriptedModel([plan, "Finish: done"])
    graph = create_llm_compiler(model, [letter], interrupt_on={"letter": True}, checkpointer=InMemorySaver())
    paused = await graph.ainvoke(QUESTION, THREAD)
    (request,) = paused["__interrupt__"][0].value["action_requests"]
    edit = {"type": "edit", "edited_action": {"name": "letter", "args": {**request["args"], **given}}}
    final = await graph.ainvoke(Command(resume={"decisions": [edit]}), THREAD)
    assert final["tasks"][0]["arguments"] == [{**request["args"], **made}]
    assert final["tasks"][0]["status"] == "done"


async def test_an_edit_outlives_the_process(store: str) -> None:
    """What was persisted of the task says which call was made, if another process ends the turn."""
    plan = '1. send(to="ann", body="hello")\n2. send(to="bob", body="hello")\n3. join()'
    async with saver_at(store, sync=False) as saver:
        paused = await Mailer(plan, saver, interrupt_mode="per_call").run(QUESTION)
        first, second = (each.id for each in paused["__interrupt__"])
        edit = {"type": "edit", "edited_action": {"name": "send", "args": NEW}}
        await Mailer(plan, saver, interrupt_mode="per_call").run(Command(resume={first: edit}))
    async with saver_at(store, sync=False) as saver:
        mailer = Mailer("Finish: sent", saver, interrupt_mode="per_call")
        final = await mailer.run(Command(resume={second: {"type": "approve"}}))
    assert [task["text"] for task in final["tasks"]] == [
        '1. send(to="new@example.com", body="hello")',
        '2. send(to="bob", body="hello")',
    ]
    assert plan_of(final).tool_calls[0]["args"] == NEW
    assert "(a human changed this call before it was made)" in mailer.model.calls[0][-1].text


async def test_a_changed_call_beside_a_tool_that_clears_the_conversation() -> None:
    """The plan's message stands there once, with the call that was made."""
    mailer = Mailer('1. send(to="ann", body="hello")\n2. forget()\n3. join()')
    final = await mailer.edited(NEW)
    assert plan_of(final).tool_calls[0]["args"] == NEW


async def test_the_events_tell_of_the_call_that_was_made() -> None:
    """The event that a changed call is done shows the changed call."""
    mailer = Mailer('1. send(to="ann", body="hello")\n2. join()')
    await mailer.run(QUESTION)
    edit = {"type": "edit", "edited_action": {"name": "send", "args": NEW}}
    resumed = mailer.graph.astream(Command(resume={"decisions": [edit]}), THREAD, stream_mode="custom")
    events = [event async for event in resumed]
    assert events[-1]["event"] == "done"
    assert events[-1]["text"] == '1. send(to="new@example.com", body="hello")'


async def test_the_changed_plan_is_no_answer() -> None:
    """A stream of messages yields the answer's tokens; the plan's message is not told again."""
    mailer = Mailer('1. send(to="ann", body="hello")\n2. join()')
    await mailer.run(QUESTION)
    edit = {"type": "edit", "edited_action": {"name": "send", "args": NEW}}
    resumed = mailer.graph.astream(Command(resume={"decisions": [edit]}), THREAD, stream_mode="messages")
    kinds = [type(message).__name__ async for message, _ in resumed]
    assert set(kinds) == {"ToolMessage", "AIMessageChunk"}
