import time

import pytest
from langchain_core.tools import ToolException

from llmcompiler_graph.tools import calculate
from llmcompiler_graph.tools.arithmetic import evaluate
from llmcompiler_graph.tools.exact import CalculationError

Result = int | float | bool | str


def value(expression: str) -> Result:
    """Call the tool as an executor does."""
    result: Result = calculate.invoke({"expression": expression})
    return result


def message(expression: str) -> str:
    """Return what the tool says about an expression it cannot calculate."""
    with pytest.raises(ToolException) as raised:
        calculate.invoke({"expression": expression})
    return str(raised.value)


VALUES: list[tuple[str, Result]] = [
    # exact decimals, whole results as int
    ("8848.86 - 8611", 237.86),
    ("0.1 + 0.2", 0.3),
    ("0.1 * 3 == 0.3", True),
    ("1.5 * 2", 3),
    ("1e3", 1000),
    ("1.5e-3 * 2", 0.003),
    ("12345678901234567890.5 * 2", 24691357802469135781),
    ("10 ** 30 + 1", 10**30 + 1),
    ("1/3 + 1/3 + 1/3", 1),
    (".5 + 5.", 5.5),
    ("007", 7),
    # operators
    ("2 + 3 * 4", 14),
    ("-(2 + 3) * +4", -20),
    ("5 - -430", 435),
    ("-2 ** 2", -4),
    ("2 ** 3 ** 2", 512),
    ("7 // 2", 3),
    ("-7 // 2", -4),
    ("7.5 % 2", 1.5),
    ("-7 % 3", 2),
    ("2^10", 1024),
    ("2 ** -2", 0.25),
    ("0 ** 0", 1),
    ("1 ** (10 ** 100)", 1),
    ("(-1) ** (10 ** 100 + 1)", -1),
    ("8 ** (1/3)", 2),
    ("(8/27) ** (2/3) == 4/9", True),
    ("2 ** 0.5", 2**0.5),
    ("(1 + 0.05/365) ** (365*30)", 4.481228688524515),
    ("(10/3) ** 900 * (10/7) ** 900 / (100/21) ** 900", 1.0),
    ("3 x 4", 12),
    ("8848 \N{MINUS SIGN} 8 \N{MULTIPLICATION SIGN} 6 \N{DIVISION SIGN} 3", 8832),
    ("2 \N{LESS-THAN OR EQUAL TO} 2 \N{NOT EQUAL TO} 3", True),
    ("1 +\n 2", 3),
    # comparisons, logic, conditionals
    ("1 < 2 <= 2 != 3", True),
    ("1 < 2 > 3", False),
    ("1 < 2 and not 3 > 4", True),
    ("1 > 2 or true", True),
    ("False or false", False),
    ("1 > 2 and 1/0 > 1", False),
    ("1 if 2 > 1 else 1/0", 1),
    ('"Everest" if 8848 > 8611 else "K2"', "Everest"),
    ("'it\\'s' if 1 > 2 else 'a \"b\"'", 'a "b"'),
    # functions
    ("max(1, 2.5)", 2.5),
    ("max([1, 2])", 2),
    ("min(3, 1, 2)", 1),
    ("sum([0.1, 0.2])", 0.3),
    ("sum([])", 0),
    ("mean(1, 2, 4) == 7/3", True),
    ("median([3, 1, 2, 10])", 2.5),
    ("abs(-3.5)", 3.5),
    ("round(2.5)", 3),
    ("round(-2.5)", -3),
    ("round(2.345, 2)", 2.35),
    ("round(1250, -2)", 1300),
    ("floor(-2.5)", -3),
    ("ceil(2.1)", 3),
    ("sqrt(144)", 12),
    ("sqrt(0.25)", 0.5),
    ("sqrt(2)", 2**0.5),
    ("sqrt(10 ** 600) == 10 ** 300", True),
    ("pi", 3.141592653589793),
    ("\N{GREEK SMALL LETTER PI} * 2", 6.283185307179586),
    ("e", 2.718281828459045),
    ('argmax({"Everest": 8848.86, "K2": 8611})', "Everest"),
    ("argmin({'a': 2, 'b': 1 + 0, 'c': 1})", "b"),
    ('argmax({"50% of 1,000 \N{DIVISION SIGN} 2": 1})', "50% of 1,000 \N{DIVISION SIGN} 2"),
    ('argmax({"S\\u00e3o Paulo": 1, "Rome": 0})', "São Paulo"),
    # thousands
    ("8,848.86 - 8,611", 237.86),
    ("1,234,567.891", 1234567.891),
    ("(1,200) + 3", 1203),
    ("max((1,200), 3)", 1200),
    ("max(100,200)", 200),
    ("sum([10,20,300])", 330),
    # per cent
    ("200 * 15%", 30),
    ("15% of 200", 30),
    ("5%", 0.05),
    ("200 * -15%", -30),
    ("round(12.5%, 1)", 0.1),
    ("7 % 3", 1),
    ("7 % (-3)", -2),
    ("1 if 5% < 0.1 else 2", 1),
]


