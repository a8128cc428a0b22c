"""Plans that are forced to fail, live: how many of 50 questions does repair rescue, and how many does replanning?

python -m tests.benchmarks.rescue [--limit 50] [--model local] [--out rescue.jsonl] [--modes repair replan …]

Each question's first plan is broken in one of three ways, in turn: the first `lookup` is misspelt, or loses its
argument (both in the real model's own plan text), or fails when it is called for the first time. `unharmed` breaks
nothing, with the package's defaults: what the model can do. Resumes where it stopped: each run is a line of `--out`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.cli.defaults import default_examples
from llmcompiler_graph.models.constraints import Constraint
from llmcompiler_graph.models.local import local_chat_model
from llmcompiler_graph.tools.facts import Facts, load_entries, load_index, normalise
from tests.benchmarks.around_the_model import AroundModel, flaky_tools

MODES: dict[str, dict[str, Any]] = {
    "unharmed": {},
    "neither": {"max_repairs": 0, "max_replans": 0},
    "repair": {"max_repairs": 1, "max_replans": 0},
    "replan": {"max_repairs": 0, "max_replans": 1},
    "fused": {"max_repairs": 0, "max_replans": 1, "fuse_replan": True},
}
CONSTRAINT = Constraint("llama.cpp", "lark", one_line=True)  # what `model="local"` is held to
FAULTS = ("wrong tool name", "missing argument", "tool error")


class Question(NamedTuple):
    """One question and its answer, computed from the facts."""

    text: str
    answer: float


# -- questions ---------------------------------------------------------------------------------------------------------

_KINDS = [  # kind, field, unit, more than, noun
    ("mountain", "height_m", "metres", "higher", "height"),
    ("river", "length_km", "km", "longer", "length"),
    ("lake", "depth_m", "metres", "deeper", "depth"),
    ("building", "height_m", "metres", "taller", "height"),
    ("country", "area_km2", "square kilometres", "larger", "area"),
    ("animal", "max_speed_km_h", "km/h", "faster", "maximum speed"),
]


def questions(count: int) -> list[Question]:
    """Make questions over the facts that `lookup` knows, the same ones every time."""
    choose = random.Random(4)
    index = load_index()
    entries = cast("tuple[Facts, ...]", load_entries())
    known = [one for one in entries if len(index.spellings[normalise(one["name"])]) == 1]
    made: list[Question] = []
    while len(made) < count:
        kind, field, unit, more, noun = _KINDS[len(made) % len(_KINDS)]
        several = choose.sample([one for one in known if one["kind"] == kind and field in one], 3)
        several.sort(key=lambda one: -float(one[field]))  # type: ignore[literal-required]
        names = [one["name"] for one in several]
        values = [float(one[field]) for one in several]  # type: ignore[literal-required]
        if values[0] < 1.05 * values[1] or values[1] < 1.05 * values[2]:
            continue
        shuffled = choose.sample(names, 3)
        listed = f"{shuffled[0]}, {shuffled[1]} and {shuffled[2]}"
        made.append(
            choose.choice(
                [
                    Question(f"How many {unit} {more} is {names[0]} than {names[2]}?", values[0] - values[2]),
                    Question(f"What is the total {noun} in {unit} of {listed}?", sum(values)),
                    Question(f"What is the average {noun} in {unit} of {listed}?", sum(values) / 3),
                ]
            )
        )
    return made


def is_right(answer: str, expected: float) -> bool:
    """Whether an answer holds the expected number, within 1 %."""
    numbers = [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*\.?\d*", answer)]
    return any(abs(number - expected) <= 0.01 * expected for number in numbers)


# -- faults ------------------------------------------------------------------------------------------------------------


class Faulty(AroundModel):
    """A chat model whose first plan is broken on its way."""

    spoil: Callable[[str], str]
    done: bool = False

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        if self.done:
            async for chunk in self.ask_inner(messages, **kwargs):
                yield ChatGenerationChunk(message=chunk)
            return
        self.done = True
        text, usage = "", None
        async for chunk in self.ask_inner(messages, **kwargs):
            text, usage = text + chunk.text, chunk.usage_metadata or usage
        yield ChatGenerationChunk(message=AIMessageChunk(content=self.spoil(text), usage_metadata=usage))


SPOIL: dict[str, Callable[[str], str]] = {
    "wrong tool name": lambda plan: re.sub(r"\blookup\(", "lookup_entity(", plan, count=1),
    "missing argument": lambda plan: re.sub(r"\blookup\([^)\n]*\)", "lookup()", plan, count=1),
    "tool error": lambda plan: plan,
}


# -- runs --------------------------------------------------------------------------------------------------------------


async def run(inner: BaseChatModel, question: Question, fault: str, mode: str) -> dict[str, Any]:
    """Ask one question in one way."""
    harmed = mode != "unharmed"
    model = Faulty(inner=inner, spoil=SPOIL[fault if harmed else "tool error"])
    made = flaky_tools(failing=harmed and fault == "tool error")
    graph = create_llm_compiler(model, made, examples=default_examples, constrain=CONSTRAINT, **MODES[mode])
    began = time.monotonic()
    final = await graph.ainvoke({"messages": [("user", question.text)]})
    answer = str(final["messages"][-1].content)
    return {
        "question": question.text,
        "fault": fault,
        "mode": mode,
        "right": is_right(answer, question.answer),
        "answer": answer,
        "expected": question.answer,
        "seconds": round(time.monotonic() - began, 1),
        "rounds": [
            {"plan": one["plan"], "repairs": one.get("repairs", []), "reply": one["reply"]} for one in final["rounds"]
        ],
    }


def report(lines: list[dict[str, Any]]) -> None:
    """Print the share of right answers, by fault and mode."""
    for fault in (*FAULTS, "any"):
        for mode in MODES:
            these = [line for line in lines if line["mode"] == mode and fault in (line["fault"], "any")]
            if these:
                print(f"{fault:16} {mode:9} right {sum(line['right'] for line in these):2} of {len(these)}")


async def main() -> None:
    """Ask what was not asked yet, and report."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--limit", type=int, default=50, help="how many questions")
    arguments.add_argument("--model", default="qwen2.5-coder-1.5b", help="the embedded model to ask")
    arguments.add_argument("--out", type=Path, default=Path("rescue.jsonl"), help="where runs are kept")
    arguments.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    given = arguments.parse_args()
    lines = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    asked = {(line["question"], line["mode"]) for line in lines}
    inner = await asyncio.to_thread(local_chat_model, given.model)
    for number, question in enumerate(questions(given.limit)):
        fault = FAULTS[number % len(FAULTS)]
        for mode in given.modes:
            if (question.text, mode) in asked or (fault, mode) == ("tool error", "repair"):
                continue  # a plan that failed in its tools has nothing to repair
            line = await run(inner, question, fault, mode)
            lines.append(line)
            with given.out.open("a") as out:
                out.write(json.dumps(line) + "\n")
            mark = "✓" if line["right"] else "✗"
            print(f"{mark} {line['seconds']:5.1f} s {fault:16} {mode:9} {question.text} → {line['answer']}", flush=True)
    report(lines)


if __name__ == "__main__":
    asyncio.run(main())
