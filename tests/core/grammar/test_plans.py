import math
import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from itertools import product
from random import Random
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.tools import tool
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from typing_extensions import TypedDict

from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.core.checking.checker import Checker
from llmcompiler_graph.core.checking.procedures import check_procedures
from llmcompiler_graph.core.checking.schema import Schema
from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.grammar.forms import write
from llmcompiler_graph.core.grammar.plans import plan_grammar
from llmcompiler_graph.core.grammar.rules import Form
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import Task, ToolSpec
from llmcompiler_graph.core.language.procedures import parse_procedure
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.tools import calculate, lookup
from tests.grammar_engine import accepts, sentence

STRING: JSON = {"type": "string"}
INTEGER: JSON = {"type": "integer"}
NUMBER: JSON = {"type": "number"}
FACTS: JSON = {
    "type": "object",
    "properties": {"name": STRING, "height_m": NUMBER, "tags": {"type": "array", "items": STRING}},
    "required": ["name"],
}
SEARCH = ToolSpec("search", {"query": STRING}, frozenset({"query"}), STRING)
LOOK = ToolSpec("look", {"name": STRING}, frozenset({"name"}), FACTS)
ADD = ToolSpec("add", {"a": NUMBER, "b": NUMBER}, frozenset({"a", "b"}), NUMBER)
SCORES = ToolSpec("scores", {"of": STRING}, frozenset({"of"}), {"type": "array", "items": NUMBER})
ANY = ToolSpec("any", {"what": {}})
TOOLS = [tool_spec(lookup), tool_spec(calculate)]


def diagnostics(text: str, tools: list[ToolSpec], earlier: dict[int, str] | None = None) -> list[Diagnostic]:
    """Everything that the parser and the checker find wrong with a plan that follows tasks of earlier ones."""
    parser, checker = PlanParser(earlier or ()), Checker(tools)
    for index, name in (earlier or {}).items():
        checker.assume(Task(index, name))
    found: list[Diagnostic] = []
    for event in [*parser.feed(text), *parser.close()]:
        found += [event] if isinstance(event, Diagnostic) else checker.check(event).diagnostics
    return found


def grammar(tools: list[ToolSpec], form: Form = "lark", **settings: Any) -> str:
    """The grammar of plans in one form."""
    return write(plan_grammar(tools, phased=form != "lark", **settings), form)


def plan(*calls: str) -> str:
    """A plan of some calls."""
    return "\n".join(f"{n}. {call}" for n, call in enumerate([*calls, "join()"], 1))


# -- the property: what the grammar accepts parses and type-checks ----------------------------------------------------


class Point(BaseModel):
    """A place."""

    x: float
    y: float
    label: str | None = None
    parent: "Point | None" = None


class Nothing(BaseModel):
    """An object of no properties."""

    model_config = ConfigDict(extra="forbid")


class Hit(TypedDict):
    """A hit of a search."""

    id: int
    title: str
    points: list[Point]
    more: dict[str, float]


def nothing() -> None:
    """Do nothing."""


def hits(query: str, limit: Annotated[int, Interval(ge=1, le=50)] = 10) -> list[Hit]:
    """Search."""
    raise NotImplementedError


def distance(a: Point, b: Point, unit: Literal["km", "mi"] = "km") -> float:
    """Measure."""
    raise NotImplementedError


def total(values: list[float], weights: dict[str, float] | None = None) -> float | None:
    """Sum up."""
    raise NotImplementedError


def book(day: date, at: time, when: datetime, id: UUID, seats: Annotated[int, Ge(1)]) -> str:
    """Book."""
    raise NotImplementedError


def at(when: datetime) -> str:
    """Be there."""
    raise NotImplementedError


def bounded(
    a: Annotated[float, Gt(0)],
    b: Annotated[float, Ge(0), Le(1)],
    c: Annotated[int, Gt(-5), Lt(7)],
    d: Annotated[float, Gt(0), Lt(1)] = 0.5,
    e: Annotated[int, Ge(-120), Le(-3)] = -3,
) -> bool:
    """Take bounds."""
    raise NotImplementedError


