"""Our own questions about averages, extremes, choices, percentages and units, each with a program for its answer.

They are asked as ParallelQA's are, with the same tools, examples and metric, over the package's own facts:

    {"kind": "choice", "question": "If Lhotse were 6% lower and …", "program": "argmax({'Lhotse': {Lhotse.height_m} …"}

The label is what the program gives. Of each kind some are held out: `REASONING` may be looked at while prompts and
checks are written, `REASONING_HELD_OUT` only to measure them. 61 to 77 were written when those before had been asked;
78 to 107 on 30 November 2026, in the manner of ParallelQA's questions and in their proportions, by somebody who had not
seen the rules of the checks; 108 to 137, siblings of ParallelQA's questions from all of its blocks, on the same day by
somebody who had not seen them either. Who works on those rules reads none of these before they have been asked.

>>> len(REASONING.load(None)), len(REASONING_HELD_OUT.load(None))
(30, 107)
>>> REASONING.load(None)[9].gold
'Makalu'
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path

from llmcompiler_graph.evaluation.benchmarks.parallelqa import PARALLELQA
from llmcompiler_graph.evaluation.records import Benchmark, Sample
from llmcompiler_graph.tools import calculate
from llmcompiler_graph.tools.facts import Index, load_index
from llmcompiler_graph.tools.lookup import find

__all__ = ("REASONING", "REASONING_HELD_OUT")

_FIELD = re.compile(r"\{(?P<name>[^{}':]+)\.(?P<field>\w+)\}")


def _load(data: Path | None, *, held_out: bool) -> list[Sample]:  # the questions come with the package
    index = load_index()
    text = files(__package__).joinpath("reasoning.json").read_text(encoding="utf-8")
    return [
        Sample(
            id=each["id"],
            question=each["question"],
            gold=_label(each["program"], index),
            entities=tuple(sorted({match["name"] for match in _FIELD.finditer(each["program"])})),
            metadata={"kind": each["kind"], "facts": index},
        )
        for each in json.loads(text)
        if each["held_out"] == held_out
    ]


def _label(program: str, index: Index) -> str:
    """Run the program of an answer."""
    value = calculate.invoke(_FIELD.sub(lambda match: str(dict(find(match["name"], index))[match["field"]]), program))
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


REASONING = replace(
    PARALLELQA,
    name="reasoning",
    load=partial(_load, held_out=False),
    instructions="The answer is one number without unit or thousands separators, or one name, or yes or no, and "
    "nothing else.",
    check_plan=None,
)
"""The 30 questions that may be looked at."""
REASONING_HELD_OUT: Benchmark = replace(REASONING, name="reasoning_held_out", load=partial(_load, held_out=True))
"""The others."""
