r"""What a reasoning model thinks besides its reply, taken out of it: some servers leave it in the text.

Each family of models has tags of its own for that, as `THINKING_TAGS` lists them. What stands between two of them is
neither plan nor answer, and no call in it is made:

>>> reply = WithoutThinking()
>>> [reply.feed(piece) for piece in ("\n<thi", "nk>2. is it?</thin", "k>\n", "1. search(", "K2)")]
['', '', '', '1. search(', 'K2)']

A tag begins a thought

- where a reply, one of its lines or a sentence begins, or where its line ends behind the tag. Such a thought goes on to
  the tag that ends it or, without one, to the end of the reply;
- within a sentence only if the tag that ends it follows on a later line: else the reply talks about tags.

In quotes and in inline code a tag is text; in an answer also in a block quote, between tags such as `<blockquote>` and
in a code fence, unless the whole reply stands in that.

Where the chat template writes the first tag into the prompt, as those of R1 and of Qwen3's thinking models do, a reply
has only the last one. A pair whose first tag is empty says so: each reply is then held back up to the last tag, or to
its end if there is none. Without such a pair the reply is passed on at once, since it cannot be told from a thought.
If a line then begins with a last tag, all that came before was a thought, and `unopened` says so.

>>> reply = WithoutThinking()
>>> [(reply.feed(piece), reply.unopened) for piece in ("is it ", "K2?\n</think>\n\n1. search(K2)")]
[('is it ', None), ('1. search(K2)', 'K2?\n</think>')]

May know: nothing of the package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Literal, NamedTuple, TypeAlias

from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("THINKING_TAGS", "WithoutThinking")

_NAMES = (
    *("think", "thinking", "thought", "thoughts", "reason", "reasoning", "reflect", "reflection", "analysis"),
    *("scratchpad", "inner_thoughts", "inner_monologue", "internal_monologue", "monologue", "antthinking"),
    *("seed:think", "mm:think", "longcat_think"),
)
THINKING_TAGS: tuple[tuple[str, str], ...] = (
    *((f"<{name}>", f"</{name}>") for name in _NAMES),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    ("<|channel|>analysis<|message|>", "<|end|>"),  # gpt-oss
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThinker, Sky-T1
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ("<unused94>thought", "<unused95>"),  # MedGemma
    ("[unused16]", "[unused17]"),  # Pangu
)
"""The tags before and after a thought, in any case of letters."""

# What stands around the reply itself. An end is left out only behind its beginning.
_AROUND = {
    "<|start|>assistant": "",
    "<|channel|>final<|message|>": "<|return|>",
    "<|channel|>final <|constrain|>json<|message|>": "<|return|>",
    "<|channel|>commentary<|message|>": "<|end|>",
    "<|start_response|>": "<|end_response|>",
    "<|begin_of_solution|>": "<|end_of_solution|>",
}
_AROUND_AFTER_THOUGHT = {f"<{name}>": f"</{name}>" for name in ("answer", "response", "output", "solution")}
_QUOTE_NAMES = ("blockquote", "pre", "q", "quote")
_QUOTES = {form: name for name in _QUOTE_NAMES for form in (f"<{name}>", f"<{name} ", f"</{name}>")}
"""The tags of what is quoted in an answer, up to their attributes."""
_NOT_OF_THOUGHTS = frozenset({"<|end|>"})  # ends whatever a model writes
_SENTENCE_ENDS = ".!?;)…。！？；）"
_SPACE = lazy_pattern(r"\s*")
_LONGEST_FENCE = 60  # a run of more signs is several
_LINE_ENDS = lazy_pattern(r"[ \t\r]*\n")
_OF_TAGS = ("begin", "end", "unwrap")  # groups of `within`
_QUOTE_OPENS_BEHIND = " \t([{,=:"

_State: TypeAlias = Literal["prompt", "first", "text", "thought", "doubt"]


class _Tags(NamedTuple):
    """The tags to look for, in small letters, as patterns."""

    begins: dict[str, str]
    """`{tag that begins a thought: tag that ends it}`."""
    around: dict[str, str]
    """The same for what stands around a reply."""
    first: re.Pattern[str]
    """What may stand where a reply begins."""
    within: re.Pattern[str]
    """What counts within a reply, by the name of its group."""
    ends: dict[str, re.Pattern[str]]
    """The pattern of each tag that ends a thought."""
    in_prompt: re.Pattern[str] | None
    """What ends a thought that begins in the prompt, if any does."""
    partial: frozenset[str]
    """What may become a tag."""
    starts: re.Pattern[str]
    """How tags begin."""
    plain: re.Pattern[str]
    """Text that begins no tag and has no other sign of those that count within a reply, up to the end of a line."""
    longest: int
    """The length of the longest tag."""


@cache
def _tags(pairs: tuple[tuple[str, str], ...], *, answers: bool) -> _Tags:
    begins = {first.lower(): last.lower() for first, last in pairs if first}
    around = {first: last for first, last in (_AROUND | _AROUND_AFTER_THOUGHT).items() if first not in begins}
    ends = {last.lower() for _, last in pairs}
    unwraps = set(filter(None, around.values()))
    quotes = tuple(_QUOTES) if answers else ()
    every = {*begins, *around, *ends, *unwraps, *quotes}
    in_prompt = [last for first, last in pairs if not first]
    return _Tags(
        begins=begins,
        around=around,
        first=_pattern(f"(?P<begin>{_any(begins)})|(?P<around>{_any(around)})|(?P<end>{_any(ends)})"),
        within=_within(begins, ends, unwraps, quotes),
        ends={last: _pattern(re.escape(last)) for last in ends},
        in_prompt=_pattern(_any(in_prompt)) if in_prompt else None,
        partial=frozenset(tag[:n] for tag in every for n in range(1, len(tag))),
        starts=_pattern(_any({tag[0] for tag in every})),
        plain=_pattern(rf"[^{re.escape(''.join({tag[0] for tag in every}))}\\\n\"'`~]*+\n?"),
        longest=max(map(len, every)),
    )


def _within(
    begins: Iterable[str], ends: Iterable[str], unwraps: Iterable[str], quotes: Iterable[str]
) -> re.Pattern[str]:
    """What counts within a reply, by the name of its group."""
    words = [last for last in ends if last not in _NOT_OF_THOUGHTS and any(map(str.isalpha, last))]
    signs = (
        f"(?P<begin>{_any(begins)})",
        f"(?P<end>{_any(words)})",
        f"(?P<unwrap>{_any(unwraps)})",
        r"(?P<escape>\\[^\n])",
        r"(?P<triple>\"\"\"|''')",
        rf"(?P<fence>`{{3,{_LONGEST_FENCE}}}|~{{3,{_LONGEST_FENCE}}})",
        r"(?P<quote>[\"'])",
        r"(?P<code>`)",
        r"(?P<line>\n)",
        f"(?P<tag>{_any(quotes)})" if quotes else "",
    )
    return _pattern("|".join(filter(None, signs)))


def _pattern(text: str) -> re.Pattern[str]:
    return lazy_pattern(text, re.IGNORECASE)


def _any(tags: Iterable[str]) -> str:
    """Any of these; of two that begin alike, the longer one."""
    return "|".join(map(re.escape, sorted(tags, key=len, reverse=True))) or r"(?!)"


class WithoutThinking:
    """Reads one reply as it arrives, in work that grows with its length.

    Args:
        pairs: The tags around a thought; an empty first one where thoughts begin in the prompt.
        answers: Whether the reply is the joiner's: an answer may show tags in a code fence, or begin with one.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = THINKING_TAGS, *, answers: bool = False) -> None:
        self.unopened: str | None = None
        """What ended, in the last piece, a thought of which all belongs that was returned before, with the tag."""
        self._tags = _tags(tuple(pairs), answers=answers)
        self._fence_signs = "`~" if answers else "`"
        self._signs = ('"', "'", "\\", *self._fence_signs)  # what may be the beginning of more
        self._sentence_ends = _SENTENCE_ENDS if answers else f"{_SENTENCE_ENDS}:："
        self._held = ""  # what was not passed on yet
        self._at = 0  # where in it to go on
        self._searched = 0  # up to where in it what the state waits for was looked for
        self._state: _State = "first" if self._tags.in_prompt is None else "prompt"
        self._thought = False  # whether one was taken out
        self._end = ""  # the tag that ends it
        self._gap: str | None = None  # what replaces the white space that comes, `None` to keep it
        self._unclosed: set[str] = set()  # tags that end a thought and do not follow
        self._around: set[str] = set()  # tags that end what stands around the reply
        self._line = _Line(answers=answers)

    def feed(self, text: str) -> str:
        """Take more of the reply; return what is surely no thinking, or cannot be told from a reply."""
        if self._state == "text" and not self._held and self._tags.plain.fullmatch(text):  # as most tokens are
            self.unopened = None
            self._line.read(text, 0, len(text) - text.endswith("\n"))
            if text.endswith("\n"):
                self._line.end()
            return text
        held, self._held = self._held, ""
        held += text  # in place, since nothing else holds it
        self._held = held
        return self._read(last=False)

    def close(self) -> str:
        """Say that the reply is complete; return what turned out to be no thinking."""
        return self._read(last=True)

    def _read(self, *, last: bool) -> str:
        self.unopened = None
        out: list[str] = []
        while self._step(out, last=last):
            pass
        if self._at:
            self._held, self._searched, self._at = self._held[self._at :], max(0, self._searched - self._at), 0
        return "".join(out)

    def _step(self, out: list[str], *, last: bool) -> bool:
        """Read on in one state; return whether another follows."""
        match self._state:
            case "prompt":
                return self._begun_in_prompt(last=last)
            case "first":
                return self._first(out, last=last)
            case "text":
                return self._text(out, last=last)
            case "thought":
                return self._to_its_end(last=last)
            case "doubt":
                return self._doubt(out, last=last)

    def _go(self, state: _State, at: int) -> Literal[True]:
        self._state, self._at, self._searched = state, at, at
        return True

    def _begun_in_prompt(self, *, last: bool) -> bool:
        """A thought that has begun before the reply, unless it begins in it, or there is none."""
        assert self._tags.in_prompt is not None
        self._at = _end(_SPACE, self._held, self._at)
        begin = self._tags.first.match(self._held, self._at)
        if begin and not begin["end"]:
            return self._go("first", self._at)
        if end := self._tags.in_prompt.search(self._held, max(self._at, self._searched)):
            self._thought, self._gap = True, ""
            return self._go("first", end.end())
        self._searched = len(self._held) - self._tags.longest
        return last and self._go("first", self._at)

    def _first(self, out: list[str], *, last: bool) -> bool:
        """The beginning of a reply, or of what follows a thought."""
        start = self._searched = _end(_SPACE, self._held, self._searched)
        match = self._tags.first.match(self._held, start)
        if match and self._takes_first(match):
            return True
        if not last and (start == len(self._held) or self._may_become_tag(start)):
            return False
        space = self._spacing(start)
        if "\n" in space:
            self._line.end()
        out.append(space)
        return self._go("text", start)

    def _takes_first(self, match: re.Match[str]) -> bool:
        """Read on behind a tag where a reply begins, unless there it is text."""
        tag = match[0].lower()
        if match["begin"]:
            return self._begin(tag, match.end())
        if match["around"] and (self._thought or tag not in _AROUND_AFTER_THOUGHT):
            self._around.add(self._tags.around[tag])
            self._gap = self._gap or ""
            return self._go("first", match.end())
        once_too_often = bool(match["end"]) and self._thought
        return once_too_often and self._go("first", match.end())

    def _spacing(self, start: int) -> str:
        """The white space before a text that starts there, or what replaces it."""
        space = self._held[self._at : start]
        if self._gap is None:
            return space
        if start == len(self._held):
            return ""
        return self._gap or ("" if self._line.blank else "\n" * ("\n" in space))

    def _text(self, out: list[str], *, last: bool) -> bool:
        """The reply."""
        stop = len(self._held) if last else self._sure_end()
        at = self._at
        while (match := self._tags.within.search(self._held, at, stop)) is not None:
            self._line.read(self._held, at, match.start())
            at, kind = match.end(), match.lastgroup
            if kind in _OF_TAGS and self._is_tag(match, out):
                return True
            self._line.note(kind, match[0])
        self._line.read(self._held, at, stop)
        self._emit(out, stop)
        return False

    def _is_tag(self, match: re.Match[str], out: list[str]) -> bool:
        """Read on in another state behind a tag, unless there it is text."""
        tag, is_protected = match[0].lower(), self._line.is_protected
        match match.lastgroup:
            case "begin" if not is_protected:
                self._emit(out, match.start())
                if self._line.blank or self._line.before in self._sentence_ends:
                    return self._begin(tag, match.end())
                self._end = self._tags.begins[tag]
                return self._end not in self._unclosed and self._go("doubt", match.start())
            case "end" if self._line.blank and not self._thought and not is_protected:
                self._emit(out, match.end())
                self.unopened, self._thought, self._gap = "".join(out), True, ""
                out.clear()
                return self._go("first", match.end())
            case "unwrap" if tag in self._around:
                self._emit(out, match.start())
                self._gap = "" if self._line.blank else "\n"
                return self._go("first", match.end())
        return False

    def _begin(self, tag: str, end: int) -> Literal[True]:
        """Begin a thought."""
        self._gap = "" if self._line.blank else self._gap or ""
        self._thought, self._end = True, self._tags.begins[tag]
        return self._go("thought", end)

    def _to_its_end(self, *, last: bool) -> bool:
        """A thought, of which nothing is kept."""
        match = self._tags.ends[self._end].search(self._held, self._at)
        end = match.end() if match else max(self._at, len(self._held) - (0 if last else len(self._end) - 1))
        if not self._line.blank and "\n" in self._held[self._at : end]:
            self._gap = "\n"
        self._at = end
        return match is not None and self._go("first", end)

    def _doubt(self, out: list[str], *, last: bool) -> bool:
        """What is a thought if it ends on a later line; what is held begins with the tag in doubt."""
        tag = self._tags.within.match(self._held, self._at)
        assert tag is not None
        if _LINE_ENDS.match(self._held, tag.end()):
            self._gap = None
            return self._begin(tag[0].lower(), tag.end())
        match = self._tags.ends[self._end].search(self._held, max(tag.end(), self._searched))
        if match is None and not last:
            self._searched = len(self._held) - len(self._end)
            return False
        if match is None:
            self._unclosed.add(self._end)
        elif self._held.find("\n", tag.end(), match.start()) >= 0:
            self._thought, self._gap = True, "\n"
            return self._go("first", match.end())
        end = (match or tag).end()
        self._line.read(self._held, self._at, end)
        self._emit(out, end)
        return self._go("text", end)

    def _sure_end(self) -> int:
        """Where what is held ends so far, less what may become a tag, an escape, quotes or a fence."""
        size = stop = len(self._held)
        for match in self._tags.starts.finditer(self._held, max(self._at, size - self._tags.longest)):
            if self._may_become_tag(match.start()):
                stop = match.start()
                break
        if stop == size and not self._held.endswith(self._signs, self._at):
            return size
        for sign in ('"', "'") if stop == size else ():
            stop -= self._run(sign, size) % 3
        for sign in self._fence_signs if stop == size else "":
            stop -= self._run(sign, size) % _LONGEST_FENCE
        return stop - self._run("\\", stop) % 2

    def _run(self, sign: str, end: int) -> int:
        """How often a sign stands before some place."""
        if not self._held.endswith(sign, self._at, end):
            return 0
        return end - self._at - len(self._held[self._at : end].rstrip(sign))

    def _may_become_tag(self, start: int) -> bool:
        """Whether what is held from there on is the beginning of a tag."""
        return len(self._held) - start < self._tags.longest and self._held[start:].lower() in self._tags.partial

    def _emit(self, out: list[str], end: int) -> None:
        """Pass on what is held up to there."""
        out.append(self._held[self._at : end])
        self._at = end


