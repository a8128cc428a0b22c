"""Random runs of the task fetching unit beside a plain model of its rules; it validates itself after every event.

python -m tests.hostile.scheduler [--runs 10000] [--seed 0]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.core.schedule.test_unit_properties import Unit

__all__ = ("run",)


def run(runs: int, number: int) -> tuple[int, int]:
    """Run the machine so often; return how many runs and events there were.

    Raises:
        AssertionError: Something did not hold; Hypothesis says what, with the fewest events that show it.
    """
    counted = {"runs": 0, "events": 0}

    class Counted(Unit):
        def take(self, instructions: Any) -> Any:
            counted["events"] += 1
            return super().take(instructions)

        def teardown(self) -> None:
            counted["runs"] += hasattr(self, "unit")
            super().teardown()

    given = settings(
        max_examples=runs,
        stateful_step_count=40,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(number)(Counted), settings=given)
    return counted["runs"], counted["events"]


def main() -> None:
    """Run, and say how often."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    begun = time.process_time()
    runs, events = run(given.runs, given.seed)
    print(f"{runs:,} runs, {events:,} events, 0 violations, {time.process_time() - begun:.0f} s of processor time")


if __name__ == "__main__":
    main()
