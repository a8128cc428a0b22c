"""What the messages to the models say: how a plan, another plan, and a decision are asked for.

May know: `observations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from llmcompiler_graph.models.observations import shown

__all__ = (
    "ASK",
    "PlanFormat",
    "decision_request",
    "how_to_plan",
    "next_plan_request",
    "observations_text",
    "outcome_line",
    "plan_or_join",
    "question_again",
    "task_names",
)

PlanFormat: TypeAlias = Literal["text", "tools"]
"""How a planner model writes: plan text, or native tool calls."""

ASK: dict[PlanFormat, str] = {"text": "Write the plan.", "tools": "Call the tools that are needed."}
_HOW = {
    "text": " Each call is a line of its own, as `1. tool(argument=…)`; if no tool is needed, write `1. join()`.",
    "brief": " Each call is a line of its own, as `tool(argument=…)`, and `join()` stands on the last line.",
    "tools": " If none is needed, say so.",
}
_DECIDE = "Finish with the answer, or replan if something needed is missing."
_DECIDE_FUSED = (
    "Finish with the answer, or if something needed is missing, replan and write the next plan below, numbered from "
    "{following}. Refer to what earlier tasks returned instead of repeating them."
)
_DECIDE_LAST = "No other plan is possible. Finish with the best answer that what is known allows."
_ANSWER = "Write the answer itself, or `Replan: …` if something needed is missing."
_ANSWER_FUSED = (
    "Write the answer itself, or if something needed is missing, `Replan: …` and the next plan below; its first task "
    "is task {following}. Refer to what earlier tasks returned instead of repeating them."
)
_ANSWER_LAST = "No other plan is possible. Write the best answer that what is known allows."
_AGAIN = "The question again: {question}\n"  # where a small model looks first when it writes what comes next
_AGAIN_CHARS = 500
_MISSING = "{tasks} returned nothing: do not guess what.\n"  # small models add up what is there, and call it the sum


def how_to_plan(plan_format: PlanFormat, *, brief: bool) -> str:
    """Say how a plan is written, to a model that wrote none."""
    return _HOW["brief" if brief and plan_format == "text" else plan_format]


def decision_request(following: int, *, fused: bool, brief: bool = False, last: bool = False) -> str:
    """Ask the joiner.

    Args:
        following: The index of the next task.
        fused: Whether its reply is to hold the next plan.
        brief: Whether it is to give the answer itself, without a word before it.
        last: Whether no other plan is possible.
    """
    if last:
        return _ANSWER_LAST if brief else _DECIDE_LAST
    if fused:
        return (_ANSWER_FUSED if brief else _DECIDE_FUSED).format(following=following)
    return _ANSWER if brief else _DECIDE


def question_again(question: str) -> str:
    """Repeat the question, or how it begins."""
    question = " ".join(question.split())
    cut = f"{question[:_AGAIN_CHARS]}…" if len(question) > _AGAIN_CHARS else question
    return _AGAIN.format(question=cut) if cut else ""


def next_plan_request(
    following: int, plan_format: PlanFormat, question: str, more: str = "", *, brief: bool = False
) -> str:
    """Ask for the next plan."""
    tools = f"More tools:\n{more}\n\n" if more else ""
    numbers = f"Its first task is task {following}" if brief else f"Number its tasks from {following}"
    return (
        f"{tools}{question_again(question)}{ASK[plan_format]} {numbers}; "
        "refer to what earlier tasks returned instead of repeating them."
    )


def observations_text(lines: Sequence[str], missing: Sequence[int], request: str) -> str:
    """Tell what tasks returned, which returned nothing, and what is to be decided."""
    listed = "\n".join(lines) or "No task was run."
    said = _MISSING.format(tasks=task_names(missing).capitalize()) if missing else ""
    return f"Observations:\n{listed}\n\n{said}{request}"


def task_names(indices: Sequence[int]) -> str:
    """Name tasks: `task 1`, or `tasks 1, 2 and 3`."""
    *most, last = map(str, indices)
    return f"tasks {', '.join(most)} and {last}" if most else f"task {last}"


def outcome_line(call: str, status: str, value: Any, error: str, limit: int) -> str:
    """A call with what it returned, or why it returned nothing."""
    return f"{call} = {shown(value, limit)}" if status == "done" else f"{call}: {status}: {shown(error, limit)}"


def plan_or_join(plan: str) -> str:
    """A plan text as the conversation has it: some providers refuse empty messages."""
    return plan.strip() or "1. join()"
