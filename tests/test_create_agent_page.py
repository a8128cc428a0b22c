"""`docs/create_agent.md` has a row for everything that `create_agent` has, and each row a test that exists."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from langchain.agents import create_agent
from langchain.agents import middleware as theirs
from langgraph.types import StreamMode

from llmcompiler_graph import create_llm_compiler

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "create_agent.md").read_text(encoding="utf-8")


class Row(NamedTuple):
    """A row of a table."""

    section: str
    names: list[str]
    here: str
    how: str
    file: str
    test: str


def rows() -> list[Row]:
    """All rows, by section."""
    found = []
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        for line in section.splitlines():
            if line.startswith("| ") and not line.startswith("| `create_agent` | here"):
                what, here, how, test = (cell.strip() for cell in line.strip("|").split("|"))
                file, name = re.fullmatch(r"`([\w/.]+)::(\w+)`", test).groups()  # type: ignore[union-attr]
                found.append(Row(title, re.findall(r"`([^`]+)`", what), here, how, file, name))
    return found


ROWS = rows()


def named(section: str) -> set[str]:
    """What the rows of a section are about."""
    return {name for row in ROWS if row.section == section for name in row.names}


def test_every_parameter_has_a_row() -> None:
    """All of `create_agent`'s signature, and `create_llm_compiler` has each of them."""
    parameters = set(inspect.signature(create_agent).parameters)
    assert named("Parameters") == parameters
    assert parameters <= set(inspect.signature(create_llm_compiler).parameters)


def test_every_name_of_the_middleware_package_has_a_row() -> None:
    """All that `langchain.agents.middleware` exports, and nothing else."""
    assert named("Middleware") == set(theirs.__all__)


def test_every_stream_mode_has_a_row() -> None:
    """All that LangGraph names, and `tools`."""
    assert {*get_args(StreamMode), "tools"} <= named("Streaming")


def test_every_row_says_what_becomes_of_it() -> None:
    """Nothing is missing; what differs says how."""
    assert {row.here for row in ROWS} == {"same", "better", "differs"}
    assert all(row.how for row in ROWS if row.here != "same")
    assert len(ROWS) > 80


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.file}::{row.test}")
def test_every_row_has_a_test(row: Row) -> None:
    """The test that a row names is there."""
    assert re.search(rf"^(?:async )?def {row.test}\(", (ROOT / row.file).read_text(encoding="utf-8"), re.MULTILINE)


def test_defaults_are_the_same() -> None:
    """A parameter that is left out means the same in both."""

    def defaults(function: Any) -> dict[str, Any]:
        return {name: each.default for name, each in inspect.signature(function).parameters.items()}

    ours = defaults(create_llm_compiler)
    assert {name: ours[name] for name in defaults(create_agent)} == defaults(create_agent)
