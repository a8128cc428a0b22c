"""How long reading a model's reply takes per byte: parser, checker, decisions and native calls, at three sizes.

python -m tests.benchmarks.parse_speed [--before DIRECTORY] [--sizes "1 KB"] [--only PART] [--pieces all] [--speed]

Replies are fed in pieces of four characters, as models stream tokens, or as `--pieces` says (`all` compares them). What
counts is processor time, the median of several runs. Besides an ordinary plan there are texts that were once read in
quadratic time, or might be. `--before` measures the package in another checkout, turn by turn with this one. A case
that takes longer than `--seconds` of processor time is broken off, and its figure is a lower bound. The parser reads no
more of one reply than 2 MB and 10,000 tasks: figures are per byte of what it is given up to there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

SIZES = {"1 KB": 1_000, "100 KB": 100_000, "5 MB": 5_000_000}
PIECE = 4
PIECES = ("whole", "line", "token", "character")
READ = 1_990_000  # of one reply: a little less than the parser reads
TASKS = 10_000

Case = Callable[[int, str], Callable[[], int]]
"""Makes, for a size and a way to cut a reply, what is measured; that returns how many bytes it was given."""


# -- the parser --------------------------------------------------------------------------------------------------------


def _parser() -> Any:
    from llmcompiler_graph.core.language.parser import PlanParser

    try:
        return PlanParser(tools={"search": ("query", "limit"), "f": ("x",), "solve": ("expression",)})
    except TypeError:  # before it knew tools
        return PlanParser()


def _cut(text: str, pieces: str) -> list[str]:
    if pieces == "line":
        return text.splitlines(keepends=True)
    step = {"whole": max(1, len(text)), "token": PIECE, "character": 1}[pieces]
    return [text[at : at + step] for at in range(0, len(text), step)]


def _fed(parser: Any, text: str, pieces: list[str]) -> int:
    for piece in pieces:
        if parser.finished:
            break
        parser.feed(piece)
    parser.close()
    return len(text.encode()[:READ])


def parsed(make: Callable[[int], str]) -> Case:
    """A reply that the parser reads."""

    def case(size: int, pieces: str) -> Callable[[], int]:
        text = make(min(size, READ))
        cut = _cut(text, pieces)
        return lambda: _fed(_parser(), text, cut)

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

    def case(size: int, pieces: str) -> Callable[[], int]:
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

    def case(size: int, pieces: str) -> Callable[[], int]:
        try:
            from llmcompiler_graph.core.language.decision_parser import DecisionParser
        except ImportError:  # before it had a module of its own
            from llmcompiler_graph.core.language.decision import (  # type: ignore[attr-defined, no-redef]
                DecisionParser,
            )
        text = make(size)
        cut = _cut(text, pieces)

        def run() -> int:
            parser = DecisionParser()
            for piece in cut:
                parser.feed(piece)
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
    "sentences that seem to decide": decided(lambda size: "So. Finish(it " * (size // 14)),
    "lines that seem to answer": decided(lambda size: "answer (it\n" * (size // 11)),
    "quoted stop words": decided(lambda size: "> <END_OF_PLAN>\n" * (size // 16) + "Finish: yes"),
    "quotation marks": decided(lambda size: 'Thought: "a " b\n' * (size // 16) + "Finish: yes"),
}


# -- thoughts ----------------------------------------------------------------------------------------------------------


def thought(make: Callable[[int], str]) -> Case:
    """A reply from which the thoughts are taken."""

    def case(size: int, pieces: str) -> Callable[[], int]:
        from llmcompiler_graph.core.language.thinking import WithoutThinking

        text = make(size)
        cut = _cut(text, pieces)

        def run() -> int:
            reader = WithoutThinking()
            for piece in cut:
                reader.feed(piece)
            reader.close()
            return len(text.encode())

        return run

    return case


THOUGHTS: dict[str, Case] = {
    "one long thought": thought(lambda size: "<think>" + "it is known. " * (size // 13) + "</think>\n1. f(1)"),
    "many thoughts": thought(lambda size: "<think>so</think>\n1. f(1)\n" * (size // 26)),
    "a thought held back": thought(lambda size: "Well <think>" + "it is known. " * (size // 13)),
    "tags that nothing ends": thought(lambda size: "a <think> b " * (size // 12)),
    "signs of tags": thought(lambda size: "<" * size),
    "quotation marks and code": thought(lambda size: "'a' `b` \"c\" " * (size // 12)),
    "backticks": thought(lambda size: "`" * size),
}


# -- native calls ------------------------------------------------------------------------------------------------------


def called(make: Callable[[int], Iterator[tuple[str, str, int]]]) -> Case:
    """Native calls that are written as plan text: name, arguments and position of each."""

    def case(size: int, pieces: str) -> Callable[[], int]:
        from llmcompiler_graph.core.language.native_calls import Piece, ToolCallText

        calls = list(make(min(size, READ)))
        cuts = [_cut(arguments, pieces) for _, arguments, _ in calls]

        def run() -> int:
            text = ToolCallText(1)
            for (name, _, position), cut in zip(calls, cuts, strict=True):
                text.feed(Piece(name, "", position, f"id{position}"))
                for piece in cut:
                    text.feed(Piece("", piece, position))
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

PARTS = {
    "parser": PARSER,
    "checker": CHECKER,
    "decisions": DECISIONS,
    "thoughts": THOUGHTS,
    "native calls": NATIVE,
}


# -- measuring ---------------------------------------------------------------------------------------------------------


def worker(seconds: int) -> None:
    """Measure what standard input asks for, a line of JSON each; a case that was broken off is not tried again."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGPROF, stop)
    for line in sys.stdin:
        part, name, size, pieces = json.loads(line)
        run = PARTS[part][name](size, pieces)
        PARTS[part][name](100, pieces)()  # what is imported and compiled at first
        signal.setitimer(signal.ITIMER_PROF, seconds)
        start, ended, given = time.process_time(), True, size
        try:  # a process's clock may be no finer than milliseconds
            given = sum(run() for _ in range(max(1, 200_000 // size)))
        except TimeoutError:
            ended = False
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps([(time.process_time() - start) / given * 1e6, ended]), flush=True)


class Checkout:
    """A process that measures the package of a checkout.

    Args:
        directory: The checkout.
        seconds: How long a case may take.
    """

    def __init__(self, directory: str, seconds: int) -> None:
        command = [sys.executable, __file__, "--worker", "--seconds", str(seconds)]
        environment = {**os.environ, "PYTHONPATH": directory}
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env=environment, cwd=directory, **pipes)
        self._slow: set[tuple[str, str, str]] = set()

    def measure(self, part: str, name: str, size: int, pieces: str) -> tuple[float, bool] | None:
        """Microseconds per byte, and whether the case ended; `None` if a smaller one did not."""
        if (part, name, pieces) in self._slow:
            return None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([part, name, size, pieces]) + "\n")
        self._process.stdin.flush()
        per_byte, ended = json.loads(self._process.stdout.readline())
        if not ended:
            self._slow.add((part, name, pieces))
        return per_byte, ended


