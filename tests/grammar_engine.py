"""A real grammar engine, llguidance: what it accepts, and texts it lets a model write."""

from __future__ import annotations

from functools import cache
from random import Random

from llguidance import LLMatcher, LLTokenizer
from llguidance.gbnf_to_lark import any_to_lark

from llmcompiler_graph.core.grammar.rules import Form

__all__ = ("EngineLimitError", "accepts", "sentence")

_CLOSERS = frozenset(b'")}],$')


class EngineLimitError(Exception):
    """A grammar is right, and too large for the engine."""


@cache
def _tokenizer() -> LLTokenizer:
    return LLTokenizer("byte")


@cache
def _begun(grammar: str, form: Form) -> LLMatcher:
    """A matcher that has read nothing; to read, copy it, which takes a twentieth of the time."""
    made = LLMatcher.grammar_from_lark(grammar if form == "lark" else any_to_lark(grammar))
    assert (wrong := LLMatcher.validate_grammar(made, _tokenizer())) == "", wrong
    return LLMatcher(_tokenizer(), made)


def accepts(grammar: str, form: Form, text: str) -> bool:
    """Whether a text matches a grammar."""
    matcher = _begun(grammar, form).deep_copy()
    data = text.encode()
    return matcher.try_consume_tokens(list(data)) == len(data) and matcher.is_accepting()


def sentence(grammar: str, form: Form, random: Random, most: int | None = None) -> str:
    """Let a random model write, held to a grammar; what closes something is likelier than other characters.

    A text that nothing closes ends only by `most`, its number of bytes.
    """
    matcher = _begun(grammar, form).deep_copy()
    written = bytearray()
    while not matcher.is_stopped() and len(written) != most:
        mask = matcher.compute_bitmask()
        if "Too many items" in matcher.get_error():
            raise EngineLimitError
        assert not matcher.is_error(), matcher.get_error()
        allowed = [byte for byte in range(256) if mask[byte // 8] >> byte % 8 & 1]
        allowed = [byte for byte in allowed if byte < 128] or allowed
        if not allowed:
            assert matcher.is_accepting()
            break
        if len(allowed) > 1 and ord("j") in allowed and random.random() < 0.7:
            allowed.remove(ord("j"))  # the plan goes on
        closers = [byte for byte in allowed if byte in _CLOSERS]
        byte = random.choice(closers if closers and random.random() < 0.5 else allowed)
        assert matcher.consume_token(byte)
        written.append(byte)
    return written.decode()
