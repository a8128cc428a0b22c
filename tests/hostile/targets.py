"""What is fuzzed: for each part, how a case is made, and what must hold of it.

A case is JSON, so that those that once failed can be kept as files. Running it raises if something does not hold, and
returns how many executions of the part it took.
"""

from __future__ import annotations

import asyncio
import json
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from llmcompiler_graph.calls.values import awritten, written
from llmcompiler_graph.core.checking.checker import Checker
from llmcompiler_graph.core.checking.entities import Entities
from llmcompiler_graph.core.checking.placeholders import Placeholders
from llmcompiler_graph.core.errors import ConfigurationError, Diagnostic, ObservationError
from llmcompiler_graph.core.grammar.forms import write
from llmcompiler_graph.core.grammar.plans import plan_grammar
from llmcompiler_graph.core.grammar.rules import Form
from llmcompiler_graph.core.language.decision import Finish, parse_decision
from llmcompiler_graph.core.language.decision_parser import DecisionParser
from llmcompiler_graph.core.language.native_calls import Piece, ToolCallText
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import Plan, Task
from tests.core.language.test_parser import read
from tests.core.language.test_thinking import read as without_thoughts
from tests.grammar_engine import EngineLimitError, sentence
from tests.hostile import objects, schemas, texts, times, turns

__all__ = ("TARGETS", "Target")


class Target(NamedTuple):
    """One part that is fuzzed."""

    make: Callable[[Random], Any]
    """Makes a case."""
    run: Callable[[Any], int]
    """Runs it; raises if something does not hold."""
    text_shrinks: bool = True
    """Whether the texts in a case may be made shorter to find a smaller one that fails."""


# -- texts -------------------------------------------------------------------------------------------------------------


def _text(words: tuple[str, ...], random: Random) -> str:
    return texts.broken_reply(words, random) if random.random() < 0.3 else texts.text_of(words, random)


TOOLS = {"f": ("x",), "b": (), "search": ("query", "limit"), "a": ("x", "y")}


def make_plan_text(random: Random) -> Any:
    """A reply, and where it is cut."""
    text = _text(texts.PARSER_WORDS, random)
    return {
        "text": text,
        "used": random.choice([[], [1, 2], [7]]),
        "tools": random.random() < 0.7,
        "cuts": [texts.cuts(text, random) for _ in range(2)],
    }


def run_plan_text(case: Any) -> int:
    """Whole, character by character and in any pieces: the same tasks and diagnostics at the same places."""
    text, used, tools = case["text"], case["used"], TOOLS if case["tools"] else None
    whole = list(map(repr, read(text, used, (), tools)))
    assert list(map(repr, read(text, used, range(len(text)), tools))) == whole, "character by character"
    for cuts in case["cuts"]:
        assert list(map(repr, read(text, used, cuts, tools))) == whole, f"cut at {cuts}"
    return 2 + len(case["cuts"])


def make_thoughts(random: Random) -> Any:
    """A reply with thoughts in it."""
    words = (
        *texts.PARSER_WORDS[:40],
        *texts.DECISION_WORDS,
        "[THINK]",
        "[/THINK]",
        "◁think▷",
        "◁/think▷",
        "<|channel|>",
    )
    more = (
        "analysis<|message|>",
        "<|end|>",
        "<|start|>assistant",
        "final<|message|>",
        "<thinking>",
        "</Think>",
        "< think >",
    )
    text = texts.text_of((*words, *more, *more), random)
    return {"text": text, "answers": random.random() < 0.5, "cuts": [texts.cuts(text, random)]}


def run_thoughts(case: Any) -> int:
    """However a reply is cut, the same is left of it without its thoughts."""
    text = case["text"]
    found: list[str] = []
    for cuts in ([], range(len(text)), *case["cuts"]):
        pieces = [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]
        found.append(without_thoughts(pieces, answers=case["answers"])[0])
    assert found == found[:1] * len(found), "cut another way, something else is left"
    return len(found)


def make_decision(random: Random) -> Any:
    """A joiner's reply."""
    text = _text(texts.DECISION_WORDS, random)
    return {"text": text, "cuts": [texts.cuts(text, random) for _ in range(2)]}


