"""References: `$1`, `${1}`, `${1.items[0].id}`, `${1[*].id}`, from text to value.

A reference stands for the observation of an earlier task. As a whole argument it passes the observation's JSON
value with its type; inside a string it is interpolated as text. Substitution reads the plan's own text once:
observations are data, and a `$1` inside one is never expanded.

>>> template = parse_template("${1.height_m} - $2", {1, 2}.__contains__).value
>>> substitute(template, {1: {"height_m": 8848.86}, 2: 8611})
'8848.86 - 8611'
>>> substitute(Reference(1), {1: {"height_m": 8848.86}})
{'height_m': 8848.86}

May know: `errors` and `json_text`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby, islice
from typing import NamedTuple, TypeAlias, cast

from llmcompiler_graph.core.errors import FanOutError, ObservationPathError
from llmcompiler_graph.core.language.json_text import JSON, MAX_CHARACTERS, read_json
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = (
    "ALL",
    "BRACED_PATH",
    "IDENTIFIER",
    "JSON",
    "PLAIN_PATH",
    "Path",
    "Reference",
    "Spread",
    "Template",
    "Value",
    "as_template",
    "as_text",
    "fan_out",
    "joined_surrogates",
    "leaves",
    "map_references",
    "parse_path",
    "parse_template",
    "references",
    "select",
    "substitute",
    "texts",
)


class _All(Enum):
    ALL = "*"

    def __repr__(self) -> str:
        return "ALL"


ALL = _All.ALL
"""The path element `[*]`: every element of a list."""

Path: TypeAlias = tuple[str | int | _All, ...]
"""Where in an observation: object keys, list positions (negative from the end) and `ALL`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The placeholder of an earlier task's observation in an argument."""

    index: int
    """The task whose observation is meant."""
    path: Path = ()
    """Where in that observation; empty for the whole of it."""
    name: str = field(default="", repr=False)
    """The parameter that is meant in a task's place, in the plan of a procedure; its index is negative then."""

    @property
    def fans_out(self) -> bool:
        """Whether the task holding it runs once per element."""
        return ALL in self.path

    @property
    def braced(self) -> str:
        """The form with braces, unambiguous before any text: `${1}`, `${1.items[0].id}`."""
        return "${" + (self.name or str(self.index)) + _path_text(self.path) + "}"

    def __str__(self) -> str:
        return self.braced if self.path or self.name else f"${self.index}"


@dataclass(frozen=True, slots=True)
class Template:
    """A string with references in it: literal text and references in turn."""

    parts: tuple[str | Reference, ...]
    """What stands in the string, in order; literal parts are not empty and never neighbours."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A list that is written out and fans out: the task runs once per element, `["a", "b"][*]`."""

    elements: tuple[Value, ...]
    """Its elements, in order."""

    def __iter__(self) -> Iterator[Value]:
        return iter(self.elements)

    def __len__(self) -> int:
        return len(self.elements)


Value: TypeAlias = "bool | int | float | str | Reference | Template | Spread | list[Value] | dict[str, Value] | None"
"""An argument as planned: JSON with references in it."""


class ParsedTemplate(NamedTuple):
    """A string of plan text, read."""

    value: str | Reference | Template
    """A plain string, a string that is one reference, or a template."""
    literal_dollars: tuple[int, ...]
    """The `N` of every `$N` that was left as text because no task `N` is known."""
    unknown: tuple[int, ...]
    """The `N` of every `${N…}` with no such task: surely meant as a reference."""
    malformed: tuple[str, ...]
    """What starts like `${N` and is no reference: a path that is none, or no closing brace."""


BRACED_PATH = r"""(?:[^{}"'\\]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*"""
"""What may stand between the index of a braced reference and its closing brace, as a regular expression."""

PLAIN_PATH = r"""(?:\.[^\W\d]\w*|\[(?:-?[0-9]{1,9}|\*|"[^"\\]*"|'[^'\\]*')\])*"""
"""What may stand behind a reference without braces, as a regular expression."""

