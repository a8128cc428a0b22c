"""WebShop's reward of a purchase, from 0 to 1 (section 3 of arXiv 2207.01206): the official formula.

    reward = type * (attributes found + options found + [price within the limit]) / (attributes + options + 1)

`type` is 1 for a product of the wanted kind and less for another. Texts match if their token-set ratio (rapidfuzz, on
lower-cased words) is above 85. Nouns of titles come tagged with the products, so no tagger is needed. Options are
compared by value; the original compares synthetic goals' `(name, value)` as text, which is equal or laxer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from llmcompiler_graph.evaluation.webshop.products import Goal, Product

__all__ = ("reward",)

_ALIKE = 85  # of 100
_COLOURS = """
almond amber apricot aqua ash aubergine azure beige black blonde blue bronze brown burgundy camel caramel champagne
charcoal chocolate cinnamon coffee copper coral cream crimson cyan denim emerald fuchsia ginger gold gray green grey
honey indigo ivory jade khaki lavender lemon lilac lime magenta mahogany maroon mauve mint mustard natural navy nude
ochre olive orange orchid peach pearl pink plum purple red rose ruby rust sage salmon sand sapphire scarlet sienna
silver tan taupe teal terracotta tomato turquoise umber vanilla violet walnut wheat white wine yellow
"""
_COLOUR = re.compile("|".join(_COLOURS.split()))


def reward(product: Product, options: Mapping[str, str], goal: Goal, wanted: Product) -> float:
    """Judge a purchase.

    Args:
        product: What was bought.
        options: The options chosen, `{name: value}`.
        goal: What was wanted.
        wanted: The product of which the goal was made.
    """
    attributes = sum(_has(product, attribute) for attribute in goal.attributes)
    chosen = [_coloured(value) for value in options.values()]
    found = sum(any(_alike(_coloured(value), each) for each in chosen) for value in goal.options.values())
    within = product.price <= goal.price_limit
    return _kind(product, wanted) * (attributes + found + within) / (len(goal.attributes) + len(goal.options) + 1)


def _kind(product: Product, wanted: Product) -> float:
    """How far a product is of the wanted kind."""
    nouns = wanted.title_nouns
    share = len(product.title_nouns & nouns) / len(nouns) if nouns else 0.2
    if share == 0:
        return 0.0
    if share < 0.1:
        return 0.1
    same_place = len(set(product.categories) & set(wanted.categories)) >= 2
    return 1.0 if product.query == wanted.query or same_place or share > 0.2 else 0.5


def _has(product: Product, attribute: str) -> bool:
    if any(_alike(each, attribute) for each in product.attributes):
        return True
    texts = (product.title, " ".join(product.features), product.description)
    return any(attribute in text.lower() for text in texts)


def _alike(one: str, other: str) -> bool:
    from rapidfuzz import fuzz, utils  # optional: the evaluation extra

    return round(fuzz.token_set_ratio(one, other, processor=utils.default_process)) > _ALIKE


def _coloured(option: str) -> str:
    """A colour's plain name: "light blue" is "blue"."""
    found = _COLOUR.search(option)
    return found[0] if found else option
