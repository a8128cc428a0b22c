"""WebShop's products and what customers want of them (arXiv 2207.01206, MIT): the small set of 1,000, or the full set.

A goal is an instruction such as "Find me easy carry, high quality refillable containers with rose gold, and price lower
than 30.00 dollars" with what it is made of. There is one for each combination of a product's options, 6,910 in the
small set. For the full set, of 1.18 million products, people have written others.
The original draws prices and price limits before it seeds its random numbers, so that no two runs had the same goals.
Here all three seeds are fixed: `PRICE_SEED`, `LIMIT_SEED`, and the original's own `SHUFFLE_SEED`. After shuffling, the
first 500 goals are the test set.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcompiler_graph.evaluation.data import DataError, json_lines_of, json_of

__all__ = (
    "LIMIT_SEED",
    "PRICE_SEED",
    "SHUFFLE_SEED",
    "TEST_GOALS",
    "Goal",
    "Product",
    "Shop",
    "read_full_shop",
    "read_shop",
)

PRICE_SEED, LIMIT_SEED, SHUFFLE_SEED = 0, 1, 233
TEST_GOALS = 500
_LIMITS = [10.0 * tens for tens in range(1, 100)]  # US dollars
_NO_LIMIT = 1_000_000.0
_PRICE_IF_UNKNOWN = 100.0


@dataclass(frozen=True, slots=True)
class Product:
    """What can be bought."""

    asin: str
    """Its id."""
    title: str
    """Its name."""
    description: str
    """The text of its description page."""
    features: tuple[str, ...]
    """The points of its feature page."""
    price: float
    """US dollars; where the catalogue has two, drawn between them with `PRICE_SEED`."""
    department: str
    """One of five."""
    categories: tuple[str, ...]
    """Its place in the catalogue, from the top."""
    query: str
    """What it was found by when the catalogue was collected."""
    options: Mapping[str, tuple[str, ...]]
    """What must be chosen when buying it, `{name: values}`."""
    attributes: tuple[str, ...]
    """Short properties, such as "easy carry"."""
    title_nouns: frozenset[str]
    """The nouns of its title in lower case, tagged beforehand."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a customer wants."""

    asin: str
    """The product it was made of."""
    instruction: str
    """The wish in words: all that a shopper is told."""
    attributes: tuple[str, ...]
    """The properties wanted."""
    options: Mapping[str, str]
    """The options wanted."""
    price_limit: float
    """What the product may cost, in US dollars."""


@dataclass(frozen=True, slots=True)
class Shop:
    """The products and what customers want of them."""

    products: Mapping[str, Product]
    """By id, in the catalogue's order."""
    goals: Sequence[Goal]
    """Shuffled: the first `TEST_GOALS` are the test set."""


def read_shop(directory: Path) -> Shop:
    """Read the small set: `products_1000.jsonl`, `items_ins_v2_1000.json` and `title_nouns.json`.

    Raises:
        DataError: Products are without nouns.
    """
    products = _products(json_lines_of(directory / "products_1000.jsonl"), directory)
    return _shop(products, _goals(products, json_of(directory / "items_ins_v2_1000.json")))


def read_full_shop(directory: Path) -> Shop:
    """Read the full set: `items_shuffle.json`, `items_ins_v2.json`, `items_human_ins.json` and `title_nouns.json`.

    Raises:
        DataError: Products are without nouns.
    """
    items, wishes = json_of(directory / "items_shuffle.json"), json_of(directory / "items_ins_v2.json")
    products = _products(_catalogue(items, wishes), directory)
    return _shop(products, _human_goals(products, json_of(directory / "items_human_ins.json")))


def _products(raw: Sequence[Mapping[str, Any]], directory: Path) -> list[Product]:
    path = directory / "title_nouns.json"
    nouns = json_of(path)
    if lacking := [each["asin"] for each in raw if each["asin"] not in nouns]:
        msg = (
            f"{str(path)!r} lacks {len(lacking):,} of the {len(raw):,} products, {lacking[0]!r} first: add the nouns "
            "and proper nouns of their names, in lower case, as spaCy's en_core_web_sm tags them"
        )
        raise DataError(msg)
    prices = random.Random(PRICE_SEED)
    return [_product(each, nouns[each["asin"]], prices) for each in raw]


