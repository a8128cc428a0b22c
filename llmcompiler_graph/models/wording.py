"""What the messages to the models say: how a plan, another plan, and a decision are asked for.

May know: `observations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from llmcompiler_graph.models.observations import shown

__all__ = (
    "ASK",
    "DECIDE_LAST",
    "HOW",
    "PlanFormat",
    "decision_request",
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
HOW: dict[PlanFormat, str] = {
    "text": " Each call is a line of its own, as `1. tool(argument=…)`; if no tool is needed, write `1. join()`.",
    "tools": " If none is needed, say so.",
}
_DECIDE = "Finish with the answer, or replan if something needed is missing."
_DECIDE_FUSED = (
    "Finish with the answer, or if something needed is missing, replan and write the next plan below, numbered from "
    "{following}. Refer to what earlier tasks returned instead of repeating them."
)
DECIDE_LAST = "No other plan is possible. Finish with the best answer that what is known allows."
_AGAIN = "The question again: {question}\n"  # where a small model looks first when it writes what comes next
_AGAIN_CHARS = 500
_MISSING = "{tasks} returned nothing: do not guess what.\n"  # small models add up what is there, and call it the sum


def decision_request(following: int, *, fused: bool) -> str:
    """Ask the joiner."""
    return _DECIDE_FUSED.format(following=following) if fused else _DECIDE


def question_again(question: str) -> str:
    """Repeat the question, or how it begins."""
    question = " ".join(question.split())
    cut = f"{question[:_AGAIN_CHARS]}…" if len(question) > _AGAIN_CHARS else question
    return _AGAIN.format(question=cut) if cut else ""


def next_plan_request(following: int, plan_format: PlanFormat, question: str, more: str = "") -> str:
    """Ask for the next plan."""
    tools = f"More tools:\n{more}\n\n" if more else ""
    return (
        f"{tools}{question_again(question)}{ASK[plan_format]} Number its tasks from {following}; "
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
