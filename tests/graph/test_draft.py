import asyncio
from typing import Annotated, Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool, StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import InjectedState, ToolRuntime

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.models.prompts import conversation
from llmcompiler_graph.state import task_from_record
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests.graph.test_planner import Counting, sleeper, timeline

QUESTION: Any = {"messages": [HumanMessage("?")]}


@tool
def look(name: str) -> dict[str, float]:
    """Look something up."""
    return {"height_m": float(len(name))}


look.metadata = {"readOnlyHint": True}


@tool
def add(a: float, b: float, what: str = "") -> float:
    """Add."""
    return a + b


def outcomes(final: dict[str, Any]) -> list[tuple[int, str, Any]]:
    """Pick each task's index, status and value."""
    return [(task["index"], task["status"], task["value"]) for task in final["tasks"]]


async def asked(*replies: str, tools: list[BaseTool] | None = None, **settings: Any) -> tuple[Any, ScriptedModel]:
    """Run a graph over scripted replies; return the final state and the model."""
    model = ScriptedModel([*replies, "Finish: ok"])
    graph = create_llm_compiler(model, tools or [look, add], **settings)
    return await graph.ainvoke(QUESTION), model


# -- repairs -----------------------------------------------------------------------------------------------------------


def test_good_tasks_run_during_the_repair() -> None:
    """What does not need the broken task starts as usual; what needs it, when it is written again."""
    plan = '1. work("a")\n2. wrok("b")\n3. work("$2")\n4. work("d")\n5. work("$1")'

    async def main() -> tuple[dict[str, Any], float]:
        model = ScriptedModel([plan, '2. work("b")', "Finish: ok"], chunk_size=0, seconds_per_reply=5)
        final = await create_llm_compiler(model, [sleeper("work", 2)]).ainvoke(QUESTION)
        return final, asyncio.get_running_loop().time()

    final, end = run_virtual(main)
    # the plan takes until 5, the repair until 10; the broken task and what needs it run behind each other
    assert timeline(final) == {1: (1, 1, 3), 2: (10, 10, 12), 3: (12, 12, 14), 4: (4, 4, 6), 5: (5, 5, 7)}
    assert end == 14 + 5
    assert [each["early"] for each in final["timeline"]] == [True, True, False, True, True]


def test_repaired_tasks_start_while_the_repair_is_written() -> None:
    """Repaired tasks start while the reply with them streams, like those of a plan."""

    async def main() -> dict[str, Any]:
        replies = ['1. wrok("a")\n2. wrok("b")\n', '1. work("a")\n2. work("b")\n', "Finish: ok"]
        model = ScriptedModel(replies, chunk_size=0, seconds_per_reply=4)
        return await create_llm_compiler(model, [sleeper("work", 1)]).ainvoke(QUESTION)

    assert timeline(run_virtual(main)) == {1: (6, 6, 7), 2: (8, 8, 9)}


