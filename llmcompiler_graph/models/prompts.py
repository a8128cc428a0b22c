"""What the models are told: one conversation that only ever grows.

    system    what the tools are, how a plan and a decision are written, examples: the same bytes for every call
    user      the question                          ┐
    assistant the plan, as the model wrote it       │ the planner's call sees up to here, less the plan;
   (user      what is wrong with it                 │ a repair's, up to here;
    assistant the tasks again)                      │
    user      the observations; finish or replan?   │ the joiner's, up to here, less its reply;
    assistant the joiner's reply                    │ a replan goes on from there
    user      write the next plan                   ┘ (unless the joiner's reply has it: `fuse_replan`)

So planner, joiner and replans of one model share the longest prefix there can be, and prompt caches hit. Observations
are quoted as JSON: nothing a tool returns can pass for plan text or for another observation. Of earlier turns stands
what was said, and in short what tools returned for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any, Literal, TypeAlias, cast

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)

from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.checking.schema import describe
from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.examples import PlanExample, shown_tasks
from llmcompiler_graph.core.language.json_text import read_json
from llmcompiler_graph.core.language.plan import Observation, ToolSpec, render_call
from llmcompiler_graph.core.language.references import joined_surrogates, parse_template
from llmcompiler_graph.models.observations import Images, has_images, shown
from llmcompiler_graph.state import PARTIAL_RESULTS, LLMCompilerState, Round, TaskRecord, plan_name, task_from_record

__all__ = (
    "PlanFormat",
    "conversation",
    "edit_notes",
    "listing",
    "plan_or_join",
    "question_position",
    "repair_request",
    "sendable",
    "signature",
    "system_message",
    "turn_position",
)

PlanFormat: TypeAlias = Literal["text", "tools"]
"""How a planner model writes: plan text, or native tool calls."""


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
- If no tool is needed, the plan is `1. join()`."""
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
- If no tool is needed, say so and call none.
Calls are shown to you as numbered lines, written as in Python."""
_DECISIONS = """\
# Decisions
Shown what the tasks returned, write a line of thought, then the answer in a full sentence, or what another plan must \
find out. Such as:
Thought: The lengths were found and their difference was calculated.
Finish: The Danube is longer than the Rhine, by 1,620 km.
or:
Thought: The length of the Rhine was not found.
Replan: Look up the Rhine under another name."""
_REPLAN_WITH_PLAN = """
Below `Replan: …`, write that plan at once."""

_ASK: dict[PlanFormat, str] = {"text": "Write the plan.", "tools": "Call the tools that are needed."}
_HOW: dict[PlanFormat, str] = {
    "text": " Each call is a line of its own, as `1. tool(argument=…)`; if no tool is needed, write `1. join()`.",
    "tools": " If none is needed, say so.",
}
_DECIDE = "Finish with the answer, or replan if something needed is missing."
_DECIDE_FUSED = (
    "Finish with the answer, or if something needed is missing, replan and write the next plan below, numbered from "
    "{following}. Refer to what earlier tasks returned instead of repeating them."
)
_DECIDE_LAST = "No other plan is possible. Finish with the best answer that what is known allows."
_AGAIN = "The question again: {question}\n"  # where a small model looks first when it writes what comes next
_AGAIN_CHARS = 500
_FOUND = "Found for it:"
_EARLIER_CHARS = 1000  # shown of what a call returned in an earlier turn
_MISSING = "{tasks} returned nothing: do not guess what.\n"  # small models add up what is there, and call it the sum


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
    examples: Sequence[PlanExample] = (),
    system_prompt: str | SystemMessage = "",
    *,
    fused: bool = False,
    plan_format: PlanFormat = "text",
    numbered_by: tuple[str, str] = ("task", "after"),
    tools_last: bool = False,
) -> SystemMessage:
    """Write the system message, the same for every call of one graph.

    Args:
        tools: What plans may call; a model that calls tools natively is given them otherwise.
        examples: Shown in full.
        system_prompt: Stands before everything else; the content blocks of a message stay as they are.
        fused: Whether the joiner's reply is to hold the next plan.
        plan_format: How the planner model writes plans.
        numbered_by: The arguments of a native call that hold its index and the tasks it waits for.
        tools_last: Whether what does not depend on the tools comes first: then that is the same for every question.

    Raises:
        ConfigurationError: `system_prompt` is neither text nor a message.
    """
    if not isinstance(system_prompt, str | SystemMessage):
        raise refused("system_prompt", "text or a SystemMessage", system_prompt)
    decisions = _DECISIONS + (_REPLAN_WITH_PLAN if fused else "")
    if plan_format == "text":
        listed = "# Tools\n" + (listing(tools) or "(none)")
        sections = [_TASK, listed, _TEXT, decisions]
        if tools_last:
            sections = [_TASK, _TEXT.replace("tools above", "tools below"), decisions, listed]
    else:
        calls = _CALLS.replace("{task}", numbered_by[0]).replace("{after}", numbered_by[1])
        sections = [_TASK, calls, decisions]
    if examples:
        sections.append(
            "# Examples" + "".join(f"\n{_example(example, plan_format, fused=fused)}\n" for example in examples)
        )
    given = system_prompt if isinstance(system_prompt, SystemMessage) else SystemMessage(system_prompt)
    if isinstance(given.content, str):
        content: Any = "\n\n".join(filter(None, [given.content.strip(), *sections]))
    else:
        content = [*given.content, {"type": "text", "text": "\n\n".join(sections)}]
    return given.model_copy(update={"content": content})


def listing(tools: Iterable[ToolSpec]) -> str:
    """Write the signature of each tool, and what it says of itself."""
    lines: list[str] = []
    for tool in tools:
        lines.append(f"- {signature(tool)}")
        lines += (f"  {line.strip()}" for line in tool.description.splitlines() if line.strip())
    return "\n".join(lines)


def _example(example: PlanExample, plan_format: PlanFormat, *, fused: bool) -> str:
    """Write an example as the conversation it would be."""
    parts = [example.question, f"{_ASK[plan_format]}\n{example.plan.strip()}"]
    last = 0
    for tasks, outcome in zip(shown_tasks(example) if example.outcomes else (), example.outcomes, strict=False):
        lines: list[str] = []
        missing: list[int] = []
        for task in tasks:
            given = outcome.observations[task.index]
            what = given if isinstance(given, Observation) else Observation("done", given)
            lines.append(_line(str(replace(task, thought="")), what.status, what.value, what.error, 1000))
            missing += [task.index] if what.status != "done" else []
        last = max([last, *(task.index for task in tasks)])
        parts += [_told(lines, missing, _decide(last + 1, fused=fused)), outcome.reply.strip()]
        if outcome.plan and fused:
            parts[-1] += f"\n{outcome.plan.strip()}"
        elif outcome.plan:
            parts.append(f"{_go_on(last + 1, plan_format, example.question)}\n{outcome.plan.strip()}")
    return "\n\n".join(parts)


def question_position(messages: Sequence[AnyMessage]) -> int:
    """Where the message stands that the current turn answers: the last one that is no answer, task or system message.

    A system message behind it is context that was added to it.
    """
    for no_question in ((AIMessage, ToolMessage, SystemMessage), (AIMessage, ToolMessage)):
        for position in range(len(messages) - 1, -1, -1):
            if not isinstance(messages[position], no_question):
                return position
    return max(0, len(messages) - 1)


def conversation(
    system: SystemMessage,
    state: LLMCompilerState,
    *,
    last: bool = False,
    fused: bool = False,
    max_observation_chars: int = 4000,
    plan_format: PlanFormat = "text",
    more: Mapping[int, str] | None = None,
) -> list[BaseMessage]:
    """Write the prompt for whichever call is next: the planner's if the last round has its reply, else the joiner's.

    Args:
        system: The system message.
        state: Its `rounds` are those of the current turn.
        last: Whether no other plan is possible.
        fused: Whether the joiner's reply is to hold the next plan.
        max_observation_chars: Longer observations are cut here, and said to be; the data stays whole.
        plan_format: How the planner model writes plans.
        more: The tools that are shown only from a replan on, listed, by its round.
    """
    more = more or {}
    messages = state["messages"]
    position = turn_position(state)
    before, question = messages[:position], messages[position]
    prompt: list[BaseMessage] = [system, *_earlier(before, min(max_observation_chars, _EARLIER_CHARS))]
    rounds, tasks = state.get("rounds", []), state.get("tasks", [])
    added = _before_plan(messages[position + 1 :], {task["tool_call_id"] for task in tasks})
    own = [message.text for message in (*before, *added) if isinstance(message, SystemMessage)]
    prompt.append(HumanMessage(_with_text(question, own, [*_findings(added), _ASK[plan_format]])))
    following = 1
    for number, round_ in enumerate(rounds):
        if not round_.get("adopted"):
            goes_on = _go_on(following, plan_format, question.text, more.get(number, ""))
            prompt += [HumanMessage(goes_on)] if number else []
            prompt.append(AIMessage(plan_or_join(round_["plan"])))
        for repair in round_.get("repairs", ()):
            prompt += [HumanMessage(repair["request"]), AIMessage(plan_or_join(repair["plan"]))]
        mine = [task for task in tasks if task["round"] == number]
        following = max([following - 1, *(task["index"] for task in mine)]) + 1
        is_last = last and number == len(rounds) - 1
        decide = _DECIDE_LAST if is_last else _decide(following, fused=fused)
        prompt += _observations(mine, messages, round_, decide, max_observation_chars)
        if round_["reply"]:
            prompt.append(AIMessage(round_["reply"].strip()))
    if rounds and rounds[-1]["reply"] and not state.get("next_plan"):
        prompt.append(HumanMessage(_go_on(following, plan_format, question.text, more.get(len(rounds), ""))))
    return [sendable(message) for message in prompt]


_LINE_ENDS = dict.fromkeys(map(ord, "\x85\u2028\u2029"), "\n")
_AS_WRITTEN = {ord("\x85"): "\\x85", ord("\u2028"): "\\u2028", ord("\u2029"): "\\u2029"}


def sendable(message: BaseMessage) -> BaseMessage:
    """A message as providers take it, and as one sees it: without halves of characters and line ends that are none.

    Of what people wrote these ends become line breaks, in what models wrote they are escaped: there a line is a call.
    """
    ends = _AS_WRITTEN if isinstance(message, AIMessage) else _LINE_ENDS

    def cleaned(text: str) -> str:
        return text if text.isascii() else joined_surrogates(text).translate(ends)

    given = message.content
    if isinstance(given, str):
        content: Any = cleaned(given)
    else:
        content = [
            {**block, "text": cleaned(block["text"])}
            if isinstance(block, dict) and isinstance(block.get("text"), str)
            else block
            for block in given
        ]
    return message if content == given else message.model_copy(update={"content": content})


def _decide(following: int, *, fused: bool) -> str:
    """Ask the joiner."""
    return _DECIDE_FUSED.format(following=following) if fused else _DECIDE


def turn_position(state: LLMCompilerState) -> int:
    """Where the question of the current turn stands."""
    messages = state["messages"]
    turn = (n for n, message in enumerate(messages) if message.id is not None and message.id == state.get("turn"))
    return next(turn, question_position(messages))


def _again(question: str) -> str:
    """Repeat the question, or how it begins."""
    question = " ".join(question.split())
    cut = f"{question[:_AGAIN_CHARS]}…" if len(question) > _AGAIN_CHARS else question
    return _AGAIN.format(question=cut) if cut else ""


def _go_on(following: int, plan_format: PlanFormat, question: str, more: str = "") -> str:
    """Ask for the next plan."""
    tools = f"More tools:\n{more}\n\n" if more else ""
    return (
        f"{tools}{_again(question)}{_ASK[plan_format]} Number its tasks from {following}; "
        "refer to what earlier tasks returned instead of repeating them."
    )


def plan_or_join(plan: str) -> str:
    """A plan text as the conversation has it: some providers refuse empty messages."""
    return plan.strip() or "1. join()"


def repair_request(
    state: LLMCompilerState,
    broken: Sequence[tuple[int | None, str, Sequence[Diagnostic]]],
    plan_format: PlanFormat = "text",
) -> str:
    """Ask the planner to write some tasks again, or the whole plan.

    Args:
        state: Its `messages` hold the question.
        broken: The index of each, `None` for the whole plan, its line as it was written, and what is wrong with it.
        plan_format: How the planner model writes plans.
    """
    question = _again(state["messages"][turn_position(state)].text)
    if any(index is None for index, *_ in broken):
        problems = [problem for *_, diagnostics in broken for problem in diagnostics]
        listed = "\n".join(f"- line {problem.line}: {problem.message}" for problem in problems)
        return f"No task could be read in this reply:\n{listed}\n\n{question}{_ASK[plan_format]}{_HOW[plan_format]}"
    lines = []
    for index, line, diagnostics in broken:
        lines.append(f"task {index}, written as `{line}`:")
        lines += [f"- {problem.message}" + (f" ({problem.hint})" if problem.hint else "") for problem in diagnostics]
    listed = "\n".join(lines)
    return (
        f"Part of the plan cannot be used:\n{listed}\n\n{question}"
        f"Write only {_numbered([index for index, *_ in broken if index is not None])} again, corrected, "
        f"with the same number{'s' * (len(broken) > 1)}. "
        "The other tasks are running."
    )


def _earlier(messages: Iterable[AnyMessage], limit: int) -> list[BaseMessage]:
    """The earlier turns: each question with what tools returned for it, and each answer."""
    prompt: list[BaseMessage] = []
    calls: dict[str | None, ToolCall] = {}
    found: dict[int, list[str]] = {}  # where the question stands -> what was found for it
    for message in messages:
        if isinstance(message, AIMessage):
            calls |= {call["id"]: call for call in message.tool_calls}
        if _is_said(message):
            prompt.append(_bare(message) if isinstance(message, AIMessage) else message)
        elif isinstance(message, ToolMessage) and message.tool_call_id in calls and (what := _returned(message, limit)):
            found.setdefault(len(prompt) - 1, []).append(f"{_call(calls[message.tool_call_id])} = {what}")
    for position, lines in found.items():
        if position >= 0 and isinstance(question := prompt[position], HumanMessage):
            content = _with_text(question, [], ["\n".join([_FOUND, *lines])])
            prompt[position] = question.model_copy(update={"content": content})
    return prompt


def _bare(answer: AIMessage) -> AIMessage:
    """The text of an answer, without what its provider added to it, and without a name that providers refuse."""
    name = answer.name if re.fullmatch(r"[^\s<|\\/>]+", answer.name or "") else None
    return AIMessage(joined_surrogates(answer.text), name=name)


def _call(call: ToolCall) -> str:
    """An earlier turn's call, without what reads like a reference: it would mean another task now."""
    return f"{call['name']}({', '.join(f'{name}={_bound(value)}' for name, value in call['args'].items())})"


