r"""A benchmark's example plans in the forms of other systems: by depth, and with references spelled otherwise.

>>> from llmcompiler_graph.parser import parse_plan
>>> plan = parse_plan('1. lookup("K2")\n2. lookup("Everest")\n3. calculate("${1.height} - $2")')
>>> [[task.index for task in level] for level in levels(plan)]
[[1, 2], [3]]
>>> respelled(plan.tasks[2], lambda index, path: f"#E{index}{path}")
'calculate("#E1.height - #E2")'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from llmcompiler_graph.plan import Task, render_call

__all__ = ("levels", "respelled")

_REFERENCE = re.compile(r"\$\{(?P<braced>\d+)(?P<path>[^}]*)\}|\$(?P<plain>\d+)|(?P<dollar>\$\$)")


def levels(tasks: Iterable[Task]) -> list[list[Task]]:
    """Group tasks by the length of the longest chain that leads to them; those without dependencies come first."""
    depth: dict[int, int] = {}
    found: list[list[Task]] = []
    for task in tasks:
        depth[task.index] = max((depth.get(needed, 0) for needed in task.dependencies), default=0) + 1
        found.extend([] for _ in range(depth[task.index] - len(found)))
        found[depth[task.index] - 1].append(task)
    return found


def respelled(task: Task, spell: Callable[[int, str], str]) -> str:
    """Write a task's call without its number, each reference as `spell(index, path)` spells it."""

    def written(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        return spell(int(match["braced"] or match["plain"]), match["path"] or "")

    return _REFERENCE.sub(written, render_call(task.tool, task.arguments, task.positional))
