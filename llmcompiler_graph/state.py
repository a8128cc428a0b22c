"""The state the three nodes share. Messages, strings, numbers and TypedDicts only: it survives any checkpointer.

One *turn* is one question: `tasks`, `rounds` and `timeline` are those of the current turn, and a new question clears
them; `messages` go on for ever.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, Required

from langchain_core.messages import AnyMessage, MessageLikeRepresentation
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict, TypeVar

from llmcompiler_graph.core.language.call_syntax import parse_arguments
from llmcompiler_graph.core.language.conditions import conditions
from llmcompiler_graph.core.language.guard_reader import read_guard
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.language.repetition import read_repetition
from llmcompiler_graph.core.language.substitution import joined_surrogates
from llmcompiler_graph.core.language.walker import Walker

__all__ = (
    "PARTIAL_RESULTS",
    "Clock",
    "DiagnosticRecord",
    "GroupResult",
    "LLMCompilerInput",
    "LLMCompilerOutput",
    "LLMCompilerState",
    "ObservationRecord",
    "PendingApproval",
    "Repair",
    "ResponseT",
    "Round",
    "Selected",
    "Span",
    "TaskEvent",
    "TaskRecord",
    "TaskResult",
    "TimelineEntry",
    "TimingRecord",
    "dependencies",
    "line_parts",
    "new_record",
    "plan_name",
    "plan_text",
    "storable",
    "task_from_record",
    "think_tag",
)

ResponseT = TypeVar("ResponseT", default=Any)
"""The type of `structured_response`."""

PARTIAL_RESULTS = "partial_results"
"""The key, in the artifact of a failed task's `ToolMessage`, of what its other calls returned."""


class ObservationRecord(TypedDict):
    """An observation as the state and the checkpointer keep it."""

    status: Literal["planned", "done", "failed", "skipped"]
    """That of the observation; `planned` as long as there is none."""
    arguments: list[Any]
    """The arguments of the task's calls, references resolved: one dict per call (several if it fanned out)."""
    value: Any
    """What the tool returned, as a JSON value; `None` unless done, or some calls of a fan-out returned something."""
    error: str
    """What went wrong; empty if done."""
    edited: NotRequired[list[int]]
    """The calls that a human changed before they were made, as positions in `arguments`; not given if there is none."""
    cached: NotRequired[int]
    """How many of the calls were answered from the cache (`tool_cache_policy`); not given if none was."""
    batches: NotRequired[list[str]]
    """The calls of a batch form that were made in place of its own calls, each with a name that tasks share if they
    share the call; not given if there was none."""
    attempts: NotRequired[list[float]]
    """When each attempt of its call ended that was followed by another, in seconds since the first began; not given if
    there was one attempt, or the task fanned out."""


class TimingRecord(TypedDict):
    """When a task's life changed, in seconds since the turn began; `None` for what did not happen."""

    released: float | None
    """Its inputs existed."""
    started: float | None
    """Its tool was called."""
    finished: float | None
    """It had an observation."""
    early: bool
    """Whether it was started before its plan was complete."""


class TaskRecord(ObservationRecord):
    """One task of the current turn."""

    index: int
    """Its index, unique in the turn."""
    round: int
    """Which plan it belongs to: 0 for the first, n for the nth replan."""
    tool: str
    """The tool it calls, by its own name; empty if its line could not be read."""
    text: str
    """Its line of plan text, arguments by name; empty if its line could not be read.

    If a human changed its call, this is the call that was made; of a task that fans out, `edited` says it.
    """
    tool_call_id: str
    """The id of its tool call and its `ToolMessage`."""
    planned_at: float | None
    """When its line was written, in seconds since the turn began; `None` if it could not be read."""
    procedure: NotRequired[str]
    """The call of a procedure that it comes from, as plan text."""
    message_digest: NotRequired[str]
    """What its `ToolMessage` said, hashed: if that is changed, the task returned what it says now."""


