import asyncio
import re
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.core.grammar.decisions import decision_grammar
from llmcompiler_graph.core.grammar.forms import write
from llmcompiler_graph.core.grammar.plans import plan_grammar
from llmcompiler_graph.core.language.decision_parser import DecisionParser
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests.grammar_engine import accepts
from tests.graph.test_draft import add, look, outcomes
from tests.graph.test_planner import Breaking, sleeper, timeline

QUESTION: Any = {"messages": [HumanMessage("?")]}
PLAN = '1. look("K2")\n2. join()'
REPLAN = "Thought: K2 alone is not enough.\nReplan: look up Everest, and add.\n"
NEXT = '3. look("Everest")\n4. add($1.height_m, $3.height_m)\n5. join()'


def fused(*replies: str, **settings: Any) -> tuple[Any, ScriptedModel]:
    """Make a graph whose joiner writes the next plan, over scripted replies."""
    model = ScriptedModel(replies)
    return create_llm_compiler(model, [look, add], fuse_replan=True, **settings), model


@pytest.mark.parametrize(
    ("reply", "plan"),
    [
        ("Thought: a\nReplan: b\n3. look('x')\n4. join()", "3. look('x')\n4. join()"),
        ("Thought: a\nAction: Replan(b)\n3. look('x')", "3. look('x')"),
        ("Replan: b\n\nThought: c\n3. look('x')\n", "Thought: c\n3. look('x')\n"),
        ("**Replan:** b\n```\n3. look('x')\n```", "3. look('x')\n```"),
        ("Replan:\n1) join()", "1) join()"),
        ("Replan: b\n1. Look at (x)\n2. Then y", ""),
        ("Replan: b", ""),
        ("Finish: b\n3. look('x')", ""),
        ("3. look('x')", ""),
        ("", ""),
    ],
)
def test_the_plan_in_a_reply(reply: str, plan: str) -> None:
    """The plan of a reply is what begins, below its `Replan`, with a numbered call, however it arrives."""
    for pieces in ([reply], list(reply)):
        parser = DecisionParser(plans=True)
        for piece in pieces:
            parser.feed(piece)
        assert (reply[parser.plan_start :] if parser.plan_start is not None else "") == plan


def test_tasks_start_while_the_joiner_writes_them() -> None:
    """The plan below a replan is read as it streams: each task starts the moment its line is there."""

    async def main() -> tuple[dict[str, Any], list[dict[str, Any]], float]:
        replies = ['1. work("a")\n', 'Replan: more\n2. work("b")\n3. work("c")\n4. join()', "Finish: ok"]
        model = ScriptedModel(replies, chunk_size=0, seconds_per_reply=4)
        graph = create_llm_compiler(model, [sleeper("work", 2)], fuse_replan=True)
        modes: Any = ["custom", "values"]
        seen: Any = [each async for each in graph.astream(QUESTION, stream_mode=modes)]
        events = [each for mode, each in seen if mode == "custom"]
        return seen[-1][1], events, asyncio.get_running_loop().time()

    final, events, end = run_virtual(main)
    # plan until 4, task 1 until 6, joiner until 10 with a line each second, second joiner until 15
    assert timeline(final) == {1: (4, 4, 6), 2: (8, 8, 10), 3: (9, 9, 11)}
    assert [each["early"] for each in final["timeline"]] == [True] * 3
    assert end == 15
    assert [(each["at"], each["event"]) for each in events if each["at"] >= 7] == [
        (8, "replanning"),
        (8, "planned"),
        (8, "released"),
        (8, "started"),
        (9, "planned"),
        (9, "released"),
        (9, "started"),
        (10, "done"),
        (11, "done"),
    ]


def test_a_joiner_that_breaks_off() -> None:
    """If the reply breaks off, what was begun of its plan is cancelled, and nothing is left behind."""
    log: list[tuple[str, float]] = []

    async def main() -> None:
        planner = ScriptedModel(["1. join()"])
        joiner = Breaking(
            replies=['Replan: more\n1. work("b")\n2. work("c")\n'], chunk_size=0, seconds_per_reply=3, pieces=2
        )
        tools = [sleeper("work", 10, log)]
        with pytest.raises(ConnectionError):
            await create_llm_compiler(planner, tools, joiner_model=joiner, fuse_replan=True).ainvoke(QUESTION)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)
    assert [what for what, _ in log] == ["work starts", "work cancelled"]


async def test_one_call_per_replan() -> None:
    """The planner node adopts the plan of the joiner's reply, without another model call."""
    graph, model = fused(PLAN, REPLAN + NEXT, "Finish: ok")
    final = await graph.ainvoke(QUESTION)
    assert len(model.calls) == 3
    assert outcomes(final) == [(1, "done", {"height_m": 2.0}), (3, "done", {"height_m": 7.0}), (4, "done", 9)]
    assert [(one["plan"], one.get("adopted", False)) for one in final["rounds"]] == [(PLAN, False), (NEXT, True)]
    events = [e async for e in fused(PLAN, REPLAN + NEXT, "Finish: ok")[0].astream(QUESTION, stream_mode="custom")]
    assert [e["error"] for e in events if e["event"] == "replanning"] == ["look up Everest, and add."]
    assert sum(isinstance(m, AIMessage) and bool(m.tool_calls) for m in final["messages"]) == 2


