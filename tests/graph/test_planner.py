import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Literal, cast

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import BaseTool, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from openai import APIError
from pydantic import SecretStr

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual

QUESTION: Any = {"messages": [HumanMessage("?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}


def sleeper(name: str, seconds: float, log: list[tuple[str, float]] | None = None, **hints: bool) -> BaseTool:
    """Make a tool that takes a known time, and logs when it starts, ends and is cancelled."""

    @tool(name)
    async def sleeping(text: str = "") -> str:
        """Take time."""

        def note(what: str) -> None:
            if log is not None:
                log.append((f"{name} {what}", asyncio.get_running_loop().time()))

        note("starts")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            note("cancelled")
            raise
        note("ends")
        return f"{name}({text})"

    sleeping.metadata = dict(hints)
    return sleeping


class Breaking(ScriptedModel):
    """A scripted model whose connection breaks after some pieces of its reply."""

    pieces: int = 2

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        left = self.pieces
        async for piece in super()._astream(*args, **kwargs):
            if left == 0:
                msg = "the connection broke"
                raise ConnectionError(msg)
            left -= 1
            yield piece


class Counting(ScriptedModel):
    """A scripted model whose first piece counts the tokens it was given, its last those it wrote, as providers do."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        yield self._counted(10, 0)
        async for piece in super()._astream(*args, **kwargs):
            yield piece
        yield self._counted(0, 5)

    def _counted(self, given: int, written: int) -> ChatGenerationChunk:
        usage = UsageMetadata(input_tokens=given, output_tokens=written, total_tokens=given + written)
        return ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=usage))


def timeline(final: dict[str, Any]) -> dict[int, tuple[float, float, float]]:
    """Pick `{index: (released, started, finished)}` of a final state."""
    return {each["index"]: (each["released"], each["started"], each["finished"]) for each in final["timeline"]}


# -- exact times -------------------------------------------------------------------------------------------------------


def test_tools_start_while_the_plan_is_written() -> None:
    """With 3 s for a plan of 4 tasks (and `join()`), each tool starts the moment its own line is there."""

    async def main() -> tuple[dict[str, Any], float]:
        plan = '1. work("a")\n2. work("b")\n3. work("c")\n4. work("d")\n5. join()'
        model = ScriptedModel([plan, "Finish: ok"], chunk_size=0, seconds_per_reply=3)
        final = await create_llm_compiler(model, [sleeper("work", 2)]).ainvoke(QUESTION)
        return final, asyncio.get_running_loop().time()

    final, end = run_virtual(main)
    assert timeline(final) == {1: (0.6, 0.6, 2.6), 2: (1.2, 1.2, 3.2), 3: (1.8, 1.8, 3.8), 4: (2.4, 2.4, 4.4)}
    assert [each["early"] for each in final["timeline"]] == [True] * 4
    assert end == 4.4 + 3


def test_a_task_starts_at_its_closing_parenthesis() -> None:
    """A call is complete when it is closed, long before its line or the plan is."""

    async def main() -> dict[str, Any]:
        call, rest = '1. work("a") ', "# now a comment that takes its time"
        model = ScriptedModel([call + rest, "Finish: ok"], chunk_size=1, seconds_per_reply=len(call + rest))
        return await create_llm_compiler(model, [sleeper("work", 2)]).ainvoke(QUESTION)

    # the first characters that cannot begin an order such as `# needs $…` are `# no`
    assert timeline(run_virtual(main))[1] == (17, 17, 19)


def test_a_dependency_that_ends_between_two_lines() -> None:
    """A task whose dependency ends between two plan lines starts at once, not at the next line."""

    async def main() -> tuple[dict[str, Any], float]:
        plan = '1. quick("a")\n2. quick("$1")\n3. work("c")\n4. join()'
        model = ScriptedModel([plan, "Finish: ok"], chunk_size=0, seconds_per_reply=40)
        final = await create_llm_compiler(model, [sleeper("quick", 12), sleeper("work", 1)]).ainvoke(QUESTION)
        return final, asyncio.get_running_loop().time()

    final, end = run_virtual(main)
    assert timeline(final) == {1: (10, 10, 22), 2: (22, 22, 34), 3: (30, 30, 31)}
    assert end == 80


@pytest.mark.parametrize("tools", [1, 8, 20])
def test_wide_plans_finish_on_the_critical_path(tools: int) -> None:
    """Independent tools of 0.5 s, a plan of 1 s, a joiner of 0.5 s: done when the critical path is, exactly."""
    lines = [f'{n}. work("{n}")' for n in range(1, tools + 1)] + [f"{tools + 1}. join()"]

    async def main() -> float:
        planner = ScriptedModel(["\n".join(lines)], chunk_size=0, seconds_per_reply=1)
        joiner = ScriptedModel(["Finish: ok"], seconds_per_reply=0.5)
        graph = create_llm_compiler(planner, [sleeper("work", 0.5)], joiner_model=joiner)
        await graph.ainvoke(QUESTION)
        return asyncio.get_running_loop().time()

    plan_complete, written = 1.0, [n / len(lines) for n in range(1, tools + 1)]
    critical_path = max(plan_complete, *(at + 0.5 for at in written)) + 0.5
    assert run_virtual(main) == pytest.approx(critical_path, abs=1e-8)


def test_a_dag_finishes_on_the_critical_path() -> None:
    """For a plan with chains of unequal tools, every start is the latest of its line and its dependencies' ends."""
    tools = {"slow": 2.0, "mid": 0.7, "quick": 0.2}
    plan = [
        '1. slow("a")',
        '2. quick("b")',
        '3. slow("$2")',
        '4. mid("$1 $3")',
        '5. quick("$2 $3")',
        '6. mid("x") after $5',
        "7. join()",
    ]
    needs = {1: [], 2: [], 3: [2], 4: [1, 3], 5: [2, 3], 6: [5]}

    async def main() -> tuple[dict[str, Any], float]:
        planner = ScriptedModel(["\n".join(plan)], chunk_size=0, seconds_per_reply=0.35)
        joiner = ScriptedModel(["Finish: ok"], seconds_per_reply=0.5)
        graph = create_llm_compiler(planner, [sleeper(*each) for each in tools.items()], joiner_model=joiner)
        return await graph.ainvoke(QUESTION), asyncio.get_running_loop().time()

    final, end = run_virtual(main)
    finished: dict[int, float] = {}
    for index, line in enumerate(plan[:-1], 1):
        start = max(0.05 * index, *(finished[n] for n in needs[index]), 0)
        finished[index] = start + tools[line.split("(")[0].split()[1]]
        assert timeline(final)[index] == pytest.approx((start, start, finished[index]), abs=1e-6)
    assert end == pytest.approx(max(0.35, *finished.values()) + 0.5, abs=1e-6)


def test_effects_wait_for_the_whole_plan_and_keep_its_order() -> None:
    """Tools with effects are never started before the plan is complete, and run one after the other, as written."""
    log: list[tuple[str, float]] = []
    tools = [
        sleeper("send", 1, log, destructiveHint=True),
        sleeper("write", 1, log, readOnlyHint=False),
        sleeper("look", 1, log),
    ]

    async def main() -> dict[str, Any]:
        plan = '1. send("a")\n2. look("b")\n3. write("c")\n4. send("d")\n5. join()'
        model = ScriptedModel([plan, "Finish: ok"], chunk_size=0, seconds_per_reply=5)
        return await create_llm_compiler(model, tools).ainvoke(QUESTION)

    final = run_virtual(main)
    assert timeline(final) == {1: (1, 5, 6), 2: (2, 2, 3), 3: (6, 6, 7), 4: (7, 7, 8)}
    assert [each["early"] for each in final["timeline"]] == [False, True, False, False]


def test_effects_of_a_broken_plan_never_happen() -> None:
    """If the plan breaks off, no tool with effects was called."""
    log: list[tuple[str, float]] = []

    async def main() -> None:
        model = Breaking(replies=['1. send("a")\n2. send("b")\n3. join()'], chunk_size=0, seconds_per_reply=3)
        with pytest.raises(ConnectionError):
            await create_llm_compiler(model, [sleeper("send", 1, log, destructiveHint=True)]).ainvoke(QUESTION)

    run_virtual(main)
    assert log == []


@pytest.mark.parametrize("name", ["send_email", "gmail_sendEmail", "mail.delete-draft", "payInvoice"])
def test_actions_without_hints_are_done_once(name: str) -> None:
    """A plan breaks off after the line of a tool that is named like an action, and is asked for again: it acts once."""
    log: list[tuple[str, float]] = []

    async def main() -> dict[str, Any]:
        plan = f'1. {name}("a")\n2. look("b")\n3. join()'
        tools = [sleeper(name, 1, log), sleeper("look", 1, log)]
        saver = InMemorySaver()
        model = Breaking(replies=[plan], chunk_size=0, seconds_per_reply=3)
        with pytest.raises(ConnectionError):
            await create_llm_compiler(model, tools, checkpointer=saver).ainvoke(QUESTION, THREAD)
        again: Any = create_llm_compiler(ScriptedModel([plan, "Finish: sent"]), tools, checkpointer=saver)
        return cast("dict[str, Any]", await again.ainvoke(None, THREAD))

    final = run_virtual(main)
    assert [task["status"] for task in final["tasks"]] == ["done", "done"]
    assert [what for what, _ in log if what.startswith(name)] == [f"{name} starts", f"{name} ends"]
    assert [what for what, _ in log if what == "look starts"] == ["look starts"] * 2


def test_actions_without_hints_overlap() -> None:
    """Tools that are only named like actions wait for the whole plan, but not for each other."""

    async def main() -> dict[str, Any]:
        model = ScriptedModel(
            ['1. send_sms("a")\n2. send_sms("a")\n3. join()', "Finish: ok"], chunk_size=0, seconds_per_reply=3
        )
        return await create_llm_compiler(model, [sleeper("send_sms", 1)]).ainvoke(QUESTION)

    assert timeline(run_virtual(main)) == {1: (1, 3, 4), 2: (2, 3, 4)}


# -- plans that end badly ----------------------------------------------------------------------------------------------


def test_a_model_that_breaks_off() -> None:
    """The model's error is what the caller sees; calls under way are cancelled, and nothing is left behind."""
    log: list[tuple[str, float]] = []

    async def main() -> None:
        model = Breaking(replies=['1. work("a")\n2. work("b")\n3. work("c")'], chunk_size=0, seconds_per_reply=3)
        with pytest.raises(ConnectionError, match="the connection broke"):
            await create_llm_compiler(model, [sleeper("work", 10, log)]).ainvoke(QUESTION)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)
    assert log == [("work starts", 1), ("work starts", 2), ("work cancelled", 3), ("work cancelled", 3)]


def test_cancelling_a_run_while_it_plans() -> None:
    """Cancelling the run cancels the calls under way, before the run's own task ends."""
    log: list[tuple[str, float]] = []

    async def main() -> None:
        model = ScriptedModel(['1. work("a")\n2. work("b")'], chunk_size=0, seconds_per_reply=4)
        run = asyncio.create_task(create_llm_compiler(model, [sleeper("work", 10, log)]).ainvoke(QUESTION))
        await asyncio.sleep(3)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)
    assert log == [("work starts", 2), ("work cancelled", 3)]


def test_closing_a_stream_while_it_plans() -> None:
    """A caller that stops listening while calls are under way leaves none behind."""
    log: list[tuple[str, float]] = []

    async def main() -> None:
        model = ScriptedModel(['1. work("a")\n2. work("b")'], chunk_size=0, seconds_per_reply=4)
        events = create_llm_compiler(model, [sleeper("work", 10, log)]).astream(QUESTION, stream_mode="custom")
        async for event in events:
            if event["event"] == "started":
                break
        await events.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)
    assert log == [("work starts", 2), ("work cancelled", 2)]


