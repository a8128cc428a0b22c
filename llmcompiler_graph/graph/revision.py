"""Takes what a human has made of a plan before anything of it runs: changed it, approved it, or rejected it.

Where plans are approved (see `plan_approval`), the task fetching unit first notes in the state that the plan waits for
a human, and is run again to ask. So what is run is the plan that the state holds, and it was shown as it stands there.

A plan may also be changed in the state, as `plan_text`, while a run pauses between planning and running:

    graph.update_state(config, {"plan_text": text.replace("Danube", "Rhine")})
    graph.invoke(None, config)

What a human writes is parsed and checked like a model's plan. If something is wrong with it, nothing runs, and the
human is asked, in the same form: `error` and `diagnostics` beside the text say what. Approved as it stands, what can be
run of it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple, cast
from uuid import NAMESPACE_OID, uuid5

from langchain_core.messages import AIMessage, AnyMessage, RemoveMessage, ToolMessage
from langgraph.graph.message import add_messages

from llmcompiler_graph.core.errors import ConfigurationError, Diagnostic
from llmcompiler_graph.core.schedule.executor import Executor
from llmcompiler_graph.graph.approvals import decision_about
from llmcompiler_graph.graph.context import Settings, Shared
from llmcompiler_graph.graph.draft import Draft, recorded
from llmcompiler_graph.graph.edited_results import settled
from llmcompiler_graph.graph.plan_approval import ACTION
from llmcompiler_graph.state import LLMCompilerState, PendingApproval, Round, TaskRecord, plan_text

__all__ = ("Revision", "revised")


class Revision(NamedTuple):
    """What a human has made of a plan."""

    state: LLMCompilerState
    """The state, as if the planner had written it."""
    update: dict[str, Any]
    """What of that is to be written to the state."""
    executor: Executor | None
    """The executor of a plan that was changed: nothing has started."""
    waits: bool = False
    """Whether nothing is run before this is written: the plan waits for a human, or was just approved."""


def revised(settings: Settings, shared: Shared, state: LLMCompilerState, *, sync: bool) -> Revision | None:
    """Read a plan that was changed in the state, and have it approved if it must be; call it first thing in the node.

    Raises:
        ConfigurationError: `plan_text` is no text.
        GraphInterrupt: A human has not decided.
    """
    plan = _Plan(settings, shared, state, sync=sync)
    text: object = state.get("plan_text") or ""
    if not isinstance(text, str):
        msg = f"plan_text in the state must be the text of a plan, not {type(text).__name__}: {text!r:.80}"
        raise ConfigurationError(msg)
    if text and text.strip() != plan.text:
        draft = plan.read(text)
        if problems := _problems(draft):
            return plan.decided(plan.question_again(text, draft, problems), draft)
        return plan.unless_asked(plan.replaced(draft))
    waiting = state.get("approvals", [])
    if (asked := next((each for each in waiting if each["tool_call_id"] == plan.id), None)) is not None:
        return plan.decided(asked)
    # calls that wait for a human are those of a plan that runs already
    return None if waiting else plan.unless_asked(None)


class _Plan:
    """The last plan, which a human may change."""

    def __init__(self, settings: Settings, shared: Shared, state: LLMCompilerState, *, sync: bool) -> None:
        self._settings = settings
        self._shared = shared
        self._state = state
        self._sync = sync
        number = len(state["rounds"]) - 1
        self._earlier = [record for record in state["tasks"] if record["round"] < number]
        self._records = [record for record in state["tasks"] if record["round"] == number]
        # a node that is run again must find the same ids: those of a changed plan are those of the one it replaces
        turn = f"{state.get('turn')} {number}"
        known = self._records[0]["tool_call_id"].split("_")[1] if self._records else None
        self._plan_id = known or uuid5(NAMESPACE_OID, turn).hex[:12]
        self.id = f"plan_{self._plan_id}"
        """That of its message."""
        self.text = plan_text(self._records)
        """As it stands."""

    def read(self, text: str) -> Draft:
        """Read what a human has written in its place."""
        held = frozenset(spec.name for spec in self._settings.specs)
        settings = replace(self._settings, max_repairs=0, held=held)
        before: LLMCompilerState = {**self._state, "tasks": self._earlier, "rounds": self._state["rounds"][:-1]}
        draft = Draft(settings, self._shared, before, sync=self._sync, plan_id=self._plan_id)
        draft.feed(text)
        draft.close()
        draft.settle()
        return draft

    def question_again(self, text: str, draft: Draft, problems: list[Diagnostic]) -> PendingApproval:
        """Ask about what a human has written, which cannot be used as it is."""
        asked = self._settings.approve_plans.question(self.id, text, draft.records, self._state)
        told = [recorded(problem) for problem in problems]
        return {**asked, "error": "\n".join(map(str, problems)), "diagnostics": told}

    def decided(self, asked: PendingApproval, draft: Draft | None = None) -> Revision:
        """Ask a human until there is a decision that can be used.

        Args:
            asked: The question.
            draft: What was written in the plan's place, if it is that which is asked about.

        Raises:
            GraphInterrupt: There is none yet.
        """
        while True:
            decision = decision_about(asked, self._settings.interrupt_mode)
            if decision["type"] == "reject":
                return self._rejected(decision.get("message"))
            if decision["type"] == "approve":
                return self._passed(self.replaced(draft) if draft is not None else None, "approve")
            text = decision["edited_action"]["args"].get(ACTION)
            if not isinstance(text, str):
                error = f"the decision 'edit' about a plan needs edited_action: {{'args': {{{ACTION!r}: '1. …'}}}}"
                asked = {**asked, "error": error}
                asked.pop("diagnostics", None)
            elif text.strip() == self.text:
                return self._passed(None, "approve")
            elif problems := _problems(draft := self.read(text)):
                asked = self.question_again(text, draft, problems)
            else:
                return self._passed(self.replaced(draft), "edit")

    def unless_asked(self, revision: Revision | None) -> Revision | None:
        """Give what a human has changed in the state, if anything; or if the plan needs one, the question about it."""
        state = revision.state if revision is not None else self._state
        if not {"approval", "cut"}.isdisjoint(state["rounds"][-1]):  # of what was cut, nothing more is begun
            return revision
        last = len(state["rounds"]) - 1
        records = [record for record in settled(state)[0]["tasks"] if record["round"] == last]
        asked = self._settings.approve_plans.pending(self.id, plan_text(records), records, state)
        if asked is None:
            return revision
        before = revision.update if revision is not None else {"messages": []}
        return Revision(state, {**before, "approvals": [asked]}, None, waits=True)

    def replaced(self, draft: Draft) -> Revision:
        """Put what a human has written in the plan's place."""
        before = self._state["rounds"][-1]
        round_ = Round(
            plan=draft.text,
            diagnostics=[recorded(problem) for problem in draft.diagnostics],
            reply="",
            usage=before["usage"],
        )
        round_ |= cast("Round", {key: before[key] for key in ("planning", "think_tag", "estimated") if key in before})
        old = next((m for m in self._state["messages"] if isinstance(m, AIMessage) and m.id == self.id), None)
        messages: list[AnyMessage | RemoveMessage] = []
        if any(record["text"] for record in draft.records):
            messages.append(draft.message(old.usage_metadata if old else None))
        elif old is not None:
            messages.append(RemoveMessage(str(old.id)))
        messages += [RemoveMessage(str(message.id)) for message in self._outdated(draft.records)]
        update = {
            "tasks": [*self._earlier, *draft.records],
            "rounds": [*self._state["rounds"][:-1], round_],
            "plan_text": plan_text(draft.records),
            "approvals": [],
        }
        after = {**self._state, **update, "messages": add_messages(self._state["messages"], messages)}  # type: ignore[arg-type]
        return Revision(after, {**update, "messages": messages}, draft.executor)  # type: ignore[arg-type]

    def _outdated(self, records: Iterable[TaskRecord]) -> list[ToolMessage]:
        """What hooks have answered calls with that are others now, or are gone."""
        now = {record["tool_call_id"]: record["text"] for record in records}
        old = {each["tool_call_id"] for each in self._records if now.get(each["tool_call_id"]) != each["text"]}
        return [each for each in self._state["messages"] if isinstance(each, ToolMessage) and each.tool_call_id in old]

    def _passed(self, revision: Revision | None, decision: str) -> Revision:
        """Note that a human wants the plan run; what is to be run of it is run when that is written."""
        state, update, executor, _ = revision or Revision(self._state, {"messages": []}, None)
        noted = {"rounds": [*state["rounds"][:-1], {**state["rounds"][-1], "approval": decision}], "approvals": []}
        runs = self._settings.approve_plans.possible and any(task["status"] == "planned" for task in state["tasks"])
        return Revision(cast("LLMCompilerState", {**state, **noted}), {**update, **noted}, executor, waits=runs)

    def _rejected(self, message: Any) -> Revision:
        """Let all tasks of the plan fail."""
        error = f"a human rejected the plan{f': {message}' if message else ''}"
        answered = {each.tool_call_id for each in self._state["messages"] if isinstance(each, ToolMessage)}
        records: list[TaskRecord] = [
            {**record, "status": "failed", "error": error}
            if record["status"] == "planned" and record["tool_call_id"] not in answered
            else record
            for record in self._records
        ]
        rounds = self._state["rounds"]
        update = {
            "messages": [],
            "tasks": [*self._earlier, *records],
            "rounds": [*rounds[:-1], {**rounds[-1], "approval": "reject"}],
            "plan_text": self.text,
            "approvals": [],
        }
        after = {**self._state, **update, "messages": self._state["messages"]}
        return Revision(cast("LLMCompilerState", after), update, None)


def _problems(draft: Draft) -> list[Diagnostic]:
    """What is wrong with a plan that a human wrote; also that it is none."""
    if draft.diagnostics or draft.records or draft.finished:
        return draft.diagnostics
    message = "no task could be read"
    return [Diagnostic("not-a-task", message, 1, 1, "write numbered calls, or `1. join()` for a plan without any")]
