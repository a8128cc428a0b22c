"""The checker: does a task fit its tool? Binds positions to names and reports every misfit, before anything runs.

>>> search = ToolSpec("search", {"query": {"type": "string"}}, frozenset({"query"}), {"type": "string"})
>>> square = ToolSpec("square", {"x": {"type": "number"}}, frozenset({"x"}), {"type": "number"})
>>> checker = Checker([search, square])
>>> checker.check(Task(1, "search", positional=("K2",))).task.arguments
{'query': 'K2'}
>>> print(checker.check(Task(2, "square", {"x": Reference(1)}, line=2)).diagnostics[0])
line 2, column 1: `x` of 'square' takes float, but $1 is str (the observation of 'search') [reference-type]

May know: `errors`, `expressions`, `guard_types`, `guards`, `json_text`, `placeholders`, `plan`, `references`,
`repetition`, `schema`, `substitution`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from typing import NamedTuple, Protocol, TypeAlias, cast

from llmcompiler_graph.core.checking.expressions import arithmetic, spelled
from llmcompiler_graph.core.checking.guard_types import misfits
from llmcompiler_graph.core.checking.placeholders import placeholder
from llmcompiler_graph.core.checking.schema import (
    MissingField,
    Schema,
    alternatives,
    at_path,
    describe,
    fields_of,
    fit_text,
    fits,
    mismatch,
)
from llmcompiler_graph.core.errors import Diagnostic, PlanCheckError
from llmcompiler_graph.core.language.guards import Guard, guard_references
from llmcompiler_graph.core.language.json_text import MAX_DEPTH, is_too_deep
from llmcompiler_graph.core.language.plan import Plan, Task, ToolSpec
from llmcompiler_graph.core.language.references import JSON, Reference, Spread, Template, Value, references
from llmcompiler_graph.core.language.repetition import Repetition
from llmcompiler_graph.core.language.substitution import substitute

__all__ = ("Checked", "Checker", "check_plan", "collect", "misnumbered")


class Checked(NamedTuple):
    """What the checker says of a task."""

    task: Task
    """The task with every argument named; only to be run if there are no diagnostics."""
    diagnostics: list[Diagnostic]
    """All that is wrong with it."""


class _Complain(Protocol):
    def __call__(self, code: str, message: str, hint: str = "") -> None: ...


_Returns: TypeAlias = Mapping[int, tuple[ToolSpec, Schema]]

_UNKNOWN = ToolSpec("")
_LISTED = 20  # tools, in a hint
_GUESSES = 100  # each compares a name with those of all tools
_NUMBER: Schema = {"type": "number"}


class Checker:
    """Checks tasks one by one, in plan order, remembering what each returns.

    Args:
        tools: The tools plans may call.
        max_tasks: How many tasks one plan may have; `None` for any number.
    """

    def __init__(self, tools: Iterable[ToolSpec], max_tasks: int | None = None) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._max_tasks = max_tasks
        self._numbers: dict[int, int] = {}  # index -> the how manieth task of the plan it is
        self._guesses = 0  # which tool was meant
        self._returns: dict[int, tuple[ToolSpec, Schema]] = {}  # index -> (tool, schema of the observation)

    @property
    def returns(self) -> Mapping[int, tuple[ToolSpec, Schema]]:
        """What the tasks return so far: by index, the tool and the schema of the observation."""
        return self._returns

    def assume(self, task: Task) -> None:
        """Take a task of an earlier plan as checked: it may be referred to."""
        if tool := self._tools.get(task.tool):
            self._remember(task, tool)

    def assume_parameter(self, reference: Reference, schema: Schema) -> None:
        """Take the parameter of a procedure as given: its plan may refer to it."""
        self._returns[reference.index] = ToolSpec(reference.name), schema

    def forget(self, indices: Iterable[int]) -> None:
        """Take back that these tasks were checked: they are not in the plan."""
        for index in indices:
            self._numbers.pop(index, None)
            self._returns.pop(index, None)

    def check(self, task: Task) -> Checked:
        """Bind a task's arguments to its tool's parameters and report everything that does not fit.

        A task that was written anew is checked anew: what it returns now counts.
        """
        number = self._numbers.setdefault(task.index, len(self._numbers) + 1)
        found: list[Diagnostic] = []

        def complain(code: str, message: str, hint: str = "") -> None:
            found.append(Diagnostic(code, message, task.line, task.column, hint, task.index))

        if self._max_tasks is not None and number > self._max_tasks:
            complain("too-many-tasks", f"a plan may have {self._max_tasks} tasks, this is number {number}")
        tool = self._tools.get(task.tool)
        if tool is None:
            complain("unknown-tool", f"no tool is named {task.tool!r}", self._which_tools(task.tool))
            return Checked(task, found)
        arguments = self._bind(task, tool, complain)
        if task.positional or not _are(arguments, task.arguments):
            task = replace(task, arguments=arguments, positional=())
        if task.when is not None:
            self._check_guard(task.when, self._returns, complain)
        if task.until is not None:
            self._check_repetition(task, task.until, tool, complain)
        self._remember(task, tool)
        return Checked(task, found)

    def _check_repetition(self, task: Task, until: Repetition, tool: ToolSpec, complain: _Complain) -> None:
        if not tool.pollable:
            message = f"{tool.name!r} may change something with each call, so it is not called until something holds"
            hint = (
                "poll a tool that only reads, or say `idempotentHint` in the tool's metadata if more calls do no harm"
            )
            complain("repeated-effect", message, hint)
        if all(reference.index != task.index for reference in guard_references(until.condition)):
            message = f"`{until.condition}` never changes: it does not refer to `${task.index}`, what the call returns"
            complain("repetition", message, f"compare `${task.index}` or a field of it, `${{{task.index}.field}}`")
        self._check_guard(until.condition, {**self._returns, task.index: (tool, tool.returns)}, complain)

    def _check_guard(self, guard: Guard, returns: _Returns, complain: _Complain) -> None:
        found: dict[Reference, tuple[ToolSpec, Schema]] = {}

        def source(reference: Reference) -> tuple[Schema, Mapping[str, JSON]]:
            if reference not in found:
                found[reference] = self._source(reference, complain, returns)
            producer, schema = found[reference]
            return schema, producer.definitions

        for problem in misfits(guard, source):
            complain("guard-type", problem)

    def _which_tools(self, name: str) -> str:
        """A hint: the tool that was meant by an unknown name, or those there are."""
        self._guesses += 1
        if self._guesses <= _GUESSES and (near := get_close_matches(name, self._tools, n=1)):
            return f"did you mean {near[0]!r}?"
        some = [*map(repr, islice(self._tools, _LISTED)), *["…"][: len(self._tools) > _LISTED]]
        return "there are " + (", ".join(some) or "none")

    def _remember(self, task: Task, tool: ToolSpec) -> None:
        returns = tool.returns
        if task.fans_out:
            returns = {"type": "array", "items": returns}
        self._returns[task.index] = tool, returns

    def _bind(self, task: Task, tool: ToolSpec, complain: _Complain) -> dict[str, Value]:
        arguments = _by_name(task, tool)
        if arguments is None:
            arguments = _by_position(task, tool, complain)
        for name, value in task.arguments.items():
            if name in arguments:
                complain("duplicate-argument", f"`{name}` of {tool.name!r} is given by position and by name")
            if name not in tool.parameters and not tool.open_arguments:
                complain("unknown-argument", f"{tool.name!r} has no argument `{name}`", _which_arguments(name, tool))
            arguments[name] = value
        if len({len(value) for value in arguments.values() if isinstance(value, Spread)}) > 1:
            complain("fan-out-length", "the lists with [*] of one task go in step, so they must be of one length")
        for name in _missing(arguments, tool):
            wanted = describe(tool.parameters.get(name), tool.definitions)
            complain("missing-argument", f"{tool.name!r} needs `{name}` ({wanted})")
        given = {name: value for name, value in arguments.items() if not (value is None and _left_out(name, tool))}
        schemas = tool.parameters
        return {name: self._argument(name, v, schemas.get(name), tool, complain) for name, v in given.items()}

    def _argument(
        self, name: str, value: Value, schema: Schema, tool: ToolSpec, complain: _Complain, *, whole: bool = True
    ) -> Value:
        """Check an argument against its parameter's schema; if it has references in it, element by element."""
        if isinstance(value, Spread):
            return Spread(tuple(self._argument(name, element, schema, tool, complain) for element in value))
        if whole and is_too_deep(cast("JSON", value)):  # with an observation inside, no checkpoint could hold it
            complain("argument-type", f"`{name}` of {tool.name!r} is nested more than {MAX_DEPTH} deep")
            return value
        refers = any(references(value))
        if isinstance(value, Reference | Template | str) and arithmetic(schema, tool.definitions):
            self._expression(name, value, tool, complain)
            if refers:
                return value
        if refers:
            return self._referring(name, value, schema, tool, complain)
        constant = fit_text(substitute(value, {}), schema, tool.definitions)
        if problem := _misfit(name, constant, schema, tool, whole=whole):
            found = placeholder(constant, self._is_known) if isinstance(constant, str) else None
            complain("argument-type", f"`{name}` of {tool.name!r}: {problem}", found.hint if found else "")
        return cast("Value", constant)

    def _referring(self, name: str, value: Value, schema: Schema, tool: ToolSpec, complain: _Complain) -> Value:
        """Check an argument with references in it."""

        def refuse(what: str) -> None:
            wanted = describe(schema, tool.definitions)
            complain("reference-type", f"`{name}` of {tool.name!r} takes {wanted}, {what}")

        def expect(kind: str, what: str) -> None:
            if not fits({"type": kind}, schema, tool.definitions):
                refuse(what)

        def inside(key: str | int, element: Value) -> Value:
            try:
                wanted = at_path(schema, (key,), tool.definitions)
            except MissingField:
                wanted = None
            return self._argument(name, element, wanted, tool, complain, whole=False)

        match value:
            case Reference():
                producer, source = self._source(value, complain)
                if not fits(source, schema, tool.definitions, producer.definitions):
                    refuse(f"but {value} is {describe(source, producer.definitions)} ({_origin(value, producer)})")
            case list():
                expect("array", "not a list")
                return [inside(0, element) for element in value]
            case dict():
                expect("object", "not a dict")
                return {key: inside(key, element) for key, element in value.items()}
            case _:
                for reference in references(value):
                    self._source(reference, complain)
                expect("string", "not text")
        return value

    def _is_known(self, index: int) -> bool:
        return index in self._returns

    def _expression(self, name: str, value: Reference | Template | str, tool: ToolSpec, complain: _Complain) -> None:
        """Check the references in an arithmetic expression: outside quotes, they are numbers, and no `$` is left."""
        for part, quoted in spelled(value):
            if isinstance(part, Reference):
                producer, source = self._source(part, complain)
                if not quoted and not fits(source, _NUMBER, source_definitions=producer.definitions):
                    found = f"{part} is {describe(source, producer.definitions)} ({_origin(part, producer)})"
                    hint = self._numbers_in(part)
                    complain("reference-type", f"`{name}` of {tool.name!r} takes numbers, but {found}", hint)
            elif part == "$" and not quoted:
                hint = "write `${N}` for the observation of task N, and amounts of money without `$`"
                complain("argument-type", f"`{name}` of {tool.name!r} takes numbers, but a '$' is text", hint)
                return

    def _numbers_in(self, reference: Reference) -> str:
        """A hint: the fields of an observation that are numbers."""
        producer, schema = self._returns.get(reference.index, (_UNKNOWN, None))
        fields = (pair for option in alternatives(schema, producer.definitions) for pair in fields_of(option).items())
        names = dict.fromkeys(n for n, of in fields if fits(of, _NUMBER, source_definitions=producer.definitions))
        return "its numbers are " + ", ".join(f"${{{reference.index}.{name}}}" for name in names) if names else ""

    def _source(
        self, reference: Reference, complain: _Complain, returns: _Returns | None = None
    ) -> tuple[ToolSpec, Schema]:
        """The tool a reference's value comes from, and the value's schema."""
        producer, schema = (returns or self._returns).get(reference.index, (_UNKNOWN, None))
        try:
            return producer, at_path(schema, reference.path, producer.definitions)
        except MissingField as missing:
            fields = ", ".join(missing.fields)
            hint = f"it has {fields}" if fields else f"it is {describe(schema, producer.definitions)}"
            complain("reference-path", f"{reference}: {_origin(reference, producer)} has no {missing}", hint)
            return producer, None


