import re
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from llmcompiler_graph import ConfigurationError, Outcome, PlanExample, create_llm_compiler
from llmcompiler_graph.calls.specs import as_tools, tool_spec
from llmcompiler_graph.core.checking.checker import check_plan
from llmcompiler_graph.core.examples import check_examples, made_examples, with_procedures
from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.core.language.plan import Observation, ToolSpec
from llmcompiler_graph.models.prompts import conversation
from llmcompiler_graph.models.system import system_message
from llmcompiler_graph.testing import ScriptedModel


class Facts(TypedDict):
    """What is known of a mountain."""

    name: str
    height_m: float | None


class Hit(TypedDict):
    """A page that was found."""

    id: int
    title: str


def temperature(city: str) -> float:
    """The temperature in a city, in degrees Celsius. Measured hourly."""
    return 1.0


def difference(a: float, b: float) -> float:
    """How much larger a is than b."""
    return a - b


def facts(mountain: str) -> Facts:
    """Facts of a mountain."""
    return {"name": mountain, "height_m": None}


def total(amounts: list[float]) -> float:
    """Add up."""
    return sum(amounts)


def evaluate(expression: str) -> float:
    """Evaluate an expression, e.g. `1 + 1`."""
    return 0.0


def reckon(terms: Annotated[str, WithJsonSchema({"type": "string", "format": "arithmetic"})]) -> float:
    """Reckon."""
    return 0.0


def find_page(query: str) -> list[Hit]:
    """Search pages."""
    return []


def read(page_id: int) -> str:
    """Read a page."""
    return ""


def book(date: str, room: Literal["small", "large"], nights: int = 1) -> str:
    """Book a room."""
    return ""


def now() -> str:
    """The time."""
    return ""


def specs(*functions: Any) -> list[ToolSpec]:
    """Read what functions say of themselves."""
    return [tool_spec(each) for each in as_tools(functions)]


def made(*functions: Any) -> list[str]:
    """The plans of the examples made for functions."""
    return [example.plan for example in made_examples(specs(*functions))][1:]


# -- made of the tools -------------------------------------------------------------------------------------------------


def test_made_examples() -> None:
    """Two calls of a tool and one that combines what they return, by type: numbers, their fields, lists of them."""
    assert made(temperature, difference) == [
        '1. temperature(city="Alpha")\n2. temperature(city="Beta")\n3. difference(a=$1, b=$2)\n4. join()'
    ]
    assert made(facts, difference)[0].splitlines()[2] == "3. difference(a=${1.height_m}, b=${2.height_m})"
    assert made(facts, total)[0].splitlines()[2] == "3. total(amounts=[${1.height_m}, ${2.height_m}])"
    assert made(facts, evaluate)[0].splitlines()[2] == '3. evaluate(expression="${1.height_m} - ${2.height_m}")'


def test_made_with_calculators() -> None:
    """A calculator is also known by the format of its parameter: it is given numbers, and no words."""
    assert made(facts, reckon)[0].splitlines()[2] == '3. reckon(terms="${1.height_m} - ${2.height_m}")'
    assert "and" not in made(now, reckon)[0]


def test_made_chains() -> None:
    """A field that a parameter asks for by name is passed on, of every element of a list."""
    assert '1. find_page(query="Alpha")\n2. read(page_id=${1[*].id})\n3. join()' in made(find_page, read)


def test_made_of_tools_that_do_not_combine() -> None:
    """Else there are two calls of one tool with values as its schema lists them, or one call."""
    assert made(book) == [
        '1. book(date="2026-01-31", room="small")\n2. book(date="2026-02-28", room="large")\n3. join()'
    ]
    assert made(now) == ["1. now()\n2. join()"]
    assert made_examples([]) == ()


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ({"type": "string", "examples": ["Oslo", "Rome"]}, ["'Oslo'", "'Rome'"]),
        ({"type": "string", "examples": ["Oslo"]}, ["'Oslo'"]),
        ({"enum": ["m", "ft"]}, ["'m'", "'ft'"]),
        ({"type": "integer", "minimum": 5}, ["5", "6"]),
        ({"type": "number", "exclusiveMinimum": 0}, ["1.0", "2.0"]),
        ({"type": "boolean"}, ["True", "False"]),
        ({"type": "string", "format": "email"}, ["'alpha@example.com'", "'beta@example.com'"]),
        ({"type": "array", "items": {"type": "integer"}}, ["[1]", "[2]"]),
        (
            {"type": "object", "properties": {"x": {"type": "integer"}, "y": {}}, "required": ["x"]},
            ["{'x': 1}", "{'x': 2}"],
        ),
        ({}, ["'Alpha'", "'Beta'"]),
    ],
)
def test_constants(schema: Any, values: list[str]) -> None:
    """Constants are what the schema suggests, two different ones if there are."""
    tool = ToolSpec("f", {"x": schema}, frozenset({"x"}))
    plan = parse_plan(made_examples([tool])[1].plan)
    assert [
        str(task.arguments["x"]) if not isinstance(task.arguments["x"], str) else repr(task.arguments["x"])
        for task in plan
    ] == (values if len(values) == 2 else values * 2)


