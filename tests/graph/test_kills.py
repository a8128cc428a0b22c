import re
import subprocess
import sys


def test_nothing_persisted_runs_again() -> None:
    """A run that is killed (SIGKILL) while it polls and makes batches makes no persisted attempt or element again."""
    program = [sys.executable, "-m", "tests.benchmarks.kill_attempts", "--runs", "3"]
    ran = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    held = re.search(r"of (\d+) persisted attempts and elements ran again 0, ", ran.stdout)
    assert held is not None, ran.stdout
    assert int(held[1]) > 0
