"""The arguments of `create_llm_compiler` that say nothing of the result's type, for its overloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.messages import SystemMessage
from langgraph.cache.base import BaseCache
from langgraph.prebuilt.tool_node import AsyncToolCallWrapper, ToolCallWrapper
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer
from typing_extensions import TypedDict

from llmcompiler_graph.approval import InterruptOnConfig
from llmcompiler_graph.calls.cache import Reuse
from llmcompiler_graph.calls.policy import Retry, Timeout
from llmcompiler_graph.core.examples import PlanExample
from llmcompiler_graph.core.language.procedures import Procedure
from llmcompiler_graph.graph.approvals import InterruptMode
from llmcompiler_graph.graph.plan_approval import ApprovePlans
from llmcompiler_graph.models.budget import Budget
from llmcompiler_graph.models.constraints import Constrain
from llmcompiler_graph.models.lazy import ModelLike
from llmcompiler_graph.models.wording import PlanFormat
from llmcompiler_graph.remote.tool_executor import ToolExecutor

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware

    from llmcompiler_graph.tool_selection import SelectTools

__all__ = ("Options", "TransformerFactory")

TransformerFactory: TypeAlias = Callable[..., Any]
"""Makes a stream transformer of LangGraph's for a scope."""


class Options(TypedDict, total=False):
    """`create_llm_compiler` describes them."""

    system_prompt: str | SystemMessage | None
    planner_model: ModelLike | None
    joiner_model: ModelLike | None
    examples: Sequence[PlanExample] | None
    procedures: Sequence[Procedure | str]
    guards: bool
    repetition: bool
    plan_format: PlanFormat
    brief: bool | None
    select_tools: SelectTools | None
    constrain: Constrain
    thinking_tags: Sequence[tuple[str, str]]
    max_replans: int
    fuse_replan: bool
    max_repairs: int
    check_answers: bool | Literal["auto"]
    max_tasks: int | None
    max_fan_out: int | None
    max_concurrency: int | None
    tool_concurrency: Mapping[str, int] | None
    tool_timeout: Timeout | None
    tool_retry_policy: Retry | None
    tool_cache_policy: Reuse | None
    deadline: float | timedelta | None
    deadline_grace: float | timedelta
    budget: int | Budget | None
    tool_executor: ToolExecutor | None
    interrupt_on: Mapping[str, bool | InterruptOnConfig] | None
    interrupt_mode: InterruptMode
    approve_plans: ApprovePlans
    max_observation_chars: int
    max_history_chars: int | Literal["auto"] | None
    handle_tool_errors: Any
    wrap_tool_call: ToolCallWrapper | None
    awrap_tool_call: AsyncToolCallWrapper | None
    middleware: Sequence[AgentMiddleware[Any, Any]]
    transformers: Sequence[TransformerFactory] | None
    checkpointer: Checkpointer
    store: BaseStore | None
    interrupt_before: list[str] | None
    interrupt_after: list[str] | None
    debug: bool
    name: str | None
    cache: BaseCache[Any] | None
