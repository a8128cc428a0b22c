"""Makes one tool call through LangGraph's `ToolNode`, and keeps what the tool returned with its type.

`ToolNode` gives validation, error handling, `wrap_tool_call`, `ToolRuntime`, `InjectedState` and `InjectedStore`; it
also turns what a tool returns into text. References need the value, so each tool is called through a copy that notes
it, as JSON (see `values`), and gives `ToolNode` that. If a wrapper (`wrap_tool_call`) changes the message, what it made
of it counts, not the tool's own value. A value that cannot be an observation fails the task, with the reason; nothing
else. Wrappers see what a tool raises; `handle_tool_errors` is about what comes out of them.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias, cast
from uuid import uuid4

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import AsyncToolCallWrapper, ToolCallRequest, ToolCallWrapper
from langgraph.types import Command

from llmcompiler_graph.calls.batches import MOMENT, MOMENT_OF_THREADS, BatchForm, Gathering
from llmcompiler_graph.calls.cache import ToolCache
from llmcompiler_graph.calls.introspection import (
    has_async_side,
    has_sync_side,
    is_of_function,
    looked_at_once,
    runs_in_executor,
    shown_arguments,
    with_own_arun,
)
from llmcompiler_graph.calls.outcomes import Call, observation_of
from llmcompiler_graph.calls.own_arguments import own_arguments, passing_on, set_aside
from llmcompiler_graph.calls.specs import is_given_state
from llmcompiler_graph.calls.values import awritten, written
from llmcompiler_graph.concurrency.threads import in_thread, wrapped_in_thread
from llmcompiler_graph.core.errors import ObservationError, described
from llmcompiler_graph.core.language.plan import Observation
from llmcompiler_graph.core.language.references import JSON

__all__ = ("ToolRunner", "Wrapper", "as_wrappers")


class Wrapper(NamedTuple):
    """What is put around each call, as `ToolNode` takes it: in one way, or in both."""

    wrap: ToolCallWrapper | None = None
    """Called in a thread; preferred where the graph was called synchronously."""
    awrap: AsyncToolCallWrapper | None = None
    """Called on the event loop; preferred elsewhere."""


def as_wrappers(wrap: ToolCallWrapper | None, awrap: AsyncToolCallWrapper | None) -> list[Wrapper]:
    """Make a wrapper of both its ways; none if there is neither."""
    return [Wrapper(wrap, awrap)] if wrap or awrap else []


_Execute: TypeAlias = Callable[[ToolCallRequest], Awaitable[Any]]

_current: ContextVar[Call | None] = ContextVar("llmcompiler_call", default=None)


def _describe_error(error: Exception) -> str:
    """Say what a tool raised; `ToolNode` gives it errors of the type in this signature, and no others."""
    return described(error)


class ToolRunner:
    """Calls tools by name.

    Args:
        tools: The tools.
        handle_tool_errors: As in `ToolNode`; `True` makes every exception an error observation.
        wrappers: What is put around each call, the outermost first.
        cache: Answers calls in place of the tools; the wrappers see these calls as any.
        batches: What takes many calls of a tool at once, by its name.
    """

    def __init__(
        self,
        tools: Sequence[BaseTool],
        *,
        handle_tool_errors: Any = True,
        wrappers: Sequence[Wrapper] = (),
        cache: ToolCache | None = None,
        batches: Mapping[str, BatchForm] | None = None,
    ) -> None:
        batches = batches or {}
        self.gathered = frozenset(batches)
        """Names of tools whose calls wait for each other, to be made as one."""
        self._many = ToolRunner([form.tool for form in batches.values()], handle_tool_errors=False) if batches else None
        tools = [self._gathering(tool, batches[tool.name]) if tool.name in batches else tool for tool in tools]
        self._tools = {tool.name: tool for tool in tools}
        self._on_loop = {
            (tool.name, sync) for tool in tools for sync in (False, True) if _runs_on_loop(tool, sync=sync)
        }
        self._wrapped = bool(wrappers)
        self._given_state = {tool.name for tool in tools if wrappers or is_given_state(tool)}
        self._handle_errors = _describe_error if handle_tool_errors is True else handle_tool_errors

        async def awrap(request: ToolCallRequest, execute: _Execute) -> Any:
            try:
                makes = execute if cache is None else partial(self._made_or_kept, cache, execute)
                return await _wrapped(wrappers, request, makes)
            except GraphBubbleUp:
                raise
            except Exception as error:
                return await self._handled(error, request)

        self._node = ToolNode(
            [_noting_copy(tool) for tool in tools],
            handle_tool_errors=not (wrappers or cache) and self._handle_errors,
            # only where there is something to wrap: inside a wrapper `ToolNode` handles every exception or none
            awrap_tool_call=awrap if wrappers or cache else None,
        )

    def _gathering(self, tool: BaseTool, form: BatchForm) -> BaseTool:
        """A copy of a tool, whose calls are made by its batch form."""
        gathering = Gathering(form, self._call_many)

        @functools.wraps(tool._run)
        async def arun(*_: Any, **__: Any) -> Any:
            call = _current.get()
            assert call is not None
            future, call.batch = gathering.add(call.arguments, call.run, MOMENT_OF_THREADS if call.sync else MOMENT)
            return await future

        return with_own_arun(tool, arun)

    async def _call_many(self, tool: BaseTool, arguments: Mapping[str, JSON]) -> Sequence[Any]:
        """Call a tool that takes many; give a value or an exception for each, if it returns a list."""
        assert self._many is not None
        failed: dict[int, Exception] = {}
        call_id = f"batch_{uuid4().hex}"
        observation = await self._many.call(tool.name, arguments, call_id, {}, get_config(), sync=False, failed=failed)
        if observation.status != "done":
            raise ToolException(observation.error)
        value: Any = observation.value
        return [failed.get(n, each) for n, each in enumerate(value)] if isinstance(value, list) else value

    async def _handled(self, error: Exception, request: ToolCallRequest) -> ToolMessage:
        """Let `ToolNode` make a message of what came out of the wrappers, or raise it."""
        call = request.tool_call
        node = ToolNode([_Raising(name=call["name"], error=error)], handle_tool_errors=self._handle_errors)
        given = {"__type": "tool_call_with_context", "tool_call": {**call, "args": {}}, "state": {}}
        output = await node.ainvoke(given, request.runtime.config)
        (message,) = output["messages"]
        return cast("ToolMessage", message)

    async def _made_or_kept(self, cache: ToolCache, execute: _Execute, request: ToolCallRequest) -> Any:
        """Make a call, inside the wrappers; or give what the cache has of an equal one."""
        name, call = request.tool_call["name"], _current.get()
        assert call is not None
        known = request.tool is self._node.tools_by_name.get(name)
        key = await cache.key(name, request.tool_call["args"]) if known and not call.fresh else None
        if key is None:
            return await execute(request)
        if (kept := await cache.find(key)) is not None:
            call.value, call.cached = kept.value, True
            call.output_schema = (self._tools[name].metadata or {}).get("outputSchema")
            return ToolMessage(kept.content, artifact=kept.artifact, name=name, tool_call_id=request.tool_call["id"])
        made = await execute(request)
        if isinstance(made, ToolMessage) and made.status != "error" and call.is_noted:
            await cache.keep(key, call.value, made)
        return made

    def shows_state(self, tool: str) -> bool:
        """Whether the graph's state is shown to a tool, or to what is wrapped around its calls."""
        return tool in self._given_state

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, JSON],
        call_id: str,
        state: Any,
        config: RunnableConfig,
        *,
        sync: bool,
        fresh: bool = False,
        failed: dict[int, Exception] | None = None,
        check: Callable[[str, Mapping[str, Any]], None] | None = None,
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
            fresh: Whether the cache is left out.
            failed: Takes the exceptions among what a call for many returned, by element.
            check: Raises if what wrappers have made of the call, its tool's name and arguments, may not be called.

        Raises:
            GraphBubbleUp: The tool interrupted the graph.
            Exception: The tool raised what `handle_tool_errors` does not handle.
        """
        # copies of its own: what it changes in them are other tasks' values too, and a retry's arguments
        given = {key: deepcopy(value) if isinstance(value, dict | list) else value for key, value in arguments.items()}
        tool_call = {"name": tool, "args": given, "id": call_id, "type": "tool_call"}
        request = {"__type": "tool_call_with_context", "tool_call": tool_call, "state": state}
        blocks = (tool, sync) not in self._on_loop
        noted = Call(sync, blocks, self._wrapped, arguments=given, run=state, failed=failed, fresh=fresh, check=check)
        token = _current.set(noted)
        try:
            output = await self._node.ainvoke(request, config)  # `invoke` would take threads that are no daemons
        finally:
            noted.given_up = True
            _current.reset(token)
        observation = await observation_of(output, call_id, noted, config)
        if noted.cached and observation.status == "done":
            observation = replace(observation, cached=1)
        if noted.batch:
            observation = replace(observation, batches=(noted.batch,))
        return replace(observation, raised=noted.error) if noted.error is not None else observation


def _runs_on_loop(tool: BaseTool, *, sync: bool) -> bool:
    if runs_in_executor(tool):  # the loop only waits for it
        return True
    return has_async_side(tool) and not (sync and has_sync_side(tool))


async def _wrapped(wrappers: Sequence[Wrapper], request: ToolCallRequest, execute: _Execute) -> Any:
    """Make a call inside the wrappers; of what a wrapper makes of an error, only the last attempt is noted."""
    call = _current.get()
    assert call is not None
    if not wrappers:
        call.begin()
        name, call.arguments = request.tool_call["name"], request.tool_call["args"]
        if call.check is not None:
            call.check(request.tool.name if request.tool is not None else name, call.arguments)
        return _note_message(await execute(request))
    wrapper, inner = wrappers[0], wrappers[1:]
    escaped: list[Exception] = []

    async def attempt(each: ToolCallRequest) -> Any:
        escaped.clear()
        try:
            return await _wrapped(inner, each, execute)
        except Exception as error:
            escaped.append(error)
            raise

    if wrapper.wrap and (wrapper.awrap is None or call.sync):
        made = await wrapped_in_thread(request.tool_call["name"], wrapper.wrap, request, attempt)
    else:
        assert wrapper.awrap is not None
        made = await wrapper.awrap(request, attempt)
    if escaped:  # and the wrapper has made something of it: it is no error of the call any more
        call.begin()
    return made


class _Raising(BaseTool):
    """In place of a tool that has raised."""

    description: str = "Raise."
    error: Any

    def _run(self) -> None:
        raise self.error

    async def ainvoke(self, *_: Any, **__: Any) -> None:
        raise self.error


def _noting_copy(tool: BaseTool) -> BaseTool:
    """A copy whose runs go to the tool itself, and whose values are noted."""
    copy = tool.model_copy()
    own = own_arguments(tool)
    source = passing_on(tool, _kept) if is_of_function(tool) and not runs_in_executor(tool) else tool
    restored = _kept if own and source is tool else dict
    run, arun, invoke, ainvoke = source._run, source._arun, copy.invoke, copy.ainvoke

    @functools.wraps(run)
    def noting_run(*args: Any, **kwargs: Any) -> Any:
        with _staying():
            value = run(*args, **{**kwargs, **restored()})
        call = _current.get()
        if call is None or _is_for_the_graph(value):
            return value
        call.output_schema = (tool.metadata or {}).get("outputSchema")
        content, rest = _content_and_artifact(value, tool)
        content = call.without_failures(content)
        try:
            return call.note(written(content, lambda: call.given_up), rest)
        except ObservationError as error:
            return call.refuse(error, rest)

    @functools.wraps(arun)
    async def noting_arun(*args: Any, **kwargs: Any) -> Any:
        called_tool = tool.name  # noqa: F841 (for `concurrency.background`, which says what blocks an event loop)
        with _staying():
            value = await arun(*args, **{**kwargs, **restored()})
        call = _current.get()
        if call is None or _is_for_the_graph(value):
            return value
        call.output_schema = (tool.metadata or {}).get("outputSchema")
        content, rest = _content_and_artifact(value, tool)
        content = call.without_failures(content)
        try:
            return call.note(await awritten(content, tool.name), rest)
        except ObservationError as error:
            return call.refuse(error, rest)

    @functools.wraps(invoke)
    def checked_invoke(given: Any, *args: Any, **kwargs: Any) -> Any:
        _check_approved(tool, given)
        return invoke(given, *args, **kwargs)

    @functools.wraps(ainvoke)
    async def invoke_where_it_runs(*args: Any, **kwargs: Any) -> Any:
        _check_approved(tool, *args[:1])
        call = _current.get()
        if call and call.in_thread:
            return await in_thread(tool.name, copy.invoke, *args, **kwargs)
        return await ainvoke(*args, **kwargs)

    # in the instance's own dictionary: pydantic would refuse to set a method
    # without a schema, LangChain makes one of the annotations of `_run`
    copy.__dict__.update(
        _run=noting_run if copy.args_schema is None else looked_at_once(noting_run),
        _arun=looked_at_once(noting_arun),
        invoke=checked_invoke,
        ainvoke=invoke_where_it_runs,
        _filter_injected_args=shown_arguments(tool),
    )
    if own:
        copy.__dict__["_to_args_and_kwargs"] = set_aside(copy, own, _given, _keep)
    return copy


def _check_approved(tool: BaseTool, given: Any = None) -> None:
    """Refuse a call that is not the one that was approved, where the tool is called: also behind another's wrappers."""
    call = _current.get()
    if call is not None and call.check is not None and isinstance(given, dict) and "args" in given:
        call.check(tool.name, given["args"])


