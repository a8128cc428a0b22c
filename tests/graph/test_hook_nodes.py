"""Hooks of middleware as nodes, and LangChain's own middleware that has them."""

import asyncio
from typing import Any

import pytest
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    PIIMiddleware,
    ProviderToolSearchMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolCallLimitMiddleware,
    after_model,
    before_agent,
    hook_config,
)
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.testing import ScriptedModel, run_virtual

PLAN = '1. look("a")\n2. look("b")\n3. look($1)\n4. join()'
FINISH = "Finish: done"
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


@tool
async def look(what: str) -> str:
    """Look something up."""
    await asyncio.sleep(0.25)
    return f"seen {what}"


async def asked(model: Any, middleware: Any, *, sync: bool = False, config: Any = None, **settings: Any) -> Any:
    """Ask a graph with middleware."""
    graph: Any = create_llm_compiler(model, [look], middleware=middleware, **settings)
    given = {"messages": [("user", "what is a?")]}
    return graph.invoke(given, config) if sync else await graph.ainvoke(given, config)


class Hooks(AgentMiddleware[Any, Any]):
    """Notes what is called, and how many messages there were and who spoke last."""

    def __init__(self, called: str, notes: list[str]) -> None:
        super().__init__()
        self.called, self.notes = called, notes

    @property
    def name(self) -> str:
        """Its name."""
        return self.called

    def note(self, hook: str, state: Any) -> None:
        """Note."""
        self.notes.append(f"{self.called} {hook} {state['messages'][-1].type}")


