"""Many threads at once, with random faults: nothing foreign, nothing lost, nothing left behind.

python -m tests.hostile.load [--threads 200] [--turns 5] [--store sqlite|postgres] [--sync] [--rounds 4] [--seed 0]

In each round every thread asks its questions, one after the other, all threads at once. Faults: tools that raise, hang
and block; models whose streams break or that write nonsense; checkpoints that cannot be written; runs that are
cancelled, and streams that are left. A turn that was broken off goes on from its checkpoint, as a user's next click
would have it. Everything a thread says and sees carries its mark, so that foreign data shows. Memory is measured after
each round, once garbage is collected and free memory is given back; the first round warms up.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import ctypes
import gc
import os
import re
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.graph.clock import TurnClock
from llmcompiler_graph.graph.draft import Draft
from llmcompiler_graph.graph.plan_run import PlanRun
from llmcompiler_graph.graph.task_body import TaskBody
from llmcompiler_graph.testing import ScriptedModel
from tests.postgres import new_database, running_server

__all__ = ("Figures", "Load", "saver_for")

MARK = re.compile(r"T\d+R\d+K\d+")
ATTEMPTS = 12

_OF_RUNS = (PlanRun, Draft, TurnClock, TaskBody)
"""What a run holds, and nothing holds when it has ended."""


class Breakdown(Exception):
    """What a fault raises."""


class Faults:
    """Decides, for each thread, which faults happen.

    Args:
        seed: What all depends on.
        chance: How likely a fault is, at each place.
    """

    def __init__(self, seed: int, chance: float) -> None:
        self.chance = chance
        self.made: Counter[str] = Counter()
        self._seed = seed
        self._of: dict[str, Random] = {}
        self._last: dict[str, str] = {}  # by kind and thread, the last turn in which it happened
        self._quiet: set[str] = set()

    def happens_once(self, thread: str, kind: str, turn: str) -> bool:
        """The same, but for one turn no more than once: a model that is asked again then says something."""
        if self._last.get(f"{kind} {thread}") == turn or not self.happens(thread, kind):
            return False
        self._last[f"{kind} {thread}"] = turn
        return True

    def quiet(self, thread: str, *, on: bool) -> None:
        """Let no fault happen to a thread any more, or again."""
        (self._quiet.add if on else self._quiet.discard)(thread)

    def forget(self, thread: str) -> None:
        """Keep nothing of a thread that has asked all it wants to."""
        self._of.pop(thread, None)
        self._last = {key: turn for key, turn in self._last.items() if not key.endswith(f" {thread}")}
        self._quiet.discard(thread)

    def happens(self, thread: str, kind: str) -> bool:
        """Whether a fault of a kind happens now."""
        if thread in self._quiet or not self.chance:
            return False
        random = self._of.setdefault(thread, Random(f"{self._seed} {thread}"))
        if random.random() < self.chance:
            self.made[kind] += 1
            return True
        return False


def _mark_of(messages: list[BaseMessage]) -> str:
    """The mark of the question that is being answered."""
    for message in reversed(messages):
        if found := MARK.findall(str(message.content)):
            return str(found[-1])
    msg = f"no mark in {messages}"
    raise AssertionError(msg)


class Marked(ScriptedModel):
    """Plans for the mark of the question, and answers with what it is shown; breaks off now and then."""

    faults: Any = None

    def _reply(self, messages: list[BaseMessage], settings: dict[str, Any]) -> AIMessage:
        mark = _mark_of(messages)
        thread = mark.partition("K")[0]
        asked = next(m for m in reversed(messages) if m.type == "human" and "reply was empty" not in m.text)
        if "Observations" in asked.text:
            seen = sorted(set(MARK.findall(asked.text)))
            empty = self.faults.happens_once(thread, "empty answer", mark)
            return AIMessage("" if empty else f"Finish: answer {mark} from {seen}")
        if self.faults.happens_once(thread, "nonsense", mark):
            return AIMessage(f"1. look({mark}\n<tool_call>look\n2. lok('{mark}')")
        return AIMessage(
            f'1. look("{mark} a")\n2. look("$1 b")\n3. block("$1 {mark}")\n'
            f'4. send("{mark} $2")\n5. look("$3 $4")\n6. join()'
        )

    def _breaks(self, messages: list[BaseMessage]) -> bool:
        return bool(self.faults.happens(_mark_of(messages).partition("K")[0], "broken stream"))

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        breaks = self._breaks(messages)
        for number, chunk in enumerate(super()._stream(messages, *args, **kwargs)):
            if breaks and number == 2:
                raise Breakdown
            yield chunk

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        breaks, number = self._breaks(messages), 0
        async for chunk in super()._astream(messages, *args, **kwargs):
            if breaks and number == 2:
                raise Breakdown
            number += 1
            yield chunk


def tools_of(faults: Faults) -> list[BaseTool]:
    """Tools that give back what they are given, and break now and then."""

    def broken(what: str, kind: str) -> bool:
        mark = MARK.search(what)
        return mark is not None and faults.happens(mark[0].partition("K")[0], kind)

    @tool
    async def look(what: str) -> str:
        """Look."""
        if broken(what, "tool raises"):
            msg = f"cannot look at {what}"
            raise Breakdown(msg)
        if broken(what, "tool hangs"):
            await asyncio.sleep(60)
        await asyncio.sleep(0)
        return f"saw {what}"

    @tool
    def block(what: str) -> str:
        """Look, in a thread."""
        time.sleep(0.02 if broken(what, "tool blocks") else 0.001)
        return f"blocked {what}"

    @tool
    async def send(what: str) -> str:
        """Send."""
        return f"sent {what}"

    send.metadata = {"destructiveHint": True, "readOnlyHint": False}
    return [look, block, send]


def _faulty(kind: type[Any], faults: Faults) -> type[Any]:
    """A checkpointer of a kind that cannot write now and then."""

    def check(config: Any) -> None:
        if faults.happens(str(config["configurable"]["thread_id"]), "checkpoint"):
            msg = "the database is gone"
            raise Breakdown(msg)

    class Faulty(kind):  # type: ignore[misc]
        async def aput(self, config: Any, *args: Any, **kwargs: Any) -> Any:
            check(config)
            return await super().aput(config, *args, **kwargs)

        async def aput_writes(self, config: Any, *args: Any, **kwargs: Any) -> Any:
            check(config)
            return await super().aput_writes(config, *args, **kwargs)

        def put(self, config: Any, *args: Any, **kwargs: Any) -> Any:
            check(config)
            return super().put(config, *args, **kwargs)

        def put_writes(self, config: Any, *args: Any, **kwargs: Any) -> Any:
            check(config)
            return super().put_writes(config, *args, **kwargs)

    return Faulty


@asynccontextmanager
async def saver_for(store: str, faults: Faults, *, sync: bool) -> AsyncIterator[Any]:
    """A checkpointer that breaks now and then: a path for SQLite, or a URL for PostgreSQL."""
    async with AsyncExitStack() as stack:
        settings: Any = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        if store.startswith("postgres") and sync:
            pool: Any = stack.enter_context(ConnectionPool(store, max_size=20, kwargs=settings, open=True, timeout=300))
            saver: Any = _faulty(PostgresSaver, faults)(pool)
        elif store.startswith("postgres"):
            pool = AsyncConnectionPool(store, max_size=20, kwargs=settings, open=False, timeout=300)
            saver = _faulty(AsyncPostgresSaver, faults)(await stack.enter_async_context(pool))
        elif sync:
            saver = stack.enter_context(_faulty(SqliteSaver, faults).from_conn_string(store))
            saver.conn.execute("pragma synchronous = off")
        else:
            saver = await stack.enter_async_context(_faulty(AsyncSqliteSaver, faults).from_conn_string(store))
            await saver.conn.execute("pragma synchronous = off")
        set_up = saver.setup()
        if set_up is not None:
            await set_up
        yield saver


@dataclass
class Figures:
    """What the rounds came to."""

    turns: int = 0
    lost: list[str] = field(default_factory=list)
    """Turns without their answer."""
    foreign: list[str] = field(default_factory=list)
    """Threads that saw what is another's."""
    attempts: int = 0
    """Runs that it took."""
    seconds: list[float] = field(default_factory=list)
    """How long each turn took, its broken runs included."""
    memory: list[int] = field(default_factory=list)
    """Bytes, after each round."""
    objects: list[int] = field(default_factory=list)
    """Python objects, after each round."""
    own: list[Counter[str]] = field(default_factory=list)
    """Objects of the package's classes, after each round."""
    asyncio_tasks: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def slope(self, values: list[int], turns: int) -> float:
        """How much a value grows per 1,000 turns, after the first round."""
        rest = values[1:]
        if len(rest) < 2:
            return float("nan")
        return statistics.linear_regression(range(len(rest)), rest).slope / turns * 1000


