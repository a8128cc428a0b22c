import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcompiler_graph.core.language.native_calls import Piece, ToolCallText
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.language.references import ALL, Reference, Template, Value


def lines(*pieces: Piece, first: int = 1) -> list[str]:
    """What each piece gives, and what is left at the end."""
    calls = ToolCallText(first)
    return [*map(calls.feed, pieces), calls.close()]


def whole(name: str, arguments: object) -> Piece:
    """A call that comes in one piece."""
    return Piece(name, arguments if isinstance(arguments, str) else json.dumps(arguments))


def tasks(text: str, *earlier: int) -> list[Task]:
    """The tasks the parser reads in plan text, which must be without fault."""
    parser = PlanParser(earlier)
    events = [*parser.feed(text), *parser.close()]
    assert all(isinstance(each, Task) for each in events), events
    return [each for each in events if isinstance(each, Task)]


def arguments(written: dict[str, object]) -> dict[str, Value]:
    """The arguments of a call, as the parser reads them, with tasks 1 and 2 before it."""
    (task,) = tasks(lines(whole("f", written), first=3)[0], 1, 2)
    return dict(task.arguments)


def test_a_call_is_complete_at_its_closing_brace() -> None:
    """A native call is read at its closing brace, before the next one or the end of the message."""
    pieces = [Piece("f", "", 0, "a"), Piece("", '{"x": "{}', 0), Piece("", '", "y": {}', 0), Piece("", "}", 0)]
    assert lines(*pieces, Piece("", " ", 0)) == ["", "", "", '1. f(x="{}", y={})\n', "", ""]


def test_braces_in_strings_are_text() -> None:
    """A brace within a string neither opens nor closes anything."""
    pieces = [Piece("f", '{"x": "{"}', 0), Piece("g", "", 1), Piece("", "{}", 1)]
    assert lines(*pieces) == ['1. f(x="{")\n', "", "2. g()\n", ""]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([Piece("f", '{"x": 1}', 0), Piece("g", '{"x": 2}', 1)], id="by position"),
        pytest.param([Piece("f", '{"x": 1}'), Piece("g", '{"x": 2}')], id="whole, without a position"),
        pytest.param([Piece("f", '{"x": 1}', 0, "a"), Piece("g", '{"x": 2}', 0, "b")], id="by id, all at position 0"),
        pytest.param([Piece("f", '{"x": 1}', "p"), Piece("g", "", "q"), Piece("", '{"x": 2}', "q")], id="by a text"),
        pytest.param([Piece("", "", 0), Piece("f", '{"x":1}', 0), Piece("g", '{"x": 2}', 1)], id="the name comes late"),
    ],
)
def test_calls_are_told_apart(pieces: list[Piece]) -> None:
    """Native calls are told apart, however a provider marks where one begins."""
    assert "".join(lines(*pieces)) == "1. f(x=1)\n2. g(x=2)\n"


def test_two_objects_in_one_call_are_two_calls() -> None:
    """Two objects in the arguments of one native call are two calls: nothing is dropped."""
    assert "".join(lines(Piece("f", '{"x": 1}', 0), Piece("", '{"x": 2}', 0))) == "1. f(x=1)\n2. f(x=2)\n"


@pytest.mark.parametrize(
    ("written", "index", "after"),
    [
        ({"task": 7}, 7, ()),
        ({"task": "7"}, 7, ()),
        ({"task": "task 7", "after": [1, 2]}, 7, (1, 2)),
        ({"after": "$2"}, 3, (2,)),
        ({"after": 1}, 3, (1,)),
        ({"task": None, "after": None}, 3, ()),
        ({"task": "", "after": []}, 3, ()),
    ],
)
def test_index_and_order(written: dict[str, object], index: int, after: tuple[int, ...]) -> None:
    """`task` is the index, whatever its form, else it is the next one; `after` orders."""
    (task,) = tasks(lines(whole("f", written), first=3)[0], *range(1, min(3, index)))
    assert (task.index, task.after, task.arguments) == (index, after, {})


def test_indices_go_on_from_the_last_written_one() -> None:
    """A call without an index is the one after the one before it."""
    text = "".join(lines(whole("f", {"task": 4}), whole("f", {}), whole("f", {}), first=2))
    assert text == "4. f()\n5. f()\n6. f()\n"


def test_references() -> None:
    """A string that is a reference passes the value, one inside text is interpolated, at any depth."""
    assert arguments({"a": "$1", "b": "${2.x[0]}", "c": "$1 - $2", "d": ["$1", {"e": "${1[*].id}"}], "f": "$$1"}) == {
        "a": Reference(1),
        "b": Reference(2, ("x", 0)),
        "c": Template((Reference(1), " - ", Reference(2))),
        "d": [Reference(1), {"e": Reference(1, (ALL, "id"))}],
        "f": "$1",
    }


