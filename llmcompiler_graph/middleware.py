"""Plans for agents that others make: `PlanMiddleware` for `create_agent` and deepagents; graphs as tools or subagents.

    agent = create_agent(model, tools, middleware=[PlanMiddleware()])

The agent's model gets one more tool, `run_plan(plan)`. It writes a plan over the agent's other tools, which is checked
and run in parallel, and reads the observations in the tool's message.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, HumanInTheLoopMiddleware
from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command

from llmcompiler_graph.approval import InterruptOnConfig
from llmcompiler_graph.calls.policy import Retry, Timeout
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.language.references import as_text
from llmcompiler_graph.graph.given_plan import given_plan_graph
from llmcompiler_graph.graph.human_answers import one_interrupt
from llmcompiler_graph.state import TaskRecord

__all__ = ("PlanMiddleware", "as_subagent", "as_tool")

_TOOL = "run_plan"
_DESCRIPTION = """\
Run several calls of your other tools as one plan, in parallel as far as their inputs allow. Use it whenever a \
question needs more than one call.

The plan has one numbered call per line. `$1` is what call 1 returned, also inside text; `${1.items[0].id}` is a part \
of it; `${2[*]}` makes one call per element of a list; `after $3` at the end of a line waits without taking data. End \
with `join()` to get all results back, or with `join($4)` for those you need.

1. lookup("Mount Everest")
2. lookup("K2")
3. calculate("${1.height_m} - ${2.height_m}")
4. join($3)

A line that cannot be used is reported with the reason; the others run all the same. Do not repeat what has run."""

_Handler = Callable[[ToolCallRequest], Any]
_outer: ContextVar[tuple[ToolCallRequest, _Handler]] = ContextVar("llmcompiler_outer_call")
_JOIN = re.compile(r"\bjoin\s*\(([^)]*)\)", re.IGNORECASE)
_COMMAND = "command_update"  # in the artifact of a tool's message: what its command changes in the agent's state


class PlanMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Gives any agent the tool `run_plan`.

    Put it first in the list: `wrap_tool_call` of the middleware behind it, and per-call approvals, then hold for the
    calls inside a plan as for all others. With a checkpointer each task of a plan is persisted as it finishes.

    Args:
        interrupt_on: Tools that a human must approve inside plans, as in LangChain's `HumanInTheLoopMiddleware`; those
            of that middleware, if the agent has it and nothing is given here.
        max_tasks: How many tasks a plan may have.
        max_fan_out: How many calls a task that fans out may come to; one that would come to more fails.
        max_concurrency: How many calls may run at a time.
        tool_concurrency: How many calls of a tool may run at a time, by its name.
        tool_timeout: How long a call may take: seconds, a timedelta or a `TimeoutPolicy`, for all tools or by name.
        tool_retry_policy: When a failed call is made again: a `RetryPolicy` for all read-only and idempotent tools, or
            by name for any tool.
        deadline: How long a plan may take, in seconds.
    """

    def __init__(
        self,
        *,
        interrupt_on: Mapping[str, bool | InterruptOnConfig] | None = None,
        max_tasks: int | None = None,
        max_fan_out: int | None = 1000,
        max_concurrency: int | None = None,
        tool_concurrency: Mapping[str, int] | None = None,
        tool_timeout: Timeout | None = None,
        tool_retry_policy: Retry | None = None,
        deadline: float | None = None,
    ) -> None:
        super().__init__()
        self.tools = [StructuredTool.from_function(_not_called, name=_TOOL, description=_DESCRIPTION)]
        self._interrupt_on = interrupt_on
        self._limits: dict[str, Any] = {
            "max_tasks": max_tasks,
            "max_fan_out": max_fan_out,
            "max_concurrency": max_concurrency,
            "tool_concurrency": tool_concurrency,
            "tool_timeout": tool_timeout,
            "tool_retry_policy": tool_retry_policy,
            "deadline": deadline,
        }
        self._graphs: dict[tuple[Any, ...], tuple[list[BaseTool], Runnable[Any, Any]]] = {}

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Run the plan of a `run_plan` call; leave all others alone."""
        if request.tool_call["name"] != _TOOL:
            return handler(request)
        graph, given = self._graph(request), _given(request)
        with _inside_of(request, handler):
            return _answer(request, graph.invoke(given))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Do the same for an asynchronous agent."""
        if request.tool_call["name"] != _TOOL:
            return await handler(request)
        graph, given = self._graph(request), _given(request)
        with _inside_of(request, handler):
            return _answer(request, await graph.ainvoke(given))

    def _graph(self, request: ToolCallRequest) -> Runnable[Any, Any]:
        """The graph for the agent's tools and approvals, which is made once for each set of them."""
        tools = [tool for tool in request.runtime.tools if tool.name != _TOOL]
        gates = self._interrupt_on if self._interrupt_on is not None else _gates(get_config())
        gates = {name: gate for name, gate in gates.items() if name in {tool.name for tool in tools}}
        key = (*map(id, tools), repr(sorted(gates.items())))
        if key not in self._graphs:
            graph = given_plan_graph(
                tools,
                interrupt_on=gates,
                wrap_tool_call=_call_outside,
                awrap_tool_call=_acall_outside,
                **self._limits,
            )
            self._graphs[key] = (tools, graph)  # the tools too: no others may get their ids
        return self._graphs[key][1]


