import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.language.call_syntax import Arguments, CallSyntaxError, parse_arguments
from llmcompiler_graph.core.language.references import Reference, Template, Value

QUOTE = "quote text, separate arguments with commas"
COMMA = "the arguments are not Python call syntax (invalid syntax. Perhaps you forgot a comma?)"
ORDER = "the arguments are not Python call syntax (positional argument follows keyword argument)"
DOLLAR = "write `$N` for task N, or quote the text"
PATH = "write `${1.items[0].id}` or `${1[*].id}`"
BRACES = "write `${1.items[0].id}`, or `$$` for a dollar sign"
NESTED = "give the inner call a line of its own and refer to it with `$N`, or quote the expression"
CONCATENATED = 'write one string with the references inside it: "… $1 …"'
LITERALS = "use strings, numbers, lists, dicts and references"


def read(text: str) -> Arguments:
    """Read arguments where tasks 1 and 2 are known."""
    return parse_arguments(text, is_task={1, 2}.__contains__)


def value_of(text: str) -> Value:
    """Read one argument."""
    arguments = read(text)
    assert not arguments.named
    (value,) = arguments.positional
    return value


def complaint(text: str) -> tuple[str, str, str, str]:
    """Read arguments that are none: code, message, the text from where it is wrong, and hint."""
    with pytest.raises(CallSyntaxError) as caught:
        read(text)
    return caught.value.code, str(caught.value), text[caught.value.offset :], caught.value.hint


# -- what can be read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("+1.5", 1.5),
        ("0xff", 255),
        ("1e3", 1000.0),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("None", None),
        ("[1, (2, 3), {4}, []]", [1, [2, 3], [4], []]),
        ("{'a': {\"b\": null}, 1: 2, 1.5: 3}", {"a": {"b": None}, "1": 2, "1.5": 3}),
        ("{}", {}),
        ("'a' \"b\"", "ab"),
        ("u'a'", "a"),
        ('"\\u00e9\\n\\t\\x41\\101\\0"', "é\n\tAA\0"),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\ud83d"', "\ufffd"),
        ("{'\\ud83d\\ude00': 1}", {"😀": 1}),
        ('"\\d \\. \\/ \\8 \\x4 \\u12 \\U00110000 \\400 \\N"', "\\d \\. \\/ \\8 \\x4 \\u12 \\U00110000 \\400 \\N"),
        ('"\\\\d \\\\\\d"', "\\d \\\\d"),
        ('"""\\d \\\\ "q" """', '\\d \\ "q" '),
        ("r'\\d\\n'", "\\d\\n"),
        ("R'''a\n\\b'''", "a\n\\b"),
        ('"a\nb"', "a\nb"),
        ('"a\r\nb\rc"', "a\nb\nc"),
        ('"""a\r\nb\rc"""', "a\nb\nc"),
        ('"a\\\nb"', "ab"),
        ('"a\\\r\nb"', "ab"),
        ("'''a''b'''", "a''b"),
        ('"" ""', ""),
        ("''", ""),
        ("$1", Reference(1)),
        ("${1}", Reference(1)),
        ("${ 1 }", Reference(1)),
        ("$1.a[0]", Reference(1, ("a", 0))),
        ("$1['a b'][-1]", Reference(1, ("a b", -1))),
        ('${1["}"]}', Reference(1, ("}",))),
        ("['$1', \"${2.a}\"]", [Reference(1), Reference(2, ("a",))]),
        ("'$1 x'", Template((Reference(1), " x"))),
        ("{'$1': '$1'}", {"$1": Reference(1)}),
        ("  1  ", 1),
        ("\n 1,\r\n", 1),
        ("1 # one\n", 1),
    ],
)
def test_values(text: str, value: Value) -> None:
    """Python's literals, JSON's words, references, and strings as models write them."""
    read_value = value_of(text)
    assert read_value == value
    assert type(read_value) is type(value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a=1", {"a": 1}),
        ("a: 1, b : 'x'", {"a": 1, "b": "x"}),
        ("from=1, class=2, None=3, not=4", {"from": 1, "class": 2, "None": 3, "not": 4}),
        ("a\n=\n1,\n", {"a": 1}),
        ("user-agent='x', x-y-z: 1", {"user-agent": "x", "x-y-z": 1}),
        ("ﬁ=1, größe=2", {"ﬁ": 1, "größe": 2}),
        ("__keyword0__=1, a={'b': 2}", {"__keyword0__": 1, "a": {"b": 2}}),
        ("a\\\n=1", {"a": 1}),
        ("a=$1 == 2", {"a": Template((Reference(1), " == 2"))}),
    ],
)
def test_names(text: str, named: dict[str, Value]) -> None:
    """Any word can name an argument, also Python's own, and JSON's colon is an equals sign."""
    assert read(text) == Arguments((), named, (), ())


