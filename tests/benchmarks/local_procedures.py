"""Questions of five shapes, live: the embedded model with a procedure for each shape, and without, in turn.

python -m tests.benchmarks.local_procedures [--model MODEL] [--out FILE] [--every N]

Each question is asked both ways, one after the other, in alternating order. Answers are appended to the file as they
come; those that are there are not asked for again. The table has means over the questions, and paired ratios with
bootstrap intervals (with procedures ÷ without). Questions and procedures were written before the model was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.cli.defaults import default_examples, default_tools
from llmcompiler_graph.evaluation.statistics import interval, paired_ratio
from llmcompiler_graph.tools.lookup import lookup
from tests.benchmarks.local_questions import is_right

PROCEDURES = [
    '''height_difference(first: str, second: str):
  """How many metres higher the first mountain or building is than the second."""
  1. lookup(entity="${first}")
  2. lookup(entity="${second}")
  3. calculate("${1.height_m} - ${2.height_m}")
''',
    '''total_length(first: str, second: str, third: str):
  """The lengths of three rivers together, in km."""
  1. lookup(entity="${first}")
  2. lookup(entity="${second}")
  3. lookup(entity="${third}")
  4. calculate("${1.length_km} + ${2.length_km} + ${3.length_km}")
''',
    '''area_ratio(first: str, second: str):
  """How many times larger in area the first country or island is than the second."""
  1. lookup(entity="${first}")
  2. lookup(entity="${second}")
  3. calculate("${1.area_km2} / ${2.area_km2}")
''',
    '''average_height(first: str, second: str, third: str, fourth: str):
  """The average height of four mountains, in metres."""
  1. lookup(entity="${first}")
  2. lookup(entity="${second}")
  3. lookup(entity="${third}")
  4. lookup(entity="${fourth}")
  5. calculate("(${1.height_m} + ${2.height_m} + ${3.height_m} + ${4.height_m}) / 4")
''',
    '''people_per_area(country: str):
  """How many people live on a square kilometre of a country."""
  1. lookup(entity="${country}")
  2. calculate("${1.population} / ${1.area_km2}")
''',
]


class Question(NamedTuple):
    """A question, and the arithmetic that answers it."""

    text: str
    entities: tuple[str, ...]
    key: str
    how: str


QUESTIONS = [
    *(
        Question(f"How many metres higher is {a} than {b}?", (a, b), "height_m", "{0} - {1}")
        for a, b in (("K2", "Denali"), ("Lhotse", "Elbrus"), ("Makalu", "Mont Blanc"), ("Burj Khalifa", "Taipei 101"))
    ),
    *(
        Question(
            f"How long are the {a}, the {b} and the {c} together, in km?", (a, b, c), "length_km", "{0} + {1} + {2}"
        )
        for a, b, c in (
            ("Danube", "Volga", "Nile"),
            ("Mississippi River", "Nile", "Danube"),
            ("Amazon River", "Volga", "Danube"),
            ("Volga", "Mississippi River", "Amazon River"),
        )
    ),
    *(
        Question(f"How many times larger in area is {a} than {b}?", (a, b), "area_km2", "{0} / {1}")
        for a, b in (("Spain", "Italy"), ("Greenland", "Japan"), ("Japan", "Portugal"), ("France", "Germany"))
    ),
    *(
        Question(
            f"What is the average height of {a}, {b}, {c} and {d}, in metres?",
            (a, b, c, d),
            "height_m",
            "({0} + {1} + {2} + {3}) / 4",
        )
        for a, b, c, d in (
            ("K2", "Lhotse", "Makalu", "Cho Oyu"),
            ("Manaslu", "Annapurna", "Dhaulagiri", "Nanga Parbat"),
            ("Denali", "Elbrus", "Kilimanjaro", "Mont Blanc"),
            ("Mount Everest", "Denali", "Mont Blanc", "K2"),
        )
    ),
    *(
        Question(f"How many people live on one square kilometre of {a}?", (a,), "population", "{0} / {area}")
        for a in ("Spain", "Italy", "Japan", "Germany")
    ),
]


def expected(question: Question) -> float:
    """The right answer, computed from the facts."""
    facts = [lookup.invoke({"entity": entity}) for entity in question.entities]
    values = [fact[question.key] for fact in facts]
    return float(eval(question.how.format(*values, area=facts[0].get("area_km2"))))


async def ask(graph: Any, question: Question) -> dict[str, Any]:
    """Ask a question; give what is written down of it."""
    began = time.monotonic()
    try:
        final = await graph.ainvoke({"messages": [("user", question.text)]})
    except Exception as error:  # of one question: the others are asked all the same
        return {
            "right": 0,
            "written": 0,
            "seconds": time.monotonic() - began,
            "error": f"{type(error).__name__}: {error}",
        }
    usage = [each for one in final["rounds"] for each in one["usage"].values()]
    return {
        "right": int(is_right(str(final["messages"][-1].text), expected(question))),
        "written": sum(each["output_tokens"] for each in usage),
        "planned": sum(one["usage"].get("planner", {}).get("output_tokens", 0) for one in final["rounds"]),
        "seconds": time.monotonic() - began,
        "plan": [one["plan"] for one in final["rounds"]],
        "answer": str(final["messages"][-1].text),
        "called": any("procedure" in task for task in final["tasks"]),
    }


async def main() -> None:
    """Ask what is not answered yet, and print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--model", default="local:qwen2.5-coder-1.5b")
    options.add_argument("--out", type=Path, default=Path("local_procedures.jsonl"))
    options.add_argument("--every", type=int, default=1, help="only every n-th question")
    options.add_argument("--table", action="store_true", help="ask nothing")
    given = options.parse_args()
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    found = {(row["question"], row["way"]): row for row in map(json.loads, lines)}
    tools = default_tools()
    graphs = {
        "with": create_llm_compiler(given.model, tools, examples=default_examples, procedures=PROCEDURES),
        "without": create_llm_compiler(given.model, tools, examples=default_examples),
    }
    for n, question in enumerate([] if given.table else QUESTIONS[:: given.every]):
        for way in ("with", "without") if n % 2 else ("without", "with"):
            if (question.text, way) not in found:
                row = {"question": question.text, "way": way, **await ask(graphs[way], question)}
                found[question.text, way] = row
                with given.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(row["right"], way, f"{row['seconds']:.1f} s", question.text, row.get("answer"), flush=True)
    both = [q.text for q in QUESTIONS if all((q.text, way) in found for way in graphs)]
    print(f"\n{len(both)} questions | with | without | ratio")
    for what in ("right", "written", "planned", "seconds"):
        one, other = ([float(found[q, way].get(what, 0)) for q in both] for way in ("with", "without"))
        ratio = paired_ratio(one, other)
        means = f"{interval(one).mean:.2f} | {interval(other).mean:.2f}"
        print(
            f"{what} | {means} | "
            + ("" if ratio is None else f"{ratio.mean:.2f} ({ratio.low:.2f} to {ratio.high:.2f})")
        )
    print("called a procedure:", sum(bool(found[q, "with"].get("called")) for q in both))


if __name__ == "__main__":
    asyncio.run(main())
