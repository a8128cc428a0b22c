from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.language.decision import Decision, Finish, Replan, parse_decision
from llmcompiler_graph.core.language.decision_parser import DecisionParser
from tests.core.language.test_decision import REPLIES
from tests.core.schedule.test_unit import opcodes


def read(pieces: list[str], *, bare: bool = False) -> tuple[Decision, list[str]]:
    """Read a reply as it streams; return the decision and what was shown, piece by piece, the rest last."""
    parser = DecisionParser(bare=bare)
    shown = [parser.feed(piece) for piece in pieces]
    decision, rest = parser.close()
    return decision, [*shown, rest]


@pytest.mark.parametrize(("text", "decision"), REPLIES, ids=[repr(text[:40]) for text, _ in REPLIES])
def test_replies(text: str, decision: Decision) -> None:
    """Read at once or letter by letter, each reply is the decision beside it, and only answers are shown."""
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
        (["Finish: a\n", "Act", "ion: x", "\nb"], ["a", "", "\nAction: x", "\nb", ""]),
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
        *(
            '"',
            ' "',
            '" ',
            '"\n',
            "\u201c",
            "\u201d",
            "\n```\n",
            "~~~\n",
            "<p>\n",
            "</p>\n",
            "- ",
            "  ",
            "\uff1a",
            "\uff08",
            "\uff09",
        ),
        *(". Replan: ", ". Finish: b", "\nFinish: c\n", "\nReplan: d\n", "\u5b8c\u6210\uff1a", "2. look(1)\n"),
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


@settings(deadline=None, max_examples=1000)
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


PROSE = "The Danube is longer than the Rhine by some 1,620 km, which follows from the two lengths that were found."


@settings(deadline=None, max_examples=500)
@given(
    st.sampled_from([PROSE, PROSE[:60], "K2 is missing.\n", "42 ", "So:\n"]),
    st.one_of(replies, in_form, st.just("")),
    st.data(),
)
@example(PROSE, 'Thought: "\n<END_OF_RESPONSE>', None)
def test_any_chunking_shows_an_answer_without_a_word_before_it(
    prose: str, rest: str, data: st.DataObject | None
) -> None:
    """Asked for the answer itself, a reply gives the same however it is cut; what is shown joins to its answer."""
    text = prose + rest
    cuts = [] if data is None else sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=9)))
    decision, shown = read([text[a:b] for a, b in pairwise([0, *cuts, len(text)])], bare=True)
    assert decision == read([text], bare=True)[0] == read(list(text), bare=True)[0]
    if isinstance(decision, Finish):
        assert "".join(shown) == decision.answer
    else:
        assert decision == parse_decision(text)


@pytest.mark.parametrize(
    ("text", "begins_at"),
    [
        (PROSE, 99),
        (f"Yes. {PROSE}", 99),
        (f"1,620 km: {PROSE}", 99),
        (f"长江更长，{PROSE}", 99),
        (f"Thought: {PROSE}\nFinish: 42", len(PROSE) + 18),
        ("Finish: 42", 8),
        *[
            (text, None)
            for text in (
                "42",
                f"Final answer: {PROSE}",
                f"- {PROSE}",
                f"> {PROSE}",
                f"1. {PROSE}",
                f"search({PROSE})",
                f'"{PROSE}"',
                f"K2 is missing.\nReplan: {PROSE}",
                f"Replan: {PROSE}",
                f'I need more.\n3. search("{PROSE}")',
                f'I need more.\n```\nsearch("{PROSE}")\n```',
            )
        ],
    ],
)
def test_when_an_answer_without_a_word_before_it_is_shown(text: str, begins_at: int | None) -> None:
    """It is shown from its first sentence on, unless that may be a thought, a plan, or why there must be another."""
    shown = read(list(text), bare=True)[1][:-1]
    assert next((n for n, piece in enumerate(shown) if piece), None) == begins_at


def test_a_replan_counts_although_an_answer_seemed_to_be_written() -> None:
    """What was shown is then left behind; a `Finish` that comes so late belongs to the answer."""
    assert read(list(f"{PROSE}\nReplan: K2"), bare=True)[0] == Replan("K2", PROSE)
    text = f"{PROSE}\nFinish: 42"
    assert read(list(text), bare=True)[0] == Finish(text)


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


@pytest.mark.parametrize(
    ("begin", "part"), [('"', ". Finish: b"), ("", ". Finish(b "), ("", "answer (b\n"), ("> ", "a<END_OF_PLAN> ")]
)
def test_what_may_decide_at_the_end(begin: str, part: str) -> None:
    """Each takes half a second; were marks looked for anew each time, these would time out."""
    text = begin + part * (300_000 // len(part))
    parser = DecisionParser()
    shown = "".join(parser.feed(text[at : at + 4]) for at in range(0, len(text), 4))
    decision, rest = parser.close()
    assert shown + rest == (decision.answer if isinstance(decision, Finish) else "")


@pytest.mark.timeout(15)
@pytest.mark.parametrize("part", ["-", "\n", ")", " ", "_ ", "a\n", "(\n"])
@pytest.mark.parametrize(
    "form",
    ["{}\nFinish: x", "Action:{}\nFinish: x", "Finish: a\n{}x", "Replan: a\n2. b{}x"],
    ids=["", "action", "f", "r"],
)
def test_a_model_that_repeats_itself(form: str, part: str) -> None:
    """Each takes a quarter of a second; were all that may go on searched for each piece, these would time out."""
    text = form.format(part * (100_000 // len(part)))
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
