"""The part of a text that is not read yet, and where it stands in the whole.

May know: nothing.
"""

from __future__ import annotations

from bisect import bisect_right

from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Window",)


_NEWLINE = lazy_pattern("\n")


class Window:
    """Text that arrives in pieces and is let go of as it is read."""

    def __init__(self) -> None:
        self.text = ""
        """What is not let go of yet."""
        self.position = 0
        """Up to where that is read."""
        self.offset = 0
        """Where it begins in the whole."""
        self.length = 0
        """The length of the whole so far."""
        self._pieces: list[str] = []  # fed but not looked at
        self._lines = [0]  # where each line begins in the whole

    def feed(self, piece: str) -> None:
        """Take a piece; it is looked at later."""
        if "\n" in piece:
            self._lines += [self.length + newline.end() for newline in _NEWLINE.finditer(piece)]
        self.length += len(piece)
        self._pieces.append(piece)

    def look(self) -> None:
        """Put what was fed behind the text, and forget what was read of it."""
        pieces = self._pieces
        unread = self.text[self.position :] if self.position else self.text
        self.text = unread + (pieces[0] if len(pieces) == 1 else "".join(pieces))
        self.offset += self.position
        self.position = 0
        pieces.clear()

    def take(self, end: int) -> str:
        """Read up to a position; return what was read."""
        text = self.text[self.position : end]
        self.position = end
        return text

    def give_back(self, text: str) -> None:
        """Read this again, which was read last."""
        self.text = text + self.text[self.position :]
        self.offset += self.position - len(text)
        self.position = 0

    def place(self, position: int) -> int:
        """Where a position of the text stands in the whole."""
        return self.offset + position

    def locate(self, where: int) -> tuple[int, int]:
        """The line and column, 1-based, of a place in the whole."""
        line = bisect_right(self._lines, where)
        return line, where - self._lines[line - 1] + 1
