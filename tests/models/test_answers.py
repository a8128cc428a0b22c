from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from llmcompiler_graph.models.answers import answer_content, answer_extras, merged, refusal

URL: dict[str, Any] = {"type": "url_citation", "url": "https://a.b", "title": "A"}
TEXT = "Thought: found.\nFinish: K2 is 8611 m high."


def note(of: str, **more: Any) -> dict[str, Any]:
    """A citation of some words of the text."""
    start = TEXT.index(of)
    return {**URL, "start_index": start, "end_index": start + len(of), **more}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (TEXT, "K2 is 8611 m high."),
        ([TEXT], "K2 is 8611 m high."),
        ([{"type": "text", "text": TEXT, "index": 0}], "K2 is 8611 m high."),
        ([{"type": "reasoning", "reasoning": "x"}, {"type": "text", "text": TEXT}], "K2 is 8611 m high."),
        (
            [{"type": "thinking", "thinking": "K2 is 8611 m high."}, {"type": "text", "text": TEXT}],
            "K2 is 8611 m high.",
        ),
        (
            [{"type": "text", "text": TEXT, "annotations": [note("8611"), note("found"), note("Finish: K2"), URL]}],
            [
                {
                    "type": "text",
                    "text": "K2 is 8611 m high.",
                    "annotations": [
                        {**URL, "start_index": 6, "end_index": 10},
                        {**URL, "start_index": 0, "end_index": 2},
                        URL,
                    ],
                }
            ],
        ),
        (
            [
                {"type": "text", "text": "Thought: found.\nFinish: K2 "},
                {"type": "text", "text": "is 8611 m", "citations": [{"type": "char_location", "cited_text": "8611"}]},
                {"type": "text", "text": " high."},
            ],
            [
                {"type": "text", "text": "K2 "},
                {"type": "text", "text": "is 8611 m", "citations": [{"type": "char_location", "cited_text": "8611"}]},
                {"type": "text", "text": " high."},
            ],
        ),
        (
            [{"type": "image", "url": "https://a.b/c.png"}, {"type": "text", "text": TEXT}],
            [{"type": "image", "url": "https://a.b/c.png"}, {"type": "text", "text": "K2 is 8611 m high."}],
        ),
        (
            [
                {"type": "text", "text": "Finish: K2 is <think>no</think>8611 m high.", "annotations": [note("K2")]},
                {"type": "tool_use", "name": "x"},
            ],
            [{"type": "text", "text": "K2 is 8611 m high.", "annotations": [URL]}],
        ),
    ],
)
def test_content_of_an_answer(content: Any, expected: Any) -> None:
    """It is text, unless the reply has more for the user; then blocks, cut to the answer, with what is noted on it."""
    assert answer_content(AIMessage(content), "K2 is 8611 m high.") == expected


def test_an_answer_without_text() -> None:
    """An image alone is an answer."""
    image = {"type": "image", "url": "https://a.b/c.png"}
    assert answer_content(AIMessage([image]), "") == [image]
    assert answer_content(AIMessage([{"type": "text", "text": "Thought: a"}]), "") == ""


def test_chunks_of_a_reply() -> None:
    """They become one message, with blocks put together; a message that came whole is one chunk."""
    pieces = [AIMessageChunk(content=[{"type": "text", "text": text, "index": 0}]) for text in ("K2", " is high")]
    assert merged(pieces).content == [{"type": "text", "text": "K2 is high", "index": 0}]
    whole = AIMessage("K2", additional_kwargs={"citations": ["a"]}, usage_metadata=None)
    assert (merged([whole]).content, merged([whole]).additional_kwargs) == ("K2", {"citations": ["a"]})
    assert merged([]).content == ""


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (AIMessage("", additional_kwargs={"refusal": "I will not."}), "I will not."),
        (AIMessage([{"type": "refusal", "refusal": "I will not."}]), "I will not."),
        (AIMessage("K2", additional_kwargs={"refusal": None}), ""),
        (AIMessage("I will not."), ""),
    ],
)
def test_refusals(reply: AIMessage, said: str) -> None:
    """They are known where the provider tells them apart from text."""
    assert refusal(reply) == said


def test_what_the_provider_adds() -> None:
    """Citations are kept, thoughts and calls are not."""
    given = {"citations": ["a"], "reasoning_content": "x", "tool_calls": [], "audio": {"id": "1"}}
    assert answer_extras(AIMessage("K2", additional_kwargs=given)) == {"citations": ["a"], "audio": {"id": "1"}}
