"""`create_agent` with `PlanMiddleware` and without it: model calls, tokens, time, right answers on twelve questions.

python -m tests.benchmarks.plan_middleware scripted
python -m tests.benchmarks.plan_middleware local --out FILE    (the embedded model; the same command goes on)

The columns: right answers; means of model calls, tokens in and out, seconds, and scripted, the time that the model's
replies and the longest chain of tool calls take by themselves.

Scripted: the replies of all agents were written by hand, so all of them are right; time is virtual. A model takes 0.5 s
and then 20 ms a token, a lookup 0.61 s. Tokens are LangChain's approximation: four characters each, tool schemas
included. "calls in parallel" makes all calls of a turn that can be made, "a call a turn" one.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelCallLimitMiddleware
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatResult
from langchain_core.tools import BaseTool, tool
from pydantic import PrivateAttr

from llmcompiler_graph import parse_plan
from llmcompiler_graph.evaluation.usage import measured
from llmcompiler_graph.middleware import PlanMiddleware
from llmcompiler_graph.models.local import local_chat_model
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from llmcompiler_graph.tools import calculate, lookup
from llmcompiler_graph.tools.facts import Facts

SYSTEM = "Answer with the tools: take no fact from memory, and calculate nothing yourself. Answer in one sentence."
TTFT, PER_TOKEN, LOOKUP = 0.5, 0.02, 0.61  # seconds


class Question(NamedTuple):
    """A question, its answer, and what a good agent writes to find it."""

    text: str
    answer: float
    plan: str
    """For the agent that plans."""
    turns: list[list[str]]
    """For the agent that does not: the calls of each turn."""


def compared(text: str, answer: float, entities: list[str], field: str, *, expression: str, plain: str) -> Question:
    """A question about one fact of each entity: `{1}` in the expression stands for that of the first."""
    lookups = [f'lookup("{entity}")' for entity in entities]
    referred = re.sub(r"\{(\d)\}", rf"${{\1.{field}}}", expression)
    last = len(lookups) + 1
    lines = [*lookups, f'calculate("{referred}")', f"join(${last})"]
    plan = "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1))
    return Question(text, answer, plan, [lookups, [f'calculate("{plain}")']])


QUESTIONS = [
    compared(
        "How many metres higher is Aconcagua than Kilimanjaro?",
        1066,
        ["Aconcagua", "Kilimanjaro"],
        "height_m",
        expression="{1} - {2}",
        plain="6961 - 5895",
    ),
    compared(
        "How long are the Danube, the Rhine and the Volga together, in km?",
        7614,
        ["Danube", "Rhine", "Volga"],
        "length_km",
        expression="{1} + {2} + {3}",
        plain="2850 + 1233 + 3531",
    ),
    compared(
        "What is the average population of Peru, Bolivia, Chile and Ecuador?",
        21_115_000,
        ["Peru", "Bolivia", "Chile", "Ecuador"],
        "population",
        expression="({1} + {2} + {3} + {4}) / 4",
        plain="(34200000 + 12400000 + 19760000 + 18100000) / 4",
    ),
    compared(
        "What is the combined area of Norway, Sweden, Finland, Denmark and Iceland in km2?",
        1_320_051,
        ["Norway", "Sweden", "Finland", "Denmark", "Iceland"],
        "area_km2",
        expression="{1} + {2} + {3} + {4} + {5}",
        plain="385207 + 450295 + 338455 + 43094 + 103000",
    ),
    compared(
        "How many metres deeper is Lake Baikal than Lake Tanganyika?",
        172,
        ["Lake Baikal", "Lake Tanganyika"],
        "depth_m",
        expression="{1} - {2}",
        plain="1642 - 1470",
    ),
    compared(
        "How many times as far from the Sun as the Earth is Neptune?",
        30.08,
        ["Neptune", "Earth"],
        "distance_from_sun_km",
        expression="{1} / {2}",
        plain="4500000000 / 149598000",
    ),
    compared(
        "How many times as heavy as an African elephant is a blue whale?",
        33.17,
        ["African elephant", "Blue whale"],
        "mass_kg",
        expression="{2} / {1}",
        plain="199000 / 6000",
    ),
    Question(
        "How many people per km2 live in Switzerland, and how many times as many is that as in Mongolia?",
        97.1,
        """\
1. lookup("Switzerland")
2. lookup("Mongolia")
3. calculate("${1.population} / ${1.area_km2}")
4. calculate("$3 / (${2.population} / ${2.area_km2})")
5. join($3, $4)""",
        [
            ['lookup("Switzerland")', 'lookup("Mongolia")'],
            ['calculate("8922000 / 41285")', 'calculate("(8922000 / 41285) / (3480000 / 1564116)")'],
        ],
    ),
    Question(
        "How many metres higher above sea level is the capital of Nepal than the capital of Peru?",
        1246,
        """\
