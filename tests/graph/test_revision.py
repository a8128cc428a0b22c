"""A plan that a human changes between planning and running."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

THREAD: Any = {"configurable": {"thread_id": "1"}}
QUESTION: Any = {"messages": [("user", "?")]}
PLAN = 'Thought: look\n1. look("a")\n2. look("$1")\n3. join()'
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


class Bench:
    """A counted tool, one that asks a human, and a graph over them that pauses before the plan runs."""

    def __init__(self, *replies: str, **kwargs: Any) -> None:
        self.ran: Counter[str] = Counter()
        self.model = ScriptedModel(list(replies))
        self.graph = create_llm_compiler(
            self.model,
            self.tools(),
            checkpointer=InMemorySaver(),
            interrupt_before=["task_fetching_unit"],
            max_repairs=0,
            **kwargs,
        )

    def tools(self) -> list[BaseTool]:
        """The tools."""

        @tool
        async def look(what: str) -> str:
            """Look."""
            self.ran[what] += 1
            return f"saw {what}"

        @tool
        async def ask(what: str) -> str:
            """Ask a human."""
            return f"told {interrupt(what)}"

        return [look, ask]

    async def run(self, given: Any, *, sync: bool = False) -> Any:
        """Run the graph either way."""
        if sync:
            return await asyncio.to_thread(self.graph.invoke, given, THREAD)
        return await self.graph.ainvoke(given, THREAD)

    async def change(self, text: str) -> None:
        """Change the plan."""
        await self.graph.aupdate_state(THREAD, {"plan_text": text})


def edited(plan: str) -> Command[Any]:
    """A human's answer: another plan."""
    edit = {"type": "edit", "edited_action": {"name": "plan", "args": {"plan": plan}}}
    return Command(resume={"decisions": [edit]})


def values(final: Any) -> list[Any]:
    """What the tasks gave."""
    return [task["value"] for task in final["tasks"]]


@both_ways
async def test_a_changed_plan_is_the_one_that_runs(sync: bool) -> None:
    """Tasks, the plan's message with its tool calls, what the joiner is shown: all are those of the changed plan."""
    bench = Bench(PLAN, "Finish: done")
    paused = await bench.run(QUESTION, sync=sync)
    assert paused["plan_text"] == '1. look(what="a")\n2. look(what=$1)\n3. join()'
    changed = '1. look("b")\n2. look("c")\n3. look("$1 and $2")\n4. join()'
    await bench.change(changed)
    final = await bench.run(None, sync=sync)
    assert values(final) == ["saw b", "saw c", "saw saw b and saw c"]
    assert bench.ran == {"b": 1, "c": 1, "saw b and saw c": 1}
    _, plan, *results, answer = final["messages"]
    assert [(call["name"], call["args"]) for call in plan.tool_calls] == [
        ("look", {"what": "b"}),
        ("look", {"what": "c"}),
        ("look", {"what": '"$1 and $2"'}),
    ]
    assert plan.id == paused["messages"][1].id
    assert [m.tool_call_id for m in results] == [call["id"] for call in plan.tool_calls]
    assert [call["id"] for call in plan.tool_calls] == [task["tool_call_id"] for task in final["tasks"]]
    assert answer.content == "done"
    assert final["rounds"][0]["plan"] == changed
    assert [m.content for m in bench.model.calls[1] if isinstance(m, AIMessage)] == [changed]
    assert [entry["index"] for entry in final["timeline"]] == [1, 2, 3]


async def test_an_unchanged_plan_runs_as_it_is() -> None:
    """Writing the plan back as it was shown changes nothing."""
    bench = Bench(PLAN, "Finish: done")
    paused = await bench.run(QUESTION)
    await bench.change(paused["plan_text"] + "\n")
    final = await bench.run(None)
    assert final["rounds"][0]["plan"] == PLAN
    assert values(final) == ["saw a", "saw saw a"]


@both_ways
async def test_a_mistake_pauses_again(sync: bool) -> None:
    """What is wrong with a changed plan is said with line and column, and nothing runs until it is answered."""
    bench = Bench(PLAN, "Finish: done")
    await bench.run(QUESTION, sync=sync)
    await bench.change('1. look("b")\n2. lok("$1")\n3. look($4)')
    paused = await bench.run(None, sync=sync)
    (asked,) = paused["__interrupt__"]
    assert asked.value["error"].splitlines() == [
        "line 2, column 1: no tool is named 'lok'; did you mean 'look'? [unknown-tool]",
        "line 3, column 9: task 3 refers to task 4, but no earlier task has that number; references point only to "
        "earlier tasks; write `$$` for a dollar sign [unknown-reference]",
    ]
    assert [(each["line"], each["index"]) for each in asked.value["diagnostics"]] == [(2, 2), (3, 3)]
    assert asked.value["action_requests"][0]["args"] == {"plan": '1. look("b")\n2. lok("$1")\n3. look($4)'}
    assert bench.ran == {}
    paused = await bench.run(edited('1. look("b")\n2. look(wat="$1")'), sync=sync)
    (asked,) = paused["__interrupt__"]
    assert "wat" in asked.value["error"]
    assert bench.ran == {}
    final = await bench.run(edited('1. look("b")\n2. look(what="$1")'), sync=sync)
    assert values(final) == ["saw b", "saw saw b"]
    assert bench.ran == {"b": 1, "saw b": 1}
    assert final["rounds"][0]["diagnostics"] == []


