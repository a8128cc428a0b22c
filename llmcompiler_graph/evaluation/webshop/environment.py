"""WebShop as a text environment: pages to read, and two actions, `search[words]` and `click[what]`.

    search page → results, ten a page → product page, options to choose → its four sub-pages, and back → bought

An action that the page does not offer changes nothing, as in the original. This is for whoever measures an agent of
their own in the original's form: `benchmarks/webshop.py` asks the same questions with two tools instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llmcompiler_graph.evaluation.webshop.products import Goal, Product, Shop
from llmcompiler_graph.evaluation.webshop.reward import reward
from llmcompiler_graph.evaluation.webshop.search import SearchEngine

__all__ = ("BUY", "RESULTS_PER_PAGE", "Session", "Step")

RESULTS_PER_PAGE = 10  # also what the tools named `search` return
BUY = "buy now"
_BACK, _NEXT, _PREVIOUS = "back to search", "next >", "< prev"
_SUB_PAGES = ("description", "features", "reviews", "attributes")
_ACTION = re.compile(r"\s*(search|click)\[(.*)\]\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """What the environment says to an action."""

    observation: str
    """The page's text, its parts separated by `[SEP]`."""
    reward: float
    """0 until something is bought, then what it is worth, up to 1."""
    done: bool
    """Whether something was bought: no further action counts."""


class Session:
    """One customer's visit.

    Args:
        shop: The products.
        engine: Finds them.
        goal: What the customer wants.
    """

    def __init__(self, shop: Shop, engine: SearchEngine, goal: Goal) -> None:
        self.goal = goal
        """What the customer wants."""
        self.options: dict[str, str] = {}
        """The options chosen of the product that is looked at, `{name: value}`."""
        self._shop = shop
        self._engine = engine
        self._hits: Sequence[Product] | None = None  # of the last search
        self._page = 0
        self._product: Product | None = None
        self._sub_page: str | None = None
        self._step = Step("", 0.0, False)
        self._step = self._shown()

    @property
    def observation(self) -> str:
        """The page that is open."""
        return self._step.observation

    @property
    def clickable(self) -> tuple[str, ...]:
        """What can be clicked, in lower case; nothing on the search page, where one can only search."""
        if self._step.done or self._hits is None:
            return ()
        if self._sub_page is not None:
            return (_BACK, _PREVIOUS)
        if self._product is not None:
            values = [value for each in self._product.options.values() for value in each]
            return (_BACK, _PREVIOUS, *_SUB_PAGES, BUY, *(value.lower() for value in values))
        more = [_NEXT] if (self._page + 1) * RESULTS_PER_PAGE < len(self._hits) else []
        back = [_PREVIOUS] if self._page else []
        return (_BACK, *more, *back, *(each.asin.lower() for each in self._listed()))

    def act(self, action: str) -> Step:
        """Do `search[words]` or `click[what]`."""
        match = _ACTION.fullmatch(action)
        if match is not None and not self._step.done:
            kind, what = match[1], match[2].strip().lower()
            if kind == "search" and self._hits is None and what:
                self._hits, self._page = self._engine.search(what), 0
            elif kind == "click" and what in self.clickable:
                if what == BUY:
                    return self._bought()
                self._click(what)
        self._step = self._shown()
        return self._step

    def _click(self, what: str) -> None:
        if what == _BACK:
            self._hits = self._product = self._sub_page = None
            self.options = {}
        elif what in _SUB_PAGES and self._product is not None:
            self._sub_page = what
        elif what == _PREVIOUS and self._sub_page is not None:
            self._sub_page = None
        elif what == _PREVIOUS and self._product is not None:
            self._product, self.options = None, {}
        elif what in (_NEXT, _PREVIOUS):
            self._page += 1 if what == _NEXT else -1
        elif self._product is not None:
            name = next(n for n, values in self._product.options.items() if what in map(str.lower, values))
            value = next(each for each in self._product.options[name] if each.lower() == what)
            self.options[name] = value
        else:
            self._product = next(each for each in self._listed() if each.asin.lower() == what)

    def _bought(self) -> Step:
        assert self._product is not None
        worth = reward(self._product, self.options, self.goal, self._shop.products[self.goal.asin])
        self._step = Step(
            f"Thank you for shopping with us! [SEP] Your score (min 0.0, max 1.0) [SEP] {worth}", worth, True
        )
        return self._step

    def _listed(self) -> Sequence[Product]:
        start = self._page * RESULTS_PER_PAGE
        return (self._hits or ())[start : start + RESULTS_PER_PAGE]

    def _shown(self) -> Step:
        instruction = ["WebShop", "Instruction:", self.goal.instruction]
        if self._step.done:
            return self._step
        if self._hits is None:
            return Step(" [SEP] ".join([*instruction, "Search"]), 0.0, False)
        if self._product is None:
            parts = [*instruction, "Back to Search", f"Page {self._page + 1} (Total results: {len(self._hits)})"]
            parts += [name for name, label in (("Next >", _NEXT), ("< Prev", _PREVIOUS)) if label in self.clickable]
            for each in self._listed():
                parts += [each.asin, each.title, each.shown_price]
        elif self._sub_page is not None:
            parts = [*instruction, "Back to Search", "< Prev", *_sub_page(self._product, self._sub_page)]
        else:
            parts = [*instruction, "Back to Search", "< Prev"]
            for name, values in self._product.options.items():
                parts += [name, *values]
            parts += [self._product.title, f"Price: {self._product.shown_price}", "Rating: N.A."]
            parts += [*map(str.title, _SUB_PAGES), "Buy Now"]
        return Step(" [SEP] ".join(parts), 0.0, False)


def _sub_page(product: Product, name: str) -> list[str]:
    match name:
        case "description":
            return [product.description]
        case "features":
            return [*product.features]
        case "attributes":
            return [*product.attributes]
        case _:
            return ["None"]  # the set has no reviews
