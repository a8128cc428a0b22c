"""What an MCP tool's structured content is: MCP wants an object, so FastMCP wraps whatever else a tool returns.

>>> blocks = [{"type": "text", "text": "4.5"}]
>>> structured_value({"structured_content": {"result": 4.5}}, blocks, None)
4.5
>>> structured_value({"structured_content": {"result": 4.5}}, [{"type": "text", "text": '{"result": 4.5}'}], None)
{'result': 4.5}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmcompiler_graph.calls.json_schemas import unwrapped
from llmcompiler_graph.core.language.json_text import read_json

__all__ = ("structured_value",)


def structured_value(artifact: Mapping[str, Any], content: Any, output_schema: object) -> Any:
    """The value in the artifact of an MCP tool's message.

    Args:
        artifact: As MCP adapters make it; it has `structured_content`.
        content: The message's content, which holds the same as text.
        output_schema: The tool's `outputSchema`, if it is known.
    """
    structured = artifact["structured_content"]
    if not isinstance(structured, dict) or set(structured) != {"result"}:
        return structured
    if isinstance(output_schema, dict):
        wrapped = unwrapped(output_schema) is not None
    else:
        wrapped = _is_marked(artifact) or _is_told(structured["result"], content)
    return structured["result"] if wrapped else structured


def _is_marked(artifact: Mapping[str, Any]) -> bool:
    """Whether the result's `_meta` has the mark of the package `fastmcp`."""
    meta = artifact.get("_meta") or artifact.get("meta")
    own = meta.get("fastmcp") if isinstance(meta, dict) else None
    return isinstance(own, dict) and own.get("wrap_result") is True


def _is_told(result: Any, content: Any) -> bool:
    """Whether the content is a value, and not an object with it: as text, or for a list in a block per element."""
    blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [block.get("text") for block in blocks if isinstance(block, dict)]
    if not texts:
        return result in (None, [])
    if len(texts) == 1 and _is_text_of(texts[0], result):
        return True
    return isinstance(result, list) and len(texts) == len(result) and all(map(_is_text_of, texts, result))


def _is_text_of(text: Any, value: Any) -> bool:
    if not isinstance(text, str):
        return False
    if text == value:
        return True
    try:
        return bool(read_json(text) == value)
    except ValueError:
        return False
