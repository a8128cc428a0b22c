import gc
import os
import re
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from uuid import uuid4

os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"  # read when LangGraph is imported

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import absence, new_database, running_server

# how long this machine takes over an example says nothing about the code
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No test is named by an address in memory: `-n auto` needs the same names in every process."""
    if named := [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]", item.nodeid)]:
        msg = f"name the parameters of {named[0]} (ids=…)"
        raise pytest.UsageError(msg)


def pytest_collection_finish() -> None:
    """The millions of objects that the tests themselves consist of are none of the garbage collector's business."""
    gc.collect()
    gc.freeze()


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
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where checkpoints are kept: an SQLite file, then a PostgreSQL database."""
    if request.param == "sqlite":
        memory = "/dev/shm"  # where nothing waits for a disk
        with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
            yield f"{folder}/checkpoints.sqlite"
    else:
        yield new_database(request.getfixturevalue("postgres"), f"test_{uuid4().hex}")
