import itertools
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.errors import Diagnostic, PlanSyntaxError
from llmcompiler_graph.core.language.parser import Event, PlanParser, parse_plan
from llmcompiler_graph.core.language.plan import Plan, Task
from llmcompiler_graph.core.language.references import ALL, Path, Reference, Spread, Template, Value, references

TOOLS = ("search", "math", "read_file", "mcp__github-api.list/all", "Größe", "after", "__init__", "joined")
NAMES = ("query", "from", "class", "None", "größe", "first-name", "after", "x1")
WORDS = (
    "$",
    "$$",
    "$1",
    "${1}",
    "${",
    "}",
    '"',
    "'",
    "\\",
    "\n",
    "\r\n",
    ")",
    "2. b(",
    "join()",
    "Thought:",
    "é",
    "\u2028",
)
NASTY = (
    *"12$ {}[]().,:;=\"'\\\n\r\t-*_`|>#/+%ab²٢é\0\ud800",
    *('1. a("x")', "\n2. b(", "\n- 3) **c**(", '\n4. d("""', "\njoin()", "5. join(", " after $1, 2", "\nThought: "),
    *(
        '{"tool": "f", "args": {',
        '"x": 1}}',
        '{"plan": [',
        "<tool_call>",
        "</tool_call>",
        "<function=f>",
        "</function>",
    ),
    *(
        "[f(",
        "x = f(",
        "\nAction: f",
        "\nAction Input: ",
        "\nObservation: ",
        "#E1 = f[",
        "#E1",
        "```python\n",
        "```\n",
        "f\n{",
    ),
    *(
        "「",
        "」",
        "（",
        "）",
        "：",
        "，",
        "“",
        "”",
        "‘",
        "’",
        "１．",
        " depends on $1",
        "(after step 1)",
        "# after 1",
        "$1之后",
    ),
    *("${1.a", '["k"]', "[*]}", "$1.50", "\\\n", "task ", "\n2", " " * 299, "\nf(", "1,000", "\\u12", "\\N{"),
)


def read(
    text: str, used: Sequence[int] = (), cuts: Sequence[int] = (), tools: Mapping[str, Sequence[str]] | None = None
) -> list[Event]:
    """Parse a text fed in pieces, cut at these offsets."""
    parser = PlanParser(used, tools=tools)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    events = [event for a, b in itertools.pairwise(edges) for event in parser.feed(text[a:b])]
    return [*events, *parser.close()]


def read_task(text: str, used: Sequence[int] = ()) -> Task:
    """Parse a text that holds one task and nothing to complain of."""
    (task,) = read(text, used)
    assert isinstance(task, Task)
    return task


def complaints(text: str, used: Sequence[int] = ()) -> list[str]:
    """Parse a text and write out its diagnostics."""
    return [str(event) for event in read(text, used) if isinstance(event, Diagnostic)]


# -- what is generated --------------------------------------------------------------------------------------------

texts = st.one_of(st.text(max_size=12), st.lists(st.sampled_from(WORDS), max_size=6).map("".join))
paths: st.SearchStrategy[Path] = st.lists(
    st.one_of(texts, st.integers(-(10**9) + 1, 10**9 - 1), st.just(ALL)), max_size=3
).map(tuple)


def _is_template(parts: Sequence[str | Reference]) -> bool:
    """Whether the parser would make a template of these parts: several, and no neighbouring literals."""
    literals = [isinstance(part, str) for part in parts]
    return len(parts) > 1 and not any(map(operator.and_, literals, literals[1:]))


def _does_not_nest(spread: Spread) -> bool:
    """Whether no element of a list that fans out does so itself."""
    return not any(reference.fans_out for reference in references(spread))


@cache
def values(indices: tuple[int, ...]) -> st.SearchStrategy[Value]:
    """Arguments, nested, with references to any of these tasks."""
    leaves: st.SearchStrategy[Value] = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts
    )
    if indices:
        reference = st.builds(Reference, st.sampled_from(indices), paths)
        parts = st.lists(st.one_of(texts.filter(bool), reference), min_size=2, max_size=4).map(tuple)
        leaves = st.one_of(leaves, reference, parts.filter(_is_template).map(Template))
    lists = st.lists(leaves, max_size=3)
    spread = st.lists(st.one_of(leaves, lists), max_size=3).map(tuple).map(Spread).filter(_does_not_nest)
    return st.one_of(
        leaves, spread, lists, st.dictionaries(texts, st.one_of(leaves, lists), max_size=3), st.lists(lists, max_size=2)
    )


