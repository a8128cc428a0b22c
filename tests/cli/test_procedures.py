import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmcompiler_graph.cli.commands import app

TOOLS = ["--tools", "lookup", "--tools", "calculate"]
TEXT = """\
height_difference(first: str, second: str):
  1. lookup(entity="${first}")
  2. lookup(entity="${second}")
  3. calculate("${1.height_m} - ${2.height_m}")
"""
SUM = """
sum(numbers: list[float], factor: float = 2):
  1. calculate("${numbers[0]} + ${numbers[1]}")
  2. calculate("$1 * ${factor}")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of two procedures."""
    path = tmp_path / "mountains.procedures"
    path.write_text(TEXT + SUM)
    return path


def test_run(file: Path) -> None:
    """The result is on stdout, the tasks on stderr; text stays text."""
    given = ["--arg", "first=Mount Everest", "--arg", "second=K2"]
    done = CliRunner().invoke(app, ["run", str(file), "-p", "height_difference", *given, *TOOLS])
    assert done.exit_code == 0
    assert float(done.stdout) > 200
    assert "done    3. calculate(" in done.stderr


def test_run_with_json(file: Path) -> None:
    """Values that are not text are JSON; `--json` gives the result and the tasks."""
    done = CliRunner().invoke(app, ["run", str(file), "-p", "sum", "-a", "numbers=[1, 2.5]", "--json", *TOOLS])
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert (report["procedure"], report["result"], len(report["tasks"])) == ("sum", 7, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "several procedures: name one with --procedure; there are height_difference, sum"),
        (["-p", "mean"], "no procedure 'mean'; there are height_difference, sum"),
        (["-p", "sum", "-a", "numbers"], "'numbers' is not NAME=VALUE with a parameter of 'sum'"),
        (["-p", "sum", "-a", "n=1"], "there are numbers, factor"),
        (["-p", "sum", "-a", "factor=1", "-a", "factor=2"], "--arg factor is given twice"),
        (["-p", "sum"], "'sum' needs `numbers` (list[float])"),
        (["-p", "sum", "-a", "numbers=K2"], "`numbers` of 'sum'"),
    ],
)
def test_run_wrongly(file: Path, arguments: list[str], said: str) -> None:
    """What is wrong is said on stderr, and the exit code is 1."""
    done = CliRunner().invoke(app, ["run", str(file), *arguments, *TOOLS])
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr


def test_run_what_fails(file: Path) -> None:
    """A task that fails is said, and the exit code is 1."""
    given = ["--arg", "first=Nowhere at all", "--arg", "second=K2"]
    done = CliRunner().invoke(app, ["run", str(file), "-p", "height_difference", *given, *TOOLS])
    assert done.exit_code == 1
    assert "failed  1. lookup(" in done.stderr


def test_run_a_file_with_faults(tmp_path: Path) -> None:
    """Each complaint about a file has its place."""
    path = tmp_path / "faults.procedures"
    path.write_text("height(of):\n  1. lookup(${of})\n")
    done = CliRunner().invoke(app, ["run", str(path), *TOOLS])
    assert done.exit_code == 1
    assert f"{path}: line 1, column 1: the parameter `of` has no type" in done.stderr
