"""CPU-bound tools in one process against two Dask worker processes, and what happens when one of those is killed.

python tests/benchmarks/executors.py [--calls 64] [--repeats 5] [--kills 5] [--patience 0]

One plan calls a pure Python function of about 0.15 s that many times, independently. It runs as a plain loop without
any graph, in the graph's own threads, in a `ProcessPoolExecutor` of two, and on two Dask workers, in turns. Then plans
run on Dask while one worker is killed (SIGKILL): with tools that are read-only, and with tools that say nothing.

Each turn says what share of the machine others took meanwhile. With `--patience`, a turn waits for calm, for so many
seconds in all, and only turns in which others took less than a tenth are counted, if there are any.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import os
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from distributed import Client, LocalCluster
from langchain_core.tools import tool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel


@tool
def spin(seed: int, rounds: int, folder: str = "") -> int:
    """Compute a checksum; leave a file that says which process began."""
    if folder:
        (Path(folder) / f"{seed}-{os.getpid()}-{time.monotonic_ns()}").touch()
    value = seed
    for _ in range(rounds):
        value = (value * 1103515245 + 12345) % 2147483648
    return value


function: Callable[..., int] = spin.func  # type: ignore[attr-defined]


def rounds_for(seconds: float) -> int:
    """How many rounds take so long here, when nothing else runs."""
    probe = 200_000
    best = min(_timed_spin(probe) for _ in range(5))
    return int(probe * seconds / best)


def _timed_spin(rounds: int) -> float:
    begun = time.perf_counter()
    function(1, rounds)
    return time.perf_counter() - begun


async def run(calls: int, rounds: int, executor: Executor | None, folder: str = "", hint: bool | None = True) -> Any:
    """Run the plan; return the tasks."""
    plan = "\n".join(f'{n}. spin({n}, rounds={rounds}, folder="{folder}")' for n in range(1, calls + 1))
    given = spin.model_copy(update={"metadata": None if hint is None else {"readOnlyHint": hint}})
    graph = create_llm_compiler(ScriptedModel([plan, "Finish: ok"], chunk_size=0), [given], tool_executor=executor)
    final = await graph.ainvoke({"messages": [("user", "?")]})
    return final["tasks"]


class Machine(NamedTuple):
    """Processor time spent so far, in seconds."""

    busy: float
    """By all processes."""
    own: float
    """By this one and those it started."""
    passed: float
    """Of all cores, spent or not."""

    @classmethod
    def now(cls) -> Machine:
        """Look."""
        times = psutil.cpu_times()
        own = 0.0
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                own += sum(process.cpu_times()[:2])
        return cls(sum(times) - times.idle - times.iowait, own, sum(times))

    def others_since(self) -> float:
        """The share of the machine that others have taken since."""
        now = Machine.now()
        return max(0.0, (now.busy - self.busy) - (now.own - self.own)) / max(0.01, now.passed - self.passed)


CALM = 0.1


def wait_for_calm(until: float) -> None:
    """Wait until others have taken little for three seconds, or until then."""
    while time.monotonic() < until:
        since = Machine.now()
        time.sleep(3)
        if since.others_since() < CALM:
            return


async def compare(
    calls: int, rounds: int, repeats: int, patience: float, ways: dict[str, Callable[[], Awaitable[list[int]]]]
) -> None:
    """Time every way in turns; print medians and ratios within each turn."""
    right = [function(n, rounds) for n in range(1, calls + 1)]
    turns: list[tuple[float, dict[str, float]]] = []
    until = time.monotonic() + patience
    while len(turns) < repeats or (time.monotonic() < until and sum(share < CALM for share, _ in turns) < repeats):
        await asyncio.to_thread(wait_for_calm, until)
        since, times = Machine.now(), {}
        for name, way in ways.items():
            begun = time.perf_counter()
            values = await way()
            times[name] = time.perf_counter() - begun
            assert values == right, name
        turns.append((since.others_since(), times))
        told = "  ".join(f"{name} {taken:.2f} s" for name, taken in times.items())
        print(f"{told}  (others took {turns[-1][0]:.0%} of the machine)", flush=True)
    counted = [times for share, times in turns if share < CALM] or [times for _, times in turns]
    print(
        f"\n| {calls} calls, {len(counted)} of {len(turns)} turns | median | least to most | time / Dask's in a turn |"
    )
    print("|---|---|---|---|")
    for name in ways:
        taken = [times[name] for times in counted]
        ratio = statistics.median(times[name] / times["Dask, 2 workers"] for times in counted)
        print(f"| {name} | {statistics.median(taken):.2f} s | {min(taken):.2f} to {max(taken):.2f} s | {ratio:.2f} |")


async def kill(calls: int, rounds: int, client: Any, hint: bool | None) -> str:
    """Run the plan on Dask, kill a worker when a quarter of the calls have begun; say what came of it."""
    client.wait_for_workers(2)
    right = [function(n, rounds) for n in range(1, calls + 1)]
    with tempfile.TemporaryDirectory() as folder:

        def kill_one() -> int:
            while len(begun := os.listdir(folder)) < calls // 4:
                time.sleep(0.002)
            last = max(begun, key=lambda name: int(name.rpartition("-")[2]))
            pid = int(last.split("-")[1])
            os.kill(pid, signal.SIGKILL)
            return pid

        begun = time.perf_counter()
        killing = asyncio.create_task(asyncio.to_thread(kill_one))
        tasks = await run(calls, rounds, client.get_executor(), folder, hint)
        taken = time.perf_counter() - begun
        await killing
        ran = Counter(int(name.split("-")[0]) for name in os.listdir(folder))
    done = [(task["value"], value) for task, value in zip(tasks, right, strict=True) if task["status"] == "done"]
    lost = [task["error"].partition(":")[0] for task in tasks if task["status"] != "done"]
    return (
        f"{taken:.2f} s; right {sum(a == b for a, b in done)}/{calls}, wrong {sum(a != b for a, b in done)}, "
        f"failed {dict(Counter(lost))}; begun twice: {sum(n > 1 for n in ran.values())}"
    )


async def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.15)
    parser.add_argument("--patience", type=float, default=0)
    given = parser.parse_args()
    calls, rounds = given.calls, rounds_for(given.seconds)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}; a call takes {_timed_spin(rounds):.3f} s alone")
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(2, mp_context=context) as pool,
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):

        def way(executor: Executor | None) -> Callable[[], Awaitable[list[int]]]:
            async def values() -> list[int]:
                return [task["value"] for task in await run(calls, rounds, executor)]

            return values

        async def loop() -> list[int]:
            return [function(n, rounds) for n in range(1, calls + 1)]

        ways = {
            "plain loop, no graph": loop,
            "threads of one process": way(None),
            "ProcessPoolExecutor(2)": way(pool),
            "Dask, 2 workers": way(client.get_executor()),
        }
        for executor in (pool, client.get_executor()):  # the workers import what they need
            await run(8, 1, executor)
        await compare(calls, rounds, given.repeats, given.patience, ways)
        for hint, name in ((True, "read-only"), (None, "no hints")):
            print(f"\none of two workers killed during the plan, {name}:")
            for _ in range(given.kills):
                print(" ", await kill(calls, rounds, client, hint), flush=True)
    print(f"load at the end {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
