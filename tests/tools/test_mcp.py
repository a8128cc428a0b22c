import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.sessions import StdioConnection, create_session

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from llmcompiler_graph.tool_specs import tool_spec
from llmcompiler_graph.tools import load_mcp_tools

CONNECTION = StdioConnection(
    transport="stdio", command=sys.executable, args=[str(Path(__file__).with_name("mcp_server.py"))]
)


@pytest.fixture
async def tools() -> AsyncIterator[list[BaseTool]]:
    """The tools of a server that lives as long as the test."""
    async with create_session(CONNECTION) as session:
        await session.initialize()
        yield await load_mcp_tools(session)


async def test_what_an_mcp_server_says_of_its_tools(tools: list[BaseTool]) -> None:
    """Hints and return types reach the compiler."""
    mountain, difference, send = map(tool_spec, tools)
    assert (mountain.read_only, difference.idempotent, send.destructive) == (True, True, True)
    assert mountain.returns is not None
    assert [spec.has_effects for spec in (mountain, difference, send)] == [False, False, True]


async def test_a_plan_over_an_mcp_server(tools: list[BaseTool]) -> None:
    """Structured content keeps its type, errors are errors, effects keep their order, equal calls are made once."""
    model = ScriptedModel(
        [
            """
            1. mountain("Everest")
            2. mountain("K2")
            3. difference(${1.height_m}, ${2.height_m})
            4. send("first")
            5. send("second")
            6. mountain("Everest")
            7. mountain("Olympus")
            8. join()""",
            "Finish: 238 m",
        ]
    )
    final = await create_llm_compiler(model, tools).ainvoke({"messages": [("user", "How much taller?")]})
    values = {task["index"]: task["value"] for task in final["tasks"]}
    assert values[1] == values[6] == {"name": "Everest", "height_m": 8849.0}
    assert (values[3], values[4], values[5]) == ({"result": 238.0}, {"result": "first"}, {"result": "first | second"})
    assert final["tasks"][6]["status"] == "failed"
    assert "Olympus" in final["tasks"][6]["error"]


async def test_a_wrong_reference_is_found_before_the_server_is_asked(tools: list[BaseTool]) -> None:
    """An `outputSchema` without a field makes a reference to it a diagnostic."""
    model = ScriptedModel(['1. mountain("K2")\n2. difference(${1.height}, 1)\n3. join()', "Finish: ?"])
    final = await create_llm_compiler(model, tools, max_repairs=0).ainvoke({"messages": [("user", "?")]})
    assert [each["index"] for each in final["rounds"][0]["diagnostics"]] == [2]
    assert "height_m" in final["rounds"][0]["diagnostics"][0]["hint"]


async def test_tools_of_a_connection() -> None:
    """Without a session, each call makes its own; what the tools return is known all the same."""
    loaded = await load_mcp_tools(connection=CONNECTION)
    assert all("outputSchema" in (tool.metadata or {}) for tool in loaded)


async def test_neither_session_nor_connection() -> None:
    """There is no server to ask."""
    with pytest.raises(ValueError, match="session or a connection"):
        await load_mcp_tools()


async def test_without_the_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what to install."""
    monkeypatch.setitem(sys.modules, "langchain_mcp_adapters", None)
    with pytest.raises(ImportError, match=r"pip install 'llmcompiler-graph\[mcp\]'"):
        await load_mcp_tools(connection=CONNECTION)
