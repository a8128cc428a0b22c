"""What `check` does: reads files of plans, procedures and examples, and says everything that is wrong with them.

A file is one of procedures (`name.procedures`), a plan (`name.plan`), or examples (`name.json`: a list of objects with
the fields of `PlanExample`). Complaints have the file's line and column, as text, JSON, or SARIF for code hosts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from llmcompiler_graph.core.checking.checker import Checker, collect
from llmcompiler_graph.core.checking.procedures import CheckedProcedure, check_procedures
from llmcompiler_graph.core.errors import ConfigurationError, Diagnostic, PlanError
from llmcompiler_graph.core.examples import Outcome, PlanExample, check_examples
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.core.language.procedures import Procedure, parse_procedures

__all__ = ("Complaint", "as_json", "as_sarif", "check_files", "lines")


class Complaint(NamedTuple):
    """Something wrong with a file."""

    file: Path
    """The file."""
    problem: Diagnostic
    """What is wrong, and where."""


def check_files(files: Sequence[Path], tools: Sequence[ToolSpec]) -> list[Complaint]:
    """Check files against tools; plans and examples may call the procedures of any of the files.

    Args:
        files: They: `*.procedures`, `*.plan` and `*.json`.
        tools: What is known of the tools.
    """
    found: list[Complaint] = []
    procedures: list[tuple[Path, Procedure]] = []
    for file in (each for each in files if each.suffix == ".procedures"):
        try:
            procedures += ((file, procedure) for procedure in parse_procedures(_read(file)))
        except PlanError as error:
            found += (Complaint(file, problem) for problem in error.diagnostics)
        except ConfigurationError as error:
            found.append(_whole(file, error))
    checked, wrong = _checked(procedures, tools)
    found += wrong
    known = [*tools, *(each.spec for each in checked.values())]
    for file in files:
        if file.suffix == ".procedures":
            continue
        try:
            found += _of_file(file, known, {name: each.width for name, each in checked.items()})
        except ConfigurationError as error:
            found.append(_whole(file, error))
    order = {file: n for n, file in enumerate(files)}
    return sorted(found, key=lambda each: (order[each.file], each.problem.line, each.problem.column))


def _checked(
    given: Sequence[tuple[Path, Procedure]], tools: Sequence[ToolSpec]
) -> tuple[dict[str, CheckedProcedure], list[Complaint]]:
    """The procedures that fit the tools, and what is wrong with the others, each in its file."""
    files = {procedure.name: file for file, procedure in given}
    try:
        return check_procedures([procedure for _, procedure in given], tools), []
    except PlanError as error:
        wrong = [Complaint(files[_named(problem)], problem) for problem in error.diagnostics]
    bad = {_named(each.problem) for each in wrong}
    kept: dict[str, Procedure] = {procedure.name: procedure for _, procedure in given if procedure.name not in bad}
    while True:  # those that call one with faults cannot be called either
        lost = [n for n, each in kept.items() if any(t.tool in files and t.tool not in kept for t in each.plan)]
        if not lost:
            return check_procedures(kept.values(), tools), wrong
        for name in lost:
            del kept[name]


def _named(problem: Diagnostic) -> str:
    """The procedure that a complaint of `check_procedures` is about."""
    return problem.message.partition("procedure '")[2].partition("'")[0]


def _of_file(file: Path, known: Sequence[ToolSpec], widths: Mapping[str, int]) -> Iterator[Complaint]:
    match file.suffix:
        case ".plan":
            parser = PlanParser(tools={spec.name: tuple(spec.parameters) for spec in known}, procedures=widths)
            events = [*parser.feed(_read(file)), *parser.close()]
            plan, problems = collect(events, Checker(known))
            if not len(plan) and not problems and not parser.finished:
                problems = [Diagnostic("not-a-task", "there is no plan in this file", 1, 1, "write numbered calls")]
            yield from (Complaint(file, problem) for problem in problems)
        case ".json":
            for example in _examples(file):
                check_examples([example], known)
        case _:
            msg = "no file of this kind is known: give *.procedures, *.plan or *.json (examples)"
            raise ConfigurationError(msg)


def _examples(file: Path) -> list[PlanExample]:
    """Read the examples of a file.

    Raises:
        ConfigurationError: It has none.
    """
    try:
        given = json.loads(_read(file))
        return [
            PlanExample(**{**each, "outcomes": [_outcome(one) for one in each.get("outcomes", ())]}) for each in given
        ]
    except (ValueError, TypeError, AttributeError) as error:
        msg = f"this is no list of examples ({error}): each is an object with `question`, `plan` and `outcomes`"
        raise ConfigurationError(msg) from error


def _outcome(given: Mapping[str, Any]) -> Outcome:
    return Outcome(**{**given, "observations": {int(n): value for n, value in given["observations"].items()}})


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"it cannot be read: {error}"
        raise ConfigurationError(msg) from error


def _whole(file: Path, error: Exception) -> Complaint:
    return Complaint(file, Diagnostic("file", str(error), 1, 1))


# -- said -------------------------------------------------------------------------------------------------------------


def lines(complaints: Iterable[Complaint]) -> Iterator[str]:
    """Write complaints as compilers do, one a line, so that editors find the place."""
    for file, problem in complaints:
        hint = f"; {problem.hint}" if problem.hint else ""
        yield f"{file}:{problem.line}:{problem.column}: {problem.message}{hint} [{problem.code}]"


def as_json(complaints: Iterable[Complaint]) -> list[dict[str, Any]]:
    """Write complaints as objects."""
    return [
        {
            "file": str(file),
            "line": problem.line,
            "column": problem.column,
            "code": problem.code,
            "message": problem.message,
            "hint": problem.hint,
        }
        for file, problem in complaints
    ]


def as_sarif(complaints: Sequence[Complaint]) -> dict[str, Any]:
    """Write complaints as a SARIF 2.1.0 log."""
    codes = sorted({problem.code for _, problem in complaints})
    results = [
        {
            "ruleId": problem.code,
            "ruleIndex": codes.index(problem.code),
            "level": "error",
            "message": {"text": f"{problem.message}{problem.hint and f'; {problem.hint}'}"},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": file.as_posix()},
                        "region": {"startLine": problem.line, "startColumn": problem.column},
                    }
                }
            ],
        }
        for file, problem in complaints
    ]
    driver = {"name": "llmcompiler", "rules": [{"id": code} for code in codes]}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
