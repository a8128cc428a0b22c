"""Plans that are right stay right, and what a question's wording leaves open is not completed."""

import json
import random
import re
from collections.abc import Iterator, Mapping

import pytest

from llmcompiler_graph.tools import calculate
from tests.core.checking.test_answers import FIELD, doubted

REFERENCE = re.compile(r"\$\{(\d+)\.(\w+)\}")
Values = Mapping[tuple[str, str], float]


def looked_up(*names: str) -> str:
    """The lookups of some things."""
    return "".join(f"{n}. search(entity={json.dumps(name)})\n" for n, name in enumerate(names, 1))


def as_plan(names: list[str], program: str) -> str:
    """A program with things and fields, as a plan's last task."""
    text = FIELD.sub(lambda match: f"${{{names.index(match[1]) + 1}.{match[2]}}}", program)
    return f"{looked_up(*names)}{len(names) + 1}. calculate(expression={json.dumps(text)})"


def drawn(names: list[str]) -> Iterator[Values]:
    """Numbers for the fields of things, far from each other and near."""
    for seed in range(8):
        numbers = random.Random(seed)
        fields = ("area_km2", "depth_m", "height_m", "length_km", "population", "max_speed_km_h")
        yield {
            (name, field): round(numbers.uniform(10, 20 + 500 * (seed % 2)), 1) for name in names for field in fields
        }


def value(text: str, names: list[str], values: Values) -> object:
    """What a calculation comes to."""
    found: object = calculate.invoke(REFERENCE.sub(lambda match: str(values[names[int(match[1]) - 1], match[2]]), text))
    return found


def assert_stays_right(question: str, program: str, *others: str) -> None:
    """Assert that a plan with a right program comes to the same after the check, whatever the numbers."""
    names = list(dict.fromkeys([*(name for name, _ in FIELD.findall(program)), *others]))
    doubt = doubted(question, as_plan(names, program))
    if doubt is None:
        return
    for values in drawn(names):
        right = value(as_plan(names, program).rpartition("expression=")[2][1:-2].replace('\\"', '"'), names, values)
        assert value(doubt.text, names, values) == pytest.approx(right), doubt.text


ERIE, ONEGA = "{Erie.area_km2}", "{Onega.area_km2}"
K2, LHOTSE = "{K2.height_m}", "{Lhotse.height_m}"
PERU, CHILE = "{Peru.population}", "{Chile.population}"
RATIOS = "{Loire.length_km} / {Rhine.length_km}, {Elbe.length_km} / {Po.length_km}"
OF_RATIOS = "ratio of the Loire to the Rhine, and of the Elbe to the Po"
MERGED = "({Peru.population} + {Chile.population}) / ({Peru.area_km2} + {Chile.area_km2})"
DENSITIES = "{Peru.population} / {Peru.area_km2}, {Chile.population} / {Chile.area_km2}"


@pytest.mark.parametrize(
    ("question", "program"),
    [
        ("Erie shrinks to 30% of its area. How large is it then?", f"{ERIE} * 0.3"),
        ("If Erie grew to 120% of its area, how much larger would it be than Onega?", f"{ERIE} * 1.2 - {ONEGA}"),
        ("If Erie slowed to 80%, how much larger would it be than Onega?", f"{ERIE} * 0.8 - {ONEGA}"),
        ("The lower 30% of K2 are forest. How many metres are that?", f"{K2} * 0.3"),
        ("A boat went down 30% of the Loire. How far was that?", "{Loire.length_km} * 0.3"),
        ("A swimmer raises money by swimming 30% of the Loire. How far is that?", "{Loire.length_km} * 0.3"),
        ("A climber has 30% of K2 left to go up. How high is that?", f"{K2} * 0.3"),
        ("A race along 40% of the Loire is 10% shorter than planned. How long is it?", "{Loire.length_km} * 0.4"),
        ("If Erie were 20% smaller than Onega, how large would it be?", f"{ONEGA} * 0.8"),
        ("If Erie were 5% larger than Onega, how large would both be?", f"{ONEGA} * 1.05 + {ONEGA}"),
        ("If Erie grew by 10% of Onega's area, how large would it be?", f"{ERIE} + {ONEGA} * 0.1"),
        ("If Erie grew by half, how large would it and Onega be in total?", f"{ERIE} * 1.5 + {ONEGA}"),
        ("If Erie were twice as small, how large would it and Onega be in total?", f"{ERIE} * 0.5 + {ONEGA}"),
        ("If Erie were twice smaller, how large would it and Onega be in total?", f"{ERIE} / 2 + {ONEGA}"),
    ],
)
def test_a_share_or_what_remains_is_no_change(question: str, program: str) -> None:
    """`To 30%`, `30% of` a thing, and so much more or less than another thing are not changes by that much."""
    assert_stays_right(question, program, "Onega")


