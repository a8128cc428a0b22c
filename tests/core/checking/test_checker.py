import json

import pytest

from llmcompiler_graph.core.checking.checker import Checker, check_plan
from llmcompiler_graph.core.errors import Diagnostic, PlanCheckError
from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.core.language.plan import Plan, Task, ToolSpec
from llmcompiler_graph.core.language.references import ALL, JSON, Reference, Template, Value

STRING: JSON = {"type": "string"}
NUMBER: JSON = {"type": "number"}
HITS: JSON = {
    "type": "array",
    "items": {"type": "object", "properties": {"title": STRING, "score": NUMBER}, "required": ["title", "score"]},
}
POINT: JSON = {"$ref": "#/$defs/Point"}
POINTS: dict[str, JSON] = {
    "#/$defs/Point": {"type": "object", "properties": {"x": NUMBER, "y": NUMBER}, "required": ["x", "y"]}
}


def refuse_odd(name: str, value: JSON) -> str | None:
    """A tool's own check of a constant."""
    return f"{value} is odd" if name == "n" and isinstance(value, int) and value % 2 else None


TOOLS = [
    ToolSpec("search", {"query": STRING, "limit": {"type": "integer"}}, frozenset({"query"}), HITS),
    ToolSpec(
        "height",
        {"of": STRING},
        frozenset({"of"}),
        {"type": "object", "properties": {"height_m": NUMBER, "name": STRING}, "required": ["height_m"]},
    ),
    ToolSpec("square", {"x": NUMBER}, frozenset({"x"}), NUMBER),
    ToolSpec("power", {"x": NUMBER, "y": NUMBER}, frozenset({"x", "y"}), NUMBER),
    ToolSpec("now", returns=STRING),
    ToolSpec("anything"),
    ToolSpec("even", {"n": {"type": "integer"}, "unit": {"enum": ["m", "ft"]}}, validate=refuse_odd),
    ToolSpec("store", {"data": {"type": "object"}, "key": STRING}, frozenset({"data"})),
    ToolSpec("total", {"values": {"type": "array", "items": NUMBER}}, frozenset({"values"}), NUMBER),
    ToolSpec("open", {"path": STRING}, open_arguments=True),
    ToolSpec("locate", {"name": STRING}, frozenset({"name"}), POINT, POINTS),
    ToolSpec("distance", {"a": POINT, "b": POINT}, frozenset({"a"}), NUMBER, POINTS),
]


def check(*tasks: Task, max_tasks: int | None = None) -> list[str]:
    """Check tasks in order; what is wrong with the last, without its place."""
    checker = Checker(TOOLS, max_tasks)
    found = [checker.check(task) for task in tasks]
    return [
        f"{each.message}; {each.hint} [{each.code}]" if each.hint else f"{each.message} [{each.code}]"
        for each in found[-1].diagnostics
    ]


def bind(text: str) -> dict[str, Value]:
    """Check a plan that has nothing wrong; the arguments of its last task."""
    return dict(check_plan(parse_plan(text), TOOLS).tasks[-1].arguments)


