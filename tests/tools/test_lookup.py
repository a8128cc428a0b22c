from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.tools import StructuredTool, ToolException
from pydantic import TypeAdapter

from llmcompiler_graph.tools import Facts, lookup
from llmcompiler_graph.tools.facts import load_entries


def facts(entity: str) -> Any:
    """Call the tool as an executor does."""
    return lookup.invoke({"entity": entity})


def message(entity: str) -> str:
    """Return what the tool says about a name it does not have."""
    with pytest.raises(ToolException) as raised:
        lookup.invoke({"entity": entity})
    return str(raised.value)


FOUND = [
    # names, in other spellings
    ("Mount Everest", "height_m", 8848.86),
    ("mount everest", "elevation_m", 8848.86),
    ("  MT. EVEREST ", "height_m", 8848.86),
    ("Mt.Everest", "height_m", 8848.86),
    ("Everest", "height_m", 8848.86),
    ("Chomolungma", "height_m", 8848.86),
    ("k2", "height_m", 8611),
    ("Huascaran", "height_m", 6768),
    ("Galdhopiggen", "height_m", 2469),
    ("GALDHØPIGGEN", "height_m", 2469),
    ("Popocatepetl", "height_m", 5393),
    ("Mt St Helens", "height_m", 2549),
    ("Mount Kilimanjaro", "height_m", 5895),
    ("Mount Cook", "height_m", 3724),
    ("the Nile", "length_km", 6650),
    ("Nile River", "length_km", 6650),
    ("River Nile", "length_km", 6650),
    ("Amazon", "length_km", 6400),
    ("river Thames", "length_km", 346),
    ("Congo River", "length_km", 4700),
    ("lake baikal", "depth_m", 1642),
    ("Loch Ness", "depth_m", 230),
    ("the Pacific", "area_km2", 168723000),
    ("Marianas Trench", "depth_m", 10984),
    ("Sahara Desert", "area_km2", 9200000),
    ("Kuril-Kamchatka Trench", "depth_m", 9604),
    ("burj khalifa", "year_completed", 2010),
    ("the Eiffel Tower", "height_m", 330),
    ("Big Ben", "height_m", 96),
    ("St Paul\N{RIGHT SINGLE QUOTATION MARK}s Cathedral", "year_completed", 1710),
    ("Saint Pauls Cathedral", "year_completed", 1710),
    ("Golden Gate Bridge", "length_m", 2737),
    ("USA", "area_km2", 9833520),
    ("the U.S.", "area_km2", 9833520),
    ("U.S.A.", "capital", "Washington, D.C."),
    ("UK", "population", 69100000),
    ("Turkiye", "capital", "Ankara"),
    ("DR Congo", "area_km2", 2344858),
    ("Democratic Republic of the Congo", "area_km2", 2344858),
    ("Congo-Brazzaville", "area_km2", 342000),
    ("Georgia (country)", "capital", "Tbilisi"),
    ("Georgia, USA", "population", 10711908),
    ("NYC", "population", 8804190),
    ("Sao Paulo", "population", 11451999),
    ("Paris, France", "population", 2102650),
    ("London (UK)", "population", 8799800),
    ("Mount Fuji in Japan", "height_m", 3776),
    ("city of Rome", "area_km2", 1285),
    ("cheetah", "max_speed_km_h", 104),
    ("planet Jupiter", "diameter_km", 139820),
    ("MIT", "year_founded", 1861),
    # attributes, taken off
    ("height of Mount Everest", "height_m", 8848.86),
    ("Mount Everest height in metres", "height_m", 8848.86),
    ("What is the height of Mount Everest?", "height_m", 8848.86),
    ("Mount Everest's elevation", "elevation_m", 8848.86),
    ("How deep is Lake Baikal?", "depth_m", 1642),
    ("maximum depth of the Mariana Trench in m", "depth_m", 10984),
    ("surface area of Lake Superior in square kilometres", "area_km2", 82100),
    ("length of the Nile in km", "length_km", 6650),
    ("France population", "population", 68400000),
    ("total area of Canada (km²)", "area_km2", 9984670),
    ("top speed of a cheetah in km/h", "max_speed_km_h", 104),
    ("how fast is an ostrich", "max_speed_km_h", 70),
    ("distance from the Sun of Mars", "distance_from_sun_km", 227940000),
    ("Eiffel Tower year completed", "year_completed", 1889),
]


@pytest.mark.parametrize(("entity", "field", "value"), FOUND)
def test_found(entity: str, field: str, value: object) -> None:
    """A name in any usual spelling, with or without the attribute asked for, finds its entry."""
    assert facts(entity)[field] == value


