import asyncio
from collections import Counter
from typing import Any

import pytest
from langchain_core.tools import BaseTool, tool
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import CachePolicy, Command, interrupt

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.procedures import parse_procedure
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests.graph.test_deadline import timed

QUESTION: Any = {"messages": [("user", "?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
POLL = '1. status("7") until ${1.state} == "done" max 10 every 5\n2. note("$1")'


class Service:
    """Jobs that are done at the n-th look, each of which takes a second, or as long as is said."""

    def __init__(self, done_at: int = 3, seconds: float = 1) -> None:
        self.done_at, self.seconds = done_at, seconds
        self.looks: Counter[str] = Counter()
        self.at: list[float] = []  # when each look began
        self.errors: list[int] = []  # looks in all that fail

    def tools(self) -> list[BaseTool]:
        """The tools."""

        @tool
        async def status(id: str) -> dict[str, str]:
            """Look at a job."""
            self.looks[id] += 1
            self.at.append(asyncio.get_running_loop().time())
            if self.looks.total() in self.errors:
                msg = "no such job"
                raise ValueError(msg)
            await asyncio.sleep(self.seconds)
            return {"state": "done" if self.looks[id] >= self.done_at else "running"}

        @tool
        def ids() -> list[str]:
            """List jobs."""
            return ["a", "b"]

        @tool
        def note(text: str) -> str:
            """Note something."""
            return f"noted {text}"

        status.metadata = {"readOnlyHint": True}
        return [status, ids, note]

    def graph(self, *replies: str, **options: Any) -> Any:
        """A graph over them."""
        self.model = ScriptedModel([*replies, "Finish: so"])
        return create_llm_compiler(self.model, self.tools(), **options)

    def run(self, *replies: str, **options: Any) -> tuple[Any, float]:
        """Run a turn on the virtual clock; give its final state and how long it took."""
        return timed(lambda: self.graph(*replies, **options).ainvoke(QUESTION))


def test_until_it_holds() -> None:
    """Attempts go on, so long after the end of the one before, until the condition holds; then the plan does."""
    service = Service()
    final, seconds = service.run(POLL)
    assert [task["value"] for task in final["tasks"]] == [{"state": "done"}, 'noted {"state": "done"}']
    assert (service.at, seconds) == ([0, 6, 12], 13)
    assert next(m.content for m in final["messages"] if m.type == "tool") == '{"state": "done"}'


def test_the_timeline_tells_of_the_attempts() -> None:
    """The record says when each attempt but the last ended, in seconds since the first began."""
    final, _ = Service().run(POLL)
    assert [round(at, 3) for at in final["tasks"][0]["attempts"]] == [1.0, 7.0]
    assert "attempts" not in final["tasks"][1]


def test_it_holds_at_once() -> None:
    """One attempt may do, and without `every` the next one begins at once."""
    assert Service(1).run(POLL)[1] == 1
    assert Service(3).run(POLL.replace(" every 5", ""))[1] == 3


def test_it_does_not_hold() -> None:
    """After the last attempt the task has failed, its error says why; what needs it is skipped, the joiner is told."""
    service = Service()
    final, seconds = service.run(POLL.replace("max 10", "max 2"))
    state = '{"state": "running"}'
    error = f'after 2 attempts, `${{1.state}} == "done"` does not hold (${{1.state}} is "running"); it returned {state}'
    assert [(task["status"], task["error"]) for task in final["tasks"]] == [
        ("failed", error),
        ("skipped", "not run: it needs task 1, which failed"),
    ]
    assert (service.at, seconds) == ([0, 6], 7)
    assert "after 2 attempts" in service.model.calls[1][-1].content
    assert next(m.content for m in final["messages"] if m.type == "tool") == error


def test_an_attempt_fails() -> None:
    """A tool's error ends the repetition at once."""
    service = Service()
    service.errors = [2]
    final, _ = service.run(POLL)
    assert final["tasks"][0]["error"].startswith("attempt 2 of 10 failed: ")
    assert "no such job" in final["tasks"][0]["error"]
    assert service.at == [0, 6]


def test_every_element_has_its_attempts() -> None:
    """A task that fans out repeats the call of each element; one that gives up is that element's own failure."""
    service = Service()
    service.looks["b"] = -9
    final, seconds = service.run('1. ids()\n2. status(id="${1[*]}") until ${2.state} == "done" max 4 every 2')
    assert service.looks == {"a": 3, "b": -5}
    assert final["tasks"][1]["value"] == [{"state": "done"}, None]
    assert "1 of 2 calls failed, the first on element 1: after 4 attempts" in final["tasks"][1]["error"]
    assert seconds == 4 + 3 * 2


@pytest.mark.parametrize(
    "plan", [POLL, POLL.replace('"7"', '["7", "8"][*]').replace("note", "ids").replace('"$1"', "")]
)
@pytest.mark.parametrize("deadline", [9, 0.5])
def test_the_deadline(plan: str, deadline: float) -> None:
    """The deadline ends the wait, or the attempt, and the turn at its moment."""
    service = Service()
    final, seconds = service.run(plan, deadline=deadline)
    assert seconds == deadline
    assert "deadline" in final["tasks"][0]["error"]
    assert set(service.at) == {at for at in (0, 6) if at < deadline}


def test_a_run_is_cancelled_while_it_waits() -> None:
    """Nothing goes on behind a run that is cancelled."""
    service = Service()

    async def main() -> None:
        run = asyncio.ensure_future(service.graph(POLL).ainvoke(QUESTION))
        await asyncio.sleep(3)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
        await asyncio.sleep(100)

    run_virtual(main)
    assert service.at == [0]


def test_with_a_guard_and_an_order() -> None:
    """The guard decides once, before the first attempt; the order holds as for any task."""
    service = Service()
    plan = (
        '1. status("x")\n2. status("7") after $1 when ${1.state} == "running" until ${2.state} == "done" max 4\n'
        '3. status("8") when ${1.state} == "done" until ${3.state} == "done" max 4'
    )
    final, _ = service.run(plan)
    assert [task["status"] for task in final["tasks"]] == ["done", "done", "skipped"]
    assert (service.looks, service.at) == ({"x": 1, "7": 3}, [0, 1, 2, 3])


def test_equal_calls_are_not_shared() -> None:
    """What was read before may be over: equal calls, repeated or not, are made for themselves, in one plan."""
    service = Service(2)
    plan = '1. status("7") until ${1.state} == "done" max 4\n2. status("7") after $1\n3. status("7") after $1, $2'
    service.run(plan)
    assert service.looks == {"7": 3}  # the last two are equal, as ever


def test_no_cache_answers_an_attempt() -> None:
    """What an earlier attempt, turn or thread returned is not what a poll is for; nor is a poll's answer kept."""
    service = Service()

    async def main() -> None:
        options: Any = {"cache": InMemoryCache(), "tool_cache_policy": CachePolicy()}
        for plan in (POLL, POLL, '1. status("7")', '1. status("7")'):
            final = await service.graph(plan, **options).ainvoke(QUESTION)
            assert final["tasks"][0]["value"] == {"state": "done"}

    run_virtual(main)
    assert service.looks == {"7": 3 + 1 + 1}


def test_an_early_start_waits_for_the_plan() -> None:
    """A task that repeats begins once the plan is complete; what does not, begins while the plan is written."""
    service = Service(1)
    plan = '1. status("7") until ${1.state} == "done" max 2\n2. status("8")\n3. join()'

    model = ScriptedModel([plan, "Finish: so"], chunk_size=0, seconds_per_reply=6)
    final = run_virtual(lambda: create_llm_compiler(model, service.tools()).ainvoke(QUESTION))
    first, second = final["timeline"]
    assert (first["early"], first["released"], first["started"]) == (False, 2, 6)
    assert (second["early"], second["started"]) == (True, 4)


def test_a_replan_refers_to_it() -> None:
    """A later plan refers to what the last attempt returned, and may poll again."""
    service = Service()
    again = '3. status("8") until ${3.state} == ${1.state} max 9\n4. join()'
    final, _ = service.run(POLL, "Replan: more", again)
    assert [task["status"] for task in final["tasks"]] == ["done"] * 3
    assert service.looks == {"7": 3, "8": 3}


def test_what_has_effects_is_refused() -> None:
    """The planner is asked again for a call that may change something with each attempt, before anything runs."""
    service = Service()

    @tool
    def pay(id: str) -> str:
        """Pay."""
        raise AssertionError

    pay.metadata = {"destructiveHint": True}
    again = '1. status("7") until ${1.state} == "done" max 3'
    model = ScriptedModel(['1. pay("7") until $1 == "paid" max 3', again, "so"])
    final = run_virtual(lambda: create_llm_compiler(model, [*service.tools(), pay]).ainvoke(QUESTION))
    assert "so it is not called until something holds" in model.calls[1][-1].content
    assert final["tasks"][0]["value"] == {"state": "done"}


def test_in_a_procedure() -> None:
    """A procedure may poll, with its own parameters, also for every element, and as a graph without a planner."""
    text = (
        'wait(id: str, state: str):\n  1. status("${id}") until ${1.state} == ${state} max 9 every 1\n  2. note("$1")'
    )
    service = Service()
    final, seconds = service.run('1. ids()\n2. wait(id="${1[*]}", state="done")', procedures=[text])
    assert final["tasks"][-1]["value"] == ['noted {"state": "done"}'] * 2
    assert seconds == 5
    service = Service()
    given: Any = {"arguments": {"id": "7", "state": "done"}}
    final = run_virtual(lambda: parse_procedure(text).as_graph(service.tools()).ainvoke(given))
    assert (final["result"], service.looks) == ('noted {"state": "done"}', {"7": 3})


def test_in_a_large_plan() -> None:
    """Where tasks are called in groups, attempts run in them."""
    service = Service()
    lines = [f'{n}. note("{n}")' for n in range(1, 60)]
    plan = "\n".join([*lines, '60. status("7") after $59 until ${60.state} == "done" max 4 every 5', '61. note("$60")'])
    final, _ = service.run(plan)
    assert [task["status"] for task in final["tasks"]] == ["done"] * 61
    assert service.at[2] - service.at[0] == 12


@pytest.mark.parametrize("fans_out", [False, True])
def test_synchronously(fans_out: bool) -> None:
    """A synchronous run polls too; its deadline ends the wait."""
    service = Service(seconds=0.01)
    plan = POLL.replace(" every 5", "").replace('"7"', '["7", "8"][*]' if fans_out else '"7"')
    plan = plan.replace('note("$1")', "ids()") if fans_out else plan
    final = service.graph(plan).invoke(QUESTION)
    assert [task["status"] for task in final["tasks"]] == ["done"] * 2
    final = Service(99, 0.01).graph(POLL.replace("every 5", "every 600"), deadline=1).invoke(QUESTION)
    assert "deadline" in final["tasks"][0]["error"]


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
@pytest.mark.parametrize("fans_out", [False, True], ids=["one", "many"])
def test_a_crash_between_attempts(sync: bool, fans_out: bool) -> None:
    """A run that goes on makes no attempt again that had ended, nor waits for it again."""
    service = Service(3, 0.01 if sync else 1)
    saver = InMemorySaver()
    plan = POLL.replace('"7"', '["7", "8"][*]').replace('note("$1")', "ids()") if fans_out else POLL
    plan = plan.replace("every 5", "" if sync else "every 5")
    service.errors = [4 if fans_out else 2]
    for n in range(2):
        graph = service.graph(plan, checkpointer=saver, handle_tool_errors=False)
        given = None if n else QUESTION

        async def main(graph: Any = graph, given: Any = given) -> Any:
            return await graph.ainvoke(given, THREAD)

        if n:
            service.errors = []
            service.model.replies[:] = ["Finish: so"]
            final = graph.invoke(None, THREAD) if sync else run_virtual(main)
        else:
            with pytest.raises(ValueError, match="no such job"):
                graph.invoke(QUESTION, THREAD) if sync else run_virtual(main)
    assert [task["status"] for task in final["tasks"]] == ["done"] * 2
    assert service.looks == ({"7": 3, "8": 3} if fans_out else {"7": 3})
    if not sync and not fans_out:
        assert service.at == [0, 6, 5]  # of the second run, which has its own clock, the last


def test_a_human_is_asked_once() -> None:
    """An approval holds for all attempts, with what the human has changed; whoever approves sees the repetition."""

    async def main() -> tuple[Any, Any]:
        graph = service.graph(POLL, interrupt_on={"status": True}, checkpointer=InMemorySaver(), approve_plans=True)
        plan = await graph.ainvoke(QUESTION, THREAD)
        paused = await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
        assert service.at == []
        edited = {"type": "edit", "edited_action": {"name": "status", "args": {"id": "8"}}}
        assert len(paused["__interrupt__"][0].value["action_requests"]) == 1
        return plan["__interrupt__"][0].value["action_requests"][0], await graph.ainvoke(
            Command(resume={"decisions": [edited]}), THREAD
        )

    service = Service()
    shown, final = run_virtual(main)
    assert 'until ${1.state} == "done" max 10 every 5' in shown["args"]["plan"]
    assert 'id="7" until ${1.state} == "done" max 10 every 5' in shown["description"]
    assert final["tasks"][0]["text"] == '1. status(id="8") until ${1.state} == "done" max 10 every 5'
    assert service.looks == {"8": 3}


@pytest.mark.parametrize("fans_out", [False, True], ids=["one", "many"])
def test_a_tool_that_asks_by_itself(fans_out: bool) -> None:
    """Attempts before the one that asks are not made again when it is answered; that one is, with the answer."""
    looks: Counter[str] = Counter()

    @tool
    def status(id: str) -> str:
        """Look, and ask at the second look."""
        looks[id] += 1
        return str(interrupt(id)) if looks[id] in (2, 3) else "running"

    async def main() -> Any:
        ids = '["7", "8"][*]' if fans_out else '"7"'
        model = ScriptedModel([f'1. status({ids}) until $1 == "done" max 9', "Finish: so"])
        graph = create_llm_compiler(model, [status], checkpointer=InMemorySaver())
        paused = await graph.ainvoke(QUESTION, THREAD)
        asked = {question.id: "done" for question in paused["__interrupt__"]}
        assert len(asked) == 1 + fans_out
        return await graph.ainvoke(Command(resume=asked), THREAD)

    final = run_virtual(main)
    assert final["tasks"][0]["status"] == "done"
    assert looks == ({"7": 3, "8": 3} if fans_out else {"7": 3})


def test_prompts() -> None:
    """Only who turns repetition on has it in the prompt; native calls have no place for it."""
    off, on, both = Service(), Service(), Service()
    off.run(POLL), on.run(POLL, repetition=True), both.run(POLL, repetition=True, guards=True)
    before, _, behind = str(on.model.calls[0][0].content).partition("\n- A call followed by `until ")
    assert before + behind.partition("with tools that only read.")[2] == off.model.calls[0][0].content
    assert "until" not in str(off.model.calls[0][0].content)
    assert all(word in str(both.model.calls[0][0].content) for word in ("by `when ${1.total}", "by `until ${2.state}"))
    options: list[tuple[dict[str, bool], list[str]]] = [
        ({}, []),
        ({"repetition": True}, [" until "]),
        ({"guards": True}, [" when "]),
    ]
    for turned_on, words in options:
        held = Service()
        held.run(POLL, constrain="llama.cpp", **turned_on)
        grammar = str(held.model.settings[0])
        assert [word for word in (" until ", " when ") if word in grammar] == words
    with pytest.raises(ConfigurationError, match="repetition=True needs plan_format='text'"):
        create_llm_compiler(ScriptedModel(), off.tools(), repetition=True, plan_format="tools")
