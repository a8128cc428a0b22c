"""A timeline as HTML: one page that needs no network, light and dark, usable with keyboard and screen reader.

From top to bottom a turn has its question, its figures, a graph of how many tasks ran, a row per model call and task
(`rows`), and tables. The page's script draws connections and filters rows; without it everything can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from zlib import crc32

from llmcompiler_graph.timeline.axis import ticks
from llmcompiler_graph.timeline.model import Phase, Timeline
from llmcompiler_graph.timeline.rows import cut, percent, phase_name, rows, written_seconds

__all__ = ("fragment", "page")

_SLOWEST = 5
_MANY = 25  # tasks, from which on rows can be filtered
_MARGIN = 1.04  # of the axis behind the last event of a turn that goes on

_LEGEND = (
    ("planner", "planner"),
    ("repair", "repair of the plan"),
    ("early", "task, while the plan is still being written"),
    ("done", "task"),
    ("again", "a further attempt"),
    ("wait", "waits for inputs"),
    ("slot", "waits for a slot"),
    ("approval", "waits for a human"),
    ("failed", "failed"),
    ("joiner", "joiner"),
)


def page(timelines: Sequence[Timeline]) -> str:
    """Draw timelines as a page, one below the other."""
    title = timelines[0].question if timelines else "no turn was run"
    bodies = "".join(_turn(timeline, f"t{n}") for n, timeline in enumerate(timelines)) or "<h1>No turn was run</h1>"
    drawn = (
        '<!doctype html>\n<html lang="en" class="llmc-page"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title or 'Timeline')[:120]}</title>"
        f"<style>{_resource('page.css')}</style></head>"
        f'<body><main class="llmc">{_contents(timelines)}{bodies}</main>'
        f"<script>{_resource('page.js')}</script></body></html>\n"
    )
    return drawn.encode(errors="replace").decode()  # halves of surrogate pairs cannot be written into a file


def fragment(timeline: Timeline) -> str:
    """Draw a timeline for a place inside another page, such as a notebook's output."""
    name = f"t{crc32(repr(timeline).encode(errors='replace')):x}"  # the same in every run of a notebook
    return f'<style>{_resource("page.css")}</style><div class="llmc">{_turn(timeline, name)}</div>'


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _contents(timelines: Sequence[Timeline]) -> str:
    if len(timelines) < 2:
        return ""
    items = (
        f'<li><a href="#t{n}">{escape(cut(timeline.question, 100) or "A turn")}</a> '
        f'<span class="quiet">{written_seconds(timeline.end)}{"" if timeline.finished else ", unfinished"}</span></li>'
        for n, timeline in enumerate(timelines)
    )
    return f'<nav aria-label="Turns"><ol>{"".join(items)}</ol></nav>'


def _turn(timeline: Timeline, name: str) -> str:
    span = (max(timeline.end, timeline.bound or 0.0) or 1.0) * (1.0 if timeline.finished else _MARGIN)
    return (
        f'<section id="{name}" style="--marks:{percent(_step(span), span)}">'
        f"<h1>{escape(timeline.question or 'A turn')}</h1>"
        + (f'<p class="answer">{escape(cut(timeline.answer))}</p>' if timeline.answer else "")
        + (f'<p class="note{_urgency(timeline)}">{escape(timeline.note)}</p>' if timeline.note else "")
        + _figures(timeline)
        + _legend(timeline)
        + (_filters() if len(timeline.tasks) >= _MANY else "")
        + '<div class="chart"><div class="head"><div class="axis" aria-hidden="true">'
        + f'<span class="quiet">seconds</span><span class="ticks">{_ticks(span)}</span><span></span></div>'
        + _concurrency(timeline, span)
        + f"</div>{rows(timeline, name, span)}</div>"
        + _slowest(timeline, name)
        + _models(timeline)
        + "</section>"
    )


def _urgency(timeline: Timeline) -> str:
    return " human" if any(task.status == "approval" for task in timeline.tasks) else ""


# -- above the rows ---------------------------------------------------------------------------------------------------


def _figures(timeline: Timeline) -> str:
    def figures() -> Iterator[tuple[str, str]]:
        yield written_seconds(timeline.end), "took" if timeline.finished else "so far, not finished"
        if timeline.ratio is not None and timeline.bound is not None:
            name = f"times the critical-path bound of {written_seconds(timeline.bound)}"
            yield f"{timeline.ratio:.2f}", name
        if timeline.finished and timeline.in_sequence > timeline.end:
            yield written_seconds(timeline.in_sequence), "one call after the other"
        yield f"{len(timeline.tasks):,}", "task" if len(timeline.tasks) == 1 else "tasks"
        names = {"failed": "failed", "skipped": "skipped", "running": "running", "approval": "for a human to approve"}
        for status, name in {**names, "planned": "not begun"}.items():
            if count := sum(task.status == status for task in timeline.tasks):
                yield f"{count:,}", name
        yield f"{len(timeline.phases):,}", "model call" if len(timeline.phases) == 1 else "model calls"
        read, written = sum(p.input_tokens for p in timeline.phases), sum(p.output_tokens for p in timeline.phases)
        if read or written:
            yield f"{read:,} + {written:,}", "tokens read + written"
        costs = [phase.cost for phase in timeline.phases if phase.cost is not None]
        if costs:
            yield f"${sum(costs):.4f}", "for tokens"

    items = (f"<div><dt>{escape(name)}</dt><dd>{escape(figure)}</dd></div>" for figure, name in figures())
    return f'<dl class="figures">{"".join(items)}</dl>'


