r"""Makes a procedure of the tasks of a plan that went well: constants become parameters.

>>> from llmcompiler_graph.core.language.parser import parse_plan
>>> plan = parse_plan('3. search(query="height of K2")\n4. search(query="$3 in feet")')
>>> print(generalised(plan.tasks, "height", {"of": "K2"}))
height(of: str):
  1. search(query="height of ${of}")
  2. search(query="$1 in feet")

May know: `annotations`, `errors`, `guards`, `plan`, `procedures`, `references`, `schema`, `substitution`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from llmcompiler_graph.core.checking.schema import Schema, at_path, describe, mismatch
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.language.annotations import AnnotationError, read_annotation
from llmcompiler_graph.core.language.guards import Operand
from llmcompiler_graph.core.language.plan import Plan, Task, ToolSpec, mapped_conditions
from llmcompiler_graph.core.language.procedures import Procedure
from llmcompiler_graph.core.language.references import JSON, Reference, Spread, Template, Value, as_template
from llmcompiler_graph.core.language.substitution import as_text

__all__ = ("generalised",)


def generalised(
    tasks: Sequence[Task],
    name: str,
    constants: Mapping[str, JSON],
    tools: Iterable[ToolSpec] = (),
    description: str = "",
) -> Procedure:
    """Make a procedure of tasks.

    Args:
        tasks: They, in order; what they refer to is among them.
        name: What it is called.
        constants: What each of its parameters was in this plan, by name. Wherever that stands, as an argument, an
            element or a word of a text, the parameter stands instead.
        tools: What is known of the tools: their schemas give the parameters' types. Else the constants do.
        description: What it does.

    Raises:
        ConfigurationError: A constant is nowhere in the plan, or two parameters have the same.
    """
    seen: dict[str, str] = {}
    for parameter, constant in constants.items():
        key = json.dumps(constant, sort_keys=True)
        if key in seen:
            both = f"{seen[key]!r} and {parameter!r}"
            msg = f"the parameters {both} are both {constant!r:.80}: which is which cannot be told"
            raise ConfigurationError(msg)
        seen[key] = parameter
    writer = _Writer(constants, {tool.name: tool for tool in tools})
    numbers = {task.index: n for n, task in enumerate(tasks, 1)}
    made = [writer.write(task.renumbered(numbers)) for task in tasks]
    for parameter, constant in constants.items():
        if parameter not in writer.used:
            msg = f"the parameter {parameter!r} is {constant!r:.80}, which is no argument of the plan nor a word of one"
            raise ConfigurationError(msg)
    types = {parameter: writer.type_of(parameter) for parameter in constants}
    return Procedure(name, types, Plan(tuple(made)), description)


class _Writer:
    """Puts parameters in place of constants, and notes where."""

    def __init__(self, constants: Mapping[str, JSON], tools: Mapping[str, ToolSpec]) -> None:
        self._constants = constants
        self._tools = tools
        self._parameters = {name: Reference(-1 - n, (), name) for n, name in enumerate(constants)}
        self.used: dict[str, list[tuple[Schema, ToolSpec]]] = {}
        """Where each parameter stands: the schemas that its values must fit."""
        words = [name for name, constant in constants.items() if _is_word(constant)]
        self._words = sorted(words, key=lambda name: -len(as_text(constants[name])))  # the longest first

    def write(self, task: Task) -> Task:
        tool = self._tools.get(task.tool, ToolSpec(task.tool))
        arguments = {
            name: self._value(value, tool.parameters.get(name), tool) for name, value in task.arguments.items()
        }
        conditions = mapped_conditions(task, lambda operand: self._operand(operand, tool))
        return replace(task, **conditions, arguments=arguments, thought="", line=1, column=1, reserved=())

    def type_of(self, parameter: str) -> str:
        """The type of a parameter: that of all places where it stands, if they agree, else that of its constant."""
        constant = self._constants[parameter]
        named = {describe(schema, tool.definitions) for schema, tool in self.used[parameter]}
        for written in named if len(named) == 1 else ():
            try:
                if written != "Any" and mismatch(constant, read_annotation(written)) is None:
                    return written
            except AnnotationError:
                pass
        return _type_of(constant)

    def _value(self, value: Value, schema: Schema, tool: ToolSpec) -> Value:
        for name, constant in self._constants.items():
            if type(value) is type(constant) and value == constant:
                self.used.setdefault(name, []).append((schema, tool))
                return self._parameters[name]
        match value:
            case str():
                return self._text([value], tool)
            case Template(parts):
                return self._text(parts, tool)
            case Spread(elements):
                return Spread(tuple(self._value(element, schema, tool) for element in elements))
            case list():
                inner = at_path(schema, (0,), tool.definitions) if _is_array(schema) else None
                return [self._value(element, inner, tool) for element in value]
            case dict():
                return {key: self._value(element, None, tool) for key, element in value.items()}
            case _:
                return value

    def _operand(self, operand: Operand, tool: ToolSpec) -> Operand:
        """What stands in place of a value that a guard compares."""
        for name, constant in self._constants.items():
            if type(operand) is type(constant) and operand == constant:
                self.used.setdefault(name, []).append((_schema_of(constant), tool))
                return self._parameters[name]
        return operand

    def _text(self, parts: Sequence[str | Reference], tool: ToolSpec) -> Value:
        """Text in which constants stand as words."""
        pieces: list[str | Reference] = list(parts)
        for name in self._words:
            constant = self._constants[name]
            split: list[str | Reference] = []
            for piece in pieces:
                if not isinstance(piece, str):
                    split.append(piece)
                    continue
                first, *others = _split(piece, as_text(constant))
                split.append(first)
                for text in others:
                    self.used.setdefault(name, []).append((_schema_of(constant), tool))
                    split += [self._parameters[name], text]
            pieces = split
        return as_template(pieces)


def _split(text: str, word: str) -> list[str]:
    """A text at the places where a word stands that is no part of another."""
    texts, begun = list[str](), 0
    for match in re.finditer(re.escape(word), text):
        start, end = match.span()
        joined = _belongs(text[start - 1 : start], word[0]) or _belongs(word[-1], text[end : end + 1])
        decimal = word[0].isdigit() and (re.search(r"\d\.$", text[:start]) or re.match(r"\.\d", text[end:]))
        if not joined and not decimal:
            texts.append(text[begun:start])
            begun = end
    return [*texts, text[begun:]]


def _belongs(before: str, behind: str) -> bool:
    """Whether two characters next to each other are of one word; in writings without spaces, that cannot be told."""
    return all(each.isdigit() or each.upper() != each.lower() for each in (before, behind))


def _is_word(constant: JSON) -> bool:
    return (
        isinstance(constant, str | int | float) and not isinstance(constant, bool) and as_text(constant).strip() != ""
    )


def _is_array(schema: Schema) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "array"


def _type_of(constant: JSON) -> str:
    match constant:
        case None:
            return "Any"
        case list():
            kinds = {_type_of(element) for element in constant}
            return f"list[{kinds.pop()}]" if len(kinds) == 1 else "list"
        case _:
            return type(constant).__name__


def _schema_of(constant: JSON) -> Schema:
    return read_annotation(_type_of(constant))
