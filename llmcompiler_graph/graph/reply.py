"""The joiner's reply while it is read: its answer is shown, and the plan in it begun, as they are written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from llmcompiler_graph.core.language.decision import Finish, Replan, is_decided, parse_decision, unlabelled
from llmcompiler_graph.core.language.decision_parser import DecisionParser
from llmcompiler_graph.core.language.notations.calls import Tools
from llmcompiler_graph.core.language.notations.heads import plain_head
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.graph.draft import Draft
from llmcompiler_graph.graph.spending import Spending
from llmcompiler_graph.models.answers import answer_content, answer_extras, merged, refusal
from llmcompiler_graph.models.budget import ModelCall
from llmcompiler_graph.models.lazy import ChatModel, LazyModel
from llmcompiler_graph.models.replies import WrappedModel, reply_stream
from llmcompiler_graph.models.streaming import AnswerStream

__all__ = ("Reply",)

_OF_PLAN = re.compile(r"\s*$|[ \t]*(?:```|~~~|[)\]}\"']|(?:[-*+•][ \t]+)?[\w.\-/]+[ \t]*[(=:])|[ \t]+\S")
_JOIN = re.compile(r"^[ \t]*\d{1,9}[.)][ \t]*join\([ \t]*\)[ \t]*$", re.MULTILINE)


class Reply:
    """Reads the joiner's reply, and the one after it if it is asked again.

    Args:
        name: Whose the answer is.
        source: What the model is got from.
        tools: What plans may call: the names of each tool's parameters by its name.
        earlier: The tasks that a plan may refer to.
        think_tag: What ends its thoughts if they are known to begin in its prompt.
        begin: Makes the draft of the plan that stands below a replan, told the feedback; `None` to read none.
        bare: Whether the model is asked for the answer itself, without a word before it.
        checked: Whether the answer is shown only when it is taken, since another may be asked for.
        spending: Counts what the model uses.
    """

    def __init__(
        self,
        name: str,
        source: LazyModel,
        tools: Tools,
        earlier: Collection[int],
        *,
        think_tag: str = "",
        begin: Callable[[str], Draft] | None = None,
        bare: bool = False,
        checked: bool = False,
        spending: Spending,
    ) -> None:
        self.text = ""
        """What the model says."""
        self.spending = spending
        """What all replies have used."""
        self.draft: Draft | None = None
        """The plan in it."""
        self.think_tag = think_tag
        """What ended a thought that had begun in the prompt, if one had."""
        self._name = name
        self._stream = AnswerStream(name)
        self._source = source
        self._tools = tools
        self._earlier = earlier
        self._begin = begin
        self._bare = bare
        self._checked = checked
        self.answer_begun = False
        """Whether some of its answer was shown, or would have been."""
        self.cut = False
        """Whether the time was over, or the budget spent, before it had ended."""
        self._drafted = 0  # where the part of the text begins that the draft has not seen
        self._parser = self._new_parser()
        self._pieces: list[AIMessage] = []  # the reply as it came
        self._given = AIMessage("")  # all of it
        self._metadata: dict[str, Any] = {}

    async def read(
        self,
        model: ChatModel | WrappedModel,
        prompt: list[BaseMessage],
        grammar: Mapping[str, Any],
        *,
        sync: bool,
        until: float | None = None,
    ) -> Finish | Replan:
        """Ask the model, and read what it says.

        Args:
            model: The model.
            prompt: What it is asked.
            grammar: What holds it to a grammar.
            sync: Whether the graph was called synchronously.
            until: Until when to read, on the event loop's clock: what it has said by then is its reply.
        """
        self.text, self._metadata, self._pieces, self._parser = "", {}, [], self._new_parser()
        timer = asyncio.timeout_at(until)
        try:
            try:
                async with timer:
                    call = self.spending.call(prompt, model)
                    with self.spending.counted(call):
                        await self._read(call, model, prompt, grammar, sync=sync)
            except TimeoutError:
                if not timer.expired():
                    raise
                self.cut = True
                self._metadata["finish_reason"] = "deadline"
            decision, rest = self._parser.close()
            if (plan := self._plan()) is not None:
                decision, rest = plan, ""
            if isinstance(decision, Replan):
                await self._leave_shown()
            if self.draft is not None:
                self.draft.close()
        except BaseException:
            await self.drop_plan()
            await self._stream.abandon()
            raise
        self._given = merged(self._pieces)
        if self.answer_begun or not self.cut:
            self._show(rest)
        return decision

    async def _read(
        self,
        call: ModelCall,
        model: ChatModel | WrappedModel,
        prompt: list[BaseMessage],
        grammar: Mapping[str, Any],
        *,
        sync: bool,
    ) -> None:
        pieces = reply_stream(
            model,
            prompt,
            sync=sync,
            grammar=grammar,
            source=self._source,
            think_tag=self.think_tag,
            answers=True,
        )
        async with aclosing(pieces):  # type: ignore[type-var]
            async for piece in pieces:
                if piece.restart:
                    call.take(piece.message)
                    await self._restart()
                    continue
                if piece.given is not None:
                    self._pieces.append(piece.given)
                    call.take(piece.given)
                    self._metadata |= piece.given.response_metadata
                text = str(piece.message.text)
                if piece.unopened is not None:
                    self._take(piece.unopened)
                    if self.answer_begun and not self._parser.is_bare:  # the tag belongs to the answer
                        text = f"\n{text}"
                    else:
                        self.think_tag = piece.think_tag
                        await self._drop_draft()
                        await self._leave_shown()
                        self.text, self._parser = "", self._new_parser()
                self._take(text)
                if not self._goes_on(call):
                    call.cut = True
                    if not isinstance(model, WrappedModel):
                        break
                    model.enough = True

    def _goes_on(self, call: ModelCall) -> bool:
        """Whether the budget allows that more is read; if it does not, nothing more of a plan is begun."""
        if self.draft is None:
            if self.spending.may_write(call.read, call.written):
                return True
            self.cut, self._metadata["finish_reason"] = True, "budget"
            return False
        if self.draft.finished or self.spending.has_room(call.read, call.written, tasks=self.draft.size):
            return True
        self.draft.halt(self.spending.why)
        return False

    def answer(self, text: str) -> AIMessage:
        """Make the message of the answer."""
        return AIMessage(
            answer_content(self._given, text),
            id=self._stream.message_id,
            name=self._name,
            usage_metadata=self.spending.usage,
            response_metadata=self._metadata,
            additional_kwargs=answer_extras(self._given),
        )

    @property
    def refusal(self) -> str:
        """What the model says that refuses to reply, if it does."""
        return refusal(self._given)

    @property
    def stopped_by(self) -> str:
        """Why the reply ended, as the provider says it."""
        return str(self._metadata.get("finish_reason") or self._metadata.get("stop_reason") or "it says not why")

    async def answered(self, answer: str) -> None:
        """Say that this is the answer; it is shown if it was not while it was written."""
        if self._checked or not self.answer_begun:
            self._stream.put(answer)
        await self._stream.aclose(self.spending.usage)

    def withdraw(self) -> None:
        """Forget an answer that was checked and is not taken."""
        assert self._checked, "what was shown cannot be taken back"
        self.answer_begun = False

    async def drop_plan(self) -> None:
        """Cancel what was begun of a plan, and read no other."""
        self._begin = None
        await self._drop_draft()

    async def _drop_draft(self) -> None:
        self._drafted = 0
        if self.draft is not None:
            await self.draft.executor.aclose()
            self.draft = None

    async def _restart(self) -> None:
        """Forget a reply that does not count; what was shown of it is left as a message of its own in the streams."""
        await self._drop_draft()
        await self._leave_shown()
        self.text, self._metadata, self._pieces, self._parser = "", {}, [], self._new_parser()

    async def _leave_shown(self) -> None:
        """Leave what was shown as a message of its own in the streams: it is not the answer."""
        if self.answer_begun:
            await self._stream.abandon()
            self._stream, self.answer_begun = AnswerStream(self._name), False

    def _new_parser(self) -> DecisionParser:
        return DecisionParser(plans=self._begin is not None, bare=self._bare)

    def _take(self, text: str) -> None:
        self.text += text
        self._show(self._parser.feed(text))
        start = self._parser.plan_start
        if self.draft is None and self._begin is not None and start is not None:
            self.draft, self._drafted = self._begin(_feedback(self.text[:start])), start
        if self.draft is not None:
            self.draft.feed(self.text[self._drafted :])
            self._drafted = len(self.text)

    def _plan(self) -> Replan | None:
        """Take a reply for a plan that calls tools and says nothing else; begin its tasks if plans are read."""
        if (self.answer_begun and not self._parser.is_bare) or is_decided(self.text):
            return None
        start = _plan_start(self.text, self._tools, self._earlier)
        if start is None:
            return None
        replan = Replan("", unlabelled(self.text[:start]), self.text[start:].strip())
        if self._begin is not None and self.draft is None:
            self.draft = self._begin(replan.thought)
            self.draft.feed(replan.plan)
        return replan

    def _show(self, piece: str) -> None:
        if piece:
            self.answer_begun = True
            if not self._checked:
                self._stream.put(piece)


def _feedback(replan: str) -> str:
    decision = parse_decision(replan)
    return decision.feedback if isinstance(decision, Replan) else ""


def _plan_start(text: str, tools: Tools, earlier: Collection[int]) -> int | None:
    """Where the plan begins that a reply is: at its first call of a tool, or at a numbered `join()`.

    Calls without numbers are a plan only if there is nothing else: an answer may show how a tool is called.
    """
    parser = PlanParser(earlier, tools=tools)
    events = [*parser.feed(text), *parser.close()]
    lines = [event.line for event in events if isinstance(event, Task) and event.tool in tools]
    if not lines:
        join = _JOIN.search(text)
        return join and join.start()
    written = text.split("\n")
    if plain_head(written[min(lines) - 1], 0, tools) and any(map(_is_prose, written)):
        return None
    return len("".join(text.splitlines(keepends=True)[: min(lines) - 1]))


def _is_prose(line: str) -> bool:
    """Whether a line is neither blank nor a thought, nor of a call or a fence."""
    return not _OF_PLAN.match(line) and unlabelled(line) == line.strip()
