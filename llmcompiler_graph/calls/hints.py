"""What may be done with a tool: MCP's hints wherever an adapter has put them, and what a tool's name says without them.

`langchain_mcp_adapters` puts the annotations of an MCP tool flat into `tool.metadata`; `langchain.mcp` nests them there
under `mcp.tool.annotations`; others keep the `annotations` object of the protocol, a list of tools, or JSON text. Keys
are in camel, snake or kebab case. Where two places say different things, the more careful one counts.

>>> hints({"mcp": {"tool": {"annotations": {"destructive_hint": True}}}})
Hints(read_only=None, idempotent=None, destructive=True)
>>> named_like_an_action("github_create_issue"), named_like_an_action("github_list_issues")
(True, False)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import pairwise
from typing import Any, NamedTuple

__all__ = ("Hints", "hints", "named_like_an_action")


class Hints(NamedTuple):
    """MCP's annotations of a tool; `None` is unknown."""

    read_only: bool | None = None
    """`readOnlyHint`."""
    idempotent: bool | None = None
    """`idempotentHint`."""
    destructive: bool | None = None
    """`destructiveHint`."""


_DEEPEST = 6  # levels of metadata that are looked through
_LONGEST = 20_000  # characters of text that is looked at as JSON
_SCHEMAS = frozenset({"inputSchema", "input_schema", "outputSchema", "output_schema", "args_schema"})


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ACTIONS = _words(
    """
    accept activate add adjust allocate append apply approve archive assign attach authorize ban bid block book
    broadcast buy call cancel change charge checkout claim clear click close commit complete confirm copy create
    deactivate decline decrease delete deploy deposit destroy detach dial disable disconnect dismiss dispatch donate
    downvote drop edit email enable enroll erase escalate exec execute fill fire forward grant hire increase insert
    install invite invoke kill launch like lock mail mark merge message migrate modify move notify open order
    overwrite patch pause pay play post press print provision publish purchase purge push put raise reboot redeem
    refund register reject release remove rename reorder replace reply request reschedule reserve reset respond
    restart restore resume retweet revert revoke rollback run save schedule sell send sendmail set share ship
    shutdown sign start stop store submit subscribe suspend sync terminate toggle trade transfer trigger truncate
    turn tweet unassign unblock unfollow uninstall unlink unlock unregister unsubscribe update upgrade upload upsert
    upvote vote wipe wire withdraw write
    """
)
"""Words that say that a tool changes something, where they are the first verb of its name."""

_READS = _words(
    """
    analyse analyze answer ask browse calc calculate can check classify compare compute convert count current describe
    detect diff download estimate evaluate explain extract fetch filter find forecast get has inspect is last latest
    list load look lookup measure monitor next parse peek ping predict preview query rank read recent retrieve scan
    search show solve sort summarize track translate validate verify view watch
    """
)
"""Words that say that it only finds something out."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def hints(metadata: Mapping[str, Any] | None) -> Hints:
    """Find a tool's hints in its metadata."""
    found: dict[str, list[bool]] = {name: [] for name in Hints._fields}
    for key, value in _said(metadata or {}):
        if (says := _truth(value)) is not None:
            found[_NAMES[_bare(key)]].append(says)

    def all_of(says: list[bool]) -> bool | None:
        return all(says) if says else None

    destructive = found["destructive"]
    return Hints(all_of(found["read_only"]), all_of(found["idempotent"]), any(destructive) if destructive else None)


_NAMES = {"readonlyhint": "read_only", "idempotenthint": "idempotent", "destructivehint": "destructive"}
_ATTRIBUTES = (  # of objects; dictionaries are looked through
    *("readOnlyHint", "idempotentHint", "destructiveHint", "read_only_hint", "idempotent_hint", "destructive_hint"),
    *("annotations", "tool", "tools", "mcp"),
)
_KEYS, _VALUES = ("name", "key", "hint"), ("value", "enabled")  # of a hint that is written as a dictionary


def _said(metadata: object) -> Iterator[tuple[str, Any]]:
    """Yield what looks like a hint in dictionaries, lists, JSON text and objects such as MCP's `ToolAnnotations`."""
    level, seen = [metadata], set[int]()
    for _ in range(_DEEPEST + 1):
        below: list[object] = []
        for holder in level:
            if id(holder) in seen:
                continue
            seen.add(id(holder))
            for key, value in _parts(holder):
                if _is_name(key):
                    yield key, value
                elif key not in _SCHEMAS:
                    below.append(value)
        level = below


def _parts(holder: object) -> list[tuple[Any, Any]]:
    """What a value consists of, by its keys; elements of a list have none, but for a hint that is written as a pair."""
    match holder:
        case Mapping():
            named = next((holder[key] for key in _KEYS if _is_name(holder.get(key))), None)
            values = [(named, holder[key]) for key in _VALUES if key in holder] if named else []
            return values or list(holder.items())
        case str() | bytes() | bytearray():
            return [("", value)] if (value := _json(holder)) is not None else []
        case [name, value] if _is_name(name):
            return [(name, value)]
        case Sequence() | Set():
            return [("", value) for value in holder]
        case int() | float() | None:
            return []
        case _:
            return [(name, getattr(holder, name, None)) for name in _ATTRIBUTES]


def _json(text: str | bytes | bytearray) -> object:
    """What a text says that is JSON of a dictionary or a list; `None` if it is not."""
    if len(text) > _LONGEST or text.lstrip()[:1] not in ("{", "[", b"{", b"["):
        return None
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _bare(key: str) -> str:
    return key.replace("_", "").replace("-", "").lower()


def _is_name(key: object) -> bool:
    return isinstance(key, str) and _bare(key) in _NAMES


def _truth(value: object) -> bool | None:
    """Read a hint; some servers write it as text."""
    match value:
        case bool():
            return value
        case 0 | 1:
            return bool(value)
        case str() if value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        case _:
            return None


def named_like_an_action(tool: str) -> bool:
    """Whether the first verb in a tool's name says that the tool changes something, such as `send_email`."""
    words = [word.lower() for word in _WORD.findall(tool)]
    for word, following in pairwise([*words, ""]):
        if word in _ACTIONS or (word == "check" and following in ("in", "out")):
            return True
        if word in _READS:
            return False
    return False
