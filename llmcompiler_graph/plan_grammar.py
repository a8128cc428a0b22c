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
but for what a schema says in a `pattern`, in `multipleOf`, or in a `format` other than those of dates, times and UUIDs,
and for whether a date and time needs a time zone. Texts and numbers may be as long as they are: what cuts them short
writes a wrong plan.

Text returned by a tool is text: a path into it (it may hold JSON) is not offered. Neither is `after`.

May know: `grammar`, `kinds`, `literal_grammar`, `schema`, `plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import comb

from llmcompiler_graph.grammar import Alt, Chars, Node, Repeat, Rules, Seq, Use, When, optional
from llmcompiler_graph.kinds import NAME, Key, Kinds, Profile, Typed, paths
from llmcompiler_graph.literal_grammar import (
    BOOLEAN,
    DECIMALS,
    FORMATS,
    LETTER,
    NUMBER,
    PLAIN,
    WHOLE,
    constant,
    figure,
    literal_text,
    separated,
    string,
)
from llmcompiler_graph.plan import ToolSpec
from llmcompiler_graph.references import JSON
from llmcompiler_graph.schema import Schema, alternatives, arithmetic, fits

__all__ = ("decision_grammar", "plan_grammar")

_TASKS = 24
"""How many tasks a plan may have if any number is allowed."""
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
_AFTER_BARE = Alt((Chars(r'^0-9.,\["\\$\x00-\x1f'), Seq((Chars(".,"), " "))))  # what does not go on with a `$1`
_TEXT = Typed({"type": "string"})
_FIGURE = Typed({"type": "number"})
_UNTYPED = Alt(
    (
        Seq(("$", Chars("1-9"), optional(Chars("0-9")))),
        Seq(
            (
                "${",
                Chars("1-9"),
                optional(Chars("0-9")),
                Repeat(Alt((Seq((".", NAME)), Seq(("[", Alt((Repeat(Chars("0-9"), 1, 3), "*")), "]")))), 1, 4),
                "}",
            )
        ),
    )
)


def decision_grammar(*, may_replan: bool, may_finish: bool = True, plan: Rules | None = None) -> Rules:
    """Make the grammar of the joiner's reply; with a plan's grammar, a replan has that plan below it."""
    line = Chars(r"^\n")
    finish: Node = Seq(("Finish: ", Repeat(line, 1, 4000)))
    replan: Node = Seq(("Replan: ", Repeat(line, 1, 400), *(() if plan is None else ("\n", Use("plan")))))
    options: Node = finish if not may_replan else Alt((finish, replan)) if may_finish else replan
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
        if self.typed and any(paths(each, fan=True) for each in known):
            fanned = {n: Alt(tuple(self._fanned(tool))) for n, tool in enumerate(self.tools) if tool.parameters}
        # what a line may be: a call, and what may be said of what it returns
        calls = [(f"call-{n}", body, returns[n]) for n, body in plain.items()]
        calls += [(f"fan-{n}", body, returns[n].listed) for n, body in fanned.items()]
        offered = {kind.key: kind for _, _, kind in calls}
        profiles = {key: self._profile(kind) for key, kind in offered.items()}
        kinds = Kinds({name: profiles[kind.key] for name, _, kind in calls})
        if not self.typed:
            kinds.merge(1)
        elif phased:
            states = min(_STATES, _CALLS // max(1, len(self.tools)))
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
                return constant(value)
            case {"enum": list() as values}:
                return Alt(tuple(map(constant, values)))
            case {"type": "string"}:
                return self._text(option)
            case {"type": "integer" | "number" as name}:
                return figure(option, whole=name == "integer")
            case {"type": "boolean"}:
                return BOOLEAN
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
            pair = Seq((string(Repeat(PLAIN, 0, None)), ": ", one))
            lists, objects = (
                Seq((a, separated(each, 0, None), b)) for a, each, b in (("[", one, "]"), ("{", pair, "}"))
            )
            self.made["anything"] = Alt((self._text({}), NUMBER, BOOLEAN, "None", lists, objects))
        return Use("anything")

    def _text(self, option: Mapping[str, JSON]) -> Node:
        if not self.typed:
            return string(Repeat(Alt((Chars(r'^"\\\x00-\x1f'), Seq(("\\", Chars(r'"\\nt'))))), 0, None))
        if (written := FORMATS.get(str(option.get("format")))) is not None:
            return string(written)
        if option.get("format") == "arithmetic":
            return self._rule("arithmetic", Typed(dict(option)), lambda: self._expression(option, len(self.names)))
        least, most = option.get("minLength"), option.get("maxLength")
        if isinstance(least, int) or isinstance(most, int):
            least = least if isinstance(least, int) else 0
            return string(Repeat(PLAIN, least, most if isinstance(most, int) else None))
        if "text" not in self.made:
            self.made["text"] = Alt(())
            bare, braced = (Use(self._slot(_TEXT, inside=form)) for form in ("bare", "braced"))
            # a lexer must tell where a chunk ends by its next character, so `$$` is no part of it
            chunk = optional(self._shared("chunk", Repeat(LETTER, 1, None)))
            after = optional(Seq((self._shared("after", _AFTER_BARE), chunk)))
            piece = Alt((Seq(("$$", chunk)), Seq((braced, chunk)), Seq((bare, after))))
            end = optional(Seq((bare, Chars(".,"))))
            self.made["text"] = string(Seq((chunk, Repeat(piece, 0, None), end)))
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
        most = most if isinstance(most, int) else None
        items = self._value(Typed(option.get("items"), definitions))
        return Seq(("[", separated(items, least, most), "]"))

    def _object(self, option: Mapping[str, JSON], definitions: Mapping[str, JSON]) -> Node:
        properties, required = option.get("properties"), option.get("required")
        if not isinstance(properties, dict) or not properties:
            others = option.get("additionalProperties")
            value = self._value(Typed(others if isinstance(others, dict) else None, definitions))
            return Seq(("{", separated(Seq((string(Repeat(PLAIN, 0, None)), ": ", value)), 0, None), "}"))
        needed = set(map(str, required)) if isinstance(required, list) else set()
        pairs = {n: Seq((f"{literal_text(n)}: ", self._value(Typed(s, definitions)))) for n, s in properties.items()}
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

    def _expression(self, option: Mapping[str, JSON], place: int) -> Node:
        """Arithmetic in a string: numbers, references to numbers, the functions that the parameter names."""
        total, term = (Use(f"{name}-{place}") for name in ("sum", "term"))
        functions, selectors = option.get("functions"), option.get("selectors")
        space = optional(" ")
        operator = self._shared("operator", Seq((space, Alt((Chars("+*/-"), "**")), space)))
        comparisons = Alt((Seq((Chars("<>"), optional("="))), "==", "!="))
        compare = self._shared("comparison", Seq((space, comparisons, space)))
        number = Use(self._slot(_FIGURE, inside="both"))
        atoms: list[Node] = [self._shared("figure", Seq((WHOLE, optional(DECIMALS)))), number, Seq(("(", total, ")"))]
        named = functions if isinstance(functions, dict) else {}
        for most in dict.fromkeys(named.values()):
            names = Alt(tuple(f"{name}(" for name, each in named.items() if each == most))
            atoms.append(Seq((names, separated(total, 1, most if isinstance(most, int) else None), ")")))
        self.made[total.rule] = Seq((term, Repeat(Seq((operator, term)), 0, None)))
        self.made[term.rule] = Seq((optional("-"), Alt(tuple(atoms))))
        single, double = (Repeat(Chars(f"^{quote}\\\\$\\x00-\\x1f"), 1, None) for quote in ("'\"", '"'))
        label = self._shared("label", Alt((Seq(("'", single, "'")), Seq(('\\"', double, '\\"')))))
        whole: list[Node] = [total, Seq((total, compare, total))]
        choice = Alt((label, total))
        whole.append(Seq((choice, " if ", total, compare, total, " else ", choice)))
        if isinstance(selectors, list) and selectors:
            names = Alt(tuple(f"{name}({{" for name in selectors))
            whole.append(Seq((names, separated(Seq((label, ": ", total)), 1, None), "})")))
        return string(Alt(tuple(whole)))

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

    def _profile(self, kind: Typed) -> Profile:
        """What may follow the index of a reference to an observation, in each place that references stand in."""
        found = paths(kind), paths(kind, fan=True)
        return {
            key: frozenset(
                path
                for path, schema in found[key[1]]
                if fits(schema, wanted.schema, wanted.definitions, kind.definitions)
            )
            for key, (_, wanted) in self.slots.items()
        }

    def _references(self, key: Key, kinds: Kinds, indices: Sequence[int], width: int) -> Node:
        """The references that fit somewhere, to each task whose kind has any."""
        found: list[Node] = []
        inside = next((form for form in ("bare", "braced", "both") if key[0].startswith(form)), "")

        def written(index: int, ends: frozenset[Node]) -> Node | None:
            forms: list[Node] = []
            if "" in ends and inside in {"", "bare", "both"}:
                forms.append(f"${index}")
            if "" in ends and inside in {"braced", "both"}:
                forms.append(f"${{{index}}}")
            rest = tuple(sorted(ends - {""}, key=repr))
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
            for ends, codes in values.items():
                if (node := written(index, ends)) is not None:
                    found.append(When(line * width, width, frozenset(codes), node))
        return Alt(tuple(found))

    def _paths_rule(self, ends: tuple[Node, ...]) -> str:
        key = f"paths {ends!r}"
        if key not in self.names:
            self.names[key] = name = f"path-{len(self.names)}"
            self.made[name] = Alt(ends)
        return self.names[key]


def _taken(wanted: Typed) -> Typed:
    """What a reference for a parameter must be."""
    return _FIGURE if arithmetic(wanted.schema, wanted.definitions) else wanted


def _consumes(tool: ToolSpec) -> bool:
    """Whether a tool needs what is hardly ever written out: figures, lists, objects."""
    return any(
        not fits(_TEXT.schema, schema, tool.definitions) or arithmetic(schema, tool.definitions)
        for name, schema in tool.parameters.items()
        if name in tool.required
    )


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
