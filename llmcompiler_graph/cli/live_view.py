"""Draws a turn on a terminal while it runs: a line per task with its call, its bar and its times, and what came of it.

    Turn (progress.py)  →  rich text, drawn again several times a second

Bars share one time axis, so that tasks which overlap are seen to; a dotted bar is a task that waits. Where the screen
is too low for everything, values and the ends of long calls are left out first, then what is above.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import TracebackType

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from llmcompiler_graph.cli.progress import Axis, Line, Section, Turn, printable, seconds

__all__ = ("LiveView",)

_STYLES = {"done": "green", "failed": "red", "skipped": "yellow", "started": "cyan"}
_UNICODE = {"planned": "·", "released": "·", "started": "…", "done": "✓", "failed": "✗", "skipped": "-", "replan": "↻"}
_ASCII = {"planned": ".", "released": ".", "started": "*", "done": "+", "failed": "x", "skipped": "-", "replan": ">"}
_GAP = 2  # columns between call, bar and times
_TIMES = 12  # columns
_LEAST_BAR, _MOST_BAR, _LEAST_CALL = 12, 60, 24  # columns
_CALL_LINES = 3


class LiveView:
    """A turn on a terminal; a context manager, left with the last state of things drawn in full.

    Args:
        turn: What to draw.
        question: The line above it.
        console: The terminal.
        clock: Tells the seconds since the turn began.
        bars: Whether to show bars and times.
    """

    def __init__(
        self, turn: Turn, question: str, console: Console, clock: Callable[[], float], *, bars: bool = True
    ) -> None:
        self._turn = turn
        self._question = printable(question)
        self._clock = clock
        self._bars = bars
        self._spinner = Spinner("line" if console.options.ascii_only else "dots")
        # drawn when told to, in the event loop's thread: rich's own thread would read a turn that changes meanwhile
        self._live = Live(self, console=console, auto_refresh=False)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def refresh(self) -> None:
        """Draw it as it is now."""
        self._live.refresh()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it once."""
        running = self._live.is_started
        room = console.height - 1 if running else sys.maxsize
        for full in (True, False):
            drawing = _Drawing(self._turn, self._clock(), console, options, bars=self._bars, full=full)
            if running:
                drawing.running = self._spinner.render(console.get_time())
            lines = [Text(self._question, style="bold"), *drawing.lines()]
            if len(lines) <= room:
                break
        else:
            hidden = len(lines) - room + 1
            lines = [Text(f"({hidden} lines above)", style="dim"), *lines[hidden:]]
        for line in lines:
            line.truncate(options.max_width, overflow="ellipsis")
            yield line


