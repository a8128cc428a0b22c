"""Reports and plots of made-up records."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmcompiler_graph import ConfigurationError
from llmcompiler_graph.evaluation.plots import accuracy_against_latency, draw_all, latencies, timelines
from llmcompiler_graph.evaluation.records import Record
from llmcompiler_graph.evaluation.report import markdown, read_all, tables, write
from llmcompiler_graph.evaluation.systems.react import react


def record(number: int, system: str, **values: Any) -> Record:
    """The record of an example: LLMCompiler is right on the even ones in 2 s, ReAct on every third in 5 s."""
    ours = system == "llm_compiler"
    given: dict[str, Any] = {
        "correct": float(number % (2 if ours else 3) == 0),
        "lenient": 1.0,
        "wall_s": (2.0 if ours else 5.0) * (1 + number),
        "model_calls": 2 if ours else 3,
        "tokens_in": 100 if ours else 400,
        "tokens_out": 20,
        "cost_usd": 0.001,
        "timeline": (
            {"kind": "model", "name": "model", "start": 0.0, "finish": 1.0},
            {"kind": "tool", "name": "1. search", "start": 0.5, "finish": 1.5},
        ),
        **values,
    }
    return Record(
        id=str(number), benchmark="parallelqa", system=system, model="local", answer="", **{"tier": "live", **given}
    )


RECORDS = [record(number, system) for system in ("llm_compiler", "react") for number in range(12)]


def test_means_and_comparison() -> None:
    """Shares, ratios and tests are those of the records; ReAct is what the others are compared with."""
    (table,) = tables(RECORDS)
    ours, theirs = table.rows
    assert (ours.system, ours.examples, ours.correct.mean) == ("llm_compiler", 12, 0.5)
    assert theirs.correct.mean == pytest.approx(1 / 3)
    assert ours.latency_s.mean == pytest.approx(13)
    assert ours.usd_per_1000 == pytest.approx(1)
    (against,) = table.comparisons
    assert (against.system, against.baseline, against.averages.examples) == ("llm_compiler", "react", 12)
    assert against.correct.mean == pytest.approx(1 / 6)
    assert against.speedup == pytest.approx((2.5, 2.5, 2.5))
    assert against.tokens == pytest.approx((3.5, 3.5, 3.5))
    assert against.mcnemar == pytest.approx(0.6875)  # 4 against 2
    assert against.mcnemar_lenient == 1


def test_react_is_the_baseline_by_the_name_it_has_in_records() -> None:
    """ReAct† comes before ReAct, as in the paper; a system that is named comes before both."""
    dagger = react(dagger=True).name
    records = [*RECORDS, *(record(number, dagger) for number in range(12))]
    assert {each.baseline for each in tables(records)[0].comparisons} == {dagger}
    assert {each.baseline for each in tables(RECORDS)[0].comparisons} == {react().name}
    assert {each.baseline for each in tables(records, "llm_compiler")[0].comparisons} == {"llm_compiler"}


def test_a_baseline_without_records_is_refused() -> None:
    """A misspelled name is an error that says which systems there are, not a report without comparisons."""
    with pytest.raises(ConfigurationError, match="no record is of 'raect': the systems are llm_compiler, react"):
        tables(RECORDS, "raect")


def test_rewards_are_not_tested_as_if_they_were_right_or_wrong() -> None:
    """McNemar's test is of right and wrong: scores between them have none."""
    graded = [
        record(number, system, lenient=0.9 if system == "react" else 0.5, correct=float(number % 2))
        for system in ("llm_compiler", "react")
        for number in range(12)
    ]
    (table,) = tables(graded)
    (against,) = table.comparisons
    assert (against.mcnemar, against.mcnemar_lenient) == (1, None)
    assert against.lenient.mean == pytest.approx(-0.4)
    assert "| 1.000 | 50.0 / 90.0 | -40.0 [-40.0, -40.0] | — |" in markdown([table])


