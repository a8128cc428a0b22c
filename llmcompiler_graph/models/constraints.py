"""How a model is held to the plan language: which server it runs on, and what that server takes.

Grammars are no part of OpenAI's chat completions; each server has a field of its own for them, sent as `extra_body`.
OpenAI's takes them as the format of a tool's input (see `custom_tool`; this was not tried there):

| server | field | forms |
|---|---|---|
| `"llama.cpp"` | `grammar` | GBNF; Lark, if it is built with llguidance |
| `"vllm"` | `structured_outputs` | GBNF, regex; Lark with its guidance backend |
| `"sglang"` | `ebnf` or `regex` | GBNF, regex; Lark with its llguidance backend |
| `"openai"` | `tools` | Lark, regex; untyped, since it refuses what is too complex |

>>> Constraint("vllm", "regex").decision(may_replan=False)["extra_body"]["structured_outputs"].keys()
dict_keys(['regex'])
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
from llmcompiler_graph.core.grammar.forms import lark, write
from llmcompiler_graph.core.grammar.plans import plan_grammar
from llmcompiler_graph.core.grammar.rules import Form, Rules
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.models.custom_tool import reply_tool
from llmcompiler_graph.models.lazy import is_local

__all__ = ("Constrain", "Constraint", "Server", "constraint_for")

Server: TypeAlias = Literal["llama.cpp", "vllm", "sglang", "openai"]
"""The servers whose way of taking a grammar is known."""

_KEPT = 16  # grammars; that of first plans is always the same
_writing = threading.Lock()  # who waits for it mostly wants the same grammar


@dataclass(frozen=True, slots=True)
class Constraint:
    """A grammar for every reply, in the form a server takes."""

    server: Server
    """What the model runs on."""
    form: Form | None = None
    """How the grammar is written; in GBNF if not given, for OpenAI in Lark. Lark is the most exact where it is taken, a
    regular expression the largest."""
    typed: bool = True
    """Whether references must fit; if not, and on OpenAI's servers, only names and literals are held to the tools."""
    one_line: bool = False
    """Whether the joiner's answer is one line of at most 4,000 characters: a small model may not end otherwise."""
    _written: dict[str, dict[str, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what no server takes."""
        for what, given, known in (("server", self.server, get_args(Server)), ("form", self._form, get_args(Form))):
            if given not in known:
                msg = f"a constraint's {what} must be {', '.join(map(repr, known))}, not {given!r}"
                raise ConfigurationError(msg)
        if (self.server, self.form) == ("llama.cpp", "regex"):
            msg = "llama.cpp takes no regular expression: use the form 'gbnf'"
            raise ConfigurationError(msg)
        if (self.server, self.form) == ("openai", "gbnf"):
            msg = "OpenAI takes no GBNF: use the form 'lark'"
            raise ConfigurationError(msg)

    @property
    def _form(self) -> Form:
        return self.form or ("lark" if self.server == "openai" else "gbnf")

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

        A regular expression that would be too long is untyped. A grammar without states can take seconds for many
        tools; in a coroutine, call this through `asyncio.to_thread`. The last ones are kept.

        Raises:
            ConfigurationError: The tools are too many for a regular expression.
        """
        return self._fitting(list(tools), first=first, max_tasks=max_tasks, again=again, earlier=earlier)

    def decision(self, *, may_replan: bool, may_finish: bool = True) -> dict[str, Any]:
        """Hold a reply to the form of the joiner's."""
        return self._settings(decision_grammar(may_replan=may_replan, may_finish=may_finish, one_line=self.one_line))

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
        whole = partial(_with_decision, may_finish=may_finish, one_line=self.one_line)
        return self._fitting(list(tools), whole, first=first, max_tasks=max_tasks, earlier=earlier)

    def _fitting(self, tools: list[ToolSpec], whole: Callable[[Rules], Rules] = dict, **about: Any) -> dict[str, Any]:
        key, problem = repr((tools, whole, about)), ""
        with _writing:
            if key in self._written:
                return self._written[key]
            for typed in (True, False) if self.typed and self.server != "openai" else (False,):
                rules = plan_grammar(tools, typed=typed, phased=self._form != "lark", **about)
                try:
                    written = self._settings(whole(rules))
                except ValueError as error:
                    problem = str(error)
                    continue
                if len(self._written) >= _KEPT:
                    self._written.clear()
                self._written[key] = written
                return written
        raise ConfigurationError(problem)

    def _settings(self, rules: Rules) -> dict[str, Any]:
        """What to call the model with."""
        form = self._form
        if self.server == "openai":
            return reply_tool(form, lark(rules, plain=True) if form == "lark" else write(rules, form))
        text = write(rules, form)
        match self.server:
            case "llama.cpp":
                body: dict[str, Any] = {"grammar": text}
            case "vllm":
                body = {"structured_outputs": {"regex" if form == "regex" else "grammar": text}}
            case "sglang":
                body = {"regex" if form == "regex" else "ebnf": text}
        return {"extra_body": body}


def _with_decision(plan: Rules, *, may_finish: bool, one_line: bool) -> Rules:
    return decision_grammar(may_replan=True, may_finish=may_finish, plan=plan, one_line=one_line)


Constrain: TypeAlias = Literal["auto"] | Server | Constraint | None
"""What `create_llm_compiler` takes."""


def constraint_for(constrain: Constrain, model: object) -> Constraint | None:
    """What to hold a model to.

    Args:
        constrain: A server's name or a constraint; `"auto"` for one where the model is known to take it, the embedded
            one that is; `None` for none.
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
