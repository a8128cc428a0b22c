"""A timeline as HTML: one page that needs no network, light and dark, usable with keyboard and screen reader.

Every row is a `details` element: its summary is the label and the bar, and opened it shows arguments, observation, and
what the task needed and unlocked. The page's script only marks related rows; without it everything can be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from llmcompiler_graph.timeline.axis import ticks
from llmcompiler_graph.timeline.model import Phase, TaskBar, Timeline

__all__ = ("fragment", "page")

_MOST_TEXT = 2000  # characters shown of an argument, an observation or a reply
_SLOWEST = 5

_LEGEND = (
    ("planner", "planner model"),
    ("early", "task, begun while the plan was still being written"),
    ("done", "task"),
    ("waiting", "written, waiting for its inputs, a slot or a human"),
    ("failed", "failed"),
    ("joiner", "joiner model"),
)


def page(timelines: Sequence[Timeline]) -> str:
    """Draw timelines as a page, one below the other."""
    title = timelines[0].question if timelines else "no turn was run"
    bodies = "".join(_turn(timeline, n) for n, timeline in enumerate(timelines)) or "<h1>No turn was run</h1>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title or 'Timeline')[:120]}</title>"
        f"<style>{_resource('page.css')}\nbody {{ margin: 0; background: Canvas; }}</style></head>"
        f'<body><main class="llmc">{bodies}</main><script>{_resource("page.js")}</script></body></html>\n'
    )


def fragment(timeline: Timeline) -> str:
    """Draw a timeline for a place inside another page, such as a notebook's output."""
    return f'<style>{_resource("page.css")}</style><div class="llmc">{_turn(timeline, id(timeline))}</div>'


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _turn(timeline: Timeline, number: int) -> str:
    span = max(timeline.end, timeline.bound or 0.0) or 1.0
    rows = "".join(_rows(timeline, f"t{number}", span))
    return (
        f"<section><h1>{escape(timeline.question or 'A turn')}</h1>"
        f'<p class="figures">{escape(_figures(timeline))}</p>'
        + (f'<p class="note">{escape(timeline.note)}</p>' if timeline.note else "")
        + (f'<p><span class="quiet">Answer:</span> {escape(_cut(timeline.answer))}</p>' if timeline.answer else "")
        + _legend(timeline)
        + f'<div class="axis" aria-hidden="true"><span></span><span class="ticks">{_ticks(span)}</span>'
        + f'<span class="time quiet">seconds</span></div><ol class="rows">{rows}</ol>'
        + _concurrency(timeline, span)
        + _slowest(timeline)
        + _models(timeline)
        + "</section>"
    )


def _figures(timeline: Timeline) -> str:
    figures = [f"{timeline.end:.2f} s"]
    if timeline.ratio is not None:
        figures.append(f"{timeline.ratio:.2f} times the critical-path bound of {timeline.bound:.2f} s")
    figures.append(_counted(len(timeline.tasks), "task"))
    for status in ("failed", "skipped", "running", "planned"):
        if count := sum(task.status == status for task in timeline.tasks):
            figures.append(f"{count} {status}")
    figures.append(_counted(len(timeline.phases), "model call"))
    tokens = sum(phase.input_tokens for phase in timeline.phases), sum(p.output_tokens for p in timeline.phases)
    if any(tokens):
        figures.append(f"{tokens[0]:,} tokens read, {tokens[1]:,} written")
    return " · ".join(figures) + ("" if timeline.finished else " · not finished")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _legend(timeline: Timeline) -> str:
    items = [f'<li><span class="{kind}"></span>{escape(text)}</li>' for kind, text in _LEGEND]
    if timeline.bound:
        items.append("<li>bold, outlined: on the critical path</li><li>dashed line: the bound</li>")
    return f'<ul class="legend">{"".join(items)}</ul>'


def _ticks(span: float) -> str:
    return "".join(f'<span style="left:{_percent(at, span)}">{label}</span>' for at, label in ticks(span))


# -- rows -------------------------------------------------------------------------------------------------------------


def _rows(timeline: Timeline, prefix: str, span: float) -> Iterator[str]:
    for number in sorted({*(p.round for p in timeline.phases), *(t.round for t in timeline.tasks)}):
        phases = [phase for phase in timeline.phases if phase.round == number]
        yield from (_phase(phase, timeline, span) for phase in phases if phase.kind != "joiner")
        yield from (_task(task, timeline, prefix, span) for task in timeline.tasks if task.round == number)
        yield from (_phase(phase, timeline, span) for phase in phases if phase.kind == "joiner")


def _phase(phase: Phase, timeline: Timeline, span: float) -> str:
    stop = timeline.end if phase.finished is None else phase.finished
    name = {"planner": "planner", "repair": "repair of the plan", "joiner": "joiner"}[phase.kind]
    name = f"{name}, plan {phase.round + 1}" if phase.round else name
    bar = _bar(phase.kind, phase.started, stop, span)
    facts: list[tuple[str, Any]] = [("asked", f"{phase.started:.2f} s"), ("complete", f"{stop:.2f} s")]
    if phase.input_tokens or phase.output_tokens:
        facts.append(("tokens", f"{phase.input_tokens:,} read, {phase.output_tokens:,} written"))
    facts.append(("reply", phase.text))
    return _row(
        f'<span class="label">{escape(name)}</span>',
        bar + _bound(timeline, span),
        f"{stop - phase.started:.2f} s",
        facts,
    )


