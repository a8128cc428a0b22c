r"""Guards: what must hold for a task to run, `when ${1.total} > 100 and ${2.state} == "open"`.

>>> guard = read_guard('${1.total} > 100 and not ($2 or ${1.of} in ["a", null])', is_task=lambda n: n < 3)
>>> print(guard)
${1.total} > 100 and not ($2 or ${1.of} in ["a", None])
>>> holds(guard, {1: {"total": 120, "of": "b"}, 2: False})
True

A guard compares references and constants, and joins comparisons by `and`, `or` and `not`; a reference alone is a value
that is true or false. It is never evaluated as code, and says nothing that cannot be checked before it runs.

May know: `call_syntax`, `errors`, `json_text`, `references`, `substitution`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

from llmcompiler_graph.core.errors import ObservationPathError
from llmcompiler_graph.core.language.call_syntax import CallSyntaxError
from llmcompiler_graph.core.language.json_text import write_json
from llmcompiler_graph.core.language.references import (
    BRACED_PATH,
    JSON,
    PLAIN_PATH,
    Reference,
    parse_path,
    parse_template,
)
from llmcompiler_graph.core.language.substitution import select
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = (
    "All",
    "AnyOf",
    "Comparison",
    "Guard",
    "Not",
    "Operand",
    "Truth",
    "folded",
    "guard_references",
    "holds",
    "map_guard",
    "read_guard",
    "unmet",
)

Operand: TypeAlias = "Reference | JSON"
"""What is compared: a reference, or a constant."""
Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values, and how they must compare."""

    left: Operand
    """The first."""
    operator: Operator
    """How."""
    right: Operand
    """The second."""

    def __str__(self) -> str:
        return f"{_written(self.left)} {self.operator} {_written(self.right)}"


@dataclass(frozen=True, slots=True)
class Truth:
    """A value that must be true."""

    value: Reference | bool
    """It."""

    def __str__(self) -> str:
        return _written(self.value)


@dataclass(frozen=True, slots=True)
class Not:
    """What must not hold."""

    part: Guard
    """It."""

    def __str__(self) -> str:
        return f"not ({self.part})" if isinstance(self.part, All | AnyOf) else f"not {self.part}"


