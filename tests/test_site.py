"""The documentation site, where it is built (`.ci/run docs`), in a real browser, by axe-core."""

from pathlib import Path

import pytest

from tests.browser import axe, looked_at

SITE = Path(__file__).parents[1] / "docs/.site"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", ["index", "how-to/tools", "troubleshooting", "reference/api"])
def test_no_violations(page: str, dark: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of every kind have no violations, light and dark."""
    axe()
    file = SITE / f"{page}.html"
    if not file.exists():
        pytest.skip("needs the built site: .ci/run docs")
    monkeypatch.chdir(SITE)
    found = looked_at(file.read_text(encoding="utf-8"), tmp_path, dark=dark, beside=file.relative_to(SITE))
    assert found == {"found": [], "dark": dark}
