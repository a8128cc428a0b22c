"""What is loaded when: a start of the command line, or of a program that imports the package, waits for little."""

import ast
import inspect
import subprocess
import sys

import pytest

import llmcompiler_graph

STARTED = "import sys; before = {name.partition('.')[0] for name in sys.modules}"
LOADED = "print(*{name.partition('.')[0] for name in sys.modules} - before - sys.stdlib_module_names)"


def packages_loaded(code: str) -> set[str]:
    """The packages, but those of the standard library, that code loads in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", f"{STARTED}\n{code}\n{LOADED}"], capture_output=True, text=True, check=True, timeout=60
    )
    return set(run.stdout.splitlines()[-1].split()) - {"llmcompiler_graph"}


@pytest.mark.parametrize(
    "code",
    [
        "import llmcompiler_graph",
        "from llmcompiler_graph import Diagnostic, Plan, PlanExample, Task, parse_plan\nparse_plan('1. f()')",
    ],
    ids=["package", "parser"],
)
def test_reading_a_plan_loads_nothing_else(code: str) -> None:
    """The package, and of it what is pure, need the standard library only."""
    assert packages_loaded(code) == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["ask", "--help"], ["plan", "--help"], ["answer"]])
def test_help_does_not_wait_for_langgraph(arguments: list[str]) -> None:
    """The command line reads its arguments, and says what they may be, without the graph."""
    code = f"""
from contextlib import suppress
from llmcompiler_graph.cli.commands import main
sys.argv[1:] = {arguments}
with suppress(SystemExit):
    main()
"""
    assert packages_loaded(code).isdisjoint({"httpx", "langchain_core", "langgraph", "numpy", "openai", "rich"})


def test_a_graph_needs_no_more_than_langgraph() -> None:
    """Making a graph loads no package that LangGraph and LangChain's core do not load themselves."""
    theirs = packages_loaded("import langchain_core.retrievers, langgraph.func, langgraph.graph, langgraph.prebuilt")
    ours = packages_loaded("from llmcompiler_graph import create_llm_compiler\ncreate_llm_compiler('openai:x', [])")
    assert ours <= theirs


def test_type_checkers_are_told_where_names_come_from() -> None:
    """What type checkers see imported, what `__all__` lists and what is imported on demand are the same."""
    told = {
        name.name: (node.module or "").removeprefix("llmcompiler_graph.")
        for node in ast.walk(ast.parse(inspect.getsource(llmcompiler_graph)))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llmcompiler_graph.")
        for name in node.names
    }
    assert told == llmcompiler_graph._DEFINED_IN
    assert sorted(told) == list(llmcompiler_graph.__all__)
    assert set(llmcompiler_graph.__all__) <= set(dir(llmcompiler_graph))


def test_a_name_that_is_not_there() -> None:
    """It is an `AttributeError` that names package and name, as of any module."""
    with pytest.raises(AttributeError, match="module 'llmcompiler_graph' has no attribute 'parse_plans'"):
        llmcompiler_graph.parse_plans  # type: ignore[attr-defined]  # noqa: B018
