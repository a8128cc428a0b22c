"""Processes of their own for functions that end the process they run in, change it, or are killed.

They are forked from a process that has imported what most of them need and runs nothing, so that none takes seconds to
start.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["langchain_openai", "tests.graph.test_durability"])  # the graph and the checkpointers


class Ended(NamedTuple):
    """How a process ended."""

    code: int | None
    """Its exit code; negative for the signal that killed it."""
    out: str
    """What it wrote to its standard output."""
    err: str
    """What it wrote to its standard error."""


def run(target: Callable[..., object], *args: object) -> Ended:
    """Call a function of a module in a process of its own, in which warnings are errors; wait until it ends."""
    with tempfile.TemporaryDirectory() as folder:
        process = FORKS.Process(target=_call, args=(Path(folder), target, args))
        process.start()
        process.join()
        out, err = (Path(folder, name).read_text() for name in ("out", "err"))
        return Ended(process.exitcode, out, err)


def _call(folder: Path, target: Callable[..., object], args: tuple[object, ...]) -> None:
    for number, name in enumerate(("out", "err"), 1):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
    warnings.simplefilter("error")
    target(*args)
    gc.collect()  # what is left open says so now
