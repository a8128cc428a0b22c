"""Fuzzes the parts that read what models, tools and servers give; keeps what fails in `corpus/`, made small.

python -m tests.hostile.fuzz [TARGET …] [--executions 10000] [--seconds 600] [--seed 0] [--keep]
"""

from __future__ import annotations

import argparse
import json
import math
import re
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from tests.hostile.targets import TARGETS, Target

__all__ = ("CORPUS", "failure", "fuzz", "kept_cases")

CORPUS = Path(__file__).parent / "corpus"
SECONDS = 20  # after which a case hangs


class Hang(BaseException):
    """A case takes too long."""


def failure(target: Target, case: Any) -> str:
    """What does not hold of a case, with where; empty if all does."""
    return tried(target, case)[1]


def tried(target: Target, case: Any) -> tuple[int, str]:
    """How many executions a case took, and what does not hold of it."""

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        return target.run(case), ""
    except Hang:
        return 1, "Hang"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return 1, f"{type(error).__name__}: {str(error)[:300]} (in {where.name} of {Path(where.filename).name})"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _kind(failed: str) -> str:
    return re.sub(r"\d+|'[^']*'|\"[^\"]*\"", "", failed)[:60] + failed.rpartition(" (in ")[2]


def smaller(case: Any, *, text: bool) -> Iterator[Any]:
    """Cases like this one with less in them, the smallest first."""
    match case:
        case str() if not text:
            return
        case str() | list() if len(case) > 0:
            whole: Any = case
            for size in dict.fromkeys([len(case) // 2, len(case) // 4, 8, 2, 1]):
                if 0 < size <= len(case):
                    for start in range(0, len(case) - size + 1, max(1, size)):
                        yield whole[:start] + whole[start + size :]
    match case:
        case list():
            for n, each in enumerate(case):
                for less in smaller(each, text=text):
                    yield [*case[:n], less, *case[n + 1 :]]
        case dict():
            for key in case:
                yield {other: each for other, each in case.items() if other != key}
            for key, each in case.items():
                for less in smaller(each, text=text):
                    yield {**case, key: less}


def made_small(target: Target, case: Any, failed: str, seconds: float = 30) -> Any:
    """The smallest case found in some time that fails in the same way."""
    until = time.monotonic() + seconds
    shrunk = True
    while shrunk and time.monotonic() < until:
        shrunk = False
        for less in smaller(case, text=target.text_shrinks):
            if time.monotonic() > until:
                break
            if _kind(failure(target, less)) == _kind(failed):
                case, shrunk = less, True
                break
    return case


def kept_cases() -> list[tuple[str, Path]]:
    """The cases that failed once: target and file."""
    return [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*.json"))]


def fuzz(
    name: str, executions: int, seed: int, *, keep: bool = False, seconds: float = math.inf
) -> tuple[int, int, list[str]]:
    """Run random cases of a target, for so long at most; return how many, their executions, and what failed."""
    target, failed, seen = TARGETS[name], list[str](), set[str]()
    cases = done = 0
    until = time.monotonic() + seconds
    while done < executions and len(failed) < 10 and time.monotonic() < until:
        case = target.make(Random(f"{name} {seed} {cases}"))
        cases += 1
        took, why = tried(target, case)
        if why:
            done += 1
            if _kind(why) in seen:
                continue
            seen.add(_kind(why))
            case = made_small(target, case, why)
            text = json.dumps(case, indent=1)
            failed.append(f"{name}: {failure(target, case)}\n{text}")
            if keep:
                path = CORPUS / name / f"{sha256(text.encode()).hexdigest()[:8]}.json"
                path.parent.mkdir(exist_ok=True)
                path.write_text(text + "\n")
        else:
            done += took
    return cases, done, failed


def main() -> None:
    """Fuzz, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--executions", type=int, default=10_000, help="of each target")
    parser.add_argument("--seconds", type=float, default=math.inf, help="for each target, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="write what fails to the corpus")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in given.targets:
        begun = time.process_time()
        cases, done, failed = fuzz(name, given.executions, given.seed, keep=given.keep, seconds=given.seconds)
        seconds = time.process_time() - begun
        print(f"{name}: {cases:,} cases, {done:,} executions, {len(failed)} findings, {seconds:.0f} s", flush=True)
        for each in failed:
            print(each, flush=True)


if __name__ == "__main__":
    main()
