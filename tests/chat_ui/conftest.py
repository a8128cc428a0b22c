"""Serves the graphs of `served_graphs.py` with `langgraph dev`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.langgraph_dev import ROOT, langgraph_dev
from tests.scripted_server import ScriptedServer

GRAPHS = ("calls", "plans", "typed")


class Served(NamedTuple):
    """A running server, and the models' server."""

    url: str
    provider: ScriptedServer


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The server."""
    directory = tmp_path_factory.mktemp("served")
    graphs = {name: f"{Path(__file__).parent / 'served_graphs.py'}:{name}" for name in GRAPHS}
    config = directory / "langgraph.json"
    config.write_text(json.dumps({"dependencies": [str(ROOT)], "graphs": graphs}))
    with ScriptedServer() as provider, langgraph_dev(config, directory, provider.environment) as url:
        yield Served(url, provider)
