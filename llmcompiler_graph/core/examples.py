"""Worked examples for the prompt: the user's own, checked, or ones made of the user's tools.

Small models copy examples, names and all. So no prompt holds a tool that is not there: without examples of the user's,
some are made from the tools' signatures, and pass the checker like any plan.

>>> height = ToolSpec("height", {"of": {"type": "string"}}, frozenset({"of"}), {"type": "number"})
>>> minus = ToolSpec("minus", {"a": {"type": "number"}, "b": {"type": "number"}}, frozenset({"a", "b"}))
>>> for example in made_examples([height, minus]):
...     print(example.plan)
1. join()
Finish: Good morning! What can I do for you?
1. height(of="Alpha")
2. height(of="Beta")
3. minus(a=$1, b=$2)
4. join()

May know: `arguments`, `checker`, `decision`, `errors`, `expressions`, `parser`, `plan`, `references`, `schema`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, takewhile
from typing import cast

from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.checking.checker import Checker, check_plan
from llmcompiler_graph.core.checking.expressions import arithmetic
from llmcompiler_graph.core.checking.schema import Schema, alternatives, at_path, fields_of, fits, literals
from llmcompiler_graph.core.errors import ConfigurationError, Diagnostic, PlanCheckError, PlanError
from llmcompiler_graph.core.language.decision import Replan, parse_decision
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import Observation, Plan, Task, ToolSpec
from llmcompiler_graph.core.language.references import ALL, JSON, Path, Reference, Template, Value

__all__ = (
    "Outcome",
    "PlanExample",
    "briefly",
    "check_examples",
    "made_examples",
    "shown_tasks",
    "with_brief_replies",
    "with_procedures",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an example's plan, and what the joiner is to write then."""

    observations: Mapping[int, JSON | Observation]
    """What its tasks returned, `{index: value}`; `Observation("failed", error="…")` for one that failed."""
    reply: str
    """The joiner's reply, such as `Thought: …` and then `Finish: …` or `Replan: …`."""
    plan: str = ""
    """After `Replan`: the plan text that is wanted next; its indices go on."""


@dataclass(frozen=True, slots=True)
class PlanExample:
    """One worked question for the prompt."""

    question: str
    """What a user might ask."""
    plan: str
    """The plan text that is wanted for it."""
    outcomes: Sequence[Outcome] = ()
    """What came of it: one for its plan, and one for each plan of these, in order. Empty to show the plan only."""


def shown_tasks(example: PlanExample, tools: Sequence[ToolSpec] = ()) -> list[list[Task]]:
    """Read the plans of an example, each into its tasks; their arguments are named, where the tool is known.

    Raises:
        PlanError: One of them has a line that cannot be used.
    """
    checker = Checker(tools)
    return [[checker.check(task).task for task in tasks] for tasks in _written_tasks(example, tools)]


def _written_tasks(example: PlanExample, tools: Sequence[ToolSpec]) -> list[list[Task]]:
    parameters = {tool.name: tuple(tool.parameters) for tool in tools}
    plans: list[list[Task]] = []
    for text in (example.plan, *(each.plan for each in example.outcomes if each.plan)):
        parser = PlanParser((task.index for plan in plans for task in plan), tools=parameters)
        events = [*parser.feed(text), *parser.close()]
        if wrong := [each for each in events if isinstance(each, Diagnostic)]:
            raise PlanCheckError(wrong)
        plans.append([each for each in events if isinstance(each, Task)])
    return plans


def check_examples(examples: Iterable[PlanExample], tools: Sequence[ToolSpec]) -> None:
    """Refuse examples that do not fit the tools.

    Raises:
        ConfigurationError: It says which example, and where in it, by line and column.
    """
    for number, example in enumerate(examples, 1):
        if not isinstance(example, PlanExample):
            raise refused(f"example {number}", "a PlanExample", example)
        try:
            problems = _problems(example, tools)
        except PlanError as error:
            problems = str(error)
        if problems:
            msg = f"example {number} ({example.question!r}) cannot be used:\n{problems}"
            raise ConfigurationError(msg)