async def test_the_request() -> None:
    """The planner is told each broken line and what is wrong with it, in the same conversation, and keeps its plan."""
    plan = '1. look("K2")\n2. loook(name="Everest")\n3. add($1.height_m, $2.height_m)\n4. add($1, 2)\n5. join()'
    repair = "2. look('Everest')\n4. add(a=${1.height_m}, b=2)"
    final, model = await asked(plan, repair)
    assert outcomes(final) == [
        (1, "done", {"height_m": 2.0}),
        (2, "done", {"height_m": 7.0}),
        (3, "done", 9),
        (4, "done", 4),
    ]
    asking, again, joining = model.calls
    assert again[: len(asking)] == asking
    assert again[len(asking)].text == plan
    assert again[-1].text == (
        "Part of the plan cannot be used:\n"
        'task 2, written as `2. loook(name="Everest")`:\n'
        "- no tool is named 'loook' (did you mean 'look'?)\n"
        "task 4, written as `4. add($1, 2)`:\n"
        "- `a` of 'add' takes float, but $1 is dict (the observation of 'look')\n"
        "\nThe question again: ?\n"
        "Write only tasks 2 and 4 again, corrected, with the same numbers. The other tasks are running."
    )
    assert joining[: len(again)] == again
    assert joining[len(again)].text == repair
    assert len(joining) == len(again) + 2
    one = final["rounds"][0]
    assert (one["plan"], one["diagnostics"]) == (plan, [])
    assert [each["code"] for each in one["repairs"][0]["diagnostics"]] == ["unknown-tool", "reference-type"]
    assert one["repairs"][0]["plan"] == repair
    assert conversation(joining[0], final, brief=True)[: len(joining)] == joining  # type: ignore[arg-type]
    plan_message = final["messages"][1]
    assert [call["name"] for call in plan_message.tool_calls] == ["look", "look", "add", "add"]
    assert plan_message.tool_calls[1]["args"] == {"name": "Everest"}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("1. join()", [(1, "failed"), (2, "skipped"), (3, "done")]),
        ("", [(1, "failed"), (2, "skipped"), (3, "done")]),
        ("Sorry, I cannot.", [(1, "failed"), (2, "skipped"), (3, "done")]),
        ('1. loook("K2")', [(1, "failed"), (2, "skipped"), (3, "done")]),
        ('Here you are:\n\n```\n1. look("K2")\n```', [(1, "done"), (2, "done"), (3, "done")]),
        ('1. I corrected it.\n1. look("K2")', [(1, "done"), (2, "done"), (3, "done")]),
        ('1. look("K2")\n2. add($1.height_m, 5)\n3. look("x")\n4. look("y")', [(1, "done"), (2, "done"), (3, "done")]),
        ("1. look($2)", [(1, "failed"), (2, "skipped"), (3, "done")]),
        ("1. look($1)", [(1, "failed"), (2, "skipped"), (3, "done")]),
        ('1. look("K2', [(1, "failed"), (2, "skipped"), (3, "done")]),
    ],
)
async def test_replies(reply: str, expected: list[tuple[int, str]]) -> None:
    """Only what was asked for is taken; what is still broken fails, and what needs it is skipped."""
    plan = '1. loook("K2")\n2. add($1.height_m, 1)\n3. look("Everest")\n4. join()'
    final, _ = await asked(plan, reply)
    assert [(task["index"], task["status"]) for task in final["tasks"]] == expected
    diagnostics = [each["index"] for each in final["rounds"][0]["diagnostics"]]
    assert diagnostics == [n for n, status in expected if status == "failed"]


async def test_what_still_fails_reaches_the_joiner() -> None:
    """The joiner sees the last complaint about a task, as its error."""
    final, model = await asked('1. loook("K2")\n2. look("a")', "1. look()")
    assert final["tasks"][0]["error"] == "'look' needs `name` (str)"
    assert "1. look(): failed: \"'look' needs `name` (str)\"" in model.calls[-1][-1].text


async def test_no_repairs() -> None:
    """With `max_repairs=0` nothing is asked again."""
    final, model = await asked('1. loook("K2")', max_repairs=0)
    assert len(model.calls) == 2
    assert "repairs" not in final["rounds"][0]


async def test_two_repairs() -> None:
    """With `max_repairs=2` what is still broken is asked for once more, and nothing else."""
    final, model = await asked(
        '1. loook("K2")\n2. loook("a")', '1. loook("K2")', '1. look("K2")\n2. look("a")', max_repairs=2
    )
    assert [task["status"] for task in final["tasks"]] == ["done", "done"]
    assert len(final["rounds"][0]["repairs"]) == 2
    assert "Write only tasks 1 and 2 again" in model.calls[2][-1].text
    assert model.calls[2][: len(model.calls[1])] == model.calls[1]


async def test_a_task_may_read_what_was_written_after_it() -> None:
    """A task that came too early may refer to later ones when it is written again, if they do not wait for it."""
    plan = '1. add($2.height_m, $3.height_m)\n2. look("K2")\n3. look("Everest")\n4. add($1, 1)'
    final, model = await asked(plan, "1. add(${2.height_m}, ${3.height_m})")
    assert outcomes(final)[-1] == (4, "done", 10)
    assert [task["index"] for task in final["tasks"]] == [2, 3, 1, 4]
    assert "refers to task 2, but no earlier task has that number" in model.calls[1][-1].text


