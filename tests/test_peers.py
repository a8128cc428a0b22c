"""What other implementations of LLMCompiler get wrong: one test for each row of our survey of them.

The survey ran eight implementations over scripted plans. "HANG" and the rest in the docstrings is what it saw.
"""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import InternalServerError
from pydantic import SecretStr

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from tests.scripted_server import ScriptedServer

FACTS = {"one": "111", "two": "222", "secret": "SECRET", "payment": "pay $1 now", "both": "see $1 and ${2}"}
QUESTION: Any = {"messages": [HumanMessage("?")]}

pytestmark = pytest.mark.timeout(20)
any_chunking = pytest.mark.parametrize("chunk_size", [1, 4, 100_000], ids=["characters", "tokens", "whole"])
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


class Asked(dict[str, Any]):
    """A final state, with what tools were called with and the model that was asked."""

    searched: list[str]
    model: ScriptedModel

    @property
    def answer(self) -> str:
        """The answer."""
        return str(self["messages"][-1].content)

    @property
    def outcomes(self) -> list[tuple[int, str]]:
        """What became of each task."""
        return [(task["index"], task["status"]) for task in self["tasks"]]


async def ask(*replies: str, sync: bool = False, chunk_size: int = 4, **settings: Any) -> Asked:
    """Run a graph over scripted replies and a few tools."""
    searched: list[str] = []

    @tool
    async def search(query: str) -> str:
        """Search."""
        searched.append(query)
        await asyncio.sleep(0.001)
        return FACTS.get(query, f"found {query}")

    @tool
    def combine(a: str, b: str) -> str:
        """Combine."""
        return f"{a}+{b}"

    @tool
    def fail(text: str) -> str:
        """Fail."""
        msg = f"Failed to call with {text}"
        raise ValueError(msg)

    model = ScriptedModel(replies, chunk_size=chunk_size)
    graph: Any = create_llm_compiler(model, [search, combine, fail], **{"max_repairs": 0, **settings})
    final = await asyncio.to_thread(graph.invoke, QUESTION) if sync else await graph.ainvoke(QUESTION)
    asked = Asked(final)
    asked.searched, asked.model = searched, model
    return asked


FINISH = "Thought: done.\nFinish: the answer"


# -- the rows of the survey --------------------------------------------------------------------------------------------


@both_ways
@any_chunking
@pytest.mark.parametrize(
    "malformed", ['2. search "two"', "2. search(two words)", '2. search("two"', "2. I search for two"]
)
async def test_gap(malformed: str, chunk_size: int, sync: bool) -> None:
    """Index 2 is malformed (HANG, KeyError): it fails, its dependent is skipped, the rest runs, the joiner is told."""
    plan = f'1. search("one")\n{malformed}\n3. combine("$1", "$2")\n4. search("$1")\n5. join()'
    final = await ask(plan, FINISH, chunk_size=chunk_size, sync=sync)
    assert final.outcomes == [(1, "done"), (2, "failed"), (3, "skipped"), (4, "done")]
    assert final.searched == ["one", "111"]
    assert final.answer == "the answer"
    assert any(each["index"] == 2 for each in final["rounds"][0]["diagnostics"])
    told = final.model.calls[1][-1].text
    assert "3. combine" in told
    assert "it needs task 2, which failed" in told


@both_ways
@any_chunking
async def test_gap_in_the_numbers(chunk_size: int, sync: bool) -> None:
    """An index is skipped (HANG, KeyError): nothing waits for a task that is not there."""
    plan = '1. search("one")\n3. combine("$1", "x")\n4. combine("$1", ${2})\n7. join()'
    final = await ask(plan, FINISH, chunk_size=chunk_size, sync=sync)
    assert final.outcomes == [(1, "done"), (3, "done"), (4, "failed")]
    assert "no earlier task has that number" in final["tasks"][2]["error"]
    assert final.answer == "the answer"


@both_ways
@any_chunking
async def test_unknown_tool(chunk_size: int, sync: bool) -> None:
    """A tool does not exist (HANG, or the run is lost): its task fails, with the nearest name; the rest runs."""
    plan = '1. search("one")\n2. serach("two")\n3. combine("$1", "$2")\n4. join()'
    final = await ask(plan, FINISH, chunk_size=chunk_size, sync=sync)
    assert final.outcomes == [(1, "done"), (2, "failed"), (3, "skipped")]
    assert final["tasks"][1]["error"] == "no tool is named 'serach' (did you mean 'search'?)"
    assert final.answer == "the answer"


@both_ways
async def test_tool_raises(sync: bool) -> None:
    """A tool raises (HANG, run lost, or the error's text is used as data): only its dependents are skipped."""
    plan = '1. search("one")\n2. fail("two")\n3. search("after $2")\n4. search("$1")\n5. join()'
    final = await ask(plan, FINISH, sync=sync)
    assert final.outcomes == [(1, "done"), (2, "failed"), (3, "skipped"), (4, "done")]
    assert sorted(final.searched) == ["111", "one"]
    assert final["tasks"][1]["error"] == "ValueError: Failed to call with two"
    assert "Failed to call with two" in final.model.calls[1][-1].text


