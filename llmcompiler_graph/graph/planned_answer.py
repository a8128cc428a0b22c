"""The answer that stands in the planner's reply in place of a plan, shown while it is written.

A question that needs no tool, such as a greeting, then costs one model call. The planner says so with a plan that is
empty, and `Finish` below it:

    1. join()
    Finish: Good morning!

A model that calls tools natively calls none, and writes `Finish: …`. Nothing else is an answer: a reply without it, or
in which anything is, or looks like, a call of a tool, is a plan that has failed, or an empty one. Both are left to
repair and joiner.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.decision import Finish
from llmcompiler_graph.core.language.decision_parser import DecisionParser
from llmcompiler_graph.core.language.parser import NOT_A_TASK, PlanParser
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.models.answers import answer_content, answer_extras, merged
from llmcompiler_graph.models.streaming import AnswerStream

__all__ = ("PlannedAnswer",)

_JOIN = re.compile(r"\bjoin[ \t]*\([^()\n]*\)[^\n]*\n(?:[ \t]*(?:```|~~~)[^\n]*\n)?")

_LATEST = 300  # characters behind `join()` in which it must begin
_LONGEST_NAME = 100  # characters
_WORD = re.compile(r"\w*\Z")
_ALIKE = 0.75  # how much a misspelt name is like a tool's


class PlannedAnswer:
    """Reads one reply of the planner for an answer.

    Args:
        name: The name of the answer's message.
        tools: What plans may call: the names of each tool's parameters by its name.
        behind_join: Whether it must stand behind `join()`.
    """

    def __init__(self, name: str, tools: Mapping[str, Collection[str]], *, behind_join: bool) -> None:
        self._name = name
        self._tools = tools
        self._behind_join = behind_join
        self._checked = behind_join  # whether what stands before it was read as a plan
        self._stream = AnswerStream(name)
        self._parser = DecisionParser()
        self._size = 0  # how much of the reply was read for it, in characters
        self._before: list[str] = []  # as long as it may not; all of it, if it need not stand behind `join()`
        self._given: list[AIMessage] = []
        self._begun = False  # whether some of it was read
        self._word = ""  # the last one of it, which may become the name of a tool
        self._held: list[str] | None = None  # what is not shown yet: from where it names a tool on

    def take(self, text: str, given: AIMessage | None, *, joined: bool) -> None:
        """Take more of the reply, as long as nothing in it is, or looks like, a call of a tool.

        Args:
            text: What the model says.
            given: The same as it came.
            joined: Whether its `join()` was read.
        """
        self._given += [given] if given is not None else []
        if self._behind_join or not self._checked:
            self._before.append(text)
        if self._behind_join:
            if not joined:
                return
            before = "".join(self._before)
            join = _JOIN.search(before)
            if join is None or "```".startswith(before[join.end() :].strip()[:3]):
                return  # behind it, there is nothing yet, or a fence may end
            text, self._behind_join = before[join.end() :], False
        self._size += len(text)
        if piece := self._parser.feed(text):
            self._begun = True
            self._show(piece)

    @property
    def begun(self) -> bool:
        """Whether some of it was read."""
        return self._begun

    @property
    def may_come(self) -> bool:
        """Whether the reply is to be read on for it, although its `join()` was read."""
        return self._begun or self._size < _LATEST

    async def message(self, usage: UsageMetadata | None, *, cut: str) -> AIMessage | None:
        """Make the message of the answer, once the reply is complete; `None` if there is none.

        Args:
            usage: The tokens of the reply.
            cut: Why it is not, if it was cut short: the `deadline` or the `budget`.
        """
        decision, rest = self._parser.close()
        if self._behind_join or not isinstance(decision, Finish) or not self._is_answer(decision.answer):
            await self.abandon()
            return None
        unshown = "".join([self._word, *(self._held or ()), *([] if cut else [rest])])
        if unshown:
            self._stream.put(unshown)
        await self._stream.aclose(usage)
        reply = merged(self._given)
        metadata: dict[str, Any] = {}
        for piece in self._given:
            metadata |= piece.response_metadata
        return AIMessage(
            answer_content(reply, decision.answer),
            id=self._stream.message_id,
            name=self._name,
            usage_metadata=usage,
            response_metadata={**metadata, **({"finish_reason": cut} if cut else {})},
            additional_kwargs=answer_extras(reply),
        )

    async def abandon(self) -> None:
        """Show no more of it: it is none. What was shown is left as a message of its own in the streams."""
        await self._stream.abandon()

    def _show(self, piece: str) -> None:
        """Show a piece, but for the word that it ends in; nothing any more once a tool was named: it may be called."""
        if self._held is not None:
            self._held.append(piece)
            return
        text = self._word + piece
        if self._tools and _named(frozenset(self._tools)).search(text):
            self._held, self._word = [text], ""
            return
        end = len(text) - len(_WORD.findall(text[-_LONGEST_NAME:])[0])
        self._word = text[end:]
        if end:
            self._stream.put(text[:end])

    def _is_answer(self, answer: str) -> bool:
        """Whether what stands behind `Finish` was read as such, and no line of it, or before it, may call a tool."""
        text = answer if self._checked else "".join(self._before)
        lines = text.split("\n")
        parser = PlanParser(tools=self._tools)
        events = [*parser.feed(text), *parser.close()]
        return self._begun and not any(self._may_call(event, lines[event.line - 1]) for event in events)

    def _may_call(self, event: Task | Diagnostic, line: str) -> bool:
        """Whether a line that was read as a call, or complained about, is about a tool there is, or a misspelt one."""
        if isinstance(event, Task):
            if get_close_matches(event.tool, self._tools, 1, _ALIKE):
                return True
        elif event.code == NOT_A_TASK:
            return True
        return bool(self._tools) and _named(frozenset(self._tools)).search(line) is not None


@lru_cache(maxsize=64)
def _named(tools: frozenset[str]) -> re.Pattern[str]:
    """Finds the name of a tool among words."""
    names = "|".join(map(re.escape, sorted(tools, key=len, reverse=True)))
    return re.compile(rf"(?<!\w)(?:{names})(?!\w)")
