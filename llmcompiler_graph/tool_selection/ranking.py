"""Ranks short texts by the words of a query: BM25 with relevance feedback, which needs no download (extra `retrieval`).

>>> ranking = Ranking([words("get_height: the height of a mountain"), words("send_mail: send an e-mail")])
>>> ranking.best(words("How high are these mountains?"), 1)
[0]

May know: `errors`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from llmcompiler_graph.core.errors import ConfigurationError

__all__ = ("Ranking", "split_words", "words")

_NOT_INSTALLED = "select_tools needs the 'bm25s' and 'PyStemmer' packages: pip install 'llmcompiler-graph[retrieval]'"
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[^\W\d_a-zA-Z]+")
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by for from has have i if in into is it its me my of on or our so than that the their "
        "them then there these they this to using use via was we were what when where which who will with you your "
        "please",
    )
)


def split_words(text: str) -> list[str]:
    """The words of a text; `camelCase` and `snake_case` are taken apart.

    >>> split_words("looks up the populationOf HTTP_servers2")
    ['looks', 'up', 'the', 'population', 'Of', 'HTTP', 'servers', '2']
    """
    return _WORD.findall(text)


def words(text: str) -> list[str]:
    """The word stems of a text, in lower case, without the commonest words.

    >>> words("Looks up the population of cities")
    ['look', 'up', 'popul', 'citi']
    """
    found = [word.lower() for word in split_words(text)]
    stems: list[str] = _stemmer().stemWords([word for word in found if word not in _STOP_WORDS])
    return stems


def _stemmer() -> Any:
    try:
        import Stemmer
    except ImportError as error:
        raise ConfigurationError(_NOT_INSTALLED) from error
    return Stemmer.Stemmer("english")  # it is not safe in threads, and cheap to make


class Ranking:
    """Ranks texts by BM25 with relevance feedback.

    Args:
        texts: The words of each.
        feedback: How much the words of the best matches count, beside those of the query; 0 for not at all.
    """

    # tuned on the samples of NesTools with an even position, see the benchmark
    _K1, _B = 3.0, 0.75
    _BEST, _WORDS = 3, 20

    def __init__(self, texts: Sequence[Sequence[str]], *, feedback: float = 0.8) -> None:
        try:
            import bm25s
        except ImportError as error:
            raise ConfigurationError(_NOT_INSTALLED) from error
        self._texts = [list(text) for text in texts]
        self._feedback = feedback
        self._known = {word for text in texts for word in text}
        self._index = bm25s.BM25(k1=self._K1, b=self._B)
        if self._known:
            self._index.index(self._texts, show_progress=False)

    def best(self, query: Iterable[str], count: int) -> list[int]:
        """The positions of the texts that match best, best first; none that does not match at all."""
        asked = [word for word in dict.fromkeys(query) if word in self._known]
        if not asked:
            return []
        scores = self._index.get_scores(asked)
        if self._feedback:
            gained: Counter[str] = Counter()
            for n in (-scores).argsort(kind="stable")[: self._BEST]:
                gained.update(dict.fromkeys(self._texts[n], float(scores[n])))
            for word in asked:
                gained.pop(word, None)
            common = gained.most_common(self._WORDS)
            for word, weight in common:
                if weight > 0:
                    scores = scores + self._feedback * weight / common[0][1] * self._index.get_scores([word])
        ranked = (-scores).argsort(kind="stable")[:count]
        return [int(n) for n in ranked if scores[n] > 0]
