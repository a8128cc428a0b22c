"""Does a task read what it talks about? Finds references that slid to the neighbour of the task they were meant for.

Small models name the right things and count wrong: `5. compare("K2 and Makalu", [$4, $5])` where K2 is task 3. What a
task names can be compared with what it reads, without knowing what either means.

>>> from llmcompiler_graph.core.language.references import Reference
>>> names = Entities()
>>> for index, name in enumerate(["Everest", "Lhotse", "K2"], 1):
...     names.note(Task(index, "search", {"query": name}))
>>> print(names.doubt(Task(4, "add", {"what": "K2 and Lhotse", "of": [Reference(1), Reference(2)]}, line=4)))
line 4, column 1: task 4 names 'K2' but reads task 1 ('Everest'); refer to $3 for 'K2' [reference-to-another-entity]

Names are whole constant texts that earlier tasks without references were called with. A task is doubted only if it
names, exactly and as whole words, something that none of its references lead to, directly or through other tasks,
*and* they lead to something that it does not name. What one task takes and no text names proves nothing.

May know: `errors`, `plan`, `references`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import or_

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.language.references import texts
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Entities",)


_TOKEN = lazy_pattern(r"\w+|\W")
_LONGEST = 200  # characters of a name; a longer text is no name of anything
_MOST_TOKENS = 40


class Entities:
    """What the tasks of a question were called with, and what leads to it.

    Sets of tasks are kept as the bits of integers, in the order in which they were noted: of thousands of tasks, each
    may read all others.
    """

    def __init__(self) -> None:
        self._bits: dict[int, int] = {}  # task -> its bit
        self._noted: list[int] = []  # bit -> its task
        self._names: dict[int, list[str]] = {}  # task without references -> the texts it was called with
        self._named = 0  # the tasks that have names
        self._with: dict[str, int] = {}  # name -> the tasks that were called with it
        self._reads: dict[int, int] = {}  # task -> those without references that it reads, through others too
        self._words = _Words()

    def note(self, task: Task) -> None:
        """Take note of a task that later ones may read."""
        if task.index not in self._bits:
            self._bits[task.index] = 1 << len(self._noted)
            self._noted.append(task.index)
        self._forget(task.index)  # it was written anew
        if not task.dependencies:
            self._name(task)
        self._reads[task.index] = self._read_by(task)

    def _forget(self, index: int) -> None:
        for name in self._names.pop(index, ()):
            self._with[name] &= ~self._bits[index]
        self._named &= ~self._bits[index]

    def _name(self, task: Task) -> None:
        """Take note of the names that a task without references was called with."""
        bit = self._bits[task.index]
        names = [name for name in dict.fromkeys(_texts(task)) if _is_name(name)]
        self._names[task.index] = names
        self._named |= bit if names else 0
        for name in names:
            self._with[name] = self._with.get(name, 0) | bit
            self._words.add(name)

    def doubt(self, task: Task) -> Diagnostic | None:
        """Complain about a task that names one thing and reads another."""
        reads = self._read_by(task)
        if not reads:
            return None
        named = {name: self._with[name] for name in self._words.within("\n".join([task.thought, *_texts(task)]))}
        lacking = [name for name, tasks in named.items() if tasks and not tasks & reads]
        others = reads & self._named & ~reduce(or_, named.values(), 0)
        return self._slipped(task, lacking, others) if lacking and others else None

    def _slipped(self, task: Task, lacking: list[str], others: int) -> Diagnostic:
        """The complaint about a task that reads others than those that it names."""
        names, other = sorted(lacking, key=self._task_of), self._first(others)
        read = ", ".join(map(repr, self._names[other]))
        return Diagnostic(
            "reference-to-another-entity",
            f"task {task.index} names {' and '.join(map(repr, names))} but reads task {other} ({read})",
            task.line,
            task.column,
            " and ".join(f"refer to ${self._task_of(name)} for {name!r}" for name in names),
            task.index,
        )

    def _read_by(self, task: Task) -> int:
        found = 0
        for n in task.dependencies:
            found |= self._reads.get(n, 0) | (self._bits[n] if n in self._names else 0)
        return found

    def _task_of(self, name: str) -> int:
        return self._first(self._with[name])

    def _first(self, tasks: int) -> int:
        return self._noted[(tasks & -tasks).bit_length() - 1]


class _Words:
    """Finds known names in text, whole words only; within a longer name, a shorter one is not meant."""

    def __init__(self) -> None:
        self._next: dict[str, _Words] = {}
        self._name = ""

    def add(self, name: str) -> None:
        node = self
        for token in _TOKEN.findall(name):
            node = node._next.setdefault(token, _Words())
        node._name = name

    def within(self, text: str) -> set[str]:
        tokens = _TOKEN.findall(text)
        found: set[str] = set()
        start = 0
        while start < len(tokens):
            end = self._match(tokens, start)
            if end:
                found.add("".join(tokens[start:end]))
            start = max(start + 1, end)
        return found

    def _match(self, tokens: list[str], start: int) -> int:
        """Where the longest name ends that begins at a token; 0 if none does."""
        if start and not _is_word(tokens[start]) and _is_word(tokens[start - 1]):
            return 0
        node, end = self, 0
        for position in range(start, len(tokens)):
            following = node._next.get(tokens[position])
            if following is None:
                break
            node = following
            if node._name and not _goes_on(tokens, position):
                end = position + 1
        return end


def _goes_on(tokens: list[str], position: int) -> bool:
    """Whether a sign at the end of a name has a word behind it, so that the name may be part of a longer one."""
    return not _is_word(tokens[position]) and position + 1 < len(tokens) and _is_word(tokens[position + 1])


def _is_word(token: str) -> bool:
    return token[0] == "_" or token[0].isalnum()


def _is_name(text: str) -> bool:
    """Whether a text can be told apart in a sentence: neither a letter nor a mere number, nor a text of its own."""
    if not 1 < len(text) <= _LONGEST or not any(map(str.isalpha, text)):
        return False
    return sum(1 for _ in _TOKEN.finditer(text)) <= _MOST_TOKENS


def _texts(task: Task) -> Iterator[str]:
    for value in (*task.positional, *task.arguments.values()):
        yield from texts(value)
