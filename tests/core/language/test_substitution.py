import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.errors import ObservationPathError
from llmcompiler_graph.core.language.references import (
    ALL,
    JSON,
    Path,
    Reference,
    Template,
    Value,
    parse_template,
)
from llmcompiler_graph.core.language.substitution import as_text, fan_out, select, substitute

PEAKS: JSON = {"peaks": [{"id": "a", "names": ["K2"]}, {"id": "b", "names": ["Lhotse", "E1"]}], "n": 2, "0": "zero"}


# -- selecting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ((), PEAKS),
        (("n",), 2),
        (("0",), "zero"),
        (("peaks", 0, "id"), "a"),
        (("peaks", -1, "names", 1), "E1"),
        (("peaks", ALL, "id"), ["a", "b"]),
        (("peaks", ALL), [{"id": "a", "names": ["K2"]}, {"id": "b", "names": ["Lhotse", "E1"]}]),
        (("peaks", ALL, "names", ALL), ["K2", "Lhotse", "E1"]),
        (("peaks", ALL, "names", 0), ["K2", "Lhotse"]),
    ],
)
def test_select(path: Path, found: JSON) -> None:
    """A path is followed through objects and lists; `[*]` gives one flat list. JSON in a string is read."""
    assert select(PEAKS, Reference(1, path)) == found
    if path:
        assert select(f" {json.dumps(PEAKS)}\n", Reference(1, path)) == found


def test_json_in_text_is_read_only_where_a_path_leads_into_it() -> None:
    """The whole of a text stays a text, and so does a text at the end of a path."""
    assert select('{"a": 1}', Reference(1)) == '{"a": 1}'
    assert select({"a": "[1]"}, Reference(1, ("a",))) == "[1]"
    assert select({"a": "[1]"}, Reference(1, ("a", 0))) == 1


def test_selecting_from_an_empty_list() -> None:
    """`[*]` of nothing is nothing, whatever would have come after it."""
    assert select([], Reference(1, (ALL, "a", 3))) == []


