"""Turns that may use so many tokens, or so much money."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from llmcompiler_graph import Budget, BudgetError, ConfigurationError, create_llm_compiler
from llmcompiler_graph.models.budget import Account, budget_meter, estimated, tokens
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests.scripted_server import ScriptedServer

QUESTION: Any = {"messages": [("user", "?")]}
SPENT = "was spent, but for what the answer takes, before it could start"


@tool
async def wait(seconds: float, what: str = "") -> str:
    """Take some seconds."""
    await asyncio.sleep(seconds)
    return f"waited {seconds:g}{what}"


def counted(text: str) -> Any:
    """A reply that reports the tokens it took: as many as are estimated."""

    def reply(messages: list[BaseMessage]) -> AIMessage:
        return AIMessage(text, usage_metadata=tokens(estimated(messages), len(text) // 4 + 1))

    return reply


def prompt_size(**options: Any) -> int:
    """How many tokens the planner's prompt takes."""
    model = ScriptedModel(["1. join()", "Finish: ok"])
    asyncio.run(create_llm_compiler(model, [wait], **options).ainvoke(QUESTION))
    return estimated(model.calls[0])


def used(final: Any) -> int:
    """All tokens of a turn, reported or estimated."""
    every = [one[key] for one in final["rounds"] for key in ("usage", "estimated") if key in one]
    return sum(usage["total_tokens"] for each in every for usage in each.values())


def turn(replies: list[Any], *, sync: bool = False, **options: Any) -> tuple[Any, ScriptedModel]:
    """Run a turn on a virtual clock, a line of a reply every second."""
    model = ScriptedModel(replies, chunk_size=0, seconds_per_reply=options.pop("seconds", 0))
    graph = create_llm_compiler(model, [wait], **options)
    if sync:
        return graph.invoke(QUESTION), model

    async def main() -> Any:
        return await graph.ainvoke(QUESTION)

    return run_virtual(main), model


LONG = "1. wait(1)\n2. wait(1) after $1\n" + "".join(f'{n}. wait(0, "{"x" * 400}")\n' for n in range(3, 30))


@pytest.mark.parametrize("reports", [True, False])
def test_planning_is_cut_short(reports: bool) -> None:
    """When the rest is needed for the answer, no more of the plan is read, no task begins, and the joiner answers."""
    size = prompt_size()
    budget = 2 * size + 1000 + 1500
    answer = counted("Finish: ok") if reports else "Finish: ok"
    final, model = turn([counted(LONG) if reports else LONG, answer], budget=budget, seconds=29)
    assert len(model.calls) == 2
    assert "No other plan is possible" in str(model.calls[1][-1].content)
    why = f"the turn's budget of {budget:,} tokens {SPENT}"
    assert final["rounds"][0]["cut"] == why
    statuses = [task["status"] for task in final["tasks"]]
    assert statuses[:2] == ["done", "done"]
    assert 5 < len(statuses) < 15
    assert final["messages"][-1].content == "ok"
    assert used(final) <= budget
    assert final["rounds"][0]["estimated"]["planner"]["input_tokens"] == size  # the reply was not read to its count


def test_nothing_is_begun_once_it_is_spent() -> None:
    """Calls under way go on; what has not begun fails with the reason, also what waits for the plan to be complete."""
    act = wait.model_copy(update={"name": "act", "metadata": {"destructiveHint": True}})
    plan = "1. wait(3)\n2. wait(9) after $1\n3. act(1)\n" + "".join(
        f'{n}. act(0, "{"x" * 4000}")\n' for n in range(4, 9)
    )
    model = ScriptedModel([plan, "Finish: ok"], chunk_size=0)
    budget = 2 * prompt_size() + 1000 + 600

    async def main() -> Any:
        return await create_llm_compiler(model, [wait, act], budget=budget).ainvoke(QUESTION)

    final = run_virtual(main)
    why = f"the turn's budget of {budget:,} tokens {SPENT}"
    found = [(task["status"], task["error"]) for task in final["tasks"]]
    assert found[:3] == [("done", ""), ("failed", why), ("failed", why)]
    assert set(found[3:]) <= {("failed", why)}
    assert [entry["started"] for entry in final["timeline"]][1:] == [None] * (len(found) - 1)


