"""Plans inside agents that others make: `PlanMiddleware` in `create_agent`, graphs as tools and subagents."""

import asyncio
import json
import operator
import signal
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import AgentState, create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, ToolRetryMiddleware, wrap_tool_call
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import InjectedToolCallId, StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.prebuilt import InjectedState, ToolRuntime
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.middleware import PlanMiddleware, _gates, as_subagent, as_tool
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests import processes
from tests.agent_with_plans import PLAN as KILLED_PLAN
from tests.agent_with_plans import main, make

THREAD: Any = {"configurable": {"thread_id": "1"}}
QUESTION: Any = {"messages": [("user", "?")]}
DEEP = pytest.mark.skipif(find_spec("deepagents") is None, reason="deepagents is not installed")
both_makers = pytest.mark.parametrize("maker", ["create_agent", pytest.param("create_deep_agent", marks=DEEP)])
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


class Writing(BaseChatModel):
    """A model that makes one call, and answers with what it read of it."""

    name_of_tool: str = "run_plan"
    arguments: dict[str, Any]

    @property
    def _llm_type(self) -> str:
        return "writing"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Any:
        """Take any tools."""
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        reply = AIMessage("done")
        if not isinstance(messages[-1], ToolMessage):
            call = {"name": self.name_of_tool, "args": self.arguments, "id": "call_1", "type": "tool_call"}
            reply = AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=reply)])


class Mountains:
    """Tools, and what was called."""

    def __init__(self, seconds: float = 0) -> None:
        self.ran: list[str] = []
        self.seconds = seconds

    def tools(self) -> list[Any]:
        """The tools."""

        def lookup(entity: str) -> dict[str, float]:
            """Look an entity up."""
            self.ran.append(entity)
            return {"height_m": 8849.0 if entity == "Everest" else 8611.0}

        async def alookup(entity: str) -> dict[str, float]:
            """Look an entity up, which takes a second."""
            found = lookup(entity)
            await asyncio.sleep(self.seconds)
            return found

        @tool
        def calculate(a: float, b: float) -> float:
            """Subtract."""
            self.ran.append(f"{a} - {b}")
            return a - b

        @tool
        def pay(amount: float) -> str:
            """Pay."""
            self.ran.append(f"pay {amount}")
            return f"paid {amount}"

        pay.metadata = {"destructiveHint": True, "readOnlyHint": False}
        return [StructuredTool.from_function(lookup, coroutine=alookup), calculate, pay]

    def agent(self, plan: str, *middleware: Any, more: Sequence[Any] = (), **kwargs: Any) -> Any:
        """An agent whose model writes a plan."""
        model = Writing(arguments={"plan": plan})
        return create_agent(model, [*self.tools(), *more], middleware=middleware or [PlanMiddleware()], **kwargs)


async def ask(agent: Any, given: Any = None, *, sync: bool = False, config: Any = None) -> Any:
    """Call an agent either way."""
    given = QUESTION if given is None else given
    return await (asyncio.to_thread(agent.invoke, given, config) if sync else agent.ainvoke(given, config))


def read(final: Any) -> ToolMessage:
    """The message that the model read."""
    (message,) = [m for m in final["messages"] if isinstance(m, ToolMessage)]
    return message


PLAN = '1. lookup("Everest")\n2. lookup("K2")\n3. calculate("${1.height_m}", "${2.height_m}")'


@both_ways
async def test_a_plan_is_run(sync: bool) -> None:
    """The model reads every observation, values keep their types, and the message's artifact has the tasks."""
    shop = Mountains()
    message = read(await ask(shop.agent(PLAN), sync=sync))
    assert message.text == '1. {"height_m": 8849.0}\n2. {"height_m": 8611.0}\n3. 238.0'
    assert message.status == "success"
    assert [task["status"] for task in message.artifact["tasks"]] == ["done"] * 3
    assert sorted(shop.ran) == ["8849.0 - 8611.0", "Everest", "K2"]


