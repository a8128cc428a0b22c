"""The benchmarks over the real datasets: they load, their examples fit their tools, gold plans pass their checks."""

from collections import Counter
from pathlib import Path

import pytest
from langchain_core.tools import ToolException

from llmcompiler_graph import create_llm_compiler, parse_plan
from llmcompiler_graph.evaluation.benchmarks.hotpotqa import HOTPOTQA, HOTPOTQA_BRIDGE, HOTPOTQA_OFFLINE
from llmcompiler_graph.evaluation.benchmarks.movie import MOVIE
from llmcompiler_graph.evaluation.benchmarks.parallelqa import PARALLELQA
from llmcompiler_graph.evaluation.benchmarks.webshop import WEBSHOP
from llmcompiler_graph.evaluation.data import DataError
from llmcompiler_graph.evaluation.records import Benchmark, Sample
from tests.shared import shared

ALL = [HOTPOTQA, HOTPOTQA_BRIDGE, HOTPOTQA_OFFLINE, MOVIE, PARALLELQA]
WITH_A_SHOP = [*ALL, WEBSHOP]


@pytest.fixture(scope="module")
def data() -> Path:
    """The directory of the datasets."""
    return shared("data")


def sample(benchmark: Benchmark, data: Path, number: int = 0) -> Sample:
    """One sample."""
    return benchmark.load(data)[number]


@pytest.mark.parametrize(
    ("benchmark_", "count"),
    [(HOTPOTQA, 1487), (HOTPOTQA_BRIDGE, 85), (HOTPOTQA_OFFLINE, 118), (MOVIE, 500), (PARALLELQA, 57)],
    ids=lambda value: value.name if isinstance(value, Benchmark) else None,
)
def test_every_sample_loads(benchmark_: Benchmark, count: int, data: Path) -> None:
    """The dataset is whole, ids are unique, and nothing is empty."""
    samples = benchmark_.load(data)
    assert len({each.id for each in samples}) == len(samples) == count
    assert all(each.question and each.gold for each in samples)


@pytest.mark.parametrize("benchmark_", WITH_A_SHOP, ids=lambda each: each.name)
def test_the_worked_examples_fit_the_tools(benchmark_: Benchmark, data: Path) -> None:
    """A graph can be made of a benchmark's tools and examples, which it checks."""
    create_llm_compiler("local", benchmark_.tools(sample(benchmark_, data), "local"), examples=benchmark_.examples)


@pytest.mark.parametrize("benchmark_", ALL, ids=lambda each: each.name)
def test_a_gold_answer_is_right(benchmark_: Benchmark, data: Path) -> None:
    """The label itself scores 1 by both metrics, an empty answer 0."""
    for each in benchmark_.load(data)[:100]:
        right, wrong = benchmark_.score(str(each.gold), each), benchmark_.score("", each)
        assert (right.paper, right.lenient, wrong.paper, wrong.lenient) == (1, 1, 0, 0)


@pytest.mark.parametrize("benchmark_", ALL, ids=lambda each: each.name)
def test_no_worked_example_is_about_a_question(benchmark_: Benchmark, data: Path) -> None:
    """What the examples search for, no question asks about (but for what most of a family's questions share)."""
    asked = " ".join(each.question for each in benchmark_.load(data))
    for example in benchmark_.examples:
        for task in parse_plan(example.plan):
            if task.tool == "search":
                assert str(next(iter(task.arguments.values()))) not in asked


def test_a_data_directory_that_lacks_a_file_is_an_error_that_says_where_it_is(tmp_path: Path) -> None:
    """The error names the file, the directory and the official address."""
    with pytest.raises(DataError, match=r"parallelqa_dataset\.json.*raw\.githubusercontent\.com"):
        PARALLELQA.load(tmp_path)
    with pytest.raises(DataError, match="hotpotqa_offline"):
        HOTPOTQA_OFFLINE.load(None)


class TestParallelQA:
    """What is particular about ParallelQA."""

    def test_the_things_asked_about_are_known_and_found(self, data: Path) -> None:
        """Each question names as many things as it branches to, or more, and `search` has each of them."""
        for each in PARALLELQA.load(data):
            search = PARALLELQA.tools(each, "local")[0]
            assert len(each.entities) >= each.metadata["branch"] or each.id == "109"
            assert all(search.invoke(name)["name"] == name for name in each.entities)

    def test_the_packages_own_facts_will_do(self, data: Path, tmp_path: Path) -> None:
        """Without a file of facts, `search` has everything that is asked about, with the measure that is asked for."""
        (tmp_path / "llmcompiler").mkdir()
        name = "llmcompiler/parallelqa_dataset.json"
        (tmp_path / name).write_bytes((data / name).read_bytes())
        for each, theirs in zip(PARALLELQA.load(tmp_path), PARALLELQA.load(data), strict=True):
            search, other = (PARALLELQA.tools(one, "local")[0] for one in (each, theirs))
            for entity in each.entities:
                assert set(other.invoke(entity)) <= set(search.invoke(entity))

    def test_a_name_of_two_things_is_neither(self, data: Path) -> None:
        """A search for a name that two things have finds neither: `search` does not guess."""
        search = PARALLELQA.tools(sample(PARALLELQA, data), "local")[0]
        with pytest.raises(ToolException, match="'Congo River' or 'Congo Rainforest'"):
            search.invoke("Congo")

    @pytest.mark.parametrize(
        ("plan", "right"),
        [
            (
                '1. search("Mariana Trench")\n2. search("Puerto Rico Trench")\n3. calculate("{m} * 0.8 < {p} * 1.2")',
                True,
            ),
            ('1. search("Puerto Rico Trench")\n2. search("Mariana Trench")\n3. calculate("{m} < {p}")', True),
            ('1. search("Mariana Trench")\n2. search("Puerto Rico Trench")', False),
            ('1. search("Mariana Trench")\n2. search("Puerto Rico Trench")\n3. calculate("{m} * 0.8")', False),
            ('1. search("Mariana Trench")\n2. search("Puerto Rico Trench")\n3. calculate("$1 < $2")', False),
            ('1. search("Mariana Trench")\n2. search("Sunda Trench")\n3. calculate("{m} < {p}")', False),
            (
                '1. search("Mariana Trench")\n2. search("Puerto Rico Trench")\n'
                """3. calculate("argmin({{'Puerto Rico Trench': {m}}})")\n4. calculate("$3 + {p}")""",
                False,
            ),
        ],
    )
    def test_the_structure_of_plans(self, plan: str, right: bool, data: Path) -> None:
        """Exactly the right lookups, by field, all combined; a text does not name what its task never reaches."""
        first = sample(PARALLELQA, data)
        assert first.entities == ("Mariana Trench", "Puerto Rico Trench")
        assert PARALLELQA.check_plan is not None
        text = plan.format(m="${1.depth_m}", p="${2.depth_m}")
        assert PARALLELQA.check_plan(parse_plan(text), first) is right


