"""The executor: runs what the task fetching unit starts, greedy and event-driven, on one asyncio loop.

No polling, no level barriers, no thread held by a waiting task: a waiting task is a future.

A task's calls can be made in two ways. Once somebody `run`s the task (its LangGraph `@task`, when the plan is
complete), they are made there, in that context. Before that they are made *detached*, early, while the plan is still
being written, if the unit allows it (see its rules on held tasks) and the executor was given a function to make them.
Whoever runs the task later adopts them. A call that nobody can make yet takes no slot from others.

A call that turns out to need a human raises `Suspended`. A detached one is made again where the task is run. One made
there ends the task, once all its calls are back: what they want to ask is raised by every `run` of the task and of
those that wait for it, now or later, and by no other. What a call raises otherwise is raised there at once, and no
other call of the task begins. Neither is made again.

The calls of a task that fans out begin at once too, but for those of very many: they take turns (see `turns`).

>>> import asyncio
>>> from llmcompiler_graph.core.language.references import Reference
>>> async def call(start):
...     return Observation("done", start.arguments["x"] + 1)
>>> plan = Plan((Task(1, "inc", {"x": 1}), Task(2, "inc", {"x": Reference(1)})))
>>> observations = asyncio.run(run_plan(plan, call))
>>> observations[2].value
3

May know: `instructions`, `plan`, `references`, `repeating`, `turns`, `unit`.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from llmcompiler_graph.core.language.plan import Observation, Plan, Task
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.schedule.instructions import Finished, Instruction, Release, Start
from llmcompiler_graph.core.schedule.repeating import repeated
from llmcompiler_graph.core.schedule.turns import Turns
from llmcompiler_graph.core.schedule.unit import TaskFetchingUnit

__all__ = ("Call", "Executor", "Moment", "Suspended", "Timing", "run_plan")

Call: TypeAlias = Callable[[Start], Awaitable[Observation]]
"""Makes one tool call. It returns an observation, also of a tool that failed; what it raises ends the run."""

Moment: TypeAlias = Literal["released", "started", "done", "failed", "skipped"]


class Suspended(Exception):
    """A call needs a human. Its arguments are what is to be asked: of a task, by all its calls, in order."""


@dataclass(slots=True)
class Timing:
    """When a task's life changed, in seconds on the executor's clock; `None` for what did not happen."""

    released: float | None = None
    """Its inputs existed."""
    started: float | None = None
    """Its first call began."""
    finished: float | None = None
    """It had an observation."""
    early: bool = False
    """Whether its first call began before the plan was complete."""

    def at(self, moment: Moment) -> float | None:
        """When a moment came."""
        match moment:
            case "released":
                return self.released
            case "started":
                return self.started
            case "done" | "failed" | "skipped":
                return self.finished


class Executor:
    """Makes the calls of one plan.

    Args:
        unit: The state machine that decides.
        detached: Makes calls for tasks that nobody runs yet; `None` to wait for somebody.
        now: The clock, in seconds; the running loop's own by default.
        on_event: Told of each task's moments as they come.
        gathered: Names of tools whose calls are made together: they wait for each other, and take no turns.
    """

    def __init__(
        self,
        unit: TaskFetchingUnit,
        detached: Call | None = None,
        *,
        now: Callable[[], float] | None = None,
        on_event: Callable[[Moment, int], None] | None = None,
        gathered: Container[str] = (),
    ) -> None:
        self._unit = unit
        self.timings: dict[int, Timing] = {}
        """`{index: timing}` of the tasks added here."""
        self.on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._now = now or self._loop.time
        self._detached = detached
        self._context = contextvars.copy_context()
        self._early = True  # whether what begins now begins before the plan is complete
        self._bodies: dict[int, tuple[Call, contextvars.Context]] = {}  # index -> who runs it
        self._raised: dict[int, Exception] = {}  # index -> what a call of it raised
        self._asking: dict[int, dict[int, Suspended]] = {}  # index -> element -> what its call wants to ask
        self._outcomes: dict[int, asyncio.Future[Observation]] = {}
        self._awaited: dict[int, asyncio.Event] = {}  # index -> set once its inputs exist, or it has ended
        self._calls: set[asyncio.Task[Observation | None]] = set()
        self._begun: dict[int, dict[int, asyncio.Task[Observation | None]]] = {}  # index -> element -> detached call
        self._turns: dict[int, Turns] = {}  # index -> those of its calls, if it fans out
        self._gathered = gathered
        self._closed = False
        self._failure: BaseException | None = None  # what ended everything

    def add(self, task: Task) -> None:
        """Take a task of the plan; its calls may begin now."""
        if self._outcome(task.index).done():  # it was only known to be unusable
            del self._outcomes[task.index]
            self.timings.pop(task.index, None)
        self._apply(self._unit.add(task))

    def reject(self, index: int, error: str) -> None:
        """Take note that a task of the plan cannot be used."""
        self._outcome(index)
        self._apply(self._unit.reject(index, error))

    def restore(
        self,
        index: int,
        observation: Observation,
        timing: Timing,
        arguments: Sequence[Mapping[str, JSON]] = (),
    ) -> None:
        """Take the observation that an added task had in an earlier process: nothing is run for it."""
        if index in self._unit.observations:
            return
        self._apply(self._unit.restore(index, observation, arguments, self._unit.tasks[index].tool))
        self.timings[index] = timing

    def restore_earlier(
        self, index: int, observation: Observation, arguments: Sequence[Mapping[str, JSON]] = (), tool: str = ""
    ) -> None:
        """Take the observation of a task finished before, in this plan or an earlier one: no event tells of it.

        Args:
            index: The task.
            observation: Its observation.
            arguments: The resolved arguments of its calls.
            tool: The tool it called; equal calls of a read-only tool need not be made again.
        """
        _, *following = self._unit.restore(index, observation, arguments, tool)
        self._outcome(index).set_result(observation)
        self._apply(following)

    def has(self, index: int) -> bool:
        """Whether a task was added."""
        return index in self._unit.tasks

    def task(self, index: int) -> Task:
        """A task that was added.

        Raises:
            KeyError: It was not.
        """
        return self._unit.tasks[index]

    def observation(self, index: int) -> Observation | None:
        """The observation of a task, added here or restored; `None` if it is not finished."""
        return self._unit.observations.get(index)

    def arguments(self, index: int) -> tuple[Mapping[str, JSON], ...]:
        """The resolved arguments of a task's calls, in order of the elements; empty until it is released."""
        return self._unit.arguments.get(index, ())

    def values(self, index: int) -> dict[int, JSON]:
        """What the tasks have returned that a released task refers to, `{index: value}`."""
        return {n: self._unit.observations[n].value for n in self._unit.tasks[index].reads}

    async def run(self, index: int, call: Call) -> Observation:
        """Run a task from its `@task`: make its calls here, or adopt those under way, and wait for its observation.

        Raises:
            Exception: What `call` raised, for this task or for one it waits for.
        """
        self._bodies[index] = call, contextvars.copy_context()
        if index not in self._raised:
            self._apply(self._unit.claim(index))
        return await asyncio.shield(self._outcome(index))

    async def released(self, index: int) -> None:
        """Wait until a task's inputs exist or it has ended; but not if nobody makes its calls before it is run."""
        outcome = self._outcome(index)
        if self._detached is None or index in self._unit.arguments or outcome.done():
            return
        released = self._awaited.setdefault(index, asyncio.Event())
        outcome.add_done_callback(lambda _: released.set())
        await released.wait()

    def result(self, index: int) -> Observation | None:
        """What `run` would give at once for a task; `None` if it would wait, or raise."""
        outcome = self._outcomes.get(index)
        if outcome is None or not outcome.done() or outcome.cancelled() or outcome.exception() is not None:
            return None
        return outcome.result()

    async def settled(self, indices: Sequence[int], seconds: float) -> bool:
        """Wait until tasks have results, but not for long; say whether all have.

        Args:
            indices: The tasks; nobody needs to run them.
            seconds: How long to wait at most.
        """
        if pending := [outcome for outcome in map(self._outcome, indices) if not outcome.done()]:
            await asyncio.wait(pending, timeout=seconds)
        return all(self.result(index) is not None for index in indices)

    def begun(self, index: int, elements: Iterable[int]) -> dict[int, asyncio.Task[Observation | None]]:
        """The detached calls of some elements of an unfinished task that fans out, by element.

        They give an observation, or `None` if there is none: the call was suspended, or raised.
        """
        calls = {} if index in self._unit.observations else self._begun.get(index, {})
        return {n: calls[n] for n in elements if n in calls}

    def has_begun(self, index: int) -> bool:
        """Whether a call of a task has been made."""
        timing = self.timings.get(index)
        return timing is not None and timing.started is not None

    def complete(self, detached: Call) -> None:
        """Say that the plan is complete: what begins from now on is not early.

        Args:
            detached: Makes its calls while nobody runs their tasks, in the context that this is called in; but none if
                nobody has made them before.
        """
        self._early = False
        if self._detached is not None:
            self._detached, self._context = detached, contextvars.copy_context()

    def expire(self, what: str) -> None:
        """Say that the time is over: every unfinished task fails, and the calls under way are cancelled.

        Args:
            what: What passed, such as `the deadline of 5 s`, for the tasks' errors.
        """
        unfinished = [index for index in self._unit.tasks if index not in self._unit.observations]
        ran = set(filter(self.has_begun, unfinished))
        passed = {n: f"{what} passed {'while it ran' if n in ran else 'before it could start'}" for n in unfinished}
        self._apply(self._unit.expire(passed))
        for call in self._calls:
            call.cancel()

    def halt(self, what: str) -> None:
        """Begin nothing more: tasks of which no call has begun fail, and those that are added; calls under way go on.

        Args:
            what: Why, for the tasks' errors.
        """
        self._detached = None
        waiting = [n for n in self._unit.tasks if n not in self._unit.observations and not self.has_begun(n)]
        self._apply(self._unit.expire(dict.fromkeys(waiting, what)))

    async def aclose(self) -> None:
        """Cancel the calls under way and wait until they have ended."""
        self.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        self._bodies.clear()  # else they and the executor would hold each other
        self._detached = self.on_event = None

    def cancel(self) -> None:
        """Cancel the calls under way; nothing is started any more."""
        self._closed = True
        for call in self._calls:
            call.cancel()
        for outcome in self._outcomes.values():
            outcome.cancel()

    # -- carrying out -------------------------------------------------------------------------------------------

    def _outcome(self, index: int) -> asyncio.Future[Observation]:
        if index not in self._outcomes:
            future: asyncio.Future[Observation] = self._loop.create_future()
            # an outcome nobody asks for is no error
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._outcomes[index] = future
            if self._failure is not None:
                future.set_exception(self._failure)
            elif self._closed:
                future.cancel()
        return self._outcomes[index]

    def _apply(self, instructions: Iterable[Instruction]) -> None:
        pending = deque(instructions)
        while pending:
            instruction = pending.popleft()
            match instruction:
                case Release(index):
                    if (waited := self._awaited.pop(index, None)) is not None:
                        waited.set()
                    self._timing(index).released = self._now()
                    self._tell("released", index)
                case Start(index, element):
                    if not self._started(instruction):
                        pending.extend(self._unit.suspended(index, element))
                case Finished(index, observation):
                    self._timing(index).finished = self._now()
                    self._tell(observation.status, index)
                    if not (outcome := self._outcome(index)).done():
                        outcome.set_result(observation)
                case _:
                    self._end((instruction.index,), self._error(instruction.cause))

    def _error(self, index: int) -> Exception:
        """What is raised for a task that cannot have an observation, and for those that wait for it."""
        if index not in self._raised:
            asking = sorted(self._asking[index].items())
            self._raised[index] = Suspended(*(question for _, error in asking for question in error.args))
        return self._raised[index]

    def _timing(self, index: int) -> Timing:
        return self.timings.setdefault(index, Timing())

    def _tell(self, moment: Moment, index: int) -> None:
        if self.on_event is not None:
            self.on_event(moment, index)

    def _started(self, start: Start) -> bool:
        """Make a call, if anybody can."""
        claimed = start.index in self._bodies
        call, context = self._bodies[start.index] if claimed else (self._detached, self._context)
        if call is None or self._closed:
            return False
        timing = self._timing(start.index)
        if timing.started is None:
            timing.started, timing.early = self._now(), self._early and not claimed
            self._tell("started", start.index)
        task = self._loop.create_task(self._make(start, call, claimed=claimed), context=context.copy())
        self._calls.add(task)
        if not claimed and start.element is not None:
            self._begun.setdefault(start.index, {})[start.element] = task
        task.add_done_callback(self._ended)
        return True

    async def _make(self, start: Start, call: Call, *, claimed: bool) -> Observation | None:
        index = start.index
        if start.element is not None and (turn := self._turn(index)) is not None:
            await turn
        if index in self._raised:
            self._apply(self._unit.suspended(index, start.element))
            return None
        try:
            observation = await call(start)
        except asyncio.CancelledError:
            if self._closed:
                raise
            # the tool cancelled itself: without an observation everything behind it would wait for ever
            observation = Observation("failed", error="the tool's call was cancelled")
        except Suspended as error:
            if claimed:
                self._asking.setdefault(index, {})[start.element or 0] = error
                self._apply(self._unit.abandoned(index, start.element))
                return None
            self.timings[index].started = None
            again = self._unit.suspended(index, start.element)
            if index in self._bodies:  # somebody came to run it meanwhile
                again += self._unit.claim(index)
            self._apply(again)
            return None
        except Exception as error:
            self._raised[index] = error
            self._apply(self._unit.raised(index, start.element))
            return None
        self._apply(self._unit.finished(index, start.element, observation))
        return observation

    def _turn(self, index: int) -> asyncio.Future[None] | None:
        """What a call of a task that fans out is to await before it begins."""
        if self._unit.tasks[index].tool in self._gathered:
            return None
        if (turns := self._turns.get(index)) is None:
            turns = self._turns[index] = Turns()
        return turns.take()

    def _ended(self, call: asyncio.Task[Observation | None]) -> None:
        self._calls.discard(call)
        if not call.cancelled() and (error := call.exception()) is not None:
            self._failure = self._failure or error
            self._end(self._outcomes, error)  # not the tool's fault but `on_event`'s, say: nobody is to wait for ever

    def _end(self, indices: Iterable[int], error: BaseException) -> None:
        for index in indices:
            if not (outcome := self._outcome(index)).done():
                outcome.set_exception(error)


