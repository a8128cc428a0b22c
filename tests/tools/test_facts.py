from collections import Counter

import pytest
from pydantic import TypeAdapter

from llmcompiler_graph.tools.facts import Facts, load_entries, load_index, normalise

RANGES: dict[str, tuple[float, float]] = {
    "height_m": (1, 25_000),
    "elevation_m": (-500, 9_000),
    "depth_m": (10, 11_000),
    "length_m": (2, 4_000),
    "length_km": (40, 22_000),
    "area_km2": (0.4, 1.7e8),
    "population": (400, 5e9),
    "population_year": (2005, 2025),
    "max_speed_km_h": (10, 4_000),
    "mass_kg": (100, 2e30),
    "diameter_km": (2_000, 1.4e6),
    "distance_from_sun_km": (5e7, 6e9),
    "orbital_period_days": (80, 100_000),
    "year_completed": (80, 2025),
    "year_founded": (1000, 2025),
}
TEXTS = {"name", "kind", "country", "continent", "capital", "highest_point"}


def test_size() -> None:
    """There is enough to ask about, and every kind of thing."""
    kinds = Counter(entry["kind"] for entry in load_entries())
    assert kinds.total() >= 400
    assert kinds >= Counter(
        mountain=50, river=40, lake=20, ocean=5, country=60, city=60, building=15, animal=15, planet=8
    )


def test_every_field_is_typed_and_ranged() -> None:
    """No field of `Facts` goes without a check."""
    assert set(Facts.__annotations__) == TEXTS | set(RANGES)


def test_entries_are_facts() -> None:
    """Every entry has the fields of `Facts` with their types, at least one number, and plausible ones."""
    adapter = TypeAdapter(Facts)
    for entry in load_entries():
        facts = {field: value for field, value in entry.items() if field != "aliases"}
        assert adapter.validate_python(facts, strict=True) == facts
        numbers = {field: entry[field] for field in RANGES.keys() & entry.keys()}
        assert numbers, entry["name"]
        for field, number in numbers.items():
            low, high = RANGES[field]
            assert low <= number <= high, (entry["name"], field)
        assert ("population" in entry) == ("population_year" in entry), entry["name"]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("mountain", {"height_m"}),
        ("river", {"length_km"}),
        ("lake", {"area_km2", "depth_m", "elevation_m"}),
        ("ocean", {"area_km2", "depth_m"}),
        ("ocean trench", {"depth_m"}),
        ("desert", {"area_km2"}),
        ("country", {"area_km2", "population", "capital", "continent"}),
        ("building", {"height_m", "year_completed"}),
        ("waterfall", {"height_m"}),
        ("island", {"area_km2"}),
        ("planet", {"diameter_km", "mass_kg", "distance_from_sun_km", "orbital_period_days"}),
    ],
)
def test_kind_has_its_fields(kind: str, fields: set[str]) -> None:
    """All things of a kind have the facts they are asked for."""
    of_kind = [entry for entry in load_entries() if entry["kind"] == kind]
    assert of_kind
    assert [entry["name"] for entry in of_kind if not entry.keys() >= fields] == []


def test_mountains_rise_from_the_sea() -> None:
    """The height of a mountain on Earth is its elevation."""
    for entry in load_entries():
        if entry["kind"] == "mountain" and entry["name"] != "Olympus Mons":
            assert entry["height_m"] == entry["elevation_m"], entry["name"]


def test_names_are_unique() -> None:
    """Names differ; a name or alias means two entries only where the world does so."""
    names = Counter(entry["name"] for entry in load_entries())
    assert names.most_common(1)[0][1] == 1
    shared = {name for name, entries in load_index().names.items() if len(entries) > 1}
    assert shared == {"congo", "georgia", "niger", "victoria"}


def test_aliases_add_something() -> None:
    """No alias is another spelling that `normalise` forgives anyway."""
    for entry in load_entries():
        keys = [normalise(name) for name in (entry["name"], *entry.get("aliases", ()))]
        assert len(keys) == len(set(keys)), entry["name"]
        assert all(keys), entry["name"]


def test_known_orders() -> None:
    """The order of the greatest is the encyclopaedias'."""
    entries = load_entries()

    def ranking(kind: str, field: str) -> list[str]:
        of_kind = [entry for entry in entries if entry["kind"] == kind]
        return [entry["name"] for entry in sorted(of_kind, key=lambda entry: -entry[field])][:3]

    entries = tuple(entry for entry in entries if entry["name"] != "Olympus Mons")
    assert ranking("mountain", "height_m") == ["Mount Everest", "K2", "Kangchenjunga"]
    assert ranking("river", "length_km") == ["Nile", "Amazon River", "Yangtze"]
    assert ranking("lake", "area_km2") == ["Caspian Sea", "Lake Superior", "Lake Victoria"]
    assert ranking("lake", "depth_m") == ["Lake Baikal", "Lake Tanganyika", "Caspian Sea"]
    assert ranking("country", "population") == ["India", "China", "United States"]
    assert ranking("country", "area_km2") == ["Russia", "Canada", "United States"]
    assert ranking("building", "height_m") == ["Burj Khalifa", "Merdeka 118", "Shanghai Tower"]
    assert ranking("planet", "diameter_km") == ["Jupiter", "Saturn", "Uranus"]


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("The Mt. Everest", "mount everest"),
        ("Côte d'Ivoire", "cote divoire"),
        ("Łódź", "lodz"),
        ("Straße", "strasse"),
        ("km²", "km2"),
        ("Peru\N{EN DASH}Chile", "peru chile"),
        ("J. R. R.", "j r r"),
        ("D.C.", "dc"),
        ("K2's", "k2"),
    ],
)
def test_normalise(text: str, normalised: str) -> None:
    """Spellings of one name become one key."""
    assert normalise(text) == normalised
