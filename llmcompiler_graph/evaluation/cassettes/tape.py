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

from llmcompiler_graph.errors import LLMCompilerError
from llmcompiler_graph.evaluation.records import Benchmark, Sample, System

__all__ = ("TOOL_NAMES", "Cassette", "CassetteError", "Take", "asked_model", "asked_tool")


TOOL_NAMES = "cassette_tool_names"  # bound to the model, for the key: providers have tools in forms of their own


class CassetteError(LLMCompilerError, LookupError):
    """What is asked now was not asked when the cassette was recorded; the message says what."""


@dataclass(frozen=True, slots=True)
class Take:
    """One recorded answer."""

    model: Mapping[str, Any]
    """Of the model: `{"name", "local", "native_calls"}`."""
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
        self._takes: dict[tuple[str, str, str], Take] = {}
        takes: dict[str, Take] = {}
        for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else (), 1):
            try:
                entry = json.loads(line)
                if entry["kind"] == "take":
                    scope = entry["benchmark"], entry["sample"], entry["system"]
                    self._takes[scope] = takes[entry["take"]] = Take(entry["model"])
                else:
                    takes[entry["take"]].entries.append(entry)
            except (ValueError, KeyError, TypeError) as error:
                msg = f"{str(path)!r}, line {number}, is no line of a cassette: {error!r}"
                raise CassetteError(msg) from error

    def __len__(self) -> int:
        """How many answers are recorded."""
        return len(self._takes)

    def take(self, system: System, benchmark: Benchmark, sample: Sample) -> Take:
        """What was recorded for an answer.

        Raises:
            CassetteError: Nothing was.
        """
        try:
            return self._takes[benchmark.name, sample.id, system.name]
        except KeyError:
            msg = f"{str(self.path)!r} has no answer of {system.name!r} to {benchmark.name} {sample.id!r}: record it"
            raise CassetteError(msg) from None

    def add(self, take: Take, system: System, benchmark: Benchmark, sample: Sample) -> None:
        """Write a take to the end of the file."""
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
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines))
        self._takes[benchmark.name, sample.id, system.name] = take


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
