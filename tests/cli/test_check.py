import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmcompiler_graph.calls.specs import tool_specs
from llmcompiler_graph.cli.commands import app
from llmcompiler_graph.core.checking.checker import check_plan
from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.tools import load_tools
from tests.scripted_server import ScriptedServer

TOOLS = ["--tools", "lookup", "--tools", "calculate"]
GOOD = 'height(of: str):\n  1. lookup("${of}")\n  2. calculate("${1.height_m}")\n'
BAD = 'twice(of: str):\n  1. height("${of}")\n  2. calcluate("$1 * 2")\n\nthrice(of: str):\n  1. twice("${of}")\n'
PLAN = '1. height("K2")\n2. height("Mount Everest")\n3. calculate("$2 - $1")\n'

Write = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files to a folder of their own, by name; give their names."""
    monkeypatch.chdir(tmp_path)

    def written(**files: str) -> list[str]:
        names = [name.replace("_dot_", ".") for name in files]
        for name, text in zip(names, files.values(), strict=True):
            Path(name).write_text(text)
        return names

    return written


def checked(files: list[str], *options: str) -> tuple[int, str]:
    """Check files; give the exit code and what was printed."""
    done = CliRunner().invoke(app, ["check", *files, *TOOLS, *options])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stdout


EXAMPLE = json.dumps([{"question": "?", "plan": PLAN, "outcomes": []}])
WITH_OUTCOME = json.dumps(
    [{"question": "?", "plan": '1. lookup("K2")', "outcomes": [{"observations": {"1": 5}, "reply": "Finish: 5"}]}]
)


def test_nothing_wrong(write: Write) -> None:
    """Files that fit the tools, and each other, give no output and exit code 0."""
    files = write(a_dot_procedures=GOOD, b_dot_plan=PLAN, c_dot_json=EXAMPLE, d_dot_json=WITH_OUTCOME)
    assert checked(files) == (0, "")


def test_everything_wrong_has_its_place(write: Write) -> None:
    """All faults of all files are said, in the files' order; what calls a procedure with faults is not blamed twice."""
    plan = '1. lookup(1, 2)\n2. height("K2")\n3. twice("K2")\nnow 4. f(\n'
    files = write(a_dot_procedures=BAD, b_dot_procedures=GOOD, c_dot_plan=plan, d_dot_json='[{"question": 5}]')
    code, said = checked(files)
    assert code == 1
    assert said.splitlines()[0] == (
        "a.procedures:3:3: procedure 'twice': no tool is named 'calcluate'; did you mean 'calculate'? [unknown-tool]"
    )
    assert [line.partition(" ")[0] for line in said.splitlines()] == [
        "a.procedures:3:3:",
        *[f"c.plan:{n}:1:" for n in (1, 3)],
        "d.json:1:1:",
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a_dot_plan", "", "a.plan:1:1: there is no plan in this file"),
        ("a_dot_plan", "1. height(\n", "a.plan:1:1: the call of 'height' is not closed"),
        ("a_dot_txt", "", "a.txt:1:1: no file of this kind is known"),
        ("a_dot_json", "{", "a.json:1:1: this is no list of examples"),
        ("a_dot_json", "[5]", "a.json:1:1: this is no list of examples"),
        ("a_dot_json", '[{"question": "?", "plan": "1. f(2)"}]', "a.json:1:1: example 1 ('?') cannot be used"),
        ("a_dot_procedures", "1. lookup(1)", "a.procedures:1:1: this line belongs to no procedure"),
        ("a_dot_procedures", GOOD + GOOD, "a.procedures:4:1: there are two procedures 'height'"),
    ],
)
def test_what_is_wrong(write: Write, name: str, text: str, said: str) -> None:
    """Each kind of fault is said at its file, and the exit code is 1."""
    code, printed = checked(write(**{name: text}))
    assert code == 1
    assert printed.startswith(said)


def test_a_file_that_is_not_there(write: Write) -> None:
    """It is said like any fault."""
    assert (
        checked([*write(a_dot_plan=PLAN.replace("height", "lookup")), "b.plan"])[1]
        .splitlines()[-1]
        .startswith("b.plan:1:1: it cannot be read")
    )


def test_forms(write: Write) -> None:
    """JSON has every complaint as an object; SARIF is a log with a rule for each code, and the place of each."""
    files = write(a_dot_procedures=BAD + GOOD)
    (problem,) = json.loads(checked(files, "--format", "json")[1])
    assert problem == {
        "file": "a.procedures",
        "line": 3,
        "column": 3,
        "code": "unknown-tool",
        "message": "procedure 'twice': no tool is named 'calcluate'",
        "hint": "did you mean 'calculate'?",
    }
    log = json.loads(checked(files, "--format", "sarif")[1])
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "unknown-tool"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a.procedures"
    assert place["region"] == {"startLine": 3, "startColumn": 3}
    assert json.loads(checked(write(b_dot_procedures=GOOD), "--format", "sarif")[1])["runs"][0]["results"] == []


def test_wrong_usage(write: Write) -> None:
    """An unknown form is wrong usage: exit code 2."""
    assert checked(write(b_dot_procedures=GOOD), "--format", "xml")[0] == 2


def test_a_saved_plan_is_checked_and_run(write: Write) -> None:
    """`plan --save` writes a plan that `check` and `run` take; one with faults is not written."""
    write()
    text = '1. lookup("K2")\n2. calculate("${1.height_m} * 2")'
    asked = ["plan", "?", "--model", "openai:scripted", *TOOLS, "--save"]
    with ScriptedServer([text, '1. lokup("K2")']) as server:
        assert CliRunner(env=server.environment).invoke(app, [*asked, "k2.plan"]).exit_code == 0
        assert CliRunner(env=server.environment).invoke(app, [*asked, "other.plan"]).exit_code == 1
    assert Path("k2.plan").read_text() == str(check_plan(parse_plan(text), tool_specs(load_tools(TOOLS[1::2])))) + "\n"
    assert not Path("other.plan").exists()
    assert checked(["k2.plan"]) == (0, "")
    done = CliRunner().invoke(app, ["run", "k2.plan", *TOOLS])
    assert (done.exit_code, float(done.stdout) > 17000) == (0, True)
    assert CliRunner().invoke(app, [*asked, "none/other.plan"]).exit_code == 2
