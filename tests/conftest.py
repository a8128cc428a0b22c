import pytest
from hypothesis import HealthCheck, settings

# how long this machine takes over an example says nothing about the code
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, LangGraph's event loop."""
    return "asyncio"
