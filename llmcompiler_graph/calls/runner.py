"""Makes one tool call through LangGraph's `ToolNode`, and keeps what the tool returned with its type.

`ToolNode` gives validation, error handling, `wrap_tool_call`, `ToolRuntime`, `InjectedState` and `InjectedStore`; it
also turns what a tool returns into text. References need the value, so each tool is called through a copy that notes
it. If a `wrap_tool_call` changes the message, what it made of it counts, not the tool's own value.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from copy import deepcopy
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import AsyncToolCallWrapper, ToolCallRequest, ToolCallWrapper
from langgraph.types import Command
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from llmcompiler_graph.calls.introspection import has_async_side, has_sync_side, runs_in_executor
from llmcompiler_graph.core.errors import described
from llmcompiler_graph.core.language.plan import Observation
from llmcompiler_graph.core.language.references import JSON, as_text
from llmcompiler_graph.state import storable

__all__ = ("ToolRunner",)


_depth: ContextVar[int] = ContextVar("llmcompiler_depth", default=0)


@functools.cache
def _threads(depth: int) -> ThreadPoolExecutor:
    """Where synchronous tools run: threads are made as needed, and none waits for another of these.

    Args:
        depth: How many of the callers are in such threads themselves: a tool that calls a graph waits for its tools.
    """
    return ThreadPoolExecutor(max_workers=256, thread_name_prefix="llmcompiler-tool")


if hasattr(os, "register_at_fork"):  # its threads stay behind in the parent
    os.register_at_fork(after_in_child=_threads.cache_clear)


class _Unknown:
    """In place of a value that was not noted."""


@dataclass(slots=True)
class _Call:
    """One call: how it is made, what its tool returned, and the message made of that."""

    sync: bool
    """Whether the graph was called synchronously."""
    in_thread: bool
    """Whether the tool's synchronous side is called, in a thread."""
    wrapped: bool
    """Whether a wrapper may change the message."""
    value: Any = _Unknown
    """What the tool returned; of content and artifact, the content."""
    error: Exception | None = None
    """What the tool raised."""
    content: Any = _Unknown
    """What `ToolNode` made of it, before any wrapper saw it."""


_current: ContextVar[_Call | None] = ContextVar("llmcompiler_call", default=None)


