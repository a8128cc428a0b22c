"""Movie Recommendation: which of four films is most like four others: eight searches at once (section 5.1).

Observations come from `movie/observations.json` (`{title: text}`) of the data directory. Where a data directory is
given and holds no such file, every search is answered "Could not find …", which the original prompts allow too: then
calls, latency and plans can be measured, and answers rest on what the model knows. Without a data directory the search
is that of Wikipedia, live.
"""

from __future__ import annotations

from pathlib import Path

from langchain_core.tools import BaseTool

from llmcompiler_graph import Outcome, Plan, PlanExample
from llmcompiler_graph.evaluation.benchmarks import metrics
from llmcompiler_graph.evaluation.benchmarks.plan_checks import searches_exactly
from llmcompiler_graph.evaluation.benchmarks.react_prompt import REACT
from llmcompiler_graph.evaluation.benchmarks.search import recorded_search, wikipedia_search
from llmcompiler_graph.evaluation.data import json_of, read_json
from llmcompiler_graph.evaluation.records import Benchmark, Model, Sample, Score

__all__ = ("MOVIE",)

_ASKS = "Find a movie similar to "


def _load(data: Path | None) -> list[Sample]:
    rows = read_json("llmcompiler/movie_recommendations_formatted.json", data)
    observations = None
    if data is not None:
        path = data / "movie" / "observations.json"
        observations = json_of(path) if path.is_file() else {}
    parts = [_parts(row["question"]) for row in rows]
    known = {title for seeds, options in parts for title in (*(seeds if len(seeds) == 4 else ()), *options)}
    return [
        Sample(
            id=str(row["id"]),
            question=row["question"],
            gold=row["answer"],
            entities=(*_four(seeds, known), *options),
            metadata={"options": options, "observations": observations},
        )
        for row, (seeds, options) in zip(rows, parts, strict=True)
    ]


def _parts(question: str) -> tuple[list[str], list[str]]:
    """The films that were liked, split at every comma, and the options."""
    head, _, tail = question.partition("\nOptions:\n")
    return head.removeprefix(_ASKS).split(", "), [line for line in tail.splitlines() if line]


def _four(seeds: list[str], known: set[str]) -> list[str]:
    """Mend titles that hold a comma themselves: of all ways to four, the one with the most titles known elsewhere."""
    if len(seeds) <= 4:
        return seeds
    ways = [[*seeds[:n], f"{seeds[n]}, {seeds[n + 1]}", *seeds[n + 2 :]] for n in range(len(seeds) - 1)]
    return _four(max(reversed(ways), key=lambda way: len(known.intersection(way))), known)


def _tools(sample: Sample, model: Model) -> list[BaseTool]:
    observations = sample.metadata["observations"]
    description = "Search for a film by its title; returns what it is about, or that it was not found."
    if observations is None:
        return [wikipedia_search(description, argument="title")]
    return [recorded_search(observations, description, argument="title")]


def _score(answer: str, sample: Sample) -> Score:
    label = str(sample.gold)
    return metrics.score(answer, label, [each for each in sample.metadata["options"] if each != label])


def _check_plan(plan: Plan, sample: Sample) -> bool:
    return searches_exactly(plan, sample.entities)


_EXAMPLE = PlanExample(
    "Find a movie similar to Paddington, Ratatouille, Chicken Run, Stuart Little\nOptions:\nTroy\nCharlotte's Web\n"
    "The Ring\nCollateral",
    '1. search(title="Paddington")\n'
    '2. search(title="Ratatouille")\n'
    '3. search(title="Chicken Run")\n'
    '4. search(title="Stuart Little")\n'
    '5. search(title="Troy")\n'
    '6. search(title="Charlotte\'s Web")\n'
    '7. search(title="The Ring")\n'
    '8. search(title="Collateral")\n'
    "9. join()",
    (
        Outcome(
            {
                1: "Paddington is a 2014 comedy about a bear who moves in with a family in London.",
                2: "Ratatouille is a 2007 animated comedy about a rat who wants to be a chef in Paris.",
                3: "Chicken Run is a 2000 animated comedy about chickens who plan to escape from a farm.",
                4: "Stuart Little is a 1999 family comedy about a mouse who is adopted by a family.",
                5: "Troy is a 2004 epic war film about the siege of Troy.",
                6: "Charlotte's Web is a 2006 family film about a pig and a spider who is his friend.",
                7: "The Ring is a 2002 horror film about a cursed videotape.",
                8: "Could not find Collateral.",
            },
            "Thought: The liked films are comedies with animals for families; so is Charlotte's Web alone.\n"
            "Finish: Charlotte's Web",
        ),
    ),
)

_REACT = f"""\
{REACT}
Question: Find a movie similar to Paddington, Ratatouille, Chicken Run, Stuart Little
Options:
Troy
Charlotte's Web
The Ring
Collateral
Thought: I search for the films that were liked, then for the options. First, Paddington.
Action: search(title="Paddington")
Observation: Paddington is a 2014 comedy about a bear who moves in with a family in London.
Thought: Next, Ratatouille.
Action: search(title="Ratatouille")
Observation: Ratatouille is a 2007 animated comedy about a rat who wants to be a chef in Paris.
Thought: Next, Chicken Run.
Action: search(title="Chicken Run")
Observation: Chicken Run is a 2000 animated comedy about chickens who plan to escape from a farm.
Thought: The last film that was liked, Stuart Little.
Action: search(title="Stuart Little")
Observation: Stuart Little is a 1999 family comedy about a mouse who is adopted by a family.
Thought: Now the options. First, Troy.
Action: search(title="Troy")
Observation: Troy is a 2004 epic war film about the siege of Troy.
Thought: Next, Charlotte's Web.
Action: search(title="Charlotte's Web")
Observation: Charlotte's Web is a 2006 family film about a pig and a spider who is his friend.
Thought: Next, The Ring.
Action: search(title="The Ring")
Observation: The Ring is a 2002 horror film about a cursed videotape.
Thought: The last option, Collateral.
Action: search(title="Collateral")
Observation: Could not find Collateral.
Thought: The liked films are comedies with animals for families; so is Charlotte's Web alone.
Answer: Charlotte's Web
"""
_DAGGER = """\
Search for all eight films, the four that were liked and the four options, before you answer.
Never search for the same film twice, found or not.
"""

MOVIE = Benchmark(
    name="movie",
    load=_load,
    tools=_tools,
    score=_score,
    instructions="The answer is the one option that is most like the films named, copied exactly, and nothing else.",
    examples=(_EXAMPLE,),
    react_prompt=_REACT,
    react_dagger_prompt=_REACT + _DAGGER,
    check_plan=_check_plan,
)
"""500 questions; the paper's ReAct† has 72.47 %, LLMCompiler 77.13 % at 3.74 times the speed (gpt-3.5-turbo)."""
