"""Asks a human before tools that need one: `interrupt_on`.

The request and the answer have the form of LangChain's human-in-the-loop middleware, so that agent inboxes and chat UIs
know them:

    interrupt(value)  {"action_requests": [{"name", "args", "description"}],
                       "review_configs": [{"action_name", "allowed_decisions", "args_schema" if one is given}]}
    Command(resume)   {"decisions": [{"type": "approve"}]}                              run it
                                     {"type": "edit", "edited_action": {"name", "args"}}  run it with these arguments
                                     {"type": "reject", "message": "why"}               do not run it; the task fails
                                     {"type": "respond", "message": "…"}                the answer in the tool's place

Each call has an action request and a review config, in the same place of both lists. A task asks once, if it fans out
for all its calls that need a human, and nothing of it runs before the answer is there. An edited call must be one
of the same tool; the plan's message, `tasks` and the joiner then show the call that was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal, NotRequired, cast, get_args

from langchain_core.messages import ToolCall
from langgraph.config import get_config
from langgraph.prebuilt import ToolRuntime
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.runtime import Runtime, get_runtime
from typing_extensions import ReadOnly, TypedDict

from llmcompiler_graph.core.arguments import check_names, refused
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.state import PendingApproval, TaskRecord

__all__ = (
    "Approval",
    "Decision",
    "DecisionType",
    "InterruptOnConfig",
    "approval_config",
    "decisions_in",
    "needs_human",
)

DecisionType = Literal["approve", "edit", "reject", "respond"]


class InterruptOnConfig(TypedDict):
    """What a human may decide about a tool's calls, and about which; as LangChain's of this name."""

    allowed_decisions: list[DecisionType]
    """The decisions that are allowed."""
    description: ReadOnly[NotRequired[str | Callable[[ToolCall, Any, Runtime[Any]], str]]]
    """What the human is told: text, or a function of the call, the graph's state and its runtime."""
    args_schema: NotRequired[dict[str, Any]]
    """The JSON Schema of the arguments, shown to the human."""
    when: NotRequired[Callable[[ToolCallRequest], bool]]
    """Whether a call needs a human at all; its request has no `tool`. Decided calls are not asked again."""


class Decision(TypedDict):
    """What a human decided about one call."""

    type: DecisionType
    """The decision."""
    edited_action: NotRequired[dict[str, Any]]
    """For `edit`: the call to make instead, of the same tool; its `args` count."""
    message: NotRequired[Any]
    """For `reject`, why; for `respond`, the answer."""


class Approval:
    """Knows which tools need a human, and asks.

    Args:
        interrupt_on: `{tool: True}` for all decisions, `False` for none needed, or an `InterruptOnConfig`.
        tools: The names there are.

    Raises:
        ConfigurationError: A tool, a decision or a key is unknown.
    """

    def __init__(self, interrupt_on: Mapping[str, bool | InterruptOnConfig], tools: Sequence[str]) -> None:
        self._configs: dict[str, InterruptOnConfig] = {}
        if not isinstance(interrupt_on, Mapping):
            raise refused("interrupt_on", "True, False or an InterruptOnConfig by tool name", interrupt_on)
        check_names("interrupt_on", interrupt_on, tools)
        for tool, given in interrupt_on.items():
            if given:
                self._configs[tool] = approval_config(f"interrupt_on[{tool!r}]", given, get_args(DecisionType))
            elif not isinstance(given, bool):
                raise refused(f"interrupt_on[{tool!r}]", "True, False or an InterruptOnConfig", given)

    @property
    def tools(self) -> frozenset[str]:
        """The tools that need a human."""
        return frozenset(self._configs)

    def pending(self, record: TaskRecord, calls: Sequence[ToolCall], state: Any) -> list[PendingApproval | None]:
        """Say what is to be asked about each of a task's calls; `None` for one that needs no human. In its `@task`.

        `description` and `when` are given copies of the calls: what they change in them is neither shown nor made.

        Args:
            record: The task.
            calls: Its calls.
            state: What `description` and `when` are shown of the graph.
        """
        if record["tool"] not in self._configs:
            return [None] * len(calls)
        config, runtime = self._configs[record["tool"]], get_runtime()
        description = config.get("description", f"Task {record['index']} of the plan: {record['text']}")
        return [
            PendingApproval(
                tool_call_id=str(call["id"]),
                tool=record["tool"],
                args=call["args"],
                description=description(deepcopy(call), state, runtime) if callable(description) else description,
                allowed_decisions=list(config["allowed_decisions"]),
                args_schema=config.get("args_schema"),
                error="",
            )
            if needs_human(config, call, state, runtime)
            else None
            for call in calls
        ]


