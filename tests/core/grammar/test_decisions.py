from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.grammar.decisions import decision_grammar
from llmcompiler_graph.core.grammar.forms import write
from llmcompiler_graph.core.grammar.rules import Form
from llmcompiler_graph.core.language.decision import Finish, Replan, parse_decision
from llmcompiler_graph.core.language.decision_parser import DecisionParser
from tests.grammar_engine import accepts, sentence

FORMS: list[Form] = ["lark", "gbnf"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("one_line", [True, False])
@pytest.mark.parametrize(
    ("reply", "always", "if_allowed"),
    [
        ("Thought: t\nFinish: a", True, True),
        ("Thought: t\nReplan: a", False, True),
        ("Finish: a", False, False),
        ("Thought: t\nFinish: ", False, False),
        ("Thought: t\nanswer", False, False),
    ],
)
def test_a_thought_and_one_of_two_forms(form: Form, reply: str, always: bool, if_allowed: bool, one_line: bool) -> None:
    """Replanning is only offered while it is allowed."""
    assert accepts(write(decision_grammar(may_replan=False, one_line=one_line), form), form, reply) is always
    assert accepts(write(decision_grammar(may_replan=True, one_line=one_line), form), form, reply) is if_allowed


LIST = """\
Finish: The plan:

- Replan the budget
- **Action items**: call Bob
- Action: call Bob

```python
print("Finish: 1")
```
actions, replanning: a"""


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (LIST, True),
        ("Finish: " + "a" * 5000, True),
        ("Finish:\n\n1. a\n2. b", False),
        ("Finish:\n1. a\n2. b", True),
        ("Finish: a\nReplan: none", False),
        ("Finish: a\n- **replan**: b", False),
        ("Finish: a\nREPLAN", False),
        ("Finish: a\nAction: Replan(b)", False),
        ("Finish: a\nb\n> action : replan: c", False),
        ("Replan: a\nb", False),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_an_answer_may_have_lines(form: Form, decision: str, expected: bool) -> None:
    """All but those that would end it; and what is accepted is read as it stands."""
    reply = f"Thought: t\n{decision}"
    assert accepts(write(decision_grammar(may_replan=True), form), form, reply) is expected
    assert not accepts(write(decision_grammar(may_replan=True, one_line=True), form), form, reply)
    if expected:
        assert parse_decision(reply) == Finish(decision.removeprefix("Finish:").strip())


words = st.sampled_from(
    [
        "replan",
        "Replan",
        "action",
        "Action:",
        ":",
        "\uff1a",
        "(",
        "\uff08",
        ")",
        " ",
        "-",
        "*",
        "_",
        ".",
        "\n",
        "a",
        "r",
    ]
)


@given(st.lists(words, max_size=12).map("".join))
@settings(max_examples=200, deadline=None)
def test_no_line_ends_an_answer(text: str) -> None:
    """Whatever lines the grammar accepts, the whole of them is the answer."""
    reply = f"Thought: t\nFinish: a\n{text}\nb"
    if accepts(write(decision_grammar(may_replan=True), "lark"), "lark", reply):
        assert parse_decision(reply) == Finish(f"a\n{text}\nb")
        parser = DecisionParser()
        pieces = [parser.feed(char) for char in reply]
        assert "".join([*pieces, parser.close()[1]]) == f"a\n{text}\nb"


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_replan_is_one(seed: int) -> None:
    """Random replies of the grammar are read as the decision they say."""
    reply = sentence(write(decision_grammar(may_replan=True, one_line=True), "lark"), "lark", Random(seed))
    assert isinstance(parse_decision(reply), Replan if reply.split("\n")[1].startswith("Replan") else Finish)


@pytest.mark.parametrize(
    ("reply", "accepted"),
    [
        ("The Danube.", True),
        ("The Danube.\n\n- and more", True),
        ("42", True),
        ("Replan: the Rhine", True),
        ("The Danube.\nReplan: the Rhine", False),
        ("", False),
        ("\nThe Danube", False),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_brief_replies(form: Form, reply: str, accepted: bool) -> None:
    """The answer stands there without a thought and without a word before it."""
    assert accepts(write(decision_grammar(may_replan=True, brief=True), form), form, reply) is accepted


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_brief_replies_are_read_as_they_stand(seed: int, may_replan: bool, one_line: bool) -> None:
    """A random one is a replan if it says so, and else an answer; it is one where no other plan is possible."""
    rules = decision_grammar(may_replan=may_replan, one_line=one_line, brief=True)
    reply = sentence(write(rules, "lark"), "lark", Random(seed), most=300)
    assert may_replan or isinstance(parse_decision(reply), Finish)
