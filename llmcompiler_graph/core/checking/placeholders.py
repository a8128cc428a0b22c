"""Does a string hold what other agents write for a reference: `{1}`, `#E1`, `$task1`, `<result of 1>`?

Such text is handed to the tool as it stands, which is seldom meant. It may be meant all the same: a task is only
doubted, and only where a task of that number stands before it.

>>> placeholders = Placeholders()
>>> placeholders.note(Task(1, "search", {"query": "K2"}))
>>> print(placeholders.doubt(Task(2, "math", {"expression": "{1} * 2"}, line=2)))
line 2, column 1: task 2 has '{1}' in `expression`, which is text; write `$1` for what task 1 returned [placeholder]
>>> placeholders.doubt(Task(2, "find", {"pattern": r"[a-z]{1}"}))

May know: `errors`, `plan`, `references`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.language.references import texts
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Placeholder", "Placeholders", "placeholder")

_RESULT = (
    r"(?:results?|outputs?|observations?|obs|answers?|responses?|values?|returns?|tasks?|steps?|calls?|结果|結果|输出|任务"
    r"|步骤|ergebnis(?:se)?|schritt|aufgabe|résultats?|étape|tâche|resultado|paso|tarea|risultato|результат|шаг)"
)
_OF = rf"(?:the[ _]+)?{_RESULT}(?:[ _-]*(?:of|from|for|von|de|du|di|из)?[ _-]*(?:task|step|call|schritt|aufgabe)?)"
_ANYWHERE = (
    r"(?<![\w)\]\\.$%{])\{\{?\s*[$#]?(\d{1,9})(?:\s*[.\[|][^{}\n]{0,80})?\s*\}?\}",  # {1}, {{1.height}}; no quantifier
    rf"\{{\{{?\s*\$?{_OF}[ _#$-]*(\d{{1,9}})(?:\b[^{{}}\n]{{0,80}})?\}}\}}?",  # {task_1}, {{result of 1}}
    rf"[<\[(]\s*{_OF}[ _#$-]*(\d{{1,9}})(?:['’]s [^<>\[\]()\n]{{0,80}})?\s*[>\])]",  # <result of 1>
    r"#E(\d{1,9})(?!\w)",
    rf"\$\{{?(?:{_RESULT}|[EeTtRr]|res)[ _-]?(\d{{1,9}})(?!\w)",  # $task1, ${{result_1}}, $E1
    r"<GENERATED>-(\d{1,9})",
    r"[＄][{｛]?([0-9０-９]{1,9})(?![0-9０-９])",
    r"\$([０-９]{1,9})",
    r"｛\s*[$＄]?([0-9０-９]{1,9})\s*｝",
)
_ALONE = (
    r"[<@%]\s*(\d{1,9})\s*[>%]?",
    r"(?:the )?(?:results?|outputs?|observations?|responses?)(?: (?:of|from) (?:task |step |call )?|_?)#?(\d{1,9})",
)
_PATTERNS = tuple(lazy_pattern(pattern, re.IGNORECASE) for pattern in _ANYWHERE)
_WHOLE = tuple(lazy_pattern(pattern, re.IGNORECASE) for pattern in _ALONE)
_SIGNS = lazy_pattern(r"[{｛#$＄<\[(]")  # one of these is in all that stand within text
_LONGEST_ALONE = 80
_BEGINS = frozenset("<@%tTrRoO")  # what stands alone


class Placeholder(NamedTuple):
    """Text that stands for what a task returned."""

    text: str
    """As it is written."""
    task: int
    """The task."""

    @property
    def hint(self) -> str:
        """What to write instead."""
        return f"write `${self.task}` for what task {self.task} returned"


def placeholder(text: str, is_task: Callable[[int], bool]) -> Placeholder | None:
    """The first such text in a string, if there is one.

    Args:
        text: The string.
        is_task: Whether an index is that of a task that may be referred to.
    """
    found = (Placeholder(match[0], int(match[1])) for match in _candidates(text))
    return next((each for each in found if is_task(each.task)), None)


def _candidates(text: str) -> Iterator[re.Match[str]]:
    """What looks like such text, whatever number it has."""
    if _SIGNS.search(text):
        for pattern in _PATTERNS:
            yield from pattern.finditer(text)
    if text[:1] in _BEGINS and len(text) <= _LONGEST_ALONE:
        yield from filter(None, (pattern.fullmatch(text) for pattern in _WHOLE))


class Placeholders:
    """Which tasks there are, and which have such text in their arguments."""

    def __init__(self) -> None:
        self._tasks: set[int] = set()

    def note(self, task: Task) -> None:
        """Take note of a task that later ones may refer to."""
        self._tasks.add(task.index)

    def doubt(self, task: Task) -> Diagnostic | None:
        """Complain about a task that has such text in an argument."""
        for name, value in task.arguments.items():
            for text in texts(value):
                found = placeholder(text, lambda index: index in self._tasks and index != task.index)
                if found is not None:
                    message = f"task {task.index} has {found.text!r} in `{name}`, which is text"
                    return Diagnostic("placeholder", message, task.line, task.column, found.hint, task.index)
        return None
