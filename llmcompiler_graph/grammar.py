r"""The plan language and the joiner's reply as GBNF, llama.cpp's grammar format, for the tools at hand.

Tool and argument names are those of the tools, and literals have their parameter's JSON type; whether a reference is to
an earlier task and fits is the checker's matter.

>>> search = ToolSpec("search", {"query": {"type": "string"}}, frozenset({"query"}))
>>> print("\n".join(plan_grammar([search], first=1, max_tasks=1).splitlines()[:4]))
root ::= thought? line1
line1 ::= "1. " call "\n" line2 | "1. join()"
line2 ::= "2. join()"
call ::= call0

May know: `plan`, `schema`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from llmcompiler_graph.plan import ToolSpec
from llmcompiler_graph.schema import literals, type_names

__all__ = ("decision_grammar", "plan_grammar")

_RULES = r"""
any ::= string | number | boolean | "None" | list | object
list ::= "[" (element (", " element)*)? "]"
element ::= any | reference
object ::= "{" (string ": " element (", " string ": " element)*)? "}"
string ::= "\"" char{0,400} "\""
char ::= [^"\\\x00-\x1f] | "\\" ["\\nt]
integer ::= "-"? [0-9]{1,12}
number ::= integer ("." [0-9]{1,9})?
boolean ::= "True" | "False"
reference ::= "$" task | "${" task path "}"
task ::= [1-9] [0-9]?
path ::= (("." [A-Za-z_] [A-Za-z0-9_]{0,40}) | ("[" ([0-9]{1,3} | "*") "]")){1,4}
thought ::= "Thought: " [^\n]{1,300} "\n"
""".strip()

_BY_TYPE = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "null": '"None"',
    "array": "list",
    "object": "object",
}


def plan_grammar(
    tools: Iterable[ToolSpec], *, first: int, max_tasks: int | None = None, indices: Sequence[int] | None = None
) -> str:
    """Write the grammar of plans of up to `max_tasks` tasks (24 if any number is allowed), numbered from `first`.

    With `indices`, it is that of just these tasks, written again.
    """
    listed = list(tools)
    if indices and listed:
        lines = [f'"{index}. " call' for index in indices]
        again = [
            "root ::= " + ' "\\n" '.join(lines),
            "call ::= " + " | ".join(f"call{n}" for n in range(len(listed))),
            *(f"call{n} ::= {_call(tool)}" for n, tool in enumerate(listed)),
        ]
        return "\n".join([*again, _RULES])
    last = first + (max_tasks or 24)
    rules = [f"root ::= thought? line{first}"]
    for index in range(first, last):
        task = f'"{index}. " call "\\n" line{index + 1} | ' if listed else ""
        rules.append(f'line{index} ::= {task}"{index}. join()"')
    rules.append(f'line{last} ::= "{last}. join()"')
    if listed:
        rules.append("call ::= " + " | ".join(f"call{n}" for n in range(len(listed))))
    rules += [f"call{n} ::= {_call(tool)}" for n, tool in enumerate(listed)]
    return "\n".join([*rules, _RULES])


def _call(tool: ToolSpec) -> str:
    """One tool's calls: required arguments in order, then any of the others in order, by name."""
    required = [_argument(tool, name) for name in tool.parameters if name in tool.required]
    optional = [_argument(tool, name) for name in tool.parameters if name not in tool.required]
    if required:
        body = ' ", " '.join(required) + _others(optional)
    else:  # each may be the first: then no comma stands before it
        firsts = (one + _others(optional[n:]) for n, one in enumerate(optional, 1))
        body = f"({' | '.join(firsts)})?" if optional else ""
    return f"{_literal(tool.name + '(')} {body} {_literal(')')}"


def _others(optional: Iterable[str]) -> str:
    return "".join(f' (", " {one})?' for one in optional)


def _argument(tool: ToolSpec, name: str) -> str:
    schema = tool.parameters[name]
    values = [
        _literal(repr(v) if not isinstance(v, str) else json.dumps(v)) for v in literals(schema, tool.definitions)
    ]
    values = values or [_BY_TYPE[each] for each in type_names(schema, tool.definitions) if each in _BY_TYPE] or ["any"]
    return f"{_literal(name + '=')} ({' | '.join([*dict.fromkeys(values), 'reference'])})"


def decision_grammar(*, may_replan: bool, plan: str = "") -> str:
    """Write the grammar of the joiner's reply; with a plan's grammar, a replan has that plan below it."""
    below = ' "\\n" plan' if plan else ""
    replan = rf' | "Replan: " [^\n]{{1,400}}{below}' if may_replan else ""
    root = f'root ::= "Thought: " [^\\n]{{1,240}} "\\n" ("Finish: " [^\\n]{{1,4000}}{replan})'
    return "\n".join([root, *(["plan" + plan.removeprefix("root")] if may_replan and plan else [])])


def _literal(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
