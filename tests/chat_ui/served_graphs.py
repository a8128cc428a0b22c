"""What the tests of chat UIs serve with `langgraph dev`: graphs that ask about calls, about plans, with own keys."""

import asyncio
from typing import Annotated

from langchain.agents import AgentState
from langchain.agents.middleware.types import OmitFromInput, PrivateStateAttr
from langchain_core.tools import tool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.tools import calculate, lookup
from llmcompiler_graph.tools.facts import Facts, load_index
from llmcompiler_graph.tools.lookup import find


@tool("lookup", description=lookup.description)
async def look_up(entity: str) -> Facts:
    """Look a thing up, which takes a moment."""
    await asyncio.sleep(0.2)
    found: Facts = find(entity, load_index())
    return found


@tool
async def pay(amount: float, to: str) -> str:
    """Pay an amount."""
    return f"paid {amount:g} to {to}"


@tool
async def mail(to: str, text: str) -> str:
    """Send a mail."""
    return f"sent to {to}: {text}"


look_up.metadata = lookup.metadata
TOOLS = [look_up, calculate, pay, mail]
calls = create_llm_compiler(
    "openai:scripted",
    TOOLS,
    interrupt_on={"pay": True, "mail": {"allowed_decisions": ["approve", "reject"]}},
)
plans = create_llm_compiler("openai:scripted", TOOLS, approve_plans=True)


class Typed(AgentState):
    """A state with a user's own keys."""

    city: str
    notes: Annotated[list[str], OmitFromInput]
    secret: Annotated[str, PrivateStateAttr]


typed = create_llm_compiler("openai:scripted", TOOLS, state_schema=Typed)
