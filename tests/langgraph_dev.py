"""Runs `langgraph dev` in a process of its own, and ends it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest

__all__ = ("CLI", "ROOT", "langgraph_dev")

ROOT = Path(__file__).parent.parent
CLI = [sys.executable, "-m", "langgraph_cli"]


@contextmanager
def langgraph_dev(config: Path, directory: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Serve the graphs of a `langgraph.json`; give the server's address. It must end when told to, and leave nothing.

    Args:
        config: The `langgraph.json`.
        directory: Where it runs; its log is `log` there.
        environment: What its process has in its environment besides this checkout.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "PYTHONPATH": str(ROOT),  # this checkout, whatever is installed
        "LANGSMITH_TRACING": "false",
        "LANGGRAPH_NO_VERSION_CHECK": "true",
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        **environment,
    }
    arguments = ["dev", "--no-browser", "--no-reload", "--port", str(port), "--config", str(config)]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [*CLI, *arguments], cwd=directory, env=given, stdout=log, stderr=log, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _await_ok(process, url, directory / "log")
        yield url
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def _await_ok(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = monotonic() + 60
    while process.poll() is None and monotonic() < deadline:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/ok").status_code == 200:
                return
        sleep(0.1)
    pytest.fail(f"langgraph dev did not start:\n{log.read_text()}")
