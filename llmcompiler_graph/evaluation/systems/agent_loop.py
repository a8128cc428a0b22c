"""The loop of `langchain.agents.create_agent`, as a baseline: the model calls tools turn by turn until it answers.

    system prompt, question  →  model  --calls-->  tools  --observations-->  model  …  →  answer

Calls take one of two forms. *Native*: the provider's own tool calling. *Text*: `Action: tool(arguments)` in the reply,
the form of the ReAct paper, for models that have no working tool calling: those without `bind_tools`, and the embedded
one, which llama.cpp shows its tools but which answers with JSON in a code fence instead of calls. Only the form
differs: the loop, the tools and the limits are the same, and several `Action:` lines in one turn run in parallel.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelCallLimitMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool

from llmcompiler_graph.evaluation.records import STOPPED, Answer, Benchmark, Model, Sample
from llmcompiler_graph.evaluation.systems.forms import held, turn
from llmcompiler_graph.evaluation.systems.toolbox import ToolCalls, answer_in, before, read_call, sections
from llmcompiler_graph.models.lazy import LazyModel, is_local
from llmcompiler_graph.models.system import listing

__all__ = ("agent_turns", "has_native_calls", "run_agent")

_STOPS = ("\nObservation", "\nQuestion:")
_ACTION = re.compile(
    r"^[ \t>*_`-]*Action[ \t]*\d*[ \t*_]*:[ \t*_`]*(?P<call>.+?)\s*(?=^[ \t>*_`-]*(?:Action|Thought)\b[^:\n]*:|\Z)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_FINISH = re.compile(r"finish\b", re.IGNORECASE)
_ANSWER = re.compile(r"^[ \t>*_`]*(?:final[ \t]+)?answer[ \t*_`]*:", re.IGNORECASE | re.MULTILINE)
_UNREADABLE = "unreadable_action"

_NATIVE = "Make actions by calling the tools, not by writing `Action:`."
_TEXT_ONE = """\
# Tools
{tools}

# Form
In each turn, think, then write one action; its observation will be shown to you:
Thought: what is needed next
Action: tool(argument="text")
Once the answer is known:
Thought: how it follows
Answer: the answer"""

_TEXT_MANY = """\
# Tools
{tools}

# Form
In each turn, think, then write all actions that do not need each other's observations, one a line. They run at the \
same time, and their observations will be shown to you in this order:
Thought: what is needed next
Action: tool(argument="text")
Action: tool(argument="other text")
Once the answer is known:
Thought: how it follows
Answer: the answer"""


def has_native_calls(model: Model, chat: BaseChatModel) -> bool:
    """Whether a model calls tools by its provider's own means."""
    native: bool = getattr(chat, "native_calls", type(chat).bind_tools is not BaseChatModel.bind_tools)
    return native and not is_local(model)


async def run_agent(
    sample: Sample, benchmark: Benchmark, model: Model, *, prompt: str, one_call: bool, constrain: bool
) -> Answer:
    """Answer a sample with the loop.

    Args:
        sample: The sample.
        benchmark: Its tools and limits.
        model: The model.
        prompt: What the model is told besides the form of calls and answers: examples.
        one_call: Whether a turn may make one call only. Providers are asked for that where they know the setting, and
            further calls of a turn are left out.
        constrain: Whether turns are held to the form of calls as text.
    """
    calls = ToolCalls(benchmark.tools(sample, model))
    turns = await agent_turns(
        sample.question,
        calls,
        model,
        instructions=benchmark.instructions,
        prompt=prompt,
        one_call=one_call,
        max_steps=benchmark.max_steps,
        constrain=constrain,
    )
    called = [len(turn.tool_calls) for turn in turns if turn.tool_calls]
    return calls.answer(answer_in(turns[-1].text), width=max(called, default=0), depth=len(called))


