"""Runs an agent graph for the command line and shows what happens: `graph.astream` to a live view or plain lines.

custom, values  →  Turn  →  LiveView, or the lines of `Turn.log` and `timeline`   on stderr
messages        →  the answer's tokens                                            on stdout
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack, aclosing
from typing import Any
from uuid import UUID

import typer
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langgraph.constants import TAG_NOSTREAM
from langgraph.graph.state import CompiledStateGraph
from rich.console import Console

from llmcompiler_graph.cli import progress
from llmcompiler_graph.cli.live_view import LiveView
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.models.local import prompt_progress

__all__ = ("watch",)

_FRAMES_PER_SECOND = 12


async def watch(
    graph: CompiledStateGraph[Any, Any, Any, Any], question: str, *, answer: bool, timeline: bool, loads: str = ""
) -> dict[str, Any]:
    """Ask a graph, and show it.

    Args:
        graph: What `create_llm_compiler` makes.
        question: What to ask.
        answer: Whether to print the answer, as it comes.
        timeline: Whether to show when tasks ran.
        loads: What is loaded before the first model can be asked, if that takes long.

    Returns:
        `question`, `answer`, `seconds`, `model_calls`, and of the state `tasks`, `timeline` and `rounds`: plain JSON.

    Raises:
        ConfigurationError: A tool interrupted the run to ask a human.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    turn, state, shown = progress.Turn(), dict[str, Any](), ""

    def clock() -> float:
        return loop.time() - began

    console = Console(stderr=True)
    live = sys.stdout.isatty() and sys.stderr.isatty() and not console.is_dumb_terminal

    calls = _ModelCalls(turn, clock, lines=not live)
    calls.on_loading(loads)

    def end_view() -> None:
        turn.on_decision(clock())
        if live:
            view.close()
            typer.echo(err=True)
        elif timeline:
            typer.echo(progress.timeline(turn, clock()), err=True)

    try:
        with ExitStack() as view:
            if live:
                drawn = view.enter_context(LiveView(turn, question, console, clock, bars=timeline))
                view.callback(asyncio.create_task(_keep_drawing(drawn)).cancel)
            parts = graph.astream(
                {"messages": [("user", question)]}, {"callbacks": [calls]}, stream_mode=["custom", "messages", "values"]
            )
            view.callback(prompt_progress.reset, prompt_progress.set(calls.on_reading))
            async with aclosing(parts):  # type: ignore[type-var]
                mode: str
                part: Any
                async for mode, part in parts:
                    if mode == "custom":
                        turn.on_event(part)
                    elif mode == "values":
                        if interrupts := part.get("__interrupt__"):
                            msg = f"a tool asks a human, whom the command line cannot ask: {interrupts[0].value!r}"
                            raise ConfigurationError(msg)
                        state = part
                        turn.on_state(state, clock())
                    elif answer and _is_answer(*part):
                        if not shown:
                            end_view()
                        shown += part[0].text
                        typer.echo(_visible(part[0].text), nl=False)
                    calls.tell()
            if not shown:
                end_view()
    except BaseException:
        if shown:
            typer.echo()  # what is said of it begins a line of its own
        raise
    text = state["messages"][-1].text
    if answer:
        typer.echo(_visible(text[len(shown) :] if text.startswith(shown) else f"\n{text}"))
    return {
        "question": question,
        "answer": text,
        "seconds": round(clock(), 3),
        "model_calls": calls.count,
        **{key: state[key] for key in ("tasks", "timeline", "rounds")},
    }


def _is_answer(message: Any, metadata: dict[str, Any]) -> bool:
    """Whether a message of the stream is a piece of the answer: of planner and joiner, nothing else is shown."""
    return isinstance(message, AIMessageChunk) and metadata["langgraph_node"] in ("planner", "joiner")


async def _keep_drawing(view: LiveView) -> None:
    while True:
        view.refresh()
        await asyncio.sleep(1 / _FRAMES_PER_SECOND)


def _visible(text: str) -> str:
    """On a terminal, text without control characters but line breaks and tabs."""
    if not sys.stdout.isatty():
        return text
    return "".join(c if c in "\n\t" else progress.printable(c) for c in text)


class _ModelCalls(BaseCallbackHandler):
    """Counts them, and takes note of what those of planner and joiner are at; writes what is new of a turn's log."""

    run_inline = True

    def __init__(self, turn: progress.Turn, clock: Callable[[], float], *, lines: bool) -> None:
        self.count = 0
        self._turn, self._clock, self._lines, self._told = turn, clock, lines, 0
        self._own: set[UUID] = set()

    def tell(self) -> None:
        """Write the lines of the log that are new."""
        for line in self._turn.log[self._told :] if self._lines else ():
            typer.echo(line, err=True)
        self._told = len(self._turn.log)

    def on_loading(self, what: str) -> None:
        """Take note that something is loaded first, if anything."""
        if what:
            self._turn.on_loading(self._clock(), what)
            self.tell()

    def on_chat_model_start(self, *_args: Any, run_id: UUID, tags: list[str] | None = None, **_kwargs: Any) -> None:
        self.count += 1
        if TAG_NOSTREAM in (tags or ()):  # as `models.streaming` marks them; tools may ask models too
            self._own.add(run_id)
            self._turn.on_asked(self._clock())
            self.tell()

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **_kwargs: Any) -> None:
        calls = getattr(getattr(chunk, "message", None), "tool_call_chunks", None)
        if run_id in self._own and (token or calls):
            self._own.discard(run_id)
            self._turn.on_first_token(self._clock())
            self.tell()

    def on_reading(self, read: int, total: int) -> None:
        """Take note of how far a local model has read its prompt."""
        self._turn.on_reading(self._clock(), read, total)
        self.tell()
