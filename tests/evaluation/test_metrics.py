import pytest

from llmcompiler_graph.evaluation.benchmarks.metrics import lenient_match, paper_match


@pytest.mark.parametrize(
    ("answer", "label", "right"),
    [
        ("109.99", "100", True),
        ("110.01", "100", False),  # strictly within 10 %
        ("90", "100", False),
        ("90.01", "100", True),
        ("100 m", "100", False),  # the paper's answer must be a number and nothing else
        ("1,000", "1000", False),
        ("-95", "-100", True),
        ("The  Mariana Trench.", "mariana trench", True),
        ("Mariana", "Mariana Trench", False),
        ("yes!", "yes", True),
        ("", "yes", False),
    ],
)
def test_the_papers_metric(answer: str, label: str, right: bool) -> None:
    """A number within 10 %, exclusive, or the same text after SQuAD's normalisation; nothing is forgiven."""
    assert paper_match(answer, label) is right


@pytest.mark.parametrize("label", ["The The", "!!!"])
@pytest.mark.parametrize("answer", ["", " \n"])
def test_no_answer_is_never_right(answer: str, label: str) -> None:
    """A failed run is wrong, also where the label normalises to nothing."""
    assert not paper_match(answer, label)
    assert not lenient_match(answer, label)
    assert paper_match(label, label)


@pytest.mark.parametrize(
    ("answer", "label", "right"),
    [
        ("It is 1,003.5 metres deeper.", "1000", True),
        ("about 1.73 billion", "1733350000", True),
        ("No number here", "1000", False),
        ("K2 is 8,611 m high", "2", False),  # a digit within a name is no number
        ("The Mariana Trench would be deeper than the Sunda Trench", "Mariana Trench", True),
        ("The Sunda Trench would be shallower than the Mariana Trench", "Mariana Trench", False),
        ("Yes, both are.", "yes", True),
        ("No. Yes would be wrong.", "yes", False),
        ("nobody knows", "no", False),
    ],
)
def test_the_lenient_metric(answer: str, label: str, right: bool) -> None:
    """Units, commas and sentences are forgiven; naming another candidate first is not."""
    assert lenient_match(answer, label, ["Mariana Trench", "Sunda Trench"]) is right