def test_a_whole_plan_runs() -> None:
    """A plan that was complete within the budget runs to its end: tools use no tokens."""
    final, _ = turn(["1. wait(1)\n2. wait(5) after $1\n3. join()\n" + "noise\n" * 9000, "Finish: ok"], budget=9000)
    assert [task["status"] for task in final["tasks"]] == ["done", "done"]
    assert "cut" not in final["rounds"][0]
    assert used(final) <= 9000


@pytest.mark.parametrize("sync", [True, False])
def test_no_replan_that_cannot_be_paid(sync: bool) -> None:
    """The joiner is told to answer where the rest does not do for another plan and an answer to it."""
    size = prompt_size()
    for budget, calls in ((2 * size + 1200, 2), (20 * size, 4)):
        replies = [counted(text) for text in ("1. wait(0)", "Replan: more", "2. wait(0)", "Finish: ok")]
        if calls == 2:
            replies = [counted("1. wait(0)"), counted("Finish: ok")]
        final, model = turn(replies, budget=budget, sync=sync)
        assert len(model.calls) == calls
        assert ("No other plan is possible" in str(model.calls[1])) == (calls == 2)
        assert final["messages"][-1].content == "ok"
        assert used(final) <= budget
        assert not any("estimated" in one for one in final["rounds"])


def test_repairs_that_cannot_be_paid() -> None:
    """Broken tasks are not asked for again where the rest does not do for it; the others run."""
    budget = 2 * prompt_size() + 1300
    final, model = turn(["1. wait(0)\n2. wat(1)\n3. wait(1)", "Finish: ok"], budget=budget)
    assert len(model.calls) == 2
    assert [task["status"] for task in final["tasks"]] == ["done", "failed", "done"]


def test_observations_are_shortened() -> None:
    """Large observations are shown to the joiner in part, if it could not answer otherwise."""

    @tool
    def read(x: int) -> str:
        """Read."""
        return "word " * 3000

    model = ScriptedModel(["1. read(1)\n2. read(2)\n3. read(3)", "Finish: ok"])
    budget = 2 * prompt_size() + 2500
    asyncio.run(create_llm_compiler(model, [read], budget=budget, max_observation_chars=15_000).ainvoke(QUESTION))
    assert estimated(model.calls[1]) <= budget
    assert "word word" in str(model.calls[1])


def test_a_long_answer_is_cut_short() -> None:
    """The joiner writes on to the end of the budget, and what is kept back for it in any case."""
    model = ScriptedModel(["1. wait(0)", "Finish: " + "word " * 40 * 400], chunk_size=40)
    graph = create_llm_compiler(model, [wait], budget=Budget(tokens=2 * prompt_size() + 500, reserve=100))
    answer = asyncio.run(graph.ainvoke(QUESTION))["messages"][-1]
    assert answer.response_metadata["finish_reason"] == "budget"
    assert 100 <= len(answer.content) / 4 <= 500 + 10


def test_an_answer_that_does_not_come() -> None:
    """A joiner that thinks for all that was kept back has not answered: that is said, with what to do."""
    size = prompt_size()
    model = ScriptedModel(["1. wait(0)", "<think>" + "hm " * 4000 + "</think>Finish: ok"], chunk_size=40)
    graph = create_llm_compiler(model, [wait], budget=Budget(tokens=2 * size + 400, reserve=50))
    with pytest.raises(BudgetError, match="gave no answer within the 50 tokens kept back for it of the turn's budget"):
        asyncio.run(graph.ainvoke(QUESTION))


def test_a_budget_that_is_too_small() -> None:
    """A budget below the first prompt is refused before any model is asked."""
    model = ScriptedModel([])
    with pytest.raises(BudgetError, match=r"budget of 20 tokens is less than the first prompt takes, .* about \d+"):
        asyncio.run(create_llm_compiler(model, [wait], budget=20).ainvoke(QUESTION))
    assert not model.calls


def test_a_budget_for_one_prompt_only() -> None:
    """Where there is no room to plan and to answer, the joiner answers without a plan."""
    final, model = turn(["Finish: I do not know"], budget=prompt_size() + 1100)
    assert len(model.calls) == 1
    assert final["tasks"] == []
    assert final["messages"][-1].content == "I do not know"


