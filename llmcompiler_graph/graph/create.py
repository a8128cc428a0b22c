"""The agent graph: planner → task_fetching_unit → joiner, and back to the planner while the joiner asks for more.

START → planner → task_fetching_unit → joiner ──finish──→ END
          │ ↑                              │               ↑
          │ └───────────replan─────────────┘               │
          └──finish: an answer that needs no tool──────────┘
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, overload

from langchain_core.messages import SystemMessage
from langchain_core.tools import BaseTool
from langgraph.cache.base import BaseCache
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolCallTransformer
from langgraph.prebuilt.tool_node import AsyncToolCallWrapper, ToolCallWrapper
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer
from langgraph.typing import ContextT, StateT
from typing_extensions import TypeVar, Unpack

from llmcompiler_graph.approval import Approval, InterruptOnConfig
from llmcompiler_graph.calls.batches import with_batch_forms
from llmcompiler_graph.calls.cache import Reuse, tool_cache
from llmcompiler_graph.calls.policy import Retry, Timeout, ToolPolicy
from llmcompiler_graph.calls.runner import ToolRunner, as_wrappers
from llmcompiler_graph.calls.specs import as_tools, tool_specs
from llmcompiler_graph.core.arguments import refused, seconds
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.examples import PlanExample, check_examples, made_examples, with_procedures
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.core.language.procedures import Procedure
from llmcompiler_graph.graph.approvals import InterruptMode
from llmcompiler_graph.graph.commands import keys_of_one_value
from llmcompiler_graph.graph.context import Settings
from llmcompiler_graph.graph.hooks import Hooks
from llmcompiler_graph.graph.model_calls import ModelCalls
from llmcompiler_graph.graph.options import Options, TransformerFactory
from llmcompiler_graph.graph.plan_approval import ApprovePlans, PlanApproval
from llmcompiler_graph.graph.procedures import checked_procedures
from llmcompiler_graph.graph.roles import Roles, roles_of
from llmcompiler_graph.graph.schemas import graph_schemas
from llmcompiler_graph.graph.wiring import make_nodes, wired
from llmcompiler_graph.models.budget import Budget, budget_meter
from llmcompiler_graph.models.constraints import Constrain, Constraint, constraint_for
from llmcompiler_graph.models.dialects import dialect_for
from llmcompiler_graph.models.lazy import ModelLike, is_local
from llmcompiler_graph.models.structured import Strategy, answer_form
from llmcompiler_graph.models.system import system_message
from llmcompiler_graph.models.wording import PlanFormat
from llmcompiler_graph.remote.tool_executor import ToolExecutor, in_executor
from llmcompiler_graph.state import LLMCompilerInput, LLMCompilerOutput, LLMCompilerState, ResponseT

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware

    from llmcompiler_graph.tool_selection import SelectTools

__all__ = ("create_llm_compiler",)

_StateT = TypeVar("_StateT", bound=LLMCompilerState[Any])


@overload
def create_llm_compiler(
    model: ModelLike,
    tools: Sequence[BaseTool | Callable[..., Any]] | None = None,
    *,
    response_format: type[ResponseT] | UnionType | Strategy[ResponseT] | None = None,
    state_schema: None = None,
    context_schema: type[ContextT] | None = None,
    **options: Unpack[Options],
) -> CompiledStateGraph[LLMCompilerState[ResponseT], ContextT, LLMCompilerInput, LLMCompilerOutput[ResponseT]]: ...


@overload
def create_llm_compiler(
    model: ModelLike,
    tools: Sequence[BaseTool | Callable[..., Any]] | None = None,
    *,
    response_format: Mapping[str, Any],  # JSON Schema
    state_schema: None = None,
    context_schema: type[ContextT] | None = None,
    **options: Unpack[Options],
) -> CompiledStateGraph[
    LLMCompilerState[dict[str, Any]], ContextT, LLMCompilerInput, LLMCompilerOutput[dict[str, Any]]
]: ...


@overload
def create_llm_compiler(
    model: ModelLike,
    tools: Sequence[BaseTool | Callable[..., Any]] | None = None,
    *,
    response_format: type[Any] | UnionType | Mapping[str, Any] | Strategy | None = None,
    state_schema: type[_StateT],  # extends `LLMCompilerState`
    context_schema: type[ContextT] | None = None,
    **options: Unpack[Options],
) -> CompiledStateGraph[_StateT, ContextT, Any, _StateT]: ...


@overload
def create_llm_compiler(
    model: ModelLike,
    tools: Sequence[BaseTool | Callable[..., Any]] | None = None,
    *,
    response_format: type[Any] | UnionType | Mapping[str, Any] | Strategy | None = None,
    state_schema: type[StateT],  # has only the caller's keys: no type has both these and the graph's
    context_schema: type[ContextT] | None = None,
    **options: Unpack[Options],
) -> CompiledStateGraph[StateT, ContextT, Any, Any]: ...


def create_llm_compiler(
    model: ModelLike,
    tools: Sequence[BaseTool | Callable[..., Any]] | None = None,
    *,
    system_prompt: str | SystemMessage | None = None,
    planner_model: ModelLike | None = None,
    joiner_model: ModelLike | None = None,
    examples: Sequence[PlanExample] | None = None,
    procedures: Sequence[Procedure | str] = (),
    guards: bool = False,
    repetition: bool = False,
    plan_format: PlanFormat = "text",
    brief: bool | None = None,
    select_tools: SelectTools | None = None,
    constrain: Constrain = "auto",
    max_replans: int = 2,
    fuse_replan: bool = False,
    max_repairs: int = 1,
    check_answers: bool | Literal["auto"] = "auto",
    max_tasks: int | None = None,
    max_fan_out: int | None = 1000,
    max_concurrency: int | None = None,
    tool_concurrency: Mapping[str, int] | None = None,
    tool_timeout: Timeout | None = None,
    tool_retry_policy: Retry | None = None,
    tool_cache_policy: Reuse | None = None,
    deadline: float | timedelta | None = None,
    deadline_grace: float | timedelta = 30,
    budget: int | Budget | None = None,
    tool_executor: ToolExecutor | None = None,
    interrupt_on: Mapping[str, bool | InterruptOnConfig] | None = None,
    interrupt_mode: InterruptMode = "batched",
    approve_plans: ApprovePlans = False,
    max_observation_chars: int = 4000,
    max_history_chars: int | Literal["auto"] | None = "auto",
    thinking_tags: Sequence[tuple[str, str]] = (),
    response_format: type[Any] | UnionType | Mapping[str, Any] | Strategy | None = None,
    handle_tool_errors: Any = True,
    wrap_tool_call: ToolCallWrapper | None = None,
    awrap_tool_call: AsyncToolCallWrapper | None = None,
    middleware: Sequence[AgentMiddleware[Any, Any]] = (),
    state_schema: type[Any] | None = None,
    context_schema: type[Any] | None = None,
    checkpointer: Checkpointer = None,
    store: BaseStore | None = None,
    interrupt_before: list[str] | None = None,
    interrupt_after: list[str] | None = None,
    debug: bool = False,
    name: str | None = None,
    cache: BaseCache[Any] | None = None,
    transformers: Sequence[TransformerFactory] | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Make an agent graph that plans tool calls, runs them in parallel, and replans (arXiv 2312.04511).

    A user of `langchain.agents.create_agent` changes one name: it takes `{"messages": […]}` and the answer is the last
    message. Besides, the final state holds `tasks` (each with arguments and typed value), `timeline` and `rounds`.

    Args:
        model: A chat model, also with `bind`, `with_config`, `with_retry` or `with_fallbacks`, or `init_chat_model()`;
            `"provider:name"`, or `"local"` for the embedded one. A named one is made when a run first needs it: that is
            when a wrong name or a missing key is found.
        tools: LangChain tools or documented callables. Their return annotations let plans be checked; MCP's
            `readOnlyHint`, `idempotentHint` and `destructiveHint` in `tool.metadata` say what may be done with them.
        system_prompt: What the models are told before everything else; content blocks of a message are kept, such as
            those with `cache_control`.
        planner_model: The model that plans; `model` if not given.
        joiner_model: The model that joins; `model` if not given.
        examples: Questions with the plans wanted for them; checked against the tools. If not given, some are made of
            the tools' signatures.
        procedures: Plans with a name and parameters, that the planner calls like tools (see `docs/procedures.md`), each
            a `Procedure` or its text; checked against the tools. The prompt has an example of a call of each.
        guards: Whether the planner is told that a call may have a condition, `when ${1.total} > 100` (see
            `docs/guards.md`); for `plan_format="text"` only. Plans may have some in any case.
        repetition: Whether the planner is told that a call may be made again until something holds, `until ${2.state}
            == "done" max 10 every 5` (see `docs/guards.md`). As with `guards`.
        plan_format: How the planner model writes plans: as `"text"`, or for models tuned on tool calling, as `"tools"`.
        brief: Whether the models are asked to write no more than it takes: calls without numbers, arguments by
            position, no `join()`, and the answer itself without a thought before it; examples are shown in that form.
            What they write otherwise is understood all the same. By default, unless one of them is the embedded model
            or held to a grammar: small models count and think better in writing. Asked to be brief, such a planner
            still names arguments and ends plans with `join()`.
        select_tools: For many tools: what picks the tools and examples that a question's prompt shows. A number (that
            many, by BM25; extra `retrieval`), an embedding model, a retriever or a function (see `tool_selection`). The
            model may still call a tool that was not shown.
        constrain: Whether grammars limit what the models write: the name of the server that both run on
            (`"llama.cpp"`, `"vllm"`, `"sglang"`), a `Constraint`, or `None`; `"auto"` limits the embedded model only.
            A plan then has fewer tasks (see `max_tasks`), and if nothing came of the first plan, the joiner must
            replan, unless a human rejected it. If a server refuses grammars, a warning says so, and its model goes on
            without them.
        max_replans: How many plans may follow the first in one turn; 0 for none.
        fuse_replan: Whether the joiner model, when it decides to replan, writes the next plan in the same reply: one
            model call per replan instead of two. For `plan_format="text"` only.
        max_repairs: How often the tasks of a plan that cannot be used are asked for again, while the rest runs; 0 for
            never.
        check_answers: Whether plans and answers are checked for what the question asks for: a name, a number, or yes or
            no, and the numbers that it gives. A last calculation that is wanting is completed in code where question
            and plan leave no choice; an answer that does not say what the last task returned is asked for again, and
            shown only when it is taken. Only questions in English that say so for certain are checked, and only where
            a tool calculates (see `docs/configure.md`). `"auto"` checks the embedded model only.
        max_tasks: How many tasks a plan may have. A grammar allows 24 by default, or 16 if its form is not `"lark"`,
            and 64 at most; more are left to a replan.
        max_fan_out: How many calls a task that fans out (`${1[*]}`) may come to; one that would come to more fails,
            and none of its calls is made. `None` for any number.
        max_concurrency: How many tool calls may run at a time; `RunnableConfig`'s key of this name counts too.
        tool_concurrency: How many calls of a tool may run at a time, by its name.
        tool_timeout: How long a call may take: seconds, a timedelta or a `TimeoutPolicy`, for all tools or by name.
        tool_retry_policy: When a failed call is made again: a `langgraph.types.RetryPolicy` for all read-only and
            idempotent tools, or policies by name, for any tool.
        tool_cache_policy: For how long what a call returned answers equal calls, also of later turns and other threads:
            a `langgraph.types.CachePolicy` for all read-only tools, or policies by name; kept in `cache`. Tools that
            change something, or are given more than their arguments, are refused (see `docs/how-to/reuse.md`).
        deadline: How long a turn may run, in seconds or a timedelta. Then planning is cut short, unfinished tasks fail,
            and the joiner answers with what there is. While the turn is paused for a human, or its process is down,
            its time stands still.
        deadline_grace: How long the joiner may take once the deadline has passed, in seconds or a timedelta: then what
            it has written of its answer counts, and if that is nothing, `DeadlineError` is raised. A turn that goes on
            after a pause has as long at least for its tasks, so that what a human has approved is done.
        budget: How many tokens the models may use in a turn, or a `Budget` of tokens, money or both. When the rest is
            needed for the answer, planning is cut short, no task begins any more, and the joiner answers with what
            there is (see `docs/how-to/budgets.md`).
        tool_executor: Where synchronous tools run: any `concurrent.futures.Executor`, such as a `ProcessPoolExecutor`
            or Dask's `client.get_executor()`, or executors by tool name (see `llmcompiler_graph.remote.tool_executor`).
        interrupt_on: Tools that a human must approve, as in LangChain's human-in-the-loop middleware (see
            `llmcompiler_graph.approval`); it needs a checkpointer.
        interrupt_mode: How a run pauses for approvals once nothing else can run: with one question about all calls
            (`"batched"`), or with one about each (`"per_call"`), to be answered by the interrupt's id.
        approve_plans: Whether a human approves, edits or rejects each plan before anything of it runs: `True`,
            `"effects"` for plans that call a tool with effects, or one that is named like an action, or an
            `InterruptOnConfig` whose `when` picks plans. No tool is called while a plan is written then. It needs a
            checkpointer.
        max_observation_chars: How much of each observation the models are shown.
        max_history_chars: How much of a thread's earlier turns the models are shown: as many as fit, whole, the latest.
            Where they no longer fit, about half is left out at once, so that prompt caches go on hitting. `"auto"` for
            100,000 characters, or 20,000 where the embedded model is asked; `None` for all turns.
        thinking_tags: Pairs of tags between which models think in their replies, such as `("<mine>", "</mine>")`,
            besides those of all families (see `core.language.thinking`): what is between is neither plan nor answer.
            `("", "</think>")` where thoughts begin in the prompt: replies are then held back up to the tag.
        response_format: As in `create_agent`: a pydantic model, dataclass, TypedDict or JSON Schema of an object, a
            union of them, or a `ToolStrategy` or `ProviderStrategy` of these. The answer is also given in this form, as
            `structured_response`, by one more model call; a value that does not fit is asked for again. If none comes,
            the answer stands, a warning says why, and so does the round's `structured_error`; only what a strategy's
            `handle_errors` leaves out is raised. `tool_message_content` puts the call into the conversation, before
            the answer.
        handle_tool_errors: As in `ToolNode`. `True` makes every exception an observation; `False` raises it. Wrappers
            see exceptions first, and this is about what comes out of them.
        wrap_tool_call: As in `ToolNode`; inside those of `middleware`.
        awrap_tool_call: As in `ToolNode`; inside those of `middleware`.
        middleware: LangChain's middleware, the outermost first (see `docs/middleware.md`).
        state_schema: A TypedDict with further state keys, which a run takes and gives too. Keys may be marked with
            LangChain's `OmitFromInput`, `OmitFromOutput` and `PrivateStateAttr`. Or a pydantic model: then the state is
            checked before each node, and tools see it, still as a dict, with the model's conversions and defaults.
        context_schema: The schema of the run's `context`.
        checkpointer: As in `StateGraph.compile`: keeps threads, and each task as it finishes.
        store: Given to tools that ask for it.
        interrupt_before: Nodes to pause before: `planner`, `task_fetching_unit`, `joiner`. Paused between planning and
            fetching, no tool is called while the plan is written; a pause that only a run's `invoke` asks for comes too
            late for that.
        interrupt_after: Nodes to pause after.
        debug: Whether to print what the graph does.
        name: The graph's name; that of the node when used as a subgraph, and of the answer's message. A server calls
            a graph without one by the id that it is served under.
        cache: As in `StateGraph.compile`: keeps what calls returned, as `tool_cache_policy` says. Nodes of this graph
            have no cache policy.
        transformers: As in `create_agent`: factories of LangGraph's stream transformers, besides `ToolCallTransformer`
            and those of `middleware`.

    Raises:
        ConfigurationError: An argument cannot be used; the message says which and why.
    """
    # each part checks what it is given: the tools, the prompt, the limits, the models, the schemas
    hooks = Hooks(middleware)
    toolset, batches = with_batch_forms(as_tools([*hooks.tools, *(tools or ())]))
    specs = tool_specs(toolset)
    known = checked_procedures(procedures, specs)
    callable_ = [*specs, *(procedure.spec for procedure in known.values())]
    check_examples(examples or (), callable_)
    _check_pauses("interrupt_before", interrupt_before)
    _check_pauses("interrupt_after", interrupt_after)
    roles = roles_of(model, planner_model, joiner_model, thinking_tags)
    for what, told in (("guards", guards), ("repetition", repetition)):
        if told and plan_format == "tools":
            msg = f"{what}=True needs plan_format='text': native calls have no place for that"
            raise ConfigurationError(msg)
    dialect = dialect_for(plan_format, callable_)
    roles.check(dialect, specs)
    approval, interrupt_mode = _approval(hooks, interrupt_on, interrupt_mode, specs)
    approving_plans = PlanApproval(approve_plans, specs)
    form = answer_form(response_format)
    if form is not None and not isinstance(roles.joiner, str):
        form.check(roles.joiner)
    constraint = constraint_for(constrain, roles.planner) if plan_format == "text" else None
    # a model that is held to a grammar is a small one: it would answer from memory what tools know better
    answers = form is None and constraint is None and roles.joining is roles.planning
    constraints = constraint, constraint_for(constrain, roles.joiner)
    if brief is None:
        brief = any(each.brief for each in constraints if each) or not (any(constraints) or roles.any_local)
    writes = {"brief": brief, "guards": guards, "repetition": repetition}
    constraints = _writing(constraints[0], writes), _writing(constraints[1], writes)
    schemas = graph_schemas(state_schema, form.schema if form is not None else None, hooks.state_schemas)
    write = partial(
        system_message,
        system_prompt="" if system_prompt is None else system_prompt,
        fused=fuse_replan,
        plan_format=plan_format,
        numbered_by=dialect.numbered_by,
        answers=answers,
        guards=guards,
        repetition=repetition,
        brief=brief,
        joined=constraint is not None or is_local(roles.planner),
    )
    shown = made_examples(specs, brief=brief and plan_format == "text") if examples is None else examples
    if known and (examples or (examples is None and select_tools is None)):
        bodies = {name: {task.tool for task in procedure.tasks} for name, procedure in known.items()}
        shown = examples = with_procedures(shown, callable_, bodies)
    selection = None
    if select_tools is not None:
        from llmcompiler_graph.tool_selection import ToolSelection

        selection = ToolSelection(select_tools, callable_, examples, partial(write, tools_last=True))
    settings = Settings(
        specs=specs,
        runner=ToolRunner(
            in_executor(toolset, specs, tool_executor),
            handle_tool_errors=handle_tool_errors,
            wrappers=[*hooks.tool_wrappers, *as_wrappers(wrap_tool_call, awrap_tool_call)],
            cache=tool_cache(cache, tool_cache_policy, toolset, specs),
            batches=batches,
        ),
        system=write(callable_, shown),
        selection=selection,
        procedures=known,
        plan_format=plan_format,
        brief=brief,
        max_replans=max_replans,
        fuse_replan=fuse_replan,
        max_repairs=max_repairs,
        check_answers=_checks_answers(check_answers, roles),
        max_tasks=max_tasks,
        max_fan_out=max_fan_out,
        max_concurrency=max_concurrency,
        max_observation_chars=max_observation_chars,
        max_history_chars=roles.history if max_history_chars == "auto" else max_history_chars,
        deadline=None if deadline is None else seconds("deadline", deadline),
        deadline_grace=seconds("deadline_grace", deadline_grace),
        budget=budget_meter(budget, roles.planner, roles.joiner),
        held=_held(
            specs, approval, batches, interrupt_before, interrupt_after, every=hooks.holds or approving_plans.possible
        ),
        tool_concurrency=tool_concurrency or {},
        policy=ToolPolicy(specs, tool_retry_policy, tool_timeout),
        approval=approval,
        approve_plans=approving_plans,
        interrupt_mode=interrupt_mode,
        keys_of_one_value=keys_of_one_value(schemas.state),
    )
    calls = None
    if hooks.model_wrappers:
        of_tools = partial(write, tools_last=selection is not None)
        named = {tool.name: tool for tool in toolset}
        calls = ModelCalls(settings, hooks.model_wrappers, named, system_prompt, examples, of_tools)
    nodes = make_nodes(
        settings,
        roles,
        dialect,
        form=form,
        constraints=constraints,
        calls=calls,
        name=name or "joiner",
        answers=answers,
    )
    approves = bool(approval.tools) or approving_plans.possible
    direct = frozenset(tool.name for tool in toolset if tool.return_direct)
    compiled = wired(schemas, context_schema, nodes, hooks, approves=approves, direct=direct).compile(
        checkpointer=checkpointer,
        store=store,
        interrupt_before=interrupt_before,
        interrupt_after=interrupt_after,
        debug=debug,
        name=name,
        cache=cache,
        # `stream_events(version="v3")` has `.tool_calls` by the first
        transformers=list(
            {id(t): t for t in (ToolCallTransformer, *hooks.transformers, *(transformers or ()))}.values()
        ),
    )
    nodes.planner.graph = compiled
    return compiled.with_config(callbacks=[nodes.shared.inflight])


