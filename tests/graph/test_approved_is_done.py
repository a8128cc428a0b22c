"""What a human approved is what is done, once: whatever the limit, the store and the way the graph is called."""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from tests.graph.test_durability import saver_at

PLANS = {
    "plain": '1. send("hello")\n2. quote("x")\n3. pay(amount=$2)\n4. join()',
    "fan-out": '1. send("hello")\n2. quotes(2)\n3. pay(amount=${2[*]})\n4. join()',
    "chain": '1. send("hello")\n2. quote("x")\n3. pay(amount=$2)\n4. quote("y $3")\n5. pay(amount=$4)\n6. join()',
}
QUESTION: Any = {"messages": [("user", "?")]}
EFFECTS = {"destructiveHint": True, "readOnlyHint": False}


class Shop:
    """Tools whose prices change with every look, and what was done with them."""

    def __init__(self) -> None:
        self.prices: Iterator[int] = count(100, 100)
        self.noted: list[Any] = []
        self.approved: list[int] = []

    def note(self, *what: Any) -> None:
        """Note what is done."""
        self.noted.append([*what])

    def notes(self) -> list[Any]:
        """What was done so far."""
        return self.noted

    def done(self, kind: str) -> list[Any]:
        """With what something was done so far."""
        return [what for noted, *whats in self.notes() if noted == kind for what in whats]

    def tools(self) -> list[BaseTool]:
        """The tools, each of which notes its calls."""

        @tool
        def quote(what: str) -> int:
            """The price now."""
            self.note("price")
            return next(self.prices)

        @tool
        def quotes(n: int) -> list[int]:
            """Some prices, other ones each time."""
            for _ in range(n):
                self.note("price")
            return [next(self.prices) for _ in range(n)]

        @tool
        def send(text: str) -> str:
            """Send a message."""
            self.note("sent", text)
            return "sent"

        @tool
        def pay(amount: int) -> str:
            """Pay."""
            self.note("paid", amount)
            return f"paid {amount}"

        send.metadata = pay.metadata = EFFECTS
        return [quote, quotes, send, pay]

    def graph(self, saver: Any, *replies: str) -> Any:
        """A graph that asks before it pays."""
        model = ScriptedModel(list(replies))
        return create_llm_compiler(model, self.tools(), interrupt_on={"pay": True}, checkpointer=saver)

    def answer(self, paused: Any, kind: str = "approve") -> Command[Any]:
        """Answer all that is asked, and note what was shown."""
        answers: dict[str, Any] = {}
        for each in paused["__interrupt__"]:
            amounts = [request["args"]["amount"] for request in each.value["action_requests"]]
            self.approved += amounts if kind == "approve" else []
            answers[each.id] = {"decisions": [{"type": kind}] * len(amounts)}
        return Command(resume=answers)


async def ask(graph: Any, given: Any, config: Any, *, sync: bool, batch: bool) -> Any:
    """Call the graph one of four ways."""
    if batch:
        called = asyncio.to_thread(graph.batch, [given], config) if sync else graph.abatch([given], config)
        return (await called)[0]
    return await (asyncio.to_thread(graph.invoke, given, config) if sync else graph.ainvoke(given, config))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("limit", [None, 1, 2, 3])
@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_approved_is_done_once(store: str, sync: bool, limit: int | None, plan: str) -> None:
    """Every payment is one that was shown, and nothing is done twice, though each answer meets another process."""
    shop, batch = Shop(), store.startswith("postgres")  # how it is called has nothing to do with where it is kept
    config: Any = {"configurable": {"thread_id": "1"}} | ({"max_concurrency": limit} if limit else {})
    given: Any = QUESTION
    for replies in ([PLANS[plan]], ["Finish: done"], ["Finish: done"]):
        async with saver_at(store, sync=sync) as saver:  # nothing but the store is left of the run before
            state = await ask(shop.graph(saver, *replies), given, config, sync=sync, batch=batch)
        if "__interrupt__" not in state:
            break
        given = shop.answer(state)
    assert state["messages"][-1].text == "done"
    assert sorted(shop.done("paid")) == sorted(shop.approved)  # calls of a fan-out run in parallel
    assert len(shop.done("paid")) == (1 if plan == "plain" else 2)
    assert shop.done("sent") == ["hello"]


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_an_answer_counts_for_what_was_shown(sync: bool, limit: int | None) -> None:
    """If a call would be another one than was shown, it is not made: it is asked about again."""
    shop, saver = Shop(), InMemorySaver()
    config: Any = {"configurable": {"thread_id": "1"}} | ({"max_concurrency": limit} if limit else {})
    paused = await ask(shop.graph(saver, PLANS["plain"]), QUESTION, config, sync=sync, batch=False)
    tasks = [{**task, "value": 200} if task["tool"] == "quote" else task for task in paused["tasks"]]
    graph = shop.graph(saver, "Finish: done")
    changed = {"tasks": tasks}  # the price, behind the human's back
    if sync:
        await asyncio.to_thread(graph.update_state, config, changed, "planner")
    else:
        await graph.aupdate_state(config, changed, "planner")
    paused = await ask(graph, None, config, sync=sync, batch=False)
    assert paused["__interrupt__"][0].value["action_requests"][0]["args"] == {"amount": 100}
    paused = await ask(graph, shop.answer(paused), config, sync=sync, batch=False)
    assert shop.done("paid") == []
    (question,) = paused["__interrupt__"]
    assert question.value["action_requests"][0]["args"] == {"amount": 200}
    final = await ask(graph, shop.answer(paused), config, sync=sync, batch=False)
    assert shop.done("paid") == [200]
    assert final["messages"][-1].text == "done"
