r"""References by another name than a number: `height` after `height = search("K2")`, `#E1` after `#E1 = search[K2]`.

>>> names = Names()
>>> names.assign("height", 1)
>>> names.resolve('f"{height} m", "$height", limit=height["metres"], height=2')
'"${1} m", "$1", limit=$1["metres"], height=2'

May know: `call_syntax`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from llmcompiler_graph.core.language.call_syntax import CallSyntaxError
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Names", "ParameterNames")

_QUOTED = r"""(?:"[^"\\\n]*"|'[^'\\\n]*')"""
_PATH = rf"(?:\.[^\W\d]\w*+(?![ \t]*\()|\[\s*(?:-?\d{{1,9}}|{_QUOTED})\s*\]|\.get\({_QUOTED}\))*+"
_CODE = lazy_pattern(
    r"""(?P<prefix>\b[rRbBuUfF]{1,2}(?=["']))?"""
    r"""(?P<string>\"\"\"(?:\\.|(?!\"\"\")[^\\])*+\"\"\"|'''(?:\\.|(?!''')[^\\])*+'''|"(?:\\.|[^"\\])*+"|'(?:\\.|[^'\\])*+')"""
    rf"""|(?<![\w.$])[$#]?(?P<name>\w+)(?![\w(]|\s*=(?!=))(?P<path>{_PATH})""",
    re.DOTALL,
)
_IN_STRING = lazy_pattern(
    r"\$(?P<dollar>\w+)|#(?P<hash>[A-Za-z_]{1,20}\d{1,9})(?!\w)"
    rf"|\$\{{\s*(?P<braced>\w+)(?P<braced_path>{_PATH})\s*\}}|\{{\{{\s*(?P<double>\w+)\s*\}}\}}"
    rf"|\{{\s*(?P<single>[^\W\d]\w*)(?P<single_path>{_PATH})\s*\}}"
)
_DOUBLED = lazy_pattern(r"\{\{|\}\}")
_GET = lazy_pattern(r"""\.get\(("[^"\\\n]*"|'[^'\\\n]*')\)""")


class Names:
    """What the calls of one plan are called."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def assign(self, name: str, number: int) -> None:
        """Let a name mean a task from now on."""
        if name in self._numbers or name != str(number):
            self._numbers[name] = number

    def number(self, name: str) -> int | None:
        """The task that a name means, if it means one; a number means itself."""
        known = self._numbers.get(name)
        return int(name) if known is None and name.isdecimal() and len(name) < 10 else known

    def resolve(self, arguments: str) -> str:
        """Write the arguments of a call with numbers for names."""
        return _CODE.sub(self._in_code, arguments) if self._numbers else arguments

    def _in_code(self, match: re.Match[str]) -> str:
        if match["string"] is None:
            number = self._numbers.get(match["name"])
            return match[0] if number is None else f"${number}{_path(match['path'])}"
        prefix = match["prefix"] or ""
        text = _IN_STRING.sub(self._in_string, match["string"])
        if "f" in prefix.lower():
            prefix = prefix.replace("f", "").replace("F", "")
            text = _DOUBLED.sub(lambda doubled: doubled[0][0], text)
        return prefix + text

    def _in_string(self, match: re.Match[str]) -> str:
        name = match["dollar"] or match["hash"] or match["braced"] or match["double"] or match["single"]
        number = self._numbers.get(name)
        if number is None:
            return match[0]
        path = _path(match["braced_path"] or match["single_path"] or "")
        return f"${number}" if match["dollar"] else f"${{{number}{path}}}"


_PARAMETER = lazy_pattern(r"\$\$|(?P<open>\$\{\s*)(?P<name>[^\W\d]\w*)")
_FIRST = 900_000_000


class ParameterNames(Names):
    """The same in the plan of a procedure, where `${name}` means a parameter.

    Args:
        parameters: What they are called.
    """

    def __init__(self, parameters: Iterable[str]) -> None:
        super().__init__()
        self.parameters = tuple(parameters)
        """What they are called."""

    def resolve(self, arguments: str) -> str:
        """Write the arguments of a call with numbers for names.

        Raises:
            CallSyntaxError: There is no parameter of a name.
        """
        return super().resolve(_PARAMETER.sub(self._numbered, arguments))

    def position(self, number: int) -> int | None:
        """Which parameter a number stands for, from 0; `None` if it is that of a task."""
        position = number - _FIRST
        return position if 0 <= position < len(self.parameters) else None

    def _numbered(self, match: re.Match[str]) -> str:
        name = match["name"]
        if name is None or self.number(name) is not None:
            return match[0]
        if name not in self.parameters:
            near = get_close_matches(name, self.parameters, n=1)
            known = ", ".join(f"`{each}`" for each in self.parameters) or "none"
            hint = f"did you mean `${{{near[0]}}}`?" if near else f"there are {known}; write `$${{` for the text `${{`"
            raise CallSyntaxError("unknown-parameter", f"there is no parameter {name!r}", match.start(), hint)
        return f"{match['open']}{_FIRST + self.parameters.index(name)}"


def _path(text: str) -> str:
    """A path as references have it: `.get("x")` is `["x"]`."""
    return _GET.sub(r"[\1]", text)
