"""A plan that a human approves, edits or rejects before anything of it runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from llmcompiler_graph import ConfigurationError, create_llm_compiler, parse_plan
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests.graph.test_durability import saver_at

THREAD: Any = {"configurable": {"thread_id": "1"}}
QUESTION: Any = {"messages": [("user", "Write to Ann.")]}
PLAN = '1. look("ann")\n2. send(to="$1")\n3. join()'
SHOWN = '1. look(what="ann")\n2. send(to=$1)\n3. join()'
TABLE = """\
| task | tool | arguments | needs | effects |
|---|---|---|---|---|
| 1 | `look` | `what="ann"` |  |  |
| 2 | `send` | `to=$1` | 1 | yes |"""
ALLOWED = ["approve", "edit", "reject"]
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
both_modes = pytest.mark.parametrize("mode", ["batched", "per_call"])


class Desk:
    """Tools that count their calls: `look` is read-only, `send` acts, `ask` asks a human; and a graph over them."""

    def __init__(self, *replies: Any, **kwargs: Any) -> None:
        self.ran: Counter[str] = Counter()
        self.model = ScriptedModel(list(replies))
        given: dict[str, Any] = {"checkpointer": InMemorySaver(), "approve_plans": True, **kwargs}
        self.graph = create_llm_compiler(self.model, self.tools(), **given)

    def tools(self) -> list[BaseTool]:
        """The tools."""

        @tool
        async def look(what: str) -> str:
            """Look."""
            self.ran[f"look {what}"] += 1
            return f"{what}@example.org"

        @tool
        async def send(to: str) -> str:
            """Send a letter."""
            self.ran[f"send {to}"] += 1
            return f"sent to {to}"

        @tool
        async def ask(what: str) -> str:
            """Ask a human."""
            return f"told {interrupt(what)}"

        look.metadata = {"readOnlyHint": True}
        return [look, send, ask]

    async def run(self, given: Any, *, sync: bool = False) -> Any:
        """Run the graph either way."""
        if sync:
            return await asyncio.to_thread(self.graph.invoke, given, THREAD)
        return await self.graph.ainvoke(given, THREAD)


def edit(plan: Any) -> dict[str, Any]:
    """The decision to run another plan."""
    return {"type": "edit", "edited_action": {"name": "plan", "args": {"plan": plan}}}


def answer(*decisions: dict[str, Any]) -> Command[Any]:
    """A human's answer to a batched question."""
    return Command(resume={"decisions": list(decisions)})


def question(paused: Any) -> Any:
    """The one question that a run has paused with."""
    (asked,) = paused["__interrupt__"]
    return asked.value


APPROVE = {"type": "approve"}


@both_ways
async def test_a_plan_is_asked_about_as_langchain_asks(sync: bool) -> None:
    """One action named `plan`, with its text and a readable table; approved, it runs as it was shown."""
    desk = Desk(PLAN, "Finish: done")
    paused = await desk.run(QUESTION, sync=sync)
    assert question(paused) == {
        "action_requests": [{"name": "plan", "args": {"plan": SHOWN}, "description": TABLE}],
        "review_configs": [
            {
                "action_name": "plan",
                "allowed_decisions": ALLOWED,
                "args_schema": {"type": "object", "properties": {"plan": {"type": "string"}}, "required": ["plan"]},
            }
        ],
    }
    assert desk.ran == {}
    final = await desk.run(answer(APPROVE), sync=sync)
    assert desk.ran == {"look ann": 1, "send ann@example.org": 1}
    assert final["messages"][-1].text == "done"
    assert final["rounds"][0]["approval"] == "approve"
    assert len(desk.model.calls) == 2


@both_ways
async def test_per_call_a_plan_is_a_question_answered_by_its_id(sync: bool) -> None:
    """In `per_call` mode it has the form of LangChain's `ToolApprovalRequest`, with a schema of the answer."""
    desk = Desk(PLAN, "Finish: done", interrupt_mode="per_call")
    paused = await desk.run(QUESTION, sync=sync)
    (asked,) = paused["__interrupt__"]
    message = paused["messages"][-1]
    assert asked.value == {
        "type": "tool_approval",
        "tool_call_id": message.id,
        "name": "plan",
        "args": {"plan": SHOWN},
        "description": TABLE,
    }
    assert [each["properties"]["type"]["const"] for each in asked.response_schema["oneOf"]] == ALLOWED
    final = await desk.run(Command(resume={asked.id: APPROVE}), sync=sync)
    assert final["messages"][-1].text == "done"
    assert desk.ran == {"look ann": 1, "send ann@example.org": 1}


