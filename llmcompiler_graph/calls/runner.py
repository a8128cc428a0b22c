"""Makes one tool call through LangGraph's `ToolNode`, and keeps what the tool returned with its type.

`ToolNode` gives validation, error handling, `wrap_tool_call`, `ToolRuntime`, `InjectedState` and `InjectedStore`; it
also turns what a tool returns into text. References need the value, so each tool is called through a copy that notes
it, as JSON (see `values`), and gives `ToolNode` that. If a `wrap_tool_call` changes the message, what it made of it
counts, not the tool's own value. A value that cannot be an observation fails the task, with the reason; nothing else.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, cast

from langchain_core.messages import ToolMessage, convert_to_messages
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import AsyncToolCallWrapper, ToolCallRequest, ToolCallWrapper
from langgraph.types import Command

from llmcompiler_graph.calls.introspection import has_async_side, has_sync_side, runs_in_executor
from llmcompiler_graph.calls.specs import is_given_state
from llmcompiler_graph.calls.storability import check_command, keep_message
from llmcompiler_graph.calls.values import awritten, shortened, written
from llmcompiler_graph.concurrency.threads import in_thread
from llmcompiler_graph.core.errors import ObservationError, described
from llmcompiler_graph.core.language.json_text import read_json
from llmcompiler_graph.core.language.plan import Observation
from llmcompiler_graph.core.language.references import JSON, as_text
from llmcompiler_graph.state import storable

__all__ = ("ToolRunner",)


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
    """What the tool returned, as JSON; of content and artifact, the content."""
    error: Exception | None = None
    """What the tool raised."""
    refused: str = ""
    """Why what it returned cannot be an observation."""
    given_up: threading.Event = field(default_factory=threading.Event)
    """Set when nobody waits for it any more."""
    content: Any = _Unknown
    """What `ToolNode` made of it, before any wrapper saw it."""

    def note(self, value: JSON, rest: tuple[Any, ...]) -> Any:
        """Keep what a tool returned; give what it is to return instead."""
        self.value = _plain(value) if rest else value
        return (value, *rest) if rest else value

    def refuse(self, error: ObservationError, rest: tuple[Any, ...]) -> Any:
        """Keep why what a tool returned cannot be an observation; give what it is to return instead."""
        self.refused = f"{type(error).__name__}: the tool has run, but what it returned cannot be kept: {error}"
        return (self.refused, *rest) if rest else self.refused


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
        self._given_state = {tool.name for tool in tools if wrap_tool_call or awrap_tool_call or is_given_state(tool)}

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
            awrap_tool_call=awrap if wrap_tool_call or awrap_tool_call else None,
        )

    def shows_state(self, tool: str) -> bool:
        """Whether the graph's state is shown to a tool, or to what is wrapped around its calls."""
        return tool in self._given_state

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
        blocks = not _runs_on_loop(self._tools[tool], sync=sync)
        noted = _Call(sync, blocks, wrapped=self._wrap is not None or self._awrap is not None)
        token = _current.set(noted)
        try:
            output = await self._node.ainvoke(request, config)  # `invoke` would take threads that are no daemons
        finally:
            noted.given_up.set()
            _current.reset(token)
        return replace(await _observation(output, call_id, noted, config), raised=noted.error)


def _runs_on_loop(tool: BaseTool, *, sync: bool) -> bool:
    if runs_in_executor(tool):  # the loop only waits for it
        return True
    return has_async_side(tool) and not (sync and has_sync_side(tool))


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
        return await in_thread(request.tool_call["name"], wrap, request, execute_on_loop)
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
            value = run(*args, **kwargs)
        call = _current.get()
        if call is None or _is_for_the_graph(value):
            return value
        content, rest = _content_and_artifact(value, tool)
        try:
            return call.note(written(content, call.given_up), rest)
        except ObservationError as error:
            return call.refuse(error, rest)

    @functools.wraps(arun)
    async def noting_arun(*args: Any, **kwargs: Any) -> Any:
        called_tool = tool.name  # noqa: F841 (for `concurrency.background`, which says what blocks an event loop)
        with _staying():
            value = await arun(*args, **kwargs)
        call = _current.get()
        if call is None or _is_for_the_graph(value):
            return value
        content, rest = _content_and_artifact(value, tool)
        try:
            return call.note(await awritten(content), rest)
        except ObservationError as error:
            return call.refuse(error, rest)

    @functools.wraps(ainvoke)
    async def invoke_where_it_runs(*args: Any, **kwargs: Any) -> Any:
        call = _current.get()
        if call and call.in_thread:
            return await in_thread(tool.name, copy.invoke, *args, **kwargs)
        return await ainvoke(*args, **kwargs)

    # in the instance's own dictionary: pydantic would refuse to set a method
    copy.__dict__.update(_run=noting_run, _arun=noting_arun, ainvoke=invoke_where_it_runs)
    return copy


