r"""The joiner's reply: finish with an answer, or replan with feedback. Read as it streams.

Any model can write it: a thought, then `Finish: …` or `Replan: …`. The paper's `Action: Finish(…)` is the same,
whatever stands inside the parentheses. A reply that is neither is an answer.

>>> parse_decision("Thought: both are there.\nFinish: 237.86 m (8848.86 - 8611)")
Finish(answer='237.86 m (8848.86 - 8611)')
>>> parse_decision("Thought: K2 is missing.\nAction: Replan(look up K2)")
Replan(feedback='look up K2', thought='K2 is missing.')

The rules, all of them:

- A decision is the word `finish` or `replan` (any case, any Markdown around it) at the start of a line or after
  `Action:`, with a colon or a parenthesis after it, or nothing more on its line. In a thought, `finish (almost)` is
  prose: without `Action:`, the parenthesis must touch the word.
- The first decision counts: an answer may be shown while it is written, so nothing later can take it back.
- `Finish: …` goes on to the end of the reply, or to a line that decides again for `Replan`: models that fill in both
  forms write `Replan: none` there. `Finish(…)` goes on to the parenthesis that closes it at the end of a line.
- Only without any of these does a line that starts with `Answer:` or `Final answer:` count, and without that,
  everything is the answer. These are shown once the reply is complete.

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
_DECISION = re.compile(
    rf"(?:^{_MARKS}|\b(?=action))(?P<action>action[ \t*_`]*:[\s*_`]*)?"
    r"(?P<word>finish|replan)(?![^\W_])"
    r"(?:[ \t*_`]*(?P<colon>:)|(?(action)[ \t*_`]*|[*_`]*)(?P<parenthesis>\()|[ \t*_`.!\r]*$)",
    re.IGNORECASE | re.MULTILINE,
)
_ANSWER = re.compile(rf"^{_MARKS}(?:final[ \t]+)?answer[ \t*_`]*:", re.IGNORECASE | re.MULTILINE)
_REPLAN_TOO = re.compile(
    rf"^{_MARKS}(?:action[ \t*_`]*:[ \t*_`]*)?replan[ \t*_`]*(?:[:(]|\r?$)", re.IGNORECASE | re.MULTILINE
)
_THOUGHT = re.compile(rf"^{_MARKS}thought[ \t*_`]*:[ \t*_`]*", re.IGNORECASE)
_STOPS = ("<END_OF_RESPONSE>", "<END_OF_PLAN>")


class DecisionParser:
    """Reads one reply as it arrives, so that the answer can be shown while it is written."""

    def __init__(self) -> None:
        self._text = ""
        self._shown = 0

    def feed(self, text: str) -> str:
        """Take more of the reply; return the part of the answer that it settles."""
        self._text += text
        ...

    def close(self) -> tuple[Decision, str]:
        """Say that the reply is complete; return the decision and the rest of its answer."""
        decision = parse_decision(self._text)
        match decision:
            case Finish(answer):
                return decision, answer[self._shown :]
            case Replan():
                return decision, ""
