"""The joiner node: answers the question from the observations, or asks the planner for another plan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from types import UnionType
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langgraph.config import get_stream_writer
from typing_extensions import TypeVar

from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.language.decision import Finish, Replan, parse_decision
from llmcompiler_graph.core.language.decision_parser import DecisionParser
from llmcompiler_graph.graph.context import Settings, Shared, Teller, turn_clock
from llmcompiler_graph.graph.draft import Draft, referable
from llmcompiler_graph.models.constraints import Constraint
from llmcompiler_graph.models.dialects import Dialect, TextDialect
from llmcompiler_graph.models.lazy import ChatModel, LazyModel
from llmcompiler_graph.models.replies import reply_stream
from llmcompiler_graph.models.streaming import AnswerStream, unstreamed_config
from llmcompiler_graph.state import LLMCompilerState, Round, Span, task_from_record, think_tag

__all__ = ("Joiner", "Strategy", "answer_form")

ResponseT_co = TypeVar("ResponseT_co", covariant=True, default=Any)

_NO_MORE_PLANS = "No other plan is possible. Write the answer to the question now, from what is known."
_STRUCTURED = "Give the answer in the form asked for."


class Strategy(Protocol[ResponseT_co]):
    """How an answer gets its form, such as LangChain's `ToolStrategy` and `ProviderStrategy`."""

    @property
    def schema(self) -> type[ResponseT_co] | UnionType | dict[str, Any]:
        """The form."""


def answer_form(response_format: object) -> type[Any] | Mapping[str, Any] | None:
    """Read what form an answer is to have; of a strategy its `schema`.

    Raises:
        ConfigurationError: It is no pydantic model, TypedDict or JSON Schema.
    """
    what, form = "response_format", response_format
    if not isinstance(form, type | Mapping | None) and hasattr(form, "schema"):
        what, form = f"the schema of response_format's {type(form).__name__}", form.schema
    if not isinstance(form, type | Mapping | None):
        raise refused(what, "one pydantic model, TypedDict or JSON Schema", form)
    return form


