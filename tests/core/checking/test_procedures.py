"""Every text in `procedures/valid` reads as what stands beside it, every one in `invalid` has the complaints there."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from llmcompiler_graph.core.checking.inlining import InliningError
from llmcompiler_graph.core.checking.procedures import check_procedures, digest, pinned
from llmcompiler_graph.core.errors import PlanCheckError, PlanError
from llmcompiler_graph.core.language.plan import Plan, Task, ToolSpec
from llmcompiler_graph.core.language.procedures import Procedure, parse_procedure, parse_procedures
from llmcompiler_graph.core.language.references import ALL, JSON, Reference, Template, Value
from llmcompiler_graph.models.system import signature

TEXTS = Path(__file__).parent / "procedures"
VALID, INVALID = (sorted((TEXTS / kind).glob("*.procedures")) for kind in ("valid", "invalid"))
STRING: JSON = {"type": "string"}
NUMBER: JSON = {"type": "number"}
TOOLS = (
    ToolSpec(
        "lookup",
        {"entity": STRING},
        frozenset({"entity"}),
        {"type": "object", "properties": {"height_m": NUMBER, "name": STRING}},
        read_only=True,
    ),
    ToolSpec(
        "calculate",
        {"expression": {"type": "string", "format": "arithmetic"}},
        frozenset({"expression"}),
        NUMBER,
        read_only=True,
    ),
    ToolSpec("maximum", {"numbers": {"type": "array", "items": NUMBER}}, frozenset({"numbers"}), NUMBER),
    ToolSpec(
        "search",
        {
            "query": STRING,
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            "tags": {"type": "array", "items": STRING, "default": []},
        },
        frozenset({"query"}),
        STRING,
    ),
    ToolSpec("send", {"to": STRING, "text": STRING}, frozenset({"to", "text"}), STRING, destructive=True),
)


def expected(path: Path) -> str:
    """What stands beside a text."""
    return path.with_suffix(".expected").read_text()


def described(procedures: list[Procedure]) -> str:
    """Procedures as they are printed, each with what planners are shown and the tasks of a call."""
    checked = check_procedures(procedures, TOOLS)
    parts = []
    for procedure in procedures:
        known = checked[procedure.name]
        parts += [f"{procedure}\n", f"= {signature(known.spec)}", *map(str, known.tasks), ""]
    return "\n".join(parts)


def test_the_corpus_is_there() -> None:
    """Neither kind of text is thin; each text has an expectation, and each expectation a text."""
    assert len(VALID) >= 12
    assert len(INVALID) >= 30
    assert {path.with_suffix(".expected") for path in (*VALID, *INVALID)} == set(TEXTS.glob("*/*.expected"))


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid(path: Path) -> None:
    """The canonical text is the expected one, fits the tools, and reads back as the same procedures."""
    procedures = parse_procedures(path.read_bytes().decode())
    assert described(procedures) == expected(path)
    assert parse_procedures("\n\n".join(map(str, procedures))) == procedures


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid(path: Path) -> None:
    """The text is refused, with the expected diagnostics, in order."""
    with pytest.raises(PlanError) as refused:
        check_procedures(parse_procedures(path.read_bytes().decode()), TOOLS)
    assert f"{refused.value}\n" == expected(path)


# -- pins -------------------------------------------------------------------------------------------------------------

LOOK = 'height(of: str):\n  1. lookup("${of}")'


def test_pins_survive_words() -> None:
    """What a tool is called for readers, its titles and descriptions, changes no digest."""
    tool = replace(
        TOOLS[0],
        description="another",
        parameters={"entity": {"type": "string", "title": "E", "description": "?"}},
    )
    assert digest(tool) == digest(TOOLS[0])
    assert "height" in check_procedures([pinned(parse_procedure(LOOK), TOOLS)], [tool])


@pytest.mark.parametrize(
    "changed",
    [
        {"parameters": {"entity": {"type": "string", "enum": ["K2"]}}},
        {"parameters": {"entity": STRING, "unit": STRING}},
        {"required": frozenset()},
        {"returns": STRING},
        {"read_only": None},
        {"destructive": True},
    ],
    ids=str,
)
def test_pins_break(changed: dict[str, object]) -> None:
    """A tool whose types or hints have changed is named, and the procedure is refused."""
    procedure = pinned(parse_procedure(LOOK), TOOLS)
    with pytest.raises(PlanCheckError, match="'lookup' is not what it was"):
        check_procedures([procedure], [replace(TOOLS[0], **changed)])  # type: ignore[arg-type]


def test_another_tool_breaks_no_pin() -> None:
    """Only tools that the procedure calls count."""
    procedure = pinned(parse_procedure(LOOK), TOOLS)
    assert "height" in check_procedures([procedure], [TOOLS[0]])


# -- made by hand -----------------------------------------------------------------------------------------------------


def test_made_by_hand() -> None:
    """A procedure that is made of tasks is the one that its text makes."""
    made = Procedure(
        "height", {"of": "str"}, Plan((Task(1, "lookup", positional=(Reference(-1, (), "of"),)),)), "How high."
    )
    assert parse_procedure(str(made)) == made
    assert check_procedures([made], TOOLS)["height"].tasks[0].arguments == {"entity": Reference(-1, (), "of")}


@pytest.mark.parametrize(
    ("procedure", "code"),
    [
        (Procedure("p", {}, Plan(())), "no-task"),
        (Procedure("p", {"a": "strng"}, Plan((Task(1, "lookup", {"entity": "K2"}),))), "parameter-type"),
        (Procedure("p", {}, Plan((Task(1, "lookup", {"entity": Reference(2)}),))), "unknown-reference"),
        (Procedure("p", {}, Plan((Task(1, "lookup", {"entity": Reference(1)}),))), "self-reference"),
        (Procedure("p", {}, Plan((Task(1, "lookup", {"entity": Reference(-1, (), "of")}),))), "unknown-parameter"),
        (Procedure("p q", {}, Plan((Task(1, "lookup", {"entity": "K2"}),))), "procedure-name"),
        (Procedure("p", {"a b": "str"}, Plan((Task(1, "lookup", {"entity": Reference(-1, (), "a b")}),))), "parameter"),
        (Procedure("p", {}, Plan((Task(1, "lookup", {"entity": "K2"}),)), "", {"a": 1}), "parameter-default"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_made_by_hand_wrongly(procedure: Procedure, code: str) -> None:
    """What no text reads as is refused all the same."""
    with pytest.raises(PlanCheckError) as refused:
        check_procedures([procedure], TOOLS)
    assert [problem.code for problem in refused.value.diagnostics] == [code]


def test_too_many_tasks() -> None:
    """Procedures that call each other do not grow without limit: it is said which has too many tasks."""
    names = [f"p{n}" for n in range(12)]
    procedures = [Procedure("p0", {}, Plan((Task(1, "lookup", {"entity": "K2"}), Task(2, "lookup", {"entity": "K1"}))))]
    for below, name in pairwise(names):
        procedures.append(Procedure(name, {}, Plan((Task(1, below), Task(2, below)))))
    with pytest.raises(PlanCheckError, match="more than 1000 tasks") as refused:
        check_procedures(procedures, TOOLS)
    assert {problem.code for problem in refused.value.diagnostics} == {"too-many-tasks"}


# -- inlining ---------------------------------------------------------------------------------------------------------


def inlined(text: str, call: Task, name: str = "p") -> list[str]:
    """The tasks in place of a call of a procedure, as text."""
    checked = check_procedures(parse_procedures(text), TOOLS)[name]
    call = replace(call, reserved=tuple(range(call.index - checked.width + 1, call.index)))
    return [str(task) for task in checked.inlined(call, {tool.name: tool for tool in TOOLS})]


NEGATED = 'p(x: Any):\n  1. calculate("2 * ${x}")'


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("3", '"2 * 3"'),
        ("3 + 4", '"2 * (3 + 4)"'),
        ("-3", '"2 * (-3)"'),
        (Reference(1), '"2 * $1"'),
        (Template((Reference(1), " + 1")), '"2 * ($1 + 1)"'),
    ],
)
def test_an_argument_in_an_expression_is_one_value(value: Value, written: str) -> None:
    """What is put into an arithmetic expression is taken as a whole, however its operators bind."""
    assert inlined(NEGATED, Task(2, "p", {"x": value})) == [f"2. calculate(expression={written})"]


def test_quoted_text_in_an_expression_has_no_parentheses() -> None:
    """Text within quotes of an expression stays text."""
    text = "p(x: str):\n  1. calculate(\"len('${x}') + 1\")"
    assert inlined(text, Task(1, "p", {"x": "a b"})) == ["1. calculate(expression=\"len('a b') + 1\")"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("$5 and ${x}", '"$$5 and $${x}"'),
        ("${x}", '"$${x}"'),
        ('a "b"\n$1', '"a \\"b\\"\\n$$1"'),
    ],
)
def test_arguments_are_data(value: str, written: str) -> None:
    """A reference in an argument's text is text: arguments are put in once."""
    assert inlined('p(x: str):\n  1. search("${x}")', Task(1, "p", {"x": value})) == [f"1. search(query={written})"]


