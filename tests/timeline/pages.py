"""Timelines of every kind of turn, on the virtual clock."""

import asyncio
from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from llmcompiler_graph.timeline import Timeline, timeline_of


@tool
async def search(query: str) -> dict[str, Any]:
    """Search the web."""
    await asyncio.sleep(0.5 + len(query) % 7 / 5)
    return {"title": query, "height_m": 8849.0}


@tool
async def rate(currency: str) -> float:
    """The exchange rate of a currency."""
    await asyncio.sleep(0.9)
    if currency == "XXX":
        raise ValueError("no rate is known for 'XXX'")
    return 1.17


@tool
async def send_email(to: str, text: str) -> str:
    """Send an email."""
    await asyncio.sleep(0.4)
    return "sent"


EIGHT = """1. search("height of Mount Everest")
2. search("height of K2")
3. search("height of Kangchenjunga")
4. rate("NOK")
5. search("${1.height_m} less ${2.height_m}")
6. search("${2.height_m} less ${3.height_m}")
7. search("$5 and $4")
8. search("what a metre costs, $7") after $6
9. join()"""


def reply(text: str) -> AIMessage:
    """A model's reply with a count of tokens."""
    read, written = 700 + len(text), len(text) // 4
    usage = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    return AIMessage(text, usage_metadata=usage)


def turn(question: str, *replies: Any, prices: Any = None, **kwargs: Any) -> Timeline:
    """The timeline of a turn, also of one that fails or is paused."""

    async def main() -> tuple[Any, str]:
        model = ScriptedModel(
            [reply(each) if isinstance(each, str) else each for each in replies], seconds_per_reply=1, chunk_size=0
        )
        graph = create_llm_compiler(model, [search, rate, send_email], checkpointer=InMemorySaver(), **kwargs)
        config: Any = {"configurable": {"thread_id": "1"}}
        note = ""
        try:
            await graph.ainvoke({"messages": [("user", question)]}, config)
        except RuntimeError as error:
            note = str(error)
        return (await graph.aget_state(config)).values, note

    state, note = run_virtual(main)
    return timeline_of(state, prices=prices, note=note)


def many(tasks: int) -> str:
    """A plan of so many tasks in chains."""
    return "\n".join(f"{n}. search({f'${n - 17}' if n > 40 else f'{n!r}'})" for n in range(1, tasks + 1))


def timelines() -> Iterator[tuple[str, Timeline]]:
    """Every kind, by name."""
    yield (
        "eight",
        turn("How much taller is Everest?", EIGHT, "Finish: 238 m", prices={"planner": (2, 8), "joiner": (2, 8)}),
    )
    yield "many", turn("All of them?", many(60), "Finish: all", max_concurrency=10)
    broken = '1. rate("XXX")\n2. search("$1")\n3. search("XXX")\n4. send_email(to="a@b.c", text="$2")'
    yield "failed", turn("Convert it and mail it", broken, RuntimeError("the provider closed the connection"))
    mail = '1. search("K2")\n2. rate("NOK")\n3. send_email(to="a@b.c", text="${1.height_m}")\n4. search("$2") after $3'
    yield "paused", turn("Mail the height of K2", mail, interrupt_on={"send_email": True})
    yield (
        "replans",
        turn(
            "How high together?",
            '1. search("Everest")\n2. serch("K2")\n3. search("$1 and $2")',
            '2. search("K2")\n3. search("$1 and $2")',
            "Replan: Makalu is missing",
            '4. search("Makalu")\n5. search("$3 and ${4.height_m}")',
            "Finish: high",
        ),
    )
