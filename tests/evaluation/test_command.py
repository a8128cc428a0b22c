"""The command line of the evaluation, with a scripted model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from typer.testing import CliRunner, Result

from llmcompiler_graph.cli import commands
from llmcompiler_graph.evaluation import command
from llmcompiler_graph.evaluation.cassettes import Cassette
from llmcompiler_graph.evaluation.command import BENCHMARKS, SYSTEMS, app, benchmark_named, system_named
from llmcompiler_graph.evaluation.report import read_all
from llmcompiler_graph.models.lazy import is_local
from tests.scripted_server import ScriptedServer
from tests.shared import shared

RIGHT = '1. search("Mariana Trench")\n2. search("Puerto Rico Trench")\n3. calculate("${1.depth_m} - ${2.depth_m}")'
LIVE = ("--model", "openai:scripted")


@pytest.fixture
def data() -> str:
    """The directory of the datasets."""
    return str(shared("data"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """The server of OpenAI's models."""
    with ScriptedServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def asking(data: str, *arguments: str) -> Result:
    """Ask the questions of ParallelQA: the first, unless it is said which."""
    return ran("run", "parallelqa", "--data", data, "--limit", "1", *arguments)


def ran(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, list(arguments))


def test_a_run_and_its_report(data: str, server: ScriptedServer, tmp_path: Path) -> None:
    """Two questions, a record each; the same command adds none; the report is of them."""
    server.replies += [RIGHT, "Finish: Mariana Trench", RIGHT, "Finish: nothing"]
    out = tmp_path / "x.jsonl"
    arguments = [*LIVE, "--out", str(out), "--limit", "2", "--option", "max_repairs=0"]
    result = asking(data, *arguments)
    assert result.exit_code == 0, result.output
    first, second = read_all([out])
    assert (first.correct, first.parsed, first.references_right, first.system) == (
        1,
        False,  # it does not join
        False,
        "llm_compiler[max_repairs=0]",
    )
    assert (second.id, second.correct) == ("3", 0)
    assert "0 examples added" in asking(data, *arguments).output
    printed = ran("report", str(out)).output
    assert "Tier: **live**" in printed
    misspelled = ran("report", str(out), "--baseline", "raect")
    assert (misspelled.exit_code, "no record is of 'raect'" in misspelled.output) == (1, True)
    assert ran("report", str(out), "--out", str(tmp_path / "report"), "--no-plots").exit_code == 0
    assert json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))[0]["rows"][0]["examples"] == 2


def test_samples_chosen_by_id(data: str, server: ScriptedServer, tmp_path: Path) -> None:
    """Those that are named are asked, wherever they stand; an id that no sample has is an error that names it."""
    server.replies += [RIGHT + "\n4. join()"]
    out = tmp_path / "x.jsonl"
    result = asking(data, *LIVE, "--out", str(out), "--plan-only", "--ids", "3")
    assert result.exit_code == 0, result.output
    assert [record.id for record in read_all([out])] == ["3"]
    wrong = asking(data, *LIVE, "--out", str(out), "--ids", "3,nobody")
    assert (wrong.exit_code, "no sample has the id 'nobody'" in without_box(wrong)) == (2, True)


def test_plans_only(data: str, server: ScriptedServer, tmp_path: Path) -> None:
    """One call of the model for each; the score is that of the structure."""
    server.replies += [RIGHT + "\n4. join()"]
    out = tmp_path / "x.jsonl"
    result = asking(data, *LIVE, "--out", str(out), "--plan-only")
    assert result.exit_code == 0, result.output
    (record,) = read_all([out])
    assert (record.plan_only, record.parsed, record.correct, record.tasks) == (True, True, 1, 3)


