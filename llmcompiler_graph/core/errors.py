"""What can go wrong, and whose fault it was.

LLMCompilerError
├── PlanError(ValueError)              the planner model's fault: its text goes back to it
│   ├── PlanSyntaxError                the text is not a plan
│   └── PlanCheckError                 the plan does not fit the tools
├── ObservationPathError(LookupError)  a reference leads nowhere in the observation it points into
├── ApprovalError(RuntimeError)        a wrapper of tool calls has changed what a human had approved
├── FanOutError(ValueError)            a task would make more calls than it may
├── ObservationError(ValueError)       what a tool or a human gave cannot be an observation
├── ConfigurationError(ValueError)     the caller's fault: arguments of `create_llm_compiler`
├── BudgetError(RuntimeError)          a turn's budget does not do for an answer
├── DeadlineError(TimeoutError)        the joiner has no answer, long after the turn's deadline
├── ToolTransferError(TypeError)       what a tool takes, gives or raises cannot be carried to its executor or back
├── WorkerLostError(ConnectionError)   the executor's worker died, or the executor was closed, during a call
├── LoopBlockedError(RuntimeError)     a tool blocks the event loop that a synchronous run shares with others
├── LocalModelError(RuntimeError)      in `local`: the local model cannot be had or cannot run
└── in `evaluation`
    ├── DataError                      a dataset is not there or is not what was expected
    ├── ProviderError                  the provider of a model failed for good
    └── CassetteError(LookupError)     what is asked was not recorded

May know: nothing else of the package.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = (
    "ApprovalError",
    "BudgetError",
    "ConfigurationError",
    "DeadlineError",
    "Diagnostic",
    "FanOutError",
    "LLMCompilerError",
    "LoopBlockedError",
    "ObservationError",
    "ObservationPathError",
    "PlanCheckError",
    "PlanError",
    "PlanSyntaxError",
    "ToolTransferError",
    "WorkerLostError",
    "described",
)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One located complaint about plan text.

    >>> print(Diagnostic("unknown-tool", "no tool is named 'serch'", 2, 4, hint="did you mean 'search'?"))
    line 2, column 4: no tool is named 'serch'; did you mean 'search'? [unknown-tool]
    """

    code: str
    """A stable kebab-case name of the kind of complaint, such as `unknown-tool`."""
    message: str
    """What is wrong: a lower-case fact, names quoted."""
    line: int
    """Where, 1-based, in the plan text."""
    column: int
    """Where, 1-based, in that line."""
    hint: str = ""
    """What to write instead, when that is known."""
    index: int | None = None
    """The task it makes unusable; `None` when it concerns no task of the plan."""

    def __str__(self) -> str:
        hint = f"; {self.hint}" if self.hint else ""
        return f"line {self.line}, column {self.column}: {self.message}{hint} [{self.code}]"


class LLMCompilerError(Exception):
    """The root of this package's errors; never raised itself."""


class PlanError(LLMCompilerError, ValueError):
    """A plan text that cannot be used, with every complaint about it.

    Attributes:
        diagnostics: All complaints, in the order of the text.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n".join(map(str, self.diagnostics))


class PlanSyntaxError(PlanError):
    """Some line that looks like a task could not be read."""


class PlanCheckError(PlanError):
    """The plan was read, but does not fit the tools it calls."""


class ObservationPathError(LLMCompilerError, LookupError):
    """A reference's path leads nowhere in the observation it points into."""


class BudgetError(LLMCompilerError, RuntimeError):
    """A turn's budget does not do: for its first prompt, or what was kept back of it for an answer.

    What the tasks gave is kept by the checkpointer: a run that goes on from there asks the joiner again.
    """


class DeadlineError(LLMCompilerError, TimeoutError):
    """A turn's deadline and its grace have passed, and the joiner has no answer yet.

    What the tasks gave is kept by the checkpointer: a run that goes on from there asks the joiner again.
    """


class ApprovalError(LLMCompilerError, RuntimeError):
    """A wrapper of tool calls has changed a call that a human had approved: it was not made."""


class FanOutError(LLMCompilerError, ValueError):
    """A task's `[*]` reference has more elements than it may make calls."""


class ObservationError(LLMCompilerError, ValueError):
    """What a tool or a human gave cannot be an observation: the message says why, and which limit there is."""


class ConfigurationError(LLMCompilerError, ValueError):
    """The caller's arguments cannot make a graph; the message says which and what was expected."""


class ToolTransferError(LLMCompilerError, TypeError):
    """A tool's arguments, value or exception cannot be carried to the executor it runs in, or back."""


class LoopBlockedError(LLMCompilerError, RuntimeError):
    """An asynchronous tool blocks the event loop that a synchronous run shares with others: the run is given up.

    What had been done is kept by the checkpointer, as after a crash.
    """


class WorkerLostError(LLMCompilerError, ConnectionError):
    """The executor lost a call: its worker died, or it was closed. The tool may have run.

    LangGraph's default `RetryPolicy` makes such a call again, as any after a `ConnectionError`.
    """


def described(error: BaseException) -> str:
    """Say what was raised, as the last line of a traceback does: what models are told of a tool's exception.

    Also of one that cannot say it itself.

    >>> described(ValueError("no such city"))
    'ValueError: no such city'
    """
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"
    except BaseException as other:  # also what would end more than whoever asks
        return f"{kind} (its text cannot be had: its own __str__ raised {type(other).__name__})"
