"""OpenTelemetry spans of runs (extra `otel`), by the semantic conventions for generative AI.

    graph.invoke({"messages": […]}, {"callbacks": [OpenTelemetryCallback()]})

    invoke_agent NAME                    a run of the graph
    ├── plan NAME                        the planner, once per plan
    │   └── chat MODEL                   its model call, repairs too
    ├── execute_tool TOOL                every call; spans of what it calls in turn are inside it
    └── chat MODEL                       the joiner's model call

A span of a tool call is linked to those of the calls whose data it takes or which had to end before. Its events say
when the task was written, when its inputs existed (`released`) and when it was started. No questions, plans, arguments,
observations or answers are recorded unless asked for.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import LLMResult
from langgraph.errors import GraphBubbleUp

from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.state import TaskRecord, TimelineEntry, dependencies

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, TracerProvider

__all__ = ("OpenTelemetryCallback",)

_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_NODES = ("planner", "task_fetching_unit", "joiner")
_PROVIDERS = {  # as LangChain names them, and the conventions
    "amazon_bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "ibm": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
_MOMENTS = ("planned", "released", "started")


@dataclass(slots=True)
class _Call:
    """A call of a tool whose span is held until its task is known."""

    span: Span
    began: int
    ended: int | None = None


@dataclass(slots=True)
class _Agent:
    """A run of the graph."""

    span: Span
    context: Context
    calls: dict[str, _Call] = field(default_factory=dict)
    """By `tool_call_id`."""
    tokens: dict[str, int] = field(default_factory=dict)
    """What its planner and joiner used."""


@dataclass(slots=True)
class _Run:
    """A run that LangChain tells of: where spans of what it calls belong."""

    parent: UUID | None
    name: str
    began: int
    context: Context
    agent: _Agent | None = None
    span: Span | None = None
    """A span that ends with the run."""
    before: Context | None = None
    """What was the current context before a tool was called."""
    call_id: str = ""
    """The id of a tool's call."""


