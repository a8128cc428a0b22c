import pytest

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.parser import NOT_A_TASK, PlanParser

TOOLS = ("search", "web_search", "math", "now")


def noticed(text: str) -> list[tuple[int, str]]:
    """The line of each call that is not written as a task, and the tool it is of."""
    parser = PlanParser(tools=dict.fromkeys(TOOLS, ()))
    events = [*parser.feed(text), *parser.close()]
    found = [each for each in events if isinstance(each, Diagnostic) and each.code in (NOT_A_TASK, "missing-index")]
    return [(each.line, each.message.split("'")[1] if "the call of" in each.message else "") for each in found]


@pytest.mark.parametrize(
    "line",
    [
        'Vaihe 2: search("K2")',
        'Krok 1 : search(query="K2")',
        "Use: search('K2')",
        'Then call search("K2").',
        "→ search(query=$1)",
        'Tool call - `search("K2")`',
        '"tool": "search",',
        '| 1 | search | query="K2" |',
        '| search("K2") | looks it up |',
        "Action: search the web for K2",
        'search -> "K2"',
        "search[K2]",
        "<search>",
        '<tool name="search">',
        "I will use the search tool to find the height of K2.",
        "Let me call `search` with K2 first.",
        'I\'ll run search("K2") and then compare.',
        'Thought: I need to call search("K2").',
        "Calling search now.",
    ],
)
def test_lines_that_call_a_tool(line: str) -> None:
    """A line that is laid out as a call of a known tool, or announces one, is noticed where a reply has no task."""
    assert [tool for _, tool in noticed(f"K2 is a mountain.\n{line}\n")] == ["search"]


@pytest.mark.parametrize("line", ["<tool_call>", "[TOOL_CALLS]", "<|tool_call_begin|>"])
def test_marks_of_calls(line: str) -> None:
    """A mark that models put before a call is noticed, whatever follows."""
    assert noticed(line) == [(1, "")]


@pytest.mark.parametrize(
    "line",
    [
        'search("K2") returned 8611 m, so nothing is left to do.',
        'Earlier, search("K2") gave the height.',
        'For example, search("K2") would find it.',
        'You can call search("K2") yourself.',
        "The tools are search(query) and math(expression).",
        "search(query) looks things up.",
        "I could use the search tool, but the answer is known: 8611 m.",
        "I will not use the search tool.",
        "Let me know if I should use the search tool.",
        "I'll answer without calling search.",
        "The search tool was already used.",
        "| Tool | Description |\n|---|---|\n| search | looks things up |\n| math | adds |",
        "I did a web search in my head.",
        "Then search for K2.",
    ],
)
def test_lines_that_talk_of_tools(line: str) -> None:
    """A line that merely talks about tools is no call."""
    parser = PlanParser(tools=dict.fromkeys(TOOLS, ()))
    assert [*parser.feed(line + "\n"), *parser.close()] == []


def test_a_call_that_is_a_task_too_is_not_lost() -> None:
    """Where a line repeats the call of a task, or announces one, nothing is missing."""
    assert noticed('Plan: search("K2")\nI will use search.\n1. search("K2")\n2. join()') == []
    assert noticed('Plan: search("K1")\n1. search("K2")\n2. join()') == [(1, "search")]


def test_without_known_tools_nothing_is_noticed() -> None:
    """A parser that knows no tools cannot tell calls from prose."""
    assert PlanParser().feed('Vaihe 2: search("K2")\n') == []
