import pytest

from llmcompiler_graph.core.checking.checker import check_plan
from llmcompiler_graph.core.checking.inlining import InliningError
from llmcompiler_graph.core.checking.procedures import check_procedures
from llmcompiler_graph.core.errors import PlanCheckError
from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.core.language.plan import Task, ToolSpec
from llmcompiler_graph.core.language.procedures import parse_procedure
from llmcompiler_graph.core.language.references import ALL, JSON, Reference

ORDER: JSON = {
    "type": "object",
    "properties": {
        "total": {"type": "number"},
        "state": {"enum": ["open", "closed"]},
        "paid": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
}
TOOLS = (ToolSpec("order", {}, frozenset(), ORDER), ToolSpec("act", {"x": {}}, frozenset()), ToolSpec("any"))


@pytest.mark.parametrize(
    "guard",
    [
        "${1.total} > 100",
        '${1.state} == "open" and ${1.paid}',
        '"new" in ${1.tags}',
        '${1.state} in ["open", "paid"]',
        "${1.note} != null",
        '${1.note} < "m"',
        "$2 > 1 or ${2.x} and $2",
        "${1.total} == $2",
    ],
)
def test_fits(guard: str) -> None:
    """What may hold is not complained about; of tools that do not say what they return, everything may."""
    check_plan(parse_plan(f"1. order()\n2. any()\n3. act() when {guard}"), TOOLS)


@pytest.mark.parametrize(
    ("guard", "said"),
    [
        ('${1.total} > "100"', 'compares float with "100": only two numbers, or two texts, have an order [guard-type]'),
        ("${1.paid} >= 1", "compares bool with 1: only two numbers, or two texts, have an order [guard-type]"),
        ('${1.total} == "many"', 'compares float with "many", which are never equal [guard-type]'),
        ("${1.state} != true", "compares 'open' | 'closed' with true, which are never equal [guard-type]"),
        ("${1.total}", "`${1.total}` is to be true or false, but it is float [guard-type]"),
        ("not ($2 and ${1.state})", "`${1.state}` is to be true or false, but it is 'open' | 'closed' [guard-type]"),
        ("1 in ${1.total}", "`1 in ${1.total}` looks for 1 in float [guard-type]"),
        ("${1.totl} > 1", "has no totl; it has total, state, paid, tags, note [reference-path]"),
    ],
)
def test_misfits(guard: str, said: str) -> None:
    """What can never hold, or never be told, is found before anything runs."""
    with pytest.raises(PlanCheckError) as refused:
        check_plan(parse_plan(f"1. order()\n2. any()\n3. act() when {guard}"), TOOLS)
    (problem,) = refused.value.diagnostics
    assert said in str(problem)
    assert (problem.line, problem.index) == (3, 3)


PROCEDURE = (
    'p(least: float, ok: bool, what: Any):\n  1. order()\n  2. act("${what}") when ${1.total} > ${least} and ${ok}'
)


def test_in_procedures() -> None:
    """Parameters stand in guards, with their types; in a call, arguments stand in their place."""
    checked = check_procedures([parse_procedure(PROCEDURE)], TOOLS)["p"]
    call = Task(4, "p", {"least": 5, "ok": Reference(1, ("paid",)), "what": "x"}, reserved=(3,))
    assert str(checked.inlined(call, {})[-1]) == '4. act(x="x") when ${3.total} > 5 and ${1.paid}'
    with pytest.raises(PlanCheckError, match="is to be true or false, but it is str"):
        check_procedures([parse_procedure(PROCEDURE.replace("ok: bool", "ok: str"))], TOOLS)
    with pytest.raises(PlanCheckError, match="has no lest"):
        check_procedures([parse_procedure(PROCEDURE.replace("${least}", "${1.lest}"))], TOOLS)


def test_elements_have_no_guards() -> None:
    """Whether a task runs cannot differ from element to element."""
    checked = check_procedures([parse_procedure(PROCEDURE)], TOOLS)["p"]
    call = Task(4, "p", {"least": Reference(1, (ALL,)), "ok": True, "what": Reference(1, (ALL,))}, reserved=(3,))
    with pytest.raises(InliningError) as refused:
        checked.inlined(call, {})
    assert refused.value.code == "fan-out-guard"


@pytest.mark.parametrize(
    ("guard", "least", "ok", "written"),
    [
        ("${least} > 3", 5, True, "3. any()"),
        ("${least} > 3", 1, True, "3. any() when False"),
        ("${ok} and $1 == ${least}", 5, True, "3. any() when $2 == 5"),
        ("${ok} and $1 == ${least}", 5, False, "3. any() when False"),
        ("not ${ok} or $1 == ${least}", 5, True, "3. any() when $2 == 5"),
        ("not ${ok} or $1 == ${least}", 5, False, "3. any()"),
        ("(${ok} or $1) and not (${least} == 5 and ${1.x})", 5, False, "3. any() when $2 and not ${2.x}"),
    ],
)
def test_what_arguments_decide(guard: str, least: float, ok: bool, written: str) -> None:
    """What constants decide is decided when a call is inlined; the rest reads back as it is."""
    used = {name: value for name, value in (("least", least), ("ok", ok)) if f"${{{name}}}" in guard}
    head = ", ".join(f"{name}: {'bool' if name == 'ok' else 'float'}" for name in used)
    checked = check_procedures([parse_procedure(f"p({head}):\n  1. any()\n  2. any() when {guard}")], TOOLS)["p"]
    made = checked.inlined(Task(3, "p", dict(used), reserved=(2,)), {})
    assert str(made[-1]) == written
    assert parse_plan(f"1. any()\n2. any()\n{made[-1]}").tasks[-1].when == made[-1].when
