import copy
import pickle

import pytest
from langgraph.types import RetryPolicy

from llmcompiler_graph.core.errors import (
    ConfigurationError,
    Diagnostic,
    LLMCompilerError,
    ObservationPathError,
    PlanCheckError,
    PlanError,
    PlanSyntaxError,
    ToolTransferError,
    WorkerLostError,
)

FIRST = Diagnostic("unknown-tool", "no tool is named 'serch'", 2, 4, hint="did you mean 'search'?", index=2)
SECOND = Diagnostic("not-a-call", "task 3 is not a tool call: 'x'", 3, 1)


def test_a_diagnostic_says_where_what_and_what_to_write() -> None:
    """The hint follows the message if there is one; the index stays out of the text."""
    assert str(FIRST) == "line 2, column 4: no tool is named 'serch'; did you mean 'search'? [unknown-tool]"
    assert str(SECOND) == "line 3, column 1: task 3 is not a tool call: 'x' [not-a-call]"


@pytest.mark.parametrize("kind", [PlanSyntaxError, PlanCheckError])
def test_a_plan_error_lists_its_diagnostics(kind: type[PlanError]) -> None:
    """A plan error keeps its diagnostics as given, from any iterable, and its message has one per line."""
    error = kind(iter([FIRST, SECOND]))
    assert error.diagnostics == (FIRST, SECOND)
    assert str(error) == f"{FIRST}\n{SECOND}"


@pytest.mark.parametrize("error", [PlanSyntaxError([FIRST, SECOND]), PlanCheckError([])])
def test_errors_survive_copying_and_pickling(error: LLMCompilerError) -> None:
    """An error that crosses a process says the same on the other side."""
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(same) is type(error)
        assert str(same) == str(error)
        assert vars(same) == vars(error)


def test_every_error_is_also_the_builtin_it_resembles() -> None:
    """A caller who knows only Python's errors catches the right ones."""
    assert issubclass(PlanError, LLMCompilerError | ValueError)
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(ObservationPathError, LookupError)
    assert issubclass(ToolTransferError, TypeError)
    assert issubclass(WorkerLostError, ConnectionError)
    own = (ConfigurationError, ObservationPathError, ToolTransferError, WorkerLostError)
    assert all(issubclass(kind, LLMCompilerError) for kind in own)


def test_a_lost_worker_is_a_reason_for_another_attempt_and_a_failed_transfer_is_not() -> None:
    """LangGraph's default `RetryPolicy` tells them apart."""
    retries = RetryPolicy().retry_on
    assert callable(retries)
    assert retries(WorkerLostError("gone"))
    assert not retries(ToolTransferError("unpicklable"))