@both_ways
@any_chunking
async def test_laptops_under_1000_and_1(chunk_size: int, sync: bool) -> None:
    """`$1000` is no reference to task 1 (`under 111000 and 111`): the amount stays, the reference is replaced."""
    plan = '1. search("one")\n2. search("laptops under $1000 and $1")\n3. join()'
    final = await ask(plan, FINISH, chunk_size=chunk_size, sync=sync)
    assert final.searched == ["one", "laptops under $1000 and 111"]
    assert final["rounds"][0]["diagnostics"] == []


@any_chunking
async def test_coffee_under_1_meant_as_money(chunk_size: int) -> None:
    """`$1` where no task 1 is known, and `$$1` anywhere, is money (replaced, false dependency): neither waits."""
    plan = '1. search("coffee under $1")\n2. search("tea under $$1")\n3. search("$1.50 or $1,000 a cup")\n4. join()'
    final = await ask(plan, FINISH, chunk_size=chunk_size)
    assert sorted(final.searched) == ["$1.50 or $1,000 a cup", "coffee under $1", "tea under $1"]
    assert final.outcomes == [(1, "done"), (2, "done"), (3, "done")]


@both_ways
async def test_result_text_contains_a_reference(sync: bool) -> None:
    """What a tool returns is data (`pay SECRET now`): a `$1` in it is never replaced, however far it is passed on."""
    plan = '1. search("secret")\n2. search("payment")\n3. search("$2")\n4. combine($3, "$1 then $2")\n'
    plan += '5. search("both")\n6. search($5)'
    final = await ask(plan, FINISH, sync=sync)
    assert [task["value"] for task in final["tasks"]] == [
        "SECRET",
        "pay $1 now",
        "found pay $1 now",
        "found pay $1 now+SECRET then pay $1 now",
        "see $1 and ${2}",
        "found see $1 and ${2}",
    ]


@both_ways
@any_chunking
@pytest.mark.parametrize("quote", ['"', "'", '"""'])
async def test_string_argument_over_two_lines(quote: str, chunk_size: int, sync: bool) -> None:
    """A string goes on on the next line (HANG, KeyError): it is the argument, line break and all."""
    plan = f'1. search({quote}first line\nsecond line{quote})\n2. combine("$1", "x")\n3. join()'
    final = await ask(plan, FINISH, chunk_size=chunk_size, sync=sync)
    assert final.searched == ["first line\nsecond line"]
    assert final.outcomes == [(1, "done"), (2, "done")]


@both_ways
@any_chunking
async def test_no_join_at_the_end(chunk_size: int, sync: bool) -> None:
    """A plan without `join()` is a plan all the same."""
    final = await ask('1. search("one")\n2. combine("$1", "$1")', FINISH, chunk_size=chunk_size, sync=sync)
    assert final["tasks"][1]["value"] == "111+111"
    assert final.answer == "the answer"


@both_ways
@any_chunking
async def test_prose_and_a_fence_round_the_plan(chunk_size: int, sync: bool) -> None:
    """Models explain themselves: prose and Markdown around the plan change nothing."""
    plan = 'Sure! The plan:\n\n```python\n1. search("one")\n2. combine("$1", "x")\n3. join()\n```\n\nThis will work.'
    final = await ask(plan, FINISH, chunk_size=chunk_size, sync=sync)
    assert final["tasks"][1]["value"] == "111+x"
    assert final["rounds"][0]["diagnostics"] == []


@both_ways
async def test_whole_plan_in_one_chunk(sync: bool) -> None:
    """A provider may send the plan in one piece (a task lost, silently): every task of it runs."""
    plan = "\n".join(f'{n}. search("{n}")' for n in range(1, 21))
    final = await ask(plan, FINISH, chunk_size=100_000, sync=sync)
    assert final.outcomes == [(n, "done") for n in range(1, 21)]


@both_ways
@any_chunking
@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Thought: x\nAction: Finish(42 (forty-two) units)", "42 (forty-two) units"),
        ("Thought: x\nAction: Finish(line one\nline two)", "line one\nline two"),
        ("Thought: x\nFinish: 42 (forty-two) units\nand a line :)", "42 (forty-two) units\nand a line :)"),
        ("Finish(see https://a.b/c_(d) (really))\n", "see https://a.b/c_(d) (really)"),
    ],
)
async def test_answer_with_a_parenthesis_or_two_lines(reply: str, answer: str, chunk_size: int, sync: bool) -> None:
    """An answer holds parentheses or line breaks (cut, or empty): it is given whole."""
    assert (await ask("1. join()", reply, chunk_size=chunk_size, sync=sync)).answer == answer


@both_ways
@any_chunking
async def test_replan_then_use_an_earlier_result(chunk_size: int, sync: bool) -> None:
    """A replan uses what the first plan found (KeyError, literals): its value is there, and nothing runs twice."""
    replies = ['1. search("one")', "Replan: more", '2. combine("$1", "x")\n3. search("$2")', FINISH]
    final = await ask(*replies, chunk_size=chunk_size, sync=sync)
    assert final.searched == ["one", "111+x"]
    assert [(task["round"], task["value"]) for task in final["tasks"]] == [(0, "111"), (1, "111+x"), (1, "found 111+x")]
    assert len(final.model.calls) == 4