def test_positions_come_before_names() -> None:
    """A call takes arguments by position, then by name, and may end with a comma."""
    assert read("1, 'x', a=2,") == Arguments((1, "x"), {"a": 2}, (), ())
    assert read("") == Arguments((), {}, (), ())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2", "1 + 2"),
        ("$1 * 2", Template((Reference(1), " * 2"))),
        ("($1+$2)/2", Template(("(", Reference(1), "+", Reference(2), ")/2"))),
        ("-$1", Template(("-", Reference(1)))),
        ("--1", "--1"),
        ("$1.a[0]\n  %\t2", Template((Reference(1, ("a", 0)), " % 2"))),
        ("not $1 or $2 > 3", Template(("not ", Reference(1), " or ", Reference(2), " > 3"))),
        ("1 if $1 else 0", Template(("1 if ", Reference(1), " else 0"))),
        ("[1 + 1]", ["1 + 1"]),
        ("{'k': 2 ** 3}", {"k": "2 ** 3"}),
        ("[1] * 2", "[1] * 2"),
    ],
)
def test_an_unquoted_expression_is_its_text(text: str, value: Value) -> None:
    """An unquoted expression is read as if it were quoted, with its references, whatever its operators mean."""
    assert value_of(text) == value


def test_an_expression_and_others_around_it() -> None:
    """Only the expression is taken as text, also behind characters of several bytes and over lines."""
    assert read("'é', ('ü',\n 'é', 1 + $1), a=$1 - 1").positional == (
        "é",
        ["ü", "é", Template(("1 + ", Reference(1)))],
    )


# -- references that lead to no task ----------------------------------------------------------------------------------


def test_unknown_references_are_listed_with_their_places() -> None:
    """Bare ones stand where they are, those in a string or an expression where it begins."""
    text = "$7, 'é', ['x ${8}', $9.a], a=2 * $7, b=3, c='''\n${8} ${9}'''"
    assert [(n, text[offset:][:4]) for n, offset in read(text).unknown] == [
        (7, "$7, "),
        (8, "'x $"),
        (9, "$9.a"),
        (7, "2 * "),
        (8, "'''\n"),
        (9, "'''\n"),
    ]


def test_places_are_right_after_what_was_rewritten() -> None:
    """Escapes, line ends and references before it do not move a place."""
    text = '"\\d\\d", "a\n\nb", "a\r\nb", """é\r\n""", $1, from=$2, x=[\r\n\r\n  $9]'
    assert read(text).unknown == ((9, text.index("$9")),)


def test_dollars_left_as_text_are_listed() -> None:
    """`$N` without a task `N` in a string is text that may yet turn out to be a reference."""
    assert read("'$7 $8', a='$7 $1'").literal_dollars == (7, 8, 7)


def test_references_are_renamed() -> None:
    """Bare, in strings, in expressions: what is written is asked for, what it stands for is kept."""
    arguments = parse_arguments("$1, '$1 $3', $1 + 1", is_task={1}.__contains__, rename=lambda n: n + 10)
    assert arguments.positional == (Reference(11), Template((Reference(11), " $3")), Template((Reference(11), " + 1")))