async def test_only_a_newline_ends_a_line() -> None:
    """The line that is to be written again is the one that is broken, whatever characters stand in the text before."""
    _, model = await asked('Thought: a\u2028b\n1. look("K2\n2. join()', '1. look("K2")')
    assert 'written as `1. look("K2`' in model.calls[1][-1].text


async def test_no_circle_can_be_mended_into_a_plan() -> None:
    """A task written again cannot refer to one that waits for it, directly or not."""
    plan = '1. loook("K2")\n2. add($1.height_m, 1)\n3. add($2, 1)'
    final, _ = await asked(plan, "1. look(name=$3)")
    assert [task["status"] for task in final["tasks"]] == ["failed", "skipped", "skipped"]
    assert final["tasks"][0]["error"].startswith("task 1 refers to task 3, which waits for it")


async def test_what_waited_is_checked_again() -> None:
    """A task that needs a mended one is checked against what that returns."""
    final, _ = await asked('1. loook("K2")\n2. add($1, 1)', '1. look("K2")')
    assert [task["status"] for task in final["tasks"]] == ["done", "failed"]
    assert [each["code"] for each in final["rounds"][0]["diagnostics"]] == ["reference-type"]


async def test_calls_without_a_number() -> None:
    """They get the next ones; calls that no task came of are asked for under new numbers."""
    final, model = await asked('look("K2")\nlook("Everest")\nNote(s): done')
    assert [(task["index"], task["status"]) for task in final["tasks"]] == [(1, "done"), (2, "done")]
    assert len(model.calls) == 2
    final, model = await asked('(1) look("K2")\n(2) look("Everest")', '1. look("K2")\n2. look("Everest")')
    assert "Write only tasks 1 and 2 again" in model.calls[1][-1].text
    assert [task["status"] for task in final["tasks"]] == ["done", "done"]


async def test_a_plan_written_twice() -> None:
    """A plan that the model repeats word for word is no reason to ask again."""
    plan = '1. look("K2")\n2. add($1.height_m, 1)\n'
    final, model = await asked(plan + plan)
    assert len(model.calls) == 2
    assert [task["status"] for task in final["tasks"]] == ["done", "done"]


async def test_too_many_tasks_are_not_asked_for_again() -> None:
    """A plan that is too long cannot be mended."""
    final, model = await asked('1. look("a")\n2. look("b")', max_tasks=1)
    assert len(model.calls) == 2
    assert [task["status"] for task in final["tasks"]] == ["done", "failed"]


def test_effects_keep_plan_order_through_a_repair() -> None:
    """A mended task with effects runs at its place in the plan, before those behind it."""
    log: list[tuple[str, float]] = []

    async def main() -> dict[str, Any]:
        plan = '1. send("a")\n2. sned("b")\n3. send("c")\n4. look("d")\n5. join()'
        model = ScriptedModel([plan, '2. send("b")', "Finish: ok"], chunk_size=0, seconds_per_reply=5)
        tools = [sleeper("send", 1, log, destructiveHint=True), sleeper("look", 1, log)]
        return await create_llm_compiler(model, tools).ainvoke(QUESTION)

    assert timeline(run_virtual(main)) == {1: (1, 10, 11), 2: (11, 11, 12), 3: (12, 12, 13), 4: (4, 4, 5)}


async def test_in_a_replan() -> None:
    """A later plan is mended like the first, and equal calls are still made once."""
    replies = ['1. look("K2")', "Replan: more", '2. loook("K2")\n3. add($1.height_m, $2.height_m)', '2. look("K2")']
    final, model = await asked(*replies)
    assert outcomes(final)[1:] == [(2, "done", {"height_m": 2.0}), (3, "done", 4)]
    assert final["timeline"][1]["started"] is None  # its call had been made
    assert [len(call) for call in model.calls] == [2, 4, 6, 8, 10]
    for one, following in zip(model.calls, model.calls[1:], strict=False):
        assert following[: len(one)] == one


def test_synchronous_and_persisted() -> None:
    """A synchronous run with a checkpointer mends too."""
    model = ScriptedModel(['1. loook("K2")\n2. add($1.height_m, 1)', '1. look("K2")', "Finish: ok"])
    graph = create_llm_compiler(model, [look, add], checkpointer=InMemorySaver())
    final = graph.invoke(QUESTION, {"configurable": {"thread_id": "1"}})
    assert outcomes(final)[1] == (2, "done", 3)


