"""One call of a tool's function in another process: packed into bytes here, made there, its outcome packed there.

The bytes are written and read by this module on both sides, never by the executor. So what cannot be carried is an
error of that one call, with the reason; a process pool that meets it by itself breaks, and every call in it is lost.

>>> from operator import add
>>> unpack(make(pack(Located.of(add)), pack(((1, 2), {})), by_value=False).packed)
3

May know: `errors`.
"""

from __future__ import annotations

import importlib
import pickle
import traceback
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from langchain_core.tools import BaseTool

from llmcompiler_graph.core.errors import described

__all__ = ("CallResult", "Located", "make", "pack", "unpack")


class CallResult(NamedTuple):
    """What a call came to, over there."""

    kind: Literal["returned", "raised", "unserializable", "unloadable", "repeated"]
    """`unserializable`: what it returned cannot be carried; `unloadable`: the function or its arguments could not be
    read; `repeated`: it had been begun before, and was not made."""
    packed: bytes = b""
    """The value, or the exception; nothing if that cannot be carried."""
    text: str = ""
    """What went wrong, in words."""


class Located:
    """A function as the place where it stands: it is imported where it is unpacked.

    Pickle does so too, but not for a function that `@tool` has put a tool in the place of.
    """

    def __init__(self, module: str, qualname: str) -> None:
        self._where = module, qualname

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Located | None:
        """Locate a function; `None` if it is not found where it says it stands (closures, lambdas, methods)."""
        module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
        if module is None or qualname is None:
            return None
        try:
            return cls(module, qualname) if _found(module, qualname) is function else None
        except (ImportError, AttributeError):
            return None

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return _found, self._where


def _found(module: str, qualname: str) -> Any:
    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return getattr(found, "func", found) if isinstance(found, BaseTool) else found  # `@tool` made a tool of it


def pack(value: Any, *, by_value: bool = False) -> bytes:
    """Write a value as bytes.

    Args:
        value: Anything that can be pickled.
        by_value: Whether functions and classes that cannot be imported are written out, by cloudpickle.

    Raises:
        Exception: It cannot be pickled; `pickle` raises whatever it likes.
    """
    if by_value:
        import cloudpickle

        return bytes(cloudpickle.dumps(value))
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def unpack(packed: bytes) -> Any:
    """Read what `pack` wrote."""
    return pickle.loads(packed)


_function = lru_cache(maxsize=256)(unpack)
"""A function is read once in each process: what it keeps (a loaded model, a cache) serves the next call."""


def make(function: bytes, arguments: bytes, *, by_value: bool, once: str | None = None) -> CallResult:
    """Make a call, in the executor's worker.

    Args:
        function: The packed function.
        arguments: Its packed arguments: a tuple and a dictionary.
        by_value: As in `pack`.
        once: The name of the Dask queue that lets this call begin one time only, whatever becomes of workers.
    """
    try:
        call = _function(function)
        args, kwargs = unpack(arguments)
    except Exception as error:
        return CallResult("unloadable", text=described(error))
    if once is not None and not _first_time(once):
        return CallResult("repeated")
    try:
        value = call(*args, **kwargs)
    except (Exception, SystemExit) as error:
        return _raised(error, by_value=by_value)
    try:
        return CallResult("returned", pack(value, by_value=by_value))
    except Exception as error:
        return CallResult("unserializable", text=f"{type(value).__qualname__}: {error}")


def _raised(error: BaseException, *, by_value: bool) -> CallResult:
    told = described(error)
    try:
        error.add_note(f"It was raised in another process:\n{traceback.format_exc()}")
        packed = pack(error, by_value=by_value)
        again = unpack(packed)  # many exceptions can be packed but not unpacked, or say something else then
    except Exception:
        return CallResult("raised", text=told)
    same = type(again) is type(error) and described(again) == told
    return CallResult("raised", packed if same else b"", told)


def _first_time(name: str) -> bool:
    """Whether a call begins here for the first time: whoever comes first finds something in the queue of its name.

    Dask makes the calls of a dead worker again, and those whose results died with it.
    """
    from distributed import Queue

    queue = Queue(name)
    try:
        return bool(queue.get(batch=True))  # all there is, without waiting
    finally:
        queue.close()