def test_calls_run_in_parallel() -> None:
    """Independent calls of a plan run at the same time; dependent ones right after them."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await ask(Mountains(1).agent(PLAN + '\n4. lookup("$3")'))
        return loop.time() - began

    assert run_virtual(main) == pytest.approx(2.0, abs=0.01)


async def test_join_chooses_what_is_read() -> None:
    """With `join($3)` only that observation is read."""
    assert read(await ask(Mountains().agent(PLAN + "\n4. join($3)"))).text == "3. 238.0"


async def test_what_cannot_be_used_is_told() -> None:
    """What is wrong comes back with the reason, what is right has run and is read, too."""
    shop = Mountains()
    message = read(await ask(shop.agent('1. lookup("K2")\n2. lokup("K3")\n3. calculate("$2", 1)\njoin($1)')))
    assert message.status == "error"
    assert message.text.splitlines()[0] == '1. {"height_m": 8611.0}'
    assert "did you mean 'lookup'" in message.text
    assert "3. skipped" in message.text
    assert shop.ran == ["K2"]


@pytest.mark.parametrize("plan", ["", "I would look it up.", None])
async def test_no_plan_is_told(plan: Any) -> None:
    """A plan without tasks is an error that says how to write one."""
    message = read(await ask(Mountains().agent(plan)))
    assert message.status == "error"


@both_ways
async def test_other_middleware_holds_inside(sync: bool) -> None:
    """`wrap_tool_call` of middleware behind it is around every call of the plan."""
    seen: list[str] = []

    @wrap_tool_call
    async def noting(request: Any, handler: Any) -> Any:
        seen.append(request.tool_call["name"])
        return await handler(request)

    @wrap_tool_call
    def noting_sync(request: Any, handler: Any) -> Any:
        seen.append(request.tool_call["name"])
        return handler(request)

    shop = Mountains()
    await ask(shop.agent(PLAN, PlanMiddleware(), noting_sync if sync else noting), sync=sync)
    assert sorted(seen) == ["calculate", "lookup", "lookup"]


async def test_retries_of_other_middleware() -> None:
    """LangChain's retries see what a tool raises inside a plan."""
    tries: list[int] = []

    @tool
    def flaky() -> str:
        """Fail twice."""
        tries.append(1)
        if len(tries) < 3:
            msg = "down"
            raise ConnectionError(msg)
        return "up"

    retry = ToolRetryMiddleware(max_retries=3, initial_delay=0, jitter=False)
    final = await ask(Mountains().agent("1. flaky()", PlanMiddleware(), retry, more=[flaky]))
    assert read(final).text == "1. up"


@both_ways
async def test_approvals_inside(sync: bool) -> None:
    """A gated call asks with its resolved arguments, once; after the answer only it runs again."""
    shop = Mountains()
    plan = PLAN + '\n4. pay("$3")\n5. lookup("after $4")\n6. join($4)'
    agent = shop.agent(plan, PlanMiddleware(interrupt_on={"pay": True}), checkpointer=InMemorySaver())
    (question,) = (await ask(agent, sync=sync, config=THREAD))["__interrupt__"]
    assert question.value["action_requests"][0]["args"] == {"amount": 238.0}
    answer: Any = Command(resume={"decisions": [{"type": "approve"}]})
    final = await ask(agent, answer, sync=sync, config=THREAD)
    assert read(final).text == "4. paid 238.0"
    assert Counter(shop.ran) == dict.fromkeys(["Everest", "K2", "8849.0 - 8611.0", "pay 238.0", "after paid 238.0"], 1)


async def test_approvals_per_call_hold_inside() -> None:
    """LangChain's per-call approvals hold for the calls of a plan."""
    shop = Mountains()
    approving = HumanInTheLoopMiddleware(interrupt_on={"pay": True}, interrupt_mode="per_call")
    agent = shop.agent('1. lookup("K2")\n2. pay(5)', PlanMiddleware(), approving, checkpointer=InMemorySaver())
    (question,) = (await ask(agent, config=THREAD))["__interrupt__"]
    assert shop.ran == ["K2"]
    final = await ask(agent, Command(resume={question.id: {"type": "approve"}}), config=THREAD)
    assert read(final).text.splitlines()[1] == "2. paid 5.0"
    assert shop.ran == ["K2", "pay 5.0"]


