"""OpenTelemetry spans by an in-memory exporter; the tree of runs that LangSmith shows, by a tracer."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.telemetry import OpenTelemetryCallback
from llmcompiler_graph.testing import ScriptedModel

PLAN = '1. search("k2")\n2. search("k2 again, $1")\n3. shout("${1} $2")\n4. join()'
USAGE: Any = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}


class Spans:
    """What was exported, and the tools, which make spans of their own."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def callback(self, **kwargs: Any) -> OpenTelemetryCallback:
        """A callback that exports to memory."""
        return OpenTelemetryCallback(self.provider, **kwargs)

    def tools(self) -> list[Any]:
        """An asynchronous tool and a synchronous one, each with a span of its own inside."""
        tracer = self.provider.get_tracer("tools")

        @tool
        async def search(query: str) -> str:
            """Search."""
            with tracer.start_as_current_span("inside search"):
                await asyncio.sleep(0)
            return query.upper()

        @tool
        def shout(text: str) -> str:
            """Shout."""
            with tracer.start_as_current_span("inside shout"):
                if "ERROR" in text:
                    raise ValueError("too loud")
            return text + "!"

        return [search, shout]

    def run(self, *replies: Any, sync: bool = False, content: bool | None = None, **kwargs: Any) -> None:
        """Ask a graph."""
        graph = create_llm_compiler(ScriptedModel(replies), self.tools(), name="mountains", **kwargs)
        config: Any = {"callbacks": [self.callback(content=content)], "configurable": {"thread_id": "7"}}
        question: Any = {"messages": [("user", "a secret question")]}
        if sync:
            graph.invoke(question, config)
        else:
            asyncio.run(graph.ainvoke(question, config))

    def named(self) -> dict[str, ReadableSpan]:
        """The spans by name; of several, the last."""
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def tree(self) -> list[str]:
        """The spans with those they are in, in the order in which they began."""
        spans = self.exporter.get_finished_spans()
        names = {span.context.span_id: span.name for span in spans if span.context}
        ordered = sorted(spans, key=lambda span: span.start_time or 0)
        return [f"{names[span.parent.span_id] if span.parent else ''} > {span.name}" for span in ordered]


@pytest.fixture
def spans() -> Iterator[Spans]:
    """Where spans go."""
    made = Spans()
    yield made
    made.provider.shutdown()


@pytest.mark.parametrize("sync", [False, True])
def test_the_tree_of_spans(spans: Spans, sync: bool) -> None:
    """The agent has the plan, its model call inside it, the calls beside it, and the joiner's model call."""
    spans.run(AIMessage(PLAN, usage_metadata=USAGE), AIMessage("Finish: done", usage_metadata=USAGE), sync=sync)
    assert sorted(spans.tree()) == sorted(
        [
            " > invoke_agent mountains",
            "invoke_agent mountains > plan mountains",
            "plan mountains > chat",
            "invoke_agent mountains > execute_tool search",
            "execute_tool search > inside search",
            "invoke_agent mountains > execute_tool search",
            "execute_tool search > inside search",
            "invoke_agent mountains > execute_tool shout",
            "execute_tool shout > inside shout",
            "invoke_agent mountains > chat",
        ]
    )
    named = spans.named()
    agent, chat, call = (named[name] for name in ("invoke_agent mountains", "chat", "execute_tool shout"))
    assert dict(agent.attributes or {}) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "mountains",
        "gen_ai.conversation.id": "7",
        "gen_ai.provider.name": "scriptedmodel",
        "gen_ai.usage.input_tokens": 200,
        "gen_ai.usage.output_tokens": 20,
    }
    assert (agent.kind, chat.kind, call.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.INTERNAL)
    attributes = dict(call.attributes or {})
    assert attributes.pop("gen_ai.tool.call.id")
    assert attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "shout",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Shout.",
        "llmcompiler.task.index": 3,
    }


def test_links_and_events(spans: Spans) -> None:
    """A call is linked to those it takes data of; events in order say when it was written, released and started."""
    spans.run(PLAN, "Finish: done")
    calls = [span for span in spans.exporter.get_finished_spans() if span.name.startswith("execute_tool")]
    by_index = {(span.attributes or {})["llmcompiler.task.index"]: span for span in calls}
    ids = {index: span.context.span_id for index, span in by_index.items() if span.context}
    links = {index: [link.context.span_id for link in span.links] for index, span in by_index.items()}
    assert links == {1: [], 2: [ids[1]], 3: [ids[1], ids[2]]}
    for span in calls:
        assert [event.name.rpartition(".")[2] for event in span.events] == ["planned", "released", "started"]
        times = [event.timestamp for event in span.events]
        assert times == sorted(times)
        assert times[-1] == pytest.approx(span.start_time, abs=1e7)


def test_fan_outs_are_linked(spans: Spans) -> None:
    """Every call of a fan-out has a span, linked to the call whose elements they take."""

    @tool
    def items() -> list[str]:
        """Items."""
        return ["a", "b", "c"]

    graph = create_llm_compiler(
        ScriptedModel(['1. items()\n2. search("${1[*]}")', "Finish: done"]), [items, *spans.tools()]
    )
    asyncio.run(graph.ainvoke({"messages": [("user", "?")]}, {"callbacks": [spans.callback()]}))
    calls = [span for span in spans.exporter.get_finished_spans() if span.name == "execute_tool search"]
    assert len(calls) == 3
    assert all(len(span.links) == 1 for span in calls)


