"""LLMCompiler itself: `create_llm_compiler`, with every keyword it takes, as a system to measure.

Replans are off unless the benchmark has them on, as in the paper. `plan_only` stops after the planner: no tool is
called and nothing is joined, so the record holds the plan, what is wrong with it, and whether its structure is right.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import ConfigurationError, Constraint, Plan, create_llm_compiler
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.evaluation.plan_metrics import width_and_depth
from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.systems.toolbox import titled
from llmcompiler_graph.models.lazy import LazyModel
from llmcompiler_graph.state import DiagnosticRecord, Repair, Round, TaskRecord, TimelineEntry, task_from_record

__all__ = ("llm_compiler", "without_return_types")


_NEVER_CUT = 100_000  # the rivals are shown every observation whole


def llm_compiler(
    *, stream: bool = True, return_types: bool = True, plan_only: bool = False, name: str | None = None, **options: Any
) -> System:
    """Make the system.

    Args:
        stream: Whether tasks start while the plan is still being written.
        return_types: Whether the tools say what they return; else plans are not checked for it.
        plan_only: Whether to stop after the plan.
        name: What the system is called in reports; made from the options if not given.
        options: Keyword arguments of `create_llm_compiler`, such as `max_replans`, over those of the benchmark;
            `constrain` also as the fields of a `Constraint`.

    Raises:
        ConfigurationError: `create_llm_compiler` has no such keyword.
    """
    unknown = sorted(options.keys() - inspect.signature(create_llm_compiler).parameters.keys())
    if unknown:
        msg = f"llm_compiler has no option {unknown[0]!r}: it takes those of create_llm_compiler"
        raise ConfigurationError(msg)
    given = {"stream": stream, "return_types": return_types, "plan_only": plan_only, **options}
    defaults = {"stream": True, "return_types": True, "plan_only": False}
    title = name or titled("llm_compiler", defaults, **given)
    if isinstance(constrain := options.get("constrain"), dict):  # as a command line can write it
        options["constrain"] = Constraint(**constrain)

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        tools = benchmark.tools(sample, model)
        if not return_types:
            tools = [without_return_types(tool) for tool in tools]
        settings: dict[str, Any] = {
            "examples": benchmark.examples,
            "max_replans": benchmark.max_replans,
            "max_observation_chars": _NEVER_CUT,
            **options,
        }
        if not stream:
            settings["planner_model"] = await _unstreamed(settings.get("planner_model") or model)
        if plan_only:
            settings |= {"interrupt_after": ["planner"], "checkpointer": InMemorySaver()}
        graph = create_llm_compiler(model, tools, **settings)
        # with the question, for the joiner's own instructions stand in the system message and ask for a sentence
        question = f"{sample.question}\n\n{benchmark.instructions}".strip()
        final = await graph.ainvoke({"messages": [("user", question)]}, {"configurable": {"thread_id": "evaluation"}})
        return _answer(final, sample, benchmark, plan_only=plan_only)

    return System(title, answer)


async def _unstreamed(model: Model) -> BaseChatModel:
    made = await LazyModel(model).aget()
    return made.model_copy(update={"disable_streaming": True})


def without_return_types(tool: BaseTool) -> BaseTool:
    """Make the same tool without a word on what it returns.

    Raises:
        ConfigurationError: It is not made of a function.
    """
    if not isinstance(tool, StructuredTool):
        msg = f"the return type of {tool.name!r} cannot be hidden: it is not made of a function"
        raise ConfigurationError(msg)
    function, coroutine = tool.func, tool.coroutine

    def call(**arguments: Any):  # type: ignore[no-untyped-def]
        assert function is not None
        return function(**arguments)

    async def acall(**arguments: Any):  # type: ignore[no-untyped-def]
        assert coroutine is not None
        return await coroutine(**arguments)

    metadata = {key: value for key, value in (tool.metadata or {}).items() if key != "outputSchema"}
    return tool.model_copy(
        update={"func": function and call, "coroutine": coroutine and acall, "metadata": metadata or None}
    )


def _answer(final: Mapping[str, Any], sample: Sample, benchmark: Benchmark, *, plan_only: bool) -> Answer:
    rounds: Sequence[Round] = final["rounds"]
    tasks: Sequence[TaskRecord] = final["tasks"]
    timeline: Sequence[TimelineEntry] = final.get("timeline", [])
    readable = [task for task in tasks if task["text"]]
    calls = None if plan_only else {task["index"]: len(task["arguments"]) for task in readable}
    width, depth = width_and_depth(map(task_from_record, readable), calls)
    first = Plan(tuple(task_from_record(task) for task in readable if task["round"] == 0))
    diagnostics = tuple(_said(each) for one in rounds for each in one["diagnostics"])
    parsed = not rounds[0]["diagnostics"] and "join(" in rounds[0]["plan"]
    judged = None
    if benchmark.check_plan is not None and sample.entities:
        judged = parsed and benchmark.check_plan(first, sample)
    return Answer(
        text="" if plan_only else str(final["messages"][-1].text),
        tasks=len(readable) if calls is None else sum(calls.values()),
        width=width,
        depth=depth,
        replans=len(rounds) - 1,
        errors=tuple(
            f"{task['index']}. {task['tool']}: {task['error']}" for task in tasks if task["status"] == "failed"
        ),
        timeline=tuple(_span(each) for each in timeline if each["started"] is not None),
        plan="\n\n".join(text for one in rounds for text in (one["plan"], *(each["plan"] for each in _repairs(one)))),
        diagnostics=diagnostics,
        repaired=tuple(_said(each) for one in rounds for repair in _repairs(one) for each in repair["diagnostics"]),
        parsed=parsed,
        references_right=judged,
    )


def _repairs(one: Round) -> Sequence[Repair]:
    return one.get("repairs", ())


def _said(diagnostic: DiagnosticRecord) -> str:
    where = f"line {diagnostic['line']}, column {diagnostic['column']}"
    return f"{where}: {diagnostic['message']} [{diagnostic['code']}]"


def _span(entry: TimelineEntry) -> dict[str, JSON]:
    return {
        "kind": "tool",
        "name": f"{entry['index']}. {entry['tool']}",
        "start": entry["started"],
        "finish": entry["finished"],
    }
