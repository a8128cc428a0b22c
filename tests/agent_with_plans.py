"""An agent with `PlanMiddleware`, run in a process of its own so that it can be killed."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command

from llmcompiler_graph.middleware import PlanMiddleware

PLAN = """\
1. lookup("Everest")
2. lookup("K2")
3. difference("${1.height_m}", "${2.height_m}")
4. pay(amount="$3")
5. lookup("receipt $4")
6. difference("$3", 1)
7. join($3, $5, $6)"""


class Planning(BaseChatModel):
    """A model that writes one plan, and answers with what came of it."""

    @property
    def _llm_type(self) -> str:
        return "planning"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Any:
        """Take any tools."""
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            reply = AIMessage(str(last.text))
        else:
            call = {"name": "run_plan", "args": {"plan": PLAN}, "id": "call_1", "type": "tool_call"}
            reply = AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=reply)])


def make(maker: str, model: BaseChatModel, tools: list[Any], **kwargs: Any) -> Any:
    """Make an agent."""
    if maker == "create_agent":
        return create_agent(model, tools, **kwargs)
    from deepagents import create_deep_agent

    return create_deep_agent(model, tools, **kwargs)


def agent(maker: str, log: Path, saver: Any, kill_at: int = 0) -> Any:
    """Make the agent."""

    def note(what: str) -> None:
        with log.open("a") as file:
            file.write(f"{what}\n")
        time.sleep(0.3)
        if kill_at and len(log.read_text().splitlines()) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    @tool
    def lookup(entity: str) -> dict[str, float]:
        """Look an entity up."""
        note(f"lookup {entity}")
        return {"height_m": 8849.0 if entity == "Everest" else 8611.0}

    @tool
    def difference(a: float, b: float) -> float:
        """Subtract."""
        note(f"difference {a} {b}")
        return a - b

    @tool
    def pay(amount: float) -> str:
        """Pay."""
        note(f"pay {amount}")
        return f"paid {amount}"

    pay.metadata = {"destructiveHint": True, "readOnlyHint": False}
    middleware = [PlanMiddleware(interrupt_on={"pay": True})]
    return make(maker, Planning(), [lookup, difference, pay], middleware=middleware, checkpointer=saver)


def main(maker: str, database: str, log: Path, kill_at: int) -> None:
    """Ask, or go on with what there is; approve what is asked.

    Args:
        maker: `create_agent` or `create_deep_agent`.
        database: Where the checkpoints are.
        log: Where each call is a line.
        kill_at: The number of the call that kills the process, once what ran before has had time to reach the disk.
    """
    config: Any = {"configurable": {"thread_id": "1"}}
    with SqliteSaver.from_conn_string(database) as saver:
        graph = agent(maker, log, saver, kill_at)
        state = graph.get_state(config)
        given: Any = None if state.values else {"messages": [("user", "?")]}
        if state.interrupts:
            given = Command(resume={"decisions": [{"type": "approve"}]})
        final = graph.invoke(given, config)
        while final.get("__interrupt__"):
            final = graph.invoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
        print(final["messages"][-1].text)
