"""Runs synchronous tools in a `concurrent.futures.Executor`: threads, processes, or the workers of a Dask cluster.

Only the tool's own function is called there, with its validated and injected arguments. Validation, callbacks, error
handling, `wrap_tool_call`, approval, timeouts and retries stay in this process: to them, such a tool is an asynchronous
one that takes its time.

*What crosses.* In a `ThreadPoolExecutor` everything is as it is here. To other processes go the arguments, with what
`InjectedState` and `InjectedToolCallId` put there, and the `RunnableConfig` without its callbacks; back come the value,
or the exception with its type, its message and a note of where it was raised. They are copies: what a tool changes in
the state it was given is changed there. A store, a `ToolRuntime` and callbacks belong to this process: a tool that asks
for them is refused when the graph is made, as is one whose function other processes cannot find. A `run_manager` that
may be left out is left out. `interrupt()` and `get_stream_writer()` are errors there, which say that there is no graph.

*How the function crosses.* By module and name, so it is imported there. Dask's workers are also sent, by cloudpickle,
what is defined in a script, a notebook or another function. A tool that is an object (`BaseTool` with `_run`) is
pickled when the graph is made. Workers need this package and the tool's code installed.

*When a worker dies* during a call, the tool may have run or not. A `ProcessPoolExecutor` is broken from then on: all
its calls end with `WorkerLostError`. Dask makes the calls of the dead worker again on another, also those that were
finished but not yet fetched, until `distributed.scheduler.allowed-failures` workers have died. That is right for tools
that are read-only or idempotent by their hints. Any other tool's call begins at most once, whatever Dask's settings:
the worker asks the scheduler first, and a second time is refused as `WorkerLostError`. `tool_retry_policy` applies to
that error as to any: to hinted tools, and to those it names.

*Cancelling*, or running out of `tool_timeout`, takes back a call that has not begun. One that runs elsewhere cannot be
stopped: it runs to its end, holds its worker until then, and nobody sees what it returns. A `ProcessPoolExecutor`
counts as begun what is in its pipe: one call more than it has processes, besides those that run. The time that a call
waits for a worker counts; `tool_concurrency` keeps it waiting here instead, where its clock does not run.

The executor is the caller's, who also closes it. Beside threads of its own, a `ProcessPoolExecutor` is safe with
`mp_context=multiprocessing.get_context("spawn")`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial, wraps
from typing import Any, TypeAlias

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.prebuilt import InjectedStore, ToolRuntime
from langgraph.store.base import BaseStore

from llmcompiler_graph.calls.introspection import (
    argument_annotations,
    function_annotations,
    has_async_side,
    is_of_function,
    mentions,
    sync_function_of,
    with_own_arun,
)
from llmcompiler_graph.core.arguments import check_names
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.remote.function import RemoteFunction, awaited

__all__ = ("ToolExecutor", "in_executor")

ToolExecutor: TypeAlias = Executor | Mapping[str, Executor]
"""One executor for every tool that is only synchronous, or one by name for any tool that has a synchronous side."""

_SENT_CONFIG_KEYS = ("configurable", "max_concurrency", "metadata", "recursion_limit", "run_id", "run_name", "tags")
"""What other processes get of a `RunnableConfig`."""


def in_executor(tools: Sequence[BaseTool], specs: Iterable[ToolSpec], executor: ToolExecutor | None) -> list[BaseTool]:
    """Put copies that run in an executor in the place of the tools that are to.

    Args:
        tools: The tools.
        specs: What is known of them.
        executor: Where which of them run; `None` for here.

    Raises:
        ConfigurationError: A tool cannot run there, no tool has that name, or it is no executor.
    """
    if executor is None:
        return list(tools)
    by_name = executor if isinstance(executor, Mapping) else {t.name: executor for t in tools if not has_async_side(t)}
    check_names("tool_executor", by_name, [tool.name for tool in tools])
    repeatable = {spec.called for spec in specs if spec.repeatable or spec.idempotent}
    return [
        _moved(tool, by_name[tool.name], repeatable=tool.name in repeatable) if tool.name in by_name else tool
        for tool in tools
    ]


def _moved(tool: BaseTool, executor: Any, *, repeatable: bool) -> BaseTool:
    if not isinstance(executor, Executor):  # a Dask client, say
        msg = f"tool_executor must be a concurrent.futures.Executor (of Dask: client.get_executor()), not {executor!r}"
        raise ConfigurationError(msg)
    function = getattr(tool, "func", None)
    if function is None and is_of_function(tool):
        msg = f"tool {tool.name!r} is asynchronous only: it runs on the event loop and not in an executor"
        raise ConfigurationError(msg)
    if isinstance(executor, ThreadPoolExecutor):
        call = _in_threads(tool, executor)
    else:
        call = _in_processes(tool, executor, repeatable=repeatable)

    @wraps(tool._run)
    async def arun(*args: Any, **kwargs: Any) -> Any:
        return await call(*args, **kwargs)

    return with_own_arun(tool, arun)


def _in_threads(tool: BaseTool, executor: Executor) -> Callable[..., Awaitable[Any]]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        if (manager := kwargs.get("run_manager")) is not None:
            kwargs["run_manager"] = manager.get_sync()
        return await awaited(tool.name, executor, partial(copy_context().run, call, *args, **kwargs), end=None)

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return tool._run(*args, **kwargs)
        except StopIteration as error:  # which would never arrive: a future refuses it
            msg = "the tool raised StopIteration"
            raise RuntimeError(msg) from error

    return run


def _in_processes(tool: BaseTool, executor: Executor, *, repeatable: bool) -> Callable[..., Awaitable[Any]]:
    of_function = is_of_function(tool)
    function = sync_function_of(tool)
    written = function_annotations(function)
    _refuse_what_stays_here(tool, function, {**written, **argument_annotations(tool)})
    remote = RemoteFunction(tool.name, function, executor, repeatable=repeatable)
    config_parameter = next((name for name, each in written.items() if each is RunnableConfig), None)

    async def run(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("run_manager", None)
        config = kwargs.pop("config") if of_function else kwargs.get(config_parameter or "")
        if config_parameter is not None:
            kwargs[config_parameter] = _sent_config(config or {})
        return await remote.call(args, kwargs)

    return run


def _sent_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A `RunnableConfig` as other processes get it: without callbacks, and without what LangGraph keeps in it."""
    kept = {key: value for key, value in config.items() if key in _SENT_CONFIG_KEYS}
    kept["configurable"] = {k: v for k, v in config.get("configurable", {}).items() if not k.startswith("__")}
    return kept


def _refuse_what_stays_here(tool: BaseTool, function: Callable[..., Any], written: Mapping[str, Any]) -> None:
    here = (BaseStore, InjectedStore, ToolRuntime)
    refused = [name for name, each in written.items() if name == "runtime" or mentions(each, *here)]
    for name, parameter in inspect.signature(function).parameters.items():
        if name in {"callbacks", "run_manager"} and parameter.default is inspect.Parameter.empty:
            refused.append(name)
    if refused:
        msg = (
            f"tool {tool.name!r} cannot run in another process: it asks for {', '.join(map(repr, refused))}, and "
            "stores, `ToolRuntime` and callbacks belong to this one; take `InjectedState` or `RunnableConfig`, which "
            "cross, or leave it here: name the tools that are to run there, as in tool_executor={'name': executor}"
        )
        raise ConfigurationError(msg)
