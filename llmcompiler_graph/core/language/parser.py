r"""Plan text to tasks, incrementally: any chunking of the text gives the same tasks.

A task is complete at the first character after its closing parenthesis that cannot begin an `after` clause, so it
can start long before the plan ends. Nothing is dropped silently and nothing raises: every line that looks like a
task and cannot be used yields a `Diagnostic`.

>>> parser = PlanParser()
>>> for chunk in ['1. sea', 'rch("K2")', '\n', '2. math("$1 / 2")\n3. join()']:
...     print([str(event) for event in parser.feed(chunk)])
[]
[]
['1. search("K2")']
['2. math("$1 / 2")']

How the text is read. `_line` looks at the start of a line for a head, `INDEX. tool(`; `_call` walks to the closing
parenthesis, minding strings and brackets; `_tail` reads what follows it, `_rest` skips a comment; each returns `False`
when it needs more text. Text is let go of as it is read, so the work is linear in it. A call that is never closed must
not swallow the rest of the plan: at a line that is the head of a later index, the open call is given up. Only a
triple-quoted string may hold such lines, and text inside one that is never closed is never run as a plan.

May know: `errors`, `plan`; `lines` and `numbering` for what stands before a call, `call_syntax` for its arguments,
`mentions` for calls that are written in another way.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias

from llmcompiler_graph.core.errors import Diagnostic, PlanSyntaxError
from llmcompiler_graph.core.language import lines
from llmcompiler_graph.core.language.call_syntax import CallSyntaxError, parse_arguments
from llmcompiler_graph.core.language.notations.mentions import Mentions, call_key
from llmcompiler_graph.core.language.numbering import Numbering
from llmcompiler_graph.core.language.plan import Plan, Task

__all__ = ("NOT_A_TASK", "Event", "PlanParser", "parse_plan")

NOT_A_TASK = "not-a-task"
"""The code of a complaint about a call that is written in no way that can be read as a task."""

Event: TypeAlias = Task | Diagnostic
"""What the parser says: a task to run, or a complaint.

