"""The whole deterministic tier: every part of it over its data, in processes of their own, as one table.

python -m llmcompiler_graph.evaluation deterministic --data DIR --out DIR
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from llmcompiler_graph.evaluation.data import DataError, dataset_directory, dataset_file
from llmcompiler_graph.evaluation.deterministic import (
    asynchow,
    game24_replay,
    gold_calls,
    mathqa,
    paper_model,
    webshop_shopper,
)
from llmcompiler_graph.evaluation.deterministic.rows import Row, table
from llmcompiler_graph.evaluation.webshop.products import TEST_GOALS, read_shop

__all__ = ("PARTS", "Result", "report", "run_all", "write")


@dataclass(frozen=True, slots=True)
class Result:
    """What one part of the tier gave."""

    part: str
    """Its name."""
    rows: tuple[Row, ...]
    """Its figures."""
    details: tuple[str, ...] = ()
    """What is not as it should be, one by one."""
    missing: str = ""
    """What is wrong with its data, most often that it is not there; empty if it ran."""
    seconds: float = 0.0
    """How long it took, in real time."""
    cpu_seconds: float = 0.0
    """How much of a processor's time it took: all of it, on a machine that has nothing else to do."""


def _asynchow(data: Path | None) -> Result:
    return Result("asynchow", tuple(asynchow.rows(asynchow.read(dataset_file("asynchow/async_dags.jsonl", data)))))


def _mathqa(data: Path | None) -> Result:
    return Result("mathqa", tuple(mathqa.rows(mathqa.read(dataset_file("mathqa_dag/mathqa_exec_dags.jsonl", data)))))


def _nestools(data: Path | None) -> Result:
    return _gold_calls("NesTools", gold_calls.read_nestools(dataset_file("nestools/test_data.jsonl", data)))


def _bfcl(data: Path | None) -> Result:
    return _gold_calls("BFCL", gold_calls.read_bfcl(dataset_directory("bfcl/ast", data)))


def _gold_calls(name: str, samples: list[gold_calls.GoldCalls]) -> Result:
    refused = tuple(f"{each.id}: {each.why}" for each in gold_calls.refused(samples))
    return Result(name.lower(), tuple(gold_calls.rows(name, samples)), refused)


def _game24(data: Path | None) -> Result:
    path = dataset_file("game24/tot_gpt4_propose1_value3_greedy5_900_1000.json", data)
    return Result("game24", tuple(game24_replay.rows(game24_replay.read(path))))


def _webshop(data: Path | None) -> Result:
    shop = read_shop(dataset_directory("webshop", data))
    return Result("webshop", tuple(webshop_shopper.rows(shop, shop.goals[:TEST_GOALS])))


def _paper_model(data: Path | None) -> Result:
    return Result("paper_model", tuple(paper_model.rows()))


PARTS: Mapping[str, Callable[[Path | None], Result]] = {
    "asynchow": _asynchow,
    "mathqa": _mathqa,
    "nestools": _nestools,
    "bfcl": _bfcl,
    "game24": _game24,
    "webshop": _webshop,
    "paper_model": _paper_model,
}
"""Every part, by name: it takes a data directory."""

_LONGEST_FIRST = ("game24", "webshop", "mathqa", "asynchow", "paper_model", "nestools", "bfcl")


def run_all(data: Path | None, parts: Iterable[str] = PARTS, jobs: int | None = None) -> list[Result]:
    """Run parts of the tier, all by default; a part whose data is missing says so.

    Args:
        data: The data directory; `None` to download what can be.
        parts: Names out of `PARTS`.
        jobs: How many run at a time, each in its own process; one for each processor if not given.
    """
    wanted = list(parts)
    workers = min(jobs or os.cpu_count() or 1, len(wanted))
    if workers <= 1:
        return [_run(name, data) for name in wanted]
    # spawned, not forked: the caller may have threads
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        order = sorted(wanted, key=_LONGEST_FIRST.index)
        running = {name: pool.submit(_run, name, data) for name in order}
        return [running[name].result() for name in wanted]


def _run(name: str, data: Path | None) -> Result:
    began, cpu = time.perf_counter(), time.process_time()
    try:
        result = PARTS[name](data)
    except DataError as error:
        return Result(name, (), missing=str(error))
    return replace(
        result,
        seconds=round(time.perf_counter() - began, 1),
        cpu_seconds=round(time.process_time() - cpu, 1),
    )


def report(results: Iterable[Result], seconds: float) -> str:
    """Write the table in Markdown, with its notes, what is missing, and how long it took."""
    listed = list(results)
    parts = ["# Deterministic tier: no model was asked", table(row for each in listed for row in each.rows)]
    parts += [f"Not run: {each.part}: {each.missing}" for each in listed if each.missing]
    for each in listed:
        if each.details:
            parts.append("\n".join([f"Refused of {each.part}:", *(f"- {' '.join(d.split())}" for d in each.details)]))
    times = ", ".join(f"{each.part} {each.cpu_seconds:.0f}" for each in listed if not each.missing)
    total = sum(each.cpu_seconds for each in listed)
    parts.append(f"Took {seconds:.0f} s, parts side by side, and {total:.0f} s of processor time ({times}).")
    return "\n\n".join(parts) + "\n"


def write(results: Iterable[Result], seconds: float, directory: Path) -> None:
    """Write `deterministic.md` and `deterministic.json` into a directory."""
    listed = list(results)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "deterministic.md").write_text(report(listed, seconds), encoding="utf-8")
    content = {"tier": "deterministic", "seconds": round(seconds, 1), "parts": [asdict(each) for each in listed]}
    (directory / "deterministic.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
