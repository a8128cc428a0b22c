"""ReAct: one thought, one call, one observation at a time (arXiv 2210.03629), through `create_agent`.

ReAct† is the same with the sentences the LLMCompiler paper adds to its prompt, against stopping early and against
calling the same thing twice.
"""

from __future__ import annotations

from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.systems.agent_loop import run_agent

__all__ = ("react",)


def react(*, dagger: bool = False) -> System:
    """ReAct, or ReAct† if `dagger`."""

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        prompt = benchmark.react_dagger_prompt if dagger else benchmark.react_prompt
        return await run_agent(sample, benchmark, model, prompt=prompt, one_call=True)

    return System("react_dagger" if dagger else "react", answer)
