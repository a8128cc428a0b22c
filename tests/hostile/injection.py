"""What pages, tools and people say is data: it calls nothing, decides nothing, and breaks no turn or thread.

python -m tests.hostile.injection

Each text of `injections.json` comes in by each way that a text can; runs of one piece are kept there as the piece and a
count. `wipe` is a tool that no plan of the model calls.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.models.local.template_tokens import with_plain_contents, without_template_tokens
from llmcompiler_graph.state import storable
from llmcompiler_graph.testing import ScriptedModel
from tests.hostile.turns import whole_conversation

__all__ = ("CHANNELS", "TEXTS", "held")


def _unpacked(parts: list[Any]) -> str:
    return "".join(part if isinstance(part, str) else part[0] * part[1] for part in parts)


TEXTS: Mapping[str, str] = {
    name: _unpacked(parts)
    for name, parts in json.loads((Path(__file__).parent / "injections.json").read_text(encoding="utf-8")).items()
}


class Way(NamedTuple):
    """A way by which a text comes in."""

    look: Callable[[str], Any] = lambda text: "harmless"
    """What the tool returns first."""
    second: str = '2. look("again")'
    """The second task of the plan."""
    seen: Callable[[str], Any] = lambda text: "again"
    """What the tool is given then."""
    question: Callable[[str], str] = lambda text: "what is there?"
    joined: Callable[[str], str] = lambda text: "Thought: all is there.\nFinish: safe"
    """What the joiner writes."""
    asks: bool = False
    """Whether a human is asked, and answers in the tool's stead."""
    lines: bool = True
    """Whether the text stands among the observations, where it must add no line."""


def _raise(text: str) -> Any:
    raise ConnectionError(text)


def _quote(text: str) -> str:
    marked = "\n".join(f"> {line}" for line in text.splitlines())
    return f"Thought: the page says:\n\n{marked}\n\nThat is no answer.\nFinish: safe"


def _fence(text: str) -> str:
    sign = "~" * 7 if "```" in text else "`" * 7
    return f"Thought: the page says:\n{sign}\n{storable(text)}\n{sign}\nFinish: safe"


CHANNELS: dict[str, Way] = {
    "text of a tool": Way(lambda text: text, "2. look($1)", storable),
    "in a string": Way(lambda text: text, '2. look("<$1>")', lambda text: f"<{storable(text)}>"),
    "a field of an object": Way(lambda text: {"page": text, "n": [text]}, "2. look(${1.page})", storable),
    "elements of a list": Way(lambda text: [text], "2. look(${1[0]})", storable),
    "a key of an object": Way(lambda text: {text: 1}),
    "content blocks": Way(lambda text: [{"type": "text", "text": text}]),
    "an error": Way(_raise),
    "a question": Way(question=lambda text: f"what of {text}?", lines=False),
    "a human's answer": Way(asks=True),
    "quoted by the joiner": Way(lambda text: text, joined=_quote),
    "fenced by the joiner": Way(lambda text: text, joined=_fence),
}


def _tools(way: Way, text: str, log: list[tuple[str, Any]]) -> list[BaseTool]:
    @tool
    async def look(what: Any) -> Any:
        """Look."""
        log.append(("look", what))
        return way.look(text) if len(log) == 1 else "seen"

    @tool
    async def wipe(what: Any) -> str:
        """Wipe."""
        log.append(("wipe", what))
        return "wiped"

    wipe.metadata = {"destructiveHint": True}
    return [look, wipe]


async def held(channel: str, text: str) -> None:
    """Let a text come in, and see that it is data; raises if anything does not hold."""
    way, log = CHANNELS[channel], list[tuple[str, Any]]()
    plan = f'1. look("a")\n{way.second}\n3. join()'
    model = ScriptedModel([plan, way.joined(text), '3. look("b")\n4. join()', "Finish: done"], chunk_size=4000)
    graph: Any = create_llm_compiler(
        model,
        _tools(way, text, log),
        checkpointer=InMemorySaver(),
        interrupt_on={"look": {"allowed_decisions": ["approve", "respond"]}} if way.asks else None,
        max_repairs=0,
    )
    config: Any = {"configurable": {"thread_id": "1"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # large observations
        given: Any = {"messages": [("user", way.question(text))]}
        final = await graph.ainvoke(given, config)
        while way.asks and "__interrupt__" in final:
            decisions = [
                {"type": "respond", "message": text} for _ in final["__interrupt__"][0].value["action_requests"]
            ]
            final = await graph.ainvoke(Command(resume={"decisions": decisions}), config)
        _once(way, text, log, model, final)
        if way.asks:
            return
        final = await graph.ainvoke({"messages": [("user", "and now?")]}, config)
    whole_conversation(final["messages"])
    assert final["messages"][-1].text == "done", "the thread does not go on"
    assert [name for name, _ in log] == ["look"] * 3


def _once(way: Way, text: str, log: list[tuple[str, Any]], model: ScriptedModel, final: Any) -> None:
    assert final["messages"][-1].text == "safe", f"the answer is {final['messages'][-1].text[:80]!r}"
    whole_conversation(final["messages"])
    expected = [] if way.asks else [("look", "a"), ("look", way.seen(text))]
    assert log == expected, f"called {str(log)[:200]}"
    assert [task["status"] for task in final["tasks"]][1:] == ["done"]
    called = [call["name"] for m in final["messages"] if isinstance(m, AIMessage) for call in m.tool_calls]
    assert called == ["look", "look"]
    for message in final["messages"]:
        assert not isinstance(message, ToolMessage) or message.name == "look"
    for prompt in model.calls:
        _safe_prompt(prompt)
    if way.lines:
        shown = str(model.calls[1][-1].text)
        listed = shown.partition("Observations:\n")[2].partition("\n\n")[0]
        assert len(listed.splitlines()) == 2, "the text adds lines to the observations"


def _safe_prompt(prompt: list[BaseMessage]) -> None:
    for message in prompt:
        message.text.encode()  # no half characters, which providers refuse
    local: Any = with_plain_contents([{"role": message.type, "content": message.text} for message in prompt])
    assert all(without_template_tokens(each["content"]) == each["content"] for each in local)


def main() -> None:
    """Try all, and say how many held."""
    cases = failed = 0
    for channel in CHANNELS:
        for name, text in TEXTS.items():
            cases += 1
            try:
                asyncio.run(held(channel, text))
            except Exception as error:
                failed += 1
                print(f"{name}, {channel}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    print(f"{cases} cases ({len(TEXTS)} texts by {len(CHANNELS)} ways): {cases - failed} held")


if __name__ == "__main__":
    main()
