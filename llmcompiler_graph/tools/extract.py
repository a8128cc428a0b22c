"""Makes a tool that takes one short value out of prose: a number or a few words, so that other tasks can use it.

A model reads the text, once per call: `2. extract("$1", "height in metres")`, then `3. calculate("$2 * 2")`. What it
gives as a number must stand in the text; what is not there is an error, and never a guess.

>>> from langchain_core.language_models import FakeListChatModel
>>> extract = extract_with(FakeListChatModel(responses=["8,849 m"]), returns=float)
>>> extract.invoke({"text": "Everest rises to 8,849 m above the sea.", "question": "height in metres"})
8849.0
"""

from __future__ import annotations

import math
import re
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import TypeAdapter

_DESCRIPTION = """\
Find one value in a text, by a language model, such as `extract("$1", "height in metres")`.
For prose; the fields of a structured result are had by reference, and sums are for calculation."""
_INSTRUCTIONS = """\
Find the value that is asked for in the text, and reply with that value alone: {form}. Copy it as it stands there; do \
not convert, calculate or explain. If the text does not say, reply: {absent}"""
_ABSENT = "not in the text"
_MAX_QUOTED = 100
"""Characters of a reply that an error message quotes."""

_IS_ABSENT = re.compile(
    r"\W*(?:(?:(?:that|this|it|the (?:text|value|answer)) )?(?:is |was |does |do |has |'s |isn't |doesn't )*"
    r"not (?:in the|say|state|mention|give|contain|found|available|specif|provide|known)"
    r"|(?:n/?a|none|unknown|no (?:answer|value|information))\W*$)",
    re.IGNORECASE,
)
_SCALES = {"thousand": 1e3, "million": 1e6, "mn": 1e6, "billion": 1e9, "bn": 1e9, "trillion": 1e12}
_NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[-+\u2212])?(?P<digits>[0-9]{1,3}(?:[,' \u00a0\u202f][0-9]{3})+(?![0-9])|[0-9]+)"
    r"(?P<fraction>\.[0-9]+)?(?P<exponent>e[-+]?[0-9]{1,3})?(?:[\s-]*(?P<scale>" + "|".join(_SCALES) + r")\b)?"
    r"(?![0-9]|[.,][0-9])",
    re.IGNORECASE,
)
_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)


def extract_with(model: BaseChatModel, *, returns: Any = float | str, name: str = "extract") -> BaseTool:
    """Make the tool `extract(text, question)`, which asks a model.

    Args:
        model: It reads the texts. Its tokens stay out of `stream_mode="messages"`.
        returns: What the tool returns, for plans to be checked by: `str`, `int`, `float`, `bool`, a `Literal` of
            texts, or a union of these. Numbers are understood with units and separators (`"8,849 m"`).
        name: The tool's name.

    Raises:
        TypeError: `returns` is none of these.
    """
    kinds = _kinds(returns)
    form = " or ".join(_form(kind) for kind in kinds)
    system = SystemMessage(_INSTRUCTIONS.format(form=form, absent=_ABSENT))
    quiet = model.with_config(tags=["nostream"])  # LangGraph's word

    def prompt(text: str, question: str) -> list[BaseMessage]:
        return [system, HumanMessage(f"Text:\n{text}\n\nAsked for: {question}")]

    def extract(text: str, question: str) -> Any:
        return _value(quiet.invoke(prompt(text, question)).text, kinds, text, question)

    async def aextract(text: str, question: str) -> Any:
        return _value((await quiet.ainvoke(prompt(text, question))).text, kinds, text, question)

    return StructuredTool.from_function(
        extract,
        aextract,
        name=name,
        description=_DESCRIPTION.replace("extract(", f"{name}("),
        metadata={
            "readOnlyHint": True,
            "idempotentHint": True,
            "outputSchema": TypeAdapter(returns).json_schema(),
        },
    )


def _kinds(returns: Any) -> list[Any]:
    """The alternatives of a return type, the more particular ones first."""
    options = get_args(returns) if get_origin(returns) in (Union, UnionType) else (returns,)
    for option in options:
        texts = get_origin(option) is Literal and all(isinstance(each, str) for each in get_args(option))
        if not texts and option not in (str, int, float, bool):
            msg = f"returns must be str, int, float, bool, a Literal of texts or a union of these, not {returns!r}"
            raise TypeError(msg)
    return sorted(options, key=lambda option: (option is str, option in (float, bool)))


def _form(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, get_args(kind)))
    return {str: "a few words", bool: "yes or no"}.get(kind, "a number")


def _value(reply: str, kinds: list[Any], text: str, question: str) -> Any:
    """Read a reply as one of the types wanted.

    Raises:
        ToolException: It is none, or says that there is no such value, or is a number that is not in the text.
    """
    said = reply.strip().strip("\"'`*").strip()
    if not said or _IS_ABSENT.match(said):
        raise ToolException(f"{question!r} is not in the text")
    for kind in kinds:
        value = _read(said, kind, alone=str in kinds)
        if value is None:
            continue
        if kind in (int, float) and not any(math.isclose(value, each) for each in _numbers(text, all_readings=True)):
            raise ToolException(f"{question!r} is not in the text: the model said {_quoted(said)}, which is not there")
        return value
    wanted = " or ".join(_form(kind) for kind in kinds)
    raise ToolException(f"{question!r} was not found as {wanted}: the model said {_quoted(said)}")


def _read(said: str, kind: Any, *, alone: bool) -> Any:
    """A reply as a value of a type; `None` if it is none.

    Args:
        said: The reply.
        kind: The type.
        alone: Whether a number must stand alone, but for its unit: else the reply is text.
    """
    if kind is str:
        return said
    if kind is bool:
        word = re.match(r"(?:(?P<yes>yes|true)|no|false)\b", said, re.IGNORECASE)
        return None if word is None else word["yes"] is not None
    if get_origin(kind) is Literal:
        return next((each for each in get_args(kind) if each.lower() == said.rstrip(".").lower()), None)
    found = _numbers(said)
    if len(found) != 1 or (alone and not _is_lone_number(said)):
        return None
    (number,) = found
    return kind(number) if kind is float or number.is_integer() else None


def _is_lone_number(said: str) -> bool:
    match = _NUMBER.search(said) or _WORD.search(said)
    assert match is not None
    before, behind = said[: match.start()], said[match.end() :]
    return not re.search(r"\w", before) and len(re.findall(r"[^\W_]+", behind)) <= 2


def _numbers(text: str, *, all_readings: bool = False) -> set[float]:
    """The numbers that stand in a text; where blanks may or may not group digits, on demand both readings."""
    numbers = {float(_WORDS.index(word[0].lower())) for word in _WORD.finditer(text)}
    for match in _NUMBER.finditer(text):
        digits = re.sub(r"[^0-9]", "", match["digits"])
        if all_readings and " " in match["digits"]:
            numbers.update(map(float, match["digits"].split()))
        sign = "-" if match["sign"] in ("-", "\u2212") else ""
        number = float(f"{sign}{digits}{match['fraction'] or ''}{match['exponent'] or ''}")
        numbers.add(number * _SCALES[match["scale"].lower()] if match["scale"] else number)
    return numbers


def _quoted(said: str) -> str:
    return repr(said if len(said) <= _MAX_QUOTED else said[: _MAX_QUOTED - 1] + "…")
