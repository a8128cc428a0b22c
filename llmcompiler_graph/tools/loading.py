"""Turns tool names from a command line or configuration into tools.

>>> [tool.name for tool in load_tools(["lookup", "calculate"])]
['lookup', 'calculate']
"""

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from langchain_core.tools import BaseTool, tool

from llmcompiler_graph.tools.calculate import calculate
from llmcompiler_graph.tools.lookup import lookup
from llmcompiler_graph.tools.wikipedia import wikipedia

BUILT_IN: Mapping[str, Callable[[], BaseTool]] = {
    "lookup": lambda: lookup,
    "calculate": lambda: calculate,
    "wikipedia": wikipedia,
}
"""The names that need no module, and what makes their tools; an `ImportError` says what to install."""


class ToolLoadError(ValueError):
    """A tool name that leads to no tool."""


def load_tools(names: Sequence[str]) -> list[BaseTool]:
    """Load tools in the order of their names.

    A name is one of `BUILT_IN`, or `"package.module:attribute"` where the attribute is a tool, a function with a
    docstring (it becomes a tool), or a list or tuple of these. Modules are found in the current directory too.

    Raises:
        ToolLoadError: if a name leads to no tool, or two tools have the same name.
    """
    tools = [loaded for name in names for loaded in _load(name)]
    seen: set[str] = set()
    for loaded in tools:
        if loaded.name in seen:
            raise ToolLoadError(f"two tools are named {loaded.name!r}: a plan could not tell them apart")
        seen.add(loaded.name)
    return tools


def _load(name: str) -> list[BaseTool]:
    module, colon, attribute = name.partition(":")
    if module and colon and attribute:
        return _as_tools(_import(module, attribute), name)
    if name in BUILT_IN:
        try:
            return [BUILT_IN[name]()]
        except ImportError as error:
            raise ToolLoadError(str(error)) from error
    near = difflib.get_close_matches(name, BUILT_IN, n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    raise ToolLoadError(
        f"unknown tool {name!r}{meant}: built in are {', '.join(BUILT_IN)}; your own are 'package.module:attribute'"
    )


def _import(module: str, attribute: str) -> object:
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    importlib.invalidate_caches()
    try:
        found: object = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise ToolLoadError(f"importing {module!r} failed: {error}") from error
        raise ToolLoadError(f"no module {error.name!r} in {directory!r} or the Python path") from error
    except Exception as error:
        raise ToolLoadError(f"importing {module!r} failed: {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise ToolLoadError(f"module {module!r} has no attribute {attribute!r}") from error
    return found


def _as_tools(value: object, name: str) -> list[BaseTool]:
    if isinstance(value, BaseTool):
        return [value]
    if isinstance(value, list | tuple):
        return [loaded for element in value for loaded in _as_tools(element, name)]
    if inspect.isroutine(value):
        try:
            return [tool(value)]
        except ValueError as error:
            raise ToolLoadError(f"{name!r} cannot become a tool: {error}") from error
    raise ToolLoadError(
        f"{name!r} is a {type(value).__name__}, not a tool: give a LangChain tool, a function with a docstring,"
        " or a list of them"
    )
