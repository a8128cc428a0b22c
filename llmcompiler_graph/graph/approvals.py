"""Asks humans about calls, once everything else of the plan has run.

A first pass of the task fetching unit runs what needs nobody. What is finished is written to the state, and so are the
calls that wait for a human, with their resolved arguments. The node is then run again, and begins by asking: so a human
sees the results there are, and an answer counts for the very calls that the state holds. A call whose arguments are
others when it is to be made is asked about again.

In the mode `batched` all calls are one question, as in LangChain's middleware. In the mode `per_call` each is a
question of its own: what one answer sets free runs before the others are there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence, Set
from functools import partial
from typing import Any, Literal, TypeAlias, cast

from langgraph.errors import GraphInterrupt
from langgraph.func import task as langgraph_task
from langgraph.types import interrupt

from llmcompiler_graph.approval import Decision, decisions_in
from llmcompiler_graph.calls.values import written
from llmcompiler_graph.core.checking.checker import Checker
from llmcompiler_graph.core.checking.schema import read_text
from llmcompiler_graph.core.errors import ObservationError
from llmcompiler_graph.core.language.plan import Task, ToolSpec
from llmcompiler_graph.core.language.references import JSON, Value
from llmcompiler_graph.state import PendingApproval

__all__ = ("Approvals", "InterruptMode", "decision_about")

InterruptMode: TypeAlias = Literal["batched", "per_call"]
"""How a run pauses for approvals: with one question about all calls, or with one about each."""


class Approvals:
    """What humans have decided in one run of the node, and what they are still to be asked.

    Args:
        pending: The calls that the state says wait for a human.
        mode: How they are asked about.
        tools: What the calls may be changed to.
    """

    def __init__(self, pending: Sequence[PendingApproval], mode: InterruptMode, tools: Iterable[ToolSpec] = ()) -> None:
        self.mode = mode
        self._tools = {tool.called: tool for tool in tools}
        self.unanswered: list[BaseException] = []
        """The questions that were not answered, in the mode `per_call`."""
        self._pending = list(pending)
        self._decided: dict[str, tuple[str, Decision]] = {}  # call id -> the arguments as text, the decision

    async def aask(self) -> None:
        """Ask about the calls that wait, first thing in the node.

        Raises:
            GraphInterrupt: The one question about all of them is not answered.
        """
        if self._pending and self.mode == "batched":
            self._take(_batch(self._pending, self._tools))
        elif self._pending:
            called: list[Any] = [
                langgraph_task(name=_name(pending))(cast("Any", _asker(pending, self._tools)))()
                for pending in self._pending
            ]
            self._take(await asyncio.gather(*called, return_exceptions=True))

    def ask(self) -> None:
        """Do the same for a synchronous caller."""
        if self._pending and self.mode == "batched":
            self._take(_batch(self._pending, self._tools))
        elif self._pending:
            called: list[Any] = [
                langgraph_task(name=_name(pending))(partial(_ask_one, pending, self._tools))()
                for pending in self._pending
            ]
            concurrent.futures.wait(called)
            self._take([future.exception() or future.result() for future in called])

    def decision(self, call_id: str, arguments: Mapping[str, Any]) -> Decision | None:
        """What was decided about a call with these arguments, if anything was."""
        shown, decision = self._decided.get(call_id, ("", None))
        return decision if shown == _text(arguments) else None

    def concern(self, call_id: str) -> bool:
        """Whether a human was asked about a task's call, or of a task that fans out about any of its calls."""
        known = (pending["tool_call_id"] for pending in self._pending)
        return any(each == call_id or each.startswith(f"{call_id}_") for each in known)

    def parameters(self, tool: str) -> Set[str]:
        """The parameters of a tool that plans give, and so humans are shown."""
        return self._tools[tool].parameters.keys() if tool in self._tools else frozenset()

    def is_open(self, call_id: str) -> bool:
        """Whether a call was asked about in this run of the node, and is not decided."""
        return call_id in {pending["tool_call_id"] for pending in self._pending} and call_id not in self._decided

    def _take(self, decisions: Sequence[Decision | BaseException]) -> None:
        for pending, decision in zip(self._pending, decisions, strict=True):
            if isinstance(decision, GraphInterrupt):
                self.unanswered.append(decision)
            elif isinstance(decision, BaseException):
                raise decision
            else:
                self._decided[pending["tool_call_id"]] = _text(pending["args"]), decision


def decision_about(pending: PendingApproval, mode: InterruptMode) -> Decision:
    """Ask one question about one call, in the node itself.

    Raises:
        GraphInterrupt: It is not answered.
    """
    return _ask_one(pending, {}) if mode == "per_call" else _batch([pending], {})[0]