class TestMovie:
    """What is particular about Movie Recommendation."""

    def test_each_question_names_eight_films(self, data: Path) -> None:
        """Every question of Movie names eight films; titles with a comma are not taken for two."""
        counts = Counter(len(each.entities) for each in MOVIE.load(data))
        assert counts == {8: 500}
        assert all("Monsters" not in each.entities for each in MOVIE.load(data))

    def test_eight_searches_are_right_and_seven_are_not(self, data: Path) -> None:
        """The plan of a Movie question is right if it searches for every film once."""
        first = sample(MOVIE, data)
        assert MOVIE.check_plan is not None
        lines = [f'{n}. search("{title}")' for n, title in enumerate(first.entities, 1)]
        assert MOVIE.check_plan(parse_plan("\n".join(lines)), first)
        assert not MOVIE.check_plan(parse_plan("\n".join(lines[:7])), first)
        assert not MOVIE.check_plan(parse_plan("\n".join([*lines[:7], lines[0].replace("1.", "8.")])), first)


class TestHotpotQA:
    """What is particular about HotpotQA."""

    def test_recorded_paragraphs_are_found_by_name(self, data: Path) -> None:
        """The two articles of a question are found, with or without a bracketed addition; another is not."""
        asked = {each.id: each for each in HOTPOTQA_OFFLINE.load(data)}
        both = next(each for each in asked.values() if "Ian Hunter and Rob Thomas" in each.question)
        search = HOTPOTQA.tools(both, "local")[0]
        assert "rock" in search.invoke("Ian Hunter")
        assert search.invoke("Nobody at All").startswith("Could not find Nobody at All.")

    def test_two_searches_of_the_two_names(self, data: Path) -> None:
        """The plan searches for the two entities in any order; words beside a name are forgiven, a third search not."""
        first = sample(HOTPOTQA, data)
        assert first.entities == ("Scott Derrickson", "Ed Wood")
        assert HOTPOTQA.check_plan is not None
        both = '1. search("Ed Wood nationality")\n2. search("Scott Derrickson")'
        assert HOTPOTQA.check_plan(parse_plan(both), first)
        assert not HOTPOTQA.check_plan(parse_plan(both + '\n3. search("nationality")'), first)


class TestWebShop:
    """What is particular about WebShop."""

    def test_buying_what_was_meant_is_worth_all(self, data: Path) -> None:
        """The goal's own product and options have a reward of 1 for each of the 500 test goals; no purchase has 0."""
        samples = WEBSHOP.load(data)
        assert len(samples) == 500
        for each in samples:
            assert isinstance(each.gold, dict)
            options = each.gold["options"]
            assert isinstance(options, dict)
            chosen = "; ".join(f"{name}: {value}" for name, value in options.items())
            assert WEBSHOP.score(f"{each.gold['item']}; {chosen}", each).paper == 1
        assert WEBSHOP.score("nothing fits", samples[0]).lenient == 0

    def test_options_that_were_not_chosen_cost(self, data: Path) -> None:
        """The right product without its options has a part of the score, and is no success."""
        each = next(each for each in WEBSHOP.load(data) if isinstance(each.gold, dict) and each.gold["options"])
        assert isinstance(each.gold, dict)
        given = WEBSHOP.score(f"I buy {each.gold['item']}", each)
        assert given.paper == 0
        assert 0 < given.lenient < 1

    def test_tools(self, data: Path) -> None:
        """`search` gives ten products at most, `explore` opens one by its id in any case, and knows no others."""
        first = WEBSHOP.load(data)[0]
        search, explore = WEBSHOP.tools(first, "local")
        hits = search.invoke(first.question)
        assert 1 <= len(hits) <= 10
        assert explore.invoke(hits[0]["item"].lower())["title"] == hits[0]["title"]
        with pytest.raises(ToolException, match="there is no product 'B000000000'"):
            explore.invoke("B000000000")