async def test_approvals_in_batches_hold_inside() -> None:
    """Batched approvals look only at the model's own calls: what they ask about is asked inside plans, too.

    If this fails after an upgrade of LangGraph or LangChain, `_gates` no longer sees the agent's middleware: find out
    where its nodes can be seen now.
    """
    shop = Mountains()
    approving = HumanInTheLoopMiddleware(interrupt_on={"pay": {"allowed_decisions": ["approve", "reject"]}})
    agent = shop.agent('1. lookup("K2")\n2. pay(5)', PlanMiddleware(), approving, checkpointer=InMemorySaver())
    (question,) = (await ask(agent, config=THREAD))["__interrupt__"]
    assert question.value["review_configs"][0]["allowed_decisions"] == ["approve", "reject"]
    final = await ask(agent, Command(resume={"decisions": [{"type": "reject", "message": "no"}]}), config=THREAD)
    assert "a human rejected it: no" in read(final).text
    assert shop.ran == ["K2"]


async def test_where_the_middleware_cannot_be_seen_nothing_runs() -> None:
    """If it cannot be known which calls need a human, a plan is refused, and the error says what to do."""
    with pytest.raises(ConfigurationError, match=r"give PlanMiddleware\(interrupt_on=…\)"):
        _gates({"configurable": {}})


async def test_a_tool_that_asks() -> None:
    """A tool of a plan may ask by itself; the others do not run again."""

    @tool
    def confirm(what: str) -> str:
        """Ask a human."""
        return f"{what}: {interrupt(what)}"

    shop = Mountains()
    plan = '1. lookup("K2")\n2. confirm("a")\n3. confirm("b")'
    agent = shop.agent(plan, more=[confirm], checkpointer=InMemorySaver())
    asked = {each.value: each.id for each in (await ask(agent, config=THREAD))["__interrupt__"]}
    assert sorted(asked) == ["a", "b"]
    final = await ask(agent, Command(resume={asked["a"]: "yes", asked["b"]: "no"}), config=THREAD)
    assert read(final).text.splitlines()[1:] == ["2. a: yes", "3. b: no"]
    assert shop.ran == ["K2"]


@both_makers
def test_an_approved_plan_takes_as_long_as_its_longest_chain(maker: str) -> None:
    """Six tasks of a second each, one of them approved: four seconds, as its longest chain; each runs once."""
    shop = Mountains(1)

    @tool
    async def pay(amount: float) -> str:
        """Pay, which takes a second."""
        shop.ran.append(f"pay {amount}")
        await asyncio.sleep(1)
        return f"paid {amount}"

    pay.metadata = {"destructiveHint": True, "readOnlyHint": False}
    lookup = shop.tools()[0]
    plan = """\
1. lookup("Everest")
2. lookup("K2")
3. lookup("$1 and $2")
4. pay("${3.height_m}")
5. lookup("receipt $4")
6. lookup("Elbrus")
7. join($5)"""

    async def main() -> float:
        middleware = [PlanMiddleware(interrupt_on={"pay": True})]
        model = Writing(arguments={"plan": plan})
        agent = make(maker, model, [lookup, pay], middleware=middleware, checkpointer=InMemorySaver())
        clock = asyncio.get_running_loop().time
        began = clock()
        assert (await ask(agent, config=THREAD))["__interrupt__"]
        final = await ask(agent, Command(resume={"decisions": [{"type": "approve"}]}), config=THREAD)
        assert read(final).text == '5. {"height_m": 8611.0}'
        return clock() - began

    assert run_virtual(main) == pytest.approx(4.0, abs=0.01)
    assert len(shop.ran) == len(set(shop.ran)) == 6


class Counted(AgentState[Any]):
    """An agent's own state."""

    count: int