def nested(value: Value, levels: int) -> Value:
    """Put a value into lists in lists."""
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("task", "complaints"),
    [
        (Task(1, "serch"), ["no tool is named 'serch'; did you mean 'search'? [unknown-tool]"]),
        (
            Task(1, "square", positional=(1, 2, 3)),
            ["'square' takes only `x`, 3 were given by position [too-many-arguments]"],
        ),
        (
            Task(1, "power", positional=(1, 2, 3)),
            ["'power' takes only `x`, `y`, 3 were given by position [too-many-arguments]"],
        ),
        (
            Task(1, "search", {"query": nested("x", 101)}),
            ["`query` of 'search' is nested more than 100 deep [argument-type]"],
        ),
        (
            Task(1, "search", {"query": nested(Reference(1), 101)}),
            ["`query` of 'search' is nested more than 100 deep [argument-type]"],
        ),
        (
            Task(1, "now", positional=(1,)),
            ["'now' takes no arguments, 1 were given by position [too-many-arguments]"],
        ),
        (
            Task(1, "square", {"x": 2}, positional=(1,)),
            ["`x` of 'square' is given by position and by name [duplicate-argument]"],
        ),
        (
            Task(1, "search", {"query": "a", "limt": 1}),
            ["'search' has no argument `limt`; did you mean `limit`? [unknown-argument]"],
        ),
        (
            Task(1, "search", {"query": "a", "zzz": 1}),
            ["'search' has no argument `zzz`; it takes query, limit [unknown-argument]"],
        ),
        (Task(1, "now", {"zzz": 1}), ["'now' has no argument `zzz`; it takes nothing [unknown-argument]"]),
        (Task(1, "search"), ["'search' needs `query` (str) [missing-argument]"]),
        (
            Task(1, "power"),
            ["'power' needs `x` (float) [missing-argument]", "'power' needs `y` (float) [missing-argument]"],
        ),
        (Task(1, "distance"), ["'distance' needs `a` ({x: float, y: float}) [missing-argument]"]),
        (Task(1, "square", {"x": "9"}), ["`x` of 'square': expected float, not '9' [argument-type]"]),
        (Task(1, "square", {"x": None}), ["`x` of 'square': expected float, not None [argument-type]"]),
        (
            Task(1, "distance", {"a": {"x": 1}}),
            ["`a` of 'distance': expected {x: float, y: float}, not {'x': 1} [argument-type]"],
        ),
        (Task(1, "even", {"n": 3}), ["`n` of 'even': 3 is odd [argument-type]"]),
    ],
)
def test_what_is_wrong_with_a_task(task: Task, complaints: list[str]) -> None:
    """Each complaint says what, of which tool, and where it is known what to write instead."""
    assert check(task) == complaints


@pytest.mark.parametrize(
    ("schema", "left_out"),
    [
        ({"type": "integer"}, True),
        ({"type": "array", "default": None}, True),
        ({"type": "integer", "default": 3}, False),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, False),
    ],
)
def test_none_for_what_may_be_left_out(schema: JSON, left_out: bool) -> None:
    """An optional argument without a default is left out where `None` is written, as its signature has it."""
    tool = ToolSpec("search", {"query": {"type": "string"}, "limit": schema}, frozenset({"query"}))
    checked = Checker([tool]).check(Task(1, "search", positional=("K2", None)))
    assert ("limit" not in checked.task.arguments) == left_out
    assert bool(checked.diagnostics) == (not left_out and "anyOf" not in schema)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("tools", "hint"),
    [
        ([], "there are none"),
        ([ToolSpec("a"), ToolSpec("b")], "there are 'a', 'b'"),
        ([ToolSpec("look"), ToolSpec("look_up")], "did you mean 'look_up'?"),
    ],
)
def test_an_unknown_tool_gets_the_nearest_name(tools: list[ToolSpec], hint: str) -> None:
    """Or, if none is near, all there are; the task is left as it is."""
    task = Task(4, "look_upp", positional=(1,), line=3, column=2)
    checked = Checker(tools).check(task)
    assert checked.task == task
    assert checked.diagnostics == [Diagnostic("unknown-tool", "no tool is named 'look_upp'", 3, 2, hint, 4)]


