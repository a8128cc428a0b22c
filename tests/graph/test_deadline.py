import asyncio
import re
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from llmcompiler_graph import ConfigurationError, DeadlineError, create_llm_compiler
from llmcompiler_graph.concurrency.giving_up import GRACE
from llmcompiler_graph.testing import ScriptedModel, run_virtual

QUESTION: Any = {"messages": [("user", "?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
RAN = "the turn's deadline of 5 s passed while it ran"
WAITED = "the turn's deadline of 5 s passed before it could start"


@tool
async def wait(seconds: float, what: str = "") -> str:
    """Take some seconds."""
    await asyncio.sleep(seconds)
    return f"waited {seconds:g}"


def timed(run: Callable[[], Awaitable[Any]]) -> tuple[Any, float]:
    """Run on a virtual clock; return what it gave and when it ended."""

    async def main() -> tuple[Any, float]:
        return await run(), asyncio.get_running_loop().time()

    return run_virtual(main)


def ends(final: Any) -> list[tuple[Any, ...]]:
    """What became of each task, and when."""
    return [
        (task["status"], task["value"], task["error"], entry["started"], entry["finished"])
        for task, entry in zip(final["tasks"], final["timeline"], strict=True)
    ]


def test_tasks_end_at_the_deadline() -> None:
    """Tasks that run fail, tasks that wait do not start, what is done counts; the joiner is told to answer."""
    model = ScriptedModel(["1. wait(2)\n2. wait(9)\n3. wait(1) after $1\n4. wait(1) after $2", "Finish: ok"])

    async def run() -> Any:
        return await create_llm_compiler(model, [wait], deadline=5).ainvoke(QUESTION)

    final, end = timed(run)
    assert ends(final) == [
        ("done", "waited 2", "", 0, 2),
        ("failed", None, RAN, 0, 5),
        ("done", "waited 1", "", 2, 3),
        ("failed", None, WAITED, None, 5),
    ]
    assert end == 5
    assert "No other plan is possible" in str(model.calls[-1][-1].content)
    assert [m.status for m in final["messages"][2:-1]] == ["success", "error", "success", "error"]


def test_calls_that_wait_for_room_end_too() -> None:
    """A limit, an effect or a fan-out keeps no task beyond the deadline."""

    @tool
    async def numbers() -> list[int]:
        """Count."""
        return [1, 9, 1]

    send = wait.model_copy(update={"name": "send", "metadata": {"destructiveHint": True}})
    plan = "1. numbers()\n2. wait(${1[*]})\n3. send(3)\n4. send(3)\n5. send(3)"

    async def run() -> Any:
        graph = create_llm_compiler(
            ScriptedModel([plan, "Finish: ok"]), [wait, send, numbers], deadline=timedelta(seconds=5), max_concurrency=2
        )
        return await graph.ainvoke(QUESTION)

    final, end = timed(run)
    assert [task["error"] for task in final["tasks"]] == ["", RAN, "", RAN, WAITED]
    assert end == 5


def test_planning_is_cut_short() -> None:
    """What the model has written by the deadline is the plan; its tasks count as far as they are done."""
    model = ScriptedModel(["1. wait(1)\n2. wait(3)\n3. wait(1)\n4. wait(1)", "Finish: ok"], chunk_size=0)
    model.seconds_per_reply = 8  # a line every two seconds

    async def run() -> Any:
        graph = create_llm_compiler(model, [wait], deadline=5)
        return await graph.ainvoke(QUESTION)

    final, end = timed(run)
    assert ends(final) == [("done", "waited 1", "", 2, 3), ("failed", None, RAN, 4, 5)]
    assert final["rounds"][0]["plan"] == "1. wait(1)\n2. wait(3)\n"
    assert end == 5 + 8


def test_a_plan_that_never_comes() -> None:
    """A model that has written nothing by the deadline has planned nothing; the joiner answers all the same."""
    model = ScriptedModel(["1. wait(1)", "Finish: I do not know"], chunk_size=0, seconds_per_reply=9)

    async def run() -> Any:
        return await create_llm_compiler(model, [wait], deadline=5).ainvoke(QUESTION)

    final, end = timed(run)
    assert final["tasks"] == []
    assert final["messages"][-1].content == "I do not know"
    assert end == 5 + 9


def test_mending_is_cut_short() -> None:
    """Tasks that are being written again at the deadline fail as they stood."""
    replies = ["1. wait(1)\n2. wat(1)", "2. wait(1)", "Finish: ok"]
    model = ScriptedModel(replies, chunk_size=0, seconds_per_reply=3)

    async def run() -> Any:
        return await create_llm_compiler(model, [wait], deadline=5).ainvoke(QUESTION)

    final, end = timed(run)
    assert [task["status"] for task in final["tasks"]] == ["done", "failed"]
    assert final["tasks"][1]["error"].startswith("no tool is named 'wat'")
    assert end == 5 + 3


def joined(replies: list[Any], **settings: Any) -> tuple[Any, float]:
    """Run a turn of which only the joiner takes time, a deadline of 5 s and a grace of 10 s."""
    model, joiner = ScriptedModel(["1. wait(4)"]), ScriptedModel(replies, chunk_size=0, **settings.pop("model", {}))

    async def run() -> Any:
        graph: Any = create_llm_compiler(
            model, [wait], joiner_model=joiner, deadline=5, deadline_grace=10, checkpointer=InMemorySaver(), **settings
        )
        try:
            return await graph.ainvoke(QUESTION, THREAD)
        except DeadlineError as error:
            return error, graph.get_state(THREAD)

    return timed(run)


LONG = "Finish: one\ntwo\nthree\nfour"


@pytest.mark.parametrize(("seconds", "answer"), [(40, "one"), (20, "one\ntwo"), (12, "one\ntwo\nthree"), (4, None)])
def test_an_answer_is_cut_short(seconds: float, answer: str | None) -> None:
    """What the joiner has written of its answer when the grace is over is the answer, and its message says so."""
    final, end = joined([LONG], model={"seconds_per_reply": seconds})
    message = final["messages"][-1]
    assert message.text.strip() == (answer or LONG.removeprefix("Finish: "))
    assert message.response_metadata.get("finish_reason") == ("deadline" if answer else None)
    assert end == min(4 + seconds, 4 + 1 + 10)


@pytest.mark.parametrize(
    ("replies", "seconds"),
    [
        (["Finish: late"], 1000),
        (["Thought: both are known\nwell known\nFinish: late"], 20),
        (["Replan: more\nmuch more"], 20),
        (["", "Finish: late"], 8),
    ],
)
def test_an_answer_that_does_not_come(replies: list[str], seconds: float) -> None:
    """A joiner that has written nothing of an answer when the grace is over is an error; what was done is kept."""
    (error, state), end = joined(replies, model={"seconds_per_reply": seconds})
    assert str(error).startswith("the joiner's model gave no answer within deadline_grace (10 s) after the turn's dead")
    assert end == 15
    assert state.next == ("joiner",)
    assert [task["status"] for task in state.values["tasks"]] == ["done"]


def test_what_the_joiner_said_before_it_was_asked_again() -> None:
    """If the time is over before the second answer, the first counts, as far as it says anything."""
    final, end = joined(
        ["Thought: none of it fits\nReplan: look it up elsewhere", "Finish: late"],
        max_replans=0,
        model={"seconds_per_reply": 8},
    )
    assert final["messages"][-1].text == "none of it fits\nlook it up elsewhere"
    assert end == 15


class Stubborn(ScriptedModel):
    """A model whose requests survive their cancellation."""

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        for chunk in self._stream(*args, **kwargs):
            yield chunk
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(10)
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)


@pytest.mark.filterwarnings("ignore:the model 'Stubborn' goes on although it was cancelled:RuntimeWarning")
def test_models_that_go_on_when_they_are_cancelled() -> None:
    """Planner and joiner are left alone in time, whatever their models do; their turn ends by what there is."""
    planner = Stubborn(replies=["1. wait(1)\n2. wait(2)\n3. wait(9)"], chunk_size=0)
    joiner = Stubborn(replies=[LONG], chunk_size=0)

    async def run() -> Any:
        graph = create_llm_compiler(planner, [wait], joiner_model=joiner, deadline=15, deadline_grace=15)
        return await graph.ainvoke(QUESTION)

    final, end = timed(run)
    assert ends(final) == [("done", "waited 1", "", 0, 1)]
    assert final["messages"][-1].text.strip() == "one"
    assert end == 15 + GRACE + 15 + GRACE


def test_the_selection_of_tools_is_cut_short() -> None:
    """Tools that are not picked by the deadline are none: nothing is planned, and the joiner answers."""

    async def pick(question: str) -> list[str]:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)
        await asyncio.sleep(1000)
        return ["wait"]

    async def run() -> Any:
        graph = create_llm_compiler(ScriptedModel(["1. wait(1)", "Finish: ok"]), [wait], select_tools=pick, deadline=5)
        return await graph.ainvoke(QUESTION)

    with pytest.warns(RuntimeWarning, match="the selection of tools goes on although it was cancelled"):
        final, end = timed(run)
    assert final["tasks"] == []
    assert end == 5 + GRACE


def test_a_structured_answer_that_does_not_come() -> None:
    """The call that gives the answer its form is under the same limit; without it the answer counts."""

    class Form(BaseModel):
        """A form."""

        text: str

    with pytest.warns(UserWarning, match="no structured response: the turn's deadline and deadline_grace have passed"):
        final, end = joined(["Finish: ok", '{"text": "ok"}'], model={"seconds_per_reply": 8}, response_format=Form)
    assert final["messages"][-1].text == "ok"
    assert final["structured_response"] is None
    assert final["rounds"][-1]["structured_error"] == "the turn's deadline and deadline_grace have passed"
    assert end == 15


def test_no_replan_after_the_deadline() -> None:
    """A joiner that asks for another plan when it is too late for one is asked for the answer instead."""
    model = ScriptedModel(["1. wait(1)", "Replan: more", "Finish: that is all"], chunk_size=0, seconds_per_reply=3)

    async def run() -> Any:
        return await create_llm_compiler(model, [wait], deadline=5).ainvoke(QUESTION)

    final, end = timed(run)
    assert len(final["rounds"]) == 1
    assert final["messages"][-1].content == "that is all"
    assert end == 3 + 1 + 3 + 3


def test_the_deadline_is_that_of_the_turn() -> None:
    """A deadline goes on through replans, and begins anew with each question."""
    replies = ["1. wait(2)", "Replan: more", "2. wait(9)", "Finish: one", "1. wait(4)", "Finish: two"]

    async def run() -> Any:
        graph = create_llm_compiler(ScriptedModel(replies), [wait], deadline=5, checkpointer=InMemorySaver())
        first = await graph.ainvoke(QUESTION, THREAD)
        assert ends(first) == [("done", "waited 2", "", 0, 2), ("failed", None, RAN, 2, 5)]
        return await graph.ainvoke({"messages": [("user", "??")]}, THREAD)

    final, end = timed(run)
    assert ends(final) == [("done", "waited 4", "", 0, 4)]
    assert end == 9


@tool
async def ask(what: str) -> str:
    """Ask a human in the middle of a call."""
    return f"{what}: {interrupt(what)}"


def paused(plan: str, **settings: Any) -> Any:
    """Make a graph that pauses for humans, in several ways."""
    replies = [plan, "Finish: ok"]
    return create_llm_compiler(
        ScriptedModel(replies), [wait, ask], deadline=5, checkpointer=InMemorySaver(), **settings
    )


APPROVE: Any = Command(resume={"decisions": [{"type": "approve"}]})
ANSWER: Any = Command(resume="yes")


@pytest.mark.parametrize(
    ("settings", "plan", "go_on", "times"),
    [
        ({"interrupt_on": {"wait": True}}, "1. wait(3)", APPROVE, [(0, 3)]),
        ({"interrupt_before": ["task_fetching_unit"]}, "1. wait(3)\n2. wait(1) after $1", None, [(0, 3), (3, 4)]),
        ({"interrupt_after": ["planner"]}, "1. wait(3)", None, [(0, 3)]),
        ({}, '1. wait(3)\n2. ask("x") after $1\n3. wait(1) after $2', ANSWER, [(0, 3), (3, 3), (3, 4)]),
        ({"interrupt_before": ["joiner"]}, "1. wait(3)", None, [(0, 3)]),
    ],
)
def test_the_time_that_a_human_takes_does_not_count(settings: Any, plan: str, go_on: Any, times: Any) -> None:
    """However a turn is paused, its time stands still: it goes on as if the human had answered at once."""

    async def run() -> Any:
        graph = paused(plan, **settings)
        await graph.ainvoke(QUESTION, THREAD)
        assert graph.get_state(THREAD).next
        await asyncio.sleep(1000)
        return await graph.ainvoke(go_on, THREAD)

    final, end = timed(run)
    assert [(status, started, finished) for status, _, _, started, finished in ends(final)] == [
        ("done", *span) for span in times
    ]
    assert final["messages"][-1].text == "ok"
    assert end == 1000 + max(finished for _, finished in times)


def test_several_pauses() -> None:
    """What the turn had run before each pause counts, in all."""

    async def run() -> Any:
        graph = paused(
            '1. wait(2)\n2. ask("a") after $1\n3. wait(2) after $2\n4. ask("b") after $3\n5. wait(2) after $4'
        )
        await graph.ainvoke(QUESTION, THREAD)
        for _ in range(2):
            await asyncio.sleep(1000)
            final = await graph.ainvoke(ANSWER, THREAD)
        return final

    final, _ = timed(run)
    late = ("done", "waited 2", "", 4, 6)  # with the grace that a turn has after a pause
    assert ends(final)[-1] == late


def test_what_a_human_has_approved_is_done() -> None:
    """A call that is approved when the deadline is near, or has passed, runs: it has the grace at least."""

    async def run() -> Any:
        plan = '1. wait(4)\n2. ask("x") after $1\n3. wait(9) after $2\n4. wait(99) after $2'
        graph = paused(plan, deadline_grace=10)
        await graph.ainvoke(QUESTION, THREAD)
        await asyncio.sleep(1000)
        return await graph.ainvoke(ANSWER, THREAD)

    final, end = timed(run)
    assert [(status, finished) for status, _, _, _, finished in ends(final)] == [
        ("done", 4),
        ("done", 4),
        ("done", 13),
        ("failed", 14),
    ]
    assert end == 1014


def test_the_time_that_nobody_runs_the_turn_does_not_count() -> None:
    """A turn that goes on after a crash, on another loop, has the rest of its time; what was done counts."""
    ran: list[str] = []

    @tool
    async def note(text: str) -> str:
        """Note."""
        ran.append(text)
        await asyncio.sleep(3)
        return text

    @tool
    async def crash(text: str) -> str:
        """Fail, once."""
        if ran.count(text) < 1:
            ran.append(text)
            raise OSError(text)
        await asyncio.sleep(9)
        return text

    plan = '1. note("a")\n2. crash("$1 c")\n3. note("$2")'
    graph: Any = create_llm_compiler(
        ScriptedModel([plan, "Finish: ok"]),
        [note, crash],
        deadline=5,
        deadline_grace=1,
        handle_tool_errors=False,
        checkpointer=InMemorySaver(),
    )

    async def begin() -> None:
        with pytest.raises(OSError, match="a c"):
            await graph.ainvoke(QUESTION, THREAD)

    run_virtual(begin)
    final, end = timed(lambda: graph.ainvoke(None, THREAD))
    assert ends(final) == [
        ("done", "a", "", 0, 3),
        ("failed", None, RAN, 3, 5),
        ("failed", None, WAITED, None, 5),
    ]
    assert ran == ["a", "a c"]
    assert end == 2


def test_synchronous_runs() -> None:
    """`invoke` keeps the deadline too: neither a slow tool nor one that blocks its thread holds the answer up."""
    let_go, ended = threading.Event(), threading.Event()

    @tool
    def block() -> str:
        """Block a thread."""
        let_go.wait(60)
        ended.set()
        return "done"

    model = ScriptedModel(["1. block()\n2. wait(99)\n3. wait(0) after $2", "Finish: ok"])
    final = create_llm_compiler(model, [block, wait], deadline=1).invoke(QUESTION)
    assert not ended.is_set()
    let_go.set()
    assert [task["status"] for task in final["tasks"]] == ["failed", "failed", "failed"]
    assert final["messages"][-1].content == "ok"


@pytest.mark.parametrize("deadline", [0, float("nan"), "5", True, timedelta(0), 10**400])
def test_a_deadline_that_cannot_be(deadline: Any) -> None:
    """A deadline that leaves no time at all, or is no length of time, is refused."""
    message = re.escape(f"deadline must be more than 0 seconds, as a number or a timedelta, not {deadline!r:.80}")
    with pytest.raises(ConfigurationError, match=message):
        create_llm_compiler(ScriptedModel(), [wait], deadline=deadline)


@tool
async def lengths(times: int) -> list[float]:
    """Give some lengths of time."""
    return [1, 9] * times


FAN_OUTS = pytest.mark.parametrize("times", [1, 20], ids=["one by one", "in groups"])


@FAN_OUTS
def test_calls_of_a_fan_out_that_began_early_end_at_the_deadline(times: int) -> None:
    """Also where LangGraph persists each of them by itself, none is waited for."""
    model = ScriptedModel([f"1. lengths({times})\n2. wait(${{1[*]}})\n3. join()", "Finish: ok"], seconds_per_reply=2)

    async def run() -> Any:
        graph = create_llm_compiler(model, [wait, lengths], deadline=5, checkpointer=InMemorySaver())
        return await graph.ainvoke(QUESTION, THREAD)

    final, end = timed(run)
    assert end == 7  # the joiner's reply takes two seconds
    assert [(task["status"], task["error"]) for task in final["tasks"]] == [("done", ""), ("failed", RAN)]
    assert final["messages"][-1].text == "ok"


@FAN_OUTS
def test_calls_of_a_fan_out_end_at_the_deadline_of_a_synchronous_run(times: int) -> None:
    """Those that LangGraph runs in threads, where nobody can cancel them, are not waited for either."""
    ended: list[str] = []

    @tool
    async def send(what: str) -> str:
        """Send something, for ever."""
        try:
            await asyncio.sleep(10_000)
        finally:
            ended.append(what)
        return what

    send.metadata = {"destructiveHint": True}
    whats = ["a", "b"] * times
    model = ScriptedModel([f"1. send({whats}[*])", "Finish: ok"])
    final = create_llm_compiler(model, [send], deadline=0.5).invoke(QUESTION)
    assert "deadline" in final["tasks"][0]["error"]
    assert sorted(ended) == sorted(whats)
