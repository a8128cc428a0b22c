"""Sees to it that the run's checkpointer can store what a tool gives besides its value: messages and commands.

What cannot be stored would end the run when the checkpoint is written, and the thread could not go on.
"""

from __future__ import annotations

import warnings
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_CHECKPOINTER
from langgraph.types import Command

from llmcompiler_graph.core.errors import ObservationError, described
from llmcompiler_graph.state import LLMCompilerState

__all__ = ("check_command", "keep_message")

LARGE_ARTIFACT = 1_000_000
"""The size of an artifact above which the user is told, in bytes."""

_OURS = frozenset(LLMCompilerState.__annotations__) - {"messages", "structured_response"}


def keep_message(message: ToolMessage, config: RunnableConfig) -> None:
    """Replace the artifact of a message by a note of why, if it cannot be stored, and leave out its other extras.

    Args:
        message: The message; its content is JSON.
        config: That of the node or `@task` that the tool is called from.
    """
    if message.artifact is not None:
        stored = _stored(message, config)
        if isinstance(stored, str):
            message.artifact = f"not kept: {stored}"
        elif stored > LARGE_ARTIFACT + len(str(message.content)):
            what = f"the artifact of a call of {message.name!r} takes about {stored:,} bytes"
            warnings.warn(f"{what}: every checkpoint keeps it; let the tool give where it is found", stacklevel=2)
    if (message.additional_kwargs or message.response_metadata) and isinstance(_stored(message, config), str):
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
    if isinstance(stored := _stored(command, config), str):
        msg = f"its command cannot be stored: {stored}"
        raise ObservationError(msg)


def _stored(given: ToolMessage | Command[Any], config: RunnableConfig) -> int | str:
    """How many bytes something takes where it is stored, 0 if it is not; why it cannot be, if it cannot."""
    checkpointer = config.get("configurable", {}).get(CONFIG_KEY_CHECKPOINTER)
    serializer = getattr(checkpointer, "serde", None)
    if serializer is None:
        return 0
    try:
        _, stored = serializer.dumps_typed(given)
    except Exception as error:
        return described(error)
    return len(stored)
