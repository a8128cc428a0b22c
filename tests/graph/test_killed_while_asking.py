"""A process that is killed while a human thinks: what was approved is done all the same, once, and nothing else."""

import asyncio
import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import processes
from tests.graph.test_approved_is_done import PLANS, QUESTION, Shop, ask
from tests.graph.test_durability import both_ways, saver_at


class WrittenShop(Shop):
    """A shop that notes in a file what is done."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.log = log
        for _ in [note for note in self.notes() if note[0] == "price"]:
            next(self.prices)

    def notes(self) -> list[Any]:
        """What was done so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def note(self, *what: Any) -> None:
        """Note it."""
        with self.log.open("a") as file:
            file.write(json.dumps(what) + "\n")


async def asked(shop: WrittenShop, store: str, plan: str, limit: int, *, sync: bool, answers: bool) -> Any:
    """Ask the question, or answer what was asked in a process that is gone; approve all, and note what was shown."""
    config: Any = {"configurable": {"thread_id": "1"}} | ({"max_concurrency": limit} if limit else {})
    async with saver_at(store, sync=sync) as saver:
        graph = shop.graph(saver, *(["Finish: done"] * 2 if answers else [PLANS[plan]]))
        given: Any = QUESTION
        if answers:
            paused = await (asyncio.to_thread(graph.get_state, config) if sync else graph.aget_state(config))
            given = shop.answer({"__interrupt__": paused.interrupts})
            for amount in shop.approved:
                shop.note("approved", amount)
        return await ask(graph, given, config, sync=sync, batch=False)


def ask_and_die(log: Path, store: str, plan: str, limit: int, ways: tuple[bool, bool]) -> None:
    """Ask the question, or answer; if something is asked then, the process is killed."""
    sync, answers = ways
    state = asyncio.run(asked(WrittenShop(log), store, plan, limit, sync=sync, answers=answers))
    if "__interrupt__" in state:
        os.kill(os.getpid(), signal.SIGKILL)  # nothing is closed, nothing says good-bye


@pytest.mark.parametrize(("plan", "limit"), [("chain", 0), ("fan-out", 1)])
@both_ways
async def test_killed_between_question_and_answer(
    store: str, tmp_path: Path, sync: bool, plan: str, limit: int
) -> None:
    """Each process is killed as soon as it has asked; the last does what was approved, and no call is made twice."""
    shop = WrittenShop(tmp_path / "log")
    for answers in [False, True][: 2 if plan == "chain" else 1]:
        dying = partial(processes.run, ask_and_die, shop.log, store, plan, limit, (sync, answers))
        assert await asyncio.to_thread(dying) == (-signal.SIGKILL, "", "")
    final = await asked(WrittenShop(shop.log), store, plan, limit, sync=sync, answers=True)
    assert final["messages"][-1].text == "done"
    assert sorted(shop.done("paid")) == sorted(shop.done("approved")) == [100, 200]
    assert shop.done("sent") == ["hello"]