@pytest.mark.parametrize("ending", ["error", "cut"])
async def test_a_provider_that_breaks_off(ending: str) -> None:
    """Over real HTTP: an error in the middle of the stream ends the run as that error, and cancels calls under way."""
    log: list[tuple[str, float]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        content = '1. work("a")\n2. work("b")\n3. wo'
        plan = {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": content}}]}
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n")
        writer.write(b"data: " + json.dumps(plan).encode() + b"\n\n")
        await writer.drain()
        for _ in range(1000):
            if len(log) == 2:
                break
            await asyncio.sleep(0.005)
        if ending == "error":
            writer.write(b'data: {"error": {"message": "overloaded", "type": "server_error", "code": 500}}\n\n')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        model = ChatOpenAI(model="m", base_url=url, api_key=SecretStr("k"), max_retries=0)
        with pytest.raises((APIError, httpx.TransportError), match="overloaded" if ending == "error" else "Connection"):
            await create_llm_compiler(model, [sleeper("work", 60, log)]).ainvoke(QUESTION)
    assert [what for what, _ in log] == ["work starts"] * 2 + ["work cancelled"] * 2


async def test_no_plan_at_all() -> None:
    """Prose without a task is a plan of no tasks: the joiner hears that nothing was run."""
    model = ScriptedModel(["I think the answer is 4.", "Finish: 4"])
    final = await create_llm_compiler(model, [sleeper("work", 0)]).ainvoke(QUESTION)
    assert [m.text for m in final["messages"]] == ["?", "4"]
    assert "No task was run." in model.calls[1][-1].text


@pytest.mark.parametrize("reply", ["", " \n", "1. join()", "join()"])
async def test_empty_plans(reply: str) -> None:
    """An empty plan ends in an answer, and no empty message is sent to the joiner's provider."""
    model = ScriptedModel([reply, "Finish: hello"])
    final = await create_llm_compiler(model, [sleeper("work", 0)]).ainvoke(QUESTION)
    assert final["messages"][-1].text == "hello"
    assert final["tasks"] == []
    assert all(m.text for m in model.calls[1])


async def test_numbered_prose_before_the_plan() -> None:
    """A numbered line of prose does not take the index from the task that has it."""
    model = ScriptedModel(['1. First I will search.\n2. Then I answer.\n\n1. work("a")\n2. work("$1")', "Finish: ok"])
    final = await create_llm_compiler(model, [sleeper("work", 0)]).ainvoke(QUESTION)
    assert [(task["index"], task["status"], task["value"]) for task in final["tasks"]] == [
        (1, "done", "work(a)"),
        (2, "done", "work(work(a))"),
    ]
    assert final["rounds"][0]["diagnostics"] == []


async def test_unusable_tasks_reach_the_joiner() -> None:
    """Tasks that cannot be used fail with what is wrong with them; their dependents are skipped; the rest runs."""
    model = ScriptedModel(['1. wrok("a")\n2. work(3, 4)\n3. work("$1")\n4. work("d")\n5. just words', "Finish: ok"])
    final = await create_llm_compiler(model, [sleeper("work", 0)], max_repairs=0).ainvoke(QUESTION)
    assert [(task["index"], task["status"]) for task in final["tasks"]] == [
        (1, "failed"),
        (2, "failed"),
        (3, "skipped"),
        (4, "done"),
        (5, "failed"),
    ]
    codes = [each["code"] for each in final["rounds"][0]["diagnostics"]]
    assert codes == ["unknown-tool", "too-many-arguments", "not-a-call"]
    told = model.calls[1][-1].text
    assert "did you mean 'work'?" in told
    assert "not run: it needs task 1, which failed" in told
    assert "task 5 is not a tool call" in told
    plan = final["messages"][1]
    results = {m.tool_call_id: m.status for m in final["messages"][2:-1]}
    assert [results[call["id"]] for call in plan.tool_calls] == ["error", "error", "error", "success"]


async def test_a_forward_reference_found_late() -> None:
    """A task that refers ahead fails as soon as the task it means is there; its early call counts for nothing."""
    model = ScriptedModel(['1. work("under $2")\n2. work("b")\n3. work("c")', "Finish: ok"])
    final = await create_llm_compiler(model, [sleeper("work", 0)]).ainvoke(QUESTION)
    assert [(task["index"], task["status"]) for task in final["tasks"]] == [(1, "failed"), (2, "done"), (3, "done")]
    assert "refers to task 2, which comes after it" in final["tasks"][0]["error"]


async def test_max_tasks() -> None:
    """Tasks past `max_tasks` are not run, and said to be too many."""
    model = ScriptedModel(['1. work("a")\n2. work("b")\n3. work("c")', "Finish: ok"])
    final = await create_llm_compiler(model, [sleeper("work", 0)], max_tasks=2).ainvoke(QUESTION)
    assert [task["status"] for task in final["tasks"]] == ["done", "done", "failed"]
    assert "a plan may have 2 tasks" in final["tasks"][2]["error"]


async def test_what_follows_join_is_not_waited_for() -> None:
    """A model that babbles on after `join()` is cut off."""
    model = ScriptedModel(['1. work("a")\n2. join()\n' + "and then " * 1000, "Finish: ok"], chunk_size=10)
    final = await create_llm_compiler(model, [sleeper("work", 0)]).ainvoke(QUESTION)
    assert [task["status"] for task in final["tasks"]] == ["done"]
    assert len(final["rounds"][0]["plan"]) < 200


# -- what the plan leaves behind ---------------------------------------------------------------------------------------


async def test_tool_calls_of_the_plan() -> None:
    """The plan's message shows every task as a tool call, references as they were written."""
    model = ScriptedModel(
        ['Thought: why not\n1. work("costs $$5")\n2. work("$1 and ${1}") after $1\n3. work($2)', "Finish: ok"]
    )
    final = await create_llm_compiler(model, [sleeper("work", 0)]).ainvoke(QUESTION)
    plan = final["messages"][1]
    assert [call["args"] for call in plan.tool_calls] == [{"text": "costs $5"}, {"text": '"$1 and $1"'}, {"text": "$2"}]
    assert (plan.content, plan.name) == ("", "planner")
    assert [task["text"] for task in final["tasks"]] == [
        '1. work(text="costs $$5")',
        '2. work(text="$1 and $1") after $1',
        "3. work(text=$2)",
    ]


async def test_usage() -> None:
    """Tokens are counted for the planner and the joiner of each round, and on their messages."""
    model = Counting(replies=['1. work("a")', "Replan: more", '2. work("b")\n3. join()', "Finish: ok"])
    final = await create_llm_compiler(model, [sleeper("work", 0)]).ainvoke(QUESTION)
    assert [
        (one["usage"]["planner"]["total_tokens"], one["usage"]["joiner"]["total_tokens"]) for one in final["rounds"]
    ] == [
        (15, 15),
        (15, 15),
    ]
    assert [m.usage_metadata["total_tokens"] for m in final["messages"] if m.name in ("planner", "joiner")] == [
        15,
        15,
        15,
    ]


def test_events() -> None:
    """`stream_mode="custom"` tells of every moment, with exact times."""

    async def main() -> list[dict[str, Any]]:
        plan = '1. work("a")\n2. work("$1")\n3. nothing()\n4. work("$3")'
        model = ScriptedModel([plan, "Replan: more", "5. join()", "Finish: ok"], chunk_size=0, seconds_per_reply=4)
        graph = create_llm_compiler(model, [sleeper("work", 2.5)], max_repairs=0)
        return [event async for event in graph.astream(QUESTION, stream_mode="custom")]

    events = run_virtual(main)
    assert [(each["at"], each["event"], each.get("index")) for each in events] == [
        (1, "planned", 1),
        (1, "released", 1),
        (1, "started", 1),
        (2, "planned", 2),
        (3, "planned", 3),
        (3, "failed", 3),
        (3.5, "done", 1),
        (3.5, "released", 2),
        (3.5, "started", 2),
        (4, "planned", 4),
        (4, "skipped", 4),
        (6, "done", 2),
        (10, "replanning", None),
    ]
    assert events[3] == {
        "event": "planned",
        "at": 2,
        "index": 2,
        "tool": "work",
        "text": "2. work(text=$1)",
        "after": [1],
    }
    assert events[6]["value"] == "work(a)"
    assert events[5]["error"].startswith("no tool is named 'nothing'")
    assert events[10]["error"] == "not run: it needs task 3, which failed"
    assert events[12]["error"] == "more"


async def test_events_tell_the_times_that_the_timeline_has() -> None:
    """The moments of a task are read from the clock once: for its event and for what the state keeps of it."""
    graph = create_llm_compiler(ScriptedModel(['1. work("a")\n2. work("$1")', "Finish: ok"]), [sleeper("work", 0)])
    told: dict[Any, float] = {}
    part: Any
    async for mode, part in graph.astream(QUESTION, stream_mode=["custom", "values"]):
        if mode == "custom":
            told[part["index"], part["event"]] = part["at"]
        final = part
    names = {"planned": "planned", "released": "released", "started": "started", "done": "finished"}
    assert told == {(e["index"], name): e[key] for e in final["timeline"] for name, key in names.items()}


@pytest.mark.parametrize(
    ("metadata", "cut"),
    [
        ({"finish_reason": "length"}, True),
        ({"stop_reason": "max_tokens"}, True),
        ({"finish_reason": "MAX_TOKENS"}, True),
        ({"done_reason": "length"}, True),
        ({"incomplete_details": {"reason": "max_output_tokens"}}, True),
        ({"finish_reason": "stop"}, False),
        ({"incomplete_details": None}, False),
    ],
)
@pytest.mark.parametrize("plan_format", ["text", "tools"])
@pytest.mark.parametrize("chunk_size", [0, 7])
async def test_a_plan_that_was_cut_off(
    metadata: dict[str, Any], cut: bool, plan_format: Literal["text", "tools"], chunk_size: int
) -> None:
    """A plan that ends because the model may write no more says so, whatever its provider calls that."""
    replies: list[Any] = [AIMessage('1. work("a")\n', response_metadata=metadata), "Finish: ok"]
    model = ScriptedModel(replies, chunk_size=chunk_size)
    final = await create_llm_compiler(model, [sleeper("work", 0)], plan_format=plan_format).ainvoke(QUESTION)
    assert [task["status"] for task in final["tasks"]] == ["done"]
    assert [each["code"] for each in final["rounds"][0]["diagnostics"]] == ["cut-off"] * cut
    assert ("the plan was cut off here" in model.calls[1][-1].text) == cut


async def test_a_plan_is_whole_at_its_join() -> None:
    """What is cut off behind `join()` is no loss."""
    replies: list[Any] = [
        AIMessage('1. work("a")\n2. join()\nNow', response_metadata={"finish_reason": "length"}),
        "Finish: ok",
    ]
    final = await create_llm_compiler(ScriptedModel(replies), [sleeper("work", 0)]).ainvoke(QUESTION)
    assert final["rounds"][0]["diagnostics"] == []