def test_an_answer_in_place_of_a_plan() -> None:
    """An answer that needs no tool may take what is kept back for the joiner."""
    size = prompt_size()
    final, model = turn(["1. join()\nFinish: " + "word " * 300], budget=size + 1000 + 100, brief=True)
    assert len(model.calls) <= 2
    assert final["messages"][-1].content


def test_native_calls() -> None:
    """Plans by native tool calls are measured as well, with the tools that the model is sent."""
    calls = [{"name": "wait", "args": {"seconds": 0, "what": "x" * 2000}, "id": str(n)} for n in range(9)]
    final, _ = turn([AIMessage("", tool_calls=calls), "Finish: ok"], budget=6000, plan_format="tools")
    assert 0 < len(final["tasks"]) < 9
    assert "cut" in final["rounds"][0]
    assert final["messages"][-1].content == "ok"


def test_a_plan_in_the_joiners_reply() -> None:
    """A plan that the joiner writes when it replans is cut short in the same way."""
    size = prompt_size(fuse_replan=True)
    more = "Replan: more\n" + "".join(f'{n}. wait({n}, "{"x" * 400}")\n' for n in range(2, 30))
    budget = 4 * size + 1000 + 2500
    final, model = turn(["1. wait(0)", more, "Finish: ok"], budget=budget, fuse_replan=True)
    assert len(model.calls) == 3
    assert final["rounds"][1]["cut"].endswith(SPENT)
    assert 3 < len(final["tasks"]) < 29
    assert final["messages"][-1].content == "ok"
    assert used(final) <= budget


class Height(BaseModel):
    """A height."""

    metres: int


def test_structured_answers() -> None:
    """An answer whose form cannot be paid for any more counts without it, and the round says why."""
    size = prompt_size(response_format=None)
    with pytest.warns(UserWarning, match="the answer has no structured response: the turn's budget of"):
        final, _ = turn(["1. wait(0)", "Finish: 8611"], budget=2 * size + 1100, response_format=Height)
    assert final["messages"][-1].content == "8611"
    assert final["rounds"][-1]["structured_error"].endswith("was spent")


def test_it_lasts_beyond_a_crash() -> None:
    """A plan that was cut short begins nothing in another process either."""
    model = ScriptedModel([LONG, "Finish: ok"], chunk_size=0)
    config: Any = {"configurable": {"thread_id": "1"}}
    saver = InMemorySaver()
    budget = 2 * prompt_size() + 2500

    async def main() -> Any:
        options: dict[str, Any] = {"budget": budget, "checkpointer": saver}
        first = create_llm_compiler(model, [wait], interrupt_after=["planner"], **options)
        await first.ainvoke(QUESTION, config)
        return await create_llm_compiler(model, [wait], **options).ainvoke(None, config)

    final = run_virtual(main)
    assert {task["error"] for task in final["tasks"]} == {f"the turn's budget of {budget:,} tokens {SPENT}"}


def test_each_turn_has_its_own() -> None:
    """The budget is a turn's: the next question has all of it."""
    budget = 3 * prompt_size() + 1500
    replies = [counted(text) for text in ("1. wait(0)", "Finish: ok", "1. wait(0)", "Finish: ok")]
    model = ScriptedModel(replies)
    graph = create_llm_compiler(model, [wait], budget=budget, checkpointer=InMemorySaver())
    for _ in range(2):
        final = graph.invoke(QUESTION, {"configurable": {"thread_id": "1"}})
        assert final["tasks"][0]["status"] == "done"


# -- money -------------------------------------------------------------------------------------------------------------


def test_money() -> None:
    """Money is counted by each model's price: those that a cache has at theirs."""
    prices = {"planner-1": (10.0, 20.0, 1.0), "joiner-1": (1.0, 2.0)}
    meter = budget_meter(Budget(dollars=1, reserve=100_000, prices=prices), "x:planner-1", "x:joiner-1")
    assert meter is not None
    assert str(meter) == "the turn's budget of 1 US dollars"
    half: UsageMetadata = {**tokens(100_000, 5000), "input_token_details": {"cache_read": 100_000}}
    account = Account(meter, [{"usage": {"planner": half, "joiner": tokens(100_000, 0)}}])  # 0.1 + 0.1 + 0.1
    assert account.has_room(("planner", 50_000, 10_000))
    assert not account.has_room(("planner", 50_001, 10_000))
    assert account.has_room(("joiner", 500_000, 100_000))
    assert not account.has_room(("joiner", 500_002, 100_000))