class Load:
    """Threads that ask their questions.

    Args:
        saver: Where the threads are kept.
        faults: What goes wrong.
        threads: How many threads there are.
        turns: How many questions each asks.
        sync: Whether the graph is called synchronously, each thread's turns in a thread.
        tool_timeout: How long a tool that hangs may, in seconds.
    """

    def __init__(
        self, saver: Any, faults: Faults, *, threads: int, turns: int, sync: bool, tool_timeout: float = 0.5
    ) -> None:
        self.faults, self.threads, self.turns, self.sync = faults, threads, turns, sync
        model = Marked(faults=faults, chunk_size=16)
        self.graph: Any = create_llm_compiler(
            model, tools_of(faults), checkpointer=saver, tool_timeout={"look": tool_timeout}
        )
        self.figures = Figures()
        gc.collect()
        self._loops = [each for each in gc.get_objects() if isinstance(each, asyncio.BaseEventLoop)]
        gc.freeze()  # what others have left is looked at no more
        # of whoever runs this or ran before, and of a pool of connections
        self._others = {task for loop in self._loops for task in asyncio.all_tasks(loop)}
        self._pool = concurrent.futures.ThreadPoolExecutor(min(threads, 64), "load") if sync else None

    async def round(self, number: int) -> None:
        """Let every thread ask its questions, and measure."""
        names = [f"T{n}R{number}" for n in range(self.threads)]
        if self._pool is None:
            await asyncio.gather(*map(self._athread, names))
        else:
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(self._pool, self._thread, name) for name in names))
        for _ in range(20):  # what was given up has a second to clean up, and this machine may be late
            await asyncio.sleep(0.25)
            gc.collect()
            objects = gc.get_objects()
            if not (self._running(objects) or any(isinstance(each, _OF_RUNS) for each in objects)):
                break
        del objects
        self._measure()

    def _running(self, objects: list[Any]) -> set[asyncio.Task[Any]]:
        """The tasks that run on any event loop, but for those of others."""
        loops = {*self._loops, *(each for each in objects if isinstance(each, asyncio.BaseEventLoop))}
        running = {task for loop in loops for task in asyncio.all_tasks(loop)}
        return {task for task in running - self._others if task is not asyncio.current_task()}

    def close(self) -> None:
        """End the threads that call the graph."""
        gc.unfreeze()
        if self._pool is not None:
            self._pool.shutdown()

    # -- one thread -----------------------------------------------------------------------------------------------

    async def _athread(self, name: str) -> None:
        config: Any = {"configurable": {"thread_id": name}}
        for turn in range(self.turns):
            mark, begun = f"{name}K{turn}", time.perf_counter()
            given: Any = {"messages": [("user", f"what of {mark}?")]}
            for attempt in range(ATTEMPTS):
                self.faults.quiet(name, on=attempt > ATTEMPTS // 2)
                self.figures.attempts += 1
                ended = False
                with suppress(Breakdown, asyncio.CancelledError):
                    ended = await self._arun(name, given, config)
                state = (await self.graph.aget_state(config)).values
                if ended and self._answered(state, mark):
                    break
                given = None if self._asked(state, mark) else {"messages": [("user", f"what of {mark}?")]}
            self._note(mark, state, begun)
        self.faults.forget(name)

    async def _arun(self, name: str, given: Any, config: Any) -> bool:
        """Run the graph; whether it came to its end."""
        if self.faults.happens(name, "cancelled"):
            run = asyncio.create_task(self.graph.ainvoke(given, config))
            await asyncio.sleep(0.002 * (hash(name) % 20))
            run.cancel()
            await run
        elif self.faults.happens(name, "stream left"):
            async for _ in self.graph.astream(given, config, stream_mode=["custom", "updates"]):
                if self.faults.happens(name, "now"):
                    return False
        else:
            await self.graph.ainvoke(given, config)
        return True

    def _thread(self, name: str) -> None:
        config: Any = {"configurable": {"thread_id": name}}
        for turn in range(self.turns):
            mark, begun = f"{name}K{turn}", time.perf_counter()
            given: Any = {"messages": [("user", f"what of {mark}?")]}
            for attempt in range(ATTEMPTS):
                self.faults.quiet(name, on=attempt > ATTEMPTS // 2)
                self.figures.attempts += 1
                ended = False
                with suppress(Breakdown):
                    ended = self._run(name, given, config)
                state = self.graph.get_state(config).values
                if ended and self._answered(state, mark):
                    break
                given = None if self._asked(state, mark) else {"messages": [("user", f"what of {mark}?")]}
            self._note(mark, state, begun)
        self.faults.forget(name)

    def _run(self, name: str, given: Any, config: Any) -> bool:
        """Run the graph; whether it came to its end."""
        if not self.faults.happens(name, "stream left"):
            self.graph.invoke(given, config)
            return True
        for _ in self.graph.stream(given, config, stream_mode=["custom", "updates"]):
            if self.faults.happens(name, "now"):
                return False
        return True

    # -- what must hold -------------------------------------------------------------------------------------------

    @staticmethod
    def _asked(state: Any, mark: str) -> bool:
        asked = [each for each in state.get("messages", []) if isinstance(each, HumanMessage)]
        return bool(asked) and mark in str(asked[-1].content)

    def _answered(self, state: Any, mark: str) -> bool:
        messages = state.get("messages", [])
        return bool(messages) and isinstance(messages[-1], AIMessage) and messages[-1].text.startswith(f"answer {mark}")

    def _note(self, mark: str, state: Any, begun: float) -> None:
        figures, name = self.figures, mark.partition("K")[0]
        figures.turns += 1
        figures.seconds.append(time.perf_counter() - begun)
        asked = [
            found for m in state["messages"] if isinstance(m, HumanMessage) for found in MARK.findall(str(m.content))
        ]
        told = [found for m in state["messages"] if isinstance(m, AIMessage) for found in MARK.findall(m.text)[:1]]
        expected = [f"{name}K{n}" for n in range(int(mark.partition("K")[2]) + 1)]
        if not self._answered(state, mark) or list(dict.fromkeys(asked)) != expected or told != expected:
            figures.lost.append(f"{mark}: asked {asked}, told {told}, ended with {state['messages'][-1].text[:200]!r}")
        others = {found for found in MARK.findall(repr(state)) if not found.startswith(f"{name}K")}
        if others:
            figures.foreign.append(f"{name} saw {others}")

    def _measure(self) -> None:
        figures = self.figures
        for _ in range(3):
            gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL("libc.so.6").malloc_trim(0)
            figures.memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        objects = gc.get_objects()
        figures.objects.append(len(objects))
        kinds = (type(each) for each in objects)
        own = Counter(
            f"{kind.__module__}.{kind.__qualname__}"
            for kind in kinds
            if str(kind.__module__).startswith("llmcompiler_graph")
        )
        figures.own.append(own)
        figures.asyncio_tasks.append(len(self._running(objects)))
        figures.threads.append(threading.active_count())


async def rounds(load: Load, count: int, say: bool = False) -> Figures:
    """Run some rounds."""
    for number in range(count):
        await load.round(number)
        if say:
            f = load.figures
            print(
                f"round {number}: {f.turns} turns, {f.attempts} runs, lost {len(f.lost)}, foreign {len(f.foreign)}, "
                f"{f.memory[-1] / 1e6:.1f} MB, {f.objects[-1]:,} objects ({sum(f.own[-1].values())} of the package), "
                f"{f.asyncio_tasks[-1]} asyncio tasks, {f.threads[-1]} threads",
                flush=True,
            )
    return load.figures


@asynccontextmanager
async def _place(store: str) -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        if store == "sqlite":
            yield str(Path(folder) / "load.sqlite")
        else:
            with running_server() as server:
                yield new_database(server, f"load_{uuid4().hex}")


async def _main(given: argparse.Namespace) -> None:
    faults = Faults(given.seed, given.chance)
    async with _place(given.store) as place, saver_for(place, faults, sync=given.sync) as saver:
        load = Load(saver, faults, threads=given.threads, turns=given.turns, sync=given.sync)
        try:
            figures = await rounds(load, given.rounds, say=True)
        finally:
            load.close()
    per_round = given.threads * given.turns
    quantiles = statistics.quantiles(figures.seconds, n=100)
    print(f"faults: {dict(faults.made)}")
    print(
        f"{figures.turns} turns in {figures.attempts} runs: lost {len(figures.lost)}, foreign {len(figures.foreign)}; "
        f"p50 {quantiles[49]:.2f} s, p99 {quantiles[98]:.2f} s; per 1,000 turns: "
        f"{figures.slope(figures.memory, per_round) / 1e6:+.2f} MB, "
        f"{figures.slope(figures.objects, per_round):+.0f} objects"
    )
    growth = figures.own[-1] - figures.own[1] if len(figures.own) > 2 else Counter[str]()
    print(f"more objects of the package than after the second round: {dict(growth)}")
    for each in [*figures.lost[:5], *figures.foreign[:5]]:
        print(each)


def main() -> None:
    """Run the load, and say what it came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=200)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--sync", action="store_true", help="call the graph synchronously")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--chance", type=float, default=0.02, help="of a fault, at each place where one may happen")
    parser.add_argument("--seed", type=int, default=0)
    warnings.simplefilter("ignore")
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
