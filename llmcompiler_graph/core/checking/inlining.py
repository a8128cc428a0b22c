"""Inlining: the tasks that stand in place of a call of a procedure.

The last of them has the call's index, so that what refers to the call refers to the procedure's result. Where the call
fans out, `${2[*].name}`, each task that takes an element fans out in turn: in the plan, the procedure's first task runs
for all elements, then its second, as their inputs exist. What takes no element runs once.

May know: `errors`, `expressions`, `guards`, `plan`, `references`, `repetition`, `substitution`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from llmcompiler_graph.core.checking.expressions import arithmetic
from llmcompiler_graph.core.errors import ObservationPathError
from llmcompiler_graph.core.language.guards import All, Guard, Operand, Truth, folded, guard_references, map_guard
from llmcompiler_graph.core.language.plan import Task, ToolSpec
from llmcompiler_graph.core.language.references import (
    ALL,
    JSON,
    Path,
    Reference,
    Spread,
    Template,
    Value,
    as_template,
    references,
)
from llmcompiler_graph.core.language.repetition import Repetition
from llmcompiler_graph.core.language.substitution import as_text
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("InliningError", "inlined")

_NUMBER = lazy_pattern(r"\d+(?:\.\d+)?")


class InliningError(Exception):
    """A call fits the procedure's parameters, but its tasks cannot stand in its place.

    Attributes:
        code: The diagnostic's code.
        hint: What to do instead.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        self.code = code
        self.hint = hint
        super().__init__(message)


def inlined(
    call: Task,
    body: Sequence[Task],
    tools: Mapping[str, ToolSpec],
    *,
    parameters: Mapping[str, JSON],
    indices: Sequence[int],
) -> list[Task]:
    """Write the tasks of a procedure with a call's arguments.

    Args:
        call: The call, with its arguments by name.
        body: The procedure's tasks, with their arguments by name.
        tools: What is known of the tools, by name.
        parameters: The procedure's parameters, in order, each with its default (`None` if it has none).
        indices: Those that the tasks get but the last, which gets the call's.

    Raises:
        InliningError: They cannot stand in its place.
    """
    if call.until is not None:
        message = f"{call.tool!r} is a procedure, so it is not called until something holds"
        raise InliningError("repeated-procedure", message, "repeat a call inside it")
    values = {-1 - n: call.arguments.get(name, _as_value(d)) for n, (name, d) in enumerate(parameters.items())}
    writer = _Writer(call, body, values, dict(zip((task.index for task in body), (*indices, call.index), strict=True)))
    if writer.elements:
        _check_elements(call, body, writer.elements, tools)
    return [writer.write(task, tools.get(task.tool)) for task in body]


def _as_value(constant: JSON) -> Value:
    return cast("Value", constant)


def _check_elements(call: Task, body: Sequence[Task], elements: set[int], tools: Mapping[str, ToolSpec]) -> None:
    """Refuse a call that fans out over a procedure which cannot be run for each element.

    Raises:
        InliningError: It says why.
    """
    name, last = call.tool, body[-1]
    if last.index not in elements:
        message = f"{name!r} returns the same for every element: its last task takes none of the arguments with `[*]`"
        raise InliningError("fan-out-result", message, "call it once, without `[*]`")
    for task in body:
        if not elements.isdisjoint(_decides(task)):
            message = f"{name!r} cannot be run for every element: whether it calls {task.tool!r} depends on the element"
            raise InliningError("fan-out-guard", message, "write its tasks out")
        if task.index in elements and task.fans_out:
            message = f"{name!r} cannot be run for every element: its call of {task.tool!r} fans out itself"
            raise InliningError("nested-fan-out", message, "call it for one element, or write its tasks out")
        tool = tools.get(task.tool)
        if task.index not in elements and tool is not None and tool.waits_for_plan:
            message = f"{name!r} cannot be run for every element: its call of {task.tool!r} would be made only once"
            raise InliningError("fan-out-effect", message, "write its tasks out")


