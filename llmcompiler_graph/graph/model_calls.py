"""Puts middleware around the calls of models: `wrap_model_call` of LangChain's `AgentMiddleware`.

A middleware is given a `ModelRequest` as in `create_agent`: the conversation, the user's system message, the tools. Its
handler writes our prompt from that request, streams the model, and returns the message. While it streams, its pieces
are read, so that tasks start as early as without middleware. If the handler is called again, or what the middleware
returns is not what was streamed, a `Restart` is read, then what counts. Of the tasks that were begun, none has effects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
    message_chunk_to_message,
)
from langchain_core.tools import BaseTool
from langgraph.runtime import get_runtime
from langgraph.types import Command

from llmcompiler_graph.concurrency.giving_up import within
from llmcompiler_graph.concurrency.threads import wrapped_in_thread
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.examples import PlanExample, shown_tasks
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.graph.context import Settings
from llmcompiler_graph.graph.edited_results import with_edited_results
from llmcompiler_graph.models.answers import merged
from llmcompiler_graph.models.lazy import ChatModel, LazyModel
from llmcompiler_graph.models.prompts import question_of
from llmcompiler_graph.models.replies import Restart, WrappedModel, model_chunks
from llmcompiler_graph.models.structured import AnswerForm, Ask, Way, invoked
from llmcompiler_graph.state import LLMCompilerState

if TYPE_CHECKING:
    from langchain.agents.middleware import ModelRequest, ModelResponse

__all__ = ("ModelCalls", "ModelWrapper", "WrappedCall")


class ModelWrapper(NamedTuple):
    """A middleware's `wrap_model_call`, in one way or in both."""

    name: str
    """The middleware's name."""
    wrap: Callable[..., Any] | None
    """Called in a thread; preferred where the graph was called synchronously."""
    awrap: Callable[..., Any] | None
    """Called on the event loop; preferred elsewhere."""


@dataclass(frozen=True)
class ModelCalls:
    """Wraps the model calls of one graph."""

    settings: Settings
    """The graph's tools and limits."""
    wrappers: Sequence[ModelWrapper]
    """What is put around each call, the outermost first."""
    tools: Mapping[str, BaseTool]
    """The tools, by name."""
    system_prompt: str | SystemMessage | None
    """What the user tells the models before everything else."""
    examples: Sequence[PlanExample] | None
    """The user's examples, if any."""
    write: Callable[..., SystemMessage]
    """Writes the system message of tools and examples, for a `system_prompt`."""

    def around(
        self,
        model: ChatModel,
        source: LazyModel,
        state: LLMCompilerState,
        bind: Callable[[ChatModel, Sequence[ToolSpec]], ChatModel],
        *,
        sync: bool,
        last: bool = False,
        whole: bool = False,
    ) -> WrappedCall:
        """Make what is asked in a model's place.

        Args:
            model: The model, nothing bound to it.
            source: What it was got from.
            state: The state of the node that asks.
            bind: Binds a model to what its prompt needs.
            sync: Whether the graph was called synchronously.
            last: Whether no other plan is possible.
            whole: Whether nothing may be read before the reply is known to count.
        """
        return WrappedCall(self, model, source, state, bind, sync=sync, last=last, whole=whole)

    def request(self, model: ChatModel, state: LLMCompilerState) -> ModelRequest[Any]:
        """What middleware is given."""
        from langchain.agents.middleware import ModelRequest

        given = self.system_prompt
        system = SystemMessage(given) if isinstance(given, str) and given else given
        return ModelRequest(
            model=model,  # type: ignore[arg-type]
            messages=list(state["messages"]),
            system_message=system or None,
            tools=[self.tools[each.called] for each in self.settings.shown(state) if each.called in self.tools],
            state=state,  # type: ignore[arg-type]
            runtime=get_runtime(),
        )

    def specs(self, request: ModelRequest[Any]) -> list[ToolSpec]:
        """The tools that a request shows, and all procedures.

        Raises:
            ConfigurationError: One of them is none of the graph's.
        """
        known = {spec.called: spec for spec in self.settings.specs}
        wanted = [tool.name if isinstance(tool, BaseTool) else None for tool in request.tools]
        if unknown := [tool for tool, name in zip(request.tools, wanted, strict=True) if name not in known]:
            msg = (
                f"middleware shows the model tools that plans cannot call: {unknown!r:.300}; "
                f"give them to the graph as `tools`, there are {', '.join(known)}"
            )
            raise ConfigurationError(msg)
        return [*(known[name] for name in wanted if name is not None), *self._procedures]

    @property
    def _procedures(self) -> list[ToolSpec]:
        return [known.spec for known in self.settings.procedures.values()]

    def system(self, message: SystemMessage | None, specs: Sequence[ToolSpec]) -> SystemMessage:
        """Write the system message anew."""
        examples: Sequence[PlanExample] | None = None
        if self.examples is not None:
            names = {spec.name for spec in specs}
            examples = [e for e in self.examples if {task.tool for plan in shown_tasks(e) for task in plan} <= names]
        return self.write(specs, examples, system_prompt=message or "")


