r"""Lines that call a known tool in a way that the plan language does not have: they must not vanish.

A line is *lost* if it is laid out as a call: `Schritt 2: search("K2")`, `| 1 | search | query="K2" |`, or
`"tool": "search"`. A sentence that announces a call is *meant* as one: `I will call search("K2") first`. That counts
only where a reply has no task at all. What merely talks about tools is neither:

>>> mentions = Mentions({"search": ["query"]})
>>> for line in ['Schritt 2: search("K2")', 'search("K2") returned 8611 m.', "You can call search(query) for that."]:
...     mentions.read(line, 0)
>>> [(mention.tool, mention.text) for mention in mentions.lost]
[('search', 'Schritt 2: search("K2")')]

May know: `calls`, `commands`, `control_flow`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from llmcompiler_graph.core.language.control_flow import is_header
from llmcompiler_graph.core.language.notations.calls import Tools
from llmcompiler_graph.core.language.notations.commands import Command, Commands
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Mention", "Mentions", "call_key", "is_valued")

_LONGEST_LINE = 2_000  # characters looked at; a longer line is no call that someone wrote by hand
_LONGEST_LABEL = 60
_NAME = r"\s*(?:[^\W\d][\w-]*\s*(?:=|:|：|＝)\s*)?"
_VALUE = _NAME + (r"""(?:["'“”‘«「『$＄{\[#<]|[-+]?\d|[rf]["']|(?:true|false|null)\b)""")
_VALUED = lazy_pattern(rf"{_VALUE}|{_NAME}(?:True|False|None)\b")
_RECOUNT = lazy_pattern(
    r"""[\s`*_"'.,)]*(?:=(?![=>])|:\s*["'\d]|(?:->|→|=>)\s*["'\d]|\b(?:returned|returns?|gave|gives?|has|had|was|were"""
    r"""|is|are|did|does|would|will|can|could|may|might|already|failed|found|showed|shows|says|said|told|yields?|yielded)\b)""",
    re.IGNORECASE,
)
"""What behind a call says what came of it."""
_TALK = lazy_pattern(
    r"""\b(?:examples?|e\.g|i\.e|usage|syntax|format|signature|note|results?|outputs?|observations?|returned|previous(?:ly)?"""
    r"""|earlier|already|like|such|instead|not|without|never|no|could|would|can|might|may|if|beispiel|z\.\s?b|ejemplo"""
    r"""|exemple|esempio|exemplo)\b|n['’]t\b|例|比如|已""",
    re.IGNORECASE,
)
"""What before a call says that it is only spoken of."""
_ORDER = lazy_pattern(
    r"\b(?:call|run|use|execute|invoke|do|then|first|next|finally|now|and|action|plan)\W*\Z", re.IGNORECASE
)
_LABEL_ENDS = tuple(":：=→>-–—|.。)）(（[,，、;；*`")
_INTENT = (
    r"(?:\bi(?:['’]ll| will| shall| am going to|['’]m going to| need to| must| have to)|\blet me(?! know)|\blet['’]?s"
    r"|\bwe(?:['’]ll| will| need to| must| have to)|^\W*(?:first|next|now|then))\b"
)
_VERB = r"(?:use|call|run|invoke|query|execute|try|apply|start with|begin with)"
_ING = r"^\W*(?:(?:now|first|next)\W+)?(?:calling|running|invoking|executing|using)"
_DOUBTS = lazy_pattern(
    r"\b(?:not|without|no|never|unless|if|already|instead|once you|when you|after you|would|could)\b|n['’]t\b",
    re.IGNORECASE,
)
_NAMED = lazy_pattern(
    r"""\W*(?:(?:tool|function)(?:[_ ]name)?|api)\s*\d*\W*[:：=]\s*["'`*]*(?P<tool>[^\W\d][\w.\-/]*)["'`*,\s]*\Z""",
    re.IGNORECASE,
)
_PARAMETERS = lazy_pattern(
    r"""\W*(?:args?|arguments?|param(?:eter)?s?|(?:tool[_ ]|action[_ ])?inputs?|with|kwargs)\W*[:：=]""", re.IGNORECASE
)
_PARAMETERS_WITHIN = 4  # lines
_CELL_OF_ARGUMENTS = lazy_pattern(r"""["“「$={]|\A\s*\d+\s*\Z""")
_HEAD_OF_ARGUMENTS = lazy_pattern(r"arg|param|input|query|depend|after", re.IGNORECASE)
_TAG = lazy_pattern(
    r"\s*(?:<[|｜]?/?(?:tool|function)[\w▁ ]*call[\w▁ ]*[|｜]?>|\[TOOL_CALLS?\]|<function=)", re.IGNORECASE
)
_OPENS = lazy_pattern(r"(?:<[^<>]*call[^<>]*>|\[TOOL_CALLS?\])\s*\[?\s*\{?\s*\Z", re.IGNORECASE)

_STRING_OR_BRACKET = lazy_pattern(r"""(?P<quote>["'])(?:.*?(?<!\\)(?P=quote)|.*\Z)|[(\[{（)\]}）]""", re.DOTALL)
_NESTS = {**dict.fromkeys("([{（", 1), **dict.fromkeys(")]}）", -1)}


class Mention(NamedTuple):
    """A line that looks like a call and is no task."""

    tool: str
    """The tool; empty where only a tag says that one is called."""
    text: str
    """The line."""
    where: int
    """Where the call stands in the whole text."""
    key: int | None
    """Its `call_key`, to find out if it stands elsewhere as a task; `None` if it is not written out."""
    shown: bool = False
    """Whether the words before it say that it is an example."""


def call_key(tool: str, arguments: str) -> int:
    """A call's text in a form that can be compared and kept."""
    return hash((tool, "".join(arguments.split())))


@lru_cache(maxsize=64)
def _patterns(tools: frozenset[str]) -> dict[str, re.Pattern[str]]:
    one = "|".join(map(re.escape, sorted(tools, key=lambda name: (-len(name), name))))
    tool = rf"(?<![\w.$/-])(?:functions?\.|tools?\.|default_api\.)?(?P<tool>{one})(?![\w-])"
    flags = re.IGNORECASE
    return {
        "call": lazy_pattern(rf"{tool}[`*_]{{0,2}}[(（](?={_VALUE})"),
        "assigned": lazy_pattern(rf"\s*[^\W\d][\w, ]*=(?!=).*?{tool}\("),
        "key": lazy_pattern(
            r"""["'“”]?\b(?:tool|tool_?name|function|function_name|action|name|recipient_name|api|call)["'“”]?\s*[:=：]\s*"""
            rf"""["'“”「](?:functions?\.)?(?P<tool>{one})["'“”」]""",
            flags,
        ),
        "tag": lazy_pattern(
            rf"<(?:function=|tool=|(?:tool|invoke|function)\s+name=)?[\"']?(?P<tool>{one})[\"']?(?:\s[^<>]*)?/?>"
        ),
        "action": lazy_pattern(rf"""\W*(?:action|✿function✿)\s*\d*\W*[:：]\W*{tool}""", flags),
        "quoted": lazy_pattern(rf"""[\W\d]*{tool}[`*_]*\s*(?:[:：=]|->|→|[-–])?\s*["“「『].*["”」』]\W*\Z"""),
        "bracket": lazy_pattern(rf"""[\W\d]*{tool}\s*\[[^\]]+\]\W*\Z""", flags),
        "meant": lazy_pattern(
            rf"""(?:{_INTENT}\s+(?:\w+,?\s+){{0,3}}?{_VERB}|{_ING})\s+(?:the\s+|a\s+|my\s+)?[`'"*]*{tool}""", flags
        ),
        "cell": lazy_pattern(rf"""[\s`*]*{tool}[\s`*]*(?:[(（].*)?\Z""", flags),
    }


class Mentions:
    """Reads the lines of one reply that are no tasks.

    Args:
        tools: The parameters of each tool; without any, nothing is noticed.
    """

    def __init__(self, tools: Tools) -> None:
        self.lost: list[Mention] = []
        """Lines laid out as calls, so far."""
        self.meant: list[Mention] = []
        """Sentences that announce calls, so far."""
        self._in_thoughts: list[Mention] = []  # calls laid out in thoughts: each is of a task, or lost
        self._tools = frozenset(tools)
        self._patterns = _patterns(self._tools) if tools else {}
        self._named: tuple[int, Mention] | None = None  # `tool: search`, until its arguments follow
        self._head, self._row_before = "", 0  # the first row of the table that is being read, and its last row so far
        self._lines = 0
        self._commands = Commands(tools)

    def read(self, line: str, where: int, *, thought: bool = False) -> None:
        """Take note of a line that became no task.

        Args:
            line: The line.
            where: Where it begins in the whole text.
            thought: Whether it stands in a thought, where a call is only thought of.
        """
        if not self._patterns or len(line) > _LONGEST_LINE:
            return
        self._lines += 1
        if not line.strip():
            return
        command = None if thought else self._commands.option(line, where)
        if thought and (laid_out := self._marked(line, where)):
            self._in_thoughts.append(laid_out)
        elif found := self._call(line, where) or self._layout(line, where):
            (self.lost if found.tool and not thought else self.meant).append(found)
        elif command:
            self.lost.append(_mention(command))
        elif meant := self._sentence(line, where):
            self.meant.append(meant)

    def note(self, tool: str, text: str, where: int) -> None:
        """Take note of a plan that is written in words."""
        self.lost.append(Mention(tool, text.strip(), where, None))

    def show(self, tool: str, text: str, where: int) -> None:
        """Take note of a call that is only an example."""
        self.meant.append(Mention(tool, text.strip(), where, None, shown=True))

    def is_talk(self, line: str, start: int) -> bool:
        """Whether a line that begins with a call speaks of it; told where its arguments start.

        Without tools to know, it is always taken for a call.
        """
        if not self._patterns:
            return False
        inside, rest = _closed(line[:_LONGEST_LINE], start)
        return bool(_RECOUNT.match(rest)) or (not is_valued(inside) and any(map(str.isalnum, rest)))

    def take(self, tasks: Collection[int], called: Mapping[str, int]) -> list[Mention]:
        """Take what was noticed.

        Args:
            tasks: The `call_key`s of the tasks: what stands there as well is not lost.
            called: How many tasks call each tool. Where there are none at all, sentences that announce calls count
                too. What is laid out in thoughts is lost as far as there are fewer tasks than calls: providers leave
                calls in the text that they also give as native ones.
        """
        found = self.lost + ([] if called else self.meant)
        if not called:
            texts = {mention.text for mention in found}
            found += [_mention(command) for command in self._commands.take() if command.text not in texts]
        left = Counter(called)
        for mention in self._in_thoughts:
            left[mention.tool] -= 1
            found += [mention] if left[mention.tool] < 0 else []
        self.lost, self.meant, self._in_thoughts = [], [], []
        return sorted((each for each in found if each.key not in tasks), key=lambda each: each.where)

    def _call(self, line: str, where: int) -> Mention | None:
        """A call that is written out: with values, and not in the middle of a sentence."""
        if assigned := self._patterns["assigned"].match(line):
            return Mention(assigned["tool"], line.strip(), where + assigned.start("tool"), None)
        found = self._patterns["call"].search(line)
        if found is None:
            return None
        label, (inside, rest) = line[: found.start()], _closed(line, found.end())
        if _RECOUNT.match(rest) or not (_is_label(label) or is_header(label)):
            return None
        start = found.start("tool")
        return Mention(found["tool"], line.strip(), where + start, call_key(found["tool"], inside))

    def _layout(self, line: str, where: int) -> Mention | None:
        """A call that is laid out: keys and values, tags, a row of a table."""
        laid_out = self._row(line, where) if "|" in line else None
        if laid_out := laid_out or self._marked(line, where):
            return laid_out
        if self._is_arguments(line) and self._named:
            named, self._named = self._named[1], None
            return named
        if (name := _NAMED.match(line)) and name["tool"].rpartition(".")[2] in self._tools:
            mention = Mention(name["tool"], line.strip(), where + name.start("tool"), None)
            self._named = self._lines + _PARAMETERS_WITHIN, mention
            return None
        for kind in ("action", "quoted", "bracket"):
            if found := self._patterns[kind].match(line):
                return Mention(found["tool"], line.strip(), where + found.start("tool"), None)
        tag = _TAG.match(line)
        return Mention("", line.strip(), where + tag.start(), None) if tag else None

    def _is_arguments(self, line: str) -> bool:
        """Whether a line has the arguments of a tool that one of the lines above named."""
        if self._named and self._lines > self._named[0]:
            self._named = None
        return self._named is not None and _PARAMETERS.match(line) is not None

    def _marked(self, line: str, where: int) -> Mention | None:
        """A call of which a key of JSON or a tag names the tool."""
        for kind in ("key", "tag"):
            found = self._patterns[kind].search(line)
            if found and (_is_label(line[: found.start()]) or _OPENS.search(line[: found.start()])):
                return Mention(found["tool"], line.strip(), where + found.start("tool"), None)
        return None

    def _row(self, line: str, where: int) -> Mention | None:
        """A row of a table that has a tool in one cell and arguments or a number in another."""
        if self._lines - self._row_before > 1:
            self._head = line
        self._row_before = self._lines
        cells, position = line.split("|"), 0
        for number, cell in enumerate(cells):
            found = self._patterns["cell"].match(cell)
            if found and self._has_arguments(cell, cells[:number] + cells[number + 1 :]):
                return Mention(found["tool"], line.strip(), where + position + found.start("tool"), None)
            position += len(cell) + 1
        return None

    def _has_arguments(self, cell: str, others: Iterable[str]) -> bool:
        """Whether a cell with a tool calls it: with arguments in it, in another cell, or by the head of the table."""
        if "(" in cell and _CELL_OF_ARGUMENTS.search(cell):
            return True
        return any(map(_CELL_OF_ARGUMENTS.search, others)) or _HEAD_OF_ARGUMENTS.search(self._head) is not None

    def _sentence(self, line: str, where: int) -> Mention | None:
        found = self._patterns["meant"].search(line)
        if found is None:
            return None
        begin = max(line.rfind(mark, 0, found.start() + 1) for mark in ".!?;") + 1
        ends = [end for mark in (". ", "! ", "? ", "; ") if (end := line.find(mark, found.end())) >= 0]
        sentence = line[begin : min(ends, default=len(line))]
        if _DOUBTS.search(sentence):
            return None
        return Mention(found["tool"], line.strip(), where + found.start("tool"), None)


def _mention(command: Command) -> Mention:
    return Mention(*command, None)


def _is_label(text: str) -> bool:
    """Whether what stands before a call leads to it: nothing, marks, a label, an order; not a sentence."""
    text = text.rstrip()
    if len(text) > _LONGEST_LABEL or _TALK.search(text):
        return False
    return not any(map(str.isalpha, text)) or text.endswith(_LABEL_ENDS) or bool(_ORDER.search(text))


def _closed(line: str, start: int) -> tuple[str, str]:
    """What stands in a call's brackets, and behind them; all of the line if they are not closed in it."""
    depth = 1
    for match in _STRING_OR_BRACKET.finditer(line, start):
        depth += _NESTS.get(match[0], 0)
        if depth == 0:
            return line[start : match.start()], line[match.end() :]
    return line[start:], ""


def is_valued(arguments: str) -> bool:
    """Whether what stands in a call's brackets are values, or nothing, rather than the names of parameters."""
    return not arguments.strip() or _VALUED.match(arguments) is not None
