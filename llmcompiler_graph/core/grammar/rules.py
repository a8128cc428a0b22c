"""Grammars as rules: what they are made of, and what follows from them.

A rule's alternatives may depend on a *state*: an integer that begins at 0 at the root and into which a use of a rule
may set bits for that use. llguidance knows such rules; for GBNF, `expanded` makes a rule of every rule and
state that can occur, which are many more.

>>> line = Alt((Seq(("a", Use("line", bits=1))), When(0, 1, frozenset({1}), "b")))  # `b` only after an `a`
>>> for name, body in expanded({"root": Use("line"), "line": line}).items():
...     print(name, body)
root Alt(nodes=(Use(rule='line-0', bits=0),))
line-0 Alt(nodes=(Seq(nodes=('a', Use(rule='line-1', bits=0))),))
line-1 Alt(nodes=(Seq(nodes=('a', Use(rule='line-1', bits=0))), 'b'))

May know: nothing else of the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = (
    "Alt",
    "Chars",
    "Form",
    "Node",
    "Repeat",
    "Rules",
    "Seq",
    "Use",
    "When",
    "alternatives",
    "expanded",
    "in_use",
    "optional",
    "parts",
    "pruned",
    "stateful",
)

Form: TypeAlias = Literal["gbnf", "lark"]
"""How a grammar is written: llama.cpp's GBNF or llguidance's Lark."""

Node: TypeAlias = "str | Chars | Use | Seq | Alt | Repeat | When"
"""A rule's body or a part of it; a string is that text."""

Rules: TypeAlias = Mapping[str, Node]
"""The rules by name, lower-case letters, digits and `-`; the first, `root`, is what a text must match."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a class."""

    inside: str
    """What stands in the brackets, the same in both forms: escape backslash, quote and brackets."""


@dataclass(frozen=True, slots=True)
class Use:
    """What another rule matches."""

    rule: str
    """Its name."""
    bits: int = 0
    """Set in the state, for this use."""


@dataclass(frozen=True, slots=True)
class Seq:
    """One after the other."""

    nodes: tuple[Node, ...]
    """The parts."""


@dataclass(frozen=True, slots=True)
class Alt:
    """One of several."""

    nodes: tuple[Node, ...]
    """The alternatives; none of them, if it is empty."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same, several times."""

    node: Node
    """What is repeated; it matches more than nothing."""
    least: int
    """At least so many times."""
    most: int | None
    """At most so many times; `None` for any number."""


@dataclass(frozen=True, slots=True)
class When:
    """An alternative of a rule that is there in some states only; nothing else may hold one."""

    start: int
    """The first bit of the state that counts."""
    width: int
    """How many bits count."""
    values: frozenset[int]
    """What they may say."""
    node: Node
    """What is matched then."""

    def holds(self, state: int) -> bool:
        """Whether it is there in a state."""
        return (state >> self.start) & ((1 << self.width) - 1) in self.values


def optional(node: Node) -> Repeat:
    """Match something or nothing."""
    if isinstance(node, Repeat) and node.least == 1:
        return Repeat(node.node, 0, node.most)
    return Repeat(node, 0, 1)


def parts(node: Node) -> tuple[Node, ...]:
    """What a node is made of."""
    match node:
        case Seq() | Alt():
            return node.nodes
        case Repeat() | When():
            return (node.node,)
        case _:
            return ()


def alternatives(node: Node) -> tuple[Node, ...]:
    """The alternatives of a rule's body."""
    return node.nodes if isinstance(node, Alt) else (node,)


# -- state ----------------------------------------------------------------------------------------------------------


def stateful(rules: Rules) -> set[str]:
    """The rules that depend on the state; the root does not, there it is 0."""
    found: set[str] = set()

    def depends(node: Node) -> bool:
        return (
            isinstance(node, When) or (isinstance(node, Use) and node.rule in found) or any(map(depends, parts(node)))
        )

    while more := {name for name, node in rules.items() if name not in found | {"root"} and depends(node)}:
        found |= more
    return found