def _describe_error(error: Exception) -> str:
    """Say what a tool raised; `ToolNode` gives it errors of the type in this signature, and no others."""
    return described(error)


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
        self._tools = {tool.name: tool for tool in tools}
        self._wrap, self._awrap = wrap_tool_call, awrap_tool_call

        def wrap(request: ToolCallRequest, execute: Callable[[ToolCallRequest], ToolMessage | Command[Any]]) -> Any:
            def noting(each: ToolCallRequest) -> Any:
                return _note_message(execute(each))

            return wrap_tool_call(request, noting) if wrap_tool_call else noting(request)

        async def awrap(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Awaitable[Any]]) -> Any:
            async def noting(each: ToolCallRequest) -> Any:
                return _note_message(await execute(each))

            call = _current.get()
            if wrap_tool_call and (awrap_tool_call is None or (call and call.sync)):
                return await _wrapped_in_thread(wrap_tool_call, request, noting)
            return await (awrap_tool_call(request, noting) if awrap_tool_call else noting(request))

        self._node = ToolNode(
            [_noting_copy(tool) for tool in tools],
            handle_tool_errors=_describe_error if handle_tool_errors is True else handle_tool_errors,
            # only where there is something to wrap: inside a wrapper `ToolNode` handles every exception or none
            wrap_tool_call=wrap if wrap_tool_call or awrap_tool_call else None,
            awrap_tool_call=awrap if wrap_tool_call or awrap_tool_call else None,
        )

    async def call(
        self, tool: str, arguments: Mapping[str, JSON], call_id: str, state: Any, config: RunnableConfig, *, sync: bool
    ) -> Observation:
        """Call a tool; the observation's `attachment` is the list of messages and commands it gave.

        What the tool raised is noted in the observation, also if the message hides it.

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
            # copies of its own: what it changes in them are other tasks' values too, and a retry's arguments
            "tool_call": {"name": tool, "args": deepcopy(dict(arguments)), "id": call_id, "type": "tool_call"},
            "state": state,
        }
        in_thread = not _runs_on_loop(self._tools[tool], sync=sync)
        noted = _Call(sync, in_thread, wrapped=self._wrap is not None or self._awrap is not None)
        token = _current.set(noted)
        try:
            if noted.in_thread and (self._awrap is None or (sync and self._wrap is not None)):
                output = await _in_thread(self._node.invoke, request, config)
            else:
                output = await self._node.ainvoke(request, config)
        finally:
            _current.reset(token)
        return replace(_observation(output, call_id, noted), raised=noted.error)


def _runs_on_loop(tool: BaseTool, *, sync: bool) -> bool:
    if runs_in_executor(tool):  # the loop only waits for it
        return True
    return has_async_side(tool) and not (sync and has_sync_side(tool))


async def _in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    depth, context = _depth.get(), copy_context()
    context.run(_depth.set, depth + 1)
    call = functools.partial(context.run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_threads(depth), call)


async def _wrapped_in_thread(
    wrap: ToolCallWrapper, request: ToolCallRequest, execute: Callable[[ToolCallRequest], Coroutine[Any, Any, Any]]
) -> Any:
    """Call a synchronous wrapper, in a thread, around a tool that is called on the loop."""
    loop = asyncio.get_running_loop()
    under_way: list[Future[Any]] = []
    left = threading.Event()

    def execute_on_loop(each: ToolCallRequest) -> Any:
        future = asyncio.run_coroutine_threadsafe(execute(each), loop)
        under_way.append(future)
        if left.is_set():  # whoever left may not have seen it
            future.cancel()
        return future.result()

    try:
        return await _in_thread(wrap, request, execute_on_loop)
    finally:
        left.set()
        for future in under_way:
            future.cancel()


def _noting_copy(tool: BaseTool) -> BaseTool:
    """A copy whose runs go to the tool itself, and whose values are noted."""
    copy = tool.model_copy()
    run, arun, ainvoke = tool._run, tool._arun, copy.ainvoke

    @functools.wraps(run)
    def noting_run(*args: Any, **kwargs: Any) -> Any:
        with _staying():
            return _note_value(run(*args, **kwargs), tool)

    @functools.wraps(arun)
    async def noting_arun(*args: Any, **kwargs: Any) -> Any:
        with _staying():
            return _note_value(await arun(*args, **kwargs), tool)

    @functools.wraps(ainvoke)
    async def invoke_where_it_runs(*args: Any, **kwargs: Any) -> Any:
        call = _current.get()
        return await (_in_thread(copy.invoke, *args, **kwargs) if call and call.in_thread else ainvoke(*args, **kwargs))

    # in the instance's own dictionary: pydantic would refuse to set a method
    copy.__dict__.update(_run=noting_run, _arun=noting_arun, ainvoke=invoke_where_it_runs)
    return copy


@contextmanager
def _staying() -> Iterator[None]:
    """Make a tool's `sys.exit()` an error of the tool: it would take the event loop with it, and other runs."""
    try:
        yield
    except SystemExit as leaving:
        msg = f"the tool called sys.exit({leaving.code!r})"
        raise RuntimeError(msg) from leaving
    except Exception as error:
        if (call := _current.get()) is not None:
            call.error = error
        raise


def _note_value(value: Any, tool: BaseTool) -> Any:
    if (call := _current.get()) is not None:
        pair = tool.response_format == "content_and_artifact" and isinstance(value, tuple) and len(value) == 2
        call.value = _plain(value[0]) if pair else value
    return value


