"""The planner node: streams the model, and starts each task's calls while the plan is still being written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langgraph.config import get_stream_writer
from langgraph.errors import GraphBubbleUp

from llmcompiler_graph.check import Checker
from llmcompiler_graph.errors import Diagnostic
from llmcompiler_graph.executor import Executor, Moment, Suspended
from llmcompiler_graph.models import LazyModel
from llmcompiler_graph.nodes import Compiler, Teller, new_clock, reply_stream, turn_clock
from llmcompiler_graph.parser import PlanParser
from llmcompiler_graph.plan import Observation, Task, render_value
from llmcompiler_graph.prompts import conversation, question_position
from llmcompiler_graph.references import JSON, references
from llmcompiler_graph.state import (
    DiagnosticRecord,
    LLMCompilerState,
    Round,
    TaskRecord,
    observation_of,
    planned,
    reread,
    storable,
)
from llmcompiler_graph.task_fetching_unit import Start

__all__ = ("Planner",)

_CHUNKS_AFTER_JOIN = 8  # what a model may still write after `join()`; the last chunk of a reply counts its tokens


class Planner:
    """Asks the model for a plan and sets it going.

    Args:
        compiler: The graph's tools and limits.
        model: The model that plans.
        grammar: Given the first index of the plan, the GBNF grammar to hold the model to, if it takes one.
    """

    def __init__(self, compiler: Compiler, model: LazyModel, grammar: Callable[[int], str] | None = None) -> None:
        self._compiler = compiler
        self._model = model
        self._grammar = grammar

    async def plan(self, state: LLMCompilerState, *, sync: bool) -> dict[str, Any]:
        """Run the node; return the state's update."""
        update = _turn(state)
        state = {**state, **update}  # type: ignore[typeddict-item]
        model = await self._model.aget()
        prompt = conversation(self._compiler.system, state, max_observation_chars=self._compiler.max_observation_chars)
        plan = _PlanInProgress(self._compiler, state, sync=sync)
        settings = {"extra_body": {"grammar": self._grammar(plan.first)}} if self._grammar else {}
        usage: UsageMetadata | None = None
        text, left = "", _CHUNKS_AFTER_JOIN
        try:
            async with aclosing(reply_stream(model, prompt, sync=sync, settings=settings)) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    usage = chunk.usage_metadata or usage
                    text += chunk.text
                    plan.take(plan.parser.feed(chunk.text))
                    left -= plan.parser.finished
                    if left < 0:
                        break
            plan.take(plan.parser.close())
        except BaseException:
            await plan.executor.aclose()
            raise
        messages = []
        if any(record["text"] for record in plan.records):  # else it is empty, which some providers refuse
            messages = [plan.message(usage)]
            self._compiler.inflight.hand_over(messages[0], plan.executor)
        one = Round(plan=text, diagnostics=[_recorded(each) for each in plan.diagnostics], reply="", usage={})
        if usage is not None:
            one["usage"]["planner"] = usage
        return {
            **update,
            "messages": messages,
            "tasks": [*state["tasks"], *plan.records],
            "rounds": [*state["rounds"], one],
        }


def _turn(state: LLMCompilerState) -> dict[str, Any]:
    """What a new question changes in the state before it is planned; nothing, for a replan.

    A tool's `Command` may have added user messages: only what came after the joiner's decision is a new question.
    """
    messages = state["messages"]
    if not messages:
        msg = "there is nothing to answer: `messages` is empty"
        raise ValueError(msg)
    if state.get("decision") == "replan" and state.get("decided_after") == messages[-1].id:
        return {}
    return {
        "turn": messages[question_position(messages)].id,
        "clock": new_clock(),
        "tasks": [],
        "rounds": [],
        "timeline": [],
        "structured_response": None,
    }


class _PlanInProgress:
    """One plan while it is written: parsed, checked, recorded and begun, task by task."""

    def __init__(self, compiler: Compiler, state: LLMCompilerState, *, sync: bool) -> None:
        earlier = state["tasks"]
        self.first = max((record["index"] for record in earlier), default=0) + 1
        self.parser = PlanParser(record["index"] for record in earlier)
        self.records: list[TaskRecord] = []
        self.diagnostics: list[Diagnostic] = []
        self._round = len(state["rounds"])
        self._id = uuid4().hex[:12]
        self._checker = Checker(compiler.specs, compiler.max_tasks)
        self._tasks: dict[int, Task] = {}
        self._by_index: dict[int, TaskRecord] = {}
        now = turn_clock(state)
        self._teller = Teller(get_stream_writer(), now)
        unit = compiler.unit()
        for record in earlier:
            if (observation := observation_of(record)) is not None:
                unit.restore(record["index"], observation, record["arguments"], record["tool"])
            if record["text"]:
                self._checker.assume(reread(record))

        async def early(start: Start) -> Observation:
            try:
                return await compiler.call(start, self._by_index[start.index], state, sync=sync)
            except GraphBubbleUp as interrupt:
                raise Suspended from interrupt

        self.executor = Executor(unit, early, now=now, on_event=self._tell)

    def take(self, events: Iterable[Task | Diagnostic]) -> None:
        """Take what the parser found: check it, and start what can be started."""
        for event in events:
            if isinstance(event, Diagnostic):
                self._reject([event])
                continue
            task, problems = self._checker.check(event)
            self._forget_guess(task.index)
            record = planned(task, self._round, f"call_{self._id}_{task.index}")
            self._record(record)
            self._tasks[task.index] = task
            self._teller.planned(task, record)
            if problems:
                self._reject(problems)
            else:
                self.executor.add(task)

    def message(self, usage: UsageMetadata | None) -> AIMessage:
        """The plan as chat UIs know it: a message with a tool call per task."""
        calls = [
            ToolCall(name=task.tool, args=_shown(task), id=self._by_index[index]["tool_call_id"], type="tool_call")
            for index, task in self._tasks.items()
        ]
        return AIMessage("", tool_calls=calls, id=f"plan_{self._id}", name="planner", usage_metadata=usage)

    def _reject(self, problems: list[Diagnostic]) -> None:
        self.diagnostics += problems
        index = problems[0].index
        if index is None:
            return
        error = "; ".join(f"{each.message}{each.hint and f' ({each.hint})'}" for each in problems)
        if index not in self._by_index:
            self._record({**planned(Task(index, ""), self._round, f"call_{self._id}_{index}"), "text": ""})
        record = self._by_index[index]
        record["status"], record["error"] = "failed", error
        self.executor.reject(index, error)

    def _forget_guess(self, index: int) -> None:
        """A numbered line of prose was taken for task `index`; here is the task itself."""
        if (record := self._by_index.pop(index, None)) is not None:
            self.records.remove(record)
            self.diagnostics = [each for each in self.diagnostics if each.index != index]

    def _record(self, record: TaskRecord) -> None:
        self._by_index[record["index"]] = record
        self.records.append(record)

    def _tell(self, moment: Moment, index: int) -> None:
        if (record := self._by_index.get(index)) is not None:
            self._teller.moment(moment, record, self.executor.unit.observations.get(index))


def _recorded(diagnostic: Diagnostic) -> DiagnosticRecord:
    return DiagnosticRecord(
        code=diagnostic.code,
        message=diagnostic.message,
        hint=diagnostic.hint,
        line=diagnostic.line,
        column=diagnostic.column,
        index=diagnostic.index,
    )


def _shown(task: Task) -> dict[str, Any]:
    """A task's arguments as JSON, with references as they are written."""
    return {
        name: render_value(value) if any(True for _ in references(value)) else storable(cast("JSON", value))
        for name, value in task.arguments.items()
    }
