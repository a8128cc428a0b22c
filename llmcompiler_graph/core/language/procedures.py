r'''Procedures: plans with a name and parameters, from text and back.

>>> text = """
... height_difference(first: str, second: str = "K2"):
...   1. lookup(entity="${first}")
...   2. lookup(entity="${second}")
...   3. calculate("${1.height_m} - ${2.height_m}")
... """
>>> procedure = parse_procedure(text)
>>> procedure.parameters, procedure.defaults
({'first': 'str', 'second': 'str'}, {'second': 'K2'})
>>> parse_procedure(str(procedure)) == procedure
True

A procedure begins at the margin; its description, if it has one, is the string below that line, as in Python. The line
`# tools: …` says what the tools it was checked with looked like.

May know: `errors`, `annotations`, `guards`, `json_text`, `names`, `parser`, `plan`, `references`.
'''

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from llmcompiler_graph.core.errors import Diagnostic, PlanSyntaxError
from llmcompiler_graph.core.language.annotations import AnnotationError, read_annotation
from llmcompiler_graph.core.language.guards import Operand
from llmcompiler_graph.core.language.json_text import write_json
from llmcompiler_graph.core.language.notations.names import ParameterNames
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import Plan, Task, mapped_conditions
from llmcompiler_graph.core.language.references import JSON, Reference, map_references
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Procedure", "is_procedure_name", "parse_procedure", "parse_procedures")

_HEAD = lazy_pattern(r"(?P<name>[^\W\d]\w*)[ \t]*\(")
_PINS = lazy_pattern(r"[ \t]*#[ \t]*tools:(?P<pins>.*)")
_PIN = lazy_pattern(r"(?P<tool>\S+)=(?P<digest>[0-9a-f]+)")
_MOST_LINES = 50  # of a head
_RESERVED = frozenset({"join", "finish", "none", "true", "false", "null"})


