"""The task fetching unit's node: runs the tasks of a plan, once a human has had a say in it if one is to have."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from llmcompiler_graph.concurrency.background import run_in_background
from llmcompiler_graph.graph.clock import current_clock
from llmcompiler_graph.graph.context import Settings, Shared
from llmcompiler_graph.graph.human_answers import ResumeValues
from llmcompiler_graph.graph.own_tasks import results, results_in_sync
from llmcompiler_graph.graph.plan_run import PlanRun
from llmcompiler_graph.graph.revision import revised
from llmcompiler_graph.state import LLMCompilerState, TaskRecord, task_from_record

__all__ = ("Fetching", "after_direct_fetching", "after_fetching")


def after_fetching(state: Any) -> str:
    """Where the task fetching unit leads: to itself while calls wait, for a human or to be made, then on."""
    number = len(state["rounds"]) - 1
    waiting = any(task["status"] == "planned" and task["round"] == number for task in state["tasks"])
    return "approve" if waiting else "go on"


def after_direct_fetching(state: Any, direct: Collection[str]) -> str:
    """The same where tools have `return_direct`: to the end if what they returned is all that the plan was made for.

    Args:
        state: The state.
        direct: The names of these tools.
    """
    if (leads := after_fetching(state)) != "go on":
        return leads
    number = len(state["rounds"]) - 1
    tasks: list[TaskRecord] = [task for task in state["tasks"] if task["round"] == number]
    used = {index for task in tasks if task["text"] for index in task_from_record(task).dependencies}
    final = [task for task in tasks if task["index"] not in used]
    whole = bool(final) and not state["rounds"][number]["diagnostics"]
    answers = whole and all(task["tool"] in direct and task["status"] == "done" for task in final)
    return "direct" if answers else leads


class Fetching:
    """Runs the tasks of the last plan."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self._settings = settings
        self._shared = shared
        self.patience = settings.patience
        """How long synchronous callers wait for an event loop that is blocked, in seconds."""

    async def afetch(self, state: LLMCompilerState) -> Any:
        """Run the node; return the state's update, with the commands that tools returned."""
        run = self._begun(state, sync=False)
        if not isinstance(run, PlanRun):
            return run
        try:
            return run.update(await results(run))
        finally:
            await run.aclose()

    def fetch(self, state: LLMCompilerState) -> Any:
        """Run the node for a synchronous caller."""

        async def begin() -> PlanRun | dict[str, Any]:
            return self._begun(state, sync=True)

        run = run_in_background(begin(), patience=self.patience)
        if not isinstance(run, PlanRun):
            return run
        try:
            return run.update(results_in_sync(run))
        finally:
            run_in_background(run.aclose(), loop=run.loop, patience=self.patience)

    def _begun(self, state: LLMCompilerState, *, sync: bool) -> PlanRun | dict[str, Any]:
        """Begin to run the tasks; or if a human is to decide about the plan, or has just done so, say so to the state.

        Raises:
            GraphInterrupt: The human has not decided.
        """
        resume_values = ResumeValues()
        clock = current_clock(state, self._shared.inflight)
        revision = revised(self._settings, self._shared, {**state, "clock": clock}, sync=sync)
        if revision is not None and revision.waits:
            return revision.update
        given: dict[str, Any] = {"revision": revision, "resume_values": resume_values, "clock": clock, "sync": sync}
        return PlanRun(self._settings, self._shared, state, **given)
