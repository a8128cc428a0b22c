r"""Guards from text: what stands behind `when`, read with located complaints; never evaluated as code.

>>> print(read_guard('${1.total} > 100 and not ($2 or ${1.of} in ["a", null])', is_task=lambda n: n < 3))
${1.total} > 100 and not ($2 or ${1.of} in ["a", None])

May know: `call_syntax`, `guards`, `references`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import cast

from llmcompiler_graph.core.language.call_syntax import CallSyntaxError
from llmcompiler_graph.core.language.guards import (
    All,
    AnyOf,
    Comparison,
    Guard,
    Not,
    Operand,
    Operator,
    Truth,
    guard_references,
)
from llmcompiler_graph.core.language.references import (
    BRACED_PATH,
    JSON,
    PLAIN_PATH,
    Reference,
    parse_path,
    parse_template,
)
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("read_guard",)


_TOKEN = lazy_pattern(
    r"""[ \t\r\n]*(?:
      (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | [“„](?P<curly>[^“”„"\\]*)[“”]
    | \$\{\s*(?P<braced>[0-9]{1,9})(?P<braced_path>BRACED)\}
    | \$(?P<plain>[0-9]{1,9})(?P<plain_path>PLAIN)
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![\w.])
    | (?P<operator>==|!=|<=|>=|<|>)
    | (?P<word>[^\W\d]\w*)
    | (?P<mark>[()\[\],])
    | (?P<other>\S)
    )""".replace("BRACED", BRACED_PATH).replace("PLAIN", PLAIN_PATH),
    re.VERBOSE,
)
_CONSTANTS: dict[str, JSON] = {"true": True, "false": False, "null": None, "none": None}
_HOW = 'compare references and constants, as in `when ${1.total} > 100 and ${2.state} == "open"`'
_INSTEAD = {
    **dict.fromkeys(("is", "=", "equals"), "write `==` or `!=`"),
    **dict.fromkeys(("≥", "≤", "≠"), "write `>=`, `<=` or `!=`"),
    **dict.fromkeys(("&", "|", "!"), "write `and`, `or` or `not`"),
    **dict.fromkeys(("contains", "includes", "has"), 'write `"…" in $1`'),
    **dict.fromkeys(("unless", "else", "otherwise", "?"), "write `when not (…)`, for another call behind that one"),
    **dict.fromkeys(("while", "as", "repeat", "max", "every"), 'write `until ${2.state} == "done" max 10 every 5`'),
    **dict.fromkeys(("+", "-", "*", "/", "%"), "calculate it in a task of its own, and compare its result"),
}
"""What to write in place of what other languages have."""
_DEEPEST = 50


def read_guard(
    text: str,
    *,
    is_task: Callable[[int], bool],
    rename: Callable[[int], int] = lambda index: index,
    what: str = "guard",
    hint: str = _HOW,
) -> Guard:
    """Read what stands behind `when`.

    Args:
        text: It.
        is_task: Whether an index, as written, names a task that may be referred to here.
        rename: The index a written one stands for.
        what: What it is, as the code of the error.
        hint: How it is written.

    Raises:
        CallSyntaxError: It is no guard; `offset` says where.
    """
    return _Reader(text, is_task, rename, what, hint).read()


class _Reader:
    def __init__(
        self, text: str, is_task: Callable[[int], bool], rename: Callable[[int], int], what: str, hint: str
    ) -> None:
        self._is_task, self._rename = is_task, rename
        self._what, self._hint = what, hint
        self._tokens = [match for match in _TOKEN.finditer(text) if match[0].strip()]
        self._at = 0
        self._end = len(text)
        self._depth = 0

    def read(self) -> Guard:
        guard = self._any_of()
        if self._at < len(self._tokens):
            raise self._error(f"{self._token[0].strip()[:20]!r} does not belong to it")
        return guard

    @property
    def _token(self) -> re.Match[str]:
        return self._tokens[self._at]

    def _is(self, *words: str) -> bool:
        if self._at >= len(self._tokens):
            return False
        token = self._token
        return (token["word"] or token["operator"] or token["mark"] or "").lower() in words

    def _take(self, *words: str) -> bool:
        found = self._is(*words)
        self._at += found
        return found

    def _any_of(self) -> Guard:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self) -> Guard:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _not(self) -> Guard:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error("it is nested too deeply")
        try:
            if self._take("not"):
                return Not(self._not())
            if self._take("("):
                inner = self._any_of()
                if not self._take(")"):
                    raise self._error("a ')' is missing")
                return inner
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Guard:
        begun = self._at
        left = self._operand()
        operator = self._operator()
        if operator is None:
            if isinstance(left, Reference | bool):
                return Truth(left)
            self._at = begun
            raise self._error("a constant alone is no comparison")
        comparison = Comparison(left, operator, self._operand())
        if self._operator() is not None:
            self._at -= 1
            raise self._error("three values are compared at once", "join two comparisons with `and`")
        if not any(True for _ in guard_references(comparison)):
            self._at = begun
            raise self._error("constants alone are compared")
        return comparison

    def _operator(self) -> Operator | None:
        if self._is("not"):
            self._at += 1
            if self._take("in"):
                return "not in"
            raise self._error("behind `not`, `in` is missing")
        if self._is("==", "!=", "<", "<=", ">", ">=", "in"):
            self._at += 1
            token = self._tokens[self._at - 1]
            return cast("Operator", token["operator"] or "in")
        return None

    def _operand(self) -> Operand:
        if self._at >= len(self._tokens):
            raise self._error("a value is missing")
        token = self._token
        self._at += 1
        if token["string"] or token["curly"] is not None:
            return self._string(token["string"] or f'"{token["curly"]}"')
        if token["braced"] or token["plain"]:
            return self._reference(token)
        if token["number"]:
            written = token["number"]
            return int(written) if written.lstrip("-").isdigit() else float(written)
        if token["word"] and token["word"].lower() in _CONSTANTS:
            return _CONSTANTS[token["word"].lower()]
        if token["mark"] == "[":
            return self._list()
        self._at -= 1
        raise self._error(f"{token[0].strip()[:20]!r} is no value")

    def _list(self) -> JSON:
        values: list[JSON] = []
        while not self._take("]"):
            if values and not self._take(","):
                raise self._error("a ',' or ']' is missing")
            value = self._operand()
            if isinstance(value, Reference):
                self._at -= 1
                raise self._error("a reference stands in a list")
            values.append(value)
        return values

    def _string(self, written: str) -> Operand:
        try:
            text = ast.literal_eval(written)
        except (SyntaxError, ValueError):
            text = None
        parsed = parse_template(text, self._is_task, self._rename) if isinstance(text, str) else None
        if parsed is None or not isinstance(parsed.value, str | Reference) or parsed.unknown or parsed.malformed:
            self._at -= 1
            raise self._error(f"{written[:40]} is no constant text")
        return parsed.value

    def _reference(self, token: re.Match[str]) -> Reference:
        index, path = (
            int(token["braced"] or token["plain"]),
            parse_path(token["braced_path"] or token["plain_path"] or ""),
        )
        problem = ""
        if path is None:
            problem = f"{token[0].strip()!r} is no reference"
        elif not self._is_task(index):
            problem = f"it refers to task {index}, but no earlier task has that number"
        elif (reference := Reference(self._rename(index), path)).fans_out:
            problem = f"{token[0].strip()} has many values, where one is compared"
        else:
            return reference
        self._at -= 1
        raise self._error(problem, code="unknown-reference" if "no earlier task" in problem else "")

    def _error(self, what: str, hint: str = "", code: str = "") -> CallSyntaxError:
        match = self._token if self._at < len(self._tokens) else None
        offset = self._end if match is None else match.end() - len(match[0].lstrip())
        hint = hint or _INSTEAD.get(match[0].strip().lower() if match else "", self._hint)
        return CallSyntaxError(code or self._what, f"the {self._what} cannot be read: {what}", offset, hint)
