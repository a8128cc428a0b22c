"""Systems that are recorded, and systems that are replayed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.tools import BaseTool

from llmcompiler_graph import LLMCompilerError
from llmcompiler_graph.evaluation.cassettes.player import Player, replaying_tool
from llmcompiler_graph.evaluation.cassettes.recorder import RecordingModel, recording_tool
from llmcompiler_graph.evaluation.cassettes.tape import Cassette, CassetteError, Take
from llmcompiler_graph.evaluation.failures import failed_answer, provider_status
from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.models.lazy import LazyModel, is_local
from llmcompiler_graph.testing import run_virtual

__all__ = ("recording", "replaying")


def recording(
    system: System, cassette: Cassette, model_name: str | None = None, temperature: float | None = None
) -> System:
    """The same system, each answer of which adds a take to a cassette; none is added where the provider failed.

    Args:
        system: The system.
        cassette: The cassette.
        model_name: What the model is called there; its own name, if not given.
        temperature: The temperature that was asked for, if any.
    """

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        inner = await LazyModel(model).aget()
        native = getattr(inner, "native_calls", type(inner).bind_tools is not BaseChatModel.bind_tools)
        own = model if isinstance(model, str) else getattr(inner, "model_name", type(inner).__name__)
        take = Take(
            {
                "name": model_name or own,
                "local": is_local(model),
                "native_calls": native,
                "temperature": temperature,
            }
        )
        recorder = RecordingModel(
            inner=inner,
            local=is_local(model),
            native_calls=native,
            entries=take.entries,
            rate_limiter=inner.rate_limiter,  # the recorder is whom LangChain makes wait
        )

        def tools(sample: Sample, model: Model) -> list[BaseTool]:
            return [recording_tool(tool, take) for tool in benchmark.tools(sample, model)]

        try:
            given = await system.answer(sample, replace(benchmark, tools=tools), recorder)
        except (LLMCompilerError, ImportError):
            raise
        except Exception as error:
            if provider_status(error) is None:
                cassette.add(take, system, benchmark, sample)
            raise
        cassette.add(take, system, benchmark, sample)
        return given

    return System(system.name, answer)


def replaying(system: System, cassette: Cassette, model_name: str | None = None) -> System:
    """The same system, asking nobody but the cassette; the model it is given does not matter.

    Each answer runs on a virtual clock of its own, in a thread. It holds the seconds that passed there, and in its
    timeline when the model was asked.

    Args:
        system: The system.
        cassette: The cassette.
        model_name: Of which model the answers are; need not be given where there are those of one only.
    """

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        player = Player(cassette, system, benchmark, sample, model_name)

        def tools(sample: Sample, model: Model) -> list[BaseTool]:
            return [replaying_tool(tool, player) for tool in benchmark.tools(sample, model)]

        async def main() -> Answer:
            try:
                given = await system.answer(sample, replace(benchmark, tools=tools), player.model())
            except (LLMCompilerError, ImportError):
                raise
            except Exception as error:  # the system's own: its answer, after so many virtual seconds
                given = failed_answer(error)
            if player.missing:  # said again: a system may have made an observation of it
                raise CassetteError(player.missing)
            timeline = (*given.timeline, *player.asked)
            return replace(given, timeline=timeline, virtual_s=asyncio.get_running_loop().time())

        return await asyncio.to_thread(run_virtual, main)

    return System(system.name, answer)
