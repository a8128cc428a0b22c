"""Asks a human about the calls of one task: about all of them at once, before the first is made.

A human's answer counts for the calls the human was shown, and for no others. So before a task asks, the arguments of
its calls are persisted, by a `@task` of their own. Where the run goes on and they have changed, or it is not known what
the human was shown, the answer is put aside and the task asks again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, cast

from langchain_core.messages import ToolCall
from langgraph.errors import GraphInterrupt

from llmcompiler_graph.approval import Approval, ApprovalRequest, Decision
from llmcompiler_graph.calls.values import awritten
from llmcompiler_graph.core.language.plan import Observation, Task
from llmcompiler_graph.core.language.references import JSON, Value
from llmcompiler_graph.core.schedule.instructions import Start
from llmcompiler_graph.state import LLMCompilerState, TaskRecord

__all__ = ("CallOwnTask", "TaskApproval", "with_edit")

CallOwnTask: TypeAlias = Callable[[str, Callable[[], Coroutine[Any, Any, Any]]], asyncio.Future[Any]]
"""Runs a coroutine in a LangGraph `@task` of its own, given its name."""

_CHANGED = "the call is not the one that was shown before: its arguments have changed, or nothing is known of it"


class TaskApproval:
    """A human's decisions about the calls of one task.

    Args:
        approval: Knows which tools need a human.
        record: The task.
        state: What is shown of the graph to the functions that describe a call.
        call_own_task: Runs a coroutine in a `@task` inside that of the task.
    """

    def __init__(
        self, approval: Approval, record: TaskRecord, state: LLMCompilerState, call_own_task: CallOwnTask
    ) -> None:
        self._approval = approval
        self._record = record
        self._state = state
        self._call_own_task = call_own_task
        self._decisions: Sequence[Decision | None] = ()  # one for each call; `None` if it needs no human
        self._deciding = asyncio.Lock()
        self._unanswered = False

    @property
    def was_given(self) -> bool:
        """Whether a human has decided about a call of this task."""
        return any(self._decisions)

    def edits(self, arguments: Sequence[Mapping[str, JSON]]) -> dict[int, Mapping[str, JSON]]:
        """What a human put in place of calls' arguments, by element; a single call is element 0.

        Args:
            arguments: The resolved arguments of the task's calls.
        """
        edits: dict[int, Mapping[str, JSON]] = {}
        for n, decision in enumerate(self._decisions):
            match decision:
                case {"type": "edit", "edited_action": {"args": given}} if not _same(given, dict(arguments[n])):
                    edits[n] = given
        return edits

    async def decided(self, start: Start, calls: Callable[[], Sequence[ToolCall]]) -> Start | Observation:
        """Ask a human, if one is to decide; return the call to make, or the observation if none is to be made.

        Args:
            start: The call that is to start.
            calls: Gives all calls of the task, in order of the elements.

        Raises:
            GraphInterrupt: The human has not answered yet.
        """
        if self._record["tool"] not in self._approval.tools:
            return start
        async with self._deciding:
            if not self._decisions:
                if self._unanswered:
                    raise GraphInterrupt
                try:
                    self._decisions = await self._asked(self._approval.ask(self._record, calls(), self._state))
                except GraphInterrupt:
                    self._unanswered = True
                    raise
        match self._decisions[start.element or 0]:
            case {"type": "reject", **rest}:
                reason = rest.get("message")
                return Observation("failed", error=f"a human rejected it{f': {reason}' if reason else ''}")
            case {"type": "respond", **rest}:
                return Observation("done", cast("JSON", rest.get("message")))
            case {"type": "edit", "edited_action": {"args": arguments}}:
                return replace(start, arguments=arguments)
            case _:
                return start

    async def _asked(self, request: ApprovalRequest) -> list[Decision | None]:
        """Ask a human; return a decision for each call, made about these very arguments."""
        shown = json.dumps(request.shown, sort_keys=True)
        error = ""
        while request.asked:
            fresh: list[str] = []

            async def note(fresh: list[str] = fresh) -> str:
                fresh.append(shown)
                return shown

            before = await self._call_own_task(f"{self._record['tool']}:approval", note)
            answer = request.ask(error)
            if fresh or before != shown:
                error = _CHANGED
                continue
            try:
                return [await _within_limits(decision) for decision in request.decisions(answer)]
            except ValueError as wrong:
                error = str(wrong)
        return request.decisions(None)


def with_edit(task: Task, resolved: Mapping[str, JSON], edited: Mapping[str, JSON]) -> Task:
    """A task of one call as a human wants it; references stay where their values were left as they were.

    Args:
        task: The task.
        resolved: The arguments that the human was shown.
        edited: Those that the human gave.
    """
    named = {
        name: task.arguments[name] if name in resolved and _same(value, resolved[name]) else cast("Value", value)
        for name, value in edited.items()
    }
    return replace(task, arguments=named)


def _same(one: JSON, other: JSON) -> bool:
    """Whether two values are the same as JSON: `1` is neither `True` nor `1.0`."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


async def _within_limits(decision: Decision | None) -> Decision | None:
    """A decision with what the human wrote in it as an observation may be.

    Raises:
        ObservationError: It may not.
    """
    match decision:
        case {"type": "respond" | "reject" as kind, **rest}:
            return Decision(type=kind, message=await awritten(rest.get("message")))
        case {"type": "edit", "edited_action": {"args": arguments}}:
            return Decision(type="edit", edited_action={"args": await awritten(arguments)})
        case _:
            return decision
