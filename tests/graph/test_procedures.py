import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from llmcompiler_graph.timeline import timeline_of

QUESTION: Any = {"messages": [("user", "?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
HEIGHTS = {"Mount Everest": 8849, "K2": 8611, "Mont Blanc": 4806}
DIFFERENCE = '''
difference(first: str, second: str):
  """How much higher the first mountain is than the second, in metres."""
  1. lookup("${first}")
  2. lookup("${second}")
  3. minus("${1.height_m}", "${2.height_m}")
'''


class Tools:
    """Tools that note their calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def made(self, **hints: bool) -> list[BaseTool]:
        """Make them; look-ups take a second and are read-only."""

        @tool
        async def lookup(name: str) -> dict[str, int]:
            """Look a mountain up."""
            self.calls.append(f"lookup {name}")
            await asyncio.sleep(1)
            return {"height_m": HEIGHTS[name]}

        @tool
        def minus(a: float, b: float) -> float:
            """Subtract."""
            return a - b

        @tool
        def send(to: str, text: str) -> str:
            """Send a message."""
            self.calls.append(f"send {to} {text}")
            return "sent"

        @tool
        def names() -> list[str]:
            """Name all mountains."""
            return list(HEIGHTS)

        lookup.metadata = {"readOnlyHint": True}
        send.metadata = {"destructiveHint": True}
        return [lookup, minus, send, names]


def ran(replies: list[Any], procedures: list[Any], tools: Tools | None = None, **options: Any) -> Any:
    """Run a turn on the virtual clock; give the final state, and the model."""
    model = ScriptedModel(replies, chunk_size=options.pop("chunk_size", 0))

    async def main() -> Any:
        graph = create_llm_compiler(model, (tools or Tools()).made(), procedures=procedures, **options)
        return await graph.ainvoke(QUESTION)

    return run_virtual(main), model


def shown(final: Any) -> list[tuple[str, Any]]:
    """The lines of a turn's tasks, with what each returned or what went wrong."""
    return [(task["text"], task["value"] if task["status"] == "done" else task["error"]) for task in final["tasks"]]


def test_a_call_is_inlined() -> None:
    """The tasks of a procedure stand in place of its call; what refers to the call has the last one's result."""
    plan = '1. difference("Mount Everest", "K2")\n2. difference("K2", "Mont Blanc")\n3. minus("$2", "$1")\n4. join()'
    tools = Tools()
    final, _ = ran([plan, "Finish: done"], [DIFFERENCE], tools)
    assert shown(final) == [
        ('1. lookup(name="Mount Everest")', {"height_m": 8849}),
        ('2. lookup(name="K2")', {"height_m": 8611}),
        ("3. minus(a=${1.height_m}, b=${2.height_m})", 238),
        ('4. lookup(name="K2")', {"height_m": 8611}),
        ('5. lookup(name="Mont Blanc")', {"height_m": 4806}),
        ("6. minus(a=${4.height_m}, b=${5.height_m})", 3805),
        ("7. minus(a=$6, b=$3)", 3567),
    ]
    assert tools.calls == ["lookup Mount Everest", "lookup K2", "lookup Mont Blanc"]  # K2 once


def test_tasks_start_while_the_plan_is_written() -> None:
    """The tasks of a procedure begin when its line is there, all together, and no later than written out."""
    model = ScriptedModel(['1. difference("K2", "Mont Blanc")\n2. names()\n3. join()', "Finish: done"], chunk_size=4)
    model.seconds_per_reply = 4

    async def main() -> Any:
        return await create_llm_compiler(model, Tools().made(), procedures=[DIFFERENCE]).ainvoke(QUESTION)

    timeline = run_virtual(main)["timeline"]
    assert all(entry["early"] for entry in timeline[:2])
    assert timeline[0]["started"] == timeline[1]["started"] < 3
    assert timeline[2]["started"] == timeline[0]["finished"]


def test_the_timeline_tells_where_tasks_come_from() -> None:
    """Records, events and the drawn timeline name the call that a task stands in for; others name none."""
    model = ScriptedModel(['1. names()\n2. difference("K2", "Mont Blanc")', "Finish: done"], chunk_size=0)

    async def main() -> Any:
        graph = create_llm_compiler(model, Tools().made(), procedures=[DIFFERENCE])
        events = [
            event async for mode, event in graph.astream(QUESTION, stream_mode=["custom", "values"]) if mode == "custom"
        ]
        model.replies += model.replies
        return events, await graph.ainvoke(QUESTION)

    events, final = run_virtual(main)
    call = '4. difference(first="K2", second="Mont Blanc")'
    assert [task.get("procedure", "") for task in final["tasks"]] == ["", call, call, call]
    assert [bar.procedure for bar in timeline_of(final).tasks] == ["", call, call, call]
    assert {event["index"]: event.get("procedure", "") for event in events} == {1: "", 2: call, 3: call, 4: call}
    assert "from procedure" in timeline_of(final).to_html()


def test_a_call_for_every_element() -> None:
    """`$2[*]` over a procedure gives the list of what it returns for each element; what takes none runs once."""
    tools = Tools()
    final, _ = ran(['1. names()\n2. difference("${1[*]}", "Mont Blanc")', "Finish: done"], [DIFFERENCE], tools)
    assert final["tasks"][-1]["value"] == [4043, 3805, 0]
    assert sorted(tools.calls) == ["lookup K2", "lookup Mont Blanc", "lookup Mount Everest"]


def test_a_call_for_every_element_of_a_list_written_out() -> None:
    """A list in the plan fans out over a procedure as one that a task returned does."""
    final, _ = ran(['1. difference(["Mount Everest", "K2"][*], "Mont Blanc")', "Finish: done"], [DIFFERENCE])
    assert final["tasks"][-1]["value"] == [4043, 3805]


def test_nested() -> None:
    """A procedure may call others; what plans see of it is its own signature."""
    nested = 'above_blanc(name: str):\n  1. difference("${name}", "Mont Blanc")\n  2. minus("$1", 0)'
    final, model = ran(['1. above_blanc("K2")', "Finish: done"], [nested, DIFFERENCE])
    assert final["tasks"][-1]["value"] == 3805
    assert len(final["tasks"]) == 4
    assert "- above_blanc(name: str) -> float\n" in model.calls[0][0].content


def test_order_after_a_procedure() -> None:
    """What comes after a call comes after all tasks that the procedure ends with, not only its last."""
    slow = 'slow(name: str):\n  1. lookup("${name}")\n  2. names()'
    final, _ = ran(['1. slow("K2")\n2. names() after $1', "Finish: done"], [slow])
    assert final["tasks"][-1]["text"] == "3. names() after $1, $2"
    assert final["timeline"][-1]["started"] == final["timeline"][0]["finished"]


def test_effects_keep_plan_order() -> None:
    """Calls with effects are made in the order of the plan, those of procedures where the call stands."""
    tell = 'tell(who: str):\n  1. lookup("${who}")\n  2. send("${who}", "${1.height_m}")\n  3. names()'
    tools = Tools()
    ran(['1. send("a", "first")\n2. tell("K2")\n3. send("b", "last")', "Finish: done"], [tell], tools)
    assert [call for call in tools.calls if call.startswith("send")] == ["send a first", "send K2 8611", "send b last"]


def test_approvals() -> None:
    """A call of a procedure is approved as any: before it is made, with its arguments; what is done runs no more."""
    tell = 'tell(who: str):\n  1. lookup("${who}")\n  2. send("${who}", "${1.height_m}")'
    tools, model = Tools(), ScriptedModel(['1. tell("K2")', "Finish: done"])

    async def main() -> Any:
        graph = create_llm_compiler(
            model, tools.made(), procedures=[tell], interrupt_on={"send": True}, checkpointer=InMemorySaver()
        )
        paused = await graph.ainvoke(QUESTION, THREAD)
        (asked,) = paused["__interrupt__"]
        assert tools.calls == ["lookup K2"]
        return asked.value, await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)

    asked, final = run_virtual(main)
    assert asked["action_requests"][0]["args"] == {"to": "K2", "text": "8611"}
    assert tools.calls == ["lookup K2", "send K2 8611"]
    assert [task["status"] for task in final["tasks"]] == ["done", "done"]


@pytest.mark.parametrize("sync", [False, True])
def test_a_crash_in_the_middle_runs_nothing_twice(sync: bool) -> None:
    """Each task of a procedure is persisted as it finishes."""
    calls: list[str] = []

    @tool
    def fetch(name: str) -> str:
        """Fetch."""
        calls.append(name)
        return name

    @tool
    def store(name: str) -> str:
        """Store."""
        calls.append(f"store {name}")
        if calls.count(f"store {name}") == 1:
            msg = "the machine is down"
            raise RuntimeError(msg)
        return name

    text = 'keep(name: str):\n  1. fetch("${name}")\n  2. store("$1")'
    model = ScriptedModel(['1. keep("a")\n2. keep("b")', "Finish: done"])
    graph = create_llm_compiler(
        model, [fetch, store], procedures=[text], handle_tool_errors=False, checkpointer=InMemorySaver()
    )

    def run(given: Any) -> Any:
        return graph.invoke(given, THREAD) if sync else asyncio.run(graph.ainvoke(given, THREAD))

    with pytest.raises(RuntimeError):
        run(QUESTION)
    while True:
        try:
            final = run(None)
            break
        except RuntimeError:
            pass
    assert [call for call in calls if not call.startswith("store")] in (["a", "b"], ["b", "a"])
    assert [task["status"] for task in final["tasks"]] == ["done"] * 4


def test_a_broken_call_is_asked_for_again() -> None:
    """A call with a wrong argument is written again, and inlined where it stood: effects keep their order.

    The model is shown its plan with the numbers that the tasks have.
    """
    tell = 'tell(who: str):\n  1. lookup("${who}")\n  2. send("${who}", "${1.height_m}")'
    tools = Tools()
    plan = '1. names()\n2. tell(whom="K2")\n3. send("b", "last")'
    final, model = ran([plan, '3. tell(who="K2")', "Finish: done"], [tell], tools)
    shown_plan, request = model.calls[1][-2:]
    assert shown_plan.content == '1. names()\n3. tell(whom="K2")\n4. send("b", "last")'
    assert '3. tell(whom="K2")' in request.content
    assert tools.calls == ["lookup K2", "send K2 8611", "send b last"]
    assert [task["status"] for task in final["tasks"]] == ["done"] * 4
    assert [task["tool"] for task in final["tasks"]] == ["names", "lookup", "send", "send"]


def test_a_placeholder_is_asked_about() -> None:
    """Text that stands for a result elsewhere is asked about, as in a call of a tool; written again, it counts."""
    plan = '1. names()\n2. difference("{1}", "K2")'
    final, model = ran([plan, '4. difference("K2", "{1}")', "Finish: done"], [DIFFERENCE])
    assert "write `$1` for what task 1 returned" in model.calls[1][-1].content
    assert [task["status"] for task in final["tasks"]] == ["done", "done", "failed", "skipped"]


def test_what_needs_a_broken_task_waits() -> None:
    """A call that takes what a broken task returns runs once that is written again."""
    plan = '1. lokup("K2")\n2. difference("Mount Everest", "${1.name}")\n3. minus("$2", 1)'
    another = 'named(of: str):\n  1. lookup("${of}")'
    final, _ = ran([plan.replace("${1.name}", "${1[0]}"), "1. names()", "Finish: done"], [DIFFERENCE, another])
    assert [task["status"] for task in final["tasks"]] == ["done"] * 5
    assert final["tasks"][-1]["value"] == -1


def test_a_call_that_cannot_be_repaired_fails_alone() -> None:
    """What is wrong with a call reaches the joiner; other tasks run."""
    final, _ = ran(['1. difference("K2")\n2. names()', "Finish: done"], [DIFFERENCE], max_repairs=0)
    assert [(task["tool"], task["status"]) for task in final["tasks"]] == [("difference", "failed"), ("names", "done")]
    assert "'difference' needs `second` (str)" in final["tasks"][0]["error"]


def test_what_cannot_be_inlined_is_said() -> None:
    """A call that fits the parameters but cannot stand for its tasks is the call's own fault, at its place."""
    all_of = 'all_of(them: list[str]):\n  1. lookup("Mount ${them[*]}")'
    final, _ = ran(['1. names()\n2. all_of(["K2"])', "Finish: done"], [all_of], max_repairs=0)
    (problem,) = final["rounds"][0]["diagnostics"]
    assert (problem["code"], problem["line"], problem["index"]) == ("argument-elements", 2, 2)


def test_a_replan_goes_on_with_the_numbers() -> None:
    """The next plan's numbers follow those of the inlined tasks, and refer to the procedure's result."""
    first, second = '1. difference("K2", "Mont Blanc")', '4. difference("Mount Everest", "K2")\n5. minus("$3", "$4")'
    final, model = ran([first, "Replan: more", second, "Finish: done"], [DIFFERENCE])
    assert " 4;" in model.calls[2][-1].content
    assert shown(final)[3:] == [
        ('4. lookup(name="Mount Everest")', {"height_m": 8849}),
        ('5. lookup(name="K2")', {"height_m": 8611}),
        ("6. minus(a=${4.height_m}, b=${5.height_m})", 238),
        ("7. minus(a=$3, b=$6)", 3567),
    ]


def test_native_calls() -> None:
    """Models that plan with native calls are shown procedures as functions."""
    calls = [
        {"name": "difference", "args": {"first": "K2", "second": "Mont Blanc", "task": 1}, "id": "a"},
        {"name": "minus", "args": {"a": "$1", "b": 5, "task": 2}, "id": "b"},
    ]
    final, model = ran([AIMessage("", tool_calls=calls), "Finish: done"], [DIFFERENCE], plan_format="tools")
    assert final["tasks"][-1]["value"] == 3800
    named = {given["function"]["name"] for given in model.settings[0]["tools"]}
    assert named == {"lookup", "minus", "send", "names", "difference"}


def test_selected_like_tools() -> None:
    """Where tools are picked for a question, procedures are picked with them."""
    pytest.importorskip("bm25s")
    model = ScriptedModel(['1. difference("K2", "Mont Blanc")', "Finish: done"])

    async def main() -> Any:
        graph = create_llm_compiler(model, Tools().made(), procedures=[DIFFERENCE], select_tools=1)
        return await graph.ainvoke({"messages": [("user", "How much higher is the first mountain than the second?")]})

    final = run_virtual(main)
    assert "# Tools\n- difference(first: str, second: str) -> float" in model.calls[0][0].content
    assert "- lookup(" not in model.calls[0][0].content
    assert final["tasks"][-1]["value"] == 3805


def test_limits_count_the_tasks() -> None:
    """`max_tasks` counts what stands in place of a call."""
    final, _ = ran(['1. names()\n2. difference("K2", "Mont Blanc")', "Finish: done"], [DIFFERENCE], max_tasks=3)
    assert "a plan may have 3 tasks" in final["tasks"][1]["error"]
    assert final["tasks"][0]["status"] == "done"


def test_a_human_may_write_calls_of_procedures() -> None:
    """A plan that is edited before it runs may call procedures too."""
    model = ScriptedModel(["1. names()", "Finish: done"])

    async def main() -> Any:
        graph = create_llm_compiler(
            model, Tools().made(), procedures=[DIFFERENCE], approve_plans=True, checkpointer=InMemorySaver()
        )
        await graph.ainvoke(QUESTION, THREAD)
        edited = {"name": "plan", "args": {"plan": '1. difference("K2", "Mont Blanc")'}}
        resume = {"decisions": [{"type": "edit", "edited_action": edited}]}
        return await graph.ainvoke(Command(resume=resume), THREAD)

    assert run_virtual(main)["tasks"][-1]["value"] == 3805


def test_prompts_of_those_who_have_none_stay() -> None:
    """Without procedures the prompts are what they are without the argument; with them, tools and examples grow."""

    def prompts(**options: Any) -> list[list[str]]:
        model = ScriptedModel(["1. names()", "Finish: done"])
        asyncio.run(create_llm_compiler(model, Tools().made(), **options).ainvoke(QUESTION))
        return [[str(message.content) for message in call] for call in model.calls]

    without = prompts()
    assert prompts(procedures=[]) == without
    line = (
        "\n- difference(first: str, second: str) -> float\n"
        "  How much higher the first mountain is than the second, in metres."
    )
    example = (
        "\n\nFor Alpha and Beta: how much higher the first mountain is than the second, in metres?\n\n"
        'Write the plan.\ndifference("Alpha", "Beta")\n'
    )
    (system, *_), *_ = given = prompts(procedures=[DIFFERENCE])
    assert line in system
    assert system.count(example) == 1
    assert [call[1:] for call in given] == [call[1:] for call in without]
    before, _, after = system.replace(line, "").partition("# Examples")
    assert without[0][0].startswith(before)
    assert "minus(" not in after  # an example that does what the procedure does: small models copy it
    assert all(word not in text for call in without for text in call for word in ("procedure", " when ${", "until"))


@pytest.mark.parametrize(
    ("procedures", "said"),
    [
        (DIFFERENCE, "procedures must be a list of procedures or their texts"),
        ([DIFFERENCE, DIFFERENCE], "another procedure has this name"),
        ([DIFFERENCE.replace("difference", "lookup")], "another tool has this name"),
        ([DIFFERENCE.replace("lookup", "lokup")], "line 4, column 3: procedure 'difference': no tool is named 'lokup'"),
        (["1. lookup(1)"], "line 1, column 1: this line belongs to no procedure"),
        ([7], "procedures[0] must be a Procedure or its text"),
    ],
)
def test_refused(procedures: Any, said: str) -> None:
    """What cannot be used is refused when the graph is made, with the place."""
    with pytest.raises(ConfigurationError) as refused:
        create_llm_compiler(ScriptedModel(), Tools().made(), procedures=procedures)
    assert said in str(refused.value)
