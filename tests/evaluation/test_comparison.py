from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmcompiler_graph import ConfigurationError
from llmcompiler_graph.evaluation.command import app
from llmcompiler_graph.evaluation.comparison import compare, markdown
from llmcompiler_graph.evaluation.records import Record


def written(path: Path, right: Sequence[float], seconds: float, *, system: str = "ours", model: str = "small") -> Path:
    """Write a file of records: right or wrong, by question."""
    path.parent.mkdir(exist_ok=True)
    records = [
        Record(
            id=str(n),
            benchmark="b",
            system=system,
            model=model,
            tier="live",
            answer="x",
            correct=score,
            wall_s=seconds + n,
            tokens_in=100,
            tokens_out=10,
        )
        for n, score in enumerate(right)
    ]
    path.write_text("".join(f"{record.to_json()}\n" for record in records))
    return path


def test_two_files_are_compared_question_by_question(tmp_path: Path) -> None:
    """Which questions turned right or wrong is listed, beside the paired tables with medians."""
    before = written(tmp_path / "before.jsonl", [1, 0, 0, 1, 0], 10)
    after = written(tmp_path / "after.jsonl", [1, 1, 0, 0, 1, 1], 20)
    text = markdown(compare(before, after))
    assert "# `after` against `before`\n\n- `before`: ours, small\n- `after`: ours, small" in text
    assert "| right in both | 1 | |" in text
    assert "| right in `after` alone | 2 | 1, 4 |" in text
    assert "| right in `before` alone | 1 | 3 |" in text
    assert "| 22.0 / 12.0 |" in text
    assert "| 5 | 60.0 / 40.0 | 20.0 [" in text


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """The same file name in two folders, two models, another system: all may be compared."""
    before = written(tmp_path / "a" / "x.jsonl", [1], 1)
    after = written(tmp_path / "b" / "x.jsonl", [1], 1, system="react", model="large")
    assert "# `b/x` against `a/x`\n\n- `a/x`: ours, small\n- `b/x`: react, large" in markdown(compare(before, after))


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    """A file of several systems, or without a common question, is refused by name."""
    before = written(tmp_path / "before.jsonl", [1], 1)
    several = tmp_path / "several.jsonl"
    several.write_text(before.read_text() + written(tmp_path / "other.jsonl", [1], 1, system="react").read_text())
    with pytest.raises(ConfigurationError, match=r"of one system and model .*, not of ours, small; react, small"):
        compare(before, several)
    other = tmp_path / "none.jsonl"
    other.write_text(before.read_text().replace('"id": "0"', '"id": "7"'))
    with pytest.raises(ConfigurationError, match="have no question in common"):
        compare(before, other)


def test_the_command(tmp_path: Path) -> None:
    """It prints, or writes the tables and draws; its errors are one line."""
    before, after = (written(tmp_path / f"{name}.jsonl", [1, 0], 1) for name in ("before", "after"))
    printed = CliRunner().invoke(app, ["compare", str(before), str(after)])
    assert (printed.exit_code, printed.output.partition("\n")[0]) == (0, "# `after` against `before`")
    out = tmp_path / "report"
    kept = CliRunner().invoke(app, ["compare", str(before), str(after), "--out", str(out)])
    assert kept.exit_code == 0
    assert (out / "compare.md").read_text() == printed.output
    assert {path.suffix for path in out.iterdir()} == {".md", ".png", ".svg"}
    (tmp_path / "empty.jsonl").write_text("")
    refused = CliRunner().invoke(app, ["compare", str(before), str(tmp_path / "empty.jsonl")])
    assert refused.exit_code != 0
    assert "must have records of one system" in refused.output
