import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.models.lazy import LazyModel, is_local
from llmcompiler_graph.testing import ScriptedModel
from llmcompiler_graph.tools import lookup
from tests.scripted_server import ScriptedServer


@pytest.mark.parametrize(
    ("model", "local"),
    [("local", True), ("local:qwen", True), ("openai:local", False), ("locale:x", False), (ScriptedModel(), False)],
)
def test_local_models(model: Any, local: bool) -> None:
    """`local` and `local:NAME` are the embedded model, and nothing else."""
    assert is_local(model) is local


async def test_equal_names_are_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two equal names are one model, which joins with the tools it planned with before it: servers know the prompt."""
    with ScriptedServer(["Hello!", "Finish: hello"]) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        joiner = "".join(["openai:", "scripted"])  # not the same string object
        graph = create_llm_compiler(
            "local", [lookup], planner_model="openai:scripted", joiner_model=joiner, plan_format="tools"
        )
        await graph.ainvoke({"messages": [HumanMessage("hi")]})
    first, second = server.requests
    assert second["tools"] == first["tools"]


def test_a_chat_model_is_itself() -> None:
    """A chat model that is given as an instance is used as it is."""
    model = ScriptedModel()
    assert LazyModel(model).get() is model


@pytest.mark.parametrize("given", [42, None, RunnableLambda(str)])
def test_what_is_no_model(given: Any) -> None:
    """What is neither a chat model nor a name is refused at once."""
    with pytest.raises(ConfigurationError, match="a model must be a chat model or a 'provider:name' string"):
        LazyModel(given)


@pytest.mark.parametrize("name", ["openai:some-model", "gpt-some-model"])
def test_openai_models(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`openai:NAME` and OpenAI's own names take key and address from the environment, and count tokens."""
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    model = LazyModel(name).get()
    assert isinstance(model, ChatOpenAI)
    assert model.model_name == name.removeprefix("openai:")
    assert model.stream_usage is True


async def test_a_named_model_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph over a model's name asks that model, at `OPENAI_BASE_URL`, and knows the tokens it used."""
    with ScriptedServer(["1. join()", "Finish: hello"]) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        graph = create_llm_compiler("openai:scripted", [])
        final = await graph.ainvoke({"messages": [HumanMessage("hi")]})
        assert final["messages"][-1].content == "hello"
        assert [request["model"] for request in server.requests] == ["scripted"] * 2
        assert final["rounds"][0]["usage"]["planner"]["total_tokens"] > 0
        assert final["rounds"][0]["usage"]["joiner"]["total_tokens"] > 0


def test_unknown_providers() -> None:
    """A provider nobody knows is an error when it is asked, not when the graph is made."""
    model = LazyModel("nobody:knows")
    with pytest.raises(
        ConfigurationError, match=r"the model 'nobody:knows' cannot be made: .* Write 'provider:name', "
    ):
        model.get()


def test_a_missing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is missing is an error that names the model and says what to set."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match=r"the model 'openai:some-model' cannot be made: .*OPENAI_API_KEY"):
        LazyModel("openai:some-model").get()


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_a_joiner_that_cannot_be_made_is_found_before_any_tool_is_called(sync: bool) -> None:
    """A joiner model that cannot be made ends the run before the planner is asked, not after the tools have run."""
    planner = ScriptedModel(["1. look()"])

    def look() -> str:
        """Look."""
        raise AssertionError

    graph = create_llm_compiler(planner, [look], joiner_model="nobody:knows", handle_tool_errors=False)
    given: Any = {"messages": [HumanMessage("?")]}
    with pytest.raises(ConfigurationError, match="the model 'nobody:knows' cannot be made"):
        await (asyncio.to_thread(graph.invoke, given) if sync else graph.ainvoke(given))
    assert planner.calls == []


async def test_the_model_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask at the same time, from threads or coroutines, one model is made."""
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    model = LazyModel("openai:some-model")
    together = threading.Barrier(3)

    def get() -> BaseChatModel:
        together.wait(10)
        return model.get()

    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(get) for _ in range(3)]
        made = [*await asyncio.gather(model.aget(), model.aget()), *(each.result() for each in asked)]
    assert all(each is model.get() for each in made)


class Turns(BaseRateLimiter):
    """A rate limiter that lets everyone pass, and counts them."""

    taken = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        """Pass."""
        self.taken += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Pass."""
        return self.acquire()


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_a_model_s_rate_limiter_is_respected(sync: bool) -> None:
    """Planner, repair and joiner take their turns from the model's own limiter, whoever asks for them."""
    limiter = Turns()
    model = ScriptedModel(["1. wat()", "1. look()", "Replan: more", "2. look()", "Finish: done"], rate_limiter=limiter)

    def look() -> str:
        """Look."""
        return "seen"

    graph = create_llm_compiler(model, [look])
    given: Any = {"messages": [HumanMessage("?")]}
    final = await (asyncio.to_thread(graph.invoke, given) if sync else graph.ainvoke(given))
    assert limiter.taken == len(model.calls) == 5
    assert [task["status"] for task in final["tasks"]] == ["done", "done"]