def test_contents_only_if_asked_for(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    """No question, plan, argument, observation or answer is recorded; all of them are, if asked for."""

    def recorded() -> str:
        return json.dumps([dict(span.attributes or {}) for span in spans.exporter.get_finished_spans()])

    contents = ("secret question", "k2 again", "K2", "done")
    spans.run(PLAN, "Finish: done")
    assert not [each for each in contents if each in recorded()]
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    spans.run(PLAN, "Finish: done")
    assert [each for each in contents if each in recorded()] == list(contents)
    (asked, *_) = json.loads(str((spans.named()["chat"].attributes or {})["gen_ai.input.messages"]))
    assert asked["role"] == "system"


@pytest.mark.parametrize("replies", [[RuntimeError("no")], ['1. shout("error")', RuntimeError("no")]])
def test_errors(spans: Spans, replies: Sequence[Any]) -> None:
    """What failed says so, with the type of the error, and everything begun is ended."""
    with pytest.raises(RuntimeError):
        spans.run(*replies)
    agent, chat = spans.named()["invoke_agent mountains"], spans.named()["chat"]
    assert [(span.status.status_code, (span.attributes or {})["error.type"]) for span in (agent, chat)] == [
        (StatusCode.ERROR, "RuntimeError")
    ] * 2


def test_a_tool_that_fails(spans: Spans) -> None:
    """The span of a call that failed is one with an error, those around it are not."""
    spans.run('1. search("error")\n2. shout("$1")', "Finish: done")
    named = spans.named()
    assert named["execute_tool shout"].status.status_code is StatusCode.ERROR
    assert named["invoke_agent mountains"].status.status_code is StatusCode.UNSET


def test_a_pause_is_no_error(spans: Spans) -> None:
    """A run that waits for a human ends without an error; the one that goes on has a span of its own."""
    kwargs: Any = {"checkpointer": InMemorySaver(), "interrupt_on": {"shout": True}}
    graph = create_llm_compiler(ScriptedModel([PLAN, "Finish: done"]), spans.tools(), name="mountains", **kwargs)
    config: Any = {"callbacks": [spans.callback()], "configurable": {"thread_id": "7"}}
    graph.invoke({"messages": [("user", "?")]}, config)
    assert " > invoke_agent mountains" in spans.tree()
    assert {span.status.status_code for span in spans.exporter.get_finished_spans()} == {StatusCode.UNSET}
    spans.exporter.clear()
    graph.invoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
    assert spans.tree() == [
        " > invoke_agent mountains",
        "invoke_agent mountains > execute_tool shout",
        "execute_tool shout > inside shout",
        "invoke_agent mountains > chat",
    ]


def test_an_agent_inside_a_tool(spans: Spans) -> None:
    """A graph that runs inside a tool of another has its spans inside that call's span."""
    inner = create_llm_compiler(ScriptedModel(['1. search("k2")', "Finish: inner"]), spans.tools(), name="inner")

    @tool
    async def delegate(question: str) -> str:
        """Ask another agent."""
        return str((await inner.ainvoke({"messages": [("user", question)]}))["messages"][-1].content)

    outer = create_llm_compiler(ScriptedModel(['1. delegate("k2")', "Finish: outer"]), [delegate], name="outer")
    asyncio.run(outer.ainvoke({"messages": [("user", "?")]}, {"callbacks": [spans.callback()]}))
    tree = spans.tree()
    assert "execute_tool delegate > invoke_agent inner" in tree
    assert "invoke_agent inner > plan inner" in tree
    assert "invoke_agent inner > execute_tool search" in tree
    assert tree.count(" > invoke_agent outer") == 1


def test_the_current_span_is_given_back(spans: Spans) -> None:
    """After a run the caller's span is the current one again, and was the parent of the agent's."""
    with spans.provider.get_tracer("caller").start_as_current_span("request") as request:
        spans.run(PLAN, "Finish: done", sync=True)
        assert trace.get_current_span() is request
    assert "request > invoke_agent mountains" in spans.tree()


class _Tree(BaseTracer):
    """Keeps what LangSmith is told of runs: its tree is made of the ids of parents."""

    run_inline = True

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[Run] = []

    def _on_run_create(self, run: Run) -> None:
        self.begun.append(run)

    def _persist_run(self, run: Run) -> None:
        pass

    def inside(self, parent: Run) -> list[Run]:
        """The runs directly inside one."""
        return [run for run in self.begun if run.parent_run_id == parent.id]

    def calls(self, run: Run) -> list[str]:
        """The model calls and the calls of tools inside a run, by name, in order."""
        below = [name for child in self.inside(run) for name in self.calls(child)]
        return [run.name, *below] if run.run_type in ("llm", "tool") else below


def test_the_tree_of_runs(spans: Spans) -> None:
    """What LangSmith shows reads planner, task fetching unit and joiner, with the model calls and each tool inside."""
    tracer = _Tree()
    graph = create_llm_compiler(ScriptedModel([PLAN, "Finish: done"]), spans.tools(), name="mountains")
    asyncio.run(graph.ainvoke({"messages": [("user", "?")]}, {"callbacks": [tracer]}))
    (root,) = (run for run in tracer.begun if run.parent_run_id is None)
    assert root.name == "mountains"
    assert [run.name for run in tracer.inside(root)] == ["planner", "task_fetching_unit", "joiner"]
    planner, unit, joiner = map(tracer.calls, tracer.inside(root))
    assert planner[0] == "ScriptedModel"
    assert joiner == ["ScriptedModel"]
    assert sorted([*planner[1:], *unit]) == ["search", "search", "shout"]
    assert {str(run.trace_id) for run in tracer.begun} == {str(root.id)}
