"""ParallelQA: arithmetic over 2 to 5 well-known things that can be looked up at the same time (section 5.2).

Two tools, `search` for the measures of a thing and `calculate`. The paper's search gave the first lines of Wikipedia,
and its calculator was a model; here both are typed, so that every system can name a field and nobody's arithmetic
decides. The dataset has no file of facts: they come from `parallelqa_facts/facts.json` of the data directory, else from
the package's own and the few that these lack, below.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Required, cast

from langchain_core.tools import BaseTool, StructuredTool
from typing_extensions import TypedDict  # pydantic reads typing.TypedDict only from Python 3.12 on

from llmcompiler_graph import Outcome, Plan, PlanExample
from llmcompiler_graph.evaluation.benchmarks import metrics
from llmcompiler_graph.evaluation.benchmarks.plan_checks import combines_all, named_in
from llmcompiler_graph.evaluation.benchmarks.react_prompt import REACT
from llmcompiler_graph.evaluation.data import json_of, read_json
from llmcompiler_graph.evaluation.records import Benchmark, Model, Sample, Score
from llmcompiler_graph.tools import calculate
from llmcompiler_graph.tools.facts import Index, index_of, load_entries, normalise
from llmcompiler_graph.tools.lookup import find

__all__ = ("PARALLELQA", "Measures")


class Measures(TypedDict, total=False):
    """What `search` gives: `name`, and of the others those that apply."""

    name: Required[str]
    """Its usual name."""
    height_m: float
    """Metres."""
    depth_m: float
    """Metres."""
    length_km: float
    """Kilometres."""
    area_km2: float
    """Square kilometres."""
    max_speed_km_h: float
    """Kilometres per hour."""
    population: float
    """People."""


_KINDS = {
    "ocean trench": (
        "Mariana Trench",
        "Puerto Rico Trench",
        "South Sandwich Trench",
        "Sunda Trench",
        "Peru-Chile Trench",
    ),
    "river": ("Mississippi River", "Yangtze River", "Volga River", "Mekong River", "Congo River"),
    "mountain": ("Mount Everest", "Mount Kilimanjaro", "K2", "Aconcagua", "Mount Elbert"),
    "desert": ("Sahara Desert", "Kalahari Desert", "Sonoran Desert", "Arabian Desert", "Atacama Desert"),
    "forest": ("Amazon Rainforest", "Congo Rainforest", "Borneo Rainforest", "Black Forest", "Australian Forest"),
    "ocean": ("Pacific Ocean", "Atlantic Ocean", "Indian Ocean", "Southern Ocean", "Arctic Ocean"),
    "monument": (
        "Statue of Unity",
        "Christ the Redeemer",
        "Motherland Calls",
        "Ushiku Daibutsu",
        "Washington Monument",
    ),
    "building": (
        "Empire State Building",
        "CN Tower",
        "Tokyo Skytree",
        "Shanghai Tower",
        "Burj Khalifa",
        "Ostankino Tower",
    ),
    "animal": ("cheetah", "greyhound", "peregrine falcon", "gazelle", "ostrich"),
    "country": ("China", "Japan", "South Korea", "Vietnam", "Thailand"),
    "US state": ("Texas", "Florida", "California", "Michigan", "New Jersey"),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}
_ALIASES = {
    "Ushiku Daibutsu": ("Ushiku Faibutsu",),  # misspellings in the dataset's own questions
    "Congo River": ("Conga River",),
    "Congo Rainforest": ("Congo Forest",),
    "Borneo Rainforest": ("Borneo Forest",),
    "Peru-Chile Trench": ("Atacama Trench",),
}
_UNITS = {"speed_kmh": ("max_speed_km_h", 1), "population_million": ("population", 1_000_000)}


_MORE: tuple[Mapping[str, Any], ...] = (
    {"name": "Amazon Rainforest", "kind": "forest", "area_km2": 5_500_000},
    {"name": "Congo Rainforest", "kind": "forest", "area_km2": 1_780_000, "aliases": ["Congo Forest"]},
    {"name": "Borneo Rainforest", "kind": "forest", "area_km2": 743_330, "aliases": ["Borneo Forest"]},  # the island's
    {"name": "Black Forest", "kind": "forest", "area_km2": 6_009},
    {"name": "Australian Forest", "kind": "forest", "area_km2": 1_340_000},
    {"name": "Ushiku Daibutsu", "kind": "monument", "height_m": 120, "aliases": ["Ushiku Faibutsu"]},
    {"name": "gazelle", "kind": "animal", "max_speed_km_h": 100},
    {"name": "Michigan", "kind": "US state", "population": 10_077_331, "area_km2": 250_487},
    {"name": "New Jersey", "kind": "US state", "population": 9_288_994, "area_km2": 22_591},
)


def _spellings() -> dict[str, str]:
    """How the things are written in questions and plans: `{normalised spelling: name}`."""
    written: dict[str, set[str]] = {}
    for name, kind in _KIND_OF.items():
        for spelling in _names(name, kind):
            written.setdefault(normalise(spelling), set()).add(name)
    return {spelling: names.pop() for spelling, names in written.items() if len(names) == 1}


def _names(name: str, kind: str) -> list[str]:
    """Its names, the kind left out where it is a part of them: "Sahara" for the "Sahara Desert"."""
    names = [name, *_ALIASES.get(name, ())]
    generic = {"River", "Trench", "Desert", "Ocean", "Rainforest", "Mount"}
    words = name.split()
    short = " ".join(word for word in words if word not in generic)
    if short != name:
        names.append(short)
    if kind == "monument":
        names.append(f"{name} statue")
    return names


_SPELLINGS = _spellings()


def _load(data: Path | None) -> list[Sample]:
    index = _index(str(data / "parallelqa_facts" / "facts.json")) if data is not None else _own_index()
    return [
        Sample(
            id=str(each["id"]),
            question=each["question"],
            gold=each["answer"],
            entities=tuple(sorted(named_in(each["question"], _SPELLINGS))),
            metadata={"branch": each["branch"], "facts": index},
        )
        for each in read_json("llmcompiler/parallelqa_dataset.json", data)
    ]


@cache
def _own_index() -> Index:
    entries = [dict(entry) for entry in (*load_entries(), *_MORE)]
    for entry in entries:
        if entry["name"] == "Congo River":
            entry["aliases"] = [*entry.get("aliases", ()), "Conga River"]
    return index_of(entries)


@cache
def _index(path: str) -> Index:
    """Index a file of facts, `{name: {"height_m": …}}`; the package's own where there is no such file."""
    if not Path(path).is_file():
        return _own_index()
    entries = []
    for name, values in json_of(Path(path)).items():
        if isinstance(values, dict):
            kind = _KIND_OF.get(name, "thing")
            entry: dict[str, Any] = {"name": name, "kind": kind, "aliases": _names(name, kind)[1:]}
            for key, value in values.items():
                field, factor = _UNITS.get(key, (key, 1))
                if field in Measures.__annotations__:
                    entry[field] = value * factor
            entries.append(entry)
    return index_of(entries)