@pytest.mark.parametrize(
    ("question", "program"),
    [
        ("Erie holds half the fish of the land. What is the total area of Erie and Onega?", f"{ERIE} + {ONEGA}"),
        ("Erie's budget has grown by 10%. How much larger than Onega is it?", f"{ERIE} - {ONEGA}"),
        ("Erie's visitors doubled. Is it larger than Onega?", f"{ERIE} > {ONEGA}"),
        ("Erie had 20% fewer visitors. Is it larger than Onega?", f"{ERIE} > {ONEGA}"),
        ("The number of visitors to Erie rose by 30%. Is Erie larger than Onega?", f"{ERIE} > {ONEGA}"),
        ("Consider Erie and Onega. Ticket prices rise by 5%. What is their total area?", f"{ERIE} + {ONEGA}"),
        ("Consider Erie. Tickets there rise by 5%. How much larger than Onega is it?", f"{ERIE} - {ONEGA}"),
        ("If Erie became 20% deeper, would it have a larger area than Onega?", f"{ERIE} > {ONEGA}"),
        ("Erie's population grew by 20%. Has it a larger area than Onega?", f"{ERIE} > {ONEGA}"),
        ("If Peru lost 5% of its area, what would be the ratio of its people to Chile's?", f"{PERU} / {CHILE}"),
        ("If K2 did not grow by 10%, how much higher would it be than Lhotse?", f"{K2} - {LHOTSE}"),
        ("Unless K2 grows by 10%, how much higher is it than Lhotse?", f"{K2} - {LHOTSE}"),
    ],
)
def test_a_change_of_something_else_is_left_out(question: str, program: str) -> None:
    """What a question tells of visitors, prices, another measure, or as not so, changes nothing that is calculated."""
    assert_stays_right(question, program)


@pytest.mark.parametrize(
    ("question", "program"),
    [
        ("What is the mean area of Erie and Onega?", f"0.5 * ({ERIE} + {ONEGA})"),
        ("What is the average area of Erie and Onega?", f"{ERIE} * 0.5 + {ONEGA} * 0.5"),
        ("What is the ratio of K2 to the average of Lhotse and Erie?", f"2 * {K2} / ({LHOTSE} + {ERIE})"),
        ("What is the weighted average of K2 (30%) and Lhotse (70%)?", f"{K2} * 0.3 + {LHOTSE} * 0.7"),
        ("What is the harmonic mean of K2 and Lhotse?", f"2 * {K2} * {LHOTSE} / ({K2} + {LHOTSE})"),
        ("On average lakes shrink. What is the sum of the areas of Erie and Onega?", f"{ERIE} + {ONEGA}"),
        ("What is the signed difference between Erie's area and Onega's?", f"{ERIE} - {ONEGA}"),
        ("What is the difference in height from K2 to Lhotse, negative for a descent?", f"{LHOTSE} - {K2}"),
        ("If K2 were 20% lower than Lhotse, how much lower would it be than it is?", f"{K2} - {LHOTSE} * 0.8"),
        ("What percentage is K2's height of Lhotse's?", f"{K2} / {LHOTSE} * 1e2"),
        ("What percentage is K2's height of Lhotse's?", f"{K2} / (0.01 * {LHOTSE})"),
        ("How many percent higher is K2 than Lhotse, as a decimal fraction?", f"{K2} / {LHOTSE} - 1"),
        ("What is the ratio of the heights of K2 and Lhotse, both in kilometres?", f"{K2} / {LHOTSE}"),
        ("How many times would K2 in kilometres be higher than Lhotse?", f"{K2} / {LHOTSE}"),
        ("What is the ratio of the population in millions of Peru to Chile's?", f"{PERU} / {CHILE}"),
        ("What is the total of K2, Lhotse and Erie, the highest of the land?", f"{K2} + {LHOTSE} + {ERIE}"),
        ("If K2 grew by 10%, which it cannot, would it be higher than Lhotse?", f"{K2} * 1.1 > {LHOTSE}"),
    ],
)
def test_what_is_made_in_another_way_is_not_made_again(question: str, program: str) -> None:
    """Averages by a factor, other means, signs and fractions that are asked for, and ratios without a unit stay."""
    assert_stays_right(question, program)


