r"""Whether a plan has the structure its question asks for; no model and no observation is needed to say.

>>> from llmcompiler_graph import parse_plan
>>> plan = parse_plan('1. search("K2")\n2. search("Mount Everest")\n3. calculate("${1.height_m} - ${2.height_m}")')
>>> searched(plan), combines_all(plan, {"k2": "K2", "mount everest": "Mount Everest"}, {"K2", "Mount Everest"})
(['K2', 'Mount Everest'], True)
>>> plan = parse_plan('1. search("K2")\n2. search("Mount Everest")\n3. calculate("1.2 * ${1.height_m}")')
>>> combines_all(plan, {"k2": "K2", "mount everest": "Mount Everest"}, {"K2", "Mount Everest"})
False
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from llmcompiler_graph import Plan, Task
from llmcompiler_graph.core.language.references import JSON, Reference, Template, Value, references
from llmcompiler_graph.tools.facts import normalise

__all__ = ("combines_all", "named_in", "searched", "searches_exactly")

_MAX_EXTRA_WORDS = 3  # "Ed Wood nationality" still searches Ed Wood


def searched(plan: Plan, tool: str = "search") -> list[str]:
    """What a plan searches for, in order; an empty text where that is only known once it runs."""
    return [_constant(task) for task in plan if task.tool == tool]


def searches_exactly(plan: Plan, entities: Collection[str], tool: str = "search") -> bool:
    """Whether a plan searches for each of these once, and for nothing else; a few words may stand beside a name."""
    queries = searched(plan, tool)
    if len(queries) != len(entities):
        return False
    left = sorted(entities, key=len, reverse=True)
    for query in sorted(queries, key=len, reverse=True):
        found = next((each for each in left if _names(query, each)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def combines_all(plan: Plan, spellings: Mapping[str, str], entities: Collection[str], tool: str = "search") -> bool:
    """Whether a plan looks up exactly these things and combines them as its own texts say.

    - It looks up exactly these, in any order.
    - What a task's text names, the task reaches through its references.
    - A task never takes a whole looked-up entry where it calculates: it names a field.
    - The last task reaches every one of them.

    Args:
        plan: A checked plan.
        spellings: How things are written: `{normalised spelling: name}`.
        entities: Names of the things asked about.
        tool: The tool that looks things up.
    """
    reached: dict[int, set[str]] = {}
    lookups: set[int] = set()
    last: Task | None = None
    for task in plan:
        names = set().union(*(reached.get(index, set()) for index in task.dependencies))
        if task.tool == tool:
            name = spellings.get(normalise(_constant(task)))
            if name is None:
                return False
            reached[task.index] = {*names, name}
            lookups.add(task.index)
            continue
        values = [*task.arguments.values(), *task.positional]
        if not named_in(" ".join(_texts(values)), spellings) <= names:
            return False
        if any(not each.path and each.index in lookups for value in values for each in references(value)):
            return False
        reached[task.index] = names
        last = task
    found = set().union(*(reached[index] for index in lookups))
    return found == set(entities) and last is not None and reached[last.index] == set(entities)


def named_in(text: str, spellings: Mapping[str, str]) -> set[str]:
    """The things that a text names, longer names first: "Congo River" is not also "Congo".

    >>> named_in("the Congo River's length", {"congo": "Congo", "congo river": "Congo River"})
    {'Congo River'}
    """
    longest_first = sorted(spellings, key=len, reverse=True)
    pattern = rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b"
    return {spellings[found] for found in re.findall(pattern, normalise(text))}


def _names(query: str, entity: str) -> bool:
    words, wanted = normalise(query).split(), normalise(entity).split()
    return set(wanted) <= set(words) and len(words) <= len(wanted) + _MAX_EXTRA_WORDS


def _constant(task: Task) -> str:
    values = [*task.arguments.values(), *task.positional]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""


def _texts(value: Value | JSON) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Template(parts):
            yield from (part for part in parts if isinstance(part, str))
        case list():
            for each in value:
                yield from _texts(each)
        case dict():
            for key, each in value.items():
                yield key
                yield from _texts(each)
        case Reference() | _:
            return