def _tools(sample: Sample, model: Model) -> list[BaseTool]:
    index: Index = sample.metadata["facts"]

    def search(entity: str) -> Measures:
        """Search for one well-known thing by its name, e.g. `search("Mount Denali")`.

        Returns `name` and the measures that apply: `height_m`, `depth_m`, `length_km`, `area_km2`, `max_speed_km_h`,
        `population`.
        """
        found: Mapping[str, Any] = find(entity, index)
        return cast(Measures, {name: found[name] for name in Measures.__annotations__ if name in found})

    hints = {"readOnlyHint": True, "idempotentHint": True}
    return [StructuredTool.from_function(search, parse_docstring=False, metadata=hints), calculate]


def _score(answer: str, sample: Sample) -> Score:
    return metrics.score(answer, str(sample.gold), sample.entities)


def _check_plan(plan: Plan, sample: Sample) -> bool:
    return combines_all(plan, _SPELLINGS, sample.entities)


_EXAMPLES = (
    PlanExample(
        "If the Danube were 25% longer and the Rhine twice as long, which one would be longer?",
        "Thought: 25% longer is * 1.25, twice as long is * 2. Asked for a name, so argmax.\n"
        '1. search(entity="Danube")\n'
        '2. search(entity="Rhine")\n'
        """3. calculate(expression="argmax({'Danube': ${1.length_km} * 1.25, 'Rhine': ${2.length_km} * 2})")\n"""
        "4. join()",
        (
            Outcome(
                {
                    1: {"name": "Danube", "length_km": 2850},
                    2: {"name": "Rhine", "length_km": 1230},
                    3: "Danube",
                },
                "Thought: The Danube would be longer.\nFinish: Danube",
            ),
        ),
    ),
    PlanExample(
        "If Denali were lowered by 10% and Mount Elbrus raised by 5%, what would be the difference in metres?",
        "Thought: Lowered by 10% is * 0.9, raised by 5% is * 1.05. Asked for a difference, so subtract.\n"
        '1. search(entity="Denali")\n'
        '2. search(entity="Mount Elbrus")\n'
        '3. calculate(expression="abs(${1.height_m} * 0.9 - ${2.height_m} * 1.05)")\n'
        "4. join()",
        (
            Outcome(
                {
                    1: {"name": "Denali", "height_m": 6190},
                    2: {"name": "Mount Elbrus", "height_m": 5642},
                    3: 353.1,
                },
                "Thought: The difference was calculated.\nFinish: 353.1",
            ),
        ),
    ),
    PlanExample(
        "Suppose Greenland shrank by a third, Madagascar tripled, Sumatra grew by 15% and Iceland kept its size: which "
        "island would be the smallest?",
        "Thought: Shrunk by a third is * 2 / 3, tripled is * 3, 15% more is * 1.15. Asked for a name, so argmin.\n"
        '1. search(entity="Greenland")\n'
        '2. search(entity="Madagascar")\n'
        '3. search(entity="Sumatra")\n'
        '4. search(entity="Iceland")\n'
        """5. calculate(expression="argmin({'Greenland': ${1.area_km2} * 2 / 3, 'Madagascar': ${2.area_km2} * 3, """
        """'Sumatra': ${3.area_km2} * 1.15, 'Iceland': ${4.area_km2}})")\n"""
        "6. join()",
    ),
    PlanExample(
        "With Lake Baikal deepened by 10% and Lake Superior's depth cut by 20%, what is the ratio of their depths?",
        "Thought: Deepened by 10% is * 1.1, cut by 20% is * 0.8. Asked for a ratio, so divide.\n"
        '1. search(entity="Lake Baikal")\n'
        '2. search(entity="Lake Superior")\n'
        '3. calculate(expression="(${1.depth_m} * 1.1) / (${2.depth_m} * 0.8)")\n'
        "4. join()",
    ),
    PlanExample(
        "Which is larger: the average population of Spain and Italy, or that of France and Portugal? Answer the value.",
        "Thought: Two averages. Asked for the larger value, so max.\n"
        '1. search(entity="Spain")\n'
        '2. search(entity="Italy")\n'
        '3. search(entity="France")\n'
        '4. search(entity="Portugal")\n'
        """5. calculate(expression="max(mean(${1.population}, ${2.population}), """
        """mean(${3.population}, ${4.population}))")\n"""
        "6. join()",
    ),
)

