"""Observations in the place of references: what a reference selects, what arguments come to, what is fanned out over.

Substitution reads the plan's own text once: observations are data, and a `$1` inside one is never expanded.

>>> from llmcompiler_graph.core.language.references import parse_template
>>> template = parse_template("${1.height_m} - $2", {1, 2}.__contains__).value
>>> substitute(template, {1: {"height_m": 8848.86}, 2: 8611})
'8848.86 - 8611'
>>> substitute(Reference(1), {1: {"height_m": 8848.86}})
{'height_m': 8848.86}

May know: `errors`, `json_text` and `references`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import cast

from llmcompiler_graph.core.errors import FanOutError, ObservationPathError
from llmcompiler_graph.core.language.json_text import JSON, MAX_CHARACTERS, as_json, read_json
from llmcompiler_graph.core.language.references import (
    ALL,
    Path,
    PathKey,
    Reference,
    Spread,
    Template,
    Value,
    map_references,
    path_text,
    references,
)
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("as_text", "fan_out", "joined_surrogates", "select", "substitute")

_FIELD = lazy_pattern(r"\.\s*(?P<name>[^\W\d][\w-]*)")


def as_text(value: JSON) -> str:
    """Write a value as it stands inside a string: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else as_json(value)


def joined_surrogates(text: str) -> str:
    """Join the halves of characters that JSON writes as two escapes; a half alone becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def select(observation: JSON, reference: Reference) -> JSON:
    """Follow a reference's path into an observation.

    Text that holds a JSON object or list is read as such: many tools return JSON as text, and a path into plain
    text can mean nothing else. A path with `[*]` gives the list of what the rest of it selects (nested ones in one
    flat list).

    Raises:
        ObservationPathError: The path is not there; the message says what is.
    """
    selected = [observation]
    done: Path = ()
    for key in reference.path:
        selected = [child for value in selected for child in _children(value, key, reference, done)]
        done = (*done, key)
    return selected if reference.fans_out else selected[0]


def _children(value: JSON, key: PathKey, reference: Reference, done: Path) -> list[JSON]:
    if not (isinstance(value, dict) and key in value):
        value = _text_of_blocks(value, key)
    value, unread = _read(value)
    match key, value:
        case str(), dict() if key in value:
            return [value[key]]
        case int(), list() if -len(value) <= key < len(value):
            return [value[key]]
        case _, list() if key is ALL:
            return value
    here, found = Reference(reference.index, done), _described(value)
    msg = f"{reference} leads nowhere: {here} has no {path_text((key,))}, it is {found}{unread}"
    raise ObservationPathError(msg)


def _text_of_blocks(value: JSON, key: PathKey) -> JSON:
    """The text in content blocks, if the key can only mean what that holds; any other value as it is.

    A position means a block, unless there is but one.
    """
    blocks = value if isinstance(value, list) else [value]
    by_name = isinstance(key, str)
    if not blocks or not all(map(_is_text_block, blocks)) or not (by_name or len(blocks) == 1):
        return value
    texts = (block.get("text") for block in cast("list[dict[str, JSON]]", blocks))
    inner, _ = _read("".join(text for text in texts if isinstance(text, str)))
    return value if isinstance(inner, str) or (isinstance(inner, dict) and not by_name) else inner


def _is_text_block(block: JSON) -> bool:
    return isinstance(block, dict) and block.get("type") == "text"


_FENCED = lazy_pattern(r"^[ \t]*```[\w-]*[ \t]*\r?\n(?P<text>.*?)^[ \t]*```[ \t]*\r?$", re.DOTALL | re.MULTILINE)


def _read(value: JSON) -> tuple[JSON, str]:
    """The JSON that a text holds, alone or in a code fence, and why it could not be read if it looks like JSON.

    Any other value is given as it is.
    """
    text = _json_in(value) if isinstance(value, str) else ""
    if not text:
        return value, ""
    try:
        return read_json(text), ""
    except json.JSONDecodeError:  # plain text after all
        return value, ""
    except ValueError as error:
        return value, f": {error}"


def _json_in(text: str) -> str:
    """What in a text looks like a JSON object or list: all of it, or its only code fence; empty if nothing does."""
    text = text.strip("\ufeff \t\r\n")
    if not text.startswith(("{", "[")):
        fenced = [block["text"].strip() for block in islice(_FENCED.finditer(text), 2)] if "```" in text else []
        text = fenced[0] if len(fenced) == 1 else ""
    return text if text.startswith(("{", "[")) else ""


def _described(value: JSON) -> str:
    match value:
        case dict():
            keys = [*(f"{name!r:.80}" for name in islice(value, 20)), *["…"][: len(value) > 20]]
            return "an object with " + (", ".join(keys) or "no keys")
        case list():
            return f"a list of {len(value)}"
        case str():
            return "text"
        case _:
            return json.dumps(value)


def substitute(value: Value, observations: Mapping[int, JSON]) -> JSON:
    """Put observations in the place of references, in one pass.

    Raises:
        ObservationPathError: A path leads nowhere, or a text would be larger than any observation.
        KeyError: A task referred to has no observation; the caller must not have asked yet.
    """
    match value:
        case Reference():
            return select(observations[value.index], value)
        case Template(parts):
            texts = list(_filled(parts, observations))
            if (size := sum(map(len, texts))) > MAX_CHARACTERS:
                msg = f"the text put together of observations has {size:,} characters, {MAX_CHARACTERS:,} are allowed"
                raise ObservationPathError(msg)
            return "".join(texts)
        case list():
            return [substitute(element, observations) for element in value]
        case dict():
            return {key: substitute(element, observations) for key, element in value.items()}
        case Spread():
            msg = "a list with [*] has a value for each call only"
            raise AssertionError(msg)
        case _:
            return value


def _filled(parts: tuple[str | Reference, ...], observations: Mapping[int, JSON]) -> Iterator[str]:
    """The parts of a string with observations in the place of references."""
    read = 0  # of the next text, as a path
    for part, following in zip(parts, (*parts[1:], ""), strict=True):
        if isinstance(part, str):
            yield part[read:]
            read = 0
        else:
            value, read = _with_ending(select(observations[part.index], part), following)
            yield as_text(value)


def _with_ending(value: JSON, following: str | Reference) -> tuple[JSON, int]:
    """What a reference in a string gives, and how much of the text behind it was read for that.

    What stands there and could also end the name of a file, `$1.html`, is its path if it leads somewhere.
    """
    key = _FIELD.match(following) if isinstance(following, str) and following.startswith(".") else None
    if key is None:
        return value, 0
    holder, _ = _read(_text_of_blocks(value, key["name"]))
    if isinstance(holder, dict) and key["name"] in holder:
        return holder[key["name"]], key.end()
    return value, 0


def fan_out(
    arguments: Mapping[str, Value], observations: Mapping[int, JSON], most: int | None = None
) -> list[dict[str, JSON]] | None:
    """Resolve the arguments of a task once per element of what it fans out over; `None` if it does not.

    Several `[*]` in one task go in step, like `zip`.

    >>> fan_out({"id": Reference(1, (ALL, "id"))}, {1: [{"id": "a"}, {"id": "b"}]})
    [{'id': 'a'}, {'id': 'b'}]
    >>> fan_out({"id": Spread(("a", "b")), "of": Reference(1)}, {1: 7})
    [{'id': 'a', 'of': 7}, {'id': 'b', 'of': 7}]

    Args:
        arguments: The task's arguments.
        observations: What the tasks it takes data from have returned, `{index: value}`.
        most: How many elements there may be; `None` for any number.

    Raises:
        ObservationPathError: A path leads nowhere, or the lists differ in length.
        FanOutError: There are too many elements.
    """
    read = [r for value in arguments.values() for r in references(value)]
    spread: list[Reference | Spread] = [r for r in dict.fromkeys(read) if r.fans_out]
    spread += (value for value in arguments.values() if isinstance(value, Spread))
    if not spread:
        return None
    columns = _lists(spread, observations)
    _check_size(spread[0], len(columns[0]), most)
    # Each element stands for its reference under an index of its own, -1 downwards: task indices are positive.
    renamed = {each: Reference(-n) for n, each in enumerate(spread, 1) if isinstance(each, Reference)}
    written = {key: value for key, value in arguments.items() if isinstance(value, Spread)}
    named = {key: map_references(value, lambda each: renamed.get(each, each)) for key, value in arguments.items()}
    named |= {key: Reference(-n) for n, key in enumerate(written, len(renamed) + 1)}
    shared = {r.index: observations[r.index] for r in read}
    rows = ({**shared, **{-n: element for n, element in enumerate(row, 1)}} for row in zip(*columns, strict=True))
    return [{key: substitute(value, row) for key, value in named.items()} for row in rows]


def _check_size(spread: Reference | Spread, size: int, most: int | None) -> None:
    if most is not None and size > most:
        msg = (
            f"no call was made: {_name(spread)} has {size} elements, and max_fan_out allows {most} calls; "
            "get fewer elements, or give the whole list to a tool that takes one"
        )
        raise FanOutError(msg)


def _name(spread: Reference | Spread) -> str:
    return str(spread) if isinstance(spread, Reference) else "the list with [*]"


def _lists(spread: Sequence[Reference | Spread], observations: Mapping[int, JSON]) -> list[list[JSON]]:
    """The elements of what is fanned out over, in step."""
    columns = [
        cast("list[JSON]", select(observations[each.index], each))
        if isinstance(each, Reference)
        else [substitute(element, observations) for element in each]
        for each in spread
    ]
    if len({len(column) for column in columns}) > 1:
        sizes = ", ".join(f"{_name(each)} has {len(column)}" for each, column in zip(spread, columns, strict=True))
        msg = f"[*] references of one task go in step, so their lists must be of one length: {sizes}"
        raise ObservationPathError(msg)
    return columns
