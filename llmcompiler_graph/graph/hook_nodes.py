"""Middleware's hooks as nodes, around the three nodes of the graph.

    START → turn → before_agent… → before_model… → planner → after_model… → task_fetching_unit
          → before_model… → joiner → after_model… ──finish──→ after_agent… → END
                 ↑ (the planner's)        │
                 └────────replan──────────┘

A turn is begun by a node of its own: hooks may change the conversation between joiner and planner. A hook that says
`jump_to="end"` leads to `after_agent`. As in `create_agent`, hooks `after_…` are called from the last to the first.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Any, NamedTuple, TypeAlias

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import get_runtime
from langgraph.types import Command

from llmcompiler_graph.concurrency.background import run_in_background
from llmcompiler_graph.concurrency.threads import in_thread
from llmcompiler_graph.graph.hooks import Hook, Hooks
from llmcompiler_graph.graph.node import Node, path

__all__ = ("Leads", "after_joining", "after_planning", "branch", "leading", "wire_hooks")


def after_planning(state: Any) -> str:
    """Where the planner leads: on, or to the end if it has answered by itself."""
    return "finish" if state["rounds"][-1]["reply"] else "plan"


def after_joining(state: Any) -> str:  # an annotation would be a second schema beside the caller's
    """Where the joiner leads: to the end, or back to the planner."""
    return str(state.get("decision", "finish"))


Leads: TypeAlias = dict[str, tuple[Callable[[Any], str], dict[Hashable, str]]]
"""By the name of a node that leads to several others: what says which way, given the state, and where each leads."""


def leading(given: Any, state: Any, leads: Leads, name: str) -> Any:
    """What a node gives, and where it leads if it leads to several others, in one write.

    LangGraph writes what a node gives in one step and follows its conditional edges in the next. A run that is
    cancelled between the two would be at its end: what is kept of the node would not lead anywhere.
    """
    if name not in leads:
        return given
    pick, ends = leads[name]
    updates = given if isinstance(given, list) else [given] if given else []
    merged = dict(state)
    for update in updates:
        changes = update.update if isinstance(update, Command) else update
        merged |= changes if isinstance(changes, dict) else {}
    following = ends[pick(merged)]
    return given if following == END else [*updates, Command(goto=following)]


def branch(
    graph: StateGraph[Any, Any, Any, Any],
    leads: Leads,
    name: str,
    pick: Callable[[Any], str],
    ends: dict[Hashable, str],
) -> None:
    """Let a node lead to one of several."""
    graph.add_conditional_edges(name, path(pick), ends)
    leads[name] = pick, ends


class _Branch(NamedTuple):
    """Where a chain of hooks leads."""

    pick: Callable[[Any], str]
    """Says which way, given the state."""
    leads: dict[Hashable, str]
    """The node at the end of each."""


def wire_hooks(
    graph: StateGraph[Any, Any, Any, Any], hooks: Hooks, read: Callable[[Any], Any], leads: Leads, *, answers: bool
) -> tuple[str, str]:
    """Add the nodes of hooks, and the edges between them; return where the task fetching unit leads, and the end.

    Args:
        graph: It has the node `turn`, besides its three.
        hooks: The hooks there are.
        read: Reads the state before a hook is called.
        leads: Where nodes lead, to be added to.
        answers: Whether the planner may answer by itself.
    """
    wiring = _Wiring(graph, read, leads)
    after_agent = wiring.chain(hooks.after_agent, END, END)
    joiner = wiring.chain(hooks.before_model, "joiner", after_agent, ".joiner")
    planner = wiring.chain(hooks.before_model, "planner", after_agent)
    planned = _Branch(after_planning, {"plan": "task_fetching_unit", "finish": after_agent})
    joined = _Branch(after_joining, {"replan": planner, "finish": after_agent})
    graph.add_edge(START, "turn")
    graph.add_edge("turn", wiring.chain(hooks.before_agent, planner, after_agent))
    if hooks.after_model:
        graph.add_edge("joiner", wiring.chain(hooks.after_model, joined, after_agent, ".joiner", see=_with_reply))
        following = planned if answers else "task_fetching_unit"
        graph.add_edge("planner", wiring.chain(hooks.after_model, following, after_agent))
    else:
        branch(graph, leads, "joiner", *joined)
        if answers:
            branch(graph, leads, "planner", *planned)
        else:
            graph.add_edge("planner", "task_fetching_unit")
    return str(joiner), str(after_agent)


class _Wiring:
    """Adds chains of hooks to a graph."""

    def __init__(self, graph: StateGraph[Any, Any, Any, Any], read: Callable[[Any], Any], leads: Leads) -> None:
        self._graph = graph
        self._read = read
        self._leads = leads

    def chain(
        self,
        hooks: Sequence[Hook],
        into: str | _Branch,
        end: str,
        suffix: str = "",
        see: Callable[[Any], Any] = lambda state: state,
    ) -> Any:
        """Add hooks one after another; return the first node, or where they lead if there are none.

        Args:
            hooks: The hooks, in the order in which they are called.
            into: Where they lead.
            end: Where a hook leads that jumps to the end.
            suffix: What tells the nodes' names from those of the same hooks elsewhere.
            see: Makes the state that the hooks are shown.
        """
        if not hooks:
            return into
        names = [f"{hook.name}{suffix}" for hook in hooks]
        for hook, name, following in zip(hooks, names, [*names[1:], into], strict=True):
            self._graph.add_node(name, _node(hook, lambda state: see(self._read(state)), name, self._leads))
            self._lead(name, following, end, jumps=hook.may_end)
        return names[0]

    def _lead(self, name: str, following: str | _Branch, end: str, *, jumps: bool) -> None:
        if isinstance(following, str) and not jumps:
            self._graph.add_edge(name, following)
            return
        leads: dict[Hashable, str] = {"jump": end}
        leads.update({"on": following} if isinstance(following, str) else following.leads)

        def lead(state: Any) -> str:
            if jumps and state.get("jump_to") == "end":
                return "jump"
            return "on" if isinstance(following, str) else following.pick(state)

        branch(self._graph, self._leads, name, lead, leads)


def _node(hook: Hook, see: Callable[[Any], Any], name: str, leads: Leads) -> Node:
    """Make a node of a hook that is synchronous, asynchronous, or both."""

    def call(state: Any) -> Any:
        if hook.call is not None:
            return hook.call(see(state), get_runtime())
        assert hook.acall is not None
        return run_in_background(_awaited(hook.acall, see(state)))

    async def acall(state: Any) -> Any:
        if hook.acall is not None:
            return await hook.acall(see(state), get_runtime())
        assert hook.call is not None
        return await in_thread(name, hook.call, see(state), get_runtime())

    def invoke(state: Any) -> Any:
        return leading(call(state), state, leads, name)

    async def ainvoke(state: Any) -> Any:
        return leading(await acall(state), state, leads, name)

    return Node(name, invoke, ainvoke)


async def _awaited(call: Callable[..., Coroutine[Any, Any, Any]], state: Any) -> Any:
    return await call(state, get_runtime())


def _with_reply(state: Any) -> Any:
    """What hooks after the joiner see: the last message is its reply, also where it asks for another plan."""
    if state.get("decision") != "replan":
        return state
    said = AIMessage(state["rounds"][-1]["reply"], name="joiner")
    return {**state, "messages": [*state["messages"], said]}