def run_decision(case: Any) -> int:
    """However a reply is cut, it is the same decision, and what is shown of it is the answer."""
    text = case["text"]
    expected = parse_decision(text)
    answer = expected.answer if isinstance(expected, Finish) else ""
    for cuts in ([], range(len(text)), *case["cuts"]):
        parser = DecisionParser()
        shown = [parser.feed(text[a:b]) for a, b in pairwise([0, *cuts, len(text)])]
        decision, rest = parser.close()
        assert decision == expected
        assert "".join([*shown, rest]) == answer
    return 3 + len(case["cuts"])


# -- native calls ------------------------------------------------------------------------------------------------------

_ARGUMENTS = (
    *(
        "{}",
        "",
        "null",
        '""',
        "[]",
        '{"x": "$1"}',
        '{"x": "}{"}',
        '{"x": {"x": 1}}',
        '[{"x": 1}, {"x": 2}]',
        '"{\\"x\\": 1}"',
    ),
    *(
        '{"task": 3, "x": 1}',
        '{"task": "two", "after": [1, "$2"]}',
        '{"after": {"a": 1}}',
        '{"x": $1}',
        '{"x": "a',
        "{'x': 1}",
    ),
    *(
        '{"tool_uses": [{"recipient_name": "functions.f", "parameters": {"x": 1}}]}',
        '{"arguments": {"x": 1}}',
        '{"x": NaN}',
    ),
    *(
        '{"x": 1}{"x": 2}',
        '{"x": "\\ud800"}',
        "[" * 150,
        '{"x": ' * 120 + "1" + "}" * 120,
        '{"task": 1e999}',
        '{"x": 1e999}',
    ),
    *(
        '{"task": ' + "9" * 30 + "}",
        '{"x": "join()\\n2. f(1)"}',
        '{"x\\n2. f(": 1}',
        "\u2028",
        '{"": 1}',
        '{"x": 1, "x": 2}',
    ),
)
_NAMES = (
    "f",
    "search",
    "a",
    "",
    "join",
    "multi_tool_use.parallel",
    "functions.f",
    "f(",
    "f\n2. a(",
    "höhe",
    "<|f|>",
    "f.g-h",
)


def make_native_calls(random: Random) -> Any:
    """The pieces of a stream of native calls."""
    pieces = []
    for number in range(random.randint(1, 4)):
        arguments = random.choice(_ARGUMENTS)
        if random.random() < 0.15:
            arguments = texts.text_of(
                ('"', "{", "}", "[", "]", "\\", ":", ",", "x", "1", "$1", " ", "\n", "null"), random
            )
        position = random.choice([number, number, 0, None, f"call_{number}"])
        call_id = random.choice([f"id{number}", f"id{number}", "", "same"])
        begin = [random.choice(_NAMES), "", position, call_id]
        edges = [0, *texts.cuts(arguments, random), len(arguments)]
        rest = [["", arguments[a:b], position, random.choice(["", call_id])] for a, b in pairwise(edges)]
        pieces += [begin, *rest] if random.random() < 0.8 else [[begin[0], arguments, position, call_id]]
    if random.random() < 0.2:
        random.shuffle(pieces)
    return {"pieces": pieces}


def run_native_calls(case: Any) -> int:
    """Any stream of pieces becomes plan text of whole lines, that can be read; no call is lost without a word."""
    calls = ToolCallText(1, parameters=TOOLS)
    text = "".join(calls.feed(Piece(*piece)) for piece in case["pieces"]) + calls.close()
    assert not text or text.endswith("\n")
    events = read(text, tools=TOOLS)
    lines = [line for line in text.splitlines() if line.strip() and "join(" not in line]
    if "join" not in text:
        assert bool(events) == bool(lines), "calls were written, and neither read nor complained about"
    return 1


# -- the checker -------------------------------------------------------------------------------------------------------


def make_checked(random: Random) -> Any:
    """Tools of any schemas, and calls of them."""
    tools = [schemas.random_tool(random, name) for name in ("f", "g", "search")]
    lines = [schemas.random_call(random, tools, number) for number in range(1, random.randint(2, 7))]
    return {"tools": tools, "text": "\n".join(lines)}


