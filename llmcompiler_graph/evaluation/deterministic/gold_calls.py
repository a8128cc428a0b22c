"""NesTools and BFCL: gold tool calls written as plan text; does the language hold them, does the checker accept them?

For every sample the tools' own JSON schemas become `ToolSpec`s and the gold calls a plan. Counted is whether its text
is read back as the same plan, whether it passes the checker (names, constants and types of references), and whether
the dependencies found in it are those of the gold calls. A gold call that breaks its own schema is rightly refused:
what is refused is listed with its diagnostics (`Refused`).

NesTools (COLING 2025) refers to named responses of earlier calls, `API_call_3`: `${2.location_desc}` here. BFCL's
parallel categories list the values each argument may have; the first is taken. Both are Apache-2.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcompiler_graph import Plan, PlanError, Task, parse_plan
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.core.language.references import JSON, Reference, Value
from llmcompiler_graph.evaluation.data import BFCL_CATEGORIES, json_lines_of
from llmcompiler_graph.evaluation.deterministic.rows import Row
from llmcompiler_graph.evaluation.plan_metrics import read_plan, width_and_depth

__all__ = ("GoldCalls", "Refused", "bfcl_plan", "json_schema", "read_bfcl", "read_nestools", "refused", "rows")

_TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "dict": "object",
    "tuple": "array",
}
_TOLD = ("description", "default", "minimum", "maximum", "format")  # what callers are told of values


@dataclass(frozen=True, slots=True)
class GoldCalls:
    """One sample: tools, and the calls wanted of them."""

    id: str
    """Its id."""
    tools: Sequence[ToolSpec]
    """The tools offered."""
    plan: Plan
    """The calls."""
    dependencies: frozenset[tuple[int, int]]
    """`(call, call that needs it)`, read from the sample itself, not from the plan."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A sample whose calls do not fit their own tools."""

    id: str
    """Its id."""
    why: str
    """The diagnostics."""


def read_nestools(path: Path) -> list[GoldCalls]:
    """Read the samples of NesTools."""
    return [_nested(each) for each in json_lines_of(path)]


def _nested(raw: Mapping[str, Any]) -> GoldCalls:
    tools = [
        ToolSpec(
            each["api_name"],
            {name: json_schema(schema) for name, schema in each["parameters"].items()},
            frozenset(each["required"]),
            {
                "type": "object",
                "properties": {name: json_schema(schema) for name, schema in each["responses"].items()},
                "required": list(each["responses"]),
            },
        )
        for each in raw["api"]
    ]
    responses = {each["api_name"]: list(each["responses"]) for each in raw["api"]}
    given: dict[str, Reference] = {}  # what a symbol stands for
    tasks = []
    for index, call in enumerate(raw["call"], 1):
        arguments = {name: _referring(value, given) for name, value in call["parameters"].items()}
        tasks.append(Task(index, call["api_name"], arguments))
        for symbol, name in zip(call["responses"], responses[call["api_name"]], strict=True):
            given[symbol] = Reference(index, (name,))
    dependencies = {
        (made, needing)
        for made, before in enumerate(raw["call"], 1)
        for needing, call in enumerate(raw["call"], 1)
        for symbol in before["responses"]
        if json.dumps(symbol) in json.dumps(call["parameters"])
    }
    return GoldCalls(f"nestools-{raw['test_id']}", tools, Plan(tuple(tasks)), frozenset(dependencies))


def _referring(value: JSON, given: Mapping[str, Reference]) -> Value:
    match value:
        case str():
            return given.get(value, value)
        case list():
            return [_referring(each, given) for each in value]
        case dict():
            return {key: _referring(each, given) for key, each in value.items()}
        case _:
            return value


