"""LLMCompiler (arXiv 2312.04511) as a LangGraph agent graph.

A planner model writes a plan of tool calls, a task fetching unit releases each the moment its inputs exist, they run in
parallel, and a joiner answers or asks for another plan.

A name is imported when it is first used, so that the command line and whoever only reads plans do not wait for
LangGraph.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmcompiler_graph.core.errors import (
        BudgetError,
        ConfigurationError,
        DeadlineError,
        Diagnostic,
        LLMCompilerError,
        LoopBlockedError,
        PlanCheckError,
        PlanError,
        PlanSyntaxError,
        ToolTransferError,
        WorkerLostError,
    )
    from llmcompiler_graph.core.examples import Outcome, PlanExample
    from llmcompiler_graph.core.language.parser import parse_plan
    from llmcompiler_graph.core.language.plan import Observation, Plan, Task
    from llmcompiler_graph.graph.create import create_llm_compiler
    from llmcompiler_graph.models.budget import Budget
    from llmcompiler_graph.models.constraints import Constraint
    from llmcompiler_graph.procedures import Procedure, procedure_from
    from llmcompiler_graph.state import LLMCompilerState

__all__ = (
    "Budget",
    "BudgetError",
    "ConfigurationError",
    "Constraint",
    "DeadlineError",
    "Diagnostic",
    "LLMCompilerError",
    "LLMCompilerState",
    "LoopBlockedError",
    "Observation",
    "Outcome",
    "Plan",
    "PlanCheckError",
    "PlanError",
    "PlanExample",
    "PlanSyntaxError",
    "Procedure",
    "Task",
    "ToolTransferError",
    "WorkerLostError",
    "create_llm_compiler",
    "parse_plan",
    "procedure_from",
)

_DEFINED_IN = {
    "Budget": "models.budget",
    "BudgetError": "core.errors",
    "ConfigurationError": "core.errors",
    "Constraint": "models.constraints",
    "DeadlineError": "core.errors",
    "Diagnostic": "core.errors",
    "LLMCompilerError": "core.errors",
    "LLMCompilerState": "state",
    "LoopBlockedError": "core.errors",
    "Observation": "core.language.plan",
    "Outcome": "core.examples",
    "Plan": "core.language.plan",
    "PlanCheckError": "core.errors",
    "PlanError": "core.errors",
    "PlanExample": "core.examples",
    "PlanSyntaxError": "core.errors",
    "Procedure": "procedures",
    "Task": "core.language.plan",
    "ToolTransferError": "core.errors",
    "WorkerLostError": "core.errors",
    "create_llm_compiler": "graph.create",
    "parse_plan": "core.language.parser",
    "procedure_from": "procedures",
}

if not TYPE_CHECKING:  # a type checker would take any name for one of the package's

    def __getattr__(name: str) -> object:
        if name not in _DEFINED_IN:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{__name__}.{_DEFINED_IN[name]}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
