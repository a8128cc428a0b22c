r"""The grammar of plans for the tools at hand, and of the joiner's reply.

A plan that matches parses and type-checks. Tool and argument names are those of the tools, literals have their
parameter's type, and a reference is to an earlier task and to what fits its place:

- `$1` where the observation itself fits, `${1.height_m}` where that field of it does. In a string, every value fits;
  in an arithmetic expression (a string with the format `arithmetic`, see `schema.arithmetic`), numbers do.
- Which tool an earlier line calls decides what may be said of it. So tools are told apart by their *kind*, that is, by
  what may be referred to in their observations, and the grammar's state notes the kind of every line.

llguidance follows the state. A form without states has a rule per state, and kinds in any order would make too many
of them: there (`phased`), tasks of one kind stand together, sources first. A task that needs a later kind's
observation, such as a look-up of what was calculated, then has to wait for a replan. Where there are too many kinds,
the most similar count as one, and a reference fits what some of them return; that is all that is left to the checker,
but for what a schema says in a `pattern`, in `multipleOf`, or in a `format` other than those of dates, times and UUIDs.

Text returned by a tool is text: a path into it (it may hold JSON) is not offered. Neither is `after`.

May know: `grammar`, `schema`, `plan`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from math import comb

from llmcompiler_graph.grammar import Alt, Chars, Node, Repeat, Rules, Seq, Use, When, optional
from llmcompiler_graph.plan import ToolSpec
from llmcompiler_graph.references import JSON
from llmcompiler_graph.schema import Schema, alternatives, arithmetic, fits

__all__ = ("Typed", "decision_grammar", "plan_grammar")

_TASKS = 24
"""How many tasks a plan may have if any number is allowed."""
_PHASED_TASKS = 16
"""The same without a state."""
_BITS = 64
"""How many bits llguidance's state has."""
_KINDS = 7
"""How many kinds are told apart with a state."""
_STATES = 4000
"""How many states a grammar without a state may be expanded for, times the number of tools."""
_PATHS = 60
"""How many paths into one observation are offered."""
_DEPTH = 3
"""How long they may be."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A schema and what it refers to."""

    schema: Schema = None
    """The schema."""
    definitions: Mapping[str, JSON] = field(default_factory=dict)
    """What its `$ref`s point to."""

    @property
    def key(self) -> str:
        """The same for types that are the same."""
        schema = _bare(self.schema)
        return json.dumps([schema, _bare(dict(self.definitions)) if '"$ref"' in json.dumps(schema) else None])

    @property
    def listed(self) -> Typed:
        """A list of it: what a task that fans out returns."""
        return Typed({"type": "array", "items": self.schema}, self.definitions)


def _bare(schema: JSON) -> JSON:
    """A schema without what says nothing of types."""
    match schema:
        case dict():
            return {k: _bare(v) for k, v in schema.items() if k not in _SAYS_NOTHING or not isinstance(v, str | bool)}
        case list():
            return [_bare(each) for each in schema]
        case _:
            return schema


_SAYS_NOTHING = frozenset({"title", "description", "default", "$schema", "deprecated"})

# -- what every plan may hold -----------------------------------------------------------------------------------------

_LETTER = Alt((Chars(r'^"\\$\x00-\x1f'), Seq(("\\", Chars(r'"\\nt')))))
_PLAIN = Alt((_LETTER, "$$"))
_AFTER_BARE = Alt((Chars(r'^0-9.,\["\\$\x00-\x1f'), Seq((Chars(".,"), " "))))  # what does not go on with a `$1`
_NAME = Seq((Chars("A-Za-z_"), Repeat(Chars("A-Za-z0-9_"), 0, 40)))
_POSITION = Seq(("[", Alt((Chars("0-9"), Seq((Chars("1-9"), Chars("0-9"))), "-1")), "]"))
_WHOLE = Alt(("0", Seq((Chars("1-9"), Repeat(Chars("0-9"), 0, 11)))))
_DECIMALS = Seq((".", Repeat(Chars("0-9"), 1, 9)))
_INTEGER = Seq((optional("-"), _WHOLE))
_NUMBER = Seq((optional("-"), _WHOLE, optional(_DECIMALS)))
_BOOLEAN = Alt(("True", "False"))
_TEXT = Typed({"type": "string"})
_FIGURE = Typed({"type": "number"})
_D = Chars("0-9")
_DATE = Seq((Chars("12"), Repeat(_D, 3, 3), "-", Alt((Seq(("0", Chars("1-9"))), "10", "11", "12")), "-",
             Alt((Seq(("0", Chars("1-9"))), Seq(("1", _D)), Seq(("2", Chars("0-8")))))))  # fmt: skip
