"""Critical path first against plan order, on random plans and a virtual clock.

python -m tests.benchmarks.critical_path [--plans 50] [--max-concurrency 2] [--seed 0]

Simulated: tasks only take time. The lower bound of a plan's finish time is the larger of its critical path, in seconds,
and all its work over the number of slots. The optimiser does not know how long a task will take: it counts the tasks
that wait in a chain. `by duration` is what it would reach if it knew (the longest chain in seconds goes first).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics

from llmcompiler_graph.core.language.plan import Observation, Plan, Task
from llmcompiler_graph.core.schedule.executor import run_plan
from llmcompiler_graph.core.schedule.instructions import Start
from llmcompiler_graph.core.schedule.passes import Priority, critical_path_first
from llmcompiler_graph.core.schedule.unit import TaskFetchingUnit
from llmcompiler_graph.testing import run_virtual


def random_plan(rng: random.Random) -> tuple[Plan, dict[int, float]]:
    """Make a plan of 12 to 40 tasks, of up to three dependencies each, and how long each takes, in seconds."""
    tasks, seconds = [], {}
    for index in range(1, rng.randint(12, 40) + 1):
        before = range(max(1, index - 12), index)
        after = rng.sample(before, min(len(before), rng.choice([0, 1, 1, 2, 3])))
        tasks.append(Task(index, "work", {}, tuple(sorted(after))))
        seconds[index] = round(rng.lognormvariate(0, 0.8), 3)
    return Plan(tuple(tasks)), seconds


def chains(plan: Plan, seconds: dict[int, float]) -> dict[int, float]:
    """How long the longest chain is that begins with each task, in seconds."""
    longest = dict(seconds)
    for task in reversed(plan.tasks):
        for n in task.dependencies:
            longest[n] = max(longest[n], seconds[n] + longest[task.index])
    return longest


def plan_order(index: int, height: int) -> float:
    """Take calls as the plan has them: what the optimiser is compared with."""
    return index


def finish_time(plan: Plan, seconds: dict[int, float], priority: Priority, slots: int) -> float:
    """Run a plan on a virtual clock, its ready calls in an order."""

    async def call(start: Start) -> Observation:
        await asyncio.sleep(seconds[start.index])
        return Observation("done")

    async def main() -> float:
        unit = TaskFetchingUnit(max_concurrency=slots, priority=priority)
        await run_plan(plan, call, unit)
        return asyncio.get_running_loop().time()

    return run_virtual(main)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=50)
    parser.add_argument("--max-concurrency", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng, slots = random.Random(given.seed), given.max_concurrency
    found: dict[str, list[float]] = {"critical path first": [], "plan order": [], "by duration": []}
    bounds: list[float] = []
    for _ in range(given.plans):
        plan, seconds = random_plan(rng)
        longest = chains(plan, seconds)
        bounds.append(max(*longest.values(), sum(seconds.values()) / slots))

        def by_duration(index: int, height: int, longest: dict[int, float] = longest) -> float:
            return -longest[index]

        orders: list[Priority] = [critical_path_first, plan_order, by_duration]
        for name, order in zip(found, orders, strict=True):
            found[name].append(finish_time(plan, seconds, order, slots))
    print(f"{given.plans} random plans, {slots} calls at a time, virtual clock; lower bound {_mean(bounds):.2f} s")
    for name, times in found.items():
        ratio = [time / bound for time, bound in zip(times, bounds, strict=True)]
        print(
            f"{name:20} mean finish time {_mean(times):6.2f} s, mean time / bound {_mean(ratio):.3f}, "
            f"worst {max(ratio):.3f}"
        )


_mean = statistics.fmean

if __name__ == "__main__":
    main()