def test_effects_are_not_shown_lightly() -> None:
    """Tools with effects stand in an example only if there are no others."""
    send = ToolSpec("send", {"text": {"type": "string"}}, frozenset({"text"}), destructive=True)
    look = ToolSpec("look", {"text": {"type": "string"}}, frozenset({"text"}), {"type": "string"})
    assert not any("send" in example.plan for example in made_examples([send, look]))
    assert "send" in made_examples([send])[1].plan


types = st.sampled_from(["string", "number", "integer", "boolean", "array", "object", "null", "other"])
schemas = st.one_of(
    st.just({}),
    st.builds(lambda name: {"type": name}, types),
    st.builds(lambda name, of: {"type": "array", "items": {"type": name}, "title": of}, types, st.text(max_size=3)),
    st.builds(
        lambda names, of: {"type": "object", "properties": {name: {"type": of} for name in names}, "required": names},
        st.lists(st.sampled_from(["id", "name", "height_m"]), unique=True),
        types,
    ),
    st.builds(lambda one, two: {"anyOf": [{"type": one}, {"type": two}]}, types, types),
    st.builds(lambda values: {"enum": values}, st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=5)))),
)
some_tools = st.lists(
    st.builds(
        lambda parameters, required, returns, read_only: (parameters, required, returns, read_only),
        st.dictionaries(st.sampled_from(["id", "name", "page_id", "expression", "x"]), schemas, max_size=3),
        st.booleans(),
        st.one_of(st.none(), schemas),
        st.sampled_from([None, True, False]),
    ),
    max_size=5,
)


@given(some_tools)
def test_whatever_the_tools(tools: list[Any]) -> None:
    """Examples of any tools pass the checker, and name no tool that is not there."""
    made_of = [
        ToolSpec(f"tool{n}", parameters, frozenset(parameters if required else ()), returns, read_only=read_only)
        for n, (parameters, required, returns, read_only) in enumerate(tools)
    ]
    examples = made_examples(made_of)
    assert len(examples) <= 3
    for example in examples:
        check_plan(parse_plan(example.plan), made_of)
    check_examples(examples, made_of)


@pytest.mark.parametrize("functions", [(temperature, difference), (find_page, read), (book,), ()])
@pytest.mark.parametrize("given", [None, ()])
async def test_no_foreign_tool_in_the_prompt(functions: Any, given: Any) -> None:
    """Every call in the system message is of a tool that is there, or `join()`."""
    model = ScriptedModel(["1. join()", "Finish: hello"])
    graph = create_llm_compiler(model, list(functions), examples=given)
    await graph.ainvoke({"messages": [("user", "?")]})
    names = {each.__name__ for each in functions} | {"join"}
    assert set(re.findall(r"\b(\w+)\(", model.calls[0][0].text)) <= names
    assert ("# Examples" in model.calls[0][0].text) == (given is None and bool(functions))
    native = system_message(specs(*functions), plan_format="tools").text
    assert set(re.findall(r"\b(\w+)\(", native)) <= names


# -- the user's own ----------------------------------------------------------------------------------------------------

REPLAN = PlanExample(
    "How much warmer is it in Rome than in Oslo?",
    '1. temperature(city="Rome")\n2. temperature(city="Olso")\n3. join()',
    [
        Outcome(
            {1: 18.5, 2: Observation("failed", error="no such city")},
            "Thought: Oslo was misspelt.\nReplan: look up Oslo.",
            '3. temperature(city="Oslo")\n4. difference(a=$1, b=$3)\n5. join()',
        ),
        Outcome({3: 4.0, 4: 14.5}, "Thought: All is there.\nFinish: 14.5 degrees."),
    ],
)


