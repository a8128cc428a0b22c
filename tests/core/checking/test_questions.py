import time

import pytest

from llmcompiler_graph.core.checking.questions import AnswerKind, asked_for, numbers_in, only_asked, unit_number


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("If the Alps grew by 5%, which range would be higher, the Alps or the Andes?", "name"),
        ("Who is the oldest of Ada, Bob and Cleo?", "name"),
        ("What would be the tallest tower if the Shard were doubled?", "name"),
        ("Ada doubles, Bob halves. Name the larger one.", "name"),
        ("What is the ratio of the longest river to the shortest?", "number"),
        ("By how many metres is Everest higher than K2?", "number"),
        ("How large is the smallest island afterwards?", "number"),
        ("What is the smallest depth among the three lakes?", "number"),
        ("Compute the largest ratio of the heights of A to B and of B to C.", "number"),
        ("Which is larger: the mean of A and B, or that of C and D? Answer with the value.", "number"),
        ("Would the Nile still be longer than the Amazon?", "truth"),
        ("If A lost a tenth, is B larger?", "truth"),
        ("Is A longer than B? Answer yes or no.", "truth"),
    ],
)
def test_what_is_asked_for(question: str, kind: AnswerKind) -> None:
    """What the wording says for certain is known, also with instructions about the answer's form behind it."""
    form = "\n\nThe answer is one number without unit, or one name, or yes or no, and nothing else."
    assert asked_for(question) == kind
    assert asked_for(question + form) == kind


@pytest.mark.parametrize(
    "question",
    [
        "Which is higher, and by how many metres?",
        "Tell me about the Alps.",
        "Is A or B larger?",
        "What happened in Rome?",
        "Welcher Berg ist höher, Everest oder K2?",
        "Book the flight, then tell Ada which gate it leaves from?  And what is the price?",
        "Where is the tallest tower?",
        "",
        "Which? " * 2_000,
    ],
)
def test_what_is_not_certain(question: str) -> None:
    """Where the wording leaves open what is asked for, or is of another language, nothing is said."""
    assert asked_for(question) is None


@pytest.mark.parametrize(
    ("question", "numbers"),
    [
        ("A grows by 5%, B by 12.5 percent and C doubles.", ["5%", "12.5%", "doubles"]),
        ("In 1969, how much did 1,200 apples cost?", ["1,200"]),
        ("Changes: 1. A loses 3% 2. B gains 4%. Which is larger?", ["3%", "4%"]),
        ("How high are K2 and Taipei-101, in millions of metres?", ["in millions"]),
        ("The A-380 and the 747-8 carry how many people?", []),
    ],
)
def test_the_numbers_of_a_question(question: str, numbers: list[str]) -> None:
    """Numbers that a calculation must account for are found; names, years and the numbers of a list are none."""
    assert [str(number) for number in numbers_in(question)] == numbers


@pytest.mark.parametrize(
    ("question", "field", "hint"),
    [
        ("By how many kilometres is A higher than B?", "height_m", "`/ 1000`"),
        ("How long are both together, in metres?", "length_km", "`* 1000`"),
        ("How fast is it in metres per second?", "max_speed_km_h", "`/ 3.6`"),
    ],
)
def test_units(question: str, field: str, hint: str) -> None:
    """A question that asks for another unit than the fields are in needs a conversion."""
    number = unit_number(question, [field])
    assert number is not None
    assert number.hint == hint


@pytest.mark.parametrize(
    ("question", "fields"),
    [
        ("How many metres is it?", ["height_m"]),
        ("How many kilometres per hour?", ["length_m"]),
        ("In kilometres?", ["area_km2"]),
        ("In kilometres?", ["height_m", "length_km"]),
        ("In kilometres?", []),
    ],
)
def test_no_conversion(question: str, fields: list[str]) -> None:
    """None is needed where the unit is the same, is not known, or is of something else."""
    assert unit_number(question, fields) is None


def test_nothing_but_the_answer() -> None:
    """A question may ask for an answer without a word around it."""
    assert only_asked("How high is it? Answer with a number and nothing else.")
    assert not only_asked("How high is it, and is nothing else higher?")


def test_long_questions_take_no_time() -> None:
    """A long text is read in linear time, whatever it says."""
    began = time.process_time()
    for text in ("what is the " * 300, "5% " * 1_300, "which is " * 400 + "?", "how many " * 400 + "?", "1," * 2_000):
        asked_for(text)
        list(numbers_in(text))
    assert time.process_time() - began < 2
