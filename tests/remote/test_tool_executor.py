import asyncio
import multiprocessing
import operator
import os
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from distributed import Client, LocalCluster
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, Tool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.prebuilt import ToolRuntime
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, RetryPolicy, interrupt

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from tests import executor_tools as tools

both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


class Counted(TypedDict):
    """A state key of the caller's."""

    count: Annotated[int, operator.add]


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """One process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A Dask scheduler with two worker processes, which are made anew when they die."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as made:
        yield made


@pytest.fixture
def dask(cluster: LocalCluster) -> Iterator[Executor]:
    """The cluster as an executor, with both workers there."""
    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=30)
        yield client.get_executor()


async def run(plan: str, given: list[Any], *, sync: bool = False, **kwargs: Any) -> Any:
    """Run a plan; return the final state."""
    graph: Any = create_llm_compiler(ScriptedModel([plan, "Finish: ok"]), given, state_schema=Counted, **kwargs)
    question: Any = {"messages": [HumanMessage("what?")], "count": 7}
    config: Any = {"configurable": {"thread_id": "1", "user": "ann"}}
    if sync:
        return await asyncio.to_thread(graph.invoke, question, config)
    return await graph.ainvoke(question, config)


async def outcomes(plan: str, given: list[Any], **kwargs: Any) -> list[Any]:
    """Run a plan; return each task's value, or its error."""
    final = await run(plan, given, **kwargs)
    return [task["value"] if task["status"] == "done" else task["error"] for task in final["tasks"]]


def noted(folder: Path, text: object = "*") -> list[Path]:
    """The files that calls of `note` and `look` left, all or those of one text."""
    return sorted(folder.glob(f"{text}-*"))


def await_noted(folder: Path, number: int) -> list[Path]:
    """Wait until so many calls of `note` and `look` have begun; return the files they left."""
    deadline = time.monotonic() + 60
    while len(found := [path for path in noted(folder) if path.read_text()]) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


# -- processes ---------------------------------------------------------------------------------------------------------


@both_ways
async def test_tools_run_in_another_process(processes: Executor, sync: bool) -> None:
    """Functions and objects run there, and what their modules keep stays there; asynchronous tools run here."""

    @tool
    async def here() -> int:
        """Tell the process."""
        return os.getpid()

    shout = Tool("shout", tools.shout, "Shout.")
    plan = '1. process_of("a")\n2. process_of("b") after $1\n3. plus(1, 2)\n4. scaled($3)\n5. point($3)\n6. here()\n'
    plan += '7. shout("a")'
    given = [tools.process_of, tools.plus, tools.Scaled(factor=5), tools.point, here, shout]
    values = await outcomes(plan, given, tool_executor=processes, sync=sync)
    first, second, three, scaled, point, process, loud = values
    assert process == os.getpid()
    assert first["process"] == second["process"] == scaled["process"] != os.getpid()
    assert second["calls"] == first["calls"] + 1
    assert tools.calls == 0
    assert (three, loud) == (3, "A")
    assert scaled == {"n": 15, "user": "ann", "elsewhere": True, "process": first["process"]}
    assert point == {"x": 3, "y": -3}


@both_ways
async def test_state_call_id_and_config_cross(processes: Executor, sync: bool) -> None:
    """`InjectedState` (all or a key) and the call's id are there; of the config, what is the caller's."""
    final = await run('1. injected("a")', [tools.injected], tool_executor=processes, sync=sync)
    (record,) = final["tasks"]
    assert record["value"] == ["a", "what?", 7, record["tool_call_id"], {"user": "ann"}, False]


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("value", "ValueError: no such value"),
        ("tool", "ToolException: the tool says no"),
        (
            "fragile",
            "ToolTransferError: tool 'fail' raised Fragile: glass in transit "
            "(the exception itself cannot be carried back from its executor)",
        ),
        ("exit", "RuntimeError: the tool called sys.exit(3)"),
        ("stop", "RuntimeError: coroutine raised StopIteration"),
        (
            "lambda",
            "ToolTransferError: tool 'fail' returned what cannot be carried back from its executor: function: ",
        ),
    ],
)
async def test_errors_cross(processes: Executor, how: str, error: str) -> None:
    """An exception comes back with its type and message; what cannot come back is said, and the pool goes on."""
    failed, fine = await outcomes(
        f'1. fail("{how}")\n2. plus(1, 2)', [tools.fail, tools.plus], tool_executor=processes, tool_timeout=60
    )
    assert failed.startswith(error)
    assert fine == 3


