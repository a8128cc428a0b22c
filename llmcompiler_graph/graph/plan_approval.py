"""Which plans a human is asked about before anything of them runs, and what is shown of them: `approve_plans`.

The question and the answer have the form of LangChain's human-in-the-loop middleware. The plan is one action:

    interrupt(value)  {"action_requests": [{"name": "plan", "args": {"plan": "1. …"}, "description": a table}],
                       "review_configs": [{"action_name": "plan", "allowed_decisions": ["approve", "edit", "reject"]}]}
    Command(resume)   {"decisions": [{"type": "approve"}]}                       run it
                                     {"type": "edit", "edited_action": {"name": "plan", "args": {"plan": "1. …"}}}
                                     {"type": "reject", "message": "why"}        none of its calls is made
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, TypeAlias

from langchain_core.messages import ToolCall
from langgraph.runtime import get_runtime

from llmcompiler_graph.approval import DecisionType, InterruptOnConfig, approval_config, needs_human
from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.state import PendingApproval, TaskRecord, line_parts, plan_name, task_from_record

__all__ = ("ACTION", "ApprovePlans", "PlanApproval", "plan_table")

ApprovePlans: TypeAlias = bool | Literal["effects"] | InterruptOnConfig
"""Which plans a human is asked about."""

ACTION = "plan"
"""What a plan is called where it is an action to be approved, and what its text is called among its arguments."""

_DECISIONS: list[DecisionType] = ["approve", "edit", "reject"]
_SCHEMA = {"type": "object", "properties": {ACTION: {"type": "string"}}, "required": [ACTION]}
_LONGEST = 500  # characters of a call's arguments in the table; the plan's text has all of them


class PlanApproval:
    """Says which plans need a human, and what the human is shown.

    Args:
        given: `False` for none, `True` for every plan that calls a tool, `"effects"` for those that call one which is
            not to be called before its plan is complete, or an `InterruptOnConfig`.
        specs: The tools.

    Raises:
        ConfigurationError: It is something else.
    """

    def __init__(self, given: ApprovePlans, specs: Iterable[ToolSpec]) -> None:
        if isinstance(given, str) and given != "effects":
            raise refused("approve_plans", "True, False, 'effects' or an InterruptOnConfig", given)
        self.possible = given is not False
        """Whether a plan may need a human."""
        self._only_effects = given == "effects"
        self._effects = frozenset(spec.name for spec in specs if spec.waits_for_plan)
        config = True if given in (False, "effects") else given
        self._config = approval_config("approve_plans", config, _DECISIONS)

    def pending(self, plan_id: str, text: str, records: Sequence[TaskRecord], state: Any) -> PendingApproval | None:
        """Say what is to be asked about a plan; `None` if no human is needed. Call it in a node.

        Args:
            plan_id: The id of the plan's message.
            text: The plan.
            records: Its tasks; nothing is asked if none of them is to be run.
            state: What `description` and `when` are shown of the graph.
        """
        called = {plan_name(record) for record in records if record["status"] == "planned"}
        if not self.possible or not (called & self._effects if self._only_effects else called):
            return None
        pending = self.question(plan_id, text, records, state)
        runtime = get_runtime()
        call = ToolCall(name=ACTION, args=pending["args"], id=plan_id, type="tool_call")
        return pending if needs_human(self._config, call, state, runtime) else None

    def question(self, plan_id: str, text: str, records: Sequence[TaskRecord], state: Any) -> PendingApproval:
        """Make the question about a plan, whether it needs a human or not; the arguments are those of `pending`."""
        call = ToolCall(name=ACTION, args={ACTION: text}, id=plan_id, type="tool_call")
        described = self._config.get("description") or plan_table(records, self._effects)
        return PendingApproval(
            tool_call_id=plan_id,
            tool=ACTION,
            args={ACTION: text},
            description=described(call, state, get_runtime()) if callable(described) else described,
            allowed_decisions=list(self._config["allowed_decisions"]),
            args_schema=self._config.get("args_schema", _SCHEMA),
            error="",
        )


def plan_table(records: Iterable[TaskRecord], effects: Collection[str]) -> str:
    """Write a plan as a Markdown table of its calls, and below it what of it cannot be used.

    Args:
        records: Its tasks.
        effects: What plans call the tools with effects.
    """
    rows, unusable = [], []
    for record in records:
        if record["status"] == "failed":
            unusable.append(f"Task {record['index']} cannot be used: {_visible(record['error'])}")
        if record["text"]:
            needs = ", ".join(map(str, task_from_record(record).dependencies))
            acts = "yes" if plan_name(record) in effects else ""
            rows.append(
                f"| {record['index']} | {_code(record['tool'])} | {_code(_arguments(record))} | {needs} | {acts} |"
            )
    heads = ["| task | tool | arguments | needs | effects |", "|---|---|---|---|---|"] if rows else []
    return "\n".join([*heads, *rows, *([""] if rows and unusable else []), *unusable])


def _arguments(record: TaskRecord) -> str:
    call, _, when, until = line_parts(record["text"])
    text = call.partition("(")[2]
    text = f"{text[:_LONGEST]}…" if len(text) > _LONGEST else text
    conditions = [f"{word} {written}" for word, written in (("when", when), ("until", until)) if written]
    return " ".join(filter(None, [text, *conditions]))


def _visible(text: str) -> str:
    """Text on one line, in which nothing is hidden or turned around."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _code(text: str) -> str:
    """Text as code in a cell of a Markdown table."""
    text = _visible(text).replace("|", "\\|")
    ticks = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{ticks} {text} {ticks}" if "`" in text else f"`{text}`" if text else ""