def _problems(example: PlanExample, tools: Sequence[ToolSpec]) -> str:
    checker = Checker(tools)
    found: list[str] = []
    plans = _written_tasks(example, tools)
    for number, tasks in enumerate(plans, 1):
        where = f"plan {number}, " if len(plans) > 1 else ""
        found += (f"{where}{problem}" for task in tasks for problem in checker.check(task).diagnostics)
    for number, (tasks, outcome) in enumerate(zip(plans, example.outcomes, strict=False), 1):
        found += (f"outcome {number}{problem}" for problem in _problems_with(outcome, tasks))
    if len(example.outcomes) > len(plans):
        found.append(f"outcome {len(plans) + 1} is that of no plan: the one before it gives no next plan")
    return "\n".join(found)


def _problems_with(outcome: Outcome, tasks: Sequence[Task]) -> Iterator[str]:
    """What is wrong with what came of a plan."""
    indices = {task.index for task in tasks}
    if indices != set(outcome.observations):
        listed = ", ".join(map(str, sorted(indices))) or "none"
        yield f" must have an observation for each task of its plan: {listed}"
    replans = isinstance(parse_decision(outcome.reply), Replan)
    if outcome.plan and not replans:
        yield ": `reply` is no `Replan: …`, but `plan` is given"
    if replans and not outcome.plan:
        yield ": `reply` asks for another plan, but `plan` is empty"


# -- as short as they can be ------------------------------------------------------------------------------------------


def briefly(example: PlanExample, tools: Sequence[ToolSpec], *, joined: bool = False) -> PlanExample:
    r"""Write an example with a call on each line and nothing else, and with the joiner's answers alone.

    What could not be read in that form as it was meant stays as it is: such as plans whose first number is not 1.

    >>> height = ToolSpec("height", {"of": {"type": "string"}}, frozenset({"of"}))
    >>> example = PlanExample("K2?", 'Thought: look it up\n1. height(of="K2")\n2. join()')
    >>> briefly(example, [height]).plan
    'height("K2")'
    >>> briefly(example, [height], joined=True).plan
    'height(of="K2")\njoin()'

    Args:
        example: An example that fits the tools.
        tools: The tools.
        joined: Whether arguments are named and plans end with `join()`, as grammars have it; else arguments stand by
            position as far as they can.
    """
    plans = [[replace(task, thought="") for task in tasks] for tasks in shown_tasks(example, tools)]
    for named in (True,) if joined else (False, True):
        short = _shortened(example, plans, {tool.name: tool for tool in tools}, named=named, joined=joined)
        if _says(short, plans, tools):
            example = short
            break
    return with_brief_replies(example)


def with_brief_replies(example: PlanExample) -> PlanExample:
    """An example in which the joiner's replies have no thought, and no word before the answer."""
    outcomes = (replace(each, reply=_brief_reply(each.reply)) for each in example.outcomes)
    return replace(example, outcomes=tuple(outcomes))


def _shortened(
    example: PlanExample, plans: Sequence[Sequence[Task]], tools: Mapping[str, ToolSpec], *, named: bool, joined: bool
) -> PlanExample:
    """An example whose plans have neither numbers nor thoughts."""

    def text(given: str, tasks: Sequence[Task]) -> str:
        if not tasks:
            return _JOIN_NUMBER.sub("", given)
        calls = [_brief_line(task, tools.get(task.tool), named=named) for task in tasks]
        return "\n".join([*calls, *(["join()"] if joined else [])])

    following = iter(plans[1:])
    outcomes = (replace(each, plan=each.plan and text(each.plan, next(following))) for each in example.outcomes)
    return replace(example, plan=text(example.plan, plans[0]), outcomes=tuple(outcomes))


_JOIN_NUMBER = re.compile(r"^\s*\d+\.[ \t]*(?=join\()")


def _brief_line(task: Task, tool: ToolSpec | None, *, named: bool) -> str:
    """A task without its number, its arguments in the order that grammars have."""
    arguments = dict(task.arguments)
    parameters = list(tool.parameters) if tool else []
    first = [] if named else list(takewhile(arguments.__contains__, parameters))
    positional = (*(arguments.pop(name) for name in first), *task.positional)
    needed_first = sorted(parameters, key=lambda name: tool is not None and name not in tool.required)
    ordered = {name: arguments[name] for name in dict.fromkeys([*needed_first, *arguments]) if name in arguments}
    return str(replace(task, arguments=ordered, positional=positional)).partition(". ")[2]


