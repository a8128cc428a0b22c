import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.language.decision import Decision, Finish, Replan, parse_decision

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


@pytest.mark.parametrize(("text", "decision"), REPLIES, ids=[repr(text[:40]) for text, _ in REPLIES])
def test_replies(text: str, decision: Decision) -> None:
    """Each reply is the decision beside it."""
    assert parse_decision(text) == decision


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
