"""Pages in a real browser, looked at by axe-core: Chromium, and `npm install axe-core` or `LLMCOMPILER_AXE`."""

import functools
import json
import os
import re
import shutil
import subprocess
import threading
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

__all__ = ("axe", "looked_at")

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --virtual-time-budget=20000 --dump-dom"
)
_REPORT = """
const report = document.createElement("script");
report.type = "application/json";
(async () => {
  const found = [];
  const check = async (state) => {
    for (const { id, nodes } of (await axe.run()).violations) found.push(`${state}: ${id}: ${nodes[0].html}`);
  };
  await new Promise((resolve) => setTimeout(resolve, 500));  // the page's own scripts
  %s
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  report.textContent = JSON.stringify({ found, dark, ...more }).replaceAll("<", "\\\\u003c");
  report.id = "found";
  document.body.append(report);
})();
"""


def axe() -> str:
    """The script of axe-core; the test is skipped where it or the browser is missing."""
    given = os.environ.get("LLMCOMPILER_AXE")
    path = Path(given) if given else Path(__file__).parents[1] / "node_modules/axe-core/axe.min.js"
    if not path.exists() or not shutil.which("chromium"):
        missing = "needs chromium and axe-core (npm install axe-core)"
        if os.environ.get("LLMCOMPILER_REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path.read_text(encoding="utf-8")


def looked_at(page: str, folder: Path, *, dark: bool, script: str = "", beside: Path | None = None) -> dict[str, Any]:
    """Open a page and have axe-core look at it; give what it found.

    Args:
        page: The page.
        folder: Where the browser keeps what it writes.
        dark: Whether the system's colours are dark.
        script: What else is done: it may call `await check("name of a state")`, and makes a constant `more`, which is
            given back.
        beside: The file that the page is made of, in the current directory, if it loads others beside it.
    """
    looking = _REPORT % ('await check("as it opens");' + (script or "const more = {};"))
    text = page.replace("</body>", f"<script>{axe()}</script><script>{looking}</script></body>")
    handler = functools.partial(_Handler, text.encode(), str(beside) if beside else "page.html")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/{beside or 'page.html'}"
        return _opened(url, folder, dark=dark)
    finally:
        server.shutdown()
        server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, page: bytes, name: str, *args: Any, **kwargs: Any) -> None:
        self._page, self._name = page, name
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        """Give the page, or a file."""
        if self.path != f"/{self._name}":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self._page)))
        self.end_headers()
        self.wfile.write(self._page)
        return None

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _opened(url: str, folder: Path, *, dark: bool) -> dict[str, Any]:
    colors = ["--blink-settings=preferredColorScheme=0"] if dark else []
    command = ["chromium", *_FLAGS.split(), *colors, f"--user-data-dir={folder / 'profile'}", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    reported = re.search(r'<script type="application/json" id="found">(.*?)</script>', done.stdout, re.DOTALL)
    assert reported is not None
    found: dict[str, Any] = json.loads(unescape(reported.group(1)))
    return found