def long(text: Annotated[str, MinLen(3)], code: Annotated[str, Field(max_length=4)], pair: tuple[int, str]) -> str:
    """Take lengths."""
    raise NotImplementedError


def lengths(
    a: Annotated[str, MinLen(1)], b: Annotated[str, MinLen(3)], c: Annotated[str, Field(max_length=280)]
) -> str:
    """Take lengths that leave room for references."""
    raise NotImplementedError


def keys(
    by_name: dict[Literal["a", "$b"], int],
    by_day: dict[date, str],
    few: Annotated[dict[str, int], MinLen(1)],
    no: Nothing,
) -> None:
    """Take keys."""
    raise NotImplementedError


def items(values: Annotated[list[int], MinLen(2)], more: Annotated[list[str], Field(max_length=1)]) -> set[int]:
    """Take sizes."""
    raise NotImplementedError


def solve(expression: Annotated[str, WithJsonSchema({"type": "string", "format": "arithmetic"})], by: Any) -> Any:
    """Solve."""
    raise NotImplementedError


FUNCTIONS: list[Callable[..., Any]] = [nothing, hits, distance, total, book, bounded, long, lengths, keys, items, solve]
FORMS: list[Form] = ["lark", "gbnf"]
REAL = [*TOOLS, *(tool_spec(tool(function)) for function in FUNCTIONS)]

names = st.sampled_from(["a", "first-name", "class", "ünï", "with space", "höhe_m", "x1"])
scalars = st.sampled_from(
    [STRING, INTEGER, NUMBER, {"type": "boolean"}, {"type": "null"}, {}, {"enum": ["m", 1, None]}]
)
schemas = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
        st.builds(
            lambda properties, n: {"type": "object", "properties": properties, "required": list(properties)[:n]},
            st.dictionaries(names, inner, max_size=3),
            st.integers(0, 3),
        ),
    ),
    max_leaves=4,
)
parameters = st.dictionaries(
    st.sampled_from(["a", "b", "from", "first-name", "$filter", "user name"]), schemas, max_size=3
)
generated = st.builds(
    lambda name, given, n, returns: ToolSpec(
        name, given, frozenset(list(given)[n:] if n < 0 else list(given)[:n]), returns
    ),
    st.sampled_from(["search", "mcp__api.list/all", "f", "g"]),
    parameters,
    st.integers(-3, 3),
    st.one_of(st.none(), schemas),
)
toolsets = st.lists(st.one_of(st.sampled_from(REAL), generated), max_size=3, unique_by=lambda spec: spec.name)
few = st.lists(st.one_of(st.sampled_from(REAL), generated), max_size=2, unique_by=lambda spec: spec.name)
seeds = st.integers(0, 2**32 - 1)


@given(toolsets, seeds, st.booleans())
@settings(max_examples=160, deadline=None)
def test_what_the_lark_grammar_accepts_is_right(tools: list[ToolSpec], seed: int, brief: bool) -> None:
    """Whatever llguidance lets a model write, for any tools, parses and type-checks without a diagnostic."""
    text = sentence(grammar(tools, max_tasks=4, brief=brief), "lark", Random(seed))
    assert diagnostics(text, tools) == []


@given(few, seeds, st.booleans())
@settings(max_examples=50, deadline=None)
def test_what_the_gbnf_accepts_is_right(tools: list[ToolSpec], seed: int, brief: bool) -> None:
    """The same in GBNF; each of its plans is one of the Lark grammar's, too."""
    text = sentence(grammar(tools, "gbnf", max_tasks=3, brief=brief), "gbnf", Random(seed))
    assert diagnostics(text, tools) == []
    assert accepts(grammar(tools, max_tasks=3, brief=brief), "lark", text)


