"""The arguments of most calls, read by one regular expression; `call_syntax` reads all others, and these alike.

They are strings in straight quotes, with references in them, numbers and references to whole observations, by position
or by name. It takes a tenth of the time that Python's own parser and what prepares a text for it take.

>>> plain_arguments('"K2 and $1", limit=2, of=$1', is_task=lambda n: n == 1, rename=lambda n: n)
((Template(parts=('K2 and ', Reference(index=1, path=()))),), {'limit': 2, 'of': Reference(index=1, path=())})

May know: `references`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from llmcompiler_graph.core.language.references import Reference, Value, parse_template
from llmcompiler_graph.core.patterns import lazy_pattern

__all__ = ("plain_arguments",)

_ARGUMENT = lazy_pattern(
    r"""
    [ ]*+
    (?:(?P<name>[A-Za-z_][A-Za-z0-9_]*+)[ ]*=[ ]*)?
    (?:
      "(?P<double>[\w !\#-\[\]-~]*+)"
      |'(?P<single>[\w !-&(-\[\]-~]*+)'
      |(?P<integer>-?(?:0|[1-9][0-9]{0,17}))
      |(?P<decimal>-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,17})
      |\$(?P<reference>[1-9][0-9]{0,8})
      |\$\{(?P<braced>[1-9][0-9]{0,8})\}
    )
    [ ]*+(?:,|\Z)
    """,
    re.VERBOSE,
)


def plain_arguments(
    text: str, is_task: Callable[[int], bool], rename: Callable[[int], int]
) -> tuple[tuple[Value, ...], dict[str, Value]] | None:
    """Read arguments, those given by position and those given by name; `None` if that takes more than this.

    The parameters are those of `parse_arguments`.
    """
    positional: list[Value] = []
    named: dict[str, Value] = {}
    end = 0
    while end < len(text):
        argument = _ARGUMENT.match(text, end)
        if argument is None or argument.lastgroup is None:
            return None
        end, written = argument.end(), argument[argument.lastgroup]
        value: Value = written
        match argument.lastgroup:
            case "integer":
                value = int(written)
            case "decimal":
                value = float(written)
            case "reference" | "braced":
                if not is_task(int(written)):
                    return None
                value = Reference(rename(int(written)))
            case _ if "$" in written:
                parsed = parse_template(written, is_task, rename)
                if parsed.malformed or parsed.literal_dollars or parsed.unknown:
                    return None
                value = parsed.value
        if (name := argument["name"]) is not None:
            if name in named:
                return None
            named[name] = value
        elif named:
            return None
        else:
            positional.append(value)
    return tuple(positional), named