class SyncHooks(Hooks):
    """Synchronous alone."""

    def before_agent(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.note("before_agent", state)

    def before_model(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.note("before_model", state)

    def after_model(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.note("after_model", state)

    def after_agent(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.note("after_agent", state)


class AsyncHooks(Hooks):
    """Asynchronous alone."""

    async def abefore_agent(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.note("before_agent", state)

    async def abefore_model(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.note("before_model", state)

    async def aafter_model(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.note("after_model", state)

    async def aafter_agent(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.note("after_agent", state)


@both_ways
async def test_when_hooks_are_called(sync: bool) -> None:
    """Once a turn, and around each call of planner and joiner, whichever of hook and caller is asynchronous."""
    notes: list[str] = []
    model = ScriptedModel([PLAN, "Replan: more", '4. look("c")\n5. join()', FINISH])
    final = await asked(model, [SyncHooks("a", notes), AsyncHooks("b", notes)], sync=sync)
    around = [
        *("a before_model human", "b before_model human", "b after_model ai", "a after_model ai"),
        *("a before_model tool", "b before_model tool", "b after_model ai", "a after_model ai"),
        *("a before_model tool", "b before_model tool", "b after_model ai", "a after_model ai"),
        *("a before_model tool", "b before_model tool", "b after_model ai", "a after_model ai"),
    ]
    begin, end = ["a before_agent human", "b before_agent human"], ["b after_agent ai", "a after_agent ai"]
    assert notes == [*begin, *around, *end]
    assert [each["value"] for each in final["tasks"]] == ["seen a", "seen b", "seen seen a", "seen c"]


async def test_a_second_turn() -> None:
    """A new question passes `before_agent` again and is a turn of its own."""
    notes: list[str] = []
    graph: Any = create_llm_compiler(
        ScriptedModel([PLAN, FINISH] * 2), [look], middleware=[SyncHooks("a", notes)], checkpointer=InMemorySaver()
    )
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    for _ in range(2):
        final = await graph.ainvoke({"messages": [("user", "?")]}, config)
    assert [note for note in notes if "agent" in note] == ["a before_agent human", "a after_agent ai"] * 2
    assert len(final["tasks"]) == 3


async def test_a_hook_that_changes_the_conversation_between_joiner_and_planner() -> None:
    """A replan stays one, whatever hooks add to the conversation or take out of it."""

    class Adding(AgentMiddleware[Any, Any]):
        """Adds."""

        def after_model(self, state: Any, runtime: Any) -> dict[str, Any]:
            """Add."""
            return {"messages": [HumanMessage("hm")]}

    model = ScriptedModel([PLAN, "Replan: more", '4. look("c")\n5. join()', FINISH])
    final = await asked(model, [Adding()])
    assert [each["index"] for each in final["tasks"]] == [1, 2, 3, 4]


@both_ways
async def test_leaving(sync: bool) -> None:
    """`jump_to="end"` leaves for `after_agent`: no model is asked, no tool called."""
    notes: list[str] = []

    @before_agent(can_jump_to=["end"])
    def guard(state: Any, runtime: Any) -> dict[str, Any]:
        return {"jump_to": "end", "messages": [AIMessage("not today")]}

    model = ScriptedModel([])
    final = await asked(model, [SyncHooks("a", notes), guard], sync=sync)
    assert (final["messages"][-1].text, model.calls) == ("not today", [])
    assert notes[-1] == "a after_agent ai"


async def test_artificial_messages_settle_tasks() -> None:
    """A task that a hook answers is not called; those that need it get the answer, or are skipped."""

    @after_model
    def answer(state: Any, runtime: Any) -> dict[str, Any] | None:
        calls = state["messages"][-1].tool_calls if state["messages"][-1].type == "ai" else []
        if not calls:
            return None
        first, second, _ = calls
        failed = ToolMessage("no", tool_call_id=second["id"], status="error")
        return {"messages": [ToolMessage("known", tool_call_id=first["id"]), failed]}

    final = await asked(ScriptedModel([PLAN, FINISH]), [answer])
    assert [(each["status"], each["value"]) for each in final["tasks"]] == [
        ("done", "known"),
        ("failed", None),
        ("done", "seen known"),
    ]
    told = [message for message in final["messages"] if message.type == "tool"]
    assert sorted(message.text for message in told) == ["known", "no", "seen known"]


def test_calls_wait_for_hooks_that_see_the_plan() -> None:
    """With `after_model` no tool is called before the hooks have run; hooks that cannot settle calls cost nothing."""

    async def started(middleware: Any) -> Any:
        final = await asked(ScriptedModel([PLAN, FINISH], seconds_per_reply=1), middleware)
        return final["timeline"][0]["started"]

    without = run_virtual(lambda: started(()))
    assert without < 0.5
    assert run_virtual(lambda: started([PIIMiddleware("email")])) == without
    assert run_virtual(lambda: started([ModelCallLimitMiddleware(run_limit=9)])) == without
    assert run_virtual(lambda: started([ToolCallLimitMiddleware(run_limit=9)])) == 1


# -- LangChain's own ---------------------------------------------------------------------------------------------------


@both_ways
async def test_tool_call_limit(sync: bool) -> None:
    """Calls beyond the limit are not made, and the joiner is told; or the turn ends."""
    limit = ToolCallLimitMiddleware(run_limit=2, exit_behavior="continue")
    final = await asked(ScriptedModel([PLAN, FINISH]), [limit], sync=sync)
    assert [each["status"] for each in final["tasks"]] == ["done", "done", "failed"]
    ending = ToolCallLimitMiddleware(run_limit=2, exit_behavior="end")
    final = await asked(ScriptedModel([PLAN]), [ending], sync=sync)
    assert "limit" in final["messages"][-1].text
    assert [each["status"] for each in final["tasks"]] == ["planned"] * 3


async def test_model_call_limit() -> None:
    """Planner and joiner count; beyond the limit the turn ends."""
    final = await asked(ScriptedModel([PLAN]), [ModelCallLimitMiddleware(run_limit=1)])
    assert "limit" in final["messages"][-1].text
    assert [each["status"] for each in final["tasks"]] == ["done"] * 3


async def test_pii() -> None:
    """What the planner is told of the question, the joiner of results, and the user of the answer is redacted."""

    @tool
    def mail() -> str:
        """Look the address up."""
        return "it is ann@example.com"

    hiding = PIIMiddleware("email", apply_to_output=True, apply_to_tool_results=True)
    model = ScriptedModel(["1. mail()\n2. join()", "Finish: bob@example.com"])
    graph: Any = create_llm_compiler(model, [mail], middleware=[hiding])
    final = await graph.ainvoke({"messages": [("user", "who is eve@example.com?")]})
    assert "example.com" not in str(model.calls)
    assert "example.com" not in str(final["messages"])


async def test_summarization() -> None:
    """A long conversation is summarised before the planner is asked."""
    summing = SummarizationMiddleware(ScriptedModel(["all that"]), trigger=("messages", 5), keep=("messages", 1))
    model = ScriptedModel(['1. look("a")\n2. join()', FINISH])
    graph: Any = create_llm_compiler(model, [look], middleware=[summing])
    earlier = [("user", "one"), ("ai", "1"), ("user", "two"), ("ai", "2")]
    await graph.ainvoke({"messages": [*earlier, ("user", "three")]})
    prompt = str(model.calls[0])
    assert "all that" in prompt
    assert "three" in prompt
    assert "'one'" not in prompt


async def test_human_in_the_loop() -> None:
    """It is `interrupt_on`: a human is shown resolved arguments, in LangChain's form."""
    asking = HumanInTheLoopMiddleware({"look": {"allowed_decisions": ["approve", "reject"]}})
    model = ScriptedModel(['1. look("a")\n2. look($1)\n3. join()', FINISH])
    graph: Any = create_llm_compiler(model, [look], middleware=[asking], checkpointer=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    paused = await graph.ainvoke({"messages": [("user", "?")]}, config)
    shown = []
    while "__interrupt__" in paused:
        (request,) = paused["__interrupt__"][0].value["action_requests"]
        shown.append((request["args"], request["description"].partition("\n")[0]))
        paused = await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
    needed = "Tool execution requires approval"
    assert shown == [({"what": "a"}, needed), ({"what": "seen a"}, needed)]
    assert paused["messages"][-1].text == "done"


class Jumping(AgentMiddleware[Any, Any]):
    """Jumps to where a plan's turn has no place."""

    @hook_config(can_jump_to=["tools"])
    def before_model(self, state: Any, runtime: Any) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("middleware", "reason"),
    [
        (TodoListMiddleware(), "same thing twice"),
        (ProviderToolSearchMiddleware(), "select_tools"),
        (Jumping(), "jumps to"),
    ],
    ids=["todo", "provider", "jump"],
)
def test_what_is_refused(middleware: Any, reason: str) -> None:
    """Middleware that has no place in a graph of plans is refused when the graph is made, with the reason."""
    with pytest.raises(ConfigurationError, match=reason):
        create_llm_compiler(ScriptedModel([]), [look], middleware=[middleware])
