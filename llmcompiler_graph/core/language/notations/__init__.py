"""Calls in other notations than the plan language: read where that takes no guessing, else noticed.

`heads` finds calls that look like those of plans. `json_calls` reads the others in JSON, `tags` those between tags,
`actions` those in labelled lines; `blocks` says where such text begins and ends, `calls` what all of them give. `names`
puts numbers for the names that code gives to calls. `mentions` finds the lines that look like calls of known tools and
became no tasks, `commands` those of them that look like what one types in a shell. `examples` tells which calls are
only shown.

May know what the parser may. Others use `actions`, `blocks`, `examples`, `heads`, `calls`, `json_calls`, `names` and
`mentions`: the parser, its `tasks`, and `native_calls`.
"""
