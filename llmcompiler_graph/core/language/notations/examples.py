r"""Calls that a reply only shows, below a line such as `For example:`: they are no plan.

>>> examples = Examples({"search": ["query"]})
>>> examples.read("You could write:")
>>> [examples.call('1. search("K2")', 1), examples.call('2. search("$1")', 1), examples.call('1. search("K1")', 1)]
[('search', 3), ('search', 3), None]

A line that says so in words that can mean nothing else is followed by an example even if its calls have numbers; it
goes on to a line of prose, to the end of the fence around it, or to a task that begins the numbers again or goes on
with those of the plan above. What such a call would do is not known to be wanted, so it is not done; where the reply
has no other task, the planner is told. So it is with calls below `Wrong:`, `Do not write:` and the like, and with those
between the signs of a comment; there, numbers that go on are no tasks either.

May know: `lines`; `calls`, `heads`.
"""

from __future__ import annotations

import re

from llmcompiler_graph.core.language import lines
from llmcompiler_graph.core.language.notations.calls import Tools
from llmcompiler_graph.core.language.notations.heads import other_head, plain_head
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("Examples",)

_SENTENCE = 200  # characters at the end of a line that may say what follows
_EXAMPLE = lazy_pattern(
    r"\b(?:examples?|e\.g|looks? like|would (?:be|look)|previously|earlier|already|instead of|not)\b"
    r"[^:：]*[:：][\s*_]*\Z",
    re.IGNORECASE,
)
_SHOWN = lazy_pattern(
    r"(?:\A|[\s(*_#>`,;.-])(?:"
    r"(?:for (?:example|instance)|e\.\s?g\.?|zum beispiel|z\.\s?b\.?|beispielsweise|par exemple|por ejemplo|por exemplo"
    r"|ad esempio|bijvoorbeeld|например)[:：,，]?"
    r"|(?:an?|another|one|here(?:['’]s| is) the) (?:[^\W\d]+ )?example"
    r"(?: (?:of|for|call|plan|usage|with|how|that)\b[^:：]{0,80})?[:：]"
    r"|(?:you|one|users?|someone|somebody|anyone|people|they|he|she)(?:['’]d| (?:can|could|may|might|would|should))"
    r" (?:\w+ )?(?:write|type|say|call|use|run|try|do|enter|put|invoke|send)"
    r"(?:\b(?![^:：]*\b(?:plan|following|steps?)\b)[^:：.!?]{0,60}[:：])?"
    r"|(?:an?|each|every|typical) (?:\w+ ){1,4}?(?:(?:could|would|might|may|can) look|looks) (?:like|as)\b"
    r"[^:：]{0,20}[:：]"
    r"|if (?:i|we) (?:had|were|wanted|could)\b[^:：]{0,80}[:：])\Z"
    r"|(?:例如|比如|例えば|たとえば|예를 들어)[:：,，]?\Z"
    r"|\A[\s*_#>`-]*(?:examples?|sample|usage|(?:the )?syntax|beispiel|ejemplo|exemple|esempio|exemplo)\b"
    r"[^:：]{0,60}[:：]\Z"
)
_REJECTED = lazy_pattern(
    r"\A[\s*_#>`❌✗-]*(?:"
    r"(?:(?:an?|the) )?(?:wrong|incorrect|bad|invalid|rejected|discarded|abandoned)"
    r"(?: (?:plan|way|example|version|calls?|order|output|one))?"
    r"|(?:do not|don['’]t|never|avoid|not|instead of)(?: (?:write|do|call|use|run|make|plan))?"
    r"(?: (?:this|that|these|it|so|like this|the following))?"
    r"|falsch|nicht so|incorrecto|faux|неправильно|错误|錯誤|不要|誤り)\s*[:：]\Z"
)
_COMMENTS = {"<!--": "-->", "/*": "*/"}
_SHOWN_ENDS = (
    *(":", "：", ",", "，", "example", "instance", "e.g", "e.g.", "例如", "比如", "例えば", "たとえば", "예를 들어"),
    *(
        "beispiel",
        "exemple",
        "ejemplo",
        "exemplo",
        "esempio",
        "beispielsweise",
        "bijvoorbeeld",
        "например",
        "z.b.",
        "z. b.",
    ),
    *("write", "type", "say", "call", "use", "run", "try", "do", "enter", "put", "invoke", "send"),
)


class Examples:
    """Follows, line by line, what of a reply is only shown.

    Args:
        tools: The parameters of each tool.
    """

    def __init__(self, tools: Tools) -> None:
        self.may_follow = False
        """Whether the line above says that what follows is only shown, if it has no number."""
        self.follows = False
        """Whether an example surely follows, or goes on."""
        self._tools = tools
        self._rejected = False  # whether it is said not to do so
        self._last = -1  # the last number in it, 0 if its calls have none, -1 if there was no call yet

    def read(self, line: str) -> None:
        """Read a line that is no call of an example."""
        if lines.FENCE.match(line):
            self.follows = self.follows and self._last < 0
        elif line.strip():
            self.may_follow = bool(_EXAMPLE.search(line, max(0, len(line) - _SENTENCE)))
            if not lines.THOUGHT.match(line):
                self._rejected = _is_rejected(line)
                self.follows, self._last = self._rejected or _is_shown(line), -1

    def call(self, line: str, following: int) -> tuple[str, int] | None:
        """Read the next line, where an example follows.

        Args:
            line: The line.
            following: The number that a task of the plan would go on with.

        Returns:
            The tool it calls and where that stands, without a name if it only ends the example's plan; `None` if it is
            no part of the example.
        """
        if numbered := lines.head_at(line, 0):
            number = int(numbered["index"])
            goes_on = number >= following > 1 and not self._rejected
            if goes_on or self._last == 0 or number <= self._last:
                self.follows = False
                return None
            self._last = number
        if lines.JOIN.match(line):
            return "", 0
        if numbered:
            return numbered["tool"], numbered.start("tool")
        head = other_head(line, 0, self._tools, listed=False, code=True) or plain_head(line, 0, self._tools)
        if head is None:
            return None
        self._last = max(self._last, 0)
        return head.tool, head.start


def _is_shown(line: str) -> bool:
    end = line[-_SENTENCE:].rstrip(" \t\r*_`").lower()
    return end.endswith(_SHOWN_ENDS) and _SHOWN.search(end) is not None


def _is_rejected(line: str) -> bool:
    bare, end = line.strip(), line[-_SENTENCE:].rstrip(" \t\r*_`").lower()
    if any(bare.startswith(begin) and not bare.endswith(close) for begin, close in _COMMENTS.items()):
        return True
    return end.endswith((":", "：")) and _REJECTED.match(end) is not None
