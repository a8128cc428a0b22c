"""From what the caller gives as a model to a chat model: an instance, `"provider:name"`, or `"local"`.

A chat model may have LangChain's wrappers around it: `bind`, `with_config`, `with_retry`, `with_fallbacks`, and what
`init_chat_model()` makes where the run's config names the model. They hold for every call.

`"local"` (or `"local:NAME"`) is the embedded default: a language model on this machine's CPU, made at first use.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableWithFallbacks
from langchain_core.runnables.base import RunnableBindingBase

from llmcompiler_graph.concurrency.threads import in_thread
from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.language.thinking import THINKING_TAGS

__all__ = (
    "ChatModel",
    "LazyModel",
    "ModelLike",
    "has_structured_output",
    "innermost",
    "is_local",
    "speaks_openai",
    "with_tools",
)

ChatModel: TypeAlias = Runnable[LanguageModelInput, AIMessage]
"""A chat model, or one with wrappers around it, such as tools that are bound to it."""

ModelLike: TypeAlias = str | ChatModel
"""What callers give: `"provider:name"`, `"local"`, or a chat model, also with wrappers around it."""

_OPENAI_PREFIXES = ("gpt-", "o1", "o3", "o4", "chatgpt")
_LANGCHAINS_ADVICE = "Please specify 'model_provider' directly."  # an argument of `init_chat_model`
_PROVIDERS = re.compile(r"Supported (?:model )?providers(?: are)?: (.+)")  # how LangChain lists them
_ADVICE = "Write 'provider:name', such as 'openai:gpt-5-mini', or 'local'."


def is_local(model: object) -> bool:
    """Whether a model is the embedded one, whose replies can be held to a grammar, or stands for it (as `local`)."""
    if isinstance(model, str):
        return model.partition(":")[0] == "local"
    return getattr(innermost(model), "local", False) is True


def innermost(model: object) -> object:
    """Take off what LangChain puts around a chat model; of one with fallbacks, return the one that is asked first."""
    while True:
        match model:
            case RunnableBindingBase():
                model = model.bound
            case RunnableWithFallbacks():
                model = model.runnable
            case _:
                return model


def speaks_openai(model: object) -> bool:
    """Whether a model is of LangChain's class for OpenAI's interface, or of one made from it.

    Its package takes most of a second to import; where there is such a model, somebody has done so.
    """
    openai = sys.modules.get("langchain_openai.chat_models.base")
    return openai is not None and isinstance(innermost(model), openai.BaseChatOpenAI)


def has_structured_output(model: object) -> bool:
    """Whether a model's provider can hold replies to a JSON Schema."""
    profile = getattr(innermost(model), "profile", None)
    return speaks_openai(model) or bool(isinstance(profile, Mapping) and profile.get("structured_output"))


def with_tools(model: Any, tools: Sequence[Mapping[str, Any]], **settings: Any) -> ChatModel:
    """Bind tools to a chat model, inside what is around it, so that all of that still holds.

    Raises:
        NotImplementedError: The model cannot call tools.
    """
    match model:
        case RunnableBindingBase():
            return model.model_copy(update={"bound": with_tools(model.bound, tools, **settings)})
        case RunnableWithFallbacks():
            first = with_tools(model.runnable, tools, **settings)
            others = [with_tools(each, tools, **settings) for each in model.fallbacks]
            return model.model_copy(update={"runnable": first, "fallbacks": others})
        case _:
            bound: ChatModel = model.bind_tools(tools, **settings)
            return bound


class LazyModel:
    """A chat model made when it is first needed: a graph can be built, drawn and served before that.

    Args:
        model: A chat model, or its name.
        thinking_tags: Pairs of tags between which it thinks in its replies, besides those of all families.

    Raises:
        ConfigurationError: It is neither, or `thinking_tags` are no pairs of text.
    """

    def __init__(self, model: ModelLike, thinking_tags: Iterable[tuple[str, str]] = ()) -> None:
        self.thinking_tags = (*THINKING_TAGS, *_tags(thinking_tags))
        """Pairs of tags between which it may think in its replies."""
        self.takes_grammars = True
        """Whether its server has refused none so far."""
        self._lock = threading.Lock()
        self._model: BaseChatModel | None = None
        self._make: Callable[[], BaseChatModel] | None = None
        given: object = model  # callers without a type checker give anything
        if isinstance(given, str):
            self._make = partial(_make, given)
        elif isinstance(given, Runnable) and hasattr(innermost(given), "bind_tools"):
            self._model = cast("BaseChatModel", given)  # it answers to the same calls
        else:
            msg = f"a model must be a chat model or a 'provider:name' string, not {type(model).__name__}"
            raise ConfigurationError(msg)

    def get(self) -> BaseChatModel:
        """The model; the first call makes it, which can take long for a local one."""
        with self._lock:
            model = self.made()
            if model is None:
                assert self._make is not None
                model = self._model = self._make()
            return model

    async def aget(self) -> BaseChatModel:
        """The model, for coroutines: it is made in a thread."""
        model = self.made()
        return model if model is not None else await in_thread("a model that is made", self.get)

    def made(self) -> BaseChatModel | None:
        """The model, if there is one; a local one whose server has ended is made anew."""
        if self._model is None or self._make is None:
            return self._model
        is_running: Callable[[], bool] | None = getattr(self._model, "is_running", None)
        return self._model if is_running is None or is_running() else None


def _tags(given: object) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for pair in given if isinstance(given, Iterable) and not isinstance(given, str) else [given]:
        match pair:
            case [str(first), str(last)] if last:
                pairs.append((first, last))
            case _:
                raise refused("thinking_tags", "pairs of text such as ('<think>', '</think>')", pair)
    return pairs


def _make(name: str) -> BaseChatModel:
    provider, colon, model = name.partition(":")
    if provider == "local":
        from llmcompiler_graph.models.local import local_chat_model

        return local_chat_model(model) if model else local_chat_model()
    try:
        if provider == "openai" or (not colon and name.startswith(_OPENAI_PREFIXES)):
            from langchain_openai import ChatOpenAI

            return ChatOpenAI(model=model if colon else name, stream_usage=True)
        try:
            from langchain.chat_models import init_chat_model  # its package is optional
        except ImportError as error:
            msg = f"the model {name!r} needs the packages of its provider: pip install langchain langchain-{provider}"
            raise ConfigurationError(msg) from error
        made = init_chat_model(name)
    except ConfigurationError:
        raise
    except Exception as error:  # what providers raise for a key that is missing has no base class in common
        reason = str(error).partition("\n")[0].replace(_LANGCHAINS_ADVICE, _ADVICE)
        known = _PROVIDERS.search(str(error))
        more = f" Known providers: {', '.join(sorted({'local', *known[1].split(', ')}))}." if known else ""
        msg = f"the model {name!r} cannot be made: {reason}{more}"
        raise ConfigurationError(msg) from error
    assert isinstance(made, BaseChatModel)
    return made
