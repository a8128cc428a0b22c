"""The joiner node: answers the question from the observations, or asks the planner for another plan."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Mapping
from types import UnionType
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langgraph.config import get_stream_writer
from typing_extensions import TypeVar

from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.language.decision import Finish, Replan
from llmcompiler_graph.graph.context import Settings, Shared, Teller, turn_clock
from llmcompiler_graph.graph.draft import Draft, referable
from llmcompiler_graph.graph.edited_results import with_edited_results
from llmcompiler_graph.graph.model_calls import ModelCalls, WrappedCall
from llmcompiler_graph.graph.reply import Reply
from llmcompiler_graph.models.constraints import Constraint
from llmcompiler_graph.models.dialects import Dialect, TextDialect
from llmcompiler_graph.models.lazy import LazyModel
from llmcompiler_graph.models.streaming import unstreamed_config
from llmcompiler_graph.state import LLMCompilerState, Round, Span, task_from_record, think_tag

__all__ = ("Joiner", "Strategy", "answer_form")

ResponseT_co = TypeVar("ResponseT_co", covariant=True, default=Any)

_NOTHING = "(nothing)"  # some providers refuse empty messages
_NOW = "Write the answer to the question now, from what is known."
_NOW_OR_REPLAN = "Finish with the answer, or replan."
_NO_MORE_PLANS = f"No other plan is possible. {_NOW}"
_EMPTY = "Your reply was empty."
_REFUSED = "You refused to reply."
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
        calls: What is around the model's calls.
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
        calls: ModelCalls | None = None,
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._model = model
        self._constraint = constraint
        self._name = name
        self._form: Any = form
        self._dialect = dialect or TextDialect()
        self._calls = calls
        self._tools = frozenset(spec.name for spec in settings.specs)

    async def join(self, state: LLMCompilerState, *, sync: bool) -> Any:
        """Run the node; return the state's update."""
        given, state = state, with_edited_results(state)
        model = await self._model.aget()
        rounds = state["rounds"]
        last = len(rounds) > self._settings.max_replans or self._overdue(state)
        bind, wrapped = self._dialect.bind_without_calling, None
        if self._calls is not None:
            wrapped = self._calls.around(model, self._model, state, bind, sync=sync, last=last)
        asked = wrapped or bind(model, self._settings.shown(state))
        prompt = self._settings.conversation(state, last=last)
        now = turn_clock(state)
        began, teller = now(), Teller(get_stream_writer(), now)

        def begin(feedback: str) -> Draft:
            teller.replanning(feedback)
            return Draft(self._settings, self._shared, state, sync=sync)

        begin_plan = begin if self._settings.fuse_replan and not last else None
        reply = Reply(self._name, self._model, self._tools, think_tag(rounds), begin_plan)
        decision = await reply.read(asked, prompt, await self._grammar(state, may_replan=not last), sync=sync)
        last = last or self._overdue(state)
        if request := _asked_again(decision, reply, last=last):
            if last:
                await reply.drop_plan()
            prompt += [AIMessage(reply.text.strip() or reply.refusal or _NOTHING), HumanMessage(request)]
            decision = await reply.read(asked, prompt, await self._grammar(state, may_replan=not last), sync=sync)
        if isinstance(decision, Replan) and last:  # what it says is the answer, but a plan is none
            decision = Finish("\n".join(filter(None, [decision.thought, decision.feedback])))
        one: Round = {**rounds[-1], "reply": reply.text, "usage": _counted(rounds[-1], reply.usage)}
        one["joining"] = Span(started=began, finished=now())
        one |= {"think_tag": reply.think_tag} if reply.think_tag else {}
        update: dict[str, Any] = {"rounds": [*rounds[:-1], one]}
        if state is not given:
            update["tasks"] = state["tasks"]
        if isinstance(decision, Replan):
            plan = ""
            if reply.draft is None:
                teller.replanning(decision.feedback or decision.thought)
            else:
                plan = reply.draft.text
                self._shared.inflight.hand_over(one, reply.draft)
            decided_after = state["messages"][-1].id
            update |= {"messages": [], "decision": "replan", "decided_after": decided_after, "next_plan": plan}
            return [update, *wrapped.commands] if wrapped and wrapped.commands else update
        answer = reply.answer(decision.answer or reply.refusal)
        if not answer.content:
            msg = f"the joiner's model said nothing, also when asked again ({reply.stopped_by}): the answer is empty"
            warnings.warn(msg, stacklevel=2)
        await reply.answered(decision.answer or reply.refusal)
        update |= {"decision": "finish", "messages": [answer]}
        if self._form is not None:
            update["structured_response"], used = await self._structured(wrapped or model, [*prompt, answer], sync=sync)
            one["usage"] = _counted(one, add_usage(reply.usage, used) if used else reply.usage)
            one["joining"] = Span(started=began, finished=now())
        return [update, *wrapped.commands] if wrapped and wrapped.commands else update

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
        self, model: BaseChatModel | WrappedCall, prompt: list[BaseMessage], *, sync: bool
    ) -> tuple[Any, UsageMetadata | None]:
        """Ask for the answer in the form asked for; return it and the tokens that took."""
        if isinstance(model, WrappedCall):
            return await model.structured(self._form, [*prompt, HumanMessage(_STRUCTURED)])
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


def _asked_again(decision: Finish | Replan, reply: Reply, *, last: bool) -> str:
    """What to ask the model once more, if its reply is no decision that can be taken."""
    if isinstance(decision, Replan):
        return _NO_MORE_PLANS if last else ""
    if reply.answer(decision.answer).content:
        return ""
    return f"{_REFUSED if reply.refusal else _EMPTY} {_NOW if last else _NOW_OR_REPLAN}"


def _counted(one: Round, joiner: UsageMetadata | None) -> dict[str, Any]:
    return one["usage"] if joiner is None else {**one["usage"], "joiner": joiner}
