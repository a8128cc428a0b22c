"""Turns whatever a tool or a human gives into a JSON value that any checkpointer stores, or says why it cannot.

A value may be nested `MAX_DEPTH` deep, and hold `MAX_ELEMENTS` values and `MAX_CHARACTERS` characters. Iterators are
read up to these limits. What is large, or runs code of its own when it is read (an iterator, a model, a subclass of
`list`), is written in a thread, which is given up as a synchronous tool's is: a tool's time limit counts meanwhile.
Models, dataclasses, arrays, dates and so on become what JSON has for them, bytes text or base64; of an object that JSON
has nothing for, its `str()` is kept.

>>> import datetime, itertools
>>> written({"at": datetime.date(2020, 1, 2), "sizes": (n * n for n in range(3))})
{'at': '2020-01-02', 'sizes': [0, 1, 4]}
>>> written(itertools.count())
Traceback (most recent call last):
llmcompiler_graph.core.errors.ObservationError: it has more than 1,000,000 elements
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import threading
from collections import UserString
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set,
    Sized,
    ValuesView,
)
from contextlib import closing, nullcontext, suppress
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from io import IOBase
from typing import Any, NoReturn, cast
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_jsonable_python

from llmcompiler_graph.concurrency.threads import in_thread
from llmcompiler_graph.core.errors import ObservationError, described
from llmcompiler_graph.core.language.json_text import JSON, MAX_CHARACTERS, MAX_DEPTH, cut
from llmcompiler_graph.core.language.substitution import joined_surrogates
from llmcompiler_graph.state import storable

__all__ = ("MAX_ELEMENTS", "awritten", "shortened", "written")

MAX_ELEMENTS = 1_000_000
"""How many values an observation may hold, lists and objects included."""
MAX_ERROR = 100_000
"""How many characters of an error's text are kept."""

_ELEMENTS_ON_LOOP, _CHARACTERS_ON_LOOP = 2_000, 200_000  # a few milliseconds
_ANY: TypeAdapter[Any] = TypeAdapter(Any)


def written(value: Any, given_up: Callable[[], bool] | None = None) -> JSON:
    """Write a value as JSON, in this thread.

    Args:
        value: The value.
        given_up: Says whether nobody waits for it any more: an iterator is then read no further.

    Raises:
        ObservationError: It is too large, too deep, holds itself, or cannot be read; the message says which.
    """
    return _Writer(MAX_ELEMENTS, MAX_CHARACTERS, given_up).written(value)


async def awritten(value: Any, tool: str) -> JSON:
    """Write a value as JSON; in a thread, unless it is small and nothing but Python's own types.

    Args:
        value: The value.
        tool: The tool that gave it, for the warning if its thread is given up.

    Raises:
        ObservationError: It is too large, too deep, holds itself, or cannot be read; the message says which.
    """
    if issubclass(type(value), AsyncIterator):
        value = await _gathered(value)
    try:
        return _Writer(_ELEMENTS_ON_LOOP, _CHARACTERS_ON_LOOP, on_loop=True).written(value)
    except _Elsewhere:
        given_up = threading.Event()
        try:
            return await in_thread(tool, written, value, given_up.is_set)
        finally:
            given_up.set()


