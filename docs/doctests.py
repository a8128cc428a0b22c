"""Puts fences around the examples of docstrings, so that the site shows them as code."""

import re
from typing import Any

from griffe import Extension, Object

_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*\n).*)*", re.MULTILINE)


class Doctests(Extension):
    """Changes the docstrings of everything that is loaded."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change one."""
        if obj.docstring is not None and "```" not in obj.docstring.value:
            obj.docstring.value = _EXAMPLE.sub(lambda found: f"```python\n{found[0]}\n```", obj.docstring.value)
