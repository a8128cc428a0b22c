"""HotpotQA: two articles to find, and a comparison or a bridge between them (section 5.1, appendix E.2).

- `hotpotqa`: all 1,487 comparison questions of the development set. With a data directory, those whose observations are
  recorded use these and the others find nothing; without one, the search is that of Wikipedia, live.
- `hotpotqa_offline`: only those with recorded observations: the ten paragraphs of HotpotQA's distractor setting, or
  search results recorded by others.
- `hotpotqa_bridge`: questions whose second article is only known after the first was read, so that plans must be
  followed by others; from HotpotQA's distractor file, whose paragraphs are what can be found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool

from llmcompiler_graph import Outcome, Plan, PlanExample
from llmcompiler_graph.evaluation.benchmarks import metrics
from llmcompiler_graph.evaluation.benchmarks.plan_checks import searches_exactly
from llmcompiler_graph.evaluation.benchmarks.react_prompt import REACT
from llmcompiler_graph.evaluation.benchmarks.search import recorded_search, wikipedia_search
from llmcompiler_graph.evaluation.data import DataError, json_of, read_json
from llmcompiler_graph.evaluation.records import Benchmark, Model, Sample, Score

__all__ = ("HOTPOTQA", "HOTPOTQA_BRIDGE", "HOTPOTQA_OFFLINE")

_DESCRIPTION = "Search for the article on one person, place, work or thing by its name; returns its first sentences."
_OFFICIAL_DISTRACTOR = "hotpot_dev_distractor_v1.json"


def _load(data: Path | None) -> list[Sample]:
    recorded = _recorded(data)
    entities = _optional(data, "hipporag_query_entities.json") or {}
    return [
        Sample(
            id=row["id"],
            question=row["question"],
            gold=row["answer"],
            # with more than two, which of them are articles is not known
            entities=tuple(names) if len(names := entities.get(row["id"], ())) == 2 else (),
            metadata={"observations": recorded.get(row["id"], None if data is None else {})},
        )
        for row in read_json("llmcompiler/hotpotqa_comparison.json", data)
    ]


def _load_offline(data: Path | None) -> list[Sample]:
    return [sample for sample in _load(_needed(data)) if sample.metadata["observations"]]


def _load_bridge(data: Path | None) -> list[Sample]:
    return [
        Sample(row["id"], row["question"], row["answer"], metadata={"observations": _paragraphs(row)})
        for row in _distractor(_needed(data))
        if row["type"] == "bridge"
    ]


def _needed(data: Path | None) -> Path:
    if data is None:
        msg = (
            f"this benchmark needs recorded paragraphs: give a data directory (--data) with HotpotQA's own "
            f"{_OFFICIAL_DISTRACTOR!r}, or with 'hotpotqa_offline/'"
        )
        raise DataError(msg)
    return data


def _recorded(data: Path | None) -> dict[str, dict[str, str]]:
    """What can be found for a question: `{id: {title or query: text}}`."""
    if data is None:
        return {}
    recorded = {key: dict(row["searches"]) for key, row in (_optional(data, _FIREACT) or {}).items()}
    recorded |= {row["id"]: _paragraphs(row) for row in _distractor(data)}
    for key, row in (_optional(data, "reflexion_react_observations.json") or {}).items():
        found = {each["entity"]: each["observation"] for each in row["searches"]}
        found = {name: text for name, text in found.items() if not text.startswith("Could not find")}
        recorded[key] = {**found, **recorded.get(key, {})}
    return recorded


_FIREACT = "fireact_search_observations.json"


def _distractor(data: Path) -> Iterator[dict[str, Any]]:
    official = data / _OFFICIAL_DISTRACTOR
    if official.is_file():
        for row in json_of(official):
            paragraphs = [{"title": title, "text": "".join(sentences)} for title, sentences in row["context"]]
            yield {**row, "id": row["_id"], "paragraphs": paragraphs}
    else:
        yield from _optional(data, "reflexion_distractor_100.json") or []


def _paragraphs(row: dict[str, Any]) -> dict[str, str]:
    return {each["title"]: each["text"] for each in row["paragraphs"]}


def _optional(data: Path | None, name: str) -> Any:
    path = data / "hotpotqa_offline" / name if data is not None else None
    return json_of(path) if path is not None and path.is_file() else None


def _tools(sample: Sample, model: Model) -> list[BaseTool]:
    observations = sample.metadata["observations"]
    return [wikipedia_search(_DESCRIPTION) if observations is None else recorded_search(observations, _DESCRIPTION)]


def _score(answer: str, sample: Sample) -> Score:
    label = str(sample.gold)
    named = any(metrics.normalise(each) in metrics.normalise(label) for each in sample.entities)
    others = [each for each in sample.entities if metrics.normalise(each) not in metrics.normalise(label)]
    return metrics.score(answer, label, others if named else ())


def _check_plan(plan: Plan, sample: Sample) -> bool:
    return searches_exactly(plan, sample.entities)


_EXAMPLES = (
    PlanExample(
        "Which of the two was born later, Ada Lovelace or Charles Babbage?",
        '1. search(entity="Ada Lovelace")\n2. search(entity="Charles Babbage")\n3. join()',
        (
            Outcome(
                {
                    1: "Augusta Ada King, Countess of Lovelace (10 December 1815 - 27 November 1852) was an English "
                    "mathematician.",
                    2: "Charles Babbage (26 December 1791 - 18 October 1871) was an English polymath.",
                },
                "Thought: 1815 is later than 1791.\nFinish: Ada Lovelace",
            ),
        ),
    ),
    PlanExample(
        "Do the Bodleian Library and the Rylands Library stand in the same city?",
        '1. search(entity="Bodleian Library")\n2. search(entity="Rylands Library")\n3. join()',
        (
            Outcome(
                {
                    1: "The Bodleian Library is the main research library of the University of Oxford.",
                    2: "The John Rylands Library is a library on Deansgate in Manchester, England.",
                },
                "Thought: Oxford and Manchester are different cities.\nFinish: no",
            ),
        ),
    ),
    PlanExample(
        "What kind of instrument do both the zither and the balalaika belong to?",
        '1. search(entity="Zither")\n2. search(entity="Balalaika")\n3. join()',
    ),
)

_REACT_TWO = f"""\
{REACT}
Question: Which of the two was born later, Ada Lovelace or Charles Babbage?
Thought: I need to know when Ada Lovelace was born.
Action: search(entity="Ada Lovelace")
Observation: Augusta Ada King, Countess of Lovelace (10 December 1815 - 27 November 1852) was an English mathematician.
Thought: Now I need to know when Charles Babbage was born.
Action: search(entity="Charles Babbage")
Observation: Charles Babbage (26 December 1791 - 18 October 1871) was an English polymath.
Thought: 1815 is later than 1791.
Answer: Ada Lovelace

