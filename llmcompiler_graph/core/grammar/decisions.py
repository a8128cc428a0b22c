r"""The grammar of the joiner's reply: a thought, then `Finish: …` or `Replan: …`.

An answer of several lines has none that `decision` would take for its end: a line that says `Replan`.

>>> decision_grammar(may_replan=False, one_line=True)["root"].nodes[-1]
Seq(nodes=('Finish: ', Repeat(node=Chars(inside='^\\n'), least=1, most=4000)))

May know: `rules`.
"""

from __future__ import annotations

from llmcompiler_graph.core.grammar.rules import Alt, Chars, Node, Repeat, Rules, Seq, Use

__all__ = ("decision_grammar",)

_LINE = Chars(r"^\n")
_REST = Repeat(_LINE, 0, None)


def decision_grammar(
    *,
    may_replan: bool,
    may_finish: bool = True,
    plan: Rules | None = None,
    one_line: bool = False,
    brief: bool = False,
) -> Rules:
    """Make the grammar of the joiner's reply.

    Args:
        may_replan: Whether it may ask for another plan.
        may_finish: Whether it may answer, if it may also replan.
        plan: That plan's grammar, if it stands below the replan.
        one_line: Whether the answer is one line, and how long that and all the others may be is limited.
        brief: Whether it has neither a thought nor a word before the answer.
    """
    thought, feedback, answer = (Repeat(_LINE, 1, most if one_line else None) for most in (240, 400, 4000))
    finish: Node = Seq(("Finish: ", answer)) if one_line else Seq(("Finish:", _answer()))
    begin: tuple[Node, ...] = ("Thought: ", thought, "\n")
    if brief:
        finish, begin = _below(blank=False) if one_line else _lines(), ()
    if not may_replan:
        return {"root": Seq((*begin, finish))}
    below: tuple[Node, ...] = ("\n", Use("plan")) if plan else ()
    replan: Node = Seq(("Replan: ", feedback, *below))
    root: Node = Seq((*begin, Alt((finish, replan)) if may_finish else replan))
    rules = {"plan" if name == "root" else name: node for name, node in (plan or {}).items()}
    return {"root": root, **rules}


def _answer() -> Node:
    """What stands behind `Finish:`, there or on the lines below."""
    there = Seq((" ", Repeat(_LINE, 1, None)))
    return Alt((Seq((there, _more_lines())), Seq(("\n", _lines()))))


def _lines() -> Node:
    """An answer whose first line is not blank."""
    return Seq((_below(blank=False), _more_lines()))


def _more_lines() -> Node:
    return Repeat(Seq(("\n", _below(blank=True))), 0, None)


def _below(*, blank: bool) -> Node:
    """A line that begins neither with `Replan:` nor with `Action: Replan`, see `decision`."""
    marks = Repeat(Chars(r" \t>#*_`-"), 0, None)
    prose = Seq((Repeat(Chars(r" \t*_`.!"), 0, None), Chars(r"^ \t*_`.!。:：(（\r\n"), _REST))
    replan = Seq((Chars("rR"), _unlike("eplan", prose)))
    signs = Repeat(Chars(r" \t*_`"), 0, None)
    does = Seq((Chars(":："), signs, Alt(("", Seq((Chars(r"^ \t*_`rR\n"), _REST)), replan))))
    action = Seq((Chars("aA"), _unlike("ction", Seq((signs, Alt(("", Seq((Chars(r"^ \t*_`:：\n"), _REST)), does)))))))
    other = Seq((Chars(r"^ \t>#*_`rRaA\n-"), _REST))
    return Seq((marks, Alt((*[""] * blank, other, replan, action))))


def _unlike(word: str, then: Node) -> Node:
    """The rest of a line that may begin with a word, but only if something certain comes then."""
    letter = f"{word[0]}{word[0].upper()}"
    inner = _unlike(word[1:], then) if word[1:] else then
    return Alt(("", Seq((Chars(rf"^{letter}\n"), _REST)), Seq((Chars(letter), inner))))
