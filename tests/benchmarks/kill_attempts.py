"""Kills polls and batches at random moments and resumes them: no attempt, and no element, that had ended runs again.

python -m tests.benchmarks.kill_attempts [--runs 50] [--seed 0]

A plan polls a job, and three jobs at once, six times each, and looks thirty things up in calls of five. Its process is
killed (SIGKILL) at a random moment, and started again on the same thread; one to three times, until it ends by itself.
Every attempt and every element is noted in an SQLite file when it begins. After a kill the checkpoint is read: those
whose results are in it must not begin again.

The processes are forked from this one, which has imported everything and runs nothing: only that makes them cheap.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sqlite3
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # read when LangGraph is imported

from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from tests.benchmarks.crash_resume import counted, drive

ATTEMPTS, ELEMENTS, WORK = 6, 30, 0.05
PLAN = f"""\
1. status("a") until $1 == "never" max {ATTEMPTS} every 0.02
2. status(["b", "c", "d"][*]) until $2 == "never" max {ATTEMPTS} every 0.02
3. look({[f"e{n}" for n in range(ELEMENTS)]}[*])
4. join()"""
EXPECTED = Counter(
    {"a": ATTEMPTS, "b": ATTEMPTS, "c": ATTEMPTS, "d": ATTEMPTS, **{f"e{n}": 1 for n in range(ELEMENTS)}}
)
THREAD: Any = {"configurable": {"thread_id": "kill"}}


async def run(folder: Path) -> str:
    """Run the thread to its end, from wherever it stands; give its answer."""
    calls = sqlite3.connect(folder / "calls", timeout=30, isolation_level=None)
    calls.execute("create table if not exists calls (what text)")

    def note(what: str) -> None:
        calls.execute("insert into calls values (?)", (what,))

    @tool
    async def status(id: str) -> str:
        """Look at a job."""
        note(id)
        await asyncio.sleep(WORK)
        return f"running {id}"

    @tool
    async def look(what: str) -> str:
        """Look."""
        raise AssertionError

    @tool
    async def look_many(things: list[str]) -> list[str]:
        """Look."""
        for thing in things:
            note(thing)
        await asyncio.sleep(WORK)
        return [thing.upper() for thing in things]

    status.metadata = {"readOnlyHint": True}
    look.metadata = {"readOnlyHint": True, "batch": "look_many"}
    async with AsyncSqliteSaver.from_conn_string(str(folder / "checkpoints")) as saver:
        await saver.setup()
        model = ScriptedModel([lambda m: "Finish: so" if "Observations" in str(m[-1].content) else PLAN] * 2)
        options: Any = {"tool_concurrency": {"look": 5}, "checkpointer": saver}
        graph = create_llm_compiler(model, [status, look, look_many], **options)
        begun = (await graph.aget_state(THREAD)).values
        final = await graph.ainvoke(None if begun else {"messages": [("user", "go")]}, THREAD)
        if (await graph.aget_state(THREAD)).next:
            final = await graph.ainvoke(None, THREAD)
        first, second, third = final["tasks"]
        assert f"after {ATTEMPTS} attempts" in first["error"], first
        assert "3 of 3 calls failed" in second["error"], second
        assert third["value"] == [f"E{n}" for n in range(ELEMENTS)], third
        return str(final["messages"][-1].content)


def persisted(folder: Path) -> Counter[str]:
    """How many attempts of each job, and which elements, the checkpoint holds the results of."""
    with SqliteSaver.from_conn_string(str(folder / "checkpoints")) as saver:
        saver.setup()
        steps = list(saver.list({"configurable": {"thread_id": "kill"}}))  # also those of graphs inside the node
    found = Counter[str]()
    for value in {task: value for step in steps for task, _, value in step.pending_writes or []}.values():
        if not isinstance(value, dict) or value.get("status") not in ("done", "failed"):
            continue
        result = value["value"]
        if isinstance(result, str) and result.startswith("running "):  # of an attempt
            found[result.removeprefix("running ")] += 1
        elif isinstance(result, str) and result.startswith("E"):
            found[result.lower()] += 1
    return found


class Outcome(NamedTuple):
    """What one run came to."""

    kills: int
    persisted: int
    """Attempts and elements whose results were in the checkpoint at a kill."""
    repeated_persisted: int
    """Those of them that began again."""
    repeated_unfinished: int
    """Others that did."""


def one_run(folder: Path, rng: random.Random, longest: float) -> Outcome:
    """Kill and resume one thread until it is done."""
    kills, most, repeated, total = 0, rng.randint(1, 3), 0, 0
    known = Counter[str]()
    before = Counter[str]()
    while True:
        answer = drive(partial(run, folder), rng.uniform(0, longest) if kills < most else None)
        begun = counted(folder / "calls") - before
        repeated += sum(max(0, begun[what] + n - EXPECTED[what]) for what, n in known.items())
        if answer is not None:
            break
        kills += 1
        known, before = persisted(folder), counted(folder / "calls")
        total += known.total()
    assert counted(folder / "calls").keys() == EXPECTED.keys()
    return Outcome(kills, total, repeated, counted(folder / "calls").total() - EXPECTED.total() - repeated)


def main() -> None:
    """Kill runs until there are enough that were killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50, help="runs that are killed at least once")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:

        def place(n: int) -> Path:
            made = Path(folder) / str(n)
            made.mkdir()
            return made

        began = time.perf_counter()
        assert drive(partial(run, place(0)), None) is not None
        longest = time.perf_counter() - began
        print(f"a run that is not killed takes {longest:.2f} s", flush=True)
        outcomes: list[Outcome] = []
        n = 0
        while len(outcomes) < given.runs:
            outcome = one_run(place(n := n + 1), rng, longest)
            if outcome.kills:  # else it ended before its moment
                outcomes.append(outcome)
            if outcome.repeated_persisted:
                print(n, outcome, flush=True)
    kills, held = sum(o.kills for o in outcomes), sum(o.persisted for o in outcomes)
    print(
        f"{len(outcomes)} runs, all right, {kills} kills: of {held} persisted attempts and elements ran again "
        f"{sum(o.repeated_persisted for o in outcomes)}, of the others {sum(o.repeated_unfinished for o in outcomes)}"
    )


if __name__ == "__main__":
    main()