def _shop(products: Iterable[Product], goals: Iterable[Goal]) -> Shop:
    shuffled = list(goals)
    random.Random(SHUFFLE_SEED).shuffle(shuffled)
    return Shop({each.asin: each for each in products}, shuffled)


def _catalogue(official: Iterable[Mapping[str, Any]], wishes: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The products of `items_shuffle.json` in the form of `products_1000.jsonl`, the first of each id."""
    found: dict[str, dict[str, Any]] = {}
    for item in official:
        asin, points, options = item["asin"], item["small_description"], item["customization_options"] or {}
        if asin == "nan" or len(asin) > 10 or asin in found:
            continue
        prices = [float(re.sub(r"[^\d.]", "", each)) for each in (item.get("pricing") or "").split("$")[1:]][:2]
        found[asin] = {
            **{key: item[key] for key in ("asin", "name", "full_description", "product_category", "category")},
            "query": item["query"].lower().strip(),
            "BulletPoints": points if isinstance(points, list) else [points],
            "pricing": prices,
            "Price": " to ".join(f"${price}" for price in prices or [_PRICE_IF_UNKNOWN]),
            "options": {
                name.lower(): [each["value"].strip().replace("/", " | ").lower() for each in values]
                for name, values in options.items()
                if values is not None
            },
            "Attributes": wishes.get(asin, {}).get("attributes", ["DUMMY_ATTR"]),
        }
    return list(found.values())


def _product(raw: Mapping[str, Any], nouns: Iterable[str], prices: random.Random) -> Product:
    match raw["pricing"]:
        case [price]:
            price = float(price)
        case [low, high]:
            price = prices.uniform(low, high)
        case _:
            price = _PRICE_IF_UNKNOWN
    return Product(
        asin=raw["asin"],
        title=raw["name"],
        description=raw["full_description"],
        features=tuple(raw["BulletPoints"]),
        price=price,
        department=raw["category"],
        categories=tuple(each.strip() for each in raw["product_category"].split("\u203a")),
        query=raw["query"],
        options={name: tuple(values) for name, values in raw["options"].items()},
        attributes=tuple(raw["Attributes"]),
        title_nouns=frozenset(nouns),
    )


def _goals(products: Iterable[Product], wishes: Mapping[str, Mapping[str, Any]]) -> Iterable[Goal]:
    limits = random.Random(LIMIT_SEED)
    for product in products:
        wish = wishes.get(product.asin, {})
        if "instruction" not in wish:
            continue
        limit, in_words = _limit(product, limits)
        names = sorted(product.options)
        for values in itertools.product(*(product.options[name] for name in names)):
            options = dict(zip(names, values, strict=True))
            chosen = ", and ".join(f"{name}: {value}" for name, value in options.items())
            instruction = f"{wish['instruction']}{chosen and f' with {chosen}'}{in_words}"
            yield Goal(product.asin, instruction, tuple(wish["instruction_attributes"]), options, limit)


def _human_goals(products: Iterable[Product], said: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterable[Goal]:
    limits = random.Random(LIMIT_SEED)
    for product in products:
        for wish in said.get(product.asin, ()):
            if not wish["instruction_attributes"]:
                continue
            limit, in_words = _limit(product, limits)
            wanted = wish["instruction_options"]  # of some, values without names
            options = wanted if isinstance(wanted, dict) else {str(n): value for n, value in enumerate(wanted, 1)}
            instruction = wish["instruction"].strip(".") + in_words
            yield Goal(product.asin, instruction, tuple(wish["instruction_attributes"]), options, limit)


def _limit(product: Product, limits: random.Random) -> tuple[float, str]:
    """Draw a price limit above a product's price; return it and how an instruction says it."""
    above = [each for each in _LIMITS if each > product.price][:4]
    if len(above) < 2:
        return _NO_LIMIT, ""
    limit = max(limits.sample(above, 2))
    return limit, f", and price lower than {limit:.2f} dollars"
