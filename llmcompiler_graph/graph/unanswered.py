"""Calls of an earlier turn that have no answer in the conversation: its run was stopped, or left while it was paused.

UIs wait for such an answer, and other agents' providers refuse a conversation without it. So before a new question is
planned, each call is given a `ToolMessage`: what its tool returned, if it had finished, which the checkpointer knows;
else that it was cancelled.

LangGraph keeps what a `@task` gave with the checkpoint of the step that was under way, or with that of the graph inside
the node (see `fetching`). A node can ask only by the checkpointer that its config names, under a private key:
`tests/graph/test_unanswered.py` holds LangGraph to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_CHECKPOINTER
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.config import get_config

from llmcompiler_graph.graph.records import finished, tool_message, ungrouped
from llmcompiler_graph.state import PARTIAL_RESULTS, GroupResult, LLMCompilerState, TaskRecord, TaskResult

__all__ = ("with_answers",)

_CANCELLED = "cancelled: the run was stopped, or left, before this call had returned"
_STEPS = 10  # checkpoints that a thread may have got since the step that was under way
_NODE = "task_fetching_unit"


async def with_answers(state: LLMCompilerState, graph: Any, *, sync: bool) -> list[AnyMessage] | None:
    """Answer the calls of plans that have no `ToolMessage`; return the whole conversation, or `None` if all have one.

    Args:
        state: The state when a new question comes.
        graph: The graph, to be asked which step was under way; `None` if it is not known.
        sync: Whether the graph was called synchronously.
    """
    messages = state["messages"]
    answered = {each.tool_call_id for each in messages if isinstance(each, ToolMessage)}
    open_ = {call["id"] for each in messages for call in _planned(each) if call["id"] not in answered}
    if not open_:
        return None
    results = await _results(graph, sync=sync)
    records = {record["tool_call_id"]: record for record in state.get("tasks", [])}
    conversation: list[AnyMessage] = []
    waiting: list[AnyMessage] = []  # the answers to the plan whose own answers are passed
    for message in messages:
        if waiting and not isinstance(message, ToolMessage):
            conversation += waiting
            waiting = []
        conversation.append(message)
        calls = [call for call in _planned(message) if call["id"] in open_]
        waiting += [_answer(call, records.get(str(call["id"])), results) for call in calls]
    return conversation + waiting


def _planned(message: AnyMessage) -> Sequence[ToolCall]:
    """The calls of a plan."""
    ours = isinstance(message, AIMessage) and message.name == "planner" and str(message.id).startswith("plan_")
    return message.tool_calls if ours and isinstance(message, AIMessage) else ()


def _answer(call: ToolCall, record: TaskRecord | None, results: Mapping[str, TaskResult]) -> ToolMessage:
    """What is known of a call."""
    id_ = str(call["id"])
    if record is not None and (result := results.get(id_)) is not None:
        return tool_message(finished(record, result), result)
    parts = {key.removeprefix(f"{id_}_"): result for key, result in results.items() if key.startswith(f"{id_}_")}
    done = {int(n): result["value"] for n, result in parts.items() if n.isdigit() and result["status"] == "done"}
    artifact = {PARTIAL_RESULTS: [done.get(n) for n in range(max(done) + 1)]} if done else None
    own: dict[str, Any] = {"tool_call_id": id_, "id": f"{id_}_result", "name": call["name"]}
    return ToolMessage(_CANCELLED, status="error", artifact=artifact, **own)


async def _results(graph: Any, *, sync: bool) -> dict[str, TaskResult]:
    """What `@task`s gave in a step that was not completed, by the id of the call."""
    configurable: Mapping[str, Any] = get_config()["configurable"]
    saver = configurable.get(CONFIG_KEY_CHECKPOINTER)
    if not isinstance(saver, BaseCheckpointSaver):
        return {}
    thread, within = configurable["thread_id"], str(configurable.get("checkpoint_ns", "")).rpartition("|")[0]
    latest: RunnableConfig = {"configurable": {"thread_id": thread, "checkpoint_ns": within}}
    for step in await _checkpoints(saver, latest, _STEPS, sync=sync):
        found = _returned([step])
        if names := await _under_way(graph, saver, step, sync=sync):
            inside = tuple(f"{within}|{name}" if within else name for name in names)
            everywhere = await _checkpoints(saver, {"configurable": {"thread_id": thread}}, None, sync=sync)
            spaces = (each for each in everywhere if _namespace(each).startswith(inside))
            found = _returned(spaces) | found
        if found:
            return found
    return {}


async def _checkpoints(
    saver: BaseCheckpointSaver[Any], config: RunnableConfig, limit: int | None, *, sync: bool
) -> list[CheckpointTuple]:
    """The latest checkpoints, latest first."""
    if sync:
        return await asyncio.to_thread(lambda: list(saver.list(config, limit=limit)))
    return [each async for each in saver.alist(config, limit=limit)]


def _namespace(checkpoint: CheckpointTuple) -> str:
    return str(checkpoint.config["configurable"].get("checkpoint_ns", ""))


async def _under_way(graph: Any, saver: BaseCheckpointSaver[Any], step: CheckpointTuple, *, sync: bool) -> list[str]:
    """The namespaces of the nodes that were to run after a checkpoint, if they are those that run tasks."""
    if graph is None:
        return []
    config = {"configurable": {**step.config["configurable"], CONFIG_KEY_CHECKPOINTER: saver}}
    state = await (asyncio.to_thread(graph.get_state, config) if sync else graph.aget_state(config))
    return [f"{task.name}:{task.id}" for task in state.tasks if task.name == _NODE]


def _returned(steps: Iterable[CheckpointTuple]) -> dict[str, TaskResult]:
    writes = (value for step in steps for _, channel, value in step.pending_writes or () if channel == "__return__")
    given = [value for value in writes if isinstance(value, dict)]
    results: list[Mapping[str, Any]] = [value for value in given if "tool_call_id" in value]
    results += [result for value in given if "results" in value for result in ungrouped(cast("GroupResult", value))]
    return {
        result["tool_call_id"]: cast("TaskResult", result) for result in results if result.get("status") != "planned"
    }
