r"""Calls written as JSON, under all the keys that models and providers use.

>>> read_calls([{"id": 1, "tool": "search", "args": {"query": "K2"}}], {"search": ["query"]})
[ForeignCall(tool='search', arguments='query="K2"', labels=('1',), after=(), when='')]
>>> native = {"function": {"name": "search", "arguments": "{\"query\": \"K2\"}"}}
>>> read_calls({"tool_calls": [native]}, {"search": ["query"]})
[ForeignCall(tool='search', arguments='query="K2"', labels=(), after=(), when='')]
>>> read_calls({"height": 8611}, {"search": ["query"]})
[]

May know: `json_arguments`, `calls`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from llmcompiler_graph.core.language.json_arguments import UNREADABLE, arguments_text, json_argument, loaded
from llmcompiler_graph.core.language.notations.calls import ENDS, ForeignCall, Tools, tool_name
from llmcompiler_graph.core.patterns import lazy_pattern

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
_WHEN = ("when", "if", "condition", "only_if", "onlyIf", "only_when", "run_if", "runIf", "guard", "precondition")
_OTHERWISE_WHEN = ("unless", "until", "while", "repeat_until", "else")  # what the plan language has not, or not here
_ALWAYS = (None, True, "", "true", "always", "none")
_AFTER = ("after", "depends_on", "dependsOn", "dependencies", "deps", "dep", "depends", "requires", "prerequisites")
_LABELS = (
    *("id", "task_id", "step_id", "call_id", "tool_call_id", "index", "idx", "number", "step", "task", "label", "key"),
    *("variable", "var", "output_var", "output_variable", "result_variable", "store_as", "save_as", "assign_to", "as"),
    *("output", "result", "name"),
)
_SAID = ("thought", "thoughts", "reasoning", "reason", "rationale", "description", "purpose", "comment", "type", "why")
_TOLD = ("output", "result", "observation", "response", "returned")
_NAME = lazy_pattern(r"[^\W\d][\w.\-/:]*")
_WRITTEN_CALL = lazy_pattern(
    r"\s*(?:(?P<index>\d{1,9})\s*[.):]\s*)?(?P<tool>[^\W\d][\w.\-/]*)\s*\((?P<arguments>.*)\)\s*", re.DOTALL
)
_LABEL = lazy_pattern(r"[$#]?(?P<label>\w[\w\-]*)")
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


def named_call(
    tool: str, given: Any, labels: tuple[str, ...] = (), after: tuple[str, ...] = (), when: str = ""
) -> ForeignCall:
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
    return ForeignCall(tool, text, labels, after, when)


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
    lists = (inner for key in _LISTS if isinstance(inner := value.get(key), list))
    words = (_first_word(step) for inner in lists for step in inner)
    return next((tool for word in words if (tool := tool_name(word, tools)) in tools), "")


def _first_word(step: Any) -> str:
    return step.split()[0].rstrip(":") if isinstance(step, str) and step.strip() else ""


def _in_object(value: dict[str, Any], tools: Tools, depth: int) -> Iterator[ForeignCall]:
    if _is_definition(value):
        return
    if (call := _call(value, tools)) is not None:
        yield from _of_several(value, tools, depth) if _is_parallel(call, tools) else (call,)
        return
    for key in _LISTS:
        if isinstance(inner := value.get(key), list | dict | str):
            yield from read_calls(inner, tools, depth + 1)
            return
    yield from _by_tool(value, tools)


def _is_parallel(call: ForeignCall, tools: Tools) -> bool:
    """Whether a call is of the tool for several calls that OpenAI's models make up."""
    return tool_name(call.tool, {}) in ("parallel", "multi_tool_use.parallel") and "parallel" not in tools


def _of_several(value: Mapping[str, Any], tools: Tools, depth: int) -> list[ForeignCall]:
    inner = decoded(next((value[key] for key in WRAPPERS if key in value), None))
    return read_calls(inner, tools, depth + 1)


def _by_tool(value: Mapping[str, Any], tools: Tools) -> Iterator[ForeignCall]:
    """The calls of an object whose keys are tools: `{"search": {"query": "K2"}}`."""
    own = {key: inner for key, inner in value.items() if key not in _SAID}
    if all(tool_name(key, tools) in tools for key in own):
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


class _Written(NamedTuple):
    """Where in an object a call is written, before it is known to be one."""

    value: dict[str, Any]
    """The object."""
    key: str
    """The key that names the tool."""
    tool: str
    """The tool."""
    is_known: bool
    """Whether there is such a tool."""
    own: Collection[str]
    """The names of its parameters."""
    labels: tuple[str, ...]
    """What the call is called."""
    after: tuple[str, ...]
    """What it waits for."""