@pytest.mark.parametrize(("expression", "expected"), VALUES)
def test_value(expression: str, expected: Result) -> None:
    """An expression has exactly this value, of this type."""
    result = value(expression)
    assert result == expected
    assert type(result) is type(expected)


FUNCTIONS = "min, max, sum, mean, median, abs, sqrt, floor, ceil, round, argmin, argmax"
OPERATOR = "an operator is missing before"
MESSAGES = [
    ("1 / 0", "division by zero"),
    ("5 // (2 - 2)", "division by zero"),
    ("5 % 0", "division by zero"),
    ("0 ** -1", "division by zero"),
    ("foo + 1", "unknown name 'foo': the names are pi and e, texts go in quotes"),
    ("foo(1)", f"unknown function 'foo': the functions are {FUNCTIONS}"),
    ("__import__('os')", f"unknown function '__import__': the functions are {FUNCTIONS}"),
    ("8848.86 m", "unexpected 'm' after a value: write numbers without units or words"),
    ("$1 - $2", "unexpected '$'; a reference was not filled in"),
    ("2 + 2 = 4", "unexpected '='; compare with '=='"),
    ("(1).real", "unexpected '.'"),
    ("5 6", f"{OPERATOR} '6'"),
    ("2(3 + 4)", f"{OPERATOR} '('"),
    ("[1, 2][0]", f"{OPERATOR} '['"),
    ("2 +", "not a complete expression (invalid syntax)"),
    ("(1", "not a complete expression ('(' was never closed)"),
    ("1)", "not a complete expression (unmatched ')')"),
    ("", "not a complete expression (invalid syntax)"),
    ("1, 2", "a comma outside a function or list: numbers are written 8848.86 or 8,848.86"),
    ("1,00,000", "a comma outside a function or list: numbers are written 8848.86 or 8,848.86"),
    ("8.848,86", "a comma outside a function or list: numbers are written 8848.86 or 8,848.86"),
    ("max(8,848, 8,611)", "'8,848' could be one number or several: write '8848' or '8, 848'"),
    ("round(1,234)", "'1,234' could be one number or several: write '1234' or '1, 234'"),
    ("max(123,456, 7)", "'123,456' could be one number or several: write '123456' or '123, 456'"),
    ("200 + 15%", "a percentage after '+' could be of 1 or of what precedes it: use '/ 100' and '*'"),
    ("15% - 3", "'%' could be per cent or the remainder: write '/ 100' or 'a % (b)'"),
    ("(3)%", "'%' could be per cent or the remainder: write '/ 100' or 'a % (b)'"),
    ("[1, 2]", "a list or dict is no result: give it to a function, as in max([1, 2])"),
    ('"K2"', "a text alone is nothing to calculate"),
    ('"K2" == "K2"', "expected a number, not the text 'K2'"),
    ("(1 < 2) + 1", "expected a number, not the truth value true"),
    ("1 and 2", "expected a comparison such as 1 < 2, not a number"),
    ("1 not in 2", f"{OPERATOR} '2'"),
    ("5 if 1 else 2", "expected a comparison such as 1 < 2, not a number"),
    ("max()", "max needs at least one number"),
    ("mean([])", "mean needs at least one number"),
    ("sqrt(1, 2)", "sqrt takes one number, not 2"),
    ("sqrt(-1)", "a root of a negative number is not real"),
    ("round(1.5, 0.5)", "round takes a whole number of decimals up to 60"),
    ("round()", "round takes a number and how many decimals, as in round(2.345, 2)"),
    ("argmax([1, 2])", 'argmax takes one dict, as in argmax({"Everest": 8848.86, "K2": 8611})'),
    ('argmax({"a": 1, "a": 2})', "the key 'a' appears twice"),
    ("argmax({1: 2})", "the keys of a dict are texts in quotes"),
    ("argmax({})", "the dict is empty"),
    ("max({1, 2})", "only arithmetic is allowed, not a Python Set"),
    ("max(*[1, 2])", "only arithmetic is allowed, not a Python Starred"),
    ("9 ** 9 ** 9", "a number gets too large: the limit is 1000 digits"),
    ("9 ** 9 ** 9 ** 9", "a number gets too large: the limit is 1000 digits"),
    ("10 ** 900 * 10 ** 900", "a number gets too large: the limit is 1000 digits"),
    ("2 ** 10 ** 16", "a number gets too large: the limit is 1000 digits"),
    ("0.5 ** 10 ** 16", "a number gets too close to 0: the limit is 1000 digits"),
    ("2 ** -9999", "a number gets too close to 0: the limit is 1000 digits"),
    ("0.1 ** 400", "the result is too close to 0"),
    ("10 ** 400 + 0.5", "the result is too large for a number with decimals"),
    ("1e999999999", "the exponent of '1e999999999' is beyond 400"),
]