class TaskResult(ObservationRecord, TimingRecord):
    """What a `@task` gives and the checkpointer keeps: the `@task` of a task, or of one call of a task that fans out.

    That of one call has no arguments and no times: they are the task's. It is `planned` if the call was not made.
    """

    tool_call_id: str
    """The id of the tool call."""
    messages: list[AnyMessage]
    """The `ToolMessage` of the task, or of the call; empty if it was not made."""
    commands: list[Any]
    """The commands that the tool gave."""
    wanted: NotRequired[list[PendingApproval]]
    """The calls of a task that is `planned` because they wait for a human."""
    text: NotRequired[str]
    """The task's line with the call that a human put in place of the planned one; not given if none did."""


class GroupResult(TypedDict):
    """What the `@task` of a group of tasks gives, where a plan has many."""

    messages: list[AnyMessage]
    """The `ToolMessage`s of the tasks."""
    results: list[TaskResult]
    """The results of the tasks, without these."""


class TimelineEntry(TimingRecord):
    """When a task ran."""

    index: int
    """The task."""
    tool: str
    """Its tool."""
    planned: float | None
    """When its line was written, in seconds since the turn began; `None` if it could not be read."""
    status: str
    """As in its record."""


class Span(TypedDict):
    """When a model was at work, in seconds since the turn began."""

    started: float
    """It was asked."""
    finished: float
    """Its reply was complete."""


class DiagnosticRecord(TypedDict):
    """One complaint about plan text (`llmcompiler_graph.Diagnostic`)."""

    code: str
    """The kind of complaint, such as `unknown-tool`."""
    message: str
    """What is wrong."""
    hint: str
    """What to write instead, if known."""
    line: int
    """Where, 1-based, in the plan text."""
    column: int
    """Where, 1-based, in that line."""
    index: int | None
    """The task it makes unusable, if any."""


class Repair(TypedDict):
    """One attempt to mend a plan: what the planner was told of it, and what it wrote."""

    request: str
    """What it was told."""
    diagnostics: list[DiagnosticRecord]
    """What was wrong with the tasks it was to write again."""
    plan: str
    """The tasks it wrote again, as it wrote them."""
    writing: NotRequired[Span]
    """When it wrote them."""


class Round(TypedDict):
    """One plan of the turn and what came of it."""

    plan: str
    """The plan text, as the model wrote it."""
    adopted: NotRequired[bool]
    """Whether the joiner wrote it, in its reply to the plan before."""
    repairs: NotRequired[list[Repair]]
    """What was done about the tasks that could not be used."""
    diagnostics: list[DiagnosticRecord]
    """What is wrong with it all the same."""
    approval: NotRequired[Literal["approve", "edit", "reject"]]
    """What a human decided about it, if one was asked."""
    planning: NotRequired[Span]
    """When the planner model wrote the plan; not given if the joiner wrote it."""
    joining: NotRequired[Span]
    """When the joiner model replied, structured output included; not given until it has."""
    reply: str
    """The joiner's reply, as the model wrote it; empty until it has replied. Or the answer, if the planner gave it."""
    usage: dict[str, Any]
    """Tokens used, by `planner` and `joiner` (LangChain's `UsageMetadata`)."""
    estimated: NotRequired[dict[str, Any]]
    """Tokens used, in the same form, that the models have not reported; only where there is a `budget`."""
    cut: NotRequired[str]
    """Why the plan was cut short, if the turn's `budget` was spent while it was written: no task begins any more."""
    structured_error: NotRequired[str]
    """Why there is no `structured_response`, if the answer could not be had in the form asked for."""
    think_tag: NotRequired[str]
    """What ended a thought that had begun in a prompt: replies of this turn are held back up to it from then on."""


class Selected(TypedDict):
    """What was picked for a plan, where tools are picked (`select_tools`)."""

    round: int
    """The plan's round."""
    tools: list[str]
    """Names of tools, in the order of all tools; for a replan, only those that were not shown yet."""
    examples: list[int]
    """Positions of examples, in the order of all examples; none for a replan."""


