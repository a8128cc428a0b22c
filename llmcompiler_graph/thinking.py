r"""What a reasoning model thinks before its reply, taken out of it: some servers leave it in the text.

Qwen3, R1 and their like begin with `<think>`. What stands up to `</think>`, and white space below it, is neither plan
nor answer:

>>> reply = WithoutThinking()
>>> [reply.feed(piece) for piece in ("\n<thi", "nk>2. is it?</thin", "k>\n", "1. search(", "K2)")]
['', '', '', '1. search(', 'K2)']

A reply that begins with anything else is passed on at once, as it is. So one whose `<think>` the server wrote into the
prompt, and that has only `</think>`, is not recognised: every reply would have to wait for its end.

May know: nothing of the package.
"""

from __future__ import annotations

__all__ = ("WithoutThinking",)

_OPENS, _CLOSES, _REPLY = "<think>", "</think>", "reply"


class WithoutThinking:
    """Reads one reply as it arrives."""

    def __init__(self) -> None:
        self._held = ""  # what may be the beginning of a tag, or white space
        self._awaited = _OPENS  # a tag, the reply itself after one, or nothing: all that comes is reply

    def feed(self, text: str) -> str:
        """Take more of the reply; return what is surely no thinking."""
        if not self._awaited:
            return text
        self._held += text
        if self._awaited == _OPENS:
            begun = self._held.lstrip()
            if begun.startswith(_OPENS):
                self._held, self._awaited = begun.removeprefix(_OPENS), _CLOSES
            elif not _OPENS.startswith(begun):
                return self.close()
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
        rest = self._held if self._awaited == _OPENS else ""
        self._awaited = ""
        return rest