@both_ways
@both_modes
async def test_an_edited_plan_is_checked_and_asked_about_until_it_can_be_used(sync: bool, mode: Any) -> None:
    """An edit that cannot be used is asked again with what is wrong, nothing runs; then that very plan runs."""
    desk = Desk(PLAN, "Finish: done", interrupt_mode=mode)

    async def reply(decision: dict[str, Any]) -> Any:
        return await desk.run(Command(resume=decision if mode == "per_call" else [decision]), sync=sync)

    def text(asked: Any) -> Any:
        return (asked if mode == "per_call" else asked["action_requests"][0])["args"]["plan"]

    await desk.run(QUESTION, sync=sync)
    asked = question(await reply(edit('1. lok("bob")')))
    assert asked["error"] == "line 1, column 1: no tool is named 'lok'; did you mean 'look'? [unknown-tool]"
    assert [(each["line"], each["code"]) for each in asked["diagnostics"]] == [(1, "unknown-tool")]
    assert text(asked) == '1. lok("bob")'
    asked = question(await reply(edit("Rather write to Bob.")))
    assert "no task could be read" in asked["error"]
    asked = question(await reply(edit(7)))
    assert "the decision 'edit' about a plan needs" in asked["error"]
    assert "diagnostics" not in asked
    assert text(asked) == "Rather write to Bob."
    asked = question(await reply({"type": "respond", "message": "no"}))
    assert "must be one of approve, edit, reject" in asked["error"]
    assert desk.ran == {}
    final = await reply(edit('1. look("bob")\n2. send("$1")'))
    assert desk.ran == {"look bob": 1, "send bob@example.org": 1}
    assert [call["args"] for call in final["messages"][1].tool_calls] == [{"what": "bob"}, {"to": "$1"}]
    assert [m.tool_call_id for m in final["messages"][2:4]] == [c["id"] for c in final["messages"][1].tool_calls]
    assert final["plan_text"] == '1. look(what="bob")\n2. send(to=$1)\n3. join()'
    assert final["rounds"][0]["approval"] == "edit"
    assert [m.content for m in desk.model.calls[1] if isinstance(m, AIMessage)] == ['1. look("bob")\n2. send("$1")']


@both_ways
@both_modes
async def test_a_rejected_plan_makes_no_call_and_the_joiner_is_told(sync: bool, mode: Any) -> None:
    """Each of its calls is answered with the reason, as a rejected tool's; joiner and thread go on."""
    desk = Desk(PLAN, "Replan: ask", '3. look("bob")', "Finish: done", interrupt_mode=mode)
    await desk.run(QUESTION, sync=sync)
    reject = {"type": "reject", "message": "do not write to Ann"}
    paused = await desk.run(Command(resume=reject if mode == "per_call" else [reject]), sync=sync)
    told = [m for m in paused["messages"] if isinstance(m, ToolMessage)]
    assert [(m.status, m.text) for m in told] == [("error", "a human rejected the plan: do not write to Ann")] * 2
    assert "a human rejected the plan: do not write to Ann" in str(desk.model.calls[1][-1].content)
    assert "do not write to Ann" in str(desk.model.calls[2][3].content), "the planner of the next plan is told"
    assert question(paused), "the next plan is asked about too"
    assert desk.ran == {}
    final = await desk.run(Command(resume=APPROVE if mode == "per_call" else [APPROVE]), sync=sync)
    assert desk.ran == {"look bob": 1}
    assert [each["approval"] for each in final["rounds"]] == ["reject", "approve"]
    assert [entry["index"] for entry in final["timeline"]] == [1, 2, 3]


async def test_a_thread_goes_on_after_a_rejection() -> None:
    """The next turn of the thread sees a conversation in which every call has an answer."""
    desk = Desk(PLAN, "Finish: I wrote to nobody.", '1. look("bob")', "Finish: two")
    await desk.run(QUESTION)
    final = await desk.run(answer({"type": "reject"}))
    assert final["messages"][-1].text == "I wrote to nobody."
    await desk.run({"messages": [HumanMessage("And Bob?")]})
    final = await desk.run(answer(APPROVE))
    assert final["messages"][-1].text == "two"
    assert desk.ran == {"look bob": 1}