def _origin(reference: Reference, producer: ToolSpec) -> str:
    """Where the value of a reference comes from."""
    return f"the parameter {reference.name!r}" if reference.name else f"the observation of {producer.name!r}"


def _are(some: Mapping[str, Value], others: Mapping[str, Value]) -> bool:
    """Whether arguments are those very ones, not only equal to them, as `True` is to 1."""
    return some.keys() == others.keys() and all(value is others[name] for name, value in some.items())


def _by_name(task: Task, tool: ToolSpec) -> dict[str, Value] | None:
    """The arguments by name that a call gives as one JSON object, or as `null`; `None` if it gives them otherwise."""
    if task.arguments or len(task.positional) != 1:
        return None
    match task.positional[0]:
        case None if not tool.parameters:
            return {}
        case dict() as given if _names_arguments(given, tool):
            return dict(given)
    return None


def _names_arguments(given: Mapping[str, Value], tool: ToolSpec) -> bool:
    """Whether an object holds the arguments of a tool, by name, rather than being the first of them."""
    if not tool.open_arguments and not given.keys() <= tool.parameters.keys():
        return False
    first = next(iter(tool.parameters), None)
    return first is None or first in given or not fits({"type": "object"}, tool.parameters[first], tool.definitions)


def _by_position(task: Task, tool: ToolSpec, complain: _Complain) -> dict[str, Value]:
    """The arguments that a call gives by position, by their names."""
    names, positional = list(tool.parameters), task.positional
    if len(positional) > len(names):
        takes = "only " + ", ".join(f"`{name}`" for name in names) if names else "no arguments"
        complain("too-many-arguments", f"{tool.name!r} takes {takes}, {len(positional)} were given by position")
    return dict(zip(names, positional, strict=False))


