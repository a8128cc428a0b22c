"""Turns the name of a well-known thing into its facts, offline: the `lookup` tool.

The query may ask for an attribute (`"height of Mount Everest in metres"`): it is taken off and the thing's whole entry
is returned. The rest must be a name, letter for letter up to what `normalise` forgives. `lookup` never guesses: a name
it does not have, or has twice, is a `ToolException` that lists what could have been meant, so a planner can ask again.

>>> lookup.invoke("Mount Everest")["height_m"]
8848.86
>>> lookup.invoke("How deep is Lake Baikal?")["depth_m"]
1642
"""

import difflib
import inspect
import re

from langchain_core.tools import ToolException, tool

from llmcompiler_graph.tools.facts import Facts, Index, load_index, normalise

_ATTRIBUTE = (
    r"(?:(?:total|maximum|max|top|greatest|surface|land|official|exact|current) )*"
    r"(?:height|elevation|altitude|depth|length|area|size|population|speed|mass|weight|diameter|distance from sun"
    r"|orbital period|year (?:completed|founded|of completion|of foundation))"
)
# Only the units of the fields: someone who asks for feet must not take metres for them.
_UNIT = (
    r"(?:m|met(?:re|er)s?|km|kilomet(?:re|er)s?|km2|sq km|square k(?:m|ilomet(?:re|er)s?)|kmh|km h"
    r"|kilomet(?:re|er)s? per hour|kg|kilograms?|days)"
)
_QUESTION = re.compile(
    r"(?:what(?: i)?s |how (?:tall|high|deep|long|big|large|fast|heavy) (?:is|was) |facts (?:about|of) )?"
    rf"(?:{_ATTRIBUTE} (?:of|for) )?(?:an? )?"
    r"(?P<name>.+?)"
    rf"(?: {_ATTRIBUTE})?(?: (?:in )?{_UNIT})?"
)
_MAX_SUGGESTIONS = 5


@tool
def lookup(entity: str) -> Facts:
    """Look up the facts of one well-known place or thing by its name, e.g. `lookup("Mount Everest")`.

    Returns `name`, `kind` and the fields that apply: `height_m`, `elevation_m`, `depth_m`, `length_m`, `length_km`,
    `area_km2`, `population`, `max_speed_km_h`, `mass_kg`, `diameter_km`, `distance_from_sun_km`,
    `orbital_period_days`, `year_completed`, `year_founded`, `country`, `continent`, `capital`, `highest_point`.
    Knows mountains, rivers, lakes, seas, islands, deserts, countries, cities, buildings, bridges, animals, planets.
    """
    return find(entity, load_index())


lookup.description = inspect.cleandoc(lookup.description)
lookup.metadata = {"readOnlyHint": True, "idempotentHint": True}


def find(entity: str, index: Index) -> Facts:
    """Find the one entry that a query names.

    Raises:
        ToolException: There is none, or more than one.
    """
    key = normalise(entity)
    found = index.spellings.get(key)
    if found is None and (question := _QUESTION.fullmatch(key)):
        found = index.spellings.get(question["name"])
    if found is None:
        raise ToolException(_not_found(entity, key, index))
    if len(found) > 1:
        labels = _alternatives([_label(facts, index) for facts in found])
        raise ToolException(f"{entity!r} could be {labels}: ask for one of these")
    return found[0].copy()


def _not_found(entity: str, key: str, index: Index) -> str:
    names = index.names
    # Names inside the query come first: they are why "Everest Base Camp" or "Everest and K2" was asked for.
    inside = [name for name in names if len(name) > 1 and f" {name} " in f" {key} "]
    inside = [name for name in inside if not any(name != other and name in other for other in inside)]
    inside.sort(key=key.index)
    near = inside or difflib.get_close_matches(key, names, n=_MAX_SUGGESTIONS, cutoff=0.75)
    labels = list(dict.fromkeys(_label(facts, index) for name in near for facts in names[name]))[:_MAX_SUGGESTIONS]
    if labels:
        return f"no facts for {entity!r}: did you mean {_alternatives(labels)}? Give one name and nothing else"
    return f"no facts for {entity!r}: give the name of one well-known place or thing, such as 'Mount Everest'"


def _label(facts: Facts, index: Index) -> str:
    """Write a name `lookup` finds this entry by: with the kind where the name alone is shared."""
    if len(index.names[normalise(facts["name"])]) == 1:
        return facts["name"]
    return f"{facts['name']} ({facts['kind']})"


def _alternatives(labels: list[str]) -> str:
    quoted = [repr(label) for label in labels]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
