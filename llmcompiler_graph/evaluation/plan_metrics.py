r"""Judges plan text against gold plan text without running anything: calls, arguments, edges, structure.

>>> gold = '1. search(query="K2")\n2. search(query="Everest")\n3. math(expression="$2 - $1")\n4. join()'
>>> written = '1. search(query="Everest")\n2. search(query="K2")\n3. math(expression="$1 - $2")\n4. join()'
>>> found = compare(written, gold)
>>> found.tools.f1, found.arguments.f1, found.edges.f1, found.isomorphic, found.width, found.depth
(1.0, 1.0, 1.0, True, 2, 2)

Numbers of tasks do not count, nor does their order: a reference is compared by the call it refers to, all the way down.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from llmcompiler_graph import Diagnostic, Plan, Task
from llmcompiler_graph.core.checking.checker import Checker, collect
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.core.language.references import Reference, Template, Value

__all__ = ("Overlap", "PlanComparison", "compare", "isomorphic", "levels", "read_plan", "width_and_depth")


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of what is wanted was written, each thing counted as often as it stands there."""

    common: int
    """What stands in both."""
    written: int
    """What stands in the plan."""
    wanted: int
    """What stands in the gold plan."""

    @property
    def precision(self) -> float:
        """The share of what was written that is wanted; 1 if nothing was written."""
        return self.common / self.written if self.written else 1.0

    @property
    def recall(self) -> float:
        """The share of what is wanted that was written; 1 if nothing is wanted."""
        return self.common / self.wanted if self.wanted else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of the two; 1 if there is nothing to write and nothing was written."""
        return 2 * self.common / (self.written + self.wanted) if self.written + self.wanted else 1.0

    def __add__(self, other: Overlap) -> Overlap:
        """Both together, for a mean over many plans (micro average)."""
        return Overlap(self.common + other.common, self.written + other.written, self.wanted + other.wanted)


@dataclass(frozen=True, slots=True)
class PlanComparison:
    """A plan against the gold plan."""

    parsed: bool
    """Whether all of it could be read and, if the tools are known, fits them."""
    diagnostics: tuple[Diagnostic, ...]
    """What is wrong with it."""
    tools: Overlap
    """Of the names of the tools called."""
    arguments: Overlap
    """Of `(tool, argument, value)`."""
    edges: Overlap
    """Of `(tool that is needed, tool that needs it)`, `after` included."""
    isomorphic: bool
    """Whether the graphs of tool names are the same but for the numbering."""
    exact: bool
    """Whether, besides, the calls have the same arguments."""
    width: int
    """The most tasks of one depth."""
    depth: int
    """The tasks on the longest chain."""


def compare(plan: str, gold: str, tools: Sequence[ToolSpec] = ()) -> PlanComparison:
    """Compare plan text with gold plan text.

    Args:
        plan: What is judged. Lines that cannot be used are left out.
        gold: What is wanted.
        tools: What is known of the tools: arguments by position get their names, and the plan is checked. Without
            them, an argument by position is compared by its position.
    """
    ours, diagnostics = read_plan(plan, tools)
    theirs, _ = read_plan(gold, tools)
    width, depth = width_and_depth(ours)
    calls, wanted = _calls(ours), _calls(theirs)
    return PlanComparison(
        parsed=not diagnostics,
        diagnostics=tuple(diagnostics),
        tools=_overlap((task.tool for task in ours), (task.tool for task in theirs)),
        arguments=_overlap(_arguments(ours, calls), _arguments(theirs, wanted)),
        edges=_overlap(_edges(ours), _edges(theirs)),
        isomorphic=isomorphic(ours, theirs),
        exact=Counter(calls.values()) == Counter(wanted.values()),
        width=width,
        depth=depth,
    )


def read_plan(text: str, tools: Sequence[ToolSpec] = ()) -> tuple[Plan, list[Diagnostic]]:
    """Read what can be read of plan text, arguments by name if the tools are known, and say what is wrong with it."""
    parser = PlanParser()
    return collect([*parser.feed(text), *parser.close()], Checker(tools) if tools else None)


def levels(tasks: Iterable[Task]) -> list[list[Task]]:
    r"""Group tasks by the length of the longest chain that leads to them; those without dependencies come first.

    >>> from llmcompiler_graph import parse_plan
    >>> [[task.index for task in level] for level in levels(parse_plan("1. a()\n2. a()\n3. b($1, $2)"))]
    [[1, 2], [3]]
    """
    depth: dict[int, int] = {}
    found: list[list[Task]] = []
    for task in tasks:
        depth[task.index] = max((depth.get(needed, 0) for needed in task.dependencies), default=0) + 1
        found.extend([] for _ in range(depth[task.index] - len(found)))
        found[depth[task.index] - 1].append(task)
    return found


def width_and_depth(tasks: Iterable[Task], calls: Mapping[int, int] | None = None) -> tuple[int, int]:
    r"""The most calls of one depth, and the tasks on the longest chain.

    Args:
        tasks: The tasks of a plan.
        calls: How many calls each task made, `{index: number}`; one, where that is not known.

    >>> from llmcompiler_graph import parse_plan
    >>> width_and_depth(parse_plan("1. a()\n2. a()\n3. b($1, $2)"))
    (2, 2)
    """
    widths = [sum(1 if calls is None else calls[task.index] for task in level) for level in levels(tasks)]
    return max(widths, default=0), len(widths)


def isomorphic(one: Plan, other: Plan) -> bool:
    """Whether two plans are the same graph of tool names, whatever the numbers and the order of their tasks.

    Exact: tasks are told apart by their tools and those of all around them, as far as that goes; where several could
    still stand for each other, every way of pairing them is tried.
    """
    needs = [{task.index: set(task.dependencies) for task in plan} for plan in (one, other)]
    if len(one) != len(other) or sum(map(len, needs[0].values())) != sum(map(len, needs[1].values())):
        return False
    colours = _coloured((one, other))
    if Counter(colours[0].values()) != Counter(colours[1].values()):
        return False
    order = [task.index for task in one]
    pairs: dict[int, int] = {}
    taken: set[int] = set()

    def matched(position: int) -> bool:
        """Pair the tasks from this position on; those before it are paired, with all they need."""
        if position == len(order):
            return True
        index = order[position]
        wanted = {pairs[need] for need in needs[0][index] if need in pairs}
        for candidate, colour in colours[1].items():
            if candidate in taken or colour != colours[0][index] or needs[1][candidate] != wanted:
                continue
            pairs[index] = candidate
            taken.add(candidate)
            if matched(position + 1):
                return True
            taken.discard(pairs.pop(index))
        return False

    return matched(0)


def _coloured(plans: Iterable[Plan]) -> list[dict[int, int]]:
    """Tell tasks apart, `{index: colour}`, by their tools, then again and again by their neighbours' colours."""
    listed = list(plans)
    names: dict[Hashable, int] = {}

    def colour(of: Hashable) -> int:
        return names.setdefault(of, len(names))

    colours = [{task.index: colour(task.tool) for task in plan} for plan in listed]
    for _ in range(max(map(len, listed), default=0)):
        refined = []
        for plan, known in zip(listed, colours, strict=True):
            dependents: dict[int, list[int]] = {index: [] for index in known}
            for task in plan:
                for need in task.dependencies:
                    if need in dependents:
                        dependents[need].append(known[task.index])
            refined.append(
                {
                    task.index: colour(
                        (
                            known[task.index],
                            tuple(sorted(known[need] for need in task.dependencies if need in known)),
                            tuple(sorted(dependents[task.index])),
                        )
                    )
                    for task in plan
                }
            )
        if all(len(set(new.values())) == len(set(old.values())) for new, old in zip(refined, colours, strict=True)):
            return refined
        colours = refined
    return colours


