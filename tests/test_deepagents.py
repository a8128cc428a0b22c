"""Plans in deep agents, whose tools write to channels of the agent's state; graphs of ours as their subagents."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.middleware import PlanMiddleware, as_subagent
from llmcompiler_graph.testing import ScriptedModel

pytest.importorskip("deepagents")
from deepagents import create_deep_agent

THREAD: Any = {"configurable": {"thread_id": "1"}}
QUESTION: Any = {"messages": [("user", "?")]}
APPROVED: Any = Command(resume={"decisions": [{"type": "approve"}]})


class Bank:
    """Tools, and what was called."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.slow = False
        self.waits = asyncio.Event()

    def tools(self) -> list[Any]:
        """The tools."""

        @tool
        async def pay(amount: float) -> str:
            """Pay."""
            self.ran.append(f"pay {amount:g}")
            return f"paid {amount:g}"

        @tool
        async def wait(reason: str) -> str:
            """Wait, for ever if it is slow."""
            self.ran.append(f"wait {reason}")
            self.waits.set()
            if self.slow:
                await asyncio.Event().wait()
            return "waited"

        @tool
        async def report(size: int) -> str:
            """Write a long report."""
            self.ran.append(f"report {size}")
            return "x" * size

        return [pay, wait, report]


def planning(plan: str) -> ScriptedModel:
    """A model that writes a plan, and then answers."""
    call = {"name": "run_plan", "args": {"plan": plan}, "id": "call_1", "type": "tool_call"}
    return ScriptedModel([AIMessage("", tool_calls=[call]), "Done."])


def read(final: Any) -> str:
    """What the model read of its plan."""
    (message,) = [m for m in final["messages"] if isinstance(m, ToolMessage)]
    return str(message.text)


async def test_files_are_written_and_read() -> None:
    """A call of the plan reads the file that an earlier one wrote, and the agent has it afterwards."""
    plan = '1. pay(5)\n2. write_file("/bill.txt", "$1")\n3. read_file("/bill.txt") after $2\n4. join($3)'
    agent = create_deep_agent(planning(plan), Bank().tools(), middleware=[PlanMiddleware()])
    final = await agent.ainvoke(QUESTION)
    assert "paid 5" in read(final)
    assert final["files"]["/bill.txt"]["content"] == "paid 5"


async def test_files_outlive_an_approval() -> None:
    """What was written before a pause is there after it, though its task does not run again."""
    bank = Bank()
    plan = """\
1. wait("first")
2. write_file("/a.txt", "$1")
3. pay(5) after $2
4. read_file("/a.txt") after $3
5. join($4)"""
    agent = create_deep_agent(
        planning(plan),
        bank.tools(),
        interrupt_on={"pay": True},
        middleware=[PlanMiddleware()],
        checkpointer=InMemorySaver(),
    )
    paused = await agent.ainvoke(QUESTION, THREAD)
    (question,) = paused["__interrupt__"]
    assert question.value["action_requests"][0]["args"] == {"amount": 5.0}
    final = await agent.ainvoke(APPROVED, THREAD)
    assert "waited" in read(final)
    assert final["files"]["/a.txt"]["content"] == "waited"
    assert bank.ran == ["wait first", "pay 5"]


async def test_files_outlive_a_process() -> None:
    """A run that ended in the middle of a plan goes on with the files that its finished tasks have written."""
    bank = Bank()
    plan = """\
1. pay(5)
2. write_file("/a.txt", "$1")
3. wait("third") after $2
4. read_file("/a.txt") after $3
5. join($4)"""
    given: dict[str, Any] = {"middleware": [PlanMiddleware()], "checkpointer": InMemorySaver()}
    agent = create_deep_agent(planning(plan), bank.tools(), **given)
    bank.slow = True
    run = asyncio.create_task(agent.ainvoke(QUESTION, THREAD))
    await bank.waits.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    bank.slow = False
    resumed = create_deep_agent(ScriptedModel(["Done."]), bank.tools(), **given)
    final = await resumed.ainvoke(None, THREAD)
    assert "paid 5" in read(final)
    assert final["files"]["/a.txt"]["content"] == "paid 5"
    assert bank.ran == ["pay 5", "wait third", "wait third"]


async def test_large_results_are_put_into_files() -> None:
    """A deep agent puts what its plan returns into a file if that is large, as any result."""
    plan = "1. report(200000)\n2. join()"
    agent = create_deep_agent(planning(plan), Bank().tools(), middleware=[PlanMiddleware()])
    final = await agent.ainvoke(QUESTION)
    assert len(read(final)) < 20_000
    (path,) = final["files"]
    assert path in read(final)
    assert final["files"][path]["content"] == f"1. {'x' * 200_000}"


class Sum(BaseModel):
    """What is to be paid."""

    amount: float


def delegating() -> ScriptedModel:
    """A model that asks a subagent, and then answers."""
    args = {"description": "Pay 5.", "subagent_type": "cashier"}
    call = {"name": "task", "args": args, "id": "call_1", "type": "tool_call"}
    return ScriptedModel([AIMessage("", tool_calls=[call]), "Done."])


async def test_a_subagent() -> None:
    """A graph of ours answers as a subagent, and its approvals are asked through the agent."""
    bank = Bank()
    inner = ScriptedModel(["1. pay(5)\n2. join()", "Finish: I paid 5."])
    cashier = create_llm_compiler(inner, bank.tools(), interrupt_on={"pay": True}, name="cashier")
    subagent: Any = as_subagent(cashier, "cashier", "Pays.")
    agent = create_deep_agent(delegating(), subagents=[subagent], checkpointer=InMemorySaver())
    paused = await agent.ainvoke(QUESTION, THREAD)
    (question,) = paused["__interrupt__"]
    assert question.value["action_requests"][0]["name"] == "pay"
    final = await agent.ainvoke(APPROVED, THREAD)
    assert read(final) == "I paid 5."
    assert bank.ran == ["pay 5"]
    (asked,) = [m for m in inner.calls[0] if isinstance(m, HumanMessage)]
    assert asked.text.startswith("Pay 5.")


async def test_a_subagent_with_a_form() -> None:
    """The typed answer of a graph is what the agent reads of its subagent."""
    inner = ScriptedModel(["1. join()", "Finish: 5", '{"amount": 5}'])
    subagent: Any = as_subagent(create_llm_compiler(inner, Bank().tools(), response_format=Sum), "cashier", "Pays.")
    final = await create_deep_agent(delegating(), subagents=[subagent]).ainvoke(QUESTION)
    assert read(final) == '{"amount":5.0}'


async def test_a_subagent_inside_a_plan() -> None:
    """Subagents are tools of the agent: a plan may ask several at the same time."""
    inner = ScriptedModel(["1. join()", "Finish: one", "1. join()", "Finish: two"])
    subagent: Any = as_subagent(create_llm_compiler(inner, Bank().tools()), "cashier", "Pays.")
    plan = '1. task("a", "cashier")\n2. task("b after $1", "cashier")\n3. join()'
    agent = create_deep_agent(planning(plan), subagents=[subagent], middleware=[PlanMiddleware()])
    assert read(await agent.ainvoke(QUESTION)) == "1. one\n2. two"
