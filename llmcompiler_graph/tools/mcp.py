"""The tools of an MCP server, with what they say they return: then plans over them are checked too.

`langchain_mcp_adapters` keeps a tool's annotations (`readOnlyHint`, …) in its metadata and drops its `outputSchema`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool

if TYPE_CHECKING:
    from langchain_mcp_adapters.sessions import Connection
    from mcp import ClientSession


async def load_mcp_tools(
    session: ClientSession | None = None, *, connection: Connection | None = None, **options: Any
) -> list[BaseTool]:
    """Load tools as `langchain_mcp_adapters.tools.load_mcp_tools` does, each with its `outputSchema` in its metadata.

    Args:
        session: A session of an MCP server, for as long as the tools are used.
        connection: How to reach the server, if there is no session: each call then makes one of its own.
        **options: Passed on to `langchain_mcp_adapters`.

    Raises:
        ImportError: The `langchain-mcp-adapters` package is not installed.
        ValueError: Neither a session nor a connection is given.
    """
    try:
        from langchain_mcp_adapters import sessions, tools
    except ImportError as error:
        message = "MCP tools need the 'langchain-mcp-adapters' package: pip install 'llmcompiler-graph[mcp]'"
        raise ImportError(message, name="langchain_mcp_adapters") from error
    loaded = await tools.load_mcp_tools(session, connection=connection, **options)
    if session is not None:
        schemas = await _output_schemas(session)
    else:
        assert connection is not None  # else the adapters refused
        async with sessions.create_session(connection) as own:
            await own.initialize()
            schemas = await _output_schemas(own)
    for tool, schema in zip(loaded, schemas, strict=True):
        if schema is not None:
            tool.metadata = {**(tool.metadata or {}), "outputSchema": schema}
    return loaded


async def _output_schemas(session: ClientSession) -> list[dict[str, Any] | None]:
    """What each tool of a server returns, in the server's order."""
    from mcp.types import PaginatedRequestParams

    schemas: list[dict[str, Any] | None] = []
    cursor: str | None = None
    while True:
        page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        schemas += [tool.outputSchema for tool in page.tools]
        if not (cursor := page.nextCursor):
            return schemas
