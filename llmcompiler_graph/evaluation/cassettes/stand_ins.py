"""What stands for a model and for a tool while a cassette is recorded or replayed."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.tools import BaseTool, StructuredTool

from llmcompiler_graph import ConfigurationError

__all__ = ("StandInModel", "function_of", "with_function")


class StandInModel(BaseChatModel):
    """What recording and replaying models have in common: how systems see them."""

    local: bool
    """Whether it stands for the embedded model: `is_local` asks for it."""
    native_calls: bool
    """Whether the model behind it calls tools by its provider's means."""

    @property
    def _llm_type(self) -> str:
        return "cassette"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        msg = "a model behind a cassette is asked asynchronously: `ainvoke` or `astream`"
        raise NotImplementedError(msg)


def function_of(tool: BaseTool) -> Callable[..., Any]:
    """What a tool calls, as a coroutine function of named arguments."""
    if not isinstance(tool, StructuredTool):
        msg = f"the tool {tool.name!r} cannot be recorded: it is not made of a function with named arguments"
        raise ConfigurationError(msg)
    if tool.coroutine is not None:
        return tool.coroutine
    assert tool.func is not None
    return functools.partial(asyncio.to_thread, tool.func)


def with_function(tool: BaseTool, call: Callable[..., Any]) -> BaseTool:
    """The same tool, its return annotation too, with another function in it."""
    assert isinstance(tool, StructuredTool)
    original = tool.coroutine or tool.func
    assert original is not None
    return tool.model_copy(update={"func": None, "coroutine": functools.wraps(original)(call)})
