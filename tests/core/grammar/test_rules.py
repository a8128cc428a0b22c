from random import Random

import pytest

from llmcompiler_graph.core.grammar.forms import write
from llmcompiler_graph.core.grammar.rules import (
    Alt,
    Chars,
    Form,
    Repeat,
    Rules,
    Seq,
    Use,
    When,
    expanded,
    optional,
)
from tests.grammar_engine import accepts, sentence

FORMS: tuple[Form, ...] = ("gbnf", "lark")
AFTER_A = frozenset({1})
RULES: dict[str, tuple[Rules, list[str], list[str]]] = {
    "text": ({"root": 'a"b\\c/d\n[e].{f}'}, ['a"b\\c/d\n[e].{f}'], ["", 'a"b']),
    "characters": (
        {"root": Chars(r'^"\\$\x00-\x1f')},
        ["a", "é", "/", "]", "^", "-"],
        ['"', "\\", "$", "\n", "", "ab"],
    ),
    "sequence": ({"root": Seq(("a", Alt(("b", "c")), "d"))}, ["abd", "acd"], ["ad", "abcd"]),
    "repeats": ({"root": Seq((Repeat("ab", 2, 3), Repeat("c", 0, None)))}, ["abab", "abababcc"], ["ab", "abababab"]),
    "optional": ({"root": Seq((optional(Seq(("a", "b"))), "c"))}, ["c", "abc"], ["ac", ""]),
    "repeated rules": (
        {"root": Seq((Repeat(Use("b"), 2, 3), Repeat(Seq((Use("c"), "-")), 2, None))), "b": Alt(("x", "y")), "c": "z"},
        ["xyz-z-", "xxxz-z-z-z-"],
        ["xz-z-", "xyz-", "xxxxz-z-"],
    ),
    "rules": ({"root": Seq((Use("b"), Use("b"))), "b": Alt(("x", "y"))}, ["xy", "yy"], ["x", "xyx"]),
    "recursion": ({"root": Alt(("a", Seq(("(", Use("root"), ")"))))}, ["a", "(a)"], ["(a", "()"]),
    "state": (
        {
            "root": Use("first"),
            "first": Alt((Seq(("a", Use("second", 1))), Seq(("b", Use("second"))))),
            "second": Alt((When(0, 1, AFTER_A, Alt(("x", "z"))), When(0, 2, frozenset({0, 2}), "y"), "w")),
        },
        ["ax", "az", "by", "aw", "bw"],
        ["ay", "bx", "bz", "a"],
    ),
    "dead ends": (
        {
            "root": Alt((Seq(("a", Use("never"))), Seq(("b", Repeat(Use("never"), 0, 3))), Seq(("c", Use("loop"))))),
            "never": Alt((When(0, 1, AFTER_A, "x"),)),
            "loop": Seq(("d", Use("loop"))),
        },
        ["b"],
        ["ax", "a", "bx", "cd"],
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", RULES)
def test_two_forms_of_one_grammar(name: str, form: Form) -> None:
    """GBNF and Lark of one grammar accept the same texts."""
    rules, right, wrong = RULES[name]
    grammar = write(rules, form)
    assert [text for text in right if not accepts(grammar, form, text)] == []
    assert [text for text in wrong if accepts(grammar, form, text)] == []


def test_equal_rules_are_one() -> None:
    """A state that makes no difference makes no rule."""
    body = Alt((Seq(("a", Use("b", 1))), Seq(("c", Use("b", 2)))))
    b = Alt((When(0, 2, frozenset({1, 2}), "x"),))
    assert len(expanded({"root": Use("begin"), "begin": body, "b": b})) == 3


def test_what_an_engine_writes_matches() -> None:
    """A random text held to one form matches the other two."""
    rules: Rules = {
        "root": Seq((Repeat(Seq((Use("word"), " ")), 1, 3), Use("word"))),
        "word": Alt((Repeat(Chars("a-z"), 1, 5), Seq(('"', optional(Repeat(Chars(r'^"\\\x00-\x1f'), 1, 9)), '"')))),
    }
    texts = [sentence(write(rules, "lark"), "lark", Random(seed)) for seed in range(20)]
    assert all(accepts(write(rules, form), form, text) for form in FORMS for text in texts)
