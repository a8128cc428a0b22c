"""What nodes and conditional edges are to LangGraph."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import tool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

QUESTION: Any = {"messages": [("user", "go")]}


@tool
async def double(x: int) -> int:
    """Double."""
    return 2 * x


class _Runs(BaseCallbackHandler):
    """Notes the name of each run."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **given: Any) -> None:
        self.names.append(str(given.get("name")))


@pytest.mark.anyio
async def test_a_node_is_one_run() -> None:
    """Tracers see each node once, and none of its helpers."""
    runs = _Runs()
    graph = create_llm_compiler(ScriptedModel(["1. double(x=1)", "Replan: again", "2. double(x=2)", "done"]), [double])
    await graph.ainvoke(QUESTION, {"callbacks": [runs]})
    nodes = ["planner", "task_fetching_unit", "joiner"]
    assert [name for name in runs.names if name in nodes] == 2 * nodes
    assert set(runs.names) == {*nodes, "LangGraph"}


@pytest.mark.anyio
async def test_an_event_loop_takes_no_thread() -> None:
    """A run with coroutines alone starts no thread, not even for where its nodes lead."""
    before = set(threading.enumerate())
    graph = create_llm_compiler(ScriptedModel(["1. double(x=1)", "Replan: again", "2. double(x=2)", "done"]), [double])
    await graph.ainvoke(QUESTION)
    assert set(threading.enumerate()) <= before
