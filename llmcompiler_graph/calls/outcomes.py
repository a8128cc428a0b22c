"""What one tool call gave: notes while it is made, then its observation.

The value is the tool's own, as JSON, unless a `wrap_tool_call` has changed the message: then what it made of it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

from langchain_core.messages import ToolMessage, convert_to_messages
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ToolException
from langgraph.types import Command

from llmcompiler_graph.calls.storability import check_command, keep_message
from llmcompiler_graph.calls.structured_content import structured_value
from llmcompiler_graph.calls.values import awritten, shortened
from llmcompiler_graph.core.errors import ObservationError, described
from llmcompiler_graph.core.language.json_text import read_json
from llmcompiler_graph.core.language.plan import Observation
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.language.substitution import as_text
from llmcompiler_graph.state import storable

__all__ = ("Call", "observation_of")


class Unknown:
    """In place of a value that was not noted."""


@dataclass(slots=True)
class Call:
    """One call: how it is made, what its tool returned, and the message made of that."""

    sync: bool
    """Whether the graph was called synchronously."""
    in_thread: bool
    """Whether the tool's synchronous side is called, in a thread."""
    wrapped: bool
    """Whether a wrapper may change the message."""
    arguments: Mapping[str, Any]
    """What the tool is called with."""
    run: object = None
    """What it is of: calls of one may be made as one."""
    failed: dict[int, Exception] | None = None
    """Of a call for many: the exceptions among what it returned, by element; `None` of any other."""
    batch: str = ""
    """The call that was made for it and others; empty if it was made by itself."""
    check: Callable[[str, Mapping[str, Any]], None] | None = None
    """Raises if what wrappers have made of it may not be called."""
    fresh: bool = False
    """Whether no earlier call may answer it."""
    kept: Mapping[str, Any] = field(default_factory=dict)
    """Those of its arguments that LangChain is not to see (see `own_arguments`)."""
    output_schema: object = None
    """What the server of an MCP tool says of the values."""
    value: Any = Unknown
    """What the tool returned, as JSON; of content and artifact, the content."""
    error: Exception | None = None
    """What the tool raised."""
    refused: str = ""
    """Why what it returned cannot be an observation."""
    given_up: bool = False
    """Whether nobody waits for it any more."""
    cached: bool = False
    """Whether the cache has answered it."""
    content: Any = Unknown
    """What `ToolNode` made of it, before any wrapper saw it."""

    def begin(self) -> None:
        """Forget an earlier attempt: a wrapper calls the tool again."""
        self.value = self.content = Unknown
        self.error, self.refused, self.cached, self.batch = None, "", False, ""

    @property
    def is_noted(self) -> bool:
        """Whether what the tool returned is known, and can be an observation."""
        return self.value is not Unknown and not self.refused

    def without_failures(self, content: Any) -> Any:
        """What a tool that takes many returned, without the exceptions in it.

        Raises:
            ToolException: Its results have no order.
        """
        if self.failed is None or not isinstance(content, list | tuple | set | frozenset):
            return content
        if isinstance(content, set | frozenset):
            msg = (
                f"the results are a {type(content).__name__}, which has no order: return a list, a result for each call"
            )
            raise ToolException(msg)
        for n, each in enumerate(content):
            if isinstance(each, BaseException):  # no tool can end the run by what it returns
                self.failed[n] = each if isinstance(each, Exception) else ToolException(described(each))
        return [None if isinstance(each, BaseException) else each for each in content]

    def note(self, value: JSON, rest: tuple[Any, ...]) -> Any:
        """Keep what a tool returned; give what it is to return instead."""
        self.value = _plain(value) if rest else value
        return (value, *rest) if rest else value

    def refuse(self, error: ObservationError, rest: tuple[Any, ...]) -> Any:
        """Keep why what a tool returned cannot be an observation; give what it is to return instead."""
        self.refused = f"{type(error).__name__}: the tool has run, but what it returned cannot be kept: {error}"
        return (self.refused, *rest) if rest else self.refused


