"""The plan as chat UIs know it: an `AIMessage` with a tool call per task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, ToolCall
from langchain_core.messages.ai import UsageMetadata

from llmcompiler_graph.core.language.plan import Task, render_value
from llmcompiler_graph.core.language.references import JSON, Spread, Value, references
from llmcompiler_graph.state import TaskRecord, storable, task_from_record

__all__ = ("plan_message", "tool_call", "with_edits")


def plan_message(plan_id: str, calls: Sequence[ToolCall], usage: UsageMetadata | None = None) -> AIMessage:
    """Make the message of a plan.

    Args:
        plan_id: What the message is named after.
        calls: The call of each task.
        usage: The tokens it took to write the plan, if they are counted.
    """
    message = AIMessage("", id=f"plan_{plan_id}", name="planner", usage_metadata=usage)
    return message.model_copy(update={"tool_calls": list(calls)})  # validating the calls would cost more than the rest


def with_edits(message: AIMessage, edited: Iterable[TaskRecord]) -> AIMessage:
    """Show the calls that a human changed as they were made; the message keeps its id.

    Args:
        message: The message of a plan.
        edited: The tasks of these calls.
    """
    made = {record["tool_call_id"]: tool_call(task_from_record(record), record) for record in edited}
    return message.model_copy(update={"tool_calls": [made.get(str(call["id"]), call) for call in message.tool_calls]})


def tool_call(task: Task, record: TaskRecord) -> ToolCall:
    """Make the tool call of a task; references are shown as they are written."""
    arguments: dict[str, Any] = {
        name: render_value(value) if _is_plan_text(value) else storable(cast("JSON", value))
        for name, value in task.arguments.items()
    }
    return ToolCall(name=record["tool"], args=arguments, id=record["tool_call_id"], type="tool_call")


def _is_plan_text(value: Value) -> bool:
    """Whether an argument has no value yet, or one for each call."""
    return isinstance(value, Spread) or any(references(value))
