"""What the live benchmarks put around the embedded model and its tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.tools import BaseTool, ToolException, tool

from llmcompiler_graph.tools import calculate, lookup
from llmcompiler_graph.tools.facts import Facts


class AroundModel(BaseChatModel):
    """A chat model around another; a subclass's `_astream` says what happens on the way."""

    inner: BaseChatModel

    @property
    def _llm_type(self) -> str:
        return "around"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        msg = "asked asynchronously only: `ainvoke` or `astream`"
        raise NotImplementedError(msg)

    async def ask_inner(self, messages: list[BaseMessage], **kwargs: Any) -> AsyncIterator[AIMessageChunk]:
        """Stream what the inner model says."""
        async for chunk in self.inner.astream(messages, **kwargs):
            assert isinstance(chunk, AIMessageChunk)
            yield chunk


def flaky_tools(*, failing: bool = True) -> list[BaseTool]:
    """The built-in tools; the first call of `lookup` fails if `failing`."""
    calls: list[str] = []

    @tool("lookup", description=lookup.description)
    def flaky(entity: str) -> Facts:
        calls.append(entity)
        if failing and len(calls) == 1:
            msg = "the service did not answer in time, try again"
            raise ToolException(msg)
        found: Facts = lookup.invoke(entity)
        return found

    flaky.metadata = lookup.metadata
    return [flaky, calculate]
