"""The command line against a real HTTP server that plays the model: in this process, and as a process of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from inline_snapshot import snapshot
from typer.testing import CliRunner

from llmcompiler_graph.cli.commands import app
from llmcompiler_graph.cli.defaults import default_examples, default_tools, examples_for
from llmcompiler_graph.graph.create import create_llm_compiler
from llmcompiler_graph.models.local import WEIGHTS
from llmcompiler_graph.tools import calculate, lookup
from llmcompiler_graph.tools.loading import BUILT_IN
from tests.scripted_server import ScriptedServer

QUESTION = "How much higher is Mount Everest than K2?"
PLAN = """\
1. lookup("Mount Everest")
2. lookup("K2")
3. calculate("${1.height_m} - ${2.height_m}")
4. join()"""
ANSWER = "Thought: both are known\nFinish: Mount Everest is 237.86 m higher than K2."
MODEL = ("--model", "openai:scripted")

# what `llmcompiler` runs, also where the parent ignores Ctrl-C (as shells make background jobs do)
COMMAND = (
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from llmcompiler_graph.cli.commands import main; main()",
)


class Outcome(NamedTuple):
    """What became of a command."""

    code: int
    out: str
    err: str


def run(server: ScriptedServer, *arguments: str) -> Outcome:
    """Run a command in this process."""
    result = CliRunner().invoke(app, arguments, env=server.environment)
    return Outcome(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def tool_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of a user's own tools in the current directory."""
    (tmp_path / "own_tools.py").write_text(
        "from langgraph.types import interrupt\n"
        "async def shout(text: str) -> str:\n    '''Shout.'''\n    return text.upper()\n"
        "def approve(text: str) -> str:\n    '''Ask somebody.'''\n    return interrupt(f'{text}?')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield "own_tools"
    sys.modules.pop("own_tools", None)


def environment(server: ScriptedServer, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command in a process of its own."""
    return {**os.environ, **server.environment, "PYTHONUNBUFFERED": "1", **(more or {})}


# -- ask --------------------------------------------------------------------------------------------------------------


def test_ask_prints_the_answer_alone() -> None:
    """`ask` prints the answer to stdout, and nothing else."""
    with ScriptedServer([PLAN, ANSWER]) as server:
        outcome = run(server, "ask", *MODEL, QUESTION)
    assert (outcome.code, outcome.out) == (0, "Mount Everest is 237.86 m higher than K2.\n")


def test_ask_tells_what_happens_in_plain_lines() -> None:
    """Stderr holds a line for each moment, then the table of times, and no escape codes."""
    with ScriptedServer([PLAN, ANSWER]) as server:
        lines = run(server, "ask", *MODEL, QUESTION).err.splitlines()
    assert "\x1b" not in "".join(lines)
    assert all(re.match(r"\+\d+\.\d\ds ", line) for line in lines[:-6])
    told = {line.partition(" ")[2].partition(" = ")[0] for line in lines[:-6]}
    assert {each for each in told if not each.startswith(("wait ", "write "))} == snapshot(
        {
            "ask      the planner",
            "load     the program",
            'done     1. lookup(entity="Mount Everest")',
            'done     2. lookup(entity="K2")',
            'done     3. calculate(expression="${1.height_m} - ${2.height_m}")',
            "join",
            "planned  3 tasks",
            'start    1. lookup(entity="Mount Everest")',
            'start    2. lookup(entity="K2")',
            'start    3. calculate(expression="${1.height_m} - ${2.height_m}")',
        }
    )
    assert re.fullmatch(r" +start +end  +[\d.]+s.*", lines[-6])
    assert [re.split(r"  +", line.strip())[0] for line in lines[-5:]] == snapshot(
        [
            "planner",
            '1. lookup(entity="Mount Everest")',
            '2. lookup(entity="K2")',
            '3. calculate(expression="${1.height…',
            "joiner",
        ]
    )


def test_ask_without_timeline() -> None:
    """`ask --no-timeline` leaves out the table."""
    with ScriptedServer([PLAN, ANSWER]) as server:
        outcome = run(server, "ask", *MODEL, "--no-timeline", QUESTION)
    assert re.fullmatch(r"\+[\d.]+s write    first token, after [\d.]+ s", outcome.err.splitlines()[-1])


def test_ask_json() -> None:
    """`--json` prints one object with the answer, the tasks, their times and the plans."""
    with ScriptedServer([PLAN, "Replan: again", PLAN, ANSWER]) as server:
        outcome = run(server, "ask", *MODEL, "--json", QUESTION)
    report = json.loads(outcome.out)
    assert list(report) == ["question", "answer", "seconds", "model_calls", "tasks", "timeline", "rounds"]
    assert report["question"] == QUESTION
    assert report["answer"] == "Mount Everest is 237.86 m higher than K2."
    assert report["model_calls"] == 4
    assert [(task["index"], task["status"]) for task in report["tasks"]] == [(n, "done") for n in range(1, 7)]
    assert report["tasks"][2]["value"] == 237.86
    assert [entry["index"] for entry in report["timeline"]] == [1, 2, 3, 4, 5, 6]
    assert [one["reply"] for one in report["rounds"]] == ["Replan: again", ANSWER]
    assert report["rounds"][1]["usage"]["joiner"]["output_tokens"] == len(ANSWER.split())


@pytest.mark.parametrize("replies", [[PLAN, ANSWER], [PLAN, 401]], ids=["answered", "failed"])
def test_ask_draws_the_run(replies: list[str | int], tmp_path: Path) -> None:
    """`--html` writes a page about the run, also of one that fails."""
    page = tmp_path / "run.html"
    with ScriptedServer(replies) as server:
        outcome = run(server, "ask", *MODEL, "--html", str(page), QUESTION)
    assert outcome.code == (0 if 401 not in replies else 1)
    written = page.read_text(encoding="utf-8")
    assert QUESTION in written
    assert ("scripted status 401" in written) == (401 in replies)


def test_what_it_waits_for_is_said_at_once() -> None:
    """Before anything is loaded a line says so; that a model is asked and has begun to write is said when it is so."""
    with ScriptedServer([PLAN, ANSWER], ttft=0.5) as server:
        command = [*COMMAND, "ask", *MODEL, QUESTION]
        with subprocess.Popen(
            command, env=environment(server), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == "+0.00s load     the program\n"
            assert not server.requests
            assert re.fullmatch(r"\+\d\.\d\ds ask      the planner\n", process.stderr.readline())
            assert re.fullmatch(r"\+[\d.]+s write    first token, after [\d.]+ s\n", process.stderr.readline())
            process.communicate()


@pytest.mark.parametrize("options", [(), ("--timeline",)])
def test_ask_without_a_tool(options: Sequence[str]) -> None:
    """A greeting is answered by the planner: one request, and the answer once."""
    with ScriptedServer(["1. join()\nFinish: Hello there!"]) as server:
        outcome = run(server, "ask", *MODEL, *options, "Hello?")
    assert (outcome.code, outcome.out, len(server.requests)) == (0, "Hello there!\n", 1)


def test_ask_replans_at_most_as_often_as_told() -> None:
    """With `--max-replans 0` a joiner that asks for another plan is told that there is none."""
    with ScriptedServer([PLAN, "Replan: again", "Finish: unknown"]) as server:
        outcome = run(server, "ask", *MODEL, "--max-replans", "0", QUESTION)
    assert (outcome.code, outcome.out, len(server.requests)) == (0, "unknown\n", 3)


def test_ask_answers_by_the_deadline() -> None:
    """With `--deadline` calls that take longer are given up, and the joiner answers with what there is."""
    with ScriptedServer([PLAN, "Finish: unknown"]) as server:
        outcome = run(server, "ask", *MODEL, "--deadline", "1", "--tool-latency", "600", QUESTION)
    assert (outcome.code, outcome.out, len(server.requests)) == (0, "unknown\n", 2)


def test_ask_several_models() -> None:
    """`--planner-model` plans and `--joiner-model` answers; `--model` is not made if it has nothing to do."""
    with ScriptedServer(["1. join()", "Finish: hello"]) as server:
        arguments = ("--planner-model", "openai:one", "--joiner-model", "openai:two")
        outcome = run(server, "ask", "--model", "nobody:none", *arguments, "Hello?")
    assert outcome.out == "hello\n"
    assert [request["model"] for request in server.requests] == ["one", "two"]


@pytest.mark.parametrize(("options", "least", "most"), [((), 0.4, 0.75), (("--max-concurrency", "1"), 0.8, 1.5)])
def test_tool_latency(tool_module: str, options: Sequence[str], least: float, most: float) -> None:
    """Calls of synchronous and asynchronous tools take so long at least, together unless told otherwise."""
    plan = '1. lookup("K2")\n2. lookup("Elbrus")\n3. shout("a")\n4. shout("b")\n5. join()'
    with ScriptedServer([plan, ANSWER]) as server:
        tools = ("-t", "lookup", "-t", f"{tool_module}:shout")
        outcome = run(server, "ask", *MODEL, *tools, "--tool-latency", "0.2", *options, "--json", QUESTION)
    times = [(entry["started"], entry["finished"]) for entry in json.loads(outcome.out)["timeline"]]
    assert all(finished - started >= 0.2 for started, finished in times)
    took = max(finished for _, finished in times) - min(started for started, _ in times)
    assert least / 2 <= took <= most


def test_own_tools(tool_module: str) -> None:
    """`package.module:attribute` is a tool; the worked examples are for the default tools only."""
    with ScriptedServer(['1. shout("hi")\n2. join()', "Finish: HI"]) as server:
        outcome = run(server, "ask", *MODEL, "-t", f"{tool_module}:shout", "Shout hi")
    assert '1. shout(text="hi") = "HI"' in outcome.err
    assert "- shout(text: str) -> str" in server.requests[0]["messages"][0]["content"]
    assert "lookup(" not in server.requests[0]["messages"][0]["content"]


def test_default_tools_have_examples() -> None:
    """The default tools, in any order, come with worked examples; no others do, whatever their names."""
    with ScriptedServer(["1. join()", "Finish: x"]) as server:
        run(server, "ask", *MODEL, "-t", "calculate", "-t", "lookup", QUESTION)
    assert 'lookup("Danube")' in server.requests[0]["messages"][0]["content"]
    assert examples_for([lookup]) is None
    assert examples_for([lookup, calculate, lookup.model_copy(update={"name": "more"})]) is None
    assert examples_for([lookup, lookup.model_copy(update={"name": "calculate"})]) is None


def test_default_examples_are_right() -> None:
    """Every worked example fits the tools, and none is the question of the README."""
    create_llm_compiler("local", default_tools(), examples=default_examples)  # checks them
    assert len(default_examples) >= 3
    assert not any("Everest" in example.question for example in default_examples)


def test_answer_that_was_not_streamed_is_printed() -> None:
    """A reply in the form of neither decision is an answer too."""
    with ScriptedServer(["1. join()", "Just this."]) as server:
        outcome = run(server, "ask", *MODEL, "Hello?")
    assert outcome.out == "Just this.\n"


# -- plan, graph, version ---------------------------------------------------------------------------------------------


def test_plan_prints_the_plan_in_canonical_form() -> None:
    """The model is asked once, nothing runs, and what follows `join()` is not waited for."""
    with ScriptedServer([f"Thought: both\n{PLAN}\nThat is my plan."]) as server:
        outcome = run(server, "plan", *MODEL, QUESTION)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == snapshot("""\
Thought: both
1. lookup(entity="Mount Everest")
2. lookup(entity="K2")
3. calculate(expression="${1.height_m} - ${2.height_m}")
4. join()
""")
    assert len(server.requests) == 1


def test_plan_as_a_chart() -> None:
    """`plan --mermaid` prints the plan as a Mermaid chart."""
    with ScriptedServer([PLAN]) as server:
        outcome = run(server, "plan", *MODEL, "--mermaid", QUESTION)
    assert outcome.code == 0
    assert outcome.out.startswith("graph TD\n")
    assert "  t1 --> t3\n" in outcome.out


def test_shells_complete() -> None:
    """Shells are told the commands, and the models and tools there are without asking anybody."""

    def completed(words: str) -> list[str]:
        given = {"_ROOT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return CliRunner().invoke(app, [], env=given, prog_name="root").stdout.split()

    assert completed("root p") == ["plan"]
    assert "local:qwen2.5-coder-0.5b" in completed("root ask --model lo")
    assert completed("root ask --tools w") == ["wikipedia"]
    assert {f"local:{name}" for name in WEIGHTS} == set(completed("root ask --model local:"))
    assert set(BUILT_IN) == set(completed("root ask --tools "))


def test_plan_is_asked_for_as_the_agent_asks() -> None:
    """`plan` and `ask` send the planner the same messages."""
    with ScriptedServer([PLAN, PLAN, ANSWER]) as server:
        run(server, "plan", *MODEL, QUESTION)
        run(server, "ask", *MODEL, QUESTION)
    assert server.requests[0]["messages"] == server.requests[1]["messages"]


def test_plan_reports_what_is_wrong() -> None:
    """Every diagnostic is printed with the line of the plan text it is about; the exit code is 1."""
    plan = '1. I would\u2028say:\n1. lookup("K2")\n2. calculate("${1.height} + 1")\n3. lokup("x")\n4. join()'
    with ScriptedServer([plan]) as server:
        outcome = run(server, "plan", *MODEL, QUESTION)
    assert outcome.code == 1
    assert outcome.out == snapshot("""\
1. lookup(entity="K2")
2. calculate(expression="${1.height} + 1")
3. lokup("x")
4. join()
""")
    assert re.sub(r"it has [^]]*", "it has … ", outcome.err) == snapshot("""\
line 3, column 1: ${1.height}: the observation of 'lookup' has no height; it has … ]
    2. calculate("${1.height} + 1")
line 4, column 1: no tool is named 'lokup'; did you mean 'lookup'? [unknown-tool]
    3. lokup("x")
""")


def test_help_names_every_built_in_tool() -> None:
    """`--help` lists them by hand, since it does not wait for their import."""
    shown = CliRunner().invoke(app, ["ask", "--help"]).stdout
    assert [name for name in BUILT_IN if name not in shown] == []


def test_graph_is_mermaid() -> None:
    """`graph` draws in Mermaid, without a model."""
    result = CliRunner().invoke(app, ["graph"])
    assert result.exit_code == 0
    assert "graph TD;" in result.stdout
    assert "joiner -. &nbsp;replan&nbsp; .-> planner;" in result.stdout


def test_version() -> None:
    """`--version` prints the name and version of the distribution."""
    assert re.fullmatch(r"llmcompiler-graph \d+\.\d+\.\d+\n", CliRunner().invoke(app, ["--version"]).stdout)


# -- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "replies",
    [[401], [PLAN, 401]],
    ids=["planner", "joiner"],
)
def test_a_model_that_fails(replies: list[str | int]) -> None:
    """If the model fails, the error is the provider's message, without a traceback."""
    with ScriptedServer(replies) as server:
        outcome = run(server, "ask", *MODEL, QUESTION)
    assert (outcome.code, outcome.out) == (1, "")
    assert re.fullmatch(r"error: \w*AuthenticationError: .*scripted status 401.*", outcome.err.splitlines()[-1])
    assert "Traceback" not in outcome.err


def test_debug_shows_the_traceback() -> None:
    """`--debug` prints the traceback before the error."""
    with ScriptedServer([400]) as server:
        outcome = run(server, "plan", *MODEL, "--debug", QUESTION)
    assert outcome.code == 1
    assert outcome.err.startswith("Traceback")
    assert "error: " in outcome.err.splitlines()[-1]


def test_a_model_that_fails_once_is_asked_again() -> None:
    """A model that fails once is asked again by its provider's client."""
    with ScriptedServer([RuntimeError("busy"), "1. join()", "Finish: hello"]) as server:
        outcome = run(server, "ask", *MODEL, "Hello?")
    assert (outcome.code, outcome.out, len(server.requests)) == (0, "hello\n", 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nobody:none"], "error: the model 'nobody:none' "),
        (["--model", "local:none"], "error: unknown local model 'none': expected one of"),
    ],
)
def test_a_model_that_does_not_exist(arguments: list[str], message: str) -> None:
    """The package's own errors are shown without their class."""
    result = CliRunner().invoke(app, ["ask", *arguments, QUESTION])
    assert result.exit_code == 1
    assert message in result.stderr


