"""Skeleton-of-Thought: an outline, its points written at the same time, then the answer (arXiv 2307.15337). No tools.

The paper's answer is the points one after another, for questions that ask for a text. The benchmarks here ask for one
name or number, so a last call draws it from the points. What has to be looked up it can only remember: it shows what
parallel decoding alone is worth.
"""

from __future__ import annotations

import asyncio
import re

from langchain_core.messages import HumanMessage

from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.systems.toolbox import answer_in, ask, sections

__all__ = ("skeleton_of_thought",)

_SKELETON = """\
Write only the skeleton of an answer to the question, not the answer: a numbered list of 3 to 10 points, each of 3 \
to 5 words."""
_POINT = """\
This is the skeleton of an answer. Write point {number} of it in one or two very short sentences, and no other point."""
_ANSWER = "Draw the answer from these points. Write it as `Answer: the answer`."
_LINE = re.compile(r"^[ \t>*_`-]*\d+[.):][ \t*_`]*(?P<point>\S.*)$", re.MULTILINE)


def skeleton_of_thought() -> System:
    """Skeleton-of-Thought."""

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        question = f"Question: {sample.question}"
        skeleton = await ask(model, [HumanMessage(sections(_SKELETON, question))])
        points = [match["point"].strip() for match in _LINE.finditer(skeleton)]

        async def written(number: int) -> str:
            order = _POINT.format(number=number)
            shown = f"{number}. {points[number - 1]}"
            return await ask(model, [HumanMessage(sections(order, question, f"Skeleton:\n{skeleton}", shown))])

        texts = await asyncio.gather(*map(written, range(1, len(points) + 1)))
        listed = "\n".join(
            f"{number}. {point} {text.strip()}"
            for number, (point, text) in enumerate(zip(points, texts, strict=True), 1)
        )
        reply = await ask(
            model, [HumanMessage(sections(benchmark.instructions, question, listed or skeleton, _ANSWER))]
        )
        return Answer(answer_in(reply))

    return System("skeleton_of_thought", answer)