def _says(example: PlanExample, plans: Sequence[Sequence[Task]], tools: Sequence[ToolSpec]) -> bool:
    """Whether an example's plans are read as these."""
    try:
        return shown_tasks(example, tools) == plans
    except PlanError:
        return False


def _brief_reply(reply: str) -> str:
    """A joiner's reply without its thought, and without a word before the answer, if it is still read as it was."""
    decision = parse_decision(reply)
    short = f"Replan: {decision.feedback}" if isinstance(decision, Replan) else decision.answer
    read = parse_decision(short)
    same = replace(decision, thought="") if isinstance(decision, Replan) else decision
    return short if read == same else reply


# -- made of the tools -------------------------------------------------------------------------------------------------

_NUMBERS = ("number", "integer")
_LOOKED_AT = 24  # tools; more are not needed to find some that fit
_EXPRESSIONS = ("expression", "expr", "formula")  # names of parameters; other calculators say so in their schemas


def made_examples(tools: Iterable[ToolSpec], *, brief: bool = False) -> tuple[PlanExample, ...]:
    """Make up to three examples of the tools at hand: no call, calls in parallel that one reads, calls in a chain.

    Args:
        tools: The tools.
        brief: Whether to leave out the one without a call. They are in full all the same (see `briefly`).
    """
    known = list(islice(tools, _LOOKED_AT))
    readers = [tool for tool in known if not tool.has_effects]
    parallel = next(chain(_combined(readers), _alone(readers or known)), None)
    chained = next(_chained(readers), None)
    made = [each for each in (parallel, chained) if each is not None]
    greeting = PlanExample("Good morning!", "1. join()\nFinish: Good morning! What can I do for you?")
    return (*([greeting] if known and not brief else ()), *made)


def with_procedures(
    examples: Sequence[PlanExample], tools: Sequence[ToolSpec], procedures: Mapping[str, Collection[str]]
) -> tuple[PlanExample, ...]:
    """Add an example of a call of each procedure that none calls yet, and leave out those that write one out.

    Small models copy examples: with one that calls the tools of a procedure, they never call the procedure.

    Args:
        examples: The examples.
        tools: What plans may call, procedures included.
        procedures: By name, the tools that each calls.
    """
    used = [{task.tool for plan in _written_tasks(example, tools) for task in plan} for example in examples]
    known = {tool.name: tool for tool in tools}
    made = {
        name: example
        for name in procedures
        if not any(name in each for each in used)
        for example in _checked([Task(1, name, _different(known[name]))], tools, _what(known[name]))
    }
    written_out = [set(procedures[name]) for name in made]
    kept = [each for each, called in zip(examples, used, strict=True) if called not in written_out]
    return (*kept, *made.values())


def _different(tool: ToolSpec) -> dict[str, Value]:
    """A value for each required parameter, another one for each."""
    named = (name for name in tool.parameters if name in tool.required)
    return {name: cast("Value", _constant(name, tool.parameters[name], tool, n)) for n, name in enumerate(named)}


def _combined(tools: Sequence[ToolSpec]) -> Iterator[PlanExample]:
    """Two calls of one tool, and a third call that takes a part of what each returned, by type."""
    for consumer in sorted(tools, key=_numbers_taken, reverse=True):
        for producer in tools:
            if producer.name != consumer.name:
                for value in _joint_arguments(producer, consumer):
                    plan = [*_calls(producer, 2), Task(3, consumer.name, value)]
                    yield from _checked(plan, tools, f"{_what(producer)}, then {_what(consumer)}")


def _alone(tools: Sequence[ToolSpec]) -> Iterator[PlanExample]:
    for tool in tools:
        if tool.parameters:
            yield from _checked(_calls(tool, 2), tools, _what(tool))
    for tool in tools:
        yield from _checked(_calls(tool, 1), tools, _what(tool))


def _chained(tools: Sequence[ToolSpec]) -> Iterator[PlanExample]:
    """A call, and one that takes a field of what it returned by name; of all its elements, if it returned a list."""
    for consumer in tools:
        for name in consumer.required:
            for producer in tools:
                if producer is not consumer:
                    yield from _handed_on(producer, consumer, name, tools)