def test_a_path_without_braces_is_one_if_it_stands_alone() -> None:
    """There are no bare references in JSON: `"$1.x[0]"` is what plan text writes without quotes."""
    assert arguments({"a": "$1.x[0]", "b": "$1.50", "c": "in $1.x"}) == {
        "a": Reference(1, ("x", 0)),
        "b": "$1.50",
        "c": Template(("in ", Reference(1, ("x",)))),
    }


@pytest.mark.parametrize("name", ["from", "x-y", "full name", "é", "2nd", ""])
def test_any_argument_name(name: str) -> None:
    """Names that are none in Python go through as well."""
    (task,) = tasks(lines(whole("f", {name: "K2", "x": 1}))[0])
    assert (task.arguments or task.positional[0]) == {name: "K2", "x": 1}


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ('{"task": 5, "x": $1}', '5. f({"x": $1})'),
        ("{'x': 'K2', 'task': 5}", "5. f({'x': 'K2', })"),
        ('{"x": "K2', '1. f({"x": "K2)'),
        ("{", "1. f({)"),
        ('"K2"', '1. f("K2")'),
        ('["K2", 2]', '1. f(["K2", 2])'),
        ("", "1. f()"),
        ("null", "1. f()"),
        ('""', "1. f()"),
        ("[]", "1. f()"),
        ("None", "1. f()"),
        ('{"x": NaN}', "1. f(x=NaN)"),
        ('{"x": "a\nb"}', '1. f(x="a\\nb")'),
        ('{"x": "\\ud800"}', '1. f(x="\ufffd")'),
    ],
)
def test_what_is_no_json_is_written_as_it_stands(raw: str, line: str) -> None:
    """The parser reads it or locates the fault; a line stays a line."""
    assert "".join(lines(Piece("f", raw))) == line + "\n"


def test_json_beyond_all_depth() -> None:
    """Nesting that no reader follows is a fault of that call, not of this program."""
    deep = '{"x": ' + "[" * 100_000 + "]" * 100_000 + "}"
    parser = PlanParser()
    events = [*parser.feed("".join(lines(Piece("f", deep), Piece("g", "{}")))), *parser.close()]
    assert [getattr(each, "index", None) for each in events] == [1, 2]


SIZE = 100_000
ENDLESS = {
    "braces in a string": [Piece("f", json.dumps({"x": "}{}{" * (SIZE // 4)}), 0)],
    "quotes in a string": [Piece("f", json.dumps({"x": '"}"' * (SIZE // 6)}), 0)],
    "objects": [Piece("f", "{}" * (SIZE // 2), 0)],
    "brackets": [Piece("f", "[" * SIZE, 0)],
    "calls without arguments": [Piece("f", "", n) for n in range(SIZE // 10)],
    "calls": [Piece("f", '{"x": 1}', n) for n in range(SIZE // 10)],
    "calls that repeat": [Piece("f", '{"x": 1}', 0) for _ in range(SIZE // 10)],
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pieces", ENDLESS.values(), ids=ENDLESS)
def test_the_work_is_linear_in_the_arguments(pieces: list[Piece]) -> None:
    """100 kB of native calls in pieces of three characters are read in seconds, whatever stands in them."""
    calls = ToolCallText(1)
    for piece in pieces:
        calls.feed(piece._replace(arguments=piece.arguments[:3]))
        for at in range(3, len(piece.arguments), 3):
            calls.feed(Piece("", piece.arguments[at : at + 3], piece.position))
    calls.close()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CALLS = st.lists(
    st.dictionaries(st.text(string.ascii_lowercase, min_size=1, max_size=4), VALUES, max_size=4), min_size=1, max_size=4
)


def without_dollars(value: object) -> object:
    """A value in which no string can be a reference."""
    match value:
        case str():
            return value.replace("$", "€")
        case list():
            return [without_dollars(each) for each in value]
        case dict():
            return {without_dollars(key): without_dollars(each) for key, each in value.items()}
    return value


@given(CALLS, st.integers(1, 9))
def test_any_arguments_come_through_in_any_pieces(calls: list[dict[str, object]], size: int) -> None:
    """What a model writes as JSON is what the parser reads, however it is cut."""
    wanted = [without_dollars({k: v for k, v in each.items() if k not in {"task", "after"}}) for each in calls]
    text = ToolCallText(1)
    plan = ""
    for position, each in enumerate(wanted):
        written = json.dumps(each)
        plan += text.feed(Piece("f", "", position))
        for at in range(0, len(written), size):
            plan += text.feed(Piece("", written[at : at + size], position))
    assert [dict(task.arguments) for task in tasks(plan + text.close())] == wanted


@given(st.lists(st.tuples(st.sampled_from(["f", "", "join"]), st.text(max_size=12), st.integers(0, 2) | st.none())))
def test_nothing_makes_it_raise(pieces: list[tuple[str, str, int | None]]) -> None:
    """Any pieces give whole lines, which the parser takes without raising."""
    text = "".join(lines(*(Piece(*piece) for piece in pieces)))
    assert not text or text.endswith("\n")
    parser = PlanParser()
    assert all(each.line > 0 for each in [*parser.feed(text), *parser.close()])