_REACT = (
    REACT
    + """
Question: If the Danube were 25% longer and the Rhine twice as long, which one would be longer?
Thought: I need the length of the Danube first.
Action: search(entity="Danube")
Observation: {"name": "Danube", "length_km": 2850}
Thought: Now the length of the Rhine.
Action: search(entity="Rhine")
Observation: {"name": "Rhine", "length_km": 1230}
Thought: 25% longer is * 1.25, twice as long is * 2. Asked for a name, so argmax.
Action: calculate(expression="argmax({'Danube': 2850 * 1.25, 'Rhine': 1230 * 2})")
Observation: "Danube"
Thought: The Danube would be longer.
Answer: Danube

Question: If Denali were lowered by 10% and Mount Elbrus raised by 5%, what would be the difference in metres?
Thought: I need the height of Denali first.
Action: search(entity="Denali")
Observation: {"name": "Denali", "height_m": 6190}
Thought: Now the height of Mount Elbrus.
Action: search(entity="Mount Elbrus")
Observation: {"name": "Mount Elbrus", "height_m": 5642}
Thought: Lowered by 10% is * 0.9, raised by 5% is * 1.05. Asked for a difference, so subtract.
Action: calculate(expression="abs(6190 * 0.9 - 5642 * 1.05)")
Observation: 353.1
Thought: The difference is 353.1 metres.
Answer: 353.1

Question: Suppose Greenland shrank by a third, Madagascar tripled, Sumatra grew by 15% and Iceland kept its size: \
which island would be the smallest?
Thought: I need the area of Greenland first.
Action: search(entity="Greenland")
Observation: {"name": "Greenland", "area_km2": 2166086}
Thought: Now the area of Madagascar.
Action: search(entity="Madagascar")
Observation: {"name": "Madagascar", "area_km2": 587041}
Thought: Now the area of Sumatra.
Action: search(entity="Sumatra")
Observation: {"name": "Sumatra", "area_km2": 473481}
Thought: Now the area of Iceland.
Action: search(entity="Iceland")
Observation: {"name": "Iceland", "area_km2": 103000}
Thought: Shrunk by a third is * 2 / 3, tripled is * 3, 15% more is * 1.15. Asked for a name, so argmin.
Action: calculate(expression="argmin({'Greenland': 2166086 * 2 / 3, 'Madagascar': 587041 * 3, 'Sumatra': 473481 * 1.15\
, 'Iceland': 103000})")
Observation: "Iceland"
Thought: Iceland would be the smallest.
Answer: Iceland

Question: With Lake Baikal deepened by 10% and Lake Superior's depth cut by 20%, what is the ratio of their depths?
Thought: I need the depth of Lake Baikal first.
Action: search(entity="Lake Baikal")
Observation: {"name": "Lake Baikal", "depth_m": 1642}
Thought: Now the depth of Lake Superior.
Action: search(entity="Lake Superior")
Observation: {"name": "Lake Superior", "depth_m": 406}
Thought: Deepened by 10% is * 1.1, cut by 20% is * 0.8. Asked for a ratio, so divide.
Action: calculate(expression="(1642 * 1.1) / (406 * 0.8)")
Observation: 5.560960591133005
Thought: The ratio is 5.560960591133005.
Answer: 5.560960591133005

Question: Which is larger: the average population of Spain and Italy, or that of France and Portugal? Answer the value.
Thought: I need the population of Spain first.
Action: search(entity="Spain")
Observation: {"name": "Spain", "population": 48000000}
Thought: Now the population of Italy.
Action: search(entity="Italy")
Observation: {"name": "Italy", "population": 59000000}
Thought: Now the population of France.
Action: search(entity="France")
Observation: {"name": "France", "population": 68000000}
Thought: Now the population of Portugal.
Action: search(entity="Portugal")
Observation: {"name": "Portugal", "population": 10500000}
Thought: Two averages. Asked for the larger value, so max.
Action: calculate(expression="max(mean(48000000, 59000000), mean(68000000, 10500000))")
Observation: 53500000
Thought: The larger average is 53500000.
Answer: 53500000
"""
)
_DAGGER = """\
Search for everything the question names before you answer. Never make the same call twice.
"""

PARALLELQA = Benchmark(
    name="parallelqa",
    load=_load,
    tools=_tools,
    score=_score,
    instructions="The answer is one number without unit or thousands separators, or one name, and nothing else.",
    examples=_EXAMPLES,
    react_prompt=_REACT,
    react_dagger_prompt=_REACT + _DAGGER,
    check_plan=_check_plan,
)
"""113 questions; the paper's ReAct has 89.09 %, LLMCompiler 89.38 % at 2.15 times the speed (gpt-4-turbo)."""
