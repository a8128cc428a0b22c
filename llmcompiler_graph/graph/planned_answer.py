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
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.decision import Finish, is_decided
from llmcompiler_graph.core.language.decision_parser import DecisionParser
from llmcompiler_graph.core.language.parser import NOT_A_TASK, PlanParser
from llmcompiler_graph.models.answers import answer_content, answer_extras, merged
from llmcompiler_graph.models.streaming import AnswerStream

__all__ = ("PlannedAnswer",)

_JOIN = re.compile(r"\bjoin[ \t]*\([^()\n]*\)[^\n]*\n(?:[ \t]*(?:```|~~~)[^\n]*\n)?")

_LATEST = 300  # characters behind `join()` in which it must begin


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
        self._stream = AnswerStream(name)
        self._parser = DecisionParser()
        self._pieces: list[str] = []  # of the reply, from where the answer may stand
        self._size = 0  # of these, in characters
        self._before: list[str] = []  # as long as it may not
        self._given: list[AIMessage] = []
        self._begun = False  # whether some of it was shown

    def take(self, text: str, given: AIMessage | None, *, joined: bool) -> None:
        """Take more of the reply, as long as nothing in it is, or looks like, a call of a tool.

        Args:
            text: What the model says.
            given: The same as it came.
            joined: Whether its `join()` was read.
        """
        self._given += [given] if given is not None else []
        if self._behind_join:
            self._before.append(text)
            if not joined:
                return
            before = "".join(self._before)
            join = _JOIN.search(before)
            if join is None or "```".startswith(before[join.end() :].strip()[:3]):
                return  # behind it, there is nothing yet, or a fence may end
            text, self._behind_join = before[join.end() :], False
        self._pieces.append(text)
        self._size += len(text)
        if piece := self._parser.feed(text):
            self._begun = True
            self._stream.put(piece)

    @property
    def may_come(self) -> bool:
        """Whether the reply is to be read on for it, although its `join()` was read."""
        return self._begun or self._size < _LATEST

    async def message(self, usage: UsageMetadata | None, *, cut: bool) -> AIMessage | None:
        """Make the message of the answer, once the reply is complete; `None` if there is none.

        Args:
            usage: The tokens of the reply.
            cut: Whether the time was over before it was.
        """
        decision, rest = self._parser.close()
        if self._behind_join or not isinstance(decision, Finish) or not self._is_answer(decision):
            await self.abandon()
            return None
        if rest and not cut:
            self._stream.put(rest)
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
            response_metadata={**metadata, **({"finish_reason": "deadline"} if cut else {})},
            additional_kwargs=answer_extras(reply),
        )

    async def abandon(self) -> None:
        """Show no more of it: it is none. What was shown is left as a message of its own in the streams."""
        await self._stream.abandon()

    def _is_answer(self, decision: Finish) -> bool:
        """Whether the reply says that it is one, and it calls no tool."""
        parser = PlanParser(tools=self._tools)
        events = [*parser.feed(decision.answer), *parser.close()]
        calls = any(
            event.code == NOT_A_TASK if isinstance(event, Diagnostic) else event.tool in self._tools for event in events
        )
        return bool(decision.answer) and is_decided("".join(self._pieces)) and not calls