# -- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "message", "rest", "hint"),
    [
        ("a b", "syntax", COMMA, "a b", QUOTE),
        ("1, 2 3", "syntax", COMMA, "2 3", QUOTE),
        ("a=1, 2", "syntax", ORDER, "", QUOTE),
        ("1,\r\n\r\n  2 3", "syntax", COMMA, "2 3", QUOTE),
        ("1, K2", "syntax", "'K2' is not a value", "K2", 'quote it: "K2"'),
        ("'é',\n['ü', K2]", "syntax", "'K2' is not a value", "K2]", 'quote it: "K2"'),
        ("1, $", "syntax", "'$' stands alone", "$", DOLLAR),
        ("$x", "syntax", "'$' stands alone", "$x", DOLLAR),
        ("${1", "syntax", "'$' stands alone", "${1", DOLLAR),
        ("1, 'a", "syntax", "a string is not closed", "'a", "close it with its quote"),
        ('"a', "syntax", "a string is not closed", '"a', "close it with its quote"),
        ("'a\0'", "syntax", "the character '\\x00' cannot stand in a plan", "\0'", "leave it out"),
        ("'\udead'", "syntax", "the character '\\udead' cannot stand in a plan", "\udead'", "leave it out"),
        ("1) + (2", "syntax", "the brackets do not match", "1) + (2", ""),
        (")(", "syntax", "the brackets do not match", ")(", ""),
        ("a=1, a=2", "duplicate-argument", "argument 'a' is given twice", "2", ""),
        ("a=1, a: 2", "duplicate-argument", "argument 'a' is given twice", "2", ""),
        ("**{'a': 1}", "syntax", "`**` is not part of the plan language", "{'a': 1}", "name each argument"),
        ("*[1]", "syntax", "*[1] is not a literal", "*[1]", LITERALS),
        ("1, f'{1}'", "syntax", "f'{1}' is not a literal", "f'{1}'", LITERALS),
        ("b'x'", "syntax", "b'x' is not a literal", "b'x'", LITERALS),
        ("1e999", "syntax", "1e999 is not a literal", "1e999", LITERALS),
        ("-1e999", "syntax", "1e999 is not a literal", "1e999", LITERALS),
        ("2j", "syntax", "2j is not a literal", "2j", LITERALS),
        ("...", "syntax", "... is not a literal", "...", LITERALS),
        ("a.b", "syntax", "a.b is not a literal", "a.b", LITERALS),
        ("(lambda: $1.a)", "syntax", "lambda: ${1.a} is not a literal", "lambda: $1.a)", LITERALS),
        ("[$1 for x in y]", "syntax", "[${1} for x in y] is not a literal", "[$1 for x in y]", LITERALS),
        (
            "(__reference1__, $1).x",
            "syntax",
            "(__reference1__, ${1}).x is not a literal",
            "(__reference1__, $1).x",
            LITERALS,
        ),
        ("0x" + "f" * 5000, "syntax", "0x" + "f" * 57 + "… is not a literal", "0x" + "f" * 5000, LITERALS),
        ("{a: 1}", "syntax", "a key is not a literal", "a: 1}", "keys are plain strings"),
        ("{$1: 1}", "syntax", "a key is not a literal", "$1: 1}", "keys are plain strings"),
        ("{1: 2, **{}}", "syntax", "a key is not a literal", "{1: 2, **{}}", "keys are plain strings"),
        ("${1.a b}", "syntax", "'.a b' is not a path", "${1.a b}", PATH),
        ("1, 'x ${1.a b}'", "syntax", "'${1.a b}' is not a reference", "'x ${1.a b}'", BRACES),
        ("x=1 + ${1.}", "syntax", "'${1.}' is not a reference", "1 + ${1.}", BRACES),
        ("2 * pi", "syntax", "an unquoted expression holds words", "pi", "quote the expression"),
        ("not x", "syntax", "an unquoted expression holds words", "x", "quote the expression"),
        ("1 + a.b", "syntax", "a.b is not a literal", "a.b", LITERALS),
        ("'a $7' + $1", "syntax", "an unquoted expression holds a string", "'a $7' + $1", CONCATENATED),
        ("$1 + f'a'", "syntax", "an unquoted expression holds a string", "f'a'", CONCATENATED),
        ("f(1)", "nested-call", "a call stands inside the arguments", "f(1)", NESTED),
        ("1 + f(1)", "nested-call", "a call stands inside the arguments", "f(1)", NESTED),
        ("1 and\n f(1)", "nested-call", "a call stands inside the arguments", "f(1)", NESTED),
    ],
)
def test_complaints(text: str, code: str, message: str, rest: str, hint: str) -> None:
    """Each has a code, a message that names what is wrong, its place and what to write instead."""
    assert complaint(text) == (code, message, rest, hint)


