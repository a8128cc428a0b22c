import json
from pathlib import Path

import pytest

from llmcompiler_graph.evaluation.data import DataError
from llmcompiler_graph.evaluation.prices import read_prices
from llmcompiler_graph.models.prices import PRICES, cost


@pytest.mark.parametrize(
    ("model", "tokens_in", "tokens_out", "paper"),
    [
        ("gpt-3.5-turbo-1106", 2500, 63, 2.66),
        ("gpt-3.5-turbo-1106", 1300, 80, 1.47),
        ("gpt-3.5-turbo-1106", 20000, 230, 20.46),
        ("gpt-3.5-turbo-1106", 5800, 160, 6.14),
        ("gpt-3.5-turbo-1106", 2800, 115, 3.04),
        ("gpt-4-1106-preview", 46000, 470, 480),
        ("gpt-4-1106-preview", 25000, 370, 260),
        ("gpt-4-1106-preview", 9200, 340, 103),
    ],
)
def test_the_prices_are_those_of_the_paper(model: str, tokens_in: int, tokens_out: int, paper: float) -> None:
    """The paper's costs follow from its token counts and our prices; HotpotQA's ReAct alone does not add up."""
    ours = cost(model, tokens_in=tokens_in, tokens_out=tokens_out, tokens_cached=0)
    assert ours is not None
    assert 1000 * ours == pytest.approx(paper, rel=0.025)


def test_cached_tokens_cost_less_where_there_is_a_discount() -> None:
    """Cached tokens cost less where there is a discount; the provider's name before the model's is no matter."""
    full = cost("openai:gpt-4o", tokens_in=1000, tokens_out=0, tokens_cached=0)
    cached = cost("openai:gpt-4o", tokens_in=1000, tokens_out=0, tokens_cached=1000)
    assert full is not None
    assert cached == pytest.approx(full / 2)
    assert cost("local:qwen2.5-coder-0.5b", tokens_in=1000, tokens_out=10, tokens_cached=0) == 0


def test_every_price_has_a_date_and_a_source() -> None:
    """Every price says when it was read, and where."""
    assert all(price.date and price.source for price in PRICES.values())


def test_prices_of_ones_own_go_first(tmp_path: Path) -> None:
    """A file adds models and replaces prices; what is no price table is an error."""
    path = tmp_path / "prices.json"
    mine = {"mine": {"input": 1, "output": 2, "date": "2030-01", "source": "me"}}
    path.write_text(json.dumps(mine), encoding="utf-8")
    prices = read_prices(path)
    assert cost("x:mine", tokens_in=10**6, tokens_out=10**6, tokens_cached=0, prices=prices) == 3
    assert prices.keys() > PRICES.keys()
    for wrong in ({"input": 1}, {**mine["mine"], "output": "2"}, {**mine["mine"], "cached": [1]}):
        path.write_text(json.dumps({"mine": wrong}), encoding="utf-8")
        with pytest.raises(DataError, match="not a price table"):
            read_prices(path)
