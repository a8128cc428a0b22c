"""Repeated calls: attempt after attempt, until the task's condition holds or there are no more.

An attempt that fails ends the task: what may work at a second try is a matter of retries. What an attempt returns may
lack a value that the condition compares: then it does not hold yet. If it does not hold after the last attempt, the
task has failed, and its error says what that returned. Who makes an attempt also waits before it, so that both can be
persisted as one.

>>> import asyncio
>>> from llmcompiler_graph.core.language.parser import parse_plan
>>> async def attempt(n):
...     return Observation("done", n)
>>> (task,) = parse_plan("1. count() until $1 == 2 max 5")
>>> asyncio.run(repeated(task, {}, attempt)).value
2

May know: `json_text`, `plan`, `references`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from llmcompiler_graph.core.language.json_text import cut, write_json
from llmcompiler_graph.core.language.plan import Observation, Task
from llmcompiler_graph.core.language.references import JSON

__all__ = ("repeated",)

_KEPT = 1000  # characters of the last observation that the error tells


async def repeated(
    task: Task, values: Mapping[int, JSON], attempt: Callable[[int], Awaitable[Observation]]
) -> Observation:
    """Make the attempts of one call; give the observation of the task, or of the element.

    Args:
        task: The task, which has a repetition.
        values: What the tasks that it refers to have returned, `{index: value}`.
        attempt: Makes one, by its number from 0, after the wait before it.
    """
    until = task.until
    assert until is not None
    now = asyncio.get_running_loop().time
    began, ended = now(), list[float]()
    for n in range(until.attempts):
        observation = replace(await attempt(n), attempts=tuple(ended))
        ended.append(now() - began)
        if observation.status != "done":
            return replace(observation, error=f"attempt {n + 1} of {until.attempts} failed: {observation.error}")
        if until.met({**values, task.index: observation.value}):
            return observation
    kept = cut(write_json(observation.value), _KEPT)
    error = f"{until.unmet({**values, task.index: observation.value})}; it returned {kept}"
    return Observation("failed", error=error, attempts=observation.attempts)
