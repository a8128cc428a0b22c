"""The replay of Game of 24, the paper's latency model, and the tier as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmcompiler_graph.evaluation.command import app
from llmcompiler_graph.evaluation.deterministic.game24_replay import (
    SETTINGS,
    Latencies,
    Puzzle,
    one_plan,
    read,
    replanning,
    replay,
    thoughts,
)
from llmcompiler_graph.evaluation.deterministic.paper_model import (
    GIVEN,
    PAPER,
    bound,
    fitted,
    llm_compiler_seconds,
    react_seconds,
)
from llmcompiler_graph.evaluation.deterministic.rows import Row, table
from llmcompiler_graph.evaluation.deterministic.tier import report, run_all, write
from tests.shared import shared

STATES = [
    "1 + 2 = 3 (left: 3 3 4)\n",
    "3 * 4 = 12 (left: 1 2 12)\n",
    "1 + 2 = 3 (left: 3 3 4)\n3 + 3 = 6 (left: 4 6)\n",
    "3 * 4 = 12 (left: 1 2 12)\n1 * 2 = 2 (left: 2 12)\n",
    "1 + 2 = 3 (left: 3 3 4)\n3 + 3 = 6 (left: 4 6)\n4 * 6 = 24 (left: 24)\n",
    "3 * 4 = 12 (left: 1 2 12)\n1 * 2 = 2 (left: 2 12)\n2 * 12 = 24 (left: 24)\n",
]
RIGHT, WRONG = f"{STATES[4]}Answer: (1 + 2 + 3) * 4 = 24\n", f"{STATES[5]}Answer: 2 * 12 = 24\n"
PUZZLE = Puzzle(
    "1 2 3 4",
    {
        "": STATES[:2],
        STATES[0]: [STATES[2]],
        STATES[1]: [STATES[3]],
        STATES[2]: [STATES[4]],
        STATES[3]: [STATES[5]],
        STATES[4]: [RIGHT],
        STATES[5]: [WRONG],
    },
    dict.fromkeys([*STATES, RIGHT, WRONG], 1.0),
    solved=True,
)


def test_all_searches_find_the_same() -> None:
    """Tree of Thoughts and both LLMCompilers solve a puzzle alike; the fewer waits, the sooner."""
    ran = [replay(way, [PUZZLE], SETTINGS[0])[0] for way in (thoughts, replanning, one_plan)]
    assert all(each.solved for each in ran)
    assert ran[0].seconds == 7 + 7  # "left: 24" is judged once
    # a plan, a joiner and one call of each kind in every round: at most 16, less what streaming saves
    assert ran[1].seconds < 16
    assert ran[2].seconds < ran[1].seconds


def test_evaluators_may_ask_one_by_one() -> None:
    """An evaluator of several states that asks about one after another takes longer."""
    slow = Latencies("", planner=0, joiner=0, at_once=False)
    fast = Latencies("", planner=0, joiner=0)
    assert replay(one_plan, [PUZZLE], fast)[0].seconds == pytest.approx(4 + 4)
    assert replay(one_plan, [PUZZLE], slow)[0].seconds == pytest.approx(4 + 5)


def test_puzzles_of_the_record_come_out_as_recorded() -> None:
    """Searching the record solves just the puzzles that it says were solved."""
    records = read(shared("data", "game24", "tot_gpt4_propose1_value3_greedy5_900_1000.json"))
    assert (len(records), sum(record.solved for record in records)) == (100, 69)
    some = records[::25]
    wanted = [record.solved for record in some]
    assert len(set(wanted)) == 2
    for way in (thoughts, replanning, one_plan):
        assert [each.solved for each in replay(way, some, SETTINGS[0])] == wanted


def test_movie_takes_what_the_paper_adds_up() -> None:
    """With the paper's seconds, the real graph takes the 1.88 + 1.13 + 1.62 s of appendix E.1, and less if streamed."""
    movie = PAPER[1]
    assert llm_compiler_seconds(movie, GIVEN, streamed=False) == pytest.approx(1.88 + 1.13 + 1.62)
    assert 1.88 + 1.62 < llm_compiler_seconds(movie, GIVEN) < 1.88 + 1.13 + 1.62
    assert react_seconds(movie, GIVEN) == pytest.approx(8 * (1.62 + 0.61) + 1.62)
    assert bound(movie, GIVEN) == pytest.approx((8 * (1.62 + 0.61) + 1.62) / (1.13 + 1.62))