def test_a_recorded_run_is_played_again(data: str, server: ScriptedServer, tmp_path: Path) -> None:
    """The cassette answers instead of the model, and the records are of the recorded tier."""
    server.replies += [RIGHT + "\n4. join()", "Finish: Mariana Trench"]
    tape, live, played = tmp_path / "tape.jsonl", tmp_path / "live.jsonl", tmp_path / "played.jsonl"
    assert asking(data, *LIVE, "--out", str(live), "--record", str(tape)).exit_code == 0
    result = asking(data, "--out", str(played), "--replay", str(tape))
    assert result.exit_code == 0, result.output
    (was,), (again,) = read_all([live]), read_all([played])
    assert (again.tier, again.answer, again.correct) == ("recorded", was.answer, was.correct)
    assert again.virtual_s is not None
    missing = asking(data, "--out", str(played), "--replay", str(tape), "--system", "react")
    assert missing.exit_code == 1
    assert "has no answer of 'react'" in missing.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "parallelq", "--out", "x"], "'parallelq' is none of"),
        (["run", "movie", "--out", "x", "--system", "magic"], "'magic' is none of"),
        (["run", "movie", "--out", "x", "--option", "max_replan=1"], "no option 'max_replan'"),
        (["run", "movie", "--out", "x", "--option", "nothing"], "an option is key=value"),
        (["run", "movie", "--out", "x", "--replay", "a", "--record", "b"], "recorded or replayed, not both"),
        (["run", "movie", "--out", "x", "--replay", "a", "--repeats", "3"], "holds one answer to each sample"),
        (["run", "movie", "--out", "x", "--temperature", "cold"], "a number from 0 on, or 'none', not 'cold'"),
        (["run", "movie", "--out", "x", "--temperature", "nan"], "a number from 0 on, or 'none', not 'nan'"),
        (["run", "movie", "--out", "x", "--option", "stream=False"], "stream is true or false, in JSON, not 'False'"),
        (["run", "movie", "--out", "x", "--option", "max_replans=x"], "max_replans is a whole number"),
        (["run", "movie", "--out", "x", "--option", "max_tasks=true"], "max_tasks is a whole number or null"),
        (["run", "movie", "--out", "x", "--option", "deadline=x"], "deadline is seconds or null"),
        (["run", "movie", "--out", "x", "--option", "name=5"], "name is text or null, in JSON, not 5"),
        (["run", "movie", "--out", "x", "--system", "react", "--option", "dagger=no"], "dagger is true or false"),
        (["report", "."], "'.' is a directory"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    """Wrong arguments are refused in words, and the exit code is 2."""
    result = ran(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_data_that_is_not_there(tmp_path: Path) -> None:
    """Without the dataset the error says which file is missing, and the exit code is 1."""
    result = ran("run", "movie", "--out", str(tmp_path / "x.jsonl"), "--data", str(tmp_path))
    assert result.exit_code == 1
    assert "error: no file 'llmcompiler/movie_recommendations_formatted.json'" in result.output


def test_data_that_is_torn(tmp_path: Path) -> None:
    """A dataset's file that is no JSON is named."""
    path = tmp_path / "llmcompiler" / "movie_recommendations_formatted.json"
    path.parent.mkdir()
    path.write_text('[{"id": ')
    result = ran("run", "movie", "--out", str(tmp_path / "x.jsonl"), "--data", str(tmp_path))
    assert (result.exit_code, f"error: {str(path)!r} is not JSON" in result.output) == (1, True)


def test_nothing_to_ask_is_an_error(data: str, tmp_path: Path) -> None:
    """A run over no sample at all is not a success: its data is not there, or no plan of it can be judged."""
    (tmp_path / "hotpotqa_offline").mkdir()
    nothing = ran("run", "hotpotqa_bridge", *LIVE, "--data", str(tmp_path), "--out", str(tmp_path / "x"))
    assert (nothing.exit_code, f"'hotpotqa_bridge' has no sample in {str(tmp_path)!r}" in nothing.output) == (1, True)
    unjudged = ran("run", "game24", *LIVE, "--data", data, "--out", str(tmp_path / "x"), "--plan-only")
    assert (unjudged.exit_code, "'game24' has no sample whose plan can be judged" in unjudged.output) == (1, True)


def test_files_that_cannot_be_written(data: str, server: ScriptedServer, tmp_path: Path) -> None:
    """Each is named, without a traceback, and before anything is done where that can be known."""
    (tmp_path / "file").touch()
    there = str(tmp_path / "file" / "there")
    live = tmp_path / "x.jsonl"
    server.replies += [RIGHT + "\n4. join()", "Finish: Mariana Trench"] * 2
    unrecorded = asking(data, *LIVE, "--out", str(live), "--record", there)
    assert live.read_text() == ""  # the failure of the cassette is not the system's
    assert asking(data, *LIVE, "--out", str(live)).exit_code == 0
    for result in (
        unrecorded,
        asking(data, *LIVE, "--out", there),
        asking(data, *LIVE, "--out", str(tmp_path)),
        asking(data, "--out", str(tmp_path / "y"), "--replay", str(tmp_path)),
        ran("report", str(live), "--out", there),
        ran("deterministic", "--data", data, "--part", "paper_model", "--out", there),
    ):
        assert (result.exit_code, "error: " in result.output, str(tmp_path) in result.output) == (1, True, True)
    assert len(server.requests) == 4


def test_a_report_of_nothing_is_an_error(tmp_path: Path) -> None:
    """A file without records makes no report."""
    (tmp_path / "x.jsonl").touch()
    result = ran("report", str(tmp_path / "x.jsonl"), "--out", str(tmp_path / "report"))
    assert (result.exit_code, "error: no record in" in result.output) == (1, True)
    assert not (tmp_path / "report").exists()


def test_a_missing_key_is_an_error_in_words(data: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model whose provider wants a key cannot be made: what the provider says is said, before anything is asked."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    result = asking(data, *LIVE, "--out", str(tmp_path / "x"))
    assert (result.exit_code, "error: the model 'openai:scripted' cannot be made: " in result.output) == (1, True)


def test_rate_seed_and_temperature_reach_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate makes the model wait for its turn, the others are given to it; without any the name alone goes on."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    assert command._model("openai:gpt-4o", None, None, None) == "openai:gpt-4o"
    assert command._model("local", None, 7, 0.0) == "local"
    model: Any = command._model("openai:gpt-4o", 0.5, 7, 0.0)
    assert model.rate_limiter.requests_per_second == 0.5
    assert (model.seed, model.temperature) == (7, 0)
    cold: Any = command._model("openai:gpt-4o", None, None, 0.0)
    assert (cold.seed, cold.temperature, cold.rate_limiter) == (None, 0, None)


def test_the_embedded_model_stays_one_at_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems ask whether a model is it: for its grammar, and for calls as text."""
    made = ChatOpenAI(model="any", api_key="none")  # type: ignore[arg-type]
    monkeypatch.setattr("llmcompiler_graph.models.local.local_chat_model", lambda *_: made)
    model: Any = command._model("local", 5.0, None, 0.5)
    assert is_local(model)
    assert (model.rate_limiter.requests_per_second, model.temperature) == (5.0, 0.5)


def test_the_temperature_is_sent_and_recorded(data: str, server: ScriptedServer, tmp_path: Path) -> None:
    """The temperature is 0, as the paper's, or what was asked for; and `none` is none."""
    server.replies += [RIGHT + "\n4. join()"] * 3
    for number, given in enumerate(([], ["--temperature", "0.7"], ["--temperature", "none"])):
        result = asking(data, *LIVE, "--out", str(tmp_path / f"{number}.jsonl"), "--plan-only", *given)
        assert result.exit_code == 0, result.output
    assert [request.get("temperature") for request in server.requests] == [0, 0.7, None]
    assert [read_all([tmp_path / f"{number}.jsonl"])[0].temperature for number in range(3)] == [0, 0.7, None]


def test_a_replay_is_of_the_model_that_was_recorded(data: str, server: ScriptedServer, tmp_path: Path) -> None:
    """A replay has the name and the prices of the cassette's model; of several one must be named."""
    server.replies += [RIGHT + "\n4. join()", "Finish: Mariana Trench"] * 2
    tape = tmp_path / "tape.jsonl"
    for number, model in enumerate(("openai:gpt-4o", "openai:gpt-4-0613")):
        live = str(tmp_path / f"live{number}.jsonl")
        assert asking(data, "-m", model, "--out", live, "--record", str(tape)).exit_code == 0
        if number == 0:
            assert asking(data, "--replay", str(tape), "--out", str(tmp_path / "a")).exit_code == 0
    assert len(Cassette(tape)) == 2
    unnamed = asking(data, "--replay", str(tape), "--out", str(tmp_path / "b"))
    assert unnamed.exit_code == 2
    assert "openai:gpt-4-0613, openai:gpt-4o: say of which" in without_box(unnamed)
    other = asking(data, "-m", "local", "--replay", str(tape), "--out", str(tmp_path / "b"))
    assert other.exit_code == 2
    assert "not of 'local'" in without_box(other)
    assert asking(data, "-m", "openai:gpt-4-0613", "--replay", str(tape), "--out", str(tmp_path / "b")).exit_code == 0
    assert [read_all([tmp_path / name])[0].model for name in "ab"] == ["openai:gpt-4o", "openai:gpt-4-0613"]


def test_a_cassette_is_of_one_temperature(data: str, server: ScriptedServer, tmp_path: Path) -> None:
    """A replay is told apart by the temperature it was recorded at; another one is neither added nor played."""
    server.replies += [RIGHT + "\n4. join()", "Finish: Mariana Trench"]
    tape, played = str(tmp_path / "tape"), str(tmp_path / "played")
    live = [*LIVE, "--out", str(tmp_path / "live"), "--record", tape]
    assert asking(data, *live, "--temperature", "0.7").exit_code == 0
    added = asking(data, *live)
    assert (added.exit_code, "at the temperature 0.7, not 0" in without_box(added)) == (2, True)
    assert asking(data, "--out", played, "--replay", tape).exit_code == 0
    assert asking(data, "--out", played, "--replay", tape, "--temperature", "0.7").exit_code == 0
    assert [(record.tier, record.temperature) for record in read_all([Path(played)])] == [("recorded", 0.7)]
    other = asking(data, "--out", played, "--replay", tape, "--temperature", "none")
    assert (other.exit_code, "at the temperature 0.7, not none" in without_box(other)) == (2, True)


def without_box(result: Result) -> str:
    """What an error says, without the lines it is framed with."""
    return " ".join(result.output.replace("│", " ").split())


def test_every_name_leads_somewhere() -> None:
    """All benchmarks and systems that the help names can be made."""
    assert {name: benchmark_named(name).name for name in BENCHMARKS} == {name: name for name in BENCHMARKS}
    assert all(system_named(name, {}).name.startswith(name) for name in SYSTEMS)


def test_bench_is_the_same_command(data: str) -> None:
    """`llmcompiler bench` hands its arguments on to the command line of the evaluation."""
    result = CliRunner().invoke(commands.app, ["bench", "run", "nothing", "--out", "x"])
    assert result.exit_code == 2
    assert "'nothing' is none of" in result.output


def test_bench_without_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages of the evaluation, `llmcompiler bench` says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    result = CliRunner().invoke(commands.app, ["bench", "run", "movie"])
    assert result.exit_code == 1
    assert "pip install 'llmcompiler-graph[evaluation]'" in result.output
