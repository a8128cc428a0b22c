import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.sessions import StdioConnection, create_session
from langgraph.prebuilt.tool_node import ToolCallRequest

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.testing import ScriptedModel
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
    """An MCP server's hints and output schemas reach the compiler."""
    mountain, difference, send, ridges = map(tool_spec, tools)
    assert (mountain.read_only, difference.idempotent, send.destructive) == (True, True, True)
    assert mountain.returns is not None
    assert ridges.returns is None
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
    assert (values[3], values[4], values[5]) == (238.0, "first", "first | second")
    assert final["tasks"][6]["status"] == "failed"
    assert "Olympus" in final["tasks"][6]["error"]


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_tool_without_an_output_schema(tools: list[BaseTool], wrapped: bool) -> None:
    """What it gives as text is text, also in later calls and if a wrapper changes it; no pair with an artifact."""

    async def louder(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Awaitable[Any]]) -> Any:
        message = await execute(request)
        content = [{**block, "text": block["text"].upper()} for block in message.content]
        return message.model_copy(update={"content": content}) if request.tool_call["name"] == "ridges" else message

    model = ScriptedModel(['1. ridges("K2")\n2. send($1)\n3. join()', "Finish: sent"])
    graph = create_llm_compiler(model, tools, awrap_tool_call=louder if wrapped else None)
    final = await graph.ainvoke({"messages": [("user", "?")]})
    text = "K2, NORTH\nK2, SOUTH" if wrapped else "K2, north\nK2, south"
    assert [task["value"] for task in final["tasks"]] == [text, text]


async def test_a_wrong_reference_is_found_before_the_server_is_asked(tools: list[BaseTool]) -> None:
    """An `outputSchema` without a field makes a reference to it a diagnostic."""
    model = ScriptedModel(['1. mountain("K2")\n2. difference(${1.height}, 1)\n3. join()', "Finish: ?"])
    final = await create_llm_compiler(model, tools, max_repairs=0).ainvoke({"messages": [("user", "?")]})
    assert [each["index"] for each in final["rounds"][0]["diagnostics"]] == [2]
    assert "height_m" in final["rounds"][0]["diagnostics"][0]["hint"]


async def test_tools_of_a_connection() -> None:
    """Without a session, each call makes its own; what the tools return is known all the same."""
    loaded = await load_mcp_tools(connection=CONNECTION)
    assert all("outputSchema" in (tool.metadata or {}) for tool in loaded[:3])


async def test_neither_session_nor_connection() -> None:
    """Without a session or a connection there is no server to ask, which is an error."""
    with pytest.raises(ValueError, match="session or a connection"):
        await load_mcp_tools()


async def test_without_the_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the MCP adapters, the error says what to install."""
    monkeypatch.setitem(sys.modules, "langchain_mcp_adapters", None)
    with pytest.raises(ImportError, match=r"pip install 'llmcompiler-graph\[mcp\]'"):
        await load_mcp_tools(connection=CONNECTION)