@dataclass(frozen=True, slots=True)
class Procedure:
    """A plan with a name and parameters; what its last task returns is what it returns."""

    name: str
    """What plans call it."""
    parameters: Mapping[str, str]
    """The type of each parameter by name, as in Python: `str`, `list[int]`, `'m' | 'ft'`, …."""
    plan: Plan
    """Its tasks; in them, `${name}` is a parameter."""
    description: str = ""
    """What it does, for the planner's prompt."""
    defaults: Mapping[str, JSON] = field(default_factory=dict)
    """The values of parameters that need not be given."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """What the tools looked like that it was checked with: a digest of each by name; empty if it was not yet."""
    line: int = field(default=1, compare=False)
    """Where it stands in its text, 1-based."""

    @property
    def schemas(self) -> dict[str, JSON]:
        """The JSON Schema of each parameter.

        Raises:
            AnnotationError: A type is none that is understood.
        """
        schemas = {name: read_annotation(written) for name, written in self.parameters.items()}
        for name, default in self.defaults.items():
            schema = schemas.get(name)
            schemas[name] = {**(schema if isinstance(schema, dict) else {}), "default": default}
        return schemas

    @property
    def required(self) -> frozenset[str]:
        """The parameters that must be given."""
        return frozenset(self.parameters).difference(self.defaults)

    @property
    def signature(self) -> str:
        """Its first line, without the colon."""
        written = (
            f"{name}: {kind}" + (f" = {_python(self.defaults[name])}" if name in self.defaults else "")
            for name, kind in self.parameters.items()
        )
        return f"{self.name}({', '.join(written)})"

    def __str__(self) -> str:
        """Write text that `parse_procedure` reads as this procedure."""
        said = [f"  {_written(self.description)}"] if self.description else []
        pins = [f"  # tools: {' '.join(f'{tool}={pin}' for tool, pin in self.pins.items())}"] if self.pins else []
        tasks = (f"  {line}" for task in self.plan for line in str(task).split("\n"))
        return "\n".join([f"{self.signature}:", *said, *pins, *tasks])


def is_procedure_name(name: str) -> bool:
    """Whether a procedure can have a name: it is a word, and means nothing else in a plan."""
    return name.isidentifier() and name.lower() not in _RESERVED


def parse_procedures(text: str) -> list[Procedure]:
    """Read the procedures of a text.

    Raises:
        PlanSyntaxError: Something in it cannot be used; it holds every diagnostic.
    """
    found: list[Diagnostic] = []
    procedures: list[Procedure] = []
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    starts = [n for n, line in enumerate(lines) if (head := _HEAD.match(line)) and head["name"].lower() != "join"]
    found += _before(lines[: starts[0] if starts else len(lines)])
    for start, end in zip(starts, [*starts[1:], len(lines)][: len(starts)], strict=True):
        reader = _Reader(lines, start, end)
        procedure = reader.read()
        if procedure is not None and procedure.name in {known.name for known in procedures}:
            reader.complain("duplicate-procedure", f"there are two procedures {procedure.name!r}", start)
        found += reader.found
        if procedure is not None:
            procedures.append(procedure)
    if not starts and not found:
        found.append(Diagnostic("no-procedure", "there is no procedure in this text", 1, 1, _HOW))
    if found:
        raise PlanSyntaxError(found)
    return procedures


def parse_procedure(text: str) -> Procedure:
    """Read the text of one procedure.

    Raises:
        PlanSyntaxError: It is not the text of one procedure; it holds every diagnostic.
    """
    first, *others = parse_procedures(text)
    if others:
        message = f"there are {1 + len(others)} procedures in this text, where one is expected"
        raise PlanSyntaxError([Diagnostic("several-procedures", message, 1, 1, "read it with `parse_procedures`")])
    return first


_HOW = "begin with `name(parameter: type, …):` at the margin, with the numbered calls below"


def _before(lines: Iterable[str]) -> Iterator[Diagnostic]:
    """Complain about the first line before any procedure, if it is no comment."""
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield Diagnostic("outside", "this line belongs to no procedure", number, 1, _HOW)
            return


class _Reader:
    """Reads one procedure.

    Args:
        lines: Those of the whole text.
        start: Its first.
        end: That behind its last.
    """

    def __init__(self, lines: list[str], start: int, end: int) -> None:
        self.found: list[Diagnostic] = []
        """What is wrong with it."""
        self._lines, self._start, self._end = lines, start, end

    def complain(self, code: str, message: str, line: int, hint: str = "", column: int = 1) -> None:
        """Complain about a place, by the line from 0."""
        self.found.append(Diagnostic(code, message, line + 1, column, hint))

    def read(self) -> Procedure | None:
        head = self._head()
        if head is None:
            return None
        function, body = head
        parameters, defaults = self._parameters(function)
        description, body = self._description(body)
        pins, body = self._pins(body)
        plan = self._plan(body, tuple(parameters))
        return Procedure(function.name, parameters, plan, description, defaults, pins, self._start + 1)

    def _head(self) -> tuple[ast.FunctionDef, int] | None:
        """Read the head, and say where what follows it begins."""
        for end in range(self._start + 1, min(self._start + _MOST_LINES, self._end) + 1):
            if not self._lines[end - 1].rstrip().endswith(":"):
                continue
            head = "\n".join(self._lines[self._start : end]).rstrip()
            try:
                (function,) = ast.parse(f"def {head} ...").body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            if isinstance(function, ast.FunctionDef):
                return function, end
        name = self._lines[self._start].partition("(")[0].strip()
        message = f"the head of the procedure {name!r} cannot be read"
        self.complain("procedure-head", message, self._start, "write `name(first: str, second: int = 2):`")
        return None

    def _parameters(self, function: ast.FunctionDef) -> tuple[dict[str, str], dict[str, JSON]]:
        given, name = function.args, function.name
        if not is_procedure_name(name):
            self.complain("procedure-name", f"a procedure cannot be called {name!r}", self._start)
        if given.posonlyargs or given.vararg or given.kwonlyargs or given.kwarg:
            message = f"{name!r} has parameters with `*` or `/`"
            self.complain("parameter", message, self._start, "give each parameter a name and a type")
        if function.returns is not None:
            hint = "leave `->` out: the type is that of the last task"
            self.complain("returns", f"{name!r} says what it returns", self._start, hint)
        if function.type_comment:
            self.complain("procedure-head", f"{name!r} has a type comment", self._start)
        parameters: dict[str, str] = {}
        for argument in given.args:
            if argument.arg in parameters:
                message = f"{name!r} has two parameters called `{argument.arg}`"
                self.complain("parameter", message, self._line(argument), "give each a name of its own")
            parameters[argument.arg] = self._annotation(argument)
        defaults: dict[str, JSON] = {}
        behind = given.args[len(given.args) - len(given.defaults) :]
        for argument, node in zip(behind, given.defaults, strict=True):
            try:
                defaults[argument.arg] = _constant(ast.literal_eval(node))
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                message = f"the default of `{argument.arg}` is no constant: {ast.unparse(node)[:60]}"
                self.complain("parameter-default", message, self._line(argument), "use a JSON value")
        return parameters, defaults

    def _annotation(self, argument: ast.arg) -> str:
        if argument.annotation is None:
            hint = f"write `{argument.arg}: str`, or `{argument.arg}: Any`"
            self.complain("parameter-type", f"the parameter `{argument.arg}` has no type", self._line(argument), hint)
            return "Any"
        written = ast.unparse(argument.annotation)
        try:
            read_annotation(written)
        except AnnotationError as error:
            self.complain("parameter-type", f"the type of `{argument.arg}`: {error}", self._line(argument))
            return "Any"
        return written

    def _line(self, node: ast.arg) -> int:
        return self._start + node.lineno - 1

    def _description(self, start: int) -> tuple[str, int]:
        """Read the string below the head, if there is one, and say where what follows it begins."""
        first = self._next(start)
        if first is None or not self._lines[first].lstrip().startswith(('"', "'", 'r"')):
            return "", start
        for end in range(first + 1, self._end + 1):
            try:
                read = ast.literal_eval("\n".join(self._lines[first:end]).strip())
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            if isinstance(read, str):
                return _dedented(read), end
        self.complain("description", "the description is not closed", first, 'write `"""…"""`')
        return "", first + 1

    def _pins(self, start: int) -> tuple[dict[str, str], int]:
        first = self._next(start)
        match = _PINS.match(self._lines[first]) if first is not None else None
        if match is None or first is None:
            return {}, start
        found = {pin["tool"]: pin["digest"] for pin in _PIN.finditer(match["pins"])}
        if len(found) != len(match["pins"].split()):
            hint = "leave the line out to have the procedure checked anew"
            self.complain("tools", "`# tools:` lists something else than `tool=digest`", first, hint)
        return found, first + 1

    def _next(self, start: int) -> int | None:
        """The first line from there on that is not empty."""
        return next((n for n in range(start, self._end) if self._lines[n].strip()), None)

    def _plan(self, start: int, parameters: tuple[str, ...]) -> Plan:
        names = ParameterNames(parameters)
        parser = PlanParser(parameters=names)
        body = [_uncommented(line) for line in self._lines[start : self._end]]
        events = [*parser.feed("\n" * start + "\n".join(body)), *parser.close()]
        problems = [event for event in events if isinstance(event, Diagnostic)]
        self.found += (replace(problem, index=None) for problem in problems)
        tasks = [_with_parameters(event, names) for event in events if isinstance(event, Task)]
        if not tasks and not problems:
            message = "the procedure has no tasks"
            self.complain("no-task", message, self._start, "write numbered calls below it, as `1. tool(argument=…)`")
        return Plan(tuple(tasks))


def _uncommented(line: str) -> str:
    """A line of a plan; nothing if it is a comment."""
    return "" if line.lstrip().startswith("#") else line


def _dedented(text: str) -> str:
    lines = (line.strip() for line in text.strip().split("\n"))
    return "\n".join(lines)


def _with_parameters(task: Task, names: ParameterNames) -> Task:
    """A task with references to the parameters it names."""

    def of(reference: Reference) -> Reference:
        position = names.position(reference.index)
        if position is None:
            return reference
        return Reference(-1 - position, reference.path, names.parameters[position])

    def operand(value: Operand) -> Operand:
        return of(value) if isinstance(value, Reference) else value

    return replace(
        task,
        **mapped_conditions(task, operand),
        arguments={name: map_references(value, of) for name, value in task.arguments.items()},
        positional=tuple(map_references(value, of) for value in task.positional),
    )


def _constant(value: object) -> JSON:
    """A constant of Python as JSON.

    Raises:
        TypeError: It is none.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [_constant(element) for element in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {cast("str", key): _constant(element) for key, element in value.items()}
        case _:
            raise TypeError


def _written(description: str) -> str:
    """A description as a string of Python, over several lines if it has them and nothing that is to be escaped."""
    lines = description.split("\n")
    if not all(map(str.isprintable, lines)) or "\\" in description or '"' in description:
        return write_json(description)
    return '"""' + "\n".join([lines[0], *(line and f"  {line}" for line in lines[1:])]) + '"""'


def _python(value: JSON) -> str:
    return repr(value)
