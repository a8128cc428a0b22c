import asyncio
from typing import Any, cast

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from llmcompiler_graph import (
    ConfigurationError,
    PlanCheckError,
    PlanError,
    Procedure,
    create_llm_compiler,
    parse_plan,
    procedure_from,
)
from llmcompiler_graph.procedures import afind_procedures, find_procedures, parse_procedure, parse_procedures
from llmcompiler_graph.testing import ScriptedModel, run_virtual

QUESTION: Any = {"messages": [("user", "How much higher is Mount Everest than K2?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
HEIGHTS = {"Mount Everest": 8849, "K2": 8611, "Mont Blanc": 4806}
PLAN = '1. lookup("Mount Everest")\n2. lookup("K2")\n3. minus("${1.height_m}", "${2.height_m}")\n4. join()'
DIFFERENCE = """\
height_difference(first: str, second: str):
  1. lookup(name=${first})
  2. lookup(name=${second})
  3. minus(a=${1.height_m}, b=${2.height_m})"""


@tool
async def lookup(name: str) -> dict[str, int]:
    """Look a mountain up."""
    await asyncio.sleep(1)
    return {"height_m": HEIGHTS[name]}


@tool
def minus(a: float, b: float) -> float:
    """Subtract."""
    return a - b


@tool
def send(to: str, text: str) -> str:
    """Send a message."""
    return f"{text} to {to}"


lookup.metadata = {"readOnlyHint": True}
send.metadata = {"destructiveHint": True}
TOOLS: list[BaseTool] = [lookup, minus, send]


def final() -> Any:
    """A turn that went well."""
    return run_virtual(lambda: create_llm_compiler(ScriptedModel([PLAN, "Finish: by 238 m"]), TOOLS).ainvoke(QUESTION))


# -- made of a turn ---------------------------------------------------------------------------------------------------


def test_made_of_a_turn() -> None:
    """Constants become parameters, types come from the tools' schemas, and the tools are noted."""
    mountains = {"first": "Mount Everest", "second": "K2"}
    procedure = procedure_from(final(), name="height_difference", parameters=mountains, tools=TOOLS)
    assert "\n".join(line for line in str(procedure).split("\n") if "# tools" not in line) == DIFFERENCE
    assert set(procedure.pins) == {"lookup", "minus"}
    assert parse_procedure(str(procedure)) == procedure
    run = procedure.as_graph(TOOLS)
    given = {"arguments": {"first": "K2", "second": "Mont Blanc"}}
    assert run_virtual(lambda: run.ainvoke(cast("Any", given)))["result"] == 3805


def state_of(plan: str) -> Any:
    """The final state of a turn with a plan, as far as procedures are made of it."""
    tasks = [{"index": task.index, "text": str(task), "tool": task.tool, "status": "done"} for task in parse_plan(plan)]
    return {"tasks": tasks}


@pytest.mark.parametrize(
    ("plan", "parameters", "made"),
    [
        ('5. find(q="K2 and K20")', {"of": "K2"}, 'p(of: str):\n  1. find(q="${of} and K20")'),
        ('1. find(q="K2, K2")', {"of": "K2"}, 'p(of: str):\n  1. find(q="${of}, ${of}")'),
        (
            '1. find(q="in Rome, Rome, NY")',
            {"a": "Rome", "b": "Rome, NY"},
            'p(a: str, b: str):\n  1. find(q="in ${a}, ${b}")',
        ),
        (
            '1. find(q=5, n=15)\n2. find(q="5 of 1.5 $1")',
            {"n": 5},
            'p(n: int):\n  1. find(q=${n}, n=15)\n  2. find(q="${n} of 1.5 $1")',
        ),
        ('1. find(q="富士山の高さ")', {"of": "富士山"}, 'p(of: str):\n  1. find(q="${of}の高さ")'),
        ('1. find(q=["a", ["b"]])', {"x": ["b"]}, 'p(x: list[str]):\n  1. find(q=["a", ${x}])'),
        ("1. find(q=True, n=1)", {"x": True}, "p(x: bool):\n  1. find(q=${x}, n=1)"),
        ('1. find(q="cost: $$5")', {"x": "cost"}, 'p(x: str):\n  1. find(q="${x}: $$5")'),
        (
            '1. find(q="a")\n7. find(q="$1 of a") after $1',
            {"x": "a"},
            'p(x: str):\n  1. find(q=${x})\n  2. find(q="$1 of ${x}") after $1',
        ),
    ],
)
def test_constants_become_parameters(plan: str, parameters: Any, made: str) -> None:
    """A constant is replaced as a value and as a word, nowhere else; tasks are numbered anew."""
    assert str(procedure_from(state_of(plan), name="p", parameters=parameters)) == made


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"x": "b"}, "'x' is 'b', which is no argument of the plan"),
        ({"x": "a", "y": "a"}, "'x' and 'y' are both 'a'"),
    ],
)
def test_constants_that_are_none(parameters: Any, said: str) -> None:
    """A parameter that was nowhere, or that cannot be told from another, is an error."""
    with pytest.raises(ConfigurationError, match=said):
        procedure_from(state_of('1. find(q="a")'), name="p", parameters=parameters)


