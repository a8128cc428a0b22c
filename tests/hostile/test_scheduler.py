from tests.hostile.scheduler import run


def test_random_runs() -> None:
    """The task fetching unit keeps its rules, whatever happens in whatever order."""
    runs, events = run(40, 1)
    assert runs >= 40
    assert events > runs
