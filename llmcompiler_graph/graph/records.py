"""Turns observations into the records that the state and the checkpointer keep of them, and records into observations.

A record holds JSON values, messages and commands only, so that it survives any checkpointer. Whoever needs one of these
forms makes it here:

    Observation  --to_record-->    TaskResult   what a `@task` gives: that of a task, or of a call of its own
    TaskResults  --grouped-->      GroupResult  what the `@task` of several tasks gives
    GroupResult  --ungrouped-->    TaskResults
    TaskResult   --finished-->     TaskRecord   the task in the state
    any record   --from_record-->  Observation
    TaskRecord   --tool_message--> ToolMessage  the task in the conversation
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from langchain_core.messages import AnyMessage, ToolMessage
from langgraph.types import Command

from llmcompiler_graph.core.language.plan import Observation
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.language.substitution import as_text
from llmcompiler_graph.core.schedule.executor import Timing
from llmcompiler_graph.models.prompts import edit_notes
from llmcompiler_graph.state import (
    PARTIAL_RESULTS,
    GroupResult,
    ObservationRecord,
    TaskRecord,
    TaskResult,
    TimelineEntry,
    storable,
)

__all__ = (
    "finished",
    "from_record",
    "grouped",
    "how_made",
    "timeline_entry",
    "timing_of",
    "to_record",
    "tool_message",
    "ungrouped",
)


def to_record(
    observation: Observation | None,
    arguments: Iterable[Mapping[str, JSON]] = (),
    timing: Timing | None = None,
    *,
    call_id: str = "",
    edited: Iterable[int] = (),
    text: str = "",
) -> TaskResult:
    """Record an observation of a task, or of one call of a task that fans out.

    Args:
        observation: The observation; `None` if the call was not made.
        arguments: What the task was called with, by call.
        timing: When the task ran.
        call_id: The id of its tool call.
        edited: The calls that a human changed, as positions in `arguments`.
        text: The task's line, if a human changed its one call.
    """
    timing = timing or Timing()
    attached = _attached(observation.attachment) if observation else []
    record = TaskResult(
        tool_call_id=call_id,
        status=observation.status if observation else "planned",
        arguments=[storable(dict(given)) for given in arguments],
        value=observation.value if observation else None,
        error=observation.error if observation else "",
        messages=[given for given in attached if isinstance(given, ToolMessage)],
        commands=[given for given in attached if isinstance(given, Command)],
        released=timing.released,
        started=timing.started,
        finished=timing.finished,
        early=timing.early,
    )
    if positions := list(edited):
        record["edited"] = positions
    if text:
        record["text"] = text
    if observation:
        record |= cast("TaskResult", how_made(observation))
    return record


def how_made(observation: Observation) -> dict[str, Any]:
    """What a record and an event say of how the calls were made, where there is anything to say."""
    told: dict[str, Any] = {"cached": observation.cached} if observation.cached else {}
    if observation.batches:
        told["batches"] = list(observation.batches)
    if observation.attempts:
        told["attempts"] = list(observation.attempts)
    return told


def from_record(record: ObservationRecord) -> Observation | None:
    """Make the observation of a record again; `None` if the task is yet to run, or the call was not made."""
    if record["status"] == "planned":
        return None
    value: JSON = record["value"]
    given = cast("dict[str, Any]", record)  # a task's record in the state has neither
    attached = [*given.get("messages", ()), *given.get("commands", ())]
    return Observation(
        record["status"],
        value,
        record["error"],
        attachment=attached or None,
        cached=record.get("cached", 0),
        batches=tuple(record.get("batches", ())),
        attempts=tuple(record.get("attempts", ())),
    )


def grouped(results: Sequence[TaskResult]) -> GroupResult:
    """Put the results of several tasks together; `stream_mode="updates"` shows their messages, as those of a node."""
    return GroupResult(
        messages=[message for result in results for message in result["messages"]],
        results=[{**result, "messages": []} for result in results],
    )


def ungrouped(group: GroupResult) -> list[TaskResult]:
    """Take them apart again."""
    messages: dict[str, list[AnyMessage]] = {}
    for message in group["messages"]:
        messages.setdefault(cast("ToolMessage", message).tool_call_id, []).append(message)
    return [{**result, "messages": messages.get(result["tool_call_id"], [])} for result in group["results"]]


def timing_of(result: TaskResult) -> Timing:
    """When a task ran."""
    return Timing(result["released"], result["started"], result["finished"], result["early"])


def finished(task: TaskRecord, result: TaskResult) -> TaskRecord:
    """The record of a task that was planned, now that its `@task` has ended."""
    record: TaskRecord = {
        **task,
        "status": result["status"],
        "arguments": result["arguments"],
        "value": result["value"],
        "error": result["error"],
        "text": result.get("text", task["text"]),
    }
    kept = ("edited", "cached", "batches", "attempts")
    return cast("TaskRecord", record | {key: value for key, value in result.items() if key in kept})


def timeline_entry(task: TaskRecord, result: TaskResult | None) -> TimelineEntry:
    """When a task ran, for the state; `result` is `None` if it never did."""
    timing = timing_of(result) if result else Timing()
    return TimelineEntry(
        index=task["index"],
        tool=task["tool"],
        planned=task["planned_at"],
        released=timing.released,
        started=timing.started,
        finished=timing.finished,
        early=timing.early,
        status=task["status"],
    )


def tool_message(task: TaskRecord, result: TaskResult | None) -> ToolMessage:
    """The `ToolMessage` of a finished task: the tool's own if it made exactly one, else one that gives its observation.

    If a human changed calls of a task that fans out, it says so; the plan's message shows a single call as it was made.

    Args:
        task: The task's record in the state.
        result: The result of its `@task`, if it had one.
    """
    message = _tool_message(task, result)
    if result is None or "text" in result or not (notes := edit_notes(task)):
        return message
    note = f"Note: {'; '.join(notes)}."
    if isinstance(message.content, str):
        return message.model_copy(update={"content": f"{note}\n\n{message.content}"})
    return message.model_copy(update={"content": [{"type": "text", "text": note}, *message.content]})


def _tool_message(task: TaskRecord, result: TaskResult | None) -> ToolMessage:
    given = [message for message in (result["messages"] if result else ()) if isinstance(message, ToolMessage)]
    own = {"tool_call_id": task["tool_call_id"], "id": f"{task['tool_call_id']}_result"}
    if len(given) == 1 and task["status"] != "skipped":
        if given[0].tool_call_id == task["tool_call_id"]:
            return given[0]  # under its own id: a command may write it too
        return given[0].model_copy(update=own)
    done = task["status"] == "done"
    content = as_text(task["value"]) if done else task["error"]
    artifact = {PARTIAL_RESULTS: task["value"]} if not done and task["value"] is not None else None
    return ToolMessage(content, name=task["tool"], status="success" if done else "error", artifact=artifact, **own)


def _attached(attachment: object) -> list[Any]:
    """The messages and commands that a tool gave; of a task that fanned out, the commands of its calls.

    The one message of such a task is made of its value.
    """
    if not isinstance(attachment, tuple):
        return cast("list[Any]", attachment or [])
    commands = [item for given in attachment for item in given or () if isinstance(item, Command)]
    return [_without_message(command) for command in commands]


def _without_message(given: Command[Any]) -> Command[Any]:
    """A command of one call of a task that fans out, without the call's `ToolMessage`: the task has one of its own."""
    if not isinstance(given.update, dict) or "messages" not in given.update:
        return given
    messages = [message for message in given.update["messages"] if not isinstance(message, ToolMessage)]
    return replace(given, update={**given.update, "messages": messages})
