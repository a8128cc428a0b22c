r"""Calls written as JSON, under all the keys that models and providers use.

>>> read_calls([{"id": 1, "tool": "search", "args": {"query": "K2"}}], {"search": ["query"]})
[ForeignCall(tool='search', arguments='query="K2"', labels=('1',), after=())]
>>> native = {"function": {"name": "search", "arguments": "{\"query\": \"K2\"}"}}
>>> read_calls({"tool_calls": [native]}, {"search": ["query"]})
[ForeignCall(tool='search', arguments='query="K2"', labels=(), after=())]
>>> read_calls({"height": 8611}, {"search": ["query"]})
[]

May know: `json_arguments`, `calls`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llmcompiler_graph.core.language.json_arguments import UNREADABLE, arguments_text, json_argument, loaded
from llmcompiler_graph.core.language.notations.calls import ENDS, ForeignCall, Tools, tool_name

__all__ = ("WRAPPERS", "decoded", "named_call", "planned_in_words", "read_calls")

_LISTS = (
    *("plan", "tasks", "steps", "tool_calls", "calls", "tool_uses", "actions", "function_calls", "functions"),
    *("subtasks", "nodes", "tool_call", "function_call", "action"),
)
_INNER = ("function", "tool", "tool_call", "function_call", "action", "functionCall", "toolCall", "toolUse", "tool_use")
_SURE_TOOLS = ("tool", "tool_name", "toolName", "function", "function_name", "recipient_name", "action", "api", "call")
_TOOLS = (*_SURE_TOOLS, "name")
WRAPPERS = (
    *("arguments", "args", "parameters", "params", "action_input", "tool_input", "tool_args", "tool_parameters"),
    *("input", "inputs", "kwargs", "arguments_json", "argument"),
)
_AFTER = ("after", "depends_on", "dependsOn", "dependencies", "deps", "dep", "depends", "requires", "prerequisites")
_LABELS = (
    *("id", "task_id", "step_id", "call_id", "tool_call_id", "index", "idx", "number", "step", "task", "label", "key"),
    *("variable", "var", "output_var", "output_variable", "result_variable", "store_as", "save_as", "assign_to", "as"),
    *("output", "result", "name"),
)
_SAID = ("thought", "thoughts", "reasoning", "reason", "rationale", "description", "purpose", "comment", "type", "why")
_TOLD = ("output", "result", "observation", "response", "returned")
_NAME = re.compile(r"[^\W\d][\w.\-/:]*")
_WRITTEN_CALL = re.compile(
    r"\s*(?:(?P<index>\d{1,9})\s*[.):]\s*)?(?P<tool>[^\W\d][\w.\-/]*)\s*\((?P<arguments>.*)\)\s*", re.DOTALL
)
_LABEL = re.compile(r"[$#]?(?P<label>\w[\w\-]*)")
_DEPTH = 6


def decoded(value: Any) -> Any:
    """A value that was written as JSON in a string, or in a string in a string; else the value."""
    for _ in range(3):
        if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "[", '"'):
            break
        inner = loaded(value)
        if inner is UNREADABLE:
            break
        value = inner
    return value


def named_call(tool: str, given: Any, labels: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> ForeignCall:
    """The call of a tool with arguments that are JSON, as an object, a list or text, or written twice."""
    match decoded(given):
        case dict() as named:
            text = arguments_text(named)
        case None | "":
            text = ""
        case list() as positions:
            text = ", ".join(map(json_argument, positions))
        case other:
            text = json_argument(other)
    return ForeignCall(tool, text, labels, after)


def read_calls(value: Any, tools: Tools, depth: int = 0) -> list[ForeignCall]:
    """Read the calls in a JSON value, in order; none if it is about something else.

    Args:
        value: The value.
        tools: The parameters of each tool, if the tools are known.
        depth: How many lists and objects it stands in.
    """
    if depth > _DEPTH:
        return []
    match value:
        case list():
            return [call for element in value for call in read_calls(element, tools, depth + 1)]
        case str() if depth:
            return _written_out(value, tools)
        case dict():
            return list(_in_object(value, tools, depth))
    return []


def planned_in_words(value: Any, tools: Tools) -> str:
    """The first tool of a plan whose steps are sentences, `{"steps": ["search for K2"]}`; empty if it is none."""
    if not isinstance(value, dict):
        return ""
    steps = [step for key in _LISTS if isinstance(inner := value.get(key), list) for step in inner]
    first = (tool_name(step.split()[0].rstrip(":"), tools) for step in steps if isinstance(step, str) and step.strip())
    return next((word for word in first if word in tools), "")


def _in_object(value: dict[str, Any], tools: Tools, depth: int) -> Iterator[ForeignCall]:
    if _is_definition(value):
        return
    call = _call(value, tools)
    if call is not None:
        if tool_name(call.tool, {}) in ("parallel", "multi_tool_use.parallel") and "parallel" not in tools:
            inner = decoded(next((value[key] for key in WRAPPERS if key in value), None))
            yield from read_calls(inner, tools, depth + 1)
        else:
            yield call
        return
    for key in _LISTS:
        if isinstance(inner := value.get(key), list | dict | str):
            yield from read_calls(inner, tools, depth + 1)
            return
    own = {key: inner for key, inner in value.items() if key not in _SAID}
    if own and all(tool_name(key, tools) in tools for key in own):  # {"search": {"query": "K2"}}
        for key, inner in own.items():
            yield named_call(tool_name(key, tools), inner)


def _written_out(text: str, tools: Tools) -> list[ForeignCall]:
    """The calls of known tools in a string, if each of its lines is one: `1. search("K2")`."""
    found: list[ForeignCall] = []
    for line in filter(str.strip, text.split("\n")):
        written = _WRITTEN_CALL.fullmatch(line)
        if written is None or (tool := tool_name(written["tool"], tools)) not in tools:
            return found if written and written["tool"].lower() in ENDS else []
        found.append(ForeignCall(tool, written["arguments"], (written["index"],) if written["index"] else ()))
    return found


def _call(value: dict[str, Any], tools: Tools) -> ForeignCall | None:
    """The call that an object is, if it is one."""
    for key in _INNER:
        inner = value.get(key)
        if isinstance(inner, dict) and "name" in inner:  # {"function": {"name": …, "arguments": …}}
            return _call({**{k: v for k, v in value.items() if k not in (key, "name")}, **inner}, tools)
    key = next((key for key in _TOOLS if isinstance(value.get(key), str)), "")
    if not key and isinstance(task := value.get("task"), str) and tool_name(task, tools) in tools:
        key = "task"
    if not key:
        return None
    written = value[key]
    labels, after = _labels(value, key), _after(value)
    if (call := _WRITTEN_CALL.fullmatch(written)) and key != "name":  # {"call": "search(\"K2\")"}
        return ForeignCall(tool_name(call["tool"], tools), call["arguments"], labels, after)
    tool = tool_name(written, tools)
    known = tool in tools
    if not known and tool.casefold() not in ENDS and not _NAME.fullmatch(written):
        return None
    own = tools.get(tool, ())
    given = next((name for name in WRAPPERS if name in value), "")
    if given and (given not in own or isinstance(decoded(value[given]), dict)):
        if not (known or key in _SURE_TOOLS or isinstance(decoded(value[given]), dict)):
            return None
        return None if _is_told(value, (key, given)) else named_call(tool, value[given], labels, after)
    if not known or _is_told(value, (key, *own)):
        return None
    apart = {key, *_AFTER, *_LABELS, *_SAID}.difference(own)
    named = {name: inner for name, inner in value.items() if name not in apart}
    meant = tuple(label for label in labels if not any(str(named.get(name)) == label for name in _LABELS))
    return named_call(tool, named, meant, after)


def _is_definition(value: Mapping[str, Any]) -> bool:
    """Whether an object describes a tool instead of calling it."""
    inner = value.get("function")
    if isinstance(inner, dict):
        value = inner
    for key in ("parameters", "input_schema", "inputSchema", "args_schema"):
        schema = value.get(key)
        if isinstance(schema, dict) and (isinstance(schema.get("properties"), dict) or "$schema" in schema):
            return True
    return False


def _is_told(value: Mapping[str, Any], apart: tuple[str, ...]) -> bool:
    """Whether an object tells what came of a call."""
    told = [value[key] for key in _TOLD if key in value and key not in apart]
    return any(not isinstance(one, str) or not _LABEL.fullmatch(one.strip()) or one.strip().isdigit() for one in told)


def _labels(value: Mapping[str, Any], apart: str) -> tuple[str, ...]:
    found: list[str] = []
    for key in _LABELS:
        one = value.get(key) if key != apart else None
        if isinstance(one, bool) or not isinstance(one, int | str):
            continue
        if label := _LABEL.fullmatch(str(one).strip()):
            found.append(label["label"])
    return tuple(dict.fromkeys(found))


def _after(value: Mapping[str, Any]) -> tuple[str, ...]:
    found: list[str] = []
    for key in _AFTER:
        given = value.get(key)
        for one in given if isinstance(given, list) else [given]:
            if isinstance(one, bool) or not isinstance(one, int | str):
                continue
            for part in re.split(r"[\s,;]+", str(one).strip()):
                if label := _LABEL.fullmatch(part):
                    found.append(label["label"])
    return tuple(dict.fromkeys(found))
