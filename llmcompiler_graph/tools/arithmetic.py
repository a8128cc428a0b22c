"""Turns Python source with integers only into its exact value: a safe evaluator over `ast`, never `eval`.

Every number is a `Fraction` (see `exact`), so `8848.86 - 8611` is `237.86` and `0.1 + 0.2 == 0.3`. The result is an
`int` if it is whole, else the nearest `float`. `round` takes ties away from zero, as people do (2.5 becomes 3), and
`argmax` and `argmin` the first of several equal values. Numbers, truth values and texts do not mix: each operation
says what it takes. `and`, `or` and `a if c else b` leave out what they need not know, as in Python.

>>> evaluate("(442443/50) - 8611")
237.86
>>> evaluate("argmax({'Everest': 8849, 'K2': 8611})")
'Everest'
"""

import ast
import math
import operator
import statistics
from collections.abc import Callable, Sequence
from fractions import Fraction

from llmcompiler_graph.tools.exact import PI, CalculationError, E, bounded, power

MAX_DEPTH = 60
"""Operations that may be nested in each other; a long sum is not nested."""
MAX_DECIMALS = 60
"""Decimals `round` can be asked for."""

Value = Fraction | bool | str
_CONSTANTS: dict[str, Fraction | bool] = {
    "pi": PI,
    "e": E,
    "True": True,
    "False": False,
    "true": True,
    "false": False,
}
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction | int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: power,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Fraction, Fraction], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_OF_ONE: dict[str, Callable[[Fraction], Fraction | int]] = {
    "abs": abs,
    "sqrt": lambda number: power(number, Fraction(1, 2)),
    "floor": math.floor,
    "ceil": math.ceil,
}
_OF_MANY: dict[str, Callable[[Sequence[Fraction]], Fraction | int]] = {
    "min": min,
    "max": max,
    "sum": sum,
    "mean": lambda numbers: sum(numbers) / Fraction(len(numbers)),
    "median": statistics.median,
}
_OF_DICT = {"argmin": min, "argmax": max}
FUNCTIONS = (*_OF_MANY, *_OF_ONE, "round", *_OF_DICT)
"""The names of all functions."""
ARITIES: dict[str, int | None] = {**dict.fromkeys(_OF_MANY), **dict.fromkeys(_OF_ONE, 1), "round": 2}
"""The functions of numbers: how many each takes at most, `None` for any number."""
SELECTORS = tuple(_OF_DICT)
"""The functions of one dict of numbers, which give a key of it."""


def evaluate(source: str) -> int | float | bool | str:
    """Evaluate Python source to one number, truth value or text.

    Raises:
        CalculationError: if it is not an expression, uses what is not allowed, passes a limit or has no value.
    """
    try:
        tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        raise CalculationError(f"not a complete expression ({error.msg})") from error
    except (RecursionError, MemoryError) as error:
        raise CalculationError(_TOO_DEEP) from error
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        raise CalculationError("a text alone is nothing to calculate")
    value = _evaluate(tree, 0)
    if not isinstance(value, Fraction):
        return value
    if value.denominator == 1:
        return int(value)
    try:
        number = float(value)
    except OverflowError:
        raise CalculationError("the result is too large for a number with decimals") from None
    if number == 0:
        raise CalculationError("the result is too close to 0")
    return number


_TOO_DEEP = f"more than {MAX_DEPTH} operations deep: split it into several calculations"


def _evaluate(node: ast.expr, depth: int) -> Value:
    if depth > MAX_DEPTH:
        raise CalculationError(_TOO_DEEP)
    depth += 1
    match node:
        case ast.Constant(value=bool() | str() as value):
            return value
        case ast.Constant(value=int() as value):
            return bounded(Fraction(value))
        case ast.Name(id=name):
            if name in _CONSTANTS:
                return _CONSTANTS[name]
            raise CalculationError(f"unknown name {name!r}: the names are pi and e, texts go in quotes")
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _truth(operand, depth)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, depth)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _number(operand, depth)
        case ast.BinOp():
            return _operations(node, depth)
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_truth(value, depth) for value in values)
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(_truth(value, depth) for value in values)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            return _comparisons(left, ops, comparators, depth)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _evaluate(body if _truth(test, depth) else orelse, depth)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _call(name, arguments, depth)
        case ast.Tuple():
            raise CalculationError("a comma outside a function or list: numbers are written 8848.86 or 8,848.86")
        case ast.List() | ast.Dict():
            raise CalculationError("a list or dict is no result: give it to a function, as in max([1, 2])")
        case _:
            raise CalculationError(f"only arithmetic is allowed, not a Python {type(node).__name__}")


