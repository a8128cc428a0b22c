r"""The joiner's reply: finish with an answer, or replan with feedback.

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

`decision_parser` applies them while the reply streams.

May know: nothing of the package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ("Decision", "Finish", "Replan", "parse_decision")


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

MARKS = r"[ \t>#*_`-]*"
_SIGN = r"(?:[ \t*_`]*:|(?(action)[ \t*_`]*|[*_`]*)(?P<parenthesis>\()|[ \t*_`.!\r]*(?P<bare>$))"
FLAGS = re.IGNORECASE | re.MULTILINE
DECISION = re.compile(
    rf"(?:^{MARKS}|\b(?=action))(?P<action>action[ \t*_`]*:[\s*_`]*)?(?P<word>finish|replan)(?![^\W_]){_SIGN}", FLAGS
)
REPLAN = re.compile(rf"^{MARKS}(?P<action>action[ \t*_`]*:[ \t*_`]*)?(?P<word>replan)(?![^\W_]){_SIGN}", FLAGS)
_LOOSE = re.compile(
    rf"^{MARKS}(?:action[ \t*_`]*:[ \t*_`]*|(?=replan))(?P<word>finish|replan)(?![^\W_])[ \t*_`]*(?:[-:.][ \t]+)?",
    FLAGS,
)
_ANSWER = re.compile(rf"^{MARKS}(?P<word>(?:final[ \t]+)?answer)[ \t*_`]*:", FLAGS)
_THOUGHT = re.compile(rf"{MARKS}thought[ \t*_`]*:[\s*_`]*", re.IGNORECASE)
_PARENTHESIS = re.compile(r"\(|\)(?P<line_ends>[ \t\r*_`.]*(?=\n|\Z))?")
BLANKS = re.compile(r"[ \t]*")
STOPS = ("<END_OF_RESPONSE>", "<END_OF_PLAN>")


def parse_decision(text: str) -> Decision:
    """Read a whole reply."""
    text = without_stop(text)
    match = _decision_in(text)
    if match is None:
        text = _unlabelled(text)
        match = _decision_in(text)  # `Thought: Finish: …`
    if match is None:
        return Finish(text)
    first = DECISION.search(text) or match  # a `Finish` that said nothing
    body, above = _body(text, match), _unlabelled(text[: first.start()])
    if match["word"].lower() == "replan":
        return Replan(body, above)
    return Finish(body or above)


def without_stop(text: str, *, partial: bool = False) -> str:
    """Cut a reply at a stop word, or also where one may have begun."""
    for stop in STOPS:
        text = text.partition(stop)[0]
    if partial:
        begun = (n for stop in STOPS for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n]))
        text = text[: len(text) - next(begun, 0)]
    return text


def _decision_in(text: str) -> re.Match[str] | None:
    match = DECISION.search(text)
    if match and match["word"].lower() == "finish" and not sure_end(body := _body(text, match), 0, len(body)):
        match = REPLAN.search(text, match.end()) or match
    return match or _LOOSE.search(text) or _ANSWER.search(text)


def _body(text: str, match: re.Match[str]) -> str:
    """What a decision says, as far as the text goes."""
    start, marks = _opened(text, match.end(), open_marks(match))
    end = closing_parenthesis(text, match.end(), len(text))[0] if match.groupdict().get("parenthesis") else None
    if end is None:
        replan = REPLAN.search(text, match.end()) if match["word"].lower() == "finish" else None
        end = replan.start() if replan else len(text)
    body = text[start:end].strip()
    if marks and body.endswith(marks) and body.count(marks) % 2:  # `**Finish: …**`
        body = body.removesuffix(marks).rstrip()
    return body


def _opened(text: str, start: int, marks: str) -> tuple[int, str]:
    """Where the words begin that stand behind a decision, and which Markdown is still open there."""
    start = end_of(BLANKS, text, start)
    if marks and text.startswith(marks, start):  # `**Finish:** …`
        start, marks = start + len(marks), ""
    return start, marks


def open_marks(match: re.Match[str]) -> str:
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


def closing_parenthesis(text: str, start: int, end: int, depth: int = 1) -> tuple[int | None, int]:
    """Where the parentheses that are open at the start close, at the end of a line; and how many are open then."""
    for match in _PARENTHESIS.finditer(text, start, end):
        if match[0] == "(":
            depth += 1
        elif depth > 1:
            depth -= 1
        elif match["line_ends"] is not None:
            return match.start(), 0
    return None, depth


def sure_end(text: str, start: int, end: int) -> int:
    """Where what is surely part of an answer ends: neither parentheses and marks nor white space at its end are."""
    while end > start and (text[end - 1] in ")*_`." or text[end - 1].isspace()):
        end -= 1
    return end


def _unlabelled(text: str) -> str:
    text, start = text.strip(), 0
    while label := _THOUGHT.match(text, start):
        start = label.end()
    return text[start:]


def end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Where what a pattern matches ends."""
    match = pattern.match(text, start)
    return match.end() if match else start
