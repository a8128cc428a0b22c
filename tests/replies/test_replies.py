"""Whole replies, as models of all kinds write them: what each gives, and what gives nothing.

`*.txt` hold replies under a `####` line each; below `==>` stands what the reply gives: tasks, and `! CODE line N: NAME`
for each diagnostic, with what its message names. `native.jsonl` holds replies of native calls, a line each, with their
pieces: name, arguments, position, id. `talk.txt` holds replies, parted by `----`, that merely talk of tools.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.native_calls import Piece, ToolCallText
from llmcompiler_graph.core.language.parser import Event, PlanParser
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.models.dialects import TextDialect, ToolCallDialect

HERE = Path(__file__).parent
TOOLS = {
    "search": ("query", "limit", "options"),
    "math": ("expression",),
    "now": (),
    "get_user": ("id",),
    "send_email": ("to", "subject", "body"),
}
SPECS = [ToolSpec(name, {parameter: {} for parameter in parameters}) for name, parameters in TOOLS.items()]


class Reply(NamedTuple):
    """A reply and what it gives."""

    title: str
    text: str
    gives: str


def _replies(path: Path) -> list[Reply]:
    found = []
    for entry in re.split(r"(?m)^#### ", path.read_text(encoding="utf-8"))[1:]:
        title, _, rest = entry.partition("\n")
        text, _, gives = rest.partition("\n==>")
        found.append(Reply(f"{path.stem}: {title}", text, gives.strip()))
    return found


class Native(NamedTuple):
    """A reply of native calls, in the pieces in which a provider streams them, and what it gives."""

    title: str
    pieces: list[Piece]
    gives: str


NATIVE = [
    Native(entry["title"], [Piece(*piece) for piece in entry["pieces"]], entry["gives"])
    for entry in map(json.loads, (HERE / "native.jsonl").read_text(encoding="utf-8").splitlines())
]
all_native = pytest.mark.parametrize("reply", NATIVE, ids=[reply.title for reply in NATIVE])
REPLIES = [reply for path in sorted(HERE.glob("*.txt")) if path.stem != "talk" for reply in _replies(path)]
TALK = (HERE / "talk.txt").read_text(encoding="utf-8").split("\n----\n")
all_replies = pytest.mark.parametrize("reply", REPLIES, ids=[reply.title for reply in REPLIES])
all_talk = pytest.mark.parametrize("text", TALK, ids=[text[:40] for text in TALK])


def parsed(pieces: list[str]) -> list[Event]:
    """What the parser makes of pieces of text."""
    parser = PlanParser(tools=TOOLS)
    return [*(event for piece in pieces for event in parser.feed(piece)), *parser.close()]


def said(events: list[Event]) -> str:
    """Events as the files have them."""
    lines = []
    for event in events:
        if isinstance(event, Diagnostic):
            named = re.search(r"the call of '([^']*)'|task (\d+)", event.message)
            name = next(filter(None, named.groups()), "") if named else ""
            lines.append(f"! {event.code} line {event.line}: {name}".rstrip())
        else:
            lines.append(str(event))
    return "\n".join(lines)


def test_the_corpus_is_there() -> None:
    """There are at least 120 replies that give something, each but once, and 60 that give nothing."""
    assert len({reply.text for reply in REPLIES}) == len(REPLIES) >= 120
    assert len(set(TALK)) == len(TALK) >= 60


@all_replies
def test_what_a_reply_gives(reply: Reply) -> None:
    """Each reply gives its tasks and diagnostics, in order."""
    assert said(parsed([reply.text])) == reply.gives


@all_replies
def test_in_any_pieces(reply: Reply) -> None:
    """However a reply is cut, it gives the same, at the same places."""
    whole = list(map(repr, parsed([reply.text])))
    assert list(map(repr, parsed(list(reply.text)))) == whole
    chance = random.Random(reply.title)
    for _ in range(5):
        cuts = sorted(chance.randrange(len(reply.text) + 1) for _ in range(6))
        pieces = [reply.text[a:b] for a, b in zip([0, *cuts], [*cuts, len(reply.text)], strict=True)]
        assert list(map(repr, parsed(pieces))) == whole


@pytest.mark.parametrize("dialect", [TextDialect(), ToolCallDialect(SPECS)], ids=["text", "tools"])
@all_replies
def test_in_both_plan_formats(reply: Reply, dialect: TextDialect | ToolCallDialect) -> None:
    """Whether the model was asked for plan text or for native calls, its text gives the same tasks."""
    reader = dialect.reader(1)
    pieces = [reader.feed(AIMessageChunk(content=reply.text[at : at + 7])) for at in range(0, len(reply.text), 7)]
    events = parsed([*pieces, reader.close()])
    given = [line for line in reply.gives.splitlines() if not line.startswith(("!", "Thought"))]
    assert [str(event).split("\n")[-1] for event in events if not isinstance(event, Diagnostic)] == given
    if "!" in reply.gives and isinstance(dialect, TextDialect):
        assert said(events) == reply.gives


@all_native
def test_what_native_calls_give(reply: Native) -> None:
    """Native calls give their tasks and diagnostics, in whatever pieces and order they come."""
    reader = ToolCallDialect(SPECS).reader(1)
    pieces = [
        reader.feed(
            AIMessageChunk(
                content="",
                tool_call_chunks=[
                    tool_call_chunk(
                        name=piece.name or None,
                        args=piece.arguments,
                        id=piece.call_id or None,
                        index=piece.position,  # type: ignore[arg-type]
                    )
                ],
            )
        )
        for piece in reply.pieces
    ]
    assert said(parsed([*pieces, reader.close()])) == reply.gives


@all_native
def test_native_calls_character_by_character(reply: Native) -> None:
    """Where pieces have an id or a position, their arguments may come character by character."""
    calls, text = ToolCallText(1, parameters=TOOLS), ""
    for piece in reply.pieces:
        text += calls.feed(piece._replace(arguments=piece.arguments[:1]))
        if piece.position is None and not piece.call_id:
            text += calls.feed(Piece("", piece.arguments[1:]))
            continue
        for character in piece.arguments[1:]:
            text += calls.feed(Piece("", character, piece.position, piece.call_id))
    if "once more" not in reply.title and "again" not in reply.title and "whole" not in reply.title:
        assert said(parsed([text, calls.close()])) == reply.gives


@all_talk
def test_no_false_alarm(text: str) -> None:
    """A reply that merely talks about tools gives no task and no diagnostic."""
    assert said(parsed([text])) == ""
