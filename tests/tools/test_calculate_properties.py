import operator
from collections.abc import Callable
from fractions import Fraction
from typing import get_args, get_type_hints

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.tools import StructuredTool, ToolException

from llmcompiler_graph.tools import calculate
from llmcompiler_graph.tools.arithmetic import FUNCTIONS

Tree = tuple[str, Fraction | None]
"""An expression and its value; `None` if it divides by zero."""

OPERATORS: dict[str, Callable[[Fraction, Fraction], Fraction | int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


def attempt(expression: str) -> tuple[object, str]:
    """Return the value of an expression and no error, or the error."""
    try:
        return calculate.invoke({"expression": expression}), ""
    except ToolException as error:
        return None, str(error)


def join(left: Tree, symbol: str, right: Tree) -> Tree:
    """Join two expressions by an operator."""
    text = f"({left[0]}) {symbol} ({right[0]})"
    if left[1] is None or right[1] is None:
        return text, None
    try:
        return text, Fraction(OPERATORS[symbol](left[1], right[1]))
    except ZeroDivisionError:
        return text, None


def negate(tree: Tree) -> Tree:
    """Put a minus before an expression."""
    return f"-({tree[0]})", None if tree[1] is None else -tree[1]


numbers = st.one_of(
    st.integers(0, 10**9).map(lambda number: (str(number), Fraction(number))),
    st.decimals(0, 10**6, places=3).map(lambda number: (str(number), Fraction(number))),
    st.integers(0, 10**9).map(lambda number: (f"{number:,}", Fraction(number))),
)
trees: st.SearchStrategy[Tree] = st.recursive(
    numbers,
    lambda parts: st.one_of(
        st.builds(join, parts, st.sampled_from(sorted(OPERATORS)), parts), st.builds(negate, parts)
    ),
    max_leaves=12,
)


@given(trees)
def test_agrees_with_fractions(tree: Tree) -> None:
    """An expression has the value exact rational arithmetic gives it: an int if whole, else the nearest float."""
    text, expected = tree
    result, error = attempt(text)
    if expected is None:
        assert error.endswith(": division by zero")
    else:
        assert error == ""
        assert result == (int(expected) if expected.denominator == 1 else float(expected))
        assert isinstance(result, int) == (expected.denominator == 1)


@given(st.lists(st.fractions(-(10**6), 10**6, max_denominator=10**6), min_size=1, max_size=8))
def test_functions_agree_with_python(values: list[Fraction]) -> None:
    """The functions of many numbers are Python's, over a list and over arguments."""
    texts = [f"({number})" for number in values]
    expected = {
        "min": min(values),
        "max": max(values),
        "sum": sum(values, Fraction(0)),
        "mean": sum(values, Fraction(0)) / len(values),
    }
    for name, number in expected.items():
        for arguments in (", ".join(texts), f"[{', '.join(texts)}]"):
            assert calculate.invoke({"expression": f"{name}({arguments}) == {number}"}) is True


@given(st.dictionaries(st.text(max_size=8), st.integers(-1000, 1000), min_size=1, max_size=6))
def test_argmax_takes_any_name(scores: dict[str, int]) -> None:
    """Any text can be a key, and the key comes back as it was."""
    winner = max(scores, key=scores.__getitem__)
    escaped = {
        "".join(f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else sign for sign in key): score
        for key, score in scores.items()
    }
    text = ", ".join(f'"{key}": {score}' for key, score in escaped.items())
    assert calculate.invoke({"expression": f"argmax({{{text}}})"}) == winner


parts = st.sampled_from(
    [*"0123456789.,+-*/%^()[]{}:<>=!'\"$ ex", "**", "8,848", " if ", " else ", "max(", "sqrt(", "not "]
)


@given(st.lists(parts, max_size=25).map("".join) | st.text(max_size=30))
def test_any_text(text: str) -> None:
    """Any text has a value or is a `ToolException`: nothing else is raised, no warning issued."""
    result, error = attempt(text)
    if error:
        assert error.startswith(f"cannot calculate {text!r}: ")
    else:
        assert isinstance(result, int | float | str)


def test_declares_its_types_and_nature() -> None:
    """The plan checker finds the return type, and the optimiser that calls may be shared."""
    assert isinstance(calculate, StructuredTool)
    assert calculate.func is not None
    assert set(get_args(get_type_hints(calculate.func)["return"])) == {int, float, bool, str}
    assert calculate.metadata == {"readOnlyHint": True, "idempotentHint": True}
    (expression,) = calculate.args.values()
    assert expression["type"] == "string"
    assert expression["format"] == "arithmetic"
    assert {*expression["functions"], *expression["selectors"]} == set(FUNCTIONS)