class _Drawing:
    """A turn at one moment, for one width."""

    def __init__(
        self, turn: Turn, now: float, console: Console, options: ConsoleOptions, *, bars: bool, full: bool
    ) -> None:
        self._turn = turn
        self._now = now
        self._console = console
        self._full = full
        self._marks = _ASCII if options.ascii_only else _UNICODE
        self.running: object = Text(self._marks["started"])
        """The mark of what is running."""
        tasks = turn.tasks()
        self._digits = len(str(max(tasks, default=1)))
        self._indent = 2 + self._digits + 1
        longest = max([_LEAST_CALL, *(len(task.text) for task in tasks.values())])
        self._call = min(longest, options.max_width - self._indent)
        self._bar = 0
        room = options.max_width - self._indent - _TIMES - 2 * _GAP
        if bars and (least := int(room * 0.375)) >= _LEAST_BAR:
            self._bar = min(max(room - longest, least), _MOST_BAR)
            self._call = min(longest, room - self._bar)
        self._axis = Axis.of(turn, now)

    def lines(self) -> Iterator[Text]:
        """Write it line by line."""
        if self._bar and self._turn.tasks():
            marks = self._axis.marks(self._bar)
            yield Text(" " * (self._indent + self._call + _GAP) + marks, style="dim")
        for section in self._turn.sections:
            yield from self._section(section)

    def _section(self, section: Section) -> Iterator[Text]:
        for line in section.lines():
            yield from self._line(line)
            if self._turn.activity and line is [*section.lines()][-1] and line.finished is None and not line.index:
                yield self._note(self._turn.activity, "dim italic")
            if line is section.planner:
                yield from (self._note(complaint, "red") for complaint in section.complaints)
            elif line.status in ("failed", "skipped"):
                yield self._note(self._turn.outcome(line), _STYLES[line.status])
            elif self._full and line.index and line.status == "done":
                yield self._note(f"= {self._turn.outcome(line)}", "dim")
            elif self._full and line.status in ("planned", "released"):
                waits = ", ".join(f"${index}" for index in self._turn.waiting_for(line))
                yield self._note(f"waiting for {waits}" if waits else "waiting for its turn", "dim italic")
        if section.replan:
            yield Text.assemble((f"{self._marks['replan']} replan: ", "bold magenta"), section.replan)

    def _line(self, line: Line) -> Iterator[Text]:
        mark = Text(self._marks[line.status])
        if line.status == "started" and isinstance(self.running, Text):
            mark = self.running
        elif not line.index:
            mark = Text(" ")
        mark.stylize(_STYLES.get(line.status, "dim"))
        call, *more = self._call_of(line)
        drawn = Text.assemble(mark, f" {line.index or '':>{self._digits}} ", call)
        if self._bar:
            drawn = Text.assemble(drawn, " " * _GAP, self._bar_of(line), " " * _GAP, (self._times_of(line), "dim"))
        yield drawn
        for rest in more:
            yield Text.assemble(" " * self._indent, rest)

    def _call_of(self, line: Line) -> list[Text]:
        """The call, padded to its column; where it is longer, several lines or its beginning."""
        call = Text(line.text, style="" if line.index else "dim italic")
        if line.index:
            call.highlight_regex(r"^\w+", "bold")
            call.highlight_regex(r"\$\{[^}]*\}|\$\d+", "bold cyan")
        lines = list(call.wrap(self._console, self._call)) if self._full else [call]
        if len(lines) > _CALL_LINES:
            lines = [*lines[: _CALL_LINES - 1], Text().join(lines[_CALL_LINES - 1 :])]
        for each in lines:
            each.truncate(self._call, overflow="ellipsis", pad=True)
        return lines

    def _bar_of(self, line: Line) -> Text:
        """A bar drawn in half columns: dotted while it waits, solid while it runs."""
        whole, left, right, dots = "=  ." if self._marks is _ASCII else "━╸╺┈"
        style = _STYLES[line.status] if line.index and line.started is not None else "magenta"
        halves = 2 * self._bar
        end = self._now if line.finished is None else line.finished
        start = end if line.started is None else line.started
        planned = start if line.planned is None else line.planned
        first, last, waiting = (round(self._axis.at(moment, halves)) for moment in (start, end, planned))
        if line.started is not None and first == last:  # however short it was, it is seen
            first, last = min(first, halves - 1), min(first, halves - 1) + 1
        text = ""
        for half in range(0, halves, 2):
            match first <= half < last, first <= half + 1 < last:
                case True, True:
                    text += whole
                case True, False:
                    text += left
                case False, True:
                    text += right
                case _:
                    text += dots if waiting <= half < first else " "
        bar = Text(text, "dim")
        if line.started is not None:
            bar = Text.assemble(bar[: first // 2], (text[first // 2 : (last + 1) // 2], style), text[(last + 1) // 2 :])
        return bar

    def _times_of(self, line: Line) -> str:
        if line.started is None:
            return ""
        taken = (self._now if line.finished is None else line.finished) - line.started
        return f"{seconds(line.started)} +{seconds(taken)}"

    def _note(self, text: str, style: str) -> Text:
        return Text(" " * self._indent + text, style=style)
