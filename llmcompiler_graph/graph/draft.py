"""A plan while it is written: parsed, checked, recorded and begun, task by task, and mended where it is broken.

A task that cannot be used may be written again. Until it was, or will not be, it is *open*: what needs it waits, and
so does every later task with effects (they keep plan order); all others run meanwhile. A task that can be used but
reads another thing than it names is open too; if it is not written anew it is taken as it stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import takewhile
from typing import Any, NamedTuple, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langgraph.config import get_config, get_stream_writer
from langgraph.errors import GraphBubbleUp

from llmcompiler_graph.core.checking.checker import Checker
from llmcompiler_graph.core.checking.entities import Entities
from llmcompiler_graph.core.checking.schema import Schema
from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.parser import NOT_A_TASK, PlanParser
from llmcompiler_graph.core.language.plan import Observation, Task, ToolSpec, render_value
from llmcompiler_graph.core.language.references import JSON, references
from llmcompiler_graph.core.schedule.executor import Executor, Moment, Suspended
from llmcompiler_graph.core.schedule.unit import Start
from llmcompiler_graph.graph.context import Settings, Shared, Teller, turn_clock
from llmcompiler_graph.graph.records import from_record
from llmcompiler_graph.state import (
    DiagnosticRecord,
    LLMCompilerState,
    TaskRecord,
    new_record,
    storable,
    task_from_record,
)

__all__ = ("Broken", "Draft", "recorded", "referable")


class Broken(NamedTuple):
    """A task that is to be written again, or the whole plan if nothing in it could be read."""

    task: int | None
    """Its index; `None` for the whole plan."""
    line: str
    """The line as it was written; empty for the whole plan."""
    diagnostics: list[Diagnostic]
    """What is wrong with it."""


def referable(tools: Iterable[ToolSpec], records: Iterable[TaskRecord]) -> dict[int, tuple[ToolSpec, Schema]]:
    """What may be referred to of tasks that are done: by index, the tool and the schema of the observation."""
    checker = Checker(tools)
    for record in records:
        if record["status"] == "done" and record["text"]:
            checker.assume(task_from_record(record))
    return dict(checker.returns)


class Draft:
    """One plan of a turn.

    Args:
        settings: The graph's tools and limits.
        shared: What its nodes and runs share.
        state: The earlier plans of the turn are known to it.
        sync: Whether the graph was called synchronously.
        plan_id: What its message and its tasks are named after; a new name if not given.
    """

    def __init__(
        self, settings: Settings, shared: Shared, state: LLMCompilerState, *, sync: bool, plan_id: str | None = None
    ) -> None:
        self._earlier = [record["index"] for record in state["tasks"]]
        self.first = max(self._earlier, default=0) + 1
        """The index its first task should have."""
        self.text = ""
        """What was written last: the plan, or the tasks written again."""
        self.records: list[TaskRecord] = []
        """Its tasks, each after those it needs."""
        self.diagnostics: list[Diagnostic] = []
        """What is wrong with it and stays so."""
        self._tools = frozenset(spec.name for spec in settings.specs)
        self._parser = PlanParser(self._earlier, tools=self._tools)
        self._effects = {spec.name for spec in settings.specs if spec.has_effects}
        self._checker = Checker(settings.specs, settings.max_tasks)
        self._entities = Entities()
        self._repairable = settings.max_repairs > 0
        self._repairs_left = settings.max_repairs
        self._asked: dict[int, Broken] = {}  # what is being written again
        self._open: dict[int, list[Diagnostic]] = {}  # index -> what is wrong with it
        self._doubtful: dict[int, Task] = {}  # the open ones that can be used as they are
        self._waiting: dict[int, Task] = {}  # tasks that wait for open ones
        self._loose: list[Diagnostic] = []  # what is wrong with lines that are no task's
        self._tasks: dict[int, Task] = {}
        self._lines: dict[int, str] = {}  # index -> its call as it was written
        self._by_index: dict[int, TaskRecord] = {}
        self._round = len(state["rounds"])
        self._id = plan_id or uuid4().hex[:12]
        now = turn_clock(state)
        self.now = now
        """Tells the seconds since the turn began."""
        self._teller = Teller(get_stream_writer(), now)
        unit = settings.unit(shared.interrupting)
        self._lost = {record["index"] for record in state["tasks"] if record["status"] in {"failed", "skipped"}}
        for record in state["tasks"]:
            if (observation := from_record(record)) is not None:
                unit.restore(record["index"], observation, record["arguments"], record["tool"])
            if record["text"]:
                task = task_from_record(record)
                self._checker.assume(task)
                self._entities.note(task)

        limit = get_config().get("max_concurrency")

        async def early(start: Start) -> Observation:
            now = {**state, "messages": [*state["messages"], self.message(None)]}  # as the next node has it
            try:
                return await settings.call(start, self._by_index[start.index], now, sync=sync, max_concurrency=limit)
            except GraphBubbleUp as interrupt:
                shared.interrupting.add(self._by_index[start.index]["tool"])
                raise Suspended from interrupt

        self.executor = Executor(unit, early, now=now, on_event=self._tell)
        """Runs its tasks."""

    # -- writing and mending ------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether `join()` was read: what follows is ignored."""
        return self._parser.finished

    @property
    def referable(self) -> dict[int, tuple[ToolSpec, Schema]]:
        """What the text may refer to before it has tasks of its own: by index, the tool and what the task returns."""
        failed = (n for n, record in self._by_index.items() if record["status"] == "failed")
        lost = self._lost.union(self._open, self._waiting, failed)
        return {n: returned for n, returned in self._checker.returns.items() if n not in lost}

    def feed(self, text: str) -> None:
        """Take more of the text; start what can be started."""
        self.text += text
        self._take(self._parser.feed(text))

    def close(self, *, cut: bool = False) -> None:
        """Say that the text is complete, and whether the model was not allowed to write more."""
        self._take(self._parser.close(cut=cut))

    def mend(self) -> list[Broken]:
        """Go on with the tasks to be written again; empty if there are none, or no more chances."""
        if not self._repairs_left:
            return []
        self._repairs_left -= 1
        broken = [
            Broken(n, self._line(problems[0]), problems) if problems else self._asked[n]
            for n, problems in self._open.items()
        ]
        following = max([self.first - 1, *self._by_index]) + 1
        lost = [] if self._asked else [each for each in self._loose if self._is_lost_call(each)]
        if not self._by_index and any(each.code == NOT_A_TASK for each in lost):
            return self._begin_again(lost)
        broken += [Broken(n, self._line(each), [replace(each, index=n)]) for n, each in enumerate(lost, following)]
        if not broken:
            return []
        asked = {each.task: each for each in broken if each.task is not None}
        self._asked = dict(sorted(asked.items()))
        self._loose = [each for each in self._loose if each not in lost]
        usable = [n for n in self._by_index if n not in self._open]
        self._open = {n: [] for n in self._asked}
        self._parser = PlanParser([*self._earlier, *usable], self._asked, self._tools)
        self.text = ""
        self._teller.repairing("; ".join(str(each) for one in broken for each in one.diagnostics))
        return list(self._asked.values())

    def _begin_again(self, lost: list[Diagnostic]) -> list[Broken]:
        """Forget a reply that calls tools and in which nothing could be read: the whole plan is written again."""
        self._loose = []
        self._parser = PlanParser(self._earlier, tools=self._tools)
        self.text = ""
        self._teller.repairing("; ".join(map(str, lost)))
        return [Broken(None, "", lost)]

    def settle(self) -> None:
        """Say that nothing is written again: what is open fails, or is taken as it stands."""
        self._repairs_left = 0
        opened, self._open = self._open, {}
        for index, problems in opened.items():
            if index not in self._doubtful:
                self._fail(problems or self._asked[index].diagnostics)
        self.diagnostics += self._loose
        self._waiting |= self._doubtful
        self._doubtful.clear()
        for record in list(self.records):
            if (task := self._waiting.pop(record["index"], None)) is not None:
                self.executor.add(task)

    def message(self, usage: UsageMetadata | None) -> AIMessage:
        """The plan as chat UIs know it: a message with a tool call per task."""
        calls = [
            ToolCall(
                name=record["tool"],
                args=_shown(self._tasks[record["index"]]),
                id=record["tool_call_id"],
                type="tool_call",
            )
            for record in self.records
            if record["text"]
        ]
        return AIMessage("", tool_calls=calls, id=f"plan_{self._id}", name="planner", usage_metadata=usage)

    def cancel(self) -> None:
        """Cancel its calls under way."""
        self.executor.cancel()

    # -- one task -----------------------------------------------------------------------------------------------

    def _take(self, events: Iterable[Task | Diagnostic]) -> None:
        """Take what the parser found: check it, and start what can be started."""
        for event in events:
            if isinstance(event, Task):
                self._write(event)
            elif event.index is None:
                self._loose += [] if self._asked else [event]
            elif not self._asked or event.index in self._open:  # else nobody asked for it again
                self._refuse([event])

    def _write(self, task: Task) -> None:
        index, written = task.index, task
        task, problems = self._checker.check(task)
        anew = index in self._open  # others may have referred to it before it could be used
        if anew and not problems:
            problems = self._circular(task)
        if problems and index in self._doubtful:  # it was better as it stood
            self._checker.check(self._doubtful[index])
            return
        record = new_record(task, self._round, f"call_{self._id}_{index}", self.now())
        if index in self._by_index and self._asked:
            self.records[self.records.index(self._by_index[index])] = record
        else:
            self._drop_prose_placeholder(index)
            self.records.append(record)
        self._by_index[index] = record
        self._open.pop(index, None)
        self._doubtful.pop(index, None)
        self._tasks[index] = task
        self._lines[index] = new_record(written, 0, "")["text"]
        self._entities.note(task)
        self._teller.planned(task, record)
        if problems:
            self._refuse(problems)
        else:
            if anew:
                self._put_in_order()
            self._accept(task)
            if anew:
                self._resume()

    def _accept(self, task: Task) -> None:
        doubt = self._entities.doubt(task) if self._repairs_left else None
        if doubt is not None:
            self._open[task.index], self._doubtful[task.index] = [doubt], task
        elif self._must_wait(task):
            self._waiting[task.index] = task
        else:
            self.executor.add(task)

    def _must_wait(self, task: Task) -> bool:
        if any(n in self._open or n in self._waiting for n in task.dependencies):
            return True
        if task.tool not in self._effects or not self._waiting:
            return task.tool in self._effects and bool(self._open)
        before = takewhile(lambda record: record["index"] != task.index, self.records)
        return bool(self._open) or any(r["index"] in self._waiting and r["tool"] in self._effects for r in before)

    def _resume(self) -> None:
        """Begin what waited for a task that was written again; it is checked again, now that its inputs are known."""
        going_on = True
        while going_on:
            going_on = False
            for record in self.records if self._waiting else ():
                task = self._waiting.get(record["index"])
                if task is not None and not self._must_wait(task):
                    del self._waiting[task.index]
                    going_on = True
                    task, problems = self._checker.check(task)
                    if problems:
                        self._refuse(problems)
                    else:
                        self._accept(task)

    def _refuse(self, problems: list[Diagnostic]) -> None:
        """Leave a task open, if it can be written again; else it has failed."""
        index = problems[0].index
        assert index is not None
        self._record_of(index)
        if not self._asked:
            self._doubtful.pop(index, None)
        begun = self.executor.has(index)
        if self._repairable and not begun and all(each.code != "too-many-tasks" for each in problems):
            self._waiting.pop(index, None)
            self._open[index] = [*self._open.get(index, ()), *problems]
        else:
            self._fail(problems)

    def _fail(self, problems: list[Diagnostic]) -> None:
        self.diagnostics += problems
        index = problems[0].index
        assert index is not None
        error = "; ".join(f"{each.message}{each.hint and f' ({each.hint})'}" for each in problems)
        record = self._record_of(index)
        record["status"], record["error"] = "failed", error
        known = self.executor.observation(index)
        self.executor.reject(index, error)
        if known is not None and known.status == "done":
            self._discard_after(index)

    def _discard_after(self, index: int) -> None:
        """Give up what was begun with the observation of a task that turned out to be unusable."""
        stale = {index}
        for record in self.records:
            task = self._tasks.get(record["index"])
            if record["status"] == "planned" and task is not None and not stale.isdisjoint(task.dependencies):
                cause = min(stale.intersection(task.dependencies))
                record["status"], record["error"] = "skipped", f"not used: it needs task {cause}, which failed"
                self._waiting.pop(task.index, None)
                self.executor.reject(task.index, record["error"])
                stale.add(task.index)

    def _record_of(self, index: int) -> TaskRecord:
        """The record of a task, also of one whose line could not be read."""
        if index not in self._by_index:
            record: TaskRecord = {**new_record(Task(index, ""), self._round, f"call_{self._id}_{index}"), "text": ""}
            self._by_index[index] = record
            self.records.append(record)
        return self._by_index[index]

    def _circular(self, task: Task) -> list[Diagnostic]:
        """Complain about a task written again that refers to one that waits for it."""
        for n in task.dependencies:
            seen, pending = {n}, [n]
            while pending:
                one = pending.pop()
                needs = () if one in self._open or one not in self._tasks else self._tasks[one].dependencies
                if task.index in needs:
                    message = f"task {task.index} refers to task {n}, which waits for it"
                    hint = "references point only to earlier tasks"
                    return [Diagnostic("forward-reference", message, task.line, task.column, hint, task.index)]
                pending += (each for each in needs if each not in seen)
                seen.update(needs)
        return []

    def _drop_prose_placeholder(self, index: int) -> None:
        """A numbered line of prose was taken for task `index`; here is the task itself."""
        if (record := self._by_index.pop(index, None)) is not None:
            self.records.remove(record)
            self.diagnostics = [each for each in self.diagnostics if each.index != index]

    def _put_in_order(self) -> None:
        """Put each task after those it needs: one written again may need any that does not wait for it."""
        ordered: dict[int, TaskRecord] = {}

        def place(index: int) -> None:
            if index in ordered or index not in self._by_index:
                return
            if index in self._tasks and index not in self._open and self._by_index[index]["status"] == "planned":
                for n in self._tasks[index].dependencies:
                    place(n)
            ordered[index] = self._by_index[index]

        for record in self.records:
            place(record["index"])
        self.records = list(ordered.values())

    def _is_lost_call(self, diagnostic: Diagnostic) -> bool:
        """Whether a line that became no task is a call of a tool that stands nowhere else."""
        if diagnostic.code == NOT_A_TASK:
            return True
        line = self._line(diagnostic)
        call = line[diagnostic.column - 1 :].partition(". ")[2] or line
        known = any(f"{tool}(" in call for tool in self._tools)
        return diagnostic.code in ("missing-index", "duplicate-index") and known and self.text.count(call) == 1

    def _line(self, diagnostic: Diagnostic) -> str:
        return self._lines.get(diagnostic.index or 0) or self.text.split("\n")[diagnostic.line - 1].strip()

    def _tell(self, moment: Moment, index: int) -> None:
        if (record := self._by_index.get(index)) is not None:
            self._teller.moment(moment, record, self.executor.observation(index))


def recorded(diagnostic: Diagnostic) -> DiagnosticRecord:
    """Write a diagnostic for the state."""
    return DiagnosticRecord(
        code=diagnostic.code,
        message=diagnostic.message,
        hint=diagnostic.hint,
        line=diagnostic.line,
        column=diagnostic.column,
        index=diagnostic.index,
    )


def _shown(task: Task) -> dict[str, Any]:
    """A task's arguments as JSON, with references as they are written."""
    return {
        name: render_value(value) if any(True for _ in references(value)) else storable(cast("JSON", value))
        for name, value in task.arguments.items()
    }
