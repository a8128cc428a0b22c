"""How long reading a model's reply takes per byte: parser, checker, decisions and native calls, at three sizes.

python -m tests.benchmarks.parse_speed [--before DIRECTORY] [--seconds 20] [--only PART] [--speed]

Replies are fed in pieces of four characters, as models stream tokens; what counts is CPU time, the best of up to five
runs. Besides an ordinary plan there are texts that were once read in quadratic time, or might be. `--before` measures
the package in another checkout in the same run. A case that takes longer than `--seconds` is broken off, and its figure
is a lower bound. The parser reads no more of one reply than 2 MB and 10,000 tasks: figures are per byte of what it is
given up to there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

SIZES = {"1 KB": 1_000, "100 KB": 100_000, "5 MB": 5_000_000}
PIECE = 4
READ = 1_990_000  # of one reply: a little less than the parser reads
TASKS = 10_000

Case = Callable[[int], Callable[[], int]]
"""Makes, for a size, what is measured; that returns how many bytes it was given."""


# -- the parser --------------------------------------------------------------------------------------------------------


def _parser() -> Any:
    from llmcompiler_graph.core.language.parser import PlanParser

    try:
        return PlanParser(tools={"search": ("query", "limit"), "f": ("x",), "solve": ("expression",)})
    except TypeError:  # before it knew tools
        return PlanParser()


def _fed(parser: Any, text: str) -> int:
    for at in range(0, len(text), PIECE):
        if parser.finished:
            break
        parser.feed(text[at : at + PIECE])
    parser.close()
    return len(text.encode()[:READ])


def parsed(make: Callable[[int], str]) -> Case:
    """A reply that the parser reads."""

    def case(size: int) -> Callable[[], int]:
        text = make(min(size, READ))
        return lambda: _fed(_parser(), text)

    return case


def _lines(size: int, line: Callable[[int], str]) -> str:
    lines: list[str] = []
    length = 0
    for number in itertools.count(1):
        lines.append(line(number))
        length += len(lines[-1]) + 1
        if length >= size or len(lines) == TASKS - 1:
            return "\n".join(lines)
    raise AssertionError


def ordinary(size: int) -> str:
    """A plan such as models write, with thoughts, references and comments."""

    def line(number: int) -> str:
        thought = f"Thought: now for number {number} of them\n" if number % 3 == 0 else ""
        rest = "  # the next one" if number % 4 == 0 else ""
        return f'{thought}{number}. search(query="height of mountain {number} and $%d", limit=3){rest}' % max(
            1, number - 1
        )

    return _lines(size, line)


def _json(number: int) -> str:
    return json.dumps({"id": number, "tool": "search", "args": {"query": f"mountain {number}", "limit": 3}})


PARSER: dict[str, Case] = {
    "an ordinary plan": parsed(ordinary),
    "one call with long text": parsed(lambda size: '1. search("' + "word " * (size // 5) + '")'),
    "one call with non-ASCII text": parsed(lambda size: "1. search(" + '"é", ' * (size // 6) + ")"),
    "prose": parsed(lambda size: "The second highest mountain is K2, they say.\n" * (size // 45)),
    "prose on one line": parsed(lambda size: "The second highest (K2) is, " * (size // 28)),
    "thoughts with calls": parsed(
        lambda size: _lines(size, lambda n: f"Thought: {n}. f({n}) and {n + 1}. f(2)\n{n}. f({n})")
    ),
    "one thought with many calls": parsed(
        lambda size: "Thought: " + " ".join(f"{n}. f({n})" for n in range(size // 10))
    ),
    "a thought of later calls": parsed(
        lambda size: "Thought: " + "99999. f(1) " * (size // 24) + "\n" + _lines(size // 2, lambda n: f"{n}. f({n})")
    ),
    "an unquoted hyphenated word": parsed(lambda size: "1. f(" + "a-" * (size // 2) + "b)"),
    "brackets never closed": parsed(lambda size: "1. f(" + "[" * size),
    "lines of brackets": parsed(lambda size: "[{\n" * (size // 3)),
    "lines of open tags": parsed(lambda size: "<function=f>\n" * (size // 13)),
    "a JSON list": parsed(lambda size: "[" + _lines(size, _json).replace("\n", ",\n") + "]"),
    "one JSON object": parsed(lambda size: json.dumps({"tool": "f", "args": {"x": ["word"] * (size // 8)}})),
    "assignments": parsed(
        lambda size: _lines(size, lambda n: f'x{n} = search(query="mountain {n}", limit=x{n - 1 or 1})')
    ),
    "labels": parsed(lambda size: "Action: f\nAction Input: word\n" * (size // 29)),
    "rows of a table": parsed(lambda size: '| 1 | search | query="K2" |\n' * (size // 27)),
    "announced calls": parsed(lambda size: "I will use the search tool for that, then I will use f.\n" * (size // 57)),
    "unknown references": parsed(lambda size: "1. f(" + '"${9}",' * (size // 7) + ")"),
    "dollars": parsed(lambda size: '1. f("' + "$" * size + '")'),
    "full-width signs": parsed(lambda size: "1．f（" + "［１，２］，" * (size // 18) + "）"),
    "smart quotes": parsed(lambda size: "1. f(" + "‘it’s’, " * (size // 14) + ")"),
}


# -- the checker -------------------------------------------------------------------------------------------------------


def _tools() -> list[Any]:
    from llmcompiler_graph.core.language.plan import ToolSpec

    text: Any = {"type": "string"}
    return [
        ToolSpec("search", {"query": text, "limit": {"type": "integer"}}, frozenset({"query"}), text),
        ToolSpec("f", {"x": {}}, frozenset(), {}),
        ToolSpec("solve", {"expression": {"type": "string", "format": "arithmetic"}}, frozenset({"expression"})),
    ]


def checked(make: Callable[[int], str]) -> Case:
    """A plan whose tasks are checked, as a draft does it; reading it is not measured."""

    def case(size: int) -> Callable[[], int]:
        from llmcompiler_graph.core.checking.checker import Checker
        from llmcompiler_graph.core.checking.entities import Entities
        from llmcompiler_graph.core.language.plan import Task

        doubts: list[type[Any]] = [Entities]
        with suppress(ImportError):  # there were none before
            from llmcompiler_graph.core.checking.placeholders import Placeholders

            doubts.append(Placeholders)
        text = make(min(size, READ))
        parser = _parser()
        tasks = [event for event in [*parser.feed(text), *parser.close()] if isinstance(event, Task)]

        def run() -> int:
            checker, doubting = Checker(_tools()), [each() for each in doubts]
            for task in tasks:
                found, _ = checker.check(task)
                for each in doubting:
                    each.doubt(found)
                    each.note(found)
            return len(text.encode())

        return run

    return case


def named(size: int) -> str:
    """As many tasks that look names up as tasks that read them."""
    count = min(size // 50, TASKS // 2 - 1) or 1
    lines = [f'{n}. search("mountain number {n}")' for n in range(1, count + 1)]
    return "\n".join([*lines, *(f'{count + n}. f(["about mountain number {n}", ${n}])' for n in range(1, count + 1))])


CHECKER: dict[str, Case] = {
    "an ordinary plan": checked(ordinary),
    "names and as many readers": checked(named),
    "a chain of tasks": checked(
        lambda size: _lines(size, lambda n: f'{n}. f(["name {n}", ${n - 1 or 1}])' if n > 1 else "1. f(1)")
    ),
    "one long text": checked(lambda size: '1. search("K2")\n2. search("' + "word " * (size // 5) + '$1")'),
    "one list of texts": checked(
        lambda size: '1. search("K2")\n2. f([' + '"{7} of <result>", ' * (size // 19) + "$1])"
    ),
    "unknown tools": checked(lambda size: _lines(size, lambda n: f"{n}. tool{n}(1)")),
    "one long expression": checked(lambda size: '1. f(1)\n2. solve("' + "$1 + 2 * " * (size // 9) + '1")'),
    "one task that reads all": checked(lambda size: _lines(size, lambda n: f"{n}. f({n})") + "\n9999. f([$1, $2, $3])"),
}


# -- decisions ---------------------------------------------------------------------------------------------------------


def decided(make: Callable[[int], str]) -> Case:
    """A joiner's reply that is read as it streams."""

    def case(size: int) -> Callable[[], int]:
        try:
            from llmcompiler_graph.core.language.decision_parser import DecisionParser
        except ImportError:  # before it had a module of its own
            from llmcompiler_graph.core.language.decision import (  # type: ignore[attr-defined, no-redef]
                DecisionParser,
            )
        text = make(size)

        def run() -> int:
            parser = DecisionParser()
            for at in range(0, len(text), PIECE):
                parser.feed(text[at : at + PIECE])
            parser.close()
            return len(text.encode())

        return run

    return case


