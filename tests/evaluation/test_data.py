"""Downloads, from a server on this machine."""

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llmcompiler_graph.evaluation.data import (
    CONVERTED,
    OFFICIAL,
    DataError,
    OfficialFile,
    dataset_directory,
    dataset_file,
    fetch,
    json_lines_of,
    json_of,
    read_json,
)

CONTENT = json.dumps([{"id": "1", "question": "?", "answer": "yes"}]).encode()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, says nothing, and counts."""

    served: list[str] = []  # noqa: RUF012 (of the class: each request makes a handler)

    def do_GET(self) -> None:
        """Serve a file."""
        self.served.append(self.path)
        super().do_GET()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The address of a server that has `x.json`."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "x.json").write_bytes(CONTENT)
    Quiet.served.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/x.json"
    server.shutdown()
    thread.join()
    server.server_close()


def official(url: str, content: bytes = CONTENT) -> OfficialFile:
    """The file, with the checksum of this content."""
    return OfficialFile(url, hashlib.sha256(content).hexdigest(), len(content), "a test's")


def test_a_download_is_checked_and_kept(url: str, tmp_path: Path) -> None:
    """The file lands in the cache under its name, and is not downloaded again."""
    path = fetch("tiny/x.json", official(url), tmp_path / "cache")
    assert path == tmp_path / "cache" / "tiny" / "x.json"
    assert path.read_bytes() == CONTENT
    fetch("tiny/x.json", official(url), tmp_path / "cache")
    assert Quiet.served == ["/x.json"]


def test_another_content_than_the_pinned_one_is_refused(url: str, tmp_path: Path) -> None:
    """What does not have the checksum is an error, and is not kept."""
    with pytest.raises(DataError, match=r"'tiny/x\.json' cannot be downloaded"):
        fetch("tiny/x.json", official(url, b"something else"), tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("x.json"))


def test_no_server_and_no_such_file_are_errors_that_name_the_way_out(url: str, tmp_path: Path) -> None:
    """Both say where the file should have come from, and that a directory can be given."""
    for address in (url.replace("x.json", "y.json"), "http://127.0.0.1:9/x.json"):
        with pytest.raises(DataError, match=r"--data"):
            fetch("tiny/x.json", official(address), tmp_path / "cache")


def test_the_data_directory_wins(tmp_path: Path) -> None:
    """What lies there is read, whatever it is; nothing is downloaded for what does not."""
    name = "llmcompiler/parallelqa_dataset.json"
    (tmp_path / "llmcompiler").mkdir()
    (tmp_path / name).write_bytes(CONTENT)
    assert read_json(name, tmp_path) == json.loads(CONTENT)
    with pytest.raises(DataError, match=r"no file 'game24/24\.csv'"):
        dataset_file("game24/24.csv", tmp_path)


def test_torn_files_are_located(tmp_path: Path) -> None:
    """What is no JSON is an error with its file, and of many lines with its line; no line is one but a newline's."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a\u2028b"}\n\n[1]\n', encoding="utf-8")
    assert json_lines_of(path) == [{"text": "a\u2028b"}, [1]]
    path.write_text('[1]\n\n{"text": "a')
    with pytest.raises(DataError, match=r"x\.jsonl', line 3, is not JSON"):
        json_lines_of(path)
    with pytest.raises(DataError, match=r"x\.jsonl' is not JSON"):
        json_of(path)


def test_what_is_published_nowhere_needs_a_directory() -> None:
    """Of data that is published nowhere, the error says that a directory must be given."""
    with pytest.raises(DataError, match="cannot be downloaded: give a data directory"):
        dataset_file("hotpotqa_offline/nothing.json", None)


@pytest.mark.parametrize("name", CONVERTED)
def test_what_is_published_in_another_form_says_what_it_holds(name: str, tmp_path: Path) -> None:
    """With and without a directory, the error names the fields; such a file is no download."""
    assert name not in OFFICIAL
    for data in (None, tmp_path):
        with pytest.raises(DataError, match="it holds ") as raised:
            dataset_file(name, data)
        assert CONVERTED[name] in str(raised.value)


@pytest.mark.parametrize("dataset", ["webshop", "webshop_full", "bfcl/ast"])
def test_a_directory_that_is_half_there_is_an_error(dataset: str, tmp_path: Path) -> None:
    """Of a dataset that is half there, the error names the file that lacks; whole, it is found."""
    first, *rest = [name for name in CONVERTED if name.startswith(f"{dataset}/")]
    (tmp_path / dataset).mkdir(parents=True)
    (tmp_path / first).touch()
    with pytest.raises(DataError, match=f"no file '{rest[0]}'"):
        dataset_directory(dataset, tmp_path)
    for name in rest:
        (tmp_path / name).touch()
    assert dataset_directory(dataset, tmp_path) == tmp_path / dataset


def test_every_official_file_is_pinned() -> None:
    """Every file that is downloaded is pinned to a commit and a checksum."""
    for name, file in OFFICIAL.items():
        commit = file.url.split("/")[5]
        assert len(commit) == 40
        assert len(file.sha256) == 64
        assert file.size > 0
        assert name.count("/") == 1
