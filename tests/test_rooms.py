"""What one folder uses of another is what that folder's `__init__` says others may use, and nothing else."""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

import llmcompiler_graph

ROOT, EVALUATION = "llmcompiler_graph", "llmcompiler_graph.evaluation"
RUN_AS_PROGRAMS = {"llmcompiler_graph.models.local.serve"}  # in a process of their own, never imported
PUBLIC = {ROOT, *(f"{ROOT}.{name}" for name in ("state", "testing", "tools"))}
"""What the evaluation may use as any user does."""


class Use(NamedTuple):
    """One name that one module imports from another folder."""

    by: str
    """The module that imports it."""
    folder: str
    """The folder it belongs to."""
    module: str
    """The module it is imported from."""
    name: str
    """The name; empty if that is the module itself."""


def folder_of(module: str) -> str:
    """The innermost package that a module is, or stands in."""
    return module if hasattr(importlib.import_module(module), "__path__") else module.rpartition(".")[0]


def uses() -> Iterator[Use]:
    """Every name that is imported across folders, from the package's own modules."""
    for _, by, _ in pkgutil.walk_packages(llmcompiler_graph.__path__, f"{ROOT}."):
        if by in RUN_AS_PROGRAMS:
            continue
        for node in ast.walk(ast.parse(inspect.getsource(importlib.import_module(by)))):
            if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith(f"{ROOT}."):
                folder = folder_of(node.module)
                if folder != ROOT and not f"{by}.".startswith(f"{folder}."):
                    yield from (Use(by, folder, node.module, alias.name) for alias in node.names)


USES = list(uses())


def said(text: str) -> set[str]:
    """The names in a text."""
    return set(re.findall(r"`\.?(\w[\w.]*)`", text))


def is_said(use: Use, names: set[str]) -> bool:
    """Whether the module or the name is among these, by the end of its path."""
    paths = f".{use.module}", f".{use.module}.{use.name}"
    return any(path.endswith(f".{name}") for path in paths for name in names)


@pytest.mark.parametrize("folder", sorted({use.folder for use in USES}))
def test_others_use_what_a_folder_says(folder: str) -> None:
    """All that is imported from a folder is in its `__all__`, or in what its docstring says after `Others use`."""
    package = importlib.import_module(folder)
    words = " ".join((inspect.getdoc(package) or "").partition("Others use")[2].split())
    names, whole = said(words), words.startswith("what the modules list in `__all__`")
    listed = set(getattr(package, "__all__", ()))
    reached_into = [
        f"{use.by} uses {use.name} of {use.module}"
        for use in USES
        if use.folder == folder
        and not (use.by.startswith(EVALUATION) and folder.startswith(EVALUATION))  # its layers are a contract
        and not (use.module == folder and use.name in listed)
        and not (whole and use.name in importlib.import_module(use.module).__all__)
        and not is_said(use, names)
    ]
    assert not reached_into, f"say in {folder}/__init__.py that others use it, or use what it lists: {reached_into}"


def test_the_evaluation_uses_what_it_says() -> None:
    """Beside what any user may import, it imports what its docstring lists, and all of that."""
    names = said((inspect.getdoc(importlib.import_module(EVALUATION)) or "").partition("\n- ")[2])
    inside = [
        use
        for use in USES
        if use.by.startswith(EVALUATION) and not use.folder.startswith(EVALUATION) and use.module not in PUBLIC
    ]
    assert [f"{use.by} uses {use.name} of {use.module}" for use in inside if not is_said(use, names)] == []
    rooms = {use.folder.split(".")[1] for use in inside}
    assert {name for name in names - rooms if not any(is_said(use, {name}) for use in inside)} == {"command"}
