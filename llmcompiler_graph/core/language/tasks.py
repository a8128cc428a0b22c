"""Calls that were read into tasks, and complaints about those that cannot be used.

A line that looks like a task and is none takes its number with it: what refers to it can then be said to lack it. The
numbers themselves are a matter of `numbering`, the arguments of `call_syntax`.

May know: `call_syntax`, `conditions`, `errors`, `guard_reader`, `guards`, `lines`, `mentions`, `names`, `numbering`,
`plan`, `repetition`, `window`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TypeAlias

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language import lines
from llmcompiler_graph.core.language.call_syntax import CallSyntaxError, parse_arguments
from llmcompiler_graph.core.language.conditions import Conditions, conditions
from llmcompiler_graph.core.language.guard_reader import read_guard
from llmcompiler_graph.core.language.guards import Guard
from llmcompiler_graph.core.language.notations.mentions import call_key
from llmcompiler_graph.core.language.notations.names import Names, ParameterNames
from llmcompiler_graph.core.language.numbering import Numbering
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.language.repetition import Repetition, read_repetition
from llmcompiler_graph.core.language.window import Window

__all__ = ("Call", "Event", "Tasks", "shortened")

Event: TypeAlias = Task | Diagnostic
"""What the parser says: a task to run, or a complaint.

