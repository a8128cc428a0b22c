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

A call is complete, and can start, at the bracket that closes its arguments, once all calls that began before it are
complete too: references point backwards. Pieces of several calls may come in any order. Which call a piece belongs to
is told by its id, else by its position, else by its order; servers that number all calls 0, or send every call once
more at the end, are understood. What is no JSON (`{"a": $1}`, or a string that is never closed) is written as it
stands: the parser reads it or says what is wrong.

May know: `balance`, `json_arguments`; `calls` and `json_calls` of the notations.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llmcompiler_graph.core.language.balance import Balance
from llmcompiler_graph.core.language.json_arguments import UNREADABLE, arguments_text, json_argument, loaded
from llmcompiler_graph.core.language.notations.calls import Tools, tool_name
from llmcompiler_graph.core.language.notations.json_calls import WRAPPERS, decoded
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Piece", "ToolCallText")

_DIGITS = lazy_pattern(r"\d{1,9}")
_PARALLEL = ("multi_tool_use.parallel", "parallel", "multi_tool_use-parallel", "multi_tool_use_parallel")
_NOTHING = ("", "null", "None", "undefined", "{}", "[]")
_EMPTY: tuple[Any, ...] = ("", {}, [])


class Piece(NamedTuple):
    """A piece of a streamed tool call."""

    name: str
    """The tool's name, in the call's first piece; then empty, or the same again."""
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
    pieces: list[str] = field(default_factory=list)  # of its arguments
    balance: Balance = field(default_factory=Balance)
    begun: bool = False  # whether there is more than white space in its arguments
    complete: bool = False

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    def take(self, text: str) -> str | None:
        """Take a piece of the arguments; return what is behind their end, or `None` if that is still to come."""
        end = self.balance.feed(text)
        rest = "" if end is None else text[end:]
        self.pieces.append(text if end is None else text[:end])
        self.begun = self.begun or bool(text.strip())
        closed = text.rstrip().endswith('"') and not self.balance.quote and not self.balance.begun
        self.complete = end is not None or closed
        return rest.strip() if self.complete else None

    def is_followed_by(self, piece: Piece) -> bool:
        """Whether a piece in the place of this call begins another one."""
        if self.complete:
            return bool(piece.name or piece.arguments.strip())
        return self.begun and piece.name not in ("", self.name)


