"""The rows of a timeline's page: one per model call and task, each a `details` element.

Its summary is the label and the bar; opened, it shows arguments, observation, and what the task needed and unlocked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from llmcompiler_graph.timeline.model import Phase, TaskBar, Timeline

__all__ = ("cut", "percent", "phase_name", "rows", "written_seconds")

_MOST_TEXT = 2000  # characters shown of an argument, an observation or a reply
_MOST_OF_MANY = 300  # the same where there are many tasks
_MANY = 100
_SLOT = 0.01  # seconds between released and started that are no wait for a slot

_STATUS = {"approval": "for approval", "planned": "not begun"}


def rows(timeline: Timeline, name: str, span: float) -> str:
    """Draw the rows of a timeline, a list for each plan."""
    drawn = _Rows(timeline, name, span)
    numbers = sorted({*(p.round for p in timeline.phases), *(t.round for t in timeline.tasks)})
    lists = []
    for number in numbers:
        phases = [phase for phase in timeline.phases if phase.round == number]
        before = [drawn.phase(phase) for phase in phases if phase.kind != "joiner"]
        tasks = [drawn.task(task) for task in timeline.tasks if task.round == number]
        after = [drawn.phase(phase) for phase in phases if phase.kind == "joiner"]
        title = f"<h2>Plan {number + 1}</h2>" if len(numbers) > 1 else ""
        lists.append(f'{title}<ol class="rows">{"".join([*before, *tasks, *after])}</ol>')
    return "".join(lists)


def phase_name(phase: Phase) -> str:
    """What a model call is called."""
    name = {"planner": "planner", "repair": "repair of the plan", "joiner": "joiner"}[phase.kind]
    return f"{name}, plan {phase.round + 1}" if phase.round else name


def percent(seconds: float, span: float) -> str:
    """Where a moment stands on the axis."""
    return f"{100 * seconds / span:.2f}%"


def written_seconds(seconds: float) -> str:
    """Write a duration: `0.15 s`, `12.3 s`, `4 min 10 s`."""
    if seconds >= 120:
        return f"{int(seconds // 60):,} min {int(seconds % 60)} s"
    return f"{seconds:.1f} s" if seconds >= 100 else f"{seconds:.2f} s"


def cut(text: str, most: int = _MOST_TEXT) -> str:
    """Cut a text that is long, and say how long it is."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