@pytest.mark.parametrize(
    ("question", "program"),
    [
        (f"What is the second largest {OF_RATIOS}?", f"min({RATIOS})"),
        (f"What is not the largest {OF_RATIOS}, but the other?", f"min({RATIOS})"),
        (f"What is twice the largest {OF_RATIOS}?", f"2 * max({RATIOS})"),
        (f"What is the inverse of the largest {OF_RATIOS}?", f"1 / max({RATIOS})"),
        (
            f"If the Loire were a third shorter, what would be the largest {OF_RATIOS}?",
            "max({Loire.length_km} * 2 / 3 / {Rhine.length_km}, {Elbe.length_km} / {Po.length_km})",
        ),
        ("If Peru and Chile never merged, what would be the larger density?", f"max({DENSITIES})"),
        ("Peru and Chile will not unite. What is the average of their densities?", f"mean({DENSITIES})"),
        ("In the United States of Peru and Chile, what was the larger density?", f"max({DENSITIES})"),
        ("If the armies of Peru and Chile merged, what would be the larger density?", f"max({DENSITIES})"),
        ("If Peru and Chile merged their banks, what would be the larger density?", f"max({DENSITIES})"),
        ("If Peru and Chile merged and a third of the people left, what would be its density?", f"{MERGED} * 2 / 3"),
        ("If Peru and Chile merged, what would be the inverse of its density?", f"1 / ({MERGED})"),
        (
            "If Peru and Chile merged, with Cuba and Haiti staying apart, what would be the smallest density?",
            f"min({MERGED}, {{Cuba.population}} / {{Cuba.area_km2}}, {{Haiti.population}} / {{Haiti.area_km2}})",
        ),
    ],
)
def test_pairs_and_what_becomes_one_in_other_words(question: str, program: str) -> None:
    """Other extremes, what is made of them, and things that do not become one, are not taken for the plain question."""
    assert_stays_right(question, program)


@pytest.mark.parametrize(
    "question",
    [
        "Is Erie more than 30% larger than Onega?",
        "Is Erie larger than a third of Onega?",
        "Is Erie larger than 1/3 of Onega?",
        "Is Erie larger than 2x Onega?",
        "Is Erie larger than ten percent of Onega?",
        "Is Erie smaller than five times Onega?",
        "Is Erie larger than half as much again as Onega?",
        "Is Erie at least half as large as Onega?",
        "Is Erie at most 10% smaller than Onega?",
        "Is it false that Erie is larger than Onega?",
        "Is it wrong to say that Erie is larger than Onega?",
        "Does Erie fail to be larger than Onega?",
        "Is Erie less small than Onega?",
        "Is Erie more shallow than Onega?",
        "Would Erie be larger than Onega after losing half of its area?",
        "Which is not larger than Onega: Erie or Onega?",
        "Which of the two, Erie or Onega, isn't the larger one?",
        "Which is the less shallow one, Erie or Onega?",
        "Which is closer in area to K2, Erie or Onega?",
        "Which is the second largest, Erie or Onega?",
        "Which is larger than K2, Erie or Onega?",
        "Which differs most from K2, Erie or Onega?",
        "Other than K2, which is the largest, Erie or Onega?",
        "Which of Erie and Onega is at least as large as K2?",
        "Which pair has the larger total, Erie and Onega or K2 and Lhotse?",
        "If Erie grew by ten percent, which would be larger, it or Onega?",
        "If Erie grew five times, which would be larger, it or Onega?",
        "If all but Erie grew by 10%, which would be larger, Erie or Onega?",
        "If Erie as well as Onega grew by 10%, which would be larger?",
        "If Erie and Onega grew by 10%, which would be larger?",
        "If the former of Erie and Onega shrank by 10%, which would be larger?",
        "Erie, which is smaller than Onega, grows by 10%. Which is larger then?",
        "If Erie had twice the area of Onega, which of the two would be larger?",
    ],
)
@pytest.mark.parametrize("program", [f"{ERIE} - {ONEGA}", f"max({ERIE}, {ONEGA})"])
def test_a_name_or_a_truth_in_uncertain_words_is_not_completed(question: str, program: str) -> None:
    """Negations, shares of shares, other numbers in words, ordinals and lists of things leave a choice."""
    assert doubted(question, as_plan(["Erie", "Onega"], program)) is None