A diagnostic with an `index` makes that task unusable, until a later line takes the index.
"""


@dataclass(slots=True)
class Call:
    """A call while it is read."""

    written: int = 0
    """Its number, as written."""
    tool: str = ""
    """Its tool."""
    place: int = 0
    """Where it stands in the text."""
    start: int | None = None
    """Where its arguments begin in the text; `None` if they do not stand there as they are."""
    labels: tuple[str, ...] = ()
    """What it is called besides its number."""
    counted: bool = False
    """Whether its line has no number, so that it has the one that follows."""
    moved_from: int | None = None
    """The number on its line, if it got the next one."""
    thought: str = ""
    """The thoughts before it."""
    walked: list[str] = field(default_factory=list)
    """Its arguments so far."""
    mismatched: bool = False
    """Whether its brackets do not match."""
    when: tuple[str, int] | None = None
    """What stands behind `when`, and where in the text."""
    until: tuple[str, int] | None = None
    """What stands behind `until`, and where in the text."""


@contextmanager
def _located(written: tuple[str, int]) -> Iterator[None]:
    """Say where in the whole text a guard or a repetition cannot be read.

    Raises:
        CallSyntaxError: It cannot; `offset` is counted from the start of the whole text.
    """
    text, place = written
    try:
        yield
    except CallSyntaxError as error:
        error.offset = place + min(error.offset, len(text))
        raise


def _is_read(behind: Conditions) -> bool:
    """Whether conditions are written as the language writes them."""
    try:
        if behind.when:
            read_guard(behind.when[0], is_task=lambda _: True)
        if behind.until:
            read_repetition(behind.until[0], is_task=lambda _: True)
    except CallSyntaxError:
        return False
    return True


class Tasks:
    """What was read of one plan.

    Args:
        used: Indices of this question's earlier plans.
        again: If given, just these tasks are written anew.
        window: The text.
        procedures: How many tasks stand in place of a call of each procedure, by name.
        parameters: Those of the procedure whose plan it is, if it is one's.
    """

    def __init__(
        self,
        used: Iterable[int],
        again: Iterable[int],
        window: Window,
        procedures: Mapping[str, int],
        parameters: ParameterNames | None = None,
    ) -> None:
        self.numbers = Numbering(used, again)
        """The numbers."""
        self.names = parameters or Names()
        """What tasks are called besides."""
        self._procedures = procedures
        self._parameters = parameters
        self.count = 0
        """How many tasks there are."""
        self.called: Counter[str] = Counter()
        """How many of them call each tool."""
        self.keys: set[int] = set()
        """The `call_key` of each, as it was written."""
        self._counted: dict[int, Call] = {}  # calls whose lines have no number, by the one they got
        self._first_is_counted = False
        self._window = window
        self._events: list[Event] = []
        self._dollars: dict[int, list[tuple[int, Task]]] = {}  # N -> tasks in whose strings `$N` was left as text
        self._latest: Task | None = None
        self._thoughts: list[str] = []
        self._mentioned: list[tuple[int, int, str]] = []  # a heap of calls in thoughts: index, place, tool
        self._prose: list[tuple[int, str, int, str]] = []  # numbered lines before the first call of a replan

    def take(self) -> list[Event]:
        """Take what was found since the last time."""
        if not self._events:
            return []
        events, self._events = self._events, []
        return events

    # -- lines that are no calls ----------------------------------------------------------------------------------

    def think(self, line: str, start: int, where: int) -> bool:
        """Take a line that is a thought, from where in it the thought starts; return whether calls stand in it."""
        self._thoughts.append(line[start:].strip())
        before = len(self._mentioned)
        for head in lines.heads_within(line, start):
            if head["tool"].lower() != "join":
                heappush(self._mentioned, (int(head["index"]), where + head.start("index"), head["tool"]))
        return len(self._mentioned) > before

    def is_no_call(self, index: int, rest: str, where: int) -> None:
        """Take a numbered line that is no call."""
        message = f"task {index} is not a tool call: {shortened(rest)}"
        hint = f"write it as `{index}. tool(argument, …)`, or leave the number out"
        if self.numbers.undecided:
            self._prose.append((index, message, where, hint))
        else:
            self.spoil(index, "not-a-call", message, where, hint)

    def settle(self, following: int | None = None) -> None:
        """Complain about lines that may have meant tasks, now that the plan has ended or goes on with a task.

        These are the numbered ones before the first call, which shows how the plan is numbered, and calls in thoughts,
        unless they have or will have a line of their own.
        """
        prose, self._prose = self._prose, []
        for index, message, where, hint in prose:
            self.spoil(index, "not-a-call", message, where, hint)
        while self._mentioned and (following is None or self._mentioned[0][0] <= following):
            index, where, tool = heappop(self._mentioned)
            if index != following and not self.numbers.knows(index):
                hint = "begin a line with its number"
                self.spoil(index, "not-a-call", f"the call of {tool!r} stands in a thought", where, hint)

    def condition_below(self, line: str, where: int) -> None:
        """Take a line that is no call: a condition belongs to the call above it, which would be made without it.

        It is one if it can be read as one, or is indented.
        """
        task, self._latest = self._latest, None
        behind = conditions(line, 0) if task is not None else None
        if task is None or behind is None or not (line[0].isspace() or _is_read(behind)):
            return
        message = f"a condition stands on a line of its own, below task {task.index}: {shortened(line)}"
        self.complain("guard", message, where, "write it behind the call, on the same line", index=task.index)

    def condition_behind(self, text: str, where: int) -> None:
        """Take what stands behind a call and compares what a task returned, in words that are not the language's."""
        if (task := self._latest) is not None:
            message = f"what stands behind task {task.index} looks like a condition: {shortened(text)}"
            self.complain("guard", message, where, "write it as in `when ${1.total} > 100`", index=task.index)

    # -- calls ----------------------------------------------------------------------------------------------------

    def begin(self, tool: str, written: int | None, place: int, labels: tuple[str, ...] = ()) -> Call:
        """Begin a call; one without a number gets that of its label, if it is free, or the next."""
        self._latest = None
        numbered = written if written is not None else self._number_in(labels)
        written = self.numbers.following() if numbered is None else numbered
        if not self.count:
            self._first_is_counted = numbered is None and not self.numbers.again
        counted, thought = numbered is None and not labels, "\n".join(self._thoughts)
        call = Call(written, tool, place, labels=labels, counted=counted, thought=thought)
        self._thoughts.clear()
        if written > self.numbers.last:
            self.numbers.index(written)  # the numbering goes on, whatever numbers the prose before it has
        self.settle(written)
        return call

    def _number_in(self, labels: tuple[str, ...]) -> int | None:
        for label in labels:
            digits = re.fullmatch(r"(?:[eEtT]|[Tt]ask|[Ss]tep)?[_-]?(\d{1,9})", label)
            if digits and self.numbers.is_free(int(digits[1])):
                return int(digits[1])
        return None

    def is_task(self, index: int, within: Call) -> bool:
        """Whether a reference in a call may mean a task by its number."""
        given = self._parameters is not None and self._parameters.position(index) is not None
        return given or self.numbers.is_task(index, within.written)

    def build(self, call: Call, after: list[tuple[int, int]], unfinished: str | None = None, below: str = "") -> None:
        """Make the task of a call that was read.

        Args:
            call: The call.
            after: The tasks it waits for, and where each is named.
            unfinished: What shows that it is part of an expression.
            below: The line of a program that it stands below.
        """
        if not (after or call.when or call.until) and (restated := self._restated(call)) is not None:
            if restated == call.written:
                del self._counted[restated]
            self.numbers.move(call.written, restated)
            return
        self._renumber(call)
        if self.numbers.has(call.written):
            hint = "give every task a number of its own"
            self.complain("duplicate-index", f"task {call.written} stands twice in the plan", call.place, hint)
            return
        if call.mismatched:
            self.drop(call, "syntax", f"in the call of {call.tool!r}, the brackets do not match")
        elif unfinished is not None:
            hint = "one call per line; refer to it with `$N` in a further task"
            self.drop(call, "trailing-text", f"the call is part of an expression: {shortened(unfinished)}", hint=hint)
        elif below:
            hint = "write a condition behind the call, `when ${1.total} > 100`, and a loop as `until …` or `${1[*]}`"
            self.drop(call, "control-flow", f"the call of {call.tool!r} stands below {shortened(below)}", hint=hint)
        elif not self.numbers.usable(self.numbers.index(call.written)):
            hint = f"go on at {self.numbers.last + 1}"
            self.complain("duplicate-index", f"task {call.written} has a number of an earlier plan", call.place, hint)
        else:
            self.numbers.forget(call.written)
            self._read(call, after)
        self._count(call)
        for label in call.labels:
            self.names.assign(label, call.written)

    def _restated(self, call: Call) -> int | None:
        """The number of the same call above that has none on its line, if this one has it."""
        if self._is_counted(call.written):
            for number in (call.written, self.numbers.last + call.written):
                before = self._counted.get(number)
                if before is not None and _key(before) == _key(call):
                    return number
        return None

    def _is_counted(self, number: int) -> bool:
        """Whether a number is taken only since lines without one count."""
        counted = self._counted.get(number)
        if counted is not None and counted.moved_from is not None:
            return True
        if self.numbers.has(number):
            return counted is not None
        return self._first_is_counted and number in self.numbers.used and not self.numbers.is_moved(number)

    def _renumber(self, call: Call) -> None:
        """Give a call the next number if its own is taken only since lines without one count."""
        if not call.counted and self._is_counted(call.written):
            self._counted.pop(call.written, None)
            call.moved_from, call.written, call.counted = call.written, self.numbers.following(), True

    def _count(self, call: Call) -> None:
        """Take note of a call that was read, if its line has no number, or another than it got."""
        if call.counted:
            self._counted[call.written] = call
        if call.moved_from is not None:
            self.numbers.move(call.moved_from, call.written)

    def _read(self, call: Call, after: list[tuple[int, int]]) -> None:
        text, written = "".join(call.walked), call.written
        start = call.start

        def place(offset: int) -> int:
            return call.place if start is None else start + offset

        try:
            resolved = self.names.resolve(text)
            start = start if resolved == text else None
            arguments = parse_arguments(
                resolved, is_task=lambda index: self.is_task(index, call), rename=self.numbers.rename
            )
        except CallSyntaxError as error:
            self.drop(call, error.code, f"in the call of {call.tool!r}, {error}", place(error.offset), error.hint)
            return
        try:
            when, until = self._read_guard(call), self._read_repetition(call)
        except CallSyntaxError as error:
            self.drop(call, error.code, f"in the call of {call.tool!r}, {error}", error.offset, error.hint)
            return
        unknown = [(n, place(offset)) for n, offset in arguments.unknown]
        unknown += [(n, where) for n, where in after if not self.is_task(n, call)]
        if until is not None and written in arguments.literal_dollars:  # elsewhere `$2` in task 2 is an amount of money
            unknown.append((written, place(0)))
        for n, where in unknown:
            self._no_such_task(n, written, where)
        if unknown:
            return
        others = self._procedures.get(call.tool, 1) - 1
        reserved = tuple(self.numbers.keep_free(written, others)) if others else ()
        task = Task(
            self.numbers.index(written),
            call.tool,
            arguments.named,
            tuple(dict.fromkeys(self.numbers.rename(n) for n, _ in after)),
            arguments.positional,
            call.thought,
            *self._window.locate(call.place),
            when,
            until,
            reserved,
        )
        self.keys.add(_key(call))
        self._add(task, written, arguments.literal_dollars)

    def _read_guard(self, call: Call) -> Guard | None:
        """Read what must hold for a call.

        Raises:
            CallSyntaxError: It is no guard.
        """
        if call.when is None:
            return None
        with _located(call.when):
            resolved = self.names.resolve(call.when[0])
            return read_guard(resolved, is_task=lambda index: self.is_task(index, call), rename=self.numbers.rename)

    def _read_repetition(self, call: Call) -> Repetition | None:
        """Read until what holds a call is made again; there, its own number means its last attempt.

        Raises:
            CallSyntaxError: It is no bounded repetition.
        """
        if call.until is None:
            return None
        own, index = (call.written, call.moved_from), self.numbers.index(call.written)
        for label in call.labels:
            self.names.assign(label, call.written)
        with _located(call.until):
            return read_repetition(
                self.names.resolve(call.until[0]),
                is_task=lambda n: n in own or self.is_task(n, call),
                rename=lambda n: index if n in own else self.numbers.rename(n),
            )

    def _add(self, task: Task, written: int, dollars: Iterable[int]) -> None:
        """Count a task that was read; `dollars` are the `N` of each `$N` that it has as text."""
        self.numbers.take(written)
        self.count += 1
        self.called[task.tool] += 1
        self._events.append(task)
        self._latest = task
        for n in dict.fromkeys(dollars):
            if n != written:
                self._dollars.setdefault(n, []).append((written, task))
        self._settle_dollars(written)

    def _no_such_task(self, n: int, written: int, where: int) -> None:
        """Complain about a reference to itself or to no task."""
        code = "self-reference" if n == written else "unknown-reference"
        what = "itself" if n == written else f"task {n}, but no earlier task has that number"
        hint = "references point only to earlier tasks; write `$$` for a dollar sign"
        self.spoil(written, code, f"task {written} refers to {what}", where, hint)

    # -- complaints -----------------------------------------------------------------------------------------------

    def drop(self, call: Call, code: str, message: str, where: int | None = None, hint: str = "") -> None:
        """Make a call unusable, and with it the lines it swallowed that look like tasks of their own."""
        self._renumber(call)
        self.spoil(call.written, code, message, call.place if where is None else where, hint)
        self._count(call)
        swallowed = "".join(call.walked)
        for newline in re.finditer("\n", swallowed if call.start is not None else ""):
            head = lines.head_at(swallowed, newline.end())
            if head and head["tool"].lower() != "join":
                index = int(head["index"])
                message = f"the line of task {index} stands inside the call of task {call.written}"
                where = (call.start or 0) + head.start("index")
                self.spoil(index, "swallowed", message, where, "close every string and bracket")

    def _settle_dollars(self, written: int) -> None:
        """Report earlier tasks whose `$N` was taken for money, now that there is a task `N`."""
        for earlier, task in self._dollars.pop(written, ()):
            message = f"task {earlier} refers to task {written}, which comes after it"
            hint = f"put task {written} first, or write `$${written}` for an amount of money"
            self._events.append(Diagnostic("forward-reference", message, task.line, task.column, hint, task.index))

    def spoil(self, written: int, code: str, message: str, where: int, hint: str = "") -> None:
        """Complain about a line, which makes its index unusable unless another task has it, of any plan."""
        index = self.numbers.index(written)
        if self.numbers.has(written) or index in self.numbers.used:
            self.complain(code, message, where, hint)
            return
        self.complain(code, message, where, hint, index=index)
        self.numbers.spoil(written)
        self._settle_dollars(written)

    def complain(self, code: str, message: str, where: int, hint: str = "", index: int | None = None) -> None:
        """Complain about a place in the text."""
        self._events.append(Diagnostic(code, message, *self._window.locate(where), hint, index))


def _key(call: Call) -> int:
    return call_key(call.tool, "".join(call.walked))


def shortened(text: str) -> str:
    """Quote the beginning of a text."""
    text = text.strip()
    return repr(text if len(text) <= 60 else text[:59] + "…")
