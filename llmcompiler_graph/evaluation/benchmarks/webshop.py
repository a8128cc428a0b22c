"""WebShop: buy what an instruction asks for; the official reward (section 5.4, appendix K of the paper).

- `webshop`: the small set, 1,000 products with synthetic goals. Its scores cannot be compared with the paper's.
- `webshop_full`: the full set, 1.18 million products with people's goals, as in the paper.

Two tools: `search` gives ten products, `explore` opens one and returns its price, options, attributes and description.
LLMCompiler explores everything that a search found at once, by a reference to every element. The answer names a product
and options: it is what is bought. The paper's metric is the success rate (a reward of 1), the forgiving one the score
(the mean reward).

Products and goals are read from the data directory, below the benchmark's name: `evaluation.data.CONVERTED` says what
the files hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from typing_extensions import TypedDict  # pydantic reads typing.TypedDict only from Python 3.12 on

from llmcompiler_graph import Outcome, PlanExample
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.evaluation.benchmarks.react_prompt import REACT
from llmcompiler_graph.evaluation.data import dataset_directory
from llmcompiler_graph.evaluation.records import Benchmark, Model, Sample, Score
from llmcompiler_graph.evaluation.webshop.products import TEST_GOALS, Goal, Product, Shop, read_full_shop, read_shop
from llmcompiler_graph.evaluation.webshop.reward import reward
from llmcompiler_graph.evaluation.webshop.search import RESULTS_PER_PAGE, SearchEngine

__all__ = ("WEBSHOP", "WEBSHOP_FULL", "Hit", "Page")

_LONGEST = 300  # characters of a description: ten products must fit a prompt


class Hit(TypedDict):
    """One product of a search."""

    item: str
    """Its id."""
    title: str
    """Its name."""
    price: float
    """US dollars."""


class Page(TypedDict):
    """What is known of a product."""

    item: str
    """Its id."""
    title: str
    """Its name."""
    price: float
    """US dollars."""
    options: dict[str, list[str]]
    """What can be chosen, `{name: values}`."""
    attributes: list[str]
    """Short properties."""
    description: str
    """The beginning of its description."""


def _load(data: Path | None) -> list[Sample]:
    return _samples(read_shop(dataset_directory("webshop", data)))


def _load_full(data: Path | None) -> list[Sample]:
    return _samples(read_full_shop(dataset_directory("webshop_full", data)))


def _samples(shop: Shop) -> list[Sample]:
    engine = SearchEngine(shop.products.values())
    return [
        Sample(
            str(number),
            goal.instruction,
            {"item": goal.asin, "options": dict(goal.options)},
            {"goal": goal, "shop": shop, "engine": engine},
        )
        for number, goal in enumerate(shop.goals[:TEST_GOALS])
    ]


def _tools(sample: Sample, model: Model) -> list[BaseTool]:
    shop: Shop = sample.metadata["shop"]
    engine: SearchEngine = sample.metadata["engine"]

    def search(query: str) -> list[Hit]:
        """Search the shop by words, without prices; returns the ten best products."""
        found = engine.search(query)[:RESULTS_PER_PAGE]
        return [Hit(item=each.asin, title=each.title, price=each.price) for each in found]

    def explore(item: str) -> Page:
        """Look at one product by its id; returns its price, options, attributes and description."""
        product = shop.products.get(item.strip().upper())
        if product is None:
            msg = f"there is no product {item!r}: search gives the ids"
            raise ToolException(msg)
        return Page(
            item=product.asin,
            title=product.title,
            price=product.price,
            options={name: list(values) for name, values in product.options.items()},
            attributes=list(product.attributes),
            description=product.description[:_LONGEST],
        )

    hints = {"readOnlyHint": True, "idempotentHint": True}
    return [StructuredTool.from_function(each, metadata=hints) for each in (search, explore)]


def _score(answer: str, sample: Sample) -> Score:
    shop: Shop = sample.metadata["shop"]
    goal: Goal = sample.metadata["goal"]
    items = [word for word in re.findall(r"\b[A-Z0-9]{10}\b", answer.upper()) if word in shop.products]
    if not items:
        return Score(0.0, 0.0, "nothing was bought")
    bought = shop.products[items[-1]]
    options = _options(answer, bought)
    worth = reward(bought, options, goal, shop.products[goal.asin])
    return Score(float(worth == 1), worth, f"bought {bought.asin} with {options}; wanted {goal.asin}")


def _options(answer: str, product: Product) -> Mapping[str, str]:
    """The options an answer names: a value as `name: value`, else anywhere; of several the longest."""
    said = answer.lower()
    chosen = {}
    for name, values in product.options.items():
        named = [value for value in values if f"{name}: {value}".lower() in said]
        named = named or [value for value in values if re.search(rf"(?<!\w){re.escape(value.lower())}(?!\w)", said)]
        if named:
            chosen[name] = max(named, key=len)
    return chosen


_QUESTION = "Find me machine washable, long lasting table runners with color: olive, and price lower than 30.00 dollars"
_HIT: dict[str, JSON] = {"item": "B00EXAMP01", "title": "Cotton Table Runner, Machine Washable", "price": 24.5}
_OTHER: dict[str, JSON] = {"item": "B00EXAMP02", "title": "Silk Table Runner", "price": 45.0}
_PAGE: dict[str, JSON] = {
    **_HIT,
    "options": {"color": ["olive", "plum"]},
    "attributes": ["machine washable", "long lasting"],
}
_OTHER_PAGE: dict[str, JSON] = {**_OTHER, "options": {"color": ["olive"]}, "attributes": ["dry clean"]}
_EXAMPLES = (
    PlanExample(
        _QUESTION,
        '1. search(query="machine washable long lasting table runners olive")\n'
        "2. explore(item=${1[*].item})\n"
        "3. join()",
        (
            Outcome(
                {
                    1: [_HIT, _OTHER],
                    2: [{**_PAGE, "description": "For 6 chairs."}, {**_OTHER_PAGE, "description": "A festive runner."}],
                },
                "Thought: B00EXAMP01 is machine washable and long lasting, has olive and costs less than 30 dollars.\n"
                "Finish: B00EXAMP01; color: olive",
            ),
        ),
    ),
)
_REACT = f"""\
{REACT}
Question: {_QUESTION}
Thought: I search for what is wanted.
Action: search(query="machine washable long lasting table runners olive")
Observation: [{{"item": "B00EXAMP01", "title": "Cotton Table Runner, Machine Washable", "price": 24.5}}, \
{{"item": "B00EXAMP02", "title": "Silk Table Runner", "price": 45.0}}]
Thought: I look at the first.
Action: explore(item="B00EXAMP01")
Observation: {{"item": "B00EXAMP01", "title": "Cotton Table Runner, Machine Washable", "price": 24.5, "options": \
{{"color": ["olive", "plum"]}}, "attributes": ["machine washable", "long lasting"], "description": "For 6 chairs."}}
Thought: Now the other.
Action: explore(item="B00EXAMP02")
Observation: {{"item": "B00EXAMP02", "title": "Silk Table Runner", "price": 45.0, "options": {{"color": ["olive"]}}, \
"attributes": ["dry clean"], "description": "A festive runner."}}
Thought: B00EXAMP01 is machine washable and long lasting, has olive and costs less than 30 dollars.
Answer: B00EXAMP01; color: olive
"""

WEBSHOP = Benchmark(
    name="webshop",
    load=_load,
    tools=_tools,
    score=_score,
    instructions="The answer is the id of the product to buy and the options to choose: B00EXAMP01; color: olive",
    examples=_EXAMPLES,
    react_prompt=_REACT,
    react_dagger_prompt=f"{_REACT}Look at several products before you answer, and at none twice.\n",
)
"""500 synthetic goals."""

WEBSHOP_FULL = replace(WEBSHOP, name="webshop_full", load=_load_full)
"""500 goals; the paper's ReAct has a success rate of 19.8 %, LLMCompiler 48.2 % (gpt-3.5-turbo)."""