def run_checked(case: Any) -> int:
    """Nothing raises; what was checked once is right the second time; a task has a diagnostic or can be resolved."""
    specs = []
    for tool in case["tools"]:
        try:
            specs.append(schemas.spec_of(tool))
        except ConfigurationError:
            continue
    parser = PlanParser(tools={spec.name: tuple(spec.parameters) for spec in specs})
    checker, again = Checker(specs), Checker(specs)
    doubts: tuple[Entities, Placeholders] = Entities(), Placeholders()
    for event in [*parser.feed(case["text"]), *parser.close()]:
        if isinstance(event, Diagnostic):
            continue
        task, found = checker.check(event)
        for doubt in doubts:
            doubt.doubt(task)
            doubt.note(task)
        if found:
            again.assume(task)
            continue
        twice = again.check(task)
        assert twice.diagnostics == [], f"checked twice: {twice.diagnostics[0]}"
        assert twice.task == task, "checked twice, it is another task"
        _reads_back(task)
    return 1


def _reads_back(task: Task) -> None:
    earlier = Plan(tuple(Task(n, "f") for n in range(1, task.index)))
    event = read(f"{earlier}\n".replace(f"{task.index}. join()\n", "") + str(task))[-1]
    assert isinstance(event, Task), f"its own text is not read: {event}"
    if all(name.isidentifier() for name in task.arguments):
        assert event == task, f"its own text is read as {event}"


# -- grammars ----------------------------------------------------------------------------------------------------------


def make_grammar(random: Random) -> Any:
    """Tools of any schemas, and a seed for what is written."""
    tools = [
        schemas.random_tool(random, name)
        for name in random.sample(["f", "g", "search", "mcp__a-b.c"], random.randint(1, 2))
    ]
    return {"tools": tools, "form": random.choice(["lark", "lark", "gbnf"]), "seed": random.getrandbits(32)}


def run_grammar(case: Any) -> int:
    """Whatever a grammar lets a model write, for any tools, is read and fits them."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "in the arguments of the tool .* would have to hold itself")
            specs = [schemas.spec_of(tool) for tool in case["tools"]]
    except ConfigurationError:
        return 0
    form: Form = case["form"]
    grammar = write(plan_grammar(specs, max_tasks=3, phased=form != "lark"), form)
    if (text := _written(grammar, form, Random(case["seed"]))) is None:
        return 0
    parser, checker = PlanParser(), Checker(specs)
    for event in [*parser.feed(text), *parser.close()]:
        assert isinstance(event, Task), f"{text!r}: {event}"
        found = checker.check(event).diagnostics
        assert not found, f"{text!r}: {found[0]}"
    return 1


def _written(grammar: str, form: Form, random: Random) -> str | None:
    """What a model writes that is held to a grammar; `None` beyond a limit of the engine."""
    with suppress(EngineLimitError):
        return sentence(grammar, form, random)
    return None


# -- values ------------------------------------------------------------------------------------------------------------

_SERDE = JsonPlusSerializer()


def run_value(case: Any) -> int:
    """Any object becomes JSON that is stored and read back the same, or is refused with a reason; twice the same."""
    outcomes: list[Any] = []
    ways: tuple[Callable[[Any], Any], ...] = (written, lambda value: asyncio.run(awritten(value, "f")))
    for how in ways:
        try:
            outcomes.append(how(objects.build(case["recipe"])))
        except ObservationError as error:
            outcomes.append(str(error) or "!")
            continue
        value = outcomes[-1]
        text = json.dumps(value, allow_nan=True)
        text.encode()
        assert repr(json.loads(text)) == repr(value), "JSON reads back as something else"
        assert repr(_SERDE.loads_typed(_SERDE.dumps_typed(value))) == repr(value), "it is stored as something else"
    assert "!" not in outcomes, "refused without a reason"
    first, second = (re.sub(r"0x[0-9a-f]+", "", repr(outcome)) for outcome in outcomes)
    assert first == second, "on the event loop it is something else"
    return 2


def make_value(random: Random) -> Any:
    """How an object is made."""
    return {"recipe": objects.random_recipe(random)}


TARGETS: dict[str, Target] = {
    "parser": Target(make_plan_text, run_plan_text),
    "thoughts": Target(make_thoughts, run_thoughts),
    "decisions": Target(make_decision, run_decision),
    "native": Target(make_native_calls, run_native_calls),
    "checker": Target(make_checked, run_checked, text_shrinks=False),
    "grammar": Target(make_grammar, run_grammar, text_shrinks=False),
    "values": Target(make_value, run_value, text_shrinks=False),
    "times": Target(times.make_timed, times.run_timed),
    "turns": Target(turns.make_turn, turns.run_turn),
}
