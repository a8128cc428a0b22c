"""What a stable prefix saves, live: prompt tokens that llama.cpp evaluates (does not find cached) per model call.

python -m tests.benchmarks.prefix_cache [--questions 3] [--model qwen2.5-coder-1.5b]

The first lookup of each question fails once, so that the joiner asks for another plan. Three ways are compared:
`shared` is this package's one growing conversation; `separate` gives planner and joiner a system message of their own
each, as other implementations do, and tells each of them all it is to know in its last message; `fused` is `shared`
with `fuse_replan=True`. Every way starts with a cold cache in the server: its first question pays for the instructions.
"""

from __future__ import annotations

import argparse
import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGenerationChunk

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.cli.defaults import default_examples
from llmcompiler_graph.models.constraints import Constraint
from llmcompiler_graph.models.local import local_chat_model
from tests.benchmarks.around_the_model import AroundModel, flaky_tools

QUESTIONS = [
    "How many metres taller is Makalu than Lhotse?",
    "What is the total length in km of the Rhine, the Elbe and the Po?",
    "Which is deeper, Lake Tanganyika or Lake Malawi?",
    "How many metres taller is Cho Oyu than Manaslu?",
    "What is the average area in km2 of Spain, Italy and Norway?",
]


class Counting(AroundModel):
    """A chat model that counts the prompt tokens of each call, all and cached, and may lay out prompts otherwise."""

    separate: bool
    salt: str
    counts: list[tuple[str, int, int]]

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        last = messages[-1].text
        role = (
            "joiner"
            if "Finish with" in last or "Write the answer" in last
            else "repair"
            if "cannot be used" in last
            else "first call"
        )
        role = "replan" if "Number its tasks" in last else role
        async for chunk in self.ask_inner(self._laid_out(messages, role), **kwargs):
            if usage := chunk.usage_metadata:
                cached = usage.get("input_token_details", {}).get("cache_read", 0)
                self.counts.append((role, usage["input_tokens"], cached))
            yield ChatGenerationChunk(message=chunk)

    def _laid_out(self, messages: list[BaseMessage], role: str) -> list[BaseMessage]:
        """Make the cache cold with a first line of its own; or with one for each role, and one message behind it."""
        who = ("joiner" if role == "joiner" else "planner") if self.separate else "agent"
        system = SystemMessage(f"{self.salt}: you are the {who}.\n\n{messages[0].text}")
        if not self.separate:
            return [system, *messages[1:]]
        return [system, HumanMessage("\n\n".join(message.text for message in messages[1:]))]


async def measure(inner: BaseChatModel, way: str, questions: list[str]) -> None:
    """Ask the questions in one way; print a line per call and the mean of each role, the first question apart."""
    salt = uuid.uuid4().hex
    later: dict[str, list[tuple[int, int]]] = defaultdict(list)
    replans = calls = 0
    for number, question in enumerate(questions):
        model = Counting(inner=inner, separate=way == "separate", salt=salt, counts=[])
        graph = create_llm_compiler(
            model,
            flaky_tools(),
            examples=default_examples,
            constrain=Constraint("llama.cpp", "lark", one_line=True),
            max_replans=1,
            fuse_replan=way == "fused",
        )
        final = await graph.ainvoke({"messages": [("user", question)]})
        replans += len(final["rounds"]) - 1
        # a replan's own calls: the joiner's that asks for it, and the planner's, if there is one
        calls += sum(1 + (not one.get("adopted", False)) for one in final["rounds"][1:])
        for role, prompt, cached in model.counts:
            print(
                f"{way:9} question {number + 1} {role:10} {prompt:5} prompt tokens, {prompt - cached:5} evaluated",
                flush=True,
            )
            if number:
                later[role].append((prompt, prompt - cached))
    for role, counts in later.items():
        prompt, evaluated = (sum(column) / len(counts) for column in zip(*counts, strict=True))
        tokens = f"{prompt:7.1f} prompt tokens, {evaluated:7.1f} evaluated, n={len(counts)}"
        print(f"{way:9} mean after the first {role:10} {tokens}")
    per_question = sum(evaluated for counts in later.values() for _, evaluated in counts) / max(1, len(questions) - 1)
    print(f"{way:9} evaluated per question after the first: {per_question:.1f}")
    if replans:
        print(f"{way:9} model calls per replan: {calls / replans:.2f} ({replans} replans)")


async def main() -> None:
    """Measure all three ways."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--questions", type=int, default=3, help="how many of the questions to ask")
    arguments.add_argument("--model", default="qwen2.5-coder-1.5b", help="the embedded model to ask")
    arguments.add_argument("--ways", nargs="+", default=["separate", "shared", "fused"])
    given = arguments.parse_args()
    inner = await asyncio.to_thread(local_chat_model, given.model)
    for way in given.ways:
        await measure(inner, way, QUESTIONS[: given.questions])


if __name__ == "__main__":
    asyncio.run(main())