def _handed_on(producer: ToolSpec, consumer: ToolSpec, name: str, tools: Sequence[ToolSpec]) -> Iterator[PlanExample]:
    """A call of one tool, and one of another that takes what it returned under the same name."""
    parameter = consumer.parameters.get(name)
    for path, schema in _paths(producer):
        if _is_named(path, name) and fits(schema, parameter, consumer.definitions, producer.definitions):
            given: dict[str, Value] = {**_constants(consumer, 0), name: Reference(1, path)}
            plan = [*_calls(producer, 1), Task(2, consumer.name, given)]
            yield from _checked(plan, tools, f"{_what(producer)}, then {_what(consumer)}")


def _is_named(path: Path, name: str) -> bool:
    """Whether a path leads to a field that is named as a parameter is: `id` for `id` or `user_id`."""
    key = path[-1] if path else None
    return isinstance(key, str) and (key == name or name.endswith(f"_{key}"))


def _joint_arguments(producer: ToolSpec, consumer: ToolSpec) -> Iterator[dict[str, Value]]:
    """Arguments of a call that reads two earlier calls, of types that fit."""
    rest = _constants(consumer, 0)
    required = [name for name in consumer.parameters if name in consumer.required]
    for path, schema in _paths(producer):
        if ALL not in path:
            one, two = Reference(1, path), Reference(2, path)
            taking = [name for name in required if _takes(consumer, consumer.parameters[name], producer, schema)]
            if len(taking) >= 2:
                yield {**rest, taking[0]: one, taking[1]: two}
            joint = ((name, _both_in_one(name, consumer, producer, schema, (one, two))) for name in required)
            yield from ({**rest, name: both} for name, both in joint if both is not None)
    if _is(producer.returns, producer, "string"):
        texts = (name for name in required if _is_text(name, consumer))
        yield from ({**rest, name: Template((Reference(1), " and ", Reference(2)))} for name in texts)


def _is_text(name: str, tool: ToolSpec) -> bool:
    return _is(tool.parameters[name], tool, "string") and not _is_expression(name, tool)


def _both_in_one(
    name: str, consumer: ToolSpec, producer: ToolSpec, schema: Schema, both: tuple[Reference, Reference]
) -> Value:
    """An argument that takes two values of a type: an expression of two numbers, or a list; `None` if it takes none."""
    parameter, number = consumer.parameters[name], _is(schema, producer, *_NUMBERS)
    if number and _is_expression(name, consumer):
        return Template((both[0], " - ", both[1]))
    if not _is(parameter, consumer, "array"):
        return None
    items = at_path(parameter, (0,), consumer.definitions)
    takes = fits(schema, items, consumer.definitions, producer.definitions)
    return [*both] if takes and number == _is(items, consumer, *_NUMBERS) else None


def _takes(consumer: ToolSpec, parameter: Schema, producer: ToolSpec, schema: Schema) -> bool:
    """Whether a parameter is made for values of a type: a number for numbers, text for anything else."""
    wanted = _NUMBERS if _is(schema, producer, *_NUMBERS) else ("string",)
    fitting = fits(schema, parameter, consumer.definitions, producer.definitions)
    return fitting and _is(parameter, consumer, *wanted)


def _is(schema: Schema, tool: ToolSpec, *types: str) -> bool:
    """Whether a schema says that its values are of these types, or of none."""
    named = [str(each["type"]) for each in alternatives(schema, tool.definitions)]
    return bool(named) and set(named) <= {*types, "null"} and set(named) != {"null"}


def _is_expression(name: str, tool: ToolSpec) -> bool:
    schema = tool.parameters[name]
    return _is(schema, tool, "string") and (name in _EXPRESSIONS or arithmetic(schema, tool.definitions))


def _numbers_taken(tool: ToolSpec) -> int:
    """How many numbers a tool needs: those that take two are made to combine."""
    needed = [name for name in tool.required if name in tool.parameters]
    return sum(_is(tool.parameters[name], tool, *_NUMBERS) or _is_expression(name, tool) for name in needed)


def _paths(tool: ToolSpec) -> Iterator[tuple[Path, Schema]]:
    """What of an observation can be taken: all of it, its numbers, its other fields; of a list, of its elements."""
    if tool.returns is None:
        return
    found: list[tuple[Path, Schema]] = [((), tool.returns)]
    for option in alternatives(tool.returns, tool.definitions):
        is_list = option["type"] == "array"
        prefix: Path = (ALL,) if is_list else ()
        for inner in alternatives(option.get("items") if is_list else option, tool.definitions):
            found += (((*prefix, name), of) for name, of in fields_of(inner).items())
    yield from sorted(found, key=lambda each: not _is(each[1], tool, *_NUMBERS))


