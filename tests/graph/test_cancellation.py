from tests.benchmarks.cancellation import measure


def test_cancelled_runs_leave_nothing_behind() -> None:
    """Runs cancelled anywhere, also by Ctrl-C, leave no asyncio task, no new thread, and a checkpoint to go on from."""
    found = measure(20, warm_up=10)
    assert found.after.tasks == found.before.tasks == 0
    assert found.after.threads <= found.before.threads + 4  # threads for tools are kept, and used again
    assert found.cancelled > 5
    assert found.resumed_right == 20