1. lookup("Nepal")
2. lookup("Peru")
3. lookup("${1.capital}")
4. lookup("${2.capital}")
5. calculate("${3.elevation_m} - ${4.elevation_m}")
6. join($5)""",
        [
            ['lookup("Nepal")', 'lookup("Peru")'],
            ['lookup("Kathmandu")', 'lookup("Lima")'],
            ['calculate("1400 - 154")'],
        ],
    ),
    Question(
        "How many metres higher is the highest point of Asia than the highest point of Europe?",
        3206.86,
        """\
1. lookup("Asia")
2. lookup("Europe")
3. lookup("${1.highest_point}")
4. lookup("${2.highest_point}")
5. calculate("${3.height_m} - ${4.height_m}")
6. join($5)""",
        [
            ['lookup("Asia")', 'lookup("Europe")'],
            ['lookup("Mount Everest")', 'lookup("Elbrus")'],
            ['calculate("8848.86 - 5642")'],
        ],
    ),
    Question(
        "What percentage of the population of Mexico lives in its capital?",
        7.04,
        """\
1. lookup("Mexico")
2. lookup("${1.capital}")
3. calculate("100 * ${2.population} / ${1.population}")
4. join($3)""",
        [['lookup("Mexico")'], ['lookup("Mexico City")'], ['calculate("100 * 9209944 / 130900000")']],
    ),
    Question(
        "How many metres taller is the Burj Khalifa than the Eiffel Tower, and how many years later was it completed?",
        498,
        """\
