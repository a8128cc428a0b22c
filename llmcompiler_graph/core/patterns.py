"""Regular expressions that are compiled when they are first used.

The core has more than two hundred. Most belong to a notation that only some models write, and compiling all of them
would be a tenth of the time that importing the package takes.
"""

from __future__ import annotations

import re
from typing import Any, cast

__all__ = ["lazy_pattern"]


class _LazyPattern:
    """What stands for a compiled pattern until a method is used; its slots then hold the methods of that pattern."""

    __slots__ = ("_flags", "findall", "finditer", "fullmatch", "match", "pattern", "search", "split", "sub")

    def __init__(self, pattern: str, flags: int) -> None:
        self.pattern, self._flags = pattern, flags

    def __getattr__(self, name: str) -> Any:
        """Compile the pattern: called for a slot that is still empty, and for what has no slot."""
        if name.startswith("__"):  # copying asks for these before the slots are filled
            raise AttributeError(name)
        compiled = re.compile(self.pattern, self._flags)
        for method in ("findall", "finditer", "fullmatch", "match", "search", "split", "sub"):
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)


def lazy_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Return what does as `re.compile(pattern, flags)` and compiles it when one of its methods is first used.

    A match's `re` is the compiled pattern and not what is returned here: compare their `pattern`.

    Raises:
        re.error: When it is used and the pattern is no regular expression (not when it is made).
    """
    return cast("re.Pattern[str]", _LazyPattern(pattern, flags))
