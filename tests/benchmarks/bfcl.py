"""BFCL's parallel categories by its official, unmodified checker: plans against native tool calls of the same model.

    python tests/benchmarks/bfcl.py ask plan native --data BFCL_DATA --per-category 10 --out runs/bfcl.jsonl
    BFCL_PYTHON tests/benchmarks/bfcl.py score runs/bfcl.jsonl

`BFCL_PYTHON` is the Python of an environment of its own with `pip install --no-deps bfcl-eval==2026.3.23`, `BFCL_DATA`
the folder `bfcl_eval/data` in it. `ask` needs this package, `score` nothing but that one: the checker is as it was
published, and what it imports of the clients of all providers, none of which it calls, is stood in for. No tool is run:
the calls of the first plan are what is judged. `ask gold` writes BFCL's own answers as plan text and reads them back,
which needs no model. Systems take turns on each sample. The same `ask` goes on where it was stopped.

`plan` is a plan under the grammar, `free` one without it, `tools` one as native calls (`plan_format="tools"`). `native`
is no plan: the model with the tools bound to it, asked once. The embedded model writes calls as JSON in its text; they
count, in any of the notations that plans may have too.

Tools are shown with `_` for the `.` in their names, as BFCL does for models that refuse it, and named with `.` again
for the checker.
"""

import argparse
import importlib.abc
import importlib.machinery
import json
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

CATEGORIES = ("parallel", "parallel_multiple", "live_parallel", "live_parallel_multiple")
CHECKED_AS = "gorilla-openfunctions-v2"  # a model whose names the checker takes as they are


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Read JSONL."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def chosen(
    data: Path, categories: Sequence[str], per_category: int | None, seed: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Choose samples at random, the categories in turn."""
    found = []
    for category in categories:
        samples = lines_of(data / f"BFCL_v4_{category}.json")
        random.Random(seed).shuffle(samples)
        found += [(place, category, sample) for place, sample in enumerate(samples[:per_category])]
    for _, category, sample in sorted(found, key=lambda each: (each[0], CATEGORIES.index(each[1]))):
        yield category, sample


# -- asking: needs llmcompiler_graph ------------------------------------------------------------------------------


def shown_name(name: str) -> str:
    """A tool's name as models are shown it."""
    return name.replace(".", "_")


def tools_of(sample: dict[str, Any]) -> list[Any]:
    """The sample's tools; they are never called."""
    from langchain_core.tools import StructuredTool

    from llmcompiler_graph.evaluation.deterministic.gold_calls import json_schema

    def call(**_: Any) -> Any:
        """Never called."""

    return [
        StructuredTool(
            name=shown_name(each["name"]),
            description=each["description"],
            args_schema={"required": [], **cast("dict[str, Any]", json_schema(each["parameters"])), "type": "object"},
            func=call,
        )
        for each in sample["function"]
    ]


