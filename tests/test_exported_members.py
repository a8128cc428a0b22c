import ast
import importlib
import inspect
import pkgutil
import re
from types import ModuleType

import pytest

import llmcompiler_graph

RUN_AS_PROGRAMS = {"llmcompiler_graph.models.local.serve"}  # in a process of their own, never imported
MODULES = [
    importlib.import_module(name)
    for _, name, _ in pkgutil.walk_packages(llmcompiler_graph.__path__, "llmcompiler_graph.")
    if name not in RUN_AS_PROGRAMS
]
EXPORTING = [module for module in [llmcompiler_graph, *MODULES] if hasattr(module, "__all__")]


HEADERS = {
    module: set(re.findall(r"`(\w+)`", header[1]))
    for module in MODULES
    if (header := re.search(r"^May know: (.*?)(?:\n\n|\Z)", inspect.getdoc(module) or "", re.DOTALL | re.MULTILINE))
}
"""The modules that say what they may know, and what that is, by name."""


def known(module: ModuleType) -> set[str]:
    """The package's modules that a module imports from; `patterns` is no knowledge, it stands for `re`."""
    names = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llmcompiler_graph"):
            path = (node.module or "").split(".")[1:]
            room = hasattr(importlib.import_module(node.module or ""), "__path__")
            names |= {each.name for each in node.names} if room else {path[-1]}
    return names - {"patterns"}


def brought_together(package: ModuleType) -> set[str]:
    """The classes and functions without a leading underscore in a package's own namespace."""
    return {
        name
        for name, member in vars(package).items()
        if not name.startswith("_") and (inspect.isclass(member) or inspect.isroutine(member))
    }


def test_there_are_modules_to_look_at() -> None:
    """The tests of all modules find modules to look at."""
    assert len(MODULES) > 30
    assert llmcompiler_graph in EXPORTING
    assert len(HEADERS) > 20


@pytest.mark.parametrize("module", EXPORTING, ids=lambda module: module.__name__)
def test_exported_names_are_all_there_once(module: ModuleType) -> None:
    """`__all__` names what exists, each name once; a package's names all that it brings together."""
    assert len(set(module.__all__)) == len(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
    if hasattr(module, "__path__"):
        assert brought_together(module) <= set(module.__all__)


def test_the_public_face_is_small_sorted_and_documented() -> None:
    """The package exports its own names only, in alphabetical order, each with a docstring."""
    names = llmcompiler_graph.__all__
    assert list(names) == sorted(names)
    for name in names:
        member = getattr(llmcompiler_graph, name)
        assert member.__module__.startswith("llmcompiler_graph.")
        assert inspect.getdoc(member)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_module_says_what_it_does(module: ModuleType) -> None:
    """Each module has a docstring."""
    assert inspect.getdoc(module)


@pytest.mark.parametrize("module", HEADERS, ids=lambda module: module.__name__)
def test_modules_know_what_they_say(module: ModuleType) -> None:
    """What a module's header says it may know is what it imports of the package."""
    assert known(module) == HEADERS[module]
