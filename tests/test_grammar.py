import re

import pytest

from llmcompiler_graph.check import Checker
from llmcompiler_graph.grammar import decision_grammar, plan_grammar
from llmcompiler_graph.parser import PlanParser
from llmcompiler_graph.plan import Task, ToolSpec
from llmcompiler_graph.references import JSON

STRING: JSON = {"type": "string"}
INTEGER: JSON = {"type": "integer"}
TOOLS = [
    ToolSpec("search", {"query": STRING, "limit": INTEGER, "exact": {"type": "boolean"}}, frozenset({"query"})),
    ToolSpec("now"),
    ToolSpec("power", {"x": {"type": "number"}, "y": {"type": "number"}}, frozenset({"x", "y"})),
    ToolSpec("list", {"path": STRING, "depth": INTEGER, "unit": {"enum": ["m", 'a"b\\', 1, None, True]}}),
    ToolSpec(
        "make",
        {"tags": {"type": "array"}, "data": {"type": "object"}, "any": {}, "kind": {"$ref": "#/k"}},
        frozenset({"tags"}),
        definitions={"#/k": {"anyOf": [{"type": "array"}, {"type": "null"}]}},
    ),
    ToolSpec("mcp__github-api.list/all", {"first-name": STRING}, frozenset({"first-name"})),
]
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|\{[0-9,]+\}|[A-Za-z][\w-]*|[|()?*+]|\s+')


def rules_of(grammar: str) -> dict[str, list[str]]:
    """Read a grammar: the tokens of each rule by its name."""
    rules: dict[str, list[str]] = {}
    for line in grammar.splitlines():
        name, defined, body = line.partition(" ::= ")
        assert defined
        assert name not in rules
        tokens = TOKEN.findall(body)
        assert "".join(tokens) == body
        rules[name] = [token for token in tokens if not token.isspace()]
    return rules


def unquote(token: str) -> str:
    """The text of a quoted token."""
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), token[1:-1])


def pattern(rules: dict[str, list[str]], name: str, depth: int = 0) -> str:
    """Write a rule as a regular expression; what nests too deep matches nothing."""
    if depth > 9:
        return r"(?!)"
    text = ""
    for token in rules[name]:
        if token[0] == '"':
            text += f"(?:{re.escape(unquote(token))})"
        elif token[0].isalpha():
            text += f"(?:{pattern(rules, token, depth + 1)})"
        else:
            text += "(?:" if token == "(" else token
    return text


def accepts(grammar: str, text: str, rule: str = "root") -> bool:
    """Whether a grammar's rule derives a text."""
    return re.fullmatch(pattern(rules_of(grammar), rule), text) is not None


@pytest.mark.parametrize("tools", [[], TOOLS[:1], TOOLS[1:2], TOOLS])
@pytest.mark.parametrize(("first", "max_tasks"), [(1, 0), (1, 1), (1, 3), (8, 12)])
def test_every_rule_referred_to_is_defined(tools: list[ToolSpec], first: int, max_tasks: int) -> None:
    """Once, with nothing in it that is not GBNF; llama.cpp refuses a grammar otherwise."""
    rules = rules_of(plan_grammar(tools, first=first, max_tasks=max_tasks))
    named = {token for tokens in rules.values() for token in tokens if token[0].isalpha()}
    assert named <= set(rules)
    for tokens in rules.values():
        assert tokens.count("(") == tokens.count(")")


def test_lines_are_numbered_from_the_first_to_the_limit() -> None:
    """Each is a call or the join; after the last call, only the join is left."""
    lines = plan_grammar(TOOLS, first=9, max_tasks=2).splitlines()
    assert lines[:5] == [
        "root ::= thought? line9",
        r'line9 ::= "9. " call "\n" line10 | "9. join()"',
        r'line10 ::= "10. " call "\n" line11 | "10. join()"',
        'line11 ::= "11. join()"',
        "call ::= call0 | call1 | call2 | call3 | call4 | call5",
    ]


def test_without_tools_a_plan_is_a_join() -> None:
    """There is nothing to call."""
    rules = rules_of(plan_grammar([], first=3, max_tasks=2))
    assert rules["line3"] == ['"3. join()"']
    assert not any(name.startswith("call") for name in rules)


