"""Timelines of turns on the virtual clock: exact times, the bound, what is drawn."""

import asyncio
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import RetryPolicy

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from llmcompiler_graph.timeline import Timeline, timeline_of, timeline_of_events, timeline_report

PLAN = '1. wait(2)\n2. wait(1)\n3. wait("$1")\n4. wait(1) after $2\n5. join()'
QUESTION: Any = {"messages": [("user", "How long is <b>this</b>?")]}


@tool
async def wait(seconds: float) -> float:
    """Wait."""
    await asyncio.sleep(seconds)
    return seconds


@tool
async def fail(what: Any) -> float:
    """Fail."""
    raise ValueError(f"no {what}")


def ran(plan: str = PLAN, *, replies: tuple[str, ...] = ("Finish: done",), **kwargs: Any) -> Timeline:
    """The timeline of a turn whose model takes a second per reply."""

    async def main() -> Any:
        model = ScriptedModel([plan, *replies], seconds_per_reply=1, chunk_size=0)
        return await create_llm_compiler(model, [wait, fail], **kwargs).ainvoke(QUESTION)

    return timeline_of(run_virtual(main))


def test_times_and_bound() -> None:
    """Model calls and tasks have their times; the bound is what the critical path takes, with the joiner."""
    timeline = ran()
    assert [(phase.kind, round(phase.started, 2), round(phase.finished or 0, 2)) for phase in timeline.phases] == [
        ("planner", 0.0, 1.0),
        ("joiner", 4.2, 5.2),
    ]
    assert [round(task.planned or 0, 2) for task in timeline.tasks] == [0.2, 0.4, 0.6, 0.8]
    assert [round(task.finished or 0, 2) for task in timeline.tasks] == [2.2, 1.4, 4.2, 2.4]
    assert [task.index for task in timeline.tasks if task.critical] == [1, 3]
    assert [task.unlocks for task in timeline.tasks] == [(3,), (4,), (), ()]
    assert timeline.tasks[3].after == (2,)
    assert timeline.bound == pytest.approx(5.2)
    assert timeline.ratio == pytest.approx(1.0)
    assert str(timeline) == "4 tasks, 4 done, 5.20 s, 1.00 times the critical-path bound of 5.20 s"


def test_a_slot_that_was_missing_shows_in_the_ratio() -> None:
    """Where a limit held calls back, the turn took longer than the bound."""
    timeline = ran(max_concurrency=1)
    assert timeline.bound == pytest.approx(5.2)
    assert timeline.ratio is not None
    assert timeline.ratio > 1.3


def test_plans_after_the_first() -> None:
    """A replan's planner begins where the joiner before it ended, also in the bound."""
    timeline = ran("1. wait(1)", replies=("Replan: more", "1. wait(1)", "Finish: done"))
    assert [phase.round for phase in timeline.phases] == [0, 0, 1, 1]
    assert timeline.ratio == pytest.approx(1.0, abs=0.01)


def test_concurrency() -> None:
    """How many tasks ran is known at every moment."""
    steps = ran("1. wait(3)\n2. wait(1)\n3. join()").concurrency()
    assert [count for _, count in steps] == [1, 2, 1, 0]


def test_failed_and_skipped_tasks() -> None:
    """What went wrong is said in the row and in its details, and nothing of a tool becomes markup."""
    page = ran('1. fail("<script>")\n2. wait("$1")\n3. join()').to_html()
    assert "failed" in page
    assert "skipped" in page
    assert "no &lt;script&gt;" in page
    assert "How long is &lt;b&gt;this&lt;/b&gt;?" in page


class _Checked(HTMLParser):
    """Complains about elements that are not closed, doubled ids and anything loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        assert "src" not in given
        assert (given.get("href") or "#").startswith("#")
        if tag not in {"meta", "path"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Note its end."""
        if tag != "path":
            assert self.open.pop() == tag