@given(toolsets, seeds, st.booleans(), st.booleans())
@settings(max_examples=80, deadline=None)
def test_guards_and_repetition_in_lark(tools: list[ToolSpec], seed: int, brief: bool, guards: bool) -> None:
    """With guards, or repetition, or both, every sentence parses and type-checks too."""
    written = grammar(tools, max_tasks=4, brief=brief, guards=guards, repetition=True)
    assert diagnostics(sentence(written, "lark", Random(seed)), tools) == []


@given(few, seeds, st.booleans(), st.booleans())
@settings(max_examples=30, deadline=None)
def test_guards_and_repetition_in_gbnf(tools: list[ToolSpec], seed: int, brief: bool, repetition: bool) -> None:
    """The same in GBNF; each of its plans is one of the Lark grammar's, too."""
    on: Any = {"max_tasks": 3, "brief": brief, "guards": True, "repetition": repetition}
    text = sentence(grammar(tools, "gbnf", **on), "gbnf", Random(seed))
    assert diagnostics(text, tools) == []
    assert accepts(grammar(tools, **on), "lark", text)


PAY = ToolSpec("pay", {"x": NUMBER}, frozenset({"x"}), {"type": "boolean"}, destructive=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("calls", "accepted"),
    [
        (['look(name="a")', "pay(x=1) when ${1.height_m} > 8000.5"], True),
        (['look(name="a")', 'pay(x=1) when ${1.name} == "b" and ${1.height_m} <= -3 or ${1.name} != ""'], True),
        (["pay(x=1)", "pay(x=2) when $1"], True),
        (['look(name="a") until ${1.name} == "done" max 10 every 5'], True),
        (['look(name="a")', 'look(name="b") when ${1.height_m} > 1 until ${2.name} == ${1.name} max 3'], False),
        (['look(name="a")', 'look(name="b") when ${1.height_m} > 1 until ${2.name} != "" max 3'], True),
        (["pay(x=1) until $1 max 3"], False),
        (['look(name="a") until ${1.name} == "done"'], False),
        (['look(name="a") until ${1.name} == "done" max 0'], False),
        (["pay(x=1) when $1"], False),
        (['look(name="a")', "pay(x=1) when $1"], False),
        (['look(name="a")', 'pay(x=1) when ${1.height_m} == "high"'], False),
    ],
)
def test_conditions(calls: list[str], accepted: bool, form: Form) -> None:
    """What is compared is there, and of a type; only calls that read are repeated; all of it only where it is on."""
    text = plan(*calls)
    on = grammar([LOOK, PAY], form, max_tasks=3, guards=True, repetition=True)
    assert accepts(on, form, text) is accepted
    assert not accepts(grammar([LOOK, PAY], form, max_tasks=3), form, text)


def test_the_grammar_of_who_turns_nothing_on() -> None:
    """It has no rule more than before."""
    assert "when" not in grammar([LOOK, ADD]) + grammar([LOOK, ADD], "gbnf")
    assert "until" not in grammar([LOOK, ADD], guards=True)
    assert " when " not in grammar([LOOK, ADD], repetition=True)


def test_procedures_are_called_like_tools() -> None:
    """The signature of a procedure is that of one more tool: every sentence with calls of it is right."""
    text = "difference(first: str, second: str):\n  1. lookup(${first})\n  2. lookup(${second})\n"
    text += '  3. calculate("${1.height_m} - ${2.height_m}")'
    (known,) = check_procedures([parse_procedure(text)], TOOLS).values()
    tools = [*TOOLS, known.spec]
    written = grammar(tools, max_tasks=4, guards=True, repetition=True)
    found = [sentence(written, "lark", Random(seed)) for seed in range(40)]
    assert any("difference(" in each for each in found)
    for each in found:
        assert diagnostics(each, tools) == []
        assert not re.search(r"difference\(.*\) (?:when .*)?until", each)
    assert not accepts(written, "lark", plan('difference(first="a", second="b") until $1 > 3 max 2'))
    assert accepts(written, "lark", plan('difference(first="a", second="b")', 'lookup(entity="a")'))


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ('search(query="a")\njoin()', True),
        ('search(query="a")\nsearch(query="$1")\njoin()', True),
        ('search(query="a")\nsearch(query=["a", "b"][*])\njoin()', True),
        ("join()", True),
        ('1. search(query="a")\n2. join()', False),
        ('search(query="a")', False),
        ('Thought: a\nsearch(query="a")\njoin()', False),
        ("search(query=[][*])\njoin()", False),
    ],
)
@pytest.mark.parametrize("form", ["lark", "gbnf"])
def test_brief_plans(text: str, accepted: bool, form: Form) -> None:
    """They are calls and `join()`, without numbers and thoughts."""
    assert accepts(grammar([SEARCH, LOOK], form, max_tasks=3, brief=True), form, text) is accepted


