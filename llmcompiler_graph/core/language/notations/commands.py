r"""Lines that call a tool as one types a command: `search: K2`, `search K2`, `$ search --query K2`, `use search on K2`.

With an option or the name of a parameter, such a line is a call. Without them, `search: K2` and `search: finds pages`
can hardly be told apart. It is then one only where a reply has no task and is nothing but such lines, with a word
before or behind them at the most; and if what stands there neither describes the tool nor says what came of it:

>>> def commands(text):
...     read = Commands({"search": ["query"]})
...     options = [read.option(line, 0) for line in text.split("\n")]
...     return [command.text for command in [*options, *read.take()] if command]
>>> commands("I'll look it up.\n\nsearch: K2\nsearch K1"), commands("Usage:\nsearch --limit 5")
(['search: K2', 'search K1'], ['search --limit 5'])
>>> commands("search: looks things up"), commands("search: K2\nThat is all I did."), commands("search found nothing")
([], [], [])

May know: `calls`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from llmcompiler_graph.core.language.notations.calls import Tools
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Command", "Commands")


class Command(NamedTuple):
    """A line that looks like one."""

    tool: str
    """The tool."""
    text: str
    """The line."""
    where: int
    """Where the tool stands in the whole text."""


_ORDERS = (
    *("please", "plan", "next", "then", "first", "now", "call", "run", "use", "execute", "invoke", "query", "try"),
    *("apply", "action", "step", "task", "command", "cmd", "tool[_ ]call", "function[_ ]call", "tool", "function"),
    *("the", "i['’]ll", "i will", "let me", "let['’]s"),
)
_LEAD = (
    r"[\s>*_`#•–+\-(\[{<]{0,20}+(?:[$%❯➜/@!][ \t]{0,9}+)?"
    rf"(?P<order>(?:(?:{'|'.join(_ORDERS)})\b[\s\d.):：=–`*\"'\-]{{0,20}}+){{0,5}})[`*_\"']{{0,3}}+"
)
_OPTION = lazy_pattern(r"\s+(?:--[^\W\d_][\w-]*|-[a-z])(?:[ =]+\S|\s*\Z)", re.IGNORECASE)
_NAMED = lazy_pattern(
    r"\s*[,;:({?]?\s*(?:with\s+)?(?:the\s+)?[\"'`]?(?P<name>\w+)[\"'`]?\s*(?P<sign>=(?!=)|[:：])\s*(?P<value>\S.*)"
)
_PARAMETER_LINE = lazy_pattern(r"[\s*•+-]*[\"'`]?(?P<name>\w+)[\"'`]?\s*[=:：]\s*(?P<value>\S.*)")
_REST = lazy_pattern(r"[`*_\"']*\s*(?P<sign>[:：=;,|]|->|→|<-|=>|[-–—](?=\s))?\s*[`*_\"']*(?P<value>.*)")
_DESCRIBES = lazy_pattern(
    r"""(?:also|only|just|never|not|no|none|nothing|already|now|then|and|or|but|which|that|it|its|this|these
    |they|we|you
    |ok|error|success|done|used|here|there|again|twice|once|together|instead|empty|unavailable|optional
    |required|read-only
    |results?|hits?|tools?|functions?|engines?|terms?|to|by|with\ (?:it|them|this|that)|if
    |is|are|was|were|has|have|had|will|would|can|could|may|might|must|should|do|does|did
    |looks?|finds?|found|searches|searched|returns?|returned|gets?|got|gives?|gave|calculates?|computes?
    |computed|sends?
    |sent|tells?|told|fetch(?:es|ed)|retrieve[sd]|reads|lists|listed|shows?|showed|takes?|took|needs?|needed|runs?|ran
    |perform(?:s|ed)|execute[sd]|evaluate[sd]|create[sd]|writes|wrote|quer(?:ies|ied)|allow(?:s|ed)|lets|provide[sd]
    |convert(?:s|ed)|translate[sd]|check(?:s|ed)|help(?:s|ed)|uses|works?|worked|makes|made|solve[sd]|says?|said
    |yield(?:s|ed)|fail(?:s|ed)|succeed(?:s|ed)|timed\ out|accept(?:s|ed)|support(?:s|ed)|call(?:s|ed)
    |wait(?:s|ed)|add(?:s|ed)|remove[sd]
    )(?![\w-])""",
    re.IGNORECASE | re.VERBOSE,
)
"""What says, behind a tool's name, what it is for or what came of it."""
_TELLS = lazy_pattern(
    r"\b(?:is|are|was|were|has|had|will|would|can|could|did|does|may|might|must|should|returned|gave|found|failed|says?|said"
    r"|shows?|showed|not|never|already|because|but|if|unless|which|that)\b|n['’]t\b|\s=\s|[.!?]\s",
    re.IGNORECASE,
)
"""What a sentence has that begins with a tool's name."""
_ASKS = lazy_pattern(r"(?:who|what|when|where|why|how|which)\b", re.IGNORECASE)
_MEASURED = lazy_pattern(r"[-+]?\d[\d.,:]*\s?(?:[°%€$£]|[^\W\d_]{1,3}\b\.?\Z)")
_BETWEEN = lazy_pattern(r"[\s,;:.|&/→>-]+")
_JOINING = frozenset({"and", "or", "then", "und", "et", "y", ""})
_OPENING = lazy_pattern(
    r"\W*(?:(?:ok(?:ay)?|sure|certainly|of course|all ?right|great|yes|got it|understood)\b[\s,.!:;–—-]*){0,3}"
    r"(?:(?:(?:the|my|here(?:['’]s| is) (?:the|my)) )?(?:plan|steps?|actions?|commands?|tasks?)\b"
    r"|(?:(?:tool|function) )?calls?\b"
    r"|to (?:answer|find|do|solve|get|look)\b.*|let me\b(?! know).*|let['’]s\b.*|first\b.*"
    r"|(?:i|we)(?:['’]ll| will| need to| am going to|['’]m going to| should| must| have to)\b.*)?[\s.,!:：…*_`]*\Z",
    re.IGNORECASE,
)
_CLOSING = lazy_pattern(r"\W*(?:join|done|end|finish(?:ed)?|stop|end of plan)?\W*\Z", re.IGNORECASE)
_DOUBTED = lazy_pattern(
    r"\b(?:examples?|e\.g|not|without|never|if|unless|already|would|could|used|did)\b|n['’]t\b", re.IGNORECASE
)
_LONGEST = 1_000  # characters of a line that is looked at


