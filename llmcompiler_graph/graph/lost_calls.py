r"""Finds the calls of tools in a plan's text that became no task, and stand nowhere else in it.

>>> from llmcompiler_graph.core.language.parser import PlanParser
>>> text = '(1) look("K2")\n1. look("Everest")\n(2) look("Everest")'
>>> parser = PlanParser()
>>> problems = [event for event in [*parser.feed(text), *parser.close()] if isinstance(event, Diagnostic)]
>>> [lost.line for lost in lost_calls(problems, text, {"look"})]
[1]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.parser import NOT_A_TASK

__all__ = ("lost_calls",)

_CALL = re.compile(r"[\W\d]*(?P<call>(?P<tool>[^\W\d][\w.\-/]*)(?:\*\*|`)?[ \t]*\(.*)")
_MOST_SEARCHES = 100  # for calls that may stand within other lines: each search reads the whole text


def lost_calls(problems: Iterable[Diagnostic], text: str, tools: Collection[str]) -> list[Diagnostic]:
    """Pick those of the problems that are such calls.

    Args:
        problems: What is wrong with lines of the text that are no task's.
        text: The plan.
        tools: The names of the tools.
    """
    lines = text.split("\n")
    in_lines = Counter(match["call"] for line in lines if (match := _CALL.match(line)))
    lost: list[Diagnostic] = []
    searches = 0
    for problem in problems:
        if problem.code == NOT_A_TASK:
            lost.append(problem)
        if problem.code not in ("missing-index", "duplicate-index"):
            continue
        match = _CALL.match(lines[problem.line - 1], problem.column - 1)
        if match is None or match["tool"] not in tools or in_lines[match["call"]] > 1:
            continue
        searches += 1
        if searches <= _MOST_SEARCHES and text.count(match["call"]) == 1:
            lost.append(problem)
    return lost