IDENTIFIER = lazy_pattern(r"[^\W\d][\w-]*")
"""What needs no quotes as an argument's name or as a key in a path."""

_IN_STRING = lazy_pattern(
    r"\$\$"
    r"|\$\{\s*(?P<braced>[0-9]{1,9})(?P<path>" + BRACED_PATH + r")\}"
    r"|(?P<open>\$\{)(?=\s*[0-9])"
    r"|\$(?P<plain>[0-9]{1,9})(?![0-9]|\.[0-9]|,[0-9]{3}(?![0-9]))"  # $1.50 and $1,000 are money
    r"(?P<plain_path>" + PLAIN_PATH + r")"
)
_ENDINGS = frozenset(
    (
        *("ai", "app", "avi", "biz", "bmp", "c", "cc", "cfg", "co", "com", "conf", "cpp", "cs", "css", "csv"),
        *("dat", "de", "dev", "doc", "docx", "edu", "eps", "eu", "exe", "fr", "gif", "go", "gov", "gz", "h"),
        *("htm", "html", "ico", "info", "ini", "io", "ipynb", "it", "java", "jp", "jpeg", "jpg", "js", "json"),
        *("jsonl", "jsx", "log", "md", "me", "mkv", "mov", "mp3", "mp4", "net", "odt", "ogg", "org", "parquet"),
        *("pdf", "php", "png", "ppt", "pptx", "py", "rar", "rb", "rs", "rst", "rtf", "sh", "sql", "svg", "tar"),
        *("tex", "tgz", "tif", "tiff", "toml", "ts", "tsv", "tsx", "txt", "uk", "us", "wav", "webm", "webp"),
        *("xls", "xlsx", "xml", "yaml", "yml", "zip"),
    )
)
"""What ends the names of files and hosts: `$1.txt` in a string is a file."""
_KEY = lazy_pattern(
    r"\s*(?:\.\s*(?:(?P<name>[^\W\d][\w-]*)|(?P<number>[0-9]{1,9}))"
    r"|\[\s*(?:(?P<position>-?[0-9]{1,9})|(?P<all>\*)"
    r"|(?P<double>\"(?:[^\"\\]|\\.)*\")|'(?P<single>(?:[^'\\]|\\.)*)')\s*\])"
)


def parse_path(text: str) -> Path | None:
    """Read the path part of a reference, such as `.items[0].id`; `None` if it is not one.

    >>> parse_path('.items[0]["full name"][*]')
    ('items', 0, 'full name', ALL)
    """
    text = text.strip()
    path: list[str | int | _All] = []
    position = 0
    while position < len(text):
        match = _KEY.match(text, position)
        key = _key(match) if match else None
        if match is None or key is None:
            return None
        path.append(key)
        position = match.end()
    return tuple(path)


def _key(match: re.Match[str]) -> str | int | _All | None:
    """One element of a path; `None` for a string that JSON cannot read."""
    match match.lastgroup:
        case "name":
            return match["name"]
        case "double":
            try:
                return str(json.loads(match["double"], strict=False))
            except ValueError:
                return None
        case "single":
            return re.sub(r"\\(.)", r"\1", match["single"])
        case "all":
            return ALL
        case _:
            return int(match["position"] or match["number"])


def _path_text(path: Path) -> str:
    text = ""
    for key in path:
        if isinstance(key, str):
            text += f".{key}" if IDENTIFIER.fullmatch(key) else f"[{json.dumps(key, ensure_ascii=False)}]"
        else:
            text += "[*]" if key is ALL else f"[{key}]"
    return text


