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

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.plan import render_call
from llmcompiler_graph.core.language.substitution import joined_surrogates
from llmcompiler_graph.models.earlier_turns import earlier_turns, latest_turns, with_text
from llmcompiler_graph.models.observations import Images, has_images, shown
from llmcompiler_graph.models.wording import (
    ASK,
    PlanFormat,
    decision_request,
    how_to_plan,
    next_plan_request,
    observations_text,
    outcome_line,
    plan_or_join,
    question_again,
    task_names,
)
from llmcompiler_graph.state import LLMCompilerState, Round, TaskRecord, plan_name, task_from_record

__all__ = (
    "conversation",
    "edit_notes",
    "question_of",
    "question_position",
    "repair_request",
    "sendable",
    "turn_position",
)

_EARLIER_CHARS = 1000  # shown of what a call returned in an earlier turn


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
    max_history_chars: int | None = None,
    plan_format: PlanFormat = "text",
    more: Mapping[int, str] | None = None,
    brief: bool = False,
) -> list[BaseMessage]:
    """Write the prompt for whichever call is next: the planner's if the last round has its reply, else the joiner's.

    Args:
        system: The system message.
        state: Its `rounds` are those of the current turn.
        last: Whether no other plan is possible.
        fused: Whether the joiner's reply is to hold the next plan.
        max_observation_chars: Longer observations are cut here, and said to be; the data stays whole.
        max_history_chars: How much of earlier turns is shown (see `latest_turns`).
        plan_format: How the planner model writes plans.
        more: The tools that are shown only from a replan on, listed, by its round.
        brief: Whether the models are to write no more than it takes.
    """
    messages = state["messages"]
    position = turn_position(state)
    before, question = messages[:position], question_of(state)
    rounds, tasks = state.get("rounds", []), state.get("tasks", [])
    added = _before_plan(messages[position:], {task["tool_call_id"] for task in tasks})
    added = [message for message in added if message is not question]
    own = [message.text for message in (*before, *added) if isinstance(message, SystemMessage)]
    more_said = _more_said(messages[position:], question, tasks)
    earlier = earlier_turns(before, min(max_observation_chars, _EARLIER_CHARS))
    prompt: list[BaseMessage] = [system, *latest_turns(earlier, max_history_chars)]
    if said := more_said.get(-1):
        prompt += [HumanMessage(with_text(question, own, _findings(added))), *said, HumanMessage(ASK[plan_format])]
    else:
        prompt.append(HumanMessage(with_text(question, own, [*_findings(added), ASK[plan_format]])))

    def next_plan(number: int, first_index: int) -> HumanMessage:
        tools = (more or {}).get(number, "")
        return HumanMessage(next_plan_request(first_index, plan_format, question.text, tools, brief=brief))

    first_index = 1
    for number, round_ in enumerate(rounds):
        if number and not round_.get("adopted"):
            prompt.append(next_plan(number, first_index))
        prompt += _written(round_)
        of_round = [task for task in tasks if task["round"] == number]
        first_index = max([first_index - 1, *(task["index"] for task in of_round)]) + 1
        is_last = last and number == len(rounds) - 1
        request = decision_request(first_index, fused=fused, brief=brief, last=is_last)
        prompt += _observations(of_round, messages, round_, request, max_observation_chars)
        prompt += more_said.get(number, [])
        if round_["reply"]:
            prompt.append(AIMessage(round_["reply"].strip()))
    if rounds and rounds[-1]["reply"] and not state.get("next_plan"):
        prompt.append(next_plan(len(rounds), first_index))
    return [sendable(message) for message in prompt]


def _written(round_: Round) -> list[BaseMessage]:
    """A round's plan as the model wrote it, and what it wrote again."""
    plan: list[BaseMessage] = [] if round_.get("adopted") else [AIMessage(plan_or_join(round_["plan"]))]
    for repair in round_.get("repairs", ()):
        plan += [HumanMessage(repair["request"]), AIMessage(plan_or_join(repair["plan"]))]
    return plan


_LINE_ENDS = dict.fromkeys(map(ord, "\x85\u2028\u2029"), "\n")
_AS_WRITTEN = {ord("\x85"): "\\x85", ord("\u2028"): "\\u2028", ord("\u2029"): "\\u2029"}


_UNSENDABLE = re.compile("[\x85\u2028\u2029\ud800-\udfff]")  # far quicker than to translate a system message


