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
counts as begun what is in its pipe: one call more than it has processes, besides those that run.

The executor is the caller's, who also closes it. Beside threads of its own, a `ProcessPoolExecutor` is safe with
`mp_context=multiprocessing.get_context("spawn")`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeAlias, cast, get_args, get_origin, get_type_hints
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, Tool
from langchain_core.tools.base import get_all_basemodel_annotations
from langgraph.prebuilt import InjectedStore, ToolRuntime
from langgraph.store.base import BaseStore

from llmcompiler_graph.errors import ConfigurationError, ToolTransferError, WorkerLostError
from llmcompiler_graph.plan import ToolSpec
from llmcompiler_graph.remote_call import Located, Outcome, make, pack, unpack

__all__ = ("ToolExecutor", "in_executor", "runs_in_executor")

ToolExecutor: TypeAlias = Executor | Mapping[str, Executor]
"""One executor for every tool that is only synchronous, or one by name for any tool that has a synchronous side."""

_ABROAD = ("configurable", "max_concurrency", "metadata", "recursion_limit", "run_id", "run_name", "tags")
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
    by_name = executor if isinstance(executor, Mapping) else {t.name: executor for t in tools if not _is_async(t)}
    if unknown := sorted(set(by_name) - {tool.name for tool in tools}):
        msg = f"executor names {', '.join(map(repr, unknown))}, but there is no such tool"
        raise ConfigurationError(msg)
    repeatable = {spec.name for spec in specs if spec.repeatable or spec.idempotent}
    return [
        _moved(tool, by_name[tool.name], repeatable=tool.name in repeatable) if tool.name in by_name else tool
        for tool in tools
    ]


def runs_in_executor(tool: BaseTool) -> bool:
    """Whether a tool is one that `in_executor` made."""
    return "_arun" in vars(tool)


def _moved(tool: BaseTool, executor: Any, *, repeatable: bool) -> BaseTool:
    if not isinstance(executor, Executor):  # a Dask client, say
        msg = f"executor must be a concurrent.futures.Executor (of Dask: client.get_executor()), not {executor!r}"
        raise ConfigurationError(msg)
    function = getattr(tool, "func", None)
    if function is None and _is_of_function(tool):
        msg = f"tool {tool.name!r} is asynchronous only: it runs on the event loop and not in an executor"
        raise ConfigurationError(msg)
    is_thread = isinstance(executor, ThreadPoolExecutor)
    call = _in_threads(tool, executor) if is_thread else _Crossing(tool, executor, repeatable=repeatable).call

    @functools.wraps(tool._run)
    async def arun(*args: Any, **kwargs: Any) -> Any:
        return await call(*args, **kwargs)

    # its function stands in for a coroutine, so that LangChain calls `_arun` and still finds what it injects
    copy = tool.model_copy(update={"func": None, "coroutine": function} if function is not None else {})
    copy.__dict__["_arun"] = arun
    return copy


def _is_of_function(tool: BaseTool) -> bool:
    return type(tool)._run in (StructuredTool._run, Tool._run)


def _is_async(tool: BaseTool) -> bool:
    return type(tool)._arun is not BaseTool._arun and getattr(tool, "coroutine", tool) is not None


def _in_threads(tool: BaseTool, executor: Executor) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        if (manager := kwargs.get("run_manager")) is not None:
            kwargs["run_manager"] = manager.get_sync()
        return await _awaited(tool.name, executor, None, copy_context().run, call, *args, **kwargs)

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return tool._run(*args, **kwargs)
        except StopIteration as error:  # which would never arrive: a future refuses it
            msg = "the tool raised StopIteration"
            raise RuntimeError(msg) from error

    return run