async def test_usage_counts_the_repair() -> None:
    """Tokens of all calls that made a plan are counted together."""
    model = Counting(replies=['1. wrok("a")', '1. work("a")', "Finish: ok"])
    final = await create_llm_compiler(model, [sleeper("work", 0)]).ainvoke(QUESTION)
    assert final["rounds"][0]["usage"]["planner"]["total_tokens"] == 30


async def test_the_event() -> None:
    """`stream_mode="custom"` says that a plan is being mended, and shows the task anew."""
    model = ScriptedModel(['1. wrok("a")', '1. work("a")', "Finish: ok"])
    graph = create_llm_compiler(model, [sleeper("work", 0)])
    events = [event async for event in graph.astream(QUESTION, stream_mode="custom")]
    assert [each["event"] for each in events] == ["planned", "repairing", "planned", "released", "started", "done"]
    assert "no tool is named 'wrok'" in events[1]["error"]


# -- what tools are shown --------------------------------------------------------------------------------------------


@tool
async def state_seer(name: str, state: Annotated[dict[str, Any], InjectedState]) -> list[Any]:
    """See the calls that the plan has so far."""
    return [[call["name"], call["args"].get("name")] for call in state["messages"][-1].tool_calls]


@tool
async def runtime_seer(name: str, runtime: ToolRuntime[Any, Any]) -> list[Any]:
    """See the same."""
    return [[call["name"], call["args"].get("name")] for call in runtime.state["messages"][-1].tool_calls]


async def _intercepted(name: str, runtime: object = None) -> list[Any]:
    state = cast("ToolRuntime[Any, Any]", runtime).state
    return [[call["name"], call["args"].get("name")] for call in state["messages"][-1].tool_calls]


