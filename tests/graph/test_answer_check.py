from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from typing_extensions import TypedDict

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from llmcompiler_graph.tools import calculate, lookup

LOOKUPS = '1. lookup("K2")\n2. lookup("Lhotse")\n'
NUMBER = '3. calculate("${1.height_m} - ${2.height_m}")\n4. join()'
WHICH = "Which mountain is higher, K2 or Lhotse?"


class Mountain(TypedDict):
    """What a search gives."""

    name: str
    height_m: float


def asked(question: str, *replies: str, **options: Any) -> Any:
    """Run a graph that checks answers."""
    model = ScriptedModel(list(replies))
    options = {"check_answers": True, "max_replans": 0, **options}
    return create_llm_compiler(model, [lookup, calculate], **options).invoke({"messages": [("user", question)]})


def test_a_last_task_is_completed() -> None:
    """The last calculation is put right where question and plan leave no choice, without another call of the model."""
    final = asked(WHICH, LOOKUPS + NUMBER, "Finish: K2 is higher.")
    assert [task["value"] for task in final["tasks"]][2:] == ["K2"]
    assert "argmax({'K2': ${1.height_m}, 'Lhotse': ${2.height_m}})" in final["plan_text"]
    assert final["messages"][-1].content == "K2 is higher."


def test_where_there_is_a_choice_the_plan_runs_as_it_stands() -> None:
    """What cannot be completed for certain is left to the joiner: the planner is not asked again, and nothing fails."""
    final = asked("How much of the higher of both is above 8000 m?", LOOKUPS + "3. join()", "Finish: 611")
    assert [task["status"] for task in final["tasks"]] == ["done", "done"]
    assert "repairs" not in final["rounds"][0]
    assert final["rounds"][0]["diagnostics"] == []
    assert final["messages"][-1].content == "611"


def test_an_answer_that_says_something_else_is_asked_for_again() -> None:
    """An answer without what the last task gave is not shown, and asked for once more."""
    model = ScriptedModel([LOOKUPS + NUMBER, "Finish: Lhotse, by far.", "Finish: 95 m"])
    graph = create_llm_compiler(model, [lookup, calculate], check_answers=True)
    question: Any = {"messages": [("user", "By how much is K2 higher than Lhotse?")]}
    shown = [
        chunk.text for chunk, _ in graph.stream(question, stream_mode="messages") if isinstance(chunk, AIMessageChunk)
    ]
    assert "".join(shown) == "95 m"


def test_an_answer_that_is_wrong_twice_is_what_was_found() -> None:
    """Where the model twice says something else, the answer is what the last task gave."""
    final = asked("By how much is K2 higher than Lhotse?", LOOKUPS + NUMBER, "Finish: Lhotse", "Finish: Everest")
    assert final["messages"][-1].content == "95"


@pytest.mark.parametrize(
    ("steps", "answer"),
    [
        ('3. calculate("${1.height_m} / 2")\n4. calculate("${1.height_m} - ${2.height_m}")', "95"),  # all lead to it
        ('3. calculate("${1.height_m} - ${2.height_m}")\n4. calculate("${1.height_m} / 2")', "Lhotse"),  # not all
        ('3. calculate("${1.height_m} - ${2.height_m}")\n4. calculate("$3 / 0")', "Lhotse"),  # it failed
        ('3. lookup("Nowhere")\n4. calculate("${1.height_m} - ${2.height_m}")', "95"),  # what failed leads nowhere
    ],
)
def test_the_last_task_is_made_of_all_that_is_known(steps: str, answer: str) -> None:
    """Other ends of a plan are no answer where one calculation is made of all that was looked up."""
    question = "What is the amount? Answer with the number and nothing else."
    assert asked(question, LOOKUPS + steps, "Finish: Lhotse", "Finish: Lhotse")["messages"][-1].content == answer


def test_nothing_else_is_nothing_else() -> None:
    """A question that asks for nothing but the number is answered with nothing else."""
    question = "By how much is K2 higher than Lhotse? Answer with the number and nothing else."
    final = asked(question, LOOKUPS + NUMBER, "Finish: K2 is 95 m higher.")
    assert final["messages"][-1].content == "95"