def _task(task: TaskBar, timeline: Timeline, prefix: str, span: float) -> str:
    bars = ""
    stop = timeline.end if task.finished is None else task.finished
    written = task.planned if task.planned is not None else task.released
    if written is not None and (begun := stop if task.started is None else task.started) > written:
        bars += _bar("wait", written, begun, span)
    if task.started is not None:
        kind = "early" if task.status == "done" and task.early else task.status
        bars += _bar(f"bar {kind}", task.started, stop, span)
    facts: list[tuple[str, Any]] = [
        ("status", task.status + (", begun early" if task.early else "") + (", critical" if task.critical else "")),
        ("call", task.text),
        ("times", _times(task)),
        ("arguments", task.arguments or None),
        ("observation", task.observation),
        ("error", task.error or None),
        ("needed", _listed(task.needs) or None),
        ("waited for", _listed(task.after) or None),
        ("unlocked", _listed(task.unlocks) or None),
    ]
    related = " ".join(f"{prefix}-{n}" for n in (*task.needs, *task.after, *task.unlocks))
    label = f'<span class="label"><code>{escape(_cut(task.text or f"{task.index}. …", 200))}</code></span>'
    attributes = f' id="{prefix}-{task.index}" data-related="{related}"' + (
        ' class="critical"' if task.critical else ""
    )
    ended = None if task.started is None else f"{stop - task.started:.2f} s"
    time = ended if task.status == "done" else task.status
    return _row(label, bars + _bound(timeline, span), time, facts, attributes)


def _row(label: str, bars: str, time: str | None, facts: Iterable[tuple[str, Any]], attributes: str = "") -> str:
    shown = "".join(
        f"<dt>{escape(name)}</dt><dd><pre>{escape(_cut(_written(value)))}</pre></dd>"
        for name, value in facts
        if value is not None and value != ""
    )
    return (
        f"<li{attributes}><details><summary>{label}"
        f'<span class="track" aria-hidden="true">{bars}</span><span class="time">{time or ""}</span></summary>'
        f"<dl>{shown}</dl></details></li>"
    )


def _bar(kind: str, start: float, stop: float, span: float) -> str:
    return f'<i class="{kind}" style="left:{_percent(start, span)};width:{_percent(stop - start, span)}"></i>'


def _bound(timeline: Timeline, span: float) -> str:
    return "" if not timeline.bound else f'<i class="bound" style="left:{_percent(timeline.bound, span)}"></i>'


def _percent(seconds: float, span: float) -> str:
    return f"{100 * seconds / span:.2f}%"


def _times(task: TaskBar) -> str:
    moments = (
        ("written", task.planned),
        ("released", task.released),
        ("started", task.started),
        ("ended", task.finished),
    )
    return ", ".join(f"{name} {at:.2f} s" for name, at in moments if at is not None)


def _listed(indices: Sequence[int]) -> str:
    return ", ".join(f"task {n}" for n in indices)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str)


def _cut(text: str, most: int = _MOST_TEXT) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


# -- below the rows ---------------------------------------------------------------------------------------------------


def _concurrency(timeline: Timeline, span: float) -> str:
    steps = timeline.concurrency()
    most = max((count for _, count in steps), default=0)
    if not most:
        return ""
    path, level = "M0 100", 0
    for at, count in steps:
        x = 1000 * at / span
        path += f" L{x:.1f} {100 - 90 * level / most:.1f} L{x:.1f} {100 - 90 * count / most:.1f}"
        level = count
    told = f"Tasks that ran at the same time: {most} at most"
    return (
        f'<h2>{told}</h2><div class="axis"><span></span><svg class="concurrency" role="img" aria-label="{told}" '
        f'viewBox="0 0 1000 100" preserveAspectRatio="none"><path d="{path} L1000 100 Z"/></svg><span></span></div>'
    )


def _slowest(timeline: Timeline) -> str:
    ran = sorted((task for task in timeline.tasks if task.seconds), key=lambda task: -task.seconds)[:_SLOWEST]
    if len(timeline.tasks) <= _SLOWEST or not ran:
        return ""
    rows = (
        f'<tr><td><code>{escape(_cut(task.text, 120))}</code></td><td class="number">{task.seconds:.2f} s</td>'
        f"<td>{escape(_listed(task.unlocks[:8])) or 'nothing'}</td></tr>"
        for task in ran
    )
    head = '<th scope="col">task</th><th scope="col" class="number">took</th><th scope="col">unlocked</th>'
    return f"<h2>Slowest tasks</h2><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _models(timeline: Timeline) -> str:
    if not any(phase.input_tokens or phase.output_tokens for phase in timeline.phases):
        return ""
    rows = (
        f"<tr><td>{phase.kind}{f', plan {phase.round + 1}' if phase.round else ''}</td>"
        f'<td class="number">{(phase.finished or phase.started) - phase.started:.2f} s</td>'
        f'<td class="number">{phase.input_tokens:,}</td><td class="number">{phase.output_tokens:,}</td></tr>'
        for phase in timeline.phases
    )
    names = ("took", "tokens read", "tokens written")
    head = '<th scope="col">Model call</th>' + "".join(f'<th scope="col" class="number">{name}</th>' for name in names)
    return f"<h2>Model calls</h2><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
