r"""Does a procedure fit the tools? Checks it once, and makes of it what plans can call.

>>> from llmcompiler_graph.core.language.procedures import parse_procedure
>>> search = ToolSpec("search", {"query": {"type": "string"}}, frozenset({"query"}), {"type": "string"})
>>> twice = parse_procedure('twice(what: str):\n  1. search("${what}")\n  2. search("more: $1")')
>>> checked = check_procedures([twice], [search])["twice"]
>>> checked.spec.returns, checked.width
({'type': 'string'}, 2)
>>> for task in checked.inlined(Task(4, "twice", {"what": "K2"}, reserved=(3,)), {"search": search}):
...     print(task)
3. search(query="K2")
4. search(query="more: $3")

Procedures may call others, but not themselves. What a procedure calls is inlined in it here, so that its tasks are
calls of tools only.

May know: `checker`, `inlining`, `schema`, `errors`, `annotations`, `plan`, `procedures`, `references`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from llmcompiler_graph.core.checking.checker import Checker, misnumbered
from llmcompiler_graph.core.checking.inlining import InliningError, inlined
from llmcompiler_graph.core.checking.schema import mismatch
from llmcompiler_graph.core.errors import Diagnostic, PlanCheckError
from llmcompiler_graph.core.language.annotations import AnnotationError
from llmcompiler_graph.core.language.plan import Task, ToolSpec
from llmcompiler_graph.core.language.procedures import Procedure, is_procedure_name
from llmcompiler_graph.core.language.references import JSON, Reference

__all__ = ("CheckedProcedure", "check_procedures", "digest", "pinned")

_MOST_TASKS = 1000  # of a procedure, with those of the ones it calls


@dataclass(frozen=True, slots=True)
class CheckedProcedure:
    """A procedure that fits the tools."""

    procedure: Procedure
    """As it was given."""
    spec: ToolSpec
    """What a plan that calls it must know."""
    tasks: tuple[Task, ...]
    """Its tasks, calls of tools only, numbered from 1."""

    @property
    def width(self) -> int:
        """How many tasks stand in place of a call."""
        return len(self.tasks)

    @property
    def ends(self) -> frozenset[int]:
        """The tasks that no other waits for, but the last, by position from 0."""
        waited_for = {n for task in self.tasks for n in task.dependencies}
        return frozenset(n for n, task in enumerate(self.tasks[:-1]) if task.index not in waited_for)

    def inlined(self, call: Task, tools: Mapping[str, ToolSpec]) -> list[Task]:
        """The tasks that stand in place of a call; its `reserved` indices are theirs.

        Raises:
            InliningError: They cannot.
        """
        parameters = {name: self.procedure.defaults.get(name) for name in self.procedure.parameters}
        return inlined(call, self.tasks, tools, parameters=parameters, indices=call.reserved)


def digest(tool: ToolSpec) -> str:
    """Name what a tool's schemas and hints say: it changes with them."""
    said = [
        _without_words(dict(tool.parameters)),
        sorted(tool.required),
        _without_words(tool.returns),
        _without_words(dict(tool.definitions)),
        tool.open_arguments,
        [tool.read_only, tool.idempotent, tool.destructive],
    ]
    text = json.dumps(said, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _without_words(schema: JSON) -> JSON:
    """A schema without what is only for readers."""
    match schema:
        case dict():
            words = {key for key in ("title", "description") if isinstance(schema.get(key), str)}
            return {key: _without_words(inner) for key, inner in schema.items() if key not in words}
        case list():
            return [_without_words(inner) for inner in schema]
        case _:
            return schema


def pinned(procedure: Procedure, tools: Iterable[ToolSpec]) -> Procedure:
    """The procedure with what its tools look like now."""
    called = {task.tool for task in procedure.plan}
    return replace(procedure, pins={tool.name: digest(tool) for tool in tools if tool.name in called})


def check_procedures(procedures: Iterable[Procedure], tools: Sequence[ToolSpec]) -> dict[str, CheckedProcedure]:
    """Check procedures, which may call each other; give them by name, in order.

    Raises:
        PlanCheckError: Something does not fit; it holds every diagnostic.
    """
    given: dict[str, Procedure] = {}
    found: list[Diagnostic] = []
    names = {tool.name for tool in tools}
    for procedure in procedures:
        if procedure.name in given or procedure.name in names:
            what = "procedure" if procedure.name in given else "tool"
            found.append(_about(procedure, "duplicate-procedure", f"another {what} has this name"))
        given.setdefault(procedure.name, procedure)
    checks = _Checks(given, tools)
    for name in given:
        checks.check(name)
    if found := [*found, *checks.found]:
        raise PlanCheckError(found)
    return {name: checks.checked[name] for name in given}


def _about(procedure: Procedure, code: str, message: str, hint: str = "", task: Task | None = None) -> Diagnostic:
    line, column = (task.line, task.column) if task is not None else (procedure.line, 1)
    return Diagnostic(code, f"procedure {procedure.name!r}: {message}", line, column, hint)


class _Checks:
    """Checks procedures, those first that others call.

    Args:
        given: The procedures by name.
        tools: The tools.
    """

    def __init__(self, given: Mapping[str, Procedure], tools: Sequence[ToolSpec]) -> None:
        self.found: list[Diagnostic] = []
        """What is wrong with them."""
        self.checked: dict[str, CheckedProcedure] = {}
        """Those that fit."""
        self._refused: set[str] = set()
        self._given = given
        self._tools = {tool.name: tool for tool in tools}
        self._path: list[str] = []  # those that are being checked, each called by the one before

    def check(self, name: str) -> bool:
        """Check a procedure, if it was not yet; return whether it fits."""
        if name in self.checked or name in self._refused:
            return name in self.checked
        procedure = self._given[name]
        self._path.append(name)
        called = [task for task in procedure.plan if task.tool in self._given and task.tool not in self._tools]
        usable = all([self._check_call(procedure, task) for task in called])
        if usable:
            self._check_body(procedure)
        self._path.pop()
        if name not in self.checked:
            self._refused.add(name)
        return name in self.checked

    def _check_call(self, procedure: Procedure, task: Task) -> bool:
        """Check a procedure that another calls."""
        if task.tool in self._path:
            chain = " calls ".join(map(repr, [*self._path[self._path.index(task.tool) :], task.tool]))
            self.found.append(_about(procedure, "recursion", f"it calls itself: {chain}", task=task))
            return False
        return self.check(task.tool)

    def _check_body(self, procedure: Procedure) -> None:
        before = len(self.found)
        self._check_pins(procedure)
        try:
            schemas = procedure.schemas
        except AnnotationError as error:
            self._complain(procedure, "parameter-type", str(error))
            return
        self._check_head(procedure, schemas)
        known = [*self._tools.values(), *(checked.spec for checked in self.checked.values())]
        checker = Checker(known)
        for n, (name, schema) in enumerate(schemas.items()):
            checker.assume_parameter(Reference(-1 - n, (), name), schema)
        checked = [checker.check(task) for task in procedure.plan]
        problems = [*misnumbered(procedure.plan), *(problem for each in checked for problem in each.diagnostics)]
        self.found += (
            replace(problem, message=f"procedure {procedure.name!r}: {problem.message}", index=None)
            for problem in sorted(problems, key=lambda each: (each.line, each.column))
        )
        if len(self.found) == before and checked:
            tasks = self._flat(procedure, [each.task for each in checked])
            if len(self.found) == before:
                result = checker.returns[checked[-1].task.index]
                self.checked[procedure.name] = CheckedProcedure(
                    procedure, self._spec(procedure, schemas, tasks, result), tuple(tasks)
                )

    def _complain(self, procedure: Procedure, code: str, message: str, hint: str = "") -> None:
        self.found.append(_about(procedure, code, message, hint))

    def _check_pins(self, procedure: Procedure) -> None:
        """Refuse a procedure whose tools are not those it was checked with."""
        for name, known in procedure.pins.items():
            tool = self._tools.get(name)
            if tool is None and name not in self._given:
                self._complain(procedure, "tool-gone", f"it was checked with a tool {name!r}, which is not there")
            elif tool is not None and digest(tool) != known:
                message = f"the tool {name!r} is not what it was when the procedure was checked"
                hint = "look at the procedure again, and take the `# tools:` line out, or its `pins`"
                self._complain(procedure, "tool-changed", message, hint)

    def _check_head(self, procedure: Procedure, schemas: Mapping[str, JSON]) -> None:
        if not is_procedure_name(procedure.name):
            self._complain(procedure, "procedure-name", "it cannot be called so: a name is a word, and not `join`")
        for name in procedure.parameters:
            if not name.isidentifier():
                self._complain(procedure, "parameter", f"the parameter {name!r} is no word")
        if not len(procedure.plan):
            self._complain(procedure, "no-task", "it has no tasks")
        known = {-1 - n: name for n, name in enumerate(procedure.parameters)}
        for reference in (each for task in procedure.plan for each in task.references if each.index < 1):
            if known.get(reference.index) != reference.name:
                message = f"`{reference}` is none of its parameters: the first is Reference(-1, (), name)"
                self._complain(procedure, "unknown-parameter", message)
        for name, default in procedure.defaults.items():
            if name not in procedure.parameters:
                self._complain(procedure, "parameter-default", f"it has a default for `{name}`, but no such parameter")
            elif problem := mismatch(default, schemas[name]):
                self._complain(procedure, "parameter-default", f"the default of `{name}`: {problem}")
        used = {name for task in procedure.plan for name in _parameters_of(task)}
        for name in procedure.parameters:
            if name not in used:
                self._complain(
                    procedure, "unused-parameter", f"no task uses `{name}`", f"write `${{{name}}}` where it belongs"
                )

    def _flat(self, procedure: Procedure, tasks: Sequence[Task]) -> list[Task]:
        """Its tasks, with those of the procedures that it calls in place of these calls; numbered from 1."""
        renamed: dict[int, int] = {}
        ends: dict[int, tuple[int, ...]] = {}
        flat: list[Task] = []
        for task in tasks:
            called = self.checked.get(task.tool) if task.tool not in self._tools else None
            width = called.width if called is not None else 1
            first = len(flat) + 1
            renamed[task.index] = first + width - 1
            if first + width > _MOST_TASKS:
                message = f"it has more than {_MOST_TASKS} tasks, with those of the procedures that it calls"
                self._complain(procedure, "too-many-tasks", message)
                return flat
            moved = _renumbered(task, renamed, ends)
            if called is None:
                flat.append(moved)
                continue
            ends[moved.index] = tuple(first + n for n in called.ends)
            try:
                flat += called.inlined(replace(moved, reserved=tuple(range(first, first + width - 1))), self._tools)
            except InliningError as error:
                self.found.append(_about(procedure, error.code, str(error), error.hint, task))
                return flat
        return flat

    def _spec(
        self, procedure: Procedure, schemas: Mapping[str, JSON], tasks: Iterable[Task], result: tuple[ToolSpec, JSON]
    ) -> ToolSpec:
        called = [self._tools[name] for name in {task.tool for task in tasks}]
        reads = all(tool.read_only is True and not tool.has_effects for tool in called)
        return ToolSpec(
            procedure.name,
            parameters=schemas,
            required=procedure.required,
            returns=result[1],
            definitions=result[0].definitions,
            description=procedure.description,
            read_only=True if reads else False if any(tool.has_effects for tool in called) else None,
            destructive=True if any(tool.destructive for tool in called) else None,
            acts=any(tool.acts for tool in called),
            sees_state=any(tool.sees_state for tool in called),
            is_procedure=True,
        )


def _parameters_of(task: Task) -> set[str]:
    return {reference.name for reference in task.references if reference.name}


def _renumbered(task: Task, renamed: Mapping[int, int], ends: Mapping[int, tuple[int, ...]]) -> Task:
    """A task under new numbers; what waits for a procedure waits for all that it calls."""
    moved = task.renumbered(renamed)
    after = tuple(dict.fromkeys(n for known in moved.after for n in (*ends.get(known, ()), known)))
    return replace(moved, after=after)
