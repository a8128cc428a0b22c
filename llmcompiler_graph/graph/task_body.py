"""What the LangGraph `@task` of one task of a plan does: adopts its early calls or makes them, and gives the result.

The calls of a task that fans out have `@task`s of their own inside it. Those of more than 1,000 elements have not: what
a `@task` costs LangGraph grows with their number.

A human's answer counts for the calls the human was shown, and for no others. So before a task asks, the arguments of
its calls are persisted, by a `@task` of their own. Where the run goes on and they have changed, or it is not known what
the human was shown, the answer is put aside and the task asks again.

LangGraph gives the answers of humans out in the order in which a `@task` asks. So calls that share a `@task` ask one
after another once there are answers, in order of the elements; what the others ask then waits for its turn.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from langchain_core.messages import ToolCall
from langgraph._internal._constants import CONFIG_KEY_RESUME_MAP, CONFIG_KEY_SCRATCHPAD
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.func import task as langgraph_task
from langgraph.types import Interrupt

from llmcompiler_graph.approval import ApprovalRequest, Decision
from llmcompiler_graph.calls.values import awritten
from llmcompiler_graph.concurrency.background import run_in_background
from llmcompiler_graph.core.language.plan import Observation
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.schedule.executor import Executor, Suspended
from llmcompiler_graph.core.schedule.unit import Start
from llmcompiler_graph.graph.context import Settings
from llmcompiler_graph.graph.records import from_record, to_record
from llmcompiler_graph.state import LLMCompilerState, TaskRecord, TaskResult

__all__ = ("Answers", "TaskBody", "one_interrupt")

_MOST_ELEMENTS = 1000

_CHANGED = "the call is not the one that was shown before: its arguments have changed, or nothing is known of it"


class Answers:
    """What LangGraph has for those who ask in one run of a node and its `@task`s.

    An answer that names no question is kept with the checkpoint, also once it was taken: LangGraph gives it to nobody
    else in that run, but still says that it has it, and gives it to who asks first in the next.
    """

    def __init__(self) -> None:
        self._taken = False  # whether the answer that names no question was
        # where the run goes on with answers that name theirs, it is an old one
        if get_config()["configurable"].get(CONFIG_KEY_RESUME_MAP):
            _scratchpad().get_null_resume(True)
            self._taken = True

    def count(self) -> int:
        """How many there are for what is asked in the node or `@task` this runs in, taken or not."""
        scratchpad = _scratchpad()
        return len(scratchpad.resume) + (not self._taken and scratchpad.get_null_resume(False) is not None)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note whether the answer that names no question is taken meanwhile: it is then one of the others."""
        others: list[Any] = _scratchpad().resume
        before = len(others)
        try:
            yield
        finally:
            self._taken = self._taken or len(others) > before


