import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcompiler_graph.thinking import WithoutThinking


def read(pieces: list[str]) -> str:
    """What is left of a reply that comes in these pieces."""
    reply = WithoutThinking()
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
        ("so\n</think>\n1. join()", "so\n</think>\n1. join()"),
        ("", ""),
    ],
)
def test_what_is_left(text: str, left: str) -> None:
    """Everything but the thinking at the beginning of a reply."""
    assert read([text]) == left


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "think>", "/", " ", "\n", "1. join()"]), max_size=8),
    st.data(),
)
def test_any_pieces(parts: list[str], data: st.DataObject) -> None:
    """However a reply is cut, the same is left of it."""
    text = "".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=len(text))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(pieces) == read([text])


@given(st.text(min_size=1).filter(lambda text: text[0] != "<" and not text[0].isspace()), st.text())
def test_other_replies(first: str, more: str) -> None:
    """They are passed on at once, unchanged."""
    reply = WithoutThinking()
    assert [reply.feed(first), reply.feed(more), reply.close()] == [first, more, ""]
