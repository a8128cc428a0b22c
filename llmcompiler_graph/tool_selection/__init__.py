"""Large tool sets: turns a question into the few tools and examples that its prompt shows.

It may know `core`, `state`, `calls.specs` and `models.system`. Others use the names below; of `ranking`,
which belongs to `selection`, procedures use `Ranking` and `words`.
"""

from llmcompiler_graph.tool_selection.selection import (
    SelectTools,
    ToolSelection,
    tool_documents,
    tool_text,
    tool_words,
)

__all__ = ("SelectTools", "ToolSelection", "tool_documents", "tool_text", "tool_words")
