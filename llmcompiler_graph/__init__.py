"""LLMCompiler (arXiv 2312.04511) as a LangGraph agent graph.

A planner model writes a plan of tool calls, a task fetching unit releases each the moment its inputs exist, they run in
parallel, and a joiner answers or asks for another plan.
"""

from llmcompiler_graph.core.errors import (
    ConfigurationError,
    Diagnostic,
    LLMCompilerError,
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
from llmcompiler_graph.models.constraints import Constraint
from llmcompiler_graph.state import LLMCompilerState

__all__ = (
    "ConfigurationError",
    "Constraint",
    "Diagnostic",
    "LLMCompilerError",
    "LLMCompilerState",
    "Observation",
    "Outcome",
    "Plan",
    "PlanCheckError",
    "PlanError",
    "PlanExample",
    "PlanSyntaxError",
    "Task",
    "ToolTransferError",
    "WorkerLostError",
    "create_llm_compiler",
    "parse_plan",
)
