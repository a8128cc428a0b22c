"""Changes that a question tells of, put into the calculations of a plan that leaves them out or gets them wrong.

>>> from llmcompiler_graph.core.language.references import Reference, Template
>>> question = "K2 grows by 7%. How much higher than Lhotse is it?"
>>> tasks = [Task(1, "search", {"of": "K2"}), Task(2, "search", {"of": "Lhotse"})]
>>> last = Task(3, "math", {"x": Template((Reference(1, ("m",)), " - ", Reference(2, ("m",))))})
>>> changes = Changes.told_of(question, list(numbers_in(question)), {1: "K2", 2: "Lhotse"})
>>> changes.put_into([*tasks, last], [last], {"math": "x"})
['(${1.m} * 1.07) - ${2.m}']

May know: `calculations`, `factors`, `plan`, `questions`, `terms`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from llmcompiler_graph.core.checking.calculations import FACTOR, REFERENCE, multiplier, roots_of, text_of
from llmcompiler_graph.core.checking.factors import factor, is_of_other_measure
from llmcompiler_graph.core.checking.questions import Number, numbers_in
from llmcompiler_graph.core.checking.terms import terms_of, terms_of_extreme
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Changes", "is_share")

_FIELD = lazy_pattern(r"\$\{(\d+)([.\[][^}]*)\}")
_CHOOSES = lazy_pattern(r"\b(?:arg)?(?:max|min)\(| if ")
_SCALED = lazy_pattern(r"[^}\s]*\}?\s*(?P<sign>[*/])\s*\(?(?P<by>\d*\.?\d+)")
_POWERS_OF_TEN = ("10", "100", "1000", "10000", "1000000", "0.001", "0.01")
_NEAR_ONE = 0.1, 2.0
_HALF = 0.5  # the mean of two


class _Change(NamedTuple):
    """What a thing is multiplied by."""

    by: str
    wrong: Sequence[float]
    """What stands for it where it is wrong: the percentage itself, or the share."""
    number: Number
    """How the question tells of it."""


class Changes:
    """What a question changes, by the task that has looked it up.

    Args:
        question: The question.
        changes: The changes.
    """

    def __init__(self, question: str, changes: Mapping[int, _Change]) -> None:
        self._question, self._changes = question, changes
        self._told = {accepted for number in numbers_in(question) for accepted in number.accepted}

    @classmethod
    def told_of(cls, question: str, numbers: Iterable[Number], names: Mapping[int, str]) -> Changes | None:
        """The changes by some numbers of a question; `None` if it is not certain what they change.

        Args:
            question: The question.
            numbers: The numbers.
            names: What was looked up, by task.
        """
        changes: dict[int, _Change] = {}
        for number in numbers:
            found = factor(question, number, names.values())
            index = next((index for index, name in names.items() if found and name == found[0]), None)
            if found is None or index is None or index in changes:
                return None
            wrong = () if number.percent is None else (number.percent, round(number.percent / 100, 9))
            changes[index] = _Change(found[1], wrong, number)
        return cls(question, changes)

    def put_into(self, tasks: Sequence[Task], ends: Sequence[Task], calculates: Mapping[str, str]) -> list[str] | None:
        """What the ends of a plan are, as parts of an expression, with the changes; `None` if that is not certain.

        Args:
            tasks: Those of the plan.
            ends: Those that no other needs.
            calculates: The parameters that take arithmetic, by tool.
        """
        texts = {task.index: text_of(task, calculates) for task in tasks}
        roots = roots_of(tasks)
        used = {(int(match[1]), match[2]) for text in texts.values() for match in _FIELD.finditer(text)}
        if not all(self._is_certain(index, used, texts.values()) for index in self._changes):
            return None

        def changed(match: re.Match[str]) -> str:
            return self._changed(match, roots, texts)

        if len(ends) == 1 and ends[0].tool in calculates:
            return [FACTOR.sub(changed, texts[ends[0].index])]
        split = _mixed([roots[end.index] for end in ends], [texts[end.index] for end in ends])
        fields = {field for _, field in used}
        parts: list[str] = []
        for end in _whole(ends, roots, texts) or ends:
            if end.tool in calculates:
                text = FACTOR.sub(changed, texts[end.index])
                within = terms_of_extreme(text) or (terms_of(text) if split and len(roots[end.index]) > 1 else [])
                whole = f"${end.index}" if text == texts[end.index] else f"({text})"
                parts += [whole] if len(within) < 2 else [part for part in within if part not in parts]
            elif len(fields) == 1:
                parts.append(FACTOR.sub(changed, f"${{{end.index}{min(fields)}}}"))
            else:
                return None
        return parts

    def _changed(self, match: re.Match[str], roots: Mapping[int, set[int]], texts: Mapping[int, str]) -> str:
        """A reference, of a match of `FACTOR`, with the change of what it leads to."""
        leads_to = roots.get(int(match["index"] or match["bare"]), set())
        change = self._changes.get(next(iter(leads_to))) if len(leads_to) == 1 else None
        if change is None:
            return match[0]
        by = multiplier(match)
        if by is not None and (abs(by) in change.wrong or self._is_stray(by)):
            return f"{match['reference']} * {change.by}"
        before, behind = f"{match['first']} * " if match["first"] else "", match["times"] or ""
        needed = texts[int(match["index"] or match["bare"])]
        if any(self._is_stray(multiplier(each) or 0) for each in FACTOR.finditer(needed)):
            mended = FACTOR.sub(lambda inner: self._changed(inner, roots, texts), needed)
            return f"{before}({mended}){behind}"
        return f"{before}({match['reference']} * {change.by}){behind}"

    def _is_certain(self, index: int, used: Collection[tuple[int, str]], texts: Iterable[str]) -> bool:
        """Whether what the question changes is the only field of a task that is calculated with, and is yet unchanged.

        Args:
            index: The task.
            used: The fields that are calculated with, with their tasks.
            texts: The plan's calculations.
        """
        fields = {field for task, field in used if task == index}
        is_other = len(fields) > 1 or is_of_other_measure(self._question, self._changes[index].number, fields)
        return not is_other and all(self._is_plain(index, text) for text in texts)

    def _is_plain(self, index: int, text: str) -> bool:
        """Whether a calculation with what a task has looked up may not have the change already in another form.

        `$1 + $1` is the double, `$1 * 19 / 20` what is left of it after a loss of 5%.
        """
        places = [match.end() for match in REFERENCE.finditer(text) if int(match[1]) == index]
        if len(places) > 1 and not _CHOOSES.search(text):
            return False
        scaled = filter(None, (_SCALED.match(text, place) for place in places))
        return all(match["by"] in _POWERS_OF_TEN or self._is_wrong(index, match) for match in scaled)

    def _is_wrong(self, index: int, scaled: re.Match[str]) -> bool:
        """Whether what a thing is multiplied by is a change that was got wrong, or told of elsewhere."""
        by = float(scaled["by"])
        is_known = by in self._changes[index].wrong or round(by, 9) in self._told or self._is_stray(by)
        return scaled["sign"] == "*" and by != 1 and is_known

    def _is_stray(self, by: float) -> bool:
        """Whether a factor is near 1 and none that the question tells of: a change that was got wrong."""
        return _NEAR_ONE[0] < by < _NEAR_ONE[1] and by != _HALF and round(by, 9) not in self._told


def is_share(number: Number, name: str, expressions: str, things: Mapping[int, Collection[str]]) -> bool:
    """Whether a thing is multiplied by a percentage as a share, where the question changes it by that.

    Args:
        number: The percentage.
        name: The thing.
        expressions: The plan's calculations.
        things: What the values of tasks are about.
    """
    share = None if number.percent is None else round(number.percent / 100, 9)
    matches = list(FACTOR.finditer(expressions))
    tasks = [match["index"] or match["bare"] for match in matches]
    return any(
        abs(multiplier(match) or 0) == share
        and set(things.get(int(task), ())) == {name}
        and tasks.count(task) == 1  # else the share is added to the whole
        for match, task in zip(matches, tasks, strict=True)
    )


def _mixed(roots: Sequence[set[int]], texts: Iterable[str]) -> bool:
    """Whether some ends of a plan are about one thing and others about several, or of an extreme."""
    return len({len(each) > 1 for each in roots}) > 1 or any(map(terms_of_extreme, texts))


def _whole(ends: Iterable[Task], roots: Mapping[int, set[int]], texts: Mapping[int, str]) -> list[Task]:
    """The ends that take the largest or the smallest of all that was looked up."""
    known = set().union(*roots.values())
    return [end for end in ends if roots[end.index] == known and terms_of_extreme(texts[end.index])]