class PendingApproval(TypedDict):
    """A call, or a plan, that waits for a human."""

    tool_call_id: str
    """The id of the call, or of the plan's message."""
    tool: str
    """Its tool; `plan` for a plan."""
    args: dict[str, Any]
    """Its resolved arguments."""
    description: str
    """What the human is told."""
    allowed_decisions: list[Literal["approve", "edit", "reject", "respond"]]
    """What may be decided."""
    args_schema: dict[str, Any] | None
    """The JSON Schema of the arguments, if one is to be shown."""
    error: str
    """Why it is asked about again; empty the first time."""
    diagnostics: NotRequired[list[DiagnosticRecord]]
    """The same in parts, if it is a plan that a human has changed."""


class Clock(TypedDict):
    """How long a turn has run."""

    run: str
    """Names the run of the graph, the process and the event loop that `began` counts in."""
    began: float
    """When the turn began, on that loop's clock, in seconds; later by as long as the turn was paused."""
    spent: float
    """How long the turn had run when this was noted, in seconds."""


class LLMCompilerInput(TypedDict):
    """What a run takes, besides the caller's own keys."""

    messages: Required[Annotated[Sequence[MessageLikeRepresentation], add_messages]]
    """What is new in the conversation, the question last."""


class LLMCompilerOutput(TypedDict, Generic[ResponseT]):
    """What a run gives, besides the caller's own keys."""

    messages: Required[Annotated[list[AnyMessage], add_messages]]
    """The conversation: questions, plans (an `AIMessage` with a tool call per task), `ToolMessage`s, answers."""
    tasks: NotRequired[list[TaskRecord]]
    """The tasks of the turn, in plan order."""
    rounds: NotRequired[list[Round]]
    """The plans of the turn, in order."""
    timeline: NotRequired[list[TimelineEntry]]
    """When the turn's tasks ran."""
    plan_text: NotRequired[str]
    """The last plan as it stands; changed while the run is paused before it runs, it is read again (see `revision`)."""
    structured_response: NotRequired[ResponseT]
    """The answer in the form of `response_format`, if one was given."""


class LLMCompilerState(LLMCompilerOutput[ResponseT], Generic[ResponseT]):
    """The graph's state: what a run gives, and what its nodes note for each other."""

    selected: NotRequired[list[Selected]]
    """The tools and examples that were picked for the turn's plans, if they are picked."""
    decision: NotRequired[Literal["finish", "replan"]]
    """What the joiner decided last."""
    next_plan: NotRequired[str]
    """The plan that the joiner wrote when it decided to replan (`fuse_replan`); empty if it wrote none."""
    turn: NotRequired[str]
    """The id of the message that the turn answers."""
    turn_question: NotRequired[AnyMessage]
    """That message as it was planned, where middleware may remove it from the conversation."""
    decided_after: NotRequired[str]
    """The id of the last message there was when the joiner decided."""
    clock: NotRequired[Clock]
    """How long the turn has run."""
    approvals: NotRequired[list[PendingApproval]]
    """The calls that wait for a human, or the plan."""


class TaskEvent(TypedDict):
    """What `stream_mode="custom"` yields: one moment in the life of a task or of the turn."""

    event: Literal["planned", "released", "started", "done", "failed", "skipped", "repairing", "replanning"]
    """What happened."""
    at: float
    """When, in seconds since the turn began."""
    index: NotRequired[int]
    """The task."""
    tool: NotRequired[str]
    """Its tool."""
    text: NotRequired[str]
    """Its line of plan text."""
    procedure: NotRequired[str]
    """The call of a procedure that it comes from, as plan text."""
    after: NotRequired[list[int]]
    """The tasks it waits for."""
    value: NotRequired[Any]
    """What it returned, once done."""
    cached: NotRequired[int]
    """How many of its calls were answered from the cache; not given if none was."""
    batches: NotRequired[list[str]]
    """The calls that were made in place of its own and of others."""
    attempts: NotRequired[list[float]]
    """When each attempt of its call ended that was followed by another, in seconds since the first began."""
    error: NotRequired[str]
    """What went wrong; when repairing, what with; when replanning, what is still needed."""


