import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llmcompiler_graph import parse_plan
from tests.scripted_server import ScriptedServer

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "tests/benchmarks/README.md",
    *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md")),
]


def blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of a document in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    """The README's example prints its answer, and asks for both cities at the same time."""
    (example,) = blocks("README.md", "python")
    plan = '1. temperature("Rome")\n2. temperature("Oslo")\n3. difference("$1", "$2")\n4. join()'
    with ScriptedServer([plan, "Finish: It is 14.5 °C warmer."]) as server:
        environment = {**os.environ, **server.environment}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", example],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stderr == ""
    answer, *lines = done.stdout.splitlines()
    assert answer == "It is 14.5 °C warmer."
    rows = [line.split() for line in lines]
    assert [(row[1], row[4]) for row in rows] == [("temperature", "done")] * 2 + [("difference", "done")]
    (first, second) = [(float(row[2]), float(row[3])) for row in rows[:2]]
    assert max(first[0], second[0]) < min(first[1], second[1])


def test_the_plan_of_the_readme_is_one() -> None:
    """The README's plan is read without complaint: two independent tasks and one that needs both."""
    (text,) = blocks("README.md", "text")
    plan = parse_plan(text)
    assert [task.dependencies for task in plan] == [(), (), (1, 2)]


def test_the_tour_shows_the_tree() -> None:
    """What `CONTRIBUTING.md` shows of the package is there; where it lists a folder's modules, it lists all of them."""
    (tour,) = (block for block in blocks("CONTRIBUTING.md", "text") if block.startswith("llmcompiler_graph/\n"))
    above: list[str] = []
    shown: list[Path] = []
    for line in tour.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        above[depth:] = [line.split()[0]]
        shown.append(ROOT.joinpath(*above))
    assert [str(path.relative_to(ROOT)) for path in shown if not path.exists()] == []
    listed = {path.parent for path in shown if path.suffix == ".py"}
    there = {path for folder in listed for path in folder.glob("*.py") if path.name[:2] != "__"}
    assert sorted(str(path.relative_to(ROOT)) for path in there - set(shown)) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_points_to_is_there(document: str) -> None:
    """Relative links, the files that its commands name, and the benchmarks, exist."""
    text = (ROOT / document).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    named = re.findall(r"(?<=[\s`])\.ci/[\w.-]*\w(?![\w*])", text)
    named += re.findall(r"python (tests/benchmarks/\w+\.py)", text)
    named += [f"{name.replace('.', '/')}.py" for name in re.findall(r"python -m (tests\.benchmarks\.\w+)", text)]
    folder = (ROOT / document).parent
    assert all(path.exists() for path in [*(folder / link for link in links), *(ROOT / name for name in named)])


def test_the_commands_of_the_readme_are_single_lines() -> None:
    """Each shell block is one command line, to be copied as it is."""
    commands = blocks("README.md", "sh")
    assert len(commands) == 2
    assert all(command.count("\n") == 1 for command in commands)


def test_the_tests_that_a_page_names_are_there() -> None:
    """Each row of "What happens when" names a test that exists."""
    page = (ROOT / "docs/what-happens-when.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) >= 20
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]
    assert missing == []