def _batch(pending: Sequence[PendingApproval], tools: Mapping[str, ToolSpec]) -> list[Decision]:
    """Ask one question about all calls, until the answer is one decision for each."""
    request: dict[str, Any] = {
        "action_requests": [
            {"name": each["tool"], "args": each["args"], "description": each["description"]} for each in pending
        ],
        "review_configs": [
            {
                "action_name": each["tool"],
                "allowed_decisions": each["allowed_decisions"],
                **({"args_schema": each["args_schema"]} if each["args_schema"] is not None else {}),
            }
            for each in pending
        ],
    }
    request |= next((told for each in pending if (told := _complaint(each))), {})
    while True:
        answer = interrupt(request)
        try:
            decisions = decisions_in(answer, [(each["tool"], each["allowed_decisions"]) for each in pending])
            return [_kept(*decided, tools) for decided in zip(decisions, pending, strict=True)]
        except (ValueError, ObservationError) as error:
            request = {**request, "error": str(error)}


def _ask_one(pending: PendingApproval, tools: Mapping[str, ToolSpec]) -> Decision:
    """Ask about one call, until the answer is a decision about it; in a `@task` of its own."""
    request: dict[str, Any] = {
        "type": "tool_approval",
        "tool_call_id": pending["tool_call_id"],
        "name": pending["tool"],
        "args": pending["args"],
        "description": pending["description"],
    }
    request |= _complaint(pending)
    while True:
        answer = interrupt(request, response_schema=_schema(pending))
        try:
            (decision,) = decisions_in(answer, [(pending["tool"], pending["allowed_decisions"])])
            return _kept(decision, pending, tools)
        except (ValueError, ObservationError) as error:
            request = {**request, "error": str(error)}


def _complaint(pending: PendingApproval) -> dict[str, Any]:
    """Why a call is asked about again."""
    return {key: pending[key] for key in ("error", "diagnostics") if pending.get(key)}


def _asker(pending: PendingApproval, tools: Mapping[str, ToolSpec]) -> Callable[[], Coroutine[Any, Any, Decision]]:
    async def ask() -> Decision:
        return _ask_one(pending, tools)

    return ask


def _name(pending: PendingApproval) -> str:
    return f"{pending['tool']}:approval"


def _schema(pending: PendingApproval) -> dict[str, Any]:
    """The JSON Schema of the decisions about a call, for the form that a client shows."""
    arguments = pending["args_schema"] or {"type": "object"}
    action = {"type": "object", "properties": {"name": {"const": pending["tool"]}, "args": arguments}}
    more: dict[str, dict[str, Any]] = {
        "edit": {"edited_action": {**action, "required": ["name", "args"]}},
        "reject": {"message": {"type": "string"}},
        "respond": {"message": {"type": "string"}},
    }
    forms = [
        {
            "type": "object",
            "properties": {"type": {"const": kind}, **more.get(kind, {})},
            "required": ["type", *({"edit": ["edited_action"], "respond": ["message"]}.get(kind, []))],
        }
        for kind in pending["allowed_decisions"]
    ]
    return forms[0] if len(forms) == 1 else {"oneOf": forms}


def _kept(decision: Decision, pending: PendingApproval, tools: Mapping[str, ToolSpec]) -> Decision:
    """A decision with what the human wrote in it as an observation may be, and as the tool takes it.

    Raises:
        ObservationError: It may not.
        ValueError: The tool does not take it.
    """
    match decision:
        case {"type": "respond" | "reject" as kind, **rest}:
            return Decision(type=kind, message=written(rest.get("message")))
        case {"type": "edit", "edited_action": {"args": arguments}}:
            given = written(arguments)
            if (tool := tools.get(pending["tool"])) is not None:
                given = _taken(cast("dict[str, JSON]", given), pending["args"], tool)
            return Decision(type="edit", edited_action={"args": given})
        case _:
            return decision


def _taken(given: Mapping[str, JSON], shown: Mapping[str, JSON], tool: ToolSpec) -> dict[str, JSON]:
    """The arguments that a human wants; forms give what was changed as text.

    Raises:
        ValueError: The tool does not take them: which, and why.
    """
    read = {name: read_text(value, tool.parameters.get(name), tool.definitions) for name, value in given.items()}
    _, found = Checker([tool]).check(Task(1, tool.name, cast("dict[str, Value]", read)))
    old = {name for name in read if name in shown and _text({name: read[name]}) == _text({name: shown[name]})}
    told = [f"{each.message}{each.hint and f'; {each.hint}'}" for each in found]
    if told and old != read.keys() | shown.keys():  # what the human was shown may be made as it is
        msg = f"the edit cannot be used: {'; '.join(told)}"
        raise ValueError(msg)
    return read


def _text(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, sort_keys=True, default=str)
