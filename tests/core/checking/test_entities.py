import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcompiler_graph.core.checking.entities import Entities
from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.language.references import Reference, Template


def doubts(text: str) -> list[tuple[int | None, str]]:
    """Read a plan; return the task and hint of each doubt."""
    entities, found = Entities(), []
    for task in parse_plan(text):
        if doubt := entities.doubt(task):
            found.append((doubt.index, doubt.hint))
        entities.note(task)
    return found


LOOKUPS = '1. look("Everest")\n2. look("K2")\n3. look("Lhotse")\n4. look("Makalu")\n'


def test_a_slid_reference() -> None:
    """A task that names two things and reads one of them and its neighbour is doubted, with the right index."""
    assert doubts(LOOKUPS + '5. compare("K2 and Lhotse", [$3, $4])') == [(5, "refer to $2 for 'K2'")]
    assert doubts(LOOKUPS + '5. compare("the sum of Everest and K2", [$3, $4])') == [
        (5, "refer to $1 for 'Everest' and refer to $2 for 'K2'")
    ]


def test_through_other_tasks() -> None:
    """What a task reads through others counts, for and against it."""
    adjusted = LOOKUPS + '5. math("Everest * 2", [$1])\n6. math("K2 * 3", [$2])\n'
    assert doubts(adjusted + '7. math("Everest minus K2", [$5, $6])') == []
    assert doubts(adjusted + '7. math("Everest minus Lhotse", [$5, $6])') == [(7, "refer to $3 for 'Lhotse'")]
    assert doubts(adjusted + '7. math("all of it", [$5, $6])') == []


def test_the_thought_counts() -> None:
    """What the task's own thought names counts as what it says itself."""
    assert doubts(LOOKUPS + "Thought: K2 minus Lhotse\n5. math($3, $4)") == [(5, "refer to $2 for 'K2'")]


def test_what_proves_nothing() -> None:
    """Tasks that name nothing, too little or too much, or read nothing, are not doubted."""
    for line in (
        '5. calculate("${1.height_m} - ${2.height_m}")',
        '5. calculate("${1.height_m} minus that of K2: ${2.height_m}")',
        '5. ask("Are Everest and K2 in one country?", $1)',  # K2 may be known from the question
        '5. look("K2")',
        '5. math("k2 and lhotse", [$3, $4])',
        '5. math("K20 and K2s", [$3, $4])',
        '5. send("about K2")',
    ):
        assert doubts(LOOKUPS + line) == [], line


def test_names_within_names() -> None:
    """Where a longer name stands, the shorter one in it is not meant."""
    plan = '1. look("York")\n2. look("New York")\n3. look("Boston")\n'
    assert doubts(plan + '4. math("New York and Boston", [$2, $3])') == []
    assert doubts(plan + '4. math("York and Boston", [$2, $3])') == [(4, "refer to $1 for 'York'")]


def test_a_thing_looked_up_twice() -> None:
    """Where several tasks look up one thing, reading any of them will do."""
    plan = '1. height("K2")\n2. age("K2")\n3. height("Lhotse")\n'
    assert doubts(plan + '4. math("K2 and Lhotse", [$2, $3])') == []


def test_shared_words() -> None:
    """A word that all were called with tells none of them apart, and a task that says it is not doubted."""
    plan = '1. look("K2", "metres")\n2. look("Lhotse", "metres")\n'
    assert doubts(plan + '3. math("in metres", $1)\n4. math("Lhotse in metres", $1)') == []
    assert doubts(plan + '3. math("Lhotse", $1)') == [(3, "refer to $2 for 'Lhotse'")]


@pytest.mark.timeout(20)
def test_the_work_is_linear_in_the_plan() -> None:
    """Thousands of names, as many tasks that name and read them, and a chain through all: a second, not minutes."""
    count = 3_000
    lines = [f'{n}. look("mountain {n} of many")' for n in range(1, count + 1)]
    lines += [f'{count + n}. tell("of mountain {n} of many", [${n}, ${count + n - 1}])' for n in range(1, count + 1)]
    assert len(doubts("\n".join(lines))) == 0


names = st.lists(st.text("abcdef", min_size=2, max_size=6), min_size=1, max_size=6, unique=True)


@given(names, st.data())
def test_right_references_are_never_doubted(called: list[str], data: st.DataObject) -> None:
    """A task that reads everything it names is not doubted, whatever else it says; nor one that names all it reads."""
    entities = Entities()
    for index, name in enumerate(called, 1):
        entities.note(Task(index, "look", {"name": name}))
    read = data.draw(st.sets(st.integers(1, len(called)), min_size=1))
    named = data.draw(st.sets(st.integers(1, len(called))))
    said = " and ".join(called[n - 1] for n in sorted(named))
    task = Task(len(called) + 1, "math", {"of": Template((said, *map(Reference, sorted(read))))})
    doubt = entities.doubt(task)
    assert (doubt is None) == (named <= read or read <= named)


@given(st.lists(st.tuples(st.text(max_size=8), st.lists(st.integers(1, 9), max_size=3)), max_size=9))
def test_any_plan_can_be_looked_at(tasks: list[tuple[str, list[int]]]) -> None:
    """No text in any task makes it fail, and no task is doubted that reads nothing."""
    entities = Entities()
    for index, (text, refers) in enumerate(tasks, 1):
        references = tuple(Reference(n) for n in refers if n < index)
        task = Task(index, "t", {"text": Template((text, *references))})
        assert entities.doubt(task) is None or references
        entities.note(task)