class _Crossing:
    """Calls a tool's function in another process."""

    def __init__(self, tool: BaseTool, executor: Executor, *, repeatable: bool) -> None:
        self._name, self._executor = tool.name, executor
        self._dask = _is_dask(executor)
        self._once = self._dask and not repeatable
        if self._dask and cast("Any", executor)._client.asynchronous:
            msg = "executor is that of an asynchronous Dask client: make one with Client(address), without asynchronous"
            raise ConfigurationError(msg)
        self._of_function = _is_of_function(tool)
        called: Callable[..., Any] = cast("Any", tool).func if self._of_function else tool._run
        hints = _hints(called)
        self._config = next((name for name, hint in hints.items() if hint is RunnableConfig), None)
        _refuse_what_stays_here(tool, called, {**hints, **get_all_basemodel_annotations(tool.get_input_schema())})
        self._function = self._packed(called)

    def _packed(self, function: Callable[..., Any]) -> bytes:
        located = Located.of(function)
        if self._dask and getattr(function, "__module__", None) == "__main__":
            located = None  # theirs is another
        try:
            return pack(located or function, by_value=self._dask)
        except Exception as error:
            msg = (
                f"tool {self._name!r} cannot run in {type(self._executor).__name__}: other processes cannot be given "
                f"its function ({error}); define it at the top of a module, or leave it here: name the tools that "
                "are to run there, as in executor={'name': executor}"
            )
            raise ConfigurationError(msg) from error

    async def call(self, *args: Any, **kwargs: Any) -> Any:
        """Make a call with the arguments that LangChain gives a tool's `_run`."""
        kwargs.pop("run_manager", None)
        config = kwargs.pop("config") if self._of_function else kwargs.get(self._config or "")
        if self._config is not None:
            kwargs[self._config] = _abroad(config or {})
        packed = self._packed_arguments(args, kwargs)
        if not self._once:
            return self._read(await self._made(packed))
        from distributed import Queue

        name, client = f"llmcompiler-{uuid4().hex}", cast("Any", self._executor)._client
        queue = await asyncio.to_thread(Queue, name, client, 1)

        def forget() -> None:
            if client.status == "running":
                queue.close()

        return self._read(await self._made(packed, name, forget))

    async def _made(self, packed: bytes, once: str | None = None, end: Callable[[], None] | None = None) -> Outcome:
        settings: dict[str, Any] = {"by_value": self._dask, "once": once}
        if self._dask:  # each call is one of its own: Dask would make equal ones once
            settings |= {"key": f"{self._name}-{uuid4().hex}", "pure": False}
        try:
            outcome = await _awaited(self._name, self._executor, end, make, self._function, packed, **settings)
        except WorkerLostError:
            raise
        except Exception as error:
            msg = (
                f"tool {self._name!r}: {type(self._executor).__name__} could not make the call: "
                f"{type(error).__name__}: {error}; its workers need this package and the tool's code, as they are here"
            )
            raise ToolTransferError(msg) from error
        return cast("Outcome", outcome)

    def _packed_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        try:
            return pack((args, kwargs), by_value=self._dask)
        except Exception as error:
            for name, value in [*enumerate(args, 1), *kwargs.items()]:
                try:
                    pack(value, by_value=self._dask)
                except Exception as reason:
                    msg = f"tool {self._name!r}: the argument {name!r} cannot be carried to its executor: {reason}"
                    raise ToolTransferError(msg) from reason
            msg = f"tool {self._name!r}: its arguments cannot be carried to its executor: {error}"
            raise ToolTransferError(msg) from error

    def _read(self, outcome: Outcome) -> Any:
        tool = f"tool {self._name!r}"
        match outcome.kind:
            case "returned":
                try:
                    return unpack(outcome.packed)
                except Exception as error:
                    msg = f"{tool}: what it returned in its executor cannot be read here: {error}"
                    raise ToolTransferError(msg) from error
            case "raised":
                raised: BaseException | None = None
                if outcome.packed:
                    with suppress(Exception):  # it is told in words instead
                        raised = unpack(outcome.packed)
                if raised is not None:
                    raise raised
                msg = f"{tool} raised {outcome.text} (the exception itself cannot be carried back from its executor)"
                raise ToolTransferError(msg)
            case "untold":
                msg = f"{tool} returned what cannot be carried back from its executor: {outcome.text}"
                raise ToolTransferError(msg)
            case "unloadable":
                msg = f"{tool}: its executor's worker cannot load it: {outcome.text}; the same code must be there"
                raise ToolTransferError(msg)
            case "repeated":
                msg = (
                    f"{tool}: the worker died during the call, and whether the tool did its work is not known; it was "
                    "not made again, because neither readOnlyHint nor idempotentHint says that this is safe"
                )
                raise WorkerLostError(msg)


