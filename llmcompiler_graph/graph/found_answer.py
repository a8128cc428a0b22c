"""Whether the joiner's answer says what the last task of a plan returned (`check_answers`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmcompiler_graph.core.checking.calculations import calculating, roots_of
from llmcompiler_graph.core.checking.questions import asked_for, only_asked
from llmcompiler_graph.core.checking.said_answers import answer_of, is_bare
from llmcompiler_graph.core.checking.said_answers import unsaid as says_not
from llmcompiler_graph.core.language.decision import Finish, Replan
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.models.prompts import question_of
from llmcompiler_graph.state import LLMCompilerState, plan_name, task_from_record

__all__ = ("FoundAnswer",)


class FoundAnswer:
    """Checks the answers of turns whose last task calculates.

    Args:
        tools: The tools that plans may call.
    """

    def __init__(self, tools: Iterable[ToolSpec]) -> None:
        self._calculating = calculating(tools)

    def last_value(self, state: LLMCompilerState) -> tuple[int, Any] | None:
        """The last task that no other needs, and what it gave, if it calculates with all that was found out."""
        written = {task["index"]: task for task in state["tasks"] if task["text"]}
        tasks = [task_from_record(task) for task in written.values()]
        used = {index for task in tasks for index in task.dependencies}
        roots = roots_of(tasks)
        known = {n for found in roots.values() for n in found if written[n]["status"] == "done"}
        ends = [task for task in tasks if task.index not in used]
        if not ends or not known <= roots[ends[-1].index] or ends[-1].fans_out:
            return None
        if (last := written[ends[-1].index])["status"] != "done":
            return None
        if plan_name(last) not in self._calculating:  # what others return may be a text around the answer
            return None
        return last["index"], last["value"]

    def _found(self, state: LLMCompilerState) -> tuple[int, str] | None:
        """The last task, and what it gave in words, if that is what the question asks for."""
        known = self.last_value(state)
        said = known and answer_of(asked_for(question_of(state).text), known[1])
        return (known[0], said) if known and said else None

    def unsaid(self, state: LLMCompilerState, decision: Finish | Replan) -> tuple[int, str] | None:
        """The last task and what it gave in words, if an answer does not say it."""
        known = self.last_value(state)
        if known is None or not isinstance(decision, Finish) or not decision.answer:
            return None
        asked = asked_for(question_of(state).text)
        return self._found(state) if says_not(asked, known[1], decision.answer) else None

    def bare(self, state: LLMCompilerState, decision: Finish | Replan) -> Finish | Replan:
        """What the last task gave instead of an answer around it, or of another, if nothing else is asked for."""
        if not isinstance(decision, Finish) or not decision.answer:
            return decision
        question = question_of(state).text
        if not only_asked(question):
            return decision
        found = self._found(state)
        is_right = is_bare(asked_for(question), decision.answer) and self.unsaid(state, decision) is None
        return decision if found is None or is_right else Finish(found[1])
