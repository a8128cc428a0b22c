"""Kills a run at random moments and resumes it until it is done: nothing finished runs twice, nothing is lost.

python -m tests.benchmarks.crash_resume [--runs 200] [--postgres [URL]] [--seed 0] [--tasks 2000]

Each run is a 12-task plan (with `--tasks`, one of so many, each of which needs the one 50 before it) in a process of
its own, with a checkpointer on disk, under strict msgpack. The process is killed (SIGKILL) at a random moment of its
run, and started again on the same thread; one to three times, until it ends by itself. Every tool and model call is
counted in an SQLite file. Before each restart the checkpoint is read: a task whose result was in it must not run again.
`--postgres` without a URL starts a server of its own.

The processes are forked from this one, which has imported everything and runs nothing: only that makes them cheap.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import select
import signal
import sqlite3
import statistics
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # read when LangGraph is imported

from langchain_core.messages import BaseMessage
from langchain_core.tools import tool
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from tests.postgres import new_database, running_server

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
THREAD: Any = {"configurable": {"thread_id": "crash"}}


def large_plan(tasks: int) -> str:
    """A plan of many tasks."""
    lines = (f'{n}. work(n="{n}{f" ${n - 50}" if n > 50 else ""}")' for n in range(1, tasks + 1))
    return "\n".join([*lines, f"{tasks + 1}. join()"])


class Driver:
    """What the process that is killed does."""

    def __init__(self, counts: str, tasks: int | None) -> None:
        self.tasks = tasks
        self.counts = sqlite3.connect(counts, timeout=30, isolation_level=None, check_same_thread=False)
        self.counts.execute("create table if not exists calls (what text)")

    def count(self, what: str) -> None:
        """Note that something ran."""
        self.counts.execute("insert into calls values (?)", (what,))

    def graph(self, checkpointer: Any) -> Any:
        """The graph whose runs are killed."""

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
            return large_plan(self.tasks) if self.tasks else PLAN

        def joined(messages: list[BaseMessage]) -> str:
            self.count("model:joiner")
            if self.tasks:
                return f"Finish: {ANSWER}"
            seen = str(messages[-1].content)
            found = [
                line.rpartition(" = ")[2].strip('"') for line in seen.splitlines() if line[:2] in ("12", "8.", "11")
            ]
            return f"Finish: {found[2]} {found[0]} {found[1]}"

        def reply(messages: list[BaseMessage]) -> str:
            return joined(messages) if "Observations" in str(messages[-1].content) else planned(messages)

        model = ScriptedModel([reply, reply], seconds_per_reply=0.1, chunk_size=0 if self.tasks else 4)
        before = ["task_fetching_unit"] if self.tasks else None  # so that no task runs while the plan is written
        return create_llm_compiler(model, [work, write], checkpointer=checkpointer, interrupt_before=before)

    async def run(self, store: str) -> str:
        """Run the thread to its end, from wherever it stands; return the answer."""
        kind: Any = AsyncPostgresSaver if store.startswith("postgres") else AsyncSqliteSaver
        async with kind.from_conn_string(store) as saver:
            graph = self.graph(saver)
            begun = (await graph.aget_state(THREAD)).values
            final = await graph.ainvoke(None if begun else {"messages": [("user", "go")]}, THREAD)
            if (await graph.aget_state(THREAD)).next:
                final = await graph.ainvoke(None, THREAD)
            return str(final["messages"][-1].content)


def checkpoints(store: str) -> Any:
    """Open the checkpoints for reading: a PostgreSQL URL or an SQLite path."""
    kind: Any = PostgresSaver if store.startswith("postgres") else SqliteSaver
    return kind.from_conn_string(store)


def persisted(store: str) -> set[str]:
    """The calls whose results the checkpoint holds, as the counts name them."""
    with checkpoints(store) as saver:
        held = saver.get_tuple(THREAD)
        inside = list(saver.list({"configurable": {"thread_id": "crash"}}))  # also those of graphs inside the node
    if held is None:
        return set()
    names: dict[str, str] = {}
    done: set[str] = set()
    for task in held.checkpoint["channel_values"].get("tasks", []):
        names[task["tool_call_id"]] = task["tool"]
        if task["status"] == "done":
            done.add(f"{task['tool']}:{task['arguments'][0]['n']}")
    written = [value for step in [held, *inside] for _, _, value in step.pending_writes or []]
    for value in (value for value in written if isinstance(value, dict)):
        for result in value.get("results", [value]):
            if result.get("status") == "done" and result.get("arguments"):
                done.add(f"{names[result['tool_call_id']]}:{result['arguments'][0]['n']}")
    return done


def counted(counts: Path) -> Counter[str]:
    """How often each call has been made so far."""
    if not counts.exists():
        return Counter()
    with closing(sqlite3.connect(counts, timeout=30)) as db:
        if not db.execute("select 1 from sqlite_master where name = 'calls'").fetchone():
            return Counter()
        return Counter(what for (what,) in db.execute("select what from calls"))


async def resumed(store: str, counts: Path, tasks: int | None) -> str:
    """Run the thread to its end, in a process that opens all it uses itself."""
    return await Driver(str(counts), tasks).run(store)


def drive(run: Callable[[], Coroutine[Any, Any, str]], moment: float | None) -> str | None:
    """Start a process that runs a thread; kill it after some seconds; return its answer, or `None` if it was.

    Args:
        run: Runs the thread to its end, from wherever it stands; gives its answer.
        moment: When the process is killed, in seconds; `None` for never.
    """
    answer, told = os.pipe()
    if (process := os.fork()) == 0:
        try:
            os.write(told, asyncio.run(run()).encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(told)
    with open(answer, "rb") as stream:
        if not select.select([stream], [], [], moment)[0]:
            os.kill(process, signal.SIGKILL)
        text = stream.read().decode()
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        return None
    assert status == 0, "the run itself broke down: see above"
    return text


class Outcome(NamedTuple):
    """What one run came to."""

    right: bool
    kills: int
    repeated_persisted: int
    repeated_unfinished: int
    plans: int


def one_run(store: str, counts: Path, rng: random.Random, longest: float, tasks: int | None) -> Outcome:
    """Kill and resume one thread until it is done."""
    kills, repeated, most = 0, 0, rng.randint(1, 3)
    known: set[str] = set()
    before: Counter[str] = Counter()
    while True:
        answer = drive(partial(resumed, store, counts, tasks), rng.uniform(0, longest) if kills < most else None)
        ran = counted(counts)
        repeated += sum(ran[what] - before[what] for what in known)
        if answer is not None:
            break
        kills += 1
        known, before = persisted(store), ran
    calls = {what: n for what, n in ran.items() if not what.startswith("model:")}
    return Outcome(
        right=answer == ANSWER and len(calls) == (tasks or 12),
        kills=kills,
        repeated_persisted=repeated,
        repeated_unfinished=sum(calls.values()) - (tasks or 12) - repeated,
        plans=ran["model:planner"],
    )


def main() -> None:
    """Kill runs until there are enough that were killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="runs that are killed at least once")
    parser.add_argument("--postgres", nargs="?", const="own", help="keep the checkpoints in PostgreSQL")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", type=int, help="of a larger plan")
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with ExitStack() as stack:
        server = stack.enter_context(running_server()) if given.postgres == "own" else given.postgres
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def places() -> tuple[str, Path]:
            name = f"crash_{uuid4().hex}"
            store = new_database(server, name) if server else str(folder / f"{name}.checkpoints")
            with checkpoints(store) as saver:
                saver.setup()
            return store, folder / f"{name}.counts"

        unkilled = []
        for _ in range(1 if given.tasks else 5):
            store, counts = places()
            began = time.perf_counter()
            assert drive(partial(resumed, store, counts, given.tasks), None) == ANSWER
            unkilled.append(time.perf_counter() - began)
        longest = statistics.median(unkilled)
        print(f"a run that is not killed takes {longest:.2f} s", flush=True)
        outcomes: list[Outcome] = []
        while len(outcomes) < given.runs:
            outcome = one_run(*places(), rng, longest, given.tasks)
            if outcome.kills:  # else it ended before its moment
                outcomes.append(outcome)
            if not outcome.right or outcome.repeated_persisted or len(outcomes) % 25 == 0 or given.tasks:
                print(len(outcomes), outcome, flush=True)
    kills, plans = sum(o.kills for o in outcomes), sum(o.plans for o in outcomes)
    print(
        f"{len(outcomes)} runs, {kills} kills: right {sum(o.right for o in outcomes)}/{len(outcomes)}; "
        f"persisted tasks that ran again {sum(o.repeated_persisted for o in outcomes)}; "
        f"unfinished tasks that ran again {sum(o.repeated_unfinished for o in outcomes)}; "
        f"plans asked for {plans} ({plans - len(outcomes)} of them again, killed while they were written)"
    )


if __name__ == "__main__":
    main()
