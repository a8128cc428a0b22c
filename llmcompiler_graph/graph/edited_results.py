"""Results that were changed in the conversation, by `update_state` or by middleware: the tasks then say the same.

A task's record notes what its `ToolMessage` said when its tool had returned. Where the message says something else now,
that is what the task returned, for the joiner and for references of later plans.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from langchain_core.messages import AnyMessage, ToolMessage

from llmcompiler_graph.core.language.json_text import read_json
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.state import LLMCompilerState, TaskRecord, storable

__all__ = ("noted", "settled", "with_edited_results")


def noted(records: Iterable[TaskRecord], messages: Iterable[object]) -> list[TaskRecord]:
    """Note in the records of tasks what these messages say of them."""
    digests = {each.tool_call_id: _digest(each) for each in messages if isinstance(each, ToolMessage)}
    return [
        {**record, "message_digest": digests[record["tool_call_id"]]} if record["tool_call_id"] in digests else record
        for record in records
    ]


def with_edited_results(state: LLMCompilerState) -> LLMCompilerState:
    """Make tasks say what their messages say, if these were changed; else return the state itself."""
    messages = {each.tool_call_id: each for each in state["messages"] if isinstance(each, ToolMessage)}
    records = [_record(record, messages.get(record["tool_call_id"])) for record in state["tasks"]]
    changed = any(new is not old for new, old in zip(records, state["tasks"], strict=True))
    return {**state, "tasks": records} if changed else state


def settled(state: LLMCompilerState) -> tuple[LLMCompilerState, frozenset[int]]:
    """Settle tasks that have not run and that a message answers already; return their indices too."""
    messages = {each.tool_call_id: each for each in state["messages"] if isinstance(each, ToolMessage)}
    open_ = {r["index"] for r in state["tasks"] if r["status"] == "planned" and r["tool_call_id"] in messages}
    if not open_:
        return state, frozenset()
    records = [
        _as_told(record, messages[record["tool_call_id"]]) if record["index"] in open_ else record
        for record in state["tasks"]
    ]
    return {**state, "tasks": records}, frozenset(open_)


def _record(record: TaskRecord, message: AnyMessage | None) -> TaskRecord:
    noted_digest = record.get("message_digest")
    if noted_digest is None or not isinstance(message, ToolMessage) or _digest(message) == noted_digest:
        return record
    return _as_told(record, message)


def _as_told(record: TaskRecord, message: ToolMessage) -> TaskRecord:
    edited: TaskRecord = {**record, "message_digest": _digest(message)}
    if message.status == "error":
        return {**edited, "status": "failed", "value": None, "error": str(message.text)}
    return {**edited, "status": "done", "value": _value(message), "error": ""}


def _value(message: ToolMessage) -> JSON:
    """What a message says as a value: JSON if it is such."""
    text = str(message.text)
    try:
        return storable(read_json(text))
    except ValueError:
        return storable(text)


def _digest(message: ToolMessage) -> str:
    content = message.content
    said = content if isinstance(content, str) else json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(f"{message.status} {type(content).__name__} {said}".encode(errors="replace")).hexdigest()[:16]
