r"""Grammars as rules, and their three written forms: GBNF, Lark (of llguidance) and one regular expression.

A rule's alternatives may depend on a *state*: an integer that begins at 0 at the root and into which a use of a rule
may set bits for that use. llguidance knows such rules; for the other forms, `expanded` makes a rule of every rule and
state that can occur, which are many more.

>>> line = Alt((Seq(("a", Use("line", bits=1))), When(0, 1, frozenset({1}), "b")))  # `b` only after an `a`
>>> print(gbnf({"root": Use("line"), "line": line}))
root ::= line-0
line-0 ::= "a" line-1
line-1 ::= "a" line-1 | "b"
>>> print(lark({"root": Use("line"), "line": line}))
%llguidance {}
start: line::0
line::_: "a" line::bit_or(1) | "b" %if eq([0:1], 1)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ("Alt", "Chars", "Form", "Node", "Repeat", "Rules", "Seq", "Use", "When", "expanded", "optional", "write")

Form: TypeAlias = Literal["gbnf", "lark", "regex"]
"""How a grammar is written: llama.cpp's GBNF, llguidance's Lark, or a regular expression."""

Node: TypeAlias = "str | Chars | Use | Seq | Alt | Repeat | When"
"""A rule's body or a part of it; a string is that text."""

Rules: TypeAlias = Mapping[str, Node]
"""The rules by name, lower-case letters, digits and `-`; the first, `root`, is what a text must match."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a class."""

    inside: str
    """What stands in the brackets, the same in all three forms: escape backslash, quote and brackets."""


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


def write(rules: Rules, form: Form) -> str:
    """Write a grammar down.

    Raises:
        ValueError: It is too large for a regular expression.
    """
    return {"gbnf": gbnf, "lark": lark, "regex": regex}[form](rules)


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Seq() | Alt():
            return node.nodes
        case Repeat() | When():
            return (node.node,)
        case _:
            return ()


def _alternatives(node: Node) -> tuple[Node, ...]:
    return node.nodes if isinstance(node, Alt) else (node,)


# -- state ----------------------------------------------------------------------------------------------------------


def _stateful(rules: Rules) -> set[str]:
    """The rules that depend on the state; the root does not, there it is 0."""
    found: set[str] = set()

    def depends(node: Node) -> bool:
        return (
            isinstance(node, When) or (isinstance(node, Use) and node.rule in found) or any(map(depends, _parts(node)))
        )

    while more := {name for name, node in rules.items() if name not in found | {"root"} and depends(node)}:
        found |= more
    return found


def expanded(rules: Rules) -> dict[str, Node]:
    """Make the grammar one without states: the same texts, from a rule for every rule and state that can occur."""
    stateful = _stateful(rules)
    made: dict[str, Node] = {}
    pending = [("root", "root", 0)]

    def named(use: Use, state: int) -> Use:
        state |= use.bits
        name = f"{use.rule}-{state:x}" if use.rule in stateful else use.rule
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
            made[name] = expand(Alt(_alternatives(rules[rule])), state)
    return _merged(_pruned(made))


def _pruned(rules: Rules) -> dict[str, Node]:
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
    return _used({name: renamed(node) for name, node in rules.items() if name not in same})


def _used(rules: Rules) -> dict[str, Node]:
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
    for part in _parts(node):
        _each_use(part, tell)


# -- the three forms ------------------------------------------------------------------------------------------------

_GBNF = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _quoted(text: str) -> str:
    return '"' + "".join(_GBNF.get(char, char) for char in text) + '"'


def _count(node: Repeat) -> str:
    match node.least, node.most:
        case 0, 1:
            return "?"
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case least, most:
            return f"{{{least},{'' if most is None else most}}}"


def _body(node: Node, leaf: Callable[[Node], str | None], *, top: bool = False) -> str:
    """Write a node the way GBNF and Lark both do; `leaf` writes what they write differently."""
    written = leaf(node)
    if written is not None:
        return written
    match node:
        case str():
            return _quoted(node)
        case Seq(nodes):
            inner = " ".join(filter(None, (_body(each, leaf) for each in nodes)))
            return inner if top or len(nodes) < 2 else f"({inner})"
        case Alt(nodes):
            inner = " | ".join(_body(each, leaf, top=True) for each in nodes)
            return inner if top or len(nodes) < 2 else f"({inner})"
        case Repeat():
            inner = _body(node.node, leaf)
            single = isinstance(node.node, str | Chars | Use) or (inner[0] == "(" and inner[-1] == ")")
            return (inner if single else f"({inner})") + _count(node)
        case _:
            raise AssertionError(node)


def gbnf(rules: Rules) -> str:
    """Write a grammar in GBNF, which llama.cpp takes, and xgrammar, inside vLLM and SGLang, as EBNF."""

    def leaf(node: Node) -> str | None:
        match node:
            case Chars():
                return f"[{node.inside}]"
            case Use():
                return node.rule
            case _:
                return None

    return "\n".join(f"{name} ::= {_body(node, leaf, top=True)}" for name, node in expanded(rules).items())


