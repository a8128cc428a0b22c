"""What humans have answered, as LangGraph keeps it, and what is still to be asked.

`Command(resume=…)` gives a run answers in one of two forms, and LangGraph keeps them in two places:

- *With the interrupt's id*, `{id: answer}`: LangGraph puts each into the list of the node or `@task` that asked. An
  `interrupt()` there takes the next of the list, in the order of the `interrupt()` calls.
- *Without an id*: the answer is for whichever `interrupt()` is called first, in the node or any of its `@task`s. Once
  it is taken it stands in that one's list too. But LangGraph still says that it has it, also in later runs from the
  same checkpoint, although it gives it to nobody else in the run that took it.

How many answers are left cannot be asked through LangGraph's public interface. So this module, and no other, reads the
scratchpad that `langgraph.types.interrupt` reads. `tests/graph/test_human_answers.py` holds LangGraph to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from langgraph._internal._constants import CONFIG_KEY_RESUME_MAP, CONFIG_KEY_SCRATCHPAD
from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.types import Interrupt

__all__ = ("ResumeValues", "one_interrupt")


class ResumeValues:
    """Counts LangGraph's resume values in one run of a node and its `@task`s. Make it in the node."""

    def __init__(self) -> None:
        self._taken = False  # whether the answer without an id was taken
        if get_config()["configurable"].get(CONFIG_KEY_RESUME_MAP):
            # the run goes on with answers that have ids: one without is left from an earlier run
            _scratchpad().get_null_resume(True)
            self._taken = True

    def count(self) -> int:
        """How many answers there are for the node or `@task` this runs in: those taken, and those it may take."""
        scratchpad = _scratchpad()
        return len(scratchpad.resume) + (not self._taken and scratchpad.get_null_resume(False) is not None)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notice if an `interrupt()` in the node or `@task` this runs in takes the answer without an id meanwhile."""
        values: list[Any] = _scratchpad().resume
        before = len(values)
        try:
            yield
        finally:
            self._taken = self._taken or len(values) > before


def one_interrupt(errors: Iterable[BaseException]) -> GraphInterrupt:
    """Make one of several interrupts, each question once: the first, where several have one id."""
    interrupts: dict[str, Interrupt] = {}
    for error in errors:
        for asked in error.args[0] if error.args else ():
            interrupts.setdefault(asked.id, asked)
    return GraphInterrupt(tuple(interrupts.values()))


def _scratchpad() -> Any:
    """LangGraph's notes on the node or `@task` this runs in."""
    return get_config()["configurable"][CONFIG_KEY_SCRATCHPAD]
