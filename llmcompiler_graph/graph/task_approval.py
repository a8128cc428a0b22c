"""Applies what a human has decided to the calls of one task, before the first of them is made.

What is still to be decided is noted; the task then ends without a result, and is run again with the answer (see
`approvals`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from langchain_core.messages import ToolCall
from langgraph.errors import GraphInterrupt

from llmcompiler_graph.approval import Approval, Decision
from llmcompiler_graph.core.errors import ApprovalError
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

    def check(self, start: Start) -> Callable[[str, Mapping[str, Any]], None] | None:
        """Make what refuses a call that is not the one that a human allowed; `None` if no human was asked about it.

        Wrappers of tool calls may change a call. What they add besides the tool's own parameters is not looked at.

        Args:
            start: The call that a human allowed, perhaps after a change.
        """
        decisions, element = self._decisions, start.element or 0
        if element >= len(decisions) or decisions[element] is None:
            return None
        name, given = self._record["tool"], dict(start.arguments)
        shown = self._approvals.parameters(name) | given.keys()

        def check(called: str, arguments: Mapping[str, Any]) -> None:
            made = {key: value for key, value in arguments.items() if key in shown}
            if called != name or not _same(made, given):
                changed = [key for key in sorted(made.keys() | given) if not _same([made.get(key)], [given.get(key)])]
                what = f"{', '.join(map(repr, changed))} of {name!r}" if called == name else f"{name!r} to {called!r}"
                msg = f"a wrapper of tool calls changed {what} after a human had approved the call: it was not made"
                raise ApprovalError(msg)

        return check

    def decided(self, start: Start, calls: Callable[[], Sequence[ToolCall]]) -> Start | Observation:
        """Take a human's decision, if there is to be one; return the call to make, or the observation without it.

        Args:
            start: The call that is to start.
            calls: Gives all calls of the task, in order of the elements.

        Raises:
            GraphInterrupt: A human is still to be asked.
        """
        if not self._known:
            self._known = True
            if self._record["tool"] in self._approval.tools or self._approvals.concern(self._record["tool_call_id"]):
                self._find_out(calls())
        if not self._decisions:
            return start
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
        """Look up what was decided about each call, and note what is not.

        What a human was asked holds whatever `interrupt_on` says by now, in this graph or another on its thread.
        """
        self._decisions = [self._approvals.decision(str(call["id"]), call["args"]) for call in calls]
        undecided = [n for n, decision in enumerate(self._decisions) if decision is None]
        is_open = {n for n in undecided if self._approvals.is_open(str(calls[n]["id"]))}
        rest = [n for n in undecided if n not in is_open]
        pending = self._approval.pending(self._record, [calls[n] for n in rest], self._state)
        self.wanted += [asked for asked in pending if asked is not None]
        self._unanswered = is_open.union(n for n, asked in zip(rest, pending, strict=True) if asked is not None)


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


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same as JSON: `1` is neither `True` nor `1.0`."""
    return json.dumps(one, sort_keys=True, default=repr) == json.dumps(other, sort_keys=True, default=repr)
