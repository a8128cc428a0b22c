"""Answers equal calls from what earlier ones returned, in other turns and threads: by LangGraph's `CachePolicy`.

Only read-only calls that depend on their arguments alone may be answered so. What is kept is JSON text: no cache can
change it, and none runs anything to read it. An entry is named by the tool, its schemas and hints, and the arguments.

A cache that raises, or that takes longer than five seconds, costs no run: a warning says so, the tool is called, and
the cache is left alone for a minute.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import warnings
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar, get_args

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg
from langgraph.cache.base import BaseCache, FullKey
from langgraph.store.base import BaseStore
from langgraph.types import CachePolicy

from llmcompiler_graph.calls.introspection import argument_annotations, function_annotations, functions_of, mentions
from llmcompiler_graph.calls.own_arguments import own_arguments
from llmcompiler_graph.concurrency.giving_up import TimeIsUpError, within
from llmcompiler_graph.core.arguments import check_names, refused
from llmcompiler_graph.core.checking.procedures import digest
from llmcompiler_graph.core.errors import ConfigurationError, described
from llmcompiler_graph.core.language.plan import ToolSpec
from llmcompiler_graph.core.schedule.passes import call_key

__all__ = ("Kept", "Reuse", "ToolCache", "tool_cache")

Reuse: TypeAlias = CachePolicy[Any] | Mapping[str, CachePolicy[Any]]
"""One policy for all tools, or one for each by name."""

T = TypeVar("T")

NAMESPACE = "llmcompiler_graph"
"""The entries of a tool are in the cache's namespace `(NAMESPACE, its name)`."""

_PATIENCE = 5.0  # seconds
_REST = 60.0  # seconds
_DEFAULT: CachePolicy[Any] = CachePolicy()


class Kept(NamedTuple):
    """What is kept of a call."""

    value: Any
    """What the tool returned, as JSON."""
    content: Any
    """The content of its message."""
    artifact: Any
    """The artifact of its message."""