_CLOCK = Seq((Alt((Seq((Chars("01"), _D)), Seq(("2", Chars("0-3"))))), ":", Chars("0-5"), _D, ":", Chars("0-5"), _D))
_HEX = Chars("0-9a-f")
_FORMATS: Mapping[str, Node] = {
    "date": _DATE,
    "time": _CLOCK,
    "date-time": Seq((_DATE, "T", _CLOCK, "Z")),
    "uuid": Seq(
        (
            Repeat(_HEX, 8, 8),
            "-",
            Repeat(_HEX, 4, 4),
            "-4",
            Repeat(_HEX, 3, 3),
            "-",
            Chars("89ab"),
            Repeat(_HEX, 3, 3),
            "-",
            Repeat(_HEX, 12, 12),
        )
    ),
}


def _taken(wanted: Typed) -> Typed:
    """What a reference for a parameter must be."""
    return _FIGURE if arithmetic(wanted.schema, wanted.definitions) else wanted


def _string(inside: Node) -> Node:
    return Seq(('"', inside, '"'))


def _separated(node: Node, least: int, most: int) -> Node:
    """The node so many times, with commas."""
    if not most:
        return Seq(())
    several = node if most == 1 else Seq((node, Repeat(Seq((", ", node)), max(0, least - 1), most - 1)))
    return several if least else optional(several)


def decision_grammar(*, may_replan: bool, plan: Rules | None = None) -> Rules:
    """Make the grammar of the joiner's reply; with a plan's grammar, a replan has that plan below it."""
    line = Chars(r"^\n")
    finish: Node = Seq(("Finish: ", Repeat(line, 1, 4000)))
    replan: Node = Seq(("Replan: ", Repeat(line, 1, 400), *(() if plan is None else ("\n", Use("plan")))))
    options: Node = Alt((finish, replan)) if may_replan else finish
    root: dict[str, Node] = {"root": Seq(("Thought: ", Repeat(line, 1, 240), "\n", options))}
    return root | {"plan" if name == "root" else name: node for name, node in (plan or {}).items() if may_replan}


def plan_grammar(
    tools: Iterable[ToolSpec],
    *,
    first: int = 1,
    max_tasks: int | None = None,
    again: Sequence[int] = (),
    earlier: Mapping[int, tuple[ToolSpec, Schema]] | None = None,
    typed: bool = True,
    phased: bool = False,
) -> Rules:
    """Make the grammar of plans.

    Args:
        tools: What they may call.
        first: The index of their first task.
        max_tasks: How many tasks they may have; if any number is allowed, 24, or 16 if `phased`. The state holds fewer
            if there are more than three kinds of tools.
        again: If given, just the tasks of these indices are written, and no `join()`.
        earlier: What else may be referred to: by index, a task's tool and the schema of what it returns.
        typed: Whether references are typed. If not, any `$n` may stand anywhere.
        phased: Whether tasks of one kind must stand together, so that the grammar can be written without states.
    """
    listed = list(tools)
    known = {index: Typed(schema, tool.definitions) for index, (tool, schema) in (earlier or {}).items()}
    indices = list(again) or [
        *range(first, first + (max_tasks or (_PHASED_TASKS if phased else _TASKS)) * bool(listed))
    ]
    return _Plans(listed, known, typed=typed).rules(indices, first, phased=phased, join=not again)


