import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, LangGraph's event loop."""
    return "asyncio"