@st.composite
def plans(draw: st.DrawFn, *, consecutive: bool = False) -> Plan:
    """Plans as the parser makes them: references and `after` point to tasks written before."""
    size = draw(st.integers(0, 4))
    gaps = [1] * size if consecutive else draw(st.lists(st.integers(1, 7), min_size=size, max_size=size))
    indices = list(itertools.accumulate(gaps))
    tasks = []
    for n, index in enumerate(indices):
        earlier = tuple(indices[:n])
        value = values(earlier)
        after = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=2)) if earlier else []
        tasks.append(
            Task(
                index,
                draw(st.sampled_from(TOOLS)),
                draw(st.dictionaries(st.sampled_from(NAMES), value, max_size=3)),
                tuple(after),
                tuple(draw(st.lists(value, max_size=2))),
                draw(st.text(max_size=8).map(lambda text: text.replace("\n", " ").strip())),
            )
        )
    return Plan(tuple(tasks))


@st.composite
def broken_plan_texts(draw: st.DrawFn) -> str:
    """Plan texts with characters deleted, doubled and inserted."""
    text = str(draw(plans()))
    for _ in range(draw(st.integers(0, 4))):
        where = draw(st.integers(0, len(text)))
        piece = draw(st.sampled_from(("", text[where : where + 1] * 2, *NASTY)))
        text = text[:where] + piece + text[where + 1 :]
    return text


def briefly(plan: Plan) -> str:
    """Write a plan with nothing but its calls, a line each."""
    tasks = (replace(task, thought="") for task in plan)
    return "\n".join(str(task).partition(". ")[2] for task in tasks)


@st.composite
def broken_brief_texts(draw: st.DrawFn) -> str:
    """Plan texts without numbers, some of them put back, with characters deleted, doubled and inserted."""
    lines = briefly(draw(plans(consecutive=True))).split("\n")
    text = "\n".join(draw(st.sampled_from(("", "", "- ", "1. ", "2. ", "x = ", "so "))) + line for line in lines)
    for _ in range(draw(st.integers(0, 3))):
        where = draw(st.integers(0, len(text)))
        piece = draw(st.sampled_from(("", text[where : where + 1] * 2, *NASTY)))
        text = text[:where] + piece + text[where + 1 :]
    return text


nasty_texts = st.lists(st.sampled_from(NASTY), max_size=30).map("".join)
any_texts = st.one_of(broken_plan_texts(), broken_brief_texts(), nasty_texts, st.text())


# -- properties -----------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(plan=plans())
def test_a_plan_reads_back_from_its_text(plan: Plan) -> None:
    """`str` writes text that parses to an equal plan, and that is canonical."""
    assert parse_plan(str(plan)) == plan
    assert str(parse_plan(str(plan))) == str(plan)


@settings(max_examples=200)
@given(plan=plans(consecutive=True))
def test_a_plan_reads_back_without_its_numbers(plan: Plan) -> None:
    """Numbers that only count up may be left out, and so may the end."""
    assert parse_plan(briefly(plan)) == Plan(tuple(replace(task, thought="") for task in plan))


@settings(max_examples=200)
@given(text=any_texts, cuts=st.lists(st.integers(0, 300), max_size=8), used=st.sampled_from([(), (1, 2), (7,)]))
@example(text="1. a(\n- 2. b()", cuts=[7], used=())
@example(text='1. a("x\n' + " " * 300 + '2. b("y")', cuts=[209], used=())
def test_any_chunking_gives_the_same_events(text: str, cuts: list[int], used: tuple[int, ...]) -> None:
    """Whole, cut anywhere or character by character: the same tasks and diagnostics at the same places."""
    for tools in (None, {"f": ("x",), "b": (), "search": ("query",)}):
        whole = list(map(repr, read(text, used, (), tools)))
        assert list(map(repr, read(text, used, cuts, tools))) == whole
        assert list(map(repr, read(text, used, range(len(text)), tools))) == whole


