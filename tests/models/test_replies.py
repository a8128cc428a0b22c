import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.tools import tool

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.core.language.thinking import THINKING_TAGS
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


@pytest.mark.parametrize("fused", [False, True], ids=["apart", "fused"])
@pytest.mark.parametrize("first", ["<thinking>", "[THINK]", "<|channel|>analysis<|message|>", "\u25c1think\u25b7"])
async def test_tags_of_other_families(first: str, fused: bool) -> None:
    """A call in a thought is not made, wherever the thought stands, and a decision in it decides nothing."""
    last = dict(THINKING_TAGS)[first]
    thought = THOUGHT.replace("<think>", first).replace("</think>", last)
    plan, second = f'{thought}1. look("a")\n{thought}2. join()', f'2. look("b")\n{thought}3. join()'
    replan = [f"{thought}Thought: b\n{thought}Replan: b\n{second}"] if fused else [f"{thought}Replan: b", second]
    model = ScriptedModel([plan, *replan, f"Thought: so.\n{thought}Finish: done\n{thought}"])
    final = await create_llm_compiler(model, [look], fuse_replan=fused).ainvoke(QUESTION)
    assert [task["value"] for task in final["tasks"]] == ["saw a", "saw b"]
    assert final["messages"][-1].content == "done"
    assert "never" not in str([final["plan_text"], final["rounds"], [task["text"] for task in final["tasks"]]])


async def test_tags_of_the_caller() -> None:
    """They count besides the others."""
    thought = THOUGHT.replace("<think>", "{{").replace("</think>", "}}")
    model = ScriptedModel([thought + each for each in ['1. look("a")\n2. join()', "Finish: {{"]])
    final = await create_llm_compiler(model, [look], thinking_tags=[("{{", "}}")]).ainvoke(QUESTION)
    assert [task["value"] for task in final["tasks"]] == ["saw a"]
    assert final["messages"][-1].content == "{{"


@pytest.mark.parametrize("given", ["<think>", [("<think>",)], [("<think>", "")], [(1, 2)], ["ab"], 5])
def test_tags_that_are_none(given: Any) -> None:
    """They are refused when the graph is made."""
    with pytest.raises(ConfigurationError, match="thinking_tags must be pairs of text"):
        create_llm_compiler(ScriptedModel(), [look], thinking_tags=given)


OPENED = THOUGHT.removeprefix("<think>\n")


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
@pytest.mark.parametrize("chunk_size", [3, 1000])
async def test_thinking_that_began_in_the_prompt(sync: bool, chunk_size: int) -> None:
    """What was planned in such a thought is dropped, and no other thought of the turn is planned or shown."""
    plan, *others = '1. look("a")\n2. join()', "Replan: b", '2. lok("b")\n3. join()', '2. look("b")', "Finish: done"
    model = ScriptedModel([f'1. look("no")\n</think>\n\n{plan}', *(OPENED + each for each in others)])
    model.chunk_size = chunk_size
    graph = create_llm_compiler(model, [look])
    final = await asyncio.to_thread(graph.invoke, QUESTION) if sync else await graph.ainvoke(QUESTION)
    assert [task["value"] for task in final["tasks"]] == ["saw a", "saw b"]
    assert final["messages"][-1].content == "done"
    assert "never" not in str([final["plan_text"], final["rounds"], [task["text"] for task in final["tasks"]]])
    calls = [call["args"] for message in final["messages"][:-1] for call in getattr(message, "tool_calls", [])]
    assert calls == [{"text": "a"}, {"text": "b"}]


async def test_thinking_that_is_said_to_begin_in_the_prompt() -> None:
    """No call of it is made, and nothing of it is shown, from the first reply on."""
    called: list[str] = []

    @tool
    def note(text: str) -> str:
        """Note."""
        called.append(text)
        return text

    thought = OPENED.replace("look", "note")
    model = ScriptedModel([thought + each for each in ['1. note("a")\n2. join()', "Thought: t\nFinish: done"]])
    graph = create_llm_compiler(model, [note], thinking_tags=[("", "</think>")])
    modes: Any = ["messages", "values"]
    parts: list[Any] = [part async for part in graph.astream(QUESTION, stream_mode=modes)]
    shown = [part[0].text for mode, part in parts if mode == "messages" and isinstance(part[0], AIMessageChunk)]
    assert (called, "".join(shown), parts[-1][1]["messages"][-1].content) == (["a"], "done", "done")


async def test_what_one_run_says_changes_no_other() -> None:
    """After a run whose replies echo `</think>`, calls still begin while the plan is written, answers still stream."""
    echo = ['1. look("a")\n</think>\n1. look("b")\n2. join()', "a\n</think>\nFinish: b"]
    model = ScriptedModel([*echo, '1. look("c")\n2. join()', "Finish: so it is"], chunk_size=4)
    graph = create_llm_compiler(model, [look])
    await graph.ainvoke(QUESTION)
    modes: Any = ["messages", "values"]
    parts: list[Any] = [part async for part in graph.astream(QUESTION, stream_mode=modes)]
    shown = [part[0].text for mode, part in parts if mode == "messages" and isinstance(part[0], AIMessageChunk)]
    assert len(shown) > 1
    assert parts[-1][1]["timeline"][0]["early"] is True


async def test_an_answer_that_shows_the_tag() -> None:
    """What was shown of an answer stays, and so does the tag in it."""
    model = ScriptedModel(["1. join()", "Finish: R1 ends its thought with\n</think>\nand goes on."])
    final = await create_llm_compiler(model, [look]).ainvoke(QUESTION)
    assert final["messages"][-1].content == "R1 ends its thought with\n</think>\nand goes on."


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
    """It is no plan and no answer: the joiner is asked once more."""
    model = ScriptedModel(['<think>1. look("never")', "<think>Finish: never", "<think>Finish: never"])
    with pytest.warns(UserWarning, match="gave no answer"):
        final = await create_llm_compiler(model, [look], max_repairs=0).ainvoke(QUESTION)
    assert (final["tasks"], final["messages"][-1].content) == ([], "")
