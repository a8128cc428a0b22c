r"""A reply of the joiner in pieces, as it streams, into the answer that can be shown and where the plan in it begins.

>>> parser = DecisionParser()
>>> [parser.feed(piece) for piece in ("Thought: both are there.\nFini", "sh: 237", ".86 m")]
['', '237', '.86 m']
>>> parser.close()
(Finish(answer='237.86 m'), '')

What a decision is, is said in `decision`. The first one counts, since what was shown cannot be taken back.
"""

from __future__ import annotations

import re

from llmcompiler_graph.core.language.decision import (
    ACTION_LINE,
    BLANKS,
    HEAD,
    HEADS,
    LONGEST_HEADING,
    MOST_STOPS,
    STOP,
    Decision,
    Finish,
    Replan,
    bare_start,
    closing_parenthesis,
    decision_at,
    end_of,
    end_of_answer,
    end_of_preface,
    heading_end,
    is_quoted_stop,
    may_become_stop,
    may_replan,
    open_marks,
    parse_decision,
    sure_end,
)
from llmcompiler_graph.core.language.labels import FLAGS
from llmcompiler_graph.core.language.own_lines import Quoting
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("DecisionParser",)

_PLAN = lazy_pattern(r"^[ \t]*(?:thought:.*\n[ \t]*)?\$?\d{1,9}[.):]+[ \t]*[^\W\d][\w.\-/]*\(", FLAGS)
_BRIEF_PLAN = lazy_pattern(rf"{_PLAN.pattern}|^[^\W\d][\w.\-/]*\(", FLAGS)
_SPACE = lazy_pattern(r"\s*")


class DecisionParser:
    """Reads one reply as it arrives, so that the answer can be shown, and the plan begun, while it is written.

    A decision is looked for where lines begin, once for each piece: to read a reply takes work in proportion to its
    length.

    Args:
        plans: Whether a plan may stand below a `Replan`.
        bare: Whether the model was asked for the answer itself: then a reply that can be nothing else is shown as it is
            written, from its first sentence on.
    """

    def __init__(self, *, plans: bool = False, bare: bool = False) -> None:
        self.plan_start: int | None = None
        """Where the plan begins that the reply gives below its `Replan`, in characters; `None` while there is none."""
        self._plans = plans
        self._plan = _BRIEF_PLAN if bare else _PLAN
        self._bare = bare  # whether the answer may still begin as the reply does
        self._text = ""
        self._known = self._passed = 0  # what follows is a stop word, or may become one; behind the last quoted one
        self._stopped, self._stops = False, 0  # whether a stop word follows; how many stand in the text so far
        self._quoting = Quoting()
        self._line = self._searched = 0  # where the last line begins, and up to where its end was looked for
        self._behind_action = False  # whether the line above is `Action:`
        self._passed_over = False  # whether a decision stands in the quotation marks that are open
        self._late = False  # whether it is only known at the end which decision is the first
        self._decision: re.Match[str] | None = None
        self._answer: _Answer | None = None
        self._below: _Plan | None = None

    def feed(self, text: str) -> str:
        """Take more of the reply; return the part of the answer that it settles."""
        so_far, self._text = self._text, ""
        so_far += text  # in place, since nothing else holds it
        self._text = so_far
        self._read_on()
        if self._plans and self._decision is not None and _is_replan(self._decision):
            self._find_plan(self._decision, len(so_far) - len(text))
        return self._answer.settled(so_far, self._known) if self._answer is not None else ""

    @property
    def is_bare(self) -> bool:
        """Whether what was shown is the reply itself, which may turn out to be no answer."""
        return self._answer is not None and self._answer.is_bare

    def _find_plan(self, decision: re.Match[str], new: int) -> None:
        """Look in what is new for the plan below a `Replan`."""
        self._below = self._below or _Plan(decision.end(), self._plan)
        if self.plan_start is None:
            self.plan_start = self._below.start(self._text, new)

    def close(self) -> tuple[Decision, str]:
        """Say that the reply is complete; return the decision and the rest of its answer.

        A reply that was shown as it stands is the answer as it stands, unless it goes on to ask for another plan: what
        was shown is then left behind.
        """
        decision = parse_decision(self._text)
        if isinstance(decision, Replan):
            return decision, ""
        if self.is_bare:
            decision = Finish(self._text[: self._known if self._stopped else None].strip())
        shown = self._answer.shown if self._answer is not None else 0
        return decision, decision.answer[shown:]

    def _read_on(self) -> None:
        """Look for the first decision up to where the reply ends so far: at a stop word that it does not quote."""
        while not self._stopped:
            stop = STOP.search(self._text, max(self._known, self._passed))
            self._known = stop.start() if stop else len(self._text) - may_become_stop(self._text)
            self._look()
            if stop is None or self._late:
                return
            line = self._text[self._line : self._known]
            quoted = self._quoting.is_quoted(line)
            self._stops += 1
            begun = self._decision is not None or self._answer is not None
            self._stopped = begun or self._stops == MOST_STOPS or not is_quoted_stop(line, quoted=quoted)
            self._passed_over = self._passed_over or (not self._stopped and quoted and self._quoting.in_signs)
            self._passed = stop.end()

    def _look(self) -> None:
        """Look for the first decision, or for an answer that has no word before it."""
        if self._bare and self._known >= (end := end_of_preface(self._text)):
            self._bare = False
            self._decide(end)
            if self._decision is None and not self._late and (start := bare_start(self._text)):
                self._answer = _Answer(start)
        self._decide(self._known)

    def _decide(self, known: int) -> None:
        """Look for the first decision; one that ends with the text may turn out to be another word."""
        text = self._text
        while self._decision is None and not self._late:
            match = decision_at(text, self._line, known, behind_action=self._behind_action)
            if match and match.start("bare") != known:
                if not self._quoting.is_quoted(text[self._line : match.end()]):
                    self._decision = match
                    if self._answer is None and not _is_replan(match):
                        self._answer = _Answer(match)
                    return
                self._passed_over = self._passed_over or self._quoting.in_signs
            end = text.find("\n", self._searched, known)
            if end < 0:
                self._searched = known
                return
            self._end_line(text[self._line : end], end)

    def _end_line(self, line: str, end: int) -> None:
        """Read a whole line that is no decision."""
        is_own = not self._quoting.is_quoted(line)
        labelled = is_own and ACTION_LINE.match(line) is not None
        self._behind_action = labelled or (self._behind_action and not (is_own and line.strip()))
        self._quoting.read(line, end)
        self._late = self._quoting.taken_back and self._passed_over
        self._passed_over = self._passed_over and self._quoting.in_signs
        self._line = self._searched = end + 1


