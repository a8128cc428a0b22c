import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmcompiler_graph.core.language.thinking import WithoutThinking, without_thinking


def read(pieces: list[str], *, opened: bool = False) -> str:
    """What is left of a reply that comes in these pieces."""
    reply = WithoutThinking(opened=opened)
    return "".join([*map(reply.feed, pieces), reply.close()])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>\n1. search(K2)\n</think>\n\n1. join()\n", "1. join()\n"),
        (" \n<think></think>1. join()", "1. join()"),
        ("<think>is </thin a tag?</think>yes</think>", "yes</think>"),
        ("<think>1. join()", ""),
        ("<think>t</think>\n", ""),
        ("<thinking>yes", "<thinking>yes"),
        (" <thin", " <thin"),
        ("say <think>no</think>", "say <think>no</think>"),
        ("so\n</think>\n1. join()", "1. join()"),
        ("</think>\n\n1. join()", "1. join()"),
        ("1. search(K2)\n</think>", ""),
        ("", ""),
    ],
)
def test_what_is_left(text: str, left: str) -> None:
    """Everything but the thinking at the beginning of a reply."""
    assert read([text]) == left


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "think>", "/", " ", "\n", "1. join()"]), max_size=8),
    st.booleans(),
    st.data(),
)
def test_any_pieces(parts: list[str], opened: bool, data: st.DataObject) -> None:
    """However a reply is cut, the same is left of it; also of a thought that has no beginning, if it is expected."""
    text = "".join(parts)
    assume(opened or without_thinking(text) == text)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=len(text))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(pieces, opened=opened) == read([text], opened=opened)


@pytest.mark.parametrize(
    ("pieces", "left", "opened"),
    [
        (["s", "o\n</thi", "nk>\n", "yes"], ["s", "o\n</thi", "nk>\n", "yes"], True),
        (["The tag </think> ", "ends it"], ["The tag </think> ", "ends it"], False),
        (["say <thi", "nk>no</thi", "nk> yes"], ["say <thi", "nk>no</thi", "nk> yes"], False),
        (["<think>no</think>", "yes</think>"], ["", "yes</think>"], False),
        (["\n", "so\n</think>yes"], ["", "yes"], True),
    ],
)
def test_a_thought_that_has_no_beginning(pieces: list[str], left: list[str], opened: bool) -> None:
    """Of a reply that is passed on, it is noted whether a thought without a beginning ended in it."""
    reply = WithoutThinking()
    assert [*map(reply.feed, pieces)] == left
    assert reply.opened is opened


@pytest.mark.parametrize(
    ("pieces", "left"),
    [
        (["1. search", "(K2)\n</th", "ink>\n\n1. ", "join()"], "1. join()"),
        (["<think>no", "</think>1. join()"], "1. join()"),
        (["1. join", "()"], "1. join()"),
        (["<think>1. join()"], ""),
    ],
)
def test_a_thought_that_is_expected_to_have_no_beginning(pieces: list[str], left: str) -> None:
    """It is held back up to its end; if there is none, it was the reply."""
    assert read(pieces, opened=True) == left


@given(st.text(min_size=1).filter(lambda text: text[0] != "<" and not text[0].isspace()), st.text())
def test_other_replies(first: str, more: str) -> None:
    """They are passed on at once, unchanged."""
    reply = WithoutThinking()
    assert [reply.feed(first), reply.feed(more), reply.close()] == [first, more, ""]
