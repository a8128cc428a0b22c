"""What has happened in a turn so far, told by the graph's stream: a record for the views of the command line to show.

    stream_mode=["custom", "values"]  →  Turn: sections (one per plan) of lines (planner, tasks, joiner)  →  text

>>> turn = Turn()
>>> turn.on_event(TaskEvent(event="planned", at=0.5, index=1, text='1. lookup(entity="K2")', after=[]))
>>> turn.on_event(TaskEvent(event="started", at=0.5, index=1))
>>> turn.on_event(TaskEvent(event="done", at=1.5, index=1, value=8611))
>>> print(timeline(turn, now=2.0))
                          start     end  0.5s         1.0s          1.5s         2.0s
   planner                 0.00       …  ========================================
1. lookup(entity="K2")     0.50    1.50  ===========================
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from llmcompiler_graph.state import TaskEvent

__all__ = ("Axis", "Line", "Section", "Turn", "printable", "progress_line", "seconds", "timeline")

Status: TypeAlias = Literal["planned", "released", "started", "done", "failed", "skipped"]

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)  # seconds between the marks of an axis
_CALL_WIDTH, _BAR_WIDTH, _VALUE_WIDTH = 56, 40, 160  # of plain text, in characters


@dataclass(slots=True)
class Line:
    """One thing that takes time: a task, the planner or the joiner. Times are seconds since the turn began."""

    text: str
    """The call, or who is at work."""
    index: int = 0
    """The task; 0 for the planner and the joiner."""
    after: tuple[int, ...] = ()
    """The tasks it waits for."""
    status: Status = "started"
    """What became of it so far."""
    planned: float | None = None
    """When it was written."""
    started: float | None = None
    """When its tool was called."""
    finished: float | None = None
    """When it was over."""
    outcome: str = ""
    """The value as JSON, or the error, on one line."""


@dataclass(slots=True)
class Section:
    """One plan of the turn."""

    planner: Line
    """The model writing it."""
    tasks: dict[int, Line] = field(default_factory=dict)
    """`{index: task}`, in plan order."""
    joiner: Line | None = None
    """The model deciding on it, until the first token of an answer."""
    complaints: tuple[str, ...] = ()
    """What was wrong with the plan text that concerns no task."""
    replan: str = ""
    """What the joiner asked another plan for."""

    def lines(self) -> Iterator[Line]:
        """All that takes time, in order."""
        yield self.planner
        yield from self.tasks.values()
        if self.joiner is not None:
            yield self.joiner


class Turn:
    """One question, from what the graph's stream says of it."""

    def __init__(self) -> None:
        self.sections = [_new_section(0.0)]

    def lines(self) -> Iterator[Line]:
        """All that takes time, over all plans."""
        for section in self.sections:
            yield from section.lines()

    def tasks(self) -> dict[int, Line]:
        """`{index: task}` over all plans."""
        return {index: task for section in self.sections for index, task in section.tasks.items()}

    def waiting_for(self, task: Line) -> list[int]:
        """The tasks that a task still waits for."""
        tasks = self.tasks()
        return [n for n in task.after if n not in tasks or tasks[n].finished is None]

    def on_event(self, event: TaskEvent) -> None:
        """Take note of what `stream_mode="custom"` yields."""
        section, at, moment = self.sections[-1], event["at"], event["event"]
        if moment == "replanning":
            section.replan = printable(event.get("error", ""))
            self.answering(at)
            self.sections.append(_new_section(at))
            return
        index, text = event["index"], event.get("text", "").partition(" ")[2]
        task = self.tasks().get(index)
        if task is None or moment == "planned":  # a line that could not be read fails without being planned
            task = section.tasks[index] = Line(text or "(unreadable)", index, planned=at)
        task.status = moment
        match moment:
            case "planned":
                task.after = tuple(event.get("after", ()))
            case "started":
                task.started = at
            case "done":
                task.finished, task.outcome = at, printable(json.dumps(event.get("value"), ensure_ascii=False))
            case "failed" | "skipped":
                task.finished, task.outcome = at, printable(event.get("error", ""))

    def on_state(self, state: Mapping[str, Any], at: float) -> None:
        """Take note of what `stream_mode="values"` yields: the state after each node."""
        section, rounds = self.sections[-1], state.get("rounds", ())
        if len(rounds) != len(self.sections):
            return
        if section.planner.finished is None:
            section.planner.status, section.planner.finished = "done", at
            complaints = (each for each in rounds[-1]["diagnostics"] if each["index"] is None)
            section.complaints = tuple(f"line {each['line']}: {printable(each['message'])}" for each in complaints)
        elif section.joiner is None:
            section.joiner = Line("joiner", started=at)
        else:
            self.answering(at)

    def answering(self, at: float) -> None:
        """Take note that the joiner has decided."""
        joiner = self.sections[-1].joiner
        if joiner is not None and joiner.finished is None:
            joiner.status, joiner.finished = "done", at


