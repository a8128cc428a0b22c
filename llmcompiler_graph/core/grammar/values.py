r"""What a plan may write where a type is wanted: constants, and references, a rule for each type and each place.

>>> values = Values(typed=True)
>>> values.value(Typed({"type": "boolean"}))
Alt(nodes=(Use(rule='value-0', bits=0), Use(rule='ref-0', bits=0)))
>>> values.rules["value-0"]
Alt(nodes=(Alt(nodes=('True', 'False')),))

May know: `expressions`, `kinds`, `literals`, `notation`, `references`, `rules`, `schema`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from llmcompiler_graph.core.checking.expressions import arithmetic
from llmcompiler_graph.core.checking.schema import Schema, alternatives, literals
from llmcompiler_graph.core.grammar.kinds import NAME, Key, Typed
from llmcompiler_graph.core.grammar.literals import (
    BOOLEAN,
    DECIMALS,
    FORMATS,
    KEY,
    NUMBER,
    WHOLE,
    constant,
    figure,
    literal_text,
    members,
    separated,
    string,
)
from llmcompiler_graph.core.grammar.notation import PLAN, Notation
from llmcompiler_graph.core.grammar.rules import Alt, Chars, Node, Repeat, Seq, Use, optional
from llmcompiler_graph.core.language.references import JSON

__all__ = ("Values",)

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


_SHORT = 32
"""Up to which maximum a text's length is held to it, and no reference stands inside the text."""