Question: Do the Bodleian Library and the Rylands Library stand in the same city?
Thought: I need to know where the Bodleian Library stands.
Action: search(entity="Bodleian Library")
Observation: The Bodleian Library is the main research library of the University of Oxford.
Thought: Now I need to know where the Rylands Library stands.
Action: search(entity="Rylands Library")
Observation: The John Rylands Library is a library on Deansgate in Manchester, England.
Thought: Oxford and Manchester are different cities.
Answer: no
"""
_REACT = f"""\
{_REACT_TWO}
Question: What kind of instrument do both the zither and the balalaika belong to?
Thought: I need to know what the zither is.
Action: search(entity="Zither")
Observation: Zithers are a class of stringed instruments whose strings are stretched over a flat body.
Thought: Now I need to know what the balalaika is.
Action: search(entity="Balalaika")
Observation: The balalaika is a Russian stringed musical instrument with a triangular wooden body.
Thought: Both have strings.
Answer: stringed instrument
"""
_REACT_BRIDGE = f"""\
{_REACT_TWO}
Question: In which country was the architect of the Fallingwater house born?
Thought: I need to know who the architect of Fallingwater is.
Action: search(entity="Fallingwater")
Observation: Fallingwater is a house designed by the architect Frank Lloyd Wright in 1935.
Thought: The architect is Frank Lloyd Wright; where he was born is not known yet.
Action: search(entity="Frank Lloyd Wright")
Observation: Frank Lloyd Wright was an American architect, born in Richland Center, Wisconsin.
Thought: Wisconsin is in the United States.
Answer: the United States
"""
_DAGGER = """\
Never make the same search twice: what was not found is not found the next time, and what was found is known.
"""
_INSTRUCTIONS = "The answer is yes, no or one name or short phrase from what was found, and nothing else."


HOTPOTQA = Benchmark(
    name="hotpotqa",
    load=_load,
    tools=_tools,
    score=_score,
    instructions=_INSTRUCTIONS,
    examples=_EXAMPLES,
    react_prompt=_REACT,
    react_dagger_prompt=_REACT + _DAGGER,
    check_plan=_check_plan,
)
"""1,487 questions; the paper's ReAct† has 62.47 %, LLMCompiler 62.00 % at 1.80 times the speed (gpt-3.5-turbo)."""

HOTPOTQA_OFFLINE = replace(HOTPOTQA, name="hotpotqa_offline", load=_load_offline)
"""Those of `hotpotqa` with recorded observations."""

HOTPOTQA_BRIDGE = replace(
    HOTPOTQA,
    name="hotpotqa_bridge",
    load=_load_bridge,
    examples=(
        *_EXAMPLES[:2],
        PlanExample(
            "In which country was the architect of the Fallingwater house born?",
            '1. search(entity="Fallingwater")\n2. join()',
            (
                Outcome(
                    {1: "Fallingwater is a house designed by the architect Frank Lloyd Wright in 1935."},
                    "Thought: The architect is Frank Lloyd Wright; where he was born is not known yet.\n"
                    "Replan: Find out where Frank Lloyd Wright was born.",
                    '2. search(entity="Frank Lloyd Wright")\n3. join()',
                ),
                Outcome(
                    {2: "Frank Lloyd Wright was an American architect, born in Richland Center, Wisconsin."},
                    "Thought: Wisconsin is in the United States.\nFinish: the United States",
                ),
            ),
        ),
    ),
    react_prompt=_REACT_BRIDGE,
    react_dagger_prompt=_REACT_BRIDGE + _DAGGER,
    max_replans=2,
    check_plan=None,
)
"""Bridge questions; the paper's ReAct† has 23.1 %, LLMCompiler 26.3 % (gpt-3.5-turbo)."""
