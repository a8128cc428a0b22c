r"""References by another name than a number: `height` after `height = search("K2")`, `#E1` after `#E1 = search[K2]`.

>>> names = Names()
>>> names.assign("height", 1)
>>> names.resolve('f"{height} m", "$height", limit=height["metres"], height=2')
'"${1} m", "$1", limit=$1["metres"], height=2'

May know: nothing of the package.
"""

from __future__ import annotations

import re

__all__ = ("Names",)

_QUOTED = r"""(?:"[^"\\\n]*"|'[^'\\\n]*')"""
_PATH = rf"(?:\.[^\W\d]\w*+(?![ \t]*\()|\[\s*(?:-?\d{{1,9}}|{_QUOTED})\s*\]|\.get\({_QUOTED}\))*+"
_CODE = re.compile(
    r"""(?P<prefix>\b[rRbBuUfF]{1,2}(?=["']))?"""
    r"""(?P<string>\"\"\"(?:\\.|(?!\"\"\")[^\\])*+\"\"\"|'''(?:\\.|(?!''')[^\\])*+'''|"(?:\\.|[^"\\])*+"|'(?:\\.|[^'\\])*+')"""
    rf"""|(?<![\w.$])[$#]?(?P<name>\w+)(?![\w(]|\s*=(?!=))(?P<path>{_PATH})""",
    re.DOTALL,
)
_IN_STRING = re.compile(
    r"\$(?P<dollar>\w+)|#(?P<hash>[A-Za-z_]{1,20}\d{1,9})(?!\w)"
    rf"|\$\{{\s*(?P<braced>\w+)(?P<braced_path>{_PATH})\s*\}}|\{{\{{\s*(?P<double>\w+)\s*\}}\}}"
    rf"|\{{\s*(?P<single>[^\W\d]\w*)(?P<single_path>{_PATH})\s*\}}"
)
_DOUBLED = re.compile(r"\{\{|\}\}")
_GET = re.compile(r"""\.get\(("[^"\\\n]*"|'[^'\\\n]*')\)""")


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


def _path(text: str) -> str:
    """A path as references have it: `.get("x")` is `["x"]`."""
    return _GET.sub(r"[\1]", text)