def test_elements_of_a_list_that_fans_out() -> None:
    """What a brief plan says of a list that is written out: its elements may be referred to."""
    text = 'search(query=["a", "b"][*])\nlook(name="${1[0]}")\njoin()'
    assert accepts(grammar([SEARCH, LOOK], max_tasks=3, brief=True), "lark", text)


@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from([each.name for each in REAL]), max_size=3))
@settings(max_examples=40, deadline=None)
def test_after_other_plans(seed: int, called: list[str]) -> None:
    """In a replan, what earlier tasks returned may be referred to, and fits."""
    earlier = dict(enumerate(called, 1))
    known = {spec.name: spec for spec in REAL}
    returned = {n: (known[name], known[name].returns) for n, name in earlier.items()}
    tools = [*TOOLS, LOOK]
    text = sentence(grammar(tools, first=len(earlier) + 1, max_tasks=3, earlier=returned), "lark", Random(seed))
    assert diagnostics(text, [*tools, *REAL[2:]], earlier) == []


def test_every_range_is_exact() -> None:
    """Of the integers around and inside a range, those in it are accepted."""
    for least, most in product([-120, -10, -1, 0, 1, 9, 10, 37], [-99, -3, 0, 5, 10, 99, 100, 1234]):
        if least <= most:
            spec = ToolSpec("f", {"a": {"type": "integer", "minimum": least, "maximum": most}}, frozenset({"a"}))
            one_task = grammar([spec], max_tasks=1)
            taken = [n for n in range(-200, 1500) if accepts(one_task, "lark", plan(f"f(a={n})"))]
            assert taken == list(range(least, most + 1))


BOUNDS: list[dict[str, JSON]] = [
    {"minimum": 0},
    {"exclusiveMinimum": 0},
    {"maximum": -0.5},
    {"minimum": -90, "maximum": 90},
    {"minimum": 0.1, "maximum": 0.9},
    {"exclusiveMinimum": 0.2, "exclusiveMaximum": 0.8},
    {"minimum": 0, "exclusiveMaximum": 1},
    {"exclusiveMinimum": -10, "maximum": 99.9},
    {"minimum": -0.15, "maximum": 10},
    {"minimum": 1, "maximum": 1},
    {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_every_range_of_decimals_is_exact(bounds: dict[str, JSON], whole: bool) -> None:
    """Of the decimals around and inside a range, those in it are accepted, whatever zeros they end in.

    A range that holds none has a wrong one, so that there is a way to go on.
    """
    schema: JSON = {"type": "integer" if whole else "number", **bounds}
    one_task = grammar([ToolSpec("f", {"a": schema})], max_tasks=1)
    limits = {name: Decimal(str(bound)) for name, bound in bounds.items()}
    ends = ("", ".0", ".00", ".1", ".10", ".15", ".2", ".5", ".50", ".8", ".87", ".90", ".95", ".99", f".{'1' * 17}")
    numbers = (0, 1, 9, 10, 11, 89, 90, 91, 99, 100, 180)
    texts = [f"{sign}{n}{end}" for sign, n, end in product(("", "-"), numbers, ends)]
    texts = [text for text in texts if Decimal(text) or not text.startswith("-")]

    def inside(text: str) -> bool:
        value = Decimal(text)
        return (
            limits.get("minimum", value) <= value <= limits.get("maximum", value)
            and limits.get("exclusiveMinimum", value - 1) < value < limits.get("exclusiveMaximum", value + 1)
            and not (whole and "." in text)
        )

    taken = [text for text in texts if accepts(one_task, "lark", plan(f"f(a={text})"))]
    right = list(filter(inside, texts))
    assert taken == right or (not right and len(taken) == 1)


@pytest.mark.parametrize("form", ["lark", "gbnf"])
@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "minItems": 3, "maxItems": 2},
        {"type": "string", "minLength": 5, "maxLength": 1},
        {"type": "object", "minProperties": 2, "maxProperties": 0},
        {"type": "array", "minItems": -1, "maxItems": -2},
    ],
    ids=str,
)
def test_counts_that_nothing_has(schema: JSON, form: Form) -> None:
    """A schema that allows no count has a wrong one, so that there is a way to go on."""
    spec = ToolSpec("f", {"a": schema}, frozenset({"a"}))
    assert sentence(grammar([spec], form, max_tasks=1), form, Random(0))


