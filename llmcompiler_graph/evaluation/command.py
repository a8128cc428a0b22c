"""The command line of the evaluation: `run` asks and records, `report` and `compare` say what came of it.

    python -m llmcompiler_graph.evaluation run parallelqa -m local --data DIR --out runs/parallelqa.jsonl --limit 20
    python -m llmcompiler_graph.evaluation report runs/*.jsonl --out report
    python -m llmcompiler_graph.evaluation compare runs/before.jsonl runs/after.jsonl --out report
    python -m llmcompiler_graph.evaluation deterministic --data DIR --out report

`deterministic` needs no model. A run that was stopped goes on when the same command is given again.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from langchain_core.rate_limiters import InMemoryRateLimiter

from llmcompiler_graph import ConfigurationError, LLMCompilerError, create_llm_compiler
from llmcompiler_graph.evaluation.cassettes import Cassette, recording, replaying
from llmcompiler_graph.evaluation.prices import read_prices
from llmcompiler_graph.evaluation.records import Benchmark, Model, Record, Sample, System
from llmcompiler_graph.evaluation.runner import Run, run, selected
from llmcompiler_graph.models.lazy import LazyModel, is_local
from llmcompiler_graph.models.prices import PRICES

__all__ = ("BENCHMARKS", "SYSTEMS", "app", "main")

_HERE = "llmcompiler_graph.evaluation"
BENCHMARKS = {
    "game24": f"{_HERE}.benchmarks.game24:GAME24",
    "hotpotqa": f"{_HERE}.benchmarks.hotpotqa:HOTPOTQA",
    "hotpotqa_offline": f"{_HERE}.benchmarks.hotpotqa:HOTPOTQA_OFFLINE",
    "hotpotqa_bridge": f"{_HERE}.benchmarks.hotpotqa:HOTPOTQA_BRIDGE",
    "movie": f"{_HERE}.benchmarks.movie:MOVIE",
    "parallelqa": f"{_HERE}.benchmarks.parallelqa:PARALLELQA",
    "reasoning": f"{_HERE}.benchmarks.reasoning:REASONING",
    "reasoning_held_out": f"{_HERE}.benchmarks.reasoning:REASONING_HELD_OUT",
    "webshop": f"{_HERE}.benchmarks.webshop:WEBSHOP",
    "webshop_full": f"{_HERE}.benchmarks.webshop:WEBSHOP_FULL",
}
"""Where the benchmarks are: `{name: "module:attribute"}`."""
SYSTEMS = {
    name: f"{_HERE}.systems.{name}:{name}"
    for name in (
        "llm_compiler",
        "parallel_calls",
        "plan_and_execute",
        "programmatic",
        "react",
        "rewoo",
        "skeleton_of_thought",
        "tree_of_thoughts",
    )
}
"""Where the systems are made: `{name: "module:function"}`."""

_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "bool": ("true or false", (bool,)),
    "int": ("a whole number", (int,)),
    "int | None": ("a whole number or null", (int, type(None))),
    "float | timedelta | None": ("seconds or null", (int, float, type(None))),
    "str | None": ("text or null", (str, type(None))),
}  # what options may be, by their annotation: of a wrong one each answer would be wrong, or under a wrong name

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(help="The paper's evaluations, and the rivals of today, under one metric.")
def _root() -> None:
    pass


def main() -> None:
    """Run the command line."""
    app(prog_name="python -m llmcompiler_graph.evaluation")


def benchmark_named(name: str) -> Benchmark:
    """The benchmark of this name.

    Raises:
        BadParameter: There is none.
    """
    benchmark = _found(name, BENCHMARKS, "benchmark")
    assert isinstance(benchmark, Benchmark)
    return benchmark


def system_named(name: str, options: dict[str, Any]) -> System:
    """Make the system of this name.

    Raises:
        BadParameter: There is none, or it does not take these options.
    """
    make = _found(name, SYSTEMS, "--system")
    _check_types(options, make)
    try:
        system = make(**options)
    except (TypeError, LLMCompilerError) as error:
        raise typer.BadParameter(str(error), param_hint="--option") from error
    assert isinstance(system, System)
    return system


def _found(name: str, places: dict[str, str], hint: str) -> Any:
    if name not in places:
        msg = f"{name!r} is none of {', '.join(places)}"
        raise typer.BadParameter(msg, param_hint=hint)
    module, _, attribute = places[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def _check_types(options: dict[str, Any], make: Callable[..., System]) -> None:
    parameters = {**inspect.signature(create_llm_compiler).parameters, **inspect.signature(make).parameters}
    for key, value in options.items():
        if key in parameters and (known := _TYPES.get(str(parameters[key].annotation))):
            words, types = known
            if type(value) not in types:
                msg = f"{key} is {words}, in JSON, not {value!r}"
                raise typer.BadParameter(msg, param_hint="--option")


def _options(given: list[str]) -> dict[str, Any]:
    """Read `key=value`s; a value that is not JSON is text."""
    options: dict[str, Any] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or not key.isidentifier():
            msg = f"an option is key=value, not {each!r}"
            raise typer.BadParameter(msg, param_hint="--option")
        try:
            options[key] = json.loads(value)
        except (ValueError, RecursionError):
            options[key] = value
    return options


@app.command(name="run")
def run_command(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK", help=f"One of {', '.join(BENCHMARKS)}.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The JSONL file, one record a line; it is gone on with.")],
    system: Annotated[str, typer.Option(metavar="SYSTEM", help=f"One of {', '.join(SYSTEMS)}.")] = "llm_compiler",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="'local' or 'provider:name'. [default: local; with --replay, the cassette's]",
        ),
    ] = None,
    temperature: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="The model's temperature; 'none' sends none, for models that refuse it. [default: 0, the paper's; "
            "with --replay, the cassette's]",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An option of the system, its value in JSON. May be repeated."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A directory with the datasets; without one they are downloaded, and searches are of Wikipedia. With "
            "one, searches find the observations that it holds and nothing else: keep the records of both apart.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="How many samples.")] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Choose samples at random; also given to models that take one.")
    ] = None,
    ids: Annotated[str | None, typer.Option(metavar="ID,ID", help="Only these samples.")] = None,
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="How often each is asked.")] = 1,
    plan_only: Annotated[
        bool, typer.Option("--plan-only", help="Plan and judge the plan; run and join nothing.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, metavar="N", help="Samples at a time.")] = 1,
    rate: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="N", help="Model calls per second at most; latencies contain the waiting."),
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, metavar="N", help="How often the provider's failures are retried.")
    ] = 5,
    minutes: Annotated[
        float | None, typer.Option(min=0, metavar="N", help="Begin no further sample after this long.")
    ] = None,
    prices: Annotated[Path | None, typer.Option(metavar="FILE", help="A JSON file of prices, before our own.")] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also add what model and tools say, and when, to this cassette.")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ask nobody but this cassette, on a virtual clock: tier 'recorded'."),
    ] = None,
) -> None:
    """Ask the questions of a benchmark, and record each answer in a JSONL file.

    The same command goes on where it was stopped. Progress goes to stderr.
    """
    if record is not None and replay is not None:
        raise typer.BadParameter("a cassette is recorded or replayed, not both", param_hint="--replay")
    if replay is not None and repeats > 1:
        raise typer.BadParameter("a cassette holds one answer to each sample", param_hint="--repeats")
    degrees = _temperature("0" if temperature is None else temperature)
    chosen = benchmark_named(benchmark)
    made = system_named(system, _options(option or []) | ({"plan_only": True} if plan_only else {}))
    with _reported():
        asked = _Asked(made, model or "local", degrees)
        if replay is not None:
            asked = _replayed(made, Cassette(replay), model, degrees, is_given=temperature is not None)
        if record is not None:
            asked = _recorded(asked, Cassette(record))
        samples = selected(_samples(benchmark, chosen, data, ids, with_entities=plan_only), limit=limit, seed=seed)
        llm: Model = asked.model
        if replay is None:
            llm = _model(asked.model, rate, seed, degrees)
            LazyModel(llm).get()  # now: loading a local one is no part of the first answer
        plan = Run(
            benchmark=chosen,
            system=asked.system,
            model=llm,
            model_name=asked.model,
            out=out,
            tier="live" if replay is None else "recorded",
            plan_only=plan_only,
            repeats=repeats,
            seed=seed,
            temperature=asked.temperature,
            concurrency=concurrency,
            retries=retries,
            seconds=None if minutes is None else 60 * minutes,
            prices=PRICES if prices is None else read_prices(prices),
        )
        try:
            added = asyncio.run(run(plan, samples, _tell))
        except KeyboardInterrupt:
            typer.echo("interrupted: the same command goes on", err=True)
            raise typer.Exit(130) from None
    typer.echo(f"{added} examples added to {out}", err=True)


class _Asked(NamedTuple):
    """Who is asked: a system with a model, live, or as a cassette has them."""

    system: System
    model: str
    temperature: float | None


def _replayed(
    system: System, cassette: Cassette, model: str | None, temperature: float | None, *, is_given: bool
) -> _Asked:
    """A system whose model and tools are a cassette; of its only temperature, unless one is given."""
    name = _recorded_model(cassette, model)
    there = cassette.temperatures(name)
    if not is_given and len(there) == 1:
        temperature = next(iter(there))
    replay = replaying(system, cassette, name)
    _check_temperature(cassette, name, temperature, "--temperature")
    return _Asked(replay, name, temperature)


def _recorded(asked: _Asked, cassette: Cassette) -> _Asked:
    """The same, with what model and tools say added to a cassette."""
    _check_temperature(cassette, asked.model, asked.temperature, "--record")
    return asked._replace(system=recording(asked.system, cassette, asked.model, asked.temperature))


def _samples(
    name: str, benchmark: Benchmark, data: Path | None, ids: str | None, *, with_entities: bool
) -> list[Sample]:
    """The samples of a benchmark that are asked for; with entities, those whose plan can be judged."""
    samples = benchmark.load(data)
    if ids is not None:
        samples = _with_ids(samples, ids.split(","))
    if with_entities:
        samples = [each for each in samples if each.entities]
    if not samples:
        what = "whose plan can be judged" if with_entities else f"in {str(data)!r}"
        msg = f"{name!r} has no sample {what}"
        raise ConfigurationError(msg)
    return samples


@app.command(name="report")
def report_command(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="JSONL files that `run` wrote.", exists=True, dir_okay=False),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where report.md, report.json and plots go; else the report is printed."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="SYSTEM", help="What to compare with, by its name in the records. [default: ReAct]"),
    ] = None,
    plots: Annotated[bool, typer.Option(help="Whether to draw.")] = True,
) -> None:
    """Summarise records: accuracy, latency and tokens with intervals, and paired tests against a baseline."""
    from llmcompiler_graph.evaluation import report  # numpy, which a run does not need

    with _reported(ValueError):
        records = report.read_all(files)
        if not records:
            msg = f"no record in {', '.join(repr(str(each)) for each in files)}"
            raise ConfigurationError(msg)
        tables = report.tables(records, baseline)
    if out is None:
        typer.echo(report.markdown(tables))
        return
    with _reported():
        report.write(tables, out)
        if plots:
            from llmcompiler_graph.evaluation.plots import draw_all

            draw_all(tables, records, out)
    typer.echo(f"written to {out}", err=True)


@app.command(name="compare")
def compare_command(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="A JSONL file that `run` wrote: before.", exists=True, dir_okay=False)
    ],
    second: Annotated[
        Path, typer.Argument(metavar="B", help="Another, compared with it: after.", exists=True, dir_okay=False)
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where compare.md and plots go; else the tables are printed."),
    ] = None,
    plots: Annotated[bool, typer.Option(help="Whether to draw.")] = True,
) -> None:
    """Compare two files question by question, in Markdown as a pull request would show it.

    They may be of other systems, options, models or versions, but hold one system each, over the same questions.
    """
    from llmcompiler_graph.evaluation import comparison  # numpy, which a run does not need

    with _reported(ValueError):
        compared = comparison.compare(first, second)
        text = comparison.markdown(compared)
    if out is None:
        typer.echo(text, nl=False)
        return
    with _reported():
        out.mkdir(parents=True, exist_ok=True)
        (out / "compare.md").write_text(text, encoding="utf-8")
        if plots:
            from llmcompiler_graph.evaluation.plots import draw_all

            draw_all(compared.tables, compared.records, out)
    typer.echo(f"written to {out}", err=True)


@app.command(name="deterministic")
def deterministic_command(
    *,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A directory with the datasets; what can be is downloaded if there is none."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where deterministic.md and deterministic.json go.")
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option(metavar="PART", help="Only this part. May be repeated. [default: all]")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Parts at a time. [default: one for each processor]")
    ] = None,
) -> None:
    """Check all that needs no model: gold plans and recorded trees through the real graph, on a virtual clock."""
    from llmcompiler_graph.evaluation.deterministic import tier  # numpy and bm25s, which a run does not need

    for name in part or ():
        if name not in tier.PARTS:
            msg = f"{name!r} is none of {', '.join(tier.PARTS)}"
            raise typer.BadParameter(msg, param_hint="--part")
    if out is not None:
        with _reported():
            out.mkdir(parents=True, exist_ok=True)  # now, not after minutes of work
    began = time.perf_counter()
    results = tier.run_all(data, part or tier.PARTS, jobs)
    seconds = time.perf_counter() - began
    typer.echo(tier.report(results, seconds), nl=False)
    if out is not None:
        tier.write(results, seconds, out)
        typer.echo(f"written to {out}", err=True)
    if any(each.missing for each in results):
        raise typer.Exit(1)


@contextmanager
def _reported(*more: type[Exception]) -> Iterator[None]:
    """Say in words what went wrong that is nobody's bug, and exit; also of `more` kinds."""
    kinds: tuple[type[Exception], ...] = (LLMCompilerError, ImportError, OSError, *more)
    try:
        yield
    except kinds as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def _temperature(given: str) -> float | None:
    """Read a temperature, or that there is none."""
    if given == "none":
        return None
    try:
        degrees = float(given)
    except ValueError:
        degrees = math.nan
    if not 0 <= degrees < math.inf:
        msg = f"a temperature is a number from 0 on, or 'none', not {given!r}"
        raise typer.BadParameter(msg, param_hint="--temperature")
    return degrees


