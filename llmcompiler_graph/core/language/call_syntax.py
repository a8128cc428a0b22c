"""The arguments of one call: Python call syntax with references and JSON's words, read with `ast`, never evaluated.

>>> parse_arguments('"K2", limit=2, tags=["a", $1], strict=true', is_task=lambda n: n == 1).named
{'limit': 2, 'tags': ['a', Reference(index=1, path=())], 'strict': True}

References and newlines in plain quotes are no Python, so the text is rewritten first, and every offset is mapped back
for diagnostics. An unquoted expression such as `$1 * 2` is taken as its text, as if it had been quoted: what a
calculator wants, and a type error anywhere else.

May know: `references`.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from llmcompiler_graph.core.language.references import (
    BRACED_PATH,
    Reference,
    Value,
    joined_surrogates,
    parse_path,
    parse_template,
)

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
    literal_dollars: tuple[int, ...]
    """The `N` of each `$N` left as text in a string because there is no task `N`."""
    unknown: tuple[tuple[int, int], ...]
    """The `N` of each reference to a task that is not there, and its offset."""


_TOKEN = re.compile(
    r"""
    (?P<string>(?P<prefix>[rRbBuUfF]{0,2})(?P<quote>\"\"\"|\'\'\'|"|')(?:\\.|(?!(?P=quote))[^\\])*+(?P=quote))
    |(?P<reference>\$\{\s*(?P<braced>[0-9]{1,9})(?P<braced_path>BRACED_PATH)\}
      |\$(?P<plain>[0-9]{1,9})(?P<plain_path>(?:\.[^\W\d]\w*|\[(?:-?[0-9]+|\*|"[^"\\]*"|'[^'\\]*')\])*))
    |(?P<keyword>[^\W\d][\w-]*)(?=[ \t\r\n]*(?:=(?!=)|:))
    |(?P<other>\w+|.)
    """.replace("BRACED_PATH", BRACED_PATH),
    re.VERBOSE | re.DOTALL,
)
_PIECE = re.compile(
    r"""
    (?P<escape>\\(?:\r\n|[\r\n\\'"abfnrtv]|(?![4-7][0-7]{2})[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}
      |U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}|N\{[^{}]+\}))
    |(?P<backslash>\\)
    |(?P<newline>\r\n?|\n)
    |[^\\\r\n]+
    """,
    re.VERBOSE,
)
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_STAND_IN = re.compile(r" ?(__reference\d+__) ?")
_WORDS = {"true": True, "false": False, "null": None, "none": None}


class _Reader:
    def __init__(self, text: str, is_task: Callable[[int], bool], rename: Callable[[int], int]) -> None:
        self.text = text
        self.is_task = is_task
        self.rename = rename
        self.references: dict[str, tuple[int, str, int]] = {}  # stand-in -> (index written, path, offset)
        self.keywords: dict[str, str] = {}
        self.literal: list[int] = []
        self.unknown: list[tuple[int, int]] = []
        self.pieces: list[str] = []  # the rewritten source
        self.offsets: list[int] = []  # for each character of it, the offset in the text

    def read(self) -> Arguments:
        self._rewrite()
        self.source = "".join(self.pieces)
        self.lines = self.source.split("\n")
        self.starts = list(accumulate((len(line) + 1 for line in self.lines), initial=0))
        try:
            tree = ast.parse(self.source, mode="eval")
        except SyntaxError as error:
            line = min(error.lineno or 1, len(self.lines)) - 1
            offset = self._offset(self.starts[line] + (error.offset or 1) - 1)
            msg = f"the arguments are not Python call syntax ({error.msg})"
            raise CallSyntaxError("syntax", msg, offset, "quote text, separate arguments with commas") from None
        except (RecursionError, MemoryError):
            raise CallSyntaxError("syntax", "the arguments are nested too deeply", 0, "pass smaller values") from None
        call = tree.body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise CallSyntaxError("syntax", "the brackets do not match", 0)
        positional = tuple(self._value(node) for node in call.args)
        named: dict[str, Value] = {}
        for keyword in call.keywords:
            if keyword.arg is None:
                raise self._error(
                    keyword.value, "syntax", "`**` is not part of the plan language", "name each argument"
                )
            name = self.keywords.get(keyword.arg, keyword.arg)
            if name in named:
                raise self._error(keyword.value, "duplicate-argument", f"argument {name!r} is given twice")
            named[name] = self._value(keyword.value)
        return Arguments(positional, named, tuple(self.literal), tuple(self.unknown))

    def _rewrite(self) -> None:
        if unwritable := _UNWRITABLE.search(self.text):
            msg = f"the character {unwritable[0]!r} cannot stand in a plan"
            raise CallSyntaxError("syntax", msg, unwritable.start(), "leave it out")
        self._emit("_(", 0)
        depth = 0
        for match in _TOKEN.finditer(self.text):
            token, start = match[0], match.start()
            if match["string"]:
                self._emit_string(match)
                continue
            if match["reference"]:
                name = f"__reference{len(self.references)}__"
                path = match["braced_path"] or match["plain_path"] or ""
                self.references[name] = (int(match["braced"] or match["plain"]), path, start)
                token = f" {name} "
            elif match["keyword"] and depth == 0:
                # under a name of its own: `from` and `class` are fine names for arguments, only not in Python
                name = f"__keyword{len(self.keywords)}__"
                self.keywords[name] = token
                token = name
            elif token in "([{":
                depth += 1
            elif token in ")]}":
                depth -= 1
            elif token == ":" and depth == 0:
                token = "="
            elif token == "\r":
                token = " "
            elif token in "\"'":
                raise CallSyntaxError("syntax", "a string is not closed", start, "close it with its quote")
            elif token == "$":
                raise CallSyntaxError("syntax", "'$' stands alone", start, "write `$N` for task N, or quote the text")
            self._emit(token, start)
        self._emit(")", len(self.text))

    def _emit_string(self, match: re.Match[str]) -> None:
        raw, triple = "r" in match["prefix"].lower(), len(match["quote"]) == 3
        for piece in _PIECE.finditer(match[0]):
            text = piece[0].replace("\r\n", "\n").replace("\r", "\n")
            if piece["newline"] and not triple and not raw:
                text = "\\n"
            elif piece["backslash"] and not raw:
                text = "\\\\"
            self._emit(text, match.start() + piece.start())

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
        return self.starts[line - 1] + (column if text.isascii() else len(text.encode()[:column].decode()))

    def _place(self, node: ast.expr) -> int:
        return self._offset(self._position(node.lineno, node.col_offset))

    def _written(self, node: ast.expr) -> str:
        """The text of a node as the plan has it, but with every reference in braces."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        end = self._position(node.end_lineno, node.end_col_offset)
        source = self.source[self._position(node.lineno, node.col_offset) : end]
        return " ".join(_STAND_IN.sub(self._as_written, source).split())

    def _as_written(self, stand_in: re.Match[str]) -> str:
        if stand_in[1] not in self.references:
            return stand_in[0]
        index, path, _ = self.references[stand_in[1]]
        return f"${{{index}{path}}}"

    def _error(self, node: ast.expr, code: str, message: str, hint: str = "") -> CallSyntaxError:
        return CallSyntaxError(code, message, self._place(node), hint)

    def _value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=str() as text):
                return self._string(joined_surrogates(text), node)
            case ast.Constant(value=None | bool() as constant):
                return constant
            case ast.Constant(value=int() as number) if number.bit_length() < 10_000:  # more digits Python cannot write
                return number
            case ast.Constant(value=float() as number) if math.isfinite(number):
                return number
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as number)):
                self._value(node.operand)  # raises if it is too large
                return -number if isinstance(sign, ast.USub) else number
            case ast.Name(id=name) if name in self.references:
                return self._reference(name)
            case ast.Name(id=name) if name.lower() in _WORDS:
                return _WORDS[name.lower()]
            case ast.Name(id=name):
                raise self._error(node, "syntax", f"{name!r} is not a value", f'quote it: "{name}"')
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
                written = self._written(node)
                msg = f"{written if len(written) <= 60 else written[:59] + '…'} is not a literal"
                raise self._error(node, "syntax", msg, "use strings, numbers, lists, dicts and references")

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
    return _Reader(text, is_task, rename).read()
