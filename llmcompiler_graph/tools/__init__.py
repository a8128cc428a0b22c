"""The built-in tools: `lookup` and `calculate` work offline; others are made: `extract_with()`, `wikipedia()`, ….

They know nothing of the rest. Others use the names below; the evaluation and the studio also use what `facts` and
`loading` list, `find` of `lookup`, `evaluate` of `arithmetic`, and `CalculationError`.

>>> everest = lookup.invoke("Mount Everest")
>>> calculate.invoke(f"{everest['height_m']} - 8611")
237.86
"""

from llmcompiler_graph.tools.calculate import calculate
from llmcompiler_graph.tools.extract import extract_with
from llmcompiler_graph.tools.facts import Facts
from llmcompiler_graph.tools.loading import ToolLoadError, load_tools
from llmcompiler_graph.tools.lookup import lookup
from llmcompiler_graph.tools.mcp import load_mcp_tools
from llmcompiler_graph.tools.wikipedia import wikipedia

__all__ = ("Facts", "ToolLoadError", "calculate", "extract_with", "load_mcp_tools", "load_tools", "lookup", "wikipedia")