def _cell(found: list[tuple[float, bool]]) -> str:
    if not found:
        return ""
    ended = all(ended for _, ended in found)
    return f"{'' if ended else '> '}{statistics.median(per for per, _ in found):.2f}"


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
        for pieces in (_cut(text, way) for way in PIECES):
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


def main() -> None:
    """Measure, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--before", help="another checkout, measured too")
    arguments.add_argument("--seconds", type=int, default=20, help="how much processor time a case may take")
    arguments.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    arguments.add_argument("--repeats", type=int, default=3, help="how often each is measured; 5 MB once")
    arguments.add_argument("--only", default="", choices=["", *PARTS], help="measure one part")
    arguments.add_argument("--pieces", default="token", choices=[*PIECES, "all"], help="how replies are cut")
    arguments.add_argument("--speed", action="store_true", help="print MB/s of an ordinary plan instead")
    arguments.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.speed:
        print_speed()
        return
    if given.worker:
        worker(given.seconds)
        return
    directories = {"before": given.before, "now": os.getcwd()} if given.before else {"now": os.getcwd()}
    checkouts = {title: Checkout(directory, given.seconds) for title, directory in directories.items()}
    ways = PIECES if given.pieces == "all" else (given.pieces,)
    columns = [(size, way, title) for size in given.sizes for way in ways for title in checkouts]
    shown = [
        ", ".join([size, *([f"by {way}"] if len(ways) > 1 else []), *([title] if given.before else [])])
        for size, way, title in columns
    ]
    print("| microseconds per byte | " + " | ".join(shown) + " |")
    print("|---|" + "---|" * len(columns))
    for part, cases in PARTS.items():
        for name in cases if given.only in ("", part) else ():
            found: dict[tuple[str, str, str], list[tuple[float, bool]]] = {column: [] for column in columns}
            for size, way in itertools.product(given.sizes, ways):
                for _ in range(1 if size == "5 MB" else given.repeats):
                    for title, checkout in checkouts.items():
                        if (measured := checkout.measure(part, name, SIZES[size], way)) is not None:
                            found[size, way, title].append(measured)
            print(f"| {part}: {name} | " + " | ".join(map(_cell, found.values())) + " |", flush=True)


if __name__ == "__main__":
    main()
