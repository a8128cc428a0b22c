import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

from llmcompiler_graph import parse_plan

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


def _codes() -> set[str]:
    """Every code of a diagnostic: what is written where one is made, and what the corpus of plans expects."""
    makes = {
        "Diagnostic",
        "complain",
        "_complain",
        "_about",
        "_error",
        "_fault",
        "CallSyntaxError",
        "InliningError",
        "drop",
    }
    found: set[str] = set()
    for folder in ("core/language", "core/checking", "graph"):
        for module in (ROOT / "llmcompiler_graph" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= set(re.findall(r"^[a-z]+(?:-[a-z]+)+$", node.value))
                elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in makes:
                    given = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
                    found |= {each for each in given if isinstance(each, str) and re.fullmatch(r"[a-z-]+", each)}
    for expected in (ROOT / "tests/core/language/plans/invalid").glob("*.expected"):
        found |= set(re.findall(r"\[([a-z-]+)\]$", expected.read_text(encoding="utf-8"), re.MULTILINE))
    return found - {"date-time"}


def _exceptions() -> set[str]:
    """Every exception that users can meet: those of the package but of the evaluation, and not its internal ones."""
    folder = ROOT / "llmcompiler_graph"
    modules = [path for path in folder.rglob("*.py") if "evaluation" not in path.parts]
    names = {name for path in modules for name in re.findall(r"^class (\w+Error)\(", path.read_text(), re.MULTILINE)}
    return names - {"AnnotationError", "CallSyntaxError", "InliningError", "LLMCompilerError"}


def test_every_error_has_a_remedy() -> None:
    """Each code of a diagnostic and each exception has a row in "Troubleshooting", and each row is about one."""
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    codes, exceptions = page.split("## Exceptions")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", codes, re.MULTILINE)) == _codes()
    assert set(re.findall(r"^\| `(\w+Error)` \|", exceptions, re.MULTILINE)) == _exceptions()


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_anchors_are_there(document: str) -> None:
    """What a link's `#` names is a heading of the page that it leads to."""
    page = ROOT / document
    links = re.findall(r"\]\(([^)\s#]*\.md|)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    missing = [f"{to}#{anchor}" for to, anchor in links if anchor not in _anchors(page.parent / to if to else page)]
    assert missing == []


def test_the_site_has_every_page() -> None:
    """Every page of `docs/` stands in the site's navigation and in `llms.txt`, once."""
    site = tomllib.loads((ROOT / "docs/zensical.toml").read_text(encoding="utf-8"))
    listed = re.findall(r"[\w/-]+\.md", str(site["project"]["nav"]))
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted(pages)
    told = re.findall(r"\]\(([\w/-]+\.md)\)", (ROOT / "docs/llms.txt").read_text(encoding="utf-8"))
    assert told == listed


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_have_their_outputs(notebook: Path) -> None:
    """Every cell of a notebook has been run, in order, without an error, and some show something."""
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output["output_type"] for cell in cells for output in cell["outputs"]]
    assert outputs
    assert "error" not in outputs


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.stem)
def test_columns_have_heads(page: Path) -> None:
    """Every column of a table on the site has a head, as screen readers need it."""
    heads = re.findall(r"^\|(.*)\|\n\|[-| :]+\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [head for head in heads if not all(cell.strip() for cell in head.split("|"))] == []