def test_models_without_a_name() -> None:
    """The price of a model that does not say its name is given by what it does."""
    model = ScriptedModel([])
    with pytest.raises(ConfigurationError, match=r"price of the planner's model, .* prices=\{'planner': \(…, …\)\}"):
        budget_meter(Budget(dollars=1), model, model)
    meter = budget_meter(Budget(dollars=1, prices={"planner": (1, 2), "joiner": (1, 2)}), model, model)
    assert meter is not None
    assert Account(meter, []).has_room(("planner", 500_000, 250_000))


def test_both() -> None:
    """With tokens and money the tighter one holds."""
    for budget in (Budget(tokens=100, dollars=1e6), Budget(tokens=10**9, dollars=0.000_1)):
        meter = budget_meter(budget, "openai:gpt-4o", "openai:gpt-4o")
        assert meter is not None
        assert not Account(meter, []).has_room(("joiner", 200, 0))
    assert str(budget_meter(Budget(tokens=1000, dollars=0.5), "gpt-4o", "local")) == (
        "the turn's budget of 1,000 tokens and 0.5 US dollars"
    )


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (0, r"budget\.tokens must be a whole number, 1 or more, not 0"),
        (True, "budget must be a number of tokens or a Budget, not True"),
        ("5", "budget must be a number of tokens or a Budget, not '5'"),
        (0.5, "budget must be a number of tokens or a Budget, not 0.5"),
        (Budget, "a Budget needs tokens, dollars or both"),
        (lambda: Budget(dollars=0), r"budget\.dollars must be more than 0 US dollars, not 0"),
        (lambda: Budget(dollars=float("nan")), r"budget\.dollars must be"),
        (lambda: Budget(tokens=1, reserve=0), r"budget\.reserve must be a whole number, 1 or more"),
        (lambda: Budget(dollars=1, prices={"x": (1,)}), r"budget\.prices\['x'\] must be US dollars per million"),
        (lambda: Budget(dollars=1, prices={"x": 3}), r"budget\.prices\['x'\] must be"),  # type: ignore[dict-item]
        (lambda: Budget(dollars=1, prices={"x": (1, -1)}), r"budget\.prices\['x'\] must be"),
        (Budget(dollars=1), r"needs the price of the model 'x:unheard-of': give it by Budget\(…, prices="),
    ],
)
def test_budgets_that_cannot_be(budget: Any, message: str) -> None:
    """What is no budget is refused when it is made, or when the graph is."""
    with pytest.raises(ConfigurationError, match=message):
        create_llm_compiler("x:unheard-of", [wait], budget=budget() if callable(budget) else budget)


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [True, False])
async def test_over_http(sync: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a server that streams and counts tokens, a plan that is too long is cut, and the rest answers."""
    budget = 2 * await asyncio.to_thread(prompt_size) + 1000 + 1500
    with ScriptedServer([LONG, "Finish: ok"], seconds_per_reply=0.2, chunk_size=400) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        graph = create_llm_compiler("openai:scripted", [wait], budget=budget)
        final = await asyncio.to_thread(graph.invoke, QUESTION) if sync else await graph.ainvoke(QUESTION)
        assert len(server.requests) == 2
    assert final["rounds"][0]["cut"].endswith(SPENT)
    assert 0 < len(final["tasks"]) < 29
    assert final["messages"][-1].content == "ok"
    assert final["rounds"][0]["usage"]["joiner"]["total_tokens"] > 0


def test_without_a_budget_nothing_is_estimated() -> None:
    """The state of a turn without a budget is as it was."""
    final, _ = turn(["1. wait(0)", "Finish: ok"])
    assert final["rounds"][0]["usage"] == {}
    assert not {"estimated", "cut"}.intersection(final["rounds"][0])


@pytest.mark.parametrize(("text", "least"), [("word " * 100, 125), ("山" * 100, 100), ("é" * 40, 40)])
def test_estimates(text: str, least: int) -> None:
    """A token is estimated for four characters, or for one that is not ASCII."""
    assert least <= estimated([AIMessage(text)]) <= least + 10
