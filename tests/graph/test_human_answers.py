"""What humans have answered, as LangGraph keeps it: a contract with names of LangGraph that are private."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.func import entrypoint
from langgraph.types import Command, Interrupt, interrupt

ADVICE = (
    "LangGraph keeps resume values in another way than `llmcompiler_graph/graph/human_answers.py` says: "
    "read `langgraph.types.interrupt`, then `_scratchpad` in `langgraph.pregel._algo`, and change `ResumeValues` "
    "and its module's docstring accordingly. Nothing else in the package reads these names"
)
THREAD: Any = {"configurable": {"thread_id": "1"}}


# -- what LangGraph must do --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CONFIG_KEY_RESUME_MAP", "CONFIG_KEY_SCRATCHPAD"])
def test_langgraph_has_the_private_names(name: str) -> None:
    """The keys under which LangGraph keeps its notes have the names by which they are imported."""
    try:
        constants = importlib.import_module("langgraph._internal._constants")
    except ImportError as error:
        pytest.fail(f"{ADVICE}: {error}")
    assert isinstance(getattr(constants, name, None), str), f"{ADVICE}: {name} is gone"


class Notes:
    """What LangGraph's scratchpad says in runs of a graph that asks twice."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

        @entrypoint(checkpointer=InMemorySaver())
        def graph(given: str) -> list[Any]:
            self.look()
            first = interrupt("first?")
            self.look()
            return [first, interrupt("second?")]

        self.graph: Any = graph

    def look(self) -> None:
        """Note the resume values with an id that there are, and the one without."""
        from langgraph._internal._constants import CONFIG_KEY_RESUME_MAP, CONFIG_KEY_SCRATCHPAD

        configurable = get_config()["configurable"]
        try:
            scratchpad = configurable[CONFIG_KEY_SCRATCHPAD]
            seen = list(scratchpad.resume), scratchpad.get_null_resume(False), configurable.get(CONFIG_KEY_RESUME_MAP)
        except (AttributeError, KeyError, TypeError) as error:
            pytest.fail(f"{ADVICE}: {error!r}")
        self.seen.append(seen)

    def run(self, given: Any) -> Any:
        """Run the graph; return what it asks, or gives."""
        self.seen.clear()
        final = self.graph.invoke(given, THREAD)
        return final["__interrupt__"][0] if "__interrupt__" in final else final


def test_langgraph_keeps_answers_without_an_id_apart() -> None:
    """Such an answer is in nobody's list until it is taken; LangGraph goes on to say that it has it."""
    notes = Notes()
    notes.run("go")
    assert notes.seen == [([], None, None)], ADVICE
    notes.run(Command(resume="one"))
    assert notes.seen == [([], "one", None), (["one"], "one", None)], ADVICE
    assert notes.run(Command(resume="two")) == ["one", "two"], ADVICE
    assert notes.seen == [(["one"], "two", None), (["one"], "two", None)], ADVICE


def test_langgraph_puts_answers_with_an_id_into_the_list() -> None:
    """Such an answer is in the list of who asked before it is taken, and the run knows that it goes on with such."""
    notes = Notes()
    asked = notes.run("go")
    answers = {asked.id: "one"}
    asked = notes.run(Command(resume=answers))
    assert notes.seen == [(["one"], None, answers)] * 2, ADVICE
    answers = {asked.id: "two"}
    assert notes.run(Command(resume=answers)) == ["one", "two"], ADVICE
    assert notes.seen == [(["one", "two"], None, answers)] * 2, ADVICE


# -- what is made of it ------------------------------------------------------------------------------------------------


def counting(answer: Callable[[Interrupt], Any]) -> list[int]:
    """Count the resume values before a question and behind it, in the run that answers it."""
    from llmcompiler_graph.graph.human_answers import ResumeValues

    counts: list[int] = []

    @entrypoint(checkpointer=InMemorySaver())
    def graph(given: str) -> None:
        values = ResumeValues()
        counts.append(values.count())
        with values.watched():
            interrupt("first?")
        counts.append(values.count())
        interrupt("second?")

    asked: Any = graph.invoke("go", THREAD)
    assert counts == [0]
    counts.clear()
    graph.invoke(Command(resume=answer(asked["__interrupt__"][0])), THREAD)
    return counts


@pytest.mark.parametrize(
    "answer", [lambda asked: "yes", lambda asked: {asked.id: "yes"}], ids=["without an id", "with an id"]
)
def test_an_answer_is_counted_once(answer: Callable[[Interrupt], Any]) -> None:
    """An answer counts while it may be taken and when it was, and never twice."""
    assert counting(answer) == [1, 1]


def test_several_interrupts_are_raised_as_one() -> None:
    """Each question is asked once, the first where several have one id, in order."""
    from llmcompiler_graph.graph.human_answers import one_interrupt

    first, same, second = Interrupt("a", id="1"), Interrupt("b", id="1"), Interrupt("c", id="2")
    raised = one_interrupt([GraphInterrupt((first,)), GraphInterrupt(), GraphInterrupt((same, second))])
    assert raised.args == ((first, second),)