def test_fitted_seconds_give_the_two_latencies_they_were_fitted_to() -> None:
    """ReAct and LLMCompiler without streaming come out as published; the speedup with streaming is near the paper's."""
    for published in PAPER:
        seconds = fitted(published)
        slow = react_seconds(published, seconds)
        assert slow == pytest.approx(published.react)
        assert llm_compiler_seconds(published, seconds, streamed=False) == pytest.approx(published.unstreamed)
        ratio = slow / llm_compiler_seconds(published, seconds)
        assert ratio == pytest.approx(published.ratio, rel=0.15)
        assert ratio < bound(published, seconds)


def test_tables_have_notes_below() -> None:
    """Each note of a table's rows stands once, below the table."""
    row = Row("A", "gold", 1500, "solved", 1200, 1500, "goal", "as it is")
    written = table([row, row])
    assert "| A | gold | 1,500 | solved | 1,200 | 1,500 (goal) |" in written
    assert written.count("as it is") == 1


def test_missing_data_is_said(tmp_path: Path) -> None:
    """Parts whose data is not there, or torn, say so; the others run; the report has all."""
    graph = {
        "id": 0,
        "steps": ["stir", "bake"],
        "edges": [["START", "1"], ["1", "2"], ["2", "END"]],
        "duration_seconds": {"1": [60, 60], "2": [1800, 1800]},
        "optimal_seconds": [1860, 1860],
    }
    (tmp_path / "asynchow").mkdir()
    (tmp_path / "asynchow" / "async_dags.jsonl").write_text(json.dumps(graph))
    (tmp_path / "nestools").mkdir()
    (tmp_path / "nestools" / "test_data.jsonl").write_text('{"api": [')
    results = run_all(tmp_path, ["mathqa", "asynchow", "nestools"], jobs=1)
    assert "mathqa_exec_dags.jsonl" in results[0].missing
    assert results[1].rows
    assert "test_data.jsonl', line 1, is not JSON" in results[2].missing
    write(results, 1.0, tmp_path / "out")
    assert "Not run: mathqa" in (tmp_path / "out" / "deterministic.md").read_text()
    content = json.loads((tmp_path / "out" / "deterministic.json").read_text())
    assert content["tier"] == "deterministic"
    assert report(results, 1.0).count("AsyncHow") == 4


def test_half_a_shop_is_missing_data(tmp_path: Path) -> None:
    """A directory that holds the products alone is no crash: the part says which file lacks, and what it is made of."""
    (tmp_path / "webshop").mkdir()
    (tmp_path / "webshop" / "products_1000.jsonl").touch()
    (result,) = run_all(tmp_path, ["webshop"], jobs=1)
    assert "items_ins_v2_1000.json" in result.missing
    assert "instruction_attributes" in result.missing


def test_the_command_runs_parts_and_writes_them(tmp_path: Path) -> None:
    """A part that ran is a table; a part that could not is an exit code; a part there is none of is an error."""
    data = shared("data")
    command = CliRunner()
    good = command.invoke(app, ["deterministic", "--data", str(data), "--part", "bfcl", "--out", str(tmp_path)])
    assert good.exit_code == 0
    assert "| BFCL | gold | 440 |" in good.stdout
    assert (tmp_path / "deterministic.json").exists()
    missing = command.invoke(app, ["deterministic", "--data", str(tmp_path), "--part", "bfcl"])
    assert missing.exit_code == 1
    assert "Not run: bfcl" in missing.stdout
    assert command.invoke(app, ["deterministic", "--part", "poetry"]).exit_code == 2