def test_every_date_is_there() -> None:
    """Also the last days of the months, and those of leap years only."""
    one_task = grammar([ToolSpec("f", {"a": {"type": "string", "format": "date"}})], max_tasks=1)
    for year, month, day in product([1000, 1582, 1900, 1996, 2000, 2023, 2024, 2400], range(14), range(33)):
        text = f"{year}-{month:02}-{day:02}"
        try:
            there = str(date.fromisoformat(text)) == text
        except ValueError:
            there = False
        assert accepts(one_task, "lark", plan(f'f(a="{text}")')) is there, text


@pytest.mark.parametrize("when", ["2026-12-31T10:00:00", "2026-12-31T10:00:00.5Z", "2024-02-29T23:59:59+05:30"])
def test_dates_and_times(when: str) -> None:
    """With a time zone or without: which one is wanted is for the checker to say."""
    book = tool_spec(tool(at))
    for form in FORMS:
        assert accepts(grammar([book], form, max_tasks=1), form, plan(f'at(when="{when}")'))
    assert diagnostics(plan(f'at(when="{when}")'), [book]) == []


@pytest.mark.parametrize("form", ["lark", "gbnf"])
@pytest.mark.parametrize("typed", [True, False])
def test_constants_are_not_cut(form: Form, typed: bool) -> None:
    """A long text, a long key and a number of 64 bits can be written to their ends."""
    spec = ToolSpec(
        "f", {"text": STRING, "n": {"type": "integer", "minimum": 0}, "by": {"type": "object"}, "x": NUMBER}
    )
    call = f'f(text="{"x" * 3000}", n={2**64}, by={{"{"k" * 300}": -{2**63}}}, x=-0.30000000000000004)'
    assert accepts(grammar([spec], form, typed=typed), form, plan(call))


