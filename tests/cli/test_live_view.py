"""What the command line shows of a turn: the log, the table of plain text, and the view on a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
from inline_snapshot import snapshot
from rich.console import Console

from llmcompiler_graph.cli.live_view import LiveView
from llmcompiler_graph.cli.progress import Axis, Turn, printable, timeline
from llmcompiler_graph.state import TaskEvent

QUESTION = "How much higher is Mount Everest than K2?"
DIFFERENCE = 'calculate(expression="${1.height_m} - ${2.height_m}")'


def joined(*, rounds: int = 1, diagnostics: tuple[Mapping[str, Any], ...] = ()) -> dict[str, Any]:
    """The state after a node: as many plans so far."""
    return {"rounds": [{"reply": "", "diagnostics": list(diagnostics)}] * rounds}


def planned(turn: Turn, at: float, index: int, call: str, *after: int) -> None:
    """A task is written."""
    turn.on_event(TaskEvent(event="planned", at=at, index=index, text=f"{index}. {call}", after=list(after)))


def first_plan(turn: Turn) -> None:
    """Two lookups that overlap, one done, and a calculation that waits for the other."""
    planned(turn, 1.0, 1, 'lookup(entity="Mount Everest")')
    turn.on_event(TaskEvent(event="started", at=1.0, index=1))
    planned(turn, 1.5, 2, 'lookup(entity="K2")')
    turn.on_event(TaskEvent(event="started", at=1.5, index=2))
    planned(turn, 2.0, 3, DIFFERENCE, 1, 2)
    turn.on_state(joined(), 2.5)
    turn.on_event(TaskEvent(event="done", at=3.0, index=1, value={"name": "Mount Everest", "height_m": 8848.86}))


def second_plan(turn: Turn) -> None:
    """What was left of the first plan, and a second one that fails."""
    turn.on_event(TaskEvent(event="done", at=3.5, index=2, value={"name": "K2", "height_m": 8611}))
    turn.on_event(TaskEvent(event="started", at=3.5, index=3))
    turn.on_event(TaskEvent(event="done", at=4.0, index=3, value=237.86))
    turn.on_state(joined(), 4.0)
    turn.on_event(TaskEvent(event="replanning", at=5.0, error="look up\nAtlantis"))
    planned(turn, 6.0, 4, 'lookup(entity="Atlantis")')
    turn.on_event(TaskEvent(event="started", at=6.0, index=4))
    planned(turn, 6.1, 5, 'calculate(expression="${4.height_m} + 1")', 4)
    turn.on_state(joined(rounds=2), 6.5)
    turn.on_event(TaskEvent(event="failed", at=7.0, index=4, error="ToolException: no facts\x1b[31m for 'Atlantis'"))
    turn.on_event(TaskEvent(event="skipped", at=7.0, index=5, error="not run: it needs task 4, which failed"))
    turn.on_state(joined(rounds=2), 7.0)
    turn.on_decision(8.0)


def drawn(
    turn: Turn, now: float, *, width: int = 80, height: int = 40, bars: bool = True, encoding: str = "utf-8"
) -> str:
    """What a terminal shows, without colours."""
    bytes_out = io.BytesIO()
    file = io.TextIOWrapper(bytes_out, encoding=encoding)
    console = Console(file=file, force_terminal=True, color_system=None, width=width, height=height, _environ={})
    console.print(LiveView(turn, QUESTION, console, lambda: now, bars=bars))
    file.flush()
    return "\n".join(line.rstrip() for line in bytes_out.getvalue().decode(encoding).splitlines())


def test_view_of_a_running_plan() -> None:
    """Tasks that overlap are seen to; what waits says what for; calls show their references."""
    turn = Turn()
    first_plan(turn)
    assert drawn(turn, 3.25) == snapshot("""\
How much higher is Mount Everest than K2?
                                            1s        2s        3s
    planner                                 ━━━━━━━━━━━━━━╸         0.00 +2.50