async def test_a_mistake_can_be_changed_in_the_state() -> None:
    """Instead of an answer, the plan may be changed once more where it was changed first."""
    bench = Bench(PLAN, "Finish: done")
    await bench.run(QUESTION)
    await bench.change('1. lok("b")')
    assert (await bench.run(None))["__interrupt__"]
    await bench.change('1. look("c")')
    final = await bench.run(None)
    assert values(final) == ["saw c"]


@both_ways
@pytest.mark.parametrize("given", [5, ["1. join()"], {"plan": 1}, True])
async def test_a_plan_that_is_no_text(given: Any, sync: bool) -> None:
    """What is no text is refused by name; nothing has run, and the thread goes on once it is text again."""
    bench = Bench(PLAN, "Finish: done")
    await bench.run(QUESTION, sync=sync)
    await bench.change(given)
    with pytest.raises(ConfigurationError, match="plan_text in the state must be the text of a plan, not"):
        await bench.run(None, sync=sync)
    assert bench.ran == {}
    await bench.change('1. look("b")')
    assert values(await bench.run(None, sync=sync)) == ["saw b"]


async def test_a_mistake_can_be_let_stand() -> None:
    """Approved all the same, what can be run is; the rest fails and is told to the joiner, as with a model's plan."""
    bench = Bench(PLAN, "Finish: done")
    await bench.run(QUESTION)
    await bench.change('1. look("b")\n2. lok("$1")\n3. look("$2")')
    await bench.run(None)
    final = await bench.run(Command(resume={"decisions": [{"type": "approve"}]}))
    assert [task["status"] for task in final["tasks"]] == ["done", "failed", "skipped"]
    assert [each["code"] for each in final["rounds"][0]["diagnostics"]] == ["unknown-tool"]
    assert "no tool is named 'lok'" in str(bench.model.calls[1][-1].content)


async def test_a_changed_plan_survives_interrupts_of_its_tools() -> None:
    """A node that is run again after a human's answer finds the same tasks: nothing that was done is done again."""
    bench = Bench(PLAN, "Finish: done")
    await bench.run(QUESTION)
    await bench.change('1. look("b")\n2. ask("$1?")\n3. look("$2")')
    paused = await bench.run(None)
    assert [each.value for each in paused["__interrupt__"]] == ["saw b?"]
    final = await bench.run(Command(resume="yes"))
    assert values(final) == ["saw b", "told yes", "saw told yes"]
    assert bench.ran == {"b": 1, "told yes": 1}
    assert len([m for m in final["messages"] if isinstance(m, ToolMessage)]) == 3


async def test_an_emptied_plan() -> None:
    """A plan of nothing runs nothing and leaves no message; one written where there was none runs."""
    bench = Bench(PLAN, "Finish: done", "1. join()", "Finish: two")
    await bench.run(QUESTION)
    await bench.change("1. join()")
    final = await bench.run(None)
    assert final["tasks"] == []
    assert [m.content for m in final["messages"]] == ["?", "done"]
    await bench.run({"messages": [("user", "??")]})
    await bench.change('1. look("z")')
    final = await bench.run(None)
    assert values(final) == ["saw z"]
    assert [type(m).__name__ for m in final["messages"][3:]] == ["AIMessage", "ToolMessage", "AIMessage"]
    assert bench.ran == {"z": 1}


async def test_a_changed_replan() -> None:
    """A later plan can be changed too: it refers to what earlier ones returned, and its indices go on."""
    bench = Bench(PLAN, "Replan: more", '3. look("$2")', "Finish: done")
    await bench.run(QUESTION)
    paused = await bench.run(None)
    assert paused["plan_text"] == "3. look(what=$2)\n4. join()"
    await bench.change('3. look("$1")\n4. look("$3")')
    final = await bench.run(None)
    assert values(final) == ["saw a", "saw saw a", "saw saw a", "saw saw saw a"]
    assert [task["round"] for task in final["tasks"]] == [0, 0, 1, 1]
    assert [entry["index"] for entry in final["timeline"]] == [1, 2, 3, 4]
