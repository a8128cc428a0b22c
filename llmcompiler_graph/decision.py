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

__all__ = ("Decision", "DecisionParser", "Finish", "Replan", "parse_decision", "plan_start")


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
_STOPS = ("<END_OF_RESPONSE>", "<END_OF_PLAN>")


class DecisionParser:
    """Reads one reply as it arrives, so that the answer can be shown while it is written."""

    def __init__(self) -> None:
        self._text = ""
        self._shown = 0

    def feed(self, text: str) -> str:
        """Take more of the reply; return the part of the answer that it settles."""
        self._text += text
        known = _without_stop(self._text, partial=True)
        match = _DECISION.search(known)
        if match is None or match["word"].lower() == "replan" or match.start("bare") == len(known):
            return ""
        # The last line may turn out to say `Replan`; a parenthesis, a mark or white space at the end, to be no answer.
        line = max(known.rfind("\n") + 1, match.end())
        word = known[line:].lstrip(" \t>#*_`-").lower()[:6]
        undecided = line > match.end() and ("replan".startswith(word) or "action".startswith(word))
        settled = _settled(_body(known[:line] if undecided else known, match))
        piece = settled[self._shown :]
        self._shown = max(self._shown, len(settled))
        return piece

    def close(self) -> tuple[Decision, str]:
        """Say that the reply is complete; return the decision and the rest of its answer."""
        decision = parse_decision(self._text)
        return decision, decision.answer[self._shown :] if isinstance(decision, Finish) else ""


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


def plan_start(reply: str) -> int | None:
    r"""Find where the plan begins that a reply gives below its `Replan`, as far as it goes; `None` if there is none.

    >>> plan_start('Replan: look up K2.\n4. search("K2")\n5. join()')
    20
    """
    match = _DECISION.search(reply)
    if match is None or match["word"].lower() != "replan":
        return None
    plan = _PLAN.search(reply, match.end())
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
    if match and match["word"].lower() == "finish" and not _settled(_body(text, match)):
        match = _REPLAN.search(text, match.end()) or match
    return match or _LOOSE.search(text) or _ANSWER.search(text)


def _body(text: str, match: re.Match[str]) -> str:
    """What a decision says, as far as the text goes."""
    start, marks = match.end(), _open_marks(match)
    start += len(text[start:]) - len(text[start:].lstrip(" \t"))
    if marks and text.startswith(marks, start):  # `**Finish:** …`
        start, marks = start + len(marks), ""
    end = _closing(text, start) if match.groupdict().get("parenthesis") else None
    if end is None:
        replan = _REPLAN.search(text, start) if match["word"].lower() == "finish" else None
        end = replan.start() if replan else len(text)
    body = text[start:end].strip()
    if marks and body.endswith(marks) and body.count(marks) % 2:  # `**Finish: …**`
        body = body.removesuffix(marks).rstrip()
    return body


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


def _closing(text: str, start: int) -> int | None:
    """Where the parenthesis that was open at an offset closes: at the end of a line."""
    depth = 1
    for match in _PARENTHESIS.finditer(text, start):
        if match[0] == "(":
            depth += 1
        elif depth > 1:
            depth -= 1
        elif match["line_ends"] is not None:
            return match.start()
    return None


def _settled(text: str) -> str:
    """What is surely part of an answer: neither parentheses and marks nor white space at its end."""
    end = len(text)
    while end and (text[end - 1] in ")*_`." or text[end - 1].isspace()):
        end -= 1
    return text[:end]


def _unlabelled(text: str) -> str:
    text = text.strip()
    while label := _THOUGHT.match(text):
        text = text[label.end() :]
    return text
