"""Where the data for tests that is not part of this repository lies: `shared/` beside it."""

from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2] / "shared"


def shared(*parts: str) -> Path:
    """The path of shared data; the test is skipped where there is none."""
    path = _ROOT.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs ../shared/{'/'.join(parts)}")
    return path