def parse_template(
    text: str, is_task: Callable[[int], bool], rename: Callable[[int], int] = lambda index: index
) -> ParsedTemplate:
    """Read the references in a string of the plan's own text.

    Args:
        text: The string's value, escapes already decoded.
        is_task: Whether an index, as written, names a task that may be referred to here.
        rename: The index a written one stands for (a replan that restarts at 1 is shifted).
    """
    pieces: list[str | Reference] = []
    literal: list[int] = []
    unknown: list[int] = []
    malformed: list[str] = []
    end = 0
    for match in _IN_STRING.finditer(text):
        pieces.append(text[end : match.start()])
        end = match.end()
        if match["plain_path"]:
            end = match.start("plain_path") + _before_ending(match["plain_path"])
        if match[0] == "$$":
            pieces.append("$")
            continue
        path = parse_path(text[match.end("plain") : end] if match["plain"] else match["path"] or "")
        written = int(match["braced"] or match["plain"] or 0)
        if path is None or match["open"]:
            malformed.append(match[0] if path is None else text[match.start() : match.start() + 20])
        elif is_task(written):
            pieces.append(Reference(rename(written), path))
        else:
            (unknown if match["braced"] else literal).append(written)
            pieces.append(text[match.start() : end])
    pieces.append(text[end:])
    return ParsedTemplate(as_template(pieces), tuple(literal), tuple(unknown), tuple(malformed))


def as_template(pieces: Iterable[str | Reference]) -> str | Reference | Template:
    """Make a string of literal text and references: plain text, one reference, or a template.

    >>> as_template(["", "a", "b", Reference(1), ""])
    Template(parts=('ab', Reference(index=1, path=())))
    """
    parts: list[str | Reference] = []
    for is_text, group in groupby(pieces, lambda piece: isinstance(piece, str)):
        neighbours = list(group)
        parts += filter(None, ["".join(map(str, neighbours))]) if is_text else neighbours
    match parts:
        case []:
            return ""
        case [only]:
            return only
        case _:
            return Template(tuple(parts))


def _before_ending(path: str) -> int:
    """Where in a path begins what rather ends the name of a file or host: `$1.a.txt` is `a` of task 1 and `.txt`."""
    ending = (key.start() for key in _KEY.finditer(path) if (key["name"] or "").lower() in _ENDINGS)
    return next(ending, len(path))


def leaves(value: Value) -> Iterator[str | Reference]:
    """Yield every text and every reference in an argument, depth first; of a string with references, its parts."""
    match value:
        case str() | Reference():
            yield value
        case Template(parts):
            yield from parts
        case list() | Spread():
            for element in value:
                yield from leaves(element)
        case dict():
            for element in value.values():
                yield from leaves(element)


def references(value: Value) -> Iterator[Reference]:
    """Yield every reference in an argument, depth first."""
    return (leaf for leaf in leaves(value) if isinstance(leaf, Reference))


def map_references(value: Value, change: Callable[[Reference], Reference]) -> Value:
    """Put another reference in place of each in an argument."""
    match value:
        case Reference():
            return change(value)
        case Template(parts):
            return Template(tuple(part if isinstance(part, str) else change(part) for part in parts))
        case Spread(elements):
            return Spread(tuple(map_references(element, change) for element in elements))
        case list():
            return [map_references(element, change) for element in value]
        case dict():
            return {key: map_references(element, change) for key, element in value.items()}
        case _:
            return value


def texts(value: Value) -> Iterator[str]:
    """Yield every constant text in an argument, depth first."""
    return (leaf for leaf in leaves(value) if isinstance(leaf, str))


def as_text(value: JSON) -> str:
    """Write a value as it stands inside a string: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


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


def _children(value: JSON, key: str | int | _All, reference: Reference, done: Path) -> list[JSON]:
    if not (isinstance(value, dict) and key in value):
        value = _text_of_blocks(value, key)
    value, unread = _read(value)
    match key, value:
        case str(), dict() if key in value:
            return [value[key]]
        case int(), list() if -len(value) <= key < len(value):
            return [value[key]]
        case _All(), list():
            return value
    here, found = Reference(reference.index, done), _described(value)
    msg = f"{reference} leads nowhere: {here} has no {_path_text((key,))}, it is {found}{unread}"
    raise ObservationPathError(msg)


def _text_of_blocks(value: JSON, key: str | int | _All) -> JSON:
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
    key = _KEY.match(following) if isinstance(following, str) and following.startswith(".") else None
    if key is None or not key["name"]:
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