def _bound(argument: Any) -> str:
    text = json.dumps(argument, ensure_ascii=False)
    read = parse_template(text, is_task=lambda index: True)
    return shown(argument, 200) if isinstance(read.value, str) and not read.malformed else "…"


def _returned(message: ToolMessage, limit: int) -> str:
    """What an earlier turn's call returned; of a fan-out that failed in part, what its other calls did; or nothing."""
    if message.status == "error":
        partial = message.artifact.get(PARTIAL_RESULTS) if isinstance(message.artifact, dict) else None
        return f"{shown(partial, limit)} (null: that call failed)" if partial is not None else ""
    if has_images(message.content):
        return shown(message.content, limit)
    try:
        return shown(read_json(message.text), limit)
    except ValueError:
        return shown(message.text, limit)


def _is_said(message: AnyMessage) -> bool:
    """Whether a message of an earlier turn is a question or an answer; some providers refuse empty answers."""
    if isinstance(message, AIMessage):
        return bool(message.text) and not message.tool_calls
    return not isinstance(message, ToolMessage | SystemMessage)


def _before_plan(following: Iterable[AnyMessage], calls: Collection[str]) -> list[AnyMessage]:
    """What was added behind the question before the turn's first plan, which has `calls`."""
    return [*takewhile(lambda m: not any(call["id"] in calls for call in getattr(m, "tool_calls", ())), following)]


