"""Programmatic tool calling: the model writes a Python program that calls the tools, and sees only what it prints.

    question  →  model  --program-->  sandbox  --what it printed-->  model  →  … →  answer

The sandbox is Pydantic's Monty, an interpreter of its own in a process of its own: the program can call the tools and
nothing else of this machine. Tools are coroutine functions there, so `asyncio.gather` runs them at the same time; what
they return stays in the program unless it is printed. An exception, a tool's included, is printed in its place.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.errors import GraphBubbleUp
from pydantic_monty import (
    CollectString,
    ExternalSettledResult,
    FunctionSnapshot,
    FutureSnapshot,
    Monty,
    MontyComplete,
    MontyError,
    MontySession,
    NameLookupSnapshot,
    ResourceLimits,
)

from llmcompiler_graph import Plan, Task, parse_plan
from llmcompiler_graph.core.language.references import ALL, Path, Reference, Template, Value
from llmcompiler_graph.evaluation.plan_metrics import levels
from llmcompiler_graph.evaluation.records import STOPPED, Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.systems.forms import fenced_program, held
from llmcompiler_graph.evaluation.systems.plan_forms import Worked, spread, worked
from llmcompiler_graph.evaluation.systems.toolbox import ToolCalls, answer_in, ask, sections, titled
from llmcompiler_graph.models.system import listing

__all__ = ("programmatic",)

_SYSTEM = """\
Answer the question with a Python program that calls tools. They are coroutine functions, already there: await them, \
and run those that do not need each other at the same time with `asyncio.gather`. You will be shown what the program \
prints, and nothing else: print what the answer needs. Imports but asyncio, math, re and json are not possible.

# Tools
{tools}

# Form
First write a program:
```python
print(await tool("text"))
```
Then you are shown its output. If the answer follows from it, do not write another program, but:
Thought: how it follows
Answer: the answer"""

_LIMITS = ResourceLimits(max_turn_duration_secs=2.0, max_memory=64 * 2**20, max_suspensions=1000)
_PROGRAM = re.compile(r"```(?:python|py)?[ \t]*\n(?P<code>.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_OUTPUT_CHARS = 100_000  # LLMCompiler is shown every observation whole
_STOPS = ("\nOutput:", "\nQuestion:")


def programmatic(*, constrain: bool = False) -> System:
    """Programs in Monty.

    Args:
        constrain: Whether replies are held to one fenced program or the answer, by a grammar; not what is in the fence.
    """

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        hold = held(model, constrain=constrain)
        calls = ToolCalls(benchmark.tools(sample, model))
        form = _SYSTEM.format(tools=listing(calls.specs))
        system = SystemMessage(sections(benchmark.instructions, form, _examples(benchmark)))
        messages: list[BaseMessage] = [system, HumanMessage(sample.question)]
        width = depth = 0
        reply, first = "", ""
        for _ in range(benchmark.max_steps):
            reply = await ask(model, messages, _STOPS, **hold.to(fenced_program, is_first=not first))
            program = _PROGRAM.search(reply)
            if program is None:
                break
            first = first or program["code"]
            output, most, waits = await _run(program["code"], calls)
            width, depth = max(width, most), depth + waits
            # what was written after the program was written without its output
            messages += [AIMessage(reply[: program.end()]), HumanMessage(f"Output:\n{output[:_OUTPUT_CHARS]}")]
        else:
            calls.failed(f"{STOPPED}{benchmark.max_steps} turns")
        return calls.answer(answer_in(reply), width=width, depth=depth, plan=first)

    return System(titled("programmatic", {"constrain": False}, constrain=constrain), answer)


async def _run(code: str, calls: ToolCalls) -> tuple[str, int, int]:
    """Run a program; return what it printed, the most calls it awaited at once, and how often it awaited some.

    The interpreter is stepped synchronously: it computes for milliseconds, two seconds at most, and a virtual clock
    stands still meanwhile.
    """
    printed = CollectString()
    with Monty() as pool, pool.checkout(limits=_LIMITS) as session:
        running = _Program(calls)
        try:
            value = await running.run(session, code, printed)
        except MontyError as error:
            said = calls.failed(str(error))
            return f"{printed.output}{said}", running.most, running.waits
        finally:
            await running.cancel()
    if value is not None and not printed.output:
        return f"{value}", running.most, running.waits
    return printed.output or "(nothing was printed)", running.most, running.waits


class _Program:
    """One run of a program: answers its calls."""

    def __init__(self, calls: ToolCalls) -> None:
        self._calls = calls
        self._asked: dict[int, tuple[str, dict[str, Any]]] = {}  # call -> tool, arguments; not begun
        self._running: dict[int, asyncio.Task[ExternalSettledResult]] = {}
        self.most = 0
        """The most calls that ran at once."""
        self.waits = 0
        """How often the program waited with no call running before: its calls in sequence."""

    async def run(self, session: MontySession, code: str, printed: CollectString) -> Any:
        """Step through it; return the value of its last expression."""
        step = session.feed_start(code, print_callback=printed)
        while True:
            match step:
                case MontyComplete():
                    return step.output
                case NameLookupSnapshot() if step.variable_name in self._calls.tools and step.object_id is None:
                    step = step.resume(value=_named(step.variable_name))
                case NameLookupSnapshot():
                    step = step.resume()
                case FunctionSnapshot() if step.is_os_function:
                    step = step.resume_not_handled()
                case FunctionSnapshot() if step.function_name not in self._calls.tools:
                    message = f"name {step.function_name!r} is not defined"
                    step = step.resume({"exc_type": "NameError", "message": message})
                case FunctionSnapshot():
                    name = str(step.function_name)
                    self._asked[step.call_id] = name, self._arguments(name, step.args, step.kwargs)
                    step = step.resume({"future": ...})
                case FutureSnapshot():
                    step = step.resume(await self._settled(step.pending_call_ids))

    async def cancel(self) -> None:
        """End the calls that nobody waits for any more."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _arguments(self, tool: str, positional: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        names = next(list(spec.parameters) for spec in self._calls.specs if spec.name == tool)
        names += [f"argument {number}" for number in range(len(names) + 1, len(positional) + 1)]  # the tool will say so
        return {**dict(zip(names, positional, strict=False)), **named}

    async def _settled(self, pending: list[int]) -> dict[int, ExternalSettledResult]:
        """Begin the calls that the program awaits by now, and wait for the first ones to return."""
        self.waits += not self._running
        for call in [call for call in self._asked if call in pending]:
            self._running[call] = asyncio.create_task(self._call(*self._asked.pop(call)))
        self.most = max(self.most, len(self._running))
        done, _ = await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
        ended = [call for call, task in self._running.items() if task in done]
        return {call: self._running.pop(call).result() for call in ended}

    async def _call(self, tool: str, arguments: dict[str, Any]) -> ExternalSettledResult:
        try:
            return {"return_value": await self._calls.value(tool, arguments)}
        except GraphBubbleUp:
            raise
        except Exception as error:
            self._calls.failed(f"{type(error).__name__}: {error}")
            return {"exc_type": "RuntimeError", "message": str(error)}