@pytest.mark.parametrize(
    ("observation", "path", "message"),
    [
        ({"a": 1, "b": 2}, ("c",), "${3.c} leads nowhere: $3 has no .c, it is an object with 'a', 'b'"),
        ({}, ("a",), "${3.a} leads nowhere: $3 has no .a, it is an object with no keys"),
        (
            {"a": {"b": 1}},
            ("a", "c d"),
            '${3.a["c d"]} leads nowhere: ${3.a} has no ["c d"], it is an object with \'b\'',
        ),
        ([1, 2], (2,), "${3[2]} leads nowhere: $3 has no [2], it is a list of 2"),
        ([1, 2], (-3,), "${3[-3]} leads nowhere: $3 has no [-3], it is a list of 2"),
        ([1, 2], ("a",), "${3.a} leads nowhere: $3 has no .a, it is a list of 2"),
        ({"a": 1}, (0,), "${3[0]} leads nowhere: $3 has no [0], it is an object with 'a'"),
        ({"a": 1}, (ALL,), "${3[*]} leads nowhere: $3 has no [*], it is an object with 'a'"),
        ([{"a": 1}, {}], (ALL, "a"), "${3[*].a} leads nowhere: ${3[*]} has no .a, it is an object with no keys"),
        ("plain", ("a",), "${3.a} leads nowhere: $3 has no .a, it is text"),
        ("{not JSON", ("a",), "${3.a} leads nowhere: $3 has no .a, it is text"),
        (
            "[" * 100_000,
            (0,),
            "${3[0]} leads nowhere: $3 has no [0], it is text: JSON nested more than 100 deep",
        ),
        (
            "[" * 101 + "]" * 101,
            (0, 0),
            "${3[0][0]} leads nowhere: $3 has no [0], it is text: JSON nested more than 100 deep",
        ),
        ("[1]", (1,), "${3[1]} leads nowhere: $3 has no [1], it is a list of 1"),
        (None, ("a",), "${3.a} leads nowhere: $3 has no .a, it is null"),
        (True, ("a",), "${3.a} leads nowhere: $3 has no .a, it is true"),
        ({"a": 1.5}, ("a", "b"), "${3.a.b} leads nowhere: ${3.a} has no .b, it is 1.5"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_broke(observation: JSON, path: Path, message: str) -> None:
    """The message names the reference, how far it got, what was wanted there and what there is."""
    with pytest.raises(ObservationPathError) as caught:
        select(observation, Reference(3, path))
    assert str(caught.value) == message


def test_a_large_object_is_described_in_part() -> None:
    """At most twenty keys are listed: the message goes into a prompt."""
    with pytest.raises(ObservationPathError, match=r"an object with 'k0', .*, 'k19', …$"):
        select({f"k{n}": n for n in range(21)}, Reference(1, ("a",)))


# -- substituting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        ("", ""),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        ([1, "é"], '[1, "é"]'),
        ({"a": {}}, '{"a": {}}'),
    ],
)
def test_text_stands_in_a_string_as_it_is_and_all_else_as_json(value: JSON, text: str) -> None:
    """In a string, text stands as it is and all else as JSON, not as Python would write it."""
    assert as_text(value) == text
    assert substitute(Template(("<", Reference(1), ">")), {1: value}) == f"<{text}>"


def test_a_whole_argument_keeps_its_type() -> None:
    """Alone, in a list and in an object a reference passes the value itself; constants stay."""
    value: Value = {"a": Reference(1), "b": [Reference(1, ("x", 0)), 3, None], "c": "$1"}
    assert substitute(value, {1: {"x": [True]}}) == {"a": {"x": [True]}, "b": [True, 3, None], "c": "$1"}


def test_a_fan_out_inside_a_string_of_one_call_is_a_list() -> None:
    """Where nothing runs per element, `[*]` selects the list."""
    assert substitute(Template(("ids ", Reference(1, (ALL, "id")))), {1: [{"id": 1}, {"id": 2}]}) == "ids [1, 2]"


def test_an_observation_that_is_not_there_is_the_callers_mistake() -> None:
    """A reference to an observation that is not there is a `KeyError`, never an empty text."""
    with pytest.raises(KeyError, match="2"):
        substitute([Reference(2)], {1: "x"})


dollars = st.lists(st.sampled_from(["$1", "${2}", "${1.a}", "$$", "$", "{", "}", "x", "1"])).map("".join)


@settings(max_examples=200)
@given(first=dollars, second=dollars, literal=dollars)
def test_observations_are_data(first: str, second: str, literal: str) -> None:
    """Whatever looks like a reference in an observation, or in literal text, is never expanded."""
    observations: dict[int, JSON] = {1: first, 2: second, 3: {"a": first}}
    template = Template((literal, Reference(1), Reference(2), literal, Reference(3, ("a",))))
    assert substitute(template, observations) == literal + first + second + literal + first
    assert substitute([Reference(1), literal], observations) == [first, literal]
    assert fan_out({"a": Template((Reference(4, (ALL,)), literal))}, {4: [first, second]}) == [
        {"a": first + literal},
        {"a": second + literal},
    ]


# -- fanning out ----------------------------------------------------------------------------------------------------


def test_without_all_nothing_fans_out() -> None:
    """`None` says that the task runs once."""
    assert fan_out({"a": Reference(1), "b": [Template(("x", Reference(1, (0,))))]}, {1: [1]}) is None
    assert fan_out({}, {}) is None


def test_fan_out_takes_each_element_with_its_type() -> None:
    """Wherever the reference stands, each run gets its own element, and everything else is as usual."""
    arguments: dict[str, Value] = {
        "id": Reference(1, ("hits", ALL)),
        "text": Template(("n", Reference(1, ("hits", ALL)), " of ", Reference(2))),
        "nested": {"k": [Reference(1, ("hits", ALL)), Reference(2, ("x",)), 5]},
    }
    assert fan_out(arguments, {1: {"hits": [7, None]}, 2: {"x": "y"}}) == [
        {"id": 7, "text": 'n7 of {"x": "y"}', "nested": {"k": [7, "y", 5]}},
        {"id": None, "text": 'nnull of {"x": "y"}', "nested": {"k": [None, "y", 5]}},
    ]


def test_several_fan_outs_go_in_step() -> None:
    """Like `zip`: element by element, not every pair."""
    arguments: dict[str, Value] = {"a": Reference(1, (ALL,)), "b": Template((Reference(2, (ALL, "x")), "!"))}
    assert fan_out(arguments, {1: [1, 2], 2: [{"x": 3}, {"x": 4}]}) == [{"a": 1, "b": "3!"}, {"a": 2, "b": "4!"}]


def test_a_fan_out_over_nothing_runs_nothing() -> None:
    """An empty list means no runs, which is not the same as no fan-out."""
    assert fan_out({"a": Reference(1, (ALL,))}, {1: []}) == []


def test_lists_of_different_lengths_cannot_go_in_step() -> None:
    """Nothing is cut off silently: the message gives every reference and its length."""
    with pytest.raises(ObservationPathError) as caught:
        fan_out({"a": Reference(1, (ALL,)), "b": [Reference(2, ("x", ALL))]}, {1: [1, 2], 2: {"x": [1]}})
    assert str(caught.value) == (
        "[*] references of one task go in step, so their lists must be of one length: ${1[*]} has 2, ${2.x[*]} has 1"
    )


def test_a_fan_out_that_leads_nowhere_says_so() -> None:
    """A fan-out whose path leads nowhere raises the error of `select`."""
    with pytest.raises(ObservationPathError, match=r"^\$\{1\[\*\]\} leads nowhere: \$1 has no \[\*\], it is text$"):
        fan_out({"a": Reference(1, (ALL,))}, {1: "text"})


def test_a_fan_out_needs_every_observation() -> None:
    """A fan-out with a reference to a missing observation is a `KeyError`."""
    with pytest.raises(KeyError):
        fan_out({"a": Reference(1, (ALL,)), "b": Reference(2)}, {1: [1]})


def template(text: str) -> Value:
    """A string with references to task 1, read."""
    return parse_template(text, {1}.__contains__).value


# -- text that holds JSON ----------------------------------------------------------------------------------------------

HELD = {"height": 8611, "names": ["K2", "Chogori"]}
TEXTS = {
    "plain": json.dumps(HELD),
    "with blanks": f"\n  {json.dumps(HELD, indent=2)}\n",
    "with a byte order mark": "\ufeff" + json.dumps(HELD),
    "fenced": f"```json\n{json.dumps(HELD)}\n```",
    "fenced behind words": f"Here it is:\n\n```\n{json.dumps(HELD, indent=2)}\n```\nAnything else?",
    "fenced with carriage returns": f"```json\r\n{json.dumps(HELD)}\r\n```\r\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("as_blocks", [False, True], ids=["text", "text blocks"])
def test_paths_into_text_that_holds_json(text: str, as_blocks: bool) -> None:
    """JSON in text is read by paths, alone or in a code fence, in a string or in a text block."""
    observation: JSON = [{"type": "text", "text": text}] if as_blocks else text
    assert select(observation, Reference(1, ("height",))) == 8611
    assert select(observation, Reference(1, ("names", ALL))) == ["K2", "Chogori"]
    assert substitute(template("$1.height m"), {1: observation}) == "8611 m"


def test_paths_into_blocks() -> None:
    """A position means a block where there are several, an element of the JSON in it where there is one."""
    block: JSON = {"type": "text", "text": '[{"id": 7}]'}
    assert select([block], Reference(1, (0, "id"))) == 7
    assert select([block], Reference(1, (ALL, "id"))) == [7]
    assert select([block, block], Reference(1, (1, "text"))) == '[{"id": 7}]'
    assert select([block, block], Reference(1, (1, 0, "id"))) == 7
    assert select([{"type": "text", "text": "K2"}], Reference(1, (0, "text"))) == "K2"
    assert select([{"type": "text", "text": '{"a"'}, {"type": "text", "text": ": 1}"}], Reference(1, ("a",))) == 1


@pytest.mark.parametrize(
    "observation",
    [
        "K2 is high.",
        8611,
        None,
        {"a": 1},
        [],
        "```json\nno json\n```",
        '```\n{"height": 1}\n```\n```\n{"height": 2}\n```',
        [{"type": "text", "text": "K2"}],
        [{"type": "text", "text": '{"height": 1}'}, {"type": "image", "url": "x"}],
    ],
)
def test_a_path_that_leads_nowhere_is_an_error(observation: JSON) -> None:
    """A path that an observation does not have is an error, within text too, and never text."""
    for text in ("$1.height", "it is $1.height m", "${1.height}"):
        with pytest.raises(ObservationPathError, match=r"\$\{1\.height\} leads nowhere"):
            substitute(template(text), {1: observation})


def test_what_ends_the_name_of_a_file() -> None:
    """`.txt` and its like are text behind an observation, unless it has a field of that name."""
    assert substitute(template("$1.txt"), {1: "notes"}) == "notes.txt"
    assert substitute(template("https://$1.com/x"), {1: "k2"}) == "https://k2.com/x"
    assert substitute(template("$1.html"), {1: {"html": "<b>K2</b>"}}) == "<b>K2</b>"
    assert substitute(template("$1.a.html!"), {1: {"a": '{"html": "<b>"}'}}) == "<b>!"
    assert substitute(template("${1}.html"), {1: "<b>"}) == "<b>.html"


def test_a_text_of_observations_has_a_limit() -> None:
    """A text that repeats large observations is refused before it is made: it would take all memory there is."""
    template = parse_template("$1 " * 1000, {1}.__contains__).value
    with pytest.raises(ObservationPathError, match="has 1,000,001,000 characters, 10,000,000 are allowed"):
        substitute(template, {1: "x" * 1_000_000})
    assert substitute(template, {1: "x"}) == "x " * 1000