async def agent_turns(
    question: str,
    calls: ToolCalls,
    model: Model,
    *,
    instructions: str,
    prompt: str,
    one_call: bool,
    max_steps: int,
    constrain: bool,
) -> list[AIMessage]:
    """Run the loop over one question; the last of the model's turns is the answer, or says that it was stopped."""
    hold = held(model, constrain=constrain)
    chat = await LazyModel(model).aget()
    middleware: list[AgentMiddleware[Any, Any, Any]] = [
        ModelCallLimitMiddleware(run_limit=max_steps, exit_behavior="end")
    ]
    given = [_noted(tool, calls) for tool in calls.tools.values()]
    if has_native_calls(model, chat):
        system_prompt = sections(instructions, _NATIVE, prompt)
        if one_call:
            middleware.append(_OneCall())
    else:
        form = (_TEXT_ONE if one_call else _TEXT_MANY).format(tools=listing(calls.specs))
        system_prompt = sections(instructions, form, prompt)
        middleware.append(_TextCalls(calls, hold.to(turn, calls.specs, one_call=one_call), one_call=one_call))
        given.append(_unreadable(calls))
    agent = create_agent(chat, given, system_prompt=system_prompt, middleware=middleware)
    final = await agent.ainvoke({"messages": [HumanMessage(question)]})
    calls.errors += [m.text for m in final["messages"] if isinstance(m, ToolMessage) and m.status == "error"]
    turns = [message for message in final["messages"] if isinstance(message, AIMessage)]
    if len(turns) > max_steps:  # the last one is the middleware's own
        calls.failed(f"{STOPPED}{max_steps} turns")
    return turns


def _noted(tool: BaseTool, calls: ToolCalls) -> BaseTool:
    """The tool, with its calls noted and its errors returned.

    Not by `awrap_tool_call`: LangChain runs that by way of a thread, which a virtual clock does not wait for.
    """

    async def call(**arguments: Any) -> Any:
        return await calls.call(tool.name, arguments)

    return StructuredTool(
        name=tool.name,
        description=tool.description,
        args_schema=tool.args_schema or tool.get_input_schema(),
        coroutine=call,
    )


def _unreadable(calls: ToolCalls) -> BaseTool:
    """What is called in place of an action that is no call; the model does not know of it."""

    async def say(problem: str) -> str:
        return calls.failed(problem)

    return StructuredTool.from_function(coroutine=say, name=_UNREADABLE, description="Say what is wrong.")


class _OneCall(AgentMiddleware[Any, Any, Any]):
    """One native call a turn."""

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        asked = getattr(request.model, "inner", request.model)  # behind the one that records it
        if "parallel_tool_calls" in inspect.signature(asked.bind_tools).parameters:
            request = request.override(model_settings={**request.model_settings, "parallel_tool_calls": False})
        response = await handler(request)
        response.result = [
            message.model_copy(update={"tool_calls": message.tool_calls[:1]})
            if isinstance(message, AIMessage) and len(message.tool_calls) > 1
            else message
            for message in response.result
        ]
        return response


class _TextCalls(AgentMiddleware[Any, Any, Any]):
    """Calls written as text: the model sees and writes text alone, the loop sees calls."""

    def __init__(self, calls: ToolCalls, settings: Mapping[str, Any], *, one_call: bool) -> None:
        super().__init__()
        self._settings = settings
        self._calls = calls
        self._one_call = one_call

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        settings = {**request.model_settings, "stop": list(_STOPS), **self._settings}
        response = await handler(
            request.override(tools=[], messages=_as_text(request.messages), model_settings=settings)
        )
        response.result = [self._with_calls(message) for message in response.result]
        return response

    def _with_calls(self, message: AIMessage) -> AIMessage:
        text = before(message.text, _STOPS)
        written = list(_actions(text))
        if self._one_call:
            del written[1:]
        called = [self._call(each) for each in written]
        if called and self._one_call:  # what was written after the first action is not shown to the model again
            text = text[: text.index(written[0]) + len(written[0])]
        return message.model_copy(update={"content": text, "tool_calls": called})

    def _call(self, written: str) -> ToolCall:
        try:
            name, arguments = read_call(written, self._calls)
        except ValueError as error:
            name, arguments = _UNREADABLE, {"problem": str(error)}
        return ToolCall(name=name, args=arguments, id=f"call_{uuid4().hex[:12]}", type="tool_call")


def _actions(text: str) -> Iterator[str]:
    """The calls in a reply, up to its answer."""
    answer = _ANSWER.search(text)
    for match in _ACTION.finditer(text[: answer.start()] if answer else text):
        if _FINISH.match(match["call"]):
            return
        yield match["call"].strip()


def _as_text(messages: list[AnyMessage]) -> list[AnyMessage]:
    """The conversation without calls: observations are what the user says."""
    shown: list[AnyMessage] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            observation = f"Observation: {message.text}"
            if isinstance(shown[-1], HumanMessage) and shown[-1].text.startswith("Observation: "):
                observation = f"{shown.pop().text}\n{observation}"
            shown.append(HumanMessage(observation))
        elif isinstance(message, AIMessage):
            shown.append(AIMessage(message.text))
        else:
            shown.append(message)
    return shown