async def _awaited(
    name: str,
    executor: Executor,
    end: Callable[[], None] | None,
    function: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Submit a call and wait for it; if the wait is cancelled, take it back. `end` is called once it is over."""
    loop = asyncio.get_running_loop()
    broken = (
        f"tool {name!r}: a worker of {type(executor).__name__} died (killed, out of memory, crashed), and it takes no "
        "more calls; whether the tool did its work is not known. Make the graph with a new executor"
    )

    def take_back(future: Future[Any]) -> None:
        future.cancel()
        if end is not None:
            end()

    try:
        future: Future[Any] = executor.submit(function, *args, **kwargs)
    except BrokenExecutor as error:
        raise WorkerLostError(broken) from error
    except RuntimeError as error:
        msg = f"tool {name!r}: {type(executor).__name__} takes no calls ({error}); keep it open while the graph runs"
        raise WorkerLostError(msg) from error
    made = asyncio.wrap_future(future)
    try:
        await asyncio.wait((made,))
    except asyncio.CancelledError:
        made.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody asks for it any more
        loop.run_in_executor(None, take_back, future)  # Dask's waits for its scheduler
        raise
    if end is not None:
        end()
    if made.cancelled():
        msg = f"tool {name!r}: {type(executor).__name__} gave the call up: it was closed, or lost all its workers"
        raise WorkerLostError(msg)
    reason = made.exception()
    if isinstance(reason, BrokenExecutor):
        raise WorkerLostError(broken) from reason
    if reason is not None and _is_killed_worker(reason):
        msg = f"tool {name!r}: {reason}; find what kills them (memory, a crash in the tool) before it runs again"
        raise WorkerLostError(msg) from reason
    return made.result()


def _is_dask(executor: Executor) -> bool:
    module = sys.modules.get("distributed.cfexecutor")  # without it there is no such executor
    return module is not None and isinstance(executor, module.ClientExecutor)


def _is_killed_worker(error: BaseException) -> bool:
    module = sys.modules.get("distributed.scheduler")
    return module is not None and isinstance(error, module.KilledWorker)


def _abroad(config: Mapping[str, Any]) -> dict[str, Any]:
    """A `RunnableConfig` as other processes get it: without callbacks, and without what LangGraph keeps in it."""
    kept = {key: value for key, value in config.items() if key in _ABROAD}
    kept["configurable"] = {k: v for k, v in config.get("configurable", {}).items() if not k.startswith("__")}
    return kept


def _refuse_what_stays_here(tool: BaseTool, function: Callable[..., Any], hints: Mapping[str, Any]) -> None:
    refused = [name for name, hint in hints.items() if name == "runtime" or _mentions(hint)]
    for name, parameter in inspect.signature(function).parameters.items():
        if name in {"callbacks", "run_manager"} and parameter.default is inspect.Parameter.empty:
            refused.append(name)
    if refused:
        msg = (
            f"tool {tool.name!r} cannot run in another process: it asks for {', '.join(map(repr, refused))}, and "
            "stores, `ToolRuntime` and callbacks belong to this one; take `InjectedState` or `RunnableConfig`, which "
            "cross, or leave it here: name the tools that are to run there, as in executor={'name': executor}"
        )
        raise ConfigurationError(msg)


def _mentions(hint: Any) -> bool:
    """Whether an annotation asks for a store or a runtime."""
    kind = get_origin(hint) or hint
    if isinstance(hint, InjectedStore):
        return True
    if isinstance(kind, type) and issubclass(kind, ToolRuntime | InjectedStore | BaseStore):
        return True
    return any(_mentions(part) for part in get_args(hint))


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError):  # names only known to a type checker; a partial or a callable object
        return {}
