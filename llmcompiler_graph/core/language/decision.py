r"""The joiner's reply: finish with an answer, or replan with feedback.

Any model can write it: a thought, then `Finish: …` or `Replan: …`. The paper's `Action: Finish(…)` is the same,
whatever stands inside the parentheses. A reply that is neither is an answer.

>>> parse_decision("Thought: both are there.\nFinish: 237.86 m (8848.86 - 8611)")
Finish(answer='237.86 m (8848.86 - 8611)')
>>> parse_decision("Thought: K2 is missing.\nAction: Replan(look up K2)")
Replan(feedback='look up K2', thought='K2 is missing.', plan='')

The rules, all of them:

- A decision is the word `finish` or `replan`, in any case, bold or a heading, at the start of a line or behind
  `Action:` there, with a colon or a parenthesis behind it, or nothing more on its line. Without `Action:`, the
  parenthesis must touch the word: `finish (almost)` is prose. Full-width signs, as in `Finish（…）`, are the same.
- Only the model's own lines count, not what it quotes: see `own_lines`; nor does what is indented as code is. Where the
  whole reply is a list, a block quote, in a fence, in quotation marks or indented, it is read without these.
- The first decision counts: what is shown while it is written cannot be taken back. Only a `Finish` that says nothing
  gives way to a `Replan` after it.
- `Finish: …` goes on to the end of the reply, or to a line that says `Replan`: models that fill in both forms write
  `Replan: none` there. `Finish(…)` goes on to the parenthesis that closes it at the end of a line; a `)` that closes
  nothing and stands within a line, as in `1) `, belongs to the answer.
- Without any of these, one behind a sentence or a label counts, as in `Thought: K2 is missing. Replan: look it up`;
  then `Action: Replan because …` and a line that begins with `Replan`, or with the same in another language; then a
  line that begins with `Answer:` or `Final answer:`, or with these or `Finish` in another language; then such a label
  that is a heading, `### Answer`, with nothing but a thought above it. As the first line of an answer it is left out.
- Any other reply is the answer (`is_decided` says that it is one): it is shown once the reply is complete.
- A reply ends at a stop word such as `<END_OF_RESPONSE>`, but not at one that it quotes above its decision.

`decision_parser` applies them while the reply streams.

May know: `labels`, `own_lines`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from llmcompiler_graph.core.language.labels import (
    ACTION,
    ACTION_BEGUN,
    ANSWER,
    ANSWER_HEADING,
    COLON,
    FLAGS,
    GAP,
    LABEL_WORDS,
    MARKS,
    REPLANNING,
    THOUGHT,
    THOUGHT_HEADING,
    begun,
)
from llmcompiler_graph.core.language.own_lines import FENCE, InlineQuotes, closes_fence, is_within_quotes, own_lines
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Decision", "Finish", "Replan", "is_decided", "parse_decision", "unlabelled")


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
    plan: str = ""
    """The plan that the reply is, if it says nothing of replanning (see `graph.reply`)."""


Decision: TypeAlias = Finish | Replan

_WORD = r"(?P<word>finish|replan)(?![^\W_])"
_SIGN = rf"(?:{GAP}{COLON}|(?(action){GAP}|[*_`]{{0,9}}+)(?P<parenthesis>[(（])|[ \t*_`.!。\r]{{0,40}}+(?P<bare>$))"
_LABELLED = rf"(?P<action>{ACTION}{GAP})?{_WORD}{_SIGN}"
_DECISION = lazy_pattern(rf"{MARKS}{_LABELLED}", FLAGS)
_BEHIND_ACTION = lazy_pattern(rf"{GAP}(?P<action>){_WORD}{_SIGN}", FLAGS)
_MAY_REPLAN = lazy_pattern(
    rf"{MARKS}(?:{ACTION_BEGUN}[ \t*_]{{0,40}}+|(?:{ACTION}{GAP})?{begun(['replan'])}[ \t*_`.!。\r]{{0,40}}+)\Z", FLAGS
)
HEAD = 300
"""In how many characters of a line its decision begins."""
ACTION_LINE = lazy_pattern(rf"{MARKS}{ACTION}{GAP}\r?$", FLAGS)
"""A line that says what the next one does."""
REPLAN_LINE = lazy_pattern(
    rf"^{MARKS}(?P<action>{ACTION}{GAP})?(?P<word>replan)(?![^\W_]){_SIGN}|(?P<fence>{FENCE.pattern})", FLAGS
)
"""What ends an answer; or a fence, in which nothing does."""
_BEHIND_SENTENCE = lazy_pattern(rf"(?<=[.!?…。！？])[ \t]*[*_]*{_LABELLED}", FLAGS)
_LOOSE = lazy_pattern(rf"{MARKS}(?:{ACTION}{GAP}|(?=replan)){_WORD}{GAP}(?:[-:.：][ \t]+)?", FLAGS)
_PARENTHESIS = lazy_pattern(r"[(（]|[)）](?P<line_ends>[ \t\r*_`.。]*(?=\n|\Z))?")
_AROUND = ('""', "“”", "„“", "«»", "「」", "``")
_LIST_MARK = lazy_pattern(r"[ \t]*(?P<mark>>|[-*+•](?=[ \t])|\d{1,3}[.)](?=[ \t]))[ \t]?")
BLANKS = lazy_pattern(r"[ \t]*")
_SPACES = lazy_pattern(r"\s*")
_FIRST_WORD = lazy_pattern(r"[^\W\d_][^\s:：(（<>*_`#\[\]{}|=,;.!?，。；！？]*|\d+(?:[.,]\d+)*%?")
_PREFACE = 100  # characters in which a model may say why it replans
_NO_PROSE = lazy_pattern(r"^[ \t]*(?:[<{\[`>|#]|[*_]*(?:\d{1,9}[.):]|action\b|replan\b|finish\b)|[\w.\-/]+\()", FLAGS)
_NOTHING = lazy_pattern("(?P<parenthesis>\0)?")
STOPS = ("<END_OF_RESPONSE>", "<END_OF_PLAN>")
STOP = lazy_pattern("|".join(STOPS))
LONGEST_HEADING = 200
"""How many characters the heading of an answer may have."""
HEADS = ("#", "*", "_")
"""What it begins with."""
MOST_STOPS = 50
"""The how manieth stop word ends a reply in any case: whether one is quoted takes a look at its line."""
_BEGUN_STOPS = tuple({stop[:n] for stop in STOPS for n in range(1, len(stop))})
_CLOSING_FENCE = lazy_pattern(r"[ \t]*(?:`{3,}|~{3,})[ \t]*$")


def parse_decision(text: str) -> Decision:
    """Read a whole reply."""
    text = text[: stop_in(text)]
    match = _decision_anywhere(text)
    if match is None:
        return Finish(unlabelled(text))
    text = match.string
    body, above = _body(text, match), _above(text, match.start())
    if not _is_replan(match) and _is_empty(body) and match.re.pattern in (_DECISION.pattern, _BEHIND_ACTION.pattern):
        later = next((each for each in REPLAN_LINE.finditer(text, match.end()) if not each["fence"]), None)
        if later is not None:
            return Replan(_body(text, later), above)
    return Replan(body, above) if _is_replan(match) else Finish(body or above)


def is_decided(text: str) -> bool:
    """Whether a whole reply says what it is: else it is an answer for want of anything better."""
    return _decision_anywhere(text[: stop_in(text)]) is not None


def _decision_anywhere(text: str) -> re.Match[str] | None:
    """The decision of a reply, in it or in it without the marks around all of it."""
    bare = _without_marks(text)
    forms = [text] if bare is None else [text, bare[: stop_in(bare)]]
    found = (find(form) for find in (_decision_in, _below_thought, _undecided_in) for form in forms)
    return next(filter(None, found), None)


def decision_at(text: str, start: int, known: int, *, behind_action: bool) -> re.Match[str] | None:
    """A decision where a line begins, as far as the text is known; `None` if there is none, or it may go on.

    Args:
        text: The reply.
        start: Where the line begins.
        known: Where the text ends that is known.
        behind_action: Whether the line above is `Action:`.
    """
    end = min(known, start + HEAD)
    match = (_BEHIND_ACTION if behind_action else _DECISION).match(text, start, end)
    return None if match and match.start("bare") == end < len(text) else match


def end_of_preface(text: str) -> int:
    """Up to where a model may say why it replans, before it does."""
    return end_of(_SPACES, text, 0) + _PREFACE


def bare_start(text: str) -> re.Match[str] | None:
    """Where a reply begins that can only be an answer without any word before it: an empty match there.

    That is one whose first word is neither a label, nor a mark, nor a number before a call or the name of a tool; and
    its preface, which must be known, shows neither a decision nor a plan.
    """
    start, end = end_of(_SPACES, text, 0), end_of_preface(text)
    word = _FIRST_WORD.match(text, start, end)
    if word is None or word.end() == end or word[0].casefold() in LABEL_WORDS or _NO_PROSE.search(text, start, end):
        return None
    ends = " \t\r\n" if word[0][0].isdecimal() else " \t\r\n,;.!?，。；！？"  # `1.` may number a call
    return _NOTHING.match(text, start) if text[word.end()] in ends else None


def may_replan(head: str) -> bool:
    """Whether a line that begins so may turn out to end an answer."""
    if _MAY_REPLAN.match(head):
        return True
    found = REPLAN_LINE.match(head)
    return found is not None and not found["fence"]


def stop_in(text: str) -> int:
    """Where a whole reply ends: at the first stop word that is its own, or in its answer."""
    if STOP.search(text) is None:
        return len(text)
    decision = _decision_in(text)
    own = {start for start, _ in own_lines(text)}
    for number, match in enumerate(STOP.finditer(text), 1):
        line = text.rfind("\n", 0, match.start()) + 1
        if number == MOST_STOPS or (decision is not None and decision.start() < match.start()):
            return match.start()
        if not is_quoted_stop(text[line : match.start()], quoted=line not in own):
            return match.start()
    return len(text)


def is_quoted_stop(before: str, *, quoted: bool) -> bool:
    """Whether a stop word is quoted, by what stands before it in its line, and whether that line is."""
    return (quoted and not _CLOSING_FENCE.match(before)) or is_within_quotes(before, len(before))


def may_become_stop(text: str) -> int:
    """How many characters at the end of a text may be the beginning of a stop word."""
    if not text.endswith(_BEGUN_STOPS):
        return 0
    return max(len(begun) for begun in _BEGUN_STOPS if text.endswith(begun))


def _decision_in(text: str) -> re.Match[str] | None:
    """The first decision on a line of its own."""
    behind_action = False
    for start, end in own_lines(text):
        if match := decision_at(text, start, len(text), behind_action=behind_action):
            return match
        behind_action = ACTION_LINE.match(text, start, end) is not None or (
            behind_action and not text[start:end].strip()
        )
    return None


def _below_thought(text: str) -> re.Match[str] | None:
    """The decision of a reply that is a line of thought and one of decision: it quotes nothing over both."""
    thought, _, decision = text.strip().partition("\n")
    if "\n" in decision or not THOUGHT.match(thought):
        return None
    return decision_at(text, text.rindex(decision.strip()), len(text), behind_action=False)


def _undecided_in(text: str) -> re.Match[str] | None:
    """What is taken for a decision where there is none."""
    lines, is_closed = own_lines(text), _Closed()
    within = filter(None, (_within(text, start, end, is_closed) for start, end in lines))
    patterns = (_LOOSE, REPLANNING, ANSWER)
    loose = (match for pattern in patterns for match in _beginning(pattern, text, lines) if is_closed(match))
    return next(chain(within, loose, _headed_in(text, lines)), None)


def _headed_in(text: str, lines: Iterable[tuple[int, int]]) -> Iterator[re.Match[str]]:
    """The heading of an answer, if all above it is a thought."""
    first = next(_beginning(ANSWER_HEADING, text, lines), None)
    above = text[: first.start()].strip() if first else ""
    if first and (not above or THOUGHT.match(above) or THOUGHT_HEADING.match(above)):
        yield first


def _beginning(pattern: re.Pattern[str], text: str, lines: Iterable[tuple[int, int]]) -> Iterator[re.Match[str]]:
    """What a pattern matches where lines begin."""
    return filter(None, (pattern.match(text, start) for start, _ in lines))


def _within(text: str, start: int, end: int, is_closed: _Closed) -> re.Match[str] | None:
    """A decision behind the labels of a line, or behind a sentence in it."""
    behind = start
    while (label := THOUGHT.match(text, behind, end)) is not None:
        behind = label.end()
    if behind > start and (match := decision_at(text, behind, len(text), behind_action=False)):
        return match
    quotes = InlineQuotes(text[start:end])
    for match in _BEHIND_SENTENCE.finditer(text, start, end):
        if not quotes.are_open_at(match.start("word") - start) and is_closed(match):
            return match
    return None


def _body(text: str, match: re.Match[str]) -> str:
    """What a decision says, as far as the text goes."""
    start, marks = _opened(text, match.end(), open_marks(match))
    if not _is_replan(match):
        start = end_of(_SPACES, text, start)
        behind = heading_end(text, start)
        start = behind if text[behind:].strip() else start
    end = closing_parenthesis(text, match.end(), len(text))[0] if match.groupdict().get("parenthesis") else None
    if end is None:
        end = len(text) if _is_replan(match) else end_of_answer(text, match.end(), len(text))[0]
        end = len(text) if end is None else end
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


def heading_end(text: str, start: int) -> int:
    """Where the heading ends with which an answer begins, and which is no part of it; the start if there is none."""
    return end_of(ANSWER_HEADING, text, start) if text[start : start + 1] in HEADS else start


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
        if match[0] in "(（":
            depth += 1
        elif depth > 1:
            depth -= 1
        elif match["line_ends"] is not None:
            return match.start(), 0
    return None, depth


def end_of_answer(text: str, start: int, end: int, *, fence: str = "") -> tuple[int | None, str]:
    """Where a line that says `Replan` ends an answer; and the code fence that is open at the end of the text."""
    for match in REPLAN_LINE.finditer(text, start, end):
        if (marks := match["fence"]) and not fence:
            fence = marks.strip()
        elif marks and closes_fence(text, match.end(), marks.strip(), fence):
            fence = ""
        elif not fence:
            return match.start(), ""
    return None, fence


def sure_end(text: str, start: int, end: int) -> int:
    """Where what is surely part of an answer ends: neither parentheses and marks nor white space at its end are."""
    while end > start and (text[end - 1] in ")）*_`.。" or text[end - 1].isspace()):
        end -= 1
    return end


def _is_replan(match: re.Match[str]) -> bool:
    return match.re.pattern == REPLANNING.pattern or match["word"].lower() == "replan"


class _Closed:
    """Tells whether a parenthesis behind a word, if there is one, is closed where a line ends.

    To look takes the rest of the text: after so many that are not, the others are taken not to be.
    """

    _MOST = 20

    def __init__(self) -> None:
        self._open = 0

    def __call__(self, match: re.Match[str]) -> bool:
        if not match.groupdict().get("parenthesis"):
            return True
        if self._open >= self._MOST:
            return False
        closed = closing_parenthesis(match.string, match.end(), len(match.string))[0] is not None
        self._open += not closed
        return closed


def _is_empty(body: str) -> bool:
    return not sure_end(body, 0, len(body))


def _without_marks(text: str) -> str | None:
    """A reply without the fence, quotation marks, list marks or indent that all of it has; `None` if it has none."""
    if (flush := textwrap.dedent(text.strip("\n"))) != text.strip("\n"):
        return flush
    text = text.strip()
    if fence := FENCE.match(text.partition("\n")[0]):
        return _without_fence(text, fence[1])
    if len(text) > 1 and text[0] + text[-1] in _AROUND and text[0] not in text[1:-1]:
        return text[1:-1]
    return _without_list_marks(text)


def _without_fence(text: str, fence: str) -> str | None:
    """What stands in the fence that a text begins with, if nothing stands below it."""
    rest = text.partition("\n")[2]
    closing = next((each for each in FENCE.finditer(rest) if closes_fence(rest, each.end(), each[1], fence)), None)
    inner, below = (rest, "") if closing is None else (rest[: closing.start()], rest[closing.end() :])
    return None if below.strip("`~ \t\r\n") or not rest else f"\n{inner}"


def _without_list_marks(text: str) -> str | None:
    """The lines of a text that all have a mark of one kind, without it."""
    lines = text.split("\n")
    marks = [_LIST_MARK.match(line) for line in lines]
    kinds = {_kind_of(mark) for mark, line in zip(marks, lines, strict=True) if line.strip()}
    if len(kinds) != 1 or "" in kinds:
        return None
    return "\n".join(line[mark.end() :] if mark else line for mark, line in zip(marks, lines, strict=True))


def _kind_of(mark: re.Match[str] | None) -> str:
    return mark["mark"].lstrip("0123456789") if mark else ""


def _above(text: str, end: int) -> str:
    """The thought above a decision."""
    above, _, last = text[:end].rstrip().rpartition("\n")
    return unlabelled(above if ACTION_LINE.match(last) else text[:end])


def unlabelled(text: str) -> str:
    """A thought without the label or the heading before it."""
    text = text.strip()
    start = end_of(THOUGHT_HEADING, text, 0)
    while label := THOUGHT.match(text, start):
        start = label.end()
    return text[start:]


def end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Where what a pattern matches ends."""
    match = pattern.match(text, start)
    return match.end() if match else start
