"""What models cost, in US dollars per million tokens, on a date and by a source.

>>> cost("gpt-4o-mini", tokens_in=1_000_000, tokens_out=0, tokens_cached=0)
0.15
>>> cost("a-model-nobody-knows", tokens_in=1, tokens_out=1, tokens_cached=0) is None
True
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ("PRICES", "Price", "cost", "price_of")


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs."""

    input: float
    """US dollars per million prompt tokens."""
    output: float
    """US dollars per million tokens written."""
    cached: float | None
    """US dollars per million prompt tokens read from a cache; `None` if there is no discount."""
    date: str = ""
    """When this was so."""
    source: str = ""
    """Who says so."""

    @property
    def of_cached(self) -> float:
        """US dollars per million prompt tokens read from a cache, discounted or not."""
        return self.input if self.cached is None else self.cached

    def __str__(self) -> str:
        """Where it comes from."""
        return f"{self.date}, {self.source}"


_PAPER = "2023-11", "OpenAI's price list of November 2023, the month of the paper's runs (its Table 2 follows from it)"
_LATER = "2024-10", "OpenAI's price list of October 2024, from memory: check it before you quote a cost"

PRICES: Mapping[str, Price] = {
    "gpt-3.5-turbo-1106": Price(1.0, 2.0, None, *_PAPER),
    "gpt-4-1106-preview": Price(10.0, 30.0, None, *_PAPER),
    "gpt-4-0613": Price(30.0, 60.0, None, *_PAPER),
    "gpt-4o": Price(2.5, 10.0, 1.25, *_LATER),
    "gpt-4o-mini": Price(0.15, 0.60, 0.075, *_LATER),
    "local": Price(0.0, 0.0, None, "2026-11", "a model on this machine costs no money"),
}
"""Prices by the model's name."""


def price_of(model: str, prices: Mapping[str, Price] = PRICES) -> Price | None:
    """The price of a model, by its name with or without its provider; `None` if there is none."""
    provider, _, name = model.rpartition(":")
    return prices.get(model) or prices.get(provider if provider == "local" else name)


def cost(
    model: str, *, tokens_in: int, tokens_out: int, tokens_cached: int, prices: Mapping[str, Price] = PRICES
) -> float | None:
    """What this many tokens cost, in US dollars; `None` for a model without a price.

    Args:
        model: Its name, with or without its provider: `"openai:gpt-4o"`.
        tokens_in: Prompt tokens, cached ones included.
        tokens_out: Tokens written.
        tokens_cached: Prompt tokens read from a cache.
        prices: Prices by name.
    """
    price = price_of(model, prices)
    if price is None:
        return None
    read = (tokens_in - tokens_cached) * price.input + tokens_cached * price.of_cached
    return (read + tokens_out * price.output) / 1e6
