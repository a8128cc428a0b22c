"""The threads of synchronous tools: made as needed, used again, replaced where a call was given up.

A thread cannot be stopped from outside. A call that is given up (out of time, or its run was cancelled) keeps its
thread until it returns, perhaps for ever. So such a thread no longer counts: a new one takes its place, and a warning
says which tools hold how many. All threads are daemons, so that a process can end while a tool hangs.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor, Future
from contextlib import suppress
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, TypeVar, cast

__all__ = ("NoThreadLeftError", "in_thread", "wrapped_in_thread")

T = TypeVar("T")

_MOST = 256
"""Calls that run at a time, at each depth."""
_MOST_HELD = 4096
"""Threads that may be held by calls that were given up: further calls fail."""
_FIRST_TOLD = 16
"""How many threads are held when the first warning says so; the next does at twice as many, and so on."""

_depth: ContextVar[int] = ContextVar("llmcompiler_depth", default=0)  # how many callers are in such threads themselves


class NoThreadLeftError(RuntimeError):
    """A call was not begun, because there is no thread for it."""


async def in_thread(name: str, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Call a function in a thread, in the caller's context; if the caller is cancelled, the call is given up.

    A function that waits for such threads itself (a tool that calls a graph) waits for other threads than those its
    callers are in.

    Args:
        name: Whose function it is, for warnings: a tool's name.
        function: The function.
        args: Its arguments.
        kwargs: Its arguments by name.

    Raises:
        NoThreadLeftError: Too many are held by calls that were given up, or the system has no more.
        Exception: What the function raised.
    """
    depth, context = _depth.get(), copy_context()
    context.run(_depth.set, depth + 1)
    call = partial(context.run, function, *args, **kwargs)
    return cast("T", await asyncio.get_running_loop().run_in_executor(_Submitting(_pool(depth), name), call))


class _Job(Future[Any]):
    """A call that is to be made, is made, or was given up."""

    def __init__(self, pool: _Pool, name: str, call: Callable[[], Any]) -> None:
        super().__init__()
        self.pool, self.name, self.call = pool, name, call

    def cancel(self) -> bool:
        """Take the call back if it has not begun; else give it up."""
        if super().cancel():
            return True
        self.pool.give_up(self)
        return False


class _Held:
    """Threads that calls hold which were given up."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_name: Counter[str] = Counter()
        self._tell_at = _FIRST_TOLD

    def __str__(self) -> str:
        named = [f"{name!r} ({count})" for name, count in self.by_name.most_common(10)]
        named += [f"{len(self.by_name) - 10} more"] if len(self.by_name) > 10 else []
        total = self.by_name.total()
        return f"{total} threads are held by calls that were given up and have not returned, of {', '.join(named)}"

    def add(self, name: str) -> bool:
        """Note one more; return whether it is time to say so. Call it with the lock."""
        self.by_name[name] += 1
        if told := self.by_name.total() >= self._tell_at:
            self._tell_at *= 2
        return told

    def remove(self, name: str) -> None:
        """Note that one has returned. Call it with the lock."""
        self.by_name[name] -= 1
        if not self.by_name[name]:
            del self.by_name[name]
        if not self.by_name:
            self._tell_at = _FIRST_TOLD


_ADVICE = "a synchronous tool cannot be stopped: give it time limits of its own (of its requests), or make it async"


class _Pool:
    """The threads of one depth."""

    def __init__(self, held: _Held) -> None:
        self._held = held
        self._waiting: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._running: set[_Job] = set()
        self._unfinished = 0  # calls that wait or run, but for those that were given up
        self._threads = 0  # but for those that are held

    def submit(self, name: str, call: Callable[[], Any]) -> _Job:
        job = _Job(self, name, call)
        with self._held.lock:
            if self._held.by_name.total() >= _MOST_HELD:
                msg = f"no thread is left for {name!r}: {self._held}; {_ADVICE}"
                raise NoThreadLeftError(msg)
            self._unfinished += 1
            try:
                self._start_threads()
            except NoThreadLeftError:
                self._unfinished -= 1
                raise
            self._waiting.put(job)
        return job

    def give_up(self, job: _Job) -> None:
        """Stop counting a call that runs, and let others have a thread in its place."""
        with self._held.lock:
            if job not in self._running:
                return
            self._running.discard(job)
            self._unfinished -= 1
            self._threads -= 1
            tell = self._held.add(job.name)
            with suppress(NoThreadLeftError):  # who waits for a thread goes on waiting
                self._start_threads()
            told = f"{self._held}; new calls get new threads; {_ADVICE}" if tell else ""
        if told:
            warnings.warn(told, RuntimeWarning, stacklevel=2)

    def _start_threads(self) -> None:
        if self._threads >= min(self._unfinished, _MOST):
            return
        thread = threading.Thread(target=self._work, name="llmcompiler-tool", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._threads:  # else one of these will make the call
                msg = f"the system gives no thread for a synchronous tool: {error}"
                raise NoThreadLeftError(msg) from error
        else:
            self._threads += 1

    def _work(self) -> None:
        while self._make(self._waiting.get()):  # no name keeps a call, or what it returned, until the next one
            pass

    def _make(self, job: _Job) -> bool:
        """Make a call, unless it was taken back; return whether its thread counts, as the call was not given up."""
        with self._held.lock:
            if not job.set_running_or_notify_cancel():
                self._unfinished -= 1
                return True
            self._running.add(job)
        try:
            result = job.call()
        except BaseException as error:  # raised again where the call is awaited
            counts = self._finished(job)
            job.set_exception(error)
        else:
            counts = self._finished(job)
            job.set_result(result)
        return counts

    def _finished(self, job: _Job) -> bool:
        """Note that a call has returned; return whether its thread counts, as it was not given up."""
        with self._held.lock:
            if job not in self._running:
                self._held.remove(job.name)
                return False
            self._running.discard(job)
            self._unfinished -= 1
            return True


class _Submitting(Executor):
    """A pool for the calls of one tool, in the form that event loops take."""

    def __init__(self, pool: _Pool, name: str) -> None:
        self._pool, self._name = pool, name

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._pool.submit(self._name, partial(call, *args, **kwargs))


class _Pools:
    def __init__(self) -> None:
        self.held = _Held()
        self.by_depth: dict[int, _Pool] = {}


_pools = _Pools()


def _pool(depth: int) -> _Pool:
    with _pools.held.lock:
        return _pools.by_depth.setdefault(depth, _Pool(_pools.held))


def _forget() -> None:
    global _pools  # noqa: PLW0603 (the threads of the old ones stay behind in the parent)
    _pools = _Pools()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


async def wrapped_in_thread(
    name: str, wrap: Callable[[Any, Callable[[Any], Any]], Any], request: Any, execute: Callable[[Any], Awaitable[Any]]
) -> Any:
    """Call a synchronous wrapper, in a thread, around something that is awaited on the loop.

    Args:
        name: What the wrapper is around, as warnings call it.
        wrap: It is given the request, and what executes one.
        request: The request.
        execute: Executes one.
    """
    loop = asyncio.get_running_loop()
    under_way: list[Future[Any]] = []
    left = threading.Event()

    def execute_on_loop(each: Any) -> Any:
        future = asyncio.run_coroutine_threadsafe(cast("Coroutine[Any, Any, Any]", execute(each)), loop)
        under_way.append(future)
        if left.is_set():  # whoever left may not have seen it
            future.cancel()
        return future.result()

    try:
        return await in_thread(name, wrap, request, execute_on_loop)
    finally:
        left.set()
        for future in under_way:
            future.cancel()