A diagnostic with an `index` makes that task unusable, until a later line takes the index.
"""

_UNDECIDED = ("*", "_", ".", "/")  # after a call: a mark, a comment or an expression, by the next character
_OPENING, _CLOSING = "([{", ")]}"


class PlanParser:
    """Reads one plan's text as it arrives.

    A model that restarts its numbering in a replan is shifted, not believed (see `numbering`).

    Args:
        used: Indices of this question's earlier plans: they stay referable.
        again: If given, the text writes just these tasks anew, under their own numbers. They may refer to each other
            and to all `used` ones, wherever those stand; a task of any other number is a `duplicate-index`.
        tools: The names of the tools, if they are known: lines that call one in another way are complained about.
    """

    def __init__(self, used: Iterable[int] = (), again: Iterable[int] = (), tools: Collection[str] = ()) -> None:
        self.finished = False
        """Whether `join()` was read: what follows is ignored."""
        self._numbers = Numbering(used, again)
        self._mentions = Mentions(tools)
        self._calls: set[int] = set()  # of each task, the hash of its call as it was written
        self._dollars: dict[int, list[tuple[int, Task]]] = {}  # N -> tasks in whose strings `$N` was left as text
        self._thoughts: list[str] = []
        self._mentioned: list[tuple[int, str, int]] = []  # calls in thoughts: index, tool, place
        self._prose: list[tuple[int, str, int, str]] = []  # numbered lines before the first call of a replan
        self._events: list[Event] = []
        # the text: what is not consumed yet, and where it stands in the whole
        self._chunks: list[str] = []  # fed but not looked at
        self._text = ""
        self._position = 0  # in `_text`
        self._offset = 0  # of `_text`
        self._length = 0  # of all that was fed
        self._line_starts = [0]
        self._state: Callable[[bool], bool] = self._line
        self._asleep = False  # whether only the end of the line can matter
        # the call being read
        self._written, self._tool, self._thought = 0, "", ""
        self._place = self._start = 0  # where its index and its arguments stand in the whole
        self._walked: list[str] = []  # its arguments so far
        self._closing: list[str] = []  # the brackets awaited, innermost last
        self._mismatched = False  # whether a bracket was closed by one of another kind
        self._quote = ""  # the quote awaited, if in a string

    def feed(self, text: str) -> list[Event]:
        """Take more text; return the tasks and diagnostics it completes, in order."""
        if self.finished:
            return []
        self._line_starts += [self._length + newline.end() for newline in re.finditer("\n", text)]
        self._length += len(text)
        self._chunks.append(text)
        if self._asleep and "\n" not in text:
            return []
        return self._run(final=False)

    def close(self, *, cut: bool = False) -> list[Event]:
        """Say that the text is complete; return what was left.

        Args:
            cut: Whether it ends where it does because the model was not allowed to write more.
        """
        finished = self.finished
        events = self._run(final=True)
        if cut and not finished:
            line, column = self._locate(self._length)
            message = "the plan was cut off here: the model had reached the number of tokens it may write"
            hint = "tasks may be missing"
            events.append(Diagnostic("cut-off", message, line, column, hint))
        return events

    def _run(self, final: bool) -> list[Event]:
        self._text += "".join(self._chunks)
        self._chunks.clear()
        while not self.finished and self._state(final):
            pass
        if final and not self.finished:
            self._end()
        self._text = self._text[self._position :]
        self._offset += self._position
        self._position = 0
        self._asleep = self._state != self._call and len(self._text) >= lines.LONGEST_HEAD
        events, self._events = self._events, []
        return events

    # -- one line -----------------------------------------------------------------------------------------------

    def _line(self, final: bool) -> bool:
        text, start = self._text, self._position
        if (head := lines.head_at(text, start)) and head["tool"].lower() != "join":
            return self._begin(head)
        if head and text[head.end() - 2] not in " \t":  # else the rest of the line tells
            return self._finish()
        end = text.find("\n", start)
        if end < 0:
            if not final or start >= len(text):
                return False
            end = len(text)
        line = text[start:end].rstrip("\r")
        self._position = min(end + 1, len(text))
        if lines.JOIN.match(line):
            return self._finish()
        if thought := lines.THOUGHT.match(line):
            self._thoughts.append(thought["thought"].strip())
            self._mentions.read(thought["thought"], self._offset + start + thought.start("thought"), thought=True)
            for head in lines.heads_within(line, thought.start("thought")):
                if head["tool"].lower() != "join":
                    where = self._offset + start + head.start("index")
                    self._mentioned.append((int(head["index"]), head["tool"], where))
        elif numbered := lines.NUMBERED.match(line):
            index, where = int(numbered["index"]), self._offset + start + numbered.start("index")
            message = f"task {index} is not a tool call: {_quoted(numbered['rest'])}"
            hint = f"write it as `{index}. tool(argument, …)`, or leave the number out"
            if self._numbers.undecided:
                self._prose.append((index, message, where, hint))
            else:
                self._unusable(index, "not-a-call", message, where, hint)
        elif call := lines.UNNUMBERED.match(line):
            if call["tool"].lower() == "join":
                return self._finish()
            if self._mentions.is_talk(line, call.end()):
                return True
            tool, where = call["tool"], self._offset + start + call.start("tool")
            self._complain("missing-index", f"the call of {tool!r} has no index", where, f"number it: `N. {tool}(…)`")
        else:
            self._mentions.read(line, self._offset + start)
        return True

    def _finish(self) -> bool:
        self._end()
        self.finished = True
        return False

    def _end(self) -> None:
        """Complain about what was no task, now that the plan has ended."""
        self._settle()
        for mention in self._mentions.take(self._calls, nothing_read=not self._calls):
            what = f"the call of {mention.tool!r}" if mention.tool else "a call of a tool"
            message = f"{what} is not written as a task: {_quoted(mention.text)}"
            hint = "write each call on a line of its own, as `N. tool(argument=…)`"
            self._complain(NOT_A_TASK, message, mention.where, hint)

    def _settle(self, following: int | None = None) -> None:
        """Complain about lines that may have meant tasks, now that the plan has ended or goes on with a task.

        These are the numbered ones before the first call, which shows how the plan is numbered, and calls in thoughts,
        unless they have or will have a line of their own.
        """
        prose, self._prose = self._prose, []
        for index, message, where, hint in prose:
            self._unusable(index, "not-a-call", message, where, hint)
        mentioned, self._mentioned = self._mentioned, []
        for index, tool, where in mentioned:
            if following is not None and index > following:
                self._mentioned.append((index, tool, where))
            elif index != following and not self._numbers.knows(index):
                hint = "begin a line with its number"
                self._unusable(index, "not-a-call", f"the call of {tool!r} stands in a thought", where, hint)

    # -- one call -----------------------------------------------------------------------------------------------

    def _begin(self, head: re.Match[str]) -> bool:
        self._written, self._tool = int(head["index"]), head["tool"]
        self._place, self._start = self._offset + head.start("index"), self._offset + head.end()
        self._thought = "\n".join(self._thoughts)
        self._thoughts.clear()
        self._walked, self._closing, self._quote, self._mismatched = [], [")"], "", False
        self._position, self._state = head.end(), self._call
        if self._written > self._numbers.last:
            self._numbers.index(self._written)  # the numbering goes on, whatever numbers the prose before it has
        self._settle(self._written)
        return True

    def _call(self, final: bool) -> bool:
        text, end = self._text, len(self._text)
        i = self._position
        while i < end:
            char = text[i]
            if self._quote:
                if char == "\\":
                    if i + 1 == end and not final:
                        break
                    i += 1 if text.startswith("\n", i + 1) else 2
                    continue
                if text.startswith(self._quote, i):
                    i += len(self._quote)
                    self._quote = ""
                    continue
                if char == self._quote[0] and i + 3 > end and not final:
                    break  # perhaps the end of a triple quote
            elif char in "\"'":
                if i + 3 > end and not final:
                    break  # perhaps the start of a triple quote
                self._quote = char * 3 if text.startswith(char * 3, i) else char
                i += len(self._quote)
                continue
            elif char in _OPENING:
                self._closing.append(_CLOSING[_OPENING.index(char)])
            elif char in _CLOSING:
                self._mismatched |= char != self._closing.pop()
                if not self._closing:
                    self._walk(i)
                    self._position, self._state = i + 1, self._tail
                    return True
            if char == "\n" and len(self._quote) < 3:
                decided = self._next_head(i + 1, final)
                if decided is None:
                    break
                if decided:
                    return self._give_up(i + 1)
            i += 1
        self._walk(min(i, end))
        return self._give_up(end) if final else False

    def _walk(self, position: int) -> None:
        self._walked.append(self._text[self._position : position])
        self._position = position

    def _next_head(self, line: int, final: bool) -> bool | None:
        """Whether a later task's head starts at a position; `None` if more text is needed to tell."""
        if head := lines.head_at(self._text, line):
            return int(head["index"]) > self._written
        rest = self._text[line : line + lines.LONGEST_HEAD]
        complete = final or "\n" in rest or "(" in rest or len(rest) == lines.LONGEST_HEAD
        return None if not complete and lines.COULD_BE_HEAD.match(rest) else False

    def _give_up(self, resume: int) -> bool:
        """Drop a call that was not closed, and read on at a position."""
        self._walk(resume)
        what = f"a string opened with {self._quote}" if self._quote else f"the bracket awaiting {self._closing[-1]!r}"
        self._drop("unterminated", f"the call of {self._tool!r} is not closed: {what} is still open")
        self._state = self._line
        return True

    # -- after the call -----------------------------------------------------------------------------------------

    def _tail(self, final: bool) -> bool:
        text, start = self._text, self._position
        limit = start + lines.LONGEST_HEAD
        closers = lines.CLOSERS.match(text, start, limit)
        assert closers is not None
        i = closers.end()
        whole = final or text.find("\n", i) >= 0  # whether the rest of the line is here
        rest = text[i : i + 6].lower() if i < limit else "…"
        expression = lines.EXPRESSION.match(text, start, limit)
        if not whole and (expression or rest in _UNDECIDED or "after".startswith(rest.lstrip("(["))):
            return False
        after: list[tuple[int, int]] = []
        if rest[:5] == "after" and not rest[5:].isalnum():
            if not whole:
                return False
            if clause := lines.AFTER.match(text, i):
                listed = lines.LISTED.finditer(text, clause.start("list"), clause.end())
                after = [(int(n[1] or n[2]), self._offset + n.start()) for n in listed]
                i = clause.end()
        self._position, self._state = i, self._rest
        self._task(after, unfinished=text[start : i + 20].split("\n")[0] if expression else None)
        return True

    def _rest(self, final: bool) -> bool:
        """Skip a comment behind a call, up to the next line or the next task on the same line."""
        text, start = self._text, self._position
        end = text.find("\n", start)
        if end < 0 and not final and not lines.head_at(text, start):
            return False
        end = len(text) if end < 0 else end
        following = (i for i in range(start, end) if text[i] not in " \t" and (i == start or text[i - 1] in " \t;,|"))
        self._position = next((i for i in following if lines.head_at(text, i)), end)
        self._state = self._line
        return True

    def _task(self, after: list[tuple[int, int]], unfinished: str | None) -> None:
        written = self._written
        if self._numbers.has(written):
            hint = "give every task a number of its own"
            self._complain("duplicate-index", f"task {written} stands twice in the plan", self._place, hint)
            return
        if self._mismatched:
            self._drop("syntax", f"in the call of {self._tool!r}, the brackets do not match")
            return
        if unfinished is not None:
            hint = "one call per line; refer to it with `$N` in a further task"
            self._drop("trailing-text", f"the call is part of an expression: {_quoted(unfinished)}", hint=hint)
            return
        index = self._numbers.index(written)
        if not self._numbers.usable(index):
            hint = f"go on at {self._numbers.last + 1}"
            self._complain("duplicate-index", f"task {written} has a number of an earlier plan", self._place, hint)
            return
        self._numbers.forget(written)
        try:
            arguments = parse_arguments("".join(self._walked), is_task=self._is_task, rename=self._numbers.rename)
        except CallSyntaxError as error:
            message = f"in the call of {self._tool!r}, {error}"
            self._drop(error.code, message, self._start + error.offset, error.hint)
            return
        unknown = [(n, self._start + offset) for n, offset in arguments.unknown]
        unknown += [(n, where) for n, where in after if not self._is_task(n)]
        for n, where in unknown:
            code = "self-reference" if n == written else "unknown-reference"
            what = "itself" if n == written else f"task {n}, but no earlier task has that number"
            hint = "references point only to earlier tasks; write `$$` for a dollar sign"
            self._unusable(written, code, f"task {written} refers to {what}", where, hint)
        if unknown:
            return
        ordered = tuple(dict.fromkeys(self._numbers.rename(n) for n, _ in after))
        place = self._locate(self._place)
        task = Task(index, self._tool, arguments.named, ordered, arguments.positional, self._thought, *place)
        self._numbers.take(written)
        self._calls.add(call_key(self._tool, "".join(self._walked)))
        self._events.append(task)
        for n in dict.fromkeys(arguments.literal_dollars):
            if n != written:
                self._dollars.setdefault(n, []).append((written, task))
        self._settle_dollars(written)

    # -- complaints -----------------------------------------------------------------------------------------------

    def _drop(self, code: str, message: str, where: int | None = None, hint: str = "") -> None:
        """Make the call unusable, and with it the lines it swallowed that look like tasks of their own."""
        self._unusable(self._written, code, message, self._place if where is None else where, hint)
        swallowed = "".join(self._walked)
        for newline in re.finditer("\n", swallowed):
            head = lines.head_at(swallowed, newline.end())
            if head and head["tool"].lower() != "join":
                index = int(head["index"])
                message = f"the line of task {index} stands inside the call of task {self._written}"
                where = self._start + head.start("index")
                self._unusable(index, "swallowed", message, where, "close every string and bracket")

    def _settle_dollars(self, written: int) -> None:
        """Report earlier tasks whose `$N` was taken for money, now that there is a task `N`."""
        for earlier, task in self._dollars.pop(written, ()):
            message = f"task {earlier} refers to task {written}, which comes after it"
            hint = f"put task {written} first, or write `$${written}` for an amount of money"
            self._events.append(Diagnostic("forward-reference", message, task.line, task.column, hint, task.index))

    def _unusable(self, written: int, code: str, message: str, where: int, hint: str = "") -> None:
        """Complain about a line, which makes its index unusable unless another task has it, of any plan."""
        index = self._numbers.index(written)
        if self._numbers.has(written) or index in self._numbers.used:
            self._complain(code, message, where, hint)
            return
        self._complain(code, message, where, hint, index=index)
        self._numbers.spoil(written)
        self._settle_dollars(written)

    def _complain(self, code: str, message: str, where: int, hint: str = "", index: int | None = None) -> None:
        line, column = self._locate(where)
        self._events.append(Diagnostic(code, message, line, column, hint, index))

    # -- numbers and places ---------------------------------------------------------------------------------------

    def _is_task(self, written: int) -> bool:
        return self._numbers.is_task(written, self._written)

    def _locate(self, where: int) -> tuple[int, int]:
        line = bisect_right(self._line_starts, where)
        return line, where - self._line_starts[line - 1] + 1


def _quoted(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 60 else text[:59] + "…")


def parse_plan(text: str) -> Plan:
    r"""Read a whole plan text.

    >>> parse_plan('1. search("K2")\n2. math("$1 * 2") after $1').tasks[1].after
    (1,)

    Raises:
        PlanSyntaxError: Some line that looks like a task cannot be used; it holds every diagnostic.
    """
    parser = PlanParser()
    events = [*parser.feed(text), *parser.close()]
    diagnostics = [event for event in events if isinstance(event, Diagnostic)]
    if diagnostics:
        raise PlanSyntaxError(diagnostics)
    return Plan(tuple(event for event in events if isinstance(event, Task)))