async def test_an_error_that_is_not_handled_says_where_it_was_raised(processes: Executor) -> None:
    """With `handle_tool_errors=False` the tool's own exception is raised, with the traceback of over there."""
    with pytest.raises(ValueError, match="no such value") as raised:
        await run('1. fail("value")', [tools.fail], tool_executor=processes, handle_tool_errors=False)
    assert "executor_tools.py" in raised.value.__notes__[0]


async def test_an_argument_that_cannot_cross_is_named(processes: Executor) -> None:
    """The error names the tool and the argument; a wrapper may have put anything there."""

    def wrap(request: ToolCallRequest, execute: Any) -> Any:
        request.tool_call["args"]["how"] = threading.Lock()
        return execute(request)

    anything = StructuredTool(
        name="fail",
        description="Fail.",
        func=tools.fail.func,  # type: ignore[attr-defined]
        args_schema={"type": "object", "properties": {"how": {}}},
    )
    (error,) = await outcomes('1. fail("x")', [anything], tool_executor=processes, wrap_tool_call=wrap)
    told = "ToolTransferError: tool 'fail': the argument 'how' cannot be carried to its executor: "
    assert error == f"{told}cannot pickle '_thread.lock' object"


async def test_code_that_is_not_there_is_said(processes: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool of a module that the worker cannot import fails with the reason, and the pool goes on."""
    module = types.ModuleType("only_here")
    exec("def far() -> int:\n    'Be far.'\n    return 1", vars(module))
    monkeypatch.setitem(sys.modules, "only_here", module)
    error, fine = await outcomes("1. far()\n2. plus(1, 2)", [vars(module)["far"], tools.plus], tool_executor=processes)
    told = "ToolTransferError: tool 'far': its executor's worker cannot load it: ModuleNotFoundError: "
    assert error == f"{told}No module named 'only_here'; the same code must be there"
    assert fine == 3


async def test_an_executor_that_fails_by_itself_is_named() -> None:
    """What the executor raises, not the tool, is told as such: its workers lack this package, say."""

    class Bare(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(ModuleNotFoundError("No module named 'llmcompiler_graph'"))
            return future

    (error,) = await outcomes("1. plus(1, 2)", [tools.plus], tool_executor=Bare())
    assert error.startswith("ToolTransferError: tool 'plus': Bare could not make the call: ModuleNotFoundError: No mod")
    assert error.endswith("its workers need this package and the tool's code, as they are here")


async def test_wrappers_and_tools_own_error_handling_stay_here(processes: Executor) -> None:
    """`wrap_tool_call` runs in this process around the call; `handle_tool_error` of the tool is heeded."""
    seen: list[tuple[int, str]] = []

    def wrap(request: ToolCallRequest, execute: Any) -> Any:
        message = execute(request)
        assert isinstance(message, ToolMessage)
        seen.append((os.getpid(), str(message.content)))
        return message

    lenient = tools.fail.model_copy(update={"handle_tool_error": True})
    await run('1. fail("tool")', [lenient], tool_executor=processes, wrap_tool_call=wrap)
    assert seen == [(os.getpid(), "the tool says no")]


async def test_calls_that_have_not_begun_are_taken_back(processes: Executor, tmp_path: Path) -> None:
    """Out of time, a call in the queue never begins; the one that runs goes on, and the pool serves others after it."""
    warm = await outcomes("1. plus(1, 2)", [tools.plus], tool_executor=processes)
    assert warm == [3]
    plan = "\n".join(f'{n}. note("{n}", folder="{tmp_path}")' for n in range(1, 7))
    errors = await outcomes(plan, [tools.note], tool_executor=processes, tool_timeout=0.3)
    assert errors == ["TimeoutError: no result within 0.3 s"] * 6
    (tmp_path / "go").touch()
    assert await outcomes("1. plus(1, 2)", [tools.plus], tool_executor=processes) == [3]
    assert 1 <= len(noted(tmp_path)) <= 3  # one runs, two are in the process's pipe


@pytest.mark.filterwarnings("ignore:tool_retry_policy is for no tool")
async def test_a_broken_pool_says_what_to_do(tmp_path: Path) -> None:
    """When a process dies, every call under way fails with a named error, as do later ones; nothing hangs."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        plan = f'1. die("{tmp_path}")\n2. plus(1, 2) after $1\n3. plus(2, 2)'
        died, skipped, other = await outcomes(
            plan,
            [tools.die, tools.plus],
            tool_executor=pool,
            tool_retry_policy=RetryPolicy(initial_interval=0, jitter=False),
        )
        later = await outcomes("1. plus(1, 2)", [tools.plus], tool_executor=pool)
    told = "a worker of ProcessPoolExecutor died (killed, out of memory, crashed), and it takes no more calls; "
    assert died.startswith(f"WorkerLostError: tool 'die': {told}whether the tool did its work is not known. Make")
    assert "task 1" in skipped
    assert other == 4 or told in other
    assert told in later[0]
    assert len(noted(tmp_path, "died")) == 1
    closed = await outcomes("1. plus(1, 2)", [tools.plus], tool_executor=pool)
    assert closed[0].startswith("WorkerLostError: tool 'plus'")


async def test_a_closed_executor_is_an_error_of_the_call() -> None:
    """A call for which the executor is closed fails, and the error says that it must stay open."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    told = (
        "WorkerLostError: tool 'plus': ThreadPoolExecutor takes no calls (cannot schedule new futures after shutdown)"
    )
    assert await outcomes("1. plus(1, 2)", [tools.plus], tool_executor=pool) == [
        f"{told}; keep it open while the graph runs"
    ]


# -- what is refused ---------------------------------------------------------------------------------------------------


@tool
async def only_async(x: int) -> int:
    """Return it."""
    return x


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (tools.with_store, "'with_store' cannot run in another process: it asks for 'store', and stores"),
        (tools.with_runtime, "'with_runtime' cannot run in another process: it asks for 'runtime'"),
        (tools.with_callbacks, "'with_callbacks' cannot run in another process: it asks for 'callbacks'"),
        (
            StructuredTool.from_function(lambda x: x, name="closure", description="Return it."),
            "'closure' cannot run in ProcessPoolExecutor: other processes cannot be given its function",
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_cannot_cross_is_refused_when_the_graph_is_made(given: BaseTool, message: str) -> None:
    """The error names the tool and the reason, and how to leave that tool here; named others may cross."""
    with ProcessPoolExecutor(1) as pool:  # no process is started before the first call
        with pytest.raises(ConfigurationError, match=message) as raised:
            create_llm_compiler(ScriptedModel(), [given], tool_executor=pool)
        assert "tool_executor={'name': executor}" in str(raised.value)
        create_llm_compiler(ScriptedModel(), [given, tools.plus], tool_executor={"plus": pool})


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        ({"minus": ThreadPoolExecutor(1)}, "tool_executor names 'minus', but there is no such tool"),
        ({"only_async": ThreadPoolExecutor(1)}, "'only_async' is asynchronous only"),
        (4, r"tool_executor must be a concurrent\.futures\.Executor \(of Dask: client\.get_executor\(\)\), not 4"),
    ],
)
def test_an_executor_that_cannot_be_used(executor: Any, message: str) -> None:
    """What `tool_executor` holds must be executors, for tools that exist and have a synchronous side."""
    with pytest.raises(ConfigurationError, match=message):
        create_llm_compiler(ScriptedModel(), [only_async, tools.plus], tool_executor=executor)


# -- threads -----------------------------------------------------------------------------------------------------------


@both_ways
async def test_in_threads_everything_is_as_it_is_here(sync: bool) -> None:
    """Closures, stores, runtimes and stream writers work in a caller's threads; a named tool has no other side."""
    store = InMemoryStore()
    store.put(("a",), "k", {"v": 1})

    @tool
    def thread(name: str, runtime: ToolRuntime) -> list[Any]:
        """Tell what is there."""
        get_stream_writer()("written")
        assert runtime.store is not None
        item = runtime.store.get(("a",), "k")
        return [name, threading.current_thread().name, item and item.value, runtime.state["count"]]

    def in_thread(text: str) -> str:
        return f"{text} {threading.current_thread().name}"

    async def on_loop(text: str) -> str:
        return f"{text} on the loop"

    sides = StructuredTool.from_function(in_thread, on_loop, name="sides", description="Tell the side.")
    other = StructuredTool.from_function(in_thread, on_loop, name="other", description="Tell the side.")
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        plan = '1. thread("a")\n2. sides("b")\n3. scaled(2)'
        first, second, third = await outcomes(
            plan,
            [thread, sides, tools.Scaled()],
            tool_executor={"thread": pool, "sides": pool, "scaled": pool},
            store=store,
            sync=sync,
        )
        assert first == ["a", "mine_0", {"v": 1}, 7]
        assert second == "b mine_0"
        assert third == {"n": 2, "user": "ann", "elsewhere": False, "process": os.getpid()}
        if not sync:
            assert await outcomes('1. other("b")', [other], tool_executor=pool) == ["b on the loop"]


async def test_a_tool_that_interrupts_does_so_in_a_thread() -> None:
    """A tool that interrupts in a thread pauses the run, which goes on with the answer."""

    @tool
    def ask(question: str) -> str:
        """Ask a human."""
        return f"{question} {interrupt(question)}"

    with ThreadPoolExecutor(1) as pool:
        graph = create_llm_compiler(
            ScriptedModel(['1. ask("sure?")', "Finish: ok"]), [ask], tool_executor=pool, checkpointer=InMemorySaver()
        )
        config: Any = {"configurable": {"thread_id": "1"}}
        paused = await graph.ainvoke({"messages": [("user", "?")]}, config)
        assert paused["__interrupt__"][0].value == "sure?"
        final = await graph.ainvoke(Command(resume="yes"), config)
    assert final["tasks"][0]["value"] == "sure? yes"


async def test_a_thread_that_raises_stop_iteration_does_not_hang() -> None:
    """A tool that raises `StopIteration` in a thread fails, though no future takes that exception."""
    with ThreadPoolExecutor(1) as pool:
        assert await outcomes('1. fail("stop")', [tools.fail], tool_executor=pool) == [
            "RuntimeError: the tool raised StopIteration"
        ]


# -- Dask --------------------------------------------------------------------------------------------------------------


async def test_a_plan_on_dask(dask: Executor) -> None:
    """Tools run on the workers, closures too; equal calls of tools that are not read-only are all made."""
    number = 5

    @tool
    def closure(n: int) -> tuple[int, int]:
        """Add the number."""
        return n + number, os.getpid()

    plan = '1. closure(1)\n2. plus(1, 2)\n3. injected("a")\n4. fail("value")\n5. process_of("a") after $2\n'
    plan += '6. process_of("a") after $5'
    given = [closure, tools.plus, tools.injected, tools.fail, tools.process_of]
    (six, process), three, there, failed, fifth, sixth = await outcomes(plan, given, tool_executor=dask)
    assert (six, three, failed) == (6, 3, "ValueError: no such value")
    assert process != os.getpid()
    assert there[:3] == ["a", "what?", 7]
    assert (fifth["process"], fifth["calls"]) != (sixth["process"], sixth["calls"])


async def test_a_worker_is_killed_and_the_plan_still_finishes_right(dask: Executor, tmp_path: Path) -> None:
    """Read-only calls of the dead worker are made again on another: every value is there, and none is its."""
    plan = "\n".join(f'{n}. look("{n}", folder="{tmp_path}")' for n in range(1, 7)) + "\n7. plus($6, 0)"
    running = asyncio.create_task(run(plan, [tools.look, tools.plus], tool_executor=dask))
    first, second = await asyncio.to_thread(await_noted, tmp_path, 2)
    killed, other = int(first.read_text()), int(second.read_text())
    assert killed != other
    os.kill(killed, signal.SIGKILL)
    (tmp_path / "go").touch()
    final = await running
    values = [task["value"] for task in final["tasks"]]
    assert [task["status"] for task in final["tasks"]] == ["done"] * 7
    assert killed not in values
    assert values[6] == values[5]
    lost = first.name.partition("-")[0]
    assert len(noted(tmp_path, lost)) == 2


async def test_a_worker_is_killed_and_nothing_that_may_have_effects_runs_twice(dask: Executor, tmp_path: Path) -> None:
    """The call under way there fails with a named error, and began once; all others are made, once."""
    plan = "\n".join(f'{n}. note("{n}", folder="{tmp_path}")' for n in range(1, 7))
    running = asyncio.create_task(run(plan, [tools.note], tool_executor=dask))
    first, _ = await asyncio.to_thread(await_noted, tmp_path, 2)
    os.kill(int(first.read_text()), signal.SIGKILL)
    (tmp_path / "go").touch()
    final = await running
    lost = int(first.name.partition("-")[0])
    for record in final["tasks"]:
        assert len(noted(tmp_path, record["index"])) == 1
        if record["index"] == lost:
            assert record["error"].startswith("WorkerLostError: tool 'note': the worker died during the call, and ")
        else:
            assert record["status"] == "done"


async def test_dask_gives_up_on_a_call_that_kills_its_workers(
    dask: Executor, cluster: LocalCluster, tmp_path: Path
) -> None:
    """After `allowed-failures` workers the call fails with a named error, though it might have been made again."""
    die = tools.die.model_copy(update={"metadata": {"idempotentHint": True}})
    scheduler: Any = cluster.scheduler
    before, scheduler.allowed_failures = scheduler.allowed_failures, 0
    try:
        (error,) = await outcomes(f'1. die("{tmp_path}")', [die], tool_executor=dask)
    finally:
        scheduler.allowed_failures = before
    assert error.startswith("WorkerLostError: tool 'die': Attempted to run task 'die-")
    assert len(noted(tmp_path, "died")) == 1


async def test_calls_on_dask_that_have_not_begun_are_taken_back(dask: Executor, tmp_path: Path) -> None:
    """Cancelling the run takes back what waits at the scheduler; nothing of ours stays there."""
    client: Any = dask._client  # type: ignore[attr-defined]

    def held(dask_scheduler: Any) -> set[str]:
        return {*dask_scheduler.extensions["queues"].queues, *dask_scheduler.tasks}

    def await_nothing_more(than: set[str]) -> None:
        deadline = time.monotonic() + 60
        while more := client.run_on_scheduler(held) - than:
            assert time.monotonic() < deadline, more
            time.sleep(0.05)

    before = await asyncio.to_thread(client.run_on_scheduler, held)
    plan = "\n".join(f'{n}. note("{n}", folder="{tmp_path}")' for n in range(1, 7))
    running = asyncio.create_task(run(plan, [tools.note], tool_executor=dask))
    await asyncio.to_thread(await_noted, tmp_path, 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.to_thread(await_nothing_more, before)
    (tmp_path / "go").touch()
    assert await outcomes("1. plus(1, 2)", [tools.plus], tool_executor=dask) == [3]
    assert len(noted(tmp_path)) == 2


async def test_an_asynchronous_client_is_refused(cluster: LocalCluster) -> None:
    """An asynchronous Dask client is refused, and the error says what to make instead."""
    async with Client(cluster.scheduler_address, asynchronous=True) as client:
        with pytest.raises(ConfigurationError, match="asynchronous Dask client: make one with Client"):
            create_llm_compiler(ScriptedModel(), [tools.plus], tool_executor=client.get_executor())


SCRIPT = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from distributed import Client
from langchain_core.tools import tool
from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

@tool
def twice(n: int) -> list[int]:
    '''Double it.'''
    return [2 * n, os.getpid()]

def main():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool, Client(sys.argv[1]) as client:
        for executor in (pool, client.get_executor()):
            model = ScriptedModel(["1. twice(21)", "Finish: ok"])
            final = create_llm_compiler(model, [twice], tool_executor=executor).invoke({"messages": [("user", "?")]})
            value = final["tasks"][0]["value"] or final["tasks"][0]["error"]
            print(value[0], value[1] != os.getpid())

if __name__ == "__main__":
    main()
"""


def test_tools_defined_in_a_script(cluster: LocalCluster, tmp_path: Path) -> None:
    """What stands in a program run by `python program.py` crosses to processes and to Dask's workers."""
    (tmp_path / "program.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "program.py", cluster.scheduler_address],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["42 True", "42 True"], done.stderr