@pytest.mark.parametrize("tasks", [8, 500])
def test_the_page_is_sound(tasks: int) -> None:
    """One page, well formed, with nothing from elsewhere, of a size in proportion to the tasks."""
    lines = [f'{n}. wait("{"$" + str(n - 3) if n > 3 else 1}")' for n in range(1, tasks + 1)]
    page = ran("\n".join([*lines, f"{tasks + 1}. join()"]), max_tasks=tasks).to_html()
    checked = _Checked()
    checked.feed(page)
    assert checked.open == []
    assert len(set(checked.ids)) == len(checked.ids) == tasks + 1  # and that of the turn
    assert re.findall(r"\w+://[^\"]+", page) == ["http://www.w3.org/2000/svg"]  # a name; nothing is fetched from it
    assert len(page) < 20_000 + 1_500 * tasks


def test_a_paused_run() -> None:
    """A thread's state is enough for a picture: what is planned, what is done, and that it has not ended."""

    async def main() -> Any:
        model = ScriptedModel([PLAN], seconds_per_reply=1, chunk_size=0)
        saver = InMemorySaver()
        graph = create_llm_compiler(model, [wait], checkpointer=saver, interrupt_before=["joiner"])
        config: Any = {"configurable": {"thread_id": "1"}}
        await graph.ainvoke(QUESTION, config)
        return (await graph.aget_state(config)).values

    timeline = timeline_of(run_virtual(main))
    assert (timeline.finished, timeline.bound) == (False, None)
    assert "not finished" in timeline.to_html()


@pytest.mark.parametrize("plan", ['1. wait(1)\n2. wait("$1")', '1. items()\n2. wait("${1[*]}")'])
def test_a_run_that_waits_for_a_human(plan: str) -> None:
    """Which tasks wait for a human is known, of a fan-out too, and the page says it."""

    @tool
    def items() -> list[float]:
        """Items."""
        return [1.0, 2.0]

    async def main() -> Any:
        model = ScriptedModel([plan], seconds_per_reply=1, chunk_size=0)
        when: Any = {"allowed_decisions": ["approve"], "when": lambda request: True}
        graph = create_llm_compiler(model, [wait, items], checkpointer=InMemorySaver(), interrupt_on={"wait": when})
        config: Any = {"configurable": {"thread_id": "1"}}
        await graph.ainvoke(QUESTION, config)
        return (await graph.aget_state(config)).values

    timeline = timeline_of(run_virtual(main))
    waiting = [task.index for task in timeline.tasks if task.status == "approval"]
    assert waiting == ([1] if plan.startswith("1. wait") else [2])
    assert timeline.note == "Paused: 1 task waits for a human's approval."
    assert 'class="approval"' in timeline.to_html()


def test_a_plan_that_waits_for_a_human() -> None:
    """A plan that is to be approved is shown as waiting, with all its tasks."""

    async def main() -> Any:
        model = ScriptedModel([PLAN], seconds_per_reply=1, chunk_size=0)
        graph = create_llm_compiler(model, [wait], checkpointer=InMemorySaver(), approve_plans=True)
        config: Any = {"configurable": {"thread_id": "1"}}
        await graph.ainvoke(QUESTION, config)
        return (await graph.aget_state(config)).values

    timeline = timeline_of(run_virtual(main))
    assert {task.status for task in timeline.tasks} == {"approval"}
    assert timeline.note == "Paused: the plan waits for a human's approval."


def test_an_answer_without_tools() -> None:
    """A turn that the planner answers itself has ended, without a joiner."""

    async def main() -> Any:
        model = ScriptedModel(["1. join()\nFinish: Hello!"], seconds_per_reply=1)
        return await create_llm_compiler(model, [wait]).ainvoke(QUESTION)

    timeline = timeline_of(run_virtual(main))
    assert (timeline.finished, timeline.answer, len(timeline.tasks)) == (True, "Hello!", 0)
    assert "not finished" not in timeline.to_html()


