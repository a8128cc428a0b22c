"""A benchmark of one question with two tools, for tests of systems."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langchain_core.tools import ToolException, tool

from llmcompiler_graph.core.examples import PlanExample
from llmcompiler_graph.evaluation.records import Answer, Benchmark, Sample, Score, System
from llmcompiler_graph.testing import ScriptedModel, run_virtual

HEIGHTS = {"Everest": 8849, "K2": 8611}


@tool
async def lookup(entity: str) -> int:
    """Look up the height of a mountain in metres."""
    await asyncio.sleep(2)
    if entity not in HEIGHTS:
        raise ToolException(f"no facts for {entity!r}")
    return HEIGHTS[entity]


@tool
async def subtract(left: int, right: int) -> int:
    """Subtract."""
    await asyncio.sleep(1)
    return left - right


SAMPLE = Sample("1", "How much taller is Everest than K2?", 238)
REACT_PROMPT = """\
One thing at a time.

Question: How much is Elbrus above Denali?
Thought: First Elbrus.
Action: lookup("Elbrus")
Observation: 5642
Thought: Now Denali.
Action: lookup("Denali")
Observation: 6190
Thought: Subtract.
Action: subtract(6190, 5642)
Observation: 548
Thought: It is lower.
Answer: -548
"""
BENCHMARK = Benchmark(
    name="tiny",
    load=lambda _: [SAMPLE],
    tools=lambda *_: [lookup, subtract],
    score=lambda answer, sample: Score(float(answer == str(sample.gold)), 0.0),
    instructions="Answer with a number.",
    examples=(
        PlanExample(
            "How much is Elbrus above Denali?",
            '1. lookup("Elbrus")\n2. lookup("Denali")\n3. subtract($2, $1)\n4. join()',
        ),
    ),
    react_prompt=REACT_PROMPT,
    react_dagger_prompt=f"{REACT_PROMPT}Never repeat a call.",
    max_steps=4,
)


class TextModel(ScriptedModel):
    """A scripted model that does not call tools by its provider's means, but writes its calls as text."""

    native_calls: bool = False

    def __init__(self, replies: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(replies, **kwargs)


def answered(
    system: System, model: Any, benchmark: Benchmark = BENCHMARK, question: str = SAMPLE.question
) -> tuple[Answer, float]:
    """The answer of a system and the virtual seconds it took."""

    async def main() -> tuple[Answer, float]:
        answer = await system.answer(replace(SAMPLE, question=question), benchmark, model)
        return answer, asyncio.get_running_loop().time()

    return run_virtual(main)
