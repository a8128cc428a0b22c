"""The command line: `llmcompiler ask`, `plan`, `run`, `check`, `graph` and `bench`.

What was asked for goes to stdout, everything else to stderr: a live view if both are terminals, else plain lines. So
`llmcompiler ask … | cat` shows what happens as lines of plain text, and `answer=$(llmcompiler ask …)` holds the answer.

This module parses arguments and nothing else, so that `--help` is there at once: what a command needs, it imports.

Exit codes: 0 done, 1 failed (what went wrong is on stderr), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import atexit
import io
import os
import sys
import threading
import traceback
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from llmcompiler_graph.core.errors import LLMCompilerError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

__all__ = ("app", "main")

T = TypeVar("T")

_SECONDS_TO_END = 2.0  # that tasks and threads have which a run leaves behind


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode is no reason to fail
    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
        if code == 130:
            _leave(code)
        _leave_in_time(code)
        raise


def _leave(code: int) -> None:
    """End the process without waiting for threads: a tool or a model that is being loaded can hold one for long."""
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _leave_in_time(code: int) -> None:
    """See to it that the process ends soon, also if threads do not."""
    ended = threading.Event()
    atexit.register(ended.set)  # called when all threads have ended

    def wait() -> None:
        if not ended.wait(_SECONDS_TO_END):
            _leave(code)

    threading.Thread(target=wait, name="llmcompiler-exit", daemon=True).start()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llmcompiler-graph {version('llmcompiler-graph')}")
        raise typer.Exit


Question = Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask.", show_default=False)]


def _models() -> list[str]:
    """What shells complete models to; a list of its own, since those that know load for a second."""
    return ["local", "local:qwen2.5-coder-0.5b", "local:qwen2.5-coder-1.5b", "openai:gpt-5-mini"]


def _tools() -> list[str]:
    """The same for tools."""
    return ["lookup", "calculate", "wikipedia"]


Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="'local' (on this machine's CPU) or 'provider:name'.",
        autocompletion=_models,
    ),
]
PlannerModel = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="The model that plans, if not --model.", show_default=False, autocompletion=_models
    ),
]
JoinerModel = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="The model that answers, if not --model.", show_default=False, autocompletion=_models
    ),
]
Tools = Annotated[
    list[str] | None,
    typer.Option(
        "--tools",
        "-t",
        metavar="TOOL",
        help="lookup, calculate, wikipedia, or your own as 'package.module:attribute'. May be repeated. "
        "[default: lookup, calculate]",
        show_default=False,
        autocompletion=_tools,
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@app.callback(help="Answer questions with an LLMCompiler agent: planned tool calls, run in parallel.")
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def ask(
    question: Question,
    *,
    model: Model = "local",
    planner_model: PlannerModel = None,
    joiner_model: JoinerModel = None,
    tools: Tools = None,
    max_replans: Annotated[int, typer.Option(min=0, metavar="N", help="How many plans may follow the first.")] = 2,
    max_concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="How many tool calls may run at a time.", metavar="N", show_default="no limit"),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(
            min=0.001, metavar="SECONDS", help="Then answer with what there is by that time.", show_default="no limit"
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="TOKENS", help="Answer with what there is before more are used.", show_default="no limit"
        ),
    ] = None,
    tool_latency: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Make every tool call take this long at least, as over a network."),
    ] = 0,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the answer, the tasks, when they ran and the plans as one JSON object."),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", dir_okay=False, writable=True, help="Draw the run as an HTML page.", show_default=False
        ),
    ] = None,
    show_timeline: Annotated[bool, typer.Option("--timeline/--no-timeline", help="Show when each task ran.")] = True,
    debug: Debug = False,
) -> None:
    """Answer a question, and show how: each task of the plan, as it runs.

    The answer goes to stdout, all else to stderr: a live view on a terminal, plain lines when either is piped.
    """
    if html is not None and not html.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {str(html.parent)!r}", param_hint="'--html'")
    with _starting():
        from llmcompiler_graph.cli import agent
        from llmcompiler_graph.timeline import timeline_report

        loaded = _load_tools(tools)
    with _reported(debug), timeline_report(html) if html else nullcontext():
        agent.fetch_weights(*(model if each is None else each for each in (planner_model, joiner_model)))
        report = _run(
            agent.ask(
                question,
                model,
                loaded,
                answer=not as_json,
                timeline=show_timeline,
                latency=tool_latency,
                planner_model=planner_model,
                joiner_model=joiner_model,
                max_replans=max_replans,
                max_concurrency=max_concurrency,
                deadline=deadline,
                budget=budget,
            )
        )
        if as_json:
            from llmcompiler_graph.cli.progress import printable_json

            typer.echo(printable_json(report))


@app.command()
def plan(
    question: Question,
    *,
    model: Model = "local",
    tools: Tools = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print the plan as a Mermaid chart.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", dir_okay=False, writable=True, help="Also write the plan to a file.", show_default=False
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Show the plan for a question without running any of it.

    The plan goes to stdout, in its canonical form; what is wrong with it to stderr, and then the exit code is 1.
    `--save` writes one that nothing is wrong with: for `llmcompiler run FILE`, or `llmcompiler check FILE`.
    """
    if save is not None and not save.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {str(save.parent)!r}", param_hint="'--save'")
    from llmcompiler_graph.cli import agent
    from llmcompiler_graph.cli.progress import printable

    loaded = _load_tools(tools)
    with _reported(debug):
        agent.fetch_weights(model)
        text, made, diagnostics = _run(agent.plan(question, model, loaded))
    typer.echo("\n".join(map(printable, (made.to_mermaid() if mermaid else str(made)).split("\n"))))
    if save is not None and not diagnostics:
        save.write_text(f"{made}\n", encoding="utf-8")
    lines = text.split("\n")
    for diagnostic in diagnostics:
        quoted = printable(lines[diagnostic.line - 1].strip())
        typer.echo(f"{printable(str(diagnostic))}\n    {quoted}".rstrip(), err=True)
    raise typer.Exit(1 if diagnostics else 0)


