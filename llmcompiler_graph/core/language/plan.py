"""The plan: numbered tool calls whose arguments may refer to earlier ones. Text form and back.

>>> plan = Plan((
...     Task(1, "search", {"query": "Mount Everest height"}),
...     Task(2, "search", {"query": "K2 height"}),
...     Task(3, "math", {"expression": Template((Reference(1), " - ", Reference(2)))}),
... ))
>>> print(plan)
1. search(query="Mount Everest height")
2. search(query="K2 height")
3. math(expression="$1 - $2")
4. join()
>>> plan.tasks[2].dependencies
(1, 2)

May know: `guards`, `json_text`, `mermaid`, `references`, `repetition`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from typing import Literal, TypeAlias, TypedDict

from llmcompiler_graph.core.language.guards import Guard, Operand, guard_references, map_guard
from llmcompiler_graph.core.language.json_text import cut, write_json
from llmcompiler_graph.core.language.mermaid import Arrow, Box, Kind, flowchart
from llmcompiler_graph.core.language.references import (
    IDENTIFIER,
    JSON,
    Reference,
    Spread,
    Template,
    Value,
    map_references,
    references,
)
from llmcompiler_graph.core.language.repetition import Repetition

__all__ = (
    "Observation",
    "Plan",
    "Status",
    "Task",
    "ToolSpec",
    "gathered",
    "mapped_conditions",
    "render_call",
    "render_value",
    "template_text",
)

Status: TypeAlias = Literal["done", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Task:
    """One numbered tool call of a plan."""

    index: int
    """Its number, 1 or more, unique over the plans of one question."""
    tool: str
    """The name of the tool to call."""
    arguments: Mapping[str, Value] = field(default_factory=dict)
    """Arguments by name; values may hold references to earlier tasks."""
    after: tuple[int, ...] = ()
    """Tasks that must be finished first although no data is taken from them."""
    positional: tuple[Value, ...] = ()
    """Arguments given by position, before the tool's schema has named them; empty in a checked plan."""
    thought: str = ""
    """The `Thought:` written before it."""
    line: int = field(default=1, compare=False)
    """Where it stands in the plan text, 1-based."""
    column: int = field(default=1, compare=False)
    """Where it stands in its line, 1-based."""
    when: Guard | None = field(default=None, repr=False)
    """What must hold for it to run; if it does not, it is skipped, and so is what needs it."""
    until: Repetition | None = field(default=None, repr=False)
    """What must hold for it not to be made again, and how often it is made at most."""
    reserved: tuple[int, ...] = field(default=(), compare=False, repr=False)
    """The indices kept free for the other tasks of a procedure, if it calls one."""
    references: tuple[Reference, ...] = field(init=False, compare=False, repr=False)
    """The references to others in its arguments, its guard and its repetition, in order."""
    dependencies: tuple[int, ...] = field(init=False, compare=False, repr=False)
    """The tasks it waits for, each once, in ascending order."""

    def __post_init__(self) -> None:
        found = [r for value in (*self.positional, *self.arguments.values()) for r in references(value)]
        if self.when is not None:
            found += guard_references(self.when)
        if self.until is not None:
            found += (r for r in guard_references(self.until.condition) if r.index != self.index)
        object.__setattr__(self, "references", tuple(found))
        object.__setattr__(self, "dependencies", tuple(sorted(self.reads.union(self.after))))

    @property
    def reads(self) -> set[int]:
        """The tasks whose observations it takes."""
        return {reference.index for reference in self.references}

    @property
    def fans_out(self) -> bool:
        """Whether it makes a call for each element of what it refers to, or of a list that it has."""
        values = (*self.positional, *self.arguments.values())
        return any(isinstance(value, Spread) for value in values) or any(r.fans_out for r in self.references)

    def renumbered(self, numbers: Mapping[int, int]) -> Task:
        """The same task under another number, and with other numbers of those it refers to, where there are any."""

        def change(reference: Reference) -> Reference:
            return replace(reference, index=numbers.get(reference.index, reference.index))

        def operand(value: Operand) -> Operand:
            return change(value) if isinstance(value, Reference) else value

        return replace(
            self,
            **mapped_conditions(self, operand),
            index=numbers.get(self.index, self.index),
            arguments={name: map_references(value, change) for name, value in self.arguments.items()},
            positional=tuple(map_references(value, change) for value in self.positional),
            after=tuple(numbers.get(n, n) for n in self.after),
        )

    @property
    def parts(self) -> list[str]:
        """Its call, its guard and its repetition, as plan text, as far as it has them."""
        written = [render_call(self.tool, self.arguments, self.positional)]
        if self.when is not None:
            written.append(f"when {self.when}")
        if self.until is not None:
            written.append(str(self.until))
        return written

    def __str__(self) -> str:
        after = ["after " + ", ".join(f"${index}" for index in self.after)] if self.after else []
        thought = "".join(f"Thought: {line}\n" for line in self.thought.split("\n")) if self.thought else ""
        call, *conditions = self.parts
        return f"{thought}{self.index}. {' '.join([call, *after, *conditions])}"


