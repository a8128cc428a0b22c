"""What streams show, in every mode and version: the answer as it is written, and nothing of plans and thoughts."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

QUESTION: Any = {"messages": [("user", "?")]}
REPLIES = ['Thought: a secret\n1. search("A")\n2. join()', "Thought: another secret\nFinish: the answer"]
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


@tool
def search(query: str) -> str:
    """Search."""
    return f"found {query}"


def graph(*replies: Any, **kwargs: Any) -> Any:
    """A graph whose model replies from a script."""
    return create_llm_compiler(ScriptedModel(list(replies or REPLIES)), [search], **kwargs)


async def collect(agent: Any, *, sync: bool, **kwargs: Any) -> list[Any]:
    """All parts of a stream."""
    if sync:
        return await asyncio.to_thread(lambda: list(agent.stream(QUESTION, **kwargs)))
    return [part async for part in agent.astream(QUESTION, **kwargs)]


def shown(parts: list[Any]) -> str:
    """The text that `stream_mode="messages"` shows of models."""
    return "".join(message.text for message, _ in parts if message.type in {"ai", "AIMessageChunk"})


@both_ways
async def test_messages(sync: bool) -> None:
    """`stream_mode="messages"` gives the answer once, in pieces of one message that is the answer's."""
    parts = await collect(graph(), sync=sync, stream_mode="messages")
    assert shown(parts) == "the answer"
    final = graph().invoke(QUESTION)["messages"][-1]
    assert final.text == "the answer"
    ids = {message.id for message, _ in parts if message.text and message.type == "AIMessageChunk"}
    assert len(ids) == 1


@both_ways
async def test_as_a_subgraph(sync: bool) -> None:
    """A parent that streams with `subgraphs=True` shows the same of the graph inside."""
    parent: Any = StateGraph(MessagesState)
    parent.add_node("agent", graph())
    parent.add_edge(START, "agent")
    parts = await collect(parent.compile(), sync=sync, stream_mode="messages", subgraphs=True)
    assert shown([part for _, part in parts]) == "the answer"


async def test_events() -> None:
    """`astream_events` has one chat model: that of the answer."""
    events = [event async for event in graph().astream_events(QUESTION, version="v2")]
    of_models = [event for event in events if event["event"].startswith("on_chat_model")]
    pieces = [event["data"]["chunk"].text for event in of_models if event["event"] == "on_chat_model_stream"]
    assert "".join(pieces) == "the answer"
    assert [event["event"] for event in of_models if event["event"] != "on_chat_model_stream"] == [
        "on_chat_model_start",
        "on_chat_model_end",
    ]
    assert {event["run_id"] for event in of_models} == {of_models[0]["run_id"]}
    assert "secret" not in str(of_models)


@both_ways
async def test_version_3(sync: bool) -> None:
    """`stream_events(version="v3")` has the answer in `.messages`, once, and the calls in `.tool_calls`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is experimental, LangGraph says
        if sync:
            run = graph().stream_events(QUESTION, version="v3")
            texts = [str(message.text) for message in run.messages]
        else:
            run = await graph().astream_events(QUESTION, version="v3")
            texts = [str(await message.text) async for message in run.messages]
    assert [text for text in texts if text] == ["the answer"]
    assert hasattr(run, "tool_calls")


@both_ways
async def test_an_answer_that_was_not_streamed(sync: bool) -> None:
    """Where the answer is known only at the end (a joiner that asks for more than it may), it is shown all the same."""
    replies = [REPLIES[0], "Replan: more", "Replan: still more"]
    parts = await collect(graph(*replies, max_replans=0), sync=sync, stream_mode="messages")
    assert shown(parts) == "still more"


class _Calls(BaseCallbackHandler):
    """Counts what a tracer sees."""

    def __init__(self) -> None:
        self.models = 0

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        """Count a call."""
        self.models += 1


@both_ways
async def test_tracers_see_the_calls_there_were(sync: bool) -> None:
    """Tracers and counters of tokens see planner and joiner, and nothing twice, whoever streams meanwhile."""
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    replies = [AIMessage(text, usage_metadata=usage, response_metadata={"model_name": "scripted"}) for text in REPLIES]
    calls, tokens = _Calls(), UsageMetadataCallbackHandler()
    config: Any = {"callbacks": [calls, tokens]}
    await collect(graph(*replies), sync=sync, config=config, stream_mode="messages")
    assert calls.models == 2
    assert [each["total_tokens"] for each in tokens.usage_metadata.values()] == [30]


class _Breaking(BaseChatModel):
    """A model whose stream breaks in the middle of the answer."""

    @property
    def _llm_type(self) -> str:
        return "breaking"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(content="Finish: the an"))
        raise ConnectionError("lost")


async def test_a_failed_answer_leaves_nothing_behind() -> None:
    """If the joiner's stream breaks in the middle of the answer, the run fails and no task is left."""
    before = asyncio.all_tasks()
    agent = create_llm_compiler(ScriptedModel([REPLIES[0]]), [search], joiner_model=_Breaking())
    with pytest.raises(ConnectionError, match="lost"):
        await collect(agent, sync=False, stream_mode="messages")
    assert asyncio.all_tasks() == before


@both_ways
async def test_every_update_has_messages(sync: bool) -> None:
    """In `stream_mode="updates"`, each node and each slow task has `messages`; a task's are its `ToolMessage`."""

    @tool
    async def search(query: str) -> str:
        """Search, slowly."""
        await asyncio.sleep(0.3)
        return f"found {query}"

    replies = ['1. search("A")\n2. search("$1[*]")\n3. join()', "Replan: more", '1. search("B")', REPLIES[1]]
    agent = create_llm_compiler(ScriptedModel(replies), [search])
    parts = await collect(agent, sync=sync, stream_mode="updates")
    updates = [(name, update["messages"]) for part in parts for name, update in part.items()]
    assert {name for name, _ in updates} == {"planner", "search", "task_fetching_unit", "joiner"}
    told = [messages[-1].type for name, messages in updates if name == "search"]
    assert set(told) == {"tool"}
