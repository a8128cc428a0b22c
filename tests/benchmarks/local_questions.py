"""Ten questions for the embedded model, live: plans parsed, structurally right, answers right.

python tests/benchmarks/local_questions.py [MODEL]

A plan is structurally right if it looks up exactly the entities asked about and its last task depends on all of them.
"""

import asyncio
import re
import sys
import time
from typing import NamedTuple

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.cli.defaults import default_examples, default_tools
from llmcompiler_graph.state import TaskRecord, task_from_record


class Question(NamedTuple):
    """One question and what a right answer holds."""

    text: str
    entities: set[str]
    answer: float | str


QUESTIONS = [
    Question("How many metres taller is Mount Everest than K2?", {"Mount Everest", "K2"}, 237.86),
    Question("How much deeper is Lake Baikal than Lake Superior, in metres?", {"Lake Baikal", "Lake Superior"}, 1236),
    Question(
        "What is the total length in km of the Nile, the Mississippi River and the Volga?",
        {"Nile", "Mississippi River", "Volga"},
        6650 + 3766 + 3530,
    ),
    Question(
        "Which of the Burj Khalifa, the CN Tower and the Tokyo Skytree is the tallest?",
        {"Burj Khalifa", "CN Tower", "Tokyo Skytree"},
        "Burj Khalifa",
    ),
    Question(
        "What is the average height in metres of Kilimanjaro, Elbrus, Aconcagua and Denali?",
        {"Kilimanjaro", "Elbrus", "Aconcagua", "Denali"},
        (5895 + 5642 + 6961 + 6190) / 4,
    ),
    Question(
        "How many times larger is the area of the Sahara than that of the Gobi?", {"Sahara", "Gobi Desert"}, 7.104
    ),
    Question("Which is larger in area, Greenland or Madagascar?", {"Greenland", "Madagascar"}, "greenland"),
    Question(
        "What is the combined area in km2 of Spain, Portugal, France, Italy and Germany?",
        {"Spain", "Portugal", "France", "Italy", "Germany"},
        505990 + 92212 + 643801 + 301340 + 357022,
    ),
    Question("Which animal is faster, the cheetah or the ostrich?", {"Cheetah", "Ostrich"}, "cheetah"),
    Question(
        "How many years passed between the completion of the Eiffel Tower and of the Empire State Building?",
        {"Eiffel Tower", "Empire State Building"},
        42,
    ),
]


def structurally_right(tasks: list[TaskRecord], entities: set[str]) -> bool:
    """Whether the first plan looks up exactly these entities and its last task depends on all lookups."""
    first = [task for task in tasks if task["round"] == 0]
    found = {task["value"]["name"] for task in first if task["tool"] == "lookup" and task["status"] == "done"}
    if (
        any(task["status"] != "done" for task in first)
        or not {e.lower() for e in entities} <= {name.lower() for name in found}
        or len(found) != len(entities)
    ):
        return False
    needs: dict[int, set[int]] = {}
    for task in first:
        dependencies = task_from_record(task).dependencies
        needs[task["index"]] = set(dependencies).union(*(needs[n] for n in dependencies))
    return {task["index"] for task in first if task["tool"] == "lookup"} <= needs[first[-1]["index"]]


def is_right(answer: str, expected: float | str) -> bool:
    """Whether an answer holds the expected number (within 1 %) or text."""
    if isinstance(expected, str):
        return re.search(expected, answer, re.IGNORECASE) is not None
    numbers = [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*\.?\d*", answer)]
    return any(abs(number - expected) <= 0.01 * expected for number in numbers)


async def main(model: str) -> None:
    """Ask all questions and print a line for each."""
    graph = create_llm_compiler(model, default_tools(), examples=default_examples)
    parsed = right_plans = right_answers = 0
    for question in QUESTIONS:
        began = time.monotonic()
        final = await graph.ainvoke({"messages": [("user", question.text)]})
        plan_parsed = bool(final["tasks"]) and not final["rounds"][0]["diagnostics"]
        plan_right = plan_parsed and structurally_right(final["tasks"], question.entities)
        answer = final["messages"][-1].content
        answer_right = is_right(answer, question.answer)
        parsed, right_plans, right_answers = (
            parsed + plan_parsed,
            right_plans + plan_right,
            right_answers + answer_right,
        )
        marks = " ".join("✓" if each else "✗" for each in (plan_parsed, plan_right, answer_right))
        print(f"{marks} {time.monotonic() - began:5.1f} s  {question.text}  →  {answer}", flush=True)
        if not (plan_right and answer_right):
            for one in final["rounds"]:
                print("    " + one["plan"].replace("\n", "\n    ") + "\n    " + one["reply"].replace("\n", "\n    "))
    print(f"{model}: plans parsed {parsed}/10, structurally right {right_plans}/10, answers right {right_answers}/10")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "local"))
