r"""What a reasoning model thinks before its reply, taken out of it: some servers leave it in the text.

Qwen3, R1 and their like begin with `<think>`. What stands up to `</think>`, and white space below it, is neither plan
nor answer:

>>> reply = WithoutThinking()
>>> [reply.feed(piece) for piece in ("\n<thi", "nk>2. is it?</thin", "k>\n", "1. search(", "K2)")]
['', '', '', '1. search(', 'K2)']

Where the chat template writes `<think>` into the prompt, as those of R1 and of Qwen3's thinking models do, a reply has
only `</think>`, and what comes before cannot be told from a plan or an answer. A reply that begins with anything but
`<think>` is passed on at once all the same: else every other model's would have to wait for its end. So a thought
without a beginning is recognised by a `</think>` that begins a line, as these models write it,

- in a reply that comes whole, or whose first piece has the end of the thought;
- in every reply of a model after one that had such an end (`opened`): these are held back up to it, or to their
  end if none comes.

The first such reply that is streamed is passed on with its thought: tasks that it has there are tasks of the plan.

>>> WithoutThinking().feed("is it?\n</think>\n\n1. search(K2)")
'1. search(K2)'

May know: nothing of the package.
"""

from __future__ import annotations

__all__ = ("WithoutThinking", "without_thinking")

_OPENS, _CLOSES, _UNOPENED, _REPLY = "<think>", "</think>", "unopened", "reply"
_ENDS = f"\n{_CLOSES}"  # a thought whose beginning was not seen


def without_thinking(text: str) -> str:
    """Take a thought without a beginning out of a whole reply."""
    before, closed, rest = f"\n{text}".partition(_ENDS)
    return rest.lstrip() if closed and _OPENS not in before else text


class WithoutThinking:
    """Reads one reply as it arrives.

    Args:
        opened: Whether the thought has probably begun before the reply.
    """

    def __init__(self, *, opened: bool = False) -> None:
        self.opened = opened
        """Whether this reply, or one before it, had a thought that had begun before it."""
        self._held = ""  # what may be the beginning of a tag, a thought or white space
        self._awaited = _OPENS  # a tag, the end of a thought, the reply after one, or nothing: all that comes is reply
        self._seen: str | None = "\n"  # the end of what was passed on, while it may have a thought without a beginning

    def feed(self, text: str) -> str:
        """Take more of the reply; return what is surely no thinking, or cannot be told from a reply."""
        if not self._awaited:
            return self._passed_on(text)
        self._held += text
        if self._awaited == _OPENS:
            begun = self._held.lstrip()
            if begun.startswith(_OPENS):
                self._held, self._awaited, self._seen = begun.removeprefix(_OPENS), _CLOSES, None
            elif not _OPENS.startswith(begun):
                if not self.opened and without_thinking(self._held) is self._held:
                    return self.close()
                self._awaited, text = _UNOPENED, self._held
        if self._awaited == _UNOPENED:
            begun = f"\n{self._held}"
            end = begun.find(_ENDS, max(0, len(begun) - len(text) - len(_ENDS)))
            if end >= 0:
                self._held, self._awaited = begun[end + len(_ENDS) :], _REPLY
                self.opened, self._seen = True, None
        if self._awaited == _CLOSES:
            _, closed, rest = self._held.partition(_CLOSES)
            self._held = rest if closed else self._held[1 - len(_CLOSES) :]
            self._awaited = _REPLY if closed else _CLOSES
        if self._awaited == _REPLY and (reply := self._held.lstrip()):
            self._awaited = ""
            return reply
        return ""

    def close(self) -> str:
        """Say that the reply is complete; return what turned out to be no thinking."""
        rest = self._held if self._awaited in (_OPENS, _UNOPENED) else ""
        self._awaited = ""
        return self._passed_on(rest)

    def _passed_on(self, text: str) -> str:
        """Note whether a thought ends in what is passed on."""
        if self._seen is not None:
            before, closed, _ = (self._seen + text).partition(_ENDS)
            self.opened = self.opened or bool(closed and _OPENS not in before)
            self._seen = None if closed or _OPENS in before else before[1 - len(_ENDS) :]
        return text
