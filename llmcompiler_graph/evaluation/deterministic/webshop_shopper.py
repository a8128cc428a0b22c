"""WebShop with a shopper of fixed rules: buying the first hit, against exploring all ten at once by `${1[*].asin}`.

Both search for the instruction and buy what a rule picks from the pages they have opened, with the options that the
instruction names. The rule sees what a shopper sees: the instruction and the pages. The page of attributes is left out
(instructions are made of them) but in one row, as the paper's `explore` opens it too. Only the plans differ:

    1. search(query="…")                        1. search(query="…")
    2. explore(asin=${1[0].asin})               2. explore(asin=${1[*].asin})
    3. choose(instruction="…", pages=[$2])      3. choose(instruction="…", pages=$2)
    4. buy(asin=${3.asin}, options=${3.options})

Latency is modelled: `PAGE_SECONDS` for every page (a search, a product, a purchase), and the paper's planner and answer
times (appendix E.1) for the two model calls. The plan streams, so the search starts before it is complete.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, TypeAlias

from langchain_core.tools import BaseTool, tool
from typing_extensions import TypedDict  # on Python 3.11 pydantic wants this one

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.evaluation.deterministic.rows import Row
from llmcompiler_graph.evaluation.webshop.products import Goal, Product, Shop
from llmcompiler_graph.evaluation.webshop.reward import reward
from llmcompiler_graph.evaluation.webshop.search import RESULTS_PER_PAGE, SearchEngine
from llmcompiler_graph.testing import ScriptedModel, run_virtual

__all__ = ("PAGE_SECONDS", "Hit", "Page", "Purchase", "Shopper", "choose", "plan_text", "query_of", "rows", "shop_for")

PAGE_SECONDS, PLAN_SECONDS, JOIN_SECONDS = 0.61, 1.88, 1.62  # a page takes what a search takes in the paper
Shopper: TypeAlias = Literal["first hit", "explore all"]

_LIMIT = re.compile(r",? and price lower than (\d+(?:\.\d+)?) dollars")
_WORD = re.compile(r"[a-z0-9]+")


class Hit(TypedDict):
    """A line of the result page."""

    asin: str
    title: str
    price: float


class Page(TypedDict):
    """What exploring a product shows: its page and sub-pages."""

    asin: str
    title: str
    price: float
    options: dict[str, list[str]]
    attributes: list[str]
    features: list[str]
    description: str


class Purchase(TypedDict):
    """What to buy."""

    asin: str
    options: dict[str, str]


@dataclass(frozen=True, slots=True)
class Shopped:
    """What became of one goal."""

    reward: float
    """The official reward, 0 to 1."""
    seconds: float
    """From instruction to answer, in virtual seconds."""


def query_of(instruction: str) -> str:
    """What to search for: the instruction without its price."""
    return _LIMIT.sub("", instruction).removeprefix("Find me ")


def plan_text(instruction: str, shopper: Shopper) -> str:
    """Write a shopper's plan."""
    which, pages = ("0", "[$2]") if shopper == "first hit" else ("*", "$2")

    def text(given: str) -> str:
        return json.dumps(given.replace("$", "$$"), ensure_ascii=False)

    return "\n".join(
        [
            f"1. search(query={text(query_of(instruction))})",
            f"2. explore(asin=${{1[{which}].asin}})",
            f"3. choose(instruction={text(instruction)}, pages={pages})",
            "4. buy(asin=${3.asin}, options=${3.options})",
            "5. join()",
        ]
    )


def choose(instruction: str, pages: list[Page]) -> Purchase:
    """Pick the page with the most of what the instruction names, the earlier of equals, and the options it names."""
    limit = _LIMIT.search(instruction)
    wish = query_of(instruction).lower()
    words = set(_WORD.findall(wish))
    best: tuple[float, Purchase] | None = None
    for page in pages:
        options = _options(wish, page["options"])
        named = [attribute for attribute in page["attributes"] if set(_WORD.findall(attribute.lower())) <= words]
        affordable = limit is None or page["price"] <= float(limit[1])
        shown = " ".join([page["title"], *page["features"], page["description"], *page["attributes"]]).lower()
        covered = len(words & set(_WORD.findall(shown))) / (len(words) or 1)
        worth = len(options) + len(named) + affordable + covered
        if best is None or worth > best[0]:
            best = worth, {"asin": page["asin"], "options": options}
    if best is None:
        msg = "nothing was found"
        raise ValueError(msg)
    return best[1]


def _options(wish: str, offered: dict[str, list[str]]) -> dict[str, str]:
    """The values that the wish names: as `color: red` if it says so, else anywhere; of several the longest."""
    found = {}
    for name, values in offered.items():
        said = [value for value in values if re.search(rf"\b{re.escape(f'{name}: {value}'.lower())}(?:,|$)", wish)]
        named = said or [value for value in values if re.search(rf"(?<!\w){re.escape(value.lower())}(?!\w)", wish)]
        if named:
            found[name] = max(named, key=len)
    return found


