r"""Turns arithmetic as people and models write it into Python source without decimals.

Knows spelling, not meaning: tokens and brackets in, tokens out. Signs such as `\N{DIVISION SIGN}` become Python's, and
decimals ratios of integers, so no binary floating point ever enters. What has two readings is an error, not a choice:

- A comma between groups of three digits is a thousands separator outside function calls, lists and dicts (`8,848.86`).
  Inside them it separates values where that is plain (`[100,200,300]`, `max(9, 10)`); `max(8,848, 8,611)` is refused.
- `%` after a number is per cent where no second operand follows (`200 * 15%`, `15% of 200`), else the remainder
  (`7 % 3`). `200 + 15%` (200.15 or 230?) and `15% - 3` are refused.

>>> to_python("8,848.86 ^ 2")
'(442443/50) ** 2'
>>> to_python("15% of 200")
'(15/100) * 200'
"""

import re
from fractions import Fraction

from llmcompiler_graph.tools.exact import CalculationError

MAX_LENGTH = 2_000
"""Characters an expression may have."""
MAX_NESTING = 40
"""Brackets that may be open at once."""
MAX_EXPONENT = 400
"""The largest `n` of a number written `1e±n`."""


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]*)?|[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<name>[^\W\d]\w*)
    |(?P<sign>\*\*|//|<=|>=|==|!=|[-+*/%<>()\[\]{},:])""",
    re.VERBOSE,
)
_SIGNS = {
    "\N{MULTIPLICATION SIGN}": "*",
    "\N{MIDDLE DOT}": "*",
    "\N{DOT OPERATOR}": "*",
    "\N{DIVISION SIGN}": "/",
    "\N{DIVISION SLASH}": "/",
    "\N{FRACTION SLASH}": "/",
    "\N{MINUS SIGN}": "-",
    "\N{EN DASH}": "-",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{NOT EQUAL TO}": "!=",
    "^": "**",
}
_KEYWORDS = {"if", "else", "and", "or", "not"}
_HINTS = {"=": "; compare with '=='", "$": "; a reference was not filled in", "!": "; 'not' or '!=' is meant?"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def to_python(expression: str) -> str:
    """Rewrite an expression as Python source with integers only.

    Raises:
        CalculationError: if a character, a comma or a `%` cannot be read, or a limit is passed.
    """
    if len(expression) > MAX_LENGTH:
        raise CalculationError(f"longer than {MAX_LENGTH} characters: split it into several calculations")
    return " ".join(_Rewriter(expression).run())


class _Rewriter:
    def __init__(self, text: str) -> None:
        self.text = text
        self.spaced = re.search(r",\s", text) is not None
        self.position = 0
        self.out: list[str] = []
        self.kinds: list[str] = []
        """What each token of `out` is: a group name of `_TOKEN`, `"percent"` or `"keyword"`."""
        self.brackets: list[bool] = []
        """For each open bracket: whether commas in it separate values."""

    def run(self) -> list[str]:
        while self.position < len(self.text):
            character = self.text[self.position]
            if character in _SIGNS:
                kind, token, end = "sign", _SIGNS[character], self.position + 1
            elif match := _TOKEN.match(self.text, self.position):
                kind, token, end = str(match.lastgroup), match.group(), match.end()
            else:
                raise CalculationError(f"unexpected {character!r}{_HINTS.get(character, '')}")
            self.position = end
            match kind:
                case "number":
                    self.number(token, start=end - len(token))
                case "name":
                    self.name(token)
                case "text":
                    self.emit(repr(_unescape(token[1:-1])), kind)
                case "sign":
                    self.sign(token)
        return self.out

    def emit(self, token: str, kind: str) -> None:
        self.out.append(token)
        self.kinds.append(kind)

    def value_before(self, end: int) -> bool:
        """Whether the tokens before position `end` of `out` end in a value, so that an operator must follow."""
        if end <= 0 or self.kinds[end - 1] == "keyword":
            return False
        return self.kinds[end - 1] != "sign" or self.out[end - 1] in {")", "]", "}"}

    def number(self, token: str, start: int) -> None:
        if self.value_before(len(self.out)):
            raise CalculationError(f"an operator is missing before {token!r}")
        if "," in token and self.brackets and self.brackets[-1]:
            in_tight_list = self.text[start - 1] == "," or token.index(",") == 3
            if self.spaced or not in_tight_list:
                spread, joined = token.replace(",", ", "), token.replace(",", "")
                raise CalculationError(f"{token!r} could be one number or several: write '{joined}' or '{spread}'")
            self.emit(", ".join(map(_exact, token.split(","))), "number")
        else:
            self.emit(_exact(token.replace(",", "")), "number")

    def name(self, token: str) -> None:
        if token in _KEYWORDS:
            self.emit(token, "keyword")
        elif not self.value_before(len(self.out)):
            self.emit("pi" if token == "π" else token, "name")
        elif token in {"x", "X"} or (token == "of" and self.kinds[-1] == "percent"):
            self.emit("*", "sign")
        else:
            raise CalculationError(f"unexpected {token!r} after a value: write numbers without units or words")

    def sign(self, token: str) -> None:
        if token == "%" and self.percent():
            return
        if token in {"(", "[", "{"}:
            if self.value_before(len(self.out)) and (token != "(" or self.kinds[-1] != "name"):
                raise CalculationError(f"an operator is missing before {token!r}")
            self.brackets.append(token != "(" or self.kinds[-1:] == ["name"])
            if len(self.brackets) > MAX_NESTING:
                raise CalculationError(f"more than {MAX_NESTING} brackets deep: split it into several calculations")
        elif token in {")", "]", "}"} and self.brackets:
            self.brackets.pop()
        self.emit(token, "sign")

    def percent(self) -> bool:
        """Rewrite the number before a `%` if the sign means per cent."""
        rest = self.text[self.position :].lstrip()
        word = re.match(r"[^\W\d]\w*", rest)
        if (rest[:1] and rest[0] in "0123456789.([{") or (word and word[0] not in _KEYWORDS | {"of"}):
            return False
        sign = _SIGNS.get(rest[:1], rest[:1])
        if sign in {"+", "-"} or self.kinds[-1:] != ["number"]:
            raise CalculationError("'%' could be per cent or the remainder: write '/ 100' or 'a % (b)'")
        if self.out[-2:-1] in (["+"], ["-"]) and self.value_before(len(self.out) - 2):
            raise CalculationError(
                f"a percentage after {self.out[-2]!r} could be of 1 or of what precedes it: use '/ 100' and '*'"
            )
        self.out[-1] = f"({self.out[-1]}/100)"
        self.kinds[-1] = "percent"
        return True


def _exact(number: str) -> str:
    """Write a decimal as an integer or a bracketed ratio of integers."""
    exponent = re.search(r"[eE]([+-]?[0-9]+)", number)
    if exponent and abs(int(exponent[1])) > MAX_EXPONENT:
        raise CalculationError(f"the exponent of {number!r} is beyond {MAX_EXPONENT}")
    value = Fraction(number)
    return str(value) if value.denominator == 1 else f"({value})"


def _unescape(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        escape = match[1]
        return chr(int(escape[1:], 16)) if len(escape) > 1 else _ESCAPES.get(escape, escape)

    return re.sub(r"(?s)\\(u[0-9a-fA-F]{4}|.)", character, text)
