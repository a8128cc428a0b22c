import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.tools import tool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

QUESTION: Any = {"messages": [HumanMessage("?")]}
THOUGHT = '<think>\n1. look("never")\n2. join()\nFinish: never\nReplan: never\n3. look("never")\n</think>\n\n'


@tool
async def look(text: str) -> str:
    """Look."""
    return f"saw {text}"


# -- thinking ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
async def test_thinking(sync: bool, fused: bool) -> None:
    """What stands in it is neither planned nor answered nor shown, whoever thinks."""
    first, second = '1. look("a")\n2. join()', '2. look("b")\n3. join()'
    replies = [first, f"Replan: b\n{second}"] if fused else [first, "Replan: b", second]
    model = ScriptedModel([THOUGHT + each for each in [*replies, "Thought: t\nFinish: done"]])
    graph = create_llm_compiler(model, [look], fuse_replan=fused)
    modes: Any = ["messages", "values"]
    parts: list[Any]
    if sync:
        parts = await asyncio.to_thread(lambda: list(graph.stream(QUESTION, stream_mode=modes)))
    else:
        parts = [part async for part in graph.astream(QUESTION, stream_mode=modes)]
    final = parts[-1][1]
    assert [task["value"] for task in final["tasks"]] == ["saw a", "saw b"]
    assert final["messages"][-1].content == "done"
    shown = [part[0].text for mode, part in parts if mode == "messages" and isinstance(part[0], AIMessageChunk)]
    assert "".join(shown) == "done"
    assert "never" not in str([final["plan_text"], final["rounds"], [task["text"] for task in final["tasks"]]])
    assert all("<think>" not in str(call) for call in model.calls)


OPENED = THOUGHT.removeprefix("<think>\n")


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_thinking_that_began_in_the_prompt(sync: bool) -> None:
    """Once a model was seen to end a thought that it had not begun, none of its thoughts is planned or shown."""
    prose = "First look.\n</think>\n\n"
    second = ['2. look("b")\n3. join()', "Finish: done"]
    model = ScriptedModel([prose + '1. look("a")\n2. join()', *(OPENED + each for each in ["Replan: b", *second])])
    graph = create_llm_compiler(model, [look])
    final = await asyncio.to_thread(graph.invoke, QUESTION) if sync else await graph.ainvoke(QUESTION)
    assert [task["value"] for task in final["tasks"]] == ["saw a", "saw b"]
    assert final["messages"][-1].content == "done"
    assert "never" not in str([final["plan_text"], final["rounds"], [task["text"] for task in final["tasks"]]])


async def test_an_answer_after_thinking_that_began_in_the_prompt() -> None:
    """The first answer of a joiner is without its thought, also one in no form."""
    model = ScriptedModel(["Is it 41? No.\n</think>\n\nIt is 42."])
    graph = create_llm_compiler(ScriptedModel(["1. join()"]), [look], joiner_model=model)
    modes: Any = ["messages", "values"]
    parts: list[Any] = [part async for part in graph.astream(QUESTION, stream_mode=modes)]
    shown = [part[0].text for mode, part in parts if mode == "messages" and isinstance(part[0], AIMessageChunk)]
    final = parts[-1][1]
    assert ("".join(shown), final["messages"][-1].content) == ("It is 42.", "It is 42.")
    assert final["rounds"][0]["reply"] == "It is 42."


async def test_thinking_before_tool_calls() -> None:
    """It is no thought of the plan either."""
    call = {"name": "look", "args": {"task": 1, "text": "a"}, "id": "1"}
    model = ScriptedModel([AIMessage(THOUGHT, tool_calls=[call]), "Finish: done"])
    final = await create_llm_compiler(model, [look], plan_format="tools").ainvoke(QUESTION)
    assert final["rounds"][0]["plan"] == '1. look(text="a")\n'
    assert [task["value"] for task in final["tasks"]] == ["saw a"]


async def test_nothing_but_thinking() -> None:
    """It is no plan and no answer."""
    model = ScriptedModel(['<think>1. look("never")', "<think>Finish: never"])
    final = await create_llm_compiler(model, [look]).ainvoke(QUESTION)
    assert (final["tasks"], final["messages"][-1].content) == ([], "")
