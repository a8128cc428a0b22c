"""Makes the calls of a plan as calls of the agent that the plan runs in, and keeps what they write to its state.

A tool may write to the agent's state in two ways: by the `Command` that it returns, or, as the file systems of
deepagents do, by LangGraph's own channel writes while it runs. Both go with the call's result into the plan's state,
so that they are persisted with it: a call that is not made again after a crash or an approval has not lost what it
wrote. Channel writes are made at once as well, since later calls of the plan may read them.
"""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Annotated, Any, NamedTuple, NotRequired, TypeAlias

from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels import EphemeralValue, LastValue, UntrackedValue
from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command
from typing_extensions import TypedDict

from llmcompiler_graph.graph.human_answers import one_interrupt
from llmcompiler_graph.state import LLMCompilerState, TaskResult

__all__ = ("GivenPlanState", "OuterAgent", "acall_outside", "call_outside", "nodes_of", "restore_outside")

Write: TypeAlias = "tuple[str, Any]"
"""A key of the agent's state, and what is written to it."""

_READ, _SEND = "__pregel_read", "__pregel_send"  # where LangGraph keeps what reads and writes channels


class Written(TypedDict):
    """What a call has written to the agent's state."""

    call_id: str
    """The call."""
    command: list[Write]
    """What its command writes once the plan has ended."""
    sent: list[Write]
    """What it wrote while it ran."""


class GivenPlanState(LLMCompilerState):
    """The state of a plan inside an agent."""

    outside: NotRequired[Annotated[list[Written], operator.add]]
    """What its calls have written to the agent's state, in plan order."""


class OuterAgent(NamedTuple):
    """An agent's call of `run_plan`."""

    request: ToolCallRequest
    """The call."""
    handler: Callable[[ToolCallRequest], Any]
    """Makes calls of the agent, through the rest of its middleware."""
    sent: set[str]
    """The calls whose channel writes the agent has been sent since this process runs the plan."""

    @contextmanager
    def current(self) -> Iterator[None]:
        """Let the calls of the plan find it; each question of theirs surfaces once."""
        token = _outer.set(self)
        try:
            yield
        except GraphInterrupt as error:
            raise one_interrupt([error]) from None
        finally:
            _outer.reset(token)

    def answer(self, message: ToolMessage, written: Sequence[Written]) -> ToolMessage | Command[Any]:
        """The agent's answer to the call of `run_plan`, with what the plan's calls have written.

        For a key with a reducer all that is written counts, in plan order; for one without, the last.
        """
        self.send(written)
        writes = [write for each in written for write in each["command"]]
        if not writes:
            return message
        others = [each for key, value in writes if key == "messages" for each in value]
        last = {key: n for n, (key, _) in enumerate(writes) if key != "messages"}
        earlier = [write for n, write in enumerate(writes) if n < last.get(write[0], 0)]
        channels: Mapping[str, Any] = _loop_of(self.request.runtime.config, "channels") or {}
        if several := [(key, value) for key, value in earlier if not isinstance(channels.get(key), _OF_ONE_VALUE)]:
            self.request.runtime.config["configurable"][_SEND](several)  # a command can write each key once
        update = {key: writes[n][1] for key, n in last.items()}
        return Command(update={**update, "messages": [message, *others]})

    def send(self, written: Iterable[Written]) -> None:
        """Make the channel writes of calls that another process has made, or this one before a pause."""
        for each in written:
            if each["call_id"] not in self.sent:
                self.sent.add(each["call_id"])
                if each["sent"]:
                    self.request.runtime.config["configurable"][_SEND](each["sent"])

    def inside(self, inner: ToolCallRequest) -> tuple[ToolCallRequest, list[Write]]:
        """The agent's request for a call of the plan: its state and runtime, the plan's tool, call and config.

        Also gives the list that the call's channel writes will be in.
        """
        assert inner.tool is not None
        self.send(inner.state.get("outside", ()))
        config, sent = self._config()
        tool = inner.tool.model_copy()
        invoke, ainvoke = inner.tool.invoke, inner.tool.ainvoke

        def invoke_here(given: Any, _config: RunnableConfig | None = None, **kwargs: Any) -> Any:
            return invoke(given, config, **kwargs)

        async def ainvoke_here(given: Any, _config: RunnableConfig | None = None, **kwargs: Any) -> Any:
            return await ainvoke(given, config, **kwargs)

        # the agent would call it with its own config: then what it asks would not belong to its task
        tool.__dict__.update(invoke=invoke_here, ainvoke=ainvoke_here)
        self.sent.add(str(inner.tool_call["id"]))
        runtime = replace(self.request.runtime, tool_call_id=inner.tool_call["id"], config=config)
        return replace(self.request, tool_call=inner.tool_call, tool=tool, runtime=runtime), sent

    def _config(self) -> tuple[RunnableConfig, list[Write]]:
        """The config of the call's own task with the agent's channels, and the list of what is written to them."""
        config, sent = get_config(), list[Write]()
        own, outer = config.get("configurable", {}), self.request.runtime.config.get("configurable", {})
        if _SEND not in outer or _READ not in outer:
            return config, sent

        def send(writes: Iterable[Write]) -> None:
            given = list(writes)
            theirs = [write for write in given if not write[0].startswith("__")]  # others are LangGraph's notes
            if notes := [write for write in given if write[0].startswith("__")]:
                own[_SEND](notes)
            if theirs:
                sent.extend(theirs)
                outer[_SEND](theirs)

        return {**config, "configurable": {**own, _SEND: send, _READ: outer[_READ]}}, sent


