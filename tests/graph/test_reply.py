import warnings
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

QUESTION: Any = {"messages": [HumanMessage("K1 and K2?")]}
FIRST = '1. search("K1")\n2. join()'
PLAN = '2. search("K2")\n3. join()'


@tool
async def search(query: str) -> str:
    """Search."""
    return f"found {query}"


async def shown(graph: Any) -> tuple[str, dict[str, Any]]:
    """What a graph shows of the answer, and its final state."""
    parts = [part async for part in graph.astream(QUESTION, stream_mode=["messages", "values"])]
    pieces = [part[0] for mode, part in parts if mode == "messages" and isinstance(part[0], AIMessageChunk)]
    return "".join(each.text for each in pieces), parts[-1][1]


# -- plans for answers -------------------------------------------------------------------------------------------------

REFUSED = AIMessage("", additional_kwargs={"refusal": "I will not."}, response_metadata={"finish_reason": "stop"})
PLANS = {
    "plan lines": PLAN,
    "a thought and plan lines": f"Thought: K2 is missing.\n{PLAN}",
    "plan lines in a fence": f"K2 is missing.\n```\n{PLAN}\n```",
    "join alone": "2. join()",
    "JSON": '{"name": "search", "arguments": {"query": "K2"}}',
    "tags": 'I need more.\n<tool_call>\n{"name": "search", "arguments": {"query": "K2"}}\n</tool_call>',
    "ReAct": "Thought: K2 is missing.\nAction: search\nAction Input: K2",
    "other signs": "Thought: K2 is missing.\n**2.** search(query=\u201cK2\u201d)",
    "calls without numbers": 'search("K2")\nsearch("$2")',
    "a thought and a call in a fence": 'Thought: K2 is missing.\n```\nsearch("K2")\n```',
    "a reference": 'Thought: K2 is missing.\n2. search("$1 and K2")',
}
ANSWERS = {
    "numbers": "1. Everest (8848 m)\n2. K2 (8611 m)",
    "formulas": "1. f(x) = 2x\n2. g(x) = x",
    "talk of tools": "You can call search(query) for that; search found K1.",
    "how a tool is called": 'Write this:\nsearch("K2")',
    "how tools are called": 'search("K2")\n\nThat is how K2 is looked up.',
    "other calls": "1. print(K2)\n2. Research(er)s say so.",
    "JSON": '{"name": "K2", "height": 8611}',
    "a decision": 'Finish: so:\n2. search("K2")\n3. join()',
}