@pytest.mark.parametrize(
    ("question", "program"),
    [
        ("What is the average of the ratios of Erie to Onega and Onega to K2?", f"{ERIE} + {ONEGA}"),
        ("By what percentage is Erie larger than Onega?", f"{ERIE} / {ONEGA}"),
        ("If Peru's population grew by 5%, what would be its density?", "{Peru.population} / {Peru.area_km2}"),
        ("If Erie and Onega grew by 10%, what would be their total area?", f"{ERIE} + {ONEGA}"),
        ("If both Erie and Onega doubled, what would be their total area?", f"{ERIE} + {ONEGA}"),
        ("If Erie lost a quarter and Onega 5%, what would be the total area?", f"{ERIE} * 0.75 + {ONEGA}"),
    ],
)
def test_a_number_in_uncertain_words_is_not_completed(question: str, program: str) -> None:
    """A change of several things, of one of several measures, or of a ratio is not put in by guess."""
    names = list(dict.fromkeys(name for name, _ in FIELD.findall(program)))
    assert doubted(question, as_plan(names, program)) is None


def test_among_differences_which_is_the_largest_is_not_asked_of_the_things() -> None:
    """Where the relation stands before the question, an extreme of the things themselves is not what is asked."""
    question = "Among the differences between Erie, Onega and Peru, which value is the largest?"
    assert (
        doubted(question, looked_up("Erie", "Onega", "Peru") + '4. calculate("${1.area_km2} - ${2.area_km2}")') is None
    )


GROWN = "If Erie grew by 5%, how much larger would it be than Onega?"
LOST = "If Erie lost 5% of its area, how much larger would it be than Onega?"
DOUBLED = "If Erie doubled, how much larger would it be than Onega?"


@pytest.mark.parametrize(
    ("question", "changed"),
    [
        (GROWN, f"{ERIE} + {ERIE} / 20"),
        (GROWN, f"{ERIE} * 21 / 20"),
        (GROWN, f"{ERIE} * (1 + 5 / 100)"),
        (GROWN, f"{ERIE} * 105 / 100"),
        (LOST, f"{ERIE} - {ERIE} / 20"),
        (LOST, f"{ERIE} / 100 * 95"),
        (LOST, f"{ERIE} * .95"),
        (DOUBLED, f"{ERIE} + {ERIE}"),
        (DOUBLED, f"{ERIE} / 0.5"),
        (DOUBLED, f"{ERIE} * (1 + 1)"),
        (DOUBLED, f"sum({ERIE}, {ERIE})"),
        ("If Erie tripled, how much larger would it be than Onega?", f"{ERIE} + 2 * {ERIE}"),
        ("If Erie halved, how much larger would it be than Onega?", f"{ERIE} - {ERIE} / 2"),
        ("How much larger is Erie, in thousands, than Onega?", f"{ERIE} / 10 ** 3"),
        ("How many kilometres is K2's height more than Onega's?", "{K2.height_m} * 1e-3"),
        ("How many kilometres is K2's height more than Onega's?", "{K2.height_m} / 10 ** 3"),
        ("How many kilometres is K2's height more than Onega's?", "{K2.height_m} / 100 / 10"),
        ("How many kilometres is K2's height more than Onega's?", "{K2.height_m} / (20 * 50)"),
    ],
)
def test_a_change_may_be_calculated_in_another_form(question: str, changed: str) -> None:
    """What a question tells of is not put in again where the calculation has it in other numbers."""
    assert_stays_right(question, changed if "K2" in changed or "**" in changed else f"{changed} - {ONEGA}", "Onega")


