"""The shop in small, and on the real small set where it is at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmcompiler_graph.evaluation.benchmarks.webshop import WEBSHOP, WEBSHOP_FULL
from llmcompiler_graph.evaluation.data import DataError, dataset_directory
from llmcompiler_graph.evaluation.deterministic.webshop_shopper import choose_at_once, shop_for
from llmcompiler_graph.evaluation.webshop.products import TEST_GOALS, Shop, read_full_shop, read_shop
from llmcompiler_graph.evaluation.webshop.reward import reward
from llmcompiler_graph.evaluation.webshop.search import SearchEngine
from tests.shared import shared

LAMP: dict[str, Any] = {
    "asin": "LAMP",
    "name": "Desk lamp with dimmer",
    "full_description": "A lamp.",
    "pricing": [19.0],
    "Price": "$19.00",
    "product_category": "Home \u203a Lighting \u203a Lamps",
    "category": "garden",
    "query": "desk lamps",
    "BulletPoints": ["Made of steel", "energy saving"],
    "options": {"color": ["light blue", "red"], "size": ["small", "large"]},
    "Attributes": ["energy saving", "steel frame"],
}
SOFA = {
    **LAMP,
    "asin": "SOFA",
    "name": "Sofa for lamp lovers, the desk lamp of sofas",
    "pricing": [100.0, 300.0],
    "product_category": "Home \u203a Furniture \u203a Sofas",
    "query": "sofas",
    "BulletPoints": ["Soft"],
    "options": {},
    "Attributes": ["soft"],
}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Two products, one of which somebody wants."""
    (tmp_path / "products_1000.jsonl").write_text("\n".join(map(json.dumps, [LAMP, SOFA])))
    wish = {
        "attributes": LAMP["Attributes"],
        "instruction": "Find me energy saving desk lamps with steel frame",
        "instruction_attributes": ["energy saving", "steel frame"],
    }
    (tmp_path / "items_ins_v2_1000.json").write_text(json.dumps({"LAMP": wish, "SOFA": {"attributes": ["soft"]}}))
    nouns = {"LAMP": ["desk", "lamp", "dimmer"], "SOFA": ["sofa", "lovers"]}
    (tmp_path / "title_nouns.json").write_text(json.dumps(nouns))
    return read_shop(tmp_path)


OFFICIAL_LAMP: dict[str, Any] = {
    "asin": "LAMP",
    "name": "Desk lamp with dimmer",
    "full_description": "A lamp.",
    "small_description": ["Made of steel", "energy saving"],
    "pricing": "$19.00",
    "product_category": "Home \u203a Lighting \u203a Lamps",
    "category": "garden",
    "query": " Desk lamps",
    "customization_options": {
        "Color": [{"value": "Light Blue"}, {"value": "red "}],
        "Size": None,
        "Fit": [{"value": "S/M"}],
    },
}


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """A directory with the full set's files: a lamp, twice, a sofa without a price, a bed, and what is no product."""
    sofa = {
        **OFFICIAL_LAMP,
        "asin": "SOFA",
        "pricing": "",
        "customization_options": None,
        "small_description": "Soft",
    }
    bed = {**OFFICIAL_LAMP, "asin": "BED", "pricing": "$1,000.50$2,000"}
    items = [OFFICIAL_LAMP, {**OFFICIAL_LAMP, "name": "Again"}, sofa, bed, {**OFFICIAL_LAMP, "asin": "nan"}]
    files = {
        "items_shuffle": items,
        "items_ins_v2": {"LAMP": {"attributes": ["steel frame"]}, "BED": {"attributes": ["soft"]}},
        "items_human_ins": {},
        "title_nouns": {"LAMP": ["lamp"], "SOFA": ["sofa"], "BED": []},
    }
    (tmp_path / "webshop_full").mkdir()
    for name, content in files.items():
        (tmp_path / "webshop_full" / f"{name}.json").write_text(json.dumps(content))
    return dataset_directory("webshop_full", tmp_path)


def test_the_full_set(official: Path) -> None:
    """WebShop's own files are read: prices, options and points as its pages have them, each product once."""
    shop = read_full_shop(official)
    lamp, sofa, bed = shop.products.values()
    assert (lamp.title, lamp.price, lamp.query) == (LAMP["name"], 19, "desk lamps")
    assert lamp.options == {"color": ("light blue", "red"), "fit": ("s | m",)}
    assert (lamp.features, lamp.attributes) == (("Made of steel", "energy saving"), ("steel frame",))
    assert (sofa.price, sofa.features, sofa.options) == (100, ("Soft",), {})
    assert sofa.attributes == ("DUMMY_ATTR",)
    assert 1000.5 <= bed.price <= 2000


def test_products_without_nouns_are_counted(official: Path) -> None:
    """The reward compares nouns: a file that lacks some is an error that says where, how many, and what to add."""
    (official / "title_nouns.json").write_text(json.dumps({"LAMP": ["lamp"]}))
    with pytest.raises(DataError) as raised:
        read_full_shop(official)
    assert f"{str(official / 'title_nouns.json')!r} lacks 2 of the 3 products, 'SOFA' first: add the" in str(
        raised.value
    )


