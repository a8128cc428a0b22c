"""What can go wrong with the local model."""

from llmcompiler_graph.core.errors import LLMCompilerError

__all__ = ("LocalModelError",)


class LocalModelError(LLMCompilerError, RuntimeError):
    """The local model cannot be had or cannot run; the message says what to do about it."""