def _decides(task: Task) -> set[int]:
    """What decides whether a task runs, or runs again, besides what it returns itself."""
    conditions = [task.when] if task.when is not None else []
    conditions += [task.until.condition] if task.until is not None else []
    return {each.index for guard in conditions for each in guard_references(guard)} - {task.index}


class _Writer:
    """Writes the tasks of a procedure with a call's arguments.

    Args:
        call: The call.
        body: The procedure's tasks.
        values: The arguments, by the index of their parameter.
        renamed: The new index of each task.
    """

    def __init__(
        self, call: Task, body: Iterable[Task], values: Mapping[int, Value], renamed: Mapping[int, int]
    ) -> None:
        self._call, self._values, self._renamed = call, values, renamed
        self.elements = {n for n, value in values.items() if _fans_out(value)}
        """What takes an element where the call fans out: parameters and tasks, by index."""
        self._thought = call.thought
        for task in body:
            if not self.elements.isdisjoint(task.reads):
                self.elements.add(task.index)

    def write(self, task: Task, tool: ToolSpec | None) -> Task:
        """Write one of its tasks."""
        after = [self._renamed[n] for n in task.after]
        when = self._guard(task.when) if task.when is not None else None
        if not after and all(n < 0 for n in task.reads):  # the others need one of these
            after = [*self._call.after]
            both = tuple(each for each in (self._call.when, when) if each is not None)
            when = All(both) if len(both) > 1 else next(iter(both), None)
        when = self._folded(when) if when is not None else None
        until = self._repetition(task, task.until) if task.until is not None else None
        thought, self._thought = "\n".join(filter(None, (self._thought, task.thought))), ""
        arguments = {
            name: self._argument(value, expression=tool is not None and _is_expression(name, tool))
            for name, value in task.arguments.items()
        }
        return replace(
            task,
            when=when,
            until=until,
            index=self._renamed[task.index],
            arguments=arguments,
            after=tuple(dict.fromkeys(after)),
            thought=thought,
            line=self._call.line,
            column=self._call.column,
        )

    def _guard(self, guard: Guard, own: int | None = None) -> Guard:
        """A guard in other words; `own` is the task whose own observation it is about, never that of all elements."""

        def operand(value: Operand) -> Operand:
            if own is not None and isinstance(value, Reference) and value.index == own:
                return replace(value, index=self._renamed[own])
            return self._operand(value)

        try:
            return map_guard(guard, operand)
        except TypeError as error:
            message = f"{self._call.tool!r} takes what is true or false for `{guard}`, not {error}"
            raise InliningError("argument-in-guard", message) from None

    def _repetition(self, task: Task, until: Repetition) -> Repetition:
        condition, own = self._folded(self._guard(until.condition, task.index)), self._renamed[task.index]
        if condition is None or all(each.index != own for each in guard_references(condition)):
            message = (
                f"the arguments of {self._call.tool!r} decide `{until.condition}`: what is returned does not matter"
            )
            raise InliningError("argument-in-guard", message)
        return replace(until, condition=condition)

    def _folded(self, guard: Guard) -> Guard | None:
        """A guard without what the arguments decide."""
        try:
            decided = folded(guard)
        except ObservationPathError as error:
            raise InliningError("argument-in-guard", f"{self._call.tool!r}: {error}") from None
        return Truth(value=False) if decided is False else None if decided is True else decided

    def _operand(self, operand: Operand) -> Operand:
        """What stands in place of a value that a guard compares."""
        if not isinstance(operand, Reference):
            return operand
        value = self._whole(operand)
        if isinstance(value, Reference) or not any(True for _ in references(value)):
            return cast("Operand", value)
        message = f"{self._call.tool!r} compares `{operand}`, which cannot be text or a list with references in it"
        raise InliningError("argument-in-guard", message, "give it one `$N`, or a constant")

    def _argument(self, value: Value, *, expression: bool) -> Value:
        """A whole argument: it alone may be a list that fans out."""
        match value:
            case Reference():
                return self._whole(value)
            case Spread(elements):
                return Spread(tuple(self._value(element, expression=expression) for element in elements))
            case _:
                return self._value(value, expression=expression)

    def _value(self, value: Value, *, expression: bool) -> Value:
        match value:
            case Reference():
                return self._one(value)
            case Template(parts):
                return self._text(parts, expression=expression)
            case list():
                return [self._value(element, expression=False) for element in value]
            case dict():
                return {key: self._value(element, expression=False) for key, element in value.items()}
            case _:
                return value

    def _whole(self, reference: Reference) -> Value:
        """What stands in place of a reference that is all of an argument, or of an element."""
        if reference.index > 0:
            each: Path = (ALL,) if reference.index in self.elements else ()
            return Reference(self._renamed[reference.index], each + reference.path)
        return self._at_path(self._values[reference.index], reference.path, reference)

    def _one(self, reference: Reference) -> Value:
        """The same where only one value can stand: within an argument."""
        value = self._whole(reference)
        if isinstance(value, Spread):
            message = f"{self._call.tool!r} puts each element of `{reference}` into a larger value"
            hint = "give it the list that a task returned, as `$N`"
            raise InliningError("argument-elements", message, hint)
        return value

    def _at_path(self, value: Value, path: Path, reference: Reference) -> Value:
        if isinstance(value, Reference):
            return replace(value, path=value.path + path)
        if not path:
            return value
        key, rest = path[0], path[1:]
        match value:
            case dict() if isinstance(key, str) and key in value:
                return self._at_path(value[key], rest, reference)
            case list() if isinstance(key, int) and -len(value) <= key < len(value):
                return self._at_path(value[key], rest, reference)
            case Spread(elements):
                return self._each(elements, path, reference)
            case list() if key is ALL:
                return self._each(value, rest, reference)
        message = f"{self._call.tool!r} takes `{reference}`, which is not in `{reference.name}` as it is given"
        raise InliningError("argument-path", message)

    def _each(self, elements: Iterable[Value], path: Path, reference: Reference) -> Spread:
        """What a path selects in each element of a list that is written out."""
        selected = tuple(self._at_path(element, path, reference) for element in elements)
        if any(map(_fans_out, selected)):
            message = f"`{reference.name}` of {self._call.tool!r} fans out, and so do elements of it"
            raise InliningError("argument-elements", message, "give it one list, of values")
        return Spread(selected)

    def _text(self, parts: Sequence[str | Reference], *, expression: bool) -> Value:
        """A string with references in it."""
        pieces: list[str | Reference] = []
        for part in parts:
            if isinstance(part, str):
                pieces.append(part)
                continue
            put = self._pieces(part)
            quoted = "".join(piece for piece in pieces if isinstance(piece, str)).translate(_QUOTES).count('"') % 2
            grouped = expression and not quoted and not _stands_alone(put)
            pieces += ["(", *put, ")"] if grouped else put
        return as_template(pieces)

    def _pieces(self, reference: Reference) -> Sequence[str | Reference]:
        value = self._one(reference)
        match value:
            case str() | Reference():
                return [value]
            case Template(parts):
                return parts
            case _ if any(True for _ in references(value)):
                message = f"{self._call.tool!r} puts `{reference.name}` into text, which cannot hold references in it"
                raise InliningError("argument-in-text", message, "give it a value without references, or one `$N`")
            case _:
                return [as_text(cast("JSON", value))]


def _fans_out(value: Value) -> bool:
    return isinstance(value, Spread) or any(each.fans_out for each in references(value))


_QUOTES = {ord("'"): '"'}


def _is_expression(name: str, tool: ToolSpec) -> bool:
    return arithmetic(tool.parameters.get(name), tool.definitions)


def _stands_alone(pieces: Sequence[str | Reference]) -> bool:
    """Whether what is put into an expression is one number, that a sign before or behind it takes as a whole."""
    return len(pieces) == 1 and (isinstance(pieces[0], Reference) or _NUMBER.fullmatch(pieces[0]) is not None)
