import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.language.references import (
    ALL,
    Path,
    Reference,
    Template,
    Value,
    parse_path,
    parse_template,
    references,
)

# -- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        (".a", ("a",)),
        (".a.b_c-d", ("a", "b_c-d")),
        (".größe", ("größe",)),
        (".0", (0,)),
        ("[0][-1]", (0, -1)),
        ("[*].id", (ALL, "id")),
        ('["a b"]', ("a b",)),
        ("['a b']", ("a b",)),
        ("['it\\'s']", ("it's",)),
        ('["q\\" b\\\\ n\\n u\\u00e9 {}"]', ('q" b\\ n\n ué {}',)),
        ("[\"\"]['']", ("", "")),
        (" . a [ 0 ] [ * ] ", ("a", 0, ALL)),
        (".²", ("²",)),
        ("a", None),
        (".", None),
        (".a.", None),
        ("..a", None),
        ("[a]", None),
        ("[1", None),
        ("[1.5]", None),
        ("[٣]", None),
        ('["a]', None),
        ('["\\q"]', None),
        (" + 1", None),
        ("[1234567890]", None),
        ("." + "1" * 5000, None),
    ],
)
def test_paths(text: str, path: Path | None) -> None:
    """What is a path, and that anything else is `None` and never an error."""
    assert parse_path(text) == path


def test_a_reference_is_written_as_it_is_read() -> None:
    """Braces only with a path; keys bare where they can be."""
    assert str(Reference(1)) == "$1"
    assert Reference(1).braced == "${1}"
    assert str(Reference(12, ("a", "b c", 0, -1, ALL, "größe", "1", ""))) == '${12.a["b c"][0][-1][*].größe["1"][""]}'
    assert repr(Reference(1, (ALL,))) == "Reference(index=1, path=(ALL,))"


@settings(max_examples=200)
@given(path=st.lists(st.one_of(st.text(), st.integers(-99, 99), st.just(ALL))).map(tuple))
def test_a_path_reads_back_from_its_text(path: Path) -> None:
    """Any keys survive being written, in a template too."""
    braced = Reference(1, path).braced
    assert parse_path(braced[3:-1]) == path
    assert parse_template(f"{braced}}}", {1}.__contains__).value == Template((Reference(1, path), "}"))


# -- templates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$1", Reference(1)),
        ("${1}", Reference(1)),
        ("${ 1 }", Reference(1)),
        ("$10", Reference(10)),
        ("${1}0", Template((Reference(1), "0"))),
        ("$1$2", Template((Reference(1), Reference(2)))),
        (" $1", Template((" ", Reference(1)))),
        ("$1.items[0]", Reference(1, ("items", 0))),
        ("$1.items[0] m", Template((Reference(1, ("items", 0)), " m"))),
        (
            "in $1.a and $2['b c'][*].d.",
            Template(("in ", Reference(1, ("a",)), " and ", Reference(2, ("b c", ALL, "d")), ".")),
        ),
        ("${1}.items", Template((Reference(1), ".items"))),
        ("$1.txt", Template((Reference(1), ".txt"))),
        ("$1.name.tar.gz", Template((Reference(1, ("name",)), ".tar.gz"))),
        ("https://$1.com/x", Template(("https://", Reference(1), ".com/x"))),
        ("$1.\nNext", Template((Reference(1), ".\nNext"))),
        ("$1. Next", Template((Reference(1), ". Next"))),
        ("${1.items[0]}", Reference(1, ("items", 0))),
        ("$1.", Template((Reference(1), "."))),
        ("$1,00", Template((Reference(1), ",00"))),
        ("$1,0000", Template((Reference(1), ",0000"))),
        ("$1.50", "$1.50"),
        ("$10.5", "$10.5"),
        ("$1,000", "$1,000"),
        ("$1,000,000 or $2", Template(("$1,000,000 or ", Reference(2)))),
        ("laptops under $1000 and $1", Template(("laptops under $1000 and ", Reference(1)))),
        ("$1234567890", "$1234567890"),
        ("$$1", "$1"),
        ("$$$1", Template(("$", Reference(1)))),
        ("$$$$", "$$"),
        ("$${1}", "${1}"),
        ("$", "$"),
        ("$x ${x} $(1) $ 1 {$}", "$x ${x} $(1) $ 1 {$}"),
        ("$\u0661", "$\u0661"),
        ("a\n$1\n", Template(("a\n", Reference(1), "\n"))),
    ],
)
def test_templates(text: str, value: str | Reference | Template) -> None:
    """What is a reference in a string and what is text, with tasks 1, 2 and 10."""
    parsed = parse_template(text, {1, 2, 10}.__contains__)
    assert parsed.value == value
    assert parsed.unknown == ()
    assert parsed.malformed == ()


def test_dollars_without_a_task_are_told_apart() -> None:
    """`$N` may be money, `${N}` is surely a reference, and both stay as text."""
    parsed = parse_template("$7 ${8} ${9.a} $7 $1", {1}.__contains__)
    assert parsed.value == Template(("$7 ${8} ${9.a} $7 ", Reference(1)))
    assert parsed.literal_dollars == (7, 7)
    assert parsed.unknown == (8, 9)


@pytest.mark.parametrize(
    ("text", "malformed"),
    [
        ("x ${1 + 2} y", ("${1 + 2}",)),
        ("${1.}${2:-a}", ("${1.}", "${2:-a}")),
        ("${1.items and so on and on", ("${1.items and so on ",)),
        ("${1{2}}", ("${1{2}}",)),
        ("${1234567890}", ("${1234567890}",)),
        ("${1['a}", ("${1['a}",)),
    ],
)
def test_what_begins_like_a_braced_reference_must_be_one(text: str, malformed: tuple[str, ...]) -> None:
    """Nothing that looks so much like a reference reaches a tool as text unmentioned."""
    assert parse_template(text, lambda _: True).malformed == malformed


def test_references_can_be_renamed() -> None:
    """With renaming, a reference is asked for by the index written and kept under the new one."""
    parsed = parse_template("$1 ${2.a} $3", {1, 2}.__contains__, lambda index: index + 10)
    assert parsed.value == Template((Reference(11), " ", Reference(12, ("a",)), " $3"))


def test_references_are_found_at_any_depth_in_order() -> None:
    """Lists, objects and templates are searched; other values hold none."""
    value: Value = [Reference(1), {"a": [Template(("x", Reference(2))), 1, None]}, "$3", Reference(1)]
    assert list(references(value)) == [Reference(1), Reference(2), Reference(1)]


@settings(max_examples=200)
@given(text=st.text(alphabet=string.printable + "é$$$$$${{}}"))
def test_any_string_is_read_and_its_literal_text_kept(text: str) -> None:
    """No string makes the reader raise; with no task known, only `$$` changes."""
    parsed = parse_template(text, lambda _: False)
    assert parsed.malformed or parsed.value == text.replace("$$", "$")
