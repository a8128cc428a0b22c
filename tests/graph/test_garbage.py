"""What a run leaves behind: nothing that only the garbage collector finds."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langchain_core.tools import tool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

QUESTION: Any = {"messages": [("user", "go")]}


@tool
async def double(x: int) -> int:
    """Double."""
    return 2 * x


@tool
async def numbers(count: int) -> list[int]:
    """Count."""
    return list(range(count))


def _ours() -> Counter[str]:
    """How many objects of each of our types there are."""
    kinds = Counter(map(type, gc.get_objects())).items()
    return Counter({kind.__qualname__: n for kind, n in kinds if str(kind.__module__).startswith("llmcompiler_graph.")})


@contextmanager
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


REPLIES = {
    "flat": ["1. double(x=1)\n2. double(x=2)", "done"],
    "chain": ["1. double(x=1)\n2. double(x=$1)\n3. join()", "done"],
    "fan-out": ["1. numbers(count=3)\n2. double(x=${1[*]})", "done"],
    "a repair": ["1. doubel(x=1)", "1. double(x=1)", "done"],
    "a replan": ["1. double(x=1)", "Replan: again", "2. double(x=2)", "done"],
    "no plan": ["1. join()\nFinish: Good morning!"],
    "a plan of nothing": ["join()", "done"],
}


@pytest.mark.anyio
@pytest.mark.parametrize("replies", REPLIES.values(), ids=REPLIES)
async def test_a_run_leaves_no_cycles(replies: list[str]) -> None:
    """What a run was made of is freed as it ends: runs at once would have the collector search all of it."""
    graph = create_llm_compiler(ScriptedModel(replies * 2), [double, numbers])
    await graph.ainvoke(QUESTION)
    with _without_collector():
        before = _ours()
        await graph.ainvoke(QUESTION)
        left = _ours() - before
    assert not left
