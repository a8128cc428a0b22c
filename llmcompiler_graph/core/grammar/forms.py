r"""The two written forms of a grammar: GBNF, and Lark as llguidance reads it.

>>> line = Alt((Seq(("a", Use("line", bits=1))), When(0, 1, frozenset({1}), "b")))  # `b` only after an `a`
>>> print(gbnf({"root": Use("line"), "line": line}))
root ::= line-0
line-0 ::= "a" line-1
line-1 ::= "a" line-1 | "b"
>>> print(lark({"root": Use("line"), "line": line}))
%llguidance {}
start: line::0
line::_: "a" line::bit_or(1) | "b" %if eq([0:1], 1)

May know: `rules`.
"""

from __future__ import annotations

from collections.abc import Callable

from llmcompiler_graph.core.grammar.rules import (
    Alt,
    Chars,
    Form,
    Node,
    Repeat,
    Rules,
    Seq,
    Use,
    When,
    alternatives,
    expanded,
    in_use,
    parts,
    pruned,
    stateful,
)
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("gbnf", "lark", "write")


def write(rules: Rules, form: Form) -> str:
    """Write a grammar down."""
    return {"gbnf": gbnf, "lark": lark}[form](rules)


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
            return _grouped(inner, alone=top or len(nodes) < 2)
        case Alt(nodes):
            inner = " | ".join(_body(each, leaf, top=True) for each in nodes)
            return _grouped(inner, alone=top or len(nodes) < 2)
        case Repeat(repeated):
            inner = _body(repeated, leaf)
            return _grouped(inner, alone=_is_unit(repeated, inner)) + _count(node)
        case _:
            raise AssertionError(node)


def _is_unit(node: Node, written: str) -> bool:
    """Whether a node may be counted without further parentheses."""
    return isinstance(node, str | Chars | Use) or (written.startswith("(") and written.endswith(")"))


def _grouped(inner: str, *, alone: bool) -> str:
    return inner if alone else f"({inner})"


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
    rules = in_use(pruned(rules))
    depending = stateful(rules)

    def named(rule: str) -> str:
        return "start" if rule == "root" else rule

    def lines(name: str, rule: Node) -> str:
        def leaf(node: Node) -> str | None:
            match node:
                case Use() if node.rule not in depending:
                    return named(node.rule)
                case Use() if name not in depending:
                    return f"{node.rule}::{node.bits}"
                case Use():
                    return f"{node.rule}::bit_or({node.bits})" if node.bits else f"{node.rule}::_"
                case str() | When():
                    return None
                case Repeat(inner, 0, most) if most != 1 and _regular(node):  # a lexer needs something to match
                    return f"({leaf(Repeat(inner, 1, most))})?"
                case _ if _regular(node) and not _nullable(node):
                    return "/" + _pattern(node).replace("/", "\\/") + "/"
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
            return " | ".join(f"{_body(each, leaf, top=True)} %if {condition}" for each in alternatives(node.node))

        whole = leaf(rule)
        body = whole if whole is not None else " | ".join(map(alternative, alternatives(rule)))
        return f"{named(name)}{'::_' if name in depending else ''}: {body}"

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
    return not isinstance(node, Use | When) and all(map(_regular, parts(node)))


def _is_character(node: Node) -> bool:
    return isinstance(node, Chars) or (isinstance(node, str) and len(node) == 1)


_SPECIAL = lazy_pattern(r"[\\.^$*+?()\[\]{}|]")


def _pattern(node: Node) -> str:
    """Write a node that uses no rule as a regular expression."""
    match node:
        case str():
            return _SPECIAL.sub(r"\\\g<0>", node).replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
        case Chars():
            return f"[{node.inside}]"
        case Seq(nodes):
            return "".join(map(_pattern, nodes))
        case Alt(nodes):
            return _pattern(nodes[0]) if len(nodes) == 1 else f"(?:{'|'.join(map(_pattern, nodes))})"
        case Repeat():
            inner = _pattern(node.node)
            return (inner if _is_character(node.node) else f"(?:{inner})") + _count(node)
        case Use() | When():
            raise AssertionError(node)
