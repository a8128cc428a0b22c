from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.language.thinking import THINKING_TAGS, WithoutThinking
from tests.core.schedule.test_unit import opcodes

IN_PROMPT = (*THINKING_TAGS, ("", "</think>"))


def read(
    pieces: list[str], pairs: tuple[tuple[str, str], ...] = THINKING_TAGS, *, answers: bool = False
) -> tuple[str, bool]:
    """What is left of a reply that comes in these pieces, and whether something was taken back."""
    reply = WithoutThinking(pairs, answers=answers)
    left, taken_back = "", False
    for piece in [*pieces, None]:
        part = reply.close() if piece is None else reply.feed(piece)
        if reply.unopened is not None:
            left, taken_back = "", True
        left += part
    return left, taken_back


PLAN = "1. search(K2)\n2. join()"


@pytest.mark.parametrize(("first", "last"), THINKING_TAGS, ids=[first for first, _ in THINKING_TAGS])
@pytest.mark.parametrize("change", [str, str.upper, str.lower, str.title], ids=["", "upper", "lower", "title"])
def test_tags_of_all_families(first: str, last: str, change: type[str]) -> None:
    """What stands between them is left out: before the reply, between its lines, behind a sentence; in any case."""
    first, last = change(first), change(last)
    thought = f"{first}\nPerhaps\n1. book(large)\nNo.\n{last}"
    for text, left in (
        (f"{thought}\n{PLAN}", PLAN),
        (f" \n{thought}{PLAN}", PLAN),
        (f"{thought}\n\n{thought}\n{PLAN}", PLAN),
        (f"1. search(K2)\n{thought}\n2. join()", PLAN),
        (f"Sure. {thought}\n{PLAN}", f"Sure. \n{PLAN}"),
        (f"Thought: {thought}\n{PLAN}", f"Thought: \n{PLAN}"),
        (f"Thought: {first}1. book(large)\n{last}{PLAN}", f"Thought: \n{PLAN}"),
        (f"Well {thought}\n{PLAN}", f"Well \n{PLAN}"),
        (f"```\n{thought}\n{PLAN}\n```", f"```\n{PLAN}\n```"),
        (f"Here:\n```\n{thought}\n{PLAN}\n```", f"Here:\n```\n{PLAN}\n```"),
        (f"{first}\n1. book(large)", ""),
        (f"1. search(K2)\n{first}\n2. book(large)", "1. search(K2)\n"),
    ):
        assert read([text]) == (left, False)
        assert read(list(text)) == (left, False)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>is </thin a tag?</think>yes</think>", "yes</think>"),
        ("<think>t</think>\n", ""),
        ("<think>t</think></think>\nyes", "yes"),
        ("<thinker>yes", "<thinker>yes"),
        (" <thin", " <thin"),
        ("", ""),
        # what talks about tags
        ("say <think>no</think>", "say <think>no</think>"),
        ("R1 writes <think> and </think> around it.", "R1 writes <think> and </think> around it."),
        ("The <think> tag\nbegins it.", "The <think> tag\nbegins it."),
        ("The `<think>`\ntag.\n`</think>`", "The `<think>`\ntag.\n`</think>`"),
        ('1. search("K2. <think>\\" <think>")\n2. join()', '1. search("K2. <think>\\" <think>")\n2. join()'),
        ("1. search('<think> tags')\n2. a('</think>')", "1. search('<think> tags')\n2. a('</think>')"),
        ('1. save("""\n<think>\nx\n</think>\n""")', '1. save("""\n<think>\nx\n</think>\n""")'),
        ("Don't. <think>I won't</think> Done", "Don't. Done"),
        # a thought after one that was only mentioned
        ("The <think> tag.\n<thinking>\nno\n</thinking>\nyes", "The <think> tag.\nyes"),
        ("A <think> b <thinking>\nno\n</thinking>\nyes", "A <think> b \nyes"),
        # what stands around a reply
        (
            "<|channel|>analysis<|message|>no<|end|><|start|>assistant<|channel|>final<|message|>yes<|return|>",
            "yes",
        ),
        (
            "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>analysis<|message|>no<|end|>"
            "<|start|>assistant<|channel|>final<|message|>1. search(K2)<|return|>",
            "I look.\n1. search(K2)",
        ),
        ("<|START_THINKING|>no<|END_THINKING|><|START_RESPONSE|>yes<|END_RESPONSE|>", "yes"),
        ("<think>no</think>\n<answer>\nyes\n</answer>", "yes\n"),
        ("<answer>yes</answer>", "<answer>yes</answer>"),
        ("a <|end|> b <|return|>", "a <|end|> b <|return|>"),
    ],
)
def test_what_is_left(text: str, left: str) -> None:
    """Everything but thoughts, however a reply is cut; what only talks about tags stays."""
    for size in (1, 2, 3, 7, len(text) or 1):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert read(pieces)[0] == left