# -- what it accepts and refuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tools", "calls", "expected"),
    [
        ([LOOK, ADD], ['look(name="K2")', "add(a=${1.height_m}, b=2.5)", "add(a=$2, b=-1)"], True),
        ([LOOK, ADD], ['look(name="K2")', 'look(name="$1 and ${1.name}, then $1.")'], True),
        ([LOOK, ADD], ['look(name="K2")', "add(a=1, b=2)", 'look(name="K$2")', "add(a=$2, b=${3.height_m})"], True),
        ([LOOK, ADD], ['look(name="K2")', "add(a=$1, b=2)"], False),
        ([LOOK, ADD], ['look(name="K2")', "add(a=${1.name}, b=2)"], False),
        ([LOOK, ADD], ["add(a=1, b=2)", "add(a=${1.height_m}, b=2)"], False),
        ([LOOK, ADD], ["add(a=$2, b=2)", 'look(name="K2")'], False),
        ([LOOK, ADD], ["add(a=$1, b=2)"], False),
        ([LOOK, ADD], ['look(name="$1")'], False),
        ([LOOK, ADD], ['look(name="it costs $$5")'], True),
        ([LOOK, ADD], ['look(name="it costs $5")'], False),
        ([SEARCH, ADD], ['search(query="K2")', "search(query=$1)"], True),
        ([SEARCH, ADD], ['search(query="K2")', "add(a=$1, b=1)"], False),
        ([SCORES, ADD], ['scores(of="K2")', "add(a=${1[0]}, b=${1[-1]})"], True),
        ([SCORES, ADD], ['scores(of="K2")', "add(a=${1[*]}, b=1)", "add(a=${2[0]}, b=1)"], True),
        ([SCORES, ADD], ['scores(of="K2")', "add(a=${1[*]}, b=1)", "add(a=$2, b=1)"], False),
        ([ANY, ADD], ["any()", "add(a=${1.some[0].thing}, b=$1)"], True),
        (TOOLS, ['lookup(entity="K2")', 'calculate(expression="max(${1.height_m}, 2) / 3 - -1 ** (2)")'], True),
        (TOOLS, ['lookup(entity="K2")', """calculate(expression="argmax({'K2': ${1.height_m}, 'b': 2})")"""], True),
        (TOOLS, ['lookup(entity="K2")', """calculate(expression="'a' if ${1.height_m} > 2 else 'b'")"""], True),
        (TOOLS, ['calculate(expression="1 + 1")', 'calculate(expression="$1*${1}")', "calculate(expression=$2)"], True),
        (TOOLS, ['lookup(entity="K2")', 'calculate(expression="$1 - 2")'], False),
        (TOOLS, ['lookup(entity="K2")', 'calculate(expression="${1.name} - 2")'], False),
        (TOOLS, ['lookup(entity="K2")', 'calculate(expression="height of K2")'], False),
        (TOOLS, ['calculate(expression="cbrt(3)")'], False),
        (TOOLS, ['calculate(expression="sqrt(3, 4)")'], False),
        (TOOLS, [], True),
        ([SEARCH], ["search()"], False),
        ([SEARCH], ['search("K2")'], False),
        ([SEARCH], ["search(query=3)"], False),
        ([SEARCH], ['search(query="a", more=1)'], False),
        ([SEARCH], ['search(query="a\nb")'], False),
        ([SEARCH], ['serch(query="a")'], False),
        ([ADD], ["add(a=007, b=1)"], False),
        ([], ["search()"], False),
        ([], [], True),
    ],
)
def test_references_fit(tools: list[ToolSpec], calls: list[str], expected: bool) -> None:
    """Only what earlier tasks return, and only where it fits; and what is accepted is right."""
    assert accepts(grammar(tools), "lark", plan(*calls)) is expected
    if expected:
        assert diagnostics(plan(*calls), tools) == []


ONE = '{"a": 1, "$b": 2}'


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (lengths, 'a="$1", b="$1", c="$1"', True),
        (lengths, 'a="about $1", b="to ${1}", c="$1, then $1."', True),
        (lengths, 'a="$$", b="$$10", c="$$"', True),
        (lengths, 'a="a", b="a $1", c=""', True),
        (lengths, 'a="", b="abc", c=""', False),
        (lengths, 'a="a", b="ab", c=""', False),
        (lengths, 'a="a", b="$$1", c=""', False),
        (long, 'text="see $1", code="NOK", pair=[1, "a"]', True),
        (long, 'text="see", code="NOK 1", pair=[1, "a"]', False),
        (keys, f'by_name={ONE}, by_day={{"2024-02-29": "$1"}}, few={{"$set": 1}}, no={{}}', True),
        (keys, 'by_name={"c": 1}, by_day={}, few={"a": 1}, no={}', False),
        (keys, 'by_name={}, by_day={"2023-02-29": "a"}, few={"a": 1}, no={}', False),
        (keys, "by_name={}, by_day={}, few={}, no={}", False),
        (keys, 'by_name={}, by_day={}, few={"a": 1}, no={"a": 1}', False),
    ],
)
@pytest.mark.parametrize("form", ["lark", "gbnf"])
def test_texts_and_keys(form: Form, function: Callable[..., Any], arguments: str, expected: bool) -> None:
    """A text that must not be short may refer, a long one is not counted, and keys are those there may be."""
    spec = tool_spec(tool(function))
    text = plan('search(query="K2")', f"{spec.name}({arguments})")
    assert accepts(grammar([SEARCH, spec], form, max_tasks=2), form, text) is expected
    if expected:
        assert diagnostics(text, [SEARCH, spec]) == []


