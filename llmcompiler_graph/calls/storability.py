"""Sees to it that the run's checkpointer can store what a tool gives besides its value: messages and commands.

What cannot be stored would end the run when the checkpoint is written, and the thread could not go on.
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_CHECKPOINTER
from langgraph.types import Command

from llmcompiler_graph.core.errors import ObservationError, described
from llmcompiler_graph.state import LLMCompilerState

__all__ = ("check_command", "keep_message")

_OURS = frozenset(LLMCompilerState.__annotations__) - {"messages", "structured_response"}


def keep_message(message: ToolMessage, config: RunnableConfig) -> None:
    """Replace the artifact of a message by a note of why, if it cannot be stored, and leave out its other extras.

    Args:
        message: The message; its content is JSON.
        config: That of the node or `@task` that the tool is called from.
    """
    if message.artifact is not None and (why := _why_not(message, config)):
        message.artifact = f"not kept: {why}"
    if (message.additional_kwargs or message.response_metadata) and _why_not(message, config):
        message.additional_kwargs, message.response_metadata = {}, {}


def check_command(command: Command[Any], config: RunnableConfig) -> None:
    """Check that a command can be carried out and stored.

    Args:
        command: The command.
        config: That of the node or `@task` that the tool is called from.

    Raises:
        ObservationError: It writes what only the graph's nodes may write, or what cannot be stored.
    """
    if isinstance(command.update, dict) and command.graph is None and (keys := _OURS.intersection(command.update)):
        msg = f"its command writes {', '.join(map(repr, sorted(keys)))}, which only the graph itself may write"
        raise ObservationError(msg)
    if why := _why_not(command, config):
        msg = f"its command cannot be stored: {why}"
        raise ObservationError(msg)


def _why_not(given: ToolMessage | Command[Any], config: RunnableConfig) -> str:
    """Say why something cannot be stored; nothing if it can, or if the run stores nothing."""
    checkpointer = config.get("configurable", {}).get(CONFIG_KEY_CHECKPOINTER)
    serializer = getattr(checkpointer, "serde", None)
    if serializer is None:
        return ""
    try:
        serializer.dumps_typed(given)
    except Exception as error:
        return described(error)
    return ""