class _Conditions(TypedDict):
    when: Guard | None
    until: Repetition | None


def mapped_conditions(task: Task, change: Callable[[Operand], Operand]) -> _Conditions:
    """The guard and the repetition of a task with another reference or constant in place of each.

    Raises:
        TypeError: What stands alone would be a constant that is neither true nor false.
    """
    when, until = task.when, task.until
    return {
        "when": map_guard(when, change) if when is not None else None,
        "until": replace(until, condition=map_guard(until.condition, change)) if until is not None else None,
    }


@dataclass(frozen=True, slots=True)
class Plan:
    """Tasks in the order they were written. References point only backwards, so it is acyclic."""

    tasks: tuple[Task, ...]
    """The tasks, in order."""

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def to_mermaid(self) -> str:
        """Draw it as a Mermaid flowchart: arrows for data, dotted ones for order, double borders for fan-outs.

        A guard and a repetition stand below the call; what only they read has an arrow that says `if`.
        """
        boxes, arrows = [], []
        for task in self.tasks:
            boxes.append(Box(task.index, task.parts, task.fans_out))
            data = {r.index for value in (*task.positional, *task.arguments.values()) for r in references(value)}
            kinds = dict.fromkeys(task.after, Kind.ORDER) | dict.fromkeys(task.reads, Kind.CONDITION)
            kinds |= dict.fromkeys(data, Kind.DATA)
            arrows += [Arrow(n, task.index, kinds[n]) for n in sorted(kinds)]
        return flowchart(boxes, arrows)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Show it in a notebook: as a chart where Mermaid is known, else as a table."""
        rows = "".join(
            f"<tr><td>{task.index}</td><td style='text-align:left'>{'<br>'.join(code)}</td>"
            f"<td>{', '.join(map(str, task.dependencies)) or '-'}</td></tr>"
            for task in self.tasks
            for code in [[f"<code>{escape(part)}</code>" for part in task.parts]]
        )
        head = "<tr><th>task</th><th style='text-align:left'>call</th><th>waits for</th></tr>"
        table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
        return {"text/plain": str(self), "text/html": table, "text/vnd.mermaid": self.to_mermaid()}

    def __str__(self) -> str:
        """Write plan text that parses back to this plan."""
        join = max((task.index for task in self.tasks), default=0) + 1
        return "\n".join([*map(str, self.tasks), f"{join}. join()"])


@dataclass(frozen=True, slots=True)
class Observation:
    """What a task returned, or why it returned nothing; also of one call of a task that fans out."""

    status: Status
    """`done`, `failed` (the tool raised, or the task could not be used) or `skipped` (something it needs failed)."""
    value: JSON = None
    """What the tool returned, as a JSON value; `None` unless done.

    If some calls of a task that fanned out have failed, the list of what they returned, with `None` where one failed.
    """
    error: str = ""
    """What went wrong; empty if done."""
    attachment: object = field(default=None, compare=False)
    """Whatever the caller that ran the tool wants carried along; a tuple of them if the task fanned out."""
    cached: int = field(default=0, compare=False)
    """How many of its calls were answered from a cache."""
    batches: tuple[str, ...] = field(default=(), compare=False)
    """The calls that were made in place of its own and of others."""
    attempts: tuple[float, ...] = field(default=(), compare=False)
    """When each attempt of its call ended that was followed by another, in seconds since the first began."""
    raised: Exception | None = field(default=None, compare=False)
    """What the tool raised, if the caller that ran it noted that."""


_KEPT = 10_000  # characters of the values that the error of a fan-out tells


def gathered(results: Mapping[int, Observation]) -> Observation:
    """Make the observation of a task that fanned out, of those of its calls by element: the list, in order.

    It has failed if one call has; the list then has `None` there. If all have, there is no list.
    """
    ordered = [results[element] for element in range(len(results))]
    attachments = tuple(result.attachment for result in ordered)
    failures = [(n, result.error) for n, result in enumerate(ordered) if result.status != "done"]
    values = [result.value if result.status == "done" else None for result in ordered]
    cached = sum(result.cached for result in ordered)
    batches = tuple(dict.fromkeys(batch for result in ordered for batch in result.batches))
    if not failures:
        return Observation("done", values, attachment=attachments, cached=cached, batches=batches)
    n, error = failures[0]
    kept = cut(write_json(values), _KEPT)
    text = f"{len(failures)} of {len(ordered)} calls failed, the first on element {n}: {error}; results: {kept}"
    kept_values = values if len(failures) < len(values) else None
    return Observation("failed", kept_values, text, attachments, cached, batches)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What the compiler knows of a tool. Hints are MCP's annotations; `None` is unknown."""

    name: str
    """Its name in plans."""
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    """JSON Schema of each parameter by name, in positional order."""
    required: frozenset[str] = frozenset()
    """Parameters without a default."""
    returns: JSON = None
    """JSON Schema of the return value, or `None` if unknown."""
    definitions: Mapping[str, JSON] = field(default_factory=dict)
    """What `$ref`s in these schemas point to, by pointer such as `#/$defs/Point`."""
    open_arguments: bool = False
    """Whether it takes arguments its schema does not name."""
    description: str = ""
    """What it does, for the planner's prompt."""
    read_only: bool | None = None
    """MCP `readOnlyHint`."""
    idempotent: bool | None = None
    """MCP `idempotentHint`."""
    destructive: bool | None = None
    """MCP `destructiveHint`."""
    acts: bool = False
    """Whether its name says that it changes something, and no hint that a second call does no harm."""
    sees_state: bool = False
    """Whether it is given the graph's state besides its arguments: equal calls may then return different things."""
    is_procedure: bool = False
    """Whether it is a procedure: tasks stand in place of a call."""
    own_name: str = ""
    """Its name everywhere else, if plans cannot write that."""
    validate: Callable[[str, JSON], str | None] | None = field(default=None, compare=False)
    """Checks a constant for a parameter the way the tool will: what is wrong with it, or `None`."""

    @property
    def called(self) -> str:
        """Its name in messages, approvals and options."""
        return self.own_name or self.name

    @property
    def has_effects(self) -> bool:
        """Whether it is known to change something: such calls wait for the whole plan and keep its order."""
        return self.destructive is True or self.read_only is False

    @property
    def waits_for_plan(self) -> bool:
        """Whether calls may only start once the plan is complete: if it is written again, none is made twice."""
        return self.has_effects or self.acts

    @property
    def pollable(self) -> bool:
        """Whether it may be called until something holds: more calls do no harm."""
        return not self.waits_for_plan or bool(self.idempotent)

    @property
    def repeatable(self) -> bool:
        """Whether two equal calls are as good as one."""
        return self.read_only is True and not self.has_effects


