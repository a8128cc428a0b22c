"""Threads of many turns: what the models are shown of them is bounded, by a rule of the package's or by middleware."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from langchain.agents.middleware import SummarizationMiddleware, before_model, wrap_model_call
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, ToolMessage, trim_messages
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.models.earlier_turns import latest_turns
from llmcompiler_graph.testing import ScriptedModel

THREAD: Any = {"configurable": {"thread_id": "1"}}


@tool
def look(what: str) -> str:
    """Look."""
    return f"seen {what}"


class Thread:
    """A thread of turns, each of two calls, with a model that says what it was asked."""

    def __init__(self, turns: int, **kwargs: Any) -> None:
        self.model = ScriptedModel([self._reply] * (2 * turns))
        self.graph = create_llm_compiler(self.model, [look], checkpointer=InMemorySaver(), **kwargs)

    @staticmethod
    def _reply(messages: list[BaseMessage]) -> str:
        asked = next(m.text for m in reversed(messages) if isinstance(m, HumanMessage) and "Q" in m.text)
        number = asked[asked.rindex("Q") + 1 :].split()[0]
        if "Observations:" in messages[-1].text:
            return f"Finish: A{number} {'a' * 100}"
        return f'1. look("x{number}")\n2. look("y{number}")\n3. join()'

    async def ask(self, number: int) -> Any:
        """Ask the next question; return the final state."""
        question = HumanMessage(f"Q{number} {'q' * 100}")
        return await self.graph.ainvoke({"messages": [question]}, THREAD)

    def prompts(self) -> list[list[str]]:
        """What the planner was shown for each turn, without the system message."""
        return [[m.text for m in call[1:]] for call in self.model.calls[::2]]


async def test_what_is_shown_of_earlier_turns_is_bounded() -> None:
    """Whole turns, the latest, up to the number of characters; who answers is told that there were others."""
    thread = Thread(40, max_history_chars=3000)
    for number in range(40):
        final = await thread.ask(number)
        assert final["messages"][-1].text.startswith(f"A{number} ")
    prompts = thread.prompts()
    earlier = [prompt[:-1] for prompt in prompts]
    assert all(sum(map(len, shown)) <= 3000 + 100 for shown in earlier)
    assert all(sum(map(len, shown)) >= 1000 for shown in earlier[10:]), "more is left out than about half"
    assert len(earlier[-1]) % 2 == 0
    assert earlier[-1][-1].startswith("A38 ")
    assert earlier[-1][0].startswith("(What was said before this is left out.)")
    assert "x38" in earlier[-1][-2], "what tools returned is shown with its question"
    assert len(thread.model.calls) == 80
    assert len(final["messages"]) == 40 * 5, "the thread itself loses nothing"


async def test_the_beginning_of_prompts_stays_the_same_for_many_turns() -> None:
    """Not each turn pushes one out: prompt caches go on hitting."""
    thread = Thread(40, max_history_chars=4000)
    for number in range(40):
        await thread.ask(number)
    firsts = [prompt[0] for prompt in thread.prompts()]
    changes = sum(first != following for first, following in pairwise(firsts[1:]))
    assert 3 <= changes <= 10


async def test_any_number_of_characters() -> None:
    """`None` shows all turns; 0 shows none."""
    for most, shown in ((None, 2 * 12), (0, 0)):
        thread = Thread(13, max_history_chars=most)
        for number in range(13):
            await thread.ask(number)
        assert len(thread.prompts()[-1]) == shown + 1
    with pytest.raises(ConfigurationError, match="max_history_chars"):
        create_llm_compiler(ScriptedModel(), [look], max_history_chars=-1)


async def test_the_bound_by_default() -> None:
    """100,000 characters, 20,000 for the embedded model, whose context is short."""
    history: Any = [m for _ in range(20) for m in (HumanMessage("Q" * 9_000), AIMessage("A" * 1_000))]

    def reply(messages: list[BaseMessage]) -> str:
        return "1. join()\nFinish: ok"

    model = ScriptedModel([reply, "Finish: ok"])
    graph = create_llm_compiler(model, [look])
    await graph.ainvoke({"messages": [*history, HumanMessage("now")]})
    assert 50_000 <= sum(len(m.text) for m in model.calls[0][1:-1]) <= 100_100
    model = ScriptedModel([reply])
    graph = create_llm_compiler(model, [look], joiner_model="local", interrupt_after=["planner"])
    await graph.ainvoke({"messages": [*history, HumanMessage("now")]})
    assert 10_000 <= sum(len(m.text) for m in model.calls[0][1:-1]) <= 20_100


def test_what_does_not_fit_alone_is_left_out() -> None:
    """A turn that is longer than the bound is left out whole; images count; a latest turn that fits is kept."""
    long, short = HumanMessage("x" * 500), HumanMessage("y" * 60)
    image: Any = {"type": "image", "base64": "aaaa", "mime_type": "image/png"}
    pictured = HumanMessage([{"type": "text", "text": "z"}, image])
    answer = AIMessage("ok")
    assert latest_turns([long, answer], 100) == []
    kept = latest_turns([long, answer, short, answer], 100)
    assert [m.text for m in kept] == [f"(What was said before this is left out.)\n\n{short.text}", "ok"]
    assert latest_turns([pictured, answer], 1000) == []
    assert latest_turns([pictured, answer], 5000) == [pictured, answer]
    assert latest_turns([answer, long, answer], None) == [answer, long, answer]
    assert latest_turns([], 0) == []
    two = [HumanMessage("one"), HumanMessage("two"), answer, short, answer]
    assert [m.text for m in latest_turns(two, 62)][-1:] == ["ok"]
    assert len(latest_turns(two, 62)) == 2


def docs_snippet(state: Any, runtime: Any) -> dict[str, Any] | None:
    """Keep the first message and the last few, as LangChain's documentation does it."""
    messages = state["messages"]
    if len(messages) <= 3:
        return None
    recent = messages[-3:] if len(messages) % 2 == 0 else messages[-4:]
    return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), messages[0], *recent]}