@dataclass
class WrappedCall(WrappedModel):
    """A model with middleware around it, for one reply or several; `commands` is what the middleware wants written."""

    calls: ModelCalls
    model: ChatModel
    source: LazyModel
    state: LLMCompilerState
    bind: Callable[[ChatModel, Sequence[ToolSpec]], ChatModel]
    sync: bool
    last: bool
    whole: bool
    commands: list[Command[Any]] = field(default_factory=list)
    enough: bool = False

    def __post_init__(self) -> None:
        """Note what the request is before middleware changes it: `given`."""
        self.given = self.calls.request(self.model, self.state)
        self._base = self.calls.settings.conversation(self.state, last=self.last)

    async def chunks(self, prompt: list[BaseMessage], grammar: Mapping[str, Any]) -> AsyncIterator[AIMessage]:
        """Ask; give the reply as it is streamed, and `Restart` where what was given before does not count."""
        self.enough = False
        exchange = _Exchange(self, prompt, grammar)
        asking = asyncio.create_task(within(None, "middleware around a model", exchange.ask()))
        asking.add_done_callback(lambda _: exchange.pieces.put_nowait(None))
        try:
            while (piece := await exchange.pieces.get()) is not None:
                yield piece
                exchange.pieces.task_done()
            await asking  # raises what middleware or model raised
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def formed(self, form: AnswerForm) -> Ask:
        """Make what asks for an answer in a form."""

        async def ask(way: Way, prompt: list[BaseMessage]) -> tuple[AIMessage, Any]:
            async def handler(request: ModelRequest[Any]) -> ModelResponse[Any]:
                from langchain.agents.middleware import ModelResponse

                _same_form(request, form.strategy)
                written = self.prompt(request, self.calls.specs(request), prompt)
                return ModelResponse(result=[await invoked(way(request.model), written, sync=self.sync)])

            request = self.given.override(response_format=form.strategy)
            response, commands = await _composed(self.calls.wrappers, request, handler, sync=self.sync)
            self.commands.extend(map(_checked, commands))
            return _said(response), response.structured_response

        return ask

    def prompt(
        self, request: ModelRequest[Any], specs: Sequence[ToolSpec], prompt: list[BaseMessage]
    ) -> list[BaseMessage]:
        """Write the prompt for a request: that of the graph, if nothing was changed."""
        given = self.given
        messages: list[AnyMessage] = convert_to_messages(request.messages)  # type: ignore[assignment]
        shown = [tool.name for tool in given.tools]  # type: ignore[union-attr]
        renamed = [spec.called for spec in specs if spec.called in self.calls.tools] != shown
        system = None
        if renamed or request.system_message != given.system_message:
            system = self.calls.system(request.system_message, specs)
        if system is None and messages == given.messages:
            return prompt
        kept, added = _without_added(messages, self.state)
        question = question_of(self.state)  # middleware may leave it out of what the joiner is shown
        changed = with_edited_results({**self.state, "messages": kept, "turn_question": question})
        base = self.calls.settings.conversation(changed, last=self.last, system=system)
        return [*base, *added, *prompt[len(self._base) :]]


