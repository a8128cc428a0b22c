r"""Native tool calls to plan text, piece by piece: one line per call, so that the parser and all after it are the same.

Models tuned on tool calling write `{"task": 3, "a": "$1", "b": "${2.items[0].id}"}` instead of `3. subtract($1, …)`.
The `task` of a call is its index, `after` holds the tasks it waits for, all else are arguments, and strings may refer
to earlier tasks as they may in plan text.

>>> calls = ToolCallText(first=1)
>>> calls.feed(Piece("search", '{"task": 1, "que', position=0))
''
>>> calls.feed(Piece("", 'ry": "K2"}', position=0))
'1. search(query="K2")\n'
>>> calls.feed(Piece("subtract", '{"task": 2, "a": "$1.height_m", "b": 8000, "after": [1]}', position=1))
'2. subtract(a="${1.height_m}", b=8000) after $1\n'

A call is complete, and can start, at the brace that closes its arguments; else when the next one begins. What is no
JSON (`{"a": $1}`, or a string that is never closed) is written as it stands: the parser reads it or says what is wrong.

May know: `json_text`, `references`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from llmcompiler_graph.core.language.json_text import read_json
from llmcompiler_graph.core.language.references import IDENTIFIER, joined_surrogates

__all__ = ("Piece", "ToolCallText")

_BARE_PATH = re.compile(r"\$(\d{1,9})((?:\.[^\W\d]\w*|\[(?:-?\d{1,9}|\*|\"[^\"\\]*\"|'[^'\\]*')\])+)")
_DIGITS = re.compile(r"\d{1,9}")


class Piece(NamedTuple):
    """A piece of a streamed tool call."""

    name: str
    """The tool's name, in the call's first piece; then empty."""
    arguments: str
    """A piece of the JSON of its arguments."""
    position: int | str | None = None
    """Tells the calls of one message apart; `None` where each piece with a name is a whole call."""
    call_id: str = ""
    """The provider's id of the call, in its first piece."""


@dataclass(slots=True)
class _Call:
    name: str
    position: int | str | None
    call_id: str
    arguments: str = ""
    depth: int = 0  # `{` less `}`, strings included: 0 only suggests that the JSON is complete
    written: bool = False


class ToolCallText:
    """Writes the calls of one message as plan text.

    Args:
        first: The index of the first call that has none; each further one's is the next number.
        task: The argument that holds a call's index.
        after: The argument that holds the tasks a call waits for.
        names: The tools' own names by those the model knows them by, where they differ.
    """

    def __init__(
        self, first: int, task: str = "task", after: str = "after", *, names: Mapping[str, str] | None = None
    ) -> None:
        self._next = first
        self._task = task
        self._after = after
        self._names = names or {}
        self._call: _Call | None = None

    def feed(self, piece: Piece) -> str:
        """Take a piece of a call; return the lines of the calls it completes."""
        lines, call = "", self._call
        if call is None or self._begins(piece, call):
            lines = self.close()
            call = self._call = _Call(piece.name, piece.position, piece.call_id)
        elif call.written and piece.arguments.strip():  # `{…}{…}`: the same tool once more
            call = self._call = _Call(call.name, call.position, call.call_id)
        else:
            call.name += piece.name
        call.arguments += piece.arguments
        call.depth += piece.arguments.count("{") - piece.arguments.count("}")
        closed = call.depth == 0 and call.arguments.rstrip().endswith("}")
        if closed and not call.written and _read(call.arguments) is not None:
            lines += self.close()
        return lines

    def close(self) -> str:
        """Say that the call is complete; return its line, if it has not been returned yet."""
        call = self._call
        if call is None or call.written:
            return ""
        call.written = True
        return self._line(call) + "\n"

    @staticmethod
    def _begins(piece: Piece, call: _Call) -> bool:
        """Whether a piece is the first of another call; some servers number all calls 0."""
        if piece.position is None:
            return bool(piece.name)
        return piece.position != call.position or bool(piece.call_id and piece.call_id != call.call_id)

    def _line(self, call: _Call) -> str:
        match _read(call.arguments or "{}"):
            case dict() as arguments:
                index = _DIGITS.search(str(arguments.pop(self._task, "")))
                after = _DIGITS.findall(json.dumps(arguments.pop(self._after, None)))
                written = _written_arguments(arguments)
            case None:  # no JSON
                field = rf"""["']?{re.escape(self._task)}["']?\s*:\s*["']?(\d{{1,9}})["']?\s*,?\s*"""
                index, after = re.search(field, call.arguments), []
                text = re.sub(field, "", call.arguments, count=1)
                written = " ".join(text.split("\n")).strip()
            case other:  # `"K2"`, `["K2"]`: a model forgot the names
                index, after, written = None, [], _written(other)
        number = int(index[index.lastindex or 0]) if index else self._next
        self._next = number + 1
        following = " after " + ", ".join(f"${n}" for n in after) if after else ""
        return f"{number}. {self._names.get(call.name, call.name)}({written}){following}"


def _read(text: str) -> Any:
    """Read JSON in which strings may hold line breaks; `None` if it is none."""
    try:
        return read_json(text, strict=False)
    except ValueError:
        return None


def _written_arguments(arguments: Mapping[str, Any]) -> str:
    if all(map(IDENTIFIER.fullmatch, arguments)):
        return ", ".join(f"{name}={_written(value)}" for name, value in arguments.items())
    return _written(arguments)


def _written(value: Any) -> str:
    """Write a JSON value as plan text; `"$1.id"` alone is a reference with a path, as it is where it stands bare."""
    match value:
        case str():
            path = _BARE_PATH.fullmatch(value)
            return _quoted(f"${{{path[1]}{path[2]}}}" if path else value)
        case list():
            return f"[{', '.join(map(_written, value))}]"
        case dict():
            return "{" + ", ".join(f"{_quoted(key)}: {_written(each)}" for key, each in value.items()) + "}"
        case _:
            return json.dumps(value)


def _quoted(text: str) -> str:
    return joined_surrogates(json.dumps(text, ensure_ascii=False))  # a half alone cannot stand in a plan
