import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # read when LangGraph is imported

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import absence, new_database, running_server

# how long this machine takes over an example says nothing about the code
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, LangGraph's event loop."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server; `LLMCOMPILER_REQUIRE_POSTGRES` makes its absence an error."""
    if reason := absence():
        (pytest.fail if os.environ.get("LLMCOMPILER_REQUIRE_POSTGRES") else pytest.skip)(reason)
    with running_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where checkpoints are kept: an SQLite file, then a PostgreSQL database."""
    if request.param == "sqlite":
        return str(tmp_path / "checkpoints.sqlite")
    return new_database(request.getfixturevalue("postgres"), f"test_{uuid4().hex}")
