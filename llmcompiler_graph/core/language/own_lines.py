r"""Which lines of a reply are the model's own words, and which it quotes: from a page that a tool returned, say.

>>> text = 'Thought: it says "Stop.\nFinish: no\nmore."\n> Finish: no\n<page>\nFinish: no\n</page>\nFinish: yes'
>>> [text[start:end] for start, end in own_lines(text)]
['Thought: it says "Stop.', '<page>', 'Finish: yes']

Quoted are the lines of a block quote, a list, a table, a code fence and a block between two tags, of which the first
ends its line or is one that quotes, such as `<blockquote>`; and those that begin in quotation marks that an earlier
line opened. What is never closed quotes nothing, nor does a straight `"` that
another one follows which opens too: inches and slips of the pen are no quotations. A fence at the beginning is no quote
if the thought stands in it: then the whole reply does.

May know: `labels`.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from llmcompiler_graph.core.language.labels import THOUGHT
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("FENCE", "InlineQuotes", "Quoting", "closes_fence", "is_within_quotes", "own_lines")

FENCE = lazy_pattern(r"^[ \t]*(`{3,}+(?![^\n]*`)|~{3,}+)", re.MULTILINE)
_BLANK_LINE = lazy_pattern(r"[ \t\r]*(?:\n|\Z)")
_CLOSED_BY = {'"': '"', "“": "”", "„": "“”", "«": "»", "「": "」", "『": "』"}
_SIGN = lazy_pattern('["“”„«»「」『』]')
_OPENS_BEHIND = " \t([{:=,：，—-"
_TAG = lazy_pattern(r"<(?P<closes>/?)(?P<name>[a-z][\w.:-]*)(?:[ \t][^<>\n]*)?(?P<empty>(?<=/))?>", re.IGNORECASE)
_CLOSING_TAG = lazy_pattern(r"</(?P<name>[a-z][\w.:-]*)[ \t]*>", re.IGNORECASE)
_QUOTES = frozenset(
    {"blockquote", "cite", "code", "content", "document", "page", "pre", "q", "quote", "samp", "source"}
)
_NEVER_CLOSED = frozenset({"br", "hr", "img", "input", "li", "p", "wbr"})
_OF_REPLIES = frozenset({"action", "answer", "decision", "final", "final_answer", "output", "reply", "response"})
_QUOTED = lazy_pattern(r"[ \t]*(?:>|\||[-*+•][ \t]|\d{1,3}[.)][ \t])")


class _Block(NamedTuple):
    """What is quoted over several lines."""

    kind: Literal["fence", "tag", "signs"]
    closed_by: str
    """The fence, the name of the tag, or any of these quotation marks."""


class Quoting:
    """Follows, line by line, what is quoted.

    Args:
        text: The reply, if all of it is known: what is never closed in it then quotes nothing.
    """

    def __init__(self, text: str | None = None) -> None:
        self._text = text
        self._last: dict[_Block, int] = {}  # where in the text a block was closed last
        self._fences = _last_fences(text or "")
        closing = _CLOSING_TAG.finditer(text or "")
        self._last |= {_Block("tag", each["name"].lower()): each.start() for each in closing}
        self._block: _Block | None = None
        self._listed = False  # whether a list or a block quote may go on
        self._begun = False  # whether there was a line
        self._may_be_around = False  # whether the block is a fence that the reply begins with
        self._around = ""  # that fence, if the reply stands in it
        self.taken_back = False
        """Whether the last line showed that those before it were not in quotation marks after all."""

    @property
    def in_signs(self) -> bool:
        """Whether quotation marks are open."""
        return self._block is not None and self._block.kind == "signs"

    def is_quoted(self, line: str) -> bool:
        """Whether the next line begins quoted; some of it is enough to tell."""
        if self._block is not None:
            return not (self._may_be_around and THOUGHT.match(line))
        return _QUOTED.match(line) is not None or (self._listed and line[:1] in (" ", "\t"))

    def read(self, line: str, end: int) -> None:
        """Read the next line, without its end, which is there in the text."""
        self.taken_back = False
        if not line.strip():
            return
        if self._may_be_around and THOUGHT.match(line):
            self._around, self._block = self._block.closed_by if self._block else "", None
        is_first, self._begun, self._may_be_around = not self._begun, True, False
        if self._block is None:
            if not self._opens(line, end, is_first=is_first):
                self._read_signs(line, end)
        elif self._block.kind == "signs":
            self._read_signs(line, end)
        elif _ends(self._block, line):
            self._block = None
        self._listed = _QUOTED.match(line) is not None or (self._listed and line[0] in (" ", "\t"))

    def _opens(self, line: str, end: int, *, is_first: bool) -> bool:
        """Open the block that a line begins; return whether it is such a line, or ends the fence around the reply."""
        block = _begun_by(line)
        if block is None or block.closed_by in _OF_REPLIES:
            return False
        if self._around and _ends(_Block("fence", self._around), line):
            self._around = ""
            return True
        self._open(block, end)
        self._may_be_around = is_first and block.closed_by[0] == "`"
        return True

    def _read_signs(self, line: str, end: int) -> None:
        before = self._block
        for match in _SIGN.finditer(line):
            at = match.start()
            if self._is_closed_by(line, at):
                self._block, before = None, None
            elif self._block is None or self._opens_anew(line, at):
                self.taken_back = self.taken_back or (self._block is not None and self._block is before)
                self._block = None
                if match[0] in _CLOSED_BY and _opens(line, at):
                    self._open(_Block("signs", _CLOSED_BY[match[0]]), end - len(line) + at)

    def _is_closed_by(self, line: str, at: int) -> bool:
        """Whether a sign closes the quotation that is open."""
        return self._block is not None and line[at] in self._block.closed_by and (line[at] != '"' or _closes(line, at))

    def _opens_anew(self, line: str, at: int) -> bool:
        """Whether a sign is a straight one that opens, although one like it is open: that was no quotation."""
        return self._block is not None and line[at] == '"' == self._block.closed_by and _opens(line, at)

    def _open(self, block: _Block, at: int) -> None:
        """Open a block, if it is closed behind there as far as is known."""
        if self._text is not None and block.kind == "signs" and block not in self._last:
            self._last[block] = max(map(self._text.rfind, block.closed_by))
        last = self._fences.get(block.closed_by, -1) if block.kind == "fence" else self._last.get(block, -1)
        if self._text is None or last > at:
            self._block = block


def closes_fence(text: str, end: int, marks: str, opening: str) -> bool:
    """Whether the marks that end at a place in a text close a fence: as many or more, and nothing behind them."""
    return marks.startswith(opening) and _BLANK_LINE.match(text, end) is not None


def _last_fences(text: str) -> dict[str, int]:
    """Where a fence of some marks is closed last: by as many marks, or more."""
    last: dict[str, int] = {}
    for each in FENCE.finditer(text):
        closed = each.start() if _BLANK_LINE.match(text, each.end()) else -1
        last[each[1]] = max(last.get(each[1], -1), closed)
    latest = {"`": -1, "~": -1}
    for marks in sorted(last, key=len, reverse=True):
        last[marks] = latest[marks[0]] = max(last[marks], latest[marks[0]])
    return last


def own_lines(text: str) -> list[tuple[int, int]]:
    """Where the lines of a reply begin and end that are not quoted."""
    quoting, own, start = Quoting(text), list[tuple[int, int]](), 0
    in_signs: list[tuple[int, int]] = []  # the lines in the quotation marks that are open
    for line in text.split("\n"):
        end = start + len(line)
        if quoting.in_signs:
            in_signs.append((start, end))
        elif not quoting.is_quoted(line):
            own.append((start, end))
        quoting.read(line, end)
        if quoting.taken_back:
            own += in_signs
        if quoting.taken_back or not quoting.in_signs:
            in_signs = []
        start = end + 1
    return own + in_signs


def _begun_by(line: str) -> _Block | None:
    """The block that a line opens: by a fence, or by a tag that is not closed in it."""
    if fence := FENCE.match(line):
        return _Block("fence", fence[1])
    name = _open_tag(line) if "<" in line else ""
    return _Block("tag", name) if name else None


def _open_tag(line: str) -> str:
    """The name of the first tag in a line that quotes what follows: at its end, or `<quote>` and the like."""
    opened: dict[str, None] = {}
    end = len(line.rstrip())
    for tag in _TAG.finditer(line):
        name = tag["name"].lower()
        if tag["closes"]:
            opened.pop(name, None)
        elif tag["empty"] is None and name not in _NEVER_CLOSED:
            is_shown = line[tag.start() - 1 : tag.start()] == "`"
            if tag.end() == end or (name in _QUOTES and not is_shown):
                opened.setdefault(name)
    return next(iter(opened), "")


def _ends(block: _Block, line: str) -> bool:
    """Whether a line closes a fence, or a block between tags."""
    if block.kind == "fence":
        fence = FENCE.match(line)
        return fence is not None and closes_fence(line, fence.end(), fence[1], block.closed_by)
    return any(tag["name"].lower() == block.closed_by for tag in _CLOSING_TAG.finditer(line))


def is_within_quotes(line: str, at: int) -> bool:
    """Whether a place in a line is in quotation marks that were opened in it, or in inline code."""
    return InlineQuotes(line).are_open_at(at)


class InlineQuotes:
    """Tells which places of a line are in quotation marks that were opened in it, or in inline code.

    Args:
        line: The line.
    """

    def __init__(self, line: str) -> None:
        self._line = line
        self._signs = re.finditer('["“”„«»「」『』`]', line)
        self._next = next(self._signs, None)
        self._closed_by, self._coded = "", False

    def are_open_at(self, at: int) -> bool:
        """Whether a place is, which stands behind those asked about before."""
        while self._next is not None and self._next.start() < at:
            self._read(self._next[0], self._next.start())
            self._next = next(self._signs, None)
        return bool(self._closed_by) or self._coded

    def _read(self, sign: str, at: int) -> None:
        if sign == "`":
            self._coded = not self._coded
        elif self._closed_by:
            self._closed_by = "" if sign in self._closed_by else self._closed_by
        elif _opens(self._line, at):
            self._closed_by = _CLOSED_BY.get(sign, "")


def _closes(line: str, at: int) -> bool:
    """Whether a straight quotation mark closes a quotation: what is behind it is no word."""
    return not line[at + 1 : at + 2].isalnum()


def _opens(line: str, at: int) -> bool:
    """Whether a straight quotation mark opens a quotation: it stands behind a space and before none."""
    if line[at] != '"':
        return True
    return (at == 0 or line[at - 1] in _OPENS_BEHIND) and line[at + 1 : at + 2] not in (" ", "\t")
