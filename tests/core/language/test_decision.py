import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.language.decision import Decision, DecisionParser, Finish, Replan, parse_decision
from tests.core.schedule.test_unit import opcodes


def read(pieces: list[str]) -> tuple[Decision, list[str]]:
    """Read a reply as it streams; return the decision and what was shown, piece by piece, the rest last."""
    parser = DecisionParser()
    shown = [parser.feed(piece) for piece in pieces]
    decision, rest = parser.close()
    return decision, [*shown, rest]


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
    """Each reply is the decision beside it, read at once or letter by letter, and only answers are shown."""
    assert parse_decision(text) == decision
    for pieces in ([text], list(text)):
        read_decision, shown = read(pieces)
        assert read_decision == decision
        assert "".join(shown) == (decision.answer if isinstance(decision, Finish) else "")


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["Thought: a\nFin", "ish: 8", "848", ".86 m"], ["", "8", "848", ".86 m", ""]),
        (["Finish(", "a ", "(b)", ")", " "], ["", "a", " (b", "", "", ")"]),
        (["Finish: a)", " b", "** ", "c"], ["a", ") b", "", "** c", ""]),
        (["Finish: a", "\n", "\n", "b"], ["a", "", "", "\n\nb", ""]),
        (["Finish: a", "<END", "_OF_THE", "<END_OF_RESPONSE> more"], ["a", "", "<END_OF_THE", "", ""]),
        (["Finish: a", " <", " b"], ["a", "", " < b", ""]),
        (["Finish: a\nRe", "plan", "ting\n", "b"], ["a", "", "\nReplanting", "\nb", ""]),
        (["Finish: a\n", "Act", "ion: x", "\nb"], ["a", "", "", "\nAction: x\nb", ""]),
        (["Finish: a\nRe", "plan: b", " c"], ["a", "", "", ""]),
        (["Finish", "\n", "b"], ["", "", "b", ""]),
        (["Finish", "ing touches"], ["", "", "Finishing touches"]),
        (["**Finish:", "*", "* a"], ["", "", "a", ""]),
        (["Answer: ", "a"], ["", "", "a"]),
        (["Replan: ", "a\nFinish: b"], ["", "", ""]),
        (["Finish(a)\n", "b"], ["a", "", ""]),
    ],
)
def test_what_is_shown_when(pieces: list[str], shown: list[str]) -> None:
    """The answer is shown as soon as it is sure: not the marks, parentheses and white space that may end it."""
    assert read(pieces)[1] == shown


words = st.sampled_from(
    [
        *("Thought: ", "Action:", "Finish", "finish: ", "Replan", "REPLAN: ", "Answer: ", "Final answer:"),
        *("\n", "\r\n", " ", "  ", ".", "*", "**", "`", "```", "_", "-", "# ", "> ", ":", "\u00a0", "é"),
        *("(", ")", ") ", "a", "b (c)", "1) ", "42", "<", "<END_", "<END_OF_RESPONSE>", "<END_OF_PLAN>"),
    ]
)
replies = st.lists(words, max_size=14).map("".join)
in_form = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "Thought: a\n"]),
    st.sampled_from(
        [
            "Finish: ",
            "Finish(",
            "Action: Finish(",
            "**Finish:** ",
            "**Finish: ",
            "Finish\n",
            "Finish:\n",
            "Replan: ",
            "Replan(",
        ]
    ),
    replies,
    st.sampled_from(["", ")", "**", "\n", ")\n", "\nReplan: b", "<END_OF_RESPONSE>"]),
)


@settings(deadline=None, max_examples=500)
@given(st.one_of(replies, in_form), st.data())
@example("Finish: a\u00a0", None)
@example("Finish: a<END_OF_RESPONSE> b < c", None)
@example("Finish: a\nReplan", None)
@example("Finish:\nReplan: a", None)
@example("Finish(a\nReplan: b\nc) d", None)
def test_any_chunking_shows_the_answer(text: str, data: st.DataObject | None) -> None:
    """However a reply is cut, what is shown joins to the answer exactly, and nothing is shown of a `Replan`."""
    cuts = range(1, len(text)) if data is None else sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=9)))
    decision, shown = read([text[a:b] for a, b in pairwise([0, *cuts, len(text)])])
    assert decision == parse_decision(text)
    assert "".join(shown) == (decision.answer if isinstance(decision, Finish) else "")


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


LONG = [
    ("Thought: {}\nFinish: 42", "we act and so on. "),
    ("Finish: {}", "it is so (see below) and so on\n"),
    ("Finish: {}", "it is so (see below) and so on. "),
    ("**Finish: {}**", "**it** is *so*. "),
    ("Finish({})", "it is so (see below)\n"),
    ("Replan: {}\n3. look()", "look (again)\n"),
    ("Finish: a{}b", ")"),
    ("Finish: a\n{}b", "-"),
    ("Replan: a\n2. b{}c", "("),
]


@pytest.mark.parametrize(("form", "part"), LONG, ids=[f"{form}, {part}" for form, part in LONG])
def test_work_grows_with_the_reply_and_not_faster(form: str, part: str) -> None:
    """Four times the reply takes about four times the work to read, in pieces as models send them."""

    def work(parts: int) -> None:
        text = form.format(part * parts)
        parser = DecisionParser(plans=True)
        for at in range(0, len(text), 4):
            parser.feed(text[at : at + 4])

    assert opcodes(lambda: work(120)) < 4.4 * opcodes(lambda: work(30))


def test_a_long_thought_is_searched_once() -> None:
    """Reading it in small pieces takes a second or two; were each to search all before it, the test would time out."""
    text = f"Thought: {'we act and so on. ' * 13_000}\nFinish: 42"
    decision, shown = read([text[at : at + 4] for at in range(0, len(text), 4)])
    assert (decision, "".join(shown)) == (Finish("42"), "42")


@pytest.mark.parametrize("part", ["-", "\n", ")", " ", "_ ", "a\n", "(\n"])
@pytest.mark.parametrize(
    "form",
    ["{}\nFinish: x", "Action:{}\nFinish: x", "Finish: a\n{}x", "Replan: a\n2. b{}x"],
    ids=["", "action", "f", "r"],
)
def test_a_model_that_repeats_itself(form: str, part: str) -> None:
    """Each takes half a second; were all that may go on searched for each piece, these would time out."""
    text = form.format(part * (200_000 // len(part)))
    parser = DecisionParser(plans=True)
    shown = "".join(parser.feed(text[at : at + 4]) for at in range(0, len(text), 4))
    decision, rest = parser.close()
    assert decision == parse_decision(text)
    assert shown + rest == (decision.answer if isinstance(decision, Finish) else "")


def test_a_plan_is_looked_for_only_if_there_may_be_one() -> None:
    """Where the joiner writes no plans, none is looked for below a `Replan`."""
    for plans, start in ((False, None), (True, 11)):
        parser = DecisionParser(plans=plans)
        parser.feed("Replan: K2\n2. look(1)\n")
        assert parser.plan_start == start


def test_a_long_reply_of_labels_is_read() -> None:
    """A model that repeats itself without end meets no recursion limit."""
    assert parse_decision("Thought: " * 5000 + "Finish: 42") == Finish("42")
    assert parse_decision("Finish: " * 5000) == Finish(("Finish: " * 4999).strip())
