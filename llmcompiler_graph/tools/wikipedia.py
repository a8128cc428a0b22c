"""Makes the LangChain community tool that searches Wikipedia: the one built-in tool that needs the network.

Everything is imported on use: the optional `wikipedia` package, and `langchain_community`, which is slow to import.
"""

import importlib
import warnings

from langchain_core.tools import BaseTool


def wikipedia() -> BaseTool:
    """Make a tool `wikipedia(query)` that returns the summaries of the best matching articles.

    Raises:
        ImportError: if the `wikipedia` package is not installed.
    """
    with warnings.catch_warnings():
        # The package announces its sunset at import: a matter for this package, not for its users.
        warnings.simplefilter("ignore", DeprecationWarning)
        from langchain_community.tools import WikipediaQueryRun
        from langchain_community.utilities import WikipediaAPIWrapper
    try:
        importlib.import_module("wikipedia")  # the wrapper imports it too, but names no extra to install
    except ImportError as error:
        message = "the wikipedia tool needs the 'wikipedia' package: pip install 'llmcompiler-graph[wikipedia]'"
        raise ImportError(message, name="wikipedia") from error
    return WikipediaQueryRun(
        name="wikipedia",
        api_wrapper=WikipediaAPIWrapper.model_validate({}),
        metadata={"readOnlyHint": True, "openWorldHint": True},
    )
