"""ReAct: one thought, one call, one observation at a time (arXiv 2210.03629), through `create_agent`.

ReAct† is the same with the sentences the LLMCompiler paper adds to its prompt, against stopping early and against
calling the same thing twice.
"""

from __future__ import annotations

from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.systems.agent_loop import run_agent
from llmcompiler_graph.evaluation.systems.toolbox import titled

__all__ = ("react",)


def react(*, dagger: bool = False, constrain: bool = False) -> System:
    """ReAct, or ReAct† if `dagger`.

    Args:
        dagger: Whether the prompt has the paper's further sentences.
        constrain: Whether each turn is held to the form, by a grammar.
    """

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        prompt = benchmark.react_dagger_prompt if dagger else benchmark.react_prompt
        return await run_agent(sample, benchmark, model, prompt=prompt, one_call=True, constrain=constrain)

    name = "react_dagger" if dagger else "react"
    return System(titled(name, {"constrain": False}, constrain=constrain), answer)