@dataclass(frozen=True, slots=True)
class _Reusable:
    """A tool whose calls may be answered from the cache."""

    tool: str
    """Its name."""
    digest: str
    """Names its schemas and hints."""
    policy: CachePolicy[Any]
    """What its entries are named by, and for how long they are kept."""

    def key(self, arguments: Mapping[str, Any]) -> FullKey | None:
        """The key of a call; `None` if it cannot have one."""
        named: Any = dict(arguments)
        if self.policy.key_func is not _DEFAULT.key_func:
            own = self.policy.key_func(**named)
            if not isinstance(own, str | bytes):
                msg = f"key_func of the tool {self.tool!r} must give text or bytes, not {own!r:.80}"
                raise TypeError(msg)
            named = {"key": own.hex() if isinstance(own, bytes) else own}
        try:
            text = call_key(f"{self.tool} {self.digest}", named)
        except (TypeError, ValueError):  # a wrapper has put in what is not JSON
            return None
        return (NAMESPACE, self.tool), hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class ToolCache:
    """Looks calls up in a cache, and keeps what they returned.

    Args:
        cache: The cache.
        tools: The tools whose calls may be answered from it.
    """

    def __init__(self, cache: BaseCache[Any], tools: Iterable[_Reusable]) -> None:
        self._cache = cache
        self._tools = {each.tool: each for each in tools}
        self._rests_until = 0.0  # on the event loop's clock

    async def key(self, tool: str, arguments: Mapping[str, Any]) -> FullKey | None:
        """The key of a call; `None` if it is not to be looked up."""
        if tool not in self._tools:
            return None

        async def key() -> FullKey | None:
            return self._tools[tool].key(arguments)

        return await self._asked("name a call for", key)

    async def find(self, key: FullKey) -> Kept | None:
        """What an equal call returned; `None` if nothing is kept of one."""
        found = await self._asked("read", lambda: self._cache.aget([key]))
        if not isinstance(found, Mapping):
            return None
        try:
            return Kept(*json.loads(found[key]))
        except (KeyError, TypeError, ValueError, RecursionError):  # nobody's, or of another version: it is made anew
            return None

    async def keep(self, key: FullKey, value: Any, message: ToolMessage) -> None:
        """Keep what a call returned, if JSON can say all of it."""
        kept = [value, message.content, message.artifact]
        try:
            text = json.dumps(kept, ensure_ascii=True)
            whole = json.loads(text) == kept
        except (TypeError, ValueError, RecursionError):
            return
        if whole:
            ttl = self._tools[key[0][-1]].policy.ttl
            await self._asked("write to", lambda: self._cache.aset({key: (text, ttl)}))

    async def _asked(self, what: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """Let the cache do something, if it works."""
        now = asyncio.get_running_loop().time
        if now() < self._rests_until:
            return None
        try:
            return await within(_PATIENCE, "the cache of tool calls", ask())
        except TimeIsUpError:
            why = f"it took longer than {_PATIENCE:g} s"
        except Exception as error:
            why = described(error)
        self._rests_until = now() + _REST
        told = f"could not {what} the cache of tool calls: {why}; tools are called for the next {_REST:g} s without it"
        warnings.warn_explicit(told, UserWarning, __file__, 1, __name__)  # `warn` would keep every text for ever
        return None


def tool_cache(
    cache: BaseCache[Any] | None, policy: Reuse | None, tools: Sequence[BaseTool], specs: Sequence[ToolSpec]
) -> ToolCache | None:
    """Make what answers calls from a cache; `None` if none is to be answered so.

    Args:
        cache: The cache.
        policy: For how long results are kept. One for all tools is for those that are read-only.
        tools: The tools.
        specs: What is known of each.

    Raises:
        ConfigurationError: There is no cache, or a policy names a tool whose calls cannot be answered from one.
    """
    if policy is None:
        return None
    if cache is None:
        msg = "tool_cache_policy needs a cache=, such as langgraph.cache.memory.InMemoryCache()"
        raise ConfigurationError(msg)
    known = {spec.called: (tool, spec) for tool, spec in zip(tools, specs, strict=True)}
    if isinstance(policy, Mapping):
        check_names("tool_cache_policy", policy, known)
        chosen = {name: _checked(f"tool_cache_policy[{name!r}]", each) for name, each in policy.items()}
        for name in chosen:
            if why := _not_reusable(*known[name]):
                msg = f"tool_cache_policy[{name!r}]: calls of this tool cannot be answered from a cache: {why}"
                raise ConfigurationError(msg)
    else:
        checked = _checked("tool_cache_policy", policy)
        fitting = [name for name, (tool, spec) in known.items() if spec.repeatable and not _not_reusable(tool, spec)]
        chosen = dict.fromkeys(fitting, checked)
        if known and not chosen:
            advice = "none has readOnlyHint and nothing but its arguments; give policies by name to those that may be"
            warnings.warn(f"tool_cache_policy is for no tool: {advice}", stacklevel=3)
    return ToolCache(cache, [_Reusable(name, digest(known[name][1]), each) for name, each in chosen.items()])


def _checked(what: str, given: object) -> CachePolicy[Any]:
    if not isinstance(given, CachePolicy) or not callable(given.key_func):
        raise refused(what, "a CachePolicy", given)
    ttl: object = given.ttl
    if ttl is not None and (not isinstance(ttl, int) or isinstance(ttl, bool) or ttl < 1):
        raise refused(f"{what}.ttl", "a whole number of seconds, 1 or more, or None", ttl)
    return given


def _not_reusable(tool: BaseTool, spec: ToolSpec) -> str:
    """Why a call of a tool must be made whatever equal ones have returned; empty if it need not."""
    if spec.has_effects:
        return "it changes something (destructiveHint=True or readOnlyHint=False)"
    if spec.acts:
        return "its name says that it changes something; if it does not, give it metadata={'readOnlyHint': True}"
    if given := _given_besides(tool, spec):
        return f"it is given {given} besides its arguments, so equal calls may return different things"
    return ""


def _given_besides(tool: BaseTool, spec: ToolSpec) -> str:
    """What a tool is given besides its arguments; empty for nothing."""
    if spec.sees_state:
        return "the graph's state or runtime"
    own = own_arguments(tool)
    written = [(name, each) for name, each in argument_annotations(tool).items() if name not in own]
    for function in functions_of(tool):
        annotated = function_annotations(function).items()
        written += [(name, each) for name, each in annotated if name not in own and name != "return"]
        if "runtime" in dict(annotated) and "runtime" not in own and _looks_at_nothing(function):
            written = [(name, each) for name, each in written if name != "runtime"]
    for name, annotation in written:
        if annotation is RunnableConfig or RunnableConfig in get_args(annotation):
            return f"the run's config, as {name!r},"
        if mentions(annotation, InjectedToolArg, BaseStore):
            return f"{name!r}"
    return ""


def _looks_at_nothing(function: Callable[..., Any]) -> bool:
    """Whether a function has a `runtime` only for MCP interceptors (`langchain_mcp_adapters`), and there are none."""
    try:
        named = inspect.getclosurevars(function).nonlocals
    except TypeError:
        return False
    return "tool_interceptors" in named and not named["tool_interceptors"]
