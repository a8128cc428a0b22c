import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_openai import ChatOpenAI

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.models.background import iterate_in_thread
from llmcompiler_graph.models.custom_tool import reply_tool, with_streamed_input
from llmcompiler_graph.models.lazy import LazyModel
from llmcompiler_graph.models.replies import visible_text
from llmcompiler_graph.testing import ScriptedModel
from llmcompiler_graph.tools import calculate
from tests.scripted_server import ScriptedServer

PLAN = '1. calculate(expression="1 + 1")\n2. join()'
REPLY = "Thought: it is known.\nFinish: 1 + 1 is 2"
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that plans and answers."""
    with ScriptedServer([PLAN, REPLY]) as server:
        yield server


def chat_model(server: ScriptedServer, **settings: Any) -> ChatOpenAI:
    """A model on a server."""
    return ChatOpenAI(model="scripted", base_url=server.base_url, api_key="sk-scripted", max_retries=0, **settings)  # type: ignore[arg-type]


@both_ways
@pytest.mark.parametrize(
    ("settings", "pieces"),
    [
        ({}, [PLAN[at : at + 4] for at in range(0, len(PLAN), 4)]),
        ({"disable_streaming": True}, [PLAN]),
        ({"include_response_headers": True}, [PLAN]),
        ({"disable_streaming": True, "output_version": "v0"}, [PLAN]),
        ({"include_response_headers": True, "output_version": "v1"}, [PLAN]),
    ],
    ids=["streamed", "whole", "with headers", "v0", "v1"],
)
async def test_the_reply(server: ScriptedServer, sync: bool, settings: dict[str, Any], pieces: list[str]) -> None:
    """It is the tool's input, piece by piece if LangChain lets it through so, and its tokens are counted."""
    model = with_streamed_input(chat_model(server, **settings).bind(tools=[]))
    asked = reply_tool("lark", 'start: "a"')
    stream = iterate_in_thread(lambda: model.stream("?", **asked)) if sync else model.astream("?", **asked)
    chunks = [chunk async for chunk in visible_text(stream, LazyModel("local"))]
    assert [chunk.text for chunk in chunks if chunk.text] == pieces
    assert [chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata] == [6]


@both_ways
async def test_a_run(server: ScriptedServer, sync: bool) -> None:
    """The answer is shown in pieces, and what was written is what was called for."""
    graph = create_llm_compiler(chat_model(server), [calculate], constrain="openai")
    question: Any = {"messages": [HumanMessage("1 + 1?")]}
    modes: Any = ["messages", "values"]
    parts: list[Any]
    if sync:
        parts = await asyncio.to_thread(lambda: list(graph.stream(question, stream_mode=modes)))
    else:
        parts = [part async for part in graph.astream(question, stream_mode=modes)]
    final = parts[-1][1]
    shown = [part[0].text for mode, part in parts if mode == "messages" and isinstance(part[0], AIMessageChunk)]
    assert (len(shown) > 1, "".join(shown)) == (True, "1 + 1 is 2")
    assert (final["rounds"][0]["plan"], final["rounds"][0]["reply"]) == (PLAN, REPLY)
    assert final["messages"][-1].text == "1 + 1 is 2"


def test_other_models() -> None:
    """They are left as they are."""
    model = ScriptedModel([])
    assert with_streamed_input(model) is model