class _Plans:
    def __init__(self, tools: Sequence[ToolSpec], earlier: Mapping[int, Typed], *, typed: bool) -> None:
        self.tools = tools
        self.earlier = earlier
        self.typed = typed
        self.made: dict[str, Node] = {}
        self.names: dict[str, str] = {}  # of rules for types
        self.slots: dict[tuple[str, bool], tuple[str, Typed]] = {}  # (key, fans out) -> rule, wanted

    def rules(self, indices: Sequence[int], first: int, *, phased: bool, join: bool) -> Rules:
        plain = {n: self._call(tool) for n, tool in enumerate(self.tools)}
        returns = [Typed(tool.returns, tool.definitions) for tool in self.tools]
        known = [*returns, *self.earlier.values()]
        fanned: dict[int, Node] = {}
        if self.typed and any(_paths(each, fan=True) for each in known):
            fanned = {n: Alt(tuple(self._fanned(tool))) for n, tool in enumerate(self.tools) if tool.parameters}
        # what a line may be: a call, and what may be said of what it returns
        calls = [(f"call-{n}", body, returns[n]) for n, body in plain.items()]
        calls += [(f"fan-{n}", body, returns[n].listed) for n, body in fanned.items()]
        offered = {kind.key: kind for _, _, kind in calls}
        profiles = {key: self._profile(kind) for key, kind in offered.items()}
        kinds = _Kinds({name: profiles[kind.key] for name, _, kind in calls})
        if not self.typed:
            kinds.merge(1)
        elif phased:
            states = _STATES // max(1, len(self.tools))
            kinds.merge(next(n for n in (4, 3, 2, 1) if n == 1 or comb(len(indices) + n, n) <= states))
            kinds.sort(
                {f"{what}-{n}" for n, tool in enumerate(self.tools) for what in ("call", "fan") if _consumes(tool)}
            )
        else:
            kinds.merge(_KINDS)
        width = max(1, len(kinds.profiles).bit_length())
        indices = indices[: _BITS // width]
        for key, (name, _) in self.slots.items():
            self.made[name] = self._references(key, kinds, indices, width)
        for number in range(len(kinds.profiles)):
            self.made[f"kind-{number}"] = Alt(tuple(Use(call) for call in kinds.members[number]))
        lines = _lines(
            len(kinds.profiles), indices, width, phased=phased, join=join, end=max([first - 1, *indices]) + 1
        )
        thought = Seq(("Thought: ", Repeat(Chars(r"^\x00-\x1f"), 1, 300), "\n"))
        begin = Use(next(iter(lines)))
        root: dict[str, Node] = {"root": Seq((optional(thought), begin)) if join else begin}
        return {**root, **lines, **{name: body for name, body, _ in calls}, **self.made}

    # -- calls ----------------------------------------------------------------------------------------------------

    def _call(self, tool: ToolSpec) -> Node:
        """One tool's calls: required arguments in order, then any of the others in order, by name."""
        return self._written(
            tool, {name: self._value(Typed(s, tool.definitions)) for name, s in tool.parameters.items()}
        )

    def _fanned(self, tool: ToolSpec) -> Iterator[Node]:
        """Calls that run once per element of a list: one argument is such a reference."""
        values = {name: self._value(Typed(schema, tool.definitions)) for name, schema in tool.parameters.items()}
        for name, schema in tool.parameters.items():
            fan: Node = Use(self._slot(_taken(Typed(schema, tool.definitions)), fan=True))
            yield self._written(tool, {**values, name: fan}, given=name)

    def _written(self, tool: ToolSpec, values: Mapping[str, Node], given: str = "") -> Node:
        required = [Seq((f"{n}=", v)) for n, v in values.items() if n in tool.required or n == given]
        others = [Seq((f"{n}=", v)) for n, v in values.items() if not (n in tool.required or n == given)]
        parts: list[Node] = [f"{tool.name}("]
        for number, one in enumerate(required):
            parts += [", ", one] if number else [one]
        if required:
            parts += [optional(Seq((", ", one))) for one in others]
        elif others:  # each may be the first: then no comma stands before it
            firsts = (Seq((one, *(optional(Seq((", ", o))) for o in others[n:]))) for n, one in enumerate(others, 1))
            parts.append(optional(Alt(tuple(firsts))))
        return Seq((*parts, ")"))

    # -- values ---------------------------------------------------------------------------------------------------

    def _value(self, wanted: Typed) -> Node:
        """What an argument or an element may be: a literal or a reference."""
        literal = self._rule("value", wanted, lambda: self._literal(wanted))
        return Alt((literal, Use(self._slot(_taken(wanted)))))

    def _rule(self, what: str, wanted: Typed, make: Callable[[], Node]) -> Node:
        """A rule for a type, which may refer to itself."""
        key = f"{what} {wanted.key}"
        if key not in self.names:
            self.names[key] = name = f"{what}-{len(self.names)}"
            self.made[name] = make()
        return Use(self.names[key])

    def _shared(self, name: str, node: Node) -> Use:
        """Give a node that no state matters to a rule of its own."""
        self.made[name] = node
        return Use(name)

    def _literal(self, wanted: Typed) -> Node:
        options = alternatives(wanted.schema, wanted.definitions)
        return Alt(tuple(self._option(option, wanted.definitions) for option in options) or (self._anything(),))

    def _option(self, option: Mapping[str, JSON], definitions: Mapping[str, JSON]) -> Node:
        match option:
            case {"const": value}:
                return _constant(value)
            case {"enum": list() as values}:
                return Alt(tuple(map(_constant, values)))
            case {"type": "string"}:
                return self._text(option)
            case {"type": "integer" | "number" as name}:
                return _figure(option, whole=name == "integer")
            case {"type": "boolean"}:
                return _BOOLEAN
            case {"type": "null"}:
                return "None"
            case {"type": "array"}:
                return self._list(option, definitions)
            case {"type": "object"}:
                return self._object(option, definitions)
            case _:
                return self._anything()

    def _anything(self) -> Node:
        if "anything" not in self.made:
            self.made["anything"] = Alt(())  # it refers to itself
            one = Alt((Use("anything"), Use(self._slot(Typed()))))
            pair = Seq((_string(Repeat(_PLAIN, 0, 60)), ": ", one))
            lists, objects = (
                Seq((a, _separated(each, 0, 30), b)) for a, each, b in (("[", one, "]"), ("{", pair, "}"))
            )
            self.made["anything"] = Alt((self._text({}), _NUMBER, _BOOLEAN, "None", lists, objects))
        return Use("anything")

    def _text(self, option: Mapping[str, JSON]) -> Node:
        if not self.typed:
            return _string(Repeat(Alt((Chars(r'^"\\\x00-\x1f'), Seq(("\\", Chars(r'"\\nt'))))), 0, 400))
        if (written := _FORMATS.get(str(option.get("format")))) is not None:
            return _string(written)
        if option.get("format") == "arithmetic":
            return self._rule("arithmetic", Typed(dict(option)), lambda: self._expression(option, len(self.names)))
        least, most = option.get("minLength"), option.get("maxLength")
        if isinstance(least, int) or isinstance(most, int):
            least = least if isinstance(least, int) else 0
            return _string(Repeat(_PLAIN, least, most if isinstance(most, int) else least + 400))
        if "text" not in self.made:
            self.made["text"] = Alt(())
            bare, braced = (Use(self._slot(_TEXT, inside=form)) for form in ("bare", "braced"))
            # a lexer must tell where a chunk ends by its next character, so `$$` is no part of it
            chunk = optional(self._shared("chunk", Repeat(_LETTER, 1, 200)))
            after = optional(Seq((self._shared("after", _AFTER_BARE), chunk)))
            piece = Alt((Seq(("$$", chunk)), Seq((braced, chunk)), Seq((bare, after))))
            end = optional(Seq((bare, Chars(".,"))))
            self.made["text"] = _string(Seq((chunk, Repeat(piece, 0, 12), end)))
        return Use("text")

    def _list(self, option: Mapping[str, JSON], definitions: Mapping[str, JSON]) -> Node:
        places = option.get("prefixItems")
        if isinstance(places, list) and places:
            parts: list[Node] = ["["]
            for number, place in enumerate(places):
                parts += [", "] * (number > 0) + [self._value(Typed(place, definitions))]
            return Seq((*parts, "]"))
        least, most = option.get("minItems"), option.get("maxItems")
        least = least if isinstance(least, int) else 0
        most = most if isinstance(most, int) else least + 30
        items = self._value(Typed(option.get("items"), definitions))
        return Seq(("[", _separated(items, least, most), "]"))

    def _object(self, option: Mapping[str, JSON], definitions: Mapping[str, JSON]) -> Node:
        properties, required = option.get("properties"), option.get("required")
        if not isinstance(properties, dict) or not properties:
            others = option.get("additionalProperties")
            value = self._value(Typed(others if isinstance(others, dict) else None, definitions))
            return Seq(("{", _separated(Seq((_string(Repeat(_PLAIN, 0, 60)), ": ", value)), 0, 30), "}"))
        needed = set(map(str, required)) if isinstance(required, list) else set()
        pairs = {n: Seq((f"{_literal_text(n)}: ", self._value(Typed(s, definitions)))) for n, s in properties.items()}
        must = [pair for name, pair in pairs.items() if name in needed]
        may = [pair for name, pair in pairs.items() if name not in needed]
        parts: list[Node] = ["{"]
        for number, pair in enumerate(must):
            parts += [", ", pair] if number else [pair]
        if must:
            parts += [optional(Seq((", ", pair))) for pair in may]
        elif may:
            firsts = (Seq((one, *(optional(Seq((", ", o))) for o in may[n:]))) for n, one in enumerate(may, 1))
            parts.append(optional(Alt(tuple(firsts))))
        return Seq((*parts, "}"))

    def _expression(self, option: Mapping[str, JSON], number: int) -> Node:
        """Arithmetic in a string: numbers, references to numbers, the functions that the parameter names."""
        total, term = (Use(f"{name}-{number}") for name in ("sum", "term"))
        functions, selectors = option.get("functions"), option.get("selectors")
        space = optional(" ")
        operator = self._shared("operator", Seq((space, Alt((Chars("+*/-"), "**")), space)))
        comparisons = Alt((Seq((Chars("<>"), optional("="))), "==", "!="))
        compare = self._shared("comparison", Seq((space, comparisons, space)))
        figure = Use(self._slot(_FIGURE, inside="both"))
        atoms: list[Node] = [self._shared("figure", Seq((_WHOLE, optional(_DECIMALS)))), figure, Seq(("(", total, ")"))]
        named = functions if isinstance(functions, dict) else {}
        for most in dict.fromkeys(named.values()):
            names = Alt(tuple(f"{name}(" for name, each in named.items() if each == most))
            atoms.append(Seq((names, _separated(total, 1, most if isinstance(most, int) else 30), ")")))
        self.made[total.rule] = Seq((term, Repeat(Seq((operator, term)), 0, 30)))
        self.made[term.rule] = Seq((optional("-"), Alt(tuple(atoms))))
        single, double = (Repeat(Chars(f"^{quote}\\\\$\\x00-\\x1f"), 1, 60) for quote in ("'\"", '"'))
        label = self._shared("label", Alt((Seq(("'", single, "'")), Seq(('\\"', double, '\\"')))))
        whole: list[Node] = [total, Seq((total, compare, total))]
        choice = Alt((label, total))
        whole.append(Seq((choice, " if ", total, compare, total, " else ", choice)))
        if isinstance(selectors, list) and selectors:
            names = Alt(tuple(f"{name}({{" for name in selectors))
            whole.append(Seq((names, _separated(Seq((label, ": ", total)), 1, 30), "})")))
        return _string(Alt(tuple(whole)))

    # -- references -----------------------------------------------------------------------------------------------

    def _slot(self, wanted: Typed, *, fan: bool = False, inside: str = "") -> str:
        """The name of the rule for the references that fit somewhere; in a string, of one form or `both`."""
        if not self.typed:
            self.made.setdefault("reference", _UNTYPED)
            return "reference"
        key = f"{inside}{wanted.key}", fan
        if key not in self.slots:
            self.slots[key] = f"ref-{len(self.slots)}", wanted
        return self.slots[key][0]

    def _profile(self, kind: Typed) -> _Profile:
        """What may follow the index of a reference to an observation, in each place that references stand in."""
        found = _paths(kind), _paths(kind, fan=True)
        return {
            key: frozenset(
                path
                for path, schema in found[key[1]]
                if fits(schema, wanted.schema, wanted.definitions, kind.definitions)
            )
            for key, (_, wanted) in self.slots.items()
        }

    def _references(self, key: _Key, kinds: _Kinds, indices: Sequence[int], width: int) -> Node:
        """The references that fit somewhere, to each task whose kind has any."""
        found: list[Node] = []
        inside = next((form for form in ("bare", "braced", "both") if key[0].startswith(form)), "")

        def written(index: int, paths: frozenset[Node]) -> Node | None:
            forms: list[Node] = []
            if "" in paths and inside in {"", "bare", "both"}:
                forms.append(f"${index}")
            if "" in paths and inside in {"braced", "both"}:
                forms.append(f"${{{index}}}")
            rest = tuple(sorted(paths - {""}, key=repr))
            if rest and inside != "bare":
                forms.append(Seq((f"${{{index}", Use(self._paths_rule(rest)), "}")))
            return Alt(tuple(forms)) if forms else None

        for index, kind in self.earlier.items():
            if (node := written(index, self._profile(kind)[key])) is not None:
                found.append(node)
        for line, index in enumerate(indices):
            values: dict[frozenset[Node], set[int]] = {}
            for number, profile in enumerate(kinds.profiles, 1):
                values.setdefault(profile[key], set()).add(number)
            for paths, codes in values.items():
                if (node := written(index, paths)) is not None:
                    found.append(When(line * width, width, frozenset(codes), node))
        return Alt(tuple(found))

    def _paths_rule(self, paths: tuple[Node, ...]) -> str:
        key = f"paths {paths!r}"
        if key not in self.names:
            self.names[key] = name = f"path-{len(self.names)}"
            self.made[name] = Alt(paths)
        return self.names[key]


_Key = tuple[str, bool]
_Profile = dict[_Key, frozenset[Node]]

_UNTYPED = Alt(
    (
        Seq(("$", Chars("1-9"), optional(Chars("0-9")))),
        Seq(
            (
                "${",
                Chars("1-9"),
                optional(Chars("0-9")),
                Repeat(Alt((Seq((".", _NAME)), Seq(("[", Alt((Repeat(_D, 1, 3), "*")), "]")))), 1, 4),
                "}",
            )
        ),
    )
)


class _Kinds:
    """Calls, told apart by what may be referred to in what they return."""

    def __init__(self, profiles: Mapping[str, _Profile]) -> None:
        self.profiles: list[_Profile] = []
        self.members: list[list[str]] = []
        for call, profile in profiles.items():
            if profile not in self.profiles:
                self.profiles.append(profile)
                self.members.append([])
            self.members[self.profiles.index(profile)].append(call)

    def merge(self, most: int) -> None:
        """Count the most similar ones as one until there are few enough."""
        while len(self.profiles) > most:
            pairs = [(a, b) for b in range(len(self.profiles)) for a in range(b)]
            a, b = max(pairs, key=lambda pair: _likeness(self.profiles[pair[0]], self.profiles[pair[1]]))
            other, calls = self.profiles.pop(b), self.members.pop(b)
            self.profiles[a] = {key: paths | other[key] for key, paths in self.profiles[a].items()}
            self.members[a] += calls

    def sort(self, consumers: Set[str]) -> None:
        """Put those first that no consumer is of."""
        order = sorted(range(len(self.profiles)), key=lambda n: not consumers.isdisjoint(self.members[n]))
        self.profiles = [self.profiles[n] for n in order]
        self.members = [self.members[n] for n in order]


def _consumes(tool: ToolSpec) -> bool:
    """Whether a tool needs what is hardly ever written out: figures, lists, objects."""
    return any(
        not fits(_TEXT.schema, schema, tool.definitions) or arithmetic(schema, tool.definitions)
        for name, schema in tool.parameters.items()
        if name in tool.required
    )


def _likeness(one: _Profile, other: _Profile) -> float:
    both = sum(len(one[key] & other[key]) for key in one)
    return both / (sum(len(one[key] | other[key]) for key in one) or 1)


def _lines(kinds: int, indices: Sequence[int], width: int, *, phased: bool, join: bool, end: int) -> dict[str, Node]:
    """The numbered lines; each notes its kind in the state."""

    def name(line: int, kind: int) -> str:
        return f"line-{line}-{kind}" if phased else f"line-{line}"

    found: dict[str, Node] = {}
    for line, index in enumerate(indices):
        last = not join and line == len(indices) - 1
        for now in range(kinds if phased and line else 1):
            options: list[Node] = []
            for kind in range(now, kinds):
                following = Use(name(line + 1, kind), kind + 1 << line * width)
                options.append(Seq((f"{index}. ", Use(f"kind-{kind}"), *(() if last else ("\n", following)))))
            found[name(line, now)] = Alt((*options, f"{index}. join()") if join else tuple(options))
    if join:
        for now in range(kinds if phased and indices else 1):
            found[name(len(indices), now)] = f"{end}. join()"
    return found


def _paths(kind: Typed, *, fan: bool = False) -> list[tuple[Node, Schema]]:
    """The paths into an observation with the schema of what they lead to, for one value or for each of a list."""
    found: list[tuple[Node, Schema]] = []
    for path, schema, fans in _walk(kind.schema, kind.definitions, _DEPTH):
        if fans == fan and len(found) < _PATHS and (path, schema) not in found:
            found.append((path, schema))
    return found


def _walk(schema: Schema, definitions: Mapping[str, JSON], depth: int) -> Iterator[tuple[Node, Schema, bool]]:
    yield "", schema, False
    if not depth:
        return

    def inside(key: Node, inner: Schema, *, fans: bool = False) -> Iterator[tuple[Node, Schema, bool]]:
        for rest, found, fans_on in _walk(inner, definitions, depth - 1):
            yield _joined(key, rest), found, fans or fans_on

    options = alternatives(schema, definitions)
    if not options:
        yield Repeat(Alt((Seq((".", _NAME)), _POSITION)), 1, 4), None, False
    for option in options:
        properties = option.get("properties")
        if option["type"] == "array":
            yield from inside(_POSITION, option.get("items"))
            yield from inside("[*]", option.get("items"), fans=True)
        elif option["type"] == "object" and isinstance(properties, dict) and properties:
            for name, inner in properties.items():
                if (key := _key(name)) is not None:
                    yield from inside(key, inner)
        elif option["type"] == "object":
            yield from inside(Seq((".", _NAME)), option.get("additionalProperties"))


def _joined(key: Node, rest: Node) -> Node:
    if rest == "":
        return key
    if isinstance(key, str) and isinstance(rest, str):
        return key + rest
    return Seq((key, *(rest.nodes if isinstance(rest, Seq) else (rest,))))


def _key(name: str) -> str | None:
    if re.fullmatch(r"[^\W\d][\w-]*", name):
        return f".{name}"
    return f"['{name}']" if re.fullmatch(r"""[^'"\\${}\x00-\x1f]+""", name) else None


# -- constants --------------------------------------------------------------------------------------------------------


def _literal_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _constant(value: JSON) -> Node:
    match value:
        case str():
            return _literal_text(value.replace("$", "$$"))
        case list():
            return "[" + ", ".join(str(_constant(each)) for each in value) + "]"
        case dict():
            return "{" + ", ".join(f"{_literal_text(k)}: {_constant(v)}" for k, v in value.items()) + "}"
        case _:
            return repr(value)


def _figure(option: Mapping[str, JSON], *, whole: bool) -> Node:
    """The numbers a schema allows."""

    def bound(name: str) -> float | None:
        value = option.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    least, most = bound("minimum"), bound("maximum")
    above, below = bound("exclusiveMinimum"), bound("exclusiveMaximum")
    if least is None and most is None and above is None and below is None:
        return _INTEGER if whole else _NUMBER
    floor = max(
        [-(10**12) + 1]
        + [math.ceil(v) for v in [least] if v is not None]
        + [math.floor(v) + 1 for v in [above] if v is not None]
    )
    ceiling = min(
        [10**12 - 1]
        + [math.floor(v) for v in [most] if v is not None]
        + [math.ceil(v) - 1 for v in [below] if v is not None]
    )
    found = [*_integers(floor, ceiling)]
    if not whole:
        # strictly between two integers that are both allowed, or were, had they not been excluded
        low = max(0, math.ceil(max((v for v in (least, above) if v is not None), default=0)))
        high = math.floor(min((v for v in (most, below) if v is not None), default=10**12)) - 1
        between = Seq((".", Repeat(_D, 0, 8), Chars("1-9")))
        found += [Seq((each, between)) for each in _integers(low, high)]
    return Alt(tuple(found) or (repr(least if least is not None else most),))


def _integers(least: int, most: int) -> list[Node]:
    """The integers of a range, in decimal."""
    found: list[Node] = []
    if least < 0:
        found += [Seq(("-", each)) for each in _integers(max(1, -most), -least)]
        least = 0
    while least <= most:
        length = len(str(least))
        end = min(most, 10**length - 1)
        found.append(_same_length(str(least), str(end)))
        least = end + 1
    return found


def _same_length(low: str, high: str) -> Node:
    if not low:
        return ""
    if low == "0" * len(low) and high == "9" * len(high):
        return Repeat(_D, len(low), len(low))
    if low[0] == high[0]:
        return Seq((low[0], _same_length(low[1:], high[1:])))
    found: list[Node] = []
    start, stop = int(low[0]), int(high[0])
    if low[1:] != "0" * (len(low) - 1):
        found.append(Seq((low[0], _same_length(low[1:], "9" * (len(low) - 1)))))
        start += 1
    if high[1:] != "9" * (len(high) - 1):
        found.append(Seq((high[0], _same_length("0" * (len(high) - 1), high[1:]))))
        stop -= 1
    if start <= stop:
        found.append(
            Seq(
                (Chars(f"{start}-{stop}"), Repeat(_D, len(low) - 1, len(low) - 1))
                if len(low) > 1
                else (Chars(f"{start}-{stop}"),)
            )
        )
    return Alt(tuple(found))