@pytest.mark.parametrize(
    "told",
    [
        "A model of Erie is enlarged by 10%.",
        "The fish in Erie increased by 10%.",
        "Fishing on Erie declined by 10%.",
        "The town at Erie grew by 10%.",
        "Tourism around Erie doubled.",
        "Erie lost 10% of its ice.",
        "Erie lost half its fish.",
        "Erie doubled its entrance fee.",
        "Erie doubles as a border.",
        "Erie is twice as dangerous now.",
        "A boat on Erie rises 2 times a night.",
        "Air pressure drops by 10% on Erie.",
        "On Erie 10% lower temperatures were measured.",
        "Those who cross Erie increased by 10%.",
        "If Erie weighed 10% more, that would change little.",
        "Someone claims that Erie has grown by 10%, which is a lie.",
        "Erie has, it is said, grown by 10%.",
    ],
)
def test_a_change_of_something_at_a_thing_is_none_of_it(told: str) -> None:
    """What is of, in or at a thing is not the thing, and what is only claimed is not so."""
    assert_stays_right(f"{told} How much larger is Erie than Onega?", f"{ERIE} - {ONEGA}")


@pytest.mark.parametrize(
    "question",
    [
        "If Erie shrank by 10% and Onega did too, what would be their total area?",
        "If Erie shrank by 10%, like Onega, what would be their total area?",
        "If Erie shrank by 10% as Onega had, what would be their total area?",
        "If Erie, and with it Onega, shrank by 10%, what would be their total area?",
        "What is the sum of Erie and Onega, 10% larger than now?",
        "Onega lies next to Erie, which shrinks by 10%. What is their total area?",
        "What is the area of the larger of Erie and Onega, less 10%?",
        "What is the average of Erie and Onega, lowered by 10%?",
        "If Erie shrank by 10% and Onega by twice as much, what would be their total area?",
    ],
)
def test_a_change_of_several_or_of_their_sum_is_not_completed(question: str) -> None:
    """A change that is also another thing's, or that of a sum, an average or the larger one, leaves a choice."""
    assert doubted(question, as_plan(["Erie", "Onega"], f"sum({ERIE}, {ONEGA}) / 1")) is None


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("Tourism doubled.", "What is their total area?"),
        ("Inflation fell by 5%.", "What is the sum of the areas of Erie and Onega?"),
        ("Denmark grew by 5%.", "What is the sum of the areas of Erie and Onega?"),
        ("Canada's GDP grew by 5%.", "What is the sum of the areas of Erie and Onega?"),
        ("If Canada grew by 5%,", "what would be the sum of the areas of Erie and Onega?"),
        ("About 20% more people see them.", "What is the sum of the areas of Erie and Onega?"),
        ("Climate change has increased by 5%.", "What is the sum of the areas of Erie and Onega?"),
    ],
)
def test_what_is_only_told_of_is_not_looked_up(told: str, asked: str) -> None:
    """A thing that the asking part neither names nor points back to, or a word that begins a sentence, is not added."""
    doubt = doubted(f"Consider Erie and Onega. {told} {asked}", as_plan(["Erie", "Onega"], f"{ERIE} + {ONEGA}"))
    assert doubt is None


