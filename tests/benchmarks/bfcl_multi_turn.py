"""BFCL's multi_turn_base by its official, unmodified checker: a plan a turn against a call a turn.

    python -m tests.benchmarks.bfcl_multi_turn ask gold --data BFCL_DATA --out runs/multi_turn.jsonl
    python -m tests.benchmarks.bfcl_multi_turn ask plan steps --data BFCL_DATA --n 10 --out runs/multi_turn.jsonl
    BFCL_PYTHON -m tests.benchmarks.bfcl_multi_turn score runs/multi_turn.jsonl

See `bfcl` for `BFCL_PYTHON` and `BFCL_DATA`; that environment also needs `mpmath`, which one of BFCL's services
imports. The calls go to BFCL's own services (a file system, a car, a broker, …), of which each sample has fresh ones.
They change things, so calls keep the plan's order. The checker makes the calls that were made again, and compares what
the services hold after each turn, and what they returned, with what its own answer leads to.

`gold` needs no model: BFCL's own calls, a plan a turn, through the real graph on one thread. `plan` lets the model
write a plan a turn; `steps` is LangChain's `create_agent` with the same tools, which the model calls natively.
"""

import argparse
import asyncio
import importlib
import random
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

from tests.benchmarks.bfcl import Asked, StandIn, command_line, lines_of, record, shown_name

NAME = "BFCL_v4_multi_turn_base.json"
MOST_STEPS = 20  # of a turn, as BFCL's own runner allows


def services_of(sample: dict[str, Any], data: Path) -> dict[str, Any]:
    """The sample's services, as they are before the first turn."""
    if str(data.parent.parent) not in sys.path:
        sys.path.append(str(data.parent.parent))  # last: our own packages are ours
    from bfcl_eval.constants.executable_backend_config import (  # type: ignore[import-not-found, unused-ignore]
        CLASS_FILE_PATH_MAPPING,
    )

    services = {}
    for name in sample["involved_classes"]:
        service = services[name] = getattr(importlib.import_module(CLASS_FILE_PATH_MAPPING[name]), name)()
        if hasattr(service, "_load_scenario"):
            service._load_scenario(deepcopy(sample["initial_config"].get(name, {})), long_context=False)
    return services


def tools_of(sample: dict[str, Any], data: Path, made: list[str]) -> list[Any]:
    """The services' functions as tools, which note the calls that are made."""
    from langchain_core.tools import StructuredTool

    from llmcompiler_graph.evaluation.deterministic.gold_calls import json_schema

    services, tools = services_of(sample, data), []
    from bfcl_eval.constants.executable_backend_config import (  # type: ignore[import-not-found, unused-ignore]
        MULTI_TURN_FUNC_DOC_FILE_MAPPING,
    )

    for name, service in services.items():
        for told in lines_of(data / "multi_turn_func_doc" / MULTI_TURN_FUNC_DOC_FILE_MAPPING[name]):
            if told["name"] in sample.get("excluded_function", ()):
                continue

            parameters = cast("dict[str, Any]", json_schema(told["parameters"]))
            tools.append(
                StructuredTool(
                    name=shown_name(told["name"]),
                    description=told["description"].rpartition("Tool description: ")[2],
                    args_schema={"required": [], **parameters, "type": "object"},
                    func=noting(getattr(service, told["name"]), told["name"], made),
                    metadata={"readOnlyHint": False, "destructiveHint": True},  # calls keep the plan's order
                )
            )
    return tools


def noting(function: Callable[..., Any], name: str, made: list[str]) -> Callable[..., Any]:
    """The function, whose calls are noted."""

    def call(**arguments: Any) -> Any:
        made.append(f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})")
        return function(**arguments)

    return call