@pytest.mark.parametrize(
    "text",
    [
        "Finish: R1 writes\n```\n<think>\nno\n</think>\n42\n```\nlike this",
        "Finish: <think> marks a thought",
        "Finish:\n- `<think>`\n- `</think>`",
        'Finish: it begins with "<think>"\nand ends.',
        "Thought: it says\n> <think>\n> no\nFinish: yes",
        "Thought: it says\n~~~\n<think>\n~~~\nFinish: yes",
        "Thought: it says\n````\n```\n<think>\n```\n<think>\n````\nFinish: yes",
        "Thought: it says <blockquote>\n<think>\nno\n</blockquote>\nFinish: yes",
        'Finish: it says <Quote from="a page">so.\n<think>no\n</think></quote>\nand ends.',
        "<pre>\nno\n</think>\n</pre>\nFinish: yes",
    ],
)
def test_answers_about_tags(text: str) -> None:
    """An answer may show tags: in a code fence of any length, a block quote of either kind, quotes, behind a label."""
    assert read([text], answers=True) == (text, False)
    assert read(list(text), answers=True) == (text, False)


def test_an_answer_all_in_a_fence() -> None:
    """A fence around the whole reply protects nothing."""
    text = "```\n<think>\nFinish: no\n</think>\nFinish: yes\n```"
    assert read(list(text), answers=True) == read([text], answers=True) == ("```\nFinish: yes\n```", False)


@pytest.mark.parametrize(
    ("pieces", "left", "taken_back"),
    [
        (["so\n</think>\n1. join()"], "1. join()", True),
        (["s", "o\n</thi", "nk>\n", "yes"], "yes", True),
        (["</think>\n\n1. join()"], "1. join()", True),
        (["1. search(K2)\n", "</think>"], "", True),
        (["1. search(K2)\n", " </THINKING>\n", "1. search(K3)\n</think>\n"], "1. search(K3)\n</think>\n", True),
        (["The tag </think> ", "ends it"], "The tag </think> ends it", False),
        (["1. search(K2)\n", "2. join()\n<|end|>"], "1. search(K2)\n2. join()\n<|end|>", False),
        (["<think>no</think>1. search(K2)\n", "</think>\n2. join()"], "1. search(K2)\n</think>\n2. join()", False),
    ],
)
def test_a_thought_that_has_no_beginning(pieces: list[str], left: str, taken_back: bool) -> None:
    """A tag that ends one, where a line begins, takes back what was passed on; once, and not behind another thought."""
    assert read(pieces) == (left, taken_back)


@pytest.mark.parametrize(
    ("pieces", "left"),
    [
        (["1. search", "(K2)\n</th", "ink>\n\n1. ", "join()"], "1. join()"),
        (["1. search(K2). So.</think>", "1. join()"], "1. join()"),
        (["<think>no", "</think>1. join()"], "1. join()"),
        (["<thinking>no", "</thinking>1. join()"], "1. join()"),
        (["1. join", "()"], "1. join()"),
        (["<think>1. join()"], ""),
        (["</thi", "nk>1. join()"], "1. join()"),
    ],
)
def test_thoughts_that_begin_in_the_prompt(pieces: list[str], left: str) -> None:
    """Where they do, a reply is held back up to the end of its thought; if there is none, it was the reply."""
    reply = WithoutThinking(IN_PROMPT)
    assert [reply.feed(pieces[0][:5]), reply.unopened] == ["", None]
    assert read(pieces, IN_PROMPT) == (left, False)


