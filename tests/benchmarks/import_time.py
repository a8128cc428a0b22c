"""How long imports take, in fresh processes, one after the other and in turns: medians of wall and processor time.

python tests/benchmarks/import_time.py [--runs 5]

Everything is compiled beforehand, into a folder of this run. Below, what the import of `create_llm_compiler` loads that
`create_agent`'s does not, and the reverse: milliseconds by package, as `python -X importtime` counts them (median of
the runs; without what they import in turn).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import defaultdict
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

OURS, THEIRS = "from llmcompiler_graph import create_llm_compiler", "from langchain.agents import create_agent"
HELP = "import sys; sys.argv[1:] = ['--help']; from llmcompiler_graph.cli.commands import main; main()"
TIMED = {
    "nothing": "pass",
    OURS: OURS,
    THEIRS: THEIRS,
    "from llmcompiler_graph import parse_plan": "from llmcompiler_graph import parse_plan",
    "llmcompiler --help": HELP,
}


def timed(code: str) -> tuple[float, float]:
    """Run code in a process of its own; return its wall and its processor time, in seconds."""
    began, before = perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    wall, after = perf_counter() - began, os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return wall, used


def by_module(code: str) -> dict[str, float]:
    """How long each module takes to import without what it imports in turn, in milliseconds."""
    run = subprocess.run([sys.executable, "-X", "importtime", "-c", code], check=True, capture_output=True, text=True)
    taken: dict[str, float] = {}
    for line in run.stderr.splitlines():
        own, _, name = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            taken[name.strip()] = int(own) / 1000
    return taken


def by_package(runs: list[dict[str, float]], without: list[dict[str, float]]) -> dict[str, float]:
    """Add up what the others do not import, by package (and folder of ours)."""
    known = {name for run in without for name in run}
    found: defaultdict[str, list[float]] = defaultdict(list)
    for run in runs:
        sums: defaultdict[str, float] = defaultdict(float)
        for name, taken in run.items():
            if name not in known:
                parts = name.split(".")
                sums[".".join(parts[: 2 if parts[0].startswith(("llmcompiler", "lang")) else 1])] += taken
        for package, taken in sums.items():
            found[package].append(taken)
    return {package: median(taken) for package, taken in found.items()}


def main() -> None:
    """Measure what the command line asks for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=5)
    runs = range(arguments.parse_args().runs)
    with TemporaryDirectory() as compiled:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = compiled
        measure(runs)


def measure(runs: range) -> None:
    """Measure and print, in processes with this environment."""
    for code in TIMED.values():
        timed(code)  # compiles it
    taken = [{name: timed(code) for name, code in TIMED.items()} for _ in runs]
    print(f"{'':52}{'wall':>8}{'processor':>11}   seconds, medians of {len(runs)}")
    for name in TIMED:
        wall, used = (median(run[name][which] for run in taken) for which in (0, 1))
        print(f"{name:52}{wall:8.2f}{used:11.2f}")
    ratios = [median(run[OURS][which] / run[THEIRS][which] for run in taken) for which in (0, 1)]
    print(f"{'ours / theirs, median of the pairs':52}{ratios[0]:8.2f}{ratios[1]:11.2f}")
    ours, theirs = ([by_module(code) for _ in runs] for code in (OURS, THEIRS))
    for whose, packages in (("ours", by_package(ours, theirs)), ("theirs", by_package(theirs, ours))):
        print(f"\nonly {whose} imports: {sum(packages.values()):.0f} ms")
        for package, own in sorted(packages.items(), key=lambda item: -item[1])[:10]:
            print(f"  {package:50}{own:8.1f}")


if __name__ == "__main__":
    main()
