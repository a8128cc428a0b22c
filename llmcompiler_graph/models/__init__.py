"""Asking models: turns what a caller gives as a model, a conversation and a grammar into a reply's text as it streams.

It may know `core`, `concurrency` and `state`, but nothing of calls or of the graph's nodes. Others use what the
modules list in `__all__`, and of `local` what its `__init__` says.
"""