def sendable(message: BaseMessage) -> BaseMessage:
    """A message as providers take it, and as one sees it: without halves of characters and line ends that are none.

    Of what people wrote these ends become line breaks, in what models wrote they are escaped: there a line is a call.
    """
    ends = _AS_WRITTEN if isinstance(message, AIMessage) else _LINE_ENDS

    def cleaned(text: str) -> str:
        return joined_surrogates(text).translate(ends) if _UNSENDABLE.search(text) else text

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


def turn_position(state: LLMCompilerState) -> int:
    """Where the current turn begins: with its question; or if middleware has removed that, with what follows it."""
    messages = state["messages"]
    for n, message in enumerate(messages):
        if message.id is not None and message.id == state.get("turn"):
            return n
    if not _has_lost_question(state):
        return question_position(messages)
    calls = {task["tool_call_id"] for task in state.get("tasks", [])}
    own = (n for n, message in enumerate(messages) if calls & _call_ids(message))
    return next(own, len(messages))


def question_of(state: LLMCompilerState) -> AnyMessage:
    """The question of the current turn."""
    known = (m for m in state["messages"] if m.id is not None and m.id == state.get("turn"))
    if (found := next(known, None)) is not None:
        return found
    return (
        state["turn_question"] if _has_lost_question(state) else state["messages"][question_position(state["messages"])]
    )


def _has_lost_question(state: LLMCompilerState) -> bool:
    """Whether middleware may have removed the question since it was planned: before, the last one left is asked."""
    return bool(state.get("rounds")) and state.get("turn_question") is not None


def _call_ids(message: AnyMessage) -> set[Any]:
    """The calls that a message makes or answers."""
    if isinstance(message, ToolMessage):
        return {message.tool_call_id}
    return {call["id"] for call in getattr(message, "tool_calls", ())}


def repair_request(
    state: LLMCompilerState,
    broken: Sequence[tuple[int | None, str, Sequence[Diagnostic]]],
    plan_format: PlanFormat = "text",
    *,
    brief: bool = False,
) -> str:
    """Ask the planner to write some tasks again, or the whole plan.

    Args:
        state: Its `messages` hold the question.
        broken: The index of each, `None` for the whole plan, its line as it was written, and what is wrong with it.
        plan_format: How the planner model writes plans.
        brief: Whether it is to write no more than it takes.
    """
    question = question_again(question_of(state).text)
    if any(index is None for index, *_ in broken):
        problems = [problem for *_, diagnostics in broken for problem in diagnostics]
        listed = "\n".join(f"- line {problem.line}: {problem.message}" for problem in problems)
        how = how_to_plan(plan_format, brief=brief)
        return f"No task could be read in this reply:\n{listed}\n\n{question}{ASK[plan_format]}{how}"
    lines = []
    for index, line, diagnostics in broken:
        lines.append(f"task {index}, written as `{line}`:")
        lines += (f"- {p.message}" + (f" ({p.hint})" if p.hint else "") for p in diagnostics)
    listed = "\n".join(lines)
    return (
        f"Part of the plan cannot be used:\n{listed}\n\n{question}"
        f"Write only {task_names([index for index, *_ in broken if index is not None])} again, corrected, "
        f"with the same number{'s' * (len(broken) > 1)}. "
        "The other tasks are running."
    )


def _before_plan(following: Iterable[AnyMessage], calls: Collection[str]) -> list[AnyMessage]:
    """What was added behind the question before the turn's first plan, which has `calls`."""
    return [*takewhile(lambda m: not any(call["id"] in calls for call in getattr(m, "tool_calls", ())), following)]


def _more_said(
    messages: Iterable[AnyMessage], question: AnyMessage, tasks: Iterable[TaskRecord]
) -> dict[int, list[HumanMessage]]:
    """What middleware and tools have said as users since the question, by the round it follows; -1 before the first."""
    rounds = {task["tool_call_id"]: task["round"] for task in tasks}
    said: dict[int, list[HumanMessage]] = {}
    current = -1
    for message in messages:
        if isinstance(message, HumanMessage) and message is not question:
            said.setdefault(current, []).append(message)
        elif isinstance(message, AIMessage):
            current = max([current, *(rounds[call["id"]] for call in message.tool_calls if call["id"] in rounds)])
    return said


def _findings(added: Iterable[AnyMessage]) -> list[str]:
    """What agents of a larger graph have said since the question."""
    said = [message for message in added if isinstance(message, AIMessage) and message.text]
    return [f"{message.name or 'assistant'}: {message.text}" for message in said]


def _observations(
    tasks: Sequence[TaskRecord], messages: Sequence[AnyMessage], round_: Round, request: str, limit: int
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
    return [*pictures, HumanMessage(observations_text(lines, missing, request))]


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
    return outcome_line(call, task["status"], task["value"], task["error"], limit)
