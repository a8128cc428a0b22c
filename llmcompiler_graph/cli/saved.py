"""What the commands do with procedures in files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool

from llmcompiler_graph.core.errors import ConfigurationError, PlanError
from llmcompiler_graph.core.language.json_text import read_json
from llmcompiler_graph.core.language.parser import parse_plan
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.language.substitution import as_text
from llmcompiler_graph.procedures import Procedure, parse_procedures

__all__ = ("lines", "pick", "read_arguments", "run", "said")


def pick(file: Path, name: str | None) -> tuple[Procedure, list[Procedure]]:
    """Read a file; give the procedure that is meant, and the others. A plan is one without parameters.

    Raises:
        ConfigurationError: It cannot be read, or it has none of that name, or several if no name is given.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".plan":
            return Procedure("plan", {}, parse_plan(text)), []
        procedures = parse_procedures(text)
    except PlanError as error:
        msg = "\n".join(f"{file}: {problem}" for problem in error.diagnostics)
        raise ConfigurationError(msg) from error
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file} cannot be read: {error}"
        raise ConfigurationError(msg) from error
    named = [each for each in procedures if name in (None, each.name)]
    if len(named) != 1:
        listed = ", ".join(each.name for each in procedures)
        what = f"no procedure {name!r}" if name is not None else "several procedures: name one with --procedure"
        msg = f"{file} has {what}; there are {listed}"
        raise ConfigurationError(msg)
    return named[0], [each for each in procedures if each is not named[0]]


def read_arguments(procedure: Procedure, given: Iterable[str]) -> dict[str, JSON]:
    """Read `NAME=VALUE` arguments: text for a parameter that takes it, else JSON if it is some.

    Raises:
        ConfigurationError: One is not of that form, is given twice, or has the name of no parameter.
    """
    arguments: dict[str, JSON] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or name not in procedure.parameters:
            listed = ", ".join(procedure.parameters) or "none"
            msg = f"--arg {each!r:.80} is not NAME=VALUE with a parameter of {procedure.name!r}; there are {listed}"
            raise ConfigurationError(msg)
        if name in arguments:
            msg = f"--arg {name} is given twice"
            raise ConfigurationError(msg)
        arguments[name] = value if procedure.parameters[name] == "str" else _read(value)
    return arguments


def _read(value: str) -> JSON:
    try:
        return read_json(value)
    except ValueError:
        return value


async def run(
    procedure: Procedure,
    others: Sequence[Procedure],
    arguments: Mapping[str, JSON],
    tools: Sequence[BaseTool],
    joiner_model: str | None,
) -> dict[str, Any]:
    """Run a procedure; give its result, its tasks and the answer, if a model was to give one."""
    graph = procedure.as_graph(tools, procedures=others, joiner_model=joiner_model)
    final: Any = await graph.ainvoke({"arguments": dict(arguments)})
    report = {"procedure": procedure.name, "result": final["result"], "tasks": final["tasks"]}
    return report if joiner_model is None else {**report, "answer": str(final["messages"][-1].text)}


def said(report: Mapping[str, Any]) -> str:
    """What was asked for: the answer, if there is one, else the result."""
    return str(report["answer"]) if "answer" in report else as_text(report["result"])


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The tasks, each with how it ended."""
    for task in report["tasks"]:
        error = f": {task['error']}" if task["error"] else ""
        yield f"{task['status']:8}{task['text']}{error}"
