r"""What the lines of plan text look like, in all the ways and languages that models write them, as patterns.

>>> head = head_at("- **Step 2.** search(query)", 0)
>>> head["index"], head["tool"]
('2', 'search')
>>> waits = waits_for(" （在任务1、2之后）", 0)
>>> [number for number, _ in waits.tasks]
[1, 2]

May know: `labels`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from llmcompiler_graph.core.language.labels import THOUGHTS
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = (
    "CLOSERS",
    "EXPRESSION",
    "FENCE",
    "INDEX",
    "JOIN",
    "LISTED",
    "LONGEST_HEAD",
    "MARKS",
    "NOTHING_ELSE",
    "NUMBERED",
    "QUOTED",
    "THOUGHT",
    "TOOL",
    "UNNUMBERED",
    "Waits",
    "could_wait",
    "head_at",
    "head_follows",
    "heads_within",
    "next_head",
    "waits_for",
)

_TASK = (
    *("task", "step", "schritt", "aufgabe", "étape", "etape", "tâche", "tache", "paso", "tarea", "passo", "tarefa"),
    *("compito", "fase", "шаг", "задача", "步骤", "步驟", "任务", "任務", "ステップ", "タスク", "단계", "작업"),
)
"""What models call a task, in the language of the question."""
_LABEL = rf"(?:(?:{'|'.join(_TASK)})[ \t]*)"
MARKS = rf"[ \t\u3000]*(?:(?:[-*+•・●○▪>|]|#{{1,6}})[ \t\u3000]+)*(?:\*\*|__|`{{1,3}})?{_LABEL}?"
"""What may stand at the beginning of a line: bullets, bold marks, what a task is called."""
_STOP = r"[ \t]*\\?[.):．。、：）]{1,2}(?!\d)"
INDEX = MARKS + rf"[$＄]?(?P<index>\d{{1,9}})(?:\*\*|__|`)?{_STOP}[ \t\u3000]*+(?:\*\*|`|__(?=[ \t]))?+[ \t\u3000]*+"
"""A number at the beginning of a line."""
TOOL = r"(?P<tool>[^\W\d][\w.\-/]*)"
"""The name of a tool."""

_HEAD = lazy_pattern(INDEX + TOOL + r"(?:\*\*|`)?[ \t]*[(（]", re.IGNORECASE)
LONGEST_HEAD = 300
"""How much of a line is looked at for one, in characters."""
_FIRST = "".join(sorted({label[0] for label in _TASK}))
_COULD_BE_HEAD = lazy_pattern(
    rf"[ \t\u3000]*(?:(?:[-*+•・●○▪>|]|#{{1,6}})(?:[ \t\u3000]+|$))*(?:\*|_|`|\$|＄|\d|[{_FIRST}]|$)", re.IGNORECASE
)
"""What may become one when more of the line is there."""
NUMBERED = lazy_pattern(INDEX + r"(?P<rest>\S.*)", re.IGNORECASE)
"""Any line with a number."""
JOIN = lazy_pattern(
    rf"(?:{INDEX}|{MARKS})join(?:[(（]|[ \t]*[(（][ \t]*[)）$]|\W*$)",
    re.IGNORECASE,  # not `2. Join (combine) both`
)
"""The end of the plan."""
UNNUMBERED = lazy_pattern(r"[\W\d]*(?:(?:task|step|action)\b[\W\d]*)?" + TOOL + r"[(（]", re.IGNORECASE)
"""A call without a number."""
THOUGHT = lazy_pattern(
    rf"[ \t]*(?:[-*+•>|][ \t]+)*(?:\*\*|__)?(?:{'|'.join(THOUGHTS)})(?:\*\*|__)?[ \t]*[:：](?:\*\*|__)?(?P<thought>.*)",
    re.IGNORECASE,
)
"""A `Thought:`."""
FENCE = lazy_pattern(r"[ \t]*(?:`{3,}|~{3,})[ \t]*(?P<of>\w*)[ \t]*\Z")
"""The line above or below a block of code."""

QUOTED = r"""(?:"(?:\\.|[^"\\])*"|(?<!\w)'(?:\\.|[^'\\])*'|[“„][^“”„"\\]*[“”])"""
"""A text constant, wherever it stands: what is in it is no word of the language."""
NOTHING_ELSE = lazy_pattern(r"(?:[ \t\r\u3000`;,；，、]|\*\*|__)*(?:#[^\n]*)?$", re.MULTILINE)
"""The rest of a line that has at most marks and a comment."""
CLOSERS = lazy_pattern(r"(?:[ \t\u3000`;,；，、]|\*\*|__)*")
"""Marks that may stand behind a call."""
EXPRESSION = lazy_pattern(r"\.[^\W\d]|[(\[]|[ \t]*(?:[+%]|\*(?!\*)|/(?!/))")
"""What behind a call makes it part of an expression."""


_WORD = lazy_pattern(r"(?<![^ \t\u3000])(?:[^\s\-+•・●○▪>|#*]|\*\*)")
"""Where a word begins; bullets belong to the word behind them."""


def head_at(text: str, position: int) -> re.Match[str] | None:
    """The head of a task, `INDEX. tool(`, if one stands at a position."""
    return _HEAD.match(text, position, position + LONGEST_HEAD)


def next_head(text: str, start: int, end: int) -> int:
    """Where the next head of a task stands, at the start or behind a blank or a comma; the end if there is none."""
    following = (i for i in range(start, end) if text[i] not in " \t" and (i == start or text[i - 1] in " \t;,|"))
    return next((i for i in following if head_at(text, i)), end)


def head_follows(text: str, position: int, *, final: bool) -> re.Match[str] | Literal[False] | None:
    """The head of a task at the beginning of a line; `None` if more text is needed to tell."""
    if head := head_at(text, position):
        return head
    rest = text[position : position + LONGEST_HEAD]
    complete = final or "\n" in rest or "(" in rest or "（" in rest or len(rest) == LONGEST_HEAD
    return None if not complete and _COULD_BE_HEAD.match(rest) else False


def heads_within(text: str, position: int) -> Iterator[re.Match[str]]:
    """The heads of tasks in the rest of a line, each behind a blank and with its bracket at the tool's name."""
    starts = (word.start() for word in _WORD.finditer(text, position))
    return (head for i in starts if (head := head_at(text, i)) and text[head.end() - 2] not in " \t")


