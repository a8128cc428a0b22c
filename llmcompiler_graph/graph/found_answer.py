"""Whether the joiner's answer says what the last task of a plan returned (`check_answers`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmcompiler_graph.core.checking.calculations import calculating, roots_of, thing
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
        asked = asked_for(question_of(state).text)
        said = known and answer_of(asked, known[1])
        if not (known and said):
            return None
        return known[0], _observed_name(state, said) if asked == "name" else said

    def unsaid(self, state: LLMCompilerState, decision: Finish | Replan) -> tuple[int, str] | None:
        """The last task and what it gave in words, if an answer does not say it."""
        known = self.last_value(state)
        if known is None or not isinstance(decision, Finish) or not decision.answer:
            return None
        asked, found = asked_for(question_of(state).text), self._found(state)
        if found is None or (asked == "name" and found[1].casefold() in decision.answer.casefold()):
            return None
        return found if says_not(asked, known[1], decision.answer) else None

    def bare(self, state: LLMCompilerState, decision: Finish | Replan) -> Finish | Replan:
        """What the last task gave instead of an answer around it, or of another, if nothing else is asked for."""
        if not isinstance(decision, Finish) or not decision.answer:
            return decision
        question = question_of(state).text
        if not only_asked(question):
            return decision
        if (found := self._found(state)) is None:
            return decision
        is_right = is_bare(asked_for(question), decision.answer) and self.unsaid(state, decision) is None
        is_other = is_right and _observed_name(state, decision.answer) != found[1]
        return decision if is_other else Finish(found[1])


def _observed_name(state: LLMCompilerState, name: str) -> str:
    """What a thing is called by the look-up of it, if that says so in a field `name`."""
    said = name.strip(" .").casefold()
    for task in state["tasks"]:
        match task["value"]:
            case {"name": str(observed)} if task["text"]:
                if (thing(task_from_record(task)) or "").casefold() == said:
                    return observed
    return name
