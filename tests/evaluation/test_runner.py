"""The runner over a scripted system: records, resumption, retries."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, tool
from langchain_openai import ChatOpenAI
from langgraph.types import RetryPolicy

from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.evaluation.benchmarks import metrics
from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.report import read_all, tables
from llmcompiler_graph.evaluation.runner import ProviderError, Run, read_records, run, selected
from llmcompiler_graph.evaluation.systems.llm_compiler import llm_compiler
from llmcompiler_graph.evaluation.systems.programmatic import programmatic
from llmcompiler_graph.evaluation.systems.react import react
from llmcompiler_graph.evaluation.systems.rewoo import rewoo
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests import processes
from tests.scripted_server import ScriptedServer

SAMPLES = [Sample(str(number), f"question {number}", "yes") for number in range(6)]
BENCHMARK = Benchmark(
    name="tiny",
    load=lambda data: SAMPLES,
    tools=lambda sample, model: [],
    score=lambda answer, sample: metrics.score(answer, str(sample.gold)),
)


class Provider(Exception):
    """What an SDK raises for an HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status_code = status


class Metered(ScriptedModel):
    """A model that says how many tokens it took."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        usage = UsageMetadata(
            input_tokens=10, output_tokens=3, total_tokens=13, input_token_details=InputTokenDetails(cache_read=4)
        )
        reply = AIMessage(self._reply(messages, kwargs).text, usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=reply)])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate(messages)


def system(*outcomes: str | Exception) -> System:
    """A system that gives these answers in turn, then "yes"."""
    script = iter(outcomes)

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        await asyncio.sleep(0)
        outcome = next(script, "yes")
        if isinstance(outcome, Exception):
            raise outcome
        return Answer(outcome)

    return System("scripted", answer)


def planned(out: Path, made: System, **settings: object) -> Run:
    """A run of the tiny benchmark."""
    return Run(BENCHMARK, made, "none", "none", out, **settings)  # type: ignore[arg-type]


async def test_one_record_per_example(tmp_path: Path) -> None:
    """Every sample has one record with both scores, in the order asked."""
    out = tmp_path / "runs" / "x.jsonl"
    assert await run(planned(out, system("yes", "Yes, they are", "no")), SAMPLES) == 6
    records = read_records(out)
    assert [record.id for record in records] == ["0", "1", "2", "3", "4", "5"]
    assert [(record.correct, record.lenient) for record in records[:3]] == [(1, 1), (0, 1), (0, 0)]
    assert all(record.tier == "live" and record.wall_s >= 0 for record in records)


async def test_what_has_a_record_is_not_asked_again(tmp_path: Path) -> None:
    """The same run again adds nothing; another repeat adds its own."""
    out = tmp_path / "x.jsonl"
    await run(planned(out, system()), SAMPLES[:4])
    assert await run(planned(out, system()), SAMPLES) == 2
    assert await run(planned(out, system()), SAMPLES) == 0
    assert await run(planned(out, system(), repeats=2), SAMPLES) == 6
    assert len({record.key for record in read_records(out)}) == 12


@pytest.mark.parametrize("torn", [b'{"id": "5", "bench', b"{", '{"id": "é'.encode()[:-1]])
async def test_a_torn_last_line_is_dropped_and_its_example_asked_again(torn: bytes, tmp_path: Path) -> None:
    """What a killed run left half-written is cut off, and nothing else."""
    out = tmp_path / "x.jsonl"
    await run(planned(out, system()), SAMPLES[:3])
    whole = out.read_bytes()
    out.write_bytes(whole + torn)
    assert len(read_records(out)) == 3
    assert await run(planned(out, system()), SAMPLES) == 3
    assert out.read_bytes().startswith(whole)
    assert len(read_records(out)) == 6


async def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    """A line before the last that is no record is an error: no kill can explain it."""
    out = tmp_path / "x.jsonl"
    await run(planned(out, system()), SAMPLES[:2])
    out.write_bytes(b"{}\n" + out.read_bytes())
    with pytest.raises(ValueError, match=r"line 1: not a record"):
        read_records(out)


def test_the_providers_failures_are_tried_again_after_growing_pauses(tmp_path: Path) -> None:
    """Two failures cost pauses of 1 and 2 seconds, and leave no trace in the record."""
    out = tmp_path / "x.jsonl"

    async def main() -> float:
        await run(planned(out, system(Provider(429), Provider(503))), SAMPLES[:1])
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == pytest.approx(3)
    assert read_records(out)[0].errors == ()


@pytest.mark.parametrize(("status", "attempts"), [(429, 3), (401, 1)])
def test_a_provider_that_fails_for_good_stops_the_run_and_records_nothing(
    status: int, attempts: int, tmp_path: Path
) -> None:
    """After the last attempt, at once for a wrong key, the run stops; what was recorded stays."""
    out = tmp_path / "x.jsonl"
    failing = system("yes", *[Provider(status)] * attempts)

    async def main() -> None:
        with pytest.raises(ProviderError, match=f"tiny 1: Provider: HTTP {status}"):
            await run(planned(out, failing, retries=2), SAMPLES)

    run_virtual(main)
    assert [record.id for record in read_records(out)] == ["0"]


async def test_the_systems_own_failure_is_a_wrong_answer(tmp_path: Path) -> None:
    """A failure of the system, or of a request it made badly, is recorded, counted wrong and not tried again."""
    out = tmp_path / "x.jsonl"
    await run(planned(out, system(RuntimeError("lost its way"), Provider(400))), SAMPLES[:3])
    first, second, third = read_records(out)
    assert first.errors == ("RuntimeError: lost its way",)
    assert second.errors == ("Provider: HTTP 400",)
    assert (first.correct, second.correct, third.correct) == (0, 0, 1)


@pytest.mark.parametrize("mistake", [ConfigurationError("no such model"), ImportError("pip install wikipedia")])
async def test_the_callers_mistake_stops_the_run(mistake: Exception, tmp_path: Path) -> None:
    """A configuration that cannot work, or a package that is missing, is an error, not a column of wrong answers."""
    with pytest.raises(type(mistake), match=str(mistake)):
        await run(planned(tmp_path / "x.jsonl", system(mistake)), SAMPLES)
    assert read_records(tmp_path / "x.jsonl") == []


STREAM_BROKE = [
    openai.APIError("the server had an error", cast("Any", None), body={"type": "server_error"}),
    httpx.ReadError("the connection broke"),
    TimeoutError("no chunk for 120 s"),
]


@pytest.mark.parametrize("error", STREAM_BROKE)
@pytest.mark.parametrize("make", [llm_compiler, react])
def test_a_reply_that_breaks_off_is_the_providers_failure(
    make: Callable[[], System], error: Exception, tmp_path: Path
) -> None:
    """A reply that breaks off is asked for again, and leaves no trace in the record."""
    replies = ["1. join()", "Finish: yes"] if make is llm_compiler else ["Answer: yes"]
    model = ScriptedModel([error, *replies])
    made = Run(BENCHMARK, make(), model, "none", tmp_path / "x.jsonl", retries=1)
    assert run_virtual(lambda: run(made, SAMPLES[:1])) == 1
    (record,) = read_records(tmp_path / "x.jsonl")
    assert (record.correct, record.errors) == (1, ())


async def test_a_model_that_refuses_the_temperature_stops_the_run(tmp_path: Path) -> None:
    """A model that refuses the temperature stops the run: it would refuse it every time."""
    refused = Provider(400)
    refused.param = "temperature"  # type: ignore[attr-defined]
    with pytest.raises(ProviderError):
        await run(planned(tmp_path / "x", system(refused)), SAMPLES)
    assert read_records(tmp_path / "x") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"my-model": {"input": 1}}', "prices.json' is no file of records: give this run another one"),
        ("input,1\n", r"prices.json, line 1: not a record: .*: give this run another file"),
    ],
)
async def test_what_is_no_file_of_records_is_left_alone(content: str, message: str, tmp_path: Path) -> None:
    """A file named by mistake keeps its last line, whether a newline ends it or not; the error says what to do."""
    out = tmp_path / "prices.json"
    out.write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        await run(planned(out, system()), SAMPLES)
    assert out.read_text() == content


async def test_samples_may_come_from_an_iterator(tmp_path: Path) -> None:
    """Each repeat asks all samples, also those of an iterator."""
    assert await run(planned(tmp_path / "x", system(), repeats=3), iter(SAMPLES[:2])) == 6


async def test_tiers_do_not_count_for_each_other(tmp_path: Path) -> None:
    """What was recorded live is replayed into the same file all the same, and a report has both."""
    out = tmp_path / "x"
    assert await run(planned(out, system()), SAMPLES[:2]) == 2
    assert await run(planned(out, system(), tier="recorded"), SAMPLES[:2]) == 2
    assert len(read_all([out])) == 4


async def test_seeds_and_temperatures_do_not_count_for_each_other(tmp_path: Path) -> None:
    """Each, and none, is run in the same file, and resumed by itself; a report has a table for each."""
    out = tmp_path / "x"
    settings: list[dict[str, Any]] = [{}, {"temperature": 0.0}, {"temperature": 0.7}, {"temperature": 0.0, "seed": 1}]
    for setting in settings:
        assert await run(planned(out, system(), **setting), SAMPLES[:2]) == 2
    for setting in settings:
        assert await run(planned(out, system(), **setting), SAMPLES[:3]) == 1
    assert [table.rows[0].examples for table in tables(read_all([out]))] == [3] * 4


async def test_a_timeout_that_is_no_models_is_the_systems(tmp_path: Path) -> None:
    """A tool's or the system's own is not tried again."""
    await run(planned(tmp_path / "x.jsonl", system(TimeoutError("too slow"))), SAMPLES[:1])
    assert read_records(tmp_path / "x.jsonl")[0].errors == ("TimeoutError: too slow",)


def thinking(sample: Sample, model: Model) -> list[BaseTool]:
    """A tool that asks the model."""
    assert isinstance(model, ScriptedModel)

    @tool
    async def think(about: str) -> str:
        """Think."""
        return (await model.ainvoke(about)).text

    think.metadata = {"idempotentHint": True}
    return [think]


@pytest.mark.parametrize(
    ("made", "replies"),
    [
        (llm_compiler(), ['1. think("a")\n2. join()', Provider(429), "Finish: no"]),
        (rewoo(), ['#E1 = think("a")', Provider(429), "Answer: no"]),
        (programmatic(), ['```python\nprint(await think("a"))\n```', Provider(429), "Answer: no"]),
    ],
)
async def test_the_providers_failure_in_a_tool_stops_the_run_too(
    made: System, replies: list[Any], tmp_path: Path
) -> None:
    """The system saw a failed tool and answered wrong: that is no answer of its own."""
    plan = Run(replace(BENCHMARK, tools=thinking), made, ScriptedModel(replies), "none", tmp_path / "x", retries=0)
    with pytest.raises(ProviderError, match="tiny 0: Provider: HTTP 4"):
        await run(plan, SAMPLES)
    assert read_records(tmp_path / "x") == []


async def test_a_failure_that_the_system_made_up_for_is_no_failure(tmp_path: Path) -> None:
    """A tool that was retried gave its observation in the end: the answer counts, and nothing is asked again."""
    made = llm_compiler(tool_retry_policy=RetryPolicy(initial_interval=0, jitter=False, retry_on=Provider))
    model = ScriptedModel(['1. think("a")\n2. join()', Provider(429), "thought", "Finish: yes"])
    plan = Run(replace(BENCHMARK, tools=thinking), made, model, "none", tmp_path / "x", retries=0)
    assert await run(plan, SAMPLES[:1]) == 1
    assert (read_records(tmp_path / "x")[0].correct, len(model.calls)) == (1, 4)


async def test_two_runs_do_not_share_a_file(tmp_path: Path) -> None:
    """A run whose file another one writes to is told to take another file."""
    out = tmp_path / "x.jsonl"

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        with pytest.raises(ConfigurationError, match="another run is writing"):
            await run(planned(out, system()), SAMPLES)
        return Answer("yes")

    assert await run(planned(out, System("outer", answer)), SAMPLES[:1]) == 1


async def test_usage_is_that_of_the_example(tmp_path: Path) -> None:
    """Each record has the calls and tokens of its own example, also when examples run at the same time."""
    model = Metered(replies=["yes"] * 100)

    async def answer(sample: Sample, benchmark: Benchmark, model_: Model) -> Answer:
        for _ in range(int(sample.id)):
            await model.ainvoke(sample.question)
            await asyncio.sleep(0)
        return Answer("yes")

    out = tmp_path / "x.jsonl"
    await run(Run(BENCHMARK, System("s", answer), model, "openai:gpt-4o-mini", out, concurrency=3), SAMPLES)
    for record in read_records(out):
        calls = int(record.id)
        assert (record.model_calls, record.tokens_in, record.tokens_out) == (calls, 10 * calls, 3 * calls)
        assert record.tokens_cached == 4 * calls
        assert record.cost_usd == pytest.approx(calls * (6 * 0.15 + 4 * 0.075 + 3 * 0.6) / 1e6)
        assert record.price.startswith("2024-10, OpenAI's price list")
        assert [span["kind"] for span in record.timeline] == ["model"] * calls


@pytest.mark.parametrize(
    ("replies", "streamed", "counted"),
    [
        ([400, "yes"], False, (1, 0)),
        ([400, "yes"], True, (1, 0)),
        (["a long answer that is not read to its end", "yes"], True, (2, 1)),
    ],
)
async def test_a_request_that_is_refused_is_no_call(
    replies: list[Any], streamed: bool, counted: tuple[int, int], tmp_path: Path
) -> None:
    """What the provider refused has cost nothing, and the tokens of the others are known; a broken reply has cost."""
    with ScriptedServer(replies) as server:
        model = ChatOpenAI(model="scripted", base_url=server.base_url, api_key="none", stream_usage=True)  # type: ignore[arg-type]

        async def answer(sample: Sample, benchmark: Benchmark, model_: Model) -> Answer:
            with suppress(openai.BadRequestError):
                if streamed:
                    async with aclosing(model.astream("is it?")) as pieces:  # type: ignore[type-var]
                        await anext(pieces)
                else:
                    await model.ainvoke("is it?")
            return Answer((await model.ainvoke("is it?")).text)

        await run(planned(tmp_path / "x", System("s", answer)), SAMPLES[:1])
    (record,) = read_records(tmp_path / "x")
    assert (record.correct, record.model_calls, record.unmetered_calls) == (1, *counted)


def test_a_seed_chooses_samples_at_random_and_again_the_same() -> None:
    """Without a seed the first are taken; with one, as many others."""
    assert selected(SAMPLES, limit=2) == SAMPLES[:2]
    assert selected(SAMPLES, limit=3, seed=1) == selected(SAMPLES, limit=3, seed=1) != SAMPLES[:3]
    assert selected(SAMPLES, limit=3, seed=1) == selected(SAMPLES, seed=1)[:3]


def answer_many(out: Path, count: int, begun: Connection) -> None:
    """Run three questions at a time; say of each that it has begun."""

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        begun.send(sample.id)
        await asyncio.sleep(0.002)
        return Answer("yes " * 2000)

    samples = [Sample(str(n), "q", "yes") for n in range(count)]
    asyncio.run(run(planned(out, System("killed", answer), concurrency=3), samples))


def test_a_run_that_is_killed_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """After three SIGKILLs in the middle and one last run, every example has exactly one record."""
    out, count = tmp_path / "x.jsonl", 300  # far more than a run writes before the signal reaches it
    for enough in (10, 15, 15):
        told, begun = processes.FORKS.Pipe(duplex=False)
        process = processes.FORKS.Process(target=answer_many, args=(out, count, begun))
        process.start()
        begun.close()
        for _ in range(enough + 3):  # what the last three come after is written
            told.recv()
        process.kill()
        process.join()
        told.close()
    left = read_records(out)
    assert 40 <= len(left) < count
    told, begun = processes.FORKS.Pipe(duplex=False)
    with told, begun:
        assert processes.run(answer_many, out, count, begun) == (0, "", "")
    assert sorted(int(record.id) for record in read_records(out)) == list(range(count))
