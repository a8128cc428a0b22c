"""Every fault of a provider once, and of a checkpointer at every call."""

import pytest

from tests.hostile.faults import PROVIDER_FAULTS, provider_fault, store_fault, store_faults


@pytest.mark.parametrize(("number", "name"), list(enumerate(PROVIDER_FAULTS)), ids=PROVIDER_FAULTS)
async def test_a_provider_that_fails(number: int, name: str) -> None:
    """The turn ends, with an answer or the error; no call is made twice, nothing is left, the thread goes on."""
    form = "tools" if "call" in name else "text"
    await provider_fault(name, at=number % 2, sync=number % 3 == 0, plan_format=form)


@pytest.mark.parametrize(("method", "number"), list(store_faults()))
async def test_a_checkpointer_that_fails(method: str, number: int) -> None:
    """The turn goes on from there, and what was written is not done again."""
    await store_fault(method, number, ConnectionError, sync=number % 2 == 0)