def _checks_answers(check_answers: object, roles: Roles) -> bool:
    if check_answers == "auto":
        return roles.any_local
    if not isinstance(check_answers, bool):
        raise refused("check_answers", "True, False or 'auto'", check_answers)
    return check_answers


def _writing(constraint: Constraint | None, writes: Mapping[str, bool]) -> Constraint | None:
    """A constraint that takes what the prompt asks for, besides what it takes already."""
    on: dict[str, Any] = {name: True for name, is_on in writes.items() if is_on}
    return replace(constraint, **on) if constraint and on else constraint


def _approval(
    hooks: Hooks,
    interrupt_on: Mapping[str, bool | InterruptOnConfig] | None,
    mode: InterruptMode,
    specs: Iterable[ToolSpec],
) -> tuple[Approval, InterruptMode]:
    """Which calls a human approves, and how they are asked: as the factory or a middleware says."""
    if hooks.approving:
        if interrupt_on:
            msg = "interrupt_on and HumanInTheLoopMiddleware say the same: give one of them"
            raise ConfigurationError(msg)
        interrupt_on, mode = hooks.interrupt_on(), hooks.interrupt_mode
    return Approval(interrupt_on or {}, [spec.called for spec in specs]), mode


def _check_pauses(what: str, given: object) -> None:
    nodes = ("planner", "task_fetching_unit", "joiner")
    listed = isinstance(given, Collection) and not isinstance(given, str) and all(node in nodes for node in given)
    if not (listed or given is None or given == "*"):
        raise refused(what, f"'*' or a list of nodes, {', '.join(map(repr, nodes))}", given)


def _held(
    specs: Iterable[ToolSpec],
    approval: Approval,
    batches: Container[str],
    before: Iterable[str] | None,
    after: Iterable[str] | None,
    *,
    every: bool,
) -> frozenset[str]:
    """The tools that are not called before the plan is complete, such as those whose calls are made as one.

    All of them, if runs pause between planning and fetching: who asks for that wants to see the plan first.
    """
    pauses = {"task_fetching_unit", "*"}.intersection(before or ()) or {"planner", "*"}.intersection(after or ())
    return frozenset(
        spec.name
        for spec in specs
        if every or pauses or spec.waits_for_plan or spec.called in approval.tools or spec.called in batches
    )