@pytest.mark.parametrize(("expression", "problem"), MESSAGES)
def test_message(expression: str, problem: str) -> None:
    """The error quotes the expression and says what is wrong and what would be right."""
    assert message(expression) == f"cannot calculate {expression!r}: {problem}"


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("1+" * 1500 + "1", "longer than 2000 characters: split it into several calculations"),
        ("(" * 100 + "1" + ")" * 100, "more than 40 brackets deep: split it into several calculations"),
        ("-" * 1900 + "1", "more than 60 operations deep: split it into several calculations"),
        ("not " * 400 + "true", "more than 60 operations deep: split it into several calculations"),
        ("2 ** " * 300 + "1", "more than 60 operations deep: split it into several calculations"),
    ],
)
def test_bounds(expression: str, problem: str) -> None:
    """What is long or deep is refused at once, and quoted only in part."""
    start = time.perf_counter()
    text = message(expression)
    assert time.perf_counter() - start < 1
    assert text == f"cannot calculate {expression[:100] + '…'!r}: {problem}"


def test_long_sum() -> None:
    """A sum as long as an expression may be is no deep nesting."""
    assert value("+".join(["1"] * 1000)) == 1000


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("1 | 2", "the operators are + - * / // % **, not BitOr"),
        ("1 in 2", "the comparisons are < <= > >= == !="),
        ("1.5 + 1", "only arithmetic is allowed, not a Python Constant"),
        ("sum(x for x in y)", "only arithmetic is allowed, not a Python GeneratorExp"),
        ("().__class__", "only arithmetic is allowed, not a Python Attribute"),
        ("-" * 100_000 + "1", "more than 60 operations deep: split it into several calculations"),
    ],
)
def test_evaluator_alone(source: str, problem: str) -> None:
    """The evaluator is safe even for source the notation would not let through."""
    with pytest.raises(CalculationError) as raised:
        evaluate(source)
    assert str(raised.value) == problem