def test_the_gap_of_a_grammar_is_a_table() -> None:
    """A system that is held to a grammar is compared with itself when it is not, by the names of both."""
    names = ["rewoo", "rewoo[constrain=true]", "react[constrain=true]", "programmatic[constrain=true,other=1]"]
    ours = ["llm_compiler", "llm_compiler[constrain=null]", "llm_compiler[max_replans=1,constrain=null]"]
    records = [
        record(n, name, correct=float(name != "rewoo" and n < 6))
        for name in [*names, *ours, "programmatic[other=1]"]
        for n in range(12)
    ]
    (table,) = tables(records)
    assert [(each.system, each.baseline) for each in table.held] == [
        ("llm_compiler", "llm_compiler[constrain=null]"),
        ("programmatic[constrain=true,other=1]", "programmatic[other=1]"),
        ("rewoo[constrain=true]", "rewoo"),
    ]
    assert table.held[2].shares == pytest.approx((0.5, 0))
    assert "| `rewoo[constrain=true]` | 12 | 50.0 / 0.0 | 50.0 [" in markdown([table])
    (elsewhere,) = tables([replace(each, model="openai:x") for each in records])
    assert [each.system for each in elsewhere.held] == ["programmatic[constrain=true,other=1]", "rewoo[constrain=true]"]


def test_means_and_medians_are_also_of_what_was_answered_within_limits() -> None:
    """A system that was stopped once has a mean over all, and medians and means without that example."""
    answered = [replace(each, answer="K2") for each in RECORDS]
    stopped = replace(answered[12], errors=("stopped after 15 turns",), wall_s=1000.0)
    (table,) = tables([*answered[:12], stopped, *answered[13:]])
    (against,) = table.comparisons
    within = against.within_limits
    assert within is not None
    assert (against.averages.examples, within.examples) == (12, 11)
    assert against.averages.mean_s[1] == pytest.approx((1000 + 5 * sum(range(2, 13))) / 12)
    assert within.mean_s == pytest.approx((14, 35))
    assert within.median_s == pytest.approx((14, 35))
    assert within.mean_tokens == pytest.approx((120, 420))
    assert within.median_tokens == pytest.approx((120, 420))
    assert "| 11 | 14.0 / 35.0 | 14.0 / 35.0 | 120 / 420 | 120 / 420 |" in markdown([table])


def test_only_what_both_answered_is_compared() -> None:
    """Examples that one system has not are in its own mean, not in the comparison."""
    (table,) = tables(RECORDS[:18])
    assert [row.examples for row in table.rows] == [12, 6]
    assert table.comparisons[0].averages.examples == 6
    (table,) = tables([RECORDS[0], RECORDS[-1]])
    assert table.comparisons == ()


def test_tiers_benchmarks_models_and_plans_are_never_mixed() -> None:
    """Each tier, benchmark and model has a table of its own that names it, and so have plans."""
    mixed = [
        *RECORDS,
        record(0, "react", tier="recorded", virtual_s=3.0, wall_s=0.01),
        record(0, "llm_compiler", plan_only=True, parsed=True, references_right=False, correct=0.0),
    ]
    made = tables(mixed)
    of = [(table.setting.tier, table.setting.plan_only) for table in made]
    assert of == [("live", False), ("live", True), ("recorded", False)]
    assert made[2].rows[0].latency_s.mean == 3
    text = markdown(made)
    assert "Tier: **recorded**. Model: `local`. Latency in virtual seconds." in text
    assert "| `llm_compiler` | 1 | 100.0 | 0.0 [0.0, 0.0] |" in text


