"""How a model is held to the plan language: which server it runs on, and what that server takes.

Grammars are no part of OpenAI's chat completions; each server has a field of its own for them, sent as `extra_body`:

| server | field | forms |
|---|---|---|
| `"llama.cpp"` | `grammar` | GBNF; Lark, if it is built with llguidance |
| `"vllm"` | `structured_outputs` | GBNF; Lark with its guidance backend |
| `"sglang"` | `ebnf` | GBNF; Lark with its llguidance backend |

>>> Constraint("vllm").decision(may_replan=False)["extra_body"]["structured_outputs"].keys()
dict_keys(['grammar'])
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

from llmcompiler_graph.core.checking.schema import Schema
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.grammar.decisions import decision_grammar
from llmcompiler_graph.core.grammar.forms import write
from llmcompiler_graph.core.grammar.plans import plan_grammar
from llmcompiler_graph.core.grammar.rules import Form, Rules
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.models.lazy import is_local

__all__ = ("Constrain", "Constraint", "Server", "constraint_for")

Server: TypeAlias = Literal["llama.cpp", "vllm", "sglang"]
"""The servers whose way of taking a grammar is known."""

_KEPT = 16  # grammars; that of first plans is always the same
_writing = threading.Lock()  # who waits for it mostly wants the same grammar


@dataclass(frozen=True, slots=True)
class Constraint:
    """A grammar for every reply, in the form a server takes."""

    server: Server
    """What the model runs on."""
    form: Form = "gbnf"
    """How the grammar is written. Lark is the more exact where it is taken."""
    typed: bool = True
    """Whether references must fit; if not, only names and literals are held to the tools."""
    one_line: bool = False
    """Whether the joiner's answer is one line of at most 4,000 characters: a small model may not end otherwise."""
    brief: bool = False
    """Whether plans are nothing but calls and `join()`, and the joiner writes the answer itself, as `brief` asks."""
    guards: bool = False
    """Whether calls may have guards; `create_llm_compiler(…, guards=True)` turns it on."""
    repetition: bool = False
    """Whether calls may be made again until something holds; `create_llm_compiler(…, repetition=True)` turns it on."""
    _written: dict[str, dict[str, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what no server takes."""
        for what, given, known in (("server", self.server, get_args(Server)), ("form", self.form, get_args(Form))):
            if given not in known:
                msg = f"a constraint's {what} must be {', '.join(map(repr, known))}, not {given!r}"
                raise ConfigurationError(msg)

    def plan(
        self,
        tools: Iterable[ToolSpec],
        *,
        first: int = 1,
        max_tasks: int | None = None,
        again: Sequence[int] = (),
        earlier: Mapping[int, tuple[ToolSpec, Schema]] | None = None,
    ) -> dict[str, Any]:
        """Hold a reply to the plan language; the arguments are those of `plan_grammar`.

        A grammar without states can take seconds for many tools; in a coroutine, call this through `asyncio.to_thread`.
        The last ones are kept.
        """
        return self._fitting(list(tools), first=first, max_tasks=max_tasks, again=again, earlier=earlier)

    def decision(self, *, may_replan: bool, may_finish: bool = True) -> dict[str, Any]:
        """Hold a reply to the form of the joiner's."""
        rules = decision_grammar(may_replan=may_replan, may_finish=may_finish, one_line=self.one_line, brief=self.brief)
        return self.reply(rules)

    def decision_with_plan(
        self,
        tools: Iterable[ToolSpec],
        *,
        may_finish: bool = True,
        first: int = 1,
        max_tasks: int | None = None,
        earlier: Mapping[int, tuple[ToolSpec, Schema]] | None = None,
    ) -> dict[str, Any]:
        """Hold a reply to the form of the joiner's, with the next plan below a replan; arguments as for `plan`."""
        whole = partial(_with_decision, may_finish=may_finish, one_line=self.one_line, brief=self.brief)
        return self._fitting(list(tools), whole, first=first, max_tasks=max_tasks, earlier=earlier)

    def _fitting(self, tools: list[ToolSpec], whole: Callable[[Rules], Rules] = dict, **about: Any) -> dict[str, Any]:
        key = repr((tools, whole, about))
        with _writing:
            if key not in self._written:
                about |= {"brief": self.brief, "guards": self.guards, "repetition": self.repetition}
                rules = plan_grammar(tools, typed=self.typed, phased=self.form != "lark", **about)
                if len(self._written) >= _KEPT:
                    self._written.clear()
                self._written[key] = self.reply(whole(rules))
            return self._written[key]

    def reply(self, rules: Rules) -> dict[str, Any]:
        """Hold a reply to any grammar: what to call the model with."""
        return {"extra_body": _field(self.server, write(rules, self.form))}


def _field(server: Server, grammar: str) -> dict[str, Any]:
    """Where in a request's body a server takes a grammar."""
    match server:
        case "llama.cpp":
            return {"grammar": grammar}
        case "vllm":
            return {"structured_outputs": {"grammar": grammar}}
        case "sglang":
            return {"ebnf": grammar}


def _with_decision(plan: Rules, *, may_finish: bool, one_line: bool, brief: bool) -> Rules:
    return decision_grammar(may_replan=True, may_finish=may_finish, plan=plan, one_line=one_line, brief=brief)


Constrain: TypeAlias = Literal["auto"] | Server | Constraint | None
"""What `create_llm_compiler` takes."""


def constraint_for(constrain: Constrain, model: object) -> Constraint | None:
    """What to hold a model to.

    Args:
        constrain: A server's name or a constraint; `"auto"` for a constraint if the model is the embedded one; `None`
            for none.
        model: What `create_llm_compiler` was given.

    Raises:
        ConfigurationError: No server is known by that name.
    """
    match constrain:
        case Constraint() | None:
            return constrain
        case "auto":
            return Constraint("llama.cpp", "lark", one_line=True) if is_local(model) else None
        case _ if constrain in get_args(Server):
            return Constraint(constrain)
        case _:
            known = ", ".join(map(repr, ("auto", *get_args(Server))))
            msg = f"constrain must be {known}, a Constraint or None, not {constrain!r}"
            raise ConfigurationError(msg)