def test_order_of_a_call() -> None:
    """What a call waits for, each of its tasks waits for; no more edges than are needed."""
    text = 'p(x: str):\n  1. lookup("${x}")\n  2. calculate("${1.height_m}")\n  3. lookup("K2")'
    assert inlined(text, Task(5, "p", {"x": "a"}, after=(1, 2))) == [
        '3. lookup(entity="a") after $1, $2',
        "4. calculate(expression=${3.height_m})",
        '5. lookup(entity="K2") after $1, $2',
    ]


def test_elements() -> None:
    """A call that fans out makes its tasks fan out, as far as they take elements; what has its own path keeps it."""
    lines = ['1. lookup("${x.name}")', '2. lookup("${y}")', '3. calculate("${1.height_m} - ${2.height_m}")']
    text = "\n".join(["p(x: dict, y: str):", *lines])
    call = Task(7, "p", {"x": Reference(1, ("items", ALL)), "y": "K2"})
    assert inlined(text, call) == [
        "5. lookup(entity=${1.items[*].name})",
        '6. lookup(entity="K2")',
        '7. calculate(expression="${5[*].height_m} - ${6.height_m}")',
    ]


def test_what_an_argument_lacks_is_said() -> None:
    """A call that fits the types, but not what the tasks take of them, cannot be inlined."""
    checked = check_procedures(parse_procedures('p(x: dict):\n  1. lookup("${x.name}")'), TOOLS)["p"]
    with pytest.raises(InliningError, match=r"takes `\$\{x.name\}`"):
        checked.inlined(Task(1, "p", {"x": {"title": "K2"}}), {})
