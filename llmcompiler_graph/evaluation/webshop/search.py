"""WebShop's search: BM25 as Lucene computes it (k1 0.9, b 0.4), over Porter stems, without stop words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from llmcompiler_graph.evaluation.webshop.products import Product

__all__ = ("RESULTS_PER_PAGE", "SearchEngine")

RESULTS_PER_PAGE = 10
"""How many hits the original shows at a time, and the tools named `search` return."""

_K1, _B = 0.9, 0.4
_MOST_HITS = 50
_STOP_WORDS = [  # Lucene's
    *("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of"),
    *(
        "on",
        "or",
        "such",
        "that",
        "the",
        "their",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "will",
        "with",
    ),
]
_POSSESSIVE = re.compile("['\u2019]s\\b")


class SearchEngine:
    """Finds products by words.

    Args:
        products: What can be found; equally good ones come in this order.
    """

    def __init__(self, products: Iterable[Product]) -> None:
        import bm25s  # optional: the evaluation extra
        import Stemmer

        self._products = list(products)
        self._stemmer = Stemmer.Stemmer("porter")
        self._index = bm25s.BM25(method="lucene", k1=_K1, b=_B)
        self._index.index(self._tokens([_indexed(each) for each in self._products]), show_progress=False)

    def search(self, query: str, hits: int = _MOST_HITS) -> list[Product]:
        """The best hits, the best first; none for a query of unknown words."""
        (tokens,) = self._tokens([query])
        if not tokens:
            return []
        scores = self._index.get_scores(tokens)
        best = (-scores).argsort(kind="stable")[:hits]
        return [self._products[number] for number in best if scores[number] > 0]

    def _tokens(self, texts: list[str]) -> Any:
        import bm25s

        plain = [_POSSESSIVE.sub("", text) for text in texts]
        return bm25s.tokenize(
            plain,
            stopwords=_STOP_WORDS,
            stemmer=self._stemmer,
            token_pattern=r"\w+",
            return_ids=False,
            show_progress=False,
        )


def _indexed(product: Product) -> str:
    options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in product.options.items())
    feature = product.features[0] if product.features else ""
    return f"{product.title} {product.description} {feature} {options}".lower()