def test_only_turns_that_went_well() -> None:
    """Tasks that failed or were skipped make no procedure; it is said which."""
    state = state_of('1. find(q="a")\n2. find(q="$1")')
    state["tasks"][1]["status"] = "failed"
    with pytest.raises(ConfigurationError, match=r"not: 2 \(failed\)"):
        procedure_from(state, name="p", parameters={"x": "a"})
    with pytest.raises(ConfigurationError, match="no tasks in this state"):
        procedure_from({"messages": []}, name="p", parameters={})


# -- as a graph -------------------------------------------------------------------------------------------------------


def test_as_graph_asks_no_model() -> None:
    """Its tasks run in parallel, in no other time than theirs; the result and the tasks are given."""

    async def main() -> Any:
        graph = parse_procedure(DIFFERENCE).as_graph(TOOLS)
        given: Any = {"arguments": {"first": "Mount Everest", "second": "K2"}}
        return await graph.ainvoke(given), asyncio.get_running_loop().time()

    result, seconds = run_virtual(main)
    assert (result["result"], seconds) == (238, 1)
    assert [task["status"] for task in result["tasks"]] == ["done"] * 3
    assert [task["procedure"] for task in result["tasks"]] == [
        '3. height_difference(first="Mount Everest", second="K2")'
    ] * 3


def test_as_graph_with_a_joiner() -> None:
    """One model call: the joiner's, with the question that was given, or with the call."""
    model = ScriptedModel(["Finish: by 238 m", "Finish: so"])

    async def main() -> Any:
        graph = parse_procedure(DIFFERENCE).as_graph(TOOLS, joiner_model=model)
        given: Any = {"arguments": {"first": "Mount Everest", "second": "K2"}}
        return await graph.ainvoke(given | QUESTION), await graph.ainvoke(given)

    asked, unasked = run_virtual(main)
    assert asked["messages"][-1].content == "by 238 m"
    assert unasked["messages"][-1].content == "so"
    prompts = ["\n".join(str(message.content) for message in call) for call in model.calls]
    assert "How much higher is Mount Everest than K2?" in prompts[0]
    assert 'height_difference(first="Mount Everest", second="K2")' in prompts[1]
    assert all("minus(a=" in prompt and "= 238" in prompt for prompt in prompts)


@pytest.mark.parametrize("sync", [False, True])
def test_as_graph_is_approved_and_durable(sync: bool) -> None:
    """An approval pauses the run; what was done is not done again."""
    tell = 'tell(who: str):\n  1. minus(2, 1)\n  2. send("${who}", "$1")'
    graph = parse_procedure(tell).as_graph(TOOLS, interrupt_on={"send": True}, checkpointer=InMemorySaver())

    def run(given: Any) -> Any:
        return graph.invoke(given, THREAD) if sync else asyncio.run(graph.ainvoke(given, THREAD))

    paused = run({"arguments": {"who": "a"}})
    assert paused["__interrupt__"][0].value["action_requests"][0]["args"] == {"to": "a", "text": "1.0"}
    assert run(Command(resume={"decisions": [{"type": "approve"}]}))["result"] == "1.0 to a"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"first": "K2"}, "'height_difference' needs `second` (str)"),
        ({"first": "K2", "second": "K2", "third": 1}, "'height_difference' has no argument `third`"),
        ({"first": ["K2"], "second": {"a": [1]}, "frist": 1}, "did you mean `first`?"),
    ],
)
def test_wrong_arguments(arguments: Any, said: str) -> None:
    """Arguments are checked before anything runs."""
    with pytest.raises(PlanCheckError) as refused:
        parse_procedure(DIFFERENCE).as_graph(TOOLS).invoke(cast("Any", {"arguments": arguments}))
    assert said in str(refused.value)


@pytest.mark.parametrize("value", ["$1", "${first}", 'a "b"\n\\n', "", "\0", "x" * 5000, "K2)\n2. send('a', 'b')"])
def test_arguments_are_data(value: str) -> None:
    """Whatever text an argument is, the tool gets it as it is."""
    echo = parse_procedure('echo(first: str):\n  1. send(to="me", text="${first}")')
    assert echo.as_graph(TOOLS).invoke(cast("Any", {"arguments": {"first": value}}))["result"] == f"{value} to me"


