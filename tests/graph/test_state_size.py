"""The user is told of what has grown large."""

import asyncio
import warnings
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.calls.storability import LARGE_ARTIFACT
from llmcompiler_graph.graph.state_size import LARGE_OBSERVATION, LARGE_STATE
from llmcompiler_graph.testing import ScriptedModel


@tool
def fetch(size: int) -> Any:
    """Fetch much."""
    return {"rows": ["x" * 1000] * (size // 1000)}


@tool(response_format="content_and_artifact")
def download(size: int) -> tuple[str, Any]:
    """Download much."""
    return "done", b"x" * size


def warned(plan: str, messages: Any = ()) -> list[str]:
    """Run a plan; return the warnings."""
    graph: Any = create_llm_compiler(
        ScriptedModel([plan, "Finish: ok"]), [fetch, download], checkpointer=InMemorySaver()
    )
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        asyncio.run(graph.ainvoke({"messages": [*messages, HumanMessage("?")]}, {"configurable": {"thread_id": "1"}}))
    return [str(each.message) for each in given if issubclass(each.category, UserWarning)]


@pytest.mark.parametrize("size", [1_000, LARGE_OBSERVATION - 10_000])
def test_nothing_is_said_of_less(size: int) -> None:
    """Observations, artifacts and threads below the limits are nothing to speak of."""
    assert warned(f"1. fetch({size})\n2. download({size})\n3. join()", [HumanMessage("x" * size)]) == []


def test_a_large_observation() -> None:
    """A large observation is named with its task, its tool and its size."""
    (told,) = warned("1. fetch(1000)\n2. fetch(1500000)\n3. join()")
    assert told.startswith("task 2 ('fetch') returned about 1,50")
    assert "every checkpoint keeps it" in told


def test_a_large_artifact() -> None:
    """So is a large artifact."""
    (told,) = warned(f"1. download({2 * LARGE_ARTIFACT})\n2. join()")
    assert told.startswith("the artifact of a call of 'download' takes about 2,000,")


def test_a_large_thread() -> None:
    """A thread whose messages or observations have become large together is told of as a whole."""
    (told,) = warned("1. fetch(1000)\n2. join()", [HumanMessage("x" * 2_000_000) for _ in range(6)])
    assert told.startswith("the thread's 9 messages and the turn's observations hold more than 10,000,000 characters")
    plan = "\n".join(f"{n}. fetch(900000)" for n in range(1, 13))
    assert "more than 10,000,000 characters" in warned(f"{plan}\n13. join()")[0]


def test_the_limits() -> None:
    """The limits are what the documentation says."""
    assert (LARGE_OBSERVATION, LARGE_ARTIFACT, LARGE_STATE) == (1_000_000, 1_000_000, 10_000_000)