def test_tags_of_the_caller() -> None:
    """They are found as those of the table are, which then do not count."""
    pairs = (("Let me think:", "So:"), ("```thinking", "```"))
    assert read(list("let me think: a\n1. b()\nSO: 1. c()"), pairs)[0] == "1. c()"
    assert read(list("```thinking\n1. b()\n```\n1. c()\n```\n"), pairs)[0] == "1. c()\n```\n"
    assert read(["<think>yes"], pairs)[0] == "<think>yes"
    assert read(["<think>yes"], ())[0] == "<think>yes"


parts = st.sampled_from(
    [
        *("<think>", "</think>", "<THINKING>", "</thinking>", "[THINK]", "[/THINK]", "<", "think>", "/", "[", "\\"),
        *(
            "<|channel|>analysis<|message|>",
            "<|channel|>final<|message|>",
            "<|end|>",
            "<|start|>assistant",
            "<|return|>",
        ),
        *('"', "'", "`", "```", '"""', " ", "\n", "\n\n", ". ", ": ", "a", "1. join()", "Finish: "),
    ]
)


@settings(max_examples=400)
@given(st.lists(parts, max_size=14).map("".join), st.booleans(), st.booleans(), st.data())
@example("a\n</think>b", False, False, None)
@example('"""a\n<think>b', True, False, None)
def test_any_pieces(text: str, answers: bool, in_prompt: bool, data: st.DataObject | None) -> None:
    """However a reply is cut, the same is left of it."""
    cuts = range(1, len(text)) if data is None else sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=9)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    pairs = IN_PROMPT if in_prompt else THINKING_TAGS
    assert read(pieces, pairs, answers=answers)[0] == read([text], pairs, answers=answers)[0]


@given(
    st.text(st.characters(exclude_characters="<[◁\"'`\\")).filter(lambda text: text.strip() == text != ""), st.text()
)
def test_other_replies(first: str, more: str) -> None:
    """They are passed on at once, unchanged."""
    reply = WithoutThinking()
    assert reply.feed(first) == first
    more = more.translate(dict.fromkeys(map(ord, "<[◁\"'`\\")))
    assert [reply.feed(more), reply.close()] == [more, ""]


@pytest.mark.parametrize("pairs", [THINKING_TAGS, IN_PROMPT], ids=["", "in the prompt"])
@pytest.mark.parametrize(
    ("form", "part"),
    [
        ("<think>{}</think>a", "so it is. "),
        ("<think>{}</think>a", "</thin"),
        ("{}", "so it is\n"),
        ("{}", "\n"),
        ("{}", " "),
        ("a{}", "\\"),
        ("a{}", '"'),
        ("a{}", "<"),
        ("a <think> b {}", "so it is\n"),
        ("{}", "a <think> b\n"),
        ("{}", "<think>a</think>"),
        ("{}", "<think>a</think>\nb\n"),
        ("{}", "a\n</think>\n"),
        ("{}", "<|start|>assistant"),
    ],
)
def test_work_grows_with_the_reply_and_not_faster(form: str, part: str, pairs: tuple[tuple[str, str], ...]) -> None:
    """Four times the reply takes about four times the work to read, whole or in pieces as models send them."""

    def work(parts: int, size: int) -> None:
        text = form.format(part * parts)
        reply = WithoutThinking(pairs)
        for at in range(0, len(text), size):
            reply.feed(text[at : at + size])
        reply.close()

    for size in (4, 100_000):
        assert opcodes(partial(work, 120, size)) < 4.4 * opcodes(partial(work, 30, size)) + 400


@pytest.mark.timeout(15)
@pytest.mark.parametrize("pairs", [THINKING_TAGS, IN_PROMPT], ids=["", "in the prompt"])
@pytest.mark.parametrize(
    "part", ["so it is\n", "\n", "a <think> b\n", "<think>a</think>\n", "<", '"', "\\", "</think>\n"]
)
def test_long_replies(part: str, pairs: tuple[tuple[str, str], ...]) -> None:
    """Each takes a quarter of a second; were what is held searched or copied for each piece, these would time out."""
    text = part * (200_000 // len(part))
    for size in (4, len(text)):
        reply = WithoutThinking(pairs)
        for at in range(0, len(text), size):
            reply.feed(text[at : at + size])
        reply.close()