# -- what a task waits for --------------------------------------------------------------------------------------------


class Waits(NamedTuple):
    """The clause behind a call that names the tasks it waits for."""

    tasks: list[tuple[int, int]]
    """The numbers as written, and where each stands."""
    end: int
    """Where it ends."""
    comment: bool
    """Whether it stands in a comment, where numbers may mean anything."""


_LEAD = r"(?:[ \t\u3000`;,；，、]|\*\*|__|(?<=[ \t\u3000])[(\[{]|[（【]|#+|//|--?|[—–→←>|]|<-)*"
_ALWAYS = (  # what a bare number may follow
    *(
        "after",
        "depends on",
        "depends_on",
        "depend on",
        "depending on",
        "dependent on",
        "dependencies",
        "dependency",
        "deps",
    ),
    *(
        "waits for",
        "wait for",
        "waiting for",
        "nach",
        "hängt ab von",
        "abhängig von",
        "wartet auf",
        "après",
        "dépend de",
    ),
    *("attend", "después de", "depende de", "espera a", "depois de", "dopo", "dipende da", "после", "зависит от"),
)
_ALWAYS_CJK = ("在", "依赖于", "依赖", "依賴於", "依賴", "等待", "取决于")
_WITH_MARK = (
    "requires",
    "require",
    "needs",
    "need",
    "once",
    "using the result of",
    "uses the result of",
)  # `$1`, `task 1`
_FILL = (
    r"(?:the|that|results?|outputs?|observations?|completion|of|from|all|both|den?|der|das|les?|las?|los|el|il|di)\b"
)
_NO_HEAD = r"(?![0-9A-Za-z_])(?![ \t]*[.):][ \t]*[^\W\d][\w.\-/]*[ \t]*\()"
_ONE = rf"(?:\$\{{\d{{1,9}}[^{{}}\n]*\}}|[$＄]?\d{{1,9}}{_NO_HEAD})"
_LIST = rf"(?P<list>{_ONE}(?:(?:[ \t,&、，]|and\b|und\b|et\b|y\b|e\b|и|和|与|と|{_FILL}|{_LABEL})*+{_ONE})*)"
_AFTER = lazy_pattern(
    rf"{_LEAD}(?:(?:(?:{'|'.join(_ALWAYS)})(?![^\W\d_])|{'|'.join(_ALWAYS_CJK)})"
    rf"[ \t:：=]*+(?:{_FILL}[ \t]*+)*[\[(（{{]*+{_LABEL}?s?[ \t]*+"
    rf"|(?:{'|'.join(_WITH_MARK)})\b[ \t:：=]*+(?:{_FILL}[ \t]*+)*(?:{_LABEL}s?[ \t]*+|(?=[$＄]))){_LIST}",
    re.IGNORECASE,
)
_THEN = lazy_pattern(
    rf"{_LEAD}(?:{_LABEL}|(?=[$＄])){_LIST}[ \t]*+"
    r"(?:(?:的结果|的結果|の結果)?(?:之后|之後|以后|以後|の後|のあと|後|后)|(?:번)?[ \t]*(?:이후|후에|다음))",
    re.IGNORECASE,
)
LISTED = lazy_pattern(r"\$\{(\d{1,9})[^{}\n]*\}|[$＄]?(\d{1,9})")
"""One task in its list."""
_COMMENT = lazy_pattern(r"#|//|-|[—–→←>|]")
_WORDS = (*_ALWAYS, *_ALWAYS_CJK, *_WITH_MARK, *_TASK)
_HALF_LEADS = ("/", "<", "*", "_")  # that the next character may complete
_PREFIXES = frozenset((*_HALF_LEADS, *(word[:n] for word in _WORDS for n in range(1, len(word) + 1))))
_LEADS = lazy_pattern(_LEAD)


def could_wait(text: str, position: int) -> bool:
    """Whether what stands behind a call may be, or become, such a clause."""
    lead = _LEADS.match(text, position, position + LONGEST_HEAD)
    start = lead.end() if lead else position
    rest = text[start : start + 20].lower()
    return not rest or rest in _PREFIXES or rest[0] in "$＄" or rest.startswith(_WORDS)


def waits_for(text: str, position: int) -> Waits | None:
    """The clause that stands behind a call, if one does."""
    found = _AFTER.match(text, position) or _THEN.match(text, position)
    if found is None:
        return None
    listed = LISTED.finditer(text, found.start("list"), found.end("list"))
    lead = _LEADS.match(text, position)
    comment = bool(lead and _COMMENT.search(lead[0]))
    return Waits([(int(one[1] or one[2]), one.start()) for one in listed], found.end(), comment)
