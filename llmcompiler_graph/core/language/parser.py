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

Calls in other notations (see `notations`) are read by the same states where they look like those of the plan language,
`height = search("K2")` and `[search("K2"), search("K1")]`. `_in_block` collects those that do not, JSON and tags, and
turns them into such calls. A block that turns out to be none is read again, line by line.

May know: `errors`, `plan`, `tasks`; `lines`, `conditions`, `control_flow`, `window` and `walker` for the text; `heads`,
`blocks`, `actions`, `calls`, `examples`, `mentions` and `names` for calls that are written in another way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from llmcompiler_graph.core.errors import Diagnostic, PlanSyntaxError
from llmcompiler_graph.core.language import lines
from llmcompiler_graph.core.language.conditions import (
    conditions,
    could_have_conditions,
    ends_call,
    names_condition,
)
from llmcompiler_graph.core.language.control_flow import ControlFlow, indentation
from llmcompiler_graph.core.language.notations import actions, blocks
from llmcompiler_graph.core.language.notations.calls import BUILTINS, ENDS, ForeignCall, Tools
from llmcompiler_graph.core.language.notations.examples import Examples
from llmcompiler_graph.core.language.notations.heads import Head, other_head, plain_head, plain_head_follows
from llmcompiler_graph.core.language.notations.mentions import Mentions, is_valued
from llmcompiler_graph.core.language.notations.names import ParameterNames
from llmcompiler_graph.core.language.plan import Plan, Task
from llmcompiler_graph.core.language.tasks import Call, Event, Tasks, shortened
from llmcompiler_graph.core.language.walker import Walker
from llmcompiler_graph.core.language.window import Window
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("NOT_A_TASK", "Event", "PlanParser", "parse_plan")

NOT_A_TASK = "not-a-task"
"""The code of a complaint about a call that is written in no way that can be read as a task."""

MOST_CHARACTERS, MOST_TASKS = 2_000_000, 10_000
"""How much of one reply is read: a model that writes more repeats itself."""

_UNDECIDED = ("*", "_", ".", "/")  # after a call: a mark, a comment or an expression, by the next character
_MOST_WITHIN = 200
_NEWLINE = lazy_pattern("\n")
_DECIDES = lazy_pattern(r"[\n(（\[{]")  # without one of these, nothing begins and no line ends
_MAY_BE_JSON = lazy_pattern(r"[\[{]")  # behind one of these, any character may tell what begins
_CODE = ("python", "py", "tool_code")  # blocks in which a call needs no number

_State: TypeAlias = "Callable[[PlanParser, bool], bool]"


