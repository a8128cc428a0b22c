"""Uses the installed wheel as a user would: a question, a plan, two tools, a replan, an answer."""

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from llmcompiler_graph.tools import calculate, lookup

model = ScriptedModel(
    [
        '1. lookup("Mount Everest")\n2. join()',
        "Replan: K2 is missing",
        '2. lookup("K2")\n3. calculate("${1.height_m} - ${2.height_m}")\n4. join()',
        "Finish: 237.86 m",
    ]
)
final = create_llm_compiler(model, [lookup, calculate]).invoke({"messages": [("user", "How much taller?")]})
assert [task["status"] for task in final["tasks"]] == ["done"] * 3, final["tasks"]
assert final["tasks"][2]["value"] == 237.86, final["tasks"]
assert final["messages"][-1].content == "237.86 m", final["messages"]
print("the installed wheel answers:", final["messages"][-1].content)
