"""A file of weights to an OpenAI-compatible HTTP server on 127.0.0.1, in a child process.

A child, because `OMP_WAIT_POLICY` must be set before OpenMP loads (without `passive`, idle threads spin and a busy
machine slows down several times over), and because llama.cpp's log, threads and crashes then stay out of the user's
process. The child dies with its parent, however that ends: see `serve`.

One request is computed at a time; others wait. On a CPU, two at once are no faster together, and batching changes the
rounding: at temperature 0 the same prompt then gives different texts, depending on what else runs. The prefix cache is
in memory apart from the slot, so prompts that take turns (planner, joiner, tools) each keep their prefix.
"""

import atexit
import http.client
import importlib.util
import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import IO

from pydantic import SecretStr

from llmcompiler_graph.models.local.errors import LocalModelError

__all__ = ("LocalServer", "require_runtime", "start_server")

CONTEXT = 16_384  # tokens a prompt and its answer may have together
PREFIX_CACHE = 512  # MiB of evaluated prompts to keep; 1,000 tokens take 12 MiB (0.5B) or 28 MiB (1.5B)
MOST_THREADS = 8  # beyond this, memory is the bottleneck


class LocalServer:
    """A running model server; `start_server` makes them."""

    base_url: str
    """Address of the OpenAI-compatible interface, ending in `/v1`."""

    api_key: SecretStr
    """What the server expects as a bearer token: random, so that no other program or web page can use it."""

    pid: int
    """Process id of the child."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes], address: str, api_key: str) -> None:
        self.base_url = f"{address}/v1"
        self.api_key = SecretStr(api_key)
        self.pid = process.pid
        self._process = process
        self._log = log
        self._owner = os.getpid()
        atexit.register(self.stop)

    def is_running(self) -> bool:
        """Tell whether the child process is alive."""
        if self._owner == os.getpid():
            return self._process.poll() is None
        try:  # a fork cannot wait for it, but may use it
            os.kill(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def stop(self) -> None:
        """End the child process; once it has ended, do nothing."""
        atexit.unregister(self.stop)
        if self._owner == os.getpid():  # a fork inherits this object, but the server is not its own
            _end(self._process, self._log)


def require_runtime() -> None:
    """Check that the package which runs the weights is installed, without loading it.

    Raises:
        LocalModelError: It is not.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise LocalModelError("a local model needs xllamacpp: pip install 'llmcompiler-graph[local]'")


def start_server(path: Path, *, timeout: float = 120.0) -> LocalServer:
    """Start a server for a file of weights, and wait until it answers.

    `LLMCOMPILER_LOCAL_CONTEXT` (tokens) and `LLMCOMPILER_LOCAL_THREADS` override the defaults: 16,384 tokens, and as
    many threads as there are cores, up to 8.

    Args:
        path: A GGUF file with a chat template.
        timeout: Seconds to wait for the model to load.

    Raises:
        LocalModelError: xllamacpp is missing, an override is not a number, or the server did not come up; the
            message then ends with the last lines of its log.
    """
    require_runtime()
    api_key = secrets.token_urlsafe()
    settings = {
        "model": str(path),
        "alias": path.stem,
        "api_key": api_key,
        "context": _number("LLMCOMPILER_LOCAL_CONTEXT", CONTEXT),
        "threads": _number("LLMCOMPILER_LOCAL_THREADS", min(os.cpu_count() or 1, MOST_THREADS)),
        "prefix_cache": PREFIX_CACHE,
        "parent": os.getpid(),
    }
    log = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the server runs)
    process = subprocess.Popen(
        [sys.executable, "-P", str(Path(__file__).with_name("serve.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env={"OMP_WAIT_POLICY": "passive", **os.environ},
        start_new_session=True,  # Ctrl-C at the terminal interrupts the user's call, not the server
    )
    try:
        address = _await_address(process, json.dumps(settings).encode() + b"\n", timeout)
    except BaseException as error:
        process.kill()
        code = process.wait()
        log.seek(0)
        tail = "\n".join(log.read().decode(errors="replace").strip().splitlines()[-8:])
        _end(process, log)
        if isinstance(error, (OSError, http.client.HTTPException)):
            raise LocalModelError(
                f"the server for {str(path)!r} did not start ({error}; exit code {code}). Its log ends:\n{tail}"
            ) from error
        raise
    return LocalServer(process, log, address, api_key)


def _await_address(process: subprocess.Popen[bytes], settings: bytes, timeout: float) -> str:
    """Hand the child its settings, and return its address once `/health` says that it answers."""
    assert process.stdin is not None
    assert process.stdout is not None
    deadline = monotonic() + timeout
    process.stdin.write(settings)
    process.stdin.flush()
    if not select.select([process.stdout], [], [], timeout)[0]:
        raise TimeoutError(f"not ready after {timeout:g} s")
    address = process.stdout.readline().decode().strip()
    if not address:
        raise ChildProcessError("it ended while loading the model")
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=max(1.0, deadline - monotonic()))
    try:
        connection.request("GET", "/health")
        if (status := connection.getresponse().status) != 200:
            raise ConnectionError(f"/health answers {status}")
    finally:
        connection.close()
    return address


def _end(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError, ValueError):  # it has ended, or was told before
        process.stdin.write(b"\n")  # a fork of this process may keep its end open
        process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
    log.close()


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not (text.isdecimal() and int(text)):
        raise LocalModelError(f"{variable} is {text!r}, expected a whole number above 0")
    return int(text)