def _new_section(at: float) -> Section:
    return Section(Line("planner", started=at))


class Axis(NamedTuple):
    """The common time axis of all bars, in seconds; it begins where the first task was planned."""

    start: float
    """Its left end."""
    end: float
    """Its right end."""
    step: float
    """From mark to mark."""

    @classmethod
    def of(cls, turn: Turn, now: float) -> Axis:
        """Fit an axis to what happened until now."""
        lines = list(turn.lines())
        first = min((line.planned for line in lines if line.planned is not None), default=0.0)
        last = max([first + _STEPS[0], *(now if line.finished is None else line.finished for line in lines)])
        step = next((step for step in _STEPS if last - first <= 4 * step), _STEPS[-1])
        start = math.floor(first / step * 2) * step / 2
        return cls(start, max(math.ceil(last / step * 4 - 1e-9) * step / 4, start + step), step)

    def at(self, moment: float, width: int) -> float:
        """Where a moment stands on a bar of this width; before the axis, at its left end."""
        return min(max(0.0, (moment - self.start) / (self.end - self.start)), 1.0) * width

    def marks(self, width: int) -> str:
        """The axis as a line of text, which may end a little after a bar of this width."""
        text, number = "", math.ceil(self.start / self.step)
        while (moment := number * self.step) <= self.end:
            column = round(self.at(moment, width))
            if not text or column > len(text):
                text = text.ljust(column) + f"{moment:.{0 if self.step >= 1 else 1}f}s"
            number += 1
        return text


def seconds(moment: float | None) -> str:
    """Write a time in about four digits, or that it has not come yet."""
    return "…" if moment is None else f"{moment:.{2 if moment < 100 else 0}f}"


def printable(text: str) -> str:
    """Write text on one line, control characters visible: what tools return must not steer the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def progress_line(turn: Turn, event: TaskEvent) -> str:
    """Write what an event that the turn has noted says, for a log; empty if it is not worth a line."""
    moment = event["event"]
    if moment == "replanning":
        return f"+{event['at']:.2f}s replan   {turn.sections[-2].replan}"
    task = turn.tasks()[event["index"]]
    call = f"{task.index}. {task.text}"
    match moment:
        case "planned" if waits := turn.waiting_for(task):
            text = f"wait     {call} for " + ", ".join(f"${n}" for n in waits)
        case "started":
            text = f"start    {call}"
        case "done":
            text = f"done     {call} = {_cut(task.outcome, _VALUE_WIDTH)}"
        case "failed" | "skipped":
            text = f"{moment:8} {call}: {task.outcome}"
        case _:
            return ""
    return f"+{event['at']:.2f}s {text}"


def timeline(turn: Turn, now: float) -> str:
    """Write when everything ran, as a table of plain text."""
    axis = Axis.of(turn, now)
    rows = [("", "start", "end", axis.marks(_BAR_WIDTH))]
    for line in turn.lines():
        bar = ""
        if line.started is not None:
            start = round(axis.at(line.started, _BAR_WIDTH))
            end = round(axis.at(now if line.finished is None else line.finished, _BAR_WIDTH))
            bar = " " * start + "=" * max(1, end - start)
        end_or_status = line.status if line.status in ("failed", "skipped") else seconds(line.finished)
        start_or_none = "-" if line.started is None else seconds(line.started)
        name = f"{line.index}. {line.text}" if line.index else f"   {line.text}"
        rows.append((_cut(name, _CALL_WIDTH), start_or_none, end_or_status, bar))
    width = max(len(name) for name, *_ in rows)
    return "\n".join(f"{name:{width}}  {start:>7} {end:>7}  {bar}".rstrip() for name, start, end, bar in rows)