def _operations(node: ast.expr, depth: int) -> Fraction:
    """Evaluate operators from left to right: a sum of a thousand terms is a loop, not a recursion."""
    steps: list[tuple[ast.operator, ast.expr]] = []
    while isinstance(node, ast.BinOp):
        steps.append((node.op, node.right))
        node = node.left
    value = _number(node, depth)
    for symbol, right in reversed(steps):
        apply = _OPERATORS.get(type(symbol))
        if apply is None:
            raise CalculationError(f"the operators are + - * / // % **, not {type(symbol).__name__}")
        try:
            value = bounded(Fraction(apply(value, _number(right, depth))))
        except ZeroDivisionError:
            raise CalculationError("division by zero") from None
    return value


def _comparisons(left: ast.expr, ops: list[ast.cmpop], comparators: list[ast.expr], depth: int) -> bool:
    value = _number(left, depth)
    for symbol, right in zip(ops, comparators, strict=True):
        compare = _COMPARISONS.get(type(symbol))
        if compare is None:
            raise CalculationError("the comparisons are < <= > >= == !=")
        other = _number(right, depth)
        if not compare(value, other):
            return False
        value = other
    return True


def _call(name: str, arguments: list[ast.expr], depth: int) -> Value:
    if name in _OF_DICT:
        if len(arguments) != 1 or not isinstance(arguments[0], ast.Dict):
            raise CalculationError(f'{name} takes one dict, as in {name}({{"Everest": 8848.86, "K2": 8611}})')
        numbers = _dict(arguments[0], depth)
        return _OF_DICT[name](numbers, key=numbers.__getitem__)
    if name in _OF_MANY:
        values = arguments[0].elts if len(arguments) == 1 and isinstance(arguments[0], ast.List) else arguments
        if not values and name != "sum":
            raise CalculationError(f"{name} needs at least one number")
        return bounded(Fraction(_OF_MANY[name]([_number(value, depth) for value in values])))
    if name in _OF_ONE:
        if len(arguments) != 1:
            raise CalculationError(f"{name} takes one number, not {len(arguments)}")
        return Fraction(_OF_ONE[name](_number(arguments[0], depth)))
    if name == "round":
        if len(arguments) not in {1, 2}:
            raise CalculationError("round takes a number and how many decimals, as in round(2.345, 2)")
        decimals = _number(arguments[1], depth) if len(arguments) == 2 else Fraction(0)
        if decimals.denominator != 1 or abs(decimals) > MAX_DECIMALS:
            raise CalculationError(f"round takes a whole number of decimals up to {MAX_DECIMALS}")
        return _round(_number(arguments[0], depth), int(decimals))
    raise CalculationError(f"unknown function {name!r}: the functions are {', '.join(FUNCTIONS)}")


def _round(number: Fraction, decimals: int) -> Fraction:
    unit = Fraction(10) ** -decimals
    rounded = math.floor(abs(number) / unit + Fraction(1, 2)) * unit
    return rounded if number >= 0 else -rounded


def _dict(node: ast.Dict, depth: int) -> dict[str, Fraction]:
    numbers: dict[str, Fraction] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            raise CalculationError("the keys of a dict are texts in quotes")
        if key.value in numbers:
            raise CalculationError(f"the key {key.value!r} appears twice")
        numbers[key.value] = _number(value, depth)
    if not numbers:
        raise CalculationError("the dict is empty")
    return numbers


def _number(node: ast.expr, depth: int) -> Fraction:
    value = _evaluate(node, depth)
    if isinstance(value, Fraction):
        return value
    raise CalculationError(f"expected a number, not {_describe(value)}")


def _truth(node: ast.expr, depth: int) -> bool:
    value = _evaluate(node, depth)
    if isinstance(value, bool):
        return value
    raise CalculationError(f"expected a comparison such as 1 < 2, not {_describe(value)}")


def _describe(value: Value) -> str:
    match value:
        case bool():
            return f"the truth value {str(value).lower()}"
        case str():
            return f"the text {value!r}"
        case _:
            return "a number"
