r"""Where a JSON value ends, in text that arrives in pieces: brackets are counted, those in strings are not.

>>> balance = Balance()
>>> [balance.feed(piece) for piece in ('{"x": "{', '", "y": [1', "]} and more")]
[None, None, 2]

May know: nothing.
"""

from __future__ import annotations

from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Balance",)

_OUTSIDE = lazy_pattern(r"[\"'{}\[\]]")
_INSIDE = {'"': lazy_pattern(r"[\"\\]"), "'": lazy_pattern(r"['\\\n]")}


class Balance:
    """Reads one value as it arrives.

    A string in single quotes, as Python has them, does not begin within a word, and ends with its line at the latest:
    what looks like one may be an apostrophe.
    """

    def __init__(self) -> None:
        self.begun = False
        """Whether a bracket was opened."""
        self.quote = ""
        """The quote of the string that is open, if one is."""
        self._depth = 0
        self._skip = False  # whether the next character is escaped
        self._last = ""  # the last character so far

    def feed(self, text: str, start: int = 0) -> int | None:
        """Take more of the text; return where in it the value ends, behind its last bracket, if it does."""
        position, end = start, len(text)
        before, self._last = self._last, text[-1:] or self._last
        while position < end:
            if self._skip:
                self._skip = False
                position += 1
                continue
            found = (_INSIDE[self.quote] if self.quote else _OUTSIDE).search(text, position)
            if found is None:
                return None
            position, char = found.end(), found[0]
            if char == "\\":
                self._skip = True
            elif self.quote:
                self.quote = ""
            elif char == "'":
                previous = text[position - 2] if position - 1 > start else before
                self.quote = "" if previous.isalnum() else char
            elif char == '"':
                self.quote = char
            elif self._is_last_bracket(char):
                return position
        return None

    def _is_last_bracket(self, char: str) -> bool:
        """Count a bracket; return whether it ends the value."""
        self.begun = self.begun or char in "{["
        self._depth += 1 if char in "{[" else -1
        return self._depth <= 0