def test_text_that_cannot_be_encoded() -> None:
    """Halves of surrogate pairs, in whatever is shown, do not keep the page from being written."""
    timeline = timeline_of(run_virtual(_state), redact=lambda kind, value: "\ud800" if kind == "question" else value)
    assert "<h1>?</h1>" in timeline.to_html().encode().decode()


def test_costs() -> None:
    """With prices each model call has its cost, and the page their sum."""
    usage = {"input_tokens": 1_000_000, "output_tokens": 500_000, "total_tokens": 1_500_000}
    replies: Any = [AIMessage(PLAN, usage_metadata=usage), AIMessage("Finish: done", usage_metadata=usage)]

    async def main() -> Any:
        return await create_llm_compiler(ScriptedModel(replies), [wait]).ainvoke(QUESTION)

    state = run_virtual(main)
    timeline = timeline_of(state, prices={"planner": (1.0, 4.0)})
    assert [phase.cost for phase in timeline.phases] == [3.0, None]
    assert "$3.0000" in timeline.to_html()
    assert "for tokens" not in timeline_of(state).to_html()


def test_what_redact_gives() -> None:
    """Whatever a redacting function gives is shown as text, also nothing at all."""
    timeline = timeline_of(run_virtual(_state), redact=lambda kind, value: None)
    assert "How long" not in timeline.to_html() + timeline.to_svg() + json.dumps(timeline.to_trace())


async def _state() -> Any:
    return await create_llm_compiler(ScriptedModel([PLAN, "Finish: done"]), [wait]).ainvoke(QUESTION)


def test_events_of_a_failed_run() -> None:
    """The events of a run that failed tell what was running."""

    async def main() -> Any:
        model = ScriptedModel(['1. wait(5)\n2. fail("x")\n3. join()'], seconds_per_reply=1, chunk_size=0)
        graph = create_llm_compiler(model, [wait, fail], handle_tool_errors=False)
        events: list[Any] = []
        stream = graph.astream(QUESTION, stream_mode="custom")

        async def read() -> None:
            async for event in stream:
                events.append(event)

        with pytest.raises(ValueError, match="no x"):
            await read()
        return events

    timeline = timeline_of_events(run_virtual(main), note="ValueError: no x")
    assert [task.status for task in timeline.tasks] == ["done", "running"]
    assert "ValueError: no x" in timeline.to_html()


@pytest.mark.parametrize("sync", [False, True])
def test_a_report_of_all_turns(tmp_path: Path, sync: bool) -> None:
    """Turns inside the block are drawn, in order, also if the last one fails; contents may be held back."""
    model = ScriptedModel(["1. wait(0)", "Finish: one", '1. fail("secret")', "Finish: two"])
    graph = create_llm_compiler(model, [wait, fail])
    broken = create_llm_compiler(ScriptedModel(["1. wait(0)"]), [wait])

    def held_back(kind: str, value: Any) -> Any:
        return "…" if kind in {"plan", "arguments", "error"} and "secret" in str(value) else value

    def main() -> None:
        for each in (graph, graph, broken):
            if sync:
                each.invoke(QUESTION)
            else:
                asyncio.run(each.ainvoke(QUESTION))

    path = tmp_path / "run.html"
    with pytest.raises(Exception, match="script"), timeline_report(path, redact=held_back):
        main()
    page = path.read_text(encoding="utf-8")
    assert [name in page for name in ("one", "two", "secret")] == [True, True, False]
    assert page.count("<section ") == 3
    assert 'class="note"' in page


