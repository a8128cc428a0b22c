"""Applies what a human has decided to the calls of one task, before the first of them is made.

What is still to be decided is noted; the task then ends without a result, and is run again with the answer (see
`approvals`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from langchain_core.messages import ToolCall
from langgraph.errors import GraphInterrupt

from llmcompiler_graph.approval import Approval, Decision
from llmcompiler_graph.core.language.plan import Observation, Task
from llmcompiler_graph.core.language.references import JSON, Value
from llmcompiler_graph.core.schedule.instructions import Start
from llmcompiler_graph.graph.approvals import Approvals
from llmcompiler_graph.state import LLMCompilerState, PendingApproval, TaskRecord

__all__ = ("TaskApproval", "with_edit")


class TaskApproval:
    """A human's decisions about the calls of one task.

    Args:
        approval: Knows which tools need a human.
        approvals: What humans have decided in this run of the node.
        record: The task.
        state: What is shown of the graph to the functions that describe a call.
    """

    def __init__(self, approval: Approval, approvals: Approvals, record: TaskRecord, state: LLMCompilerState) -> None:
        self._approval = approval
        self._approvals = approvals
        self._record = record
        self._state = state
        self._known = False  # whether it was found out which calls need a human
        self._decisions: list[Decision | None] = []  # one for each call; `None` if it needs no human, or has no answer
        self._unanswered: set[int] = set()
        self.wanted: list[PendingApproval] = []
        """The calls that a human is still to be asked about."""

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

    def decided(self, start: Start, calls: Callable[[], Sequence[ToolCall]]) -> Start | Observation:
        """Take a human's decision, if there is to be one; return the call to make, or the observation without it.

        Args:
            start: The call that is to start.
            calls: Gives all calls of the task, in order of the elements.

        Raises:
            GraphInterrupt: A human is still to be asked.
        """
        if self._record["tool"] not in self._approval.tools:
            return start
        if not self._known:
            self._known = True
            self._find_out(calls())
        if self._unanswered and (self._approvals.mode == "batched" or (start.element or 0) in self._unanswered):
            raise GraphInterrupt
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

    def _find_out(self, calls: Sequence[ToolCall]) -> None:
        """Look up what was decided about each call, and note what is not."""
        for n, pending in enumerate(self._approval.pending(self._record, calls, self._state)):
            decision = None if pending is None else self._approvals.decision(pending["tool_call_id"], pending["args"])
            self._decisions.append(decision)
            if pending is not None and decision is None:
                self._unanswered.add(n)
                if not self._approvals.is_open(pending["tool_call_id"]):
                    self.wanted.append(pending)


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
