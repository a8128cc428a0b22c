"""A plan while it is written: parsed, checked, recorded and begun, task by task, and mended where it is broken.

A task that cannot be used may be written again, and so may one that reads another thing than it names. Until then
what needs it waits, and so does every task with effects; all others run meanwhile. `draft_tasks` says what becomes of
a task, and when.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from langchain_core.messages import AIMessage, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langgraph.config import get_config, get_stream_writer

from llmcompiler_graph.core.checking.checker import Checker
from llmcompiler_graph.core.checking.entities import Entities
from llmcompiler_graph.core.checking.inlining import InliningError
from llmcompiler_graph.core.checking.placeholders import Placeholders
from llmcompiler_graph.core.checking.schema import Schema
from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.parser import NOT_A_TASK, PlanParser
from llmcompiler_graph.core.language.plan import Observation, Task, ToolSpec
from llmcompiler_graph.core.schedule.executor import Moment
from llmcompiler_graph.core.schedule.instructions import Start
from llmcompiler_graph.graph.clock import turn_clock
from llmcompiler_graph.graph.context import Settings, Shared, Teller
from llmcompiler_graph.graph.draft_tasks import Broken, DraftTask, DraftTasks
from llmcompiler_graph.graph.lost_calls import lost_calls
from llmcompiler_graph.graph.plan_message import plan_message, tool_call
from llmcompiler_graph.graph.records import from_record
from llmcompiler_graph.models.prompts import question_of
from llmcompiler_graph.models.streaming import config_of_calls
from llmcompiler_graph.state import (
    DiagnosticRecord,
    LLMCompilerState,
    TaskRecord,
    new_record,
    plan_name,
    task_from_record,
)

if TYPE_CHECKING:
    from llmcompiler_graph.core.checking.answers import AnswerCheck

__all__ = ("Draft", "recorded", "referable")


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
        self._settings = settings
        self._shared = shared
        self._state = state
        self._sync = sync
        self._id = plan_id or uuid4().hex[:12]
        self._config = config_of_calls(get_config().get("max_concurrency"))
        self._earlier = [record["index"] for record in state["tasks"]]
        self.first = max(self._earlier, default=0) + 1
        """The index its first task should have."""
        self._pieces: list[str] = []  # of the text
        self._parameters = {spec.name: tuple(spec.parameters) for spec in settings.callable}
        self._tools = {spec.name: spec for spec in settings.specs}
        self._own_names = {spec.name: spec.called for spec in settings.specs}
        self._parser = PlanParser(self._earlier, tools=self._parameters, procedures=settings.widths)
        self._checker = Checker(settings.callable, settings.max_tasks)
        self._written: list[Task] = []  # by the model, in the plan itself
        self._ends: dict[int, tuple[int, ...]] = {}  # of the calls of procedures: their tasks that none of them needs
        self._entities, self._placeholders = Entities(), Placeholders()
        self._repairs_left = settings.max_repairs
        self._answers: AnswerCheck | None = None  # whether the plan gives what is asked for
        if settings.check_answers and settings.max_repairs and not state["rounds"]:
            from llmcompiler_graph.core.checking.answers import AnswerCheck  # else it need not be loaded

            self._answers = AnswerCheck(question_of(state).text, settings.specs)
        self._rewriting: frozenset[int] = frozenset()  # tasks that the text writes again; none in the plan itself
        self._tasks = DraftTasks({spec.name for spec in settings.specs if spec.has_effects})
        self._unnumbered: list[Diagnostic] = []  # what is wrong with lines that are no task's
        self._settled = False
        self.halted = ""
        """Why nothing more of it is begun; empty if anything may be."""
        self._calls: list[ToolCall] | None = None  # of the plan's message so far; `None` if they are to be made anew
        self.now = turn_clock(state)
        """Tells the seconds since the turn began."""
        self._teller = Teller(get_stream_writer(), self.now)
        unit = settings.unit(shared.interrupting)
        self._lost = {record["index"] for record in state["tasks"] if record["status"] in {"failed", "skipped"}}
        for record in state["tasks"]:
            if (observation := from_record(record)) is not None:
                unit.restore(record["index"], observation, record["arguments"], plan_name(record))
            if record["text"]:
                task = task_from_record(record)
                self._checker.assume(task)
                self._entities.note(task)
                self._placeholders.note(task)
        self.executor = settings.executor(unit, self._call_early, now=self.now, on_event=self._tell)
        """Runs its tasks."""

    # -- what it comes to ---------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """What was written last: the plan, or the tasks written again."""
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    @property
    def numbered(self) -> str:
        """The plan as it was written, but where it calls procedures, with the numbers that its tasks have by that."""
        if not any(task.reserved for task in self._written):
            return self.text
        known, lines = {task.index for task in self._written}, self.text.split("\n")
        said = [(task.line, str(task)) for task in self._written]
        for entry in self._tasks.within("broken"):
            if entry.index not in known and entry.problems:
                line = lines[entry.problems[0].line - 1].strip()
                said.append((entry.problems[0].line, re.sub(r"\d+", str(entry.index), line, count=1)))
        return "\n".join(text for _, text in sorted(said, key=lambda each: each[0]))

    @property
    def finished(self) -> bool:
        """Whether `join()` was read: what follows is ignored."""
        return self._parser.finished

    @property
    def size(self) -> int:
        """How many tasks it has so far."""
        return len(self._tasks)

    @property
    def calls_nothing(self) -> bool:
        """Whether so far nothing in it is, or looks like, a call of a tool."""
        return not self._unnumbered and not len(self._tasks)

    @property
    def records(self) -> list[TaskRecord]:
        """Its tasks, each after those it needs."""
        return [entry.record for entry in self._tasks if entry.record is not None]

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What is wrong with it and stays so."""
        failed = [problem for entry in self._tasks.within("failed") for problem in entry.problems]
        return [*failed, *(self._unnumbered if self._settled else ())]

    @property
    def referable(self) -> dict[int, tuple[ToolSpec, Schema]]:
        """What the text may refer to before it has tasks of its own: by index, the tool and what the task returns."""
        lost = self._lost.union(entry.index for entry in self._tasks if entry.phase != "scheduled")
        return {n: returned for n, returned in self._checker.returns.items() if n not in lost}

    def message(self, usage: UsageMetadata | None) -> AIMessage:
        """Make the plan's message."""
        return plan_message(self._id, self._tool_calls(), usage)

    def validate(self) -> None:
        """Check what must hold between any two calls of its methods; for tests.

        Raises:
            AssertionError: Something does not hold.
        """
        self._tasks.validate()
        assert all(self._tasks.must_wait(entry) for entry in self._tasks.within("waiting"))
        assert all(self.executor.has(entry.index) for entry in self._tasks.within("scheduled", "skipped"))

    # -- writing and mending ------------------------------------------------------------------------------------

    def feed(self, text: str) -> None:
        """Take more of the text; start what can be started."""
        self._pieces.append(text)
        self._take(self._parser.feed(text))

    def close(self, *, cut: bool = False) -> None:
        """Say that the text is complete, and whether the model was not allowed to write more."""
        self._take(self._parser.close(cut=cut))

    def mend(self) -> list[Broken]:
        """Go on with the tasks to be written again; empty if there are none, or no more chances."""
        if not self._repairs_left:
            return []
        self._repairs_left -= 1
        lines = self.text.split("\n")
        asked: list[Broken] = []
        if not self._rewriting:
            lost = lost_calls(self._unnumbered, self.text, self._parameters)
            if any(problem.code == NOT_A_TASK for problem in lost) and not any(True for _ in self._tasks):
                self._unnumbered = []
                asked = [Broken(None, "", lost)]  # nothing could be read: the whole plan is written again
            else:
                self._number(lost, lines)
            if not asked:
                self._doubt_answer()
        entries = sorted(self._tasks.within("broken", "doubted"), key=lambda entry: entry.index)
        asked += [_ask_again(entry, lines) for entry in entries]
        if asked:
            self._rewriting = frozenset(entry.index for entry in entries)
            usable = (entry.index for entry in self._tasks if entry.index not in self._rewriting)
            self._parser = PlanParser(
                [*self._earlier, *usable], self._rewriting, self._parameters, procedures=self._settings.widths
            )
            self._pieces = []
            self._teller.repairing("; ".join(str(problem) for broken in asked for problem in broken.diagnostics))
        return asked

    def settle(self) -> None:
        """Say that nothing is written again: what is broken fails, what is doubted is taken as it stands."""
        self._repairs_left = 0
        self._settled = True
        self._release()
        for entry in self._tasks.within("broken"):
            self._fail(entry, entry.problems or (entry.asked.diagnostics if entry.asked else []))
        for entry in self._tasks.within("doubted"):
            self._tasks.wait(entry)
        for entry in self._tasks.within("waiting"):
            self._schedule(entry)

    def halt(self, what: str) -> None:
        """Begin nothing more of it: tasks of which no call has begun fail; calls under way go on.

        Args:
            what: Why, for the tasks' errors.
        """
        self.halted = what
        self.executor.halt(what)

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
                self._unnumbered += [] if self._rewriting else [event]
            else:
                self._complain(event.index, event)

    def _doubt_answer(self) -> None:
        """Complete the plan if it does not give what the question asks for, and there is no choice."""
        if self._answers is None:
            return
        entries = list(self._tasks)
        doubt = None
        if all(entry.phase in ("held", "scheduled") for entry in entries):
            doubt = self._answers.doubt([entry.task for entry in entries if entry.task is not None])
        if doubt is None or not self._has_room(len(doubt.before) + (self._tasks.get(doubt.task) is None)):
            self._release()
        else:
            self._teller.repairing("; ".join(doubt.problems))
            self._complete(doubt.task, doubt.line)

    def _has_room(self, tasks: int) -> bool:
        """Whether so many more tasks may be written."""
        return not tasks or self._settings.max_tasks is None or self.size + tasks <= self._settings.max_tasks

    def _complete(self, index: int, line: str) -> None:
        """Write the last task, which question and plan leave no choice about, as if the planner had."""
        if (held := self._tasks.get(index)) is not None:
            self._tasks.doubt(held, [])
        else:
            self._release()
        usable = [entry.index for entry in self._tasks if entry.index != index]
        again = frozenset([index] if held is not None else [])
        parser = PlanParser([*self._earlier, *usable], again, self._parameters)
        self._answers, self._rewriting = None, again
        self._take([*parser.feed(line), *parser.close()])
        self._rewriting = frozenset()

    def _release(self) -> None:
        """Schedule the calculation that might have been the last task."""
        for entry in self._tasks.within("held"):
            self._schedule(entry)

    def _write(self, written: Task) -> None:
        self._release()
        if self._answers is not None and not self._rewriting:
            written = self._answers.in_full(written)
        known = self._tasks.get(written.index)
        self._written += [] if self._rewriting else [written]
        if written.after:
            written = replace(written, after=tuple(dict.fromkeys(self._all_of(written.after))))
        task, problems = self._checker.check(written)
        if not problems and (needed := self._tasks.waiting_for(task)) is not None:
            message = f"task {task.index} refers to task {needed}, which waits for it"
            hint = "references point only to earlier tasks"
            problems = [Diagnostic("forward-reference", message, task.line, task.column, hint, task.index)]
        if problems and known is not None and known.phase == "doubted" and known.task is not None:
            self._checker.check(known.task)  # it was better as it stood
            return
        tasks = [task]
        if not problems and task.tool in self._settings.procedures:
            doubt = self._placeholders.doubt(task) if self._repairs_left else None
            tasks, problems = self._inlined(task) if doubt is None else (tasks, [doubt])
        for each in tasks:
            self._put(each, written if each is task else each, problems, call=task)

    def _all_of(self, after: Iterable[int]) -> Iterator[int]:
        """The tasks that a task waits for, with those that the procedures among them end with."""
        for index in after:
            yield from self._ends.get(index, ())
            yield index

    def _inlined(self, call: Task) -> tuple[list[Task], list[Diagnostic]]:
        """The tasks that stand in place of a procedure's call; the call itself, if they cannot."""
        procedure = self._settings.procedures[call.tool]
        try:
            tasks = procedure.inlined(call, self._tools)
        except InliningError as error:
            return [call], [Diagnostic(error.code, str(error), call.line, call.column, error.hint, call.index)]
        checked = [self._checker.check(task) for task in tasks]
        problems = [replace(each, index=call.index) for _, found in checked for each in found]
        if problems:
            self._checker.forget(call.reserved)
            return [call], problems
        self._ends[call.index] = tuple(tasks[n].index for n in procedure.ends)
        return [task for task, _ in checked], []

    def _put(self, task: Task, written: Task, problems: list[Diagnostic], call: Task) -> None:
        """Put a task that was checked into the plan.

        Args:
            task: It, with its arguments by name.
            written: As it was written.
            problems: What is wrong with it.
            call: What the model has written: it, or the call of a procedure that it comes from.
        """
        known = self._tasks.get(task.index)
        anew = known is not None and known.phase in ("broken", "doubted")  # others may have referred to it before
        rewriting = bool(self._rewriting)
        before = call.index if rewriting and task.index != call.index else None
        entry = self._tasks.write(task.index, in_place=rewriting, before=before)
        record = self._new_record(task)
        if task is not call:
            record["procedure"] = str(replace(call, thought=""))
        self._tasks.take(entry, task, written, record)
        if self._calls is not None and known is None and not rewriting:
            self._calls.append(tool_call(task, record))
        else:
            self._calls = None
        self._entities.note(task)
        self._placeholders.note(task)
        self._teller.planned(task, record)
        if problems:
            self._refuse(entry, problems)
        else:
            self._tasks.put_in_order(entry)
            self._accept(entry)
            if anew:
                self._resume()

    def _complain(self, index: int, problem: Diagnostic) -> None:
        """Take note that a line cannot be used that was, or may have been, meant for a task."""
        entry = self._tasks.get(index)
        if self._rewriting and (entry is None or entry.phase not in ("broken", "doubted")):
            return  # nobody asked for it again
        if entry is None:
            entry = self._tasks.write(index)
            entry.record = self._unreadable(index)
        if self._rewriting and entry.phase == "doubted":  # it was better as it stood
            entry.problems.append(problem)
        else:
            self._refuse(entry, [problem])

    def _accept(self, entry: DraftTask) -> None:
        """Hand a task over to the executor, if neither a doubt nor another task is in the way."""
        assert entry.task is not None
        may_doubt = self._repairs_left and not (entry.record and "procedure" in entry.record)
        doubt = self._entities.doubt(entry.task) or self._placeholders.doubt(entry.task) if may_doubt else None
        if doubt is not None:
            self._tasks.doubt(entry, [doubt])
        elif entry.phase == "written" and self._tasks.must_wait(entry):
            self._tasks.wait(entry)
        elif may_doubt and not self._rewriting and self._answers is not None and self._answers.calculates(entry.task):
            self._tasks.hold(entry)
        else:
            self._schedule(entry)

    def _schedule(self, entry: DraftTask) -> None:
        assert entry.task is not None
        if doubt := self._placeholders.doubt(entry.task):  # it was not written anew: it is taken as it stands, and told
            self._unnumbered.append(replace(doubt, index=None))
        self._tasks.schedule(entry)
        self.executor.add(entry.task)
        if self.halted:
            self.executor.halt(self.halted)

    def _resume(self) -> None:
        """Begin what waited for a task that was written again; it is checked again, now that its inputs are known."""
        while (entry := self._tasks.next_ready()) is not None:
            assert entry.task is not None
            task, problems = self._checker.check(entry.task)
            if problems:
                self._refuse(entry, problems)
                continue
            if task != entry.task and entry.record is not None:
                entry.task, self._calls = task, None
                entry.record["text"] = self._new_record(task)["text"]
            self._accept(entry)

    def _refuse(self, entry: DraftTask, problems: list[Diagnostic]) -> None:
        """Leave a task open, if it can be written again; else it has failed."""
        ended = entry.phase in ("scheduled", "skipped", "failed")
        final = any(problem.code == "too-many-tasks" for problem in problems)
        if self._settings.max_repairs and not ended and not final:
            self._tasks.refuse(entry, problems)
        else:
            self._fail(entry, problems)

    def _fail(self, entry: DraftTask, problems: list[Diagnostic]) -> None:
        """Let a task fail, and what was begun with its observation."""
        error = "; ".join(f"{problem.message}{problem.hint and f' ({problem.hint})'}" for problem in problems)
        known = self.executor.observation(entry.index)
        self._tasks.fail(entry, [*entry.problems, *problems] if entry.phase == "failed" else problems)
        entry.record = entry.record or self._unreadable(entry.index)
        entry.record["status"], entry.record["error"] = "failed", error
        self.executor.reject(entry.index, error)
        if known is None or known.status != "done":
            return
        for skipped, cause in self._tasks.skip_after(entry):
            assert skipped.record is not None
            error = f"not used: it needs task {cause}, which failed"
            skipped.record["status"], skipped.record["error"] = "skipped", error
            self.executor.reject(skipped.index, error)

    def _new_record(self, task: Task) -> TaskRecord:
        record = new_record(task, len(self._state["rounds"]), f"call_{self._id}_{task.index}", self.now())
        return {**record, "tool": self._own_names.get(task.tool, task.tool)}

    def _unreadable(self, index: int) -> TaskRecord:
        """The record of a task whose line could not be read."""
        return {**self._new_record(Task(index, "")), "text": "", "planned_at": None}

    def _number(self, lost: Sequence[Diagnostic], lines: Sequence[str]) -> None:
        """Let calls that no task came of be written again, under new numbers."""
        following = max([self.first - 1, *(entry.index for entry in self._tasks)]) + 1
        for index, problem in enumerate(lost, following):
            entry = self._tasks.write(index)
            self._tasks.refuse(entry, [])
            entry.asked = Broken(index, lines[problem.line - 1].strip(), [replace(problem, index=index)])
        gone = set(map(id, lost))
        self._unnumbered = [problem for problem in self._unnumbered if id(problem) not in gone]

    # -- early calls --------------------------------------------------------------------------------------------

    async def _call_early(self, start: Start) -> Observation:
        """Make a call of a task while the plan is still written."""
        entry = self._tasks.get(start.index)
        assert entry is not None
        assert entry.record is not None
        record = entry.record
        seen = self._seen(record["tool"])
        return await self._settings.call_detached(self._shared, start, record, seen, self._config, sync=self._sync)

    def _seen(self, tool: str) -> LLMCompilerState:
        """The state that a tool is given: if it looks at it, with the plan so far, as the next node has it."""
        if not self._settings.runner.shows_state(tool):
            return self._state
        if self._calls is None:
            self._calls = self._tool_calls()
        return {**self._state, "messages": [*self._state["messages"], plan_message(self._id, self._calls)]}

    def _tool_calls(self) -> list[ToolCall]:
        known = ((entry.task, entry.record) for entry in self._tasks)
        return [tool_call(task, record) for task, record in known if task is not None and record is not None]

    def _tell(self, moment: Moment, index: int) -> None:
        entry = self._tasks.get(index)
        if entry is not None and entry.record is not None:
            self._teller.moment(moment, entry.record, self.executor)


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


def _ask_again(entry: DraftTask, lines: Sequence[str]) -> Broken:
    """Ask for an open task, with what is wrong with it since it was last asked for, if anything is.

    Args:
        entry: The task.
        lines: Those of the text.
    """
    if entry.problems:
        written = entry.written and str(replace(entry.written, thought=""))
        line = written or lines[entry.problems[0].line - 1].strip()
        entry.asked, entry.problems = Broken(entry.index, line, entry.problems), []
    assert entry.asked is not None, f"task {entry.index} is {entry.phase} for no reason"
    return entry.asked