def outcome(text: str) -> Arguments | CallSyntaxError:
    """Read arguments, or the complaint about them."""
    try:
        return read(text)
    except CallSyntaxError as error:
        return error


@pytest.mark.parametrize("text", ["[" * 500 + "]" * 500, "-" * 50_000 + "1", "1" + "+1" * 50_000, "a" + ".a" * 50_000])
def test_deep_nesting_is_a_complaint(text: str) -> None:
    """Python's limits on nesting end in a complaint, not in its own errors."""
    error = outcome(text)
    assert isinstance(error, CallSyntaxError)
    assert error.code == "syntax"


pieces = st.sampled_from([*"$12{}[]()'\"\\,:=.+-* \n\r#abrf", '"""', "${1", "$1", "a=", "'a'", "true", "\\u", "[*]"])


@settings(max_examples=200)
@given(text=st.one_of(st.lists(pieces, max_size=25).map("".join), st.text(string.printable), st.text()))
def test_no_text_raises_anything_else(text: str) -> None:
    """Whatever stands between the parentheses is read or complained about, at a place in it."""
    match outcome(text):
        case CallSyntaxError() as error:
            assert 0 <= error.offset <= len(text)
            assert "__keyword" not in str(error)
            assert "__reference" not in str(error)
        case arguments:
            assert all(0 <= offset < len(text) for _, offset in arguments.unknown)


# -- what most calls have ---------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *("x=", "limit =", "größe=", "ａ=", "x:", "x", "-", "_x1= ", "if=", "r", "f", "u", "x=y="),
        *("1", "-0", "007", "12", "1.5", "-0.0", "1.", ".5", "1e3", "1_000", "0x1f", "9" * 19, "3m", "true", "None"),
        *('"K2"', "'K2'", '""', "''", '"it\'s"', "'say \"K2\"'", r'"a \" b"', '"größe 高"', '"ａ，"', "'Kʼ2'"),
        *('"„K2“"', "“K2”", '"$1"', '"$9"', '"$$"', '"${1.a}"', r'"a\nb"', '"a\nb"', '"\t"', '"#"', '"{}[](),"'),
        *('"$1 - ${2.a[0]}"', "'$2 $9'", '"${1"', '"$$1"', '"K2', "K2'", '"""', "'''", "$1", "$2", "$9", "$01", "$0"),
        *("${1}", "${2}", "${9}", "$1.a", "$1[0]", "[1]", "{}", "(1)", ")", "[*]", "# x", "\0", "*", "**"),
        *(",", ",", ",", ", ", " ,", "，", "=", ":", " ", "  ", "\t", "\n", "\r", "\x0c", "\xa0", "\u3000"),
    ]
)


@given(st.lists(PIECES, max_size=9).map("".join))
@settings(max_examples=1_000)
def test_arguments_that_are_read_by_a_regular_expression_are_read_alike_otherwise(text: str) -> None:
    """Behind a tab, which that expression does not take, the same arguments are read, or the same is wrong."""

    def outcome(text: str) -> object:
        try:
            read = parse_arguments(text, is_task={1, 2}.__contains__, rename=lambda n: n + 10)
        except CallSyntaxError as error:
            return error.code, str(error), error.hint
        return repr((read.positional, read.named, read.literal_dollars, [n for n, _ in read.unknown]))

    assert outcome(text) == outcome(f"\t{text}")