def think_tag(rounds: Sequence[Round]) -> str:
    """What ended a thought in this turn that had begun in a prompt; empty if nothing did."""
    return next((one["think_tag"] for one in rounds if "think_tag" in one), "")


def storable(value: JSON) -> JSON:
    """Make a JSON value one that every checkpointer and provider takes.

    Whole numbers beyond 64 bits become text, halves of surrogate pairs U+FFFD.

    >>> storable({"atoms": 10**20, "few": [12]})
    {'atoms': '100000000000000000000', 'few': [12]}
    """
    match value:
        case str():
            return joined_surrogates(value)
        case int() if not -(2**63) <= value < 2**64:
            return str(value)
        case list():
            return [storable(element) for element in value]
        case dict():
            return {str(storable(key)): storable(element) for key, element in value.items()}
        case _:
            return value


def task_from_record(record: TaskRecord) -> Task:
    """Make the task of a record again, from its line of plan text.

    The line was checked and written by `new_record`: every reference in it is one, whatever else is in the plan.
    """
    parts = line_parts(record["text"])
    when = read_guard(parts.when, is_task=lambda index: True) if parts.when else None
    until = read_repetition(parts.until, is_task=lambda index: True) if parts.until else None
    arguments = parse_arguments(parts.call.partition("(")[2], is_task=lambda index: True)
    ordered = tuple(int(index) for index in re.findall(r"\$(\d+)", parts.after))
    match arguments.positional:
        case (dict() as named,):  # see `render_call`
            return Task(record["index"], plan_name(record), named, ordered, when=when, until=until)
    return Task(record["index"], plan_name(record), arguments.named, ordered, when=when, until=until)


class LineParts(NamedTuple):
    """A line as `new_record` writes it."""

    call: str
    """The call, without its last bracket."""
    after: str
    """What it comes after."""
    when: str
    """Its guard."""
    until: str
    """Its repetition."""


def line_parts(text: str) -> LineParts:
    """The parts of a line as `new_record` writes it; empty what it does not have."""
    call, _, behind = text.rpartition(")")
    if " when " in text or " until " in text:
        start = text.index("(") + 1
        end, closed = Walker().walk(text, start, final=True)
        if closed:
            call, behind = text[:end], text[end + 1 :]
    after = re.match(r"(?: after [$\d, ]*\d)?", behind)
    assert after is not None
    found = conditions(behind, after.end(), len(behind))
    when, until = (part[0] if part else "" for part in (found[:2] if found else (None, None)))
    return LineParts(call, after[0], when, until)


def dependencies(record: TaskRecord) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tasks whose data a task takes, and those that only have to end before it."""
    if not record["text"]:
        return (), ()
    task = task_from_record(record)
    data = task.reads
    return tuple(sorted(data)), tuple(sorted(set(task.after) - data))


def plan_name(record: TaskRecord) -> str:
    """What plans call the tool of a task, which may have a name that they cannot write."""
    return record["text"].partition("(")[0].partition(" ")[2] or record["tool"]


def new_record(task: Task, round_number: int, tool_call_id: str, planned_at: float | None = None) -> TaskRecord:
    """Make the record of a task that is yet to run."""
    return TaskRecord(
        index=task.index,
        round=round_number,
        tool=task.tool,
        text=str(task).rpartition("\n")[2] if task.thought else str(task),
        tool_call_id=tool_call_id,
        status="planned",
        arguments=[],
        value=None,
        error="",
        planned_at=planned_at,
    )


def plan_text(records: Sequence[TaskRecord]) -> str:
    """Write a plan from the records of its tasks, arguments by name, without the lines that could not be read."""
    join = max([record["index"] for record in records], default=0) + 1
    return "\n".join([*[record["text"] for record in records if record["text"]], f"{join}. join()"])
