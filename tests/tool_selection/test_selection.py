import asyncio
from functools import partial
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.vectorstores import InMemoryVectorStore
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import ConfigurationError, PlanExample, create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from llmcompiler_graph.tool_selection import tool_documents

QUESTION: Any = {"messages": [HumanMessage("How high is that mountain?")]}
SUBJECTS = ["mountain", "river", "city", "ship", "planet", "bird", "poem", "bridge", "song", "lake", "tower", "stone"]


def facts(subject: str) -> BaseTool:
    """A tool that knows of one subject."""

    def look(name: str) -> str:
        return f"{name} is a {subject}"

    return StructuredTool.from_function(look, name=f"find_{subject}", description=f"Find facts of a {subject}.")


TOOLS = [facts(subject) for subject in SUBJECTS]
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


class Letters(Embeddings):
    """Embeds a text as how often it has each letter, with a weight for those of the subjects asked for."""

    def embed_query(self, text: str) -> list[float]:
        """One text."""
        return [float(subject in text) for subject in SUBJECTS] + [0.01]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Several."""
        return [self.embed_query(text) for text in texts]


class Fixed(BaseRetriever):
    """Finds two tools, whatever is asked."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document("…", metadata={"tool": "find_mountain"}), Document("find_river")]


async def chosen(query: str) -> list[str]:
    """An asynchronous function."""
    await asyncio.sleep(0)
    return ["find_mountain"] if "mountain" in query else []


def shown(model: ScriptedModel, call: int = 0) -> list[str]:
    """The tools that a call's prompt lists."""
    text = "\n".join(message.text for message in model.calls[call])
    return [f"find_{subject}" for subject in SUBJECTS if f"- find_{subject}(" in text]


@both_ways
@pytest.mark.parametrize(
    ("select", "wanted"),
    [
        (1, ["find_mountain"]),
        ("bm25", ["find_mountain"]),
        (Letters(), ["find_mountain"]),
        (Fixed(), ["find_mountain", "find_river"]),
        (
            InMemoryVectorStore.from_documents(tool_documents(TOOLS), Letters()).as_retriever(search_kwargs={"k": 1}),
            ["find_mountain"],
        ),
        (chosen, ["find_mountain"]),
        (lambda query: [TOOLS[1]], ["find_river"]),
    ],
    ids=["number", "bm25", "embeddings", "retriever", "vector store", "coroutine", "function"],
)
async def test_what_picks(sync: bool, select: Any, wanted: list[str]) -> None:
    """Anything LangChain finds documents with can pick; a plan runs with what was picked."""
    model = ScriptedModel(['1. find_mountain("K2")\n2. join()', "Finish: ok"])
    graph = create_llm_compiler(model, TOOLS, select_tools=select)
    asked = partial(graph.invoke, QUESTION, output_keys=["tasks", "selected"])
    final = await asyncio.to_thread(asked) if sync else await graph.ainvoke(QUESTION, output_keys=["tasks", "selected"])
    assert final["tasks"][0]["value"] == "K2 is a mountain"
    assert set(wanted) <= set(shown(model))
    assert len(shown(model)) <= 8
    assert final["selected"][0]["tools"] == shown(model)
    assert shown(model, 1) == shown(model)


async def test_a_question_is_embedded_once() -> None:
    """One request per question serves tools and examples; no request is made for no examples."""
    asked: list[list[str]] = []

    class Counted(Letters):
        async def aembed_query(self, text: str) -> list[float]:
            asked.append([text])
            return self.embed_query(text)

        async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
            asked.append(texts)
            return self.embed_documents(texts)

    for examples, requests in ((None, 2), ([PlanExample("Which river?", "1. join()")], 3)):
        asked.clear()
        model = ScriptedModel(["1. join()", "Finish: ok"])
        graph = create_llm_compiler(model, TOOLS, select_tools=Counted(), examples=examples)
        await graph.ainvoke(QUESTION)
        assert len(asked) == requests
        assert all(asked)