@both_ways
async def test_joiner_replans_for_ever(sync: bool) -> None:
    """The joiner never finishes (no limit, canned apology, or its feedback as the answer): it is made to answer."""
    replies = ['1. search("one")', "Replan: again", "2. join()", "Replan: again", "Finish: I only know 111."]
    final = await ask(*replies, sync=sync, max_replans=1)
    assert final.answer == "I only know 111."
    assert len(final["rounds"]) == 2
    assert len(final.model.calls) == 5


# -- what hung elsewhere in the survey ---------------------------------------------------------------------------------


@both_ways
@any_chunking
@pytest.mark.parametrize(
    ("plan", "outcomes"),
    [
        ('1. search("${2}")\n2. search("two")\n3. join()', [(1, "failed"), (2, "done")]),
        ('1. search("${1}")\n2. search("two")', [(1, "failed"), (2, "done")]),
        ("1. search($2)\n2. search($1)", [(1, "failed"), (2, "skipped")]),
        ('1. search("one")\n2. join()\n3. search("three")\n4. join()', [(1, "done")]),
        ('1. search("one")\n1. search("two")\n2. combine("$1", "x")', [(1, "done"), (2, "done")]),
        ("", []),
        ("join()", []),
        ("I cannot plan this.", []),
    ],
    ids=["forward", "self", "cycle", "two joins", "one index twice", "empty", "join only", "prose only"],
)
async def test_plans_that_could_hang(plan: str, outcomes: list[Any], chunk_size: int, sync: bool) -> None:
    """Whatever the plan, the run ends in an answer, and every task in one of three ways."""
    final = await ask(plan, FINISH, chunk_size=chunk_size, sync=sync)
    assert final.outcomes == outcomes
    assert final.answer == "the answer"


@both_ways
async def test_synchronous_tools(sync: bool) -> None:
    """Synchronous tools work (HANG), and asynchronous ones in a synchronous run (`does not support sync`)."""
    final = await ask('1. combine("a", "b")\n2. search("$1")', FINISH, sync=sync)
    assert [task["value"] for task in final["tasks"]] == ["a+b", "found a+b"]


@both_ways
async def test_planner_http_500(sync: bool) -> None:
    """The provider answers HTTP 500 (HANG): the caller gets the provider's error, at once."""
    with ScriptedServer([500]) as server:
        model = ChatOpenAI(model="m", base_url=server.base_url, api_key=SecretStr("k"), max_retries=0)
        graph = create_llm_compiler(model, [])
        with pytest.raises(InternalServerError, match="scripted status 500"):
            await (asyncio.to_thread(graph.invoke, QUESTION) if sync else graph.ainvoke(QUESTION))
    assert len(server.requests) == 1


async def test_an_answer_that_names_a_tool() -> None:
    """An answer may hold a tool's name (replaced by an apology)."""
    assert (await ask("1. join()", "Finish: My search found 333.")).answer == "My search found 333."


async def test_argument_grammar() -> None:
    """Arguments are Python's calls (lost, swapped or made text): any order, nested, with `=` and quotes inside."""
    got: list[Any] = []

    @tool
    def take(n: int, text: str, data: dict[str, Any], flag: bool = False) -> str:
        """Take."""
        got.append((n, text, data, flag))
        return "ok"

    plan = """
    1. take(text="what is n=3?", data={"a": [1, {"b": None}], "n": "x"}, flag=True, n=5)
    2. take(6, 'it"s', {"t": (1, 2)}, false)
    3. take(n=7, text="a) b, c", data={})
    """
    model = ScriptedModel([plan, FINISH])
    await create_llm_compiler(model, [take], max_concurrency=1).ainvoke(QUESTION)
    assert got == [
        (5, "what is n=3?", {"a": [1, {"b": None}], "n": "x"}, True),
        (6, 'it"s', {"t": [1, 2]}, False),
        (7, "a) b, c", {}, False),
    ]


async def test_types_survive() -> None:
    """A value keeps its type on the way from task to task (always text elsewhere)."""

    @tool
    def make() -> dict[str, Any]:
        """Make."""
        return {"items": [{"id": 7}, {"id": 8.5}], "none": None, "yes": True}

    @tool
    def take(value: Any) -> Any:
        """Take."""
        return value

    plan = "1. make()\n2. take($1)\n3. take(${1.items[0].id})\n4. take([${1.none}, ${1.yes}])\n5. take({'x': $3})"
    final = await create_llm_compiler(ScriptedModel([plan, FINISH]), [make, take]).ainvoke(QUESTION)
    made = {"items": [{"id": 7}, {"id": 8.5}], "none": None, "yes": True}
    assert [task["value"] for task in final["tasks"]] == [made, made, 7, [None, True], {"x": 7}]
    assert [task["arguments"] for task in final["tasks"]][4] == [{"value": {"x": 7}}]