def _named(tool: str) -> Any:
    """Stand for a tool where a program uses its name as a value: calls of it come back by this name."""

    def stand_in() -> None: ...

    stand_in.__name__ = tool
    return stand_in


def _examples(benchmark: Benchmark) -> str:
    """The example plans as programs; those that are worked out, with their outputs and answers."""
    known = {each.question: each for each in worked(benchmark)}
    shown = [
        _worked_out(known[each.question])
        if each.question in known
        else f"Question: {each.question}\n{_fenced(parse_plan(each.plan))}"
        for each in benchmark.examples
    ]
    return "# Examples\n" + "\n\n".join(shown) if shown else ""


def _worked_out(example: Worked) -> str:
    lines = [f"Question: {example.question}"]
    for plan, thought in zip(example.plans, example.thoughts, strict=True):
        lines += [f"Thought: {thought}"] if thought else []
        printed = " ".join(_printed(task, example) for task in levels(plan)[-1])
        lines += [_fenced(plan), f"Output:\n{printed}"]
    return "\n".join([*lines, example.conclusion])


def _printed(task: Task, example: Worked) -> str:
    observed = ", ".join(observation for _, observation in example.steps[task.index])
    return f"[{observed}]" if spread(task) else observed


def _fenced(plan: Plan) -> str:
    return f"```python\n{_as_program(plan)}\n```"


def _as_program(plan: Plan) -> str:
    r"""Write a plan as a program.

    >>> print(_as_program(parse_plan('1. lookup("K2")\n2. lookup("Everest")\n3. calculate("${1.height} - $2")')))
    import asyncio
    r1, r2 = await asyncio.gather(lookup('K2'), lookup('Everest'))
    r3 = await calculate(f'''{r1['height']} - {r2}''')
    print(r3)
    >>> print(_as_program(parse_plan('1. search("runner")\n2. explore(${1[*].item})')))
    import asyncio
    r1 = await search('runner')
    r2 = await asyncio.gather(*(explore(each['item']) for each in r1))
    print(r2)
    """
    lines = ["import asyncio"]
    last = ""
    for level in levels(plan):
        names = ", ".join(f"r{task.index}" for task in level)
        called = ", ".join(map(_as_call, level))
        lines.append(f"{names} = await asyncio.gather({called})" if len(level) > 1 else f"{names} = await {called}")
        last = names
    return "\n".join([*lines, f"print({last})"])


def _as_call(task: Task) -> str:
    many = spread(task)
    names = {each: f"each{number}" if len(many) > 1 else "each" for number, each in enumerate(many, 1)}
    given = [
        *(_as_python(value, names) for value in task.positional),
        *(f"{name}={_as_python(value, names)}" for name, value in task.arguments.items()),
    ]
    call = f"{task.tool}({', '.join(given)})"
    if not many:
        return call
    lists = ", ".join(f"r{each.index}{_keys(each.path[: each.path.index(ALL)])}" for each in many)
    elements = f"zip({lists})" if len(many) > 1 else lists
    return f"asyncio.gather(*({call} for {', '.join(names.values())} in {elements}))"


def _as_python(value: Value, names: Mapping[Reference, str]) -> str:
    """Write an argument as an expression; `names` are those of the elements that `[*]` stands for."""
    match value:
        case Reference() if value in names:
            return f"{names[value]}{_keys(value.path[value.path.index(ALL) + 1 :])}"
        case Reference():
            return f"r{value.index}{_keys(value.path)}"
        case Template(parts):
            inner = [
                part.replace("\\", "\\\\").replace("{", "{{").replace("}", "}}").replace("'''", "\\'\\'\\'")
                if isinstance(part, str)
                else f"{{{_as_python(part, names)}}}"
                for part in parts
            ]
            return f"f'''{''.join(inner)}'''"
        case list():
            return f"[{', '.join(_as_python(each, names) for each in value)}]"
        case dict():
            return "{" + ", ".join(f"{key!r}: {_as_python(each, names)}" for key, each in value.items()) + "}"
        case _:
            return repr(value)


def _keys(path: Path) -> str:
    return "".join(f"[{key!r}]" for key in path)
