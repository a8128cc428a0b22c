"""Forty tasks that wait, written before four that can run: a synchronous run must not keep these waiting for threads.

python -m tests.benchmarks.sync_threads

Real threads, real time, scripted model. Task 1 takes a second; 2 to 41 wait for it; 42 to 45 take half a second each
and need nothing. The bound is 1 s for the run and 0.5 s for the four. Once as `invoke` runs it, and once resumed after
a pause before the plan, where no call was started while it was written.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

FIRST, WAITING, RUNNABLE = "1. work(1)", 40, 4
PLAN = "\n".join(
    [FIRST]
    + [f"{n}. work(0) after $1" for n in range(2, 2 + WAITING)]
    + [f"{n}. work(0.5)" for n in range(2 + WAITING, 2 + WAITING + RUNNABLE)]
)
QUESTION: Any = {"messages": [("user", "?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}


@tool
def work(seconds: float) -> float:
    """Hold a thread for some seconds."""
    time.sleep(seconds)
    return seconds


def report(how: str, final: Any, seconds: float) -> None:
    """Print how long it took."""
    assert all(task["status"] == "done" for task in final["tasks"])
    four = final["timeline"][-RUNNABLE:]
    took = max(each["finished"] for each in four) - min(each["released"] for each in four)
    print(
        f"{how:28} {seconds:.2f} s, bound 1.00 s; the four {took:.2f} s after they could start, "
        f"bound 0.50 s; {threading.active_count()} threads"
    )


def main() -> None:
    """Print the figures."""
    create_llm_compiler(ScriptedModel(["1. work(0)", "Finish: ok"]), [work]).invoke(QUESTION)  # imports and first calls
    graph = create_llm_compiler(ScriptedModel([PLAN, "Finish: ok"]), [work])
    began = time.perf_counter()
    report("invoke", graph.invoke(QUESTION), time.perf_counter() - began)
    graph = create_llm_compiler(
        ScriptedModel([PLAN, "Finish: ok"]),
        [work],
        checkpointer=InMemorySaver(),
        interrupt_before=["task_fetching_unit"],
    )
    graph.invoke(QUESTION, THREAD)
    began = time.perf_counter()
    report("invoke(None), after a pause", graph.invoke(None, THREAD), time.perf_counter() - began)


if __name__ == "__main__":
    main()
