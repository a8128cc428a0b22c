"""What the nodes of one graph share: tools and limits, and the events of tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp

from llmcompiler_graph.approval import Approval
from llmcompiler_graph.calls.policy import ToolPolicy
from llmcompiler_graph.calls.runner import ToolRunner
from llmcompiler_graph.concurrency.background import PATIENCE
from llmcompiler_graph.core.arguments import check_count, check_names, refused
from llmcompiler_graph.core.checking.procedures import CheckedProcedure
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.language.plan import Observation, Task, ToolSpec
from llmcompiler_graph.core.schedule.executor import Call, Executor, Moment, Suspended
from llmcompiler_graph.core.schedule.instructions import Start
from llmcompiler_graph.core.schedule.unit import TaskFetchingUnit
from llmcompiler_graph.graph.approvals import InterruptMode
from llmcompiler_graph.graph.clock import TurnClock
from llmcompiler_graph.graph.inflight import InFlight
from llmcompiler_graph.graph.plan_approval import PlanApproval
from llmcompiler_graph.graph.records import how_made
from llmcompiler_graph.models.budget import Account, Meter
from llmcompiler_graph.models.prompts import conversation
from llmcompiler_graph.models.wording import PlanFormat
from llmcompiler_graph.state import LLMCompilerState, TaskEvent, TaskRecord, TaskResult, plan_name

if TYPE_CHECKING:
    from llmcompiler_graph.tool_selection import ToolSelection

__all__ = ("Settings", "Shared", "Teller")


@dataclass(frozen=True, slots=True)
class Settings:
    """The tools and limits of one graph: nothing that a run changes."""

    specs: Sequence[ToolSpec]
    """What is known of the tools."""
    runner: ToolRunner
    """Calls them."""
    system: SystemMessage
    """The system message of every model call."""
    policy: ToolPolicy
    """How long calls may take, and when they are made again."""
    approval: Approval
    """Which tools need a human."""
    approve_plans: PlanApproval
    """Which plans need a human."""
    interrupt_mode: InterruptMode
    """How runs pause for approvals."""
    max_replans: int
    """How many plans may follow the first in one turn."""
    fuse_replan: bool
    """Whether the joiner writes the next plan when it decides to replan."""
    max_repairs: int
    """How often the tasks of a plan that cannot be used are asked for again."""
    check_answers: bool
    """Whether plans and answers are checked for what the question asks for."""
    plan_format: PlanFormat
    """How the planner model writes plans."""
    brief: bool
    """Whether the models are to write no more than it takes."""
    max_tasks: int | None
    """How many tasks a plan may have."""
    max_fan_out: int | None
    """How many calls a task that fans out may come to."""
    max_concurrency: int | None
    """How many calls may run at a time."""
    max_observation_chars: int
    """How much of an observation the models are shown, in characters."""
    max_history_chars: int | None
    """How much of earlier turns the models are shown, in characters."""
    deadline: float | None
    """How long a turn may run before its tasks are ended, in seconds."""
    deadline_grace: float
    """How long the joiner may take after that, in seconds; a turn that goes on after a pause has as long at least."""
    held: frozenset[str]
    """Tools never called before the plan is complete, besides those with effects."""
    tool_concurrency: Mapping[str, int]
    """How many calls of a tool may run at a time, by name."""
    keys_of_one_value: frozenset[str]
    """The keys of the state that have no reducer."""
    selection: ToolSelection | None
    """Picks the tools and examples of each question; `None` to show all."""
    on_result: Callable[[TaskResult], None] | None = None
    """Told of the result of each `@task`, also of one that is not run again, before any that waits for it starts."""
    budget: Meter | None = None
    """What a turn's model calls may use."""
    procedures: Mapping[str, CheckedProcedure] = field(default_factory=dict)
    """The procedures that plans may call, by name."""

    def __post_init__(self) -> None:
        """Refuse limits that cannot be used.

        Raises:
            ConfigurationError: One of them is none, or they contradict each other.
        """
        check_count("max_replans", self.max_replans, 0)
        check_count("max_repairs", self.max_repairs, 0)
        check_count("max_observation_chars", self.max_observation_chars, 1)
        for what in ("max_tasks", "max_fan_out", "max_concurrency"):
            if (number := getattr(self, what)) is not None:
                check_count(what, number, 1)
        if self.max_history_chars is not None:
            check_count("max_history_chars", self.max_history_chars, 0)
        if not isinstance(self.tool_concurrency, Mapping):
            raise refused("tool_concurrency", "numbers by tool name", self.tool_concurrency)
        check_names("tool_concurrency", self.tool_concurrency, [spec.called for spec in self.specs])
        for tool, limit in self.tool_concurrency.items():
            check_count(f"tool_concurrency[{tool!r}]", limit, 1)
        if self.interrupt_mode not in get_args(InterruptMode):
            raise refused("interrupt_mode", "'batched' or 'per_call'", self.interrupt_mode)
        if self.plan_format == "tools" and self.fuse_replan:
            msg = "fuse_replan needs plan_format='text': the joiner writes the next plan into its reply"
            raise ConfigurationError(msg)

    @property
    def callable(self) -> Sequence[ToolSpec]:
        """All that plans may call: tools and procedures."""
        return [*self.specs, *(known.spec for known in self.procedures.values())]

    @property
    def widths(self) -> Mapping[str, int]:
        """How many tasks stand in place of a call of each procedure."""
        return {name: known.width for name, known in self.procedures.items()}

    def unit(self, held: Iterable[str] = ()) -> TaskFetchingUnit:
        """Make the task fetching unit of one plan; the run's own `max_concurrency` counts too.

        Args:
            held: More tools that are not called before the plan is complete.
        """
        limits = [n for n in (self.max_concurrency, get_config().get("max_concurrency")) if n]
        return TaskFetchingUnit(
            self.specs,
            held=self.held.union(held),
            unshared={spec.name for spec in self.specs if spec.called in self.approval.tools},
            max_fan_out=self.max_fan_out,
            max_concurrency=min(limits, default=None),
            tool_concurrency={
                s.name: self.tool_concurrency[s.called] for s in self.specs if s.called in self.tool_concurrency
            },
        )

    def executor(
        self,
        unit: TaskFetchingUnit,
        detached: Call | None = None,
        *,
        now: Callable[[], float],
        on_event: Callable[[Moment, int], None],
    ) -> Executor:
        """Make the executor of one plan; the arguments are its own."""
        gathered = {spec.name for spec in self.specs if spec.called in self.runner.gathered}
        return Executor(unit, detached, now=now, on_event=on_event, gathered=gathered)

    def conversation(
        self,
        state: LLMCompilerState,
        *,
        last: bool = False,
        system: SystemMessage | None = None,
        max_observation_chars: int | None = None,
    ) -> list[BaseMessage]:
        """Write the prompt for whichever model call is next; what is not given is as in the settings."""
        selected = state.get("selected", []) if self.selection else []
        return conversation(
            system or (self.selection.system(selected[0]) if self.selection and selected else self.system),
            state,
            last=last,
            fused=self.fuse_replan,
            max_observation_chars=max_observation_chars or self.max_observation_chars,
            max_history_chars=self.max_history_chars,
            plan_format=self.plan_format,
            brief=self.brief,
            more={picked["round"]: self.selection.more(picked) for picked in selected[1:]} if self.selection else {},
        )

    async def select(self, state: LLMCompilerState) -> dict[str, Any]:
        """Pick what the next plan may need, if tools are picked at all; return the state's update."""
        if self.selection is None or state.get("next_plan"):
            return {}
        return {"selected": await self.selection.select(state)}

    def shown(self, state: LLMCompilerState) -> Sequence[ToolSpec]:
        """The tools and procedures that the planner model is shown."""
        if self.selection is None:
            return self.callable
        names = {name for picked in state.get("selected", []) for name in picked["tools"]}
        return [spec for spec in self.callable if spec.name in names]

    @property
    def patience(self) -> float:
        """How long a synchronous run waits for an event loop that is blocked, in seconds."""
        return PATIENCE if self.deadline is None else min(PATIENCE, self.deadline_grace)

    def account(self, state: LLMCompilerState) -> Account | None:
        """What the turn has used of its budget; `None` if it has none."""
        return None if self.budget is None else Account(self.budget, state["rounds"])

    def time_left(self, now: TurnClock) -> float | None:
        """Seconds until the turn's deadline, 0 if it has passed; `None` if there is none."""
        if self.deadline is None:
            return None
        left = self.deadline - now()
        return left if left > _RESOLUTION else 0

    @staticmethod
    def call_id(task: TaskRecord, element: int | None) -> str:
        """The `tool_call_id` of a task's call; where the task fans out, that of the element's call."""
        return task["tool_call_id"] if element is None else f"{task['tool_call_id']}_{element}"

    async def call(
        self,
        start: Start,
        task: TaskRecord,
        state: Any,
        config: RunnableConfig,
        *,
        sync: bool,
        fresh: bool = False,
        check: Callable[[str, Mapping[str, Any]], None] | None = None,
    ) -> Observation:
        """Make one call of a task.

        Args:
            start: The call.
            task: Its task.
            state: What the tool sees.
            config: What the tool runs with (see `config_of_calls`).
            sync: Whether the graph was called synchronously.
            fresh: Whether what an earlier call returned may not answer it.
            check: Raises if what wrappers have made of the call, its tool's name and arguments, may not be called.
        """
        call_id = self.call_id(task, start.element)
        given = (task["tool"], start.arguments, call_id, state, config)
        attempt = partial(self.runner.call, *given, sync=sync, fresh=fresh, check=check)
        return await self.policy.apply(task["tool"], attempt)

    async def call_detached(
        self, shared: Shared, start: Start, task: TaskRecord, state: Any, config: RunnableConfig, *, sync: bool
    ) -> Observation:
        """Make one call of a task that nobody runs yet, where a human cannot be asked; as `call` does otherwise.

        Raises:
            Suspended: The tool asks: it is called again where it can.
        """
        try:
            return await self.call(start, task, state, config, sync=sync)
        except GraphBubbleUp as interrupt:
            shared.interrupting.add(plan_name(task))
            raise Suspended from interrupt


