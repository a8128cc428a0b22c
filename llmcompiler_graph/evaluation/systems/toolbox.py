"""What the rival systems share: tools whose errors are observations and whose calls are timed, and the final answer.

A sample's tools are called by name. What goes wrong is said to the model as `error: …`, in the words LLMCompiler uses,
and never ends the run; provider errors of the system's own model calls do, for the runner to try again.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp
from pydantic_core import to_jsonable_python

from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.core.language.decision import Finish, parse_decision
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.evaluation.plan_metrics import read_plan
from llmcompiler_graph.evaluation.records import Answer, Model
from llmcompiler_graph.models.lazy import LazyModel

__all__ = ("ToolCalls", "answer_in", "ask", "before", "read_call", "sections", "titled")

_BRACKETS = re.compile(r"(?P<tool>[^\W\d][\w.\-/]*)\[(?P<argument>.*)\]", re.DOTALL)
_LONE = 999_999_999  # the number of a call outside a plan: no `$1` in its text refers to it
_FINISH_BRACKETS = re.compile(r"^[ \t>*_`]*(?:action[ \t]*\d*[ \t*_]*:[ \t]*)?finish[ \t]*\[(.*)\]", re.I | re.M | re.S)


class ToolCalls:
    """The tools of one sample, and what was done with them; made when the question is asked.

    Args:
        tools: The tools.
    """

    def __init__(self, tools: Sequence[BaseTool]) -> None:
        self.tools = {tool.name: tool for tool in tools}
        self.specs = [tool_spec(tool) for tool in tools]
        self.timeline: list[dict[str, JSON]] = []
        """`{"kind", "name", "start", "finish"}` of each call, in the order they ended; seconds since the question."""
        self.errors: list[str] = []
        """What went wrong."""
        self._began = asyncio.get_running_loop().time()

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note when a call runs."""
        clock = asyncio.get_running_loop().time
        start = clock() - self._began
        try:
            yield
        finally:
            self.timeline.append({"kind": "tool", "name": name, "start": start, "finish": clock() - self._began})

    def failed(self, what: str) -> str:
        """Note what went wrong, and return the observation that says so."""
        self.errors.append(what)
        return f"error: {what}"

    async def call(self, name: str, arguments: Mapping[str, JSON]) -> JSON:
        """Call a tool and return its value, or the observation of its error."""
        try:
            return await self.value(name, arguments)
        except GraphBubbleUp:
            raise
        except Exception as error:
            return self.failed(f"{type(error).__name__}: {error}")

    async def value(self, name: str, arguments: Mapping[str, JSON]) -> JSON:
        """Call a tool and return its value.

        Raises:
            LookupError: There is no such tool; else, whatever the tool raises.
        """
        if name not in self.tools:
            msg = f"no tool is named {name!r}, there are {', '.join(map(repr, self.tools)) or 'none'}"
            raise LookupError(msg)
        with self.timed(name):
            value: JSON = to_jsonable_python(await self.tools[name].ainvoke(dict(arguments)), fallback=str)
        return value

    def answer(self, text: str, **more: Any) -> Answer:
        """The answer, with what was noted on the way to it."""
        timeline = tuple(sorted(self.timeline, key=lambda call: (call["start"], call["finish"])))
        return Answer(text=text, tasks=len(timeline), errors=tuple(self.errors), timeline=timeline, **more)


async def ask(model: Model, messages: Sequence[BaseMessage], stop: Sequence[str] = (), **settings: Any) -> str:
    """Ask the model once, and return what it wrote before the first stop word.

    Args:
        model: The model.
        messages: What it is shown.
        stop: The stop words.
        settings: What else it is called with.
    """
    chat = await LazyModel(model).aget()
    given = {"stop": list(stop), **settings} if stop else settings
    return before(str((await chat.ainvoke(list(messages), **given)).text), stop)


def before(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop word: not every provider knows them."""
    for stop in stops:
        text = text.partition(stop)[0]
    return text


def answer_in(reply: str) -> str:
    r"""The final answer in a reply: what is finished with, or all of it.

    >>> answer_in("Thought: both are known.\nAnswer: K2"), answer_in("Action: Finish[K2]"), answer_in("K2")
    ('K2', 'K2', 'K2')
    """
    if brackets := _FINISH_BRACKETS.search(reply):
        return brackets[1].strip()
    decision = parse_decision(reply)
    return decision.answer if isinstance(decision, Finish) else reply.strip()


def read_call(text: str, calls: ToolCalls) -> tuple[str, dict[str, JSON]]:
    """Read one call, `tool("text", other=2)` or the ReAct paper's `tool[text]`, with its arguments named.

    Raises:
        ValueError: It cannot be made; the message says why, as a diagnostic of the same call in a plan would.
    """
    text = text.strip().strip("`").strip()
    names = {spec.name.lower(): spec for spec in calls.specs}
    if (match := _BRACKETS.fullmatch(text)) and (spec := names.get(match["tool"].lower())) and spec.parameters:
        return spec.name, {next(iter(spec.parameters)): match["argument"].strip().strip("\"'")}
    written = text.partition("(")[0].strip()
    name = names[written.lower()].name if written.lower() in names else written
    plan, problems = read_plan(f"{_LONE}. {name}{text[len(text.partition('(')[0]) :]}\n", calls.specs)
    task = next(iter(plan), None)
    if problems or task is None:
        said = "; ".join(f"{each.message} ({each.hint})" if each.hint else each.message for each in problems)
        msg = f"{text!r} is no call: {said or 'expected `tool(arguments)`'}"
        raise ValueError(msg)
    return task.tool, {name: _plain(value) for name, value in task.arguments.items()}


def _plain(value: Any) -> JSON:
    assert isinstance(value, str | int | float | bool | list | dict | None)  # a lone call has nothing to refer to
    return value


def titled(name: str, usual: Mapping[str, Any], **options: Any) -> str:
    """A system's name in reports: with the options that differ from the usual ones.

    >>> titled("rewoo", {"constrain": False}, constrain=True), titled("rewoo", {"constrain": False}, constrain=False)
    ('rewoo[constrain=true]', 'rewoo')
    """
    differing = [f"{key}={_shown(value)}" for key, value in options.items() if key not in usual or value != usual[key]]
    return f"{name}[{','.join(differing)}]" if differing else name


def _shown(value: Any) -> str:
    return json.dumps(value, default=lambda each: type(each).__name__)


def sections(*parts: str) -> str:
    """Join the parts of a prompt that say something."""
    return "\n\n".join(part.strip() for part in parts if part.strip())
