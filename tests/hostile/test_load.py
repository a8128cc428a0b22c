import asyncio
import warnings

import pytest

from tests.hostile.load import Faults, Load, rounds, saver_for


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_many_threads_with_faults(store: str, sync: bool) -> None:
    """No thread loses a turn or sees what is another's; neither tasks nor what the graph holds are left."""
    faults = Faults(1, 0.03)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        async with saver_for(store, faults, sync=sync) as saver:
            load = Load(saver, faults, threads=6, turns=2, sync=sync, tool_timeout=0.1)
            try:
                figures = await rounds(load, 2)
            finally:
                await asyncio.to_thread(load.close)
    assert figures.turns == 24
    assert figures.lost == figures.foreign == []
    assert figures.asyncio_tasks == [0, 0]
    assert sum(faults.made.values()) > 5
    held = {name for name in (figures.own[1] - figures.own[0]) if ".graph." in name}
    assert held == set()