@dataclass
class _Exchange:
    """One reply of a model with middleware around it."""

    call: WrappedCall
    prompt: list[BaseMessage]
    grammar: Mapping[str, Any]
    pieces: asyncio.Queue[AIMessage | None] = field(default_factory=asyncio.Queue)
    streamed: list[AIMessage] = field(default_factory=list)
    """What the last call of the handler has streamed."""
    attempts: int = 0
    """How often the handler was called."""

    async def ask(self) -> None:
        """Call the middleware; give what it returns, if that was not streamed."""
        call = self.call
        response, commands = await _composed(call.calls.wrappers, call.given, self._stream, sync=call.sync)
        call.commands.extend(map(_checked, commands))
        said = _said(response)
        last = _message(self.streamed) if self.attempts else None
        if call.whole:
            self.pieces.put_nowait(said)
        elif last is None or (said.text, said.tool_calls) != (last.text, last.tool_calls):
            if self.attempts:
                await self._give(Restart(content=""))
                said = said.model_copy(update={"usage_metadata": None})  # counted as it was streamed
            await self._give(said)

    async def _stream(self, request: ModelRequest[Any]) -> ModelResponse[Any]:
        """Stream the model; what middleware calls as its handler."""
        from langchain.agents.middleware import ModelResponse

        call = self.call
        _same_form(request, call.given.response_format)
        self.attempts += 1
        if self.attempts > 1:
            self.streamed = []
            await self._give(Restart(content=""))
        specs = call.calls.specs(request)
        model = call.bind(request.model, specs)
        if request.model_settings:
            model = model.bind(**request.model_settings)
        own = request.model is call.given.model
        reply = model_chunks(
            model,
            call.prompt(request, specs, self.prompt),
            sync=call.sync,
            grammar=self.grammar if own else {},
            source=call.source if own else None,
        )
        async with aclosing(reply):  # type: ignore[type-var]
            async for chunk in reply:
                self.streamed.append(chunk)
                await self._give(chunk)
                if call.enough:
                    break
        return ModelResponse(result=[_message(self.streamed)])

    async def _give(self, piece: AIMessage) -> None:
        if not self.call.whole:
            self.pieces.put_nowait(piece)
            await self.pieces.join()  # whoever reads may have enough by then


def _same_form(request: ModelRequest[Any], given: object) -> None:
    """Refuse another form of the answer than the graph was made for.

    Raises:
        ConfigurationError: Middleware has changed it.
    """
    if request.response_format is not given:
        msg = f"middleware cannot change response_format to {request.response_format!r:.200}: give it to the graph"
        raise ConfigurationError(msg)


def _said(response: ModelResponse[Any]) -> AIMessage:
    said = next((m for m in reversed(response.result) if isinstance(m, AIMessage)), None)
    if said is None:
        msg = f"middleware around a model must return an AIMessage, not {response.result!r:.200}"
        raise TypeError(msg)
    return said


def _message(chunks: Sequence[AIMessage]) -> AIMessage:
    said = merged(chunks)
    message = message_chunk_to_message(said) if isinstance(said, AIMessageChunk) else said
    assert isinstance(message, AIMessage)
    return message


async def _composed(
    wrappers: Sequence[ModelWrapper], request: ModelRequest[Any], execute: Callable[..., Any], *, sync: bool
) -> tuple[ModelResponse[Any], list[Command[Any]]]:
    """Call the wrappers around a handler; what an inner one wants written comes first, that of its last call only."""
    from langchain.agents.middleware import ExtendedModelResponse, ModelResponse

    if not wrappers:
        return await execute(request), []
    wrapper, inner = wrappers[0], wrappers[1:]
    commands: list[Command[Any]] = []

    async def handler(each: ModelRequest[Any]) -> ModelResponse[Any]:
        commands.clear()
        response, wanted = await _composed(inner, each, execute, sync=sync)
        commands.extend(wanted)
        return response

    if wrapper.wrap and (wrapper.awrap is None or sync):
        made: Any = await wrapped_in_thread(wrapper.name, wrapper.wrap, request, handler)
    else:
        assert wrapper.awrap is not None
        made = await wrapper.awrap(request, handler)
    if isinstance(made, ExtendedModelResponse):
        own = [made.command] if made.command is not None else []
        return made.model_response, [*commands, *own]
    return ModelResponse(result=[made]) if isinstance(made, AIMessage) else made, commands


def _checked(command: Command[Any]) -> Command[Any]:
    if command.goto or command.resume or command.graph:
        msg = "a command of middleware around a model may update the state, and nothing else"
        raise NotImplementedError(msg)
    return command


def _without_added(
    messages: Sequence[AnyMessage], state: LLMCompilerState
) -> tuple[list[AnyMessage], list[BaseMessage]]:
    """Split off the messages that middleware has put behind the question: they come last in the prompt."""
    known = {message.id for message in state["messages"]}
    turn = next((n for n, message in enumerate(messages) if message.id == state.get("turn")), len(messages))
    added = [
        message
        for message in messages[turn + 1 :]
        if message.id not in known and not isinstance(message, AIMessage | ToolMessage)
    ]
    return [message for message in messages if not any(message is each for each in added)], [*added]