def _plain(content: Any) -> Any:
    """Make text of blocks that are all text: so MCP tools give it if they declare no `outputSchema`."""
    if isinstance(content, list) and content and all(isinstance(b, dict) and b.get("type") == "text" for b in content):
        return "\n".join(str(block.get("text", "")) for block in content)
    return content


async def observation_of(output: Any, call_id: str, call: Call, config: RunnableConfig) -> Observation:
    """Make the observation of a call; its `attachment` is the list of messages and commands that the tool gave.

    Args:
        output: What `ToolNode` gave.
        call_id: The call's id.
        call: What was noted of it.
        config: That of the node or `@task` that the tool is called from.
    """
    messages: list[ToolMessage] = []
    commands: list[Command[Any]] = []
    message: ToolMessage | None = None
    value: JSON = None
    try:
        for each in output if isinstance(output, list) else [output]:
            if isinstance(each, Command):
                commands.append(command := _with_messages(each))
                if isinstance(command.update, dict):
                    messages += [m for m in command.update.get("messages", ()) if isinstance(m, ToolMessage)]
            else:
                messages += each["messages"]
        message = next((m for m in messages if m.tool_call_id == call_id), None)
        if message is not None:
            message.id = message.id or f"{call_id}_result"  # known before it is in the state: so it is streamed once
            value = await _value(message, call)
            keep_message(message, config)
        for command in commands:
            check_command(command, config)
    except ObservationError as error:
        call.refuse(error, ())
        message = message or ToolMessage("", tool_call_id=call_id, id=f"{call_id}_result")
        message.status, message.content, commands = "error", call.refused, []
    if message is None:
        return Observation("done", None, attachment=commands)
    attachment = [message, *commands]
    if message.status == "error":
        return Observation("failed", error=str(message.text), attachment=attachment)
    return Observation("done", value, attachment=attachment)


def _with_messages(command: Command[Any]) -> Command[Any]:
    """A command whose messages are a list of messages: tools may also write dictionaries, or a single one."""
    if not isinstance(command.update, dict) or "messages" not in command.update:
        return command
    given = command.update["messages"]
    try:
        messages = convert_to_messages(given if isinstance(given, list | tuple) else [given])
    except Exception as error:
        msg = f"its command's messages cannot be read: {described(error)}"
        raise ObservationError(msg) from error
    return replace(command, update={**command.update, "messages": messages})


async def _value(message: ToolMessage, call: Call) -> JSON:
    """What the tool returned, as JSON, unless its message says something else by now; the message then says it too."""
    if call.refused and message.content == call.refused:
        message.status = "error"
    if message.status == "error":
        said = message.content
        message.content = (
            shortened(said) if isinstance(said, str) else cast("Any", await awritten(said, str(message.name)))
        )
        return None
    if call.wrapped and message.content != call.content:
        return await _rewritten(message, call)
    artifact = message.artifact
    if isinstance(artifact, dict) and "structured_content" in artifact:  # an MCP tool's structured content
        return await awritten(structured_value(artifact, message.content, call.output_schema), str(message.name))
    if call.value is Unknown:
        content: JSON = await awritten(message.content, str(message.name))
        message.content = cast("Any", content)
        return content
    if isinstance(message.content, str):  # where `ToolNode` makes something else of a list of texts
        message.content = as_text(call.value)
    return cast("JSON", call.value)


async def _rewritten(message: ToolMessage, call: Call) -> JSON:
    """What a wrapper made of a message; JSON again if the tool's value had been written as JSON."""
    content = message.content = cast("Any", await awritten(message.content, str(message.name)))
    if isinstance(content, str) and not (call.value is Unknown or isinstance(call.value, str)):
        with suppress(ValueError):
            return storable(read_json(content))
    return cast("JSON", _plain(content) if isinstance(call.value, str) else content)
