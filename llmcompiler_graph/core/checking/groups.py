"""Things that a question takes together: pairs that it compares, and things that become one.

Of pairs, the last step takes the largest or the smallest; the order of the things in each is the question's.

>>> question = "What is the larger ratio between the length of the Po and the Rhine, and the Rhine and the Elbe?"
>>> terms = {"Po": "$1", "Rhine": "$2", "Elbe": "$3"}
>>> pairs(question, terms)
[('Po', 'Rhine'), ('Rhine', 'Elbe')]
>>> extreme_of_pairs(question, terms)
'max($1 / $2, $2 / $3)'

A density of things that become one is that of all their people over all their area:

>>> question = "If Peru and Chile were to merge, what is the difference in population density between them and Cuba?"
>>> merged_density(question, {"Peru": ("$1", "$2"), "Chile": ("$3", "$4"), "Cuba": ("$5", "$6")})
'abs(($1 + $3) / ($2 + $4) - $5 / $6)'

May know: `completion`, `questions`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple

from llmcompiler_graph.core.checking.completion import asking_part, asking_sentence, extreme_words, extremes
from llmcompiler_graph.core.checking.questions import DIFFERENCE, is_negated
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Mention", "extreme_of_pairs", "mentions", "merged_density", "pairs")


class Mention(NamedTuple):
    """Where a question names a thing."""

    start: int
    end: int
    name: str
    """The thing, as the plan names it."""


_ALIKE = 0.75  # of what follows in two spellings of one name: Congo Forest, Congo Rainforest
_NEAR = 40  # characters before a thing that may say that something of it is meant
_LONGEST_WITHIN = 60  # characters between the things of a pair
_WITHIN = lazy_pattern(r"\b(?:to|and|with|versus|vs|against|over)\b", re.I)
_BETWEEN = lazy_pattern(r"[,;:.?!]|\band (?:between|of|when|from|for|among|comparing)\b", re.I)
_AND = lazy_pattern(r"(?:'s)? and (?:the |of )*", re.I)
_RELATIONS = (
    (lazy_pattern(r"\b(?:ratios?|quotients?)\b", re.I), "{} / {}"),
    (lazy_pattern(r"\bdifferences?\b", re.I), "abs({} - {})"),
    (lazy_pattern(r"\b(?:averages?|means?)\b", re.I), "mean({}, {})"),
    (lazy_pattern(r"\b(?:sums?|totals?|combined)\b", re.I), "{} + {}"),
)
_APART = lazy_pattern(
    r"\b(?:than|how (?:much|many)|times|percent|percentage|inverse|reciprocal|square|per (?!sq|km|unit)\w+)\b|%", re.I
)
_OTHERWISE = lazy_pattern(r"\b(?:densit(?:y|ies)|geometric|harmonic|relative|weighted)\b", re.I)
_OF_NOW = lazy_pattern(
    r"\b(?:before|until|present|current|(?:plan|want|hope|intend)s? to|in \d{4}|(?:sum|average|mean|total) of"
    r"|(?!population)\w+ densit)",
    re.I,
)
_MERGE = lazy_pattern(
    r"\b(?:merg(?:e|es|ed|ing)|unit(?:e|es|ed|ing)|becom(?:e|es|ing) one|became one)\b(?! (?:their|its|[A-Z]))"
)
_STAY = lazy_pattern(r"\b(?:apart|separate(?:ly)?|independent|alone|stay\w*|remain\w*|keep\w*|kept)\b", re.I)
_OF_THEM = lazy_pattern(r"\b(?!merg|uni|join|combin)\w+ of (?:the )?$", re.I)
_ASKS_FOR = lazy_pattern(
    r"(?:\w+(?:['\u2019]s)?(?: (?:is|are|was|were|would|will|be|has|have|the|one|of|these|those|them|which|what|value"
    r"|result))* )?",
    re.I,
)
_DENSITY = lazy_pattern(r"\bdensit(?:y|ies)\b", re.I)


def mentions(question: str, names: Collection[str]) -> list[Mention]:
    """Where a question names things, in order; of two names that overlap the longer.

    A name may be spelt a little otherwise, if its first word is no other's:

    >>> [each.name for each in mentions("the Congo Forest, the Volga and Lake Erie", ["Congo Rainforest", "Lake Erie"])]
    ['Congo Rainforest', 'Lake Erie']
    """
    found: list[Mention] = []
    every = {Mention(*span, name) for name in names for span in _spans(question, name, names)}
    for each in sorted(every, key=lambda other: (other.start - other.end, other)):
        if all(each.end <= other.start or other.end <= each.start for other in found):
            found.append(each)
    return sorted(found)


def _spans(question: str, name: str, names: Iterable[str]) -> Iterator[tuple[int, int]]:
    for match in re.finditer(rf"(?<!\w)(?i:{re.escape(name)})(?: [A-Z][\w-]*)*(?!\w)", question):
        yield match.span()
    first = name.split(" ", maxsplit=1)[0]
    if any(first in other.split(" ") for other in names if other != name):
        return
    for match in re.finditer(rf"(?<!\w){re.escape(first)}(?: [A-Z][\w-]*)*(?!\w)", question):
        said, meant = match[0].casefold()[len(first) :], name.casefold()[len(first) :]
        if not said or SequenceMatcher(None, said.strip(), meant.strip()).ratio() >= _ALIKE:
            yield match.span()


def pairs(question: str, names: Collection[str]) -> list[tuple[str, str]]:
    """The pairs of things that a question compares; none if it names a thing outside of them.

    Args:
        question: The question.
        names: The things that were looked up.
    """
    found = mentions(question, names)
    if len(found) < 4 or len(found) % 2:
        return []
    texts = [question[one.end : other.start] for one, other in pairwise(found)]
    if not all(map(_joins, texts[::2])) or any(map(_joins, texts[1::2])):
        return []
    return [(one.name, other.name) for one, other in zip(found[::2], found[1::2], strict=True)]


def _joins(text: str) -> bool:
    """Whether a text stands between the two things of a pair."""
    return len(text) <= _LONGEST_WITHIN and not _BETWEEN.search(text) and bool(_WITHIN.search(text))


def extreme_of_pairs(question: str, terms: Mapping[str, str]) -> str | None:
    """The largest or smallest of what a question says of pairs of things; `None` if that leaves a choice.

    Args:
        question: The question.
        terms: What stands for each thing that was looked up.
    """
    asked = asking_part(question)
    words = extreme_words(asked)
    relations = [(pattern, text) for pattern, text in _RELATIONS if pattern.search(question)]
    compared = pairs(question, terms)
    if (
        not compared
        or len(words) != 1
        or len(relations) != 1
        or _APART.search(asked)
        or _OTHERWISE.search(question)
        or is_negated(asking_sentence(question))
    ):
        return None
    if not _ASKS_FOR.fullmatch(asked, 0, words[0].start()):  # as in `twice the largest` or `the second largest`
        return None
    (pattern, text), place = relations[0], question.rfind(asked) + words[0].end()
    first, *_, last = mentions(question, terms)
    if not (pattern.search(question[place : first.start]) or place > last.end):  # else of the things themselves
        return None
    most, _ = extremes(asked)
    values = ", ".join(text.format(terms[one], terms[other]) for one, other in compared)
    return f"{'max' if most else 'min'}({values})"


def merged_density(question: str, terms: Mapping[str, tuple[str, str]]) -> str | None:
    """What a question asks about the densities of things of which some become one; `None` if that leaves a choice.

    Args:
        question: The question.
        terms: What stands for the people and the area of each thing.
    """
    asked = asking_part(question)
    begin = question.rfind(asked)
    if not (_MERGE.search(question[:begin]) and _DENSITY.search(question)) or _APART.search(asked):
        return None
    if is_negated(question[: begin + len(asked)]) or _STAY.search(question) or _OF_NOW.search(question):
        return None
    groups = _merged(question, terms, begin)
    named = [name for group in groups for name in group]
    if len(set(named)) != len(named) or max(map(len, groups), default=1) == 1:
        return None
    return _of_densities(asked, [_density([terms[name] for name in group]) for group in groups])


def _merged(question: str, names: Collection[str], end: int) -> list[list[str]]:
    """The things that a question names, those together that become one; none if something of theirs does.

    Args:
        question: The question.
        names: The things that were looked up.
        end: Where the part begins that asks.
    """
    groups: list[list[str]] = []
    last = 0
    for mention in mentions(question, names):
        is_premise = mention.end <= end
        if is_premise and groups and _AND.fullmatch(question, last, mention.start):
            groups[-1].append(mention.name)
        elif is_premise and _OF_THEM.search(question[max(mention.start - _NEAR, 0) : mention.start]):
            return []
        else:
            groups.append([mention.name])
        last = mention.end
    return groups


def _density(things: Collection[tuple[str, str]]) -> str:
    people, area = (" + ".join(values) for values in zip(*things, strict=True))
    return f"({people}) / ({area})" if len(things) > 1 else f"{people} / {area}"


def _of_densities(asked: str, densities: list[str]) -> str | None:
    most, least = extremes(asked)
    if len(densities) == 1:
        return densities[0]
    if most != least:
        return f"{'max' if most else 'min'}({', '.join(densities)})"
    if len(densities) == 2 and not most and DIFFERENCE.search(asked):
        return f"abs({densities[0]} - {densities[1]})"
    return None
