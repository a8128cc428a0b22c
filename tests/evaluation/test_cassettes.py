import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.tools import BaseTool, tool
from langchain_openai import ChatOpenAI
from typer.testing import CliRunner

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.evaluation.cassettes import Cassette, CassetteError, recording, replaying
from llmcompiler_graph.evaluation.command import app
from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.runner import read_records
from llmcompiler_graph.evaluation.systems.parallel_calls import parallel_calls
from llmcompiler_graph.evaluation.systems.programmatic import programmatic
from llmcompiler_graph.evaluation.systems.react import react
from llmcompiler_graph.evaluation.systems.rewoo import rewoo
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests.evaluation.test_agent_systems import BOTH, REST, SECOND, NativeModel
from tests.evaluation.tiny import BENCHMARK, SAMPLE, TextModel
from tests.scripted_server import ScriptedServer
from tests.shared import shared

PLAN = '1. lookup("Everest")\n2. lookup("K2")\n3. subtract($1, $2)\n4. join()'
REWOO = '#E1 = lookup("Everest")\n#E2 = lookup("K3")\n#E3 = subtract(#E1, 8611)'
PROGRAM = '```python\nimport asyncio\nprint(await asyncio.gather(lookup("Everest"), lookup("K2")))\n```'


async def _compiled(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
    graph = create_llm_compiler(model, benchmark.tools(sample, model))
    final = await graph.ainvoke({"messages": [HumanMessage(sample.question)]})
    return Answer(final["messages"][-1].text, tasks=len(final["tasks"]))


async def _with_tools(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
    graph = create_llm_compiler(model, benchmark.tools(sample, model), plan_format="tools")
    final = await graph.ainvoke({"messages": [HumanMessage(sample.question)]})
    return Answer(final["messages"][-1].text, tasks=len(final["tasks"]))


COMPILER = System("compiler", _compiled)
COMPILER_OF_CALLS = System("compiler_of_calls", _with_tools)


def quick() -> Benchmark:
    """The tiny benchmark, its tools in hundredths of a second of real time."""

    @tool
    async def lookup(entity: str) -> int:
        """Look up."""
        await asyncio.sleep(0.05)
        return {"Everest": 8849, "K2": 8611}[entity]

    @tool
    async def subtract(left: int, right: int) -> int:
        """Subtract."""
        await asyncio.sleep(0.02)
        return left - right

    return replace(BENCHMARK, tools=lambda *_: [lookup, subtract])


def entries(path: Path) -> list[dict[str, Any]]:
    """The lines of a cassette."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def replayed(system: System, cassette: Cassette, benchmark: Benchmark = BENCHMARK) -> Answer:
    """The answer from a cassette, in a loop that lets no tool and no model be real."""

    async def main() -> Answer:
        return await replaying(system, cassette).answer(SAMPLE, benchmark, "anything")

    return asyncio.run(main())


def without_model(answer: Answer) -> Answer:
    """The answer, its timeline that of the tools alone."""
    return replace(answer, timeline=tuple(each for each in answer.timeline if each.get("kind") != "model"))


@pytest.mark.parametrize(
    ("system", "replies", "expected"),
    [
        # planned in a stream: the lookups start in the middle of it
        (COMPILER, [PLAN, "Finish: 238"], lambda model, tools: None),
        (rewoo(), [REWOO, "Answer: 238"], lambda model, tools: sum(model) + sum(tools)),
        (programmatic(), [PROGRAM, "Answer: 238"], lambda model, tools: sum(model) + max(tools)),
    ],
)
def test_what_was_recorded_over_http_is_replayed(
    tmp_path: Path, system: System, replies: list[Any], expected: Any
) -> None:
    """A replay gives the same answer, errors and calls, with no server, in the virtual time that the recording took."""
    path = tmp_path / "cassette.jsonl"
    with ScriptedServer(replies, seconds_per_reply=0.05, ttft=0.01) as server:
        model = ChatOpenAI(model="scripted", base_url=server.base_url, api_key="sk", stream_usage=True)  # type: ignore[arg-type]

        async def main() -> tuple[Answer, float]:
            began = asyncio.get_running_loop().time()
            answer = await recording(system, Cassette(path)).answer(SAMPLE, quick(), model)
            return answer, asyncio.get_running_loop().time() - began

        live, wall = asyncio.run(main())
    cassette = Cassette(path)
    again = [replayed(system, cassette, quick()) for _ in range(3)]
    assert len({each.virtual_s for each in again}) == 1
    assert again[0].text == live.text == "238"
    assert (again[0].tasks, again[0].errors) == (live.tasks, live.errors)
    seconds = {kind: [each["seconds"] for each in entries(path) if each["kind"] == kind] for kind in ("model", "tool")}
    assert again[0].virtual_s is not None
    assert 0.1 < again[0].virtual_s < wall
    if (said := expected(seconds["model"], seconds["tool"])) is not None:
        assert again[0].virtual_s == pytest.approx(said)


@pytest.mark.parametrize(("status", "takes"), [(400, 1), (401, 0)])
def test_a_failure_of_the_system_is_replayed_as_its_answer(status: int, takes: int, tmp_path: Path) -> None:
    """A wrong answer of a run is one of the replay too, in virtual seconds; what a run asks again is no take."""
    run = ["run", "game24", "--limit", "1", "--data", str(shared("data"))]
    with ScriptedServer([status], ttft=0.2) as server:
        arguments = ["-m", "openai:scripted", "--record", str(tmp_path / "c"), "--out", str(tmp_path / "live")]
        CliRunner(env=server.environment).invoke(app, [*run, *arguments])
    assert len(Cassette(tmp_path / "c")) == len(read_records(tmp_path / "live")) == takes
    played = CliRunner().invoke(app, [*run, "--replay", str(tmp_path / "c"), "--out", str(tmp_path / "played")])
    assert played.exit_code == 1 - takes
    for live, again in zip(read_records(tmp_path / "live"), read_records(tmp_path / "played"), strict=True):
        assert live.errors == again.errors
        assert again.virtual_s is not None
        assert 0 < again.virtual_s < live.wall_s


def test_what_was_given_up_is_given_up_again(tmp_path: Path) -> None:
    """A reply that a deadline cut short, or before it began, keeps the replay waiting until the same deadline."""

    async def impatient(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        assert isinstance(model, BaseChatModel)
        heard: list[str] = []

        async def listen() -> None:
            async for chunk in model.astream("how long?"):
                heard.append(chunk.text)

        for asking in (listen(), model.ainvoke("and you?")):
            with suppress(TimeoutError):
                await asyncio.wait_for(asking, 1)
        return Answer("".join(heard))

    system = System("impatient", impatient)

    async def main() -> Answer:
        model = ScriptedModel(["a long story", "another"], seconds_per_reply=2, chunk_size=2)
        return await recording(system, Cassette(tmp_path / "c")).answer(SAMPLE, BENCHMARK, model)

    live, again = run_virtual(main), replayed(system, Cassette(tmp_path / "c"))
    assert 0 < len(live.text) < len("a long story")
    assert (again.text, again.virtual_s) == (live.text, 2)


@pytest.mark.filterwarnings("ignore:a model's server refused a request with a grammar")
def test_a_refusal_is_replayed(tmp_path: Path) -> None:
    """Where a server refused a grammar and was asked without, a replay is refused too, and asks again."""

    async def held(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        graph = create_llm_compiler(model, benchmark.tools(sample, model), constrain="llama.cpp")
        final = await graph.ainvoke({"messages": [HumanMessage(sample.question)]})
        return Answer(final["messages"][-1].text)

    system, cassette = System("held", held), Cassette(tmp_path / "c")
    with ScriptedServer([400, PLAN, "Finish: 238"]) as server:
        model = ChatOpenAI(model="scripted", base_url=server.base_url, api_key="sk", stream_usage=True)  # type: ignore[arg-type]

        async def main() -> Answer:
            return await recording(system, cassette).answer(SAMPLE, BENCHMARK, model)

        live = asyncio.run(main())
    assert replayed(system, Cassette(tmp_path / "c")).text == live.text == "238"
    (refused,) = (each["error"] for each in entries(tmp_path / "c") if "error" in each)
    assert refused[1:] == ["Error code: 400 - scripted status 400", 400]


@pytest.mark.parametrize(
    ("system", "model"),
    [
        (react(), NativeModel([BOTH, SECOND, *REST])),
        (parallel_calls(), NativeModel([BOTH, *REST])),
        (parallel_calls(), TextModel(['Action: lookup("Everest")\nAction: lookup("K2")', "Answer: 238"])),
        (COMPILER, ScriptedModel([PLAN, "Finish: 238"])),
        (COMPILER_OF_CALLS, ScriptedModel([BOTH, "Finish: 238"], chunk_size=0)),
    ],
)
def test_a_replay_keeps_the_schedule(tmp_path: Path, system: System, model: ScriptedModel) -> None:
    """Recorded on a virtual clock, a replay takes exactly the same time, streams and native calls included."""
    model.seconds_per_reply = 1

    async def main() -> tuple[Answer, float]:
        answer = await recording(system, Cassette(tmp_path / "c")).answer(SAMPLE, BENCHMARK, model)
        return answer, asyncio.get_running_loop().time()

    live, seconds = run_virtual(main)
    again = replayed(system, Cassette(tmp_path / "c"))
    assert without_model(again) == replace(live, virtual_s=seconds)
    assert [each["kind"] for each in again.timeline].count("model") == len(model.calls)


def test_the_last_take_counts_and_a_failed_one_is_not_written(tmp_path: Path) -> None:
    """Recording again replaces what was there, once it has an answer."""
    path = tmp_path / "c"
    replies: list[str | Exception] = ["Answer: 1", "Answer: 2", ConnectionError("down")]
    for reply in replies:
        model = TextModel([reply])

        async def main(model: BaseChatModel = model) -> Answer:
            return await recording(react(), Cassette(path)).answer(SAMPLE, BENCHMARK, model)

        if isinstance(reply, Exception):
            with pytest.raises(ConnectionError):
                run_virtual(main)
        else:
            run_virtual(main)
    assert [each["kind"] for each in entries(path)] == ["take", "model"] * 2
    assert len(Cassette(path)) == 1
    assert replayed(react(), Cassette(path)).text == "2"


def test_a_torn_last_line_is_left_out_and_replaced(tmp_path: Path) -> None:
    """What a killed run left half-written does not keep the same command from going on."""
    path = tmp_path / "c"

    async def main() -> Answer:
        return await recording(react(), Cassette(path)).answer(SAMPLE, BENCHMARK, TextModel(["Answer: 1"]))

    run_virtual(main)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-20])
    assert len(Cassette(path)) == 1
    run_virtual(main)
    assert [each["kind"] for each in entries(path)] == ["take", "model", "take", "take", "model"]
    assert replayed(react(), Cassette(path)).text == "1"


def test_answers_of_several_models_are_kept_apart(tmp_path: Path) -> None:
    """Each is found by its model's name, and without a name none is guessed."""
    cassette = Cassette(tmp_path / "c")
    for name in ("a", "b"):

        async def main(name: str = name) -> Answer:
            model = TextModel([f"Answer: {name}"])
            return await recording(react(), cassette, name).answer(SAMPLE, BENCHMARK, model)

        run_virtual(main)
    again = Cassette(tmp_path / "c")
    assert (len(again), again.models) == (2, ("a", "b"))
    assert [asyncio.run(_named(again, name)).text for name in ("a", "b")] == ["a", "b"]
    with pytest.raises(CassetteError, match="of several models, a, b: say of which"):
        replayed(react(), again)


async def _named(cassette: Cassette, name: str) -> Answer:
    return await replaying(react(), cassette, name).answer(SAMPLE, BENCHMARK, "anything")


class Counting(InMemoryRateLimiter):
    """Counts who asks, and lets everybody through."""

    asked = 0

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Count."""
        self.asked += 1
        return True


def test_a_recorded_model_waits_for_its_turn(tmp_path: Path) -> None:
    """The model's own limit of calls per second holds while it is recorded."""
    limiter = Counting(requests_per_second=1000)

    async def main() -> Answer:
        model = TextModel(['Action: lookup("K2")', "Answer: 1"], rate_limiter=limiter)
        return await recording(react(), Cassette(tmp_path / "c")).answer(SAMPLE, BENCHMARK, model)

    run_virtual(main)
    assert limiter.asked == 2


class OneAtATime(ScriptedModel):
    """A model whose provider has a setting for one call a turn."""

    def bind_tools(self, tools: Any, *, parallel_tool_calls: bool | None = None, **kwargs: Any) -> Any:
        """Bind it too."""
        return super().bind_tools(tools, parallel_tool_calls=parallel_tool_calls, **kwargs)


def test_a_recorded_model_is_asked_for_one_call_a_turn(tmp_path: Path) -> None:
    """ReAct asks a model that is recorded for one call a turn, as it asks any model."""
    model = OneAtATime(replies=["Answer: 1"])

    async def main() -> Answer:
        return await recording(react(), Cassette(tmp_path / "c")).answer(SAMPLE, BENCHMARK, model)

    run_virtual(main)
    assert model.settings[0]["parallel_tool_calls"] is False


def test_a_tool_that_asks_the_model_is_run_again(tmp_path: Path) -> None:
    """In a replay a tool asks the cassette as its model, so that its calls, tokens and time count."""
    asked: list[str] = []

    def tools(sample: Sample, model: Model) -> list[BaseTool]:
        @tool
        async def think(about: str) -> str:
            """Ask the model."""
            assert isinstance(model, BaseChatModel)
            asked.append(about)
            return (await model.ainvoke(about)).text

        return [think]

    benchmark = replace(BENCHMARK, tools=tools)
    model = TextModel(['Action: think("a")', "thought", "Answer: 1"], seconds_per_reply=1)

    async def main() -> Answer:
        return await recording(react(), Cassette(tmp_path / "c")).answer(SAMPLE, benchmark, model)

    live = run_virtual(main)
    again = replayed(react(), Cassette(tmp_path / "c"), benchmark)
    assert asked == ["a", "a"]
    assert without_model(again) == replace(live, virtual_s=3.0)
    assert [(each["start"], each["finish"]) for each in again.timeline if each["kind"] == "model"] == [
        (0, 1),
        (1, 2),
        (2, 3),
    ]


def test_what_is_not_on_the_cassette_is_an_error_that_says_what(tmp_path: Path) -> None:
    """Another sample, another prompt, and a tool's other arguments are told apart, also where errors are observed."""
    path = tmp_path / "c"

    async def main() -> Answer:
        model = TextModel(['Action: lookup("K2")', "Answer: 1"])
        return await recording(react(), Cassette(path)).answer(SAMPLE, BENCHMARK, model)

    run_virtual(main)
    cassette = Cassette(path)
    with pytest.raises(CassetteError, match="no answer of 'rewoo' to tiny '1': record it"):
        replayed(rewoo(), cassette)
    with pytest.raises(CassetteError, match=r"the model was asked never: 2 messages, the last of them 'How much"):
        replayed(react(), cassette, replace(BENCHMARK, instructions="Answer in feet."))
    path.write_text(path.read_text().replace('"kind": "tool"', '"kind": "fool"'))
    with pytest.raises(CassetteError, match=r'the tool was asked never: lookup with .*"K2"'):
        replayed(react(), Cassette(path))
    path.write_text(path.read_text() + "torn")
    with pytest.raises(CassetteError, match="line 5, is no line of a cassette"):
        Cassette(path)


def test_what_is_asked_several_times_is_answered_in_order(tmp_path: Path) -> None:
    """Samples of one prompt, asked at the same time, are those that were recorded, and no more."""

    async def three(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        assert isinstance(model, BaseChatModel)
        replies = await asyncio.gather(*(model.ainvoke("same") for _ in range(3)))
        return Answer(" ".join(reply.text for reply in replies))

    async def main() -> Answer:
        model = TextModel(["a", "b", "c"], seconds_per_reply=1)
        return await recording(System("three", three), Cassette(tmp_path / "c")).answer(SAMPLE, BENCHMARK, model)

    run_virtual(main)
    again = replayed(System("three", three), Cassette(tmp_path / "c"))
    assert (again.text, again.virtual_s) == ("a b c", 1.0)


def test_the_command_line_records_and_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--record` adds to a cassette, `--replay` needs nothing else and says that its numbers are recorded."""
    data = shared("data", "llmcompiler", "parallelqa_dataset.json").parents[1]
    run = ["run", "parallelqa", "--system", "rewoo", "-m", "openai:scripted", "--data", str(data), "--limit", "1"]
    tape = tmp_path / "cassettes" / "c.jsonl"
    with ScriptedServer(['#E1 = search("K2")', "Answer: 1"]) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        recorded = CliRunner().invoke(app, [*run, "--out", str(tmp_path / "live.jsonl"), "--record", str(tape)])
    replayed = CliRunner().invoke(app, [*run, "--out", str(tmp_path / "again.jsonl"), "--replay", str(tape)])
    assert (recorded.exit_code, replayed.exit_code) == (0, 0), recorded.output + replayed.output
    (live,), (again,) = read_records(tmp_path / "live.jsonl"), read_records(tmp_path / "again.jsonl")
    assert (live.tier, again.tier) == ("live", "recorded")
    assert live.virtual_s is None
    assert again.virtual_s == pytest.approx(live.wall_s, abs=1.0)
    assert (again.answer, again.tokens_in, again.model_calls) == (live.answer, live.tokens_in, 2)
    assert [each["kind"] for each in again.timeline] == ["tool", "model", "model"]
    missing = CliRunner().invoke(app, [*run, "--out", str(tmp_path / "x"), "--replay", str(tmp_path / "none")])
    assert missing.exit_code == 1
    assert "has no answer of 'rewoo' to parallelqa '1': record it" in missing.output
    both = CliRunner().invoke(app, [*run, "--out", str(tmp_path / "x"), "--replay", str(tape), "--record", str(tape)])
    assert both.exit_code == 2


@pytest.mark.parametrize("line", ["[" * 100_000, '{"kind": "take"}', "[1]", "1", '"\\ud800'])
def test_a_line_that_is_none(line: str, tmp_path: Path) -> None:
    """A line that is no JSON, is nested without end or lacks what a line has is named with its number."""
    path = tmp_path / "tape.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(CassetteError, match="line 1, is no line of a cassette"):
        Cassette(path)
