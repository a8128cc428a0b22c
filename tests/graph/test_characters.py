"""Characters that providers refuse or that end lines where none is: halves of pairs, U+2028, U+2029, U+0085, NUL."""

import asyncio
import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

HALF, LINE, PARAGRAPH, NEXT = "\ud800", "\u2028", "\u2029", "\x85"
ALL = f"a{HALF}b{LINE}c{PARAGRAPH}d{NEXT}e"
JOIN = "\n2. join()"


@tool
def same(value: Any) -> Any:
    """Return what is given."""
    return value


class Strict(ScriptedModel):
    """A model of a provider that refuses what is no Unicode, and that remembers what it was sent."""

    def _reply(self, messages: list[BaseMessage], settings: dict[str, Any]) -> AIMessage:
        for message in messages:
            json.dumps(message.content, ensure_ascii=False).encode()
        return super()._reply(messages, settings)

    @property
    def sent(self) -> str:
        """Everything, as JSON in which nothing is escaped but what must be."""
        return json.dumps([message.content for call in self.calls for message in call], ensure_ascii=False)


def run(*replies: Any, question: Any = "?", chunk_size: int = 1, **kwargs: Any) -> tuple[Strict, Any]:
    """Run a graph twice in one thread; return its model and the first run's state as the checkpoint has it."""
    model = Strict(replies=[*replies, "1. join()", "Finish: later"], chunk_size=chunk_size)
    saver, config = InMemorySaver(), {"configurable": {"thread_id": "1"}}
    graph: Any = create_llm_compiler(model, [same], checkpointer=saver, **kwargs)
    given = question if isinstance(question, list) else [HumanMessage(question)]
    asyncio.run(graph.ainvoke({"messages": given}, config))
    state = graph.get_state(config).values
    final = asyncio.run(graph.ainvoke({"messages": [HumanMessage("again?")]}, config))
    assert final["messages"][-1].text == "later"
    return model, state


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize(
    ("replies", "options"),
    [
        ([f'1. same("x"){JOIN}', "Finish: ok"], {"question": ALL}),
        ([f'1. same("x"){JOIN}', "Finish: ok"], {"question": [HumanMessage([{"type": "text", "text": ALL}])]}),
        ([f'1. same("x"){JOIN}', "Finish: ok"], {"question": [HumanMessage("a"), AIMessage(ALL), HumanMessage("b")]}),
        ([f'1. same("x"){JOIN}', "Finish: ok"], {"question": [SystemMessage(ALL), HumanMessage("b")]}),
        ([f'1. same("x"){JOIN}', "Finish: ok"], {"system_prompt": ALL}),
        ([f'1. same("{ALL}"){JOIN}', "Finish: ok"], {}),
        ([f'1. same("a\\ud800b\\u2028c\\x85d"){JOIN}', "Finish: ok"], {}),
        ([f'Thought: {ALL}\n1. same("x"){JOIN}', "Finish: ok"], {}),
        ([f'1. same("x"){JOIN}', f"Thought: {ALL}\nFinish: {ALL}"], {}),
        ([f'1. same("x"){JOIN}', f"Replan: {ALL}", '2. same("y")\n3. join()', f"Finish: {ALL}"], {}),
        ([f'1. same("x"){JOIN}', f"Replan: {ALL}\n2. same({ALL!r})\n3. join()", "Finish: ok"], {"fuse_replan": True}),
        ([f'1. samee("{ALL}"){JOIN}', f'1. same("{ALL}")', "Finish: ok"], {"question": ALL}),
        (
            [AIMessage("", tool_calls=[{"name": "same", "args": {"task": 1, "value": ALL}, "id": "1"}]), "Finish: ok"],
            {"plan_format": "tools"},
        ),
    ],
)
def test_what_providers_are_sent(replies: list[Any], options: dict[str, Any], sync: bool) -> None:
    """Whoever wrote such characters, the user, the model or a tool: none is sent to a provider; the thread goes on."""
    model, state = run(*replies, **options)
    assert not set(model.sent) & {HALF, LINE, PARAGRAPH, NEXT}
    assert HALF not in json.dumps([m.content for m in state["messages"]], ensure_ascii=False)


def test_data_stays() -> None:
    """A tool is given line separators as they are, and its value keeps them; they are written as escapes."""
    model, state = run(f'1. same("a\\u2028b"){JOIN}', "Finish: ok")
    assert state["tasks"][0]["value"] == f"a{LINE}b"
    assert state["tasks"][0]["text"] == r'1. same(value="a\u2028b")'
    assert r'1. same(value="a\u2028b") = "a\u2028b"' in model.calls[1][-1].text


def test_what_people_write_keeps_its_lines() -> None:
    """A line separator in a question is a line break; one in a reply is no line of its own."""
    model, _ = run(
        f'Thought: a{LINE}2. same("no"){NEXT}\n1. same("x"){JOIN}', "Finish: ok", question=f"a{LINE}b{NEXT}c"
    )
    assert model.calls[0][1].text.startswith("a\nb\nc\n")
    assert r"Thought: a\u20282. same(" in model.calls[1][2].text


@pytest.mark.parametrize("chunk_size", [1, 2, 0])
def test_characters_that_come_in_halves(chunk_size: int) -> None:
    """A character whose halves come in two pieces of a reply is one; a half alone is U+FFFD, and so is NUL."""
    reply = f'1. same("\ud83d\ude00 {HALF} \0"){JOIN}'
    _, state = run(reply, "Finish: \ud83d\ude00 \ude00", chunk_size=chunk_size)
    assert state["tasks"][0]["value"] == "😀 \ufffd \ufffd"
    assert state["messages"][-1].text == "😀 \ufffd"
