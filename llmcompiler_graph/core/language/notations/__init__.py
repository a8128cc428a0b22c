"""Calls in other notations than the plan language: read where that takes no guessing, else noticed.

`mentions` finds the lines of a reply that look like calls of known tools and became no tasks. It may know nothing of
the package. Others use `mentions`; only the parser does.
"""