def test_a_provider_that_is_unknown() -> None:
    """Where LangChain does not know a provider, the providers that it knows are listed."""
    result = CliRunner().invoke(app, ["ask", "--model", "foo:bar", QUESTION])
    assert re.search(r"error: the model 'foo:bar' .* Known providers: .*anthropic, .*local, .*openai", result.stderr)


def test_a_server_that_is_not_there() -> None:
    """Where no server answers, the error names the address that was asked."""
    nowhere = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "x", "OPENAI_MAX_RETRIES": "0"}
    result = CliRunner().invoke(app, ["ask", *MODEL, QUESTION], env=nowhere)
    assert result.exit_code == 1
    assert "There is no server at http://127.0.0.1:9/v1" in result.stderr.splitlines()[-1]


def test_a_tool_that_fails_is_an_observation() -> None:
    """A tool's failure is shown to the user and told to the joiner, and the run goes on."""
    with ScriptedServer(['1. lookup("Atlantis")\n2. join()', "Finish: unknown"]) as server:
        outcome = run(server, "ask", *MODEL, QUESTION)
    assert (outcome.code, outcome.out) == (0, "unknown\n")
    assert 'failed   1. lookup(entity="Atlantis"): ToolException: no facts for' in outcome.err


def test_a_tool_that_asks_a_human(tool_module: str) -> None:
    """Where a tool asks a human, the command line says that it has nobody to ask."""
    with ScriptedServer(['1. approve("this")\n2. join()', "Finish: yes"]) as server:
        outcome = run(server, "ask", *MODEL, "-t", f"{tool_module}:approve", "Do this")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == "error: a tool asks a human, whom the command line cannot ask: 'this?'"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask"], "Missing argument"),
        (["ask", "-t", "lokup", QUESTION], "did you mean 'lookup'?"),
        (["plan", "-t", "no_such_module:tool", QUESTION], "no module 'no_such_module'"),
        (["ask", "--max-replans", "-1", QUESTION], "Invalid value for '--max-replans'"),
        (["ask", "--max-concurrency", "0", QUESTION], "Invalid value for '--max-concurrency'"),
        (["ask", "--tool-latency", "-1", QUESTION], "Invalid value for '--tool-latency'"),
        (["ask", "--html", "no/such/folder/run.html", QUESTION], "no folder 'no/such/folder'"),
        (["answer"], "No such command 'answer'"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    """Wrong usage is exit code 2, and says what is wrong."""
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


# -- as a process of its own ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", ["planner", "tool", "answer"])
def test_ctrl_c(busy: str) -> None:
    """Ctrl-C ends the run at once with exit code 130, whatever it is waiting for."""
    replies = {
        "planner": [PLAN],
        "tool": ['1. lookup("K2")\n2. join()'],
        "answer": ["1. join()", "Finish: " + "a " * 99],
    }
    sign = {"planner": b"", "tool": b"planned  1 task\n", "answer": b"joiner"}[busy]
    ttft, seconds_per_reply = (60 if busy == "planner" else 0), (1 if busy == "answer" else 0)
    command = [*COMMAND, "ask", *MODEL, *(("--tool-latency", "60") if busy == "tool" else ()), QUESTION]
    with (
        ScriptedServer(replies[busy], ttft=ttft, seconds_per_reply=seconds_per_reply) as server,
        subprocess.Popen(
            command, env=environment(server), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        ) as process,
    ):
        assert process.stderr is not None
        said = b""
        while sign not in said or not server.requests:
            if select.select([process.stderr], [], [], 0.05)[0]:
                said += os.read(process.stderr.fileno(), 4096)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=5)
    assert process.returncode == 130
    assert err.decode().splitlines()[-1] == "interrupted"
    assert not out or out.endswith(b"\n")


