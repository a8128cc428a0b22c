"""Finds the datasets: in a directory of the user's, else downloaded from where their authors published them.

Downloads are checked against pinned SHA-256 sums, kept in the user's cache and never made twice. Nothing is shipped.
Some files cannot be downloaded, most because they are read in a form that is published nowhere: `CONVERTED`, and the
errors, say what to make them of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcompiler_graph import LLMCompilerError

__all__ = (
    "BFCL_CATEGORIES",
    "CONVERTED",
    "OFFICIAL",
    "DataError",
    "OfficialFile",
    "dataset_directory",
    "dataset_file",
    "fetch",
    "json_lines_of",
    "json_of",
    "read_json",
)


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
    "nestools/test_data.jsonl": OfficialFile(
        f"{_GITHUB}/hhan1018/NesTools/fb617f396d61ead9f857a48f9ea7cf12fa522450/data/test_data.jsonl",
        "71a77b416bdfc97ddc81baa139ea1f0adf1c884e0c2f86bd439dc503c739e643",
        2683323,
        "NesTools, 1,000 tasks (Apache-2.0)",
    ),
}
"""Every file that can be downloaded, by its path in a data directory: `{path: file}`."""

BFCL_CATEGORIES = ("parallel", "parallel_multiple", "live_parallel", "live_parallel_multiple")
"""Those of BFCL that are read."""

_TITLE_NOUNS = (
    "{asin: [the nouns and proper nouns of the product's name, in lower case]} for every product, as spaCy's "
    "en_core_web_sm tags them"
)
CONVERTED: Mapping[str, str] = {
    "asynchow/async_dags.jsonl": "a line for each graph of AsyncHow's async_benchmark.pkl (github.com/fangru-lin/"
    'graph-llm-asynchow-plan, MIT): {"id", "steps": [what is done], "edges": [[step, step]], "duration_seconds": '
    '{step: [shortest, longest]}, "optimal_seconds": [shortest, longest]}, where steps are "1", "2", …, "START" and '
    '"END"',
    "mathqa_dag/mathqa_exec_dags.jsonl": "a line for each problem of MathQA's test.json whose linear_formula gives its "
    'answer (github.com/shaigue/mathqa, Apache-2.0): {"id", "calls": [{"op", "args"}], "gold_answer", "option_value"}, '
    'where args are numbers or "#k" for what call k, counted from 0, gives',
    **{
        f"bfcl/ast/question_{category}.jsonl": f"BFCL's questions of the category {category} (github.com/ShishirPatil/"
        'gorilla, Apache-2.0), a line each: {"id", "function": [{"name", "parameters": JSON Schema}]}'
        for category in BFCL_CATEGORIES
    },
    **{
        f"bfcl/ast/answer_{category}.jsonl": f"BFCL's possible answers of the category {category} (github.com/Shishir"
        'Patil/gorilla, Apache-2.0), a line each: {"id", "ground_truth": [{function: {argument: [allowed values]}}]}'
        for category in BFCL_CATEGORIES
    },
    "webshop/products_1000.jsonl": "a line for each product of WebShop's small set, as its search index holds them "
    '(github.com/princeton-nlp/WebShop, MIT): {"asin", "name", "full_description", "BulletPoints", "pricing": [price], '
    '[low, high] or [], "Price", "category", "product_category", "query", "options": {name: [values]}, "Attributes"}',
    "webshop/items_ins_v2_1000.json": '{asin: {"instruction", "instruction_attributes"}}, as WebShop\'s own file of '
    "this name, some without an instruction (github.com/princeton-nlp/WebShop, MIT)",
    "webshop/title_nouns.json": _TITLE_NOUNS,
    **{
        f"webshop_full/{name}.json": f"{what} of WebShop's full set, as its own file of this name, which its "
        "`setup.sh -d all` downloads (github.com/princeton-nlp/WebShop, MIT)"
        for name, what in {
            "items_shuffle": "the products",
            "items_ins_v2": "the products' attributes",
            "items_human_ins": "people's goals",
        }.items()
    },
    "webshop_full/title_nouns.json": _TITLE_NOUNS,
}
"""Every file that a data directory must hold, for it cannot be downloaded, and what it is made of: `{path: source}`."""


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
        msg = f"no file {name!r} in the data directory {str(data)!r}{official}{_converted(name)}"
        raise DataError(msg)
    if name not in OFFICIAL:
        msg = f"{name!r} cannot be downloaded: give a data directory (--data) that holds it{_converted(name)}"
        raise DataError(msg)
    return fetch(name, OFFICIAL[name])


def dataset_directory(name: str, data: Path | None) -> Path:
    """The directory of a dataset of several files out of `CONVERTED`, such as `webshop`.

    Raises:
        DataError: One of the files is not there.
    """
    files = [dataset_file(each, data) for each in CONVERTED if each.startswith(f"{name}/")]
    return files[0].parent


def _converted(name: str) -> str:
    return f"; it holds {CONVERTED[name]}" if name in CONVERTED else ""


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
        DataError: It is not there, or not JSON.
    """
    return json_of(dataset_file(name, data))


def json_of(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DataError: It is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        msg = f"{str(path)!r} is not JSON: {error}"
        raise DataError(msg) from error


def json_lines_of(path: Path) -> list[Any]:
    """What the lines of a JSONL file hold; empty ones hold nothing.

    Raises:
        DataError: A line is not JSON.
    """
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            found += [json.loads(line)] if line.strip() else []
        except (ValueError, RecursionError) as error:
            msg = f"{str(path)!r}, line {number}, is not JSON: {error}"
            raise DataError(msg) from error
    return found