@pytest.mark.parametrize(
    ("first", "value", "complaints"),
    [
        (
            Task(1, "now"),
            Reference(1),
            ["`x` of 'square' takes float, but $1 is str (the observation of 'now') [reference-type]"],
        ),
        (
            Task(1, "search", {"query": "a"}),
            Reference(1),
            [
                "`x` of 'square' takes float, but $1 is list[{title: str, score: float}] "
                "(the observation of 'search') [reference-type]"
            ],
        ),
        (
            Task(1, "search", {"query": "a"}),
            Reference(1, (0, "title")),
            ["`x` of 'square' takes float, but ${1[0].title} is str (the observation of 'search') [reference-type]"],
        ),
        (
            Task(1, "search", {"query": "a"}),
            Reference(1, (ALL, "title")),
            ["`x` of 'square' takes float, but ${1[*].title} is str (the observation of 'search') [reference-type]"],
        ),
        (Task(1, "search", {"query": "a"}), Reference(1, (0, "score")), []),
        (Task(1, "search", {"query": "a"}), Reference(1, (ALL, "score")), []),
        (
            Task(1, "search", {"query": "a"}),
            Reference(1, (0, "rank")),
            [
                "${1[0].rank}: the observation of 'search' has no rank; it has title, score [reference-path]",
            ],
        ),
        (
            Task(1, "square", {"x": 1}),
            Reference(1, ("value",)),
            ["${1.value}: the observation of 'square' has no value; it is float [reference-path]"],
        ),
        (
            Task(1, "height", {"of": "K2"}),
            Reference(1, (ALL,)),
            ["${1[*]}: the observation of 'height' has no [*]; it is {height_m: float, name?: str} [reference-path]"],
        ),
        (
            Task(1, "locate", {"name": "K2"}),
            Reference(1),
            [
                "`x` of 'square' takes float, but $1 is {x: float, y: float} "
                "(the observation of 'locate') [reference-type]"
            ],
        ),
        (Task(1, "locate", {"name": "K2"}), Reference(1, ("y",)), []),
        (
            Task(1, "locate", {"name": "K2"}),
            Reference(1, ("z",)),
            ["${1.z}: the observation of 'locate' has no z; it has x, y [reference-path]"],
        ),
        (Task(1, "square", {"x": 1}), Reference(1), []),
        (
            Task(1, "square", {"x": 1}),
            Template((Reference(1), " m")),
            ["`x` of 'square' takes float, not text [reference-type]"],
        ),
        (Task(1, "square", {"x": 1}), [Reference(1)], ["`x` of 'square' takes float, not a list [reference-type]"]),
        (
            Task(1, "square", {"x": 1}),
            {"a": Reference(1)},
            ["`x` of 'square' takes float, not a dict [reference-type]"],
        ),
        (
            Task(1, "square", {"x": 1}),
            Template(("a", Reference(1, ("b",)))),
            [
                "${1.b}: the observation of 'square' has no b; it is float [reference-path]",
                "`x` of 'square' takes float, not text [reference-type]",
            ],
        ),
        (Task(1, "anything"), Reference(1, ("a", 0)), []),
        (Task(1, "no_such_tool"), Reference(1, ("a", 0)), []),
    ],
)
def test_references_have_the_type_of_what_they_select(first: Task, value: Value, complaints: list[str]) -> None:
    """A tool's observation against the parameter it feeds, paths and fan-out included; the unknown fits."""
    assert check(first, Task(2, "square", {"x": value})) == complaints


@pytest.mark.parametrize(
    ("arguments", "complaints"),
    [
        ({"values": [1, Reference(1), 2.5]}, []),
        (
            {"values": [Reference(1), Reference(2), Template((Reference(1), "m"))]},
            [
                "`values` of 'total' takes float, but $2 is str (the observation of 'now') [reference-type]",
                "`values` of 'total' takes float, not text [reference-type]",
            ],
        ),
        (
            {"values": {"a": Reference(1)}},
            ["`values` of 'total' takes list[float], not a dict [reference-type]"],
        ),
        (
            {"values": [Reference(1), "9"]},
            ["`values` of 'total': expected float, not '9' [argument-type]"],
        ),
    ],
)
def test_references_are_checked_element_by_element(arguments: dict[str, Value], complaints: list[str]) -> None:
    """Each reference in a list is checked against the element's schema, and so are constants beside it."""
    assert check(Task(1, "square", {"x": 1}), Task(2, "now"), Task(3, "total", arguments)) == complaints


def test_fields_of_an_object_are_checked_one_by_one() -> None:
    """Through `$ref`; a field the schema does not know takes anything."""
    value: Value = {"x": Reference(1), "y": Reference(2), "z": Reference(1)}
    assert check(Task(1, "now"), Task(2, "square", {"x": 1}), Task(3, "distance", {"a": value})) == [
        "`a` of 'distance' takes float, but $1 is str (the observation of 'now') [reference-type]"
    ]