HANGING = """
import asyncio, threading

async def quick() -> str:
    'Return at once.'
    return "quick"

def hang() -> str:
    'Never return.'
    threading.Event().wait()

async def wait_for_a_thread() -> str:
    'Wait for what never returns.'
    await asyncio.to_thread(hang)

async def leave_a_thread() -> str:
    'Leave a thread behind that never ends.'
    threading.Thread(target=hang).start()

async def survive() -> str:
    'Go on whatever happens.'
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def leave_a_task() -> str:
    'Leave a task behind that never ends.'
    globals()["task"] = asyncio.ensure_future(survive())
"""


@pytest.mark.parametrize(
    ("tool", "answer"),
    [
        *(
            (tool, "Finish: done")
            for tool in ("hang", "wait_for_a_thread", "leave_a_thread", "survive", "leave_a_task")
        ),
        ("wait_for_a_thread", ""),
    ],
)
def test_a_process_ends_whatever_a_tool_leaves_behind(tool: str, answer: str, tmp_path: Path) -> None:
    """After its answer, or an error, the command ends in time, though threads or tasks of tools never do."""
    (tmp_path / "hanging.py").write_text(HANGING)
    replies = [f"1. {tool}()\n2. quick()\n3. join()", *([answer] if answer else [])]
    options = ["--deadline", "1", "--tools", f"hanging:{tool}", "--tools", "hanging:quick", "--no-timeline"]
    with ScriptedServer(replies) as server:
        done = subprocess.run(
            [*COMMAND, "ask", *MODEL, *options, QUESTION],
            env=environment(server, {"PYTHONPATH": f"{Path.cwd()}:{tmp_path}"}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == ((0, "done\n") if answer else (1, "")), done.stderr
    assert answer or "error: " in done.stderr


def test_broken_pipe_is_quiet() -> None:
    """Whoever reads the answer may leave early, without an error."""
    with ScriptedServer(["1. join()", "Finish: " + "word " * 200], seconds_per_reply=0.5) as server:
        command = [*COMMAND, "ask", *MODEL, "--no-timeline", QUESTION]
        with subprocess.Popen(
            command, env=environment(server), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.read(4) == "word"
            process.stdout.close()
            assert process.stderr is not None
            assert all(line.startswith("+") for line in process.stderr.read().splitlines())
    assert process.returncode == 1


def on_a_terminal(command: Sequence[str], env: Mapping[str, str]) -> tuple[int, str]:
    """Run a command on a pseudo-terminal; its exit code and what it wrote."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as process:
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 4096):
                written += piece
        except OSError:
            pass  # how Linux says that the other side has closed it
        finally:
            os.close(ours)
    return process.returncode, written.decode()


def test_live_view_on_a_terminal() -> None:
    """On a terminal the view is drawn again and again, and the answer follows it."""
    with ScriptedServer([PLAN, ANSWER], seconds_per_reply=0.3) as server:
        env = environment(server, {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"})
        code, written = on_a_terminal([*COMMAND, "ask", *MODEL, "--tool-latency", "0.3", QUESTION], env)
    assert code == 0
    assert written.count("planner") > 3
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r\n", "\n")
    assert "✓ 3 calculate(expression=" in text
    assert "= 237.86" in text
    assert text.endswith("\n\nMount Everest is 237.86 m higher than K2.\n")
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1  # the cursor is back


def test_dumb_terminal_gets_plain_lines() -> None:
    """A terminal that cannot move its cursor is written to line by line."""
    with ScriptedServer([PLAN, ANSWER]) as server:
        env = environment(server, {"TERM": "dumb"})
        code, written = on_a_terminal([*COMMAND, "ask", *MODEL, QUESTION], env)
    assert code == 0
    assert "\x1b" not in written
    assert re.search(r"\+\d\.\d\ds start    1\. lookup", written)


STEERING = "\x1b[2J\x9b31m\x07\u202e\x7f"


def steers(written: str) -> bool:
    """Whether text has characters that a terminal obeys, besides those of the live view."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "").replace("\n", "").replace("\t", "")
    return "\x1b[2J" in written or any(not each.isprintable() for each in text)


STEERING_PLANS = [
    f'Thought: {STEERING}\n1. lookup("K2")\n2. join()',
    f'1. lookup("{STEERING}")\n2. lookup("$1")\n3. join()',
    f"1. look{STEERING}up()\n2. {STEERING}\n3. lookup({STEERING})",
    f'1. calculate("1 +{STEERING} 1")\n2. calculate(wat="{STEERING}")',
    f'1. lookup("K2", {{"{STEERING}": 1}})',
]
REPLAN = f"Thought: {STEERING}\nReplan: {STEERING}"


@pytest.mark.parametrize("command", ["plan", "ask"])
@pytest.mark.parametrize("plan", STEERING_PLANS)
def test_a_plan_cannot_steer_what_reads_lines(plan: str, command: str) -> None:
    """Escape codes in thoughts, calls, diagnostics, repairs, observations and errors are shown, not obeyed."""
    with ScriptedServer([plan, plan, REPLAN, plan, plan, f"Finish: {STEERING}"]) as server:
        outcome = run(server, command, *MODEL, f"a{STEERING}?")
    written = outcome.err + (outcome.out if command == "plan" else "")
    assert written
    assert not steers(written)


@pytest.mark.parametrize("command", ["plan", "ask"])
def test_a_plan_cannot_steer_the_terminal(command: str) -> None:
    """Nor are they in the live view, or on a terminal that shows a plan."""
    plan = f'Thought: {STEERING}\n1. lookup("{STEERING}")\n2. lookup("$1")\n3. calculate(wat="{STEERING}")\n{STEERING}'
    with ScriptedServer([plan, plan, REPLAN, plan, plan, f"Finish: {STEERING}"]) as server:
        arguments = [*COMMAND, command, *MODEL, f"a{STEERING}?"]
        _, written = on_a_terminal(arguments, environment(server, {"TERM": "xterm"}))
    assert written
    assert not steers(written)


def test_json_is_json(tool_module: str) -> None:
    """`--json` has no `NaN` and no `Infinity`, which JSON has not, nor characters that steer a terminal."""
    odd = "[float('nan'), float('inf'), -float('inf'), 1.5, '\\x9b\\u2028é😀']"
    Path("own_tools.py").write_text(f"def odd() -> list:\n    '''Odd.'''\n    return {odd}\n")
    with ScriptedServer(["1. odd()\n2. join()", f"Finish: {STEERING}é"]) as server:
        outcome = run(server, "ask", *MODEL, "--json", "--tools", f"{tool_module}:odd", "?")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    report = json.loads(outcome.out, parse_constant=refuse)
    assert report["tasks"][0]["value"] == [None, None, None, 1.5, "\x9b\u2028é😀"]
    assert "é😀" in outcome.out
    assert not steers(outcome.out)


def test_answer_cannot_steer_the_terminal() -> None:
    """Escape codes in an answer are shown, not obeyed; in a pipe it is left as it is."""
    with ScriptedServer(["1. join()", "Finish: a\x1b[31mb\n\tc"] * 2) as server:
        env = environment(server, {"TERM": "dumb"})
        _, written = on_a_terminal([*COMMAND, "ask", *MODEL, "--no-timeline", QUESTION], env)
        assert written.replace("\r\n", "\n").endswith("a\\x1b[31mb\n\tc\n")
        assert run(server, "ask", *MODEL, QUESTION).out == "a\x1b[31mb\n\tc\n"