@pytest.mark.parametrize(
    ("tool", "rule"),
    [
        (ToolSpec("now"), '"now("  ")"'),
        (ToolSpec("f", {"a": STRING}, frozenset({"a"})), '"f(" "a=" (string | reference) ")"'),
        (ToolSpec("f", {"a": STRING}), '"f(" ("a=" (string | reference))? ")"'),
        (
            ToolSpec("f", {"a": STRING, "b": INTEGER}, frozenset({"b"})),
            '"f(" "b=" (integer | reference) (", " "a=" (string | reference))? ")"',
        ),
        (
            ToolSpec("f", {"a": STRING, "b": INTEGER}),
            '"f(" ("a=" (string | reference) (", " "b=" (integer | reference))? | "b=" (integer | reference))? ")"',
        ),
        (
            ToolSpec("f", {"a": {"enum": ["m", 'a"b', None, 2]}}, frozenset({"a"})),
            r'"f(" "a=" ("\"m\"" | "\"a\\\"b\"" | "None" | "2" | reference) ")"',
        ),
        (
            ToolSpec("f", {"a": {"type": ["string", "null"], "enum": ["m", None]}}, frozenset({"a"})),
            r'"f(" "a=" ("\"m\"" | "None" | reference) ")"',
        ),
        (
            ToolSpec("f", {"a": {"anyOf": [{"type": "number"}, {"type": "null"}]}}, frozenset({"a"})),
            '"f(" "a=" (number | "None" | reference) ")"',
        ),
        (ToolSpec("f", {"a": {}}, frozenset({"a"})), '"f(" "a=" (any | reference) ")"'),
        (ToolSpec("f", {"a": {"type": "file"}}, frozenset({"a"})), '"f(" "a=" (any | reference) ")"'),
    ],
)
def test_a_call_has_its_tools_arguments(tool: ToolSpec, rule: str) -> None:
    """The required ones, then any of the others; each of its type, of its listed values, or a reference."""
    assert f"call0 ::= {rule}" in plan_grammar([tool], first=1, max_tasks=1).splitlines()


@pytest.mark.parametrize(
    "call",
    [
        'search(query="K2")',
        'search(query="a \\"b\\" \\\\ \\n", limit=-3)',
        'search(query="a", exact=True)',
        "search(query=$1, limit=$12, exact=False)",
        "search(query=${1.items[0][*].id})",
        "now()",
        "power(x=1.5, y=2)",
        "list()",
        'list(path="a")',
        "list(depth=1)",
        'list(unit="m")',
        'list(path="a", unit=None)',
        "list(depth=1, unit=True)",
        r'list(unit="a\"b\\")',
        "make(tags=[])",
        'make(tags=[1, "a", $1, [True]], data={"a": {"b": None}}, any=${1[0]}, kind=None)',
        'mcp__github-api.list/all(first-name="x")',
    ],
)
def test_calls_are_derived_and_parse(call: str) -> None:
    """What the grammar lets a model write parses, and fits the tool, without a complaint."""
    grammar = plan_grammar(TOOLS, first=20, max_tasks=1)
    assert accepts(grammar, call, "call")
    parser = PlanParser(range(1, 20))
    (task,) = [*parser.feed(f"20. {call}\n"), *parser.close()]
    assert isinstance(task, Task)
    assert task.index == 20
    assert Checker(TOOLS).check(task).diagnostics == []


@pytest.mark.parametrize(
    "call",
    [
        "search()",
        'search("K2")',
        "search(query=3)",
        "search(query='K2')",
        'search(limit=3, query="a")',
        'search(query="a", limit="3")',
        'search(query="a", limit=1.5)',
        'search(query="a", exact=true)',
        'search(query="a", more=1)',
        'search(query="a",limit=1)',
        'search(query="a\nb")',
        "search(query=$0)",
        "now(1)",
        "power(x=1)",
        "list(, depth=1)",
        'list(depth=1, path="a")',
        'list(unit="km")',
        "list(unit=2)",
        "serch()",
    ],
)
def test_other_calls_are_not_derived(call: str) -> None:
    """No other tool, no other argument, none of another type."""
    assert not accepts(plan_grammar(TOOLS, first=20, max_tasks=1), call, "call")


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("3. join()", True),
        ("3. now()\n4. join()", True),
        ("3. now()\n4. now()\n5. join()", True),
        ("Thought: a, b.\n3. now()\n4. join()", True),
        ("3. now()\n4. now()\n5. now()\n6. join()", False),
        ("1. now()\n2. join()", False),
        ("3. now()\n5. join()", False),
        ("3. now()", False),
        ("3. now()\n", False),
        ("", False),
    ],
)
def test_a_plan_is_numbered_calls_and_a_join(plan: str, expected: bool) -> None:
    """A thought may come first; the numbers go on from the first."""
    assert accepts(plan_grammar(TOOLS[1:2], first=3, max_tasks=2), plan) is expected


@pytest.mark.parametrize(
    ("reply", "always", "if_allowed"),
    [
        ("Thought: t\nFinish: a", True, True),
        ("Thought: t\nReplan: a", False, True),
        ("Finish: a", False, False),
        ("Thought: t\nFinish: ", False, False),
        ("Thought: t\nFinish: a\nb", False, False),
        ("Thought: t\nanswer", False, False),
    ],
)
def test_a_decision_is_a_thought_and_one_of_two_forms(reply: str, always: bool, if_allowed: bool) -> None:
    """Replanning is only offered while it is allowed."""
    assert accepts(decision_grammar(may_replan=False), reply) is always
    assert accepts(decision_grammar(may_replan=True), reply) is if_allowed
