"""What may be done with a tool: MCP's hints wherever an adapter has put them, and what a tool's name says without them.

`langchain_mcp_adapters` puts the annotations of an MCP tool flat into `tool.metadata`; `langchain.mcp` nests them there
under `mcp.tool.annotations`; others keep the `annotations` object of the protocol. Keys are in camel or in snake case.
Where two places say different things, the more careful one counts.

>>> hints({"mcp": {"tool": {"annotations": {"destructive_hint": True}}}})
Hints(read_only=None, idempotent=None, destructive=True)
>>> named_like_an_action("github_create_issue"), named_like_an_action("github_list_issues")
(True, False)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
    for key, value in _said(metadata or {}, _DEEPEST):
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower().removesuffix("_hint")
        if (says := _truth(value)) is not None:
            found[name].append(says)

    def all_of(says: list[bool]) -> bool | None:
        return all(says) if says else None

    destructive = found["destructive"]
    return Hints(all_of(found["read_only"]), all_of(found["idempotent"]), any(destructive) if destructive else None)


_NAMES = ("readOnlyHint", "idempotentHint", "destructiveHint", "read_only_hint", "idempotent_hint", "destructive_hint")
_HOLDERS = ("annotations", "tool", "mcp")  # where objects have them; dictionaries are looked through


def _said(holder: object, levels: int) -> Iterator[tuple[str, Any]]:
    """Yield what looks like a hint in a dictionary or an object such as MCP's `ToolAnnotations`, and in what it has."""
    if not isinstance(holder, Mapping):
        holder = {name: getattr(holder, name, None) for name in (*_NAMES, *_HOLDERS)}
    for key, value in holder.items():
        if key in _NAMES:
            yield key, value
        elif levels and key not in _SCHEMAS and not isinstance(value, str | int | float | list | None):
            yield from _said(value, levels - 1)


def _truth(value: object) -> bool | None:
    """Read a hint; some servers write it as text."""
    match value:
        case bool():
            return value
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
