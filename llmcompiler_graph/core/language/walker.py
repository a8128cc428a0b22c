r"""Where the arguments of a call end, in text that arrives in pieces.

Brackets are counted, strings are skipped: in straight quotes, triple or not, and in those of other languages.

>>> walker = Walker()
>>> [walker.walk(text, 0, final=False) for text in ('"a)', '", [1])')]
[(3, False), (6, True)]

May know: nothing.
"""

from __future__ import annotations

import re

from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("APOSTROPHES", "MAY_FOLLOW", "QUOTES", "Walker")

QUOTES = {
    '"': '"',
    "'": "'",
    "“": "”“",
    "”": "”",
    "„": "“”",
    "‟": "”",
    "‘": "’",
    "’": "’",
    "‚": "‘’",
    "«": "»",
    "「": "」",
    "『": "』",
    "＂": "＂",
    "＇": "＇",
}
"""What opens a string, and what may close it."""
APOSTROPHES = "’‘"
"""Quotes that are apostrophes too: they close a string only where an argument may end."""
_BRACKETS = dict(zip("([{（［｛", ")]})]}", strict=True))
_CLOSING = dict(zip(")]}）］｝", ")]})]}", strict=True))
_OUTSIDE = lazy_pattern(rf"[\n{re.escape(''.join((*QUOTES, *_BRACKETS, *_CLOSING)))}]")
_INSIDE = {quote: lazy_pattern(rf"[\n\\{re.escape(closing)}]") for quote, closing in QUOTES.items()}
MAY_FOLLOW = lazy_pattern(r"\s*(?:[,)\]}:;，、）］｝：；]|\Z)")
"""What may follow an argument."""


class Walker:
    """Walks over one call's arguments."""

    def __init__(self) -> None:
        self.awaited = [")"]
        """The brackets that are to be closed, innermost last."""
        self.mismatched = False
        """Whether a bracket was closed by one of another kind."""
        self.quote = ""
        """The quote that opened the string that is open, three times if it is triple; empty outside strings."""

    @property
    def awaits(self) -> re.Pattern[str]:
        """What text must have for the walker to do more than to go on."""
        return _INSIDE[self.quote[0]] if self.quote else _OUTSIDE

    def walk(self, text: str, position: int, *, final: bool) -> tuple[int, bool | None]:
        """Walk on at a position.

        Returns:
            Up to where the text was read, and whether the call is closed there; `None` at a line end that may end a
            call that was never closed.
        """
        end = len(text)
        while position < end:
            found = self.awaits.search(text, position)
            if found is None:
                return end, False
            position, char = found.start(), found[0]
            if char == "\n" and len(self.quote) < 3:
                return position + 1, None
            if char == "\\":
                if position + 1 == end and not final:
                    return position, False
                position += 1 if text.startswith("\n", position + 1) else 2
            elif self.quote or char in QUOTES:
                length = self._at_quote(text, position, final=final)
                if length is None:
                    return position, False
                position += length
            elif self._is_last_bracket(char):
                return position, True
            else:
                position += 1
        return min(position, end), False

    def _is_last_bracket(self, char: str) -> bool:
        """Count a bracket; return whether it closes the call."""
        if char in _BRACKETS:
            self.awaited.append(_BRACKETS[char])
        else:
            self.mismatched |= _CLOSING[char] != self.awaited.pop()
        return not self.awaited

    def _at_quote(self, text: str, position: int, *, final: bool) -> int | None:
        """Open or close a string; return how much was read, or `None` if more text must tell."""
        char = text[position]
        if not final and position + 3 > len(text) and self._may_be_triple(char):
            return None
        if not self.quote:
            triple = char in "\"'" and text.startswith(char * 3, position)
            self.quote = char * 3 if triple else char
            return len(self.quote)
        if len(self.quote) == 3 and not text.startswith(self.quote, position):
            return 1
        if char in APOSTROPHES and self.quote in "‘’‚":
            follows = MAY_FOLLOW.match(text, position + 1)
            if follows is None:
                return 1
            if not final and follows.end() == len(text) and not text[position + 1 :].strip():
                return None
        length = len(self.quote)
        self.quote = ""
        return length

    def _may_be_triple(self, char: str) -> bool:
        """Whether a quote may be the first of three, which open or close a string."""
        return char in "\"'" and len(self.quote) != 1