def test_an_example_with_a_replan() -> None:
    """An example with a replan is shown as the conversation it would be, word for word."""
    tools = specs(temperature, difference)
    check_examples([REPLAN], tools)
    text = system_message(tools, [REPLAN]).text
    assert text.endswith(
        """
How much warmer is it in Rome than in Oslo?

Write the plan.
1. temperature(city="Rome")
2. temperature(city="Olso")
3. join()

Observations:
1. temperature(city="Rome") = 18.5
2. temperature(city="Olso"): failed: "no such city"

Task 2 returned nothing: do not guess what.
Finish with the answer, or replan if something needed is missing.

Thought: Oslo was misspelt.
Replan: look up Oslo.

The question again: How much warmer is it in Rome than in Oslo?
Write the plan. Number its tasks from 3; refer to what earlier tasks returned instead of repeating them.
3. temperature(city="Oslo")
4. difference(a=$1, b=$3)
5. join()

Observations:
3. temperature(city="Oslo") = 4.0
4. difference(a=$1, b=$3) = 14.5

Finish with the answer, or replan if something needed is missing.

Thought: All is there.
Finish: 14.5 degrees.
"""
    )


async def test_examples_read_like_conversations() -> None:
    """What an example shows a model is what a run of it would have asked and told it."""
    replies = [REPLAN.plan, REPLAN.outcomes[0].reply, REPLAN.outcomes[0].plan, REPLAN.outcomes[1].reply]

    def temperature(city: str) -> float:
        """The temperature in a city."""
        if city == "Olso":
            msg = "no such city"
            raise ValueError(msg)
        return {"Rome": 18.5, "Oslo": 4.0}[city]

    model = ScriptedModel(replies)
    graph = create_llm_compiler(model, [temperature, difference], examples=[REPLAN])
    final = await graph.ainvoke({"messages": [("user", REPLAN.question)]})
    prompt = conversation(model.calls[0][0], final, brief=True)  # type: ignore[arg-type]
    real = (
        "\n\n".join(message.text for message in prompt[1:-1])
        .replace("ValueError: ", "")
        .replace("a=18.5, b=4.0", "a=$1, b=$3")
    )
    shown = model.calls[0][0].text.partition("# Examples\n")[2].strip()
    assert shown.replace("plan.\n1. ", "plan.\n\n1. ").replace("them.\n3. ", "them.\n\n3. ") == real


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (PlanExample("a?", '1. temprature("Rome")'), "line 1, column 1: no tool is named 'temprature'"),
        (PlanExample("a?", "Thought: x\n1. temperature($2)"), r"line 2, column 16: task 1 refers to task 2"),
        (
            PlanExample("a?", "1. join()", [Outcome({}, "Replan: x", "1. difference(1)")]),
            "plan 2, line 1, column 1: 'difference' needs `b`",
        ),
        (PlanExample("a?", "1. join()", [Outcome({}, "Replan: x")]), "asks for another plan, but `plan` is empty"),
        (
            PlanExample("a?", "1. join()", [Outcome({}, "Finish: x", "1. join()")]),
            "no `Replan: …`, but `plan` is given",
        ),
        (PlanExample("a?", '1. temperature("x")', [Outcome({}, "Finish: x")]), "observation for each task .*: 1"),
        (
            PlanExample("a?", "1. join()", [Outcome({}, "Finish: x"), Outcome({}, "Finish: y")]),
            "outcome 2 is that of no plan",
        ),
    ],
)
def test_bad_examples(example: PlanExample, message: str) -> None:
    """An example that does not fit the tools is an error that says where."""
    with pytest.raises(ConfigurationError, match=f"(?s)example 2 .'a.'. cannot be used:.*{message}"):
        create_llm_compiler(ScriptedModel(), [temperature, difference], examples=[REPLAN, example])


COMPARED = ToolSpec(
    "compared", {"a": {"type": "string"}, "b": {"type": "string"}, "by": {"type": "string"}}, frozenset("ab")
)
COUNTED = ToolSpec("counted", {"n": {"type": "integer"}}, frozenset("n"), description="Count something.")


@pytest.mark.parametrize("brief", [False, True])
def test_procedures_have_examples_of_their_own(brief: bool) -> None:
    """One for each that no example calls, with all required arguments; what calls the same tools is left out."""
    tools = [*map(tool_spec, as_tools([temperature, difference])), COMPARED, COUNTED]
    written_out = PlanExample("a?", '1. temperature("x")\n2. temperature("y")\n3. difference("$1", "$2")\n4. join()')
    other = PlanExample("b?", '1. temperature("x")\n2. join()')
    called = PlanExample("c?", "1. counted(5)\n2. join()")
    bodies = {"compared": ["temperature", "difference"], "counted": ["temperature"]}
    shown = with_procedures([written_out, other, called], tools, bodies, brief=brief)
    assert [each.question for each in shown] == ["b?", "c?", "For Alpha and Beta: compared?"]
    assert shown[-1].plan == ('compared("Alpha", "Beta")' if brief else '1. compared(a="Alpha", b="Beta")\n2. join()')
    assert with_procedures([written_out], tools, {}) == (written_out,)
