"""Tools whose functions run in other processes: turns a synchronous tool and an executor into a tool that is awaited.

It may know `core` and `calls.introspection`. Others use the names below; `function` and `call` belong to
`tool_executor`.
"""

from llmcompiler_graph.remote.tool_executor import ToolExecutor, in_executor

__all__ = ("ToolExecutor", "in_executor")