def _with_ids(samples: list[Sample], ids: list[str]) -> list[Sample]:
    """The samples that have these ids."""
    if missing := [each for each in ids if each not in {sample.id for sample in samples}]:
        msg = f"no sample has the id {', '.join(map(repr, missing))}"
        raise typer.BadParameter(msg, param_hint="--ids")
    return [sample for sample in samples if sample.id in ids]


def _recorded_model(cassette: Cassette, wanted: str | None) -> str:
    """The name of the model that is replayed: the one that is wanted, or the cassette's only one."""
    there = cassette.models
    if there and wanted not in {None, *there}:
        msg = f"{str(cassette.path)!r} holds answers of {', '.join(there)}, not of {wanted!r}"
    elif wanted is None and len(there) > 1:
        msg = f"{str(cassette.path)!r} holds answers of {', '.join(there)}: say of which"
    else:
        return wanted or (there[0] if there else "local")
    raise typer.BadParameter(msg, param_hint="--model")


def _check_temperature(cassette: Cassette, model_name: str, degrees: float | None, hint: str) -> None:
    """One cassette is of one temperature: it has one answer to each question."""
    if others := cassette.temperatures(model_name) - {degrees}:
        there = ", ".join(sorted("none" if each is None else f"{each:g}" for each in others))
        asked = "none" if degrees is None else f"{degrees:g}"
        msg = f"{str(cassette.path)!r} holds answers of {model_name} at the temperature {there}, not {asked}"
        raise typer.BadParameter(msg, param_hint=hint)


