r"""Where calls begin that look like those of the plan language but have no number: names, lists, code, a label.

>>> tools = {"search": ["query"]}
>>> head = other_head('height = search("K2")', 0, tools, listed=False, code=False)
>>> head.tool, head.labels
('search', ('height',))
>>> other_head("[search(K2), search(K1)]", 0, tools, listed=False, code=False).listed
True

May know: `lines`; `calls`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from llmcompiler_graph.core.language.lines import INDEX, LONGEST_HEAD, MARKS, TOOL
from llmcompiler_graph.core.language.notations.calls import BUILTINS, Tools, is_nearly_tool, tool_name
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Head", "other_head", "plain_head", "plain_head_follows")

_ASSIGNED = lazy_pattern(
    rf"(?:{INDEX}|{MARKS})(?:(?:const|let|var|val|auto)[ \t]+)?[$＄#]?(?P<name>\w+)(?:[ \t]*:[ \t]*[\w\[\], |]+)?"
    rf"[ \t]*(?::=|=|＝|<-|←)[ \t]*(?:await[ \t]+)?{TOOL}[ \t]*[(（]",
    re.IGNORECASE,
)
_ACTION = lazy_pattern(
    rf"{MARKS}(?:\*\*)?action[ \t]*\d*(?:\*\*)?[ \t]*[:：](?:\*\*)?[ \t]*`?{TOOL}[(（]", re.IGNORECASE
)
_BARE = lazy_pattern(
    rf"[ \t]*(?:[-*][ \t]+)?(?:(?:await|return|yield)[ \t]+|print[ \t]*\([ \t]*(?:await[ \t]+)?)*{TOOL}[ \t]*[(（]"
)
_FIRST_LISTED = lazy_pattern(rf"[ \t]*(?:`{{1,3}}\w*[ \t]*)?(?:<[|｜][^<>\n]{{1,60}}[|｜]>)*\[\s*{TOOL}[(（]")
_PARALLEL = "multi_tool_use"  # is read as the JSON in it
_PLAIN = lazy_pattern(rf"[ \t]*(?:[-*+•][ \t]+)?(?:\*\*|`)?{TOOL}[(（]")
_MAY_BE_PLAIN = lazy_pattern(r"[ \t]*(?:[-*+•](?:[ \t]+|\Z))?(?:\*{1,2}|`)?[\w.\-/]*\Z")
_NEXT_LISTED = lazy_pattern(rf"[\s,;]*{TOOL}[(（]")


class Head(NamedTuple):
    """The beginning of a call, up to its bracket."""

    tool: str
    """Its tool."""
    labels: tuple[str, ...]
    """What it is called: a number, a name, both or nothing."""
    start: int
    """Where the tool stands."""
    end: int
    """Where its arguments begin."""
    listed: bool
    """Whether it is one in a list of calls, `[tool(…), tool(…)]`."""
    named: bool
    """Whether its value is given a name, as in code."""


def other_head(text: str, position: int, tools: Tools, *, listed: bool, code: bool) -> Head | None:
    """The head of a call that stands at a position.

    Args:
        text: The text.
        position: The position, at the beginning of a line or within a list of calls.
        tools: The parameters of each tool.
        listed: Whether it is within a list of calls.
        code: Whether it is within code, where a call needs neither number nor name.
    """
    limit = position + LONGEST_HEAD
    if listed and (found := _NEXT_LISTED.match(text, position, limit)):
        return _head(found, tools, listed=True)
    if not listed and (found := _FIRST_LISTED.match(text, position, limit)) and _may_call(found, tools, code=code):
        return _head(found, tools, listed=True)
    if (found := _ASSIGNED.match(text, position, limit)) and _may_call(found, tools, code=code):
        return _head(found, tools)
    if found := _ACTION.match(text, position, limit):
        return _head(found, tools)
    if code and (found := _BARE.match(text, position, limit)) and _may_call(found, tools, code=code):
        return _head(found, tools)
    return None


def plain_head(text: str, position: int, tools: Tools) -> Head | None:
    """The head of a call at the beginning of a line, if nothing stands before it but a bullet."""
    found = _PLAIN.match(text, position, position + LONGEST_HEAD)
    if found is None or found["tool"].lower() in BUILTINS.difference(tools) or found["tool"].startswith(_PARALLEL):
        return None
    head = _head(found, tools)
    return head if head.tool in tools else head._replace(tool=found["tool"])


def plain_head_follows(text: str, position: int, tools: Tools, *, final: bool) -> bool | None:
    """Whether such a head begins a line; `None` if more text must tell."""
    if plain_head(text, position, tools):
        return True
    return None if not final and _MAY_BE_PLAIN.match(text, position, position + LONGEST_HEAD) else False


def _head(found: re.Match[str], tools: Tools, *, listed: bool = False) -> Head:
    given = found.groupdict()
    name = given.get("name") or ""
    labels = tuple(filter(None, (given.get("index"), name)))
    return Head(tool_name(found["tool"], tools), labels, found.start("tool"), found.end(), listed, bool(name))


def _may_call(found: re.Match[str], tools: Tools, *, code: bool) -> bool:
    """Whether a name may be that of a tool."""
    name = found["tool"]
    if tool_name(name, tools) in tools:
        return True
    return name.lower() not in BUILTINS if code or not tools else is_nearly_tool(name, tools)
