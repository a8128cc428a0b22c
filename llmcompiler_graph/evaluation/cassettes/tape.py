"""The file: what is on a cassette, and the keys by which it is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain_core.messages import BaseMessage, ToolMessage
from pydantic_core import to_jsonable_python

from llmcompiler_graph import LLMCompilerError
from llmcompiler_graph.evaluation.records import Benchmark, Sample, System

__all__ = ("TOOL_NAMES", "Cassette", "CassetteError", "Take", "asked_model", "asked_tool")


TOOL_NAMES = "cassette_tool_names"  # bound to the model, for the key: providers have tools in forms of their own

_BEGINNING = b'{"kind": '  # of a line: what else stands after the last newline is none that a kill has torn


class CassetteError(LLMCompilerError, LookupError):
    """What is asked now was not asked when the cassette was recorded; the message says what."""


@dataclass(frozen=True, slots=True)
class Take:
    """One recorded answer."""

    model: Mapping[str, Any]
    """Of the model: `{"name", "local", "native_calls", "temperature"}`."""
    entries: list[dict[str, Any]] = field(default_factory=list)
    """What was said, in the order it was asked for: `{"kind", "asked", …, "seconds"}`."""


class Cassette:
    """A file of takes.

    Args:
        path: The file; it need not be there before something is recorded.

    Raises:
        CassetteError: A line cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._takes: dict[tuple[str, str, str], dict[str, Take]] = {}
        takes: dict[str, Take] = {}
        try:
            content = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise _unusable(path, error) from error
        whole, _, last = content.rpartition(b"\n")
        self._torn = len(last) if last.startswith(_BEGINNING) or _BEGINNING.startswith(last) else 0  # by a kill
        for number, line in enumerate((whole if self._torn else content).splitlines(), 1):
            try:
                entry = json.loads(line)
                if entry["kind"] == "take":
                    scope = entry["benchmark"], entry["sample"], entry["system"]
                    takes[entry["take"]] = Take(entry["model"])
                    self._takes.setdefault(scope, {})[entry["model"]["name"]] = takes[entry["take"]]
                else:
                    takes[entry["take"]].entries.append(entry)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                msg = f"{str(path)!r}, line {number}, is no line of a cassette: {error!r}"
                raise CassetteError(msg) from error

    def __len__(self) -> int:
        """How many answers are recorded."""
        return sum(map(len, self._takes.values()))

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models whose answers are recorded."""
        return tuple(sorted({name for takes in self._takes.values() for name in takes}))

    def temperatures(self, model_name: str) -> frozenset[float | None]:
        """At which temperatures the answers of a model are recorded, where one was asked for."""
        recorded = (takes[model_name] for takes in self._takes.values() if model_name in takes)
        return frozenset(take.model.get("temperature") for take in recorded)

    def take(self, system: System, benchmark: Benchmark, sample: Sample, model_name: str | None = None) -> Take:
        """What was recorded for an answer, of the only model whose answer there is, or of the model of this name.

        Raises:
            CassetteError: Nothing was, or answers of several models were.
        """
        takes = self._takes.get((benchmark.name, sample.id, system.name), {})
        found = [take for name, take in takes.items() if model_name in {name, None}]
        if len(found) == 1:
            return found[0]
        what = f"of {system.name!r} to {benchmark.name} {sample.id!r}"
        if found:
            msg = f"{str(self.path)!r} has answers {what} of several models, {', '.join(takes)}: say of which"
        else:
            msg = f"{str(self.path)!r} has no answer {what}: record it"
        raise CassetteError(msg)

    def add(self, take: Take, system: System, benchmark: Benchmark, sample: Sample) -> None:
        """Write a take to the end of the file.

        Raises:
            CassetteError: It cannot be written; an `OSError` would be taken for the system's own failure.
        """
        key = uuid4().hex[:12]
        head = {
            "kind": "take",
            "take": key,
            "benchmark": benchmark.name,
            "sample": sample.id,
            "system": system.name,
            "model": dict(take.model),
        }
        lines = [head, *({"kind": entry["kind"], "take": key, **entry} for entry in take.entries)]
        content = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                if self._torn:
                    file.truncate(self.path.stat().st_size - self._torn)
                    self._torn = 0
                file.write(content)
        except OSError as error:
            raise _unusable(self.path, error) from error
        self._takes.setdefault((benchmark.name, sample.id, system.name), {})[take.model["name"]] = take


def _unusable(path: Path, error: OSError) -> CassetteError:
    return CassetteError(f"the cassette {str(path)!r} cannot be used: {error}")


def asked_model(messages: Sequence[BaseMessage], stop: Sequence[str] | None, settings: Mapping[str, Any]) -> str:
    """The key of what a model is asked."""
    shown = [
        {
            "type": message.type,
            "content": message.content,
            "calls": [{"name": call["name"], "args": call["args"]} for call in getattr(message, "tool_calls", ())],
            "failed": isinstance(message, ToolMessage) and message.status == "error",
        }
        for message in messages
    ]
    return _asked(
        [to_jsonable_python(shown), list(stop or ()), settings.get(TOOL_NAMES, ()), settings.get("extra_body")]
    )


def asked_tool(name: str, arguments: Mapping[str, Any]) -> str:
    """The key of a call."""
    return _asked([name, to_jsonable_python(dict(arguments), fallback=str)])


def _asked(what: Any) -> str:
    """The key of what is asked."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:24]
