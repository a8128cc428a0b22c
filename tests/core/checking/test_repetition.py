from dataclasses import replace

import pytest

from llmcompiler_graph.core.checking.checker import check_plan
from llmcompiler_graph.core.checking.generalising import generalised
from llmcompiler_graph.core.checking.inlining import InliningError
from llmcompiler_graph.core.checking.procedures import check_procedures
from llmcompiler_graph.core.errors import PlanCheckError
from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.core.language.plan import Task, ToolSpec
from llmcompiler_graph.core.language.procedures import parse_procedure
from llmcompiler_graph.core.language.references import ALL, JSON, Reference, Value

JOB: JSON = {
    "type": "object",
    "properties": {"state": {"enum": ["running", "done"]}, "rows": {"type": "integer"}, "ok": {"type": "boolean"}},
}
ID: JSON = {"type": "string"}
TOOLS = (
    ToolSpec("status", {"id": ID}, frozenset({"id"}), JOB, read_only=True),
    ToolSpec("ids", {}, frozenset(), {"type": "array", "items": ID}),
    ToolSpec("limit", {}, frozenset(), {"type": "integer"}),
    ToolSpec("any"),
    ToolSpec("pay", destructive=True),
    ToolSpec("save", read_only=False, idempotent=False),
    ToolSpec("set", read_only=False, idempotent=True),
    ToolSpec("send_mail", acts=True),
)


@pytest.mark.parametrize(
    "plan",
    [
        '1. status("7") until ${1.state} == "done" max 3',
        '1. ids()\n2. status("${1[*]}") until ${2.ok} and ${2.rows} > 2 max 3',
        '1. ids()\n2. status(id="${1[*]}") until ${2.ok} max 3\n3. any() when ${2[0].rows} == 1',
        '1. limit()\n2. status("7") until ${2.rows} >= $1 max 3 every 5',
        "1. any() until $1 max 3",
        "1. set() until $1 max 3",
    ],
)
def test_fits(plan: str) -> None:
    """A condition may compare what one call returns, also where the task fans out; tools may read, or be idempotent."""
    check_plan(parse_plan(plan), TOOLS)


EFFECT = (
    "line 1, column 1: {!r} may change something with each call, so it is not called until something holds; poll a "
    "tool that only reads, or say `idempotentHint` in the tool's metadata if more calls do no harm [repeated-effect]"
)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("1. pay() until $1 max 3", EFFECT.format("pay")),
        ("1. save() until $1 max 3", EFFECT.format("save")),
        ("1. send_mail() until $1 max 3", EFFECT.format("send_mail")),
        (
            "1. limit()\n2. any() until $1 > 2 max 2",
            "line 2, column 1: `$1 > 2` never changes: it does not refer to `$2`, what the call returns; compare `$2` "
            "or a field of it, `${2.field}` [repetition]",
        ),
        (
            '1. status("7") until ${1.rows} == "many" max 3',
            'line 1, column 1: `${1.rows} == "many"` compares int with "many", which are never equal [guard-type]',
        ),
        (
            '1. ids()\n2. status("${1[*]}") until ${2[0].ok} max 3',
            "line 2, column 1: ${2[0].ok}: the observation of 'status' has no [0]; it is {state?: 'running' | 'done', "
            "rows?: int, ok?: bool} [reference-path]",
        ),
    ],
)
def test_misfits(plan: str, said: str) -> None:
    """What never changes, never holds, or changes something with each call is found before anything runs."""
    with pytest.raises(PlanCheckError) as refused:
        check_plan(parse_plan(plan), TOOLS)
    assert str(refused.value.diagnostics[-1]) == said


PROCEDURE = 'p({}):\n  1. limit()\n  2. status("7") until {} max 3 every 5'
BOTH = PROCEDURE.format("least: int, ok: bool", "{}")


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ({"least": 5, "ok": True}, "${4.rows} > 5"),
        ({"least": Reference(1), "ok": True}, "${4.rows} > $1"),
        ({"least": Reference(1, ("n",)), "ok": Reference(2)}, "${4.rows} > ${1.n} and $2"),
    ],
)
def test_in_procedures(arguments: dict[str, Value], written: str) -> None:
    """Arguments stand in place of parameters in a repetition, and the task goes on to refer to itself."""
    text = BOTH.format("${2.rows} > ${least} and ${ok}")
    checked = check_procedures([parse_procedure(text)], TOOLS)["p"]
    made = checked.inlined(Task(4, "p", arguments, reserved=(3,)), {})
    assert str(made[-1]) == f'4. status(id="7") until {written} max 3 every 5'


@pytest.mark.parametrize(
    ("condition", "call", "code"),
    [
        ("${2.ok} and ${ok} and ${2.rows} > ${least}", "p(5, true) until $4 max 2", "repeated-procedure"),
        ("${2.ok} and ${ok} and ${2.rows} > ${least}", "p(5, false)", "argument-in-guard"),
        ("${2.ok} and ${ok} or $1 == ${least}", "p(5, false)", "argument-in-guard"),
    ],
)
def test_calls_that_cannot_be_inlined(condition: str, call: str, code: str) -> None:
    """A procedure is not repeated, and what it repeats is not decided by its arguments."""
    checked = check_procedures([parse_procedure(BOTH.format(condition))], TOOLS)["p"]
    (task,) = parse_plan(f"4. {call}")
    least, ok = task.positional
    with pytest.raises(InliningError) as refused:
        checked.inlined(replace(task, arguments={"least": least, "ok": ok}, positional=(), reserved=(3,)), {})
    assert refused.value.code == code


def test_a_procedure_for_every_element() -> None:
    """A call is repeated for each element by what that element's call returns, and by nothing else of the element."""
    text = 'p(id: str):\n  1. status("${id}") until ${1.ok} max 3'
    checked = check_procedures([parse_procedure(text)], TOOLS)["p"]
    call = Task(4, "p", {"id": Reference(1, (ALL,))})
    (made,) = checked.inlined(call, {})
    assert str(made) == "4. status(id=${1[*]}) until ${4.ok} max 3"
    checked = check_procedures(
        [parse_procedure(text.replace("${1.ok}", "$1 == ${id}"))], (ToolSpec("status", {"id": ID}),)
    )["p"]
    with pytest.raises(InliningError) as refused:
        checked.inlined(call, {})
    assert refused.value.code == "fan-out-guard"


def test_a_run_that_went_well() -> None:
    """Constants in a repetition become parameters."""
    made = generalised(list(parse_plan('1. status(id="7") until ${1.rows} > 2 max 3')), "p", {"least": 2}, TOOLS)
    assert str(made).endswith('1. status(id="7") until ${1.rows} > ${least} max 3')
