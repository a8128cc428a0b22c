"""The arguments of one call: Python call syntax with references and JSON's words, read with `ast`, never evaluated.

>>> parse_arguments('"K2", limit=2, tags=["a", $1], strict=true', is_task=lambda n: n == 1).named
{'limit': 2, 'tags': ['a', Reference(index=1, path=())], 'strict': True}

References, newlines in plain quotes, and the quotes and brackets of other languages are no Python, so the text is
rewritten first, and every offset is mapped back for diagnostics. An unquoted expression such as `$1 * 2` is taken as
its text, as if it had been quoted: what a calculator wants, and a type error anywhere else.

May know: `plain_arguments`, `references`, `substitution`, `walker`.
"""

from __future__ import annotations

import ast
import math
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from llmcompiler_graph.core.language.plain_arguments import plain_arguments
from llmcompiler_graph.core.language.references import (
    BRACED_PATH,
    Reference,
    Spread,
    Value,
    parse_path,
    parse_template,
    references,
)
from llmcompiler_graph.core.language.substitution import joined_surrogates
from llmcompiler_graph.core.language.walker import APOSTROPHES, MAY_FOLLOW, QUOTES
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Arguments", "CallSyntaxError", "parse_arguments")


class CallSyntaxError(Exception):
    """The arguments cannot be read; the parser turns it into a diagnostic.

    Attributes:
        code: The diagnostic's code.
        hint: What to write instead.
        offset: Where, counted from the start of the arguments.
    """

    def __init__(self, code: str, message: str, offset: int, hint: str = "") -> None:
        self.code = code
        self.hint = hint
        self.offset = offset
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Arguments:
    """A call's arguments, read."""

    positional: tuple[Value, ...]
    """Those given by position."""
    named: dict[str, Value]
    """Those given by name."""
    literal_dollars: tuple[int, ...] = ()
    """The `N` of each `$N` left as text in a string because there is no task `N`."""
    unknown: tuple[tuple[int, int], ...] = ()
    """The `N` of each reference to a task that is not there, and its offset."""


_STRAIGHT = r"""(?P<prefix>[rRbBuUfF]{0,2})(?P<quote>\"\"\"|\'\'\'|"|')(?:\\.|(?!(?P=quote))[^\\])*+(?P=quote)"""


def _in_quotes(opening: str, closing: str) -> str:
    """The pattern of a string in quotes that Python does not have."""
    apostrophe = rf"|[{closing}](?!{MAY_FOLLOW.pattern})" if closing[0] in APOSTROPHES else ""
    return rf"{opening}(?:\\.|[^\\{closing}]{apostrophe})*+[{closing}]"


_OTHER_QUOTES = "|".join(_in_quotes(*pair) for pair in QUOTES.items() if pair[0] not in "\"'")
_TOKEN = lazy_pattern(
    r"""
    (?P<string>STRAIGHT)
    |(?P<quoted>OTHER_QUOTES)
    |(?P<reference>\$\{\s*(?P<braced>[0-9]{1,9})(?P<braced_path>BRACED_PATH)\}
      |\$(?P<plain>[0-9]{1,9})(?P<plain_path>(?:\.[^\W\d]\w*|\[(?:-?[0-9]+|\*|"[^"\\]*"|'[^'\\]*')\])*))
    |(?P<word>[^\W\d][\w-]*+)(?P<named>(?=[ \t\r\n]*(?:=(?!=)|:)))?
    |(?P<number>(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+
      |(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?)[jJ]?)(?P<unit>\w+)?
    |(?P<spread>\]\s*\[\s*\*\s*\])
    |(?P<other>[ \t]+|\w+|.)
    """.replace("STRAIGHT", _STRAIGHT)
    .replace("OTHER_QUOTES", _OTHER_QUOTES)
    .replace("BRACED_PATH", BRACED_PATH),
    re.VERBOSE | re.DOTALL,
)
_FULL_WIDTH = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if chr(code) not in QUOTES}
_NARROW = _FULL_WIDTH | {ord("、"): ",", 0x3000: " "}
"""The full-width forms of ASCII, and what stands for a comma."""
_WIDE = f"[{''.join(map(chr, _NARROW))}]"
_HAS_WIDE = lazy_pattern(_WIDE)
_STRING_OR_WIDE = lazy_pattern(
    rf"{_STRAIGHT}|{_OTHER_QUOTES}|[{''.join(QUOTES)}].*|(?P<wide>{_WIDE}+)",
    re.DOTALL,  # a string that is not closed
)
_PIECE = lazy_pattern(
    r"""
    (?P<escape>\\(?:\r\n|[\r\n\\'"abfnrtv]|(?![4-7][0-7]{2})[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}
      |U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}|N\{[^{}]+\}))
    |(?P<backslash>\\)
    |(?P<newline>\r\n?|\n)
    |[^\\\r\n]+
    """,
    re.VERBOSE,
)
_UNWRITABLE = lazy_pattern("[\0\ud800-\udfff]")
_NESTS = {**dict.fromkeys("([{", 1), **dict.fromkeys(")]}", -1)}
_WORDS = {"true": True, "false": False, "null": None, "none": None}


