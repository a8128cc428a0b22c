r"""Blocks of text that hold calls in another notation: where one begins and ends, and its calls. Here those of JSON.

>>> tools = {"search": ["query"]}
>>> text = '<tool_call>{"name": "search", "arguments": {"query": "K2"}}</tool_call>'
>>> start, block = json_opening(text, 0, tools)
>>> end, state = block.read(text, start, final=False)
>>> text[start:end], block.calls(text[start:end], tools)[0].arguments
('{"name": "search", "arguments": {"query": "K2"}}', 'query="K2"')

A block that does not end, or cannot be read, was none: its lines are then read as any others.

May know: `balance`, `call_syntax`, `json_arguments`, `lines`, `plan`, `references`; `calls` and `json_calls`.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Any, Protocol

from llmcompiler_graph.core.language import lines
from llmcompiler_graph.core.language.balance import Balance
from llmcompiler_graph.core.language.call_syntax import CallSyntaxError, parse_arguments
from llmcompiler_graph.core.language.json_arguments import UNREADABLE, loaded
from llmcompiler_graph.core.language.notations.calls import ForeignCall, Tools, tool_name
from llmcompiler_graph.core.language.notations.json_calls import named_call, planned_in_words, read_calls
from llmcompiler_graph.core.language.plan import template_text
from llmcompiler_graph.core.language.references import Reference, Template, Value
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = (
    "Block",
    "JsonBlock",
    "State",
    "is_json_pending",
    "json_opening",
    "named_tool",
    "read_leniently",
    "read_value",
)


class State(Enum):
    """How far a block has been read."""

    MORE = auto()
    """It needs more text."""
    DONE = auto()
    """It has ended."""
    NONE = auto()
    """It is none: it does not end."""


class Block(Protocol):
    """A block while it is read."""

    def read(self, text: str, position: int, *, final: bool) -> tuple[int, State]:
        """Read on at a position of the text, which may be let go of up to the position that is returned."""

    def calls(self, text: str, tools: Tools) -> list[ForeignCall] | None:
        """The calls in the whole block; `None` if it cannot be read."""


_MARK = (
    r"(?:<[|｜][^<>\n]{1,60}[|｜]>|</?(?:\w+:)?(?:tool_calls?|function_calls?|functioncall|tool_code|tools?|calls?|plan|json|python)>"
    r"|\[/?TOOL_CALLS?\]|\[ARGS\]|`{1,3}(?:json|python|tool_code|tool_calls?)?|functools(?=[ \t]*\[)|✿\w+✿:?"
    r"|multi_tool_use\.parallel[ \t]*\((?=[ \t]*\{)|(?:assistant|commentary|analysis|json)(?=[ \t]*(?:<\||to=|\{))"
    r"|>>>|[ \t,;])"
)
_LABEL = (
    r"(?:(?:next |the )?(?:action(?:s| input)?|plan|json|tool[ _]calls?|function[ _]calls?|calls?|arguments?|output"
    r"|tasks?|response)[ \t]*\d*[ \t]*[:：][ \t]*)?"
)
_NAME = (
    r"(?:(?:to=)?(?:functions?\.)?(?P<name>[^\W\d][\w.\-]*)(?::\d+)?"
    r"(?:[ \t]|:|：|->|=>|\[ARGS\]|<\|[^<>\n]*\|>|json|`{3})*)?"
)
_OPENING = lazy_pattern(
    rf"(?:{lines.INDEX})?{_MARK}*+(?:[-*+•][ \t]+)?{_LABEL}{_MARK}*{_NAME}"
    r"(?:(?P<list>\[)\s*(?=\{))?(?P<open>\{|\[(?=\s*[\"'\[\]$\d-]))",
    re.IGNORECASE,
)
_PENDING = lazy_pattern(rf"(?:{lines.INDEX})?{_MARK}*+{_LABEL}{_MARK}*\[\s*[\w.\-/]*\Z", re.IGNORECASE)
_NAMED = lazy_pattern(
    rf"{_MARK}*+(?:to=)?(?:functions?\.)?(?P<name>[^\W\d][\w.\-]*)(?::\d+)?[:：`\s]*\Z", re.IGNORECASE
)


def json_opening(text: str, position: int, tools: Tools) -> tuple[int, JsonBlock] | None:
    """The JSON that a line begins, behind marks and a label, and where it starts; of a list, its first object."""
    found = _OPENING.match(text, position, position + lines.LONGEST_HEAD)
    if found is None:
        return None
    name = ""
    if found["name"]:
        name = tool_name(found["name"], tools)
        if name not in tools or found["list"] or found["open"] == "[":  # `search[K2]`
            return None
    return found.start("open"), JsonBlock(name, found["index"] or "")


def named_tool(line: str, tools: Tools) -> str:
    """The tool that a line names and nothing else, as some models do above its arguments; empty if it is none."""
    found = _NAMED.match(line)
    name = tool_name(found["name"], tools) if found else ""
    return name if name in tools else ""


def is_json_pending(text: str, position: int) -> bool:
    """Whether what stands at a position may turn out to be JSON, or a list of calls, on the lines below."""
    return len(text) - position < lines.LONGEST_HEAD and bool(_PENDING.match(text, position))


class JsonBlock:
    """A JSON value.

    Args:
        name: The tool it is for, if that stands before it.
        label: The number before it.
    """

    def __init__(self, name: str = "", label: str = "") -> None:
        self.name = name
        """The tool it is for, if that stands before it."""
        self.in_words = ""
        """The first tool of a plan of sentences, if it turns out to be one."""
        self._labels = (label,) if label else ()
        self._balance = Balance()
        self._at_line = False

    def read(self, text: str, position: int, *, final: bool) -> tuple[int, State]:
        """Read up to the bracket that closes it; a line that begins a task shows that none will."""
        while position < len(text):
            if self._at_line:
                head = lines.head_follows(text, position, final=final)
                if head is None:
                    return position, State.MORE
                if head:
                    return position, State.NONE
                self._at_line = False
            newline = text.find("\n", position) + 1
            line = text[position:newline] if newline else text[position:]
            end = self._balance.feed(line)
            if end is not None:
                return position + end, State.DONE
            position += len(line)
            self._at_line = bool(newline) and not self._balance.quote
        return position, State.NONE if final else State.MORE

    def calls(self, text: str, tools: Tools) -> list[ForeignCall] | None:
        """Read it, as strictly as it was written."""
        value = read_value(text)
        if value is UNREADABLE:
            return None
        found = read_calls(value, tools)
        if self.name and [call.tool for call in found] != [self.name]:
            return [named_call(self.name, value, self._labels)]
        if not self.name:
            self.in_words = "" if found else planned_in_words(value, tools)
        return [found[0]._replace(labels=self._labels)] if self._labels and len(found) == 1 else found


def read_value(text: str) -> Any:
    """Read a JSON value, or what is almost one."""
    value = loaded(text)
    return read_leniently(text) if value is UNREADABLE else value


def read_leniently(text: str) -> Any:
    """Read what is almost JSON: with Python's quotes and words, bare references, commas at the end, comments."""
    without = re.sub(r"(?m)(^|[,{\[}\]])[ \t]*//[^\n\"']*$", r"\1", text)
    try:
        arguments = parse_arguments(without, is_task=lambda index: True)
    except CallSyntaxError:
        return UNREADABLE
    return _as_json(arguments.positional[0]) if len(arguments.positional) == 1 else UNREADABLE


def _as_json(value: Value) -> Any:
    """A value with its references written out, as they stand in JSON."""
    match value:
        case Reference():
            return value.braced
        case Template(parts):
            return template_text(parts)
        case str():
            return value.replace("$", "$$")
        case list():
            return [_as_json(element) for element in value]
        case dict():
            return {key: _as_json(element) for key, element in value.items()}
        case _:
            return value
