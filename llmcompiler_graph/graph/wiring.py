"""The three nodes, and the edges between them and the hooks of middleware."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Hashable
from functools import partial
from typing import Any, NamedTuple

from langgraph.graph import END, START, StateGraph

from llmcompiler_graph.graph.context import Settings, Shared
from llmcompiler_graph.graph.fetching import Fetching, after_direct_fetching, after_fetching
from llmcompiler_graph.graph.hook_nodes import Leads, after_joining, after_planning, branch, leading, wire_hooks
from llmcompiler_graph.graph.hooks import Hooks
from llmcompiler_graph.graph.joiner import Joiner
from llmcompiler_graph.graph.model_calls import ModelCalls
from llmcompiler_graph.graph.node import Node, both_ways
from llmcompiler_graph.graph.planner import Planner
from llmcompiler_graph.graph.roles import Roles
from llmcompiler_graph.graph.schemas import Schemas
from llmcompiler_graph.models.constraints import Constraint
from llmcompiler_graph.models.dialects import Dialect
from llmcompiler_graph.models.lazy import is_local
from llmcompiler_graph.models.structured import AnswerForm

__all__ = ("Nodes", "make_nodes", "wired")


class Nodes(NamedTuple):
    """The three nodes, and what their runs share."""

    planner: Planner
    """Plans."""
    fetching: Fetching
    """Runs the plan."""
    joiner: Joiner
    """Answers, or asks for another plan."""
    shared: Shared
    """What their runs share."""


def make_nodes(
    settings: Settings,
    roles: Roles,
    dialect: Dialect,
    *,
    form: AnswerForm | None,
    constraints: tuple[Constraint | None, Constraint | None],
    calls: ModelCalls | None,
    name: str,
    answers: bool,
) -> Nodes:
    """Make the three nodes.

    Args:
        settings: The graph's tools and limits.
        roles: The models that plan and join.
        dialect: How the planner writes plans.
        form: What the answer is besides text.
        constraints: What the planner and the joiner are held to.
        calls: What is around the models' calls.
        name: The name of the answer's message.
        answers: Whether the planner may answer by itself what needs no tool.
    """
    shared = Shared()
    planner = Planner(
        settings,
        shared,
        roles.planning,
        constraints[0],
        dialect,
        joiner=None if is_local(roles.joiner) else roles.joining,
        calls=calls,
        answers_as=name if answers else "",
    )
    joiner = Joiner(
        settings,
        shared,
        roles.joining,
        constraints[1],
        name=name,
        form=form,
        dialect=dialect if roles.joining is roles.planning else None,
        calls=calls,
    )
    return Nodes(planner, Fetching(settings, shared), joiner, shared)


def wired(
    schemas: Schemas,
    context_schema: type[Any] | None,
    nodes: Nodes,
    hooks: Hooks,
    *,
    approves: bool,
    direct: Collection[str],
) -> StateGraph[Any, Any, Any, Any]:
    """Connect the three nodes.

    Args:
        schemas: What the state holds, a run takes and gives.
        context_schema: The schema of the run's context.
        nodes: The nodes.
        hooks: Those of middleware.
        approves: Whether humans approve calls or plans: then the task fetching unit may be run several times.
        direct: The tools whose results are the answer.
    """
    planner, fetching, joiner, _ = nodes
    graph = StateGraph(
        schemas.state, context_schema=context_schema, input_schema=schemas.input, output_schema=schemas.output
    )

    leads: Leads = {}

    def add_node(name: str, run: Callable[[Any], Any], arun: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
        def invoke(state: Any) -> Any:
            state = schemas.checked(state)
            return leading(run(state), state, leads, name)

        async def ainvoke(state: Any) -> Any:
            state = schemas.checked(state)
            return leading(await arun(state), state, leads, name)

        graph.add_node(name, Node(name, invoke, ainvoke))

    add_node("planner", *both_ways(planner.plan, fetching.patience))
    add_node("task_fetching_unit", fetching.fetch, fetching.afetch)
    add_node("joiner", *both_ways(joiner.join, fetching.patience))
    to_joiner, end = "joiner", END
    if hooks.nodes:
        planner.turn_is_begun = True
        add_node("turn", *both_ways(planner.begin, fetching.patience))
        to_joiner, end = wire_hooks(graph, hooks, schemas.checked, leads, answers=planner.answers)
    else:
        graph.add_edge(START, "planner")
        if planner.answers:
            branch(graph, leads, "planner", after_planning, {"plan": "task_fetching_unit", "finish": END})
        else:
            graph.add_edge("planner", "task_fetching_unit")
        branch(graph, leads, "joiner", after_joining, {"replan": "planner", "finish": END})
    ways: dict[Hashable, str] = {"approve": "task_fetching_unit", "go on": to_joiner}
    if direct:
        after = partial(after_direct_fetching, direct=direct)
        branch(graph, leads, "task_fetching_unit", after, {**ways, "direct": end})
    elif approves:
        branch(graph, leads, "task_fetching_unit", after_fetching, ways)
    else:
        graph.add_edge("task_fetching_unit", to_joiner)
    return graph