class Values:
    """The rules of what may stand where, as far as they were asked for.

    Args:
        typed: Whether references are typed. If not, any `$n` may stand anywhere.
        notation: How references are spelled, if they are typed.
    """

    def __init__(self, *, typed: bool, notation: Notation = PLAN) -> None:
        self.typed = typed
        self.notation = notation
        self.rules: dict[str, Node] = {}
        self.slots: dict[
            Key, tuple[str, Typed]
        ] = {}  # -> rule, wanted; not among the rules: which tasks there are decides
        self._names: dict[str, str] = {}

    def value(self, wanted: Typed) -> Node:
        """What an argument or an element may be: a literal or a reference."""
        literal = self.named("value", wanted.key, lambda: self._literal(wanted))
        return Alt((literal, self.reference(wanted)))

    def reference(self, wanted: Typed, *, fan: bool = False) -> Use:
        """A reference to what is wanted, or to a list of it that the task fans out over."""
        taken = _FIGURE if arithmetic(wanted.schema, wanted.definitions) else wanted
        return Use(self._slot(taken, fan=fan))

    def named(self, what: str, key: str, make: Callable[[], Node]) -> Use:
        """A rule for what has a key, made once; it may refer to itself."""
        key = f"{what} {key}"
        if key not in self._names:
            self._names[key] = name = f"{what}-{len(self._names)}"
            self.rules[name] = make()
        return Use(self._names[key])

    def _shared(self, name: str, node: Node) -> Use:
        """Give a node that no state matters to a rule of its own."""
        self.rules[name] = node
        return Use(name)

    def _literal(self, wanted: Typed) -> Node:
        options = alternatives(wanted.schema, wanted.definitions)
        return Alt(tuple(self._option(option, wanted.definitions) for option in options) or (self._anything(),))

    def _option(self, option: Mapping[str, JSON], definitions: Mapping[str, JSON]) -> Node:
        match option:
            case {"const": value}:
                return constant(value, self.notation.escape)
            case {"enum": list() as values}:
                return Alt(tuple(constant(value, self.notation.escape) for value in values))
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
        if "anything" not in self.rules:
            self.rules["anything"] = Alt(())  # it refers to itself
            one = Alt((Use("anything"), Use(self._slot(Typed()))))
            pair = Seq((_key(None, {}), ": ", one))
            lists, objects = (
                Seq((a, separated(each, 0, None), b)) for a, each, b in (("[", one, "]"), ("{", pair, "}"))
            )
            self.rules["anything"] = Alt((self._text({}), NUMBER, BOOLEAN, "None", lists, objects))
        return Use("anything")

    def _text(self, option: Mapping[str, JSON]) -> Node:
        if not self.typed:
            return string(Repeat(Alt((Chars(r'^"\\\x00-\x1f'), Seq(("\\", Chars(r'"\\nt'))))), 0, None))
        if (written := FORMATS.get(str(option.get("format")))) is not None:
            return string(written)
        if option.get("format") == "arithmetic":
            return self.named("arithmetic", Typed(dict(option)).key, lambda: self._expression(option, len(self._names)))
        least, most = _bounds(option, "minLength", "maxLength")
        if most is not None and most <= _SHORT:
            return string(Repeat(Alt((self.notation.letter, self.notation.literal)), least, most))
        return self.named("text", str(least), lambda: self._template(least))

    def _template(self, least: int) -> Node:
        """Text of at least so many letters; with a reference in it, it is long enough."""
        bare, braced = (Use(self._slot(_TEXT, inside=form)) for form in ("bare", "braced"))

        def letters(least: int, most: int | None = None) -> Node:
            return self._shared(
                f"letters-{least}-{'' if most is None else most}", Repeat(self.notation.letter, least, most)
            )

        # a lexer must tell where a chunk ends by its next character, so `$$` is no part of it
        chunk, literal = optional(letters(1)), self.notation.literal
        then = optional(Seq((self._shared("after", self.notation.after), chunk)))
        is_closed = bool(self.notation.closing)
        reference = Alt((Seq((braced, chunk if is_closed else then)), Seq((bare, then))))
        last = Seq((bare if is_closed else Alt((bare, braced)), Chars(".,")))
        rest = Seq((Repeat(Alt((Seq((literal, chunk)), reference)), 0, None), optional(last)))
        if not least:
            return string(Seq((chunk, rest)))
        few = optional(letters(1, least - 1)) if least > 1 else Seq(())
        more = letters(least - 1) if least > 1 else chunk
        begun = Alt((letters(least), Seq((literal, more)), Seq((few, reference))))
        return string(Alt((Seq((begun, rest)), Seq((few, last)))))

    def _list(self, option: Mapping[str, JSON], definitions: Mapping[str, JSON]) -> Node:
        places = option.get("prefixItems")
        if isinstance(places, list) and places:
            parts: list[Node] = ["["]
            for number, place in enumerate(places):
                parts += [", "] * (number > 0) + [self.value(Typed(place, definitions))]
            return Seq((*parts, "]"))
        least, most = _bounds(option, "minItems", "maxItems")
        items = self.value(Typed(option.get("items"), definitions))
        return Seq(("[", separated(items, least, most), "]"))

    def _object(self, option: Mapping[str, JSON], definitions: Mapping[str, JSON]) -> Node:
        properties, others = option.get("properties"), option.get("additionalProperties")
        if isinstance(properties, dict) and properties:
            return self._fields(properties, option.get("required"), definitions)
        if others is False:
            return "{}"
        value = self.value(Typed(others if isinstance(others, dict) else None, definitions))
        pair = Seq((_key(option.get("propertyNames"), definitions), ": ", value))
        return Seq(("{", separated(pair, *_bounds(option, "minProperties", "maxProperties")), "}"))

    def _fields(self, properties: Mapping[str, JSON], required: JSON, definitions: Mapping[str, JSON]) -> Node:
        """An object with named fields: the required ones, then any of the others."""
        needed = set(map(str, required)) if isinstance(required, list) else set()
        pairs = {n: Seq((f"{literal_text(n)}: ", self.value(Typed(s, definitions)))) for n, s in properties.items()}
        must = [pair for name, pair in pairs.items() if name in needed]
        return Seq(("{", *members(must, [pair for name, pair in pairs.items() if name not in needed]), "}"))

    def _expression(self, option: Mapping[str, JSON], place: int) -> Node:
        """Arithmetic in a string: numbers, references to numbers, the functions that the parameter names."""
        total, term = (Use(f"{name}-{place}") for name in ("sum", "term"))
        selectors = option.get("selectors")
        space = optional(" ")
        operator = self._shared("operator", Seq((space, Alt((Chars("+*/-"), "**")), space)))
        comparisons = Alt((Seq((Chars("<>"), optional("="))), "==", "!="))
        compare = self._shared("comparison", Seq((space, comparisons, space)))
        number = Use(self._slot(_FIGURE, inside="both"))
        atoms: list[Node] = [self._shared("figure", Seq((WHOLE, optional(DECIMALS)))), number, Seq(("(", total, ")"))]
        self.rules[total.rule] = Seq((term, Repeat(Seq((operator, term)), 0, None)))
        self.rules[term.rule] = Seq((optional("-"), Alt((*atoms, *_functions(option.get("functions"), total)))))
        single, double = (
            Repeat(Chars(f"^{quote}\\\\{self.notation.mark}\\x00-\\x1f"), 1, None) for quote in ("'\"", '"')
        )
        label = self._shared("label", Alt((Seq(("'", single, "'")), Seq(('\\"', double, '\\"')))))
        whole: list[Node] = [total, Seq((total, compare, total))]
        choice = Alt((label, total))
        whole.append(Seq((choice, " if ", total, compare, total, " else ", choice)))
        if isinstance(selectors, list) and selectors:
            names = Alt(tuple(f"{name}({{" for name in selectors))
            whole.append(Seq((names, separated(Seq((label, ": ", total)), 1, None), "})")))
        return string(Alt(tuple(whole)))

    def _slot(self, wanted: Typed, *, fan: bool = False, inside: str = "") -> str:
        """The name of the rule for the references that fit somewhere; in a string, of one form or `both`."""
        if not self.typed:
            self.rules.setdefault("reference", _UNTYPED)
            return "reference"
        key = f"{inside}{wanted.key}", fan
        if key not in self.slots:
            self.slots[key] = f"ref-{len(self.slots)}", wanted
        return self.slots[key][0]


def _functions(named: JSON, argument: Node) -> Iterator[Node]:
    """The calls in an expression: `{name: how many arguments the function takes at most}`, `None` for any number."""
    counts = named if isinstance(named, dict) else {}
    for most in dict.fromkeys(counts.values()):
        names = Alt(tuple(f"{name}(" for name, count in counts.items() if count == most))
        yield Seq((names, separated(argument, 1, most if isinstance(most, int) else None), ")"))


def _bounds(option: Mapping[str, JSON], least: str, most: str) -> tuple[int, int | None]:
    """The least and the largest number that a schema allows of something; if no number is right, a wrong one."""
    low, high = option.get(least), option.get(most)
    low = max(low, 0) if isinstance(low, int) else 0
    return low, max(low, high) if isinstance(high, int) else None


def _key(names: Schema, definitions: Mapping[str, JSON]) -> Node:
    """The keys of an object; they hold no references."""
    if listed := literals(names, definitions):
        return Alt(tuple(literal_text(str(each)) for each in listed))
    written = FORMATS.get(str(names.get("format"))) if isinstance(names, dict) else None
    return string(Repeat(KEY, 0, None) if written is None else written)