def _calls(tool: ToolSpec, count: int) -> list[Task]:
    return [Task(n + 1, tool.name, _constants(tool, n)) for n in range(count)]


def _constants(tool: ToolSpec, variant: int) -> dict[str, Value]:
    """A value for each required parameter; other ones for another variant, if there are others."""
    named = [name for name in tool.parameters if name in tool.required]
    if not named and variant >= 0:  # of two calls without arguments, one would do
        named = [name for name in tool.parameters if _is(tool.parameters[name], tool, "string")][:1]
    return {name: cast("Value", _constant(name, tool.parameters[name], tool, variant)) for name in named}


_TEXTS = {
    "date": ("2026-01-31", "2026-02-28"),
    "date-time": ("2026-01-31T12:00:00Z", "2026-02-28T12:00:00Z"),
    "time": ("12:00:00Z", "18:30:00Z"),
    "email": ("alpha@example.com", "beta@example.com"),
    "uri": ("https://example.com/alpha", "https://example.com/beta"),
    "uuid": ("123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174001"),
}
_NAMED = {"email": "email", "url": "uri", "uri": "uri", "date": "date"}


def _constant(name: str, schema: Schema, tool: ToolSpec, variant: int) -> JSON:
    """A value as the schema suggests it: one of its examples or of the values it lists; else by type and name."""
    said = schema if isinstance(schema, dict) else {}
    listed = (said.get("examples"), literals(schema, tool.definitions))
    values = next((values for values in listed if isinstance(values, list) and values), None)
    if values is not None:
        return values[variant % len(values)]
    option = _first_option(schema, tool)
    match option["type"]:
        case "boolean":
            return variant % 2 == 0
        case "integer":
            return int(_least(option)) + variant
        case "number":
            return float(_least(option)) + variant
        case "array":
            return [_constant(name, option.get("items"), tool, variant)]
        case "object":
            return {field: _constant(field, of, tool, variant) for field, of in _required(option).items()}
        case _:
            form = option.get("format") or _NAMED.get(name.rpartition("_")[2])
            texts = _TEXTS.get(str(form), ("Alpha", "Beta", "Gamma", "Delta"))
            return texts[variant % len(texts)]


def _first_option(schema: Schema, tool: ToolSpec) -> Mapping[str, JSON]:
    """The first type of a schema that is not null; text, if it says nothing."""
    options = alternatives(schema, tool.definitions)
    return next((option for option in options if option["type"] != "null"), {"type": "string"})


def _least(option: Mapping[str, JSON]) -> float:
    """A small number that a schema allows, if it says from where on."""
    match option:
        case {"minimum": int() | float() as least}:
            return least
        case {"exclusiveMinimum": int() | float() as least} if "minimum" not in option:
            return least + 1
        case _:
            return 1


def _required(option: Mapping[str, JSON]) -> dict[str, JSON]:
    """The fields that an object must have, with their schemas."""
    match option:
        case {"properties": dict() as properties, "required": list() as required}:
            return {name: schema for name, schema in properties.items() if name in required}
        case _:
            return {}


def _checked(tasks: Sequence[Task], tools: Sequence[ToolSpec], what: str) -> Iterator[PlanExample]:
    """An example of these tasks, if the checker has nothing against them."""
    plan = Plan(tuple(tasks))
    try:
        check_plan(plan, tools)
    except PlanError:
        return
    named = [str(value) for task in tasks for value in task.arguments.values() if _is_constant(value)]
    about = " and ".join(dict.fromkeys(named))
    yield PlanExample(f"For {about}: {what}?" if about else f"{what[:1].upper()}{what[1:]}?", str(plan))


def _is_constant(value: Value) -> bool:
    return isinstance(value, str | int | float)


def _what(tool: ToolSpec) -> str:
    """What a tool is for, in its own words."""
    first = re.split(r"\n|[\s,(]+(?:e\.g\.|such as)|\.(?:\s|$)", tool.description.strip())[0]
    return f"{first[:1].lower()}{first[1:]}" if first and len(first) < 120 else tool.name.replace("_", " ")