1. lookup("Burj Khalifa")
2. lookup("Eiffel Tower")
3. calculate("${1.height_m} - ${2.height_m}")
4. calculate("${1.year_completed} - ${2.year_completed}")
5. join($3, $4)""",
        [
            ['lookup("Burj Khalifa")', 'lookup("Eiffel Tower")'],
            ['calculate("828 - 330")', 'calculate("2010 - 1889")'],
        ],
    ),
]
SYSTEMS = ("plan", "calls in parallel", "a call a turn")


def is_right(answer: str, expected: float) -> bool:
    """Whether an answer holds the expected number, within 1 %."""
    numbers = [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*\.?\d*", answer)]
    return any(abs(number - expected) <= 0.01 * expected for number in numbers)


class Metered(ScriptedModel):
    """A scripted model that takes the time of its tokens, and counts them."""

    _tokens: list[tuple[int, int]] = PrivateAttr(default_factory=list)

    @property
    def tokens(self) -> list[tuple[int, int]]:
        """What each call read and wrote."""
        return self._tokens

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        result = await super()._agenerate(messages, stop, run_manager, **kwargs)
        written = count_tokens_approximately([result.generations[0].message], extra_tokens_per_message=0)
        self._tokens.append((count_tokens_approximately(messages, tools=kwargs.get("tools")), written))
        await asyncio.sleep(TTFT + PER_TOKEN * written)
        return result


@tool("lookup", description=lookup.description)
async def slow_lookup(entity: str) -> Facts:
    """Look a thing up, over a network."""
    await asyncio.sleep(LOOKUP)
    found: Facts = lookup.func(entity)  # type: ignore[attr-defined]
    return found


@tool("calculate", description=calculate.description)
async def quick_calculate(expression: str) -> float | int:
    """Calculate without a thread."""
    found: float | int = calculate.func(expression)  # type: ignore[attr-defined]
    return found


slow_lookup.metadata, quick_calculate.metadata = lookup.metadata, calculate.metadata


def make_agent(system: str, model: BaseChatModel, tools: list[BaseTool], *more: AgentMiddleware[Any, Any, Any]) -> Any:
    """The same agent, with plans or without."""
    middleware: list[AgentMiddleware[Any, Any, Any]] = [PlanMiddleware()] if system == "plan" else []
    return create_agent(model, tools, system_prompt=SYSTEM, middleware=[*middleware, *more])


def scripted_replies(system: str, question: Question) -> list[AIMessage | Callable[[list[BaseMessage]], AIMessage]]:
    """What the models of an agent write."""
    if system == "plan":
        turns = [[("run_plan", {"plan": question.plan})]]
    else:
        turns = [[read_call(call) for call in calls] for calls in question.turns]
    if system == "a call a turn":
        turns = [[call] for calls in turns for call in calls]
    replies: list[AIMessage | Callable[[list[BaseMessage]], AIMessage]] = []
    for n, calls in enumerate(turns):
        made = [ToolCall(name=name, args=args, id=f"{n}_{m}", type="tool_call") for m, (name, args) in enumerate(calls)]
        replies.append(AIMessage("", tool_calls=made))
    return [*replies, final_answer]


def final_answer(messages: list[BaseMessage]) -> AIMessage:
    """A sentence with what was calculated: the numbers that the last messages end with."""
    found = [line for m in messages if isinstance(m, ToolMessage) for line in m.text.splitlines() if "{" not in line]
    return AIMessage(f"The answer is {', '.join(re.sub(r'^[0-9]+[.] ', '', line) for line in found)}.")


def read_call(text: str) -> tuple[str, dict[str, Any]]:
    """A call in a scripted turn, with its one argument."""
    name, _, rest = text.partition("(")
    return name, {{"lookup": "entity", "calculate": "expression"}[name]: ast.literal_eval(rest.removesuffix(")"))}


def run_scripted() -> None:
    """Print the table of the scripted agents."""
    for system in SYSTEMS:
        asked = run_virtual(lambda system=system: ask_scripted(system))  # type: ignore[misc]
        print(row(system, asked))


async def ask_scripted(system: str) -> list[dict[str, Any]]:
    """Ask all questions."""
    clock, records = asyncio.get_running_loop().time, []
    for question in QUESTIONS:
        model = Metered(replies=scripted_replies(system, question))
        began = clock()
        final = await make_agent(system, model, [slow_lookup, quick_calculate]).ainvoke({"messages": question.text})
        records.append(
            {
                "question": question.text,
                "right": is_right(final["messages"][-1].text, question.answer),
                "model_calls": len(model.tokens),
                "tokens_in": sum(read for read, _ in model.tokens),
                "tokens_out": sum(written for _, written in model.tokens),
                "seconds": clock() - began,
                "bound": sum(TTFT + PER_TOKEN * written for _, written in model.tokens) + longest_chain(question.plan),
            }
        )
    return records


def longest_chain(plan: str) -> float:
    """How long the tools of a plan take if nothing waits for longer than it must, in seconds."""
    took: dict[int, float] = {}
    for task in parse_plan(plan):
        begins = max((took[n] for n in task.dependencies), default=0.0)
        took[task.index] = begins + (LOOKUP if task.tool == "lookup" else 0.0)
    return max(took.values())


def row(system: str, records: list[dict[str, Any]]) -> str:
    """A line of the table: right answers, and means."""
    keys = [key for key in ("model_calls", "tokens_in", "tokens_out", "seconds", "bound") if key in records[0]]
    means = [sum(record[key] for record in records) / len(records) for key in keys]
    right = sum(record["right"] for record in records)
    return f"| {system} | {right} of {len(records)} | " + " | ".join(f"{mean:,.2f}" for mean in means) + " |"


class CallsInText(AgentMiddleware[Any, Any, Any]):
    """Reads the calls that the embedded model writes as JSON in its text, as its server shows them to it."""

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """Turn JSON objects with a name and arguments into calls."""
        response = await handler(request)
        *before, last = response.result
        if isinstance(last, AIMessage) and not last.tool_calls and (calls := list(calls_in(last.text))):
            last = last.model_copy(update={"content": "", "tool_calls": calls})
        response.result = [*before, last]
        return response


def calls_in(text: str) -> Iterator[ToolCall]:
    """The calls in a text."""
    at, decoder = text.find("{"), json.JSONDecoder(strict=False)
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            value, end = None, at + 1
        match value:
            case {"name": str(name), "arguments": dict(arguments)}:
                yield ToolCall(name=name, args=arguments, id=f"call_{at}_{os.urandom(4).hex()}", type="tool_call")
        at = text.find("{", end)


async def run_local(out: Path, systems: list[str]) -> None:
    """Ask the embedded model what is not in the file yet; print the table of what is."""
    model = await asyncio.to_thread(local_chat_model)
    out.parent.mkdir(parents=True, exist_ok=True)
    for question in QUESTIONS:
        for system in systems:
            if any(r["question"] == question.text and r["system"] == system for r in records_in(out)):
                continue
            record = await ask_local(system, question, model)
            with out.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(record, flush=True)
    for system in systems:
        print(row(system, [record for record in records_in(out) if record["system"] == system]))


async def ask_local(system: str, question: Question, model: BaseChatModel) -> dict[str, Any]:
    """Ask the embedded model one question."""
    limit: AgentMiddleware[Any, Any, Any] = ModelCallLimitMiddleware(run_limit=10, exit_behavior="end")
    tools = [each.model_copy(update={"handle_tool_error": True}) for each in (lookup, calculate)]
    agent = make_agent(system, model, tools, limit, CallsInText())
    began = asyncio.get_running_loop().time()
    with measured() as usage:
        final = await agent.ainvoke({"messages": question.text})
    return {
        "system": system,
        "question": question.text,
        "right": is_right(final["messages"][-1].text, question.answer),
        "model_calls": usage.model_calls,
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "seconds": asyncio.get_running_loop().time() - began,
        "messages": [
            {"type": m.type, "text": m.text, "calls": getattr(m, "tool_calls", [])} for m in final["messages"]
        ],
    }


def records_in(out: Path) -> list[dict[str, Any]]:
    """What was asked before."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", choices=["scripted", "local"])
    parser.add_argument("--out", type=Path, default=Path("runs/plan_middleware.jsonl"))
    parser.add_argument("--systems", nargs="+", default=["plan", "without"], choices=["plan", "without"])
    given = parser.parse_args()
    if given.models == "scripted":
        run_scripted()
    else:
        asyncio.run(run_local(given.out, given.systems))


if __name__ == "__main__":
    main()