class Commands:
    """Reads the lines of one reply that are no tasks.

    Args:
        tools: The parameters of each tool.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._heads = _heads(tuple(sorted(tools))) if tools else None
        self._found: list[Command] = []  # as long as there is nothing else
        self._only = True  # whether there is nothing else
        self._named: Command | None = None  # a line above that is the name of a tool

    def option(self, line: str, where: int) -> Command | None:
        """Read a line; return the command if it has an option or the name of a parameter."""
        named, self._named = self._named, None
        if self._heads is None or not line.strip():
            self._named = named
            return None
        if named and (given := _PARAMETER_LINE.match(line)) and self._is_parameter(named.tool, given["name"]):
            return None if _DESCRIBES.match(given["value"]) else named
        head = self._heads.match(line) if len(line) <= _LONGEST else None
        tool = self._tool(head["tool"]) if head else ""
        if head is None or not tool:
            self._read_other(line, named)
            return None
        command, rest = Command(tool, line.strip(), where + head.start("tool")), line[head.end("tool") :]
        if self._has_option(tool, rest):
            return command
        self._read_command(command, head, rest)
        return None

    def take(self) -> list[Command]:
        """Take the lines that look like commands, if the reply is nothing else."""
        found, self._found = self._found, []
        return found if self._only else []

    def _tool(self, written: str) -> str:
        if written in self._tools:
            return written
        return next((tool for tool in self._tools if tool.casefold() == written.casefold()), "")

    def _is_parameter(self, tool: str, name: str) -> bool:
        return name.casefold() in map(str.casefold, self._tools[tool])

    def _has_option(self, tool: str, rest: str) -> bool:
        if _OPTION.match(rest):
            return not _TELLS.search(rest)
        given = _NAMED.match(rest)
        if given is None or not self._is_parameter(tool, given["name"]):
            return False
        return not (_DESCRIBES.match(given["value"]) or (_TELLS.search(rest) and given["sign"] != "="))

    def _read_other(self, line: str, named: Command | None) -> None:
        """Read a line that begins with no tool: the value for one above, or what may stand around commands."""
        if named and not _DESCRIBES.match(line.strip()) and not _TELLS.search(line):
            self._found.append(named)
            return
        if self._only:
            around = _CLOSING.match(line) or (not self._found and _OPENING.match(line) and not _DOUBTED.search(line))
            self._only = bool(around)

    def _read_command(self, command: Command, head: re.Match[str], rest: str) -> None:
        """Read a line that begins with a tool."""
        parts = _REST.match(rest)
        assert parts is not None
        sign, value = parts["sign"] or "", parts["value"].strip("`*_\"' \t)]}>")
        is_exact = head["tool"] in self._tools or head["tool"].isupper()
        if value and not any(map(str.isalnum, value)):
            self._only = is_call = False
        elif not value:
            is_call = is_exact and not self._tools[command.tool] and not head["order"]
            self._named = command if self._tools[command.tool] else None
            self._only = self._only and (is_call or self._named is not None)
        else:
            is_sure = bool(head["order"]) or sign not in ("", ",", ";")
            is_call = bool(self._tools[command.tool]) and (is_exact or is_sure)
            is_call = is_call and not self._is_talk(value, sign, ordered=bool(head["order"]))
            self._only = self._only and is_call
        if is_call:
            self._found.append(command)

    def _is_talk(self, value: str, sign: str, *, ordered: bool) -> bool:
        """Whether what stands behind a tool's name speaks of it."""
        if _DESCRIBES.match(value.lstrip("(")) or _MEASURED.match(value) or self._is_list(value):
            return True
        if sign in ("", ",", ";") and not _ASKS.match(value):
            words = value.count(" ")
            return bool(_TELLS.search(value)) or (not ordered and words > 0 and value[-1] in ".!?")
        return sign not in ("", ",", ";") and value[-1] in ".!" and value.count(" ") > 3

    def _is_list(self, value: str) -> bool:
        """Whether there are only names of tools."""
        return all(word.casefold() in _JOINING or self._tool(word) for word in _BETWEEN.split(value))


@lru_cache(maxsize=64)
def _heads(tools: Collection[str]) -> re.Pattern[str]:
    names = "|".join(map(re.escape, sorted(tools, key=len, reverse=True)))
    return lazy_pattern(
        rf"{_LEAD}(?:functions?\.|tools?\.|default_api\.)?(?P<tool>{names})(?![\w-]|\.\w|[(（])", re.IGNORECASE
    )
