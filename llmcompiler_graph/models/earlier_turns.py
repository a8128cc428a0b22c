"""The earlier turns of a conversation: each question with what tools returned for it, and each answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)

from llmcompiler_graph.core.language.json_text import read_json
from llmcompiler_graph.core.language.references import parse_template
from llmcompiler_graph.core.language.substitution import joined_surrogates
from llmcompiler_graph.models.observations import has_images, shown
from llmcompiler_graph.state import PARTIAL_RESULTS

__all__ = ("earlier_turns", "latest_turns", "with_text")

_FOUND = "Found for it:"
_EARLIER_CHARS = 1000  # shown of what a call returned in an earlier turn
_LEFT_OUT = "(What was said before this is left out.)"
_BLOCK = 4000  # what a block that is no text, such as an image, counts as, in characters


def earlier_turns(messages: Iterable[AnyMessage], limit: int) -> list[BaseMessage]:
    """The earlier turns: each question with what tools returned for it, and each answer."""
    prompt: list[BaseMessage] = []
    calls: dict[str | None, ToolCall] = {}
    found: dict[int, list[str]] = {}  # where the question stands -> what was found for it
    for message in messages:
        if isinstance(message, AIMessage):
            calls |= {call["id"]: call for call in message.tool_calls}
        if _is_said(message):
            prompt.append(_bare(message) if isinstance(message, AIMessage) else message)
        elif isinstance(message, ToolMessage) and message.tool_call_id in calls and (what := _returned(message, limit)):
            found.setdefault(len(prompt) - 1, []).append(f"{_call(calls[message.tool_call_id])} = {what}")
    for position, lines in found.items():
        if position >= 0 and isinstance(question := prompt[position], HumanMessage):
            content = with_text(question, [], ["\n".join([_FOUND, *lines])])
            prompt[position] = question.model_copy(update={"content": content})
    return prompt


def latest_turns(messages: Sequence[BaseMessage], most: int | None) -> list[BaseMessage]:
    """As many earlier turns as fit, whole, the latest; the first of them says that there were others.

    Where they no longer fit, about half of them is left out at once: so the beginning of the prompt stays the same for
    many turns, and prompt caches hit.

    Args:
        messages: What `earlier_turns` gives.
        most: How many characters fit; `None` for any number.
    """
    sizes = [_size(message) for message in messages]
    if most is None or (excess := sum(sizes) - most) <= 0:
        return [*messages]
    step = max(1, most // 2)
    wanted = -(-excess // step) * step
    starts = [n for n, each in enumerate(messages) if n == 0 or _begins_turn(messages[n - 1], each)]
    dropped = 0
    for start, end in zip(starts, [*starts[1:], len(messages)], strict=True):
        size = sum(sizes[start:end])
        if dropped >= wanted or (end == len(messages) and size <= most):
            first = messages[start]
            told = first.model_copy(update={"content": with_text(first, [_LEFT_OUT], [])})
            return [told, *messages[start + 1 :]]
        dropped += size
    return []


def _begins_turn(before: BaseMessage, message: BaseMessage) -> bool:
    return isinstance(before, AIMessage) and not isinstance(message, AIMessage)


def _size(message: BaseMessage) -> int:
    """How much a message counts, in characters."""
    others = [] if isinstance(message.content, str) else [b for b in message.content if not _is_text(b)]
    return len(message.text) + _BLOCK * len(others)


def _is_text(block: Any) -> bool:
    return isinstance(block, str) or block.get("type") == "text"


def _bare(answer: AIMessage) -> AIMessage:
    """The text of an answer, without what its provider added to it, and without a name that providers refuse."""
    name = answer.name if re.fullmatch(r"[^\s<|\\/>]+", answer.name or "") else None
    return AIMessage(joined_surrogates(answer.text), name=name)


def _call(call: ToolCall) -> str:
    """An earlier turn's call, without what reads like a reference: it would mean another task now."""
    return f"{call['name']}({', '.join(f'{name}={_bound(value)}' for name, value in call['args'].items())})"


def _bound(argument: Any) -> str:
    text = json.dumps(argument, ensure_ascii=False)
    read = parse_template(text, is_task=lambda index: True)
    return shown(argument, 200) if isinstance(read.value, str) and not read.malformed else "…"


def _returned(message: ToolMessage, limit: int) -> str:
    """What an earlier turn's call returned; of a fan-out that failed in part, what its other calls did; or nothing."""
    if message.status == "error":
        partial = message.artifact.get(PARTIAL_RESULTS) if isinstance(message.artifact, dict) else None
        return f"{shown(partial, limit)} (null: that call failed)" if partial is not None else ""
    if has_images(message.content):
        return shown(message.content, limit)
    try:
        return shown(read_json(message.text), limit)
    except ValueError:
        return shown(message.text, limit)


def _is_said(message: AnyMessage) -> bool:
    """Whether a message of an earlier turn is a question or an answer; some providers refuse empty answers."""
    if isinstance(message, AIMessage):
        return bool(message.text) and not message.tool_calls
    return not isinstance(message, ToolMessage | SystemMessage)


def with_text(question: BaseMessage, before: Sequence[str], after: Sequence[str]) -> str | list[str | dict[Any, Any]]:
    """The content of a question with texts before and after it; blocks stay blocks."""
    content = question.content
    if isinstance(content, str):
        return "\n\n".join([*before, content, *after])
    return [*({"type": "text", "text": t} for t in before), *content, *({"type": "text", "text": t} for t in after)]
