import configparser
import importlib.metadata
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "llmcompiler_graph"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the source distribution."""
    directory = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.Path:
    """The root of the wheel's content."""
    (path,) = built.glob("*.whl")
    return zipfile.Path(path)


def names(wheel: zipfile.Path) -> set[str]:
    """The files in the wheel."""
    return {name for name in wheel.root.namelist() if not name.endswith("/")}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.Path) -> None:
    """Every module, the type marker and the facts are in it; tests, notebooks and caches are not."""
    files = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    source = {name for name in files if "__pycache__" not in name}
    assert {"llmcompiler_graph/py.typed", "llmcompiler_graph/tools/facts.json"} < source
    described = {name for name in names(wheel) if ".dist-info/" in name}
    assert names(wheel) - described == source
    assert {name.partition("/")[2] for name in described} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }


def test_the_metadata_is_the_project_s(wheel: zipfile.Path) -> None:
    """Name, version, Python, licence, dependencies and extras are those of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (path,) = (name for name in names(wheel) if name.endswith("/METADATA"))
    metadata = HeaderParser().parsestr((wheel / path).read_text())
    assert metadata["Name"] == project["name"]
    assert metadata["Version"] == project["version"]
    assert metadata["Requires-Python"] == project["requires-python"]
    assert metadata["License-Expression"] == "MIT"
    required = metadata.get_all("Requires-Dist") or []
    assert len([line for line in required if "extra ==" not in line]) == len(project["dependencies"])
    assert set(metadata.get_all("Provides-Extra") or []) == set(project["optional-dependencies"])


def test_the_wheel_works_without_the_source(built: Path, wheel: zipfile.Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, it answers a question with its own tools, and its command runs."""
    wheel.root.extractall(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-P", *arguments]
        done = subprocess.run(command, cwd=built, env=environment, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    where = run("-c", "import llmcompiler_graph; print(llmcompiler_graph.__file__)")
    assert Path(where).is_relative_to(tmp_path)
    assert run(str(ROOT / ".ci" / "smoke.py")) == "the installed wheel answers: 237.86 m"
    (path,) = tmp_path.glob("*.dist-info/entry_points.txt")
    entry_points = configparser.ConfigParser()
    entry_points.read(path)
    entry_point = importlib.metadata.EntryPoint(
        "llmcompiler", entry_points["console_scripts"]["llmcompiler"], "console_scripts"
    )
    shown = run("-c", f"from {entry_point.module} import {entry_point.attr} as main; main()", "graph")
    assert "task_fetching_unit" in shown


def test_the_source_distribution_builds_and_tests_itself(built: Path) -> None:
    """The source distribution has the tests, the notebooks, the locked dependencies and the configuration."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        members = {name.partition("/")[2] for name in archive.getnames()}
    assert members > {
        "pyproject.toml",
        "langgraph.json",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        ".ci/requirements.txt",
        ".ci/requirements-dev.txt",
        "tests/conftest.py",
        "notebooks/01_quickstart.ipynb",
        "llmcompiler_graph/py.typed",
    }