✓ 1 lookup(entity="Mount Everest")          ━━━━━━━━━━━━━━━━━━━╸    1.00 +2.00
    = {"height_m": 8848.86, "name": "Mount Everest"}
… 2 lookup(entity="K2")                          ━━━━━━━━━━━━━━━━━  1.50 +1.75
· 3 calculate(expression="${1.height_m} -             ┈┈┈┈┈┈┈┈┈┈┈┈
    ${2.height_m}")
    waiting for $2\
""")


def test_view_of_a_replanned_turn() -> None:
    """Each plan is a section; failures say why, on one line; a field that another task takes comes first."""
    turn = Turn()
    first_plan(turn)
    second_plan(turn)
    assert drawn(turn, 8.0, width=100) == snapshot("""\
How much higher is Mount Everest than K2?
                                                            2s       4s      6s       8s
    planner                                             ━━━━━━╸                         0.00 +2.50
✓ 1 lookup(entity="Mount Everest")                      ━━━━━━━━╸                       1.00 +2.00
    = {"height_m": 8848.86, "name": "Mount Everest"}
✓ 2 lookup(entity="K2")                                   ━━━━━━━━╸                     1.50 +2.00
    = {"height_m": 8611, "name": "K2"}
✓ 3 calculate(expression="${1.height_m} -                    ┈┈┈┈┈╺━━                   3.50 +0.50
    ${2.height_m}")
    = 237.86
    joiner                                                           ━━━━               4.00 +1.00
↻ replan: look up\\nAtlantis
    planner                                                              ━━━━━━╸        5.00 +1.50
✗ 4 lookup(entity="Atlantis")                                                ╺━━━╸      6.00 +1.00
    ToolException: no facts\\x1b[31m for 'Atlantis'
- 5 calculate(expression="${4.height_m} + 1")                                 ┈┈┈┈
    not run: it needs task 4, which failed
    joiner                                                                       ╺━━━━  7.00 +1.00\
""")


def test_view_without_bars() -> None:
    """The view with `--no-timeline` leaves out bars and times."""
    turn = Turn()
    first_plan(turn)
    assert drawn(turn, 3.25, bars=False) == snapshot("""\
How much higher is Mount Everest than K2?
    planner
✓ 1 lookup(entity="Mount Everest")
    = {"height_m": 8848.86, "name": "Mount Everest"}
… 2 lookup(entity="K2")
· 3 calculate(expression="${1.height_m} - ${2.height_m}")
    waiting for $2\
""")


def test_view_on_a_terminal_without_unicode() -> None:
    """Only ASCII is drawn where nothing else can be."""
    turn = Turn()
    first_plan(turn)
    assert drawn(turn, 3.25, encoding="ascii") == snapshot("""\
How much higher is Mount Everest than K2?
                                            1s        2s        3s
    planner                                 ==============          0.00 +2.50
+ 1 lookup(entity="Mount Everest")          ===================     1.00 +2.00
    = {"height_m": 8848.86, "name": "Mount Everest"}
* 2 lookup(entity="K2")                          =================  1.50 +1.75
. 3 calculate(expression="${1.height_m} -             ............
    ${2.height_m}")
    waiting for $2\
""")


@pytest.mark.parametrize("width", [20, 30, 45, 60, 200])
def test_view_fits_every_width(width: int) -> None:
    """No line of the view is wider than the terminal."""
    turn = Turn()
    first_plan(turn)
    second_plan(turn)
    lines = drawn(turn, 8.0, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("lookup" in line for line in lines)


def test_long_call_is_cut_after_three_lines() -> None:
    """A call takes three lines at most."""
    turn = Turn()
    planned(turn, 0.0, 1, f"lookup(entity={'x ' * 500!r})")
    lines = drawn(turn, 1.0).splitlines()
    assert len(lines) == 7  # question, axis, planner, three of the call, what it waits for
    assert lines[5].endswith("…")


def test_what_waits_for_a_free_place_says_so() -> None:
    """A task whose inputs exist and which is not started is held back by `max_concurrency`."""
    turn = Turn()
    planned(turn, 0.0, 1, 'lookup(entity="K2")')
    turn.on_event(TaskEvent(event="released", at=0.0, index=1))
    assert drawn(turn, 1.0).splitlines()[-1] == "    waiting for its turn"


def test_shortest_task_is_seen() -> None:
    """A task that took no time has a bar of half a column."""
    turn = Turn()
    planned(turn, 0.0, 1, 'lookup(entity="K2")')
    turn.on_event(TaskEvent(event="started", at=0.0, index=1))
    turn.on_event(TaskEvent(event="done", at=0.0, index=1, value=8611))
    line = next(line for line in drawn(turn, 10.0).splitlines() if line.startswith("✓ 1"))
    assert line.count("╸") == 1
    assert "━" not in line


def test_live_view_leaves_out_what_does_not_fit_until_it_ends() -> None:
    """While it runs, a low terminal shows the end of the view; once over, all of it stays on the screen."""
    turn = Turn()
    for index in range(1, 31):
        planned(turn, 0.0, index, f'lookup(entity="thing {index}")')
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=80, height=10, _environ={})
    with LiveView(turn, QUESTION, console, lambda: 1.0) as view:
        view.refresh()
        while_running = out.getvalue()
    assert "(25 lines above)" in while_running
    assert "thing 30" in while_running
    assert "thing 20" not in while_running
    at_the_end = out.getvalue()[len(while_running) :]
    assert QUESTION in at_the_end
    assert all(f'"thing {index}"' in at_the_end for index in range(1, 31))
    assert at_the_end.count("waiting for its turn") == 30


def test_what_a_model_does_before_it_writes() -> None:
    """What is loaded and how much of a prompt is read is shown, and told in a few lines; the first token ends it."""
    turn = Turn()
    turn.on_loading(0.0, "the model local")
    assert "loading the model local" in drawn(turn, 0.5)
    turn.on_asked(2.0)
    assert "waiting for the first token" in drawn(turn, 2.5)
    for read in range(0, 1001, 50):
        turn.on_reading(2.0 + read / 1000, read, 1000)
        if read == 500:
            assert "reading the prompt [##########..........] 50% of 1,000 tokens" in drawn(turn, 2.5)
    turn.on_first_token(3.5)
    turn.on_first_token(3.6)
    assert "reading" not in drawn(turn, 3.6)
    assert "\n".join(turn.log) == snapshot("""\
+0.00s load     the model local
+2.00s ask      the planner
+2.00s read     0% of a prompt of 1,000 tokens
+2.20s read     20% of a prompt of 1,000 tokens
+2.40s read     40% of a prompt of 1,000 tokens
+2.60s read     60% of a prompt of 1,000 tokens
+2.80s read     80% of a prompt of 1,000 tokens
+3.00s read     100% of a prompt of 1,000 tokens
+3.50s write    first token, after 1.50 s\
""")


def test_spinner_marks_what_runs() -> None:
    """Two drawings at different times differ in the mark of a running task."""
    turn = Turn()
    planned(turn, 0.0, 1, 'lookup(entity="K2")')
    turn.on_event(TaskEvent(event="started", at=0.0, index=1))
    out, time = io.StringIO(), 0.0
    console = Console(
        file=out, force_terminal=True, color_system=None, width=80, height=10, _environ={}, get_time=lambda: time
    )
    with LiveView(turn, QUESTION, console, lambda: 1.0) as view:
        view.refresh()
        time = 0.1
        view.refresh()
        assert "⠋ 1 lookup" in out.getvalue()
        assert "⠙ 1 lookup" in out.getvalue()


def test_log() -> None:
    """In the log of a turn, every moment worth knowing is one line."""
    turn = Turn()
    first_plan(turn)
    second_plan(turn)
    assert "\n".join(turn.log) == snapshot("""\
+1.00s start    1. lookup(entity="Mount Everest")
+1.50s start    2. lookup(entity="K2")
+2.00s wait     3. calculate(expression="${1.height_m} - ${2.height_m}") for $1, $2
+2.50s planned  3 tasks
+3.00s done     1. lookup(entity="Mount Everest") = {"name": "Mount Everest", "height_m": 8848.86}
+3.50s done     2. lookup(entity="K2") = {"name": "K2", "height_m": 8611}
+3.50s start    3. calculate(expression="${1.height_m} - ${2.height_m}")
+4.00s done     3. calculate(expression="${1.height_m} - ${2.height_m}") = 237.86
+4.00s join
+5.00s replan   look up\\nAtlantis
+6.00s start    4. lookup(entity="Atlantis")
+6.10s wait     5. calculate(expression="${4.height_m} + 1") for $4
+6.50s planned  2 tasks
+7.00s failed   4. lookup(entity="Atlantis"): ToolException: no facts\\x1b[31m for 'Atlantis'
+7.00s skipped  5. calculate(expression="${4.height_m} + 1"): not run: it needs task 4, which failed
+7.00s join\
""")


def test_timeline() -> None:
    """The table shows planner, tasks and joiner on one axis."""
    turn = Turn()
    first_plan(turn)
    second_plan(turn)
    assert timeline(turn, 8.0) == snapshot("""\
                                        start     end     2s     4s     6s     8s
   planner                               0.00    2.50  =====
1. lookup(entity="Mount Everest")        1.00    3.00  =======
2. lookup(entity="K2")                   1.50    3.50    =======
3. calculate(expression="${1.height…     3.50    4.00           =
   joiner                                4.00    5.00            ====
   planner                               5.00    6.50                =====
4. lookup(entity="Atlantis")             6.00  failed                   ====
5. calculate(expression="${4.height…        - skipped
   joiner                                7.00    8.00                       ===\
""")


def test_unreadable_line_is_shown() -> None:
    """A line that looks like a task and is none fails without ever being planned."""
    turn = Turn()
    turn.on_event(TaskEvent(event="failed", at=0.5, index=1, text="", error="not a call"))
    assert turn.log == ["+0.50s failed   1. (unreadable): not a call"]
    planned(turn, 0.6, 1, 'lookup(entity="K2")')  # it was prose
    assert [(task.text, task.status) for task in turn.tasks().values()] == [('lookup(entity="K2")', "planned")]


def test_complaints_about_no_task_are_shown() -> None:
    """What the plan text has wrong besides its tasks appears in the log and the view."""
    turn = Turn()
    turn.on_state(joined(diagnostics=({"index": None, "line": 3, "message": "odd"}, {"index": 1})), 1.0)
    assert turn.log == ["+1.00s planned  0 tasks", "+1.00s ignored  line 3: odd"]
    assert "    line 3: odd" in drawn(turn, 1.0)


@pytest.mark.parametrize(
    ("first", "last", "axis"),
    [
        (0.0, 0.0, (0.0, 0.1, 0.1)),
        (2.1, 10.2, (0.0, 11.25, 5)),
        (18.9, 24.0, (18.0, 24.0, 2)),
        (100_000.0, 200_000.0, (99_000.0, 200_700.0, 3600)),
    ],
)
def test_axis(first: float, last: float, axis: tuple[float, float, float]) -> None:
    """The axis holds all that happened since the first task was planned, from one round time to another."""
    turn = Turn()
    planned(turn, first, 1, "f()")
    assert Axis.of(turn, last) == axis
    assert len(Axis.of(turn, last).marks(40)) < 40 + 8


def test_printable() -> None:
    """Nothing a tool returns steers the terminal."""
    assert printable("a\x1b[31m\nb\x9b\u202e é ✓") == r"a\x1b[31m\nb\x9b\u202e é ✓"
