import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.language.decision import Decision, Finish, Replan, is_decided, parse_decision
from llmcompiler_graph.core.language.decision_parser import DecisionParser


class _Any(str):
    """Equal to any text."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str)


ANY = _Any()

REPLIES: list[tuple[str, Decision]] = [
    # the two forms
    ("Thought: both are there.\nFinish: 237.86 m", Finish("237.86 m")),
    ("Thought: K2 is missing.\nReplan: look up K2", Replan("look up K2", "K2 is missing.")),
    ("Finish: 42", Finish("42")),
    ("Replan: look up K2", Replan("look up K2")),
    # the paper's
    ("Thought: I have both.\nAction: Finish(237.86 m)", Finish("237.86 m")),
    ("Thought: I have both.\nAction: Finish(237.86 m)<END_OF_RESPONSE>", Finish("237.86 m")),
    ("Thought: no.\nAction: Replan(look up K2)<END_OF_RESPONSE>", Replan("look up K2", "no.")),
    ("Thought: no.\nAction: Replan", Replan("", "no.")),
    ("Thought: no.\nAction: Replan.\nK2 is missing", Replan("K2 is missing", "no.")),
    ("Thought: a\nthought of\nthree lines\nReplan: K2", Replan("K2", "a\nthought of\nthree lines")),
    ("Thought: I have both. Action: Finish(42)", Finish("42")),
    ("Thought: no.\nAction:\nReplan(look up K2)", Replan("look up K2", "no.")),
    ("Finish: 42 <END_OF_PLAN> and 43", Finish("42")),
    ("<END_OF_RESPONSE>Finish: 42", Finish("")),
    # parentheses
    ("Finish(a (b))", Finish("a (b)")),
    ("Finish((a) and (b))", Finish("(a) and (b)")),
    ("Finish(42 (forty-two) units)", Finish("42 (forty-two) units")),
    ("Finish(f(x) = 2(x + 1))", Finish("f(x) = 2(x + 1)")),
    ("Finish(1) Everest 2) K2)", Finish("1) Everest 2) K2")),
    ("Finish(1) see (a)\n2) see (b))", Finish("1) see (a)\n2) see (b)")),
    ("Finish(fine :) all of it)", Finish("fine :) all of it")),
    ("Finish(not closed (at all)", Finish("not closed (at all)")),
    ("Finish(42).", Finish("42")),
    ("Finish(42)\n\nLet me know if you need more.", Finish("42")),
    ("Finish(42) **\r\nThought: done", Finish("42")),
    ("Finish: 42 (forty-two)", Finish("42 (forty-two)")),
    ("Finish: (a) and (b)", Finish("(a) and (b)")),
    ("Action: Finish (42)", Finish("42")),
    # lines
    ("Finish: one\n\n  two\n", Finish("one\n\n  two")),
    ("Finish(one\ntwo)", Finish("one\ntwo")),
    ("Finish:\n- Everest\n- K2", Finish("- Everest\n- K2")),
    ("Finish:\n* Everest\n* K2", Finish("* Everest\n* K2")),
    ("Finish\n42", Finish("42")),
    ("Thought: a\r\nFinish: 42\r\n", Finish("42")),
    ("Finish: the table:\nMaterial: oak\nFinish: matte", Finish("the table:\nMaterial: oak\nFinish: matte")),
    ("Finish: see above.\nFinal answer: 42", Finish("see above.\nFinal answer: 42")),
    # case and Markdown
    ("FINISH: 42", Finish("42")),
    ("thought: x\naction: finish(42)", Finish("42")),
    ("**Finish:** 42", Finish("42")),
    ("**Finish**: 42", Finish("42")),
    ("**Finish: 42**", Finish("42")),
    ("**Finish: 42** m", Finish("42** m")),
    ("__Finish__: 42", Finish("42")),
    ("***Finish:*** 42", Finish("42")),
    ("### Finish: 42", Finish("42")),
    ("> Finish: 42", Finish("42")),
    ("- **Finish:** 42", Finish("42")),
    ("* Finish: 42", Finish("42")),
    ("**Action:** Finish(42)", Finish("42")),
    ("**Action: Finish(42)**", Finish("42")),
    ("**Thought:** a\n**Action:** `Finish(42)`", Finish("42")),
    ("**Thought:** a\n**Replan:** K2", Replan("K2", "a")),
    ("Finish: **42** m", Finish("**42** m")),
    ("**Finish:** **42** m", Finish("**42** m")),
    ("Finish: 2**3**2", Finish("2**3**2")),
    ("```\nThought: a\nFinish: 42\n```", Finish("42")),
    ("Finish:\n```python\nprint(42)\n```", Finish("```python\nprint(42)\n```")),
    # what stands in a thought
    ("Thought: we can finish: all is there\nReplan: K2", Replan("K2", "we can finish: all is there")),
    ("Thought: to\nfinish (almost) we\nneed K2\nReplan: K2", Replan("K2", "to\nfinish (almost) we\nneed K2")),
    ("Thought: the Answer: 42 is wrong\nReplan: K2", Replan("K2", "the Answer: 42 is wrong")),
    (
        "Thought: what is known?\nAnswer: not enough.\nAction: Replan(K2)",
        Replan("K2", "what is known?\nAnswer: not enough."),
    ),
    ("Thought: what next?\nfinished: no\nReplanning: no\nFinish: 42", Finish("42")),
    ("Thought: Finish: 42", Finish("42")),
    ("Thought: Thought: Action: Replan(K2)", Replan("K2")),
    # the first decision counts
    ("Finish: 42\nReplan: none", Finish("42")),
    ("Finish: 42\n**Action:** Replan(K2)", Finish("42")),
    ("Finish: 42\nReplan", Finish("42")),
    ("Finish: 42\nReplanting is next", Finish("42\nReplanting is next")),
    ("Finish: 42\nReplan the garden", Finish("42\nReplan the garden")),
    ("Finish(42\nReplan: none", Finish("42")),
    ("Replan: K2\nFinish: 42", Replan("K2\nFinish: 42")),
    ("Action: Replan\nAnswer: not yet known", Replan("Answer: not yet known")),
    # a finish that says nothing
    ("Finish:\nReplan: K2", Replan("K2")),
    ("Finish()\nReplan(K2)", Replan("K2")),
    ("Thought: it is 42 m.\nAction: Finish", Finish("it is 42 m.")),
    ("Thought: it is 42 m.\nFinish:", Finish("it is 42 m.")),
    ("Finish()", Finish("")),
    # loose forms
    ("Thought: a\nAction: Replan because K2 is missing", Replan("because K2 is missing", "a")),
    ("Thought: a\nReplan - look up K2", Replan("look up K2", "a")),
    ("Action: Finish 42", Finish("42")),
    ("Action: Finish -42", Finish("-42")),
    ("Action: Finish .5", Finish(".5")),
    # other words
    ("Thought: a\nFinal answer: 42", Finish("42")),
    ("Thought: a\n**Final Answer:** 42", Finish("42")),
    ("Answer: 42\nand more", Finish("42\nand more")),
    ("Answer (in metres): 42", Finish("Answer (in metres): 42")),
    # what a thought quotes decides nothing, and ends nothing
    ("Thought: it says\n> No.<END_OF_RESPONSE>\nFinish: yes", Finish("yes")),
    ("Thought: it says\n```\nAction: Finish(no)\n<END_OF_RESPONSE>\n```\nFinish: yes", Finish("yes")),
    ('Thought: it says "No.<END_OF_PLAN>" there.\nFinish: yes<END_OF_PLAN> no', Finish("yes")),
    ("Thought: it says `<END_OF_PLAN>`.\n<END_OF_PLAN>\nFinish: no", Finish("it says `<END_OF_PLAN>`.")),
    ("```\nFinish: yes<END_OF_RESPONSE>\n```", Finish("yes")),
    ("```\nFinish: yes\n```<END_OF_RESPONSE> more", Finish("yes")),
    ("> Finish: yes<END_OF_RESPONSE>\n> Finish: no", Finish("yes")),
    ("- <END_OF_PLAN>\n" * 60 + "Finish: no", Finish(("- <END_OF_PLAN>\n" * 49) + "-")),
    ("Thought: it says\n````\n```\nFinish: no\n```\nFinish: no\n````\nFinish: yes", Finish("yes")),
    ("Thought: it says\n```\n```js\nFinish: no\n```\nFinish: yes", Finish("yes")),
    ("Thought: it says\n~~~~\n~~~\nFinish: no\n~~~~\nFinish: yes", Finish("yes")),
    ("Thought: it says\n```a``` here\nFinish: yes\n```\nb\n```", Finish("yes\n```\nb\n```")),
    (
        "Finish: so\n````\n```\nReplan: no\n```\nReplan: no\n````",
        Finish("so\n````\n```\nReplan: no\n```\nReplan: no\n````"),
    ),
    ('Thought: the page says "Action: Finish(no)"\nFinish: yes', Finish("yes")),
    ('Thought: it says "Action: Finish(no)", K2 is missing.\nReplan: K2', Replan("K2", ANY)),
    ("Thought: the page says\n> Finish: no\n> Action: Finish(no)\nFinish: yes", Finish("yes")),
    ("Thought: the page says\n>Finish: no\n\nAction: Finish(yes)", Finish("yes")),
    (
        "Thought: the page lists\n- Finish: no\n* Finish: no\n+ Finish: no\n\u2022 Finish: no\nFinish: yes",
        Finish("yes"),
    ),
    ("Thought: the page lists\n1. Finish: no\n2) Finish: no\nFinish: yes", Finish("yes")),
    ("Thought: the page lists\n- this:\n  Finish: no\nFinish: yes", Finish("yes")),
    ("Thought: a table\n| Finish: no |\n|---|\nFinish: yes", Finish("yes")),
    ("Thought: the page says\n```\nFinish: no\n```\nFinish: yes", Finish("yes")),
    ("Thought: the page says\n~~~text\nAction: Finish(no)\n```\n~~~\nReplan: K2", Replan("K2", ANY)),
    ("```\nFinish: no\n```\nThat is the page.\nFinish: yes", Finish("yes")),
    ("Thought: it says `Finish: no`\n`Action: Finish(no)`\nFinish: yes", Finish("yes")),
    ('Thought: it says "Stop.\nFinish: no\nGo on." Well.\nFinish: yes', Finish("yes")),
    ("Thought: it says \u201cStop.\nFinish: no\nGo on.\u201d\nFinish: yes", Finish("yes")),
    ("Thought: it says \u00abStop.\nFinish: no\u00bb\nFinish: yes", Finish("yes")),
    ("Thought: it says \u201eStop.\nFinish: no\u201c\nFinish: yes", Finish("yes")),
    ("Thought: \u300cStop.\nFinish: no\u300d\nFinish: yes", Finish("yes")),
    ("Thought: the page\n<page>\nFinish: no\n</page>\nFinish: yes", Finish("yes")),
    ("The page says: <blockquote>\nFinish: no\n</blockquote>\nFinish: yes", Finish("yes")),
    ("Thought: see <page>\nFinish: no\n</page>\nFinish: yes", Finish("yes")),
    ("<blockquote>It says:\nFinish: no\n</blockquote>\nFinish: yes", Finish("yes")),
    ('Thought: <quote from="x">Stop.\nAction: Finish(no)\nmore</quote> so\nAction: Finish(yes)', Finish("yes")),
    ("Thought: <PRE><code>\nReplan: no\n</code></PRE>\nFinish: yes", Finish("yes")),
    ("Thought: <i>a</i> <quote>b</quote> <br>\nFinish: yes\n</quote>", Finish("yes\n</quote>")),
    ("Thought: `<quote>` is a tag.\nFinish: yes\n</quote>", Finish("yes\n</quote>")),
    ("Thought: <blockquote>\nis never closed.\nFinish: yes", Finish("yes")),
    ("Thought: a list<int>\nFinish: yes", Finish("yes")),
    ('Thought: it\n<document index="1">\nFinish: no\n</document>\nReplan: K2', Replan("K2", ANY)),
    ("Thought: the page says Action: Finish(no)\nFinish: yes", Finish("yes")),
    ("Thought: the page says\n\n    Finish: no\n\tFinish: no\n\nFinish: yes", Finish("yes")),
    ("Thought: it says Action: Finish(no). I do not.\nFinish: yes", Finish("yes")),
    # nor if nothing else decides
    (
        'The page says "Finish: no\nor so", which is wrong.',
        Finish('The page says "Finish: no\nor so", which is wrong.'),
    ),
    ("The page says\n> Finish: no\n\nwhich is wrong.", Finish("The page says\n> Finish: no\n\nwhich is wrong.")),
    ("It says\n```\nFinish: no\n```\nI do not.", Finish("It says\n```\nFinish: no\n```\nI do not.")),
    ("It says Action: Finish(no), I do not.", Finish("It says Action: Finish(no), I do not.")),
    ('It says. "Action: Finish(no)"', Finish('It says. "Action: Finish(no)"')),
    ("It says. `Action: Finish(no)`", Finish("It says. `Action: Finish(no)`")),
    ("It says. Action: Finish(no). I do not.", Finish("It says. Action: Finish(no). I do not.")),
    # signs that quote nothing
    ('Thought: it is 27" wide.\nFinish: 27" or 70 cm', Finish('27" or 70 cm')),
    ('Thought: the "K2 was found.\nIt is high.\nFinish: the "K2" is high', Finish('the "K2" is high')),
    ('Thought: "K2 was found.\nFinish: it is "K2"', Finish('it is "K2"')),
    ("Thought: the ``` was\n```\nnot closed.\nFinish: 42", Finish("42")),
    ("Thought: a <b> that\n<b>\nis not closed\nFinish: 42", Finish("42")),
    ("<answer>\nFinish: 42", Finish("42")),
    ("Thought: \u201cK2\u201d and 'K3\nFinish: K2's", Finish("K2's")),
    # a reply that is all so
    ("> Thought: a\n> Finish: 42\n> 43", Finish("42\n43")),
    ("- **Thought:** a\n- **Finish:** 42", Finish("42")),
    ("1. Thought: a\n2. Replan: K2", Replan("K2", "a")),
    ("```\nFinish: 42\n```", Finish("42")),
    ("```text\nReplan: K2\n```\n", Replan("K2")),
    ("~~~\nThought: a\nFinish: 42\n~~~", Finish("42")),
    ("`Finish: 42`", Finish("42")),
    ('"Finish: 42"', Finish("42")),
    ("\u201cThought: a\nFinish: 42\u201d", Finish("42")),
    ("- Everest\n- K2", Finish("- Everest\n- K2")),
    ("> 42", Finish("> 42")),
    ("    Thought: a\n    Finish: 42\n      43", Finish("42\n  43")),
    ("Thought: a\n      Finish: 42", Finish("42")),
    ("    print(42)", Finish("print(42)")),
    ("```\nprint(42)\n```", Finish("```\nprint(42)\n```")),
    # what an answer quotes does not end it
    ("Finish: so\n```\nReplan: no\n```\nand so", Finish("so\n```\nReplan: no\n```\nand so")),
    ("Finish: so\n    Replan: no\nand so", Finish("so\n    Replan: no\nand so")),
    ("Finish: so\n> Replan: no\n- Replan: no\nand so", Finish("so\n> Replan: no\n- Replan: no\nand so")),
    # behind a thought on its line
    ("Thought: K2 is missing. Replan: look up K2", Replan("look up K2", "K2 is missing.")),
    ("Thought: K2 is missing! Action: Replan(look up K2)", Replan("look up K2", "K2 is missing!")),
    ("Thought: both are there. Finish: 42\nand more", Finish("42\nand more")),
    ("Thought: both. **Finish:** 42", Finish("42")),
    ("Thought: Replan: K2", Replan("K2")),
    ("Thought: they say. Finish: 41\nReplan: K2", Replan("K2", "they say. Finish: 41")),
    ("I cannot replan. Finish it yourself.", Finish("I cannot replan. Finish it yourself.")),
    # other scripts
    ("Thought\uff1aa\nFinish\uff1a42", Finish("42")),
    ("Thought: a\nAction\uff1aFinish\uff0842\uff09", Finish("42")),
    ("Finish\uff0842 \uff08forty-two\uff09\uff09\u3002", Finish("42 \uff08forty-two\uff09")),
    ("Replan\uff08K2)", Replan("K2")),
    ("**Finish\uff1a**42", Finish("42")),
    ("Thought: a\u3002Replan\uff1aK2", Replan("K2", "a\u3002")),
    # translated labels
    ("\u601d\u8003\uff1a\u90fd\u6709\u4e86\u3002\n\u5b8c\u6210\uff1a42", Finish("42")),
    ("\u601d\u8003\uff1a\u7f3a K2\u3002\n\u884c\u52a8\uff1aReplan\uff08K2\uff09", Replan("K2", "\u7f3a K2\u3002")),
    ("\u601d\u8003\uff1a\u7f3a K2\n\u91cd\u65b0\u89c4\u5212\uff1aK2", Replan("K2", "\u7f3a K2")),
    ("\u601d\u8003: a\n\u884c\u52d5: \u7d42\u4e86(42)", Finish("42")),
    ("Gedanke: beide da.\nFertig: 42", Finish("42")),
    ("Gedanke: K2 fehlt.\nNeu planen: K2", Replan("K2", "K2 fehlt.")),
    ("Pens\u00e9e : K2 manque\nReplanifier : K2", Replan("K2", "K2 manque")),
    ("Pensamiento: a\nRespuesta final: 42", Finish("42")),
    ("\u041c\u044b\u0441\u043b\u044c: a\n**\u041e\u0442\u0432\u0435\u0442:** 42", Finish("42")),
    ("Gedanke: a\nReplan: K2\nAntwort: keine", Replan("K2\nAntwort: keine", "a")),
    ("\u601d\u8003\uff1a42", Finish("42")),
    # neither
    ("The difference is 237.86 m.", Finish("The difference is 237.86 m.")),
    ("Thought: It is 42.\n\nThat is all.", Finish("It is 42.\n\nThat is all.")),
    ("I cannot finish: nothing is known", Finish("I cannot finish: nothing is known")),
    ("a) one\nb) two", Finish("a) one\nb) two")),
    ("", Finish("")),
    (" \n", Finish("")),
    ("<END_OF_RESPONSE>", Finish("")),
    ("Thought:", Finish("")),
]


HEADED = (
    ("### Answer\nK2", "K2"),
    ("Thought: it is known.\n\n## Final Answer ##\n\nK2", "K2"),
    ("# Thought\nit is known.\n# Answer\nK2", "K2"),
    ("**Answer**\nK2", "K2"),
    ("Thought: x\n__Antwort:__\nK2", "K2"),
    ("### 答案\nK2", "K2"),
    ("Finish:\n### Answer\nK2\n### Answer\nK1", "K2\n### Answer\nK1"),
    ("Finish: **Final answer**\n\n**K2**", "**K2**"),
    ("**Finish:** # Answer:\r\n# K2", "# K2"),
    ("Action: Finish(### Answer\nK2)", "K2"),
    # what is none
    ("Finish: ### Answers to all\nK2", "### Answers to all\nK2"),
    ("Finish: #Answer\nK2", "#Answer\nK2"),
    ("Finish: **Answer** K2", "**Answer** K2"),
    ("Finish: **Answer**", "**Answer**"),
    ("Finish: *K2*\nK1", "*K2*\nK1"),
    ("# Report\n## Answer\nK2", "# Report\n## Answer\nK2"),
    ("It is K2.\n### Answer\nK2", "It is K2.\n### Answer\nK2"),
)


@pytest.mark.parametrize(("text", "answer"), HEADED)
def test_the_heading_of_an_answer(text: str, answer: str) -> None:
    """A heading that says `Answer`, of an answer or all of a reply below its thought, is no part of the answer."""
    assert parse_decision(text) == Finish(answer)
    for pieces in (text, [text]):
        parser = DecisionParser()
        shown = "".join(map(parser.feed, pieces))
        decision, rest = parser.close()
        assert (decision, shown + rest) == (Finish(answer), answer)


@pytest.mark.parametrize(("text", "decision"), REPLIES, ids=[repr(text[:40]) for text, _ in REPLIES])
def test_replies(text: str, decision: Decision) -> None:
    """Each reply is the decision beside it."""
    assert parse_decision(text) == decision


@pytest.mark.parametrize(
    ("text", "decided"),
    [
        ("Finish: 42", True),
        ("Thought: a. Replan: K2", True),
        ("Final answer: 42", True),
        ("- Finish: 42", True),
        ("Finish:<END_OF_RESPONSE>", True),
        ("It is 42.", False),
        ("2. look(1)", False),
        ("> Finish: 42\nis what it says", False),
        ("", False),
    ],
)
def test_what_is_decided(text: str, decided: bool) -> None:
    """A reply that says what it is is told from one that is an answer for want of anything better."""
    assert is_decided(text) is decided


plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(
    lambda text: not re.search(r"replan|<END_OF|```|^[*_` ]", text, re.IGNORECASE)
)


@settings(deadline=None)
@given(plain)
def test_any_answer_can_be_given(answer: str) -> None:
    """What stands after `Finish:` is the answer, whatever it says, without the white space around it."""
    assert parse_decision(f"Thought: a\nFinish: {answer}") == Finish(answer.strip() or "a")


@settings(deadline=None)
@given(plain.filter(lambda text: "(" not in text and ")" not in text))
def test_any_answer_can_stand_in_parentheses(answer: str) -> None:
    """What stands in `Finish(…)` is the answer, and so does one with parentheses of its own."""
    assert parse_decision(f"Thought: a\nAction: Finish({answer})") == Finish(answer.strip() or "a")
    assert parse_decision(f"Finish(({answer}) x)") == Finish(f"({answer}) x")


def test_a_long_reply_of_labels_is_read() -> None:
    """A model that repeats itself without end meets no recursion limit."""
    assert parse_decision("Thought: " * 5000 + "Finish: 42") == Finish("42")
    assert parse_decision("Finish: " * 5000) == Finish(("Finish: " * 4999).strip())