def _which_arguments(name: str, tool: ToolSpec) -> str:
    """A hint: the argument that was meant by an unknown name, or those there are."""
    if near := get_close_matches(name, list(tool.parameters), n=1):
        return f"did you mean `{near[0]}`?"
    return "it takes " + (", ".join(tool.parameters) or "nothing")


def _misfit(name: str, constant: JSON, schema: Schema, tool: ToolSpec, *, whole: bool) -> str | None:
    """What is wrong with a constant; the tool's own check may be laxer, but knows whole arguments only."""
    if tool.validate is None:
        return mismatch(constant, schema, tool.definitions)
    return tool.validate(name, constant) if whole and name in tool.parameters else None


def _missing(arguments: Mapping[str, Value], tool: ToolSpec) -> list[str]:
    """The required arguments that a call does not give, those without a schema last."""
    needed = tool.required.difference(arguments)
    return [*filter(needed.__contains__, tool.parameters), *sorted(needed.difference(tool.parameters))]


def _left_out(name: str, tool: ToolSpec) -> bool:
    """Whether `None` can only mean to leave an argument out: signatures show `= None` if there is no default."""
    schema = tool.parameters.get(name)
    no_default = isinstance(schema, dict) and schema.get("default") is None
    return no_default and name not in tool.required and not fits({"type": "null"}, schema, tool.definitions)