async def test_a_plan_without_numbers() -> None:
    """A joiner that is to be brief writes calls and no more below `Replan`; they begin while it writes."""
    graph, model = fused(PLAN, 'Replan: look up Everest, and add.\nlook("Everest")\nadd(${1.height_m}, 5)', "9")
    final = await graph.ainvoke(QUESTION)
    assert len(model.calls) == 3
    assert [outcome[:2] for outcome in outcomes(final)] == [(1, "done"), (2, "done"), (3, "done")]
    assert final["rounds"][0]["joining"]["finished"] >= final["timeline"][1]["started"]
    assert final["messages"][-1].text == "9"


async def test_a_replan_without_a_plan() -> None:
    """If the joiner writes none, the planner model is asked, as ever."""
    graph, model = fused(PLAN, REPLAN, NEXT, "Finish: ok")
    final = await graph.ainvoke(QUESTION)
    assert len(model.calls) == 4
    assert outcomes(final)[-1] == (4, "done", 9)
    assert "Write the plan. Its first task is task 2;" in model.calls[2][-1].text


async def test_every_call_extends_the_one_before() -> None:
    """Planner, joiner with a plan, repair of that plan, joiner: each prompt begins with all of the one before."""
    broken = NEXT.replace("look(", "loook(")
    graph, model = fused(PLAN, REPLAN + broken, '3. look("Everest")', "Finish: ok")
    final = await graph.ainvoke(QUESTION)
    assert outcomes(final)[-1] == (4, "done", 9)
    said = [PLAN, REPLAN + broken, '3. look("Everest")']
    for one, following, reply in zip(model.calls[:-1], model.calls[1:], said, strict=True):
        assert following[: len(one)] == one
        assert following[len(one)].text == reply
        assert len(following) == len(one) + 2
    assert "its first task is task 2" in model.calls[1][-1].text
    assert "Write only task 3 again" in model.calls[2][-1].text
    assert "its first task is task 5" in model.calls[3][-1].text


async def test_the_last_round() -> None:
    """Where no other plan is possible, the joiner is not asked for one; what it writes is not run."""
    graph, model = fused(PLAN, REPLAN + NEXT, "Finish: ok", max_replans=0)
    final = await graph.ainvoke(QUESTION)
    assert "Write the best answer" in model.calls[1][-1].text
    assert [task["index"] for task in final["tasks"]] == [1]


async def test_finished_work_is_not_repeated() -> None:
    """A fused plan that repeats finished work costs no call, and numbers that start again are shifted."""
    graph, _ = fused(PLAN, REPLAN + '1. look("K2")\n2. add($1.height_m, 1)', "Finish: ok")
    final = await graph.ainvoke(QUESTION)
    assert outcomes(final)[1:] == [(2, "done", {"height_m": 2.0}), (3, "done", 3)]
    assert final["timeline"][1]["started"] is None


async def test_the_next_turn() -> None:
    """A new question after a turn with a fused replan is planned anew."""
    graph, model = fused(PLAN, REPLAN + NEXT, "Finish: ok", PLAN, "Finish: again", checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke(QUESTION, config)
    final = await graph.ainvoke(QUESTION, config)
    assert final["messages"][-1].text == "again"
    assert len(model.calls) == 5


def test_synchronous() -> None:
    """In a synchronous run too, the plan of the joiner's reply is adopted."""
    graph, model = fused(PLAN, REPLAN + NEXT, "Finish: ok")
    assert outcomes(graph.invoke(QUESTION))[-1] == (4, "done", 9)
    assert len(model.calls) == 3


async def test_told_only_if_wanted() -> None:
    """The models are asked for a plan with the replan only in such a graph, which says so from the start."""
    graph, model = fused(PLAN, "Finish: ok")
    await graph.ainvoke(QUESTION)
    assert "write that plan at once" in model.calls[0][0].text
    plain = ScriptedModel([PLAN, "Finish: ok"])
    await create_llm_compiler(plain, [look, add]).ainvoke(QUESTION)
    assert not re.search("write that plan at once|write the next plan below", "".join(m.text for m in plain.calls[1]))


def test_the_grammar() -> None:
    """A constrained joiner may write a plan below `Replan`, in the plan's own grammar."""
    tool = ToolSpec("look", {"name": {"type": "string"}}, frozenset({"name"}))
    plan = plan_grammar([tool], first=4)
    reply = 'Thought: t\nReplan: r\n4. look(name="x")\n5. join()'
    allowed, not_allowed = (write(decision_grammar(may_replan=each, plan=plan), "lark") for each in (True, False))
    assert accepts(allowed, "lark", reply)
    assert not accepts(allowed, "lark", reply.split("\n4", maxsplit=1)[0])
    assert not accepts(not_allowed, "lark", reply)