@contextmanager
def _staying() -> Iterator[None]:
    """Make what would end more than the call an error of the tool, and note what it raised.

    `sys.exit()` would take the event loop with it, and other runs; so would what a library in another language raises
    when it breaks, which is no `Exception`. `StopIteration` never comes out of a thread.
    """
    try:
        yield
    except SystemExit as leaving:
        msg = f"the tool called sys.exit({leaving.code!r})"
        raise RuntimeError(msg) from leaving
    except StopIteration:
        msg = "the tool raised StopIteration"
        raise RuntimeError(msg) from None  # with it as the cause, `contextmanager` would raise that
    except Exception as error:
        if (call := _current.get()) is not None:
            call.error = error
        raise
    except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        msg = f"the tool raised {described(error)}"
        raise RuntimeError(msg) from error


def _is_for_the_graph(value: Any) -> bool:
    """Whether a tool made messages or commands of its own."""
    given = value if isinstance(value, list) else [value]
    return any(isinstance(each, ToolMessage | Command) for each in given)


def _content_and_artifact(value: Any, tool: BaseTool) -> tuple[Any, tuple[Any, ...]]:
    """What is to be written of what a tool returned, and what it returned besides: its artifact, if it gives one."""
    if tool.response_format == "content_and_artifact" and isinstance(value, tuple) and len(value) == 2:
        return value[0], value[1:]
    return value, ()


def _plain(content: Any) -> Any:
    """Make text of blocks that are all text: so MCP tools give it if they declare no `outputSchema`."""
    if isinstance(content, list) and content and all(isinstance(b, dict) and b.get("type") == "text" for b in content):
        return "\n".join(str(block.get("text", "")) for block in content)
    return content


def _note_message(response: Any) -> Any:
    if (call := _current.get()) is not None and isinstance(response, ToolMessage):
        if call.refused:
            response.status = "error"
        call.content = deepcopy(response.content)  # a wrapper may change it in place
    return response


async def _observation(output: Any, call_id: str, call: _Call, config: RunnableConfig) -> Observation:
    messages: list[ToolMessage] = []
    commands: list[Command[Any]] = []
    message: ToolMessage | None = None
    value: JSON = None
    try:
        for each in output if isinstance(output, list) else [output]:
            if isinstance(each, Command):
                commands.append(command := _with_messages(each))
                if isinstance(command.update, dict):
                    messages += [m for m in command.update.get("messages", ()) if isinstance(m, ToolMessage)]
            else:
                messages += each["messages"]
        message = next((m for m in messages if m.tool_call_id == call_id), None)
        if message is not None:
            message.id = message.id or f"{call_id}_result"  # known before it is in the state: so it is streamed once
            value = await _value(message, call)
            keep_message(message, config)
        for command in commands:
            check_command(command, config)
    except ObservationError as error:
        call.refuse(error, ())
        message = message or ToolMessage("", tool_call_id=call_id, id=f"{call_id}_result")
        message.status, message.content, commands = "error", call.refused, []
    if message is None:
        return Observation("done", None, attachment=commands)
    attachment = [message, *commands]
    if message.status == "error":
        return Observation("failed", error=str(message.text), attachment=attachment)
    return Observation("done", value, attachment=attachment)


def _with_messages(command: Command[Any]) -> Command[Any]:
    """A command whose messages are a list of messages: tools may also write dictionaries, or a single one."""
    if not isinstance(command.update, dict) or "messages" not in command.update:
        return command
    given = command.update["messages"]
    try:
        messages = convert_to_messages(given if isinstance(given, list | tuple) else [given])
    except Exception as error:
        msg = f"its command's messages cannot be read: {described(error)}"
        raise ObservationError(msg) from error
    return replace(command, update={**command.update, "messages": messages})


async def _value(message: ToolMessage, call: _Call) -> JSON:
    """What the tool returned, as JSON, unless its message says something else by now; the message then says it too."""
    if call.refused and message.content == call.refused:
        message.status = "error"
    if message.status == "error":
        said = message.content
        message.content = shortened(said) if isinstance(said, str) else cast("Any", await awritten(said))
        return None
    if call.wrapped and message.content != call.content:
        return await _rewritten(message, call)
    artifact = message.artifact
    if isinstance(artifact, dict) and "structured_content" in artifact:  # an MCP tool's structured content
        return await awritten(artifact["structured_content"])
    if call.value is _Unknown:
        content: JSON = await awritten(message.content)
        message.content = cast("Any", content)
        return content
    if isinstance(message.content, str):  # where `ToolNode` makes something else of a list of texts
        message.content = as_text(call.value)
    return cast("JSON", call.value)


async def _rewritten(message: ToolMessage, call: _Call) -> JSON:
    """What a wrapper made of a message; JSON again if the tool's value had been written as JSON."""
    content = message.content = cast("Any", await awritten(message.content))
    if isinstance(content, str) and not (call.value is _Unknown or isinstance(call.value, str)):
        with suppress(ValueError):
            return storable(read_json(content))
    return cast("JSON", _plain(content) if isinstance(call.value, str) else content)
