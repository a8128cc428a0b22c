"""Texts for the fuzzers: words that mean something to a parser, in any order, and real replies that were changed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from tests.core.language.test_parser import NASTY

__all__ = ("DECISION_WORDS", "PARSER_WORDS", "broken_reply", "cuts", "text_of")

TESTS = Path(__file__).resolve().parents[1]

PARSER_WORDS = (
    *NASTY,
    *("\n", "\n", " ", "f", "search", "join", "[", "]", "{", "}", ", ", "'", "`", "- ", "\ufeff", "\x1b[2J", "\u200b"),
    *(
        '"name": "f"',
        '"arguments": ',
        '{"x": "$1"}',
        "[f(1), b(2)]",
        '["f(1)"]',
        "Action: f(",
        "1. x = f(",
        "2. f(x=$1",
    ),
    *("Thought: ", "<|python_tag|>", "[TOOL_CALLS]", "```json\n", ">>>f\n", "multi_tool_use.parallel(", "tool: f\n"),
    *(
        "| 1 | f | x=1 |\n",
        "<f>",
        "</f>",
        '<invoke name="f">',
        "for example:\n",
        "You could write:\n",
        "f: x\n",
        "f --x 1\n",
        "print(",
        "<think>",
        "</think>",
    ),
    *('"""', "'''", "\\'", "#E2", "{1}", "$task1", "lambda: 0", "*[1]", "**{}", "1_000", "0x1F", "1e999", "-0", "1j"),
    *(
        "f(f(1))",
        "a-b-c",
        "[[[[",
        "f'{x}'",
        "b'x'",
        "x for x in y",
        "not ",
        "None",
        "NaN",
        "Infinity",
        "true",
        "9" * 30,
    ),
    *(
        " when ",
        " if ",
        " until ",
        " unless ",
        "if $1 > 2:\n",
        "else:\n",
        "for x in $1:\n",
        " max 3",
        " > 2",
        " == ",
        "    ",
    ),
    *("\U0001f600", "e\u0301", "\u202e", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\u3000", "\uff04\uff11"),
)
DECISION_WORDS = (
    *("Thought: ", "Action:", "Action: ", "Finish", "finish: ", "Finish(", "Replan", "REPLAN: ", "Replan(", "Answer: "),
    *(
        "Final answer:",
        "### Answer\n",
        "**Answer**\n",
        "# Thought\n",
        "<blockquote>",
        "</blockquote>",
        "<page>\n",
        "</page>",
        "\n",
        "\n",
        "\r\n",
        " ",
        "  ",
        ".",
        "*",
        "**",
        "`",
        "```",
        "```\n",
        "~~~\n",
        "_",
        "-",
        "- ",
        "# ",
    ),
    *("> ", "1. ", ":", "\u00a0", "é", "(", ")", ") ", "a", "b (c)", "1) ", "42", "<", "<END_", "<END_OF_RESPONSE>"),
    *('<END_OF_PLAN>"', '"', ' "', '" ', '"\n', "\u201c", "\u201d", "\u300c", "\u300d", "\uff1a", "\uff08", "\uff09"),
    *(
        "<p>\n",
        "</p>\n",
        "    ",
        "\t",
        ". Replan: ",
        ". Finish: b",
        "\nFinish: c\n",
        "\nReplan: d\n",
        "完成：",
        "重新规划",
    ),
    *(
        "2. look(1)\n",
        '1. search("K2")\n',
        "join()",
        "<think>",
        "</think>",
        "\x1b[2J",
        "\u2028",
        "\ud800",
        "<|im_end|>",
    ),
    *('{"action": "Finish"}', '{"name": "search"}', "[search(1)]", "Observation: ", "Finish\n", "**Finish:** ", "||"),
)


@cache
def replies() -> tuple[str, ...]:
    """Whole replies of the tests' own corpora."""
    found: list[str] = []
    for path in sorted((TESTS / "replies").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        parts = text.split("\n----\n") if path.stem == "talk" else text.split("#### ")
        found += [part.partition("\n")[2].partition("\n==>")[0] if path.stem != "talk" else part for part in parts]
    for path in sorted((TESTS / "core/language/plans").rglob("*.plan")):
        found.append(path.read_text(encoding="utf-8"))
    return tuple(filter(None, found))


def text_of(words: tuple[str, ...], random: Random) -> str:
    """Some words, one of them now and then many times."""
    chosen = [random.choice(words) for _ in range(random.randint(1, 18))]
    if random.random() < 0.05:
        chosen[random.randrange(len(chosen))] *= random.randint(2, 200)
    if random.random() < 0.1:
        chosen.insert(
            random.randrange(len(chosen) + 1), chr(random.choice([random.randrange(0x250), random.randrange(0x110000)]))
        )
    return "".join(chosen)


def broken_reply(words: tuple[str, ...], random: Random) -> str:
    """A real reply, changed in a few places."""
    text = random.choice(replies())
    for _ in range(random.randint(1, 4)):
        start = random.randrange(len(text) + 1)
        end = min(len(text), start + random.choice([0, 1, 1, 3, 20]))
        match random.randrange(4):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:end] + text[start:end] + text[end:]
            case 2:
                text = text[:start] + random.choice(words) + text[end:]
            case _:
                other = random.choice(replies())
                text = text[:start] + other[random.randrange(len(other)) :]
    return text[:3000]


def cuts(text: str, random: Random) -> list[int]:
    """Where a text is cut."""
    return sorted(random.randint(0, len(text)) for _ in range(random.randint(1, 6)))