def _findings(added: Iterable[AnyMessage]) -> list[str]:
    """What agents of a larger graph have said since the question."""
    said = [message for message in added if isinstance(message, AIMessage) and message.text]
    return [f"{message.name or 'assistant'}: {message.text}" for message in said]


def _with_text(question: BaseMessage, before: Sequence[str], after: Sequence[str]) -> str | list[str | dict[Any, Any]]:
    content = question.content
    if isinstance(content, str):
        return "\n\n".join([*before, content, *after])
    return [*({"type": "text", "text": t} for t in before), *content, *({"type": "text", "text": t} for t in after)]


def _observations(
    tasks: Sequence[TaskRecord], messages: Sequence[AnyMessage], round_: Round, decide: str, limit: int
) -> list[BaseMessage]:
    """Show a plan's observations: the images that tools returned, then the text."""
    images = Images()
    given = {m.tool_call_id: m.content for m in messages if isinstance(m, ToolMessage) and has_images(m.content)}
    lines: list[str] = []
    for task in tasks:
        before = len(images.blocks)
        line = _observation(task, limit, images)
        content = given.get(task["tool_call_id"])
        if content is not None and task["status"] == "done" and len(images.blocks) == before:
            line += f" with {shown(content, limit, images)}"  # the value is what an MCP server said beside its images
        lines.append(line + "".join(f"\n  ({note})" for note in edit_notes(task)))
    of_no_task = [problem for problem in round_["diagnostics"] if not problem["index"]]
    lines += [f"line {problem['line']} of the plan: {problem['message']}" for problem in of_no_task]
    missing = [task["index"] for task in tasks if task["status"] != "done" and task["value"] is None]
    pictures = [HumanMessage(cast("Any", images.blocks))] if images.blocks else []
    return [*pictures, HumanMessage(_told(lines, missing, decide))]


