"""References: `$1`, `${1}`, `${1.items[0].id}`, `${1[*].id}`, from text and back.

A reference stands for the observation of an earlier task. As a whole argument it passes the observation's JSON
value with its type; inside a string it is interpolated as text.

>>> parse_template("${1.height_m} - $2", {1, 2}.__contains__).value.parts
(Reference(index=1, path=('height_m',)), ' - ', Reference(index=2, path=()))

May know: `json_text`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby
from typing import NamedTuple, TypeAlias

from llmcompiler_graph.core.language.json_text import JSON
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = (
    "ALL",
    "BRACED_PATH",
    "IDENTIFIER",
    "JSON",
    "PLAIN_PATH",
    "Path",
    "PathKey",
    "Reference",
    "Spread",
    "Template",
    "Value",
    "as_template",
    "leaves",
    "map_references",
    "parse_path",
    "parse_template",
    "path_text",
    "references",
    "texts",
)


class _All(Enum):
    ALL = "*"

    def __repr__(self) -> str:
        return "ALL"


ALL = _All.ALL
"""The path element `[*]`: every element of a list."""

PathKey: TypeAlias = str | int | _All
"""A step of a path."""

Path: TypeAlias = tuple[PathKey, ...]
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
        return "${" + (self.name or str(self.index)) + path_text(self.path) + "}"

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


def _key(match: re.Match[str]) -> PathKey | None:
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


def path_text(path: Path) -> str:
    """Write a path as it stands in a reference with braces."""
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


_MAY_REFER = (Reference, Template, Spread, list, dict)


def leaves(value: Value) -> Sequence[str | Reference]:
    """Give every text and every reference in an argument, depth first; of a string with references, its parts."""
    match value:
        case str() | Reference():
            return (value,)
        case Template(parts):
            return parts
        case list() | Spread():
            return [leaf for element in value for leaf in leaves(element)]
        case dict():
            return [leaf for element in value.values() for leaf in leaves(element)]
        case _:
            return ()


def references(value: Value) -> Sequence[Reference]:
    """Give every reference in an argument, depth first."""
    return [leaf for leaf in leaves(value) if isinstance(leaf, Reference)] if isinstance(value, _MAY_REFER) else ()


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


def texts(value: Value) -> Sequence[str]:
    """Give every constant text in an argument, depth first."""
    return [leaf for leaf in leaves(value) if isinstance(leaf, str)]
