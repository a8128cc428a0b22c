from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.core.language.plan import Plan, Task, ToolSpec
from llmcompiler_graph.evaluation.plan_metrics import compare, isomorphic, width_and_depth

GOLD = '1. search(query="K2")\n2. search(query="Everest")\n3. math(expression="$2 - $1")\n4. join()'
TOOLS = [
    ToolSpec("search", {"query": {"type": "string"}}, frozenset({"query"})),
    ToolSpec("math", {"expression": {"type": "string"}}, frozenset({"expression"})),
]


def test_the_order_of_independent_tasks_does_not_count() -> None:
    """A plan with its searches exchanged is exactly the gold plan."""
    found = compare(
        '1. search(query="Everest")\n2. search(query="K2")\n3. math(expression="$1 - $2")', GOLD, tools=TOOLS
    )
    assert found.parsed
    assert found.exact
    assert found.isomorphic
    assert (found.width, found.depth) == (2, 2)


def test_a_reference_to_the_wrong_task_is_a_wrong_argument() -> None:
    """References are compared by what they refer to: `$1 - $2` is not `$2 - $1`."""
    found = compare(GOLD.replace("$2 - $1", "$1 - $2"), GOLD, tools=TOOLS)
    assert found.isomorphic
    assert not found.exact
    assert found.arguments.common == 2
    assert found.edges.f1 == 1


def test_missing_and_superfluous_calls_count_against_a_plan() -> None:
    """Precision falls with what is too much, recall with what is missing."""
    found = compare('1. search(query="K2")\n2. search(query="Lhotse")\n3. search(query="Nuptse")', GOLD, tools=TOOLS)
    assert found.tools.precision == found.tools.recall == pytest.approx(2 / 3)
    assert found.arguments.f1 == pytest.approx(1 / 3)
    assert found.edges.recall == 0
    assert found.edges.precision == 1
    assert not found.isomorphic


def test_positions_have_names_where_the_tools_are_known() -> None:
    """`search("K2")` is `search(query="K2")` to who knows the tool."""
    positional = GOLD.replace("query=", "").replace("expression=", "")
    assert compare(positional, GOLD, tools=TOOLS).exact
    assert not compare(positional, GOLD).exact


def test_what_cannot_be_read_is_told_and_left_out() -> None:
    """A broken line makes a plan not parsed; the others still count. The empty plan has nothing right or wrong."""
    found = compare(GOLD.replace('"Everest"', '"Everest'), GOLD, tools=TOOLS)
    assert not found.parsed
    assert found.diagnostics
    assert found.tools.common >= 1
    assert not compare('1. find("K2")', GOLD, tools=TOOLS).parsed
    nothing = compare("", "")
    assert nothing.parsed
    assert nothing.tools.f1 == 1
    assert (nothing.width, nothing.depth) == (0, 0)


def test_a_numbered_line_of_prose_is_no_fault() -> None:
    """A line that is no task, and has the number of one that follows, is prose."""
    plan = '1. First look it up\n1. search(query="K2")\n2. join()'
    assert compare(plan, '1. search(query="K2")\n2. join()').parsed


def test_overlaps_add_up() -> None:
    """Overlaps of several plans together are their micro average."""
    one = compare(GOLD, GOLD).tools
    other = compare("", GOLD).tools
    assert (one + other).recall == 0.5


def test_graphs_with_equal_degrees_are_told_apart() -> None:
    """Two chains that cross are not two chains that do not, although every task has as many neighbours."""
    parts = "1. a()\n2. a()\n3. b($1)\n4. b($2)\n5. c($3)\n6. d($4)"
    assert isomorphic(parse_plan(parts), parse_plan("1. a()\n2. b($1)\n3. d($2)\n4. a()\n5. b($4)\n6. c($5)"))
    six = "1. s()\n2. s()\n3. s()\n4. t({})\n5. t({})\n6. t({})"
    ring = parse_plan(six.format("$1, $2", "$2, $3", "$3, $1"))
    parted = parse_plan(six.format("$1, $2", "$1, $2", "$3"))
    assert isomorphic(ring, parse_plan(six.format("$3, $2", "$1, $3", "$1, $2")))
    assert not isomorphic(ring, parted)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Small plans of two tools with any dependencies."""
    size = draw(st.integers(1, 5))
    return Plan(
        tuple(
            Task(
                index,
                draw(st.sampled_from("ab")),
                after=tuple(earlier for earlier in range(1, index) if draw(st.booleans())),
            )
            for index in range(1, size + 1)
        )
    )


@given(plans(), plans())
def test_isomorphism_is_exact(one: Plan, other: Plan) -> None:
    """Two plans are isomorphic if trying all numberings makes one of the other, and only then."""

    def graph(plan: Plan, numbers: tuple[int, ...]) -> set[object]:
        """Tools and edges, under new numbers."""
        new = dict(zip((task.index for task in plan), numbers, strict=True))
        tasks = {(new[task.index], task.tool) for task in plan}
        return {*tasks, *((new[need], new[task.index], "edge") for task in plan for need in task.dependencies)}

    numbers = tuple(range(len(one)))
    wanted = len(one) == len(other) and any(
        graph(one, numbers) == graph(other, tried) for tried in permutations(numbers)
    )
    assert isomorphic(one, other) == wanted
    assert width_and_depth(one)[1] >= 1


def test_width_and_depth() -> None:
    """The width is that of the widest level, in calls where these are known; the depth is the longest chain."""
    assert width_and_depth(parse_plan("1. a(1)\n2. a(2)\n3. a(3)\n4. a($1)\n5. a($4)")) == (3, 3)
    assert width_and_depth(parse_plan("1. join()")) == (0, 0)
    assert width_and_depth(parse_plan("1. a(1)\n2. a(2)\n3. a($1)"), {1: 1, 2: 4, 3: 0}) == (5, 2)