# `0.5(` begins with a number
_HEADED = re.compile(r"^[ \t]*(\d+)[ \t]*\.(?!\d)[ \t]*([\w.\-/]+)[ \t]*\(", re.MULTILINE)


@settings(max_examples=200)
@given(data=st.data(), plan=plans())
def test_every_line_that_looks_like_a_task_yields_an_event(data: st.DataObject, plan: Plan) -> None:
    """However quotes, brackets and lines are broken, no numbered call before the join goes unmentioned."""
    text = str(plan)
    for _ in range(data.draw(st.integers(0, 4))):
        where = data.draw(st.integers(0, len(text)))
        piece = data.draw(st.sampled_from(("", text[where : where + 1] * 2, *"\"'()[]{}\\\n, $")))
        text = text[:where] + piece + text[where + 1 :]
    assume('"""' not in text and "'''" not in text)  # in these, such lines may be text
    parser, events, headed, last = PlanParser(), list[Event](), 0, -1
    for line in text.split("\n"):
        events += parser.feed(line + "\n")
        # a line with the index of an earlier one may stand in a string that spans lines
        if (head := _HEADED.match(line)) and int(head[1]) > last and head[2].lower() != "join":
            headed, last = headed + 1, int(head[1])
        if parser.finished:
            break
    events += parser.close()
    assert headed <= len(events)


def moved(plan: Plan, by: int) -> Plan:
    """The same plan with its numbers moved."""

    def value(one: Value) -> Value:
        match one:
            case Spread(elements):
                return Spread(tuple(map(value, elements)))
            case Reference(index, path):
                return Reference(index + by, path)
            case Template(parts):
                return Template(tuple(p if isinstance(p, str) else Reference(p.index + by, p.path) for p in parts))
            case list():
                return [value(each) for each in one]
            case dict():
                return {key: value(each) for key, each in one.items()}
            case _:
                return one

    return Plan(
        tuple(
            replace(
                task,
                index=task.index + by,
                arguments={name: value(each) for name, each in task.arguments.items()},
                positional=tuple(map(value, task.positional)),
                after=tuple(index + by for index in task.after),
            )
            for task in plan
        )
    )


@settings(max_examples=200)
@given(plan=plans(consecutive=True), last=st.integers(0, 50))
def test_a_restarted_plan_is_the_same_plan_moved(plan: Plan, last: int) -> None:
    """Numbered from 1 after tasks 1 to `last`, a plan means what it means alone, past `last`."""
    assert Plan(tuple(e for e in read(str(plan), range(1, last + 1)) if isinstance(e, Task))) == moved(plan, last)