class _Line:
    """Where in a line of a reply what comes next stands.

    Args:
        answers: Whether code fences and block quotes count.
    """

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self.blank = True
        """Whether the line has nothing but white space so far."""
        self.before = ""
        """The last character of it that is none."""
        self._last = ""  # the last character
        self._quote = ""  # the quotes that are open, until the line ends
        self._coded = False  # whether inline code is, until the line ends
        self._triple = ""  # the triple quotes that are
        self._fence = ""  # the code fence that is
        self._quoted = False  # whether the line is one of a block quote, where those count
        self._tagged = ""  # the tag between which and its end all is quoted
        self._begun = False  # whether the reply has anything
        self._around = ""  # the fence it begins with, while that is open

    @property
    def is_protected(self) -> bool:
        """Whether a tag is text here."""
        return bool(self._triple or self._quote or self._coded or self._fence or self._quoted or self._tagged)

    def read(self, text: str, start: int, end: int) -> None:
        """Read what has none of the signs below."""
        if start == end:
            return
        if words := text[start:end].strip():
            self._quoted = self._quoted or (self._answers and self.blank and words[0] == ">")
            self.blank, self.before, self._begun = False, words[-1], True
        self._last = text[end - 1]

    def note(self, kind: str | None, sign: str) -> None:
        """Read a sign.

        Args:
            kind: Which: the name of its group.
            sign: What it is.
        """
        if kind == "line":
            self.end()
            return
        last, self._last = self._last, sign[-1]
        if self._triple:
            self._triple = "" if sign == self._triple else self._triple
        else:
            self._open_or_close(kind, sign, last)
        self.blank, self.before, self._begun = False, sign[-1], True

    def _open_or_close(self, kind: str | None, sign: str, last: str) -> None:
        """Let quotes, a fence or inline code begin or end at a sign."""
        match kind:
            case "fence" if self.blank:
                self._read_fence(sign)
            case "triple":
                self._triple = sign
            case "tag" if not (self._quote or self._coded or self._fence):
                name = _QUOTES[sign.lower()]
                if sign[1] != "/":
                    self._tagged = self._tagged or name
                elif name == self._tagged:
                    self._tagged = ""
            case "code" | "fence" if sign[0] == "`":
                self._coded = not self._coded
            case "quote" if self._quote:
                self._quote = "" if sign == self._quote else self._quote
            case "quote" if sign == '"' or not last or last in _QUOTE_OPENS_BEHIND:
                self._quote = sign

    def end(self) -> None:
        """End the line."""
        self.blank, self.before, self._last = True, "", ""
        self._quote, self._coded, self._quoted = "", False, False

    def _read_fence(self, sign: str) -> None:
        if not self._begun:
            self._around = sign
        elif self._fence:
            self._fence = "" if sign.startswith(self._fence) else self._fence
        elif self._around and sign.startswith(self._around):
            self._around = ""
        elif self._answers:
            self._fence = sign


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Where what a pattern matches ends."""
    match = pattern.match(text, start)
    return match.end() if match else start
