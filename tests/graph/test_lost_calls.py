"""The calls in a plan's text that became no task."""

import time

import pytest

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.graph.lost_calls import lost_calls


def lost_lines(text: str) -> list[int]:
    """The lines of a text with a call that became no task and stands nowhere else."""
    parser = PlanParser()
    problems = [event for event in [*parser.feed(text), *parser.close()] if isinstance(event, Diagnostic)]
    return [problem.line for problem in lost_calls([each for each in problems if each.index is None], text, {"look"})]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('look("K2")', []),
        ('(1) look("K2")', [1]),
        ('(1) look("St. Helens")', [1]),
        ('(a) find("K2")\n(1) look("K2")', [2]),
        ('1. look("K2")\n1. look("Everest")', [2]),
        ('1. look("K2")\n(1) look("K2")', []),
        ('1. look("K2")\n1. look("K2")', []),
        ('(1) look("K2")\n1. look("K2") after $2', []),
        ('1. find(look("K2"))\n(1) look("K2")', []),
        ('Note(s): look("K2")', []),
        ("look at this", []),
    ],
)
def test_what_is_lost(text: str, lines: list[int]) -> None:
    """A call of a tool that is laid out in another way is lost, unless it stands elsewhere in the text."""
    assert lost_lines(text) == lines


def test_many_calls() -> None:
    """Thousands of lost calls are found in time that grows with the text; those that stand twice never count."""
    text = "".join(f'(1) look("{n}")\n' for n in range(5000)) * 2 + '(1) look("K2")'
    began = time.process_time()
    assert lost_lines(text) == [text.count("\n") + 1]
    assert time.process_time() - began < 10
