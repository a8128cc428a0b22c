"""Plans for agents that others make: `PlanMiddleware` for `create_agent` and deepagents; graphs as tools or subagents.

    agent = create_agent(model, tools, middleware=[PlanMiddleware()])

The agent's model gets one more tool, `run_plan(plan)`. It writes a plan over the agent's other tools, which is checked
and run in parallel, and reads the observations in the tool's message.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast
from uuid import uuid4

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    HumanInTheLoopMiddleware,
    ModelRequest,
    ModelResponse,
)
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.config import get_config
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command

from llmcompiler_graph.approval import InterruptOnConfig
from llmcompiler_graph.calls.policy import Retry, Timeout
from llmcompiler_graph.calls.specs import tool_specs
from llmcompiler_graph.core.checking.schema import describe
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.examples import made_examples
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.language.substitution import as_text
from llmcompiler_graph.core.language.thinking import WithoutThinking
from llmcompiler_graph.graph.given_plan import given_plan_graph
from llmcompiler_graph.graph.outer_agent import OuterAgent, acall_outside, call_outside, nodes_of
from llmcompiler_graph.state import TaskRecord

__all__ = ("PlanMiddleware", "as_subagent", "as_tool")

T = TypeVar("T")

_TOOL = "run_plan"
_SYSTEM_PROMPT = (
    f"When a question needs several calls of your tools, write all of them as one plan and call `{_TOOL}` once, "
    "instead of calling the tools one by one. Once it has returned what the question needs, answer."
)
_DESCRIPTION = """\
Run several calls of your other tools as one plan, in parallel as far as their inputs allow. Use it whenever a \
question needs more than one call, also if later calls need what earlier ones return.

The plan has one numbered call per line, `1. tool(argument="text")`. `$1` is what call 1 returned, also inside text; \
`${1.items[0].id}` is a part of it; `${2[*]}` makes one call per element of a list; `after $3` at the end of a line \
waits without taking data. End with `join()` to get all results back, or with `join($4)` for those you need.

A line that cannot be used is reported with the reason; the others run all the same. Do not repeat what has run."""

_ENDS_PLAN = re.compile(r"\W*\d+\W*join\s*\([^()]*\)\W*", re.IGNORECASE)
_MOST_KEPT = 64
_JOIN = re.compile(r"\bjoin\s*\(([^)]*)\)", re.IGNORECASE)


class PlanMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Gives any agent the tool `run_plan`.

    Put it first in the list: `wrap_tool_call` of the middleware behind it, and per-call approvals, then hold for the
    calls inside a plan as for all others. With a checkpointer each task of a plan is persisted as it finishes, but
    nothing in a plan's first 0.1 s.

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
        system_prompt: What the agent's system prompt says of the tool, at its end.
        tool_description: What the tool says of itself, before an example and what the other tools return.
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
        system_prompt: str = _SYSTEM_PROMPT,
        tool_description: str = _DESCRIPTION,
    ) -> None:
        super().__init__()
        self.system_prompt = system_prompt
        self.tool_description = tool_description
        self.tools = [_run_plan(tool_description)]
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
        self._kept: dict[tuple[Any, ...], tuple[list[BaseTool], Any]] = {}

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Tell the agent's model of the tool, with an example of the other tools and what they return.

        A reply that is a plan, to its `join()`, is taken for a call of the tool: small models write it as text.
        """
        return _with_call(handler(self._told(request)), request)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Do the same for an asynchronous agent."""
        return _with_call(await handler(self._told(request)), request)

    def _told(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        if not _has_run_plan(request):  # other middleware has taken it away
            return request
        others = _others(request.tools)
        described = self._made(others, "tool", lambda: _run_plan(f"{self.tool_description}{_about(others)}"))
        tools = [described if _is_run_plan(tool) else tool for tool in request.tools]
        return request.override(tools=tools, system_message=_with_end(request.system_message, self.system_prompt))

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Run the plan of a `run_plan` call; leave all others alone."""
        if request.tool_call["name"] != _TOOL:
            return handler(request)
        graph, outer = self._graph(request), OuterAgent(request, handler, set())
        with outer.current():
            return _answer(outer, graph.invoke(_given(request)))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Do the same for an asynchronous agent."""
        if request.tool_call["name"] != _TOOL:
            return await handler(request)
        graph, outer = self._graph(request), OuterAgent(request, handler, set())
        with outer.current():
            return _answer(outer, await graph.ainvoke(_given(request)))

    def _graph(self, request: ToolCallRequest) -> Runnable[Any, Any]:
        """The graph for the agent's tools and approvals, which is made once for each set of them."""
        tools = _others(request.runtime.tools)
        gates = self._interrupt_on if self._interrupt_on is not None else _gates(get_config())

        def make() -> Runnable[Any, Any]:
            plannable = _plannable(tools)
            names = {tool.name for tool in plannable}
            return given_plan_graph(
                plannable,
                interrupt_on={name: gate for name, gate in gates.items() if name in names},
                wrap_tool_call=call_outside,
                awrap_tool_call=acall_outside,
                **self._limits,
            )

        return self._made(tools, repr(sorted(gates.items())), make)

    def _made(self, tools: list[BaseTool], what: str, make: Callable[[], T]) -> T:
        """What is made once for a set of tools, kept for the last sets: an agent may have others for each call."""
        key = (what, *map(id, tools))
        if (found := self._kept.get(key)) is None:
            found = self._kept[key] = (tools, make())  # the tools too: no others may get their ids
            while len(self._kept) > _MOST_KEPT:
                self._kept.pop(next(iter(self._kept)), None)
        return cast("T", found[1])