SIZE = 50_000
ENDLESS = {
    "a string never closed": '1. f("' + "x" * SIZE,
    "a triple-quoted string never closed": '1. f("""' + "1. f(\n" * (SIZE // 6),
    "a string of line ends": '1. f("' + "\n" * SIZE,
    "brackets never closed": "1. f(" + "[" * SIZE,
    "backslashes": '1. f("' + "\\" * SIZE,
    "quotes": "1. f(" + "\"'" * (SIZE // 2),
    "prose without a line end": "a(b " * (SIZE // 4),
    "a tool's name without end": "1. " + "x" * SIZE,
    "an index without end": "1" * SIZE,
    "bullets": "- " * (SIZE // 2),
    "blanks after an index": "1." + " " * SIZE + "(",
    "blanks after join": "join" + " " * SIZE + "x\n",
    "blanks after a call": "1. f()" + " " * SIZE + "x\n",
    "numbers after a call": "1. f() after" + " 1" * (SIZE // 2),
    "almost heads after a call": "1. f() #" + " 2. f" * (SIZE // 5),
    "a thought without end": "Thought:" + " x" * (SIZE // 2),
    "tasks": "".join(f"{i}. f({i})\n" for i in range(1, SIZE // 14)),
    "tasks on one line": "".join(f"{i}. f({i}) " for i in range(1, SIZE // 14)),
    "numbered prose": "1. f\n" * (SIZE // 5),
    "bad escapes": '1. f("' + "\\d" * (SIZE // 2) + '")',
    "dollars": '1. f("' + "$" * SIZE + '")',
    "open braces": '1. f("' + "${1" * (SIZE // 3) + '")',
    "open braces and quotes": '1. f("' + '${1\\"' * (SIZE // 5) + '")',
    "unknown references": "1. f(" + '"${9}",' * (SIZE // 7) + ")",
    "expressions": "1. f(" + "1+1," * (SIZE // 4) + ")",
    "a sum": "1. f(1" + "+1" * (SIZE // 2) + ")",
    "a long integer": "1. f(0x" + "f" * SIZE + ")",
    "blanks in the arguments": "1. f(a" + " " * SIZE + ")",
    "an unquoted hyphenated word": "1. f(" + "a-" * (SIZE // 2) + ")",
    "a line of non-ASCII strings": "1. f(" + '"é",' * (SIZE // 5) + ")",
    "quotes of another kind": "1. f(1，" + "’" * SIZE + "x)",
    "blanks in a thought": "Thought:" + " " * SIZE + "x",
    "later calls in a thought": "Thought:"
    + " 99999. f(1)" * (SIZE // 12)
    + "".join(f"\n{i}. f(1)" for i in range(1, 999)),
    "lines of brackets": "[{\n" * (SIZE // 3),
    "tags on one line": "<tool_call>" * (SIZE // 11),
    "elements in a call": "<function=f>" + "<x>" * (SIZE // 3) + "</function>",
    "assignments": "".join(f"x{i} = f(x{i - 1})\n" for i in range(1, SIZE // 20)),
    "labels": "Action: f\nAction Input: x\n" * (SIZE // 26),
    "a sentence of denials": "not " * (SIZE // 4),
    "brackets behind a label": "Action: f[" + "]" * SIZE + "x",
    "guards": "".join(f"{i}. f() when $1 == {i}\n" for i in range(1, SIZE // 25)),
    "a guard without end": "1. f()\n2. f() when $1 == 1" + " or $1 == 1" * (SIZE // 11),
    "brackets in a guard": "1. f()\n2. f() when " + "(" * SIZE,
    "tasks in a guard": "1. f()\n2. f() when $1" + " 4. f(" * (SIZE // 6),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_the_work_is_linear_in_the_text(text: str) -> None:
    """50 kB in pieces of three characters are read to the end.

    Each took 0.01 to 0.5 s here. What is quadratic in Python or in a regular expression took a minute at this size, so
    the time limit tells them apart on any machine; a ratio of measured times would not.
    """
    for tools in (None, {"f": ("x",)}):
        read(text, (), range(0, len(text), 3), tools)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "most"),
    [
        pytest.param("1. f('" + "x" * 3_000_000, "2,000,000 characters", id="characters"),
        pytest.param("".join(f"{i}. f()\n" for i in range(1, 12_000)), "10,000 tasks", id="tasks"),
    ],
)
def test_a_reply_without_end(text: str, most: str) -> None:
    """Of a reply without end no more is read than a plan can need; what was read counts, and the rest is told."""
    *before, last = read(text, (), range(0, len(text), 4096))
    assert isinstance(last, Diagnostic)
    assert (last.code, last.message) == ("too-long", f"a reply of more than {most} is read up to here")
    assert sum(isinstance(event, Task) for event in before) == (10_000 if "tasks" in most else 0)
    assert list(map(repr, read(text))) == [*map(repr, before), repr(last)]


# -- one by one -------------------------------------------------------------------------------------------------------


def test_a_task_is_there_at_its_closing_parenthesis() -> None:
    """The character that cannot begin an `after` completes a task, before the line or the plan ends."""
    parser = PlanParser()
    assert parser.feed('1. search("K2")') == []
    assert parser.feed(" ") == []
    assert parser.feed("- ") == []  # `- depends on $1`?
    (task,) = parser.feed("se")
    assert task == Task(1, "search", positional=("K2",))
    assert parser.feed("cond highest") == []
    assert parser.feed("\n2. f()\n") == [Task(2, "f")]
    assert not parser.finished


@pytest.mark.parametrize(
    "wait",
    ["", " ", "\t", "*", "_", "`", "aft", " after", " after $1", " + 1", "[0]", "/", ".", " (dep", " #", " - dep"],
)
def test_a_task_waits_while_its_meaning_is_open(wait: str) -> None:
    """What may be an `after`, a mark or an expression is awaited, and the end of the text decides."""
    parser = PlanParser((1,))
    assert parser.feed("2. f()" + wait) == []
    assert len(parser.close()) == 1


def test_a_one_line_plan_starts_as_it_arrives() -> None:
    """On one line too, each task is there when the next one begins."""
    parser = PlanParser()
    assert parser.feed("1. f(), 2") == [Task(1, "f")]
    assert parser.feed(". g()") == []
    assert parser.feed(" 3.") == [Task(2, "g")]


def test_quotes_and_heads_are_recognised_across_pieces() -> None:
    """Triple quotes, escapes and the head that ends an open call mean the same when they arrive bit by bit."""
    text = '1. f("""a"b""\\"c""", "", \'\')\n2. g(["\\\\",\n - **3.** h()\n4. i("x'
    whole = read(text)
    assert whole[0] == Task(1, "f", positional=('a"b"""c', "", ""))
    assert [event.index for event in whole] == [1, 2, 3, 4]
    assert read(text, (), range(len(text))) == whole


def test_join_finishes() -> None:
    """At `join(` the parser has finished: nothing that follows is looked at, nor kept."""
    parser = PlanParser()
    assert parser.feed("1. f()\n2. join(") == [Task(1, "f")]
    assert parser.finished
    assert parser.feed(")\n3. broken(\n") == []
    assert parser.close() == []


def test_closing_twice_and_feeding_nothing() -> None:
    """The end can be said twice, and empty pieces change nothing."""
    parser = PlanParser()
    assert parser.close() == []
    assert [*parser.feed(""), *parser.feed("1. f()"), *parser.feed("")] == []
    assert parser.close() == [Task(1, "f")]
    assert parser.close() == []


def test_places() -> None:
    """A task knows the line and column of its index, in any chunking and after long texts."""
    (_, second) = read("x\n\n1. f()\n  - **2.** g() 3. join()", (), range(40))
    assert isinstance(second, Task)
    assert (second.line, second.column) == (4, 7)
    (late,) = read("x" * 1000 + "\n" * 1000 + " 1. f()", (), range(0, 2000, 7))
    assert isinstance(late, Task)
    assert (late.line, late.column) == (1001, 2)


def test_a_thought_belongs_to_the_next_line_that_is_a_call() -> None:
    """Thoughts gather until a call, and one about a call that cannot be used goes with it."""
    first, broken, second = read("Thought: a\nprose\n**Thought**: b\n1. f()\nThought: c\n2. g(x)\n3. h()")
    assert isinstance(first, Task)
    assert isinstance(broken, Diagnostic)
    assert isinstance(second, Task)
    assert (first.thought, second.thought) == ("a\nb", "")


def test_a_call_in_a_thought_is_not_lost() -> None:
    """A call that stands in a thought only is complained about, and its number means it; one written later is it."""
    lost, task = read('Thought: look it up. 1. search("a")\n2. f($1)')
    assert isinstance(lost, Diagnostic)
    assert (lost.code, lost.index, lost.column) == ("not-a-call", 1, 22)
    assert task == Task(2, "f", positional=(Reference(1),), thought='look it up. 1. search("a")')
    thought = 'Thought: 1. f("a") comes first, then 2. g($1) and 3. Look (if needed).\n'
    assert [str(e).split("\n")[-1] for e in read(thought + '1. f("a")\n2. g($1)')] == ['1. f("a")', "2. g($1)"]
    assert read('Thought: 1. f("a") was wrong.\n2. f("b")', (1,)) == [
        Task(2, "f", positional=("b",), thought='1. f("a") was wrong.')
    ]


def test_a_sentence_that_begins_with_join_is_prose() -> None:
    """`Join (combine) …` ends no plan, with or without a number; `join ()` and `join ($1)` do."""
    prose = "1. Search for it\n2. Join (combine) what was found\nJoin (merge) the two:\n1. f()\n"
    complaint, numbered, task = read(prose)
    assert isinstance(complaint, Diagnostic)
    assert isinstance(numbered, Diagnostic)
    assert ((complaint.index, numbered.index), task) == ((1, 2), Task(1, "f"))
    for join in ("2. join ()", "2. join ($1)", "join ( )", "2. join(combine)", "Join"):
        parser = PlanParser()
        parser.feed(f"1. f()\n{join}\n")
        assert parser.finished


def test_numbering_goes_on_after_earlier_plans() -> None:
    """Numbers past the last used one stay as written, and earlier observations are referable in every form."""
    text = '4. f($1, "${2} of $3 for $9")\n5. g($4) after $2'
    assert read(text, (1, 2, 3)) == [
        Task(4, "f", positional=(Reference(1), Template((Reference(2), " of ", Reference(3), " for $9")))),
        Task(5, "g", positional=(Reference(4),), after=(2,)),
    ]


def test_a_restart_is_shifted_with_its_references() -> None:
    """A plan that starts at 1 again moves; what it does not define itself means the earlier plans."""
    assert read('1. f($3)\n2. g("$1 of $2", $1) after $1, $3', (1, 2, 3)) == [
        Task(4, "f", positional=(Reference(3),)),
        Task(5, "g", positional=(Template((Reference(4), " of ", Reference(2))), Reference(4)), after=(4, 3)),
    ]


def test_a_restart_in_the_middle_is_shifted_by_its_first_line() -> None:
    """The first number moves just past the last used one, whatever it is, even if its line is no call."""
    assert [e.index for e in read("2. f()\n3. g()", (1, 2, 3))] == [4, 5]
    assert [e.index for e in read("1. prose\n2. g(x)\n3. h()", (1, 2))] == [3, 4, 5]
    assert [e.index for e in read("0. f()\n1. g()", (5,))] == [6, 7]


def test_prose_before_a_replan_does_not_say_how_it_is_numbered() -> None:
    """A plan that goes on is not moved by the numbers of a list before it, and its references mean what they say."""
    first, second, task = read("1. What is known\n2. What is left\n2. f($1)", (1,))
    assert task == Task(2, "f", positional=(Reference(1),))
    assert isinstance(first, Diagnostic)
    assert isinstance(second, Diagnostic)
    assert (first.code, first.index, second.index) == ("not-a-call", None, 2)
    assert [e.index for e in read("1. nothing\n2. at all", (1, 2))] == [3, 4]


def test_prose_leaves_the_tasks_of_earlier_plans_alone() -> None:
    """A numbered line that is no call says nothing of the earlier task of that number, which stays referable."""
    task, complaint, user = read("3. f()\n1. The first value was fetched before.\n4. g($1)", (1, 2))
    assert isinstance(complaint, Diagnostic)
    assert (task.index, complaint.code, complaint.index) == (3, "not-a-call", None)
    assert user == Task(4, "g", positional=(Reference(1),))


def test_a_number_of_an_earlier_plan_is_not_taken_twice() -> None:
    """When the numbering turns back into earlier plans, the line is refused and the earlier task stays."""
    events = read("4. f()\n2. g()\n5. h($2)", (1, 2, 3))
    assert events[0] == Task(4, "f")
    assert events[2] == Task(5, "h", positional=(Reference(2),))
    assert events[1] == Diagnostic(
        "duplicate-index", "task 2 has a number of an earlier plan", 2, 1, "go on at 4", index=None
    )
    assert complaints("1. f()\n0. g()") == [
        "line 2, column 1: task 0 has a number of an earlier plan; go on at 1 [duplicate-index]"
    ]


def test_a_later_line_takes_the_index_of_a_broken_one() -> None:
    """Until then the index is unusable; afterwards references mean the good line, also in strings."""
    broken, good, user = read('1. f(oops)\n1. f("a")\n2. g("x $1")')
    assert isinstance(broken, Diagnostic)
    assert (broken.index, good) == (1, Task(1, "f", positional=("a",)))
    assert user == Task(2, "g", positional=(Template(("x ", Reference(1))),))


def test_a_complaint_about_a_second_line_leaves_the_first_alone() -> None:
    """A diagnostic about a number that a good task has carries no index: that task may be running."""
    for second in ("1. prose", "1. f(", '1. f("', "1. f()", '1. f("""\n1. g()'):
        first, *rest = read("1. f()\n" + second)
        assert first == Task(1, "f")
        assert rest
        assert all(isinstance(each, Diagnostic) and each.index is None for each in rest)


def test_money_becomes_a_forward_reference_when_its_task_comes() -> None:
    """`$2` in a string stays text while there is no task 2, and is complained about if one comes, once per task."""
    task, second, complaint = read('1. f("$2 or $2", "$1")\n2. g()')
    assert (task, second) == (Task(1, "f", positional=("$2 or $2", "$1")), Task(2, "g"))
    assert complaint == Diagnostic(
        "forward-reference",
        "task 1 refers to task 2, which comes after it",
        1,
        1,
        "put task 2 first, or write `$$2` for an amount of money",
        index=1,
    )


@pytest.mark.parametrize(
    ("clause", "after"),
    [
        ("after $1", (1,)),
        ("After ${1}.", (1,)),
        ("after: 1,2 and $3", (1, 2, 3)),
        ("after $3 $1 $3", (3, 1)),
        ("after task 1 & step 2", (1, 2)),
        ("after tasks 1 & 2", (1, 2)),
        ("after ${1.a[3]}, $2", (1, 2)),
        ("`after $1`", (1,)),
        (", after $1; then rest", (1,)),
        ("after $1. Then the rest (all).", (1,)),
        ("(after $1)", (1,)),
        ("[After $1, $2] then", (1, 2)),
        ("(afterwards $1)", ()),
        ("(see $1)", ()),
        ("afterwards $1", ()),
        ("after_1", ()),
        ("after all", ()),
        ("after 1234567890", ()),
        ("# after $1", (1,)),
        ("# after $9", ()),
        ("depends on $1", (1,)),
        ("(depends on task 1 and the result of step 2)", (1, 2)),
        ("// waits for 3", (3,)),
        ("requires $2", (2,)),
        ("requires 2 keys", ()),
        ("depends on: none", ()),
        ("- after step 2", (2,)),
        ("après la tâche 1", (1,)),
        ("$1の後", (1,)),
        ("[deps: 1, 3]", (1, 3)),
    ],
)
def test_after(clause: str, after: tuple[int, ...]) -> None:
    """What is an `after` clause, and what only a comment."""
    assert read_task(f"4. f() {clause}", (1, 2, 3)).after == after


def test_after_ends_where_the_next_task_begins() -> None:
    """On one line, the number of the next task is not taken for one to wait for."""
    events = read("1. a() 2. b() after $1, 3. c() after 1, 2 4) d()")
    assert [(e.index, e.after) for e in events if isinstance(e, Task)] == [(1, ()), (2, (1,)), (3, (1, 2)), (4, ())]


def test_parse_plan_raises_with_every_complaint() -> None:
    """The error holds the diagnostics and its text lists them."""
    with pytest.raises(PlanSyntaxError) as caught:
        parse_plan("1. f($2)\nsearch(x)\n2. g()")
    assert [each.code for each in caught.value.diagnostics] == ["unknown-reference", "missing-index"]
    assert str(caught.value) == (
        "line 1, column 6: task 1 refers to task 2, but no earlier task has that number; "
        "references point only to earlier tasks; write `$$` for a dollar sign [unknown-reference]\n"
        "line 2, column 1: the call of 'search' has no index; number it: `N. search(…)` [missing-index]"
    )


def test_a_long_line_is_quoted_in_part() -> None:
    """A diagnostic quotes at most 60 characters."""
    assert complaints("1. " + "word " * 20) == [
        f"line 1, column 1: task 1 is not a tool call: '{'word ' * 11}word…'; "
        "write it as `1. tool(argument, …)`, or leave the number out [not-a-call]"
    ]


@pytest.mark.parametrize("character", ["\0", "\ud800"])
def test_characters_that_no_text_may_hold(character: str) -> None:
    """NUL and halves of characters are refused where they stand, not raised about."""
    assert complaints(f'1. f("{character}")') == [
        f"line 1, column 7: in the call of 'f', the character {character!r} cannot stand in a plan; "
        "leave it out [syntax]"
    ]


@pytest.mark.parametrize(
    "line", ["", "1.", "1. ", "   ", "10.5 million", "12:30 it is", "1.2. a", "Joined (two) ends", "$5"]
)
def test_prose_is_prose(line: str) -> None:
    """A line that does not look like a task is let pass without a word."""
    assert read(f"{line}\n1. f()") == [Task(1, "f")]