def test_attempts() -> None:
    """Where a call was made again, its bar has a mark, in pages and drawings; so from the state as from the events."""
    pytest.importorskip("matplotlib")
    left = iter([False, False, True])

    @tool
    async def flaky() -> str:
        """Fail twice."""
        await asyncio.sleep(1)
        if not next(left):
            raise ConnectionError("no line")
        return "well"

    async def main() -> tuple[Any, list[Any]]:
        model = ScriptedModel(["1. flaky()\n2. join()", "Finish: done"], seconds_per_reply=1, chunk_size=0)
        policy = RetryPolicy(initial_interval=0.5, backoff_factor=2, jitter=False, retry_on=ConnectionError)
        graph = create_llm_compiler(model, [flaky], tool_retry_policy={"flaky": policy})
        events: list[Any] = []
        async for mode, item in graph.astream(QUESTION, stream_mode=["custom", "values"]):
            events += [item] if mode == "custom" else []
            final = item
        return final, events

    final, events = run_virtual(main)
    timelines = timeline_of(final), timeline_of_events(events)
    for timeline in timelines:
        (task,) = timeline.tasks
        assert task.started is not None
        assert [round(at - task.started, 2) for at in task.attempts] == [1.0, 2.5]
        assert task.finished == pytest.approx(task.started + 4.5)
    page = timelines[0].to_html()
    assert page.count('<i class="again"') == 2
    assert "3: those before the last ended at" in page
    assert [
        event["args"].get("attempts") for event in timelines[0].to_trace()["traceEvents"] if event["ph"] == "X"
    ] == [
        None,
        None,
        3,
    ]
    assert timelines[0].to_svg().count("<path") > ran("1. wait(1)\n2. join()").to_svg().count("<path")


def test_a_trace() -> None:
    """The trace has an event per model call and task, in microseconds; tasks of one row do not overlap."""
    events = ran().to_trace()["traceEvents"]
    bars = [event for event in events if event["ph"] == "X"]
    assert len(bars) == 6
    rows: dict[int, float] = {}
    for event in sorted((each for each in bars if each["cat"] == "task"), key=lambda each: float(each["ts"])):
        assert event["ts"] >= rows.get(event["tid"], 0)
        rows[event["tid"]] = event["ts"] + event["dur"]
    assert json.loads(json.dumps(events)) == events


def test_drawings() -> None:
    """SVG keeps its text, PNG is one; both are drawn from the same timeline."""
    pytest.importorskip("matplotlib")
    timeline = ran()
    assert "critical-path bound" in timeline.to_svg()
    assert timeline.to_png().startswith(b"\x89PNG")


def test_what_is_no_state_is_refused() -> None:
    """A timeline of something else is an error that says what to give."""
    with pytest.raises(ConfigurationError, match="what the graph returned"):
        timeline_of({"messages": []})


def test_notebooks_show_it() -> None:
    """A notebook draws timelines and plans, with the chart of a plan where Mermaid is known."""
    assert 'class="llmc"' in ran()._repr_html_()
    plan = parse_plan('1. search("a\\"b")\n2. note("${1[*].id}") after $1\n3. note("x") after $2')
    shown = plan._repr_mimebundle_()
    assert re.findall(r"t\d \S+ t\d", shown["text/vnd.mermaid"]) == ["t1 --> t2", "t2 -.-> t3"]
    assert 't2[["' in shown["text/vnd.mermaid"]
    assert "<table>" in shown["text/html"]


def test_conditions_of_plans_are_drawn() -> None:
    """A guard and a repetition stand below their call, with an arrow of their own from what only they read."""
    plan = parse_plan('1. a()\n2. b()\n3. c("$1") when ${2.n} > 3 and $1 until ${3.ok} max 2')
    shown = plan._repr_mimebundle_()
    assert re.findall(r"t\d .+ t\d", shown["text/vnd.mermaid"]) == ["t1 --> t3", "t2 -- if --> t3"]
    assert "<br/>when $#123;2.n#125; #62; 3 and $1<br/>until $#123;3.ok#125; max 2" in shown["text/vnd.mermaid"]
    assert "<br><code>when ${2.n} &gt; 3 and $1</code><br>" in shown["text/html"]
