"""The live tier on the embedded model: systems in turn on each question, so that a busy machine is busy for all.

    python tests/benchmarks/live_local.py parallelqa 20 --data ../shared/data llm_compiler react parallel_calls

One JSONL file per benchmark and system, in the evaluation's own format; the same command goes on.
Compare them with `python -m llmcompiler_graph.evaluation report runs/*.jsonl --out report`.
"""

import argparse
import asyncio
import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool

from llmcompiler_graph.evaluation.cassettes.stand_ins import function_of, with_function
from llmcompiler_graph.evaluation.command import benchmark_named, system_named
from llmcompiler_graph.evaluation.records import STOPPED, Answer, Benchmark, Model, Record, Sample, System
from llmcompiler_graph.evaluation.runner import Run, run, selected


def slowed(benchmark: Benchmark, seconds: float) -> Benchmark:
    """The benchmark, with searches that take so many seconds more, as over a network."""

    def slow(tool: BaseTool) -> BaseTool:
        call = function_of(tool)

        async def search(**arguments: Any) -> Any:
            await asyncio.sleep(seconds)
            return await call(**arguments)

        return with_function(tool, search)

    def tools(sample: Sample, model: Model) -> list[BaseTool]:
        return [slow(tool) if tool.name == "search" else tool for tool in benchmark.tools(sample, model)]

    return replace(benchmark, tools=tools)


def timed(system: System, seconds: float) -> System:
    """The system, which is stopped after so many seconds on a question: that is no answer."""

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        timer = asyncio.timeout(seconds)
        try:
            async with timer:
                return await system.answer(sample, benchmark, model)
        except TimeoutError:
            if not timer.expired():
                raise
            return Answer("", errors=(f"{STOPPED}{seconds:g} s",))

    return replace(system, answer=answer)


def told(record: Record) -> None:
    """Print a line for a record."""
    answer = " ".join(record.answer.split())[:50]
    marks = f"{record.correct:.0f} {record.lenient:.0f} parsed={record.parsed} right={record.references_right}"
    print(f"{record.system:16.60} {record.id:>6} {record.wall_s:6.1f} s {marks} {answer!r}", flush=True)


async def main(given: argparse.Namespace) -> None:
    """Ask the first, or all, questions of a benchmark."""
    benchmark = slowed(benchmark_named(given.benchmark), given.search_latency)
    if given.max_steps:
        benchmark = replace(benchmark, max_steps=given.max_steps)
    plans: list[Run] = []
    for text in given.systems:
        name, _, options = text.partition(":")
        settings = json.loads(options or "{}")
        system = system_named(name, settings)
        if given.seconds:
            system = timed(system, given.seconds)
        label = re.sub(r"[^\w.-]+", "-", f"{given.benchmark}-{given.model}-{text}").strip("-")
        plans.append(
            Run(
                benchmark=benchmark,
                system=system,
                model=given.model,
                model_name=given.model,
                out=given.out / f"{label}.jsonl",
                plan_only=bool(settings.get("plan_only")),
            )
        )
    samples = benchmark.load(given.data)
    if any(plan.plan_only for plan in plans):
        samples = [each for each in samples if each.entities]
    shuffled = selected(samples, seed=given.seed)
    if given.ids:
        shuffled.sort(key=lambda sample: sample.id not in given.ids)  # stable: those that were named come first
    chosen, others = shuffled[: given.n], shuffled[given.n :]
    with tempfile.TemporaryDirectory() as directory:  # no system is to pay for evaluating its prompt's prefix at first
        for plan in plans if given.warm and others else ():
            await run(replace(plan, out=Path(directory, plan.out.name)), [others[0]])
    for sample in chosen:
        for plan in plans:
            await run(plan, [sample], told)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmark")
    parser.add_argument("n", type=int)
    parser.add_argument("systems", nargs="+", metavar="SYSTEM[:JSON]")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--model", default="local")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--ids", type=lambda text: text.split(","), default=[], help="samples to ask first")
    parser.add_argument("--max-steps", type=int, help="model calls for systems that loop (default: the benchmark's)")
    parser.add_argument("--seconds", type=float, help="how long a system may take for a question")
    parser.add_argument("--search-latency", type=float, default=0.0, help="seconds to add to each search")
    parser.add_argument("--warm", action="store_true", help="ask each system one more question first, unrecorded")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(arguments))
