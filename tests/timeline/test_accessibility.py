"""The HTML report in a real browser, by axe-core."""

from pathlib import Path

import pytest

from llmcompiler_graph.timeline.html import page
from tests.browser import axe, looked_at
from tests.timeline.pages import timelines

STATES = """
  for (const details of [...document.querySelectorAll("details")].slice(0, 12)) details.open = true;
  await check("rows opened");
  const row = document.querySelectorAll(".rows > li")[4];
  row.querySelector("details").open = false;
  await new Promise((resolve) => setTimeout(resolve, 50));
  row.dispatchEvent(new Event("mouseenter"));
  await check("a row pointed at");
  const more = { shown: document.querySelectorAll(".card:not([hidden])").length };
  for (const button of document.querySelectorAll(".filters button")) {
    button.click();
    await check(button.textContent);
  }
"""


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """A page of every kind, by name, and one of all turns together."""
    axe()  # skips before anything is drawn
    drawn = dict(timelines())
    return {name: page([each]) for name, each in drawn.items()} | {"all": page(list(drawn.values()))}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["eight", "many", "failed", "paused", "replans", "all"])
def test_no_violations(pages: dict[str, str], name: str, dark: bool, tmp_path: Path) -> None:
    """The page has no violations in any state: as it opens, rows opened, pointed at, filtered; light and dark."""
    assert looked_at(pages[name], tmp_path, dark=dark, script=STATES) == {"found": [], "dark": dark, "shown": 1}
