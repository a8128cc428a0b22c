"""What a turn's model calls may use, in tokens or money, and what they have used.

Tokens are those that the models report. Of a call that reports none, that is cut short or still under way, they are
estimated: a token for four characters, or for one that is not ASCII.

>>> meter = budget_meter(Budget(tokens=5000, reserve=500), "openai:gpt-4o", "openai:gpt-4o")
>>> account = Account(meter, [{"usage": {"planner": tokens(3000, 200)}}])
>>> account.has_room(("joiner", 1000, 500)), account.has_room(("joiner", 1500, 500))
(True, False)
>>> str(meter)
"the turn's budget of 5,000 tokens"
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.messages.utils import count_tokens_approximately

from llmcompiler_graph.core.arguments import check_count, refused
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.models.lazy import ModelLike, innermost, is_local
from llmcompiler_graph.models.prices import PRICES, Price, price_of

__all__ = ("Account", "Budget", "Meter", "ModelCall", "Role", "budget_meter", "estimated", "tokens")

Role: TypeAlias = Literal["planner", "joiner"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What the model calls of a turn may use, in tokens, in money, or in both."""

    tokens: int | None = None
    """How many tokens the models may read and write."""
    dollars: float | None = None
    """How many US dollars they may cost."""
    reserve: int = 1000
    """How many tokens are kept back for the joiner to write, besides its prompt."""
    prices: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """US dollars per million tokens that a model reads and writes, and if it has one, the price of those that it reads
    from a cache: `{"gpt-5-mini": (0.25, 2.0, 0.025)}`; by its name, or as `"planner"` or `"joiner"`. Others are those
    of `llmcompiler_graph.models.prices`."""

    def __post_init__(self) -> None:
        """Refuse what is no budget.

        Raises:
            ConfigurationError: It has no limit, or one that cannot be.
        """
        if self.tokens is None and self.dollars is None:
            msg = "a Budget needs tokens, dollars or both"
            raise ConfigurationError(msg)
        if self.tokens is not None:
            check_count("budget.tokens", self.tokens, 1)
        if self.dollars is not None and not (_is_number(self.dollars) and self.dollars > 0):
            raise refused("budget.dollars", "more than 0 US dollars", self.dollars)
        check_count("budget.reserve", self.reserve, 1)
        for model, price in self.prices.items():
            given: object = price
            if not (isinstance(given, Sequence) and len(given) in (2, 3) and all(map(_is_number, given))):
                takes = (
                    "US dollars per million tokens: those read, those written, and those read from a cache if it has"
                )
                raise refused(f"budget.prices[{model!r}]", f"{takes} such a price", given)


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given < float("inf")


class _Rates(NamedTuple):
    """What a token costs, in the unit of a limit."""

    read: float = 1
    written: float = 1
    cached: float = 1

    def cost(self, usage: UsageMetadata) -> float:
        cached = usage.get("input_token_details", {}).get("cache_read", 0) or 0
        return (
            (usage["input_tokens"] - cached) * self.read + cached * self.cached + usage["output_tokens"] * self.written
        )


class _Limit(NamedTuple):
    most: float
    rates: Mapping[Role, _Rates]


@dataclass(frozen=True, slots=True)
class Meter:
    """A budget, with what the tokens of the graph's models cost."""

    budget: Budget
    """The budget."""
    limits: tuple[_Limit, ...]
    """What may be used, in each unit."""

    def __str__(self) -> str:
        parts = [f"{self.budget.tokens:,} tokens"] if self.budget.tokens is not None else []
        parts += [f"{self.budget.dollars:g} US dollars"] if self.budget.dollars is not None else []
        return f"the turn's budget of {' and '.join(parts)}"


def budget_meter(budget: int | Budget | None, planner: ModelLike, joiner: ModelLike) -> Meter | None:
    """Make what measures by a budget.

    Args:
        budget: The budget; a number is one of tokens.
        planner: The model that plans.
        joiner: The model that joins.

    Raises:
        ConfigurationError: It is none, or nothing is known of what a model costs.
    """
    if budget is None:
        return None
    given = Budget(tokens=budget) if isinstance(budget, int) and not isinstance(budget, bool) else budget
    if not isinstance(given, Budget):
        raise refused("budget", "a number of tokens or a Budget", budget)
    free: dict[Role, _Rates] = {"planner": _Rates(), "joiner": _Rates()}
    limits = [_Limit(given.tokens, free)] if given.tokens is not None else []
    if given.dollars is not None:
        priced: dict[Role, _Rates] = {
            "planner": _rates("planner", planner, given),
            "joiner": _rates("joiner", joiner, given),
        }
        limits.append(_Limit(given.dollars, priced))
    return Meter(given, tuple(limits))


