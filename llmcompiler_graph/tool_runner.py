"""Makes one tool call through LangGraph's `ToolNode`, and keeps what the tool returned with its type.

`ToolNode` gives validation, error handling, `wrap_tool_call`, `ToolRuntime`, `InjectedState` and `InjectedStore`; it
also turns what a tool returns into text. References need the value, so each tool is called through a copy that notes
it. If a `wrap_tool_call` changes the message, what it made of it counts, not the tool's own value.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import AsyncToolCallWrapper, ToolCallRequest, ToolCallWrapper
from langgraph.types import Command
from pydantic_core import to_jsonable_python

from llmcompiler_graph.plan import Observation
from llmcompiler_graph.references import JSON

__all__ = ("ToolRunner",)

_THREADS = ThreadPoolExecutor(max_workers=256, thread_name_prefix="llmcompiler-tool")
"""Where synchronous tools run: threads are made as needed, and none waits for another task."""


@dataclass(slots=True)
class _Noted:
    """What one call's tool returned, and the message made of it."""

    value: Any = None
    content: Any = field(default_factory=object)


_noted: ContextVar[_Noted | None] = ContextVar("llmcompiler_noted", default=None)


def describe_error(error: Exception) -> str:
    """Say what a tool raised: what `handle_tool_errors=True` puts in the observation."""
    return f"{type(error).__name__}: {error}"


class ToolRunner:
    """Calls tools by name.

    Args:
        tools: The tools.
        handle_tool_errors: As in `ToolNode`; `True` makes every exception an error observation.
        wrap_tool_call: As in `ToolNode`.
        awrap_tool_call: As in `ToolNode`.
    """

    def __init__(
        self,
        tools: Sequence[BaseTool],
        *,
        handle_tool_errors: Any = True,
        wrap_tool_call: ToolCallWrapper | None = None,
        awrap_tool_call: AsyncToolCallWrapper | None = None,
    ) -> None:
        self._only_sync_wrapper = wrap_tool_call is not None and awrap_tool_call is None
        self._tools = {tool.name: tool for tool in tools}
        inner = wrap_tool_call or (lambda request, execute: execute(request))

        def wrap(request: ToolCallRequest, execute: Callable[[ToolCallRequest], ToolMessage | Command[Any]]) -> Any:
            return inner(request, lambda each: _note_message(execute(each)))

        async def awrap(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Any]) -> Any:
            async def noting(each: ToolCallRequest) -> Any:
                return _note_message(await execute(each))

            return await (awrap_tool_call(request, noting) if awrap_tool_call else noting(request))

        self._node = ToolNode(
            [_noting_copy(tool) for tool in tools],
            handle_tool_errors=describe_error if handle_tool_errors is True else handle_tool_errors,
            wrap_tool_call=wrap,
            awrap_tool_call=awrap,
        )

    async def call(
        self, tool: str, arguments: Mapping[str, JSON], call_id: str, state: Any, config: RunnableConfig, *, sync: bool
    ) -> Observation:
        """Call a tool; the observation's `attachment` is the list of messages and commands it gave.

        Args:
            tool: Its name.
            arguments: What to call it with.
            call_id: The `tool_call_id` of its message.
            state: What `InjectedState` and `ToolRuntime.state` give it.
            config: The config of the node or `@task` it is called from.
            sync: Whether the graph was called synchronously: then a tool's synchronous side is preferred.

        Raises:
            GraphBubbleUp: The tool interrupted the graph.
            Exception: The tool raised what `handle_tool_errors` does not handle.
        """
        request = {
            "__type": "tool_call_with_context",
            "tool_call": {"name": tool, "args": dict(arguments), "id": call_id, "type": "tool_call"},
            "state": state,
        }
        noted = _Noted()
        token = _noted.set(noted)
        try:
            if self._runs_on_loop(self._tools[tool], sync):
                output = await self._node.ainvoke(request, config)
            else:
                invoke = functools.partial(copy_context().run, self._node.invoke, request, config)
                output = await asyncio.get_running_loop().run_in_executor(_THREADS, invoke)
        finally:
            _noted.reset(token)
        return _observation(output, call_id, noted)

    def _runs_on_loop(self, tool: BaseTool, sync: bool) -> bool:
        has_sync = getattr(tool, "func", tool) is not None
        has_async = type(tool)._arun is not BaseTool._arun and getattr(tool, "coroutine", tool) is not None
        if not sync and self._only_sync_wrapper:
            return not has_sync
        return has_async and not (sync and has_sync)


def _noting_copy(tool: BaseTool) -> BaseTool:
    """A copy whose runs go to the tool itself, and whose values are noted."""
    run, arun = tool._run, tool._arun

    @functools.wraps(run)
    def noting_run(*args: Any, **kwargs: Any) -> Any:
        return _note_value(run(*args, **kwargs))

    @functools.wraps(arun)
    async def noting_arun(*args: Any, **kwargs: Any) -> Any:
        return _note_value(await arun(*args, **kwargs))

    copy = tool.model_copy()
    # in the instance's own dictionary: pydantic would refuse to set a method
    copy.__dict__["_run"] = noting_run
    copy.__dict__["_arun"] = noting_arun
    return copy


def _note_value(value: Any) -> Any:
    if (noted := _noted.get()) is not None:
        noted.value = value
    return value


def _note_message(response: Any) -> Any:
    if (noted := _noted.get()) is not None and isinstance(response, ToolMessage):
        noted.content = response.content
    return response


def _observation(output: Any, call_id: str, noted: _Noted) -> Observation:
    messages: list[ToolMessage] = []
    commands: list[Command[Any]] = []
    for each in output if isinstance(output, list) else [output]:
        if isinstance(each, Command):
            commands.append(each)
            if isinstance(each.update, dict):
                messages += [m for m in each.update.get("messages", ()) if isinstance(m, ToolMessage)]
        else:
            messages += each["messages"]
    message = next((m for m in messages if m.tool_call_id == call_id), None)
    if message is not None and message.id is None:
        message.id = f"{call_id}_result"  # known before it reaches the state, so that it is streamed once
    attachment = [message, *commands] if message is not None else list(commands)
    if message is None:
        return Observation("done", None, attachment=attachment)
    if message.status == "error":
        return Observation("failed", error=message.text, attachment=attachment)
    return Observation("done", _value(message, noted), attachment=attachment)


def _value(message: ToolMessage, noted: _Noted) -> JSON:
    """What the tool returned, as JSON, unless its message says something else by now."""
    artifact = message.artifact
    if isinstance(artifact, dict) and "structured_content" in artifact:  # an MCP tool's structured content
        return _json(artifact["structured_content"])
    value = noted.value
    if message.content != noted.content or isinstance(value, ToolMessage | Command):
        return _json(message.content)
    if isinstance(value, tuple) and len(value) == 2 and artifact is not None:  # content and artifact
        value = value[0]
    return _json(value)


def _json(value: Any) -> JSON:
    return cast("JSON", to_jsonable_python(value, fallback=str, inf_nan_mode="strings"))
