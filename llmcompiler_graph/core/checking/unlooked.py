"""Things that a question calculates with, and that a plan has not looked up.

Only those are certain that the question changes by a number, or compares with others in pairs:

>>> question = "After Lhotse drops by 10% and Makalu rises by 2%, what is the gap between the highest and the lowest?"
>>> unlooked(question, ["Makalu"])
['Lhotse']
>>> unlooked("In Nepal, Lhotse is popular. How high is Makalu, risen by 2%?", ["Makalu"])
[]

May know: `calculations`, `completion`, `factors`, `groups`, `plan`, `questions`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from llmcompiler_graph.core.checking.calculations import thing
from llmcompiler_graph.core.checking.completion import asking_part, points_back
from llmcompiler_graph.core.checking.factors import factor
from llmcompiler_graph.core.checking.groups import mentions, pairs
from llmcompiler_graph.core.checking.questions import numbers_in, sentences_of
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("lookups_wanting", "unlooked")

_COUNTS = ("", "one", "two", "three", "four", "five", "six")
_COUNTED = lazy_pattern(r"\b(?:the|all|these|those) (two|three|four|five|six)\b", re.I)
_MOST_NAMES = 20
_MOST = 5  # what leaves out more is another plan
_NAME = lazy_pattern(
    r"(?<![\w'\u2019-])[A-Z][\w'\u2019-]*"
    r"(?: (?:(?:of|the|de|del|da|la|le) )?[A-Z0-9][\w-]*(?![\w.%]*%))*(?:'s|\u2019s)?(?!\w)"
)
_BEGINS = lazy_pattern(
    r"(?:after|although|among|an?|and|answer|are|as|assum\w+|before|between|by|calculate|compar\w+|comput\w+|consider\w*"
    r"|could|determine|divid\w+|do|does|each|find|for|from|given|giv\w+|had|has|have|how|identify|if|imagine|in|is|its?"
    r"|let|name|now|of|on|once|please|provided|say|should|since|suppos\w+|take|tell|the|then|there|these|they|this|to|upon"
    r"|was|were|what|when|which|while|who|whose|will|with|would)"
)


def lookups_wanting(question: str, tasks: Sequence[Task]) -> list[Task]:
    """The look-ups of things that a question calculates with, and no task has looked up."""
    lookups = [task for task in tasks if thing(task) is not None]
    ways = {(task.tool, *task.arguments) for task in lookups}
    if len(ways) != 1:
        return []
    (tool, *parameters), first = ways.pop(), max(task.index for task in tasks) + 1
    names = unlooked(question, [name for task in lookups if (name := thing(task)) is not None])
    return [Task(first + n, tool, dict.fromkeys(parameters, name)) for n, name in enumerate(names)]


def unlooked(question: str, names: Collection[str]) -> list[str]:
    """The things that are certain to be wanting, as the question names them; none if there are too many.

    Args:
        question: The question.
        names: The things that were looked up.
    """
    known = mentions(question, names)
    found = dict.fromkeys(
        name
        for name, start, end in _proper_names(question)
        if all(end <= each.start or each.end <= start for each in known)
    )
    if len(found) > _MOST_NAMES:
        return []
    every = [*names, *found]
    changed = {change[0] for number in numbers_in(question) if (change := factor(question, number, every)) is not None}
    compared = {name for pair in pairs(question, every) for name in pair}
    if not _asks_for_all(question, every):
        found = dict.fromkeys(each.name for each in mentions(asking_part(question), found))
    wanting = [name for name in found if name in changed | compared]
    may_be_known = {each.name for each in known} != set(names) and _count(question) != len(names) + len(wanting)
    return [] if len(wanting) > _MOST or may_be_known else wanting  # what is known may have another name


def _count(question: str) -> int | None:
    """How many things a question says that it is about: `the three`, `all four`."""
    counted = _COUNTED.search(question)
    return _COUNTS.index(counted[1].lower()) if counted else None


def _asks_for_all(question: str, names: Collection[str]) -> bool:
    """Whether the part of a question that asks may be about what it does not name.

    >>> _asks_for_all("Rome grew by 5%. How large are Oslo and Bonn in total?", ["Rome", "Oslo", "Bonn"])
    False
    """
    asked = asking_part(question)
    return points_back(asked) or not mentions(asked, names)


def _proper_names(question: str) -> Iterator[tuple[str, int, int]]:
    """What is written with capitals, and where; but not the word that begins a sentence if it is an ordinary one."""
    begin = 0
    for sentence in sentences_of(question):
        begin = question.index(sentence, begin)
        for match in _NAME.finditer(sentence):
            name, start = match[0].removesuffix("'s").removesuffix("\u2019s"), match.start()
            first, _, others = name.partition(" ")
            if start == 0 and _BEGINS.fullmatch(first.lower()):
                name = others.removeprefix("the ")
                start += match[0].index(name)
            is_word = start == 0 and not others and len(re.findall(rf"\b{re.escape(name)}\b", question)) == 1
            if name and not is_word:  # as in `Tourism doubled`
                yield name, begin + start, begin + start + len(name)
        begin += len(sentence)
