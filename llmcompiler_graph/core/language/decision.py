r"""The joiner's reply: finish with an answer, or replan with feedback. Read as it streams.

Any model can write it: a thought, then `Finish: …` or `Replan: …`. The paper's `Action: Finish(…)` is the same,
whatever stands inside the parentheses. A reply that is neither is an answer.

>>> parse_decision("Thought: both are there.\nFinish: 237.86 m (8848.86 - 8611)")
Finish(answer='237.86 m (8848.86 - 8611)')
>>> parse_decision("Thought: K2 is missing.\nAction: Replan(look up K2)")
Replan(feedback='look up K2', thought='K2 is missing.')

The rules, all of them:

- A decision is the word `finish` or `replan`, in any case and any Markdown, at the start of a line or after `Action:`,
  with a colon or a parenthesis behind it, or nothing more on its line. Without `Action:`, the parenthesis must touch
  the word: `finish (almost)` is prose.
- The first decision counts: what is shown while it is written cannot be taken back. Only a `Finish` that says nothing
  gives way to a `Replan` after it.
- `Finish: …` goes on to the end of the reply, or to a line that says `Replan`: models that fill in both forms write
  `Replan: none` there. `Finish(…)` goes on to the parenthesis that closes it at the end of a line; a `)` that closes
  nothing and stands within a line, as in `1) `, belongs to the answer.
- Without any of these, `Action: Replan because …` and a line that begins with `Replan` count, then a line that begins
  with `Answer:` or `Final answer:`; else everything is the answer. It is shown once the reply is complete.

May know: nothing of the package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ("Decision", "DecisionParser", "Finish", "Replan", "parse_decision")


@dataclass(frozen=True, slots=True)
class Finish:
    """Answer the question."""

    answer: str
    """The answer."""


@dataclass(frozen=True, slots=True)
class Replan:
    """Ask for another plan."""

    feedback: str
    """What is still needed."""
    thought: str = ""
    """The joiner's thought before it."""


Decision: TypeAlias = Finish | Replan

_MARKS = r"[ \t>#*_`-]*"
_SIGN = r"(?:[ \t*_`]*:|(?(action)[ \t*_`]*|[*_`]*)(?P<parenthesis>\()|[ \t*_`.!\r]*(?P<bare>$))"
_FLAGS = re.IGNORECASE | re.MULTILINE
_DECISION = re.compile(
    rf"(?:^{_MARKS}|\b(?=action))(?P<action>action[ \t*_`]*:[\s*_`]*)?(?P<word>finish|replan)(?![^\W_]){_SIGN}", _FLAGS
)
_REPLAN = re.compile(rf"^{_MARKS}(?P<action>action[ \t*_`]*:[ \t*_`]*)?(?P<word>replan)(?![^\W_]){_SIGN}", _FLAGS)
_LOOSE = re.compile(
    rf"^{_MARKS}(?:action[ \t*_`]*:[ \t*_`]*|(?=replan))(?P<word>finish|replan)(?![^\W_])[ \t*_`]*(?:[-:.][ \t]+)?",
    _FLAGS,
)
_ANSWER = re.compile(rf"^{_MARKS}(?P<word>(?:final[ \t]+)?answer)[ \t*_`]*:", _FLAGS)
_THOUGHT = re.compile(rf"{_MARKS}thought[ \t*_`]*:[\s*_`]*", re.IGNORECASE)
_PARENTHESIS = re.compile(r"\(|\)(?P<line_ends>[ \t\r*_`.]*(?=\n|\Z))?")
_PLAN = re.compile(r"^[ \t]*(?:thought:.*\n[ \t]*)?\$?\d{1,9}[.):]+[ \t]*[^\W\d][\w.\-/]*\(", _FLAGS)
_BEGINNINGS = "|".join(word[:length] for word in ("replan", "action") for length in range(6))
_MAY_REPLAN = re.compile(rf"{_MARKS}+(?:(?P<word>replan|action)|(?:{_BEGINNINGS})\Z)", _FLAGS)
# what more text may make a decision of: the last word of a line of nothing else, or the last `Action:`
_BEGUN = re.compile(
    rf"(?:^{_MARKS}+|\b(?=action|(?:{_BEGINNINGS})\Z))(?:action[ \t*_`]*+:[\s*_`]*+)?"
    r"(?P<word>\w{0,6})[ \t*_`.!\r]*+\Z",
    _FLAGS,
)
_NO_WORDS = re.compile(r"[\s>#*_`.!-]*")
_ONLY_MARKS, _BLANKS, _SPACE = re.compile(_MARKS), re.compile(r"[ \t]*"), re.compile(r"\s*")
_STOPS = ("<END_OF_RESPONSE>", "<END_OF_PLAN>")


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
            self._known += len(_without_stop(rest, partial=True))
            self._stopped = any(stop in rest for stop in _STOPS)
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
        match = _DECISION.search(self._text, self._searched, self._known)
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
        self._marks = _open_marks(decision)  # that may be closed at the beginning of the answer
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
            sure = _settled(text, self._scanned, end)
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
            self._start = _end(_BLANKS, text, self._start)
            there = text[self._start : self._start + len(self._marks)]
            if there != self._marks and self._marks.startswith(there):
                return
            self._start, self._marks = self._start + len(self._marks) * (there == self._marks), ""
        self._start = _end(_SPACE, text, self._start)

    def _ended(self, text: str, line: int) -> int | None:
        """Where the answer ends, if it does before this line."""
        if self._decision["parenthesis"]:
            closed, self._depth = _closing(text, self._line, line, self._depth)
            if closed is not None:
                return closed
        replan = _REPLAN.search(text, self._line, line)
        return replan and replan.start()


