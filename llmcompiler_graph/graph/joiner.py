"""The joiner node: answers the question from the observations, or asks the planner for another plan."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langgraph.config import get_stream_writer

from llmcompiler_graph.concurrency.giving_up import within
from llmcompiler_graph.core.errors import DeadlineError
from llmcompiler_graph.core.language.decision import Finish, Replan
from llmcompiler_graph.graph.clock import current_clock, turn_clock
from llmcompiler_graph.graph.context import Settings, Shared, Teller
from llmcompiler_graph.graph.draft import Draft, referable
from llmcompiler_graph.graph.edited_results import with_edited_results
from llmcompiler_graph.graph.model_calls import ModelCalls
from llmcompiler_graph.graph.reply import Reply
from llmcompiler_graph.graph.spending import Spending
from llmcompiler_graph.models.constraints import Constraint
from llmcompiler_graph.models.dialects import Dialect, TextDialect
from llmcompiler_graph.models.lazy import ChatModel, LazyModel
from llmcompiler_graph.models.replies import WrappedModel
from llmcompiler_graph.models.structured import AnswerForm, Ask, Formed, plainly
from llmcompiler_graph.state import LLMCompilerState, Round, Span, task_from_record, think_tag

if TYPE_CHECKING:
    from llmcompiler_graph.graph.found_answer import FoundAnswer

__all__ = ("Joiner",)

T = TypeVar("T")

_NOTHING = "(nothing)"  # some providers refuse empty messages
_NOW = "Write the answer to the question now, from what is known."
_NOW_OR_REPLAN = "Finish with the answer, or replan."
_NO_MORE_PLANS = f"No other plan is possible. {_NOW}"
_EMPTY = "Your reply was empty."
_LEAST_OBSERVED = 200  # characters of an observation that the model is shown in any case
_REFUSED = "You refused to reply."


class Joiner:
    """Decides.

    Args:
        settings: The graph's tools and limits.
        shared: What its nodes and runs share.
        model: The model that decides.
        constraint: What to hold the model to, if it takes a grammar.
        name: Whose the answer is: the name of its message.
        form: The form of `structured_response`, if it is to give one.
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
        form: AnswerForm | None = None,
        dialect: Dialect | None = None,
        calls: ModelCalls | None = None,
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._model = model
        self._constraint = constraint
        self._name = name
        self._form = form
        self._dialect = dialect or TextDialect()
        self._calls = calls
        self._tools = {spec.name: tuple(spec.parameters) for spec in settings.callable}
        self._check: FoundAnswer | None = None
        if settings.check_answers:  # else it need not be loaded
            from llmcompiler_graph.graph.found_answer import FoundAnswer

            self._check = FoundAnswer(settings.specs)

    async def join(self, state: LLMCompilerState, *, sync: bool) -> Any:
        """Run the node; return the state's update."""
        state = {**state, "clock": current_clock(state, self._shared.inflight)}
        given, state = state, with_edited_results(state)
        until = self._time_limit(state)
        if (model := self._model.made()) is None:
            model = await self._in_time(self._model.aget(), until)
        rounds = state["rounds"]
        spending = Spending("joiner", self._settings.account(state))
        last = len(rounds) > self._settings.max_replans or self._overdue(state) or "cut" in rounds[-1]
        last = last or not spending.affords_replan(partial(self._settings.conversation, state))
        bind, wrapped = self._dialect.bind_without_calling, None
        if self._calls is not None:
            wrapped = self._calls.around(model, self._model, state, bind, sync=sync, last=last)
        asked = wrapped or bind(model, self._settings.shown(state))
        prompt = self._prompt(state, spending, last=last)
        now = turn_clock(state)
        began, teller = now(), Teller(get_stream_writer(), now)

        def begin(feedback: str) -> Draft:
            teller.replanning(feedback)
            return Draft(self._settings, self._shared, state, sync=sync)

        begin_plan = begin if self._settings.fuse_replan and not last else None
        earlier = [task["index"] for task in state["tasks"]]
        reply = Reply(
            self._name,
            self._model,
            self._tools,
            earlier,
            think_tag=think_tag(rounds),
            begin=begin_plan,
            bare=self._settings.brief,
            checked=self._check is not None and self._check.last_value(state) is not None,
            spending=spending,
        )
        decision = await self._decide(state, reply, asked, prompt, last=last, sync=sync, until=until)
        one: Round = {**rounds[-1], "reply": reply.text, "usage": _counted(rounds[-1], spending.usage)}
        one |= {"estimated": {**one.get("estimated", {}), "joiner": spending.estimated}} if spending.estimated else {}
        one |= {"think_tag": reply.think_tag} if reply.think_tag else {}
        update: dict[str, Any] = {"rounds": [*rounds[:-1], one], "clock": now.noted()}
        if state is not given:
            update["tasks"] = state["tasks"]
        if isinstance(decision, Finish):
            ask = wrapped.formed(self._form) if wrapped and self._form else plainly(model, sync=sync)
            update |= {"decision": "finish"} | await self._finish(
                decision, reply, model, prompt, one=one, ask=ask, until=until
            )
        else:
            plan = reply.draft.text if reply.draft is not None else ""
            if reply.draft is None:
                teller.replanning(decision.feedback or decision.thought)
            else:
                self._shared.inflight.hand_over(one, reply.draft)
            decided_after = state["messages"][-1].id
            update |= {"messages": [], "decision": "replan", "decided_after": decided_after, "next_plan": plan}
        one["joining"] = Span(started=began, finished=now())
        return [update, *wrapped.commands] if wrapped and wrapped.commands else update

    async def _decide(
        self,
        state: LLMCompilerState,
        reply: Reply,
        asked: ChatModel | WrappedModel,
        prompt: list[BaseMessage],
        *,
        last: bool,
        sync: bool,
        until: float | None,
    ) -> Finish | Replan:
        """Let the model decide; it is asked again if its reply cannot be taken, once for each reason."""
        grammar = await self._grammar(state, may_replan=not last, until=until)
        decision = await reply.read(asked, prompt, grammar, sync=sync, until=until)
        decision = self._bare(state, decision)
        last = last or self._overdue(state)
        asked_before: list[str] = []
        while (request := self._asked_again(state, decision, reply, last=last)) not in ("", *asked_before):
            if self._unsaid(state, decision):
                reply.withdraw()
            if last:
                await reply.drop_plan()
            asked_before.append(request)
            prompt += [AIMessage(reply.text.strip() or reply.refusal or _NOTHING), HumanMessage(request)]
            grammar = await self._grammar(state, may_replan=not last, until=until)
            again = await reply.read(asked, prompt, grammar, sync=sync, until=until)
            decision = self._bare(state, decision if reply.cut and not reply.answer_begun else again)
            if known := self._unsaid(state, decision):
                decision = Finish(known[1])  # twice the model has said something else than what was found
        if isinstance(decision, Replan) and last:  # what it says is the answer, but a plan is none
            decision = Finish("\n".join(filter(None, [decision.thought, decision.feedback])))
        finished = isinstance(decision, Finish) and bool(decision.answer)
        if reply.cut and not (reply.answer_begun or (asked_before and finished)):
            await reply.drop_plan()
            raise reply.spending.no_answer() if reply.stopped_by == "budget" else self._too_late()
        return decision

    def _prompt(self, state: LLMCompilerState, spending: Spending, *, last: bool) -> list[BaseMessage]:
        """Write the prompt: with less of the observations, if the budget does not do for them and an answer."""
        prompt, most = self._settings.conversation(state, last=last), self._settings.max_observation_chars
        while not spending.may_answer(prompt) and most > _LEAST_OBSERVED:
            most = max(most // 2, _LEAST_OBSERVED)
            prompt = self._settings.conversation(state, last=last, max_observation_chars=most)
        return prompt

    async def _finish(
        self,
        decision: Finish,
        reply: Reply,
        model: ChatModel,
        prompt: list[BaseMessage],
        *,
        one: Round,
        ask: Ask,
        until: float | None,
    ) -> dict[str, Any]:
        """Give the answer, also in the form asked for; note in the round what that took, return the state's update."""
        text = decision.answer or reply.refusal
        answer = reply.answer(text)
        if not answer.content:
            msg = f"the joiner's model gave no answer, also when asked again ({reply.stopped_by}): the answer is empty"
            warnings.warn(msg, stacklevel=2)
        await reply.answered(text)
        if self._form is None:
            return {"messages": [answer]}
        written = [*prompt, AIMessage(answer.text or _NOTHING)]
        if not reply.spending.may_answer(written):
            formed = Formed(None, f"{self._settings.budget} was spent", None, [])
        else:
            try:
                formed = await self._in_time(self._form.ask(model, written, self._model, ask), until)
            except DeadlineError:
                formed = Formed(None, "the turn's deadline and deadline_grace have passed", None, [])
        if formed.error:
            one["structured_error"] = formed.error
            told = f"the answer has no structured response: {formed.error}"
            warnings.warn_explicit(told, UserWarning, __file__, 1, __name__)  # `warn` would keep every text for ever
        used = reply.spending.usage
        one["usage"] = _counted(one, add_usage(used, formed.usage) if formed.usage else used)
        return {"messages": [*formed.messages, answer], "structured_response": formed.value}

    def _time_limit(self, state: LLMCompilerState) -> float | None:
        """Until when the model may take, on the event loop's clock."""
        left = self._settings.time_left(turn_clock(state))
        return None if left is None else asyncio.get_running_loop().time() + left + self._settings.deadline_grace

    async def _in_time(self, coroutine: Coroutine[Any, Any, T], until: float | None) -> T:
        timer = asyncio.timeout_at(until)
        try:
            async with timer:
                return await within(None, "the joiner's model", coroutine)
        except TimeoutError as error:
            if not timer.expired():
                raise
            raise self._too_late() from error

    def _too_late(self) -> DeadlineError:
        msg = (
            f"the joiner's model gave no answer within deadline_grace ({self._settings.deadline_grace:g} s) after the "
            f"turn's deadline of {self._settings.deadline:g} s; what the tasks gave is in the thread's state, if there "
            "is a checkpointer: run the graph again with None as its input to have the joiner asked again"
        )
        return DeadlineError(msg)

    def _overdue(self, state: LLMCompilerState) -> bool:
        return self._settings.time_left(turn_clock(state)) == 0

    async def _grammar(self, state: LLMCompilerState, *, may_replan: bool, until: float | None) -> dict[str, Any]:
        if self._constraint is None or not self._model.takes_grammars:
            return {}
        return await self._in_time(self._made_grammar(self._constraint, state, may_replan=may_replan), until)

    async def _made_grammar(
        self, constraint: Constraint, state: LLMCompilerState, *, may_replan: bool
    ) -> dict[str, Any]:
        may_finish = not (may_replan and self._fruitless(state))
        if not (self._settings.fuse_replan and may_replan):
            return constraint.decision(may_replan=may_replan, may_finish=may_finish)
        first = max((task["index"] for task in state["tasks"]), default=0) + 1
        earlier = referable(self._settings.specs, state["tasks"])
        tools, most = self._settings.shown(state), self._settings.max_tasks
        return await asyncio.to_thread(  # a large grammar takes seconds
            constraint.decision_with_plan,
            tools,
            may_finish=may_finish,
            first=first,
            max_tasks=most,
            earlier=earlier,
        )

    def _asked_again(self, state: LLMCompilerState, decision: Finish | Replan, reply: Reply, *, last: bool) -> str:
        """What to ask the model once more, if its reply cannot be taken, or does not say what was found."""
        if reply.cut:
            return ""
        if request := _asked_again(decision, reply, last=last):
            return request
        if (known := self._unsaid(state, decision)) is None:
            return ""
        return f"Your answer does not say what task {known[0]} returned, {known[1]}. {_NOW if last else _NOW_OR_REPLAN}"

    def _bare(self, state: LLMCompilerState, decision: Finish | Replan) -> Finish | Replan:
        """The answer without a word around it, if that is asked for and answers are checked."""
        return self._check.bare(state, decision) if self._check is not None else decision

    def _unsaid(self, state: LLMCompilerState, decision: Finish | Replan) -> tuple[int, str] | None:
        """The last task and what it gave in words, if answers are checked for that and this one does not say it."""
        return self._check.unsaid(state, decision) if self._check is not None else None

    def _fruitless(self, state: LLMCompilerState) -> bool:
        """Whether the first plan has found out nothing it was made for, and no human has had a say in that.

        Small models answer all the same, with what they make up: of the tasks whose results nothing else uses, one at
        least must have returned something before a model that is held to a grammar may finish.
        """
        tasks = state["tasks"]
        used = {index for task in tasks if task["text"] for index in task_from_record(task).dependencies}
        final = [task["status"] == "done" or task["value"] is not None for task in tasks if task["index"] not in used]
        asked = self._settings.approval.tools.intersection(task["tool"] for task in tasks if task["status"] == "failed")
        asked_before = state["rounds"][-1].get("approval") == "reject"
        return len(state["rounds"]) == 1 and bool(final) and not any(final) and not (asked or asked_before)


def _asked_again(decision: Finish | Replan, reply: Reply, *, last: bool) -> str:
    """What to ask the model once more, if its reply is no decision that can be taken."""
    if isinstance(decision, Replan):
        return _NO_MORE_PLANS if last else ""
    if reply.answer(decision.answer).content:
        return ""
    return f"{_REFUSED if reply.refusal else _EMPTY} {_NOW if last else _NOW_OR_REPLAN}"


def _counted(one: Round, joiner: UsageMetadata | None) -> dict[str, Any]:
    return one["usage"] if joiner is None else {**one["usage"], "joiner": joiner}
