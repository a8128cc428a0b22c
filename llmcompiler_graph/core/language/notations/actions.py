r"""Calls that whole lines show: ReAct's `Action:` and its input, ReWOO's `#E1 = search[K2]`, tags behind prose.

>>> at, block = line_opening("Action: search", {"search": ["query"]})
>>> text = "Action: search\nAction Input: K2\nObservation: a mountain"
>>> end, state = block.read(text, at, final=False)
>>> text[end:], block.calls(text[:end], {"search": ["query"]})[0].arguments
('Observation: a mountain', '"K2"')

May know: `balance`, `json_arguments`, `lines`; `blocks`, `calls`, `json_calls`, `tags`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import islice
from typing import Any

from llmcompiler_graph.core.language import lines
from llmcompiler_graph.core.language.balance import Balance
from llmcompiler_graph.core.language.json_arguments import UNREADABLE
from llmcompiler_graph.core.language.notations.blocks import Block, State, read_value
from llmcompiler_graph.core.language.notations.calls import (
    ENDS,
    ForeignCall,
    Tools,
    is_nearly_tool,
    raw_argument,
    tool_name,
)
from llmcompiler_graph.core.language.notations.json_calls import named_call
from llmcompiler_graph.core.language.notations.tags import TagBlock, closing_tag, typed
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("TOLD", "ActionBlock", "bracket_call", "later_opening", "line_opening")

_ACTION = lazy_pattern(
    r"[\s>*_#-]*(?P<label>action|tool|function|✿function✿)[ \t]*\d*[*_]*[ \t]*[:：][*_\s]*"
    r"[`\"']?(?P<tool>[^\W\d][\w.\-/]*)[`\"']?[*_\s]*(?:\[(?P<text>.*)\]\W*)?\Z",
    re.IGNORECASE,
)
_INPUT = lazy_pattern(
    r"[\s>*_#-]*(?:(?:action|tool|function)[ _]?(?:input|args?|arguments|parameters)|input|args|arguments|parameters"
    r"|✿args✿)[ \t]*\d*[*_]*[ \t]*[:：][*_]*",
    re.IGNORECASE,
)
_NEXT = lazy_pattern(
    r"[\s>*_#-]*(?:observation|thought|action|final answer|question|plan|answer|✿\w+✿)[ \t]*\d*[*_]*[ \t]*[:：]",
    re.IGNORECASE,
)
TOLD = lazy_pattern(r"[\s>*_#-]*observation[ \t]*\d*[*_]*[ \t]*[:：][*_]*[ \t]*[^\s*_]", re.IGNORECASE)
"""A line in which a model writes what a tool should have returned."""
_LATER = lazy_pattern(
    r"<(?:tool_call|function_calls?|tool_use|tool)>|<function=|<(?:\w+:)?invoke\s|<[|｜]tool[^<>\n]*[|｜]>|\[TOOL_CALLS\]"
    r"|<\|python_tag\|>|<\|channel\|>\w*\s*to=|#E\d{1,9}\s*=\s*[^\W\d][\w.\-/]*\s*\("
)
_PAIR = lazy_pattern(r"[-*]?\s*[\"']?(?P<key>[^\W\d]\w*)[\"']?\s*:\s*(?P<value>.*?),?")
_FENCE = lazy_pattern(r"`{1,3}(?:json|text|python)?")
_LONGEST = 4_000  # characters of a line that is looked at as a whole
_TAGS = 20  # looked at in one line
_BRACKETED = lazy_pattern(
    r"(?:\A|[\s:])#?(?P<label>E\d{1,9})\s*[=:]\s*(?P<tool>[^\W\d][\w.\-/]*)\s*\[(?P<text>.*)\]\W*\Z", re.DOTALL
)


def line_opening(line: str, tools: Tools) -> tuple[int, Block] | None:
    """The block of tags that a whole line holds, or the action that it begins, and where in the line it starts."""
    for tag in islice(re.finditer("<", line), _TAGS):
        before = line[: tag.start()]
        if closing := closing_tag(line[tag.start() :], tools, first=not before.strip(" \t`")):
            return tag.start(), TagBlock(closing)
    action = _ACTION.match(line) if len(line) <= _LONGEST else None
    if action is None or action["tool"].casefold() in ENDS:
        return None
    tool = tool_name(action["tool"], tools)
    known = not tools or tool in tools or is_nearly_tool(tool, tools)
    return 0, ActionBlock(tool, action["text"], sure=action["label"].casefold() == "action" and known)


def bracket_call(line: str, tools: Tools) -> tuple[int, ForeignCall] | None:
    """The call in a line such as `Plan: find K2 #E1 = search[K2]`, and where it stands in it."""
    found = _BRACKETED.search(line) if len(line) <= _LONGEST else None
    if found is None:
        return None
    call = ForeignCall(tool_name(found["tool"], tools), raw_argument(found["text"]), (found["label"],))
    return found.start("tool"), call


def later_opening(line: str) -> int | None:
    """Where in a line of prose a call in tags begins, or one that is given a name."""
    found = next((one for one in _LATER.finditer(line) if line[: one.start()].strip()), None)
    return found.start() if found else None


class ActionBlock:
    """`Action: search` and the `Action Input:` below it.

    Args:
        tool: The tool.
        text: Its input, where that stands in brackets behind it.
        sure: Whether it is a call without any input too.
    """

    def __init__(self, tool: str, text: str | None, *, sure: bool) -> None:
        self._tool = tool
        self._input: list[str] | None = None if text is None else [text]
        self._bracketed = text is not None
        self._sure = sure
        self._begun = False  # whether its own line was read
        self._balance = Balance()

    def read(self, text: str, position: int, *, final: bool) -> tuple[int, State]:
        """Read up to the line before the next label, task or blank line behind the input."""
        while position < len(text):
            end = text.find("\n", position)
            if end < 0 and not final:
                break
            line = text[position:] if end < 0 else text[position:end]
            ends = self._ends(line)
            if ends is None:
                return position, State.DONE
            position = min(position + len(line) + 1, len(text))
            if ends:
                return position, State.DONE
        return position, State.DONE if final else State.MORE

    def _ends(self, line: str) -> bool | None:
        """Whether the block ends with a line; `None` if it ends before it."""
        if not self._begun:
            self._begun = True
            return self._bracketed
        if self._input is None:
            if not line.strip():
                return False
            found = _INPUT.match(line)
            if found is None:
                return None
            line = line[found.end() :]
            self._input = []
        elif not self._balance.begun and self._is_next(line):
            return None
        self._input.append(line)
        if self._balance.begun or self._may_be_json():
            return self._balance.feed(f"{line}\n") is not None
        return False

    def _is_next(self, line: str) -> bool:
        """Whether a line is behind the input: a label, a task, or a blank one once there is something."""
        if _NEXT.match(line) or lines.head_at(line, 0):
            return True
        return not line.strip() and bool("".join(self._input or ()).strip())

    def _may_be_json(self) -> bool:
        """Whether the input begins as JSON does, in its first lines."""
        given = self._input or []
        return len(given) < 4 and _without_fence("\n".join(given))[:1] in {"{", "["}

    def calls(self, text: str, tools: Tools) -> list[ForeignCall] | None:
        """Read the input: JSON, call syntax, or text that is the only argument."""
        if self._input is None:
            return [ForeignCall(self._tool, "")] if self._sure else None
        given = _without_fence("\n".join(self._input))
        value = read_value(given) if given[:1] in ("{", "[") else UNREADABLE
        if value is UNREADABLE:
            value = _pairs(given, tools.get(self._tool, ())) or UNREADABLE
        call = ForeignCall(self._tool, raw_argument(given)) if value is UNREADABLE else named_call(self._tool, value)
        return [call]


def _without_fence(text: str) -> str:
    """A text without the code fence around it."""
    text = text.strip()
    if text[:1] != "`":
        return text
    fence = _FENCE.match(text)
    assert fence is not None
    return text[fence.end() :].rstrip("` \t\r\n").lstrip()


def _pairs(text: str, parameters: Collection[str]) -> dict[str, Any]:
    """Arguments in lines of their own, `query: K2`; empty if these are no such lines."""
    found = [_PAIR.fullmatch(line.strip()) for line in text.split("\n") if line.strip()]
    if not found or not all(pair and pair["key"] in parameters for pair in found):
        return {}
    return {pair["key"]: typed(pair["value"].strip("\"'")) for pair in found if pair}
