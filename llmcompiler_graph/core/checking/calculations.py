"""A plan's calculations as text: what is looked up for them, what they are made of, and the numbers in them.

>>> from llmcompiler_graph.core.language.references import Reference, Template
>>> search, half = Task(1, "search", {"of": "K2"}), Task(2, "math", {"x": Template((Reference(1, ("m",)), " / 2"))})
>>> last = Task(3, "math", {"x": Template(("max(", Reference(2), ", 4000)"))})
>>> roots_of([search, half, last])[3], thing(search), sorted(constants_in(last))
({1}, 'K2', [4000.0])
>>> inlined([search, half, last], {"math": "x"})
'max((${1.m} / 2), 4000)'

May know: `expressions`, `plan`, `references`, `terms`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from llmcompiler_graph.core.checking.expressions import arithmetic
from llmcompiler_graph.core.checking.terms import Term
from llmcompiler_graph.core.language.plan import Task, ToolSpec, template_text
from llmcompiler_graph.core.language.references import Reference, Template, Value, leaves
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = (
    "FACTOR",
    "REFERENCE",
    "bare",
    "calculating",
    "constants_in",
    "inlined",
    "multiplier",
    "named_terms",
    "rooted",
    "roots_of",
    "text_of",
    "thing",
    "understood",
    "with_needed",
)

_LITERAL = lazy_pattern(r"(?<![\w.$])(?<!\$\{)(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?(?![\w.]*\w)", re.I)
REFERENCE = lazy_pattern(r"\$\{?(\d+)")
"""A reference in a calculation's text, and its task."""
FACTOR = lazy_pattern(
    r"(?:(?<![\w.])(?P<first>\d*\.?\d+) ?\* ?)?"
    r"(?P<reference>\$(?:\{(?P<index>\d+)[^}]*\}|(?P<bare>\d+)))"
    r"(?P<times> ?\* ?(?P<by>-?\d*\.?\d+)(?![\d.]))?"
)
"""A reference in a calculation's text, with what it is multiplied by."""
_WHOLE = lazy_pattern(r"\$(?:\{(\d+)\}|(\d+))(?![\d.\[])")
_MOST_TASKS = 64
_LONGEST = 2_000  # characters of a task; what is larger is not for one answer


def calculating(tools: Iterable[ToolSpec]) -> dict[str, str]:
    """The parameters that take arithmetic, by the names of their tools."""
    return {
        tool.name: name
        for tool in tools
        for name, schema in tool.parameters.items()
        if arithmetic(schema, tool.definitions)
    }


def understood(tasks: Sequence[Task]) -> bool:
    """Whether a plan is one that can be understood: not too large, and without conditions and fan-outs."""
    if any(task.when is not None or task.fans_out or len(str(task)) > _LONGEST for task in tasks):
        return False
    return 0 < len(tasks) <= _MOST_TASKS


def roots_of(tasks: Iterable[Task]) -> dict[int, set[int]]:
    """The tasks that need no others, by the tasks that they lead to; each leads to itself."""
    found: dict[int, set[int]] = {}
    for task in tasks:
        needed = [found[index] for index in task.dependencies if index in found]
        found[task.index] = set().union(*needed) if needed else {task.index}
    return found


def thing(task: Task) -> str | None:
    """What a task without references was called with, if that is one text."""
    values = [*task.positional, *task.arguments.values()]
    return values[0] if len(values) == 1 and isinstance(values[0], str) and not task.dependencies else None


def text_of(task: Task, calculates: Mapping[str, str]) -> str:
    """A calculation's text, as it was written; empty for other tasks.

    Args:
        task: The task.
        calculates: The parameters that take arithmetic, by tool.
    """
    match task.arguments.get(calculates.get(task.tool, "")):
        case str() as text:
            return template_text((text,))
        case Reference() as reference:
            return str(reference)
        case Template(parts):
            return template_text(parts)
        case _:
            return ""


def inlined(tasks: Sequence[Task], calculates: Mapping[str, str]) -> str:
    """The last calculation's text, with the calculations that it refers to in their places.

    Args:
        tasks: Those of the plan.
        calculates: The parameters that take arithmetic, by tool.
    """
    texts: dict[int, str] = {}

    def put_in(match: re.Match[str]) -> str:
        text = texts.get(int(match[1] or match[2]), "")
        return f"({text})" if text else match[0]

    for task in tasks:
        text = _WHOLE.sub(put_in, text_of(task, calculates))
        texts[task.index] = text if len(text) <= _LONGEST else ""
    return texts[tasks[-1].index]


def multiplier(factor: re.Match[str]) -> float | None:
    """What a reference is multiplied by, before or behind it; of a match of `FACTOR`."""
    by = factor["by"] or factor["first"]
    return float(by) if by else None


def constants_in(task: Task) -> Iterator[float]:
    """The numbers that a task was given."""
    for value in (*task.positional, *task.arguments.values()):
        yield from _plain_numbers(value)
        for leaf in leaves(value):
            if isinstance(leaf, str):
                yield from (float(match[0].replace(",", "")) for match in _LITERAL.finditer(leaf))


def _plain_numbers(value: Value) -> Iterator[float]:
    match value:
        case bool():
            return
        case int() | float():
            yield float(value)
        case list():
            for each in value:
                yield from _plain_numbers(each)
        case dict():
            for each in value.values():
                yield from _plain_numbers(each)


def bare(text: str) -> str:
    """A calculation's text without brackets and what else does not change it."""
    return re.sub(r"[\s(){}]|abs", "", text)


def rooted(parts: Sequence[str], roots: Mapping[int, set[int]]) -> list[set[int]]:
    """What the parts of an expression are made of: the tasks that need no others.

    Args:
        parts: The parts.
        roots: The tasks that need no others, by the tasks that they lead to.
    """
    return [{index for each in REFERENCE.findall(part) for index in roots.get(int(each), ())} for part in parts]


def named_terms(parts: Sequence[str], roots: Mapping[int, set[int]], names: Mapping[int, str]) -> list[Term]:
    """The parts of an expression, with what they are about; without a name where that is several things.

    Args:
        parts: The parts.
        roots: The tasks that need no others, by the tasks that they lead to.
        names: What was looked up, by task.
    """
    found = zip(rooted(parts, roots), parts, strict=True)
    return [Term(names.get(min(each), "") if len(each) == 1 else "", part) for each, part in found]


def with_needed(last: Task, tasks: Iterable[Task]) -> list[Task]:
    """A task behind those that it needs, whether by itself or by others."""
    needed, found = set(last.dependencies), [last]
    for task in sorted(tasks, key=lambda other: other.index, reverse=True):
        if task.index in needed and task.index != last.index:
            needed.update(task.dependencies)
            found.insert(0, task)
    return found
