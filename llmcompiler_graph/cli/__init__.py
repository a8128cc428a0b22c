"""The command line, `llmcompiler`: its commands, and what they show while a run goes on."""

from llmcompiler_graph.cli.commands import app, main

__all__ = ("app", "main")
