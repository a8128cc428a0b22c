"""A function whose calls are made in the workers of an executor: submitted, awaited, taken back, read.

`call` does what is done on both sides; here is what only this side does, and all that is peculiar to Dask.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from typing import Any, cast
from uuid import uuid4

from llmcompiler_graph.core.errors import ConfigurationError, ToolTransferError, WorkerLostError, described
from llmcompiler_graph.remote.call import CallResult, Located, make, pack, unpack

__all__ = ("RemoteFunction", "awaited")


class RemoteFunction:
    """A tool's function, called in other processes.

    Args:
        name: The tool's name.
        function: What is called.
        executor: Whose workers call it.
        repeatable: Whether a call may be made again if a worker died during it.

    Raises:
        ConfigurationError: Other processes cannot be given the function, or the executor cannot be used.
    """

    def __init__(self, name: str, function: Callable[..., Any], executor: Executor, *, repeatable: bool) -> None:
        self._name, self._executor = name, executor
        self._dask = _is_dask(executor)
        self._once = self._dask and not repeatable  # no other executor makes calls again by itself
        if self._dask and cast("Any", executor)._client.asynchronous:
            msg = "executor is that of an asynchronous Dask client: make one with Client(address), without asynchronous"
            raise ConfigurationError(msg)
        located = Located.of(function)
        if self._dask and getattr(function, "__module__", None) == "__main__":
            located = None  # theirs is another
        try:
            self._function = pack(located or function, by_value=self._dask)
        except Exception as error:
            msg = (
                f"tool {name!r} cannot run in {type(executor).__name__}: other processes cannot be given its function "
                f"({error}); define it at the top of a module, or leave it here: name the tools that are to run there, "
                "as in tool_executor={'name': executor}"
            )
            raise ConfigurationError(msg) from error

    async def call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Make a call; return what the function returned.

        Raises:
            ToolTransferError: An argument, the value or the exception cannot be carried.
            WorkerLostError: The worker died, or the executor was closed.
            BaseException: What the function raised.
        """
        packed = self._packed(args, kwargs)
        return self._read(await (self._made_once(packed) if self._once else self._made(packed)))

    def _packed(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        try:
            return pack((tuple(args), dict(kwargs)), by_value=self._dask)
        except Exception as error:
            for name, value in [*enumerate(args, 1), *kwargs.items()]:
                try:
                    pack(value, by_value=self._dask)
                except Exception as reason:
                    msg = f"tool {self._name!r}: the argument {name!r} cannot be carried to its executor: {reason}"
                    raise ToolTransferError(msg) from reason
            msg = f"tool {self._name!r}: its arguments cannot be carried to its executor: {error}"
            raise ToolTransferError(msg) from error

    async def _made_once(self, packed: bytes) -> CallResult:
        """Make a call that begins at most once: a queue at Dask's scheduler holds one leave to begin it."""
        from distributed import Queue

        name, client = f"llmcompiler-{uuid4().hex}", cast("Any", self._executor)._client

        def give_leave() -> Queue:
            queue = Queue(name, client)
            queue.put(True)
            return queue

        def forget(queue: Queue) -> None:
            if client.status == "running":
                queue.close()

        giving = asyncio.ensure_future(asyncio.to_thread(give_leave))
        try:
            queue = await asyncio.shield(giving)
        except asyncio.CancelledError:
            giving.add_done_callback(lambda given: forget(given.result()))
            raise
        return await self._made(packed, name, lambda: forget(queue))

    async def _made(self, packed: bytes, once: str | None = None, end: Callable[[], None] | None = None) -> CallResult:
        settings: dict[str, Any] = {"by_value": self._dask, "once": once}
        if self._dask:  # each call is one of its own: Dask would make equal ones once
            settings |= {"key": f"{self._name}-{uuid4().hex}", "pure": False}
        try:
            outcome = await awaited(self._name, self._executor, make, self._function, packed, end=end, **settings)
        except WorkerLostError:
            raise
        except Exception as error:
            msg = (
                f"tool {self._name!r}: {type(self._executor).__name__} could not make the call: "
                f"{described(error)}; its workers need this package and the tool's code, as they are here"
            )
            raise ToolTransferError(msg) from error
        return cast("CallResult", outcome)

    def _read(self, outcome: CallResult) -> Any:
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
            case "unserializable":
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


async def awaited(
    name: str,
    executor: Executor,
    function: Callable[..., Any],
    *args: Any,
    end: Callable[[], None] | None,
    **kwargs: Any,
) -> Any:
    """Submit a call to an executor, wait for it, and return what it returns; if the wait is cancelled, take it back.

    Args:
        name: The tool's name.
        executor: Where the call is made.
        function: What is called there.
        *args: Submitted with it.
        end: Called once it is over.
        **kwargs: Submitted with it.

    Raises:
        WorkerLostError: The worker died, or the executor was closed.
        BaseException: What the call raised.
    """
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
        if _is_dask(executor):
            loop.run_in_executor(None, take_back, future)  # it waits for its scheduler
        else:  # at once: in a thread of its own it could come too late, and the call begin
            take_back(future)
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
