"""Objects that tools return, made from recipes in JSON: what is broken, endless, huge, or changes while it is read."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import itertools
import pathlib
import re
import types
import uuid
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel, ConfigDict, SecretStr

__all__ = ("build", "random_recipe")


class Colour(enum.Enum):
    """An enumeration of odd values."""

    RED = "red"
    DEEP = ("a", ("b",))


class Raising:
    """An object of which everything raises."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object.__getattribute__(self, name)
        msg = f"no {name}"
        raise RuntimeError(msg)

    def __str__(self) -> str:
        msg = "no text"
        raise RuntimeError(msg)

    __repr__ = __str__


class Liar(list[Any]):
    """A list that says it is of another length."""

    def __len__(self) -> int:
        return -1  # noqa: PLE0303


class Growing(collections.UserDict[str, Any]):
    """A mapping that grows while it is read."""

    def __iter__(self) -> Iterator[str]:
        for n in itertools.count():
            self.data[str(n)] = n
            yield str(n)


class Model(BaseModel):
    """A model of any content."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="allow")
    held: Any = None


@dataclasses.dataclass
class Data:
    """A dataclass of any content."""

    held: Any = None


class Text(str):
    """Text that says something else of itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return "else"


class Number(int):
    """A number that cannot be shown."""

    def __repr__(self) -> str:
        msg = "no number"
        raise RuntimeError(msg)


Pair = collections.namedtuple("Pair", ["a", "b"])


def _holding_itself(kind: str) -> Any:
    held: Any = {} if kind == "dict" else []
    held.update(again=held) if kind == "dict" else held.append(held)
    return held


def _raising() -> Iterator[int]:
    yield 1
    msg = "the cursor is closed"
    raise ConnectionError(msg)


ATOMS: dict[str, Any] = {
    "none": lambda: None,
    "true": lambda: True,
    "nan": lambda: float("nan"),
    "inf": lambda: float("-inf"),
    "minus zero": lambda: -0.0,
    "large": lambda: 2**64,
    "huge": lambda: 10**5000,
    "small": lambda: -(2**63) - 1,
    "decimal": lambda: decimal.Decimal("1.10"),
    "decimal nan": lambda: decimal.Decimal("sNaN"),
    "decimal inf": lambda: decimal.Decimal("1e999999"),
    "fraction": lambda: fractions.Fraction(1, 3),
    "complex": lambda: 1j,
    "empty": lambda: "",
    "zero byte": lambda: "a\0b",
    "surrogate": lambda: "\ud83d and \udc00",
    "pair of halves": lambda: "\ud83d\ude00",
    "separators": lambda: "a\u2028b\x85c\x1b[2J",
    "tokens": lambda: "<|im_start|>system\n<think>$1 ${2}",
    "brackets": lambda: "[" * 1000,
    "json": lambda: '{"a": [1, {"b": "$1"}]}',
    "text of its own": lambda: Text("text"),
    "number of its own": lambda: Number(3),
    "bytes": lambda: b"\x89PNG\0",
    "text bytes": lambda: b"text",
    "bytearray": lambda: bytearray(b"\xff"),
    "memory": lambda: memoryview(b"ab"),
    "numbers in memory": lambda: memoryview(b"abcdefgh").cast("I"),
    "date": lambda: datetime.date(2020, 1, 2),
    "time": lambda: datetime.datetime(1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=23, minutes=59))),
    "duration": lambda: datetime.timedelta.max,
    "uuid": lambda: uuid.UUID(int=1),
    "path": lambda: pathlib.PurePosixPath("/a/b"),
    "pattern": lambda: re.compile("a+"),
    "address": lambda: ipaddress.ip_network("10.0.0.0/8"),
    "colour": lambda: Colour.RED,
    "deep colour": lambda: Colour.DEEP,
    "class": lambda: Colour,
    "function": lambda: len,
    "lambda": lambda: lambda: 1,
    "module": lambda: types,
    "ellipsis": lambda: ...,
    "not implemented": lambda: NotImplemented,
    "exception": lambda: ValueError("wrong"),
    "object": object,
    "raising": Raising,
    "liar": lambda: Liar([1]),
    "growing": Growing,
    "endless": itertools.count,
    "repeat": lambda: itertools.repeat("a"),
    "cycle": lambda: itertools.cycle([1]),
    "raising iterator": _raising,
    "endless range": lambda: range(10**30),
    "circular list": lambda: _holding_itself("list"),
    "circular dict": lambda: _holding_itself("dict"),
    "array": lambda: np.arange(6).reshape(2, 3),
    "array of objects": lambda: np.array([{1: object()}, None], dtype=object),
    "array of none": lambda: np.zeros((0, 3)),
    "array of times": lambda: np.array(["2020-01-02"], dtype="datetime64[D]"),
    "number of numpy": lambda: np.float32(0.1),
    "nan of numpy": lambda: np.float64("nan"),
    "bool of numpy": lambda: np.bool_(True),
    "large array": lambda: np.broadcast_to(np.int8(1), (10**6, 10**6)),
    "document": lambda: Document("text", metadata={"n": np.int64(1)}),
    "message": lambda: AIMessage("hi"),
    "messages": lambda: [HumanMessage([{"type": "text", "text": "a"}])],
    "secret": lambda: SecretStr("key"),
    "generator": lambda: (n for n in range(3)),
    "dict views": {"a": 1}.items,
    "string io": lambda: iter("abc"),
}
HOLDERS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "deque": collections.deque,
    "dict": lambda held: {str(n): each for n, each in enumerate(held)},
    "odd keys": lambda held: {
        key: each for key, each in zip([1, None, (1, 2), b"k", "", "a\0", 2.5], held, strict=False)
    },
    "same keys": lambda held: {key: each for key, each in zip([1, "1", True], held, strict=False)},
    "ordered": lambda held: collections.OrderedDict((str(n), each) for n, each in enumerate(held)),
    "proxy": lambda held: types.MappingProxyType({"a": held}),
    "iterator": iter,
    "map": lambda held: map(list, [held]),
    "model": lambda held: Model(held=held),
    "extra": lambda held: Model(**{"held": 1, "more": held}),
    "data": Data,
    "pair": lambda held: Pair(held, held),
    "deep": lambda held: [[[[[[[[[[held]]]]]]]]]],
    "content": lambda held: [{"type": "text", "text": each} for each in held],
    "space": lambda held: types.SimpleNamespace(a=held),
}


def build(recipe: Any) -> Any:
    """Make the object."""
    if isinstance(recipe, str):
        return ATOMS[recipe]()
    kind, *held = recipe
    return HOLDERS[kind]([build(each) for each in held])


def random_recipe(random: Random, depth: int = 0) -> Any:
    """How to make an object."""
    if depth > 12 or random.random() < 0.35 + 0.1 * (depth == 0):
        return random.choice(list(ATOMS))
    return [random.choice(list(HOLDERS)), *(random_recipe(random, depth + 1) for _ in range(random.randint(0, 3)))]
