"""Tools for `test_tool_executor.py`, in a module of their own: other processes import it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any

from langchain_core.callbacks import CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, ToolException, tool
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime
from langgraph.store.base import BaseStore
from pydantic import BaseModel

calls = 0


class Point(BaseModel):
    """A point."""

    x: int
    y: int


class Fragile(Exception):
    """An exception that can be pickled, but not unpickled."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} in {where}")


@tool
def process_of(text: str) -> dict[str, Any]:
    """Tell the process and how many calls it has seen."""
    global calls  # noqa: PLW0603
    calls += 1
    return {"text": text, "process": os.getpid(), "calls": calls}


def plus(a: int, b: int) -> int:
    """Add; a plain function."""
    return a + b


def shout(text: str) -> str:
    """Shout; a plain function of one text."""
    return text.upper()


@tool
def point(x: int) -> Point:
    """Make a point."""
    return Point(x=x, y=-x)


@tool
def injected(
    text: str,
    state: Annotated[dict[str, Any], InjectedState],
    count: Annotated[int, InjectedState("count")],
    call_id: Annotated[str, InjectedToolCallId],
    config: RunnableConfig,
) -> list[Any]:
    """Tell what was injected."""
    kept = {key: value for key, value in config["configurable"].items() if key == "user" or key.startswith("__")}
    return [text, state["messages"][0].content, count, call_id, kept, "callbacks" in config]


class Number(BaseModel):
    """The arguments of `Scaled`."""

    n: int


class Scaled(BaseTool):
    """A tool that is an object with settings."""

    name: str = "scaled"
    description: str = "Multiply."
    args_schema: Any = Number
    factor: int = 1

    def _run(
        self, n: int, settings: RunnableConfig, run_manager: CallbackManagerForToolRun | None = None
    ) -> dict[str, Any]:
        user = settings["configurable"]["user"]
        return {"n": n * self.factor, "user": user, "elsewhere": run_manager is None, "process": os.getpid()}


@tool
def fail(how: str) -> Any:
    """Fail in one of several ways."""
    match how:
        case "value":
            raise ValueError("no such value")
        case "tool":
            raise ToolException("the tool says no")
        case "fragile":
            raise Fragile("glass", "transit")
        case "exit":
            raise SystemExit(3)
        case "stop":
            raise StopIteration
        case "lambda":
            return lambda: 1
        case _:
            raise AssertionError(how)


@tool
def with_store(key: str, store: Annotated[BaseStore, InjectedStore()]) -> str:
    """Ask for the store."""
    return f"{key} {store}"


@tool
def with_runtime(key: str, runtime: ToolRuntime) -> str:
    """Ask for the runtime."""
    return f"{key} {runtime}"


@tool
def with_callbacks(key: str, callbacks: Any) -> str:
    """Ask for callbacks."""
    return f"{key} {callbacks}"


@tool
def note(text: str, folder: str) -> int:
    """Leave a file, and wait until there is one named `go`; return the process."""
    Path(folder, f"{text}-{time.monotonic_ns()}").write_text(str(os.getpid()))
    deadline = time.monotonic() + 30
    while not Path(folder, "go").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return os.getpid()


@tool
def look(text: str, folder: str) -> int:
    """Do what `note` does; read-only."""
    done: int = note.func(text, folder)  # type: ignore[attr-defined]
    return done


look.metadata = {"readOnlyHint": True}


@tool
def die(folder: str) -> str:
    """Take the worker down, the first time."""
    Path(folder, f"died-{time.monotonic_ns()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return "alive"