@pytest.mark.parametrize(
    ("required", "call", "expected"),
    [
        (["a"], 'f(a="x")', True),
        (["a"], 'f(a="x", user.name="y")', False),
        (["a", "user.name"], 'f({"a": "x", "user.name": "y"})', True),
        (["a", "user.name"], 'f({"a": "x", "user.name": "y", "$filter": 3})', True),
        (["user.name"], 'f({"user.name": "y", "$filter": 3})', False),
        (["user.name"], 'f(user.name="y")', False),
    ],
)
def test_names_that_plan_text_cannot_hold(required: list[str], call: str, expected: bool) -> None:
    """Such a parameter is left out, or given in a dict of all arguments if there must be one.

    The first parameter is then given, too, if the dict could be its value: as text it could.
    """
    spec = ToolSpec("f", {"a": STRING, "user.name": STRING, "$filter": NUMBER}, frozenset(required))
    assert accepts(grammar([spec]), "lark", plan(call)) is expected
    if expected:
        assert diagnostics(plan(call), [spec]) == []


@pytest.mark.parametrize("required", [["a"], ["$b"], ["c"]])
def test_there_is_always_a_way_to_go_on(required: list[str]) -> None:
    """A call that would fan out is not begun where nothing can be fanned out over, whatever comes first in the tool."""
    bounds: JSON = {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    given: dict[str, JSON] = {"a": STRING, "$b": STRING, "c": STRING, "none": bounds}
    spec = ToolSpec("f", given, frozenset(required), {"type": "array", "items": STRING})
    for seed in range(8):
        sentence(grammar([spec], max_tasks=1), "lark", Random(seed))


@pytest.mark.parametrize(
    ("tools", "form", "max_tasks", "most"),
    [
        ([LOOK, ADD], "lark", None, 24),
        ([LOOK, ADD], "lark", 1000, 64),
        (REAL, "lark", None, 24),
        (REAL, "lark", 40, 40),
        ([LOOK, ADD], "gbnf", None, 16),
        ([LOOK, ADD], "gbnf", 40, 40),
    ],
)
def test_how_many_tasks(tools: list[ToolSpec], form: Form, max_tasks: int | None, most: int) -> None:
    """A grammar accepts as many tasks as are allowed, up to 64, whatever the tools."""
    call = 'look(name="K2")' if LOOK in tools else "nothing()"
    text = grammar(tools, form, max_tasks=max_tasks)
    assert accepts(text, form, plan(*[call] * most))
    assert not accepts(text, form, plan(*[call] * (most + 1)))


def test_tasks_whose_kind_is_not_noted() -> None:
    """Tasks beyond those whose kind the grammar notes may refer to others, not be referred to."""
    text = grammar([LOOK, ADD, SCORES], max_tasks=40)
    looks = ['look(name="K2")'] * 35
    assert accepts(text, "lark", plan(*looks, "add(a=${3.height_m}, b=1)"))
    assert not accepts(text, "lark", plan(*looks, "add(a=${35.height_m}, b=1)"))


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (['look(name="a")', 'look(name="b")', "add(a=${1.height_m}, b=${2.height_m})", "add(a=$3, b=1)"], True),
        (['look(name="a")', "add(a=${1.height_m}, b=1)", 'look(name="b")'], False),
        (["add(a=1, b=1)", 'look(name="b")'], False),
    ],
)
def test_phases(calls: list[str], expected: bool) -> None:
    """Without states, tasks of one kind stand together, sources first."""
    assert accepts(grammar([ADD, LOOK], "gbnf", max_tasks=6), "gbnf", plan(*calls)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3. any()\n4. join()", True),
        ("Thought: a, b.\n3. any()\n4. join()", True),
        ("3. any()\n4. any()\n5. join()", True),
        ("3. any()\n4. any()\n5. any()\n6. join()", False),
        ("1. any()\n2. join()", False),
        ("3. any()\n5. join()", False),
        ("3. any()", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("form", ["lark", "gbnf"])
def test_a_plan_is_numbered_calls_and_a_join(form: Form, text: str, expected: bool) -> None:
    """A thought may come first; the numbers go on from the first."""
    assert accepts(grammar([ANY], form, first=3, max_tasks=2), form, text) is expected


def test_tasks_written_again() -> None:
    """Only these, without a join; they may refer to each other and to what is given."""
    returned: dict[int, tuple[ToolSpec, Schema]] = {1: (LOOK, FACTS), 3: (ADD, NUMBER)}
    again = grammar([LOOK, ADD], again=[2, 4], earlier=returned)
    assert accepts(again, "lark", '2. look(name="b")\n4. add(a=${2.height_m}, b=$3)')
    assert not accepts(again, "lark", '2. look(name="b")\n3. add(a=1, b=1)')
    assert not accepts(again, "lark", '2. look(name="b")\n4. add(a=$2, b=$3)')
    assert not accepts(again, "lark", '2. look(name="b")\n4. add(a=1, b=1)\n5. join()')


OTHER_TEXTS: list[JSON] = [
    STRING,
    {"type": "string", "format": "date"},
    {"type": "string", "maxLength": 4},
    {"const": "$5 or less"},
    {"type": ["string", "null"]},
]


@pytest.mark.parametrize("other", OTHER_TEXTS, ids=repr)
@pytest.mark.parametrize("form", ["lark", "gbnf"])
def test_arithmetic_or_other_text(form: Form, other: JSON) -> None:
    """Where arithmetic or other text may stand, what the grammar allows is what the checker does."""
    either: JSON = {"anyOf": [{"type": "string", "format": "arithmetic"}, other]}
    spec = ToolSpec("f", {"x": either, "y": STRING}, frozenset({"x"}), STRING)
    checker = Checker([spec])
    for seed in range(20):
        parser = PlanParser()
        text = sentence(grammar([spec], form, max_tasks=3), form, Random(seed))
        for task in [*parser.feed(text), *parser.close()]:
            assert isinstance(task, Task), (text, task)
            assert not checker.check(task).diagnostics, text


def test_untyped() -> None:
    """Without types, any reference may stand anywhere; names and literals are still held to the tools."""
    untyped = grammar([LOOK, ADD], "gbnf", typed=False)
    assert accepts(untyped, "gbnf", plan("add(a=$7, b=${9.x[0].y})", 'look(name="$1 $5")'))
    assert not accepts(untyped, "gbnf", plan('add(a="1", b=2)'))


def test_many_tools_stay_small() -> None:
    """The grammar grows with the tools, not with their combinations."""
    returns: list[JSON] = [STRING, NUMBER, FACTS, None, {"type": "array", "items": FACTS}, {"type": "boolean"}]
    tools = [
        ToolSpec(f"tool{n}", {"text": STRING, "n": INTEGER}, frozenset({"text"}), returns[n % len(returns)])
        for n in range(100)
    ]
    assert len(grammar(tools)) < 150_000
    assert len(grammar(tools, "gbnf")) < 2_000_000
    assert math.isfinite(len(sentence(grammar(tools), "lark", Random(1))))
