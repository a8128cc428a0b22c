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
_MAY_REPLAN = re.compile(rf"{_MARKS}(?:replan|action|(?:{_BEGINNINGS})\Z)", _FLAGS)
# what more text may make a decision of: the last word, with the marks or the `Action:` before it
_BEGUN = re.compile(rf"(?:^{_MARKS}|\b)(?:action[ \t*_`]*:[\s*_`]*)?\w{{0,6}}[ \t*_`.!\r]*\Z", _FLAGS)
_STOPS = ("<END_OF_RESPONSE>", "<END_OF_PLAN>")


class DecisionParser:
    """Reads one reply as it arrives, so that the answer can be shown, and the plan begun, while it is written.

    Each piece is searched when it comes, with what just before it may belong to it: however long a reply is, a piece of
    it takes the same work.
    """

    def __init__(self) -> None:
        self.plan_start: int | None = None
        """Where the plan begins that the reply gives below its `Replan`, in characters; `None` while there is none."""
        self._text = ""
        self._known = 0  # what follows is a stop word, or may become one
        self._searched = 0  # no decision begins before
        self._decision: re.Match[str] | None = None
        self._answer: _Answer | None = None

    def feed(self, text: str) -> str:
        """Take more of the reply; return the part of the answer that it settles."""
        self._text += text
        self._known += len(_without_stop(self._text[self._known :], partial=True))
        if self._decision is None:
            self._decide()
        if self._answer is not None:
            return self._answer.settled(self._text, self._known)
        if self._decision is not None and self.plan_start is None and "(" in text:
            self.plan_start = _plan_start(self._text, self._decision.end(), len(self._text) - len(text))
        return ""

    def close(self) -> tuple[Decision, str]:
        """Say that the reply is complete; return the decision and the rest of its answer."""
        decision = parse_decision(self._text)
        shown = self._answer.shown if self._answer is not None else 0
        return decision, decision.answer[shown:] if isinstance(decision, Finish) else ""

    def _decide(self) -> None:
        """Look for the first decision; one that ends with the text may turn out to be another word."""
        match = _DECISION.search(self._text, self._searched, self._known)
        if match is None or match.start("bare") == self._known:
            begun = _BEGUN.search(self._text, self._searched, self._known)
            self._searched = begun.start() if begun else self._known
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
        self._marks = _open_marks(decision)
        self._start = self._line = self._searched = decision.end()  # of the answer, of its last line, of what is new
        self._depth = 1  # how many parentheses are open where the last line begins
        self._end: int | None = None

    def settled(self, text: str, known: int) -> str:
        """What else is settled, given the reply as far as it is known."""
        if self._end is None and (line := text.rfind("\n", self._searched, known) + 1):
            self._end = self._ended(text, line)
            self._line = line
        self._searched = known
        end = known if self._end is None else self._end
        if self._end is None and self._line > self._decision.end() and _MAY_REPLAN.match(text, self._line, known):
            end = self._line
        if not self.shown:
            start, _ = _opened(text, self._decision.end(), self._marks)
            self._start = start + len(text[start:]) - len(text[start:].lstrip())
        piece = text[self._start + self.shown : _settled(text, self._start, end)]
        self.shown += len(piece)
        return piece

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


def _plan_start(text: str, start: int, new: int) -> int | None:
    """Where the plan begins whose first parenthesis is new: on its line, or with a thought on the line above."""
    line = text.rfind("\n", start, new)
    above = text.rfind("\n", start, max(start, line))
    plan = _PLAN.search(text, max(start, above))
    return plan and plan.start()


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
    start += len(text[start:]) - len(text[start:].lstrip(" \t"))
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
    text = text.strip()
    while label := _THOUGHT.match(text):
        text = text[label.end() :]
    return text
