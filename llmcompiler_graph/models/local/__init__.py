"""A language model on this machine's CPU: no API key, and no network once its weights are here.

    name  --weights-->  file  --server-->  http://127.0.0.1:…/v1  --chat-->  ChatOpenAI

It may know `core.errors`. Others use the names below, and `require_runtime` of `server`.

Needs the extra `llmcompiler-graph[local]`, on Linux or macOS.
"""

from llmcompiler_graph.models.local.catalog import DEFAULT_MODEL, QWEN_CODER_0_5B, QWEN_CODER_1_5B, WEIGHTS, Weights
from llmcompiler_graph.models.local.chat import local_chat_model
from llmcompiler_graph.models.local.errors import LocalModelError
from llmcompiler_graph.models.local.progress import prompt_progress
from llmcompiler_graph.models.local.server import LocalServer, start_server
from llmcompiler_graph.models.local.weights import find_weights

__all__ = (
    "DEFAULT_MODEL",
    "QWEN_CODER_0_5B",
    "QWEN_CODER_1_5B",
    "WEIGHTS",
    "LocalModelError",
    "LocalServer",
    "Weights",
    "find_weights",
    "local_chat_model",
    "prompt_progress",
    "start_server",
)