def test_two_tools_may_mean_two_things_by_one_definition() -> None:
    """A reference's type is read with its own tool's definitions."""
    definitions: dict[str, JSON] = {"#/$defs/Point": STRING}
    checker = Checker([*TOOLS, ToolSpec("label", returns=POINT, definitions=definitions)])
    checker.check(Task(1, "label"))
    (found,) = checker.check(Task(2, "distance", {"a": Reference(1)})).diagnostics
    assert found.message == "`a` of 'distance' takes {x: float, y: float}, but $1 is str (the observation of 'label')"


def test_a_task_that_fans_out_returns_a_list() -> None:
    """A task that fans out returns a list of what its tool returns, from which `[*]` selects again."""
    fanned = [Task(1, "search", {"query": "a"}), Task(2, "square", {"x": Reference(1, (ALL, "score"))})]
    assert check(*fanned, Task(3, "total", {"values": Reference(2)})) == []
    assert check(*fanned, Task(3, "square", {"x": Reference(2, (ALL,))})) == []
    assert check(*fanned, Task(3, "square", {"x": Reference(2)})) == [
        "`x` of 'square' takes float, but $2 is list[float] (the observation of 'square') [reference-type]"
    ]


def test_the_tasks_of_a_plan_are_counted() -> None:
    """Each past the limit is complained of, whatever else is wrong with it."""
    tasks = [Task(index, "now") for index in (5, 6, 7)]
    assert check(*tasks[:2], max_tasks=2) == []
    assert check(*tasks, max_tasks=2) == ["a plan may have 2 tasks, this is number 3 [too-many-tasks]"]
    assert check(Task(1, "naw"), max_tasks=0) == [
        "a plan may have 0 tasks, this is number 1 [too-many-tasks]",
        "no tool is named 'naw'; did you mean 'now'? [unknown-tool]",
    ]


def test_everything_wrong_with_a_task_is_reported_at_once() -> None:
    """All that is wrong with a task is reported, not just the first, and stands where the task stands."""
    parameters: dict[str, JSON] = {"a": NUMBER, "b": NUMBER, "c": NUMBER}
    tool = ToolSpec("f", parameters, frozenset({"a", "hidden"}), {"type": "object", "properties": {"k": STRING}})
    checker = Checker([tool], max_tasks=0)
    checker.assume(Task(1, "f"))
    task = Task(
        2, "f", {"a": "x", "other": 1}, positional=(0, Reference(1), Reference(1, ("nope",)), 9), line=4, column=3
    )
    found = checker.check(task).diagnostics
    assert [each.code for each in found] == [
        "too-many-tasks",
        "too-many-arguments",
        "duplicate-argument",
        "unknown-argument",
        "missing-argument",
        "argument-type",
        "reference-type",
        "reference-path",
    ]
    assert {(each.line, each.column, each.index) for each in found} == {(4, 3, 2)}
    assert found[4].message == "'f' needs `hidden` (Any)"


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('1. search("K2", 3)', {"query": "K2", "limit": 3}),
        ('1. search("K2", limit=3)', {"query": "K2", "limit": 3}),
        ('1. search(limit=3, query="K2")', {"limit": 3, "query": "K2"}),
        ('1. search({"query": "K2", "limit": 3})', {"query": "K2", "limit": 3}),
        ('1. power({"y": 2, "x": 3})', {"y": 2, "x": 3}),
        ('1. store({"data": {"a": 1}, "key": "k"})', {"data": {"a": 1}, "key": "k"}),
        ('1. store({"a": 1})', {"data": {"a": 1}}),
        ('1. store({"key": 1})', {"data": {"key": 1}}),
        ('1. store({"data": {}, "key": "k"}, "j")', {"data": {"data": {}, "key": "k"}, "key": "j"}),
        ('1. search({"q": "K2"})', {"query": '{"q": "K2"}'}),
        ('1. open("a", mode="r")', {"path": "a", "mode": "r"}),
        ("1. open(mode=1)", {"mode": 1}),
        ("1. search(42)", {"query": "42"}),
        ("1. search(4.5, 2.0)", {"query": "4.5", "limit": 2.0}),
        ("1. square(3)", {"x": 3}),
        ("1. even(2)", {"n": 2}),
        ("1. now()", {}),
        ('1. search("costs $$5")', {"query": "costs $5"}),
        ("1. square(2)\n2. search($1)", {"query": Reference(1)}),
        ("1. locate('K2')\n2. distance($1, {'x': 0, 'y': ${1.y}})", None),
    ],
)
def test_arguments_are_bound_to_names(text: str, arguments: dict[str, Value] | None) -> None:
    """By position, by name or as one JSON object; what goes where only text is taken becomes text."""
    if arguments is None:
        arguments = {"a": Reference(1), "b": {"x": 0, "y": Reference(1, ("y",))}}
    assert bind(text) == arguments


