"""Prices of one's own, from a file."""

from __future__ import annotations

import json
from pathlib import Path

from llmcompiler_graph.evaluation.data import DataError
from llmcompiler_graph.models.prices import PRICES, Price

__all__ = ("read_prices",)


def read_prices(path: Path) -> dict[str, Price]:
    """Read prices that go before the built-in ones: `{"model": {"input": 1, "output": 2, "date": …, "source": …}}`.

    Raises:
        DataError: The file is not of this form.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        own = {name: Price(**{"cached": None, **price}) for name, price in given.items()}
        for price in own.values():
            sum((price.input, price.output, price.cached or 0))  # numbers, all of them
        return {**PRICES, **own}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{str(path)!r} is not a price table, {{model: {{input, output, cached, date, source}}}}: {error}"
        raise DataError(msg) from error
