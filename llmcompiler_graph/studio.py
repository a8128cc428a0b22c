"""What `langgraph.json` serves: a factory of agent graphs, which assistants and runs set up by a typed context.

    {"model": "openai:gpt-5", "tools": ["lookup"], "max_replans": 0}  --make_graph-->  the agent graph

The server calls the factory for each run, and without a context to draw the graph, show its schemas or read a thread.
Neither starts a model: models are made when a node first needs them.

A server's clients are not its operator, and Studio itself is a web page. So a client chooses among the tools on offer,
the built-in ones and those which the operator names in `LLMCOMPILER_TOOLS`; it cannot have just any module imported.
Models cost the operator money: a client chooses among those of `LLMCOMPILER_MODEL` and `LLMCOMPILER_MODELS`, which may
be patterns (`openai:*`). Each limit has a most that a client can set, which holds as well where it sets none.
"""

import asyncio
import fnmatch
import os
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph_sdk.runtime import ServerRuntime
from pydantic import BaseModel, Field

from llmcompiler_graph.cli.defaults import default_tools, examples_for
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.graph.create import create_llm_compiler
from llmcompiler_graph.tools.loading import BUILT_IN, load_tools

__all__ = ("Context", "make_graph")


def _listed(variable: str) -> list[str]:
    """The names in an environment variable."""
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


_DEFAULT_MODEL = os.environ.get("LLMCOMPILER_MODEL") or "local"
_OFFERED_MODELS = list(dict.fromkeys([_DEFAULT_MODEL, *_listed("LLMCOMPILER_MODELS")]))
_OPERATOR_TOOLS = _listed("LLMCOMPILER_TOOLS")
_DEFAULT_TOOLS = _OPERATOR_TOOLS or [tool.name for tool in default_tools()]
_OFFERED_TOOLS = list(dict.fromkeys([*BUILT_IN, *_OPERATOR_TOOLS]))

_MOST_REPLANS = 10
_MOST_AT_A_TIME = 100  # tool calls
_LONGEST_TURN = 3600.0  # seconds
_MOST_TOKENS = 1_000_000  # of a turn
_LONGEST_PROMPT = 100_000  # characters

_RESERVED_KEYS = ("thread_id", "checkpoint_", "langgraph_", "__")  # LangGraph's, in `configurable`


def _shown_at(*nodes: str, **more: str) -> dict[str, Any]:
    """Say which nodes of the drawn graph a field belongs to, in Studio's words."""
    return {"langgraph_nodes": list(nodes), **more}


class Context(BaseModel, extra="forbid"):
    """What an assistant or a run may set."""

    model: str = Field(
        _DEFAULT_MODEL,
        description=f"The model that plans and joins; on offer: {', '.join(_OFFERED_MODELS)}.",
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
        max_length=len(_OFFERED_TOOLS),
        description=f"The tools that plans may call; on offer: {', '.join(_OFFERED_TOOLS)}.",
        json_schema_extra=_shown_at("planner", "task_fetching_unit"),
    )
    max_replans: int = Field(
        2,
        ge=0,
        le=_MOST_REPLANS,
        description=f"How many plans may follow the first in one turn; 0 for none, {_MOST_REPLANS} at most.",
        json_schema_extra=_shown_at("joiner"),
    )
    max_concurrency: int | None = Field(
        None,
        ge=1,
        le=_MOST_AT_A_TIME,
        description=f"How many tool calls may run at a time; empty for {_MOST_AT_A_TIME}, which is the most.",
        json_schema_extra=_shown_at("task_fetching_unit"),
    )
    deadline: float | None = Field(
        None,
        gt=0,
        le=_LONGEST_TURN,
        description="Seconds a turn may take; then the joiner answers with what there is. "
        f"Empty for {_LONGEST_TURN:g}, which is the most.",
        json_schema_extra=_shown_at("planner", "task_fetching_unit"),
    )
    budget: int | None = Field(
        None,
        ge=1,
        le=_MOST_TOKENS,
        description="Tokens that the models may use in a turn; then the joiner answers with what there is. "
        f"Empty for {_MOST_TOKENS:,}, which is the most.",
        json_schema_extra=_shown_at("planner", "joiner"),
    )
    approve_plans: bool = Field(
        False,
        description="Whether a human approves, edits or rejects each plan before it runs.",
        json_schema_extra=_shown_at("task_fetching_unit"),
    )
    system_prompt: str = Field(
        "",
        max_length=_LONGEST_PROMPT,
        description="What the models are told before everything else.",
        json_schema_extra=_shown_at("planner", "joiner", langgraph_type="prompt"),
    )


async def make_graph(
    config: RunnableConfig, runtime: ServerRuntime[Context]
) -> CompiledStateGraph[Any, Context, Any, Any]:
    """Make the agent graph that a run's context asks for, or without a run, the default one.

    Raises:
        ConfigurationError: The context has a key that it does not have, or names a tool or a model that is not on
            offer.
        pydantic.ValidationError: Another value of the context cannot be used.
    """
    # servers keep `configurable` in step with the context; older ones do not give the context itself to factories
    given: dict[str, Any] = dict(config.get("configurable", {}))  # with much else, which is the server's
    if execution := runtime.execution_runtime:
        sent = cast("dict[str, Any] | None", execution.context) or {}
        _check_keys(sent)
        given |= sent
    settings = {key: value for key, value in given.items() if key in Context.model_fields}
    context = Context.model_validate(settings)
    if runtime.execution_runtime:  # else no model is asked
        _check_models([context.model, *filter(None, (context.planner_model, context.joiner_model))])
    return await asyncio.to_thread(_build, context)  # loading tools reads files


def _check_keys(context: Iterable[str]) -> None:
    for key in context:
        if key not in Context.model_fields and not key.startswith(_RESERVED_KEYS):
            near = get_close_matches(key, Context.model_fields, 1)
            advice = f"; did you mean {near[0]!r}?" if near else f", only {', '.join(Context.model_fields)}"
            msg = f"the context has no key {key!r}{advice}"
            raise ConfigurationError(msg)


def _check_models(models: Iterable[str]) -> None:
    for name in models:
        if not any(fnmatch.fnmatchcase(name, offered) for offered in _OFFERED_MODELS):
            msg = (
                f"the model {name!r} is not on offer here, only {', '.join(_OFFERED_MODELS)}; "
                "whoever runs the server adds more by LLMCOMPILER_MODELS=provider:name,… (openai:* for all of OpenAI's)"
            )
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
        max_concurrency=context.max_concurrency or _MOST_AT_A_TIME,
        deadline=context.deadline or _LONGEST_TURN,
        budget=context.budget or _MOST_TOKENS,
        system_prompt=context.system_prompt,
        approve_plans=context.approve_plans,
        context_schema=Context,
    )