def planned(system: str, model: Any, sample: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of the model's first plan, by the tools' own names."""
    from langgraph.checkpoint.memory import InMemorySaver

    from llmcompiler_graph import create_llm_compiler
    from llmcompiler_graph.state import task_from_record

    graph = create_llm_compiler(
        model,
        tools_of(sample),
        plan_format="tools" if system == "tools" else "text",
        constrain=None if system in ("tools", "free") else "auto",
        interrupt_after=["planner"],
        checkpointer=InMemorySaver(),
    )
    final = graph.invoke({"messages": asked_in(sample)}, {"configurable": {"thread_id": "bfcl"}})
    tasks = [task_from_record(record) for record in final["tasks"] if record["text"]]
    return by_own_names(sample, ((task.tool, as_json(task.arguments)) for task in tasks))


def called(model: Any, sample: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of a model that the tools are bound to, by the tools' own names."""
    from llmcompiler_graph.calls.specs import tool_specs
    from llmcompiler_graph.core.errors import PlanError
    from llmcompiler_graph.core.examples import PlanExample, shown_tasks
    from llmcompiler_graph.models.lazy import LazyModel

    tools = tools_of(sample)
    reply = LazyModel(model).get().bind_tools(tools).invoke(asked_in(sample))
    calls = [(call["name"], call["args"]) for call in reply.tool_calls]
    if not calls:
        try:
            (tasks,) = shown_tasks(PlanExample("", str(reply.text)), tool_specs(tools))
        except PlanError:
            return []
        calls = [(task.tool, as_json(task.arguments)) for task in tasks]
    return by_own_names(sample, calls)


def asked_in(sample: dict[str, Any]) -> list[tuple[str, str]]:
    """The sample's messages."""
    return [(each["role"], each["content"]) for each in sample["question"][0]]


def by_own_names(sample: dict[str, Any], calls: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Calls of tools as they are shown, by the tools' own names, as the checker takes them."""
    names = {shown_name(each["name"]): each["name"] for each in sample["function"]}
    return [{names.get(name, name): arguments} for name, arguments in calls]


def as_json(value: Any) -> Any:
    """Arguments as they are; what refers to another call, as its text."""
    match value:
        case dict():
            return {name: as_json(each) for name, each in value.items()}
        case list():
            return [as_json(each) for each in value]
        case bool() | int() | float() | str() | None:
            return value
        case _:
            return str(value)


def written_back(sample: dict[str, Any], gold: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """BFCL's own answer as plan text, read back."""
    from llmcompiler_graph import parse_plan
    from llmcompiler_graph.evaluation.deterministic.gold_calls import bfcl_plan

    return [{task.tool: as_json(task.arguments)} for task in parse_plan(str(bfcl_plan(gold)))]


class Asked(NamedTuple):
    """A sample that systems are asked about."""

    id: str
    about: dict[str, Any]
    """What its records say besides the answer."""
    answer: Callable[[str], Any]
    """Asks a system, by its name."""
    none: Any
    """The answer of a system that fails."""


def record(given: argparse.Namespace, key: str, samples: Iterable[Asked]) -> None:
    """Ask for what the file does not have; `key` names the answer in the records."""
    known = {(each["id"], each["system"]) for each in lines_of(given.out)} if given.out.exists() else set()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with given.out.open("a", encoding="utf-8") as out:
        for sample in samples:
            for system in given.systems:
                if (sample.id, system) in known:
                    continue
                began, error = time.monotonic(), ""
                try:
                    answer = sample.answer(system)
                except Exception as failure:  # of one sample: its answer is none, and the others are asked
                    answer, error = sample.none, f"{type(failure).__name__}: {failure}"[:500]
                seconds = round(time.monotonic() - began, 2)
                said = {"id": sample.id, "system": system, key: answer, "error": error, "seconds": seconds}
                out.write(json.dumps(said | sample.about, ensure_ascii=False) + "\n")
                out.flush()


def ask(given: argparse.Namespace) -> None:
    """Ask for the calls of plans."""
    answers = {
        each["id"]: each["ground_truth"]
        for category in given.categories
        for each in lines_of(given.data / "possible_answer" / f"BFCL_v4_{category}.json")
    }

    def samples() -> Iterator[Asked]:
        for category, sample in chosen(given.data, given.categories, given.per_category, given.seed):
            gold = answers[sample["id"]]
            about = {"category": category, "function": sample["function"], "possible_answer": gold}
            yield Asked(sample["id"], about, partial(calls_of, given.model, sample, gold), [])

    record(given, "calls", samples())


def calls_of(model: Any, sample: dict[str, Any], gold: list[dict[str, Any]], system: str) -> list[dict[str, Any]]:
    """The calls that a system answers with."""
    match system:
        case "gold":
            return written_back(sample, gold)
        case "native":
            return called(model, sample)
        case _:
            return planned(system, model, sample)


# -- scoring: needs bfcl-eval -------------------------------------------------------------------------------------


class StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what is not installed, as modules in which every name is a class without anything in it."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Find any module but those of the checker."""
        if name.partition(".")[0] in ("bfcl_eval", "org", *sys.stdlib_module_names):
            return None  # `copy` looks for Jython's `org`
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Make the module."""
        return Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing."""


class Empty(ModuleType):
    """A module of a package that is not installed."""

    def __getattr__(self, name: str) -> Any:
        """Anything of that name."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything


class AnyClass(type):
    """A class with every attribute."""

    def __getattr__(cls, name: str) -> Any:
        """Anything of that name."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything


class Anything(metaclass=AnyClass):
    """Can be inherited from, called, and used to decorate."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take anything."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Give anything."""
        return Anything()

    def __getattr__(self, name: str) -> Any:
        """Anything of that name."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()

    def __or__(self, _: Any) -> Any:
        """Be either."""
        return self

    def __class_getitem__(cls, _: Any) -> Any:
        """Take any type."""
        return cls


def score(given: argparse.Namespace) -> None:
    """Print a table: right by the official checker, of how many, by category."""
    sys.meta_path.append(StandIn())
    from bfcl_eval.constants.enums import Language  # type: ignore[import-not-found, unused-ignore]
    from bfcl_eval.eval_checker.ast_eval.ast_checker import (  # type: ignore[import-not-found, unused-ignore]
        ast_checker,
    )

    print(f"| system | {' | '.join(CATEGORIES)} | all |\n|{' --- |' * (len(CATEGORIES) + 2)}")
    records = [each for path in given.files for each in lines_of(path)]
    right: dict[str, dict[str, list[bool]]] = {}
    for each in records:
        said = ast_checker(
            each["function"],
            each["calls"],
            each["possible_answer"],
            Language.PYTHON,
            each["category"],
            CHECKED_AS,
        )
        by_category = right.setdefault(each["system"], {category: [] for category in CATEGORIES})
        by_category[each["category"]].append(bool(said["valid"]))
        if given.why and not said["valid"]:
            print(each["id"], each["system"], said["error_type"], said["error"][:1])
    for system, by_category in right.items():
        cells = [f"{sum(valid)} of {len(valid)}" for valid in by_category.values()]
        whole = [valid for each in by_category.values() for valid in each]
        print(f"| {system} | {' | '.join(cells)} | {sum(whole)} of {len(whole)} |")


Command = Callable[[argparse.Namespace], None]


def command_line(doc: str | None, systems: Sequence[str], ask: Command, score: Command) -> tuple[Any, Any]:
    """The parser of a command line that asks and scores, and that of its `ask`, for more options."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    asking = commands.add_parser("ask")
    asking.add_argument("systems", nargs="+", choices=systems)
    asking.add_argument("--data", type=Path, required=True)
    asking.add_argument("--out", type=Path, required=True)
    asking.add_argument("--seed", type=int, default=7)
    asking.add_argument("--model", default="local")
    asking.set_defaults(do=ask)
    scoring = commands.add_parser("score")
    scoring.add_argument("files", nargs="+", type=Path)
    scoring.add_argument("--why", action="store_true", help="what is wrong with each that is")
    scoring.set_defaults(do=score)
    return parser, asking


if __name__ == "__main__":
    parser, asking = command_line(__doc__, ("plan", "free", "tools", "native", "gold"), ask, score)
    asking.add_argument("--categories", nargs="+", choices=CATEGORIES, default=CATEGORIES)
    asking.add_argument("--per-category", type=int)
    arguments = parser.parse_args()
    arguments.do(arguments)