@app.command()
def run(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file of procedures, or a plan.", exists=True, dir_okay=False)
    ],
    *,
    arguments: Annotated[
        list[str] | None,
        typer.Option(
            "--arg",
            "-a",
            metavar="NAME=VALUE",
            help="An argument; JSON, where its parameter does not take text. May be repeated.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--procedure", "-p", metavar="NAME", help="Which one, if FILE has several.", show_default=False),
    ] = None,
    tools: Tools = None,
    joiner_model: JoinerModel = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result and the tasks as one JSON object.")] = False,
    debug: Debug = False,
) -> None:
    """Run a procedure: no model plans, and none is asked but --joiner-model, which answers from the result.

    The result goes to stdout, the tasks to stderr. If the last task fails, the exit code is 1.
    """
    with _starting():
        from llmcompiler_graph.cli import saved
        from llmcompiler_graph.cli.progress import printable, printable_json

        loaded = _load_tools(tools)
    with _reported(debug):
        procedure, others = saved.pick(file, name)
        given = saved.read_arguments(procedure, arguments or ())
        if joiner_model is not None:
            from llmcompiler_graph.cli.agent import fetch_weights

            fetch_weights(joiner_model)
        report = _run(saved.run(procedure, others, given, loaded, joiner_model))
    for line in saved.lines(report):
        typer.echo(printable(line), err=True)
    if as_json:
        typer.echo(printable_json(report))
    else:
        typer.echo("\n".join(map(printable, saved.said(report).split("\n"))))
    raise typer.Exit(0 if report["tasks"][-1]["status"] == "done" else 1)