def approval_config(what: str, given: object, possible: Sequence[DecisionType]) -> InterruptOnConfig:
    """Read what a human may decide about a call.

    Args:
        what: The argument that says it.
        given: `True` for all decisions, or an `InterruptOnConfig`.
        possible: The decisions there are.

    Raises:
        ConfigurationError: It is neither, or has an unknown decision or key.
    """
    if given is True:
        return InterruptOnConfig(allowed_decisions=[*possible])
    if not isinstance(given, Mapping):
        raise refused(what, "True, False or an InterruptOnConfig", given)
    if unknown := given.keys() - InterruptOnConfig.__annotations__.keys():
        expected = ", ".join(InterruptOnConfig.__annotations__)
        msg = f"{what}: keys must be some of {expected}, not {sorted(unknown)}"
        raise ConfigurationError(msg)
    decisions = given.get("allowed_decisions", [])
    if not decisions or set(decisions) - set(possible):
        msg = f"{what}: allowed_decisions must be some of {', '.join(possible)}, not {decisions}"
        raise ConfigurationError(msg)
    return cast("InterruptOnConfig", given)


def needs_human(config: InterruptOnConfig, call: ToolCall, state: Any, runtime: Runtime[Any]) -> bool:
    """Ask a config's `when` about a copy of a call, in a node or `@task`."""
    if (when := config.get("when")) is None:
        return True
    given: ToolRuntime[Any, Any] = ToolRuntime(
        state=state,
        context=runtime.context,
        config=get_config(),
        stream_writer=runtime.stream_writer,
        tool_call_id=call["id"],
        store=runtime.store,
        execution_info=runtime.execution_info,
        server_info=runtime.server_info,
    )
    return when(ToolCallRequest(tool_call=deepcopy(call), tool=None, state=state, runtime=given))


def decisions_in(answer: Any, asked: Sequence[tuple[str, Sequence[str]]]) -> list[Decision]:
    """Read `{"decisions": […]}`, a list, or one decision (an approval, a rejection, `True`, `False`) for all calls.

    Args:
        answer: What the human answered.
        asked: The tool of each call that was asked about, and the decisions that are allowed.

    Raises:
        ValueError: It is no decision for each call, or one that is not allowed.
    """
    count = len(asked)
    given = answer.get("decisions", answer) if isinstance(answer, dict) else answer
    match given:
        case True:
            decisions = [Decision(type="approve")] * count
        case False:
            decisions = [Decision(type="reject")] * count
        case {"type": kind} if count == 1 or kind not in ("edit", "respond"):  # what is written there is about one call
            decisions = [given] * count
        case [*listed] if len(listed) == count and all(isinstance(each, dict) for each in listed):
            decisions = listed
        case _:
            msg = f'expected {{"decisions": [{{"type": "approve"}}, …]}} with {count} decisions, not {answer!r:.500}'
            raise ValueError(msg)
    for decision, (tool, allowed) in zip(decisions, asked, strict=True):
        if decision.get("type") not in allowed:
            expected = ", ".join(allowed)
            msg = f"the decision about {tool!r} must be one of {expected}, not {decision.get('type')!r}"
            raise ValueError(msg)
        if decision["type"] == "edit":
            match decision.get("edited_action"):
                case {"args": dict(), **rest} if rest.get("name", tool) == tool:
                    pass
                case edited:
                    expected = f"edited_action: {{'name': {tool!r}, 'args': {{…}}}}"
                    msg = f"the decision 'edit' about {tool!r} needs {expected}, not {edited!r:.500}"
                    raise ValueError(msg)
    return decisions
