"""The comparisons of plans with programs, and of procedures with planned runs, come out as the documents say."""

from __future__ import annotations

from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "coming-from" / "code-mode.md"


def test_plans_and_programs() -> None:
    """Every figure of the table in the documents is measured again."""
    pytest.importorskip("pydantic_monty")
    from tests.benchmarks.plan_or_program import table

    text = DOCS.read_text(encoding="utf-8")
    missing = [row for row in table() if f"| {' | '.join(row)} |" not in text]
    assert not missing


def test_procedures_and_planned_runs() -> None:
    """A procedure as a graph saves the planner's call, and without a joiner both."""
    from tests.benchmarks.planned_or_procedure import table

    rows = table()
    assert all(each.right for each in rows.values())
    assert [each.model_calls for each in rows.values()] == [2, 2, 1, 0]
    assert rows["graph"].seconds < rows["graph, joiner"].seconds < rows["planned"].seconds
    assert rows["procedure"].written < rows["planned"].written
