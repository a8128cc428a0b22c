import subprocess
import sys


def test_nothing_persisted_runs_again() -> None:
    """A run that is killed (SIGKILL) while it polls and makes batches makes no persisted attempt or element again."""
    program = [sys.executable, "-m", "tests.benchmarks.kill_attempts", "--runs", "3"]
    ran = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "persisted attempts and elements ran again 0, " in ran.stdout