def misnumbered(plan: Plan) -> Iterator[Diagnostic]:
    """Report what no plan text parses to, but a plan made by hand may hold: it would never end."""
    seen: set[int] = set()
    for task in plan:
        if task.index in seen:
            yield _fault(task, "duplicate-index", f"task {task.index} stands twice in the plan")
        for n in task.dependencies:
            if n == task.index not in seen:
                yield _fault(task, "self-reference", f"task {n} refers to itself")
            elif n not in seen and n > 0:  # others are parameters of a procedure
                what = f"task {n}, but no earlier task has that number"
                yield _fault(task, "unknown-reference", f"task {task.index} refers to {what}")
        seen.add(task.index)


def _fault(task: Task, code: str, message: str) -> Diagnostic:
    return Diagnostic(code, message, task.line, task.column, "", task.index)


def check_plan(plan: Plan, tools: Iterable[ToolSpec], max_tasks: int | None = None) -> Plan:
    """Check a whole plan; return it with every argument named.

    Raises:
        PlanCheckError: Something does not fit; it holds every diagnostic.
    """
    checker = Checker(tools, max_tasks)
    checked = [checker.check(task) for task in plan]
    diagnostics = [*misnumbered(plan), *(diagnostic for each in checked for diagnostic in each.diagnostics)]
    if diagnostics:
        raise PlanCheckError(sorted(diagnostics, key=lambda each: (each.line, each.column)))
    return Plan(tuple(each.task for each in checked))


def collect(events: Iterable[Task | Diagnostic], checker: Checker | None) -> tuple[Plan, list[Diagnostic]]:
    """Collect what the parser found: every task that could be read, those with faults too, and everything wrong.

    Args:
        events: The tasks and diagnostics of one plan.
        checker: Names the arguments and checks the tasks; `None` to leave them as they were written.
    """
    tasks: dict[int, Task] = {}
    found: list[Diagnostic] = []
    for event in events:
        if isinstance(event, Diagnostic):
            found.append(event)
            continue
        task, problems = checker.check(event) if checker else (event, [])
        tasks[task.index] = task
        # what was said of its index before was said of a numbered line of prose
        found = [*(each for each in found if each.index != task.index), *problems]
    return Plan(tuple(tasks.values())), found