class PlanParser:
    """Reads one plan's text as it arrives.

    A model that restarts its numbering in a replan is shifted, not believed (see `numbering`).

    Args:
        used: Indices of this question's earlier plans: they stay referable.
        again: If given, the text writes just these tasks anew, under their own numbers. They may refer to each other
            and to all `used` ones, wherever those stand; a task of any other number is a `duplicate-index`.
        tools: The names of each tool's parameters by its name, if the tools are known: then more notations can be read,
            and lines that call a tool in none of them are complained about.
        procedures: How many tasks stand in place of a call of each procedure: their numbers are kept free.
        parameters: Those of the procedure whose plan the text is, if it is one's.
    """

    def __init__(
        self,
        used: Iterable[int] = (),
        again: Iterable[int] = (),
        tools: Tools | None = None,
        *,
        procedures: Mapping[str, int] | None = None,
        parameters: ParameterNames | None = None,
    ) -> None:
        self.finished = False
        """Whether `join()` was read: what follows is ignored."""
        self._tools = tools or {}
        self._window = Window()
        self._tasks = Tasks(used, again, self._window, procedures or {}, parameters)
        self._mentions = Mentions(self._tools)
        self._state: _State = PlanParser._line  # no bound method: it would hold the parser, and the parser it
        self._awaited: re.Pattern[str] | None = None  # what more text must have to change anything
        # the call being read
        self._call = Call()
        self._walker = Walker()
        self._at_line = False  # whether its next line is to be looked at for a head
        self._numbered = False  # whether any call has a number
        self._plain = ""  # its head, if it has no number and is not known to be one
        self._flow = ControlFlow()
        self._depth = 0  # how far the line is indented
        self._goes_on = False  # whether what is read next stands behind a call, on the same line
        # other notations
        self._block: blocks.Block | None = None
        self._collected: list[str] = []  # of the block
        self._tried = 0  # up to where in the whole no block and no call without a number begins: that was tried
        self._within = 0, 0  # how many blocks began within a line, each of which reads the rest of it; and its end
        self._listed = self._code = self._acted = False  # in a list of calls, in code, behind an `Action:`
        self._for = ""  # the tool that the line above names
        self._in_sentence = False  # whether the line above is prose that goes on
        self._examples = Examples(self._tools)

    def feed(self, text: str) -> list[Event]:
        """Take more text; return the tasks and diagnostics it completes, in order."""
        if self.finished:
            return []
        left = MOST_CHARACTERS - self._window.length
        self._window.feed(text[:left])
        if len(text) > left:
            events = self._run(final=True)
            self._stop_at(f"{MOST_CHARACTERS:,} characters")
            return [*events, *self._tasks.take()]
        if self._awaited is not None and self._awaited.search(text) is None:
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
            message = "the plan was cut off here: the model had reached the number of tokens it may write"
            self._tasks.complain("cut-off", message, self._window.length, "tasks may be missing")
        return [*events, *self._tasks.take()]

    def _run(self, final: bool) -> list[Event]:
        self._window.look()
        while not self.finished and self._state(self, final):
            pass
        if final and not self.finished:
            self._end()
        self._awaited = self._awaits()
        return self._tasks.take()

    def _awaits(self) -> re.Pattern[str] | None:
        """What more text must have for anything to be decided; `None` if any character may decide."""
        text, position = self._window.text, self._window.position
        if self._state == PlanParser._arguments:
            return self._walker.awaits if position == len(text) and not self._at_line else None
        if self._state == PlanParser._plain_tail:
            return _NEWLINE
        if self._state in (PlanParser._line, PlanParser._rest):
            if len(text) - position >= lines.LONGEST_HEAD:
                return _NEWLINE
            return _DECIDES if _MAY_BE_JSON.search(text, position) is None else None
        return None

    def _stop_at(self, most: str) -> None:
        if not self.finished:
            self.finished = True
            where = self._window.place(self._window.position)
            message = f"a reply of more than {most} is read up to here"
            self._tasks.complain("too-long", message, where, "write a shorter plan")

    # -- one line -----------------------------------------------------------------------------------------------

    def _line(self, final: bool) -> bool:
        text, start = self._window.text, self._window.position
        if self._examples.follows:
            end = text.find("\n", start)
            if end < 0 and not final:
                return False
            end = len(text) if end < 0 else end
            if self._is_shown(text[start:end], self._window.place(start)):
                self._window.position = min(end + 1, len(text))
                return True
        if self._flow and not self._goes_on:
            self._depth = indentation(text[start : start + lines.LONGEST_HEAD])
        head = lines.head_at(text, start)
        if head and head["tool"].lower() != "join":
            return self._begin(head["tool"], int(head["index"]), head.start("index"), head.end())
        if head and text[head.end() - 2] not in " \t":  # else the rest of the line tells
            return self._finish()
        begun = self._other_call(text, start, final)
        if begun is not None:
            return begun
        end = text.find("\n", start)
        if end < 0:
            if not final or start >= len(text):
                return False
            end = len(text)
        self._window.position = min(end + 1, len(text))
        self._whole_line(text[start:end].rstrip("\r"), start)
        return not self.finished

    def _is_shown(self, line: str, where: int) -> bool:
        """Whether a line is a call in an example."""
        call = self._examples.call(line, self._tasks.numbers.following() if self._tasks.count else 1)
        if call and call[0]:
            self._mentions.show(call[0], line, where + call[1])
        return call is not None

    def _whole_line(self, line: str, start: int) -> None:
        where = self._window.place(start)
        if not line.strip():  # such as the rest of the line of a call
            self._for, self._in_sentence, self._goes_on = "", False, False
            self._mentions.read(line, where)
            return
        begins = not self._goes_on and self._flow.read(line, code=self._code)
        self._goes_on = False
        if not begins:
            self._tasks.condition_below(line, where)
        named, self._for = self._for, blocks.named_tool(line, self._tools)
        goes_on = self._examples.follows
        self._examples.read(line)
        self._in_sentence = False
        if lines.JOIN.match(line):
            self._finish()
        elif thought := lines.THOUGHT.match(line):
            self._think(line, thought.start("thought"), where)
        elif fence := lines.FENCE.match(line):
            self._code, self._for = fence["of"].lower() in _CODE, named
        elif self._acted and actions.TOLD.match(line):
            self._stop_at_made_up(where)
        elif self._block_line(line, start, shown=goes_on):
            self._examples.follows = goes_on
        else:
            self._no_block(line, where)

    def _think(self, line: str, start: int, where: int) -> None:
        if not self._tasks.think(line, start, where):
            self._mentions.read(line[start:], where + start, thought=True)

    def _no_block(self, line: str, where: int) -> None:
        """Read a line that begins nothing: it may have a number, or be a call without one."""
        if numbered := lines.NUMBERED.match(line):
            self._tasks.is_no_call(int(numbered["index"]), numbered["rest"], where + numbered.start("index"))
        elif call := lines.UNNUMBERED.match(line):
            self._unnumbered(line, call, where)
        else:
            self._mentions.read(line, where)
            self._in_sentence = line.rstrip()[-1:].isalnum() or line.rstrip().endswith(",")

    def _unnumbered(self, line: str, call: re.Match[str], where: int) -> None:
        tool = call["tool"]
        if tool.lower() == "join":
            self._finish()
        elif self._code and tool in BUILTINS:
            self._mentions.read(line, where)
        elif not self._mentions.is_talk(line, call.end()):
            message, hint = f"the call of {tool!r} has no index", f"number it: `N. {tool}(…)`"
            where += call.start("tool")
            if self._numbered or not plain_head(line, 0, self._tools):
                self._tasks.complain("missing-index", message, where, hint)
            else:  # lines count, this one too
                self._tasks.spoil(self._tasks.numbers.following(), "missing-index", message, where, hint)

    def _finish(self) -> bool:
        self._end()
        self.finished = True
        return False

    def _end(self) -> None:
        """Complain about what was no task, now that the plan has ended."""
        self._tasks.settle()
        for mention in self._mentions.take(self._tasks.keys, self._tasks.called):
            what = f"the call of {mention.tool!r}" if mention.tool else "a call of a tool"
            message = f"{what} is not written as a task: {shortened(mention.text)}"
            hint = "write each call on a line of its own, as `N. tool(argument=…)`"
            if mention.shown:
                message = f"{what} is only shown as an example: {shortened(mention.text)}"
                hint = "write the plan without a line before it that says so"
            self._tasks.complain(NOT_A_TASK, message, mention.where, hint)

    def _stop_at_made_up(self, where: int) -> None:
        """Stop at an observation that the model wrote itself: what follows goes on from it."""
        self._finish()
        message = "an observation is written here that no tool has returned; what follows it is not read"
        self._tasks.complain("made-up-observation", message, where, "write calls only")

    # -- one call -----------------------------------------------------------------------------------------------

    def _begin(self, tool: str, written: int | None, at: int, end: int, labels: tuple[str, ...] = ()) -> bool:
        """Begin a call whose head stands between two positions."""
        self._plain = ""
        self._numbered = self._numbered or written is not None
        return self._read_arguments(self._tasks.begin(tool, written, self._window.place(at), labels), end)

    def _begin_plain(self, written: str, head: Head) -> bool:
        """Begin what looks like a call without a number: it is one if its lines hold nothing else."""
        if self._ends(head.tool):
            return self._finish()
        self._plain = written
        call = Call(self._tasks.numbers.following(), head.tool, self._window.place(head.start))
        return self._read_arguments(call, head.end)

    def _read_arguments(self, call: Call, start: int) -> bool:
        self._call = call
        self._call.start = self._window.place(start)
        self._walker, self._at_line = Walker(), False
        self._window.position, self._state = start, PlanParser._arguments
        return True

    def _arguments(self, final: bool) -> bool:
        window = self._window
        while True:
            if self._at_line:
                ended = self._ends_unclosed(final)
                if ended is None:
                    return False
                if ended:
                    return self._give_up()
                self._at_line = False
            position, closed = self._walker.walk(window.text, window.position, final=final)
            self._call.walked.append(window.take(position))
            if closed:
                self._call.mismatched = self._walker.mismatched
                self._state = PlanParser._plain_tail if self._plain else PlanParser._tail
                window.position = position + (0 if self._plain else 1)
                return True
            if closed is None:
                self._at_line = True
            else:
                return self._give_up() if final else False

    def _ends_unclosed(self, final: bool) -> bool | None:
        """Whether a line begins a call, so that the one before it was never closed; `None` if more text must tell."""
        window = self._window
        head = lines.head_follows(window.text, window.position, final=final)
        if head:
            return bool(self._plain) or int(head["index"]) > self._call.written
        if head is False and self._plain:
            return plain_head_follows(window.text, window.position, self._tools, final=final)
        return head

    def _plain_tail(self, final: bool) -> bool:
        """Take a call without a number whose bracket is reached, if nothing is behind it but what it waits for."""
        text, start = self._window.text, self._window.position + 1
        if text.find("\n", start) < 0 and not final:
            return False
        arguments = "".join(self._call.walked)
        clause = lines.waits_for(text, start) if lines.could_wait(text, start) else None
        is_call = self._call.tool in self._tools or is_valued(arguments)
        if not (is_call and ends_call(text, clause.end if clause else start)):
            return self._give_back()
        call = self._call
        self._call = self._tasks.begin(call.tool, None, call.place)
        self._call.start, self._call.walked, self._call.mismatched = call.start, call.walked, call.mismatched
        self._plain, self._window.position, self._state = "", start, PlanParser._tail
        return True

    def _give_up(self) -> bool:
        """Drop a call that was not closed, and read on behind it."""
        if self._plain:
            return self._give_back()
        walker = self._walker
        what = (
            f"a string opened with {walker.quote}" if walker.quote else f"the bracket awaiting {walker.awaited[-1]!r}"
        )
        message = f"the call of {self._call.tool!r} is not closed: {what} is still open"
        self._tasks.drop(self._call, "unterminated", message)
        self._listed, self._state = False, PlanParser._line
        return True

    def _give_back(self) -> bool:
        """Read what looked like a call without a number as ordinary lines."""
        self._tried = self._window.place(self._window.position)
        self._window.give_back(self._plain + "".join(self._call.walked))
        self._plain, self._state = "", PlanParser._line
        return True

    def _tail(self, final: bool) -> bool:
        """Read what stands behind a call, as far as it is part of it."""
        text, start = self._window.text, self._window.position
        limit = start + lines.LONGEST_HEAD
        closers = lines.CLOSERS.match(text, start, limit)
        assert closers is not None
        end = closers.end()
        expression = lines.EXPRESSION.match(text, start, limit)
        waits = lines.could_wait(text, start)
        if not (final or text.find("\n", end) >= 0):  # the rest of the line is still to come
            rest = text[end : end + 6] if end < limit else "…"
            if expression or waits or rest in _UNDECIDED or could_have_conditions(text, end):
                return False
        clause = lines.waits_for(text, start) if waits else None
        if clause is not None:
            end, expression = clause.end, None
        after = self._waited_for(clause) if clause else []
        behind = conditions(text, end) if not expression else None
        if behind is not None:
            end = behind.end
            after += [each for clause in behind.after for each in self._waited_for(clause)]
            self._call.when, self._call.until = (
                found and (found[0], self._window.place(found[1])) for found in behind[:2]
            )
        unfinished = text[start : end + 20].split("\n")[0] if expression else None
        self._window.position, self._state = end, PlanParser._rest
        self._build(after, unfinished)
        return not self.finished

    def _waited_for(self, clause: lines.Waits) -> list[tuple[int, int]]:
        """The tasks that a call waits for, and where each is named; none if a comment only happens to have numbers."""
        if clause.comment and not all(self._tasks.is_task(n, self._call) for n, _ in clause.tasks):
            return []
        return [(n, self._window.place(at)) for n, at in clause.tasks]

    def _rest(self, final: bool) -> bool:
        """Skip a comment behind a call, up to the next line or the next task on the same line."""
        text, start = self._window.text, self._window.position
        if self._listed:
            self._state, self._goes_on = PlanParser._line, True
            return True
        end = text.find("\n", start)
        if end < 0 and not final and not lines.head_at(text, start):
            return False
        end = len(text) if end < 0 else end
        self._window.position = lines.next_head(text, start, end)
        if names_condition(behind := text[start : self._window.position]):
            self._tasks.condition_behind(behind, self._window.place(start))
        self._state, self._goes_on = PlanParser._line, self._window.position < end
        return True

    def _build(self, after: list[tuple[int, int]], unfinished: str | None = None) -> None:
        self._tasks.build(self._call, after, unfinished, below=self._flow.above(self._depth))
        if self._tasks.count == MOST_TASKS:
            self._stop_at(f"{MOST_TASKS:,} tasks")

    # -- calls in other notations ---------------------------------------------------------------------------------

    def _other_call(self, text: str, start: int, final: bool) -> bool | None:
        """Begin a call without a number, or a block of calls in another notation.

        Returns:
            `True` if one begins, `False` if more text must tell, `None` if none does.
        """
        beginning = text[start : start + lines.LONGEST_HEAD]
        if "(" in beginning or "（" in beginning:
            head = other_head(text, start, self._tools, listed=self._listed, code=self._code)
            if head is not None:
                return self._begin_other(head)
        if self._listed and not final and not beginning.strip(" \t\r\n,;") and len(beginning) < lines.LONGEST_HEAD:
            return False
        if self._window.place(start) < self._tried:
            return None
        if (plain := plain_head(text, start, self._tools)) and not (self._examples.may_follow or self._in_sentence):
            return self._begin_plain(text[start : plain.end], plain)
        return self._open_json(text, start, final) if "{" in beginning or "[" in beginning else None

    def _open_json(self, text: str, start: int, final: bool) -> bool | None:
        if opening := blocks.json_opening(text, start, self._tools):
            position, block = opening
            block.name, self._for = block.name or self._for, ""
            return self._begin_block(position, block)
        return False if not final and blocks.is_json_pending(text, start) else None

    def _begin_other(self, head: Head) -> bool:
        if self._ends(head.tool):
            return self._finish()
        self._listed, self._code = head.listed, self._code or head.named
        return self._begin(head.tool, None, head.start, head.end, head.labels)

    def _ends(self, tool: str) -> bool:
        """Whether a call only says that the plan, or the run, is at its end."""
        return tool.casefold() in ENDS and tool not in self._tools

    def _block_line(self, line: str, start: int, *, shown: bool) -> bool:
        """Begin what a whole line shows: a block of tags, an action, a call in brackets, or one behind prose."""
        where = self._window.place(start)
        count, end = self._within
        self._within = (count + 1 if end == where + len(line) else 0, where + len(line))
        if where < self._tried or self._within[0] > _MOST_WITHIN:
            return False
        if bracketed := actions.bracket_call(line, self._tools):
            self._take_unless(shown, [bracketed[1]], line, where + bracketed[0])
            return True
        if opening := actions.line_opening(line, self._tools):
            at, block = opening
            self._mentions.read(line[:at], where)
            return self._begin_block(start + at, block)
        later = actions.later_opening(line)
        if later is not None:
            self._mentions.read(line[:later], where)
            self._window.position = start + later
        return later is not None

    def _begin_block(self, start: int, block: blocks.Block) -> bool:
        self._window.position, self._block, self._collected = start, block, []
        self._state = PlanParser._in_block
        return True

    def _in_block(self, final: bool) -> bool:
        assert self._block is not None
        position, state = self._block.read(self._window.text, self._window.position, final=final)
        self._collected.append(self._window.take(position))
        if state is blocks.State.MORE:
            return False
        text, self._state = "".join(self._collected), PlanParser._line
        end = self._window.place(position)
        calls = self._block.calls(text, self._tools) if state is blocks.State.DONE else None
        if calls is None:
            self._tried = end
            self._window.give_back(text)
        else:
            self._end_block(self._block, text, calls, end - len(text))
        return not self.finished

    def _end_block(self, block: blocks.Block, text: str, calls: list[ForeignCall], where: int) -> None:
        """Take the calls of a block that was read."""
        self._acted = self._acted or isinstance(block, actions.ActionBlock)
        if isinstance(block, blocks.JsonBlock) and block.in_words:
            self._mentions.note(block.in_words, text, where)
        if isinstance(block, actions.ActionBlock):
            self._take_unless(self._examples.follows, calls, text, where)
        else:
            self._take([] if self._examples.may_follow or self._examples.follows else calls, where)

    def _take_unless(self, shown: bool, calls: Iterable[ForeignCall], text: str, where: int) -> None:
        """Take calls, unless they are only an example."""
        self._take([] if shown else calls, where)
        for call in calls if shown else ():
            self._mentions.show(call.tool, text, where)

    def _take(self, calls: Iterable[ForeignCall], where: int) -> None:
        """Take calls that were read as a whole, all from one place."""
        for call in calls:
            if not self._ends(call.tool):
                self._call = self._tasks.begin(call.tool, None, where, call.labels)
                self._call.walked = [call.arguments]
                self._call.when = (call.when, where) if call.when else None
                numbers = map(self._tasks.names.number, call.after)
                self._build([(number, where) for number in numbers if number is not None])
            elif call.tool.casefold() == "join":
                self._finish()
            if self.finished:
                return


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