def test_an_object_that_names_some_arguments_lacks_the_others() -> None:
    """Where the first parameter takes no object, one with the names of others must be the arguments."""
    assert check(Task(1, "power", positional=({"y": 2},))) == ["'power' needs `x` (float) [missing-argument]"]


def test_what_is_bound_keeps_the_rest_of_the_task() -> None:
    """Index, order, thought and place stay; positions are gone."""
    task = Task(3, "search", after=(1, 2), positional=("a",), thought="t", line=5, column=7)
    found = Checker(TOOLS).check(task).task
    assert found == Task(3, "search", {"query": "a"}, (1, 2), (), "t")
    assert (found.line, found.column) == (5, 7)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$2.height_m", Reference(2, ("height_m",))),
        ("$2.height_m m", Template((Reference(2, ("height_m",)), " m"))),
        ("$2.height_m.", Template((Reference(2, ("height_m",)), "."))),
        ("$2.height_m - $1[0].score", Template((Reference(2, ("height_m",)), " - ", Reference(1, (0, "score"))))),
        ("$1[*].title", Reference(1, (ALL, "title"))),
        ("$1[-1] it is", Template((Reference(1, (-1,)), " it is"))),
        ("$2. height_m", Template((Reference(2), ". height_m"))),
        ("${2.name}.height_m", Template((Reference(2, ("name",)), ".height_m"))),
        ("$3.height_m", Reference(3, ("height_m",))),
        ("$4.height_m", Reference(4, ("height_m",))),
        ("$3.txt", Template((Reference(3), ".txt"))),
    ],
)
def test_a_path_in_a_string(text: str, value: Value) -> None:
    """In a string, what follows a reference as a path does is its path, whatever the tool says it returns."""
    plan = f'1. search("a")\n2. height("K2")\n3. now()\n4. anything()\n5. search("{text}")'
    assert bind(plan) == {"query": value}


@pytest.mark.parametrize("text", ["$2.height", "$2[0]", "$1.title", "$2.height_m.x", "of $2.height_metres"])
def test_a_path_in_a_string_that_leads_nowhere(text: str) -> None:
    """A path in a string that the observation is known not to have is complained about, before anything runs."""
    with pytest.raises(PlanCheckError, match=r"reference-path"):
        bind(f'1. search("a")\n2. height("K2")\n3. search("{text}")')


def test_a_path_found_in_a_string_has_its_type() -> None:
    """A string that turns out to be one reference passes the value, not text."""
    assert bind('1. height("K2")\n2. square("$1.height_m")') == {"x": Reference(1, ("height_m",))}
    with pytest.raises(PlanCheckError, match=r"\$\{1\.name\} is str"):
        bind('1. height("K2")\n2. square("$1.name")')


