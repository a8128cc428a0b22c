"""Observations as models are shown them: JSON text, cut to a limit, and the images that stand in it as images.

>>> images = Images()
>>> page = [{"type": "text", "text": "a page"}, {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}]
>>> shown(page, 4000, images)
'[{"type": "text", "text": "a page"}, "(image 1, image/png: above)"]'
>>> images.blocks[0]
{'type': 'text', 'text': 'Image 1:'}
>>> shown({"wav": {"type": "audio", "base64": "UklGRg==", "mime_type": "audio/wav"}}, 4000, images)
'{"wav": "(audio, audio/wav, 8 characters of base64: not shown)"}'
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from llmcompiler_graph.core.language.json_text import cut, write_json
from llmcompiler_graph.models.lazy import innermost

__all__ = ("Images", "has_images", "shown", "takes_images", "without_images")

_MOST_IMAGES = 20  # that a prompt shows of one plan; providers take no more than 50 or 100 in all
_MOST_BASE64 = 5_000_000  # characters of an image; beyond, providers refuse the whole prompt, as for other formats
_FORMATS = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}
_IMAGES = ("image", "image_url", "input_image")
_OTHERS = ("audio", "input_audio", "video", "file", "input_file", "document", "media", "resource", "blob")
_PAYLOADS = ("base64", "data", "blob", "bytes", "file_data")
_LONG = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{1000}")
_BASE64 = re.compile(r"(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=[^0-9]*[0-9])[A-Za-z0-9+/_-]{1000,}={0,2}")
_LABEL = re.compile(r"Image \d+:")


class Images:
    """The images of what one message shows, in order."""

    def __init__(self, most: int = _MOST_IMAGES) -> None:
        self.blocks: list[dict[str, Any]] = []
        """Content blocks of the message before: each image, after a label with its number."""
        self._most = most
        self._count = 0

    def add(self, block: Mapping[str, Any]) -> str:
        """Take an image; say what stands in its place."""
        if not self._most:
            return f"(image{_kind(block)})"
        image = _image(block)
        if image is None:
            return f"(image{_kind(block)}: not shown, models take no such image)"
        self._count += 1
        if self._count > self._most:
            return f"(image {self._count}{_kind(block)}: not shown, only {self._most} are)"
        self.blocks += [{"type": "text", "text": f"Image {self._count}:"}, image]
        return f"(image {self._count}{_kind(image)}: above)"


def shown(value: Any, limit: int, images: Images | None = None) -> str:
    """Write a value as JSON text, cut to a limit, with images and other blocks named in their places.

    Args:
        value: The value.
        limit: How many characters of text are shown.
        images: Takes the images that are to be shown; `None` to only name them.
    """
    text = write_json(value)
    if '"type": "' in text or _LONG.search(text):
        text = write_json(_named(value, images or Images(0)))
    return cut(text, limit)


def _named(value: Any, images: Images) -> Any:
    match value:
        case str() if len(value) > 1000 and _BASE64.fullmatch(value):
            return f"(binary data, {len(value):,} characters of base64: not shown)"
        case {"type": str() as kind} if kind in _IMAGES and _is_image(value):
            return images.add(value)
        case {"type": str() as kind} if kind in _OTHERS and (payload := _payload(value)):
            return f"({kind}{_kind(value)}, {len(payload):,} characters of base64: not shown)"
        case dict():
            return {key: _named(each, images) for key, each in value.items()}
        case list():
            return [_named(each, images) for each in value]
        case _:
            return value


def has_images(content: Any) -> bool:
    """Whether a message's content has blocks that are images."""
    return isinstance(content, list) and any(
        isinstance(each, dict) and each.get("type") in _IMAGES and _is_image(each) for each in content
    )


def _is_image(block: Mapping[str, Any]) -> bool:
    return any(block.get(key) for key in ("base64", "data", "url", "image_url", "source", "file_id"))


def _image(block: Mapping[str, Any]) -> dict[str, Any] | None:
    """An image as LangChain's models take it, of any provider's or MCP's form; `None` if models take no such image."""
    source = block["source"] if isinstance(block.get("source"), dict) else block
    url = source.get("url") or source.get("image_url")
    if isinstance(url, dict):
        url = url.get("url")
    if isinstance(url, str) and url.startswith(("https://", "http://", "data:image/")):
        return (
            {"type": "image_url", "image_url": {"url": url}} if "image_url" in source else {"type": "image", "url": url}
        )
    data = source.get("base64") or source.get("data")
    if not isinstance(data, str) or len(data) > _MOST_BASE64:
        return None
    format_ = next((each for begins, each in _FORMATS.items() if data.startswith(begins)), None)
    return {"type": "image", "base64": data, "mime_type": format_} if format_ else None


def _payload(block: Mapping[str, Any]) -> str:
    """The data of a block, which may stand in an object inside it."""
    for holder in (block, *(each for each in block.values() if isinstance(each, dict))):
        if found := next((holder[key] for key in _PAYLOADS if isinstance(holder.get(key), str)), ""):
            return str(found)
    return ""


def _kind(block: Mapping[str, Any]) -> str:
    """What a block's data is, such as `, image/png`, if it says so."""
    for holder in (block, *(each for each in block.values() if isinstance(each, dict))):
        for key in ("mime_type", "mimeType", "media_type", "format"):
            if isinstance(given := holder.get(key), str) and len(given) < 100:
                return f", {given}"
    return ""


def takes_images(model: object) -> bool:
    """Whether a model may be shown images: unless LangChain's profile of it says otherwise."""
    profile = getattr(innermost(model), "profile", None)
    return not (isinstance(profile, Mapping) and profile.get("image_inputs") is False)


def without_images(prompt: Iterable[BaseMessage]) -> list[BaseMessage]:
    """A prompt for a model that reads text only: what is said of the images that observations have stays."""
    return [
        message if isinstance(message.content, str) else message.model_copy(update={"content": _told(message.content)})
        for message in prompt
    ]


def _told(content: Sequence[Any]) -> list[Any]:
    told: list[Any] = []
    for block in content:
        label = told[-1] if told and isinstance(told[-1], dict) else {}
        if _LABEL.fullmatch(str(label.get("text"))) and has_images([block]):
            told[-1] = {"type": "text", "text": f"{label['text']} not shown, this model reads text only"}
        else:
            told.append(block)
    return told