@dataclass(frozen=True, slots=True)
class Shared:
    """What the nodes and the runs of one graph share."""

    inflight: InFlight = field(default_factory=InFlight)
    """The calls under way between two nodes."""
    interrupting: set[str] = field(default_factory=set)
    """Tools that were seen to call `interrupt`: called early, they would do twice what they do before it."""
    returning: set[str] = field(default_factory=set)
    """Tools that were seen to return."""


_RESOLUTION = 0.001  # seconds: what is less is no time


class Teller:
    """Tells `stream_mode="custom"` of the moments in tasks' lives, as `TaskEvent`s."""

    def __init__(self, writer: Callable[[TaskEvent], None], now: Callable[[], float]) -> None:
        self._writer = writer
        self._now = now

    def planned(self, task: Task, record: TaskRecord) -> None:
        """A task was written."""
        self._writer(self._event("planned", record, record["planned_at"]) | {"after": list(task.dependencies)})

    def moment(self, moment: Moment, record: TaskRecord, executor: Executor) -> None:
        """Something happened to a task."""
        index = record["index"]
        event = self._event(moment, record, executor.timings[index].at(moment))
        observation = executor.observation(index)
        if observation is not None and moment == observation.status:
            event |= {"value": observation.value, "error": observation.error}
            event |= cast("TaskEvent", how_made(observation))
        self._writer(event)

    def repairing(self, complaints: str) -> None:
        """The planner is asked for some tasks again, or its last task is completed."""
        self._writer(TaskEvent(event="repairing", at=self._now(), error=complaints))

    def replanning(self, feedback: str) -> None:
        """The joiner asked for another plan."""
        self._writer(TaskEvent(event="replanning", at=self._now(), error=feedback))

    def _event(self, event: Literal["planned"] | Moment, record: TaskRecord, at: float | None) -> TaskEvent:
        at = self._now() if at is None else at
        told = TaskEvent(event=event, at=at, index=record["index"], tool=record["tool"], text=record["text"])
        if "procedure" in record:
            told["procedure"] = record["procedure"]
        return told