@contextmanager
def _inside_of(request: ToolCallRequest, handler: _Handler) -> Iterator[None]:
    """Let the calls of a plan find the agent's request; each question of theirs surfaces once."""
    token = _outer.set((request, handler))
    try:
        yield
    except GraphInterrupt as error:
        raise one_interrupt([error]) from None
    finally:
        _outer.reset(token)


def _not_called(plan: str) -> str:
    raise NotImplementedError(f"{_TOOL} is run by its middleware; {plan!r}")


def _given(request: ToolCallRequest) -> dict[str, Any]:
    plan = request.tool_call["args"].get("plan")
    call_id = request.tool_call["id"]
    return {"messages": [HumanMessage(plan if isinstance(plan, str) else str(plan), id=f"{call_id}_plan")]}


def _call_outside(request: ToolCallRequest, _execute: Any) -> ToolMessage | Command[Any]:
    """Make a call of the plan as the agent would: through the rest of its middleware."""
    outer, handler = _outer.get()
    return _without_command(request, handler(_inside(outer, request)))


async def _acall_outside(request: ToolCallRequest, _execute: Any) -> ToolMessage | Command[Any]:
    outer, handler = _outer.get()
    return _without_command(request, await handler(_inside(outer, request)))


def _inside(outer: ToolCallRequest, inner: ToolCallRequest) -> ToolCallRequest:
    """The agent's request for a call of the plan: its state and runtime, the plan's tool, call and config."""
    assert inner.tool is not None
    config = get_config()
    tool = inner.tool.model_copy()
    invoke, ainvoke = inner.tool.invoke, inner.tool.ainvoke

    def invoke_here(given: Any, _config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return invoke(given, config, **kwargs)

    async def ainvoke_here(given: Any, _config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return await ainvoke(given, config, **kwargs)

    # the agent would call it with its own config: then what it asks would not belong to its task
    tool.__dict__.update(invoke=invoke_here, ainvoke=ainvoke_here)
    runtime = replace(outer.runtime, tool_call_id=inner.tool_call["id"], config=config)
    return replace(outer, tool_call=inner.tool_call, tool=tool, runtime=runtime)


def _without_command(request: ToolCallRequest, result: Any) -> ToolMessage:
    """The message of a call; what a command changes in the agent's state is kept in it until the plan has ended."""
    if isinstance(result, ToolMessage):
        return result
    update = result.update if isinstance(result, Command) else None
    if not isinstance(update, dict) or result.goto:
        msg = f"{request.tool_call['name']!r} returned {type(result).__name__} with a goto, which a plan cannot follow"
        raise TypeError(msg)
    messages: list[AnyMessage] = update.get("messages", [])
    own = next((m for m in messages if isinstance(m, ToolMessage) and m.tool_call_id == request.tool_call["id"]), None)
    own = own or ToolMessage("done", tool_call_id=request.tool_call["id"], name=request.tool_call["name"])
    others = [message for message in messages if message is not own and not isinstance(message, ToolMessage)]
    return own.model_copy(update={"artifact": {_COMMAND: {**update, "messages": others}}})


def _answer(request: ToolCallRequest, final: Mapping[str, Any]) -> ToolMessage | Command[Any]:
    """What the agent's model reads: the observations, and what is wrong with the plan."""
    tasks: list[TaskRecord] = final["tasks"]
    diagnostics = final["rounds"][-1]["diagnostics"]
    plan = str(request.tool_call["args"].get("plan", ""))
    joined = _JOIN.findall(plan)
    wanted = {int(n) for n in re.findall(r"\d+", joined[-1])} if joined else set()
    lines = [
        f"{task['index']}. {as_text(task['value'])}" if task["status"] == "done" else _failure(task)
        for task in tasks
        if not wanted or task["index"] in wanted or task["status"] != "done"
    ]
    known = {task["index"] for task in tasks}
    lines += [f"line {each['line']}: {each['message']}" for each in diagnostics if each["index"] not in known]
    failed = bool(diagnostics) or any(task["status"] != "done" for task in tasks) or not tasks
    message = ToolMessage(
        "\n".join(lines) or "the plan has no task: write numbered calls, such as `1. tool(argument)`",
        tool_call_id=request.tool_call["id"],
        name=_TOOL,
        status="error" if failed else "success",
        artifact={"tasks": tasks, "timeline": final.get("timeline", []), "rounds": final["rounds"]},
    )
    updates = [
        m.artifact[_COMMAND]
        for m in final["messages"]
        if isinstance(m, ToolMessage) and isinstance(m.artifact, dict) and _COMMAND in m.artifact
    ]
    if not updates:
        return message
    merged: dict[str, Any] = {}
    for update in updates:  # in the plan's order: the later one counts
        merged |= {key: value for key, value in update.items() if key != "messages"}
    others = [each for update in updates for each in update["messages"]]
    return Command(update={**merged, "messages": [message, *others]})


def _failure(task: TaskRecord) -> str:
    return f"{task['index']}. {task['status']}: {task['error']}"


def _gates(config: RunnableConfig) -> dict[str, Any]:
    """What the agent's `HumanInTheLoopMiddleware` asks about, if it looks only at the calls the model makes itself.

    No public interface tells a tool of the agent's other middleware; the loop that runs the agent knows its nodes, and
    these the middleware that they belong to.

    Raises:
        ConfigurationError: The nodes cannot be seen, so that a call could be made that needs a human.
    """
    call = config.get("configurable", {}).get("__pregel_call")
    loop = getattr(getattr(call, "keywords", {}).get("schedule_task"), "__self__", None)
    nodes: Mapping[str, Any] | None = getattr(loop, "nodes", None)
    if nodes is None:
        msg = (
            "this version of LangGraph does not show which middleware the agent has: give "
            "PlanMiddleware(interrupt_on=…) the tools that a human must approve, or {} if there are none"
        )
        raise ConfigurationError(msg)
    gates: dict[str, Any] = {}
    for node in nodes.values():
        hook = getattr(node.bound, "func", None) or getattr(node.bound, "afunc", None)
        owner = getattr(hook, "__self__", None)
        if isinstance(owner, HumanInTheLoopMiddleware) and owner.interrupt_mode == "batched":
            gates |= owner.interrupt_on
    return gates


def as_tool(graph: Runnable[Any, Any], name: str, description: str) -> BaseTool:
    """Make a tool of a graph, for any agent: it takes a request, and returns the text of the last message.

    Args:
        graph: What `create_llm_compiler` or `create_agent` made.
        name: The tool's name.
        description: When to use it.
    """

    def ask(request: str) -> str:
        return _text(graph.invoke(_asked(request)))

    async def aask(request: str) -> str:
        return _text(await graph.ainvoke(_asked(request)))

    return StructuredTool.from_function(ask, coroutine=aask, name=name, description=description)


def as_subagent(graph: Runnable[Any, Any], name: str, description: str) -> dict[str, Any]:
    """Make a subagent for deepagents' `create_deep_agent(subagents=[…])`, as its `CompiledSubAgent` is."""
    return {"name": name, "description": description, "runnable": graph}


def _asked(request: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(request)]}


def _text(final: Any) -> str:
    return str(cast("list[AnyMessage]", final["messages"])[-1].text)
