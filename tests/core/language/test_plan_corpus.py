"""Every `plans/valid/*.plan` reads as the plan beside it, every `plans/invalid/*.plan` as the complaints beside it."""

from pathlib import Path

import pytest

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.parser import PlanParser, parse_plan
from llmcompiler_graph.core.language.plan import Task

PLANS = Path(__file__).parent / "plans"
VALID, INVALID = (sorted((PLANS / kind).glob("*.plan")) for kind in ("valid", "invalid"))


def text_of(path: Path) -> str:
    """Read a file with its line endings as they are."""
    return path.read_bytes().decode()


def test_the_corpus_is_there() -> None:
    """Neither kind of plan is missing or thin; each plan has an expectation, and each expectation a plan."""
    assert len(VALID) >= 40
    assert len(INVALID) >= 40
    assert {path.with_suffix(".expected") for path in (*VALID, *INVALID)} == set(PLANS.glob("*/*.expected"))


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid(path: Path) -> None:
    """The canonical text is the expected one and reads back as the same plan."""
    plan = parse_plan(text_of(path))
    assert f"{plan}\n" == text_of(path.with_suffix(".expected"))
    assert parse_plan(str(plan)) == plan


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid(path: Path) -> None:
    """The diagnostics are the expected ones, in order, and so are the tasks that can still be used."""
    parser = PlanParser()
    complaints: list[str] = []
    usable: dict[int | None, Task] = {}
    for event in [*parser.feed(text_of(path)), *parser.close()]:
        if isinstance(event, Diagnostic):
            complaints.append(str(event))
            usable.pop(event.index, None)
        else:
            usable[event.index] = event
    assert complaints
    assert "\n".join([*complaints, *map(str, usable.values())]) + "\n" == text_of(path.with_suffix(".expected"))