@dataclass(frozen=True, slots=True)
class All:
    """Guards that must all hold."""

    parts: tuple[Guard, ...]
    """They; two at least."""

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, All | AnyOf) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Guards of which one must hold."""

    parts: tuple[Guard, ...]
    """They; two at least."""

    def __str__(self) -> str:
        return " or ".join(f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.parts)


Guard: TypeAlias = Comparison | Truth | Not | All | AnyOf
"""What must hold for a task to run."""


def _written(value: Operand) -> str:
    match value:
        case Reference():
            return str(value)
        case str():
            return write_json(value.replace("$", "$$"))
        case list():
            return "[" + ", ".join(map(_written, value)) + "]"
        case _:
            return repr(value)


# -- references in it -------------------------------------------------------------------------------------------------


def guard_references(guard: Guard) -> Iterator[Reference]:
    """Yield every reference in a guard, in order."""
    match guard:
        case Comparison(left, _, right):
            yield from (each for each in (left, right) if isinstance(each, Reference))
        case Truth(value):
            yield from [value] if isinstance(value, Reference) else []
        case Not(part):
            yield from guard_references(part)
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from guard_references(part)


def map_guard(guard: Guard, change: Callable[[Operand], Operand]) -> Guard:
    """Put another reference or constant in place of each.

    Raises:
        TypeError: What stands alone would be a constant that is neither true nor false.
    """
    match guard:
        case Comparison(left, _, right):
            return replace(guard, left=change(left), right=change(right))
        case Truth(value):
            changed = change(value)
            if not isinstance(changed, Reference | bool):
                raise TypeError(repr(changed))
            return Truth(changed)
        case Not(part):
            return Not(map_guard(part, change))
        case All(parts) | AnyOf(parts):
            return replace(guard, parts=tuple(map_guard(part, change) for part in parts))


# -- what it comes to -------------------------------------------------------------------------------------------------


def holds(guard: Guard, observations: Mapping[int, JSON]) -> bool:
    """Whether a guard holds; parts behind the one that decides are not looked at.

    Raises:
        ObservationPathError: A value is not there, or cannot be compared so.
    """
    match guard:
        case Comparison(left, operator, right):
            return _compare(_value(left, observations), operator, _value(right, observations), guard)
        case Truth(given):
            value = _value(given, observations)
            if not isinstance(value, bool):
                msg = f"{guard} is {write_json(value):.80}, which is neither true nor false"
                raise ObservationPathError(msg)
            return value
        case Not(part):
            return not holds(part, observations)
        case All(parts):
            return all(holds(part, observations) for part in parts)
        case AnyOf(parts):
            return any(holds(part, observations) for part in parts)


def folded(guard: Guard) -> Guard | bool:
    """A guard without what constants alone decide; whether it holds, if they decide all of it.

    >>> print(folded(All((Comparison(5, ">", 3), Comparison(Reference(1), "==", 2)))))
    $1 == 2

    Raises:
        ObservationPathError: Constants cannot be compared so.
    """
    match guard:
        case Not(part):
            inner = folded(part)
            return not inner if isinstance(inner, bool) else Not(inner)
        case All(parts) | AnyOf(parts):
            decides = isinstance(guard, AnyOf)  # such a part decides the whole
            left = [each for each in map(folded, parts) if each is not (not decides)]
            if any(each is decides for each in left):
                return decides
            kept = tuple(each for each in left if not isinstance(each, bool))
            return replace(guard, parts=kept) if len(kept) > 1 else kept[0] if kept else not decides
        case _:
            return guard if any(True for _ in guard_references(guard)) else holds(guard, {})


def unmet(guard: Guard, observations: Mapping[int, JSON]) -> str:
    """Say that a guard does not hold, and what its references are."""
    known = {str(each): each for each in guard_references(guard)}
    values: list[str] = []
    for written, reference in known.items():
        try:
            values.append(f"{written} is {write_json(select(observations[reference.index], reference)):.80}")
        except ObservationPathError:
            continue
    return f"`{guard}` does not hold" + (f" ({', '.join(values)})" if values else "")


def _value(operand: Operand, observations: Mapping[int, JSON]) -> JSON:
    return select(observations[operand.index], operand) if isinstance(operand, Reference) else operand


def _compare(left: JSON, operator: Operator, right: JSON, guard: Comparison) -> bool:
    match operator:
        case "==":
            return _key(left) == _key(right)
        case "!=":
            return _key(left) != _key(right)
        case "in" | "not in" if isinstance(right, list):
            return (_key(left) in map(_key, right)) == (operator == "in")
        case "in" | "not in" if isinstance(left, str) and isinstance(right, str):
            return (left in right) == (operator == "in")
        case "<" | "<=" | ">" | ">=" if (order := _order(left, right)) is not None:
            return {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[operator]
    msg = f"{guard} cannot be told: {write_json(left):.80} {operator} {write_json(right):.80}"
    raise ObservationPathError(msg)


def _order(left: JSON, right: JSON) -> int | None:
    """-1, 0 or 1, as the first is less, equal or more; `None` if that cannot be said."""
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    if _is_number(left) and _is_number(right):
        one, other = cast("float", left), cast("float", right)
        return (one > other) - (one < other)
    return None


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(value: JSON) -> object:
    """What two values have in common if they are equal as JSON: there, `true` is not 1."""
    match value:
        case bool():
            return ("bool", value)
        case list():
            return ("list", tuple(map(_key, value)))
        case dict():
            return ("dict", tuple(sorted((name, _key(element)) for name, element in value.items())))
        case _:
            return value


# -- from text --------------------------------------------------------------------------------------------------------

_TOKEN = lazy_pattern(
    r"""[ \t\r\n]*(?:
      (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | [“„](?P<curly>[^“”„"\\]*)[“”]
    | \$\{\s*(?P<braced>[0-9]{1,9})(?P<braced_path>BRACED)\}
    | \$(?P<plain>[0-9]{1,9})(?P<plain_path>PLAIN)
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![\w.])
    | (?P<operator>==|!=|<=|>=|<|>)
    | (?P<word>[^\W\d]\w*)
    | (?P<mark>[()\[\],])
    | (?P<other>\S)
    )""".replace("BRACED", BRACED_PATH).replace("PLAIN", PLAIN_PATH),
    re.VERBOSE,
)
_CONSTANTS: dict[str, JSON] = {"true": True, "false": False, "null": None, "none": None}
_HOW = 'compare references and constants, as in `when ${1.total} > 100 and ${2.state} == "open"`'
_INSTEAD = {
    **dict.fromkeys(("is", "=", "equals"), "write `==` or `!=`"),
    **dict.fromkeys(("≥", "≤", "≠"), "write `>=`, `<=` or `!=`"),
    **dict.fromkeys(("&", "|", "!"), "write `and`, `or` or `not`"),
    **dict.fromkeys(("contains", "includes", "has"), 'write `"…" in $1`'),
    **dict.fromkeys(("unless", "else", "otherwise", "?"), "write `when not (…)`, for another call behind that one"),
    **dict.fromkeys(("while", "as", "repeat", "max", "every"), 'write `until ${2.state} == "done" max 10 every 5`'),
    **dict.fromkeys(("+", "-", "*", "/", "%"), "calculate it in a task of its own, and compare its result"),
}
"""What to write in place of what other languages have."""
_DEEPEST = 50


def read_guard(
    text: str,
    *,
    is_task: Callable[[int], bool],
    rename: Callable[[int], int] = lambda index: index,
    what: str = "guard",
    hint: str = _HOW,
) -> Guard:
    """Read what stands behind `when`.

    Args:
        text: It.
        is_task: Whether an index, as written, names a task that may be referred to here.
        rename: The index a written one stands for.
        what: What it is, as the code of the error.
        hint: How it is written.

    Raises:
        CallSyntaxError: It is no guard; `offset` says where.
    """
    return _Reader(text, is_task, rename, what, hint).read()


class _Reader:
    def __init__(
        self, text: str, is_task: Callable[[int], bool], rename: Callable[[int], int], what: str, hint: str
    ) -> None:
        self._is_task, self._rename = is_task, rename
        self._what, self._hint = what, hint
        self._tokens = [match for match in _TOKEN.finditer(text) if match[0].strip()]
        self._at = 0
        self._end = len(text)
        self._depth = 0

    def read(self) -> Guard:
        guard = self._any_of()
        if self._at < len(self._tokens):
            raise self._error(f"{self._token[0].strip()[:20]!r} does not belong to it")
        return guard

    @property
    def _token(self) -> re.Match[str]:
        return self._tokens[self._at]

    def _is(self, *words: str) -> bool:
        if self._at >= len(self._tokens):
            return False
        token = self._token
        return (token["word"] or token["operator"] or token["mark"] or "").lower() in words

    def _take(self, *words: str) -> bool:
        found = self._is(*words)
        self._at += found
        return found

    def _any_of(self) -> Guard:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self) -> Guard:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _not(self) -> Guard:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error("it is nested too deeply")
        try:
            if self._take("not"):
                return Not(self._not())
            if self._take("("):
                inner = self._any_of()
                if not self._take(")"):
                    raise self._error("a ')' is missing")
                return inner
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Guard:
        begun = self._at
        left = self._operand()
        operator = self._operator()
        if operator is None:
            if isinstance(left, Reference | bool):
                return Truth(left)
            self._at = begun
            raise self._error("a constant alone is no comparison")
        comparison = Comparison(left, operator, self._operand())
        if self._operator() is not None:
            self._at -= 1
            raise self._error("three values are compared at once", "join two comparisons with `and`")
        if not any(True for _ in guard_references(comparison)):
            self._at = begun
            raise self._error("constants alone are compared")
        return comparison

    def _operator(self) -> Operator | None:
        if self._is("not"):
            self._at += 1
            if self._take("in"):
                return "not in"
            raise self._error("behind `not`, `in` is missing")
        if self._is("==", "!=", "<", "<=", ">", ">=", "in"):
            self._at += 1
            token = self._tokens[self._at - 1]
            return cast("Operator", token["operator"] or "in")
        return None

    def _operand(self) -> Operand:
        if self._at >= len(self._tokens):
            raise self._error("a value is missing")
        token = self._token
        self._at += 1
        if token["string"] or token["curly"] is not None:
            return self._string(token["string"] or f'"{token["curly"]}"')
        if token["braced"] or token["plain"]:
            return self._reference(token)
        if token["number"]:
            written = token["number"]
            return int(written) if written.lstrip("-").isdigit() else float(written)
        if token["word"] and token["word"].lower() in _CONSTANTS:
            return _CONSTANTS[token["word"].lower()]
        if token["mark"] == "[":
            return self._list()
        self._at -= 1
        raise self._error(f"{token[0].strip()[:20]!r} is no value")

    def _list(self) -> JSON:
        values: list[JSON] = []
        while not self._take("]"):
            if values and not self._take(","):
                raise self._error("a ',' or ']' is missing")
            value = self._operand()
            if isinstance(value, Reference):
                self._at -= 1
                raise self._error("a reference stands in a list")
            values.append(value)
        return values

    def _string(self, written: str) -> Operand:
        try:
            text = ast.literal_eval(written)
        except (SyntaxError, ValueError):
            text = None
        parsed = parse_template(text, self._is_task, self._rename) if isinstance(text, str) else None
        if parsed is None or not isinstance(parsed.value, str | Reference) or parsed.unknown or parsed.malformed:
            self._at -= 1
            raise self._error(f"{written[:40]} is no constant text")
        return parsed.value

    def _reference(self, token: re.Match[str]) -> Reference:
        index, path = (
            int(token["braced"] or token["plain"]),
            parse_path(token["braced_path"] or token["plain_path"] or ""),
        )
        problem = ""
        if path is None:
            problem = f"{token[0].strip()!r} is no reference"
        elif not self._is_task(index):
            problem = f"it refers to task {index}, but no earlier task has that number"
        elif (reference := Reference(self._rename(index), path)).fans_out:
            problem = f"{token[0].strip()} has many values, where one is compared"
        else:
            return reference
        self._at -= 1
        raise self._error(problem, code="unknown-reference" if "no earlier task" in problem else "")

    def _error(self, what: str, hint: str = "", code: str = "") -> CallSyntaxError:
        match = self._token if self._at < len(self._tokens) else None
        offset = self._end if match is None else match.end() - len(match[0].lstrip())
        hint = hint or _INSTEAD.get(match[0].strip().lower() if match else "", self._hint)
        return CallSyntaxError(code or self._what, f"the {self._what} cannot be read: {what}", offset, hint)
