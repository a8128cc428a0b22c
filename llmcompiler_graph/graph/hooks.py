"""Reads LangChain's middleware: what of it goes where in this graph.

    tools, state_schema, transformers    added to the graph's own
    wrap_tool_call                       put around every call of a tool, in the list's order, the first outermost
    wrap_model_call                      put around every call of planner and joiner (see `model_calls`)

`langchain` is imported only where there is middleware.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from llmcompiler_graph.calls.runner import Wrapper
from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.graph.model_calls import ModelWrapper

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware

__all__ = ("Hooks",)

_LATER = ("before_agent", "before_model", "after_model", "after_agent")


class Hooks:
    """What the middleware of one graph asks for.

    Args:
        given: LangChain's `AgentMiddleware`s, the outermost first.

    Raises:
        ConfigurationError: Something else is given, one twice, or one that a graph of plans has no place for.
    """

    def __init__(self, given: object) -> None:
        self._all = _checked(given)
        self.tools: list[Any] = [tool for each in self._all for tool in getattr(each, "tools", ())]
        """The tools it brings along."""
        self.state_schemas: list[type[Any]] = [each.state_schema for each in self._all]
        """The schemas of what it keeps in the state."""
        self.transformers: list[Callable[..., Any]] = [t for each in self._all for t in each.transformers]
        """What is to transform the graph's streams."""
        self.tool_wrappers = [
            Wrapper(_own(each, "wrap_tool_call"), _own(each, "awrap_tool_call"))
            for each in self._all
            if _has(each, "wrap_tool_call")
        ]
        """What it puts around each call of a tool."""
        self.model_wrappers = [
            ModelWrapper(each.name, _own(each, "wrap_model_call"), _own(each, "awrap_model_call"))
            for each in self._all
            if _has(each, "wrap_model_call")
        ]
        """What it puts around each call of a model."""


def _checked(given: object) -> Sequence[AgentMiddleware[Any, Any]]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise refused("middleware", "a list of LangChain's AgentMiddleware", given)
    listed = list(given)
    if not listed:
        return ()
    from langchain.agents.middleware import AgentMiddleware

    names: set[str] = set()
    for each in listed:
        if not isinstance(each, AgentMiddleware):
            raise refused("middleware", "a list of LangChain's AgentMiddleware", each)
        if each.name in names:
            msg = f"middleware has {each.name!r} twice: each needs a name of its own"
            raise ConfigurationError(msg)
        names.add(each.name)
        for hook in _LATER:
            if _has(each, hook):
                msg = f"middleware {each.name!r} cannot be used: this graph does not call {hook!r} yet"
                raise ConfigurationError(msg)
    return listed


def _has(middleware: AgentMiddleware[Any, Any], hook: str) -> bool:
    """Whether a hook is defined, in either of its ways."""
    return any(_own(middleware, name) is not None for name in (hook, f"a{hook}"))


def _own(middleware: AgentMiddleware[Any, Any], name: str) -> Any:
    """A method that a middleware defines; `None` where it has only that of `AgentMiddleware`, which does nothing."""
    from langchain.agents.middleware import AgentMiddleware

    defined = getattr(type(middleware), name) is not getattr(AgentMiddleware, name)
    return getattr(middleware, name) if defined else None
