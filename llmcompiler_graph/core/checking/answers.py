"""Does a plan give what the question asks for? What is wanting is said in a way that one task mends.

A plan may be readable, refer well and still stop short of its question: it subtracts where a name is asked for, leaves
a percentage out, or ends with three numbers of which the answer would be the smallest. This is seen without running it.

>>> from llmcompiler_graph.core.language.references import Reference, Template
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

May know: `calculations`, `changes`, `completion`, `factors`, `groups`, `json_text`, `plan`, `questions`,
`references`, `results`, `returned`, `terms`, `unlooked`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from llmcompiler_graph.core.checking.calculations import (
    bare,
    calculating,
    constants_in,
    inlined,
    named_terms,
    rooted,
    roots_of,
    text_of,
    thing,
    understood,
    with_needed,
)
from llmcompiler_graph.core.checking.changes import Changes, is_share
from llmcompiler_graph.core.checking.completion import (
    asks_for_change,
    averaged,
    is_reversed,
    last_step,
)
from llmcompiler_graph.core.checking.factors import factor, name_in_full
from llmcompiler_graph.core.checking.groups import extreme_of_pairs, mentions, merged_density
from llmcompiler_graph.core.checking.questions import (
    AnswerKind,
    Number,
    asked_for,
    asks_to_calculate,
    has_other_numbers,
    numbers_in,
    unit_number,
)
from llmcompiler_graph.core.checking.results import (
    Wanting,
    asks_for_ratio,
    given,
    is_difference_without_sign,
    is_scaled,
    lacks_average,
    lacks_extreme,
    lacks_percent,
    left_out,
    put_around,
)
from llmcompiler_graph.core.checking.returned import fitting_field, has_numbers, may_be_number, number_fields, selectors
from llmcompiler_graph.core.checking.terms import terms_of, terms_of_extreme
from llmcompiler_graph.core.checking.unlooked import lookups_wanting
from llmcompiler_graph.core.language.json_text import write_json
from llmcompiler_graph.core.language.plan import Task, ToolSpec
from llmcompiler_graph.core.language.references import parse_template
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("AnswerCheck", "AnswerDoubt")

_WORDS: dict[AnswerKind, str] = {"name": "a name", "number": "a number", "truth": "yes or no"}
_COMPLETIONS = 3  # what is completed may leave something out as well
_FIELD_NAME = lazy_pattern(r"\$\{\d+[^}]*?\.(\w+)\}")
_MOST_NUMBERS = 30  # a question with more is no question of one answer
_HUNDRED = 100.0
_PAIR = 2  # of two things one may know which is the larger


class AnswerDoubt(NamedTuple):
    """What is wanting in a plan, and what mends it."""

    task: int
    """The task that is to be written, again or for the first time."""
    problems: list[str]
    """What is wanting."""
    tool: str
    """Its tool, which calculates."""
    parameter: str
    """The tool's parameter that takes arithmetic."""
    text: str
    """The calculation."""
    before: tuple[Task, ...] = ()
    """The look-ups that are to be written before it, for the first time."""

    @property
    def line(self) -> str:
        """The task's line, behind those of the look-ups."""
        calculation = f"{self.task}. {self.tool}({self.parameter}={write_json(self.text)})"
        return "\n".join([*map(str, self.before), calculation])


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
        if asks_for_ratio(question):  # which has no unit
            self._numbers = [number for number in self._numbers if not number.converts]
        self._is_read = len(self._numbers) <= _MOST_NUMBERS and not has_other_numbers(question)

    def calculates(self, task: Task) -> bool:
        """Whether a task is a calculation, that may be the last."""
        return self.asked is not None and task.tool in self._calculating and not task.fans_out

    def in_full(self, task: Task) -> Task:
        """A look-up of a thing by its name as the question has it in full, if it has it only so.

        Args:
            task: The task; one that changes something, or refers to others, is as it was.
        """
        name, tool = thing(task), self._tools.get(task.tool)
        if self.asked is None or name is None or tool is None or tool.has_effects or task.tool in self._calculating:
            return task
        if (full := name_in_full(self._question, name)) == name:
            return task
        arguments = {key: full if value == name else value for key, value in task.arguments.items()}
        return replace(task, arguments=arguments, positional=tuple(full if v == name else v for v in task.positional))

    def doubt(self, tasks: Sequence[Task]) -> AnswerDoubt | None:
        """Say what is wanting in a whole plan, if that leaves no choice.

        The last task is written again if it calculates, else one is added, and look-ups that are wanting before it.
        """
        if self.asked is None or not understood(tasks):
            return None
        wanting = lookups_wanting(self._question, tasks) if self._is_read else []
        with_them = self._completed_in_turn([*tasks[:-1], *wanting, tasks[-1]]) if wanting else None
        if with_them is not None and all(f"${{{task.index}" in with_them.text for task in wanting):
            missing = [f"the question is about {thing(task)!r}, but no task looks it up" for task in wanting]
            return with_them._replace(problems=[*missing, *with_them.problems], before=tuple(wanting))
        return self._completed_in_turn(tasks)

    def _completed_in_turn(self, tasks: Sequence[Task]) -> AnswerDoubt | None:
        """What is wanting in a plan, and in what completes it."""
        doubt, more = None, self._doubt(tasks)
        for _ in range(_COMPLETIONS):
            if more is None:
                break
            problems = [*doubt.problems, *more.problems] if doubt else more.problems
            doubt = more._replace(problems=problems)
            made = parse_template(more.text, lambda _: True).value
            tasks = with_needed(Task(more.task, more.tool, {more.parameter: made}), tasks)
            more = self._doubt(tasks)
        return doubt

    def _doubt(self, tasks: Sequence[Task]) -> AnswerDoubt | None:
        """What is wanting, before anything was completed or after."""
        return (self._of_groups(tasks) if self._is_read else None) or self._of_ends(tasks)

    def _of_ends(self, tasks: Sequence[Task]) -> AnswerDoubt | None:
        """What is wanting in what the plan's ends come to."""
        last, used = tasks[-1], {index for task in tasks for index in task.dependencies}
        ends = [task for task in tasks if task.index not in used]
        is_one = len(ends) == 1 and self.calculates(last)
        problems = [*(self._misfit(last) if is_one else self._unfinished(ends))]
        if not (problems or is_one):
            return None
        if not self._is_read:
            return self._of_kind(tasks, ends, problems, again=is_one)
        unused = self._unused(tasks)
        if all(each.converts for each in unused):
            unused += self._misused(tasks)
        problems += [*map(left_out, unused), *(self._uncombined(tasks) if is_one else ())]
        text = self._of_problems(tasks, ends, problems, unused) if problems else None
        if text is None:
            return None
        return self._completing(tasks, [each.message for each in problems], text, again=is_one)

    def _of_problems(
        self, tasks: Sequence[Task], ends: Sequence[Task], problems: Sequence[Wanting], unused: Sequence[Number]
    ) -> str | None:
        """The calculation that mends what is wanting, if that leaves no choice."""
        changes = [each for each in unused if not each.converts and not each.is_compared_in(self._question)]
        if changes and asks_for_change(self._question):
            return None
        around = [each for each in problems if each.around]
        last_is_whole = len(problems) == len(changes) + len(around)
        return put_around(self._completed(tasks, ends, changes, last_is_whole=last_is_whole), around)

    def _of_kind(
        self, tasks: Sequence[Task], ends: Sequence[Task], problems: Sequence[Wanting], *, again: bool
    ) -> AnswerDoubt | None:
        """That the ends come to a number where a name is asked for, and the plan has numbers for those not read."""
        if not problems or self.asked != "name" or not self._other_constants(tasks):
            return None
        text = self._completed(tasks, ends, (), last_is_whole=False)
        return (text and self._completing(tasks, [each.message for each in problems], text, again=again)) or None

    def _unit(self, fields: Iterable[str]) -> Number | None:
        """The conversion that the question asks for, if it asks for something with a unit."""
        return None if asks_for_ratio(self._question) else unit_number(self._question, fields)

    def _of_groups(self, tasks: Sequence[Task]) -> AnswerDoubt | None:
        """That the plan does not calculate with the pairs that the question names, or with what becomes one."""
        told = self._told(tasks)
        if self.asked != "number" or not all(number.converts for number in told):
            return None
        text = self._pairs(tasks, told) or self._merged(tasks, told)
        if text is None or bare(inlined(tasks, self._calculating)).startswith(bare(text)):
            return None
        problem = "the question compares pairs of things, or things that become one, and no task calculates with these"
        return self._completing(tasks, [problem], text, again=self.calculates(tasks[-1]))

    def _pairs(self, tasks: Sequence[Task], told: Iterable[Number]) -> str | None:
        """What the question asks of pairs of things that were looked up, in the unit that it asks for."""
        field = self._field(tasks)
        if field is None:
            return None
        text = extreme_of_pairs(self._question, {name: f"${{{n}.{field}}}" for n, name in self._names(tasks).items()})
        unit = self._unit({field})
        return put_around(text, map(left_out, [*told, *([unit] if unit else [])]))

    def _merged(self, tasks: Sequence[Task], told: Iterable[Number]) -> str | None:
        """What the question asks of the densities of things of which some become one."""
        people, area = self._field(tasks, "population"), self._field(tasks, "area")
        if people is None or area is None:
            return None
        terms = {name: (f"${{{n}.{people}}}", f"${{{n}.{area}}}") for n, name in self._names(tasks).items()}
        return put_around(merged_density(self._question, terms), map(left_out, told))

    def _field(self, tasks: Sequence[Task], named: str = "") -> str | None:
        """The field of what was looked up that the question is about; `None` if that is not certain.

        Args:
            tasks: Those of the plan.
            named: What it is called, if that is known.
        """
        used = self._fields(tasks)
        if len(used) == 1 and not named:
            return min(used)
        lookups = {task.tool for task in tasks if task.tool not in self._calculating}
        tool = self._tools.get(min(lookups)) if len(lookups) == 1 else None
        return fitting_field(number_fields(tool), named or self._question) if tool else None

    def _fields(self, tasks: Sequence[Task]) -> set[str]:
        """The fields that a plan calculates with."""
        return {match[1] for match in _FIELD_NAME.finditer(self._expressions(tasks))}

    def _unfinished(self, ends: Sequence[Task]) -> Iterator[Wanting]:
        """That a plan has several ends, all of them numbers, of which one thing is to be made; or one with numbers."""
        if not asks_to_calculate(self._question) or not all(map(self._has_numbers, ends)):
            return
        if len(ends) == 1 and (self.asked != "number" or may_be_number(self._tools[ends[0].tool])):
            return
        if self.asked == "name" and not self._selectors:
            return
        indices = ", ".join(f"${task.index}" for task in ends)
        yield Wanting(f"the question asks for {self._wanted}, but nothing is made of {indices}")

    def _misfit(self, last: Task) -> Iterator[Wanting]:
        """That the last task gives something of another kind than what is asked for."""
        kind = self._given(last)
        if kind is None or kind == self.asked or (self.asked == "name" and not self._selectors):
            return
        message = f"the question asks for {self._wanted}, but task {last.index} gives {_WORDS[kind]}"
        yield Wanting(message)

    def _unused(self, tasks: Sequence[Task]) -> list[Number]:
        """The numbers of the question that no task has."""
        constants = {round(number, 9) for task in tasks for number in constants_in(task)}
        elsewhere = {
            round(number, 9) for task in tasks if task.tool not in self._calculating for number in constants_in(task)
        }
        percents = constants if _HUNDRED in constants else elsewhere
        fields = self._fields(tasks)
        unit = self._unit(fields) if self.asked == "number" else None
        counts = {1.0, *map(float, range(len(tasks)))}  # by which an average divides
        return [
            number
            for number in [*self._told(tasks), *([unit] if unit else [])]
            if not number.accepted & constants and number.percent not in percents and self._counts(number)
            if not (number.converts and is_scaled(fields))
            if not (number.converts and self._other_constants(tasks) - counts)  # it may be converted in another form
        ]

    def _told(self, tasks: Sequence[Task]) -> list[Number]:
        """The numbers of the question that are no part of the names of what was looked up."""
        named = mentions(self._question, self._names(tasks).values())
        return [each for each in self._numbers if not any(one.start <= each.place < one.end for one in named)]

    def _misused(self, tasks: Sequence[Task]) -> list[Number]:
        """The percentages that a thing is changed by, if all that is told of in that way are taken as shares of it."""
        if asks_for_change(self._question):
            return []
        names, expressions = self._names(tasks), self._expressions(tasks)
        changed = [(each, found) for each in self._numbers if (found := factor(self._question, each, names.values()))]
        things = {index: {names.get(root, "") for root in roots} for index, roots in roots_of(tasks).items()}
        return [each for each, found in changed if is_share(each, found[0], expressions, things)]

    def _names(self, tasks: Iterable[Task]) -> dict[int, str]:
        """What the tasks without references were called with, as the question has it."""
        return {task.index: name_in_full(self._question, name) for task in tasks if (name := thing(task)) is not None}

    def _uncombined(self, tasks: Sequence[Task]) -> Iterator[Wanting]:
        """That an average or an extreme is asked for, and nothing in the plan makes one."""
        if self.asked != "number":
            return
        expressions, text = self._expressions(tasks), text_of(tasks[-1], self._calculating)
        if lacks_average(self._question, expressions) and not self._other_constants(tasks):
            yield Wanting("the question asks for an average, but no task divides or calls `mean`")
        terms = named_terms(terms_of(text), roots_of(tasks), self._names(tasks))
        if is_difference_without_sign(self._question, text, is_reversed=is_reversed(self._question, terms)):
            yield Wanting("a difference has no sign, but the calculation may", "abs({})")
        if lacks_percent(self._question, expressions):
            yield Wanting("the question asks for percent, but nothing is multiplied by 100", "({}) * 100")
        several = sum(task.tool not in self._calculating for task in tasks) > _PAIR
        if several and lacks_extreme(self._question, expressions):
            yield Wanting("the question asks for the largest or smallest of several, but no task calls `max` or `min`")

    def _other_constants(self, tasks: Sequence[Task]) -> set[float]:
        """The numbers in a plan's calculations that the question does not tell of."""
        told = {accepted for number in self._numbers for accepted in number.accepted}
        return {round(number, 9) for task in tasks for number in constants_in(task) if self.calculates(task)} - told

    def _expressions(self, tasks: Sequence[Task]) -> str:
        return " ".join(text_of(task, self._calculating) for task in tasks)

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
        roots, names = roots_of(tasks), self._names(tasks)
        changes = Changes.told_of(self._question, unused, names)
        texts = None if changes is None else changes.put_into(tasks, ends, self._calculating)
        if texts is None:
            return None
        if last_is_whole:
            return texts[0] if len(texts) == 1 else None
        made = self._last_step(texts if len(texts) > 1 else terms_of(texts[0]), roots, names)
        return made or (averaged(self._question, texts[0]) if len(texts) == 1 else None)

    def _last_step(self, parts: Sequence[str], roots: Mapping[int, set[int]], names: Mapping[int, str]) -> str | None:
        """The calculation that makes the answer of the parts of an expression, if the question leaves no choice."""
        made_of = rooted(parts, roots)
        combined = {len(each) > 1 for each in made_of}
        if self.asked is None or len(parts) == 1 or not all(made_of) or len(combined) > 1:
            return None
        if self.asked != "number" and True in combined:
            return None
        terms = named_terms(parts, roots, names)
        if self.asked != "number" and not all(term.name for term in terms):
            return None
        return last_step(self._question, self.asked, terms, combined=True in combined)

    def _completing(self, tasks: Sequence[Task], problems: list[str], text: str, *, again: bool) -> AnswerDoubt:
        """A doubt of a plan whose last task is written again, or followed by another one."""
        last = tasks[-1]
        newest = max(task.index for task in tasks)
        index = last.index if again and last.index == newest else newest + 1
        tool = last.tool if last.tool in self._calculating else next(iter(self._calculating))
        return AnswerDoubt(index, problems, tool, self._calculating[tool], text)

    def _counts(self, number: Number) -> bool:
        return self.asked == "number" or not number.converts

    def _given(self, task: Task) -> AnswerKind | None:
        """What a calculation gives, as its text shows."""
        return given(text_of(task, self._calculating), self.asked, self._selectors)

    @property
    def _wanted(self) -> str:
        assert self.asked is not None
        return _WORDS[self.asked]

    @property
    def _selectors(self) -> list[str]:
        """The functions that give a name."""
        return [each for tool, name in self._calculating.items() for each in selectors(self._tools[tool], name)]

    def _has_numbers(self, task: Task) -> bool:
        """Whether what a task returns is a number or has one in it."""
        if task.tool in self._calculating:
            return self._given(task) == "number" or bool(terms_of_extreme(text_of(task, self._calculating)))
        return task.tool in self._tools and has_numbers(self._tools[task.tool])
