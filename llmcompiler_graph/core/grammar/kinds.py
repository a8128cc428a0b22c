"""Kinds of tools: they are told apart by what may be referred to in their observations.

>>> point = Typed({"type": "object", "properties": {"x": {"type": "number"}, "at": {"type": "string"}}})
>>> [path for path, _ in paths(point)]
['', '.x', '.at']

May know: `rules`, `references`, `schema`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

from llmcompiler_graph.core.checking.schema import Schema, alternatives
from llmcompiler_graph.core.grammar.rules import Alt, Chars, Node, Repeat, Seq
from llmcompiler_graph.core.language.references import IDENTIFIER, JSON

__all__ = ("NAME", "POSITION", "Key", "Kinds", "Profile", "Typed", "paths")

_PATHS = 60
"""How many paths into one observation are offered."""
_DEPTH = 3
"""How long they may be."""
NAME = Seq((Chars("A-Za-z_"), Repeat(Chars("A-Za-z0-9_"), 0, None)))
POSITION = Seq(("[", Alt((Chars("0-9"), Seq((Chars("1-9"), Chars("0-9"))), "-1")), "]"))

Key = tuple[str, bool]
"""A place that references stand in: the type that is wanted there, and whether the reference fans out."""

Profile = dict[Key, frozenset[Node]]
"""What may follow the index of a reference to one kind of observation, in each place."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A schema and what it refers to."""

    schema: Schema = None
    """The schema."""
    definitions: Mapping[str, JSON] = field(default_factory=dict)
    """What its `$ref`s point to."""

    @property
    def key(self) -> str:
        """The same for types that are the same."""
        schema = _bare(self.schema)
        return json.dumps([schema, _bare(dict(self.definitions)) if '"$ref"' in json.dumps(schema) else None])

    @property
    def listed(self) -> Typed:
        """A list of it: what a task that fans out returns."""
        return Typed({"type": "array", "items": self.schema}, self.definitions)


def _bare(schema: JSON) -> JSON:
    """A schema without what says nothing of types."""
    match schema:
        case dict():
            return {k: _bare(v) for k, v in schema.items() if k not in _SAYS_NOTHING or not isinstance(v, str | bool)}
        case list():
            return [_bare(each) for each in schema]
        case _:
            return schema


_SAYS_NOTHING = frozenset({"title", "description", "default", "$schema", "deprecated"})


class Kinds:
    """Calls, told apart by what may be referred to in what they return."""

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self.profiles: list[Profile] = []
        self.members: list[list[str]] = []
        for call, profile in profiles.items():
            if profile not in self.profiles:
                self.profiles.append(profile)
                self.members.append([])
            self.members[self.profiles.index(profile)].append(call)

    def merge(self, most: int) -> None:
        """Count the most similar ones as one until there are few enough."""
        while len(self.profiles) > most:
            pairs = [(a, b) for b in range(len(self.profiles)) for a in range(b)]
            a, b = max(pairs, key=lambda pair: _likeness(self.profiles[pair[0]], self.profiles[pair[1]]))
            other, calls = self.profiles.pop(b), self.members.pop(b)
            self.profiles[a] = {key: ends | other[key] for key, ends in self.profiles[a].items()}
            self.members[a] += calls

    def sort(self, consumers: Set[str]) -> None:
        """Put those first that no consumer is of."""
        order = sorted(range(len(self.profiles)), key=lambda n: not consumers.isdisjoint(self.members[n]))
        self.profiles = [self.profiles[n] for n in order]
        self.members = [self.members[n] for n in order]


def _likeness(one: Profile, other: Profile) -> float:
    both = sum(len(one[key] & other[key]) for key in one)
    return both / (sum(len(one[key] | other[key]) for key in one) or 1)


def paths(kind: Typed, *, fan: bool = False) -> list[tuple[Node, Schema]]:
    """The paths into an observation with the schema of what they lead to, for one value or for each of a list."""
    found: list[tuple[Node, Schema]] = []
    for path, schema, fans in _walk(kind.schema, kind.definitions, _DEPTH):
        if fans == fan and len(found) < _PATHS and (path, schema) not in found:
            found.append((path, schema))
    return found


def _walk(schema: Schema, definitions: Mapping[str, JSON], depth: int) -> Iterator[tuple[Node, Schema, bool]]:
    yield "", schema, False
    if not depth:
        return

    def inside(key: Node, inner: Schema, *, fans: bool = False) -> Iterator[tuple[Node, Schema, bool]]:
        for rest, found, fans_on in _walk(inner, definitions, depth - 1):
            yield _joined(key, rest), found, fans or fans_on

    options = alternatives(schema, definitions)
    if not options:
        yield Repeat(Alt((Seq((".", NAME)), POSITION)), 1, 4), None, False
    for option in options:
        if option["type"] == "array":
            yield from inside(POSITION, option.get("items"))
            yield from inside("[*]", option.get("items"), fans=True)
        elif option["type"] == "object":
            for key, inner in _fields(option):
                yield from inside(key, inner)


def _fields(option: Mapping[str, JSON]) -> Iterator[tuple[Node, Schema]]:
    """The fields of an object that a path can lead to; if they have no names, any name."""
    if isinstance(properties := option.get("properties"), dict) and properties:
        yield from ((key, inner) for name, inner in properties.items() if (key := _key(name)) is not None)
    else:
        yield Seq((".", NAME)), option.get("additionalProperties")


def _joined(key: Node, rest: Node) -> Node:
    if rest == "":
        return key
    if isinstance(key, str) and isinstance(rest, str):
        return key + rest
    return Seq((key, *(rest.nodes if isinstance(rest, Seq) else (rest,))))


def _key(name: str) -> str | None:
    if IDENTIFIER.fullmatch(name):
        return f".{name}"
    return f"['{name}']" if re.fullmatch(r"""[^'"\\${}\x00-\x1f]+""", name) else None
