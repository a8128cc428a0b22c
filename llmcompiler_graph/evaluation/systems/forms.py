r"""The forms in which the rival systems are told to write, as grammars: what `constrain=true` holds a model to.

    turn: `Thought: …`, then `Action: tool(arguments)` (ReAct: one; parallel calls: several), or `Answer: …`
    evidence_plan: `#E1 = tool(arguments)` and so on, each behind its `Plan: …` if it has one
    steps: `1. …`, `2. …`, or `Answer: …`
    fenced_program: one fenced program, or `Thought: …` and `Answer: …`
    conclusion: `Thought: …` and `Answer: …`

Calls are held to what LLMCompiler's are: the tools' names, their arguments by name, constants of their types, and in
plans references to earlier evidence that fits. Of a program only the fence is held, no word of the Python in it.
Thoughts, steps and answers are lines, as long as LLMCompiler's joiner may write them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmcompiler_graph import ConfigurationError, Constraint
from llmcompiler_graph.core.grammar.notation import PLAN, Notation
from llmcompiler_graph.core.grammar.plans import plan_grammar
from llmcompiler_graph.core.grammar.rules import Alt, Chars, Node, Repeat, Rules, Seq, Use, expanded, optional
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.evaluation.records import Model
from llmcompiler_graph.models.constraints import constraint_for

__all__ = ("Held", "conclusion", "evidence_plan", "fenced_program", "held", "steps", "turn")

_MOST_ACTIONS = 16  # of a turn
_MOST_STEPS = 16
_MOST_LINES = 80  # of a program
_INSIDE = r"^\x00-\x1f\x7f-\x9f"  # of a line: no control characters
_BEGIN = r"^\x00-\x20\x7f-\xa0"  # what a line does not begin with: blanks, which are cut off


def _line(most: int, without: str = "") -> Node:
    """A line that says something."""
    return Seq((Chars(f"{_BEGIN}{without}"), Repeat(Chars(f"{_INSIDE}{without}"), 0, most - 1)))


_THOUGHT = Seq(("Thought: ", _line(240), "\n"))
_ANSWER = Seq(("Answer: ", _line(4000)))


@dataclass(frozen=True, slots=True)
class Held:
    """How replies are held to a form, if they are."""

    constraint: Constraint | None
    """What the model's server takes; `None` where replies are free."""

    def to(self, form: Callable[..., Rules], *given: Any, **more: Any) -> dict[str, Any]:
        """The settings of a call whose reply has a form; the arguments are the form's."""
        return {} if self.constraint is None else self.constraint.reply(form(*given, **more))


def held(model: Model, *, constrain: bool) -> Held:
    """Whether and how a model's replies are held to a form.

    Raises:
        ConfigurationError: They are to be, and the model is not the embedded one.
    """
    constraint = constraint_for("auto", model) if constrain else None
    if constrain and constraint is None:
        msg = (
            "constrain=true needs a model that takes grammars, as the embedded one does: "
            "choose it (--model local), or leave constrain out"
        )
        raise ConfigurationError(msg)
    return Held(constraint)


def conclusion() -> Rules:
    """A thought and the answer."""
    return {"root": Seq((_THOUGHT, _ANSWER))}


def turn(tools: Sequence[ToolSpec], *, one_call: bool) -> Rules:
    """A turn of a loop: a thought, then one action, or several, or the answer.

    Where a turn may have several actions it may have no thought, as in the examples of that form.
    """
    thought = _THOUGHT if one_call else optional(_THOUGHT)
    if not tools:
        return {"root": Seq((thought, _ANSWER))}
    call = expanded(plan_grammar(tools, again=[1], notation=replace(PLAN, begin=lambda _: "Action: ")))
    rules = {"action" if name == "root" else name: node for name, node in call.items()}
    more = () if one_call else (Repeat(Seq(("\n", Use("action"))), 0, _MOST_ACTIONS - 1),)
    return {"root": Seq((thought, Alt((Seq((Use("action"), *more)), _ANSWER)))), **rules}


_EVIDENCE = Notation(
    begin=lambda index: Seq((optional(Use("purpose")), f"#E{index} = ")),
    joins=False,
    mark="#",
    bare="#E",
    opening="#E",
    closing="",
    after=Alt((Chars(" ';:!?)/%-"), Seq((Chars(".,"), " ")))),
    literal=Seq(("#", Chars(r'^E#"\\\x00-\x1f'))),
    escape=str,
)


def evidence_plan(tools: Sequence[ToolSpec]) -> Rules:
    """A plan of ReWOO: evidence numbered in order, each referring to earlier evidence that fits.

    A text cannot hold `#E` where it is none: ReWOO has no other spelling for it.
    """
    if not tools:
        return {"root": Seq(("Plan: ", _line(240)))}
    return {**plan_grammar(tools, notation=_EVIDENCE), "purpose": Seq(("Plan: ", _line(240), "\n"))}


def steps(*, may_go_on: bool = True) -> Rules:
    """Numbered steps, or the answer; the answer alone, if no step may follow."""
    step = Seq((Chars("1-9"), optional(Chars("0-9")), ". ", _line(400)))
    plan = Seq((Use("step"), Repeat(Seq(("\n", Use("step"))), 0, _MOST_STEPS - 1)))
    return {"root": Alt((plan, _ANSWER)), "step": step} if may_go_on else {"root": _ANSWER}


def fenced_program(*, is_first: bool) -> Rules:
    """A program in its fence, behind a thought or none; or, but at first, a thought and the answer."""
    thought = Seq(("Thought: ", _line(240, "`"), "\n"))  # no fence
    code = Seq((optional(Seq((Repeat(Chars(" "), 0, 40), Chars(r"^ \t\n`"), Repeat(Chars(r"^\n"), 0, None)))), "\n"))
    fenced = Seq((optional(thought), "```python\n", Repeat(Use("line"), 1, _MOST_LINES), "```"))
    return {"root": fenced if is_first else Alt((fenced, Seq((thought, _ANSWER)))), "line": code}