def parse_decision(text: str) -> Decision:
    """Read a whole reply."""
    text = _without_stop(text)
    match = _decision_in(text)
    if match is None:
        text = _unlabelled(text)
        match = _decision_in(text)  # `Thought: Finish: …`
    if match is None:
        return Finish(text)
    first = _DECISION.search(text) or match  # a `Finish` that said nothing
    body, above = _body(text, match), _unlabelled(text[: first.start()])
    if match["word"].lower() == "replan":
        return Replan(body, above)
    return Finish(body or above)


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


def _without_stop(text: str, *, partial: bool = False) -> str:
    """Cut a reply at a stop word, or also where one may have begun."""
    for stop in _STOPS:
        text = text.partition(stop)[0]
    if partial:
        begun = (n for stop in _STOPS for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n]))
        text = text[: len(text) - next(begun, 0)]
    return text


def _decision_in(text: str) -> re.Match[str] | None:
    match = _DECISION.search(text)
    if match and match["word"].lower() == "finish" and not _settled(body := _body(text, match), 0, len(body)):
        match = _REPLAN.search(text, match.end()) or match
    return match or _LOOSE.search(text) or _ANSWER.search(text)


def _body(text: str, match: re.Match[str]) -> str:
    """What a decision says, as far as the text goes."""
    start, marks = _opened(text, match.end(), _open_marks(match))
    end = _closing(text, match.end(), len(text))[0] if match.groupdict().get("parenthesis") else None
    if end is None:
        replan = _REPLAN.search(text, match.end()) if match["word"].lower() == "finish" else None
        end = replan.start() if replan else len(text)
    body = text[start:end].strip()
    if marks and body.endswith(marks) and body.count(marks) % 2:  # `**Finish: …**`
        body = body.removesuffix(marks).rstrip()
    return body


def _opened(text: str, start: int, marks: str) -> tuple[int, str]:
    """Where the words begin that stand behind a decision, and which Markdown is still open there."""
    start = _end(_BLANKS, text, start)
    if marks and text.startswith(marks, start):  # `**Finish:** …`
        start, marks = start + len(marks), ""
    return start, marks


def _open_marks(match: re.Match[str]) -> str:
    """The Markdown that was opened up to a decision and not closed: the reply's code fence, or bold and the like."""
    if match.string.count("```", 0, match.end()) % 2:
        return "```"
    opened: list[str] = []
    for run in re.finditer(r"[*_`]+(?P<space>\s)?", match[0]):
        marks = run[0].strip()
        if opened and opened[-1] == marks:
            opened.pop()
        elif not run["space"]:  # else a bullet
            opened.append(marks)
    return opened[-1] if opened else ""


def _closing(text: str, start: int, end: int, depth: int = 1) -> tuple[int | None, int]:
    """Where the parentheses that are open at the start close, at the end of a line; and how many are open then."""
    for match in _PARENTHESIS.finditer(text, start, end):
        if match[0] == "(":
            depth += 1
        elif depth > 1:
            depth -= 1
        elif match["line_ends"] is not None:
            return match.start(), 0
    return None, depth


def _settled(text: str, start: int, end: int) -> int:
    """Where what is surely part of an answer ends: neither parentheses and marks nor white space at its end are."""
    while end > start and (text[end - 1] in ")*_`." or text[end - 1].isspace()):
        end -= 1
    return end


def _unlabelled(text: str) -> str:
    text, start = text.strip(), 0
    while label := _THOUGHT.match(text, start):
        start = label.end()
    return text[start:]


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Where what a pattern matches ends."""
    match = pattern.match(text, start)
    return match.end() if match else start