async def test_the_prompt_shows_what_was_picked_last() -> None:
    """Everything that is the same for all questions comes first, examples are made of what was picked."""
    model = ScriptedModel(["1. join()", "Finish: ok"] * 2)
    graph = create_llm_compiler(model, TOOLS, select_tools=1, system_prompt="Be brief.")
    await graph.ainvoke(QUESTION)
    await graph.ainvoke({"messages": [HumanMessage("Which river?")]})
    one, other = (model.calls[n][0].text for n in (0, 2))
    shared = one.partition("# Tools\n")[0]
    assert other.startswith(shared)
    assert "# Answers" in shared
    assert "find_" not in shared
    assert "\nfind_mountain(" in one
    assert "find_river" not in one


async def test_a_tool_that_was_not_shown_can_be_called() -> None:
    """A tool that was not shown can be called: plans are checked against all tools."""
    model = ScriptedModel(['1. find_bird("kea")\n2. find_stork("x")\n3. join()', "Finish: ok"])
    final = await create_llm_compiler(model, TOOLS, select_tools=1, max_repairs=0).ainvoke(QUESTION)
    assert [task["status"] for task in final["tasks"]] == ["done", "failed"]


async def test_a_replan_adds_tools() -> None:
    """What the joiner misses is looked for; the prompt so far stays as it is, and the additions stand behind it."""
    replies = [
        '1. find_mountain("K2")\n2. join()',
        "Replan: look at the river",
        '2. find_river("Rhine")',
        "Replan: a river",
    ]
    model = ScriptedModel([*replies, "3. join()", "Finish: ok"])
    final = await create_llm_compiler(model, TOOLS, select_tools=1).ainvoke(QUESTION, output_keys=["selected"])
    assert [one["tools"] for one in final["selected"]] == [["find_mountain"], ["find_river"], []]
    for n in range(5):
        assert model.calls[n + 1][: len(model.calls[n])] == model.calls[n]
    assert "More tools:\n- find_river(name: str)" in model.calls[2][-1].text
    assert "More tools" not in model.calls[4][-1].text


async def test_native_calls() -> None:
    """A model that calls tools natively is bound to what was picked so far."""
    model = ScriptedModel(["none", "Replan: river", "none", "Finish: ok"])
    await create_llm_compiler(model, TOOLS, select_tools=1, plan_format="tools").ainvoke(QUESTION)
    bound = [[tool["function"]["name"] for tool in each["tools"]] for each in model.settings if "tools" in each]
    assert bound == [["find_mountain"], ["find_mountain", "find_river"]]


async def test_examples_that_match() -> None:
    """Examples like the question are shown, and the tools they use."""
    examples = [
        PlanExample("Which ship is the fastest?", '1. find_ship("x")'),
        PlanExample("How high is the mountain Elbrus?", '1. find_stone("x")'),
    ]
    model = ScriptedModel(["1. join()", "Finish: ok"])
    await create_llm_compiler(model, TOOLS, select_tools=1, examples=examples).ainvoke(QUESTION)
    system = model.calls[0][0].text
    assert "Elbrus" in system
    assert "fastest" not in system
    assert shown(model) == ["find_mountain", "find_stone"]


async def test_a_further_question() -> None:
    """A further question is shown its own tools, and those that the plan before it called."""
    model = ScriptedModel(['1. find_bird("kea")\n2. join()', "Finish: ok", "1. join()", "Finish: ok"])
    graph = create_llm_compiler(model, TOOLS, select_tools=1, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke(QUESTION, config)
    await graph.ainvoke({"messages": [HumanMessage("And the river?")]}, config)
    assert (await graph.aget_state(config)).values["selected"] == [
        {"round": 0, "tools": ["find_river", "find_bird"], "examples": []}
    ]


@pytest.mark.parametrize("select", [0, True, "tfidf", 1.5, ["find_bird"]])
def test_what_cannot_pick(select: Any) -> None:
    """What cannot pick tools is refused, and the error says what can."""
    with pytest.raises(ConfigurationError, match="select_tools must be"):
        create_llm_compiler(ScriptedModel(), TOOLS, select_tools=select)


async def test_a_retriever_that_finds_something_else() -> None:
    """If a retriever finds a document of no tool, the error names it."""
    graph = create_llm_compiler(ScriptedModel(), TOOLS, select_tools=lambda query: [Document("about birds")])
    with pytest.raises(ConfigurationError, match=r"about birds.*names no tool"):
        await graph.ainvoke(QUESTION)