def read_bfcl(directory: Path) -> list[GoldCalls]:
    """Read BFCL's parallel categories, `question_*.jsonl` with `answer_*.jsonl`."""
    found = []
    for category in BFCL_CATEGORIES:
        answers = json_lines_of(directory / f"answer_{category}.jsonl")
        gold = {each["id"]: each["ground_truth"] for each in answers}
        for raw in json_lines_of(directory / f"question_{category}.jsonl"):
            tools = [_bfcl_tool(each) for each in raw["function"]]
            found.append(GoldCalls(raw["id"], tools, bfcl_plan(gold[raw["id"]]), frozenset()))
    return found


def bfcl_plan(answer: Iterable[Mapping[str, Any]]) -> Plan:
    """Make a plan of one of BFCL's own answers."""
    calls = [(name, given) for each in answer for name, given in each.items()]
    tasks = (Task(index, name, _chosen_arguments(given)) for index, (name, given) in enumerate(calls, 1))
    return Plan(tuple(tasks))


def _bfcl_tool(raw: Mapping[str, Any]) -> ToolSpec:
    parameters = raw["parameters"]
    schemas = {name: json_schema(schema) for name, schema in parameters.get("properties", {}).items()}
    return ToolSpec(raw["name"], schemas, frozenset(parameters.get("required", ())))


def _chosen_arguments(allowed: Mapping[str, Any]) -> dict[str, Value]:
    """The first value allowed for each argument; `""` stands for leaving it out, done for want of another value."""
    found: dict[str, Value] = {}
    for name, given in allowed.items():
        values = given if isinstance(given, list) else [given]
        named = [value for value in values if value not in ("", None)]
        if named or "" not in values:
            found[name] = _chosen_inside((named or values)[0])
    return found


def _chosen_inside(value: Any) -> Value:
    if isinstance(value, dict):
        return dict(_chosen_arguments(value))
    return [_chosen_inside(each) for each in value] if isinstance(value, list) else value


def json_schema(raw: Any) -> JSON:
    """JSON Schema of a schema in these datasets' own words: `dict`, `float`, `any`, …."""
    if not isinstance(raw, dict):
        return None
    found: dict[str, JSON] = {}
    kind = raw.get("type")
    if isinstance(kind, str) and kind != "any":
        found["type"] = _TYPES.get(kind, kind)
    if isinstance(raw.get("properties"), dict):
        found["properties"] = {name: json_schema(each) for name, each in raw["properties"].items()}
    if "items" in raw:
        found["items"] = json_schema(raw["items"])
    if isinstance(raw.get("enum"), list):
        found["enum"] = raw["enum"]
    if isinstance(raw.get("required"), list):
        found["required"] = raw["required"]
    return found | {key: raw[key] for key in _TOLD if key in raw}


def rows(name: str, samples: Iterable[GoldCalls]) -> list[Row]:
    """How many plans are read back, have the gold dependencies, and pass the checker."""
    listed = list(samples)
    same = right = wide = 0
    for each in listed:
        read = _read(each)
        same += read == each.plan
        found = {(need, task.index) for task in read or () for need in task.dependencies}
        right += found == each.dependencies
        wide += width_and_depth(each.plan)[0] > 1
    n = len(listed)
    note = f"{wide} are wide; calls that break their own schema are refused"
    return [
        Row(name, "gold", n, "read back as the same plan", same, n, "goal"),
        Row(name, "gold", n, "dependencies as in the gold calls", right, n, "goal"),
        Row(name, "gold", n, "accepted by the checker", n - len(refused(listed)), n, "all", note),
    ]


def refused(samples: Iterable[GoldCalls]) -> list[Refused]:
    """The samples whose calls do not fit their own tools' schemas, with what is wrong."""
    checked = [(each.id, read_plan(str(each.plan), each.tools)[1]) for each in samples]
    return [Refused(sample, "\n".join(map(str, diagnostics))) for sample, diagnostics in checked if diagnostics]


def _read(each: GoldCalls) -> Plan | None:
    try:
        return parse_plan(str(each.plan))
    except PlanError:
        return None
