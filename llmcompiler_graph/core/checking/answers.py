"""Does a plan give what the question asks for? What is wanting is said in a way that one task mends.

A plan may be readable, refer well and still stop short of its question: it subtracts where a name is asked for, leaves
a percentage out, or ends with three numbers of which the answer would be the smallest. This is seen without running it.

>>> returns = {"type": "object", "properties": {"m": {"type": "number"}}}
>>> expression = {"type": "string", "format": "arithmetic", "selectors": ["argmax", "argmin"]}
>>> tools = [ToolSpec("search", {"of": {"type": "string"}}, returns=returns), ToolSpec("math", {"x": expression})]
>>> check = AnswerCheck("If K2 were 5% lower, which would be higher, K2 or Lhotse?", tools)
>>> tasks = [Task(1, "search", {"of": "K2"}), Task(2, "search", {"of": "Lhotse"})]
>>> last = Task(3, "math", {"x": Template((Reference(1, ("m",)), " * 0.95 - ", Reference(2, ("m",))))})
>>> doubt = check.doubt([*tasks, last])
>>> print(doubt.problems[0])
the question asks for a name, but task 3 gives a number
>>> print(doubt.line)
3. math(x="argmax({'K2': ${1.m} * 0.95, 'Lhotse': ${2.m}})")

The task's line is made in code where question and plan leave no choice (see `completion`); else nothing is doubted: a
small model that was asked for it wrote no better.

Only what is certain is said: of questions whose wording says what they ask for (see `questions`), and of plans that end
in calculations or could. A tool calculates if it has a parameter with the format `arithmetic`.

May know: `completion`, `expressions`, `json_text`, `plan`, `questions`, `references`, `schema`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from llmcompiler_graph.core.checking.completion import (
    Term,
    asks_for_change,
    factor,
    in_full,
    is_difference,
    last_step,
    terms_of,
    terms_of_extreme,
)
from llmcompiler_graph.core.checking.expressions import arithmetic
from llmcompiler_graph.core.checking.questions import (
    AnswerKind,
    Number,
    asked_for,
    asks_for_extreme,
    asks_to_calculate,
    numbers_in,
    unit_number,
)
from llmcompiler_graph.core.checking.schema import alternatives, fields_of
from llmcompiler_graph.core.language.json_text import write_json
from llmcompiler_graph.core.language.plan import Task, ToolSpec, template_text
from llmcompiler_graph.core.language.references import JSON, Reference, Template, Value, leaves
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("AnswerCheck", "AnswerDoubt", "calculating")

_WORDS: dict[AnswerKind, str] = {"name": "a name", "number": "a number", "truth": "yes or no"}
_LABEL_CHOICE = lazy_pattern(r"['\"][^'\"]*['\"] if .* else ")
_COMPARISON = lazy_pattern(r"[<>]|[=!]=")
_LITERAL = lazy_pattern(r"(?<![\w.$])(?<!\$\{)\d+(?:,\d{3})*(?:\.\d+)?(?:e\d+)?(?![\w.]*\w)")
_REFERENCE = lazy_pattern(r"\$\{?(\d+)")
_FACTOR = lazy_pattern(
    r"(?:(?<![\w.])(?P<first>\d+(?:\.\d+)?) ?\* ?)?"
    r"(?P<reference>\$(?:\{(?P<index>\d+)[^}]*\}|(?P<bare>\d+)))"
    r"(?P<times> ?\* ?(?P<by>-?\d+(?:\.\d+)?)(?![\d.]))?"
)
_FIELD_NAME = lazy_pattern(r"\$\{\d+[^}]*?\.(\w+)\}")
_FIELD = lazy_pattern(r"\$\{\d+([.\[][^}]*)\}")
_MOST_TASKS = 64
_LONGEST = 2_000  # characters of a task; what is larger is not for one answer
_HUNDRED = 100.0
_NEAR_ONE = 0.1, 2.0
_HALF = 0.5  # the mean of two
_NUMBERS = {"number", "integer"}
_DIFFERENCE = lazy_pattern(r"\bdifference\b", re.I)
_BY_HUNDRED = lazy_pattern(r"\b100\b")
_PERCENTAGE = lazy_pattern(r"\b(?:what|by how many|how many) (?:percentage|percent|per cent)\b", re.I)
_AVERAGED = lazy_pattern(r"/ ?\(?\d|\b(?:mean|median)\b")
_CHOSEN = lazy_pattern(r"(?:max|min)\(| if ")
_PAIR = 2  # of two things one may know which is the larger
_AVERAGE = lazy_pattern(r"\b(?:average|mean|on average)\b", re.I)


class AnswerDoubt(NamedTuple):
    """What is wanting in a plan, and what mends it."""

    task: int
    """The task that is to be written, again or for the first time."""
    problems: list[str]
    """What is wanting."""
    line: str
    """The task's line."""