async def test_a_thread_left_while_its_plan_waits() -> None:
    """A new question in place of a decision: the plan's calls are cancelled, and the new plan is asked about."""
    desk = Desk(PLAN, '1. look("bob")', "Finish: two")
    await desk.run(QUESTION)
    paused = await desk.run({"messages": [HumanMessage("Forget it. Where is Bob?")]})
    assert question(paused)["action_requests"][0]["args"]["plan"] == '1. look(what="bob")\n2. join()'
    assert [m.status for m in paused["messages"] if isinstance(m, ToolMessage)] == ["error", "error"]
    await desk.run(answer(APPROVE))
    assert desk.ran == {"look bob": 1}


@pytest.mark.parametrize("plan_format", ["text", "tools"])
async def test_no_tool_begins_before_the_decision(plan_format: Any) -> None:
    """Also not a read-only one while the plan is still written, in either format."""
    if plan_format == "text":
        replies: list[Any] = [PLAN, "Finish: done"]
    else:
        calls = [
            {"name": "look", "args": {"task": 1, "what": "ann"}, "id": "a"},
            {"name": "send", "args": {"task": 2, "to": "$1"}, "id": "b"},
        ]
        replies = [AIMessage("", tool_calls=calls), "Finish: done"]
    desk = Desk(*replies, plan_format=plan_format)
    paused = await desk.run(QUESTION)
    await asyncio.sleep(0)
    assert desk.ran == {}
    assert question(paused)["action_requests"][0]["args"] == {"plan": SHOWN}
    await desk.run(answer(APPROVE))
    assert desk.ran == {"look ann": 1, "send ann@example.org": 1}


async def test_a_mended_plan_is_asked_about_once() -> None:
    """What is asked about is the plan after its repair; what stays unusable is said below the table."""
    desk = Desk('1. lok("ann")\n2. send("$1")', '1. look("ann")', "Finish: done")
    paused = await desk.run(QUESTION)
    assert question(paused)["action_requests"][0]["args"] == {"plan": SHOWN}
    await desk.run(answer(APPROVE))
    assert desk.ran == {"look ann": 1, "send ann@example.org": 1}
    desk = Desk('1. lok("ann")\n2. send("bob")', max_repairs=0)
    request = question(await desk.run(QUESTION))["action_requests"][0]
    assert request["description"].endswith("Task 1 cannot be used: no tool is named 'lok' (did you mean 'look'?)")


async def test_a_plan_that_the_joiner_writes_is_asked_about() -> None:
    """With `fuse_replan` too, nothing of the next plan begins before the decision."""
    desk = Desk('1. look("ann")', 'Replan: write\n2. look("bob")\n3. send("$1")', "Finish: done", fuse_replan=True)
    await desk.run(QUESTION)
    paused = await desk.run(answer(APPROVE))
    assert desk.ran == {"look ann": 1}
    assert question(paused)["action_requests"][0]["args"]["plan"].startswith('2. look(what="bob")\n3. send(to=$1)')
    final = await desk.run(answer(edit('2. send("$1")')))
    assert desk.ran == {"look ann": 1, "send ann@example.org": 1}
    assert [m.content for m in desk.model.calls[2] if isinstance(m, AIMessage)][-1] == '2. send("$1")'
    assert final["messages"][-1].text == "done"


@both_ways
@both_modes
async def test_calls_are_asked_about_after_the_plan(sync: bool, mode: Any) -> None:
    """A plan that was approved is not the approval of its calls that need one; the plan is not asked about again."""
    desk = Desk(PLAN, "Finish: done", interrupt_on={"send": True}, interrupt_mode=mode)
    await desk.run(QUESTION, sync=sync)
    decision = APPROVE if mode == "per_call" else [APPROVE]
    paused = await desk.run(Command(resume=decision), sync=sync)
    asked = question(paused)
    assert (asked if mode == "per_call" else asked["action_requests"][0])["args"] == {"to": "ann@example.org"}
    assert desk.ran == {"look ann": 1}
    await desk.run(Command(resume=decision), sync=sync)
    assert desk.ran == {"look ann": 1, "send ann@example.org": 1}