@pytest.mark.parametrize("reply", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_is_no_plan(reply: str) -> None:
    """A reply that calls no tool is the answer, and so is whatever follows `Finish`."""
    text, final = await shown(create_llm_compiler(ScriptedModel([FIRST, reply]), [search]))
    assert text == final["messages"][-1].text == reply.removeprefix("Finish: ")


@pytest.mark.parametrize("reply", PLANS.values(), ids=PLANS)
async def test_a_plan_asks_for_a_plan(reply: str) -> None:
    """A joiner's reply that is a plan is never shown as the answer: the planner is asked for one."""
    model = ScriptedModel([FIRST, reply, PLAN, "Finish: both are there"])
    text, final = await shown(create_llm_compiler(model, [search]))
    assert text == final["messages"][-1].text == "both are there"
    assert [task["value"] for task in final["tasks"]] == ["found K1", "found K2"]
    assert final["rounds"][0]["reply"] == reply
    assert "Its first task is task 2" in model.calls[2][-1].text


async def test_a_plan_is_taken_where_the_joiner_plans() -> None:
    """With `fuse_replan` the plan runs as it stands: no other call is needed."""
    model = ScriptedModel([FIRST, PLANS["a thought and plan lines"], "Finish: both are there"])
    graph: Any = create_llm_compiler(model, [search], fuse_replan=True)
    events = [part async for part in graph.astream(QUESTION, stream_mode=["custom", "values"])]
    final = events[-1][1]
    assert [task["value"] for task in final["tasks"]] == ["found K1", "found K2"]
    assert [one.get("adopted", False) for one in final["rounds"]] == [False, True]
    told = [event["error"] for mode, event in events if mode == "custom" and event["event"] == "replanning"]
    assert told == ["K2 is missing."]


@pytest.mark.parametrize("second", [f"Thought: only K1.\n{PLAN}", "only K1."])
async def test_a_plan_where_none_is_possible(second: str) -> None:
    """On the last round it is asked once more, and of a plan only the thought can be the answer."""
    model = ScriptedModel([FIRST, PLAN, second])
    text, final = await shown(create_llm_compiler(model, [search], max_replans=0))
    assert text == final["messages"][-1].text == "only K1."
    assert "No other plan is possible. Write the answer" in model.calls[2][-1].text


@pytest.mark.parametrize("replies", [("", PLAN), (PLAN, ""), (REFUSED, PLAN), ("Thought:", f"```\n{PLAN}\n```")])
async def test_nothing_and_a_plan_where_none_is_possible(replies: tuple[Any, Any]) -> None:
    """On the last round, a model that says nothing and then writes a plan, or the reverse, is asked again for each."""
    model = ScriptedModel([FIRST, *replies, "only K1."])
    text, final = await shown(create_llm_compiler(model, [search], max_replans=0))
    assert text == final["messages"][-1].text == "only K1."
    asked = [call[-1].text.partition(". ")[0] for call in model.calls[2:]]
    assert sorted(asked)[0] == "No other plan is possible"
    assert len(set(asked)) == 2


async def test_a_replan_on_the_line_of_the_thought() -> None:
    """It is one."""
    model = ScriptedModel([FIRST, "Thought: K2 is missing. Replan: look up K2", PLAN, "Finish: both are there"])
    text, _ = await shown(create_llm_compiler(model, [search]))
    assert text == "both are there"


# -- no reply ----------------------------------------------------------------------------------------------------------

BLOCKED = AIMessage([{"type": "refusal", "refusal": "I will not."}])


@pytest.mark.parametrize("empty", ["", " \n", "<think>It is 42.</think>", "Thought:", "Finish:", AIMessage([])])
async def test_an_empty_reply(empty: Any) -> None:
    """The model is told so and asked once more; it may also replan."""
    model = ScriptedModel([FIRST, empty, "Thought: so.\nFinish: 42"])
    text, final = await shown(create_llm_compiler(model, [search]))
    assert text == final["messages"][-1].text == "42"
    assert model.calls[2][-1].text == "Your reply was empty. Finish with the answer, or replan."
    assert all(message.content for message in model.calls[2])
    model = ScriptedModel([FIRST, empty, "Replan: K2", PLAN, "Finish: 42"])
    assert len((await shown(create_llm_compiler(model, [search])))[1]["tasks"]) == 2


async def test_an_empty_reply_where_no_plan_is_possible() -> None:
    """It is asked for the answer."""
    model = ScriptedModel([FIRST, "", "Finish: 42"])
    await create_llm_compiler(model, [search], max_replans=0).ainvoke(QUESTION)
    assert model.calls[2][-1].text == (
        "Your reply was empty. Write the answer to the question now, from what is known."
    )


async def test_nothing_but_empty_replies() -> None:
    """The answer is empty, a warning says why, and what the tools returned is kept; the thread goes on."""
    blocked = AIMessage("", response_metadata={"finish_reason": "content_filter"})
    model = ScriptedModel([FIRST, blocked, blocked, "1. join()", "Finish: hello"])
    graph = create_llm_compiler(model, [search], checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    with pytest.warns(UserWarning, match=r"gave no answer, also when asked again \(content_filter\)"):
        final = await graph.ainvoke(QUESTION, thread)
    assert final["messages"][-1].content == ""
    assert final["messages"][-1].response_metadata == {"finish_reason": "content_filter"}
    assert final["tasks"][0]["value"] == "found K1"
    again = await graph.ainvoke({"messages": [("user", "hello")]}, thread)
    assert again["messages"][-1].text == "hello"


@pytest.mark.parametrize("refused", [REFUSED, BLOCKED], ids=["chat completions", "responses"])
async def test_a_refused_reply(refused: AIMessage) -> None:
    """The model is asked once more; if it refuses again, that is the answer, in its words."""
    model = ScriptedModel([FIRST, refused, "Finish: 42"])
    text, _ = await shown(create_llm_compiler(model, [search]))
    assert text == "42"
    assert [message.text for message in model.calls[2][-2:]] == [
        "I will not.",
        "You refused to reply. Finish with the answer, or replan.",
    ]
    with warnings.catch_warnings(action="error"):
        text, final = await shown(create_llm_compiler(ScriptedModel([FIRST, refused, refused]), [search]))
    assert text == final["messages"][-1].text == "I will not."


# -- what else a reply has ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_citations_are_kept(sync: bool) -> None:
    """The answer's message has the content blocks of the reply, citations with their places in the answer."""
    reply = "Thought: found.\nFinish: K1 is 8035 m high."
    cited: dict[str, Any] = {"type": "url_citation", "url": "https://a.b", "start_index": 30, "end_index": 36}
    blocks: list[Any] = [
        {"type": "reasoning", "reasoning": "secret"},
        {"type": "text", "text": reply, "annotations": [cited]},
        {"type": "image", "url": "https://a.b/c.png"},
    ]
    message = AIMessage(blocks, additional_kwargs={"citations": ["a"], "reasoning_content": "secret"})
    graph = create_llm_compiler(ScriptedModel([FIRST, message]), [search])
    answer = (graph.invoke(QUESTION) if sync else await graph.ainvoke(QUESTION))["messages"][-1]
    assert answer.text == "K1 is 8035 m high."
    text, image = answer.content
    start = reply.index("K1")
    assert text["annotations"] == [{**cited, "start_index": 30 - start, "end_index": 36 - start}]
    assert image["url"] == "https://a.b/c.png"
    assert answer.additional_kwargs == {"citations": ["a"]}
    assert "secret" not in str(answer)


async def test_an_answer_that_is_an_image() -> None:
    """Blocks without text are an answer."""
    image = AIMessage([{"type": "image", "url": "https://a.b/c.png"}])
    final = await create_llm_compiler(ScriptedModel([FIRST, image]), [search]).ainvoke(QUESTION)
    assert [each["type"] for each in final["messages"][-1].content] == ["image"]


async def test_an_earlier_answer_with_blocks_is_told_as_text() -> None:
    """Blocks that a provider gave may not be what another takes: later prompts have the answer's text."""
    cited = {"type": "text", "text": "Finish: K1", "annotations": [{"type": "citation", "url": "https://a.b"}]}
    model = ScriptedModel([FIRST, AIMessage([cited]), "1. join()", "Finish: hello"])
    graph = create_llm_compiler(model, [search], checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke(QUESTION, thread)
    await graph.ainvoke({"messages": [("user", "hello")]}, thread)
    assert [message.content for message in model.calls[2] if isinstance(message, AIMessage)] == ["K1"]
