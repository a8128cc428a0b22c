"""What a served graph shows of itself to forms, MCP clients and other agents: `messages` and the user's own keys."""

from typing import Any

import httpx
import pytest

from tests.chat_ui.conftest import GRAPHS, Served

OWN = {"tasks", "rounds", "timeline", "plan_text"}
"""What the graph gives of its own, and documents."""


def assistant(served: Served, graph: str) -> dict[str, Any]:
    """The assistant that a server makes of a graph."""
    (found,) = httpx.post(f"{served.url}/assistants/search", json={"graph_id": graph}).json()
    return dict(found)


def call(served: Served, path: str, method: str, params: Any) -> Any:
    """Call by JSON-RPC."""
    body = {"jsonrpc": "2.0", "id": "1", "method": method, "params": params}
    headers = {"accept": "application/json, text/event-stream"}
    answer = httpx.post(f"{served.url}{path}", json=body, headers=headers, timeout=30).json()
    assert "error" not in answer, answer
    return answer["result"]


def test_graphs_without_names_go_by_their_ids(served: Served) -> None:
    """Several graphs of one server do not share a name: each is an assistant, an MCP tool and an agent of its own."""
    assert {assistant(served, graph)["name"] for graph in GRAPHS} == set(GRAPHS)
    assert {tool["name"] for tool in call(served, "/mcp", "tools/list", {})["tools"]} == set(GRAPHS)
    for graph in GRAPHS:
        key = assistant(served, graph)["assistant_id"]
        card = httpx.get(f"{served.url}/.well-known/agent-card.json", params={"assistant_id": key}).json()
        assert card["name"] == graph


@pytest.mark.parametrize(("graph", "keys"), [("calls", {"messages"}), ("typed", {"messages", "city"})])
def test_what_is_asked_for(served: Served, graph: str, keys: set[str]) -> None:
    """Forms, MCP tools and A2A cards ask for `messages` and the user's keys that are input."""
    key = assistant(served, graph)["assistant_id"]
    schemas = httpx.get(f"{served.url}/assistants/{key}/schemas").json()
    assert set(schemas["input_schema"]["properties"]) == keys
    tools = {tool["name"]: tool for tool in call(served, "/mcp", "tools/list", {})["tools"]}
    assert set(tools[graph]["inputSchema"]["properties"]) == keys
    card = httpx.get(f"{served.url}/.well-known/agent-card.json", params={"assistant_id": key}).json()
    (skill,) = card["skills"]
    assert set(skill["metadata"]["inputSchema"]["properties"]) == keys


@pytest.mark.parametrize(
    ("graph", "keys"), [("calls", {"messages"} | OWN), ("typed", {"messages", "city", "notes"} | OWN)]
)
def test_what_is_given(served: Served, graph: str, keys: set[str]) -> None:
    """A run gives `messages`, the user's keys that are output, and the documented ones of the graph."""
    key = assistant(served, graph)["assistant_id"]
    schemas = httpx.get(f"{served.url}/assistants/{key}/schemas").json()
    assert set(schemas["output_schema"]["properties"]) == keys


def test_an_mcp_client_gets_the_answer(served: Served) -> None:
    """Called as an MCP tool, the graph answers."""
    served.provider.replies = ['1. lookup("Elbrus")\n2. join()', "Finish: 5,642 m."]
    served.provider.requests = []
    result = call(served, "/mcp", "tools/call", {"name": "calls", "arguments": {"messages": "How high is Elbrus?"}})
    assert not result.get("isError")
    assert "5,642 m." in str(result["content"])


def test_another_agent_gets_the_answer(served: Served) -> None:
    """Asked through A2A, the graph answers."""
    served.provider.replies = ['1. lookup("Elbrus")\n2. join()', "Finish: 5,642 m."]
    served.provider.requests = []
    key = assistant(served, "calls")["assistant_id"]
    message = {"role": "user", "parts": [{"kind": "text", "text": "How high is Elbrus?"}], "messageId": "1"}
    task = call(served, f"/a2a/{key}", "message/send", {"message": message})
    assert task["status"]["state"] == "completed"
    assert "5,642 m." in str(task["artifacts"])
