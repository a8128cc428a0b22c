"""Regular expressions that are compiled when they are first used."""

from __future__ import annotations

import copy
import gc
import importlib
import pkgutil
import re

import pytest

import llmcompiler_graph.core
from llmcompiler_graph.core.patterns import lazy_pattern


def test_does_as_a_compiled_pattern() -> None:
    """Each method gives what the compiled pattern's gives, with the flags that were given."""
    text, lazy, compiled = "Ab aB b", lazy_pattern("a(b)", re.IGNORECASE), re.compile("a(b)", re.IGNORECASE)
    assert lazy.pattern == compiled.pattern
    assert lazy.findall(text) == compiled.findall(text) == ["b", "B"]
    assert lazy.sub("-", text, count=1) == compiled.sub("-", text, count=1) == "- aB b"
    assert [found.span() for found in lazy.finditer(text, 1)] == [(3, 5)]
    assert lazy.split(text) == compiled.split(text)
    assert lazy.match(text, 3, 5)
    assert lazy.fullmatch("ab")
    assert not lazy.search("b")
    assert lazy.groups == 1


def test_is_compiled_when_used() -> None:
    """What is no regular expression is an error when it is used, not when it is made."""
    wrong = lazy_pattern("(")
    with pytest.raises(re.error):
        wrong.search("a")


def test_can_be_copied() -> None:
    """A copy does as the pattern, whether that was used or not."""
    pattern = lazy_pattern("a+")
    assert copy.copy(pattern).sub("-", "aab") == copy.deepcopy(pattern).sub("-", "aab") == "-b"


def test_every_pattern_of_the_core_compiles() -> None:
    """No pattern of the core waits with an error until a model writes what it is for."""
    for module in pkgutil.walk_packages(llmcompiler_graph.core.__path__, "llmcompiler_graph.core."):
        importlib.import_module(module.name)
    kind = type(lazy_pattern(""))
    gc.unfreeze()  # those that were there before the tests
    patterns = [found for found in gc.get_objects() if type(found) is kind and found.pattern != "("]
    gc.freeze()
    assert len(patterns) > 100
    for pattern in patterns:
        pattern.search("")
