"""`docs/middleware.md` says of every middleware that LangChain brings along what becomes of it here."""

import gc
import re
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import middleware as theirs
from langchain.agents.middleware import AgentMiddleware
from langchain_core.tools import tool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.testing import ScriptedModel

PAGE = Path(__file__).parents[2] / "docs" / "middleware.md"
ROWS = dict(re.findall(r"^\| `(\w+)` \| (works|differs|refused) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"seen {what}"


def made() -> dict[str, AgentMiddleware[Any, Any]]:
    """One of each that needs no more than arguments, by the name of its class."""
    model = ScriptedModel([])
    each: list[AgentMiddleware[Any, Any]] = [
        theirs.ContextEditingMiddleware(),
        theirs.FilesystemFileSearchMiddleware(root_path="."),
        theirs.HumanInTheLoopMiddleware({"look": True}),
        theirs.LLMToolEmulator(model=model),
        theirs.LLMToolSelectorMiddleware(model=model),
        theirs.ModelCallLimitMiddleware(run_limit=9),
        theirs.ModelFallbackMiddleware(model),
        theirs.ModelRefusalMiddleware(),
        theirs.ModelRetryMiddleware(),
        theirs.PIIMiddleware("email", apply_to_output=True),
        theirs.ProviderToolSearchMiddleware(),
        theirs.ShellToolMiddleware(),
        theirs.SummarizationMiddleware(model),
        theirs.TodoListMiddleware(),
        theirs.ToolCallLimitMiddleware(run_limit=9),
        theirs.ToolErrorMiddleware(lambda error, request: str(error)),
        theirs.ToolRetryMiddleware(),
    ]
    return {type(one).__name__: one for one in each}


def test_the_table_is_complete() -> None:
    """Every middleware that LangChain exports has a row, and no other."""
    exported = (getattr(theirs, name) for name in theirs.__all__)
    classes = {c.__name__ for c in exported if isinstance(c, type) and issubclass(c, AgentMiddleware)}
    assert set(ROWS) == classes - {"AgentMiddleware"}
    assert set(ROWS) - set(made()) == {"AutoModeMiddleware", "ModelRouterMiddleware"}  # they need a classifier


# LangChain leaves the pipes of its shells to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("name", sorted(made()))
async def test_a_turn_with_it(name: str) -> None:
    """It is refused if the table says so; else a turn goes on around it, and calls the tool once."""
    middleware = made()[name]
    if ROWS[name] == "refused":
        with pytest.raises(ConfigurationError, match=middleware.name):
            create_llm_compiler(ScriptedModel([]), [look], middleware=[middleware])
        return
    model = ScriptedModel(['1. look("a")\n2. join()', "Finish: done"])
    given: dict[str, Any] = {"messages": [("user", "?")]}
    if name in ("LLMToolEmulator", "HumanInTheLoopMiddleware", "LLMToolSelectorMiddleware"):
        # they need an answer of a model or a human: they have tests of their own
        create_llm_compiler(model, [look], middleware=[middleware])
        return
    graph: Any = create_llm_compiler(model, [look], middleware=[middleware])
    final = await graph.ainvoke(given)
    assert final["messages"][-1].text == "done"
    assert [task["value"] for task in final["tasks"]] == ["seen a"]
    gc.collect()
