import pytest

from llmcompiler_graph.core.checking.checker import Checker
from llmcompiler_graph.core.checking.placeholders import Placeholders, placeholder
from llmcompiler_graph.core.language.plan import Task, ToolSpec
from llmcompiler_graph.core.language.references import Reference, Template


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{1}", "{1}"),
        ("{{1}}", "{{1}}"),
        ("{1} - {2}", "{1}"),
        ("height of {1.name} in m", "{1.name}"),
        ("{$1}", "{$1}"),
        ("{task_1}", "{task_1}"),
        ("{{ task1.output }}", "{{ task1.output }}"),
        ("{result of task 1}", "{result of task 1}"),
        ("#E1", "#E1"),
        ("#E1 * 2", "#E1"),
        ("$task1", "$task1"),
        ("$result_1 + 1", "$result_1"),
        ("${step1}", "{step1}"),
        ("$E1", "$E1"),
        ("<result of 1>", "<result of 1>"),
        ("<result_1>", "<result_1>"),
        ("[output from step 1]", "[output from step 1]"),
        ("(the result of task 1)", "(the result of task 1)"),
        ("<result of task 1's height>", "<result of task 1's height>"),
        ("<GENERATED>-1", "<GENERATED>-1"),
        ("result of task 1", "result of task 1"),
        ("the output of step 1", "the output of step 1"),
        ("result1", "result1"),
        ("<1>", "<1>"),
        ("@1", "@1"),
        ("＄1", "＄1"),
        ("｛1｝", "｛1｝"),
        ("{任务1}", "{任务1}"),
        ("<结果1>", "<结果1>"),
        ("<Ergebnis von Schritt 1>", "<Ergebnis von Schritt 1>"),
    ],
)
def test_what_other_agents_write_for_a_reference(text: str, found: str) -> None:
    """Text that stands for the observation of an earlier task is found, with what to write instead."""
    one = placeholder(text, {1, 2}.__contains__)
    assert one is not None
    assert (one.text, one.task, one.hint) == (found, 1, "write `$1` for what task 1 returned")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "K2",
        "[a-z]{1}",
        r"\d{1,2}",
        "(ab){1}",
        "{7}",
        "{}",
        '{"a": 1}',
        "{0}",
        "f(1)",
        "[1]",
        "(1)",
        "#1",
        "issue #1",
        "1",
        "1 apple",
        "room 1",
        "<b>1</b>",
        "$5",
        "a task 1 week long is one of many things to do",
        "E1",
        "Task 1",
        "Step 1",
        "answer 1",
        "see section 1 of the report",
        "5%",
        "user@1.example.com",
    ],
)
def test_what_is_text(text: str) -> None:
    """Text that merely has a number in it is none."""
    assert placeholder(text, {1, 2}.__contains__) is None


def test_only_earlier_tasks_are_meant() -> None:
    """A number that no earlier task has means nothing, nor does a task's own."""
    placeholders = Placeholders()
    placeholders.note(Task(1, "f"))
    placeholders.note(Task(2, "f"))
    assert placeholders.doubt(Task(2, "f", {"x": "{2}"})) is None
    assert placeholders.doubt(Task(3, "f", {"x": "{4}"})) is None
    deep = Task(3, "f", {"x": [{"y": Template((Reference(1), " and {2}"))}, 7]}, line=4, column=2)
    assert str(placeholders.doubt(deep)) == (
        "line 4, column 2: task 3 has '{2}' in `x`, which is text; write `$2` for what task 2 returned [placeholder]"
    )


def test_the_hint_of_a_wrong_type() -> None:
    """Where such text stands for a number, the complaint about its type says what to write."""
    checker = Checker([ToolSpec("half", {"of": {"type": "number"}}, frozenset({"of"}), {"type": "number"})])
    checker.check(Task(1, "half", {"of": 3}))
    (problem,) = checker.check(Task(2, "half", {"of": "{1}"})).diagnostics
    assert problem.hint == "write `$1` for what task 1 returned"
