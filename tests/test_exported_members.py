import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import llmcompiler_graph

RUN_AS_PROGRAMS = {"llmcompiler_graph.local.serve"}  # in a process of their own, never imported
MODULES = [
    importlib.import_module(name)
    for _, name, _ in pkgutil.walk_packages(llmcompiler_graph.__path__, "llmcompiler_graph.")
    if name not in RUN_AS_PROGRAMS
]
EXPORTING = [module for module in [llmcompiler_graph, *MODULES] if hasattr(module, "__all__")]


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