def _with_end(system: SystemMessage | None, text: str) -> SystemMessage | None:
    """A system message with a text at its end; a plain one stays plain."""
    if not text:
        return system
    if system is None:
        return SystemMessage(text)
    if isinstance(system.content, str):
        return system.model_copy(update={"content": f"{system.content}\n\n{text}"})
    return system.model_copy(update={"content": [*system.content, {"type": "text", "text": f"\n\n{text}"}]})


def _run_plan(description: str) -> BaseTool:
    return StructuredTool.from_function(_not_called, name=_TOOL, description=description)


def _is_run_plan(tool: BaseTool | dict[str, Any]) -> bool:
    return isinstance(tool, BaseTool) and tool.name == _TOOL


def _has_run_plan(request: ModelRequest[Any]) -> bool:
    return any(_is_run_plan(tool) for tool in request.tools)


def _others(tools: Iterable[BaseTool | dict[str, Any]]) -> list[BaseTool]:
    """The agent's other tools, without those of a provider."""
    return [tool for tool in tools if isinstance(tool, BaseTool) and not _is_run_plan(tool)]


def _plannable(tools: Iterable[BaseTool]) -> list[BaseTool]:
    """The tools that plans may call: one whose arguments they cannot pass is left to the agent's model."""

    def can_be_planned(tool: BaseTool) -> bool:
        try:
            tool_specs([tool])
        except ConfigurationError:
            return False
        return True

    return [tool for tool in tools if can_be_planned(tool)]


def _with_call(response: ModelResponse[Any], request: ModelRequest[Any]) -> ModelResponse[Any]:
    """The model's reply; with a call in place of its text if that is a plan."""
    last = response.result[-1] if response.result else None
    if not isinstance(last, AIMessage) or last.tool_calls or not _has_run_plan(request):
        return response
    thoughts = WithoutThinking()
    text = (thoughts.feed(str(last.text)) + thoughts.close()).strip("`\n ")
    if not _ENDS_PLAN.fullmatch(text.rpartition("\n")[2]):
        return response
    names = {spec.name for spec in tool_specs(_plannable(_others(request.tools)))}
    if not any(task.tool in names for task in _tasks_in(text)):
        return response
    call = ToolCall(name=_TOOL, args={"plan": text}, id=f"call_{uuid4().hex[:12]}", type="tool_call")
    blocks = [] if isinstance(last.content, str) else last.content
    content = [block for block in blocks if isinstance(block, dict) and block.get("type") != "text"]
    made = last.model_copy(update={"content": content or "", "tool_calls": [call]})
    return replace(response, result=[*response.result[:-1], made])


def _tasks_in(text: str) -> list[Task]:
    parser = PlanParser()
    return [event for event in (*parser.feed(text), *parser.close()) if isinstance(event, Task)]


def _about(tools: Sequence[BaseTool]) -> str:
    """An example plan over an agent's tools, and those whose results have parts that a plan can refer to."""
    specs = tool_specs(_plannable(tools))
    plans = [example.plan for example in made_examples(specs) if len(example.plan.splitlines()) > 2]
    returned = {spec.name: describe(spec.returns, spec.definitions) for spec in specs if spec.returns is not None}
    parts = [f"- {name}: {returns}" for name, returns in returned.items() if {"{", "["} & set(returns)]
    example = f"\n\nFor example:\n{plans[0]}" if plans else ""
    return example + ("\n\nWhat your tools return:\n" + "\n".join(parts) if parts else "")


def _not_called(plan: str) -> str:
    raise NotImplementedError(f"{_TOOL} is run by its middleware; {plan!r}")


def _given(request: ToolCallRequest) -> dict[str, Any]:
    plan = request.tool_call["args"].get("plan")
    call_id = request.tool_call["id"]
    return {"messages": [HumanMessage(plan if isinstance(plan, str) else str(plan), id=f"{call_id}_plan")]}


def _answer(outer: OuterAgent, final: Mapping[str, Any]) -> ToolMessage | Command[Any]:
    """What the agent's model reads: the observations, and what is wrong with the plan."""
    tasks: list[TaskRecord] = final["tasks"]
    diagnostics = final["rounds"][-1]["diagnostics"]
    call = outer.request.tool_call
    plan = str(call["args"].get("plan", ""))
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
        tool_call_id=call["id"],
        name=_TOOL,
        status="error" if failed else "success",
        artifact={"tasks": tasks, "timeline": final.get("timeline", []), "rounds": final["rounds"]},
    )
    return outer.answer(message, final.get("outside", ()))


def _failure(task: TaskRecord) -> str:
    return f"{task['index']}. {task['status']}: {task['error']}"


def _gates(config: RunnableConfig) -> dict[str, Any]:
    """What the agent's `HumanInTheLoopMiddleware` asks about, if it looks only at the calls the model makes itself.

    Raises:
        ConfigurationError: The nodes cannot be seen, so that a call could be made that needs a human.
    """
    if (nodes := nodes_of(config)) is None:
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
