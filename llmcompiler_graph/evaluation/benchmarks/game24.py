"""Game of 24: make 24 of four numbers, by a tree of thoughts (section 5.3 of the paper, and arXiv 2305.10601).

Three tools, two of which ask the model, at a temperature of 0.7: `thought_proposer` continues a state by one operation,
`state_evaluator` judges states three times each, `top_k_select` keeps the best. A state is the operations so far, a
line each, ending with what is left: `4 + 5 = 9 (left: 6 9 10)`.

The paper plans one round at a time, up to four. Here one plan has all four, because `${3[*]}` runs a proposer for each
state that was kept, whichever these will be.

The two examples are plans alone, as the paper's are, without what came of them. Systems that plan or program are shown
them in their form; ReAct and parallel calls, whose examples would be observations, are told the tools and have none.
"""

from __future__ import annotations

import asyncio
import csv
import re
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

from llmcompiler_graph import PlanExample
from llmcompiler_graph.evaluation.data import dataset_file
from llmcompiler_graph.evaluation.records import Benchmark, Model, Sample, Score
from llmcompiler_graph.models.lazy import LazyModel
from llmcompiler_graph.tools.arithmetic import evaluate
from llmcompiler_graph.tools.exact import CalculationError

__all__ = ("GAME24",)

_FIRST, _LAST = 900, 1000  # the hundred puzzles of both papers, in the file's order, which is that of difficulty
_ROUNDS, _KEPT, _JUDGEMENTS, _TEMPERATURE = 4, 5, 3, 0.7
_VALUES = {"sure": 20.0, "likely": 1.0, "impossible": 0.001}

_PROPOSE = """\
Write some possible next steps: take two of the numbers, combine them with + - * or /, and list the numbers that are \
left then.
Numbers: 2 8 8 14
2 + 8 = 10 (left: 8 10 14)
8 / 2 = 4 (left: 4 8 14)
14 + 2 = 16 (left: 8 8 16)
2 * 8 = 16 (left: 8 14 16)
8 - 2 = 6 (left: 6 8 14)
14 - 8 = 6 (left: 2 6 8)
14 / 2 = 7 (left: 7 8 8)
14 - 2 = 12 (left: 8 8 12)
Numbers: {left}
"""
_EXPRESS = """\
Write the steps as one expression of the four numbers.
Numbers: 4 4 6 8
4 + 8 = 12 (left: 4 6 12)
6 - 4 = 2 (left: 2 12)
2 * 12 = 24 (left: 24)
Answer: (6 - 4) * (4 + 8) = 24
Numbers: 2 9 10 12
12 * 2 = 24 (left: 9 10 24)
10 - 9 = 1 (left: 1 24)
24 * 1 = 24 (left: 24)
Answer: (12 * 2) * (10 - 9) = 24
Numbers: {puzzle}
{state}"""
_VALUE = """\
Can the numbers make 24 with + - * and /? Try a few ways, then write sure, likely or impossible.
Numbers: 10 14
10 + 14 = 24
sure
Numbers: 11 12
11 + 12 = 23
12 - 11 = 1
11 * 12 = 132
impossible
Numbers: 4 4 10
4 + 4 + 10 = 18
4 * 10 - 4 = 36
(10 - 4) * 4 = 24
sure
Numbers: 5 7 8
5 + 7 + 8 = 20
(8 - 5) * 7 = 21
not found at once, but the numbers are of the right size
likely
Numbers: 10 10 11
10 + 10 + 11 = 31
(11 - 10) * 10 = 10
all too large
impossible
Numbers: {left}
"""
_JUDGE = """\
Is the expression right: does it use each of the numbers once, no other number, and make 24? Write sure or impossible.
Numbers: 4 4 6 8
Answer: (4 + 8) * (6 - 4) = 24
sure
Numbers: 2 9 10 12
Answer: 2 * (12 - 10) = 24
impossible
Numbers: {puzzle}
{answer}
"""

_STEP = re.compile(r"^[^\n]*\(left:[^\n)]*\)", re.MULTILINE)
_LEFT = re.compile(r"\(left:([^)]*)\)")
_ANSWER = re.compile(r"^[ \t*]*answer[ \t*]*:[^\n]*", re.IGNORECASE | re.MULTILINE)
_WORD = re.compile("|".join(_VALUES))
_EXPRESSION = re.compile(r"[\d(][\d+\-*/() ]*[\d)]")


def _load(data: Path | None) -> list[Sample]:
    with dataset_file("game24/24.csv", data).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[_FIRST:_LAST]
    return [Sample(id=row["Rank"], question=row["Puzzles"], gold=24) for row in rows]


