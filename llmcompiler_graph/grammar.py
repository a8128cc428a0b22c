r"""The plan language and the joiner's reply as GBNF, llama.cpp's grammar format, for the tools at hand.

Untyped: tool and argument names are those of the tools, values are JSON-like literals and references to earlier lines;
whether a reference's type fits is the checker's matter.

>>> print(plan_grammar([ToolSpec("search", {"query": {"type": "string"}}, frozenset({"query"}))], 1, 2).splitlines()[0])
root ::= thought? line1
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmcompiler_graph.plan import ToolSpec

__all__ = ("decision_grammar", "plan_grammar")

_VALUES = r"""
value ::= string | number | "true" | "false" | "null" | list | object
list ::= "[" (value (", " value)*)? "]"
object ::= "{" (string ": " value (", " string ": " value)*)? "}"
string ::= "\"" char{0,400} "\""
char ::= [^"\\\x00-\x1f] | "\\" ["\\nt]
number ::= "-"? [0-9]{1,12} ("." [0-9]{1,9})?
thought ::= "Thought: " [^\n]{1,300} "\n"
""".strip()


def plan_grammar(tools: Iterable[ToolSpec], first: int, max_tasks: int) -> str:
    """Write the grammar of plans of up to `max_tasks` tasks, numbered from `first`."""
    listed = list(tools)
    last = first + max_tasks
    rules = ["root ::= thought? line" + str(first)]
    for index in range(first, last):
        call = f'"{index}. " call "\\n" thought? line{index + 1} | ' if listed else ""
        rules.append(f'line{index} ::= {call}"{index}. join()"')
    rules.append(f'line{last} ::= "{last}. join()"')
    if listed:
        rules.append("call ::= " + " | ".join(f"call-{n}" for n in range(len(listed))))
    for n, tool in enumerate(listed):
        arguments = " ", *(f"{_literal(f'{name}=')} argument" for name in tool.parameters)
        required = [a for name, a in zip(tool.parameters, arguments[1:], strict=True) if name in tool.required]
        optional = [a for name, a in zip(tool.parameters, arguments[1:], strict=True) if name not in tool.required]
        body = ' ", " '.join(required)
        for one in optional:
            body += f' (", " {one})?' if required else f" ({one})?" if one is optional[0] else f' (", " {one})?'
        rules.append(f"call-{n} ::= {_literal(f'{tool.name}(')} {body} {_literal(')')}")
    rules.append("argument ::= reference | value")
    rules.append('reference ::= "$" [1-9] [0-9]? | "${" [1-9] [0-9]? path "}"')
    rules.append(r'path ::= ("." [A-Za-z_] [A-Za-z0-9_]{0,40} | "[" ([0-9]{1,3} | "*") "]"){0,4}')
    return "\n".join([*rules, _VALUES])


def decision_grammar(may_replan: bool) -> str:
    """Write the grammar of the joiner's reply."""
    replan = r' | "Replan: " [^\n]{1,400}' if may_replan else ""
    return f'root ::= "Thought: " [^\\n]{{1,500}} "\\n" ("Finish: " [^\\x00]{{1,4000}}{replan})'


def _literal(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
