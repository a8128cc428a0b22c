import importlib
import json
import os
import re
import subprocess
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from langgraph.store.memory import InMemoryStore
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.runtime import ServerRuntime, _ReadRuntime

from llmcompiler_graph.studio import Context, make_graph
from tests.langgraph_dev import CLI, ROOT, langgraph_dev
from tests.scripted_server import ScriptedServer

PLAN = '1. lookup("Mount Everest")\n2. lookup("K2")\n3. calculate("${1.height_m} - ${2.height_m}")\n4. join()'
TOOLS = '''
import asyncio

fates = []


async def wait(seconds: float) -> str:
    """Wait."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        fates.append("cancelled")
        raise
    return "waited"


async def fate() -> list[str]:
    """Tell what became of the waiting."""
    return fates
'''


class Studio(NamedTuple):
    """A running `langgraph dev`."""

    url: str
    directory: Path
    provider: ScriptedServer

    def script(self, *replies: str) -> list[dict[str, Any]]:
        """Set the provider's next replies; return the list that its requests will be in."""
        self.provider.replies = list(replies)
        self.provider.requests = []
        return self.provider.requests


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedServer]:
    """The models' server."""
    with ScriptedServer() as server:
        yield server


@pytest.fixture(scope="module")
def studio(provider: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """`langgraph dev` with the repository's `langgraph.json`; it must end when it is told to, and leave nothing."""
    directory = tmp_path_factory.mktemp("studio")
    (directory / "waiting.py").write_text(TOOLS)
    environment = {
        **provider.environment,
        "LLMCOMPILER_MODEL": "openai:scripted",
        "LLMCOMPILER_MODELS": "openai:o*, openai:third",
        "LLMCOMPILER_TOOLS": "lookup, calculate, waiting:wait, waiting:fate",
    }
    with langgraph_dev(ROOT / "langgraph.json", directory, environment) as url:
        yield Studio(url, directory, provider)


@pytest.fixture
async def client(studio: Studio) -> AsyncIterator[LangGraphClient]:
    """A client of the running server."""
    async with get_client(url=studio.url) as opened:
        yield opened


async def run(
    client: LangGraphClient, thread: str | None, question: str, assistant: str = "llm_compiler", **options: Any
) -> AsyncIterator[tuple[str, Any]]:
    """Stream one run: pairs of stream mode and data."""
    stream: Any = client.runs.stream
    content = {"messages": [{"role": "user", "content": question}]}
    async for part in stream(thread, assistant, input=content, stream_mode=["custom", "messages-tuple"], **options):
        yield part.event, part.data


async def test_two_turns_of_one_thread_are_streamed_and_the_second_sees_the_first(
    studio: Studio, client: LangGraphClient
) -> None:
    """Task events and the answer's tokens stream; the second turn's prompt holds the first turn's conversation."""
    requests = studio.script(PLAN, "Finish: It is 237.86 m taller.", "1. join()", "Finish: You asked about Everest.")
    thread = (await client.threads.create())["thread_id"]

    parts = [part async for part in run(client, thread, "How much taller is Everest than K2?")]
    events = [(data["event"], data["index"]) for mode, data in parts if mode == "custom"]
    assert [index for event, index in events if event == "planned"] == [1, 2, 3]
    assert [index for event, index in events if event == "started"] == [1, 2, 3]
    assert [index for event, index in events if event == "done"][-1] == 3
    # the plan, three observations and the answer are messages; of the models' replies, only the answer is streamed
    chunks = [data[0] for mode, data in parts if mode == "messages"]
    tokens = [chunk["content"] for chunk in chunks if chunk["type"] == "AIMessageChunk"]
    assert "".join(tokens) == "It is 237.86 m taller."
    assert len(tokens) > 1
    assert not any("lookup(" in str(chunk["content"]) for chunk in chunks)

    async for _ in run(client, thread, "What did I ask?"):
        pass
    told = [(message["role"], message["content"]) for message in requests[2]["messages"]]
    assert told[1][0] == "user"
    assert told[1][1].startswith("How much taller is Everest than K2?\n\nFound for it:\n")
    assert told[1][1].endswith("\ncalculate(expression=…) = 237.86")
    assert told[2] == ("assistant", "It is 237.86 m taller.")
    assert told[3][1].startswith("What did I ask?")
    state: Any = (await client.threads.get_state(thread))["values"]
    assert state["messages"][-1]["content"] == "You asked about Everest."
    assert [request["model"] for request in requests] == ["scripted"] * 4


async def test_an_assistant_s_context_is_used_and_a_run_s_context_goes_before_it(
    studio: Studio, client: LangGraphClient
) -> None:
    """Models, tools, limits and the system prompt come from the assistant, and from the run where it says so."""
    own: Any = {"model": "openai:own", "tools": ["lookup"], "max_replans": 0, "system_prompt": "Be brief."}
    assistant = await client.assistants.create("llm_compiler", context=own)
    for context, models in (
        (None, ["own", "own"]),
        ({"joiner_model": "openai:third"}, ["own", "third"]),
        ({"model": "openai:other", "planner_model": ""}, ["other", "other"]),
    ):
        requests = studio.script("1. join()", "Finish: Hello.")
        async for _ in run(client, None, "Hello?", assistant["assistant_id"], context=context):
            pass
        assert [request["model"] for request in requests] == models
        system = requests[0]["messages"][0]["content"]
        assert system.startswith("Be brief.")
        assert "lookup(" in system
        assert "calculate(" not in system
        assert "No other plan is possible." in requests[1]["messages"][-1]["content"]


async def test_a_run_configured_the_old_way_is_understood(studio: Studio, client: LangGraphClient) -> None:
    """`config.configurable` sets the same as `context`."""
    requests = studio.script("1. join()", "Finish: Hello.")
    thread = (await client.threads.create())["thread_id"]
    configurable = {"model": "openai:own", "thread_id": thread}  # clients repeat the thread there
    async for _ in run(client, thread, "Hello?", config={"configurable": configurable}):
        pass
    assert [request["model"] for request in requests] == ["own", "own"]


@pytest.mark.parametrize(
    ("context", "error", "message"),
    [
        ({"tools": ["os:system"]}, "ConfigurationError", "the tool 'os:system' is not on offer here, only lookup, "),
        ({"max_replans": -1}, "ValidationError", "greater than or equal to 0"),
        ({"max_replans": 11}, "ValidationError", "less than or equal to 10"),
        ({"max_concurrency": 101}, "ValidationError", "less than or equal to 100"),
        ({"deadline": 3601}, "ValidationError", "less than or equal to 3600"),
        ({"budget": 1_000_001}, "ValidationError", "less than or equal to 1000000"),
        ({"budget": 0}, "ValidationError", "greater than or equal to 1"),
        ({"deadline": "inf"}, "ValidationError", "less than or equal to 3600"),
        ({"tools": ["lookup"] * 100}, "ValidationError", "at most"),
        ({"system_prompt": "x" * 100_001}, "ValidationError", "at most 100000 characters"),
        ({"model": "openai:gpt-5"}, "ConfigurationError", "only openai:scripted, openai:o*, openai:third; whoever"),
        ({"model": ""}, "ConfigurationError", "model '' is not on offer"),
        ({"planner_model": "local:x"}, "ConfigurationError", "the model 'local:x' is not on offer here"),
        ({"joiner_model": "anthropic:own"}, "ConfigurationError", "the model 'anthropic:own' is not on offer here"),
        ({"max_replan": 1}, "ConfigurationError", "the context has no key 'max_replan'; did you mean 'max_replans'?"),
        ({"temperature": 1, "model": "openai:own"}, "ConfigurationError", "no key 'temperature', only model, planner_"),
    ],
)
async def test_a_context_that_cannot_be_used_is_an_error_that_says_so(
    studio: Studio, client: LangGraphClient, context: dict[str, Any], error: str, message: str
) -> None:
    """The run fails with the reason, nothing is imported, and no model is asked."""
    requests = studio.script()
    *_, (mode, data) = [part async for part in run(client, None, "Hello?", context=context)]
    assert mode == "error"
    assert data["error"] == error
    assert message in data["message"]
    assert requests == []


async def test_a_cancelled_run_cancels_its_calls_and_the_thread_goes_on(
    studio: Studio, client: LangGraphClient
) -> None:
    """A tool that runs when the client cancels is cancelled; the thread then takes another question."""
    studio.script("1. wait(0.3)\n2. wait(60) after $1\n3. join()")
    thread = (await client.threads.create())["thread_id"]
    created: list[str] = []
    parts = run(client, thread, "Wait.", on_run_created=lambda made: created.append(made["run_id"]))
    async for mode, data in parts:
        if mode == "custom" and (data["event"], data["index"]) == ("started", 2):
            await client.runs.cancel(thread, created[0], wait=True)
            break
    await parts.aclose()  # type: ignore[attr-defined]
    assert (await client.runs.get(thread, created[0]))["status"] == "interrupted"

    requests = studio.script("1. fate()\n2. join()", "Finish: I am back.")
    *_, last = [data[0] async for mode, data in run(client, thread, "What happened?") if mode == "messages"]
    assert 'fate() = ["cancelled"]' in requests[1]["messages"][-1]["content"]
    assert last["type"] == "AIMessageChunk"


async def test_the_schema_has_what_a_form_needs(studio: Studio, client: LangGraphClient) -> None:
    """Every setting of an assistant has a description and a default; showing them asks no model."""
    requests = studio.script()
    (assistant,) = await client.assistants.search(metadata={"created_by": "system"})
    schemas = await client.assistants.get_schemas(assistant["assistant_id"])
    properties = (schemas["context_schema"] or {})["properties"]
    assert {name: setting["default"] for name, setting in properties.items()} == {
        "model": "openai:scripted",
        "planner_model": None,
        "joiner_model": None,
        "tools": ["lookup", "calculate", "waiting:wait", "waiting:fate"],
        "max_replans": 2,
        "max_concurrency": None,
        "deadline": None,
        "budget": None,
        "approve_plans": False,
        "system_prompt": "",
    }
    assert all(setting["description"] for setting in properties.values())
    drawn = await client.assistants.get_graph(assistant["assistant_id"], xray=True)
    nodes = {str(node["id"]) for node in drawn["nodes"]}
    assert {node for setting in properties.values() for node in setting["langgraph_nodes"]} < nodes
    assert requests == []


async def test_without_a_run_no_model_is_made() -> None:
    """Drawing the graph makes no model: it may be one that cannot be made."""
    runtime: ServerRuntime[Context] = _ReadRuntime(access_context="assistants.read", store=InMemoryStore())
    graph = await make_graph({"configurable": {"model": "nobody:knows"}}, runtime)
    assert {"planner", "task_fetching_unit", "joiner"} < set(graph.get_graph().nodes)
    assert graph.get_context_jsonschema() == Context.model_json_schema()


async def test_plans_can_be_approved(studio: Studio, client: LangGraphClient) -> None:
    """With `approve_plans` a run waits before its plan runs, and goes on with the plan as a human has edited it."""
    studio.script('1. lookup("K2")\n2. join()', "Finish: 8,849 m.")
    assistant = await client.assistants.create("llm_compiler", context={"approve_plans": True})
    thread = (await client.threads.create())["thread_id"]
    events = [
        data["event"]
        async for mode, data in run(client, thread, "How high?", assistant["assistant_id"])
        if mode == "custom"
    ]
    assert events == ["planned", "released"]
    state: Any = await client.threads.get_state(thread)
    assert state["next"] == ["task_fetching_unit"]
    (request,) = state["tasks"][0]["interrupts"][0]["value"]["action_requests"]
    text = request["args"]["plan"].replace("K2", "Mount Everest")
    edit = {"type": "edit", "edited_action": {"name": "plan", "args": {"plan": text}}}
    command: Any = {"resume": {"decisions": [edit]}}
    final: Any = await client.runs.wait(thread, assistant["assistant_id"], command=command)
    assert [task["value"]["name"] for task in final["tasks"]] == ["Mount Everest"]


def test_langgraph_json_is_valid() -> None:
    """`langgraph validate` accepts the configuration and finds the graph."""
    done = subprocess.run([*CLI, "validate"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "langgraph.json is valid. (1 graph found)" in done.stdout


def make_dockerfile(folder: Path, *options: str, path: str = os.environ["PATH"]) -> str:
    """Run `langgraph dockerfile`; return what it wrote."""
    done = subprocess.run(
        [*CLI, "dockerfile", *options, str(folder / "Dockerfile")],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "Dockerfile").read_text()


def test_a_dockerfile_can_be_made(tmp_path: Path) -> None:
    """`langgraph dockerfile` installs this package with what the local model needs, and serves the graph."""
    dockerfile = make_dockerfile(tmp_path)
    graphs = re.search(r"^ENV LANGSERVE_GRAPHS='(.*)'$", dockerfile, re.MULTILINE)
    assert graphs
    ((name, graph),) = json.loads(graphs[1]).items()
    assert name == "llm_compiler"
    module, _, attribute = graph["path"].partition(":")
    assert getattr(importlib.import_module(module), attribute) is make_graph
    assert "FROM langchain/langgraph-api:3.12" in dockerfile
    # the whole repository is added, and installed from its `pyproject.toml`
    assert re.search(r"^ADD \. (/deps/\S+)$", dockerfile, re.MULTILINE)
    assert re.search(r"^RUN for dep in /deps/\*; .*cd \"\$dep\" && .*pip install .* -e \.\)", dockerfile, re.MULTILINE)
    # the names stand there unquoted, for a shell to read: `>=` would be a redirection
    installed = re.search(r"constraints\.txt ([a-z -]+)$", dockerfile, re.MULTILINE)
    assert installed
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["local"]
    assert installed[1].split() == [re.split("[>=]", requirement)[0] for requirement in extra]


def test_the_server_is_started_with_its_database_and_queue(tmp_path: Path) -> None:
    """Where Docker is, the CLI writes what `langgraph up` starts: the image beside PostgreSQL and Redis."""
    docker = tmp_path / "docker"  # tells its version as the real one does, and can do nothing else
    plugins = [{"Name": "compose", "Version": "v2.30.0"}]
    told = {"ServerVersion": "27.0.0", "ClientInfo": {"Plugins": plugins}}
    docker.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(told)}\nEND\n")
    docker.chmod(0o755)
    make_dockerfile(tmp_path, "--add-docker-compose", path=f"{tmp_path}:{os.environ['PATH']}")
    compose = (tmp_path / "docker-compose.yml").read_text()
    services = re.findall(r"^    (\S+):$", compose.partition("services:\n")[2], re.MULTILINE)
    assert sorted(services) == ["langgraph-api", "langgraph-postgres", "langgraph-redis"]
    assert re.search(r"REDIS_URI: redis://langgraph-redis:", compose)
    assert re.search(r"POSTGRES_URI: postgres://.*@langgraph-postgres:", compose)
    assert re.search(r"dockerfile: Dockerfile", compose)