class ToolCallText:
    """Writes the calls of one message as plan text.

    Args:
        first: The index of the first call that has none; each further one's is the next number.
        task: The argument that holds a call's index.
        after: The argument that holds the tasks a call waits for.
        names: The tools' own names by those the model knows them by, where they differ.
        parameters: The names of each tool's parameters by the tool's own name, if the tools are known.
    """

    def __init__(
        self,
        first: int,
        task: str = "task",
        after: str = "after",
        *,
        names: Mapping[str, str] | None = None,
        parameters: Tools | None = None,
    ) -> None:
        self._next = first
        self._task = task
        self._after = after
        self._names = names or {}
        self._parameters = parameters or {}
        self._waiting: deque[_Call] = deque()  # calls that are not written yet, in the order in which they began
        self._complete = 0  # of them
        self._last: _Call | None = None
        self._by_position: dict[int | str, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._streamed: dict[tuple[str, str], int] = {}  # calls that came in pieces: how often each

    def feed(self, piece: Piece) -> str:
        """Take a piece of a call; return the lines of the calls it completes."""
        call = self._call_of(piece)
        if call is None:
            return ""
        rest = self._add(call, piece)
        while rest:  # `{…}{…}`: the same tool once more
            call = self._begin(Piece(call.name, "", call.position, call.call_id))
            rest = self._add(call, piece._replace(arguments=rest))
        return self._written(final=False)

    def close(self) -> str:
        """Say that the message is complete; return the lines of what is left."""
        return self._written(final=True)

    def _add(self, call: _Call, piece: Piece) -> str:
        """Add to the arguments of a call; return what is behind their end."""
        if call.complete:
            return ""
        rest = call.take(piece.arguments)
        if rest is None:
            return ""
        self._complete += 1
        if not self._is_whole(piece):
            key = self._key(call.name, call.arguments)
            self._streamed[key] = self._streamed.get(key, 0) + 1
        return rest

    # -- which call -----------------------------------------------------------------------------------------------

    def _call_of(self, piece: Piece) -> _Call | None:
        """The call that a piece belongs to, begun if it is new; `None` if it only repeats one."""
        known = self._by_id.get(piece.call_id) if piece.call_id else None
        known = known or self._in_place_of(piece)
        if known is None:
            return None if self._is_whole(piece) and self._repeats(piece) else self._begin(piece)
        if self._repeats_call(piece, known):
            return None
        if known.is_followed_by(piece):
            return self._begin(piece if piece.name else piece._replace(name=known.name))
        self._go_on(known, piece)
        return known

    def _go_on(self, call: _Call, piece: Piece) -> None:
        """Take what a further piece says of the name and the id of a call."""
        if not call.begun and piece.name != call.name:
            call.name += piece.name
        if piece.call_id and not call.call_id:
            call.call_id = piece.call_id
            self._by_id[piece.call_id] = call

    def _in_place_of(self, piece: Piece) -> _Call | None:
        """The call that a piece goes on by its position, or by its order."""
        if piece.position is not None:
            known = self._by_position.get(piece.position)
            another = known is not None and piece.call_id and known.call_id  # some servers number all calls 0
            return None if another else known
        return None if piece.name or piece.call_id else self._last

    def _begin(self, piece: Piece) -> _Call:
        call = self._last = _Call(piece.name, piece.position, piece.call_id)
        self._waiting.append(call)
        if piece.position is not None:
            self._by_position[piece.position] = call
        if piece.call_id:
            self._by_id[piece.call_id] = call
        return call

    @staticmethod
    def _is_whole(piece: Piece) -> bool:
        """Whether a piece is a whole call, as the message at the end of a stream has them."""
        return piece.position is None and bool(piece.name)

    def _repeats(self, piece: Piece) -> bool:
        """Whether a whole call is one that has come in pieces, each counted once."""
        key = self._key(piece.name, piece.arguments)
        if left := self._streamed.get(key, 0):
            self._streamed[key] = left - 1
        return bool(left)

    def _repeats_call(self, piece: Piece, call: _Call) -> bool:
        """Whether a piece has a call that is complete once more: under its id, whatever it says."""
        if not call.complete or not piece.call_id or piece.name != call.name or not piece.name:
            return False
        if piece.call_id == call.call_id and self._is_whole(piece):
            return True
        return self._key(piece.name, piece.arguments) == self._key(call.name, call.arguments)

    @staticmethod
    def _key(name: str, arguments: str) -> tuple[str, str]:
        value: Any = decoded(loaded(arguments or "{}"))
        return name, arguments.strip() if value is UNREADABLE else json.dumps(value, sort_keys=True)

    # -- lines ----------------------------------------------------------------------------------------------------

    def _written(self, *, final: bool) -> str:
        """The lines of the calls that are complete, up to the first that is not."""
        lines: list[str] = []
        while self._waiting:
            call = self._waiting[0]
            if not final and not call.complete and (call.balance.begun or not self._complete):
                break  # else it has no arguments, since one behind it is complete
            self._complete -= call.complete
            lines += self._lines(self._waiting.popleft())
        return "".join(f"{line}\n" for line in lines)

    def _lines(self, call: _Call) -> Iterator[str]:
        name = tool_name(self._names.get(call.name, call.name), self._parameters)
        text = call.arguments.strip()
        value: Any = None if text in _NOTHING else decoded(loaded(text))
        own = self._parameters.get(name, ())
        match value:
            case dict() if call.name in _PARALLEL and name not in self._parameters:
                yield from self._parallel(value)
            case _ if value is None or value in _EMPTY:
                yield self._line(name, "", None, [])
            case dict():
                yield self._with(name, self._unwrapped(value, own))
            case list() if all(self._are_arguments(each, own) for each in value):
                for arguments in value:  # the tool once for each
                    yield self._with(name, arguments)
            case _ if value is UNREADABLE:
                yield self._unreadable(name, text)
            case _:  # `"K2"`, `["K2"]`: a model forgot the names
                yield self._line(name, json_argument(value), None, [])

    def _unreadable(self, name: str, text: str) -> str:
        """A call whose arguments are no JSON, as they stand, but for its number."""
        pattern = rf"""["']?{re.escape(self._task)}["']?\s*:\s*["']?(\d{{1,9}})["']?\s*,?\s*"""
        index = re.search(pattern, text)
        text = re.sub(pattern, "", text, count=1)
        return self._line(name, " ".join(text.split("\n")).strip(), index[1] if index else None, [])

    def _parallel(self, value: Mapping[str, Any]) -> Iterator[str]:
        """The calls that OpenAI's models now and then wrap in one of a tool they do not have."""
        uses = value.get("tool_uses")
        for use in filter(_is_object, uses if isinstance(uses, list) else []):
            written = str(use.get("recipient_name") or use.get("name") or "?")
            name = tool_name(self._names.get(written, written), self._parameters)
            given = decoded(use.get("parameters") or use.get("arguments"))
            yield self._with(name, given if isinstance(given, dict) else {})

    def _unwrapped(self, value: dict[str, Any], own: Collection[str]) -> dict[str, Any]:
        """Arguments that stand in one more object, `{"arguments": {…}}`, without it."""
        numbered = {key: value[key] for key in (self._task, self._after) if key in value}
        inner = value.keys() - {*numbered, "name"}
        if len(inner) > 1 or inner <= {*own} or not inner <= {*WRAPPERS} or "name" in own:
            return value
        given = decoded(value[inner.pop()])
        return {**numbered, **given} if isinstance(given, dict) else value

    def _are_arguments(self, value: Any, own: Collection[str]) -> bool:
        if not isinstance(value, dict) or not value:
            return False
        return bool(own) and value.keys() <= {*own, self._task, self._after}

    def _with(self, name: str, arguments: Mapping[str, Any]) -> str:
        given = dict(arguments)
        index = _DIGITS.search(str(given.pop(self._task, "")))
        after = _DIGITS.findall(json.dumps(given.pop(self._after, None)))
        return self._line(name, arguments_text(given), index[0] if index else None, after)

    def _line(self, name: str, arguments: str, index: str | None, after: list[str]) -> str:
        number = int(index) if index else self._next
        self._next = number + 1
        following = " after " + ", ".join(f"${n}" for n in after) if after else ""
        return f"{number}. {name}({arguments}){following}"


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)
