r"""Lines of programs that the plan language does not have, `if ${1.total} > 2:`, and which calls stand below them.

Without its line, such a call would be made in any case, or once where it is meant for every element. So it is none:

>>> flow = ControlFlow()
>>> for line in ("if ${1.total} > 2:", "else:"):
...     print(flow.read(line), [flow.above(4), flow.above(0)])
True ['if ${1.total} > 2:', '']
True ['else:', '']
>>> flow.read("For the second question:")
False
>>> flow.above(0)
''

Where nothing below such a line is indented more than it is, it counts up to the next one, or to the end.

May know: `lines`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmcompiler_graph.core.language import lines
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("ControlFlow", "indentation", "is_header")

_BEFORE = rf"(?:{lines.INDEX}|{lines.MARKS})[ \t}}]{{0,40}}+"
_HEADER = lazy_pattern(
    _BEFORE + r"(?:"
    r"(?:(?:else[ \t]+)?if|elif|elsif|elseif|unless)\b"
    r"|(?:else|otherwise)\b(?=\W*\Z)"
    r"|(?:while|until|when|except|catch|switch|match|case)\b(?=.*(?:\$|[<>=!]=|[<>(]))"
    r"|(?:for(?:[ \t]+each)?|foreach)\b(?=.*[$;]|[^(\[]*\bin\b.*[(\[])"
    r")",
    re.IGNORECASE,
)
_HEADER_IN_CODE = lazy_pattern(r"[ \t}]*(?:if|elif|else|(?:async +)?for|while|except|match|case)\b")
_OPENS = lazy_pattern(r"(?:[:：{]|\bthen\b[:：,]?|\bdo\b[:：]?)[ \t*_`\r]*\Z", re.IGNORECASE)
_CLOSES = lazy_pattern(r"[ \t]*(?:end[ \t]*(?:if|while|for)?|fi|done|\})[ \t;.`]*\Z", re.IGNORECASE)
_LONGEST = 200  # characters that are looked at, at the beginning and at the end of a line


@dataclass(slots=True)
class _Header:
    line: str
    indentation: int
    indents: bool = False
    """Whether something below it is indented more than it is."""


class ControlFlow:
    """The lines of programs above what is read now, from the outermost to the innermost."""

    def __init__(self) -> None:
        self._headers: list[_Header] = []

    def __bool__(self) -> bool:
        return bool(self._headers)

    def read(self, line: str, *, code: bool = False) -> bool:
        """Take a line that is no call; return whether calls may stand below it that are part of it.

        Args:
            line: It.
            code: Whether it stands in a block of code.
        """
        if not line.strip():
            return False
        depth = indentation(line)
        if _CLOSES.match(line):
            del self._headers[-1:]
        elif is_header(line, code=code):
            while self._headers and self._headers[-1].indentation >= depth:
                self._headers.pop()
            self._headers.append(_Header(line.strip(), depth))
            return True
        else:
            self.above(depth)
        return False

    def above(self, depth: int) -> str:
        """The innermost of the lines that something with an indentation stands below; empty if there is none."""
        while self._headers and self._headers[-1].indents and self._headers[-1].indentation >= depth:
            self._headers.pop()
        for header in self._headers:
            header.indents = header.indents or depth > header.indentation
        return self._headers[-1].line if self._headers else ""


def is_header(line: str, *, code: bool = False) -> bool:
    """Whether a line, or the beginning of one, says under which condition or how often what follows is done."""
    pattern = _HEADER_IN_CODE if code else _HEADER
    return _OPENS.search(line[-_LONGEST:]) is not None and pattern.match(line[:_LONGEST]) is not None


def indentation(line: str) -> int:
    """How far a line is indented, in columns; a tab ends at every eighth."""
    expanded = line[: len(line) - len(line.lstrip(" \t\u3000"))].expandtabs()
    return len(expanded)
