"""The HTML report in a real browser, by axe-core: `npm install axe-core` in the repository, or `LLMCOMPILER_AXE`."""

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from llmcompiler_graph.timeline.html import page
from tests.timeline.pages import timelines

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --virtual-time-budget=20000 --dump-dom"
)
CHECK = """
const report = document.createElement("script");
report.type = "application/json";
(async () => {
  const found = [];
  const check = async (state) => {
    for (const { id, nodes } of (await axe.run()).violations) found.push(`${state}: ${id}: ${nodes[0].html}`);
  };
  await check("as it opens");
  for (const details of [...document.querySelectorAll("details")].slice(0, 12)) details.open = true;
  await check("rows opened");
  const row = document.querySelectorAll(".rows > li")[4];
  row.querySelector("details").open = false;
  await new Promise((resolve) => setTimeout(resolve, 50));
  row.dispatchEvent(new Event("mouseenter"));
  await check("a row pointed at");
  const shown = document.querySelectorAll(".card:not([hidden])").length;
  for (const button of document.querySelectorAll(".filters button")) {
    button.click();
    await check(button.textContent);
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  report.textContent = JSON.stringify({ found, dark, shown }).replaceAll("<", "\\\\u003c");
  report.id = "found";
  document.body.append(report);
})();
"""


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """A page of every kind, by name, and one of all turns together."""
    drawn = dict(timelines())
    return {name: page([each]) for name, each in drawn.items()} | {"all": page(list(drawn.values()))}


def _axe() -> str:
    given = os.environ.get("LLMCOMPILER_AXE")
    path = Path(given) if given else ROOT / "node_modules/axe-core/axe.min.js"
    if not path.exists() or not shutil.which("chromium"):
        missing = "needs chromium and axe-core (npm install axe-core)"
        if os.environ.get("LLMCOMPILER_REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["eight", "many", "failed", "paused", "replans", "all"])
def test_no_violations(pages: dict[str, str], name: str, scheme: str, tmp_path: Path) -> None:
    """The page has no violations in any state: as it opens, rows opened, pointed at, filtered; light and dark."""
    text = pages[name].replace("</body>", f"<script>{_axe()}</script><script>{CHECK}</script></body>")
    file = tmp_path / "page.html"
    file.write_text(text, encoding="utf-8")
    colors = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    command = ["chromium", *FLAGS.split(), *colors, f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    reported = re.search(r'<script type="application/json" id="found">(.*?)</script>', done.stdout, re.DOTALL)
    assert reported is not None
    report = json.loads(unescape(reported.group(1)))
    assert report == {"found": [], "dark": scheme == "dark", "shown": 1}