@both_ways
async def test_a_tool_that_asks_by_itself_comes_after_the_plan(sync: bool) -> None:
    """The answer to the plan is not taken for the answer to what its tool asks."""
    desk = Desk('1. ask("one")\n2. look("bob")\n3. ask("$2")', "Finish: done")
    await desk.run(QUESTION, sync=sync)
    paused = await desk.run(answer(APPROVE), sync=sync)
    assert [each.value for each in paused["__interrupt__"]] == ["one", "bob@example.org"]
    ids = [each.id for each in paused["__interrupt__"]]
    final = await desk.run(Command(resume=dict(zip(ids, ["eins", "zwei"], strict=True))), sync=sync)
    assert [task["value"] for task in final["tasks"]] == ["told eins", "bob@example.org", "told zwei"]
    assert desk.ran == {"look bob": 1}


async def test_only_plans_with_effects() -> None:
    """With `"effects"`, a plan of read-only calls runs by itself; one that sends something is asked about first."""
    desk = Desk('1. look("ann")', 'Replan: send\n\n2. send("$1")', PLAN, "Finish: done", approve_plans="effects")
    paused = await desk.run(QUESTION)
    assert desk.ran == {"look ann": 1}
    assert "send" in question(paused)["action_requests"][0]["args"]["plan"]


async def test_a_config_picks_and_describes_plans() -> None:
    """LangChain's `InterruptOnConfig` says which decisions are allowed, about which plans, and what is shown."""
    seen: list[Any] = []

    def when(request: Any) -> bool:
        seen.append(request.tool_call)
        return len(parse_plan(request.tool_call["args"]["plan"]).tasks) > 1

    config: Any = {
        "allowed_decisions": ["approve", "reject"],
        "when": when,
        "description": lambda call, state, runtime: f"{state['messages'][0].text} {call['name']}",
    }
    desk = Desk(PLAN, "Finish: done", '1. look("ann")', "Finish: two", approve_plans=config)
    paused = await desk.run(QUESTION)
    asked = question(paused)
    assert asked["action_requests"][0]["description"] == "Write to Ann. plan"
    assert asked["review_configs"][0]["allowed_decisions"] == ["approve", "reject"]
    assert "must be one of approve, reject" in question(await desk.run(answer(edit("1. join()"))))["error"]
    await desk.run(answer(APPROVE))
    final = await desk.run(QUESTION)
    assert final["messages"][-1].text == "two", "a plan that `when` leaves out is not asked about"
    assert [call["name"] for call in seen] == ["plan", "plan"], "each plan is looked at once"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("all", "approve_plans must be True, False, 'effects' or an InterruptOnConfig, not 'all'"),
        (None, "approve_plans must be True, False or an InterruptOnConfig, not None"),
        ({"allowed_decisions": ["respond"]}, "approve_plans: allowed_decisions must be some of approve, edit, reject"),
        ({"allowed": []}, "approve_plans: keys must be some of allowed_decisions"),
    ],
)
def test_what_it_cannot_be(given: Any, message: str) -> None:
    """What is neither a yes, a no nor a config is refused by name."""
    with pytest.raises(ConfigurationError, match=message[:40]) as refused:
        Desk(approve_plans=given)
    assert message in str(refused.value)


async def test_an_empty_plan_is_not_asked_about() -> None:
    """A plan that calls nothing needs nobody; a plan edited to call nothing calls nothing."""
    desk = Desk("1. join()", "Finish: hello", PLAN, "Finish: fine")
    final = await desk.run(QUESTION)
    assert final["messages"][-1].text == "hello"
    await desk.run(QUESTION)
    final = await desk.run(answer(edit("1. join()")))
    assert final["messages"][-1].text == "fine"
    assert final["tasks"] == []
    assert not [m for m in final["messages"] if isinstance(m, AIMessage) and m.tool_calls]
    assert desk.ran == {}


async def test_an_unusable_edit_that_is_approved_runs_what_can_be_run() -> None:
    """Who approves what was asked about again has it run as it stands; the rest fails and is told."""
    desk = Desk(PLAN, "Finish: done")
    await desk.run(QUESTION)
    await desk.run(answer(edit('1. look("bob")\n2. lok("$1")')))
    final = await desk.run(answer(APPROVE))
    assert [task["status"] for task in final["tasks"]] == ["done", "failed"]
    assert desk.ran == {"look bob": 1}
    assert len([m for m in final["messages"] if isinstance(m, ToolMessage)]) == 2