def _calls(plan: Plan) -> dict[int, str]:
    """Every call written out with the calls it refers to in place of their numbers, `{index: text}`."""
    calls: dict[int, str] = {}
    for task in plan:
        arguments = sorted(f"{name}={_written(value, calls)}" for name, value in _named(task))
        after = sorted(calls.get(index, "?") for index in task.after)
        calls[task.index] = f"{task.tool}({', '.join(arguments)}){after or ''}"
    return calls


def _arguments(plan: Plan, calls: Mapping[int, str]) -> list[tuple[str, str, str]]:
    return [(task.tool, name, _written(value, calls)) for task in plan for name, value in _named(task)]


def _named(task: Task) -> list[tuple[str, Value]]:
    by_position = [(str(position), value) for position, value in enumerate(task.positional)]
    return [*by_position, *task.arguments.items()]


def _edges(plan: Plan) -> list[tuple[str, str]]:
    tools = {task.index: task.tool for task in plan}
    return [(tools[need], task.tool) for task in plan for need in task.dependencies if need in tools]


def _written(value: Value, calls: Mapping[int, str]) -> str:
    """Write an argument so that equal ones are equal: `1.0` is `1`, and a reference is the call it refers to."""
    match value:
        case Reference(index, _):
            path = value.braced[len(str(index)) + 2 : -1]
            return f"<{calls.get(index, '?')}{path}>"
        case Template(parts):
            return "".join(part if isinstance(part, str) else _written(part, calls) for part in parts)
        case list():
            return f"[{', '.join(_written(each, calls) for each in value)}]"
        case dict():
            return f"{{{', '.join(f'{key!r}: {_written(each, calls)}' for key, each in sorted(value.items()))}}}"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return json.dumps(value, ensure_ascii=False)


def _overlap(written: Iterable[Hashable], wanted: Iterable[Hashable]) -> Overlap:
    ours, theirs = Counter(written), Counter(wanted)
    return Overlap((ours & theirs).total(), ours.total(), theirs.total())
