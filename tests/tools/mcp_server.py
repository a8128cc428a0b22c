"""A real MCP server over stdio: what the tests of `llmcompiler_graph.tools.mcp` talk to."""

from mcp.server.fastmcp import FastMCP
from mcp.types import ToolAnnotations
from pydantic import BaseModel

server = FastMCP("mountains", log_level="ERROR")
sent: list[str] = []


class Mountain(BaseModel):
    """What is known of a mountain."""

    name: str
    height_m: float


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def mountain(name: str) -> Mountain:
    """Look a mountain up."""
    return Mountain(name=name, height_m={"Everest": 8849.0, "K2": 8611.0}[name])


@server.tool(annotations=ToolAnnotations(readOnlyHint=True, idempotentHint=True))
def difference(a: float, b: float) -> float:
    """How much larger a is than b."""
    return a - b


@server.tool(annotations=ToolAnnotations(destructiveHint=True, readOnlyHint=False))
def send(text: str) -> str:
    """Send a text, and say what was sent so far."""
    sent.append(text)
    return " | ".join(sent)


@server.tool(structured_output=False)
def ridges(name: str) -> list[str]:
    """Name the ridges of a mountain, in text."""
    return [f"{name}, {ridge}" for ridge in ("north", "south")]


if __name__ == "__main__":
    server.run()