async def test_a_plan_changed_in_the_state_is_asked_about_as_it_stands_then() -> None:
    """What is approved is what runs, also if `plan_text` was changed while the plan waited."""
    desk = Desk(PLAN, "Finish: done")
    await desk.run(QUESTION)
    await desk.graph.aupdate_state(THREAD, {"plan_text": '1. look("eve")'})
    paused = await desk.run(None)
    assert question(paused)["action_requests"][0]["args"] == {"plan": '1. look(what="eve")\n2. join()'}
    assert desk.ran == {}
    await desk.run(answer(APPROVE))
    assert desk.ran == {"look eve": 1}


@both_ways
async def test_in_a_subgraph_the_question_comes_once(sync: bool) -> None:
    """A parent graph pauses with one question, and its answer goes on in the subgraph."""
    desk = Desk(PLAN, "Finish: done", checkpointer=None)
    parent = StateGraph(MessagesState)
    parent.add_node("agent", desk.graph)
    parent.add_edge(START, "agent")
    desk.graph = parent.compile(InMemorySaver())
    paused = await desk.run(QUESTION, sync=sync)
    assert question(paused)["action_requests"][0]["args"] == {"plan": SHOWN}
    assert desk.ran == {}
    final = await desk.run(answer(APPROVE), sync=sync)
    assert final["messages"][-1].text == "done"
    assert desk.ran == {"look ann": 1, "send ann@example.org": 1}


@both_ways
async def test_another_process_goes_on(sync: bool, store: str) -> None:
    """From the database alone, the plan that was shown runs: the planner is not asked again."""

    async def run(desk: Desk, given: Any) -> Any:
        async with saver_at(store, sync=sync) as saver:
            desk.graph.checkpointer = saver
            return await desk.run(given, sync=sync)

    await run(Desk(PLAN), QUESTION)
    asked = question(await run(Desk(), answer(edit('1. look("bob")\n2. snd("$1")'))))
    assert "snd" in asked["error"]
    later = Desk("Finish: done")
    final = await run(later, answer(edit('1. look("bob")\n2. send("$1")')))
    assert final["messages"][-1].text == "done"
    assert later.ran == {"look bob": 1, "send bob@example.org": 1}
    assert len(later.model.calls) == 1


@both_ways
async def test_a_crash_after_the_decision(sync: bool) -> None:
    """A run that ends in the middle of an approved plan goes on without asking again, nor doing anything twice."""
    desk = Desk('1. look("ann")\n2. break_once()\n3. send("$1")', "Finish: done")
    broken = Counter[str]()

    @tool
    def break_once() -> str:
        """Break."""
        broken["calls"] += 1
        if broken["calls"] == 1:
            msg = "the power went out"
            raise OSError(msg)
        return "whole"

    desk.graph = create_llm_compiler(
        desk.model,
        [*desk.tools(), break_once],
        checkpointer=InMemorySaver(),
        approve_plans=True,
        handle_tool_errors=False,
        tool_concurrency={"break_once": 1},
    )
    await desk.run(QUESTION, sync=sync)
    with pytest.raises(OSError, match="the power went out"):
        await desk.run(answer(APPROVE), sync=sync)
    final = await desk.run(None, sync=sync)
    assert final["messages"][-1].text == "done"
    assert broken["calls"] == 2
    assert desk.ran["send ann@example.org"] == 1


@both_ways
async def test_hooks_after_the_planner_come_before_the_question(sync: bool) -> None:
    """What middleware makes of a plan, `after_model`, is done before a human is asked, and once."""
    order: list[str] = []

    class Hook(AgentMiddleware[Any, Any]):
        def after_model(self, state: Any, runtime: Any) -> None:
            order.append(state["messages"][-1].type + str(len(getattr(state["messages"][-1], "tool_calls", ()))))

    desk = Desk(PLAN, "Finish: done", middleware=[Hook()])
    paused = await desk.run(QUESTION, sync=sync)
    assert question(paused)
    assert order == ["ai2"]
    await desk.run(answer(APPROVE), sync=sync)
    assert order == ["ai2", "ai0"]
    assert desk.ran == {"look ann": 1, "send ann@example.org": 1}


async def test_what_is_shown_hides_nothing() -> None:
    """Arguments in the table are code that ends where it should; long ones are cut there, and whole in the plan."""
    long = "x" * 1000
    desk = Desk(f'1. send("a|b `c`")\n2. send("\u202egro.elpmaxe\\n| 9 | z |")\n3. send("{long}")')
    request = question(await desk.run(QUESTION))["action_requests"][0]
    rows = request["description"].splitlines()
    assert rows[2] == '| 1 | `send` | `` to="a\\|b `c`" `` |  | yes |'
    assert "\u202e" not in rows[3]
    assert "\\u202e" in rows[3]
    assert len(rows) == 5
    assert "…" in rows[4]
    assert long in request["args"]["plan"]


