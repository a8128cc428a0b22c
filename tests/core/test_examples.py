import re
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from langchain_core.tools import StructuredTool
from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from llmcompiler_graph import ConfigurationError, Outcome, PlanExample, create_llm_compiler
from llmcompiler_graph.calls.specs import as_tools, tool_spec
from llmcompiler_graph.core.checking.checker import check_plan
from llmcompiler_graph.core.examples import briefly, check_examples, made_examples, shown_tasks, with_procedures
from llmcompiler_graph.core.grammar.forms import write
from llmcompiler_graph.core.grammar.plans import plan_grammar
from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.core.language.plan import Observation, Task, ToolSpec
from llmcompiler_graph.models.prompts import conversation
from llmcompiler_graph.models.system import system_message
from llmcompiler_graph.testing import ScriptedModel
from tests.grammar_engine import accepts


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


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "K2", "a, b", "$", "Finish: x\n"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["a", "b", "page[size]", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
names = st.sampled_from(["a", "b", "page[size]", "x", "data"])
anything = st.sampled_from([None, {"type": "object"}, {"type": "array"}, {"type": "string"}, {"type": "integer"}])
toolsets = st.lists(
    st.builds(
        lambda name, parameters, n: ToolSpec(name, parameters, frozenset(list(parameters)[n:])),
        st.sampled_from(["search", "sum", "finish", "print", "create", "none", "a.b"]),
        st.dictionaries(names, anything, max_size=3),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda tool: tool.name,
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


@given(some_tools, st.booleans())
@settings(deadline=None)
def test_models_are_shown_what_their_grammar_takes(tools: list[Any], brief: bool) -> None:
    """The plans of made examples, in full and as short as they can be, are sentences of the grammar."""
    made_of = [
        ToolSpec(f"tool{n}", parameters, frozenset(parameters if required else ()), returns, read_only=read_only)
        for n, (parameters, required, returns, read_only) in enumerate(tools)
    ]
    grammar = write(plan_grammar(made_of, max_tasks=4, brief=brief), "lark")
    for example in made_examples(made_of, brief=brief):
        shown = briefly(example, made_of, joined=True) if brief else example
        assume("\\u" not in shown.plan)  # characters that are written as they are in grammars, else escaped
        assert accepts(grammar, "lark", shown.plan.partition("\nFinish:")[0]), shown.plan


# -- as short as they can be -------------------------------------------------------------------------------------------


OPEN: Any = {"type": "object"}
TEXT: Any = {"type": "string"}
WHOLE: Any = {"type": "integer"}
PAGE = ToolSpec("page", {"page[size]": WHOLE, "q": TEXT}, frozenset({"page[size]", "q"}))
CREATE = ToolSpec("create", {"data": OPEN}, frozenset({"data"}))
SAY = ToolSpec("say", {"text": TEXT}, frozenset({"text"}))
FINISH = ToolSpec("finish", {"text": TEXT}, frozenset({"text"}))
SUM = ToolSpec("sum", {"numbers": {"type": "array"}}, frozenset({"numbers"}))
LATER = ToolSpec("later", {"a": WHOLE, "b": WHOLE}, frozenset({"b"}))


@pytest.mark.parametrize(
    ("plan", "short", "joined"),
    [
        (
            'Thought: both\n1. temperature("Rome")\n2. temperature(city="Oslo")\n3. difference(b=$2, a=$1)\n4. join()',
            'temperature("Rome")\ntemperature("Oslo")\ndifference($1, $2)',
            'temperature(city="Rome")\ntemperature(city="Oslo")\ndifference(a=$1, b=$2)\njoin()',
        ),
        (
            '1. temperature("Rome")\n2. temperature("Oslo") after $1 when $1 > 3',
            'temperature("Rome")\ntemperature("Oslo") after $1 when $1 > 3',
            'temperature(city="Rome")\ntemperature(city="Oslo") after $1 when $1 > 3\njoin()',
        ),
        ("1. join()\nFinish: Hi!", "join()\nFinish: Hi!", "join()\nFinish: Hi!"),
        ("1. join()\n  **Answer:** Hi!", "join()\n  **Answer:** Hi!", "join()\n  **Answer:** Hi!"),
        ("1. later(b=2, a=1)", "later(1, 2)", "later(b=2, a=1)\njoin()"),
        ('1. say({"text": "K2"})', 'say("K2")', 'say(text="K2")\njoin()'),
        (
            '1. create(data={"data": {"x": 1}})',
            'create(data={"data": {"x": 1}})',
            'create(data={"data": {"x": 1}})\njoin()',
        ),
        ("1. sum([1, 2])", "sum([1, 2])", "sum(numbers=[1, 2])\njoin()"),
        ('1. finish(text="x")\n2. say("$1")', 'finish("x")\nsay($1)', 'finish(text="x")\nsay(text=$1)\njoin()'),
        (
            '1. page({"page[size]": 3, "q": "x"})',
            'page(3, "x")',
            'page({"page[size]": 3, "q": "x"})\njoin()',
        ),
        (
            '1. say("""Hello\nFinish: it""")\n2. join()',
            'say("Hello\\nFinish: it")',
            'say(text="Hello\\nFinish: it")\njoin()',
        ),
        ('1. say("x")\n2. join()\nFinish: z', 'say("x")', 'say(text="x")\njoin()'),
    ],
)
def test_short_examples(plan: str, short: str, joined: str) -> None:
    """Numbers, thoughts and names are left out, and what stands behind the calls; every call stays what it was."""
    tools = [*specs(temperature, difference), PAGE, CREATE, SAY, FINISH, SUM, LATER]
    example = PlanExample("?", plan)
    assert briefly(example, tools).plan == short
    assert briefly(example, tools, joined=True).plan == joined
    for form in (short, joined):
        assert briefly(PlanExample("?", form), tools).plan == short


@pytest.mark.parametrize(
    ("plan", "joined"),
    [
        ('3. say("a")\n7. say("$3")', True),
        ('1. page([1, 2][*], "x")', True),
    ],
)
def test_what_would_be_read_otherwise_stays(plan: str, joined: bool) -> None:
    """An example stays as it was written if the short form would be read with other numbers, or not at all."""
    example = PlanExample("?", plan)
    assert briefly(example, [SAY, PAGE], joined=joined) == example


@given(toolsets, st.booleans(), st.data())
@settings(deadline=None)
def test_short_examples_say_the_same(tools: list[ToolSpec], joined: bool, data: st.DataObject) -> None:
    """Whatever the tools and the values, an example's plan is read as the same tasks in either form."""
    lines = []
    for n in range(1, data.draw(st.integers(0, 3)) + 1):
        tool = data.draw(st.sampled_from(tools))
        given = [name for name in tool.parameters if name in tool.required or data.draw(st.booleans())]
        arguments = {name: data.draw(values) for name in given}
        lines.append(str(Task(n, tool.name, arguments)))
    example = PlanExample("?", "\n".join(lines))
    try:
        check_examples([example], tools)
    except ConfigurationError:
        assume(False)
    bare = [[replace(task, thought="") for task in tasks] for tasks in shown_tasks(example, tools)]
    assert shown_tasks(briefly(example, tools, joined=joined), tools) == bare


@pytest.mark.parametrize(
    ("reply", "short"),
    [
        ("Thought: x\nFinish: 5", "5"),
        ("Thought: x\nReplan: y", "Replan: y"),
        ("Finish: Replan: is a word.", "Finish: Replan: is a word."),
        ("Finish: Thought: x", "Finish: Thought: x"),
        ("Finish: Answer: 5", "Finish: Answer: 5"),
    ],
)
def test_short_replies(reply: str, short: str) -> None:
    """A reply is shortened as long as it is read as the same decision."""
    example = PlanExample("?", '1. say("x")', [Outcome({1: "x"}, reply, 'say("y")' if "y" in reply else "")])
    assert briefly(example, [SAY]).outcomes[0].reply == short


def test_a_short_example_with_a_replan() -> None:
    """Its replies are the answer alone, or what another plan must find out; its plans go on counting."""
    assert briefly(REPLAN, specs(temperature, difference)) == PlanExample(
        REPLAN.question,
        'temperature("Rome")\ntemperature("Olso")',
        (
            Outcome(
                REPLAN.outcomes[0].observations, "Replan: look up Oslo.", 'temperature("Oslo")\ndifference($1, $3)'
            ),
            Outcome({3: 4.0, 4: 14.5}, "14.5 degrees."),
        ),
    )


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


@pytest.mark.parametrize("brief", [False, True])
async def test_examples_read_like_conversations(brief: bool) -> None:
    """What an example shows a model is what a run of it would have asked and told it, in either form."""
    given = briefly(REPLAN, specs(temperature, difference)) if brief else REPLAN
    replies = [given.plan, given.outcomes[0].reply, given.outcomes[0].plan, given.outcomes[1].reply]

    def measured(city: str) -> float:
        """The temperature in a city."""
        if city == "Olso":
            msg = "no such city"
            raise ValueError(msg)
        return {"Rome": 18.5, "Oslo": 4.0}[city]

    model = ScriptedModel(replies)
    measuring = StructuredTool.from_function(measured, name="temperature")
    graph = create_llm_compiler(model, [measuring, difference], examples=[REPLAN], brief=brief)
    final = await graph.ainvoke({"messages": [("user", REPLAN.question)]})
    prompt = conversation(model.calls[0][0], final, brief=brief)  # type: ignore[arg-type]
    real = (
        "\n\n".join(message.text for message in prompt[1:-1])
        .replace("ValueError: ", "")
        .replace("a=18.5, b=4.0", "a=$1, b=$3")
    )
    shown = model.calls[0][0].text.partition("# Examples\n")[2].strip()
    for plan in (given.plan, given.outcomes[0].plan):  # which is a message of its own
        shown = shown.replace(f"\n{plan}", f"\n\n{plan}")
    assert shown == real


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


def test_procedures_have_examples_of_their_own() -> None:
    """One for each that no example calls, with all required arguments; what calls the same tools is left out."""
    tools = [*map(tool_spec, as_tools([temperature, difference])), COMPARED, COUNTED]
    written_out = PlanExample("a?", '1. temperature("x")\n2. temperature("y")\n3. difference("$1", "$2")\n4. join()')
    other = PlanExample("b?", '1. temperature("x")\n2. join()')
    called = PlanExample("c?", "1. counted(5)\n2. join()")
    bodies = {"compared": ["temperature", "difference"], "counted": ["temperature"]}
    shown = with_procedures([written_out, other, called], tools, bodies)
    assert [each.question for each in shown] == ["b?", "c?", "For Alpha and Beta: compared?"]
    assert shown[-1].plan == '1. compared(a="Alpha", b="Beta")\n2. join()'
    assert with_procedures([written_out], tools, {}) == (written_out,)
