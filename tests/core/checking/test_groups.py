"""Pairs that a question compares, and things that become one."""

import pytest

from llmcompiler_graph.core.checking.groups import extreme_of_pairs, mentions, merged_density, pairs

RIVERS = {"Po": "$1", "Rhine": "$2", "Elbe": "$3", "Loire": "$4"}
LANDS = {"Peru": ("$1", "$2"), "Chile": ("$3", "$4"), "Cuba": ("$5", "$6"), "Haiti": ("$7", "$8")}


@pytest.mark.parametrize(
    ("question", "made"),
    [
        (
            "Compute the smallest ratio of the Po to the Rhine and between the Elbe and the Loire.",
            "min($1 / $2, $3 / $4)",
        ),
        (
            "Identify the smallest ratio from these: Po to Rhine; Rhine to Elbe; Elbe to Po.",
            "min($1 / $2, $2 / $3, $3 / $1)",
        ),
        (
            "Among the differences between the Po and the Elbe, and the Rhine and the Loire, which is the largest?",
            "max(abs($1 - $3), abs($2 - $4))",
        ),
        (
            "What is the greatest average length when comparing the Po with the Rhine, or the Elbe with the Loire?",
            "max(mean($1, $2), mean($3, $4))",
        ),
        ("What is the lowest total of the Po and the Rhine, and of the Elbe and the Rhine?", "min($1 + $2, $3 + $2)"),
    ],
)
def test_the_extreme_of_pairs_is_made_of_them(question: str, made: str) -> None:
    """Of pairs that a question compares, the largest or smallest ratio, difference, average or sum is taken."""
    assert extreme_of_pairs(question, RIVERS) == made


@pytest.mark.parametrize(
    "question",
    [
        "What is the ratio between the longer of the Po and the Rhine, and the longer of the Elbe and the Loire?",
        "What is the ratio between the longer of the Po and the Rhine, and the Elbe and the Loire?",
        "How much larger is the ratio of the Po to the Rhine than that of the Elbe to the Loire?",
        "What is the difference between the largest ratio of the Po to the Rhine, and of the Elbe to the Loire?",
        "What is the difference between the sum of the Po and the Rhine and the sum of the Elbe and the Loire?",
        "What is the largest ratio of the Po to the Rhine, and of the Elbe to the Loire, and the Po?",
        "What is the largest ratio of the Po to the Rhine, and of the Elbe to the Danube?",
        "What is the ratio of the Po to the Rhine, and of the Elbe to the Loire?",
        "What is the largest length of the Po and the Rhine, and the Elbe and the Loire?",
        "Which is larger, the Po or the Rhine?",
        "By what percentage is the largest ratio of the Po to the Rhine, and of the Elbe to the Loire, above 1?",
    ],
)
def test_what_is_no_extreme_of_pairs_is_left_alone(question: str) -> None:
    """Where a question may be read otherwise, or names a thing outside of the pairs, nothing is made."""
    assert extreme_of_pairs(question, RIVERS) is None


@pytest.mark.parametrize(
    ("question", "made"),
    [
        (
            "If Peru and Chile merged, as well as Cuba and Haiti, what would be the larger population density?",
            "max(($1 + $3) / ($2 + $4), ($5 + $7) / ($6 + $8))",
        ),
        (
            "Should Peru, Chile and Cuba unite, what is the difference in density between the new land and Haiti?",
            None,  # which of them become one is said in another way
        ),
        ("If Peru and Cuba became one, what would be its population density?", "($1 + $5) / ($2 + $6)"),
        ("If Peru and Cuba became one, how many times as dense as Haiti would it be?", None),
        ("What is the difference in population density between Peru and Chile?", None),
        ("If Peru and Chile merged, what would be the ratio of its density to Cuba's?", None),
    ],
)
def test_the_density_of_what_becomes_one(question: str, made: str | None) -> None:
    """The density of things that become one is that of all their people over all their area."""
    assert merged_density(question, LANDS) == made


def test_a_name_may_be_spelt_a_little_otherwise() -> None:
    """A name that differs a little is the same thing; one that shares only its first word with several is none."""
    found = mentions(
        "the Congo Forest, the Yangtze and Mount Logan", ["Congo Rainforest", "Yangtze River", "Mount Ossa"]
    )
    assert [each.name for each in found] == ["Congo Rainforest", "Yangtze River"]
    found = mentions("Lake Victoria and Lake Erie", ["Lake Victoria", "Lake Onega"])
    assert [each.name for each in found] == ["Lake Victoria"]


def test_of_overlapping_names_the_longer_is_meant() -> None:
    """A name within another one is not mentioned by it."""
    assert pairs("the ratio of York to New York, and of New York to York", ["York", "New York"]) == [
        ("York", "New York"),
        ("New York", "York"),
    ]
