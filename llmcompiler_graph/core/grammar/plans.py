r"""The grammar of plans for the tools at hand.

A plan that matches parses and type-checks. Tool and argument names are those of the tools, literals have their
parameter's type, and a reference is to an earlier task and to what fits its place:

- `$1` where the observation itself fits, `${1.height_m}` where that field of it does. In a string, every value fits;
  in an arithmetic expression (a string with the format `arithmetic`, see `expressions.arithmetic`), numbers do.
- Which tool an earlier line calls decides what may be said of it. So tools are told apart by their *kind*, that is, by
  what may be referred to in their observations, and the grammar's state notes the kind of every line.

llguidance follows the state. A form without states has a rule per state, and kinds in any order would make too many
of them: there (`phased`), tasks of one kind stand together, sources first. A task that needs a later kind's
observation, such as a look-up of what was calculated, then has to wait for a replan. Where there are too many kinds,
the most similar count as one, and a reference fits what some of them return. That is left to the checker, and besides:

- what a schema says in a `pattern`, in `multipleOf`, in `uniqueItems`, or in a `format` other than those of dates,
  times and UUIDs; whether a date and time needs a time zone; keys that are numbers;
- a `maxLength` over 32. Texts and numbers may be as long as they are, since what cuts them short writes a wrong plan.

Text returned by a tool is text: a path into it (it may hold JSON) is not offered. Neither is `after`. Guards and
repetition are offered where they are turned on.

May know: `conditions`, `expressions`, `kinds`, `literals`, `notation`, `plan`,
`plan_lines`, `references`, `rules`, `schema`, `values`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import comb
from typing import NamedTuple

from llmcompiler_graph.core.checking.expressions import arithmetic
from llmcompiler_graph.core.checking.schema import Schema, fits
from llmcompiler_graph.core.grammar.conditions import TYPES, comparable, guard, until
from llmcompiler_graph.core.grammar.kinds import Key, Kinds, Profile, Typed, paths
from llmcompiler_graph.core.grammar.literals import literal_text, members, separated
from llmcompiler_graph.core.grammar.notation import PLAN, Notation
from llmcompiler_graph.core.grammar.plan_lines import State, bare_lines, joined_lines
from llmcompiler_graph.core.grammar.rules import Alt, Chars, Node, Repeat, Rules, Seq, Use, When, optional
from llmcompiler_graph.core.grammar.values import Values
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.core.language.references import IDENTIFIER

__all__ = ("plan_grammar",)

_TASKS = 24
"""How many tasks a plan may have if any number is allowed."""
_MOST_TASKS = 64
"""How many it may have if more are allowed."""
_PHASED_TASKS = 16
"""The same without a state."""
_BITS = 64
"""How many bits llguidance's state has."""
_KINDS = 7
"""How many kinds are told apart with a state."""
_STATES = 400
"""How many states a grammar may be expanded for."""
_CALLS = 4000
"""How many calls in states."""


def plan_grammar(
    tools: Iterable[ToolSpec],
    *,
    first: int = 1,
    max_tasks: int | None = None,
    again: Sequence[int] = (),
    earlier: Mapping[int, tuple[ToolSpec, Schema]] | None = None,
    typed: bool = True,
    phased: bool = False,
    brief: bool = False,
    guards: bool = False,
    repetition: bool = False,
    notation: Notation = PLAN,
) -> Rules:
    """Make the grammar of plans.

    Args:
        tools: What they may call.
        first: The index of their first task.
        max_tasks: How many tasks they may have, up to 64; if any number is allowed, 24, or 16 if `phased`. If not
            `phased`, the state notes the kinds of the first 64, 32 or 21 of them, with 1, 3 or 7 kinds of tools: only
            to those may others refer.
        again: If given, just the tasks of these indices are written, and no `join()`.
        earlier: What else may be referred to: by index, a task's tool and the schema of what it returns.
        typed: Whether references are typed. If not, any `$n` may stand anywhere.
        phased: Whether tasks of one kind must stand together, so that the grammar can be written without states.
        brief: Whether plans are nothing but calls and `join()`, without numbers and thoughts; numbers are kept for
            tasks that are written again.
        guards: Whether a call may have a guard: comparisons of references with constants, joined by `and` and `or`.
        repetition: Whether a call of a tool that only reads may be made again until such comparisons of what it returns
            hold.
        notation: How lines and references are spelled; conditions are spelled in the plan language alone.
    """
    listed = list(tools)
    known = {index: Typed(schema, tool.definitions) for index, (tool, schema) in (earlier or {}).items()}
    tasks = min(max_tasks or (_PHASED_TASKS if phased else _TASKS), _MOST_TASKS) if listed else 0
    indices = list(again) or [*range(first, first + tasks)]
    plans = _Plans(listed, known, typed=typed, brief=brief, guards=guards, repetition=repetition, notation=notation)
    return plans.rules(indices, first, phased=phased, join=not again)