def _plain(content: Any) -> Any:
    """Make text of blocks that are all text: so MCP tools give it if they declare no `outputSchema`."""
    if isinstance(content, list) and content and all(isinstance(b, dict) and b.get("type") == "text" for b in content):
        return "\n".join(str(block.get("text", "")) for block in content)
    return content


def _note_message(response: Any) -> Any:
    if (call := _current.get()) is not None and isinstance(response, ToolMessage):
        call.content = deepcopy(response.content)  # a wrapper may change it in place
    return response


def _observation(output: Any, call_id: str, call: _Call) -> Observation:
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
    if message is not None:
        message.id = message.id or f"{call_id}_result"  # known before it reaches the state, so that it is streamed once
        message.content = cast("str | list[str | dict[Any, Any]]", storable(cast("JSON", message.content)))
    attachment = [message, *commands] if message is not None else list(commands)
    if message is None:
        return Observation("done", None, attachment=attachment)
    if message.status == "error":
        return Observation("failed", error=str(message.text), attachment=attachment)
    return Observation("done", _value(message, call), attachment=attachment)


def _value(message: ToolMessage, call: _Call) -> JSON:
    """What the tool returned, as JSON, unless its message says something else by now; the message then says it too."""
    if call.wrapped and message.content != call.content:
        return _rewritten(message, call)
    artifact = message.artifact
    if isinstance(artifact, dict) and "structured_content" in artifact:  # an MCP tool's structured content
        return _json(artifact["structured_content"], message)
    value = call.value
    given = value if isinstance(value, list) else [value]
    if any(each is _Unknown or isinstance(each, ToolMessage | Command) for each in given):
        return _json(message.content, message)
    written = _json(value, message)
    if isinstance(message.content, str):  # `ToolNode` writes as Python does what is no JSON, such as a pydantic model
        message.content = as_text(written)
    return written


def _rewritten(message: ToolMessage, call: _Call) -> JSON:
    """What a wrapper made of a message; JSON again if the tool's value had been written as JSON."""
    if isinstance(message.content, str) and not (call.value is _Unknown or isinstance(call.value, str)):
        with suppress(ValueError):
            return _json(json.loads(message.content), message)
    content = _plain(message.content) if isinstance(call.value, str) else message.content
    return _json(content, message)


_ANY: TypeAdapter[Any] = TypeAdapter(Any)


def _json(value: Any, message: ToolMessage) -> JSON:
    try:
        written: JSON = to_jsonable_python(value, fallback=_held)
        if not _is_json(value):
            written = _with_floats(written, _ANY.dump_python(value, by_alias=True, warnings=False))
        return storable(written)
    except (ValueError, RecursionError):  # it goes round in circles, is nested without end, or holds bytes, not text
        return storable(str(message.text))


def _is_json(value: Any) -> bool:
    """Whether a value holds nothing but what JSON has: found out far faster than what else it holds."""
    if isinstance(value, str):  # which may be long
        return True
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _with_floats(written: JSON, value: Any) -> JSON:
    """Make floats of the `Decimal`s in a value, which are written as text; what its own serializers write stays."""
    match written, value:
        case str(), Decimal() if written == str(value):
            return float(value)
        case dict(), dict() if len(written) == len(value):
            return {key: _with_floats(each, value[of]) for (key, each), of in zip(written.items(), value, strict=True)}
        case list(), Set():  # may be written in another order
            texts = [(to_jsonable_python(each, fallback=_held), each) for each in value]
            numbers = {json.dumps(text): _with_floats(text, each) for text, each in texts}
            return [numbers.get(json.dumps(each), each) for each in written]
        case list(), Sequence() if len(written) == len(value):
            return [_with_floats(each, of) for each, of in zip(written, value, strict=True)]
        case _:
            return written


def _held(value: Any) -> Any:
    """What an object that JSON does not know holds, if it is an array or a number of NumPy; else what it says."""
    as_list = getattr(value, "tolist", None)
    return as_list() if callable(as_list) else str(value)
