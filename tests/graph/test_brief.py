"""Models that write no more than it takes: what they are asked for, and what it saves."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.tools import tool

from llmcompiler_graph import PlanExample, create_llm_compiler
from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.models.constraints import Constraint
from llmcompiler_graph.testing import ScriptedModel, VirtualClockLoop, run_virtual

QUESTION: Any = {"messages": [HumanMessage("How high are they?")]}
LONG = "Everest is 8,849 m high and K2 8,611 m, so Everest is the higher one of both by 238 m, as the two results say."


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Time is virtual."""
    return "asyncio", {"loop_factory": VirtualClockLoop}


@tool
async def height(of: str) -> str:
    """The height of a mountain."""
    await asyncio.sleep(1)
    return f"{of}: high"


async def run(*replies: str, **settings: Any) -> tuple[dict[str, Any], ScriptedModel, str]:
    """Ask; return the final state, the model, and what was shown of the answer."""
    model = ScriptedModel(replies)
    graph: Any = create_llm_compiler(model, [height], **settings)
    parts = [part async for part in graph.astream(QUESTION, stream_mode=["messages", "values"])]
    shown = "".join(part[0].text for mode, part in parts if mode == "messages" and isinstance(part[0], AIMessageChunk))
    return parts[-1][1], model, shown


async def test_the_least_that_a_model_must_write() -> None:
    """A plan is its calls, and the answer the answer: numbers, `join()`, thoughts and `Finish` may all be left out."""
    final, model, shown = await run('height("K2")\nheight("$1 and more")', LONG)
    assert [(task["index"], task["value"]) for task in final["tasks"]] == [
        (1, "K2: high"),
        (2, "K2: high and more: high"),
    ]
    assert final["messages"][-1].text == shown == LONG
    assert len(model.calls) == 2


async def test_a_list_that_is_written_out_fans_out() -> None:
    """Each of its elements is a call; the task returns the list, and others refer to its elements."""
    final, *_ = await run('height(["K2", "Everest"][*])\nheight("$1[1] or $1[0]")', "Done.")
    one, other = final["tasks"]
    assert one["arguments"] == [{"of": "K2"}, {"of": "Everest"}]
    assert (one["value"], other["value"]) == (["K2: high", "Everest: high"], "Everest: high or K2: high: high")
    assert final["messages"][1].tool_calls[0]["args"] == {"of": '["K2", "Everest"][*]'}
    assert final["plan_text"] == '1. height(of=["K2", "Everest"][*])\n2. height(of="${1[1]} or ${1[0]}")\n3. join()'


async def test_too_long_a_list_makes_no_call() -> None:
    """What limits a fan-out limits this one too."""
    final, *_ = await run('height(["K2", "Everest", "Lhotse"][*])', "None.", max_fan_out=2)
    assert (final["tasks"][0]["status"], final["tasks"][0]["arguments"]) == ("failed", [])


def test_calls_start_while_the_plan_is_written() -> None:
    """A call without a number starts at the end of its line."""

    async def main() -> dict[str, Any]:
        replies = ['height("K2")\nheight("Everest")\nheight("Lhotse")', "Done."]
        graph = create_llm_compiler(ScriptedModel(replies, chunk_size=0, seconds_per_reply=3), [height])
        return await graph.ainvoke(QUESTION)

    times = [(task["started"], task["finished"]) for task in run_virtual(main)["timeline"]]
    assert times == [(1, 2), (2, 3), (3, 4)]


async def test_a_replan_goes_on_with_the_numbers() -> None:
    """`Replan: …` asks for another plan, whose first line is the next task; the joiner need not think before it."""
    final, model, shown = await run('height("K2")', "Replan: Everest", 'height("$1, Everest")', "Done.")
    assert [task["index"] for task in final["tasks"]] == [1, 2]
    assert final["tasks"][1]["value"] == "K2: high, Everest: high"
    assert "Its first task is task 2" in model.calls[2][-1].text
    assert shown == final["messages"][-1].text == "Done."


@pytest.mark.parametrize("why", ["Everest is missing.\n", f"{LONG}\n"], ids=["short", "long"])
async def test_a_replan_may_say_why(why: str) -> None:
    """What stands above `Replan` is a thought, and no part of the answer; only if it is long was it shown before."""
    final, _, shown = await run('height("K2")', f"{why}Replan: Everest", 'height("Everest")', "Done.")
    assert final["messages"][-1].text == "Done."
    assert shown.endswith("Done.")
    assert len(shown) - len("Done.") == (0 if len(why) < 100 else len(LONG) - 1)


@pytest.mark.parametrize("brief", [True, False])
async def test_both_forms_are_understood_whatever_was_asked_for(brief: bool) -> None:
    """A model may number, think and finish although it was not asked to, and the other way round."""
    full = 'Thought: look\n1. height(of="K2")\n2. join()', "Thought: so.\nFinish: Done."
    for replies in (full, ('height("K2")', "Done.")):
        final, *_ = await run(*replies, brief=brief)
        assert (final["tasks"][0]["value"], final["messages"][-1].text) == ("K2: high", "Done.")


def system(**settings: Any) -> str:
    """The system message of a graph."""
    model = ScriptedModel(['height("K2")', "Done."])
    asyncio.run(create_llm_compiler(model, [height], **settings).ainvoke(QUESTION))
    return model.calls[0][0].text


def test_what_models_are_asked_for() -> None:
    """Examples show the form that is asked for, made ones and the user's own; the brief prompt is the shorter one."""
    brief, full = system(), system(brief=False)
    assert len(brief) < len(full)
    assert "Thought:" in full
    assert "1. height(" in full
    assert not re.search(r"Thought:|1\. |(?<!`)join\(\)(?!`)", brief)
    example = brief.rpartition("Write the plan.\n")[2].strip()
    assert len(parse_plan(example)) == 2
    mine = PlanExample("?", 'Thought: look\n1. height(of="K2")\n2. join()')
    assert system(examples=[mine]).endswith('?\n\nWrite the plan.\nheight("K2")\n')
    assert system(examples=[mine], brief=False).endswith(f"{mine.plan}\n")


@pytest.mark.parametrize("constrain", ["vllm", Constraint("sglang")])
def test_small_models_are_asked_for_more(constrain: Any) -> None:
    """Models that are held to a grammar number and think, unless that is not wanted; `join()` says where to stop."""
    assert "Thought:" in system(constrain=constrain)
    brief = system(constrain=constrain, brief=True)
    assert "Thought:" not in brief
    assert brief.endswith('Write the plan.\nheight(of="Alpha")\nheight(of="Beta")\njoin()\n')
