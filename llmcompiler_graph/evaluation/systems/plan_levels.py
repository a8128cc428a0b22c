r"""How parallel a plan is: its tasks by depth.

>>> from llmcompiler_graph.parser import parse_plan
>>> plan = parse_plan('1. lookup("K2")\n2. lookup("Everest")\n3. calculate("$1 - $2")')
>>> [[task.index for task in level] for level in levels(plan)]
[[1, 2], [3]]
"""

from __future__ import annotations

from collections.abc import Iterable

from llmcompiler_graph.plan import Task

__all__ = ("levels",)


def levels(tasks: Iterable[Task]) -> list[list[Task]]:
    """Group tasks by the length of the longest chain that leads to them; those without dependencies come first."""
    depth: dict[int, int] = {}
    found: list[list[Task]] = []
    for task in tasks:
        depth[task.index] = max((depth.get(needed, 0) for needed in task.dependencies), default=0) + 1
        found.extend([] for _ in range(depth[task.index] - len(found)))
        found[depth[task.index] - 1].append(task)
    return found
