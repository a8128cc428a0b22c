"""Attacks on approvals: what a human decided about a call holds for that call, whoever tries to get around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.middleware import PlanMiddleware
from llmcompiler_graph.procedures import parse_procedure
from llmcompiler_graph.testing import ScriptedModel

CONFIG: Any = {"configurable": {"thread_id": "1"}}
QUESTION: Any = {"messages": [("user", "?")]}
ONE, MANY = "1. pay(amount=600)\n2. join()", "1. prices()\n2. pay(amount=${1[*]})\n3. join()"
APPROVE, REJECT = {"type": "approve"}, {"type": "reject"}
BOTH = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


def edit(amount: int) -> dict[str, Any]:
    """A decision to pay something else."""
    return {"type": "edit", "edited_action": {"name": "pay", "args": {"amount": amount}}}


class Till:
    """A thread on which something is to be paid, and what was."""

    def __init__(self, *, sync: bool, plan: str = ONE) -> None:
        self.paid: list[int] = []
        self._saver, self._sync, self._plan = InMemorySaver(), sync, plan

    def tools(self) -> list[BaseTool]:
        """The tools."""

        @tool
        def pay(amount: int) -> str:
            """Pay."""
            self.paid.append(amount)
            return f"paid {amount}"

        @tool
        def refund(amount: int) -> str:
            """Pay, too."""
            self.paid.append(amount)
            return f"refunded {amount}"

        @tool
        def prices() -> list[int]:
            """Three prices."""
            return [1, 2, 3]

        return [pay, refund, prices]

    async def run(self, given: Any = QUESTION, **settings: Any) -> Any:
        """Run a graph on the thread, made anew."""
        model = ScriptedModel([self._plan if given is QUESTION else "Finish: done"] * 2)
        settings.setdefault("interrupt_on", {"pay": True})
        graph: Any = create_llm_compiler(model, self.tools(), checkpointer=self._saver, **settings)
        return await (asyncio.to_thread(graph.invoke, given, CONFIG) if self._sync else graph.ainvoke(given, CONFIG))

    async def answer(self, *decisions: Any, **settings: Any) -> Any:
        """Go on with decisions about all that is asked."""
        return await self.run(Command(resume={"decisions": list(decisions)}), **settings)


def amounts(paused: Any) -> list[int]:
    """What is asked about."""
    return [call["args"]["amount"] for each in paused["__interrupt__"] for call in each.value["action_requests"]]


@BOTH
@pytest.mark.parametrize(("decision", "paid"), [(REJECT, []), (edit(1), [1])], ids=["rejected", "edited"])
@pytest.mark.parametrize("gone", ["when", "interrupt_on"])
async def test_a_decision_outlives_the_rule_that_asked_for_it(sync: bool, decision: Any, paid: Any, gone: str) -> None:
    """What was decided is done, though `when` says no by now, or another graph goes on that would not have asked."""
    till, asked = Till(sync=sync), list[Any]()

    def when(request: Any) -> bool:
        asked.append(request)
        return len(asked) == 1

    rule: Any = {"pay": {"allowed_decisions": ["edit", "reject"], "when": when}}
    assert amounts(await till.run(interrupt_on=rule)) == [600]
    await till.answer(decision, interrupt_on=rule if gone == "when" else {})
    assert till.paid == paid


@BOTH
async def test_some_calls_of_a_fan_out_were_asked_about(sync: bool) -> None:
    """In a graph that asks about nothing, a rejected call is not made, and those that nobody asked about are."""
    till = Till(sync=sync, plan=MANY)
    rule: Any = {"pay": {"allowed_decisions": ["reject"], "when": lambda r: r.tool_call["args"]["amount"] == 2}}
    assert amounts(await till.run(interrupt_on=rule)) == [2]
    await till.answer(REJECT, interrupt_on={})
    assert sorted(till.paid) == [1, 3]


@BOTH
async def test_an_open_question_stays_open_in_a_graph_that_asks_nothing(sync: bool) -> None:
    """A call that was asked about and not decided waits, whatever graph goes on with the others."""
    till = Till(sync=sync, plan="1. pay(amount=1)\n2. pay(amount=2)\n3. join()")
    paused = await till.run(interrupt_mode="per_call")
    ids = {each.value["args"]["amount"]: each.id for each in paused["__interrupt__"]}
    for amount, decision in ((1, APPROVE), (2, REJECT)):
        await till.run(Command(resume={ids[amount]: decision}), interrupt_mode="per_call", interrupt_on={})
        assert till.paid == [1]


def _changing(call: Any, *_: Any) -> str:
    call["args"]["amount"] = 1
    return "pay 1"


@BOTH
@pytest.mark.parametrize(
    "asks",
    [{"description": _changing}, {"when": lambda request: bool(_changing(request.tool_call))}],
    ids=["description", "when"],
)
async def test_functions_that_describe_a_call_cannot_change_it(sync: bool, asks: Any) -> None:
    """A human is shown the call that is made, whatever `description` or `when` write into what they are given."""
    till, rule = Till(sync=sync), {"pay": {"allowed_decisions": ["approve"], **asks}}
    assert amounts(await till.run(interrupt_on=rule)) == [600]
    await till.answer(APPROVE, interrupt_on=rule)
    assert till.paid == [600]


def _with(amount: int) -> Callable[[Any, Any], Any]:
    def wrap(request: Any, handler: Any) -> Any:
        return handler(request.override(tool_call={**request.tool_call, "args": {"amount": amount}}))

    return wrap


def _in_place(request: Any, handler: Any) -> Any:
    request.tool_call["args"]["amount"] = 700
    return handler(request)


def _another(request: Any, handler: Any) -> Any:
    return handler(request.override(tool=Till(sync=False).tools()[1]))


@BOTH
@pytest.mark.parametrize(
    ("wrap", "decision", "what"),
    [
        (_with(700), APPROVE, "'amount' of 'pay'"),
        (_in_place, APPROVE, "'amount' of 'pay'"),
        (_with(600), edit(5), "'amount' of 'pay'"),
        (_another, APPROVE, "'pay' to 'refund'"),
    ],
    ids=["changed", "in place", "an edit undone", "another tool"],
)
async def test_a_wrapper_changes_what_was_approved(sync: bool, wrap: Any, decision: Any, what: str) -> None:
    """A call that is not the one a human allowed is not made; its task fails, and says what was changed."""
    till = Till(sync=sync)
    await till.run(wrap_tool_call=wrap)
    final = await till.answer(decision, wrap_tool_call=wrap)
    assert till.paid == []
    assert f"ApprovalError: a wrapper of tool calls changed {what} after" in final["tasks"][0]["error"]


@BOTH
@pytest.mark.parametrize("decision", [edit(9), {"type": "respond", "message": "done"}], ids=["edit", "respond"])
async def test_what_is_about_one_call_is_not_taken_for_all(sync: bool, decision: Any) -> None:
    """One edit or one answer in a tool's place, where several calls wait, is asked for again."""
    till = Till(sync=sync, plan=MANY)
    await till.run()
    paused = await till.run(Command(resume=decision))
    assert till.paid == []
    assert "with 3 decisions" in paused["__interrupt__"][0].value["error"]


