"""Takes a plan that a human has changed: parsed and checked like a model's, before anything of it runs.

A run that pauses between planning and running (`interrupt_before=["task_fetching_unit"]`) shows its plan in the state,
as `plan_text`. Whoever changes it there (`update_state`, or the studio) and goes on runs the changed plan:

    graph.invoke({"messages": […]}, config)
    text = graph.get_state(config).values["plan_text"]
    graph.update_state(config, {"plan_text": text.replace("Danube", "Rhine")})
    graph.invoke(None, config)

If something is wrong with it, nothing runs and the run pauses again. The answer is another text, or `True` to run
what can be run:

    interrupt(value)  {"plan_text": "…", "diagnostics": [{"message", "line", "column", …}], "error": "line 1, …"}
    Command(resume)   "1. lookup(…) …"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import NAMESPACE_OID, uuid5

from langchain_core.messages import AIMessage, AnyMessage, RemoveMessage
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.schedule.executor import Executor
from llmcompiler_graph.graph.context import Settings, Shared
from llmcompiler_graph.graph.draft import Draft, recorded
from llmcompiler_graph.state import LLMCompilerState, Round, plan_text

__all__ = ("Revision", "revised")


class Revision(NamedTuple):
    """What a changed plan comes to."""

    state: LLMCompilerState
    """The state, as if the planner had written it."""
    update: dict[str, Any]
    """What of that is to be written to the state."""
    executor: Executor
    """Its executor: nothing has started."""


def revised(settings: Settings, shared: Shared, state: LLMCompilerState, *, sync: bool) -> Revision | None:
    """Read the plan again if it was changed since the planner wrote it; call it first thing in the node.

    Raises:
        ConfigurationError: It is no text.
        GraphInterrupt: It cannot be used as it is, and the human has not said what to do.
    """
    number = len(state["rounds"]) - 1
    earlier = [record for record in state["tasks"] if record["round"] < number]
    mine = [record for record in state["tasks"] if record["round"] == number]
    text: object = state.get("plan_text") or ""
    if not isinstance(text, str):
        msg = f"plan_text in the state must be the text of a plan, not {type(text).__name__}: {text!r:.80}"
        raise ConfigurationError(msg)
    if not text or text.strip() == plan_text(mine):
        return None
    # a node that is run again must find the same ids: they are those of the plan it replaces
    turn = f"{state.get('turn')} {number}"
    plan_id = mine[0]["tool_call_id"].split("_")[1] if mine else uuid5(NAMESPACE_OID, turn).hex[:12]
    settings = replace(settings, max_repairs=0, held=frozenset(spec.name for spec in settings.specs))
    before: LLMCompilerState = {**state, "tasks": earlier, "rounds": state["rounds"][:-1]}
    draft = _read(text, lambda: Draft(settings, shared, before, sync=sync, plan_id=plan_id))
    round_: Round = {
        "plan": draft.text,
        "diagnostics": [recorded(problem) for problem in draft.diagnostics],
        "reply": "",
        "usage": state["rounds"][-1]["usage"],
    }
    old = next((m for m in state["messages"] if isinstance(m, AIMessage) and m.id == f"plan_{plan_id}"), None)
    messages: list[AnyMessage | RemoveMessage] = []
    if any(record["text"] for record in draft.records):
        messages.append(draft.message(old.usage_metadata if old else None))
    elif old is not None:
        messages.append(RemoveMessage(str(old.id)))
    update = {
        "tasks": [*earlier, *draft.records],
        "rounds": [*state["rounds"][:-1], round_],
        "plan_text": plan_text(draft.records),
    }
    after = {**state, **update, "messages": add_messages(state["messages"], messages)}  # type: ignore[arg-type]
    return Revision(after, {**update, "messages": messages}, draft.executor)  # type: ignore[arg-type]


def _read(text: str, make: Callable[[], Draft]) -> Draft:
    """Read a plan, and what the human gives in place of it, until it can be used or the human has it run as it is.

    Raises:
        GraphInterrupt: It cannot be used, and the human has not said what to do.
    """
    while True:
        draft = make()
        draft.feed(text)
        draft.close()
        draft.settle()
        if not draft.diagnostics:
            return draft
        told = [recorded(problem) for problem in draft.diagnostics]
        error = "\n".join(map(str, draft.diagnostics))
        answer = interrupt({"plan_text": text, "diagnostics": told, "error": error})
        if answer is True:
            return draft
        text = str(answer.get("plan_text", text) if isinstance(answer, dict) else answer)