async def test_every_update_has_messages() -> None:
    """Clients that read `messages` of every update may do so while a plan waits, and after."""
    desk = Desk(PLAN, "Finish: done")
    given: Any = QUESTION
    for _ in range(2):
        async for part in desk.graph.astream(given, THREAD, stream_mode="updates"):
            for node, update in part.items():
                assert node == "__interrupt__" or "messages" in update, node
        given = answer(APPROVE)
    assert desk.ran == {"look ann": 1, "send ann@example.org": 1}


def settles(most: int) -> AgentMiddleware[Any, Any]:
    """A hook that answers the first calls of a plan."""

    class Settles(AgentMiddleware[Any, Any]):
        def after_model(self, state: Any, runtime: Any) -> Any:
            calls = getattr(state["messages"][-1], "tool_calls", ())[:most]
            return {"messages": [ToolMessage("told", tool_call_id=call["id"]) for call in calls]} if calls else None

    return Settles()


async def test_calls_that_hooks_have_answered() -> None:
    """They are not asked about again: a rejection leaves them as they are, another call in their place is made."""
    final = await Desk(PLAN, "Finish: done", middleware=[settles(2)]).run(QUESTION)
    assert [task["value"] for task in final["tasks"]] == ["told", "told"], "nothing was left to be asked about"
    desk = Desk(PLAN, "Finish: done", middleware=[settles(1)])
    await desk.run(QUESTION)
    final = await desk.run(answer({"type": "reject", "message": "no"}))
    assert [(task["status"], task["value"]) for task in final["tasks"]] == [("done", "told"), ("failed", None)]
    assert [m.text for m in final["messages"] if isinstance(m, ToolMessage)] == [
        "told",
        "a human rejected the plan: no",
    ]
    assert desk.ran == {}
    desk = Desk(PLAN, "Finish: done", middleware=[settles(1)])
    await desk.run(QUESTION)
    final = await desk.run(answer(edit('1. look("bob")\n2. send("$1")')))
    assert desk.ran == {"look bob": 1, "send bob@example.org": 1}
    assert len([m for m in final["messages"] if isinstance(m, ToolMessage)]) == 2


@pytest.mark.parametrize(
    "given",
    [
        *("yes", 5, [], {"decisions": []}, {"decisions": "approve"}, {"decisions": [None]}),
        *({"decisions": [APPROVE, APPROVE]}, {"decisions": [{"type": "edit"}]}),
        {"decisions": [{"type": "edit", "edited_action": {"name": "other", "args": {"plan": "1. join()"}}}]},
    ],
)
async def test_an_answer_that_is_no_decision(given: Any) -> None:
    """It is asked again, with what was expected; nothing has run, and the thread goes on."""
    desk = Desk(PLAN, "Finish: done")
    await desk.run(QUESTION)
    again = question(await desk.run(Command(resume=given)))
    assert again["error"]
    assert again["action_requests"][0]["args"] == {"plan": SHOWN}
    assert desk.ran == {}
    assert (await desk.run(answer(APPROVE)))["messages"][-1].text == "done"


def test_the_time_of_a_decision_does_not_count() -> None:
    """A turn with a deadline that waits for a human for longer than that runs its plan afterwards."""

    async def run_with_pause() -> list[str]:
        desk = Desk(PLAN, "Finish: done", deadline=5, deadline_grace=1)
        await desk.run(QUESTION)
        await asyncio.sleep(1000)
        return [task["status"] for task in (await desk.run(answer(APPROVE)))["tasks"]]

    assert run_virtual(run_with_pause) == ["done", "done"]


@both_ways
@pytest.mark.parametrize("most", [1, 2])
async def test_few_slots(sync: bool, most: int) -> None:
    """Whatever `max_concurrency` the run's config has."""
    desk = Desk(PLAN, "Finish: done", interrupt_on={"send": True})
    config: Any = {**THREAD, "max_concurrency": most}
    given: Any = QUESTION
    for _ in range(3):
        final = await (
            asyncio.to_thread(desk.graph.invoke, given, config) if sync else desk.graph.ainvoke(given, config)
        )
        given = answer(APPROVE)
    assert final["messages"][-1].text == "done"
    assert desk.ran == {"look ann": 1, "send ann@example.org": 1}