@BOTH
async def test_a_procedure_that_is_begun_again_asks_about_its_own_calls(sync: bool) -> None:
    """New arguments on a thread that waits for a human are a new run: what the old one asked is asked no more."""
    till = Till(sync=sync)
    procedure = parse_procedure("settle(amount: int):\n  1. pay(amount=${amount})")
    graph: Any = procedure.as_graph(till.tools(), interrupt_on={"pay": True}, checkpointer=InMemorySaver())
    for amount in (600, 700):
        given: Any = {"arguments": {"amount": amount}}
        paused = await (asyncio.to_thread(graph.invoke, given, CONFIG) if sync else graph.ainvoke(given, CONFIG))
        assert amounts(paused) == [amount]
    assert till.paid == []


@BOTH
async def test_the_middleware_of_an_outer_agent_changes_what_was_approved(sync: bool) -> None:
    """Also behind `PlanMiddleware`, a call that is not the one a human allowed is not made."""
    till = Till(sync=sync)

    class Changing(AgentMiddleware[Any, Any]):
        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            return _with(700)(request, handler) if request.tool_call["name"] == "pay" else handler(request)

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            return await self.wrap_tool_call(request, handler)

    def reply(messages: list[Any]) -> AIMessage:
        told = [message for message in messages if message.type == "tool"]
        call = {"name": "run_plan", "args": {"plan": ONE}, "id": "1"}
        return AIMessage("done") if told else AIMessage("", tool_calls=[call])

    middleware = [PlanMiddleware(interrupt_on={"pay": True}), Changing()]
    model = ScriptedModel([reply] * 4)
    agent: Any = create_agent(model, till.tools(), middleware=middleware, checkpointer=InMemorySaver())
    answers: list[Any] = [QUESTION, Command(resume={"decisions": [APPROVE]})]
    for given in answers:
        state = await (asyncio.to_thread(agent.invoke, given, CONFIG) if sync else agent.ainvoke(given, CONFIG))
    assert till.paid == []
    assert "ApprovalError" in state["messages"][-2].text
