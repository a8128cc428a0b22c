"""A procedure that is called is the same as its plan written out: observations, order, times on the virtual clock."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.tools import BaseTool, tool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual


def tools() -> list[BaseTool]:
    """Tools of each kind: read-only, of no hint, with effects; each takes as long as it is told."""

    async def work(label: str, seconds: int) -> dict[str, Any]:
        await asyncio.sleep(seconds)
        if "bad" in label and seconds == 3:
            raise ValueError(label)
        return {"label": label[-20:], "seconds": seconds}

    made: list[BaseTool] = []
    for name, hints in (("look", {"readOnlyHint": True}), ("work", {}), ("act", {"destructiveHint": True})):
        each = tool(name, description="Do some work.")(work)
        each.metadata = dict(hints)
        made.append(each)
    return made


Line = tuple[str, str, int, tuple[int, ...]]  # the tool, what it is told (a parameter, a task, a word), seconds, after


@st.composite
def bodies(draw: st.DrawFn) -> list[Line]:
    """The lines of a procedure of two parameters."""
    lines: list[Line] = [(draw(st.sampled_from(["look", "work", "act"])), "to ${first} and ${second}", 1, ())]
    for number in range(1, draw(st.integers(1, 5))):
        earlier = [f"${{{n}.label}}" for n in range(1, number + 1)]
        told = draw(st.sampled_from(["${first}", "${second}", "word", "to ${first} and ${second}", *earlier]))
        after = draw(st.lists(st.integers(1, number), max_size=1))
        name = draw(st.sampled_from(["look", "work", "act"]))
        lines.append((name, told, draw(st.integers(0, 3)), tuple(after)))
    return lines


def written(lines: list[Line], offset: int, first: str, second: str) -> list[str]:
    """The lines as tasks of a plan, their parameters replaced."""
    tasks = []
    for number, (name, label, seconds, after) in enumerate(lines, 1):
        told = re.sub(r"\$\{(\d+)\.label\}", lambda found: f"${{{int(found[1]) + offset}.label}}", label)
        told = told.replace("${first}", first).replace("${second}", second)
        behind = f" after {', '.join(f'${n + offset}' for n in after)}" if after else ""
        tasks.append(f'{number + offset}. {name}("{told}", {seconds}){behind}')
    return tasks


def ran(plan: str, procedures: list[str], most: int | None) -> list[tuple[Any, ...]]:
    """What the tasks of a plan were, gave, and when."""

    async def main() -> Any:
        model = ScriptedModel([plan, "Finish: done"], chunk_size=0)
        graph = create_llm_compiler(model, tools(), procedures=procedures, max_concurrency=most, max_repairs=0)
        return await graph.ainvoke({"messages": [("user", "?")]})

    final = run_virtual(main)
    times = {entry["index"]: entry for entry in final["timeline"]}
    position = {task["index"]: str(n) for n, task in enumerate(final["tasks"], 1)}
    return [
        (
            task["tool"],
            task["arguments"],
            task["status"],
            task["value"],
            "".join(position.get(int(word), word) if word.isdigit() else word for word in task["error"].split()),
            *(times[task["index"]][key] for key in ("released", "started", "finished")),
        )
        for task in final["tasks"]
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bodies(), st.sampled_from([None, 1, 2]), st.sampled_from(["a", "bad"]))
def test_a_procedure_is_its_plan_written_out(lines: list[Line], most: int | None, word: str) -> None:
    """Two calls, the second of which takes what the first gave, and a task behind both."""
    if most:  # calls that take no time end while the plan is read, and which has a slot then is a matter of turns
        lines = [(name, told, max(1, seconds), after) for name, told, seconds, after in lines]
    text = "\n  ".join(written(lines, 0, "${first}", "${second}"))
    procedure = f"steps(first: str, second: str):\n  {text}"
    called = f'1. steps("{word}", "b")\n2. steps("c", "${{1.label}}")\n3. look("${{2.label}}", 1)\n4. join()'
    size = len(lines)
    whole = [
        *written(lines, 0, word, "b"),
        *written(lines, size, "c", f"${{{size}.label}}"),
        f'{2 * size + 1}. look("${{{2 * size}.label}}", 1)',
        f"{2 * size + 2}. join()",
    ]
    assert ran(called, [procedure], most) == ran("\n".join(whole), [], most)