class _Known(NamedTuple):
    """What may be referred to."""

    earlier: Mapping[int, Profile]
    """Of tasks of earlier plans, by index."""
    profiles: Sequence[Profile]
    """Of tasks of each kind."""
    indices: Sequence[int]
    """Those of the lines whose kinds are noted."""
    width: int
    """How many bits of the state a kind takes."""


class _Plans:
    def __init__(
        self,
        tools: Sequence[ToolSpec],
        earlier: Mapping[int, Typed],
        *,
        typed: bool,
        brief: bool,
        guards: bool,
        repetition: bool,
        notation: Notation,
    ) -> None:
        self.tools = tools
        self.earlier = earlier
        self.notation = notation
        self.values = Values(typed=typed, notation=notation)
        self.brief = brief
        self.guards = guards
        self.repetition = repetition

    def rules(self, indices: Sequence[int], first: int, *, phased: bool, join: bool) -> Rules:
        calls = self._calls()
        kinds = self._kinds(calls, len(indices), phased=phased)
        width = max(1, len(kinds.profiles).bit_length())
        state = State(width, len(indices) if phased else _BITS // width)
        made = self.values.rules
        earlier = {key: self._profile(kind) for key, kind in {each.key: each for each in self.earlier.values()}.items()}
        of_earlier = {index: earlier[kind.key] for index, kind in self.earlier.items()}
        known = _Known(of_earlier, kinds.profiles, indices[: state.noted], width)
        for key, (name, _) in self.values.slots.items():
            made[name] = self._references(key, known)
        for number in range(len(kinds.profiles)):
            made[f"kind-{number}"] = Alt(tuple(Use(call) for call in kinds.members[number]))
        guards = self._guards(known) if self.guards else {}
        repeated = self._repeated()
        polls: dict[str, Node] = {}

        def called(line: int, kind: int) -> tuple[Node, ...]:
            """What a line may be of a kind: a call behind its number, with a guard, or one that is made again."""
            number = () if self.brief and join else (self.notation.begin(indices[line]),)
            guarded = (optional(Use("guard")),) if guards else ()
            call: Node = Seq((Use(f"kind-{kind}"), *guarded)) if guards else Use(f"kind-{kind}")
            again = [
                Seq((Use(name), *guarded, until(own)))
                for name in kinds.members[kind]
                if (own := self._own(repeated.get(name, {}), indices[line]))
            ]
            if not again:
                return *number, call
            polls[f"poll-{line}-{kind}"] = Alt(tuple(again))
            return *number, Alt((call, Use(f"poll-{line}-{kind}")))

        if join and not self.notation.joins:
            lines = bare_lines(len(kinds.profiles), indices, state, called, phased=phased)
        else:
            ends = [*indices, max([first - 1, *indices]) + 1]
            joins = ["join()" if self.brief else f"{index}. join()" for index in ends] if join else []
            lines = joined_lines(len(kinds.profiles), indices, state, called, phased=phased, joins=joins)
        begin: Node = Use(next(iter(lines)))
        if join and self.notation.joins and not self.brief:
            begin = Seq((optional(Seq(("Thought: ", Repeat(Chars(r"^\x00-\x1f"), 1, 300), "\n"))), begin))
        root: dict[str, Node] = {"root": begin}
        return {**root, **lines, **guards, **polls, **{name: body for name, body, _ in calls}, **made}

    def _kinds(self, calls: Sequence[tuple[str, Node, Typed]], tasks: int, *, phased: bool) -> Kinds:
        """Tell the calls apart, as far as the grammar may."""
        offered = {kind.key: kind for _, _, kind in calls}
        profiles = {key: self._profile(kind) for key, kind in offered.items()}
        kinds = Kinds({name: profiles[kind.key] for name, _, kind in calls})
        kinds.merge(self._most_kinds(tasks, phased=phased))
        if self.values.typed and phased:
            consumers = [n for n, tool in enumerate(self.tools) if _consumes(tool)]
            kinds.sort({f"{what}-{n}" for n in consumers for what in ("call", "fan")})
        return kinds

    def _most_kinds(self, tasks: int, *, phased: bool) -> int:
        """How many kinds the grammar may tell apart."""
        if not self.values.typed:
            return 1
        if not phased:
            return _KINDS
        states = min(_STATES, _CALLS // max(1, len(self.tools)))
        return next((n for n in (4, 3, 2) if comb(tasks + n, n) <= states), 1)

    # -- calls ----------------------------------------------------------------------------------------------------

    def _calls(self) -> list[tuple[str, Node, Typed]]:
        """What a line may be: calls by the names of their rules, and what may be said of what they return."""
        returns = [Typed(tool.returns, tool.definitions) for tool in self.tools]
        calls = [(f"call-{n}", self._call(tool), returns[n]) for n, tool in enumerate(self.tools)]
        if self._may_fan_out(returns):
            fanning = [(n, tool) for n, tool in enumerate(self.tools) if tool.parameters]
            calls += [(f"fan-{n}", Alt(tuple(self._fanned(tool))), returns[n].listed) for n, tool in fanning]
        return calls

    def _may_fan_out(self, returns: Iterable[Typed]) -> bool:
        """Whether anything that may be referred to is, or holds, a list, or lists may be written out."""
        referred = any(paths(each, fan=True) for each in (*returns, *self.earlier.values()))
        return self.values.typed and (self.brief or referred)

    def _call(self, tool: ToolSpec) -> Node:
        """One tool's calls: required arguments in order, then any of the others in order, by name."""
        return self._written(
            tool, {name: self.values.value(Typed(s, tool.definitions)) for name, s in tool.parameters.items()}
        )

    def _fanned(self, tool: ToolSpec) -> Iterator[Node]:
        """Calls that run once per element of a list: one argument is such a reference, or such a list."""
        values = {name: self.values.value(Typed(schema, tool.definitions)) for name, schema in tool.parameters.items()}
        for name, schema in tool.parameters.items():
            if name in tool.required or IDENTIFIER.fullmatch(name) or _as_dict(tool):
                fan: Node = self.values.reference(Typed(schema, tool.definitions), fan=True)
                if self.brief and not _as_dict(tool):
                    fan = Alt((fan, Seq(("[", separated(values[name], 1, None), "][*]"))))
                yield self._written(tool, {**values, name: fan}, given=name)

    def _written(self, tool: ToolSpec, values: Mapping[str, Node], given: str = "") -> Node:
        needed = _needed(tool)
        # one that fans out stands where it may in any other call: if no reference fits, there is another way to go on
        needed += [given] * (given not in ("", *needed))
        if _as_dict(tool):
            pairs = {name: Seq((f"{literal_text(name)}: ", value)) for name, value in values.items()}
            return Seq((f"{tool.name}({{", *_members(pairs, needed), "})"))
        named = {name: Seq((f"{name}=", value)) for name, value in values.items() if IDENTIFIER.fullmatch(name)}
        return Seq((f"{tool.name}(", *_members(named, needed), ")"))

    # -- conditions -----------------------------------------------------------------------------------------------

    def _guards(self, known: _Known) -> dict[str, Node]:
        """The rules of guards: there is one where there is anything to compare."""
        names = {name: f"compared-{name}" for name in TYPES}
        rules = {rule: self._references(_compared(name), known) for name, rule in names.items()}
        whole = guard({name: Use(rule) for name, rule in names.items()})
        if any(map(_may_compare, known.earlier.values())):
            return {"guard": whole, **rules}
        kinds = frozenset(n for n, profile in enumerate(known.profiles, 1) if _may_compare(profile))
        lines = tuple(When(line * known.width, known.width, kinds, whole) for line in range(len(known.indices)))
        return {"guard": Alt(lines if kinds else ()), **rules}

    def _repeated(self) -> dict[str, dict[str, frozenset[Node]]]:
        """The calls that may be made again, with the paths to what may be compared of what they return, by type."""
        if not self.repetition:
            return {}
        polls = [(n, tool) for n, tool in enumerate(self.tools) if tool.pollable and not tool.is_procedure]
        return {f"call-{n}": comparable(Typed(tool.returns, tool.definitions)) for n, tool in polls}

    def _own(self, ends: Mapping[str, frozenset[Node]], index: int) -> dict[str, Node]:
        """What a task may compare of its own observation, by type."""
        found = {name: self._reference(index, each, "") for name, each in ends.items()}
        return {name: node for name, node in found.items() if node is not None}

    # -- references -----------------------------------------------------------------------------------------------

    def _profile(self, kind: Typed) -> Profile:
        """What may follow the index of a reference to an observation, in each place that references stand in."""
        found = paths(kind), paths(kind, fan=True)
        compared = comparable(kind).items() if self.guards else ()
        profile: Profile = {_compared(name): ends for name, ends in compared}
        return profile | {
            key: frozenset(
                path
                for path, schema in found[key[1]]
                if fits(schema, wanted.schema, wanted.definitions, kind.definitions)
            )
            for key, (_, wanted) in self.values.slots.items()
        }

    def _references(self, key: Key, known: _Known) -> Node:
        """The references that fit somewhere, to each task whose kind has any."""
        inside = next((form for form in ("bare", "braced", "both") if key[0].startswith(form)), "")
        found = [self._reference(index, profile[key], inside) for index, profile in known.earlier.items()]
        values: dict[frozenset[Node], set[int]] = {}
        for number, profile in enumerate(known.profiles, 1):
            values.setdefault(profile[key], set()).add(number)
        for line, index in enumerate(known.indices):
            for ends, codes in values.items():
                if (node := self._reference(index, ends, inside)) is not None:
                    found.append(When(line * known.width, known.width, frozenset(codes), node))
        return Alt(tuple(node for node in found if node is not None))

    def _reference(self, index: int, ends: frozenset[Node], inside: str) -> Node | None:
        """The references to one task, with these paths; in a string, of one form or `both`."""
        forms, notation = list[Node](), self.notation
        if "" in ends and inside != "braced":
            forms.append(f"{notation.bare}{index}")
        if "" in ends and inside in {"braced", "both"} and notation.closing:
            forms.append(f"{notation.opening}{index}{notation.closing}")
        rest = tuple(sorted(ends - {""}, key=repr))
        if rest and inside != "bare":
            path = self.values.named("path", repr(rest), lambda: Alt(rest))
            forms.append(Seq((f"{notation.opening}{index}", path, notation.closing)))
        return Alt(tuple(forms)) if forms else None


def _as_dict(tool: ToolSpec) -> bool:
    """Whether plan text cannot name all that a tool needs; then a call gives one dict of all arguments."""
    return not all(map(IDENTIFIER.fullmatch, tool.required.intersection(tool.parameters)))


def _compared(name: str) -> Key:
    """The place of a reference to a value of a type in a guard."""
    return f"compared {name}", False


def _may_compare(profile: Profile) -> bool:
    """Whether a guard may compare anything of an observation."""
    return any(profile[_compared(name)] for name in TYPES)


def _needed(tool: ToolSpec) -> list[str]:
    """The arguments that every call of a tool has."""
    needed = [name for name in tool.parameters if name in tool.required]
    first = next(iter(tool.parameters), "")
    if _as_dict(tool) and first not in needed and fits({"type": "object"}, tool.parameters[first], tool.definitions):
        needed.insert(0, first)  # else the dict would be its value
    return needed


def _members(written: Mapping[str, Node], needed: Sequence[str]) -> tuple[Node, ...]:
    others = [each for name, each in written.items() if name not in needed]
    return members([written[name] for name in needed], others)


def _consumes(tool: ToolSpec) -> bool:
    """Whether a tool needs what is hardly ever written out: figures, lists, objects."""
    return any(
        not fits({"type": "string"}, schema, tool.definitions) or arithmetic(schema, tool.definitions)
        for name, schema in tool.parameters.items()
        if name in tool.required
    )
