"""Does a task read what it talks about? Finds references that slid to the neighbour of the task they were meant for.

Small models name the right things and count wrong: `5. compare("K2 and Makalu", [$4, $5])` where K2 is task 3. What a
task names can be compared with what it reads, without knowing what either means.

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

import re
from collections.abc import Iterator

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.language.references import Reference, Template, Value

__all__ = ("Entities",)


class Entities:
    """What the tasks of a question were called with, and what leads to it."""

    def __init__(self) -> None:
        self._names: dict[int, list[str]] = {}  # task without references -> the texts it was called with
        self._reads: dict[int, set[int]] = {}  # task -> those of these that it reads, through others too

    def note(self, task: Task) -> None:
        """Take note of a task that later ones may read."""
        if not task.dependencies:
            self._names[task.index] = [name for name in _texts(task) if _is_name(name)]
        self._reads[task.index] = self._read_by(task)

    def doubt(self, task: Task) -> Diagnostic | None:
        """Complain about a task that names one thing and reads another."""
        reads = self._read_by(task)
        if not reads:
            return None
        named = self._named_in("\n".join([task.thought, *_texts(task)]))
        lacking = [name for name in named if not any(name in self._names[n] for n in reads)]
        others = [n for n in sorted(reads) if self._names[n] and named.isdisjoint(self._names[n])]
        if not lacking or not others:
            return None
        names, other = sorted(lacking, key=self._task_of), others[0]
        read = ", ".join(map(repr, self._names[other]))
        return Diagnostic(
            "reference-to-another-entity",
            f"task {task.index} names {' and '.join(map(repr, names))} but reads task {other} ({read})",
            task.line,
            task.column,
            " and ".join(f"refer to ${self._task_of(name)} for {name!r}" for name in names),
            task.index,
        )

    def _read_by(self, task: Task) -> set[int]:
        found: set[int] = set()
        for n in task.dependencies:
            found |= self._reads.get(n, set()) | ({n} if n in self._names else set())
        return found

    def _named_in(self, text: str) -> set[str]:
        """The names in a text; within a longer one, a shorter one is not meant."""
        known = sorted({name for names in self._names.values() for name in names}, key=len, reverse=True)
        if not known:
            return set()
        return set(re.findall(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)", text))

    def _task_of(self, name: str) -> int:
        return next(n for n, names in self._names.items() if name in names)


def _is_name(text: str) -> bool:
    """Whether a text can be told apart in a sentence: neither a letter nor a mere number."""
    return len(text) > 1 and any(char.isalpha() for char in text)


def _texts(task: Task) -> Iterator[str]:
    for value in (*task.positional, *task.arguments.values()):
        yield from _texts_in(value)


def _texts_in(value: Value) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Template(parts):
            yield from (part for part in parts if isinstance(part, str))
        case list():
            for each in value:
                yield from _texts_in(each)
        case dict():
            for each in value.values():
                yield from _texts_in(each)
        case Reference() | _:
            return
