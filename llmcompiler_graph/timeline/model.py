"""From a turn's final state to a timeline: what ran when, what it needed, and the bound on how fast it could have been.

    final = await graph.ainvoke(…)  →  timeline_of(final)  →  Timeline: phases (model calls) and tasks, in seconds

The *bound* is the time of the critical path (section 3 of the paper: tasks run as soon as their inputs exist): each
task starts the moment its line was written and the tasks it waits for have ended, and takes as long as it took. The
joiner follows the last task. The bound counts what the models took as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, cast

from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.state import LLMCompilerState, Round, Span, TaskEvent, TaskRecord, dependencies

__all__ = ("Phase", "Prices", "Redact", "TaskBar", "Timeline", "timeline_of", "timeline_of_events")

Prices: TypeAlias = Mapping[str, tuple[float, float]]
"""US dollars per million tokens that the `planner` and the `joiner` read and wrote: `{"planner": (2.5, 10.0), …}`."""

Redact: TypeAlias = Callable[[str, Any], Any]
"""Takes what a value is (`question`, `answer`, `plan`, `arguments`, `observation`, `error`) and the value; gives what
may be shown in its place."""

PhaseKind: TypeAlias = Literal["planner", "repair", "joiner"]


@dataclass(frozen=True, slots=True)
class Phase:
    """A model call: the planner, a repair or the joiner."""

    kind: PhaseKind
    """What the model did."""
    round: int
    """Which plan of the turn, from 0."""
    started: float
    """When it was asked, in seconds since the turn began."""
    finished: float | None
    """When its reply was complete; `None` if it is not known."""
    input_tokens: int = 0
    """Tokens it read; those of repairs are counted with their planner."""
    output_tokens: int = 0
    """Tokens it wrote."""
    cost: float | None = None
    """What they cost, in US dollars; `None` without prices."""
    text: str = ""
    """What it wrote."""


@dataclass(frozen=True, slots=True)
class TaskBar:
    """A task of a plan. Times are seconds since the turn began, `None` for what did not happen."""

    index: int
    """Its index."""
    round: int
    """Which plan of the turn it belongs to, from 0."""
    tool: str
    """Its tool; empty if its line could not be read."""
    text: str
    """Its line of plan text."""
    status: str
    """`planned`, `approval` (it waits for a human), `running`, `done`, `failed` or `skipped`."""
    planned: float | None = None
    """Its line was written."""
    released: float | None = None
    """Its inputs existed."""
    started: float | None = None
    """Its tool was called."""
    finished: float | None = None
    """It had an observation."""
    early: bool = False
    """Whether it was started before its plan was complete."""
    needs: tuple[int, ...] = ()
    """Tasks whose data it takes."""
    after: tuple[int, ...] = ()
    """Tasks that only had to end before."""
    unlocks: tuple[int, ...] = ()
    """Tasks that waited for it."""
    critical: bool = False
    """Whether it lies on the critical path."""
    arguments: Any = None
    """What it was called with, one dict per call."""
    observation: Any = None
    """What it returned."""
    error: str = ""
    """What went wrong."""
    procedure: str = ""
    """The call of a procedure that it comes from, as plan text."""
    cached: int = 0
    """How many of its calls were answered from the cache."""
    batches: tuple[str, ...] = ()
    """The calls that were made in place of its own and of others, by name."""
    attempts: tuple[float, ...] = ()
    """When each attempt of its call ended that was followed by another."""

    @property
    def seconds(self) -> float:
        """How long its calls took."""
        return 0.0 if self.started is None or self.finished is None else self.finished - self.started


@dataclass(frozen=True, slots=True)
class Timeline:
    """One turn. `str()` is a line of figures; `to_html`, `to_svg` and `to_trace` draw it."""

    question: str
    """What was asked."""
    answer: str
    """The answer; empty if there is none yet."""
    phases: tuple[Phase, ...]
    """The model calls, in order."""
    tasks: tuple[TaskBar, ...]
    """The tasks of all plans, in plan order."""
    end: float
    """When the last thing known happened, in seconds."""
    bound: float | None
    """The critical-path bound, in seconds; `None` if the turn has not ended or nothing ran."""
    finished: bool
    """Whether the turn has ended with an answer."""
    note: str = ""
    """Why it has not, if that is known."""
    redact: Redact | None = field(default=None, repr=False, compare=False)
    """What was applied to all contents."""

    @property
    def ratio(self) -> float | None:
        """Time divided by the bound: 1.0 is as fast as these calls can be."""
        return self.end / self.bound if self.bound else None

    @property
    def planned_until(self) -> tuple[float, ...]:
        """When each plan of the turn was complete, repairs included, in seconds."""
        ends: dict[int, float] = {}
        for phase in self.phases:
            if phase.kind != "joiner":
                stop = self.end if phase.finished is None else phase.finished
                ends[phase.round] = max(stop, ends.get(phase.round, 0.0))
        return tuple(ends.get(number, 0.0) for number in range(max(ends, default=-1) + 1))

    @property
    def in_sequence(self) -> float:
        """How long the same calls take one after another, in seconds; the calls of a fan-out count as the longest."""
        models = sum((phase.finished or phase.started) - phase.started for phase in self.phases)
        return models + sum(task.seconds for task in self.tasks)

    def concurrency(self) -> list[tuple[float, int]]:
        """How many tasks ran, as steps: `(from this second on, so many)`."""
        changes: dict[float, int] = {}
        for task in self.tasks:
            if task.started is not None:
                stop = self.end if task.finished is None else task.finished
                changes[task.started] = changes.get(task.started, 0) + 1
                changes[stop] = changes.get(stop, 0) - 1
        running, steps = 0, []
        for at in sorted(changes):
            running += changes[at]
            steps.append((at, running))
        return steps

    def to_html(self) -> str:
        """Draw it as one HTML page that needs nothing else."""
        from llmcompiler_graph.timeline.html import page

        return page([self])

    def to_svg(self, *, dark: bool = False) -> str:
        """Draw it as SVG (extra `plots`), on a transparent ground, or for a dark one.

        Raises:
            ConfigurationError: matplotlib is not installed.
        """
        from llmcompiler_graph.timeline.figure import svg

        return svg(self, dark=dark)

    def to_png(self, *, dark: bool = False) -> bytes:
        """Draw it as PNG (extra `plots`), on a white ground, or for dark pages on a dark one.

        Raises:
            ConfigurationError: matplotlib is not installed.
        """
        from llmcompiler_graph.timeline.figure import png

        return png(self, dark=dark)

    def to_trace(self) -> dict[str, Any]:
        """Write it as Chrome trace events, which Perfetto and `chrome://tracing` open; dump it as JSON."""
        from llmcompiler_graph.timeline.trace import trace

        return trace(self)

    def _repr_html_(self) -> str:
        """Draw it in a notebook."""
        from llmcompiler_graph.timeline.html import fragment

        return fragment(self)

    def __str__(self) -> str:
        done = sum(task.status == "done" for task in self.tasks)
        text = f"{len(self.tasks)} tasks, {done} done, {self.end:.2f} s"
        return (
            text
            if self.ratio is None
            else f"{text}, {self.ratio:.2f} times the critical-path bound of {self.bound:.2f} s"
        )


def timeline_of(
    state: Mapping[str, Any], *, redact: Redact | None = None, prices: Prices | None = None, note: str = ""
) -> Timeline:
    """Make the timeline of a turn.

    Args:
        state: What the graph returned, or a thread's state (`graph.get_state(config).values`), also of a run that was
            paused or has failed.
        redact: What may be shown of contents; everything if not given.
        prices: What the models' tokens cost; no costs are shown if not given.
        note: Why the turn has not ended, to be shown.

    Raises:
        ConfigurationError: It is no state of this graph.
    """
    if "rounds" not in state or "tasks" not in state:
        msg = "a timeline is made of what the graph returned or a thread's `values`: there are no `tasks` and `rounds`"
        raise ConfigurationError(msg)
    given = cast("LLMCompilerState", state)
    show = redact or (lambda _kind, value: value)
    timings = {entry["index"]: entry for entry in given.get("timeline", [])}
    answer = _answer(given)
    held = {call["tool_call_id"] for call in given.get("approvals", [])}
    bars = []
    for record in given["tasks"]:
        entry = timings.get(record["index"])
        needs, after = dependencies(record)
        bars.append(
            TaskBar(
                index=record["index"],
                round=record["round"],
                tool=record["tool"],
                text=_shown(show("plan", record["text"])),
                status="approval" if _asked(record, held) else record["status"],
                planned=record["planned_at"],
                released=entry and entry["released"],
                started=entry and entry["started"],
                finished=entry and entry["finished"],
                early=bool(entry and entry["early"]),
                needs=needs,
                after=after,
                arguments=show("arguments", record["arguments"]),
                observation=show("observation", record["value"]),
                error=_shown(show("error", record["error"])),
                procedure=_shown(show("plan", record.get("procedure", ""))),
                cached=record.get("cached", 0),
                batches=tuple(record.get("batches", ())),
                attempts=_attempts(record, entry and entry["started"]),
            )
        )
    waiting = sum(bar.status == "approval" for bar in bars)
    if waiting:
        note = note or f"Paused: {waiting} task{'s wait' if waiting > 1 else ' waits'} for a human's approval."
    elif held and not answer:  # what waits is the plan
        note = note or "Paused: the plan waits for a human's approval."
        bars = [replace(bar, status="approval") if bar.status == "planned" else bar for bar in bars]
    phases = [phase for n, one in enumerate(given["rounds"]) for phase in _phases(n, one, show, prices or {})]
    return _completed(
        Timeline(
            question=_shown(show("question", _question(given))),
            answer=_shown(show("answer", answer)),
            phases=tuple(phases),
            tasks=tuple(bars),
            end=0.0,
            bound=None,
            finished=bool(given["rounds"]) and bool(answer),
            note=note,
            redact=redact,
        )
    )


def timeline_of_events(events: Iterable[TaskEvent], *, redact: Redact | None = None, note: str = "") -> Timeline:
    """Make the timeline of a turn from its `stream_mode="custom"` events: also of one that is under way or has failed.

    Model calls are known from them only in part: a planner begins when the turn does or where the last plan was given
    up, and ends with its last task.
    """
    show = redact or (lambda _kind, value: value)
    bars: dict[int, TaskBar] = {}
    phases: list[Phase] = []
    number, began = 0, 0.0
    for event in events:
        at, kind = event["at"], event["event"]
        if kind == "replanning":
            number, began = number + 1, at
            continue
        if kind == "repairing" or "index" not in event:
            continue
        index = event["index"]
        bar = bars.get(index) or TaskBar(index, number, event.get("tool", ""), "", "planned")
        if kind == "planned":
            bar = replace(
                bar,
                planned=at,
                text=_shown(show("plan", event.get("text", ""))),
                needs=tuple(event.get("after", ())),
                procedure=_shown(show("plan", event.get("procedure", ""))),
            )
            phases = [*(each for each in phases if each.round != number), Phase("planner", number, began, at)]
        elif kind == "released":
            bar = replace(bar, released=at)
        elif kind == "started":
            bar = replace(bar, started=at, status="running")
        else:
            value, error = show("observation", event.get("value")), _shown(show("error", event.get("error", "")))
            bar = replace(bar, finished=at, status=kind, observation=value, error=error, cached=event.get("cached", 0))
            bar = replace(bar, attempts=_attempts(event, bar.started), batches=tuple(event.get("batches", ())))
        bars[index] = bar
    return _completed(Timeline("", "", tuple(phases), tuple(bars.values()), 0.0, None, False, note, redact))


def _attempts(told: TaskRecord | TaskEvent, started: float | None) -> tuple[float, ...]:
    return tuple((started or 0.0) + seconds for seconds in told.get("attempts", ()))


def _shown(value: Any) -> str:
    return "" if value is None else str(value)


def _asked(record: TaskRecord, held: Collection[str]) -> bool:
    """Whether a human is asked about a task, or about a call of one that fans out, named by the task and a number."""
    names = {*held, *(name for name, _, number in (call.rpartition("_") for call in held) if number.isdigit())}
    return record["status"] == "planned" and record["tool_call_id"] in names


def _phases(number: int, one: Round, show: Redact, prices: Prices) -> list[Phase]:
    def phase(kind: PhaseKind, span: Span, text: str, usage: Mapping[str, Any] | None = None) -> Phase:
        tokens = usage or {}
        read, written = tokens.get("input_tokens", 0), tokens.get("output_tokens", 0)
        price = prices.get("joiner" if kind == "joiner" else "planner")
        return Phase(
            kind=kind,
            round=number,
            started=span["started"],
            finished=span["finished"],
            input_tokens=read,
            output_tokens=written,
            cost=None if price is None else (read * price[0] + written * price[1]) / 1e6,
            text=_shown(show("plan", text)),
        )

    phases = []
    if "planning" in one:
        phases.append(phase("planner", one["planning"], one["plan"], one["usage"].get("planner")))
    phases += [phase("repair", each["writing"], each["plan"]) for each in one.get("repairs", []) if "writing" in each]
    if "joining" in one:
        phases.append(phase("joiner", one["joining"], one["reply"], one["usage"].get("joiner")))
    return phases


def _question(state: LLMCompilerState) -> str:
    turn = state.get("turn")
    messages = state.get("messages", [])
    asked = [m for m in messages if m.id == turn] if turn else [m for m in messages if m.type == "human"]
    return str(asked[-1].text) if asked else ""


def _answer(state: LLMCompilerState) -> str:
    messages = state.get("messages", [])
    last = messages[-1] if messages else None
    ended = last is not None and last.type == "ai" and not getattr(last, "tool_calls", None)
    return str(last.text) if last is not None and ended else ""


def _completed(timeline: Timeline) -> Timeline:
    """Add what follows from the rest: what tasks unlock, the critical path and the bound."""
    waits = {task.index: (*task.needs, *task.after) for task in timeline.tasks}
    unlocks: dict[int, list[int]] = {}
    for index, needed in waits.items():
        for n in needed:
            unlocks.setdefault(n, []).append(index)
    times = [t for each in timeline.tasks for t in (each.planned, each.started, each.finished) if t is not None]
    times += [t for phase in timeline.phases for t in (phase.started, phase.finished) if t is not None]
    critical = _critical_path(timeline.tasks, waits)
    bars = [
        replace(task, unlocks=tuple(unlocks.get(task.index, ())), critical=task.index in critical)
        for task in timeline.tasks
    ]
    bound = _bound(timeline.phases, timeline.tasks, waits) if timeline.finished and timeline.tasks else None
    return replace(timeline, tasks=tuple(bars), end=max(times, default=0.0), bound=bound)


def _critical_path(tasks: Sequence[TaskBar], waits: Mapping[int, Sequence[int]]) -> set[int]:
    """The chain of tasks, in each plan, that its last task waited for."""
    by_index = {task.index: task for task in tasks}
    path: set[int] = set()
    for number in {task.round for task in tasks}:
        ended = [
            task for task in tasks if task.round == number and task.finished is not None and task.started is not None
        ]
        task = max(ended, key=lambda each: each.finished or 0.0, default=None)
        while task is not None:
            path.add(task.index)
            before = [by_index[n] for n in waits[task.index] if n in by_index and by_index[n].finished is not None]
            before = [each for each in before if each.round == number]
            cause = max(before, key=lambda each: each.finished or 0.0, default=None)
            # written after its inputs existed: it was the model that it waited for
            late = cause is not None and task.planned is not None and task.planned > (cause.finished or 0.0)
            task = None if late else cause
    return path


def _bound(phases: Sequence[Phase], tasks: Sequence[TaskBar], waits: Mapping[int, Sequence[int]]) -> float:
    """The earliest end there could have been, with the durations there were."""
    shift, end = 0.0, 0.0  # how much earlier this plan could have begun; the end of what there is so far
    for number in sorted({*(phase.round for phase in phases), *(task.round for task in tasks)}):
        mine = [phase for phase in phases if phase.round == number]
        planning = [phase for phase in mine if phase.kind != "joiner"]
        began = min((phase.started for phase in planning), default=None)
        if began is not None:
            shift = began - end
        ends: dict[int, float] = {}
        for task in tasks:
            if task.round == number and task.started is not None and task.finished is not None:
                written = (task.planned if task.planned is not None else task.started) - shift
                ready = max([written, *(ends[n] for n in waits[task.index] if n in ends)])
                ends[task.index] = ready + task.seconds
        end = max([*ends.values(), *((phase.finished or phase.started) - shift for phase in planning), end])
        end += sum((phase.finished or phase.started) - phase.started for phase in mine if phase.kind == "joiner")
    return end
