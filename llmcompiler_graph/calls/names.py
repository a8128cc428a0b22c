"""What plans call the tools: their own names, or others where a plan cannot write these.

>>> plan_names(["search", "look up", "look_up", "2fa", "join", "検索", "…"])
['search', 'look_up_2', 'look_up', 'tool_2fa', 'tool_join', '検索', 'tool']
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ("plan_names",)

_WRITABLE = re.compile(r"[^\W\d][\w.\-/]*")
_LONGEST = 64  # what providers allow
_UNUSABLE = re.compile(r"[^a-zA-Z0-9_-]+")  # providers allow these characters


def plan_names(names: Sequence[str]) -> list[str]:
    """Give each tool the name that plans write: its own if they can, else one as providers require."""
    taken = {name for name in names if _is_writable(name)}
    given: list[str] = []
    for name in names:
        if _is_writable(name):
            given.append(name)
            continue
        base = _UNUSABLE.sub("_", name).strip("_-")
        base = base if re.match("[a-zA-Z]", base) and base.lower() != "join" else f"tool_{base}".rstrip("_")
        number, written = 1, base[:_LONGEST]
        while written in taken:
            number += 1
            suffix = f"_{number}"
            written = base[: _LONGEST - len(suffix)] + suffix
        taken.add(written)
        given.append(written)
    return given


def _is_writable(name: str) -> bool:
    return bool(_WRITABLE.fullmatch(name)) and name.lower() != "join" and len(name) <= _LONGEST