@pytest.mark.parametrize("said", ["Chogori", "chogori", "K2"])
def test_a_name_is_that_of_the_observation(said: str) -> None:
    """Where nothing but a name is asked for, it is the one by which the thing was found."""

    def search(entity: str) -> Mountain:
        """Search."""
        return {"name": "K2", "height_m": 8611.0} if entity == "Chogori" else {"name": "Lhotse", "height_m": 8516.0}

    plan = '1. search("Chogori")\n2. search("Lhotse")\n3. calculate("${1.height_m} - ${2.height_m}")\n4. join()'
    model = ScriptedModel([plan, *[f"Finish: {said}"] * 2])
    graph = create_llm_compiler(model, [search, calculate], check_answers=True)
    question = "Which mountain is higher, Chogori or Lhotse? Answer with the name and nothing else."
    assert graph.invoke({"messages": [("user", question)]})["messages"][-1].content == "K2"


def test_what_other_tools_return_is_no_answer() -> None:
    """Only what was calculated must be said: other tools return texts that the answer is to be taken from."""

    def search(query: str) -> str:
        """Search."""
        return "Ada Lovelace wrote the first program."

    model = ScriptedModel(['1. search("who")', "Finish: Lovelace"])
    graph = create_llm_compiler(model, [search, calculate], check_answers=True)
    final = graph.invoke({"messages": [("user", "Who wrote the first program?")]})
    assert final["messages"][-1].content == "Lovelace"


def test_a_full_plan_has_no_room_for_a_last_step() -> None:
    """Where a plan has as many tasks as it may, none is added."""
    final = asked(WHICH, LOOKUPS + "3. join()", "Finish: K2", max_tasks=2)
    assert [task["status"] for task in final["tasks"]] == ["done", "done"]


GAP = "After Lhotse drops by 10%, what is the gap between the highest and the lowest of K2, Makalu and it?"


def test_a_name_that_was_cut_short() -> None:
    """A look-up by a part of a name is made by the whole of it, as the question has it."""
    question = "How much higher than Lhotse is Mount Everest, in metres?"
    plan = '1. lookup("Lhotse")\n2. lookup("Mount")\n3. calculate("${2.height_m} - ${1.height_m}")'
    final = asked(question, plan, "Finish: 333 m")
    assert final["tasks"][1]["arguments"] == [{"entity": "Mount Everest"}]


def test_what_was_not_looked_up_is() -> None:
    """What the question changes, and no task has looked up, is looked up for the last step."""
    plan = '1. lookup("K2")\n2. lookup("Makalu")\n3. calculate("${1.height_m} - ${2.height_m}")\n4. join()'
    final = asked(GAP, plan, "Finish: 946.6 m")
    assert [task["value"] for task in final["tasks"]][4:] == [pytest.approx(8611 - 8516 * 0.9)]
    assert '4. lookup(entity="Lhotse")' in final["plan_text"]


def test_what_was_not_looked_up_needs_room() -> None:
    """Where the plan has no room for what is wanting, none of it is added."""
    plan = '1. lookup("K2")\n2. lookup("Makalu")\n3. calculate("${1.height_m} - ${2.height_m}")\n4. join()'
    final = asked(GAP, plan, "Finish: 126 m", "Finish: 126 m", max_tasks=4)
    assert [task["status"] for task in final["tasks"]] == ["done"] * 3


def test_large_numbers() -> None:
    """A number that is too large to be written is not looked for in the answer."""
    plan = '1. calculate("2 ** 2000")'
    final = asked("What is the product of all?", plan, "Finish: a lot")
    assert final["messages"][-1].content == "a lot"


def test_nothing_is_checked_by_default() -> None:
    """Other models than the embedded one are taken at their word."""
    final = asked(WHICH, LOOKUPS + NUMBER, "Finish: Everest", check_answers="auto")
    assert [task["value"] for task in final["tasks"]][2:] == [95]
    assert final["messages"][-1].content == "Everest"


def test_no_repairs_no_doubts() -> None:
    """Where nothing may be repaired, plans run as they are written."""
    final = asked(WHICH, LOOKUPS + NUMBER, "Finish: 95", max_repairs=0)
    assert [task["value"] for task in final["tasks"]][2:] == [95]


def test_it_is_true_false_or_auto() -> None:
    """Anything else is refused, by name."""
    with pytest.raises(ConfigurationError, match="check_answers must be True, False or 'auto'"):
        create_llm_compiler(ScriptedModel([]), [calculate], check_answers="yes")  # type: ignore[call-overload]
