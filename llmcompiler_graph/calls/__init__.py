"""One tool call, wherever it runs: turns a LangChain tool and its arguments into an observation.

It may know `core`, `concurrency`, `state` and LangGraph's `ToolNode`, but nothing of models or of the graph's nodes.
Others use `specs` (what the core may know of a tool), `introspection` (what a tool says of itself in code), `policy`
(timeouts and retries), `cache` (what earlier calls returned), `batches` (one call in place of many), `runner` (the call
itself) and `values` (what a tool returned, as JSON).
"""
