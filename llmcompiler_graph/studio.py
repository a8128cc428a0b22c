"""What `langgraph.json` serves: a factory of agent graphs, which assistants and runs set up by a typed context.

    {"model": "openai:gpt-5", "tools": ["lookup"], "max_replans": 0}  --make_graph-->  the agent graph

The server calls the factory for each run, and without a context to draw the graph, show its schemas or read a thread.
Neither starts a model: models are made when a node first needs them.

A server's clients are not its operator, and Studio itself is a web page. So a client chooses among the tools on offer,
the built-in ones and those which the operator names in `LLMCOMPILER_TOOLS`; it cannot have just any module imported.
"""

import asyncio
import os
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph_sdk.runtime import ServerRuntime
from pydantic import BaseModel, Field

from llmcompiler_graph.cli.defaults import examples_for
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.graph.create import create_llm_compiler
from llmcompiler_graph.tools.loading import BUILT_IN, load_tools

__all__ = ("Context", "make_graph")

_DEFAULT_MODEL = os.environ.get("LLMCOMPILER_MODEL") or "local"
_OPERATOR_TOOLS = [name.strip() for name in os.environ.get("LLMCOMPILER_TOOLS", "").split(",") if name.strip()]
_DEFAULT_TOOLS = _OPERATOR_TOOLS or ["lookup", "calculate"]
_OFFERED_TOOLS = list(dict.fromkeys([*BUILT_IN, *_OPERATOR_TOOLS]))


_RESERVED_KEYS = ("thread_id", "checkpoint_", "langgraph_", "__")  # LangGraph's, in `configurable`


def _shown_at(*nodes: str, **more: str) -> dict[str, Any]:
    """Say which nodes of the drawn graph a field belongs to, in Studio's words."""
    return {"langgraph_nodes": list(nodes), **more}


class Context(BaseModel, extra="forbid"):
    """What an assistant or a run may set."""

    model: str = Field(
        _DEFAULT_MODEL,
        description="The model that plans and joins: 'local' (this machine's CPU) or 'provider:name'.",
        json_schema_extra=_shown_at("planner", "joiner"),
    )
    planner_model: str | None = Field(
        None,
        description="The model that plans, if not `model`.",
        json_schema_extra=_shown_at("planner"),
    )
    joiner_model: str | None = Field(
        None,
        description="The model that joins, if not `model`.",
        json_schema_extra=_shown_at("joiner"),
    )
    tools: list[str] = Field(
        _DEFAULT_TOOLS,
        description=f"The tools that plans may call; on offer: {', '.join(_OFFERED_TOOLS)}.",
        json_schema_extra=_shown_at("planner", "task_fetching_unit"),
    )
    max_replans: int = Field(
        2,
        ge=0,
        description="How many plans may follow the first in one turn; 0 for none.",
        json_schema_extra=_shown_at("joiner"),
    )
    max_concurrency: int | None = Field(
        None,
        ge=1,
        description="How many tool calls may run at a time; empty for as many as the plan allows.",
        json_schema_extra=_shown_at("task_fetching_unit"),
    )
    deadline: float | None = Field(
        None,
        gt=0,
        description="Seconds a turn may take; then the joiner answers with what there is. Empty for any time.",
        json_schema_extra=_shown_at("planner", "task_fetching_unit"),
    )
    approve_plans: bool = Field(
        False,
        description="Whether to pause before a plan runs, so that a human can change `plan_text`; then go on.",
        json_schema_extra=_shown_at("task_fetching_unit"),
    )
    system_prompt: str = Field(
        "",
        description="What the models are told before everything else.",
        json_schema_extra=_shown_at("planner", "joiner", langgraph_type="prompt"),
    )


async def make_graph(
    config: RunnableConfig, runtime: ServerRuntime[Context]
) -> CompiledStateGraph[Any, Context, Any, Any]:
    """Make the agent graph that a run's context asks for, or without a run, the default one.

    Raises:
        ConfigurationError: The context has a key that it does not have, or names a tool that is not on offer.
        pydantic.ValidationError: Another value of the context cannot be used.
    """
    # servers keep `configurable` in step with the context; older ones do not give the context itself to factories
    given: dict[str, Any] = dict(config.get("configurable", {}))  # with much else, which is the server's
    if execution := runtime.execution_runtime:
        context = cast("dict[str, Any] | None", execution.context) or {}  # as the client sent it
        _check_keys(context)
        given |= context
    settings = {key: value for key, value in given.items() if key in Context.model_fields}
    return await asyncio.to_thread(_build, Context.model_validate(settings))  # loading tools reads files


def _check_keys(context: Iterable[str]) -> None:
    for key in context:
        if key not in Context.model_fields and not key.startswith(_RESERVED_KEYS):
            near = get_close_matches(key, Context.model_fields, 1)
            advice = f"; did you mean {near[0]!r}?" if near else f", only {', '.join(Context.model_fields)}"
            msg = f"the context has no key {key!r}{advice}"
            raise ConfigurationError(msg)


def _build(context: Context) -> CompiledStateGraph[Any, Context, Any, Any]:
    for name in context.tools:
        if name not in _OFFERED_TOOLS:
            msg = (
                f"the tool {name!r} is not on offer here, only {', '.join(_OFFERED_TOOLS)}; "
                "whoever runs the server adds more by LLMCOMPILER_TOOLS=package.module:attribute,…"
            )
            raise ConfigurationError(msg)
    tools = load_tools(context.tools)
    return create_llm_compiler(
        context.model,
        tools,
        planner_model=context.planner_model or None,
        joiner_model=context.joiner_model or None,
        examples=examples_for(tools),
        max_replans=context.max_replans,
        max_concurrency=context.max_concurrency,
        deadline=context.deadline,
        system_prompt=context.system_prompt,
        interrupt_before=["task_fetching_unit"] if context.approve_plans else None,
        context_schema=Context,
    )