async def _gathered(values: AsyncIterator[Any]) -> list[Any]:
    gathered: list[Any] = []
    try:
        async for each in values:
            gathered.append(each)
            if len(gathered) > MAX_ELEMENTS:
                _refuse_elements()
    except (ObservationError, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # also what would end the event loop
        msg = f"reading it raised {described(error)}"
        raise ObservationError(msg) from error
    finally:
        if (close := getattr(values, "aclose", None)) is not None:
            await close()
    return gathered


def shortened(text: str) -> str:
    """An error's text, of a length that can be kept, as text that can be stored."""
    return str(storable(cut(text, MAX_ERROR)))


class _Elsewhere(Exception):
    """The value cannot be written on the event loop: it is large, or may run code of its own."""


class _Writer:
    """Writes one value, and counts what it has.

    Args:
        elements: How many values it may have.
        characters: How many characters they may have.
        given_up: Says whether nobody waits for it any more.
        on_loop: Whether to raise `_Elsewhere` at a limit, and at what may run code of its own.
    """

    def __init__(
        self, elements: int, characters: int, given_up: Callable[[], bool] | None = None, *, on_loop: bool = False
    ) -> None:
        self._most_elements, self._most_characters = elements, characters
        self._elements = self._characters = 0
        self._given_up = given_up
        self._on_loop = on_loop
        self._holders: set[int] = set()  # what is being written, outermost to innermost
        self._streams = 0  # iterators that were read: there is nothing left in them

    def written(self, value: Any) -> JSON:
        try:
            return self.write(value)
        except (ObservationError, _Elsewhere):
            raise
        except BaseException as error:
            if threading.current_thread() is threading.main_thread() and not isinstance(error, Exception):
                raise  # Ctrl-C
            raise ObservationError(f"writing it as JSON raised {described(error)}") from error

    def write(self, value: Any) -> JSON:
        if self._elements >= self._most_elements:
            self._expect(1, 0)
        self._elements += 1
        if type(value) is str:  # what there is most of comes first: a value may have a million of these
            return self._text(value)
        if type(value) is float or (type(value) is int and -(2**63) <= value < 2**63):
            return cast("JSON", value)
        if self._on_loop and type(value) not in _PLAIN:
            raise _Elsewhere
        match value:
            case None | bool():
                return value
            case Enum():
                return self.write(value.value)
            case str():
                return self._text(value)
            case int():
                return self._number(int(value))
            case float():
                return float(value)
            case Decimal():
                return float(value)
            case bytes() | bytearray() | memoryview():
                self._expect(0, len(value))
                return self._text(_decoded(bytes(value)))
            case Mapping():
                with _Held(self._holders, value):
                    return {self._key(key): self.write(each) for key, each in self._read(value.items())}
            case UserString():
                return self._text(value.data)
            case Sequence() | Set() | ValuesView():
                with _Held(self._holders, value):
                    return [self.write(each) for each in self._read(value)]
            case Iterator():
                self._streams += 1
                with _Held(self._holders, value), closing(value) if isinstance(value, Generator) else nullcontext():
                    return [self.write(each) for each in self._read(_bounded(value))]
            case _:
                return self._object(value)

    def _expect(self, elements: int, characters: int) -> None:
        """Refuse what would be too much before it is read."""
        if self._elements + elements > self._most_elements:
            if self._on_loop:
                raise _Elsewhere
            _refuse_elements()
        if self._characters + characters > self._most_characters:
            if self._on_loop:
                raise _Elsewhere
            msg = f"its texts have more than {MAX_CHARACTERS:,} characters"
            raise ObservationError(msg)

    def _text(self, text: str) -> str:
        self._characters += len(text)
        if self._characters > self._most_characters:
            self._expect(0, 0)
        return joined_surrogates(str(text))

    def _number(self, number: int) -> JSON:
        if number.bit_length() > 10_000:  # Python refuses to write such numbers: it takes quadratic time
            msg = f"it holds a whole number of {number.bit_length():,} bits"
            raise ObservationError(msg)
        return storable(number)

    def _key(self, key: Any) -> str:
        if self._on_loop and type(key) not in _PLAIN_KEYS:
            raise _Elsewhere
        if isinstance(key, str):
            return self._text(key)
        try:
            (name,) = to_jsonable_python({key: None})
        except Exception:
            name = _said(key)
        return self._text(name)

    def _read(self, values: Iterable[Any]) -> Iterator[Any]:
        """Yield what a holder holds, as far as anybody waits for it."""
        if isinstance(values, Sized):
            self._expect(_length(values), 0)
        try:
            for each in values:
                if self._given_up is not None and self._given_up():
                    msg = "nobody waits for it any more"
                    raise ObservationError(msg)
                yield each
        except (ObservationError, _Elsewhere):
            raise
        except Exception as error:
            msg = f"reading it raised {described(error)}"
            raise ObservationError(msg) from error

    def _object(self, value: Any) -> JSON:
        if isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
            with _Held(self._holders, value):
                return self._model(value)
        if inspect.isawaitable(value) or isinstance(value, AsyncIterator):
            if inspect.iscoroutine(value):
                value.close()  # else Python warns that it was never awaited
            msg = f"it holds {type(value).__name__!r}, which must be awaited: an asynchronous tool awaits it itself"
            raise ObservationError(msg)
        if callable(as_list := getattr(value, "tolist", None)):  # arrays and numbers of NumPy and others
            self._expect(_size(value), 0)
            if type(held := as_list()) in _HELD:
                return self.write(held)
        try:
            known = to_jsonable_python(value)
        except Exception:  # nothing that pydantic knows
            known = _said(value)
        return self.write(known)

    def _model(self, value: Any) -> JSON:
        """Write a model as its own serializers do, but a `Decimal` that they write as text as a number."""
        try:
            fields = _ANY.dump_python(value, by_alias=True, warnings=False)
        except Exception as error:
            msg = f"{type(value).__name__!r} cannot be written: {described(error)}"
            raise ObservationError(msg) from error
        before = self._streams
        plain = self.write(fields)  # within the limits
        if self._streams == before:
            with suppress(Exception):  # bytes that are no text: `plain` has them as base64
                return storable(_with_floats(to_jsonable_python(value, fallback=_held), fields))
        return plain


class _Held:
    """While a value's elements are written: it is not among them, and not too deep."""

    def __init__(self, holders: set[int], value: Any) -> None:
        self._holders, self._id = holders, id(value)

    def __enter__(self) -> None:
        if self._id in self._holders:
            msg = "it holds itself"
            raise ObservationError(msg)
        if len(self._holders) >= MAX_DEPTH:
            msg = f"it is nested more than {MAX_DEPTH} deep"
            raise ObservationError(msg)
        self._holders.add(self._id)

    def __exit__(self, *_: object) -> None:
        self._holders.discard(self._id)


_PLAIN_KEYS = frozenset((str, int, float, bool, type(None), bytes))
_PLAIN = _PLAIN_KEYS | {list, tuple, dict, set, frozenset, bytearray, datetime, date, time, timedelta, UUID, Decimal}
"""Types that run nothing but Python's own code when they are read."""
_HELD = (list, str, int, float, bool, complex)  # what `tolist` of a true array gives


def _refuse_elements() -> NoReturn:
    msg = f"it has more than {MAX_ELEMENTS:,} elements"
    raise ObservationError(msg)


def _length(values: Sized) -> int:
    try:
        return len(values)
    except OverflowError:  # a `range` without end
        return MAX_ELEMENTS + 1


def _bounded(values: Iterator[Any]) -> Iterator[Any]:
    """Iterate over a file by lines that end, were it a device without any; over everything else as it does itself."""
    if isinstance(values, IOBase):
        return iter(lambda: values.readline(MAX_CHARACTERS + 1) or None, None)
    return values


def _size(array: Any) -> int:
    """How many numbers an array has."""
    size = getattr(array, "size", 0)
    if callable(size):  # PyTorch
        size = getattr(array, "numel", int)()
    return size if isinstance(size, int) else 0


def _decoded(given: bytes) -> str:
    """Bytes as text if they are text, else as base64."""
    try:
        return given.decode()
    except UnicodeDecodeError:
        return base64.b64encode(given).decode()


def _said(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:
        msg = f"{type(value).__name__!r} is no JSON, and its __str__ raised {type(error).__name__}"
        raise ObservationError(msg) from error


def _held(value: Any) -> Any:
    """What an object in a model holds, if it is an array or a number of NumPy; else what it says."""
    as_list = getattr(value, "tolist", None)
    return held if callable(as_list) and type(held := as_list()) in _HELD else _said(value)


def _with_floats(own: JSON, fields: Any) -> JSON:
    """Make floats of the `Decimal`s in a model, which are written as text; what its own serializers write stays."""
    match own, fields:
        case str(), Decimal() if own == str(fields):
            return float(fields)
        case dict(), dict() if len(own) == len(fields):
            return {key: _with_floats(each, fields[of]) for (key, each), of in zip(own.items(), fields, strict=True)}
        case list(), Set():  # may be written in another order
            texts = [(to_jsonable_python(each, fallback=_held), each) for each in fields]
            numbers = {json.dumps(text): _with_floats(text, each) for text, each in texts}
            return [numbers.get(json.dumps(each), each) for each in own]
        case list(), Sequence() if len(own) == len(fields):
            return [_with_floats(each, of) for each, of in zip(own, fields, strict=True)]
        case _:
            return own
