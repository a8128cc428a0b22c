"""Tools of any schemas, in the shapes that servers and people produce, broken ones too; and calls of them."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from langchain_core.tools import StructuredTool

from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.core.language.plan import ToolSpec

__all__ = ("random_call", "random_tool", "spec_of")

_NAMES = (
    "x",
    "y",
    "query",
    "from",
    "class",
    "first-name",
    "ünï",
    "with space",
    "$filter",
    "page[size]",
    "None",
    "task",
    "",
)
_SCALARS: tuple[Any, ...] = (
    *({"type": name} for name in ("string", "integer", "number", "boolean", "null", "array", "object")),
    *(
        {},
        True,
        False,
        {"type": ["string", "null"]},
        {"type": []},
        {"type": "any"},
        {"type": 3},
        {"const": 1},
        {"const": [1]},
    ),
    *({"enum": ["a", 1, None]}, {"enum": []}, {"enum": "ab"}, {"type": "string", "enum": ["a", "b"]}, {"not": {}}),
    *({"type": "integer", "minimum": 1, "maximum": 5}, {"type": "number", "exclusiveMinimum": 0}, {"minimum": "a"}),
    *({"type": "integer", "minimum": 5, "maximum": 1}, {"type": "number", "multipleOf": 0.1}, {"multipleOf": 0}),
    *({"type": "string", "minLength": 2}, {"type": "string", "maxLength": 3}, {"type": "string", "pattern": "^a+$"}),
    *({"type": "string", "pattern": "("}, {"type": "string", "format": "date"}, {"type": "string", "format": "uuid"}),
    *({"type": "string", "format": "date-time"}, {"type": "string", "format": "arithmetic"}, {"$ref": "#/$defs/Point"}),
    *({"$ref": "#/$defs/Loop"}, {"$ref": "#/$defs/Nothing"}, {"$ref": "#"}, {"$ref": 3}, {"$ref": "other.json#/x"}),
    *({"$ref": "#/definitions/Old"}, {"$ref": "#/properties/x"}, {"default": 1}, {"nullable": True, "type": "string"}),
)
_DEFINITIONS: dict[str, Any] = {
    "Point": {
        "type": "object",
        "properties": {"lat": {"type": "number"}, "next": {"$ref": "#/$defs/Point"}},
        "required": ["lat"],
    },
    "Loop": {"$ref": "#/$defs/Loop"},
    "Both": {"allOf": [{"$ref": "#/$defs/Both"}, {"$ref": "#/$defs/Point"}]},
}


def _schema(random: Random, depth: int = 0) -> Any:
    if depth > 2 or random.random() < 0.5:
        return random.choice(_SCALARS)
    inner = [_schema(random, depth + 1) for _ in range(random.randint(1, 3))]
    names = random.sample(_NAMES, len(inner))
    properties = dict(zip(names, inner, strict=True))
    match random.randrange(9):
        case 0:
            return {"anyOf": inner}
        case 1:
            return {"oneOf": inner}
        case 2:
            return {"allOf": inner}
        case 3:
            return {"type": "array", "items": inner[0]}
        case 4:
            return {"type": "array", "prefixItems": inner, "items": False}
        case 5:
            return {
                "type": "array",
                "items": inner[0],
                "minItems": random.randint(0, 3),
                "maxItems": random.randint(0, 3),
            }
        case 6:
            return {
                "type": "object",
                "properties": properties,
                "required": random.sample(names, random.randint(0, len(names))),
            }
        case 7:
            return {"type": "object", "additionalProperties": inner[0], "minProperties": random.randint(0, 1)}
        case _:
            return {"type": ["object", "string"], "properties": properties, "additionalProperties": False}


def random_tool(random: Random, name: str) -> Any:
    """A tool, as JSON: its name, the schemas of its arguments and of what it returns."""
    given = {each: _schema(random) for each in random.sample(_NAMES, random.randint(0, 3))}
    arguments: dict[str, Any] = {"type": "object", "properties": given, "$defs": _DEFINITIONS}
    arguments["definitions"] = {"Old": {"type": "integer"}}
    if random.random() < 0.7:
        arguments["required"] = random.sample(list(given), random.randint(0, len(given)))
    if random.random() < 0.2:
        arguments["additionalProperties"] = random.choice([True, False, {"type": "string"}])
    if random.random() < 0.1:
        arguments[random.choice(["anyOf", "allOf", "oneOf"])] = [_schema(random), _schema(random)]
    return {"name": name, "arguments": arguments, "returns": random.choice([None, None, _schema(random)])}


def spec_of(tool: Any) -> ToolSpec:
    """What the compiler knows of it, by way of a LangChain tool."""
    made = StructuredTool(
        name=tool["name"],
        description="A tool.",
        args_schema=tool["arguments"],
        func=lambda **_: None,
        metadata={} if tool["returns"] is None else {"outputSchema": tool["returns"]},
    )
    return tool_spec(made)


_CONSTANTS = (
    "1",
    '"a"',
    '"$1"',
    "$1",
    "${1.x}",
    "${1[*]}",
    "[]",
    "{}",
    "[1, $1]",
    '{"x": $1}',
    "None",
    "true",
    "1.5",
    "-3",
)
_MORE = (
    '"${1[*].x} and $2"',
    "$2",
    "[[[$1]]]",
    '"2024-02-29"',
    "1e999",
    "9" * 25,
    '{"x": {"x": "$1"}}',
    '"1 + $1"',
    "a-b",
    '""',
)


def random_call(random: Random, tools: Any, number: int) -> str:
    """A line of plan text."""
    tool = random.choice(tools)
    names = [*tool["arguments"]["properties"], "x"]
    values = [random.choice((*_CONSTANTS, *_MORE)) for _ in range(random.randint(0, 3))]
    match random.randrange(4):
        case 0:
            arguments = ", ".join(values)
        case 1:
            arguments = json.dumps({random.choice(names): "$1" for _ in values})
        case _:
            chosen = random.sample(names, min(len(names), len(values)))
            named = [f"{name}={value}" for name, value in zip(chosen, values, strict=False)]
            whole = [f"{json.dumps(name)}: {value}" for name, value in zip(chosen, values, strict=False)]
            arguments = ", ".join(named) if all(map(str.isidentifier, chosen)) else "{" + ", ".join(whole) + "}"
    return f"{number}. {tool['name']}({arguments})" + random.choice(["", "", " after $1", " after 1, 2"])