def _call(value: dict[str, Any], tools: Tools) -> ForeignCall | None:
    """The call that an object is, if it is one."""
    for key in _INNER:
        inner = value.get(key)
        if isinstance(inner, dict) and "name" in inner:  # {"function": {"name": …, "arguments": …}}
            return _call({**{k: v for k, v in value.items() if k not in (key, "name")}, **inner}, tools)
    key = _tool_key(value, tools)
    if not key:
        return None
    labels, after = _labels(value, key), _after(value)
    if (call := _WRITTEN_CALL.fullmatch(value[key])) and key != "name":  # {"call": "search(\"K2\")"}
        return ForeignCall(tool_name(call["tool"], tools), call["arguments"], labels, after, _condition(value))
    tool = tool_name(value[key], tools)
    if tool not in tools and tool.casefold() not in ENDS and not _NAME.fullmatch(value[key]):
        return None
    written = _Written(value, key, tool, tool in tools, tools.get(tool, ()), labels, after)
    return _with_arguments(written)


def _condition(value: Mapping[str, Any], own: Collection[str] = ()) -> str:
    """What must hold for the call that an object is, unless that key is an argument of its own."""
    for key in (*_WHEN, *_OTHERWISE_WHEN):
        given = value.get(key)
        if key not in own and (given.lower() if isinstance(given, str) else given) not in _ALWAYS:
            text = given if isinstance(given, str) else json_argument(given)
            return text if key in _WHEN else f"{key} {text}"
    return ""


def _tool_key(value: Mapping[str, Any], tools: Tools) -> str:
    """The key of an object that names a tool; empty if none does."""
    key = next((key for key in _TOOLS if isinstance(value.get(key), str)), "")
    if not key and isinstance(task := value.get("task"), str) and tool_name(task, tools) in tools:
        return "task"
    return key


def _with_arguments(written: _Written) -> ForeignCall | None:
    """A call with its arguments: under one key, or as all other keys of its object."""
    value, own = written.value, written.own
    wrapper = next((name for name in WRAPPERS if name in value), "")
    given = decoded(value[wrapper]) if wrapper else None
    if not wrapper or (wrapper in own and not isinstance(given, dict)):
        return _unwrapped(written)
    is_call = written.is_known or written.key in _SURE_TOOLS or isinstance(given, dict)
    if not is_call or _is_told(value, (written.key, wrapper)):
        return None
    return named_call(written.tool, value[wrapper], written.labels, written.after, _condition(value))


def _unwrapped(written: _Written) -> ForeignCall | None:
    """A call of a known tool whose arguments stand beside its name."""
    value, own = written.value, written.own
    if not written.is_known or _is_told(value, (written.key, *own)):
        return None
    no_arguments = {written.key, *_AFTER, *_WHEN, *_OTHERWISE_WHEN, *_LABELS, *_SAID}.difference(own)
    named = {name: inner for name, inner in value.items() if name not in no_arguments}
    as_arguments = {str(named.get(name)) for name in _LABELS}
    labels = tuple(label for label in written.labels if label not in as_arguments)
    return named_call(written.tool, named, labels, written.after, _condition(value, own))


def _is_definition(value: Mapping[str, Any]) -> bool:
    """Whether an object describes a tool instead of calling it."""
    inner = value.get("function")
    described = inner if isinstance(inner, dict) else value
    return any(map(_is_schema, map(described.get, ("parameters", "input_schema", "inputSchema", "args_schema"))))


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict) and (isinstance(value.get("properties"), dict) or "$schema" in value)


def _is_told(value: Mapping[str, Any], arguments: Collection[str]) -> bool:
    """Whether an object tells what came of a call, under a key that is none of its arguments."""
    return any(key in value and key not in arguments and not _may_be_label(value[key]) for key in _TOLD)


def _may_be_label(given: Any) -> bool:
    return isinstance(given, str) and _LABEL.fullmatch(given.strip()) is not None and not given.strip().isdigit()


def _labels(value: Mapping[str, Any], tool_key: str) -> tuple[str, ...]:
    return _labels_in([value[key] for key in _LABELS if key in value and key != tool_key])


def _after(value: Mapping[str, Any]) -> tuple[str, ...]:
    parts: list[Any] = []
    for given in [value[key] for key in _AFTER if key in value]:
        for one in given if isinstance(given, list) else [given]:
            parts += re.split(r"[\s,;]+", one.strip()) if isinstance(one, str) else [one]
    return _labels_in(parts)


def _labels_in(given: Iterable[Any]) -> tuple[str, ...]:
    """What among these can name a task, without repeats."""
    texts = [str(one).strip() for one in given if type(one) in (int, str)]  # `True` is no label
    return tuple(dict.fromkeys(label["label"] for text in texts if (label := _LABEL.fullmatch(text))))