def _repeating(executor: Executor, task: Task, call: Call) -> Call:
    """Make all attempts of the calls of a task that repeats."""
    if (until := task.until) is None:
        return call

    async def repeat(start: Start) -> Observation:
        async def attempt(n: int) -> Observation:
            if n:
                await asyncio.sleep(until.every)
            return await call(start)

        return await repeated(task, executor.values(task.index), attempt)

    return repeat


async def run_plan(
    plan: Plan,
    call: Call,
    unit: TaskFetchingUnit | None = None,
    *,
    on_event: Callable[[Moment, int], None] | None = None,
) -> dict[int, Observation]:
    """Run a whole plan outside of any graph; return every task's observation by index.

    Args:
        plan: The plan.
        call: Makes one call; where a task repeats, one attempt.
        unit: Decides what runs when.
        on_event: Told of each task's moments as they come.

    Raises:
        Exception: What `call` raised; the calls under way are cancelled.
    """
    executor = Executor(unit or TaskFetchingUnit(), on_event=on_event)
    for task in plan:
        executor.add(task)
    runs = [asyncio.ensure_future(executor.run(task.index, _repeating(executor, task, call))) for task in plan]
    try:
        outcomes = await asyncio.gather(*runs)
    finally:
        await executor.aclose()
        await asyncio.gather(*runs, return_exceptions=True)
    return {task.index: outcome for task, outcome in zip(plan, outcomes, strict=True)}