def _model(name: str, rate: float | None, seed: int | None, temperature: float | None) -> Model:
    """The model by its name; an instance where it must be changed."""
    if rate is None and ((is_local(name) and not temperature) or (seed is None and temperature is None)):
        return name  # the embedded one takes no seed, and its temperature is 0
    model = LazyModel(name).get()
    changes: dict[str, Any] = {"local": True} if is_local(name) else {}
    if temperature is not None and "temperature" in type(model).model_fields:
        changes["temperature"] = temperature
    if rate is not None:
        changes["rate_limiter"] = InMemoryRateLimiter(requests_per_second=rate, check_every_n_seconds=0.01)
    if seed is not None and "seed" in type(model).model_fields:
        changes["seed"] = seed
    return model.model_copy(update=changes)


def _tell(record: Record) -> None:
    marks = {True: "✓", False: "✗", None: "·"}
    plan = f"{marks[record.parsed]}{marks[record.references_right]}"
    answer = " ".join(record.answer.split())[:60]
    errors = f"  [{record.errors[0][:80]}]" if record.errors else ""
    scores = f"{record.correct:.2f} {record.lenient:.2f}"
    typer.echo(f"{record.id:>4} {record.wall_s:6.1f} s  plan {plan}  {scores}  {answer}{errors}", err=True)