class AnswerCheck:
    """Checks the plans for one question.

    Args:
        question: The question.
        tools: The tools that plans may call.
    """

    def __init__(self, question: str, tools: Iterable[ToolSpec]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._calculating = calculating(self._tools.values())
        self.asked = asked_for(question) if self._calculating else None
        """What the question asks for; `None` if that is not certain, or no tool calculates."""
        self._question = question
        self._numbers = list(numbers_in(question)) if self.asked else []

    def calculates(self, task: Task) -> bool:
        """Whether a task is a calculation, that may be the last."""
        return self.asked is not None and task.tool in self._calculating and not task.fans_out

    def doubt(self, tasks: Sequence[Task]) -> AnswerDoubt | None:
        """Say what is wanting in a whole plan, if that leaves no choice.

        The last task is written again if it calculates, else one is added.
        """
        if self.asked is None or not _is_checked(tasks):
            return None
        last, used = tasks[-1], {index for task in tasks for index in task.dependencies}
        ends = [task for task in tasks if task.index not in used]
        several = len(ends) > 1 or not self.calculates(last)
        if several:
            index, problems = max(task.index for task in tasks) + 1, [*self._unfinished(ends)]
        else:
            index, problems = last.index, [*self._misfit(last)] if self.calculates(last) else []
        if not (problems or (self.calculates(last) and not several)):
            return None
        unused = self._unused(tasks)
        if all(each.converts for each in unused) and not asks_for_change(self._question):
            unused += self._misused(tasks)
        problems += map(_left_out, unused)
        if not several:
            problems += self._uncombined(tasks)
        if not problems:
            return None
        around = [each.around for each in problems if each.around]
        changes = [each for each in unused if not each.converts]
        last_is_whole = len(problems) == len(changes) + len(around)
        text = self._completed(tasks, ends, changes, last_is_whole=last_is_whole)
        if text is None:
            return None
        for each in around:
            text = each.format(text)
        return AnswerDoubt(index, [each.message for each in problems], self._line(index, last, text))

    def _unfinished(self, ends: Sequence[Task]) -> Iterator[_Wanting]:
        """That a plan has several ends, all of them numbers, of which one thing is to be made; or one with numbers."""
        if not asks_to_calculate(self._question) or not all(map(self._has_numbers, ends)):
            return
        if len(ends) == 1 and (self.asked != "number" or self._gives_number(ends[0])):
            return
        if self.asked == "name" and not self._selectors:
            return
        indices = ", ".join(f"${task.index}" for task in ends)
        yield _Wanting(f"the question asks for {self._wanted}, but nothing is made of {indices}")

    def _misfit(self, last: Task) -> Iterator[_Wanting]:
        """That the last task gives something of another kind than what is asked for."""
        given = self._given(last)
        if given is None or given == self.asked or (self.asked == "name" and not self._selectors):
            return
        message = f"the question asks for {self._wanted}, but task {last.index} gives {_WORDS[given]}"
        yield _Wanting(message)

    def _unused(self, tasks: Sequence[Task]) -> list[Number]:
        """The numbers of the question that no task has."""
        constants = {round(number, 9) for task in tasks for number in _constants(task)}
        elsewhere = {
            round(number, 9) for task in tasks if task.tool not in self._calculating for number in _constants(task)
        }
        percents = constants if _HUNDRED in constants else elsewhere
        fields = {match[1] for match in _FIELD_NAME.finditer(self._expressions(tasks))}
        unit = unit_number(self._question, fields) if self.asked == "number" else None
        return [
            number
            for number in [*self._numbers, *([unit] if unit else [])]
            if not number.accepted & constants and number.percent not in percents and self._counts(number)
        ]

    def _misused(self, tasks: Sequence[Task]) -> list[Number]:
        """The percentages that a thing is changed by, if all that is told of in that way are taken as shares of it."""
        roots, names, expressions = _roots(tasks), self._names(tasks), self._expressions(tasks)

        def is_share(number: Number, name: str) -> bool:
            """Whether a thing is multiplied by a percentage as a share, where it is changed by it."""
            if number.percent is None:
                return False
            share = round(number.percent / 100, 9)
            matches = list(_FACTOR.finditer(expressions))
            places = [match["index"] or match["bare"] for match in matches]
            return any(
                abs(_by(match) or 0) == share
                and {names.get(root) for root in roots.get(int(place), ())} == {name}
                and places.count(place) == 1  # else the share is added to the whole
                for match, place in zip(matches, places, strict=True)
            )

        changed = [(each, found) for each in self._numbers if (found := factor(self._question, each, names.values()))]
        return [each for each, found in changed if is_share(each, found[0])]

    def _names(self, tasks: Iterable[Task]) -> dict[int, str]:
        """What the tasks without references were called with, as the question has it."""
        return {task.index: in_full(self._question, name) for task in tasks if (name := _name(task)) is not None}

    def _uncombined(self, tasks: Sequence[Task]) -> Iterator[_Wanting]:
        """That an average or an extreme is asked for, and nothing in the plan makes one."""
        if self.asked != "number":
            return
        expressions = self._expressions(tasks)
        if _AVERAGE.search(self._question) and not _AVERAGED.search(expressions):
            yield _Wanting("the question asks for an average, but no task divides or calls `mean`")
        text = _written(tasks[-1], self._calculating.get(tasks[-1].tool))
        if _DIFFERENCE.search(self._question) and is_difference(text):
            yield _Wanting("a difference has no sign, but the calculation may", "abs({})")
        if _PERCENTAGE.search(self._question) and not _BY_HUNDRED.search(expressions):
            yield _Wanting("the question asks for percent, but nothing is multiplied by 100", "({}) * 100")
        several = sum(task.tool not in self._calculating for task in tasks) > _PAIR
        if several and asks_for_extreme(self._question) and not _CHOSEN.search(expressions):
            yield _Wanting("the question asks for the largest or smallest of several, but no task calls `max` or `min`")

    def _expressions(self, tasks: Sequence[Task]) -> str:
        return " ".join(_written(task, self._calculating.get(task.tool)) for task in tasks)

    # -- completing ---------------------------------------------------------------------------------------------

    def _completed(
        self, tasks: Sequence[Task], ends: Sequence[Task], unused: Sequence[Number], *, last_is_whole: bool
    ) -> str | None:
        """The calculation that the answer takes, if question and plan leave no choice.

        Args:
            tasks: Those of the plan.
            ends: Those that no other needs.
            unused: The numbers of the question that no task has.
            last_is_whole: Whether the last task is right but for these.
        """
        roots, names = _roots(tasks), self._names(tasks)
        changes = self._changes(unused, names)
        texts = None if changes is None else self._ends_in_text(tasks, ends, roots, changes)
        if texts is None:
            return None
        if last_is_whole:
            return texts[0] if len(texts) == 1 else None
        return self._last_step(texts if len(texts) > 1 else terms_of(texts[0]), roots, names)

    def _changes(self, unused: Sequence[Number], names: Mapping[int, str]) -> dict[int, _Change] | None:
        """What the question changes by the numbers that no task has, by task; `None` if that is not certain."""
        changes: dict[int, _Change] = {}
        for number in unused:
            found = factor(self._question, number, names.values())
            index = next((index for index, name in names.items() if found and name == found[0]), None)
            if found is None or index is None or index in changes:
                return None
            wrong = () if number.percent is None else (number.percent, round(number.percent / 100, 9))
            changes[index] = _Change(found[1], wrong)
        return changes

    def _last_step(self, parts: Sequence[str], roots: Mapping[int, set[int]], names: Mapping[int, str]) -> str | None:
        """The calculation that makes the answer of the parts of an expression, if the question leaves no choice."""
        rooted = [{index for each in _REFERENCE.findall(part) for index in roots.get(int(each), ())} for part in parts]
        combined = {len(each) > 1 for each in rooted}
        if self.asked is None or len(parts) == 1 or not all(rooted) or len(combined) > 1:
            return None
        if self.asked == "name" and True in combined:
            return None
        terms = [Term(names.get(min(each), ""), part) for each, part in zip(rooted, parts, strict=True)]
        if self.asked == "name" and not all(term.name for term in terms):
            return None
        return last_step(self._question, self.asked, terms, combined=True in combined)

    def _ends_in_text(
        self, tasks: Sequence[Task], ends: Sequence[Task], roots: Mapping[int, set[int]], changes: Mapping[int, _Change]
    ) -> list[str] | None:
        """What the ends of a plan are, as parts of an expression, with changes that the plan has left out."""

        def changed(match: re.Match[str]) -> str:
            leads_to = roots.get(int(match["index"] or match["bare"]), set())
            change = changes.get(next(iter(leads_to))) if len(leads_to) == 1 else None
            if change is None:
                return match[0]
            by = _by(match)
            if by is not None and (abs(by) in change.wrong or self._is_stray(by)):
                return f"{match['reference']} * {change.by}"
            before = f"{match['first']} * " if match["first"] else ""
            needed = written[int(match["index"] or match["bare"])]
            if any(self._is_stray(_by(each) or 0) for each in _FACTOR.finditer(needed)):
                return f"{before}({_FACTOR.sub(changed, needed)}){match['times'] or ''}"
            return f"{before}({match['reference']} * {change.by}){match['times'] or ''}"

        written = {task.index: _written(task, self._calculating.get(task.tool)) for task in tasks}
        if len(ends) == 1 and ends[0].tool in self._calculating:
            return [_FACTOR.sub(changed, written[ends[0].index])]
        fields = {match[1] for text in written.values() for match in _FIELD.finditer(text)}
        texts = []
        for end in ends:
            if end.tool in self._calculating:
                mended = _FACTOR.sub(changed, written[end.index])
                if parts := terms_of_extreme(mended):  # of some, while others were left out
                    texts += [part for part in parts if part not in texts]
                    continue
                texts.append(f"${end.index}" if mended == written[end.index] else f"({mended})")
            elif len(fields) == 1:
                texts.append(_FACTOR.sub(changed, f"${{{end.index}{min(fields)}}}"))
            else:
                return None
        return texts

    def _is_stray(self, by: float) -> bool:
        """Whether a factor is near 1 and none that the question tells of: a change that was got wrong."""
        told = {accepted for number in self._numbers for accepted in number.accepted}
        return _NEAR_ONE[0] < by < _NEAR_ONE[1] and by != _HALF and round(by, 9) not in told

    def _line(self, index: int, last: Task, text: str) -> str:
        """The line of the task that makes the answer."""
        tool = last.tool if last.tool in self._calculating else next(iter(self._calculating))
        return f"{index}. {tool}({self._calculating[tool]}={write_json(text)})"

    def _counts(self, number: Number) -> bool:
        return self.asked == "number" or not number.converts

    def _given(self, task: Task) -> AnswerKind | None:
        """What a calculation gives, as its text shows."""
        text = _written(task, self._calculating[task.tool]).strip()
        if text.startswith(tuple(f"{name}(" for name in self._selectors)):
            return "name"
        if " if " in text:
            return self.asked if _LABEL_CHOICE.search(text) else "number"
        return "truth" if _COMPARISON.search(text) else "number"

    @property
    def _wanted(self) -> str:
        assert self.asked is not None
        return _WORDS[self.asked]

    @property
    def _selectors(self) -> list[str]:
        """The functions that give a name."""
        owners = ((self._tools[tool], name) for tool, name in self._calculating.items())
        options = (each for tool, name in owners for each in alternatives(tool.parameters[name], tool.definitions))
        found = (option.get("selectors") for option in options)
        return [str(name) for names in found if isinstance(names, list) for name in names]

    def _gives_number(self, task: Task) -> bool:
        """Whether what a task returns is a number itself, or may be."""
        tool = self._tools[task.tool]
        kinds = alternatives(tool.returns, tool.definitions)
        return not kinds or any(kind["type"] != "object" for kind in kinds)

    def _has_numbers(self, task: Task) -> bool:
        """Whether what a task returns is a number or has one in it."""
        tool = self._tools.get(task.tool)
        if tool is None:
            return False
        if task.tool in self._calculating:
            return self._given(task) == "number"
        kinds = alternatives(tool.returns, tool.definitions)
        return bool(kinds) and all(_is_numeric(kind, tool.definitions) for kind in kinds)


def _by(factor: re.Match[str]) -> float | None:
    """What a reference is multiplied by, before or behind it."""
    by = factor["by"] or factor["first"]
    return float(by) if by else None


class _Wanting(NamedTuple):
    """One thing that is wanting in a plan."""

    message: str
    around: str = ""
    """What is put around the calculation, if that alone is wanting: `abs({})`."""


class _Change(NamedTuple):
    """What a thing is multiplied by."""

    by: str
    wrong: Sequence[float]
    """What stands for it where it is wrong: the percentage itself, or the share."""


def _left_out(number: Number) -> _Wanting:
    around = f"({{}}) {number.hint.strip('`')}" if number.converts else ""
    return _Wanting(f"the question says {str(number)!r}, but no task calculates with that", around)


def _is_numeric(option: Mapping[str, JSON], definitions: Mapping[str, JSON]) -> bool:
    if option["type"] in _NUMBERS:
        return True
    fields = (kind for schema in fields_of(option).values() for kind in alternatives(schema, definitions))
    return option["type"] == "object" and any(kind["type"] in _NUMBERS for kind in fields)


def _is_checked(tasks: Sequence[Task]) -> bool:
    """Whether a plan is one that can be understood: not too large, and without conditions and fan-outs."""
    if any(task.when is not None or task.fans_out or len(str(task)) > _LONGEST for task in tasks):
        return False
    return 0 < len(tasks) <= _MOST_TASKS


def _roots(tasks: Iterable[Task]) -> dict[int, set[int]]:
    """The tasks that need no others, by the tasks that they lead to; each leads to itself."""
    roots: dict[int, set[int]] = {}
    for task in tasks:
        needed = [roots[index] for index in task.dependencies if index in roots]
        roots[task.index] = set().union(*needed) if needed else {task.index}
    return roots


def _name(task: Task) -> str | None:
    """What a task without references was called with, if that is one text."""
    values = [*task.positional, *task.arguments.values()]
    return values[0] if len(values) == 1 and isinstance(values[0], str) and not task.dependencies else None


def _written(task: Task, parameter: str | None) -> str:
    """A calculation's text, as it was written."""
    value = task.arguments.get(parameter) if parameter is not None else None
    match value:
        case str():
            return template_text((value,))
        case Reference():
            return str(value)
        case Template(parts):
            return template_text(parts)
        case _:
            return ""


def _constants(task: Task) -> Iterator[float]:
    """The numbers that a task was given."""
    for value in (*task.positional, *task.arguments.values()):
        yield from _plain_numbers(value)
        for leaf in leaves(value):
            if isinstance(leaf, str):
                yield from (float(match[0].replace(",", "")) for match in _LITERAL.finditer(leaf))


def _plain_numbers(value: Value) -> Iterator[float]:
    match value:
        case bool():
            return
        case int() | float():
            yield float(value)
        case list():
            for each in value:
                yield from _plain_numbers(each)
        case dict():
            for each in value.values():
                yield from _plain_numbers(each)


def calculating(tools: Iterable[ToolSpec]) -> dict[str, str]:
    """The parameters that take arithmetic, by the names of their tools."""
    return {
        tool.name: name
        for tool in tools
        for name, schema in tool.parameters.items()
        if arithmetic(schema, tool.definitions)
    }