def expanded(rules: Rules) -> dict[str, Node]:
    """Make the grammar one without states: the same texts, from a rule for every rule and state that can occur."""
    depending = stateful(rules)
    made: dict[str, Node] = {}
    pending = [("root", "root", 0)]

    def named(use: Use, state: int) -> Use:
        state |= use.bits
        name = f"{use.rule}-{state:x}" if use.rule in depending else use.rule
        pending.append((name, use.rule, state))
        return Use(name)

    def expand(node: Node, state: int) -> Node:
        match node:
            case Use():
                return named(node, state)
            case Seq(nodes):
                return Seq(tuple(expand(each, state) for each in nodes))
            case Alt(nodes):
                held = (each for each in nodes if not isinstance(each, When) or each.holds(state))
                return Alt(tuple(expand(each, state) for each in held))
            case Repeat():
                return Repeat(expand(node.node, state), node.least, node.most)
            case When():
                return expand(node.node, state)
            case _:
                return node

    while pending:
        name, rule, state = pending.pop()
        if name not in made:
            made[name] = expand(Alt(alternatives(rules[rule])), state)
    return _merged(pruned(made))


def pruned(rules: Rules) -> dict[str, Node]:
    """Leave out what no text matches."""
    live: set[str] = set()

    def pruned(node: Node) -> Node | None:
        """The node without dead alternatives; `None` if it is dead, as far as is known."""
        match node:
            case Use():
                return node if node.rule in live else None
            case Seq(nodes):
                parts = [pruned(each) for each in nodes]
                return None if None in parts else Seq(tuple(each for each in parts if each is not None))
            case Alt(nodes):
                parts = [each for each in (pruned(each) for each in nodes) if each is not None]
                return Alt(tuple(each for each in parts if each is not None)) if parts else None
            case Repeat():
                part = pruned(node.node)
                return Repeat(part, node.least, node.most) if part is not None else Seq(()) if not node.least else None
            case When():
                part = pruned(node.node)
                return None if part is None else When(node.start, node.width, node.values, part)
            case _:
                return node

    known = -1
    while known < len(live):
        known = len(live)
        for name in reversed(list(rules)):  # the later ones are used by the earlier ones
            if name not in live and pruned(rules[name]) is not None:
                live.add(name)
    found = {name: pruned(node) for name, node in rules.items() if name in live}
    return {name: node for name, node in found.items() if node is not None}


def _merged(rules: dict[str, Node]) -> dict[str, Node]:
    """Make one rule of several that are equal."""
    same: dict[str, str] = {}

    def renamed(node: Node) -> Node:
        match node:
            case Use():
                return Use(same.get(node.rule, node.rule))
            case Seq(nodes):
                return Seq(tuple(map(renamed, nodes)))
            case Alt(nodes):
                return Alt(tuple(map(renamed, nodes)))
            case Repeat():
                return Repeat(renamed(node.node), node.least, node.most)
            case _:
                return node

    known = -1
    while known < len(same):
        known = len(same)
        first: dict[Node, str] = {}
        for name in reversed(rules):
            if name not in same:
                rules[name] = renamed(rules[name])
                other = first.setdefault(rules[name], name)
                if other != name:
                    same[name] = other
    return in_use({name: renamed(node) for name, node in rules.items() if name not in same})


def in_use(rules: Rules) -> dict[str, Node]:
    """Keep only the rules in use."""
    used, pending = dict[str, Node](), ["root"]
    while pending:
        name = pending.pop()
        if name not in used:
            used[name] = rules[name]
            _each_use(rules[name], pending.append)
    return {name: rules[name] for name in rules if name in used}


def _each_use(node: Node, tell: Callable[[str], None]) -> None:
    if isinstance(node, Use):
        tell(node.rule)
    for part in parts(node):
        _each_use(part, tell)
