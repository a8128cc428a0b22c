"""The planner node: streams the model into a draft, which starts each task's calls while the plan is still written.

What the draft cannot use is asked for again, in the same conversation, while the rest already runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage
from langchain_core.messages.ai import UsageMetadata
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from llmcompiler_graph.concurrency.giving_up import within
from llmcompiler_graph.graph.clock import current_clock, new_clock, turn_clock
from llmcompiler_graph.graph.context import Settings, Shared
from llmcompiler_graph.graph.draft import Draft, recorded
from llmcompiler_graph.graph.draft_tasks import Broken
from llmcompiler_graph.graph.edited_results import with_edited_results
from llmcompiler_graph.graph.model_calls import ModelCalls, WrappedCall
from llmcompiler_graph.graph.planned_answer import PlannedAnswer
from llmcompiler_graph.graph.spending import Spending
from llmcompiler_graph.graph.unanswered import with_answers
from llmcompiler_graph.models.budget import ModelCall
from llmcompiler_graph.models.constraints import Constraint
from llmcompiler_graph.models.dialects import Dialect, TextDialect
from llmcompiler_graph.models.lazy import ChatModel, LazyModel
from llmcompiler_graph.models.prompts import question_of, question_position, repair_request
from llmcompiler_graph.models.replies import WrappedModel, reply_stream
from llmcompiler_graph.models.wording import plan_or_join
from llmcompiler_graph.state import LLMCompilerState, Repair, Round, Span, plan_text, think_tag

__all__ = ("Planner",)

_CHUNKS_AFTER_JOIN = 8  # what a model may still write after `join()`; the last chunk of a reply counts its tokens


class Planner:
    """Asks the model for a plan and sets it going.

    Args:
        settings: The graph's tools and limits.
        shared: What its nodes and runs share.
        model: The model that plans.
        constraint: What to hold the model to, if it takes a grammar.
        dialect: How the model writes plans; as plan text if not given.
        calls: What is around the model's calls.
        joiner: The model that joins, if it is to be made before any tool is called: one that cannot be made does no
            harm then.
        answers_as: The name of the answer's message, if the planner may answer by itself what needs no tool.
    """

    def __init__(
        self,
        settings: Settings,
        shared: Shared,
        model: LazyModel,
        constraint: Constraint | None = None,
        dialect: Dialect | None = None,
        *,
        joiner: LazyModel | None = None,
        calls: ModelCalls | None = None,
        answers_as: str = "",
    ) -> None:
        self.graph: Any = None
        """The graph that the node is in, once it is made."""
        self.turn_is_begun = False
        """Whether a node before this one begins the turn."""
        self.answers = bool(answers_as)
        """Whether the planner may answer by itself."""
        self._answers_as = answers_as
        self._settings = settings
        self._shared = shared
        self._model = model
        self._constraint = constraint
        self._dialect = dialect or TextDialect()
        self._joiner = joiner
        self._calls = calls

    async def begin(self, state: LLMCompilerState, *, sync: bool) -> dict[str, Any]:
        """Say what a new question changes in the state before it is planned; nothing, for a replan."""
        update = _turn(state)
        if update:
            update["clock"] = new_clock(self._shared.inflight)
        if update and (answered := await with_answers(state, self.graph, sync=sync)) is not None:
            update["messages"] = [RemoveMessage(REMOVE_ALL_MESSAGES), *answered]
        return update

    async def plan(self, state: LLMCompilerState, *, sync: bool) -> Any:
        """Run the node; return the state's update."""
        update = {} if self.turn_is_begun else await self.begin(state, sync=sync)
        messages: list[BaseMessage] = update.pop("messages", [])
        if messages:
            state = {**state, "messages": messages[1:]}  # type: ignore[typeddict-item]
        elif not update:
            state = with_edited_results(state)
        inflight = self._shared.inflight
        clock = update.pop("clock", None) or current_clock(state, inflight)
        update |= await self._prepared({**state, **update, "clock": clock})  # type: ignore[typeddict-item]
        state = {**state, **update, "clock": clock}  # type: ignore[typeddict-item]
        begun = inflight.take_over(state["rounds"][-1]) if state["rounds"] else None
        make = partial(Draft, self._settings, self._shared, state, sync=sync)
        spending = Spending("planner", self._settings.account(state))
        written = _Written(begun if isinstance(begun, Draft) else make(), make, think_tag(state["rounds"]), spending)
        if self.answers and not state["rounds"]:
            written.may_answer(self._new_answer)
        adopted = state.get("next_plan", "")
        began = written.draft.now()
        try:
            plan, repairs = await self._plan_and_mend(written, state, adopted, sync=sync)
            usage, ended = spending.usage, written.draft.now()
            written.draft.settle()
            answer = await written.answered(usage)
        except BaseException:
            await written.aclose()
            raise
        draft = written.draft
        if any(record["text"] for record in draft.records):  # else it is empty, which some providers refuse
            messages.append(plan_message := draft.message(usage))
            inflight.hand_over(plan_message.id, draft.executor)
        else:
            await draft.executor.aclose()
        said = answer.text if answer is not None else ""
        one = Round(
            plan=plan,
            diagnostics=[recorded(each) for each in draft.diagnostics],
            reply=said,
            usage={} if usage is None else {"planner": usage},
        )
        one |= {"adopted": True} if adopted else {}
        one |= {"repairs": repairs} if repairs else {}
        if not adopted:
            repairing = next((each["writing"]["started"] for each in repairs), ended)
            one["planning"] = Span(started=began, finished=repairing)
        one |= written.noted()  # type: ignore[typeddict-item]
        update |= {
            "clock": turn_clock(state).noted(),
            "messages": messages,
            "tasks": [*state["tasks"], *draft.records],
            "rounds": [*state["rounds"], one],
            "next_plan": "",
            "plan_text": plan_text(draft.records),
        }
        if self.turn_is_begun and not state["rounds"]:
            update["turn_question"] = question_of(state)
        if answer is not None:
            messages.append(answer)
            update["decision"] = "finish"
        commands = [command for call in written.wrapped for command in call.commands]
        return [update, *commands] if commands else update

    def _new_answer(self) -> PlannedAnswer:
        tools = {spec.name: tuple(spec.parameters) for spec in self._settings.callable}
        return PlannedAnswer(self._answers_as, tools, behind_join=self._settings.plan_format == "text")

    async def _prepared(self, state: LLMCompilerState) -> dict[str, Any]:
        """Make what the turn needs before it is planned, until the deadline at most; return the state's update."""
        if self._settings.selection is None and (self._joiner is None or self._joiner.made() is not None):
            return {}
        timer = asyncio.timeout(self._settings.time_left(turn_clock(state)))
        try:
            async with timer:
                if self._joiner is not None:
                    await self._joiner.aget()
                return await within(None, "the selection of tools", self._settings.select(state))
        except TimeoutError:
            if not timer.expired():
                raise
            return {} if state["rounds"] or self._settings.selection is None else {"selected": []}

    async def _plan_and_mend(
        self, written: _Written, state: LLMCompilerState, adopted: str, *, sync: bool
    ) -> tuple[str, list[Repair]]:
        """Fill a draft, until the deadline or the end of the budget at most: what is written by then counts."""
        prompt, spending = self._settings.conversation(state), written.spending
        plan = ""
        repairs: list[Repair] = []
        timer = asyncio.timeout(self._settings.time_left(turn_clock(state)))
        try:
            async with timer:
                if adopted and not written.draft.text:  # else it was begun while the joiner wrote it
                    written.draft.feed(adopted)
                    written.draft.close()
                    if not spending.has_room(lambda: prompt, tasks=written.draft.size):
                        written.draft.halt(spending.why)
                elif not adopted:
                    await self._write(written, prompt, state, sync=sync)
                plan, numbered = written.draft.text, written.draft.numbered
                while written.may_mend(prompt) and (broken := written.draft.mend()):
                    request = repair_request(
                        state,
                        [(each.task, each.line, each.diagnostics) for each in broken],
                        self._settings.plan_format,
                        brief=self._settings.brief,
                    )
                    if repairs or not adopted:
                        prompt.append(AIMessage(plan_or_join(repairs[-1]["plan"] if repairs else numbered)))
                    prompt.append(HumanMessage(request))
                    told = [recorded(each) for one in broken for each in one.diagnostics]
                    span = Span(started=written.draft.now(), finished=written.draft.now())
                    repairs.append(Repair(request=request, diagnostics=told, plan="", writing=span))
                    await self._write(written, prompt, state, broken, sync=sync)
                    repairs[-1]["plan"] = written.draft.text
                    span["finished"] = written.draft.now()
        except TimeoutError:
            if not timer.expired():
                raise
            written.draft.close()
            written.cut = "deadline"
            if repairs:
                repairs[-1]["plan"] = written.draft.text
                repairs[-1]["writing"]["finished"] = written.draft.now()
            else:
                plan = written.draft.text
        return plan, repairs

    async def _write(
        self,
        written: _Written,
        prompt: list[BaseMessage],
        state: LLMCompilerState,
        broken: Sequence[Broken] = (),
        *,
        sync: bool,
    ) -> None:
        """Let the model write a plan, or its broken tasks again."""
        shown = self._settings.shown(state)
        bare, bind = await self._model.aget(), self._dialect.bind
        model: ChatModel | WrappedModel
        if self._calls is None:
            model = bind(bare, shown)
        else:
            model = self._calls.around(bare, self._model, state, bind, sync=sync, whole=bool(broken))
            written.wrapped.append(model)
        reader = self._dialect.reader(written.draft.first)
        grammar: dict[str, Any] = {}
        if self._constraint is not None and self._model.takes_grammars:
            grammar = await asyncio.to_thread(  # a large grammar takes seconds
                self._constraint.plan,
                shown,
                first=written.draft.first,
                max_tasks=self._settings.max_tasks,
                again=[each.task for each in broken if each.task is not None],
                earlier=written.draft.referable,
            )
        call = written.spending.call(prompt, model)
        if not state["rounds"] and not broken:
            written.spending.check_first(call)
        if not written.spending.has_room(call.read):
            return written.draft.halt(written.spending.why)
        may_answer = not broken
        left = _CHUNKS_AFTER_JOIN
        pieces = reply_stream(
            model, prompt, sync=sync, grammar=grammar, source=self._model, think_tag=written.think_tag
        )
        with written.spending.counted(call):
            async with aclosing(pieces):  # type: ignore[type-var]
                async for piece in pieces:
                    message = piece.message
                    if piece.restart or piece.unopened is not None:
                        written.think_tag = piece.think_tag or written.think_tag
                        if not broken:  # else the draft has more than this reply
                            await written.begin_anew()
                        reader, left = self._dialect.reader(written.draft.first), _CHUNKS_AFTER_JOIN
                    if piece.given is not None or piece.restart:
                        call.take(piece.given or message)
                    written.draft.feed(reader.feed(message))
                    if may_answer:
                        may_answer = written.take(message.text, piece.given)
                    left -= written.draft.finished
                    enough = left < 0 and not (may_answer and written.answer_may_come)
                    if enough or not written.goes_on(call, again=bool(broken)):
                        call.cut = True
                        if not isinstance(model, WrappedModel):
                            break
                        model.enough = True
        written.draft.feed(reader.close())
        written.draft.close(cut=reader.cut)


