import sys

import pytest

from llmcompiler_graph import ConfigurationError
from llmcompiler_graph.tool_selection.ranking import Ranking, words

TEXTS = ["the height of a mountain", "send mail to people", "heights of towers", "a mountain's people"]


def best(query: str, count: int = 4, **settings: float) -> list[int]:
    """What `TEXTS` match best."""
    return Ranking([words(text) for text in TEXTS], **settings).best(words(query), count)


def test_best_first() -> None:
    """Texts with more of the query's words, and rarer ones, come first; word forms are the same word."""
    assert best("How high are mountains, what height?", feedback=0)[0] == 0
    assert best("mailing", feedback=0) == [1]


def test_what_does_not_match_is_not_given() -> None:
    """Texts that share no word with the query are not given, not even to fill up."""
    assert best("volcano eruption") == []
    assert best("") == []
    assert Ranking([]).best(["mountain"], 3) == []
    assert Ranking([[], []]).best(["mountain"], 3) == []
    assert len(best("mountain height people", 2)) == 2


def test_feedback() -> None:
    """A text that shares words with the best match comes in, though not one with the query."""
    assert 1 not in best("height of mountain", feedback=0)
    texts = [words(text) for text in ("booking a flight to an airport", "the airport of a city", "send mail")]
    assert Ranking(texts, feedback=0).best(words("book"), 3) == [0]
    assert Ranking(texts).best(words("book"), 3) == [0, 1]


@pytest.mark.parametrize("module", ["bm25s", "Stemmer"])
def test_without_the_packages(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Where a package of the extra is missing, the error says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'llmcompiler-graph\[retrieval\]'"):
        best("mountain")
