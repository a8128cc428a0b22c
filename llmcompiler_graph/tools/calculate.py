"""Turns an arithmetic expression into its exact value, offline: the `calculate` tool.

It also decides: comparisons, conditionals and `argmax` put "which is taller" into a task instead of a model's head.
What it cannot calculate is a `ToolException` that quotes the expression and says what would be right.

>>> calculate.invoke("8,848.86 - 8,611")
237.86
>>> calculate.invoke('argmax({"Everest": 8848.86, "K2": 8611})')
'Everest'
"""

import inspect
from typing import Annotated

from langchain_core.tools import ToolException, tool
from pydantic import WithJsonSchema

from llmcompiler_graph.tools.arithmetic import ARITIES, SELECTORS, evaluate
from llmcompiler_graph.tools.exact import CalculationError
from llmcompiler_graph.tools.notation import to_python

_MAX_QUOTED = 100
"""Characters of the expression an error message quotes."""


_ARITHMETIC = {"type": "string", "format": "arithmetic", "functions": ARITIES, "selectors": list(SELECTORS)}
"""What the text is: plans are then checked for numbers in it, and grammars offer the functions."""


@tool
def calculate(expression: Annotated[str, WithJsonSchema(_ARITHMETIC)]) -> int | float | bool | str:
    """Calculate an arithmetic expression of plain numbers, e.g. `calculate("8848.86 - 8611")` gives 237.86.

    Operators: + - * / // % ** and < <= > >= == !=, `and or not`, `a if condition else b`. Constants: pi e.
    Functions: min max sum mean median (numbers or a list), abs sqrt floor ceil, round(number, decimals).
    Which is largest: `calculate('argmax({"Everest": 8848.86, "K2": 8611})')` gives "Everest"; argmin: smallest.
    """
    try:
        return evaluate(to_python(expression))
    except CalculationError as error:
        quoted = expression if len(expression) <= _MAX_QUOTED else f"{expression[:_MAX_QUOTED]}…"
        raise ToolException(f"cannot calculate {quoted!r}: {error}") from error


calculate.description = inspect.cleandoc(calculate.description)
calculate.metadata = {"readOnlyHint": True, "idempotentHint": True}