interceptor_seer = StructuredTool(
    name="interceptor_seer",
    description="See the same, as the interceptors of MCP tools do.",
    coroutine=_intercepted,
    args_schema={"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
)


@pytest.mark.parametrize("seer", [state_seer, runtime_seer, interceptor_seer], ids=lambda each: str(each.name))
def test_an_early_call_sees_the_plan_so_far(seer: BaseTool) -> None:
    """A tool that looks at the state finds the plan's message with the tasks written so far, repaired ones included."""

    async def main() -> tuple[Any, Any]:
        plan, repair = f'1. {seer.name}("a")\n2. wrok("b")\n3. {seer.name}("c")', f'2. {seer.name}("d")'
        model = ScriptedModel([plan, repair, "Finish: ok"], chunk_size=0, seconds_per_reply=3)
        final = await create_llm_compiler(model, [seer]).ainvoke(QUESTION)
        return final["timeline"], {task["index"]: task["value"] for task in final["tasks"]}

    runs, seen = run_virtual(main)
    assert [each["early"] for each in runs] == [True] * 3
    assert seen[1] == [[seer.name, "a"]]
    assert seen[3] == [[seer.name, "a"], ["wrok", None], [seer.name, "c"]]
    assert seen[2] == [[seer.name, "a"], [seer.name, "d"], [seer.name, "c"]]


async def test_a_wrapper_sees_the_plan_so_far() -> None:
    """What is wrapped around a call is shown the state, whatever the tool itself looks at."""
    seen: list[int] = []

    async def wrap(request: Any, execute: Any) -> Any:
        seen.append(len(request.state["messages"][-1].tool_calls))
        return await execute(request)

    await asked('1. look("a")\n2. add(1, 2)', awrap_tool_call=wrap)
    assert seen == [1, 2]


# -- doubts ------------------------------------------------------------------------------------------------------------

SLID = '1. look("K2")\n2. look("Makalu")\n3. look("Lhotse")\n4. add(${2.height_m}, ${3.height_m}, "K2 and Makalu")'


async def test_a_slid_reference_is_mended() -> None:
    """A task that names what it does not read is asked for again before it runs."""
    final, model = await asked(SLID, '4. add(${1.height_m}, ${2.height_m}, "K2 and Makalu")')
    assert outcomes(final)[-1] == (4, "done", 8)
    assert "task 4 names 'K2' but reads task 3 ('Lhotse') (refer to $1 for 'K2')" in model.calls[1][-1].text
    assert final["rounds"][0]["diagnostics"] == []


@pytest.mark.parametrize("reply", ["1. join()", SLID.splitlines()[-1], "4. add(1)", "4. ad(1, 2)"])
async def test_a_doubt_breaks_nothing(reply: str) -> None:
    """If the model stands by the task, or writes it worse, it runs as it stood."""
    final, model = await asked(SLID + "\n5. add($4, 1)", reply)
    assert len(model.calls) == 3
    assert outcomes(final)[-2:] == [(4, "done", 12), (5, "done", 13)]
    assert final["rounds"][0]["diagnostics"] == []


async def test_no_doubts_without_repairs() -> None:
    """With `max_repairs=0` such a task runs at once."""
    final, model = await asked(SLID, max_repairs=0)
    assert len(model.calls) == 2
    assert outcomes(final)[-1] == (4, "done", 12)


# -- whatever is written -----------------------------------------------------------------------------------------------

NAMES = ["Alpha", "Beta", "Alpha and Beta"]
calls = st.one_of(
    st.sampled_from(['work("a")', 'wrok("a")', "work(3, 4)", "is no call", 'work("a', "send()", 'send("x")', "join()"]),
    st.builds('{}("{}")'.format, st.sampled_from(["work", "wrok"]), st.sampled_from(NAMES)),
    st.builds('{}("{} of ${}")'.format, st.sampled_from(["work", "send"]), st.sampled_from(NAMES), st.integers(1, 6)),
    st.builds("{}(${})".format, st.sampled_from(["work", "send", "wrok"]), st.integers(1, 6)),
    st.builds('{}("${} and ${}")'.format, st.sampled_from(["work", "send"]), st.integers(1, 6), st.integers(1, 6)),
    st.builds('work("c") after ${}'.format, st.integers(1, 6)),
)
texts = st.lists(st.tuples(st.integers(1, 6), calls), max_size=6).map(
    lambda lines: "\n".join(f"{index}. {call}" for index, call in lines)
)


DOUBTED = '1. work("Alpha")\n2. work("Beta")\n3. wrok("Gamma")\n4. work("Alpha of $2 and $3")'  # 4 should read 1


@settings(max_examples=60, deadline=None)
@given(texts, st.lists(texts, min_size=2, max_size=2), st.integers(0, 2))
@example('2. work("$1 and $1")\n3. work($2)\n1. work("a")', ["", ""], 0)
@example(DOUBTED, ["3. work($4)", ""], 1)
@example(DOUBTED, ["3. work($4)", ""], 2)
def test_nothing_hangs(plan: str, repairs: list[str], max_repairs: int) -> None:
    """However a plan is broken and mended, every task ends, each after what it needs, and is listed behind that."""

    async def main() -> dict[str, Any]:
        planner = ScriptedModel([plan, *repairs], chunk_size=0, seconds_per_reply=3)
        tools = [sleeper("work", 2), sleeper("send", 1, destructiveHint=True)]
        joiner = ScriptedModel(["Finish: ok"])
        graph = create_llm_compiler(planner, tools, joiner_model=joiner, max_repairs=max_repairs)
        return await asyncio.wait_for(graph.ainvoke(QUESTION), 1000)

    final = run_virtual(main)
    tasks = final["tasks"]
    assert {task["status"] for task in tasks} <= {"done", "failed", "skipped"}
    indices = [task["index"] for task in tasks]
    assert len(set(indices)) == len(indices)
    ended = {each["index"]: each["finished"] for each in final["timeline"]}
    started = {each["index"]: each["started"] for each in final["timeline"]}
    for position, task in enumerate(tasks):
        if task["status"] == "done":
            for n in task_from_record(task).dependencies:
                assert n in indices[:position]
                assert ended[n] <= started[task["index"]]
    sent = [started[task["index"]] for task in tasks if task["tool"] == "send" and task["status"] == "done"]
    assert sent == sorted(sent)


def test_prose_in_a_replan_leaves_earlier_observations_alone() -> None:
    """A numbered line of prose, before or behind the tasks of a replan, costs no task of an earlier plan its value."""

    async def main(replan: str) -> Any:
        add_up = "3. add(${1.height_m}, ${2.height_m})"
        plans = ['1. look("aaa")', "Replan: more", replan, "Replan: add them", add_up]
        final, _ = await asked(*plans, max_repairs=0)
        return outcomes(final)

    tasks = [(1, "done", {"height_m": 3.0}), (2, "done", {"height_m": 2.0}), (3, "done", 5.0)]
    for replan in ('2. look("bb")\nNotes:\n1. The first is known.', '1. The first is known\n2. look("bb")'):
        assert asyncio.run(main(replan)) == tasks


@pytest.mark.parametrize("seconds", [0, 4])
def test_what_becomes_unusable_serves_nobody_whenever_it_ended(seconds: float) -> None:
    """What needs a task that turns out to refer forward is skipped, also if it is written only when that is done."""
    plan = '1. work("costs $2")\n2. work("b")\n3. work("$1")'

    async def main() -> list[str]:
        model = ScriptedModel([plan, "Finish: ok"], chunk_size=0, seconds_per_reply=seconds)
        final = await create_llm_compiler(model, [sleeper("work", 0.1)], max_repairs=0).ainvoke(QUESTION)
        return [task["status"] for task in final["tasks"]]

    assert run_virtual(main) == ["failed", "done", "skipped"]


async def test_a_reply_in_which_nothing_can_be_read_is_asked_for_again() -> None:
    """A reply that calls tools in no readable way is asked for again as a whole, and may have any tasks then."""
    lost = 'Vaihe 1: look("K2")\nVaihe 2: look("Everest")'
    final, model = await asked(lost, '1. look("K2")\n2. look("Everest")\n3. join()')
    assert [task["index"] for task in final["tasks"]] == [1, 2]
    (repair,) = final["rounds"][0]["repairs"]
    assert "- line 2: the call of 'look' is not written as a task" in repair["request"]
    assert repair["request"].endswith("and `join()` stands on the last line.")
    assert model.calls[1][-2].text == lost
    assert final["rounds"][0]["diagnostics"] == []


async def test_a_reply_that_stays_unreadable_is_told_to_the_joiner() -> None:
    """If the second reply cannot be read either, or none may be asked for, the joiner is told what is wrong."""
    for repairs in (0, 1):
        final, model = await asked(*["Vaihe 1: look('K2')"] * (repairs + 1), max_repairs=repairs)
        assert [each["code"] for each in final["rounds"][0]["diagnostics"]] == ["not-a-task"]
        assert "line 1 of the plan: the call of 'look' is not written as a task" in model.calls[-1][-1].text


async def test_a_lost_call_beside_tasks_is_asked_for_with_a_number() -> None:
    """Beside tasks that run, a call that is not written as one is asked for under the next number."""
    final, _ = await asked('1. look("K2")\nVaihe 2: look("Everest")\n3. join()', '2. look("Everest")')
    assert outcomes(final) == [(1, "done", {"height_m": 2.0}), (2, "done", {"height_m": 7.0})]


@pytest.mark.parametrize("written", ["{1}", "#E1", "$task1", "<result of 1>", "it is {{1}} m"])
async def test_placeholders_are_asked_about(written: str) -> None:
    """A task whose argument has what other agents write for a reference is asked for again before it runs."""

    @tool
    def say(text: str) -> str:
        """Say something."""
        return text

    plan = f'1. look("K2")\n2. say("{written}")\n3. join()'
    final, model = await asked(plan, '2. say("$1")', tools=[look, say])
    assert [task["status"] for task in final["tasks"]] == ["done", "done"]
    assert final["tasks"][1]["value"] == '{"height_m": 2.0}'
    assert "write `$1` for what task 1 returned" in model.calls[1][-1].text
    for replies, repairs in (([plan], 0), ([plan, f'2. say("{written}")'], 1)):
        final, model = await asked(*replies, tools=[look, say], max_repairs=repairs)
        assert final["tasks"][1]["value"] == written
        assert [each["code"] for each in final["rounds"][0]["diagnostics"]] == ["placeholder"]
        assert "line " in model.calls[-1][-1].text
        assert "which is text" in model.calls[-1][-1].text
