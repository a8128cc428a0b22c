"""A call that was read in another notation, and what its tool is called there.

May know: nothing of the package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("BUILTINS", "ENDS", "ForeignCall", "Tools", "is_nearly_tool", "raw_argument", "tool_name")

Tools: TypeAlias = Mapping[str, Collection[str]]
"""The names of each tool's parameters, by the tool's name; empty if the tools are not known."""

ENDS = frozenset({"join", "finish", "final_answer", "final answer", "finalanswer", "none", "no_tool", "null", "n/a"})
"""What models call instead of a tool when they want none."""

BUILTINS = frozenset(
    [
        "print",
        "len",
        "str",
        "int",
        "float",
        "bool",
        "sum",
        "max",
        "min",
        "range",
        "sorted",
        "list",
        "dict",
        "set",
        "tuple",
        "open",
        "round",
        "abs",
        "input",
        "type",
        "zip",
        "map",
        "filter",
        "any",
        "all",
        "enumerate",
        "isinstance",
        "format",
        "repr",
        "json.loads",
        "json.dumps",
        "re.findall",
        "re.search",
        "if",
        "for",
        "while",
        "elif",
        "and",
        "or",
        "not",
        "in",
        "with",
        "asyncio.gather",
        "asyncio.run",
        "gather",
        "super",
    ]
)
"""What code calls that is no tool."""

_LONGEST_NAME = 64
_PREFIX = lazy_pattern(r"(?:functions?|tools?|default_api|multi_tool_use|api)[./:]", re.IGNORECASE)
_SUFFIX = lazy_pattern(r"(?:<\||:\d+\Z|\.call\Z|\s).*", re.DOTALL)
_QUOTED = lazy_pattern(
    r"""(?:[^\W\d][\w-]*\s*=\s*)?(?:"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|-?\d+(?:\.\d+)?|\$\d+|\$\{[^{}]*\})\s*(?:\Z|,)""",
    re.DOTALL,
)


class ForeignCall(NamedTuple):
    """A call, as plan text has it but for its number."""

    tool: str
    """The tool."""
    arguments: str
    """What stands between the brackets."""
    labels: tuple[str, ...] = ()
    """What references and orders may call it: `1`, `E1`, `height`."""
    after: tuple[str, ...] = ()
    """The labels of calls it waits for."""
    when: str = ""
    """What must hold for it to be made, as written."""


def raw_argument(text: str) -> str:
    """An argument that stands in a notation without quotes, as plan text; call syntax is left as it is."""
    text = text.strip()
    if not text or text.lower() in ("none", "null", "{}"):
        return ""
    return text if _QUOTED.match(text) else json.dumps(text, ensure_ascii=False)


def is_nearly_tool(name: str, tools: Tools) -> bool:
    """Whether a name is that of a tool, misspelt."""
    return len(name) <= _LONGEST_NAME and _is_near(name, tuple(tools))


@lru_cache(maxsize=4096)
def _is_near(name: str, tools: tuple[str, ...]) -> bool:
    return bool(get_close_matches(name, tools, 1, 0.7))


def tool_name(written: str, tools: Tools) -> str:
    """The tool that is meant by a name, without what providers put around it; the name itself if there is none.

    >>> [tool_name(name, {"search": ["query"]}) for name in ("functions.search:0", "Search", "serch")]
    ['search', 'search', 'serch']
    """
    name = written.strip().strip("`'\"*")
    if name in tools:
        return name
    bare = _SUFFIX.sub("", _PREFIX.sub("", name, count=1), count=1)
    if bare in tools:
        return bare
    folded = [tool for tool in tools if tool.casefold() == bare.casefold()]
    return folded[0] if len(folded) == 1 else bare or name