class TaskBody:
    """Runs one task.

    Args:
        settings: The graph's tools and limits.
        executor: Runs the plan.
        answers: What there is for its calls if they ask.
        record: The task.
        state: What its tool sees.
        sync: Whether the graph was called synchronously.
        max_concurrency: That of the node's own config, which the tools are told.
        apart: Whether there are slots for `@task`s inside the task's own.
    """

    def __init__(
        self,
        settings: Settings,
        executor: Executor,
        answers: Answers,
        record: TaskRecord,
        state: LLMCompilerState,
        *,
        sync: bool,
        max_concurrency: int | None,
        apart: bool,
    ) -> None:
        self._settings = settings
        self._executor = executor
        self._answers = answers
        self._record = record
        self._index = record["index"]
        self._state = state
        self._sync = sync
        self._max_concurrency = max_concurrency
        self._may_be_apart = apart
        self._decisions: list[Decision | None] = []  # a human's, one for each call; `None` if it needs none
        self._elements: dict[int, tuple[asyncio.Future[Start | None], Any]] = {}  # what lets a call begin, its `@task`
        self._in_turn = asyncio.Lock()
        self._deciding = asyncio.Lock()
        self._asked = False  # whether a call has asked, for all or in turn, what is not answered yet

    async def run(self) -> TaskResult:
        """Run the task; give what the checkpointer keeps of it.

        Raises:
            GraphInterrupt: Calls want a human.
            Exception: What a tool raised that is not handled.
        """
        index = self._index
        begun = self._executor.begun(index)
        if begun and self._apart():  # all before any other: LangGraph tells a task's `@task`s apart by their order
            self._elements.update((n, self._element(n, early)) for n, early in begun.items())
        try:
            observation = await self._executor.run(index, self._call)
        except (Suspended, GraphBubbleUp) as error:
            for begin, _ in self._elements.values():
                begin.cancel()
            if isinstance(error, Suspended):
                raise one_interrupt(error.args) from None
            raise
        finally:
            for begin, _ in self._elements.values():
                if not begin.done():  # nobody else would, and the `@task` would wait for ever
                    begin.set_result(None)
        return to_record(observation, self._arguments(), self._executor.timings[index])

    # -- one call -----------------------------------------------------------------------------------------------

    async def _call(self, start: Start) -> Observation:
        try:
            with self._answers.noting():
                decided = await self._decided(start)
            if isinstance(decided, Observation):
                return decided
            if decided.element is not None and self._apart():
                return await self._made_apart(decided.element, decided)
            with self._answers.noting():
                return await (self._made(decided) if decided.element is None else self._made_in_turn(decided))
        except GraphInterrupt as interrupt:
            raise Suspended(interrupt) from interrupt

    async def _made(self, start: Start) -> Observation:
        return await self._settings.call(
            start, self._record, self._state, sync=self._sync, max_concurrency=self._max_concurrency
        )

    async def _decided(self, start: Start) -> Start | Observation:
        """Ask a human, if one is to decide; return the call to make, or the observation without it."""
        approval = self._settings.approval
        if self._record["tool"] not in approval.tools:
            return start
        # for all calls at once, before the first of them: what was made must not be made again
        async with self._deciding:
            if not self._decisions:
                if self._asked:
                    raise GraphInterrupt
                try:
                    asked = approval.ask(self._record, self._tool_calls(start), self._state)
                    self._decisions.extend(await self._answered(asked))
                except GraphInterrupt:
                    self._asked = True
                    raise
        match self._decisions[start.element or 0]:
            case {"type": "reject", **rest}:
                reason = rest.get("message")
                return Observation("failed", error=f"a human rejected it{f': {reason}' if reason else ''}")
            case {"type": "respond", **rest}:
                return Observation("done", cast("JSON", rest.get("message")))
            case {"type": "edit", "edited_action": {"args": arguments}}:
                return replace(start, arguments=arguments)
            case _:
                return start

    async def _answered(self, request: ApprovalRequest) -> list[Decision | None]:
        """Ask a human; return a decision for each call, made about these very arguments."""
        shown = json.dumps(request.shown, sort_keys=True)
        error = ""
        while request.asked:
            fresh: list[str] = []

            async def note(fresh: list[str] = fresh) -> str:
                fresh.append(shown)
                return shown

            before = await self._own_task(f"{self._record['tool']}:approval", note)
            answer = request.ask(error)
            if fresh or before != shown:
                error = _CHANGED
                continue
            try:
                return [await _within_limits(each) for each in request.decisions(answer)]
            except ValueError as wrong:
                error = str(wrong)
        return request.decisions(None)

    def _own_task(self, name: str, body: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Future[Any]:
        """Run a coroutine in a `@task` of its own, inside that of the task."""
        if not self._sync:
            called: Any = langgraph_task(name=name)(cast("Any", body))()
            return cast("asyncio.Future[Any]", called)

        def in_background() -> Any:
            return run_in_background(body())

        called = langgraph_task(name=name)(cast("Any", in_background))()
        return asyncio.wrap_future(called)

    async def _made_in_turn(self, start: Start) -> Observation:
        """Make a call of a fan-out in the task's own `@task`, in turn if there are answers for what the calls ask."""
        if self._answers.count() <= any(self._decisions):
            return await self._made(start)
        async with self._in_turn:
            if self._asked:
                raise GraphInterrupt
            try:
                return await self._made(start)
            except GraphInterrupt:
                self._asked = True
                raise

    async def _made_apart(self, element: int, start: Start) -> Observation:
        """Make a call of a fan-out in a `@task` of its own."""
        if element not in self._elements:
            self._elements[element] = self._element(element)
        begin, made = self._elements[element]
        if not begin.done():  # else the task has ended
            begin.set_result(start)
        observation = from_record(await made)
        return await self._made(start) if observation is None else observation  # a run that failed did not make it

    def _element(
        self, n: int, early: asyncio.Future[Observation | None] | None = None
    ) -> tuple[asyncio.Future[Start | None], Any]:
        """Make the `@task` of one call of a task that fans out, inside that of the task.

        Args:
            n: The element.
            early: The detached call of it, if there was one: it is adopted if it gives anything.

        Returns:
            What lets the call begin, `None` if the task ended without it, cancelled if it was suspended; the `@task`.
            That gives a record of no observation if the call was not made.
        """
        begin: asyncio.Future[Start | None] = asyncio.get_running_loop().create_future()

        async def element() -> TaskResult:
            made = None
            if early is not None:
                try:
                    made = await asyncio.shield(early)
                except asyncio.CancelledError:
                    if not early.cancelled():
                        raise
            if made is None:
                try:
                    start = await asyncio.shield(begin)
                except asyncio.CancelledError:
                    if not begin.cancelled():
                        raise
                    raise GraphInterrupt from None  # a cancellation from here would pass for a failure
                if start is None:
                    return to_record(None)
                try:
                    made = await self._made(start)
                except asyncio.CancelledError:
                    if (this := asyncio.current_task()) is None or this.cancelling():
                        raise
                    # the tool cancelled itself: LangGraph would take it for the end of the run
                    made = Observation("failed", error="the tool's call was cancelled")
            return to_record(made)

        return begin, self._own_task(f"{self._record['tool']}[{n}]", element)

    # -- what is known of it ------------------------------------------------------------------------------------

    def _apart(self) -> bool:
        """Whether calls have `@task`s of their own."""
        return self._may_be_apart and len(self._executor.arguments(self._index)) <= _MOST_ELEMENTS

    def _tool_calls(self, start: Start) -> list[ToolCall]:
        """All calls of the task, of which one is to start."""
        given = self._executor.arguments(self._index)
        elements = [None] if start.element is None else range(len(given))
        return [
            ToolCall(
                name=self._record["tool"],
                args=dict(arguments),
                id=self._settings.call_id(self._record, element),
                type="tool_call",
            )
            for arguments, element in zip(given, elements, strict=True)
        ]

    def _arguments(self) -> list[Mapping[str, JSON]]:
        """What the calls were made with."""
        made = list(self._executor.arguments(self._index))
        for n, decision in enumerate(self._decisions):
            match decision:
                case {"type": "edit", "edited_action": {"args": edited}}:
                    made[n] = edited
        return made


async def _within_limits(decision: Decision | None) -> Decision | None:
    """A decision with what the human wrote in it as an observation may be.

    Raises:
        ObservationError: It may not.
    """
    match decision:
        case {"type": "respond" | "reject" as kind, **rest}:
            return Decision(type=kind, message=await awritten(rest.get("message")))
        case {"type": "edit", "edited_action": {"args": arguments}}:
            return Decision(type="edit", edited_action={"args": await awritten(arguments)})
        case _:
            return decision


def one_interrupt(errors: Iterable[BaseException]) -> GraphInterrupt:
    """Make one of several interrupts, each question once: the first, where several have one id."""
    interrupts: dict[str, Interrupt] = {}
    for error in errors:
        for each in error.args[0] if error.args else ():
            interrupts.setdefault(each.id, each)
    return GraphInterrupt(tuple(interrupts.values()))


def _scratchpad() -> Any:
    """LangGraph's notes on the node or `@task` this runs in, its answers among them."""
    return get_config()["configurable"][CONFIG_KEY_SCRATCHPAD]
