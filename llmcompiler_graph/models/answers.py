"""What a model's reply has besides its text, for the message of the answer that stands in it.

Providers give citations, images and the like in content blocks. The text blocks of the answer are those of the reply,
cut to the answer, with what is noted on them; blocks of thought and tool calls are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk

__all__ = ("answer_content", "answer_extras", "merged", "refusal")

Content = str | list[str | dict[Any, Any]]

_INNER_BLOCKS = frozenset(
    {
        *("reasoning", "reasoning_content", "thinking", "redacted_thinking", "refusal"),
        *("tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "function_call", "custom_tool_call"),
        "input_json_delta",
    }
)
_INNER_EXTRAS = frozenset(
    {"reasoning", "reasoning_content", "reasoning_details", "thinking", "tool_calls", "function_call"}
)
_PLACES = ("start_index", "end_index")


def merged(chunks: Sequence[AIMessage]) -> AIMessage:
    """Make one message of the chunks of a reply."""
    pieces = [each if isinstance(each, AIMessageChunk) else _chunk(each) for each in chunks]
    if not pieces:
        return AIMessage("")
    return pieces[0] + pieces[1:] if len(pieces) > 1 else pieces[0]


def refusal(reply: AIMessage) -> str:
    """What a model says that refuses to reply, where its provider tells that apart; else empty."""
    said = [str(each.get("refusal", "")) for each in _blocks(reply) if each.get("type") == "refusal"]
    return "".join(said) or str(reply.additional_kwargs.get("refusal") or "")


def answer_extras(reply: AIMessage) -> dict[str, Any]:
    """What the provider adds to the reply, such as citations, without its thoughts and calls."""
    return {key: value for key, value in reply.additional_kwargs.items() if key not in _INNER_EXTRAS}


def answer_content(reply: AIMessage, answer: str) -> Content:
    """Make the content of the answer's message: its text, or content blocks if the reply has more than text.

    Args:
        reply: The whole reply.
        answer: What of its text is the answer.
    """
    kept = [each for each in _blocks(reply) if each.get("type") not in _INNER_BLOCKS]
    texts = [str(each.get("text", "")) if each.get("type") == "text" else "" for each in kept]
    first = "".join(texts).rfind(answer)
    content: list[str | dict[Any, Any]] = []
    if first < 0 and answer:  # a thought was taken out of it
        content.append({"type": "text", "text": answer, **_notes(kept)})
    start = 0
    for block, text in zip(kept, texts, strict=True):
        if block.get("type") != "text":
            content.append(block)
        elif first >= 0:
            cut = slice(max(0, first - start), max(0, first + len(answer) - start))
            if text[cut]:
                content.append(_cut(block, text, cut))
        start += len(text)
    only_text = all(isinstance(each, dict) and each.keys() <= {"type", "text", "index", "id"} for each in content)
    return answer if only_text else content


def _chunk(message: AIMessage) -> AIMessageChunk:
    kept = message.model_dump(exclude={"type", "tool_calls", "invalid_tool_calls"})
    return AIMessageChunk(**kept)


def _blocks(reply: AIMessage) -> list[dict[Any, Any]]:
    if isinstance(reply.content, str):
        return []
    return [{"type": "text", "text": each} if isinstance(each, str) else each for each in reply.content]


def _cut(block: dict[Any, Any], text: str, cut: slice) -> dict[Any, Any]:
    """A text block with a part of its text, and with what is noted on that."""
    part = {**block, "text": text[cut]}
    if isinstance(notes := block.get("annotations"), list):
        part["annotations"] = [moved for each in notes if (moved := _moved(each, cut.start, len(part["text"])))]
    return part


def _moved(note: Any, by: int, size: int) -> Any:
    """An annotation, told where what it is about stands now; `None` if it is about something else."""
    if not (isinstance(note, dict) and all(isinstance(note.get(place), int) for place in _PLACES)):
        return note
    start, end = (note[place] - by for place in _PLACES)
    return {**note, "start_index": max(0, start), "end_index": min(size, end)} if start < size and end > 0 else None


def _notes(blocks: Iterable[dict[Any, Any]]) -> dict[str, Any]:
    """What is noted on all text blocks, without places."""
    notes = [each for block in blocks for each in block.get("annotations") or ()]
    bare = [{k: v for k, v in each.items() if k not in _PLACES} if isinstance(each, dict) else each for each in notes]
    return {"annotations": bare} if bare else {}