DECISIONS: dict[str, Case] = {
    "an answer": decided(lambda size: "Thought: it is known.\nFinish: " + "The answer is long. " * (size // 20)),
    "an answer without a label": decided(lambda size: "The answer is long.\n" * (size // 20)),
    "a long thought": decided(lambda size: "Thought: " + "it is known. " * (size // 13) + "\nFinish: yes"),
    "thoughts on many lines": decided(lambda size: "Thought: it is known.\n" * (size // 22) + "Finish: yes"),
    "block quotes": decided(lambda size: "Thought: it says\n" + "> Finish: no\n" * (size // 13) + "Finish: yes"),
    "open fences": decided(lambda size: "```\n" * (size // 4)),
    "quotation marks": decided(lambda size: 'Thought: "a " b\n' * (size // 16) + "Finish: yes"),
}


# -- native calls ------------------------------------------------------------------------------------------------------


def called(make: Callable[[int], Iterator[tuple[str, str, int]]]) -> Case:
    """Native calls that are written as plan text: name, arguments and position of each."""

    def case(size: int) -> Callable[[], int]:
        from llmcompiler_graph.core.language.native_calls import Piece, ToolCallText

        calls = list(make(min(size, READ)))

        def run() -> int:
            text = ToolCallText(1)
            for name, arguments, position in calls:
                text.feed(Piece(name, "", position, f"id{position}"))
                for at in range(0, len(arguments), PIECE):
                    text.feed(Piece("", arguments[at : at + PIECE], position))
            text.close()
            return sum(
                len((name + arguments).encode()) + 9 for name, arguments, _ in calls
            )  # with the call's own frame

        return run

    return case


def _many(size: int) -> Iterator[tuple[str, str, int]]:
    for number in range(max(1, min(size // 40, TASKS))):
        yield "search", json.dumps({"task": number + 1, "query": f"mountain {number}"}), number


def _one(value: str) -> Iterator[tuple[str, str, int]]:
    yield "f", json.dumps({"x": value}, ensure_ascii=False), 0


NATIVE: dict[str, Case] = {
    "many calls": called(_many),
    "one long text": called(lambda size: _one("word " * (size // 5))),
    "braces in a string": called(lambda size: _one("}{}{" * (size // 4))),
    "quotes in a string": called(lambda size: _one('"}"' * (size // 6))),
    "non-ASCII text": called(lambda size: _one("é" * (size // 2))),
    "calls without arguments": called(lambda size: (("f", "", n) for n in range(max(1, min(size // 10, TASKS))))),
}

PARTS = {"parser": PARSER, "checker": CHECKER, "decisions": DECISIONS, "native calls": NATIVE}


# -- measuring ---------------------------------------------------------------------------------------------------------


def measure(seconds: int, only: str) -> Iterator[tuple[str, str, str, float, bool]]:
    """Yield part, case, size, microseconds per byte and whether it ended."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    for part, cases in PARTS.items():
        for name, case in cases.items():
            ended = True
            for label, size in SIZES.items():
                if only not in ("", part) or not ended:
                    continue
                run = case(size)
                best, count, given = float("inf"), 0, size
                signal.alarm(seconds)
                begun = time.perf_counter()
                try:
                    while count < 5 and (count == 0 or time.perf_counter() - begun < 1):
                        start = time.process_time()
                        given = run()
                        best, count = min(best, time.process_time() - start), count + 1
                except TimeoutError:
                    best, ended = min(best, float(seconds)), count > 0
                finally:
                    signal.alarm(0)
                yield part, name, label, best / given * 1e6, ended


# -- one ordinary plan in pieces of every size -------------------------------------------------------------------------


def print_speed() -> None:
    """Print how many MB of an ordinary plan are read, and checked, in a second of CPU time."""
    from llmcompiler_graph.core.checking.checker import Checker
    from llmcompiler_graph.core.language.plan import Task

    print("| | whole | by line | by token | by character | checked |")
    print("|---|---|---|---|---|---|")
    for label, size in {"1 KB": 1_000, "10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000, "10 MB": 10**7}.items():
        longer = max(1, size // (TASKS * 80))  # more tasks than those are not read
        text = ordinary(size).replace("height of mountain", "height of the mountain " * longer)
        read = text.encode()[:READ].decode()
        cells = []
        for pieces in ([text], text.splitlines(keepends=True), _cut(text, PIECE), _cut(text, 1)):
            seconds = []
            for _ in range(3):
                parser, begun = _parser(), time.process_time()
                tasks = [event for piece in pieces for event in parser.feed(piece)] + parser.close()
                seconds.append(time.process_time() - begun)
            cells.append(f"{len(read) / min(seconds) / 1e6:.2f}")
        checker, begun = Checker(_tools()), time.process_time()
        for task in (task for task in tasks if isinstance(task, Task)):
            checker.check(task)
        cells.append(f"{len(read) / (time.process_time() - begun) / 1e6:.2f}")
        print(f"| {label} | " + " | ".join(cells) + " |", flush=True)


def _cut(text: str, length: int) -> list[str]:
    return [text[at : at + length] for at in range(0, len(text), length)]


def main() -> None:
    """Measure, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--before", help="another checkout, measured too")
    arguments.add_argument("--seconds", type=int, default=20, help="how long a case may take")
    arguments.add_argument("--only", default="", choices=["", *PARTS], help="measure one part")
    arguments.add_argument("--raw", action="store_true", help="print JSON lines")
    arguments.add_argument("--speed", action="store_true", help="print MB/s of an ordinary plan instead")
    given = arguments.parse_args()
    if given.speed:
        print_speed()
        return
    if given.raw:
        for row in measure(given.seconds, given.only):
            print(json.dumps(row), flush=True)
        return
    tables: dict[str, dict[tuple[str, str, str], str]] = {}
    for title, directory in (("before", given.before), ("after", os.getcwd())):
        if directory is None:
            continue
        command = [sys.executable, __file__, "--raw", "--seconds", str(given.seconds), "--only", given.only]
        environment = {**os.environ, "PYTHONPATH": directory}
        done = subprocess.run(command, env=environment, cwd=directory, stdout=subprocess.PIPE, text=True, check=True)
        rows = map(json.loads, done.stdout.splitlines())
        tables[title] = {
            (part, name, size): f"{'' if ended else '> '}{per:.2f}" for part, name, size, per, ended in rows
        }
    columns = [(size, title) for size in SIZES for title in tables]
    print("| | " + " | ".join(f"{size}, {title}" for size, title in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for part, cases in PARTS.items():
        for name in cases if given.only in ("", part) else ():
            cells = (tables[title].get((part, name, size), "") for size, title in columns)
            print(f"| {part}: {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