def render_value(value: Value) -> str:
    """Write an argument as plan text."""
    match value:
        case Reference():
            return str(value)
        case Template(parts):
            return write_json(template_text(parts))
        case str():
            return write_json(value.replace("$", "$$"))
        case list():
            return "[" + ", ".join(map(render_value, value)) + "]"
        case Spread(elements):
            return f"{render_value(list(elements))}[*]"
        case dict():
            keys = (write_json(key) for key in value)
            return "{" + ", ".join(f"{k}: {render_value(v)}" for k, v in zip(keys, value.values(), strict=True)) + "}"
        case _:
            return repr(value)


def render_call(tool: str, arguments: Mapping[str, Value], positional: tuple[Value, ...] = ()) -> str:
    """Write a call as plan text, such as `search(query="K2")`.

    Arguments with a name that call syntax has no way to write, such as `page[size]`, become one dict.
    """
    if not positional and not all(map(IDENTIFIER.fullmatch, arguments)):
        return f"{tool}({render_value(dict(arguments))})"
    named = (f"{name}={render_value(value)}" for name, value in arguments.items())
    return f"{tool}({', '.join([*map(render_value, positional), *named])})"


_GLUE = tuple("0123456789.,")  # after a bare `$1`, these would be read as part of it


def template_text(parts: tuple[str | Reference, ...]) -> str:
    """Write a string with references in it, as plan text has it between its quotes."""
    text = ""
    for part, following in zip(parts, (*parts[1:], ""), strict=True):
        if isinstance(part, str):
            text += part.replace("$", "$$")
        elif part.path or (isinstance(following, str) and following[:1] in _GLUE):
            text += part.braced
        else:
            text += str(part)
    return text
