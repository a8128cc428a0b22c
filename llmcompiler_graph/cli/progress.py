r"""What has happened in a turn so far, told by the graph's stream: a record for the views of the command line to show.

    stream_mode=["custom", "values"]  →  Turn: one section per plan, one line per task, planner and joiner

>>> turn = Turn()
>>> turn.on_event(TaskEvent(event="planned", at=0.5, index=1, text='1. lookup(entity="K2")', after=[]))
>>> turn.on_event(TaskEvent(event="started", at=0.5, index=1))
>>> turn.on_event(TaskEvent(event="done", at=1.5, index=1, value=8611))
>>> print(*turn.log, sep="\n")
+0.50s start    1. lookup(entity="K2")
+1.50s done     1. lookup(entity="K2") = 8611
>>> print(timeline(turn, now=2.0))
                          start     end  0.5s    1.0s    1.5s    2.0s
   planner                 0.00       …  ========================
1. lookup(entity="K2")     0.50    1.50  ================
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from llmcompiler_graph.state import TaskEvent

__all__ = ("Axis", "Line", "Section", "Turn", "printable", "printable_json", "seconds", "timeline")

Status: TypeAlias = Literal["planned", "released", "started", "done", "failed", "skipped"]

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)  # seconds between the marks of an axis
_READ_WIDTH = 20  # of the bar that shows how much of a prompt is read, in characters
_TOLD = 5  # lines, beside the first, that tell how much of a prompt is read
_CALL_WIDTH, _BAR_WIDTH, _VALUE_WIDTH = 36, 24, 120  # of plain text, in characters


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
    value: Any = None
    """What it returned."""
    error: str = ""
    """What went wrong."""


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
        """The plans so far, in order."""
        self.log: list[str] = []
        """What happened so far, a line of text each."""
        self.activity = ""
        """What the model that is asked does before it writes; empty if it writes, or none is asked."""
        self._asked, self._told = 0.0, -1

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

    def outcome(self, task: Line) -> str:
        """The value of a task or its error, on one line; the fields that other tasks take from it come first."""
        if task.status != "done":
            return printable(task.error)
        value = task.value
        if isinstance(value, dict):
            taken = re.findall(rf"\$\{{{task.index}\.(\w+)", " ".join(each.text for each in self.lines()))
            value = {name: value[name] for name in dict.fromkeys([*taken, *value]) if name in value}
        return _json(value)

    def on_loading(self, at: float, what: str) -> None:
        """Take note that something is loaded before a model can be asked."""
        self.activity = f"loading {what}"
        self._note(at, "load", what)

    def on_asked(self, at: float) -> None:
        """Take note that a model is asked."""
        self.activity, self._asked, self._told = "waiting for the first token", at, -1
        if self.sections[-1].joiner is None:  # that the joiner is at work is said by `on_state`
            self._note(at, "ask", "the planner")

    def on_reading(self, at: float, read: int, total: int) -> None:
        """Take note of how much of its prompt a model has read, in tokens."""
        part = read / total if total else 1.0
        bar = "#" * round(part * _READ_WIDTH)
        self.activity = f"reading the prompt [{bar:.<{_READ_WIDTH}}] {part:.0%} of {total:,} tokens"
        if (told := int(part * _TOLD)) > self._told:
            self._note(at, "read", f"{part:.0%} of a prompt of {total:,} tokens")
            self._told = told

    def on_first_token(self, at: float) -> None:
        """Take note that the model that is asked writes."""
        if self.activity:
            self.activity = ""
            self._note(at, "write", f"first token, after {at - self._asked:.2f} s")

    def on_event(self, event: TaskEvent) -> None:
        """Take note of what `stream_mode="custom"` yields."""
        section, at, moment = self.sections[-1], event["at"], event["event"]
        if moment == "replanning":
            section.replan = printable(event.get("error", ""))
            self.on_decision(at)
            self._note(at, "replan", section.replan)
            self.sections.append(_new_section(at))
            return
        if moment == "repairing":
            self._note(at, "repair", printable(event.get("error", "")))
            return
        index, text = event["index"], printable(event.get("text", "").partition(" ")[2])
        task = self.tasks().get(index)
        if task is None or moment == "planned":  # a line that could not be read fails without being planned
            task = section.tasks[index] = Line(text or "(unreadable)", index, planned=at)
        task.status = moment
        call = f"{index}. {task.text}"
        match moment:
            case "planned":
                task.after = tuple(event.get("after", ()))
                if waits := self.waiting_for(task):
                    self._note(at, "wait", f"{call} for " + ", ".join(f"${n}" for n in waits))
            case "started":
                task.started = at
                self._note(at, "start", call)
            case "done":
                task.finished, task.value = at, event.get("value")
                self._note(at, "done", f"{call} = {_cut(_json(task.value), _VALUE_WIDTH)}")
            case "failed" | "skipped":
                task.finished, task.error = at, event.get("error", "")
                self._note(at, moment, f"{call}: {printable(task.error)}")

    def on_state(self, state: Mapping[str, Any], at: float) -> None:
        """Take note of what `stream_mode="values"` yields: the state after each node."""
        section, rounds = self.sections[-1], state.get("rounds", ())
        if len(rounds) != len(self.sections):
            return
        if section.planner.finished is None:
            section.planner.status, section.planner.finished = "done", at
            self._note(at, "planned", f"{len(section.tasks)} task{'' if len(section.tasks) == 1 else 's'}")
            complaints = (each for each in rounds[-1]["diagnostics"] if each["index"] is None)
            section.complaints = tuple(f"line {each['line']}: {printable(each['message'])}" for each in complaints)
            for complaint in section.complaints:
                self._note(at, "ignored", complaint)
        elif section.joiner is None:
            section.joiner = Line("joiner", started=at)
            self._note(at, "join", "")

    def on_decision(self, at: float) -> None:
        """Take note that the joiner has decided, as the first token of an answer tells."""
        joiner = self.sections[-1].joiner
        if joiner is not None and joiner.finished is None:
            joiner.status, joiner.finished = "done", at

    def _note(self, at: float, what: str, text: str) -> None:
        self.log.append(f"+{at:.2f}s {what:<8} {text}".rstrip())


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


def printable_json(value: Any) -> str:
    """Write a value as JSON text of several lines, without `NaN` and without characters that are not seen."""
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _finite(value: Any) -> Any:
    """A value with `null` for numbers that JSON does not have."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case list():
            return [_finite(each) for each in value]
        case dict():
            return {key: _finite(each) for key, each in value.items()}
        case _:
            return value


def _json(value: Any) -> str:
    return printable(json.dumps(value, ensure_ascii=False))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


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
