"""How every ReAct prompt begins; the worked examples of a benchmark follow."""

from __future__ import annotations

__all__ = ("REACT",)

REACT = """\
Answer the question by turns of thought, action and observation. A thought says what is known and what is needed next; \
an action is one call of one tool; an observation is what it returned. When the answer is known, give it.
"""
