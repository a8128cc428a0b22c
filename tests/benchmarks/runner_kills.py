"""The evaluation's runner, killed at random: the file must end complete, no example twice.

python tests/benchmarks/runner_kills.py [KILLS] [SEED]

Each round starts the runner on a scripted system (three examples at a time, 2-20 ms each, records of 20-200 kB) and
sends SIGKILL after 10-400 ms of work; then one last round is let finish.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, Score, System
from llmcompiler_graph.evaluation.runner import Run, read_records, run

COUNT = 1500


async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
    """Take a while and say a lot."""
    chance = random.Random(sample.id)
    await asyncio.sleep(chance.uniform(0.002, 0.02))
    return Answer("word " * chance.randrange(4_000, 40_000))


def work(out: Path) -> None:
    """Run everything that has no record yet."""
    benchmark = Benchmark("kills", lambda data: [], lambda sample, model: [], lambda text, sample: Score(1, 1))
    samples = [Sample(str(number), "?", "!") for number in range(COUNT)]
    print("ready", flush=True)
    asyncio.run(run(Run(benchmark, System("scripted", answer), "none", "none", out, concurrency=3), samples))


def main(kills: int, seed: int) -> None:
    """Kill, resume, check."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "records.jsonl"
        command = [sys.executable, __file__, "--work", str(out)]
        torn = survived = 0
        for number in range(kills):
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(chance.uniform(0.01, 0.4))
                survived += process.poll() is not None
                process.send_signal(signal.SIGKILL)
            content = out.read_bytes() if out.exists() else b""
            torn += bool(content) and not content.endswith(b"\n")
            print(f"kill {number + 1:2}: {len(read_records(out))} of {COUNT} records", flush=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        ids = [int(record.id) for record in read_records(out)]
    print(f"{kills} kills ({survived} came too late), {torn} torn last lines; at the end {len(ids)} records")
    assert sorted(ids) == list(range(COUNT)), "an example is missing or there twice"
    print(f"complete, no example twice: {COUNT} of {COUNT}")


if __name__ == "__main__":
    if "--work" in sys.argv:
        work(Path(sys.argv[2]))
    else:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
        main(*(int(each) for each in [*sys.argv[1:], *("20", "0")[len(sys.argv) - 1 :]]))