def test_the_two_sets_are_benchmarks_of_their_own(official: Path) -> None:
    """Whatever lies beside it, each set is read from its own files: their records are never taken for each other."""
    data = official.parent
    (official / "items_human_ins.json").write_text(
        json.dumps({"LAMP": [{"instruction": "a lamp", "instruction_attributes": ["red"], "instruction_options": []}]})
    )
    assert WEBSHOP_FULL.load(data)[0].question.startswith("a lamp, and price")
    with pytest.raises(DataError, match=r"no file 'webshop/products_1000\.jsonl'"):
        WEBSHOP.load(data)
    (official / "items_ins_v2.json").unlink()
    with pytest.raises(DataError, match=r"no file 'webshop_full/items_ins_v2\.json' .* WebShop's full set"):
        WEBSHOP_FULL.load(data)


@pytest.mark.parametrize("options", [["red", "s | m"], {"color": "red", "fit": "s | m"}])
def test_human_goals(official: Path, options: Any) -> None:
    """The full set's goals are what people have said of its products, but for what names no attributes."""
    said = {
        "instruction": "i want a red lamp.",
        "instruction_attributes": ["steel frame"],
        "instruction_options": options,
    }
    human = {"LAMP": [said, {**said, "instruction_attributes": []}], "GONE": [said]}
    (official / "items_human_ins.json").write_text(json.dumps(human))
    shop = read_full_shop(official)
    (goal,) = shop.goals
    assert goal.instruction == f"i want a red lamp, and price lower than {goal.price_limit:.2f} dollars"
    lamp = shop.products["LAMP"]
    assert reward(lamp, {"color": "red", "fit": "s | m"}, goal, lamp) == 1
    assert reward(lamp, {"color": "red"}, goal, lamp) == pytest.approx(3 / 4)


def test_there_is_a_goal_for_each_combination_of_options(shop: Shop) -> None:
    """Goals name attributes, options and a price limit above the price; their order and limits are the same again."""
    assert len(shop.goals) == 4
    goal = next(goal for goal in shop.goals if goal.options == {"color": "light blue", "size": "large"})
    wish = "Find me energy saving desk lamps with steel frame with color: light blue, and size: large"
    assert goal.instruction == f"{wish}, and price lower than {goal.price_limit:.2f} dollars"
    assert goal.price_limit > shop.products["LAMP"].price
    assert 100 <= shop.products["SOFA"].price <= 300


def test_the_reward_counts_what_is_right(shop: Shop) -> None:
    """Buying what was meant is worth 1; less right options, another kind of thing, less."""
    lamp, sofa = shop.products.values()
    goal = next(goal for goal in shop.goals if goal.options == {"color": "light blue", "size": "large"})
    assert reward(lamp, goal.options, goal, lamp) == 1
    assert reward(lamp, {"color": "sky blue", "size": "large"}, goal, lamp) == 1  # by the colour's plain name
    assert reward(lamp, {"color": "red", "size": "large"}, goal, lamp) == pytest.approx(4 / 5)
    assert reward(lamp, {}, goal, lamp) == pytest.approx(3 / 5)
    assert reward(sofa, {}, goal, lamp) == 0  # no noun in common


def test_search_finds_by_stems(shop: Shop) -> None:
    """Words are compared by their stems, stop words and unknown words find nothing."""
    engine = SearchEngine(shop.products.values())
    assert engine.search("the dimmers")[0].asin == "LAMP"
    assert {each.asin for each in engine.search("lamps")} == {"LAMP", "SOFA"}
    assert engine.search("of the") == engine.search("zebra") == []


def test_exploring_all_finds_more_and_takes_no_longer(shop: Shop) -> None:
    """A rule that sees every hit is not fooled by the first one; all pages are opened at once."""
    engine = SearchEngine(shop.products.values())
    goal = shop.goals[0]
    every = shop_for(shop, engine, [goal], "explore all")[0]
    first = shop_for(shop, engine, [goal], "first hit")[0]
    one_by_one = shop_for(shop, engine, [goal], "explore all", max_concurrency=1)[0]
    assert every.reward == 1
    assert every.seconds == pytest.approx(first.seconds)
    assert one_by_one.seconds > every.seconds
    assert [every.reward] == choose_at_once(shop, engine, [goal], hits=10, attributes=False)


def test_the_oracle_gets_everything() -> None:
    """On the real set there are 6,910 goals, and buying what was meant is worth 1 for every one of them."""
    shop = read_shop(shared("data", "webshop"))
    assert len(shop.products) == 1000
    assert len(shop.goals) == 6910
    assert {
        reward(shop.products[goal.asin], goal.options, goal, shop.products[goal.asin]) for goal in shop.goals[:2000]
    } == {1.0}


def test_exploring_all_is_worth_it() -> None:
    """On test goals of the real set, the rule with all ten hits before it does far better than with the first."""
    shop = read_shop(shared("data", "webshop"))
    engine = SearchEngine(shop.products.values())
    goals = shop.goals[: TEST_GOALS // 5]
    ran = shop_for(shop, engine, goals[:10], "explore all")
    alone = choose_at_once(shop, engine, goals, hits=10, attributes=False)
    assert [each.reward for each in ran] == alone[:10]
    assert sum(alone) > sum(choose_at_once(shop, engine, goals, hits=1, attributes=False)) + 5