async def turns_of(system: str, model: Any, sample: dict[str, Any], data: Path, gold: list[list[str]]) -> Any:
    """The calls that were made in each turn."""
    from langgraph.checkpoint.memory import InMemorySaver

    from llmcompiler_graph import create_llm_compiler
    from llmcompiler_graph.testing import ScriptedModel

    made: list[str] = []
    tools = tools_of(sample, data, made)
    if system == "steps":
        from langchain.agents import create_agent
        from langchain.agents.middleware import ModelCallLimitMiddleware

        limit: Any = ModelCallLimitMiddleware(run_limit=MOST_STEPS, exit_behavior="end")
        graph: Any = create_agent(model, tools, middleware=[limit], checkpointer=InMemorySaver())
    else:
        if system == "gold":
            replies = [reply for calls in gold for reply in (plan_of(calls), "Finish: done")]
            model = ScriptedModel(replies)
        graph = create_llm_compiler(model, tools, checkpointer=InMemorySaver(), max_replans=1)
    turns = []
    for messages in sample["question"]:
        begin = len(made)
        asked = [(each["role"], each["content"]) for each in messages]
        config = {"configurable": {"thread_id": sample["id"]}, "recursion_limit": 10 * MOST_STEPS}
        await graph.ainvoke({"messages": asked}, config)
        turns.append(made[begin:])
    return turns


def plan_of(calls: list[str]) -> str:
    """BFCL's own calls as plan text."""
    return "\n".join([*(f"{n}. {call}" for n, call in enumerate(calls, 1)), f"{len(calls) + 1}. join()"])


def chosen(data: Path, n: int | None, seed: int) -> Iterator[tuple[dict[str, Any], list[list[str]]]]:
    """Choose samples at random, with BFCL's own calls."""
    samples = lines_of(data / NAME)
    answers = {each["id"]: each["ground_truth"] for each in lines_of(data / "possible_answer" / NAME)}
    random.Random(seed).shuffle(samples)
    for sample in samples[:n]:
        yield sample, answers[sample["id"]]


def ask(given: argparse.Namespace) -> None:
    """Ask for the calls of each turn."""
    model = given.model
    if "steps" in given.systems:
        from llmcompiler_graph.models.local import local_chat_model

        model = local_chat_model()

    def samples() -> Iterator[Asked]:
        for sample, gold in chosen(given.data, given.n, given.seed):

            def turns(system: str, sample: dict[str, Any] = sample, gold: list[list[str]] = gold) -> Any:
                return asyncio.run(turns_of(system, model, sample, given.data, gold))

            yield Asked(sample["id"], {}, turns, [[] for _ in sample["question"]])

    record(given, "turns", samples())


def score(given: argparse.Namespace) -> None:
    """Print a table: right by the official checker, of how many."""
    sys.meta_path.append(StandIn())
    import bfcl_eval  # type: ignore[import-not-found, unused-ignore]
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import (  # type: ignore[import-not-found, unused-ignore]
        multi_turn_checker,
    )

    data = Path(bfcl_eval.__file__).parent / "data"
    samples = {sample["id"]: (sample, gold) for sample, gold in chosen(data, None, 0)}
    right: dict[str, list[bool]] = {}
    for number, each in enumerate(each for path in given.files for each in lines_of(path)):
        sample, gold = samples[each["id"]]
        steps = [[[call] for call in turn] for turn in each["turns"]]
        said = multi_turn_checker(steps, gold, sample, "multi_turn_base", f"{each['system']}{number}")
        right.setdefault(each["system"], []).append(bool(said["valid"]))
        if given.why and not said["valid"]:
            print(each["id"], each["system"], said.get("error_type"), str(said.get("error_message"))[:200])
    print("| system | right |\n| --- | --- |")
    for system, valid in right.items():
        print(f"| {system} | {sum(valid)} of {len(valid)} |")


if __name__ == "__main__":
    parser, asking = command_line(__doc__, ("plan", "steps", "gold"), ask, score)
    asking.add_argument("--n", type=int, help="how many samples, chosen at random (all)")
    arguments = parser.parse_args()
    arguments.do(arguments)