class OpenTelemetryCallback(BaseCallbackHandler):
    """Makes spans of the runs that it is a callback of; also with `graph.with_config(callbacks=[…])`.

    Args:
        tracer_provider: Where spans go; the global provider if not given.
        content: Whether to record messages, arguments and observations; by default, whether the environment says
            `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true`.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """

    run_inline = True  # in the order of the calls, in their own context

    def __init__(self, tracer_provider: TracerProvider | None = None, *, content: bool | None = None) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            msg = "spans need OpenTelemetry: pip install 'llmcompiler-graph[otel]'"
            raise ConfigurationError(msg) from error
        self._tracer = trace.get_tracer("llmcompiler_graph", version("llmcompiler-graph"), tracer_provider)
        self._content = os.environ.get(_CONTENT, "").lower() == "true" if content is None else content
        self._runs: dict[UUID, _Run] = {}

    # -- runs of the graph and its nodes ------------------------------------------------------------------------------

    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        """Begin the span of a run of the graph with its first node, and that of a planner."""
        from opentelemetry import context

        parent = self._runs.get(parent_run_id) if parent_run_id else None
        run = _Run(parent_run_id, name or "", time.time_ns(), parent.context if parent else context.get_current())
        self._runs[run_id] = run
        if parent is None:
            return
        run.agent = parent.agent
        is_node = name in _NODES and (metadata or {}).get("langgraph_node") == name and parent.name != name
        if not is_node:
            return
        if parent.agent is None or parent.agent.context is not parent.context:
            self._begin_agent(parent, metadata or {})
        run.agent, run.context = parent.agent, parent.context
        assert run.agent is not None
        if name == "planner":
            run.span = self._begin("plan", parent.name, parent.context, run.began)
            run.context = _within(run.span, parent.context)

    def _begin_agent(self, run: _Run, metadata: Mapping[str, Any]) -> None:
        span = self._begin("invoke_agent", run.name, run.context, run.began)
        if thread := metadata.get("thread_id"):
            span.set_attribute("gen_ai.conversation.id", str(thread))
        run.span, run.context = span, _within(span, run.context)
        run.agent = _Agent(span, run.context)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """End the span; with the task fetching unit also those of its calls, which are known by now."""
        run = self._runs.get(run_id)
        if run is None:
            return
        update = (
            next((each for each in outputs if isinstance(each, dict)), {}) if isinstance(outputs, list) else outputs
        )
        if run.agent is not None and run.name == "task_fetching_unit" and isinstance(update, Mapping):
            _settle(run.agent, update.get("tasks", ()), update.get("timeline", ()))
        self._end(run)
        self._forget(run_id, run)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End the span; a pause is no error."""
        run = self._runs.get(run_id)
        if run is not None:
            self._end(run, error)
            self._forget(run_id, run)

    def _forget(self, run_id: UUID, run: _Run) -> None:
        """Forget a run; what is inside a run of the graph with it: a planner's calls may begin when it has ended."""
        if run.agent is None:
            del self._runs[run_id]
        elif run.agent.span is run.span:
            for known in [known for known, inside in self._runs.items() if inside.agent is run.agent]:
                del self._runs[known]

    def _end(self, run: _Run, error: BaseException | None = None) -> None:
        if run.span is None:
            return
        if run.agent is not None and run.agent.span is run.span:
            _settle(run.agent, (), ())
            run.span.set_attributes(run.agent.tokens)
        _fail(run.span, error)
        run.span.end()

    # -- model calls --------------------------------------------------------------------------------------------------

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Begin the span of a model call."""
        from opentelemetry.trace import SpanKind

        parent = self._runs.get(parent_run_id) if parent_run_id else None
        if parent is None or parent.agent is None:
            return
        told = metadata or {}
        provider = str(told.get("ls_provider", ""))
        attributes = {
            "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
            "gen_ai.request.model": told.get("ls_model_name"),
            "gen_ai.request.temperature": told.get("ls_temperature"),
            "gen_ai.request.max_tokens": told.get("ls_max_tokens"),
            "gen_ai.request.stream": True,
            "gen_ai.input.messages": _messages(messages[0]) if self._content else None,
        }
        span = self._begin("chat", told.get("ls_model_name"), parent.context, kind=SpanKind.CLIENT, more=attributes)
        if provider:
            parent.agent.span.set_attribute("gen_ai.provider.name", _PROVIDERS.get(provider, provider))
        self._runs[run_id] = _Run(parent_run_id, "chat", 0, parent.context, parent.agent, span)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """End it, with what the reply says of itself."""
        run = self._runs.pop(run_id, None)
        if run is None or run.span is None or run.agent is None:
            return
        message = getattr(response.generations[0][0], "message", None) if response.generations else None
        if isinstance(message, AIMessage):
            usage: Mapping[str, Any] = message.usage_metadata or {}
            counts = {f"gen_ai.usage.{key}": usage[key] for key in ("input_tokens", "output_tokens") if key in usage}
            if cached := (usage.get("input_token_details") or {}).get("cache_read"):
                counts["gen_ai.usage.cache_read.input_tokens"] = cached
            for name, count in counts.items():
                run.agent.tokens[name] = run.agent.tokens.get(name, 0) + count
            reply = message.response_metadata
            reason = reply.get("finish_reason") or reply.get("stop_reason")
            more = {
                "gen_ai.response.model": reply.get("model_name"),
                "gen_ai.response.id": message.id,
                "gen_ai.response.finish_reasons": [str(reason)] if reason else None,
                "gen_ai.output.messages": _messages([message]) if self._content else None,
            }
            run.span.set_attributes({**counts, **{key: value for key, value in more.items() if value is not None}})
        run.span.end()

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End it with the error."""
        run = self._runs.pop(run_id, None)
        if run is not None and run.span is not None:
            _fail(run.span, error)
            run.span.end()

    # -- calls of tools -----------------------------------------------------------------------------------------------

    def on_tool_start(
        self,
        serialized: Mapping[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        inputs: Mapping[str, Any] | None = None,
        tool_call_id: str | None = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        """Begin the span of a call, and make it the current one for what the tool does."""
        from opentelemetry import context

        parent = self._runs.get(parent_run_id) if parent_run_id else None
        if parent is None or parent.agent is None:
            return
        agent, tool = parent.agent, name or (serialized or {}).get("name", "")
        attributes = {
            "gen_ai.tool.name": tool,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": tool_call_id,
            "gen_ai.tool.description": (serialized or {}).get("description"),
            "gen_ai.tool.call.arguments": _json(inputs) if self._content and inputs is not None else None,
        }
        span = self._begin("execute_tool", tool, agent.context, more=attributes)
        run = _Run(parent_run_id, tool, time.time_ns(), _within(span, agent.context), agent, span, call_id=str(run_id))
        if tool_call_id:
            run.call_id = tool_call_id
        self._runs[run_id] = run
        if earlier := agent.calls.get(run.call_id):  # a retry, or the call of a tool that was interrupted
            earlier.span.end(earlier.ended)
        agent.calls[run.call_id] = _Call(span, run.began)
        run.before = context.get_current()
        context.attach(run.context)

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        """Note that it has ended."""
        run = self._ended(run_id)
        if run is not None and run.span is not None and self._content:
            run.span.set_attribute("gen_ai.tool.call.result", _json(getattr(output, "content", output)))

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Note that it has ended with an error."""
        run = self._ended(run_id)
        if run is not None and run.span is not None:
            _fail(run.span, error)

    def _ended(self, run_id: UUID) -> _Run | None:
        from opentelemetry import context

        run = self._runs.pop(run_id, None)
        if run is not None and run.agent is not None:
            if run.call_id in run.agent.calls:
                run.agent.calls[run.call_id].ended = time.time_ns()
            if run.before is not None and context.get_current() is run.context:
                context.attach(run.before)  # `detach` complains where the call ends in another thread
        return run

    def _begin(self, operation: str, name: str | None, within: Context, began: int | None = None, **more: Any) -> Span:
        from opentelemetry.trace import SpanKind

        given = {"gen_ai.operation.name": operation, **more.get("more", {})}
        if operation in ("invoke_agent", "plan"):
            given["gen_ai.agent.name"] = name
        return self._tracer.start_span(
            f"{operation} {name}" if name else operation,
            within,
            more.get("kind", SpanKind.INTERNAL),
            {key: value for key, value in given.items() if value not in (None, "")},
            start_time=began,
        )


def _within(span: Span, context: Context) -> Context:
    from opentelemetry import trace

    return trace.set_span_in_context(span, context)


def _settle(agent: _Agent, tasks: Iterable[TaskRecord], timeline: Iterable[TimelineEntry]) -> None:
    """Link the spans of calls, say when their tasks were written and released, and end them."""
    records = {task["index"]: task for task in tasks}
    times = {entry["index"]: entry for entry in timeline}
    calls = {index: _calls(agent, record) for index, record in records.items()}
    for index, record in records.items():
        for call in calls[index]:
            call.span.set_attribute("llmcompiler.task.index", index)
            for needed in sorted({*dependencies(record)[0], *dependencies(record)[1]}):
                for other in calls.get(needed, ()):
                    call.span.add_link(other.span.get_span_context(), {"llmcompiler.task.index": needed})
            entry = times.get(index)
            if entry is None or entry["started"] is None:
                continue
            for moment in _MOMENTS:
                at = entry[moment]  # type: ignore[literal-required]
                if at is not None:  # in seconds since the turn began, as is when the call was started
                    at_time = call.began - round((entry["started"] - at) * 1e9)
                    call.span.add_event(f"llmcompiler.task.{moment}", timestamp=at_time)
    for call in agent.calls.values():
        call.span.end(call.ended)
    agent.calls.clear()


def _calls(agent: _Agent, record: TaskRecord) -> list[_Call]:
    own = record["tool_call_id"]
    names = (name for name in agent.calls if name == own or name.rpartition("_")[0] == own)
    return [agent.calls[name] for name in names]


def _fail(span: Span, error: BaseException | None) -> None:
    from opentelemetry.trace import StatusCode

    if error is not None and not isinstance(error, GraphBubbleUp):
        span.set_attribute("error.type", type(error).__qualname__)
        span.set_status(StatusCode.ERROR, str(error)[:500])


def _messages(messages: Iterable[BaseMessage]) -> str:
    roles = {"human": "user", "ai": "assistant"}
    return _json(
        [
            {"role": roles.get(each.type, each.type), "parts": [{"type": "text", "content": str(each.text)}]}
            for each in messages
        ]
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
