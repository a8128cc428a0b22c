"""Reads LangChain's middleware: what of it goes where in this graph.

    tools, state_schema, transformers    added to the graph's own
    wrap_tool_call                       put around every call of a tool, in the list's order, the first outermost
    wrap_model_call                      put around every call of planner and joiner (see `model_calls`)
    before_agent, after_agent            nodes, once a turn
    before_model, after_model            nodes, before and after each call of planner and joiner (see `hook_nodes`)
    HumanInTheLoopMiddleware             `interrupt_on`: the arguments that a human is shown are resolved

`langchain` is imported only where there is middleware.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.messages import ToolCall

from llmcompiler_graph.calls.runner import Wrapper
from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.graph.model_calls import ModelWrapper

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware

__all__ = ("Hooks",)

_REFUSED = {
    "TodoListMiddleware": "its list of steps and the planner's plan are the same thing twice: the plan is in the state",
    "ProviderToolSearchMiddleware": "it leaves it to the provider which tools the model is shown, and a plan can only "
    "be checked against tools that are known: use `select_tools`",
}


class Hook(NamedTuple):
    """A middleware's hook before or after a turn or a model call, in one way or in both."""

    name: str
    """The name of its node."""
    call: Callable[..., Any] | None
    """Its synchronous way."""
    acall: Callable[..., Any] | None
    """Its asynchronous way."""
    may_end: bool
    """Whether it may end the turn."""


class Hooks:
    """What the middleware of one graph asks for.

    Args:
        given: LangChain's `AgentMiddleware`s, the outermost first.

    Raises:
        ConfigurationError: Something else is given, one twice, or one that a graph of plans has no place for.
    """

    def __init__(self, given: object) -> None:
        listed = _checked(given)
        self._all = [each for each in listed if not _asks_humans(each)]
        self.approving = [each for each in listed if _asks_humans(each)]
        """The `HumanInTheLoopMiddleware`: it becomes `interrupt_on`."""
        self.tools: list[Any] = [tool for each in self._all for tool in _tools(each)]
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
        self.before_agent = self._hooks("before_agent")
        """What is called when a turn begins."""
        self.before_model = self._hooks("before_model")
        """What is called before each call of planner and joiner."""
        self.after_model = self._hooks("after_model")[::-1]
        """What is called after each."""
        self.after_agent = self._hooks("after_agent")[::-1]
        """What is called when a turn ends."""
        self.nodes = bool(self.before_agent or self.before_model or self.after_model or self.after_agent)
        """Whether the graph has nodes for hooks."""
        self.holds = any(_may_settle(each) for each in self._all)
        """Whether no call may begin before hooks have seen the plan."""

    def _hooks(self, hook: str) -> list[Hook]:
        return [
            Hook(f"{each.name}.{hook}", _own(each, hook), _own(each, f"a{hook}"), "end" in _jumps(each, hook))
            for each in self._all
            if _has(each, hook) and not _is_idle(each, hook)
        ]

    @property
    def interrupt_mode(self) -> Any:
        """How a run pauses for humans, as `HumanInTheLoopMiddleware` says it."""
        return getattr(self.approving[0], "interrupt_mode", "batched")

    def interrupt_on(self) -> dict[str, Any]:
        """What a human is asked about, as `HumanInTheLoopMiddleware` says it."""
        asked: dict[str, Any] = {}
        for each in self.approving:
            for tool, config in each.interrupt_on.items():  # type: ignore[attr-defined]
                asked[tool] = {"description": partial(_described, each.description_prefix), **config}  # type: ignore[attr-defined]
        return asked


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
        for kind in type(each).__mro__:
            if kind.__name__ in _REFUSED and kind.__module__.startswith("langchain."):
                msg = f"middleware {each.name!r} cannot be used: {_REFUSED[kind.__name__]}"
                raise ConfigurationError(msg)
        for hook in ("before_agent", "before_model", "after_model", "after_agent"):
            if others := set(_jumps(each, hook)) - {"end"}:
                msg = f"middleware {each.name!r} cannot be used: its {hook!r} jumps to {sorted(others)}, which is no \
place in a plan's turn; it may jump to 'end'"
                raise ConfigurationError(msg)
    return listed


def _tools(middleware: AgentMiddleware[Any, Any]) -> Iterable[Any]:
    """The tools that a middleware brings along; the commands of a shell are run in the plan's order."""
    from langchain.agents.middleware import ShellToolMiddleware

    tools = getattr(middleware, "tools", ())
    if not isinstance(middleware, ShellToolMiddleware):
        return tools
    return [tool.model_copy(update={"metadata": {"destructiveHint": True, **(tool.metadata or {})}}) for tool in tools]


def _asks_humans(middleware: AgentMiddleware[Any, Any]) -> bool:
    from langchain.agents.middleware import HumanInTheLoopMiddleware

    return isinstance(middleware, HumanInTheLoopMiddleware)


def _described(prefix: str, call: ToolCall, state: Any, runtime: Any) -> str:
    """What a human is told of a call, as LangChain's middleware words it."""
    return f"{prefix}\n\nTool: {call['name']}\nArgs: {call['args']}"


def _jumps(middleware: AgentMiddleware[Any, Any], hook: str) -> list[str]:
    """Where a hook may jump to, as `hook_config` notes it."""
    ways = (getattr(type(middleware), name, None) for name in (hook, f"a{hook}"))
    return [place for way in ways for place in getattr(way, "__can_jump_to__", ())]


def _is_idle(middleware: AgentMiddleware[Any, Any], hook: str) -> bool:
    """Whether a hook is known to do nothing: `PIIMiddleware` has them all, whatever it is told to look at."""
    from langchain.agents.middleware import PIIMiddleware

    if type(middleware) is not PIIMiddleware:
        return False
    if hook == "after_model":
        return not middleware.apply_to_output
    return not (middleware.apply_to_input or middleware.apply_to_tool_results)


def _may_settle(middleware: AgentMiddleware[Any, Any]) -> bool:
    """Whether a middleware may answer calls of a plan, or end the turn, before they are made."""
    from langchain.agents.middleware import ModelCallLimitMiddleware

    if type(middleware) is ModelCallLimitMiddleware:  # it counts
        return False
    return _has(middleware, "after_model") and not _is_idle(middleware, "after_model")


def _has(middleware: AgentMiddleware[Any, Any], hook: str) -> bool:
    """Whether a hook is defined, in either of its ways."""
    return any(_own(middleware, name) is not None for name in (hook, f"a{hook}"))


def _own(middleware: AgentMiddleware[Any, Any], name: str) -> Any:
    """A method that a middleware defines; `None` where it has only that of `AgentMiddleware`, which does nothing."""
    from langchain.agents.middleware import AgentMiddleware

    defined = getattr(type(middleware), name) is not getattr(AgentMiddleware, name)
    return getattr(middleware, name) if defined else None
