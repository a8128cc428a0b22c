"""Turns `facts.json` into `Facts` entries and an index of every spelling that names one.

Knows the data and how names are spelled, nothing about questions or tools. An entry answers to its name and aliases,
to these with a word for its kind (`"Nile River"`, `"river Nile"`, `"city of Rome"`), and to these with its country
(`"Rome, Italy"`). A spelling shared by several entries keeps all of them: the reader of the index must not choose.

>>> [entry["name"] for entry in load_index().spellings[normalise("Mt. Everest")]]
['Mount Everest']
>>> len(load_index().spellings[normalise("Congo")])
3
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, Required, cast

from typing_extensions import TypedDict  # pydantic reads typing.TypedDict only from Python 3.12 on


class Facts(TypedDict, total=False):
    """What is known of one thing: `name` and `kind` always, of the others only those that apply to it."""

    name: Required[str]
    """The usual English name."""
    kind: Required[str]
    """What it is: `"mountain"`, `"river"`, `"country"`, `"animal"`…"""
    country: str
    """Where it lies; several countries are separated by `", "`."""
    continent: str
    """The continent of a country."""
    capital: str
    """The capital of a country."""
    highest_point: str
    """The highest mountain of a continent, country, state, island or planet: a name `lookup` knows."""
    height_m: float
    """Metres: of a mountain above sea level, of anything else from its foot to its top."""
    elevation_m: float
    """Metres above sea level: of a summit, a lake's surface, a city."""
    depth_m: float
    """Metres at the deepest point."""
    length_m: float
    """Metres: of a bridge, a dam, a vehicle, the longest animals of a species."""
    length_km: float
    """Kilometres: of a river, canal, tunnel, trench, wall, railway."""
    area_km2: float
    """Square kilometres, inland water included."""
    population: int
    """People, in the year `population_year`."""
    population_year: int
    """The year of the census or estimate `population` was taken from."""
    max_speed_km_h: float
    """Kilometres per hour: the highest speed reliably reported."""
    mass_kg: float
    """Kilograms."""
    diameter_km: float
    """Kilometres: the mean diameter of a planet, moon or star."""
    distance_from_sun_km: float
    """Kilometres: the mean distance of a planet from the Sun."""
    orbital_period_days: float
    """Days the planet takes around the Sun."""
    year_completed: int
    """The year a building or vehicle was completed (CE)."""
    year_founded: int
    """The year a university was founded (CE)."""


class Index(NamedTuple):
    """The entries by normalised spelling."""

    names: dict[str, list[Facts]]
    """Names and aliases only, the vocabulary for suggestions: `{normalised name: entries}`."""
    spellings: dict[str, list[Facts]]
    """Everything an entry answers to: `{normalised spelling: entries}`."""


KIND_WORDS = {
    "mountain": ("mount", "mountain", "peak"),
    "ocean trench": ("trench",),
    "building": ("building", "skyscraper", "tower"),
    "church": ("church", "cathedral"),
    "US state": ("state",),
    "waterfall": ("waterfall", "falls"),
}
"""Words beside a name that confirm its kind, where they are not just the kind itself."""

_ABBREVIATIONS = {"mt": "mount", "mtn": "mountain", "st": "saint"}
_UNDECOMPOSED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "\u2019": "'"})


def normalise(text: str) -> str:
    """Reduce a name to what its spellings have in common.

    Case, accents, punctuation, possessive `'s` and the article "the" go; `"Mt."` and `"St."` are written out.

    >>> normalise("Mt. St. Helens'"), normalise("the U.S.A."), normalise("Galdhøpiggen")
    ('mount saint helens', 'usa', 'galdhopiggen')
    """
    text = unicodedata.normalize("NFKD", text.casefold()).translate(_UNDECOMPOSED)
    text = "".join(character for character in text if not unicodedata.combining(character))
    text = re.sub(r"'s\b|'", "", text)
    text = re.sub(r"\b(\w)\.", r"\1", text)  # the initials of "U.S.A." are one word, "Mt.Everest" is two
    words = re.findall(r"[^\W_]+", text)
    return " ".join(_ABBREVIATIONS.get(word, word) for word in words if word != "the")


@cache
def load_entries() -> tuple[dict[str, Any], ...]:
    """Read the data file, once per process: entries are `Facts` with a list of `aliases`."""
    data = files("llmcompiler_graph.tools").joinpath("facts.json").read_text(encoding="utf-8")
    return tuple(json.loads(data))


@cache
def load_index() -> Index:
    """Index the data file by everything its entries answer to, once per process."""
    return index_of(load_entries())


def index_of(entries: Iterable[Mapping[str, Any]]) -> Index:
    """Index entries, such as those of the data file, by everything they answer to."""
    entries = list(entries)
    countries = {entry["name"]: _names(entry) for entry in entries if entry["kind"] == "country"}
    names: dict[str, list[Facts]] = {}
    named: list[tuple[Facts, set[str]]] = []
    for entry in entries:
        facts = cast(Facts, {field: value for field, value in entry.items() if field != "aliases"})
        keys = {normalise(name) for name in _names(entry)}
        named.append((facts, keys))
        for key in keys:
            names.setdefault(key, []).append(facts)
    spellings: dict[str, list[Facts]] = {}
    for facts, keys in named:
        answers_to = set(keys)
        for key in keys:
            answers_to.update(_with_kind(key, facts))
            if len(names[key]) == 1:  # "Victoria, Canada" is not the island
                answers_to.update(_with_country(key, facts, countries))
        for key in answers_to:
            spellings.setdefault(key, []).append(facts)
    return Index(names, spellings)


def _names(entry: Mapping[str, Any]) -> list[str]:
    return [entry["name"], *entry.get("aliases", [])]


def _with_kind(name: str, facts: Facts) -> Iterator[str]:
    for word in {normalise(facts["kind"]), *KIND_WORDS.get(facts["kind"], ())}:
        yield from (f"{name} {word}", f"{word} {name}", f"{word} of {name}")


def _with_country(name: str, facts: Facts, countries: dict[str, list[str]]) -> Iterator[str]:
    for country in filter(None, facts.get("country", "").split(", ")):
        for spelling in map(normalise, countries.get(country, [country])):
            yield from (f"{name} {spelling}", f"{name} in {spelling}")
