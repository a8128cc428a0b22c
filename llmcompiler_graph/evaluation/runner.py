"""Runs a system over samples and appends one record per example to a JSONL file; a killed run goes on where it was.

Each record is written and flushed to the disk at once. A run that finds its file already there drops a torn last line
and leaves out every example that has a record. Only one run may have a file at a time.

What the provider does wrong (no connection, too many requests, a server's fault) is tried again, with pauses that
double, and then stops the run: nothing is recorded, and the next run tries again. So it is where a tool asks the model
and the system was told of the failure as the tool's. What the system does wrong is its answer: an empty one, counted
wrong, as in the paper.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from llmcompiler_graph import ConfigurationError, LLMCompilerError
from llmcompiler_graph.evaluation.failures import RETRIED, failed_answer, provider_status
from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Record, Sample, Score, Setting, System, Tier
from llmcompiler_graph.evaluation.usage import Usage, measured
from llmcompiler_graph.models.prices import PRICES, Price, cost, price_of

__all__ = ("ProviderError", "Run", "read_records", "run", "selected")

_BEGINNING = b'{"id": '  # of a record: what else stands after the last newline is not a run's, and is not cut off


class ProviderError(LLMCompilerError):
    """The provider of the model failed for good; what was recorded so far is safe, and the same command goes on."""


@dataclass(frozen=True, slots=True)
class Run:
    """What to run, and how."""

    benchmark: Benchmark
    """Says what is asked, with which tools, and how answers are judged."""
    system: System
    """Answers."""
    model: Model
    """The model that the system uses."""
    model_name: str
    """The model's name in the records."""
    out: Path
    """The JSONL file."""
    tier: Tier = "live"
    """What stands behind the numbers."""
    plan_only: bool = False
    """Whether the system only plans: then the score is whether the plan's structure is right."""
    repeats: int = 1
    """How often each sample is asked (the paper: 3 times)."""
    seed: int | None = None
    """Recorded with every example; those of another are done again."""
    temperature: float | None = None
    """Recorded with every example; those of another are done again."""
    concurrency: int = 1
    """Examples at a time; 1 for latencies that can be compared."""
    retries: int = 5
    """How often a failure of the provider is tried again."""
    seconds: float | None = None
    """After how long no further example is begun; `None` for never."""
    prices: Mapping[str, Price] = field(default_factory=lambda: PRICES)
    """What the model costs."""


def selected(samples: Sequence[Sample], *, limit: int | None = None, seed: int | None = None) -> list[Sample]:
    """Choose samples: the first `limit`, or given a seed, so many at random, the same each time."""
    chosen = list(samples)
    if seed is not None:
        random.Random(seed).shuffle(chosen)
    return chosen[:limit]


def read_records(path: Path) -> list[Record]:
    """Read a file of records; a torn last line is left out.

    Raises:
        ValueError: A line before the last is not a record; the message says which.
    """
    records, lines = [], path.read_bytes().split(b"\n") if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append(Record.from_json(line.decode("utf-8")))
        except ValueError as error:
            if number == len(lines):  # no newline came after it: the run was killed while it wrote
                break
            msg = f"{path}, line {number}: {error}"
            raise ValueError(msg) from error
    return records