def _given() -> Mapping[str, Any]:
    call = _current.get()
    return call.arguments if call is not None else {}


def _kept() -> Mapping[str, Any]:
    call = _current.get()
    return call.kept if call is not None else {}


def _keep(own: Mapping[str, Any]) -> None:
    if (call := _current.get()) is not None:
        call.kept = own


@contextmanager
def _staying() -> Iterator[None]:
    """Make what would end more than the call an error of the tool, and note what it raised.

    `sys.exit()` would take the event loop with it, and other runs; so would what a library in another language raises
    when it breaks, which is no `Exception`, and a `KeyboardInterrupt` that is not the user's: that one comes in the
    main thread. `StopIteration` never comes out of a thread.
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
    except (asyncio.CancelledError, GeneratorExit):  # the call is cancelled, or closed
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise
        msg = f"the tool raised {described(error)}"
        raise RuntimeError(msg) from error


def _is_for_the_graph(value: Any) -> bool:
    """Whether a tool made messages or commands of its own; found out without any code of the value's."""
    given = list.__iter__(value) if issubclass(type(value), list) else iter([value])
    return any(issubclass(type(each), ToolMessage | Command) for each in given)


def _content_and_artifact(value: Any, tool: BaseTool) -> tuple[Any, tuple[Any, ...]]:
    """What is to be written of what a tool returned, and what it returned besides: its artifact, if it gives one."""
    if tool.response_format == "content_and_artifact" and isinstance(value, tuple) and len(value) == 2:
        return value[0], value[1:]
    return value, ()


def _note_message(response: Any) -> Any:
    if (call := _current.get()) is not None and isinstance(response, ToolMessage):
        if call.refused:
            response.status = "error"
        call.content = deepcopy(response.content)  # a wrapper may change it in place
    return response