class _Written:
    """The draft that a run of the node writes.

    Args:
        draft: The one to begin with.
        make: Makes another.
        think_tag: What ends the model's thoughts if they are known to begin in its prompt.
        spending: Counts what the model uses.
    """

    def __init__(self, draft: Draft, make: Callable[[], Draft], think_tag: str, spending: Spending) -> None:
        self.draft = draft
        self.think_tag = think_tag
        self.spending = spending
        self.cut: Literal["", "deadline", "budget"] = ""
        """What was over before it was complete."""
        self._make = make
        self._new_answer: Callable[[], PlannedAnswer] | None = None
        self._answer: PlannedAnswer | None = None
        self.wrapped: list[WrappedCall] = []
        """The calls with middleware around them."""

    def noted(self) -> dict[str, Any]:
        """What the plan's round says of how it was written."""
        noted: dict[str, Any] = {"think_tag": self.think_tag} if self.think_tag else {}
        estimated = self.spending.estimated
        noted |= {"estimated": {"planner": estimated}} if estimated is not None else {}
        return noted | ({"cut": self.draft.halted} if self.draft.halted else {})

    async def begin_anew(self) -> None:
        """Give up what was written: it was a thought."""
        await self.aclose()
        self.draft = self._make()
        if self._new_answer is not None:
            self._answer = self._new_answer()

    async def aclose(self) -> None:
        """Cancel what was begun."""
        await self.draft.executor.aclose()
        if self._answer is not None:
            await self._answer.abandon()

    # -- within the budget ------------------------------------------------------------------------------------------

    def goes_on(self, call: ModelCall, *, again: bool) -> bool:
        """Whether more of a reply is read; if the budget does not allow it, nothing more is begun of a plan.

        Args:
            call: The call.
            again: Whether it writes broken tasks again.
        """
        answers = self._answer is not None and self._answer.begun and self.draft.calls_nothing
        if self.draft.finished and not answers:
            return True
        if self.spending.has_room(call.read, call.written, tasks=self.draft.size, answers=answers):
            return True
        self.cut = "budget"
        if not (again or answers):
            self.draft.halt(self.spending.why)
        return False

    def may_mend(self, prompt: list[BaseMessage]) -> bool:
        """Whether the budget allows that broken tasks are asked for again."""
        return not self.draft.halted and self.spending.has_room(lambda: [*prompt, AIMessage(self.draft.text)])

    # -- an answer in its place ---------------------------------------------------------------------------------

    def may_answer(self, make: Callable[[], PlannedAnswer]) -> None:
        """Let the reply be an answer; told how to make the reader of one."""
        self._new_answer, self._answer = make, make()

    @property
    def answer_may_come(self) -> bool:
        """Whether the reply is to be read on for an answer, although its `join()` was read."""
        return self._answer is not None and self._answer.may_come

    def take(self, text: str, given: AIMessage | None) -> bool:
        """Take more of the reply for an answer; return whether it may be one."""
        if self._answer is None or not self.draft.calls_nothing:
            return False
        self._answer.take(text, given, joined=self.draft.finished)
        return True

    async def answered(self, usage: UsageMetadata | None) -> AIMessage | None:
        """The message of the answer that was written in place of a plan, if one was."""
        if self._answer is None:
            return None
        if self.draft.calls_nothing:
            return await self._answer.message(usage, cut=self.cut)
        await self._answer.abandon()
        return None


def _turn(state: LLMCompilerState) -> dict[str, Any]:
    """What a new question changes in the state before it is planned; nothing, for a replan.

    A tool's `Command` may have added user messages: only what came after the joiner's decision is a new question.
    """
    messages = state["messages"]
    if not messages:
        msg = "there is nothing to answer: `messages` is empty; give {'messages': [('user', '…')]}"
        raise ValueError(msg)
    if state.get("decision") == "replan" and state.get("decided_after") == messages[-1].id:
        return {}
    cleared: dict[str, Any] = {"structured_response": None} if state.get("structured_response") is not None else {}
    cleared |= {"approvals": []} if state.get("approvals") else {}
    return {
        "turn": messages[question_position(messages)].id,
        "tasks": [],
        "rounds": [],
        "timeline": [],
        "next_plan": "",
        **cleared,
    }
