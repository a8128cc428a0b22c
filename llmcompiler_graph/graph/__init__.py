"""The agent graph: turns a model and tools into a LangGraph graph of planner, task fetching unit and joiner.

It may know `core`, `state`, `approval`, `calls`, `remote`, `models` and `tool_selection`. Others use
`create.create_llm_compiler`; the middleware also uses `given_plan` and `outer_agent`, procedures use `procedure_graph`,
`checked_procedures` and `one_interrupt`.
"""