def shop_for(
    shop: Shop,
    engine: SearchEngine,
    goals: Sequence[Goal],
    shopper: Shopper,
    *,
    attributes: bool = False,
    max_concurrency: int | None = None,
) -> list[Shopped]:
    """Run a shopper's plan for each goal through the whole graph, on a virtual clock.

    Args:
        shop: The products.
        engine: Finds them.
        goals: What is wanted.
        shopper: Which plan.
        attributes: Whether exploring opens the page of attributes.
        max_concurrency: How many pages may be opened at a time.
    """
    bought: list[Purchase] = []
    tools = _tools(shop, engine, bought, attributes=attributes)
    planner = ScriptedModel(
        [plan_text(goal.instruction, shopper) for goal in goals], seconds_per_reply=PLAN_SECONDS, chunk_size=0
    )
    joiner = ScriptedModel(["Finish: bought"] * len(goals), seconds_per_reply=JOIN_SECONDS, chunk_size=0)
    graph = create_llm_compiler(planner, tools, joiner_model=joiner, max_replans=0, max_concurrency=max_concurrency)

    async def main() -> list[Shopped]:
        now = asyncio.get_running_loop().time
        found = []
        for goal in goals:
            bought.clear()
            began = now()
            await graph.ainvoke({"messages": [("user", goal.instruction)]})
            seconds = now() - began
            worth = 0.0
            if bought:
                product = shop.products[bought[0]["asin"]]
                worth = reward(product, bought[0]["options"], goal, shop.products[goal.asin])
            found.append(Shopped(worth, seconds))
        return found

    return run_virtual(main)


def _tools(shop: Shop, engine: SearchEngine, bought: list[Purchase], *, attributes: bool) -> list[BaseTool]:
    @tool
    async def search(query: str) -> list[Hit]:
        """Search the shop; the ten best hits."""
        await asyncio.sleep(PAGE_SECONDS)
        return [
            Hit(asin=each.asin, title=each.title, price=each.price) for each in engine.search(query)[:RESULTS_PER_PAGE]
        ]

    @tool
    async def explore(asin: str) -> Page:
        """Open a product's pages: options, price, attributes, features."""
        await asyncio.sleep(PAGE_SECONDS)
        return _page(shop.products[asin], attributes=attributes)

    @tool
    async def buy(asin: str, options: dict[str, str]) -> str:
        """Buy a product with options."""
        await asyncio.sleep(PAGE_SECONDS)
        bought.append(Purchase(asin=asin, options=options))
        return "bought"

    for each in (search, explore):
        each.metadata = {"readOnlyHint": True}
    buy.metadata = {"readOnlyHint": False}
    return [search, explore, tool("choose")(choose), buy]


def _page(product: Product, *, attributes: bool) -> Page:
    return Page(
        asin=product.asin,
        title=product.title,
        price=product.price,
        options={name: list(values) for name, values in product.options.items()},
        attributes=list(product.attributes) if attributes else [],
        features=list(product.features),
        description=product.description,
    )


def choose_at_once(
    shop: Shop, engine: SearchEngine, goals: Sequence[Goal], *, hits: int, attributes: bool
) -> list[float]:
    """What the rule alone earns from so many first hits, without plans: the same as with them, and sooner known."""
    found = []
    for goal in goals:
        pages = [_page(each, attributes=attributes) for each in engine.search(query_of(goal.instruction))[:hits]]
        choice = choose(goal.instruction, pages)
        product = shop.products[choice["asin"]]
        found.append(reward(product, choice["options"], goal, shop.products[goal.asin]))
    return found


def rows(shop: Shop, goals: Sequence[Goal]) -> list[Row]:
    """Score and success rate of both shoppers, and their modelled latency."""
    engine = SearchEngine(shop.products.values())
    n = len(goals)
    meant = [reward(shop.products[goal.asin], goal.options, goal, shop.products[goal.asin]) for goal in goals]
    first = shop_for(shop, engine, goals, "first hit")
    every = shop_for(shop, engine, goals, "explore all")
    slow = shop_for(shop, engine, goals[:10], "explore all", max_concurrency=1)  # the same for every goal
    scores = {"first hit": [each.reward for each in first], "explore all": [each.reward for each in every]}
    shown = choose_at_once(shop, engine, goals, hits=RESULTS_PER_PAGE, attributes=True)
    note = (
        f"latency is modelled: {PAGE_SECONDS} s a page, {PLAN_SECONDS} s planner, {JOIN_SECONDS} s joiner (appendix "
        "E.1); 1,000 products and synthetic goals, not the paper's 1.18 million and human ones"
    )
    found = [Row("WebShop", "rules", n, "buying what was meant: score", _score(meant), 100.0, "must be", note)]
    for name, of in (*scores.items(), ("explore all, attributes shown", shown)):
        baseline = (None, None) if name == "first hit" else (_score(scores["first hit"]), _success(scores["first hit"]))
        found += [
            Row("WebShop", "rules", n, f"{name}: score", _score(of), baseline[0], "first hit"),
            Row("WebShop", "rules", n, f"{name}: success rate, %", _success(of), baseline[1], "first hit"),
        ]
    one_by_one = fmean(each.seconds for each in slow)
    return [
        *found,
        Row("WebShop", "modelled", n, "first hit: seconds", fmean(each.seconds for each in first)),
        Row("WebShop", "modelled", n, "explore all: seconds", fmean(each.seconds for each in every)),
        Row("WebShop", "modelled", len(slow), "explore all, a page at a time: seconds", one_by_one),
    ]


def _score(rewards: Sequence[float]) -> float:
    return 100 * fmean(rewards)


def _success(rewards: Sequence[float]) -> float:
    return 100 * fmean(each == 1 for each in rewards)
