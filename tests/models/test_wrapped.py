"""Chat models with LangChain's wrappers around them, as planner and joiner, in both plan formats."""

import asyncio
from typing import Any

import pytest
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.models.lazy import innermost, with_tools
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests.scripted_server import ScriptedServer

QUESTION: Any = {"messages": [("user", "?")]}
REPLIES = ['1. search("a")\n2. join()', "Finish: done"]
DOWN = ConnectionError("down")


@tool
def search(query: str) -> str:
    """Search."""
    return "found"


def model(*replies: Any) -> ScriptedModel:
    """A model that replies from a script."""
    return ScriptedModel(list(replies or REPLIES))


WRAPPED: dict[str, Any] = {
    "with_fallbacks": lambda: model(DOWN, DOWN).with_fallbacks([model()]),
    "with_retry": lambda: model(DOWN, DOWN, REPLIES[0], DOWN, REPLIES[1]).with_retry(wait_exponential_jitter=False),
    "with_config": lambda: model().with_config(tags=["mine"]),
    "bind": lambda: model().bind(stop=["###"]),
    "several": lambda: model().bind(stop=["###"]).with_retry().with_config(tags=["mine"]).with_fallbacks([model()]),
}


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
@pytest.mark.parametrize("plan_format", ["text", "tools"])
@pytest.mark.parametrize("wrapped", WRAPPED)
async def test_wrapped_models_plan_and_join(wrapped: str, plan_format: Any, sync: bool) -> None:
    """Whatever is around a model, it plans and answers."""
    graph = create_llm_compiler(WRAPPED[wrapped](), [search], plan_format=plan_format)
    final = await (asyncio.to_thread(graph.invoke, QUESTION) if sync else graph.ainvoke(QUESTION))
    assert final["messages"][-1].text == "done"
    assert [task["status"] for task in final["tasks"]] == ["done"]


def test_retries_wait_and_end() -> None:
    """A stream that fails before its first token is asked for again, as often and for the errors the model says."""

    async def main() -> list[str]:
        found = []
        for errors, kinds in [(2, (ConnectionError,)), (3, (ConnectionError,)), (1, (ValueError,))]:
            wrapped = model(*[DOWN] * errors, *REPLIES).with_retry(
                retry_if_exception_type=kinds, stop_after_attempt=3, wait_exponential_jitter=True
            )
            try:
                await create_llm_compiler(wrapped, [search], joiner_model=model(REPLIES[1])).ainvoke(QUESTION)
                found.append("answered")
            except ConnectionError:
                found.append("failed")
        return found

    assert run_virtual(main) == ["answered", "failed", "failed"]


async def test_the_run_chooses_the_model() -> None:
    """`init_chat_model()` without a name takes the model of the run's config."""
    with ScriptedServer(REPLIES) as server:
        chosen: Any = init_chat_model(configurable_fields=("model", "model_provider", "api_key", "base_url"))
        settings = {
            "model": "scripted",
            "model_provider": "openai",
            "api_key": "none",
            "base_url": server.environment["OPENAI_BASE_URL"],
        }
        graph = create_llm_compiler(chosen, [search])
        final = await graph.ainvoke(QUESTION, {"configurable": settings})
    assert final["messages"][-1].text == "done"


def test_tools_are_bound_inside() -> None:
    """Settings and fallbacks still hold for a model with tools; each of the fallbacks gets them."""
    first, second = model(), model()
    bound: Any = with_tools(first.bind(stop=["###"]).with_fallbacks([second]), [{"name": "search", "parameters": {}}])
    assert bound.runnable.kwargs == {"stop": ["###"]}
    assert innermost(bound) is first
    assert [innermost(each) for each in (bound.runnable, *bound.fallbacks)] == [first, second]


@pytest.mark.parametrize("wrong", [RunnableLambda(lambda _: AIMessage("")), 5, BaseChatModel], ids=str)
def test_other_runnables_are_refused(wrong: Any) -> None:
    """What is no chat model inside is refused when the graph is made."""
    with pytest.raises(ConfigurationError, match="a model must be a chat model"):
        create_llm_compiler(wrong, [search])