@pytest.mark.parametrize(
    ("question", "program"),
    [
        ("What is the total area of Erie and Onega? K2 is no part of it.", f"{ERIE} + {ONEGA}"),
        ("K2 aside, what is the total area of Erie and Onega?", f"{ERIE} + {ONEGA}"),
        ("As seen from K2, what is the average area of Erie and Onega?", f"mean({ERIE}, {ONEGA})"),
        ("Take K2, Erie and Onega. How large is the largest, leaving K2 out?", f"max({ERIE}, {ONEGA})"),
    ],
)
def test_what_was_looked_up_and_is_not_asked_of_stays_out(question: str, program: str) -> None:
    """Where the asking part names some of what was looked up, the others are not put in."""
    assert_stays_right(question, program, "K2")


@pytest.mark.parametrize(
    "question",
    [
        "How much larger would Erie be if it were 10% larger?",
        "How many more km2 would Erie have after growing by 10%?",
        "By how much does Erie grow when it grows by 10%?",
        "What is the increase in area of Erie when it grows by 10%?",
    ],
)
@pytest.mark.parametrize("program", [f"{ERIE} * 0.1", ERIE])
def test_a_change_that_is_asked_for_itself_is_not_put_in(question: str, program: str) -> None:
    """What a thing gains or loses is not what it becomes."""
    assert doubted(question, as_plan(["Erie"], program)) is None


@pytest.mark.parametrize(
    ("question", "names", "program"),
    [
        (
            "If Chomolungma grew by 5% and Lhotse by 3%, what would be their total height?",
            ["Mount Everest", "Lhotse"],
            "{Mount Everest.height_m} * 1.05 + {Lhotse.height_m} * 1.03",
        ),
        (
            "What is the larger ratio of the areas of Burma to Chile, and of the UK to Peru?",
            ["Myanmar", "Chile", "United Kingdom", "Peru"],
            "max({Myanmar.area_km2} / {Chile.area_km2}, {United Kingdom.area_km2} / {Peru.area_km2})",
        ),
    ],
)
def test_what_was_looked_up_under_another_name_is_not_looked_up_again(
    question: str, names: list[str], program: str
) -> None:
    """Where a look-up has a name that the question does not have, nothing is certain to be wanting."""
    assert doubted(question, as_plan(names, program)) is None


@pytest.mark.parametrize("percent", ["30%", "30 %", "30 percent", "30 per cent", "30.0%"])
@pytest.mark.parametrize(
    ("question", "program"),
    [
        ("A boat went down {} of the Loire. How far was that?", "{Loire.length_km} * 0.3"),
        ("A canal is extended along {} of the Loire. How far is that?", "{Loire.length_km} * 0.3"),
        ("Erie lost {} of its ice. How much larger is Erie than Onega?", f"{ERIE} - {ONEGA}"),
    ],
)
def test_however_a_percentage_is_written(question: str, program: str, percent: str) -> None:
    """What follows it is read, whether it is a sign or a word."""
    assert_stays_right(question.format(percent), program)


LARGER = f"argmax({{'Erie': {ERIE}, 'Onega': {ONEGA}}})"
SPEED, OTHER = "{Lion.max_speed_km_h}", "{Wolf.max_speed_km_h}"


