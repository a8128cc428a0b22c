"""What the command line and the studio use unless told otherwise: tools that work offline, with worked examples."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.tools import BaseTool

from llmcompiler_graph.core.examples import PlanExample
from llmcompiler_graph.tools import calculate, lookup

__all__ = ("default_examples", "default_tools", "examples_for")

default_examples = (
    PlanExample(
        "Good morning! What can you do?", "1. join()\nFinish: Good morning! I can look up facts and calculate."
    ),
    PlanExample("What is 12% of 340?", '1. calculate(expression="12 / 100 * 340")\n2. join()'),
    PlanExample(
        "What is the population density of Spain?",
        '1. lookup(entity="Spain")\n2. calculate(expression="${1.population} / ${1.area_km2}")\n3. join()',
    ),
    PlanExample(
        "What is the average population of Norway, Sweden and Denmark?",
        '1. lookup(entity="Norway")\n'
        '2. lookup(entity="Sweden")\n'
        '3. lookup(entity="Denmark")\n'
        '4. calculate(expression="mean(${1.population}, ${2.population}, ${3.population})")\n'
        "5. join()",
    ),
    PlanExample(
        "Which is longer, the Danube or the Rhine, and by how much?",
        '1. lookup(entity="Danube")\n'
        '2. lookup(entity="Rhine")\n'
        """3. calculate(expression="argmax({'Danube': ${1.length_km}, 'Rhine': ${2.length_km}})")\n"""
        '4. calculate(expression="abs(${1.length_km} - ${2.length_km})")\n'
        "5. join()",
    ),
)


def default_tools() -> list[BaseTool]:
    """The tools that work offline: `lookup` and `calculate`."""
    return [lookup, calculate]


def examples_for(tools: Sequence[BaseTool]) -> tuple[PlanExample, ...] | None:
    """The worked examples for these tools: `default_examples` for exactly the default tools, else none of ours."""
    return default_examples if {id(tool) for tool in tools} == {id(tool) for tool in default_tools()} else None
