"""A short run of every fuzzer, and every case that failed once."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.fuzz import failure, fuzz, kept_cases
from tests.hostile.targets import TARGETS

EXECUTIONS = {"parser": 1200, "grammar": 30, "values": 40, "turns": 24, "times": 8}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Warnings about large observations and about tools that are given up are no failures here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found(target: str) -> None:
    """What must hold of a part holds for random cases."""
    _, _, failed = fuzz(target, EXECUTIONS.get(target, 400), seed=1)
    assert failed == []


@pytest.mark.parametrize(
    ("target", "path"), kept_cases(), ids=lambda each: each.stem if isinstance(each, Path) else each
)
def test_what_failed_once(target: str, path: Path) -> None:
    """Each case of the corpus holds."""
    assert failure(TARGETS[target], json.loads(path.read_text(encoding="utf-8"))) == ""