class _Rows:
    """What the rows of a timeline have in common."""

    def __init__(self, timeline: Timeline, name: str, span: float) -> None:
        self._timeline, self._name, self._span = timeline, name, span
        self._most = _MOST_TEXT if len(timeline.tasks) <= _MANY else _MOST_OF_MANY
        self._bound = (
            "" if not timeline.bound else f'<i class="bound" style="left:{percent(timeline.bound, span)}"></i>'
        )
        slowest = sorted((t.seconds for t in timeline.tasks), reverse=True)[:20]
        self._slow = slowest[-1] if slowest else 0.0
        self._texts = {task.index: task.text for task in timeline.tasks}
        self._planned_until = timeline.planned_until

    def phase(self, phase: Phase) -> str:
        """Draw a model call."""
        stop = self._timeline.end if phase.finished is None else phase.finished
        facts: list[tuple[str, str]] = [("times", f"from {phase.started:.2f} s to {stop:.2f} s")]
        if phase.input_tokens or phase.output_tokens:
            facts.append(("tokens", f"{phase.input_tokens:,} read, {phase.output_tokens:,} written"))
        facts.append(("reply", self._pre(phase.text)))
        bar = self._bar(f"bar {phase.kind}", phase.started, stop)
        return self._row(phase_name(phase), bar, written_seconds(stop - phase.started), facts, ' class="model"')

    def _batches(self, task: TaskBar) -> str:
        """The calls that were made in place of a task's own, and the tasks that share them."""
        if not task.batches:
            return ""
        names = Counter(batch.rpartition(" ")[0] for batch in task.batches)
        own = set(task.batches)
        shared = [other.index for other in self._timeline.tasks if not own.isdisjoint(other.batches)]
        calls = ", ".join(f"{count} call{'s' * (count > 1)} of {escape(name)}" for name, count in names.items())
        others = ", ".join(str(index) for index in shared if index != task.index)
        return f"{calls}, with those of task{'s' * (', ' in others)} {others}" if others else calls

    def task(self, task: TaskBar) -> str:
        """Draw a task."""
        stop = self._timeline.end if task.finished is None else task.finished
        told = [task.status, "begun early" if task.early else "", "critical path" if task.critical else ""]
        told.append(_from_cache(task))
        # what was skipped has not failed: its input has, or its guard does not hold
        error = f'<span class="{task.status}">{self._pre(task.error)}</span>' if task.error else ""
        facts = [
            ("status", ", ".join(filter(None, [_STATUS.get(told[0], told[0]), *told[1:]]))),
            ("call", self._pre(task.text)),
            ("from procedure", self._pre(task.procedure)),
            ("made as one", self._batches(task)),
            ("times", _times(task)),
            ("attempts", _attempts(task)),
            ("arguments", self._pre(_arguments(task.arguments))),
            ("observation", self._pre(_written(task.observation)) if task.observation is not None else ""),
            ("reason" if task.status == "skipped" else "error", error),
            ("needed", self._links(task.needs)),
            ("waited for", self._links(task.after)),
            ("unlocked", self._links(task.unlocks)),
        ]
        marks = [
            *(["critical"] if task.critical else []),
            *([task.status] if task.status in ("failed", "skipped") else []),
            *(["waiting"] if task.status in _STATUS else []),
            *(["slow"] if task.seconds and task.seconds >= self._slow else []),
        ]
        attributes = f' id="{self._name}-{task.index}"' + (f' class="{" ".join(marks)}"' if marks else "")
        for kind, indices in (("needs", (*task.needs, *task.after)), ("unlocks", task.unlocks)):
            if indices:
                attributes += f' data-{kind}="{" ".join(f"{self._name}-{n}" for n in indices)}"'
        calls = f' <span class="quiet">{len(task.arguments)} calls</span>' if _fanned_out(task.arguments) else ""
        label = f"<code>{escape(cut(task.text or f'{task.index}. …', 120))}</code>{calls}"
        took = written_seconds(stop - task.started) if task.started is not None and task.status == "done" else ""
        return self._row(
            label, self._bars(task, stop), took or _STATUS.get(task.status, task.status), facts, attributes
        )

    def _bars(self, task: TaskBar, stop: float) -> str:
        """The waits and the call; what ran while the plan was still being written has a colour of its own."""
        begun = stop if task.started is None else task.started
        written = task.planned if task.planned is not None else task.released
        ready = begun if task.released is None else min(task.released, begun)
        bars = ""
        if task.status == "approval":
            needed = [t.finished for t in self._timeline.tasks if t.index in (*task.needs, *task.after) and t.finished]
            ready = max([written or 0.0, *needed])
            bars += self._bar("approval", ready, self._span)
        if written is not None and ready > written:
            bars += self._bar("wait", written, ready)
        if task.started is None:
            return bars
        if task.started - ready > _SLOT:
            bars += self._bar("slot", ready, task.started)
        stop = self._span if task.status == "running" else stop
        part = ""
        if task.status == "done" and task.round < len(self._planned_until):
            early = (self._planned_until[task.round] - task.started) / (stop - task.started or 1.0)
            part = f";--early-part:{min(100 * early, 100):.1f}%" if early > 0 else ""
        bars += self._bar(f"bar {task.status}", task.started, stop, part)
        return bars + "".join(f'<i class="again" style="left:{percent(at, self._span)}"></i>' for at in task.attempts)

    def _bar(self, kind: str, start: float, stop: float, more: str = "") -> str:
        left, width = percent(start, self._span), percent(stop - start, self._span)
        return f'<i class="{kind}" style="left:{left};width:{width}{more}"></i>'

    def _row(self, label: str, bars: str, time: str, facts: Iterable[tuple[str, str]], attributes: str = "") -> str:
        shown = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts if value)
        return (
            f'<li{attributes}><details><summary><span class="label">{label}</span>'
            f'<span class="track" aria-hidden="true">{bars}{self._bound}</span><span class="time">{time}</span>'
            f"</summary><dl>{shown}</dl></details></li>"
        )

    def _pre(self, text: str) -> str:
        return f"<pre>{escape(cut(text, self._most), quote=False)}</pre>" if text else ""

    def _links(self, indices: Sequence[int]) -> str:
        links = (
            f'<a href="#{self._name}-{n}">{escape(cut(self._texts[n], 60) or f"{n}.")}</a>'
            if n in self._texts and len(indices) <= 8
            else str(n)
            for n in indices
        )
        return "<br>".join(links) if len(indices) <= 8 else ", ".join(links)


def _fanned_out(arguments: Any) -> bool:
    return isinstance(arguments, list) and len(arguments) > 1


def _arguments(arguments: Any) -> str:
    match arguments:
        case None | []:
            return ""
        case [dict() as only]:
            return "\n".join(f"{name} = {_written(value, quoted=True)}" for name, value in only.items())
        case _:
            return _written(arguments)


def _from_cache(task: TaskBar) -> str:
    if not task.cached:
        return ""
    calls = len(task.arguments) if isinstance(task.arguments, list) else 1
    return f"{task.cached} of {calls} calls from the cache" if task.cached < calls else "from the cache"


def _attempts(task: TaskBar) -> str:
    if not task.attempts:
        return ""
    ended = ", ".join(f"{at:.2f} s" for at in task.attempts)
    return f"{len(task.attempts) + 1}: those before the last ended at {ended}"


def _times(task: TaskBar) -> str:
    moments = (
        ("written", task.planned),
        ("released", task.released),
        ("started", task.started),
        ("ended", task.finished),
    )
    return ", ".join(f"{name} {at:.2f} s" for name, at in moments if at is not None)


def _written(value: Any, *, quoted: bool = False) -> str:
    if isinstance(value, str) and not quoted:
        return value
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)