def _tools(sample: Sample, model: Model) -> list[BaseTool]:
    judged: dict[str, asyncio.Task[float]] = {}  # {prompt: its value}: what is left is often the same

    async def ask(prompt: str, sample: int = 0) -> str:
        chat = await LazyModel(model).aget()
        settings: dict[str, Any] = {"temperature": _TEMPERATURE}
        seed = getattr(getattr(chat, "inner", chat), "seed", None)  # behind the one that records it
        if isinstance(seed, int):
            settings["seed"] = seed + sample  # with one seed all judgements would be the same
        return str((await chat.bind(**settings).ainvoke(prompt)).text)

    async def valued(prompt: str) -> float:
        replies = await asyncio.gather(*(ask(prompt, number) for number in range(_JUDGEMENTS)))
        words = [_WORD.findall(reply.lower()) for reply in replies]
        return sum(_VALUES[found[-1]] for found in words if found)

    async def value(puzzle: str, state: str) -> float:
        lines = state.strip().splitlines()
        answers = _ANSWER.findall(state)
        if not lines or (len(lines) == _ROUNDS and not answers):
            return 0.0
        prompt = (
            _JUDGE.format(puzzle=puzzle, answer=answers[-1]) if answers else _VALUE.format(left=_left(state, puzzle))
        )
        if prompt not in judged:
            judged[prompt] = asyncio.create_task(valued(prompt))
        return await judged[prompt]

    async def thought_proposer(puzzle: str, state: str) -> list[str]:
        """Continue a state of the Game of 24 in every way that looks promising; the first state is ""."""
        if _ANSWER.search(state):
            return [state]
        left = _left(state, puzzle)
        if left.split() == ["24"]:
            found = _ANSWER.search(await ask(_EXPRESS.format(puzzle=puzzle, state=state)))
            return [f"{state}{found[0].strip()}\n"] if found else []
        return [f"{state}{step.strip()}\n" for step in _STEP.findall(await ask(_PROPOSE.format(left=left)))]

    async def state_evaluator(puzzle: str, states: list[str]) -> list[float]:
        """Judge states of the Game of 24: the higher, the likelier that they lead to 24."""
        return list(await asyncio.gather(*(value(puzzle, state) for state in states)))

    async def top_k_select(proposals: list[list[str]], values: list[list[float]]) -> list[str]:
        """Keep the five best of all proposed states, given a list of states and one of values for each proposer."""
        best: dict[str, float] = {}
        for states, theirs in zip(proposals, values, strict=True):
            for state, each in zip(states, theirs, strict=True):
                best.setdefault(state, each)
        return sorted(best, key=lambda state: -best[state])[:_KEPT]

    # proposals are sampled: equal calls are not the same
    return [StructuredTool.from_function(coroutine=each) for each in (thought_proposer, state_evaluator, top_k_select)]


def _left(state: str, puzzle: str) -> str:
    found = _LEFT.findall(state)
    return str(found[-1]).strip() if found else puzzle


def _score(answer: str, sample: Sample) -> Score:
    """Right if any line of the answer is, as in both papers: up to five states are kept to the end."""
    numbers = sorted(sample.question.split())
    found = [each.strip() for line in answer.splitlines() for each in _EXPRESSION.findall(line.partition("=")[0])]
    right = float(any(sorted(re.findall(r"\d+", each)) == numbers and _is_24(each) for each in found))
    return Score(right, right, f"an expression of {sample.question} that makes 24")


def _is_24(expression: str) -> bool:
    if "//" in expression or "**" in expression:
        return False
    try:
        return evaluate(expression) == 24
    except CalculationError:
        return False


def _plan(puzzle: str) -> str:
    lines = [
        f'1. thought_proposer(puzzle="{puzzle}", state="")',
        f'2. state_evaluator(puzzle="{puzzle}", states=$1)',
        "3. top_k_select(proposals=[$1], values=[$2])",
    ]
    for first in range(4, 3 * _ROUNDS, 3):
        lines += [
            f'{first}. thought_proposer(puzzle="{puzzle}", state=${{{first - 1}[*]}})',
            f'{first + 1}. state_evaluator(puzzle="{puzzle}", states=${{{first}[*]}})',
            f"{first + 2}. top_k_select(proposals=${first}, values=${first + 1})",
        ]
    return "\n".join([*lines, f"{3 * _ROUNDS + 1}. join()"])


GAME24 = Benchmark(
    name="game24",
    load=_load,
    tools=_tools,
    score=_score,
    instructions="Game of 24: use each of the four given numbers once, with + - * / and parentheses, to make 24. "
    "The answer is one such expression, and nothing else.",
    examples=(PlanExample("2 8 8 14", _plan("2 8 8 14")), PlanExample("4 4 6 8", _plan("4 4 6 8"))),
)
"""100 puzzles; the paper's ToT solves 74.00 %, LLMCompiler 75.33 % at 2.89 times the speed (gpt-4)."""