class Joiner:
    """Decides.

    Args:
        settings: The graph's tools and limits.
        shared: What its nodes and runs share.
        model: The model that decides.
        constraint: What to hold the model to, if it takes a grammar.
        name: Whose the answer is: the name of its message.
        form: The form of `structured_response`, if it is to give one: a pydantic model, TypedDict or JSON Schema.
        dialect: How the same model writes plans; plan text if not given.
    """

    def __init__(
        self,
        settings: Settings,
        shared: Shared,
        model: LazyModel,
        constraint: Constraint | None = None,
        *,
        name: str = "joiner",
        form: type[Any] | Mapping[str, Any] | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._model = model
        self._constraint = constraint
        self._name = name
        self._form: Any = form
        self._dialect = dialect or TextDialect()

    async def join(self, state: LLMCompilerState, *, sync: bool) -> dict[str, Any]:
        """Run the node; return the state's update."""
        model = await self._model.aget()
        asked = self._dialect.bind_without_calling(model, self._settings.shown(state))
        rounds = state["rounds"]
        last = len(rounds) > self._settings.max_replans or self._overdue(state)
        prompt = self._settings.conversation(state, last=last)
        now = turn_clock(state)
        began, teller = now(), Teller(get_stream_writer(), now)

        def begin(replan: str) -> Draft:
            teller.replanning(_feedback(replan))
            return Draft(self._settings, self._shared, state, sync=sync)

        begin_plan = begin if self._settings.fuse_replan and not last else None
        reply = _Reply(self._name, self._model, think_tag(rounds), begin_plan)
        decision = await reply.read(asked, prompt, await self._grammar(state, may_replan=not last), sync=sync)
        if isinstance(decision, Replan) and (last or self._overdue(state)):
            # asked to answer with what there is, it asked for more: ask once again, and take what it says
            await reply.drop_plan()
            prompt += [AIMessage(reply.text), HumanMessage(_NO_MORE_PLANS)]
            grammar = await self._grammar(state, may_replan=False)
            decision = await reply.read(asked, prompt, grammar, sync=sync)
            if isinstance(decision, Replan):
                decision = Finish("\n".join(filter(None, [decision.thought, decision.feedback])))
        one: Round = {**rounds[-1], "reply": reply.text, "usage": _counted(rounds[-1], reply.usage)}
        one["joining"] = Span(started=began, finished=now())
        one |= {"think_tag": reply.think_tag} if reply.think_tag else {}
        update: dict[str, Any] = {"rounds": [*rounds[:-1], one]}
        if isinstance(decision, Replan):
            plan = ""
            if reply.draft is None:
                teller.replanning(decision.feedback)
            else:
                plan = reply.draft.text
                self._shared.inflight.hand_over(one, reply.draft)
            decided_after = state["messages"][-1].id
            return {**update, "decision": "replan", "decided_after": decided_after, "next_plan": plan}
        await reply.answered(decision.answer)
        answer = AIMessage(
            decision.answer,
            id=reply.id,
            name=self._name,
            usage_metadata=reply.usage,
            response_metadata=reply.metadata,
        )
        update |= {"decision": "finish", "messages": [answer]}
        if self._form is not None:
            update["structured_response"], used = await self._structured(model, [*prompt, answer], sync=sync)
            one["usage"] = _counted(one, add_usage(reply.usage, used) if used else reply.usage)
            one["joining"] = Span(started=began, finished=now())
        return update

    def _overdue(self, state: LLMCompilerState) -> bool:
        return self._settings.time_left(state) == 0

    async def _grammar(self, state: LLMCompilerState, *, may_replan: bool) -> dict[str, Any]:
        if self._constraint is None or not self._model.takes_grammars:
            return {}
        may_finish = not (may_replan and self._fruitless(state))
        if not (self._settings.fuse_replan and may_replan):
            return self._constraint.decision(may_replan=may_replan, may_finish=may_finish)
        first = max((task["index"] for task in state["tasks"]), default=0) + 1
        earlier = referable(self._settings.specs, state["tasks"])
        tools, most = self._settings.shown(state), self._settings.max_tasks
        return await asyncio.to_thread(  # a large grammar takes seconds
            self._constraint.decision_with_plan,
            tools,
            may_finish=may_finish,
            first=first,
            max_tasks=most,
            earlier=earlier,
        )

    def _fruitless(self, state: LLMCompilerState) -> bool:
        """Whether the first plan has found out nothing it was made for, and no human has had a say in that.

        Small models answer all the same, with what they make up: of the tasks whose results nothing else uses, one at
        least must have returned something before a model that is held to a grammar may finish.
        """
        tasks = state["tasks"]
        used = {index for task in tasks if task["text"] for index in task_from_record(task).dependencies}
        final = [task["status"] == "done" or task["value"] is not None for task in tasks if task["index"] not in used]
        asked = self._settings.approval.tools.intersection(task["tool"] for task in tasks if task["status"] == "failed")
        return len(state["rounds"]) == 1 and bool(final) and not any(final) and not asked

    async def _structured(
        self, model: BaseChatModel, prompt: list[BaseMessage], *, sync: bool
    ) -> tuple[Any, UsageMetadata | None]:
        """Ask for the answer in the form asked for; return it and the tokens that took."""
        structured = model.with_structured_output(self._form, include_raw=True)
        config = unstreamed_config()
        messages = [*prompt, HumanMessage(_STRUCTURED)]
        if sync:
            given: Any = await asyncio.to_thread(structured.invoke, messages, config)
        else:
            given = await structured.ainvoke(messages, config)
        if given["parsing_error"] is not None:
            raise given["parsing_error"]
        return given["parsed"], given["raw"].usage_metadata


class _Reply:
    """A reply while it is read: what belongs to the answer is shown at once in `stream_mode="messages"`.

    Args:
        name: Whose the answer is.
        source: What the model is got from.
        think_tag: What ends its thoughts if they are known to begin in its prompt.
        begin: Makes the draft of the plan that stands below a replan, told the reply up to there; `None` to read none.
    """

    def __init__(
        self,
        name: str,
        source: LazyModel,
        think_tag: str = "",
        begin: Callable[[str], Draft] | None = None,
    ) -> None:
        self.text = ""
        self.usage: UsageMetadata | None = None
        self.metadata: dict[str, Any] = {}
        self.draft: Draft | None = None
        self.think_tag = think_tag
        self._stream = AnswerStream(name)
        self.id = self._stream.message_id
        """The id of the answer."""
        self._source = source
        self._begin = begin
        self._shown = False
        self._drafted = 0  # where the part of the text begins that the draft has not seen

    async def read(
        self, model: ChatModel, prompt: list[BaseMessage], grammar: Mapping[str, Any], *, sync: bool
    ) -> Finish | Replan:
        parser = DecisionParser(plans=self._begin is not None)
        self.text, self.metadata = "", {}
        usage: UsageMetadata | None = None
        try:
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
                    message, text = piece.message, str(piece.message.text)
                    if piece.unopened is not None:
                        self._take(parser, piece.unopened)
                        if self._shown:  # cannot be taken back: the tag belongs to the answer
                            text = f"\n{text}"
                        else:
                            self.think_tag = piece.think_tag
                            parser = await self._begin_anew()
                    usage = add_usage(usage, message.usage_metadata) if message.usage_metadata else usage
                    self.metadata |= message.response_metadata
                    self._take(parser, text)
            if self.draft is not None:
                self.draft.close()
        except BaseException:
            await self.drop_plan()
            await self._stream.abandon()
            raise
        if usage is not None:
            self.usage = add_usage(self.usage, usage)
        decision, rest = parser.close()
        self._show(rest)
        return decision

    async def answered(self, answer: str) -> None:
        """Say that this is the answer; it is shown if it was not while it was written."""
        if not self._shown:
            self._stream.put(answer)
        await self._stream.aclose(self.usage)

    def _take(self, parser: DecisionParser, text: str) -> None:
        self.text += text
        self._show(parser.feed(text))
        self._plan(parser.plan_start)

    async def _begin_anew(self) -> DecisionParser:
        """Give up what was read so far: it was a thought."""
        self.text, self._drafted = "", 0
        if self.draft is not None:
            await self.draft.executor.aclose()
            self.draft = None
        return DecisionParser(plans=self._begin is not None)

    async def drop_plan(self) -> None:
        """Cancel what was begun of a plan, and read no other."""
        self._begin = None
        if self.draft is not None:
            await self.draft.executor.aclose()
            self.draft = None

    def _plan(self, start: int | None) -> None:
        """Begin the tasks that the reply has below its `Replan`, from where they start."""
        if self.draft is None and self._begin is not None and start is not None:
            self.draft, self._drafted = self._begin(self.text[:start]), start
        if self.draft is not None:
            self.draft.feed(self.text[self._drafted :])
            self._drafted = len(self.text)

    def _show(self, piece: str) -> None:
        if piece:
            self._shown = True
            self._stream.put(piece)


def _counted(one: Round, joiner: UsageMetadata | None) -> dict[str, Any]:
    return one["usage"] if joiner is None else {**one["usage"], "joiner": joiner}


def _feedback(replan: str) -> str:
    decision = parse_decision(replan)
    return decision.feedback if isinstance(decision, Replan) else ""