def _legend(timeline: Timeline) -> str:
    shown = {"planner", "joiner"} & {phase.kind for phase in timeline.phases} | {"done"}
    shown |= {"repair"} if any(phase.kind == "repair" for phase in timeline.phases) else set()
    for task in timeline.tasks:
        shown |= {"early"} if task.early else set()
        shown |= {task.status} & {"failed", "approval"}
        shown |= {"again"} if task.attempts else set()
        ready = task.planned if task.released is None else task.released
        if ready is not None and task.planned is not None and ready > task.planned:
            shown.add("wait")
        if task.released is not None and task.started is not None and task.started - task.released > 0.01:
            shown.add("slot")
    items = [f'<li><span class="{kind}"></span>{text}</li>' for kind, text in _LEGEND if kind in shown]
    if any(task.critical for task in timeline.tasks):
        items.append('<li><span class="critical"></span>critical path</li>')
    if timeline.bound:
        items.append('<li><span class="limit"></span>bound</li>')
    return f'<ul class="legend" aria-label="Colours">{"".join(items)}</ul>'


def _filters() -> str:
    names = (
        ("all", "all tasks"),
        ("critical", "critical path"),
        ("slow", "slowest"),
        ("failed", "failed, skipped or waiting"),
    )
    buttons = (f'<button type="button" data-show="{key}" aria-pressed="{str(not n).lower()}">{name}</button>'
               for n, (key, name) in enumerate(names))  # fmt: skip
    return f'<div class="filters" role="group" aria-label="Tasks that are shown" hidden>{"".join(buttons)}</div>'


def _step(span: float) -> float:
    marks = ticks(span)
    return marks[1][0] if len(marks) > 1 else span


def _ticks(span: float) -> str:
    return "".join(f'<span style="left:{percent(at, span)}">{label}</span>' for at, label in ticks(span))


def _concurrency(timeline: Timeline, span: float) -> str:
    steps = timeline.concurrency()
    most = max((count for _, count in steps), default=0)
    if not most:
        return ""
    path, level = "M0 100", 0
    for at, count in steps:
        x = 1000 * at / span
        path += f"L{x:.1f} {100 - 92 * level / most:.1f}L{x:.1f} {100 - 92 * count / most:.1f}"
        level = count
    told = f"{most} at once" if most > 1 else "one at a time"
    return (
        f'<div class="axis"><span class="quiet">tasks that run: {told}</span>'
        f'<svg class="concurrency" role="img" aria-label="Tasks that ran at the same time: at most {most}" '
        f'viewBox="0 0 1000 100" preserveAspectRatio="none"><path d="{path}L1000 100Z"/></svg><span></span></div>'
    )


# -- below the rows ---------------------------------------------------------------------------------------------------


def _slowest(timeline: Timeline, name: str) -> str:
    ran = sorted((task for task in timeline.tasks if task.seconds), key=lambda task: -task.seconds)[:_SLOWEST]
    if len(timeline.tasks) <= _SLOWEST or not ran:
        return ""
    body = (
        f'<tr><td><a href="#{name}-{task.index}"><code>{escape(cut(task.text, 90))}</code></a></td>'
        f'<td class="number">{written_seconds(task.seconds)}</td><td class="number">{len(task.unlocks)}</td>'
        f"<td>{'yes' if task.critical else ''}</td></tr>"
        for task in ran
    )
    return _table("Slowest tasks", (("task", ""), ("took", "n"), ("unlocked", "n"), ("critical", "")), "".join(body))


def _models(timeline: Timeline) -> str:
    if not timeline.phases:
        return ""
    costs = any(phase.cost is not None for phase in timeline.phases)

    def row(phase: Phase) -> str:
        cells = [written_seconds((phase.finished or phase.started) - phase.started)]
        # a repair's tokens are counted with those of its planner
        counts = f"{phase.input_tokens:,}", f"{phase.output_tokens:,}"
        cells += ("with the planner", "") if phase.kind == "repair" else counts
        cells += [f"${phase.cost:.4f}" if phase.cost and phase.kind != "repair" else ""] if costs else []
        numbers = "".join(f'<td class="number">{each}</td>' for each in cells)
        return f"<tr><td>{phase_name(phase)}</td>{numbers}</tr>"

    names = [("model call", ""), ("took", "n"), ("tokens read", "n"), ("tokens written", "n")]
    return _table("Model calls", [*names, *([("cost", "n")] if costs else [])], "".join(map(row, timeline.phases)))


def _table(title: str, names: Sequence[tuple[str, str]], body: str) -> str:
    head = "".join(f'<th scope="col"{" class=number" if kind else ""}>{name}</th>' for name, kind in names)
    return f"<h2>{title}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
