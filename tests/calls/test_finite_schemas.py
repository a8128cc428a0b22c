import json
import warnings
from random import Random
from typing import Any

import pytest
from langchain_core.tools import StructuredTool

from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.core.checking.checker import Checker
from llmcompiler_graph.core.grammar.forms import write
from llmcompiler_graph.core.grammar.plans import plan_grammar
from llmcompiler_graph.core.language.parser import parse_plan
from tests.grammar_engine import sentence

NODE = {"$ref": "#/$defs/Node"}


def made(definitions: dict[str, Any], **properties: Any) -> StructuredTool:
    """A tool with an argument `a`."""
    schema = {"type": "object", "properties": properties, "required": [*properties], "$defs": definitions}
    return StructuredTool(name="f", description="F.", args_schema=schema, func=lambda **_: None)


ENDLESS: dict[str, dict[str, Any]] = {
    "itself": {"Node": {"type": "object", "properties": {"n": NODE}, "required": ["n"]}},
    "one another": {
        "Node": {"type": "object", "properties": {"n": {"$ref": "#/$defs/B"}}, "required": ["n"]},
        "B": {"properties": {"x": {"type": "integer"}, "n": NODE}, "required": ["x", "n"]},
    },
    "elements": {"Node": {"type": "array", "items": NODE, "minItems": 1}},
    "places": {"Node": {"type": "array", "prefixItems": [{"type": "integer"}, NODE]}},
    "any fields": {"Node": {"type": "object", "additionalProperties": NODE, "minProperties": 2}},
    "all ways of a union": {
        "Node": {
            "anyOf": [
                {"type": "object", "properties": {"n": NODE}, "required": ["n"]},
                {"type": "array", "items": NODE, "minItems": 1},
            ]
        }
    },
    "parts": {"Node": {"allOf": [{"type": "object", "properties": {"n": NODE}, "required": ["n"]}]}},
}


@pytest.mark.parametrize("definitions", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("form", ["lark", "gbnf"])
def test_what_must_hold_itself(form: Any, definitions: dict[str, Any]) -> None:
    """It may be left out, a warning says so, and what a grammar lets a model write has an end and fits."""
    with pytest.warns(UserWarning, match="in the arguments of the tool 'f', .* would have to hold itself"):
        spec = tool_spec(made(definitions, a=NODE))
    grammar = write(plan_grammar([spec], max_tasks=2, phased=form != "lark"), form)
    checker = Checker([spec])
    for seed in range(5):
        for task in parse_plan(sentence(grammar, form, Random(seed))).tasks:
            assert not checker.check(task).diagnostics


FINITE: dict[str, dict[str, Any]] = {
    "an end": {"Node": {"type": "object", "properties": {"n": {"anyOf": [NODE, {"type": "null"}]}}, "required": ["n"]}},
    "an empty list": {
        "Node": {
            "type": "object",
            "properties": {"n": {"type": "array", "items": NODE}},
            "required": ["n"],
        }
    },
    "a type beside": {
        "Node": {"type": ["object", "null"], "properties": {"n": NODE}, "required": ["n"]},
    },
    "nothing but itself": {"Node": NODE},
    "itself and more": {"Node": {"allOf": [NODE, {"type": "object", "properties": {"x": {}}, "required": ["x"]}]}},
    "nowhere": {"Node": {"type": "object", "properties": {"n": {"$ref": "#/$defs/No"}}, "required": ["n"]}},
}


@pytest.mark.parametrize("definitions", FINITE.values(), ids=FINITE)
def test_what_has_an_end(definitions: dict[str, Any]) -> None:
    """A schema that some finite value fits is read as it is."""
    with warnings.catch_warnings(action="error"):
        spec = tool_spec(made(definitions, a=NODE))
    assert spec.required == {"a"}
    assert json.loads(json.dumps(spec.definitions["#/$defs/Node"])).get("required") == definitions["Node"].get(
        "required"
    )