async def test_state_and_commands() -> None:
    """Tools inside see the agent's state and their own call's id; what their commands change reaches the agent."""

    @tool
    def see(state: Annotated[Any, InjectedState], runtime: ToolRuntime) -> str:
        """See."""
        return f"{state['count']} {runtime.tool_call_id}"

    @tool
    def change(to: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Change."""
        return Command(update={"count": to, "messages": [ToolMessage(f"is {to}", tool_call_id=tool_call_id)]})

    plan = "1. see()\n2. change(4)\n3. change(5) after $2"
    agent = Mountains().agent(plan, more=[see, change], state_schema=Counted)
    final = await ask(agent, {**QUESTION, "count": 3})
    lines = read(final).text.splitlines()
    assert lines[0].startswith("1. 3 call_")
    assert lines[1:] == ["2. is 4", "3. is 5"]
    assert final["count"] == 5


@both_makers
def test_a_kill_loses_and_repeats_nothing(tmp_path: Path, maker: str) -> None:
    """Killed in the middle of a plan, the agent goes on in another process: a finished task does not run again."""
    log = tmp_path / "log"

    killed, done = (processes.run(main, maker, str(tmp_path / "db"), log, kill_at) for kill_at in (3, 0))
    assert killed.code == -signal.SIGKILL  # while the third call is made
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == "3. 238.0"
    ran = Counter(log.read_text().splitlines())
    assert len(ran) == len(KILLED_PLAN.splitlines()) - 1
    assert sorted(ran.values()) == [1, 1, 1, 1, 1, 2]  # the one that the kill met
    assert ran["pay 238.0"] == 1


class Noting(AgentState[Any]):
    """A state with a list to add to."""

    notes: Annotated[list[int], operator.add]
    last: int


@both_ways
async def test_what_several_commands_write(sync: bool) -> None:
    """All that tools write to a key with a reducer counts, also each call of a fan-out; without one, the last."""

    @tool
    def numbers() -> list[int]:
        """Numbers."""
        return [1, 2, 3]

    @tool
    def note(n: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Note."""
        said = ToolMessage(f"noted {n}", tool_call_id=tool_call_id)
        return Command(update={"notes": [n], "last": n, "messages": [said]})

    plan = "1. numbers()\n2. note(${1[*]})\n3. note(9) after $2\n4. note(8) after $3"
    agent = Mountains().agent(plan, more=[numbers, note], state_schema=Noting, checkpointer=InMemorySaver())
    final = await ask(agent, sync=sync, config=THREAD)
    assert (final["notes"], final["last"]) == ([1, 2, 3, 9, 8], 8)
    assert read(final).text.splitlines()[1] == '2. ["noted 1", "noted 2", "noted 3"]'


@tool
def searches(query: str) -> list[dict[str, str]]:
    """Search."""
    return [{"title": query}]


async def test_what_tools_send_while_they_run() -> None:
    """Channel writes, as those of deepagents' file systems, count once each, over pauses, also those of a fan-out.

    If this fails after an upgrade of LangGraph: find out where tools get the functions that read and write channels.
    """

    @tool
    async def send(n: int) -> int:
        """Send."""
        get_config()["configurable"]["__pregel_send"]([("notes", [n])])
        return n

    @tool
    async def see() -> list[int]:
        """See what was sent."""
        return list(get_config()["configurable"]["__pregel_read"]("notes", True))

    @tool
    def numbers() -> list[int]:
        """Numbers."""
        return [1, 2]

    plan = """\
1. numbers()
2. send(${1[*]})
3. pay(1) after $2
4. send(3) after $3
5. pay(2) after $4
6. see() after $5
7. join($6)"""
    given: dict[str, Any] = {"more": [send, see, numbers], "state_schema": Noting, "checkpointer": InMemorySaver()}
    agent = Mountains().agent(plan, PlanMiddleware(interrupt_on={"pay": True}), **given)
    approved: Any = Command(resume={"decisions": [{"type": "approve"}]})
    await ask(agent, config=THREAD)
    await ask(agent, approved, config=THREAD)
    final = await ask(agent, approved, config=THREAD)
    assert sorted(final["notes"]) == [1, 2, 3]
    assert sorted(json.loads(read(final).text.removeprefix("6. "))) == [1, 2, 3]


async def test_the_model_is_told_what_it_can_plan() -> None:
    """The tool is described with an example over the agent's tools, and with the parts of what they return."""

    class Hit(TypedDict):
        title: str

    @tool
    def find(query: str) -> list[Hit]:
        """Find."""
        return []

    @tool
    def measure(thing: str) -> float:
        """Measure."""
        return 1

    model = ScriptedModel(["Hello."])
    agent = create_agent(model, [find, measure], system_prompt="Be brief.", middleware=[PlanMiddleware()])
    await agent.ainvoke(QUESTION)
    (told,) = [each["function"] for each in model.settings[0]["tools"] if each["function"]["name"] == "run_plan"]
    assert "- find: list[{title: str}]" in told["description"]
    assert '\n1. find(query="' in told["description"]
    assert "- measure" not in told["description"]  # nothing in a number can be referred to
    assert "lookup" not in told["description"]  # no tool that the agent does not have
    (system, _) = model.calls[0]
    assert system.text.startswith("Be brief.\n\nWhen a question needs several calls")


async def test_both_descriptions_can_be_given() -> None:
    """What the agent's model is told can be said otherwise."""
    model = ScriptedModel(["Hello."])
    given = PlanMiddleware(system_prompt="", tool_description="Plan.")
    await create_agent(model, [searches], middleware=[given]).ainvoke(QUESTION)
    (told,) = [each["function"] for each in model.settings[0]["tools"] if each["function"]["name"] == "run_plan"]
    assert told["description"].startswith("Plan.\n\n")
    assert [message.type for message in model.calls[0]] == ["human"]


async def test_a_tool_that_cannot_be_planned() -> None:
    """The agent's model may call it; in plans it is unknown, and nothing else suffers."""

    class Given(BaseModel):
        command: str
        runtime: str

    def shell(command: str, runtime: ToolRuntime) -> str:
        """Run; its schema has the runtime, as that of LangChain's shell."""
        return command

    unplannable = StructuredTool.from_function(shell, args_schema=Given)
    shop = Mountains()
    given = PlanMiddleware(interrupt_on={"shell": True})
    message = read(await ask(shop.agent('1. lookup("K2")\n2. shell("ls", "x")', given, more=[unplannable])))
    assert message.text.startswith('1. {"height_m": 8611.0}\n2. ')
    assert shop.ran == ["K2"]


async def test_what_is_kept_of_tools_is_bounded() -> None:
    """An agent that has other tools each time leaves nothing behind but the last of them."""
    given = PlanMiddleware()
    for _ in range(40):
        await ask(Mountains().agent('1. lookup("K2")', given))
    assert len(given._kept) == 64


@both_ways
@pytest.mark.parametrize(
    "text",
    [
        '1. lookup("K2")\n2. join()',
        'I look it up.\n```\n1. lookup(entity="K2")\n2. join($1)\n```\n',
        '<think>\n1. lookup("Everest")\n2. join()\n</think>\n\n1. lookup("K2")\n2. join()',
        [{"type": "text", "text": '1. lookup("K2")\n2. join()'}],
    ],
)
async def test_a_plan_written_as_text_is_run(sync: bool, text: Any) -> None:
    """A model that writes a plan instead of calling the tool has it run; its text is no message then."""
    shop = Mountains()
    model = ScriptedModel([AIMessage(text), "8,611 m."])
    agent = create_agent(model, shop.tools(), middleware=[PlanMiddleware()])
    final = await ask(agent, sync=sync)
    assert shop.ran == ["K2"]
    assert [m.text for m in final["messages"]] == ["?", "", '1. {"height_m": 8611.0}', "8,611 m."]


@pytest.mark.parametrize(
    "text",
    [
        "8,611 m.",
        '1. lookup("K2")',  # without its end it may be an explanation
        '1. unknown("K2")\n2. join()',
        "1. join()",
        'Write `1. lookup("K2")` and then `2. join()` to look it up.',
    ],
)
async def test_an_answer_stays_an_answer(text: str) -> None:
    """Text that is no plan over the agent's tools is the answer, whatever it mentions."""
    shop = Mountains()
    final = await ask(create_agent(ScriptedModel([text]), shop.tools(), middleware=[PlanMiddleware()]))
    assert final["messages"][-1].text == text
    assert shop.ran == []


async def test_a_graph_as_a_tool() -> None:
    """A graph is a tool of any agent; it answers with its last message."""
    graph = create_llm_compiler(ScriptedModel(['1. lookup("K2")', "Finish: high"]), Mountains().tools())
    expert = as_tool(graph, "expert", "Knows mountains.")
    agent = create_agent(Writing(name_of_tool="expert", arguments={"request": "K2?"}), [expert])
    assert read(await ask(agent)).text == "high"
    assert as_subagent(graph, "expert", "Knows mountains.") == {
        "name": "expert",
        "description": "Knows mountains.",
        "runnable": graph,
    }
