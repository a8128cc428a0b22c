"""How long a tool call may take and when it is made again, in LangGraph's own `TimeoutPolicy` and `RetryPolicy`.

A policy for all tools is applied to retries only where a second call does no harm: to tools that are read-only or
idempotent (MCP `readOnlyHint`, `idempotentHint`). A policy for one tool, by its name, is applied as it stands: the
caller knows.
"""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias

from langgraph.errors import GraphBubbleUp
from langgraph.types import RetryPolicy, TimeoutPolicy

from llmcompiler_graph.concurrency.giving_up import TimeIsUpError, within
from llmcompiler_graph.core.arguments import check_names, refused, seconds
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.language.plan import Observation, ToolSpec

__all__ = ("Retry", "Timeout", "ToolPolicy")

Retry: TypeAlias = RetryPolicy | Mapping[str, RetryPolicy]
"""One policy for all tools, or one for each by name."""

Timeout: TypeAlias = float | timedelta | TimeoutPolicy | Mapping[str, float | timedelta | TimeoutPolicy]
"""One limit for all tools, or one for each by name; numbers are seconds."""


class ToolPolicy:
    """Makes calls within their limits, and again where that is allowed.

    Args:
        specs: What is known of the tools.
        retry: When to make a failed call again; `None` for never.
        timeout: How long a call may take; `None` for any time.

    Raises:
        ConfigurationError: A policy names no tool, or asks for what a call cannot do.
    """

    def __init__(self, specs: Iterable[ToolSpec], retry: Retry | None = None, timeout: Timeout | None = None) -> None:
        known = {spec.called: spec for spec in specs}
        for what, given in (("tool_retry_policy", retry), ("tool_timeout", timeout)):
            if isinstance(given, Mapping):
                check_names(what, given, known)
        if isinstance(retry, Mapping):
            self._retry = {name: _retry(f"tool_retry_policy[{name!r}]", given) for name, given in retry.items()}
        elif retry is not None:
            policy = _retry("tool_retry_policy", retry)
            self._retry = {name: policy for name, spec in known.items() if spec.repeatable or spec.idempotent}
            if known and not self._retry:
                advice = "none has readOnlyHint or idempotentHint; give policies by name to those that may be retried"
                warnings.warn(f"tool_retry_policy is for no tool: {advice}", stacklevel=3)
        else:
            self._retry = {}
        if isinstance(timeout, Mapping):
            self._timeout = {name: _limit(f"tool_timeout[{name!r}]", given) for name, given in timeout.items()}
        elif timeout is not None:
            self._timeout = dict.fromkeys(known, _limit("tool_timeout", timeout))
        else:
            self._timeout = {}

    async def apply(self, tool: str, call: Callable[[], Coroutine[Any, Any, Observation]]) -> Observation:
        """Make a call within its limits; return the observation of the last attempt.

        A call out of time is a failed one. What cannot be stopped is given up: a synchronous tool, which keeps its
        thread until it returns, and a coroutine that does not end when it is cancelled.
        """
        policy = self._retry.get(tool)
        now = asyncio.get_running_loop().time
        began, attempts = now(), list[float]()
        while True:
            retry = policy if policy is not None and len(attempts) + 1 < policy.max_attempts else None
            try:
                observation = await self._in_time(tool, call)
            except GraphBubbleUp:
                raise
            except Exception as error:
                if retry is None or not _retries(retry, error):
                    raise
            else:
                raised = observation.raised
                if raised is None or retry is None or not _retries(retry, raised):
                    if raised is None and not attempts:
                        return observation
                    # the traceback of what was raised would keep the tool's values alive
                    return replace(observation, raised=None, attempts=tuple(attempts))
            wait = min(retry.max_interval, retry.initial_interval * retry.backoff_factor ** len(attempts))
            attempts.append(now() - began)
            await asyncio.sleep(wait + (random.uniform(0, 1) if retry.jitter else 0))

    async def _in_time(self, tool: str, call: Callable[[], Coroutine[Any, Any, Observation]]) -> Observation:
        limit = self._timeout.get(tool)
        try:
            return await within(limit, f"the tool {tool!r}", call())
        except TimeIsUpError as error:
            return Observation("failed", error=f"TimeoutError: no result within {limit:g} s", raised=error)


def _retry(what: str, given: object) -> RetryPolicy:
    if not isinstance(given, RetryPolicy) or given.max_attempts < 1:
        raise refused(what, "a RetryPolicy of 1 or more max_attempts", given)
    return given


def _limit(what: str, given: object) -> float:
    if not isinstance(given, TimeoutPolicy):
        return seconds(what, given)
    if given.run_timeout is None or given.idle_timeout is not None:
        msg = f"{what} takes a TimeoutPolicy with run_timeout only, not {given!r}: calls have no idle_timeout"
        raise ConfigurationError(msg)
    return seconds(f"{what}.run_timeout", given.run_timeout)


def _retries(retry: RetryPolicy, error: Exception) -> bool:
    """Whether a policy wants another attempt after an error; running out of time always counts as a reason."""
    if isinstance(error, TimeoutError):
        return True
    wanted = retry.retry_on
    if isinstance(wanted, type):
        return isinstance(error, wanted)
    if callable(wanted):
        return wanted(error)
    return isinstance(error, tuple(wanted))