def test_tasks_of_earlier_plans_are_assumed() -> None:
    """Tasks of earlier plans may be referred to with their types, and do not count; unknown tools return anything."""
    checker = Checker(TOOLS, max_tasks=1)
    checker.assume(Task(1, "now"))
    checker.assume(Task(2, "square", {"x": Reference(9, (ALL,))}))
    checker.assume(Task(3, "gone"))
    value: Value = [Reference(1), Reference(2), Reference(3, ("a",))]
    found = checker.check(Task(4, "total", {"values": value})).diagnostics
    assert [each.message for each in found] == [
        "`values` of 'total' takes float, but $1 is str (the observation of 'now')",
        "`values` of 'total' takes float, but $2 is list[float] (the observation of 'square')",
    ]


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        (
            [Task(1, "now"), Task(1, "now", line=2)],
            "line 2, column 1: task 1 stands twice in the plan [duplicate-index]",
        ),
        ([Task(1, "now", after=(1,))], "line 1, column 1: task 1 refers to itself [self-reference]"),
        (
            [Task(1, "now", after=(2,)), Task(2, "now", line=2)],
            "line 1, column 1: task 1 refers to task 2, but no earlier task has that number [unknown-reference]",
        ),
    ],
)
def test_a_plan_made_by_hand_is_numbered_as_text_would_be(tasks: list[Task], text: str) -> None:
    """A plan made by hand is refused if its numbers are not such as text would have: it could not be run."""
    with pytest.raises(PlanCheckError) as caught:
        check_plan(Plan(tuple(tasks)), TOOLS)
    assert str(caught.value) == text


def test_a_plan_is_checked_as_a_whole() -> None:
    """Every complaint about every task, in the order of the text."""
    with pytest.raises(PlanCheckError) as caught:
        check_plan(parse_plan('1. now(1)\n2. square("a")\n3. nwo()\n'), TOOLS, max_tasks=2)
    assert [(each.line, each.code) for each in caught.value.diagnostics] == [
        (1, "too-many-arguments"),
        (2, "argument-type"),
        (3, "too-many-tasks"),
        (3, "unknown-tool"),
    ]


def test_a_tools_own_check_sees_whole_arguments_that_it_knows() -> None:
    """A tool's own check sees whole arguments that it knows; one with a reference in it is left to the call."""
    seen: list[str] = []

    def lax(name: str, _: JSON) -> str | None:
        seen.append(name)
        return None

    numbers: JSON = {"type": "array", "items": NUMBER}
    checker = Checker([ToolSpec("f", {"a": numbers}, open_arguments=True, validate=lax)])
    checker.check(Task(1, "f"))
    assert checker.check(Task(2, "f", {"a": ["9"], "other": 1})).diagnostics == []
    assert checker.check(Task(3, "f", {"a": ["9", Reference(1)]})).diagnostics == []
    assert seen == ["a"]


@pytest.mark.parametrize(
    ("expression", "complaints"),
    [
        ("${1.x} + 1", []),
        ("argmax({'${1.name}': ${1.x}, \"${1}\": $2})", []),
        ('\'it"s ${1.name}\' if $2 > 1 else "$1"', []),
        ("$2", []),
        ("1 + 1", []),
        ("$1 - 2", ["takes numbers, but $1 is {x: float, name: str}", "its numbers are ${1.x}"]),
        ("$1", ["takes numbers, but $1 is {x: float, name: str}"]),
        ("'a' + ${1.name}", ["takes numbers, but ${1.name} is str (the observation of 'find')", "${1.x}"]),
        ("$3 / 2", ["takes numbers, but $3 is str (the observation of 'say')"]),
        ("${1.z} * 2", ["[reference-path]"]),
        ("max($2,200)", ["takes numbers, but a '$' is text", "write `${N}`"]),
        ("$9 * ${1.x}", ["takes numbers, but a '$' is text"]),
        ("{'in $5': $2}['in $5']", []),
    ],
)
def test_an_arithmetic_expression_takes_numbers(expression: str, complaints: list[str]) -> None:
    """A reference outside quotes is a number; which of the fields are numbers is said."""
    thing: JSON = {"type": "object", "properties": {"x": NUMBER, "name": STRING}, "required": ["x", "name"]}
    text: JSON = {"type": "string", "format": "arithmetic"}
    solve = ToolSpec("solve", {"expression": text}, frozenset({"expression"}), NUMBER)
    checker = Checker([ToolSpec("find", returns=thing), ToolSpec("say", returns=STRING), solve])
    plan = parse_plan(f"1. find()\n2. solve('1')\n3. say()\n4. solve(expression={json.dumps(expression)})")
    found = [str(each) for task in plan for each in checker.check(task).diagnostics]
    assert len(found) == bool(complaints)
    assert all(each in found[0] for each in complaints)
