"""The command line, `llmcompiler`: turns arguments into runs of a graph, and what the graph streams into lines to read.

It may know every room but `studio`. Others use `app` and `main` of `commands`, and `defaults`, which the studio has
too.
"""
