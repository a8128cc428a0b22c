"""The search tools of HotpotQA and Movie Recommendation: over recorded observations, or Wikipedia itself.

>>> tool = recorded_search({"Mount K2": "K2 is a mountain."}, "Search.")
>>> tool.invoke("mount k2"), tool.invoke("Mt. K3")
('K2 is a mountain.', 'Could not find Mt. K3. Similar: Mount K2')
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import create_model

from llmcompiler_graph.tools import wikipedia
from llmcompiler_graph.tools.facts import normalise

__all__ = ("recorded_search", "wikipedia_search")

_HINTS = {"readOnlyHint": True, "idempotentHint": True}
_SIMILAR = 5
_SENTENCES = 5  # of an article's beginning, as in the paper's code


def recorded_search(observations: Mapping[str, str], description: str, *, argument: str = "entity") -> BaseTool:
    """Make a tool `search` over recorded observations.

    A name finds what was recorded under it, up to case and punctuation; else under it with a bracketed
    addition; else under longer queries that hold it; else the titles that are close.

    Args:
        observations: What was found, by title or query.
        description: What the tool is said to do.
        argument: What its parameter is called.
    """
    exact = {normalise(title): text for title, text in observations.items()}

    def search(*names: str, **named: str) -> str:
        (name,) = (*names, *named.values())
        key = normalise(name)
        if key in exact:
            return exact[key]
        bracketed = [title for title in observations if normalise(title.partition(" (")[0]) == key]
        holding = [title for title in observations if key and f" {key} " in f" {normalise(title)} "]
        if found := bracketed or holding:
            return "\n".join(f"{title}: {observations[title]}" for title in found)
        close = difflib.get_close_matches(key, exact, n=_SIMILAR)
        similar = "; ".join(title for title in observations if normalise(title) in close)
        return f"Could not find {name}. Similar: {similar}" if similar else f"Could not find {name}."

    return _tool(search, description, argument)


def wikipedia_search(description: str, *, argument: str = "entity") -> BaseTool:
    """Make a tool `search` that gives the first sentences of the Wikipedia article that fits best, live.

    Raises:
        ImportError: The `wikipedia` package is not installed.
    """
    live = wikipedia()

    def search(*names: str, **named: str) -> str:
        (name,) = (*names, *named.values())
        found = str(live.invoke(name))
        first = found.split("\n\nPage:", maxsplit=1)[0].removeprefix("Page: ")
        return ". ".join(first.split(". ")[:_SENTENCES])

    return _tool(search, description, argument)


def _tool(search: object, description: str, argument: str) -> BaseTool:
    assert callable(search)
    schema = create_model("search", **{argument: (str, ...)})  # type: ignore[call-overload]
    return StructuredTool.from_function(
        search, name="search", description=description, args_schema=schema, metadata=_HINTS
    )