NOT_FOUND = [
    "Everest Base Camp",
    "Mount Everst",
    "height of Mount Everest in feet",
    "prominence of K2",
    "average depth of Lake Baikal",
    "GDP of France",
    "capital of France",
    "highest mountain in Africa",
    "Everest and K2",
    "Mount Everest height - K2 height",
    "Paris, Texas",
    "Victoria, Canada",
    "Kenya mountain",
    "Mississippi",
    "Eiffel",
    "Lake",
    "of",
    "the",
    "",
    "?!",
]


@pytest.mark.parametrize("entity", NOT_FOUND)
def test_never_a_guess(entity: str) -> None:
    """What is not a name, or has a fact the data lacks, is refused even if it contains a known name."""
    assert message(entity).startswith(f"no facts for {entity!r}: ")


ONE_NAME = "Give one name and nothing else"
MESSAGES = {
    "Everest Base Camp": f"no facts for 'Everest Base Camp': did you mean 'Mount Everest'? {ONE_NAME}",
    "K2 and Everest": f"no facts for 'K2 and Everest': did you mean 'K2' or 'Mount Everest'? {ONE_NAME}",
    "Lake Bajkal": f"no facts for 'Lake Bajkal': did you mean 'Lake Baikal'? {ONE_NAME}",
    "GDP of Georgia": (
        f"no facts for 'GDP of Georgia': did you mean 'Georgia (country)' or 'Georgia (US state)'? {ONE_NAME}"
    ),
    "Xyzzy": "no facts for 'Xyzzy': give the name of one well-known place or thing, such as 'Mount Everest'",
    "Congo": (
        "'Congo' could be 'Congo River', 'Democratic Republic of the Congo' or 'Republic of the Congo':"
        " ask for one of these"
    ),
    "area of Georgia": "'area of Georgia' could be 'Georgia (country)' or 'Georgia (US state)': ask for one of these",
    "Victoria": "'Victoria' could be 'Lake Victoria', 'Victoria Falls' or 'Victoria Island': ask for one of these",
    "Niger": "'Niger' could be 'Niger River' or 'Niger (country)': ask for one of these",
}


@pytest.mark.parametrize(("entity", "expected"), MESSAGES.items())
def test_messages(entity: str, expected: str) -> None:
    """Of a name that is not found, the error names what could have been meant."""
    assert message(entity) == expected


@pytest.mark.parametrize("entity", ["Congo", "Georgia", "Victoria", "Niger"])
def test_every_alternative_is_found(entity: str) -> None:
    """What an ambiguous name is said to mean can be asked for as it stands there."""
    alternatives = message(entity).split("'")[3::2]
    assert len({str(facts(alternative)) for alternative in alternatives}) == len(alternatives) >= 2


def test_every_entry_is_found() -> None:
    """Every entry is found by its name with its kind, and the places it names are found where the data has them."""
    for entry in load_entries():
        assert facts(f"{entry['name']} ({entry['kind']})")["name"] == entry["name"]
        if "highest_point" in entry:
            assert facts(entry["highest_point"])["height_m"] > 500
        if "capital" in entry:
            assert facts(entry["capital"])["kind"] in {"city", "country"}


@given(st.text(max_size=40))
def test_any_text(entity: str) -> None:
    """Any text is an entry or a `ToolException`: nothing else is raised."""
    try:
        answer = facts(entity)["name"]
    except ToolException as error:
        answer = str(error)
    assert isinstance(answer, str)


def test_result_is_the_callers() -> None:
    """Changing a result does not change the next one."""
    facts("K2").clear()
    assert facts("K2")["height_m"] == 8611


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_async() -> None:
    """`lookup` can be awaited."""
    assert (await lookup.ainvoke({"entity": "K2"}))["height_m"] == 8611


def test_declares_its_types_and_nature() -> None:
    """The plan checker finds the return type, and the optimiser that calls may be shared."""
    assert isinstance(lookup, StructuredTool)
    assert lookup.func is not None
    assert get_type_hints(lookup.func)["return"] is Facts
    properties = TypeAdapter(Facts).json_schema()["properties"]
    assert properties["height_m"]["type"] == "number"
    assert properties["population"]["type"] == "integer"
    assert lookup.metadata == {"readOnlyHint": True, "idempotentHint": True}
    assert lookup.args == {"entity": {"title": "Entity", "type": "string"}}


def test_description_names_every_field() -> None:
    """A planner model reads in the description every field it can refer to."""
    missing = {field for field in Facts.__annotations__ if f"`{field}`" not in lookup.description}
    assert missing == {"population_year"}
    assert "\n " not in lookup.description
