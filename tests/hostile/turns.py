"""Whole turns of a graph whose models write anything and whose tools return anything; and the turn after them."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from random import Random
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests.hostile import objects, texts

__all__ = ("Rambling", "make_turn", "run_turn", "whole_conversation")

_PLAN_WORDS = (
    *(
        '1. look("a")\n',
        '2. look("$1")\n',
        "2. look($1)\n",
        '3. look("${1[*]}")\n',
        "4. send($2)\n",
        "5. look(${1.x})\n",
        "join()\n",
    ),
    *(
        "2. look(3)\n",
        "look(1)\n",
        "7. nothing(1)\n",
        '3. look("$2 $3")\n',
        "4. join()\n",
        "Thought: now\n",
        "Finish: no\n",
    ),
    *("2. look(x=$1) after $9\n", "3. look(what=[$1, $2])\n", "4. send(${2[*].x})\n", "1. look(1)\n", "2. look(\n"),
)


class Rambling(ScriptedModel):
    """Says what its script says, then what a sensible model would."""

    def _reply(self, messages: list[BaseMessage], settings: dict[str, Any]) -> AIMessage:
        if len(self.calls) < len(self.replies):
            return super()._reply(messages, settings)
        self._calls.append(list(messages))
        seen = "Observations" in str(messages[-1].content)
        return AIMessage("Finish: done" if seen else '1. look("again")\n2. join()')


def tools_of(recipes: list[Any], log: list[str]) -> list[BaseTool]:
    """Tools that return these objects, in turns."""

    def next_object() -> Any:
        log.append("called")
        return objects.build(recipes[(len(log) - 1) % len(recipes)]) if recipes else "fine"

    @tool
    async def look(what: Any) -> Any:
        """Look."""
        return next_object()

    @tool
    def send(what: Any) -> Any:
        """Send."""
        return next_object()

    send.metadata = {"destructiveHint": True, "readOnlyHint": False}
    return [look, send]


def make_turn(random: Random) -> Any:
    """What the models write, and what the tools return."""
    replies: list[Any] = []
    for _ in range(random.randint(1, 5)):
        match random.randrange(5):
            case 0 | 1:
                replies.append(texts.text_of(_PLAN_WORDS, random))
            case 2:
                replies.append(texts.text_of((*texts.PARSER_WORDS, *_PLAN_WORDS, *_PLAN_WORDS), random))
            case 3:
                replies.append(texts.text_of(texts.DECISION_WORDS, random))
            case _:
                replies.append("".join(random.sample(_PLAN_WORDS[:7], 5)))
    return {
        "replies": replies,
        "objects": [objects.random_recipe(random, 2) for _ in range(random.randint(0, 2))],
        "plan_format": random.choice(["text", "text", "tools"]),
        "fused": random.random() < 0.2,
        "max_concurrency": random.choice([None, None, 1, 2]),
    }


def run_turn(case: Any) -> int:
    """A turn ends with an answer, each call has its result, nothing is left running, and the thread goes on."""
    return run_virtual(lambda: _turn(case))


async def _turn(case: Any) -> int:
    model = Rambling(replies=case["replies"], chunk_size=7, seconds_per_reply=1)
    graph: Any = create_llm_compiler(
        model,
        tools_of(case["objects"], []),
        plan_format=case["plan_format"],
        fuse_replan=case["fused"] and case["plan_format"] == "text",
        max_replans=1,
        checkpointer=InMemorySaver(),
        deadline=500,
        max_fan_out=50,
    )
    config: Any = {"configurable": {"thread_id": "1"}}
    if case["max_concurrency"]:
        config["max_concurrency"] = case["max_concurrency"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # large observations, tools that are given up
        first = await asyncio.wait_for(graph.ainvoke({"messages": [("user", "?")]}, config), 2000)
        whole_conversation(first["messages"])
        model.replies.clear()
        second = await asyncio.wait_for(graph.ainvoke({"messages": [("user", "and now?")]}, config), 2000)
    whole_conversation(second["messages"])
    assert second["messages"][-1].text == "done", "the thread does not go on"
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(100)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"left running: {left}"
    return 2


def whole_conversation(messages: list[BaseMessage]) -> None:
    """Each call of a message is answered by one `ToolMessage`, before anything else is said."""
    assert isinstance(messages[-1], AIMessage)
    assert not messages[-1].tool_calls
    waiting: set[str] = set()
    for message in messages:
        if isinstance(message, ToolMessage):
            assert message.tool_call_id in waiting, "a result without a call"
            waiting.discard(message.tool_call_id)
        else:
            assert not waiting, f"calls without a result: {waiting}"
        if isinstance(message, AIMessage):
            waiting = {str(call["id"]) for call in message.tool_calls}
