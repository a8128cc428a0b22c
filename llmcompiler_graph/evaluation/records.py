"""The values the evaluation is made of: a benchmark's samples, a system's answers, and one record per example.

All are frozen. `Record` is one line of a JSONL file and survives the way there and back:

>>> record = Record(id="3", benchmark="movie", system="react", model="local", tier="live", answer="K2", correct=1)
>>> Record.from_json(record.to_json()) == record
True

May know: `Plan`, `PlanExample`, `references`, and LangChain's types; nothing of the rest of the evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from llmcompiler_graph import Plan, PlanExample
from llmcompiler_graph.core.language.references import JSON

__all__ = ("STOPPED", "Answer", "Benchmark", "Model", "Record", "Sample", "Score", "Setting", "System", "Tier")

Model: TypeAlias = str | BaseChatModel
"""A chat model, or its name as `create_llm_compiler` takes it: `"local"`, `"provider:name"`."""

Tier: TypeAlias = Literal["deterministic", "recorded", "live"]
"""What stands behind a number: no model; a model's recorded replies and latencies; a model asked just now."""

STOPPED = "stopped after "
"""How the error begins of a system that took the most turns that it may."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One example of a benchmark."""

    id: str
    """Its id in the dataset."""
    question: str
    """What every system is asked."""
    gold: JSON
    """The right answer, as the dataset has it."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the benchmark's tools need of it, such as recorded observations."""
    entities: tuple[str, ...] = ()
    """What a plan must look up, by name, where that is known: without it, plans cannot be judged without running."""


@dataclass(frozen=True, slots=True)
class Score:
    """How right an answer is, 0 to 1."""

    paper: float
    """By the paper's own metric."""
    lenient: float
    """By a metric that forgives form: units, thousands separators, a sentence around the answer."""
    explanation: str = ""
    """What was compared with what."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a system gives for one sample."""

    text: str
    """The answer, which the benchmark scores."""
    tasks: int = 0
    """Tool calls."""
    width: int = 0
    """The most tool calls that could have run at the same time: of one depth in the plans, or in one turn of a loop."""
    depth: int = 0
    """Tool calls on the longest chain of dependencies."""
    replans: int = 0
    """Plans after the first."""
    errors: tuple[str, ...] = ()
    """What went wrong in tools, plans and replies, in words."""
    timeline: tuple[Mapping[str, JSON], ...] = ()
    """When each tool call ran: `{"name", "start", "finish"}`, in seconds since the question was asked."""
    virtual_s: float | None = None
    """Seconds on the virtual clock; `None` where the clock was real."""
    plan: str = ""
    """The plan text of a system that plans, as the model wrote it."""
    diagnostics: tuple[str, ...] = ()
    """Everything that is wrong with it all the same, if it was repaired."""
    repaired: tuple[str, ...] = ()
    """What was wrong with it before it was repaired."""
    parsed: bool | None = None
    """Whether the first plan could be used whole: no diagnostics are left, and it joins. `None` without plans."""
    references_right: bool | None = None
    """Whether the first plan has the structure the question asks for, by `Benchmark.check_plan`."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A set of samples with the tools, examples, prompts and metric that every system shares."""

    name: str
    """As on the command line."""
    load: Callable[[Path | None], list[Sample]]
    """Reads all samples in the dataset's order, from a data directory or, given `None`, from the official source."""
    tools: Callable[[Sample, Model], list[BaseTool]]
    """Makes the tools for a sample; those that need a model use the one that is given."""
    score: Callable[[str, Sample], Score]
    """Judges an answer."""
    instructions: str = ""
    """What every system is told of the form of the answer; each says it where its prompts say such things."""
    examples: tuple[PlanExample, ...] = ()
    """Worked plans, about other things than the samples."""
    react_prompt: str = ""
    """The prompt of ReAct: the same examples as thought, action, observation."""
    react_dagger_prompt: str = ""
    """That of ReAct†: with the sentences against stopping early and repeating calls (section 5.1 of the paper)."""
    max_steps: int = 15
    """Turns a loop may take (the paper's ReAct: 15)."""
    max_replans: int = 0
    """Plans that may follow the first (none, in three of the paper's benchmarks)."""
    check_plan: Callable[[Plan, Sample], bool] | None = None
    """Says whether a checked plan has the structure that the sample asks for."""