_OF_ONE_VALUE = (LastValue, EphemeralValue, UntrackedValue)
_outer: ContextVar[OuterAgent] = ContextVar("llmcompiler_outer_agent")


def call_outside(request: ToolCallRequest, _execute: Any) -> ToolMessage | Command[Any]:
    """Make a call of the plan as the agent would: through the rest of its middleware."""
    outer = _outer.get()
    inside, sent = outer.inside(request)
    return _kept(request, outer.handler(inside), sent)


async def acall_outside(request: ToolCallRequest, _execute: Any) -> ToolMessage | Command[Any]:
    """Do the same for an asynchronous agent."""
    outer = _outer.get()
    inside, sent = outer.inside(request)
    made: Awaitable[Any] = outer.handler(inside)
    return _kept(request, await made, sent)


def restore_outside(result: TaskResult) -> None:
    """Make the channel writes of a task whose result came from a checkpoint."""
    commands = [command for command in result["commands"] if isinstance(command, Command)]
    _outer.get().send(each for command in commands for each in (command.update or {}).get("outside", ()))


def nodes_of(config: RunnableConfig) -> Mapping[str, Any] | None:
    """The nodes of the agent that runs, if they can be seen: no public interface shows a tool its agent."""
    nodes: Mapping[str, Any] | None = _loop_of(config, "nodes")
    return nodes


def _loop_of(config: RunnableConfig, attribute: str) -> Any:
    """Something of the loop that runs the agent."""
    call = config.get("configurable", {}).get("__pregel_call")
    return getattr(getattr(getattr(call, "keywords", {}).get("schedule_task"), "__self__", None), attribute, None)


def _kept(request: ToolCallRequest, result: Any, sent: list[Write]) -> ToolMessage | Command[Any]:
    """A call's message, and what it has written to the agent's state, as the plan's state keeps both."""
    call_id = str(request.tool_call["id"])
    if isinstance(result, ToolMessage):
        own, command = result, list[Write]()
    else:
        own, command = _of_command(request, result)
    if not command and not sent:
        return own
    written = Written(call_id=call_id, command=command, sent=sent)
    return Command(update={"messages": [own], "outside": [written]})


def _of_command(request: ToolCallRequest, result: Any) -> tuple[ToolMessage, list[Write]]:
    update = result.update if isinstance(result, Command) else None
    if not isinstance(update, dict) or result.goto:
        msg = f"{request.tool_call['name']!r} returned {type(result).__name__} with a goto, which a plan cannot follow"
        raise TypeError(msg)
    messages: list[AnyMessage] = update.get("messages", [])
    own = next((m for m in messages if isinstance(m, ToolMessage) and m.tool_call_id == request.tool_call["id"]), None)
    own = own or ToolMessage("done", tool_call_id=request.tool_call["id"], name=request.tool_call["name"])
    others = [message for message in messages if not isinstance(message, ToolMessage)]
    writes = [(key, value) for key, value in update.items() if key != "messages"]
    return own, [*writes, *([("messages", others)] if others else [])]
