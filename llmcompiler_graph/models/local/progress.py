"""Who wants to know how far local models have read their prompts."""

from collections.abc import Callable
from contextvars import ContextVar

__all__ = ("prompt_progress",)

prompt_progress: ContextVar[Callable[[int, int], None] | None] = ContextVar("prompt_progress", default=None)
"""Is told, in streams of local models in this context, how many tokens of a prompt are read, and of how many."""
