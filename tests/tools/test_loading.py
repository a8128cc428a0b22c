import sys
from pathlib import Path
from types import ModuleType

import pytest

from llmcompiler_graph.tools import ToolLoadError, calculate, load_tools, lookup, wikipedia

MODULE = '''
from langchain_core.tools import tool

@tool
def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()

def whisper(text: str) -> str:
    """Say it more quietly."""
    return text.lower()

async def wait(seconds: float) -> str:
    """Wait."""
    return "done"

def silent(text: str) -> str:
    return ""

class Kit:
    tools = [shout, (whisper,)]

number = 3
mixed = [shout, number]
'''


@pytest.fixture
def voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a module of tools into the current directory; return its name."""
    (tmp_path / "voices_for_test.py").write_text(MODULE)
    (tmp_path / "broken_for_test.py").write_text("import a_package_nobody_has")
    (tmp_path / "crashing_for_test.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    for name in ("voices_for_test", "broken_for_test", "crashing_for_test"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "voices_for_test"


def test_built_in() -> None:
    """The built-in names give the built-in tools, in the order asked for."""
    assert load_tools([]) == []
    assert load_tools(["calculate", "lookup"]) == [calculate, lookup]


@pytest.mark.parametrize(
    ("attribute", "names"),
    [("shout", ["shout"]), ("whisper", ["whisper"]), ("wait", ["wait"]), ("Kit.tools", ["shout", "whisper"])],
)
def test_own(voices: str, attribute: str, names: list[str]) -> None:
    """A tool, a documented function or a list of them is loaded from a module in the current directory."""
    tools = load_tools([f"{voices}:{attribute}"])
    assert [tool.name for tool in tools] == names
    assert all(tool.description for tool in tools)


def test_function_becomes_a_working_tool(voices: str) -> None:
    """A plain function that is loaded becomes a tool that works."""
    assert load_tools([f"{voices}:whisper"])[0].invoke({"text": "HUSH"}) == "hush"


def test_current_directory_is_added_once(voices: str) -> None:
    """Loading tools twice adds the current directory to the path once."""
    load_tools([f"{voices}:shout"])
    load_tools([f"{voices}:shout"])
    assert sys.path.count(str(Path.cwd())) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "lookpu",
            "unknown tool 'lookpu' (did you mean 'lookup'?): built in are lookup, calculate, wikipedia;"
            " your own are 'package.module:attribute'",
        ),
        (
            "",
            "unknown tool '': built in are lookup, calculate, wikipedia; your own are 'package.module:attribute'",
        ),
        ("voices_for_test:roar", "module 'voices_for_test' has no attribute 'roar'"),
        ("voices_for_test:Kit.roar", "module 'voices_for_test' has no attribute 'Kit.roar'"),
        (
            "broken_for_test:shout",
            "importing 'broken_for_test' failed: No module named 'a_package_nobody_has'",
        ),
        ("crashing_for_test:shout", "importing 'crashing_for_test' failed: ZeroDivisionError: division by zero"),
        (
            "voices_for_test:number",
            "'voices_for_test:number' is a int, not a tool: give a LangChain tool, a function with a docstring,"
            " or a list of them",
        ),
        (
            "voices_for_test:mixed",
            "'voices_for_test:mixed' is a int, not a tool: give a LangChain tool, a function with a docstring,"
            " or a list of them",
        ),
        (
            "voices_for_test:Kit",
            "'voices_for_test:Kit' is a type, not a tool: give a LangChain tool, a function with a docstring,"
            " or a list of them",
        ),
    ],
)
@pytest.mark.usefixtures("voices")
def test_errors(name: str, message: str) -> None:
    """Every way to name no tool says what is wrong with the name."""
    with pytest.raises(ToolLoadError) as raised:
        load_tools([name])
    assert str(raised.value) == message


@pytest.mark.parametrize("module", ["module_nobody_has", "voices_for_test.inner", ".relative"])
@pytest.mark.usefixtures("voices")
def test_module_not_found(module: str) -> None:
    """A module that is not there is told apart from one that fails."""
    with pytest.raises(ToolLoadError, match=r"no module|failed"):
        load_tools([f"{module}:tool"])


def test_undocumented_function(voices: str) -> None:
    """A function without a docstring would be a tool nobody can choose."""
    with pytest.raises(ToolLoadError, match=r"'voices_for_test:silent' cannot become a tool: .*docstring"):
        load_tools([f"{voices}:silent"])


def test_same_name_twice(voices: str) -> None:
    """Two tools of one name are refused."""
    with pytest.raises(ToolLoadError, match="two tools are named 'shout': a plan could not tell them apart"):
        load_tools([f"{voices}:shout", f"{voices}:Kit.tools"])


def test_wikipedia(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its package, the Wikipedia tool is the community one, marked read-only."""
    package = ModuleType("wikipedia")
    package.set_lang = lambda language: None  # type: ignore[attr-defined]
    package.search = lambda query, results: []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wikipedia", package)
    [tool] = load_tools(["wikipedia"])
    assert type(tool).__name__ == "WikipediaQueryRun"
    assert tool.name == "wikipedia"
    assert tool.metadata == {"readOnlyHint": True, "openWorldHint": True}
    assert tool.invoke({"query": "Xyzzy"}) == "No good Wikipedia Search Result was found"


def test_wikipedia_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its package, the Wikipedia tool says which extra to install."""
    monkeypatch.setitem(sys.modules, "wikipedia", None)
    message = r"the wikipedia tool needs the 'wikipedia' package: pip install 'llmcompiler-graph\[wikipedia\]'"
    with pytest.raises(ImportError, match=message):
        wikipedia()
    with pytest.raises(ToolLoadError, match=message):
        load_tools(["wikipedia"])