@app.command()
def check(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILES", help="*.procedures, *.plan, or *.json (a list of examples).", dir_okay=False),
    ],
    *,
    tools: Tools = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORM", help="text, json, or sarif (for code hosts).")
    ] = "text",
    debug: Debug = False,
) -> None:
    """Check plans, procedures and examples against tools, and run nothing: for continuous integration.

    Everything wrong goes to stdout, with file, line and column; then the exit code is 1. Plans and examples may call
    the procedures of all FILES.
    """
    if form not in ("text", "json", "sarif"):
        raise typer.BadParameter(f"{form!r} is none of text, json, sarif", param_hint="'--format'")
    from llmcompiler_graph.calls.specs import tool_specs
    from llmcompiler_graph.cli import checked_files
    from llmcompiler_graph.cli.progress import printable, printable_json

    loaded = _load_tools(tools)
    with _reported(debug):
        found = checked_files.check_files(files, tool_specs(loaded))
    if form == "json":
        typer.echo(printable_json(checked_files.as_json(found)))
    elif form == "sarif":
        typer.echo(printable_json(checked_files.as_sarif(found)))
    else:
        for line in checked_files.lines(found):
            typer.echo(printable(line))
    raise typer.Exit(1 if found else 0)


@app.command()
def graph() -> None:
    """Print the agent graph as a Mermaid diagram."""
    from llmcompiler_graph.cli import agent

    typer.echo(agent.mermaid())


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    help="Measure: the paper's evaluations and rival systems. `llmcompiler bench --help` says more.",
)
def bench(context: typer.Context) -> None:
    """Hand the arguments to `python -m llmcompiler_graph.evaluation`."""
    missing = [name for name in ("pooch", "matplotlib") if find_spec(name) is None]
    if missing:
        typer.echo("error: this needs more packages: pip install 'llmcompiler-graph[evaluation]'", err=True)
        raise typer.Exit(1)
    from llmcompiler_graph.evaluation.command import app as evaluation  # not for every start of the command line

    evaluation(context.args, prog_name="llmcompiler bench")


@contextmanager
def _starting() -> Iterator[None]:
    """Say at once that something happens: what is imported takes a second or two."""
    on_a_terminal = sys.stderr.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown")
    typer.echo("loading …" if on_a_terminal else "+0.00s load     the program", err=True, nl=not on_a_terminal)
    try:
        yield
    finally:
        if on_a_terminal:
            typer.echo("\r\x1b[K", err=True, nl=False)


def _load_tools(names: list[str] | None) -> list[BaseTool]:
    from llmcompiler_graph.cli.defaults import default_tools
    from llmcompiler_graph.tools import ToolLoadError, load_tools

    try:
        return load_tools(names) if names else default_tools()
    except ToolLoadError as error:
        raise typer.BadParameter(str(error), param_hint="'--tools'") from error


def _run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; Ctrl-C cancels it and waits until it has cleaned up, but not for threads (see `main`)."""
    runner = asyncio.Runner()
    try:
        result = runner.run(main)
    except Exception:
        _close(runner)
        raise
    _close(runner)
    return result


def _close(runner: asyncio.Runner) -> None:
    """Close a loop; `Runner.close` would wait for threads and tasks that do not end."""
    loop = runner.get_loop()
    loop.run_until_complete(_end_tasks())
    loop.close()


async def _end_tasks() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_SECONDS_TO_END)
    await asyncio.get_running_loop().shutdown_asyncgens()


@contextmanager
def _reported(debug: bool) -> Iterator[None]:
    """Report what goes wrong on stderr, and exit."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read the output has gone: typer exits quietly
    except Exception as error:
        from llmcompiler_graph.cli.progress import printable

        if debug:
            typer.echo("\n".join(map(printable, traceback.format_exc().splitlines())), err=True)
        kind = "" if isinstance(error, LLMCompilerError) else f"{type(error).__name__}: "
        address = _unreachable(error)
        reason = f"{error} There is no server at {address}, or it cannot be reached." if address else error
        typer.echo("\n".join(map(printable, f"error: {kind}{reason}".splitlines())), err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise


def _unreachable(error: BaseException) -> str:
    """The address of a server that could not be reached, if that is what an error tells: providers leave it out."""
    seen: BaseException | None = error
    while seen is not None:
        url = getattr(getattr(seen, "request", None), "url", None)
        if url is not None and {"TransportError", "APIConnectionError"} & {
            kind.__name__ for kind in type(seen).__mro__
        }:
            return str(url)
        seen = seen.__cause__ or seen.__context__
    return ""