def _is_replan(decision: re.Match[str]) -> bool:
    return decision["word"].lower() == "replan"


class _Answer:
    """Says, as a reply arrives, how much of its answer is settled.

    The last line may turn out to say `Replan`; parentheses, marks and white space at the end, to be no answer.

    Args:
        decision: The `Finish` before it.
    """

    def __init__(self, decision: re.Match[str]) -> None:
        self.shown = 0
        """How many characters were settled."""
        self._decision = decision
        self._marks = open_marks(decision)  # that may be closed at the beginning of the answer
        self._headed = False  # whether a heading was left out
        self._start = self._line = self._searched = decision.end()  # of the answer, of its last line, of what is new
        self._scanned = self._sure = decision.end()  # what was looked at, and the end of what is answer for sure in it
        self._depth = 1  # how many parentheses are open where the last line begins
        self._fence = ""  # the code fence that is open there
        self._end: int | None = None

    def settled(self, text: str, known: int) -> str:
        """What else is settled, given the reply as far as it is known."""
        if self._end is None and (line := text.rfind("\n", self._searched, known) + 1):
            self._end = self._ended(text, line)
            self._line = line
        self._searched = known
        if not self.shown and not self._open(text):
            return ""
        end = self._known_end(text, known)
        if end > self._scanned:
            sure = sure_end(text, self._scanned, end)
            self._sure = sure if sure > self._scanned else self._sure
            self._scanned = end
        piece = text[self._start + self.shown : self._sure]
        self.shown += len(piece)
        return piece

    @property
    def is_bare(self) -> bool:
        """Whether no word begins it: it is the reply itself."""
        return not self._decision[0]

    def _known_end(self, text: str, known: int) -> int:
        """Up to where the text is answer: to its end, to a last line that may say `Replan`, or as far as is known."""
        if self._end is not None:
            return self._end
        begun = self._line > self._decision.end()
        return self._line if begun and self._may_replan(text, known) else known

    def _may_replan(self, text: str, known: int) -> bool:
        """Whether the last line may turn out to say `Replan`."""
        return not self._fence and may_replan(text[self._line : min(known, self._line + HEAD)])

    def _open(self, text: str) -> bool:
        """Move the beginning of the answer to its first words, past the Markdown that is closed there, and a heading.

        Returns:
            Whether it is known where that is.
        """
        if self._marks:
            self._start = end_of(BLANKS, text, self._start)
            there = text[self._start : self._start + len(self._marks)]
            if there != self._marks and self._marks.startswith(there):
                return False
            self._start, self._marks = self._start + len(self._marks) * (there == self._marks), ""
        self._start = end_of(_SPACE, text, self._start)
        if self._headed or text[self._start : self._start + 1] not in HEADS:
            return True
        if len(text) < self._start + LONGEST_HEADING and text.find("\n", self._start) < 0:
            return False
        end = heading_end(text, self._start)
        self._headed = end > self._start
        self._start = end_of(_SPACE, text, end)
        return True

    def _ended(self, text: str, line: int) -> int | None:
        """Where the answer ends, if it does before this line."""
        if self._decision["parenthesis"]:
            closed, self._depth = closing_parenthesis(text, self._line, line, self._depth)
            if closed is not None:
                return closed
        replan, self._fence = end_of_answer(text, self._line, line, fence=self._fence)
        return replan


class _Plan:
    """Finds, as a reply arrives, where the plan in it begins: at the first parenthesis of a line, if that is of a call.

    Args:
        start: Where it may begin.
        pattern: How.
    """

    def __init__(self, start: int, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._above = self._line = self._new = start  # of the line above the last one, of that, of what is new
        self._called = False  # whether a parenthesis stands in the last line

    def start(self, text: str, new: int) -> int | None:
        """Where it begins, if what is new has its first parenthesis."""
        new = max(new, self._new)
        line = text.rfind("\n", new) + 1
        if (line or not self._called) and text.find("(", new) >= 0:
            if plan := self._pattern.search(text, self._above):
                return plan.start()
            self._called = True
        if line:
            self._above = text.rfind("\n", new, line - 1) + 1 or self._line
            self._line = line
            self._called = text.find("(", line) >= 0
        self._new = len(text)
        return None
