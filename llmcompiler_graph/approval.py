"""Asks a human before tools that need one: `interrupt_on`.

The request and the answer have the form of LangChain's human-in-the-loop middleware, so that agent inboxes and chat UIs
know them:

    interrupt(value)  {"action_requests": [{"name", "args", "description"}],
                       "review_configs": [{"action_name", "allowed_decisions"}]}
    Command(resume)   {"decisions": [{"type": "approve"}]}                              run it
                                     {"type": "edit", "edited_action": {"name", "args"}}  run it with these arguments
                                     {"type": "reject", "message": "why"}               do not run it; the task fails
                                     {"type": "respond", "message": "…"}                the answer in the tool's place

A task asks once, for all its calls if it fans out, and nothing of it runs before the answer is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict, get_args

from langgraph.types import interrupt

from llmcompiler_graph.errors import ConfigurationError
from llmcompiler_graph.references import JSON
from llmcompiler_graph.state import TaskRecord

__all__ = ("Approval", "Decision", "DecisionType", "InterruptOnConfig")

DecisionType = Literal["approve", "edit", "reject", "respond"]


class InterruptOnConfig(TypedDict):
    """What a human may decide about a tool's calls."""

    allowed_decisions: list[DecisionType]
    """The decisions that are allowed."""
    description: NotRequired[str | Callable[[str, dict[str, Any]], str]]
    """What the human is told; a function of the tool's name and arguments, or text."""


class Decision(TypedDict):
    """What a human decided about one call."""

    type: DecisionType
    """The decision."""
    edited_action: NotRequired[dict[str, Any]]
    """For `edit`: the call to make instead; its `args` count."""
    message: NotRequired[Any]
    """For `reject`, why; for `respond`, the answer."""


class Approval:
    """Knows which tools need a human, and asks.

    Args:
        interrupt_on: `{tool: True}` for all decisions, `False` for none needed, or an `InterruptOnConfig`.
        tools: The names there are.

    Raises:
        ConfigurationError: A tool or a decision is unknown.
    """

    def __init__(self, interrupt_on: Mapping[str, bool | InterruptOnConfig], tools: Sequence[str]) -> None:
        self._configs: dict[str, InterruptOnConfig] = {}
        for tool, given in interrupt_on.items():
            if tool not in tools:
                msg = f"interrupt_on names {tool!r}, but there is no such tool, only {', '.join(map(repr, tools))}"
                raise ConfigurationError(msg)
            if isinstance(given, bool):
                config = InterruptOnConfig(allowed_decisions=list(get_args(DecisionType)))
            else:
                config = given
                unknown = set(given["allowed_decisions"]) - set(get_args(DecisionType))
                if unknown or not given["allowed_decisions"]:
                    expected = ", ".join(get_args(DecisionType))
                    msg = f"interrupt_on[{tool!r}]: allowed_decisions must be some of {expected}, not {sorted(unknown)}"
                    raise ConfigurationError(msg)
            if given:
                self._configs[tool] = config

    @property
    def tools(self) -> frozenset[str]:
        """The tools that need a human."""
        return frozenset(self._configs)

    def ask(self, record: TaskRecord, calls: Sequence[Mapping[str, JSON]]) -> list[Decision]:
        """Ask about a task's calls; return a decision for each. Call it first thing in the task's `@task`.

        An answer that is no decision for each call is asked for again, with what is wrong with it as `error`.

        Raises:
            GraphInterrupt: The human has not answered yet.
        """
        tool = record["tool"]
        config = self._configs[tool]
        request: dict[str, Any] = {
            "action_requests": [
                {"name": tool, "args": dict(call), "description": _described(config, tool, dict(call), record)}
                for call in calls
            ],
            "review_configs": [{"action_name": tool, "allowed_decisions": list(config["allowed_decisions"])}],
        }
        while True:
            answer = interrupt(request)
            try:
                return _decisions(answer, len(calls), config, tool)
            except ValueError as error:
                request = {**request, "error": str(error)}


def _decisions(answer: Any, count: int, config: InterruptOnConfig, tool: str) -> list[Decision]:
    """Read `{"decisions": […]}`, a list, one decision, or `True`/`False` for all calls."""
    given = answer.get("decisions", answer) if isinstance(answer, dict) else answer
    match given:
        case True:
            decisions = [Decision(type="approve")] * count
        case False:
            decisions = [Decision(type="reject")] * count
        case {"type": _}:
            decisions = [given] * count
        case [*listed] if len(listed) == count and all(isinstance(each, dict) for each in listed):
            decisions = listed
        case _:
            msg = f'expected {{"decisions": [{{"type": "approve"}}, …]}} with {count} decisions, not {answer!r}'
            raise ValueError(msg)
    for decision in decisions:
        if decision.get("type") not in config["allowed_decisions"]:
            allowed = ", ".join(config["allowed_decisions"])
            msg = f"the decision about {tool!r} must be one of {allowed}, not {decision.get('type')!r}"
            raise ValueError(msg)
        if decision["type"] == "edit" and not isinstance(decision.get("edited_action", {}).get("args"), dict):
            msg = f"the decision 'edit' about {tool!r} needs edited_action: {{'name': {tool!r}, 'args': {{…}}}}"
            raise ValueError(msg)
    return decisions


def _described(config: InterruptOnConfig, tool: str, arguments: dict[str, Any], record: TaskRecord) -> str:
    description = config.get("description", f"Task {record['index']} of the plan: {record['text']}")
    return description(tool, arguments) if callable(description) else description