@dataclass(frozen=True, slots=True)
class System:
    """A way of answering questions with tools."""

    name: str
    """As in reports, with the options that differ from the defaults: `llm_compiler[max_replans=1]`."""
    answer: Callable[[Sample, Benchmark, Model], Awaitable[Answer]]
    """Answers one sample; what is wrong with the provider is raised, what is wrong with the answer is in it."""


class Setting(NamedTuple):
    """What is asked, and of what: only records of the same can be compared."""

    tier: Tier
    """What stands behind the numbers."""
    benchmark: str
    """What is asked."""
    model: str
    """The model's name."""
    plan_only: bool
    """Whether nothing is run but the planner."""
    temperature: float | None
    """The model's temperature, if one was asked for."""
    seed: int | None
    """The seed, if one was asked for."""

    @property
    def heading(self) -> str:
        """What was asked, in words."""
        return f"{self.benchmark}{', plans only' if self.plan_only else ''}"

    @property
    def asked_with(self) -> tuple[str, ...]:
        """The temperature and the seed, in words, as far as they were asked for."""
        temperature = () if self.temperature is None else (f"temperature {self.temperature:g}",)
        return temperature if self.seed is None else (*temperature, f"seed {self.seed}")

    @property
    def clock(self) -> str:
        """Which seconds latencies are in."""
        return "virtual seconds" if self.tier == "recorded" else "wall-clock seconds"


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one sample under one system: a line of JSONL."""

    id: str
    """The sample's."""
    benchmark: str
    """Its benchmark."""
    system: str
    """`System.name`."""
    model: str
    """The model's name."""
    tier: Tier
    """What stands behind the numbers; reports never mix tiers."""
    answer: str
    """What was answered."""
    correct: float
    """The score by the paper's metric, 0 to 1."""
    lenient: float = 0.0
    """The score by the forgiving metric, 0 to 1."""
    repeat: int = 0
    """Which of several runs over the same samples, from 0."""
    plan_only: bool = False
    """Whether nothing was run but the planner: then the scores are those of the plan's structure."""
    seed: int | None = None
    """The seed that was asked for, if any."""
    temperature: float | None = None
    """The temperature that was asked for, if any."""
    wall_s: float = 0.0
    """Seconds from question to answer."""
    virtual_s: float | None = None
    """Seconds on the virtual clock, where there was one."""
    model_calls: int = 0
    """Calls of chat models."""
    unmetered_calls: int = 0
    """Those of them whose provider did not say how many tokens they took."""
    tokens_in: int = 0
    """Prompt tokens, cached ones included."""
    tokens_out: int = 0
    """Tokens written."""
    tokens_cached: int = 0
    """Prompt tokens read from a cache."""
    cost_usd: float | None = None
    """US dollars by the price table; `None` for models it does not have."""
    price: str = ""
    """When and by whom that table's price was said."""
    tasks: int = 0
    """As in `Answer`, and so on."""
    width: int = 0
    depth: int = 0
    replans: int = 0
    errors: tuple[str, ...] = ()
    plan: str = ""
    diagnostics: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()
    parsed: bool | None = None
    references_right: bool | None = None
    timeline: tuple[Mapping[str, JSON], ...] = ()
    explanation: str = ""
    """`Score.explanation`."""

    @property
    def setting(self) -> Setting:
        """What it can be compared within."""
        return Setting(self.tier, self.benchmark, self.model, self.plan_only, self.temperature, self.seed)

    @property
    def key(self) -> tuple[Setting, str, str, int]:
        """What a run must not do twice: setting, system, sample and repeat."""
        return self.setting, self.system, self.id, self.repeat

    @property
    def within_limits(self) -> bool:
        """Whether there is an answer, and the system was not stopped at the most turns that it may take."""
        return bool(self.answer.strip()) and not any(error.startswith(STOPPED) for error in self.errors)

    def to_json(self) -> str:
        """Write it as one line, without the newline."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Record:
        """Read a line; keys it does not know are left out.

        Raises:
            ValueError: The line is not JSON (a torn write), or not a record.
        """
        try:
            data = json.loads(line)
            values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in data.items()}
            known = {each.name for each in fields(cls)}
            return cls(**{name: value for name, value in values.items() if name in known})
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            msg = f"not a record: {error}"
            raise ValueError(msg) from error
