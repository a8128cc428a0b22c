"""Kills a run at random moments and resumes it until it is done: nothing finished runs twice, nothing is lost.

python tests/benchmarks/crash_resume.py [--runs 200] [--postgres URL] [--seed 0]

Each run is a 12-task plan in a process of its own, with a checkpointer on disk. The process is killed (SIGKILL) at a
random moment and started again on the same thread, until it ends by itself. Every tool and model call is counted in an
SQLite file. Before each restart the checkpoint is read: a task whose result was in it must not run again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"

PLAN = """\
1. work(n=1)
2. work(n=2)
3. work(n=3)
4. work(n=4)
5. work(n="5$1")
6. work(n="6$2")
7. work(n="7$3$4")
8. write(n="8")
9. work(n="9$5")
10. work(n="10$6$7")
11. write(n="11$6")
12. work(n="12$9$10")
13. join()"""
ANSWER = "129511062734 8 1162"


class Driver:
    """The process that is killed."""

    def __init__(self, counts: str) -> None:
        self.counts = sqlite3.connect(counts, timeout=30, isolation_level=None, check_same_thread=False)
        self.counts.execute("create table if not exists calls (what text)")

    def count(self, what: str) -> None:
        """Note that something ran."""
        self.counts.execute("insert into calls values (?)", (what,))

    def graph(self, checkpointer: Any) -> Any:
        """The graph whose runs are killed."""
        from langchain_core.messages import BaseMessage
        from langchain_core.tools import tool

        from llmcompiler_graph import create_llm_compiler
        from llmcompiler_graph.testing import ScriptedModel

        @tool
        async def work(n: str) -> str:
            """Read-only work."""
            self.count(f"work:{n}")
            await asyncio.sleep(0.03)
            return n

        @tool
        async def write(n: str) -> str:
            """Change something."""
            self.count(f"write:{n}")
            await asyncio.sleep(0.03)
            return n

        write.metadata = {"readOnlyHint": False}

        def planned(_: list[BaseMessage]) -> str:
            self.count("model:planner")
            return PLAN

        def joined(messages: list[BaseMessage]) -> str:
            self.count("model:joiner")
            seen = str(messages[-1].content)
            found = [
                line.rpartition(" = ")[2].strip('"') for line in seen.splitlines() if line[:2] in ("12", "8.", "11")
            ]
            return f"Finish: {found[2]} {found[0]} {found[1]}"

        def reply(messages: list[BaseMessage]) -> str:
            return joined(messages) if "Observations" in str(messages[-1].content) else planned(messages)

        model = ScriptedModel([reply, reply], seconds_per_reply=0.1)
        return create_llm_compiler(model, [work, write], checkpointer=checkpointer)

    async def run(self, store: str) -> None:
        """Run the thread to its end, from wherever it stands."""
        async with checkpointer_at(store) as saver:
            graph = self.graph(saver)
            config = {"configurable": {"thread_id": "crash"}}
            begun = (await graph.aget_state(config)).values
            given = None if begun else {"messages": [("user", "go")]}
            print("ready", flush=True)
            final = await graph.ainvoke(given, config)
            print("answer:", final["messages"][-1].content, flush=True)


def checkpointer_at(store: str) -> Any:
    """Open the checkpointer: a PostgreSQL URL or an SQLite path."""
    if store.startswith("postgres"):
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        return AsyncPostgresSaver.from_conn_string(store)
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    return AsyncSqliteSaver.from_conn_string(store)


async def persisted(store: str) -> set[str]:
    """The calls whose results the checkpoint holds, as the counts name them."""
    async with checkpointer_at(store) as saver:
        if store.startswith("postgres"):
            await saver.setup()
        held = await saver.aget_tuple({"configurable": {"thread_id": "crash"}})
    if held is None:
        return set()
    done: set[str] = set()
    for task in held.checkpoint["channel_values"].get("tasks", []):
        if task["status"] == "done":
            done.add(f"{task['tool']}:{task['arguments'][0]['n']}")
    for _, _, value in held.pending_writes or []:
        if isinstance(value, dict) and value.get("status") == "done" and "arguments" in value:
            done.add(f"{value['attached'][0].name}:{value['arguments'][0]['n']}")
    return done


class Outcome(NamedTuple):
    """What one run came to."""

    right: bool
    kills: int
    repeated_persisted: int
    repeated_unfinished: int
    plans: int


def one_run(store: str, folder: Path, rng: random.Random, longest: float, most_kills: int = 2) -> Outcome:
    """Kill and resume one thread until it is done."""
    counts = str(folder / "counts.sqlite")
    kills = repeated = 0
    known: set[str] = set()
    before: Counter[str] = Counter()
    with closing(sqlite3.connect(counts, timeout=30)) as db:
        while True:
            command = [sys.executable, __file__, "--drive", store, "--counts", counts]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout
                process.stdout.readline()
                time.sleep(rng.uniform(0, longest))
                ended = process.poll() is not None
                if not ended and kills < most_kills:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                answer = process.stdout.read()
            ran = Counter(what for (what,) in db.execute("select what from calls")) if _has_table(db) else Counter()
            repeated += sum((ran[what] - before[what]) for what in known)
            if "answer:" in answer:
                break
            known = asyncio.run(persisted(store))
            before = ran
    calls = {what: n for what, n in ran.items() if not what.startswith("model:")}
    return Outcome(
        right=f"answer: {ANSWER}" in answer and len(calls) == 12,
        kills=kills,
        repeated_persisted=repeated,
        repeated_unfinished=sum(calls.values()) - 12 - repeated,
        plans=ran["model:planner"],
    )


def _has_table(db: sqlite3.Connection) -> bool:
    return bool(db.execute("select 1 from sqlite_master where name = 'calls'").fetchone())


def main() -> None:
    """Run it, as a driver or as the one who kills drivers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--postgres", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drive", default="")
    parser.add_argument("--counts", default="")
    given = parser.parse_args()
    if given.drive:
        asyncio.run(Driver(given.counts).run(given.drive))
        return
    rng = random.Random(given.seed)
    outcomes: list[Outcome] = []
    kills = 0
    while kills < given.runs:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            store = given.postgres or str(folder / "checkpoints.sqlite")
            if given.postgres:
                asyncio.run(_cleared(store))
            outcomes.append(one_run(store, folder, rng, longest=0.45))
            kills += outcomes[-1].kills
            print(len(outcomes), outcomes[-1], flush=True)
    print(
        f"{kills} kills in {len(outcomes)} runs: "
        f"right {sum(o.right for o in outcomes)}/{len(outcomes)}, "
        f"persisted tasks that ran again {sum(o.repeated_persisted for o in outcomes)}, "
        f"unfinished tasks that ran again {sum(o.repeated_unfinished for o in outcomes)}, "
        f"plans asked for {sum(o.plans for o in outcomes)}"
    )


async def _cleared(store: str) -> None:
    async with checkpointer_at(store) as saver:
        await saver.setup()
        await saver.adelete_thread("crash")


if __name__ == "__main__":
    main()
