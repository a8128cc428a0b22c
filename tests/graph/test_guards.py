import asyncio
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.procedures import parse_procedure
from llmcompiler_graph.testing import ScriptedModel, run_virtual

QUESTION: Any = {"messages": [("user", "?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
calls: list[str] = []


@tool
def order(id: str) -> dict[str, float]:
    """Look an order up."""
    calls.append(f"order {id}")
    return {"total": float(id)}


@tool
def refund(id: str) -> str:
    """Refund an order."""
    calls.append(f"refund {id}")
    return f"refunded {id}"


@tool
def note(text: str) -> str:
    """Note something."""
    calls.append(f"note {text}")
    return "noted"


refund.metadata = {"destructiveHint": True}
note.metadata = {"readOnlyHint": False}
TOOLS = [order, refund, note]
PLAN = '1. order("{total}")\n2. refund("7") when ${{1.total}} > 100\n3. note("$2")\n4. note("done")\n5. join()'


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


def ran(plan: str, **options: Any) -> tuple[Any, ScriptedModel]:
    """Run a turn; give its final state and the model."""
    model = ScriptedModel([plan, "Finish: so", "Finish: so"])
    final = run_virtual(lambda: create_llm_compiler(model, TOOLS, **options).ainvoke(QUESTION))
    return final, model


def test_a_guard_that_holds() -> None:
    """The task runs as any."""
    final, _ = ran(PLAN.format(total=120))
    assert calls == ["order 120", "refund 7", "note refunded 7", "note done"]
    assert [task["status"] for task in final["tasks"]] == ["done"] * 4


def test_a_guard_that_does_not_hold() -> None:
    """The task and what needs it are skipped, with the reason, not failed; the rest runs; the joiner is told."""
    final, model = ran(PLAN.format(total=40))
    assert calls == ["order 40", "note done"]
    assert [task["status"] for task in final["tasks"]] == ["done", "skipped", "skipped", "done"]
    reason = "not run: `${1.total} > 100` does not hold (${1.total} is 40.0)"
    assert final["tasks"][1]["error"] == reason
    assert final["tasks"][2]["error"] == "not run: it needs task 2, which was not run either"
    said = '2. refund(id="7") when ${1.total} > 100: skipped: "not run: `${1.total} > 100` does not hold'
    assert said in model.calls[1][-1].content


def test_a_guard_that_cannot_be_told() -> None:
    """A value that is not there, or does not compare, fails the task: it is not run on a guess."""
    final, _ = ran('1. note("x")\n2. refund("7") when ${1.total} > 100')
    assert final["tasks"][1]["status"] == "failed"
    assert calls == ["note x"]


def test_a_guard_of_a_wrong_type_is_found_before_anything_runs() -> None:
    """The planner is asked for the task again."""
    plan = '1. order("120")\n2. refund("7") when ${1.total} == "high"'
    model = ScriptedModel([plan, '2. refund("7") when ${1.total} > 100', "Finish: so"])
    final = run_virtual(lambda: create_llm_compiler(model, TOOLS).ainvoke(QUESTION))
    assert "which are never equal" in model.calls[1][-1].content
    assert [task["status"] for task in final["tasks"]] == ["done", "done"]


@pytest.mark.parametrize(("total", "asked"), [("120", True), ("40", False)])
def test_only_what_runs_is_approved(total: str, asked: bool) -> None:
    """A human is asked about a call only if its guard holds, and the call is as it was planned after the pause."""

    async def main() -> Any:
        model = ScriptedModel([PLAN.format(total=total), "Finish: so"])
        graph = create_llm_compiler(model, TOOLS, interrupt_on={"refund": True}, checkpointer=InMemorySaver())
        final = await graph.ainvoke(QUESTION, THREAD)
        assert ("__interrupt__" in final) == asked
        if asked:
            assert "refund 7" not in calls
            final = await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
        return final

    final = run_virtual(main)
    assert final["tasks"][1]["status"] == ("done" if asked else "skipped")
    assert calls.count(f"order {total}") == 1


def test_a_plan_with_guards_is_approved_as_it_is() -> None:
    """Whoever approves a plan sees its guards, and it runs with them."""

    async def main() -> Any:
        model = ScriptedModel([PLAN.format(total=40), "Finish: so"])
        graph = create_llm_compiler(model, TOOLS, approve_plans=True, checkpointer=InMemorySaver())
        paused = await graph.ainvoke(QUESTION, THREAD)
        shown = paused["__interrupt__"][0].value["action_requests"][0]
        return shown, await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)

    shown, final = run_virtual(main)
    assert 'refund(id="7") when ${1.total} > 100' in shown["args"]["plan"]
    assert 'id="7" when ${1.total} > 100' in shown["description"]
    assert final["tasks"][1]["status"] == "skipped"


def test_in_a_procedure() -> None:
    """A procedure may hold guards over its parameters; its result is missing if its last task does not run."""
    text = 'settle(id: str, least: float):\n  1. order("${id}")\n  2. refund("${id}") when ${1.total} > ${least}'
    graph = parse_procedure(text).as_graph(TOOLS)
    for least, result in ((5, "refunded 7"), (8, None)):
        given: Any = {"arguments": {"id": "7", "least": least}}
        assert graph.invoke(given)["result"] == result


def test_a_guarded_call_of_a_procedure() -> None:
    """A call's guard holds for all tasks of the procedure, beside their own; nested calls too."""
    texts = [
        'settle(id: str):\n  1. order("${id}")\n  2. note("begun")\n  3. refund("${id}") when ${1.total} > 5',
        'both(id: str, ok: bool):\n  1. settle("${id}") when ${ok}\n  2. note("$1")',
    ]
    plan = (
        '1. order("7")\n2. settle("8") when ${1.total} > 7\n'
        '3. both("9", true) when ${1.total} == 7\n4. both("6", false)'
    )
    final, _ = ran(plan, procedures=texts)
    done = [task["text"] for task in final["tasks"] if task["status"] == "done"]
    assert [text.partition(". ")[2] for text in done] == [
        'order(id="7")',
        'order(id="9") when ${1.total} == 7',
        'note(text="begun") when ${1.total} == 7',
        'refund(id="9") when ${5.total} > 5',
        "note(text=$7)",
    ]
    assert {task["status"] for task in final["tasks"]} == {"done", "skipped"}
    assert final["tasks"][-4]["text"].endswith('order(id="6") when False')
    assert calls == ["order 7", "order 9", "note begun", "refund 9", "note refunded 9"]


def test_a_crash_behind_a_guard() -> None:
    """After a crash, what was skipped stays so, and what was done is not done again."""
    crashed: list[bool] = []

    @tool
    def crash(text: str) -> str:
        """Crash once."""
        if not crashed:
            crashed.append(True)
            msg = "the machine is down"
            raise RuntimeError(msg)
        return text

    plan = '1. order("40")\n2. refund("7") when ${1.total} > 100\n3. crash("${1.total}")'
    graph = create_llm_compiler(
        ScriptedModel([plan, "Finish: so"]), [*TOOLS, crash], handle_tool_errors=False, checkpointer=InMemorySaver()
    )
    with pytest.raises(RuntimeError):
        asyncio.run(graph.ainvoke(QUESTION, THREAD))
    final = asyncio.run(graph.ainvoke(None, THREAD))
    assert [task["status"] for task in final["tasks"]] == ["done", "skipped", "done"]
    assert calls == ["order 40"]


def test_prompts() -> None:
    """Only who turns guards on has them in the prompt; native calls have no place for them."""
    _, without = ran(PLAN.format(total=120))
    _, told = ran(PLAN.format(total=120), guards=True)
    assert all(" when ${" not in str(message.content) for call in without.calls for message in call[:1])
    before, _, behind = str(told.calls[0][0].content).partition("\n- A call followed by `when ${1.total} > 100")
    assert before + behind.partition("references and constants.")[2] == without.calls[0][0].content
    with pytest.raises(ConfigurationError, match="plan_format='text'"):
        create_llm_compiler(ScriptedModel(), TOOLS, guards=True, plan_format="tools")