def _rates(role: Role, model: ModelLike, budget: Budget) -> _Rates:
    name = _name(model)
    own = {known: Price(each[0], each[1], each[2] if len(each) > 2 else None) for known, each in budget.prices.items()}
    if (price := own.get(role) or price_of(name, {**PRICES, **own})) is None:
        what = f"of the model {name!r}" if name else f"of the {role}'s model, which does not say its name"
        advice = f"give it by Budget(…, prices={{{name or role!r}: (…, …)}}), per million tokens read and written"
        msg = f"a budget in dollars needs the price {what}: {advice}"
        raise ConfigurationError(msg)
    return _Rates(price.input / 1e6, price.output / 1e6, price.of_cached / 1e6)


def _name(model: ModelLike) -> str:
    """The name of a model, as prices have it; of one with fallbacks, that of the first."""
    if isinstance(model, str):
        return model
    if is_local(model):
        return "local"
    inner = innermost(model)
    for attribute in ("model_name", "model", "model_id"):
        if isinstance(name := getattr(inner, attribute, None), str):
            return name
    return ""


def tokens(read: int, written: int) -> UsageMetadata:
    """Tokens, as LangChain's models report them."""
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)


class Account:
    """What a turn has used of its budget.

    Args:
        meter: The budget.
        rounds: The turn's plans so far.
    """

    def __init__(self, meter: Meter, rounds: Iterable[Mapping[str, Any]]) -> None:
        self.meter = meter
        """The budget."""
        self._used = [0.0] * len(meter.limits)
        for one in rounds:
            for usage in (one["usage"], one.get("estimated", {})):
                for role, counted in usage.items():
                    self.add(role, counted)

    @property
    def reserve(self) -> int:
        """How many tokens are kept back for the joiner to write."""
        return self.meter.budget.reserve

    def add(self, role: Role, usage: UsageMetadata | None) -> None:
        """Take note of what a call has used."""
        if usage is not None:
            self._used = [
                used + limit.rates[role].cost(usage) for used, limit in zip(self._used, self.meter.limits, strict=True)
            ]

    def has_room(self, *calls: tuple[Role, int, int]) -> bool:
        """Whether calls can be made that read and write so many tokens."""
        return all(
            used + sum(limit.rates[role].cost(tokens(read, written)) for role, read, written in calls) <= limit.most
            for used, limit in zip(self._used, self.meter.limits, strict=True)
        )


class ModelCall:
    """A call of a model while it is under way: what it has used so far, as far as that is known.

    Args:
        read: How many tokens it reads, estimated; `None` if nothing is to be estimated.
    """

    def __init__(self, read: int | None) -> None:
        self.read = read or 0
        """How many tokens it reads, estimated."""
        self._estimates = read is not None
        self.usage: UsageMetadata | None = None
        """What the model reports."""
        self.cut = False
        """Whether its reply is not read to the end."""
        self._written = 0.0

    @property
    def written(self) -> int:
        """How many tokens it has written, estimated."""
        return int(self._written + 0.999)

    def take(self, message: AIMessage) -> None:
        """Take note of a piece of the reply."""
        if message.usage_metadata:
            self.usage = add_usage(self.usage, message.usage_metadata)
        if not self._estimates:
            return
        content = message.content
        self._written += _of_text(content if isinstance(content, str) else json.dumps(content, default=str))
        for chunk in (*getattr(message, "tool_call_chunks", ()), *_thoughts(message)):
            self._written += _of_text(json.dumps(chunk, default=str) if not isinstance(chunk, dict) else _said(chunk))

    def unreported(self, *, cut: bool) -> UsageMetadata | None:
        """What it has used that the model has not reported; `None` if it has reported all.

        Args:
            cut: Whether the reply was not read to its end: what is reported then may be the beginning.
        """
        if not self._estimates:
            return None
        if self.usage is None:
            return tokens(self.read, self.written)
        more = self.written - self.usage["output_tokens"]
        return tokens(0, more) if cut and more > 0 else None


def _said(chunk: Mapping[str, Any]) -> str:
    return f"{chunk.get('name') or ''}{chunk.get('args') or ''}"


def _thoughts(message: AIMessage) -> list[str]:
    thought = message.additional_kwargs.get("reasoning_content")
    return [thought] if isinstance(thought, str) else []


def estimated(prompt: Sequence[BaseMessage], model: object = None) -> int:
    """How many tokens a prompt has, about, with the tools that a model is bound to."""
    more = sum(_others(message.text) for message in prompt)
    bound = getattr(model, "kwargs", {}).get("tools", ()) if model is not None else ()
    said = json.dumps(list(bound), default=str, ensure_ascii=False) if bound else ""
    return int(count_tokens_approximately(prompt) + more + _of_text(said)) + 1


def _of_text(text: str) -> float:
    return len(text) / 4 + _others(text)


def _others(text: str) -> float:
    """What characters that are not ASCII take more than others."""
    return 0 if text.isascii() else 0.75 * sum(not char.isascii() for char in text)
