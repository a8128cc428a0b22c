r"""Guards: what must hold for a task to run, `when ${1.total} > 100 and not $2`.

>>> guard = All((Comparison(Reference(1, ("total",)), ">", 100), Not(Truth(Reference(2)))))
>>> print(guard)
${1.total} > 100 and not $2
>>> holds(guard, {1: {"total": 120}, 2: False})
True

A guard compares references and constants, and joins comparisons by `and`, `or` and `not`; a reference alone is a value
that is true or false. It says nothing that cannot be checked before it runs.

May know: `errors`, `json_text`, `references`, `substitution`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

from llmcompiler_graph.core.errors import ObservationPathError
from llmcompiler_graph.core.language.json_text import write_json
from llmcompiler_graph.core.language.references import (
    JSON,
    Reference,
)
from llmcompiler_graph.core.language.substitution import select

__all__ = (
    "All",
    "AnyOf",
    "Comparison",
    "Guard",
    "Not",
    "Operand",
    "Operator",
    "Truth",
    "folded",
    "guard_references",
    "holds",
    "map_guard",
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