class _Reader:
    def __init__(self, text: str, is_task: Callable[[int], bool], rename: Callable[[int], int]) -> None:
        if _HAS_WIDE.search(text):
            text = _STRING_OR_WIDE.sub(lambda m: m[0].translate(_NARROW) if m["wide"] else m[0], text)
        self.text = text
        self.is_task = is_task
        self.rename = rename
        self.references: dict[str, tuple[int, str, int]] = {}  # stand-in -> (index written, path, offset)
        self.keywords: dict[str, str] = {}
        self.literal: list[int] = []
        self.unknown: list[tuple[int, int]] = []
        self.pieces: list[str] = []  # the rewritten source
        self.offsets: list[int] = []  # for each character of it, the offset in the text
        self.stand_in = "__reference"  # no text may hold it
        while self.stand_in in text:
            self.stand_in += "_"
        self.spread = f"{self.stand_in}spread"
        self.columns: dict[int, list[int]] = {}  # line -> where each of its characters begins, in bytes

    def read(self) -> Arguments:
        self._rewrite()
        self.source = "".join(self.pieces)
        self.lines = self.source.split("\n")
        self.starts = list(accumulate((len(line) + 1 for line in self.lines), initial=0))
        call = self._parsed()
        positional = tuple(self._argument(node) for node in call.args)
        named: dict[str, Value] = {}
        for keyword in call.keywords:
            name = self._name(keyword)
            if name in named:
                raise self._error(keyword.value, "duplicate-argument", f"argument {name!r} is given twice")
            named[name] = self._argument(keyword.value)
        return Arguments(positional, named, tuple(self.literal), tuple(self.unknown))

    def _argument(self, node: ast.expr) -> Value:
        """A whole argument: it alone may be a list that fans out."""
        match node:
            case ast.Attribute(value=ast.List(elts=elements), attr=self.spread):
                spread = Spread(tuple(self._value(element) for element in elements))
                if any(reference.fans_out for reference in references(spread)):
                    hint = "give the reference with [*] alone, or a list without one"
                    raise self._error(node, "syntax", "an element of a list with [*] fans out itself", hint)
                return spread
            case _:
                return self._value(node)

    def _parsed(self) -> ast.Call:
        """The rewritten source as Python reads it."""
        try:
            call = ast.parse(self.source, mode="eval").body
        except SyntaxError as error:
            line = min(error.lineno or 1, len(self.lines)) - 1
            offset = self._offset(self.starts[line] + (error.offset or 1) - 1)
            msg = f"the arguments are not Python call syntax ({error.msg})"
            raise CallSyntaxError("syntax", msg, offset, "quote text, separate arguments with commas") from None
        except (RecursionError, MemoryError):
            raise CallSyntaxError("syntax", "the arguments are nested too deeply", 0, "pass smaller values") from None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise CallSyntaxError("syntax", "the brackets do not match", 0)
        return call

    def _name(self, keyword: ast.keyword) -> str:
        if keyword.arg is None:
            raise self._error(keyword.value, "syntax", "`**` is not part of the plan language", "name each argument")
        return self.keywords.get(keyword.arg, keyword.arg)

    def _rewrite(self) -> None:
        if unwritable := _UNWRITABLE.search(self.text):
            msg = f"the character {unwritable[0]!r} cannot stand in a plan"
            raise CallSyntaxError("syntax", msg, unwritable.start(), "leave it out")
        self._emit("_(", 0)
        depth = 0
        for match in _TOKEN.finditer(self.text):
            token = match[0]
            if match["string"] or match["quoted"]:
                self._emit_quoted(match)
                continue
            depth += _NESTS.get(token[0], 0)
            if match["reference"]:
                token = self._stand_in(match)
            elif match["spread"]:
                token = f"].{self.spread}"
            elif depth == 0 and match["named"] is not None:
                token = self._keyword(token)
            elif depth == 0 and token == ":":
                token = "="
            elif token == "\r":
                token = " "
            else:
                self._refuse(match)
            self._emit(token, match.start())
        self._emit(")", len(self.text))

    def _emit_quoted(self, match: re.Match[str]) -> None:
        start = match.start()
        if match["string"]:
            raw, triple = "r" in match["prefix"].lower(), len(match["quote"]) == 3
            self._emit_string(match[0], start, raw=raw, triple=triple)
        else:
            self._emit('"', start)
            self._emit_string(match[0][1:-1], start + 1, inner=True)
            self._emit('"', match.end() - 1)

    def _stand_in(self, match: re.Match[str]) -> str:
        """A Python name in the place of a reference."""
        name = f"{self.stand_in}{len(self.references)}__"
        path = match["braced_path"] or match["plain_path"] or ""
        self.references[name] = (int(match["braced"] or match["plain"]), path, match.start())
        return f" {name} "

    def _keyword(self, written: str) -> str:
        """An argument under a name of its own: `from` and `class` are fine names, only not in Python."""
        name = f"__keyword{len(self.keywords)}__"
        self.keywords[name] = written
        return name

    @staticmethod
    def _refuse(match: re.Match[str]) -> None:
        """Complain about what can stand nowhere.

        Raises:
            CallSyntaxError: It says so.
        """
        token, start = match[0], match.start()
        if match["unit"]:
            raise CallSyntaxError("syntax", f"{token!r} is not a value", start, f'quote it: "{token}"')
        if token in QUOTES:
            raise CallSyntaxError("syntax", "a string is not closed", start, "close it with its quote")
        if token == "$":
            raise CallSyntaxError("syntax", "'$' stands alone", start, "write `$N` for task N, or quote the text")

    def _emit_string(
        self, text: str, start: int, *, raw: bool = False, triple: bool = False, inner: bool = False
    ) -> None:
        """Write a string, or what stands inside quotes that Python does not have."""
        for found in _PIECE.finditer(text):
            piece = found[0]
            match found.lastgroup:
                case "newline" if not triple and not raw:
                    piece = "\\n"
                case "backslash" if not raw:
                    piece = "\\\\"
                case "newline" | "escape":
                    piece = piece.replace("\r\n", "\n").replace("\r", "\n")
                case _ if inner:
                    piece = piece.replace('"', '\\"')
            self._emit(piece, start + found.start())

    def _emit(self, piece: str, offset: int) -> None:
        self.pieces.append(piece)
        verbatim = self.text.startswith(piece, offset)
        self.offsets += range(offset, offset + len(piece)) if verbatim else [offset] * len(piece)

    def _offset(self, position: int) -> int:
        """The offset in the text of a position in the rewritten source."""
        return min(self.offsets[min(max(position, 0), len(self.offsets) - 1)], len(self.text))

    def _position(self, line: int, column: int) -> int:
        """The position in the rewritten source that `ast` gives as a line and a column in bytes."""
        text = self.lines[line - 1]
        if text.isascii():
            return self.starts[line - 1] + column
        if line not in self.columns:
            self.columns[line] = list(accumulate((len(char.encode()) for char in text), initial=0))
        return self.starts[line - 1] + bisect_left(self.columns[line], column)

    def _place(self, node: ast.expr) -> int:
        return self._offset(self._position(node.lineno, node.col_offset))

    def _written(self, node: ast.expr) -> str:
        """The text of a node as the plan has it, but with every reference in braces."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        end = self._position(node.end_lineno, node.end_col_offset)
        source = self.source[self._position(node.lineno, node.col_offset) : end]
        stand_in = lazy_pattern(rf" ?({re.escape(self.stand_in)}\d+__) ?")
        source = stand_in.sub(self._as_written, source.replace(f".{self.spread}", "[*]"))
        return " ".join(source.split())

    def _as_written(self, stand_in: re.Match[str]) -> str:
        index, path, _ = self.references[stand_in[1]]
        return f"${{{index}{path}}}"

    def _error(self, node: ast.expr, code: str, message: str, hint: str = "") -> CallSyntaxError:
        return CallSyntaxError(code, message, self._place(node), hint)

    def _value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as number)):
                self._value(node.operand)  # raises if it is too large
                return -number if isinstance(sign, ast.USub) else number
            case ast.Name(id=name):
                return self._word(name, node)
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                return [self._value(element) for element in elements]
            case ast.Dict(keys=keys, values=values):
                return {self._key(key, node): self._value(value) for key, value in zip(keys, values, strict=True)}
            case ast.BinOp() | ast.Compare() | ast.BoolOp() | ast.UnaryOp() | ast.IfExp():
                return self._expression(node)
            case ast.Call():
                hint = "give the inner call a line of its own and refer to it with `$N`, or quote the expression"
                raise self._error(node, "nested-call", "a call stands inside the arguments", hint)
            case _:
                raise self._no_literal(node)

    def _constant(self, node: ast.Constant) -> Value:
        match node.value:
            case str() as text:
                return self._string(joined_surrogates(text), node)
            case None | bool() as constant:
                return constant
            case int() as number if number.bit_length() < 10_000:  # more digits Python cannot write
                return number
            case float() as number if math.isfinite(number):
                return number
            case _:
                raise self._no_literal(node)

    def _word(self, name: str, node: ast.Name) -> Value:
        if name in self.references:
            return self._reference(name)
        if name.lower() in _WORDS:
            return _WORDS[name.lower()]
        raise self._error(node, "syntax", f"{name!r} is not a value", f'quote it: "{name}"')

    def _no_literal(self, node: ast.expr) -> CallSyntaxError:
        if isinstance(node, ast.Attribute) and node.attr == self.spread:
            hint = 'write `tool(["a", "b"][*])`'
            return self._error(node, "syntax", "only a list that is a whole argument may be followed by [*]", hint)
        written = self._written(node)
        msg = f"{written if len(written) <= 60 else written[:59] + '…'} is not a literal"
        return self._error(node, "syntax", msg, "use strings, numbers, lists, dicts and references")

    def _key(self, key: ast.expr | None, node: ast.expr) -> str:
        match key:
            case ast.Constant(value=str() as text):
                return joined_surrogates(text)
            case ast.Constant(value=int() | float() as number):
                return str(number)
            case _:
                raise self._error(key or node, "syntax", "a key is not a literal", "keys are plain strings")

    def _reference(self, name: str) -> Reference:
        index, path_text, offset = self.references[name]
        path = parse_path(path_text)
        if path is None:
            msg = f"{path_text!r} is not a path"
            raise CallSyntaxError("syntax", msg, offset, "write `${1.items[0].id}` or `${1[*].id}`")
        if not self.is_task(index):
            self.unknown.append((index, offset))
            return Reference(index, path)
        return Reference(self.rename(index), path)

    def _string(self, text: str, node: ast.expr) -> Value:
        parsed = parse_template(text, self.is_task, self.rename)
        for written in parsed.malformed:
            hint = "write `${1.items[0].id}`, or `$$` for a dollar sign"
            raise self._error(node, "syntax", f"{written!r} is not a reference", hint)
        self.literal += parsed.literal_dollars
        self.unknown += [(n, self._place(node)) for n in parsed.unknown]
        return parsed.value

    def _expression(self, node: ast.expr) -> Value:
        for inner in ast.walk(node):
            match inner:
                case ast.Call() | ast.Attribute() | ast.Subscript() | ast.Lambda() | ast.NamedExpr():
                    return self._value(inner)  # raises, located
                case ast.Name(id=name) if name not in self.references:
                    raise self._error(inner, "syntax", "an unquoted expression holds words", "quote the expression")
                case ast.Constant(value=str() | bytes()) | ast.JoinedStr():
                    hint = 'write one string with the references inside it: "… $1 …"'
                    raise self._error(inner, "syntax", "an unquoted expression holds a string", hint)
        return self._string(self._written(node), node)


def parse_arguments(
    text: str, *, is_task: Callable[[int], bool], rename: Callable[[int], int] = lambda index: index
) -> Arguments:
    """Read what stands between a call's parentheses.

    Args:
        text: The plan's own text, without the parentheses.
        is_task: Whether an index, as written, names a task that may be referred to here.
        rename: The index a written one stands for.

    Raises:
        CallSyntaxError: It is no call syntax; `offset` says where.
    """
    plain = plain_arguments(text, is_task, rename)
    return _Reader(text, is_task, rename).read() if plain is None else Arguments(*plain)