def lark(rules: Rules) -> str:
    """Write a grammar in llguidance's dialect of Lark, states included."""
    rules = _used(_pruned(rules))
    stateful = _stateful(rules)

    def named(rule: str) -> str:
        return "start" if rule == "root" else rule

    def lines(name: str, rule: Node) -> str:
        def leaf(node: Node) -> str | None:
            match node:
                case Use() if node.rule not in stateful:
                    return named(node.rule)
                case Use() if name not in stateful:
                    return f"{node.rule}::{node.bits}"
                case Use():
                    return f"{node.rule}::bit_or({node.bits})" if node.bits else f"{node.rule}::_"
                case str() | When():
                    return None
                case Repeat(inner, 0, most) if most != 1 and _regular(node):  # a lexer needs something to match
                    return f"({leaf(Repeat(inner, 1, most))})?"
                case _ if _regular(node) and not _nullable(node):
                    return "/" + str(_pattern(node, _no_rule)).replace("/", "\\/") + "/"
                case _:
                    return None

        def alternative(node: Node) -> str:
            if not isinstance(node, When):
                return _body(node, leaf, top=True)
            bits = f"[{node.start}:{node.start + node.width}]"
            conditions = [f"eq({bits}, {value})" for value in sorted(node.values)]
            condition = conditions.pop()
            while conditions:
                condition = f"or({conditions.pop()}, {condition})"
            return " | ".join(f"{_body(each, leaf, top=True)} %if {condition}" for each in _alternatives(node.node))

        whole = leaf(rule)
        body = whole if whole is not None else " | ".join(map(alternative, _alternatives(rule)))
        return f"{named(name)}{'::_' if name in stateful else ''}: {body}"

    return "\n".join(["%llguidance {}", *(lines(name, node) for name, node in rules.items())])


def _nullable(node: Node) -> bool:
    """Whether nothing at all matches; a rule's use never does."""
    match node:
        case Seq(nodes):
            return all(map(_nullable, nodes))
        case Alt(nodes):
            return any(map(_nullable, nodes))
        case Repeat():
            return not node.least
        case str():
            return not node
        case _:
            return False


def _regular(node: Node) -> bool:
    return not isinstance(node, Use | When) and all(map(_regular, _parts(node)))


_SPECIAL = re.compile(r"[\\.^$*+?()\[\]{}|]")
_LONGEST = 400_000  # characters


def _pattern(node: Node, rule: Callable[[str], str | None]) -> str | None:
    """Write a node as a regular expression; `None` if it holds a rule that `rule` does not write."""
    match node:
        case str():
            return _SPECIAL.sub(r"\\\g<0>", node).replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
        case Chars():
            return f"[{node.inside}]"
        case Use():
            return rule(node.rule)
        case Seq(nodes):
            parts = [_pattern(each, rule) for each in nodes]
            return None if None in parts else "".join(each for each in parts if each is not None)
        case Alt(nodes):
            found = [each for each in (_pattern(each, rule) for each in nodes) if each is not None]
            if not found:
                return None
            return found[0] if len(found) == 1 else f"(?:{'|'.join(found)})"
        case Repeat():
            inner = _pattern(node.node, rule)
            if inner is None:
                return "" if not node.least else None
            single = isinstance(node.node, Chars) or (isinstance(node.node, str) and len(node.node) == 1)
            return (inner if single else f"(?:{inner})") + _count(node)
        case When():
            raise AssertionError(node)


def regex(rules: Rules, depth: int = 2) -> str:
    """Write a grammar as a regular expression: what nests in itself deeper than `depth` is left out.

    Raises:
        ValueError: It is longer than any server should be sent.
    """
    plain = expanded(rules)
    written: dict[tuple[str, tuple[str, ...]], str | None] = {}
    total = 0
    recursive = {name for name in plain if name in _reached(plain, name)}

    def inside(name: str, stack: tuple[str, ...]) -> str | None:
        nonlocal total
        if name in recursive:
            if stack.count(name) >= depth:
                return None
            stack = (*stack, name)
        key = name, tuple(sorted(stack))
        if key not in written:
            text = written[key] = _pattern(plain[name], lambda other: inside(other, stack))
            total += len(text or "")
            if total > 20 * _LONGEST:
                raise ValueError(_TOO_LARGE)
        return written[key]

    text = inside("root", ())
    assert text is not None
    if len(text) > _LONGEST:
        raise ValueError(_TOO_LARGE)
    return text


_TOO_LARGE = "the grammar of these tools is too large for a regular expression: allow fewer tasks, or use another form"


def _reached(rules: Rules, name: str) -> set[str]:
    found: set[str] = set()
    pending: list[str] = []
    _each_use(rules[name], pending.append)
    while pending:
        each = pending.pop()
        if each not in found:
            found.add(each)
            _each_use(rules[each], pending.append)
    return found


def _no_rule(name: str) -> str | None:
    raise AssertionError(name)
