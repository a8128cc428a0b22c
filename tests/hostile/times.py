"""Texts that repeat a few words: what reads them takes time that grows with their length, and little of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from llmcompiler_graph.core.checking.checker import Checker
from llmcompiler_graph.core.checking.entities import Entities
from llmcompiler_graph.core.checking.placeholders import Placeholders
from llmcompiler_graph.core.checking.terms import is_difference, terms_of, terms_of_extreme
from llmcompiler_graph.core.language.decision_parser import DecisionParser
from llmcompiler_graph.core.language.native_calls import Piece, ToolCallText
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import Task, ToolSpec
from llmcompiler_graph.core.language.thinking import WithoutThinking
from tests.hostile import texts

__all__ = ("MOST", "make_timed", "run_timed", "seconds_per_byte")

SMALL, LARGE = 4_000, 64_000
MOST = 20e-6  # seconds of processor time a byte
GROWTH = 3.0  # that a byte may cost more in the longer text

TOOLS = {"f": ("x",), "b": (), "search": ("query", "limit"), "a": ("x", "y")}
SPECS = [ToolSpec(name, {parameter: {} for parameter in parameters}) for name, parameters in TOOLS.items()]


def _plan(pieces: list[str]) -> None:
    parser = PlanParser(tools=TOOLS)
    for piece in pieces:
        parser.feed(piece)
    parser.close()


def _checked(pieces: list[str]) -> None:
    parser, checker = PlanParser(tools=TOOLS), Checker(SPECS)
    doubts: tuple[Entities, Placeholders] = Entities(), Placeholders()
    for event in [*(event for piece in pieces for event in parser.feed(piece)), *parser.close()]:
        if isinstance(event, Task):
            task, _ = checker.check(event)
            for doubt in doubts:
                doubt.doubt(task)
                doubt.note(task)


def _decision(pieces: list[str]) -> None:
    parser = DecisionParser()
    for piece in pieces:
        parser.feed(piece)
    parser.close()


def _thoughts(pieces: list[str]) -> None:
    reader = WithoutThinking(answers=True)
    for piece in pieces:
        reader.feed(piece)
    reader.close()


def _native(pieces: list[str]) -> None:
    calls = ToolCallText(1, parameters=TOOLS)
    calls.feed(Piece("f", "", 0, "id"))
    for piece in pieces:
        calls.feed(Piece("", piece, 0))
    calls.close()


def _expression(pieces: list[str]) -> None:
    text = "".join(pieces)
    terms_of(text)
    terms_of_extreme(text)
    is_difference(text)


READERS: Mapping[str, Callable[[list[str]], None]] = {
    "parser": _plan,
    "checker": _checked,
    "decisions": _decision,
    "thoughts": _thoughts,
    "native": _native,
    "expressions": _expression,
}


def _text(case: Any, size: int) -> str:
    """The text of a case, of about this length; `{n}` in its words counts."""
    words, begin, end = "".join(case["words"]), str(case["begin"]), str(case["end"])
    times = max(1, (size - len(begin)) // max(1, len(words)))
    if "{n}" in words:
        return begin + "".join(words.replace("{n}", str(n)) for n in range(1, times + 1)) + end
    return begin + words * times + end


def seconds_per_byte(case: Any, size: int) -> float:
    """The processor time for a byte of its text."""
    text, step = _text(case, size), case["piece"]
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    begun = time.process_time()
    READERS[case["reader"]](pieces)
    return (time.process_time() - begun) / len(text.encode("utf-8", "surrogatepass"))


def make_timed(random: Random) -> Any:
    """A few words, what stands before and behind them, and in what pieces they come."""
    reader = random.choice(list(READERS))
    words = texts.DECISION_WORDS if reader == "decisions" else texts.PARSER_WORDS
    more = (
        "{n}. f({n})\n",
        '{n}. search("Mount {n}")\n',
        "{n}. f(${n})\n",
        "x{n} = f({n})\n",
        '"k{n}": 1, ',
        "word ",
        "Mount K{n} ",
        *(" after ", "after $1 ", "task ", "the ", "and ", " when ", "$1 ", "abs(", "${", " - ", " "),
    )
    chosen = [random.choice((*words, *more)) for _ in range(random.randint(1, 4))]
    begin = "".join(random.choice(words) for _ in range(random.randint(0, 3)))
    if reader == "native":
        begin = random.choice(['{"x": ', '{"x": "', "[", '"', begin])
    return {
        "reader": reader,
        "begin": begin,
        "words": chosen,
        "end": random.choice(["", "", "\n", '")', "\njoin()", random.choice(words)]),
        "piece": random.choice([1, 4, 4, 30]),
    }


def run_timed(case: Any) -> int:
    """A byte costs no more in a text that is sixteen times as long, and nowhere more than the limit."""
    if not "".join(case["words"]):
        return 0
    for _ in range(5):  # else the machine was busy
        small, large = seconds_per_byte(case, SMALL), seconds_per_byte(case, LARGE)
        if large <= MOST and (large <= GROWTH * small or large < 1e-6):
            return 2
    assert large <= MOST, f"{large * 1e6:.0f} microseconds a byte"
    assert large <= GROWTH * small, f"{small * 1e6:.1f} microseconds a byte in {SMALL}, {large * 1e6:.1f} in {LARGE}"
    return 2