def trimmed(state: Any, runtime: Any) -> dict[str, Any]:
    """Keep the last six messages, from a question on."""
    kept = trim_messages(state["messages"], max_tokens=9, token_counter=len, start_on="human", strategy="last")
    return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *kept]}


@pytest.mark.parametrize("trim", [docs_snippet, trimmed])
async def test_trimming_by_middleware(trim: Callable[..., Any]) -> None:
    """Every turn of a trimmed thread answers its own question from its own results; the thread stays short."""
    thread = Thread(8, middleware=[before_model(trim)])
    for number in range(8):
        final = await thread.ask(number)
        assert final["messages"][-1].text.startswith(f"A{number} ")
        assert [task["value"] for task in final["tasks"]] == [f"seen x{number}", f"seen y{number}"]
        assert len(final["messages"]) <= 12
    joining = thread.model.calls[-1]
    assert "Q7" in str(joining)
    assert "seen x7" in joining[-1].text


@pytest.mark.parametrize("most", [3, 5])
async def test_trimming_what_the_model_is_shown(most: int) -> None:
    """A wrapper that shows fewer messages changes the prompts, and nothing of the thread; the question stays."""

    @wrap_model_call
    async def fewer(request: Any, handler: Any) -> Any:
        kept = trim_messages(request.messages, max_tokens=most, token_counter=len, start_on="human", strategy="last")
        return await handler(request.override(messages=kept))

    thread = Thread(8, middleware=[fewer])
    for number in range(8):
        final = await thread.ask(number)
        assert final["messages"][-1].text.startswith(f"A{number} ")
    assert len(final["messages"]) == 40
    assert len(thread.prompts()[-1]) <= 3


async def test_summarising_by_middleware() -> None:
    """A thread that is summarised whenever it is long goes on: its prompts have the summary and the latest turns."""
    summing = SummarizationMiddleware(
        ScriptedModel(["what was said"] * 20), trigger=("messages", 12), keep=("messages", 6)
    )
    thread = Thread(10, middleware=[summing])
    for number in range(10):
        final = await thread.ask(number)
        assert final["messages"][-1].text.startswith(f"A{number} ")
        assert len(final["messages"]) <= 20
    assert "what was said" in str(thread.prompts()[-1])
    assert "Q0 " not in str(thread.prompts()[-1])
    answered = {m.tool_call_id for m in final["messages"] if isinstance(m, ToolMessage)}
    called = {c["id"] for m in final["messages"] if isinstance(m, AIMessage) for c in m.tool_calls}
    assert answered == called