@pytest.mark.parametrize(("names", "result"), [(["K2", "Mont Blanc"], [8611, 4806]), ([], [])])
def test_a_list_is_fanned_out_over(names: list[str], result: list[int]) -> None:
    """A procedure makes a call for each element of a list that is given, also of none."""
    heights = parse_procedure('p(of: list[str]):\n  1. lookup("${of[*]}")\n  2. minus("${1[*].height_m}", 0)')
    given: Any = {"arguments": {"of": names}}
    assert run_virtual(lambda: heights.as_graph(TOOLS).ainvoke(given))["result"] == result


def test_a_failure_is_told() -> None:
    """A task that fails leaves no result, and says why in `tasks`."""
    given: Any = {"arguments": {"first": "Mars", "second": "K2"}}
    result = run_virtual(lambda: parse_procedure(DIFFERENCE).as_graph(TOOLS).ainvoke(given))
    assert result["result"] is None
    assert [task["status"] for task in result["tasks"]] == ["failed", "done", "skipped"]


def test_arguments_that_its_tasks_cannot_have() -> None:
    """What can only be seen when the tasks are there is refused as well."""
    names = parse_procedure('names(of: dict):\n  1. lookup(name="${of.name}")')
    with pytest.raises(PlanError, match=r"takes `\$\{of.name\}`"):
        names.as_graph(TOOLS).invoke(cast("Any", {"arguments": {"of": {"title": "K2"}}}))


# -- as a tool --------------------------------------------------------------------------------------------------------


def test_as_tool() -> None:
    """Its arguments are typed, its hints those of its tools, and it gives the value, also to another agent."""
    made = parse_procedure(DIFFERENCE).as_tool(TOOLS)
    assert made.args["first"] == {"type": "string"}
    assert made.invoke({"first": "K2", "second": "Mont Blanc"}) == 3805
    call = {"name": "height_difference", "args": {"first": "K2", "second": "Mont Blanc"}, "id": "1"}
    agent = create_agent(ScriptedModel([AIMessage("", tool_calls=[call]), "done"]), [made])
    messages = asyncio.run(agent.ainvoke(QUESTION))["messages"]
    assert [message.content for message in messages if isinstance(message, ToolMessage)] == ["3805.0"]


def test_a_tool_that_fails_says_why() -> None:
    """What failed inside is the tool's error."""
    made = parse_procedure(DIFFERENCE).as_tool(TOOLS)
    with pytest.raises(ToolException, match=r"1\. lookup"):
        made.invoke({"first": "Mars", "second": "K2"})


def test_a_tool_in_plans_is_checked() -> None:
    """Inside another plan, the tool's arguments and result have their types."""
    made = parse_procedure(DIFFERENCE).as_tool(TOOLS)
    plan = '1. height_difference("K2", "Mont Blanc")\n2. minus("$1", 5)\n3. minus("${1.m}", 5)'
    model = ScriptedModel([plan, "Finish: so"])
    final = run_virtual(lambda: create_llm_compiler(model, [made, minus], max_repairs=0).ainvoke(QUESTION))
    assert [task["status"] for task in final["tasks"]] == ["done", "done", "failed"]


# -- kept -------------------------------------------------------------------------------------------------------------


def test_kept_in_a_store() -> None:
    """Procedures are found by what a question says, best first, as they were saved."""
    pytest.importorskip("bm25s")
    store = InMemoryStore()
    texts = [DIFFERENCE, 'greet(who: str):\n  """Send greetings."""\n  1. send("${who}", "Good morning")']
    for text in texts:
        parse_procedure(text).checked(TOOLS).save(store)
    asyncio.run(parse_procedure(texts[0]).checked(TOOLS).asave(store))  # again
    found = find_procedures(store, "What is the difference in height?")
    assert [each.name for each in found] == ["height_difference"]
    assert found[0] == parse_procedure(DIFFERENCE).checked(TOOLS)
    assert asyncio.run(afind_procedures(store, "Send Anna my greetings"))[0].name == "greet"
    assert find_procedures(store, "?") == []
    assert find_procedures(InMemoryStore(), "anything") == []


def test_kept_in_files() -> None:
    """The text of several procedures reads back as they are."""
    procedures = parse_procedures(f"# mountains\n\n{DIFFERENCE}\n\nmuch():\n  1. minus(2, 1)\n")
    assert parse_procedures("\n\n".join(map(str, procedures))) == procedures
    assert all(isinstance(each, Procedure) for each in procedures)


def test_the_tools_have_changed() -> None:
    """A procedure that was checked is refused where its tools look otherwise, with the reason."""
    procedure = parse_procedure(DIFFERENCE).checked(TOOLS)

    @tool
    def minus(a: float, b: float, c: float = 0) -> float:
        """Subtract."""
        return a - b - c

    with pytest.raises(ConfigurationError, match="the tool 'minus' is not what it was"):
        procedure.as_graph([lookup, minus])
