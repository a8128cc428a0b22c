"""The system message: what the tools are, how plans and decisions are written, and examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from langchain_core.messages import SystemMessage

from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.checking.schema import alternatives, describe, fields_of
from llmcompiler_graph.core.examples import PlanExample, briefly, made_examples, shown_tasks, with_brief_replies
from llmcompiler_graph.core.language.json_text import write_json
from llmcompiler_graph.core.language.plan import Observation, ToolSpec
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.models.wording import (
    ASK,
    PlanFormat,
    decision_request,
    next_plan_request,
    observations_text,
    outcome_line,
)

__all__ = ("listing", "parameters_told", "signature", "system_message")

_LIMITS = (
    *("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
    *("pattern", "format", "minItems", "maxItems", "uniqueItems", "examples"),
)
_DEEPEST = 3  # fields within fields whose descriptions are shown

_TASK = "You answer questions by planning tool calls. They run in parallel, as early as their inputs allow."
_TEXT = """\
# Plans
Asked for a plan, write one tool call per line, numbered, with its arguments by name, and `join()` on the last line.
- `$1` is what task 1 returned. `${1.name}` is a field of it, `${1.items[0]}` an element. Refer only to earlier \
tasks.
- `${1.items[*].id}` runs the task once for every element.
- `$$` is a dollar sign. A call followed by `after $3` runs after task 3 without using what it returned.
- Tasks that do not refer to each other run at the same time: look things up separately, then combine.
- Leave comparing and arithmetic to tools if there is one for it. Call only the tools above, only as often as needed.
- If no tool is needed, the plan is `1. join()`{answer}."""
_BRIEF_TEXT = """\
# Plans
Asked for a plan, write the tool calls that it takes, one per line{end} tasks 1, 2, 3 and so on.
- `$1` is what task 1 returned, `${1.name}` a field of it, `$1[0]` an element. Refer only to earlier tasks.
- `["a", "b"][*]` or `${1.items[*].id}` as an argument makes a call for every element, all as one task: `$N` is the \
list.
- `$$` is a dollar sign. `after $3` behind a call lets it wait for task 3.
- Tasks that do not refer to each other run at the same time: look things up separately, then combine.
- Leave comparing and arithmetic to tools if there is one for it. Call only the tools above, only as often as needed.
- If no tool is needed, write `join()`{answer}."""
_BARE = " and nothing else: they are"
_JOINED = ", with its arguments by name, and `join()` on the last line. The calls are"
_CALLS = """\
# Plans
Asked for a plan, call all the tools that are needed in this one reply, without waiting for what they return.
- `{task}` numbers the calls: 1, 2, 3 and so on.
- Any argument may refer to earlier calls: `"$1"` is what call 1 returned, `"${1.name}"` a field of it, \
`"${1.items[0]}"` an element. References may stand inside text too: `"$1 and $2"`. `"$$"` is a dollar sign.
- `"${1.items[*].id}"` makes the call once for every element.
- `{after}` lists calls that must be finished first although nothing of theirs is used.
- Calls that do not refer to each other run at the same time: look things up separately, then combine.
- Leave comparing and arithmetic to tools if there is one for it. Call tools only as often as needed.
- If no tool is needed, {answer} and call none.
Calls are shown to you as numbered lines, written as in Python."""
_GUARDS = """
- A call followed by `when ${1.total} > 100 and ${2.state} == "open"` runs only if that holds; else it is skipped, and \
what needs it. Use `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `and`, `or`, `not`, references and constants."""
_REPETITION = """
- A call followed by `until ${2.state} == "done" max 10 every 5` (it is call 2 itself) is made again until that holds, \
10 times at most, 5 seconds apart. Use it to wait for something, with tools that only read."""
_ANSWER: dict[PlanFormat, tuple[str, str]] = {  # what else a planner writes that does not or does answer by itself
    "text": ("", ", with the answer on the next line: `Finish: …`"),
    "tools": ("say so", "write `Finish: ` and the answer"),
}
_DECISIONS = """\
# Decisions
Shown what the tasks returned, write a line of thought, then the answer in a full sentence, or what another plan must \
find out. Such as:
Thought: The lengths were found and their difference was calculated.
Finish: The Danube is longer than the Rhine, by 1,620 km.
or:
Thought: The length of the Rhine was not found.
Replan: Look up the Rhine under another name."""
_BRIEF_DECISIONS = """\
# Answers
Shown what the tasks returned, write the answer itself, in a full sentence and nothing else. Or, if something needed \
is missing, what another plan must find out, such as `Replan: Look up the Rhine under another name.`"""
_ANSWERED = "\nFinish:"  # what stands behind the plan that calls no tool
_REPLAN_WITH_PLAN = """
Below `Replan: …`, write that plan at once."""


def signature(tool: ToolSpec) -> str:
    """Write a tool the way a Python function is declared, with what it returns.

    >>> signature(ToolSpec("height", {"of": {"type": "string"}}, frozenset({"of"}), {"type": "number"}))
    'height(of: str) -> float'
    """
    parameters = []
    for name, schema in tool.parameters.items():
        default = schema.get("default") if isinstance(schema, dict) else None
        optional = "" if name in tool.required else f" = {default!r}"
        parameters.append(f"{name}: {describe(schema, tool.definitions)}{optional}")
    returns = f" -> {describe(tool.returns, tool.definitions)}" if tool.returns is not None else ""
    return f"{tool.name}({', '.join(parameters)}){returns}"


def system_message(
    tools: Iterable[ToolSpec],
    examples: Sequence[PlanExample] | None = (),
    system_prompt: str | SystemMessage = "",
    *,
    fused: bool = False,
    plan_format: PlanFormat = "text",
    numbered_by: tuple[str, str] = ("task", "after"),
    tools_last: bool = False,
    answers: bool = False,
    guards: bool = False,
    repetition: bool = False,
    brief: bool = False,
    joined: bool = False,
) -> SystemMessage:
    """Write the system message, the same for every call of one graph.

    Args:
        tools: What plans may call; a model that calls tools natively is given them otherwise.
        examples: Shown in full; `None` for those that can be made of the tools.
        system_prompt: Stands before everything else; the content blocks of a message stay as they are.
        fused: Whether the joiner's reply is to hold the next plan.
        plan_format: How the planner model writes plans.
        numbered_by: The arguments of a native call that hold its index and the tasks it waits for.
        tools_last: Whether what does not depend on the tools comes first: then that is the same for every question.
        answers: Whether the planner answers by itself what needs no tool.
        guards: Whether it is told of guards.
        repetition: Whether it is told of repetition.
        brief: Whether the models are to write no more than it takes; examples are shown in that form (see `briefly`),
            with native calls only what the joiner replies.
        joined: Whether brief plans are to end with `join()` all the same, and to name arguments: small models do not
            stop otherwise, and grammars have it so.

    Raises:
        ConfigurationError: `system_prompt` is neither text nor a message.
    """
    if not isinstance(system_prompt, str | SystemMessage):
        raise refused("system_prompt", "text or a SystemMessage", system_prompt)
    answer = _ANSWER[plan_format][answers]
    tools = list(tools)
    is_brief_text = brief and plan_format == "text"
    examples = made_examples(tools, brief=is_brief_text) if examples is None else examples
    decisions = (_BRIEF_DECISIONS if brief else _DECISIONS) + (_REPLAN_WITH_PLAN if fused else "")
    if plan_format == "text":
        listed = "# Tools\n" + (listing(tools) or "(none)")
        plans = (_BRIEF_TEXT if brief else _TEXT).replace("{answer}", answer)
        plans = plans.replace("{end}", _JOINED if joined else _BARE)
        plans += (_GUARDS if guards else "") + (_REPETITION if repetition else "")
        sections = [_TASK, listed, plans, decisions]
        if tools_last:
            sections = [_TASK, plans.replace("tools above", "tools below"), decisions, listed]
    else:
        calls = _CALLS.replace("{task}", numbered_by[0]).replace("{after}", numbered_by[1]).replace("{answer}", answer)
        sections = [_TASK, calls, decisions]
    if examples:
        how = partial(_example, tools=tools, plan_format=plan_format, fused=fused, answers=answers)
        written = (how(each, brief=brief, joined=joined) for each in examples)
        sections.append("# Examples" + "".join(f"\n{each}\n" for each in written))
    given = system_prompt if isinstance(system_prompt, SystemMessage) else SystemMessage(system_prompt)
    if isinstance(given.content, str):
        content: Any = "\n\n".join(filter(None, [given.content.strip(), *sections]))
    else:
        content = [*given.content, {"type": "text", "text": "\n\n".join(sections)}]
    return given.model_copy(update={"content": content})


def listing(tools: Iterable[ToolSpec]) -> str:
    """Write the signature of each tool, and what it says of itself and of its parameters."""
    lines: list[str] = []
    for tool in tools:
        lines.append(f"- {signature(tool)}")
        lines += (f"  {line.strip()}" for line in tool.description.splitlines() if line.strip())
        lines += (f"  - {where}: {text}" for where, text in parameters_told(tool))
    return "\n".join(lines)


def parameters_told(tool: ToolSpec) -> Iterator[tuple[str, str]]:
    """What a tool's schema says of its parameters, and of the fields in them, but what its description says too.

    >>> fields = {"type": "object", "properties": {"city": {"type": "string", "description": "Such as Rome, IT."}}}
    >>> days = {"type": "integer", "minimum": 1, "maximum": 10}
    >>> list(parameters_told(ToolSpec("weather", {"where": {"type": "array", "items": fields}, "days": days})))
    [('where[*].city', 'Such as Rome, IT.'), ('days', '(minimum 1, maximum 10)')]
    """
    said, told = " ".join(tool.description.split()), set[int]()
    pending = [(name, schema, _DEEPEST) for name, schema in tool.parameters.items()]
    while pending:
        where, schema, left = pending.pop(0)
        if id(schema) in told:  # the fields of a type are told of once
            continue
        told.add(id(schema))
        text = schema.get("description") if isinstance(schema, dict) else None
        line = " ".join(text.split()) if isinstance(text, str) else ""
        limits = _limits(schema, tool)
        if line := " ".join(filter(None, [line if line not in said else "", f"({limits})" if limits else ""])):
            yield where, line
        if left:
            pending[:0] = ((f"{where}{path}", field, left - 1) for path, field in _fields_in(schema, tool))


def _limits(schema: JSON, tool: ToolSpec) -> str:
    """What a schema says of a value besides its type, in JSON Schema's words: `minimum 1, maximum 10`."""
    found: dict[str, JSON] = {}
    for option in [*([schema] if isinstance(schema, dict) else ()), *alternatives(schema, tool.definitions)]:
        found.update((key, option[key]) for key in _LIMITS if option.get(key) not in (None, "arithmetic"))
    return ", ".join(f"{key} {found[key] if isinstance(found[key], str) else write_json(found[key])}" for key in found)


def _fields_in(schema: JSON, tool: ToolSpec) -> Iterator[tuple[str, JSON]]:
    """The fields of an object, or of the elements of a list, with their paths."""
    for option in alternatives(schema, tool.definitions):
        elements = alternatives(option["items"], tool.definitions) if "items" in option else ()
        for at, each in [("", option), *(("[*]", element) for element in elements)]:
            for name, field in fields_of(each).items():
                yield f"{at}.{name}", field


def _example(
    example: PlanExample,
    *,
    tools: Sequence[ToolSpec],
    plan_format: PlanFormat,
    fused: bool,
    answers: bool,
    brief: bool,
    joined: bool,
) -> str:
    """Write an example as the conversation it would be."""
    plans = shown_tasks(example, tools) if example.outcomes else []
    if brief:
        example = briefly(example, tools, joined=joined) if plan_format == "text" else with_brief_replies(example)
    plan = example.plan.strip()
    parts = [example.question, f"{ASK[plan_format]}\n{plan if answers else plan.partition(_ANSWERED)[0]}"]
    last = 0
    for tasks, outcome in zip(plans, example.outcomes, strict=False):
        lines: list[str] = []
        missing: list[int] = []
        for task in tasks:
            given = outcome.observations[task.index]
            what = given if isinstance(given, Observation) else Observation("done", given)
            lines.append(outcome_line(str(replace(task, thought="")), what.status, what.value, what.error, 1000))
            missing += [task.index] if what.status != "done" else []
        last = max([last, *(task.index for task in tasks)])
        request = decision_request(last + 1, fused=fused, brief=brief)
        parts += [observations_text(lines, missing, request), outcome.reply.strip()]
        if outcome.plan and fused:
            parts[-1] += f"\n{outcome.plan.strip()}"
        elif outcome.plan:
            request = next_plan_request(last + 1, plan_format, example.question, brief=brief)
            parts.append(f"{request}\n{outcome.plan.strip()}")
    return "\n\n".join(parts)