def test_temperatures_and_seeds_are_never_mixed(tmp_path: Path) -> None:
    """Each has a table and plots of its own, and says which it is of."""
    records = [
        record(number, "react", temperature=temperature, seed=seed)
        for number in range(3)
        for temperature, seed in ((0.7, None), (0.0, 10_000_000), (0.0, 9), (None, None))
    ]
    made = tables(records)
    of = [(table.setting.temperature, table.setting.seed) for table in made]
    assert of == [(None, None), (0, 9), (0, 10_000_000), (0.7, None)]
    assert [table.rows[0].examples for table in made] == [3] * 4
    text = markdown(made)
    for said in ("`local`. Latency", "`local`, temperature 0, seed 9. Latency", "`local`, temperature 0.7. Latency"):
        assert said in text
    names = {path.name for path in draw_all(made, records, tmp_path)}
    assert len(names) == 12
    assert "live-parallelqa-local-temperature-0-seed-10000000-latency.png" in names


@pytest.mark.parametrize(
    ("values", "right", "clock"),
    [
        ({}, "right, paper's metric, %", "wall-clock seconds"),
        ({"tier": "recorded", "virtual_s": 3.0}, "right, paper's metric, %", "virtual seconds"),
        ({"plan_only": True}, "structure right, %", "wall-clock seconds"),
    ],
)
def test_plots_say_what_is_right_and_whose_seconds_they_show(values: dict[str, Any], right: str, clock: str) -> None:
    """The axes are those of the table: of plans the structure is right, and a replay's seconds are virtual."""
    records = [record(number, "react", **values) for number in range(3)]
    (table,) = tables(records)
    accuracy = accuracy_against_latency(table).axes[0]
    assert (accuracy.get_xlabel(), accuracy.get_ylabel()) == (f"latency, {clock}", right)
    assert latencies(table, records).axes[0].get_xlabel() == f"latency, {clock}"
    timeline = timelines(table, records)
    assert timeline is not None
    assert timeline.axes[-1].get_xlabel().startswith(f"{clock} (")


def test_an_example_that_was_asked_three_times_counts_once() -> None:
    """The mean over its runs is its value: more runs do not make the interval smaller than the examples allow."""
    once = [record(number, "react") for number in range(12)]
    thrice = [record(number, "react", repeat=repeat) for number in range(12) for repeat in range(3)]
    assert tables(once)[0].rows[0].correct == tables(thrice)[0].rows[0].correct
    assert tables(thrice)[0].rows[0].runs == 3


def test_tokens_that_were_not_counted_are_not_zero() -> None:
    """With one unmetered call, a system has no mean of tokens."""
    (table,) = tables([*RECORDS[:-1], record(11, "react", unmetered_calls=1)])
    assert table.rows[1].tokens_in is None
    assert table.comparisons[0].tokens is None
    assert "| — |" in markdown([table])


def test_costs_say_whose_prices_they_are_by() -> None:
    """Below a table with costs stands where the prices are from: each of them, if there were several."""
    text = markdown(
        tables([*RECORDS, record(12, "react", price="2024-10, me"), record(13, "react", price="2025-01, her")])
    )
    assert "\nPrices: 2024-10, me; 2025-01, her.\n" in text
    assert "Prices" not in markdown(tables(RECORDS))


def test_files(tmp_path: Path) -> None:
    """Markdown, JSON and each plot as PNG and SVG; the JSON has the figures by name."""
    source = tmp_path / "runs.jsonl"
    source.write_text("".join(each.to_json() + "\n" for each in RECORDS), encoding="utf-8")
    records = read_all([source, source])
    assert records == RECORDS
    made = tables(records)
    write(made, tmp_path / "report")
    data = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert (data[0]["setting"]["tier"], data[0]["rows"][0]["correct"]["mean"]) == ("live", 0.5)
    drawn = draw_all(made, records, tmp_path / "report")
    assert [path.name for path in drawn] == [
        "live-parallelqa-local-accuracy.png",
        "live-parallelqa-local-latency.png",
        "live-parallelqa-local-timeline.png",
    ]
    assert all(path.stat().st_size > 5000 and path.with_suffix(".svg").exists() for path in drawn)