def _told(lines: Sequence[str], missing: Sequence[int], decide: str) -> str:
    listed = "\n".join(lines) or "No task was run."
    said = _MISSING.format(tasks=_numbered(missing).capitalize()) if missing else ""
    return f"Observations:\n{listed}\n\n{said}{decide}"


def _numbered(indices: Sequence[int]) -> str:
    """Name tasks: `task 1`, or `tasks 1, 2 and 3`."""
    *most, last = map(str, indices)
    return f"tasks {', '.join(most)} and {last}" if most else f"task {last}"


def edit_notes(task: TaskRecord) -> list[str]:
    """Say which calls of a task a human has changed."""
    if not (edited := task.get("edited")):
        return []
    if not task_from_record(task).fans_out:
        return ["a human changed this call before it was made"]
    calls = [(n, render_call(plan_name(task), task["arguments"][n])) for n in edited]
    return [f"a human changed the call of element {n} before it was made: {call}" for n, call in calls]


def _observation(task: TaskRecord, limit: int, images: Images) -> str:
    call = task["text"] or f"{task['index']}. (unreadable)"
    calls: list[Mapping[str, Any]] = task["arguments"]
    if len(calls) == 1 and "$" in call:
        arguments = ", ".join(f"{name}={shown(value, 200)}" for name, value in calls[0].items())
        call = f"{task['index']}. {plan_name(task)}({arguments})"
    if task["status"] == "done":
        return f"{call} = {shown(task['value'], limit, images)}"
    return _line(call, task["status"], task["value"], task["error"], limit)


def _line(call: str, status: str, value: Any, error: str, limit: int) -> str:
    return f"{call} = {shown(value, limit)}" if status == "done" else f"{call}: {status}: {shown(error, limit)}"
