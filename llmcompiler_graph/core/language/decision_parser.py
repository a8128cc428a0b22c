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
    BLANKS,
    DECISION,
    FLAGS,
    MARKS,
    REPLAN,
    STOPS,
    Decision,
    Finish,
    closing_parenthesis,
    end_of,
    open_marks,
    parse_decision,
    sure_end,
    without_stop,
)

__all__ = ("DecisionParser",)

_PLAN = re.compile(r"^[ \t]*(?:thought:.*\n[ \t]*)?\$?\d{1,9}[.):]+[ \t]*[^\W\d][\w.\-/]*\(", FLAGS)
_BEGINNINGS = "|".join(word[:length] for word in ("replan", "action") for length in range(6))
_MAY_REPLAN = re.compile(rf"{MARKS}+(?:(?P<word>replan|action)|(?:{_BEGINNINGS})\Z)", FLAGS)
# what more text may make a decision of: the last word of a line of nothing else, or the last `Action:`
_BEGUN = re.compile(
    rf"(?:^{MARKS}+|\b(?=action|(?:{_BEGINNINGS})\Z))(?:action[ \t*_`]*+:[\s*_`]*+)?"
    r"(?P<word>\w{0,6})[ \t*_`.!\r]*+\Z",
    FLAGS,
)
_NO_WORDS = re.compile(r"[\s>#*_`.!-]*")
_ONLY_MARKS, _SPACE = re.compile(MARKS), re.compile(r"\s*")


class DecisionParser:
    """Reads one reply as it arrives, so that the answer can be shown, and the plan begun, while it is written.

    A piece is searched when it comes, with what just before it may belong to it. What only goes on with marks and white
    space is not searched again for each piece of them: to read a reply takes work in proportion to its length.

    Args:
        plans: Whether a plan may stand below a `Replan`.
    """

    def __init__(self, *, plans: bool = False) -> None:
        self.plan_start: int | None = None
        """Where the plan begins that the reply gives below its `Replan`, in characters; `None` while there is none."""
        self._plans = plans
        self._text = ""
        self._known = 0  # what follows is a stop word, or may become one
        self._stopped = False  # a stop word follows
        self._searched = 0  # no decision begins before
        self._word = ""  # the last word, if it may become a decision
        self._decision: re.Match[str] | None = None
        self._answer: _Answer | None = None
        self._below: _Plan | None = None

    def feed(self, text: str) -> str:
        """Take more of the reply; return the part of the answer that it settles."""
        so_far, self._text = self._text, ""
        so_far += text  # in place, since nothing else holds it
        self._text, known = so_far, self._known
        if not self._stopped:
            rest = so_far[known:]
            self._known += len(without_stop(rest, partial=True))
            self._stopped = any(stop in rest for stop in STOPS)
        if self._decision is None:
            self._decide(known)
        if self._answer is not None:
            return self._answer.settled(so_far, self._known)
        if self._decision is not None and self._plans and self.plan_start is None:
            self._below = self._below or _Plan(self._decision.end())
            self.plan_start = self._below.start(so_far, len(so_far) - len(text))
        return ""

    def close(self) -> tuple[Decision, str]:
        """Say that the reply is complete; return the decision and the rest of its answer."""
        decision = parse_decision(self._text)
        shown = self._answer.shown if self._answer is not None else 0
        return decision, decision.answer[shown:] if isinstance(decision, Finish) else ""

    def _decide(self, new: int) -> None:
        """Look for the first decision; one that ends with the text may turn out to be another word."""
        no_words = _NO_WORDS.fullmatch(self._text, new, self._known)
        if no_words and not (self._word and "\n" in no_words[0]):  # these make no decision of what is there
            return
        match = DECISION.search(self._text, self._searched, self._known)
        if match is None or match.start("bare") == self._known:
            begun = _BEGUN.search(self._text, self._searched, self._known)
            self._searched = begun.start() if begun else self._known
            self._word = begun["word"] if begun else ""
        else:
            self._decision = match
            self._answer = None if match["word"].lower() == "replan" else _Answer(match)


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
        self._start = self._line = self._searched = decision.end()  # of the answer, of its last line, of what is new
        self._scanned = self._sure = decision.end()  # what was looked at, and the end of what is answer for sure in it
        self._depth = 1  # how many parentheses are open where the last line begins
        self._may_replan: bool | None = None  # whether the last line may, `None` if more of it must be known
        self._only_marks = True  # whether it has nothing else
        self._end: int | None = None

    def settled(self, text: str, known: int) -> str:
        """What else is settled, given the reply as far as it is known."""
        if self._end is None and (line := text.rfind("\n", self._searched, known) + 1):
            self._end = self._ended(text, line)
            self._line = self._searched = line
            self._may_replan, self._only_marks = None, True
        new, self._searched = self._searched, known
        end = known if self._end is None else self._end
        if self._end is None and self._line > self._decision.end() and self._replan_may_follow(text, new, known):
            end = self._line
        if not self.shown:
            self._open(text)
        if end > self._scanned:
            sure = sure_end(text, self._scanned, end)
            self._sure = sure if sure > self._scanned else self._sure
            self._scanned = end
        piece = text[self._start + self.shown : self._sure]
        self.shown += len(piece)
        return piece

    def _replan_may_follow(self, text: str, new: int, known: int) -> bool:
        """Whether the last line may turn out to say `Replan`; what is new of it stands behind `new`."""
        self._only_marks = self._only_marks and _ONLY_MARKS.fullmatch(text, new, known) is not None
        if self._may_replan is None and not self._only_marks:
            match = _MAY_REPLAN.match(text, self._line, known)
            self._may_replan = None if match and not match["word"] else match is not None
        return self._may_replan is not False

    def _open(self, text: str) -> None:
        """Move the beginning of the answer to its first words, past the Markdown that is closed there."""
        if self._marks:
            self._start = end_of(BLANKS, text, self._start)
            there = text[self._start : self._start + len(self._marks)]
            if there != self._marks and self._marks.startswith(there):
                return
            self._start, self._marks = self._start + len(self._marks) * (there == self._marks), ""
        self._start = end_of(_SPACE, text, self._start)

    def _ended(self, text: str, line: int) -> int | None:
        """Where the answer ends, if it does before this line."""
        if self._decision["parenthesis"]:
            closed, self._depth = closing_parenthesis(text, self._line, line, self._depth)
            if closed is not None:
                return closed
        replan = REPLAN.search(text, self._line, line)
        return replan and replan.start()


class _Plan:
    """Finds, as a reply arrives, where the plan in it begins: at the first parenthesis of a line, if that is of a call.

    Args:
        start: Where it may begin.
    """

    def __init__(self, start: int) -> None:
        self._above = self._line = self._new = start  # of the line above the last one, of that, of what is new
        self._called = False  # whether a parenthesis stands in the last line

    def start(self, text: str, new: int) -> int | None:
        """Where it begins, if what is new has its first parenthesis."""
        new = max(new, self._new)
        line = text.rfind("\n", new) + 1
        if (line or not self._called) and text.find("(", new) >= 0:
            if plan := _PLAN.search(text, self._above):
                return plan.start()
            self._called = True
        if line:
            self._above = text.rfind("\n", new, line - 1) + 1 or self._line
            self._line = line
            self._called = text.find("(", line) >= 0
        self._new = len(text)
        return None