@pytest.mark.parametrize(
    ("question", "program"),
    [
        # an average that is a quotient, or no average
        ("What is the average number of people on a square kilometre of Peru?", "{Peru.population} / {Peru.area_km2}"),
        ("How much do the average lion of Peru and the average one of Chile weigh?", f"{PERU} + {CHILE}"),
        ("What would a merger of Peru and Chile mean for the number of inhabitants?", f"{PERU} + {CHILE}"),
        ("What is the rain that Erie and Onega get in an average year, put together?", f"{ERIE} + {ONEGA}"),
        # a name is asked for, or a number, and not the other
        ("What is the name of the lake with the larger area, Erie or Onega?", LARGER),
        ("What is the highest salary among Erie and Onega?", f"max({ERIE}, {ONEGA})"),
        ("What was the fastest lap of Lion and Wolf?", f"min({SPEED}, {OTHER})"),
        ("Which score is higher, that of Erie or Onega?", f"max({ERIE}, {ONEGA})"),
        ("In which year did the older of the two, Erie or Onega, open?", f"min({ERIE}, {ONEGA})"),
        ("What is the length of the fastest route, which leads over Erie and Onega?", f"{ERIE} + {ONEGA}"),
        # a sign that is meant
        ("What is the goal difference of Lion and Wolf?", f"{SPEED} - {OTHER}"),
        ("What is the difference of Erie relative to Onega, below zero if Erie is smaller?", f"{ERIE} - {ONEGA}"),
        # in a unit only where that is asked
        (
            "Birds nest in thousands on both. What is the difference in area of Erie and Onega?",
            f"abs({ERIE} - {ONEGA})",
        ),
        ("Fish come in millions to Erie. What is the sum of the areas of Erie and Onega?", f"{ERIE} + {ONEGA}"),
        # percent in another form
        ("What percentage of Onega is Erie?", f"{ERIE} / {ONEGA} * 10 ** 2"),
        ("What percentage of the mean of Erie and Onega is Erie?", f"200 * {ERIE} / ({ERIE} + {ONEGA})"),
        # a superlative that only describes
        ("What is the population of Peru and Chile, the largest of all, put together?", f"{PERU} + {CHILE}"),
        ("What is the maximum number that Peru, Chile and Lion can carry at once?", f"{PERU} + {CHILE} + {SPEED}"),
        # the part that a thing loses, or what it was
        ("Erie loses 10% of its area. How large is the dry part?", f"{ERIE} * 0.1"),
        ("Erie shrinks by 10%. How many km2 are gone?", f"{ERIE} * 0.1"),
        ("Peru grew by 5%. How many people is that?", f"{PERU} * 0.05"),
        ("Erie shrank by 20% to its present size. What was its area before?", f"{ERIE} * 1.25"),
        # what changes is another thing, or at another time
        ("Peru raised its minimum wage by 10%. How much larger is it than Chile?", f"{PERU} - {CHILE}"),
        ("Peru cut taxes by 10%. How many more people live there than in Chile?", f"{PERU} - {CHILE}"),
        ("Erie tours fell by 10%. How much larger is Erie than Onega?", f"{ERIE} - {ONEGA}"),
        ("Last year Erie was 5% smaller. What is the sum of Erie and Onega this year?", f"{ERIE} + {ONEGA}"),
        ("Lhotse will shrink by 5% by 2100. How much higher is K2 than Lhotse today?", f"{K2} - {LHOTSE}"),
        ("Erie warmed up by 10%. How much larger is Erie than Onega?", f"{ERIE} - {ONEGA}"),
        (
            "In winter the Loire is twice as wide. How much longer is it than the Elbe?",
            "{Loire.length_km} - {Elbe.length_km}",
        ),
        # pairs of densities, and densities of before
        (
            "What is the largest difference in population density: between Peru and Chile, or between Cuba and Haiti?",
            "max(abs({Peru.population} / {Peru.area_km2} - {Chile.population} / {Chile.area_km2}),"
            " abs({Cuba.population} / {Cuba.area_km2} - {Haiti.population} / {Haiti.area_km2}))",
        ),
        (
            "Before Peru and Chile merged, what was the higher density of the two?",
            "max({Peru.population} / {Peru.area_km2}, {Chile.population} / {Chile.area_km2})",
        ),
    ],
)
def test_right_plans_in_other_words(question: str, program: str) -> None:
    """What was found to be made wrong by somebody who looked for it stays right, and so does its like."""
    assert_stays_right(question, program)


@pytest.mark.parametrize(
    ("question", "program"),
    [
        ("K2 is free today. What is the total for K2, Erie and Onega?", f"{ERIE} + {ONEGA}"),
        ("If K2 goes off the grid, what is their total output?", f"{ERIE} + {ONEGA}"),
        ("K2 is closed. What is the total area of the others?", f"{ERIE} + {ONEGA}"),
    ],
)
def test_what_drops_out_is_not_put_in(question: str, program: str) -> None:
    """A thing that a question takes out in its own words stays out of a sum."""
    assert_stays_right(question, program, "K2")