async def run(plan: Run, samples: Iterable[Sample], on_record: Callable[[Record], None] = lambda record: None) -> int:
    """Run what has no record yet; return how many examples were added.

    Args:
        plan: What to run.
        samples: The samples, in the order they are begun.
        on_record: Told of each record, once it is safe.

    Raises:
        ProviderError: The provider failed, again and again or for good.
        ConfigurationError: Another run has the file, or it is no file of records.
    """
    began, added, samples = time.monotonic(), 0, list(samples)
    with _appending(plan.out) as (file, records):
        done = {record.key for record in records}
        setting = Setting(plan.tier, plan.benchmark.name, plan.model_name, plan.plan_only, plan.temperature, plan.seed)
        todo = iter(
            (sample, repeat)
            for repeat in range(plan.repeats)
            for sample in samples
            if (setting, plan.system.name, sample.id, repeat) not in done
        )

        async def work() -> None:
            nonlocal added
            for sample, repeat in todo:
                if plan.seconds is not None and time.monotonic() - began > plan.seconds:
                    return
                record = await _example(plan, sample, repeat)
                file.write(record.to_json().encode("utf-8") + b"\n")
                file.flush()
                os.fsync(file.fileno())
                added += 1
                on_record(record)

        workers = [asyncio.create_task(work()) for _ in range(plan.concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    return added


@contextmanager
def _appending(path: Path) -> Iterator[tuple[IO[bytes], list[Record]]]:
    """Open the file for appending, alone, after its last whole record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"another run is writing to {str(path)!r}: give this one another file (--out)"
            raise ConfigurationError(msg) from error
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1  # a line counts once its newline is there
        torn = content[whole:]
        if not (torn.startswith(_BEGINNING) or _BEGINNING.startswith(torn)):
            msg = f"{str(path)!r} is no file of records: give this run another one (--out)"
            raise ConfigurationError(msg)
        file.truncate(whole)
        try:
            records = read_records(path)
        except ValueError as error:
            msg = f"{error}: give this run another file (--out)"
            raise ConfigurationError(msg) from error
        yield file, records


async def _example(plan: Run, sample: Sample, repeat: int) -> Record:
    usage, wall, answer = await _answered(plan, sample)
    if plan.plan_only:
        right = float(bool(answer.references_right))
        score = Score(right, right, "the structure of the plan")
    else:
        score = plan.benchmark.score(answer.text, sample)
    return Record(
        id=sample.id,
        benchmark=plan.benchmark.name,
        system=plan.system.name,
        model=plan.model_name,
        tier=plan.tier,
        answer=answer.text,
        correct=float(score.paper),
        lenient=float(score.lenient),
        repeat=repeat,
        seed=plan.seed,
        temperature=plan.temperature,
        plan_only=plan.plan_only,
        wall_s=wall,
        virtual_s=answer.virtual_s,
        model_calls=usage.model_calls,
        unmetered_calls=usage.unmetered_calls,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        tokens_cached=usage.tokens_cached,
        cost_usd=cost(
            plan.model_name,
            tokens_in=usage.tokens_in,
            tokens_out=usage.tokens_out,
            tokens_cached=usage.tokens_cached,
            prices=plan.prices,
        ),
        price=str(price_of(plan.model_name, plan.prices) or ""),
        tasks=answer.tasks,
        width=answer.width,
        depth=answer.depth,
        replans=answer.replans,
        errors=answer.errors,
        plan=answer.plan,
        diagnostics=answer.diagnostics,
        repaired=answer.repaired,
        parsed=answer.parsed,
        references_right=answer.references_right,
        # on a virtual clock, the answer has all of them: what was measured here is real time
        timeline=answer.timeline
        if answer.virtual_s is not None
        else (*answer.timeline, *(each for each in usage.spans if not answer.timeline or each["kind"] == "model")),
        explanation=score.explanation,
    )


async def _answered(plan: Run, sample: Sample) -> tuple[Usage, float, Answer]:
    """Ask once, and again while it is the provider who fails; what is counted is the last attempt."""
    for attempt in range(plan.retries + 1):
        answer: Answer | None
        began = time.monotonic()
        with measured() as usage:
            try:
                answer = await plan.system.answer(sample, plan.benchmark, plan.model)
                for error in usage.model_errors:
                    if provider_status(error, usage.model_errors) is not None and _observed(error, answer):
                        raise error
            except (LLMCompilerError, ImportError):
                raise  # the caller's fault: every other example would meet it too
            except Exception as error:
                status = provider_status(error, usage.model_errors)
                if status is None:
                    answer = failed_answer(error)
                elif status not in RETRIED or attempt == plan.retries:
                    msg = f"{plan.benchmark.name} {sample.id}: {type(error).__name__}: {error}"
                    raise ProviderError(msg) from error
                else:
                    answer = None
        wall = time.monotonic() - began
        if answer is not None:
            return usage, wall, answer
        await asyncio.sleep(2**attempt)
    raise AssertionError  # the last attempt has returned or raised


def _observed(error: BaseException, answer: Answer) -> bool:
    """Whether a model's error in a tool became an observation; else a retry or another model has made up for it."""
    return any(f"{type(error).__name__}: {error}" in each for each in answer.errors)
