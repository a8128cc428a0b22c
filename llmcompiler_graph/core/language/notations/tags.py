r"""Calls written between tags: what models were tuned to write, left in the text by servers that do not know it.

>>> read_tags("<function=search>\n<parameter=query>\nK2\n</parameter>\n</function>", {"search": ["query"]})
[ForeignCall(tool='search', arguments='query="K2"', labels=(), after=(), when='')]
>>> closing_tag('<invoke name="search">', {"search": ["query"]})
'</invoke>'

Tags around JSON (`<tool_call>{…}</tool_call>`) are only marks: the JSON is read wherever it stands.

May know: `json_arguments`; `blocks`, `calls`, `json_calls`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from llmcompiler_graph.core.language.json_arguments import UNREADABLE, loaded
from llmcompiler_graph.core.language.notations.blocks import State
from llmcompiler_graph.core.language.notations.calls import ForeignCall, Tools, tool_name
from llmcompiler_graph.core.language.notations.json_calls import decoded, named_call, read_calls
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("TagBlock", "closing_tag", "read_tags", "typed")

_BAR = "[|｜]"
_OPENINGS = (
    (lazy_pattern(r"<function(?:=|\s+name=)[^<>\n]+>"), "</function>"),
    (lazy_pattern(r"<tool_call>(?=\s*[^\W\d][\w.\-]*\s*(?:<|\Z))"), "</tool_call>"),
    (lazy_pattern(r"<tool_use(?:\s[^<>\n]*)?>(?=\s*(?:<|\Z))"), "</tool_use>"),
    (lazy_pattern(r"<function_call(?:\s[^<>\n]*)?>(?=\s*(?:<|\Z))"), "</function_call>"),
    (lazy_pattern(r"<tool(?:\s[^<>\n]*[^/<>\n])?>(?=\s*(?:[^\s{]|\Z))"), "</tool>"),
    (lazy_pattern(rf"<{_BAR}tool▁call▁begin{_BAR}>"), "<｜tool▁call▁end｜>"),
    (lazy_pattern(r"<\|tool_call_begin\|>"), "<|tool_call_end|>"),
)
_INVOKE = lazy_pattern(r"<(?P<space>(?:\w+:)?)invoke\s+name=[^<>\n]+>")
_CLOSED = lazy_pattern(
    r"<(?P<tag>tool|invoke|function|[^\W\d][\w.\-]*)(?P<attributes>(?:\s+[\w\-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*/>"
)
_NAMED = lazy_pattern(
    rf"""\s*(?:<function(?:=|\s+name=)["']?(?P<function>[^<>"'\n]+?)["']?>"""
    r"""|<(?:\w+:)?invoke\s+name=["']?(?P<invoke>[^<>"'\n]+?)["']?\s*>"""
    r"""|<(?:tool|tool_use|function_call)\s(?:[^<>\n]*\s)?(?:name|tool)=["'](?P<attribute>[^<>"'\n]+)["'][^<>\n]*>"""
    rf"""|<{_BAR}tool▁call▁begin{_BAR}>\s*(?:function\s*<{_BAR}tool▁sep{_BAR}>)?\s*(?P<deepseek>[^\W\d][\w.\-]*)"""
    r"""|<\|tool_call_begin\|>\s*(?P<kimi>[^\W\d][\w.\-:]*)"""
    r"""|<tool_call>\s*(?P<glm>[^\W\d][\w.\-]*)"""
    r"""|<(?:tool|tool_use|function_call)>\s*<(?P<child>name|tool_name|tool|function)>\s*(?P<name>[^<>]+?)\s*</(?P=child)>)"""
)
_CHILD = lazy_pattern(
    r"""<(?:\w+:)?(?:(?P<kind>parameter|param|arg|argument)(?:=|\s+name=)["']?(?P<key>[^<>"'\n]+?)["']?(?:\s[^<>\n]*)?"""
    r"""|(?P<tag>[^\W\d][\w.\-]*))>"""
)
_AROUND_JSON = lazy_pattern(r"\s*<(?:tool_use|function_call|tool_call|tool)[^<>]*>\s*(?=[{\[])")
_CLOSING = {"{": "}", "[": "]"}
_OWN = lazy_pattern(r"\s*<(?P<tag>[^\W\d][\w.\-]*)(?P<attributes>\s[^<>\n]*)?>")
_UNCLOSED = 50  # elements that are never closed: with more, the text is no call
_ATTRIBUTE = lazy_pattern(r"""([\w\-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_WHOLE = ("arguments", "args", "parameters", "params", "input", "inputs")
_NAMES = ("name", "tool_name", "tool", "function")


class TagBlock:
    """An element, up to the tag that closes it.

    Args:
        closing: That tag.
    """

    def __init__(self, closing: str) -> None:
        self._closing = closing

    def read(self, text: str, position: int, *, final: bool) -> tuple[int, State]:
        """Read up to the closing tag."""
        end = text.find(self._closing, position)
        if end >= 0:
            return end + len(self._closing), State.DONE
        return (len(text), State.NONE) if final else (max(position, len(text) - len(self._closing) + 1), State.MORE)

    def calls(self, text: str, tools: Tools) -> list[ForeignCall] | None:
        """Read what stands between the tags."""
        return read_tags(text, tools) or None


def closing_tag(line: str, tools: Tools, *, first: bool = True) -> str | None:
    """What ends the block of tags that a line begins, if it begins one that calls a tool.

    An element that is closed in its own tag, `<search query="K2"/>`, ends with that.

    Args:
        line: The line, or the rest of one.
        tools: The parameters of each tool.
        first: Whether it is the whole line: only there an element may be named after a tool.
    """
    if invoke := _INVOKE.match(line):
        return f"</{invoke['space']}invoke>"
    for opening, closing in _OPENINGS:
        if opening.match(line):
            return closing
    return _own_closing_tag(line, tools) if first else None


def _own_closing_tag(line: str, tools: Tools) -> str | None:
    if closed := _CLOSED.match(line):
        calls = closed["tag"] in ("tool", "invoke") or tool_name(closed["tag"], tools) in tools
        return "/>" if calls else None
    own = _OWN.match(line)
    return f"</{own['tag']}>" if own and own["tag"] in tools else None


def read_tags(text: str, tools: Tools) -> list[ForeignCall]:
    """Read the call in a block of tags; none if it cannot be read as one."""
    if (closed := _CLOSED.match(text)) and (call := _closed_call(closed, tools)):
        return [call]
    if inner := _AROUND_JSON.match(text):
        given = loaded(text[inner.end() : text.rfind(_CLOSING[text[inner.end()]]) + 1])
        return [] if given is UNREADABLE else read_calls(given, tools)
    if named := _NAMED.match(text):
        written = next(v for k, v in named.groupdict().items() if v and k != "child")
        return _between(tool_name(written, tools), text[named.end() :], tools)
    if own := _OWN.match(text):
        return _of_own_tag(own, text[own.end() :], tools)
    return []


def _of_own_tag(own: re.Match[str], body: str, tools: Tools) -> list[ForeignCall]:
    """The call of an element that is named after its tool, with the arguments as attributes or inside."""
    tool = tool_name(own["tag"], tools)
    if tool not in tools:
        return []
    given = {key: typed(one or other) for key, one, other in _ATTRIBUTE.findall(own["attributes"] or "")}
    return [named_call(tool, given)] if given else _between(tool, body, tools)


def _between(tool: str, body: str, tools: Tools) -> list[ForeignCall]:
    return [named_call(tool, _arguments(body, tools.get(tool, ())))] if tool else []


def _closed_call(closed: re.Match[str], tools: Tools) -> ForeignCall | None:
    given: dict[str, Any] = {key: one or other for key, one, other in _ATTRIBUTE.findall(closed["attributes"])}
    tool = closed["tag"]
    if tool_name(tool, tools) not in tools:
        tool = next((given.pop(name) for name in _NAMES if name in given), "")
    if not tool:
        return None
    whole = _whole(given, tools.get(tool, ()))
    arguments = given[whole] if whole else {key: typed(value) for key, value in given.items()}
    return named_call(tool_name(tool, tools), arguments)


def _whole(given: Iterable[str], parameters: Collection[str]) -> str:
    """The first name, if any, that stands for all arguments."""
    return next((name for name in _WHOLE if name in given and name not in parameters), "")


def _arguments(body: str, parameters: Collection[str]) -> Any:
    """The arguments between the tags of a call: JSON, elements, text, or nothing."""
    children = _children(body)
    if (given := _json_before(body, children)) is not UNREADABLE:
        return given
    found: dict[str, Any] = {}
    key = ""
    for child in children:
        if child.tag == "arg_key":
            key = child.value.strip()
        elif child.tag == "arg_value":
            found[key] = typed(child.value)
        elif _whole([child.tag], parameters):
            inner = decoded(child.value.strip())
            return inner if isinstance(inner, dict) else _arguments(child.value, parameters) or inner
        elif child.tag not in _NAMES or child.tag in parameters:
            found[child.key or child.tag] = typed(child.value)
    return found if children else re.sub(r"<[^<>]*>", "", body).strip() or None


def _json_before(body: str, children: Sequence[_Child]) -> Any:
    """The JSON that a text has before its first element."""
    start = re.search(r"[{\[]", body)
    if start is None or (children and children[0].start < start.start()):
        return UNREADABLE
    return loaded(body[start.start() : max(body.rfind("}"), body.rfind("]")) + 1])


class _Child(NamedTuple):
    start: int
    tag: str
    key: str
    value: str


def _children(body: str) -> list[_Child]:
    """The elements in a text, without those inside them."""
    found: list[_Child] = []
    position, unclosed = 0, 0
    while unclosed < _UNCLOSED and (opening := _CHILD.search(body, position)):
        closing = f"</{opening[0][1:].split('=')[0].split()[0].rstrip('>')}>"
        end = body.find(closing, opening.end())
        if end < 0:
            unclosed += 1
            position = opening.end()
            continue
        key = (opening["key"] or "").strip()
        found.append(_Child(opening.start(), opening["tag"] or "", key, body[opening.end() : end]))
        position = end + len(closing)
    return found


def typed(text: str) -> Any:
    """A value that stands between tags: a number, list or object if it is written as JSON would write it."""
    text = text.removeprefix("\n").removesuffix("\n")
    value = loaded(text.strip())
    if value is UNREADABLE or isinstance(value, str):
        return text
    return value if isinstance(value, list | dict) or json.dumps(value) == text.strip() else text
