"""Finds the datasets: in a directory of the user's, else downloaded from where their authors published them.

Downloads are checked against pinned SHA-256 sums, kept in the user's cache and never made twice. Nothing is shipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcompiler_graph.errors import LLMCompilerError

__all__ = ("OFFICIAL", "DataError", "OfficialFile", "dataset_file", "fetch", "read_json")


class DataError(LLMCompilerError):
    """A dataset is not there or is not what was expected; the message says which, and where it can be had."""


@dataclass(frozen=True, slots=True)
class OfficialFile:
    """A file at its authors'."""

    url: str
    """Where it is."""
    sha256: str
    """Its checksum."""
    size: int
    """Bytes."""
    note: str
    """What it is and its licence."""


_GITHUB = "https://raw.githubusercontent.com"
_PAPER = f"{_GITHUB}/SqueezeAILab/LLMCompiler/a00c9d35507507da70e8c637eee64efc8c1857ae"
_TOT = f"{_GITHUB}/princeton-nlp/tree-of-thought-llm/ab400345c5ea39d28ea6d7d3be0e417b11113c87"

OFFICIAL: Mapping[str, OfficialFile] = {
    "llmcompiler/hotpotqa_comparison.json": OfficialFile(
        f"{_PAPER}/datasets/hotpotqa_comparison.json",
        "b8c1b0c756dcf8fcb76ea18d6779ebf5140764e8fe851c3d49397eb0bef24dfb",
        309016,
        "HotpotQA comparison, 1,487 questions (CC BY-SA 4.0)",
    ),
    "llmcompiler/movie_recommendations_formatted.json": OfficialFile(
        f"{_PAPER}/datasets/movie_recommendations_formatted.json",
        "0ab8c79461cdcf48e4b9088deb634ed1b0c8a9739ac0290b56ffa423023fbe4e",
        131839,
        "Movie Recommendation, 500 questions (BIG-bench, Apache-2.0)",
    ),
    "llmcompiler/parallelqa_dataset.json": OfficialFile(
        f"{_PAPER}/datasets/parallelqa_dataset.json",
        "a0dbed4051e678eb3898c830343db93a503c0e94509e3924f58b2498d7021cd4",
        35268,
        "ParallelQA, 113 questions (MIT)",
    ),
    "game24/24.csv": OfficialFile(
        f"{_TOT}/src/tot/data/24/24.csv",
        "b9f12b3e36d987a3c714c4cef17d89a137d7c59da26532fcfb93b4821d8111b5",
        48235,
        "Game of 24, 1,362 puzzles (MIT)",
    ),
    "game24/tot_gpt4_propose1_value3_greedy5_900_1000.json": OfficialFile(
        f"{_TOT}/logs/game24/gpt-4_0.7_propose1_value3_greedy5_start900_end1000.json",
        "e08f019024c99e83e540f8feec99acf619f30b0cf047278a03f62ff45888571b",
        1558836,
        "the authors' recorded GPT-4 run of Tree-of-Thoughts on Game of 24 (MIT)",
    ),
    "asynchow/async_benchmark.pkl": OfficialFile(
        f"{_GITHUB}/fangru-lin/graph-llm-asynchow-plan/66f9bcffbe6caece8755df7927e14cece69b3160/data/async_benchmark.pkl",
        "ad028e6df12910494e72318c58675b851957e251cc1dd544b0e951439a50e1d6",
        1744641,
        "AsyncHow, 1,598 plans (MIT)",
    ),
    "mathqa/test.json": OfficialFile(
        f"{_GITHUB}/shaigue/mathqa/175079e579ae1948a80a948c4b00c43d082ddb2e/data/MathQA/test.json",
        "dfe7bc4691caf26842ccd4cf14e8f978327bab4f2989e0b076a4e6b38a9371d1",
        2346754,
        "MathQA, 2,985 test problems (Apache-2.0)",
    ),
    "nestools/test_data.jsonl": OfficialFile(
        f"{_GITHUB}/hhan1018/NesTools/fb617f396d61ead9f857a48f9ea7cf12fa522450/data/test_data.jsonl",
        "71a77b416bdfc97ddc81baa139ea1f0adf1c884e0c2f86bd439dc503c739e643",
        2683323,
        "NesTools, 1,000 tasks (Apache-2.0)",
    ),
    "webshop/human_goals.json": OfficialFile(
        f"{_GITHUB}/princeton-nlp/WebShop/64fa2a5c15c7daa698b9ac93f5bb5437b634c9bd/baseline_models/data/human_goals.json",
        "b68746ed66cd31fdc5f70eb3f5831a46b38163563b57a66ddcab8fd60ee0cbdc",
        999419,
        "WebShop, 12,087 instructions (MIT)",
    ),
}
"""Every file that can be downloaded, by its path in a data directory: `{path: file}`."""


def dataset_file(name: str, data: Path | None) -> Path:
    """The path of a dataset's file.

    Args:
        name: Its path in a data directory, such as `llmcompiler/parallelqa_dataset.json`.
        data: The data directory, which wins; `None` to download.

    Raises:
        DataError: It is not in the directory, or cannot be downloaded.
    """
    if data is not None:
        path = data / name
        if path.is_file():
            return path
        official = f"; it is at {OFFICIAL[name].url}" if name in OFFICIAL else ""
        msg = f"no file {name!r} in the data directory {str(data)!r}{official}"
        raise DataError(msg)
    if name not in OFFICIAL:
        msg = f"{name!r} cannot be downloaded: give a data directory (--data) that holds it"
        raise DataError(msg)
    return fetch(name, OFFICIAL[name])


def fetch(name: str, official: OfficialFile, cache: Path | None = None) -> Path:
    """Download a file once, with a progress bar; return where it is.

    Args:
        name: Its path below the cache.
        official: Where it comes from.
        cache: The directory to keep it in; the user's cache directory if not given.

    Raises:
        DataError: It cannot be had, or is not the pinned file.
    """
    import pooch  # optional: the evaluation extra

    path = (cache or Path(pooch.os_cache("llmcompiler_graph")) / "datasets") / name
    try:
        got = pooch.retrieve(
            official.url,
            known_hash=f"sha256:{official.sha256}",
            fname=path.name,
            path=path.parent,
            progressbar=True,
        )
    except (OSError, ValueError) as error:  # no connection, refused, or another checksum
        msg = f"{name!r} cannot be downloaded from {official.url}: {error}; or give a data directory (--data)"
        raise DataError(msg) from error
    return Path(got)


def read_json(name: str, data: Path | None) -> Any:
    """Read a JSON file of a dataset.

    Raises:
        DataError: It is not there.
    """
    return json.loads(dataset_file(name, data).read_text(encoding="utf-8"))
